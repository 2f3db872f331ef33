/* Order by key, longest path, transitive reduction: bad input first, then slow and simple witnesses. */
#include <math.h>
#include <stdlib.h>

#include "support/graphs.h"

static const char *order_by(exia_dag *dag, const int64_t *keys)
{
    const uint32_t *nodes = NULL;
    size_t count = 0;
    check_ok(exia_dag_order_by(&nodes, &count, dag, keys, &err));
    return letters(nodes, count);
}

static const char *longest(double *length, exia_dag *dag, const double *nodes, const double *edges)
{
    const uint32_t *path = NULL;
    size_t count = 0;
    check_ok(exia_dag_longest_path(&path, &count, length, dag, nodes, edges, &err));
    assert_non_null(path);
    return letters(path, count);
}

static const char *reduced(exia_dag *dag)
{
    static char text[256];
    const uint32_t *before, *after;
    size_t count;
    check_ok(exia_dag_reduce(&before, &after, &count, dag, &err));
    for (size_t i = 0; i < count; i++) {
        text[3 * i] = (char)('a' + before[i]);
        text[3 * i + 1] = (char)('a' + after[i]);
        text[3 * i + 2] = ' ';
    }
    text[3 * count] = '\0';
    return text;
}

TEST(each_call_refuses_null)
{
    exia_dag *dag = open_dag(1);
    const uint32_t *nodes, *more;
    size_t count;
    check_fails(EXIA_EINVAL, exia_dag_order_by(NULL, &count, dag, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_order_by(&nodes, NULL, dag, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_order_by(&nodes, &count, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_longest_path(NULL, &count, NULL, dag, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_longest_path(&nodes, NULL, NULL, dag, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_longest_path(&nodes, &count, NULL, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_reduce(NULL, &more, &count, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_reduce(&nodes, NULL, &count, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_reduce(&nodes, &more, NULL, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_reduce(&nodes, &more, &count, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_edges(NULL, &more, &count, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_edges(&nodes, NULL, &count, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_edges(&nodes, &more, NULL, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_edges(&nodes, &more, &count, NULL, &err));
    exia_dag_free(dag);
}

TEST(weights_whose_sum_no_double_holds_are_refused)
{
    const double huge[] = {1e308, 1e308, -1e308}, small[] = {-1e308, -1e308, -1e308};
    exia_dag *dag = open_named("abc");
    const uint32_t *path;
    size_t count;
    double length;
    edges(dag, "ab bc");
    check_fails(EXIA_EINVAL, exia_dag_longest_path(&path, &count, &length, dag, huge, NULL, &err));
    assert_non_null(strstr(err.text, "on the way to 'b' add up to more than a double holds"));
    assert_null(path);
    check_fails(EXIA_EINVAL, exia_dag_longest_path(&path, &count, NULL, dag, NULL, huge, &err));
    assert_string_equal(longest(&length, dag, small, small), "a");
    assert_true(length == -1e308);
    exia_dag_free(dag);
}

TEST(a_cycle_has_none_of_these_answers)
{
    exia_dag *dag = open_named("abc");
    const uint32_t *nodes, *more;
    double length = 9;
    size_t count;
    edges(dag, "ab bc cb");
    check_fails(EXIA_ECYCLE, exia_dag_order_by(&nodes, &count, dag, NULL, &err));
    assert_null(nodes);
    check_fails(EXIA_ECYCLE, exia_dag_longest_path(&nodes, &count, &length, dag, NULL, NULL, &err));
    assert_null(nodes);
    assert_true(length == 0);
    check_fails(EXIA_ECYCLE, exia_dag_reduce(&nodes, &more, &count, dag, &err));
    assert_null(more);
    check_text("'b' -> 'c' -> 'b'");
    exia_dag_free(dag);
}

TEST(a_weight_that_is_not_finite_is_refused_and_named)
{
    exia_dag *dag = open_named("abc");
    const uint32_t *nodes;
    size_t count;
    edges(dag, "ab bc");
    const double bad[] = {0, 1, (double)NAN}, endless[] = {0, -(double)INFINITY};
    check_fails(EXIA_EINVAL, exia_dag_longest_path(&nodes, &count, NULL, dag, bad, NULL, &err));
    check_text("the weight of node 2 is not a number");
    check_fails(EXIA_EINVAL, exia_dag_longest_path(&nodes, &count, NULL, dag, NULL, endless, &err));
    check_text("the weight of edge 1 is infinite");
    exia_dag_free(dag);
}

TEST(an_empty_graph_has_empty_answers)
{
    exia_dag *dag = open_dag(0);
    double length = 9;
    assert_string_equal(order_by(dag, NULL), "");
    assert_string_equal(longest(&length, dag, NULL, NULL), "");
    assert_true(length == 0);
    assert_string_equal(reduced(dag), "");
    exia_dag_free(dag);
}

TEST(the_least_key_comes_first_and_the_least_index_among_equals)
{
    exia_dag *dag = open_named("abcdef");
    const int64_t keys[] = {5, INT64_MIN, 3, 3, INT64_MAX, 0};
    assert_string_equal(order_by(dag, NULL), "abcdef");
    assert_string_equal(order_by(dag, keys), "bfcdae");
    edges(dag, "eb af ed");
    assert_string_equal(order_by(dag, NULL), "acebdf");
    assert_string_equal(order_by(dag, keys), "cafebd");
    exia_dag_free(dag);
}

TEST(the_longest_path_counts_edges_or_weights)
{
    exia_dag *dag = open_named("abcdef");
    double length;
    edges(dag, "ad ab bc cd de ce");
    assert_string_equal(longest(&length, dag, NULL, NULL), "abcde");
    assert_true(length == 4);
    const double work[] = {1, 1, 1, 1, 1, 10};
    assert_string_equal(longest(&length, dag, work, NULL), "f");
    assert_true(length == 10);
    const double far[] = {30, 1, 1, 1, 1, 2.5};
    assert_string_equal(longest(&length, dag, NULL, far), "ade");
    assert_true(length == 31);
    assert_string_equal(longest(NULL, dag, work, far), "ade");
    const double cost[] = {-1, -1, -1, -1, -0.5, -1}; /* one node at least */
    assert_string_equal(longest(&length, dag, cost, NULL), "e");
    assert_true(length == -0.5);
    edges(dag, "fb"); /* a and f are as good: a */
    assert_string_equal(longest(&length, dag, NULL, NULL), "abcde");
    exia_dag_free(dag);
}

TEST(of_two_edges_that_are_one_the_heavier_counts)
{
    exia_dag *dag = open_named("ab");
    double length;
    const double weights[] = {1, 3, 2};
    edges(dag, "ab ab ab");
    assert_string_equal(longest(&length, dag, NULL, weights), "ab");
    assert_true(length == 3);
    exia_dag_free(dag);
}

TEST(an_edge_goes_where_a_longer_path_leads_the_same_way)
{
    exia_dag *dag = open_named("abcdef");
    edges(dag, "ac ab bc ad cd ab ae ed bd");
    assert_string_equal(reduced(dag), "ab ae bc cd ed ");
    assert_string_equal(reduced(dag), "ab ae bc cd ed ");
    edges(dag, "be");
    assert_string_equal(reduced(dag), "ab bc be cd ed ");
    exia_dag_free(dag);
}

TEST(edges_are_shown_as_they_were_added)
{
    exia_dag *dag = open_dag(3);
    const uint32_t *before, *after;
    size_t count = 9;
    check_ok(exia_dag_edges(&before, &after, &count, dag, &err));
    assert_int_equal(count, 0);
    edge(dag, 2, 1);
    edge(dag, 0, 1);
    edge(dag, 2, 1);
    check_ok(exia_dag_edges(&before, &after, &count, dag, &err));
    assert_int_equal(count, 3);
    assert_memory_equal(before, ((const uint32_t[]){2, 0, 2}), 3 * sizeof *before);
    assert_memory_equal(after, ((const uint32_t[]){1, 1, 1}), 3 * sizeof *after);
    exia_dag_free(dag);
}

enum { NODES = 14 };

/* The longest path that ends at `node`, of all there are. */
static double naive_longest(const double weight[NODES][NODES], const double *own, int node)
{
    double best = 0;
    for (int i = 0; i < NODES; i++) {
        double way = isnan(weight[i][node]) ? 0 : naive_longest(weight, own, i) + weight[i][node];
        best = way > best ? way : best;
    }
    return best + own[node];
}

/* Nodes are renamed at random, so that no answer comes from the order of their numbers. */
TEST(random_graphs_agree_with_simple_witnesses)
{
    uint32_t seed = 21;
    for (int round = 0; round < 300; round++) {
        uint32_t name[NODES], before[60], after[60];
        unsigned char there[NODES][NODES] = {{0}}, reach[NODES][NODES] = {{0}};
        double weight[NODES][NODES], own[NODES], weights[60];
        int64_t keys[NODES];
        size_t count = 0;
        for (uint32_t i = 0; i < NODES; i++) {
            uint32_t other = next_random(&seed) % (i + 1);
            name[i] = name[other];
            name[other] = i;
            own[i] = (double)(next_random(&seed) % 9) - 2; /* whole numbers: sums are exact */
            keys[i] = (int64_t)(next_random(&seed) % 6) - 3;
            for (int j = 0; j < NODES; j++)
                weight[i][j] = (double)NAN;
        }
        for (uint32_t i = next_random(&seed) % 40; i > 0; i--) {
            uint32_t a = next_random(&seed) % NODES, b = next_random(&seed) % NODES;
            if (a >= b)
                continue;
            a = name[a];
            b = name[b];
            before[count] = a;
            after[count] = b;
            weights[count] = (double)(next_random(&seed) % 20) - 4;
            there[a][b] = reach[a][b] = 1;
            if (!(weight[a][b] >= weights[count]))
                weight[a][b] = weights[count];
            count++;
        }
        exia_dag *dag = open_dag(NODES);
        check_ok(exia_dag_add_edges(dag, before, after, count, &err));
        for (int k = 0; k < NODES; k++)
            for (int i = 0; i < NODES; i++)
                for (int j = 0; j < NODES; j++)
                    reach[i][j] |= reach[i][k] & reach[k][j];

        const uint32_t *nodes, *ends;
        size_t size;
        unsigned char done[NODES] = {0};
        check_ok(exia_dag_order_by(&nodes, &size, dag, keys, &err));
        assert_int_equal(size, NODES);
        for (size_t at = 0; at < NODES; at++) {
            int best = -1;
            for (int i = 0; i < NODES; i++) {
                int ready = !done[i];
                for (int j = 0; j < NODES; j++)
                    ready &= !there[j][i] || done[j];
                if (ready && (best < 0 || keys[i] < keys[best]))
                    best = i;
            }
            assert_int_equal(nodes[at], best);
            done[best] = 1;
        }

        double length, expected = -1e9, sum = 0;
        for (int i = 0; i < NODES; i++) {
            double way = naive_longest((const double(*)[NODES])weight, own, i);
            expected = way > expected ? way : expected;
        }
        check_ok(exia_dag_longest_path(&nodes, &size, &length, dag, own, weights, &err));
        assert_true(length == expected);
        for (size_t i = 0; i < size; i++)
            sum += own[nodes[i]] + (i > 0 ? weight[nodes[i - 1]][nodes[i]] : 0);
        assert_true(sum == expected); /* NaN where there is no edge */

        unsigned char stays[NODES][NODES] = {{0}};
        check_ok(exia_dag_reduce(&nodes, &ends, &size, dag, &err));
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(stays[nodes[i]][ends[i]], 0);
            stays[nodes[i]][ends[i]] = 1;
        }
        for (int i = 0; i < NODES; i++)
            for (int j = 0; j < NODES; j++) {
                int other = 0;
                for (int k = 0; k < NODES; k++)
                    other |= reach[i][k] && reach[k][j];
                assert_int_equal(stays[i][j], there[i][j] && !other);
            }
        exia_dag_free(dag);
    }
}

TEST(a_chain_of_ten_million_has_all_answers)
{
    enum { COUNT = 10000000 };
    exia_dag *dag = open_chain(COUNT);
    uint32_t ends[] = {0, COUNT - 1};
    check_ok(
        exia_dag_add_edges(dag, ends, ends + 1, 1, &err)); /* the only one that is not needed */
    const uint32_t *nodes, *after;
    size_t count;
    double length;
    check_ok(exia_dag_longest_path(&nodes, &count, &length, dag, NULL, NULL, &err));
    assert_true(count == COUNT && length == COUNT - 1);
    check_ok(exia_dag_order_by(&nodes, &count, dag, NULL, &err));
    assert_int_equal(nodes[COUNT - 1], COUNT - 1);
    check_ok(exia_dag_reduce(&nodes, &after, &count, dag, &err));
    assert_int_equal(count, COUNT - 1);
    exia_dag_free(dag);
}

/* A thousand by a thousand, with edges to the right, down and, not needed, aslant. */
TEST(a_grid_loses_its_diagonals_and_a_star_loses_nothing)
{
    enum { SIDE = 1000, COUNT = SIDE * SIDE };
    exia_dag *grid = open_dag(COUNT), *star = open_dag(COUNT);
    uint32_t *before = malloc(3 * COUNT * sizeof *before),
             *after = malloc(3 * COUNT * sizeof *after);
    const uint32_t *from, *to;
    size_t edge_count = 0, count;
    double length;
    assert_true(before != NULL && after != NULL);
    for (uint32_t i = 0; i < COUNT; i++) {
        int right = i % SIDE + 1 < SIDE, down = i + SIDE < COUNT;
        const uint32_t ends[] = {i + SIDE + 1, i + 1, i + SIDE};
        const int there[] = {right && down, right, down};
        for (int k = 0; k < 3; k++) {
            before[edge_count] = i;
            after[edge_count] = ends[k];
            edge_count += there[k] != 0;
        }
    }
    check_ok(exia_dag_add_edges(grid, before, after, edge_count, &err));
    check_ok(exia_dag_reduce(&from, &to, &count, grid, &err));
    assert_int_equal(count, 2 * SIDE * (SIDE - 1));
    for (size_t i = 0; i < count; i++)
        if (to[i] - from[i] != 1 && to[i] - from[i] != SIDE)
            fail_msg("the edge from %u to %u is not needed", from[i], to[i]);
    check_ok(exia_dag_longest_path(&from, &count, &length, grid, NULL, NULL, &err));
    assert_true(count == 2 * SIDE - 1 && length == 2 * SIDE - 2);
    exia_dag_free(grid);
    for (uint32_t i = 1; i < COUNT; i++) { /* half of the edges to the middle, half from it */
        before[i - 1] = i % 2 ? i : 0;
        after[i - 1] = i % 2 ? 0 : i;
    }
    check_ok(exia_dag_add_edges(star, before, after, COUNT - 1, &err));
    check_ok(exia_dag_reduce(&from, &to, &count, star, &err));
    assert_int_equal(count, COUNT - 1);
    check_ok(exia_dag_order_by(&from, &count, star, NULL, &err));
    assert_int_equal(from[COUNT / 2], 0);
    exia_dag_free(star);
    free(before);
    free(after);
}

/* Where most reach most, reachability is computed in blocks: more nodes than one block holds, against
 * a matrix of all that is reached. */
TEST(dense_graphs_are_reduced_as_sparse_ones_are)
{
    enum { COUNT = 1500, EDGES = 60000 };
    uint32_t *before = malloc(EDGES * sizeof *before), *after = malloc(EDGES * sizeof *after);
    unsigned char(*reach)[COUNT] = calloc(COUNT, sizeof *reach), (*stays)[COUNT] = NULL;
    stays = calloc(COUNT, sizeof *stays);
    assert_true(before != NULL && after != NULL && reach != NULL && stays != NULL);
    uint32_t seed = 31, expected = 0;
    for (uint32_t i = 0; i < EDGES; i++) { /* node 7 n modulo COUNT is the nth */
        uint32_t a = next_random(&seed) % (COUNT - 1), b = a + 1;
        b += next_random(&seed) % (i % 4 ? COUNT - b : 3);
        b = b < COUNT ? b : COUNT - 1;
        before[i] = 7 * a % COUNT;
        after[i] = 7 * b % COUNT;
        stays[a][b] = 1;
    }
    for (size_t a = COUNT; a-- > 0;) { /* in the order of their names: all behind are complete */
        for (size_t b = a + 1; b < COUNT; b++) {
            if (stays[a][b] && reach[a][b])
                stays[a][b] = 0;
            else if (stays[a][b])
                for (size_t c = b + 1; c < COUNT; c++)
                    reach[a][c] |= reach[b][c];
            expected += stays[a][b];
        }
        for (size_t b = a + 1; b < COUNT; b++)
            reach[a][b] |= stays[a][b];
    }
    exia_dag *dag = open_dag(COUNT);
    check_ok(exia_dag_add_edges(dag, before, after, EDGES, &err));
    const uint32_t *from, *to;
    size_t count;
    check_ok(exia_dag_reduce(&from, &to, &count, dag, &err));
    assert_int_equal(count, expected);
    uint32_t name[COUNT];
    for (uint32_t i = 0; i < COUNT; i++)
        name[7 * i % COUNT] = i;
    for (size_t i = 0; i < count; i++) {
        assert_true(stays[name[from[i]]][name[to[i]]]);
        assert_true(i == 0 || from[i - 1] <= from[i]);
    }
    exia_dag_free(dag);
    free(before);
    free(after);
    free(reach);
    free(stays);
}

TEST(many_nodes_that_are_ready_at_once_come_by_key)
{
    enum { COUNT = 200000 };
    exia_dag *dag = open_dag(COUNT);
    int64_t *keys = malloc(COUNT * sizeof *keys);
    assert_non_null(keys);
    uint32_t seed = 2;
    for (int i = 0; i < COUNT; i++)
        keys[i] = next_random(&seed) % 50000;
    const uint32_t *nodes;
    size_t count;
    check_ok(exia_dag_order_by(&nodes, &count, dag, keys, &err));
    assert_int_equal(count, COUNT);
    for (size_t i = 1; i < count; i++) {
        int64_t was = keys[nodes[i - 1]], now = keys[nodes[i]];
        if (was > now || (was == now && nodes[i - 1] >= nodes[i]))
            fail_msg("node %u comes before %u", nodes[i - 1], nodes[i]);
    }
    free(keys);
    exia_dag_free(dag);
}

static exia_status ask_all(void *payload, exia_error *error)
{
    const uint32_t before[] = {0, 1, 0}, after[] = {1, 2, 2}, *nodes, *ends;
    const double weights[] = {1, 2, 3};
    size_t count;
    exia_dag *dag = NULL;
    (void)payload;
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, NULL, 3, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before, after, 3, error);
    if (rc == EXIA_OK)
        rc = exia_dag_order_by(&nodes, &count, dag, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_dag_longest_path(&nodes, &count, NULL, dag, weights, weights, error);
    if (rc == EXIA_OK)
        rc = exia_dag_reduce(&nodes, &ends, &count, dag, error);
    exia_dag_free(dag);
    return rc;
}

/* Each node before each later one: dense enough for reachability. */
static exia_status reduce_dense(void *payload, exia_error *error)
{
    enum { COUNT = 80 };
    uint32_t before[COUNT * COUNT], after[COUNT * COUNT];
    const uint32_t *from, *to;
    size_t edge_count = 0, count;
    exia_dag *dag = NULL;
    (void)payload;
    for (uint32_t i = 0; i < COUNT; i++) {
        for (uint32_t j = i + 1; j < COUNT; j++) {
            before[edge_count] = i;
            after[edge_count++] = j;
        }
    }
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, NULL, COUNT, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before, after, edge_count, error);
    if (rc == EXIA_OK)
        rc = exia_dag_reduce(&from, &to, &count, dag, error);
    if (rc == EXIA_OK)
        assert_int_equal(count, COUNT - 1);
    exia_dag_free(dag);
    return rc;
}

TEST(no_memory_is_an_error_and_leaves_nothing)
{
    check_survives_no_memory(ask_all, NULL);
    check_survives_no_memory(reduce_dense, NULL);
}
