/* Frames that are not what a record, an index or a digest says: more moves, and nothing wrong arrives. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "package/read.h"
#include "support/deltas.h"
#include "support/faulty.h"

enum { FRAME = 4200 << 10, SLACK = 128 << 10 };

/* ---- records ----------------------------------------------------------------------------------- */

typedef struct kept {
    const char *keys[8], *texts[8];
    size_t count;
} kept;

static exia_status keep(const char *key, const char *json, int64_t revision, void *payload,
                        exia_error *error)
{
    kept *all = payload;
    (void)revision, (void)error;
    all->keys[all->count] = check_format("%s", key);
    all->texts[all->count++] = check_format("%s", json);
    return EXIA_OK;
}

/* Let all records of the remote say something else. */
static void change_records(const char *from, const char *to)
{
    exia__records *records = NULL;
    kept all = {.count = 0};
    size_t changed = 0;
    check_ok(exia__records_open(&records,
                                check_format("sqlite:%s", check_path("remote/records.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_scan(records, "package", "", NULL, 0, NULL, keep, &all, NULL, &err));
    for (size_t i = 0; i < all.count; i++) {
        const char *at = strstr(all.texts[i], from);
        if (at == NULL)
            continue;
        changed++;
        const char *text =
            check_format("%.*s%s%s", (int)(at - all.texts[i]), all.texts[i], to, at + strlen(from));
        check_ok(exia__records_put(NULL, records, "package", all.keys[i], text, EXIA_ANY, NULL,
                                   NULL, &err));
    }
    assert_true(changed > 0);
    exia__records_free(records);
}

/* 1.0 is there and only there, 1.1 here: what a push of it moves. */
static exia_transfer push_beside(void (*spoil)(void))
{
    exia_transfer moved;
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    edit_big("f2", 1 << 20, "ten bytes!");
    register_big(two, "1.1");
    spoil();
    check_ok(exia_registry_push(&moved, two, "big@1.1", "prod", NULL, NULL, &err));
    assert_int_equal(moved.moved + moved.reused, moved.total);
    exia_registry_free(one);
    one = open_home_with_remote("three"); /* what arrived is whole, wherever it came from */
    check_ok(exia_registry_pull(NULL, one, "big@1.1", "prod", NULL, NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
    return moved;
}

static void forget_index(void)
{
    change_records("\"index\":", "\"other\":");
}

TEST(frames_that_no_record_vouches_for_are_not_relied_on)
{
    check_in_memory();
    exia_transfer moved = push_beside(forget_index);
    assert_int_equal(moved.moved, moved.total);
}

static void change_index(void)
{
    change_records("\"index\":\"", "\"index\":\"00");
}

TEST(frames_that_a_record_vouches_for_falsely_are_not_relied_on)
{
    check_in_memory();
    exia_transfer moved = push_beside(change_index);
    assert_int_equal(moved.moved, moved.total);
}

/* ---- files of the remote ----------------------------------------------------------------------- */

static void overwrite(const char *path, long at, const char *bytes, size_t size)
{
    chmod(path, 0644);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static const char *blob_of_1_0(void)
{
    char path[512] = "";
    FILE *list =
        popen(check_format("ls -tr '%s'/packages/*.veda", check_path("remote/packages")), "r");
    assert_non_null(fgets(path, sizeof path, list));
    pclose(list);
    path[strcspn(path, "\n")] = '\0';
    return check_format("%s", path);
}

static void spoil_a_frame(void)
{
    overwrite(blob_of_1_0(), 5 << 20, "spoilt", 6);
}

static void spoil_the_end(void)
{
    overwrite(blob_of_1_0(), -30, "spoilt", 6);
}

static void cut_the_end(void)
{
    chmod(blob_of_1_0(), 0644);
    assert_int_equal(truncate(blob_of_1_0(), 6 << 20), 0);
}

static void lose_it(void)
{
    assert_int_equal(unlink(blob_of_1_0()), 0);
}

TEST(what_is_made_of_a_damaged_package_is_sent_whole)
{
    check_in_memory();
    exia_transfer moved = push_beside(spoil_a_frame);
    assert_int_equal(moved.moved, moved.total);
}

TEST(a_package_there_with_a_damaged_end_is_not_used)
{
    check_in_memory();
    exia_transfer moved = push_beside(spoil_the_end);
    assert_int_equal(moved.moved, moved.total);
}

TEST(a_package_there_that_was_cut_is_not_used)
{
    check_in_memory();
    exia_transfer moved = push_beside(cut_the_end);
    assert_int_equal(moved.moved, moved.total);
}

TEST(a_package_there_that_is_lost_is_not_used)
{
    check_in_memory();
    exia_transfer moved = push_beside(lose_it);
    assert_int_equal(moved.moved, moved.total);
}

/* ---- files here -------------------------------------------------------------------------------- */

TEST(a_frame_that_is_damaged_here_is_fetched)
{
    check_in_memory();
    exia_transfer moved;
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    check_ok(exia_registry_pull(NULL, two, "big", "prod", NULL, NULL, &err));
    overwrite(blob_of(two, NULL, check_path("two/packages/blobs")), 5 << 20, "spoilt", 6);
    write_text(check_path("big/a-first"), "a new file");
    publish_big(one, "1.1");
    check_ok(exia_registry_pull(&moved, two, "big@1.1", "prod", NULL, NULL, &err));
    assert_in_range(moved.moved, 512 << 10, FRAME + SLACK);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_package_that_was_changed_here_is_not_sent_in_pieces)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one");
    make_big();
    publish_big(one, "1.0");
    check_ok(exia_registry_unregister(one, "big@1.0", NULL, &err));
    edit_big("f2", 1 << 20, "ten bytes!");
    register_big(one, "1.1");
    overwrite(blob_of(one, NULL, check_path("one/packages/blobs")), 1 << 20, "spoilt", 6);
    check_fails(EXIA_ECORRUPT, exia_registry_push(NULL, one, "big@1.1", "prod", NULL, NULL, &err));
    check_text("is not what was verified");
    assert_int_equal(rows_count(query(one, NULL, "prod")), 1);
    exia_registry_free(one);
}

/* ---- digests ----------------------------------------------------------------------------------- */

/* The digests of a frame that both have at the same place, with other bytes. */
static void find_changed(unsigned char old[32], unsigned char now[32], const char *before,
                         const char *after)
{
    exia_package *a = NULL, *b = NULL;
    size_t count = 0, same = 0, i = 0;
    check_ok(exia_package_open(&a, before, &err));
    check_ok(exia_package_open(&b, after, &err));
    const exia__frame *one = exia__package_frames(&count, a), *two = exia__package_frames(&same, b);
    assert_int_equal(count, same);
    while (i < count && (one[i].plain < 500000 || memcmp(one[i].digest, two[i].digest, 32) == 0))
        i++;
    assert_true(i < count && one[i].size == two[i].size);
    memcpy(old, one[i].digest, 32);
    memcpy(now, two[i].digest, 32);
    exia_package_free(a);
    exia_package_free(b);
}

/* A package whose index gives a new frame the digest of an old one; its name and record fit it. */
TEST(a_package_whose_index_lies_is_fetched_whole_and_refused)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    unsigned char old[32], now[32], digest[32];
    char right[65], wrong[65];
    exia__hash *hash = NULL;
    size_t size = 0;
    make_big();
    const char *before = publish_big(one, "1.0");
    check_ok(exia_registry_pull(NULL, two, "big", "prod", NULL, NULL, &err));
    edit_big("f2", 1 << 20, "ten bytes!");
    const char *after = publish_big(one, "1.1");
    find_changed(old, now, before, after);
    char *bytes = check_read_file(after, &size);
    check_ok(exia__hash_hex(right, bytes, size, &err));
    unsigned char *place = memmem(bytes, size, now, sizeof now);
    assert_non_null(place);
    memcpy(place, old, sizeof old);
    check_ok(exia__hash_open(&hash, &err));
    check_ok(exia__hash_update(hash, bytes, size, &err));
    check_ok(exia__hash_finish(digest, hash, &err));
    exia__hash_free(hash);
    exia__hex(wrong, digest, sizeof digest);
    check_write_file(check_path(check_format("remote/packages/packages/%s.veda", wrong)), bytes,
                     size);
    free(bytes);
    change_records(right, wrong);
    check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, two, "big@1.1", "prod", NULL, NULL, &err));
    check_text("digests are not those of METADATA.json");
    assert_int_equal(rows_count(query(two, NULL, NULL)), 1);
    exia_registry_free(one);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
}

/* ---- what changes meanwhile -------------------------------------------------------------------- */

static const char *object;
static char *whole;
static size_t whole_size;

static void restore(void *payload)
{
    (void)payload;
    check_write_file(object, whole, whole_size);
}

static void spoil_until_the_next_request(void *payload)
{
    (void)payload;
    overwrite(object, 5 << 20, "spoilt", 6);
    faulty.instead = restore;
    faulty.nth = faulty.calls + 2;
}

TEST(a_package_that_is_replaced_while_it_is_fetched_is_fetched_once_more)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home("two");
    exia_transfer moved;
    make_big();
    publish_big(one, "1.0");
    faulty_register();
    check_ok(exia_registry_remote_add(
        two, "prod", check_format("sqlite:%s/records.db", check_path("remote")),
        check_format("faulty:file:%s/packages", check_path("remote")), &err));
    object = remote_blob(one);
    whole = check_read_file(object, &whole_size);
    /* a look at the file, its end, the rest; then its end again */
    faulty = (faulty_plan){.nth = 3, .instead = spoil_until_the_next_request};
    check_ok(exia_registry_pull(&moved, two, "big", "prod", NULL, NULL, &err));
    assert_null(faulty.instead);
    assert_int_equal(faulty.calls, 5);
    assert_int_equal(moved.moved, moved.total);
    faulty = (faulty_plan){0};
    free(whole);
    exia_registry_free(one);
    exia_registry_free(two);
}
