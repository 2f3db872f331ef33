/* Threads and pools that end: loans outlive the threads that took them, and the pool that lent them. */
#include "support/recorder.h"
#include "support/watch.h"

typedef struct leaver {
    pthread_t thread;
    exia_component *component;
    exia_lease lease;
    exia_status rc;
} leaver;

static void *borrow_and_end(void *payload)
{
    leaver *l = payload;
    exia_lease first;
    l->rc = exia_component_borrow(&first, l->component, -1, NULL, NULL);
    if (l->rc == EXIA_OK)
        l->rc = exia_lease_return(&first, NULL); /* the next one is quick */
    if (l->rc == EXIA_OK)
        l->rc = exia_component_borrow(&l->lease, l->component, -1, NULL, NULL);
    if (l->rc == EXIA_OK)
        watch_enter(l->lease.object);
    return NULL;
}

static void *end_in_thread(void *payload)
{
    leaver *l = payload;
    watch_leave(l->lease.object);
    l->rc = exia_lease_return(&l->lease, NULL);
    return NULL;
}

TEST(loans_outlive_their_threads_and_any_thread_may_give_them_back)
{
    enum { THREADS = 150 }; /* one after the other, more than a process keeps places for */
    for (uint32_t max = 0; max <= THREADS; max += THREADS) {
        exia_pool *pool = open_pool();
        breed b = {.max = max};
        exia_component *c = watch_add(pool, "b", &b, NULL);
        static leaver leavers[THREADS];
        static exia_lease leases[THREADS];
        exia_lease more;
        for (int i = 0; i < THREADS; i++) {
            leavers[i] = (leaver){.component = c};
            assert_int_equal(pthread_create(&leavers[i].thread, NULL, borrow_and_end, &leavers[i]),
                             0);
            pthread_join(leavers[i].thread, NULL);
            assert_int_equal(leavers[i].rc, EXIA_OK);
            assert_int_equal(number_of(pool, "b", "lent"), i + 1);
        }
        if (max > 0)
            check_fails(EXIA_ETIMEOUT, exia_component_borrow(&more, c, 0, NULL, &err));
        for (int i = 0; i < THREADS; i++) { /* half by this one, half by others */
            if (i % 2 == 0) {
                end_in_thread(&leavers[i]);
            } else {
                pthread_create(&leavers[i].thread, NULL, end_in_thread, &leavers[i]);
                pthread_join(leavers[i].thread, NULL);
            }
            assert_int_equal(leavers[i].rc, EXIA_OK);
            check_fails(EXIA_EINVAL, exia_lease_return(&leavers[i].lease, &err));
        }
        assert_int_equal(number_of(pool, "b", "lent"), 0);
        assert_int_equal(number_of(pool, "b", "hits"), 2 * THREADS);
        for (int i = 0; i < THREADS; i++) /* all are to be had again, whoever had them */
            leases[i] = borrow(c);
        for (int i = 0; i < THREADS; i++)
            give(leases[i]);
        check_ok(exia_pool_close(pool, 0, &err));
        exia_pool_free(pool);
        watch_ended(&b, "b");
        assert_true(atomic_load(&b.created) <= (max ? max : 1));
        assert_int_equal(watch_wrongs(), 0);
    }
}

TEST(what_a_thread_left_idle_is_lent_to_others_before_a_new_one_is_built)
{
    enum { THREADS = 30 };
    exia_pool *pool = open_pool();
    breed b = {.max = 4};
    exia_component *c = watch_add(pool, "b", &b, NULL);
    for (int i = 0; i < THREADS; i++) {
        leaver l = {.component = c};
        assert_int_equal(pthread_create(&l.thread, NULL, borrow_and_end, &l), 0);
        pthread_join(l.thread, NULL);
        assert_int_equal(l.rc, EXIA_OK);
        end_in_thread(&l);
        assert_int_equal(l.rc, EXIA_OK);
    }
    assert_int_equal(number_of(pool, "b", "built"), 1);
    exia_pool_free(pool);
    watch_ended(&b, "b");
    assert_int_equal(watch_wrongs(), 0);
}

static void *close_for_ever(void *payload)
{
    return (void *)(intptr_t)(exia_pool_close(payload, -1, NULL) == EXIA_OK);
}

TEST(several_may_close_at_once_and_all_wait_for_the_last_loan)
{
    enum { CLOSERS = 4, LOANS = 3 };
    exia_pool *pool = open_pool();
    breed b = {.max = LOANS};
    exia_component *c = watch_add(pool, "b", &b, NULL);
    exia_lease leases[LOANS], lease;
    pthread_t closers[CLOSERS];
    struct timespec moment = {.tv_nsec = 200000};
    for (int i = 0; i < LOANS; i++)
        leases[i] = borrow(c);
    for (int i = 0; i < CLOSERS; i++)
        assert_int_equal(pthread_create(&closers[i], NULL, close_for_ever, pool), 0);
    while (exia_component_borrow(&lease, c, 0, NULL, NULL) != EXIA_ECLOSED)
        nanosleep(&moment, NULL);
    for (int i = 0; i < LOANS; i++) {
        assert_int_equal(atomic_load(&b.alive) > 0, 1);
        give(leases[i]);
    }
    for (int i = 0; i < CLOSERS; i++) {
        void *closed = NULL;
        pthread_join(closers[i], &closed);
        assert_non_null(closed);
    }
    assert_int_equal(atomic_load(&b.alive), 0);
    exia_pool_free(pool);
    watch_ended(&b, "b");
    assert_int_equal(watch_wrongs(), 0);
}

TEST(a_freed_pool_ends_with_the_last_of_many_returns_at_once)
{
    enum { THREADS = 8, TIMES = 50 };
    for (int turn = 0; turn < TIMES; turn++) {
        exia_pool *pool = open_pool();
        breed b = {.max = turn % 2 ? THREADS : 0};
        exia_component *c = watch_add(pool, "b", &b, NULL);
        leaver leavers[THREADS];
        for (int i = 0; i < THREADS; i++) {
            leavers[i].lease = borrow(c);
            watch_enter(leavers[i].lease.object);
        }
        exia_pool_free(pool);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&leavers[i].thread, NULL, end_in_thread, &leavers[i]),
                             0);
        for (int i = 0; i < THREADS; i++) {
            pthread_join(leavers[i].thread, NULL);
            assert_int_equal(leavers[i].rc, EXIA_OK);
        }
        watch_ended(&b, "b");
        assert_int_equal(watch_wrongs(), 0);
    }
}
