/* Places: waiting in the queue without a thread. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/recorder.h"

static bool ready(const exia_place *place)
{
    struct pollfd one = {.fd = exia_place_fd(place), .events = POLLIN};
    return poll(&one, 1, 0) == 1;
}

static void await_ready(const exia_place *place)
{
    struct pollfd one = {.fd = exia_place_fd(place), .events = POLLIN};
    assert_int_equal(poll(&one, 1, 60000), 1);
}

static exia_place *open_place(exia_component *component)
{
    exia_place *place = NULL;
    check_ok(exia_place_open(&place, component, &err));
    return place;
}

static exia_lease borrow_by(exia_place *place)
{
    exia_lease lease;
    check_ok(exia_place_borrow(&lease, place, EXIA_HERE, &err));
    return lease;
}

TEST(a_place_refuses_null)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_place *place;
    exia_lease lease;
    check_fails(EXIA_EINVAL, exia_place_open(NULL, c, &err));
    check_fails(EXIA_EINVAL, exia_place_open(&place, NULL, &err));
    assert_null(place);
    check_fails(EXIA_EINVAL, exia_place_borrow(&lease, NULL, NULL, &err));
    assert_int_equal(exia_place_fd(NULL), -1);
    exia_place_free(NULL);
    place = open_place(c);
    check_fails(EXIA_EINVAL, exia_place_borrow(NULL, place, NULL, &err));
    give(borrow_by(place));
    exia_place_free(place);
    exia_pool_free(pool);
}

TEST(a_place_without_a_descriptor_left_says_so_and_is_in_no_queue)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_place *place;
    struct rlimit old, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    exia_status rc = (check_reset(), exia_place_open(&place, c, &err));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    check_status(EXIA_EIO, rc, __FILE__, __LINE__);
    assert_int_equal(err.native, EMFILE);
    assert_null(place);
    assert_int_equal(number_of(pool, "a", "waiting"), 0);
    give(borrow(c));
    exia_pool_free(pool);
}

static exia_pool *small_pool;
static exia_status wait_and_borrow(void *payload, exia_error *error)
{
    exia_place *place = NULL;
    exia_lease lease;
    exia_status rc = exia_place_open(&place, payload, error);
    if (rc == EXIA_OK)
        rc = exia_place_borrow(&lease, place, EXIA_HERE, error);
    exia_place_free(place);
    if (rc == EXIA_OK)
        rc = exia_lease_return(&lease, error);
    exia_pool_clear(small_pool, NULL);
    return rc;
}

TEST(a_place_survives_no_memory)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *c = add(pool, &a, 1, "b", "");
    add(pool, &b, 0, "", "");
    small_pool = pool;
    give(borrow(c)); /* the slots are made, and stay */
    check_ok(exia_pool_clear(pool, &err));
    check_survives_no_memory(wait_and_borrow, c);
    assert_int_equal(number_of(pool, "a", "waiting"), 0);
    exia_pool_free(pool);
}

TEST(a_place_is_ready_at_once_when_there_is_room_and_is_used_once)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "!?-");
    exia_place *place = open_place(c);
    assert_true(ready(place));
    assert_int_equal(number_of(pool, "a", "waiting"), 1);
    exia_lease lease = borrow_by(place), other;
    assert_false(ready(place));
    assert_int_equal(number_of(pool, "a", "waiting"), 0);
    check_fails(EXIA_EINVAL, exia_place_borrow(&other, place, NULL, &err));
    check_text("used before");
    exia_place_free(place);
    give(lease);
    place = open_place(c);
    give(borrow_by(place));
    exia_place_free(place);
    check_calls("+a1 !a1 -a1 ?a1 !a1 -a1");
    exia_pool_free(pool);
}

TEST(a_place_is_told_when_a_loan_comes_back_and_not_before)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    for (int discard = 0; discard < 2; discard++) {
        exia_lease lease = borrow(c), other;
        exia_place *place = open_place(c);
        for (int i = 0; i < 2; i++) {
            assert_false(ready(place));
            check_fails(EXIA_ETIMEOUT, exia_place_borrow(&other, place, NULL, &err));
            check_text("component 'a': none of 1 came back in the time allowed");
        }
        check_ok(discard ? exia_lease_discard(&lease, &err) : exia_lease_return(&lease, &err));
        assert_true(ready(place));
        give(borrow_by(place));
        exia_place_free(place);
    }
    exia_pool_free(pool);
}

TEST(places_and_threads_are_served_in_one_order_of_arrival)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c), other;
    exia_place *places[2];
    borrower b[2] = {{.number = 0}, {.number = 1}};
    served[0] = '\0';
    for (int i = 0; i < 2; i++) {
        places[i] = open_place(c);
        start(&b[i], c, -1);
        await(pool, "a", "waiting", 2 * i + 2);
    }
    give(lease);
    assert_true(ready(places[0]));
    assert_false(ready(places[1]));
    check_fails(EXIA_ETIMEOUT, exia_place_borrow(&other, places[1], NULL, &err));
    lease = borrow_by(places[0]);
    assert_string_equal(served, "");
    give(lease);
    await_ready(places[1]);
    pthread_join(b[0].thread, NULL);
    assert_string_equal(served, "0");
    give(borrow_by(places[1]));
    pthread_join(b[1].thread, NULL);
    assert_string_equal(served, "01");
    for (int i = 0; i < 2; i++)
        exia_place_free(places[i]);
    assert_int_equal(a.made, 1);
    exia_pool_free(pool);
}

TEST(who_takes_the_first_of_two_objects_wakes_the_next)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 2, "", "");
    exia_lease one = borrow(c), two = borrow(c);
    exia_place *first = open_place(c), *second = open_place(c);
    give(one);
    give(two);
    assert_false(ready(second)); /* not before its turn */
    one = borrow_by(first);
    assert_true(ready(second));
    give(borrow_by(second));
    give(one);
    exia_place_free(first);
    exia_place_free(second);
    exia_pool_free(pool);
}

TEST(nobody_overtakes_a_place_whose_turn_it_is)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_place *place = open_place(c), *behind = open_place(c);
    exia_lease lease;
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&lease, c, 0, NULL, &err));
    check_text("the turn of a place");
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&lease, c, 5, NULL, &err));
    assert_false(ready(behind));
    assert_true(ready(place));
    exia_place_free(place);
    assert_true(ready(behind));
    exia_place_free(behind);
    give(borrow(c));
    exia_pool_free(pool);
}

TEST(a_place_that_is_given_up_wakes_the_next)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    for (int returned = 0; returned < 2; returned++) {
        exia_lease lease = borrow(c);
        exia_place *head = open_place(c), *middle = open_place(c);
        borrower b = {.number = 1};
        start(&b, c, -1);
        await(pool, "a", "waiting", 3);
        exia_place_free(middle);
        if (returned) {
            give(lease);
            assert_true(ready(head));
        }
        exia_place_free(head);
        if (!returned) {
            assert_int_equal(number_of(pool, "a", "waiting"), 1);
            give(lease);
        }
        pthread_join(b.thread, NULL);
        assert_int_equal(b.rc, EXIA_OK);
    }
    exia_pool_free(pool);
}

TEST(a_factory_that_fails_uses_the_place_up_and_the_next_is_told)
{
    for (uint32_t max = 0; max < 2; max++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a', .fails = "+"};
        exia_component *c = add(pool, &a, max, "", "");
        exia_place *first = open_place(c), *second = open_place(c);
        exia_lease lease;
        assert_true(ready(first));
        assert_int_equal(ready(second), max == 0); /* who comes first builds a shared one */
        check_fails(EXIA_EUSER, exia_place_borrow(&lease, first, NULL, &err));
        check_text("+a says no");
        check_fails(EXIA_EINVAL, exia_place_borrow(&lease, first, NULL, &err));
        assert_true(ready(second));
        a.fails = NULL;
        give(borrow_by(second));
        exia_place_free(first);
        exia_place_free(second);
        exia_pool_free(pool);
    }
}

TEST(a_close_tells_every_place_and_the_last_place_frees_the_pool)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c);
    exia_place *used = NULL, *places[2] = {open_place(c), open_place(c)};
    give(lease);
    lease = borrow_by(places[0]);
    used = places[0];
    places[0] = open_place(c);
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err));
    give(lease);
    check_ok(exia_pool_close(pool, -1, &err)); /* it waits for no place */
    for (int i = 0; i < 2; i++) {
        for (int again = 0; again < 2; again++) {
            assert_true(ready(places[i]));
            check_fails(EXIA_ECLOSED, exia_place_borrow(&lease, places[i], NULL, &err));
            check_text("pool test is closed");
        }
    }
    exia_place *late;
    check_fails(EXIA_ECLOSED, exia_place_open(&late, c, &err));
    exia_pool_free(pool);
    check_calls("+a1 ~a1");
    exia_place_free(places[1]);
    check_fails(EXIA_ECLOSED, exia_place_borrow(&lease, places[0], NULL, &err));
    exia_place_free(places[0]);
    check_calls("");
    exia_place_free(used);
    check_calls(".a");
}

TEST(a_place_for_what_can_never_come_is_told)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 1, "b", ""), *need = add(pool, &b, 1, "", "");
    exia_lease lease = borrow(need), other;
    exia_place *above = open_place(top), *place, *early;
    early = open_place(need);
    give(lease);
    lease = borrow_by(early);
    exia_place_free(early);
    early = NULL;
    borrower builder = {0};
    start(&builder, top, -1); /* behind `above`, which has not borrowed yet */
    await(pool, "a", "waiting", 2);
    exia_place_free(above);
    await(pool, "b", "waiting", 1);
    place = open_place(need);
    assert_false(ready(place));
    give(lease); /* the build takes it for life */
    pthread_join(builder.thread, NULL);
    assert_int_equal(builder.rc, EXIA_OK);
    await_ready(place);
    check_fails(EXIA_ENOSPACE, exia_place_borrow(&other, place, NULL, &err));
    check_text("objects of 'a' keep all 1 for life; raise its max, or clear the pool of idle ones");
    check_fails(EXIA_ENOSPACE, exia_place_open(&early, need, &err));
    assert_null(early);
    assert_int_equal(number_of(pool, "b", "waiting"), 0);
    assert_int_equal(exia_pool_clear(pool, &err), EXIA_OK);
    give(borrow(need));
    exia_place_free(place);
    exia_pool_free(pool);
}

TEST(a_shared_object_is_for_all_at_once_and_no_place_holds_it_up)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold};
    exia_component *c = add(pool, &a, 0, "", "?");
    borrower builder = {0}, thread = {0};
    exia_place *places[3];
    gate = 1;
    start(&builder, c, -1);
    await_held();
    for (int i = 0; i < 3; i++)
        places[i] = open_place(c);
    start(&thread, c, -1);
    await(pool, "a", "waiting", 4);
    for (int i = 0; i < 3; i++)
        assert_false(ready(places[i]));
    let_go();
    pthread_join(builder.thread, NULL);
    pthread_join(thread.thread, NULL);
    assert_int_equal(thread.rc, EXIA_OK); /* though places are before it */
    for (int i = 0; i < 3; i++)
        await_ready(places[i]);
    exia_lease lease = borrow_by(places[0]), last = borrow_by(places[2]);
    give(borrow(c));
    give(lease);
    give(last);
    exia_place_free(places[0]);
    exia_place_free(places[2]);
    give(borrow_by(places[1]));
    exia_place_free(places[1]);
    assert_int_equal(a.made, 1);
    exia_pool_free(pool);
}

static exia_place *place_inside;
static exia_status rc_inside;
static void borrow_at_end(recorder *r)
{
    exia_lease lease;
    r->at_end = NULL;
    rc_inside = exia_place_borrow(&lease, place_inside, NULL, NULL);
}

TEST(a_place_whose_turn_was_taken_back_keeps_it_and_is_told_again)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .at_end = borrow_at_end};
    exia_component *c = add(pool, &a, 1, "", "");
    give(borrow(c));
    place_inside = open_place(c);
    assert_true(ready(place_inside));
    check_ok(exia_pool_clear(pool, &err)); /* the object that was for it is destroyed */
    assert_int_equal(rc_inside, EXIA_ETIMEOUT);
    assert_true(ready(place_inside));
    give(borrow_by(place_inside));
    exia_place_free(place_inside);
    assert_int_equal(a.made, 2);
    exia_pool_free(pool);
}

typedef struct placed {
    pthread_t thread;
    exia_place *place;
    exia_lease lease;
    exia_status rc;
    exia_error err;
} placed;

static void *borrow_by_thread(void *payload)
{
    placed *p = payload;
    p->rc = exia_place_borrow(&p->lease, p->place, NULL, &p->err);
    return NULL;
}

TEST(a_borrow_waits_for_nothing_more_when_its_place_is_freed)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 1, "b", ""), *need = add(pool, &b, 1, "", "");
    exia_lease lease = borrow(need);
    placed p = {.place = open_place(top)};
    pthread_create(&p.thread, NULL, borrow_by_thread, &p);
    await(pool, "b", "waiting", 1);
    exia_place_free(p.place);
    pthread_join(p.thread, NULL);
    assert_int_equal(p.rc, EXIA_ECANCELLED);
    assert_non_null(strstr(p.err.text, "given up"));
    give(lease);
    give(borrow(top));
    check_calls("+b1 +a1");
    exia_pool_free(pool);
}

TEST(a_place_may_be_freed_while_the_factory_works_for_it)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold};
    exia_component *c = add(pool, &a, 1, "", "");
    placed p = {.place = open_place(c)};
    exia_lease other;
    gate = 1;
    pthread_create(&p.thread, NULL, borrow_by_thread, &p);
    await_held();
    check_fails(EXIA_EINVAL, exia_place_borrow(&other, p.place, NULL, &err));
    exia_place_free(p.place);
    let_go();
    pthread_join(p.thread, NULL);
    assert_int_equal(p.rc, EXIA_OK);
    give(p.lease);
    exia_pool_free(pool);
    check_calls("+a1 ~a1 .a");
}

enum { CROWD = 6, ROUNDS = 300, MAX = 2 };
typedef struct member {
    pthread_t thread;
    exia_component *component;
    uint32_t dice;
    int strange;
} member;

static void *take_turns(void *payload)
{
    member *m = payload;
    for (int round = 0; round < ROUNDS; round++) {
        exia_lease lease;
        exia_place *place;
        exia_status rc;
        m->dice = m->dice * 1103515245u + 12345u;
        if (m->dice >> 16 & 1) {
            m->strange += exia_place_open(&place, m->component, NULL) != EXIA_OK;
            if ((m->dice >> 17 & 7) == 0) {
                exia_place_free(place);
                continue;
            }
            struct pollfd one = {.fd = exia_place_fd(place), .events = POLLIN};
            do {
                m->strange += poll(&one, 1, 60000) != 1;
                rc = exia_place_borrow(&lease, place, NULL, NULL);
            } while (rc == EXIA_ETIMEOUT && m->strange == 0);
            exia_place_free(place);
        } else {
            int64_t wait_ms = m->dice >> 17 & 1 ? -1 : 1;
            rc = exia_component_borrow(&lease, m->component, wait_ms, NULL, NULL);
            if (rc == EXIA_ETIMEOUT && wait_ms >= 0)
                continue;
        }
        m->strange += rc != EXIA_OK;
        if (rc < 0)
            break;
        thing *t = lease.object;
        m->strange += atomic_fetch_add(&t->users, 1) != 0;
        atomic_fetch_sub(&t->users, 1);
        rc =
            m->dice >> 20 & 15 ? exia_lease_return(&lease, NULL) : exia_lease_discard(&lease, NULL);
        m->strange += rc != EXIA_OK;
    }
    return NULL;
}

TEST(a_crowd_of_places_and_threads_loses_no_wake_up_and_no_object)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, MAX, "", "");
    member members[CROWD];
    for (int i = 0; i < CROWD; i++) {
        members[i] = (member){.component = c, .dice = 7u + (uint32_t)i};
        pthread_create(&members[i].thread, NULL, take_turns, &members[i]);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(members[i].thread, NULL);
        assert_int_equal(members[i].strange, 0);
    }
    assert_int_equal(number_of(pool, "a", "waiting"), 0);
    assert_int_equal(number_of(pool, "a", "lent"), 0);
    exia_lease leases[MAX];
    for (int i = 0; i < MAX; i++)
        leases[i] = borrow(c);
    for (int i = 0; i < MAX; i++)
        give(leases[i]);
    check_ok(exia_pool_close(pool, 0, &err));
    exia_pool_free(pool);
}

TEST(a_component_replaced_while_a_place_waits_for_a_need_gives_the_new_object)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, n = {.name = 'n'};
    exia_component *c = add(pool, &a, 2, "b", ""), *need = add(pool, &b, 1, "", "");
    exia_lease lease = borrow(need);
    placed p = {.place = open_place(c)};
    exia_component_options options = {.struct_size = sizeof options, .max = 2};
    exia_factory factory = {
        .struct_size = sizeof factory, .create = create, .destroy = destroy, .payload = &n};
    pthread_create(&p.thread, NULL, borrow_by_thread, &p);
    await(pool, "b", "waiting", 1);
    check_ok(exia_component_replace(c, &factory, &options, 0, &err));
    pthread_join(p.thread, NULL);
    assert_int_equal(p.rc, EXIA_OK);
    assert_ptr_equal(((thing *)p.lease.object)->maker, &n);
    give(p.lease);
    give(lease);
    exia_place_free(p.place);
    exia_pool_free(pool);
}
