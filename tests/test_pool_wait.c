/* Waiting for a loan: in order, in time, and never for what cannot come. */
#include "pool/pool.h"
#include "support/recorder.h"

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

TEST(a_wait_ends_in_time)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 2, "", "");
    exia_lease one = borrow(c), two = borrow(c), three;
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&three, c, 0, NULL, &err));
    check_text("none of 2 came back");
    int64_t began = now_ms();
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&three, c, 30, NULL, &err));
    assert_true(now_ms() - began >= 29);
    give(one);
    check_ok(exia_component_borrow(&three, c, INT64_MAX, NULL, &err));
    assert_int_equal(number_of(pool, "a", "built"), 2);
    give(two);
    give(three);
    exia_pool_free(pool);
}

typedef struct noise {
    pthread_t thread;
    exia_component *component;
    borrower *until;
    int64_t ended_ms;
} noise;

static void *wake_for_nothing(void *payload)
{
    noise *n = payload;
    exia_pool *pool = n->component->pool;
    int64_t last = now_ms() + 20000;
    while (!atomic_load(&n->until->ended) && now_ms() < last) {
        pthread_mutex_lock(&pool->lock);
        exia__queue_wake_all(n->component);
        pthread_mutex_unlock(&pool->lock);
    }
    n->ended_ms = now_ms();
    return NULL;
}

TEST(a_wait_is_not_prolonged_by_wake_ups_that_bring_nothing)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c);
    borrower b = {0};
    noise n = {.component = c, .until = &b};
    int64_t began = now_ms();
    start(&b, c, 50);
    pthread_create(&n.thread, NULL, wake_for_nothing, &n);
    pthread_join(n.thread, NULL);
    give(lease); /* so that it ends, whatever it does */
    pthread_join(b.thread, NULL);
    assert_int_equal(b.rc, EXIA_ETIMEOUT);
    assert_true(n.ended_ms - began >= 49 && n.ended_ms - began < 20000);
    exia_pool_free(pool);
}

TEST(a_time_that_is_over_at_the_moment_of_a_return_loses_nothing)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    for (int round = 0; round < 200; round++) {
        exia_lease lease = borrow(c);
        borrower hasty = {0}, patient = {0};
        start(&hasty, c, 1);
        start(&patient, c, -1);
        struct timespec moment = {.tv_nsec = 900000 + round * 3000};
        nanosleep(&moment, NULL);
        give(lease);
        pthread_join(hasty.thread, NULL);
        pthread_join(patient.thread, NULL);
        assert_true(hasty.rc == EXIA_OK || hasty.rc == EXIA_ETIMEOUT);
        assert_int_equal(patient.rc, EXIA_OK);
        assert_int_equal(number_of(pool, "a", "lent"), 0);
        served[0] = '\0';
    }
    assert_int_equal(a.made, 1);
    exia_pool_free(pool);
}

TEST(the_longest_wait_there_is_ends_with_a_return)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    int64_t clock_ends = INT64_MAX / 1000000;
    int64_t waits[] = {INT64_MAX, clock_ends + 1, clock_ends, clock_ends - now_ms() - 1, INT64_MIN};
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        exia_lease lease = borrow(c);
        borrower b = {0};
        start(&b, c, waits[i]);
        await(pool, "a", "waiting", 1);
        give(lease);
        pthread_join(b.thread, NULL);
        assert_int_equal(b.rc, EXIA_OK);
    }
    exia_pool_free(pool);
}

TEST(an_absurd_maximum_costs_nothing_before_it_is_used)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, UINT32_MAX, "", "");
    exia_lease leases[1000];
    for (int i = 0; i < 1000; i++) {
        leases[i] = borrow(c);
        for (int k = 0; k < i; k += 100)
            assert_ptr_not_equal(leases[k].object, leases[i].object);
    }
    for (int i = 0; i < 1000; i++)
        give(leases[i]);
    check_fails(EXIA_EINVAL, exia_lease_return(&leases[500], &err));
    exia_pool_free(pool);
}

TEST(who_waits_is_served_in_order_of_arrival)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c), other;
    borrower b[4] = {{.number = 0}};
    served[0] = '\0';
    for (int i = 0; i < 4; i++) {
        b[i].number = i;
        start(&b[i], c, -1);
        await(pool, "a", "waiting", i + 1);
    }
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&other, c, 0, NULL, &err));
    give(lease);
    for (int i = 0; i < 4; i++)
        pthread_join(b[i].thread, NULL);
    assert_string_equal(served, "0123");
    assert_int_equal(a.made, 1);
    exia_pool_free(pool);
}

TEST(who_leaves_the_queue_holds_up_nobody)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c);
    borrower first = {.number = 1}, impatient = {.number = 9}, last = {.number = 2};
    struct timespec moment = {.tv_nsec = 200000};
    served[0] = '\0';
    start(&impatient, c, 100);
    while (number_of(pool, "a", "waiting") < 1 && !atomic_load(&impatient.ended))
        nanosleep(&moment, NULL);
    start(&first, c, -1);
    while (number_of(pool, "a", "waiting") < 2 && !atomic_load(&impatient.ended))
        nanosleep(&moment, NULL);
    pthread_join(impatient.thread, NULL); /* it was the head */
    assert_int_equal(impatient.rc, EXIA_ETIMEOUT);
    await(pool, "a", "waiting", 1);
    start(&last, c, -1);
    await(pool, "a", "waiting", 2);
    give(lease);
    pthread_join(first.thread, NULL);
    pthread_join(last.thread, NULL);
    assert_string_equal(served, "12");
    exia_pool_free(pool);
}

TEST(a_discard_frees_the_room_and_wakes_who_waits)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c);
    borrower b = {0};
    start(&b, c, -1);
    await(pool, "a", "waiting", 1);
    check_ok(exia_lease_discard(&lease, &err));
    pthread_join(b.thread, NULL);
    assert_int_equal(b.rc, EXIA_OK);
    check_calls("+a1 ~a1 +a2");
    exia_pool_free(pool);
}

TEST(a_slow_factory_holds_no_lock)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold}, b = {.name = 'b'};
    exia_component *slow = add(pool, &a, 0, "", ""), *quick = add(pool, &b, 1, "", "");
    borrower first = {0}, second = {0};
    exia_lease lease;
    gate = 1;
    start(&first, slow, -1);
    await_held();
    give(borrow(quick));
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&lease, slow, 0, NULL, &err));
    check_text("another call still builds it");
    check_ok(exia_pool_clear(pool, &err));
    start(&second, slow, -1);
    await(pool, "a", "waiting", 1);
    let_go();
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    assert_int_equal(first.rc, EXIA_OK);
    assert_int_equal(second.rc, EXIA_OK);
    assert_int_equal(a.made, 1);
    exia_pool_free(pool);
}

TEST(when_a_build_fails_the_next_in_the_queue_builds)
{
    for (uint32_t max = 0; max < 2; max++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a', .inside = hold, .status = EXIA_EIO};
        exia_component *c = add(pool, &a, max, "", "");
        borrower b[4] = {{.number = 0}};
        gate = 1;
        start(&b[0], c, -1);
        await_held();
        for (int i = 1; i < 4; i++) {
            start(&b[i], c, -1);
            await(pool, "a", "waiting", i);
        }
        a.inside = NULL;
        let_go();
        for (int i = 0; i < 4; i++) {
            pthread_join(b[i].thread, NULL);
            assert_int_equal(b[i].rc, EXIA_EIO);
        }
        a.status = EXIA_OK;
        give(borrow(c));
        exia_pool_free(pool);
    }
}

static void borrow_inside(recorder *r)
{
    exia_lease lease;
    r->status = exia_component_borrow(&lease, r->borrows, -1, NULL, &err);
    if (r->status == EXIA_OK)
        r->status = exia_lease_return(&lease, &err);
}

TEST(a_factory_may_borrow_from_its_own_pool_but_not_what_it_builds)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = borrow_inside}, b = {.name = 'b'},
             c = {.name = 'c', .inside = borrow_inside};
    exia_component *first = add(pool, &a, 0, "", ""), *second = add(pool, &b, 1, "", "");
    exia_component *third = add(pool, &c, 1, "", "");
    exia_lease lease;
    a.borrows = second;
    give(borrow(first));
    check_calls("+a1 +b1");
    c.borrows = third;
    check_fails(EXIA_ECYCLE, exia_component_borrow(&lease, third, -1, NULL, &err));
    check_text(
        "component 'c': this very thread works at it; its factory and hooks must not borrow it");
    give(borrow(second));
    exia_pool_free(pool);
}

static void borrow_when_both_hold(recorder *r)
{
    pthread_mutex_lock(&lock);
    gate++;
    pthread_cond_broadcast(&changed);
    while (gate < 2)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    exia_lease lease;
    exia_error own;
    r->status = exia_component_borrow(&lease, r->borrows, -1, NULL, &own);
    if (r->status == EXIA_OK)
        r->status = exia_lease_return(&lease, NULL);
}

TEST(two_builds_that_wait_for_one_another_end_with_an_error)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = borrow_when_both_hold},
             b = {.name = 'b', .inside = borrow_when_both_hold};
    exia_component *first = add(pool, &a, 0, "", ""), *second = add(pool, &b, 1, "", "");
    borrower x = {0}, y = {0};
    a.borrows = second;
    b.borrows = first;
    gate = 0;
    start(&x, first, -1);
    start(&y, second, -1);
    pthread_join(x.thread, NULL);
    pthread_join(y.thread, NULL);
    assert_int_equal(x.rc, EXIA_ECYCLE); /* one gives up, the other then meets itself */
    assert_int_equal(y.rc, EXIA_ECYCLE);
    exia_pool_free(pool);
}

TEST(who_waits_for_what_a_build_takes_for_life_is_told)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 0, "b", ""), *need = add(pool, &b, 1, "", "");
    borrower builder = {0}, waiter = {0};
    gate = 1;
    start(&builder, top, -1);
    await_held();
    start(&waiter, need, -1);
    await(pool, "b", "waiting", 1);
    let_go();
    pthread_join(builder.thread, NULL);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(builder.rc, EXIA_OK);
    assert_int_equal(waiter.rc, EXIA_ETIMEOUT);
    assert_non_null(strstr(waiter.err.text, "objects of 'a' keep all 1"));
    exia_pool_free(pool);
}

static void *discard_in_thread(void *payload)
{
    return (void *)(intptr_t)(exia_lease_discard(payload, NULL) == EXIA_OK);
}

TEST(what_is_being_ended_may_be_waited_for)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .at_end = hold}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 1, "b", ""), *need = add(pool, &b, 1, "", "");
    exia_lease lease = borrow(top);
    borrower waiter = {.number = 0};
    pthread_t discarder;
    gate = 1;
    pthread_create(&discarder, NULL, discard_in_thread, &lease);
    await_held();
    start(&waiter, need, -1);
    await(pool, "b", "waiting", 1);
    let_go();
    pthread_join(discarder, NULL);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(waiter.rc, EXIA_OK);
    check_calls("+b1 +a1 ~a1");
    exia_pool_free(pool);
}

TEST(a_stale_object_gives_its_needs_back_with_its_last_holder)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 0, "b", "");
    exia_lease one, two;
    borrower waiter = {.number = 0};
    add(pool, &b, 1, "", "");
    one = borrow(top);
    two = borrow(top);
    check_ok(exia_lease_discard(&one, &err));
    start(&waiter, top, -1);
    await(pool, "b", "waiting", 1);
    give(two);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(waiter.rc, EXIA_OK);
    check_calls("+b1 +a1 ~a1 +a2");
    exia_pool_free(pool);
}
