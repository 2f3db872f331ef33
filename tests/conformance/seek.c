/* What every store of records must do when records are sought by their rows, with an index or by a
 * scan: all that hold are told, once each, and where it says so in order. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "conformance/conformance.h"

const char conformance_seek = 1;

enum { RECORDS = 600 };

static exia__records *open_records(void)
{
    exia__records *records = NULL;
    check_ok(exia__records_open(&records, conformance.url("a"), EXIA_STORE_WRITE, NULL, &err));
    return records;
}

static void put(exia__records *records, const char *key, const char *json)
{
    check_ok(exia__records_put(NULL, records, "version", key, json, EXIA_ANY, NULL, NULL, &err));
}

/* ---- a store with many rows, and what is in it ---------------------------------------------- */

typedef struct item {
    char key[24], json[400];
    json_t *mixed; /* the member /mixed; NULL: none */
    int number, age;
    unsigned told;
} item;

static const char *const literals[] = {"1",     "2.5",   "-3",    "9007199254740993", "0.1",
                                       "\"\"",  "\"a\"", "\"b\"", "\"\xc3\xa4\"",     "true",
                                       "false", "1e300", "1.0"};
enum { LITERALS = sizeof literals / sizeof *literals };

/* Some records share an age, many a value, some have no member "mixed", some no row at all. */
static item *fill(exia__records *records)
{
    item *items = calloc(RECORDS, sizeof *items);
    exia_put *puts = calloc(RECORDS, sizeof *puts);
    assert_non_null(items);
    assert_non_null(puts);
    for (int i = 0; i < RECORDS; i++) {
        item *one = &items[i];
        char mixed[64] = "";
        int which = i * 7 % (LITERALS + 3);
        one->number = i % 400;
        one->age = -(i / 2);
        if (which < LITERALS) {
            one->mixed = json_loads(literals[which], JSON_DECODE_ANY, NULL);
            snprintf(mixed, sizeof mixed, "\"mixed\":%s,", literals[which]);
        } else if (which == LITERALS) {
            snprintf(mixed, sizeof mixed, "\"mixed\":null,");
        }
        snprintf(one->key, sizeof one->key, "%s/%d", i % 5 ? "m" : "n", 1000 + i);
        snprintf(one->json, sizeof one->json,
                 "{\"age\":%d,\"row\":{%s\"in\":{\"a/b~c.d\":%d},\"list\":[1]}}", one->age, mixed,
                 one->number);
        puts[i] = (exia_put){"version", one->key, one->json, EXIA_ANY, NULL};
    }
    check_ok(exia__records_batch(records, puts, RECORDS, NULL, &err));
    put(records, "m/none", "{\"age\":1}");
    put(records, "m/text", "{\"age\":1,\"row\":\"no object\"}");
    put(records, "m/old", "{\"age\":\"1\",\"row\":{\"mixed\":1}}");
    check_ok(exia__records_put(NULL, records, "other", "m/1000",
                               "{\"age\":1,\"row\":{\"mixed\":1}}", EXIA_ANY, NULL, NULL, &err));
    free(puts);
    return items;
}

static void empty(item *items)
{
    for (int i = 0; i < RECORDS; i++)
        json_decref(items[i].mixed);
    free(items);
}

/* What the contract says, by the plainest code. */
static int type_of(const json_t *value)
{
    return json_is_number(value) ? 0 : json_is_string(value) ? 1 : json_is_boolean(value) ? 2 : 3;
}

static int compare(const json_t *a, const json_t *b)
{
    if (type_of(a) != type_of(b))
        return type_of(a) - type_of(b);
    if (json_is_string(a))
        return strcmp(json_string_value(a), json_string_value(b));
    if (json_is_boolean(a))
        return json_is_true(a) - json_is_true(b);
    if (json_is_integer(a) && json_is_integer(b))
        return (json_integer_value(a) > json_integer_value(b)) -
               (json_integer_value(a) < json_integer_value(b));
    return (json_number_value(a) > json_number_value(b)) -
           (json_number_value(a) < json_number_value(b));
}

static int holds(const json_t *value, const exia_range *range)
{
    int good = value != NULL;
    const char *const texts[] = {range->low, range->high};
    for (int i = 0; i < 2 && good; i++) {
        json_t *bound = texts[i] ? json_loads(texts[i], JSON_DECODE_ANY, NULL) : NULL;
        if (bound != NULL)
            good = type_of(bound) == type_of(value) &&
                   (i == 0 ? compare(value, bound) >= 0 : compare(value, bound) <= 0);
        json_decref(bound);
    }
    return good;
}

/* ---- listening ------------------------------------------------------------------------------ */

typedef struct listener {
    item *items;
    const exia_seek *seek;
    const item *before; /* told last */
    int ordered, count;
} listener;

static exia_status hear(const char *key, const char *json, int64_t revision, void *payload,
                        exia_error *error)
{
    listener *now = payload;
    size_t size = strlen(now->seek->prefix);
    int at = atoi(key + 2) - 1000;
    if (strncmp(key, now->seek->prefix, size) != 0 || revision <= 0)
        return exia__fail(error, EXIA_EUSER, 0, "%s was not asked for", key);
    if (at < 0 || at >= RECORDS)
        return now->ordered ? exia__fail(error, EXIA_EUSER, 0, "%s has no row", key) : EXIA_OK;
    item *one = &now->items[at];
    if (strcmp(one->key, key) != 0 || strcmp(one->json, json) != 0 || one->told++)
        return exia__fail(error, EXIA_EUSER, 0, "%s is another one, or comes again", key);
    int way = now->seek->descending ? -1 : 1, order = 0;
    if (now->ordered && now->seek->order != NULL) {
        if (one->mixed == NULL || json_is_null(one->mixed))
            return exia__fail(error, EXIA_EUSER, 0, "%s has nothing to be ordered by", key);
        if (now->before != NULL && type_of(now->before->mixed) == type_of(one->mixed))
            order = way * compare(now->before->mixed, one->mixed);
        else if (now->before != NULL)
            order = type_of(now->before->mixed) - type_of(one->mixed);
    }
    if (now->ordered && now->before != NULL &&
        (order > 0 || (order == 0 && now->before->age > one->age)))
        return exia__fail(error, EXIA_EUSER, 0, "%s comes too late", key);
    now->before = one;
    now->count++;
    return EXIA_OK;
}

static void check_seek(exia__records *records, item *items, const exia_seek *seek)
{
    listener now = {.items = items, .seek = seek};
    for (int i = 0; i < RECORDS; i++)
        items[i].told = 0;
    check_ok(exia__records_seek(&now.ordered, records, seek, hear, &now, NULL, &err));
    for (int i = 0; i < RECORDS; i++) {
        const item *one = &items[i];
        int wanted = strncmp(one->key, seek->prefix, strlen(seek->prefix)) == 0;
        json_t *number = json_integer(one->number);
        for (size_t k = 0; k < seek->range_count; k++)
            wanted =
                wanted && holds(strcmp(seek->ranges[k].path, "/mixed") == 0 ? one->mixed : number,
                                &seek->ranges[k]);
        if (now.ordered && seek->order != NULL)
            wanted = wanted && type_of(one->mixed) < 3;
        json_decref(number);
        if (wanted && !one->told)
            fail_msg("%s is not told: order %s, %zu ranges", one->json,
                     seek->order ? seek->order : "by age", seek->range_count);
    }
}

TEST(a_seek_tells_all_that_hold_once_and_in_order)
{
    exia__records *records = open_records();
    item *items = fill(records);
    const char *const prefixes[] = {"", "m/", "n/", "m/1", "none/"};
    unsigned seed = 7;
    for (int i = 0; i < 400; i++) {
        exia_range ranges[2];
        exia_seek seek = {.kind = "version", .ranges = ranges};
        char low[24], high[24];
        seek.prefix = prefixes[(seed = seed * 1103515245u + 12345u) >> 16 & 3];
        seek.order = seed >> 20 & 1 ? "/mixed" : NULL;
        seek.descending = seed >> 21 & 1;
        seek.limit = seed >> 26 & 1;
        if (seed >> 22 & 1) {
            unsigned a = (seed >> 8) % LITERALS, b = (seed >> 12) % LITERALS;
            exia_range *range = &ranges[seek.range_count++];
            *range = (exia_range){"/mixed", literals[a], seed >> 23 & 1 ? literals[a] : NULL};
            if (seed >> 24 & 1)
                *range = (exia_range){"/mixed", NULL, literals[b]};
        }
        if (seed >> 25 & 1) {
            unsigned from = (seed >> 6) % 400;
            snprintf(low, sizeof low, "%u", from);
            snprintf(high, sizeof high, "%u.5", from + (seed >> 10) % 300);
            ranges[seek.range_count++] = (exia_range){"/in/a~1b~0c.d", low, high};
        }
        check_seek(records, items, &seek);
    }
    exia_seek nowhere = {.kind = "version", .prefix = prefixes[4], .order = "/mixed"};
    check_seek(records, items, &nowhere);
    empty(items);
    exia__records_free(records);
}

/* ---- changes -------------------------------------------------------------------------------- */

static exia_status join(const char *key, const char *json, int64_t revision, void *payload,
                        exia_error *error)
{
    const char **all = payload;
    (void)json;
    (void)revision;
    (void)error;
    *all = check_format("%s%s ", *all, key);
    return strlen(*all) > 60 ? EXIA_DONE : EXIA_OK;
}

/* The keys whose rows have `text` at /t, by a store that may tell too many. */
typedef struct exact {
    const char *text, *all;
} exact;

static exia_status join_exact(const char *key, const char *json, int64_t revision, void *payload,
                              exia_error *error)
{
    exact *now = payload;
    json_t *record = json_loads(json, 0, NULL);
    const char *its = json_string_value(json_object_get(json_object_get(record, "row"), "t"));
    exia_status rc = EXIA_OK;
    if (its != NULL && strcmp(its, now->text) == 0)
        rc = join(key, json, revision, &now->all, error);
    json_decref(record);
    return rc;
}

static const char *with_text(exia__records *records, const char *text)
{
    exact now = {text, ""};
    int ordered = 0;
    const char *literal = check_format("\"%s\"", text);
    exia_range range = {"/t", literal, literal};
    exia_seek seek = {.kind = "version", .ranges = &range, .range_count = 1};
    check_ok(exia__records_seek(&ordered, records, &seek, join_exact, &now, NULL, &err));
    return now.all;
}

TEST(what_was_replaced_or_removed_is_not_found_any_more)
{
    exia__records *records = open_records();
    put(records, "a", "{\"age\":1,\"row\":{\"t\":\"x\"}}");
    put(records, "b", "{\"age\":1,\"row\":{\"t\":\"x\"}}");
    assert_string_equal(with_text(records, "x"), "a b ");
    put(records, "a", "{\"age\":2,\"row\":{\"t\":\"y\"}}");
    assert_string_equal(with_text(records, "x"), "b ");
    assert_string_equal(with_text(records, "y"), "a ");
    put(records, "a", "{\"age\":2,\"row\":null}");
    assert_string_equal(with_text(records, "y"), "");
    check_ok(exia__records_remove(records, "version", "b", EXIA_ANY, NULL, &err));
    assert_string_equal(with_text(records, "x"), "");
    put(records, "b", "{\"age\":2,\"row\":{\"t\":\"x\"}}");
    assert_string_equal(with_text(records, "x"), "b ");
    exia__records_free(records);
}

TEST(long_texts_that_begin_alike_are_told_apart_by_the_listener)
{
    exia__records *records = open_records();
    const char *beginning = "0123456789012345678901234567890123456789012345678901234567890123";
    for (char c = 'a'; c <= 'c'; c++)
        put(records, check_format("%c", c),
            check_format("{\"age\":1,\"row\":{\"t\":\"%s%c\"}}", beginning, c));
    put(records, "short", check_format("{\"age\":1,\"row\":{\"t\":\"%s\"}}", beginning));
    assert_string_equal(with_text(records, check_format("%sb", beginning)), "b ");
    assert_string_equal(with_text(records, beginning), "short ");
    exia__records_free(records);
}

TEST(a_listener_may_end_a_seek_use_the_store_or_fail)
{
    exia__records *records = open_records();
    item *items = fill(records);
    const char *all = "";
    int ordered = 0;
    exia_seek seek = {.kind = "version"};
    check_ok(exia__records_seek(&ordered, records, &seek, join, &all, NULL, &err));
    assert_true(strlen(all) > 60 && strlen(all) < 80);
    listener now = {.items = items, .seek = &(exia_seek){.kind = "version", .prefix = "x/"}};
    check_fails(EXIA_EUSER, exia__records_seek(&ordered, records, &seek, hear, &now, NULL, &err));
    empty(items);
    exia__records_free(records);
}

static exia_status take_away(const char *key, const char *json, int64_t revision, void *payload,
                             exia_error *error)
{
    (void)json;
    return exia__records_remove(payload, "version", key, revision, NULL, error);
}

TEST(what_a_seek_tells_may_be_removed_at_once)
{
    exia__records *records = open_records();
    item *items = fill(records);
    int ordered = 0;
    const char *all = "";
    exia_seek seek = {.kind = "version", .order = "/mixed", .descending = 1};
    check_ok(exia__records_seek(&ordered, records, &seek, take_away, records, NULL, &err));
    seek.order = "/in/a~1b~0c.d";
    check_ok(exia__records_seek(&ordered, records, &seek, take_away, records, NULL, &err));
    exia_range range = {"/in/a~1b~0c.d", "0", NULL};
    seek = (exia_seek){.kind = "version", .ranges = &range, .range_count = 1, .prefix = "n/"};
    check_ok(exia__records_seek(&ordered, records, &seek, join, &all, NULL, &err));
    assert_string_equal(all, "");
    empty(items);
    exia__records_free(records);
}

/* ---- bad input and memory ------------------------------------------------------------------- */

TEST(a_seek_refuses_bad_arguments)
{
    exia__records *records = open_records();
    int ordered = 0;
    const char *all = "";
    exia_range range = {"/t", "1", NULL}, none = {"/t", NULL, NULL}, nameless = {NULL, "1", "1"};
    const exia_seek bad[] = {
        {.kind = NULL},
        {.kind = "Version"},
        {.kind = "version", .prefix = "/"},
        {.kind = "version", .range_count = 1},
        {.kind = "version", .ranges = &none, .range_count = 1},
        {.kind = "version", .ranges = &nameless, .range_count = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_fails(EXIA_EINVAL,
                    exia__records_seek(&ordered, records, &bad[i], join, &all, NULL, &err));
    exia_seek good = {.kind = "version", .ranges = &range, .range_count = 1};
    check_fails(EXIA_EINVAL, exia__records_seek(NULL, records, &good, join, &all, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_seek(&ordered, NULL, &good, join, &all, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_seek(&ordered, records, NULL, join, &all, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_seek(&ordered, records, &good, NULL, NULL, NULL, &err));
    exia__records_free(records);
}

static exia_status ignore(const char *key, const char *json, int64_t revision, void *payload,
                          exia_error *error)
{
    (void)key;
    (void)json;
    (void)revision;
    (void)payload;
    (void)error;
    return EXIA_OK;
}

static exia_status seek_and_change(void *payload, exia_error *error)
{
    exia__records *records = NULL;
    int ordered = 0;
    exia_range ranges[] = {{"/a/b", "1", NULL}, {"/t", "\"x\"", "\"x\""}};
    exia_seek seek = {.kind = "version", .ranges = ranges, .range_count = 2, .order = "/a/b"};
    const char *row = "{\"age\":1,\"row\":{\"a\":{\"b\":1},\"t\":\"x\",\"c\":true}}";
    exia_status rc = exia__records_open(&records, payload, EXIA_STORE_WRITE, NULL, error);
    for (int i = 0; i < 2 && rc == EXIA_OK; i++)
        rc = exia__records_put(NULL, records, "version", "k", row, EXIA_ANY, NULL, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__records_seek(&ordered, records, &seek, ignore, NULL, NULL, error);
    seek.range_count = 0;
    if (rc == EXIA_OK)
        rc = exia__records_seek(&ordered, records, &seek, ignore, NULL, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__records_remove(records, "version", "k", EXIA_ANY, NULL, error);
    exia__records_free(records);
    return rc;
}

TEST(a_seek_survives_that_memory_is_out)
{
    check_survives_no_memory(seek_and_change, (void *)conformance.url("a"));
}
