/* Borrowing.  What is needed is built first: a stack of frames, one for each component that is being
 * made ready, takes the place of recursion, so that a chain of needs may be of any length.  When a
 * frame fails, all are given up: what they hold goes back, and whoever waits for it is woken. */
#include "base/error.h"
#include "base/memory.h"
#include "pool/home.h"

typedef struct frame {
    struct frame *below; /* it needs this one; NULL: the borrower does */
    exia_component *component;
    exia__slot *slot;     /* ours, BUSY */
    exia__recipe *recipe; /* what it was taken for */
    exia__object *made;   /* what is being built, while its needs are gathered */
} frame;

typedef struct loan {
    exia__call *call;
    exia_place *place; /* it has stood in the queue for us; NULL: from now on we do it ourselves */
    frame root, *top;
    bool builds; /* exia__build(): the root's recipe is given, its object stays in our hands */
    int64_t deadline;
    const char *where;
    exia_lease lease; /* of the root, when no frame is left */
} loan;

static const exia_component *needed_by(const frame *f)
{
    return f->below ? f->below->component : NULL;
}

static exia_status push(loan *l, exia_component *component, exia_error *err)
{
    frame *f = exia__array(NULL, 1, sizeof *f);
    if (f == NULL)
        return exia__fail_memory(err);
    *f = (frame){.below = l->top, .component = component};
    l->top = f;
    return EXIA_OK;
}

static void pop(loan *l)
{
    frame *f = l->top;
    l->top = f->below;
    if (f->recipe != NULL)
        exia__recipe_drop(f->component->pool, f->recipe);
    if (f != &l->root)
        exia__release(f);
}

/* Lend the object of the top frame to who needs it. */
static void deliver(loan *l)
{
    frame *f = l->top;
    exia__object *dependent = f->below ? f->below->made : NULL;
    bool stale = f->slot->object->stale; /* replaced since its building began */
    exia_lease lease =
        exia__slot_lend(f->component, f->slot, dependent, f->below ? NULL : l->where);
    if (dependent != NULL) {
        dependent->given[dependent->need_count] = lease.object;
        dependent->needs[dependent->need_count++] = lease;
        dependent->stale |= stale;
    } else {
        l->lease = lease;
    }
    pop(l);
}

/* Give back what was gathered for the object to be. */
static void drop_made(loan *l, exia__object **ends)
{
    frame *f = l->top;
    if (f->made == NULL)
        return;
    exia__give_needs(f->made, l->call, ends);
    l->call->making = f->made->older;
    exia__release(f->made);
    f->made = NULL;
}

static void drop_slot(loan *l)
{
    frame *f = l->top;
    exia_component *c = f->component;
    if (c->busy == l->call)
        c->busy = NULL;
    exia__slot_free(c, f->slot);
    exia__recipe_drop(c->pool, f->recipe);
    f->slot = NULL;
    f->recipe = NULL;
}

static void give_up(loan *l, exia__object **ends)
{
    drop_made(l, ends);
    if (l->top->slot != NULL)
        drop_slot(l);
    pop(l);
}

/* Was the factory replaced since the slot was taken? */
static bool replaced(const loan *l, const frame *f)
{
    return f->recipe != f->component->recipe && !(l->builds && f == &l->root);
}

/* Is it no use to go on building what this frame builds? */
static bool outdated(const loan *l, const frame *f)
{
    return replaced(l, f) || (f->made != NULL && f->made->stale);
}

/* Something was replaced while this call waited: give up what is being made ready for what is not
 * built any more. */
static void unwind(loan *l)
{
    exia__object *ends = NULL;
    const frame *last = NULL;
    l->call->again = false;
    for (const frame *f = l->top->below; f != NULL; f = f->below) {
        if (outdated(l, f))
            last = f;
    }
    while (last != NULL && l->top != last)
        give_up(l, &ends);
    exia__end(l->root.component->pool, ends, l->call);
}

/* What is replaced, or what it would be built with, is not built any more: begin again. */
static void begin_again(loan *l)
{
    exia_pool *pool = l->top->component->pool;
    exia__object *ends = NULL;
    drop_made(l, &ends);
    if (replaced(l, l->top))
        drop_slot(l);
    exia__end(pool, ends, l->call);
}

/* The slot has an object: is it still fit?  If not it is ended, and the slot stays ours. */
static void revive(loan *l)
{
    frame *f = l->top;
    exia_component *c = f->component;
    exia__object *object = f->slot->object, *ends = NULL;
    const exia_factory *factory = &f->recipe->factory;
    exia_error why;
    object->call = l->call;
    pthread_mutex_unlock(&c->pool->lock);
    exia_status rc = exia__ask(factory->validate, object->object, factory->payload, &why);
    if (rc == EXIA_OK && f->recipe->max > 0)
        rc = exia__ask(factory->activate, object->object, factory->payload, &why);
    if (rc < 0)
        exia__log(EXIA_LOG_INFO, "pool", "component %s: an object is replaced: %s", c->name,
                  why.text);
    pthread_mutex_lock(&c->pool->lock);
    object->call = NULL;
    c->failed += rc < 0;
    if (rc == EXIA_OK && !object->stale) {
        deliver(l);
        exia__wake_rivals(object); /* it keeps what it needs */
        return;
    }
    if (c->current == object)
        c->current = NULL;
    f->slot->object = NULL;
    object->slot = NULL;
    exia__doom(&ends, object, l->call);
    exia__end(c->pool, ends, l->call);
}

static exia_status begin_object(loan *l, exia_error *err)
{
    frame *f = l->top;
    size_t needs = f->recipe->need_count;
    exia__object *object =
        exia__resize(NULL, sizeof *object + needs * (sizeof(exia_lease) + sizeof(void *)));
    if (object == NULL)
        return exia__fail_memory(err);
    *object = (exia__object){.component = f->component, .recipe = f->recipe, .call = l->call};
    object->needs = (exia_lease *)(object + 1);
    object->given = (void **)(object->needs + needs);
    object->older = l->call->making;
    l->call->making = object;
    f->made = object;
    return EXIA_OK;
}

/* Without the lock.  `*created`: also when it was destroyed again. */
static exia_status create(const loan *l, bool *created, exia_error *why)
{
    const frame *f = l->top;
    exia__object *object = f->made;
    const exia_factory *factory = &f->recipe->factory;
    exia_status rc = factory->create(&object->object, object->given, factory->payload, why);
    if (rc < 0)
        exia__filled(why, rc);
    else if (object->object == NULL)
        rc = exia__fail(why, EXIA_EUSER, 0, "its factory answered OK and gave no object");
    *created = rc >= 0;
    if (rc < 0)
        return rc;
    if (f->recipe->max > 0 && l->builds && f == &l->root) /* it is not lent now */
        return EXIA_OK;
    rc = exia__ask(factory->activate, object->object, factory->payload, why);
    if (rc < 0 && factory->destroy != NULL)
        factory->destroy(object->object, factory->payload);
    return rc;
}

/* The object of the top frame was created: put it before all others. */
static void enlist(loan *l)
{
    frame *f = l->top;
    exia_pool *pool = f->component->pool;
    exia__object *object = f->made;
    l->call->making = object->older;
    object->older = pool->newest;
    if (object->older != NULL)
        object->older->newer = object;
    pool->newest = object;
    exia__recipe_keep(f->recipe);
    f->made = NULL;
    f->slot->object = object;
    if (f->recipe->max > 0)
        object->slot = f->slot;
    exia__wake_rivals(object);
}

/* All needs are there. */
static exia_status build(loan *l, exia_error *err)
{
    frame *f = l->top;
    exia_component *c = f->component;
    exia__object *object = f->made;
    char who[EXIA__WHO_SIZE];
    exia_error why = {0};
    bool created = false;
    pthread_mutex_unlock(&c->pool->lock);
    exia_status rc = create(l, &created, &why);
    pthread_mutex_lock(&c->pool->lock);
    c->created += created;
    c->destroyed += created && rc < 0;
    c->failed += rc < 0;
    if (rc < 0)
        return exia__fail(err, rc, why.native, "%s: %s", exia__who_is(who, c, needed_by(f)),
                          why.text);
    enlist(l);
    if (l->builds && f == &l->root) {
        pop(l);
        return EXIA_OK;
    }
    object->call = NULL;
    object->stale |= replaced(l, f);
    if (object->stale)
        exia__slot_uncount(c, f->slot);
    else if (f->recipe->max == 0)
        c->current = object;
    deliver(l);
    return EXIA_OK;
}

static exia_status take(loan *l, exia_error *err)
{
    frame *f = l->top;
    exia_component *c = f->component;
    char who[EXIA__WHO_SIZE];
    if (c->recipe == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "%s, is not in pool %s: add it",
                          exia__who_is(who, c, needed_by(f)), c->pool->name);
    exia_status rc = EXIA_OK;
    if (l->place != NULL)
        rc = exia__place_take(&f->slot, l->place, l->call, err);
    else
        rc = exia__slot_wait(&f->slot, c, l->call, l->deadline, needed_by(f), err);
    l->place = NULL;
    if (rc != EXIA_OK)
        return rc < 0 ? rc : EXIA_OK;
    f->recipe = c->recipe;
    exia__recipe_keep(f->recipe);
    if (exia__object_ready(f->slot->object))
        deliver(l);
    return EXIA_OK;
}

static exia_status step(loan *l, exia_error *err)
{
    while (l->call->again) /* a factory that is called there may replace something, too */
        unwind(l);
    frame *f = l->top;
    if (f->slot == NULL)
        return take(l, err);
    if (f->slot->object != NULL) {
        revive(l);
        return EXIA_OK;
    }
    if (outdated(l, f)) {
        begin_again(l);
        return EXIA_OK;
    }
    if (f->made == NULL)
        return begin_object(l, err);
    if (f->made->need_count < f->recipe->need_count)
        return push(l, f->recipe->needs[f->made->need_count], err);
    return build(l, err);
}

static exia_status run(loan *l, exia_error *err)
{
    exia_pool *pool = l->root.component->pool;
    exia__object *ends = NULL;
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK && l->top != NULL)
        rc = step(l, err);
    while (l->top != NULL)
        give_up(l, &ends);
    exia__end(pool, ends, l->call);
    return rc;
}

exia_status exia__build(exia_component *component, exia__recipe *recipe, exia__slot *slot,
                        exia__call *call, int64_t deadline, exia_error *err)
{
    loan l = {.call = call, .builds = true, .deadline = deadline};
    l.root = (frame){.component = component, .recipe = recipe, .slot = slot};
    l.top = &l.root;
    exia__recipe_keep(recipe);
    return run(&l, err);
}

exia_status exia__borrow(exia_lease *out, exia_component *component, exia_place *place,
                         int64_t wait_ms, const char *where, exia_error *err)
{
    exia__call call = exia__call_here();
    loan l = {.root.component = component, .call = &call, .place = place, .where = where};
    exia_pool *pool = component->pool;
    l.top = &l.root;
    l.deadline = exia__deadline(wait_ms);
    exia__enter(pool, &call);
    exia_status rc = run(&l, err);
    if (rc == EXIA_OK && pool->closing) { /* closed meanwhile: nothing is lent any more */
        exia__object *ends = NULL;
        exia__slot *slot = exia__slot_at(component, exia__ticket_index(l.lease.ticket));
        exia__give(component, slot, false, &call, &ends);
        exia__end(pool, ends, &call);
        rc = exia__fail(err, EXIA_ECLOSED, 0, "pool %s is closed", pool->name);
    }
    if (rc == EXIA_ETIMEOUT && call.place != NULL) { /* which would mean: not yet */
        rc = EXIA_ENOSPACE;
        if (err != NULL)
            err->status = rc;
    }
    if (call.place != NULL)
        exia__place_done(call.place);
    exia__leave(pool, &call);
    if (rc == EXIA_OK)
        *out = l.lease;
    return rc;
}

/* Lend what needs no factory, unless others wait for it. */
static bool lend_idle(exia_lease *out, exia_component *c, const char *where)
{
    bool queued = c->first != NULL || c->pool->closing;
    exia__slot *slot = queued ? NULL : exia__slot_quick(c);
    if (slot != NULL)
        *out = exia__slot_lend(c, slot, NULL, where);
    return slot != NULL;
}

/* Apart, so that the fast path saves no registers. */
static __attribute__((noinline)) exia_status borrow_locked(exia_lease *out,
                                                           exia_component *component,
                                                           int64_t wait_ms, const char *where,
                                                           exia_error *err)
{
    if (out != NULL)
        *out = (exia_lease){0};
    if (out == NULL || component == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_component_borrow: an argument is NULL");
    pthread_mutex_lock(&component->pool->lock);
    if (!lend_idle(out, component, where))
        return exia__borrow(out, component, NULL, wait_ms, where, err);
    pthread_mutex_unlock(&component->pool->lock);
    return EXIA_OK;
}

exia_status exia_component_borrow(exia_lease *out, exia_component *component, int64_t wait_ms,
                                  const char *where, exia_error *err)
{
    if (out != NULL && component != NULL && exia__home_lend(out, component, where))
        return EXIA_OK;
    return borrow_locked(out, component, wait_ms, where, err);
}

exia_status exia_component_try_borrow(exia_lease *out, exia_component *component, const char *where)
{
    if (out == NULL || component == NULL)
        return EXIA_DONE;
    if (exia__home_lend(out, component, where))
        return EXIA_OK;
    if (pthread_mutex_trylock(&component->pool->lock) != 0)
        return EXIA_DONE;
    bool lent = lend_idle(out, component, where);
    pthread_mutex_unlock(&component->pool->lock);
    return lent ? EXIA_OK : EXIA_DONE;
}
