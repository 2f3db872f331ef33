/* Removal: one pass over the edges, however many go.  What stays keeps its order and closes up, so
 * that nodes are 0, 1, 2 ... as before.  All that can fail comes first. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "dag/kept.h"

/* ---- edges ---------------------------------------------------------------------------------- */

/* The edges that shall go, found by one probe. */
typedef struct doomed {
    uint64_t *edges; /* open addressing */
    unsigned char *met;
    size_t mask, left; /* not met yet */
} doomed;

static const uint64_t NO_EDGE = UINT64_MAX; /* no node has so high a number */

static uint64_t edge_of(uint32_t before, uint32_t after)
{
    return (uint64_t)before << 32 | after;
}

static size_t probe(const doomed *d, uint64_t edge)
{
    size_t at = (edge * 0x9e3779b97f4a7c15u) >> 32 & d->mask; /* Knuth, 1973 */
    while (d->edges[at] != NO_EDGE && d->edges[at] != edge)
        at = (at + 1) & d->mask;
    return at;
}

static exia_status open_doomed(doomed *d, const uint32_t *before, const uint32_t *after,
                               size_t count, exia_error *err)
{
    size_t size = 16;
    while (size / 2 < count)
        size *= 2;
    d->edges = exia__array(NULL, size, sizeof *d->edges);
    d->met = exia__zeroed(size, sizeof *d->met);
    if (d->edges == NULL || d->met == NULL)
        return exia__fail_memory(err);
    d->mask = size - 1;
    memset(d->edges, 0xff, size * sizeof *d->edges);
    for (size_t i = 0; i < count; i++) {
        size_t at = probe(d, edge_of(before[i], after[i]));
        d->left += d->edges[at] == NO_EDGE;
        d->edges[at] = edge_of(before[i], after[i]);
    }
    return EXIA_OK;
}

static exia_status check_there(const exia_dag *dag, doomed *d, const uint32_t *before,
                               const uint32_t *after, exia_error *err)
{
    char shown[2][EXIA__SHOWN_SIZE];
    for (size_t i = 0; i < dag->edge_count; i++) {
        size_t at = probe(d, edge_of(dag->before[i], dag->after[i]));
        if (d->edges[at] != NO_EDGE && !d->met[at]) {
            d->met[at] = 1;
            d->left--;
        }
    }
    for (size_t i = 0; d->left > 0; i++) {
        if (d->met[probe(d, edge_of(before[i], after[i]))])
            continue;
        return exia__fail(
            err, EXIA_ENOTFOUND, 0, "edge %zu, %s before %s, is not there; none was removed", i,
            exia__node_shown(shown[0], dag, before[i]), exia__node_shown(shown[1], dag, after[i]));
    }
    return EXIA_OK;
}

exia_status exia_dag_remove_edges(exia_dag *dag, const uint32_t *before, const uint32_t *after,
                                  size_t count, exia_error *err)
{
    doomed d = {0};
    size_t stay = 0;
    if (dag == NULL || (count > 0 && (before == NULL || after == NULL)))
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_remove_edges: an argument is NULL");
    if (exia__guard_check(&dag->guard, "exia_dag_remove_edges", err) < 0)
        return EXIA_ECONFLICT;
    for (size_t i = 0; i < count; i++) {
        if (before[i] >= dag->names.count || after[i] >= dag->names.count)
            return exia__fail(
                err, EXIA_EINVAL, 0,
                "edge %zu goes from %u to %u, but there are %zu nodes; none was removed", i,
                (unsigned)before[i], (unsigned)after[i], dag->names.count);
    }
    if (count == 0)
        return EXIA_OK;
    exia_status rc = open_doomed(&d, before, after, count, err);
    if (rc == EXIA_OK)
        rc = check_there(dag, &d, before, after, err);
    if (rc < 0)
        goto done;
    for (size_t i = 0; i < dag->edge_count; i++) {
        if (d.edges[probe(&d, edge_of(dag->before[i], dag->after[i]))] != NO_EDGE)
            continue;
        dag->before[stay] = dag->before[i];
        dag->after[stay++] = dag->after[i];
    }
    dag->edge_count = stay;
    exia__kept_link_all(dag);
    exia__dag_forget(dag);
done:
    exia__release(d.edges);
    exia__release(d.met);
    return rc;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

/* Write where each node goes. */
static exia_status plan(uint32_t *moved, const exia_dag *dag, const uint32_t *nodes, size_t count,
                        exia_error *err)
{
    size_t total = dag->names.count;
    uint32_t next = 0;
    memset(moved, 0, total * sizeof *moved);
    for (size_t i = 0; i < count; i++) {
        if (nodes[i] >= total)
            return exia__fail(err, EXIA_EINVAL, 0, "%u is no node: there are %zu; none was removed",
                              (unsigned)nodes[i], total);
        moved[nodes[i]] = EXIA_NO_NODE;
    }
    for (size_t i = 0; i < total; i++) {
        if (moved[i] != EXIA_NO_NODE)
            moved[i] = next++;
    }
    return EXIA_OK;
}

exia_status exia_dag_remove_nodes(uint32_t *moved, exia_dag *dag, const uint32_t *nodes,
                                  size_t count, exia_error *err)
{
    size_t stay = 0;
    if (dag == NULL || (count > 0 && nodes == NULL))
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_remove_nodes: an argument is NULL");
    if (exia__guard_check(&dag->guard, "exia_dag_remove_nodes", err) < 0)
        return EXIA_ECONFLICT;
    size_t total = dag->names.count;
    uint32_t *to = exia__array(NULL, total, sizeof *to);
    if (to == NULL)
        return exia__fail_memory(err);
    exia_status rc = plan(to, dag, nodes, count, err);
    if (rc < 0)
        goto done;
    if (moved != NULL)
        memcpy(moved, to, total * sizeof *to);
    if (count == 0)
        goto done;
    for (size_t i = 0; i < dag->edge_count; i++) {
        uint32_t before = to[dag->before[i]], after = to[dag->after[i]];
        if (before == EXIA_NO_NODE || after == EXIA_NO_NODE)
            continue;
        dag->before[stay] = before;
        dag->after[stay++] = after;
    }
    dag->edge_count = stay;
    exia__kept_remove_nodes(dag, to);
    exia__names_remove(&dag->names, to);
    exia__kept_link_all(dag);
    exia__dag_forget(dag);
done:
    exia__release(to);
    return rc;
}
