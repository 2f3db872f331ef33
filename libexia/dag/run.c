/* The threaded run.  A worker that ends a task counts down its successors; the first that becomes
 * ready it does itself, the others go into one queue.  The calling thread only watches: it reports
 * progress and asks to stop.  A failure dooms what comes after it: such nodes are counted through in
 * the same way, and not done. */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/job.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "dag/dag.h"

static const uint32_t NONE = UINT32_MAX;
enum { WATCH_MS = 100 };
enum { WAITING, DONE, FAILED, SKIPPED, CANCELLED };
static const char *const states[] = {"waiting", "done", "failed", "skipped", "cancelled"};

typedef struct node {
    atomic_uint waiting; /* edges from nodes that have not ended */
    atomic_uchar doomed; /* something before it failed */
    unsigned char state;
    char *error;
    int64_t start_ns, end_ns; /* since the run began */
} node;

typedef struct run {
    exia_dag *dag;
    const exia__csr *csr;
    exia_task_fn *task;
    void *payload;
    node *nodes;
    size_t count;
    int64_t began_ns; /* 0: nobody wants a report, and no clock is read */
    atomic_size_t left;
    atomic_int stop;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t ready, ended;
    uint32_t *queue; /* ready nodes; each comes into it at most once */
    size_t head, tail;
    size_t idle, alive; /* workers */
    exia_status status; /* of the first task that failed */
    exia_error first;
} run;

static void note_failure(run *r, uint32_t index, exia_status rc, exia_error *err)
{
    char shown[EXIA__SHOWN_SIZE];
    exia__filled(err, rc);
    if (r->began_ns != 0)
        exia__text_copy(&r->nodes[index].error, err->text,
                        NULL); /* best effort: the row has a state */
    exia__prefix(err, rc, "node %s", exia__node_shown(shown, r->dag, index));
    pthread_mutex_lock(&r->lock);
    if (r->status == EXIA_OK) {
        r->status = rc;
        r->first = *err;
    }
    pthread_mutex_unlock(&r->lock);
}

static void do_task(run *r, uint32_t index)
{
    node *n = &r->nodes[index];
    exia_error err = {0};
    if (r->began_ns != 0)
        n->start_ns = exia__clock_ns() - r->began_ns;
    exia_status rc = r->task(index, r->payload, &err);
    if (r->began_ns != 0)
        n->end_ns = exia__clock_ns() - r->began_ns;
    n->state = rc < 0 ? FAILED : DONE;
    if (rc < 0)
        note_failure(r, index, rc, &err);
}

/* What comes after a node that was not done will not be done. */
static void doom_after(run *r, uint32_t index)
{
    for (uint32_t i = r->csr->starts[index]; i < r->csr->starts[index + 1]; i++)
        atomic_store_explicit(&r->nodes[r->csr->targets[i]].doomed, 1, memory_order_relaxed);
}

static void do_or_skip(run *r, uint32_t index)
{
    node *n = &r->nodes[index];
    if (atomic_load_explicit(&n->doomed, memory_order_relaxed))
        n->state = SKIPPED;
    else
        do_task(r, index);
    if (n->state != DONE)
        doom_after(r, index);
}

/* Do one node and count down what comes after it.  Answers the first node that became ready. */
static uint32_t end_node(run *r, uint32_t index)
{
    uint32_t mine = NONE;
    do_or_skip(r, index);
    for (uint32_t i = r->csr->starts[index]; i < r->csr->starts[index + 1]; i++) {
        uint32_t target = r->csr->targets[i];
        unsigned before =
            atomic_fetch_sub_explicit(&r->nodes[target].waiting, 1, memory_order_acq_rel);
        if (before == 1 && mine == NONE) {
            mine = target;
        } else if (before == 1) {
            pthread_mutex_lock(&r->lock);
            r->queue[r->tail++] = target;
            if (r->idle > 0)
                pthread_cond_signal(&r->ready);
            pthread_mutex_unlock(&r->lock);
        }
    }
    if (atomic_fetch_sub_explicit(&r->left, 1, memory_order_acq_rel) == 1) {
        pthread_mutex_lock(&r->lock);
        pthread_cond_broadcast(&r->ready);
        pthread_mutex_unlock(&r->lock);
    }
    return mine;
}

static int is_over(run *r)
{
    return atomic_load(&r->stop) || atomic_load(&r->left) == 0;
}

static uint32_t take(run *r)
{
    uint32_t index = NONE;
    pthread_mutex_lock(&r->lock);
    while (r->head == r->tail && !is_over(r)) {
        r->idle++;
        pthread_cond_wait(&r->ready, &r->lock);
        r->idle--;
    }
    if (!is_over(r))
        index = r->queue[r->head++];
    pthread_mutex_unlock(&r->lock);
    return index;
}

static void *work(void *payload)
{
    run *r = payload;
    uint32_t index = NONE;
    while (!is_over(r)) {
        if (index == NONE)
            index = take(r);
        if (index != NONE)
            index = end_node(r, index);
    }
    pthread_mutex_lock(&r->lock);
    if (--r->alive == 0)
        pthread_cond_signal(&r->ended);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* In this thread, in the order of exia_dag_order(). */
static exia_status run_here(run *r, exia__work *job, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < r->count; i++) {
        rc = exia__work_step(job, "running", i, r->count, err);
        if (rc < 0)
            break;
        do_or_skip(r, r->dag->order[i]);
    }
    return rc;
}

/* Until the last worker has left. */
static exia_status watch(run *r, exia__work *job, exia_error *err)
{
    exia_status rc = EXIA_OK;
    pthread_mutex_lock(&r->lock);
    while (r->alive > 0) {
        pthread_mutex_unlock(&r->lock);
        size_t done = r->count - atomic_load(&r->left);
        /* also after a cancel: whoever watches sees the last tasks end */
        exia_status step = exia__work_step(job, "running", done, r->count, rc < 0 ? NULL : err);
        rc = rc < 0 ? rc : step;
        pthread_mutex_lock(&r->lock);
        if (rc < 0 && !atomic_exchange(&r->stop, 1))
            pthread_cond_broadcast(&r->ready);
        if (r->alive > 0)
            exia__cond_wait(&r->ended, &r->lock, exia__clock_ns() + (int64_t)WATCH_MS * 1000000);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

/* Signals are the host's: its handlers must not run in our threads. */
static size_t start_workers(run *r, pthread_t *threads, size_t wanted)
{
    sigset_t all, before;
    size_t started = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&r->lock);
    while (started < wanted && pthread_create(&threads[started], NULL, work, r) == 0)
        started++;
    r->alive = started;
    pthread_mutex_unlock(&r->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static exia_status run_in_threads(run *r, exia__work *job, exia_error *err)
{
    exia_status rc = EXIA_OK;
    size_t wanted = job->job.threads < r->count ? job->job.threads : r->count;
    pthread_t *threads = exia__array(NULL, wanted, sizeof *threads);
    r->queue = exia__array(NULL, r->count, sizeof *r->queue);
    if (threads == NULL || r->queue == NULL) {
        exia__release(threads);
        return exia__fail_memory(err);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        if (atomic_load_explicit(&r->nodes[i].waiting, memory_order_relaxed) == 0)
            r->queue[r->tail++] = i;
    }
    size_t started = start_workers(r, threads, wanted);
    rc = started > 0 ? watch(r, job, err)
                     : run_here(r, job, err); /* no thread to be had: this one */
    while (started > 0)
        pthread_join(threads[--started], NULL);
    exia__release(threads);
    return rc;
}

/* What was not reached: after a failure it is skipped, else it was cancelled. */
static void settle(run *r)
{
    for (size_t i = 0; i < r->count; i++) {
        uint32_t index = r->dag->order[i];
        node *n = &r->nodes[index];
        if (n->state == WAITING)
            n->state = atomic_load_explicit(&n->doomed, memory_order_relaxed) ? SKIPPED : CANCELLED;
        if (n->state == FAILED || n->state == SKIPPED)
            doom_after(r, index);
    }
}

static exia_status add_row(exia_rows *rows, const run *r, uint32_t index, exia_error *err)
{
    const node *n = &r->nodes[index];
    int ran = n->state == DONE || n->state == FAILED;
    json_t *start = ran ? json_real((double)n->start_ns / 1e6) : json_null();
    json_t *end = ran ? json_real((double)n->end_ns / 1e6) : json_null();
    json_t *row = json_pack("{s:I, s:s?, s:s, s:s?, s:o, s:o}", "node", (json_int_t)index, "name",
                            exia_dag_name(r->dag, index), "state", states[n->state], "error",
                            n->error, "start_ms", start, "end_ms", end);
    exia_status rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    return rc;
}

static exia_status write_report(exia_rows **out, run *r, exia_error *err)
{
    exia_rows *rows = NULL;
    exia_status rc = exia__rows_open(&rows, err);
    settle(r);
    for (uint32_t i = 0; i < r->count && rc == EXIA_OK; i++)
        rc = add_row(rows, r, i, err);
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    return rc;
}

static exia_status prepare(run *r, exia_error *err)
{
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->ready, NULL);
    exia_status rc = exia__cond_open(&r->ended, err);
    if (rc < 0)
        return rc;
    r->nodes = exia__zeroed(r->count, sizeof *r->nodes);
    if (r->nodes == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < r->dag->edge_count; i++) {
        node *n = &r->nodes[r->dag->after[i]];
        atomic_init(&n->waiting, atomic_load_explicit(&n->waiting, memory_order_relaxed) + 1);
    }
    atomic_init(&r->left, r->count);
    return EXIA_OK;
}

static void clean(run *r)
{
    for (size_t i = 0; r->nodes != NULL && i < r->count; i++)
        exia__release(r->nodes[i].error);
    exia__release(r->nodes);
    exia__release(r->queue);
    pthread_cond_destroy(&r->ready);
    pthread_cond_destroy(&r->ended);
    pthread_mutex_destroy(&r->lock);
}

exia_status exia_dag_run(exia_rows **report, exia_dag *dag, exia_task_fn *task, void *payload,
                         const exia_job *job, exia_error *err)
{
    exia__work work;
    exia_error other;
    if (report != NULL)
        *report = NULL;
    if (dag == NULL || task == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_run: an argument is NULL");
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__dag_sort(dag, err);
    if (rc < 0)
        return rc;
    run r = {.dag = dag,
             .csr = &dag->csr,
             .task = task,
             .payload = payload,
             .count = dag->names.count,
             .began_ns = report ? exia__clock_ns() : 0};
    rc = prepare(&r, err);
    if (rc < 0)
        goto done;
    rc = work.job.threads > 1 ? run_in_threads(&r, &work, err) : run_here(&r, &work, err);
    if (rc == EXIA_OK && r.status < 0) {
        rc = r.status;
        if (err != NULL)
            *err = r.first;
    }
    if (report != NULL && write_report(report, &r, &other) < 0 && rc == EXIA_OK)
        rc = exia__fail(err, other.status, 0, "all tasks are done, but not the report: %s",
                        other.text);
done:
    clean(&r);
    return rc;
}
