/* Reading many blobs and comparing them with their names, several at a time. */
#include <stdatomic.h>
#include <string.h>

#include "base/crew.h"
#include "base/error.h"
#include "base/memory.h"
#include "model/upkeep.h"

typedef struct verifying {
    exia_library *library;
    exia__work *work;
    exia__checked *items;
    size_t count, next;
    uint64_t total;
    atomic_uint_least64_t bytes;
    exia__hash **hashes; /* one a hand */
} verifying;

typedef struct reading {
    verifying *all;
    const exia__hand *hand;
    uint64_t size;
} reading;

static exia_status add_piece(const void *data, size_t size, void *payload, exia_error *err)
{
    reading *now = payload;
    now->size += size;
    atomic_fetch_add_explicit(&now->all->bytes, size, memory_order_relaxed);
    exia_status rc = exia__crew_step(now->hand, err);
    return rc == EXIA_OK ? exia__hash_update(now->all->hashes[now->hand->index], data, size, err)
                         : rc;
}

static exia_status take(size_t slot, void *payload, exia_error *err)
{
    verifying *all = payload;
    (void)slot, (void)err;
    return all->next++ < all->count ? EXIA_OK : EXIA_DONE;
}

static exia_status check(size_t slot, exia__hand *hand, void *payload, exia_error *err)
{
    verifying *all = payload;
    exia__checked *item = &all->items[hand->item];
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE], wanted[EXIA__HEX_SIZE];
    reading now = {all, hand, 0};
    exia_error why = {0};
    (void)slot;
    exia_status rc =
        exia__blobs_get(all->library->blobs, item->key, 0, INT64_MAX, add_piece, &now, NULL, &why);
    if (rc == EXIA_ENOMEM || rc == EXIA_ECANCELLED)
        return exia__fail(err, rc, 0, "%s", why.text);
    exia_status finished = exia__hash_finish(digest, all->hashes[hand->index], err);
    if (finished < 0)
        return finished;
    item->size = now.size;
    if (rc == EXIA_ENOTFOUND) {
        item->state = EXIA__MISSING;
    } else if (rc < 0) {
        item->state = EXIA__UNREADABLE;
        return exia__text_copy(&item->why, why.text, err);
    } else {
        exia__hex(hex, digest, sizeof digest);
        item->state = exia__blob_digest(wanted, item->key) && strcmp(hex, wanted) == 0
                          ? EXIA__INTACT
                          : EXIA__ALTERED;
    }
    return EXIA_OK;
}

static exia_status report(void *payload, exia_error *err)
{
    verifying *all = payload;
    return exia__work_step(all->work, "verifying", atomic_load(&all->bytes), all->total, err);
}

exia_status exia__blobs_verify(exia__checked *items, size_t count, uint64_t total,
                               exia_library *library, exia__work *job, exia_error *err)
{
    verifying all = {
        .library = library, .work = job, .items = items, .count = count, .total = total};
    uint32_t threads = job->job.threads < count ? job->job.threads : (uint32_t)count;
    exia__crew crew = {threads, threads, take, check, NULL, report};
    exia_status rc = EXIA_OK;
    if (count == 0)
        return EXIA_OK;
    all.hashes = exia__zeroed(threads, sizeof(exia__hash *));
    if (all.hashes == NULL)
        return exia__fail_memory(err);
    for (uint32_t i = 0; i < threads && rc == EXIA_OK; i++)
        rc = exia__hash_open(&all.hashes[i], err);
    if (rc == EXIA_OK)
        rc = exia__crew_run(&crew, &all, err);
    for (uint32_t i = 0; i < threads; i++)
        exia__hash_free(all.hashes[i]);
    exia__release(all.hashes);
    return rc;
}
