/* What every store of records must do. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "conformance/conformance.h"

const char conformance_records = 1;

static exia__records *open_records(const char *place)
{
    exia__records *records = NULL;
    check_ok(exia__records_open(&records, conformance.url(place), EXIA_STORE_WRITE, NULL, &err));
    assert_true(exia__records_can_put(records));
    return records;
}

static int64_t put(exia__records *records, const char *kind, const char *key, const char *json)
{
    int64_t revision = 0;
    check_ok(exia__records_put(&revision, records, kind, key, json, EXIA_ANY, NULL, NULL, &err));
    assert_true(revision > 0);
    return revision;
}

static void check_record(exia__records *records, const char *kind, const char *key,
                         const char *json, int64_t revision)
{
    char *got = NULL;
    int64_t its = 0;
    check_ok(exia__records_get(&got, &its, records, kind, key, NULL, &err));
    assert_string_equal(got, json);
    assert_int_equal(its, revision);
    exia__release(got);
}

static void check_absent(exia__records *records, const char *kind, const char *key)
{
    char *got = NULL;
    int64_t its = 9;
    check_fails(EXIA_ENOTFOUND, exia__records_get(&got, &its, records, kind, key, NULL, &err));
    assert_null(got);
    assert_int_equal(its, 0);
}

/* A scan's keys, joined by spaces. */
typedef struct keys {
    const char *joined;
    size_t count, stop_at;
    exia_status answer;
    exia__records *use; /* the listener reads and removes here */
} keys;

static exia_status note_key(const char *key, const char *json, int64_t revision, void *payload,
                            exia_error *error)
{
    keys *all = payload;
    if (json[0] != '{' || revision <= 0)
        return exia__fail(error, EXIA_EUSER, 0, "a record without JSON or revision");
    all->joined = check_format("%s%s%s", all->joined, all->count > 0 ? " " : "", key);
    all->count++;
    if (all->use != NULL) {
        char *text = NULL;
        exia_status rc = exia__records_get(&text, NULL, all->use, "log", key, NULL, error);
        exia__release(text);
        return rc < 0 ? rc : exia__records_remove(all->use, "log", key, revision, NULL, error);
    }
    if (all->count == all->stop_at)
        return all->answer < 0 ? exia__fail(error, all->answer, 0, "the listener has enough")
                               : all->answer;
    return EXIA_OK;
}

static void check_scan(exia__records *records, const char *kind, const char *prefix,
                       const char *after, size_t limit, const char *expected)
{
    keys all = {.joined = ""};
    check_ok(
        exia__records_scan(records, kind, prefix, after, limit, NULL, note_key, &all, NULL, &err));
    assert_string_equal(all.joined, expected);
}

/* ---- put, get, remove ----------------------------------------------------------------------- */

TEST(a_record_comes_back_as_it_was_put)
{
    exia__records *records = open_records("a");
    static const char *const texts[] = {"{}",
                                        "{ \"a\" : [1, 2.50, -0, 1e300, null, true, \"\\u0001\"] }",
                                        "{\"\xc3\xa4\":\"\xf0\x9f\x99\x82\",\"b\":{\"c\":{}}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t revision = put(records, "log", "m/log/1", texts[i]);
        check_record(records, "log", "m/log/1", texts[i], revision);
    }
    exia__records_free(records);
}

TEST(a_record_outlives_its_handle)
{
    exia__records *records = open_records("a");
    int64_t revision = put(records, "log", "k", "{\"a\":1}");
    exia__records_free(records);
    records = open_records("a");
    check_record(records, "log", "k", "{\"a\":1}", revision);
    exia__records_free(records);
}

TEST(a_large_record_comes_back_whole)
{
    exia__records *records = open_records("a");
    size_t size = 400000;
    char *json = malloc(size + 1);
    assert_non_null(json);
    memset(json, 'x', size);
    memcpy(json, "{\"a\":\"", 6);
    memcpy(json + size - 2, "\"}", 3);
    check_record(records, "log", "k", json, put(records, "log", "k", json));
    free(json);
    exia__records_free(records);
}

TEST(kinds_do_not_see_each_other)
{
    exia__records *records = open_records("a");
    int64_t a = put(records, "log", "k", "{\"a\":1}"), b = put(records, "model", "k", "{\"a\":2}");
    check_record(records, "log", "k", "{\"a\":1}", a);
    check_record(records, "model", "k", "{\"a\":2}", b);
    check_ok(exia__records_remove(records, "log", "k", EXIA_ANY, NULL, &err));
    check_absent(records, "log", "k");
    check_record(records, "model", "k", "{\"a\":2}", b);
    check_scan(records, "logs", "", NULL, 0, "");
    exia__records_free(records);
}

TEST(a_put_happens_only_at_its_expectation)
{
    exia__records *records = open_records("a");
    int64_t first = 0, second = 0, none = 9;
    const char *json = "{\"n\":0}", *other = "{\"n\":1}";
    check_fails(EXIA_ECONFLICT,
                exia__records_put(&none, records, "log", "k", json, 5, NULL, NULL, &err));
    assert_int_equal(none, 0);
    check_absent(records, "log", "k");
    check_ok(exia__records_put(&first, records, "log", "k", json, EXIA_ABSENT, NULL, NULL, &err));
    check_fails(EXIA_ECONFLICT,
                exia__records_put(NULL, records, "log", "k", other, EXIA_ABSENT, NULL, NULL, &err));
    check_fails(EXIA_ECONFLICT,
                exia__records_put(NULL, records, "log", "k", other, first + 1, NULL, NULL, &err));
    check_record(records, "log", "k", json, first);
    check_ok(exia__records_put(&second, records, "log", "k", other, first, NULL, NULL, &err));
    assert_true(second != first);
    check_fails(EXIA_ECONFLICT,
                exia__records_put(NULL, records, "log", "k", json, first, NULL, NULL, &err));
    check_record(records, "log", "k", other, second);
    exia__records_free(records);
}

TEST(a_put_with_the_token_that_stands_is_done_already)
{
    exia__records *records = open_records("a");
    int64_t first = 0, again = 0, anywhere = 0, other = 0;
    check_ok(exia__records_put(&first, records, "log", "k", "{\"n\":0}", EXIA_ABSENT, "intent",
                               NULL, &err));
    check_ok(exia__records_put(&again, records, "log", "k", "{\"n\":0}", EXIA_ABSENT, "intent",
                               NULL, &err));
    check_ok(exia__records_put(&anywhere, records, "log", "k", "{\"n\":1}", EXIA_ANY, "intent",
                               NULL, &err));
    assert_int_equal(again, first);
    assert_int_equal(anywhere, first);
    check_record(records, "log", "k", "{\"n\":0}", first);
    check_fails(EXIA_ECONFLICT, exia__records_put(NULL, records, "log", "k", "{}", EXIA_ABSENT,
                                                  "intenT", NULL, &err));
    check_ok(
        exia__records_put(&other, records, "log", "k", "{\"n\":2}", first, "next", NULL, &err));
    check_record(records, "log", "k", "{\"n\":2}", other);
    exia__records_free(records);
}

TEST(a_revision_never_comes_back)
{
    exia__records *records = open_records("a");
    int64_t seen[60];
    size_t count = 0;
    for (int round = 0; round < 20; round++) {
        seen[count++] = put(records, "log", "k", "{}");
        seen[count++] = put(records, "log", "k", "{}");
        check_ok(exia__records_remove(records, "log", "k", EXIA_ANY, NULL, &err));
        if (round % 5 == 0) { /* also not by opening anew */
            exia__records_free(records);
            records = open_records("a");
        }
        seen[count++] = put(records, "log", "k", "{}");
        check_ok(exia__records_remove(records, "log", "k", seen[count - 1], NULL, &err));
        check_fails(EXIA_ECONFLICT, exia__records_put(NULL, records, "log", "k", "{}",
                                                      seen[count - 1], NULL, NULL, &err));
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
    }
    exia__records_free(records);
}

TEST(a_removal_happens_only_at_its_expectation)
{
    exia__records *records = open_records("a");
    check_ok(exia__records_remove(records, "log", "k", EXIA_ANY, NULL, &err));
    check_ok(exia__records_remove(records, "log", "k", EXIA_ABSENT, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia__records_remove(records, "log", "k", 3, NULL, &err));
    int64_t revision = put(records, "log", "k", "{}");
    check_fails(EXIA_ECONFLICT, exia__records_remove(records, "log", "k", EXIA_ABSENT, NULL, &err));
    check_fails(EXIA_ECONFLICT,
                exia__records_remove(records, "log", "k", revision + 1, NULL, &err));
    check_record(records, "log", "k", "{}", revision);
    check_ok(exia__records_remove(records, "log", "k", revision, NULL, &err));
    check_absent(records, "log", "k");
    exia__records_free(records);
}

TEST(what_is_appended_is_there_once)
{
    exia__records *records = open_records("a");
    for (int i = 0; i < 2; i++)
        check_ok(exia__records_append(records, "log", "k/1", "{\"a\":1}", "t1", NULL, &err));
    check_ok(exia__records_append(records, "log", "k/2", "{\"a\":2}", NULL, NULL, &err));
    check_scan(records, "log", "", NULL, 0, "k/1 k/2");
    exia__records_free(records);
}

/* ---- batch ---------------------------------------------------------------------------------- */

TEST(a_batch_is_done_whole_or_not_at_all)
{
    exia__records *records = open_records("a");
    exia_put puts[] = {
        {.kind = "log", .key = "a", .json = "{\"n\":1}", .expect = EXIA_ABSENT, .token = "t1"},
        {.kind = "log", .key = "b", .json = "{\"n\":2}", .expect = EXIA_ANY},
        {.kind = "model", .key = "a", .json = "{\"n\":3}", .expect = EXIA_ABSENT, .token = "t3"},
    };
    check_ok(exia__records_batch(records, puts, 0, NULL, &err));
    int64_t in_the_way = put(records, "model", "a", "{}");
    check_fails(EXIA_ECONFLICT, exia__records_batch(records, puts, 3, NULL, &err));
    check_absent(records, "log", "a");
    check_absent(records, "log", "b");
    check_record(records, "model", "a", "{}", in_the_way);
    puts[2].expect = in_the_way;
    check_ok(exia__records_batch(records, puts, 3, NULL, &err));
    check_scan(records, "log", "", NULL, 0, "a b");
    if (exia__records_can_batch(records)) { /* the first one's token says that it was done */
        int64_t stands = put(records, "log", "b", "{\"n\":4}");
        check_ok(exia__records_batch(records, puts, 3, NULL, &err));
        check_record(records, "log", "b", "{\"n\":4}", stands);
    }
    puts[0].token = "t2";
    check_fails(EXIA_ECONFLICT, exia__records_batch(records, puts, 3, NULL, &err));
    puts[2].json = "[]";
    check_fails(EXIA_EINVAL, exia__records_batch(records, puts, 3, NULL, &err));
    exia__records_free(records);
}

/* ---- scan ----------------------------------------------------------------------------------- */

TEST(a_scan_is_in_byte_order_and_keeps_to_prefix_after_and_limit)
{
    exia__records *records = open_records("a");
    static const char *const all[] = {"b/2", "b/10", "a",   "B", "a_b", "a.b",
                                      "a/b", "a+b",  "a#b", "_", "b",   "9"};
    check_scan(records, "log", "", NULL, 0, "");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        put(records, "log", all[i], "{}");
    check_scan(records, "log", NULL, NULL, 0, "9 B _ a a#b a+b a.b a/b a_b b b/10 b/2");
    check_scan(records, "log", "a", NULL, 0, "a a#b a+b a.b a/b a_b");
    check_scan(records, "log", "a", "a", 0, "a#b a+b a.b a/b a_b");
    check_scan(records, "log", "a", "a+b", 2, "a.b a/b");
    check_scan(records, "log", "a/", NULL, 0, "a/b");
    check_scan(records, "log", "b/", "b/10", 0, "b/2");
    check_scan(records, "log", "b/", "a", 0, "b/10 b/2");
    check_scan(records, "log", "b/", "c", 0, "");
    check_scan(records, "log", "", "b", 1, "b/10");
    check_scan(records, "log", "", NULL, 3, "9 B _");
    check_scan(records, "log", "zz", NULL, 0, "");
    exia__records_free(records);
}

static exia_status count_up(const char *key, const char *json, int64_t revision, void *payload,
                            exia_error *error)
{
    int *next = payload;
    char expected[32];
    (void)json;
    (void)revision;
    snprintf(expected, sizeof expected, "k/%06d", (*next)++);
    return strcmp(key, expected) == 0
               ? EXIA_OK
               : exia__fail(error, EXIA_EUSER, 0, "%s comes for %s", key, expected);
}

/* Written as batches of 100. */
static void put_many(exia__records *records, int count)
{
    char names[100][32];
    exia_put puts[100];
    for (int i = 0; i < count; i += 100) {
        for (int k = 0; k < 100; k++) {
            snprintf(names[k], sizeof names[k], "k/%06d", i + k);
            puts[k] = (exia_put){.kind = "log", .key = names[k], .json = "{}", .expect = EXIA_ANY};
        }
        check_ok(exia__records_batch(records, puts, 100, NULL, &err));
    }
}

TEST(a_scan_over_many_records_tells_each_once)
{
    exia__records *records = open_records("a");
    int next = 0;
    put_many(records, 3000);
    check_ok(exia__records_scan(records, "log", "k/", NULL, 0, NULL, count_up, &next, NULL, &err));
    assert_int_equal(next, 3000);
    next = 0;
    check_ok(
        exia__records_scan(records, "log", "k/", NULL, 1234, NULL, count_up, &next, NULL, &err));
    assert_int_equal(next, 1234);
    exia__records_free(records);
}

TEST(a_listener_may_end_the_scan_or_fail_it)
{
    exia__records *records = open_records("a");
    keys enough = {.joined = "", .stop_at = 2, .answer = EXIA_DONE};
    keys broken = {.joined = "", .stop_at = 2, .answer = EXIA_EUSER};
    put_many(records, 100);
    check_ok(exia__records_scan(records, "log", "", NULL, 0, NULL, note_key, &enough, NULL, &err));
    assert_int_equal(enough.count, 2);
    check_fails(EXIA_EUSER, exia__records_scan(records, "log", "", NULL, 0, NULL, note_key, &broken,
                                               NULL, &err));
    check_text("the listener has enough");
    assert_int_equal(broken.count, 2);
    exia__records_free(records);
}

TEST(a_listener_may_read_and_write_the_same_store)
{
    exia__records *records = open_records("a");
    keys all = {.joined = "", .use = records};
    put_many(records, 600);
    check_ok(exia__records_scan(records, "log", "", NULL, 0, NULL, note_key, &all, NULL, &err));
    assert_int_equal(all.count, 600);
    check_scan(records, "log", "", NULL, 0, "");
    exia__records_free(records);
}

/* ---- reading only --------------------------------------------------------------------------- */

TEST(a_reader_finds_no_store_where_none_is_and_makes_none)
{
    exia__records *records = NULL;
    if (!conformance.has_create)
        skip();
    for (int i = 0; i < 2; i++)
        check_fails(EXIA_ENOTFOUND, exia__records_open(&records, conformance.url("none"),
                                                       EXIA_STORE_READ, NULL, &err));
}

TEST(a_reader_reads_and_changes_nothing)
{
    exia__records *records = open_records("a"), *reader = NULL;
    int64_t revision = put(records, "log", "k", "{}");
    check_ok(exia__records_open(&reader, conformance.url("a"), EXIA_STORE_READ, NULL, &err));
    check_record(reader, "log", "k", "{}", revision);
    check_scan(reader, "log", "", NULL, 0, "k");
    check_fails(EXIA_EDENIED,
                exia__records_put(NULL, reader, "log", "x", "{}", EXIA_ANY, NULL, NULL, &err));
    check_fails(EXIA_EDENIED, exia__records_remove(reader, "log", "k", EXIA_ANY, NULL, &err));
    check_fails(EXIA_EDENIED, exia__records_append(reader, "log", "x", "{}", NULL, NULL, &err));
    check_scan(reader, "log", "", NULL, 0, "k");
    revision = put(records, "log", "later", "{}");
    check_record(reader, "log", "later", "{}", revision);
    exia__records_free(reader);
    exia__records_free(records);
}

static int refuse(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step;
    (void)done;
    (void)total;
    (void)payload;
    return 1;
}

TEST(a_bad_job_is_refused)
{
    exia__records *records = open_records("a");
    exia_job bad[] = {{.struct_size = 1}, {.struct_size = sizeof(exia_job), .timeout_ms = -1}};
    for (size_t i = 0; i < 2; i++) {
        char *json = NULL;
        check_fails(EXIA_EINVAL,
                    exia__records_get(&json, NULL, records, "log", "k", &bad[i], &err));
        check_fails(EXIA_EINVAL, exia__records_put(NULL, records, "log", "k", "{}", EXIA_ANY, NULL,
                                                   &bad[i], &err));
    }
    exia_job quick = {.struct_size = sizeof quick, .progress = refuse};
    check_ok(exia__records_put(NULL, records, "log", "k", "{}", EXIA_ANY, NULL, &quick, &err));
    exia__records_free(records);
}

/* ---- many at once --------------------------------------------------------------------------- */

enum { WRITERS = 8, APPENDS = 12 };

/* As the log of models grows: find the end, put the next one absent, go on when somebody was
 * faster.  And a counter that is read and put at what was read. */
static exia_status append_and_count(exia__records *records, int writer, exia_error *error)
{
    exia_status rc = EXIA_OK;
    for (int i = 0, seq = 1; rc == EXIA_OK && i < APPENDS; seq++) {
        char key[32], json[64];
        snprintf(key, sizeof key, "m/log/%06d", seq);
        snprintf(json, sizeof json, "{\"writer\":%d,\"number\":%d}", writer, i);
        rc = exia__records_put(NULL, records, "log", key, json, EXIA_ABSENT, NULL, NULL, error);
        i += rc == EXIA_OK;
        if (rc == EXIA_ECONFLICT)
            rc = EXIA_OK;
    }
    for (int i = 0; rc == EXIA_OK && i < APPENDS;) {
        char *now = NULL, json[32];
        int64_t revision = 0;
        rc = exia__records_get(&now, &revision, records, "model", "counter", NULL, error);
        if (rc == EXIA_OK) {
            snprintf(json, sizeof json, "{\"n\":%d}", atoi(now + 5) + 1);
            rc = exia__records_put(NULL, records, "model", "counter", json, revision, NULL, NULL,
                                   error);
            i += rc == EXIA_OK;
            if (rc == EXIA_ECONFLICT)
                rc = EXIA_OK;
        }
        exia__release(now);
    }
    return rc;
}

static exia_status mark_writer(const char *key, const char *json, int64_t revision, void *payload,
                               exia_error *error)
{
    unsigned char(*seen)[APPENDS] = payload;
    int writer = 0, number = 0;
    (void)revision;
    if (sscanf(json, "{\"writer\":%d,\"number\":%d}", &writer, &number) != 2)
        return exia__fail(error, EXIA_EUSER, 0, "%s holds %s", key, json);
    seen[writer][number]++;
    return EXIA_OK;
}

static void check_nothing_lost(exia__records *records)
{
    unsigned char seen[WRITERS][APPENDS] = {{0}};
    char *counter = NULL;
    keys all = {.joined = ""};
    check_ok(
        exia__records_scan(records, "log", "m/log/", NULL, 0, NULL, mark_writer, seen, NULL, &err));
    for (int i = 0; i < WRITERS; i++) {
        for (int k = 0; k < APPENDS; k++)
            assert_int_equal(seen[i][k], 1);
    }
    check_ok(exia__records_scan(records, "log", "m/log/",
                                check_format("m/log/%06d", WRITERS * APPENDS - 1), 0, NULL,
                                note_key, &all, NULL, &err));
    assert_string_equal(all.joined, check_format("m/log/%06d", WRITERS * APPENDS)); /* no gap */
    check_ok(exia__records_get(&counter, NULL, records, "model", "counter", NULL, &err));
    assert_string_equal(counter, check_format("{\"n\":%d}", WRITERS * APPENDS));
    exia__release(counter);
}

static int write_in_process(int number, void *payload)
{
    exia__records *records = NULL;
    if (exia__records_open(&records, payload, EXIA_STORE_WRITE, NULL, &err) < 0)
        return 1;
    exia_status rc = exia__records_put(NULL, records, "model", "counter", "{\"n\":0}", EXIA_ABSENT,
                                       NULL, NULL, &err);
    if (rc == EXIA_OK || rc == EXIA_ECONFLICT)
        rc = append_and_count(records, number, &err);
    exia__records_free(records);
    return rc < 0 ? 2 : 0;
}

TEST(processes_that_make_and_write_one_store_lose_no_update)
{
    if (!conformance.many_processes)
        skip();
    check_processes(WRITERS, write_in_process, (void *)conformance.url("a"));
    exia__records *records = open_records("a");
    check_nothing_lost(records);
    exia__records_free(records);
}

typedef struct writer {
    exia__records *records;
    int number;
    exia_status rc;
    exia_error error;
} writer;

static void *write_in_thread(void *payload)
{
    writer *self = payload;
    self->rc = append_and_count(self->records, self->number, &self->error);
    return NULL;
}

TEST(threads_that_write_one_store_lose_no_update)
{
    exia__records *records = open_records("a"), *second = open_records("a");
    pthread_t threads[WRITERS];
    writer writers[WRITERS];
    put(records, "model", "counter", "{\"n\":0}");
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.records = i % 2 ? records : second, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_in_thread, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        if (writers[i].rc != EXIA_OK)
            fail_msg("thread %d: %s", i, writers[i].error.text);
    }
    check_nothing_lost(records);
    exia__records_free(second);
    exia__records_free(records);
}

TEST(a_handle_from_before_a_fork_is_closed_in_the_child)
{
    exia__records *records = open_records("a");
    int64_t revision = put(records, "log", "k", "{}");
    pid_t pid = fork();
    if (pid == 0) {
        char *json = NULL;
        exia_status rc = exia__records_get(&json, NULL, records, "log", "k", NULL, &err);
        exia__records_free(records);
        _exit(rc == EXIA_ECLOSED && err.status == EXIA_ECLOSED ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    check_record(records, "log", "k", "{}", revision);
    put(records, "log", "k", "{}");
    exia__records_free(records);
}

/* ---- memory --------------------------------------------------------------------------------- */

static exia_status ignore(const char *key, const char *json, int64_t revision, void *payload,
                          exia_error *error)
{
    (void)key;
    (void)json;
    (void)revision;
    (void)payload;
    (void)error;
    return EXIA_OK;
}

static exia_status use_all(void *payload, exia_error *error)
{
    exia__records *records = NULL;
    exia_put puts[] = {{.kind = "log", .key = "a", .json = "{}", .expect = EXIA_ANY},
                       {.kind = "log", .key = "b", .json = "{}", .expect = EXIA_ANY}};
    char *json = NULL;
    exia_status rc = exia__records_open(&records, payload, EXIA_STORE_WRITE, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__records_put(NULL, records, "log", "k", "{}", EXIA_ANY, NULL, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__records_batch(records, puts, 2, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__records_get(&json, NULL, records, "log", "k", NULL, error);
    if (rc == EXIA_OK)
        rc = exia__records_scan(records, "log", "", "a", 0, NULL, ignore, NULL, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__records_remove(records, "log", "k", EXIA_ANY, NULL, error);
    exia__release(json);
    exia__records_free(records);
    return rc;
}

TEST(every_operation_on_records_survives_that_memory_is_out)
{
    check_survives_no_memory(use_all, (void *)conformance.url("a"));
}
