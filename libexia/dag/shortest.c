/* The shortest cycle of all: one search from each node (A. Itai and M. Rodeh, Finding a minimum
 * circuit in a graph, 1978), that goes no further than the best cycle known.  A node that was
 * searched from is taken out, and then whatever lies on no cycle any more: a ring, or a ladder, is
 * gone after one or two searches. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "dag/reach.h"

static const uint32_t NONE = EXIA_NO_NODE;

typedef struct left {
    const exia_dag *dag;
    uint32_t *group;    /* of cycles; NONE: on no cycle, or taken out */
    uint32_t *in, *out; /* edges that are left, within the group */
    uint32_t *taken;    /* stack of nodes that are taken out, and not yet from their neighbours */
    const uint32_t *best;
    size_t best_size;
} left;

/* What is left of the edges between `node` and the others of its group: one less at each of them. */
static void count_down(left *l, const exia__csr *csr, uint32_t *edges, uint32_t node,
                       uint32_t group, size_t *stack)
{
    for (uint32_t i = csr->starts[node]; i < csr->starts[node + 1]; i++) {
        uint32_t other = csr->targets[i];
        if (l->group[other] == group && --edges[other] == 0) {
            l->group[other] = NONE;
            l->taken[(*stack)++] = other;
        }
    }
}

static void take_out(left *l, uint32_t node)
{
    uint32_t group = l->group[node];
    size_t stack = 0;
    l->group[node] = NONE;
    l->taken[stack++] = node;
    while (stack > 0) {
        uint32_t top = l->taken[--stack];
        count_down(l, &l->dag->csr, l->in, top, group, &stack);
        count_down(l, &l->dag->reverse, l->out, top, group, &stack);
    }
}

/* Breadth first, level by level, as long as a cycle closed there would be shorter than the best. */
static void search_from(left *l, exia__search *search, uint32_t first)
{
    const exia__csr *csr = &l->dag->csr;
    uint32_t group = l->group[first];
    size_t head = 0, tail = 0;
    exia__search_begin(search, &tail, first);
    for (size_t size = 1; head < tail && size < l->best_size; size++) {
        for (size_t end = tail; head < end; head++) {
            uint32_t node = search->found[head];
            for (uint32_t i = csr->starts[node]; i < csr->starts[node + 1]; i++) {
                uint32_t target = csr->targets[i];
                if (target == first) {
                    l->best =
                        exia__search_way(&l->best_size, search, l->dag->names.count, first, node);
                    return;
                }
                if (l->group[target] != group || search->seen[target] == search->number)
                    continue;
                search->from[target] = node;
                exia__search_begin(search, &tail, target);
            }
        }
    }
}

static void count_edges(left *l)
{
    const exia_dag *dag = l->dag;
    memset(l->group, 0xff, dag->names.count * sizeof *l->group);
    for (size_t g = 0; g < dag->cycle_count; g++) {
        for (size_t i = dag->cycle_starts[g]; i < dag->cycle_starts[g + 1]; i++)
            l->group[dag->cycle_nodes[i]] = (uint32_t)g;
    }
    memset(l->in, 0, 2 * dag->names.count * sizeof *l->in); /* and out */
    for (size_t i = 0; i < dag->edge_count; i++) {
        uint32_t group = l->group[dag->before[i]];
        if (group != NONE && group == l->group[dag->after[i]]) {
            l->out[dag->before[i]]++;
            l->in[dag->after[i]]++;
        }
    }
}

static exia_status shortest(const uint32_t **out, size_t *count, exia_dag *dag, exia_error *err)
{
    exia_status rc = exia__dag_groups(dag, err);
    size_t nodes = dag->names.count;
    if (rc == EXIA_OK)
        rc = exia__dag_reverse(dag, err);
    if (rc < 0)
        return rc;
    uint32_t *memory = exia__array(NULL, nodes, 5 * sizeof *memory);
    if (memory == NULL)
        return exia__fail_memory(err);
    left l = {.dag = dag,
              .group = memory,
              .in = memory + nodes,
              .out = memory + 2 * nodes,
              .taken = memory + 3 * nodes,
              .best_size = SIZE_MAX};
    uint32_t *best = memory + 4 * nodes; /* the search's own place is used again */
    count_edges(&l);
    for (size_t i = 0; i < dag->cycle_starts[dag->cycle_count] && l.best_size > 1; i++) {
        uint32_t node = dag->cycle_nodes[i];
        if (l.group[node] == NONE)
            continue;
        exia__search *search = exia__search_open(dag);
        if (search == NULL) {
            rc = exia__fail_memory(err);
            goto done;
        }
        l.best = NULL;
        search_from(&l, search, node);
        if (l.best != NULL)
            memcpy(best, l.best, l.best_size * sizeof *best);
        take_out(&l, node);
    }
    memcpy(dag->search->found, best, l.best_size * sizeof *best);
    *out = dag->search->found;
    *count = l.best_size;
done:
    exia__release(memory);
    return rc;
}

exia_status exia_dag_cycle(const uint32_t **nodes, size_t *count, exia_dag *dag, uint32_t through,
                           exia_error *err)
{
    static const uint32_t none;
    exia_error unwanted;
    if (nodes != NULL)
        *nodes = NULL;
    if (count != NULL)
        *count = 0;
    if (nodes == NULL || count == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_cycle: an argument is NULL");
    if (exia__guard_check(&dag->guard, "exia_dag_cycle", err) < 0)
        return EXIA_ECONFLICT;
    if (through != NONE && through >= dag->names.count)
        return exia__fail(err, EXIA_EINVAL, 0, "%u is no node: there are %zu", (unsigned)through,
                          dag->names.count);
    *nodes = &none;
    if (through != NONE) {
        exia_status rc = exia__dag_rows(dag, NULL, err);
        exia__search *search = rc == EXIA_OK ? exia__search_open(dag) : NULL;
        if (rc == EXIA_OK && search == NULL)
            rc = exia__fail_memory(err);
        if (rc == EXIA_OK)
            *nodes = exia__search_cycle(count, dag, search, through);
        return rc;
    }
    exia_status rc = exia__dag_sort(dag, &unwanted);
    if (rc == EXIA_ECYCLE)
        return shortest(nodes, count, dag, err);
    return rc < 0 ? exia__fail(err, rc, 0, "%s", unwanted.text) : EXIA_OK;
}
