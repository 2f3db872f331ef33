/* The transitive reduction by reachability, for graphs in which most nodes reach much. */
#ifndef EXIA_DAG_CLOSURE_H
#define EXIA_DAG_CLOSURE_H

#include "dag/dag.h"

/* Of the node at place p of the order: targets[starts[p]] up to targets[ends[p] - 1], ascending, are
 * places too. */
typedef struct exia__reduced_rows {
    uint32_t *starts, *ends, *targets;
} exia__reduced_rows;

/* How many edges are looked at, about. */
double exia__closure_work(const exia_dag *dag);
/* The edges that stay; `order` and `reverse` are there. */
exia_status exia__closure_reduce(exia__reduced_rows *out, const exia_dag *dag, exia_error *err);
void exia__reduced_rows_free(exia__reduced_rows *rows);

#endif
