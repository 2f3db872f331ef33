/* The pool: bad input first, then the exact calls that factories see, waiting, needs, closing,
 * plugins, many threads, and memory that runs out.  A recorder stands for a factory: it writes what
 * is called into one text, "+a1" create, "!a1" activate, "?a1" validate, "-a1" passivate, "~a1"
 * destroy, ".a" release. */
#include <jansson.h>
#include <libgen.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "support/check.h"

typedef struct recorder recorder;
typedef struct thing {
    recorder *maker;
    int number;
    atomic_int users;
    struct thing *needs[8];
} thing;

struct recorder {
    char name;
    int made;
    const char *fails;  /* these calls fail: "+!?-" */
    const char *silent; /* ... without filling the error */
    size_t need_count;
    exia_pool *pool; /* for those that call back */
    exia_component *borrows;
    void (*inside)(recorder *r);
    exia_status status;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char calls[4096];

static const char *called(void)
{
    static char copy[sizeof calls];
    pthread_mutex_lock(&lock);
    memcpy(copy, calls, sizeof copy);
    calls[0] = '\0';
    pthread_mutex_unlock(&lock);
    return copy[0] == ' ' ? copy + 1 : copy;
}
#define check_calls(text) assert_string_equal(called(), text)

static exia_status record(recorder *r, char what, int number, exia_error *error)
{
    char text[32];
    snprintf(text, sizeof text, number ? " %c%c%d" : " %c%c", what, r->name, number);
    pthread_mutex_lock(&lock);
    if (strlen(calls) + sizeof text < sizeof calls)
        strcat(calls, text);
    pthread_mutex_unlock(&lock);
    if (r->silent && strchr(r->silent, what))
        return EXIA_EIO;
    if (r->fails == NULL || strchr(r->fails, what) == NULL)
        return EXIA_OK;
    error->status = EXIA_EUSER;
    error->native = 3;
    snprintf(error->text, sizeof error->text, "%c%c says no", what, r->name);
    return EXIA_EUSER;
}

static exia_status create(void **out, void *const *needs, void *payload, exia_error *error)
{
    recorder *r = payload;
    pthread_mutex_lock(&lock);
    int number = r->made + 1;
    pthread_mutex_unlock(&lock);
    exia_status rc = record(r, '+', number, error);
    if (rc == EXIA_OK && r->inside != NULL)
        r->inside(r);
    if (rc == EXIA_OK && r->status < 0) {
        error->status = r->status;
        snprintf(error->text, sizeof error->text, "inside: %.200s", err.text);
        rc = r->status;
    }
    if (rc < 0)
        return rc;
    thing *t = calloc(1, sizeof *t);
    pthread_mutex_lock(&lock);
    t->number = ++r->made;
    pthread_mutex_unlock(&lock);
    t->maker = r;
    for (size_t i = 0; i < r->need_count; i++)
        t->needs[i] = needs[i];
    *out = t;
    return EXIA_OK;
}

static exia_status activate(void *object, void *payload, exia_error *error)
{
    return record(payload, '!', ((thing *)object)->number, error);
}

static exia_status passivate(void *object, void *payload, exia_error *error)
{
    return record(payload, '-', ((thing *)object)->number, error);
}

static exia_status validate(void *object, void *payload, exia_error *error)
{
    return record(payload, '?', ((thing *)object)->number, error);
}

static void destroy(void *object, void *payload)
{
    record(payload, '~', ((thing *)object)->number, NULL);
    free(object);
}

static void release(void *payload)
{
    record(payload, '.', 0, NULL);
}

static exia_pool *open_pool(void)
{
    exia_pool *pool = NULL;
    called();
    check_ok(exia_pool_open(&pool, "test", &err));
    return pool;
}

/* `which` lists the optional functions: "!?-"; `needs` has one letter a need. */
static exia_status try_add(exia_component **out, exia_pool *pool, recorder *r, uint32_t max,
                           const char *needs, const char *which)
{
    char name[] = {r->name, '\0'}, letters[8][2];
    const char *names[8];
    r->need_count = strlen(needs);
    for (size_t i = 0; i < r->need_count; i++) {
        letters[i][0] = needs[i];
        letters[i][1] = '\0';
        names[i] = letters[i];
    }
    exia_factory factory = {.struct_size = sizeof factory,
                            .create = create,
                            .activate = strchr(which, '!') ? activate : NULL,
                            .validate = strchr(which, '?') ? validate : NULL,
                            .passivate = strchr(which, '-') ? passivate : NULL,
                            .destroy = destroy,
                            .release = release,
                            .payload = r};
    exia_component_options options = {sizeof options, names, r->need_count, NULL, max};
    return exia_pool_add(out, pool, name, &factory, &options, &err);
}

static exia_component *add(exia_pool *pool, recorder *r, uint32_t max, const char *needs,
                           const char *which)
{
    exia_component *component = NULL;
    check_ok(try_add(&component, pool, r, max, needs, which));
    return component;
}

static exia_lease borrow(exia_component *component)
{
    exia_lease lease;
    check_ok(exia_component_borrow(&lease, component, 0, EXIA_HERE, &err));
    return lease;
}

static void give(exia_lease lease)
{
    check_ok(exia_lease_return(&lease, &err));
}

static json_t *row_of(exia_pool *pool, const char *name)
{
    exia_rows *rows = NULL;
    const char *text;
    json_t *found = NULL;
    check_ok(exia_pool_list(&rows, pool, &err));
    while (exia_rows_next(&text, rows, &err) == EXIA_OK) {
        json_t *row = json_loads(text, 0, NULL);
        if (strcmp(json_string_value(json_object_get(row, "name")), name) == 0)
            found = row;
        else
            json_decref(row);
    }
    exia_rows_free(rows);
    assert_non_null(found);
    return found;
}

static long long number_of(exia_pool *pool, const char *name, const char *key)
{
    json_t *row = row_of(pool, name);
    long long number = json_integer_value(json_object_get(row, key));
    json_decref(row);
    return number;
}

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

/* ---- needs ---------------------------------------------------------------------------------- */

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
        exia_component_options options = {sizeof options, needs, i > 0, NULL, i % 2 ? 3 : 0};
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
    exia_component_options options = {sizeof options, needs, 1, "{\"title\": \"B\"}", 5};
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
                        "\"built\":1,\"lent\":2,\"waiting\":0,\"hits\":2}");
    check_ok(exia_rows_next(&text, rows, &err));
    assert_string_equal(text, "{\"name\":\"b\",\"about\":{\"title\":\"B\"},\"needs\":[\"a\"],"
                              "\"max\":5,\"shared\":false,\"built\":2,\"lent\":1,\"waiting\":0,"
                              "\"hits\":2}");
    check_done(exia_rows_next(&text, rows, &err));
    exia_rows_free(rows);
    give(lease);
    exia_pool_free(pool);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

TEST(a_wait_ends_in_time)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 2, "", "");
    exia_lease one = borrow(c), two = borrow(c), three;
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&three, c, 0, NULL, &err));
    check_text("none of 2 came back");
    int64_t began = now_ms();
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&three, c, 30, NULL, &err));
    assert_true(now_ms() - began >= 29);
    give(one);
    check_ok(exia_component_borrow(&three, c, INT64_MAX, NULL, &err));
    assert_int_equal(number_of(pool, "a", "built"), 2);
    give(two);
    give(three);
    exia_pool_free(pool);
}

TEST(an_absurd_maximum_costs_nothing_before_it_is_used)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, UINT32_MAX, "", "");
    exia_lease leases[1000];
    for (int i = 0; i < 1000; i++) {
        leases[i] = borrow(c);
        for (int k = 0; k < i; k += 100)
            assert_ptr_not_equal(leases[k].object, leases[i].object);
    }
    for (int i = 0; i < 1000; i++)
        give(leases[i]);
    check_fails(EXIA_EINVAL, exia_lease_return(&leases[500], &err));
    exia_pool_free(pool);
}

typedef struct borrower {
    pthread_t thread;
    exia_component *component;
    int64_t wait_ms;
    exia_lease lease;
    exia_status rc;
    exia_error err;
    int number;
    atomic_int ended;
} borrower;
static char served[64];

static void *borrow_in_thread(void *payload)
{
    borrower *b = payload;
    b->rc = exia_component_borrow(&b->lease, b->component, b->wait_ms, "thread", &b->err);
    if (b->rc == EXIA_OK) {
        pthread_mutex_lock(&lock);
        char text[] = {(char)('0' + b->number), '\0'};
        strcat(served, text);
        pthread_mutex_unlock(&lock);
    }
    if (b->rc == EXIA_OK)
        b->rc = exia_lease_return(&b->lease, &b->err);
    atomic_store(&b->ended, 1);
    return NULL;
}

static void await(exia_pool *pool, const char *name, const char *key, long long wanted)
{
    struct timespec moment = {.tv_nsec = 200000};
    while (number_of(pool, name, key) != wanted)
        nanosleep(&moment, NULL);
}

static void start(borrower *b, exia_component *c, int64_t wait_ms)
{
    b->component = c;
    b->wait_ms = wait_ms;
    assert_int_equal(pthread_create(&b->thread, NULL, borrow_in_thread, b), 0);
}

TEST(who_waits_is_served_in_order_of_arrival)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c), other;
    borrower b[4] = {{.number = 0}};
    served[0] = '\0';
    for (int i = 0; i < 4; i++) {
        b[i].number = i;
        start(&b[i], c, -1);
        await(pool, "a", "waiting", i + 1);
    }
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&other, c, 0, NULL, &err));
    give(lease);
    for (int i = 0; i < 4; i++)
        pthread_join(b[i].thread, NULL);
    assert_string_equal(served, "0123");
    assert_int_equal(a.made, 1);
    exia_pool_free(pool);
}

TEST(who_leaves_the_queue_holds_up_nobody)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c);
    borrower first = {.number = 1}, impatient = {.number = 9}, last = {.number = 2};
    struct timespec moment = {.tv_nsec = 200000};
    served[0] = '\0';
    start(&impatient, c, 100);
    while (number_of(pool, "a", "waiting") < 1 && !atomic_load(&impatient.ended))
        nanosleep(&moment, NULL);
    start(&first, c, -1);
    while (number_of(pool, "a", "waiting") < 2 && !atomic_load(&impatient.ended))
        nanosleep(&moment, NULL);
    pthread_join(impatient.thread, NULL); /* it was the head */
    assert_int_equal(impatient.rc, EXIA_ETIMEOUT);
    await(pool, "a", "waiting", 1);
    start(&last, c, -1);
    await(pool, "a", "waiting", 2);
    give(lease);
    pthread_join(first.thread, NULL);
    pthread_join(last.thread, NULL);
    assert_string_equal(served, "12");
    exia_pool_free(pool);
}

TEST(a_discard_frees_the_room_and_wakes_who_waits)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    exia_component *c = add(pool, &a, 1, "", "");
    exia_lease lease = borrow(c);
    borrower b = {0};
    start(&b, c, -1);
    await(pool, "a", "waiting", 1);
    check_ok(exia_lease_discard(&lease, &err));
    pthread_join(b.thread, NULL);
    assert_int_equal(b.rc, EXIA_OK);
    check_calls("+a1 ~a1 +a2");
    exia_pool_free(pool);
}

static int held;
static void hold(recorder *r)
{
    (void)r;
    pthread_mutex_lock(&lock);
    held = 2; /* here it is */
    pthread_cond_broadcast(&changed);
    while (held != 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
static void await_held(void)
{
    pthread_mutex_lock(&lock);
    while (held != 2)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
static void let_go(void)
{
    pthread_mutex_lock(&lock);
    held = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

TEST(a_slow_factory_holds_no_lock)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold}, b = {.name = 'b'};
    exia_component *slow = add(pool, &a, 0, "", ""), *quick = add(pool, &b, 1, "", "");
    borrower first = {0}, second = {0};
    exia_lease lease;
    held = 1;
    start(&first, slow, -1);
    await_held();
    give(borrow(quick));
    check_fails(EXIA_ETIMEOUT, exia_component_borrow(&lease, slow, 0, NULL, &err));
    check_text("another call still builds it");
    check_ok(exia_pool_clear(pool, &err));
    start(&second, slow, -1);
    await(pool, "a", "waiting", 1);
    let_go();
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    assert_int_equal(first.rc, EXIA_OK);
    assert_int_equal(second.rc, EXIA_OK);
    assert_int_equal(a.made, 1);
    exia_pool_free(pool);
}

TEST(when_a_build_fails_the_next_in_the_queue_builds)
{
    for (uint32_t max = 0; max < 2; max++) {
        exia_pool *pool = open_pool();
        recorder a = {.name = 'a', .inside = hold, .status = EXIA_EIO};
        exia_component *c = add(pool, &a, max, "", "");
        borrower b[4] = {{.number = 0}};
        held = 1;
        start(&b[0], c, -1);
        await_held();
        for (int i = 1; i < 4; i++) {
            start(&b[i], c, -1);
            await(pool, "a", "waiting", i);
        }
        a.inside = NULL;
        let_go();
        for (int i = 0; i < 4; i++) {
            pthread_join(b[i].thread, NULL);
            assert_int_equal(b[i].rc, EXIA_EIO);
        }
        a.status = EXIA_OK;
        give(borrow(c));
        exia_pool_free(pool);
    }
}

static void borrow_inside(recorder *r)
{
    exia_lease lease;
    r->status = exia_component_borrow(&lease, r->borrows, -1, NULL, &err);
    if (r->status == EXIA_OK)
        r->status = exia_lease_return(&lease, &err);
}

TEST(a_factory_may_borrow_from_its_own_pool_but_not_what_it_builds)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = borrow_inside}, b = {.name = 'b'},
             c = {.name = 'c', .inside = borrow_inside};
    exia_component *first = add(pool, &a, 0, "", ""), *second = add(pool, &b, 1, "", "");
    exia_component *third = add(pool, &c, 1, "", "");
    exia_lease lease;
    a.borrows = second;
    give(borrow(first));
    check_calls("+a1 +b1");
    c.borrows = third;
    check_fails(EXIA_ECYCLE, exia_component_borrow(&lease, third, -1, NULL, &err));
    check_text("waits, in the end, for this very call");
    give(borrow(second));
    exia_pool_free(pool);
}

static void borrow_when_both_hold(recorder *r)
{
    pthread_mutex_lock(&lock);
    held++;
    pthread_cond_broadcast(&changed);
    while (held < 2)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    exia_lease lease;
    exia_error own;
    r->status = exia_component_borrow(&lease, r->borrows, -1, NULL, &own);
    if (r->status == EXIA_OK)
        r->status = exia_lease_return(&lease, NULL);
}

TEST(two_builds_that_wait_for_one_another_end_with_an_error)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = borrow_when_both_hold},
             b = {.name = 'b', .inside = borrow_when_both_hold};
    exia_component *first = add(pool, &a, 0, "", ""), *second = add(pool, &b, 1, "", "");
    borrower x = {0}, y = {0};
    a.borrows = second;
    b.borrows = first;
    held = 0;
    start(&x, first, -1);
    start(&y, second, -1);
    pthread_join(x.thread, NULL);
    pthread_join(y.thread, NULL);
    assert_true((x.rc == EXIA_ECYCLE) != (y.rc == EXIA_ECYCLE) || x.rc == y.rc);
    assert_true(x.rc == EXIA_ECYCLE || y.rc == EXIA_ECYCLE);
    exia_pool_free(pool);
}

TEST(who_waits_for_what_a_build_takes_for_life_is_told)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold}, b = {.name = 'b'};
    exia_component *top = add(pool, &a, 0, "b", ""), *need = add(pool, &b, 1, "", "");
    borrower builder = {0}, waiter = {0};
    held = 1;
    start(&builder, top, -1);
    await_held();
    start(&waiter, need, -1);
    await(pool, "b", "waiting", 1);
    let_go();
    pthread_join(builder.thread, NULL);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(builder.rc, EXIA_OK);
    assert_int_equal(waiter.rc, EXIA_ETIMEOUT);
    assert_non_null(strstr(waiter.err.text, "objects of 'a' keep all 1"));
    exia_pool_free(pool);
}

/* ---- the end -------------------------------------------------------------------------------- */

TEST(close_names_what_is_out_and_its_return_does_the_rest)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    exia_component *one = add(pool, &a, 1, "", ""), *two = add(pool, &b, 0, "c", "");
    add(pool, &c, 1, "", "-");
    exia_lease lease = borrow(one), shared = {0};
    check_ok(exia_component_borrow(&shared, two, 0, NULL, &err));
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err));
    check_text("pool test: 2 loans are out: 'a' taken at tests/test_pool.c:");
    check_text(", 'b'");
    exia_lease more;
    check_fails(EXIA_ECLOSED, exia_component_borrow(&more, one, -1, NULL, &err));
    check_text("pool test is closed");
    check_fails(EXIA_ECLOSED, exia_component_borrow(&more, two, -1, NULL, &err));
    check_calls("+a1 +c1 +b1");
    give(shared);
    check_calls("~b1 -c1 ~c1");
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 10, &err));
    check_text("1 loan is out");
    give(lease);
    check_calls("~a1");
    check_ok(exia_pool_close(pool, -1, &err));
    check_ok(exia_pool_clear(pool, &err));
    exia_pool_free(pool);
    check_calls(".c .b .a");
}

static void *close_in_thread(void *payload)
{
    exia_error own;
    return (void *)(intptr_t)(exia_pool_close(payload, -1, &own) == EXIA_OK);
}

TEST(close_sends_away_who_waits_and_destroys_in_reverse_order_of_building)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    exia_component *needed = add(pool, &a, 1, "", ""), *free_one = add(pool, &b, 2, "", "");
    exia_component *top = add(pool, &c, 0, "a", "");
    (void)needed;
    exia_lease lease = borrow(top), early = borrow(free_one), late = borrow(free_one);
    borrower waiter = {0};
    pthread_t closer;
    void *closed;
    start(&waiter, free_one, -1);
    await(pool, "b", "waiting", 1);
    pthread_create(&closer, NULL, close_in_thread, pool);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(waiter.rc, EXIA_ECLOSED);
    give(early);
    give(lease);
    give(late);
    pthread_join(closer, &closed);
    assert_non_null(closed);
    check_calls("+a1 +c1 +b1 +b2 ~b2 ~b1 ~c1 ~a1");
    exia_pool_free(pool);
}

TEST(a_pool_freed_with_loans_out_lives_until_the_last_return)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, b = {.name = 'b'};
    exia_component *c = add(pool, &a, 2, "b", "-"), *need = add(pool, &b, 0, "", "");
    exia_lease one = borrow(c), two = borrow(c), three = borrow(need);
    exia_pool_free(pool);
    check_calls("+b1 +a1 +a2");
    give(three);
    give(one);
    check_calls("-a1 ~a1");
    check_fails(EXIA_EINVAL, exia_lease_return(&one, &err));
    check_ok(exia_lease_discard(&two, &err));
    check_calls("~a2 ~b1 .b .a");
}

static void close_inside(recorder *r)
{
    r->status = exia_pool_close(r->pool, -1, &err);
}

static void free_inside(recorder *r)
{
    exia_pool_free(r->pool);
}

TEST(a_factory_that_closes_its_pool_is_refused_and_may_free_it)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = close_inside, .pool = pool},
             b = {.name = 'b', .inside = free_inside, .pool = pool};
    exia_component *c = add(pool, &a, 1, "", ""), *d = add(pool, &b, 1, "", "");
    exia_lease lease;
    check_fails(EXIA_EINVAL, exia_component_borrow(&lease, c, -1, NULL, &err));
    check_text("would wait for itself");
    check_fails(EXIA_ECLOSED, exia_component_borrow(&lease, d, -1, NULL, &err));
    check_calls("+a1 +b1 ~b1 .b .a");
}

TEST(a_close_during_a_build_waits_for_it_and_the_builder_gets_nothing)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a', .inside = hold};
    exia_component *c = add(pool, &a, 0, "", "");
    borrower b = {0};
    pthread_t closer;
    void *closed;
    held = 1;
    start(&b, c, -1);
    await_held();
    check_fails(EXIA_ETIMEOUT, exia_pool_close(pool, 0, &err));
    check_text("1 other call is under way");
    pthread_create(&closer, NULL, close_in_thread, pool);
    let_go();
    pthread_join(b.thread, NULL);
    pthread_join(closer, &closed);
    assert_non_null(closed);
    assert_int_equal(b.rc, EXIA_ECLOSED);
    check_calls("+a1 ~a1");
    exia_pool_free(pool);
}

/* ---- plugins -------------------------------------------------------------------------------- */

EXIA_API extern const char *plugin_mode;
EXIA_API extern int plugin_released;
const char *plugin_mode = "";
int plugin_released;

static const char *plugin(const char *name)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(size > 0);
    self[size] = '\0';
    return check_format("%s/plugin_%s.so", dirname(self), name);
}

TEST(a_plugin_adds_its_components)
{
    exia_pool *pool = open_pool();
    plugin_mode = "";
    plugin_released = 0;
    check_ok(exia_pool_load(pool, plugin("counter"), &err));
    exia_lease lease = borrow(exia_pool_find(pool, "plugin_two"));
    assert_int_equal(*(int *)lease.object, 42);
    give(lease);
    check_fails(EXIA_EEXISTS, exia_pool_load(pool, plugin("counter"), &err));
    check_text("plugin 'plugin_counter.so': pool test has a component plugin_one already");
    assert_int_equal(plugin_released, 2);
    give(borrow(exia_pool_find(pool, "plugin_two")));
    exia_pool_free(pool);
    assert_int_equal(plugin_released, 4);
}

TEST(a_plugin_that_fails_half_way_leaves_nothing_behind)
{
    static const struct {
        const char *mode;
        exia_status status;
        int released;
        const char *text;
    } cases[] = {
        {"half", EXIA_EUSER, 1, "half of it is enough"},
        {"silent", EXIA_EIO, 1, "plugin 'plugin_counter.so': the system failed"},
        {"ignores", EXIA_EINVAL, 2, "not a name"},
        {"twice", EXIA_EEXISTS, 2, "plugin_one"},
        {"cycle", EXIA_ECYCLE, 2, "'plugin_two'"},
    };
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    add(pool, &a, 0, "", "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plugin_mode = cases[i].mode;
        plugin_released = 0;
        check_fails(cases[i].status, exia_pool_load(pool, plugin("counter"), &err));
        check_text(cases[i].text);
        assert_int_equal(plugin_released, cases[i].released);
        assert_null(exia_pool_find(pool, "plugin_one"));
        assert_null(exia_pool_find(pool, "plugin_two"));
        exia_dag *plan;
        check_ok(exia_pool_plan(&plan, pool, &err));
        assert_int_equal(exia_dag_node_count(plan), 1);
        exia_dag_free(plan);
    }
    plugin_mode = "";
    check_ok(exia_pool_load(pool, plugin("counter"), &err)); /* and may come later */
    check_ok(exia_pool_close(pool, 0, &err));
    check_fails(EXIA_ECLOSED, exia_pool_load(pool, plugin("counter"), &err));
    exia_pool_free(pool);
}

TEST(what_is_no_plugin_is_refused)
{
    exia_pool *pool = open_pool();
    check_fails(EXIA_ENOTFOUND, exia_pool_load(pool, "/nowhere/plugin.so", &err));
    check_text("/nowhere/plugin.so");
    check_fails(EXIA_EINVAL, exia_pool_load(pool, plugin("empty"), &err));
    check_text("plugin_empty.so");
    check_text("exia_plugin_entry");
    check_write_file(check_path("text.so"), "hello", 5);
    check_fails(EXIA_EINVAL, exia_pool_load(pool, check_path("text.so"), &err));
    check_text("text.so");
    exia_pool_free(pool);
}

/* ---- many threads --------------------------------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 400, COMPONENTS = 5 };
typedef struct crowd {
    pthread_t thread;
    exia_pool *pool;
    exia_component **components;
    uint32_t seed;
    int loans, strange;
} crowd;
static atomic_int alive, most_alive[COMPONENTS], alive_of[COMPONENTS];
static const uint32_t limits[COMPONENTS] = {0, 2, 3, 0, 4};

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

typedef struct item {
    int component;
    atomic_int users;
    atomic_int gone;
} item;

static exia_status make_item(void **out, void *const *needs, void *payload, exia_error *error)
{
    static atomic_uint turn;
    int component = (int)(intptr_t)payload;
    if (atomic_fetch_add(&turn, 1) % 7 == 3) {
        error->status = EXIA_EUSER;
        strcpy(error->text, "now and then");
        return EXIA_EUSER;
    }
    if (component == 3 && needs[0] == NULL)
        return EXIA_EIO;
    item *i = calloc(1, sizeof *i);
    i->component = component;
    atomic_fetch_add(&alive, 1);
    int now = atomic_fetch_add(&alive_of[component], 1) + 1;
    if (now > atomic_load(&most_alive[component]))
        atomic_store(&most_alive[component], now);
    *out = i;
    return EXIA_OK;
}

static exia_status check_item(void *object, void *payload, exia_error *error)
{
    static atomic_uint turn;
    (void)payload;
    (void)object;
    if (atomic_fetch_add(&turn, 1) % 11 != 5)
        return EXIA_OK;
    error->status = EXIA_EUSER;
    strcpy(error->text, "worn out");
    return EXIA_EUSER;
}

static void end_item(void *object, void *payload)
{
    item *i = object;
    (void)payload;
    atomic_fetch_sub(&alive_of[i->component], 1);
    atomic_fetch_sub(&alive, 1);
    free(i);
}

static void *use_pool(void *payload)
{
    crowd *t = payload;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t dice = next_random(&t->seed);
        int which = (int)(dice % COMPONENTS);
        exia_lease lease, again;
        exia_error own;
        if (dice % 97 == 0)
            exia_pool_clear(t->pool, &own);
        exia_status rc =
            exia_component_borrow(&lease, t->components[which], dice % 5 ? 50 : 0, "crowd", &own);
        if (rc < 0) {
            t->strange += rc != EXIA_EUSER && rc != EXIA_ETIMEOUT && rc != EXIA_ECYCLE;
            continue;
        }
        item *i = lease.object;
        int users = atomic_fetch_add(&i->users, 1);
        t->strange += limits[which] > 0 && users != 0; /* nobody else has it */
        t->strange += i->component != which;
        atomic_fetch_sub(&i->users, 1);
        t->loans++;
        again = lease;
        rc = dice % 13 ? exia_lease_return(&lease, &own) : exia_lease_discard(&lease, &own);
        t->strange += rc != EXIA_OK;
        t->strange += exia_lease_return(&again, &own) != EXIA_EINVAL;
    }
    return NULL;
}

TEST(a_crowd_shares_a_pool_without_overlap_or_loss)
{
    static const char *const names[COMPONENTS] = {"c0", "c1", "c2", "c3", "c4"};
    exia_pool *pool = open_pool();
    exia_component *components[COMPONENTS];
    crowd crowds[THREADS];
    atomic_store(&alive, 0);
    for (int i = 0; i < COMPONENTS; i++) {
        exia_factory factory = {.struct_size = sizeof factory,
                                .create = make_item,
                                .destroy = end_item,
                                .payload = (void *)(intptr_t)i};
        exia_component_options options = {.struct_size = sizeof options, .max = limits[i]};
        if (i == 4)
            factory.validate = check_item;
        if (i == 2 || i == 3) { /* c2 and c3 each keep a c1 or c0 */
            options.needs = i == 2 ? &names[0] : &names[1];
            options.need_count = 1;
        }
        check_ok(exia_pool_add(&components[i], pool, names[i], &factory, &options, &err));
    }
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){.pool = pool, .components = components, .seed = 77u + (uint32_t)i};
        pthread_create(&crowds[i].thread, NULL, use_pool, &crowds[i]);
    }
    int loans = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(crowds[i].thread, NULL);
        assert_int_equal(crowds[i].strange, 0);
        loans += crowds[i].loans;
    }
    assert_true(loans > THREADS * ROUNDS / 4);
    for (int i = 0; i < COMPONENTS; i++) {
        assert_int_equal(number_of(pool, names[i], "waiting"), 0);
        assert_int_equal(number_of(pool, names[i], "built"), atomic_load(&alive_of[i]));
        assert_true(limits[i] == 0 || atomic_load(&most_alive[i]) <= (int)limits[i]);
    }
    check_ok(exia_pool_close(pool, 0, &err));
    assert_int_equal(atomic_load(&alive), 0);
    exia_pool_free(pool);
}

typedef struct racer {
    pthread_t thread;
    const exia_lease *lease;
    atomic_int *go;
    int won;
} racer;

static void *return_it(void *payload)
{
    racer *r = payload;
    exia_error own;
    atomic_fetch_sub(r->go, 1);
    while (atomic_load(r->go) > 0)
        continue;
    exia_lease lease = *r->lease;
    r->won = exia_lease_return(&lease, &own) == EXIA_OK;
    return NULL;
}

TEST(of_many_returns_at_once_exactly_one_counts)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'};
    exia_component *both[] = {add(pool, &a, 1, "", "-"), add(pool, &s, 0, "", "")};
    for (int round = 0; round < 40; round++) {
        exia_lease lease = borrow(both[round % 2]);
        racer racers[2];
        atomic_int go = 2;
        for (int i = 0; i < 2; i++) {
            racers[i] = (racer){.lease = &lease, .go = &go};
            pthread_create(&racers[i].thread, NULL, return_it, &racers[i]);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(racers[i].thread, NULL);
        assert_int_equal(racers[0].won + racers[1].won, 1);
    }
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
    exia_component_options top = {sizeof top, needs, 2, "{}", 3}, plain = {.struct_size = sizeof plain};
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

static exia_status load_plugin(void *payload, exia_error *error)
{
    exia_pool *pool = NULL;
    exia_status rc = exia_pool_open(&pool, "test", error);
    if (rc == EXIA_OK)
        rc = exia_pool_load(pool, payload, error);
    if (rc < 0 && pool != NULL)
        assert_null(exia_pool_find(pool, "plugin_one"));
    exia_pool_free(pool);
    return rc;
}

TEST(a_plugin_is_there_or_not_when_memory_is_out)
{
    plugin_mode = "";
    check_survives_no_memory(load_plugin, (char *)(intptr_t)plugin("counter"));
}
