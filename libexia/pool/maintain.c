/* Maintenance: what is idle for too long or too old goes, what should be there is built, who keeps a
 * loan for too long is told.  Borrowing reads no clock.  A tick compares the number of loans of each
 * slot with what the tick before saw: what has not moved has been so since then. */
#include "base/error.h"
#include "pool/pool.h"

static void look_at_object(exia__object *object, int64_t now_ms)
{
    exia_component *c = object->component;
    const exia__recipe *recipe = object->recipe;
    uint64_t loans = object->slot ? object->slot->generation : exia__component_hits(c);
    if (object->born_ms == 0)
        object->born_ms = now_ms;
    if (!exia__object_idle(object))
        object->idle_ms = 0;
    else if (object->idle_ms == 0 || loans != object->seen)
        object->idle_ms = now_ms;
    object->seen = loans;
    if (object->idle_ms == 0 && recipe->life_ms > 0 &&
        now_ms - object->born_ms >= recipe->life_ms) {
        object->stale = true; /* it goes at its return */
        if (c->current == object)
            c->current = NULL;
    }
}

static void look(exia_pool *pool, int64_t now_ms)
{
    for (size_t i = 0; i < pool->row_count; i++) {
        exia_component *c = pool->rows[i];
        exia__homes_end(c);
        uint64_t hits = exia__component_hits(c);
        if (hits != c->seen)
            c->last_hit = pool->ticks;
        c->seen = hits;
        for (uint32_t k = 0; k < c->slot_count; k++) {
            exia__slot *slot = exia__slot_at(c, k);
            if (slot->state == EXIA__LENT)
                exia__loan_watch(c, slot, now_ms);
        }
    }
    for (exia__object *object = pool->newest; object != NULL; object = object->older) {
        if (object->component != NULL)
            look_at_object(object, now_ms);
    }
    pool->ticks++;
}

/* Is this idle object to go?  It may have been lent and given back since it was looked at. */
static bool is_over(exia__object *object, int64_t now_ms)
{
    exia_component *c = object->component;
    const exia__recipe *recipe = object->recipe;
    uint64_t loans = object->slot ? object->slot->generation : exia__component_hits(c);
    uint32_t idle = object->slot ? c->idle_count : 1;
    bool too_old =
        recipe->life_ms > 0 && object->born_ms > 0 && now_ms - object->born_ms >= recipe->life_ms;
    bool too_idle = recipe->idle_ms > 0 && object->idle_ms > 0 && loans == object->seen &&
                    now_ms - object->idle_ms >= recipe->idle_ms && idle > recipe->min_idle;
    c->expired += too_old || too_idle;
    return too_old || too_idle;
}

/* Is an idle object missing, and room for it?  Who waits takes the room himself. */
static bool is_short(const exia_component *c)
{
    const exia__recipe *recipe = c->recipe;
    if (c->pool->closing || c->first != NULL)
        return false;
    if (recipe->max == 0)
        return recipe->min_idle > 0 && c->current == NULL && c->busy == NULL;
    return exia__component_idle(c) < recipe->min_idle && c->taken < recipe->max;
}

static exia_status build_idle(exia_component *c, exia__call *call, exia_error *err)
{
    exia__recipe *recipe = c->recipe;
    exia__object *ends = NULL;
    exia__slot *slot;
    exia_status rc = exia__slot_open(&slot, c, recipe, call, err);
    if (rc < 0)
        return rc;
    if (recipe->max == 0)
        c->busy = call;
    rc = exia__build(c, recipe, slot, call, exia__deadline(0), err);
    if (rc < 0)
        return rc;
    exia__settle(c, slot, call, &ends);
    exia__end(c->pool, ends, call);
    return EXIA_OK;
}

/* A failure is for the log, and ends the attempts of this tick. */
static void refill(exia_component *c, exia__call *call)
{
    exia_error why;
    exia_status rc = EXIA_OK;
    for (uint32_t tries = c->recipe->min_idle; tries > 0 && rc == EXIA_OK && is_short(c); tries--)
        rc = build_idle(c, call, &why);
    if (rc == EXIA_OK)
        return;
    pthread_mutex_unlock(&c->pool->lock);
    exia__log(EXIA_LOG_WARNING, "pool", "pool %s keeps fewer objects idle than it should: %s",
              c->pool->name, why.text);
    pthread_mutex_lock(&c->pool->lock);
}

exia_status exia_pool_maintain(exia_pool *pool, exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (pool == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_pool_maintain: pool is NULL");
    int64_t now_ms = exia__clock_ms();
    exia__call call = exia__call_here();
    call.maintains = true;
    pthread_mutex_lock(&pool->lock);
    for (const exia__call *c = pool->calls; c != NULL && rc == EXIA_OK; c = c->next) {
        if (c->maintains && pthread_equal(c->thread, call.thread))
            rc = exia__fail(err, EXIA_EINVAL, 0,
                            "pool %s: a factory that maintenance calls maintains it", pool->name);
    }
    if (rc < 0) {
        pthread_mutex_unlock(&pool->lock);
        return rc;
    }
    exia__enter(pool, &call);
    look(pool, now_ms);
    exia__sweep(pool, &call, is_over, now_ms);
    exia__loans_tell(pool, EXIA__OVERDUE, now_ms);
    for (size_t i = 0; i < pool->row_count; i++)
        refill(pool->rows[i], &call);
    exia__leave(pool, &call);
    return EXIA_OK;
}
