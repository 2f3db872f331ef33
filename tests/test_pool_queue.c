/* The queue under pressure: nobody overtakes, no wait lasts longer than it may, no wake-up is lost.
 * EXIA_HANDOFFS says how often two threads hand an object to one another on one core, and a tenth as
 * often on all of them; without it, as often as they can in a few seconds. */
#include <sched.h>

#include "support/recorder.h"
#include "support/watch.h"

/* Borrows, notes when it was served, and ends with its loan out: the test gives it back. */
typedef struct client {
    pthread_t thread;
    exia_component *component;
    int64_t wait_ms, took_ms;
    exia_lease lease;
    exia_status rc;
    exia_error err;
    atomic_int place, ended; /* place: the first to be served is 1 */
} client;
static atomic_int places;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void *be_client(void *payload)
{
    client *c = payload;
    int64_t began = now_ms();
    c->rc = exia_component_borrow(&c->lease, c->component, c->wait_ms, "client", &c->err);
    c->took_ms = now_ms() - began;
    if (c->rc == EXIA_OK)
        atomic_store(&c->place, atomic_fetch_add(&places, 1) + 1);
    atomic_store(&c->ended, 1);
    return NULL;
}

static void come(client *c, exia_component *component, int64_t wait_ms)
{
    *c = (client){.component = component, .wait_ms = wait_ms};
    assert_int_equal(pthread_create(&c->thread, NULL, be_client, c), 0);
}

/* ---- order ----------------------------------------------------------------------------------- */

TEST(who_returns_and_comes_again_is_behind_who_waits)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    for (int round = 0; round < 100; round++) {
        client other;
        exia_lease lease;
        for (int i = 0; i < 20; i++) /* this thread has it all the time, until another one comes */
            give(borrow(c));
        lease = borrow(c);
        come(&other, c, -1);
        await(pool, "a", "waiting", 1);
        give(lease);
        check_fails(EXIA_ETIMEOUT, exia_component_borrow(&lease, c, 0, NULL, &err));
        pthread_join(other.thread, NULL);
        assert_int_equal(other.rc, EXIA_OK);
        give(other.lease);
    }
    assert_int_equal(a.made, 1);
    exia_pool_free(pool);
}

TEST(many_who_wait_for_several_objects_are_served_in_order_also_when_some_have_left)
{
    enum { CLIENTS = 12, MAX = 3 };
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, MAX, "", "");
    client clients[CLIENTS];
    exia_lease out[MAX + CLIENTS]; /* in the order they were lent */
    int lent = 0, given = 0, waiting = 0;
    atomic_store(&places, 0);
    while (lent < MAX)
        out[lent++] = borrow(c);
    for (int i = 0; i < CLIENTS; i++) {
        bool stays = i % 3 != 1;
        come(&clients[i], c, stays ? -1 : 30);
        waiting += stays;
        if (!stays)
            pthread_join(clients[i].thread, NULL);
        await(pool, "a", "waiting", waiting);
    }
    for (int i = 0; i < CLIENTS; i++) {
        if (i % 3 == 1) {
            assert_int_equal(clients[i].rc, EXIA_ETIMEOUT);
            continue;
        }
        give(out[given++]);
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].rc, EXIA_OK);
        assert_int_equal(atomic_load(&clients[i].place), given);
        out[lent++] = clients[i].lease;
    }
    while (given < lent)
        give(out[given++]);
    assert_int_equal(number_of(pool, "a", "waiting"), 0);
    assert_int_equal(a.made, MAX);
    exia_pool_free(pool);
}

TEST(a_place_whose_borrow_fails_for_want_of_a_need_is_not_told_to_come_again)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    exia_component *first = add(pool, &a, 1, "b", ""), *second = add(pool, &c, 1, "b", "");
    recorder d = {.name = 'd', .status = EXIA_ETIMEOUT};
    exia_component *slow = add(pool, &d, 1, "", "");
    exia_place *place = NULL;
    exia_lease lease;
    add(pool, &b, 1, "", "");
    give(borrow(first)); /* it keeps the only 'b' */
    check_ok(exia_place_open(&place, second, &err));
    check_fails(EXIA_ENOSPACE, exia_place_borrow(&lease, place, NULL, &err));
    check_text("component 'b', needed by 'c': none can come");
    check_fails(EXIA_EINVAL, exia_place_borrow(&lease, place, NULL, &err));
    exia_place_free(place);
    check_ok(exia_place_open(&place, slow, &err)); /* a factory that was out of time */
    check_fails(EXIA_ENOSPACE, exia_place_borrow(&lease, place, NULL, &err));
    check_text("component 'd': inside");
    exia_place_free(place);
    exia_pool_free(pool);
}

TEST(who_builds_or_waits_for_a_need_holds_up_nobody_behind)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 2, "b", ""), *need = add(pool, &b, 3, "", "");
    exia_lease one = borrow(top), two = borrow(top), third = borrow(need);
    client builds, waits, behind;
    a.inside = hold;
    gate = 1;
    come(&builds, top, -1);
    await(pool, "a", "waiting", 1);
    check_ok(exia_lease_discard(&one, &err));
    await_held(); /* it has left the queue, and its factory takes its time */
    come(&behind, top, -1);
    await(pool, "a", "waiting", 1);
    give(two);
    pthread_join(behind.thread, NULL);
    assert_int_equal(behind.rc, EXIA_OK);
    let_go();
    pthread_join(builds.thread, NULL);
    assert_int_equal(builds.rc, EXIA_OK);
    a.inside = NULL;
    check_ok(exia_lease_discard(&builds.lease, &err));
    exia_lease fourth = borrow(need); /* now nothing is left of what the next one needs */
    come(&waits, top, -1);
    await(pool, "b", "waiting", 1);
    give(behind.lease);
    give(borrow(top));
    give(third);
    pthread_join(waits.thread, NULL);
    assert_int_equal(waits.rc, EXIA_OK);
    give(waits.lease);
    give(fourth);
    exia_pool_free(pool);
}

/* ---- time ------------------------------------------------------------------------------------ */

TEST(each_of_many_waits_ends_in_its_time_while_others_borrow_and_return)
{
    enum { CLIENTS = 8, WAIT = 60, LATE = 10000 };
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *held = add(pool, &a, 1, "", ""), *busy = add(pool, &b, 2, "", "");
    exia_lease lease = borrow(held);
    client clients[CLIENTS];
    int ended = 0;
    for (int i = 0; i < CLIENTS; i++)
        come(&clients[i], held, WAIT);
    while (ended < CLIENTS) {
        give(borrow(busy));
        ended = 0;
        for (int i = 0; i < CLIENTS; i++)
            ended += atomic_load(&clients[i].ended);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].rc, EXIA_ETIMEOUT);
        assert_true(clients[i].took_ms >= WAIT - 1 && clients[i].took_ms < LATE);
    }
    assert_int_equal(number_of(pool, "a", "waiting"), 0);
    give(lease);
    give(borrow(held));
    exia_pool_free(pool);
}

TEST(a_wait_that_is_woken_for_nothing_again_and_again_ends_in_its_time)
{
    enum { LOANS = 5000, WAIT = 100 };
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 0, "b", ""), *need = add(pool, &b, 1, "", "");
    struct timespec moment = {.tv_nsec = 1000000};
    static exia_lease leases[LOANS];
    client waiting;
    int left = LOANS;
    for (int i = 0; i < LOANS; i++)
        leases[i] = borrow(top);
    check_ok(exia_lease_discard(&leases[--left], &err)); /* it goes with its last holder */
    come(&waiting, need, WAIT);
    while (!atomic_load(&waiting.ended)) { /* each return wakes who waits for what it needs */
        assert_true(left > 1);
        give(leases[--left]);
        nanosleep(&moment, NULL);
    }
    pthread_join(waiting.thread, NULL);
    assert_int_equal(waiting.rc, EXIA_ETIMEOUT);
    assert_true(waiting.took_ms >= WAIT - 1);
    while (left > 0)
        give(leases[--left]);
    give(borrow(need));
    check_calls("+b1 +a1 ~a1");
    exia_pool_free(pool);
}

typedef struct hasty {
    pthread_t thread;
    exia_component *component;
    atomic_int *served, *late;
    int strange;
} hasty;

static void *borrow_hastily(void *payload)
{
    enum { ENOUGH = 150 };
    hasty *h = payload;
    struct timespec moment = {.tv_nsec = 900000}; /* about as long as the others wait */
    while (atomic_load(h->served) < ENOUGH || atomic_load(h->late) < ENOUGH) {
        exia_lease lease;
        exia_status rc = exia_component_borrow(&lease, h->component, 1, NULL, NULL);
        h->strange += rc != EXIA_OK && rc != EXIA_ETIMEOUT;
        atomic_fetch_add(rc == EXIA_OK ? h->served : h->late, 1);
        if (rc != EXIA_OK)
            continue;
        nanosleep(&moment, NULL);
        h->strange += exia_lease_return(&lease, NULL) != EXIA_OK;
    }
    return NULL;
}

TEST(a_wait_that_ends_just_when_an_object_comes_back_loses_nothing)
{
    enum { THREADS = 6, MAX = 2 };
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, MAX, "", "");
    atomic_int served_count = 0, late_count = 0;
    hasty threads[THREADS];
    exia_lease leases[MAX], more;
    for (int i = 0; i < THREADS; i++) {
        threads[i] = (hasty){.component = c, .served = &served_count, .late = &late_count};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, borrow_hastily, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        assert_int_equal(threads[i].strange, 0);
    }
    assert_int_equal(number_of(pool, "a", "waiting"), 0);
    assert_int_equal(number_of(pool, "a", "lent"), 0);
    for (int i = 0; i < MAX; i++)
        leases[i] = borrow(c);
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&more, c, 0, NULL, &err));
    for (int i = 0; i < MAX; i++)
        give(leases[i]);
    assert_true(a.made <= MAX);
    exia_pool_free(pool);
}

/* ---- wake-ups -------------------------------------------------------------------------------- */

enum { HANDOFF_MS = 2500, LOST_MS = 120000 };
typedef struct ball {
    int last; /* plain: who has it writes it */
    unsigned long handoffs;
} ball;
typedef struct player {
    pthread_t thread;
    exia_component *component;
    int number;
    uint32_t dice;
    bool one_core;
    unsigned long wanted; /* 0: until the time is over */
    int64_t end_ms;
    atomic_bool *over;
    exia_error why;
} player;

static exia_status make_ball(void **out, void *const *needs, void *payload, exia_error *error)
{
    (void)needs, (void)error;
    *out = payload;
    return EXIA_OK;
}

/* On one core the object is always wanted when it comes back; on two, each pauses as long as the
 * other may have it, so that it is now wanted and now not. */
static void *play(void *payload)
{
    player *p = payload;
    while (!atomic_load(p->over)) {
        exia_lease lease;
        if (exia_component_borrow(&lease, p->component, LOST_MS, NULL, &p->why) < 0) {
            atomic_store(p->over, true);
            break;
        }
        ball *b = lease.object;
        b->handoffs += b->last != p->number;
        b->last = p->number;
        bool enough = p->wanted > 0 ? b->handoffs >= p->wanted
                                    : b->handoffs % 256 == 0 && now_ms() > p->end_ms;
        if (enough)
            atomic_store(p->over, true);
        if (p->one_core)
            watch_pause(0);
        else
            watch_pause(1 + watch_random(&p->dice) % 200);
        if (exia_lease_return(&lease, &p->why) < 0)
            atomic_store(p->over, true);
        if (!p->one_core)
            watch_pause(1 + watch_random(&p->dice) % 800);
    }
    return NULL;
}

static unsigned long play_with(exia_component *c, bool one_core)
{
    const char *given = getenv("EXIA_HANDOFFS");
    atomic_bool over = false;
    player players[2];
    cpu_set_t all;
    pthread_getaffinity_np(pthread_self(), sizeof all, &all);
    if (one_core) { /* new threads begin where this one may be */
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(sched_getcpu(), &one);
        pthread_setaffinity_np(pthread_self(), sizeof one, &one);
    }
    for (int i = 0; i < 2; i++) {
        players[i] = (player){.component = c,
                              .number = i + 1,
                              .dice = 7u + (uint32_t)i,
                              .one_core = one_core,
                              .wanted = given ? strtoul(given, NULL, 10) / (one_core ? 1 : 10) : 0,
                              .end_ms = now_ms() + HANDOFF_MS,
                              .over = &over};
        assert_int_equal(pthread_create(&players[i].thread, NULL, play, &players[i]), 0);
    }
    pthread_setaffinity_np(pthread_self(), sizeof all, &all);
    for (int i = 0; i < 2; i++)
        pthread_join(players[i].thread, NULL);
    for (int i = 0; i < 2; i++) {
        if (players[i].why.status < 0)
            fail_msg("lost: %s", players[i].why.text);
    }
    exia_lease lease = borrow(c);
    unsigned long handoffs = ((ball *)lease.object)->handoffs;
    give(lease);
    if (given != NULL)
        print_message("%lu hand-offs %s\n", handoffs, one_core ? "on one core" : "on all cores");
    return handoffs;
}

TEST(no_wake_up_is_lost_between_two_threads_that_hand_an_object_to_one_another)
{
    for (int one_core = 0; one_core < 2; one_core++) {
        exia_pool *pool = open_pool();
        ball b = {0};
        exia_component *c;
        exia_factory factory = {.struct_size = sizeof factory, .create = make_ball, .payload = &b};
        exia_component_options options = {.struct_size = sizeof options, .max = 1};
        check_ok(exia_pool_add(&c, pool, "ball", &factory, &options, &err));
        assert_true(play_with(c, one_core) > 100);
        exia_pool_free(pool);
    }
}
