/* A graph that is being run: nobody else runs, changes or frees it meanwhile, and anybody may ask the
 * run to stop. */
#ifndef EXIA_DAG_GUARD_H
#define EXIA_DAG_GUARD_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "exia/dag.h"

enum { EXIA__RUNNING = 1, EXIA__STOPS = 2, EXIA__GIVEN_UP = 4 };
typedef struct exia__guard {
    atomic_uint state;      /* of these bits; 0: nobody runs it */
    atomic_uint generation; /* of the process that does: a child of a fork runs nothing */
    sem_t wake;             /* of the thread that watches the run */
    pthread_mutex_t lock;   /* of what follows, and of what is told of tasks that end apart */
    struct exia__run *run;  /* whose tasks do; NULL: none */
} exia__guard;

void exia__guard_open(exia__guard *guard);
void exia__guard_close(exia__guard *guard);

/* The run of a parent does not go on in the child of a fork. */
int exia__guard_running(const exia__guard *guard);
/* @return EXIA_ECONFLICT: it is being run; the text begins with `what` */
exia_status exia__guard_check(const exia__guard *guard, const char *what, exia_error *err);
exia_status exia__guard_begin(exia__guard *guard, exia_error *err);
/* From then on the graph may go at any time, unless the answer says that its owner gave it up
 * meanwhile, and that it is ours to free. */
int exia__guard_end(exia__guard *guard);
/* Whether the graph is being run, and so freed at the end of the run. */
int exia__guard_give_up(exia__guard *guard);

void exia__guard_wake(exia__guard *guard);
/* Until somebody wakes, or a time of exia__clock_ns() or EXIA__FOREVER. */
void exia__guard_wait(exia__guard *guard, int64_t until_ns);
static inline int exia__guard_stops(const exia__guard *guard)
{
    return (atomic_load_explicit(&guard->state, memory_order_relaxed) & EXIA__STOPS) != 0;
}

#endif
