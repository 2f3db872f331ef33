/* Install: all that is needed or nothing, whenever a process dies. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
