/* Random filters against a second opinion, and random texts. */
#include <stdio.h>

#include <jansson.h>

#include "store/filter.h"
#include "support/check.h"

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
