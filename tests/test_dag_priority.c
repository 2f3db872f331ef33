/* Who is next: by priority, and by what may be used at the same time. */
#include "support/scene.h"

TEST(the_critical_path_goes_first)
{
    scene s;
    exia_rows *rows = NULL;
    exia_dag_run_options o = {sizeof o, .priority = EXIA_DAG_CRITICAL};
    const double weights[] = {1, 9, 1, 1, 1, 1};
    scene_open(&s, "abcdef", "de ef");
    check_ok(RUN(&s, &o, 1));
    exia_rows_free(rows);
    assert_string_equal(s.began, "deabcf");
    memset(s.began, 0, sizeof s.began);
    s.count = 0;
    o.weights = weights;
    check_ok(RUN(&s, &o, 1));
    exia_rows_free(rows);
    assert_string_equal(s.began, "bdeacf");
    scene_close(&s);
}

TEST(a_given_priority_goes_first_equal_ones_by_index)
{
    const double weights[] = {0, -1, 5, 5, 3, 1};
    exia_dag_run_options o = {sizeof o, .priority = EXIA_DAG_GIVEN, .weights = weights};
    for (uint32_t threads = 1; threads <= 2; threads++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "abcdef", "bf");
        if (threads == 2) { /* the first two meet: scene_out() lets them go */
            s.held = "cd";
            s.meet = 2;
            o.out = scene_out;
            o.payload = &s;
        }
        check_ok(RUN(&s, &o, threads));
        exia_rows_free(rows);
        if (threads == 1)
            assert_string_equal(s.began, "cdeabf");
        else
            assert_memory_equal(s.began, s.began[0] == 'c' ? "cd" : "dc", 2);
        scene_close(&s);
    }
}

TEST(no_more_than_a_limit_use_a_resource_at_the_same_time)
{
    const exia_dag_resource resources[] = {{"gpu", 1}, {"disk", 2}};
    uint32_t uses[24];
    exia_dag_run_options o = {sizeof o, .resources = resources, .resource_count = 2, .uses = uses,
                              .retries = 1};
    for (uint32_t i = 0; i < 24; i++)
        uses[i] = i % 3 == 2 ? EXIA_DAG_NO_RESOURCE : i % 3;
    for (uint32_t threads = 1; threads <= 4; threads++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "abcdefghijklmnopqrstuvwx", "ag bh ci dj ek fl gx hx");
        s.uses = uses;
        s.failures['a'] = s.failures['b'] = 1; /* what backs off lends it to others */
        check_ok(RUN(&s, &o, threads));
        exia_rows_free(rows);
        assert_int_equal(s.count, 26);
        assert_int_equal(s.most[0], 1);
        assert_in_range(s.most[1], 1, 2);
        scene_close(&s);
    }
}

static exia_status open_it(scene *s, exia_error *error)
{
    (void)error;
    scene_let_go(s);
    return EXIA_OK;
}

TEST(who_waits_for_a_resource_holds_up_nobody_else)
{
    scene s;
    exia_rows *rows = NULL;
    const exia_dag_resource gpu = {"gpu", 1};
    const uint32_t none = EXIA_DAG_NO_RESOURCE, uses[] = {0, 0, 0, none, none};
    exia_dag_run_options o = {sizeof o, .resources = &gpu, .resource_count = 1, .uses = uses};
    scene_open(&s, "abcdm", "dm");
    s.held = "a"; /* and with it the resource, until m, which comes after d, is done */
    s.meddle = open_it;
    s.uses = uses;
    check_ok(RUN(&s, &o, 2));
    assert_string_equal(scene_told(rows), "d1 d1 d1 d1 d1");
    assert_string_equal(s.began, "admbc");
    assert_int_equal(s.most[0], 1);
    scene_close(&s);
}

TEST(what_will_not_be_done_waits_for_no_resource)
{
    const exia_dag_resource gpu = {"gpu", 1};
    const uint32_t uses[] = {0, 0, 0, 0};
    exia_dag_run_options o = {sizeof o, .resources = &gpu, .resource_count = 1, .uses = uses};
    for (uint32_t threads = 1; threads <= 3; threads++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "fabc", "fa ab bc");
        s.failures['f'] = 1;
        s.uses = uses;
        check_fails(EXIA_EUSER, RUN(&s, &o, threads));
        assert_string_equal(scene_told(rows), "f1 s0 s0 s0");
        scene_close(&s);
    }
}
