/* An order that is kept from edge to edge, and the edges as lists, both ways, to search from a node
 * without making rows. */
#ifndef EXIA_DAG_KEPT_H
#define EXIA_DAG_KEPT_H

#include "dag/dag.h"

/* Edges of the graph, by number: the newest one first, EXIA_NO_NODE behind the last. */
typedef struct exia__place {
    uint32_t rank; /* order[rank] is this node */
    uint32_t first_out, first_in;
    uint32_t seen; /* by the search of this number */
    uint32_t from; /* what came before it on the way */
} exia__place;

typedef struct exia__link {
    uint32_t next_out, next_in;
} exia__link;

typedef struct exia__moved {
    uint32_t node, rank;
} exia__moved;

struct exia__kept {
    exia__place *places;
    uint32_t *order;
    uint32_t *found, *pool; /* of a search: nodes, and the ranks they share out */
    size_t refused;         /* nodes in found[]: of the cycle that an edge would have closed */
    size_t place_capacity, order_capacity, found_capacity, pool_capacity;
    exia__link *links;
    size_t link_capacity;
    exia__moved *moved; /* of the batch that is being added: where nodes were, the oldest first */
    size_t moved_count, moved_capacity;
    uint32_t searches;
    uint64_t work; /* of the batch: nodes and edges looked at */
};

/* Each does nothing and answers EXIA_OK where no order is kept.  Room is made first, so that what
 * follows cannot fail half-way. */
exia_status exia__kept_reserve(exia_dag *dag, size_t nodes, size_t edges, exia_error *err);
/* Nodes from `first` on were added: they come last. */
void exia__kept_add_nodes(exia_dag *dag, size_t first);
/* Edges from `first` to `end` lie in the graph's arrays, and may be added: all, or, where one closes
 * a cycle or memory is out, none. */
exia_status exia__kept_add_edges(exia_dag *dag, size_t first, size_t end, exia_error *err);
/* After removal: nodes have moved to to[i], or go (EXIA_NO_NODE); edges are other ones.  The order of
 * what stays is as it was. */
void exia__kept_remove_nodes(exia_dag *dag, const uint32_t *to);
void exia__kept_link_all(exia_dag *dag);
void exia__kept_free(exia_dag *dag);

#endif
