/* What a query can ask of packages: versions, dates, lists, the latest of each. */
#include <stdio.h>

#include "support/packages.h"

/* "NAME@VERSION" of each row, one after the other. */
static const char *ask(exia_registry *registry, const char *filter, const char *remote)
{
    const char *found = "", *at = query(registry, filter, remote);
    char name[64], version[64];
    while (sscanf(at, "{\"name\":\"%63[^\"]\",\"version\":\"%63[^\"]\"", name, version) == 2) {
        found = check_format("%s%s%s@%s", found, *found ? " " : "", name, version);
        at = strchr(at, '\n') + 1;
    }
    return found;
}

static void check_asks(exia_registry *registry, const char *filter, const char *expected)
{
    const char *found = ask(registry, filter, NULL);
    if (strcmp(found, expected) != 0)
        fail_msg("%s gives \"%s\", not \"%s\"", filter, found, expected);
}

static exia_registry *open_depot(void)
{
    exia_registry *registry = open_home_with_remote("home");
    add_package(registry, "numbers", "1.9", NULL);
    add_package(registry, "numbers", "1.10", NULL);
    add_package(registry, "numbers", "2.0rc1", NULL);
    add_package(registry, "vision", "0.1", "\"numbers >= 1.9, < 2\"");
    add_package(registry, "numbers2", "1.0", "\"vision\"");
    return registry;
}

TEST(versions_compare_as_versions)
{
    exia_registry *registry = open_depot();
    check_asks(registry, "version >= '1.10'", "numbers@2.0rc1 numbers@1.10");
    check_asks(registry, "version < '1.10' and version > '1'", "numbers@1.9");
    check_asks(registry, "version = '1.10.0'", "numbers@1.10");
    check_asks(registry, "version in ('1.9.0', '1.0.0')", "numbers@1.9 numbers2@1.0");
    check_asks(registry, "'1.10' <= version", "numbers@2.0rc1 numbers@1.10");
    check_asks(registry, "order by version desc limit 3",
               "numbers@2.0rc1 numbers@1.10 numbers@1.9");
    check_asks(registry, "version like '1.%' and name = 'numbers' order by version",
               "numbers@1.9 numbers@1.10");
    exia_registry_free(registry);
}

TEST(a_version_that_is_none_is_refused)
{
    exia_registry *registry = open_home("home");
    static const char *const bad[] = {"version > 'v1'", "version = ''", "version = 1.10",
                                      "version in ('1.0', 'new')", "'../x' < version"};
    exia_rows *rows = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(EXIA_EINVAL, exia_registry_query(&rows, registry, bad[i], NULL, &err));
        check_text("filter");
        assert_null(rows);
    }
    exia_registry_free(registry);
}

TEST(what_depends_on_a_package_is_found_by_its_name)
{
    exia_registry *registry = open_depot();
    check_asks(registry, "'numbers' in dependencies", "vision@0.1");
    check_asks(registry, "'vision' in dependencies", "numbers2@1.0");
    check_asks(registry, "'numbers >= 1.9, < 2' in dependencies", "vision@0.1");
    check_asks(registry, "'numbers >= 1.9' in dependencies", "");
    check_asks(registry, "'number' in dependencies", "");
    check_asks(registry, "'numbers' not in dependencies and name like 'n%2'", "numbers2@1.0");
    exia_registry_free(registry);
}

TEST(components_and_entry_points_are_found_by_what_they_are)
{
    exia_registry *registry = open_depot();
    check_asks(registry, "'code' in components.kind and name = 'vision'", "vision@0.1");
    check_asks(registry, "'code/main.py' in components.path and name = 'vision'", "vision@0.1");
    check_asks(registry, "'model' in components.kind", "");
    check_asks(registry, "'main' in entry_points and entry_points.main = 'main:run' limit 1",
               "numbers@2.0rc1");
    check_asks(registry, "'predict' in entry_points", "");
    assert_true(
        has(query(registry, "name = 'vision'", NULL), "\"entry_points\":{\"main\":\"main:run\"}"));
    exia_registry_free(registry);
}

TEST(dates_compare_as_dates)
{
    exia_registry *registry = open_depot();
    check_asks(registry, "time < '2020-01-01'", "");
    check_asks(registry, "time > '2020-01-01' and time < '9999' and name = 'vision'", "vision@0.1");
    check_asks(registry, "order by time desc limit 2", "numbers2@1.0 vision@0.1");
    exia_registry_free(registry);
}

TEST(the_latest_is_the_newest_of_its_name_and_tag_and_final_if_there_is_one)
{
    exia_registry *registry = open_depot();
    check_asks(registry, "latest = true", "numbers@1.10 numbers2@1.0 vision@0.1");
    check_ok(exia_registry_register(
        registry, pack_with("numbers", "1.8", "linux_x86_64", NULL, "native"), NULL, NULL, &err));
    check_asks(registry, "latest = true and name = 'numbers'", "numbers@1.10 numbers@1.8");
    add_package(registry, "young", "1.0a1", NULL);
    add_package(registry, "young", "1.0a2", NULL);
    check_asks(registry, "latest = true and name = 'young'", "young@1.0a2");
    check_asks(registry, "latest = false and name = 'young'", "young@1.0a1");
    check_ok(exia_registry_unregister(registry, "numbers@1.10", NULL, &err));
    check_asks(registry, "latest = true and tag = 'any' and name = 'numbers'", "numbers@1.9");
    exia_registry_free(registry);
}

TEST(a_remote_answers_the_same_questions)
{
    exia_registry *registry = open_depot();
    static const char *const packages[] = {"numbers@1.9", "numbers@1.10", "vision", "numbers2"};
    assert_string_equal(ask(registry, "version >= '1.10'", "prod"), "");
    for (size_t i = 0; i < 4; i++)
        check_ok(exia_registry_push(NULL, registry, packages[i], "prod", NULL, NULL, &err));
    check_ok(exia_registry_update(registry, "vision", "{\"stage\": \"prod\"}", "prod", &err));
    assert_string_equal(ask(registry, "version >= '1.10'", "prod"), "numbers@1.10");
    assert_string_equal(ask(registry, "'numbers' in dependencies", "prod"), "vision@0.1");
    assert_string_equal(ask(registry, "latest = true and facts.stage = 'prod'", "prod"),
                        "vision@0.1");
    check_asks(registry, "facts.stage = 'prod'", "");
    exia_registry_free(registry);
}

TEST(hostile_filters_are_refused_or_find_nothing)
{
    exia_registry *registry = open_depot();
    static const char *const bad[] = {
        "'; drop table record; --",
        "name = 'x",
        "name = \"x\"",
        "\xff\xfe",
        "digest",
        "limit -1",
        "versoin = '1'",
        "name in",
        "'x' in (name)",
        "name = 'x' order by",
    };
    exia_rows *rows = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_fails(EXIA_EINVAL, exia_registry_query(&rows, registry, bad[i], NULL, &err));
    check_asks(registry, "name = '../../etc'", "");
    check_asks(registry, "name = ''", "");
    check_asks(registry, "name = 'x'' or 1 = 1'", "");
    check_asks(registry, "facts.a.b.c = 1 or tag = '%'", "");
    exia_registry_free(registry);
}
