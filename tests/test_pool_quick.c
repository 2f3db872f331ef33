/* The quick way: loans that wait for no lock.  It lends the same objects by the same rules, or leaves it
 * to the other way. */
#include "support/recorder.h"
#include "support/watch.h"

static exia_status quick(exia_lease *lease, exia_component *c)
{
    return exia_component_try_borrow(lease, c, EXIA_HERE);
}

/* Two loans of which the second is quick, if any is. */
static void warm(exia_component *c)
{
    give(borrow(c));
    give(borrow(c));
}

TEST(the_quick_way_takes_no_nonsense_and_leaves_what_it_cannot_do)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = {.ticket = 7}, empty = {0};
    assert_int_equal(quick(NULL, c), EXIA_DONE);
    assert_int_equal(quick(&lease, NULL), EXIA_DONE);
    assert_int_equal(quick(&lease, c), EXIA_DONE); /* it builds nothing */
    assert_int_equal(exia_lease_try_return(NULL), EXIA_DONE);
    assert_int_equal(exia_lease_try_return(&empty), EXIA_DONE);
    check_calls("");
    exia_pool_free(pool);
}

TEST(a_quick_loan_is_a_loan_like_any_other)
{
    for (uint32_t max = 0; max < 2; max++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a'};
        exia_component *c = add(pool, &a, max, "", "");
        exia_lease lease, other, copy;
        warm(c);
        check_ok(quick(&lease, c));
        copy = lease;
        assert_int_equal(number_of(pool, "a", "lent"), 1);
        assert_int_equal(number_of(pool, "a", "hits"), 3);
        if (max > 0)
            check_fails(EXIA_ETIMEOUT, exia_component_borrow(&other, c, 0, NULL, &err));
        check_ok(exia_lease_return(&lease, &err)); /* either way ends it, and only once */
        assert_int_equal(exia_lease_try_return(&copy), EXIA_DONE);
        check_fails(EXIA_EINVAL, exia_lease_return(&copy, &err));
        warm(c);
        lease = borrow(c);
        copy = lease;
        check_ok(exia_lease_try_return(&lease));
        assert_int_equal(exia_lease_try_return(&copy), EXIA_DONE);
        check_fails(EXIA_EINVAL, exia_lease_discard(&copy, &err));
        warm(c);
        check_ok(quick(&lease, c));
        assert_int_equal(exia_lease_try_return(&copy), EXIA_DONE);
        assert_int_equal(number_of(pool, "a", "lent"), 1);
        check_ok(exia_lease_discard(&lease, &err));
        assert_int_equal(quick(&lease, c), EXIA_DONE);
        check_calls("+a1 ~a1");
        exia_pool_free(pool);
    }
}

TEST(what_the_factory_has_a_say_in_is_not_quick)
{
    static const char *const functions[] = {"!", "?", "-"};
    for (int i = 0; i < 3; i++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a'};
        exia_component *c = add(pool, &a, 1, "", functions[i]);
        exia_lease lease;
        warm(c);
        bool at_end = functions[i][0] == '-';
        assert_int_equal(quick(&lease, c), at_end ? EXIA_OK : EXIA_DONE);
        if (!at_end)
            lease = borrow(c);
        assert_int_equal(exia_lease_try_return(&lease), at_end ? EXIA_DONE : EXIA_OK);
        if (at_end)
            give(lease);
        exia_pool_free(pool);
    }
}

TEST(nothing_is_lent_the_quick_way_past_who_waits_or_after_a_clear_or_a_close)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease, none;
    borrower b = {0};
    warm(c);
    check_ok(quick(&lease, c));
    start(&b, c, -1);
    await(pool, "a", "waiting", 1);
    if (exia_lease_try_return(&lease) != EXIA_OK)
        give(lease);
    pthread_join(b.thread, NULL);
    assert_int_equal(b.rc, EXIA_OK);
    warm(c);
    check_ok(exia_pool_clear(pool, &err));
    check_calls("+a1 ~a1");
    assert_int_equal(quick(&none, c), EXIA_DONE);
    warm(c);
    check_ok(quick(&lease, c));
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err));
    check_text("'a' taken at tests/test_pool_quick.c:");
    assert_int_equal(exia_lease_try_return(&lease), EXIA_DONE); /* it is to be destroyed */
    give(lease);
    check_calls("+a2 ~a2");
    assert_int_equal(quick(&none, c), EXIA_DONE);
    exia_pool_free(pool);
}

/* ---- against the rest ------------------------------------------------------------------------ */

typedef struct sprinter {
    pthread_t thread;
    exia_component *component;
    atomic_bool *over;
    const atomic_int *version; /* what a loan that begins now must have at least */
    atomic_ulong loans;
} sprinter;

/* As an interpreter does it: the quick way first, then the other. */
static exia_status borrow_either_way(exia_lease *lease, sprinter *s)
{
    exia_error why;
    exia_status rc = quick(lease, s->component);
    atomic_fetch_add(&s->loans, 1);
    if (rc == EXIA_OK)
        return rc;
    rc = exia_component_borrow(lease, s->component, -1, EXIA_HERE, &why);
    if (rc < 0)
        watch_wrong("borrow: %s", why.text);
    return rc;
}

static void return_either_way(const exia_lease *lease)
{
    exia_error why;
    if (exia_lease_try_return(lease) != EXIA_OK && exia_lease_return(lease, &why) != EXIA_OK)
        watch_wrong("return: %s", why.text);
}

static void *sprint(void *payload)
{
    sprinter *s = payload;
    while (!atomic_load(s->over)) {
        exia_lease lease;
        if (borrow_either_way(&lease, s) < 0)
            continue;
        watch_enter(lease.object);
        watch_leave(lease.object);
        return_either_way(&lease);
    }
    return NULL;
}

static void *see_no_old_one(void *payload)
{
    sprinter *s = payload;
    while (!atomic_load(s->over)) {
        int least = atomic_load(s->version);
        exia_lease lease;
        if (borrow_either_way(&lease, s) < 0)
            continue;
        if (*(const int *)lease.object < least)
            watch_wrong("version %d is lent after %d was put in its place",
                        *(const int *)lease.object, least);
        return_either_way(&lease);
    }
    return NULL;
}

enum { SPRINTERS = 3 };
static unsigned long all_loans(sprinter *sprinters)
{
    unsigned long loans = 0;
    for (int i = 0; i < SPRINTERS; i++)
        loans += atomic_load(&sprinters[i].loans);
    return loans;
}

/* Wait until there were some loans more. */
static void let_them_run(sprinter *sprinters)
{
    for (unsigned long had = all_loans(sprinters); all_loans(sprinters) < had + 10;)
        watch_pause(0);
}

static void start_all(sprinter *sprinters, exia_component *c, const atomic_int *version,
                      atomic_bool *over, void *(*run)(void *))
{
    memset(sprinters, 0, SPRINTERS * sizeof *sprinters);
    for (int i = 0; i < SPRINTERS; i++) {
        sprinters[i].component = c;
        sprinters[i].version = version;
        sprinters[i].over = over;
        assert_int_equal(pthread_create(&sprinters[i].thread, NULL, run, &sprinters[i]), 0);
    }
}

static void join_all(sprinter *sprinters)
{
    for (int i = 0; i < SPRINTERS; i++)
        pthread_join(sprinters[i].thread, NULL);
    assert_int_equal(watch_wrongs(), 0);
}

TEST(who_looks_at_the_pool_all_the_time_sees_no_more_than_there_is)
{
    enum { LOOKS = 120 };
    for (uint32_t max = 0; max < 3; max++) {
        exia_pool *pool = open_pool();
        breed b = {.max = max};
        atomic_bool over = false;
        sprinter sprinters[SPRINTERS];
        exia_component *c = watch_add(pool, "b", &b, NULL);
        start_all(sprinters, c, NULL, &over, sprint);
        for (int i = 0; i < LOOKS; i++) {
            long long lent = number_of(pool, "b", "lent"), built = number_of(pool, "b", "built");
            if (lent > (max ? max : SPRINTERS) || built > (max ? max : 2))
                watch_wrong("%lld are lent, %lld built", lent, built);
            if (i % 8 == 0)
                check_ok(exia_pool_clear(pool, &err));
            let_them_run(sprinters);
        }
        atomic_store(&over, true);
        join_all(sprinters);
        check_ok(exia_pool_close(pool, 0, &err));
        exia_pool_free(pool);
        watch_ended(&b, "b");
        assert_int_equal(watch_wrongs(), 0);
    }
}

static exia_status create_version(void **out, void *const *needs, void *payload, exia_error *error)
{
    (void)needs, (void)error;
    *out = payload;
    return EXIA_OK;
}

TEST(no_loan_that_begins_after_a_replacement_is_of_an_old_object)
{
    enum { VERSIONS = 100 };
    for (uint32_t max = 0; max < 3; max++) {
        exia_pool *pool = open_pool();
        static int numbers[VERSIONS];
        atomic_bool over = false;
        atomic_int version = 0;
        sprinter sprinters[SPRINTERS];
        exia_component *c;
        exia_factory factory = {
            .struct_size = sizeof factory, .create = create_version, .payload = &numbers[0]};
        exia_component_options options = {.struct_size = sizeof options, .max = max};
        check_ok(exia_pool_add(&c, pool, "v", &factory, &options, &err));
        start_all(sprinters, c, &version, &over, see_no_old_one);
        for (int i = 1; i < VERSIONS; i++) {
            numbers[i] = i;
            factory.payload = &numbers[i];
            check_ok(exia_component_replace(c, &factory, NULL, 0, &err));
            atomic_store(&version, i);
            let_them_run(sprinters);
        }
        atomic_store(&over, true);
        join_all(sprinters);
        check_ok(exia_pool_close(pool, 0, &err));
        exia_pool_free(pool);
    }
}
