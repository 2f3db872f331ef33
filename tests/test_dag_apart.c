/* Tasks that end apart from their call: who says so, when and how often. */
#include <stdio.h>

#include "support/scene.h"

/* A task begins by writing its node down; `end` says the rest, here or in another thread. */
typedef struct stage {
    scene s;
    uint32_t begun[64];
    size_t count, most, ended;
    exia_status (*begin)(struct stage *, uint32_t node, exia_error *);
} stage;

static exia_status end_well(stage *st, uint32_t node)
{
    st->ended++;
    return exia_dag_end(st->s.dag, node, NULL, NULL);
}

static exia_status begin(uint32_t node, void *payload, exia_error *error)
{
    stage *st = payload;
    st->begun[st->count++] = node;
    if (st->count - st->ended > st->most)
        st->most = st->count - st->ended;
    return st->begin(st, node, error);
}

static int on_report(const char *step, uint64_t done, uint64_t total, void *payload)
{
    stage *st = payload;
    (void)done;
    (void)total;
    snprintf(st->s.step, sizeof st->s.step, "%s", step);
    if (st->ended < st->count)
        end_well(st, st->begun[st->ended]);
    return 0;
}

static exia_status run(exia_rows **rows, stage *st, exia_dag_run_options *options, uint32_t out)
{
    exia_job job = {sizeof job, .threads = out, .progress = on_report, .payload = st};
    options->ends = EXIA_DAG_APART;
    st->count = st->ended = st->most = 0;
    return exia_dag_run_with(rows, st->s.dag, begin, st, options, &job, &err);
}

static exia_status end_at_once(stage *st, uint32_t node, exia_error *error)
{
    (void)error;
    assert_int_equal(end_well(st, node), EXIA_OK);
    assert_int_equal(exia_dag_end(st->s.dag, node, NULL, NULL), EXIA_EINVAL);
    return EXIA_OK;
}

TEST(a_task_may_be_over_before_its_call_has_returned)
{
    stage st = {.begin = end_at_once};
    exia_rows *rows = NULL;
    exia_dag_run_options o = {.struct_size = sizeof o};
    scene_open(&st.s, "abcd", "ab bc");
    check_ok(run(&rows, &st, &o, 1));
    assert_string_equal(scene_told(rows), "d1 d1 d1 d1");
    assert_int_equal(st.most, 1);
    scene_close(&st.s);
}

static exia_status leave_out(stage *st, uint32_t node, exia_error *error)
{
    (void)st;
    (void)node;
    (void)error;
    return EXIA_OK;
}

TEST(no_more_are_out_than_the_job_has_threads)
{
    exia_dag_run_options o = {.struct_size = sizeof o};
    for (uint32_t out = 1; out <= 4; out++) {
        stage st = {.begin = leave_out};
        exia_rows *rows = NULL;
        scene_open(&st.s, "abcd", "");
        check_ok(run(&rows, &st, &o, out)); /* each ended by a report */
        assert_string_equal(scene_told(rows), "d1 d1 d1 d1");
        assert_true(st.most <= out);
        scene_close(&st.s);
    }
}

static exia_status end_badly(stage *st, uint32_t node, exia_error *error)
{
    exia_error why = {.status = st->s.status, .native = 7};
    snprintf(why.text, sizeof why.text, "%s is tired", exia_dag_name(st->s.dag, node));
    (void)error;
    if (st->s.failures[(int)exia_dag_name(st->s.dag, node)[0]]-- <= 0)
        return end_well(st, node);
    st->ended++;
    return exia_dag_end(st->s.dag, node, &why, NULL);
}

TEST(what_ends_badly_is_a_failure_like_any_other)
{
    stage st = {.begin = end_badly};
    exia_rows *rows = NULL;
    exia_dag_run_options o = {sizeof o, .retries = 2, .retry_ms = 1};
    scene_open(&st.s, "abcd", "ab cd");
    st.s.failures['a'] = 2;
    st.s.failures['c'] = 3;
    check_fails(EXIA_EUSER, run(&rows, &st, &o, 4));
    assert_string_equal(err.text, "node 'c': c is tired");
    assert_int_equal(err.native, 7);
    assert_string_equal(scene_told(rows), "d3 d1 f3 s0");
    st.s.failures['a'] = 1;
    st.s.status = EXIA_ECANCELLED;
    check_fails(EXIA_ECANCELLED, run(&rows, &st, &o, 4));
    assert_string_equal(scene_told(rows), "c1 s0 d1 d1");
    st.s.failures['a'] = 1;
    o = (exia_dag_run_options){sizeof o, .on_failure = EXIA_DAG_STOP};
    check_fails(EXIA_ECANCELLED, run(&rows, &st, &o, 1));
    assert_string_equal(scene_told(rows), "c1 c0 c0 c0");
    scene_close(&st.s);
}

static exia_status refuse_all(stage *st, uint32_t node, exia_error *error)
{
    st->ended++;
    if (exia_dag_name(st->s.dag, node)[0] == 'c') /* its end is told, so the answer says nothing */
        assert_int_equal(exia_dag_end(st->s.dag, node, NULL, NULL), EXIA_OK);
    error->status = EXIA_EIO;
    snprintf(error->text, sizeof error->text, "nobody takes it");
    return EXIA_EIO;
}

TEST(a_call_that_fails_ends_its_task)
{
    stage st = {.begin = refuse_all};
    exia_rows *rows = NULL;
    exia_dag_run_options o = {.struct_size = sizeof o};
    scene_open(&st.s, "abcd", "ab cd");
    check_fails(EXIA_EIO, run(&rows, &st, &o, 4));
    assert_string_equal(err.text, "node 'a': nobody takes it");
    assert_string_equal(scene_told(rows), "f1 s0 d1 f1");
    scene_close(&st.s);
}

static exia_status cancel_all(stage *st, uint32_t node, exia_error *error)
{
    (void)node;
    return st->count == 2 ? exia_dag_cancel(st->s.dag, error) : EXIA_OK;
}

static void end_what_is_out(const uint32_t *nodes, size_t count, int stops, void *payload)
{
    stage *st = payload;
    uint32_t copy[64];
    memcpy(copy, nodes, count * sizeof *nodes);
    if (count > st->s.meet)
        st->s.meet = count;
    for (size_t i = 0; i < count && stops; i++)
        end_well(st, copy[i]);
}

TEST(a_cancelled_run_waits_for_what_is_out_and_tells_it_at_once)
{
    stage st = {.begin = cancel_all};
    exia_rows *rows = NULL;
    exia_dag_run_options o = {sizeof o, .ends = EXIA_DAG_APART, .out = end_what_is_out};
    exia_job job = {sizeof job, .threads = 3};
    o.payload = &st;
    scene_open(&st.s, "abcd", "ad");
    check_fails(EXIA_ECANCELLED, exia_dag_run_with(&rows, st.s.dag, begin, &st, &o, &job, &err));
    assert_int_equal(st.s.meet, 2);
    assert_string_equal(scene_told(rows), "d1 d1 c0 c0");
    scene_close(&st.s);
}

TEST(only_what_is_out_can_end)
{
    stage st = {.begin = end_at_once};
    exia_dag_run_options o = {.struct_size = sizeof o};
    scene_open(&st.s, "ab", "ab");
    check_fails(EXIA_EINVAL, exia_dag_end(NULL, 0, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_dag_end(st.s.dag, 0, NULL, &err));
    check_text("not being run");
    check_ok(run(NULL, &st, &o, 0));
    check_fails(EXIA_ENOTFOUND, exia_dag_end(st.s.dag, 0, NULL, &err));
    o.ends = 2;
    check_fails(EXIA_EINVAL, exia_dag_run_with(NULL, st.s.dag, begin, &st, &o, NULL, &err));
    check_text("ends cannot be 2");
    scene_close(&st.s);
}

static exia_status end_early(stage *st, uint32_t node, exia_error *error)
{
    exia_error own;
    (void)error;
    assert_int_equal(exia_dag_end(st->s.dag, 1 - node, NULL, &own), EXIA_EINVAL);
    assert_non_null(strstr(own.text, "is not out"));
    assert_int_equal(exia_dag_end(st->s.dag, 2, NULL, &own), EXIA_EINVAL);
    return end_well(st, node);
}

TEST(an_end_of_another_node_is_refused_and_changes_nothing)
{
    stage st = {.begin = end_early};
    exia_rows *rows = NULL;
    exia_dag_run_options o = {.struct_size = sizeof o};
    scene_open(&st.s, "ab", "ab");
    check_ok(run(&rows, &st, &o, 9));
    assert_string_equal(scene_told(rows), "d1 d1");
    scene_close(&st.s);
}

/* ---- ended in other threads -------------------------------------------------------------------- */

enum { NODES = 2000, HELPERS = 4 };
typedef struct crowd {
    exia_dag *dag;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t queue[NODES];
    size_t first, last;
    int over;
} crowd;

static void *help(void *payload)
{
    crowd *c = payload;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (c->first == c->last && !c->over)
            pthread_cond_wait(&c->changed, &c->lock);
        if (c->first == c->last)
            break;
        uint32_t node = c->queue[c->first++];
        pthread_mutex_unlock(&c->lock);
        assert_int_equal(exia_dag_end(c->dag, node, NULL, NULL), EXIA_OK);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static exia_status hand_out(uint32_t node, void *payload, exia_error *error)
{
    crowd *c = payload;
    (void)error;
    pthread_mutex_lock(&c->lock);
    c->queue[c->last++] = node;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return EXIA_OK;
}

TEST(many_threads_end_what_one_begins)
{
    crowd c = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t helpers[HELPERS];
    exia_dag_run_options o = {sizeof o, .ends = EXIA_DAG_APART};
    exia_job job = {sizeof job, .threads = 64};
    check_ok(exia_dag_open(&c.dag, &err));
    check_ok(exia_dag_add_nodes(NULL, c.dag, NULL, NODES, &err));
    for (uint32_t i = 0; i + 40 < NODES; i++) {
        uint32_t after = i + 40;
        check_ok(exia_dag_add_edges(c.dag, &i, &after, 1, &err));
    }
    for (int i = 0; i < HELPERS; i++)
        assert_int_equal(pthread_create(&helpers[i], NULL, help, &c), 0);
    check_ok(exia_dag_run_with(NULL, c.dag, hand_out, &c, &o, &job, &err));
    exia_dag_free(c.dag); /* as soon as the last end is seen */
    pthread_mutex_lock(&c.lock);
    assert_int_equal(c.last, NODES);
    c.over = 1;
    pthread_cond_broadcast(&c.changed);
    pthread_mutex_unlock(&c.lock);
    for (int i = 0; i < HELPERS; i++)
        pthread_join(helpers[i], NULL);
}

static exia_status run_without_memory(void *payload, exia_error *error)
{
    stage *st = payload;
    exia_rows *rows = NULL;
    exia_dag_run_options o = {sizeof o, .ends = EXIA_DAG_APART, .retries = 1};
    st->count = st->ended = 0;
    exia_status rc = exia_dag_run_with(&rows, st->s.dag, begin, st, &o, NULL, error);
    exia_rows_free(rows);
    return rc;
}

TEST(memory_may_run_out_anywhere)
{
    stage st = {.begin = end_at_once};
    const uint32_t *order;
    size_t count;
    scene_open(&st.s, "abc", "ab");
    check_ok(exia_dag_order(&order, &count, st.s.dag, &err)); /* which the graph keeps */
    check_survives_no_memory(run_without_memory, &st);
    scene_close(&st.s);
}
