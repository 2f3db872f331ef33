/* The threaded run: order, failures, progress, cancel, many threads; and memory that runs out at
 * every step of a graph's life. */
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "support/graphs.h"

typedef struct work {
    exia_dag *dag;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char text[256]; /* names in the order in which tasks began */
    size_t began, running, most;
    const char *fails;    /* these nodes fail */
    size_t meet;          /* a task waits until so many run at once */
    int calls, cancel_at; /* of progress */
    int released;         /* a held task may go on */
    const char *held;
    pthread_t caller;
    int strange; /* a progress call from another thread */
} work;

static void work_open(work *w, exia_dag *dag)
{
    *w = (work){.dag = dag, .fails = "", .held = "", .cancel_at = -1, .caller = pthread_self()};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
}

static void work_close(work *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->changed);
}

static exia_status note(uint32_t node, void *payload, exia_error *error)
{
    work *w = payload;
    char name = exia_dag_name(w->dag, node)[0];
    pthread_mutex_lock(&w->lock);
    w->text[w->began++] = name;
    if (++w->running > w->most)
        w->most = w->running;
    pthread_cond_broadcast(&w->changed);
    while (w->most < w->meet)
        pthread_cond_wait(&w->changed, &w->lock);
    while (strchr(w->held, name) && !w->released)
        pthread_cond_wait(&w->changed, &w->lock);
    w->running--;
    pthread_mutex_unlock(&w->lock);
    if (name == 'z')
        return EXIA_EIO; /* and says nothing */
    if (strchr(w->fails, name) == NULL)
        return EXIA_OK;
    error->status = EXIA_EUSER;
    error->native = 7;
    snprintf(error->text, sizeof error->text, "%c is tired", name);
    return EXIA_EUSER;
}

static int progress(const char *step, uint64_t done, uint64_t total, void *payload)
{
    work *w = payload;
    assert_non_null(step);
    pthread_mutex_lock(&w->lock);
    w->strange |= !pthread_equal(w->caller, pthread_self()) || done > total;
    int stop = ++w->calls == w->cancel_at;
    /* the call behind a cancel comes when the cancel has been seen */
    if (w->calls >= 3) {
        w->released = 1;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return stop;
}

static json_t *next_row(exia_rows *rows)
{
    const char *text;
    if (exia_rows_next(&text, rows, NULL) != EXIA_OK)
        return NULL;
    json_t *row = json_loads(text, 0, NULL);
    assert_non_null(row);
    return row;
}

/* -1: null */
static json_int_t number_of(json_t *row, const char *key)
{
    json_t *value = json_object_get(row, key);
    assert_true(json_is_integer(value) || json_is_null(value));
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* The first letters of the states, by node. */
static const char *states_of(exia_rows *rows)
{
    static char text[64];
    size_t count = 0;
    for (json_t *row; (row = next_row(rows)) != NULL; json_decref(row)) {
        const char *state = json_string_value(json_object_get(row, "state"));
        assert_int_equal(json_integer_value(json_object_get(row, "node")), count);
        assert_int_equal(json_is_string(json_object_get(row, "error")), *state == 'f');
        int ran = *state == 'd' || *state == 'f';
        json_int_t queued = number_of(row, "queued_ns"), started = number_of(row, "started_ns");
        assert_int_equal(number_of(row, "attempts"), ran);
        assert_int_equal(number_of(row, "worker") >= 0, ran);
        assert_int_equal(started >= 0, ran);
        assert_true(!ran || (queued >= 0 && queued <= started));
        assert_true(!ran || number_of(row, "ended_ns") >= started);
        text[count++] = *state;
    }
    text[count] = '\0';
    exia_rows_free(rows);
    return text;
}

TEST(one_thread_runs_in_the_order_of_the_order)
{
    work w;
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 1};
    exia_dag *dag = open_named("abcdef");
    edges(dag, "fa ed eb");
    work_open(&w, dag);
    check_ok(exia_dag_run(&rows, dag, note, &w, &job, &err));
    assert_string_equal(w.text, "cefabd");
    assert_string_equal(states_of(rows), "dddddd");
    check_ok(exia_dag_run(NULL, dag, note, &w, &job, &err));
    work_close(&w);
    exia_dag_free(dag);
}

TEST(a_cycle_runs_nothing)
{
    work w;
    exia_rows *rows = NULL;
    exia_dag *dag = open_named("abc");
    edges(dag, "bc cb");
    work_open(&w, dag);
    check_fails(EXIA_ECYCLE, exia_dag_run(&rows, dag, note, &w, NULL, &err));
    check_text("'b' -> 'c' -> 'b'");
    assert_null(rows);
    assert_int_equal(w.began, 0);
    work_close(&w);
    exia_dag_free(dag);
}

TEST(a_failure_skips_its_descendants_and_nothing_else)
{
    for (uint32_t threads = 1; threads <= 3; threads++) {
        work w;
        exia_rows *rows = NULL;
        exia_job job = {sizeof job, .threads = threads};
        exia_dag *dag = open_named("abcdef");
        edges(dag, "ab bc cd ae ef ed");
        work_open(&w, dag);
        w.fails = "b";
        check_fails(EXIA_EUSER, exia_dag_run(&rows, dag, note, &w, &job, &err));
        assert_string_equal(err.text, "node 'b': b is tired");
        assert_int_equal(err.native, 7);
        assert_string_equal(states_of(rows), "dfssdd");
        work_close(&w);
        exia_dag_free(dag);
    }
}

TEST(a_failure_without_words_is_told_by_its_status)
{
    work w;
    exia_rows *rows = NULL;
    exia_dag *dag = open_named("z");
    work_open(&w, dag);
    check_fails(EXIA_EIO, exia_dag_run(&rows, dag, note, &w, NULL, &err));
    check_text("node 'z': ");
    check_text(exia_status_text(EXIA_EIO));
    assert_string_equal(states_of(rows), "f");
    work_close(&w);
    exia_dag_free(dag);
}

TEST(independent_tasks_run_at_the_same_time)
{
    work w;
    exia_job job = {sizeof job, .threads = 4};
    exia_dag *dag = open_named("abcdef");
    edges(dag, "ab ac ad ae bf cf df ef");
    work_open(&w, dag);
    check_ok(exia_dag_run(NULL, dag, note, &w, &job, &err));
    assert_int_equal(w.began, 6);
    assert_int_equal(w.text[0], 'a');
    assert_int_equal(w.text[5], 'f');
    work_close(&w);
    exia_dag_free(dag);
    dag = open_named("bcde");
    work_open(&w, dag);
    w.meet = 4;
    check_ok(exia_dag_run(NULL, dag, note, &w, &job, &err));
    assert_int_equal(w.most, 4);
    work_close(&w);
    exia_dag_free(dag);
}

TEST(progress_comes_in_the_calling_thread_also_when_nothing_moves)
{
    work w;
    exia_job job = {sizeof job, .threads = 2, .progress = progress, .payload = &w};
    exia_dag *dag = open_named("ab");
    work_open(&w, dag);
    w.held = "a"; /* until the third call */
    check_ok(exia_dag_run(NULL, dag, note, &w, &job, &err));
    assert_true(w.calls >= 3);
    assert_int_equal(w.strange, 0);
    work_close(&w);
    exia_dag_free(dag);
}

TEST(a_cancel_lets_running_tasks_end_and_starts_no_other)
{
    work w;
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 2, .progress = progress, .payload = &w};
    exia_dag *dag = open_named("abcde");
    edges(dag, "ab bc");
    work_open(&w, dag);
    w.held = "ade"; /* all workers are held when the second call cancels, until the third */
    w.cancel_at = 2;
    check_fails(EXIA_ECANCELLED, exia_dag_run(&rows, dag, note, &w, &job, &err));
    assert_int_equal(w.began, 2);
    assert_string_equal(states_of(rows), "dccdc");
    work_close(&w);
    work_open(&w, dag);
    w.cancel_at = 1;
    job.threads = 1;
    check_fails(EXIA_ECANCELLED, exia_dag_run(&rows, dag, note, &w, &job, &err));
    assert_int_equal(w.began, 0);
    assert_string_equal(states_of(rows), "ccccc");
    work_close(&w);
    exia_dag_free(dag);
}

static exia_status outlast(uint32_t node, void *payload, exia_error *error)
{
    (void)node;
    (void)error;
    struct timespec pause = {.tv_nsec = 5000000};
    while (nanosleep(&pause, &pause) != 0)
        continue;
    atomic_fetch_add((atomic_int *)payload, 1);
    return EXIA_OK;
}

TEST(the_time_allowed_ends_a_run)
{
    atomic_int began = 0;
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 1, .total_ms = 1};
    exia_dag *dag = open_named("abc");
    edges(dag, "ab bc");
    check_fails(EXIA_ETIMEOUT, exia_dag_run(&rows, dag, outlast, &began, &job, &err));
    check_text("1 ms");
    int ran = atomic_load(&began); /* none, where the millisecond is over before the first task */
    assert_in_range(ran, 0, 1);
    assert_string_equal(states_of(rows), ran ? "dcc" : "ccc");
    job.total_ms = -1;
    check_fails(EXIA_EINVAL, exia_dag_run(&rows, dag, outlast, &began, &job, &err));
    exia_dag_free(dag);
}

enum { MANY = 3000 };
typedef struct many {
    const uint32_t *before, *after;
    size_t edges;
    atomic_uchar done[MANY];
    atomic_int bad;
} many;

static exia_status mark(uint32_t node, void *payload, exia_error *error)
{
    many *m = payload;
    (void)error;
    if (atomic_exchange(&m->done[node], 1) != 0)
        atomic_fetch_add(&m->bad, 1);
    return EXIA_OK;
}

static exia_status mark_checked(uint32_t node, void *payload, exia_error *error)
{
    many *m = payload;
    for (size_t i = 0; i < m->edges; i++) {
        if (m->after[i] == node && !atomic_load(&m->done[m->before[i]]))
            atomic_fetch_add(&m->bad, 1);
    }
    return mark(node, payload, error);
}

TEST(many_tasks_run_once_each_and_after_all_before_them)
{
    enum { EDGES = 9000 };
    static uint32_t before[EDGES], after[EDGES];
    static many m;
    uint32_t seed = 42;
    exia_dag *dag = open_dag(MANY);
    for (size_t i = 0; i < EDGES; i++) {
        uint32_t a = next_random(&seed) % MANY, b = next_random(&seed) % (MANY - 1);
        b += b >= a;
        before[i] = a < b ? a : b;
        after[i] = a < b ? b : a;
    }
    check_ok(exia_dag_add_edges(dag, before, after, EDGES, &err));
    for (uint32_t threads = 2; threads <= 8; threads *= 2) {
        exia_job job = {sizeof job, .threads = threads};
        memset(&m, 0, sizeof m);
        m.before = before;
        m.after = after;
        m.edges = EDGES;
        check_ok(exia_dag_run(NULL, dag, threads == 2 ? mark_checked : mark, &m, &job, &err));
        assert_int_equal(atomic_load(&m.bad), 0);
        for (size_t i = 0; i < MANY; i++)
            assert_int_equal(atomic_load(&m.done[i]), 1);
    }
    exia_dag_free(dag);
}

static exia_status fail_always(uint32_t node, void *payload, exia_error *error)
{
    (void)node;
    (void)payload;
    error->status = EXIA_EUSER;
    strcpy(error->text, "bad bytes: \xff");
    return EXIA_EUSER;
}

TEST(a_doomed_chain_of_a_million_nodes_is_skipped_without_a_deep_stack)
{
    enum { COUNT = 1000000 };
    exia_dag *dag = open_dag(COUNT);
    uint32_t *before = malloc(COUNT * sizeof *before), *after = malloc(COUNT * sizeof *after);
    for (uint32_t i = 0; i + 1 < COUNT; i++) {
        before[i] = i;
        after[i] = i + 1;
    }
    exia_job job = {sizeof job, .threads = 2};
    check_ok(exia_dag_add_edges(dag, before, after, COUNT - 1, &err));
    check_fails(EXIA_EUSER, exia_dag_run(NULL, dag, fail_always, NULL, &job, &err));
    check_text("node 0: ");
    free(before);
    free(after);
    exia_dag_free(dag);
}

TEST(a_report_escapes_what_json_must)
{
    const char *names[] = {"say \"a\"\\b\n",
                           "gr\xc3\xbc\xc3\x9f"
                           "e",
                           NULL};
    exia_rows *rows = NULL;
    exia_dag *dag = open_dag(0);
    check_ok(exia_dag_add_nodes(NULL, dag, names, 3, &err));
    check_fails(EXIA_EUSER, exia_dag_run(&rows, dag, fail_always, NULL, NULL, &err));
    for (size_t i = 0; i < 3; i++) {
        json_t *row = next_row(rows), *name = json_object_get(row, "name");
        if (names[i] != NULL)
            assert_string_equal(json_string_value(name), names[i]);
        assert_int_equal(json_is_null(name), names[i] == NULL);
        assert_true(json_is_string(json_object_get(row, "error")));
        json_decref(row);
    }
    exia_rows_free(rows);
    exia_dag_free(dag);
}

TEST(an_empty_graph_runs)
{
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 4};
    exia_dag *dag = open_dag(0);
    check_ok(exia_dag_run(&rows, dag, fail_always, NULL, &job, &err));
    assert_string_equal(states_of(rows), "");
    exia_dag_free(dag);
}

/* ---- out of memory -------------------------------------------------------------------------- */

static exia_status nothing(uint32_t node, void *payload, exia_error *error)
{
    (void)node;
    (void)payload;
    (void)error;
    return EXIA_OK;
}

static exia_status whole_life(void *payload, exia_error *error)
{
    const char *names[] = {"a", "b", "c"};
    const uint32_t before[] = {0, 1}, after[] = {1, 2}, back = 2, first = 0;
    static const char *const formats[] = {"dot", "mermaid", "json"};
    const exia_job *job = payload;
    exia_dag *dag = NULL;
    exia_rows *rows = NULL;
    exia_groups groups;
    const uint32_t *order;
    size_t count;
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, names, 3, error);
    assert_int_equal(exia_dag_node_count(dag), rc == EXIA_OK ? 3 : 0);
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before, after, 2, error);
    if (rc == EXIA_OK)
        rc = exia_dag_order(&order, &count, dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_run(&rows, dag, nothing, NULL, job, error);
    for (size_t i = 0; i < 3 && rc == EXIA_OK; i++) {
        char *text = NULL;
        rc = exia_dag_export(&text, dag, formats[i], error);
        exia_text_free(text);
    }
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, &back, &first, 1, error);
    if (rc == EXIA_OK)
        rc = exia_dag_cycles(&groups, dag, error);
    if (rc == EXIA_OK && groups.count != 1)
        rc = EXIA_EIO;
    if (rc == EXIA_OK)
        rc = exia_dag_order(&order, &count, dag, error) == EXIA_ECYCLE ? EXIA_OK : error->status;
    exia_rows_free(rows);
    exia_dag_free(dag);
    return rc;
}

TEST(each_allocation_may_fail)
{
    exia_job job = {sizeof job, .threads = 1};
    check_survives_no_memory(whole_life, &job);
    job.threads = 3;
    check_survives_no_memory(whole_life, &job);
}
