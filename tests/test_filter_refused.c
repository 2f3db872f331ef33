/* What is no filter is refused, and the place and the reason are shown. */
#include <stdlib.h>

#include "store/filter.h"
#include "support/check.h"

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
        {"a in 1", "character 6", "'(' or a name behind in"},
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
