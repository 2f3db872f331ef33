/* Maintenance: limits kept tick by tick, refilling, loans that are out for too long, leaks.  Times
 * are either one millisecond, which is waited for, or an hour, which never comes. */
#include "support/recorder.h"

enum { HOUR = 3600000 };
static const exia_component_options none = {.struct_size = sizeof none};

static exia_component *add_with(exia_pool *pool, recorder *r, exia_component_options options)
{
    char name[] = {r->name, '\0'};
    exia_component *c = NULL;
    exia_factory factory = {.struct_size = sizeof factory,
                            .create = create,
                            .activate = activate,
                            .passivate = passivate,
                            .destroy = destroy,
                            .release = release,
                            .payload = r};
    options.struct_size = sizeof options;
    r->need_count = options.need_count;
    check_ok(exia_pool_add(&c, pool, name, &factory, &options, &err));
    return c;
}

/* One tick, when at least a millisecond is over since the last. */
static void tick(exia_pool *pool)
{
    struct timespec two_ms = {.tv_nsec = 2000000};
    nanosleep(&two_ms, NULL);
    check_ok(exia_pool_maintain(pool, &err));
}

/* ---- limits that contradict ------------------------------------------------------------------ */

TEST(limits_that_contradict_are_refused_with_their_values)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_factory factory = {.struct_size = sizeof factory, .create = create, .payload = &a};
    exia_component_options options = none;
    check_fails(EXIA_EINVAL, exia_pool_maintain(NULL, &err));
    options.max = 3;
    options.min_idle = 4;
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_text("component a: min_idle is 4, more than max, 3");
    options.max = 0;
    options.min_idle = 2;
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_text("min_idle is 2, but it has one object, which is shared");
    options.min_idle = 1;
    options.idle_ms = -5;
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_text("idle_ms is -5, life_ms 0");
    options.idle_ms = 0;
    options.life_ms = INT64_MIN;
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_text("life_ms -9223372036854775808");
    options.life_ms = options.idle_ms = INT64_MAX;
    options.overdue_ms = INT64_MIN;
    check_ok(exia_pool_add(NULL, pool, "a", &factory, &options, &err));
    check_ok(exia_pool_maintain(pool, &err));
    exia_pool_free(pool);
}

/* ---- what goes ------------------------------------------------------------------------------- */

TEST(what_is_idle_for_too_long_goes_and_what_was_borrowed_meanwhile_stays)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'}, k = {.name = 'k'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 2, .idle_ms = 1});
    exia_component *shared = add_with(pool, &s, (exia_component_options){.idle_ms = 1});
    exia_component *kept = add_with(pool, &k, (exia_component_options){.max = 1, .idle_ms = HOUR});
    exia_lease one = borrow(c), two = borrow(c), both = borrow(shared);
    give(borrow(kept));
    tick(pool);
    tick(pool); /* all of it is lent */
    give(one);
    give(two);
    give(both);
    called();
    tick(pool); /* now they are seen idle, not before */
    check_calls("");
    give(borrow(shared));
    give(borrow(c));
    check_calls("!a2 -a2");
    tick(pool); /* a1 has not moved since the last tick */
    check_calls("~a1");
    tick(pool);
    check_calls("-s1 ~s1 ~a2"); /* newest first */
    assert_int_equal(number_of(pool, "a", "expired"), 2);
    assert_int_equal(number_of(pool, "s", "expired"), 1);
    assert_int_equal(number_of(pool, "a", "destroyed"), 2);
    assert_int_equal(number_of(pool, "k", "built"), 1);
    give(borrow(shared));
    exia_pool_free(pool);
}

TEST(what_is_too_old_goes_idle_at_once_and_lent_at_its_return)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'};
    exia_component *c = add_with(pool, &a, (exia_component_options){.max = 2, .life_ms = 1});
    exia_component *shared = add_with(pool, &s, (exia_component_options){.life_ms = 1});
    exia_lease one = borrow(c), two = borrow(c), both = borrow(shared);
    give(two);
    called();
    tick(pool);
    check_calls("");
    tick(pool);
    check_calls("~a2");
    give(one);
    check_calls("-a1 ~a1");
    exia_lease next = borrow(shared); /* the old one goes with its last holder */
    assert_ptr_not_equal(next.object, both.object);
    give(both);
    check_calls("+s2 !s2 -s1 ~s1");
    give(next);
    exia_pool_free(pool);
}

TEST(what_was_needed_by_what_goes_is_idle_from_then_on)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    const char *const needs[] = {"b"};
    exia_component *c =
        add_with(pool, &a,
                 (exia_component_options){.max = 1, .idle_ms = 1, .needs = needs, .need_count = 1});
    add_with(pool, &b, (exia_component_options){.max = 1, .idle_ms = 1});
    give(borrow(c));
    called();
    tick(pool);
    tick(pool);
    check_calls("~a1 -b1");
    tick(pool);
    check_calls("");
    tick(pool);
    check_calls("~b1");
    exia_pool_free(pool);
}
