/* What was done to a model, out of its log. */
#include "base/error.h"
#include "base/name.h"
#include "base/rows.h"
#include "model/library.h"

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
