/* Homes: the fast path of a loan.
 *
 * A component has a few homes, and each thread looks into one of them.  A slot at home is lent and
 * taken back by one compare-and-swap on its word, without the lock.  Who holds the lock may end that
 * at any time, by one exchange: from then on the slot is as all others are.  This is what everybody
 * does first who wants to know the state of things, or waits; so a loan that is given back comes to
 * a queue, and no wake-up is missed.
 *
 * A slot gets a home when it is lent, if nobody waits and the factory has no say in a loan.  Its
 * word is the ticket of the loan, or, idle, that of the last one without the lowest bit. */
#ifndef EXIA_POOL_HOME_H
#define EXIA_POOL_HOME_H

#include "pool/pool.h"

/* Where this thread looks.  0: nobody lives there. */
extern _Thread_local uint32_t exia__my_home
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
extern exia__slot exia__nobody __attribute__((visibility("hidden")));

static inline bool exia__home_lend(exia_lease *out, exia_component *component, const char *where)
{
    exia__slot *slot = atomic_load_explicit(&component->homes[exia__my_home], memory_order_acquire);
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    uint64_t ticket = word + EXIA__NEXT_LOAN;
    /* When the generations have all been, the next one is counted under the lock. */
    if (word == 0 || word & 1 || ticket < word ||
        !atomic_compare_exchange_strong_explicit(&slot->word, &word, ticket, memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    atomic_store_explicit(&slot->where, where, memory_order_relaxed);
    out->object = slot->made;
    out->component = component;
    out->ticket = ticket;
    return true;
}

static inline bool exia__home_take_back(exia__slot *slot, uint64_t ticket)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
    /* looking first: a swap that fails would take exia__nobody's line from all other threads */
    return word == ticket && word & 1 &&
           atomic_compare_exchange_strong_explicit(&slot->word, &word, word - 1,
                                                   memory_order_release, memory_order_relaxed);
}

static inline bool exia__home_return(const exia_lease *lease)
{
    return exia__home_take_back(
        atomic_load_explicit(&lease->component->homes[exia__my_home], memory_order_acquire),
        lease->ticket);
}
/* A loan that was taken in another thread, or before another one was: it is found by its ticket. */
bool exia__home_return_there(const exia_lease *lease);

#endif
