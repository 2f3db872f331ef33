/* Removal: what is refused removes nothing, what stays closes up and answers as if it had been alone. */
#include <stdio.h>
#include <stdlib.h>

#include "support/graphs.h"

static exia_status remove_edges(exia_dag *dag, const char *text)
{
    uint32_t before[64], after[64];
    size_t count = 0;
    for (; *text; text += text[2] ? 3 : 2, count++) {
        before[count] = (uint32_t)(text[0] - 'a');
        after[count] = (uint32_t)(text[1] - 'a');
    }
    return exia_dag_remove_edges(dag, before, after, count, &err);
}

static void check_edges(const exia_dag *dag, const char *expected)
{
    const uint32_t *before, *after;
    char text[256] = "";
    size_t count, size = 0;
    check_ok(exia_dag_edges(&before, &after, &count, dag, &err));
    for (size_t i = 0; i < count; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s ",
                                 exia_dag_name(dag, before[i]), exia_dag_name(dag, after[i]));
    assert_string_equal(text, expected);
}

TEST(null_and_what_is_no_node_are_refused)
{
    exia_dag *dag = open_named("abc");
    const uint32_t zero = 0, bad[] = {1, 3};
    edges(dag, "ab bc");
    check_fails(EXIA_EINVAL, exia_dag_remove_edges(NULL, &zero, &zero, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_remove_edges(dag, NULL, &zero, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_remove_edges(dag, &zero, NULL, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_remove_edges(dag, bad, bad, 2, &err));
    check_text("edge 1 goes from 3 to 3, but there are 3 nodes");
    check_fails(EXIA_EINVAL, exia_dag_remove_nodes(NULL, NULL, &zero, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_remove_nodes(NULL, dag, NULL, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_remove_nodes(NULL, dag, bad, 2, &err));
    check_text("3 is no node: there are 3; none was removed");
    check_ok(exia_dag_remove_edges(dag, NULL, NULL, 0, &err));
    check_ok(exia_dag_remove_nodes(NULL, dag, NULL, 0, &err));
    assert_int_equal(exia_dag_node_count(dag), 3);
    check_edges(dag, "ab bc ");
    exia_dag_free(dag);
}

TEST(an_edge_that_is_not_there_removes_none_of_its_batch)
{
    exia_dag *dag = open_named("abc");
    edges(dag, "ab bc");
    check_fails(EXIA_ENOTFOUND, remove_edges(dag, "ab ba bc"));
    check_text("edge 1, 'b' before 'a', is not there; none was removed");
    check_edges(dag, "ab bc ");
    exia_dag_free(dag);
}

TEST(all_copies_of_an_edge_go_and_the_others_keep_their_order)
{
    exia_dag *dag = open_named("abcd");
    const uint32_t *nodes;
    size_t count;
    edges(dag, "ab cd ab bc da ab bd");
    check_ok(remove_edges(dag, "da ab da"));
    check_edges(dag, "cd bc bd ");
    check_ok(exia_dag_order(&nodes, &count, dag, &err));
    assert_memory_equal(nodes, ((const uint32_t[]){0, 1, 2, 3}), 4 * sizeof *nodes);
    check_fails(EXIA_ENOTFOUND, remove_edges(dag, "ab"));
    check_ok(remove_edges(dag, "cd bc bd"));
    check_edges(dag, "");
    exia_dag_free(dag);
}

TEST(the_last_cycle_goes_with_its_edge)
{
    exia_dag *dag = open_named("abc");
    const uint32_t *nodes;
    size_t count;
    exia_groups groups;
    edges(dag, "ab bc ca");
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    check_ok(remove_edges(dag, "ca"));
    check_ok(exia_dag_order(&nodes, &count, dag, &err));
    check_ok(exia_dag_cycles(&groups, dag, &err));
    assert_int_equal(groups.count, 0);
    exia_dag_free(dag);
}

TEST(nodes_go_with_their_edges_and_names_and_the_others_close_up)
{
    exia_dag *dag = open_named("abcdef");
    uint32_t moved[6], node;
    edges(dag, "ab bc cd de ef fa af");
    check_ok(exia_dag_remove_nodes(moved, dag, (const uint32_t[]){4, 1, 4}, 3, &err));
    const uint32_t expected[] = {0, EXIA_NO_NODE, 1, 2, EXIA_NO_NODE, 3};
    assert_memory_equal(moved, expected, sizeof moved);
    assert_int_equal(exia_dag_node_count(dag), 4);
    check_edges(dag, "cd fa af ");
    check_fails(EXIA_ENOTFOUND, exia_dag_find(&node, dag, "b", &err));
    check_ok(exia_dag_find(&node, dag, "f", &err));
    assert_int_equal(node, 3);
    assert_null(exia_dag_name(dag, 4));
    const char *names[] = {"b"}; /* and the name is free again */
    check_ok(exia_dag_add_nodes(&node, dag, names, 1, &err));
    assert_int_equal(node, 4);
    assert_string_equal(exia_dag_name(dag, 4), "b");
    exia_dag_free(dag);
}

TEST(all_nodes_may_go)
{
    exia_dag *dag = open_named("ab");
    const uint32_t *order, both[] = {0, 1};
    size_t count;
    edges(dag, "ab");
    check_ok(exia_dag_keep_order(NULL, NULL, dag, &err));
    check_ok(exia_dag_remove_nodes(NULL, dag, both, 2, &err));
    check_ok(exia_dag_order(&order, &count, dag, &err));
    assert_int_equal(count, 0);
    check_ok(exia_dag_add_nodes(NULL, dag, NULL, 2, &err));
    edge(dag, 1, 0);
    check_fails(EXIA_ECYCLE, exia_dag_add_edges(dag, both, both + 1, 1, &err));
    exia_dag_free(dag);
}

/* Names come and go; a second graph, made anew each time, is the witness. */
TEST(names_are_found_whatever_came_and_went)
{
    enum { MOST = 2000 };
    exia_dag *dag = open_dag(0);
    static uint32_t number[MOST]; /* the names, by node; 0: none */
    uint32_t seed = 17, next = 1;
    size_t nodes = 0;
    for (int round = 0; round < 300; round++) {
        for (uint32_t i = next_random(&seed) % 60; i > 0 && nodes < MOST; i--) {
            int named = next_random(&seed) % 8 != 0;
            const char *name = check_format("a name that is long enough to fill chunks %u", next);
            check_ok(exia_dag_add_nodes(NULL, dag, named ? &name : NULL, 1, &err));
            number[nodes++] = named ? next : 0;
            next++;
        }
        uint32_t gone[60], moved[MOST], count = next_random(&seed) % 60;
        for (uint32_t i = 0; i < count && nodes > 0; i++)
            gone[i] = next_random(&seed) % (uint32_t)nodes;
        check_ok(exia_dag_remove_nodes(moved, dag, gone, nodes > 0 ? count : 0, &err));
        size_t stay = 0;
        for (size_t i = 0; i < nodes; i++) {
            const char *name =
                check_format("a name that is long enough to fill chunks %u", number[i]);
            uint32_t found;
            if (moved[i] == EXIA_NO_NODE) {
                if (number[i] != 0)
                    check_fails(EXIA_ENOTFOUND, exia_dag_find(&found, dag, name, &err));
                continue;
            }
            assert_int_equal(moved[i], stay);
            if (number[i] != 0) {
                check_ok(exia_dag_find(&found, dag, name, &err));
                assert_int_equal(found, stay);
                assert_string_equal(exia_dag_name(dag, found), name);
            } else {
                assert_null(exia_dag_name(dag, (uint32_t)stay));
            }
            number[stay++] = number[i];
        }
        nodes = stay;
        assert_int_equal(exia_dag_node_count(dag), nodes);
    }
    exia_dag_free(dag);
}

/* A graph that keeps its order, where edges and nodes come and go, against a full sort. */
TEST(a_kept_order_stays_right_when_nodes_and_edges_go)
{
    enum { NODES = 40 };
    uint32_t seed = 23;
    for (int round = 0; round < 60; round++) {
        exia_dag *dag = open_dag(NODES);
        const uint32_t *order, *before, *after;
        size_t count, edge_count;
        check_ok(exia_dag_keep_order(NULL, NULL, dag, &err));
        for (int step = 0; step < 200; step++) {
            uint32_t nodes = (uint32_t)exia_dag_node_count(dag);
            uint32_t a = next_random(&seed) % nodes, b = next_random(&seed) % nodes;
            uint32_t what = next_random(&seed) % 16;
            check_ok(exia_dag_edges(&before, &after, &edge_count, dag, &err));
            if (what == 0 && nodes > 10) {
                check_ok(exia_dag_remove_nodes(NULL, dag, &a, 1, &err));
            } else if (what == 1) {
                check_ok(exia_dag_add_nodes(NULL, dag, NULL, 1, &err));
            } else if (what < 5 && edge_count > 0) {
                uint32_t which = next_random(&seed) % (uint32_t)edge_count;
                a = before[which];
                b = after[which];
                check_ok(exia_dag_remove_edges(dag, &a, &b, 1, &err));
            } else {
                check_ok(exia_dag_path(&order, &count, dag, b, a, &err));
                assert_int_equal(exia_dag_add_edges(dag, &a, &b, 1, NULL),
                                 count > 0 ? EXIA_ECYCLE : EXIA_OK);
            }
            uint32_t place[4 * NODES], seen = 0;
            check_ok(exia_dag_keep_order(&order, &count, dag, &err));
            assert_int_equal(count, exia_dag_node_count(dag));
            memset(place, 0xff, sizeof place);
            for (uint32_t i = 0; i < count; i++) {
                seen += place[order[i]] == UINT32_MAX;
                place[order[i]] = i;
            }
            assert_int_equal(seen, count);
            check_ok(exia_dag_edges(&before, &after, &edge_count, dag, &err));
            for (size_t i = 0; i < edge_count; i++)
                assert_true(place[before[i]] < place[after[i]]);
        }
        exia_dag_free(dag);
    }
}

TEST(half_of_a_chain_of_ten_million_goes_in_one_pass)
{
    enum { COUNT = 10000000 };
    exia_dag *dag = open_chain(COUNT);
    uint32_t *odd = malloc(COUNT / 2 * sizeof *odd), *even = malloc(COUNT / 2 * sizeof *even);
    const uint32_t *order;
    size_t count;
    assert_non_null(odd);
    assert_non_null(even);
    for (uint32_t i = 0; i < COUNT / 2; i++) {
        odd[i] = 2 * i + 1;
        even[i] = 2 * i;
    }
    check_ok(exia_dag_remove_edges(dag, even, odd, COUNT / 2, &err));
    check_ok(exia_dag_edges(&order, &order, &count, dag, &err));
    assert_int_equal(count, COUNT / 2 - 1);
    check_ok(exia_dag_remove_nodes(NULL, dag, odd, COUNT / 2, &err));
    check_ok(exia_dag_order(&order, &count, dag, &err));
    assert_int_equal(count, COUNT / 2);
    assert_int_equal(order[count - 1], count - 1);
    free(odd);
    free(even);
    exia_dag_free(dag);
}

static exia_status come_and_go(void *payload, exia_error *error)
{
    const uint32_t before[] = {0, 1, 0}, after[] = {1, 2, 2};
    const char *names[] = {"a", NULL, "b"};
    exia_dag *dag = NULL;
    (void)payload;
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, names, 3, error);
    if (rc == EXIA_OK)
        rc = exia_dag_keep_order(NULL, NULL, dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before, after, 3, error);
    if (rc == EXIA_OK) {
        rc = exia_dag_remove_edges(dag, before, after, 1, error);
        const uint32_t *ignored;
        size_t count;
        assert_int_equal(exia_dag_edges(&ignored, &ignored, &count, dag, NULL), EXIA_OK);
        assert_int_equal(count, rc < 0 ? 3 : 2);
    }
    if (rc == EXIA_OK) {
        rc = exia_dag_remove_nodes(NULL, dag, before, 1, error);
        assert_int_equal(exia_dag_node_count(dag), rc < 0 ? 3 : 2);
    }
    exia_dag_free(dag);
    return rc;
}

TEST(no_memory_is_an_error_and_removes_nothing)
{
    check_survives_no_memory(come_and_go, NULL);
}
