/* Order and levels: Kahn's algorithm on compressed rows.  The queue holds one level after the other
 * by itself; one more pass puts each level into index order, so that the answer does not depend on
 * the order in which edges were given, and levels are the same array with its borders. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "dag/dag.h"

/* Fill `queue` level by level and count levels.  `waiting` holds how many edges still end at a node,
 * and, once there are none, its level.  Answers how many nodes came into the queue. */
static size_t kahn(uint32_t *queue, size_t *levels, uint32_t *waiting, const exia__csr *csr,
                   size_t nodes)
{
    size_t head = 0, tail = 0;
    for (size_t i = 0; i < nodes; i++) {
        if (waiting[i] == 0)
            queue[tail++] = (uint32_t)i;
    }
    for (*levels = 0; head < tail; ++*levels) {
        uint32_t next_level = (uint32_t)*levels + 1;
        for (size_t end = tail; head < end; head++) {
            uint32_t node = queue[head], stop = csr->starts[node + 1];
            for (uint32_t i = csr->starts[node]; i < stop; i++) {
                uint32_t target = csr->targets[i];
                if (--waiting[target] == 0) {
                    waiting[target] = next_level;
                    queue[tail++] = target;
                }
            }
        }
    }
    return tail;
}

exia_status exia__dag_sort(exia_dag *dag, exia_error *err)
{
    exia_status rc = EXIA_OK;
    size_t nodes = dag->names.count, levels = 0;
    uint32_t *waiting = NULL, *order = NULL;
    size_t *starts = NULL;
    if (dag->order != NULL)
        return EXIA_OK;
    if (dag->cycle != NULL)
        return exia__dag_fail_with(dag, dag->cycle, dag->cycle_size, err);
    waiting = exia__array(NULL, nodes, sizeof *waiting);
    order = exia__array(NULL, nodes, sizeof *order);
    if (waiting == NULL || order == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    rc = exia__dag_rows(dag, waiting, err);
    if (rc < 0)
        goto done;
    size_t found = kahn(order, &levels, waiting, &dag->csr, nodes);
    if (found < nodes) {
        for (size_t i = 0; i < found; i++)
            waiting[order[i]] = 0;
        rc = exia__dag_keep_cycle(dag, waiting, err);
        if (rc == EXIA_OK)
            rc = exia__dag_fail_with(dag, dag->cycle, dag->cycle_size, err);
        goto done;
    }
    starts = exia__zeroed(levels + 2, sizeof *starts);
    if (starts == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < nodes; i++)
        starts[waiting[i] + 2]++;
    for (size_t i = 2; i < levels + 2; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < nodes; i++)
        order[starts[waiting[i] + 1]++] = (uint32_t)i;
    dag->order = order;
    dag->level_starts = starts;
    dag->level_count = levels;
    order = NULL;
    starts = NULL;
done:
    exia__release(waiting);
    exia__release(order);
    exia__release(starts);
    return rc;
}

exia_status exia_dag_order(const uint32_t **nodes, size_t *count, exia_dag *dag, exia_error *err)
{
    if (nodes != NULL)
        *nodes = NULL;
    if (count != NULL)
        *count = 0;
    if (nodes == NULL || count == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_order: an argument is NULL");
    exia_status rc = exia__dag_sort(dag, err);
    if (rc == EXIA_OK) {
        *nodes = dag->order;
        *count = dag->names.count;
    }
    return rc;
}

exia_status exia_dag_levels(exia_groups *out, exia_dag *dag, exia_error *err)
{
    if (out != NULL)
        *out = (exia_groups){0};
    if (out == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_levels: an argument is NULL");
    exia_status rc = exia__dag_sort(dag, err);
    if (rc == EXIA_OK)
        *out = (exia_groups){dag->order, dag->level_starts, dag->level_count};
    return rc;
}
