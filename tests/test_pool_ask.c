/* What a caller with a lock of its own has: waits that ask, and places that borrow without a factory. */
#include <poll.h>
#include <stdbool.h>

#include "support/recorder.h"

static atomic_int asked, answer;

static int ask(void *payload)
{
    atomic_fetch_add((atomic_int *)payload, 1);
    return atomic_load(&answer);
}

static exia_pool *asking_pool(void)
{
    exia_pool *pool = open_pool();
    atomic_store(&asked, 0);
    atomic_store(&answer, 0);
    check_ok(exia_pool_on_wait(pool, ask, &asked, &err));
    return pool;
}

static void await_asked(int times)
{
    int until = atomic_load(&asked) + times;
    while (atomic_load(&asked) < until)
        poll(NULL, 0, 1);
}

TEST(to_ask_needs_a_pool)
{
    check_fails(EXIA_EINVAL, exia_pool_on_wait(NULL, ask, NULL, &err));
}

TEST(who_waits_is_asked_and_keeps_its_turn)
{
    exia_pool *pool = asking_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c);
    borrower first = {.number = 1}, second = {.number = 2};
    start(&first, c, -1);
    await(pool, "a", "waiting", 1);
    await_asked(2);
    start(&second, c, 60000);
    await(pool, "a", "waiting", 2);
    await_asked(4);
    give(lease);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    assert_string_equal(served, "12");
    exia_pool_free(pool);
}

TEST(an_answer_ends_the_wait_and_takes_nothing)
{
    exia_pool *pool = asking_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *need = add(pool, &a, 1, "", ""), *top = add(pool, &b, 1, "a", "");
    exia_lease lease = borrow(need);
    borrower direct = {0}, above = {0};
    start(&direct, need, -1);
    start(&above, top, 60000);
    await(pool, "a", "waiting", 2);
    atomic_store(&answer, 1);
    pthread_join(direct.thread, NULL);
    pthread_join(above.thread, NULL);
    assert_int_equal(direct.rc, EXIA_ECANCELLED);
    assert_int_equal(above.rc, EXIA_ECANCELLED);
    assert_int_equal(number_of(pool, "a", "waiting"), 0);
    give(lease);
    give(borrow(top));
    exia_pool_free(pool);
}

TEST(a_wait_that_asks_ends_in_time)
{
    exia_pool *pool = asking_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c), other;
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&other, c, 5, NULL, &err));
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&other, c, 150, NULL, &err));
    assert_int_equal(atomic_load(&asked), 1);
    give(lease);
    exia_pool_free(pool);
}

static exia_place *open_place(exia_component *component)
{
    exia_place *place = NULL;
    check_ok(exia_place_open(&place, component, &err));
    return place;
}

TEST(a_place_takes_without_a_factory_what_is_idle_and_only_that)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_place *place = open_place(c), *next;
    exia_lease lease, other;
    check_fails(EXIA_EINVAL, exia_place_try_borrow(NULL, place, NULL, &err));
    check_fails(EXIA_EINVAL, exia_place_try_borrow(&lease, NULL, NULL, &err));
    assert_int_equal(exia_place_try_borrow(&lease, place, NULL, &err), EXIA_DONE); /* to be built */
    check_ok(exia_place_borrow(&lease, place, NULL, &err));
    check_fails(EXIA_EINVAL, exia_place_try_borrow(&other, place, NULL, &err));
    exia_place_free(place);
    place = open_place(c);
    next = open_place(c);
    check_fails(EXIA_ETIMEOUT, exia_place_try_borrow(&other, place, NULL, &err));
    give(lease);
    check_fails(EXIA_ETIMEOUT, exia_place_try_borrow(&other, next, NULL, &err)); /* not its turn */
    check_ok(exia_place_try_borrow(&lease, place, EXIA_HERE, &err));
    check_fails(EXIA_ETIMEOUT, exia_place_try_borrow(&other, next, NULL, &err));
    give(lease);
    check_ok(exia_place_try_borrow(&lease, next, NULL, &err));
    give(lease);
    exia_place_free(place);
    place = open_place(c);
    check_ok(exia_pool_close(pool, 0, &err));
    check_fails(EXIA_ECLOSED, exia_place_try_borrow(&other, place, NULL, &err));
    check_calls("+a1 ~a1");
    exia_place_free(next);
    exia_place_free(place);
    exia_pool_free(pool);
}

TEST(an_object_with_hooks_is_never_taken_without_its_factory)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "!");
    give(borrow(c));
    exia_place *place = open_place(c);
    exia_lease lease;
    assert_int_equal(exia_place_try_borrow(&lease, place, NULL, &err), EXIA_DONE);
    check_ok(exia_place_borrow(&lease, place, NULL, &err));
    give(lease);
    check_calls("+a1 !a1 !a1");
    exia_place_free(place);
    exia_pool_free(pool);
}
