/* While a graph is run: what it answers, who is told what is out, who is woken. */
#include "support/scene.h"

static exia_status meddle_with_all(scene *s, exia_error *error)
{
    uint32_t a = 0, b = 1;
    const uint32_t *order;
    const char *names[] = {"new"};
    size_t count;
    char *text = NULL;
    exia_error own;
    (void)error;
    assert_int_equal(exia_dag_add_edges(s->dag, &a, &b, 1, &own), EXIA_ECONFLICT);
    assert_non_null(strstr(own.text, "exia_dag_add_edges: the graph is being run"));
    assert_int_equal(exia_dag_add_nodes(NULL, s->dag, names, 1, &own), EXIA_ECONFLICT);
    assert_non_null(strstr(own.text, "being run"));
    assert_int_equal(exia_dag_intern(&b, s->dag, (const int64_t[]){9}, 1, &own), EXIA_ECONFLICT);
    assert_int_equal(exia_dag_remove_nodes(NULL, s->dag, &a, 1, &own), EXIA_ECONFLICT);
    assert_int_equal(exia_dag_remove_edges(s->dag, &a, &b, 1, &own), EXIA_ECONFLICT);
    assert_int_equal(exia_dag_keep_order(&order, &count, s->dag, &own), EXIA_ECONFLICT);
    assert_int_equal(exia_dag_path(&order, &count, s->dag, a, b, &own), EXIA_ECONFLICT);
    assert_int_equal(exia_dag_descendants(&order, &count, s->dag, &a, 1, &own), EXIA_ECONFLICT);
    assert_int_equal(exia_dag_cycle(&order, &count, s->dag, a, &own), EXIA_ECONFLICT);
    assert_int_equal(exia_dag_order_by(&order, &count, s->dag, NULL, &own), EXIA_ECONFLICT);
    assert_int_equal(exia_dag_reduce(&order, &order, &count, s->dag, &own), EXIA_ECONFLICT);
    assert_int_equal(exia_dag_longest_path(&order, &count, NULL, s->dag, NULL, NULL, &own),
                     EXIA_ECONFLICT);
    assert_int_equal(exia_dag_run(NULL, s->dag, scene_act, s, NULL, &own), EXIA_ECONFLICT);
    assert_non_null(strstr(own.text, "being run already"));
    assert_int_equal(exia_dag_order(&order, &count, s->dag, &own), EXIA_OK);
    assert_int_equal(count, 3);
    assert_int_equal(exia_dag_export(&text, s->dag, "json", &own), EXIA_OK);
    exia_text_free(text);
    return EXIA_OK;
}

TEST(a_task_may_look_at_its_graph_and_neither_change_nor_run_it)
{
    for (uint32_t threads = 1; threads <= 2; threads++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "amb", "am mb");
        s.meddle = meddle_with_all;
        check_ok(RUN(&s, NULL, threads));
        assert_string_equal(scene_told(rows), "d1 d1 d1");
        assert_int_equal(exia_dag_node_count(s.dag), 3);
        edges(s.dag, "ab"); /* and when it is over, all is as before */
        check_ok(exia_dag_run(NULL, s.dag, scene_act, &s, NULL, &err));
        scene_close(&s);
    }
}

static exia_status free_it(scene *s, exia_error *error)
{
    (void)error;
    exia_dag_free(s->dag);
    return EXIA_OK;
}

TEST(a_graph_freed_by_its_task_goes_when_the_run_is_over)
{
    for (uint32_t threads = 1; threads <= 2; threads++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "ambc", "am mb bc");
        s.meddle = free_it;
        check_ok(RUN(&s, NULL, threads));
        assert_string_equal(scene_told(rows), "d1 d1 d1 d1");
        s.dag = NULL;
        scene_close(&s);
    }
}

static scene *parent;
static int run_in_child(void)
{
    exia_error own;
    scene *s = parent;
    if (exia_dag_cancel(s->dag, &own) != EXIA_ENOTFOUND)
        return 1;
    s->meddle = NULL;
    s->held = "";
    return exia_dag_run(NULL, s->dag, scene_act, s, &(exia_job){sizeof(exia_job), .threads = 1},
                        &own) == EXIA_OK
               ? 0
               : 2;
}

static exia_status fork_it(scene *s, exia_error *error)
{
    (void)error;
    parent = s;
    assert_int_equal(check_in_child(run_in_child), 0);
    return EXIA_OK;
}

TEST(the_run_of_a_parent_does_not_go_on_in_its_child)
{
    scene s;
    exia_rows *rows = NULL;
    scene_open(&s, "m", "");
    s.meddle = fork_it;
    check_ok(RUN(&s, NULL, 1));
    assert_string_equal(scene_told(rows), "d1");
    scene_close(&s);
}

TEST(tasks_that_are_out_are_told_on_the_way)
{
    scene s;
    exia_rows *rows = NULL;
    exia_dag_run_options o = {sizeof o, .out = scene_out, .payload = &s};
    scene_open(&s, "ab", "");
    s.held = "ab"; /* until both have been told */
    s.meet = 2;
    check_ok(RUN(&s, &o, 2));
    assert_string_equal(scene_told(rows), "d1 d1");
    assert_true(s.told >= 1);
    scene_close(&s);
}

/* A tenth of a second: time enough for those who find nothing to fall asleep, mostly. */
static exia_status tarry(scene *s, exia_error *error)
{
    (void)error;
    pthread_mutex_lock(&s->lock);
    while (s->told < 2)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return EXIA_OK;
}

TEST(who_sleeps_is_woken_for_what_becomes_ready)
{
    for (int ordered = 0; ordered <= 1; ordered++) {
        scene s;
        exia_rows *rows = NULL;
        exia_dag_run_options o = {sizeof o, .out = scene_out, .payload = &s};
        o.priority = ordered ? EXIA_DAG_CRITICAL : 0;
        scene_open(&s, "mcde", "mc md me");
        s.meddle = tarry;
        s.held = "cde"; /* until all three are out, in three threads */
        s.meet = 3;
        check_ok(RUN(&s, &o, 3));
        assert_string_equal(scene_told(rows), "d1 d1 d1 d1");
        scene_close(&s);
    }
}

static exia_status end_thread(scene *s, exia_error *error)
{
    (void)s;
    (void)error;
    pthread_exit(NULL);
}

TEST(a_task_that_ends_its_thread_has_failed_and_the_rest_goes_on)
{
    exia_dag_run_options ordered = {.struct_size = sizeof ordered, .priority = EXIA_DAG_CRITICAL};
    exia_dag_run_options again = {.struct_size = sizeof again, .retries = 3};
    const exia_dag_run_options *const all[] = {NULL, &ordered, &again};
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t threads = 2; threads <= 3; threads++) {
            scene s;
            exia_rows *rows = NULL;
            scene_open(&s, "amzbcdefg", "am mz bc cd de ef fg");
            s.meddle = end_thread;
            check_fails(EXIA_EUSER, RUN(&s, all[i], threads));
            assert_string_equal(err.text, "node 'm': the task ended the thread that it ran in");
            assert_string_equal(scene_told(rows), i < 2 ? "d1 f1 s0 d1 d1 d1 d1 d1 d1"
                                                        : "d1 f4 s0 d1 d1 d1 d1 d1 d1");
            scene_close(&s);
        }
    }
}
