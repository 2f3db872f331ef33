/* All that is needed is installed or nothing: cancelled, killed, with rivals, out of memory. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/faulty.h"
#include "support/packages.h"

typedef struct countdown {
    int left, kill_us;
} countdown;

static int end_at(const char *step, uint64_t done, uint64_t total, void *payload)
{
    countdown *count = payload;
    (void)step, (void)done, (void)total;
    if (count->left-- > 0)
        return 0;
    if (count->kill_us)
        kill(getpid(), SIGKILL);
    return 1;
}

/* After a failure: nothing is installed, here or in a handle opened anew, and nothing lies about. */
static void check_untouched(void)
{
    exia_registry *registry = open_home("home");
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
    assert_false(exists("home/installed/app"));
    assert_false(exists("home/installed/base"));
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

static void check_installed(void)
{
    exia_registry *registry = open_home("home");
    assert_int_equal(rows_count(installed(registry, NULL)), 2);
    exia_registry_free(registry);
    assert_true(exists("home/installed/app/1.0/any/code/main.py"));
    assert_true(exists("home/installed/base/1.0/any/code/main.py"));
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

static void register_two(void)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "app", "1.0", "\"base\"");
    exia_registry_free(registry);
}

TEST(a_cancel_at_any_step_leaves_nothing)
{
    register_two();
    exia_status rc = EXIA_ECANCELLED;
    int steps = 0;
    for (; rc == EXIA_ECANCELLED; steps++) {
        countdown count = {steps, 0};
        exia_job job = {.struct_size = sizeof job, .progress = end_at, .payload = &count};
        exia_registry *registry = open_home("home");
        rc = exia_registry_install(NULL, registry, "app", NULL, NULL, &job, &err);
        assert_true(rc == EXIA_OK || rc == EXIA_ECANCELLED);
        if (rc < 0) {
            assert_string_equal(installed(registry, NULL), "");
            assert_false(exists("home/installed/base"));
        }
        exia_registry_free(registry);
        if (rc < 0)
            check_untouched();
    }
    assert_true(steps > 5);
    check_installed();
}

TEST(a_process_killed_at_any_step_leaves_all_or_nothing)
{
    register_two();
    int done = 0, killed = 0;
    while (!done) {
        pid_t child = fork();
        if (child == 0) {
            countdown count = {killed, 1};
            exia_job job = {.struct_size = sizeof job, .progress = end_at, .payload = &count};
            exia_registry *own = NULL;
            exia_status rc = exia_registry_open(&own, check_path("home"), &err);
            if (rc == EXIA_OK)
                rc = exia_registry_install(NULL, own, "app", NULL, NULL, &job, &err);
            exia_registry_free(own);
            _exit(rc < 0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        done = !WIFSIGNALED(status);
        exia_registry *registry = open_home("home");
        int rows = (int)rows_count(installed(registry, NULL));
        exia_registry_free(registry);
        assert_true(rows == 0 || rows == 2);
        if (rows == 0) {
            check_untouched();
        } else {
            check_installed();
            done = 1; /* killed behind the commit */
        }
        killed += !done;
    }
    assert_true(killed > 5);
    check_installed();
}

TEST(what_a_dead_uninstall_left_is_finished)
{
    exia_registry *registry = open_home("home");
    exia__records *journal = NULL, *rows = NULL;
    add_package(registry, "x", "1.0", NULL);
    add_package(registry, "y", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "y", NULL, NULL, NULL, &err));
    exia_registry_free(registry);
    /* one died behind its commit, one before it */
    static const char id_x[] = "0123456789abcdef0123456789abcdef";
    static const char id_y[] = "fedcba9876543210fedcba9876543210";
    check_ok(exia__records_open(&journal, check_format("sqlite:%s", check_path("home/journal.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_open(&rows,
                                check_format("sqlite:%s", check_path("home/packages/catalog.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_put(NULL, journal, "intent", id_x,
                               "{\"format\": 1, \"targets\": [\"x/1.0/any\"]}", EXIA_ABSENT, NULL,
                               NULL, &err));
    check_ok(exia__records_put(NULL, journal, "intent", id_y,
                               "{\"format\": 1, \"targets\": [\"y/1.0/any\"]}", EXIA_ABSENT, NULL,
                               NULL, &err));
    check_ok(exia__records_remove(rows, "installed", "x/1.0/any", EXIA_ANY, NULL, &err));
    exia__records_free(journal);
    exia__records_free(rows);
    check_write_file(check_path(check_format("home/staging/%s.lock", id_x)), "", 0);
    check_write_file(check_path(check_format("home/staging/%s.lock", id_y)), "", 0);
    registry = open_home("home");
    assert_false(exists("home/installed/x"));
    assert_true(exists("home/installed/y/1.0/any/veda.json"));
    assert_int_equal(rows_count(installed(registry, NULL)), 1);
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

TEST(an_intent_that_cannot_be_read_does_not_keep_the_home_shut)
{
    static const char id[] = "0123456789abcdef0123456789abcdef";
    static const char newer[] = "fedcba9876543210fedcba9876543210";
    exia_registry *registry = open_home("home");
    exia__records *journal = NULL;
    exia_registry_free(registry);
    check_ok(exia__records_open(&journal, check_format("sqlite:%s", check_path("home/journal.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_put(NULL, journal, "intent", id, "{\"targets\": 5}", EXIA_ABSENT, NULL,
                               NULL, &err));
    check_ok(exia__records_put(NULL, journal, "intent", newer, "{\"format\": 2}", EXIA_ABSENT, NULL,
                               NULL, &err));
    exia__records_free(journal);
    check_write_file(check_path(check_format("home/staging/%s.lock", id)), "", 0);
    check_write_file(check_path(check_format("home/staging/%s.lock", newer)), "", 0);
    exia_registry_free(open_home("home"));
    assert_false(exists(check_format("home/staging/%s.lock", id)));
    assert_true(exists(check_format("home/staging/%s.lock", newer))); /* not ours to undo */
}

static int open_another(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done, (void)total;
    if (strcmp(step, "syncing") == 0) {
        exia_registry *other = NULL;
        *(exia_status *)payload = exia_registry_open(&other, check_path("home"), NULL);
        exia_registry_free(other);
    }
    return 0;
}

TEST(opening_the_home_does_not_disturb_an_install_that_lives)
{
    register_two();
    exia_status opened = EXIA_EIO;
    exia_job job = {.struct_size = sizeof job, .progress = open_another, .payload = &opened};
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, &job, &err));
    assert_int_equal(opened, EXIA_OK);
    exia_registry_free(registry);
    check_installed();
}

TEST(processes_that_install_one_package_at_once_all_succeed)
{
    register_two();
    pid_t children[6];
    for (int i = 0; i < 6; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            exia_registry *own = NULL;
            exia_status rc = exia_registry_open(&own, check_path("home"), &err);
            if (rc == EXIA_OK)
                rc = exia_registry_install(NULL, own, "app", NULL, NULL, NULL, &err);
            if (rc < 0)
                fprintf(stderr, "%s\n", err.text);
            exia_registry_free(own);
            _exit(rc < 0);
        }
    }
    for (int i = 0; i < 6; i++) {
        int status = 1;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    check_installed();
}

static int uninstall_base(const char *step, uint64_t done, uint64_t total, void *payload)
{
    int *times = payload;
    (void)done, (void)total;
    if (strcmp(step, "syncing") == 0 && *times > 0) {
        exia_registry *other = NULL;
        --*times;
        check_ok(exia_registry_open(&other, check_path("home"), &err));
        check_ok(exia_registry_uninstall(other, "base", &err));
        exia_registry_free(other);
    }
    return 0;
}

TEST(a_dependency_that_is_uninstalled_meanwhile_is_installed_again)
{
    register_two();
    int times = 1;
    exia_job job = {.struct_size = sizeof job, .progress = uninstall_base, .payload = &times};
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_install(NULL, registry, "base", NULL, NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, &job, &err));
    assert_int_equal(times, 0);
    exia_registry_free(registry);
    check_installed();
}

/* ---- no memory, no remote ---- */

static exia_status install_app(void *payload, exia_error *error)
{
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    char *package = NULL;
    exia_status rc = exia_registry_open(&registry, payload, error);
    if (rc == EXIA_OK)
        rc = exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_registry_which(&package, registry, check_path("home/installed/app/1.0/any"),
                                 error);
    if (rc == EXIA_OK)
        rc = exia_registry_installed(&rows, registry, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_registry_uninstall(registry, "app", error);
    if (rc == EXIA_OK)
        rc = exia_registry_uninstall(registry, "base", error);
    if (rc == EXIA_ENOTFOUND && exia__path_exists(check_path("home/installed/app")))
        rc = EXIA_EIO; /* it said so and it is there */
    exia_rows_free(rows);
    exia_text_free(package);
    exia_registry_free(registry);
    return rc;
}

TEST(installing_and_uninstalling_survive_a_lack_of_memory)
{
    register_two();
    check_survives_no_memory(install_app, (void *)check_path("home"));
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
    exia_registry_free(registry);
    check_installed();
}

TEST(an_install_from_a_remote_that_fails_at_any_call_leaves_nothing_installed)
{
    exia_registry *one = open_home_with_remote("one");
    faulty_register();
    add_package(one, "base", "1.0", NULL);
    add_package(one, "app", "1.0", "\"base\"");
    check_ok(exia_registry_push(NULL, one, "base", "prod", NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "app", "prod", NULL, NULL, &err));
    exia_registry_free(one);
    exia_registry *two = open_home("home");
    check_ok(exia_registry_remote_add(
        two, "shaky", check_format("faulty:sqlite:%s/records.db", check_path("remote")),
        check_format("faulty:file:%s/packages", check_path("remote")), &err));
    exia_status rc = EXIA_EUNAVAILABLE;
    for (long nth = 1; rc == EXIA_EUNAVAILABLE; nth++) {
        faulty = (faulty_plan){.nth = nth, .for_ever = 1, .status = EXIA_EUNAVAILABLE};
        rc = exia_registry_install(NULL, two, "app", "shaky", NULL, NULL, &err);
        if (rc == EXIA_EUNAVAILABLE) {
            check_text("remote shaky: ");
            assert_string_equal(installed(two, NULL), "");
        }
    }
    faulty = (faulty_plan){0};
    check_status(EXIA_OK, rc, __FILE__, __LINE__);
    exia_registry_free(two);
    check_installed();
}
