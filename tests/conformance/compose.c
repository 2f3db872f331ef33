/* What a store must do that takes bytes of which it has some; one that copies none stores them all. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "conformance/conformance.h"

const char conformance_compose = 1;

/* The bytes to be stored; those of the blobs they are copied from have other seeds. */
typedef struct made {
    unsigned seed;
    uint64_t size, fail_at, read; /* read: how many bytes were asked for */
} made;

static unsigned char byte_at(unsigned seed, uint64_t offset)
{
    return (unsigned char)((offset * 2654435761u + seed) >> 13);
}

static exia_status read_made(void *into, uint64_t offset, size_t size, void *payload,
                             exia_error *error)
{
    made *now = payload;
    if (now->fail_at > 0 && offset + size >= now->fail_at)
        return exia__fail(error, EXIA_EUSER, 5, "the source broke");
    if (offset + size > now->size)
        return exia__fail(error, EXIA_EUSER, 0, "asked for bytes behind the source");
    now->read += size;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)into)[i] = byte_at(now->seed, offset + i);
    return EXIA_OK;
}

static exia_source source_of(made *bytes)
{
    return (exia_source){.read = read_made, .size = bytes->size, .payload = bytes};
}

static exia__blobs *open_blobs(int mode)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, conformance.url("a"), mode, NULL, &err));
    return blobs;
}

/* A blob of the bytes that `seed` gives, from the offset `shift` of them on. */
typedef struct shifted {
    unsigned seed;
    uint64_t shift;
} shifted;

static exia_status read_shifted(void *into, uint64_t offset, size_t size, void *payload,
                                exia_error *error)
{
    const shifted *s = payload;
    (void)error;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)into)[i] = byte_at(s->seed, s->shift + offset + i);
    return EXIA_OK;
}

static void put(exia__blobs *blobs, const char *key, unsigned seed, uint64_t shift, uint64_t size)
{
    shifted s = {seed, shift};
    exia_source source = {.read = read_shifted, .size = size, .payload = &s};
    check_ok(exia__blobs_put(blobs, key, &source, NULL, &err));
}

typedef struct reading {
    unsigned seed;
    uint64_t offset;
} reading;

static exia_status compare(const void *data, size_t size, void *payload, exia_error *error)
{
    reading *r = payload;
    for (size_t i = 0; i < size; i++, r->offset++) {
        if (((const unsigned char *)data)[i] != byte_at(r->seed, r->offset))
            return exia__fail(error, EXIA_EUSER, 0, "byte %llu is another",
                              (unsigned long long)r->offset);
    }
    return EXIA_OK;
}

static void check_blob(exia__blobs *blobs, const char *key, unsigned seed, uint64_t size)
{
    reading r = {.seed = seed};
    check_ok(exia__blobs_get(blobs, key, 0, UINT64_MAX, compare, &r, NULL, &err));
    assert_int_equal(r.offset, size);
}

static void check_absent(exia__blobs *blobs, const char *key)
{
    check_fails(EXIA_ENOTFOUND, exia__blobs_stat(NULL, NULL, blobs, key, NULL, &err));
}

static uint64_t compose(exia__blobs *blobs, const char *key, made *bytes, const exia_piece *pieces,
                        size_t count)
{
    exia_source source = source_of(bytes);
    uint64_t copied = 99;
    check_ok(exia__blobs_compose(&copied, blobs, key, &source, pieces, count, NULL, &err));
    return copied;
}

/* Large enough to be copied, with an odd end. */
static uint64_t part(void)
{
    return (conformance.part > 0 ? conformance.part : 1 << 20) + 77;
}

TEST(a_blob_of_old_and_new_bytes_is_what_its_source_says)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    uint64_t p = part();
    /* the same bytes elsewhere: at another offset, behind others */
    put(blobs, "old/one", 1, p - 5, 2 * p + 10);
    put(blobs, "old/two", 1, 3 * p, p + 3);
    const exia_piece layouts[][3] = {
        {{p, p, "old/one", 5}},                                   /* in the middle */
        {{2 * p, p, "old/one", p + 5}, {3 * p, p, "old/two", 0}}, /* side by side */
        {{p, p - 9, "old/one", 5}, {3 * p, p, "old/two", 0}},     /* apart */
        {{p, p, "old/one", 5}, {2 * p, p, "old/one", p + 5}, {3 * p, p, "old/two", 0}},
    };
    const size_t counts[] = {1, 2, 2, 3};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        made bytes = {.seed = 1, .size = 4 * p};
        const char *key = check_format("new/%zu", i);
        uint64_t most = 0, copied = compose(blobs, key, &bytes, layouts[i], counts[i]);
        for (size_t k = 0; k < counts[i]; k++)
            most += layouts[i][k].size;
        check_blob(blobs, key, 1, bytes.size);
        assert_in_range(copied, conformance.composes ? 1 : 0, conformance.composes ? most : 0);
        if (conformance.part == 0 && conformance.composes) /* nothing is too little */
            assert_true(copied == most && bytes.read == bytes.size - copied);
    }
    exia__blobs_free(blobs);
}

TEST(a_blob_that_is_all_there_is_copied)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    uint64_t p = part();
    put(blobs, "old", 1, 0, 2 * p);
    made bytes = {.seed = 1, .size = 2 * p};
    uint64_t copied = compose(blobs, "new", &bytes, &(exia_piece){0, 2 * p, "old", 0}, 1);
    check_blob(blobs, "new", 1, bytes.size);
    assert_int_equal(copied, conformance.composes ? 2 * p : 0);
    exia__blobs_free(blobs);
}

TEST(a_hundred_small_pieces_come_in_order)
{
    exia_piece pieces[100];
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    put(blobs, "old", 1, 100, 1 << 20);
    for (size_t i = 0; i < 100; i++)
        pieces[i] = (exia_piece){100 + i * 1000, i % 2 ? 1000 : 999, "old", i * 1000};
    made bytes = {.seed = 1, .size = 200000};
    assert_in_range(compose(blobs, "new", &bytes, pieces, 100), 0, 99950);
    check_blob(blobs, "new", 1, bytes.size);
    made empty = {.seed = 1}, plain = {.seed = 1, .size = 7};
    assert_int_equal(compose(blobs, "empty", &empty, NULL, 0), 0);
    assert_int_equal(compose(blobs, "plain", &plain, NULL, 0), 0);
    check_blob(blobs, "empty", 1, 0);
    check_blob(blobs, "plain", 1, 7);
    exia__blobs_free(blobs);
}

TEST(pieces_that_are_not_there_are_stored_from_the_source)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    uint64_t p = part();
    put(blobs, "short", 1, 0, p - 1);
    const exia_piece gone = {0, p, "gone", 0}, cut = {0, p, "short", 0}, far = {0, p, "short", p};
    made bytes = {.seed = 1, .size = p + 5};
    assert_int_equal(compose(blobs, "one", &bytes, &gone, 1), 0);
    assert_int_equal(compose(blobs, "two", &bytes, &cut, 1), 0);
    assert_int_equal(compose(blobs, "three", &bytes, &far, 1), 0);
    check_blob(blobs, "one", 1, bytes.size);
    check_blob(blobs, "two", 1, bytes.size);
    check_blob(blobs, "three", 1, bytes.size);
    exia__blobs_free(blobs);
}

TEST(pieces_that_make_no_sense_are_refused)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    made bytes = {.seed = 1, .size = 100};
    exia_source source = source_of(&bytes);
    put(blobs, "old", 1, 0, 100);
    const exia_piece bad[][2] = {
        {{0, 10, "old", 0}, {9, 10, "old", 0}},               /* overlap */
        {{50, 10, "old", 0}, {0, 10, "old", 0}},              /* not in order */
        {{0, 10, "old", 0}, {10, 0, "old", 0}},               /* empty */
        {{0, 10, "old", 0}, {95, 6, "old", 0}},               /* behind the end */
        {{0, 10, "old", 0}, {101, 1, "old", 0}},              /* all of it */
        {{0, 10, "old", 0}, {50, UINT64_MAX - 10, "old", 0}}, /* sums that wrap */
        {{0, 10, "old", 0}, {50, 10, "old", UINT64_MAX - 5}}, /* ... in the other blob */
        {{0, 10, "old", 0}, {50, 10, "../old", 0}},           /* no key */
        {{0, 10, "old", 0}, {50, 10, NULL, 0}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_fails(EXIA_EINVAL,
                    exia__blobs_compose(NULL, blobs, "new", &source, bad[i], 2, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_compose(NULL, blobs, "new", &source, NULL, 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_compose(NULL, blobs, "new", NULL, bad[0], 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_compose(NULL, blobs, "N", &source, bad[0], 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_compose(NULL, NULL, "n", &source, bad[0], 1, NULL, &err));
    assert_int_equal(bytes.read, 0);
    check_absent(blobs, "new");
    exia__blobs_free(blobs);
}

static int refuse(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step;
    (void)done;
    (void)total;
    (void)payload;
    return 1;
}

TEST(a_blob_of_pieces_is_there_whole_or_not_at_all)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE), *reader = open_blobs(EXIA_STORE_READ);
    uint64_t p = part(), copied = 99;
    exia_job job = {.struct_size = sizeof job, .progress = refuse};
    made bytes = {.seed = 1, .size = 2 * p}, broken = {.seed = 1, .size = 2 * p, .fail_at = 2 * p};
    exia_source source = source_of(&bytes), bad = source_of(&broken);
    put(blobs, "old", 1, 0, p);
    const exia_piece piece = {0, p, "old", 0};
    check_fails(EXIA_EUSER,
                exia__blobs_compose(&copied, blobs, "new", &bad, &piece, 1, NULL, &err));
    check_text("the source broke");
    assert_int_equal(copied, 0);
    check_fails(EXIA_ECANCELLED,
                exia__blobs_compose(&copied, blobs, "new", &source, &piece, 1, &job, &err));
    check_fails(EXIA_EDENIED,
                exia__blobs_compose(&copied, reader, "new", &source, &piece, 1, NULL, &err));
    check_absent(blobs, "new");
    put(blobs, "new", 2, 0, 9);
    check_fails(EXIA_EEXISTS,
                exia__blobs_compose(&copied, blobs, "new", &source, &piece, 1, NULL, &err));
    assert_int_equal(copied, 0);
    check_blob(blobs, "new", 2, 9);
    exia__blobs_free(reader);
    exia__blobs_free(blobs);
}

static exia_status use(void *payload, exia_error *error)
{
    exia__blobs *blobs = NULL;
    made bytes = {.seed = 1, .size = 100};
    exia_source source = source_of(&bytes);
    const exia_piece piece = {10, 50, "old", 3};
    exia_status rc = exia__blobs_open(&blobs, payload, EXIA_STORE_WRITE, NULL, error);
    if (rc == EXIA_OK) /* the last round may have left it */
        rc = exia__blobs_remove(blobs, "new", NULL, error);
    if (rc == EXIA_OK)
        rc = exia__blobs_compose(NULL, blobs, "new", &source, &piece, 1, NULL, error);
    exia__blobs_free(blobs);
    return rc;
}

TEST(a_blob_of_pieces_survives_that_memory_is_out)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    put(blobs, "old", 1, 7, 100);
    check_survives_no_memory(use, (void *)conformance.url("a"));
    check_blob(blobs, "new", 1, 100);
    exia__blobs_free(blobs);
}
