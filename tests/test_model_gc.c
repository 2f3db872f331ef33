/* The collector of dead blobs: what goes, what stays, what it tells.  The clock of the store is ours. */
#include "support/models.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "model/upkeep.h"
#include "support/faulty.h"

enum { LARGE = 20000 };
static const int64_t day = 24 * 60 * 60 * 1000;

static char large[LARGE];

/* The library behind the driver whose clock is ours. */
static exia_library *open_clocked(void)
{
    return open_faulty(check_path("library"));
}

static exia_library *fresh(void)
{
    faulty = (faulty_plan){0};
    return open_clocked();
}

/* A version whose part is a blob of LARGE bytes that begin with `seed`. */
static int64_t write_large(exia_library *library, const char *name, const char *seed,
                           const char *facts)
{
    int64_t version = 0;
    snprintf(large, sizeof large, "%s", seed);
    exia_part part = {.name = "model", .format = "bytes", .data = large, .size = LARGE};
    exia_write_options options = {.struct_size = sizeof options, .facts = facts};
    check_ok(exia_model_write(&version, library, name, &part, 1, &options, NULL, &err));
    return version;
}

/* "do:why do:why " of a run. */
static const char *collected(exia_library *library, const exia_gc_options *options,
                             exia_gc_totals *totals)
{
    exia_rows *rows = NULL;
    const char *all = "", *row = NULL;
    check_ok(exia_library_gc(&rows, totals, library, options, NULL, &err));
    while (exia_rows_next(&row, rows, &err) == EXIA_OK) {
        json_t *object = json_loads(row, 0, NULL);
        all = check_format("%s%s: %s; ", all, json_string_value(json_object_get(object, "do")),
                           json_string_value(json_object_get(object, "why")));
        json_decref(object);
    }
    exia_rows_free(rows);
    return all;
}

static int count_marks(exia_library *library)
{
    exia__marks marks;
    check_ok(exia__marks_read(&marks, library, NULL, &err));
    int count = (int)marks.count;
    exia__marks_free(&marks);
    return count;
}

static exia__references read_all(exia_library *library)
{
    exia__references all;
    exia__work work;
    check_ok(exia__work_begin(&work, NULL, &err));
    check_ok(exia__references_read(&all, library, NULL, NULL, &work, &err));
    return all;
}

/* ---- refused -------------------------------------------------------------------------------- */

TEST(nonsense_is_refused)
{
    exia_library *library = fresh();
    exia_rows *rows = NULL;
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = -1};
    check_fails(EXIA_EINVAL, exia_library_gc(NULL, NULL, library, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_gc(&rows, NULL, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    check_text("-1 ms");
    exia_library_free(library);
}

TEST(a_reader_may_only_ask)
{
    exia_rows *rows = NULL;
    exia_library *library = NULL;
    exia_library_options reading = {.struct_size = sizeof reading, .read_only = 1};
    exia_gc_options options = {.struct_size = sizeof options, .dry_run = 1};
    exia_library_free(open_library());
    check_ok(exia_library_open(&library, check_path("library"), &reading, &err));
    check_fails(EXIA_EDENIED, exia_library_gc(&rows, NULL, library, NULL, NULL, &err));
    assert_string_equal(collected(library, &options, NULL), "");
    exia_library_free(library);
}

TEST(the_blobs_of_another_library_are_not_touched)
{
    exia_library *library = open_library(), *other = NULL;
    exia_rows *rows = NULL;
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = 1, .wait = 1};
    exia_library_options mixed = {.struct_size = sizeof mixed,
                                  .blobs_url = check_format("file:%s", check_path("library/blobs")),
                                  .read_only = 1};
    write_large(library, "m", "a", NULL);
    check_ok(exia_library_open(&other, check_path("other"), NULL, &err));
    exia_library_free(other);
    check_ok(exia_library_open(&other, check_format("sqlite:%s", check_path("other/catalog.db")),
                               &mixed, &err));
    options.dry_run = 1;
    check_fails(EXIA_ECONFLICT, exia_library_gc(&rows, NULL, other, &options, NULL, &err));
    check_text("another library");
    exia_library_free(other);
    /* the folder was exchanged while it was open */
    options.dry_run = 0;
    check_write_file(check_path("library/blobs/id"), "0123", 4);
    assert_int_equal(rename(check_path("library/blobs/id"), check_path("library/blobs/library-id")),
                     0);
    check_fails(EXIA_ECONFLICT, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    assert_int_equal(unlink(check_path("library/blobs/library-id")), 0);
    check_fails(EXIA_ECONFLICT, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    check_text("library-id is missing");
    assert_int_equal(selected(library, "m"), 1);
    exia_library_free(library);
}

static void spoil_log(exia_library *library, const char *key, const char *json)
{
    check_ok(
        exia__records_put(NULL, library->records, "log", key, json, EXIA_ANY, NULL, NULL, &err));
}

TEST(a_log_that_cannot_be_read_stops_it)
{
    exia_library *library = fresh();
    exia_rows *rows = NULL;
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = 1, .wait = 1};
    write_large(library, "m", "a", NULL);
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    spoil_log(library, "x/log/0000000000000001", "{\"format\":2,\"do\":\"publish\"}");
    check_fails(EXIA_EVERSION, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    check_text("entry 1 of the log of x");
    spoil_log(library, "x/log/0000000000000001", "{\"format\":1,\"do\":\"forge\"}");
    check_fails(EXIA_EVERSION, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    check_text("forge");
    spoil_log(library, "x/log/0000000000000001", "{\"format\":1,\"do\":\"publish\"}");
    check_fails(EXIA_ECORRUPT, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    spoil_log(library, "x/log/0000000000000001", "{\"format\":1,\"do\":\"move\"}");
    spoil_log(library, "x/log/0000000000000003", "{\"format\":1,\"do\":\"move\"}");
    check_fails(EXIA_ECORRUPT, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    check_text("entry 2 of the log of x: it is missing");
    spoil_log(library, "x/log/0000000000000002",
              "{\"format\":1,\"do\":\"remove\",\"version\":{\"number\":1}}");
    check_fails(EXIA_ECORRUPT, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    spoil_log(library, "x/log/0000000000000002",
              "{\"format\":1,\"do\":\"repair\",\"version\":{\"number\":1,\"parts\":[{}]}}");
    check_fails(EXIA_ECORRUPT, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    spoil_log(library, "x/log/0000000000000002", "{\"format\":1,\"do\":\"move\"}");
    spoil_log(library, "x/other", "{}");
    check_fails(EXIA_ECORRUPT, exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    check_text("x/other");
    assert_int_equal(count_marks(library), 0);
    exia_library_free(library);
}

/* ---- what goes and what stays --------------------------------------------------------------- */

TEST(what_is_dead_goes_half_a_grace_after_it_was_marked)
{
    exia_library *library = fresh();
    exia_gc_totals totals;
    write_large(library, "m", "a", NULL);
    write_large(library, "m", "b", NULL);
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    assert_string_equal(collected(library, NULL, &totals), "young: m@1 was removed; ");
    assert_int_equal(totals.blobs, 2);
    assert_int_equal(totals.bytes, 2 * LARGE);
    assert_int_equal(totals.young, 1);
    assert_int_equal(totals.young_bytes, LARGE);
    faulty.skew_ms = 7 * day + 1000;
    assert_string_equal(collected(library, NULL, &totals), "marked: m@1 was removed; ");
    assert_int_equal(totals.marked_bytes, LARGE);
    assert_int_equal(totals.young, 0);
    faulty.skew_ms += 3 * day;
    assert_string_equal(collected(library, NULL, NULL), "marked: m@1 was removed; ");
    assert_int_equal(count_marks(library), 1);
    faulty.skew_ms += day;
    assert_string_equal(collected(library, NULL, &totals), "removed: m@1 was removed; ");
    assert_int_equal(totals.removed, 1);
    assert_int_equal(totals.removed_bytes, LARGE);
    assert_int_equal(count_marks(library), 0);
    assert_string_equal(collected(library, NULL, &totals), "");
    assert_int_equal(totals.blobs, 1);
    assert_int_equal(selected(library, "m"), 2);
    write_large(library, "m", "a", NULL); /* the same bytes once more */
    assert_int_equal(selected(library, "m@3"), 3);
    exia_library_free(library);
}

TEST(a_dry_run_tells_and_changes_nothing)
{
    exia_library *library = fresh();
    exia_gc_totals totals;
    exia_gc_options dry = {.struct_size = sizeof dry, .dry_run = 1};
    write_large(library, "m", "a", NULL);
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    assert_string_equal(collected(library, &dry, &totals), "young: m@1 was removed; ");
    faulty.skew_ms = 8 * day;
    for (int i = 0; i < 2; i++, faulty.skew_ms += 8 * day) {
        assert_string_equal(collected(library, &dry, &totals), "remove: m@1 was removed; ");
        assert_int_equal(totals.removed, 1);
        assert_int_equal(count_marks(library), 0);
    }
    collected(library, NULL, NULL);
    faulty.skew_ms += 8 * day;
    assert_string_equal(collected(library, &dry, NULL), "remove: m@1 was removed; ");
    assert_int_equal(count_marks(library), 1);
    assert_string_equal(collected(library, NULL, NULL), "removed: m@1 was removed; ");
    exia_library_free(library);
}

TEST(one_call_may_wait_and_do_it_all)
{
    exia_library *library = fresh();
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = 1, .wait = 1};
    write_large(library, "m", "a", NULL);
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    faulty.skew_ms = 1000;
    assert_string_equal(collected(library, &options, NULL), "removed: m@1 was removed; ");
    assert_int_equal(count_marks(library), 0);
    exia_library_free(library);
}

static int stop_waiting(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done;
    (void)total;
    *(int *)payload += strcmp(step, "waiting") == 0;
    return strcmp(step, "waiting") == 0;
}

TEST(the_wait_may_be_cancelled_and_the_next_call_goes_on)
{
    exia_library *library = fresh();
    exia_rows *rows = NULL;
    int asked = 0;
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = day, .wait = 1};
    exia_job job = {.struct_size = sizeof job, .progress = stop_waiting, .payload = &asked};
    write_large(library, "m", "a", NULL);
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    faulty.skew_ms = 2 * day;
    check_fails(EXIA_ECANCELLED, exia_library_gc(&rows, NULL, library, &options, &job, &err));
    assert_int_equal(asked, 1);
    assert_null(rows);
    job = (exia_job){.struct_size = sizeof job, .total_ms = 60};
    check_fails(EXIA_ETIMEOUT, exia_library_gc(&rows, NULL, library, &options, &job, &err));
    assert_int_equal(count_marks(library), 1);
    options.wait = 0;
    faulty.skew_ms += day;
    assert_string_equal(collected(library, &options, NULL), "removed: m@1 was removed; ");
    exia_library_free(library);
}

TEST(what_any_version_names_stays)
{
    exia_library *library = fresh();
    const char *environment = "{\"environment\":{\"python\":\"3.12\"}}";
    write_large(library, "m", "a", environment);
    write_large(library, "m", "b", environment);
    write_large(library, "n", "a", NULL); /* the blob of m@1 */
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    for (int i = 0; i < 3; i++) {
        faulty.skew_ms += 8 * day;
        assert_string_equal(collected(library, NULL, NULL), "");
    }
    check_ok(exia_model_remove(library, "m", 2, NULL, &err));
    assert_string_equal(collected(library, NULL, NULL),
                        "marked: m@2 was removed; marked: m@1 was removed; ");
    faulty.skew_ms += 4 * day;
    assert_string_equal(collected(library, NULL, NULL),
                        "removed: m@2 was removed; removed: m@1 was removed; ");
    assert_int_equal(selected(library, "n"), 1);
    exia_library_free(library);
}

TEST(what_a_write_left_that_did_not_finish_goes_and_foreign_files_stay)
{
    exia_library *library = fresh();
    exia_source source = exia__source_memory("orphan", 6);
    const char *hex = "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592";
    char *key = NULL;
    source.sha256 = hex;
    check_ok(exia__blob_store(&key, library, &source, NULL, &err));
    exia__release(key);
    check_ok(exia__blobs_put(library->blobs, "sha256/readme", &source, NULL, &err));
    check_ok(exia__blobs_put(library->blobs, "other/x", &source, NULL, &err));
    for (int i = 0; i < 2; i++) {
        faulty.skew_ms += 8 * day;
        assert_string_equal(collected(library, NULL, NULL),
                            i ? "removed: no version names it; " : "marked: no version names it; ");
    }
    check_ok(exia__blobs_stat(NULL, NULL, library->blobs, "sha256/readme", NULL, &err));
    check_ok(exia__blobs_stat(NULL, NULL, library->blobs, "other/x", NULL, &err));
    check_ok(exia__blobs_stat(NULL, NULL, library->blobs, "library-id", NULL, &err));
    exia_library_free(library);
}

/* ---- marks ---------------------------------------------------------------------------------- */

TEST(a_blob_that_was_used_after_its_mark_goes_to_another_key_and_both_are_right)
{
    exia_library *library = fresh();
    write_large(library, "m", "a", NULL);
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    faulty.skew_ms = 8 * day;
    collected(library, NULL, NULL);
    write_large(library, "m", "a", NULL); /* sees the mark, having touched the blob */
    assert_string_equal(collected(library, NULL, NULL), "young: m@1 was removed; ");
    assert_int_equal(count_marks(library), 0);
    faulty.skew_ms += 8 * day;
    assert_string_equal(collected(library, NULL, NULL), "marked: m@1 was removed; ");
    faulty.skew_ms += 8 * day;
    assert_string_equal(collected(library, NULL, NULL), "removed: m@1 was removed; ");
    assert_int_equal(selected(library, "m"), 2);
    exia_library_free(library);
}

TEST(bytes_that_a_repair_moved_away_are_dead)
{
    exia_library *library = fresh();
    int64_t version = 0;
    write_large(library, "m", "a", NULL);
    exia_part part = {.name = "model", .format = "bytes", .data = large, .size = LARGE};
    exia_write_options once = {.struct_size = sizeof once, .token = "once"};
    check_ok(exia_model_write(&version, library, "m", &part, 1, &once, NULL, &err));
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    exia__references all = read_all(library);
    const char *key = check_format("%s", exia__reference_text(&all, all.items[0].key));
    exia__references_free(&all);
    check_ok(exia__marks_put(library, &key, 1, 0, NULL, &err));
    check_ok(exia_model_write(&version, library, "m", &part, 1, &once, NULL, &err));
    assert_int_equal(version, 2);
    faulty.skew_ms = 8 * day;
    collected(library, NULL, NULL); /* drops a mark older than the blob's last use */
    faulty.skew_ms += 8 * day;
    assert_string_equal(collected(library, NULL, NULL), "marked: m@1 was removed; ");
    faulty.skew_ms += 8 * day;
    assert_string_equal(collected(library, NULL, NULL), "removed: m@1 was removed; ");
    assert_int_equal(selected(library, "m"), 2);
    exia_library_free(library);
}

TEST(a_killed_collectors_claim_is_taken_over_and_its_key_never_used_again)
{
    exia_library *library = fresh();
    exia__marks marks;
    write_large(library, "m", "a", NULL);
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    faulty.skew_ms = 8 * day;
    collected(library, NULL, NULL);
    faulty.skew_ms += 8 * day;
    check_ok(exia__marks_read(&marks, library, NULL, &err));
    int64_t now = 0;
    check_ok(exia__blobs_now(&now, library->blobs, NULL, &err));
    exia__mark stale = marks.items[0];
    check_ok(exia__mark_claim(&marks.items[0], library, "killed", now, NULL, &err));
    stale.claim = NULL;
    check_fails(EXIA_ECONFLICT, exia__mark_claim(&stale, library, "late", now, NULL, &err));
    check_ok(
        exia__mark_drop(&(exia__mark){.key = stale.key, .revision = 99999}, library, NULL, &err));
    assert_int_equal(count_marks(library), 1);
    exia__marks_free(&marks);
    assert_string_equal(collected(library, NULL, NULL), "busy: m@1 was removed; ");
    faulty.skew_ms += 2 * 60 * 60 * 1000;
    assert_string_equal(collected(library, NULL, NULL), "removed: m@1 was removed; ");
    assert_int_equal(count_marks(library), 1); /* the first one's removal may still come */
    write_large(library, "m", "a", NULL);
    exia__references all = read_all(library);
    check_ok(exia__marks_read(&marks, library, NULL, &err));
    assert_null(exia__references_find(&all, marks.items[0].key, 0));
    exia__references_free(&all);
    exia__marks_free(&marks);
    assert_int_equal(selected(library, "m"), 2);
    exia_library_free(library);
}

TEST(a_mark_that_cannot_be_read_is_left_alone)
{
    exia_library *library = fresh();
    write_large(library, "m", "a", NULL);
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    exia__references all = read_all(library);
    check_ok(exia__records_put(NULL, library->records, "gc",
                               exia__reference_text(&all, all.items[0].key), "{\"format\":2}",
                               EXIA_ABSENT, NULL, NULL, &err));
    exia__references_free(&all);
    for (int i = 0; i < 3; i++) {
        faulty.skew_ms += 8 * day;
        assert_string_equal(collected(library, NULL, NULL), "busy: m@1 was removed; ");
    }
    assert_int_equal(count_marks(library), 1);
    exia_library_free(library);
}
