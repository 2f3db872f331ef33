/* What nobody needs any more goes, and nothing else. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/packages.h"

static const char *prune(exia_registry *registry, int apply)
{
    const exia_prune_options options = {.struct_size = sizeof options, .apply = apply};
    exia_rows *rows = NULL;
    check_ok(exia_registry_prune(&rows, registry, &options, NULL, &err));
    return rows_text(rows);
}

static void install_one(exia_registry *registry, const char *package)
{
    check_ok(exia_registry_install(NULL, registry, package, NULL, NULL, NULL, &err));
}

TEST(nothing_is_pruned_that_was_asked_for_or_is_needed)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_fails(EXIA_EINVAL, exia_registry_prune(NULL, registry, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_prune(&rows, NULL, NULL, NULL, &err));
    assert_string_equal(prune(registry, 1), "");
    add_package(registry, "low", "1.0", NULL);
    add_package(registry, "base", "1.0", "\"low\"");
    add_package(registry, "app", "1.0", "\"base\"");
    install_one(registry, "app");
    assert_string_equal(prune(registry, 1), "");
    install_one(registry, "base"); /* now it was asked for, too */
    check_ok(exia_registry_uninstall(registry, "app", &err));
    assert_string_equal(prune(registry, 1), "");
    assert_int_equal(rows_count(installed(registry, NULL)), 2);
    exia_registry_free(registry);
}

TEST(what_came_along_goes_with_all_that_it_needs_and_a_dry_run_changes_nothing)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "low", "1.0", NULL);
    add_package(registry, "base", "1.0", "\"low\"");
    add_package(registry, "app", "1.0", "\"base\", \"low\"");
    add_package(registry, "other", "1.0", "\"low\"");
    install_one(registry, "app");
    install_one(registry, "other");
    check_ok(exia_registry_uninstall(registry, "app", &err));
    const char *text = prune(registry, 0);
    assert_int_equal(rows_count(text), 1);
    assert_true(has(text, "\"name\":\"base\"") && has(text, "no package needs it"));
    assert_int_equal(rows_count(installed(registry, NULL)), 3);
    assert_string_equal(prune(registry, 1), text);
    assert_false(exists("home/installed/base"));
    check_ok(exia_registry_uninstall(registry, "other", &err));
    assert_int_equal(rows_count(prune(registry, 1)), 1);
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/installed")), 0);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

TEST(of_several_versions_that_would_do_the_one_that_was_resolved_stays)
{
    exia_registry *registry = open_home("home");
    static const char *const versions[] = {"1.0", "2.0", "3.0"};
    for (size_t i = 0; i < 3; i++)
        add_package(registry, "low", versions[i], NULL);
    add_package(registry, "a", "1.0", "\"low < 2\"");
    add_package(registry, "b", "1.0", "\"low >= 2, < 3\"");
    add_package(registry, "c", "1.0", "\"low >= 3\"");
    add_package(registry, "any", "1.0", "\"low\"");
    static const char *const names[] = {"a", "b", "c", "any"};
    for (size_t i = 0; i < 4; i++)
        install_one(registry, names[i]);
    check_ok(exia_registry_activate(registry, "low@2.0", NULL, &err));
    for (size_t i = 0; i < 3; i++)
        check_ok(exia_registry_uninstall(registry, names[i], &err));
    assert_int_equal(rows_count(prune(registry, 1)), 2);
    assert_true(exists("home/installed/low/3.0/any"));
    assert_int_equal(rows_count(installed(registry, "low")), 1);
    exia_registry_free(registry);
}

TEST(of_several_versions_that_would_do_the_current_one_stays_where_what_was_resolved_is_gone)
{
    exia_registry *registry = open_home("home");
    static const char *const names[] = {"any", "a", "b"};
    add_package(registry, "low", "1.0", NULL);
    add_package(registry, "any", "1.0", "\"low\"");
    install_one(registry, "any");
    add_package(registry, "low", "2.0", NULL);
    add_package(registry, "low", "3.0", NULL);
    add_package(registry, "a", "1.0", "\"low == 2.0\"");
    add_package(registry, "b", "1.0", "\"low == 3.0\"");
    for (size_t i = 1; i < 3; i++)
        install_one(registry, names[i]);
    check_ok(exia_registry_activate(registry, "low@2.0", NULL, &err));
    check_ok(exia_registry_uninstall(registry, "low@1.0", &err));
    for (size_t i = 1; i < 3; i++)
        check_ok(exia_registry_uninstall(registry, names[i], &err));
    assert_int_equal(rows_count(prune(registry, 1)), 1);
    assert_true(exists("home/installed/low/2.0/any"));
    exia_registry_free(registry);
}

TEST(versions_that_were_installed_apart_and_need_each_other_go_together)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "a", "1.0", "\"b\"");
    add_package(registry, "a", "2.0", NULL);
    add_package(registry, "b", "1.0", NULL);
    add_package(registry, "b", "2.0", "\"a\"");
    add_package(registry, "c", "1.0", "\"a == 1.0\", \"b == 1.0\"");
    add_package(registry, "e", "1.0", "\"b >= 2\", \"a >= 2\"");
    install_one(registry, "c");
    install_one(registry, "e");
    check_ok(exia_registry_activate(registry, "a@1.0", NULL, &err));
    check_ok(exia_registry_activate(registry, "b@2.0", NULL, &err));
    check_ok(exia_registry_uninstall(registry, "c", &err));
    check_ok(exia_registry_uninstall(registry, "e", &err));
    assert_int_equal(rows_count(prune(registry, 1)), 4);
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
}

TEST(a_long_chain_goes_in_such_an_order_that_nothing_lacks_what_it_needs)
{
    enum { LINKS = 30 };
    exia_registry *registry = open_home("home");
    add_package(registry, "p0", "1.0", NULL);
    for (int i = 1; i < LINKS; i++)
        add_package(registry, check_format("p%d", i), "1.0", check_format("\"p%d\"", i - 1));
    install_one(registry, check_format("p%d", LINKS - 1));
    check_ok(exia_registry_uninstall(registry, check_format("p%d", LINKS - 1), &err));
    const char *text = prune(registry, 1), *last = text;
    for (int i = LINKS - 2; i >= 0; i--) {
        const char *row = strstr(last, check_format("\"name\":\"p%d\"", i));
        assert_non_null(row);
        last = row;
    }
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
}

static int die_while_unpacking(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done, (void)total, (void)payload;
    if (strcmp(step, "syncing") == 0)
        kill(getpid(), SIGKILL);
    return 0;
}

static int install_and_die(void)
{
    const exia_job job = {.struct_size = sizeof job, .progress = die_while_unpacking};
    exia_registry *registry = open_home("home");
    exia_registry_install(NULL, registry, "x", NULL, NULL, &job, &err);
    return 0;
}

TEST(what_a_dead_process_left_is_told_and_cleared_away)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "x", "1.0", NULL);
    exia_registry_free(registry);
    exia_registry *long_open = NULL; /* opened before, so that nobody comes to clear away */
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        char go = 0;
        close(pipes[1]);
        (void)!read(pipes[0], &go, 1);
        _exit(install_and_die());
    }
    check_ok(exia_registry_open(&long_open, check_path("home"), &err));
    close(pipes[0]);
    close(pipes[1]);
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    const char *text = prune(long_open, 0);
    assert_int_equal(rows_count(text), 1);
    assert_true(has(text, "\"name\":null") && has(text, "left by a process that died"));
    assert_int_equal(rows_count(prune(long_open, 1)), 1);
    assert_string_equal(prune(long_open, 0), "");
    exia_registry_free(long_open);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

static void make_old(const char *path)
{
    const struct timespec old = {.tv_sec = time(NULL) - 25 * 3600};
    assert_int_equal(utimensat(AT_FDCWD, path, (const struct timespec[2]){old, old}, 0), 0);
}

/* Beside a registered package the file of one whose register died before its record. */
static const char *leave_orphan(void)
{
    const char *blob = check_path("home/packages/blobs/packages/"
                                  "0123456789abcdef0123456789abcdef"
                                  "0123456789abcdef0123456789abcdef.veda");
    check_write_file(blob, "bytes", 5);
    return blob;
}

TEST(the_file_of_a_package_that_no_record_names_goes_when_it_is_a_day_old)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "x", "1.0", NULL);
    const char *kept = blob_of(registry, NULL, check_path("home/packages/blobs"));
    const char *blob = leave_orphan();
    make_old(kept);
    assert_string_equal(prune(registry, 1), "");
    make_old(blob);
    const char *text = prune(registry, 0);
    assert_int_equal(rows_count(text), 1);
    assert_true(has(text, blob) && has(text, "no record names it"));
    assert_string_equal(prune(registry, 1), text);
    assert_int_not_equal(access(blob, F_OK), 0);
    assert_int_equal(access(kept, F_OK), 0);
    exia_registry_free(registry);
}

TEST(no_file_goes_while_a_record_cannot_be_read)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "x", "1.0", NULL);
    make_old(leave_orphan());
    exia__records *records = open_records(check_path("home"));
    check_ok(exia__records_put(NULL, records, "package", "z/1.0/any/0123", "{\"format\": 2}",
                               EXIA_ABSENT, NULL, NULL, &err));
    exia__records_free(records);
    assert_string_equal(prune(registry, 1), "");
    exia_registry_free(registry);
}
