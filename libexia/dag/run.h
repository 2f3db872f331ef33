/* A run as its files share it:
 *
 *     run.c          begins, watches and ends it
 *     run_work.c     does the tasks and counts down what comes after them
 *     run_plain.c    which one is next when nobody cares: each worker's own, else somebody's
 *     run_ordered.c  which one is next by priority, resources and back-off: one queue, one lock
 *     run_apart.c    tasks that end when somebody says so, not when they return
 *     run_report.c   what came of them */
#ifndef EXIA_DAG_RUN_H
#define EXIA_DAG_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include "dag/dag.h"
#include "dag/heap.h"

enum {
    EXIA__WAITING,
    EXIA__DONE,
    EXIA__FAILED,
    EXIA__SKIPPED,
    EXIA__CANCELLED,
    EXIA__AGAIN,
    EXIA__OUT
};

/* All that a run without a report must know of a node. */
typedef struct exia__task {
    atomic_uint waiting; /* edges from nodes that have not ended */
    atomic_uchar doomed; /* something before it was not done */
    atomic_uchar state;
} exia__task;

/* Times since the run began; -1: it did not come to that. */
typedef struct exia__trace {
    int64_t queued_ns, started_ns, ended_ns;
    char *error; /* of the last attempt */
    uint32_t attempts, worker;
} exia__trace;

/* Apart: on different lines, also where the processor fetches two at a time. */
enum { EXIA__APART = 128, EXIA__DEQUE = 256 };

/* What a worker has to do: it takes at the bottom, others steal at the top (D. Chase and Y. Lev,
 * 2005). */
typedef struct exia__deque {
    char apart_top[EXIA__APART];
    atomic_llong top;
    char apart_bottom[EXIA__APART];
    atomic_llong bottom;
    atomic_uint nodes[EXIA__DEQUE];
} exia__deque;

typedef struct exia__worker {
    exia__deque deque;
    char apart[EXIA__APART];
    struct exia__run *run;
    atomic_uint doing;    /* the node whose task runs */
    atomic_size_t passed; /* nodes that ended here, for progress */
    uint32_t index;
    int64_t now_ns; /* when its last task ended, if the next one begins at once; else 0 */
    int lost;       /* the task ended its thread: */
    pthread_t left; /* this one */
    exia_error err;
} exia__worker;

/* The greatest key first; of equal ones the smallest node. */

typedef struct exia__run {
    exia_dag *dag;
    const exia__csr *csr;
    exia_task_fn *task;
    void *payload;
    exia_dag_run_options options;
    size_t count;
    int64_t began_ns;
    exia__task *tasks;
    exia__trace *traces; /* NULL: nobody wants a report, and no clock is read for it */

    exia__worker *workers;
    pthread_t *threads;  /* NULL: this thread does the tasks */
    uint32_t *out;       /* for who watches: the nodes whose tasks run; NULL: nobody could */
    size_t worker_count; /* places */
    atomic_size_t alive;
    atomic_int stop; /* nothing more is started */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    size_t started;       /* workers; the first ones begin before the last ones are there */
    atomic_size_t idle;   /* workers that sleep and were not called; changed under the lock */
    size_t calls;         /* to idle workers that have not heard them yet */
    exia_status first_rc; /* of the first task that failed for good */
    exia_error first_error;

    uint32_t *next; /* plain: a list of ready nodes that no worker has */
    uint32_t list_head, list_tail;
    atomic_size_t list_count;

    int64_t *keys;                    /* ordered, the least first; NULL: plain */
    exia__heap ready, later, *parked; /* parked: a resource each */
    exia__keyed *items;               /* of all heaps */
    uint32_t *used, *attempts;
    int timed; /* somebody sleeps until the first of `later` is due */

    uint32_t *place; /* apart: of a node in `out`; NULL: tasks end when they return */
    size_t out_count, most_out;
    struct exia__end *ends; /* that nobody has seen to yet; under the guard's lock */
    size_t end_count;
} exia__run;

/* run_work.c */
void *exia__run_work(void *worker);
/* Do or skip a node.  Answers its state, or EXIA__AGAIN. */
int exia__run_do(exia__worker *worker, uint32_t node);
/* The same, then see to all that follows from it.  Answers a node for this worker to go on with. */
uint32_t exia__run_step(exia__worker *worker, uint32_t node);
/* Count down an edge.  Answers whether it was the last one before `node`. */
int exia__run_release(exia__worker *worker, uint32_t node);
/* What follows from the end of a task that did not return with it. */
uint32_t exia__run_ended(exia__worker *worker, uint32_t node, exia_status rc);
void exia__run_doom_after(exia__run *run, uint32_t node);
/* Whether nothing more is to be started: asked before each node. */
static inline int exia__run_stops(const exia__run *run)
{
    return atomic_load_explicit(&run->stop, memory_order_relaxed) ||
           exia__guard_stops(&run->dag->guard);
}
/* Start nothing more, and call all who sleep. */
void exia__run_stop(exia__run *run);
/* Under the lock: call one that sleeps. */
void exia__run_call(exia__run *run);

/* Each mode: its memory; what follows from the end of a node; a node to do, after a wait if need be
 * (EXIA_NO_NODE: the run is over or stops). */
exia_status exia__plain_open(exia__run *run, exia_error *err);
uint32_t exia__plain_end(exia__worker *worker, uint32_t node);
uint32_t exia__plain_take(exia__worker *worker);
exia_status exia__ordered_open(exia__run *run, exia_error *err);
void exia__ordered_end(exia__worker *worker, uint32_t node);
void exia__ordered_again(exia__worker *worker, uint32_t node);
uint32_t exia__ordered_take(exia__worker *worker);
/* Without a wait: EXIA_NO_NODE, and when to ask again: EXIA__FOREVER: never. */
uint32_t exia__ordered_next(exia__run *run, int64_t *until_ns);
void exia__ordered_close(exia__run *run);

/* run_apart.c: a task is out from its call until somebody says that it has ended. */
exia_status exia__apart_open(exia__run *run, size_t most, exia_error *err);
void exia__apart_close(exia__run *run);
void exia__apart_begin(exia__run *run, uint32_t node);
/* The call failed.  0: all the same its end was told. */
int exia__apart_withdraw(exia__run *run, uint32_t node);
/* See to the ends that were told. */
void exia__apart_see(exia__worker *worker);

/* run_options.c */
exia_status exia__run_options(exia_dag_run_options *out, const exia_dag_run_options *options,
                              const exia_dag *dag, exia_error *err);

/* run_report.c */
exia_status exia__run_report(exia_rows **out, exia__run *run, exia_error *err);

#endif
