/* A check of the blobs that versions name.  What looks bad is looked at once more with the logs read
 * anew; what is bad then gets a copy with the same bytes in its place, where there is one. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/fsck.h"

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
static exia_status suspect(exia__check *now, const exia__checked *item, exia_error *err)
{
    char *copy = NULL;
    exia_status rc = exia__text_copy(&copy, item->key, err);
    if (rc == EXIA_OK)
        rc = add(&now->bad, &now->bad_count, &now->bad_capacity, copy, err);
    if (rc < 0)
        exia__release(copy);
    return rc;
}

static void forget_bad(exia__check *now)
{
    for (size_t i = 0; i < now->bad_count; i++) {
        exia__release((char *)(uintptr_t)now->bad[i].key);
        exia__release(now->bad[i].why);
    }
    exia__release(now->bad);
    now->bad = NULL;
    now->bad_count = now->bad_capacity = 0;
}

static exia_status verify(exia__check *now, exia__checked *items, size_t count, exia_error *err)
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
static exia_status collect(exia__check *now, exia__checked **items, size_t *count, exia_error *err)
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
static exia_status sort_out(exia__check *now, exia__checked *items, size_t count, exia_error *err)
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

static exia_status find_bad(exia__check *now, exia_error *err)
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
    rc = exia__check_again(now,
                           err); /* a version may have been removed, a part repaired meanwhile */
    return rc == EXIA_OK ? verify(now, now->bad, now->bad_count, err) : rc;
}

/* ---- copies --------------------------------------------------------------------------------- */

typedef struct copying {
    exia__blobs *blobs;
    const char *key;
    const exia_job *job;
    char *into;
    size_t left;
} copying;

static exia_status copy_piece(const void *data, size_t size, void *payload, exia_error *err)
{
    copying *now = payload;
    if (size > now->left)
        return exia__fail(err, EXIA_EIO, 0, "%s gives more than was asked for", now->key);
    memcpy(now->into, data, size);
    now->into += size;
    now->left -= size;
    return EXIA_OK;
}

static exia_status read_copy(void *into, uint64_t offset, size_t size, void *payload,
                             exia_error *err)
{
    copying now = *(const copying *)payload;
    now.into = into;
    now.left = size;
    exia_status rc =
        exia__blobs_get(now.blobs, now.key, offset, size, copy_piece, &now, now.job, err);
    if (rc == EXIA_OK && now.left > 0)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "%s was cut short meanwhile", now.key);
    return rc;
}

/* Another key with the same bytes, which are read; `copy->key` NULL: none. */
static exia_status find_copy(exia__checked *copy, exia__check *now, const exia__checked *item,
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
static exia_status use_copy(char **key, exia__check *now, const exia__checked *item,
                            const exia__checked *copy, exia_error *err)
{
    char hex[EXIA__HEX_SIZE];
    exia_job job = exia__work_rest(&now->work);
    copying from = {now->library->blobs, copy->key, &job, NULL, 0};
    exia_source source = {read_copy, copy->size, hex, &from};
    exia__blob_digest(hex, copy->key);
    return exia__blob_store_not(key, now->library, &source,
                                item->state == EXIA__MISSING ? NULL : item->key, &job, err);
}

static exia_status name_copy(exia__check *now, const exia__reference *named, const char *old_key,
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

static exia_status tell_bad(exia__check *now, const exia__checked *item,
                            const exia__reference *named, const exia__checked *copy,
                            exia__outcome done, exia_error *err)
{
    char text[300];
    const char *part = exia__reference_text(&now->references, named->part);
    const char *rest = done == EXIA__MENDED ? "; a copy stands in"
                       : copy->key == NULL  ? "; no copy is left: restore it from a backup"
                       : named->environment ? "; a copy stands in"
                                            : "; a copy is there, which a repair takes";
    exia__finding found = {named->environment && copy->key ? "warning" : "error",
                           item->state == EXIA__MISSING      ? "missing"
                           : item->state == EXIA__UNREADABLE ? "unreadable"
                                                             : "altered",
                           exia__reference_text(&now->references, named->model),
                           item->key,
                           named->number,
                           named->environment && copy->key ? EXIA__NOTHING : done};
    describe(text, item, named);
    return exia__check_tell(now, &found, err, "%s%s: %s%s",
                            named->environment ? "environment" : "part ", part, text, rest);
}

static exia_status mend(exia__check *now, const exia__checked *item, exia_error *err)
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
            rc = tell_bad(now, item, &items[i], &copy, key ? EXIA__MENDED : EXIA__LEFT, err);
    }
    exia__release(key);
    return rc;
}

exia_status exia__check_blobs(exia__check *now, exia_error *err)
{
    exia_status rc = find_bad(now, err);
    for (size_t i = 0; i < now->bad_count && rc == EXIA_OK; i++)
        rc = mend(now, &now->bad[i], err);
    forget_bad(now);
    return rc;
}
