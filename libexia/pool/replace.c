/* Another factory behind a component that is in use.  The recipe belongs to each object, and to the
 * component only as that of the next one: so nothing has to stop.  The first new object is built
 * aside; then, in one step under the lock, the recipe is changed and all that is older is marked
 * stale: whoever gives a stale object back ends it. */
#include "base/error.h"
#include "base/memory.h"
#include "pool/pool.h"

enum { NEEDS_WAIT_MS = 30000 };

/* ---- what is outdated ------------------------------------------------------------------------ */

static bool needs_outdated(const exia__object *object)
{
    for (uint32_t i = 0; i < object->need_count; i++) {
        const exia_lease *lease = &object->needs[i];
        if (exia__slot_at(lease->component, exia__ticket_index(lease->ticket))->object->outdated)
            return true;
    }
    return false;
}

static void retire_object(exia__object *object, exia__call *call, exia__object **ends)
{
    exia_component *c = object->component;
    exia__homes_end(c); /* nothing that is stale is lent from there */
    object->stale = true;
    if (c->current == object)
        c->current = NULL;
    if (object->slot != NULL)
        exia__slot_uncount(c, object->slot);
    if (!exia__object_idle(object))
        return;
    exia__object_claim(object, call);
    exia__doom(ends, object, call);
}

/* Have a call see whether it goes on with what it builds, also if it waits; but who has nothing to
 * do with `c` keeps its turn. */
static void retire_making(exia_component *c, bool rebuild, exia__call *call)
{
    bool again = false;
    for (exia__object *object = call->making; object != NULL; object = object->older) {
        object->stale |= rebuild && needs_outdated(object);
        again |= object->stale || object->component == c;
    }
    if (again && call->waits != NULL)
        exia__queue_wake_all(call->waits);
    call->again |= again;
}

/* Mark what the component's former recipes made and, if asked, what was built with it, and so on.
 * What is needed is older than who needs it: one walk from the oldest on meets it first.  What is
 * idle is taken out of use at once. */
static void retire(exia_component *c, bool rebuild, exia__call *call, exia__object **ends)
{
    exia__object *object = c->pool->newest;
    while (object != NULL && object->older != NULL)
        object = object->older;
    for (; object != NULL; object = object->newer) {
        object->outdated = (object->component == c && object->recipe != c->recipe) ||
                           (rebuild && needs_outdated(object));
        if (object->outdated)
            retire_object(object, call, ends);
    }
    for (exia__call *other = c->pool->calls; other != NULL; other = other->next)
        retire_making(c, rebuild, other);
}

/* ---- replacing ------------------------------------------------------------------------------- */

static exia_status check_call(const exia_component *c, exia_error *err)
{
    if (c->recipe == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "pool %s has no component %s yet: add it",
                          c->pool->name, c->name);
    if (c->pool->closing)
        return exia__fail(err, EXIA_ECLOSED, 0, "pool %s is closed", c->pool->name);
    for (const exia__call *call = c->pool->calls; call != NULL; call = call->next) {
        if (call->replaces == c && pthread_equal(call->thread, pthread_self()))
            return exia__fail(err, EXIA_EINVAL, 0,
                              "component %s: its new factory replaces it, and so on for ever",
                              c->name);
    }
    return EXIA_OK;
}

static exia_status open_recipe(exia__recipe **out, exia_component *c, const exia_factory *factory,
                               const exia_component_options *options, exia_error *err)
{
    const exia__recipe *was = c->recipe;
    exia_component_options same = {.struct_size = sizeof same,
                                   .needs = (const char *const *)was->need_names,
                                   .need_count = was->need_count,
                                   .max = was->max,
                                   .min_idle = was->min_idle,
                                   .idle_ms = was->idle_ms,
                                   .life_ms = was->life_ms,
                                   .overdue_ms = was->overdue_ms};
    exia_status rc = exia__recipe_open(out, c->name, factory, options ? options : &same, err);
    if (rc < 0)
        return rc;
    if (options == NULL)
        (*out)->about = json_incref(was->about);
    return exia__recipe_link(c, *out, err);
}

/* From here on the component makes what `recipe` says; its first object is in `slot`. */
static void change(exia_component *c, exia__recipe *recipe, exia__slot *slot, bool rebuild,
                   exia__call *call, exia__object **ends)
{
    exia__recipe *was = c->recipe;
    exia__homes_end(c);
    for (uint32_t i = 0; i < c->slot_count; i++)
        exia__slot_at(c, i)->counts = false;
    slot->counts = recipe->max > 0;
    c->taken = slot->counts;
    c->recipe = recipe;
    c->busy = NULL;
    retire(c, rebuild, call, ends);
    exia__recipe_keep(recipe);
    exia__recipe_drop(c->pool, was);
}

static exia_status replace(exia_component *c, exia__recipe *recipe, bool rebuild, exia__call *call,
                           exia_error *err)
{
    exia__slot *slot = NULL;
    exia__object *ends = NULL;
    exia_status rc = exia__slot_open(&slot, c, recipe, call, err);
    if (rc == EXIA_OK)
        rc = exia__build(c, recipe, slot, call, exia__deadline(NEEDS_WAIT_MS), err);
    if (rc < 0)
        return rc;
    if (c->pool->closing)
        rc = exia__fail(err, EXIA_ECLOSED, 0, "pool %s is closed", c->pool->name);
    else
        rc = exia__recipe_link(c, recipe, err); /* others may have changed theirs meanwhile */
    if (rc == EXIA_OK)
        change(c, recipe, slot, rebuild, call, &ends);
    exia__settle(c, slot, call, &ends);
    exia__queue_wake(c);
    exia__end(c->pool, ends, call);
    return rc;
}

exia_status exia_component_replace(exia_component *component, const exia_factory *factory,
                                   const exia_component_options *options, int rebuild,
                                   exia_error *err)
{
    if (component == NULL || factory == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_component_replace: an argument is NULL");
    exia_pool *pool = component->pool;
    exia__recipe *recipe = NULL;
    exia__call call = exia__call_here();
    pthread_mutex_lock(&pool->lock);
    exia_status rc = check_call(component, err);
    if (rc < 0) {
        pthread_mutex_unlock(&pool->lock);
        return rc;
    }
    exia__enter(pool, &call);
    call.replaces = component;
    rc = open_recipe(&recipe, component, factory, options, err);
    if (rc == EXIA_OK)
        rc = replace(component, recipe, rebuild != 0, &call, err);
    if (recipe != NULL) {
        if (rc < 0)
            recipe->factory.release = NULL; /* it stays with the caller */
        exia__recipe_drop(pool, recipe);
    }
    exia__leave(pool, &call);
    return rc;
}
