/* A worker: it does a node, counts down what comes after it, and goes on with what became ready.  A
 * failure dooms what comes after it: such nodes are counted through in the same way, and not done. */
#include <string.h>

#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"
#include "dag/run.h"

/* Under the lock, which a sleeper gives back only in its wait: so no call is missed. */
void exia__run_call(exia__run *run)
{
    if (atomic_load_explicit(&run->idle, memory_order_relaxed) > 0) {
        atomic_fetch_sub(&run->idle, 1);
        run->calls++;
        pthread_cond_signal(&run->changed);
    }
}

void exia__run_stop(exia__run *run)
{
    pthread_mutex_lock(&run->lock);
    atomic_store(&run->stop, 1);
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
}

/* What comes after a node that was not done will not be done. */
void exia__run_doom_after(exia__run *run, uint32_t node)
{
    for (uint32_t i = run->csr->starts[node]; i < run->csr->starts[node + 1]; i++)
        atomic_store_explicit(&run->tasks[run->csr->targets[i]].doomed, 1, memory_order_relaxed);
}

/* Of the last attempt; NULL: it did not fail. */
static void keep_error(exia__trace *trace, const char *text)
{
    exia__release(trace->error);
    trace->error = NULL;
    if (text != NULL)
        exia__text_copy(&trace->error, text, NULL); /* best effort: the row has a state */
}

static void note_failure(exia__run *run, uint32_t node, exia_status rc, exia_error *err)
{
    char shown[EXIA__SHOWN_SIZE];
    exia__prefix(err, rc, "node %s", exia__node_shown(shown, run->dag, node));
    pthread_mutex_lock(&run->lock);
    if (run->first_rc == EXIA_OK) {
        run->first_rc = rc;
        run->first_error = *err;
    }
    pthread_mutex_unlock(&run->lock);
    if (run->options.on_failure == EXIA_DAG_STOP)
        exia__run_stop(run);
}

static int fail(exia__worker *w, uint32_t node, exia_status rc)
{
    exia__run *run = w->run;
    exia__filled(&w->err, rc);
    if (run->traces != NULL)
        keep_error(&run->traces[node], w->err.text);
    if (run->options.retries > 0 && rc != EXIA_ECANCELLED &&
        run->attempts[node] <= run->options.retries && !exia__run_stops(run))
        return EXIA__AGAIN;
    note_failure(run, node, rc, &w->err);
    return rc == EXIA_ECANCELLED ? EXIA__CANCELLED : EXIA__FAILED;
}

static void trace_begin(exia__worker *w, exia__trace *trace)
{
    keep_error(trace, NULL);
    if (trace->attempts++ == 0)
        trace->started_ns = w->now_ns ? w->now_ns : exia__clock_ns() - w->run->began_ns;
    trace->worker = w->index;
}

/* Answers its state, or EXIA__AGAIN. */
static int end_task(exia__worker *w, uint32_t node, exia_status rc)
{
    if (w->run->traces != NULL)
        w->run->traces[node].ended_ns = w->now_ns;
    return rc < 0 ? fail(w, node, rc) : EXIA__DONE;
}

static int do_task(exia__worker *w, uint32_t node)
{
    exia__run *run = w->run;
    exia__trace *trace = run->traces ? &run->traces[node] : NULL;
    if (trace != NULL)
        trace_begin(w, trace);
    if (run->attempts != NULL)
        run->attempts[node]++;
    w->err.status = EXIA_OK;
    w->err.native = 0;
    w->err.text[0] = '\0';
    if (run->place != NULL)
        exia__apart_begin(run, node);
    atomic_store_explicit(&w->doing, node, memory_order_relaxed);
    exia_status rc = run->task(node, run->payload, &w->err);
    atomic_store_explicit(&w->doing, EXIA_NO_NODE, memory_order_relaxed);
    if (run->place != NULL && (rc >= 0 || !exia__apart_withdraw(run, node)))
        return EXIA__OUT;
    if (trace != NULL)
        w->now_ns = exia__clock_ns() - run->began_ns;
    return end_task(w, node, rc);
}

static int settle(exia__worker *w, uint32_t node, int state)
{
    if (state == EXIA__AGAIN || state == EXIA__OUT)
        return state;
    atomic_store_explicit(&w->run->tasks[node].state, (unsigned char)state, memory_order_relaxed);
    if (state != EXIA__DONE && (state != EXIA__CANCELLED || !exia__run_stops(w->run)))
        exia__run_doom_after(w->run, node);
    atomic_store_explicit(&w->passed, atomic_load_explicit(&w->passed, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    return state;
}

int exia__run_do(exia__worker *w, uint32_t node)
{
    int doomed = atomic_load_explicit(&w->run->tasks[node].doomed, memory_order_relaxed);
    return settle(w, node, doomed ? EXIA__SKIPPED : do_task(w, node));
}

/* The last edge needs no read-modify-write: nobody else has one to count. */
int exia__run_release(exia__worker *w, uint32_t node)
{
    exia__run *run = w->run;
    exia__task *task = &run->tasks[node];
    if (atomic_load_explicit(&task->waiting, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&task->waiting, 1, memory_order_acq_rel) != 1)
        return 0;
    if (run->traces != NULL && !atomic_load_explicit(&task->doomed, memory_order_relaxed))
        run->traces[node].queued_ns = w->now_ns;
    return 1;
}

static uint32_t follow(exia__worker *w, uint32_t node, int state)
{
    if (w->run->keys == NULL)
        return exia__plain_end(w, node);
    if (state == EXIA__AGAIN)
        exia__ordered_again(w, node);
    else if (state != EXIA__OUT)
        exia__ordered_end(w, node);
    return EXIA_NO_NODE;
}

uint32_t exia__run_step(exia__worker *w, uint32_t node)
{
    return follow(w, node, exia__run_do(w, node));
}

uint32_t exia__run_ended(exia__worker *w, uint32_t node, exia_status rc)
{
    return follow(w, node, settle(w, node, end_task(w, node, rc)));
}

/* ---- a worker -------------------------------------------------------------------------------- */

static void leave(exia__worker *w)
{
    if (atomic_fetch_sub(&w->run->alive, 1) == 1)
        exia__guard_wake(&w->run->dag->guard);
}

/* A task ends the thread that it runs in: another one goes on in its place. */
static void replace(void *worker)
{
    exia__worker *w = worker;
    exia__run *run = w->run;
    w->lost = 1;
    w->left = pthread_self();
    if (pthread_create(&run->threads[w->index], NULL, exia__run_work, w) == 0)
        return;
    run->threads[w->index] = w->left;
    uint32_t node = atomic_exchange(&w->doing, EXIA_NO_NODE);
    exia__fail(&w->err, EXIA_ENOMEM, 0, "its task ended its thread, and no other one is to be had");
    if (run->traces != NULL) {
        keep_error(&run->traces[node], w->err.text);
        run->traces[node].ended_ns = exia__clock_ns() - run->began_ns;
    }
    note_failure(run, node, EXIA_ENOMEM, &w->err);
    atomic_store(&run->tasks[node].state, EXIA__FAILED);
    exia__run_stop(run);
    leave(w);
}

static uint32_t end_lost(exia__worker *w)
{
    uint32_t node = atomic_exchange(&w->doing, EXIA_NO_NODE);
    pthread_join(w->left, NULL);
    w->lost = 0;
    w->now_ns = exia__clock_ns() - w->run->began_ns;
    return exia__run_ended(
        w, node, exia__fail(&w->err, EXIA_EUSER, 0, "the task ended the thread that it ran in"));
}

static void work(exia__worker *w)
{
    exia__run *run = w->run;
    uint32_t node = w->lost ? end_lost(w) : EXIA_NO_NODE;
    for (;;) {
        while (node != EXIA_NO_NODE && !exia__run_stops(run))
            node = exia__run_step(w, node);
        w->now_ns = 0;
        node = run->keys ? exia__ordered_take(w) : exia__plain_take(w);
        if (node == EXIA_NO_NODE)
            break;
    }
}

void *exia__run_work(void *worker)
{
    pthread_cleanup_push(replace, worker);
    work(worker);
    pthread_cleanup_pop(0);
    leave(worker);
    return NULL;
}
