/* The blobs that there are, in order of their keys. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/upkeep.h"

static exia_status found(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                         exia_error *err)
{
    exia__listing *out = payload;
    exia_status rc =
        exia__grow(&out->items, &out->capacity, out->count + 1, sizeof *out->items, err);
    if (rc < 0)
        return rc;
    exia__listed *made = &out->items[out->count];
    *made = (exia__listed){.size = size, .modified_ms = modified_ms};
    rc = exia__text_copy(&made->key, key, err);
    out->count += rc == EXIA_OK;
    return rc;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const exia__listed *)a)->key, ((const exia__listed *)b)->key);
}

exia_status exia__listing_read(exia__listing *out, exia_library *library, const char *prefix,
                               const exia_job *job, exia_error *err)
{
    *out = (exia__listing){0};
    exia_status rc = exia__blobs_list(library->blobs, prefix, found, out, job, err);
    if (rc < 0)
        exia__listing_free(out);
    else if (out->count > 1)
        qsort(out->items, out->count, sizeof *out->items, by_key);
    return rc;
}

const exia__listed *exia__listing_find(const exia__listing *listing, const char *key)
{
    const exia__listed wanted = {.key = (char *)(uintptr_t)key};
    return listing->count ? bsearch(&wanted, listing->items, listing->count, sizeof wanted, by_key)
                          : NULL;
}

size_t exia__listing_from(const exia__listing *listing, const char *key)
{
    size_t low = 0, high = listing->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(listing->items[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void exia__listing_free(exia__listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        exia__release(listing->items[i].key);
    exia__release(listing->items);
    *listing = (exia__listing){0};
}
