/* The home and its remotes: made, opened again, refused. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/packages.h"

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

TEST(a_home_whose_path_no_row_can_tell_is_refused_before_anything_is_made)
{
    static const char *const names[] = {"h\xf6me", "new\nline", "\x1b[2J"};
    exia_registry *registry = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_fails(EXIA_EINVAL, exia_registry_open(&registry, check_path(names[i]), &err));
        check_text("UTF-8");
        assert_false(exists(names[i]));
    }
}

TEST(a_home_whose_path_is_too_long_for_a_database_is_refused_with_the_reason)
{
    exia_registry *registry = NULL;
    const char *path = check_directory();
    while (strlen(path) < 480)
        path = check_format("%s/a-name-of-16-bytes", path);
    check_fails(EXIA_EINVAL,
                exia_registry_open(&registry, check_format("%s/a-name-of-16-bytes", path), &err));
    check_text("SQLite opens none of more than 504");
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
        int bad =
            exia_registry_query(&rows, registry, NULL, NULL, &err) != EXIA_ECLOSED ||
            exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err) != EXIA_ECLOSED;
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
