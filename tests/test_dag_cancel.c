/* A run that is ended from outside or within: what was begun ends, nothing else begins. */
#include "support/scene.h"

TEST(nothing_that_is_not_run_can_be_cancelled)
{
    scene s;
    scene_open(&s, "a", "");
    check_fails(EXIA_EINVAL, exia_dag_cancel(NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_dag_cancel(s.dag, &err));
    check_text("not being run");
    check_ok(exia_dag_run(NULL, s.dag, scene_act, &s, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_dag_cancel(s.dag, &err));
    scene_close(&s);
}

TEST(a_task_may_cancel_its_run)
{
    const exia_dag_resource gpu = {"gpu", 1};
    const uint32_t uses[] = {0, 0, 0};
    exia_dag_run_options plain = {.struct_size = sizeof plain}, ordered = plain;
    ordered.resources = &gpu;
    ordered.resource_count = 1;
    ordered.uses = uses;
    for (int i = 0; i < 4; i++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "amb", "am mb");
        s.meddle = scene_cancel;
        check_fails(EXIA_ECANCELLED, RUN(&s, i < 2 ? &plain : &ordered, 1 + (uint32_t)i % 2));
        check_text("cancelled");
        assert_string_equal(scene_told(rows), "d1 d1 c0");
        scene_close(&s);
    }
}

static void *cancel_when_two_began(void *payload)
{
    scene *s = payload;
    scene_await(s, 2);
    assert_int_equal(exia_dag_cancel(s->dag, NULL), EXIA_OK);
    return NULL;
}

TEST(another_thread_may_cancel_and_what_is_still_out_is_named)
{
    scene s;
    pthread_t other;
    exia_rows *rows = NULL;
    scene_open(&s, "abcde", "ac bd");
    s.held = "ab";
    s.open_after = 2; /* the second report behind the cancel lets them go */
    assert_int_equal(pthread_create(&other, NULL, cancel_when_two_began, &s), 0);
    check_fails(EXIA_ECANCELLED, RUN(&s, NULL, 2));
    pthread_join(other, NULL);
    assert_string_equal(scene_told(rows), "d1 d1 c0 c0 c0");
    assert_int_equal(s.open_after, 0);
    assert_non_null(strstr(s.step, "still out:"));
    scene_close(&s);
}

TEST(progress_goes_on_after_the_time_allowed_is_over)
{
    scene s;
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 2, .total_ms = 1, .progress = scene_progress,
                    .payload = &s};
    scene_open(&s, "a", "");
    s.held = "a";
    s.open_after = 2; /* the gate opens by progress alone */
    exia_status rc = exia_dag_run_with(&rows, s.dag, scene_act, &s, NULL, &job, &err);
    assert_int_equal(rc, EXIA_ETIMEOUT);
    check_text("1 ms");
    const char *states = scene_told(rows);
    assert_true(strcmp(states, "d1") == 0 || strcmp(states, "c0") == 0);
    scene_close(&s);
}
