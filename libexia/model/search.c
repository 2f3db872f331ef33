/* Rows of versions and of the log.  They come from the folds, which every call first brings up to date
 * with the log, so a search is never behind what was committed. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "model/library.h"
#include "store/filter.h"

/* A row of the answer, with what it is ordered by. */
typedef struct hit {
    const char *time, *name;
    int64_t number;
    json_t *row;
} hit;

typedef struct hits {
    hit *items;
    size_t count, capacity;
} hits;

static int newest_first(const void *a, const void *b)
{
    const hit *x = a, *y = b;
    int order = strcmp(y->time, x->time);
    if (order == 0)
        order = strcmp(x->name, y->name);
    return order ? order : (y->number > x->number) - (y->number < x->number);
}

static exia_status add_hits(hits *out, const exia__fold *fold, const exia__filter *filter,
                            exia_error *err)
{
    for (int64_t n = (int64_t)fold->version_count; n > 0; n--) {
        const exia__version *version = exia__fold_version(fold, n);
        if (version == NULL || !exia__filter_match(filter, version->row))
            continue;
        exia_status rc =
            exia__grow(&out->items, &out->capacity, out->count + 1, sizeof *out->items, err);
        if (rc < 0)
            return rc;
        out->items[out->count++] =
            (hit){exia__json_string(version->row, "time"), fold->name, n, version->row};
    }
    return EXIA_OK;
}

/* All under the lock: the rows belong to the folds. */
static exia_status collect(exia_rows **out, exia_library *library, const exia__filter *filter,
                           exia_error *err)
{
    hits found = {0};
    json_t *rows = json_array();
    exia__fold *fold = NULL;
    const char *name = exia__filter_equal(filter, "name");
    exia_status rc = rows ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && name == NULL) {
        rc = exia__library_refresh_all(library, err);
        for (size_t i = 0; i < library->fold_count && rc == EXIA_OK; i++)
            rc = add_hits(&found, library->folds[i], filter, err);
        if (found.count > 1)
            qsort(found.items, found.count, sizeof *found.items, newest_first);
    } else if (rc == EXIA_OK && exia__name_check(name, "model name", NULL) == EXIA_OK) {
        rc = exia__library_refresh(&fold, library, name, err);
        if (rc == EXIA_OK)
            rc = add_hits(&found, fold, filter, err);
    }
    for (size_t i = 0; i < found.count && rc == EXIA_OK; i++)
        rc = exia__json_append(rows, json_incref(found.items[i].row), err);
    if (rc == EXIA_OK)
        rc = exia__filter_rows(out, filter, rows, err);
    exia__release(found.items);
    json_decref(rows);
    return rc;
}

exia_status exia_library_search(exia_rows **out, exia_library *library, const char *filter,
                                exia_error *err)
{
    exia__filter *parsed = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_library_search: an argument is NULL");
    exia_status rc = exia__filter_parse(&parsed, filter, err);
    if (rc == EXIA_OK)
        rc = exia__filter_known(parsed,
                                "name, version, time, who, why, tags, metrics, params, parent, "
                                "environment, imports, parts, aliases",
                                err);
    if (rc == EXIA_OK)
        rc = exia__library_lock(library, err);
    if (rc == EXIA_OK) {
        rc = collect(out, library, parsed, err);
        exia__library_unlock(library);
    }
    exia__filter_free(parsed);
    return rc;
}

/* ---- history -------------------------------------------------------------------------------- */

static exia_status add_entry(int64_t seq, const json_t *entry, void *payload, exia_error *err)
{
    json_t *number = json_object_get(json_object_get(entry, "version"), "number");
    json_t *moves = json_object_get(entry, "moves");
    json_t *row =
        json_pack("{s:I, s:O, s:O, s:O, s:O?, s:O?, s:o}", "seq", (json_int_t)seq, "do",
                  json_object_get(entry, "do"), "time", json_object_get(entry, "time"), "who",
                  json_object_get(entry, "who"), "why", json_object_get(entry, "why"), "version",
                  number, "moves", moves ? json_incref(moves) : json_array());
    exia_status rc = row ? exia__rows_add(payload, row, err) : exia__fail_memory(err);
    json_decref(row);
    return rc;
}

exia_status exia_library_history(exia_rows **out, exia_library *library, const char *name,
                                 exia_error *err)
{
    exia_rows *rows = NULL;
    exia__fold *fold = NULL;
    int64_t last = 0;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_library_history: an argument is NULL");
    exia_status rc = exia__name_check(name, "model name", err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    if (rc == EXIA_OK)
        rc = exia__library_lock(library, err);
    if (rc == EXIA_OK) {
        rc = exia__library_refresh(&fold, library, name, err);
        if (rc == EXIA_OK)
            rc = exia__fold_missing(fold, err);
        if (rc == EXIA_OK)
            last = fold->head;
        exia__library_unlock(library);
    }
    if (rc == EXIA_OK)
        rc = exia__log_scan(library, name, last, add_entry, rows, err);
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    return rc;
}
