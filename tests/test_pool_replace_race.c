/* Replacing what others wait for, build or replace at the same time. */
#include <poll.h>

#include "support/recorder.h"

/* ---- while others wait or build -------------------------------------------------------------- */

TEST(who_waits_is_served_by_the_new_factory)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, x = {.name = 'x'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c);
    borrower b[3] = {{.number = 0}};
    served[0] = '\0';
    for (int i = 0; i < 3; i++) {
        b[i].number = i;
        start(&b[i], c, -1);
        await(pool, "a", "waiting", i + 1);
    }
    check_ok(replace(c, &x, 0, NULL, "", 0));
    for (int i = 0; i < 3; i++) {
        pthread_join(b[i].thread, NULL);
        assert_int_equal(b[i].rc, EXIA_OK);
        assert_ptr_not_equal(b[i].lease.object, lease.object);
    }
    assert_string_equal(served, "012");
    check_calls("+a1 +x1");
    give(lease);
    exia_pool_free(pool);
    check_calls("~a1 .a ~x1 .x");
}

TEST(what_is_being_built_by_the_old_factory_is_old)
{
    for (uint32_t max = 0; max < 2; max++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a', .inside = hold}, x = {.name = 'x'};
        exia_component *c = add(pool, &a, max, "", "");
        borrower builder = {0}, waiter = {0};
        gate = 1;
        start(&builder, c, -1);
        await_held();
        start(&waiter, c, -1);
        await(pool, "a", "waiting", 1);
        check_ok(replace(c, &x, max, "", "", 0));
        pthread_join(waiter.thread, NULL); /* it need not wait for the old one */
        assert_int_equal(waiter.rc, EXIA_OK);
        check_calls("+a1 +x1");
        let_go();
        pthread_join(builder.thread, NULL);
        assert_int_equal(builder.rc, EXIA_OK);
        check_calls("~a1 .a");
        exia_lease lease = borrow(c);
        assert_int_equal(((thing *)lease.object)->maker->name, 'x');
        give(lease);
        exia_pool_free(pool);
        check_calls("~x1 .x");
    }
}

TEST(what_is_not_built_yet_is_built_with_the_new_need)
{
    for (int rebuild = 0; rebuild < 2; rebuild++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a'}, n = {.name = 'n'}, m = {.name = 'm', .inside = hold},
                 x = {.name = 'x'};
        exia_component *top = add(pool, &a, 1, "nm", ""), *need = add(pool, &n, 0, "", "");
        borrower b = {0};
        add(pool, &m, 0, "", "");
        gate = 1;
        start(&b, top, -1);
        await_held(); /* it has an n, and builds the m */
        check_ok(replace(need, &x, 0, NULL, "", rebuild));
        let_go();
        pthread_join(b.thread, NULL);
        assert_int_equal(b.rc, EXIA_OK);
        thing *t = b.lease.object;
        assert_int_equal(t->needs[0]->maker->name, rebuild ? 'x' : 'n');
        check_calls(rebuild ? "+n1 +m1 +x1 ~n1 .n +a1" : "+n1 +m1 +x1 +a1");
        exia_pool_free(pool);
        called();
    }
}

static exia_status hold_and_validate(void *object, void *payload, exia_error *error)
{
    hold(payload);
    return validate(object, payload, error);
}

TEST(what_is_being_validated_when_it_is_replaced_is_not_lent_any_more)
{
    for (uint32_t max = 0; max < 2; max++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a'}, x = {.name = 'x'};
        exia_component_options options = {.struct_size = sizeof options, .max = max};
        exia_factory factory = factory_of(&a, "");
        exia_component *c;
        borrower b = {0};
        factory.validate = hold_and_validate;
        check_ok(exia_pool_add(&c, pool, "a", &factory, &options, &err));
        exia_lease first = borrow(c);
        give(first);
        gate = 1;
        start(&b, c, -1);
        await_held();
        check_ok(replace(c, &x, 0, NULL, "", 0));
        check_calls("+a1 +x1");
        let_go();
        pthread_join(b.thread, NULL);
        assert_int_equal(b.rc, EXIA_OK);
        assert_ptr_not_equal(b.lease.object, first.object);
        assert_int_equal(number_of(pool, "a", "built"), 1);
        check_calls("?a1 ~a1 .a");
        exia_pool_free(pool);
        check_calls("~x1 .x");
    }
}

TEST(a_need_that_was_replaced_while_it_was_built_is_built_again_for_its_dependent)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, n = {.name = 'n', .inside = hold}, x = {.name = 'x'};
    exia_component *top = add(pool, &a, 1, "n", ""), *need = add(pool, &n, 0, "", "");
    borrower b = {0};
    gate = 1;
    start(&b, top, -1);
    await_held();
    check_ok(replace(need, &x, 0, NULL, "", 1));
    let_go();
    pthread_join(b.thread, NULL);
    assert_int_equal(b.rc, EXIA_OK);
    check_calls("+n1 +x1 ~n1 .n +a1");
    exia_pool_free(pool);
    check_calls("~a1 ~x1 .x .a");
}

static void *discard_in_thread(void *payload)
{
    const exia_lease *lease = payload;
    return (void *)(intptr_t)exia_lease_discard(lease, NULL);
}

static pthread_t discarding;

/* While the new object ends, the end of the old one comes to its end. */
static void end_the_old_one(recorder *r)
{
    exia_lease lease;
    if (r->borrows == NULL)
        return;
    let_go();
    pthread_join(discarding, NULL);
    r->status = exia_component_borrow(&lease, r->borrows, 0, NULL, NULL);
    r->borrows = NULL;
}

TEST(the_end_of_an_old_object_does_not_hurry_that_of_a_new_one)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .at_end = hold}, x = {.name = 'x', .at_end = end_the_old_one};
    exia_component *c = add(pool, &a, 0, "", "");
    exia_lease old = borrow(c);
    gate = 1;
    pthread_create(&discarding, NULL, discard_in_thread, &old);
    await_held();
    check_ok(replace(c, &x, 0, NULL, "", 0));
    exia_lease lease = borrow(c);
    x.borrows = c;
    check_ok(exia_lease_discard(&lease, &err));
    assert_int_equal(x.status, EXIA_ECYCLE); /* it would wait for its own end */
    x.status = EXIA_OK;
    give(borrow(c));
    check_calls("+a1 ~a1 +x1 ~x1 .a +x2");
    exia_pool_free(pool);
}

TEST(who_waits_for_a_need_of_the_old_factory_begins_again_with_the_new)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, m = {.name = 'm'}, n = {.name = 'n'},
             x = {.name = 'x'};
    exia_component *top = add(pool, &a, 1, "b", ""), *mid = add(pool, &b, 1, "mn", "");
    exia_component *kept = add(pool, &n, 1, "", "");
    borrower waiter = {0};
    add(pool, &m, 1, "", "-");
    exia_lease lease = borrow(kept);
    start(&waiter, top, -1);
    await(pool, "n", "waiting", 1);
    check_ok(replace(mid, &x, 1, "", "", 0)); /* which needs nothing */
    pthread_join(waiter.thread, NULL);
    assert_int_equal(waiter.rc, EXIA_OK);
    check_calls("+n1 +m1 +x1 -m1 .b +a1");
    assert_int_equal(number_of(pool, "n", "lent"), 1);
    assert_int_equal(number_of(pool, "m", "lent"), 0);
    give(lease);
    exia_pool_free(pool);
    check_calls("~a1 ~x1 ~m1 ~n1 .m .n .x .a");
}

TEST(who_waits_for_a_need_keeps_its_turn_when_something_else_is_replaced)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, n = {.name = 'n'}, z = {.name = 'z'}, y = {.name = 'y'};
    exia_component *top = add(pool, &a, 1, "n", ""), *need = add(pool, &n, 1, "", ""),
                   *beside = add(pool, &z, 1, "", "");
    exia_lease lease = borrow(need);
    borrower builder = {.number = 1}, behind = {.number = 2};
    served[0] = '\0';
    start(&builder, top, -1);
    await(pool, "n", "waiting", 1);
    start(&behind, need, 60000);
    await(pool, "n", "waiting", 2);
    check_ok(replace(beside, &y, 0, NULL, "", 1));
    poll(NULL, 0, 20); /* who would give his turn up for this does so now */
    give(lease);
    pthread_join(builder.thread, NULL);
    pthread_join(behind.thread, NULL);
    assert_int_equal(builder.rc, EXIA_OK);
    assert_int_equal(behind.rc, EXIA_ETIMEOUT);
    assert_string_equal(served, "1");
    exia_pool_free(pool);
}

TEST(a_need_comes_when_a_chain_of_old_objects_lets_it_go)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, n = {.name = 'n'}, x = {.name = 'x'};
    exia_component *top = add(pool, &a, 0, "b", ""), *mid = add(pool, &b, 0, "n", "");
    exia_component *need = add(pool, &n, 1, "", "");
    exia_lease lease = borrow(top), other;
    borrower waiter = {0};
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&other, need, -1, NULL, &err));
    check_text("objects of 'b' keep all 1");
    check_ok(replace(mid, &x, 0, "", "", 1));
    start(&waiter, need, -1);
    await(pool, "n", "waiting", 1);
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&other, need, 0, NULL, &err));
    check_text("none of 1 came back");
    give(lease); /* a, then b, then n */
    pthread_join(waiter.thread, NULL);
    assert_int_equal(waiter.rc, EXIA_OK);
    check_calls("+n1 +b1 +a1 +x1 ~a1 ~b1 .b");
    exia_pool_free(pool);
}

/* ---- several at once ------------------------------------------------------------------------- */

typedef struct replacer {
    pthread_t thread;
    exia_component *component;
    recorder *r;
    const char *need; /* NULL: options are NULL */
    exia_status rc;
    exia_error err;
} replacer;

static void *replace_in_thread(void *payload)
{
    replacer *r = payload;
    exia_factory factory = factory_of(r->r, "");
    exia_component_options options = {
        .struct_size = sizeof options, .needs = &r->need, .need_count = 1};
    r->rc = exia_component_replace(r->component, &factory, r->need ? &options : NULL, 0, &r->err);
    return NULL;
}

TEST(of_two_replacements_at_once_the_last_to_end_stands)
{
    for (uint32_t max = 0; max < 3; max++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a'}, x = {.name = 'x', .inside = hold}, y = {.name = 'y'};
        exia_component *c = add(pool, &a, max, "", "");
        exia_lease lease = borrow(c);
        replacer slow = {.component = c, .r = &x};
        gate = 1;
        pthread_create(&slow.thread, NULL, replace_in_thread, &slow);
        await_held();
        check_ok(replace(c, &y, 0, NULL, "", 0));
        exia_lease quick = borrow(c);
        assert_int_equal(((thing *)quick.object)->maker->name, 'y');
        let_go();
        pthread_join(slow.thread, NULL);
        assert_int_equal(slow.rc, EXIA_OK);
        exia_lease last = borrow(c);
        assert_int_equal(((thing *)last.object)->maker->name, 'x');
        give(quick);
        give(lease);
        give(last);
        check_calls("+a1 +x1 +y1 ~y1 .y ~a1 .a");
        exia_pool_free(pool);
        check_calls("~x1 .x");
    }
}

TEST(of_two_replacements_that_close_a_cycle_together_the_last_is_refused)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, x = {.name = 'x', .inside = hold},
             y = {.name = 'y'};
    exia_component *one = add(pool, &a, 0, "", ""), *two = add(pool, &b, 0, "", "");
    replacer slow = {.component = one, .r = &x, .need = "b"};
    gate = 1;
    x.need_count = 1;
    pthread_create(&slow.thread, NULL, replace_in_thread, &slow);
    await_held();
    check_ok(replace(two, &y, 0, "a", "", 0));
    let_go();
    pthread_join(slow.thread, NULL);
    assert_int_equal(slow.rc, EXIA_ECYCLE);
    assert_non_null(strstr(slow.err.text, "cannot replace a"));
    check_calls("+b1 +x1 +a1 +y1 ~x1 ~b1 .b"); /* and no .x */
    give(borrow(two));
    check_calls("");
    exia_pool_free(pool);
    check_calls("~y1 ~a1 .y .a");
}

TEST(a_close_during_a_replacement_waits_for_it_and_nothing_is_replaced)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, x = {.name = 'x', .inside = hold};
    exia_component *c = add(pool, &a, 1, "", "");
    replacer slow = {.component = c, .r = &x};
    gate = 1;
    pthread_create(&slow.thread, NULL, replace_in_thread, &slow);
    await_held();
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err));
    check_text("1 other call is under way");
    exia_pool_free(pool);
    let_go();
    pthread_join(slow.thread, NULL);
    assert_int_equal(slow.rc, EXIA_ECLOSED);
    check_calls("+x1 ~x1 .a"); /* and no .x */
}

/* ---- a crowd --------------------------------------------------------------------------------- */

enum { USERS = 4, ROUNDS = 300 };
static atomic_int alive, released;

typedef struct item {
    int version;
    atomic_int users;
} item;

static exia_status make_item(void **out, void *const *needs, void *payload, exia_error *error)
{
    (void)needs;
    (void)error;
    item *i = calloc(1, sizeof *i);
    i->version = (int)(intptr_t)payload;
    atomic_fetch_add(&alive, 1);
    *out = i;
    return EXIA_OK;
}

static void end_item(void *object, void *payload)
{
    (void)payload;
    atomic_fetch_sub(&alive, 1);
    free(object);
}

static void release_version(void *payload)
{
    (void)payload;
    atomic_fetch_add(&released, 1);
}

static exia_factory version(int number)
{
    return (exia_factory){.struct_size = sizeof(exia_factory),
                          .create = make_item,
                          .destroy = end_item,
                          .release = release_version,
                          .payload = (void *)(intptr_t)number};
}

typedef struct user {
    pthread_t thread;
    exia_pool *pool;
    exia_component *components[3];
    atomic_int *published; /* the versions of the first */
    uint32_t seed;
    int strange;
} user;

static void *use(void *payload)
{
    user *u = payload;
    for (int round = 0; round < ROUNDS; round++) {
        u->seed = u->seed * 1664525u + 1013904223u;
        exia_lease lease;
        exia_error own;
        int least = atomic_load(u->published);
        exia_status rc = exia_component_borrow(&lease, u->components[u->seed >> 8 & 1 ? 2 : 0], -1,
                                               "crowd", &own);
        if (rc < 0) {
            u->strange += rc != EXIA_ETIMEOUT && rc != EXIA_ECYCLE;
            continue;
        }
        item *i = lease.object;
        if (lease.component == u->components[0]) {
            u->strange += i->version < least; /* replaced before it was borrowed */
            u->strange += atomic_fetch_add(&i->users, 1) != 0;
            atomic_fetch_sub(&i->users, 1);
        }
        rc = u->seed >> 24 & 7 ? exia_lease_return(&lease, &own) : exia_lease_discard(&lease, &own);
        u->strange += rc != EXIA_OK;
        if ((u->seed >> 16 & 7) == 0)
            u->strange += exia_pool_maintain(u->pool, &own) != EXIA_OK;
    }
    return NULL;
}

TEST(a_crowd_borrows_while_everything_is_replaced)
{
    static const char *const names[] = {"base", "mid", "top"};
    exia_pool *pool = open_pool();
    exia_component *c[3];
    user users[USERS];
    atomic_int published = 0;
    atomic_store(&alive, 0);
    atomic_store(&released, 0);
    for (int i = 0; i < 3; i++) {
        exia_factory factory = version(0);
        exia_component_options options = {.struct_size = sizeof options,
                                          .needs = i ? &names[i - 1] : NULL,
                                          .need_count = i > 0,
                                          .max = i == 1 ? 0 : 3,
                                          .min_idle = 1};
        check_ok(exia_pool_add(&c[i], pool, names[i], &factory, &options, &err));
    }
    for (uint32_t i = 0; i < USERS; i++) {
        users[i] = (user){.pool = pool,
                          .components = {c[0], c[1], c[2]},
                          .published = &published,
                          .seed = 7 * i + 1};
        pthread_create(&users[i].thread, NULL, use, &users[i]);
    }
    int replaced = 0;
    for (int round = 1; round < ROUNDS / 4; round++) {
        for (int i = 0; i < 3; i++) {
            exia_factory factory = version(round);
            exia_error own;
            exia_status rc =
                exia_component_replace(c[i], &factory, NULL, (round + i) % 3 == 0, &own);
            assert_true(rc == EXIA_OK || rc == EXIA_ETIMEOUT);
            replaced += rc == EXIA_OK;
            if (i == 0 && rc == EXIA_OK)
                atomic_store(&published, round);
        }
    }
    for (int i = 0; i < USERS; i++) {
        pthread_join(users[i].thread, NULL);
        assert_int_equal(users[i].strange, 0);
    }
    assert_true(replaced > ROUNDS / 4);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(number_of(pool, names[i], "waiting"), 0);
        assert_int_equal(number_of(pool, names[i], "built"),
                         number_of(pool, names[i], "created") -
                             number_of(pool, names[i], "destroyed"));
    }
    check_ok(exia_pool_close(pool, 0, &err));
    assert_int_equal(atomic_load(&alive), 0);
    assert_int_equal(atomic_load(&released), replaced);
    exia_pool_free(pool);
    assert_int_equal(atomic_load(&released), replaced + 3);
}
