/* The filter language: which filters match a row and which do not. */
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

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
