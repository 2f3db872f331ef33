/* Another factory behind a component in use: what the old and the new factory see, call by call. */
#include "support/recorder.h"

/* Rows of exia_component_loans(), "where by ticks old" each; `where` without its line. */
static void check_loans(exia_component *c, const char *expected)
{
    char all[1024] = "";
    const char *text;
    exia_rows *rows = NULL;
    check_ok(exia_component_loans(&rows, c, &err));
    while (exia_rows_next(&text, rows, &err) == EXIA_OK) {
        json_t *row = json_loads(text, 0, NULL);
        const char *where = json_string_value(json_object_get(row, "where"));
        const char *by = json_string_value(json_object_get(row, "by"));
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%.*s %s %d %s", used ? ", " : "",
                 where ? (int)strcspn(where, ":") : 4, where ? where : "null", by ? by : "null",
                 (int)json_integer_value(json_object_get(row, "ticks")),
                 json_is_true(json_object_get(row, "old")) ? "old" : "new");
        json_decref(row);
    }
    exia_rows_free(rows);
    assert_string_equal(all, expected);
}

/* ---- what is refused ------------------------------------------------------------------------- */

TEST(a_replacement_that_is_refused_changes_nothing_and_leaves_the_factory_with_the_caller)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, x = {.name = 'x'};
    exia_component *c = add(pool, &a, 2, "", ""), *user = add(pool, &b, 0, "a", "");
    exia_factory factory = factory_of(&x, "");
    exia_component_options options = {.struct_size = sizeof options};
    exia_rows *rows;
    check_fails(EXIA_EINVAL, exia_component_replace(NULL, &factory, NULL, 0, &err));
    check_fails(EXIA_EINVAL, exia_component_replace(c, NULL, NULL, 0, &err));
    check_fails(EXIA_EINVAL, exia_component_loans(&rows, NULL, &err));
    check_fails(EXIA_EINVAL, exia_component_loans(NULL, c, &err));
    factory.create = NULL;
    check_fails(EXIA_EINVAL, exia_component_replace(c, &factory, NULL, 0, &err));
    check_text("component a: its factory has no create");
    factory.create = create;
    options.about = "[]";
    check_fails(EXIA_EINVAL, exia_component_replace(c, &factory, &options, 0, &err));
    options.about = NULL;
    options.min_idle = 2;
    check_fails(EXIA_EINVAL, exia_component_replace(c, &factory, &options, 0, &err));
    check_text("min_idle is 2");
    check_fails(EXIA_ECYCLE, replace(c, &x, 0, "b", "", 1));
    check_text("cannot replace a");
    check_text("'a' -> 'b' -> 'a'");
    check_fails(EXIA_ECYCLE, replace(c, &x, 0, "a", "", 1));
    check_fails(EXIA_ENOTFOUND, replace(c, &x, 0, "z", "", 1));
    check_text("'z', needed by 'a'");
    check_calls("");
    give(borrow(user));
    check_calls("+a1 +b1");
    check_ok(exia_pool_close(pool, 0, &err));
    check_fails(EXIA_ECLOSED, replace(c, &x, 0, "", "", 1));
    exia_pool_free(pool);
    check_calls("~b1 ~a1 .b .a");
}

TEST(when_the_new_factory_fails_the_old_goes_on)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, n = {.name = 'n'}, x = {.name = 'x', .fails = "+"};
    recorder y = {.name = 'y', .fails = "!"};
    exia_component *c = add(pool, &a, 1, "", "-"), *s = add(pool, &n, 0, "", "-");
    give(borrow(s));
    exia_lease lease = borrow(c), shared = borrow(s);
    check_fails(EXIA_EUSER, replace(c, &x, 3, "n", "", 1));
    check_text("component 'a': +x says no");
    check_fails(EXIA_EUSER, replace(s, &x, 0, "", "", 1));
    check_fails(EXIA_EUSER, replace(s, &y, 0, "", "!", 1)); /* shared: activated once */
    check_text("component 'n': !y says no");
    check_calls("+n1 +a1 +x1 +x1 +y1 !y1 ~y1");
    assert_int_equal(number_of(pool, "a", "max"), 1);
    assert_int_equal(number_of(pool, "n", "lent"), 1); /* what was gathered is given back */
    assert_int_equal(number_of(pool, "a", "failed"), 1);
    give(lease);
    give(shared);
    exia_lease again = borrow(c), same = borrow(s);
    assert_ptr_equal(again.object, lease.object);
    assert_ptr_equal(same.object, shared.object);
    check_calls("-a1");
    give(again);
    give(same);
    exia_pool_free(pool);
}

/* ---- what happens to the old ----------------------------------------------------------------- */

TEST(the_new_is_built_first_then_the_old_idle_ones_go_and_the_lent_ones_at_their_return)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *c = add(pool, &a, 3, "", "!?-");
    exia_lease one = borrow(c), two = borrow(c), three = borrow(c);
    give(two);
    give(three);
    check_calls("+a1 !a1 +a2 !a2 +a3 !a3 -a2 -a3");
    check_ok(replace(c, &b, 0, NULL, "!?-", 0));
    check_calls("+b1 ~a3 ~a2");
    assert_int_equal(number_of(pool, "a", "built"), 2);
    assert_int_equal(number_of(pool, "a", "idle"), 1);
    two = borrow(c); /* max is 3: for the new ones alone */
    three = borrow(c);
    exia_lease four = borrow(c), five;
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&five, c, 0, NULL, &err));
    check_calls("?b1 !b1 +b2 !b2 +b3 !b3");
    give(one);
    check_calls("-a1 ~a1 .a"); /* the old factory goes with its last object */
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&five, c, 0, NULL, &err));
    give(two);
    give(three);
    give(four);
    check_calls("-b1 -b2 -b3");
    exia_pool_free(pool);
    check_calls("~b3 ~b2 ~b1 .b");
}

TEST(an_old_shared_object_goes_with_its_last_holder)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, d = {.name = 'd'};
    exia_component *c = add(pool, &a, 0, "", "!-");
    exia_lease one = borrow(c), two = borrow(c), three;
    check_ok(replace(c, &b, 0, NULL, "!-", 0));
    three = borrow(c);
    assert_ptr_not_equal(three.object, one.object);
    check_calls("+a1 !a1 +b1 !b1");
    check_ok(exia_lease_discard(&one, &err));
    exia_lease same = borrow(c);
    assert_ptr_equal(same.object, three.object); /* that was the old one's affair */
    give(two);
    check_calls("-a1 ~a1 .a");
    give(three);
    check_ok(replace(c, &d, 0, NULL, "", 0)); /* somebody has it still */
    check_calls("+d1");
    give(same);
    check_calls("-b1 ~b1 .b");
    exia_pool_free(pool);
}

TEST(an_idle_shared_object_goes_at_once_and_one_never_built_is_built_now)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, d = {.name = 'd'};
    exia_component *c = add(pool, &a, 0, "", "");
    check_ok(replace(c, &b, 0, NULL, "", 0));
    check_calls("+b1 .a");
    give(borrow(c));
    check_ok(replace(c, &d, 0, NULL, "", 0));
    check_calls("+d1 ~b1 .b");
    exia_pool_free(pool);
    check_calls("~d1 .d");
}

TEST(a_shared_component_may_become_many_and_one_of_many_shared)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, d = {.name = 'd'};
    exia_component *c = add(pool, &a, 0, "", "");
    exia_lease one = borrow(c), two = borrow(c), three, four;
    check_ok(replace(c, &b, 1, "", "-", 0));
    three = borrow(c);
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&four, c, 0, NULL, &err));
    give(one);
    check_ok(replace(c, &d, 0, "", "-", 0));
    one = borrow(c);
    four = borrow(c);
    assert_ptr_equal(one.object, four.object);
    check_calls("+a1 +b1 +d1");
    give(three);
    check_calls("-b1 ~b1 .b");
    give(two);
    check_calls("~a1 .a");
    give(one);
    give(four);
    check_ok(replace(c, &a, 2, "", "", 0));
    check_calls("+a2 -d1 ~d1 .d");
    one = borrow(c);
    two = borrow(c);
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&four, c, 0, NULL, &err));
    exia_pool_free(pool);
    give(one);
    give(two);
    check_calls("+a3 ~a2 ~a3 .a");
}

TEST(without_options_needs_about_and_limits_stay_else_all_are_as_given)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, n = {.name = 'n'}, m = {.name = 'm'};
    const char *const needs[] = {"n"};
    exia_factory factory = factory_of(&a, "");
    exia_component_options options = {.struct_size = sizeof options,
                                      .needs = needs,
                                      .need_count = 1,
                                      .about = "{\"title\":\"A\"}",
                                      .max = 3};
    exia_component *c;
    add(pool, &n, 0, "", "");
    add(pool, &m, 0, "", "");
    check_ok(exia_pool_add(&c, pool, "a", &factory, &options, &err));
    b.need_count = 1;
    check_ok(replace(c, &b, 0, NULL, "", 0));
    check_calls("+n1 +b1 .a");
    json_t *row = row_of(pool, "a");
    char *text = json_dumps(row, JSON_COMPACT);
    assert_non_null(strstr(text, "\"about\":{\"title\":\"A\"},\"needs\":[\"n\"],\"max\":3"));
    free(text);
    json_decref(row);
    check_ok(replace(c, &a, 0, "m", "", 0));
    check_calls("+m1 +a1 ~b1 .b");
    row = row_of(pool, "a");
    text = json_dumps(row, JSON_COMPACT);
    assert_non_null(strstr(text, "\"about\":null,\"needs\":[\"m\"],\"max\":0"));
    free(text);
    json_decref(row);
    check_ok(exia_pool_clear(pool, &err));
    check_calls("~a1 ~m1 ~n1");
    exia_pool_free(pool);
}

/* ---- what was built with it ------------------------------------------------------------------ */

TEST(dependents_keep_the_old_object_until_they_go)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, d = {.name = 'd'};
    exia_component *c = add(pool, &a, 1, "", "-"), *user = add(pool, &b, 0, "a", "");
    exia_lease lease = borrow(user);
    thing *t = lease.object;
    check_ok(replace(c, &d, 0, NULL, "-", 0));
    exia_lease fresh = borrow(c); /* the old one takes no room */
    check_loans(c, "null b 0 old, tests/support/recorder.h null 0 new");
    give(lease);
    lease = borrow(user);
    assert_ptr_equal(lease.object, t);
    assert_int_equal(t->needs[0]->maker->name, 'a');
    check_calls("+a1 +b1 +d1");
    check_ok(exia_lease_discard(&lease, &err));
    check_calls("~b1 -a1 ~a1 .a");
    give(fresh);
    lease = borrow(user);
    t = lease.object;
    assert_int_equal(t->needs[0]->maker->name, 'd');
    exia_pool_free(pool);
    give(lease);
}

TEST(rebuild_makes_anew_whatever_was_built_with_it_idle_at_once_lent_at_the_next_borrow)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, d = {.name = 'd'}, e = {.name = 'e'},
             f = {.name = 'f'}, x = {.name = 'x'};
    exia_component *base = add(pool, &a, 0, "", ""), *mid = add(pool, &b, 2, "a", "-");
    exia_component *top = add(pool, &d, 0, "b", ""), *idle = add(pool, &e, 1, "a", "");
    exia_component *other = add(pool, &f, 0, "", "");
    exia_lease lease = borrow(top), lent = borrow(mid), apart = borrow(other);
    give(borrow(idle));
    check_calls("+a1 +b1 +d1 +b2 +f1 +e1");
    check_ok(replace(base, &x, 0, NULL, "", 1));
    check_calls("+x1 ~e1");
    check_loans(base, "null b 0 old, null b 0 old");
    check_loans(mid, "null d 0 old, tests/support/recorder.h null 0 old");
    exia_lease next = borrow(top);
    thing *t = next.object;
    assert_int_equal(t->needs[0]->needs[0]->maker->name, 'x');
    give(lent);
    check_calls("+b3 +d2 -b2 ~b2");
    give(lease);
    check_calls("~d1 -b1 ~b1 ~a1 .a");
    give(borrow(idle));
    exia_lease same = borrow(other);
    assert_ptr_equal(same.object, apart.object);
    check_calls("+e2");
    give(next);
    give(same);
    give(apart);
    check_ok(exia_pool_clear(pool, &err));
    check_calls("~e2 ~d2 -b3 ~b3 ~x1 ~f1");
    exia_pool_free(pool);
}

TEST(rebuild_goes_through_what_was_discarded_before)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, x = {.name = 'x'};
    exia_component *base = add(pool, &a, 0, "", ""), *top = add(pool, &b, 0, "a", "");
    exia_lease lease = borrow(base);
    give(borrow(top));
    check_ok(exia_lease_discard(&lease, &err)); /* top keeps it */
    give(borrow(base));
    check_calls("+a1 +b1 +a2");
    check_ok(replace(base, &x, 0, NULL, "", 1));
    check_calls("+x1 ~a2 ~b1 ~a1 .a");
    exia_pool_free(pool);
}

TEST(an_old_object_outlives_the_pool)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, x = {.name = 'x'};
    exia_component *c = add(pool, &a, 1, "", "-");
    exia_lease lease = borrow(c);
    check_ok(replace(c, &x, 0, NULL, "-", 0));
    exia_pool_free(pool);
    check_calls("+a1 +x1 ~x1");
    give(lease);
    check_calls("-a1 ~a1 .a .x");
}

TEST(a_need_that_the_old_objects_keep_for_life_cannot_come_for_the_new_one)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, n = {.name = 'n'}, x = {.name = 'x'};
    exia_component *c = add(pool, &a, 1, "n", "");
    add(pool, &n, 1, "", "");
    give(borrow(c));
    x.need_count = 1;
    check_fails(EXIA_ETIMEOUT, replace(c, &x, 0, NULL, "", 0));
    check_text("'n', needed by 'a': none can come, objects of 'a' keep all 1");
    check_ok(exia_pool_clear(pool, &err));
    check_ok(replace(c, &x, 0, NULL, "", 0));
    check_calls("+n1 +a1 ~a1 ~n1 +n2 +x1 .a");
    exia_pool_free(pool);
}

/* ---- from inside a factory ------------------------------------------------------------------- */

static recorder successor;

static void replace_inside(recorder *r)
{
    r->inside = NULL;
    r->status = replace(r->borrows, &successor, 0, NULL, "", 1);
}

TEST(a_factory_may_replace_its_own_component_and_others)
{
    for (int own = 0; own < 2; own++) {
        exia_pool *pool = open_pool();
        successor = (recorder){.name = 'x'};
        recorder a = {.name = 'a', .inside = replace_inside}, b = {.name = 'b'};
        exia_component *c = add(pool, &a, 1, "", ""), *other = add(pool, &b, 0, "", "");
        give(borrow(other));
        a.borrows = own ? c : other;
        exia_lease lease = borrow(c);
        assert_int_equal(((thing *)lease.object)->maker->name, 'a');
        check_calls(own ? "+b1 +a1 +x1" : "+b1 +a1 +x1 ~b1 .b");
        give(lease);
        lease = borrow(c);
        assert_int_equal(((thing *)lease.object)->maker->name, own ? 'x' : 'a');
        check_calls(own ? "~a1 .a" : "");
        give(lease);
        exia_pool_free(pool);
        called();
    }
}

TEST(a_factory_that_replaces_itself_for_ever_is_refused)
{
    exia_pool *pool = open_pool();
    successor = (recorder){.name = 'y'};
    recorder a = {.name = 'a'}, x = {.name = 'x', .inside = replace_inside};
    exia_component *c = add(pool, &a, 1, "", "");
    x.borrows = c;
    check_fails(EXIA_EINVAL, replace(c, &x, 0, NULL, "", 0));
    check_text("its new factory replaces it, and so on for ever");
    give(borrow(c));
    exia_pool_free(pool);
    check_calls("+x1 +a1 ~a1 .a");
}

/* ---- out of memory --------------------------------------------------------------------------- */

static exia_status replace_all(void *payload, exia_error *error)
{
    recorder *r = payload;
    exia_pool *pool = NULL;
    exia_component *c = NULL, *above = NULL;
    exia_rows *rows = NULL;
    exia_lease lease = {0}, lent = {0};
    const char *const need[] = {"base"}, *const other[] = {"other"};
    exia_factory factory = {
        .struct_size = sizeof factory, .create = create, .destroy = destroy, .payload = r};
    exia_component_options plain = {.struct_size = sizeof plain, .max = 2},
                           top = {.struct_size = sizeof top, .needs = need, .need_count = 1},
                           moved = {.struct_size = sizeof moved,
                                    .needs = other,
                                    .need_count = 1,
                                    .about = "{}"};
    exia_status rc = exia_pool_open(&pool, "test", error);
    if (rc == EXIA_OK)
        rc = exia_pool_add(&c, pool, "base", &factory, &plain, error);
    if (rc == EXIA_OK)
        rc = exia_pool_add(NULL, pool, "other", &factory, &plain, error);
    if (rc == EXIA_OK)
        rc = exia_pool_add(&above, pool, "top", &factory, &top, error);
    if (rc == EXIA_OK)
        rc = exia_component_borrow(&lease, above, 0, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_component_borrow(&lent, c, 0, NULL, error);
    if (rc == EXIA_OK) {
        rc = exia_component_replace(c, &factory, NULL, 1, error);
        if (rc < 0) { /* before */
            exia_error own;
            assert_int_equal(exia_lease_return(&lent, &own), EXIA_OK);
            lent.component = NULL;
        }
    }
    if (rc == EXIA_OK)
        rc = exia_component_replace(above, &factory, &moved, 0, error);
    if (rc == EXIA_OK)
        rc = exia_component_loans(&rows, c, error);
    if (lent.component != NULL)
        assert_int_equal(exia_lease_return(&lent, NULL), EXIA_OK);
    if (lease.component != NULL)
        assert_int_equal(exia_lease_return(&lease, NULL), EXIA_OK);
    exia_rows_free(rows);
    if (pool != NULL)
        assert_int_equal(exia_pool_close(pool, 0, NULL), EXIA_OK);
    exia_pool_free(pool);
    return rc;
}

TEST(each_allocation_of_a_replacement_may_fail)
{
    recorder r = {.name = 'r'};
    called();
    check_survives_no_memory(replace_all, &r);
}
