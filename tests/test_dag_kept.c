/* An order that is kept: what is refused leaves everything as it was, what is taken keeps the order
 * right, whatever the way in which edges come. */
#include <stdlib.h>

#include "support/graphs.h"

static const uint32_t *kept(exia_dag *dag)
{
    const uint32_t *order = NULL;
    size_t count = 0;
    check_ok(exia_dag_keep_order(&order, &count, dag, &err));
    assert_int_equal(count, exia_dag_node_count(dag));
    return order;
}

static exia_status try_edges(exia_dag *dag, const char *text)
{
    uint32_t before[64], after[64];
    size_t count = 0;
    for (; *text; text += text[2] ? 3 : 2, count++) {
        before[count] = (uint32_t)(text[0] - 'a');
        after[count] = (uint32_t)(text[1] - 'a');
    }
    return exia_dag_add_edges(dag, before, after, count, &err);
}

static char *exported(exia_dag *dag)
{
    char *text = NULL;
    check_ok(exia_dag_export(&text, dag, "json", &err));
    return text;
}

TEST(null_is_refused_and_the_answer_is_not_needed)
{
    exia_dag *dag = open_dag(1);
    const uint32_t zero = 0, *nodes = &zero;
    size_t count = 9;
    check_fails(EXIA_EINVAL, exia_dag_keep_order(&nodes, &count, NULL, &err));
    assert_null(nodes);
    assert_int_equal(count, 0);
    check_ok(exia_dag_keep_order(NULL, NULL, dag, &err));
    exia_dag_free(dag);
}

TEST(no_order_is_kept_of_a_graph_with_a_cycle)
{
    exia_dag *dag = open_named("abc");
    edges(dag, "ab ba");
    const uint32_t *nodes;
    size_t count;
    check_fails(EXIA_ECYCLE, exia_dag_keep_order(&nodes, &count, dag, &err));
    assert_null(nodes);
    edges(dag, "cc"); /* and so nothing is refused */
    exia_dag_free(dag);
}

TEST(an_edge_that_would_close_a_cycle_is_refused_and_the_shortest_one_is_shown)
{
    exia_dag *dag = open_named("abcdef");
    check_ok(exia_dag_keep_order(NULL, NULL, dag, &err));
    edges(dag, "ef fa ab bc cd ac");
    check_fails(EXIA_ECYCLE, try_edges(dag, "da"));
    assert_string_equal(
        err.text, "no edge was added: 'd' before 'a': a cycle of 3: 'a' -> 'c' -> 'd' -> 'a'");
    check_fails(EXIA_ECYCLE, try_edges(dag, "bb"));
    assert_string_equal(err.text, "no edge was added: 'b' before 'b': a cycle of 1: 'b' -> 'b'");
    assert_int_equal(exia_dag_add_edges(dag, (uint32_t[]){3}, (uint32_t[]){4}, 1, NULL),
                     EXIA_ECYCLE);
    exia_dag_free(dag);
}

static void check_shown(const exia_dag *dag, const char *cycle)
{
    const uint32_t *nodes;
    size_t count = 99;
    check_ok(exia_dag_cycle_shown(&nodes, &count, dag, &err));
    assert_int_equal(count, strlen(cycle));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(nodes[i], cycle[i] - 'a');
}

TEST(the_cycle_that_an_error_shows_is_data)
{
    const uint32_t zero = 0, *nodes = &zero;
    size_t count = 9;
    check_fails(EXIA_EINVAL, exia_dag_cycle_shown(&nodes, &count, NULL, &err));
    assert_null(nodes);
    assert_int_equal(count, 0);
    exia_dag *dag = open_named("abcdef");
    check_fails(EXIA_EINVAL, exia_dag_cycle_shown(NULL, &count, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_cycle_shown(&nodes, NULL, dag, &err));
    check_shown(dag, "");
    edges(dag, "ef fa fb bc cd db");
    check_shown(dag, ""); /* nobody has asked */
    check_fails(EXIA_ECYCLE, exia_dag_order(&nodes, &count, dag, &err));
    check_shown(dag, "bcd");
    check_fails(EXIA_ECYCLE, exia_dag_keep_order(NULL, NULL, dag, &err));
    check_shown(dag, "bcd");
    check_ok(exia_dag_remove_edges(dag, &(uint32_t){3}, &(uint32_t){1}, 1, &err));
    check_shown(dag, "");
    kept(dag);
    check_shown(dag, "");
    assert_int_equal(exia_dag_add_edges(dag, &(uint32_t){3}, &(uint32_t){4}, 1, NULL), EXIA_ECYCLE);
    check_shown(dag, "efbcd");
    check_ok(exia_dag_add_nodes(NULL, dag, NULL, 1000, &err));
    check_shown(dag, "efbcd");
    check_fails(EXIA_ECYCLE, try_edges(dag, "ab cc"));
    check_shown(dag, "c");
    edges(dag, "ab");
    check_shown(dag, "");
    check_fails(EXIA_ECYCLE, try_edges(dag, "da"));
    check_shown(dag, "abcd");
    check_ok(exia_dag_remove_nodes(NULL, dag, &(uint32_t){0}, 1, &err));
    check_shown(dag, "");
    exia_dag_free(dag);
}

TEST(a_refused_batch_leaves_the_order_and_what_was_lent_as_they_were)
{
    exia_dag *dag = open_named("abcdefgh");
    const uint32_t *order, *lent = kept(dag);
    uint32_t was[8];
    size_t count;
    edges(dag, "hg gf ba dc");
    check_ok(exia_dag_order(&order, &count, dag, &err));
    memcpy(was, lent, sizeof was);
    char *before = exported(dag);
    /* all but the last are right, and move nodes about */
    check_fails(EXIA_ECYCLE, try_edges(dag, "fe ed cb ha ah"));
    check_fails(EXIA_ECYCLE, try_edges(dag, "fe ed cb ag"));
    check_text("'a' before 'g'");
    check_fails(EXIA_ECYCLE, try_edges(dag, "hg hg hg hh"));
    assert_memory_equal(lent, was, sizeof was);
    assert_memory_equal(order, ((const uint32_t[]){1, 3, 4, 7, 0, 2, 6, 5}), 8 * sizeof *order);
    char *after = exported(dag);
    assert_string_equal(before, after);
    exia_text_free(before);
    exia_text_free(after);
    check_ok(try_edges(dag, "fe ed cb"));
    assert_memory_equal(kept(dag), ((const uint32_t[]){7, 6, 5, 4, 3, 2, 1, 0}), sizeof was);
    exia_dag_free(dag);
}

/* Two graphs get the same edges; one of them also 100,000 that it refuses, alone and in batches. */
TEST(a_hundred_thousand_refusals_leave_the_later_order_as_it_was_to_the_byte)
{
    enum { NODES = 300, ROUNDS = 1000, REFUSALS = 100 };
    exia_dag *dag = open_dag(NODES), *twin = open_dag(NODES);
    uint32_t seed = 5, before[3], after[3];
    kept(dag);
    kept(twin);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t a = next_random(&seed) % NODES, b = next_random(&seed) % NODES;
        exia_status rc = exia_dag_add_edges(dag, &a, &b, 1, NULL);
        assert_int_equal(exia_dag_add_edges(twin, &a, &b, 1, NULL), rc);
        if (rc < 0)
            continue;
        for (int i = 0; i < REFUSALS; i++) { /* b before a now closes a cycle */
            for (int k = 0; k < 2; k++) {
                before[k] = next_random(&seed) % NODES;
                after[k] = next_random(&seed) % NODES;
            }
            before[2] = b;
            after[2] = a;
            int alone = i % 2 ? 2 : 0;
            check_fails(EXIA_ECYCLE, exia_dag_add_edges(dag, before + alone, after + alone,
                                                        (size_t)(3 - alone), &err));
        }
    }
    assert_memory_equal(kept(dag), kept(twin), NODES * sizeof(uint32_t));
    const uint32_t *order, *other;
    size_t count;
    check_ok(exia_dag_order(&order, &count, dag, &err));
    check_ok(exia_dag_order(&other, &count, twin, &err));
    assert_memory_equal(order, other, NODES * sizeof *order);
    exia_dag_free(dag);
    exia_dag_free(twin);
}

/* Random edges, alone and in batches, with nodes in between: refused exactly when the graph with
 * them has a cycle, and the order is right after each. */
TEST(random_insertion_agrees_with_a_full_sort)
{
    enum { MOST = 60, EDGES = 400 };
    uint32_t seed = 11;
    for (int round = 0; round < 150; round++) {
        uint32_t before[EDGES], after[EDGES], nodes = MOST / 2;
        size_t count = 0;
        exia_dag *dag = open_dag(nodes);
        kept(dag);
        for (int step = 0; step < 80; step++) {
            if (step % 10 == 9 && nodes < MOST) {
                check_ok(exia_dag_add_nodes(NULL, dag, NULL, 3, &err));
                nodes += 3;
            }
            size_t batch = 1 + (next_random(&seed) % 4 == 0) * (next_random(&seed) % 5);
            for (size_t i = 0; i < batch; i++) {
                before[count + i] = next_random(&seed) % nodes;
                after[count + i] = next_random(&seed) % nodes;
            }
            exia_dag *witness = open_dag(nodes);
            const uint32_t *ignored;
            size_t size;
            check_ok(exia_dag_add_edges(witness, before, after, count + batch, &err));
            exia_status expected = exia_dag_order(&ignored, &size, witness, NULL);
            exia_dag_free(witness);
            assert_int_equal(exia_dag_add_edges(dag, before + count, after + count, batch, &err),
                             expected);
            if (expected == EXIA_OK)
                count += batch;
            uint32_t place[MOST];
            const uint32_t *order = kept(dag);
            memset(place, 0xff, sizeof place);
            for (uint32_t i = 0; i < nodes; i++)
                place[order[i]] = i;
            for (uint32_t i = 0; i < nodes; i++)
                assert_true(place[i] < nodes);
            for (size_t i = 0; i < count; i++)
                assert_true(place[before[i]] < place[after[i]]);
        }
        exia_dag_free(dag);
    }
}

/* A batch that turns the whole order round costs one sort, not one search an edge; edge by edge the
 * worst order of insertion still ends. */
TEST(a_chain_of_a_million_against_the_order_is_taken_in_one_batch_and_refused_in_one)
{
    enum { COUNT = 1000000 };
    exia_dag *dag = open_dag(COUNT);
    kept(dag);
    const uint32_t *cycle;
    size_t size;
    uint32_t *down = malloc((COUNT + 1) * sizeof *down);
    assert_non_null(down);
    for (uint32_t i = 0; i < COUNT; i++)
        down[i] = COUNT - 1 - i;
    down[COUNT] = down[0];
    check_fails(EXIA_ECYCLE, exia_dag_add_edges(dag, down, down + 1, COUNT, &err));
    check_ok(exia_dag_cycle_shown(&cycle, &size, dag, &err));
    assert_int_equal(size, COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(cycle[i], (cycle[0] + COUNT - i) % COUNT);
    check_ok(exia_dag_add_edges(dag, down, down + 1, COUNT - 1, &err));
    assert_memory_equal(kept(dag), down, COUNT * sizeof *down);
    edge(dag, COUNT - 1, 0);
    check_fails(EXIA_ECYCLE, exia_dag_add_edges(dag, &down[COUNT - 1], &down[0], 1, &err));
    check_text("a cycle of 2: 999999 -> 0 -> 999999");
    check_fails(EXIA_ECYCLE, exia_dag_add_edges(dag, down + 1, down, COUNT - 1, &err));
    check_ok(exia_dag_cycle_shown(&cycle, &size, dag, &err));
    assert_true(size == 2 && cycle[0] + cycle[1] == down[0] + down[1]);
    assert_memory_equal(kept(dag), down, COUNT * sizeof *down);
    free(down);
    exia_dag_free(dag);
}

static exia_status add_in_turn(void *payload, exia_error *error)
{
    const uint32_t before[] = {3, 2, 1, 0, 4}, after[] = {2, 1, 0, 3, 3}, *order;
    size_t count;
    exia_dag *dag = NULL;
    (void)payload;
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, NULL, 4, error);
    if (rc == EXIA_OK)
        rc = exia_dag_keep_order(&order, &count, dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, NULL, 20, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before, after, 3, error);
    if (rc < 0 && dag != NULL && exia_dag_node_count(dag) == 24 &&
        exia_dag_keep_order(&order, &count, dag, NULL) == EXIA_OK)
        for (uint32_t i = 0; i < 24; i++) /* whatever failed: nothing moved */
            assert_int_equal(order[i], i);
    if (rc == EXIA_OK) {
        rc = exia_dag_add_edges(dag, before + 3, after + 3, 1, error);
        rc = rc == EXIA_ECYCLE ? EXIA_OK : rc;
    }
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before + 4, after + 4, 1, error);
    exia_dag_free(dag);
    return rc;
}

TEST(no_memory_is_an_error_and_leaves_the_order)
{
    check_survives_no_memory(add_in_turn, NULL);
}
