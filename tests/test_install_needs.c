/* What an installed package is loaded with, where several versions lie side by side. */
#include <string.h>

#include <stdio.h>

#include "support/packages.h"

static const char *needs(exia_registry *registry, const char *package)
{
    exia_rows *rows = NULL;
    check_ok(exia_registry_needs(&rows, registry, package, &err));
    const char *text = rows_text(rows), *list = "";
    for (const char *line = text; line != NULL && *line != '\0';) {
        const char *name = strstr(line, "\"name\":\""), *version = strstr(line, "\"version\":\"");
        const char *end = strchr(line, '\n');
        list = check_format("%s%s%.*s@%.*s", list, *list ? " " : "", (int)strcspn(name + 8, "\""),
                            name + 8, (int)strcspn(version + 11, "\""), version + 11);
        line = end ? end + 1 : NULL;
    }
    return list;
}

static void install(exia_registry *registry, const char *package, int upgrade)
{
    const exia_install_options options = {.struct_size = sizeof options, .upgrade = upgrade};
    check_ok(exia_registry_install(NULL, registry, package, NULL, &options, NULL, &err));
}

/* app 1.0, which needs base, was installed with base 1.0; then came 2.0, which is current. */
static exia_registry *open_side_by_side(const char *need)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "app", "1.0", need);
    install(registry, "app", 0);
    add_package(registry, "base", "1.5", NULL);
    add_package(registry, "base", "2.0", NULL);
    install(registry, "base@1.5", 0);
    install(registry, "base@2.0", 0);
    return registry;
}

TEST(what_is_not_installed_has_no_needs)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_fails(EXIA_ENOTFOUND, exia_registry_needs(&rows, registry, "app", &err));
    check_text("app is not installed");
    check_fails(EXIA_EINVAL, exia_registry_needs(NULL, registry, "app", &err));
    check_fails(EXIA_EINVAL, exia_registry_needs(&rows, registry, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_needs(&rows, registry, "App", &err));
    check_fails(EXIA_EINVAL, exia_registry_needs(&rows, NULL, "app", &err));
    check_ok(exia_registry_register(registry, pack_with("far", "1.0", "linux_other", NULL, "far"),
                                    NULL, NULL, &err));
    install(registry, "far#linux_other", 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_needs(&rows, registry, "far", &err));
    assert_null(rows);
    assert_string_equal(needs(registry, "far#linux_other"), "far@1.0");
    exia_registry_free(registry);
}

TEST(a_need_is_met_by_what_was_resolved_for_it_whatever_is_current)
{
    exia_registry *registry = open_side_by_side("\"base\"");
    assert_string_equal(needs(registry, "app"), "base@1.0 app@1.0");
    assert_string_equal(needs(registry, "base"), "base@2.0");
    assert_string_equal(needs(registry, "base@1.5"), "base@1.5");
    install(registry, "app", 1); /* asked for again, with the newest */
    assert_string_equal(needs(registry, "app"), "base@2.0 app@1.0");
    check_ok(exia_registry_activate(registry, "base@1.0", NULL, &err));
    assert_string_equal(needs(registry, "app"), "base@2.0 app@1.0");
    exia_registry_free(registry);
}

TEST(where_what_was_resolved_is_gone_the_best_that_is_admitted_takes_its_place)
{
    exia_registry *registry = open_side_by_side("\"base < 2\"");
    check_ok(exia_registry_uninstall(registry, "base@1.0", &err));
    assert_true(has(installed(registry, "base@2.0"), "\"current\":true"));
    assert_string_equal(needs(registry, "app"), "base@1.5 app@1.0");
    check_fails(EXIA_ECONFLICT, exia_registry_uninstall(registry, "base@1.5", &err));
    exia_registry_free(registry);
}

TEST(where_what_was_resolved_is_gone_the_current_one_is_taken_if_it_is_admitted)
{
    exia_registry *registry = open_side_by_side("\"base\"");
    check_ok(exia_registry_activate(registry, "base@1.5", NULL, &err));
    check_ok(exia_registry_uninstall(registry, "base@1.0", &err));
    assert_string_equal(needs(registry, "app"), "base@1.5 app@1.0");
    exia_registry_free(registry);
}

/* Who needs it first would be content with the current one, who needs it later is not. */
TEST(one_version_is_taken_that_all_who_need_it_admit)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "base", "2.0", NULL);
    add_package(registry, "left", "1.0", "\"base\"");
    add_package(registry, "right", "1.0", "\"base < 2 || > 7\"");
    add_package(registry, "app", "1.0", "\"left\", \"right\"");
    add_package(registry, "both", "1.0", "\"app\"");
    install(registry, "both", 0); /* app only comes along */
    install(registry, "base@2.0", 0);
    assert_true(has(installed(registry, "base@2.0"), "\"current\":true"));
    assert_string_equal(needs(registry, "left"), "base@2.0 left@1.0");
    assert_true(has(needs(registry, "app"), "base@1.0"));
    assert_true(has(needs(registry, "both"), "base@1.0"));
    exia_registry_free(registry);
}

TEST(what_is_installed_and_does_not_go_together_is_told)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "base", "2.0", NULL);
    add_package(registry, "left", "1.0", "\"base < 2\"");
    add_package(registry, "left", "2.0", NULL);
    add_package(registry, "right", "1.0", "\"base > 1\"");
    add_package(registry, "app", "1.0", "\"left\", \"right\"");
    install(registry, "app", 0);
    install(registry, "left@1.0", 0);
    /* 1.0 meets the need alone, but not beside the others */
    check_fails(EXIA_ECONFLICT, exia_registry_uninstall(registry, "left@2.0", &err));
    check_text("left@2.0 is needed by app@1.0");
    assert_int_equal(rename(check_path("home/installed/left/2.0"), check_path("gone")), 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_needs(&rows, registry, "app", &err));
    check_text("what is installed does not go together");
    check_text("left@1.0 needs \"base < 2\"");
    exia_registry_free(registry);
}

TEST(what_was_resolved_for_a_package_is_not_pruned)
{
    const exia_prune_options options = {.struct_size = sizeof options, .apply = 1};
    exia_registry *registry = open_side_by_side("\"base\"");
    exia_rows *rows = NULL;
    check_ok(exia_registry_prune(&rows, registry, &options, NULL, &err));
    assert_string_equal(rows_text(rows), "");
    assert_string_equal(needs(registry, "app"), "base@1.0 app@1.0");
    install(registry, "app", 1);
    check_ok(exia_registry_prune(&rows, registry, &options, NULL, &err));
    assert_true(has(rows_text(rows), "\"version\":\"1.0\""));
    assert_false(exists("home/installed/base/1.0"));
    exia_registry_free(registry);
}
