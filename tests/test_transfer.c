/* Push and pull: nothing arrives that was not verified, nothing moves twice. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "support/faulty.h"
#include "support/packages.h"

static int has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* The file of the only package in a row. */
static const char *blob_of(exia_registry *registry, const char *remote, const char *directory)
{
    const char *row = query(registry, NULL, remote);
    assert_int_equal(rows_count(row), 1);
    FILE *list = popen(check_format("ls '%s'/packages/*.veda", directory), "r");
    char path[512] = "";
    assert_non_null(list);
    assert_non_null(fgets(path, sizeof path, list));
    assert_int_equal(pclose(list), 0);
    path[strcspn(path, "\n")] = '\0';
    return check_format("%s", path);
}

static const char *remote_blob(exia_registry *registry)
{
    return blob_of(registry, "prod", check_path("remote/packages"));
}

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

/* A home with x@1.0 registered and pushed to the remote. */
static exia_registry *open_publisher(void)
{
    exia_registry *registry = open_home_with_remote("home");
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, &err));
    return registry;
}

static exia_status count_one(const char *key, const char *json, int64_t revision, void *payload,
                             exia_error *error)
{
    (void)key, (void)json, (void)revision, (void)error;
    ++*(size_t *)payload;
    return EXIA_OK;
}

static size_t count_records(const char *path, const char *kind)
{
    exia__records *records = NULL;
    size_t count = 0;
    check_ok(
        exia__records_open(&records, check_format("sqlite:%s", path), EXIA_STORE_READ, NULL, &err));
    check_ok(exia__records_scan(records, kind, "", NULL, 0, NULL, count_one, &count, NULL, &err));
    exia__records_free(records);
    return count;
}

/* Stop where bytes begin to move. */
static int stop(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done, (void)total, (void)payload;
    return strcmp(step, "storing") == 0 || strcmp(step, "reading") == 0;
}

/* ---- it works ---- */

TEST(a_push_and_a_pull_carry_the_package_and_its_facts)
{
    exia_transfer moved;
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_update(one, "x", "{\"score\": 5}", NULL, &err));
    check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, &err));
    assert_true(moved.total > 0 && moved.moved == moved.total && moved.reused == 0);
    assert_true(has(query(one, NULL, "prod"), "\"facts\":{\"score\":5}"));
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, &err));
    assert_true(moved.total > 0 && moved.moved == moved.total && moved.reused == 0);
    assert_true(has(query(two, NULL, NULL), "\"facts\":{\"score\":5}"));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(repeated_transfers_move_nothing)
{
    exia_transfer moved;
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    for (int i = 0; i < 2; i++) {
        check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, &err));
        assert_true(moved.moved == 0 && moved.reused == moved.total && moved.total > 0);
        check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, &err));
        assert_true((moved.moved == 0) == (i > 0) && moved.moved + moved.reused == moved.total);
    }
    assert_int_equal(count_records(check_path("remote/records.db"), "package"), 1);
    assert_int_equal(count_records(check_path("two/packages/catalog.db"), "package"), 1);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(nothing_is_left_in_the_staging_or_the_journal)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
    assert_int_equal(count_records(check_path("home/journal.db"), "transfer"), 0);
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 0);
}

TEST(bytes_that_are_there_without_a_record_are_not_sent_again)
{
    exia_transfer moved;
    exia_registry *one = open_publisher();
    check_ok(exia_registry_unregister(one, "x@1.0", "prod", &err));
    check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, &err));
    assert_true(moved.moved == 0 && moved.reused == moved.total && moved.total > 0);
    assert_int_equal(rows_count(query(one, NULL, "prod")), 1);
    exia_registry_free(one);
}

/* ---- remotes that are broken or lie ---- */

TEST(a_changed_blob_is_not_pulled_and_leaves_nothing)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    flip_a_byte(remote_blob(one));
    for (int i = 0; i < 2; i++)
        check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
    check_text("remote prod: ");
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, two, "x", "prod", NULL, &err));
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
    check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
    check_text("its record says");
    check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, &err));
    assert_true(moved.moved == moved.total);
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_lost_blob_is_told_and_a_push_heals_it)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    assert_int_equal(unlink(remote_blob(one)), 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
    check_text("x@1.0 is recorded, but its file packages/");
    check_ok(exia_registry_push(NULL, one, "x", "prod", NULL, &err));
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
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
    check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
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
    check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "nice", "prod", NULL, &err));
    check_text("is x@1.0#any with digest");
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, two, "nice", "prod", NULL, &err));
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
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, two, "x", "prod", NULL, &err));
    check_text("is not the package that its record describes");
    assert_string_equal(installed(two, NULL), "");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, two, "x", NULL, NULL, &err));
    check_text("x@1.0 needs \"base >= 1\": there is none here");
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
    check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
    check_text("holds other bytes than its name says");
    assert_string_equal(query(two, NULL, NULL), "");
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(another_package_of_the_same_identity_is_neither_pushed_nor_pulled)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    const char *other = pack_with("x", "1.0", "any", NULL, "other");
    check_ok(exia_registry_register(two, other, NULL, NULL, &err));
    check_fails(EXIA_EEXISTS, exia_registry_push(NULL, two, "x", "prod", NULL, &err));
    check_text("remote prod: x@1.0#any was published with other content");
    check_fails(EXIA_EEXISTS, exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
    assert_int_equal(rows_count(query(one, NULL, "prod")), 1);
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
    check_fails(EXIA_ECORRUPT, exia_registry_push(NULL, registry, "x", "prod", NULL, &err));
    check_text("is not what was verified");
    assert_string_equal(query(registry, NULL, "prod"), "");
    cut_in_half(blob);
    check_fails(EXIA_ECORRUPT, exia_registry_push(NULL, registry, "x", "prod", NULL, &err));
    check_text("register or pull x@1.0 again");
    check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, &err));
    exia_registry_free(registry);
}

TEST(a_remote_that_is_not_there_is_told_and_made_by_the_first_push)
{
    exia_registry *registry = open_home_with_remote("home");
    assert_int_equal(rows_count(query(registry, NULL, "prod")), 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, registry, "x", "prod", NULL, &err));
    check_text("nothing was pushed to prod yet");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, registry, "x", "prod", NULL, &err));
    check_text("nothing was pushed to prod yet");
    assert_int_not_equal(access(check_path("remote/records.db"), F_OK), 0);
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, &err));
    assert_int_equal(rows_count(query(registry, NULL, "prod")), 1);
    exia_registry_free(registry);
}

TEST(records_without_their_packages_are_not_taken_for_an_empty_remote)
{
    exia_registry *registry = open_publisher();
    assert_int_equal(rename(check_path("remote/packages"), check_path("elsewhere")), 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, registry, "x", "prod", NULL, &err));
    check_text("remote prod: ");
    exia_registry_free(registry);
}

/* ---- interrupted ---- */

/* What a pull has to leave: the first `size` bytes of the remote's blob, as home "two" names it. */
static const char *leave_part(exia_registry *one, size_t *whole, size_t size, int changed)
{
    const char *blob = remote_blob(one);
    char *bytes = check_read_file(blob, whole);
    const char *part =
        check_format("%s/%.64s.part", check_path("two/staging"), strrchr(blob, '/') + 1);
    bytes[0] ^= (char)changed;
    check_write_file(part, bytes, size <= *whole ? size : *whole);
    free(bytes);
    return part;
}

TEST(a_pull_goes_on_behind_what_an_earlier_one_left)
{
    exia_transfer moved;
    size_t whole = 0;
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    leave_part(one, &whole, 100, 0);
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, &err));
    assert_int_equal(moved.reused, 100);
    assert_int_equal(moved.moved, whole - 100);
    check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
    leave_part(one, &whole, SIZE_MAX, 0);
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, &err));
    assert_int_equal(moved.reused, whole);
    exia_registry_free(one);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
}

TEST(what_was_left_and_is_not_good_is_fetched_again)
{
    exia_transfer moved;
    size_t whole = 0;
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    leave_part(one, &whole, 100, 1);
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, &err));
    assert_int_equal(moved.moved, whole);
    check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
    const char *part = leave_part(one, &whole, SIZE_MAX, 0);
    assert_int_equal(truncate(part, (off_t)whole + 1), 0);
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, &err));
    assert_int_equal(moved.moved, whole);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_cancelled_transfer_stands_in_the_journal_until_it_is_done)
{
    exia_job job = {.struct_size = sizeof job, .progress = stop};
    exia_registry *one = open_home_with_remote("home"), *two = open_home_with_remote("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    check_fails(EXIA_ECANCELLED, exia_registry_push(NULL, one, "x", "prod", &job, &err));
    assert_int_equal(count_records(check_path("home/journal.db"), "transfer"), 1);
    assert_string_equal(query(one, NULL, "prod"), "");
    check_ok(exia_registry_push(NULL, one, "x", "prod", NULL, &err));
    assert_int_equal(count_records(check_path("home/journal.db"), "transfer"), 0);
    check_fails(EXIA_ECANCELLED, exia_registry_pull(NULL, two, "x", "prod", &job, &err));
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 1);
    assert_string_equal(query(two, NULL, NULL), "");
    exia_registry_free(two);
    two = open_home_with_remote("two");
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 1);
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 0);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(transfers_of_long_ago_are_forgotten_with_their_bytes)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    exia__records *journal = NULL;
    size_t whole = 0;
    struct stat info;
    const char *part = leave_part(one, &whole, 100, 0);
    check_ok(exia__records_open(&journal, check_format("sqlite:%s", check_path("two/journal.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    const char *key = check_format("pull/prod/%.64s", strrchr(part, '/') + 1);
    check_ok(exia__records_put(NULL, journal, "transfer", key, "{\"format\": 1, \"time\": 1000}",
                               EXIA_ANY, NULL, NULL, &err));
    exia__records_free(journal);
    exia_registry_free(two);
    two = open_home("two");
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 0);
    assert_int_not_equal(stat(part, &info), 0);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(processes_that_pull_one_package_at_once_all_get_it)
{
    exia_registry_free(open_publisher());
    exia_registry_free(open_home_with_remote("two"));
    pid_t children[6];
    for (int i = 0; i < 6; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            exia_registry *own = NULL;
            int bad = exia_registry_open(&own, check_path("two"), &err) < 0 ||
                      exia_registry_pull(NULL, own, "x", "prod", NULL, &err) < 0;
            if (bad)
                fprintf(stderr, "%s\n", err.text);
            exia_registry_free(own);
            _exit(bad);
        }
    }
    for (int i = 0; i < 6; i++) {
        int status = 1;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    exia_registry *two = open_home("two");
    assert_int_equal(rows_count(query(two, NULL, NULL)), 1);
    assert_int_equal(count_records(check_path("two/packages/catalog.db"), "package"), 1);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
}

TEST(a_pull_without_room_leaves_a_whole_home_and_goes_on_later)
{
    exia_registry *one = open_home_with_remote("home");
    char *noise = malloc(3000000);
    uint32_t state = 1;
    for (size_t i = 0; i < 3000000; i++)
        noise[i] = (char)((state = state * 1664525 + 1013904223) >> 24);
    check_write_file(check_path("noise"), noise, 3000000);
    free(noise);
    check_ok(exia_workspace_new(check_path("ws"), "large", &err));
    check_ok(exia_workspace_add(check_path("ws"), check_path("noise"), "data", NULL, &err));
    const char *file = check_path("large.veda");
    check_ok(exia_package_write(NULL, check_path("ws"), file, NULL, NULL, &err));
    check_ok(exia_registry_register(one, file, "prod", NULL, &err));
    exia_registry_free(one);
    exia_registry_free(open_home_with_remote("two"));
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {1500000, 1500000};
        exia_registry *two = NULL;
        signal(SIGXFSZ, SIG_IGN);
        exia_status rc = setrlimit(RLIMIT_FSIZE, &limit) != 0
                             ? EXIA_EIO
                             : exia_registry_open(&two, check_path("two"), &err);
        if (rc == EXIA_OK)
            rc = exia_registry_install(NULL, two, "large", "prod", NULL, &err);
        exia_registry_free(two);
        _exit(rc == EXIA_ENOSPACE ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    exia_registry *two = open_home_with_remote("two");
    exia_transfer moved;
    assert_string_equal(installed(two, NULL), "");
    assert_string_equal(query(two, NULL, NULL), "");
    check_ok(exia_registry_pull(&moved, two, "large", "prod", NULL, &err));
    assert_true(moved.reused >= 1000000 && moved.moved + moved.reused == moved.total);
    check_ok(exia_registry_install(NULL, two, "large", NULL, NULL, &err));
    exia_registry_free(two);
}

/* ---- a file that changes while it is registered ---- */

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

/* ---- remotes that fail ---- */

/* A home whose remote "shaky" is a new one, in check_path(PLACE), that fails as planned. */
static void add_shaky(exia_registry *registry, const char *place)
{
    faulty_register();
    mkdir(check_path(place), 0755);
    check_ok(exia_registry_remote_add(
        registry, place, check_format("faulty:sqlite:%s/records.db", check_path(place)),
        check_format("faulty:file:%s/packages", check_path(place)), &err));
}

TEST(a_push_that_fails_before_or_after_any_call_can_be_repeated)
{
    exia_registry *one = open_home("home");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    for (int after = 0; after <= 1; after++) {
        exia_status rc = EXIA_OK;
        long nth = 1, calls = 0;
        for (; nth <= calls + 1; nth++) { /* the last time none fails */
            const char *place = check_format("shaky-%d-%ld", after, nth);
            add_shaky(one, place);
            faulty = (faulty_plan){.nth = nth, .after = after, .status = EXIA_EUNAVAILABLE};
            rc = exia_registry_push(NULL, one, "x", place, NULL, &err);
            assert_true(rc == EXIA_OK || rc == EXIA_EUNAVAILABLE);
            calls = faulty.calls;
            faulty = (faulty_plan){0};
            size_t rows = rows_count(query(one, NULL, place));
            assert_true(rows == 1 || (rows == 0 && rc < 0));
            check_ok(exia_registry_push(NULL, one, "x", place, NULL, &err));
            const char *row = query(one, NULL, place);
            assert_int_equal(rows_count(row), 1);
            assert_false(has(row, "conflict"));
            check_ok(exia_registry_update(one, "x", "{\"a\": 1}", place, &err));
        }
        check_status(EXIA_OK, rc, __FILE__, __LINE__);
        assert_true(nth > 5);
    }
    assert_int_equal(count_records(check_path("home/journal.db"), "transfer"), 0);
    exia_registry_free(one);
}

TEST(a_pull_that_fails_before_or_after_any_call_can_be_repeated)
{
    exia_registry *one = open_home("one"), *two = open_home("two");
    add_shaky(one, "shaky");
    add_shaky(two, "shaky");
    check_ok(exia_registry_register(one, pack("x", "1.0"), "shaky", NULL, &err));
    for (int after = 0; after <= 1; after++) {
        exia_status rc = EXIA_EUNAVAILABLE;
        for (long nth = 1, calls = 0; nth <= calls + 1; nth++) {
            faulty = (faulty_plan){.nth = nth, .after = after, .status = EXIA_EUNAVAILABLE};
            rc = exia_registry_pull(NULL, two, "x", "shaky", NULL, &err);
            assert_true(rc == EXIA_OK || rc == EXIA_EUNAVAILABLE);
            calls = faulty.calls;
            faulty = (faulty_plan){0};
            assert_int_equal(rows_count(query(two, NULL, NULL)), rc == EXIA_OK);
            if (rc == EXIA_OK)
                check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
        }
        check_status(EXIA_OK, rc, __FILE__, __LINE__);
    }
    exia_registry_free(one);
    exia_registry_free(two);
}
