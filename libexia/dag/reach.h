/* Searching from a node: what is used by one search after the other, and holds its answer. */
#ifndef EXIA_DAG_REACH_H
#define EXIA_DAG_REACH_H

#include "dag/dag.h"

struct exia__search {
    uint32_t number; /* of this search */
    uint32_t *seen;  /* in the search of this number */
    uint32_t *from;  /* what came before a node on the way */
    uint32_t *found; /* nodes, the nearest first */
};

/* A new search: nothing is seen.  NULL: memory is out. */
exia__search *exia__search_open(exia_dag *dag);
void exia__search_free(exia__search *search);

/* Begin at `node` too; once. */
static inline void exia__search_begin(exia__search *search, size_t *tail, uint32_t node)
{
    if (search->seen[node] != search->number) {
        search->seen[node] = search->number;
        search->found[(*tail)++] = node;
    }
}

/* The way from `first` to `last` by search->from, put at the end of `found`.  `nodes`: of the graph. */
const uint32_t *exia__search_way(size_t *count, exia__search *search, size_t nodes, uint32_t first,
                                 uint32_t last);
/* The shortest cycle through `node`, which is first; none: `*count` is 0.  `csr` is there. */
const uint32_t *exia__search_cycle(size_t *count, exia_dag *dag, exia__search *search,
                                   uint32_t node);

/* See to all cycles; `csr` is there, and the graph is known to have one. */
exia_status exia__dag_groups(exia_dag *dag, exia_error *err);

#endif
