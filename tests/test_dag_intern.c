/* Nodes named by numbers: bad input first, then that a number is its decimal text, and one node. */
#include <inttypes.h>
#include <stdio.h>

#include "support/graphs.h"

enum { MANY = 20000 };

TEST(null_is_refused_and_nothing_is_no_number)
{
    exia_dag *dag = open_dag(0);
    const int64_t number = 7;
    uint32_t node = 9;
    check_fails(EXIA_EINVAL, exia_dag_intern(&node, NULL, &number, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_intern(NULL, dag, &number, 1, &err));
    check_fails(EXIA_EINVAL, exia_dag_intern(&node, dag, NULL, 1, &err));
    check_ok(exia_dag_intern(NULL, dag, NULL, 0, &err));
    assert_int_equal(exia_dag_node_count(dag), 0);
    exia_dag_free(dag);
}

TEST(one_too_many_is_refused_and_those_before_it_are_not_added)
{
    exia_dag *dag = open_dag(UINT32_MAX - 1);
    const int64_t numbers[] = {-1, 7};
    uint32_t nodes[2];
    check_fails(EXIA_EINVAL, exia_dag_intern(nodes, dag, numbers, 2, &err));
    assert_non_null(strstr(err.text, "-1 would be one too many: 4294967294 are there"));
    assert_int_equal(exia_dag_node_count(dag), UINT32_MAX - 1);
    exia_dag_free(dag);
}

TEST(a_number_is_its_decimal_text)
{
    const int64_t numbers[] = {0, -1, 9, 10, -10, 99, 100, INT64_MAX, INT64_MIN, 1 + INT64_MIN};
    enum { COUNT = sizeof numbers / sizeof *numbers };
    exia_dag *dag = open_dag(0);
    uint32_t nodes[COUNT], found;
    check_ok(exia_dag_intern(nodes, dag, numbers, COUNT, &err));
    for (uint32_t i = 0; i < COUNT; i++) {
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, numbers[i]);
        assert_int_equal(nodes[i], i);
        assert_string_equal(exia_dag_name(dag, i), text);
        check_ok(exia_dag_find(&found, dag, text, &err));
        assert_int_equal(found, i);
    }
    exia_dag_free(dag);
}

TEST(a_number_that_is_there_is_the_same_node_whoever_named_it)
{
    const char *names[] = {"a", "7", NULL, "007"};
    const int64_t numbers[] = {5, 7, 5, 8, 7};
    exia_dag *dag = open_dag(1);
    uint32_t nodes[5];
    check_ok(exia_dag_add_nodes(NULL, dag, names, 4, &err));
    for (int turn = 0; turn < 2; turn++) {
        check_ok(exia_dag_intern(nodes, dag, numbers, 5, &err));
        assert_memory_equal(nodes, ((const uint32_t[]){5, 2, 5, 6, 2}), sizeof nodes);
        assert_int_equal(exia_dag_node_count(dag), 7);
    }
    const char *eight[] = {"8"};
    check_fails(EXIA_EEXISTS, exia_dag_add_nodes(NULL, dag, eight, 1, &err));
    exia_dag_free(dag);
}

TEST(new_nodes_are_in_the_order_that_is_kept_and_answers_know_them)
{
    exia_dag *dag = open_chain(3);
    const int64_t numbers[] = {40, 30};
    const uint32_t *order;
    uint32_t nodes[2];
    size_t count;
    check_ok(exia_dag_keep_order(NULL, NULL, dag, &err));
    check_ok(exia_dag_order(&order, &count, dag, &err));
    assert_int_equal(count, 3);
    check_ok(exia_dag_intern(nodes, dag, numbers, 2, &err));
    edge(dag, nodes[1], 0);
    check_fails(EXIA_ECYCLE, exia_dag_add_edges(dag, &(uint32_t){2}, &nodes[1], 1, &err));
    check_ok(exia_dag_order(&order, &count, dag, &err));
    assert_int_equal(count, 5);
    assert_memory_equal(order, ((const uint32_t[]){3, 4, 0, 1, 2}), count * sizeof *order);
    exia_dag_free(dag);
}

TEST(many_numbers_are_found_again_also_when_others_went)
{
    exia_dag *dag = open_dag(0);
    int64_t *numbers = test_malloc(MANY * sizeof *numbers);
    uint32_t *nodes = test_malloc(MANY * sizeof *nodes), *again = test_malloc(MANY * sizeof *again);
    for (int64_t i = 0; i < MANY; i++)
        numbers[i] = (i - MANY / 2) * 1000003;
    check_ok(exia_dag_intern(nodes, dag, numbers, MANY, &err));
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(nodes[i], i);
    check_ok(exia_dag_remove_nodes(NULL, dag, nodes, MANY / 2, &err));
    check_ok(exia_dag_intern(again, dag, numbers, MANY, &err));
    assert_int_equal(exia_dag_node_count(dag), MANY);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(again[i], i < MANY / 2 ? i + MANY / 2 : i - MANY / 2);
    test_free(numbers);
    test_free(nodes);
    test_free(again);
    exia_dag_free(dag);
}

/* Names come and go in more than one chunk and more than one table. */
static exia_status come_and_fail(void *payload, exia_error *error)
{
    static const char *const names[] = {"left", "right", "600"};
    static int64_t numbers[1000];
    static uint32_t nodes[1000];
    exia_dag *dag = NULL;
    uint32_t node;
    (void)payload;
    for (int i = 0; i < 1000; i++)
        numbers[i] = i * INT64_C(1000000007) - 600;
    exia_status rc = exia_dag_open(&dag, error);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, names, 3, error);
    if (rc == EXIA_OK)
        rc = exia_dag_keep_order(NULL, NULL, dag, error);
    for (size_t done = 0; rc == EXIA_OK && done < 1000; done += 250) {
        size_t there = exia_dag_node_count(dag);
        rc = exia_dag_intern(nodes, dag, numbers + done, 250, error);
        if (rc < 0) {
            assert_int_equal(exia_dag_node_count(dag), there);
            assert_int_equal(exia_dag_find(&node, dag, "600", NULL), EXIA_OK);
            assert_int_equal(exia_dag_find(&node, dag, "-600", NULL) == EXIA_OK, done > 0);
        }
    }
    exia_dag_free(dag);
    return rc;
}

TEST(no_memory_is_an_error_and_adds_nothing)
{
    check_survives_no_memory(come_and_fail, NULL);
}
