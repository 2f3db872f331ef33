/* The graph: bad input first, then order, levels and cycles against slow and simple witnesses, and
 * the exports read back. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/graphs.h"

static const char *order_of(exia_dag *dag)
{
    const uint32_t *nodes;
    size_t count;
    static char text[64];
    check_ok(exia_dag_order(&nodes, &count, dag, &err));
    for (size_t i = 0; i < count; i++)
        text[i] = exia_dag_name(dag, nodes[i])[0];
    text[count] = '\0';
    return text;
}

TEST(each_call_refuses_null)
{
    exia_dag *dag = open_dag(1);
    const uint32_t *nodes, zero = 0;
    uint32_t node;
    size_t count;
    exia_groups groups;
    char *text;
    check_fails(EXIA_EINVAL, exia_dag_open(NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(&node, NULL, NULL, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_edges(NULL, &zero, &zero, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_edges(dag, NULL, &zero, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_edges(dag, &zero, NULL, 1, &err));
    check_ok(exia_dag_add_edges(dag, NULL, NULL, 0, &err));
    check_fails(EXIA_EINVAL, exia_dag_find(&node, dag, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_find(NULL, dag, "a", &err));
    check_fails(EXIA_EINVAL, exia_dag_find(&node, NULL, "a", &err));
    check_fails(EXIA_EINVAL, exia_dag_order(NULL, &count, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_order(&nodes, NULL, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_order(&nodes, &count, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_levels(&groups, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_levels(NULL, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_cycles(&groups, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_cycles(NULL, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_run(NULL, dag, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_export(NULL, dag, "dot", &err));
    check_fails(EXIA_EINVAL, exia_dag_export(&text, NULL, "dot", &err));
    check_fails(EXIA_EINVAL, exia_dag_export(&text, dag, NULL, &err));
    assert_null(exia_dag_name(NULL, 0));
    assert_null(exia_dag_name(dag, 7));
    assert_int_equal(exia_dag_node_count(NULL), 0);
    exia_dag_free(dag);
    exia_dag_free(NULL);
}

TEST(errors_may_be_dropped)
{
    exia_dag *dag = open_named("ab");
    uint32_t node = 9;
    edges(dag, "ab ba");
    const uint32_t *nodes;
    size_t count;
    assert_int_equal(exia_dag_order(&nodes, &count, dag, NULL), EXIA_ECYCLE);
    assert_int_equal(exia_dag_find(&node, dag, "x", NULL), EXIA_ENOTFOUND);
    exia_dag_free(dag);
}

TEST(an_edge_to_no_node_adds_none_of_its_batch)
{
    exia_dag *dag = open_dag(3);
    const uint32_t before[] = {0, 1, 3}, after[] = {1, 2, 0};
    exia_groups levels;
    check_fails(EXIA_EINVAL, exia_dag_add_edges(dag, before, after, 3, &err));
    check_text("edge 2 goes from 3 to 0");
    check_ok(exia_dag_levels(&levels, dag, &err));
    assert_int_equal(levels.count, 1);
    exia_dag_free(dag);
    dag = open_dag(0);
    check_fails(EXIA_EINVAL, exia_dag_add_edges(dag, before, after, 1, &err));
    exia_dag_free(dag);
}

TEST(a_bad_name_adds_none_of_its_batch)
{
    exia_dag *dag = open_named("ab");
    uint32_t node, first = 7;
    const char *taken[] = {"c", "d", "a"}, *twice[] = {"c", NULL, "c"}, *empty[] = {"c", ""};
    const char *latin[] = {"caf\xe9"}, *good[] = {"c", NULL, "d"};
    check_fails(EXIA_EEXISTS, exia_dag_add_nodes(&first, dag, taken, 3, &err));
    check_text("'a' is taken by number 0");
    assert_int_equal(first, 0);
    check_fails(EXIA_EEXISTS, exia_dag_add_nodes(NULL, dag, twice, 3, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(NULL, dag, empty, 2, &err));
    check_text("empty");
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(NULL, dag, latin, 1, &err));
    check_text("UTF-8");
    assert_int_equal(exia_dag_node_count(dag), 2);
    check_fails(EXIA_ENOTFOUND, exia_dag_find(&node, dag, "c", &err));
    check_text("'c'");
    check_ok(exia_dag_add_nodes(&first, dag, good, 3, &err));
    assert_int_equal(first, 2);
    check_ok(exia_dag_find(&node, dag, "d", &err));
    assert_int_equal(node, 4);
    assert_null(exia_dag_name(dag, 3));
    exia_dag_free(dag);
}

TEST(too_many_nodes_are_refused_before_memory_is_asked_for)
{
    exia_dag *dag = open_dag(1);
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(NULL, dag, NULL, SIZE_MAX, &err));
    check_fails(EXIA_EINVAL, exia_dag_add_nodes(NULL, dag, NULL, UINT32_MAX - 1, &err));
    assert_int_equal(exia_dag_node_count(dag), 1);
    exia_dag_free(dag);
}

TEST(names_are_found_among_many_and_never_move)
{
    enum { COUNT = 20000 };
    exia_dag *dag = open_dag(5); /* some without a name come first */
    const char *early = NULL;
    for (uint32_t i = 0; i < COUNT; i++) {
        char name[32];
        const char *names[] = {name};
        snprintf(name, sizeof name, "node-%u", i * 7919u);
        check_ok(exia_dag_add_nodes(NULL, dag, names, 1, &err));
        if (i == 0)
            early = exia_dag_name(dag, 5);
    }
    assert_ptr_equal(early, exia_dag_name(dag, 5));
    for (uint32_t i = 0; i < COUNT; i++) {
        char name[32];
        uint32_t node;
        snprintf(name, sizeof name, "node-%u", i * 7919u);
        check_ok(exia_dag_find(&node, dag, name, &err));
        assert_int_equal(node, i + 5);
        assert_string_equal(exia_dag_name(dag, node), name);
    }
    exia_dag_free(dag);
}

TEST(an_empty_graph_has_an_order_of_none)
{
    exia_dag *dag = open_dag(0);
    const uint32_t *nodes;
    size_t count = 9;
    exia_groups groups;
    check_ok(exia_dag_order(&nodes, &count, dag, &err));
    assert_int_equal(count, 0);
    check_ok(exia_dag_levels(&groups, dag, &err));
    assert_int_equal(groups.count, 0);
    assert_int_equal(groups.starts[0], 0);
    check_ok(exia_dag_cycles(&groups, dag, &err));
    assert_int_equal(groups.count, 0);
    assert_int_equal(groups.starts[0], 0);
    exia_dag_free(dag);
}

TEST(the_order_goes_by_level_and_then_by_insertion)
{
    exia_dag *dag = open_named("abcdef");
    assert_string_equal(order_of(dag), "abcdef");
    edges(dag, "fa");
    assert_string_equal(order_of(dag), "bcdefa");
    edges(dag, "ed eb");
    assert_string_equal(order_of(dag), "cefabd");
    edges(dag, "ab");
    assert_string_equal(order_of(dag), "cefadb");
    exia_dag_free(dag);
}

TEST(the_order_does_not_depend_on_the_order_of_edges)
{
    exia_dag *one = open_named("abcdef"), *other = open_named("abcdef");
    edges(one, "fa fb fc ad be cd");
    edges(other, "cd fc be fb ad fa");
    char *first = strdup(order_of(one));
    assert_string_equal(first, order_of(other));
    free(first);
    exia_dag_free(one);
    exia_dag_free(other);
}

TEST(an_edge_given_twice_is_one_edge)
{
    exia_dag *dag = open_named("ab");
    char *text = NULL;
    edges(dag, "ba ba ba");
    assert_string_equal(order_of(dag), "ba");
    check_ok(exia_dag_export(&text, dag, "dot", &err));
    assert_non_null(strstr(text, "1 -> 0"));
    assert_null(strstr(strstr(text, "1 -> 0") + 1, "1 -> 0"));
    exia_text_free(text);
    exia_dag_free(dag);
}

TEST(answers_follow_a_graph_that_grows)
{
    exia_dag *dag = open_named("abc");
    exia_groups groups;
    edges(dag, "ab bc");
    assert_string_equal(order_of(dag), "abc");
    edges(dag, "ca");
    check_ok(exia_dag_cycles(&groups, dag, &err));
    assert_int_equal(groups.count, 1);
    const char *names[] = {"d"};
    check_ok(exia_dag_add_nodes(NULL, dag, names, 1, &err));
    edges(dag, "dd");
    check_ok(exia_dag_cycles(&groups, dag, &err));
    assert_int_equal(groups.count, 2);
    exia_dag_free(dag);
}

TEST(levels_are_the_longest_way_from_a_source)
{
    exia_dag *dag = open_named("abcdef");
    exia_groups levels;
    edges(dag, "ab bc ac ed");
    check_ok(exia_dag_levels(&levels, dag, &err));
    assert_int_equal(levels.count, 3);
    const uint32_t nodes[] = {0, 4, 5, 1, 3, 2};
    const size_t starts[] = {0, 3, 5, 6};
    assert_memory_equal(levels.nodes, nodes, sizeof nodes);
    assert_memory_equal(levels.starts, starts, sizeof starts);
    edges(dag, "ca");
    check_fails(EXIA_ECYCLE, exia_dag_levels(&levels, dag, &err));
    assert_int_equal(levels.count, 0);
    exia_dag_free(dag);
}

TEST(a_cycle_is_shown_by_name_and_as_short_as_it_is)
{
    const uint32_t *nodes;
    size_t count;
    exia_dag *dag = open_named("abcdef");
    edges(dag, "bc cd de eb ce"); /* b c e b is shorter than b c d e b */
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    assert_string_equal(err.text, "a cycle of 3: 'b' -> 'c' -> 'e' -> 'b'");
    assert_null(nodes);
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err)); /* and again */
    assert_string_equal(err.text, "a cycle of 3: 'b' -> 'c' -> 'e' -> 'b'");
    exia_dag_free(dag);
    dag = open_named("ab");
    edges(dag, "bb");
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    assert_string_equal(err.text, "a cycle of 1: 'b' -> 'b'");
    exia_dag_free(dag);
    dag = open_dag(2);
    edge(dag, 0, 1);
    edge(dag, 1, 0);
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    assert_string_equal(err.text, "a cycle of 2: 0 -> 1 -> 0");
    exia_dag_free(dag);
}

TEST(a_long_cycle_shows_its_ends_and_its_length)
{
    const uint32_t *nodes;
    size_t count;
    exia_dag *dag = open_dag(100000);
    for (uint32_t i = 0; i < 100000; i++)
        edge(dag, i, (i + 1) % 100000);
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    check_text("a cycle of 100000: 0 -> 1 -> 2 -> ");
    check_text(" more ... -> 99999 -> 0");
    exia_dag_free(dag);
}

TEST(a_long_name_is_cut_between_characters)
{
    const uint32_t *nodes;
    size_t count;
    exia_dag *dag = NULL;
    char name[400] = "";
    for (int i = 0; i < 100; i++)
        strcat(name, "\xc3\xa4");
    const char *names[] = {name, "b\nc"};
    check_ok(exia_dag_open(&dag, &err));
    check_ok(exia_dag_add_nodes(NULL, dag, names, 2, &err));
    edge(dag, 0, 1);
    edge(dag, 1, 0);
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    json_t *valid = json_string(err.text); /* refuses what is not UTF-8 */
    assert_non_null(valid);
    json_decref(valid);
    check_text("...' -> 'b?c'");
    exia_dag_free(dag);
}

TEST(cycles_are_groups_in_order_of_their_first_node)
{
    exia_groups groups;
    exia_dag *dag = open_named("abcdefgh");
    edges(dag, "fc cf ha ad dh ee bg gc fa");
    check_ok(exia_dag_cycles(&groups, dag, &err));
    const uint32_t nodes[] = {0, 3, 7, 2, 5, 4};
    const size_t starts[] = {0, 3, 5, 6};
    assert_int_equal(groups.count, 3);
    assert_memory_equal(groups.nodes, nodes, sizeof nodes);
    assert_memory_equal(groups.starts, starts, sizeof starts);
    exia_dag_free(dag);
}

TEST(random_graphs_agree_with_reachability)
{
    enum { NODES = 24 };
    uint32_t seed = 1;
    for (int round = 0; round < 300; round++) {
        unsigned char reach[NODES][NODES] = {{0}};
        exia_dag *dag = open_dag(NODES);
        uint32_t count = next_random(&seed) % 60;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t a = next_random(&seed) % NODES, b = next_random(&seed) % NODES;
            if (round % 2 && a > b)
                continue;
            edge(dag, a, b);
            reach[a][b] = 1;
        }
        for (int k = 0; k < NODES; k++)
            for (int i = 0; i < NODES; i++)
                for (int j = 0; j < NODES; j++)
                    reach[i][j] |= reach[i][k] & reach[k][j];
        exia_groups groups;
        unsigned char member[NODES] = {0};
        check_ok(exia_dag_cycles(&groups, dag, &err));
        for (size_t g = 0; g < groups.count; g++)
            for (size_t i = groups.starts[g]; i < groups.starts[g + 1]; i++)
                member[groups.nodes[i]] = (unsigned char)(g + 1);
        int cyclic = 0;
        for (int i = 0; i < NODES; i++) {
            assert_int_equal(member[i] != 0, reach[i][i]);
            cyclic |= reach[i][i];
            for (int j = 0; j < NODES; j++)
                if (member[i] && member[j])
                    assert_int_equal(member[i] == member[j], reach[i][j] && reach[j][i]);
        }
        const uint32_t *order;
        size_t ordered, place[NODES];
        exia_status rc = exia_dag_order(&order, &ordered, dag, &err);
        assert_int_equal(rc, cyclic ? EXIA_ECYCLE : EXIA_OK);
        for (size_t i = 0; i < ordered; i++)
            place[order[i]] = i;
        for (size_t i = 0; i < ordered; i++)
            for (size_t j = 0; j < ordered; j++)
                if (reach[i][j])
                    assert_true(place[i] < place[j]);
        exia_dag_free(dag);
    }
}

TEST(chains_and_rings_of_two_million_nodes_need_no_deep_stack)
{
    enum { COUNT = 2000000 };
    exia_dag *dag = open_dag(COUNT);
    uint32_t *before = malloc(COUNT * sizeof *before), *after = malloc(COUNT * sizeof *after);
    assert_non_null(before);
    assert_non_null(after);
    for (uint32_t i = 0; i < COUNT; i++) { /* from the last to the first, against insertion */
        before[i] = COUNT - 1 - i;
        after[i] = i + 1 < COUNT ? COUNT - 2 - i : COUNT - 1;
    }
    const uint32_t *order;
    size_t count;
    exia_groups groups;
    check_ok(exia_dag_add_edges(dag, before, after, COUNT - 1, &err));
    check_ok(exia_dag_order(&order, &count, dag, &err));
    assert_int_equal(order[0], COUNT - 1);
    assert_int_equal(order[COUNT - 1], 0);
    check_ok(exia_dag_levels(&groups, dag, &err));
    assert_int_equal(groups.count, COUNT);
    check_ok(exia_dag_add_edges(dag, before, after, COUNT, &err));
    edge(dag, 0, COUNT - 1);
    check_ok(exia_dag_cycles(&groups, dag, &err));
    assert_int_equal(groups.count, 1);
    assert_int_equal(groups.starts[1], COUNT);
    check_fails(EXIA_ECYCLE, exia_dag_order(&order, &count, dag, &err));
    free(before);
    free(after);
    exia_dag_free(dag);
}

/* ---- export --------------------------------------------------------------------------------- */

TEST(an_unknown_format_is_refused_and_the_known_ones_are_named)
{
    exia_dag *dag = open_dag(1);
    char *text = NULL;
    check_fails(EXIA_EINVAL, exia_dag_export(&text, dag, "png", &err));
    check_text("dot, mermaid or json, not png");
    assert_null(text);
    exia_dag_free(dag);
}

TEST(any_name_is_escaped)
{
    const char *names[] = {"a \"b\" \\n\nc", "1. <i>&amp;</i> #35; `x` v1.2-rc",
                           "\x01\t\x7f\xc3\xa4", NULL};
    exia_dag *dag = NULL;
    char *text = NULL;
    check_ok(exia_dag_open(&dag, &err));
    check_ok(exia_dag_add_nodes(NULL, dag, names, 4, &err));
    edge(dag, 0, 1);
    edge(dag, 0, 3);
    edge(dag, 0, 1);
    check_ok(exia_dag_export(&text, dag, "dot", &err));
    assert_string_equal(text, "digraph {\n"
                              "  0 [label=\"a \\\"b\\\" \\\\n\\nc\"];\n"
                              "  1 [label=\"1. <i>&amp;amp;</i> #35; `x` v1.2-rc\"];\n"
                              "  2 [label=\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4\"];\n"
                              "  3;\n"
                              "  0 -> 1;\n  0 -> 3;\n}\n");
    exia_text_free(text);
    check_ok(exia_dag_export(&text, dag, "mermaid", &err));
    assert_string_equal(
        text, "flowchart TD\n"
              "  n0[\"a #34;b#34; #92;n<br/>c\"]\n"
              "  n1[\"1#46; #60;i#62;#38;amp#59;#60;#47;i#62; #35;35#59; #96;x#96; v1.2-rc\"]\n"
              "  n2[\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4\"]\n"
              "  n3[\"3\"]\n"
              "  n0 --> n1\n  n0 --> n3\n");
    exia_text_free(text);
    check_ok(exia_dag_export(&text, dag, "json", &err));
    json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert_non_null(json);
    json_t *nodes = json_object_get(json, "nodes"), *list = json_object_get(json, "edges");
    assert_int_equal(json_array_size(nodes), 4);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(json_string_value(json_array_get(nodes, i)), names[i]);
    assert_true(json_is_null(json_array_get(nodes, 3)));
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(list, 1), 1)), 3);
    json_decref(json);
    exia_text_free(text);
    exia_dag_free(dag);
}
