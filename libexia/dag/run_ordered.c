/* The order that the caller wants.  What is ready lies in one heap, what waits for a resource in that
 * resource's, and what backs off in one by the time when it is due; all under one lock.  A node is in
 * one heap at a time, so their memory is known before the run.  One sleeper at most keeps the time;
 * who finds that more is to be done calls the next one. */
#include <math.h>

#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"
#include "dag/heap.h"
#include "dag/run.h"

/* ---- keys ------------------------------------------------------------------------------------ */

static double weight(const exia__run *run, uint32_t node)
{
    return run->options.weights ? run->options.weights[node] : 1;
}

/* The longest way from each node to an end, itself included. */
static exia_status fill_critical(const exia__run *run, exia_error *err)
{
    double *ways = exia__array(NULL, run->count, sizeof *ways);
    if (ways == NULL)
        return exia__fail_memory(err);
    for (size_t i = run->count; i-- > 0;) {
        uint32_t node = run->dag->order[i];
        double longest = 0;
        for (uint32_t k = run->csr->starts[node]; k < run->csr->starts[node + 1]; k++)
            longest = fmax(longest, ways[run->csr->targets[k]]);
        ways[node] = longest + weight(run, node);
        run->keys[node] = exia__heap_key(-ways[node]);
    }
    exia__release(ways);
    return EXIA_OK;
}

static exia_status fill_keys(const exia__run *run, exia_error *err)
{
    if (run->options.priority == EXIA_DAG_CRITICAL)
        return fill_critical(run, err);
    for (size_t i = 0; i < run->count; i++) {
        uint32_t node = run->dag->order[i];
        run->keys[node] = run->options.priority == EXIA_DAG_GIVEN
                              ? exia__heap_key(-weight(run, node))
                              : (int64_t)i;
    }
    return EXIA_OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* EXIA_DAG_NO_RESOURCE also for what is doomed: nothing will be done. */
static uint32_t resource_of(const exia__run *run, uint32_t node)
{
    if (run->options.resource_count == 0 ||
        atomic_load_explicit(&run->tasks[node].doomed, memory_order_relaxed))
        return EXIA_DAG_NO_RESOURCE;
    return run->options.uses[node];
}

/* One run of items: ready, then later, then what each resource may have to wait for. */
static void share_out(exia__run *run)
{
    exia__keyed *items = run->items;
    run->ready.items = items;
    run->later.items = items + run->count;
    items += run->options.retries > 0 ? 2 * run->count : run->count;
    if (run->options.resource_count == 0)
        return;
    for (size_t i = 0; i < run->count; i++) {
        if (run->options.uses[i] != EXIA_DAG_NO_RESOURCE)
            run->parked[run->options.uses[i]].count++;
    }
    for (size_t i = 0; i < run->options.resource_count; i++) {
        run->parked[i].items = items;
        items += run->parked[i].count;
        run->parked[i].count = 0;
    }
}

exia_status exia__ordered_open(exia__run *run, exia_error *err)
{
    size_t resources = run->options.resource_count;
    size_t heaps = 1u + (run->options.retries > 0) + (resources > 0);
    run->keys = exia__array(NULL, run->count, sizeof *run->keys);
    run->items = exia__array(NULL, run->count, heaps * sizeof *run->items);
    run->parked = exia__zeroed(resources, sizeof *run->parked);
    run->used = exia__zeroed(resources, sizeof *run->used);
    run->attempts = exia__zeroed(run->count, sizeof *run->attempts);
    if (run->keys == NULL || run->items == NULL || run->parked == NULL || run->used == NULL ||
        run->attempts == NULL)
        return exia__fail_memory(err);
    exia_status rc = fill_keys(run, err);
    if (rc < 0)
        return rc;
    share_out(run);
    for (uint32_t i = 0; i < run->count; i++) {
        if (atomic_load_explicit(&run->tasks[i].waiting, memory_order_relaxed) == 0)
            exia__heap_push(&run->ready, run->keys[i], i);
    }
    return EXIA_OK;
}

void exia__ordered_close(exia__run *run)
{
    exia__release(run->keys);
    exia__release(run->items);
    exia__release(run->parked);
    exia__release(run->used);
    exia__release(run->attempts);
}

/* ---- the run; all below under the lock -------------------------------------------------------- */

static void give_back(exia__run *run, uint32_t node)
{
    uint32_t resource = resource_of(run, node);
    if (resource == EXIA_DAG_NO_RESOURCE)
        return;
    run->used[resource]--;
    if (run->parked[resource].count > 0) {
        uint32_t first = exia__heap_pop(&run->parked[resource]);
        exia__heap_push(&run->ready, run->keys[first], first);
    }
}

static int64_t due_ns(const exia__run *run)
{
    return run->began_ns + run->later.items[0].key;
}

static void fetch_due(exia__run *run)
{
    if (run->later.count == 0)
        return;
    int64_t now = exia__clock_ns();
    while (run->later.count > 0 && due_ns(run) <= now) {
        uint32_t node = exia__heap_pop(&run->later);
        exia__heap_push(&run->ready, run->keys[node], node);
    }
}

static uint32_t pick(exia__run *run)
{
    fetch_due(run);
    while (run->ready.count > 0) {
        uint32_t node = exia__heap_pop(&run->ready), resource = resource_of(run, node);
        if (resource == EXIA_DAG_NO_RESOURCE)
            return node;
        if (run->used[resource] < run->options.resources[resource].limit) {
            run->used[resource]++;
            return node;
        }
        exia__heap_push(&run->parked[resource], run->keys[node], node);
    }
    return EXIA_NO_NODE;
}

/* Until there may be something to do; the last to sleep ends the run, if nothing backs off. */
static void sleep_until_called(exia__run *run)
{
    int timed = run->later.count > 0 && !run->timed;
    size_t idle = atomic_fetch_add(&run->idle, 1) + 1;
    if (idle == run->started && run->later.count == 0) {
        atomic_store(&run->stop, 1);
        pthread_cond_broadcast(&run->changed);
        return;
    }
    run->timed |= timed;
    int called = 1;
    while (run->calls == 0 && called && !atomic_load(&run->stop))
        called = exia__cond_wait(&run->changed, &run->lock, timed ? due_ns(run) : EXIA__FOREVER);
    if (timed)
        run->timed = 0;
    if (run->calls > 0)
        run->calls--;
    else
        atomic_fetch_sub(&run->idle, 1); /* by the time, or by the end */
}

uint32_t exia__ordered_take(exia__worker *w)
{
    exia__run *run = w->run;
    uint32_t node = EXIA_NO_NODE;
    pthread_mutex_lock(&run->lock);
    while (!exia__run_stops(run)) {
        node = pick(run);
        if (node != EXIA_NO_NODE)
            break;
        sleep_until_called(run);
    }
    if (run->ready.count > 0 || (run->later.count > 0 && !run->timed))
        exia__run_call(run);
    pthread_mutex_unlock(&run->lock);
    return node;
}

uint32_t exia__ordered_next(exia__run *run, int64_t *until_ns)
{
    pthread_mutex_lock(&run->lock);
    uint32_t node = pick(run);
    *until_ns = run->later.count > 0 ? due_ns(run) : EXIA__FOREVER;
    pthread_mutex_unlock(&run->lock);
    return node;
}

void exia__ordered_end(exia__worker *w, uint32_t node)
{
    exia__run *run = w->run;
    pthread_mutex_lock(&run->lock);
    give_back(run, node);
    for (uint32_t i = run->csr->starts[node]; i < run->csr->starts[node + 1]; i++) {
        uint32_t target = run->csr->targets[i];
        if (exia__run_release(w, target))
            exia__heap_push(&run->ready, run->keys[target], target);
    }
    pthread_mutex_unlock(&run->lock);
}

static double wait_ms(const exia_dag_run_options *options, uint32_t attempts)
{
    double wait = (double)options->retry_ms;
    for (uint32_t i = 1; i < attempts && wait < (double)options->retry_most_ms && wait > 0; i++)
        wait *= 2;
    return fmin(wait, (double)options->retry_most_ms);
}

/* Who keeps the time may have to wake earlier now. */
void exia__ordered_again(exia__worker *w, uint32_t node)
{
    exia__run *run = w->run;
    double due = (double)(exia__clock_ns() - run->began_ns) +
                 1e6 * wait_ms(&run->options, run->attempts[node]);
    pthread_mutex_lock(&run->lock);
    give_back(run, node);
    exia__heap_push(&run->later, (int64_t)fmin(due, 4e18), node);
    for (size_t i = atomic_load(&run->idle); i > 0 && run->later.items[0].node == node; i--)
        exia__run_call(run);
    pthread_mutex_unlock(&run->lock);
}
