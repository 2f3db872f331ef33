/* What every store of blobs must do. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"
#include "conformance/conformance.h"

const char conformance_blobs = 1;

static exia__blobs *open_blobs(const char *place)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, conformance.url(place), EXIA_STORE_WRITE, NULL, &err));
    return blobs;
}

/* Bytes that tell their position, so that a shifted or repeated piece shows. */
static unsigned char *make_bytes(size_t size, unsigned seed)
{
    unsigned char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)((i * 2654435761u + seed) >> 13);
    return bytes;
}

static void put(exia__blobs *blobs, const char *key, const char *text)
{
    exia_source source = exia__source_memory(text, strlen(text));
    check_ok(exia__blobs_put(blobs, key, &source, NULL, &err));
}

typedef struct collected {
    unsigned char *bytes;
    size_t size;
    size_t calls, fail_at; /* fails at this call, from 1 on */
} collected;

static exia_status collect(const void *data, size_t size, void *payload, exia_error *error)
{
    collected *all = payload;
    if (++all->calls == all->fail_at)
        return exia__fail(error, EXIA_EUSER, 77, "the sink is full");
    all->bytes = realloc(all->bytes, all->size + size + 1);
    if (all->bytes == NULL)
        abort();
    memcpy(all->bytes + all->size, data, size);
    all->size += size;
    return EXIA_OK;
}

static void check_range(exia__blobs *blobs, const char *key, uint64_t offset, uint64_t size,
                        const void *expected, size_t expected_size)
{
    collected got = {0};
    check_ok(exia__blobs_get(blobs, key, offset, size, collect, &got, NULL, &err));
    assert_int_equal(got.size, expected_size);
    if (expected_size > 0)
        assert_memory_equal(got.bytes, expected, expected_size);
    free(got.bytes);
}

static void check_blob(exia__blobs *blobs, const char *key, const char *text)
{
    check_range(blobs, key, 0, UINT64_MAX, text, strlen(text));
}

/* The keys of a listing, sorted and joined by spaces. */
typedef struct keys {
    const char *found[64];
    size_t count, stop_at;
    exia_status answer; /* at `stop_at` */
    exia__blobs *remove_from;
} keys;

static exia_status note_key(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                            exia_error *error)
{
    keys *all = payload;
    (void)size;
    (void)modified_ms;
    if (all->count == sizeof all->found / sizeof *all->found)
        abort();
    all->found[all->count++] = check_format("%s", key);
    if (all->remove_from != NULL)
        return exia__blobs_remove(all->remove_from, key, NULL, error);
    if (all->count == all->stop_at)
        return all->answer < 0 ? exia__fail(error, all->answer, 0, "the listener has enough")
                               : all->answer;
    return EXIA_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_keys(exia__blobs *blobs, const char *prefix, const char *expected)
{
    keys all = {0};
    const char *joined = "";
    check_ok(exia__blobs_list(blobs, prefix, note_key, &all, NULL, &err));
    qsort(all.found, all.count, sizeof *all.found, by_text);
    for (size_t i = 0; i < all.count; i++)
        joined = check_format("%s%s%s", joined, i > 0 ? " " : "", all.found[i]);
    assert_string_equal(joined, expected);
}

/* ---- put and get ---------------------------------------------------------------------------- */

TEST(a_blob_comes_back_as_it_was_put)
{
    static const size_t sizes[] = {0, 1, 4095, 65537, (1 << 20) - 1, 1 << 20, 3 * (1 << 20) + 7};
    exia__blobs *blobs = open_blobs("a");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *bytes = make_bytes(sizes[i], (unsigned)i);
        const char *key = check_format("sizes/%zu", i);
        exia_source source = exia__source_memory(bytes, sizes[i]);
        uint64_t size = 99;
        check_ok(exia__blobs_put(blobs, key, &source, NULL, &err));
        check_range(blobs, key, 0, UINT64_MAX, bytes, sizes[i]);
        check_ok(exia__blobs_stat(&size, NULL, blobs, key, NULL, &err));
        assert_int_equal(size, sizes[i]);
        free(bytes);
    }
    exia__blobs_free(blobs);
}

TEST(a_blob_outlives_its_handle)
{
    exia__blobs *blobs = open_blobs("a");
    put(blobs, "k", "stays");
    exia__blobs_free(blobs);
    blobs = open_blobs("a");
    check_blob(blobs, "k", "stays");
    exia__blobs_free(blobs);
}

TEST(every_range_of_a_blob_can_be_had)
{
    exia__blobs *blobs = open_blobs("a");
    const char *text = "0123456789";
    put(blobs, "k", text);
    for (size_t offset = 0; offset <= 10; offset++) {
        for (size_t size = 0; size <= 12; size++) {
            size_t there = size < 10 - offset ? size : 10 - offset;
            check_range(blobs, "k", offset, size, text + offset, there);
        }
    }
    exia__blobs_free(blobs);
}

TEST(a_tail_is_the_end_or_all_when_there_is_less)
{
    exia__blobs *blobs = open_blobs("a");
    put(blobs, "k", "0123456789");
    put(blobs, "empty", "");
    check_range(blobs, "k", EXIA_TAIL, 3, "789", 3);
    check_range(blobs, "k", EXIA_TAIL, 10, "0123456789", 10);
    check_range(blobs, "k", EXIA_TAIL, 11, "0123456789", 10);
    check_range(blobs, "k", EXIA_TAIL, 0, "", 0);
    check_range(blobs, "empty", EXIA_TAIL, 5, "", 0);
    exia__blobs_free(blobs);
}

TEST(a_range_that_begins_behind_the_blob_is_refused)
{
    exia__blobs *blobs = open_blobs("a");
    collected got = {0};
    put(blobs, "k", "0123456789");
    check_fails(EXIA_EINVAL, exia__blobs_get(blobs, "k", 11, 1, collect, &got, NULL, &err));
    check_fails(EXIA_EINVAL,
                exia__blobs_get(blobs, "k", UINT64_MAX - 1, 1, collect, &got, NULL, &err));
    assert_int_equal(got.calls, 0);
    exia__blobs_free(blobs);
}

TEST(a_sink_that_fails_ends_the_get_with_its_own_error)
{
    exia__blobs *blobs = open_blobs("a");
    unsigned char *bytes = make_bytes(3 << 20, 1);
    exia_source source = exia__source_memory(bytes, 3 << 20);
    collected got = {.fail_at = 1};
    check_ok(exia__blobs_put(blobs, "k", &source, NULL, &err));
    check_fails(EXIA_EUSER, exia__blobs_get(blobs, "k", 0, UINT64_MAX, collect, &got, NULL, &err));
    check_text("the sink is full");
    assert_int_equal(got.calls, 1);
    free(bytes);
    exia__blobs_free(blobs);
}

TEST(a_taken_key_is_refused_and_keeps_its_bytes)
{
    exia__blobs *blobs = open_blobs("a");
    exia_source other = exia__source_memory("other", 5), same = exia__source_memory("first", 5);
    put(blobs, "a/k", "first");
    check_fails(EXIA_EEXISTS, exia__blobs_put(blobs, "a/k", &other, NULL, &err));
    check_fails(EXIA_EEXISTS, exia__blobs_put(blobs, "a/k", &same, NULL, &err));
    check_blob(blobs, "a/k", "first");
    exia__blobs_free(blobs);
}

typedef struct bad_source {
    uint64_t size, fail_at, asked_behind;
    int64_t wait_ms;
} bad_source;

static exia_status read_badly(void *into, uint64_t offset, size_t size, void *payload,
                              exia_error *error)
{
    bad_source *bad = payload;
    int64_t end = exia__clock_ms() + bad->wait_ms;
    if (offset + size > bad->size)
        bad->asked_behind = 1;
    if (offset + size > bad->fail_at)
        return exia__fail(error, EXIA_EUSER, 5, "the source broke");
    while (exia__clock_ms() < end)
        usleep(1000);
    memset(into, 'x', size);
    return EXIA_OK;
}

TEST(a_source_that_fails_stores_nothing)
{
    exia__blobs *blobs = open_blobs("a");
    static const uint64_t points[] = {0, 1, 1 << 20, (5 << 20) - 1};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        bad_source bad = {.size = 5 << 20, .fail_at = points[i]};
        exia_source source = {.read = read_badly, .size = bad.size, .payload = &bad};
        check_fails(EXIA_EUSER, exia__blobs_put(blobs, "a/k", &source, NULL, &err));
        check_text("the source broke");
        assert_int_equal(bad.asked_behind, 0);
        check_keys(blobs, "", "");
    }
    check_fails(EXIA_ENOTFOUND, exia__blobs_stat(NULL, NULL, blobs, "a/k", NULL, &err));
    put(blobs, "a/k", "now");
    check_blob(blobs, "a/k", "now");
    exia__blobs_free(blobs);
}

static int refuse(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step;
    (void)done;
    (void)total;
    ++*(int *)payload;
    return 1;
}

TEST(a_cancel_ends_put_get_and_list_and_stores_nothing)
{
    exia__blobs *blobs = open_blobs("a");
    int asked = 0;
    exia_job job = {.struct_size = sizeof job, .progress = refuse, .payload = &asked};
    exia_source source = exia__source_memory("text", 4);
    collected got = {0};
    keys all = {0};
    put(blobs, "there", "text");
    check_fails(EXIA_ECANCELLED, exia__blobs_put(blobs, "k", &source, &job, &err));
    check_fails(EXIA_ECANCELLED,
                exia__blobs_get(blobs, "there", 0, UINT64_MAX, collect, &got, &job, &err));
    check_fails(EXIA_ECANCELLED, exia__blobs_list(blobs, "", note_key, &all, &job, &err));
    assert_int_equal(asked, 3);
    assert_int_equal(got.size, 0);
    check_keys(blobs, "", "there");
    exia__blobs_free(blobs);
}

TEST(a_put_that_takes_longer_than_allowed_ends_and_stores_nothing)
{
    exia__blobs *blobs = open_blobs("a");
    exia_job job = {.struct_size = sizeof job, .total_ms = 5};
    bad_source slow = {.size = 100, .fail_at = UINT64_MAX, .wait_ms = 20};
    exia_source source = {.read = read_badly, .size = slow.size, .payload = &slow};
    check_fails(EXIA_ETIMEOUT, exia__blobs_put(blobs, "k", &source, &job, &err));
    check_keys(blobs, "", "");
    exia__blobs_free(blobs);
}

TEST(what_is_not_there_is_not_found_and_may_be_removed)
{
    exia__blobs *blobs = open_blobs("a");
    collected got = {0};
    uint64_t size = 9;
    int64_t modified_ms = 9;
    put(blobs, "a/b", "there");
    static const char *const absent[] = {"b", "a/c", "a", "a/b/c", "x/y/z"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        check_fails(EXIA_ENOTFOUND,
                    exia__blobs_get(blobs, absent[i], 0, 1, collect, &got, NULL, &err));
        check_fails(EXIA_ENOTFOUND,
                    exia__blobs_stat(&size, &modified_ms, blobs, absent[i], NULL, &err));
        assert_true(size == 0 && modified_ms == 0);
        check_fails(EXIA_ENOTFOUND, exia__blobs_touch(blobs, absent[i], NULL, &err));
        check_ok(exia__blobs_remove(blobs, absent[i], NULL, &err));
    }
    check_blob(blobs, "a/b", "there");
    exia__blobs_free(blobs);
}

TEST(a_removed_blob_is_gone_and_its_key_free)
{
    exia__blobs *blobs = open_blobs("a");
    put(blobs, "a/k", "old");
    check_ok(exia__blobs_remove(blobs, "a/k", NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia__blobs_stat(NULL, NULL, blobs, "a/k", NULL, &err));
    check_keys(blobs, "", "");
    put(blobs, "a/k", "new");
    check_blob(blobs, "a/k", "new");
    exia__blobs_free(blobs);
}

/* ---- list, touch, now, local ---------------------------------------------------------------- */

TEST(a_listing_has_the_keys_that_begin_with_the_prefix)
{
    exia__blobs *blobs = open_blobs("a");
    static const char *const all[] = {"ab/cd", "ab/ce", "abc", "ab.d", "b/c/d/e", "_x-y.z"};
    check_keys(blobs, "", "");
    check_keys(blobs, "no/such", "");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        put(blobs, all[i], "x");
    check_keys(blobs, NULL, "_x-y.z ab.d ab/cd ab/ce abc b/c/d/e");
    check_keys(blobs, "a", "ab.d ab/cd ab/ce abc");
    check_keys(blobs, "ab", "ab.d ab/cd ab/ce abc");
    check_keys(blobs, "ab/", "ab/cd ab/ce");
    check_keys(blobs, "ab/c", "ab/cd ab/ce");
    check_keys(blobs, "ab/cd", "ab/cd");
    check_keys(blobs, "ab/cd/", "");
    check_keys(blobs, "b/c", "b/c/d/e");
    check_keys(blobs, "b/c/d/", "b/c/d/e");
    check_keys(blobs, "b/c/x/", "");
    check_keys(blobs, "c", "");
    exia__blobs_free(blobs);
}

static exia_status note_facts(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                              exia_error *error)
{
    (void)key;
    (void)error;
    ((int64_t *)payload)[0] = (int64_t)size;
    ((int64_t *)payload)[1] = modified_ms;
    return EXIA_OK;
}

TEST(a_listing_tells_size_and_time_as_stat_does)
{
    exia__blobs *blobs = open_blobs("a");
    int64_t facts[2] = {0}, modified_ms = 0;
    uint64_t size = 0;
    put(blobs, "k", "1234567");
    check_ok(exia__blobs_list(blobs, "", note_facts, facts, NULL, &err));
    check_ok(exia__blobs_stat(&size, &modified_ms, blobs, "k", NULL, &err));
    assert_int_equal(facts[0], 7);
    assert_int_equal(size, 7);
    assert_int_equal(facts[1], modified_ms);
    exia__blobs_free(blobs);
}

TEST(a_listener_may_end_the_listing_or_fail_it)
{
    exia__blobs *blobs = open_blobs("a");
    keys enough = {.stop_at = 2, .answer = EXIA_DONE},
         broken = {.stop_at = 2, .answer = EXIA_EUSER};
    for (int i = 0; i < 5; i++)
        put(blobs, check_format("d%d/k", i), "x");
    check_ok(exia__blobs_list(blobs, "", note_key, &enough, NULL, &err));
    assert_int_equal(enough.count, 2);
    check_fails(EXIA_EUSER, exia__blobs_list(blobs, "", note_key, &broken, NULL, &err));
    check_text("the listener has enough");
    assert_int_equal(broken.count, 2);
    exia__blobs_free(blobs);
}

TEST(a_listener_may_remove_what_it_is_told)
{
    exia__blobs *blobs = open_blobs("a");
    keys all = {.remove_from = blobs};
    for (int i = 0; i < 20; i++)
        put(blobs, check_format("d%d/k%d", i % 3, i), "x");
    check_ok(exia__blobs_list(blobs, "", note_key, &all, NULL, &err));
    assert_int_equal(all.count, 20);
    check_keys(blobs, "", "");
    exia__blobs_free(blobs);
}

TEST(a_new_or_touched_blob_is_as_young_as_the_clock_says)
{
    exia__blobs *blobs = open_blobs("a");
    int64_t before = 0, modified_ms = 0, after = 0;
    check_ok(exia__blobs_now(&before, blobs, NULL, &err));
    put(blobs, "k", "x");
    check_ok(exia__blobs_stat(NULL, &modified_ms, blobs, "k", NULL, &err));
    check_ok(exia__blobs_now(&after, blobs, NULL, &err));
    assert_true(modified_ms >= before - conformance.clock_ms);
    assert_true(modified_ms <= after + conformance.clock_ms);
    usleep(20000); /* so that the next time differs */
    check_ok(exia__blobs_now(&before, blobs, NULL, &err));
    check_ok(exia__blobs_touch(blobs, "k", NULL, &err));
    check_ok(exia__blobs_stat(NULL, &modified_ms, blobs, "k", NULL, &err));
    assert_true(modified_ms >= before - conformance.clock_ms);
    check_blob(blobs, "k", "x");
    exia__blobs_free(blobs);
}

TEST(a_local_blob_can_be_read_as_a_file)
{
    exia__blobs *blobs = open_blobs("a");
    char *path = NULL;
    put(blobs, "a/k", "text");
    if (!conformance.has_local) {
        check_fails(EXIA_EUNSUPPORTED, exia__blobs_local(&path, blobs, "a/k", &err));
    } else {
        size_t size = 0;
        check_fails(EXIA_ENOTFOUND, exia__blobs_local(&path, blobs, "a/x", &err));
        check_ok(exia__blobs_local(&path, blobs, "a/k", &err));
        char *text = check_read_file(path, &size);
        assert_string_equal(text, "text");
        free(text);
    }
    exia__release(path);
    exia__blobs_free(blobs);
}

/* ---- reading only --------------------------------------------------------------------------- */

TEST(a_reader_finds_no_store_where_none_is_and_makes_none)
{
    exia__blobs *blobs = NULL;
    if (!conformance.has_create)
        skip();
    for (int i = 0; i < 2; i++)
        check_fails(EXIA_ENOTFOUND,
                    exia__blobs_open(&blobs, conformance.url("none"), EXIA_STORE_READ, NULL, &err));
}

TEST(a_reader_reads_and_changes_nothing)
{
    exia__blobs *blobs = open_blobs("a"), *reader = NULL;
    exia_source source = exia__source_memory("x", 1);
    int64_t ms = 0;
    put(blobs, "a/k", "text");
    check_ok(exia__blobs_open(&reader, conformance.url("a"), EXIA_STORE_READ, NULL, &err));
    check_blob(reader, "a/k", "text");
    check_keys(reader, "", "a/k");
    check_ok(exia__blobs_now(&ms, reader, NULL, &err));
    assert_true(ms > 0);
    check_fails(EXIA_EDENIED, exia__blobs_put(reader, "b/k", &source, NULL, &err));
    check_fails(EXIA_EDENIED, exia__blobs_touch(reader, "a/k", NULL, &err));
    check_fails(EXIA_EDENIED, exia__blobs_remove(reader, "a/k", NULL, &err));
    check_keys(reader, "", "a/k");
    put(blobs, "later", "text");
    check_blob(reader, "later", "text");
    exia__blobs_free(reader);
    exia__blobs_free(blobs);
}

/* ---- many at once --------------------------------------------------------------------------- */

enum { RIVALS = 8, ROUNDS = 10, RIVAL_SIZE = 70000 };

typedef struct rival {
    exia__blobs *blobs;
    int number, won; /* -1: it failed, as `error` says */
    exia_error error;
} rival;

/* Everybody puts its own bytes under the same keys. */
static void *run_rival(void *payload)
{
    rival *self = payload;
    unsigned char *bytes = malloc(RIVAL_SIZE);
    if (bytes == NULL)
        abort();
    memset(bytes, 'a' + self->number, RIVAL_SIZE);
    exia_source source = exia__source_memory(bytes, RIVAL_SIZE);
    for (int i = 0; i < ROUNDS && self->won >= 0; i++) {
        char key[16];
        snprintf(key, sizeof key, i % 2 ? "r/%d" : "x/y", i);
        exia_status rc = exia__blobs_put(self->blobs, key, &source, NULL, &self->error);
        self->won = rc == EXIA_OK ? self->won + 1 : rc == EXIA_EEXISTS ? self->won : -1;
    }
    free(bytes);
    return NULL;
}

static void check_one_winner_a_key(exia__blobs *blobs)
{
    keys all = {0};
    check_ok(exia__blobs_list(blobs, "", note_key, &all, NULL, &err));
    assert_int_equal(all.count, 1 + ROUNDS / 2);
    for (size_t i = 0; i < all.count; i++) {
        collected got = {0};
        check_ok(exia__blobs_get(blobs, all.found[i], 0, UINT64_MAX, collect, &got, NULL, &err));
        assert_int_equal(got.size, RIVAL_SIZE);
        for (size_t k = 1; k < got.size; k++)
            assert_true(got.bytes[k] == got.bytes[0]);
        free(got.bytes);
    }
}

TEST(of_threads_that_put_one_key_exactly_one_wins)
{
    exia__blobs *blobs = open_blobs("a");
    pthread_t threads[RIVALS];
    rival rivals[RIVALS];
    int won = 0;
    for (int i = 0; i < RIVALS; i++) {
        rivals[i] = (rival){.blobs = blobs, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, run_rival, &rivals[i]), 0);
    }
    for (int i = 0; i < RIVALS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(rivals[i].won >= 0);
        won += rivals[i].won;
    }
    assert_int_equal(won, 1 + ROUNDS / 2);
    check_one_winner_a_key(blobs);
    exia__blobs_free(blobs);
}

static int put_in_process(int number, void *payload)
{
    rival self = {.number = number};
    if (exia__blobs_open(&self.blobs, payload, EXIA_STORE_WRITE, NULL, &err) < 0)
        return 1;
    run_rival(&self);
    exia__blobs_free(self.blobs);
    err = self.error;
    return self.won < 0 ? 2 : 0;
}

TEST(of_processes_that_put_one_key_each_stores_whole_blobs)
{
    if (!conformance.many_processes)
        skip();
    check_processes(RIVALS, put_in_process, (void *)conformance.url("a"));
    exia__blobs *blobs = open_blobs("a");
    check_one_winner_a_key(blobs);
    exia__blobs_free(blobs);
}

TEST(a_handle_from_before_a_fork_is_closed_in_the_child)
{
    exia__blobs *blobs = open_blobs("a");
    put(blobs, "k", "text");
    pid_t pid = fork();
    if (pid == 0) {
        collected got = {0};
        exia_status rc = exia__blobs_get(blobs, "k", 0, 1, collect, &got, NULL, &err);
        exia__blobs_free(blobs);
        _exit(rc == EXIA_ECLOSED && err.status == EXIA_ECLOSED ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    check_blob(blobs, "k", "text");
    exia__blobs_free(blobs);
}

/* ---- memory --------------------------------------------------------------------------------- */

static exia_status use_all(void *payload, exia_error *error)
{
    exia__blobs *blobs = NULL;
    exia_source source = exia__source_memory("text", 4);
    collected got = {0};
    int64_t ms = 0;
    char *path = NULL;
    exia_status rc = exia__blobs_open(&blobs, payload, EXIA_STORE_WRITE, NULL, error);
    if (rc == EXIA_OK) /* the last round may have left it */
        rc = exia__blobs_remove(blobs, "a/k", NULL, error);
    if (rc == EXIA_OK)
        rc = exia__blobs_put(blobs, "a/k", &source, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__blobs_get(blobs, "a/k", 0, UINT64_MAX, collect, &got, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__blobs_touch(blobs, "a/k", NULL, error);
    if (rc == EXIA_OK)
        rc = exia__blobs_now(&ms, blobs, NULL, error);
    if (rc == EXIA_OK && conformance.has_local)
        rc = exia__blobs_local(&path, blobs, "a/k", error);
    if (rc == EXIA_OK)
        rc = exia__blobs_list(blobs, "a/", note_facts, (int64_t[2]){0}, NULL, error);
    exia__release(path);
    free(got.bytes);
    exia__blobs_free(blobs);
    return rc;
}

TEST(every_operation_on_blobs_survives_that_memory_is_out)
{
    check_survives_no_memory(use_all, (void *)conformance.url("a"));
}
