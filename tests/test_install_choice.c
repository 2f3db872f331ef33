/* Which versions are installed: of what was asked for, and of all that it needs. */
#include <unistd.h>

#include "support/packages.h"

TEST(the_newest_final_version_is_installed_and_a_named_one_when_named)
{
    exia_registry *registry = open_home("home");
    static const char *const versions[] = {"1.9", "1.10", "2.0rc1"};
    for (size_t i = 0; i < 3; i++)
        add_package(registry, "x", versions[i], NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    assert_true(exists("home/installed/x/1.10/any"));
    check_ok(exia_registry_install(NULL, registry, "x@2.0.0rc1", NULL, NULL, NULL, &err));
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
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "base", "1.5", NULL);
    add_package(registry, "app", "1.0", "\"base >= 1\"");
    check_ok(exia_registry_install(NULL, registry, "base@1.0", NULL, NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
    assert_false(exists("home/installed/base/1.5"));
    check_ok(exia_registry_install(NULL, registry, "base", NULL, NULL, NULL, &err));
    assert_true(exists("home/installed/base/1.5"));
    check_ok(exia_registry_uninstall(registry, "base@1.0", &err)); /* the other one will do */
    check_fails(EXIA_ECONFLICT, exia_registry_uninstall(registry, "base", &err));
    exia_registry_free(registry);
}

TEST(an_upgrade_takes_the_newest_of_what_is_needed)
{
    const exia_install_options newest = {.struct_size = sizeof newest, .upgrade = 1};
    exia_registry *registry = open_home("home");
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "base", "1.5", NULL);
    add_package(registry, "app", "1.0", "\"base >= 1\"");
    check_ok(exia_registry_install(NULL, registry, "base@1.0", NULL, NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "app", NULL, &newest, NULL, &err));
    assert_true(exists("home/installed/base/1.5"));
    exia_registry_free(registry);
}

TEST(the_search_turns_back_where_newest_does_not_fit_newest)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "low", "1.0", NULL);
    add_package(registry, "low", "2.0", NULL);
    add_package(registry, "a", "1.0", "\"low < 2\"");
    add_package(registry, "a", "2.0", "\"low >= 2\"");
    add_package(registry, "b", "1.0", "\"low < 2\"");
    add_package(registry, "top", "1.0", "\"a\", \"b\"");
    check_ok(exia_registry_install(NULL, registry, "top", NULL, NULL, NULL, &err));
    assert_true(exists("home/installed/a/1.0/any"));
    assert_true(exists("home/installed/low/1.0/any"));
    assert_int_equal(rows_count(installed(registry, NULL)), 4);
    exia_registry_free(registry);
}

TEST(what_cannot_be_met_is_told_with_who_asks)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "app", "1.0", "\"gone >= 1\"");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
    check_text("app@1.0 needs \"gone >= 1\": there is no gone here");
    add_package(registry, "low", "1.0", NULL);
    add_package(registry, "low", "2.0", NULL);
    add_package(registry, "tool", "1.0", "\"low > 2\"");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, registry, "tool", NULL, NULL, NULL, &err));
    check_text("tool@1.0 needs \"low > 2\": of low there is only 2.0, 1.0 here");
    add_package(registry, "a", "1.0", "\"low < 2\"");
    add_package(registry, "b", "1.0", "\"low >= 2\"");
    add_package(registry, "top", "1.0", "\"a\", \"b\"");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, registry, "top", NULL, NULL, NULL, &err));
    check_text("b@1.0 needs \"low >= 2\"");
    check_text("a@1.0 needs \"low < 2\"");
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
}

TEST(packages_that_need_each_other_are_refused_with_the_cycle_named)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "a", "1.0", "\"b\"");
    add_package(registry, "b", "1.0", "\"c\"");
    add_package(registry, "c", "1.0", "\"a\"");
    add_package(registry, "top", "1.0", "\"a\"");
    check_fails(EXIA_ECYCLE, exia_registry_install(NULL, registry, "top", NULL, NULL, NULL, &err));
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
            add_package(registry, check_format("p%d", i), check_format("%d.0", v), needs);
        }
    }
    add_package(registry, "low", "3.0", NULL);
    add_package(registry, "top", "1.0",
                "\"p0\", \"p1\", \"p2\", \"p3\", \"p4\", \"p5\", \"p6\", \"p7\"");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, registry, "top", NULL, NULL, NULL, &err));
    check_text("p7 (every version) needs \"low < 1, > 5\": of low there is only 3.0 here");
    exia_registry_free(registry);
}

TEST(a_package_for_another_platform_is_installed_only_by_its_full_name)
{
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack_with("x", "1.0", "linux_other", NULL, "x"), NULL,
                                    NULL, &err));
    add_package(registry, "app", "1.0", "\"x\"");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
    check_text("app@1.0 needs \"x\": there is no x here; x 1.0 is for linux_other");
    check_ok(exia_registry_install(NULL, registry, "x@1.0#linux_other", NULL, NULL, NULL, &err));
    assert_true(exists("home/installed/x/1.0/linux_other/veda.json"));
    exia_registry_free(registry);
}

TEST(a_pre_release_is_taken_only_where_a_range_names_one)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "base", "2.0rc1", NULL);
    add_package(registry, "app", "1.0", "\"base >= 1\"");
    add_package(registry, "brave", "1.0", "\"base >= 2.0a1\"");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
    check_text("there is only 2.0rc1 here (a pre-release only where a range names one)");
    check_ok(exia_registry_install(NULL, registry, "brave", NULL, NULL, NULL, &err));
    assert_true(exists("home/installed/base/2.0rc1"));
    exia_registry_free(registry);
}

TEST(what_is_made_for_this_machine_is_taken_before_what_runs_on_any)
{
#ifdef __x86_64__
    static const char machine[] = "linux_x86_64";
#else
    static const char machine[] = "linux_aarch64";
#endif
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack_with("base", "1.0", "any", NULL, "any"), NULL,
                                    NULL, &err));
    check_ok(exia_registry_register(registry, pack_with("base", "1.0", machine, NULL, "fast"), NULL,
                                    NULL, &err));
    add_package(registry, "base", "0.9", NULL);
    add_package(registry, "app", "1.0", "\"base\"");
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
    assert_true(exists(check_format("home/installed/base/1.0/%s", machine)));
    assert_int_equal(rows_count(installed(registry, NULL)), 2);
    exia_registry_free(registry);
}
