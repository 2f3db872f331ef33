/* veda.lock: what an install took, the next one takes again; and locks that are no use. */
#include <stdlib.h>
#include <unistd.h>

#include "support/packages.h"

static exia_install_options with(const char *lock, int locked, int upgrade)
{
    return (exia_install_options){.struct_size = sizeof(exia_install_options),
                                  .upgrade = upgrade,
                                  .lock = lock,
                                  .locked = locked};
}

static exia_status install(exia_registry *registry, const char *package,
                           exia_install_options options)
{
    return exia_registry_install(NULL, registry, package, NULL, &options, NULL, &err);
}

static const char *text_of(const char *path)
{
    size_t size = 0;
    char *text = check_read_file(path, &size);
    const char *kept = check_format("%s", text);
    free(text);
    return kept;
}

/* app needs base; base is there as 1.0, and as 2.0 later. */
static exia_registry *open_shop(void)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "app", "1.0", "\"base >= 1\"");
    return registry;
}

static void start_anew(exia_registry *registry)
{
    check_ok(exia_registry_uninstall(registry, "app", &err));
    check_ok(exia_registry_uninstall(registry, "base", &err));
}

TEST(a_lock_file_is_written_and_then_obeyed)
{
    exia_registry *registry = open_shop();
    const char *lock = check_path("veda.lock");
    check_ok(install(registry, "app", with(lock, 0, 0)));
    const char *before = text_of(lock);
    assert_true(has(before, "\"format\": 1") && has(before, "\"name\": \"base\""));
    start_anew(registry);
    add_package(registry, "base", "2.0", NULL);
    check_ok(install(registry, "app", with(lock, 0, 0)));
    assert_true(exists("home/installed/base/1.0"));
    assert_false(exists("home/installed/base/2.0"));
    assert_string_equal(text_of(lock), before);
    start_anew(registry);
    check_ok(install(registry, "app", with(lock, 1, 0)));
    assert_true(exists("home/installed/base/1.0"));
    check_ok(install(registry, "app", with(lock, 0, 1)));
    assert_true(exists("home/installed/base/2.0"));
    assert_true(has(text_of(lock), "\"version\": \"2.0\""));
    exia_registry_free(registry);
}

TEST(the_same_packages_give_the_same_lock_file_wherever_they_come_from)
{
    exia_registry *one = open_home_with_remote("home"), *two = open_home_with_remote("other");
    add_package(one, "base", "1.0", NULL);
    add_package(one, "app", "1.0", "\"base >= 1\"");
    check_ok(exia_registry_push(NULL, one, "base", "prod", NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "app", "prod", NULL, NULL, &err));
    check_ok(install(one, "app", with(check_path("one.lock"), 0, 0)));
    const exia_install_options options = with(check_path("two.lock"), 0, 0);
    check_ok(exia_registry_install(NULL, two, "app", "prod", &options, NULL, &err));
    assert_string_equal(text_of(check_path("one.lock")), text_of(check_path("two.lock")));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_locked_install_takes_nothing_that_is_not_listed)
{
    exia_registry *registry = open_shop();
    const char *lock = check_path("veda.lock");
    check_fails(EXIA_ENOTFOUND, install(registry, "app", with(lock, 1, 0)));
    check_text("veda.lock");
    assert_false(exists("veda.lock"));
    check_ok(install(registry, "base", with(lock, 0, 0)));
    const char *before = text_of(lock);
    check_fails(EXIA_ENOTFOUND, install(registry, "app", with(lock, 1, 0)));
    check_text("does not list app");
    assert_string_equal(text_of(lock), before);
    check_ok(install(registry, "app", with(lock, 0, 0)));
    check_ok(install(registry, "app", with(lock, 1, 0)));
    assert_int_equal(rows_count(installed(registry, NULL)), 2);
    check_fails(EXIA_EINVAL, install(registry, "app", with(NULL, 1, 0)));
    check_fails(EXIA_EINVAL, install(registry, "app", with(lock, 1, 1)));
    exia_registry_free(registry);
}

TEST(a_digest_that_differs_is_a_conflict_and_nothing_is_installed)
{
    exia_registry *registry = open_shop();
    const char *lock = check_path("veda.lock");
    check_ok(install(registry, "app", with(lock, 0, 0)));
    const char *before = text_of(lock);
    start_anew(registry);
    check_ok(exia_registry_unregister(registry, "base@1.0", NULL, &err));
    check_ok(exia_registry_register(registry, pack_with("base", "1.0", "any", NULL, "forged"), NULL,
                                    NULL, &err));
    check_fails(EXIA_ECONFLICT, install(registry, "app", with(lock, 0, 0)));
    check_text("base@1.0");
    check_fails(EXIA_ECONFLICT, install(registry, "base", with(lock, 0, 0)));
    assert_string_equal(installed(registry, NULL), "");
    assert_string_equal(text_of(lock), before);
    exia_registry_free(registry);
}

TEST(what_the_lock_lists_and_nobody_has_is_told)
{
    exia_registry *registry = open_shop();
    const char *lock = check_path("veda.lock");
    check_ok(install(registry, "app", with(lock, 0, 0)));
    start_anew(registry);
    add_package(registry, "base", "2.0", NULL);
    check_ok(exia_registry_unregister(registry, "base@1.0", NULL, &err));
    check_fails(EXIA_ENOTFOUND, install(registry, "app", with(lock, 0, 0)));
    check_text("app@1.0 needs \"base >= 1\": there is no base here");
    check_text("holds base@1.0#any");
    check_fails(EXIA_ENOTFOUND, install(registry, "base@2.0", with(lock, 0, 0)));
    check_text("holds base@1.0#any");
    check_ok(install(registry, "app", with(lock, 0, 1)));
    exia_registry_free(registry);
}

TEST(an_upgrade_keeps_a_lock_in_which_all_that_was_asked_for_goes_together)
{
    exia_registry *registry = open_shop();
    const char *lock = check_path("veda.lock");
    add_package(registry, "old", "1.0", "\"base < 2\"");
    add_package(registry, "extra", "1.0", NULL);
    add_package(registry, "app", "0.9", "\"base\", \"extra\"");
    check_ok(install(registry, "old", with(lock, 0, 0)));
    check_ok(install(registry, "app@0.9", with(lock, 0, 0)));
    assert_true(has(text_of(lock), "extra"));
    add_package(registry, "base", "2.0", NULL);
    const char *before = text_of(lock);
    check_fails(EXIA_ECONFLICT, install(registry, "app", with(lock, 0, 1)));
    check_text("old@1.0");
    assert_string_equal(text_of(lock), before);
    assert_false(exists("home/installed/base/2.0"));
    check_ok(exia_registry_unregister(registry, "base@2.0", NULL, &err));
    check_ok(install(registry, "app", with(lock, 0, 1)));
    assert_false(has(text_of(lock), "extra")); /* nothing that is listed needs it any more */
    assert_true(has(text_of(lock), "\"old\""));
    exia_registry_free(registry);
}

TEST(a_file_that_is_no_lock_is_refused_and_left_alone)
{
    static const char entry[] = "{\"name\": \"base\", \"version\": \"1.0\", \"tag\": \"any\", "
                                "\"digest\": \"%064d\", \"dependencies\": []}";
    exia_registry *registry = open_shop();
    const char *lock = check_path("veda.lock"), *good = check_format(entry, 1);
    const struct {
        exia_status status;
        const char *text;
    } bad[] = {
        {EXIA_ECORRUPT, ""},
        {EXIA_ECORRUPT, "garbage \001\377"},
        {EXIA_ECORRUPT, "[]"},
        {EXIA_ECORRUPT, "{}"},
        {EXIA_ECORRUPT, "{\"format\": 1}"},
        {EXIA_ECORRUPT, "{\"format\": 1, \"packages\": {}}"},
        {EXIA_ECORRUPT, "{\"format\": 1, \"packages\": [1]}"},
        {EXIA_ECORRUPT, "{\"format\": 1, \"packages\": [{\"name\": \"base\"}]}"},
        {EXIA_ECORRUPT, check_format("{\"format\": 1, \"packages\": [%s, %s]}", good, good)},
        {EXIA_EVERSION, "{\"format\": 2, \"packages\": []}"},
        {EXIA_EVERSION, "{\"format\": 9}"},
        {EXIA_ECORRUPT,
         "{\"format\": 1, \"packages\": [{\"name\": \"../base\", \"version\": \"1\", "
         "\"tag\": \"any\", \"digest\": \"x\", \"dependencies\": []}]}"},
        {EXIA_ECORRUPT,
         check_format("{\"format\": 1, \"packages\": [{\"name\": \"../x\", \"version\": \"1\", "
                      "\"tag\": \"any\", \"digest\": \"%064d\", \"dependencies\": []}]}",
                      1)},
        {EXIA_ECORRUPT,
         check_format("{\"format\": 1, \"packages\": [{\"name\": \"x\", \"version\": \"one\", "
                      "\"tag\": \"any\", \"digest\": \"%064d\", \"dependencies\": []}]}",
                      1)},
        {EXIA_ECORRUPT,
         check_format("{\"format\": 1, \"packages\": [{\"name\": \"x\", \"version\": \"1\", "
                      "\"tag\": \"any\", \"digest\": \"%064d\", \"dependencies\": [\"y ? 1\"]}]}",
                      1)},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_write_file(lock, bad[i].text, strlen(bad[i].text));
        for (int way = 0; way < 3; way++) {
            check_fails(bad[i].status, install(registry, "app", with(lock, way == 1, way == 2)));
            check_text("veda.lock");
        }
        assert_string_equal(text_of(lock), bad[i].text);
    }
    check_fails(EXIA_EINVAL, install(registry, "app", with(check_directory(), 0, 0)));
    check_fails(EXIA_EINVAL, install(registry, "app", with("", 0, 0)));
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
}

TEST(a_lock_file_that_cannot_be_written_is_told_after_the_install)
{
    exia_registry *registry = open_shop();
    check_fails(EXIA_ENOTFOUND,
                install(registry, "app", with(check_path("nowhere/veda.lock"), 0, 0)));
    check_text("app is installed, but");
    assert_true(exists("home/installed/app/1.0"));
    exia_registry_free(registry);
}

TEST(a_plan_says_what_would_be_installed_and_changes_nothing)
{
    exia_registry *one = open_home_with_remote("home"), *two = open_home_with_remote("other");
    const exia_install_options options = with(check_path("veda.lock"), 0, 0);
    exia_rows *rows = NULL;
    add_package(one, "base", "1.0", NULL);
    add_package(one, "app", "1.0", "\"base >= 1\"");
    check_ok(exia_registry_push(NULL, one, "base", "prod", NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "app", "prod", NULL, NULL, &err));
    check_ok(exia_registry_plan(&rows, two, "app", "prod", &options, NULL, &err));
    const char *text = rows_text(rows);
    assert_int_equal(rows_count(text), 2);
    assert_true(strstr(text, "\"base\"") < strstr(text, "\"app\""));
    assert_true(has(text, "\"from\":\"prod\""));
    assert_string_equal(installed(two, NULL), "");
    assert_string_equal(query(two, NULL, NULL), "");
    assert_false(exists("veda.lock"));
    check_ok(exia_registry_install(NULL, two, "app", "prod", NULL, NULL, &err));
    check_ok(exia_registry_plan(&rows, two, "app", NULL, NULL, NULL, &err));
    text = rows_text(rows);
    assert_true(has(text, "\"from\":\"installed\""));
    check_fails(EXIA_EINVAL, exia_registry_plan(NULL, two, "app", NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_plan(&rows, two, NULL, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_plan(&rows, NULL, "app", NULL, NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_plan(&rows, two, "no", "prod", NULL, NULL, &err));
    assert_null(rows);
    exia_registry_free(one);
    exia_registry_free(two);
}
