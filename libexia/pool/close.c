/* The end of a pool: lending stops, loans are waited for, objects go in reverse order of building.
 * What is still out is named; its return does the rest. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "pool/pool.h"

static void stop_lending(exia_pool *pool)
{
    pool->closing = true;
    for (size_t i = 0; i < pool->names.count; i++) {
        exia__homes_end(pool->components[i]);
        for (exia__waiter *w = pool->components[i]->first; w != NULL; w = w->next)
            pthread_cond_signal(&w->wake);
    }
}

/* "2 loans are out: 'db' taken at main.c:10, 'db' taken at main.c:20": as many as there is room. */
static void name_loans(char *out, size_t size, const exia_pool *pool)
{
    char shown[EXIA__SHOWN_SIZE];
    size_t used = (size_t)snprintf(out, size, "%zu loan%s out", pool->loans,
                                   pool->loans == 1 ? " is" : "s are");
    const char *before = ": ";
    for (size_t i = 0; i < pool->row_count; i++) {
        const exia_component *c = pool->rows[i];
        for (uint32_t k = 0; k < c->slot_count && used < size; k++) {
            const exia__slot *slot = exia__slot_at(c, k);
            if (slot->state != EXIA__LENT || slot->dependent != NULL)
                continue;
            const char *where = slot->where;
            used += (size_t)snprintf(out + used, size - used, "%s%s%s%s", before,
                                     exia__shown(shown, c->name), where ? " taken at " : "",
                                     where ? where : "");
            before = ", ";
        }
    }
}

static exia_status fail_open(const exia_pool *pool, exia_error *err)
{
    char loans[sizeof err->text] = "", calls[64] = "";
    size_t others = 0;
    for (const exia__call *call = pool->calls; call != NULL; call = call->next)
        others++;
    if (pool->loans > 0)
        name_loans(loans, sizeof loans, pool);
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
    call.closes = true;
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
        bool quiet = pool->loans == 0 && pool->working == 0;
        if (quiet || !in_time)
            exia__sweep(pool, &call);
        if (!in_time || (quiet && pool->newest == NULL))
            break;
        in_time = exia__cond_wait(&pool->quiet, &pool->lock, deadline);
    }
    pool->closers--;
    if (pool->newest != NULL || pool->loans > 0 || pool->working > 0)
        rc = fail_open(pool, err);
    exia__leave(pool, &call);
    return rc;
}

void exia_pool_free(exia_pool *pool)
{
    char loans[240] = "";
    if (pool == NULL)
        return;
    exia__call call = exia__call_here();
    call.closes = true;
    pthread_mutex_lock(&pool->lock);
    exia__enter(pool, &call);
    stop_lending(pool);
    pool->orphaned = true;
    if (pool->loans > 0) {
        name_loans(loans, sizeof loans, pool);
        pthread_mutex_unlock(&pool->lock);
        exia__log(EXIA_LOG_WARNING, "pool", "pool %s is freed while %s", pool->name, loans);
        pthread_mutex_lock(&pool->lock);
    }
    exia__leave(pool, &call);
}
