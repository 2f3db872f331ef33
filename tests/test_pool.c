/* The pool: bad input first, then the exact calls that factories see, and memory that runs out. */
#include "support/recorder.h"

/* ---- bad input ------------------------------------------------------------------------------ */

TEST(each_call_refuses_null)
{
    exia_pool *pool = open_pool(), *other = NULL;
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_factory factory = {.struct_size = sizeof factory, .create = create};
    exia_lease lease, none = {0};
    exia_rows *rows;
    exia_dag *dag;
    check_fails(EXIA_EINVAL, exia_pool_open(NULL, "a", &err));
    check_fails(EXIA_EINVAL, exia_pool_open(&other, NULL, &err));
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, NULL, "b", &factory, NULL, &err));
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, NULL, &factory, NULL, &err));
    check_fails(EXIA_EINVAL, exia_pool_add(NULL, pool, "b", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_component_borrow(NULL, c, 0, NULL, &err));
    check_fails(EXIA_EINVAL, exia_component_borrow(&lease, NULL, 0, NULL, &err));
    check_fails(EXIA_EINVAL, exia_lease_return(NULL, &err));
    check_fails(EXIA_EINVAL, exia_lease_return(&none, &err));
    check_fails(EXIA_EINVAL, exia_lease_discard(&none, &err));
    check_fails(EXIA_EINVAL, exia_pool_load(NULL, "x", &err));
    check_fails(EXIA_EINVAL, exia_pool_load(pool, NULL, &err));
    check_fails(EXIA_EINVAL, exia_pool_list(&rows, NULL, &err));
    check_fails(EXIA_EINVAL, exia_pool_list(NULL, pool, &err));
    check_fails(EXIA_EINVAL, exia_pool_plan(&dag, NULL, &err));
    check_fails(EXIA_EINVAL, exia_pool_plan(NULL, pool, &err));
    check_fails(EXIA_EINVAL, exia_pool_clear(NULL, &err));
    check_fails(EXIA_EINVAL, exia_pool_close(NULL, 0, &err));
    assert_null(exia_pool_find(NULL, "a"));
    assert_null(exia_pool_find(pool, NULL));
    assert_null(exia_component_name(NULL));
    assert_string_equal(exia_component_name(c), "a");
    exia_pool_free(pool);
    exia_pool_free(NULL);
}

TEST(a_refused_component_leaves_its_factory_with_the_caller)
{
    exia_pool *pool = open_pool(), *other = NULL;
    recorder a = {.name = 'a'};
    const char *const slash[] = {"x/y"};
    exia_factory factory = {
        .struct_size = sizeof factory, .create = create, .release = release, .payload = &a};
    exia_component_options options = {.struct_size = sizeof options};
    exia_component *c;
    check_fails(EXIA_EINVAL, exia_pool_open(&other, "a b", &err));
    check_text("a b");
    assert_null(other);
    check_fails(EXIA_EINVAL, exia_pool_add(&c, pool, "x/y", &factory, NULL, &err));
    check_text("x/y");
    assert_null(c);
    options.need_count = 1;
    check_fails(EXIA_EINVAL, exia_pool_add(&c, pool, "b", &factory, &options, &err));
    options.needs = slash;
    check_fails(EXIA_EINVAL, exia_pool_add(&c, pool, "b", &factory, &options, &err));
    check_text("x/y");
    options.need_count = SIZE_MAX;
    check_fails(EXIA_EINVAL, exia_pool_add(&c, pool, "b", &factory, &options, &err));
    options.need_count = 0;
    options.about = "[1]";
    check_fails(EXIA_EINVAL, exia_pool_add(&c, pool, "b", &factory, &options, &err));
    check_text("object");
    options.about = "{";
    check_fails(EXIA_EINVAL, exia_pool_add(&c, pool, "b", &factory, &options, &err));
    options.about = NULL;
    options.struct_size = 1;
    check_fails(EXIA_EINVAL, exia_pool_add(&c, pool, "b", &factory, &options, &err));
    factory.create = NULL;
    check_fails(EXIA_EINVAL, exia_pool_add(&c, pool, "b", &factory, NULL, &err));
    check_text("create");
    factory.struct_size = 0;
    check_fails(EXIA_EINVAL, exia_pool_add(&c, pool, "b", &factory, NULL, &err));
    assert_null(exia_pool_find(pool, "b"));
    check_ok(exia_pool_close(pool, 0, &err));
    check_fails(EXIA_ECLOSED, try_add(&c, pool, &a, 0, "", ""));
    exia_pool_free(pool);
    check_calls("");
}

TEST(a_name_is_taken_once)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, again = {.name = 'a'};
    add(pool, &a, 1, "", "");
    check_fails(EXIA_EEXISTS, try_add(NULL, pool, &again, 1, "", ""));
    check_text("a already");
    exia_pool_free(pool);
    check_calls(".a");
}

TEST(a_cycle_of_needs_is_refused_and_named)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'}, d = {.name = 'd'};
    check_fails(EXIA_ECYCLE, try_add(NULL, pool, &d, 0, "d", ""));
    check_text("'d' -> 'd'");
    add(pool, &a, 0, "b", "");
    add(pool, &b, 0, "c", "");
    check_fails(EXIA_ECYCLE, try_add(NULL, pool, &c, 0, "a", ""));
    check_text("cannot add c");
    check_text("'a' -> 'b' -> 'c' -> 'a'");
    assert_null(exia_pool_find(pool, "c"));
    add(pool, &c, 0, "d", ""); /* without the cycle it is welcome */
    add(pool, &d, 0, "", "");
    give(borrow(exia_pool_find(pool, "a")));
    exia_pool_free(pool);
    check_calls("+d1 +c1 +b1 +a1 ~a1 ~b1 ~c1 ~d1 .d .c .b .a");
}

TEST(a_second_return_is_an_error_also_after_the_slot_was_lent_again)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'};
    exia_component *both[] = {add(pool, &a, 1, "", ""), add(pool, &s, 0, "", "")};
    for (int i = 0; i < 2; i++) {
        exia_lease lease = borrow(both[i]), copy = lease;
        give(lease);
        check_fails(EXIA_EINVAL, exia_lease_return(&copy, &err));
        check_text("given back before");
        exia_lease next = borrow(both[i]);
        assert_ptr_equal(next.object, lease.object);
        check_fails(EXIA_EINVAL, exia_lease_return(&copy, &err));
        check_fails(EXIA_EINVAL, exia_lease_discard(&copy, &err));
        check_ok(exia_lease_discard(&next, &err));
        check_fails(EXIA_EINVAL, exia_lease_return(&next, &err));
        copy.ticket = UINT64_MAX;
        check_fails(EXIA_EINVAL, exia_lease_return(&copy, &err));
        copy.ticket = 0;
        check_fails(EXIA_EINVAL, exia_lease_return(&copy, &err));
    }
    exia_pool_free(pool);
}

/* ---- what a factory sees -------------------------------------------------------------------- */

TEST(nothing_is_built_before_somebody_borrows)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    add(pool, &a, 2, "", "!?-");
    check_ok(exia_pool_clear(pool, &err));
    check_ok(exia_pool_close(pool, -1, &err));
    exia_pool_free(pool);
    check_calls(".a");
}

TEST(a_lent_object_is_activated_then_passivated_then_validated_and_lent_again)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 2, "", "!?-");
    exia_lease one = borrow(c), two = borrow(c);
    assert_ptr_not_equal(one.object, two.object);
    check_calls("+a1 !a1 +a2 !a2");
    give(one);
    check_calls("-a1");
    one = borrow(c);
    check_calls("?a1 !a1");
    give(two);
    give(one);
    one = borrow(c); /* the last one returned */
    check_calls("-a2 -a1 ?a1 !a1");
    check_ok(exia_lease_discard(&one, &err));
    check_calls("~a1");
    check_ok(exia_pool_close(pool, 0, &err));
    check_calls("~a2");
    exia_pool_free(pool);
    check_calls(".a");
}

TEST(a_shared_object_is_activated_once_and_lent_to_all)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 0, "", "!?-");
    exia_lease leases[100];
    for (int i = 0; i < 100; i++) {
        leases[i] = borrow(c);
        assert_ptr_equal(leases[i].object, leases[0].object);
    }
    assert_int_equal(number_of(pool, "a", "lent"), 100);
    for (int i = 0; i < 100; i++)
        give(leases[i]);
    check_calls("+a1 !a1");
    give(borrow(c)); /* nobody had it: it is looked at */
    check_calls("?a1");
    check_ok(exia_pool_clear(pool, &err));
    check_calls("-a1 ~a1");
    give(borrow(c));
    exia_pool_free(pool);
    check_calls("+a2 !a2 -a2 ~a2 .a");
}

TEST(a_discarded_shared_object_goes_with_its_last_holder)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 0, "", "!-");
    exia_lease one = borrow(c), two = borrow(c), three;
    check_ok(exia_lease_discard(&one, &err));
    three = borrow(c);
    assert_ptr_not_equal(three.object, two.object);
    check_calls("+a1 !a1 +a2 !a2");
    give(three);
    check_ok(exia_lease_discard(&two, &err));
    check_calls("-a1 ~a1");
    one = borrow(c);
    assert_ptr_equal(one.object, three.object);
    check_ok(exia_lease_discard(&one, &err));
    check_calls("-a2 ~a2");
    exia_pool_free(pool);
    check_calls(".a");
}

TEST(a_factory_that_fails_frees_the_room_and_tells_why)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .fails = "+"}, s = {.name = 's', .fails = "+"};
    exia_component *both[] = {add(pool, &a, 1, "", ""), add(pool, &s, 0, "", "")};
    exia_lease lease;
    for (int i = 0; i < 2; i++) {
        check_fails(EXIA_EUSER, exia_component_borrow(&lease, both[i], 0, NULL, &err));
        check_text(i ? "component 's': +s says no" : "component 'a': +a says no");
        assert_int_equal(err.native, 3);
        assert_null(lease.component);
        check_fails(EXIA_EUSER, exia_component_borrow(&lease, both[i], 0, NULL, &err));
    }
    a.fails = s.fails = NULL;
    a.silent = "+";
    check_fails(EXIA_EIO, exia_component_borrow(&lease, both[0], 0, NULL, &err));
    check_text(exia_status_text(EXIA_EIO));
    a.silent = NULL;
    give(borrow(both[0]));
    give(borrow(both[1]));
    check_calls("+a1 +a1 +s1 +s1 +a1 +a1 +s1");
    exia_pool_free(pool);
}

TEST(an_object_that_cannot_be_activated_is_destroyed)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .fails = "!"};
    exia_component *c = add(pool, &a, 1, "", "!");
    exia_lease lease;
    check_fails(EXIA_EUSER, exia_component_borrow(&lease, c, 0, NULL, &err));
    check_text("!a says no");
    a.fails = NULL;
    give(borrow(c));
    check_calls("+a1 !a1 ~a1 +a2 !a2");
    a.fails = "!"; /* an idle one is replaced, the new one fails */
    check_fails(EXIA_EUSER, exia_component_borrow(&lease, c, 0, NULL, &err));
    check_calls("!a2 ~a2 +a3 !a3 ~a3");
    assert_int_equal(number_of(pool, "a", "built"), 0);
    exia_pool_free(pool);
}

TEST(an_object_that_is_not_valid_is_replaced)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .fails = "?"}, s = {.name = 's', .fails = "?"};
    exia_component *c = add(pool, &a, 1, "", "!?-"), *shared = add(pool, &s, 0, "", "!?-");
    give(borrow(c));
    give(borrow(c));
    check_calls("+a1 !a1 -a1 ?a1 ~a1 +a2 !a2 -a2");
    give(borrow(shared));
    give(borrow(shared));
    check_calls("+s1 !s1 ?s1 -s1 ~s1 +s2 !s2");
    exia_pool_free(pool);
}

TEST(an_object_that_cannot_be_passivated_is_dropped)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .fails = "-"};
    exia_component *c = add(pool, &a, 1, "", "-");
    give(borrow(c)); /* the return counts all the same */
    give(borrow(c));
    check_calls("+a1 -a1 ~a1 +a2 -a2 ~a2");
    exia_pool_free(pool);
}

/* ---- out of memory -------------------------------------------------------------------------- */

static exia_status whole_life(void *payload, exia_error *error)
{
    recorder *r = payload;
    exia_pool *pool = NULL;
    exia_dag *plan = NULL;
    exia_rows *rows = NULL;
    exia_lease lease = {0}, shared = {0};
    const char *const needs[] = {"n1", "n2"};
    exia_factory factory = {.struct_size = sizeof factory,
                            .create = create,
                            .passivate = passivate,
                            .destroy = destroy,
                            .payload = r};
    exia_component_options top = {.struct_size = sizeof top,
                                  .needs = needs,
                                  .need_count = 2,
                                  .about = "{}",
                                  .max = 3},
                           plain = {.struct_size = sizeof plain};
    exia_status rc = exia_pool_open(&pool, "test", error);
    if (rc == EXIA_OK)
        rc = exia_pool_add(NULL, pool, "top", &factory, &top, error);
    if (rc == EXIA_OK)
        rc = exia_pool_add(NULL, pool, "n1", &factory, &plain, error);
    plain.max = 2;
    if (rc == EXIA_OK)
        rc = exia_pool_add(NULL, pool, "n2", &factory, &plain, error);
    if (rc == EXIA_OK)
        rc = exia_component_borrow(&lease, exia_pool_find(pool, "top"), 0, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_component_borrow(&shared, exia_pool_find(pool, "n1"), 0, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_pool_list(&rows, pool, error);
    if (rc == EXIA_OK)
        rc = exia_pool_plan(&plan, pool, error);
    if (shared.component != NULL)
        assert_int_equal(exia_lease_return(&shared, NULL), EXIA_OK); /* needs no memory */
    if (lease.component != NULL)
        assert_int_equal(exia_lease_discard(&lease, NULL), EXIA_OK);
    if (pool != NULL)
        assert_int_equal(exia_pool_close(pool, 0, NULL), EXIA_OK);
    if (pool != NULL && rc == EXIA_OK)
        assert_int_equal(exia_pool_load(pool, "/nowhere.so", NULL), EXIA_ENOTFOUND);
    exia_rows_free(rows);
    exia_dag_free(plan);
    exia_pool_free(pool);
    return rc;
}

TEST(each_allocation_may_fail)
{
    recorder r = {.name = 'r'};
    called();
    check_survives_no_memory(whole_life, &r);
}
