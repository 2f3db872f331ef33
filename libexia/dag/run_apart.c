/* Tasks that end apart from their call.  Whoever knows of an end says so, in any thread: it is noted
 * under the guard's lock, and the thread of the run, which alone begins tasks, sees to it. */
#include <stdio.h>

#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"
#include "dag/run.h"

struct exia__end {
    uint32_t node;
    exia_status rc;
    int32_t native;
    int64_t at_ns;
    char *text; /* best effort: the status is there */
};

exia_status exia__apart_open(exia__run *run, size_t most, exia_error *err)
{
    exia__guard *guard = &run->dag->guard;
    run->most_out = most < run->count ? most : run->count;
    run->place = exia__array(NULL, run->count, sizeof *run->place);
    run->out = exia__array(NULL, run->most_out, sizeof *run->out);
    run->ends = exia__array(NULL, run->most_out, sizeof *run->ends);
    if (run->place == NULL || run->out == NULL || run->ends == NULL)
        return exia__fail_memory(err);
    pthread_mutex_lock(&guard->lock);
    guard->run = run;
    pthread_mutex_unlock(&guard->lock);
    return EXIA_OK;
}

void exia__apart_close(exia__run *run)
{
    exia__guard *guard = &run->dag->guard;
    pthread_mutex_lock(&guard->lock);
    guard->run = NULL;
    pthread_mutex_unlock(&guard->lock);
    exia__release(run->place);
    exia__release(run->ends);
}

static void set_state(exia__run *run, uint32_t node, int state)
{
    pthread_mutex_lock(&run->dag->guard.lock);
    run->tasks[node].state = (unsigned char)state;
    pthread_mutex_unlock(&run->dag->guard.lock);
}

void exia__apart_begin(exia__run *run, uint32_t node)
{
    set_state(run, node, EXIA__OUT);
    run->place[node] = (uint32_t)run->out_count;
    run->out[run->out_count++] = node;
}

static void take_back(exia__run *run, uint32_t node)
{
    uint32_t last = run->out[--run->out_count];
    run->out[run->place[node]] = last;
    run->place[last] = run->place[node];
}

int exia__apart_withdraw(exia__run *run, uint32_t node)
{
    pthread_mutex_lock(&run->dag->guard.lock);
    int out = run->tasks[node].state == EXIA__OUT;
    if (out)
        run->tasks[node].state = EXIA__WAITING;
    pthread_mutex_unlock(&run->dag->guard.lock);
    if (out)
        take_back(run, node);
    return out;
}

static void see_to(exia__worker *w, struct exia__end *end)
{
    take_back(w->run, end->node);
    w->now_ns = end->at_ns;
    w->err.status = end->rc;
    w->err.native = end->native;
    snprintf(w->err.text, sizeof w->err.text, "%s", end->text ? end->text : "");
    exia__release(end->text);
    exia__run_ended(w, end->node, end->rc);
}

/* No task begins meanwhile, so that there is room for all that may be told. */
void exia__apart_see(exia__worker *w)
{
    exia__run *run = w->run;
    pthread_mutex_t *lock = &run->dag->guard.lock;
    pthread_mutex_lock(lock);
    for (size_t i = 0; i < run->end_count; i++) {
        struct exia__end end = run->ends[i];
        pthread_mutex_unlock(lock);
        see_to(w, &end);
        pthread_mutex_lock(lock);
    }
    run->end_count = 0;
    pthread_mutex_unlock(lock);
}

/* The thread of the run needs one call for all that it has not seen yet. */
static void note(exia__run *run, uint32_t node, const exia_error *why)
{
    struct exia__end *end = &run->ends[run->end_count];
    *end = (struct exia__end){.node = node, .at_ns = exia__clock_ns() - run->began_ns};
    if (why != NULL && why->status < 0) {
        end->rc = why->status;
        end->native = why->native;
        exia__text_copy(&end->text, why->text, NULL);
    }
    run->tasks[node].state = EXIA__WAITING;
    if (run->end_count++ == 0)
        exia__guard_wake(&run->dag->guard);
}

exia_status exia_dag_end(exia_dag *dag, uint32_t node, const exia_error *why, exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_end: dag is NULL");
    if (!exia__guard_running(&dag->guard))
        return exia__fail(err, EXIA_ENOTFOUND, 0, "exia_dag_end: the graph is not being run");
    pthread_mutex_lock(&dag->guard.lock);
    exia__run *run = dag->guard.run;
    if (run == NULL)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0,
                        "exia_dag_end: no run of the graph has tasks that end apart");
    else if (node >= run->count || run->tasks[node].state != EXIA__OUT)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "exia_dag_end: node %u is not out: its task was not called, or has ended",
                        (unsigned)node);
    else
        note(run, node, why);
    pthread_mutex_unlock(&dag->guard.lock);
    return rc;
}
