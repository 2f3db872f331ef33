/* Crews: order, bounds, the failure that wins, what a caller may ask to stop, threads. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/crew.h"
#include "base/error.h"
#include "support/check.h"

enum { MOST_THREADS = 8, SLOTS = 11, COUNT = 200 };

/* A crew that sees how it is used; a `fail_*` is an item, or NONE. */
enum { NONE = -1 };
typedef struct scene {
    uint32_t threads;
    int count, fail_take, fail_work, fail_give, steps_left; /* steps_left: NONE: for ever */
    int taken, given;
    int items[SLOTS];             /* in each slot */
    atomic_int in_flight, most;   /* items between take and give */
    atomic_int taking, giving;    /* at a time */
    atomic_int worked, elsewhere; /* of these, by other threads than the caller's */
    pthread_t caller;
    int late; /* an item that works until `awaited` failed */
    int awaited;
    atomic_int failed;
} scene;

static exia_status take(size_t slot, void *payload, exia_error *error)
{
    scene *s = payload;
    assert_int_equal(atomic_fetch_add(&s->taking, 1), 0);
    int flight = atomic_fetch_add(&s->in_flight, 1) + 1;
    if (flight > s->most)
        s->most = flight;
    exia_status rc = s->taken == s->fail_take ? exia__fail(error, EXIA_EIO, 7, "take %d", s->taken)
                     : s->taken < s->count    ? EXIA_OK
                                              : EXIA_DONE;
    if (rc == EXIA_OK)
        s->items[slot] = s->taken++;
    else
        atomic_fetch_sub(&s->in_flight, 1);
    atomic_fetch_sub(&s->taking, 1);
    return rc;
}

static exia_status work(size_t slot, exia__hand *hand, void *payload, exia_error *error)
{
    scene *s = payload;
    int item = s->items[slot];
    assert_int_equal(hand->item, item);
    assert_in_range(hand->index, 0, s->threads - 1);
    assert_int_equal(pthread_equal(pthread_self(), s->caller) != 0, hand->index == 0);
    atomic_fetch_add(&s->worked, 1);
    atomic_fetch_add(&s->elsewhere, hand->index > 0);
    for (int i = 0; i < item * 37 % 11; i++) /* they end in another order */
        sched_yield();
    while (item == s->late && !atomic_load(&s->failed))
        sched_yield();
    if (item == s->fail_work || (s->late != NONE && item == s->awaited)) {
        atomic_store(&s->failed, 1);
        return exia__fail(error, EXIA_ECORRUPT, 0, "work %d", item);
    }
    return EXIA_OK;
}

static exia_status give(size_t slot, void *payload, exia_error *error)
{
    scene *s = payload;
    assert_int_equal(atomic_fetch_add(&s->giving, 1), 0);
    assert_int_equal(s->items[slot], s->given);
    exia_status rc = s->given == s->fail_give
                         ? exia__fail(error, EXIA_ENOSPACE, 0, "give %d", s->given)
                         : EXIA_OK;
    s->given += rc == EXIA_OK;
    atomic_fetch_sub(&s->in_flight, 1);
    atomic_fetch_sub(&s->giving, 1);
    return rc;
}

static exia_status step(void *payload, exia_error *error)
{
    scene *s = payload;
    assert_true(pthread_equal(pthread_self(), s->caller));
    assert_int_not_equal(s->steps_left, 0); /* not asked again after it said no */
    s->steps_left -= s->steps_left > 0;
    return s->steps_left == 0 ? exia__fail(error, EXIA_ECANCELLED, 0, "asked to stop") : EXIA_OK;
}

static scene make(uint32_t threads)
{
    return (scene){.threads = threads,
                   .count = COUNT,
                   .fail_take = NONE,
                   .fail_work = NONE,
                   .fail_give = NONE,
                   .steps_left = NONE,
                   .caller = pthread_self(),
                   .late = NONE};
}

static exia_status run(scene *s, exia_error *error)
{
    exia__crew crew = {s->threads, SLOTS, take, work, give, step};
    return exia__crew_run(&crew, s, error);
}

static int count_threads(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

TEST(a_failure_of_one_item_wins_over_later_ones_and_all_before_it_were_given)
{
    static const struct {
        int take, work, give;
        exia_status status;
        const char *text;
    } cases[] = {{20, NONE, NONE, EXIA_EIO, "take 20"},
                 {0, NONE, NONE, EXIA_EIO, "take 0"},
                 {NONE, 20, NONE, EXIA_ECORRUPT, "work 20"},
                 {NONE, COUNT - 1, NONE, EXIA_ECORRUPT, "work 199"},
                 {NONE, NONE, 20, EXIA_ENOSPACE, "give 20"},
                 {21, 22, 20, EXIA_ENOSPACE, "give 20"},
                 {22, 20, 21, EXIA_ECORRUPT, "work 20"},
                 {COUNT, NONE, NONE, EXIA_EIO, "take 200"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (uint32_t threads = 1; threads <= MOST_THREADS; threads *= 2) {
            scene s = make(threads);
            s.fail_take = cases[i].take;
            s.fail_work = cases[i].work;
            s.fail_give = cases[i].give;
            check_fails(cases[i].status, run(&s, &err));
            check_text(cases[i].text);
            assert_int_equal(s.given, atoi(cases[i].text + 5));
        }
    }
}

TEST(an_item_that_fails_late_wins_over_a_later_one_that_failed_before)
{
    for (uint32_t threads = 2; threads <= MOST_THREADS; threads *= 2) {
        scene s = make(threads);
        s.fail_work = s.late = 30;
        s.awaited = 31;
        check_fails(EXIA_ECORRUPT, run(&s, &err));
        check_text("work 30");
        assert_int_equal(s.given, 30);
    }
}

TEST(a_caller_who_stops_is_not_asked_again_and_his_failure_wins)
{
    for (uint32_t threads = 1; threads <= MOST_THREADS; threads *= 2) {
        scene s = make(threads);
        s.count = INT32_MAX;
        s.steps_left = 5;
        check_fails(EXIA_ECANCELLED, run(&s, &err));
        check_text("asked to stop");
    }
}

/* Every item of this crew works until it is told to stop. */
static exia_status work_for_ever(size_t slot, exia__hand *hand, void *payload, exia_error *error)
{
    exia_status rc = EXIA_OK;
    (void)slot, (void)payload;
    while (rc == EXIA_OK) {
        sched_yield();
        rc = exia__crew_step(hand, error);
    }
    return rc;
}

TEST(work_that_takes_long_hears_that_the_caller_stops)
{
    for (uint32_t threads = 1; threads <= MOST_THREADS; threads *= 2) {
        scene s = make(threads);
        exia__crew crew = {threads, SLOTS, take, work_for_ever, give, step};
        s.steps_left = 50;
        check_fails(EXIA_ECANCELLED, exia__crew_run(&crew, &s, &err));
        check_text("asked to stop");
        assert_int_equal(s.given, 0);
    }
}

static exia_status work_until_needless(size_t slot, exia__hand *hand, void *payload,
                                       exia_error *error)
{
    scene *s = payload;
    if (hand->item > 0) {
        atomic_fetch_add(&s->worked, 1);
        return work_for_ever(slot, hand, payload, error);
    }
    while (atomic_load(&s->worked) == 0) /* the other one is at it */
        sched_yield();
    return exia__fail(error, EXIA_ECORRUPT, 0, "work 0");
}

TEST(work_that_takes_long_hears_that_an_item_before_it_failed)
{
    scene s = make(2);
    exia__crew crew = {2, SLOTS, take, work_until_needless, give, step};
    check_fails(EXIA_ECORRUPT, exia__crew_run(&crew, &s, &err));
    check_text("work 0");
}

static exia_status run_quietly(void *payload, exia_error *error)
{
    scene s = make(*(const uint32_t *)payload);
    return run(&s, error);
}

TEST(a_crew_survives_the_lack_of_memory)
{
    for (uint32_t threads = 1; threads <= 2; threads++)
        check_survives_no_memory(run_quietly, &threads);
}

TEST(without_a_thread_to_be_had_the_calling_one_does_it_all)
{
    pthread_attr_t before, huge;
    assert_int_equal(pthread_getattr_default_np(&before), 0);
    assert_int_equal(pthread_getattr_default_np(&huge), 0);
    assert_int_equal(pthread_attr_setstacksize(&huge, (size_t)1 << 50), 0);
    assert_int_equal(pthread_setattr_default_np(&huge), 0); /* no stack fits */
    scene s = make(MOST_THREADS);
    exia_status rc = run(&s, &err);
    pthread_setattr_default_np(&before);
    pthread_attr_destroy(&before);
    pthread_attr_destroy(&huge);
    assert_int_equal(rc, EXIA_OK);
    assert_int_equal(s.given, COUNT);
    assert_int_equal(atomic_load(&s.elsewhere), 0);
}

TEST(items_are_given_in_order_and_no_more_than_slots_are_in_flight)
{
    for (uint32_t threads = 1; threads <= MOST_THREADS; threads++) {
        scene s = make(threads);
        int before = count_threads();
        check_ok(run(&s, &err));
        assert_int_equal(count_threads(), before);
        assert_int_equal(s.given, COUNT);
        assert_int_equal(atomic_load(&s.worked), COUNT);
        assert_in_range(atomic_load(&s.most), 1, threads == 1 ? 1 : SLOTS);
    }
}

TEST(a_crew_with_nothing_to_do_ends)
{
    for (uint32_t threads = 1; threads <= MOST_THREADS; threads *= 2) {
        scene s = make(threads);
        s.count = 0;
        check_ok(run(&s, &err));
        assert_int_equal(s.given, 0);
    }
}

/* Both items wait for each other, so two threads must have them. */
static exia_status work_in_company(size_t slot, exia__hand *hand, void *payload, exia_error *error)
{
    scene *s = payload;
    sigset_t blocked;
    (void)slot, (void)error;
    atomic_fetch_add(&s->worked, 1);
    while (atomic_load(&s->worked) < 2)
        sched_yield();
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    for (int signal = 1; hand->index > 0 && signal < 32; signal++)
        assert_true(signal == SIGKILL || signal == SIGSTOP || sigismember(&blocked, signal));
    return EXIA_OK;
}

TEST(the_threads_of_a_crew_work_at_once_and_take_no_signal)
{
    sigset_t before, after;
    scene s = make(2);
    exia__crew crew = {2, 2, take, work_in_company, NULL, step};
    s.count = 2;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    check_ok(exia__crew_run(&crew, &s, &err));
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signal = 1; signal < 32; signal++)
        assert_int_equal(sigismember(&before, signal), sigismember(&after, signal));
}
