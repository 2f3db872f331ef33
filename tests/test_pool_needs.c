/* Components that need others: built first, kept for life, destroyed last; the list and the plan. */
#include "support/recorder.h"

TEST(what_is_needed_is_built_first_given_in_order_and_destroyed_last)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'}, d = {.name = 'd'};
    exia_component *top = add(pool, &d, 0, "bca", "-");
    add(pool, &b, 0, "a", "-");
    add(pool, &c, 1, "a", "-");
    exia_component *base = add(pool, &a, 0, "", "-");
    exia_lease lease = borrow(top);
    check_calls("+a1 +b1 +c1 +d1");
    thing *t = lease.object;
    assert_int_equal(t->needs[0]->maker->name, 'b');
    assert_int_equal(t->needs[1]->maker->name, 'c');
    assert_ptr_equal(t->needs[2], t->needs[0]->needs[0]);
    assert_ptr_equal(t->needs[2], t->needs[1]->needs[0]);
    assert_int_equal(number_of(pool, "a", "lent"), 3);
    give(borrow(base));
    check_ok(exia_pool_clear(pool, &err)); /* all of it is in use */
    check_calls("");
    give(lease);
    check_ok(exia_pool_clear(pool, &err));
    check_calls("-d1 ~d1 -c1 ~c1 -b1 ~b1 -a1 ~a1");
    exia_pool_free(pool);
}

TEST(a_missing_need_is_named_with_who_needs_it)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    exia_component *top = add(pool, &a, 1, "bc", "");
    exia_lease lease;
    add(pool, &b, 1, "", "-");
    check_fails(EXIA_ENOTFOUND, exia_component_borrow(&lease, top, -1, NULL, &err));
    check_text("'c', needed by 'a'");
    check_calls("+b1 -b1"); /* and given back */
    assert_null(exia_pool_find(pool, "c"));
    add(pool, &c, 1, "", "");
    give(borrow(top));
    exia_pool_free(pool);
    check_calls("+c1 +a1 ~a1 -b1 ~c1 ~b1 .c .b .a");
}

TEST(a_failure_on_the_way_gives_back_all_that_was_gathered)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c', .fails = "+"};
    exia_component *top = add(pool, &a, 1, "bc", ""), *held = add(pool, &b, 1, "", "");
    exia_lease lease;
    add(pool, &c, 1, "", "");
    check_fails(EXIA_EUSER, exia_component_borrow(&lease, top, -1, NULL, &err));
    check_text("component 'c', needed by 'a': +c says no");
    give(borrow(held));
    assert_int_equal(number_of(pool, "a", "built"), 0);
    exia_pool_free(pool);
    check_calls("+b1 +c1 ~b1 .c .b .a");
}

TEST(a_need_with_a_maximum_is_lent_for_the_life_of_its_dependent)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 2, "b", ""), *need = add(pool, &b, 1, "", "!-");
    exia_lease lease, other;
    lease = borrow(top);
    assert_int_equal(number_of(pool, "b", "lent"), 1);
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&other, top, -1, NULL, &err));
    check_text("'b', needed by 'a': none can come, objects of 'a' keep all 1");
    give(lease);
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&other, need, -1, NULL, &err));
    check_text("objects of 'a' keep all 1");
    lease = borrow(top);
    check_ok(exia_lease_discard(&lease, &err));
    check_calls("+b1 !b1 +a1 ~a1 -b1");
    give(borrow(need));
    check_calls("!b1 -b1");
    exia_pool_free(pool);
}

TEST(a_chain_of_needs_may_be_of_any_length)
{
    enum { COUNT = 20000 };
    exia_pool *pool = open_pool();
    recorder r = {.name = 'r'};
    exia_factory factory = {
        .struct_size = sizeof factory, .create = create, .destroy = destroy, .payload = &r};
    exia_component *last = NULL;
    for (int i = 0; i < COUNT; i++) {
        char name[16], before[16];
        const char *const needs[] = {before};
        exia_component_options options = {.struct_size = sizeof options,
                                          .needs = needs,
                                          .need_count = i > 0,
                                          .max = i % 2 ? 3 : 0};
        snprintf(name, sizeof name, "c%d", i);
        snprintf(before, sizeof before, "c%d", i - 1);
        check_ok(exia_pool_add(&last, pool, name, &factory, &options, &err));
    }
    exia_lease lease = borrow(last);
    assert_int_equal(r.made, COUNT);
    check_ok(exia_lease_discard(&lease, &err));
    check_ok(exia_pool_close(pool, 0, &err));
    exia_pool_free(pool);
}

TEST(the_plan_has_the_rows_as_nodes_and_the_building_order)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    exia_dag *plan = NULL;
    const uint32_t *order;
    size_t count;
    add(pool, &a, 0, "cx", "");
    add(pool, &b, 0, "", "");
    add(pool, &c, 0, "b", "");
    check_ok(exia_pool_plan(&plan, pool, &err));
    exia_pool_free(pool); /* the plan stands on its own */
    assert_int_equal(exia_dag_node_count(plan), 3);
    assert_string_equal(exia_dag_name(plan, 2), "c");
    check_ok(exia_dag_order(&order, &count, plan, &err));
    const uint32_t expected[] = {1, 2, 0};
    assert_memory_equal(order, expected, sizeof expected);
    exia_dag_free(plan);
}

TEST(the_list_tells_what_there_is)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    const char *const needs[] = {"a"};
    exia_factory factory = {
        .struct_size = sizeof factory, .create = create, .destroy = destroy, .payload = &b};
    exia_component_options options = {.struct_size = sizeof options,
                                      .needs = needs,
                                      .need_count = 1,
                                      .about = "{\"title\": \"B\"}",
                                      .max = 5};
    exia_component *c;
    add(pool, &a, 0, "", "");
    check_ok(exia_pool_add(&c, pool, "b", &factory, &options, &err));
    exia_lease lease = borrow(c);
    give(borrow(c));
    exia_rows *rows;
    const char *text;
    check_ok(exia_pool_list(&rows, pool, &err));
    check_ok(exia_rows_next(&text, rows, &err));
    assert_string_equal(text,
                        "{\"name\":\"a\",\"about\":null,\"needs\":[],\"max\":0,\"shared\":true,"
                        "\"built\":1,\"idle\":0,\"lent\":2,\"waiting\":0,\"hits\":2,\"created\":1,"
                        "\"destroyed\":0,\"failed\":0,\"expired\":0,\"last_hit\":0,\"ticks\":0}");
    check_ok(exia_rows_next(&text, rows, &err));
    assert_string_equal(text, "{\"name\":\"b\",\"about\":{\"title\":\"B\"},\"needs\":[\"a\"],"
                              "\"max\":5,\"shared\":false,\"built\":2,\"idle\":1,\"lent\":1,"
                              "\"waiting\":0,\"hits\":2,\"created\":2,\"destroyed\":0,\"failed\":0,"
                              "\"expired\":0,\"last_hit\":0,\"ticks\":0}");
    check_done(exia_rows_next(&text, rows, &err));
    exia_rows_free(rows);
    give(lease);
    exia_pool_free(pool);
}
