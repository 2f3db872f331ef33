/* Factories over a whole life, and when they fail: what is called, in which order, who is told, and
 * that nobody else is held up. */
#include "support/recorder.h"

TEST(the_whole_life_of_a_component_and_its_need_is_one_exact_sequence)
{
    exia_pool *pool = open_pool();
    recorder s = {.name = 's'}, t = {.name = 't'};
    exia_component *shared = add(pool, &s, 0, "", "!?-"), *top = add(pool, &t, 1, "s", "!?-");
    exia_lease lease;
    check_calls(""); /* to add builds nothing */
    lease = borrow(top);
    check_calls("+s1 !s1 +t1 !t1");
    give(borrow(shared)); /* it is in use, and so is known to be good */
    give(lease);
    check_calls("-t1");
    lease = borrow(top);
    check_calls("?t1 !t1");
    check_ok(exia_lease_discard(&lease, &err));
    check_calls("~t1");
    lease = borrow(top); /* nobody had the need meanwhile */
    check_calls("?s1 +t2 !t2");
    give(lease);
    check_ok(exia_pool_clear(pool, &err));
    check_calls("-t2 ~t2 -s1 ~s1");
    give(borrow(top));
    check_calls("+s2 !s2 +t3 !t3 -t3");
    t.fails = "?";
    give(borrow(top));
    check_calls("?t3 ~t3 ?s2 +t4 !t4 -t4");
    t.fails = NULL;
    lease = borrow(top);
    s.fails = "?";
    check_ok(exia_lease_discard(&lease, &err));
    give(borrow(top));
    check_calls("?t4 !t4 ~t4 ?s2 -s2 ~s2 +s3 !s3 +t5 !t5 -t5");
    check_ok(exia_pool_close(pool, 0, &err));
    check_calls("~t5 -s3 ~s3");
    exia_pool_free(pool);
    check_calls(".t .s");
}

/* ---- functions that fail --------------------------------------------------------------------- */

TEST(a_need_that_cannot_be_activated_fails_the_build_and_both_are_named)
{
    for (uint32_t max = 0; max < 2; max++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a'}, b = {.name = 'b', .fails = "!"};
        exia_component *top = add(pool, &a, 1, "b", "");
        exia_lease lease;
        add(pool, &b, max, "", "!-");
        check_fails(EXIA_EUSER, exia_component_borrow(&lease, top, -1, NULL, &err));
        check_text("component 'b', needed by 'a': !b says no");
        assert_int_equal(err.native, 3);
        check_calls("+b1 !b1 ~b1");
        b.fails = NULL;
        give(borrow(top));
        exia_pool_free(pool);
        check_calls("+b2 !b2 +a1 ~a1 -b2 ~b2 .b .a");
    }
}

TEST(a_need_that_lay_idle_and_is_not_valid_is_replaced_for_its_dependent)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 1, "b", ""), *need = add(pool, &b, 1, "", "?");
    give(borrow(need));
    b.fails = "?";
    give(borrow(top));
    check_calls("+b1 ?b1 ~b1 +b2 +a1");
    exia_pool_free(pool);
}

TEST(a_need_that_cannot_be_passivated_goes_and_the_dependents_end_counts)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b', .fails = "-"};
    exia_component *top = add(pool, &a, 1, "b", ""), *need = add(pool, &b, 1, "", "!-");
    exia_lease lease = borrow(top);
    check_ok(exia_lease_discard(&lease, &err));
    check_calls("+b1 !b1 +a1 ~a1 -b1 ~b1");
    assert_int_equal(number_of(pool, "b", "built"), 0);
    give(borrow(need)); /* there is room */
    exia_pool_free(pool);
}

static char logged[512];
static void keep_log(int level, const char *topic, const char *text, void *payload)
{
    (void)payload;
    size_t used = strlen(logged);
    snprintf(logged + used, sizeof logged - used, "%d %s %s\n", level, topic, text);
}

TEST(what_fails_without_failing_a_call_is_told_to_the_log_also_without_a_text)
{
    for (int is_silent = 0; is_silent < 2; is_silent++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a'}, b = {.name = 'b'}, s = {.name = 's'};
        exia_component *both[] = {add(pool, &a, 1, "", "-"), add(pool, &b, 1, "", "?"),
                                  add(pool, &s, 0, "", "-")};
        *(is_silent ? &a.silent : &a.fails) = "-";
        *(is_silent ? &b.silent : &b.fails) = "?";
        *(is_silent ? &s.silent : &s.fails) = "-";
        logged[0] = '\0';
        exia_log_set(keep_log, NULL);
        give(borrow(both[0]));
        give(borrow(both[1]));
        give(borrow(both[1]));
        exia_lease lease = borrow(both[2]);
        check_ok(exia_lease_discard(&lease, &err));
        exia_pool_free(pool);
        exia_log_set(NULL, NULL);
        const char *why[] = {is_silent ? exia_status_text(EXIA_EIO) : "-a says no",
                             is_silent ? exia_status_text(EXIA_EIO) : "?b says no",
                             is_silent ? exia_status_text(EXIA_EIO) : "-s says no"};
        assert_string_equal(logged, check_format("%d pool component a: an object is dropped: %s\n"
                                                 "%d pool component b: an object is replaced: %s\n"
                                                 "%d pool component s: an object is dropped: %s\n",
                                                 EXIA_LOG_WARNING, why[0], EXIA_LOG_INFO, why[1],
                                                 EXIA_LOG_WARNING, why[2]));
    }
}

/* ---- nobody else is held up ------------------------------------------------------------------ */

TEST(the_room_of_what_could_not_be_passivated_goes_to_who_waits)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .fails = "-"};
    exia_component *c = add(pool, &a, 1, "", "-");
    exia_lease lease = borrow(c);
    borrower b = {0};
    start(&b, c, -1);
    await(pool, "a", "waiting", 1);
    give(lease);
    pthread_join(b.thread, NULL);
    assert_int_equal(b.rc, EXIA_OK);
    check_calls("+a1 -a1 ~a1 +a2 -a2 ~a2");
    exia_pool_free(pool);
}

TEST(when_none_can_be_activated_each_in_the_queue_is_told)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "!");
    exia_lease lease = borrow(c);
    borrower b[3] = {{.number = 0}};
    a.fails = "!";
    for (int i = 0; i < 3; i++) {
        start(&b[i], c, -1);
        await(pool, "a", "waiting", i + 1);
    }
    give(lease);
    for (int i = 0; i < 3; i++) {
        pthread_join(b[i].thread, NULL);
        assert_int_equal(b[i].rc, EXIA_EUSER);
        assert_non_null(strstr(b[i].err.text, "!a says no"));
    }
    a.fails = NULL;
    give(borrow(c));
    check_calls("+a1 !a1 !a1 ~a1 +a2 !a2 ~a2 +a3 !a3 ~a3 +a4 !a4 ~a4 +a5 !a5");
    exia_pool_free(pool);
}

static void *discard_it(void *payload)
{
    return (void *)(intptr_t)(exia_lease_discard(payload, NULL) == EXIA_OK);
}

TEST(a_slow_end_of_an_object_holds_no_lock_but_keeps_the_room)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .at_end = hold}, b = {.name = 'b'};
    exia_component *c = add(pool, &a, 1, "", ""), *other = add(pool, &b, 1, "", "");
    exia_lease lease = borrow(c), none;
    pthread_t discarder;
    gate = 1;
    assert_int_equal(pthread_create(&discarder, NULL, discard_it, &lease), 0);
    await_held();
    give(borrow(other));
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&none, c, 10, NULL, &err));
    check_ok(exia_pool_clear(pool, &err));
    check_fails(EXIA_EINVAL, exia_lease_return(&lease, &err));
    let_go();
    pthread_join(discarder, NULL);
    a.at_end = NULL;
    give(borrow(c));
    exia_pool_free(pool);
}

TEST(who_waits_for_a_need_of_what_is_being_checked_is_told_when_it_was_good)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 1, "b", "?"), *need = add(pool, &b, 1, "", "");
    borrower checking = {0}, waiting = {0};
    give(borrow(top)); /* it is idle, and keeps what it needs */
    a.at_check = hold;
    gate = 1;
    start(&checking, top, -1);
    await_held();
    start(&waiting, need, 60000); /* were it not good, the need would come back */
    await(pool, "b", "waiting", 1);
    let_go();
    pthread_join(checking.thread, NULL);
    pthread_join(waiting.thread, NULL);
    assert_int_equal(checking.rc, EXIA_OK);
    assert_int_equal(waiting.rc, EXIA_ETIMEOUT);
    assert_non_null(strstr(waiting.err.text, "objects of 'a' keep all 1"));
    exia_pool_free(pool);
}

TEST(who_waits_for_what_a_stale_need_keeps_is_told_when_it_was_built_in)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold}, b = {.name = 'b'}, c = {.name = 'c'};
    exia_component *top = add(pool, &a, 1, "b", ""), *middle = add(pool, &b, 0, "c", "");
    exia_component *bottom = add(pool, &c, 1, "", "");
    borrower building = {0}, waiting = {0};
    exia_lease lease = borrow(middle);
    gate = 1;
    start(&building, top, -1);
    await_held();
    check_ok(exia_lease_discard(&lease, &err)); /* it goes with what is being built with it */
    start(&waiting, bottom, 60000);
    await(pool, "c", "waiting", 1);
    let_go();
    pthread_join(building.thread, NULL);
    pthread_join(waiting.thread, NULL);
    assert_int_equal(building.rc, EXIA_OK);
    assert_int_equal(waiting.rc, EXIA_ETIMEOUT);
    assert_non_null(strstr(waiting.err.text, "objects of 'a' keep all 1"));
    exia_pool_free(pool);
}

TEST(a_wait_for_a_need_ends_in_the_borrowers_time_and_keeps_nothing)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    exia_component *top = add(pool, &a, 1, "bc", ""), *first = add(pool, &b, 1, "", "!-");
    exia_component *second = add(pool, &c, 1, "", "");
    exia_lease lease = borrow(second), none;
    for (int i = 0; i < 20; i++) {
        check_fails(EXIA_ETIMEOUT, exia_component_borrow(&none, top, i % 3, NULL, &err));
        check_text("component 'c', needed by 'a': none of 1 came back");
    }
    assert_int_equal(number_of(pool, "b", "lent"), 0);
    assert_int_equal(number_of(pool, "c", "waiting"), 0);
    give(borrow(first));
    give(lease);
    give(borrow(top));
    assert_int_equal(b.made, 1);
    exia_pool_free(pool);
}

/* A factory whose first calls fail. */
typedef struct moody {
    atomic_int left; /* failures still to come; negative: no end of them */
    atomic_int alive, most;
} moody;

static exia_status moody_create(void **out, void *const *needs, void *payload, exia_error *error)
{
    moody *m = payload;
    (void)needs;
    int left = atomic_load(&m->left);
    while (left > 0 && !atomic_compare_exchange_weak(&m->left, &left, left - 1))
        continue;
    if (left != 0) {
        error->status = EXIA_EUSER;
        snprintf(error->text, sizeof error->text, "not in the mood");
        return EXIA_EUSER;
    }
    int alive = atomic_fetch_add(&m->alive, 1) + 1;
    if (alive > atomic_load(&m->most))
        atomic_store(&m->most, alive);
    *out = m;
    return EXIA_OK;
}

static void moody_destroy(void *object, void *payload)
{
    (void)object;
    atomic_fetch_sub(&((moody *)payload)->alive, 1);
}

typedef struct patient {
    pthread_t thread;
    exia_component *component;
    int tries, served, refused, strange; /* tries 0: until it is served */
} patient;

static void *try_often(void *payload)
{
    patient *p = payload;
    for (int i = 0; p->tries > 0 ? i < p->tries : p->served == 0; i++) {
        exia_lease lease;
        exia_error why;
        exia_status rc = exia_component_borrow(&lease, p->component, -1, NULL, &why);
        p->served += rc == EXIA_OK;
        p->refused += rc == EXIA_EUSER && strstr(why.text, "not in the mood") != NULL;
        p->strange += rc != EXIA_OK && rc != EXIA_EUSER;
        if (rc == EXIA_OK)
            p->strange += exia_lease_return(&lease, &why) != EXIA_OK;
    }
    return NULL;
}

static exia_component *add_moody(exia_pool *pool, const char *name, moody *m, uint32_t max,
                                 const char *need)
{
    exia_component *c = NULL;
    exia_factory factory = {.struct_size = sizeof factory,
                            .create = moody_create,
                            .destroy = moody_destroy,
                            .payload = m};
    exia_component_options options = {
        .struct_size = sizeof options, .needs = &need, .need_count = need != NULL, .max = max};
    check_ok(exia_pool_add(&c, pool, name, &factory, &options, &err));
    return c;
}

TEST(a_broken_factory_blocks_neither_the_pool_nor_the_threads)
{
    enum { THREADS = 8, TRIES = 300 };
    exia_pool *pool = open_pool();
    moody broken = {.left = -1}, good = {.left = 0};
    exia_component *components[] = {
        add_moody(pool, "one", &broken, 1, NULL), add_moody(pool, "shared", &broken, 0, NULL),
        add_moody(pool, "needy", &good, 2, "one"), add_moody(pool, "good", &good, 1, NULL)};
    patient p[THREADS];
    for (int i = 0; i < THREADS; i++) {
        p[i] = (patient){.component = components[i % 4], .tries = TRIES};
        assert_int_equal(pthread_create(&p[i].thread, NULL, try_often, &p[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(p[i].thread, NULL);
        assert_int_equal(i % 4 == 3 ? p[i].served : p[i].refused, TRIES);
        assert_int_equal(p[i].strange, 0);
    }
    check_ok(exia_pool_close(pool, 0, &err));
    assert_int_equal(atomic_load(&good.alive), 0);
    exia_pool_free(pool);
}

TEST(a_pool_lives_on_after_a_factory_failed_for_a_while)
{
    enum { THREADS = 8, FAILURES = 200 };
    for (uint32_t max = 0; max < 3; max++) {
        exia_pool *pool = open_pool();
        moody m = {.left = FAILURES};
        exia_component *c = add_moody(pool, "moody", &m, max, NULL);
        patient p[THREADS];
        int refused = 0;
        for (int i = 0; i < THREADS; i++) {
            p[i] = (patient){.component = c};
            assert_int_equal(pthread_create(&p[i].thread, NULL, try_often, &p[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(p[i].thread, NULL);
            assert_int_equal(p[i].served, 1);
            assert_int_equal(p[i].strange, 0);
            refused += p[i].refused;
        }
        assert_int_equal(refused, FAILURES);
        assert_true(atomic_load(&m.most) <= (max ? (int)max : 1));
        check_ok(exia_pool_close(pool, 0, &err));
        assert_int_equal(atomic_load(&m.alive), 0);
        exia_pool_free(pool);
    }
}
