/* What is reached from a node, breadth first (E. F. Moore, The shortest path through a maze, 1959):
 * paths, cycles through a node, descendants; and, on the rows turned round, ancestors.  A node is
 * marked with the number of the search, so that the next one need not clear anything. */
#include "dag/reach.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"

static const uint32_t NONE = EXIA_NO_NODE;

exia__search *exia__search_open(exia_dag *dag)
{
    size_t nodes = dag->names.count;
    exia__search *search = dag->search;
    if (search == NULL) {
        search = exia__resize(NULL, sizeof *search + 3 * nodes * sizeof *search->seen);
        if (search == NULL)
            return NULL;
        uint32_t *memory = (uint32_t *)(search + 1);
        *search = (exia__search){0, memory, memory + nodes, memory + 2 * nodes};
        memset(search->seen, 0, nodes * sizeof *search->seen);
        dag->search = search;
    }
    if (++search->number == 0) { /* after four billion */
        memset(search->seen, 0, nodes * sizeof *search->seen);
        search->number = 1;
    }
    return search;
}

void exia__search_free(exia__search *search)
{
    exia__release(search);
}

/* Go on from found[0] until nothing new is reached (the answer is NONE) or an edge leads to `goal`
 * (it is the node where that edge begins).  `*tail`: how many were found. */
static uint32_t walk(size_t *tail, exia__search *search, const exia__csr *csr, uint32_t goal)
{
    uint32_t *seen = search->seen, *found = search->found, number = search->number;
    size_t end = *tail;
    for (size_t head = 0; head < end; head++) {
        uint32_t node = found[head];
        for (uint32_t i = csr->starts[node]; i < csr->starts[node + 1]; i++) {
            uint32_t target = csr->targets[i];
            if (target == goal)
                return node;
            if (seen[target] != number) {
                seen[target] = number;
                search->from[target] = node;
                found[end++] = target;
            }
        }
    }
    *tail = end;
    return NONE;
}

const uint32_t *exia__search_way(size_t *count, exia__search *search, size_t nodes, uint32_t first,
                                 uint32_t last)
{
    uint32_t *way = search->found + nodes;
    for (; last != first; last = search->from[last])
        *--way = last;
    *--way = first;
    *count = (size_t)(search->found + nodes - way);
    return way;
}

const uint32_t *exia__search_cycle(size_t *count, exia_dag *dag, exia__search *search,
                                   uint32_t node)
{
    size_t tail = 0;
    *count = 0;
    exia__search_begin(search, &tail, node);
    uint32_t last = walk(&tail, search, &dag->csr, node);
    return last == NONE ? search->found
                        : exia__search_way(count, search, dag->names.count, node, last);
}

static exia_status no_node(const exia_dag *dag, uint32_t node, exia_error *err)
{
    return exia__fail(err, EXIA_EINVAL, 0, "%u is no node: there are %zu", (unsigned)node,
                      dag->names.count);
}

/* See to `csr`, or to the same turned round. */
static exia_status prepare(exia__search **search, exia_dag *dag, int backward, exia_error *err)
{
    exia_status rc = backward ? exia__dag_reverse(dag, err) : exia__dag_rows(dag, NULL, err);
    if (rc < 0)
        return rc;
    *search = exia__search_open(dag);
    return *search ? EXIA_OK : exia__fail_memory(err);
}

exia_status exia_dag_path(const uint32_t **nodes, size_t *count, exia_dag *dag, uint32_t from,
                          uint32_t to, exia_error *err)
{
    exia__search *search = NULL;
    size_t tail = 0;
    if (nodes != NULL)
        *nodes = NULL;
    if (count != NULL)
        *count = 0;
    if (nodes == NULL || count == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_path: an argument is NULL");
    if (exia__guard_check(&dag->guard, "exia_dag_path", err) < 0)
        return EXIA_ECONFLICT;
    if (from >= dag->names.count || to >= dag->names.count)
        return no_node(dag, from >= dag->names.count ? from : to, err);
    exia_status rc = prepare(&search, dag, 0, err);
    if (rc < 0)
        return rc;
    exia__search_begin(search, &tail, from);
    uint32_t last = from == to ? from : walk(&tail, search, &dag->csr, to);
    *nodes = search->found;
    if (last == NONE)
        return EXIA_OK;
    search->from[to] = last;
    *nodes = exia__search_way(count, search, dag->names.count, from, to);
    return EXIA_OK;
}

static exia_status find_all(const uint32_t **nodes, size_t *count, exia_dag *dag,
                            const uint32_t *of, size_t of_count, int backward, const char *call,
                            exia_error *err)
{
    exia__search *search = NULL;
    size_t tail = 0, own = 0;
    if (nodes != NULL)
        *nodes = NULL;
    if (count != NULL)
        *count = 0;
    if (nodes == NULL || count == NULL || dag == NULL || (of == NULL && of_count > 0))
        return exia__fail(err, EXIA_EINVAL, 0, "%s: an argument is NULL", call);
    if (exia__guard_check(&dag->guard, call, err) < 0)
        return EXIA_ECONFLICT;
    for (size_t i = 0; i < of_count; i++) {
        if (of[i] >= dag->names.count)
            return no_node(dag, of[i], err);
    }
    exia_status rc = prepare(&search, dag, backward, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < of_count; i++)
        exia__search_begin(search, &tail, of[i]);
    own = tail;
    walk(&tail, search, backward ? &dag->reverse : &dag->csr, NONE);
    *nodes = search->found + own;
    *count = tail - own;
    return EXIA_OK;
}

exia_status exia_dag_descendants(const uint32_t **nodes, size_t *count, exia_dag *dag,
                                 const uint32_t *of, size_t of_count, exia_error *err)
{
    return find_all(nodes, count, dag, of, of_count, 0, "exia_dag_descendants", err);
}

exia_status exia_dag_ancestors(const uint32_t **nodes, size_t *count, exia_dag *dag,
                               const uint32_t *of, size_t of_count, exia_error *err)
{
    return find_all(nodes, count, dag, of, of_count, 1, "exia_dag_ancestors", err);
}
