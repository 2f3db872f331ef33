/* The guard of a graph that is being run.  One word says all, so that asking a run to stop takes no
 * lock, from any thread and from a signal handler too. */
#include "dag/guard.h"

#include <time.h>

#include "base/error.h"
#include "base/job.h"
#include "dag/dag.h"

void exia__guard_open(exia__guard *guard)
{
    sem_init(&guard->wake, 0, 0); /* cannot fail: 0 is a valid value */
    pthread_mutex_init(&guard->lock, NULL);
}

void exia__guard_close(exia__guard *guard)
{
    pthread_mutex_destroy(&guard->lock);
    sem_destroy(&guard->wake);
}

int exia__guard_running(const exia__guard *guard)
{
    return atomic_load(&guard->state) != 0 && guard->generation == exia__generation();
}

exia_status exia__guard_check(const exia__guard *guard, const char *what, exia_error *err)
{
    if (!exia__guard_running(guard))
        return EXIA_OK;
    return exia__fail(err, EXIA_ECONFLICT, 0,
                      "%s: the graph is being run; do it before the run, or when it has returned",
                      what);
}

exia_status exia__guard_begin(exia__guard *guard, exia_error *err)
{
    unsigned none = 0;
    if (atomic_load(&guard->state) != 0 && guard->generation != exia__generation())
        atomic_store(&guard->state, 0);
    if (!atomic_compare_exchange_strong(&guard->state, &none, EXIA__RUNNING))
        return exia__fail(err, EXIA_ECONFLICT, 0,
                          "exia_dag_run: the graph is being run already; wait until it has "
                          "returned, or run another graph");
    guard->generation = exia__generation();
    while (sem_trywait(&guard->wake) == 0) /* what was said to an earlier run */
        continue;
    return EXIA_OK;
}

int exia__guard_end(exia__guard *guard)
{
    return (atomic_exchange(&guard->state, 0) & EXIA__GIVEN_UP) != 0;
}

int exia__guard_give_up(exia__guard *guard)
{
    unsigned state = atomic_load(&guard->state);
    while (state != 0 && guard->generation == exia__generation()) {
        if (atomic_compare_exchange_weak(&guard->state, &state, state | EXIA__GIVEN_UP))
            return 1;
    }
    return 0;
}

void exia__guard_wake(exia__guard *guard)
{
    sem_post(&guard->wake);
}

void exia__guard_wait(exia__guard *guard, int64_t until_ns)
{
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    if (until_ns == EXIA__FOREVER)
        sem_wait(&guard->wake);
    else
        sem_clockwait(&guard->wake, CLOCK_MONOTONIC, &until);
}

exia_status exia_dag_cancel(exia_dag *dag, exia_error *err)
{
    if (dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_cancel: dag is NULL");
    unsigned state = exia__guard_running(&dag->guard) ? atomic_load(&dag->guard.state) : 0;
    while (state != 0) {
        if (atomic_compare_exchange_weak(&dag->guard.state, &state, state | EXIA__STOPS)) {
            exia__guard_wake(&dag->guard);
            return EXIA_OK;
        }
    }
    return exia__fail(err, EXIA_ENOTFOUND, 0, "the graph is not being run");
}
