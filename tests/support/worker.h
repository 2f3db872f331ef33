/* A pool of random shape and the threads that do with it, at random, all that may be done.  What
 * must not be is counted by watch_wrong(). */
#ifndef TESTS_WORKER_H
#define TESTS_WORKER_H

#include <pthread.h>

#include "support/watch.h"

enum { MOST = 9, HELD = 3, SHELF = 24, LITTERS = 300 };

/* A loan that somebody else will give back. */
typedef struct token {
    exia_lease lease;
    atomic_int left, won; /* who still has it; how many returns counted */
} token;

/* One factory of a component; a replaced one has had several. */
typedef struct litter {
    breed breed;
    uint32_t component;
    atomic_bool taken; /* it was offered to the pool */
} litter;

typedef struct shape {
    uint32_t seed;
    bool rebuilds; /* who replaces has what needs it rebuilt, too */
    exia_pool *pool;
    char names[MOST][4];
    atomic_bool to_add[MOST]; /* taken by who adds it */
    _Atomic(exia_component *) components[MOST];
    litter litters[LITTERS];
    atomic_uint litter_count;
    _Atomic(token *) shelf[SHELF];
    atomic_bool closing, over;
    atomic_ulong steps, loans, replaced;
} shape;

typedef struct worker {
    pthread_t thread;
    shape *shape;
    uint32_t dice;
    int steps_left, held;
    exia_lease leases[HELD];
    bool running;
    atomic_bool ended;
} worker;

uint32_t worker_roll(worker *w, uint32_t sides);
/* Give a random component, or this one, its first factory. */
void worker_add(worker *w, uint32_t which);
/* Take a loan that may lie there from the shelf and give it back; or this one. */
void worker_take_from_shelf(worker *w);
void worker_end_token(worker *w, token *t);
/* What the thread of a worker runs: its steps, unless the round is over before; then it gives its
 * loans back, or leaves them on the shelf. */
void *worker_run(void *payload);

#endif
