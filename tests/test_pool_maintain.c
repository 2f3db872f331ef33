/* Maintenance: limits kept tick by tick, refilling, loans that are out for too long, leaks.  Times
 * are either one millisecond, which is waited for, or an hour, which never comes. */
#include "support/recorder.h"

enum { HOUR = 3600000 };
static const exia_component_options none = {.struct_size = sizeof none};

static exia_component *add_with(exia_pool *pool, recorder *r, exia_component_options options)
{
    char name[] = {r->name, '\0'};
    exia_component *c = NULL;
    exia_factory factory = factory_of(r, "!-");
    options.struct_size = sizeof options;
    r->need_count = options.need_count;
    check_ok(exia_pool_add(&c, pool, name, &factory, &options, &err));
    return c;
}

/* One tick, when at least a millisecond is over since the last. */
static void tick(exia_pool *pool)
{
    struct timespec two_ms = {.tv_nsec = 2000000};
    nanosleep(&two_ms, NULL);
    check_ok(exia_pool_maintain(pool, &err));
}

/* ---- limits that contradict ------------------------------------------------------------------ */

TEST(limits_that_contradict_are_refused_with_their_values)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_factory factory = factory_of(&a, "");
    exia_component_options options = none;
    check_fails(EXIA_EINVAL, exia_pool_maintain(NULL, &err));
    options.max = 3;
    options.min_idle = 4;
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_text("component a: min_idle is 4, more than max, 3");
    options.max = 0;
    options.min_idle = 2;
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_text("min_idle is 2, but it has one object, which is shared");
    options.min_idle = 1;
    options.idle_ms = -5;
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_text("idle_ms is -5, life_ms 0");
    options.idle_ms = 0;
    options.life_ms = INT64_MIN;
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_text("life_ms -9223372036854775808");
    options.life_ms = options.idle_ms = INT64_MAX;
    options.overdue_ms = INT64_MIN;
    check_ok(exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_ok(exia_pool_maintain(pool, &err));
    exia_pool_free(pool);
}

/* ---- what goes ------------------------------------------------------------------------------- */

TEST(what_is_idle_for_too_long_goes_and_what_was_borrowed_meanwhile_stays)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'}, k = {.name = 'k'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 2, .idle_ms = 1});
    exia_component *shared = add_with(pool, &s, (exia_component_options){.idle_ms = 1});
    exia_component *kept = add_with(pool, &k, (exia_component_options){.max = 1, .idle_ms = HOUR});
    exia_lease one = borrow(c), two = borrow(c), both = borrow(shared);
    give(borrow(kept));
    tick(pool);
    tick(pool); /* all of it is lent */
    give(one);
    give(two);
    give(both);
    called();
    tick(pool); /* now they are seen idle, not before */
    check_calls("");
    give(borrow(shared));
    give(borrow(c));
    check_calls("!a2 -a2");
    tick(pool); /* a1 has not moved since the last tick */
    check_calls("~a1");
    tick(pool);
    check_calls("-s1 ~s1 ~a2"); /* newest first */
    assert_int_equal(number_of(pool, "a", "expired"), 2);
    assert_int_equal(number_of(pool, "s", "expired"), 1);
    assert_int_equal(number_of(pool, "a", "destroyed"), 2);
    assert_int_equal(number_of(pool, "k", "built"), 1);
    give(borrow(shared));
    exia_pool_free(pool);
}

TEST(what_is_too_old_goes_idle_at_once_and_lent_at_its_return)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 2, .life_ms = 1});
    exia_component *shared = add_with(pool, &s, (exia_component_options){.life_ms = 1});
    exia_lease one = borrow(c), two = borrow(c), both = borrow(shared);
    give(two);
    called();
    tick(pool);
    check_calls("");
    tick(pool);
    check_calls("~a2");
    give(one);
    check_calls("-a1 ~a1");
    exia_lease next = borrow(shared); /* the old one goes with its last holder */
    assert_ptr_not_equal(next.object, both.object);
    give(both);
    check_calls("+s2 !s2 -s1 ~s1");
    give(next);
    exia_pool_free(pool);
}

TEST(what_was_needed_by_what_goes_is_idle_from_then_on)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    const char *const needs[] = {"b"};
    exia_component *c =
        add_with(pool, &a,
                 (exia_component_options){.max = 1, .idle_ms = 1, .needs = needs, .need_count = 1});
    add_with(pool, &b, (exia_component_options){.max = 1, .idle_ms = 1});
    give(borrow(c));
    called();
    tick(pool);
    tick(pool);
    check_calls("~a1 -b1");
    tick(pool);
    check_calls("");
    tick(pool);
    check_calls("~b1");
    exia_pool_free(pool);
}

static void borrow_another(recorder *r)
{
    give(borrow(r->borrows));
}

TEST(what_is_borrowed_while_maintenance_destroys_something_else_stays)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .at_end = borrow_another}, b = {.name = 'b'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 1, .idle_ms = 1});
    a.borrows = add_with(pool, &b, (exia_component_options){.max = 1, .idle_ms = 1});
    give(borrow(a.borrows));
    give(borrow(c));
    called();
    tick(pool);
    tick(pool); /* newest first */
    check_calls("~a1 !b1 -b1");
    tick(pool);
    check_calls("");
    tick(pool);
    check_calls("~b1");
    exia_pool_free(pool);
}

/* ---- what is kept ready ---------------------------------------------------------------------- */

TEST(so_many_are_built_that_enough_are_idle_but_no_more_than_max)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 3, .min_idle = 2});
    add_with(pool, &s, (exia_component_options){.min_idle = 1});
    check_ok(exia_pool_maintain(pool, &err));
    check_calls("+a1 +a2 +s1 !s1"); /* with max: activated when it is lent */
    check_ok(exia_pool_maintain(pool, &err));
    check_calls("");
    exia_lease one = borrow(c), two = borrow(c);
    check_ok(exia_pool_maintain(pool, &err));
    check_calls("!a2 !a1 +a3");
    assert_int_equal(number_of(pool, "a", "idle"), 1);
    exia_lease three = borrow(c), four;
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&four, c, 0, NULL, &err));
    give(one);
    give(two);
    give(three);
    assert_int_equal(number_of(pool, "a", "idle"), 3);
    exia_pool_free(pool);
}

TEST(idle_time_leaves_the_least_number_and_life_time_replaces_it)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, s = {.name = 's'};
    exia_component *c =
        add_with(pool, &a, (exia_component_options){.max = 3, .min_idle = 1, .idle_ms = 1});
    add_with(pool, &b, (exia_component_options){.max = 2, .min_idle = 2, .life_ms = 1});
    exia_component *shared =
        add_with(pool, &s, (exia_component_options){.min_idle = 1, .idle_ms = 1});
    exia_lease one = borrow(c), two = borrow(c), three = borrow(c);
    give(one);
    give(two);
    give(three);
    give(borrow(shared));
    called();
    tick(pool);
    check_calls("+b1 +b2");
    tick(pool);
    check_calls("~a3 ~a2"); /* b1 and b2 were first seen now */
    tick(pool);
    check_calls("~b2 ~b1 +b3 +b4");
    assert_int_equal(number_of(pool, "s", "built"), 1);
    assert_int_equal(number_of(pool, "b", "expired"), 2);
    exia_pool_free(pool);
}

/* ---- the log --------------------------------------------------------------------------------- */

static char said[4096];
static int lines;

static void listen_to(int level, const char *topic, const char *text, void *payload)
{
    (void)payload;
    pthread_mutex_lock(&lock);
    size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, "%s %s: %s\n",
             level == EXIA_LOG_WARNING ? "warning" : "info", topic, text);
    lines++;
    pthread_mutex_unlock(&lock);
}

static void listen_now(void)
{
    said[0] = '\0';
    lines = 0;
    exia_log_set(listen_to, NULL);
}

TEST(a_factory_that_fails_is_tried_once_a_tick_and_logged_and_the_rest_is_done)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .fails = "+"}, b = {.name = 'b'}, s = {.name = 's', .fails = "!"};
    const char *const need[] = {"nowhere"};
    add_with(pool, &a, (exia_component_options){.max = 5, .min_idle = 5});
    add_with(pool, &s, (exia_component_options){.min_idle = 1});
    recorder n = {.name = 'n'};
    add_with(pool, &n,
             (exia_component_options){.max = 1, .min_idle = 1, .needs = need, .need_count = 1});
    add_with(pool, &b, (exia_component_options){.max = 1, .min_idle = 1});
    listen_now();
    check_ok(exia_pool_maintain(pool, &err));
    exia_log_set(NULL, NULL);
    check_calls("+a1 +s1 !s1 ~s1 +b1");
    assert_int_equal(lines, 3);
    assert_non_null(strstr(said, "warning pool: pool test keeps fewer objects idle than it should: "
                                 "component 'a': +a says no\n"));
    assert_non_null(strstr(said, "component 's': !s says no\n"));
    assert_non_null(strstr(said, "component 'nowhere', needed by 'n', is not in pool test"));
    assert_int_equal(number_of(pool, "a", "failed"), 1);
    a.fails = s.fails = NULL;
    check_ok(exia_pool_maintain(pool, &err));
    assert_int_equal(number_of(pool, "a", "idle"), 5); /* the pool lives on */
    assert_int_equal(number_of(pool, "s", "idle"), 1);
    exia_pool_free(pool);
}

TEST(a_loan_that_is_out_for_too_long_is_told_once_in_one_line_a_place)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 5, .overdue_ms = 1});
    exia_component *shared = add_with(pool, &s, (exia_component_options){.overdue_ms = 1});
    exia_lease leases[5];
    for (int i = 0; i < 3; i++)
        check_ok(exia_component_borrow(&leases[i], c, 0, i == 1 ? "b.c:2" : "a.c:1", &err));
    check_ok(exia_component_borrow(&leases[3], shared, 0, NULL, &err));
    tick(pool); /* seen */
    listen_now();
    tick(pool);
    exia_log_set(NULL, NULL);
    assert_int_equal(lines, 3);
    assert_non_null(strstr(
        said, "warning pool: pool test has 2 loans of 'a' taken at a.c:1 out for 2 ticks, "));
    assert_non_null(strstr(said, " ms at least\n"));
    assert_non_null(strstr(said, "pool test has 1 loan of 'a' taken at b.c:2 out for 2 ticks, "));
    assert_non_null(strstr(said, "pool test has 1 loan of 's' out for 2 ticks, "));
    give(leases[0]);
    check_ok(exia_component_borrow(&leases[0], c, 0, "c.c:3", &err)); /* the same slot */
    listen_now();
    tick(pool);
    assert_int_equal(lines, 0);
    tick(pool);
    exia_log_set(NULL, NULL);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(said, "1 loan of 'a' taken at c.c:3 out for 2 ticks"));
    for (int i = 0; i < 4; i++)
        give(leases[i]);
    exia_pool_free(pool);
}

TEST(who_says_nothing_hears_of_loans_after_five_minutes_and_never_of_shared_ones)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, n = {.name = 'n'}, s = {.name = 's'};
    const char *const needs[] = {"n"};
    exia_lease leases[] = {
        borrow(add_with(pool, &a, (exia_component_options){.max = 1})),
        borrow(add_with(pool, &s, none)),
        borrow(add_with(pool, &n, (exia_component_options){.max = 2, .overdue_ms = -1})),
        borrow(add_with(pool, &b,
                        (exia_component_options){.max = 1, .needs = needs, .need_count = 1}))};
    listen_now();
    tick(pool);
    tick(pool);
    exia_log_set(NULL, NULL);
    assert_int_equal(lines, 0);
    for (int i = 0; i < 4; i++)
        give(leases[i]);
    exia_pool_free(pool);
}

TEST(what_is_not_returned_is_told_at_close_and_at_the_end)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 5});
    exia_component *shared = add_with(pool, &s, none);
    exia_lease one, two, three;
    check_ok(exia_component_borrow(&one, c, 0, "a.c:1", &err));
    check_ok(exia_component_borrow(&two, c, 0, "a.c:1", &err));
    check_ok(exia_component_borrow(&three, shared, 0, "b.c:2", &err));
    listen_now();
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err));
    check_text("3 loans are out: 'a' taken at a.c:1, 'a' taken at a.c:1, 's' taken at b.c:2");
    assert_string_equal(
        said, "warning pool: pool test is closed with 2 loans of 'a' taken at a.c:1 out\n"
              "warning pool: pool test is closed with 1 loan of 's' taken at b.c:2 out\n");
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err)); /* once */
    assert_int_equal(lines, 2);
    give(two);
    listen_now();
    exia_pool_free(pool);
    exia_log_set(NULL, NULL);
    assert_string_equal(said,
                        "warning pool: pool test is freed with 1 loan of 'a' taken at a.c:1 out\n"
                        "warning pool: pool test is freed with 1 loan of 's' taken at b.c:2 out\n");
    give(one);
    give(three);
}

/* ---- what can be asked ----------------------------------------------------------------------- */

TEST(ticks_tell_when_something_was_last_borrowed_and_how_long_a_loan_is_out)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 2});
    const char *text;
    exia_rows *rows;
    json_t *row = row_of(pool, "a");
    assert_true(json_is_null(json_object_get(row, "last_hit")));
    json_decref(row);
    check_ok(exia_pool_maintain(pool, &err));
    exia_lease lease;
    check_ok(exia_component_borrow(&lease, c, 0, "a.c:1", &err));
    assert_int_equal(number_of(pool, "a", "last_hit"), 1);
    for (int i = 0; i < 3; i++)
        check_ok(exia_pool_maintain(pool, &err));
    assert_int_equal(number_of(pool, "a", "last_hit"), 1);
    assert_int_equal(number_of(pool, "a", "ticks"), 4);
    check_ok(exia_component_loans(&rows, c, &err));
    check_ok(exia_rows_next(&text, rows, &err));
    assert_string_equal(text, "{\"where\":\"a.c:1\",\"by\":null,\"ticks\":3,\"old\":false}");
    check_done(exia_rows_next(&text, rows, &err));
    exia_rows_free(rows);
    give(lease);
    lease = borrow(c);
    assert_int_equal(number_of(pool, "a", "last_hit"), 4);
    assert_int_equal(number_of(pool, "a", "hits"), 2);
    check_ok(exia_component_loans(&rows, c, &err));
    check_ok(exia_rows_next(&text, rows, &err));
    assert_non_null(strstr(text, "\"ticks\":0"));
    exia_rows_free(rows);
    give(lease);
    exia_pool_free(pool);
}

/* ---- from inside, beside others, at the end -------------------------------------------------- */

static void maintain_inside(recorder *r)
{
    r->status = exia_pool_maintain(r->pool, &err);
}

TEST(a_factory_may_maintain_its_pool_but_not_when_maintenance_called_it)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = maintain_inside, .pool = pool}, b = {.name = 'b'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 1});
    add_with(pool, &b, (exia_component_options){.max = 1, .min_idle = 1});
    give(borrow(c));
    check_calls("+a1 +b1 !a1 -a1");
    recorder d = {.name = 'd', .inside = maintain_inside, .pool = pool};
    add_with(pool, &d, (exia_component_options){.min_idle = 1});
    listen_now();
    assert_int_equal(exia_pool_maintain(pool, NULL), EXIA_OK);
    exia_log_set(NULL, NULL);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(said, "a factory that maintenance calls maintains it"));
    exia_pool_free(pool);
}

static void *maintain_in_thread(void *payload)
{
    exia_error own;
    return (void *)(intptr_t)(exia_pool_maintain(payload, &own) == EXIA_OK);
}

TEST(a_slow_factory_in_maintenance_holds_up_nobody_else)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold}, b = {.name = 'b'};
    exia_component *slow = add_with(pool, &a, (exia_component_options){.min_idle = 1});
    exia_component *quick = add_with(pool, &b, (exia_component_options){.max = 1, .min_idle = 1});
    pthread_t thread;
    void *kept;
    borrower waiter = {0};
    gate = 1;
    pthread_create(&thread, NULL, maintain_in_thread, pool);
    await_held();
    give(borrow(quick));
    check_ok(exia_pool_maintain(pool, &err)); /* builds no second one of what is shared */
    start(&waiter, slow, -1);
    await(pool, "a", "waiting", 1);
    let_go();
    pthread_join(thread, &kept);
    pthread_join(waiter.thread, NULL);
    assert_non_null(kept);
    assert_int_equal(waiter.rc, EXIA_OK);
    assert_int_equal(a.made, 1);
    exia_pool_free(pool);
}

TEST(what_is_replaced_while_maintenance_builds_it_goes_at_once)
{
    for (uint32_t max = 0; max < 2; max++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a', .inside = hold}, x = {.name = 'x'};
        exia_component *c = add_with(pool, &a, (exia_component_options){.max = max, .min_idle = 1});
        pthread_t thread;
        gate = 1;
        pthread_create(&thread, NULL, maintain_in_thread, pool);
        await_held();
        check_ok(replace(c, &x, 0, NULL, "", 0));
        let_go();
        pthread_join(thread, NULL);
        check_calls(max ? "+a1 +x1 ~a1 .a" : "+a1 +x1 !a1 -a1 ~a1 .a");
        assert_int_equal(number_of(pool, "a", "idle"), 1);
        exia_pool_free(pool);
        check_calls("~x1 .x");
    }
}

TEST(a_closed_pool_is_not_refilled_but_its_loans_are_told)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c =
        add_with(pool, &a, (exia_component_options){.max = 2, .min_idle = 1, .overdue_ms = 1});
    exia_lease lease = borrow(c);
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err));
    called();
    listen_now();
    tick(pool);
    tick(pool);
    exia_log_set(NULL, NULL);
    check_calls("");
    assert_int_equal(lines, 1);
    give(lease);
    check_calls("-a1 ~a1");
    exia_pool_free(pool);
}

/* ---- out of memory --------------------------------------------------------------------------- */

static exia_status keep_limits(void *payload, exia_error *error)
{
    recorder *r = payload;
    exia_pool *pool = NULL;
    const char *const needs[] = {"n"};
    exia_factory factory = {
        .struct_size = sizeof factory, .create = create, .destroy = destroy, .payload = r};
    exia_component_options options = {
        .struct_size = sizeof options, .max = 2, .min_idle = 2, .life_ms = HOUR};
    exia_status rc = exia_pool_open(&pool, "test", error);
    if (rc == EXIA_OK)
        rc = exia_pool_add(NULL, pool, "n", &factory, &options, error);
    options = (exia_component_options){
        .struct_size = sizeof options, .needs = needs, .need_count = 1, .min_idle = 1};
    if (rc == EXIA_OK)
        rc = exia_pool_add(NULL, pool, "a", &factory, &options, error);
    if (rc == EXIA_OK) {
        listen_now();
        assert_int_equal(exia_pool_maintain(pool, NULL), EXIA_OK);
        exia_log_set(NULL, NULL);
    }
    if (rc == EXIA_OK && lines > 0) { /* the log has it; the next tick tries again */
        assert_non_null(strstr(said, exia_status_text(EXIA_ENOMEM)));
        *error = (exia_error){.status = rc = EXIA_ENOMEM, .text = "in the log"};
    }
    if (pool != NULL)
        assert_int_equal(exia_pool_close(pool, 0, NULL), EXIA_OK);
    exia_pool_free(pool);
    return rc;
}

TEST(each_allocation_of_maintenance_may_fail)
{
    recorder r = {.name = 'r'};
    called();
    check_survives_no_memory(keep_limits, &r);
}
