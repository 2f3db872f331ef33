/* What is derived from the log: written with it where the store can, found and mended where it lags,
 * and never needed for the truth. */
#include "support/models.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "model/library.h"
#include "support/faulty.h"

static const char part[] = "{\"name\":\"model\",\"format\":\"bytes\",\"size\":1,\"sha256\":"
                           "\"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\","
                           "\"inline\":\"eA==\"}";

static exia__records *open_records(void)
{
    exia__records *records = NULL;
    const char *url = check_format("sqlite:%s", check_path("library/catalog.db"));
    check_ok(exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err));
    return records;
}

/* The same library by another driver: "faulty", or "plain", which has no batch and no index. */
static exia_library *open_by(const char *driver)
{
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options};
    faulty_register();
    options.blobs_url = check_format("file:%s", check_path("library/blobs"));
    check_ok(exia_library_open(
        &library, check_format("%s:sqlite:%s", driver, check_path("library/catalog.db")), &options,
        &err));
    return library;
}

static exia_library *open_to_read(void)
{
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options, .read_only = 1};
    check_ok(exia_library_open(&library, check_path("library"), &options, &err));
    return library;
}

/* How many records of a kind there are. */
static exia_status count_one(const char *key, const char *json, int64_t revision, void *payload,
                             exia_error *error)
{
    (void)key;
    (void)json;
    (void)revision;
    (void)error;
    ++*(int *)payload;
    return EXIA_OK;
}

static int count_of(const char *kind)
{
    int count = 0;
    exia__records *records = open_records();
    check_ok(exia__records_scan(records, kind, NULL, NULL, 0, NULL, count_one, &count, NULL, &err));
    exia__records_free(records);
    return count;
}

static int64_t head_of(const char *name)
{
    char *text = NULL;
    exia__records *records = open_records();
    exia_status rc = exia__records_get(&text, NULL, records, "model", name, NULL, &err);
    json_t *model = rc == EXIA_OK ? json_loads(text, 0, NULL) : NULL;
    int64_t head = json_integer_value(json_object_get(model, "head"));
    json_decref(model);
    exia__release(text);
    exia__records_free(records);
    return head;
}

static exia_status take_away(const char *key, const char *json, int64_t revision, void *payload,
                             exia_error *error)
{
    exia__records **records = payload;
    (void)json;
    (void)revision;
    return exia__records_remove(records[0], (const char *)records[1], key, EXIA_ANY, NULL, error);
}

static void remove_kind(const char *kind)
{
    void *payload[2] = {open_records(), (void *)(uintptr_t)kind};
    check_ok(
        exia__records_scan(payload[0], kind, NULL, NULL, 0, NULL, take_away, payload, NULL, &err));
    exia__records_free(payload[0]);
}

/* As a library lies there whose log was written by something that knows the log alone. */
static void forget_derived(void)
{
    exia__records *records = open_records();
    check_ok(exia__records_remove(records, "library", "derived", EXIA_ANY, NULL, &err));
    exia__records_free(records);
    remove_kind("model");
    remove_kind("version");
}

/* `count` entries behind `head` that publish versions behind `highest`, past the library. */
static void put_entries(const char *name, int64_t head, int64_t highest, int count)
{
    exia__records *records = open_records();
    char(*keys)[64] = malloc(sizeof *keys * (size_t)count);
    char(*texts)[512] = malloc(sizeof *texts * (size_t)count);
    exia_put *puts = malloc(sizeof *puts * (size_t)count);
    assert_non_null(puts);
    for (int i = 0; i < count; i++) {
        exia__log_key(keys[i], name, head + i + 1);
        snprintf(texts[i], sizeof *texts,
                 "{\"format\":1,\"do\":\"publish\",\"token\":\"t%lld\",\"time\":"
                 "\"2026-01-01T00:00:00.%03dZ\",\"who\":\"a@b\",\"version\":{\"number\":%lld,"
                 "\"parts\":[%s],\"metrics\":{\"n\":%d}}}",
                 (long long)head + i + 1, i / 20, (long long)highest + i + 1, part, i * 7 % 1009);
        puts[i] = (exia_put){"log", keys[i], texts[i], EXIA_ABSENT, NULL};
    }
    check_ok(exia__records_batch(records, puts, (size_t)count, NULL, &err));
    free(puts);
    free(texts);
    free(keys);
    exia__records_free(records);
}

/* Versions, aliases on them, a rollback and a removal. */
static void live(exia_library *library)
{
    int64_t at = 0;
    write_model(library, "m", "one", "{\"metrics\":{\"auc\":0.5}}", "a", EXIA_ABSENT);
    write_model(library, "m", "two", "{\"metrics\":{\"auc\":0.75},\"tags\":{\"t\":\"x\"}}", "a", 1);
    write_model(library, "m", "three", "{\"metrics\":{\"auc\":0.25}}", "a", 2);
    write_model(library, "n", "other", "{\"metrics\":{\"auc\":0.625}}", "b", EXIA_ABSENT);
    check_ok(exia_alias_rollback(&at, library, "m", "a", 3, "no", &err));
    check_ok(exia_model_remove(library, "m", 3, NULL, &err));
    write_model(library, "m", "four", "{\"metrics\":{\"auc\":\"NaN\"}}", NULL, 0);
}

static void check_life(exia_library *library)
{
    assert_string_equal(found(library, "order by name, version"), "m@1 m@2 m@4 n@1 ");
    assert_string_equal(found(library, "order by metrics.auc desc limit 3"), "m@2 n@1 m@1 ");
    assert_string_equal(found(library, "order by metrics.auc limit 9"), "m@1 n@1 m@2 m@4 ");
    assert_string_equal(found(library, "tags.t = 'x'"), "m@2 ");
    assert_string_equal(found(library, "name = 'm' and metrics.auc >= 0.5 limit 1"), "m@2 ");
    assert_int_equal(selected(library, "m@a"), 2);
    assert_int_equal(selected(library, "m@previous(a)"), 1);
    assert_int_equal(selected(library, "m@best(metrics.auc)"), 2);
    assert_int_equal(selected(library, "m@worst(metrics.auc)"), 1);
    assert_int_equal(selected(library, "m@latest-1"), 2);
    assert_int_equal(selected(library, "m@3"), EXIA_ENOTFOUND);
    assert_string_equal(bytes_of(library, "m@2"), "two");
    assert_string_equal(bytes_of(library, "m"), "four");
}

/* ---- where it is written -------------------------------------------------------------------- */

TEST(what_is_derived_is_there_with_the_entry)
{
    exia_library *library = open_library();
    assert_int_equal(count_of("library"), 2);
    live(library);
    assert_int_equal(count_of("version"), 5);
    assert_int_equal(head_of("m"), 6);
    assert_int_equal(head_of("n"), 1);
    check_life(library);
    exia_library_free(library);
    library = open_library();
    check_life(library);
    exia_library_free(library);
}

TEST(a_store_that_can_only_put_and_scan_answers_the_same)
{
    exia_library *library = open_by("plain");
    live(library);
    check_life(library);
    assert_int_equal(head_of("m"), 6);
    assert_int_equal(count_of("version"), 5);
    exia_library *other = open_by("plain");
    check_life(other);
    write_model(library, "m", "five", NULL, NULL, 0);
    assert_string_equal(found(other, "name = 'm' limit 1"), "m@5 ");
    assert_string_equal(found(other, "limit 1"), "m@5 ");
    exia_library_free(other);
    exia_library_free(library);
}

TEST(what_was_lost_of_it_comes_back_from_the_log)
{
    exia_library *library = open_library();
    live(library);
    exia_library_free(library);
    forget_derived();
    library = open_library();
    check_life(library);
    assert_int_equal(head_of("m"), 6);
    assert_int_equal(head_of("n"), 1);
    assert_int_equal(count_of("library"), 2);
    check_life(library);
    exia_library_free(library);
}

TEST(a_reader_that_may_not_write_knows_it_all_the_same)
{
    exia_library *library = open_library();
    live(library);
    exia_library_free(library);
    forget_derived();
    library = open_to_read();
    check_life(library);
    assert_int_equal(count_of("version"), 0);
    assert_int_equal(count_of("model"), 0);
    check_life(library);
    exia_library_free(library);
}

TEST(a_record_of_a_model_that_is_no_use_is_made_anew)
{
    const char *bad[] = {
        "{}",
        "{\"format\":1}",
        "{\"format\":1,\"head\":0}",
        "{\"format\":1,\"head\":6,\"time\":\"now\",\"highest\":4,\"removed\":[],\"aliases\":[]}",
        ("{\"format\":1,\"head\":6,\"time\":\"2026-01-01T00:00:00.000Z\",\"highest\":4,"
         "\"removed\":[[3,9]],\"aliases\":[]}"),
        ("{\"format\":1,\"head\":6,\"time\":\"2026-01-01T00:00:00.000Z\",\"highest\":4,"
         "\"removed\":[],\"aliases\":[{\"name\":\"a\"}]}"),
    };
    exia_library *library = open_library();
    live(library);
    exia_library_free(library);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        exia__records *records = open_records();
        check_ok(
            exia__records_put(NULL, records, "model", "m", bad[i], EXIA_ANY, NULL, NULL, &err));
        exia__records_free(records);
        library = open_library();
        check_life(library);
        exia_library_free(library);
        assert_int_equal(head_of("m"), 6);
    }
}

TEST(derived_records_of_a_newer_format_are_left_alone)
{
    exia_library *library = open_library();
    live(library);
    exia_library_free(library);
    exia__records *records = open_records();
    check_ok(exia__records_put(NULL, records, "model", "m", "{\"format\":2,\"head\":1}", EXIA_ANY,
                               NULL, NULL, &err));
    library = open_library();
    assert_int_equal(selected(library, "m@a"), 2);
    assert_int_equal(head_of("m"), 1);
    check_ok(exia__records_put(NULL, records, "version", "m/0000000000000002",
                               "{\"format\":2,\"age\":1,\"row\":{}}", EXIA_ANY, NULL, NULL, &err));
    exia__records_free(records);
    exia_library_free(library);
    library = open_library();
    exia_rows *rows = NULL;
    check_fails(EXIA_EVERSION, exia_library_search(&rows, library, NULL, &err));
    exia_library_free(library);
}

/* ---- records that lie ----------------------------------------------------------------------- */

static void forge(const char *kind, const char *key, const char *json)
{
    exia__records *records = open_records();
    check_ok(exia__records_put(NULL, records, kind, key, json, EXIA_ANY, NULL, NULL, &err));
    exia__records_free(records);
}

/* What a check finds, and mends; then nothing. */
static void check_mended(const char *text)
{
    exia_fsck_options options = {.struct_size = sizeof options, .repair = 1};
    exia_library *library = open_library();
    for (int round = 0; round < 2; round++) {
        const char *row = NULL;
        exia_rows *rows = NULL;
        int seen = 0;
        check_ok(exia_library_fsck(&rows, NULL, library, &options, NULL, &err));
        while (exia_rows_next(&row, rows, &err) == EXIA_OK)
            seen += strstr(row, text) != NULL;
        assert_int_equal(seen, round == 0);
        exia_rows_free(rows);
    }
    exia_library_free(library);
}

TEST(a_state_that_is_ahead_of_the_log_is_not_believed)
{
    static const char ahead[] =
        "{\"format\":1,\"head\":100,\"time\":\"2026-01-01T00:00:00.000Z\",\"highest\":90,"
        "\"removed\":[],\"aliases\":[{\"name\":\"a\",\"seq\":99,\"version\":80,\"below\":0,"
        "\"under\":0}]}";
    exia_library_free(open_library());
    for (int way = 0; way < 2; way++) {
        const char *name = way ? "n" : "m";
        exia_library *library = open_library();
        write_model(library, name, "one", NULL, "a", EXIA_ABSENT);
        exia_library_free(library);
        forge("model", name, ahead);
        if (way == 1) {
            check_mended("ahead of the log");
            assert_int_equal(head_of(name), 1);
            continue;
        }
        library = open_by("plain");
        assert_int_equal(selected(library, "m@a"), 1);
        assert_int_equal(write_model(library, "m", "two", NULL, "a", 1), 2);
        assert_int_equal(head_of("m"), 2);
        exia_library_free(library);
        forge("model", name, ahead);
        library = open_library();
        assert_int_equal(write_model(library, "m", "three", NULL, "a", 2), 3);
        exia_library_free(library);
        assert_int_equal(head_of("m"), 3);
    }
}

TEST(a_version_record_that_lies_of_where_it_stands_is_mended)
{
    static const char row[] = "{\"format\":1,\"seq\":%d,\"publish\":1,\"later\":[],\"age\":1,"
                              "\"row\":{\"name\":\"m\",\"version\":%d,\"time\":\"x\"}}";
    exia_library *library = open_library();
    live(library);
    exia_library_free(library);
    forge("version", "m/0000000000000001", check_format(row, 5, 1));
    check_mended("says other than the log");
    forge("version", "m/0000000000000001", check_format(row, 77, 1));
    check_mended("ahead of the log");
    forge("version", "m/0000000000000077", check_format(row, 3, 77));
    check_mended("no such version");
    forge("version", "m/0000000000000077", check_format(row, 77, 77));
    check_mended("ahead of the log");
    library = open_library();
    check_life(library);
    exia_library_free(library);
}

TEST(a_check_leaves_derived_records_of_a_newer_format_alone)
{
    exia_fsck_options options = {.struct_size = sizeof options, .repair = 1};
    exia_fsck_totals totals;
    exia_rows *rows = NULL;
    exia_library *library = open_library();
    live(library);
    forge("model", "m", "{\"format\":2,\"head\":1}");
    check_ok(exia_library_fsck(&rows, &totals, library, &options, NULL, &err));
    assert_int_equal(totals.repaired, 0);
    assert_int_equal(head_of("m"), 1);
    exia_rows_free(rows);
    exia_library_free(library);
}

TEST(a_version_whose_record_is_broken_is_named)
{
    const char *bad[] = {"{}", "{\"format\":1,\"seq\":1,\"row\":7}",
                         "{\"format\":1,\"seq\":1,\"row\":{}}",
                         "{\"format\":1,\"seq\":1,\"publish\":1,\"age\":1,\"row\":{"
                         "\"name\":\"../n\",\"version\":1,\"time\":\"x\"}}",
                         "{\"format\":1,\"seq\":1,\"publish\":1,\"age\":1,\"row\":{"
                         "\"name\":\"n\",\"version\":2,\"time\":\"x\"}}"};
    exia_library *library = open_library();
    live(library);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        exia__records *records = open_records();
        exia_rows *rows = NULL;
        check_ok(exia__records_put(NULL, records, "version", "n/0000000000000001", bad[i], EXIA_ANY,
                                   NULL, NULL, &err));
        exia__records_free(records);
        exia_library *fresh = open_by("plain");
        assert_int_equal(selected(fresh, "n@1"), EXIA_ECORRUPT);
        check_text("n/0000000000000001");
        check_fails(EXIA_ECORRUPT, exia_library_search(&rows, fresh, NULL, &err));
        exia_library_free(fresh);
    }
    exia_library_free(library);
}

/* ---- many entries --------------------------------------------------------------------------- */

enum { MANY = 2600 };

TEST(a_long_log_is_read_once_and_then_never_again)
{
    exia_library_free(open_library());
    put_entries("m", 0, 0, MANY);
    exia_library *library = open_library();
    assert_int_equal(selected(library, "m"), MANY);
    exia_library_free(library);
    assert_int_equal(head_of("m"), MANY);
    assert_int_equal(count_of("version"), MANY);
    library = open_by("faulty");
    faulty.calls = 0;
    assert_int_equal(selected(library, "m@7"), 7);
    assert_true(faulty.calls <=
                6); /* the state, its entry, what is behind, the version, its entry, its origin */
    faulty.calls = 0;
    assert_int_equal(selected(library, "m@7"), 7);
    assert_true(faulty.calls <= 1);
    assert_int_equal(selected(library, "m@best(metrics.n)"), 2163);
    exia_library_free(library);
}

TEST(who_is_far_behind_takes_the_stored_state_and_still_knows_what_it_did)
{
    int64_t version = 0;
    exia_part bytes = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    exia_write_options options = {.struct_size = sizeof options, .token = "mine"};
    exia_library *behind = open_by("faulty"), *other = open_library();
    check_ok(exia_model_write(&version, behind, "m", &bytes, 1, &options, NULL, &err));
    for (int i = 0; i < 300; i++)
        write_model(other, "m", "y", NULL, i % 50 ? NULL : "live", EXIA_ANY);
    faulty.calls = 0;
    assert_int_equal(selected(behind, "m@live"), 252);
    assert_true(faulty.calls <= 8);
    check_ok(exia_model_write(&version, behind, "m", &bytes, 1, &options, NULL, &err));
    assert_int_equal(version, 1);
    assert_int_equal(write_model(behind, "m", "z", NULL, "live", 252), 302);
    assert_int_equal(selected(other, "m@previous(live)"), 252);
    exia_library_free(behind);
    exia_library_free(other);
}

TEST(a_rollback_finds_its_way_however_long_ago_the_moves_were)
{
    exia_library *library = open_library();
    int64_t at = 0;
    for (int i = 1; i <= 40; i++)
        write_model(library, "m", "x", NULL, i % 2 ? "a" : "b", EXIA_ANY);
    for (int i = 37; i >= 1; i -= 2) {
        exia_library_free(library);
        library = open_library();
        check_ok(exia_alias_rollback(&at, library, "m", "a", i + 2, NULL, &err));
        assert_int_equal(at, i);
        assert_int_equal(selected(library, "m@previous(a)"), i > 1 ? i - 2 : EXIA_ENOTFOUND);
    }
    check_fails(EXIA_ENOTFOUND, exia_alias_rollback(&at, library, "m", "a", 1, NULL, &err));
    assert_int_equal(selected(library, "m@b"), 40);
    exia_library_free(library);
}

/* ---- the state ------------------------------------------------------------------------------ */

TEST(a_state_knows_which_versions_are_left_whatever_order_they_go_in)
{
    enum { VERSIONS = 200 };
    exia__fold *fold = NULL;
    unsigned seed = 3;
    for (int round = 0; round < 20; round++) {
        int there[VERSIONS + 1], left = VERSIONS;
        check_ok(exia__fold_open(&fold, "m", &err));
        fold->highest = VERSIONS;
        for (int i = 0; i <= VERSIONS; i++)
            there[i] = i > 0;
        while (left > round * 5) {
            int number = (int)((seed = seed * 1103515245u + 12345u) >> 16) % VERSIONS + 1;
            if (!there[number])
                continue;
            check_ok(exia__fold_remove(fold, number, &err));
            there[number] = 0;
            left--;
        }
        assert_int_equal(exia__fold_count(fold), left);
        int back = 0;
        for (int i = VERSIONS; i > 0; i--) {
            assert_int_equal(exia__fold_has(fold, i), there[i]);
            if (there[i])
                assert_int_equal(exia__fold_latest(fold, back++), i);
        }
        assert_int_equal(exia__fold_latest(fold, back), 0);
        assert_false(exia__fold_has(fold, 0) || exia__fold_has(fold, VERSIONS + 1));
        exia__fold_free(fold);
    }
}

/* ---- failures ------------------------------------------------------------------------------- */

static exia_status heal(void *payload, exia_error *error)
{
    exia_library *library = NULL;
    exia_rows *rows = NULL;
    exia_library_options options = {.struct_size = sizeof options};
    const char *const *urls = payload;
    options.blobs_url = urls[1];
    exia_status rc = exia_library_open(&library, urls[0], &options, error);
    if (rc == EXIA_OK)
        rc = exia_library_search(&rows, library, "order by metrics.auc desc limit 2", error);
    exia_rows_free(rows);
    exia_library_free(library);
    if (rc == EXIA_OK && error->status != EXIA_OK)
        rc = EXIA_ECORRUPT; /* a call that succeeds leaves no error */
    return rc;
}

TEST(every_allocation_of_mending_may_fail)
{
    exia_library *library = open_library();
    live(library);
    exia_library_free(library);
    faulty_register();
    for (int way = 0; way < 2; way++) {
        const char *urls[] = {
            check_format("%ssqlite:%s", way ? "plain:" : "", check_path("library/catalog.db")),
            check_format("file:%s", check_path("library/blobs"))};
        forget_derived();
        check_survives_no_memory(heal, urls);
    }
    library = open_library();
    check_life(library);
    exia_library_free(library);
}

TEST(mending_that_fails_at_any_operation_does_no_harm)
{
    const char *const drivers[] = {"faulty", "plain"};
    exia_library *library = open_library();
    live(library);
    exia_library_free(library);
    for (size_t i = 0; i < 2; i++) {
        int reached = 1;
        for (long nth = 1; reached; nth++) {
            exia_rows *rows = NULL;
            forget_derived();
            library = open_by(drivers[i]);
            faulty = (faulty_plan){.nth = nth, .after = nth % 2, .status = EXIA_EIO};
            exia_status rc = exia_library_search(&rows, library, NULL, &err);
            assert_true(rc == EXIA_OK || rc == EXIA_EIO);
            exia_rows_free(rows);
            reached = faulty.calls >= nth;
            faulty = (faulty_plan){0};
            check_life(library);
            exia_library_free(library);
            library = open_library();
            check_life(library);
            exia_library_free(library);
        }
    }
}
