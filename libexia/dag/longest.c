/* The longest path (one pass in topological order; R. Sedgewick and K. Wayne, Algorithms, 2011, call
 * it critical path): when a node's turn comes all ways to it are known, and it offers its own length
 * to those behind it. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "dag/reach.h"

static exia_status check_finite(const double *weights, size_t count, const char *what,
                                exia_error *err)
{
    for (size_t i = 0; weights != NULL && i < count; i++) {
        if (!isfinite(weights[i]))
            return exia__fail(err, EXIA_EINVAL, 0, "the weight of %s %zu is %s", what, i,
                              isnan(weights[i]) ? "not a number" : "infinite");
    }
    return EXIA_OK;
}

/* The weights of edges in the order of the rows. */
static double *in_rows(const exia_dag *dag, const double *weights)
{
    size_t nodes = dag->names.count;
    uint32_t *next = exia__array(NULL, nodes, sizeof *next);
    double *sorted = exia__array(NULL, dag->edge_count, sizeof *sorted);
    if (next == NULL || sorted == NULL) {
        exia__release(next);
        exia__release(sorted);
        return NULL;
    }
    memcpy(next, dag->csr.starts, nodes * sizeof *next);
    for (size_t i = 0; i < dag->edge_count; i++)
        sorted[next[dag->before[i]]++] = weights[i];
    exia__release(next);
    return sorted;
}

/* length[i]: of the longest path that ends at i, which comes from from[i].  Answers where the longest
 * of all ends. */
static uint32_t measure(double *length, uint32_t *from, const exia_dag *dag,
                        const double *node_weights, const double *edge_weights, double each_edge)
{
    size_t nodes = dag->names.count;
    uint32_t last = EXIA_NO_NODE;
    for (size_t i = 0; i < nodes; i++)
        length[i] = 0;
    memset(from, 0xff, nodes * sizeof *from);
    for (size_t i = 0; i < nodes; i++) {
        uint32_t node = dag->order[i];
        if (node_weights != NULL)
            length[node] += node_weights[node];
        for (uint32_t k = dag->csr.starts[node]; k < dag->csr.starts[node + 1]; k++) {
            uint32_t target = dag->csr.targets[k];
            double offer = length[node] + (edge_weights ? edge_weights[k] : each_edge);
            if (offer > length[target] || (offer == length[target] && node < from[target])) {
                length[target] = offer;
                from[target] = node;
            }
        }
    }
    for (uint32_t i = 0; i < nodes; i++) {
        if (last == EXIA_NO_NODE || length[i] > length[last])
            last = i;
    }
    return last;
}

exia_status exia_dag_longest_path(const uint32_t **nodes, size_t *count, double *length,
                                  exia_dag *dag, const double *node_weights,
                                  const double *edge_weights, exia_error *err)
{
    char shown[EXIA__SHOWN_SIZE];
    double *sorted = NULL, *lengths = NULL;
    exia__search *search = NULL;
    if (nodes != NULL)
        *nodes = NULL;
    if (count != NULL)
        *count = 0;
    if (length != NULL)
        *length = 0;
    if (nodes == NULL || count == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_longest_path: an argument is NULL");
    if (exia__guard_check(&dag->guard, "exia_dag_longest_path", err) < 0)
        return EXIA_ECONFLICT;
    size_t total = dag->names.count;
    exia_status rc = check_finite(node_weights, total, "node", err);
    if (rc == EXIA_OK)
        rc = check_finite(edge_weights, dag->edge_count, "edge", err);
    if (rc == EXIA_OK)
        rc = exia__dag_sort(dag, err);
    if (rc < 0)
        return rc;
    search = exia__search_open(dag);
    lengths = exia__array(NULL, total, sizeof *lengths);
    sorted = edge_weights ? in_rows(dag, edge_weights) : NULL;
    if (search == NULL || lengths == NULL || (edge_weights && sorted == NULL)) {
        rc = exia__fail_memory(err);
        goto done;
    }
    double each = node_weights == NULL && edge_weights == NULL ? 1 : 0;
    uint32_t last = measure(lengths, search->from, dag, node_weights, sorted, each), first = last;
    if (last != EXIA_NO_NODE && isinf(lengths[last])) {
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "the weights on the way to %s add up to more than a double holds",
                        exia__node_shown(shown, dag, last));
        goto done;
    }
    *nodes = search->found;
    if (last == EXIA_NO_NODE)
        goto done;
    while (search->from[first] != EXIA_NO_NODE)
        first = search->from[first];
    *nodes = exia__search_way(count, search, total, first, last);
    if (length != NULL)
        *length = lengths[last];
done:
    exia__release(lengths);
    exia__release(sorted);
    return rc;
}
