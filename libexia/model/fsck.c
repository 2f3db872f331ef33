/* Checking a library, and mending what can be mended.  Writers go on meanwhile, so what looks wrong at
 * first is looked at again, with the logs read anew, before it is told. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/rows.h"
#include "model/upkeep.h"

enum { YOUNG_MS = 60 * 60 * 1000 };

typedef struct check {
    exia_library *library;
    exia_fsck_options options;
    exia__work work;
    exia_rows *rows;
    exia_fsck_totals totals;
    exia__references references;
    exia__marks marks;
    exia__listing blobs;
    int64_t now_ms;
    int broken;   /* a log has an entry that cannot be read: what no version names may live */
    json_t *told; /* the models whose logs have such: name -> true */
    exia__checked *bad;
    size_t bad_count, bad_capacity;
} check;

/* ---- the report ----------------------------------------------------------------------------- */

typedef enum outcome { LEFT, MENDED, NOTHING } outcome; /* NOTHING: there is nothing to mend */

typedef struct finding {
    const char *severity, *what, *name, *key;
    int64_t version; /* 0: none */
    outcome done;
} finding;

__attribute__((format(printf, 4, 5))) static exia_status
tell(check *now, const finding *found, exia_error *err, const char *format, ...)
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
        found->done == NOTHING ? json_null() : json_boolean(found->done == MENDED));
    exia_status rc = row ? exia__rows_add(now->rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    if (found->done == MENDED)
        now->totals.repaired++;
    else if (strcmp(found->severity, "error") == 0)
        now->totals.errors++;
    else if (strcmp(found->severity, "warning") == 0)
        now->totals.warnings++;
    return rc;
}

/* ---- the id --------------------------------------------------------------------------------- */

/* EXIA_DONE: the blobs are another library's, and nothing else is worth asking. */
static exia_status check_id(check *now, exia_error *err)
{
    finding found = {"error", "id", NULL, "library-id", 0, LEFT};
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
            found.done = MENDED;
        }
        return rc == EXIA_OK
                   ? tell(now, &found, err, "the blob that says whose they are is missing")
                   : rc;
    }
    exia__forgive(err);
    rc = tell(now, &found, err, "%s", why.text);
    return rc == EXIA_OK ? EXIA_DONE : rc;
}

/* ---- logs ----------------------------------------------------------------------------------- */

static exia_status bad_entry(const char *model, int64_t seq, const exia_error *why, void *payload,
                             exia_error *err)
{
    check *now = payload;
    finding found = {"error", "log", *model != '\0' ? model : NULL, NULL, 0, LEFT};
    now->broken = 1;
    exia_status rc = exia__json_set(now->told, model, json_true(), err);
    if (rc < 0)
        return rc;
    return seq > 0 ? tell(now, &found, err, "entry %lld: %s", (long long)seq, why->text)
                   : tell(now, &found, err, "%s", why->text);
}

static exia_status bad_record(const char *what, const char *model, int64_t version,
                              const char *text, int mended, void *payload, exia_error *err)
{
    check *now = payload;
    int log = strcmp(what, "log") == 0;
    finding found = {log ? "error" : "warning", what, model, NULL, version, mended ? MENDED : LEFT};
    now->broken |= log;
    return tell(now, &found, err, "%s", text);
}

static exia_status check_model(const char *name, void *payload, exia_error *err)
{
    check *now = payload;
    const exia__derived_report report = {bad_record, now, now->options.repair};
    return json_object_get(now->told, name)
               ? EXIA_OK
               : exia__rederive(now->library, name, &report, &now->work, err);
}

/* What is derived from each log that can be read. */
static exia_status check_derived(check *now, exia_error *err)
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

static void forget(check *now)
{
    exia__references_free(&now->references);
    exia__listing_free(&now->blobs);
    exia__marks_free(&now->marks);
}

/* The logs first: what is published after that has its blobs in the listing, too. */
static exia_status look(check *now, exia__log_problem *problem, exia_error *err)
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

/* ---- what versions name --------------------------------------------------------------------- */

static exia_status add(exia__checked **items, size_t *count, size_t *capacity, const char *key,
                       exia_error *err)
{
    exia_status rc = exia__grow(items, capacity, *count + 1, sizeof **items, err);
    if (rc == EXIA_OK)
        (*items)[(*count)++] = (exia__checked){.key = key};
    return rc;
}

/* Keys outlive the listing that they come from. */
static exia_status suspect(check *now, const exia__checked *item, exia_error *err)
{
    char *copy = NULL;
    exia_status rc = exia__text_copy(&copy, item->key, err);
    if (rc == EXIA_OK)
        rc = add(&now->bad, &now->bad_count, &now->bad_capacity, copy, err);
    if (rc < 0)
        exia__release(copy);
    return rc;
}

static void forget_bad(check *now)
{
    for (size_t i = 0; i < now->bad_count; i++) {
        exia__release((char *)(uintptr_t)now->bad[i].key);
        exia__release(now->bad[i].why);
    }
    now->bad_count = 0;
}

static exia_status verify(check *now, exia__checked *items, size_t count, exia_error *err)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const exia__listed *blob = exia__listing_find(&now->blobs, items[i].key);
        total += blob ? blob->size : 0;
    }
    if (!now->options.quick)
        return exia__blobs_verify(items, count, total, now->library, &now->work, err);
    for (size_t i = 0; i < count; i++) {
        const exia__listed *blob = exia__listing_find(&now->blobs, items[i].key);
        items[i].state = blob ? EXIA__INTACT : EXIA__MISSING;
        items[i].size = blob ? blob->size : 0;
    }
    return EXIA_OK;
}

/* The keys that versions name, each once: parts as they are named, environments under all keys they
 * lie at, under the first one if at none. */
static exia_status collect(check *now, exia__checked **items, size_t *count, exia_error *err)
{
    size_t capacity = 0;
    const char *last = "";
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < now->references.count && rc == EXIA_OK; i++) {
        const exia__reference *named = &now->references.items[i];
        const char *key = exia__reference_text(&now->references, named->key);
        if (named->over || strcmp(last, key) == 0)
            continue;
        last = key;
        size_t first = *count, at = exia__listing_from(&now->blobs, key);
        for (; named->environment && rc == EXIA_OK && at < now->blobs.count &&
               exia__blob_same(now->blobs.items[at].key, key);
             at++)
            rc = add(items, count, &capacity, now->blobs.items[at].key, err);
        if (rc == EXIA_OK && *count == first)
            rc = add(items, count, &capacity, key, err);
    }
    return rc;
}

static int is_bad(const exia__checked *item, const exia__reference *named)
{
    return item->state != EXIA__INTACT || (named->size >= 0 && item->size != (uint64_t)named->size);
}

/* Of `items`, those that are bad, and named by a version: their keys go to `bad`. */
static exia_status sort_out(check *now, exia__checked *items, size_t count, exia_error *err)
{
    exia_status rc = verify(now, items, count, err);
    for (size_t i = 0; i < count; i++) {
        const exia__reference *named =
            exia__references_find(&now->references, items[i].key, EXIA__STANDS);
        if (rc == EXIA_OK && named != NULL && is_bad(&items[i], named))
            rc = suspect(now, &items[i], err);
        exia__release(items[i].why);
    }
    return rc;
}

static exia_status find_bad(check *now, exia_error *err)
{
    exia__checked *items = NULL;
    size_t count = 0;
    exia_status rc = collect(now, &items, &count, err);
    now->totals.blobs = count;
    if (rc == EXIA_OK)
        rc = sort_out(now, items, count, err);
    exia__release(items);
    if (rc < 0 || now->bad_count == 0)
        return rc;
    rc = look(now, known_entry,
              err); /* a version may have been removed, a part repaired meanwhile */
    return rc == EXIA_OK ? verify(now, now->bad, now->bad_count, err) : rc;
}

/* ---- copies --------------------------------------------------------------------------------- */

typedef struct copying {
    exia__blobs *blobs;
    const char *key;
    const exia_job *job;
    char *into;
} copying;

static exia_status copy_piece(const void *data, size_t size, void *payload, exia_error *err)
{
    copying *now = payload;
    (void)err;
    memcpy(now->into, data, size);
    now->into += size;
    return EXIA_OK;
}

static exia_status read_copy(void *into, uint64_t offset, size_t size, void *payload,
                             exia_error *err)
{
    copying now = *(const copying *)payload;
    now.into = into;
    return exia__blobs_get(now.blobs, now.key, offset, size, copy_piece, &now, now.job, err);
}

/* Another key with the same bytes, which are read; `copy->key` NULL: none. */
static exia_status find_copy(exia__checked *copy, check *now, const exia__checked *item,
                             exia_error *err)
{
    char hex[EXIA__HEX_SIZE], base[sizeof EXIA__BLOB_PREFIX + EXIA__HEX_SIZE + 3];
    exia_status rc = EXIA_OK;
    *copy = (exia__checked){0};
    if (!exia__blob_digest(hex, item->key))
        return EXIA_OK;
    snprintf(base, sizeof base, EXIA__BLOB_PREFIX "%.2s/%s", hex, hex);
    for (size_t at = exia__listing_from(&now->blobs, base);
         rc == EXIA_OK && copy->state != EXIA__INTACT && at < now->blobs.count &&
         exia__blob_same(now->blobs.items[at].key, base);
         at++) {
        const exia__listed *blob = &now->blobs.items[at];
        *copy = (exia__checked){.key = blob->key};
        if (strcmp(blob->key, item->key) != 0)
            rc = exia__blobs_verify(copy, 1, blob->size, now->library, &now->work, err);
        exia__release(copy->why);
        copy->why = NULL;
    }
    if (copy->state != EXIA__INTACT)
        copy->key = NULL;
    return rc;
}

/* Make the copy's bytes stand where they may be named: `*key`. */
static exia_status use_copy(char **key, check *now, const exia__checked *item,
                            const exia__checked *copy, exia_error *err)
{
    char hex[EXIA__HEX_SIZE];
    exia_job job = exia__work_rest(&now->work);
    copying from = {now->library->blobs, copy->key, &job, NULL};
    exia_source source = {read_copy, copy->size, hex, &from};
    exia__blob_digest(hex, copy->key);
    return exia__blob_store_not(key, now->library, &source,
                                item->state == EXIA__MISSING ? NULL : item->key, &job, err);
}

static exia_status name_copy(check *now, const exia__reference *named, const char *old_key,
                             const char *key, exia_error *err)
{
    int lost = 0;
    const char *part = exia__reference_text(&now->references, named->part);
    json_t *repairs = json_pack("[{s:s, s:s}]", "name", part, "key", key);
    char *message = NULL;
    exia_status rc = repairs
                         ? exia__text_format(&message, err, "the bytes at %s were lost", old_key)
                         : exia__fail_memory(err);
    if (rc == EXIA_OK && strcmp(old_key, key) != 0)
        rc = exia__repair_commit(now->library, exia__reference_text(&now->references, named->model),
                                 named->number, repairs, message, err);
    if (rc == EXIA_OK)
        rc = exia__blob_lost(&lost, now->library, key, err);
    if (rc == EXIA_OK && lost)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "a collector took %s: repair once more", key);
    exia__release(message);
    json_decref(repairs);
    return rc;
}

/* ---- bad blobs ------------------------------------------------------------------------------ */

static void describe(char out[300], const exia__checked *item, const exia__reference *named)
{
    if (item->state == EXIA__MISSING)
        snprintf(out, 300, "its bytes are missing");
    else if (item->state == EXIA__UNREADABLE)
        snprintf(out, 300, "its bytes cannot be read: %.240s", item->why);
    else if (named->size >= 0 && item->size != (uint64_t)named->size)
        snprintf(out, 300, "it has %llu of %lld bytes", (unsigned long long)item->size,
                 (long long)named->size);
    else
        snprintf(out, 300, "its bytes are not those that were written");
}

static exia_status tell_bad(check *now, const exia__checked *item, const exia__reference *named,
                            const exia__checked *copy, outcome done, exia_error *err)
{
    char text[300];
    const char *part = exia__reference_text(&now->references, named->part);
    const char *rest = done == MENDED       ? "; a copy stands in"
                       : copy->key == NULL  ? "; no copy is left: restore it from a backup"
                       : named->environment ? "; a copy stands in"
                                            : "; a copy is there, which a repair takes";
    finding found = {named->environment && copy->key ? "warning" : "error",
                     item->state == EXIA__MISSING      ? "missing"
                     : item->state == EXIA__UNREADABLE ? "unreadable"
                                                       : "altered",
                     exia__reference_text(&now->references, named->model),
                     item->key,
                     named->number,
                     named->environment && copy->key ? NOTHING : done};
    describe(text, item, named);
    return tell(now, &found, err, "%s%s: %s%s", named->environment ? "environment" : "part ", part,
                text, rest);
}

static exia_status mend(check *now, const exia__checked *item, exia_error *err)
{
    exia__checked copy;
    char *key = NULL;
    size_t i = 0;
    const exia__reference *items = now->references.items,
                          *named = exia__references_find(&now->references, item->key, EXIA__STANDS);
    if (named == NULL || !is_bad(item, named))
        return EXIA_OK; /* all is well by now */
    exia_status rc = find_copy(&copy, now, item, err);
    if (rc == EXIA_OK && copy.key != NULL && !named->environment && now->options.repair)
        rc = use_copy(&key, now, item, &copy, err);
    const char *name = exia__reference_text(&now->references, named->key);
    while (i < now->references.count &&
           strcmp(exia__reference_text(&now->references, items[i].key), name) != 0)
        i++;
    for (; i < now->references.count && rc == EXIA_OK &&
           strcmp(exia__reference_text(&now->references, items[i].key), name) == 0;
         i++) {
        if (items[i].over)
            continue;
        if (key != NULL && !items[i].environment)
            rc = name_copy(now, &items[i], item->key, key, err);
        if (rc == EXIA_OK)
            rc = tell_bad(now, item, &items[i], &copy, key ? MENDED : LEFT, err);
    }
    exia__release(key);
    return rc;
}

static exia_status check_blobs(check *now, exia_error *err)
{
    exia_status rc = find_bad(now, err);
    for (size_t i = 0; i < now->bad_count && rc == EXIA_OK; i++)
        rc = mend(now, &now->bad[i], err);
    return rc;
}

/* ---- what nobody names ---------------------------------------------------------------------- */

static exia_status check_rest(check *now, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < now->blobs.count && rc == EXIA_OK; i++) {
        const exia__listed *blob = &now->blobs.items[i];
        char hex[EXIA__HEX_SIZE];
        int ours = exia__blob_digest(hex, blob->key);
        finding found = {"info", ours ? "orphan" : "foreign", NULL, blob->key, 0, NOTHING};
        now->totals.bytes += blob->size;
        if (!ours && strcmp(blob->key, "library-id") != 0)
            rc = tell(now, &found, err, "it is no blob of a library");
        /* a young one may be about to be named; with a broken log, nobody knows */
        if (ours && !now->broken && blob->modified_ms < now->now_ms - YOUNG_MS &&
            exia__references_find(&now->references, blob->key, EXIA__STANDS) == NULL)
            rc = tell(now, &found, err, "no version names it: a collection removes it");
    }
    return rc;
}

static exia_status check_marks(check *now, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < now->marks.count && rc == EXIA_OK; i++) {
        const exia__mark *mark = &now->marks.items[i];
        int live = exia__references_find(&now->references, mark->key, EXIA__STANDS) != NULL;
        finding found = {"info", "mark", NULL, mark->key, 0, NOTHING};
        if (mark->claim != NULL && mark->time_ms < now->now_ms - YOUNG_MS) {
            rc = tell(now, &found, err,
                      "a collector was stopped when it removed it: the key is not used again");
        } else if (mark->claim == NULL &&
                   (live || exia__listing_find(&now->blobs, mark->key) == NULL)) {
            found.done = now->options.repair ? MENDED : LEFT;
            if (now->options.repair)
                rc = exia__mark_drop(mark, now->library, NULL, err);
            if (rc == EXIA_OK)
                rc = tell(now, &found, err, "a mark that no collector needs");
        }
    }
    return rc;
}

/* ---- all ------------------------------------------------------------------------------------ */

static exia_status run(check *now, exia_error *err)
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
        rc = check_blobs(now, err);
    if (rc == EXIA_OK)
        rc = check_rest(now, err);
    return rc == EXIA_OK ? check_marks(now, err) : rc;
}

exia_status exia_library_fsck(exia_rows **out, exia_fsck_totals *totals, exia_library *library,
                              const exia_fsck_options *options, const exia_job *job,
                              exia_error *err)
{
    check now = {.library = library};
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
    forget_bad(&now);
    json_decref(now.told);
    exia__release(now.bad);
    exia_rows_free(now.rows);
    return rc;
}
