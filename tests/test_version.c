/* Versions and dependencies: what is refused, the order, what a clause admits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "package/version.h"
#include "support/check.h"

TEST(a_version_that_nobody_can_order_is_refused)
{
    static const char *const versions[] = {
        "",    "v1",  "a",   "1.",  "1..2",     ".1",      "1.0foo",       "1.0-", "1.0+",
        "1!2", "1_0", "1 0", "1/2", "1.0-a..b", "1.0+a+b", "1.0-\xc3\xa4", "-1",   "1.0-a.+b"};
    char long_one[200] = "1.";
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        check_fails(EXIA_EINVAL, exia__version_check(versions[i], &err));
    check_fails(EXIA_EINVAL, exia__version_check(NULL, &err));
    memset(long_one + 2, '1', 126);
    check_ok(exia__version_check(long_one, &err));
    memset(long_one + 2, '1', 127);
    check_fails(EXIA_EINVAL, exia__version_check(long_one, &err));
}

/* The example of PEP 440, that of semver, and how they mix; each before the next. */
TEST(versions_have_one_order)
{
    static const char *const order[] = {"0.9",
                                        "1.0.dev456",
                                        "1.0a1",
                                        "1.0a2.dev456",
                                        "1.0a12.dev456",
                                        "1.0a12",
                                        "1.0.0-alpha.12.3",
                                        "1.0.0-alpha.beta",
                                        "1.0b1.dev456",
                                        "1.0b2",
                                        "1.0b2.post345.dev456",
                                        "1.0b2.post345",
                                        "1.0.0-beta.11",
                                        "1.0.0-nightly.20260131",
                                        "1.0rc1.dev456",
                                        "1.0rc1",
                                        "1.0.0-snapshot",
                                        "1.0",
                                        "1.0+abc.5",
                                        "1.0+abc.7",
                                        "1.0+5",
                                        "1.0.post456.dev34",
                                        "1.0.post456",
                                        "1.0.15",
                                        "1.1.dev1",
                                        "1.1",
                                        "1.9",
                                        "1.10",
                                        "2024a",
                                        "2024.1",
                                        "99999999999999999999998",
                                        "99999999999999999999999"};
    size_t count = sizeof order / sizeof *order;
    for (size_t i = 0; i < count; i++) {
        check_ok(exia__version_check(order[i], &err));
        for (size_t k = 0; k < count; k++) {
            int got = exia__version_compare(order[i], order[k]);
            if ((got > 0) - (got < 0) != (i > k) - (i < k))
                fail_msg("%s against %s: %d", order[i], order[k], got);
        }
    }
}

TEST(spellings_of_one_version_are_equal)
{
    static const char *const same[][2] = {
        {"1", "1.0.0"},         {"1.0a1", "1.0.0-alpha.1"}, {"1.0a", "1.0a0"},
        {"1.0rc1", "1.0-C.1"},  {"1.0rc1", "1.0PRE1"},      {"1.0rc1", "1.0-preview-1"},
        {"1.0.post1", "1.0-1"}, {"1.0.post1", "1.0rev1"},   {"1.0-r4", "1.0.post4"},
        {"01.02", "1.2"},       {"1.0.dev", "1.0-dev0"},    {"1.0+ABC", "1.0+abc"},
        {"1.0+a.1", "1.0+a-1"}, {"1.0-a.b", "1.0-alpha.B"}, {"1.2-x.1", "1.2.0-X.01"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        if (exia__version_compare(same[i][0], same[i][1]) != 0)
            fail_msg("%s and %s", same[i][0], same[i][1]);
    }
}

TEST(what_is_no_version_comes_before_all)
{
    assert_true(exia__version_compare("x", "0") < 0);
    assert_true(exia__version_compare("0", "x") > 0);
    assert_true(exia__version_compare("x", "x") == 0);
}

TEST(pre_releases_are_told)
{
    static const char *const pre[] = {"1a1", "1.0.dev1", "1.0.post1.dev1", "1.0-x.y"};
    static const char *const final[] = {"1", "1.0-1", "1.0.post1", "1+dev", "x"};
    for (size_t i = 0; i < sizeof pre / sizeof *pre; i++)
        assert_true(exia__version_is_pre(pre[i]));
    for (size_t i = 0; i < sizeof final / sizeof *final; i++)
        assert_false(exia__version_is_pre(final[i]));
}

TEST(a_dependency_that_is_not_clear_is_refused)
{
    static const char *const texts[] = {"",
                                        " ",
                                        ">= 1",
                                        "Other",
                                        "other 1",
                                        "other >=",
                                        "other = 1",
                                        "other > 1,",
                                        "other > 1 < 2",
                                        "other ~= 1",
                                        "other ! 1",
                                        "other >=,",
                                        "other >= 1.*",
                                        "other >= v1",
                                        "o/x > 1",
                                        "other !=*",
                                        "other ^",
                                        "other ~ *",
                                        "other 1*",
                                        "other == 1.0rc1.*",
                                        "other *.1",
                                        "other == 1..*",
                                        "other .*",
                                        "other 1.2.* 3",
                                        "other ^=1",
                                        "other || >1",
                                        "other >1 ||",
                                        "other >1 || ",
                                        "other >1 |",
                                        "other >1 | >2",
                                        "other >1 ||| >2",
                                        "other >1 || || >2",
                                        "other >1, || >2",
                                        "other >1 ||, >2",
                                        "other ^1 ^2",
                                        "other||",
                                        "||",
                                        "other == 1+x.*",
                                        "other 1.2",
                                        "other => 1",
                                        "other > 1;",
                                        "other, > 1",
                                        "other >== 1",
                                        "other@1.0",
                                        "other[x] > 1"};
    exia__dependency d;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check_fails(EXIA_EINVAL, exia__dependency_parse(&d, texts[i], &err));
        assert_string_equal(d.name, "");
    }
    check_fails(EXIA_EINVAL, exia__dependency_parse(&d, "x>1,>1,>1,>1,>1,>1,>1,>1,>1", &err));
    check_text("8 clauses");
    check_fails(EXIA_EINVAL,
                exia__dependency_parse(&d, "x>1||>1||>1||>1||>1||>1||>1||>1||>1", &err));
    check_text("8 clauses");
}

static void admits(const char *text, const char *version, int expected)
{
    exia__dependency d;
    check_ok(exia__dependency_parse(&d, text, &err));
    if (exia__dependency_match(&d, version) != expected)
        fail_msg("\"%s\" and %s: not %d", text, version, expected);
}

TEST(a_dependency_admits_what_its_clauses_admit)
{
    admits("other", "0", 1);
    admits("other>=1.2,<2", "1.2", 1);
    admits(" other >= 1.2 , < 2 ", "1.99.9", 1);
    admits("other >= 1.2, < 2", "2.0", 0);
    admits("other >= 1.2, < 2", "1.1.9", 0);
    admits("other == 1.2", "1.2.0", 1);
    admits("other == 1.2", "1.2.1", 0);
    admits("other == 1.2", "1.2+cpu", 1);
    admits("other == 1.2+cpu", "1.2", 0);
    admits("other == 1.2+cpu", "1.2+cpu", 1);
    admits("other != 1.2", "1.2.0", 0);
    admits("other != 1.2", "1.3", 1);
    admits("other ~= 1.4.2", "1.4.9", 1);
    admits("other ~= 1.4.2", "1.4.1", 0);
    admits("other ~= 1.4.2", "1.5", 0);
    admits("other ~= 1.4", "1.9", 1);
    admits("other ~= 1.4", "2.0", 0);
    admits("other > 1", "1.0.post1", 0);
    admits("other > 1", "1+local", 0);
    admits("other > 1", "1.0.1", 1);
    admits("other > 1.post1", "1.post2", 1);
    admits("other <= 1", "1.0.0", 1);
    admits("other >= 1", "x", 0);
}

TEST(of_alternatives_one_must_hold)
{
    admits("other ^1.2 || ^2", "1.9", 1);
    admits("other ^1.2 || ^2", "2.5", 1);
    admits("other ^1.2 || ^2", "1.1", 0);
    admits("other ^1.2 || ^2", "3", 0);
    admits("other<1||>=3,<4||==7.*", "0.9", 1);
    admits("other<1||>=3,<4||==7.*", "3.9", 1);
    admits("other<1||>=3,<4||==7.*", "7.1", 1);
    admits("other<1||>=3,<4||==7.*", "1", 0);
    admits("other<1||>=3,<4||==7.*", "4", 0);
    admits("other > 5, < 4 || == 2", "2", 1);
    admits("other > 5, < 4 || == 2", "6", 0);
    admits("other == 2 || > 5, < 4", "6", 0);
    admits("other * || == 1.0rc1", "3", 1);
}

/* As npm has it: who allows a pre-release in one range does not allow them in the other. */
TEST(a_pre_release_is_admitted_by_the_alternative_that_names_one)
{
    admits("other >= 2.0rc1 || < 1", "2.0rc2", 1);
    admits("other >= 2.0rc1 || < 1", "0.9rc1", 0);
    admits("other < 1 || >= 2.0rc1", "0.9rc1", 0);
    admits("other < 1 || >= 2.0rc1", "2.1.dev1", 1);
    admits("other < 1 || >= 2.0rc1", "0.9", 1);
    admits("other * || == 1.0rc1", "1.0rc1", 1);
    admits("other * || == 1.0rc1", "1.0rc2", 0);
}

TEST(what_is_compatible_begins_with_the_same_numbers)
{
    admits("other ^1.2.3", "1.2.3", 1);
    admits("other ^1.2.3", "1.9", 1);
    admits("other ^1.2.3", "1.2.2", 0);
    admits("other ^1.2.3", "2.0", 0);
    admits("other^1", "1.99", 1);
    admits("other ^ 1.2", "2", 0);
    admits("other ^0.2.3", "0.2.9", 1);
    admits("other ^0.2.3", "0.3", 0);
    admits("other ^0.0.3", "0.0.3", 1);
    admits("other ^0.0.3", "0.0.4", 0);
    admits("other ^0.0", "0.0.7", 1);
    admits("other ^0.0", "0.1", 0);
    admits("other ^0", "0.9", 1);
    admits("other ^0", "1", 0);
    admits("other ~1.2.3", "1.2.9", 1);
    admits("other ~1.2.3", "1.3", 0);
    admits("other ~1.2.3", "1.2.2", 0);
    admits("other ~1.2", "1.2.0", 1);
    admits("other ~1.2", "1.3", 0);
    admits("other ~1", "1.9", 1);
    admits("other ~1", "2", 0);
    admits("other == 1.2.*", "1.2", 1);
    admits("other == 1.2.*", "1.2.9.post1", 1);
    admits("other == 1.2.*", "1.2.9+cpu", 1);
    admits("other == 1.2.*", "1.20", 0);
    admits("other == 1.2.*", "1.2rc1", 0);
    admits("other == 1.2.*, >= 1.2a1", "1.2rc1", 1);
    admits("other 1.2.*", "1.2.7", 1);
    admits("other != 1.2.*", "1.2.7", 0);
    admits("other != 1.2.*", "1.3", 1);
    admits("other ^1, != 1.4.*", "1.5", 1);
    admits("other ^1, != 1.4.*", "1.4.2", 0);
    admits("other *", "0.1", 1);
    admits("other == *, < 1", "0.1", 1);
    admits("other *", "1.0rc1", 0);
    admits("other ^1.0rc1", "1.0rc2", 1);
    admits("other ^1", "2.0rc1", 0);
}

TEST(a_pre_release_is_admitted_only_where_one_is_named)
{
    admits("other", "1.0rc1", 0);
    admits("other >= 1", "1.1rc1", 0);
    admits("other >= 1.1a1", "1.1rc1", 1);
    admits("other < 2", "2.0rc1", 0);
    admits("other < 2, >= 1.0a1", "2.0rc1", 0);
    admits("other < 2.0rc2", "2.0rc1", 1);
}

/* For tests/test_versions.py: of each line of the file EXIA_QUESTIONS, two versions or a dependency and a
 * version with a tab between, what there is to say, a line each. */
TEST(questions_of_a_file_are_answered)
{
    const char *path = getenv("EXIA_QUESTIONS");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[1024];
    FILE *answers = path ? fopen(check_format("%s.answers", path), "w") : NULL;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *second = strchr(line, '\t');
        assert_non_null(second);
        *second++ = '\0';
        int order = exia__version_compare(line, second);
        exia__dependency d;
        if (line[0] >= '0' && line[0] <= '9')
            fprintf(answers, "%d\n", (order > 0) - (order < 0));
        else if (exia__dependency_parse(&d, line, &err) == EXIA_OK)
            fprintf(answers, "%d\n", exia__dependency_match(&d, second));
        else
            fprintf(answers, "%s\n", err.text);
    }
    if (file != NULL && answers != NULL) {
        fclose(file);
        assert_int_equal(fclose(answers), 0);
    }
}
