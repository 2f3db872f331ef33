/* The end of a pool: lending stops, loans are waited for, objects go in reverse order of building.
 * What is still out is named; its return does the rest. */
#include <stdio.h>

#include "base/error.h"
#include "pool/pool.h"

static void stop_lending(exia_pool *pool)
{
    pool->closing = true;
    for (size_t i = 0; i < pool->names.count; i++) {
        exia__homes_end(pool->components[i]);
        exia__queue_wake_all(pool->components[i]);
    }
}

static exia_status fail_open(const exia_pool *pool, exia_error *err)
{
    char loans[sizeof err->text] = "", calls[64] = "";
    size_t others = 0;
    for (const exia__call *call = pool->calls; call != NULL; call = call->next)
        others++;
    if (pool->loans > 0)
        exia__loans_name(loans, sizeof loans, pool);
    if (--others > 0) /* this one is not meant */
        snprintf(calls, sizeof calls, "%zu other call%s under way%s", others,
                 others == 1 ? " is" : "s are", pool->loans > 0 ? ", " : "");
    return exia__fail(err, EXIA_ETIMEOUT, 0, "pool %s: %s%s", pool->name, calls, loans);
}

exia_status exia_pool_close(exia_pool *pool, int64_t wait_ms, exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (pool == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_pool_close: pool is NULL");
    int64_t deadline = exia__deadline(wait_ms);
    bool in_time = true;
    exia__call call = exia__call_here();
    call.closes = call.closer = true;
    pthread_mutex_lock(&pool->lock);
    for (const exia__call *c = pool->calls; c != NULL && rc == EXIA_OK; c = c->next) {
        if (pthread_equal(c->thread, call.thread))
            rc = exia__fail(err, EXIA_EINVAL, 0,
                            "pool %s: a factory's function closes it and would wait for itself",
                            pool->name);
    }
    if (rc < 0) {
        pthread_mutex_unlock(&pool->lock);
        return rc;
    }
    exia__enter(pool, &call);
    stop_lending(pool);
    pool->closers++;
    for (;;) {
        bool quiet = pool->loans == pool->inherited && pool->working == 0;
        if (quiet || !in_time)
            exia__sweep(pool, &call, NULL, 0);
        if (!in_time || (quiet && (pool->newest == NULL || pool->inherited > 0)))
            break;
        in_time = exia__cond_wait(&pool->quiet, &pool->lock, deadline);
    }
    pool->closers--;
    if (pool->newest != NULL || pool->loans > 0 || pool->working > 0)
        rc = fail_open(pool, err);
    if (rc < 0)
        exia__loans_tell(pool, EXIA__CLOSED, exia__clock_ms());
    exia__leave(pool, &call);
    return rc;
}

void exia_pool_free(exia_pool *pool)
{
    if (pool == NULL)
        return;
    exia__call call = exia__call_here();
    call.closes = true;
    pthread_mutex_lock(&pool->lock);
    exia__enter(pool, &call);
    stop_lending(pool);
    pool->orphaned = true;
    exia__loans_tell(pool, EXIA__FREED, exia__clock_ms());
    exia__leave(pool, &call);
}
