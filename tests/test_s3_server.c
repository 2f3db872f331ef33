/* S3 on a real server, that of s3_server.h: blobs in parts, uploads that go on after a crash of either side. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/job.h"
#include "base/memory.h"
#include "store/driver.h"
#include "store/store.h"
#include "support/check.h"
#include "support/s3_server.h"

enum { MIB = 1 << 20 };

static exia__blobs *open_blobs(void)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, server_url_own(), EXIA_STORE_WRITE, NULL, &err));
    return blobs;
}

/* ---- a large source ------------------------------------------------------------------------- */

static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)((offset * 2654435761u) >> 13);
}

typedef struct large {
    uint64_t size,
        asked; /* bytes that were asked for to be sent; what is only hashed comes by the MiB */
    uint64_t act_at; /* when what is asked for reaches this */
    void (*act)(void);
    char sha256[EXIA__HEX_SIZE];
} large;

static exia_status read_large(void *into, uint64_t offset, size_t size, void *payload,
                              exia_error *error)
{
    large *all = payload;
    (void)error;
    if (all->act != NULL && offset + size > all->act_at) {
        all->act();
        all->act = NULL;
    }
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)into)[i] = byte_at(offset + i);
    all->asked += size > MIB ? size : 0;
    return EXIA_OK;
}

static exia_source make_source(large *all, uint64_t size)
{
    exia__hash *hash = NULL;
    unsigned char *piece = malloc(MIB), digest[EXIA__DIGEST_SIZE];
    *all = (large){.size = size};
    assert_non_null(piece);
    check_ok(exia__hash_open(&hash, &err));
    for (uint64_t done = 0; done < size; done += MIB) {
        size_t now = size - done < MIB ? (size_t)(size - done) : MIB;
        check_ok(read_large(piece, done, now, all, &err));
        check_ok(exia__hash_update(hash, piece, now, &err));
    }
    check_ok(exia__hash_finish(digest, hash, &err));
    exia__hash_free(hash);
    exia__hex(all->sha256, digest, sizeof digest);
    free(piece);
    all->asked = 0;
    return (exia_source){.read = read_large, .size = size, .sha256 = all->sha256, .payload = all};
}

typedef struct seen {
    uint64_t offset, wrong;
} seen;

static exia_status compare(const void *data, size_t size, void *payload, exia_error *error)
{
    seen *now = payload;
    (void)error;
    for (size_t i = 0; i < size; i++)
        now->wrong += ((const unsigned char *)data)[i] != byte_at(now->offset + i);
    now->offset += size;
    return EXIA_OK;
}

static void check_range(exia__blobs *blobs, const char *key, uint64_t offset, uint64_t size,
                        uint64_t from, uint64_t to)
{
    seen now = {.offset = from};
    check_ok(exia__blobs_get(blobs, key, offset, size, compare, &now, NULL, &err));
    assert_int_equal(now.offset, to);
    assert_int_equal(now.wrong, 0);
}

/* ---- in parts ------------------------------------------------------------------------------- */

TEST(a_large_blob_goes_in_parts_and_every_range_of_it_can_be_had)
{
    exia__blobs *blobs = open_blobs();
    const uint64_t end = 43 * MIB + 7;
    large all;
    exia_source source = make_source(&all, end);
    uint64_t size = 0;
    check_ok(exia__blobs_put(blobs, "large", &source, NULL, &err));
    assert_int_equal(all.asked, end);
    check_ok(exia__blobs_stat(&size, NULL, blobs, "large", NULL, &err));
    assert_int_equal(size, end);
    check_range(blobs, "large", 0, UINT64_MAX, 0, end);
    check_range(blobs, "large", 8 * MIB - 1, 2, 8 * MIB - 1, 8 * MIB + 1);
    check_range(blobs, "large", 3, 35 * MIB, 3, 35 * MIB + 3);
    check_range(blobs, "large", EXIA_TAIL, 9 * MIB, end - 9 * MIB, end);
    check_range(blobs, "large", EXIA_TAIL, 5, end - 5, end);
    check_range(blobs, "large", end, 1, end, end);
    check_fails(EXIA_EEXISTS, exia__blobs_put(blobs, "large", &source, NULL, &err));
    assert_int_equal(all.asked, end); /* and not a byte was read for that */
    check_ok(exia__blobs_touch(blobs, "large", NULL, &err));
    check_range(blobs, "large", 0, UINT64_MAX, 0, end);
    source.sha256 = NULL; /* then nothing is noted */
    check_ok(exia__blobs_put(blobs, "unnamed", &source, NULL, &err));
    check_range(blobs, "unnamed", 0, UINT64_MAX, 0, end);
    exia__blobs_free(blobs);
}

/* A reader for whom something happens to the object when the first bytes are there. */
typedef struct meddler {
    exia__blobs *blobs;
    uint64_t size; /* of the object that replaces it; 0: it is touched */
    seen seen;
} meddler;

static exia_status meddle(const void *data, size_t size, void *payload, exia_error *error)
{
    meddler *m = payload;
    exia_status rc = EXIA_OK;
    large all;
    if (m->blobs != NULL && m->size == 0)
        rc = exia__blobs_touch(m->blobs, "large", NULL, error);
    if (m->blobs != NULL && m->size > 0) {
        exia_source source = make_source(&all, m->size);
        rc = exia__blobs_remove(m->blobs, "large", NULL, error);
        if (rc == EXIA_OK)
            rc = exia__blobs_put(m->blobs, "large", &source, NULL, error);
    }
    m->blobs = NULL;
    return rc == EXIA_OK ? compare(data, size, &m->seen, error) : rc;
}

TEST(a_blob_that_is_touched_while_it_is_read_is_read_on_and_one_that_is_replaced_is_a_conflict)
{
    exia__blobs *blobs = open_blobs();
    const uint64_t end = 60 * MIB;
    large all;
    exia_source source = make_source(&all, end);
    check_ok(exia__blobs_put(blobs, "large", &source, NULL, &err));
    meddler m = {.blobs = blobs};
    check_ok(exia__blobs_get(blobs, "large", 0, UINT64_MAX, meddle, &m, NULL, &err));
    assert_int_equal(m.seen.offset, end);
    assert_int_equal(m.seen.wrong, 0);
    m = (meddler){.blobs = blobs, .size = end + 1};
    check_fails(EXIA_ECONFLICT,
                exia__blobs_get(blobs, "large", 0, UINT64_MAX, meddle, &m, NULL, &err));
    check_text("was replaced while it was read");
    exia__blobs_free(blobs);
}

static void die(void)
{
    _exit(9);
}

static int put_and_die(void)
{
    exia__blobs *blobs = NULL;
    large all;
    if (exia__blobs_open(&blobs, server_url_own(), EXIA_STORE_WRITE, NULL, &err) < 0)
        return 1;
    exia_source source = make_source(&all, 96 * MIB);
    all.act = die;
    all.act_at = 80 * MIB;
    exia__blobs_put(blobs, "large", &source, NULL, &err);
    return 2;
}

TEST(a_put_that_was_killed_goes_on_where_it_was)
{
    exia__blobs *blobs = open_blobs();
    large all;
    assert_int_equal(check_in_child(put_and_die), 9);
    check_fails(EXIA_ENOTFOUND, exia__blobs_stat(NULL, NULL, blobs, "large", NULL, &err));
    assert_true(server_notes() > 1);
    exia_source source = make_source(&all, 96 * MIB);
    check_ok(exia__blobs_put(blobs, "large", &source, NULL, &err));
    assert_in_range(all.asked, 16 * MIB, 64 * MIB);
    check_range(blobs, "large", 0, UINT64_MAX, 0, 96 * MIB);
    assert_int_equal(server_notes(), 0);
    exia__blobs_free(blobs);
}

static exia_status spoil_note(const char *key, const char *json, int64_t revision, void *payload,
                              exia_error *error)
{
    const char *end = strstr(key, "/upload");
    (void)json;
    (void)revision;
    (void)payload;
    if (end == NULL)
        return EXIA_OK;
    return exia__core.note_put(check_format("%.*s", (int)(end - key), key), "upload",
                               check_format("%d no-such-upload", 8 * MIB), error);
}

TEST(an_upload_that_the_server_does_not_know_any_more_begins_anew)
{
    exia__blobs *blobs = open_blobs();
    exia__records *notes = NULL;
    large all;
    assert_int_equal(check_in_child(put_and_die), 9);
    check_ok(exia__records_open(&notes, check_format("sqlite:%s", check_path("home/journal.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_scan(notes, "note", "s3/", NULL, 0, NULL, spoil_note, NULL, NULL, &err));
    exia__records_free(notes);
    exia_source source = make_source(&all, 96 * MIB);
    check_ok(exia__blobs_put(blobs, "large", &source, NULL, &err));
    check_range(blobs, "large", 0, UINT64_MAX, 0, 96 * MIB);
    assert_int_equal(server_notes(), 0);
    exia__blobs_free(blobs);
}

TEST(a_server_killed_in_the_middle_of_a_put_has_nothing_of_it_and_takes_the_rest_later)
{
    exia__blobs *blobs = open_blobs();
    large all;
    server_can_start();
    exia_source source = make_source(&all, 96 * MIB);
    all.act = server_kill;
    all.act_at = 64 * MIB;
    int64_t began = exia__clock_ms();
    check_fails(EXIA_EUNAVAILABLE, exia__blobs_put(blobs, "large", &source, NULL, &err));
    check_text("127.0.0.1");
    assert_true(exia__clock_ms() - began < 60000);
    server_start();
    check_fails(EXIA_ENOTFOUND, exia__blobs_stat(NULL, NULL, blobs, "large", NULL, &err));
    all.asked = 0;
    check_ok(exia__blobs_put(blobs, "large", &source, NULL, &err));
    assert_true(all.asked < 96 * MIB);
    check_range(blobs, "large", 0, UINT64_MAX, 0, 96 * MIB);
    exia__blobs_free(blobs);
}

static exia_status note_key(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                            exia_error *error)
{
    (void)size;
    (void)modified_ms;
    (void)error;
    *(const char **)payload = check_format("%s", key);
    return EXIA_OK;
}

TEST(a_prefix_may_have_any_character)
{
    static const char *const prefixes[] = {"a%20b",   "a+b",    "a%25b",
                                           "a=b&c=d", "%C3%A4", "a%20+%2B"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        exia__blobs *blobs = NULL;
        exia_source source = exia__source_memory("x", 1);
        const char *here = check_format("%s/%s", server_url_own(), prefixes[i]);
        const char *key = "";
        seen now = {0};
        check_ok(exia__blobs_open(&blobs, here, EXIA_STORE_WRITE, NULL, &err));
        check_ok(exia__blobs_put(blobs, "k/l", &source, NULL, &err));
        check_ok(exia__blobs_touch(blobs, "k/l", NULL, &err));
        check_ok(exia__blobs_list(blobs, "k/", note_key, &key, NULL, &err));
        assert_string_equal(key, "k/l");
        check_ok(exia__blobs_get(blobs, "k/l", 0, 1, compare, &now, NULL, &err));
        check_ok(exia__blobs_remove(blobs, "k/l", NULL, &err));
        check_fails(EXIA_ENOTFOUND, exia__blobs_stat(NULL, NULL, blobs, "k/l", NULL, &err));
        exia__blobs_free(blobs);
    }
}

static exia_status read_until(void *into, uint64_t offset, size_t size, void *payload,
                              exia_error *error)
{
    large *all = payload;
    if (offset + size > all->act_at)
        return exia__fail(error, EXIA_EUNAVAILABLE, 77, "the source is away");
    return read_large(into, offset, size, payload, error);
}

TEST(a_source_that_breaks_in_the_middle_is_no_fault_of_the_server_s)
{
    exia__blobs *blobs = open_blobs();
    large all;
    exia_source source = make_source(&all, 60 * MIB);
    all.act_at = 45 * MIB;
    source.read = read_until;
    check_fails(EXIA_EUNAVAILABLE, exia__blobs_put(blobs, "large", &source, NULL, &err));
    check_text("the source is away");
    assert_int_equal(err.native, 77);
    check_fails(EXIA_ENOTFOUND, exia__blobs_stat(NULL, NULL, blobs, "large", NULL, &err));
    source.read = read_large;
    check_ok(exia__blobs_put(blobs, "large", &source, NULL, &err));
    check_range(blobs, "large", 0, UINT64_MAX, 0, 60 * MIB);
    exia__blobs_free(blobs);
}

/* ---- copies --------------------------------------------------------------------------------- */

static exia_status read_rotten(void *into, uint64_t offset, size_t size, void *payload,
                               exia_error *error)
{
    exia_status rc = read_large(into, offset, size, payload, error);
    if (offset <= 20 * MIB && 20 * MIB < offset + size)
        ((unsigned char *)into)[20 * MIB - offset] ^= 1;
    return rc;
}

static void check_composed(exia__blobs *blobs, const exia_piece *piece, uint64_t copied_most)
{
    large all;
    uint64_t copied = 0;
    exia_source source = make_source(&all, 40 * MIB);
    check_ok(exia__blobs_compose(&copied, blobs, "made", &source, piece, 1, NULL, &err));
    assert_int_equal(copied, copied_most);
    check_range(blobs, "made", 0, UINT64_MAX, 0, 40 * MIB);
    check_ok(exia__blobs_remove(blobs, "made", NULL, &err));
}

TEST(a_range_of_an_object_that_rotted_on_the_server_is_not_copied)
{
    exia__blobs *blobs = open_blobs();
    large all;
    const exia_piece piece = {.at = 4 * MIB, .size = 30 * MIB, .key = "base", .offset = 4 * MIB};
    exia_source source = make_source(&all, 40 * MIB);
    check_ok(exia__blobs_put(blobs, "base", &source, NULL, &err));
    check_composed(blobs, &piece, 30 * MIB - MIB); /* what is sent has 5 MiB at least */
    check_ok(exia__blobs_remove(blobs, "base", NULL, &err));
    source.sha256 = NULL;
    source.read = read_rotten;
    check_ok(exia__blobs_put(blobs, "base", &source, NULL, &err));
    check_composed(blobs, &piece, 0);
    exia__blobs_free(blobs);
}

/* ---- a source that changes ------------------------------------------------------------------ */

static exia_status read_changing(void *into, uint64_t offset, size_t size, void *payload,
                                 exia_error *error)
{
    if (offset + size > 45 * MIB)
        return exia__fail(error, EXIA_ECONFLICT, 0, "its bytes changed while they were read");
    exia_status rc = read_large(into, offset, size, payload, error);
    if (offset > 0)
        *(unsigned char *)into ^= 1;
    return rc;
}

static exia_status read_changing_and_die(void *into, uint64_t offset, size_t size, void *payload,
                                         exia_error *error)
{
    if (offset + size > 45 * MIB)
        die();
    return read_changing(into, offset, size, payload, error);
}

static int put_changing_and_die(void)
{
    exia__blobs *blobs = NULL;
    large all;
    if (exia__blobs_open(&blobs, server_url_own(), EXIA_STORE_WRITE, NULL, &err) < 0)
        return 1;
    exia_source source = make_source(&all, 60 * MIB);
    source.read = read_changing_and_die;
    exia__blobs_put(blobs, "large", &source, NULL, &err);
    return 2;
}

TEST(what_a_killed_process_sent_of_a_source_that_changed_is_sent_again)
{
    exia__blobs *blobs = open_blobs();
    large all;
    assert_int_equal(check_in_child(put_changing_and_die), 9);
    assert_true(server_notes() > 1);
    exia_source source = make_source(&all, 60 * MIB);
    check_ok(exia__blobs_put(blobs, "large", &source, NULL, &err));
    check_range(blobs, "large", 0, UINT64_MAX, 0, 60 * MIB);
    assert_int_equal(server_notes(), 0);
    exia__blobs_free(blobs);
}

TEST(what_was_sent_of_a_source_that_changed_is_sent_again)
{
    exia__blobs *blobs = open_blobs();
    large all;
    exia_source source = make_source(&all, 60 * MIB);
    source.read = read_changing;
    check_fails(EXIA_ECONFLICT, exia__blobs_put(blobs, "large", &source, NULL, &err));
    source.read = read_large;
    check_ok(exia__blobs_put(blobs, "large", &source, NULL, &err));
    check_range(blobs, "large", 0, UINT64_MAX, 0, 60 * MIB);
    exia__blobs_free(blobs);
}
