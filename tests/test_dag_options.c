/* How a graph is run: priority, resources, attempts, stop, cancel, and what is refused meanwhile.
 * Whoever must wait for another one waits for a gate; nothing here depends on how fast it is. */
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/graphs.h"

/* ---- what tasks do ---------------------------------------------------------------------------- */

typedef struct scene {
    exia_dag *dag;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char began[64];                    /* names, in the order in which attempts began */
    size_t count, running[4], most[4]; /* by resource */
    int failures[128];                 /* by name: so many attempts fail */
    exia_status status;                /* with this */
    const char *held;                  /* these wait for the gate */
    int open;
    const uint32_t *uses;
    exia_status (*meddle)(struct scene *, exia_error *); /* what task 'm' does */
    size_t meet;                                         /* so many out at once open the gate */
    int told, reports;                                   /* calls of `out`, of progress */
    char out[64], step[200];                             /* the last of them */
    int open_after;                                      /* so many of them, once it stops */
} scene;

static void scene_open(scene *s, const char *nodes, const char *text)
{
    *s = (scene){.dag = open_named(nodes), .held = "", .status = EXIA_EUSER};
    edges(s->dag, text);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
}

static void scene_close(scene *s)
{
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    exia_dag_free(s->dag);
}

static void open_gate(scene *s)
{
    pthread_mutex_lock(&s->lock);
    s->open = 1;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void wait_for(scene *s, size_t count)
{
    pthread_mutex_lock(&s->lock);
    while (s->count < count)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static exia_status act(uint32_t node, void *payload, exia_error *error)
{
    scene *s = payload;
    char name = exia_dag_name(s->dag, node)[0];
    uint32_t use = s->uses ? s->uses[node] : EXIA_DAG_NO_RESOURCE;
    pthread_mutex_lock(&s->lock);
    s->began[s->count++] = name;
    if (use != EXIA_DAG_NO_RESOURCE && ++s->running[use] > s->most[use])
        s->most[use] = s->running[use];
    pthread_cond_broadcast(&s->changed);
    while (strchr(s->held, name) != NULL && !s->open)
        pthread_cond_wait(&s->changed, &s->lock);
    if (use != EXIA_DAG_NO_RESOURCE)
        s->running[use]--;
    int fails = s->failures[(int)name]-- > 0;
    pthread_mutex_unlock(&s->lock);
    if (name == 'm' && s->meddle != NULL)
        return s->meddle(s, error);
    if (!fails)
        return EXIA_OK;
    error->status = s->status;
    snprintf(error->text, sizeof error->text, "%c is tired", name);
    return s->status;
}

static int progress(const char *step, uint64_t done, uint64_t total, void *payload)
{
    scene *s = payload;
    (void)done;
    (void)total;
    snprintf(s->step, sizeof s->step, "%s", step);
    s->reports++;
    if (s->open_after > 0 && strstr(step, "stopping") != NULL && --s->open_after == 0)
        open_gate(s);
    return 0;
}

static void tell_out(const uint32_t *nodes, size_t count, void *payload)
{
    scene *s = payload;
    for (size_t i = 0; i < count; i++)
        s->out[i] = exia_dag_name(s->dag, nodes[i])[0];
    s->out[count] = '\0';
    pthread_mutex_lock(&s->lock);
    s->told++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (count == s->meet)
        open_gate(s);
}

/* ---- what is told ----------------------------------------------------------------------------- */

/* "d1 s0": state and attempts of each. */
static const char *told(exia_rows *rows)
{
    static char text[256];
    const char *row_text;
    size_t used = 0;
    text[0] = '\0';
    while (rows != NULL && exia_rows_next(&row_text, rows, NULL) == EXIA_OK) {
        json_t *row = json_loads(row_text, 0, NULL);
        json_int_t attempts = json_integer_value(json_object_get(row, "attempts"));
        const char *state = json_string_value(json_object_get(row, "state"));
        json_t *started = json_object_get(row, "started_ns"),
               *ended = json_object_get(row, "ended_ns"), *worker = json_object_get(row, "worker");
        assert_int_equal(json_is_integer(started), attempts > 0);
        assert_int_equal(json_is_integer(ended), attempts > 0);
        assert_int_equal(json_is_integer(worker), attempts > 0);
        assert_true(json_integer_value(ended) >= json_integer_value(started));
        assert_true(attempts == 0 || json_integer_value(started) >=
                                         json_integer_value(json_object_get(row, "queued_ns")));
        if (*state == 'f')
            assert_true(json_is_string(json_object_get(row, "error")));
        if (*state == 'd')
            assert_true(json_is_null(json_object_get(row, "error")));
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%c%d", used ? " " : "", *state,
                                 (int)attempts);
        json_decref(row);
    }
    exia_rows_free(rows);
    return text;
}

#define RUN(s, o, threads_)                                                                        \
    exia_dag_run_with(&rows, (s)->dag, act, (s), (o),                                              \
                      &(exia_job){.struct_size = sizeof(exia_job),                                 \
                                  .threads = (threads_),                                           \
                                  .progress = progress,                                            \
                                  .payload = (s)},                                                 \
                      &err)

/* ---- bad input -------------------------------------------------------------------------------- */

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
    check_ok(exia_dag_run(NULL, s.dag, act, &s, NULL, &err)); /* nothing stays behind */
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
    assert_string_equal(told(rows), "f1");
    scene_close(&s);
}

TEST(nothing_that_is_not_run_can_be_cancelled)
{
    scene s;
    scene_open(&s, "a", "");
    check_fails(EXIA_EINVAL, exia_dag_cancel(NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_dag_cancel(s.dag, &err));
    check_text("not being run");
    check_ok(exia_dag_run(NULL, s.dag, act, &s, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_dag_cancel(s.dag, &err));
    scene_close(&s);
}

/* ---- meanwhile -------------------------------------------------------------------------------- */

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
    assert_int_equal(exia_dag_run(NULL, s->dag, act, s, NULL, &own), EXIA_ECONFLICT);
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
        assert_string_equal(told(rows), "d1 d1 d1");
        assert_int_equal(exia_dag_node_count(s.dag), 3);
        edges(s.dag, "ab"); /* and when it is over, all is as before */
        check_ok(exia_dag_run(NULL, s.dag, act, &s, NULL, &err));
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
        assert_string_equal(told(rows), "d1 d1 d1 d1");
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
    return exia_dag_run(NULL, s->dag, act, s, &(exia_job){sizeof(exia_job), .threads = 1}, &own) ==
                   EXIA_OK
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
    assert_string_equal(told(rows), "d1");
    scene_close(&s);
}

/* ---- failures and attempts --------------------------------------------------------------------- */

static exia_status fail_it(scene *s, exia_error *error)
{
    if (*s->held)
        wait_for(s, 3); /* with a and x */
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
        assert_string_equal(told(rows), threads == 1 ? "d1 f1 s0 c0 c0 c0" : "d1 f1 s0 d1 c0 c0");
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
        assert_string_equal(told(rows), "d3 d1 f3 s0");
        s.failures['a'] = 2;
        s.failures['c'] = 1;
        check_ok(RUN(&s, &o, threads));
        assert_string_equal(told(rows), "d3 d1 d2 d1");
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
    assert_string_equal(told(rows), "f1 s0");
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

static exia_status cancel_it(scene *s, exia_error *error)
{
    return exia_dag_cancel(s->dag, error);
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
        s.meddle = cancel_it;
        check_fails(EXIA_ECANCELLED, RUN(&s, &o, threads));
        assert_string_equal(told(rows), "c1 d1 d1 d1");
        scene_close(&s);
    }
}

/* ---- who is next ------------------------------------------------------------------------------- */

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
        if (threads == 2) { /* the first two meet: tell_out() lets them go */
            s.held = "cd";
            s.meet = 2;
            o.out = tell_out;
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
    open_gate(s);
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
    assert_string_equal(told(rows), "d1 d1 d1 d1 d1");
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
        assert_string_equal(told(rows), "f1 s0 s0 s0");
        scene_close(&s);
    }
}

/* ---- stop --------------------------------------------------------------------------------------- */

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
        s.meddle = cancel_it;
        check_fails(EXIA_ECANCELLED, RUN(&s, i < 2 ? &plain : &ordered, 1 + (uint32_t)i % 2));
        check_text("cancelled");
        assert_string_equal(told(rows), "d1 d1 c0");
        scene_close(&s);
    }
}

static void *cancel_when_two_began(void *payload)
{
    scene *s = payload;
    wait_for(s, 2);
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
    assert_string_equal(told(rows), "d1 d1 c0 c0 c0");
    assert_int_equal(s.open_after, 0);
    assert_non_null(strstr(s.step, "still out:"));
    scene_close(&s);
}

TEST(progress_goes_on_after_the_time_allowed_is_over)
{
    scene s;
    exia_rows *rows = NULL;
    exia_job job = {sizeof job, .threads = 2, .total_ms = 1, .progress = progress, .payload = &s};
    scene_open(&s, "a", "");
    s.held = "a";
    s.open_after = 2; /* the gate opens by progress alone */
    exia_status rc = exia_dag_run_with(&rows, s.dag, act, &s, NULL, &job, &err);
    assert_int_equal(rc, EXIA_ETIMEOUT);
    check_text("1 ms");
    const char *states = told(rows);
    assert_true(strcmp(states, "d1") == 0 || strcmp(states, "c0") == 0);
    scene_close(&s);
}

TEST(tasks_that_are_out_are_told_on_the_way)
{
    scene s;
    exia_rows *rows = NULL;
    exia_dag_run_options o = {sizeof o, .out = tell_out, .payload = &s};
    scene_open(&s, "ab", "");
    s.held = "ab"; /* until both have been told */
    s.meet = 2;
    check_ok(RUN(&s, &o, 2));
    assert_string_equal(told(rows), "d1 d1");
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
        exia_dag_run_options o = {sizeof o, .out = tell_out, .payload = &s};
        o.priority = ordered ? EXIA_DAG_CRITICAL : 0;
        scene_open(&s, "mcde", "mc md me");
        s.meddle = tarry;
        s.held = "cde"; /* until all three are out, in three threads */
        s.meet = 3;
        check_ok(RUN(&s, &o, 3));
        assert_string_equal(told(rows), "d1 d1 d1 d1");
        scene_close(&s);
    }
}

/* ---- many --------------------------------------------------------------------------------------- */

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

/* ---- out of memory ------------------------------------------------------------------------------ */

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
