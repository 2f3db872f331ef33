/* Which of several versions is current: by the record, by the link, by what was asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/packages.h"

/* Where the link of x leads; "": there is none. */
static const char *link_of_x(void)
{
    char target[100];
    ssize_t size = readlink(check_path("home/installed/x/current"), target, sizeof target);
    return size < 0 ? "" : check_format("%.*s", (int)size, target);
}

static exia_registry *open_with(const char *const *versions, size_t count)
{
    exia_registry *registry = open_home("home");
    for (size_t i = 0; i < count; i++)
        add_package(registry, "x", versions[i], NULL);
    return registry;
}

static void install_x(exia_registry *registry, const char *package, int keep_current)
{
    const exia_install_options options = {.struct_size = sizeof options,
                                          .keep_current = keep_current};
    check_ok(exia_registry_install(NULL, registry, package, NULL, &options, NULL, &err));
}

/* The version that the rows say is current, and the link agrees. */
static void check_current(exia_registry *registry, const char *target)
{
    exia_rows *rows = NULL;
    const char *line = NULL, *found = "";
    check_ok(exia_registry_installed(&rows, registry, "x", &err));
    while (exia_rows_next(&line, rows, &err) == EXIA_OK) {
        if (has(line, "\"current\":true")) {
            assert_string_equal(found, "");
            const char *version = strstr(line, "\"version\":\"") + 11;
            const char *tag = strstr(line, "\"tag\":\"") + 7;
            found = check_format("%.*s/%.*s", (int)strcspn(version, "\""), version,
                                 (int)strcspn(tag, "\""), tag);
        }
    }
    exia_rows_free(rows);
    assert_string_equal(found, target);
    assert_string_equal(link_of_x(), target);
}

TEST(activating_refuses_what_is_not_there_and_what_was_not_expected)
{
    static const char *const versions[] = {"1.0", "2.0"};
    exia_registry *registry = open_with(versions, 2);
    check_fails(EXIA_ENOTFOUND, exia_registry_activate(registry, "x", NULL, &err));
    install_x(registry, "x@1.0", 0);
    check_fails(EXIA_EINVAL, exia_registry_activate(NULL, "x", NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_activate(registry, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_activate(registry, "x@../..", NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_activate(registry, "x", "../..", &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_activate(registry, "x@2.0", NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_activate(registry, "x@1.0", "2.0", &err));
    check_text("x@1.0#any is current, not 2.0");
    check_fails(EXIA_ECONFLICT, exia_registry_activate(registry, "x@1.0", "none", &err));
    check_fails(EXIA_ECONFLICT, exia_registry_activate(registry, "x@1.0", "1.0#linux_other", &err));
    check_current(registry, "1.0/any");
    check_ok(exia_registry_activate(registry, "x@1.0", "1.0.0", &err));
    check_current(registry, "1.0/any");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

TEST(what_was_asked_for_is_current_unless_another_is_kept)
{
    static const char *const versions[] = {"1.0", "1.5", "2.0"};
    exia_registry *registry = open_with(versions, 3);
    install_x(registry, "x@1.5", 1); /* the first one */
    check_current(registry, "1.5/any");
    install_x(registry, "x@2.0", 1);
    check_current(registry, "1.5/any");
    install_x(registry, "x@1.0", 0);
    check_current(registry, "1.0/any");
    install_x(registry, "x@2.0", 0); /* installed it is already */
    check_current(registry, "2.0/any");
    install_x(registry, "x@1.0", 1);
    check_current(registry, "2.0/any");
    check_ok(exia_registry_activate(registry, "x@1.5", "2.0", &err));
    exia_registry_free(registry);
    registry = open_home("home");
    check_current(registry, "1.5/any");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

TEST(what_comes_along_is_current_only_where_nothing_was)
{
    static const char *const versions[] = {"1.0", "2.0"};
    exia_registry *registry = open_with(versions, 2);
    add_package(registry, "old", "1.0", "\"x < 2\"");
    add_package(registry, "new", "1.0", "\"x >= 2\"");
    install_x(registry, "old", 0);
    check_current(registry, "1.0/any");
    install_x(registry, "new", 0);
    check_current(registry, "1.0/any");
    exia_registry_free(registry);
}

TEST(uninstalling_the_current_version_leaves_the_best_that_remains)
{
    static const char *const versions[] = {"1.0", "1.10", "1.9", "2.0rc1", "3.0"};
    static const char *const left[] = {"1.10/any", "1.9/any", "1.0/any", "2.0rc1/any", ""};
    static const char *const gone[] = {"x@3.0", "x@1.10", "x@1.9", "x@1.0", "x@2.0rc1"};
    exia_registry *registry = open_with(versions, 5);
    for (size_t i = 0; i < 5; i++)
        install_x(registry, check_format("x@%s", versions[i]), 0);
    check_current(registry, "3.0/any");
    for (size_t i = 0; i < 5; i++) {
        check_ok(exia_registry_uninstall(registry, gone[i], &err));
        check_current(registry, left[i]);
    }
    assert_false(exists("home/installed/x"));
    install_x(registry, "x@1.0", 0);
    check_current(registry, "1.0/any");
    exia_registry_free(registry);
}

TEST(uninstalling_another_version_leaves_the_current_one)
{
    static const char *const versions[] = {"1.0", "2.0", "3.0"};
    exia_registry *registry = open_with(versions, 3);
    for (size_t i = 0; i < 3; i++)
        install_x(registry, check_format("x@%s", versions[i]), 0);
    check_ok(exia_registry_activate(registry, "x@1.0", NULL, &err));
    check_ok(exia_registry_uninstall(registry, "x@3.0", &err));
    check_current(registry, "1.0/any");
    exia_registry_free(registry);
}

TEST(with_a_tag_and_no_version_the_newest_is_meant)
{
    static const char *const versions[] = {"1.0", "2.0", "3.0"};
    exia_registry *registry = open_with(versions, 3);
    for (size_t i = 0; i < 3; i++)
        install_x(registry, check_format("x@%s", versions[i]), 0);
    check_ok(exia_registry_activate(registry, "x@2.0", NULL, &err));
    check_ok(exia_registry_activate(registry, "x#any", NULL, &err));
    check_current(registry, "3.0/any");
    exia_registry_free(registry);
}

TEST(a_package_for_another_platform_is_current_only_when_it_is_activated_by_its_tag)
{
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack_with("x", "1.0", "linux_other", NULL, "x"), NULL,
                                    NULL, &err));
    add_package(registry, "x", "0.5", NULL);
    install_x(registry, "x@1.0#linux_other", 0);
    check_current(registry, "");
    check_fails(EXIA_ENOTFOUND, exia_registry_activate(registry, "x", "none", &err));
    install_x(registry, "x@0.5", 0);
    check_current(registry, "0.5/any");
    check_ok(exia_registry_activate(registry, "x@1.0#linux_other", NULL, &err));
    check_current(registry, "1.0/linux_other");
    check_ok(exia_registry_uninstall(registry, "x@1.0", &err));
    check_current(registry, "0.5/any");
    exia_registry_free(registry);
}

TEST(of_two_platforms_of_a_version_that_of_this_machine_is_meant)
{
#if defined(__x86_64__)
    static const char tag[] = "linux_x86_64";
#else
    static const char tag[] = "linux_aarch64";
#endif
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack_with("x", "1.0", tag, NULL, "own"), NULL, NULL,
                                    &err));
    add_package(registry, "x", "1.0", NULL);
    install_x(registry, "x@1.0#any", 0);
    install_x(registry, "x", 1);
    check_current(registry, "1.0/any");
    assert_int_equal(rows_count(installed(registry, "x")), 2);
    check_ok(exia_registry_activate(registry, "x@1.0", NULL, &err));
    check_current(registry, check_format("1.0/%s", tag));
    check_ok(exia_registry_activate(registry, "x@1.0#any", NULL, &err));
    check_current(registry, "1.0/any");
    exia_registry_free(registry);
}

TEST(which_follows_the_link_to_the_current_version)
{
    static const char *const versions[] = {"1.0", "2.0"};
    char *package = NULL;
    exia_registry *registry = open_with(versions, 2);
    install_x(registry, "x@2.0", 0);
    install_x(registry, "x@1.0", 0);
    check_ok(exia_registry_which(&package, registry,
                                 check_path("home/installed/x/current/code/main.py"), &err));
    assert_string_equal(package, "x@1.0#any");
    exia_text_free(package);
    exia_registry_free(registry);
}

/* ---- what others did ---- */

TEST(what_stands_in_the_way_of_the_link_goes)
{
    static const char *const versions[] = {"1.0", "2.0"};
    exia_registry *registry = open_with(versions, 2);
    install_x(registry, "x@1.0", 0);
    assert_int_equal(unlink(check_path("home/installed/x/current")), 0);
    mkdir(check_path("home/installed/x/current"), 0755);
    check_write_file(check_path("home/installed/x/current/file"), "x", 1);
    install_x(registry, "x@2.0", 0);
    check_current(registry, "2.0/any");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

TEST(where_somebody_took_the_files_away_what_is_current_still_moves)
{
    static const char *const versions[] = {"1.0", "2.0"};
    exia_registry *registry = open_with(versions, 2);
    install_x(registry, "x@1.0", 0);
    install_x(registry, "x@2.0", 0);
    check_ok(exia__tree_remove(check_path("home/installed/x"), &err));
    check_ok(exia_registry_activate(registry, "x@1.0", NULL, &err));
    check_current(registry, "1.0/any");
    check_ok(exia_registry_uninstall(registry, "x@1.0", &err));
    check_ok(exia_registry_uninstall(registry, "x@2.0", &err));
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0); /* nothing was left for later */
    assert_int_equal(rmdir(check_path("home/installed")), 0);
}

TEST(a_record_that_cannot_be_read_is_none_and_a_newer_one_is_refused)
{
    static const char *const versions[] = {"1.0", "2.0"};
    exia_rows *rows = NULL;
    exia_registry *registry = open_with(versions, 2);
    install_x(registry, "x@2.0", 0);
    install_x(registry, "x@1.0", 0);
    exia__records *records = open_records(check_path("home"));
    check_ok(exia__records_put(NULL, records, "current", "x", "{}", EXIA_ANY, NULL, NULL, &err));
    assert_true(has(installed(registry, "x@2.0"), "\"current\":true"));
    check_ok(exia_registry_activate(registry, "x@2.0", "2.0", &err));
    check_current(registry, "2.0/any");
    check_ok(exia__records_put(NULL, records, "current", "x", "{\"format\": 2}", EXIA_ANY, NULL,
                               NULL, &err));
    check_fails(EXIA_EVERSION, exia_registry_installed(&rows, registry, NULL, &err));
    check_fails(EXIA_EVERSION, exia_registry_activate(registry, "x@1.0", NULL, &err));
    check_fails(EXIA_EVERSION, exia_registry_uninstall(registry, "x@1.0", &err));
    exia__records_free(records);
    exia_registry_free(registry);
    assert_true(exists("home/installed/x/1.0/any/veda.json"));
}

/* What a version of Exia installed that knew no current ones. */
TEST(where_no_record_is_the_best_is_current_and_stays_so_when_others_come_along)
{
    static const char *const versions[] = {"1.0", "2.0", "3.0"};
    exia_registry *registry = open_with(versions, 3);
    install_x(registry, "x@1.0", 0);
    install_x(registry, "x@2.0", 0);
    exia__records *records = open_records(check_path("home"));
    check_ok(exia__records_remove(records, "current", "x", EXIA_ANY, NULL, &err));
    exia__records_free(records);
    assert_int_equal(unlink(check_path("home/installed/x/current")), 0);
    assert_true(has(installed(registry, "x@2.0"), "\"current\":true"));
    add_package(registry, "app", "1.0", "\"x >= 3\"");
    install_x(registry, "app", 0);
    check_current(registry, "2.0/any");
    exia_registry_free(registry);
}

TEST(processes_that_activate_install_and_uninstall_at_once_agree_in_the_end)
{
    static const char *const versions[] = {"1.0", "2.0", "3.0"};
    exia_registry *registry = open_with(versions, 3);
    install_x(registry, "x@1.0", 0);
    exia_registry_free(registry);
    pid_t children[3];
    for (int c = 0; c < 3; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            exia_registry *own = NULL;
            exia_status rc = exia_registry_open(&own, check_path("home"), &err);
            const char *package = check_format("x@%d.0", c + 1);
            for (int i = 0; rc == EXIA_OK && i < 5; i++) {
                if (c == 0) {
                    rc = exia_registry_activate(own, package, NULL, &err);
                    continue;
                }
                rc = exia_registry_install(NULL, own, package, NULL, NULL, NULL, &err);
                if (rc == EXIA_OK)
                    rc = exia_registry_uninstall(own, package, &err);
            }
            if (rc < 0)
                fprintf(stderr, "%s\n", err.text);
            exia_registry_free(own);
            _exit(rc < 0);
        }
    }
    for (int c = 0; c < 3; c++) {
        int status = 1;
        waitpid(children[c], &status, 0);
        assert_int_equal(status, 0);
    }
    registry = open_home("home");
    check_current(registry, "1.0/any");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}
