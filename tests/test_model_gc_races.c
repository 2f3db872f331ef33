/* A collector and a writer, or two collectors, step by step: the one is stopped before each of its calls
 * on a store, the other does all that it does, and the first goes on.  Time passes when we say so. */
#include "support/models.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "model/upkeep.h"
#include "support/faulty.h"

enum { LARGE = 20000 };
static const int64_t minute = 60 * 1000, hour = 60 * 60 * 1000;

static char large[LARGE];

/* Two handles on one library, in memory: the many syncs cost nothing. */
typedef struct scene {
    const char *folder;
    exia_library *library, *other;
    int64_t grace;
    int runs; /* of the collector at each stop */
} scene;

static exia_status publish(exia_library *library)
{
    int64_t version = 0;
    exia_part part = {.name = "model", .format = "bytes", .data = large, .size = LARGE};
    exia_write_options options = {.struct_size = sizeof options,
                                  .facts = "{\"environment\":{\"python\":\"3.12\"}}"};
    return exia_model_write(&version, library, "m", &part, 1, &options, NULL, &err);
}

static exia_status collect(exia_library *library, int64_t grace, int wait)
{
    exia_rows *rows = NULL;
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = grace, .wait = wait};
    exia_status rc = exia_library_gc(&rows, NULL, library, &options, NULL, &err);
    exia_rows_free(rows);
    return rc;
}

/* One version, removed and old: its blobs are dead.  `marked`: and due. */
static scene begin(int64_t grace, int marked)
{
    faulty = (faulty_plan){0};
    scene made = {fresh_folder(), NULL, NULL, grace, 1};
    made.library = open_faulty(made.folder);
    made.other = open_faulty(made.folder);
    check_ok(publish(made.library));
    check_ok(exia_model_remove(made.library, "m", 1, NULL, &err));
    faulty.skew_ms = 3 * grace + hour;
    if (marked) {
        check_ok(collect(made.other, grace, 0));
        faulty.skew_ms += grace;
    }
    return made;
}

/* Each version that is there opens, with every digest, and so does its environment. */
static int check_whole(const scene *now)
{
    exia_library *library = open_faulty(now->folder);
    exia_rows *rows = NULL;
    const char *row = NULL;
    int count = 0;
    check_ok(exia_library_search(&rows, library, NULL, &err));
    for (; exia_rows_next(&row, rows, &err) == EXIA_OK; count++) {
        exia_model *model = NULL;
        char *environment = NULL;
        json_t *object = json_loads(row, 0, NULL);
        long long version = json_integer_value(json_object_get(object, "version"));
        check_ok(exia_model_open(&model, library, check_format("m@%lld", version), EXIA_OPEN_VERIFY,
                                 &err));
        check_ok(exia_model_environment(&environment, model, &err));
        exia_text_free(environment);
        exia_model_free(model);
        json_decref(object);
    }
    exia_rows_free(rows);
    exia_library_free(library);
    return count;
}

/* Whatever was left is collected in the end, and what lives is whole before and after. */
static int end(scene *now)
{
    int64_t skew = faulty.skew_ms;
    faulty = (faulty_plan){.skew_ms = skew};
    int count = check_whole(now);
    for (int i = 0; i < 4; i++) {
        faulty.skew_ms += 2 * now->grace + 2 * hour;
        check_ok(collect(now->other, now->grace, 0));
    }
    assert_int_equal(check_whole(now), count);
    exia_gc_totals totals;
    exia_rows *rows = NULL;
    check_ok(exia_library_gc(&rows, &totals, now->other, NULL, NULL, &err));
    exia_rows_free(rows);
    assert_int_equal(totals.young, 0);
    assert_int_equal(totals.marked, 0);
    exia_library_free(now->library);
    exia_library_free(now->other);
    exia__tree_remove(now->folder, NULL);
    return count;
}

/* ---- a collector between the steps of a writer ---------------------------------------------- */

static void collect_here(void *payload)
{
    const scene *now = payload;
    for (int i = 0; i < now->runs; i++) {
        faulty.skew_ms += 10 * now->grace;
        check_ok(collect(now->other, now->grace, 0));
    }
}

static long second_stop;

static void collect_and_come_back(void *payload)
{
    collect_here(payload);
    faulty.nth = second_stop;
    faulty.instead = collect_here;
}

/* The writer is stopped for longer than the grace before its calls `i` and `k`. */
static int write_with_stops(long i, long k, int marked, int runs)
{
    scene now = begin(minute, marked);
    now.runs = runs;
    second_stop = k;
    faulty.calls = 0;
    faulty.nth = i;
    faulty.instead = k > i ? collect_and_come_back : collect_here;
    faulty.payload = &now;
    check_ok(publish(now.library));
    int reached = faulty.calls >= i;
    assert_int_equal(end(&now), 1);
    return reached;
}

TEST(a_writer_that_was_stopped_for_longer_than_the_grace_is_whole)
{
    long last = 1;
    for (int marked = 0; marked < 2; marked++) {
        for (int runs = 1; runs < 3; runs++) {
            for (last = 1; write_with_stops(last, 0, marked, runs); last++)
                continue;
            assert_true(last > 8);
        }
    }
    for (long i = 1; i < last; i += check_rounds(1, 5)) {
        for (long k = i + 1; k < last + 3; k++) /* what was stored anew takes more calls */
            write_with_stops(i, k, 0, 1);
    }
}

/* ---- a collector that is late ---------------------------------------------------------------- */

/* What a collector does that looked at everything before the other began. */
static void mark_late(exia_library *library)
{
    exia__references all;
    exia__work work;
    int64_t now = 0;
    check_ok(exia__work_begin(&work, NULL, &err));
    check_ok(exia__references_read(&all, library, NULL, NULL, &work, &err));
    check_ok(exia__blobs_now(&now, library->blobs, NULL, &err));
    for (size_t i = 0; i < all.count; i++) {
        const char *key = exia__reference_text(&all, all.items[i].key);
        check_ok(exia__marks_put(library, &key, 1, now, NULL, &err));
    }
    exia__references_free(&all);
}

static void remove_late(exia_library *library)
{
    exia__marks marks;
    check_ok(exia__marks_read(&marks, library, NULL, &err));
    for (size_t i = 0; i < marks.count; i++) {
        exia__mark *mark = &marks.items[i];
        check_ok(exia__mark_claim(mark, library, "late", mark->time_ms, NULL, &err));
        check_ok(exia__blobs_remove(library->blobs, mark->key, NULL, &err));
        check_ok(exia__mark_drop(mark, library, NULL, &err));
    }
    exia__marks_free(&marks);
}

/* Within the grace: the collector runs before call `i`, and half a grace later before call `k`, where
 * the writer is killed. */
static scene killed;
enum { COLLECTS, MARKS_LATE, REMOVES_LATE, WAYS };

static void die_here(void *payload)
{
    scene *now = payload;
    faulty.skew_ms += 31 * minute;
    check_ok(collect(now->other, now->grace, 0));
    faulty.nth = 1; /* whatever it calls from here on fails, and was not done */
    faulty.for_ever = 1;
    faulty.status = EXIA_EIO;
}

static void collect_then_die(void *payload)
{
    scene *now = payload;
    if (now->runs == MARKS_LATE)
        mark_late(now->other);
    else if (now->runs == REMOVES_LATE)
        remove_late(now->other);
    else
        check_ok(collect(now->other, now->grace, 0));
    faulty.nth = second_stop;
    faulty.instead = die_here;
}

/* Whether it came so far that it was killed. */
static int write_and_die(long i, long k, int way, int marked, int *written)
{
    killed = begin(hour, marked);
    killed.runs = way;
    second_stop = k;
    faulty.calls = 0;
    faulty.nth = i;
    faulty.instead = collect_then_die;
    faulty.payload = &killed;
    exia_status rc = publish(killed.library);
    int reached = faulty.for_ever;
    if (!reached && rc < 0)
        check_status(EXIA_OK, rc, __FILE__, __LINE__);
    *written += end(&killed);
    return reached;
}

TEST(a_writer_killed_within_the_grace_leaves_whole_versions)
{
    enum { MOST_CALLS = 40 };
    int written = 0, deaths = 0;
    for (int n = 0; n < 2 * WAYS; n += (int)check_rounds(1, 3)) {
        long i = 1, k = 0;
        do {
            for (k = i + 1; k < MOST_CALLS && write_and_die(i, k, n / 2, n % 2, &written); k++)
                deaths++;
            assert_true(k < MOST_CALLS);
        } while (k > ++i);
    }
    assert_true(written > 20 && deaths > 100);
}

static void die_later(void *payload)
{
    (void)payload;
    faulty.nth = 1;
    faulty.for_ever = 1;
    faulty.status = EXIA_EIO;
}

static void outstay_then_die(void *payload)
{
    collect_here(payload);
    faulty.nth = second_stop;
    faulty.instead = die_later;
}

/* Only this may lose bytes.  What cannot be read then is what the check tells, and nothing else is. */
static int outstay_and_die(long i, long k, int *lost)
{
    scene now = begin(minute, 0);
    exia_model *model = NULL;
    exia_rows *rows = NULL;
    exia_fsck_totals totals;
    const char *row = NULL;
    now.runs = 2;
    second_stop = k;
    faulty.calls = 0;
    faulty.nth = i;
    faulty.instead = outstay_then_die;
    faulty.payload = &now;
    publish(now.library);
    int reached = faulty.for_ever;
    faulty = (faulty_plan){.skew_ms = faulty.skew_ms};
    exia_status rc = exia_model_open(&model, now.other, "m@2", EXIA_OPEN_VERIFY, NULL);
    exia_model_free(model);
    check_ok(exia_library_fsck(&rows, &totals, now.other, NULL, NULL, &err));
    int told = 0;
    while (exia_rows_next(&row, rows, &err) == EXIA_OK)
        told += strstr(row, "\"error\"") != NULL && strstr(row, "\"version\":2") != NULL;
    assert_int_equal(told, totals.errors);
    if (rc == EXIA_ENOTFOUND)
        assert_int_equal(told, 0); /* it died before the commit */
    else if (rc < 0)
        assert_true(told > 0);
    *lost += told > 0;
    exia_rows_free(rows);
    exia_library_free(now.library);
    exia_library_free(now.other);
    exia__tree_remove(now.folder, NULL);
    return reached;
}

TEST(a_writer_that_outstayed_the_grace_and_was_killed_loses_only_what_the_check_names)
{
    enum { MOST_CALLS = 40 };
    int lost = 0, deaths = 0;
    for (long i = 1; outstay_and_die(i, i + 1, &lost); i++) {
        for (long k = i + 2; k < MOST_CALLS && outstay_and_die(i, k, &lost); k++)
            deaths++;
        assert_true(i < MOST_CALLS);
    }
    assert_true(lost > 0 && deaths > 20);
}

/* ---- a writer, and a collector, between the steps of a collector ---------------------------- */

static void publish_here(void *payload)
{
    check_ok(publish(((scene *)payload)->other));
}

static void publish_later(void *payload)
{
    collect_here(payload);
    faulty.nth = second_stop;
    faulty.instead = publish_here;
}

static void collect_and_publish(void *payload)
{
    collect_here(payload);
    publish_here(payload);
}

/* What lives bears a mark for half a grace, for the one who put it there had looked before. */
static void publish_and_mark_late(void *payload)
{
    const scene *now = payload;
    publish_here(payload);
    mark_late(now->other);
    faulty.skew_ms += now->grace / 2 + 1;
}

static int collect_with_stop(long i, long k, int marked, void (*stop)(void *payload))
{
    scene now = begin(minute, marked);
    second_stop = k;
    faulty.calls = 0;
    faulty.nth = i;
    faulty.instead = stop;
    faulty.payload = &now;
    check_ok(collect(now.library, now.grace, 0));
    int reached = faulty.calls >= i;
    int count = end(&now);
    assert_true(count == 1 || (count == 0 && (!reached || k > 0)));
    return reached;
}

TEST(a_collector_that_was_stopped_takes_nothing_that_was_written_meanwhile)
{
    for (int marked = 0; marked < 2; marked++) {
        long last = 1;
        while (collect_with_stop(last, 0, marked, publish_here))
            last++;
        assert_true(last > 4);
        for (long i = 1; collect_with_stop(i, 0, marked, collect_and_publish); i++)
            continue;
        for (long i = 1; collect_with_stop(i, 0, marked, publish_and_mark_late); i++)
            continue;
        for (long i = 1; i < last; i++) {
            for (long k = i + 1; k <= last; k++)
                collect_with_stop(i, k, marked, publish_later);
        }
    }
}

/* ---- a store that fails ---------------------------------------------------------------------- */

static int collect_with_fault(faulty_plan plan, int marked)
{
    scene now = begin(minute, marked);
    check_ok(publish(now.other)); /* where the first one was, or beside the mark */
    check_ok(exia_model_remove(now.other, "m", 2, NULL, &err));
    faulty.skew_ms += 2 * now.grace;
    check_ok(publish(now.other));
    plan.skew_ms = faulty.skew_ms += 10 * now.grace;
    faulty = plan;
    exia_status rc = collect(now.library, now.grace, 0);
    int reached = faulty.calls >= plan.nth;
    if (rc < 0)
        check_status(rc, rc, __FILE__, __LINE__);
    faulty = (faulty_plan){.skew_ms = plan.skew_ms};
    check_ok(publish(now.library));
    assert_int_equal(end(&now), 2);
    return reached;
}

TEST(every_operation_of_a_store_may_fail_during_a_collection)
{
    for (int way = 0; way < 4; way++) {
        for (int marked = 0; marked < 2; marked++) {
            faulty_plan plan = {.after = way & 1, .for_ever = way >> 1, .status = EXIA_EIO};
            do
                plan.nth++;
            while (collect_with_fault(plan, marked));
            assert_true(plan.nth > 5);
        }
    }
}

/* ---- processes ------------------------------------------------------------------------------- */

enum { WRITERS = 2, COLLECTORS = 2, ROUNDS = 200, GRACE_MS = 5 };

/* Publish the same bytes again and again, each version whole, and remove the one before. */
static int write_one_blob(const char *folder)
{
    exia_library *library = NULL;
    if (exia_library_open(&library, folder, NULL, &err) != EXIA_OK)
        return 2;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t version = 0;
        exia_model *model = NULL;
        char selector[40];
        exia_part part = {.name = "model", .format = "bytes", .data = large, .size = LARGE};
        if (exia_model_write(&version, library, "m", &part, 1, NULL, NULL, &err) != EXIA_OK)
            return 3;
        snprintf(selector, sizeof selector, "m@%lld", (long long)version);
        if (exia_model_open(&model, library, selector, EXIA_OPEN_VERIFY, &err) != EXIA_OK)
            return 4;
        exia_model_free(model);
        if (i + 1 < ROUNDS && exia_model_remove(library, "m", version, NULL, &err) != EXIA_OK)
            return 5;
    }
    exia_library_free(library);
    return 0;
}

static int collect_until_killed(const char *folder)
{
    exia_library *library = NULL;
    if (exia_library_open(&library, folder, NULL, &err) != EXIA_OK)
        return 2;
    for (;;) {
        if (collect(library, GRACE_MS, 1) != EXIA_OK)
            return 6;
    }
}

static pid_t start(int (*work)(const char *folder), const char *folder)
{
    pid_t child = fork();
    if (child == 0) {
        int code = work(folder);
        if (code != 0)
            fprintf(stderr, "%d: %s\n", code, err.text);
        _exit(code);
    }
    assert_true(child > 0);
    return child;
}

TEST(writers_that_reuse_one_blob_stay_whole_beside_collectors_of_no_patience)
{
    pid_t writers[WRITERS], collectors[COLLECTORS];
    int status = 0;
    faulty = (faulty_plan){0};
    const char *folder = fresh_folder();
    exia_library *library = NULL;
    check_ok(exia_library_open(&library, folder, NULL, &err));
    exia_library_free(library);
    for (int i = 0; i < COLLECTORS; i++)
        collectors[i] = start(collect_until_killed, folder);
    for (int i = 0; i < WRITERS; i++)
        writers[i] = start(write_one_blob, folder);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < COLLECTORS; i++) {
        assert_int_equal(waitpid(collectors[i], &status, WNOHANG), 0); /* none has failed */
        assert_int_equal(kill(collectors[i], SIGKILL), 0);
        assert_int_equal(waitpid(collectors[i], &status, 0), collectors[i]);
    }
    exia_fsck_totals totals;
    exia_rows *rows = NULL;
    check_ok(exia_library_open(&library, folder, NULL, &err));
    check_ok(exia_library_fsck(&rows, &totals, library, NULL, NULL, &err));
    exia_rows_free(rows);
    assert_int_equal(totals.errors, 0);
    assert_int_equal(totals.entries >= WRITERS * (2 * ROUNDS - 1), 1);
    exia_library_free(library);
    exia__tree_remove(folder, NULL);
}
