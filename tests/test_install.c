/* Install: all that is needed or nothing, whenever a process dies. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "store/store.h"
#include "support/faulty.h"
#include "support/packages.h"

static int has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void add(exia_registry *registry, const char *name, const char *version, const char *needs)
{
    check_ok(exia_registry_register(
        registry, pack_with(name, version, "any", needs, check_format("%s %s", name, version)),
        NULL, NULL, &err));
}

static int exists(const char *name)
{
    struct stat info;
    return lstat(check_path(name), &info) == 0;
}

TEST(an_installed_package_lies_in_its_place_with_all_it_needs)
{
    exia_registry *registry = open_home("home");
    char *directory = NULL, *package = NULL;
    add(registry, "base", "1.0", NULL);
    add(registry, "base", "1.5", NULL);
    add(registry, "base", "2.0", NULL);
    add(registry, "app", "1.0", "\"base >= 1.1, < 2\"");
    check_ok(exia_registry_install(&directory, registry, "app", NULL, NULL, &err));
    assert_string_equal(directory, check_path("home/installed/app/1.0/any"));
    exia_text_free(directory);
    char *text = check_read_file(check_path("home/installed/base/1.5/any/code/main.py"), NULL);
    assert_string_equal(text, "base 1.5");
    free(text);
    const char *rows = installed(registry, NULL);
    assert_int_equal(rows_count(rows), 2);
    assert_true(has(rows, "\"name\":\"app\"") && has(rows, "\"entry_points\":{\"main\":"
                                                           "\"main:run\"}"));
    assert_int_equal(rows_count(installed(registry, "base@1.5.0#any")), 1);
    assert_int_equal(rows_count(installed(registry, "base@2")), 0);
    check_ok(exia_registry_which(&package, registry,
                                 check_path("home/installed/base/1.5/any/code/main.py"), &err));
    assert_string_equal(package, "base@1.5#any");
    exia_text_free(package);
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, &err));
    assert_int_equal(rows_count(installed(registry, NULL)), 2);
    check_fails(EXIA_ECONFLICT, exia_registry_uninstall(registry, "base", &err));
    check_text("base@1.5 is needed by app@1.0");
    check_ok(exia_registry_uninstall(registry, "app", &err));
    check_ok(exia_registry_uninstall(registry, "base", &err));
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/installed")), 0);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

TEST(what_is_missing_comes_from_the_remote)
{
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    add(one, "base", "1.0", NULL);
    add(one, "app", "1.0", "\"base\"");
    check_ok(exia_registry_push(NULL, one, "base", "prod", NULL, &err));
    check_ok(exia_registry_push(NULL, one, "app", "prod", NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, two, "app", NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, two, "app", "prod", NULL, &err));
    assert_int_equal(rows_count(installed(two, NULL)), 2);
    assert_true(exists("two/installed/base/1.0/any/veda.json"));
    exia_registry_free(one);
    exia_registry_free(two);
}

/* ---- what is chosen ---- */

TEST(the_newest_final_version_is_installed_and_a_named_one_when_named)
{
    exia_registry *registry = open_home("home");
    static const char *const versions[] = {"1.9", "1.10", "2.0rc1"};
    for (size_t i = 0; i < 3; i++)
        add(registry, "x", versions[i], NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    assert_true(exists("home/installed/x/1.10/any"));
    check_ok(exia_registry_install(NULL, registry, "x@2.0.0rc1", NULL, NULL, &err));
    assert_true(exists("home/installed/x/2.0rc1/any"));
    assert_int_equal(rows_count(installed(registry, "x")), 2);
    check_fails(EXIA_EINVAL, exia_registry_uninstall(registry, "x", &err));
    check_text("say which");
    check_fails(EXIA_ENOTFOUND, exia_registry_uninstall(registry, "x@1.9", &err));
    check_ok(exia_registry_uninstall(registry, "x@1.10", &err));
    assert_false(exists("home/installed/x/1.10"));
    check_ok(exia_registry_uninstall(registry, "x", &err));
    assert_false(exists("home/installed/x"));
    exia_registry_free(registry);
}

TEST(an_installed_version_that_fits_is_preferred)
{
    exia_registry *registry = open_home("home");
    add(registry, "base", "1.0", NULL);
    add(registry, "base", "1.5", NULL);
    add(registry, "app", "1.0", "\"base >= 1\"");
    check_ok(exia_registry_install(NULL, registry, "base@1.0", NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, &err));
    assert_false(exists("home/installed/base/1.5"));
    check_ok(exia_registry_install(NULL, registry, "base", NULL, NULL, &err));
    assert_true(exists("home/installed/base/1.5"));
    check_ok(exia_registry_uninstall(registry, "base@1.0", &err)); /* the other one will do */
    check_fails(EXIA_ECONFLICT, exia_registry_uninstall(registry, "base", &err));
    exia_registry_free(registry);
}

TEST(the_search_turns_back_where_newest_does_not_fit_newest)
{
    exia_registry *registry = open_home("home");
    add(registry, "low", "1.0", NULL);
    add(registry, "low", "2.0", NULL);
    add(registry, "a", "1.0", "\"low < 2\"");
    add(registry, "a", "2.0", "\"low >= 2\"");
    add(registry, "b", "1.0", "\"low < 2\"");
    add(registry, "top", "1.0", "\"a\", \"b\"");
    check_ok(exia_registry_install(NULL, registry, "top", NULL, NULL, &err));
    assert_true(exists("home/installed/a/1.0/any"));
    assert_true(exists("home/installed/low/1.0/any"));
    assert_int_equal(rows_count(installed(registry, NULL)), 4);
    exia_registry_free(registry);
}

TEST(what_cannot_be_met_is_told_with_who_asks)
{
    exia_registry *registry = open_home("home");
    add(registry, "app", "1.0", "\"gone >= 1\"");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, registry, "app", NULL, NULL, &err));
    check_text("app@1.0 needs \"gone >= 1\": there is none here");
    add(registry, "low", "1.0", NULL);
    add(registry, "low", "2.0", NULL);
    add(registry, "tool", "1.0", "\"low > 2\"");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, registry, "tool", NULL, NULL, &err));
    check_text("tool@1.0 needs \"low > 2\": there is only 2.0, 1.0 here");
    add(registry, "a", "1.0", "\"low < 2\"");
    add(registry, "b", "1.0", "\"low >= 2\"");
    add(registry, "top", "1.0", "\"a\", \"b\"");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, registry, "top", NULL, NULL, &err));
    check_text("low");
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
}

TEST(packages_that_need_each_other_are_refused_with_the_cycle_named)
{
    exia_registry *registry = open_home("home");
    add(registry, "a", "1.0", "\"b\"");
    add(registry, "b", "1.0", "\"c\"");
    add(registry, "c", "1.0", "\"a\"");
    add(registry, "top", "1.0", "\"a\"");
    check_fails(EXIA_ECYCLE, exia_registry_install(NULL, registry, "top", NULL, NULL, &err));
    check_text("a");
    check_text("b");
    check_text("c");
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

TEST(a_search_without_an_answer_ends)
{
    /* 8 packages of 6 versions each, and the last one needs what none can have */
    exia_registry *registry = open_home("home");
    for (int i = 0; i < 8; i++) {
        for (int v = 1; v <= 6; v++) {
            const char *needs = i == 7 ? "\"low < 1, > 5\"" : "";
            add(registry, check_format("p%d", i), check_format("%d.0", v), needs);
        }
    }
    add(registry, "low", "3.0", NULL);
    add(registry, "top", "1.0", "\"p0\", \"p1\", \"p2\", \"p3\", \"p4\", \"p5\", \"p6\", \"p7\"");
    exia_status rc = exia_registry_install(NULL, registry, "top", NULL, NULL, &err);
    assert_true(rc == EXIA_ENOTFOUND || rc == EXIA_EUNSUPPORTED);
    check_text(rc == EXIA_ENOTFOUND ? "low" : "too many combinations");
    exia_registry_free(registry);
}

TEST(a_package_for_another_platform_is_installed_only_by_its_full_name)
{
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack_with("x", "1.0", "linux_other", NULL, "x"), NULL,
                                    NULL, &err));
    add(registry, "app", "1.0", "\"x\"");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, registry, "app", NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "x@1.0#linux_other", NULL, NULL, &err));
    assert_true(exists("home/installed/x/1.0/linux_other/veda.json"));
    exia_registry_free(registry);
}

TEST(what_was_asked_for_is_told_from_what_came_along)
{
    exia_registry *registry = open_home("home");
    add(registry, "base", "1.0", NULL);
    add(registry, "app", "1.0", "\"base\"");
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, &err));
    assert_true(has(installed(registry, "app"), "\"requested\":true"));
    assert_true(has(installed(registry, "base"), "\"requested\":false"));
    check_ok(exia_registry_install(NULL, registry, "base", NULL, NULL, &err));
    assert_true(has(installed(registry, "base"), "\"requested\":true"));
    exia_registry_free(registry);
}

/* ---- damage ---- */

static void flip_bytes(const char *command)
{
    FILE *list = popen(command, "r");
    char path[512] = "";
    assert_non_null(list);
    while (fgets(path, sizeof path, list) != NULL) {
        size_t size = 0;
        path[strcspn(path, "\n")] = '\0';
        char *bytes = check_read_file(path, &size);
        bytes[50] ^= 1;
        chmod(path, 0644);
        check_write_file(path, bytes, size);
        free(bytes);
    }
    assert_int_equal(pclose(list), 0);
}

TEST(a_damaged_package_is_not_installed_and_nothing_else_with_it)
{
    exia_registry *registry = open_home("home");
    add(registry, "base", "1.0", NULL);
    flip_bytes(check_format("ls '%s'/*.veda", check_path("home/packages/blobs/packages")));
    add(registry, "app", "1.0", "\"base\"");
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, registry, "app", NULL, NULL, &err));
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
    assert_int_equal(rmdir(check_path("home/installed")), 0);
}

TEST(what_somebody_deleted_is_installed_again)
{
    exia_registry *registry = open_home("home");
    add(registry, "x", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    assert_int_equal(system(check_format("rm -r '%s'", check_path("home/installed/x"))), 0);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    assert_true(exists("home/installed/x/1.0/any/veda.json"));
    assert_int_equal(rows_count(installed(registry, NULL)), 1);
    exia_registry_free(registry);
}

TEST(what_lies_at_the_place_without_a_row_is_replaced)
{
    exia_registry *registry = open_home("home");
    add(registry, "x", "1.0", NULL);
    mkdir(check_path("home/installed/x"), 0755);
    mkdir(check_path("home/installed/x/1.0"), 0755);
    mkdir(check_path("home/installed/x/1.0/any"), 0755);
    check_write_file(check_path("home/installed/x/1.0/any/stale"), "old", 3);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    assert_false(exists("home/installed/x/1.0/any/stale"));
    assert_true(exists("home/installed/x/1.0/any/veda.json"));
    exia_registry_free(registry);
}

TEST(other_content_than_what_is_installed_is_a_conflict)
{
    exia_registry *registry = open_home("home");
    add(registry, "x", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err)); /* it is there */
    check_ok(exia_registry_register(registry, pack_with("x", "1.0", "any", NULL, "other"), NULL,
                                    NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    check_text("uninstall it first");
    check_ok(exia_registry_uninstall(registry, "x", &err));
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    char *text = check_read_file(check_path("home/installed/x/1.0/any/code/main.py"), NULL);
    assert_string_equal(text, "other");
    free(text);
    exia_registry_free(registry);
}

/* ---- which ---- */

TEST(which_finds_the_package_of_a_path_and_of_nothing_else)
{
    exia_registry *registry = open_home("home");
    char *package = NULL;
    add(registry, "x", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    assert_int_equal(symlink(check_path("home/installed/x/1.0/any/code"), check_path("link")), 0);
    const char *const good[] = {"home/installed/x/1.0/any", "home/installed/x/1.0/any/veda.json",
                                "home/installed/x/1.0/any/code/../code/main.py", "link/main.py"};
    for (size_t i = 0; i < 4; i++) {
        check_ok(exia_registry_which(&package, registry, check_path(good[i]), &err));
        assert_string_equal(package, "x@1.0#any");
        exia_text_free(package);
    }
    mkdir(check_path("home/installed/y"), 0755);
    mkdir(check_path("home/installed/y/1.0"), 0755);
    mkdir(check_path("home/installed/y/1.0/any"), 0755);
    const char *const bad[] = {"home/installed",
                               "home/installed/x",
                               "home/installed/x/1.0",
                               "home",
                               "nothing",
                               "home/installed/y/1.0/any",
                               "home/config.json",
                               "home/installed/x/1.0/any/gone"};
    for (size_t i = 0; i < 8; i++) {
        check_fails(EXIA_ENOTFOUND,
                    exia_registry_which(&package, registry, check_path(bad[i]), &err));
        assert_null(package);
    }
    exia_registry_free(registry);
}

/* ---- cancel, crash, rivals ---- */

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
    add(registry, "base", "1.0", NULL);
    add(registry, "app", "1.0", "\"base\"");
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
        rc = exia_registry_install(NULL, registry, "app", NULL, &job, &err);
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
                rc = exia_registry_install(NULL, own, "app", NULL, &job, &err);
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
    add(registry, "x", "1.0", NULL);
    add(registry, "y", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "y", NULL, NULL, &err));
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
    check_ok(exia_registry_install(NULL, registry, "app", NULL, &job, &err));
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
                rc = exia_registry_install(NULL, own, "app", NULL, NULL, &err);
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
    check_ok(exia_registry_install(NULL, registry, "base", NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "app", NULL, &job, &err));
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
        rc = exia_registry_install(NULL, registry, "app", NULL, NULL, error);
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
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, &err));
    exia_registry_free(registry);
    check_installed();
}

TEST(an_install_from_a_remote_that_fails_at_any_call_leaves_nothing_installed)
{
    exia_registry *one = open_home_with_remote("one");
    faulty_register();
    add(one, "base", "1.0", NULL);
    add(one, "app", "1.0", "\"base\"");
    check_ok(exia_registry_push(NULL, one, "base", "prod", NULL, &err));
    check_ok(exia_registry_push(NULL, one, "app", "prod", NULL, &err));
    exia_registry_free(one);
    exia_registry *two = open_home("home");
    check_ok(exia_registry_remote_add(
        two, "shaky", check_format("faulty:sqlite:%s/records.db", check_path("remote")),
        check_format("faulty:file:%s/packages", check_path("remote")), &err));
    exia_status rc = EXIA_EUNAVAILABLE;
    for (long nth = 1; rc == EXIA_EUNAVAILABLE; nth++) {
        faulty = (faulty_plan){.nth = nth, .for_ever = 1, .status = EXIA_EUNAVAILABLE};
        rc = exia_registry_install(NULL, two, "app", "shaky", NULL, &err);
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
