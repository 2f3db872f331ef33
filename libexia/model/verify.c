/* Reading many blobs and comparing them with their names, in threads: each takes the next blob of the
 * list.  The calling thread reports and, when its caller asks to stop, tells the others. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/upkeep.h"

enum { REPORT_NS = 100000000 };

typedef struct verifying {
    exia_library *library;
    exia__work *work;
    exia__checked *items;
    size_t count;
    uint64_t total;
    atomic_size_t next;
    atomic_uint_least64_t bytes;
    atomic_int stop;
    pthread_mutex_t lock; /* over `running` and `failed` */
    pthread_cond_t ended;
    uint32_t running;
    exia_error failed; /* the first failure that is ours and not a blob's: no memory */
} verifying;

typedef struct reading {
    verifying *all;
    exia__hash *hash;
    uint64_t size;
} reading;

static exia_status take(const void *data, size_t size, void *payload, exia_error *err)
{
    reading *now = payload;
    now->size += size;
    atomic_fetch_add_explicit(&now->all->bytes, size, memory_order_relaxed);
    if (atomic_load_explicit(&now->all->stop, memory_order_relaxed))
        return exia__fail(err, EXIA_ECANCELLED, 0, "the caller asked to stop");
    return exia__hash_update(now->hash, data, size, err);
}

static exia_status check_one(verifying *all, exia__hash *hash, exia__checked *item, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE], wanted[EXIA__HEX_SIZE];
    reading now = {all, hash, 0};
    exia_error why = {0};
    exia_status rc =
        exia__blobs_get(all->library->blobs, item->key, 0, INT64_MAX, take, &now, NULL, &why);
    if (rc == EXIA_ENOMEM || rc == EXIA_ECANCELLED)
        return exia__fail(err, rc, 0, "%s", why.text);
    exia_status finished = exia__hash_finish(digest, hash, err); /* it begins anew, too */
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

static void *work(void *payload)
{
    verifying *all = payload;
    exia_error why = {0};
    exia__hash *hash = NULL;
    exia_status rc = exia__hash_open(&hash, &why);
    for (;;) {
        size_t at = atomic_fetch_add_explicit(&all->next, 1, memory_order_relaxed);
        if (rc < 0 || at >= all->count || atomic_load(&all->stop))
            break;
        rc = check_one(all, hash, &all->items[at], &why);
    }
    exia__hash_free(hash);
    pthread_mutex_lock(&all->lock);
    if (rc < 0 && all->failed.status == EXIA_OK)
        all->failed = why;
    if (rc < 0)
        atomic_store(&all->stop, 1);
    all->running--;
    pthread_cond_signal(&all->ended);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

/* Until all have ended; what the caller answers to a report stops them. */
static exia_status watch(verifying *all, exia_error *err)
{
    exia_status rc = EXIA_OK;
    pthread_mutex_lock(&all->lock);
    while (all->running > 0) {
        exia__cond_wait(&all->ended, &all->lock, exia__clock_ns() + REPORT_NS);
        pthread_mutex_unlock(&all->lock);
        if (rc == EXIA_OK)
            rc = exia__work_step(all->work, "verifying", atomic_load(&all->bytes), all->total, err);
        if (rc < 0)
            atomic_store(&all->stop, 1);
        pthread_mutex_lock(&all->lock);
    }
    pthread_mutex_unlock(&all->lock);
    if (rc == EXIA_OK && all->failed.status < 0)
        rc = exia__fail(err, all->failed.status, all->failed.native, "%s", all->failed.text);
    return rc;
}

exia_status exia__blobs_verify(exia__checked *items, size_t count, uint64_t total,
                               exia_library *library, exia__work *job, exia_error *err)
{
    verifying all = {.library = library,
                     .work = job,
                     .items = items,
                     .count = count,
                     .total = total,
                     .lock = PTHREAD_MUTEX_INITIALIZER};
    uint32_t wanted = job->job.threads < count ? job->job.threads : (uint32_t)count, made = 0;
    sigset_t signals, before;
    if (count == 0)
        return EXIA_OK;
    exia_status rc = exia__cond_open(&all.ended, err);
    if (rc < 0)
        return rc;
    pthread_t *threads = exia__zeroed(wanted, sizeof *threads);
    if (threads == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    sigfillset(&signals); /* signals are the caller's */
    pthread_mutex_lock(&all.lock);
    pthread_sigmask(SIG_SETMASK, &signals, &before);
    while (made < wanted && pthread_create(&threads[made], NULL, work, &all) == 0)
        made++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    all.running = made;
    pthread_mutex_unlock(&all.lock);
    rc = made > 0 ? watch(&all, err)
                  : exia__fail(err, EXIA_EIO, 0, "no thread can be made to verify blobs");
    for (uint32_t i = 0; i < made; i++)
        pthread_join(threads[i], NULL);
done:
    pthread_cond_destroy(&all.ended);
    exia__release(threads);
    return rc;
}
