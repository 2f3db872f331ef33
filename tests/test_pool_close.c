/* The end of a pool, with loans out, calls under way, and from inside. */
#include "support/recorder.h"

TEST(close_names_what_is_out_and_its_return_does_the_rest)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    exia_component *one = add(pool, &a, 1, "", ""), *two = add(pool, &b, 0, "c", "");
    add(pool, &c, 1, "", "-");
    exia_lease lease = borrow(one), shared = {0};
    check_ok(exia_component_borrow(&shared, two, 0, NULL, &err));
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err));
    check_text("pool test: 2 loans are out: 'a' taken at tests/support/recorder.h:");
    check_text(", 'b'");
    exia_lease more;
    check_fails(EXIA_ECLOSED, exia_component_borrow(&more, one, -1, NULL, &err));
    check_text("pool test is closed");
    check_fails(EXIA_ECLOSED, exia_component_borrow(&more, two, -1, NULL, &err));
    check_calls("+a1 +c1 +b1");
    give(shared);
    check_calls("~b1 -c1 ~c1");
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 10, &err));
    check_text("1 loan is out");
    give(lease);
    check_calls("~a1");
    check_ok(exia_pool_close(pool, -1, &err));
    check_ok(exia_pool_clear(pool, &err));
    exia_pool_free(pool);
    check_calls(".c .b .a");
}

static void *close_in_thread(void *payload)
{
    exia_error own;
    return (void *)(intptr_t)(exia_pool_close(payload, -1, &own) == EXIA_OK);
}

TEST(close_sends_away_who_waits_and_destroys_in_reverse_order_of_building)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    exia_component *needed = add(pool, &a, 1, "", ""), *free_one = add(pool, &b, 2, "", "");
    exia_component *top = add(pool, &c, 0, "a", "");
    (void)needed;
    exia_lease lease = borrow(top), early = borrow(free_one), late = borrow(free_one);
    borrower waiter = {0};
    pthread_t closer;
    void *closed;
    start(&waiter, free_one, -1);
    await(pool, "b", "waiting", 1);
    pthread_create(&closer, NULL, close_in_thread, pool);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(waiter.rc, EXIA_ECLOSED);
    give(early);
    give(lease);
    give(late);
    pthread_join(closer, &closed);
    assert_non_null(closed);
    check_calls("+a1 +c1 +b1 +b2 ~b2 ~b1 ~c1 ~a1");
    exia_pool_free(pool);
}

TEST(a_pool_freed_with_loans_out_lives_until_the_last_return)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *c = add(pool, &a, 2, "b", "-"), *need = add(pool, &b, 0, "", "");
    exia_lease one = borrow(c), two = borrow(c), three = borrow(need);
    exia_pool_free(pool);
    check_calls("+b1 +a1 +a2");
    give(three);
    give(one);
    check_calls("-a1 ~a1");
    check_fails(EXIA_EINVAL, exia_lease_return(&one, &err));
    check_ok(exia_lease_discard(&two, &err));
    check_calls("~a2 ~b1 .b .a");
}

static void close_inside(recorder *r)
{
    r->status = exia_pool_close(r->pool, -1, &err);
}

static void free_inside(recorder *r)
{
    exia_pool_free(r->pool);
}

TEST(a_factory_that_closes_its_pool_is_refused_and_may_free_it)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = close_inside, .pool = pool},
             b = {.name = 'b', .inside = free_inside, .pool = pool};
    exia_component *c = add(pool, &a, 1, "", ""), *d = add(pool, &b, 1, "", "");
    exia_lease lease;
    check_fails(EXIA_EINVAL, exia_component_borrow(&lease, c, -1, NULL, &err));
    check_text("would wait for itself");
    check_fails(EXIA_ECLOSED, exia_component_borrow(&lease, d, -1, NULL, &err));
    check_calls("+a1 +b1 ~b1 .b .a");
}

TEST(a_close_during_a_build_waits_for_it_and_the_builder_gets_nothing)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold};
    exia_component *c = add(pool, &a, 0, "", "");
    borrower b = {0};
    pthread_t closer;
    void *closed;
    gate = 1;
    start(&b, c, -1);
    await_held();
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err));
    check_text("1 other call is under way");
    pthread_create(&closer, NULL, close_in_thread, pool);
    let_go();
    pthread_join(b.thread, NULL);
    pthread_join(closer, &closed);
    assert_non_null(closed);
    assert_int_equal(b.rc, EXIA_ECLOSED);
    check_calls("+a1 ~a1");
    exia_pool_free(pool);
}
