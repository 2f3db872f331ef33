/* The graph: nodes and edges as they are given.  Edges stay a plain list, copied once; everything
 * that is computed from them is dropped when one is added and made again when it is asked for. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "dag/kept.h"
#include "dag/reach.h"

static const size_t MOST_EDGES = UINT32_MAX - 2; /* two counts are free for other meanings */

exia_status exia_dag_open(exia_dag **out, exia_error *err)
{
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_open: out is NULL");
    *out = exia__zeroed(1, sizeof **out);
    if (*out == NULL)
        return exia__fail_memory(err);
    exia__guard_open(&(*out)->guard);
    return EXIA_OK;
}

void exia__dag_forget(exia_dag *dag)
{
    exia__csr_free(&dag->csr);
    exia__csr_free(&dag->reverse);
    exia__search_free(dag->search);
    dag->search = NULL;
    exia__release(dag->order);
    exia__release(dag->level_starts);
    exia__release(dag->cycle);
    exia__release(dag->cycle_nodes);
    exia__release(dag->cycle_starts);
    exia__release(dag->reduced);
    dag->order = dag->cycle = dag->cycle_nodes = dag->reduced = NULL;
    dag->level_starts = dag->cycle_starts = NULL;
    dag->level_count = dag->cycle_size = dag->cycle_count = dag->reduced_count = 0;
}

void exia_dag_free(exia_dag *dag)
{
    if (dag == NULL || exia__guard_give_up(&dag->guard))
        return;
    exia__dag_forget(dag);
    exia__kept_free(dag);
    exia__guard_close(&dag->guard);
    exia__names_free(&dag->names);
    exia__release(dag->before);
    exia__release(dag->after);
    exia__release(dag);
}

static void nodes_added(exia_dag *dag, size_t first)
{
    if (first == dag->names.count)
        return;
    exia__kept_add_nodes(dag, first);
    exia__dag_forget(dag);
}

exia_status exia_dag_add_nodes(uint32_t *first, exia_dag *dag, const char *const *names,
                               size_t count, exia_error *err)
{
    if (first != NULL)
        *first = 0;
    if (dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_add_nodes: dag is NULL");
    size_t next = dag->names.count;
    exia_status rc = exia__guard_check(&dag->guard, "exia_dag_add_nodes", err);
    if (rc < 0)
        return rc;
    rc = exia__kept_reserve(dag, next + count, dag->edge_count, err);
    if (rc == EXIA_OK)
        rc = exia__names_add(&dag->names, names, count, err);
    if (rc < 0)
        return exia__prefix(err, rc, "no node was added");
    nodes_added(dag, next);
    if (first != NULL)
        *first = (uint32_t)next;
    return EXIA_OK;
}

exia_status exia_dag_intern(uint32_t *nodes, exia_dag *dag, const int64_t *numbers, size_t count,
                            exia_error *err)
{
    if (dag == NULL || (count > 0 && (nodes == NULL || numbers == NULL)))
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_intern: an argument is NULL");
    size_t next = dag->names.count;
    exia_status rc = exia__guard_check(&dag->guard, "exia_dag_intern", err);
    if (rc < 0)
        return rc;
    rc = exia__names_intern(nodes, &dag->names, numbers, count, err);
    if (rc == EXIA_OK) {
        rc = exia__kept_reserve(dag, dag->names.count, dag->edge_count, err);
        if (rc < 0)
            exia__names_cut(&dag->names, next);
    }
    if (rc < 0)
        return exia__prefix(err, rc, "no node was added");
    nodes_added(dag, next);
    return EXIA_OK;
}

static exia_status reserve(exia_dag *dag, size_t count, exia_error *err)
{
    size_t total = dag->edge_count + count, capacity = dag->edge_capacity;
    if (count > MOST_EDGES - dag->edge_count)
        return exia__fail(err, EXIA_EINVAL, 0, "%zu more edges would be more than %u", count,
                          (unsigned)MOST_EDGES);
    exia_status rc = exia__grow(&dag->before, &capacity, total, sizeof *dag->before, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&dag->after, &dag->edge_capacity, total, sizeof *dag->after, err);
    return rc < 0 ? rc : exia__kept_reserve(dag, dag->names.count, total, err);
}

exia_status exia_dag_add_edges(exia_dag *dag, const uint32_t *before, const uint32_t *after,
                               size_t count, exia_error *err)
{
    if (dag == NULL || (count > 0 && (before == NULL || after == NULL)))
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_add_edges: an argument is NULL");
    exia_status rc = exia__guard_check(&dag->guard, "exia_dag_add_edges", err);
    if (rc < 0)
        return rc;
    rc = reserve(dag, count, err);
    if (rc < 0 || count == 0)
        return rc;
    /* What is checked is the copy: others may write to the caller's arrays meanwhile. */
    before = memcpy(dag->before + dag->edge_count, before, count * sizeof *before);
    after = memcpy(dag->after + dag->edge_count, after, count * sizeof *after);
    size_t nodes = dag->names.count;
    uint32_t last = 0;
    for (size_t i = 0; i < count; i++) { /* without a branch: it runs at the speed of memory */
        last = before[i] > last ? before[i] : last;
        last = after[i] > last ? after[i] : last;
    }
    for (size_t i = 0; last >= nodes && i < count; i++) {
        if (before[i] >= nodes || after[i] >= nodes)
            return exia__fail(
                err, EXIA_EINVAL, 0,
                "edge %zu goes from %u to %u, but there are %zu nodes; none was added", i,
                (unsigned)before[i], (unsigned)after[i], nodes);
    }
    rc = exia__kept_add_edges(dag, dag->edge_count, dag->edge_count + count, err);
    if (rc < 0)
        return exia__prefix(err, rc, "no edge was added");
    dag->edge_count += count;
    exia__dag_forget(dag);
    return EXIA_OK;
}

exia_status exia_dag_edges(const uint32_t **before, const uint32_t **after, size_t *count,
                           const exia_dag *dag, exia_error *err)
{
    if (before == NULL || after == NULL || count == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_edges: an argument is NULL");
    *before = dag->before;
    *after = dag->after;
    *count = dag->edge_count;
    return EXIA_OK;
}

exia_status exia_dag_find(uint32_t *out, const exia_dag *dag, const char *name, exia_error *err)
{
    char shown[EXIA__SHOWN_SIZE];
    if (out != NULL)
        *out = 0;
    if (out == NULL || dag == NULL || name == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_find: an argument is NULL");
    uint32_t node = exia__names_find(&dag->names, name);
    if (node == EXIA__NO_NAME)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "no node has the name %s",
                          exia__shown(shown, name));
    *out = node;
    return EXIA_OK;
}

const char *exia_dag_name(const exia_dag *dag, uint32_t node)
{
    return dag ? exia__names_text(&dag->names, node) : NULL;
}

size_t exia_dag_node_count(const exia_dag *dag)
{
    return dag ? dag->names.count : 0;
}

const char *exia__node_shown(char out[EXIA__SHOWN_SIZE], const exia_dag *dag, uint32_t node)
{
    const char *name = exia_dag_name(dag, node);
    if (name != NULL)
        return exia__shown(out, name);
    snprintf(out, EXIA__SHOWN_SIZE, "%u", (unsigned)node);
    return out;
}
