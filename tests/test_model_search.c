/* Selectors name one version, searches list them: by the index as by looking at every row. */
#include "support/models.h"

#include <jansson.h>
#include <stdio.h>

#include "base/rows.h"
#include "store/filter.h"

static exia_library *five_versions(void)
{
    static const char *const facts[] = {"{\"metrics\": {\"auc\": 0.5, \"f1-score\": 1}}",
                                        "{\"metrics\": {\"auc\": 0.9}}",
                                        "{\"metrics\": {\"auc\": \"NaN\"}}",
                                        "{\"metrics\": {\"auc\": 0.9}, \"tags\": {\"t\": \"x\"}}",
                                        "{\"metrics\": {\"auc\": \"Infinity\"}}"};
    exia_library *library = open_library();
    for (size_t i = 0; i < 5; i++)
        write_model(library, "m", "x", facts[i], NULL, 0);
    return library;
}

TEST(selectors_name_one_version)
{
    exia_library *library = five_versions();
    check_ok(exia_alias_move(library, "m", "champion", 3, EXIA_ANY, NULL, &err));
    assert_int_equal(selected(library, "m"), 5);
    assert_int_equal(selected(library, "m@latest"), 5);
    assert_int_equal(selected(library, "m@latest-0"), 5);
    assert_int_equal(selected(library, "m@latest-4"), 1);
    assert_int_equal(selected(library, "m@latest-5"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@latest-99999999999999999999999"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@2"), 2);
    assert_int_equal(selected(library, "m@6"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@99999999999999999999999"), EXIA_ENOTFOUND);
    check_text("no version 99999999999999999999999: it is too large");
    assert_int_equal(selected(library, "m@champion"), 3);
    assert_int_equal(selected(library, "m@best(metrics.auc)"), 4); /* of equals the newer */
    assert_int_equal(selected(library, "m@worst(metrics.auc)"), 1);
    assert_int_equal(selected(library, "m@best(metrics.\"f1-score\")"), 1);
    assert_int_equal(selected(library, "m@best(metrics.none)"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "none"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@none"), EXIA_ENOTFOUND);
    exia_library_free(library);
}

TEST(what_is_no_selector_is_refused)
{
    exia_library *library = five_versions();
    const char *bad[] = {"",
                         "@1",
                         "m@",
                         "m@0",
                         "m@07x",
                         "m@1@2",
                         "m@latest-",
                         "m@latest-x",
                         "m@latest+1",
                         "m@best",
                         "m@best()",
                         "m@best(",
                         "m@best(a",
                         "m@best(a)b",
                         "m@most(a)",
                         "m@7up",
                         "a/b",
                         "m@previous()",
                         "m@previous(7)",
                         "m @1",
                         "m@best(1 + )",
                         "m@worst(metrics.)",
                         "m@\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (selected(library, bad[i]) != EXIA_EINVAL)
            fail_msg("\"%s\" gives %s", bad[i], err.text);
    }
    exia_model *model = NULL;
    check_fails(EXIA_EINVAL, exia_model_open(&model, library, NULL, 0, &err));
    check_fails(EXIA_EINVAL, exia_model_open(&model, library, "m", 1024, &err));
    check_fails(EXIA_EINVAL, exia_model_open(&model, NULL, "m", 0, &err));
    check_fails(EXIA_EINVAL, exia_model_open(NULL, library, "m", 0, &err));
    exia_library_free(library);
}

TEST(search_sees_facts_and_orders_newest_first)
{
    exia_library *library = five_versions();
    write_model(library, "other", "x", "{\"metrics\": {\"auc\": 0.7}}", "champion", EXIA_ABSENT);
    assert_string_equal(found(library, "name = 'm'"), "m@5 m@4 m@3 m@2 m@1 ");
    assert_string_equal(found(library, "metrics.auc >= 0.7 order by metrics.auc desc"),
                        "m@4 m@2 other@1 ");
    assert_string_equal(found(library, "tags.t = 'x'"), "m@4 ");
    assert_string_equal(found(library, "version <= 2 and name = 'm' limit 1"), "m@2 ");
    assert_string_equal(found(library, "name = 'a/b'"), "");
    assert_string_equal(found(library, "name = 'none'"), "");
    exia_rows *rows = NULL;
    check_fails(EXIA_EINVAL, exia_library_search(&rows, library, "metrics.auc >", &err));
    check_fails(EXIA_EINVAL, exia_library_search(NULL, library, NULL, &err));
    exia_library_free(library);
}

TEST(search_sees_what_another_handle_wrote)
{
    exia_library *one = open_library(), *two = open_library();
    for (int i = 0; i < 3; i++) {
        write_model(one, "b", "x", NULL, NULL, 0);
        assert_int_equal(selected(two, "b"), i + 1);
        write_model(two, check_format("a%d", i), "x", NULL, "live", EXIA_ABSENT);
        assert_string_equal(found(one, "name = 'b' limit 1"), check_format("b@%d ", i + 1));
    }
    assert_string_equal(found(one, "order by name, version"), "a0@1 a1@1 a2@1 b@1 b@2 b@3 ");
    check_ok(exia_alias_move(two, "a1", "live", 0, 1, NULL, &err));
    write_model(two, "c", "x", NULL, NULL, 0);
    assert_string_equal(found(one, "order by name, version"), "a0@1 a1@1 a2@1 b@1 b@2 b@3 c@1 ");
    exia_library_free(one);
    exia_library_free(two);
}

static int first_row_says(exia_library *library, const char *filter, const char *text)
{
    exia_rows *rows = NULL;
    const char *row = NULL;
    check_ok(exia_library_search(&rows, library, filter, &err));
    assert_int_equal(exia_rows_next(&row, rows, &err), EXIA_OK);
    int says = strstr(row, text) != NULL;
    exia_rows_free(rows);
    return says;
}

TEST(a_row_that_was_found_before_is_shown_as_it_is_now)
{
    exia_library *one = open_library(), *two = open_library();
    write_model(two, "m", "x", NULL, "live", EXIA_ABSENT);
    write_model(two, "m", "x", NULL, NULL, 0);
    for (int i = 0; i < 2; i++) {
        assert_true(first_row_says(one, "version = 1", "\"aliases\":[\"live\"]"));
        assert_true(first_row_says(one, "name = 'm' limit 1", "\"aliases\":[]"));
    }
    check_ok(exia_alias_move(two, "m", "live", 2, 1, NULL, &err));
    assert_true(first_row_says(one, "version = 1", "\"aliases\":[]"));
    assert_true(first_row_says(one, "name = 'm' limit 1", "\"aliases\":[\"live\"]"));
    check_ok(exia_model_remove(two, "m", 1, NULL, &err));
    assert_string_equal(found(one, "version = 1"), "");
    assert_string_equal(found(one, "name = 'm'"), "m@2 ");
    exia_library_free(one);
    exia_library_free(two);
}

TEST(a_name_and_a_number_find_one_version)
{
    exia_library *library = five_versions();
    write_model(library, "other", "x", NULL, NULL, 0);
    assert_string_equal(found(library, "name = 'm' and version = 4"), "m@4 ");
    assert_string_equal(found(library, "4.0 = version and name = 'm'"), "m@4 ");
    assert_string_equal(found(library, "name = 'm' and version = 4 and tags.t = 'y'"), "");
    assert_string_equal(found(library, "name = 'm' and version = 4 order by time limit 0"), "");
    assert_string_equal(found(library, "name = 'm' and version in (4, 2)"), "m@4 m@2 ");
    assert_string_equal(found(library, "name = 'm' and version = 4 and version = 2"), "");
    assert_string_equal(found(library, "name = 'm' and (version = 4 or version = 2)"), "m@4 m@2 ");
    static const char *const none[] = {"0",    "-4",  "6",     "'4'",
                                       "true", "4.5", "1e300", "9223372036854775807"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_string_equal(found(library, check_format("name = 'm' and version = %s", none[i])),
                            "");
    exia_library_free(library);
}

/* ---- by the index as by looking at every row ------------------------------------------------ */

enum { VERSIONS = 700 };

/* Facts of every kind, many of them alike, some not there. */
static void write_many(exia_library *library)
{
    static const char *const teams[] = {"\"a\"", "\"b\"", "\"\xc3\xa4\"", "7", "true"};
    static const char *const values[] = {"0.5",   "1",   "\"NaN\"", "\"Infinity\"",
                                         "-2e10", "0.5", "1.0",     "9007199254740993"};
    for (int i = 0; i < VERSIONS; i++) {
        const exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
        const char *name = i % 3 ? "m" : check_format("n%d", i % 12);
        int64_t version = 0;
        const char *tags = i % 4 ? check_format("\"team\":%s,", teams[i % 5]) : "";
        const char *metrics = i % 7 ? check_format("\"auc\":%s,", values[i % 8]) : "";
        exia_write_options options = {.struct_size = sizeof options, .expect = EXIA_ANY};
        options.facts = check_format("{\"tags\":{%s\"i\":%d},\"metrics\":{%s\"n\":%d},\"params\":"
                                     "{\"long\":\"%070d\",\"deep\":{\"x\":%d}}}",
                                     tags, i, metrics, i * 7 % 101, i % 3, i % 10);
        options.alias = i % 50 ? NULL : "live";
        check_ok(exia_model_write(&version, library, name, &part, 1, &options, NULL, &err));
        if (i % 9 == 8 && version > 1) {
            exia_status rc = exia_model_remove(library, name, version - 1, NULL, &err);
            assert_true(rc == EXIA_OK || rc == EXIA_ECONFLICT); /* an alias is on it */
        }
    }
}

/* All rows, newest first, as a search without a filter gives them. */
static json_t *all_rows(exia_library *library)
{
    exia_rows *rows = NULL;
    const char *row = NULL;
    json_t *all = json_array();
    check_ok(exia_library_search(&rows, library, NULL, &err));
    while (exia_rows_next(&row, rows, &err) == EXIA_OK)
        json_array_append_new(all, json_loads(row, 0, NULL));
    exia_rows_free(rows);
    return all;
}

static const char *const conditions[] = {
    "name = 'm'",
    "name = 'n3'",
    "name = 'none'",
    "'m' = name",
    "version = 7",
    "version >= 100",
    "tags.team = 'a'",
    "tags.team = 'ä'",
    "tags.team = 7",
    "tags.team = true",
    "tags.team != 'a'",
    "tags.i < 20",
    "650 <= tags.i",
    "tags.i > 100 and tags.i < 120",
    "metrics.auc > 0.5",
    "metrics.auc >= 1",
    "metrics.auc = 1",
    "metrics.auc = 'NaN'",
    "metrics.auc = 9007199254740992",
    "metrics.auc < 0 and metrics.auc > 0",
    "metrics.none = 1",
    "metrics.n in (1, 2, 3)",
    "name in ('n3', 'm')",
    "name in ('n9', 'n3', 'n6')",
    "metrics.auc in (1, 'NaN', true)",
    "metrics.n not in (1, 2)",
    "1 in (1, 2)",
    "params.deep.x = 4",
    "params.long >= '0000000000000000000000000000000000000000000000000000000000000000000001'",
    "params.long = '0000000000000000000000000000000000000000000000000000000000000000000002'",
    "not (tags.team = 'a')",
    "(tags.team = 'a' or tags.team = 'b')",
    "parent is null",
    "time > '2000'",
};
static const char *const orders[] = {"",
                                     "order by metrics.auc",
                                     "order by metrics.auc desc",
                                     "order by metrics.n desc",
                                     "order by tags.team, metrics.n desc",
                                     "order by params.long desc",
                                     "order by metrics.none",
                                     "order by name, version",
                                     "order by parts"};
static const char *const limits[] = {"", "limit 0", "limit 1", "limit 10", "limit 400"};

static void compare(exia_library *library, const json_t *all, const char *text)
{
    exia__filter *filter = NULL;
    exia_rows *wanted = NULL, *got = NULL;
    const char *row = NULL, *its = NULL;
    check_ok(exia__filter_parse(&filter, text, &err));
    check_ok(exia__filter_rows(&wanted, filter, all, &err));
    check_ok(exia_library_search(&got, library, text, &err));
    exia_status rc = EXIA_OK;
    for (int i = 0; rc == EXIA_OK; i++) {
        rc = exia_rows_next(&row, wanted, &err);
        if (exia_rows_next(&its, got, &err) != rc)
            fail_msg("%s: one of them ends at row %d", text, i);
        json_t *a = rc == EXIA_OK ? json_loads(row, 0, NULL) : NULL;
        json_t *b = rc == EXIA_OK ? json_loads(its, 0, NULL) : NULL;
        if (rc == EXIA_OK && !json_equal(a, b))
            fail_msg("%s: row %d is\n%s, not\n%s", text, i, its, row);
        json_decref(a);
        json_decref(b);
    }
    exia_rows_free(wanted);
    exia_rows_free(got);
    exia__filter_free(filter);
}

TEST(a_search_finds_and_orders_what_looking_at_every_row_does)
{
    enum { CONDITIONS = sizeof conditions / sizeof *conditions };
    exia_library *library = open_library();
    write_many(library);
    json_t *all = all_rows(library);
    assert_true(json_array_size(all) > VERSIONS / 2);
    unsigned seed = 11;
    for (long i = check_rounds(500, 50); i > 0; i--) {
        char text[400];
        seed = seed * 1103515245u + 12345u;
        unsigned a = seed >> 8, b = seed >> 13;
        snprintf(text, sizeof text, "%s%s%s %s %s", conditions[a % CONDITIONS],
                 seed >> 30 ? " and " : "", seed >> 30 ? conditions[b % CONDITIONS] : "",
                 orders[(seed >> 16) % 9], limits[(seed >> 20) % 5]);
        compare(library, all, text);
    }
    for (size_t i = 0; i < 9; i++) {
        for (size_t k = 0; k < 5; k++)
            compare(library, all, check_format("%s %s", orders[i], limits[k]));
    }
    json_decref(all);
    exia_library_free(library);
}
