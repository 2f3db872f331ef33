/* config.json as people, editors and backups leave it, and remotes that come and go meanwhile: nothing is
 * guessed, nothing of it is lost, and what cannot be read is left as it is. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/faulty.h"
#include "support/packages.h"

static void write_config(const char *text)
{
    check_write_file(check_path("home/config.json"), text, strlen(text));
}

/* Whatever asks for remotes is refused in the same way, and the file stays. */
static void refuse_all(exia_registry *registry, exia_status status, const char *text)
{
    exia_rows *rows = NULL;
    char *have = NULL;
    check_fails(status, exia_registry_remotes(&rows, registry, &err));
    check_text(text);
    check_fails(status, exia_registry_remote_add(registry, "new", "/r", "/r", &err));
    check_text(text);
    check_fails(status, exia_registry_remote_remove(registry, "r", &err));
    check_fails(status, exia_registry_remote_check(&rows, registry, "r", &err));
    check_fails(status, exia_registry_query(&rows, registry, NULL, "r", &err));
    check_fails(status, exia_registry_have(&have, registry, "r", NULL, &err));
    check_fails(status, exia_registry_push(NULL, registry, "x", "r", NULL, NULL, &err));
    check_fails(status, exia_registry_pull(NULL, registry, "x", "r", NULL, NULL, &err));
    check_fails(status, exia_registry_install(NULL, registry, "y", "r", NULL, NULL, &err));
    check_text(text);
    assert_int_equal(rows_count(query(registry, NULL, NULL)),
                     1); /* what is here needs none of it */
}

TEST(a_configuration_that_is_none_is_refused_and_left_as_it_is)
{
    const char *remotes = "\"remotes\": {\"r\": {\"records\": \"/r\", \"packages\": \"/r\"}}";
    const struct {
        exia_status status;
        const char *text;
    } bad[] = {
        {EXIA_ECORRUPT, ""},
        {EXIA_ECORRUPT, "{"},
        {EXIA_ECORRUPT, "[]"},
        {EXIA_ECORRUPT, "null"},
        {EXIA_ECORRUPT, "\xff\xfe{"},
        {EXIA_ECORRUPT, "\033[2J"},
        {EXIA_ECORRUPT, "{}"},
        {EXIA_ECORRUPT, "{\"format\": 1}"},
        {EXIA_ECORRUPT, check_format("{%s}", remotes)},
        {EXIA_ECORRUPT, check_format("{\"format\": \"1\", %s}", remotes)},
        {EXIA_ECORRUPT, check_format("{\"format\": 1.5, %s}", remotes)},
        {EXIA_ECORRUPT, check_format("{\"format\": 0, %s}", remotes)},
        {EXIA_ECORRUPT, check_format("{\"format\": -1, %s}", remotes)},
        {EXIA_ECORRUPT, check_format("{\"format\": 1, %s} {}", remotes)},
        {EXIA_ECORRUPT, check_format("{\"format\": 1, \"format\": 1, %s}", remotes)},
        {EXIA_ECORRUPT, check_format("{\"format\": 1, %s, %s}", remotes, remotes)},
        {EXIA_ECORRUPT, "{\"format\": 1, \"remotes\": {\"r\": {}, \"r\": {}}}"},
        {EXIA_EVERSION, check_format("{\"format\": 2, %s}", remotes)},
        {EXIA_EVERSION, check_format("{\"format\": 9223372036854775807, %s}", remotes)},
        {EXIA_EVERSION, "{\"format\": 2, \"remotes\": []}"},
        {EXIA_EVERSION, "{\"format\": 2, \"places\": {}}"},
    };
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_config(bad[i].text);
        refuse_all(registry, bad[i].status, "config.json");
        char *now = check_read_file(check_path("home/config.json"), NULL);
        assert_string_equal(now, bad[i].text);
        free(now);
    }
    exia_registry_free(registry);
}

TEST(a_remote_without_its_urls_spoils_what_asks_for_it_and_can_be_removed)
{
    static const char *const bad[] = {
        "{}", "[]", "null", "\"/r\"", "{\"records\": \"/r\"}", "{\"records\": 1, \"packages\": 2}",
    };
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_config(
            check_format("{\"format\": 1, \"remotes\": {\"bad\": %s, \"good\": {\"records\":"
                         " \"sqlite:%s/r.db\", \"packages\": \"file:%s/r\"}}}",
                         bad[i], check_directory(), check_directory()));
        check_fails(EXIA_ECORRUPT, exia_registry_query(&rows, registry, NULL, "bad", &err));
        check_text("the remote \"bad\" has no \"records\" or no \"packages\"");
        check_ok(exia_registry_push(NULL, registry, "x", "good", NULL, NULL, &err));
        check_ok(exia_registry_remote_remove(registry, "bad", &err));
        check_ok(exia_registry_remotes(&rows, registry, &err));
        assert_int_equal(rows_count(rows_text(rows)), 1);
    }
    exia_registry_free(registry);
}

TEST(a_forged_url_is_refused_as_one_that_is_added_is)
{
    static const struct {
        exia_status status;
        const char *records, *packages, *text;
    } bad[] = {
        {EXIA_EINVAL, "", "/r", "empty"},
        {EXIA_EINVAL, "ftp://user:s3cr3t@h/x", "/r", "no driver for the scheme \"ftp\""},
        {EXIA_EUNSUPPORTED, "file:/r", "file:/r", "records are needed"},
        {EXIA_EINVAL, "sqlite://h/r", "file:/r", "names a host"},
        {EXIA_EINVAL, "sqlite:/a%00b", "file:/r", "%00"},
        {EXIA_EINVAL, "/plain", "/plain", "plain path"},
    };
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_config(check_format("{\"format\": 1, \"remotes\": {\"r\": {\"records\": \"%s\", "
                                  "\"packages\": \"%s\"}}}",
                                  bad[i].records, bad[i].packages));
        check_fails(bad[i].status, exia_registry_query(&rows, registry, NULL, "r", &err));
        check_text(bad[i].text);
        check_text("remote r: ");
        assert_false(has(err.text, "s3cr3t"));
    }
    exia_registry_free(registry);
}

TEST(a_configuration_that_is_no_file_is_refused)
{
    exia_registry *registry = open_home("home");
    const char *path = check_path("home/config.json");
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    assert_int_equal(mkdir(path, 0700), 0);
    refuse_all(registry, EXIA_EINVAL, "config.json is no regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    refuse_all(registry, EXIA_EINVAL, "config.json is no regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/nowhere/config.json", path), 0);
    refuse_all(registry, EXIA_ENOTFOUND, "config.json: No such file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("config.json", path), 0);
    refuse_all(registry, EXIA_EINVAL, "config.json: Too many levels");
    exia_registry_free(registry);
}

TEST(a_configuration_behind_a_link_is_read_and_what_is_written_is_a_private_file_of_the_home)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    struct stat info;
    const char *text = "{\"format\": 1, \"remotes\": {}}", *there = check_path("elsewhere.json");
    check_write_file(there, text, strlen(text));
    assert_int_equal(symlink(there, check_path("home/config.json")), 0);
    check_ok(exia_registry_remote_add(registry, "r", "/r", "/r", &err));
    assert_int_equal(lstat(check_path("home/config.json"), &info), 0);
    assert_true(S_ISREG(info.st_mode) && (info.st_mode & 0777) == 0600);
    char *now = check_read_file(there, NULL);
    assert_string_equal(now, text);
    free(now);
    check_ok(exia_registry_remotes(&rows, registry, &err));
    assert_int_equal(rows_count(rows_text(rows)), 1);
    exia_registry_free(registry);
}

/* ---- secrets --------------------------------------------------------------------------------- */

static char warning[600];

static void keep_warning(int level, const char *topic, const char *text, void *payload)
{
    (void)topic, (void)payload;
    if (level == EXIA_LOG_WARNING)
        strncat(warning, text, sizeof warning - strlen(warning) - 1);
}

TEST(a_password_that_others_may_read_is_warned_of_and_private_after_the_next_change)
{
    exia_registry *registry = open_home("home");
    const char *path = check_path("home/config.json");
    exia_rows *rows = NULL;
    struct stat info;
    warning[0] = '\0';
    exia_log_set(keep_warning, NULL);
    write_config("{\"format\": 1, \"remotes\": {\"r\": {\"records\": \"s3+http://me:s3cr3t@h/b\", "
                 "\"packages\": \"/r\"}}}");
    assert_int_equal(chmod(path, 0644), 0);
    check_fails(EXIA_EUNSUPPORTED, exia_registry_query(&rows, registry, NULL, "r", &err));
    assert_true(has(warning, "config.json holds a password, and others may read it: chmod 600"));
    assert_false(has(warning, "s3cr3t") || has(err.text, "s3cr3t"));
    check_ok(exia_registry_remote_add(registry, "other", "/r", "/r", &err));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    warning[0] = '\0';
    check_fails(EXIA_EUNSUPPORTED, exia_registry_query(&rows, registry, NULL, "r", &err));
    assert_string_equal(warning, "");
    exia_log_set(NULL, NULL);
    exia_registry_free(registry);
}

/* ---- size ------------------------------------------------------------------------------------ */

TEST(a_configuration_never_grows_beyond_what_is_read_again)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    char *filler = malloc((1 << 20) + 1);
    memset(filler, 'x', 1 << 20);
    filler[1 << 20] = '\0';
    write_config(check_format("{\"format\": 1, \"remotes\": {}, \"note\": \"%s\"}", filler));
    check_fails(EXIA_EINVAL, exia_registry_remotes(&rows, registry, &err));
    check_text("config.json");
    write_config(check_format("{\"format\":1,\"remotes\":{},\"note\":\"%s\"}", filler + 100));
    check_ok(exia_registry_remote_add(registry, "r", "/r", "/r", &err));
    for (int i = 0; i < 2; i++) {
        check_fails(EXIA_ENOSPACE, exia_registry_remote_add(registry, "s", "/r", "/r", &err));
        check_text("remove remotes that are not used");
    }
    check_ok(exia_registry_remotes(&rows, registry, &err));
    assert_int_equal(rows_count(rows_text(rows)), 1);
    check_ok(exia_registry_remote_remove(registry, "r", &err));
    check_ok(exia_registry_remote_add(registry, "s", "/r", "/r", &err));
    free(filler);
    exia_registry_free(registry);
}

TEST(a_url_is_no_longer_than_a_line_and_text)
{
    exia_registry *registry = open_home("home");
    char url[5000] = "sqlite:/";
    memset(url + 8, 'x', 4090);
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", url, "/r", &err));
    check_text("longer than 4096 bytes");
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", "/\033[31m", "/r", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", "/\xff", "/r", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", NULL, "/r", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", "/r", NULL, &err));
    assert_false(exists("home/config.json"));
    exia_registry_free(registry);
}

/* ---- remotes that come and go ------------------------------------------------------------------ */

static exia_registry *other;

static void remove_remote(void *payload)
{
    check_ok(exia_registry_remote_remove(other, payload, &err));
}

TEST(a_remote_that_is_removed_or_renamed_while_a_transfer_runs_is_used_to_its_end)
{
    faulty_register();
    exia_registry *registry = open_home("home");
    other = open_home("home");
    const char *records = check_format("faulty:sqlite:%s", check_path("r.db"));
    const char *packages = check_format("faulty:file:%s", check_path("r"));
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    for (int way = 0; way < 3; way++) {
        exia_registry *two = open_home(check_format("two%d", way));
        exia_registry *one = way == 0 ? registry : two;
        exia_registry *before = other;
        other = way == 0 ? other : open_home(check_format("two%d", way));
        check_ok(exia_registry_remote_add(one, "r", records, packages, &err));
        faulty = (faulty_plan){.nth = 2, .instead = remove_remote, .payload = "r"};
        if (way == 0)
            check_ok(exia_registry_push(NULL, one, "x", "r", NULL, NULL, &err));
        else if (way == 1)
            check_ok(exia_registry_pull(NULL, one, "x", "r", NULL, NULL, &err));
        else
            check_ok(exia_registry_install(NULL, one, "x", "r", NULL, NULL, &err));
        faulty = (faulty_plan){0};
        check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, one, "x", "r", NULL, NULL, &err));
        check_text("there is no remote \"r\"");
        assert_int_equal(rows_count(query(one, NULL, NULL)), 1);
        if (other != before)
            exia_registry_free(other);
        other = before;
        exia_registry_free(two);
    }
    exia_registry_free(other);
    exia_registry_free(registry);
    assert_int_equal(count_records(check_path("home/journal.db"), "transfer"), 0);
}
