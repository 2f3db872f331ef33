/* Checking a library, and mending what can be mended.  Writers go on meanwhile, so what looks wrong at
 * first is looked at again, with the logs read anew, before it is told. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/rows.h"
#include "model/fsck.h"

enum { YOUNG_MS = 60 * 60 * 1000 };

/* ---- the report ----------------------------------------------------------------------------- */

exia_status exia__check_tell(exia__check *now, const exia__finding *found, exia_error *err,
                             const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *row = json_pack(
        "{s:s, s:s, s:s?, s:o, s:s?, s:s, s:o}", "severity", found->severity, "what", found->what,
        "name", found->name, "version", found->version ? json_integer(found->version) : json_null(),
        "key", found->key, "text", text, "repaired",
        found->done == EXIA__NOTHING ? json_null() : json_boolean(found->done == EXIA__MENDED));
    exia_status rc = row ? exia__rows_add(now->rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    if (found->done == EXIA__MENDED)
        now->totals.repaired++;
    else if (strcmp(found->severity, "error") == 0)
        now->totals.errors++;
    else if (strcmp(found->severity, "warning") == 0)
        now->totals.warnings++;
    return rc;
}

/* ---- the id --------------------------------------------------------------------------------- */

/* EXIA_DONE: the blobs are another library's, and nothing else is worth asking. */
static exia_status check_id(exia__check *now, exia_error *err)
{
    exia__finding found = {"error", "id", NULL, "library-id", 0, EXIA__LEFT};
    exia_error why = {0};
    exia_status rc = exia__library_check_id(now->library, &why);
    if (rc == EXIA_OK)
        return EXIA_OK;
    if (rc != EXIA_ECONFLICT && rc != EXIA_ECORRUPT)
        return exia__fail(err, rc, why.native, "%s", why.text);
    rc = exia__blobs_stat(NULL, NULL, now->library->blobs, "library-id", NULL, err);
    if (rc == EXIA_ENOTFOUND && now->library->id != NULL) {
        rc = exia__forgive(err);
        if (now->options.repair) {
            exia_source source = exia__source_memory(now->library->id, strlen(now->library->id));
            rc = exia__blobs_put(now->library->blobs, "library-id", &source, NULL, err);
            found.done = EXIA__MENDED;
        }
        return rc == EXIA_OK ? exia__check_tell(now, &found, err,
                                                "the blob that says whose they are is missing")
                             : rc;
    }
    exia__forgive(err);
    rc = exia__check_tell(now, &found, err, "%s", why.text);
    return rc == EXIA_OK ? EXIA_DONE : rc;
}

/* ---- logs ----------------------------------------------------------------------------------- */

static exia_status bad_entry(const char *model, int64_t seq, const exia_error *why, void *payload,
                             exia_error *err)
{
    exia__check *now = payload;
    exia__finding found = {"error", "log", *model != '\0' ? model : NULL, NULL, 0, EXIA__LEFT};
    now->broken = 1;
    exia_status rc = exia__json_set(now->told, model, json_true(), err);
    if (rc < 0)
        return rc;
    return seq > 0 ? exia__check_tell(now, &found, err, "entry %lld: %s", (long long)seq, why->text)
                   : exia__check_tell(now, &found, err, "%s", why->text);
}

static exia_status bad_record(const char *what, const char *model, int64_t version,
                              const char *text, int mended, void *payload, exia_error *err)
{
    exia__check *now = payload;
    int log = strcmp(what, "log") == 0;
    exia__finding found = {log ? "error" : "warning",         what, model, NULL, version,
                           mended ? EXIA__MENDED : EXIA__LEFT};
    now->broken |= log;
    return exia__check_tell(now, &found, err, "%s", text);
}

static exia_status check_model(const char *name, void *payload, exia_error *err)
{
    exia__check *now = payload;
    const exia__derived_report report = {bad_record, now, now->options.repair};
    return json_object_get(now->told, name)
               ? EXIA_OK
               : exia__rederive(now->library, name, &report, &now->work, err);
}

/* What is derived from each log that can be read. */
static exia_status check_derived(exia__check *now, exia_error *err)
{
    exia_status rc = exia__each_model(now->library, check_model, now, err);
    if (rc == EXIA_ECORRUPT && now->broken) /* a record that is no entry: it was told */
        rc = exia__forgive(err);
    return rc;
}

/* Told once, though the logs are read twice. */
static exia_status known_entry(const char *model, int64_t seq, const exia_error *why, void *payload,
                               exia_error *err)
{
    (void)model;
    (void)seq;
    (void)why;
    (void)payload;
    (void)err;
    return EXIA_OK;
}

static void forget(exia__check *now)
{
    exia__references_free(&now->references);
    exia__listing_free(&now->blobs);
    exia__marks_free(&now->marks);
}

/* The logs first: what is published after that has its blobs in the listing, too. */
static exia_status look(exia__check *now, exia__log_problem *problem, exia_error *err)
{
    forget(now);
    exia_status rc =
        exia__references_read(&now->references, now->library, problem, now, &now->work, err);
    exia_job job = exia__work_rest(&now->work);
    if (rc == EXIA_OK)
        rc = exia__blobs_now(&now->now_ms, now->library->blobs, &job, err);
    if (rc == EXIA_OK)
        rc = exia__listing_read(&now->blobs, now->library, "", &job, err);
    return rc == EXIA_OK ? exia__marks_read(&now->marks, now->library, &job, err) : rc;
}

exia_status exia__check_again(exia__check *now, exia_error *err)
{
    return look(now, known_entry, err);
}

/* ---- what nobody names ---------------------------------------------------------------------- */

static exia_status check_rest(exia__check *now, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < now->blobs.count && rc == EXIA_OK; i++) {
        const exia__listed *blob = &now->blobs.items[i];
        char hex[EXIA__HEX_SIZE];
        int ours = exia__blob_digest(hex, blob->key);
        exia__finding found = {"info",       ours ? "orphan" : "foreign", NULL, blob->key, 0,
                               EXIA__NOTHING};
        now->totals.bytes += blob->size;
        if (!ours && strcmp(blob->key, "library-id") != 0)
            rc = exia__check_tell(now, &found, err, "it is no blob of a library");
        /* a young one may be about to be named; with a broken log, nobody knows */
        if (ours && !now->broken && blob->modified_ms < now->now_ms - YOUNG_MS &&
            exia__references_find(&now->references, blob->key, EXIA__STANDS) == NULL)
            rc = exia__check_tell(now, &found, err, "no version names it: a collection removes it");
    }
    return rc;
}

static exia_status check_marks(exia__check *now, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < now->marks.count && rc == EXIA_OK; i++) {
        const exia__mark *mark = &now->marks.items[i];
        int live = exia__references_find(&now->references, mark->key, EXIA__STANDS) != NULL;
        exia__finding found = {"info", "mark", NULL, mark->key, 0, EXIA__NOTHING};
        if (mark->claim != NULL && mark->time_ms < now->now_ms - YOUNG_MS) {
            rc = exia__check_tell(
                now, &found, err,
                "a collector was stopped when it removed it: the key is not used again");
        } else if (mark->claim == NULL &&
                   (live || exia__listing_find(&now->blobs, mark->key) == NULL)) {
            found.done = now->options.repair ? EXIA__MENDED : EXIA__LEFT;
            if (now->options.repair)
                rc = exia__mark_drop(mark, now->library, NULL, err);
            if (rc == EXIA_OK)
                rc = exia__check_tell(now, &found, err, "a mark that no collector needs");
        }
    }
    return rc;
}

/* ---- all ------------------------------------------------------------------------------------ */

static exia_status run(exia__check *now, exia_error *err)
{
    exia_status rc = check_id(now, err);
    if (rc != EXIA_OK)
        return rc == EXIA_DONE ? EXIA_OK : rc;
    rc = look(now, bad_entry, err);
    now->totals.models = now->references.models;
    now->totals.entries = now->references.entries;
    if (rc == EXIA_OK)
        rc = check_derived(now, err);
    if (rc == EXIA_OK)
        rc = exia__check_blobs(now, err);
    if (rc == EXIA_OK)
        rc = check_rest(now, err);
    return rc == EXIA_OK ? check_marks(now, err) : rc;
}

exia_status exia_library_fsck(exia_rows **out, exia_fsck_totals *totals, exia_library *library,
                              const exia_fsck_options *options, const exia_job *job,
                              exia_error *err)
{
    exia__check now = {.library = library};
    if (out != NULL)
        *out = NULL;
    if (totals != NULL)
        *totals = (exia_fsck_totals){0};
    if (out == NULL || library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_library_fsck: an argument is NULL");
    exia_status rc = exia__options(&now.options, sizeof now.options, options, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&now.work, job, err);
    if (rc == EXIA_OK && library->read_only && now.options.repair)
        rc = exia__fail(err, EXIA_EDENIED, 0, "the library was opened read-only");
    if (rc == EXIA_OK && (now.told = json_object()) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&now.rows, err);
    if (rc == EXIA_OK)
        rc = run(&now, err);
    if (rc == EXIA_OK) {
        *out = now.rows;
        now.rows = NULL;
        if (totals != NULL)
            *totals = now.totals;
    }
    forget(&now);
    json_decref(now.told);
    exia_rows_free(now.rows);
    return rc;
}
