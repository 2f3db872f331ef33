/* The home, its remotes, and what is registered: events, identities, selectors. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "registry/publish.h"
#include "store/store.h"
#include "support/packages.h"

/* Read or write records behind the registry's back. */
static exia__records *open_records(const char *home)
{
    exia__records *records = NULL;
    check_ok(exia__records_open(&records, check_format("sqlite:%s/packages/catalog.db", home),
                                EXIA_STORE_WRITE, NULL, &err));
    return records;
}

static int has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

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
    check_fails(EXIA_EINVAL, exia_registry_push(NULL, registry, "x", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_pull(NULL, registry, "x", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_install(NULL, registry, NULL, NULL, NULL, &err));
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
        check_fails(EXIA_EINVAL, exia_registry_push(NULL, registry, bad[i], "prod", NULL, &err));
        check_text("package \"");
        check_fails(EXIA_EINVAL, exia_registry_install(NULL, registry, bad[i], NULL, NULL, &err));
        check_fails(EXIA_EINVAL, exia_registry_uninstall(registry, bad[i], &err));
    }
    free(lengthy);
    exia_registry_free(registry);
}

TEST(unknown_packages_and_remotes_are_not_found)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_fails(EXIA_ENOTFOUND, exia_registry_push(NULL, registry, "x", "prod", NULL, &err));
    check_text("x is not registered here");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    check_text("x is not registered here; a source (--from REMOTE) would pull it");
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, registry, "x", "prod", NULL, &err));
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

/* ---- the home ---- */

TEST(a_home_is_made_and_opened_again)
{
    struct stat info;
    exia_registry *registry = open_home("home");
    assert_string_equal(exia_registry_home(registry), check_path("home"));
    assert_int_equal(stat(check_path("home/staging"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(stat(check_path("home/packages/catalog.db"), &info), 0);
    assert_int_equal(stat(check_path("home/journal.db"), &info), 0);
    exia_registry *second = open_home("home");
    exia_registry_free(registry);
    exia_registry_free(second);
}

TEST(a_home_under_a_file_is_refused)
{
    exia_registry *registry = NULL;
    check_write_file(check_path("file"), "", 0);
    assert_true(exia_registry_open(&registry, check_path("file"), &err) < 0);
    assert_true(exia_registry_open(&registry, check_path("file/below"), &err) < 0);
    assert_null(registry);
}

TEST(a_catalogue_that_is_no_database_is_refused)
{
    exia_registry *registry = NULL;
    mkdir(check_path("home"), 0755);
    mkdir(check_path("home/packages"), 0755);
    check_write_file(check_path("home/packages/catalog.db"), "this is no database, is it?", 27);
    check_fails(EXIA_ECORRUPT, exia_registry_open(&registry, check_path("home"), &err));
    assert_null(registry);
}

TEST(a_configuration_that_is_broken_or_newer_is_an_error_and_stays_as_it_is)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    const char *path = check_path("home/config.json");
    check_write_file(path, "{\"format\": 1,", 13);
    check_fails(EXIA_ECORRUPT, exia_registry_remotes(&rows, registry, &err));
    check_text("config.json");
    check_fails(EXIA_ECORRUPT, exia_registry_remote_add(registry, "r", "/r", "/r", &err));
    check_write_file(path, "{\"format\": 2, \"remotes\": {}}", 28);
    check_fails(EXIA_EVERSION, exia_registry_remotes(&rows, registry, &err));
    check_write_file(path, "{\"format\": 1, \"remotes\": []}", 28);
    check_fails(EXIA_ECORRUPT, exia_registry_remotes(&rows, registry, &err));
    check_write_file(path, "{\"format\": 1, \"remotes\": {\"r\": {}}}", 35);
    check_fails(EXIA_ECORRUPT, exia_registry_remotes(&rows, registry, &err));
    check_fails(EXIA_ECORRUPT, exia_registry_query(&rows, registry, NULL, "r", &err));
    exia_registry_free(registry);
}

TEST(in_a_forked_child_the_handle_is_closed)
{
    exia_registry *registry = open_home("home");
    pid_t child = fork();
    if (child == 0) {
        exia_rows *rows = NULL;
        int bad = exia_registry_query(&rows, registry, NULL, NULL, &err) != EXIA_ECLOSED ||
                  exia_registry_install(NULL, registry, "x", NULL, NULL, &err) != EXIA_ECLOSED;
        exia_registry_free(registry);
        _exit(bad);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    exia_registry_free(registry);
}

TEST(a_home_of_somebody_else_is_read_and_not_written)
{
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    const char *more = pack("x", "2.0");
    exia_registry_free(registry);
    if (geteuid() != 0)
        skip();
    chmod(check_directory(), 0755);
    pid_t child = fork();
    if (child == 0) {
        exia_rows *rows = NULL;
        const char *row = NULL;
        int bad = setgid(65534) != 0 || setuid(65534) != 0 ||
                  exia_registry_open(&registry, check_path("home"), &err) != EXIA_OK ||
                  exia_registry_query(&rows, registry, NULL, NULL, &err) != EXIA_OK ||
                  exia_rows_next(&row, rows, &err) != EXIA_OK ||
                  exia_registry_register(registry, more, NULL, NULL, &err) != EXIA_EDENIED;
        if (bad)
            fprintf(stderr, "%s\n", err.text);
        exia_rows_free(rows);
        exia_registry_free(registry);
        _exit(bad);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

/* ---- remotes ---- */

TEST(remotes_are_kept_listed_and_removed)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    struct stat info;
    check_ok(exia_registry_remote_add(registry, "prod", "sqlite:/r/c.db", "file:/r/b", &err));
    check_ok(exia_registry_remote_add(registry, "prod", "sqlite:/r/c.db", "file:/r/b", &err));
    check_fails(EXIA_EEXISTS,
                exia_registry_remote_add(registry, "prod", "sqlite:/o/c.db", "file:/r/b", &err));
    check_ok(exia_registry_remote_add(registry, "disk", "/some where", "/some where", &err));
    assert_int_equal(stat(check_path("home/config.json"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    exia_registry_free(registry);
    registry = open_home("home");
    check_ok(exia_registry_remotes(&rows, registry, &err));
    const char *text = rows_text(rows);
    assert_int_equal(rows_count(text), 2);
    assert_true(has(text, "{\"name\":\"prod\",\"records\":\"sqlite:/r/c.db\",\"packages\":"
                          "\"file:/r/b\"}"));
    assert_true(has(text, "\"records\":\"sqlite:/some%20where/catalog.db\",\"packages\":"
                          "\"file:/some%20where/blobs\""));
    check_ok(exia_registry_remote_remove(registry, "disk", &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_remote_remove(registry, "disk", &err));
    check_ok(exia_registry_remotes(&rows, registry, &err));
    assert_int_equal(rows_count(rows_text(rows)), 1);
    exia_registry_free(registry);
}

TEST(a_remote_of_an_unknown_scheme_or_a_strange_name_is_refused)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", "ftp://x/y", "/x", &err));
    check_text("ftp");
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", "/x", "gopher:/y", &err));
    check_fails(EXIA_EUNSUPPORTED, exia_registry_remote_add(registry, "r", "file:/x", "/x", &err));
    check_fails(EXIA_EUNSUPPORTED,
                exia_registry_remote_add(registry, "r", "/x", "sqlite:/x", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", "", "/x", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", "sqlite:/a\nb", "/x", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "a/b", "/x", "/x", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "", "/x", "/x", &err));
    check_ok(exia_registry_remotes(&rows, registry, &err));
    assert_string_equal(rows_text(rows), "");
    exia_registry_free(registry);
}

TEST(a_relative_remote_names_the_place_of_the_working_directory_of_then)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(check_directory()), 0);
    check_ok(exia_registry_remote_add(registry, "r", "sqlite:c.db", "blobs", &err));
    assert_int_equal(fchdir(here), 0);
    close(here);
    check_ok(exia_registry_remotes(&rows, registry, &err));
    const char *text = rows_text(rows);
    assert_true(has(text, check_format("sqlite:%s/c.db", check_directory())));
    assert_true(has(text, check_format("file:%s/blobs/blobs", check_directory())));
    exia_registry_free(registry);
}

TEST(other_members_of_the_configuration_survive)
{
    exia_registry *registry = open_home("home");
    const char *text = "{\"format\": 1, \"theme\": \"dark\", \"remotes\": {\"r\": {\"records\": "
                       "\"/a\", \"packages\": \"/b\", \"note\": 5}}}";
    check_write_file(check_path("home/config.json"), text, strlen(text));
    check_ok(exia_registry_remote_add(registry, "s", "/x", "/x", &err));
    char *now = check_read_file(check_path("home/config.json"), NULL);
    assert_true(has(now, "\"theme\":\"dark\"") && has(now, "\"note\":5"));
    free(now);
    exia_registry_free(registry);
}

TEST(two_processes_that_add_remotes_lose_none)
{
    exia_rows *rows = NULL;
    exia_registry_free(open_home("home")); /* no handle is open across the forks */
    pid_t children[4];
    for (int c = 0; c < 4; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            exia_registry *own = NULL;
            int bad = exia_registry_open(&own, check_path("home"), &err) < 0;
            for (int i = 0; i < 5 && !bad; i++)
                bad = exia_registry_remote_add(own, check_format("r%d-%d", c, i), "/x", "/x",
                                               &err) < 0;
            _exit(bad);
        }
    }
    for (int c = 0; c < 4; c++) {
        int status = 1;
        waitpid(children[c], &status, 0);
        assert_int_equal(status, 0);
    }
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_remotes(&rows, registry, &err));
    assert_int_equal(rows_count(rows_text(rows)), 20);
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

/* ---- events of others ---- */

static const char digest_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char digest_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/* A register or update of x@1.0#any, as another writer would write it. */
static void write_event(exia__records *records, const char *what, const char *token,
                        const char *supersedes, const char *digest, const char *time,
                        const char *facts)
{
    const char *event = check_format(
        "{\"format\": 1, \"do\": \"%s\", \"token\": \"%s\", \"time\": \"%s\", \"supersedes\": "
        "[%s], "
        "\"digest\": \"%s\", \"file\": \"x-1.0-any.veda\", \"size\": 5, \"key\": "
        "\"packages/%s.veda\", \"signed\": false, \"metadata\": {\"manifest\": {\"name\": \"x\", "
        "\"version\": \"1.0\"}}, \"facts\": %s}",
        what, token, time, supersedes, digest, digest, facts);
    check_ok(exia__records_put(NULL, records, "package", check_format("x/1.0/any/%s", token), event,
                               EXIA_ABSENT, NULL, NULL, &err));
}

TEST(two_digests_under_one_identity_are_a_conflict_that_everybody_sees)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    write_event(records, "register", "t1", "", digest_a, "2026-01-01T00:00:00.000Z", "{}");
    write_event(records, "register", "t2", "", digest_b, "2026-01-02T00:00:00.000Z", "{}");
    check_ok(exia_registry_register(registry, pack("y", "1.0"), NULL, NULL, &err));
    const char *rows = query(registry, NULL, NULL);
    assert_int_equal(rows_count(rows), 2);
    assert_true(has(rows, "\"conflict\":\"two packages have this identity, with digests "
                          "aaaaaaaaaaaa and bbbbbbbbbbbb\""));
    assert_int_equal(rows_count(query(registry, "conflict is null", NULL)), 1);
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_update(registry, "x", "{}", NULL, &err));
    check_fails(EXIA_ECONFLICT,
                exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    assert_false(has(query(registry, NULL, NULL), "conflict"));
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(nobody_gets_an_older_version_in_the_place_of_a_conflict)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    check_ok(exia_registry_register(registry, pack("x", "0.9"), NULL, NULL, &err));
    write_event(records, "register", "t1", "", digest_a, "2026-01-01T00:00:00.000Z", "{}");
    write_event(records, "register", "t2", "", digest_b, "2026-01-01T00:00:00.000Z", "{}");
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "x@0.9", NULL, NULL, &err));
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(updates_that_did_not_see_each_other_are_one_package_with_the_later_facts)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    write_event(records, "register", "t1", "", digest_a, "2026-01-01T00:00:00.000Z", "{}");
    write_event(records, "update", "t2", "\"t1\"", digest_a, "2026-01-03T00:00:00.000Z",
                "{\"v\": 3}");
    write_event(records, "update", "t3", "\"t1\"", digest_a, "2026-01-02T00:00:00.000Z",
                "{\"v\": 2}");
    const char *rows = query(registry, NULL, NULL);
    assert_int_equal(rows_count(rows), 1);
    assert_true(has(rows, "\"facts\":{\"v\":3}") && !has(rows, "conflict"));
    check_ok(exia_registry_update(registry, "x", "{\"v\": 4}", NULL, &err));
    assert_true(has(query(registry, NULL, NULL), "\"facts\":{\"v\":4}"));
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(records_that_cannot_be_read_spoil_their_own_package_only)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    static const struct {
        const char *key, *json;
        exia_status status;
    } bad[] = {
        {"a/1/any/t", "{\"format\": 2, \"do\": \"register\"}", EXIA_EVERSION},
        {"b/1/any/t",
         "{\"format\": 1, \"do\": \"sell\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": []}",
         EXIA_EVERSION},
        {"c/1/any/t", "{}", EXIA_ECORRUPT},
        {"d/1/any/t",
         "{\"format\": 1, \"do\": \"register\", \"token\": \"other\", \"time\": \"x\", "
         "\"supersedes\": []}",
         EXIA_ECORRUPT},
        {"e/1/any/t",
         "{\"format\": 1, \"do\": \"register\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": "
         "[5]}",
         EXIA_ECORRUPT},
        {"f/1/any/t",
         "{\"format\": 1, \"do\": \"register\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": "
         "[], \"digest\": \"aa\"}",
         EXIA_ECORRUPT},
    };
    for (size_t i = 0; i < 6; i++)
        check_ok(exia__records_put(NULL, records, "package", bad[i].key, bad[i].json, EXIA_ABSENT,
                                   NULL, NULL, &err));
    /* keys that are no identity are passed over */
    check_ok(exia__records_put(NULL, records, "package", "Big/1/any/t", "{}", EXIA_ABSENT, NULL,
                               NULL, &err));
    check_ok(
        exia__records_put(NULL, records, "package", "lonely", "{}", EXIA_ABSENT, NULL, NULL, &err));
    check_ok(exia__records_put(NULL, records, "package", "a/b/c/d/e", "{}", EXIA_ABSENT, NULL, NULL,
                               &err));
    check_ok(exia_registry_register(registry, pack("good", "1.0"), NULL, NULL, &err));
    const char *rows = query(registry, NULL, NULL);
    assert_int_equal(rows_count(rows), 7);
    assert_int_equal(rows_count(query(registry, "conflict is not null", NULL)), 6);
    for (size_t i = 0; i < 6; i++) {
        const char *name = check_format("%c", bad[i].key[0]);
        check_fails(bad[i].status, exia_registry_update(registry, name, "{}", NULL, &err));
        check_fails(bad[i].status, exia_registry_install(NULL, registry, name, NULL, NULL, &err));
        check_ok(exia_registry_unregister(registry, check_format("%s@1", name), NULL, &err));
    }
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 1);
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(an_event_of_another_package_or_with_a_foreign_key_is_not_believed)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    const char *event = check_format(
        "{\"format\": 1, \"do\": \"register\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": "
        "[], \"digest\": \"%s\", \"file\": \"f\", \"size\": 5, \"key\": \"packages/%s.veda\", "
        "\"metadata\": {\"manifest\": {\"name\": \"x\", \"version\": \"1.0\"}}, \"facts\": {}}",
        digest_a, digest_a);
    check_ok(exia__records_put(NULL, records, "package", "y/1.0/any/t", event, EXIA_ABSENT, NULL,
                               NULL, &err));
    char *elsewhere = strdup(event);
    memcpy(strstr(elsewhere, "packages/"), "secrets_/", 9);
    check_ok(exia__records_put(NULL, records, "package", "x/1.0/any/t", elsewhere, EXIA_ABSENT,
                               NULL, NULL, &err));
    free(elsewhere);
    assert_int_equal(rows_count(query(registry, "conflict is not null", NULL)), 2);
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, registry, "y", NULL, NULL, &err));
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(a_signed_file_replaces_an_unsigned_one_of_the_same_content)
{
    exia_registry *registry = open_home_with_remote("home");
    exia_pack_options options = {.struct_size = sizeof options, .level = 19};
    exia__parcel parcel = {.fd = -1};
    exia_transfer moved;
    exia__work work;
    const char *plain = pack("x", "1.0"), *file = check_path("signed.veda"), *workspace = NULL;
    for (int i = 1; workspace == NULL || access(workspace, F_OK) != 0; i++)
        workspace = check_path(check_format("workspace-%d", i));
    check_ok(exia_package_write(NULL, workspace, file, &options, NULL, &err));
    check_ok(exia_registry_register(registry, plain, NULL, NULL, &err));
    check_ok(exia_registry_update(registry, "x", "{\"a\": 1}", NULL, &err));
    check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, &err));
    check_ok(exia__work_begin(&work, NULL, &err));
    check_ok(exia__parcel_open(&parcel, file, &work, &err));
    parcel.is_signed = 1; /* as its tail would say */
    exia__side here = exia__side_here(registry);
    check_ok(exia__publish(&moved, registry, &here, &parcel, NULL, &work, &err));
    assert_true(moved.moved == moved.total);
    const char *row = query(registry, NULL, NULL);
    assert_int_equal(rows_count(row), 1);
    assert_true(has(row, "\"signed\":true") && has(row, "\"facts\":{\"a\":1}"));
    check_ok(exia_registry_push(&moved, registry, "x", "prod", NULL, &err));
    assert_true(moved.moved == moved.total);
    assert_true(has(query(registry, NULL, "prod"), "\"signed\":true"));
    check_ok(exia_registry_register(registry, plain, NULL, NULL, &err)); /* nothing to gain */
    assert_string_equal(query(registry, NULL, NULL), row);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    assert_int_equal(rmdir(check_path("home/packages/blobs/packages")), 0);
    exia__parcel_free(&parcel);
    exia_registry_free(registry);
}

TEST(two_spellings_of_one_version_are_a_conflict)
{
    exia_registry *one = open_home("one"), *two = open_home("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_register(two, pack("x", "1.0.0"), NULL, NULL, &err));
    exia__records *from = open_records(check_path("two")), *to = open_records(check_path("one"));
    /* a copy of the other home's event, as if both had been written at one moment */
    const char *row = query(two, NULL, NULL);
    const char *event = check_format(
        "{\"format\": 1, \"do\": \"register\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": "
        "[], \"digest\": \"%.64s\", \"file\": \"f\", \"size\": 5, \"key\": \"packages/%s.veda\", "
        "\"metadata\": {\"manifest\": {\"name\": \"x\", \"version\": \"1.0.0\"}}, \"facts\": {}}",
        strstr(row, "\"digest\":\"") + 10, digest_a);
    check_ok(exia__records_put(NULL, to, "package", "x/1.0.0/any/t", event, EXIA_ABSENT, NULL, NULL,
                               &err));
    assert_int_equal(rows_count(query(one, "conflict is not null", NULL)), 2);
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, one, "x", NULL, NULL, &err));
    check_text("two spellings");
    exia__records_free(from);
    exia__records_free(to);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(eight_processes_that_register_one_identity_leave_one_package)
{
    exia_registry_free(open_home("home"));
    pid_t children[8];
    const char *files[8];
    int good = 0;
    for (int i = 0; i < 8; i++)
        files[i] = pack_with("x", "1.0", "any", NULL, i % 2 ? "odd" : "even");
    for (int i = 0; i < 8; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            exia_registry *own = NULL;
            exia_status rc = exia_registry_open(&own, check_path("home"), &err);
            if (rc == EXIA_OK)
                rc = exia_registry_register(own, files[i], NULL, NULL, &err);
            exia_registry_free(own);
            _exit(rc == EXIA_OK ? 0 : rc == EXIA_EEXISTS ? 1 : 2);
        }
    }
    for (int i = 0; i < 8; i++) {
        int status = 0;
        waitpid(children[i], &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        good += WEXITSTATUS(status) == 0;
    }
    assert_int_equal(good, 4);
    exia_registry *registry = open_home("home");
    const char *rows = query(registry, NULL, NULL);
    assert_int_equal(rows_count(rows), 1);
    assert_false(has(rows, "conflict"));
    exia_registry_free(registry);
}

/* ---- threads ---- */

typedef struct worker {
    pthread_t thread;
    exia_registry *registry;
    const char *file, *name;
    exia_status status;
    exia_error error;
} worker;

static void *work_hard(void *payload)
{
    worker *own = payload;
    exia_rows *rows = NULL;
    exia_status rc = exia_registry_register(own->registry, own->file, NULL, NULL, &own->error);
    if (rc == EXIA_OK)
        rc = exia_registry_install(NULL, own->registry, own->name, NULL, NULL, &own->error);
    if (rc == EXIA_OK)
        rc = exia_registry_query(&rows, own->registry, NULL, NULL, &own->error);
    exia_rows_free(rows);
    if (rc == EXIA_OK)
        rc = exia_registry_uninstall(own->registry, own->name, &own->error);
    own->status = rc;
    return NULL;
}

TEST(threads_share_one_handle)
{
    exia_registry *registry = open_home("home");
    worker workers[4] = {{0}};
    for (int i = 0; i < 4; i++) {
        workers[i].registry = registry;
        workers[i].name = check_format("p%d", i);
        workers[i].file = pack(workers[i].name, "1.0");
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work_hard, &workers[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        err = workers[i].error;
        check_status(EXIA_OK, workers[i].status, __FILE__, __LINE__);
    }
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 4);
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
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
