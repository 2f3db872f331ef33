/* What callers and factories must not do, and what callbacks may: every call of the pool from inside
 * every function of a factory. */
#include "support/recorder.h"

/* ---- factories and options that are not as they should be ------------------------------------ */

static exia_status create_nothing(void **out, void *const *needs, void *payload, exia_error *error)
{
    (void)out, (void)needs, (void)error;
    return *(exia_status *)payload;
}

TEST(a_factory_that_answers_ok_without_an_object_has_failed_and_is_named)
{
    static const exia_status answers[] = {EXIA_OK, EXIA_DONE};
    for (uint32_t i = 0; i < 4; i++) {
        exia_pool *pool = open_pool();
        exia_status answer = answers[i / 2];
        recorder r = {.name = 'r'};
        exia_component *c;
        exia_factory factory = {.struct_size = sizeof factory,
                                .create = create_nothing,
                                .activate = activate,
                                .destroy = destroy,
                                .payload = &answer};
        exia_component_options options = {.struct_size = sizeof options, .max = i % 2};
        exia_component *dependent = add(pool, &r, 1, "e", "");
        exia_lease lease;
        check_ok(exia_pool_add(&c, pool, "e", &factory, &options, &err));
        for (int k = 0; k < 3; k++) { /* there is room for the next try */
            check_fails(EXIA_EUSER, exia_component_borrow(&lease, c, 0, NULL, &err));
            check_text("component 'e': its factory answered OK and gave no object");
            assert_null(lease.component);
        }
        check_fails(EXIA_EUSER, exia_component_borrow(&lease, dependent, -1, NULL, &err));
        check_text("component 'e', needed by 'r'");
        assert_int_equal(number_of(pool, "e", "built"), 0);
        check_ok(exia_pool_close(pool, 0, &err));
        exia_pool_free(pool);
        check_calls(".r"); /* nothing was activated or destroyed */
    }
}

TEST(structs_of_a_newer_version_are_refused_unless_their_new_fields_are_zero)
{
    struct {
        exia_factory factory;
        void *more;
    } newer = {.factory = {.struct_size = sizeof newer, .create = create, .destroy = destroy}};
    struct {
        exia_component_options options;
        int64_t more;
    } wider = {.options = {.struct_size = sizeof wider, .max = 1}, .more = 7};
    exia_pool *pool = open_pool();
    recorder r = {.name = 'r'};
    exia_component *c;
    newer.factory.payload = &r;
    check_fails(EXIA_EUNSUPPORTED,
                exia_pool_add(&c, pool, "r", &newer.factory, &wider.options, &err));
    check_text("does not know");
    wider.more = 0;
    newer.more = &r;
    check_fails(EXIA_EUNSUPPORTED,
                exia_pool_add(&c, pool, "r", &newer.factory, &wider.options, &err));
    newer.more = NULL;
    check_ok(exia_pool_add(&c, pool, "r", &newer.factory, &wider.options, &err));
    give(borrow(c));
    exia_pool_free(pool);
}

TEST(a_need_named_twice_gives_two_objects_or_tells_that_there_are_not_enough)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'}, d = {.name = 'd'};
    exia_component *two = add(pool, &a, 1, "bb", ""), *tight = add(pool, &c, 1, "dd", "");
    exia_lease lease;
    add(pool, &b, 2, "", "");
    add(pool, &d, 1, "", "");
    lease = borrow(two);
    thing *t = lease.object;
    assert_ptr_not_equal(t->needs[0], t->needs[1]);
    give(lease);
    check_fails(EXIA_ECYCLE, exia_component_borrow(&lease, tight, -1, NULL, &err));
    check_text("component 'd', needed by 'c'");
    give(borrow(exia_pool_find(pool, "d")));
    exia_pool_free(pool);
}

TEST(a_shared_need_named_twice_is_one_object)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 1, "bb", "");
    add(pool, &b, 0, "", "");
    exia_lease lease = borrow(top);
    thing *t = lease.object;
    assert_ptr_equal(t->needs[0], t->needs[1]);
    check_ok(exia_lease_discard(&lease, &err));
    assert_int_equal(number_of(pool, "b", "lent"), 0);
    exia_pool_free(pool);
}

TEST(a_lease_of_nothing_is_refused_and_nothing_is_harmed)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'};
    exia_component *both[] = {add(pool, &a, 2, "", ""), add(pool, &s, 0, "", "")};
    for (int i = 0; i < 2; i++) {
        exia_lease never = {.component = both[i]}, lease = borrow(both[i]);
        for (uint32_t slot = 0; slot < 100; slot++) {
            for (uint32_t generation = 0; generation < 4; generation++) {
                never.ticket = (uint64_t)slot << 32 | generation;
                if (never.ticket == lease.ticket)
                    continue;
                check_fails(EXIA_EINVAL, exia_lease_return(&never, &err));
                check_fails(EXIA_EINVAL, exia_lease_discard(&never, &err));
            }
        }
        give(lease);
    }
    exia_pool_free(pool);
}

/* ---- callbacks that call back ---------------------------------------------------------------- */

typedef struct curious {
    exia_pool *pool;
    exia_component *own, *other;
    exia_lease given; /* a loan that the callback ends */
    int called, wrong, closed;
} curious;

/* Everything that a callback may ask of its pool.  Where lending is over, borrowing says so. */
static void ask_all(curious *c)
{
    exia_error own;
    exia_rows *rows = NULL;
    exia_dag *plan = NULL;
    exia_lease lease;
    exia_factory factory = {.struct_size = sizeof factory, .create = create};
    c->called++;
    c->wrong += exia_pool_list(&rows, c->pool, &own) != EXIA_OK;
    exia_rows_free(rows);
    c->wrong += exia_pool_plan(&plan, c->pool, &own) != EXIA_OK;
    exia_dag_free(plan);
    c->wrong += exia_pool_clear(c->pool, &own) != EXIA_OK;
    exia_pool_find(c->pool, "other");
    exia_status rc = exia_component_borrow(&lease, c->other, -1, NULL, &own);
    c->closed += rc == EXIA_ECLOSED || rc == EXIA_ENOTFOUND;
    if (rc == EXIA_OK)
        rc = exia_lease_return(&lease, &own);
    c->wrong += rc < 0 && rc != EXIA_ECLOSED && rc != EXIA_ENOTFOUND;
    if (c->given.component != NULL) {
        c->wrong += exia_lease_return(&c->given, &own) != EXIA_OK;
        c->wrong += exia_lease_return(&c->given, &own) != EXIA_EINVAL;
        c->given.component = NULL;
    }
    rc = exia_pool_add(NULL, c->pool, "other", &factory, NULL, &own);
    c->wrong += rc != EXIA_EEXISTS && rc != EXIA_ECLOSED;
}

static exia_status curious_create(void **out, void *const *needs, void *payload, exia_error *error)
{
    (void)needs, (void)error;
    ask_all(payload);
    *out = payload;
    return EXIA_OK;
}

static exia_status curious_hook(void *object, void *payload, exia_error *error)
{
    (void)object, (void)error;
    ask_all(payload);
    return EXIA_OK;
}

static void curious_destroy(void *object, void *payload)
{
    (void)object;
    ask_all(payload);
}

static void curious_release(void *payload)
{
    ask_all(payload);
}

TEST(each_function_of_a_factory_may_call_its_pool)
{
    for (uint32_t max = 0; max < 2; max++) {
        for (int late = 0; late < 2; late++) {
            exia_pool *pool = open_pool();
            recorder o = {.name = 'o'};
            curious c = {.pool = pool};
            exia_factory factory = {.struct_size = sizeof factory,
                                    .create = curious_create,
                                    .activate = curious_hook,
                                    .passivate = curious_hook,
                                    .validate = curious_hook,
                                    .destroy = curious_destroy,
                                    .release = curious_release,
                                    .payload = &c};
            exia_factory plain = {
                .struct_size = sizeof plain, .create = create, .destroy = destroy, .payload = &o};
            exia_component_options options = {.struct_size = sizeof options, .max = max};
            check_ok(exia_pool_add(&c.own, pool, "own", &factory, &options, &err));
            check_ok(exia_pool_add(&c.other, pool, "other", &plain, NULL, &err));
            c.given = borrow(c.other);
            exia_lease lease = borrow(c.own);
            give(lease);
            lease = borrow(c.own);
            assert_int_equal(c.closed, 0);
            if (late) { /* all the rest happens in the last return */
                exia_pool_free(pool);
                give(lease);
            } else {
                give(lease);
                exia_pool_free(pool);
            }
            assert_true(c.called >= 6);
            assert_true(c.closed >= 1);
            assert_int_equal(c.wrong, 0);
        }
    }
}

typedef struct greedy {
    exia_component *own;
    int waits, cycles;
} greedy;

static void want_own(greedy *g)
{
    exia_lease lease;
    exia_error own;
    exia_status rc = exia_component_borrow(&lease, g->own, -1, NULL, &own);
    g->waits++;
    g->cycles += rc == EXIA_ECYCLE || rc == EXIA_ECLOSED;
    if (rc == EXIA_OK)
        exia_lease_return(&lease, NULL);
}

static exia_status greedy_hook(void *object, void *payload, exia_error *error)
{
    (void)object, (void)error;
    want_own(payload);
    return EXIA_OK;
}

static void greedy_destroy(void *object, void *payload)
{
    (void)object;
    want_own(payload);
}

static exia_status any_object(void **out, void *const *needs, void *payload, exia_error *error)
{
    (void)needs, (void)error;
    *out = payload;
    return EXIA_OK;
}

TEST(a_hook_that_waits_for_the_very_object_it_works_at_is_told)
{
    exia_pool *pool = open_pool();
    greedy g = {0};
    exia_factory factory = {.struct_size = sizeof factory,
                            .create = any_object,
                            .activate = greedy_hook,
                            .passivate = greedy_hook,
                            .validate = greedy_hook,
                            .destroy = greedy_destroy,
                            .payload = &g};
    exia_component_options options = {.struct_size = sizeof options, .max = 1};
    check_ok(exia_pool_add(&g.own, pool, "own", &factory, &options, &err));
    give(borrow(g.own));
    give(borrow(g.own));
    exia_lease lease = borrow(g.own);
    check_ok(exia_lease_discard(&lease, &err));
    exia_pool_free(pool);
    assert_int_equal(g.waits, 8); /* ! - ? ! - ? ! ~ */
    assert_int_equal(g.cycles, 8);
}
