/* Fork: all pools are locked over it, so the child finds each of them whole, but without the threads
 * that were at work in it.  Their calls are struck out; what they were building, checking or ending
 * is abandoned, as its state is not known: its memory is lost, its slot is free again.  No function
 * of a factory is called here. */
#include "pool/pool.h"

static struct {
    pthread_mutex_t lock; /* taken before that of a pool; nobody who has one asks for it */
    exia_pool *first;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

void exia__fork_join(exia_pool *pool)
{
    pthread_mutex_lock(&all.lock);
    pool->next = all.first;
    if (pool->next != NULL)
        pool->next->previous = pool;
    all.first = pool;
    pthread_mutex_unlock(&all.lock);
}

void exia__fork_leave(exia_pool *pool)
{
    pthread_mutex_lock(&all.lock);
    if (pool->next != NULL)
        pool->next->previous = pool->previous;
    if (pool->previous != NULL)
        pool->previous->next = pool->next;
    else
        all.first = pool->next;
    pthread_mutex_unlock(&all.lock);
}

/* ---- in the child ---------------------------------------------------------------------------- */

static bool is_gone(const exia__call *call)
{
    return call != NULL && !pthread_equal(call->thread, pthread_self());
}

/* Who had this need for life is abandoned by `call`.  So is an object that nobody else has; it is
 * older, and is met later. */
static void take_back(exia__slot *slot, exia__call *call)
{
    exia__object *object = slot->object;
    exia_component *c = object->component;
    exia__slot_count(c, slot, -1);
    slot->dependent = NULL;
    if (object->recipe->max == 0)
        exia__slot_free(c, slot);
    if (object->recipe->max > 0 || (object->stale && object->holders == 0))
        object->call = call;
}

static void abandon(exia__object *object, exia__call *call)
{
    exia_component *c = object->component;
    for (uint32_t i = 0; i < object->need_count; i++) {
        const exia_lease *lease = &object->needs[i];
        exia__slot *slot = exia__slot_at(lease->component, exia__ticket_index(lease->ticket));
        if (slot->state == EXIA__LENT && slot->dependent == object)
            take_back(slot, call);
    }
    exia__object_unlink(c->pool, object);
    c->destroyed++;
    if (c->current == object)
        c->current = NULL;
    if (object->slot != NULL)
        exia__slot_free(c, object->slot);
}

static void clear_slot(exia_component *c, exia__slot *slot)
{
    if (slot->state == EXIA__BUSY && is_gone(slot->call)) {
        if (slot->object != NULL && slot->object->recipe->max > 0)
            slot->object->call = slot->call; /* goes with its object */
        else
            exia__slot_free(c, slot);
    } else if (slot->state == EXIA__LENT && slot->dependent == NULL) {
        c->pool->inherited += !slot->inherited;
        slot->inherited = true;
    } else if (slot->state == EXIA__LENT && is_gone(slot->dependent->call)) {
        take_back(slot, slot->dependent->call);
    }
}

/* Only who forked when it was asked whether to go on, still waits. */
static void clear_queue(exia_component *c)
{
    exia__waiter *next, *waiter = c->first;
    if (waiter == NULL)
        return;
    c->first = c->last = NULL;
    c->waiting = 0;
    for (; waiter != NULL; waiter = next) {
        next = waiter->next;
        if (waiter->call != NULL && !is_gone(waiter->call))
            exia__queue_join(c, waiter);
    }
}

/* A page that is written to is copied: what is at rest is only looked at. */
static void clear_component(exia_component *c)
{
    clear_queue(c);
    if (c->pool->calls != NULL || exia__homes_lent(c) > 0)
        exia__homes_end(c);
    if (is_gone(c->busy))
        c->busy = NULL;
    if (c->lent == 0 && c->pool->calls == NULL)
        return;
    for (uint32_t i = 0; i < c->slot_count; i++)
        clear_slot(c, exia__slot_at(c, i));
}

static void clear_objects(exia_pool *pool)
{
    exia__object *older;
    for (exia__object *object = pool->newest; object != NULL; object = older) {
        older = object->older;
        if (is_gone(object->call) && object->component == NULL)
            exia__object_unlink(pool, object); /* a mark */
        else if (is_gone(object->call))
            abandon(object, object->call);
    }
}

static void clear_calls(exia_pool *pool)
{
    exia__call **link = &pool->calls, *last = NULL;
    for (exia__call *call = pool->calls; call != NULL; call = call->next) {
        if (is_gone(call)) {
            pool->working -= !call->closes;
            pool->closers -= call->closer;
            continue;
        }
        *link = call;
        call->previous = last;
        link = &call->next;
        last = call;
    }
    *link = NULL;
}

static void clear_pool(exia_pool *pool)
{
    for (size_t i = 0; i < pool->names.count; i++)
        clear_component(pool->components[i]);
    if (pool->calls == NULL && pool->places == NULL)
        return;
    clear_objects(pool);
    exia__places_end(pool, is_gone);
    clear_calls(pool);
    exia__cond_open(&pool->quiet, NULL); /* who waited there is gone */
}

/* ---- around it ------------------------------------------------------------------------------- */

static void before_fork(void)
{
    pthread_mutex_lock(&all.lock);
    for (exia_pool *pool = all.first; pool != NULL; pool = pool->next)
        pthread_mutex_lock(&pool->lock);
}

static void in_parent(void)
{
    for (exia_pool *pool = all.first; pool != NULL; pool = pool->next)
        pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&all.lock);
}

static void in_child(void)
{
    for (exia_pool *pool = all.first; pool != NULL; pool = pool->next)
        clear_pool(pool);
    in_parent();
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}
