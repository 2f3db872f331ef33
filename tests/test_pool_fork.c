/* Fork with a pool open, from any moment of its life. */
#include <poll.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/recorder.h"

/* In the child: its exit code is a line of this file, or 0. */
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "in the child, line %d: %s; %.200s\n", __LINE__, #condition,           \
                    err.text);                                                                     \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)
#define must_ok(call) must((err.text[0] = '\0', (call)) == EXIA_OK)
#define must_fail(status, call) must((err.text[0] = '\0', (call)) == (status))

static exia_pool *pool;
static exia_component *component, *other;
static exia_lease taken;
static exia_place *place;

/* It must neither fail nor hang. */
static int in_time(int (*work)(void))
{
    alarm(60);
    return work();
}
#define check_child(work) assert_int_equal(check_in_child(work), 0)

static int return_and_go_on(void)
{
    exia_lease lease;
    must_ok(exia_lease_return(&taken, &err));
    must_fail(EXIA_EINVAL, exia_lease_return(&taken, &err));
    must_ok(exia_component_borrow(&lease, component, 0, NULL, &err));
    must(lease.object == taken.object);
    must_ok(exia_lease_discard(&lease, &err));
    must_ok(exia_pool_close(pool, -1, &err));
    exia_pool_free(pool);
    return 0;
}
static int goes_on(void)
{
    return in_time(return_and_go_on);
}

TEST(a_loan_is_given_back_in_both_processes_and_both_go_on)
{
    for (int max = 0; max < 2; max++) {
        recorder a = {.name = 'a'};
        pool = open_pool();
        component = add(pool, &a, (uint32_t)max, "", "");
        taken = borrow(component);
        check_child(goes_on);
        give(taken);
        check_fails(EXIA_EINVAL, exia_lease_return(&taken, &err));
        taken = borrow(component);
        check_child(goes_on);
        give(taken);
        assert_int_equal(a.made, 1);
        exia_pool_free(pool);
    }
}

static int close_with_old_loans(void)
{
    exia_lease lease;
    struct timespec before, after;
    must_ok(exia_component_borrow(&lease, component, 0, NULL, &err));
    clock_gettime(CLOCK_MONOTONIC, &before);
    must_fail(EXIA_ETIMEOUT, exia_pool_close(pool, 20, &err)); /* for its own it waits */
    clock_gettime(CLOCK_MONOTONIC, &after);
    must((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= 20000000);
    must_ok(exia_lease_return(&lease, &err));
    must_fail(EXIA_ETIMEOUT, exia_pool_close(pool, -1, &err));
    must(strstr(err.text, "1 loan is out: 'a' taken at ") != NULL);
    must_ok(exia_lease_return(&taken, &err));
    must_ok(exia_pool_close(pool, -1, &err));
    return 0;
}
static int closes(void)
{
    return in_time(close_with_old_loans);
}

TEST(a_close_in_the_child_does_not_wait_for_loans_of_before)
{
    recorder a = {.name = 'a'};
    pool = open_pool();
    component = add(pool, &a, 2, "", "");
    taken = borrow(component);
    check_child(closes);
    give(taken);
    check_ok(exia_pool_close(pool, -1, &err));
    exia_pool_free(pool);
}

static recorder top, need;
static int build_anew(void)
{
    exia_lease lease, one;
    top.inside = need.inside = NULL;
    must(number_of(pool, "t", "waiting") == 0 && number_of(pool, "n", "lent") == 0);
    must_ok(exia_component_borrow(&lease, component, 0, NULL, &err));
    must_fail(EXIA_ETIMEOUT, exia_component_borrow(&one, other, 0, NULL, &err));
    must_ok(exia_lease_discard(&lease, &err));
    must_ok(exia_component_borrow(&one, other, 0, NULL, &err));
    must_ok(exia_lease_return(&one, &err));
    must_ok(exia_pool_close(pool, -1, &err));
    exia_pool_free(pool);
    return 0;
}
static int builds_anew(void)
{
    return in_time(build_anew);
}

TEST(what_another_thread_was_building_is_built_anew_in_the_child)
{
    for (uint32_t max = 0; max < 2; max++) {
        borrower builder = {0}, waiter = {0}, second = {0};
        top = (recorder){.name = 't', .inside = hold};
        need = (recorder){.name = 'n'};
        pool = open_pool();
        component = add(pool, &top, max, "n", "");
        other = add(pool, &need, 1, "", "-");
        gate = 1;
        start(&builder, component, -1);
        await_held();
        start(&waiter, component, -1);
        await(pool, "t", "waiting", 1);
        check_child(builds_anew);
        let_go();
        pthread_join(builder.thread, NULL);
        pthread_join(waiter.thread, NULL);
        assert_int_equal(builder.rc, EXIA_OK);
        assert_int_equal(waiter.rc, EXIA_OK);
        /* and once more, while the need is built */
        check_ok(exia_pool_clear(pool, &err));
        need.inside = hold;
        top.inside = NULL;
        gate = 1;
        start(&second, component, -1);
        await_held();
        check_child(builds_anew);
        need.inside = NULL;
        let_go();
        pthread_join(second.thread, NULL);
        assert_int_equal(second.rc, EXIA_OK);
        exia_pool_free(pool);
    }
}

static int held_at;
static exia_status hold_at(int what)
{
    if (held_at == what)
        hold(NULL);
    return EXIA_OK;
}
static exia_status hold_activate(void *object, void *payload, exia_error *error)
{
    (void)object, (void)payload, (void)error;
    return hold_at('!');
}
static exia_status hold_validate(void *object, void *payload, exia_error *error)
{
    (void)object, (void)payload, (void)error;
    return hold_at('?');
}
static exia_status hold_passivate(void *object, void *payload, exia_error *error)
{
    (void)object, (void)payload, (void)error;
    return hold_at('-');
}
static void hold_destroy(void *object, void *payload)
{
    hold_at('~');
    destroy(object, payload);
}

static int work_at_rest(void)
{
    exia_lease lease;
    held_at = 0;
    must(number_of(pool, "a", "lent") == 0 && number_of(pool, "a", "built") == 0);
    must_ok(exia_component_borrow(&lease, component, 0, NULL, &err));
    must_ok(exia_lease_return(&lease, &err));
    must_ok(exia_pool_clear(pool, &err));
    must(number_of(pool, "a", "built") == 0);
    must_ok(exia_pool_close(pool, -1, &err));
    exia_pool_free(pool);
    return 0;
}
static int finds_it_free(void)
{
    return in_time(work_at_rest);
}

static void *clear_in_thread(void *payload)
{
    exia_pool_clear(payload, NULL);
    return NULL;
}

TEST(what_another_thread_was_checking_or_ending_is_free_in_the_child)
{
    static const char stages[] = "!?-~";
    for (uint32_t max = 0; max < 2; max++) {
        for (const char *stage = stages; *stage != '\0'; stage++) {
            recorder a = {.name = 'a'}, n = {.name = 'n'};
            borrower b = {0};
            pthread_t cleaner;
            pool = open_pool();
            const char *needs[] = {"n"};
            exia_factory factory = {.struct_size = sizeof factory,
                                    .create = create,
                                    .activate = hold_activate,
                                    .validate = hold_validate,
                                    .passivate = hold_passivate,
                                    .destroy = hold_destroy,
                                    .payload = &a};
            exia_component_options options = {
                .struct_size = sizeof options, .needs = needs, .need_count = 1, .max = max};
            add(pool, &n, 1, "", "");
            held_at = 0;
            check_ok(exia_pool_add(&component, pool, "a", &factory, &options, &err));
            if (*stage != '!')
                give(borrow(component)); /* idle, to be validated or ended */
            held_at = *stage;
            gate = 1;
            bool clear = *stage == '~' || (*stage == '-' && max == 0);
            if (clear)
                pthread_create(&cleaner, NULL, clear_in_thread, pool);
            else
                start(&b, component, -1);
            await_held();
            check_child(finds_it_free);
            held_at = 0;
            let_go();
            pthread_join(clear ? cleaner : b.thread, NULL);
            assert_int_equal(b.rc, EXIA_OK);
            check_ok(exia_pool_close(pool, -1, &err));
            exia_pool_free(pool);
        }
    }
}

static int see_a_closed_pool(void)
{
    exia_lease lease;
    must_fail(EXIA_ECLOSED, exia_component_borrow(&lease, component, -1, NULL, &err));
    must_fail(EXIA_ETIMEOUT, exia_pool_close(pool, -1, &err));
    must_ok(exia_lease_return(&taken, &err));
    must_ok(exia_pool_close(pool, -1, &err));
    exia_pool_free(pool);
    return 0;
}
static int is_closed(void)
{
    return in_time(see_a_closed_pool);
}

static void *close_in_thread(void *payload)
{
    return (void *)(intptr_t)(exia_pool_close(payload, -1, NULL) == EXIA_OK);
}

TEST(a_pool_that_another_thread_was_closing_is_closed_in_the_child)
{
    recorder a = {.name = 'a'};
    struct timespec moment = {.tv_nsec = 200000};
    pthread_t closer;
    void *closed;
    exia_lease lease;
    pool = open_pool();
    component = add(pool, &a, 2, "", "");
    taken = borrow(component);
    pthread_create(&closer, NULL, close_in_thread, pool);
    while (exia_component_borrow(&lease, component, 0, NULL, NULL) != EXIA_ECLOSED) {
        exia_lease_return(&lease, NULL);
        nanosleep(&moment, NULL);
    }
    check_child(is_closed);
    give(taken);
    pthread_join(closer, &closed);
    assert_non_null(closed);
    exia_pool_free(pool);
}

static int find_a_dead_place(void)
{
    exia_lease lease;
    exia_place *own = NULL;
    must(number_of(pool, "a", "waiting") == 0);
    must_fail(EXIA_ECLOSED, exia_place_borrow(&lease, place, NULL, &err));
    must(strstr(err.text, "before a fork") != NULL);
    must_fail(EXIA_EINVAL, exia_place_borrow(NULL, place, NULL, &err));
    must_ok(exia_lease_return(&taken, &err));
    must_ok(exia_place_open(&own, component, &err));
    must_ok(exia_place_borrow(&lease, own, NULL, &err));
    must_ok(exia_lease_return(&lease, &err));
    exia_place_free(own);
    exia_pool_free(pool);
    exia_place_free(place); /* also after the pool */
    return 0;
}
static int place_is_dead(void)
{
    return in_time(find_a_dead_place);
}

TEST(a_place_of_before_is_closed_in_the_child_and_stands_in_the_parent)
{
    recorder a = {.name = 'a'};
    borrower behind = {0};
    pool = open_pool();
    component = add(pool, &a, 1, "", "");
    taken = borrow(component);
    place = NULL;
    check_ok(exia_place_open(&place, component, &err));
    start(&behind, component, -1);
    await(pool, "a", "waiting", 2);
    struct pollfd watch = {.fd = exia_place_fd(place), .events = POLLIN};
    check_child(place_is_dead);
    assert_int_equal(poll(&watch, 1, 0), 0); /* what the child did told nobody here */
    give(taken);
    assert_int_equal(poll(&watch, 1, 0), 1);
    check_ok(exia_place_borrow(&taken, place, NULL, &err));
    give(taken);
    pthread_join(behind.thread, NULL);
    assert_int_equal(behind.rc, EXIA_OK);
    exia_place_free(place);
    exia_pool_free(pool);
}

static pid_t forked;
static void fork_inside(recorder *r)
{
    r->inside = NULL;
    forked = fork();
    if (forked == 0)
        alarm(60);
}

static int child_ends(bool by_place)
{
    must(taken.object != NULL);
    if (by_place)
        exia_place_free(place);
    must_ok(exia_lease_return(&taken, &err));
    must_ok(exia_pool_close(pool, -1, &err));
    exia_pool_free(pool);
    return 0;
}

TEST(a_factory_may_fork_and_both_processes_get_their_object)
{
    for (int by_place = 0; by_place < 2; by_place++) {
        recorder a = {.name = 'a', .inside = fork_inside}, n = {.name = 'n'};
        int status = -1;
        pool = open_pool();
        component = add(pool, &a, 1, "n", "");
        add(pool, &n, 1, "", "");
        forked = -1;
        taken = (exia_lease){0};
        if (by_place)
            check_ok(exia_place_open(&place, component, &err));
        exia_status rc = by_place ? exia_place_borrow(&taken, place, NULL, NULL)
                                  : exia_component_borrow(&taken, component, -1, NULL, NULL);
        if (forked == 0)
            _exit(rc == EXIA_OK ? child_ends(by_place) : 1);
        assert_int_equal(rc, EXIA_OK);
        assert_int_equal(waitpid(forked, &status, 0), forked);
        assert_int_equal(status, 0);
        give(taken);
        if (by_place)
            exia_place_free(place);
        exia_pool_free(pool);
    }
}

/* Asked while it waits, behind a place, it forks; asked again, it goes on to the end of the wait. */
static int fork_then_give(void *gives)
{
    exia_place *first = place;
    if (forked == -1) {
        forked = fork();
        if (forked == 0)
            alarm(60);
    } else if (*(bool *)gives && first != NULL) {
        place = NULL;
        exia_place_free(first);
        exia_lease_return(&taken, NULL);
    }
    return 0;
}

static int child_waited(exia_status rc, exia_lease lease, bool gives)
{
    must(rc == (gives ? EXIA_OK : EXIA_ETIMEOUT));
    must(number_of(pool, "a", "waiting") == 0);
    must_ok(exia_lease_return(gives ? &lease : &taken, &err));
    exia_place_free(place);
    must_ok(exia_component_borrow(&lease, component, 0, NULL, &err));
    must_ok(exia_lease_return(&lease, &err));
    must_ok(exia_pool_close(pool, -1, &err));
    exia_pool_free(pool);
    return 0;
}

TEST(who_forks_when_asked_while_it_waits_waits_on_in_both_processes)
{
    for (int i = 0; i < 2; i++) {
        recorder a = {.name = 'a'};
        bool gives = i > 0;
        int status = -1;
        exia_lease lease;
        pool = open_pool();
        component = add(pool, &a, 1, "", "");
        check_ok(exia_pool_on_wait(pool, fork_then_give, &gives, &err));
        taken = borrow(component);
        check_ok(exia_place_open(&place, component, &err));
        forked = -1;
        exia_status rc = exia_component_borrow(&lease, component, gives ? -1 : 200, NULL, NULL);
        if (forked == 0)
            _exit(child_waited(rc, lease, gives));
        assert_int_equal(rc, gives ? EXIA_OK : EXIA_ETIMEOUT);
        assert_int_equal(waitpid(forked, &status, 0), forked);
        assert_int_equal(status, 0);
        give(gives ? lease : taken);
        exia_place_free(place);
        exia_pool_free(pool);
    }
}

static void fork_at_end(recorder *r)
{
    r->at_end = NULL;
    forked = fork();
    if (forked == 0)
        alarm(60);
}

TEST(a_close_goes_on_on_both_sides_of_a_fork_in_a_destroy)
{
    recorder a = {.name = 'a', .at_end = fork_at_end};
    int status = -1;
    pool = open_pool();
    component = add(pool, &a, 2, "", "");
    exia_lease one = borrow(component), two = borrow(component);
    give(one);
    give(two);
    forked = -1;
    exia_status rc = exia_pool_close(pool, -1, NULL);
    if (forked == 0) {
        exia_pool_free(pool);
        _exit(rc == EXIA_OK && strcmp(called(), "+a1 +a2 ~a2 ~a1 .a") == 0 ? 0 : 1);
    }
    assert_int_equal(rc, EXIA_OK);
    assert_int_equal(waitpid(forked, &status, 0), forked);
    assert_int_equal(status, 0);
    exia_pool_free(pool);
}

static int return_the_last(void)
{
    called();
    must_ok(exia_lease_return(&taken, &err));
    must(strcmp(called(), "~a1 .a") == 0);
    return 0;
}
static int last_return_frees(void)
{
    return in_time(return_the_last);
}

TEST(a_pool_freed_before_ends_with_its_last_loan_in_each_process)
{
    recorder a = {.name = 'a'};
    pool = open_pool();
    component = add(pool, &a, 1, "", "");
    taken = borrow(component);
    exia_pool_free(pool);
    check_child(last_return_frees);
    check_calls("+a1");
    give(taken);
    check_calls("~a1 .a");
}

enum { FORKS = 60, WORKERS = 2 };
static atomic_int stop;
static void *open_and_free(void *payload)
{
    recorder *r = payload;
    long strange = 0;
    while (!atomic_load(&stop)) {
        exia_pool *own = NULL;
        exia_component *c = NULL;
        exia_lease lease;
        exia_factory factory = {
            .struct_size = sizeof factory, .create = create, .destroy = destroy, .payload = r};
        strange += exia_pool_open(&own, "own", NULL) != EXIA_OK;
        strange += exia_pool_add(&c, own, "c", &factory, NULL, NULL) != EXIA_OK;
        strange += exia_component_borrow(&lease, c, -1, NULL, NULL) != EXIA_OK;
        strange += exia_lease_return(&lease, NULL) != EXIA_OK;
        strange += exia_component_borrow(&lease, component, -1, NULL, NULL) != EXIA_OK;
        strange += exia_lease_return(&lease, NULL) != EXIA_OK;
        exia_pool_free(own);
    }
    return (void *)(intptr_t)strange;
}

static exia_status make_nothing(void **out, void *const *needs, void *payload, exia_error *error)
{
    (void)needs, (void)error;
    *out = payload;
    return EXIA_OK;
}

static int use_pools(void)
{
    static int thing_of_child;
    exia_factory factory = {
        .struct_size = sizeof factory, .create = make_nothing, .payload = &thing_of_child};
    exia_lease lease;
    exia_pool *own = NULL;
    must_ok(exia_pool_open(&own, "child", &err));
    must_ok(exia_pool_add(&other, own, "c", &factory, NULL, &err));
    must_ok(exia_component_borrow(&lease, other, 0, NULL, &err));
    must_ok(exia_lease_return(&lease, &err));
    exia_pool_free(own);
    must_ok(exia_component_borrow(&lease, component, 0, NULL, &err));
    must_ok(exia_lease_return(&lease, &err));
    exia_pool_close(pool, 0, &err);
    return 0;
}
static int uses_pools(void)
{
    return in_time(use_pools);
}

TEST(pools_come_and_go_in_other_threads_while_the_process_forks)
{
    static int nothing;
    recorder made[WORKERS] = {{.name = 'x'}, {.name = 'y'}};
    exia_factory factory = {
        .struct_size = sizeof factory, .create = make_nothing, .payload = &nothing};
    exia_component_options options = {.struct_size = sizeof options, .max = WORKERS + 1};
    pthread_t workers[WORKERS];
    pool = open_pool();
    check_ok(exia_pool_add(&component, pool, "shared", &factory, &options, &err));
    atomic_store(&stop, 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, open_and_free, &made[i]);
    for (int i = 0; i < FORKS; i++)
        check_child(uses_pools);
    atomic_store(&stop, 1);
    for (int i = 0; i < WORKERS; i++) {
        void *strange;
        pthread_join(workers[i], &strange);
        assert_null(strange);
    }
    check_ok(exia_pool_close(pool, -1, &err));
    exia_pool_free(pool);
}

#ifdef __SANITIZE_THREAD__ /* it counts no more than 64 locks of a thread */
enum { POOLS = 50 };
#else
enum { POOLS = 1000 };
#endif

TEST(a_thousand_pools_are_all_there_in_the_child)
{
    static exia_pool *pools[POOLS];
    static int nothing;
    exia_factory factory = {
        .struct_size = sizeof factory, .create = make_nothing, .payload = &nothing};
    for (int i = 0; i < POOLS; i++) {
        check_ok(exia_pool_open(&pools[i], "one", &err));
        check_ok(exia_pool_add(&component, pools[i], "c", &factory, NULL, &err));
        give(borrow(component));
    }
    pool = pools[POOLS / 2];
    check_child(uses_pools);
    for (int i = 0; i < POOLS; i++)
        exia_pool_free(pools[i]);
}
