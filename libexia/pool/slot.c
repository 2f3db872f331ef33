/* Slots: the places of loans.  They are made when they are needed, in chunks of growing size that
 * never move, so a ticket finds its slot by arithmetic alone. */
#include "base/error.h"
#include "base/memory.h"
#include "pool/pool.h"

/* Chunk k holds the slots from 8 * (2^k - 1) on. */
static uint32_t chunk_of(uint32_t index, uint32_t *offset)
{
    uint64_t shifted = (uint64_t)index + EXIA__FIRST_CHUNK;
    uint32_t log = 63 - (uint32_t)__builtin_clzll(shifted);
    *offset = (uint32_t)(shifted - ((uint64_t)1 << log));
    return log - 3;
}

exia__slot *exia__slot_at(const exia_component *component, uint32_t index)
{
    uint32_t offset, chunk = chunk_of(index, &offset);
    uintptr_t start =
        (uintptr_t)atomic_load_explicit(&component->chunks[chunk], memory_order_acquire);
    if (start == 0)
        return NULL;
    start = (start + EXIA__LINE - 1) & ~(uintptr_t)(EXIA__LINE - 1);
    return (exia__slot *)start + offset;
}

uint32_t exia__slot_generation(const exia__slot *slot)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    return slot->state == EXIA__HOME ? (uint32_t)(word >> 32) : slot->generation;
}

bool exia__slot_is_lent(const exia__slot *slot)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    return slot->state == EXIA__HOME ? word & 1 : slot->state == EXIA__LENT;
}

static exia_status make_slot(exia__slot **out, exia_component *component, exia_error *err)
{
    uint32_t index = component->slot_count, offset, chunk = chunk_of(index, &offset);
    if (index > INT32_MAX)
        return exia__fail(err, EXIA_ENOMEM, 0, "component %s has 2 billion loans", component->name);
    if (offset == 0) {
        void *slots = exia__zeroed(((size_t)EXIA__FIRST_CHUNK << chunk) + 1, sizeof(exia__slot));
        if (slots == NULL)
            return exia__fail_memory(err);
        atomic_store_explicit(&component->chunks[chunk], slots, memory_order_release);
    }
    component->slot_count++;
    *out = exia__slot_at(component, index);
    (*out)->index = index;
    return EXIA_OK;
}

static void push(exia__slot **list, exia__slot *slot, int state)
{
    slot->state = state;
    slot->call = NULL;
    slot->previous = NULL;
    slot->next = *list;
    if (*list != NULL)
        (*list)->previous = slot;
    *list = slot;
}

void exia__slot_idle(exia_component *component, exia__slot *slot)
{
    push(&component->idle, slot, EXIA__IDLE);
    component->idle_count++;
    exia__queue_wake(component);
}

void exia__slot_free(exia_component *component, exia__slot *slot)
{
    component->taken -= slot->counts;
    slot->counts = false;
    slot->object = NULL;
    push(&component->free, slot, EXIA__FREE);
    exia__queue_wake(component);
}

void exia__slot_uncount(exia_component *component, exia__slot *slot)
{
    component->taken -= slot->counts;
    slot->counts = false;
    exia__queue_wake(component);
}

void exia__slot_unlink(exia_component *component, exia__slot *slot)
{
    exia__slot **list = slot->state == EXIA__IDLE ? &component->idle : &component->free;
    if (slot->previous != NULL)
        slot->previous->next = slot->next;
    else
        *list = slot->next;
    if (slot->next != NULL)
        slot->next->previous = slot->previous;
    slot->next = slot->previous = NULL;
    component->idle_count -= slot->state == EXIA__IDLE;
}

exia_status exia__slot_open(exia__slot **out, exia_component *component, const exia__recipe *recipe,
                            exia__call *call, exia_error *err)
{
    exia__slot *slot = component->free;
    exia_status rc = EXIA_OK;
    if (slot != NULL)
        exia__slot_unlink(component, slot);
    else
        rc = make_slot(&slot, component, err);
    if (rc < 0)
        return rc;
    slot->state = EXIA__BUSY;
    slot->call = call;
    slot->counts = recipe->max > 0 && recipe == component->recipe;
    component->taken += slot->counts;
    *out = slot;
    return EXIA_OK;
}

bool exia__object_ready(const exia__object *object)
{
    if (object == NULL)
        return false;
    const exia_factory *factory = &object->recipe->factory;
    if (object->recipe->max == 0)
        return object->holders > 0 || factory->validate == NULL;
    return factory->activate == NULL && factory->validate == NULL;
}

bool exia__slot_at_hand(const exia_component *component)
{
    const exia__recipe *recipe = component->recipe;
    return recipe->max == 0 ? component->busy == NULL
                            : component->idle != NULL || component->taken < recipe->max;
}

exia_status exia__slot_take(exia__slot **out, exia_component *component, exia__call *call,
                            exia_error *err)
{
    const exia__recipe *recipe = component->recipe;
    exia_status rc = EXIA_OK;
    *out = NULL;
    if (recipe->max > 0)
        exia__home_yield(component);
    exia__slot *slot = component->idle;
    if (!exia__slot_at_hand(component))
        return EXIA_DONE;
    if (slot != NULL) {
        exia__slot_unlink(component, slot);
        slot->state = EXIA__BUSY;
        slot->call = call;
    } else {
        rc = exia__slot_open(&slot, component, recipe, call, err);
    }
    if (rc < 0)
        return rc;
    if (recipe->max == 0) {
        slot->object = component->current;
        if (!exia__object_ready(slot->object))
            component->busy = call;
    }
    *out = slot;
    return EXIA_OK;
}

exia__slot *exia__slot_quick(exia_component *component)
{
    bool shared = component->recipe->max == 0;
    exia__slot *slot = shared ? component->free : component->idle;
    if (slot == NULL || (shared && component->busy != NULL))
        return NULL;
    exia__object *object = shared ? component->current : slot->object;
    if (!exia__object_ready(object))
        return NULL;
    exia__slot_unlink(component, slot);
    slot->object = object;
    return slot;
}

void exia__slot_count(exia_component *component, exia__slot *slot, int change)
{
    component->lent += (size_t)change;
    if (slot->dependent == NULL)
        component->pool->loans += (size_t)change;
    if (slot->object->recipe->max == 0)
        slot->object->holders += (size_t)change;
}

exia_lease exia__slot_lend(exia_component *component, exia__slot *slot, exia__object *dependent,
                           const char *where)
{
    if (slot->object->recipe->max == 0) {
        if (component->busy == slot->call)
            component->busy = NULL;
        exia__queue_wake(component);
    }
    slot->state = EXIA__LENT;
    slot->call = NULL;
    slot->dependent = dependent;
    atomic_store_explicit(&slot->where, where, memory_order_relaxed);
    if (++slot->generation == 0) {
        slot->generation = 1;
        component->turned += UINT32_MAX;
    }
    if (dependent != NULL || !exia__home_give(component, slot))
        exia__slot_count(component, slot, +1);
    return (exia_lease){slot->object->object, component, exia__ticket(slot)};
}

uint64_t exia__component_hits(const exia_component *component)
{
    uint64_t hits = component->turned;
    for (uint32_t i = 0; i < component->slot_count; i++)
        hits += exia__slot_generation(exia__slot_at(component, i));
    return hits;
}

size_t exia__component_idle(const exia_component *component)
{
    size_t lent_at_home = exia__homes_lent(component);
    const exia__object *current = component->current;
    if (component->recipe->max > 0)
        return component->idle_count + component->at_home - lent_at_home;
    return current != NULL && current->call == NULL && current->holders + lent_at_home == 0;
}
