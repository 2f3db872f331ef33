/* Parts that lie under other keys than they were published with.  A collector may mark a blob after a
 * writer looked at it and before the log names it.  It reads the logs after it has written its marks,
 * so of the two one sees the other: a writer that sees a mark after its commit, or no blob any more,
 * stores the part anew under a key that no collector knows of, and adds a `repair` entry. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

enum { MOST_ROUNDS = 10 };

/* ---- the entry ------------------------------------------------------------------------------ */

typedef struct repairing {
    int64_t number;
    json_t *repairs;
} repairing;

static exia_status build_repair(json_t *entry, int64_t *result, exia__fold *fold, void *payload,
                                exia_error *err)
{
    const repairing *now = payload;
    *result = now->number;
    if (!exia__fold_has(fold, now->number))
        return EXIA_DONE; /* removed meanwhile */
    return exia__json_set(
        entry, "version",
        json_pack("{s:I, s:O}", "number", (json_int_t)now->number, "parts", now->repairs), err);
}

exia_status exia__repair_commit(exia_library *library, const char *name, int64_t number,
                                json_t *repairs, const char *message, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    int64_t result = 0;
    repairing now = {number, repairs};
    exia__intent intent = {"repair", token, message, 0, build_repair, &now, NULL};
    exia_status rc = exia__token(token, err);
    return rc < 0 ? rc : exia__library_commit(&result, library, name, &intent, err);
}

/* ---- after a publish ------------------------------------------------------------------------ */

/* Add {name, key} to `repairs` if the blob of this part was marked or is gone. */
static exia_status mend(exia__published *now, json_t *repairs, const json_t *stored,
                        const exia_part *part, exia_error *err)
{
    int lost = 0;
    json_t *again = NULL;
    const char *key = exia__json_string(stored, "key");
    if (key == NULL)
        return EXIA_OK;
    exia_status rc = exia__blob_lost(&lost, now->library, key, err);
    if (rc < 0 || !lost)
        return rc;
    rc = exia__part_store(&again, now->library, part, 0, NULL, now->work, err);
    if (rc == EXIA_OK &&
        strcmp(exia__json_string(again, "sha256"), exia__json_string(stored, "sha256")) != 0)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "part %s is not what it was at first", part->name);
    if (rc == EXIA_OK && strcmp(exia__json_string(again, "key"), key) != 0)
        rc = exia__json_append(
            repairs,
            json_pack("{s:s, s:O}", "name", part->name, "key", json_object_get(again, "key")), err);
    json_decref(again);
    return rc;
}

/* Look at every part once; `*clean`: nothing had to be done. */
static exia_status settle_once(int *clean, exia__published *now, exia_error *err)
{
    size_t i = 0;
    json_t *stored = NULL, *mended = NULL, *repairs = json_array();
    exia_status rc = repairs ? EXIA_OK : exia__fail_memory(err);
    json_array_foreach(now->stored, i, stored)
    {
        size_t k = 0; /* in the same order, unless a repeated call names others */
        while (k < now->part_count &&
               strcmp(exia__json_string(stored, "name"), now->parts[k].name) != 0)
            k++;
        if (rc == EXIA_OK && k < now->part_count)
            rc = mend(now, repairs, stored, &now->parts[k], err);
    }
    *clean = json_array_size(repairs) == 0;
    if (rc == EXIA_OK && !*clean)
        rc = exia__repair_commit(now->library, now->name, now->number, repairs, NULL, err);
    if (rc == EXIA_OK && !*clean)
        rc = exia__parts_repair(&mended, now->stored, repairs, err);
    if (mended != NULL) {
        json_decref(now->stored);
        now->stored = mended;
    }
    json_decref(repairs);
    return rc;
}

exia_status exia__published_settle(exia__published *now, exia_error *err)
{
    int clean = 0;
    exia_status rc = EXIA_OK;
    for (int round = 0; round < MOST_ROUNDS && rc == EXIA_OK && !clean; round++)
        rc = settle_once(&clean, now, err);
    if (rc == EXIA_OK && !clean)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "its blobs are marked again and again");
    return rc;
}
