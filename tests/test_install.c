/* What is installed lies in its place with all it needs, whatever lay there before. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/packages.h"

TEST(an_installed_package_lies_in_its_place_with_all_it_needs)
{
    exia_registry *registry = open_home("home");
    char *directory = NULL, *package = NULL;
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "base", "1.5", NULL);
    add_package(registry, "base", "2.0", NULL);
    add_package(registry, "app", "1.0", "\"base >= 1.1, < 2\"");
    check_ok(exia_registry_install(&directory, registry, "app", NULL, NULL, NULL, &err));
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
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
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
    add_package(one, "base", "1.0", NULL);
    add_package(one, "app", "1.0", "\"base\"");
    check_ok(exia_registry_push(NULL, one, "base", "prod", NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "app", "prod", NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, two, "app", NULL, NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, two, "app", "prod", NULL, NULL, &err));
    assert_int_equal(rows_count(installed(two, NULL)), 2);
    assert_true(exists("two/installed/base/1.0/any/veda.json"));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(what_was_asked_for_is_told_from_what_came_along)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "app", "1.0", "\"base\"");
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
    assert_true(has(installed(registry, "app"), "\"requested\":true"));
    assert_true(has(installed(registry, "base"), "\"requested\":false"));
    check_ok(exia_registry_install(NULL, registry, "base", NULL, NULL, NULL, &err));
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
    add_package(registry, "base", "1.0", NULL);
    flip_bytes(check_format("ls '%s'/*.veda", check_path("home/packages/blobs/packages")));
    add_package(registry, "app", "1.0", "\"base\"");
    check_fails(EXIA_ECORRUPT,
                exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
    assert_int_equal(rmdir(check_path("home/installed")), 0);
}

TEST(what_somebody_deleted_is_installed_again)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "x", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    assert_int_equal(system(check_format("rm -r '%s'", check_path("home/installed/x"))), 0);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    assert_true(exists("home/installed/x/1.0/any/veda.json"));
    assert_int_equal(rows_count(installed(registry, NULL)), 1);
    exia_registry_free(registry);
}

TEST(what_lies_at_the_place_without_a_row_is_replaced)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "x", "1.0", NULL);
    mkdir(check_path("home/installed/x"), 0755);
    mkdir(check_path("home/installed/x/1.0"), 0755);
    mkdir(check_path("home/installed/x/1.0/any"), 0755);
    check_write_file(check_path("home/installed/x/1.0/any/stale"), "old", 3);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    assert_false(exists("home/installed/x/1.0/any/stale"));
    assert_true(exists("home/installed/x/1.0/any/veda.json"));
    exia_registry_free(registry);
}

TEST(other_content_than_what_is_installed_is_a_conflict)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "x", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err)); /* it is there */
    check_ok(exia_registry_register(registry, pack_with("x", "1.0", "any", NULL, "other"), NULL,
                                    NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_text("uninstall it first");
    check_ok(exia_registry_uninstall(registry, "x", &err));
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
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
    add_package(registry, "x", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
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
