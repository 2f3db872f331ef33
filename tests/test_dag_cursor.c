/* The ready/done cursor: what is refused first, then what becomes ready and when, with cycles too. */
#include <stdlib.h>

#include "support/graphs.h"

static exia_dag_cursor *open_cursor(exia_dag *dag)
{
    exia_dag_cursor *cursor = NULL;
    check_ok(exia_dag_cursor_open(&cursor, dag, &err));
    return cursor;
}

static exia_dag_cursor *cursor_of(const char *nodes, const char *text)
{
    exia_dag *dag = open_named(nodes);
    edges(dag, text);
    exia_dag_cursor *cursor = open_cursor(dag);
    exia_dag_free(dag);
    return cursor;
}

/* What is ready, as letters. */
static const char *ready(exia_dag_cursor *cursor)
{
    const uint32_t *nodes;
    size_t count;
    check_ok(exia_dag_cursor_ready(&nodes, &count, cursor, &err));
    return letters(nodes, count);
}

static exia_status done(exia_dag_cursor *cursor, const char *those)
{
    uint32_t nodes[64];
    size_t count = strlen(those);
    for (size_t i = 0; i < count; i++)
        nodes[i] = (uint32_t)(those[i] - 'a');
    return exia_dag_cursor_done(NULL, cursor, nodes, count, &err);
}

TEST(each_call_refuses_null)
{
    exia_dag *dag = open_dag(1);
    exia_dag_cursor *cursor = open_cursor(dag), *copy = NULL;
    const uint32_t *nodes, zero = 0;
    size_t count;
    check_fails(EXIA_EINVAL, exia_dag_cursor_open(NULL, dag, &err));
    check_fails(EXIA_EINVAL, exia_dag_cursor_open(&copy, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_cursor_copy(NULL, cursor, &err));
    check_fails(EXIA_EINVAL, exia_dag_cursor_copy(&copy, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_cursor_ready(NULL, &count, cursor, &err));
    check_fails(EXIA_EINVAL, exia_dag_cursor_ready(&nodes, NULL, cursor, &err));
    check_fails(EXIA_EINVAL, exia_dag_cursor_ready(&nodes, &count, NULL, &err));
    check_fails(EXIA_EINVAL, exia_dag_cursor_done(&count, NULL, &zero, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_cursor_done(&count, cursor, NULL, 1, &err));
    check_ok(exia_dag_cursor_done(&count, cursor, NULL, 0, &err));
    assert_false(exia_dag_cursor_active(NULL));
    assert_null(copy);
    exia_dag_cursor_free(cursor);
    exia_dag_cursor_free(NULL);
    exia_dag_free(dag);
}

TEST(done_tells_what_is_no_node_not_handed_out_or_done_already)
{
    exia_dag_cursor *cursor = cursor_of("abc", "ab bc");
    check_fails(EXIA_EINVAL, done(cursor, "a")); /* ready, but nobody has it */
    assert_string_equal(ready(cursor), "a");
    check_fails(EXIA_EINVAL, done(cursor, "b"));
    check_text("node 1 was not handed out");
    check_fails(EXIA_ENOTFOUND, done(cursor, "d"));
    check_text("3 is no node: there are 3");
    check_ok(done(cursor, "a"));
    check_fails(EXIA_EEXISTS, done(cursor, "a"));
    check_text("node 0 is done already");
    assert_string_equal(ready(cursor), "b");
    exia_dag_cursor_free(cursor);
}

TEST(what_stands_before_the_refused_one_is_done)
{
    exia_dag_cursor *cursor = cursor_of("abc", "ac");
    const uint32_t nodes[] = {0, 2, 1};
    size_t taken = 9;
    assert_string_equal(ready(cursor), "ab");
    check_fails(EXIA_EINVAL, exia_dag_cursor_done(&taken, cursor, nodes, 3, &err));
    assert_int_equal(taken, 1);
    assert_string_equal(ready(cursor), "c");
    check_ok(done(cursor, "bc"));
    assert_false(exia_dag_cursor_active(cursor));
    exia_dag_cursor_free(cursor);
}

TEST(an_empty_graph_is_at_its_end)
{
    exia_dag *dag = open_dag(0);
    exia_dag_cursor *cursor = open_cursor(dag);
    assert_false(exia_dag_cursor_active(cursor));
    assert_string_equal(ready(cursor), "");
    exia_dag_cursor_free(cursor);
    exia_dag_free(dag);
}

TEST(nodes_come_in_the_order_in_which_they_become_ready)
{
    exia_dag_cursor *cursor = cursor_of("abcdef", "af ae be bd af cd");
    assert_true(exia_dag_cursor_active(cursor));
    assert_string_equal(ready(cursor), "abc");
    assert_string_equal(ready(cursor), "");
    check_ok(done(cursor, "cba"));
    assert_string_equal(ready(cursor),
                        "def"); /* b: d, for e waits; a: e, and f by its second edge */
    assert_true(exia_dag_cursor_active(cursor));
    check_ok(done(cursor, "fde"));
    assert_false(exia_dag_cursor_active(cursor));
    exia_dag_cursor_free(cursor);
}

TEST(what_a_cycle_does_not_hold_up_is_handed_out)
{
    exia_dag_cursor *cursor = cursor_of("abcdefg", "ab bc cd db de fb gg");
    assert_string_equal(ready(cursor), "af");
    check_ok(done(cursor, "af"));
    assert_string_equal(ready(cursor), "");
    assert_false(exia_dag_cursor_active(cursor));
    exia_dag_cursor_free(cursor);
}

TEST(a_cursor_stays_with_the_graph_as_it_was)
{
    exia_dag *dag = open_named("abc");
    edges(dag, "ab");
    exia_dag_cursor *cursor = open_cursor(dag);
    assert_string_equal(ready(cursor), "ac");
    edges(dag, "bc ca");
    exia_dag_free(dag);
    check_ok(done(cursor, "ac"));
    assert_string_equal(ready(cursor), "b");
    exia_dag_cursor_free(cursor);
}

TEST(a_copy_goes_on_by_itself)
{
    exia_dag *dag = open_named("abcd");
    edges(dag, "ac bd");
    exia_dag_cursor *cursor = open_cursor(dag), *copy = NULL;
    exia_dag_free(dag);
    assert_string_equal(ready(cursor), "ab");
    check_ok(done(cursor, "a"));
    check_ok(exia_dag_cursor_copy(&copy, cursor, &err));
    assert_string_equal(ready(cursor), "c");
    check_ok(done(cursor, "bc"));
    assert_string_equal(ready(cursor), "d");
    exia_dag_cursor_free(cursor);
    check_fails(EXIA_EEXISTS, done(copy, "a"));
    check_ok(done(copy, "b"));
    assert_string_equal(ready(copy), "cd");
    check_ok(done(copy, "cd"));
    assert_false(exia_dag_cursor_active(copy));
    exia_dag_cursor_free(copy);
}

/* Random graphs, most with cycles: whatever is handed out has all before it done, and in the end
 * exactly the nodes that no cycle holds up were handed out. */
TEST(random_graphs_are_handed_out_as_far_as_cycles_allow)
{
    enum { NODES = 20 };
    uint32_t seed = 7;
    for (int round = 0; round < 500; round++) {
        unsigned char edge_there[NODES][NODES] = {{0}}, is_done[NODES] = {0}, is_out[NODES] = {0};
        exia_dag *dag = open_dag(NODES);
        for (uint32_t i = next_random(&seed) % 40; i > 0; i--) {
            uint32_t a = next_random(&seed) % NODES, b = next_random(&seed) % NODES;
            edge(dag, a, b);
            edge_there[a][b] = 1;
        }
        exia_dag_cursor *cursor = open_cursor(dag);
        uint32_t held[NODES];
        size_t holding = 0, count, finished = 0;
        const uint32_t *nodes;
        while (exia_dag_cursor_active(cursor)) {
            check_ok(exia_dag_cursor_ready(&nodes, &count, cursor, &err));
            for (size_t i = 0; i < count; i++) {
                assert_false(is_out[nodes[i]]);
                is_out[nodes[i]] = 1;
                for (int before = 0; before < NODES; before++)
                    assert_true(!edge_there[before][nodes[i]] || is_done[before]);
                held[holding++] = nodes[i];
            }
            size_t which = next_random(&seed) % holding; /* any one of those that are out */
            check_ok(exia_dag_cursor_done(NULL, cursor, &held[which], 1, &err));
            is_done[held[which]] = 1;
            finished++;
            held[which] = held[--holding];
        }
        for (int i = 0; i < NODES; i++) { /* who was not handed out waits for another such node */
            int waits = is_out[i];
            for (int before = 0; before < NODES; before++)
                waits |= edge_there[before][i] && !is_out[before];
            assert_true(waits);
        }
        assert_int_equal(holding, 0);
        assert_true(finished <= NODES);
        exia_dag_cursor_free(cursor);
        exia_dag_free(dag);
    }
}

TEST(a_chain_of_ten_million_is_handed_out_one_by_one)
{
    enum { COUNT = 10000000 };
    exia_dag *dag = open_chain(COUNT);
    exia_dag_cursor *cursor = open_cursor(dag);
    exia_dag_free(dag);
    const uint32_t *nodes;
    size_t count, total = 0;
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK && exia_dag_cursor_active(cursor)) {
        rc = exia_dag_cursor_ready(&nodes, &count, cursor, &err);
        if (rc == EXIA_OK && (count != 1 || nodes[0] != total++))
            fail_msg("%zu nodes are ready after %zu", count, total);
        if (rc == EXIA_OK)
            rc = exia_dag_cursor_done(NULL, cursor, nodes, count, &err);
    }
    check_ok(rc);
    assert_int_equal(total, COUNT);
    exia_dag_cursor_free(cursor);
}

static exia_status whole_life(void *payload, exia_error *error)
{
    exia_dag *dag = NULL;
    exia_dag_cursor *cursor = NULL, *copy = NULL;
    const uint32_t before[] = {0, 1}, after[] = {1, 2}, *nodes;
    size_t count;
    (void)payload;
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, NULL, 3, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_edges(dag, before, after, 2, error);
    if (rc == EXIA_OK)
        rc = exia_dag_cursor_open(&cursor, dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_cursor_copy(&copy, cursor, error);
    if (rc == EXIA_OK)
        rc = exia_dag_cursor_ready(&nodes, &count, copy, error);
    if (rc == EXIA_OK)
        rc = exia_dag_cursor_done(NULL, copy, nodes, count, error);
    exia_dag_free(dag);
    exia_dag_cursor_free(cursor);
    exia_dag_cursor_free(copy);
    return rc;
}

TEST(no_memory_is_an_error_and_leaves_nothing)
{
    check_survives_no_memory(whole_life, NULL);
}
