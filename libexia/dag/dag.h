/* The graph as its files share it: edges as they came, and what is computed from them and kept
 * until an edge or a node is added.
 *
 *     before[]  0 0 1        edges as given        starts[]   0   2 3 3     row i of the rows is
 *     after[]   2 1 2                              targets[]  2 1 | 2 |     targets[starts[i] ..]   */
#ifndef EXIA_DAG_DAG_H
#define EXIA_DAG_DAG_H

#include "dag/guard.h"
#include "dag/names.h"
#include "exia/dag.h"

/* Compressed sparse rows: the successors of each node, in the order their edges were given.  They do
 * not change, so that a graph and its cursors share them, counted. */
typedef struct exia__csr {
    uint32_t *starts; /* node count + 1 */
    uint32_t *targets;
} exia__csr;

typedef struct exia__kept exia__kept;
typedef struct exia__search exia__search;

struct exia_dag {
    exia__guard guard;
    exia__names names; /* names.count is the number of nodes */
    uint32_t *before, *after;
    size_t edge_count, edge_capacity;
    exia__kept *kept; /* an order that is kept from edge to edge; NULL: none */

    /* Computed when asked for; NULL: not yet. */
    exia__csr csr, reverse;
    exia__search *search;
    uint32_t *order;      /* by level, by index within one */
    size_t *level_starts; /* level_count + 1 */
    size_t level_count;
    uint32_t *cycle; /* one: there is no order */
    size_t cycle_size;
    uint32_t *cycle_nodes; /* all */
    size_t *cycle_starts;
    size_t cycle_count;
    uint32_t *reduced; /* where the edges that stay begin; from edge_count on: where they end */
    size_t reduced_count;
};

/* Row i holds to[k] for each k with from[k] == i; `incoming` (may be NULL) gets how many to[k] are
 * i. */
exia_status exia__csr_open(exia__csr *out, uint32_t *incoming, size_t nodes, const uint32_t *from,
                           const uint32_t *to, size_t edges, exia_error *err);
exia__csr exia__csr_share(const exia__csr *csr);
void exia__csr_free(exia__csr *csr); /* of one who shares it */

/* See to `csr`; `incoming` (may be NULL) gets how many edges end at each node. */
exia_status exia__dag_rows(exia_dag *dag, uint32_t *incoming, exia_error *err);
/* See to `reverse`, the rows of predecessors. */
exia_status exia__dag_reverse(exia_dag *dag, exia_error *err);

/* See to `csr` and `order`.  @return EXIA_ECYCLE: only `csr` is there, and `err` shows a cycle */
exia_status exia__dag_sort(exia_dag *dag, exia_error *err);
/* Drop what was computed. */
void exia__dag_forget(exia_dag *dag);
/* Keep a cycle: left[i] is not 0 where edges from nodes like it end at i, of which there are some.  It
 * is the shortest one through the first node of that to which one comes who walks back. */
exia_status exia__dag_keep_cycle(exia_dag *dag, const uint32_t *left, exia_error *err);
/* Fail with this cycle. */
exia_status exia__dag_fail_with(const exia_dag *dag, const uint32_t *cycle, size_t size,
                                exia_error *err);

/* A node for an error: 'name', or its number. */
const char *exia__node_shown(char out[EXIA__SHOWN_SIZE], const exia_dag *dag, uint32_t node);

#endif
