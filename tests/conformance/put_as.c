/* What a store must do that takes bytes before their key. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "conformance/conformance.h"

const char conformance_put_as = 1;

/* A source that is to be read once and in order, and who names its bytes. */
typedef struct unnamed {
    uint64_t size, next, fail_at;
    int out_of_order, asked; /* asked: how often for the key */
    const char *key;
    exia_status answer;
} unnamed;

static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)(offset * 2654435761u >> 13);
}

static exia_status read_once(void *into, uint64_t offset, size_t size, void *payload,
                             exia_error *error)
{
    unnamed *now = payload;
    if (offset + size > now->fail_at)
        return exia__fail(error, EXIA_EUSER, 5, "the source broke");
    now->out_of_order |= offset != now->next || offset + size > now->size;
    now->next = offset + size;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)into)[i] = byte_at(offset + i);
    return EXIA_OK;
}

static exia_status name(const char **key, void *payload, exia_error *error)
{
    unnamed *now = payload;
    now->asked++;
    if (now->next != now->size)
        return exia__fail(error, EXIA_EUSER, 0, "asked before all was read");
    *key = now->key;
    return now->answer < 0 ? exia__fail(error, now->answer, 7, "it has no name") : now->answer;
}

static exia_status put_as(exia__blobs *blobs, unnamed *now)
{
    exia_source source = {.read = read_once, .size = now->size, .payload = now};
    if (now->fail_at == 0)
        now->fail_at = UINT64_MAX;
    return exia__blobs_put_as(blobs, &source, name, now, NULL, &err);
}

static exia__blobs *open_blobs(int mode)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, conformance.url("a"), mode, NULL, &err));
    return blobs;
}

static exia_status compare(const void *data, size_t size, void *payload, exia_error *error)
{
    uint64_t *offset = payload;
    for (size_t i = 0; i < size; i++) {
        if (((const unsigned char *)data)[i] != byte_at((*offset)++))
            return exia__fail(error, EXIA_EUSER, 0, "byte %llu is another",
                              (unsigned long long)*offset - 1);
    }
    return EXIA_OK;
}

static exia_status count(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                         exia_error *error)
{
    (void)key;
    (void)size;
    (void)modified_ms;
    (void)error;
    ++*(int *)payload;
    return EXIA_OK;
}

static void check_count(exia__blobs *blobs, int expected)
{
    int found = 0;
    check_ok(exia__blobs_list(blobs, "", count, &found, NULL, &err));
    assert_int_equal(found, expected);
}

TEST(a_blob_gets_its_key_when_its_bytes_were_read_once_and_in_order)
{
    static const uint64_t sizes[] = {0, 1, 4095, 1 << 20, (4 << 20) + 1, 11 << 20};
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unnamed now = {.size = sizes[i], .key = check_format("made/of/%zu", i)};
        uint64_t size = 99, read = 0;
        check_ok(put_as(blobs, &now));
        assert_int_equal(now.out_of_order, 0);
        assert_int_equal(now.asked, 1);
        check_ok(exia__blobs_stat(&size, NULL, blobs, now.key, NULL, &err));
        assert_int_equal(size, sizes[i]);
        check_ok(exia__blobs_get(blobs, now.key, 0, UINT64_MAX, compare, &read, NULL, &err));
        assert_int_equal(read, sizes[i]);
    }
    exia__blobs_free(blobs);
}

TEST(what_gets_no_key_is_not_stored)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    unnamed unwanted = {.size = 9, .key = "k", .answer = EXIA_DONE};
    unnamed failing = {.size = 9, .key = "k", .answer = EXIA_EUSER};
    unnamed nameless = {.size = 9}, wrong = {.size = 9, .key = "../k"};
    unnamed broken = {.size = 5 << 20, .key = "k", .fail_at = (5 << 20) - 1};
    check_ok(put_as(blobs, &unwanted));
    assert_int_equal(unwanted.asked, 1);
    check_fails(EXIA_EUSER, put_as(blobs, &failing));
    check_text("it has no name");
    assert_int_equal(err.native, 7);
    check_fails(EXIA_EINVAL, put_as(blobs, &nameless));
    check_fails(EXIA_EINVAL, put_as(blobs, &wrong));
    check_fails(EXIA_EUSER, put_as(blobs, &broken));
    check_text("the source broke");
    assert_int_equal(broken.asked, 0);
    check_count(blobs, 0);
    exia__blobs_free(blobs);
}

TEST(a_key_that_turns_out_to_be_taken_keeps_its_bytes)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    unnamed first = {.size = 9, .key = "a/k"}, second = {.size = 5, .key = "a/k"};
    uint64_t size = 0;
    check_ok(put_as(blobs, &first));
    check_fails(EXIA_EEXISTS, put_as(blobs, &second));
    check_ok(exia__blobs_stat(&size, NULL, blobs, "a/k", NULL, &err));
    assert_int_equal(size, 9);
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

TEST(a_cancel_or_a_handle_for_reading_stores_nothing_unnamed)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE), *reader = open_blobs(EXIA_STORE_READ);
    exia_job job = {.struct_size = sizeof job, .progress = refuse};
    unnamed now = {.size = 9, .key = "k", .fail_at = UINT64_MAX};
    exia_source source = {.read = read_once, .size = now.size, .payload = &now};
    check_fails(EXIA_ECANCELLED, exia__blobs_put_as(blobs, &source, name, &now, &job, &err));
    check_fails(EXIA_EDENIED, put_as(reader, &now));
    check_fails(EXIA_EINVAL, exia__blobs_put_as(blobs, NULL, name, &now, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_put_as(blobs, &source, NULL, &now, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_put_as(NULL, &source, name, &now, NULL, &err));
    assert_int_equal(now.asked, 0);
    check_count(blobs, 0);
    exia__blobs_free(reader);
    exia__blobs_free(blobs);
}

static exia_status use(void *payload, exia_error *error)
{
    exia__blobs *blobs = NULL;
    unnamed now = {.size = 100, .key = "a/k", .fail_at = UINT64_MAX};
    exia_source source = {.read = read_once, .size = now.size, .payload = &now};
    exia_status rc = exia__blobs_open(&blobs, payload, EXIA_STORE_WRITE, NULL, error);
    if (rc == EXIA_OK) /* the last round may have left it */
        rc = exia__blobs_remove(blobs, "a/k", NULL, error);
    if (rc == EXIA_OK)
        rc = exia__blobs_put_as(blobs, &source, name, &now, NULL, error);
    exia__blobs_free(blobs);
    return rc;
}

TEST(a_put_without_a_key_survives_that_memory_is_out)
{
    check_survives_no_memory(use, (void *)conformance.url("a"));
}
