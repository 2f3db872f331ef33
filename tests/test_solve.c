/* The search for versions that go together: against all combinations on small random universes, and
 * on large ones that a search without learning would not finish. */
#include <stdlib.h>

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "package/version.h"
#include "support/universe.h"

enum { MOST = 40 };

static const json_t *chosen_of(const json_t *answer, const char *name, size_t *at)
{
    for (size_t i = 0; i < json_array_size(answer); i++) {
        const json_t *row = json_array_get(answer, i);
        *at = i;
        if (strcmp(exia__json_string(row, "name"), name) == 0)
            return row;
    }
    return NULL;
}

/* Every need of what is chosen is met by what comes before it, and each package is there once. */
static void check_answer(const json_t *answer, const char *root)
{
    size_t at = 0, again = 0;
    assert_non_null(chosen_of(answer, root, &at));
    assert_int_equal(at, json_array_size(answer) - 1);
    for (size_t i = 0; i < json_array_size(answer); i++) {
        const json_t *row = json_array_get(answer, i),
                     *needs = json_object_get(row, "dependencies");
        chosen_of(answer, exia__json_string(row, "name"), &again);
        assert_int_equal(again, i);
        for (size_t k = 0; k < json_array_size(needs); k++) {
            exia__dependency need;
            check_ok(
                exia__dependency_parse(&need, json_string_value(json_array_get(needs, k)), &err));
            const json_t *met = chosen_of(answer, need.name, &at);
            assert_non_null(met);
            assert_true(at < i);
            assert_true(exia__dependency_match(&need, exia__json_string(met, "version")));
        }
    }
}

/* ---- against all combinations ---- */

static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(state >> 33) % below;
}

/* `packages` of up to `versions` candidates, p0 with one. */
static void make_universe(uint32_t packages, uint32_t versions, uint32_t needs)
{
    static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">="};
    for (uint32_t p = 0; p < packages; p++) {
        uint32_t count = p == 0 ? 1 : draw(versions + 1);
        for (uint32_t v = count; v > 0; v--) {
            char list[1024] = "";
            for (uint32_t k = draw(needs + 1); k > 0; k--) {
                size_t size = strlen(list);
                uint32_t on = draw(packages);
                snprintf(list + size, sizeof list - size, "%s\"p%u", size ? ", " : "", on);
                size = strlen(list);
                for (uint32_t clauses = draw(4), c = 0; c < clauses; c++) {
                    snprintf(list + size, sizeof list - size, "%s %s %u",
                             c == 0    ? ""
                             : draw(2) ? " ||"
                                       : ",",
                             operators[draw(6)], 1 + draw(versions));
                    size = strlen(list);
                }
                strcat(list, "\"");
            }
            offer(check_format("p%u", p), check_format("%u", v), list);
        }
    }
}

/* Each package's candidate by number, or none. */
typedef struct pick {
    const char *names[MOST];
    const json_t *rows[MOST];
    uint32_t count;
} pick;

static const json_t *picked(const pick *all, const char *name)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (strcmp(all->names[i], name) == 0)
            return all->rows[i];
    }
    return NULL;
}

/* Are all needs met, in some order? */
static int is_good(const pick *all)
{
    int placed[MOST] = {0};
    uint32_t left = 0, before = UINT32_MAX;
    for (uint32_t i = 0; i < all->count; i++)
        left += all->rows[i] != NULL;
    while (left > 0 && left < before) {
        before = left;
        for (uint32_t i = 0; i < all->count; i++) {
            const json_t *needs = json_object_get(all->rows[i], "dependencies");
            int ready = all->rows[i] != NULL && !placed[i];
            for (size_t k = 0; ready && k < json_array_size(needs); k++) {
                exia__dependency need;
                check_ok(exia__dependency_parse(&need, json_string_value(json_array_get(needs, k)),
                                                &err));
                const json_t *met = picked(all, need.name);
                ready =
                    met != NULL && exia__dependency_match(&need, exia__json_string(met, "version"));
                for (uint32_t n = 0; ready && n < all->count; n++)
                    ready = all->rows[n] != met || placed[n];
            }
            placed[i] |= ready;
            left -= (uint32_t)ready;
        }
    }
    return left == 0;
}

static int any_is_good(void)
{
    pick all = {0};
    uint32_t at[MOST] = {0};
    const char *name;
    json_t *list;
    json_object_foreach(universe, name, list) all.names[all.count++] = name;
    for (;;) {
        for (uint32_t i = 0; i < all.count; i++)
            all.rows[i] =
                at[i] ? json_array_get(json_object_get(universe, all.names[i]), at[i] - 1) : NULL;
        if (picked(&all, "p0") != NULL && is_good(&all))
            return 1;
        uint32_t i = 0;
        while (i < all.count && ++at[i] > json_array_size(json_object_get(universe, all.names[i])))
            at[i++] = 0;
        if (i == all.count)
            return 0;
    }
}

TEST(the_verdict_is_that_of_all_combinations)
{
    size_t yes = 0, no = 0, circles = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        json_t *answer = NULL;
        state = seed;
        universe = json_object();
        make_universe(3 + draw(4), 1 + draw(3), 1 + draw(3));
        int good = any_is_good();
        exia_status rc = solve(&answer, "p0");
        if (good != (rc == EXIA_OK))
            fail_msg("seed %llu: %s", (unsigned long long)seed, rc < 0 ? err.text : "an answer");
        if (rc == EXIA_OK)
            check_answer(answer, "p0");
        else
            assert_true(strlen(err.text) > 10);
        yes += rc == EXIA_OK;
        no += rc == EXIA_ENOTFOUND;
        circles += rc == EXIA_ECYCLE;
        json_decref(answer);
        json_decref(universe);
    }
    print_message("%zu have an answer, %zu have none, %zu go in a circle\n", yes, no, circles);
    assert_true(yes > 500 && no > 500 && circles > 50);
}

TEST(dense_universes_get_an_answer_that_holds_or_a_reason)
{
    size_t yes = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        json_t *answer = NULL, *again = NULL;
        state = seed;
        universe = json_object();
        make_universe(25, 8, 3);
        exia_status rc = solve(&answer, "p0");
        assert_int_equal(solve(&again, "p0"), rc);
        assert_true(json_equal(answer, again) || rc < 0);
        if (rc == EXIA_OK)
            check_answer(answer, "p0");
        yes += rc == EXIA_OK;
        json_decref(answer);
        json_decref(again);
        json_decref(universe);
    }
    print_message("%zu of 300 have an answer\n", yes);
}

/* ---- hard ones ---- */

/* 30 packages of 30 versions, which all get on with each other; only the last ones cannot. */
TEST(a_conflict_deep_below_many_choices_is_found_in_milliseconds)
{
    json_t *answer = NULL;
    universe = json_object();
    const char *root = "";
    for (int p = 0; p < 30; p++) {
        root = check_format("%s%s\"p%d\"", root, p ? ", " : "", p);
        for (int v = 30; v > 0; v--) {
            const char *needs = p < 28    ? check_format("\"p%d\", \"p%d\"", p + 1, 29)
                                : p == 28 ? "\"low >= 2\""
                                          : "\"low < 2\"";
            offer(check_format("p%d", p), check_format("%d", v), needs);
        }
    }
    offer("root", "1", root);
    offer("low", "2", NULL);
    offer("low", "1", NULL);
    int64_t begin = exia__clock_ns();
    assert_int_equal(solve(&answer, "root"), EXIA_ENOTFOUND);
    print_message("%.1f ms: %s\n", (double)(exia__clock_ns() - begin) / 1e6, err.text);
    check_text("low");
    json_decref(universe);
}

/* Each version needs those of the next package that are as old, or one older, down to one that is not
 * there: 2^30 ways. */
TEST(many_ways_that_all_end_badly_are_refused_in_milliseconds)
{
    json_t *answer = NULL;
    universe = json_object();
    offer("root", "1", "\"p0\"");
    for (int p = 0; p < 30; p++) {
        for (int v = 60; v > 0; v--)
            offer(check_format("p%d", p), check_format("%d", v),
                  check_format("\"p%d >= %d, <= %d\", \"shared == %d\"", p + 1, v - 1, v,
                               p == 29 ? v + 100 : v / 2));
    }
    for (int v = 60; v > 0; v--)
        offer("p30", check_format("%d", v), "\"shared > 30\"");
    for (int v = 30; v >= 0; v--)
        offer("shared", check_format("%d", v), NULL);
    int64_t begin = exia__clock_ns();
    assert_int_equal(solve(&answer, "root"), EXIA_ENOTFOUND);
    print_message("%.1f ms: %s\n", (double)(exia__clock_ns() - begin) / 1e6, err.text);
    json_decref(universe);
}

/* N + 1 birds and N holes: what learning alone is slow at. */
TEST(birds_without_holes_are_refused)
{
    json_t *answer = NULL;
    const char *root = "";
    universe = json_object();
    for (int bird = 0; bird < 6; bird++) {
        root = check_format("%s%s\"bird%d\"", root, bird ? ", " : "", bird);
        for (int hole = 0; hole < 5; hole++)
            offer(check_format("bird%d", bird), check_format("%d", hole),
                  check_format("\"hole%d == %d\"", hole, bird));
    }
    for (int hole = 0; hole < 5; hole++) {
        for (int bird = 0; bird < 6; bird++)
            offer(check_format("hole%d", hole), check_format("%d", bird), NULL);
    }
    offer("root", "1", root);
    int64_t begin = exia__clock_ns();
    assert_int_equal(solve(&answer, "root"), EXIA_ENOTFOUND);
    print_message("%.1f ms: %s\n", (double)(exia__clock_ns() - begin) / 1e6, err.text);
    json_decref(universe);
}

TEST(ten_thousand_packages_in_a_chain_are_put_in_order)
{
    json_t *answer = NULL;
    universe = json_object();
    for (int p = 0; p < 10000; p++) {
        for (int v = 3; v > 0; v--)
            offer(check_format("p%d", p), check_format("%d", v),
                  p < 9999 ? check_format("\"p%d >= %d\"", p + 1, v - 1) : "");
    }
    int64_t begin = exia__clock_ns();
    assert_int_equal(solve(&answer, "p0"), EXIA_OK);
    print_message("%.1f ms\n", (double)(exia__clock_ns() - begin) / 1e6);
    assert_int_equal(json_array_size(answer), 10000);
    assert_string_equal(exia__json_string(json_array_get(answer, 0), "name"), "p9999");
    json_decref(answer);
    json_object_del(universe, "p9999");
    begin = exia__clock_ns();
    assert_int_equal(solve(&answer, "p0"), EXIA_ENOTFOUND);
    print_message("%.1f ms: %s\n", (double)(exia__clock_ns() - begin) / 1e6, err.text);
    json_decref(universe);
}

TEST(thousands_of_dependencies_of_one_package_are_met)
{
    json_t *answer = NULL, *needs = json_array();
    universe = json_object();
    for (int p = 0; p < 5000; p++) {
        offer(check_format("p%d", p), "1", "\"low\"");
        json_array_append_new(needs, json_string(check_format("p%d", p)));
    }
    offer("low", "1", NULL);
    offer("root", "1", NULL);
    json_object_set_new(json_array_get(json_object_get(universe, "root"), 0), "dependencies",
                        needs);
    int64_t begin = exia__clock_ns();
    assert_int_equal(solve(&answer, "root"), EXIA_OK);
    print_message("%.1f ms\n", (double)(exia__clock_ns() - begin) / 1e6);
    assert_int_equal(json_array_size(answer), 5002);
    json_decref(answer);
    json_decref(universe);
}

/* ---- cut short ---- */

static exia_status solve_again(void *payload, exia_error *error)
{
    const exia__question question = {payload, NULL, universe_look, NULL};
    exia__work work;
    json_t *answer = NULL;
    exia_status rc = exia__work_begin(&work, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__solve(&answer, &question, &work, error);
    json_decref(answer);
    /* a refusal is an answer, too */
    return rc == EXIA_ENOTFOUND || rc == EXIA_ECYCLE ? EXIA_OK : rc;
}

TEST(a_search_without_memory_ends_and_leaves_nothing)
{
    universe = json_object();
    offer("yes", "1", "\"a\", \"b\"");
    offer("no", "1", "\"a\", \"b\", \"low < 1\"");
    offer("round", "1", "\"a\", \"back\"");
    offer("back", "1", "\"round\"");
    offer("a", "2", "\"low >= 2\"");
    offer("a", "1", NULL);
    offer("b", "2", "\"low < 2\"");
    offer("b", "1", "\"low == 2\", \"a < 2\"");
    offer("low", "2", NULL);
    offer("low", "1", NULL);
    check_survives_no_memory(solve_again, "yes");
    check_survives_no_memory(solve_again, "no");
    check_survives_no_memory(solve_again, "round");
    json_decref(universe);
}

static int stop(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)total, (void)payload;
    return done > 0;
}

TEST(a_search_is_cancelled_between_two_conflicts)
{
    const exia__question question = {"p0", NULL, universe_look, NULL};
    const exia_job job = {.struct_size = sizeof job, .progress = stop};
    exia__work work;
    json_t *answer = NULL;
    universe = json_object();
    offer("p0", "1", "\"a\", \"b\"");
    offer("a", "2", "\"low >= 2\"");
    offer("a", "1", NULL);
    offer("b", "2", "\"low < 2\"");
    offer("low", "2", NULL);
    offer("low", "1", NULL);
    check_ok(exia__work_begin(&work, &job, &err));
    check_fails(EXIA_ECANCELLED, exia__solve(&answer, &question, &work, &err));
    json_decref(universe);
}
