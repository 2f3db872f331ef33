/* Filters that look into lists, and members whose texts compare in a way of their own. */
#include <jansson.h>
#include <string.h>

#include "base/error.h"
#include "store/filter.h"
#include "support/check.h"
#include "support/models.h"

static const char row_text[] =
    "{\"name\": \"x\", \"length\": \"10\", \"tags\": [\"a\", \"b\", 3, true, null],"
    " \"none\": [], \"nested\": [[\"deep\"]], \"entry\": {\"main\": \"m:f\", \"a.b\": 1},"
    " \"parts\": [{\"kind\": \"code\", \"labels\": [\"p\", \"q\"]}, {\"kind\": \"model\"}, 5],"
    " \"gone\": null, \"lengths\": [\"9\", \"10\"]}";

static int matches(const char *text, const exia__texts *texts)
{
    json_t *row = json_loads(row_text, 0, NULL);
    exia__filter *filter = NULL;
    assert_non_null(row);
    check_ok(exia__filter_parse(&filter, text, &err));
    if (texts != NULL)
        check_ok(exia__filter_texts(filter, texts, &err));
    int yes = exia__filter_match(filter, row);
    exia__filter_free(filter);
    json_decref(row);
    return yes;
}

TEST(in_with_a_name_looks_into_lists_and_objects)
{
    static const char *const yes[] = {
        "'a' in tags",
        "3 in tags",
        "3.0 in tags",
        "true in tags",
        "'c' not in tags",
        "not 'c' in tags",
        "'x' not in none",
        "'code' in parts.kind",
        "'model' in parts.kind",
        "'q' in parts.labels",
        "'data' not in parts.kind",
        "'main' in entry",
        "'a.b' in entry",
        "'other' not in entry",
        "name in name",
        "'x' in name",
        "'y' not in name",
        "'m:f' in entry.main",
        "'a' in \"tags\"",
    };
    static const char *const no[] = {
        "'c' in tags",          "'3' in tags",      "false in tags",   "'x' in none",
        "'data' in parts.kind", "'x' in gone",      "'x' not in gone", "'x' in absent",
        "'x' not in absent",    "'x' in tags.a",    "'kind' in parts", "3 in entry",
        "gone in tags",         "gone not in tags", "tags in tags",    "'deep' in nested",
        "'m' in entry.main.x",  "'a' not in tags",
    };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (!matches(yes[i], NULL))
            fail_msg("%s should match", yes[i]);
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        if (matches(no[i], NULL))
            fail_msg("%s should not match", no[i]);
    }
}

TEST(what_is_found_in_a_list_narrows_no_search_by_an_index)
{
    exia__filter *filter = NULL;
    exia__plan plan = {0};
    check_ok(exia__filter_parse(&filter, "'a' in tags and name = 'x'", &err));
    check_ok(exia__filter_plan(&plan, filter, &err));
    assert_int_equal(plan.range_count, 1);
    assert_string_equal(plan.ranges[0].path, "/name");
    exia__plan_free(&plan);
    exia__filter_free(filter);
}

/* ---- texts ---- */

static exia_status check_digits(const char *text, exia_error *error)
{
    return text[strspn(text, "0123456789")] == '\0' && *text != '\0'
               ? EXIA_OK
               : exia__fail(error, EXIA_EINVAL, 0, "\"%s\" is no length", text);
}

/* Shorter is less. */
static int compare_digits(const char *a, const char *b)
{
    size_t x = strlen(a), y = strlen(b);
    return x != y ? (x > y) - (x < y) : strcmp(a, b);
}

static const exia__texts lengths = {"length", check_digits, compare_digits};
static const exia__texts many = {"lengths", NULL, compare_digits};

TEST(a_member_compares_in_its_own_way)
{
    static const char *const yes[] = {
        "length > '9'",     "'9' < length",   "length in ('10', '9')",
        "length != '9'",    "length >= '10'", "length not in ('9')",
        "length like '1%'", "name < 'y'",     "length = length",
    };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (!matches(yes[i], &lengths))
            fail_msg("%s should match", yes[i]);
    }
    assert_false(matches("length > '9'", NULL));
    assert_false(matches("length < '9'", &lengths));
    assert_true(matches("'10' in lengths", &many));
    assert_false(matches("'11' in lengths", &many));
}

TEST(a_literal_that_is_none_is_refused)
{
    static const char *const bad[] = {"length > 'x'",
                                      "'x' = length",
                                      "length = 5",
                                      "length in ('1', '')",
                                      "length > true",
                                      "not length < ''",
                                      "name = 'x' and (length != '1x')"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        exia__filter *filter = NULL;
        check_ok(exia__filter_parse(&filter, bad[i], &err));
        check_fails(EXIA_EINVAL, exia__filter_texts(filter, &lengths, &err));
        check_text("filter");
        exia__filter_free(filter);
    }
}

TEST(neither_ranges_nor_the_order_of_an_index_are_asked_for_such_a_member)
{
    exia__filter *filter = NULL;
    exia__plan plan = {0};
    check_ok(exia__filter_parse(
        &filter, "length > '9' and length in ('10') and name = 'x' order by length", &err));
    check_ok(exia__filter_texts(filter, &lengths, &err));
    check_ok(exia__filter_plan(&plan, filter, &err));
    assert_int_equal(plan.range_count, 1);
    assert_string_equal(plan.ranges[0].path, "/name");
    assert_null(plan.order);
    exia__plan_free(&plan);
    exia__filter_free(filter);
}

TEST(rows_are_ordered_by_such_a_member_in_its_own_way)
{
    json_t *rows =
        json_loads("[{\"length\": \"10\"}, {\"length\": \"9\"}, {\"length\": \"100\"}]", 0, NULL);
    exia__filter *filter = NULL;
    exia_rows *found = NULL;
    assert_non_null(rows);
    check_ok(exia__filter_parse(&filter, "order by length desc", &err));
    check_ok(exia__filter_texts(filter, &lengths, &err));
    check_ok(exia__filter_rows(&found, filter, rows, &err));
    assert_string_equal(rows_text(found),
                        "{\"length\":\"100\"}\n{\"length\":\"10\"}\n{\"length\":\"9\"}\n");
    exia__filter_free(filter);
    json_decref(rows);
}
