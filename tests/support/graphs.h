/* Small graphs, named by letters. */
#ifndef TESTS_GRAPHS_H
#define TESTS_GRAPHS_H

#include "support/check.h"

static inline exia_dag *open_dag(size_t nodes)
{
    exia_dag *dag = NULL;
    check_ok(exia_dag_open(&dag, &err));
    check_ok(exia_dag_add_nodes(NULL, dag, NULL, nodes, &err));
    return dag;
}

static inline void edge(exia_dag *dag, uint32_t before, uint32_t after)
{
    check_ok(exia_dag_add_edges(dag, &before, &after, 1, &err));
}

/* 0 before 1 before 2 ... */
static inline exia_dag *open_chain(uint32_t nodes)
{
    exia_dag *dag = open_dag(nodes);
    uint32_t *all = test_malloc(((size_t)nodes + 1) * sizeof *all);
    for (uint32_t i = 0; i < nodes; i++)
        all[i] = i;
    check_ok(exia_dag_add_edges(dag, all, all + 1, nodes - 1, &err));
    test_free(all);
    return dag;
}

/* Names of one letter each. */
static inline exia_dag *open_named(const char *letters)
{
    exia_dag *dag = NULL;
    check_ok(exia_dag_open(&dag, &err));
    for (const char *c = letters; *c; c++) {
        const char name[] = {*c, '\0'}, *names[] = {name};
        check_ok(exia_dag_add_nodes(NULL, dag, names, 1, &err));
    }
    return dag;
}

/* Nodes as letters: 0 is "a". */
static inline const char *letters(const uint32_t *nodes, size_t count)
{
    static char text[64];
    for (size_t i = 0; i < count; i++)
        text[i] = (char)('a' + nodes[i]);
    text[count] = '\0';
    return text;
}

/* "ab bc": a before b, b before c. */
static inline void edges(exia_dag *dag, const char *text)
{
    for (; *text; text += text[2] ? 3 : 2) {
        const char from[] = {text[0], '\0'}, to[] = {text[1], '\0'};
        uint32_t before, after;
        check_ok(exia_dag_find(&before, dag, from, &err));
        check_ok(exia_dag_find(&after, dag, to, &err));
        edge(dag, before, after);
    }
}

static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

#endif
