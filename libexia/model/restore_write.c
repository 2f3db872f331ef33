/* The second reading of a backup: the entries that this library lacks are added to its logs.  All of
 * them were checked by the first one, and what is read now must be the same.
 *
 * A store with batches gets many entries and what is derived from them in one step.  Where an entry is
 * applied by what the store says of older ones, those are written before it. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/restore.h"

/* Entries on their way. */
typedef struct adding {
    exia__restore *of;
    exia__fold *fold; /* behind them */
    exia__puts puts;
    json_t *entries; /* those that `puts` has, whose tokens it borrows */
} adding;

/* Name the keys under which the blobs lie here. */
static exia_status place_entry(const exia__restore *now, json_t *entry, exia_error *err)
{
    size_t i = 0;
    json_t *part = NULL;
    exia_status rc = EXIA_OK;
    json_array_foreach(json_object_get(json_object_get(entry, "version"), "parts"), i, part)
    {
        char hex[EXIA__HEX_SIZE] = "";
        const char *key = exia__json_string(part, "key");
        json_t *here = NULL;
        if (key != NULL && exia__blob_digest(hex, key))
            here = json_object_get(now->keys, hex);
        if (rc == EXIA_OK && here != NULL)
            rc = exia__json_set(part, "key", json_incref(here), err);
    }
    return rc;
}

/* The model as it stands here. */
static exia_status begin(adding *now, exia_error *err)
{
    exia_library *library = now->of->library;
    exia__fold *fold = NULL;
    exia_status rc = exia__library_lock(library, err);
    if (rc < 0)
        return rc;
    rc = exia__library_refresh(&fold, library, now->of->at->name, err);
    exia__fold_free(now->fold);
    now->fold = NULL;
    if (rc == EXIA_OK)
        rc = exia__fold_copy(&now->fold, fold, err);
    exia__library_unlock(library);
    return rc;
}

static exia_status flush(adding *now, exia_error *err)
{
    exia_library *library = now->of->library;
    exia_job job = exia__work_rest(&now->of->work);
    exia_status rc = EXIA_OK;
    if (now->puts.count == 0)
        return EXIA_OK;
    if (exia__records_can_batch(library->records))
        rc = exia__derived_puts(&now->puts, now->fold, err);
    if (rc == EXIA_OK)
        rc = exia__records_batch(library->records, now->puts.items, now->puts.count, &job, err);
    if (rc == EXIA_OK)
        now->of->at->stands = now->fold->head;
    exia__puts_free(&now->puts);
    json_array_clear(now->entries);
    return rc == EXIA_OK ? begin(now, err) : rc;
}

/* Entries that say something more of what an older one did. */
static int looks_back(const json_t *entry)
{
    static const char *const alone[] = {"publish", "move", "remove"};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        if (strcmp(exia__json_string(entry, "do"), alone[i]) == 0)
            return 0;
    }
    return 1;
}

static exia_status apply(adding *now, json_t *entry, exia_error *err)
{
    exia_status rc = exia__library_lock(now->of->library, err);
    if (rc < 0)
        return rc;
    rc = exia__fold_apply(now->fold, now->of->library, entry, err);
    exia__library_unlock(now->of->library);
    return rc;
}

static exia_status add_line(adding *now, int64_t seq, const char *line, size_t size,
                            exia_error *err)
{
    char key[EXIA__KEY_SIZE];
    json_t *entry = NULL;
    exia__log_key(key, now->of->at->name, seq);
    exia_status rc = exia__json_object(&entry, line, size, "a log entry", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = place_entry(now->of, entry, err);
    if (rc == EXIA_OK && looks_back(entry))
        rc = flush(now, err);
    if (rc == EXIA_OK && now->fold->head != seq - 1) /* the first reading found it so */
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "it changed meanwhile: restore again");
    if (rc == EXIA_OK)
        rc = apply(now, entry, err);
    if (rc == EXIA_OK)
        rc = exia__json_append(now->entries, json_incref(entry), err);
    if (rc == EXIA_OK)
        rc = exia__puts_add(&now->puts, "log", key, entry, EXIA_ABSENT,
                            exia__json_string(entry, "token"), err);
    json_decref(entry);
    return rc;
}

static exia_status write_lines(exia__restore *of, int64_t first, const char *text, size_t size,
                               exia_error *err)
{
    adding now = {.of = of, .entries = json_array()};
    exia_status rc = now.entries ? begin(&now, err) : exia__fail_memory(err);
    for (int64_t seq = first; rc == EXIA_OK && size > 0; seq++) {
        const char *end = memchr(text, '\n', size);
        if (seq > of->at->known)
            rc = add_line(&now, seq, text, (size_t)(end - text), err);
        size -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    if (rc == EXIA_OK)
        rc = flush(&now, err);
    exia__puts_free(&now.puts);
    exia__fold_free(now.fold);
    json_decref(now.entries);
    return rc;
}

exia_status exia__restore_log(const char *name, int64_t first, const char *text, size_t size,
                              void *payload, exia_error *err)
{
    exia__restore *now = payload;
    json_t *log = NULL;
    now->at = exia__incoming_find(now, name);
    const json_t *seen = now->at ? json_array_get(now->at->logs, now->at->written++) : NULL;
    int64_t last = json_integer_value(json_object_get(seen, "last"));
    exia_status rc = exia__incoming_log(&log, first, last, text, size, err);
    if (rc == EXIA_OK && !json_equal(seen, log)) /* what was checked is what is written */
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "the log of %s changed while it was read", name);
    json_decref(log);
    if (rc < 0 || !now->at->selected || last <= now->at->known)
        return rc;
    rc = write_lines(now, first, text, size, err);
    return rc < 0 ? exia__prefix(err, rc, "%s stands at entry %lld of %lld", name,
                                 (long long)now->at->stands, (long long)now->at->head)
                  : rc;
}
