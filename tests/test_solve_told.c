/* What the search for versions says: why there is no answer, word by word, what was passed over in one;
 * and that whoever offers far too much is told so in seconds. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "package/version.h"
#include "support/universe.h"

enum { MOST_LINES = 12 };

/* "top 1: a, low >= 2; b" is a candidate with two needs. */
static void offer_line(const char *line)
{
    const char *name = check_format("%.*s", (int)strcspn(line, " "), line);
    const char *version = line + strlen(name) + 1;
    size_t size = strcspn(version, ":");
    const char *needs = version + size, *list = "";
    version = check_format("%.*s", (int)size, version);
    while (*needs != '\0') {
        needs += 1 + strspn(needs + 1, " ");
        size = strcspn(needs, ";");
        list = check_format("%s%s\"%.*s\"", list, *list ? ", " : "", (int)size, needs);
        needs += size;
    }
    offer(name, version, list);
}

static void make_universe(const char *const *lines)
{
    universe = json_object();
    for (; *lines != NULL; lines++)
        offer_line(*lines);
}

/* ---- refusals -------------------------------------------------------------------------------- */

TEST(a_refusal_says_who_needs_what_and_what_there_is)
{
    static const struct {
        exia_status status;
        const char *lines[MOST_LINES], *text;
    } cases[] = {
        /* nobody has it */
        {EXIA_ENOTFOUND, {"top 1: gone >= 1"}, "top@1 needs \"gone >= 1\": there is no gone here"},
        {EXIA_ENOTFOUND,
         {"top 2: gone", "top 1: gone"},
         "top (every version) needs \"gone\": there is no gone here"},
        /* none in the range */
        {EXIA_ENOTFOUND,
         {"top 1: low >= 3", "low 2", "low 1"},
         "top@1 needs \"low >= 3\": of low there is only 2, 1 here"},
        {EXIA_ENOTFOUND,
         {"top 1: low ^3 || ^5", "low 4"},
         "top@1 needs \"low ^3 || ^5\": of low there is only 4 here"},
        {EXIA_ENOTFOUND,
         {"top 1: low < 1", "low 7", "low 6", "low 5", "low 4", "low 3", "low 2"},
         "top@1 needs \"low < 1\": of low there is only 7, 6, 5, 4, 3 ... here"},
        {EXIA_ENOTFOUND,
         {"top 1: low", "low 2rc1"},
         "top@1 needs \"low\": of low there is only 2rc1 here (a pre-release only where a range "
         "names one)"},
        /* two who ask */
        {EXIA_ENOTFOUND,
         {"top 1: a; b", "a 2: low >= 2", "b 3: low < 2", "low 2", "low 1"},
         "b@3 needs \"low < 2\", a@2 needs \"low >= 2\": of low there is only 2, 1 here"},
        {EXIA_ENOTFOUND,
         {"top 1: a; b", "a 2: low >= 2", "a 1: low > 1", "b 3: low < 2", "low 2", "low 1"},
         "b@3 needs \"low < 2\", a (every version) needs \"low >= 2\": of low there is only 2, 1 "
         "here"},
        {EXIA_ENOTFOUND,
         {"top 1: a; low < 2", "a 1: low >= 2", "low 2", "low 1"},
         "top@1 needs \"low < 2\", a@1 needs \"low >= 2\": of low there is only 2, 1 here"},
        /* far below */
        {EXIA_ENOTFOUND,
         {"top 1: a", "a 1: b", "b 1: gone"},
         "b@1 needs \"gone\": there is no gone here; top needs a needs b"},
        {EXIA_ENOTFOUND,
         {"top 1: a", "a 1: b", "b 1: c", "c 1: d", "d 1: e", "e 1: f", "f 1: gone"},
         "f@1 needs \"gone\": there is no gone here; top needs a needs b needs ... needs e needs "
         "f"},
        {EXIA_ENOTFOUND,
         {"top 1: a; b", "a 1: c", "b 1: d", "c 1: low < 2", "d 1: low > 1", "low 2", "low 1"},
         "d@1 needs \"low > 1\", c@1 needs \"low < 2\": of low there is only 2, 1 here; top needs "
         "b "
         "needs d; top needs a needs c"},
        /* what there is besides is no better */
        {EXIA_ENOTFOUND,
         {"top 1: a", "a 2: gone", "a 1: low > 1", "low 1"},
         "a@2 needs \"gone\": there is no gone here; other versions of a do not help"},
        /* round and round */
        {EXIA_ECYCLE, {"top 1: top"}, "the packages need each other: top@1 needs top"},
        {EXIA_ECYCLE,
         {"top 1: a", "a 1: b", "b 1: a"},
         "the packages need each other: a@1 needs b@1 needs a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *answer = NULL;
        make_universe(cases[i].lines);
        check_fails(cases[i].status, solve(&answer, "top"));
        assert_string_equal(err.text, cases[i].text);
        assert_null(answer);
        json_decref(universe);
    }
}

TEST(a_circle_is_left_for_another_version_where_there_is_one)
{
    json_t *answer = NULL;
    universe = json_object();
    offer("a", "1", "\"b\"");
    offer("b", "2", "\"c\"");
    offer("b", "1", NULL);
    offer("c", "1", "\"a\"");
    assert_int_equal(solve(&answer, "a"), EXIA_OK);
    assert_int_equal(json_array_size(answer), 2);
    json_decref(answer);
    json_array_remove(json_object_get(universe, "b"), 1);
    assert_int_equal(solve(&answer, "a"), EXIA_ECYCLE);
    print_message("%s\n", err.text);
    check_text("a@1 needs b@2 needs c@1 needs a");
    json_decref(universe);
}

TEST(whoever_needs_itself_goes_in_a_circle)
{
    json_t *answer = NULL;
    universe = json_object();
    offer("a", "1", "\"a\"");
    assert_int_equal(solve(&answer, "a"), EXIA_ECYCLE);
    check_text("a@1 needs a");
    json_decref(universe);
}

TEST(a_circle_of_thousands_is_refused_in_one_line)
{
    json_t *answer = NULL;
    universe = json_object();
    for (int p = 0; p < 5000; p++)
        offer(check_format("p%d", p), "1", check_format("\"p%d\"", (p + 1) % 5000));
    assert_int_equal(solve(&answer, "p0"), EXIA_ECYCLE);
    check_text("p0@1 needs p1@1 needs p2@1");
    assert_null(answer);
    json_decref(universe);
}

/* ---- what was passed over -------------------------------------------------------------------- */

static const char *passed_over(const json_t *answer, const char *name)
{
    for (size_t i = 0; i < json_array_size(answer); i++) {
        const json_t *row = json_array_get(answer, i);
        if (strcmp(exia__json_string(row, "name"), name) == 0)
            return exia__json_string(row, "passed_over");
    }
    fail_msg("%s is not chosen", name);
    return NULL;
}

TEST(a_newer_version_that_is_not_taken_is_told_with_the_reason)
{
    static const struct {
        const char *lines[MOST_LINES], *text;
    } cases[] = {
        {{"top 1: x", "x 2: y >= 3", "x 1: y", "y 2"}, "x 2 was passed over: it needs \"y >= 3\""},
        {{"top 1: x", "x 2: y", "x 1"}, "x 2 was passed over: it needs \"y\""},
        {{"top 1: x; y", "x 2: y >= 3", "x 1", "y 2"}, "x 2 was passed over: it needs \"y >= 3\""},
        {{"top 1: x < 2", "x 2", "x 1"}, "x 2 was passed over: top@1 needs \"x < 2\""},
        {{"top 1: x", "x 2: y", "x 1", "y 1: gone"},
         "x 2 was passed over: it does not go together with the rest"},
        {{"top 1: x", "x 2: y", "x 1", "y 1: x"},
         "x 2 was passed over: it does not go together with the rest"},
        {{"top 1: x", "x 2", "x 1"}, NULL},
        {{"top 1: x", "x 1", "x 2"}, NULL}, /* an older one was wanted first */
        {{"top 1: x > 1", "x 1", "x 2"}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *answer = NULL;
        make_universe(cases[i].lines);
        check_ok(solve(&answer, "top"));
        const char *text = passed_over(answer, "x");
        if ((text == NULL) != (cases[i].text == NULL) ||
            (text != NULL && strcmp(text, cases[i].text) != 0))
            fail_msg("case %zu: %s", i, text ? text : "nothing");
        assert_null(passed_over(answer, "top"));
        json_decref(answer);
        json_decref(universe);
    }
}

/* ---- far too much ---------------------------------------------------------------------------- */

static json_t *list_of(uint32_t count, const char *format)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof text, format, i);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

/* `count` versions that all have the same list of needs, which is borrowed. */
static void offer_many(const char *name, uint32_t count, json_t *needs)
{
    json_t *list = json_array();
    for (uint32_t v = count; v > 0; v--)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:O}", "name", name, "version",
                                              check_format("%u", v), "tag", "any", "dependencies",
                                              needs));
    json_object_set_new(universe, name, list);
}

/* What is never tried costs nothing. */
TEST(ten_thousand_versions_with_a_thousand_needs_each_are_solved_by_the_first_that_is_good)
{
    json_t *answer = NULL, *needs = list_of(1000, "p%u"), *none = json_array();
    universe = json_object();
    offer_many("top", 10000, needs);
    for (uint32_t p = 0; p < 1000; p++)
        offer_many(check_format("p%u", p), 1, none);
    check_ok(solve(&answer, "top"));
    assert_int_equal(json_array_size(answer), 1001);
    json_decref(answer);
    json_decref(needs);
    json_decref(none);
    json_decref(universe);
}

/* Each version needs something else of the same package, of which there are as many. */
static void make_hostile(uint32_t versions)
{
    universe = json_object();
    for (uint32_t v = versions; v > 0; v--) {
        offer("top", check_format("%u", v), check_format("\"low == %u\"", v));
        offer("low", check_format("%u", v), check_format("\"end > %u\"", v));
    }
    offer("end", "0", NULL);
}

TEST(thousands_of_ranges_that_all_differ_are_refused_in_seconds)
{
    json_t *answer = NULL;
    make_hostile(1500);
    int64_t begin = exia__clock_ns();
    exia_status rc = solve(&answer, "top");
    print_message("%.1f ms: %s\n", (double)(exia__clock_ns() - begin) / 1e6, err.text);
    assert_true(rc == EXIA_ENOTFOUND || rc == EXIA_EUNSUPPORTED);
    assert_null(answer);
    json_decref(universe);
}

static int stop_at_once(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)done, (void)total, (void)payload;
    return 1;
}

TEST(a_long_search_is_cancelled_in_the_midst_of_it)
{
    const exia__question question = {"top", NULL, universe_look, NULL};
    const exia_job job = {.struct_size = sizeof job, .progress = stop_at_once};
    exia__work work;
    json_t *answer = NULL, *needs = list_of(1000, "low != %u"), *none = json_array();
    universe = json_object();
    offer_many("top", 10, needs);
    offer_many("low", 1000, none);
    check_ok(exia__work_begin(&work, &job, &err));
    check_fails(EXIA_ECANCELLED, exia__solve(&answer, &question, &work, &err));
    json_decref(needs);
    json_decref(none);
    json_decref(universe);
}

/* Every need of every version names a package that nobody else names. */
TEST(more_names_than_memory_should_hold_are_refused)
{
    json_t *answer = NULL;
    universe = json_object();
    json_t *list = json_array();
    for (uint32_t v = 200; v > 0; v--) {
        json_t *own = json_array();
        for (uint32_t i = 0; i < 5000; i++) {
            char name[32];
            snprintf(name, sizeof name, "p%u-%u", v, i);
            json_array_append_new(own, json_string(name));
        }
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:o}", "name", "top", "version",
                                        check_format("%u", v), "tag", "any", "dependencies", own));
    }
    json_object_set_new(universe, "top", list);
    check_fails(EXIA_EUNSUPPORTED, solve(&answer, "top"));
    check_text("too many combinations");
    json_decref(universe);
}
