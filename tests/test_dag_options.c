/* What a run with options refuses, and what it does when memory is out. */
#include <math.h>
#include <stdatomic.h>

#include "support/scene.h"

static void check_refused(exia_dag_run_options *o, const char *text)
{
    scene s;
    exia_rows *rows = NULL;
    scene_open(&s, "ab", "ab");
    o->struct_size = sizeof *o;
    check_fails(EXIA_EINVAL, RUN(&s, o, 2));
    check_text(text);
    assert_null(rows);
    assert_int_equal(s.count, 0);
    *o = (exia_dag_run_options){0};
    check_ok(exia_dag_run(NULL, s.dag, scene_act, &s, NULL, &err)); /* nothing stays behind */
    scene_close(&s);
}

TEST(what_cannot_be_is_refused_before_anything_runs)
{
    const double bad[] = {1, NAN}, endless[] = {INFINITY, 1}, negative[] = {1, -1};
    const uint32_t uses[] = {EXIA_DAG_NO_RESOURCE, 1};
    const exia_dag_resource gpu = {"gpu", 1}, none = {"gpu", 0}, nameless = {NULL, 1};
    exia_dag_run_options o = {.priority = 3};
    check_refused(&o, "priority 3");
    o.priority = EXIA_DAG_GIVEN;
    check_refused(&o, "weights is NULL");
    o.weights = negative;
    check_refused(&o, "no priority");
    o.priority = EXIA_DAG_GIVEN;
    o.weights = bad;
    check_refused(&o, "node 'b': its weight nan");
    o.priority = EXIA_DAG_CRITICAL;
    o.weights = endless;
    check_refused(&o, "node 'a': its weight inf");
    o.priority = EXIA_DAG_CRITICAL;
    o.weights = negative;
    check_refused(&o, "node 'b': its weight -1 is negative");
    o.on_failure = 2;
    check_refused(&o, "on_failure cannot be 2");
    o.retry_ms = -1;
    check_refused(&o, "negative");
    o.retry_most_ms = -1;
    check_refused(&o, "negative");
    o.uses = uses;
    check_refused(&o, "belong together");
    o.resources = &gpu;
    o.resource_count = 1;
    check_refused(&o, "belong together");
    o = (exia_dag_run_options){.resources = &gpu, .resource_count = 1, .uses = uses};
    check_refused(&o, "node 'b' uses resource 1, but there are 1");
    o = (exia_dag_run_options){.resources = &none, .resource_count = 1, .uses = uses};
    check_refused(&o, "'gpu' has a limit of 0");
    o = (exia_dag_run_options){.resources = &nameless, .resource_count = 1, .uses = uses};
    check_refused(&o, "resource 0 has no name");
}

TEST(options_of_another_size_are_taken_or_refused_by_what_they_ask)
{
    scene s;
    exia_rows *rows = NULL;
    struct {
        exia_dag_run_options known;
        uint64_t unknown;
    } newer = {.known.struct_size = sizeof newer, .unknown = 1};
    exia_dag_run_options older = {.struct_size = offsetof(exia_dag_run_options, retries)};
    scene_open(&s, "a", "");
    check_fails(EXIA_EUNSUPPORTED, RUN(&s, &newer.known, 1));
    newer.unknown = 0;
    check_ok(RUN(&s, &newer.known, 1));
    exia_rows_free(rows);
    older.retries = 7; /* behind its end */
    s.failures['a'] = 1;
    check_fails(EXIA_EUSER, RUN(&s, &older, 1));
    assert_string_equal(scene_told(rows), "f1");
    scene_close(&s);
}

static exia_status fail_first(uint32_t node, void *payload, exia_error *error)
{
    atomic_int *calls = payload;
    (void)error;
    return node == 1 && atomic_fetch_add(calls, 1) == 0 ? EXIA_EIO : EXIA_OK;
}

static exia_status whole_run(void *payload, exia_error *error)
{
    const uint32_t before[] = {0, 1}, after[] = {1, 2}, uses[] = {0, 0, EXIA_DAG_NO_RESOURCE};
    const exia_dag_resource gpu = {"gpu", 1};
    exia_dag_run_options o = {sizeof o,          .priority = EXIA_DAG_CRITICAL, .retries = 1,
                              .resources = &gpu, .resource_count = 1,           .uses = uses};
    exia_dag *dag = NULL;
    exia_rows *rows = NULL;
    atomic_int calls = 0;
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, NULL, 3, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before, after, 2, error);
    if (rc == EXIA_OK)
        rc = exia_dag_run_with(&rows, dag, fail_first, &calls, &o, payload, error);
    exia_rows_free(rows);
    exia_dag_free(dag);
    return rc;
}

TEST(each_allocation_of_a_run_with_options_may_fail)
{
    exia_job job = {sizeof job, .threads = 1};
    check_survives_no_memory(whole_run, &job);
    job.threads = 3;
    check_survives_no_memory(whole_run, &job);
}
