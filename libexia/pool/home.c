/* Homes, seen from under the lock: who gets one, and how it ends. */
#include "pool/home.h"

#include "base/error.h"

_Thread_local uint32_t exia__my_home;
exia__slot exia__nobody; /* its word is 0: whoever looks there goes to the lock */

/* Threads are spread over the homes as they come. */
static uint32_t my_home(void)
{
    static atomic_uint threads;
    if (exia__my_home == 0)
        exia__my_home =
            1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % (EXIA__HOMES - 1);
    return exia__my_home;
}

static exia__slot *who_lives(const exia_component *component, uint32_t home)
{
    return atomic_load_explicit(&component->homes[home], memory_order_relaxed);
}

static void set_home(exia_component *component, uint32_t home, exia__slot *slot)
{
    atomic_store_explicit(&component->homes[home], slot, memory_order_release);
}

void exia__homes_open(exia_component *component)
{
    for (uint32_t home = 0; home < EXIA__HOMES; home++)
        set_home(component, home, &exia__nobody);
}

bool exia__home_give(exia_component *component, exia__slot *slot)
{
    const exia__recipe *recipe = component->recipe;
    const exia_factory *factory = &recipe->factory;
    uint32_t home = my_home();
    bool asked = factory->validate != NULL ||
                 (recipe->max > 0 && (factory->activate != NULL || factory->passivate != NULL));
    if (asked || component->first != NULL || component->pool->closing || slot->object->stale ||
        who_lives(component, home) != &exia__nobody)
        return false;
    slot->state = EXIA__HOME;
    slot->home = home;
    slot->made = slot->object->object;
    atomic_store_explicit(&slot->word, exia__ticket(slot), memory_order_release);
    set_home(component, home, slot);
    component->at_home++;
    return true;
}

bool exia__home_return_there(const exia_lease *lease)
{
    exia__slot *slot = exia__slot_at(lease->component, exia__ticket_index(lease->ticket));
    return slot != NULL && exia__home_take_back(slot, lease->ticket);
}

void exia__home_end(exia_component *component, exia__slot *slot)
{
    if (slot->state != EXIA__HOME)
        return;
    uint64_t word = atomic_exchange_explicit(&slot->word, 0, memory_order_acq_rel);
    set_home(component, slot->home, &exia__nobody);
    component->at_home--;
    slot->generation = (uint32_t)(word >> 32);
    if (word & 1) {
        slot->state = EXIA__LENT;
        exia__slot_count(component, slot, +1);
    } else if (component->recipe->max == 0) {
        exia__slot_free(component, slot);
    } else {
        exia__slot_idle(component, slot);
    }
}

void exia__homes_end(exia_component *component)
{
    for (uint32_t home = 0; component->at_home > 0; home++)
        exia__home_end(component, who_lives(component, home));
}

size_t exia__homes_lent(const exia_component *component)
{
    size_t lent = 0;
    for (uint32_t home = 0; component->at_home > 0 && home < EXIA__HOMES; home++)
        lent += exia__slot_is_lent(who_lives(component, home));
    return lent;
}

void exia__home_yield(exia_component *component)
{
    size_t unseen = component->at_home;
    for (uint32_t home = 0; component->idle == NULL && unseen > 0; home++) {
        exia__slot *slot = who_lives(component, home);
        unseen -= slot != &exia__nobody;
        if (!exia__slot_is_lent(slot))
            exia__home_end(component, slot);
    }
}
