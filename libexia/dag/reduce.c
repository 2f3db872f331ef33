/* The transitive reduction (A. V. Aho, M. R. Garey and J. D. Ullman, 1972): an edge goes where another
 * path leads the same way.  Such a path spans two levels at least, so that an edge from one level to
 * the next always stays, and the search for the others ends at the level of the farthest.  As soon as
 * searching has cost more than reachability for all would, that is computed for the rest. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "dag/closure.h"

typedef struct reduction {
    const exia__csr *csr;
    uint32_t *level;
    uint32_t *direct;  /* is in the row of this node + 1 */
    uint32_t *reached; /* by two edges or more, from this node + 1 */
    uint32_t *queue;
    uint32_t *before, *after; /* what stays */
    size_t count;
    uint64_t work; /* edges looked at */
} reduction;

/* Search from the row of `node`, below level `limit`, until `wanted` nodes of that row are reached. */
static void search_from(reduction *r, uint32_t node, size_t wanted, uint32_t limit)
{
    const exia__csr *csr = r->csr;
    uint32_t mark = node + 1;
    size_t head = 0, tail = 0;
    for (uint32_t i = csr->starts[node]; i < csr->starts[node + 1]; i++) {
        if (r->level[csr->targets[i]] < limit)
            r->queue[tail++] = csr->targets[i];
    }
    while (head < tail) {
        uint32_t at = r->queue[head++];
        r->work += csr->starts[at + 1] - csr->starts[at];
        for (uint32_t i = csr->starts[at]; i < csr->starts[at + 1]; i++) {
            uint32_t target = csr->targets[i];
            if (r->level[target] > limit || r->reached[target] == mark)
                continue;
            r->reached[target] = mark;
            if (r->direct[target] == mark) {
                if (--wanted == 0)
                    return;
            } else if (r->level[target] < limit) {
                r->queue[tail++] = target;
            }
        }
    }
}

/* Keep those of the row of `node` that are marked as direct and not as reached. */
static void keep_marked(reduction *r, uint32_t node)
{
    uint32_t mark = node + 1;
    for (uint32_t i = r->csr->starts[node]; i < r->csr->starts[node + 1]; i++) {
        uint32_t target = r->csr->targets[i];
        if (r->direct[target] == mark && r->reached[target] != mark) {
            r->before[r->count] = node;
            r->after[r->count++] = target;
        }
        r->direct[target] = 0; /* once */
    }
}

static void reduce_row(reduction *r, uint32_t node)
{
    const exia__csr *csr = r->csr;
    uint32_t mark = node + 1, limit = r->level[node] + 1;
    size_t far = 0;
    for (uint32_t i = csr->starts[node]; i < csr->starts[node + 1]; i++) {
        uint32_t target = csr->targets[i], level = r->level[target];
        far += r->direct[target] != mark && level > r->level[node] + 1;
        r->direct[target] = mark;
        limit = level > limit ? level : limit;
    }
    if (far > 0)
        search_from(r, node, far, limit);
    keep_marked(r, node);
}

/* The same for `node` and all behind it by index. */
static exia_status reduce_rest(reduction *r, exia_dag *dag, uint32_t node, exia_error *err)
{
    exia__reduced_rows rows = {0};
    exia_status rc = exia__dag_reverse(dag, err);
    if (rc == EXIA_OK)
        rc = exia__closure_reduce(&rows, dag, err);
    if (rc < 0)
        return rc;
    uint32_t *place = r->queue;
    for (uint32_t i = 0; i < dag->names.count; i++)
        place[dag->order[i]] = i;
    for (; node < dag->names.count; node++) {
        for (uint32_t i = rows.starts[place[node]]; i < rows.ends[place[node]]; i++)
            r->direct[dag->order[rows.targets[i]]] = node + 1;
        keep_marked(r, node);
    }
    exia__reduced_rows_free(&rows);
    return EXIA_OK;
}

static exia_status reduce(exia_dag *dag, exia_error *err)
{
    size_t nodes = dag->names.count, edges = dag->edge_count;
    /* The queue holds each node at most once, beside the row that it begins with. */
    uint32_t *work = exia__array(NULL, 4 * nodes + edges, sizeof *work);
    uint32_t *stay = exia__array(NULL, edges, 2 * sizeof *stay);
    if (work == NULL || stay == NULL) {
        exia__release(work);
        exia__release(stay);
        return exia__fail_memory(err);
    }
    reduction r = {.csr = &dag->csr,
                   .level = work,
                   .direct = work + nodes,
                   .reached = work + 2 * nodes,
                   .queue = work + 3 * nodes,
                   .before = stay,
                   .after = stay + edges};
    memset(r.direct, 0, 2 * nodes * sizeof *r.direct); /* and reached */
    for (size_t level = 0; level < dag->level_count; level++) {
        for (size_t i = dag->level_starts[level]; i < dag->level_starts[level + 1]; i++)
            r.level[dag->order[i]] = (uint32_t)level;
    }
    double budget = exia__closure_work(dag);
    uint32_t node = 0;
    for (; node < nodes && (double)r.work < budget; node++)
        reduce_row(&r, node);
    exia_status rc = node < nodes ? reduce_rest(&r, dag, node, err) : EXIA_OK;
    exia__release(work);
    if (rc < 0) {
        exia__release(stay);
        return rc;
    }
    dag->reduced = stay;
    dag->reduced_count = r.count;
    return EXIA_OK;
}

exia_status exia_dag_reduce(const uint32_t **before, const uint32_t **after, size_t *count,
                            exia_dag *dag, exia_error *err)
{
    if (before != NULL)
        *before = NULL;
    if (after != NULL)
        *after = NULL;
    if (count != NULL)
        *count = 0;
    if (before == NULL || after == NULL || count == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_reduce: an argument is NULL");
    if (exia__guard_check(&dag->guard, "exia_dag_reduce", err) < 0)
        return EXIA_ECONFLICT;
    exia_status rc = exia__dag_sort(dag, err);
    if (rc == EXIA_OK && dag->reduced == NULL)
        rc = reduce(dag, err);
    if (rc < 0)
        return rc;
    *before = dag->reduced;
    *after = dag->reduced + dag->edge_count;
    *count = dag->reduced_count;
    return EXIA_OK;
}
