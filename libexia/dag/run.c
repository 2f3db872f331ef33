/* The run from outside: it begins, the calling thread watches, it ends.  The tasks are done by
 * workers; of one thread, by the calling thread itself, which then looks up between tasks. */
#include "dag/run.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"

static const int64_t LOOK_NS = 100000000;

/* ---- who watches ------------------------------------------------------------------------------ */

typedef struct watch {
    exia__run *run;
    exia__work *job;
    exia_error *err;
    exia_status rc;  /* EXIA_ECANCELLED, EXIA_ETIMEOUT */
    int64_t told_ns; /* when `out` was called last, and whether the run stopped */
    int told_stops;
    size_t out_count; /* of run->out: nodes whose tasks run */
} watch;

static void find_out(watch *w)
{
    w->out_count = w->run->out_count; /* apart: they are known */
    if (w->run->place != NULL)
        return;
    for (size_t i = 0; i < w->run->worker_count; i++) {
        uint32_t node = atomic_load_explicit(&w->run->workers[i].doing, memory_order_relaxed);
        if (node != EXIA_NO_NODE)
            w->run->out[w->out_count++] = node;
    }
}

/* "running", and when nothing more is started, what has not ended. */
static int stops(const watch *w)
{
    return w->rc < 0 || atomic_load(&w->run->stop);
}

static const char *step_text(char *text, size_t size, const watch *w)
{
    enum { SHOWN = 3 };
    char shown[EXIA__SHOWN_SIZE];
    if (w->out_count == 0 || !stops(w))
        return "running";
    int used = snprintf(text, size, "stopping, still out:");
    for (size_t i = 0; i < w->out_count && i < SHOWN; i++)
        used += snprintf(text + used, size - (size_t)used, "%s %s", i > 0 ? "," : "",
                         exia__node_shown(shown, w->run->dag, w->run->out[i]));
    if (w->out_count > SHOWN)
        snprintf(text + used, size - (size_t)used, " and %zu more", w->out_count - SHOWN);
    return text;
}

static void tell_out(watch *w)
{
    int64_t now = exia__clock_ns();
    int stopping = stops(w);
    if (now - w->told_ns < LOOK_NS && stopping == w->told_stops)
        return;
    w->told_ns = now;
    w->told_stops = stopping;
    w->run->options.out(w->run->out, w->out_count, stopping, w->run->options.payload);
}

static size_t passed(const exia__run *run)
{
    size_t sum = 0;
    for (size_t i = 0; i < run->worker_count; i++)
        sum += atomic_load_explicit(&run->workers[i].passed, memory_order_relaxed);
    return sum;
}

static void heed_cancel(watch *w)
{
    if (w->rc == EXIA_OK && exia__guard_stops(&w->run->dag->guard))
        w->rc = exia__fail(w->err, EXIA_ECANCELLED, 0, "the run was cancelled");
}

/* Once it stops, whoever watches sees the last tasks end, whatever is answered and however late. */
static exia_status look(watch *w)
{
    char text[3 * EXIA__SHOWN_SIZE + 64];
    exia__run *run = w->run;
    heed_cancel(w);
    if (run->out != NULL)
        find_out(w);
    if (run->out != NULL && run->options.out != NULL)
        tell_out(w);
    exia_status rc = exia__work_step(w->job, step_text(text, sizeof text, w), passed(run),
                                     run->count, w->rc < 0 ? NULL : w->err);
    if (w->rc == EXIA_OK)
        w->rc = rc;
    if (w->rc < 0)
        w->job->end_ms = 0;
    return w->rc;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a == EXIA__FOREVER || (b != EXIA__FOREVER && b < a) ? b : a;
}

/* Until something is to be looked at. */
static void pause_until(watch *w, int64_t until_ns)
{
    if (w->job->job.progress != NULL || w->run->options.out != NULL)
        until_ns = sooner(until_ns, exia__clock_ns() + LOOK_NS);
    if (w->job->end_ms != 0 && w->job->end_ms < INT64_MAX / 1000000)
        until_ns = sooner(until_ns, w->job->end_ms * 1000000);
    exia__guard_wait(&w->run->dag->guard, until_ns);
}

/* ---- in this thread --------------------------------------------------------------------------- */

/* By the order there is, nothing need be counted but for the report. */
static void do_next(exia__run *run, uint32_t node)
{
    exia__worker *worker = &run->workers[0];
    worker->now_ns = 0;
    if (run->keys != NULL)
        exia__run_step(worker, node);
    else
        exia__run_do(worker, node);
    for (uint32_t i = run->csr->starts[node];
         run->keys == NULL && run->traces != NULL && i < run->csr->starts[node + 1]; i++)
        exia__run_release(worker, run->csr->targets[i]);
}

static void run_here(watch *w)
{
    exia__run *run = w->run;
    int64_t until = EXIA__FOREVER;
    for (size_t i = 0; !atomic_load_explicit(&run->stop, memory_order_relaxed);) {
        if ((run->keys == NULL && i == run->count) || look(w) < 0)
            break;
        uint32_t node = run->keys ? exia__ordered_next(run, &until) : run->dag->order[i++];
        if (node != EXIA_NO_NODE)
            do_next(run, node);
        else if (until != EXIA__FOREVER)
            pause_until(w, until);
        else
            break;
    }
}

/* Begun here, ended anywhere. */
static void run_apart(watch *w)
{
    exia__run *run = w->run;
    int64_t until = EXIA__FOREVER;
    for (;;) {
        exia__apart_see(&run->workers[0]);
        int going = look(w) == EXIA_OK && !atomic_load(&run->stop);
        if (!going && run->out_count == 0)
            break;
        uint32_t node = EXIA_NO_NODE;
        until = EXIA__FOREVER;
        if (going && run->out_count < run->most_out)
            node = exia__ordered_next(run, &until);
        if (node != EXIA_NO_NODE)
            do_next(run, node);
        else if (until != EXIA__FOREVER || run->out_count > 0)
            pause_until(w, until);
        else
            break;
    }
}

/* ---- in threads ------------------------------------------------------------------------------- */

/* The others may be asleep already, and waited for this one: the last to sleep ends the run. */
static void count_started(exia__run *run, int more)
{
    pthread_mutex_lock(&run->lock);
    run->started += (size_t)more;
    if (more < 0)
        exia__run_call(run);
    pthread_mutex_unlock(&run->lock);
}

/* Signals are the host's: its handlers must not run in our threads. */
static void start_workers(exia__run *run)
{
    sigset_t all, before;
    int code = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 0; i < run->worker_count && code == 0 && !atomic_load(&run->stop); i++) {
        atomic_fetch_add(&run->alive, 1);
        count_started(run, 1);
        code = pthread_create(&run->threads[i], NULL, exia__run_work, &run->workers[i]);
        if (code != 0) {
            count_started(run, -1);
            atomic_fetch_sub(&run->alive, 1);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void run_in_threads(watch *w)
{
    exia__run *run = w->run;
    start_workers(run);
    if (run->started == 0) { /* no thread to be had: this one */
        run_here(w);
        return;
    }
    int told = 0;
    while (atomic_load(&run->alive) > 0) {
        if (look(w) < 0 && !told) {
            exia__run_stop(run);
            told = 1;
        }
        if (atomic_load(&run->alive) > 0)
            pause_until(w, EXIA__FOREVER);
    }
    for (size_t i = 0; i < run->started; i++)
        pthread_join(run->threads[i], NULL);
}

/* ---- from beginning to end --------------------------------------------------------------------- */

static exia_status open_traces(exia__run *run, exia_error *err)
{
    run->traces = exia__array(NULL, run->count, sizeof *run->traces);
    if (run->traces == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < run->count; i++) {
        int64_t queued =
            atomic_load_explicit(&run->tasks[i].waiting, memory_order_relaxed) > 0 ? -1 : 0;
        run->traces[i] = (exia__trace){.queued_ns = queued, .started_ns = -1, .ended_ns = -1};
    }
    return EXIA_OK;
}

static exia_status open_workers(exia__run *run, size_t threads, exia_error *err)
{
    int apart = run->options.ends == EXIA_DAG_APART;
    int here = threads < 2 || run->count == 0 || apart;
    run->worker_count = here ? 1 : threads < run->count ? threads : run->count;
    run->workers = exia__zeroed(run->worker_count, sizeof *run->workers);
    run->threads = here ? NULL : exia__array(NULL, run->worker_count, sizeof *run->threads);
    run->out = here ? NULL : exia__array(NULL, run->worker_count, sizeof *run->out);
    if (run->workers == NULL || (!here && (run->threads == NULL || run->out == NULL)))
        return exia__fail_memory(err);
    for (size_t i = 0; i < run->worker_count; i++) {
        exia__worker *w = &run->workers[i];
        w->run = run;
        w->index = (uint32_t)i;
        atomic_init(&w->doing, EXIA_NO_NODE);
    }
    return apart ? exia__apart_open(run, threads, err) : EXIA_OK;
}

static exia_status open_tasks(exia__run *run, exia_error *err)
{
    run->tasks = exia__zeroed(run->count, sizeof *run->tasks);
    if (run->tasks == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < run->csr->starts[run->count]; i++) {
        atomic_uint *waiting = &run->tasks[run->csr->targets[i]].waiting;
        atomic_init(waiting, atomic_load_explicit(waiting, memory_order_relaxed) + 1);
    }
    return EXIA_OK;
}

static exia_status open_run(exia__run *run, int report, size_t threads, exia_error *err)
{
    const exia_dag_run_options *o = &run->options;
    pthread_mutex_init(&run->lock, NULL);
    exia_status rc = exia__cond_open(&run->changed, err);
    if (rc == EXIA_OK)
        rc = open_tasks(run, err);
    if (rc == EXIA_OK && report)
        rc = open_traces(run, err);
    if (rc == EXIA_OK)
        rc = open_workers(run, threads, err);
    if (rc < 0)
        return rc;
    if (o->priority != 0 || o->retries > 0 || o->resource_count > 0 || run->place != NULL)
        return exia__ordered_open(run, err);
    return run->threads != NULL ? exia__plain_open(run, err) : EXIA_OK;
}

static void close_run(exia__run *run)
{
    for (size_t i = 0; run->traces != NULL && i < run->count; i++)
        exia__release(run->traces[i].error);
    exia__ordered_close(run);
    exia__apart_close(run);
    exia__release(run->next);
    exia__release(run->traces);
    exia__release(run->tasks);
    exia__release(run->workers);
    exia__release(run->threads);
    exia__release(run->out);
    pthread_cond_destroy(&run->changed);
    pthread_mutex_destroy(&run->lock);
}

static exia_status run_all(exia__run *run, exia__work *job, exia_error *err)
{
    watch w = {.run = run, .job = job, .err = err};
    if (run->place != NULL)
        run_apart(&w);
    else if (run->threads != NULL)
        run_in_threads(&w);
    else
        run_here(&w);
    heed_cancel(&w); /* it may have ended before anybody looked */
    if (w.rc == EXIA_OK && run->first_rc < 0) {
        w.rc = run->first_rc;
        if (err != NULL)
            *err = run->first_error;
    }
    return w.rc;
}

/* The graph is ours until the end. */
static exia_status run_guarded(exia_rows **report, exia__run *run, exia__work *job, exia_error *err)
{
    exia_error other;
    exia_status rc = exia__dag_sort(run->dag, err);
    if (rc < 0)
        return rc;
    run->csr = &run->dag->csr;
    run->count = run->dag->names.count;
    run->began_ns = exia__clock_ns();
    rc = open_run(run, report != NULL, job->job.threads, err);
    if (rc < 0)
        goto done;
    rc = run_all(run, job, err);
    if (report != NULL && exia__run_report(report, run, &other) < 0 && rc == EXIA_OK)
        rc = exia__fail(err, other.status, 0, "all tasks are done, but not the report: %s",
                        other.text);
done:
    close_run(run);
    return rc;
}

exia_status exia_dag_run_with(exia_rows **report, exia_dag *dag, exia_task_fn *task, void *payload,
                              const exia_dag_run_options *options, const exia_job *job,
                              exia_error *err)
{
    exia__work work;
    if (report != NULL)
        *report = NULL;
    if (dag == NULL || task == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_run: an argument is NULL");
    exia__run run = {.dag = dag, .task = task, .payload = payload};
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__guard_begin(&dag->guard, err);
    if (rc < 0)
        return rc;
    rc = exia__run_options(&run.options, options, dag, err);
    if (rc == EXIA_OK)
        rc = run_guarded(report, &run, &work, err);
    if (exia__guard_end(&dag->guard))
        exia_dag_free(dag);
    return rc;
}

exia_status exia_dag_run(exia_rows **report, exia_dag *dag, exia_task_fn *task, void *payload,
                         const exia_job *job, exia_error *err)
{
    return exia_dag_run_with(report, dag, task, payload, NULL, job, err);
}
