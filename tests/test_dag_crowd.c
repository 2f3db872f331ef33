/* Thousands of tasks in many threads: each runs once, within all limits. */
#include <stdatomic.h>
#include <stdlib.h>

#include "support/graphs.h"

enum { MANY = 4000, EDGES = 12000 };
typedef struct crowd {
    const uint32_t *before, *after;
    atomic_uchar done[MANY], tries[MANY];
    atomic_int bad, used[3];
    const uint32_t *uses;
    const exia_dag_resource *resources;
} crowd;

static exia_status jostle(uint32_t node, void *payload, exia_error *error)
{
    crowd *c = payload;
    uint32_t use = c->uses[node];
    (void)error;
    if (use != EXIA_DAG_NO_RESOURCE &&
        atomic_fetch_add(&c->used[use], 1) >= (int)c->resources[use].limit)
        atomic_fetch_add(&c->bad, 1);
    int fails = node % 7 == 0 && atomic_fetch_add(&c->tries[node], 1) < 2;
    for (size_t i = node % 16; i < EDGES && !fails; i += 16) { /* a sample */
        if (c->after[i] == node && !atomic_load(&c->done[c->before[i]]))
            atomic_fetch_add(&c->bad, 1);
    }
    if (!fails && atomic_exchange(&c->done[node], 1) != 0)
        atomic_fetch_add(&c->bad, 1);
    if (use != EXIA_DAG_NO_RESOURCE)
        atomic_fetch_sub(&c->used[use], 1);
    return fails ? EXIA_EIO : EXIA_OK;
}

TEST(many_tasks_with_all_options_run_once_each_within_all_limits)
{
    static uint32_t before[EDGES], after[EDGES], uses[MANY];
    static double weights[MANY];
    static crowd c;
    const exia_dag_resource resources[] = {{"one", 1}, {"two", 2}, {"three", 3}};
    exia_dag_run_options o = {sizeof o,     .priority = EXIA_DAG_CRITICAL, .weights = weights,
                              .retries = 2, .resources = resources,        .resource_count = 3,
                              .uses = uses};
    uint32_t seed = 7;
    exia_dag *dag = open_dag(MANY);
    for (size_t i = 0; i < EDGES; i++) {
        uint32_t a = next_random(&seed) % MANY, b = next_random(&seed) % (MANY - 1);
        b += b >= a;
        before[i] = a < b ? a : b;
        after[i] = a < b ? b : a;
    }
    for (size_t i = 0; i < MANY; i++) {
        weights[i] = next_random(&seed) % 100;
        uses[i] = next_random(&seed) % 4;
        uses[i] = uses[i] == 3 ? EXIA_DAG_NO_RESOURCE : uses[i];
    }
    check_ok(exia_dag_add_edges(dag, before, after, EDGES, &err));
    for (uint32_t threads = 1; threads <= 8; threads *= 2) {
        exia_job job = {sizeof job, .threads = threads};
        memset(&c, 0, sizeof c);
        c.before = before;
        c.after = after;
        c.uses = uses;
        c.resources = resources;
        o.retry_ms = threads == 4; /* some in a millisecond or two */
        check_ok(exia_dag_run_with(NULL, dag, jostle, &c, &o, &job, &err));
        assert_int_equal(atomic_load(&c.bad), 0);
        for (size_t i = 0; i < MANY; i++)
            assert_int_equal(atomic_load(&c.done[i]), 1);
    }
    exia_dag_free(dag);
}

static exia_status count_up(uint32_t node, void *payload, exia_error *error)
{
    (void)error;
    atomic_fetch_add(&((atomic_uchar *)payload)[node], 1);
    return EXIA_OK;
}

TEST(a_star_of_a_hundred_thousand_runs_each_once)
{
    enum { COUNT = 100000 };
    uint32_t *before = malloc(2 * COUNT * sizeof *before),
             *after = malloc(2 * COUNT * sizeof *after);
    atomic_uchar *done = calloc(COUNT, sizeof *done);
    size_t count = 0;
    for (uint32_t i = 1; i + 1 < COUNT; i++) {
        before[count] = 0;
        after[count++] = i;
        before[count] = i;
        after[count++] = COUNT - 1;
    }
    exia_dag *dag = open_dag(COUNT);
    check_ok(exia_dag_add_edges(dag, before, after, count, &err));
    for (uint32_t threads = 2; threads <= 4; threads++) {
        exia_job job = {sizeof job, .threads = threads};
        memset(done, 0, COUNT * sizeof *done);
        check_ok(exia_dag_run(NULL, dag, count_up, done, &job, &err));
        for (size_t i = 0; i < COUNT; i++)
            assert_int_equal(atomic_load(&done[i]), 1);
    }
    free(before);
    free(after);
    free(done);
    exia_dag_free(dag);
}
