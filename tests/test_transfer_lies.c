/* Remotes and files that are broken or lie: nothing arrives that was not verified. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/packages.h"

static void flip_a_byte(const char *path)
{
    size_t size = 0;
    char *bytes = check_read_file(path, &size);
    bytes[size / 2] ^= 1;
    chmod(path, 0644);
    check_write_file(path, bytes, size);
    free(bytes);
}

static void cut_in_half(const char *path)
{
    struct stat info;
    chmod(path, 0644);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(truncate(path, info.st_size / 2), 0);
}

TEST(a_changed_blob_is_not_pulled_and_leaves_nothing)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    flip_a_byte(remote_blob(one));
    for (int i = 0; i < 2; i++)
        check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    check_text("remote prod: ");
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, two, "x", "prod", NULL, NULL, &err));
    assert_string_equal(query(two, NULL, NULL), "");
    assert_string_equal(installed(two, NULL), "");
    exia_registry_free(one);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 0);
}

TEST(a_short_blob_is_not_pulled_and_a_push_heals_it)
{
    exia_transfer moved;
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    cut_in_half(remote_blob(one));
    check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    check_text("its record says");
    check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, NULL, &err));
    assert_true(moved.moved == moved.total);
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_lost_blob_is_told_and_a_push_heals_it)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    assert_int_equal(unlink(remote_blob(one)), 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    check_text("x@1.0 is recorded, but its file packages/");
    check_ok(exia_registry_push(NULL, one, "x", "prod", NULL, NULL, &err));
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    assert_int_equal(count_records(check_path("remote/records.db"), "package"), 1);
    exia_registry_free(one);
    exia_registry_free(two);
}

static exia_status keep_one(const char *key, const char *json, int64_t revision, void *payload,
                            exia_error *error)
{
    const char **kept = payload;
    (void)revision, (void)error;
    kept[0] = check_format("%s", key);
    kept[1] = check_format("%s", json);
    return EXIA_OK;
}

static const char *replace_all(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (at == NULL)
        return text;
    return check_format("%.*s%s%s", (int)(at - text), text, to,
                        replace_all(at + strlen(from), from, to));
}

/* Put into the remote what its only record says, with one text replaced, as the event IDENTITY/forged;
 * the record itself goes. */
static void forge_record(const char *identity, const char *from, const char *to)
{
    const char *kept[2] = {NULL, NULL};
    exia__records *records = NULL;
    const char *url = check_format("sqlite:%s", check_path("remote/records.db"));
    check_ok(exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_scan(records, "package", "", NULL, 0, NULL, keep_one, kept, NULL, &err));
    check_ok(exia__records_remove(records, "package", kept[0], EXIA_ANY, NULL, &err));
    assert_non_null(strstr(kept[1], from));
    const char *json = replace_all(kept[1], from, to);
    json = replace_all(json, strrchr(kept[0], '/') + 1, "forged");
    check_ok(exia__records_put(NULL, records, "package", check_format("%s/forged", identity), json,
                               EXIA_ABSENT, NULL, NULL, &err));
    exia__records_free(records);
}

TEST(a_record_with_another_digest_than_its_file_is_refused)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    const char *digest = strstr(query(one, NULL, "prod"), "\"digest\":\"") + 10;
    digest = check_format("%.64s", digest);
    forge_record("x/1.0/any", digest, check_format("%.60sffff", digest));
    check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    check_text("its record says");
    assert_string_equal(query(two, NULL, NULL), "");
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_record_that_names_the_file_of_another_package_is_refused)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    forge_record("nice/1.0/any", "\"name\":\"x\"", "\"name\":\"nice\"");
    assert_true(has(query(two, NULL, "prod"), "\"name\":\"nice\""));
    check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "nice", "prod", NULL, NULL, &err));
    check_text("is x@1.0#any with digest");
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, two, "nice", "prod", NULL, NULL, &err));
    assert_string_equal(query(two, NULL, NULL), "");
    assert_string_equal(installed(two, NULL), "");
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_record_that_hides_a_dependency_is_found_out_before_anything_is_installed)
{
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    check_ok(exia_registry_register(one, pack_with("x", "1.0", "any", "\"base >= 1\"", "hello"),
                                    "prod", NULL, &err));
    forge_record("x/1.0/any", "[\"base >= 1\"]", "[]");
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, two, "x", "prod", NULL, NULL, &err));
    check_text("says of it is not what its file says");
    assert_string_equal(installed(two, NULL), "");
    assert_string_equal(query(two, NULL, NULL), "");
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(the_blob_of_another_package_under_the_key_is_refused)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    const char *other = pack_with("y", "9", "any", NULL, "trojan");
    const char *path = remote_blob(one);
    size_t size = 0;
    char *bytes = check_read_file(other, &size);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    bytes = realloc(bytes, size + (size_t)info.st_size);
    memset(bytes + size, 0, (size_t)info.st_size);
    chmod(path, 0644);
    check_write_file(path, bytes, (size_t)info.st_size); /* of the recorded size */
    free(bytes);
    check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    check_text("holds other bytes than its name says");
    assert_string_equal(query(two, NULL, NULL), "");
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_local_file_that_was_changed_is_not_pushed)
{
    exia_registry *registry = open_home_with_remote("home");
    const char *file = pack("x", "1.0");
    check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    const char *blob = blob_of(registry, NULL, check_path("home/packages/blobs"));
    flip_a_byte(blob);
    check_fails(EXIA_ECORRUPT, exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_text("is not what was verified");
    assert_string_equal(query(registry, NULL, "prod"), "");
    cut_in_half(blob);
    check_fails(EXIA_ECORRUPT, exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_text("register or pull x@1.0 again");
    check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
    exia_registry_free(registry);
}

TEST(records_without_their_packages_are_not_taken_for_an_empty_remote)
{
    exia_registry *registry = open_publisher();
    assert_int_equal(rename(check_path("remote/packages"), check_path("elsewhere")), 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_text("remote prod: ");
    exia_registry_free(registry);
}

typedef struct swap {
    const char *path, *other;
    int in_place;
} swap;

static int swap_now(const char *step, uint64_t done, uint64_t total, void *payload)
{
    swap *files = payload;
    (void)step, (void)done, (void)total;
    if (files->other != NULL && files->in_place)
        flip_a_byte(files->path);
    else if (files->other != NULL)
        assert_int_equal(rename(files->other, files->path), 0);
    files->other = NULL;
    return 0;
}

TEST(a_file_that_is_swapped_while_it_is_registered_gains_nothing)
{
    exia_registry *registry = open_home("home");
    swap files = {pack("x", "1.0"), pack_with("trojan", "1.0", "any", NULL, "horse"), 0};
    exia_job job = {.struct_size = sizeof job, .progress = swap_now, .payload = &files};
    exia_status rc = exia_registry_register(registry, files.path, NULL, &job, &err);
    assert_true(rc == EXIA_OK || rc == EXIA_ECONFLICT); /* the old file, or told that it went */
    assert_null(files.other);
    assert_false(has(query(registry, NULL, NULL), "trojan"));
    exia_registry_free(registry);
}

TEST(a_file_that_is_changed_while_it_is_registered_is_refused)
{
    exia_registry *registry = open_home("home");
    const char *path = pack("x", "1.0");
    swap files = {path, path, 1};
    exia_job job = {.struct_size = sizeof job, .progress = swap_now, .payload = &files};
    exia_status rc = exia_registry_register(registry, path, NULL, &job, &err);
    assert_true(rc == EXIA_ECONFLICT || rc == EXIA_ECORRUPT);
    assert_string_equal(query(registry, NULL, NULL), "");
    exia_registry_free(registry);
}
