/* Checks and retention in C: while others write, when a store fails, when memory is out. */
#include "support/models.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "model/upkeep.h"
#include "support/faulty.h"

enum { LARGE = 20000 };

static char large[LARGE];

/* Two handles on one library, in memory: the many syncs cost nothing. */
typedef struct scene {
    const char *folder;
    exia_library *library, *other;
} scene;

static exia_status publish(exia_library *library, char seed, exia_error *why)
{
    int64_t version = 0;
    memset(large, seed, sizeof large);
    exia_part part = {.name = "model", .format = "bytes", .data = large, .size = LARGE};
    exia_write_options options = {
        .struct_size = sizeof options,
        .facts = "{\"metrics\":{\"auc\":0.5},\"environment\":{\"python\":\"3.12\"}}"};
    return exia_model_write(&version, library, "m", &part, 1, &options, NULL, why);
}

/* Three versions, the first two of the same bytes. */
static scene begin(void)
{
    faulty = (faulty_plan){0};
    scene made = {fresh_folder(), NULL, NULL};
    made.library = open_faulty(made.folder);
    made.other = open_faulty(made.folder);
    check_ok(publish(made.library, 'a', &err));
    check_ok(publish(made.library, 'a', &err));
    check_ok(publish(made.library, 'c', &err));
    return made;
}

static void end(scene *now)
{
    exia_library_free(now->library);
    exia_library_free(now->other);
    exia__tree_remove(now->folder, NULL);
    faulty = (faulty_plan){0};
}

static exia_status retain(exia_rows **rows, exia_library *library, int apply, exia_error *why)
{
    exia_retain_options options = {.struct_size = sizeof options, .apply = apply};
    return exia_library_retain(rows, library, "{\"last\":1,\"best\":{\"metrics.none\":2}}",
                               &options, NULL, why);
}

static exia_status check_it(exia_fsck_totals *totals, exia_library *library, int repair,
                            exia_error *why)
{
    exia_rows *rows = NULL;
    exia_fsck_options options = {.struct_size = sizeof options, .repair = repair};
    exia_job job = {.struct_size = sizeof job, .threads = 1};
    exia_status rc = exia_library_fsck(&rows, totals, library, &options, &job, why);
    exia_rows_free(rows);
    return rc;
}

/* ---- refused -------------------------------------------------------------------------------- */

TEST(nonsense_is_refused)
{
    scene now = begin();
    exia_rows *rows = NULL;
    exia_job job = {.struct_size = sizeof job, .timeout_ms = -1};
    check_fails(EXIA_EINVAL, exia_library_fsck(NULL, NULL, now.library, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_fsck(&rows, NULL, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_fsck(&rows, NULL, now.library, NULL, &job, &err));
    check_fails(EXIA_EINVAL, exia_library_retain(NULL, now.library, "{}", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_retain(&rows, NULL, "{}", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_retain(&rows, now.library, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_retain(&rows, now.library, "[1]", NULL, NULL, &err));
    check_fails(EXIA_EINVAL,
                exia_library_retain(&rows, now.library, "{\"last\":1}", NULL, &job, &err));
    assert_null(rows);
    end(&now);
}

static int stop(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done;
    (void)total;
    return strcmp(step, payload) == 0;
}

/* What a check says of a log that has one more entry, far behind the others. */
static const char *say_of_entry(const char *key, const char *json)
{
    scene now = begin();
    exia_fsck_totals totals;
    exia_rows *rows = NULL;
    exia_job job = {.struct_size = sizeof job, .timeout_ms = 20000};
    check_ok(exia__records_put(NULL, now.library->records, "log", key, json, EXIA_ABSENT, NULL,
                               NULL, &err));
    check_ok(exia_library_fsck(&rows, &totals, now.library, NULL, &job, &err));
    end(&now);
    return rows_text(rows);
}

TEST(an_entry_far_behind_the_others_is_told_and_not_waited_for)
{
    static const char jump[] =
        "{\"format\":1,\"do\":\"publish\",\"token\":\"t\",\"time\":"
        "\"2100-01-01T00:00:00.000Z\",\"who\":\"x\",\"version\":{"
        "\"number\":900719925474099,\"parts\":[{\"name\":\"model\",\"format\":"
        "\"bytes\",\"size\":1,\"sha256\":\"2d711642b726b04401627ca9fbac32f5c8530"
        "fb1903cc4db02258717921a4881\",\"inline\":\"eA==\"}]}}";
    const char *said = say_of_entry("m/log/9999999999999999", jump);
    assert_non_null(strstr(said, "it is missing, and so are all up to 9999999999999998"));
    assert_non_null(strstr(said, "entry 9999999999999999: it does not publish version 4"));
}

TEST(a_check_can_be_stopped)
{
    scene now = begin();
    exia_rows *rows = NULL;
    char step[] = "reading logs";
    exia_job job = {.struct_size = sizeof job, .progress = stop, .payload = step};
    check_fails(EXIA_ECANCELLED, exia_library_fsck(&rows, NULL, now.library, NULL, &job, &err));
    assert_null(rows);
    end(&now);
}

/* ---- while others write --------------------------------------------------------------------- */

static void remove_first(void *payload)
{
    exia_status rc = exia_model_remove(((scene *)payload)->other, "m", 1, NULL, NULL);
    assert_true(rc == EXIA_OK || rc == EXIA_ENOTFOUND); /* the other may be faster still */
}

TEST(retention_gives_way_to_a_removal_that_is_faster)
{
    int reached = 1, others = 0;
    for (long nth = 1; reached; nth++) {
        scene now = begin();
        exia_rows *rows = NULL;
        faulty = (faulty_plan){.nth = nth, .instead = remove_first, .payload = &now};
        check_ok(retain(&rows, now.library, 1, &err));
        reached = faulty.calls >= nth;
        faulty = (faulty_plan){.skew_ms = faulty.skew_ms};
        others += strstr(rows_text(rows), "somebody else") != NULL;
        assert_int_equal(selected(now.other, "m@3"), 3);
        assert_true(selected(now.other, "m@1") < 0 && selected(now.other, "m@2") < 0);
        end(&now);
    }
    assert_true(others > 0);
}

/* Whenever an alias comes to it: before the removal it keeps the version, behind it it cannot come. */
static exia_status moved;

static void move_alias(void *payload)
{
    moved = exia_alias_move(((scene *)payload)->other, "m", "a", 1, EXIA_ANY, NULL, NULL);
}

TEST(retention_gives_way_to_an_alias_that_is_faster)
{
    int reached = 1, kept = 0, gone = 0;
    for (long nth = 1; reached; nth++) {
        scene now = begin();
        exia_rows *rows = NULL;
        moved = EXIA_OK;
        faulty = (faulty_plan){.nth = nth, .instead = move_alias, .payload = &now};
        check_ok(retain(&rows, now.library, 1, &err));
        reached = faulty.calls >= nth;
        faulty = (faulty_plan){.skew_ms = faulty.skew_ms};
        const char *told = rows_text(rows);
        if (!reached)
            assert_true(selected(now.other, "m@1") == EXIA_ENOTFOUND);
        else if (moved == EXIA_OK)
            assert_int_equal(selected(now.other, "m@a"), 1);
        else
            assert_int_equal(moved, EXIA_ENOTFOUND);
        kept += strstr(told, "has aliases: a") != NULL || strstr(told, "alias a") != NULL;
        gone += moved == EXIA_ENOTFOUND;
        end(&now);
    }
    assert_true(kept > 0 && gone > 0);
}

static void live_on(void *payload)
{
    scene *now = payload;
    exia_rows *rows = NULL;
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = 1};
    check_ok(publish(now->other, 'd', &err));
    check_ok(exia_model_remove(now->other, "m", 1, NULL, &err));
    check_ok(exia_model_remove(now->other, "m", 3, NULL, &err));
    for (int i = 0; i < 2; i++) {
        faulty.skew_ms += 1000;
        check_ok(exia_library_gc(&rows, NULL, now->other, &options, NULL, &err));
        exia_rows_free(rows);
    }
}

TEST(a_check_finds_nothing_wrong_in_what_changes_meanwhile)
{
    int reached = 1;
    for (long nth = 1; reached; nth++) {
        scene now = begin();
        exia_fsck_totals totals;
        faulty = (faulty_plan){.nth = nth, .instead = live_on, .payload = &now};
        check_ok(check_it(&totals, now.library, (int)(nth & 1), &err));
        reached = faulty.calls >= nth;
        faulty = (faulty_plan){.skew_ms = faulty.skew_ms};
        assert_int_equal(totals.errors, 0);
        assert_int_equal(totals.warnings, 0);
        check_ok(check_it(&totals, now.library, 0, &err));
        assert_int_equal(totals.errors, 0);
        end(&now);
    }
}

/* ---- a store that fails, memory that is out ------------------------------------------------- */

/* The bytes of the first two versions are lost, and a copy is there. */
static void damage(const scene *now)
{
    exia__listing all;
    check_ok(exia__listing_read(&all, now->library, "sha256/", NULL, &err));
    memset(large, 'a', sizeof large);
    char hex[EXIA__HEX_SIZE];
    check_ok(exia__hash_hex(hex, large, sizeof large, &err));
    const char *path = check_format("%s/blobs/sha256/%.2s/%s", now->folder, hex, hex);
    check_write_file(check_format("%s.1", path), large, sizeof large);
    large[7] = 'x';
    assert_int_equal(unlink(path), 0);
    check_write_file(path, large, sizeof large);
    exia__listing_free(&all);
}

static int repair_with_fault(faulty_plan plan)
{
    scene now = begin();
    exia_fsck_totals totals;
    damage(&now);
    faulty = plan;
    exia_status rc = check_it(&totals, now.library, 1, &err);
    int reached = faulty.calls >= plan.nth;
    faulty = (faulty_plan){0};
    if (rc < 0)
        check_status(rc, rc, __FILE__, __LINE__);
    check_ok(check_it(&totals, now.library, 1, &err));
    assert_int_equal(totals.errors, 0);
    check_ok(check_it(&totals, now.other, 0, &err));
    assert_int_equal(totals.errors + totals.warnings, 0);
    for (int version = 1; version < 4; version++) {
        exia_model *model = NULL;
        check_ok(exia_model_open(&model, now.other, check_format("m@%d", version), EXIA_OPEN_VERIFY,
                                 &err));
        exia_model_free(model);
    }
    end(&now);
    return reached;
}

TEST(every_operation_of_a_store_may_fail_during_a_repair)
{
    for (int way = 0; way < 4; way++) {
        faulty_plan plan = {.after = way & 1, .for_ever = way >> 1, .status = EXIA_EIO};
        do
            plan.nth++;
        while (repair_with_fault(plan));
        assert_true(plan.nth > 10);
    }
}

static exia_status keep_all_in_order(void *payload, exia_error *why)
{
    const char *folder = ((scene *)payload)->folder;
    exia_library *library = NULL;
    exia_rows *rows = NULL;
    exia_fsck_totals totals;
    char records[200], blobs[200];
    snprintf(records, sizeof records, "faulty:sqlite:%s/catalog.db", folder);
    snprintf(blobs, sizeof blobs, "faulty:file:%s/blobs", folder);
    exia_library_options where = {.struct_size = sizeof where, .blobs_url = blobs};
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = 1000};
    exia_status rc = exia_library_open(&library, records, &where, why);
    if (rc == EXIA_OK)
        rc = check_it(&totals, library, 1, why);
    if (rc == EXIA_OK)
        rc = retain(&rows, library, 1, why);
    exia_rows_free(rows);
    rows = NULL;
    faulty.skew_ms += 1000; /* marked by one run, removed by a later one */
    if (rc == EXIA_OK)
        rc = exia_library_gc(&rows, NULL, library, &options, NULL, why);
    exia_rows_free(rows);
    exia_library_free(library);
    return rc;
}

TEST(memory_may_be_out_at_any_time)
{
    scene now = begin();
    exia_fsck_totals totals;
    damage(&now);
    check_survives_no_memory(keep_all_in_order, &now);
    check_ok(check_it(&totals, now.other, 0, &err));
    assert_int_equal(totals.errors, 0);
    assert_int_equal(selected(now.other, "m"), 3);
    end(&now);
}
