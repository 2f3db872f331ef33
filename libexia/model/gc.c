/* Collecting dead blobs while writers go on.
 *
 *     list, read marks, read logs --> dead and old:  put a mark            (nobody uses it from here)
 *     half a grace later: the same --> still dead:   claim the mark, remove the blob, drop the mark
 *
 * A writer makes a blob young, then reads its mark, then commits, then reads the mark once more.  So of
 * a writer and a collector one sees the other: the collector reads the logs after its mark was put, and
 * a blob that was touched within the grace before the mark is spared.  Nothing is kept between calls
 * but the marks: a collector that was killed is gone on with by any other. */
#include <time.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/rows.h"
#include "model/upkeep.h"

enum { GRACE_DAYS = 7, CLAIM_MS = 60 * 60 * 1000, SLEEP_MS = 50, TICK_MS = 20 };

typedef struct collection {
    exia_library *library;
    exia_gc_options options;
    exia__work work;
    exia_rows *rows;
    exia_gc_totals totals;
    char claim[EXIA__TOKEN_SIZE]; /* of this call */
    /* what one round sees */
    int64_t now_ms;
    exia__marks marks;
    exia__listing blobs;
    exia__references references;
    /* what is to be marked or is not yet due, in the order of the list */
    char **pending;
    size_t pending_count, pending_capacity;
} collection;

/* ---- what there is -------------------------------------------------------------------------- */

static void forget(collection *now)
{
    exia__listing_free(&now->blobs);
    exia__marks_free(&now->marks);
    exia__references_free(&now->references);
}

/* The order matters: what is removed by a mark that was read here is judged by logs read behind it. */
static exia_status look(collection *now, exia_error *err)
{
    exia_job job = exia__work_rest(&now->work);
    forget(now);
    exia_status rc = exia__marks_read(&now->marks, now->library, &job, err);
    if (rc == EXIA_OK)
        rc = exia__blobs_now(&now->now_ms, now->library->blobs, &job, err);
    if (rc == EXIA_OK)
        rc = exia__listing_read(&now->blobs, now->library, EXIA__BLOB_PREFIX, &job, err);
    if (rc == EXIA_OK)
        rc = exia__references_read(&now->references, now->library, NULL, NULL, &now->work, err);
    return rc;
}

/* ---- the report ----------------------------------------------------------------------------- */

static exia_status report(collection *now, const exia__listed *item, const char *verb,
                          exia_error *err)
{
    char time[EXIA__TIME_SIZE], *why = NULL;
    const exia__reference *was = exia__references_find(&now->references, item->key, 1);
    exia__time_text(time, item->modified_ms);
    exia_status rc =
        was ? exia__text_format(
                  &why, err, "%s@%lld %s", exia__reference_text(&now->references, was->model),
                  (long long)was->number,
                  was->over == EXIA__REPAIRED ? "has other bytes since a repair" : "was removed")
            : exia__text_copy(&why, "no version names it", err);
    json_t *row = rc < 0
                      ? NULL
                      : json_pack("{s:s, s:I, s:s, s:s, s:s}", "key", item->key, "size",
                                  (json_int_t)item->size, "modified", time, "do", verb, "why", why);
    if (rc == EXIA_OK)
        rc = row ? exia__rows_add(now->rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    exia__release(why);
    return rc;
}

static exia_status tell(collection *now, const exia__listed *item, const char *verb,
                        uint64_t *count, uint64_t *bytes, exia_error *err)
{
    ++*count;
    *bytes += item->size;
    return report(now, item, verb, err);
}

static exia_status tell_young(collection *now, const exia__listed *item, exia_error *err)
{
    return tell(now, item, "young", &now->totals.young, &now->totals.young_bytes, err);
}

static exia_status tell_marked(collection *now, const exia__listed *item, exia_error *err)
{
    return tell(now, item, "marked", &now->totals.marked, &now->totals.marked_bytes, err);
}

static exia_status tell_removed(collection *now, const exia__listed *item, exia_error *err)
{
    return tell(now, item, now->options.dry_run ? "remove" : "removed", &now->totals.removed,
                &now->totals.removed_bytes, err);
}

/* ---- one blob ------------------------------------------------------------------------------- */

static exia_status drop(collection *now, const exia__mark *mark, exia_error *err)
{
    exia_job job = exia__work_rest(&now->work);
    return now->options.dry_run ? EXIA_OK : exia__mark_drop(mark, now->library, &job, err);
}

/* `mark` stood before the logs were read, and nothing in them names the blob. */
static exia_status remove_blob(collection *now, const exia__listed *item, exia__mark *mark,
                               exia_error *err)
{
    exia_job job = exia__work_rest(&now->work);
    if (now->options.dry_run)
        return tell_removed(now, item, err);
    exia_status rc = exia__mark_claim(mark, now->library, now->claim, now->now_ms, &job, err);
    if (rc == EXIA_ECONFLICT) {
        exia__forgive(err);
        return report(now, item, "busy", err);
    }
    if (rc == EXIA_OK)
        rc = exia__blobs_remove(now->library->blobs, item->key, &job, err);
    if (rc == EXIA_OK && !mark->again)
        rc = exia__mark_drop(mark, now->library, &job, err);
    return rc == EXIA_OK ? tell_removed(now, item, err) : rc;
}

/* Mark it, or come back to it: now if this call waits, else by the next one. */
static exia_status postpone(collection *now, const exia__listed *item, exia_error *err)
{
    if (now->options.dry_run)
        return tell_removed(now, item, err);
    exia_status rc = exia__grow(&now->pending, &now->pending_capacity, now->pending_count + 1,
                                sizeof *now->pending, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&now->pending[now->pending_count], item->key, err);
    now->pending_count += rc == EXIA_OK;
    return rc == EXIA_OK && !now->options.wait ? tell_marked(now, item, err) : rc;
}

static exia_status judge(collection *now, const exia__listed *item, int waited, exia_error *err)
{
    int64_t grace = now->options.grace_ms;
    exia__mark *mark = exia__marks_find(&now->marks, item->key);
    int live = exia__references_find(&now->references, item->key, 0) != NULL;
    if (live)
        return mark != NULL && mark->claim == NULL ? drop(now, mark, err) : EXIA_OK;
    if (mark != NULL && mark->claim != NULL) /* one that hung for so long may have died */
        return mark->time_ms > now->now_ms - CLAIM_MS ? report(now, item, "busy", err)
                                                      : remove_blob(now, item, mark, err);
    if (mark != NULL && item->modified_ms > mark->time_ms - grace) { /* used after it was listed */
        exia_status rc = drop(now, mark, err);
        return rc == EXIA_OK ? tell_young(now, item, err) : rc;
    }
    if (mark == NULL && item->modified_ms > now->now_ms - grace)
        return tell_young(now, item, err);
    if (mark != NULL && now->now_ms - mark->time_ms >= grace / 2)
        return remove_blob(now, item, mark, err);
    if (waited) /* a rival dropped our mark, or put one of its own */
        return mark ? tell_marked(now, item, err) : report(now, item, "busy", err);
    return postpone(now, item, err);
}

/* ---- rounds --------------------------------------------------------------------------------- */

/* A mark without a blob: somebody was stopped before the removal, or behind it. */
static exia_status drop_empty(collection *now, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < now->marks.count && rc == EXIA_OK; i++) {
        exia__mark *mark = &now->marks.items[i];
        if (mark->claim == NULL && exia__listing_find(&now->blobs, mark->key) == NULL)
            rc = drop(now, mark, err);
    }
    return rc;
}

static exia_status put_marks(collection *now, exia_error *err)
{
    exia_job job = exia__work_rest(&now->work);
    size_t count = 0;
    const char **keys = exia__array(NULL, now->pending_count, sizeof *keys);
    if (keys == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < now->pending_count; i++) {
        if (exia__marks_find(&now->marks, now->pending[i]) == NULL)
            keys[count++] = now->pending[i];
    }
    exia_status rc = exia__marks_put(now->library, keys, count, now->now_ms, &job, err);
    exia__release(keys);
    return rc;
}

static exia_status first_round(collection *now, exia_error *err)
{
    exia_status rc = look(now, err);
    for (size_t i = 0; i < now->blobs.count && rc == EXIA_OK; i++) {
        const exia__listed *item = &now->blobs.items[i];
        char hex[EXIA__HEX_SIZE];
        rc = exia__work_step(&now->work, "collecting", i, now->blobs.count, err);
        if (!exia__blob_digest(hex, item->key)) /* not ours */
            continue;
        now->totals.blobs++;
        now->totals.bytes += item->size;
        if (rc == EXIA_OK)
            rc = judge(now, item, 0, err);
    }
    if (rc == EXIA_OK)
        rc = drop_empty(now, err);
    return rc == EXIA_OK ? put_marks(now, err) : rc;
}

/* The store's clock may tick slowly, so a little more than half. */
static exia_status sleep_half(collection *now, exia_error *err)
{
    int64_t half = now->options.grace_ms / 2 + TICK_MS, begin = exia__clock_ms();
    exia_status rc = EXIA_OK;
    for (int64_t passed = 0; rc == EXIA_OK && passed < half; passed = exia__clock_ms() - begin) {
        int64_t rest = half - passed < SLEEP_MS ? half - passed : SLEEP_MS;
        nanosleep(&(struct timespec){.tv_nsec = rest * 1000000}, NULL);
        rc = exia__work_step(&now->work, "waiting", (uint64_t)passed, (uint64_t)half, err);
    }
    return rc;
}

/* What is gone by now, a rival has removed. */
static exia_status second_round(collection *now, exia_error *err)
{
    exia_status rc = look(now, err);
    for (size_t i = 0; i < now->pending_count && rc == EXIA_OK; i++) {
        const exia__listed *item = exia__listing_find(&now->blobs, now->pending[i]);
        rc = exia__work_step(&now->work, "collecting", i, now->pending_count, err);
        if (rc == EXIA_OK && item != NULL)
            rc = judge(now, item, 1, err);
    }
    return rc;
}

static exia_status begin(collection *now, exia_library *library, const exia_gc_options *options,
                         const exia_job *job, exia_error *err)
{
    now->library = library;
    exia_status rc = exia__options(&now->options, sizeof now->options, options, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&now->work, job, err);
    if (rc == EXIA_OK && now->options.grace_ms < 0)
        rc = exia__fail(err, EXIA_EINVAL, 0, "a grace of %lld ms is negative",
                        (long long)now->options.grace_ms);
    if (rc == EXIA_OK && library->read_only && !now->options.dry_run)
        rc = exia__fail(err, EXIA_EDENIED, 0, "the library was opened read-only");
    if (now->options.grace_ms == 0)
        now->options.grace_ms = (int64_t)GRACE_DAYS * 24 * 60 * 60 * 1000;
    if (rc == EXIA_OK)
        rc = exia__library_check_id(library, err);
    if (rc == EXIA_OK)
        rc = exia__token(now->claim, err);
    return rc == EXIA_OK ? exia__rows_open(&now->rows, err) : rc;
}

exia_status exia_library_gc(exia_rows **out, exia_gc_totals *totals, exia_library *library,
                            const exia_gc_options *options, const exia_job *job, exia_error *err)
{
    collection now = {0};
    if (out != NULL)
        *out = NULL;
    if (totals != NULL)
        *totals = (exia_gc_totals){0};
    if (out == NULL || library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_library_gc: an argument is NULL");
    exia_status rc = begin(&now, library, options, job, err);
    if (rc == EXIA_OK)
        rc = first_round(&now, err);
    if (rc == EXIA_OK && now.pending_count > 0 && now.options.wait)
        rc = sleep_half(&now, err);
    if (rc == EXIA_OK && now.pending_count > 0 && now.options.wait)
        rc = second_round(&now, err);
    if (rc == EXIA_OK) {
        *out = now.rows;
        now.rows = NULL;
        if (totals != NULL)
            *totals = now.totals;
    }
    forget(&now);
    for (size_t i = 0; i < now.pending_count; i++)
        exia__release(now.pending[i]);
    exia__release(now.pending);
    exia_rows_free(now.rows);
    return rc;
}
