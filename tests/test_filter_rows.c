/* A filter over many rows: which it chooses, in which order, and what a store may narrow by. */
#include <jansson.h>

#include "base/rows.h"
#include "store/filter.h"
#include "support/check.h"

/* The "id" of each chosen row, in order. */
static void check_rows(const char *rows_text, const char *filter_text, const char *expected)
{
    json_t *all = json_loads(rows_text, 0, NULL);
    exia__filter *filter = NULL;
    exia_rows *rows = NULL;
    const char *text = NULL, *ids = "";
    assert_non_null(all);
    check_ok(exia__filter_parse(&filter, filter_text, &err));
    check_ok(exia__filter_rows(&rows, filter, all, &err));
    while (exia_rows_next(&text, rows, &err) == EXIA_OK) {
        json_t *one = json_loads(text, 0, NULL);
        ids = check_format("%s%s", ids, json_string_value(json_object_get(one, "id")));
        json_decref(one);
    }
    if (strcmp(ids, expected) != 0)
        fail_msg("%s gives %s, not %s", filter_text, ids, expected);
    exia_rows_free(rows);
    exia__filter_free(filter);
    json_decref(all);
}

TEST(rows_are_ordered_by_several_keys_and_equals_stay_as_they_came)
{
    static const char rows[] =
        "[{\"id\":\"a\",\"x\":2,\"y\":\"p\"},{\"id\":\"b\",\"x\":1.5,\"y\":\"q\"},"
        "{\"id\":\"c\",\"x\":2.0,\"y\":\"o\"},{\"id\":\"d\",\"x\":1,\"y\":\"p\"},"
        "{\"id\":\"e\",\"x\":2,\"y\":\"p\"}]";
    check_rows(rows, "", "abcde");
    check_rows(rows, "order by x", "dbace");
    check_rows(rows, "order by x asc", "dbace");
    check_rows(rows, "order by x desc", "acebd");
    check_rows(rows, "order by x desc, y", "caebd");
    check_rows(rows, "order by y desc, x", "bdaec");
    check_rows(rows, "order by none", "abcde");
    check_rows(rows, "x = 2 order by y limit 2", "ca");
    check_rows(rows, "limit 3", "abc");
    check_rows(rows, "limit 0", "");
    check_rows(rows, "limit 9223372036854775807", "abcde");
    check_rows("[]", "x = 1 order by x", "");
}

TEST(what_cannot_be_compared_is_last_in_both_directions)
{
    static const char rows[] =
        "[{\"id\":\"a\",\"x\":null},{\"id\":\"b\",\"x\":\"NaN\"},{\"id\":\"c\"},{\"id\":\"d\","
        "\"x\":1},"
        "{\"id\":\"e\",\"x\":true},{\"id\":\"f\",\"x\":[1]},{\"id\":\"g\",\"x\":2},"
        "{\"id\":\"h\",\"x\":\"Infinity\"},{\"id\":\"i\",\"x\":{}},{\"id\":\"j\",\"x\":false}]";
    check_rows(rows, "order by x", "dghbjeacfi");
    check_rows(rows, "order by x desc", "gdbhejacfi");
    check_rows(rows, "x > 0 order by x desc", "gd");
}

TEST(no_filter_chooses_everything)
{
    json_t *all = json_loads("[{\"id\":1},{\"id\":2}]", 0, NULL);
    exia_rows *rows = NULL;
    const char *text = NULL;
    check_ok(exia__filter_rows(&rows, NULL, all, &err));
    check_ok(exia_rows_next(&text, rows, &err));
    check_ok(exia_rows_next(&text, rows, &err));
    check_done(exia_rows_next(&text, rows, &err));
    assert_true(exia__filter_match(NULL, NULL));
    check_fails(EXIA_EINVAL, exia__filter_rows(NULL, NULL, all, &err));
    exia_rows_free(rows);
    json_decref(all);
}

TEST(a_demanded_text_is_found_for_narrowing)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"name = 'x'", "x"},
        {"'x' = name", "x"},
        {"\"name\" = 'x'", "x"},
        {"a = 1 and name = 'x' and b = 2", "x"},
        {"(a = 1 or a = 2) and (b = 1 and name = 'x')", "x"},
        {"a = 1 and (b = 1 and (c = 1 and name = 'x') and d = 2)", "x"},
        {"name = 'x' order by name limit 1", "x"},
        {"name = ''", ""},
        {"name = 'x' or a = 1", NULL},
        {"not name = 'x'", NULL},
        {"not (a = 1 and name = 'x')", NULL},
        {"a = 1 and (b = 1 or name = 'x')", NULL},
        {"name != 'x'", NULL},
        {"name = 7", NULL},
        {"name = other", NULL},
        {"name.sub = 'x'", NULL},
        {"sub.name = 'x'", NULL},
        {"name in ('x')", NULL},
        {"name like 'x'", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        exia__filter *filter = NULL;
        check_ok(exia__filter_parse(&filter, cases[i].text, &err));
        const char *got = exia__filter_equal(filter, "name");
        if ((got == NULL) != (cases[i].expected == NULL) ||
            (got != NULL && strcmp(got, cases[i].expected) != 0))
            fail_msg("%s gives %s", cases[i].text, got ? got : "NULL");
        exia__filter_free(filter);
    }
    exia__filter *dotted = NULL;
    check_ok(exia__filter_parse(&dotted, "tags.team = 'x'", &err));
    assert_string_equal(exia__filter_equal(dotted, "tags.team"), "x");
    assert_string_equal(exia__filter_equal(dotted, "\"tags\".team"), "x");
    assert_null(exia__filter_equal(dotted, "tags"));
    assert_null(exia__filter_equal(dotted, "tags.team.x"));
    assert_null(exia__filter_equal(dotted, "not a name"));
    assert_null(exia__filter_equal(NULL, "name"));
    exia__filter_free(dotted);
}

static exia_status use_all(void *payload, exia_error *error)
{
    exia__filter *filter = NULL;
    exia_rows *rows = NULL;
    const json_t *found = NULL;
    exia_status rc = exia__filter_parse(
        &filter,
        "a.b = 'it''s' and x in (1, 2.5, 'x', true) or not (c like 'a%' and d is not null)"
        " or e = 1 or e = 2 or e = 3 or e = 4 or e = 5 order by a, b, c desc, d, e limit 5",
        error);
    if (rc == EXIA_OK)
        rc = exia__filter_rows(&rows, filter, payload, error);
    if (rc == EXIA_OK)
        rc = exia__filter_field(&found, "a.\"b\"", json_array_get(payload, 0), error);
    exia_rows_free(rows);
    exia__filter_free(filter);
    return rc;
}

TEST(filters_survive_that_memory_is_out)
{
    json_t *rows = json_loads("[{\"a\":{\"b\":\"it's\"},\"x\":1},{\"x\":2},{\"e\":3}]", 0, NULL);
    check_survives_no_memory(use_all, rows);
    json_decref(rows);
}
