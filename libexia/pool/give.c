/* Giving back, and ending objects.  An object that ends gives back what it needed, which may end
 * that, too: a list of objects to end takes the place of recursion. */
#include "base/error.h"
#include "base/memory.h"
#include "pool/home.h"

exia_status exia__ask(exia_status (*function)(void *object, void *payload, exia_error *err),
                      void *object, void *payload, exia_error *err)
{
    *err = (exia_error){0};
    exia_status rc = function ? function(object, payload, err) : EXIA_OK;
    if (rc < 0)
        exia__filled(err, rc);
    return rc < 0 ? rc : EXIA_OK;
}

/* Without the lock.  @return whether it could be done */
static bool passivate(const exia__object *object)
{
    const exia_factory *factory = &object->recipe->factory;
    exia_error why;
    if (exia__ask(factory->passivate, object->object, factory->payload, &why) == EXIA_OK)
        return true;
    exia__log(EXIA_LOG_WARNING, "pool", "component %s: an object is dropped: %s",
              object->component->name, why.text);
    return false;
}

void exia__doom(exia__object **ends, exia__object *object, exia__call *call)
{
    object->call = call;
    object->next = *ends;
    *ends = object;
}

/* What it needs and is stale would go with it, and let go what that needs, and so on. */
void exia__wake_rivals(exia__object *object)
{
    uint64_t number = ++object->component->pool->questions;
    exia__object *list = object;
    for (object->next = NULL; list != NULL;) {
        const exia__object *keeper = list;
        list = list->next;
        for (uint32_t i = 0; i < keeper->need_count; i++) {
            exia_component *c = keeper->needs[i].component;
            exia__object *kept =
                exia__slot_at(c, exia__ticket_index(keeper->needs[i].ticket))->object;
            exia__queue_wake_all(c);
            if (!kept->stale || kept->asked == number)
                continue;
            kept->asked = number;
            kept->next = list;
            list = kept;
        }
    }
}

static void give_shared(exia_component *c, exia__slot *slot, bool discard, exia__call *call,
                        exia__object **ends)
{
    exia__object *object = slot->object;
    bool was_current = c->current == object;
    exia__slot_free(c, slot);
    if (discard && was_current) {
        exia__homes_end(c); /* so that all holders are known */
        object->stale = true;
        c->current = NULL;
    }
    if (object->holders > 0 || !object->stale) {
        if (object->stale)
            exia__wake_rivals(object);
        return;
    }
    if (was_current) { /* nobody else has it: the next one is made when it is gone */
        object->exclusive = true;
        c->busy = call;
    }
    exia__doom(ends, object, call);
}

void exia__give(exia_component *c, exia__slot *slot, bool discard, exia__call *call,
                exia__object **ends)
{
    exia__slot_count(c, slot, -1);
    c->pool->inherited -= slot->inherited;
    slot->inherited = false;
    slot->dependent = NULL;
    atomic_store_explicit(&slot->where, NULL, memory_order_relaxed);
    if (slot->object->recipe->max == 0) {
        give_shared(c, slot, discard, call, ends);
        return;
    }
    slot->state = EXIA__BUSY;
    slot->call = call;
    if (!discard && slot->object->recipe->factory.passivate != NULL) {
        pthread_mutex_unlock(&c->pool->lock);
        discard = !passivate(slot->object);
        pthread_mutex_lock(&c->pool->lock);
        c->failed += discard;
    }
    slot->object->stale |= discard;
    exia__settle(c, slot, call, ends);
}

void exia__settle(exia_component *c, exia__slot *slot, exia__call *call, exia__object **ends)
{
    exia__object *object = slot->object;
    bool shared = object->recipe->max == 0;
    object->call = NULL;
    object->stale |= object->recipe != c->recipe;
    if (shared && !object->stale)
        c->current = object;
    if (shared && c->busy == call)
        c->busy = NULL;
    if (shared)
        exia__slot_free(c, slot);
    if (object->stale)
        exia__doom(ends, object, call);
    else if (!shared)
        exia__slot_idle(c, slot);
}

void exia__give_needs(exia__object *object, exia__call *call, exia__object **ends)
{
    while (object->need_count > 0) {
        const exia_lease *lease = &object->needs[--object->need_count];
        exia_component *c = lease->component;
        exia__give(c, exia__slot_at(c, exia__ticket_index(lease->ticket)), false, call, ends);
    }
}

void exia__object_unlink(exia_pool *pool, exia__object *object)
{
    if (object->newer != NULL)
        object->newer->older = object->older;
    else
        pool->newest = object->older;
    if (object->older != NULL)
        object->older->newer = object->newer;
}

void exia__end(exia_pool *pool, exia__object *ends, exia__call *call)
{
    while (ends != NULL) {
        exia__object *object = ends;
        exia_component *c = object->component;
        const exia_factory *factory = &object->recipe->factory;
        bool failed = false;
        ends = object->next;
        pthread_mutex_unlock(&pool->lock);
        if (object->recipe->max == 0)
            failed = !passivate(object);
        if (factory->destroy != NULL)
            factory->destroy(object->object, factory->payload);
        pthread_mutex_lock(&pool->lock);
        exia__give_needs(object, call, &ends);
        exia__object_unlink(pool, object);
        c->failed += failed;
        c->destroyed++;
        if (object->exclusive && object->recipe == c->recipe) {
            c->busy = NULL;
            exia__queue_wake(c);
        }
        if (object->slot != NULL)
            exia__slot_free(c, object->slot);
        exia__recipe_drop(pool, object->recipe);
        exia__release(object);
    }
    exia__recipes_bury(pool);
}

bool exia__object_idle(exia__object *object)
{
    if (object->component == NULL || object->call != NULL)
        return false;
    exia__homes_end(object->component);
    return object->slot ? object->slot->state == EXIA__IDLE : object->holders == 0;
}

void exia__object_claim(exia__object *object, exia__call *call)
{
    exia_component *c = object->component;
    if (object->slot != NULL) {
        exia__slot_unlink(c, object->slot);
        object->slot->state = EXIA__BUSY;
        object->slot->call = call;
    } else if (c->current == object) {
        c->current = NULL;
        c->busy = call;
        object->exclusive = true;
    }
}

/* A mark walks from the newest to the oldest: what an object needed becomes idle when it ends, and
 * is older, so that one walk meets everything in the reverse order of building. */
void exia__sweep(exia_pool *pool, exia__call *call, exia__choose *chosen, int64_t now_ms)
{
    exia__object mark = {.call = call};
    for (exia__object *object = pool->newest; object != NULL; object = mark.older) {
        mark.older = object->older; /* put the mark behind it */
        mark.newer = object;
        object->older = &mark;
        if (mark.older != NULL)
            mark.older->newer = &mark;
        if (exia__object_idle(object) && (chosen == NULL || chosen(object, now_ms))) {
            exia__object *ends = NULL;
            exia__object_claim(object, call);
            exia__doom(&ends, object, call);
            exia__end(pool, ends, call);
        }
        exia__object_unlink(pool, &mark);
    }
}

/* Under the lock: where the loan is.  NULL: it is none, or was given back before. */
static exia__slot *find_loan(const exia_lease *lease)
{
    exia__slot *slot = exia__slot_at(lease->component, exia__ticket_index(lease->ticket));
    if (slot != NULL)
        exia__home_end(lease->component, slot);
    if (slot == NULL || slot->state != EXIA__LENT || exia__ticket(slot) != lease->ticket ||
        slot->dependent != NULL)
        return NULL;
    return slot;
}

/* No factory is asked when the object comes back. */
static bool is_quick(const exia__slot *slot, const exia_pool *pool)
{
    const exia__recipe *recipe = slot->object->recipe;
    return !pool->closing && !slot->object->stale &&
           (recipe->max == 0 || recipe->factory.passivate == NULL);
}

static __attribute__((noinline)) exia_status end_loan(const exia_lease *lease, bool discard,
                                                      exia_error *err)
{
    if (lease == NULL || lease->component == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "this is no lease: NULL, or empty");
    exia_component *c = lease->component;
    exia_pool *pool = c->pool;
    exia__object *ends = NULL;
    exia__call call = exia__call_here();
    if (!discard && exia__home_return_there(lease))
        return EXIA_OK;
    pthread_mutex_lock(&pool->lock);
    exia__slot *slot = find_loan(lease);
    if (slot == NULL) {
        pthread_mutex_unlock(&pool->lock);
        return exia__fail(err, EXIA_EINVAL, 0, "component %s: this loan was given back before",
                          c->name);
    }
    if (!discard && is_quick(slot, pool)) {
        exia__give(c, slot, false, &call, &ends);
        pthread_mutex_unlock(&pool->lock);
        return EXIA_OK;
    }
    exia__enter(pool, &call);
    exia__give(c, slot, discard, &call, &ends);
    exia__end(pool, ends, &call);
    exia__leave(pool, &call);
    return EXIA_OK;
}

exia_status exia_lease_try_return(const exia_lease *lease)
{
    if (lease == NULL || lease->component == NULL)
        return EXIA_DONE;
    if (exia__home_return(lease) || exia__home_return_there(lease))
        return EXIA_OK;
    exia_component *c = lease->component;
    exia__object *ends = NULL;
    exia__call call = exia__call_here();
    if (pthread_mutex_trylock(&c->pool->lock) != 0)
        return EXIA_DONE;
    exia__slot *slot = find_loan(lease);
    bool quick = slot != NULL && is_quick(slot, c->pool);
    if (quick)
        exia__give(c, slot, false, &call, &ends);
    pthread_mutex_unlock(&c->pool->lock);
    return quick ? EXIA_OK : EXIA_DONE;
}

exia_status exia_lease_return(const exia_lease *lease, exia_error *err)
{
    if (lease != NULL && lease->component != NULL && exia__home_return(lease))
        return EXIA_OK;
    return end_loan(lease, false, err);
}

exia_status exia_lease_discard(const exia_lease *lease, exia_error *err)
{
    return end_loan(lease, true, err);
}
