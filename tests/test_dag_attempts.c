/* Tasks that fail: what they stop, and when they are called again. */
#include <jansson.h>
#include <stdio.h>

#include "support/scene.h"

static exia_status fail_it(scene *s, exia_error *error)
{
    if (*s->held)
        scene_await(s, 3); /* with a and x */
    error->status = EXIA_EUSER;
    snprintf(error->text, sizeof error->text, "m is tired");
    return EXIA_EUSER;
}

TEST(a_failure_may_stop_what_has_not_begun)
{
    exia_dag_run_options o = {sizeof o, .on_failure = EXIA_DAG_STOP};
    for (uint32_t threads = 1; threads <= 2; threads++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "ambxyz", "am mb ax xy yz");
        s.meddle = fail_it;
        if (threads == 2) { /* x is out while m fails: it ends, and y does not begin */
            s.held = "x";
            s.open_after = 1;
        }
        check_fails(EXIA_EUSER, RUN(&s, &o, threads));
        assert_string_equal(err.text, "node 'm': m is tired");
        assert_string_equal(scene_told(rows),
                            threads == 1 ? "d1 f1 s0 c0 c0 c0" : "d1 f1 s0 d1 c0 c0");
        scene_close(&s);
    }
}

TEST(a_failed_attempt_is_followed_by_others_up_to_a_number)
{
    exia_dag_run_options o = {sizeof o, .retries = 2};
    for (uint32_t threads = 1; threads <= 3; threads++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "abcd", "ab cd");
        s.failures['a'] = 2;
        s.failures['c'] = 3;
        check_fails(EXIA_EUSER, RUN(&s, &o, threads));
        assert_string_equal(err.text, "node 'c': c is tired");
        assert_string_equal(scene_told(rows), "d3 d1 f3 s0");
        s.failures['a'] = 2;
        s.failures['c'] = 1;
        check_ok(RUN(&s, &o, threads));
        assert_string_equal(scene_told(rows), "d3 d1 d2 d1");
        scene_close(&s);
    }
}

TEST(a_task_that_gives_up_by_itself_is_not_called_again)
{
    scene s;
    exia_rows *rows = NULL;
    exia_dag_run_options o = {sizeof o, .retries = 5};
    scene_open(&s, "ab", "ab");
    s.failures['a'] = 1;
    s.status = EXIA_ECANCELLED;
    check_fails(EXIA_ECANCELLED, RUN(&s, &o, 2));
    assert_string_equal(scene_told(rows), "c1 s0");
    scene_close(&s);
}

static int64_t span_ns(exia_rows *rows)
{
    const char *text;
    assert_int_equal(exia_rows_next(&text, rows, NULL), EXIA_OK);
    json_t *row = json_loads(text, 0, NULL);
    int64_t span = json_integer_value(json_object_get(row, "ended_ns")) -
                   json_integer_value(json_object_get(row, "started_ns"));
    json_decref(row);
    exia_rows_free(rows);
    return span;
}

TEST(the_wait_between_attempts_doubles_up_to_a_limit)
{
    exia_dag_run_options o = {sizeof o, .retries = 4, .retry_ms = 4, .retry_most_ms = 10};
    for (uint32_t threads = 1; threads <= 2; threads++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "a", "");
        s.failures['a'] = 4;
        check_ok(RUN(&s, &o, threads));
        assert_true(span_ns(rows) >= (4 + 8 + 10 + 10) * 1000000);
        scene_close(&s);
    }
}

TEST(a_task_that_backs_off_holds_up_no_thread_and_no_resource)
{
    const exia_dag_resource gpu = {"gpu", 1};
    const uint32_t uses[] = {0, 0, EXIA_DAG_NO_RESOURCE, EXIA_DAG_NO_RESOURCE};
    exia_dag_run_options o = {
        sizeof o,          .retries = 1,        .retry_ms = 3600000, .retry_most_ms = INT64_MAX,
        .resources = &gpu, .resource_count = 1, .uses = uses};
    for (uint32_t threads = 1; threads <= 2; threads++) {
        scene s;
        exia_rows *rows = NULL;
        scene_open(&s, "abcm", "bc cm"); /* a waits for an hour; m, by way of b, ends the run */
        s.failures['a'] = 1;
        s.meddle = scene_cancel;
        check_fails(EXIA_ECANCELLED, RUN(&s, &o, threads));
        assert_string_equal(scene_told(rows), "c1 d1 d1 d1");
        scene_close(&s);
    }
}
