/* Factories that watch the pool.  An object knows what may be done to it now, who has it, what it
 * needs and what was built with it; whatever the pool, or a borrower, does against that is counted
 * and told.  What borrowers with a loan of their own write into it is plain memory, so that the
 * thread sanitizer sees a loan that does not happen after the one before. */
#ifndef TESTS_WATCH_H
#define TESTS_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "support/check.h"

/* A component as the tests want it, and what became of it. */
typedef struct breed {
    uint32_t max, need_count;
    bool hooked, checked; /* has activate and passivate; has validate */
    bool rebuilt;         /* what it needs may be replaced, so that old ones are more than max */
    uint32_t min_idle;
    int64_t idle_ms, life_ms;
    uint32_t fails;  /* one call of the factory in so many; 0: none */
    uint32_t dwells; /* one call of the factory in so many lets other threads run */
    void (*inside)(struct breed *breed, void *payload); /* in each create */
    void *payload;
    atomic_int alive, most, released;
    atomic_ulong created, destroyed, turns;
} breed;

/* The factory of a breed, which must live as long as the pool.  `needs` are watched, too. */
exia_factory watch_factory(breed *b);
exia_component *watch_add(exia_pool *pool, const char *name, breed *b, const char *const *needs);

/* Between a borrow and a return: the object is ours now; it is no more. */
void watch_enter(void *object);
void watch_leave(void *object);
/* Before a discard, and instead of watch_leave(). */
void watch_discard(void *object);

/* Count something that must not be, and tell it. */
void watch_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* How often something was wrong since the last time this was asked. */
int watch_wrongs(void);
/* Nothing is alive, the factory was released once. */
void watch_ended(const breed *b, const char *name);

/* Let the others run: a few turns of a loop, or a place in the scheduler's queue. */
void watch_pause(uint32_t turns);
/* xorshift; the state is not 0. */
uint32_t watch_random(uint32_t *state);

#endif
