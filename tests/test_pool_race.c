/* Races, each at full speed: the same loan ended twice at once, returns against builds, discards,
 * clears, and the end of the pool. */
#include "support/recorder.h"
#include "support/watch.h"

/* Two threads go round by round together.  Each round begins when both have come. */
typedef struct meeting {
    atomic_uint come;
} meeting;

static void meet(meeting *m, unsigned round)
{
    atomic_fetch_add(&m->come, 1);
    for (unsigned spins = 0; atomic_load(&m->come) < 2 * round; spins++) {
        if (spins % 64 == 63)
            watch_pause(0);
    }
}

/* ---- one loan, two returns ------------------------------------------------------------------- */

enum { TWICE = 30000 };
typedef struct twice {
    exia_component *component;
    exia_lease lease;
    meeting begins, ends;
    int won[2];
    bool discards; /* the other one */
} twice;

static void *end_too(void *payload)
{
    twice *t = payload;
    for (unsigned round = 1; round <= TWICE; round++) {
        exia_error why;
        meet(&t->begins, round);
        exia_lease lease = t->lease;
        exia_status rc =
            t->discards ? exia_lease_discard(&lease, &why) : exia_lease_return(&lease, &why);
        t->won[1] = rc == EXIA_OK ? 1 : rc == EXIA_EINVAL ? 0 : 100;
        meet(&t->ends, round);
    }
    return NULL;
}

/* The borrower and another thread end each loan at the same time, after 0 to 3 loans in between
 * that only the borrower ends. */
static void end_twice(uint32_t max, bool hooked, bool discards)
{
    exia_pool *pool = open_pool();
    breed b = {.max = max, .hooked = hooked};
    twice t = {.component = watch_add(pool, "b", &b, NULL), .discards = discards};
    pthread_t other;
    int by_other = 0, by_borrower = 0;
    assert_int_equal(pthread_create(&other, NULL, end_too, &t), 0);
    for (unsigned round = 1; round <= TWICE; round++) {
        exia_error why;
        for (unsigned i = 0; i < round % 4; i++)
            give(borrow(t.component));
        t.lease = borrow(t.component);
        watch_enter(t.lease.object);
        watch_discard(t.lease.object);
        meet(&t.begins, round);
        exia_lease lease = t.lease;
        exia_status rc = exia_lease_return(&lease, &why);
        t.won[0] = rc == EXIA_OK ? 1 : rc == EXIA_EINVAL ? 0 : 100;
        meet(&t.ends, round);
        if (t.won[0] + t.won[1] != 1)
            watch_wrong("%d and %d returns of one loan counted", t.won[0], t.won[1]);
        by_borrower += t.won[0];
        by_other += t.won[1];
    }
    pthread_join(other, NULL);
    assert_int_equal(by_borrower + by_other, TWICE);
    assert_int_equal(number_of(pool, "b", "lent"), 0);
    check_ok(exia_pool_close(pool, 0, &err));
    exia_pool_free(pool);
    watch_ended(&b, "b");
    assert_int_equal(watch_wrongs(), 0);
}

TEST(of_two_returns_at_once_exactly_one_counts_also_when_one_is_the_borrowers)
{
    end_twice(1, false, false);
    end_twice(0, false, false);
    end_twice(2, true, false);
}

TEST(of_a_return_and_a_discard_at_once_exactly_one_counts)
{
    end_twice(1, false, true);
    end_twice(0, false, true);
    end_twice(2, true, true);
}

typedef struct stale {
    exia_lease old;
    atomic_bool over;
    unsigned long tried, counted;
} stale;

static void *return_what_is_over(void *payload)
{
    stale *s = payload;
    while (!atomic_load(&s->over)) {
        exia_lease lease = s->old;
        exia_error why;
        s->counted += exia_lease_return(&lease, &why) != EXIA_EINVAL;
        s->counted += exia_lease_discard(&lease, &why) != EXIA_EINVAL;
        s->tried++;
    }
    return NULL;
}

TEST(a_second_return_never_ends_the_loans_that_came_after)
{
    enum { LOANS = 60000 };
    for (uint32_t max = 0; max < 2; max++) {
        exia_pool *pool = open_pool();
        breed b = {.max = max};
        exia_component *c = watch_add(pool, "b", &b, NULL);
        stale s = {.old = borrow(c)};
        pthread_t other;
        int i = 0;
        give(s.old);
        assert_int_equal(pthread_create(&other, NULL, return_what_is_over, &s), 0);
        for (i = 0; i < LOANS; i++) {
            exia_lease lease;
            exia_error why;
            if (exia_component_borrow(&lease, c, 0, NULL, &why) < 0) {
                watch_wrong("loan %d: %s", i, why.text);
                continue;
            }
            watch_enter(lease.object);
            watch_leave(lease.object);
            if (exia_lease_return(&lease, &why) < 0)
                watch_wrong("return %d: %s", i, why.text);
        }
        atomic_store(&s.over, true);
        pthread_join(other, NULL);
        assert_int_equal(s.counted, 0);
        assert_int_equal(number_of(pool, "b", "hits"), LOANS + 1);
        exia_pool_free(pool);
        watch_ended(&b, "b");
        assert_int_equal(atomic_load(&b.created), 1);
        assert_int_equal(watch_wrongs(), 0);
    }
}

/* ---- many threads on a few objects ----------------------------------------------------------- */

typedef struct many {
    pthread_t thread;
    exia_pool *pool;
    exia_component *components[3];
    int loans, discard_one_in, clear_one_in, maintain_one_in;
    int64_t wait_ms;
    uint32_t dice;
    int got;
    bool closing_is_fine;
} many;

static void *use(void *payload)
{
    many *m = payload;
    for (int i = 0; i < m->loans; i++) {
        uint32_t dice = watch_random(&m->dice);
        exia_component *c = m->components[dice % 3];
        exia_lease lease;
        exia_error why;
        exia_status rc = exia_component_borrow(&lease, c, m->wait_ms, NULL, &why);
        if (rc == EXIA_ECLOSED && m->closing_is_fine)
            break;
        if (rc < 0 && rc != EXIA_EUSER && (rc != EXIA_ETIMEOUT || m->wait_ms != 0))
            watch_wrong("borrow: %s", why.text);
        if (rc < 0)
            continue;
        m->got++;
        watch_enter(lease.object);
        if (dice >> 8 & 1)
            watch_pause(dice >> 24);
        bool discard = m->discard_one_in > 0 && (int)(dice >> 16) % m->discard_one_in == 0;
        (discard ? watch_discard : watch_leave)(lease.object);
        rc = discard ? exia_lease_discard(&lease, &why) : exia_lease_return(&lease, &why);
        if (rc < 0)
            watch_wrong("%s: %s", discard ? "discard" : "return", why.text);
        if (m->clear_one_in > 0 && (int)(dice >> 12) % m->clear_one_in == 0)
            exia_pool_clear(m->pool, NULL);
        if (m->maintain_one_in > 0 && (int)(dice >> 10) % m->maintain_one_in == 0)
            exia_pool_maintain(m->pool, NULL);
    }
    return NULL;
}

/* Three components like `kinds`, `count` threads like `like`. */
static void run_many(breed *kinds, many like, int count)
{
    static const char *const names[] = {"a", "b", "c"};
    enum { MOST = 100 };
    static many threads[MOST];
    int got = 0;
    like.pool = open_pool();
    for (int i = 0; i < 3; i++)
        like.components[i] = watch_add(like.pool, names[i], &kinds[i], NULL);
    for (int i = 0; i < count; i++) {
        threads[i] = like;
        threads[i].dice = 1000u + (uint32_t)i;
        assert_int_equal(pthread_create(&threads[i].thread, NULL, use, &threads[i]), 0);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i].thread, NULL);
        got += threads[i].got;
    }
    assert_true(got > 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(number_of(like.pool, names[i], "lent"), 0);
        assert_int_equal(number_of(like.pool, names[i], "built"), atomic_load(&kinds[i].alive));
    }
    check_ok(exia_pool_close(like.pool, 0, &err));
    exia_pool_free(like.pool);
    for (int i = 0; i < 3; i++)
        watch_ended(&kinds[i], names[i]);
    assert_int_equal(watch_wrongs(), 0);
}

TEST(no_object_has_two_holders_and_no_maximum_is_passed)
{
    breed kinds[] = {{.max = 1}, {.max = 3}, {.max = 2, .hooked = true, .checked = true}};
    run_many(kinds, (many){.loans = 4000, .wait_ms = -1}, 6);
    assert_int_equal(atomic_load(&kinds[0].created), 1);
    assert_true(atomic_load(&kinds[1].created) <= 3);
}

TEST(who_does_not_wait_gets_one_or_none_and_never_one_too_many)
{
    breed kinds[] = {{.max = 1}, {.max = 2}, {.max = 4}};
    run_many(kinds, (many){.loans = 6000}, 6);
}

TEST(returns_meet_builds_when_every_other_object_is_discarded)
{
    breed kinds[] = {{.max = 1, .dwells = 2}, {.max = 3, .dwells = 2}, {.dwells = 2}};
    run_many(kinds, (many){.loans = 1500, .wait_ms = -1, .discard_one_in = 2}, 6);
    assert_true(atomic_load(&kinds[0].created) > 50);
}

TEST(borrowers_meet_one_who_clears)
{
    breed kinds[] = {{.max = 1, .dwells = 3}, {.max = 3}, {.hooked = true}};
    run_many(kinds, (many){.loans = 1500, .wait_ms = -1, .clear_one_in = 8}, 6);
}

TEST(borrowers_meet_the_end_of_what_is_old_or_was_idle_and_what_is_kept_ready)
{
    breed kinds[] = {{.max = 1, .life_ms = 1, .idle_ms = 1},
                     {.max = 4, .min_idle = 2, .idle_ms = 1, .hooked = true, .dwells = 5},
                     {.max = 0, .life_ms = 2, .min_idle = 1, .checked = true}};
    run_many(kinds, (many){.loans = 1500, .wait_ms = -1, .maintain_one_in = 8}, 6);
    assert_true(atomic_load(&kinds[0].created) > 1);
}

TEST(a_factory_that_fails_now_and_then_takes_no_room_away)
{
    breed kinds[] = {{.max = 1, .fails = 3, .hooked = true, .checked = true},
                     {.max = 3, .fails = 2},
                     {.fails = 3, .checked = true}};
    run_many(kinds, (many){.loans = 1500, .wait_ms = -1, .discard_one_in = 3}, 6);
}

TEST(a_hundred_threads_at_once_share_a_few_objects)
{
    breed kinds[] = {{.max = 1}, {.max = 5}, {.max = 0}};
    run_many(kinds, (many){.loans = 100, .wait_ms = -1}, 100);
}

/* ---- the end, under way ---------------------------------------------------------------------- */

TEST(close_in_the_middle_of_it_all_ends_every_object_and_lends_no_more)
{
    enum { THREADS = 6, TIMES = 20 };
    for (int turn = 0; turn < TIMES; turn++) {
        breed kinds[] = {{.max = 1}, {.max = 2, .hooked = true, .dwells = 4}, {.max = 0}};
        many threads[THREADS], like = {.loans = 1000000, .wait_ms = -1, .closing_is_fine = true};
        exia_lease lease;
        like.pool = open_pool();
        for (int i = 0; i < 3; i++) {
            char name[] = {(char)('a' + i), '\0'};
            like.components[i] = watch_add(like.pool, name, &kinds[i], NULL);
        }
        for (int i = 0; i < THREADS; i++) {
            threads[i] = like;
            threads[i].dice = 77u + (uint32_t)i;
            assert_int_equal(pthread_create(&threads[i].thread, NULL, use, &threads[i]), 0);
        }
        struct timespec moment = {.tv_nsec = 1000000 * (turn % 5 + 1)};
        nanosleep(&moment, NULL);
        check_ok(exia_pool_close(like.pool, -1, &err));
        for (int i = 0; i < 3; i++) { /* the threads may still ask */
            check_fails(EXIA_ECLOSED,
                        exia_component_borrow(&lease, like.components[i], -1, NULL, &err));
            assert_int_equal(atomic_load(&kinds[i].alive), 0);
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i].thread, NULL);
        exia_pool_free(like.pool);
        for (int i = 0; i < 3; i++)
            watch_ended(&kinds[i], "a component");
        assert_int_equal(watch_wrongs(), 0);
    }
}
