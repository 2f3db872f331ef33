/* Paths, cycles, ancestors and descendants: bad input first, then against distances by hand. */
#include <stdlib.h>

#include "support/graphs.h"

static const char *path(exia_dag *dag, const char *ends)
{
    const uint32_t *nodes = NULL;
    size_t count = 0;
    check_ok(exia_dag_path(&nodes, &count, dag, (uint32_t)(ends[0] - 'a'),
                           (uint32_t)(ends[1] - 'a'), &err));
    assert_non_null(nodes);
    return letters(nodes, count);
}

/* `through`: a letter, or 0 for all. */
static const char *cycle(exia_dag *dag, char through)
{
    const uint32_t *nodes = NULL;
    size_t count = 0;
    check_ok(exia_dag_cycle(&nodes, &count, dag, through ? (uint32_t)(through - 'a') : EXIA_NO_NODE,
                            &err));
    assert_non_null(nodes);
    return letters(nodes, count);
}

static const char *all(exia_dag *dag, const char *of, int ancestors)
{
    const uint32_t *nodes = NULL;
    uint32_t begin[16];
    size_t count = 0, size = strlen(of);
    for (size_t i = 0; i < size; i++)
        begin[i] = (uint32_t)(of[i] - 'a');
    check_ok((ancestors ? exia_dag_ancestors : exia_dag_descendants)(&nodes, &count, dag, begin,
                                                                     size, &err));
    assert_non_null(nodes);
    return letters(nodes, count);
}

TEST(each_call_refuses_null_and_what_is_no_node)
{
    exia_dag *dag = open_dag(2);
    const uint32_t *nodes, bad[] = {0, 2};
    size_t count;
    check_fails(EXIA_EINVAL, exia_dag_path(NULL, &count, dag, 0, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_path(&nodes, NULL, dag, 0, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_path(&nodes, &count, NULL, 0, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_path(&nodes, &count, dag, 2, 1, &err));
    check_text("2 is no node: there are 2");
    check_fails(EXIA_EINVAL, exia_dag_path(&nodes, &count, dag, 0, EXIA_NO_NODE, &err));
    check_fails(EXIA_EINVAL, exia_dag_cycle(NULL, &count, dag, 0, &err));
    check_fails(EXIA_EINVAL, exia_dag_cycle(&nodes, NULL, dag, 0, &err));
    check_fails(EXIA_EINVAL, exia_dag_cycle(&nodes, &count, NULL, 0, &err));
    check_fails(EXIA_EINVAL, exia_dag_cycle(&nodes, &count, dag, 2, &err));
    check_fails(EXIA_EINVAL, exia_dag_descendants(NULL, &count, dag, bad, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_descendants(&nodes, NULL, dag, bad, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_descendants(&nodes, &count, NULL, bad, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_descendants(&nodes, &count, dag, NULL, 1, &err));
    check_text("exia_dag_descendants");
    check_fails(EXIA_EINVAL, exia_dag_descendants(&nodes, &count, dag, bad, 2, &err));
    check_fails(EXIA_EINVAL, exia_dag_ancestors(&nodes, &count, dag, NULL, 1, &err));
    check_text("exia_dag_ancestors");
    check_fails(EXIA_EINVAL, exia_dag_ancestors(&nodes, &count, dag, bad, 2, &err));
    assert_null(nodes);
    assert_int_equal(count, 0);
    exia_dag_free(dag);
    dag = open_dag(0);
    check_fails(EXIA_EINVAL, exia_dag_path(&nodes, &count, dag, 0, 0, &err));
    check_ok(exia_dag_cycle(&nodes, &count, dag, EXIA_NO_NODE, &err));
    check_ok(exia_dag_ancestors(&nodes, &count, dag, NULL, 0, &err));
    assert_int_equal(count, 0);
    exia_dag_free(dag);
}

TEST(a_path_is_the_shortest_and_follows_a_graph_that_grows)
{
    exia_dag *dag = open_named("abcdef");
    edges(dag, "ab bc cd de");
    assert_string_equal(path(dag, "ae"), "abcde");
    assert_string_equal(path(dag, "ea"), "");
    assert_string_equal(path(dag, "af"), "");
    assert_string_equal(path(dag, "cc"), "c");
    edges(dag, "bd af");
    assert_string_equal(path(dag, "ae"), "abde");
    assert_string_equal(path(dag, "af"), "af");
    edges(dag, "ea"); /* cycles do not matter */
    assert_string_equal(path(dag, "db"), "deab");
    exia_dag_free(dag);
}

TEST(the_nearest_come_first_and_none_is_its_own_descendant)
{
    exia_dag *dag = open_named("abcdefg");
    edges(dag, "ab bc ad ce de ef");
    assert_string_equal(all(dag, "a", 0), "bdcef");
    assert_string_equal(all(dag, "e", 1), "cdba");
    assert_string_equal(all(dag, "bd", 0), "cef");
    assert_string_equal(all(dag, "bab", 0), "cdef");
    assert_string_equal(all(dag, "g", 0), "");
    assert_string_equal(all(dag, "", 0), "");
    edges(dag, "fa gg");
    assert_string_equal(all(dag, "e", 0), "fabdc");
    assert_string_equal(all(dag, "g", 1), "");
    exia_dag_free(dag);
}

TEST(a_cycle_is_the_shortest_of_all_or_through_a_node)
{
    exia_dag *dag = open_named("abcdefghi");
    edges(dag, "ab bc cd ef");
    assert_string_equal(cycle(dag, 0), "");
    assert_string_equal(cycle(dag, 'a'), "");
    edges(dag, "da eb fe"); /* a b c d, and e f */
    assert_string_equal(cycle(dag, 0), "ef");
    assert_string_equal(cycle(dag, 'c'), "cdab");
    assert_string_equal(cycle(dag, 'f'), "fe");
    edges(dag, "db");
    assert_string_equal(cycle(dag, 'd'), "dbc");
    assert_string_equal(cycle(dag, 'a'), "abcd");
    edges(dag, "hh");
    assert_string_equal(cycle(dag, 0), "h");
    assert_string_equal(cycle(dag, 'h'), "h");
    assert_string_equal(cycle(dag, 'i'), "");
    exia_dag_free(dag);
}

/* Distances by Floyd and Warshall, 1962. */
TEST(random_graphs_agree_with_all_distances)
{
    enum { NODES = 16, FAR = 1000 };
    uint32_t seed = 3;
    for (int round = 0; round < 400; round++) {
        int far[NODES][NODES], there[NODES][NODES] = {{0}};
        exia_dag *dag = open_dag(NODES);
        const uint32_t *nodes;
        size_t count;
        for (int i = 0; i < NODES; i++)
            for (int j = 0; j < NODES; j++)
                far[i][j] = FAR;
        for (uint32_t i = next_random(&seed) % 40; i > 0; i--) {
            uint32_t a = next_random(&seed) % NODES, b = next_random(&seed) % NODES;
            if (round % 3 == 0 && a >= b)
                continue;
            edge(dag, a, b);
            far[a][b] = there[a][b] = 1;
        }
        for (int k = 0; k < NODES; k++)
            for (int i = 0; i < NODES; i++)
                for (int j = 0; j < NODES; j++)
                    if (far[i][k] + far[k][j] < far[i][j])
                        far[i][j] = far[i][k] + far[k][j];
        int best = FAR;
        for (uint32_t i = 0; i < NODES; i++) {
            best = far[i][i] < best ? far[i][i] : best;
            check_ok(exia_dag_cycle(&nodes, &count, dag, i, &err));
            assert_int_equal(count ? count : FAR, far[i][i]);
            for (uint32_t j = 0; j < NODES; j++) {
                check_ok(exia_dag_path(&nodes, &count, dag, i, j, &err));
                assert_int_equal(count ? count - 1 : FAR, i == j ? 0 : far[i][j]);
                for (size_t k = 0; k + 1 < count; k++)
                    assert_true(there[nodes[k]][nodes[k + 1]]);
            }
            for (int back = 0; back < 2; back++) {
                int was = 0, expected = 0;
                check_ok((back ? exia_dag_ancestors : exia_dag_descendants)(&nodes, &count, dag, &i,
                                                                            1, &err));
                for (uint32_t j = 0; j < NODES; j++)
                    expected += j != i && (back ? far[j][i] : far[i][j]) < FAR;
                assert_int_equal(count, expected);
                for (size_t k = 0; k < count; k++) {
                    int now = back ? far[nodes[k]][i] : far[i][nodes[k]];
                    assert_true(nodes[k] != i && now < FAR && now >= was);
                    was = now;
                }
            }
        }
        check_ok(exia_dag_cycle(&nodes, &count, dag, EXIA_NO_NODE, &err));
        assert_int_equal(count ? count : FAR, best);
        for (size_t k = 0; k < count; k++)
            assert_true(there[nodes[k]][nodes[(k + 1) % count]]);
        exia_dag_free(dag);
    }
}

TEST(a_chain_of_ten_million_has_its_path_and_all_before_and_after)
{
    enum { COUNT = 10000000 };
    exia_dag *dag = open_chain(COUNT);
    const uint32_t *nodes, middle = COUNT / 2;
    size_t count;
    check_ok(exia_dag_path(&nodes, &count, dag, 0, COUNT - 1, &err));
    assert_int_equal(count, COUNT);
    assert_int_equal(nodes[COUNT - 1], COUNT - 1);
    check_ok(exia_dag_descendants(&nodes, &count, dag, &middle, 1, &err));
    assert_int_equal(count, COUNT - 1 - middle);
    check_ok(exia_dag_ancestors(&nodes, &count, dag, &middle, 1, &err));
    assert_int_equal(count, middle);
    assert_int_equal(nodes[middle - 1], 0);
    exia_dag_free(dag);
}

/* A ring with steps of two beside those of one, and a random graph: all of it is one component. */
TEST(one_component_of_a_million_nodes_is_data_and_its_shortest_cycle_is_found)
{
    enum { COUNT = 1 << 20 };
    uint32_t *before = malloc(2 * COUNT * sizeof *before),
             *after = malloc(2 * COUNT * sizeof *after);
    uint32_t seed = 9;
    assert_non_null(before);
    assert_non_null(after);
    for (int random = 0; random < 2; random++) {
        exia_dag *dag = open_dag(COUNT);
        for (uint32_t i = 0; i < COUNT; i++) {
            before[i] = before[COUNT + i] = i;
            after[i] = (i + 1) % COUNT;
            after[COUNT + i] = random ? next_random(&seed) % COUNT : (i + 2) % COUNT;
        }
        check_ok(exia_dag_add_edges(dag, before, after, (size_t)2 * COUNT, &err));
        exia_groups groups;
        const uint32_t *nodes;
        size_t count, from_any;
        check_ok(exia_dag_cycles(&groups, dag, &err));
        assert_int_equal(groups.count, 1);
        assert_int_equal(groups.starts[1], COUNT);
        check_ok(exia_dag_cycle(&nodes, &count, dag, EXIA_NO_NODE, &err));
        assert_true(random ? count > 0 && count < 20 : count == COUNT / 2);
        check_ok(exia_dag_cycle(&nodes, &from_any, dag, nodes[count - 1], &err));
        assert_int_equal(from_any, count);
        check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
        check_text("a cycle of ");
        exia_dag_free(dag);
    }
    free(before);
    free(after);
}

static exia_status ask_all(void *payload, exia_error *error)
{
    const uint32_t before[] = {0, 1, 2, 2}, after[] = {1, 2, 0, 1}, *nodes, one = 1;
    size_t count;
    exia_dag *dag = NULL;
    const int *which = payload;
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, NULL, 3, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before, after, 4, error);
    if (rc == EXIA_OK && *which == 0)
        rc = exia_dag_path(&nodes, &count, dag, 0, 2, error);
    if (rc == EXIA_OK && *which == 1)
        rc = exia_dag_ancestors(&nodes, &count, dag, &one, 1, error);
    if (rc == EXIA_OK && *which == 2)
        rc = exia_dag_cycle(&nodes, &count, dag, 1, error);
    if (rc == EXIA_OK && *which == 3)
        rc = exia_dag_cycle(&nodes, &count, dag, EXIA_NO_NODE, error);
    exia_dag_free(dag);
    return rc;
}

TEST(no_memory_is_an_error_and_leaves_nothing)
{
    for (int which = 0; which < 4; which++)
        check_survives_no_memory(ask_all, &which);
}
