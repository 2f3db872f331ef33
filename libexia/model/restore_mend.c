/* After a restore: blobs that a collector marked before a log named them are stored anew under other
 * keys, and the logs say so, as a writer does after its commit. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/restore.h"

typedef struct mending {
    exia__restore *of;
    json_t *lost;    /* HEX -> size: what is to be stored anew */
    json_t *before;  /* HEX -> the key that is lost */
    json_t *repairs; /* [NUMBER, [{name, key}]] of one model */
} mending;

static exia_status find_lost(mending *now, exia_error *err)
{
    const char *hex = NULL;
    json_t *key = NULL;
    exia_status rc = EXIA_OK;
    json_object_foreach(now->before, hex, key)
    {
        int lost = 0;
        if (rc == EXIA_OK)
            rc = exia__blob_lost(&lost, now->of->library, json_string_value(key), err);
        if (rc == EXIA_OK && lost)
            rc = exia__json_set(now->lost, hex, json_incref(json_object_get(now->of->wanted, hex)),
                                err);
    }
    return rc;
}

/* They were read and checked before. */
static exia_status pass_log(const char *name, int64_t first, const char *text, size_t size,
                            void *payload, exia_error *err)
{
    (void)name, (void)first, (void)text, (void)size, (void)payload, (void)err;
    return EXIA_OK;
}

static exia_status pass_logs(void *payload, exia_error *err)
{
    (void)payload, (void)err;
    return EXIA_OK;
}

static exia_status pass_list(const json_t *list, void *payload, exia_error *err)
{
    (void)list, (void)payload, (void)err;
    return EXIA_OK;
}

/* The parts of a version that lay under a key that is lost, and lie under another one now. */
static exia_status note_version(int64_t seq, const json_t *entry, void *payload, exia_error *err)
{
    mending *now = payload;
    const json_t *version = json_object_get(entry, "version");
    json_t *part = NULL, *list = json_array();
    size_t i = 0;
    exia_status rc = list ? EXIA_OK : exia__fail_memory(err);
    (void)seq;
    json_array_foreach(json_object_get(version, "parts"), i, part)
    {
        char hex[EXIA__HEX_SIZE];
        const char *key = exia__json_string(part, "key");
        if (rc < 0 || key == NULL || !exia__blob_digest(hex, key))
            continue;
        json_t *here = json_object_get(now->of->keys, hex);
        const char *before = exia__json_string(now->before, hex);
        if (here != NULL && before != NULL && strcmp(before, key) == 0 &&
            strcmp(json_string_value(here), key) != 0)
            rc = exia__json_append(
                list, json_pack("{s:O, s:O}", "name", json_object_get(part, "name"), "key", here),
                err);
    }
    if (rc == EXIA_OK && json_array_size(list) > 0)
        rc = exia__json_append(now->repairs,
                               json_pack("[O, O]", json_object_get(version, "number"), list), err);
    json_decref(list);
    return rc;
}

static exia_status repair_model(mending *now, const exia__incoming *one, exia_error *err)
{
    size_t i = 0;
    json_t *repair = NULL;
    json_array_clear(now->repairs);
    exia_status rc = exia__log_scan(now->of->library, one->name, one->head, note_version, now, err);
    json_array_foreach(now->repairs, i, repair)
    {
        if (rc == EXIA_OK)
            rc = exia__repair_commit(now->of->library, one->name,
                                     json_integer_value(json_array_get(repair, 0)),
                                     json_array_get(repair, 1), NULL, err);
    }
    return rc;
}

exia_status exia__restore_mend(exia__restore *of, const char *path, exia_error *err)
{
    mending now = {.of = of, .lost = json_object(), .before = of->keys, .repairs = json_array()};
    const exia__unbundling again = {.log = pass_log,
                                    .logs_end = pass_logs,
                                    .blob = exia__restore_blob,
                                    .list = pass_list,
                                    .wanted = now.lost,
                                    .payload = of};
    exia_status rc = now.lost && now.repairs ? find_lost(&now, err) : exia__fail_memory(err);
    if (rc == EXIA_OK && json_object_size(now.lost) > 0) {
        of->keys = json_object();
        rc = of->keys ? exia__unbundle(path, &again, 0, &of->work, err) : exia__fail_memory(err);
        for (size_t i = 0; i < of->count && rc == EXIA_OK; i++) {
            if (of->models[i].selected)
                rc = repair_model(&now, &of->models[i], err);
        }
        json_decref(now.before);
    }
    json_decref(now.lost);
    json_decref(now.repairs);
    return rc < 0 ? exia__prefix(err, rc, "all is restored, but a collector marked some of it")
                  : rc;
}
