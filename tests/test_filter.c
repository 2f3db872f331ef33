/* The filter language: what it means, what it refuses and where, and a second opinion on random
 * filters. */
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/rows.h"
#include "store/filter.h"
#include "support/check.h"

static const char row_text[] =
    "{\"name\": \"digits\", \"version\": 7, \"signed\": true, \"draft\": false, \"gone\": null,"
    " \"metrics\": {\"auc\": 0.95, \"f1-score\": 0.5, \"loss\": \"NaN\", \"n\": 100, \"half\": 0.5,"
    "  \"big\": 9007199254740993, \"real\": 9007199254740992.0, \"huge\": 1e300, \"neg\": -3,"
    "  \"max\": 9223372036854775807, \"min\": -9223372036854775808, \"zero\": -0.0},"
    " \"tags\": {\"team\": \"vision\", \"in\": \"x\", \"a.b\": \"dot\", \"say \\\"hi\\\"\": 1,"
    "  \"it\": \"it's 100% \\u00e4\\ud83d\\ude42\"},"
    " \"parts\": [{\"name\": \"model\"}], \"order\": 3}";

static json_t *row(void)
{
    json_t *value = json_loads(row_text, 0, NULL);
    assert_non_null(value);
    return value;
}

static int matches(const char *text, const json_t *value)
{
    exia__filter *filter = NULL;
    check_ok(exia__filter_parse(&filter, text, &err));
    int yes = exia__filter_match(filter, value);
    exia__filter_free(filter);
    return yes;
}

static void check_matches(int expected, const char *const *texts, size_t count)
{
    json_t *value = row();
    for (size_t i = 0; i < count; i++) {
        if (matches(texts[i], value) != expected)
            fail_msg("%s  should be %d", texts[i], expected);
    }
    json_decref(value);
}

TEST(these_filters_match)
{
    static const char *const texts[] = {
        "",
        " \n\t ",
        "limit 0",
        "order by name",
        /* numbers, exactly */
        "version = 7",
        "version = 7.0",
        "version != 8",
        "version < 7.5",
        "version <= 7",
        "version > 6.5",
        "version >= 7",
        "7 = version",
        "6 < version",
        "metrics.auc > 0.9",
        "metrics.auc = 0.95",
        "metrics.auc < 1",
        "metrics.n = 1e2",
        "metrics.neg = -3",
        "metrics.neg < -2.5",
        "metrics.big > metrics.real",
        "metrics.big != 9007199254740992.0",
        "metrics.big > 9007199254740992",
        "metrics.real = 9007199254740992",
        "metrics.big < 1e300",
        "metrics.huge > metrics.max",
        "metrics.max < 9223372036854775808",
        "metrics.max > 9223372036854775806",
        "metrics.min = -9223372036854775808",
        "metrics.min > -1e300",
        "metrics.min >= -9223372036854775809",
        "metrics.zero = 0",
        "metrics.half = metrics.\"f1-score\"",
        "metrics.max > 123",
        /* texts */
        "name = 'digits'",
        "name != 'x'",
        "name > 'digit'",
        "name < 'digitsa'",
        "name >= 'digits'",
        "tags.it = 'it''s 100% \xc3\xa4\xf0\x9f\x99\x82'",
        "tags.\"a.b\" = 'dot'",
        "tags.in = 'x'",
        "tags.\"say \"\"hi\"\"\" = 1",
        "\"name\" = 'digits'",
        "\"tags\".\"team\" = 'vision'",
        "\"order\" = 3",
        "metrics.loss = 'NaN'",
        "name < tags.team",
        /* booleans */
        "signed = true",
        "draft = false",
        "signed != false",
        "draft < signed",
        "true = signed",
        /* in, like, is */
        "name in ('a', 'digits')",
        "version in (1, 7.0)",
        "name not in ('a', 'b')",
        "version not in ('a', 8)",
        "signed in (true)",
        "name like 'digits'",
        "name like 'd%'",
        "name like '%s'",
        "name like '%igi%'",
        "name like 'd_gits'",
        "name like '______'",
        "name like '%%d%%s%%'",
        "name like '%'",
        "name not like 'D%'",
        "tags.it like '%100% __'",
        "tags.it like '%\xc3\xa4_'",
        "gone is null",
        "absent is null",
        "metrics.absent is null",
        "name.sub is null",
        "name is not null",
        "metrics is not null",
        "parts is not null",
        /* and, or, not: not binds closest, then and */
        "name = 'x' or version = 7",
        "name = 'digits' and version = 7",
        "version = 7 or name = 'x' and version = 8",
        "not name = 'x'",
        "not not version = 7",
        "not (name = 'x' or version = 8)",
        "not name = 'x' and version = 7",
        "(((version = 7)))",
        "not version = 8 or version = 8",
        "NOT version = 8 AND name LIKE 'd%'",
        "version=7 and name='digits'",
        "not metrics.absent > 3",
        "version = 7 order by metrics.auc desc, name asc, version limit 5",
        "signed = TRUE and gone IS NULL Order By name DESC Limit 1",
    };
    check_matches(1, texts, sizeof texts / sizeof *texts);
}

TEST(these_filters_do_not_match)
{
    static const char *const texts[] = {
        "version = 8",
        "version < 7",
        "version > 7.0",
        "version != 7.0",
        "metrics.big = metrics.real",
        "metrics.big = 9007199254740992.0",
        "metrics.big <= metrics.real",
        "metrics.max = 9223372036854775808",
        "metrics.max >= 9223372036854775808",
        "metrics.huge < metrics.max",
        "metrics.min < -9223372036854775808",
        /* other types, null and absent match no comparison, not even != */
        "version = '7'",
        "version != '7'",
        "name = 7",
        "name != 7",
        "signed = 1",
        "signed != 1",
        "signed = 'true'",
        "gone = 0",
        "gone != 0",
        "gone != 'x'",
        "absent = 1",
        "absent != 1",
        "absent < 1",
        "absent >= 1",
        "absent = gone",
        "gone = gone",
        "metrics = 1",
        "metrics != 1",
        "metrics = metrics",
        "parts = parts",
        "name.sub != 1",
        "parts.name = 'model'",
        /* NaN is kept by name and is never best */
        "metrics.loss > 0",
        "metrics.loss < 0",
        "metrics.loss != 0",
        "metrics.loss >= 0",
        "not metrics.loss = 'NaN'",
        "name in ('a')",
        "name in (7)",
        "name not in (7, 8)",
        "name not in ('digits')",
        "gone in ('a')",
        "gone not in ('a')",
        "absent not in (1)",
        "metrics not in (1)",
        "name like 'D%'",
        "name like 'digit'",
        "name like 'digits_'",
        "name like ''",
        "name not like 'd%'",
        "version like '7'",
        "version not like '7'",
        "absent like '%'",
        "gone not like '%'",
        "name is null",
        "gone is not null",
        "absent is not null",
        "name = 'x' and version = 7",
        "not (name = 'digits')",
        "not name = 'digits'",
        "(version = 7 or name = 'x') and version = 8",
        "not not version = 8",
        "Name = 'digits'",
        "true = false",
        "1 > 2",
        "'a' = 'A'",
    };
    check_matches(0, texts, sizeof texts / sizeof *texts);
}

TEST(a_filter_that_is_wrong_is_refused_and_shown_where)
{
    static const struct {
        const char *text, *where, *what;
    } bad[] = {
        {"version", "character 8", "expected a comparison"},
        {"version =", "character 10", "expected a name or a value, but it ends"},
        {"version = 7 7", "character 13", "expected and, or, order by, limit or the end, found 7"},
        {"version = and", "character 11", "found and"},
        {"version == 7", "character 10", "write one ="},
        {"version <> 7", "character 10", "write !="},
        {"version ! 7", "character 9", "! means nothing"},
        {"version = null", "character 11", "is null"},
        {"= 7", "character 1", "expected a name or a value"},
        {"a = 1 and", "character 10", "it ends"},
        {"a = 1 or or", "character 10", "found or"},
        {"not", "character 4", "it ends"},
        {"(a = 1", "character 7", "')', but it ends"},
        {"a = 1)", "character 6", "found )"},
        {"()", "character 2", "found )"},
        {"a in 1", "character 6", "'(' behind in"},
        {"a in ()", "character 7", "a value"},
        {"a in (1,)", "character 9", "a value"},
        {"a in (1 2)", "character 9", "',' or ')'"},
        {"a in (b)", "character 7", "a value"},
        {"a not 1", "character 7", "in or like behind not"},
        {"a like 1", "character 8", "a 'text' behind like"},
        {"a like b", "character 8", "a 'text' behind like"},
        {"a is 1", "character 6", "null"},
        {"a is not 1", "character 10", "null"},
        {"a. = 1", "character 4", "a name behind the dot"},
        {".a = 1", "character 1", "found ."},
        {"a..b = 1", "character 3", "a name behind the dot"},
        {"\"\" = 1", "character 1", "a name"},
        {"a = 'x", "character 5", "does not end"},
        {"a = 'x''", "character 5", "does not end"},
        {"\"a = 1", "character 1", "does not end"},
        {"a = 1x", "character 5", "no number"},
        {"a = 1.", "character 5", "no number"},
        {"a = 1.2.3", "character 5", "no number"},
        {"a = 01", "character 5", "needless 0"},
        {"a = 1e999", "character 5", "too large"},
        {"a = -", "character 5", "- means nothing"},
        {"a = +1", "character 5", "+ means nothing"},
        {"a = .5", "character 5", "found ."},
        {"a = 1 order name", "character 13", "by behind order"},
        {"order by", "character 9", "a name"},
        {"order by 1", "character 10", "a name, found 1"},
        {"order by a,", "character 12", "a name"},
        {"order by a up", "character 12", "',', asc, desc, limit or the end"},
        {"order by a desc asc", "character 17", "found asc"},
        {"limit", "character 6", "a number of rows"},
        {"limit x", "character 7", "a number of rows"},
        {"limit -1", "character 7", "a whole number from 0"},
        {"limit 1.5", "character 7", "a whole number"},
        {"limit 1 limit 2", "character 9", "the end behind limit"},
        {"limit 1 order by a", "character 9", "the end behind limit"},
        {"a = 1; drop table x", "character 6", "; means nothing"},
        {"a = 1 -- x", "character 7", "- means nothing"},
        {"\xc3\xa4 = 1", "character 1", "\xc3\xa4 means nothing"},
        {"a = '\xc3\xa4' x", "character 9", "found x"},
        {"a = \xe2\x80\x99x\xe2\x80\x99", "character 5", "\xe2\x80\x99 means nothing"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        exia__filter *filter = NULL;
        check_fails(EXIA_EINVAL, exia__filter_parse(&filter, bad[i].text, &err));
        assert_null(filter);
        check_text(check_format("filter, %s: ", bad[i].where));
        check_text(bad[i].what);
    }
}

TEST(a_filter_that_asks_for_what_no_row_has_is_refused)
{
    static const struct {
        const char *text, *unknown;
    } rows[] = {
        {"name = 'x' and metrics.auc > 0 order by version desc", NULL},
        {"nme = 'x'", "\"nme\""},
        {"metrics.auc > 0 and metric.auc > 0", "\"metric\""},
        {"name = pipe", "\"pipe\""},
        {"name = 'x' order by versio", "\"versio\""},
        {"nam = 'x'", "\"nam\""},
        {"\"name.x\" = 1", "\"name.x\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        exia__filter *filter = NULL;
        const char *members = "name, version, metrics";
        check_ok(exia__filter_parse(&filter, rows[i].text, &err));
        if (rows[i].unknown == NULL) {
            check_ok(exia__filter_known(filter, members, &err));
        } else {
            check_fails(EXIA_EINVAL, exia__filter_known(filter, members, &err));
            check_text(rows[i].unknown);
            check_text(members);
        }
        exia__filter_free(filter);
    }
}

TEST(a_filter_that_is_too_long_too_deep_or_no_utf8_is_refused)
{
    exia__filter *filter = NULL;
    char *text = malloc(200000);
    assert_non_null(text);
    memset(text, ' ', 65537);
    text[65536] = '\0';
    check_ok(exia__filter_parse(&filter, text, &err));
    exia__filter_free(filter);
    memcpy(text + 65536, " ", 2);
    check_fails(EXIA_EINVAL, exia__filter_parse(&filter, text, &err));
    check_text("more than 65536 bytes");
    for (int depth = 1; depth <= 70; depth++) {
        text[0] = '\0';
        for (int i = 0; i < depth; i++)
            strcat(text, "a = 1 or b = 2 and (");
        strcat(text, "c = 3");
        for (int i = 0; i < depth; i++)
            strcat(text, ")");
        if (depth < 64) {
            check_ok(exia__filter_parse(&filter, text, &err));
            exia__filter_match(filter, NULL);
            assert_null(exia__filter_equal(filter, "c"));
            exia__filter_free(filter);
        } else {
            check_fails(EXIA_EINVAL, exia__filter_parse(&filter, text, &err));
            check_text("nested too deep");
        }
    }
    text[0] = '\0';
    for (int i = 0; i < 64; i++)
        strcat(text, "not ");
    strcat(text, "a = 1");
    check_fails(EXIA_EINVAL, exia__filter_parse(&filter, text, &err));
    check_text("nested too deep");
    memset(text, '(', 60000);
    text[60000] = '\0';
    check_fails(EXIA_EINVAL, exia__filter_parse(&filter, text, &err));
    check_fails(EXIA_EINVAL, exia__filter_parse(&filter, "a = '\xff'", &err));
    check_text("UTF-8");
    check_fails(EXIA_EINVAL, exia__filter_parse(NULL, "", &err));
    free(text);
}

TEST(a_long_chain_of_conditions_works)
{
    json_t *value = row();
    char *text = malloc(70000), *at = text;
    assert_non_null(text);
    at += sprintf(at, "version = 1");
    for (int i = 0; i < 3000; i++)
        at += sprintf(at, " or version = %d", i % 7);
    assert_false(matches(text, value));
    sprintf(at, " or version = 7");
    assert_true(matches(text, value));
    free(text);
    json_decref(value);
}

TEST(like_takes_no_exponential_time)
{
    char *form = malloc(40000);
    assert_non_null(form);
    json_t *value = json_object();
    char *subject = malloc(30001);
    assert_non_null(subject);
    memset(subject, 'a', 30000);
    subject[30000] = '\0';
    json_object_set_new(value, "x", json_string(subject));
    strcpy(form, "x like '");
    for (int i = 0; i < 5000; i++)
        strcat(form + 8 + 2 * i, "%a");
    strcat(form, "%b'");
    assert_false(matches(form, value)); /* this ends */
    free(form);
    free(subject);
    json_decref(value);
}

/* ---- rows ----------------------------------------------------------------------------------- */

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

TEST(a_field_is_found_by_its_name)
{
    json_t *value = row();
    const json_t *found = NULL;
    check_ok(exia__filter_field(&found, "metrics.\"f1-score\"", value, &err));
    assert_true(json_real_value(found) == 0.5);
    check_ok(exia__filter_field(&found, "metrics.absent", value, &err));
    assert_null(found);
    check_ok(exia__filter_field(&found, "tags.\"a.b\"", value, &err));
    assert_string_equal(json_string_value(found), "dot");
    static const char *const bad[] = {"",      "a.",       "a b", "1",  "'a'",
                                      "a = 1", "f1-score", "\"a", "and"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(EXIA_EINVAL, exia__filter_field(&found, bad[i], value, &err));
        check_text("names no field");
        assert_null(found);
    }
    check_fails(EXIA_EINVAL, exia__filter_field(&found, NULL, value, &err));
    json_decref(value);
}

/* ---- a second opinion ----------------------------------------------------------------------- */

/* Random trees over fields a..d whose values are drawn below; written as text with only the
 * parentheses that are needed or with random ones, and evaluated straight from the tree. */
static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % below;
}

typedef struct tree {
    enum { LEAF, BOTH, EITHER, INVERSE } what;
    int field, literal, how;
    struct tree *left, *right;
} tree;

/* Literals and values come from one list, so that they meet often.  The oracle computes nothing: the
 * order of the values of a rank is written down. */
static const struct {
    const char *text;
    int rank; /* 0 number, 1 text, 2 boolean, 3 nothing */
    int place;
} values[] = {
    {"1", 0, 1},
    {"1.5", 0, 2},
    {"-2", 0, 0},
    {"9007199254740993", 0, 4},
    {"9007199254740992.0", 0, 3},
    {"9223372036854775807", 0, 5},
    {"1e19", 0, 6},
    {"x", 1, 1},
    {"xy", 1, 2},
    {"", 1, 0},
    {"true", 2, 1},
    {"false", 2, 0},
    {"null", 3, 0},
    {"absent", 3, 0},
};
enum { LITERALS = 12, VALUES = 14, FIELDS = 4 };
static const char *const signs[] = {"=", "!=", "<", "<=", ">", ">="};
static tree nodes[256];
static size_t node_count;

static tree *grow(int depth)
{
    tree *node = &nodes[node_count++];
    *node = (tree){.what = depth == 0 ? LEAF : draw(4)};
    node->field = (int)draw(FIELDS);
    node->literal = (int)draw(LITERALS);
    node->how = (int)draw(8); /* 6: is null, 7: is not null */
    if (node->what != LEAF)
        node->left = grow(depth - 1);
    if (node->what == BOTH || node->what == EITHER)
        node->right = grow(depth - 1);
    return node;
}

static void write_tree(char **at, const tree *node, int binding)
{
    static const int bindings[] = {[EITHER] = 1, [BOTH] = 2, [INVERSE] = 3, [LEAF] = 4};
    int own = bindings[node->what], parentheses = own < binding || draw(5) == 0;
    *at += sprintf(*at, "%s", parentheses ? "( " : "");
    if (node->what == LEAF && node->how >= 6) {
        *at += sprintf(*at, "%c is %snull", 'a' + node->field, node->how == 7 ? "not " : "");
    } else if (node->what == LEAF) {
        const char *quote = values[node->literal].rank == 1 ? "'" : "";
        *at += sprintf(*at, "%c %s %s%s%s", 'a' + node->field, signs[node->how], quote,
                       values[node->literal].text, quote);
    } else if (node->what == INVERSE) {
        *at += sprintf(*at, "not ");
        write_tree(at, node->left, own);
    } else {
        write_tree(at, node->left, own);
        *at += sprintf(*at, node->what == BOTH ? " and " : " or ");
        write_tree(at, node->right, own + 1);
    }
    *at += sprintf(*at, "%s", parentheses ? " )" : "");
}

static int judge(const tree *node, const int *row_values)
{
    switch (node->what) {
    case BOTH:
        return judge(node->left, row_values) && judge(node->right, row_values);
    case EITHER:
        return judge(node->left, row_values) || judge(node->right, row_values);
    case INVERSE:
        return !judge(node->left, row_values);
    case LEAF:
        break;
    }
    int value = row_values[node->field], literal = node->literal;
    if (node->how >= 6)
        return (values[value].rank == 3) == (node->how == 6);
    if (values[value].rank != values[literal].rank)
        return 0;
    int order = values[value].place - values[literal].place;
    switch (node->how) {
    case 0:
        return order == 0;
    case 1:
        return order != 0;
    case 2:
        return order < 0;
    case 3:
        return order <= 0;
    case 4:
        return order > 0;
    default:
        return order >= 0;
    }
}

static json_t *make_row(const int *row_values)
{
    json_t *made = json_object();
    for (int i = 0; i < FIELDS; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        const char *text = values[row_values[i]].text;
        if (row_values[i] == VALUES - 1)
            continue;
        json_t *value = values[row_values[i]].rank == 1 ? json_string(text)
                                                        : json_loads(text, JSON_DECODE_ANY, NULL);
        assert_int_equal(json_object_set_new(made, name, value), 0);
    }
    return made;
}

TEST(random_filters_mean_what_a_second_evaluator_says)
{
    static char text[65536];
    int yes = 0, rounds = 4000;
    for (int round = 0; round < rounds; round++) {
        seed = (uint64_t)round;
        node_count = 0;
        tree *root = grow((int)draw(6));
        char *at = text;
        write_tree(&at, root, 0);
        exia__filter *filter = NULL;
        check_ok(exia__filter_parse(&filter, text, &err));
        for (int i = 0; i < 10; i++) {
            int row_values[FIELDS];
            for (int k = 0; k < FIELDS; k++)
                row_values[k] = (int)draw(VALUES);
            json_t *made = make_row(row_values);
            int expected = judge(root, row_values);
            if (exia__filter_match(filter, made) != expected)
                fail_msg("seed %d: %s should be %d", round, text, expected);
            yes += expected;
            json_decref(made);
        }
        exia__filter_free(filter);
    }
    assert_in_range(yes, rounds, 9 * rounds); /* both answers were seen often */
}

/* Any bytes: accepted or refused with one line of text, and nothing else. */
TEST(random_texts_are_parsed_or_refused)
{
    static const char *const words[] = {
        "a",     "b.c",  "\"q\"", "'t'", "1", "-2.5e3", "and",      "or", "not", "in",    "like",
        "is",    "null", "(",     ")",   ",", "=",      "!=",       "<",  ">=",  "order", "by",
        "limit", "desc", "true",  ".",   "'", "\"",     "\xc3\xa4", ";",  "%",   "1e",    "0x"};
    int parsed = 0;
    for (int round = 0; round < 20000; round++) {
        char text[256] = "";
        seed = (uint64_t)round + 1000000;
        for (unsigned i = 0, count = draw(12); i < count; i++) {
            strcat(text, words[draw(sizeof words / sizeof *words)]);
            strcat(text, draw(4) ? " " : "");
        }
        exia__filter *filter = NULL;
        check_reset();
        exia_status rc = exia__filter_parse(&filter, text, &err);
        if (rc < 0)
            check_fails(EXIA_EINVAL, exia__filter_parse(&filter, text, &err));
        parsed += rc == EXIA_OK;
        exia__filter_match(filter, NULL);
        exia__filter_free(filter);
    }
    assert_in_range(parsed, 100, 19000);
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
