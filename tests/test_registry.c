/* What is registered: found, told of, changed, taken away. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/packages.h"

/* ---- bad input ---- */

TEST(null_arguments_are_refused)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_fails(EXIA_EINVAL, exia_registry_open(NULL, check_path("home"), &err));
    check_fails(EXIA_EINVAL, exia_registry_register(NULL, "x", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_register(registry, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_query(NULL, registry, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_query(&rows, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_update(registry, "x", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_update(registry, NULL, "{}", NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_unregister(registry, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_push(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_pull(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_install(NULL, registry, NULL, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_installed(NULL, registry, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_which(NULL, registry, "/", &err));
    check_fails(EXIA_EINVAL, exia_registry_uninstall(registry, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_remotes(NULL, registry, &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", NULL, "file:/x", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, NULL, "/x", "/x", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_remove(registry, NULL, &err));
    assert_null(exia_registry_home(NULL));
    exia_registry_free(NULL);
    exia_registry_free(registry);
}

TEST(selectors_that_are_none_are_refused)
{
    exia_registry *registry = open_home("home");
    char *lengthy = malloc(10001);
    memset(lengthy, 'a', 10000);
    lengthy[10000] = '\0';
    const char *const bad[] = {"",     "a/b",    "../x",  "Upper",   "x@",
                               "x@v1", "x@1.0#", "x#",    "x@1#a/b", "x y",
                               ".x",   "x@1@2",  "x@../", lengthy,   "x@1#any#any"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(EXIA_EINVAL,
                    exia_registry_push(NULL, registry, bad[i], "prod", NULL, NULL, &err));
        check_text("package \"");
        check_fails(EXIA_EINVAL,
                    exia_registry_install(NULL, registry, bad[i], NULL, NULL, NULL, &err));
        check_fails(EXIA_EINVAL, exia_registry_uninstall(registry, bad[i], &err));
    }
    free(lengthy);
    exia_registry_free(registry);
}

TEST(unknown_packages_and_remotes_are_not_found)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_fails(EXIA_ENOTFOUND, exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_text("x is not registered here");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_text("x is not registered here; a source (--from REMOTE) would pull it");
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_text("there is no remote \"prod\"");
    check_fails(EXIA_ENOTFOUND, exia_registry_query(&rows, registry, NULL, "prod", &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_unregister(registry, "x@1", NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_update(registry, "x", "{}", NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_registry_register(registry, check_path("none.veda"), NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_remote_remove(registry, "prod", &err));
    assert_string_equal(query(registry, NULL, NULL), "");
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
}

TEST(a_filter_that_is_none_is_refused)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_fails(EXIA_EINVAL, exia_registry_query(&rows, registry, "name ==", NULL, &err));
    assert_null(rows);
    exia_registry_free(registry);
}

TEST(files_that_are_no_packages_are_not_registered)
{
    exia_registry *registry = open_home("home");
    size_t size = 0;
    char *good = check_read_file(pack("x", "1.0"), &size);
    check_write_file(check_path("empty"), "", 0);
    check_write_file(check_path("short"), good, size / 2);
    good[size / 3] ^= 4;
    check_write_file(check_path("flipped"), good, size);
    check_write_file(check_path("foreign"), "hello, this is no package at all", 32);
    const char *const bad[] = {"empty", "short", "flipped", "foreign"};
    for (size_t i = 0; i < 4; i++)
        check_fails(EXIA_ECORRUPT,
                    exia_registry_register(registry, check_path(bad[i]), NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_register(registry, check_directory(), NULL, NULL, &err));
    assert_int_equal(mkfifo(check_path("fifo"), 0600), 0);
    check_fails(EXIA_EINVAL,
                exia_registry_register(registry, check_path("fifo"), NULL, NULL, &err));
    assert_string_equal(query(registry, NULL, NULL), "");
    free(good);
    exia_registry_free(registry);
}

/* ---- register, query, update, unregister ---- */

TEST(a_registered_package_is_found_with_all_it_says_of_itself)
{
    exia_registry *registry = open_home("home");
    const char *file = pack_with("vision", "1.2", "any", "\"numbers >= 1\"", "print('seen')");
    check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    const char *row = query(registry, NULL, NULL);
    assert_int_equal(rows_count(row), 1);
    assert_true(has(row, "{\"name\":\"vision\",\"version\":\"1.2\",\"tag\":\"any\",\"digest\":\""));
    assert_true(has(row, "\"file\":\"vision-1.2-any.veda\""));
    assert_true(has(row, "\"description\":\"says print('seen')\""));
    assert_true(has(row, "\"components\":[{\"path\":\"code/main.py\",\"kind\":\"code\"}]"));
    assert_true(has(row, "\"dependencies\":[\"numbers >= 1\"]"));
    assert_true(has(row, "\"signed\":false") && has(row, "\"facts\":{}") &&
                has(row, "\"time\":\""));
    struct stat info;
    assert_int_equal(stat(file, &info), 0);
    assert_true(has(row, check_format("\"size\":%lld,", (long long)info.st_size)));
    exia_registry_free(registry);
}

TEST(registering_again_is_no_error_and_one_row)
{
    exia_registry *registry = open_home("home");
    const char *file = pack("x", "1.0");
    for (int i = 0; i < 3; i++)
        check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    exia__records *records = open_records(check_path("home"));
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 1);
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(other_content_under_a_registered_identity_is_refused)
{
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    const char *before = query(registry, NULL, NULL);
    const char *other = pack_with("x", "1.0", "any", NULL, "something else");
    check_fails(EXIA_EEXISTS, exia_registry_register(registry, other, NULL, NULL, &err));
    check_text("give it a new version");
    const char *spelled = pack_with("x", "1.0.0", "any", NULL, "hello");
    check_fails(EXIA_EEXISTS, exia_registry_register(registry, spelled, NULL, NULL, &err));
    check_text("another spelling");
    assert_string_equal(query(registry, NULL, NULL), before);
    exia_registry_free(registry);
}

TEST(the_same_content_packed_in_another_way_is_the_same_package)
{
    exia_registry *registry = open_home("home");
    exia_pack_options options = {.struct_size = sizeof options, .level = 19};
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    const char *before = query(registry, NULL, NULL);
    const char *file = check_path("smaller.veda");
    const char *workspace = NULL;
    for (int i = 1; workspace == NULL || access(workspace, F_OK) != 0; i++)
        workspace = check_path(check_format("workspace-%d", i));
    check_ok(exia_package_write(NULL, workspace, file, &options, NULL, &err));
    check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    assert_string_equal(query(registry, NULL, NULL), before);
    exia_registry_free(registry);
}

TEST(a_query_filters_orders_and_limits)
{
    exia_registry *registry = open_home("home");
    static const char *const versions[] = {"1.9", "1.10", "1.2", "2.0rc1", "2.0"};
    for (size_t i = 0; i < 5; i++)
        check_ok(exia_registry_register(registry, pack("x", versions[i]), NULL, NULL, &err));
    check_ok(exia_registry_register(registry, pack("a", "1.0"), NULL, NULL, &err));
    const char *all = query(registry, NULL, NULL);
    assert_int_equal(rows_count(all), 6);
    static const char *const order[] = {"\"a\"", "\"2.0\"", "2.0rc1", "1.10", "1.9", "1.2"};
    for (size_t i = 0; i < 6; i++) {
        all = strstr(all, order[i]);
        assert_non_null(all);
    }
    assert_int_equal(rows_count(query(registry, "name = 'x'", NULL)), 5);
    assert_int_equal(rows_count(query(registry, "name = 'x' and version = '1.9'", NULL)), 1);
    assert_int_equal(rows_count(query(registry, "name = 'No/Such'", NULL)), 0);
    assert_int_equal(rows_count(query(registry, "name = 'x' or name = 'a'", NULL)), 6);
    assert_true(has(query(registry, "name = 'x' limit 1", NULL), "\"version\":\"2.0\""));
    assert_true(has(query(registry, "order by size limit 1", NULL), "\"size\":"));
    exia_registry_free(registry);
}

TEST(an_update_replaces_the_facts)
{
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_update(registry, "x", "{\"a\": 1, \"b\": [2]}", NULL, &err));
    check_ok(exia_registry_update(registry, "x@1", "{\"c\": {\"d\": 3}}", NULL, &err));
    assert_true(has(query(registry, "facts.c.d = 3", NULL), "\"facts\":{\"c\":{\"d\":3}}"));
    static const char *const bad[] = {"", "[]", "5", "{", "{\"a\": 1, \"a\": 2}", "{} {}"};
    for (size_t i = 0; i < 6; i++)
        check_fails(EXIA_EINVAL, exia_registry_update(registry, "x", bad[i], NULL, &err));
    assert_int_equal(rows_count(query(registry, "facts.c.d = 3", NULL)), 1);
    check_fails(EXIA_ENOTFOUND, exia_registry_update(registry, "x@2", "{}", NULL, &err));
    check_text("x@2 is not registered here: there is x@1.0#any");
    exia_registry_free(registry);
}

TEST(an_unregistered_package_is_gone_and_may_come_back)
{
    exia_registry *registry = open_home("home");
    const char *file = pack("x", "1.0");
    check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_unregister(registry, "x", NULL, &err));
    check_text("say which version");
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    assert_string_equal(query(registry, NULL, NULL), "");
    assert_int_equal(rmdir(check_path("home/packages/blobs/packages")), 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_unregister(registry, "x@1.0", NULL, &err));
    check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0.0#any", NULL, &err));
    const char *other = pack_with("x", "1.0", "any", NULL, "something else");
    check_ok(exia_registry_register(registry, other, NULL, NULL, &err));
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 1);
    exia_registry_free(registry);
}

TEST(what_comes_and_goes_for_years_leaves_no_history_here)
{
    exia_registry *registry = open_home("home");
    const char *files[] = {pack("x", "1.0"), pack_with("x", "1.0", "any", NULL, "something else")};
    for (int year = 0; year < 6; year++) {
        check_ok(exia_registry_register(registry, files[year % 2], NULL, NULL, &err));
        check_ok(exia_registry_update(registry, "x", "{\"year\": 1}", NULL, &err));
        check_ok(exia_registry_update(registry, "x", "{\"year\": 2}", NULL, &err));
        check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    }
    assert_string_equal(query(registry, NULL, NULL), "");
    exia_registry_free(registry);
    assert_int_equal(count_records(check_path("home/packages/catalog.db"), "package"), 1);
    assert_int_equal(count_records(check_path("home/packages/catalog.db"), "identity"), 0);
}

TEST(on_a_remote_an_identity_keeps_its_meaning_after_it_is_unregistered)
{
    exia_registry *registry = open_home_with_remote("home");
    const char *file = pack("x", "1.0");
    check_ok(exia_registry_register(registry, file, "prod", NULL, &err));
    assert_string_equal(query(registry, NULL, NULL), "");
    check_ok(exia_registry_unregister(registry, "x@1.0", "prod", &err));
    assert_string_equal(query(registry, NULL, "prod"), "");
    check_fails(EXIA_EEXISTS,
                exia_registry_register(registry, pack_with("x", "1.0", "any", NULL, "other"),
                                       "prod", NULL, &err));
    check_text("remote prod: ");
    check_fails(EXIA_EEXISTS,
                exia_registry_register(registry, pack("x", "1.0.0"), "prod", NULL, &err));
    check_ok(exia_registry_register(registry, file, "prod", NULL, &err));
    check_ok(exia_registry_update(registry, "x", "{\"a\": 1}", "prod", &err));
    assert_true(has(query(registry, NULL, "prod"), "\"facts\":{\"a\":1}"));
    exia_registry_free(registry);
}

TEST(platforms_are_told_apart)
{
    exia_registry *registry = open_home("home");
    static const char *const tags[] = {"any", "linux_x86_64", "linux_aarch64", "linux_other"};
    for (size_t i = 0; i < 4; i++)
        check_ok(exia_registry_register(registry, pack_with("x", "1.0", tags[i], NULL, tags[i]),
                                        NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_unregister(registry, "x@1.0", NULL, &err));
    check_text("say which one");
    check_ok(exia_registry_update(registry, "x", "{\"here\": true}", NULL, &err));
    const char *row = query(registry, "facts.here = true", NULL);
    assert_false(has(row, "other") || has(row, "\"any\""));
    check_ok(exia_registry_unregister(registry, "x@1.0#any", NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0#linux_x86_64", NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0#linux_aarch64", NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_update(registry, "x", "{}", NULL, &err));
    check_text("for this platform: there is x@1.0#linux_other");
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    exia_registry_free(registry);
}

/* ---- no memory ---- */

static exia_status open_query_close(void *payload, exia_error *error)
{
    exia_registry *registry = NULL;
    exia_rows *rows = NULL, *remotes = NULL;
    const char *row = NULL;
    exia_status rc = exia_registry_open(&registry, payload, error);
    if (rc == EXIA_OK)
        rc = exia_registry_query(&rows, registry, "size > 1 order by name", NULL, error);
    if (rc == EXIA_OK)
        rc = exia_rows_next(&row, rows, error);
    if (rc == EXIA_OK)
        rc = exia_registry_remotes(&remotes, registry, error);
    exia_rows_free(rows);
    exia_rows_free(remotes);
    exia_registry_free(registry);
    return rc;
}

TEST(opening_and_asking_survive_a_lack_of_memory)
{
    exia_registry *registry = open_home_with_remote("home");
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_register(registry, pack("x", "1.1"), NULL, NULL, &err));
    exia_registry_free(registry);
    check_survives_no_memory(open_query_close, (void *)check_path("home"));
}

typedef struct paths {
    const char *home, *remote, *file;
} paths;

static exia_status register_and_forget(void *payload, exia_error *error)
{
    const paths *where = payload;
    exia_registry *registry = NULL;
    /* events are never removed: without a new remote each run would have more to read */
    exia_status rc = exia__tree_remove(where->remote, error);
    if (rc == EXIA_OK)
        rc = exia_registry_open(&registry, where->home, error);
    if (rc == EXIA_OK)
        rc = exia_registry_register(registry, where->file, "prod", NULL, error);
    if (rc == EXIA_OK)
        rc = exia_registry_update(registry, "x", "{\"a\": 1}", "prod", error);
    if (rc == EXIA_OK)
        rc = exia_registry_unregister(registry, "x@1.0", "prod", error);
    exia_registry_free(registry);
    return rc;
}

TEST(registering_survives_a_lack_of_memory)
{
    paths where = {check_path("home"), check_path("remote"), pack("x", "1.0")};
    exia_registry_free(open_home_with_remote("home"));
    check_survives_no_memory(register_and_forget, &where);
    exia_registry *registry = open_home("home");
    assert_string_equal(query(registry, NULL, "prod"), "");
    exia_registry_free(registry);
}
