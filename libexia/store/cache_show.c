/* The cache for people: what it holds, and to clear it. */
#include <jansson.h>

#include "base/error.h"
#include "base/json.h"
#include "exia/store.h"
#include "store/cache.h"

static exia_status show(char **out, int clear, exia_error *err)
{
    exia__cache cache = {.folder = -1};
    exia__cache_contents now = {0};
    exia__work work;
    json_t *told = NULL;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the cache: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__work_begin(&work, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__cache_open(&cache, err);
    if (rc == EXIA_OK)
        rc = exia__cache_count(&now, &cache, clear, &work, err);
    if (rc == EXIA_OK) {
        told = json_pack("{s:s, s:I, s:I, s:I, s:I}", "directory", cache.path, "limit",
                         (json_int_t)now.limit, "bytes", (json_int_t)now.bytes, "blobs",
                         (json_int_t)now.blobs, "freed", (json_int_t)now.freed);
        rc = told ? exia__json_text(out, told, err) : exia__fail_memory(err);
    }
    json_decref(told);
    exia__cache_close(&cache);
    return rc;
}

exia_status exia_cache_show(char **out, exia_error *err)
{
    return show(out, 0, err);
}

exia_status exia_cache_clear(char **out, exia_error *err)
{
    return show(out, 1, err);
}
