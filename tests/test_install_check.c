/* Every way in which an installed file may differ is found and named, and a repair makes all of it as it
 * was, in one step. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/packages.h"

/* x@1.0 has directories, links, hard links, an empty file, an odd name, and one of several frames. */
static const char *pack_rich(void)
{
    const char *workspace = check_path("rich"), *file = check_path("rich.veda");
    static char large[6000000];
    static const char *const small[] = {"code/main.py", "data/one", "data/empty", "data/\xff odd"};
    mkdir(workspace, 0755);
    mkdir(check_format("%s/code", workspace), 0755);
    mkdir(check_format("%s/data", workspace), 0755);
    mkdir(check_format("%s/data/hollow", workspace), 0755);
    for (size_t i = 0; i < 4; i++)
        check_write_file(check_format("%s/%s", workspace, small[i]), "content", i == 2 ? 0 : 7);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * i >> 9);
    check_write_file(check_format("%s/data/large", workspace), large, sizeof large);
    assert_int_equal(symlink("../data/one", check_format("%s/code/link", workspace)), 0);
    assert_int_equal(
        link(check_format("%s/data/one", workspace), check_format("%s/data/two", workspace)), 0);
    static const char manifest[] = "{\"format\": 1, \"name\": \"x\", \"version\": \"1.0\"}";
    check_write_file(check_format("%s/veda.json", workspace), manifest, sizeof manifest - 1);
    check_ok(exia_package_write(NULL, workspace, file, NULL, NULL, &err));
    return file;
}

static exia_registry *open_rich(void)
{
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack_rich(), NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    return registry;
}

static const char *at(const char *path)
{
    return check_path(check_format("home/installed/x/1.0/any%s%s", *path ? "/" : "", path));
}

static const char *check_with(exia_registry *registry, const exia_check_options *options)
{
    exia_rows *rows = NULL;
    check_ok(exia_registry_check(&rows, registry, NULL, options, NULL, &err));
    return rows_text(rows);
}

static const char *check_rich(exia_registry *registry)
{
    return check_with(registry, NULL);
}

static const char *repair(exia_registry *registry, const char *remote)
{
    const exia_check_options options = {
        .struct_size = sizeof options, .repair = 1, .remote = remote};
    return check_with(registry, &options);
}

/* One row for `path` with this problem. */
static int tells(const char *text, const char *path, const char *problem)
{
    const char *row = check_format("\"path\":%s,\"problem\":\"%s\"",
                                   path ? check_format("\"%s\"", path) : "null", problem);
    return has(text, row);
}

TEST(checking_refuses_what_is_not_installed)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_fails(EXIA_EINVAL, exia_registry_check(NULL, registry, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_check(&rows, NULL, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_check(&rows, registry, "x@../..", NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_check(&rows, registry, "x", NULL, NULL, &err));
    const exia_check_options options = {
        .struct_size = sizeof options, .repair = 1, .remote = "nowhere"};
    check_fails(EXIA_ENOTFOUND, exia_registry_check(&rows, registry, NULL, &options, NULL, &err));
    assert_null(rows);
    exia_registry_free(registry);
}

/* ---- one thing after the other, and mended ---- */

static void change_byte(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char byte = 0;
    assert_int_equal(pread(fd, &byte, 1, 3), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 3), 1);
    close(fd);
}

static void change_content(void)
{
    change_byte(at("code/main.py"));
}

static void change_far_behind(void)
{
    int fd = open(at("data/large"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "?!", 2, 5999998), 2);
    close(fd);
}

static void cut(void)
{
    assert_int_equal(truncate(at("data/large"), 5999999), 0);
}

static void grow(void)
{
    check_write_file(at("data/empty"), "x", 1);
}

static void set_mode(void)
{
    assert_int_equal(chmod(at("data/one"), 0666), 0);
}

static void set_directory_mode(void)
{
    assert_int_equal(chmod(at("data/hollow"), 01777), 0);
}

static void lose_file(void)
{
    assert_int_equal(unlink(at("data/\xff odd")), 0);
}

static void lose_directory(void)
{
    assert_int_equal(rmdir(at("data/hollow")), 0);
}

static void add_file(void)
{
    check_write_file(at("data/hollow/new"), "x", 1);
}

static void add_directory(void)
{
    mkdir(at("VEDA/new"), 0755);
    check_write_file(at("VEDA/new/file"), "x", 1);
}

static void lead_link_out(void)
{
    assert_int_equal(unlink(at("code/link")), 0);
    assert_int_equal(symlink("/etc/passwd", at("code/link")), 0);
}

static void replace_link(void)
{
    assert_int_equal(unlink(at("code/link")), 0);
    check_write_file(at("code/link"), "content", 7);
}

static void part_hard_links(void)
{
    assert_int_equal(unlink(at("data/two")), 0);
    check_write_file(at("data/two"), "content", 7);
    chmod(at("data/two"), 0644);
}

/* What lies behind a link is not looked at, were it the same. */
static void replace_directory_by_link(void)
{
    assert_int_equal(rename(at("data"), check_path("elsewhere")), 0);
    assert_int_equal(symlink(check_path("elsewhere"), at("data")), 0);
}

static void put_pipe(void)
{
    assert_int_equal(unlink(at("data/empty")), 0);
    assert_int_equal(mkfifo(at("data/empty"), 0644), 0);
}

static void spoil_record(void)
{
    change_byte(at("VEDA/RECORD"));
}

static void lose_all(void)
{
    assert_int_equal(exia__tree_remove(check_path("home/installed/x"), NULL), EXIA_OK);
}

static void put_file_in_place(void)
{
    assert_int_equal(exia__tree_remove(at(""), NULL), EXIA_OK);
    check_write_file(at(""), "x", 1);
}

static void lose_link(void)
{
    assert_int_equal(unlink(check_path("home/installed/x/current")), 0);
}

typedef struct damage {
    void (*deal)(void);
    const char *path, *problem;
    int rows, by_quick; /* 0: only its content tells */
} damage;
static const damage damages[] = {
    {change_content, "code/main.py", "digest", 1, 0},
    {change_far_behind, "data/large", "digest", 1, 0},
    {cut, "data/large", "size", 1, 1},
    {grow, "data/empty", "size", 1, 1},
    {set_mode, "data/one", "mode", 2, 1}, /* it has two names */
    {set_directory_mode, "data/hollow", "mode", 1, 1},
    {lose_file, "data/%FF%20odd", "missing", 1, 1},
    {lose_directory, "data/hollow", "missing", 1, 1},
    {add_file, "data/hollow/new", "extra", 1, 1},
    {add_directory, "VEDA/new", "extra", 1, 1},
    {lead_link_out, "code/link", "target", 1, 1},
    {replace_link, "code/link", "type", 1, 1},
    {part_hard_links, "data/two", "target", 1, 1},
    {replace_directory_by_link, "data", "type", 7, 1},
    {put_pipe, "data/empty", "type", 1, 1},
    {spoil_record, "VEDA/RECORD", "digest", 1, 1},
    {lose_all, NULL, "missing", 2, 1}, /* the link too */
    {put_file_in_place, NULL, "missing", 1, 1},
    {lose_link, "current", "target", 1, 1},
};

TEST(each_damage_is_found_named_and_repaired)
{
    const exia_check_options quick = {.struct_size = sizeof quick, .quick = 1};
    check_in_memory();
    exia_registry *registry = open_rich();
    assert_string_equal(check_rich(registry), "");
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const damage *one = &damages[i];
        one->deal();
        const char *text = check_rich(registry);
        if (!tells(text, one->path, one->problem) || (int)rows_count(text) != one->rows ||
            !has(text, "\"repaired\":false") || !has(text, "\"why\":null"))
            fail_msg("damage %zu, %s: %s", i, one->problem, text);
        if ((*check_with(registry, &quick) != '\0') != one->by_quick)
            fail_msg("damage %zu, quickly", i);
        text = repair(registry, NULL);
        if (!has(text, "\"repaired\":true") || has(text, "\"repaired\":false"))
            fail_msg("damage %zu is not repaired: %s", i, text);
        assert_string_equal(check_rich(registry), "");
        char *content = check_read_file(check_path("home/installed/x/current/code/link"), NULL);
        assert_memory_equal(content, "content", 7);
        free(content);
    }
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

/* ---- where a repair has its files from ---- */

TEST(a_damage_is_found_without_the_registered_file_and_told_when_it_cannot_be_repaired)
{
    exia_registry *registry = open_rich();
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    assert_string_equal(check_rich(registry), "");
    change_content();
    const char *text = repair(registry, NULL);
    assert_true(tells(text, "code/main.py", "digest") && has(text, "\"repaired\":false"));
    assert_true(has(text, "x@1.0 is not registered here: register it, or name a remote"));
    change_content();
    assert_string_equal(check_rich(registry), ""); /* it is not touched */
    spoil_record();
    text = check_rich(registry);
    assert_true(tells(text, "VEDA/RECORD", "digest") && tells(text, NULL, "record"));
    exia_registry_free(registry);
}

TEST(what_was_installed_without_a_record_is_compared_with_the_registered_file)
{
    exia_registry *registry = open_rich();
    assert_int_equal(exia__tree_remove(at("VEDA"), NULL), EXIA_OK);
    assert_string_equal(check_rich(registry), "");
    set_mode();
    assert_int_equal(rows_count(check_rich(registry)), 2);
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    assert_true(tells(check_rich(registry), NULL, "record"));
    exia_registry_free(registry);
}

TEST(what_is_not_registered_here_is_pulled_for_a_repair)
{
    exia_registry *registry = open_home_with_remote("home");
    check_ok(exia_registry_register(registry, pack_rich(), "prod", NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    lose_all();
    assert_int_equal(rows_count(repair(registry, "prod")), 2);
    assert_string_equal(check_rich(registry), "");
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 1);
    exia_registry_free(registry);
}

TEST(a_repair_takes_no_other_content_under_the_same_name)
{
    exia_registry *registry = open_rich();
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    change_content();
    const char *text = repair(registry, NULL);
    assert_true(has(text, "\"repaired\":false") && has(text, "was replaced meanwhile"));
    assert_true(exists("home/installed/x/1.0/any/data/large"));
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

TEST(one_package_that_cannot_be_repaired_does_not_keep_the_others_broken)
{
    exia_registry *registry = open_rich();
    add_package(registry, "a", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "a", NULL, NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "a@1.0", NULL, &err));
    assert_int_equal(unlink(check_path("home/installed/a/1.0/any/veda.json")), 0);
    lose_file();
    const char *text = repair(registry, NULL);
    assert_true(has(text, "\"repaired\":false") && has(text, "\"repaired\":true"));
    assert_int_equal(rows_count(check_rich(registry)), 1);
    exia_registry_free(registry);
}

/* ---- who may, and who stops it ---- */

static int look_as_nobody(void)
{
    exia_registry *registry = NULL;
    const exia_check_options options = {.struct_size = sizeof options, .repair = 1};
    exia_rows *rows = NULL;
    const char *row = NULL;
    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 1;
    int bad = exia_registry_open(&registry, check_path("home"), &err) != EXIA_OK ||
              exia_registry_check(&rows, registry, "x", NULL, NULL, &err) != EXIA_OK ||
              exia_rows_next(&row, rows, &err) != EXIA_OK || !tells(row, "data/one", "mode") ||
              exia_registry_activate(registry, "x", NULL, &err) != EXIA_EDENIED;
    exia_rows_free(rows);
    rows = NULL;
    bad |= exia_registry_check(&rows, registry, "x", &options, NULL, &err) != EXIA_EDENIED ||
           exia_registry_prune(&rows, registry, NULL, NULL, &err) != EXIA_OK;
    exia_rows_free(rows);
    exia_registry_free(registry);
    return bad;
}

TEST(who_may_only_read_a_home_may_check_it)
{
    if (geteuid() != 0)
        skip();
    exia_registry_free(open_rich());
    set_mode();
    chmod(check_directory(), 0755);
    assert_int_equal(check_in_child(look_as_nobody), 0);
}

static int stop_at_once(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)done, (void)total, (void)payload;
    return 1;
}

TEST(a_check_can_be_stopped)
{
    const exia_job job = {.struct_size = sizeof job, .progress = stop_at_once};
    exia_rows *rows = NULL;
    exia_registry *registry = open_rich();
    check_fails(EXIA_ECANCELLED, exia_registry_check(&rows, registry, NULL, NULL, &job, &err));
    assert_null(rows);
    exia_registry_free(registry);
}

/* While the first package is looked at, another process installs other content as y@1.0. */
static int replace_y(const char *step, uint64_t done, uint64_t total, void *payload)
{
    static const char *other;
    (void)step, (void)done, (void)total;
    if (other != NULL)
        return 0;
    other = pack_with("y", "1.0", "any", NULL, "other");
    return exia_registry_uninstall(payload, "y@1.0", NULL) < 0 ||
           exia_registry_unregister(payload, "y@1.0", NULL, NULL) < 0 ||
           exia_registry_register(payload, other, NULL, NULL, NULL) < 0 ||
           exia_registry_install(NULL, payload, "y@1.0", NULL, NULL, NULL, NULL) < 0;
}

TEST(what_is_installed_anew_meanwhile_has_no_problem)
{
    exia_registry *registry = open_rich(), *other = open_home("home");
    const exia_check_options options = {.struct_size = sizeof options, .repair = 1};
    const exia_job job = {.struct_size = sizeof job, .progress = replace_y, .payload = other};
    exia_rows *rows = NULL;
    add_package(registry, "y", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "y", NULL, NULL, NULL, &err));
    check_ok(exia_registry_check(&rows, registry, NULL, &options, &job, &err));
    assert_string_equal(rows_text(rows), "");
    exia_registry_free(other);
    exia_registry_free(registry);
}

static int repair_in_child(void)
{
    exia_registry *registry = NULL;
    const exia_check_options options = {.struct_size = sizeof options, .repair = 1};
    exia_rows *rows = NULL;
    exia_status rc = exia_registry_open(&registry, check_path("home"), &err);
    if (rc == EXIA_OK)
        rc = exia_registry_check(&rows, registry, NULL, &options, NULL, &err);
    const char *text = rc == EXIA_OK ? rows_text(rows) : err.text;
    int bad = rc < 0 || has(text, "\"repaired\":false");
    if (bad)
        fprintf(stderr, "%s\n", text);
    exia_registry_free(registry);
    return bad;
}

TEST(processes_that_repair_at_once_all_succeed)
{
    exia_registry_free(open_rich());
    change_far_behind();
    lose_link();
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        if ((children[i] = fork()) == 0)
            _exit(repair_in_child());
    }
    for (int i = 0; i < 4; i++) {
        int status = 1;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    exia_registry *registry = open_home("home");
    assert_string_equal(check_rich(registry), "");
    exia_registry_free(registry);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
}

static exia_status repair_all(void *payload, exia_error *error)
{
    const exia_check_options options = {.struct_size = sizeof options, .repair = 1};
    exia_registry *registry = NULL;
    exia_rows *rows = NULL, *gone = NULL;
    const char *row = NULL;
    (void)payload;
    chmod(at("code/main.py"), 0600);
    exia_status rc = exia_registry_open(&registry, check_path("home"), error);
    if (rc == EXIA_OK)
        rc = exia_registry_check(&rows, registry, NULL, &options, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_rows_next(&row, rows, error);
    if (rc == EXIA_OK && !has(row, "\"repaired\":true"))
        fail_msg("%s", row);
    if (rc == EXIA_OK)
        rc = exia_registry_prune(&gone, registry, NULL, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_registry_activate(registry, "x", NULL, error);
    exia_rows_free(rows);
    exia_rows_free(gone);
    exia_registry_free(registry);
    return rc;
}

TEST(checking_repairing_and_activating_survive_a_lack_of_memory)
{
    check_in_memory();
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    exia_registry_free(registry);
    check_survives_no_memory(repair_all, NULL);
    registry = open_home("home");
    assert_string_equal(repair(registry, NULL), check_rich(registry));
    exia_registry_free(registry);
}
