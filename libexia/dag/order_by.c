/* The lexicographically least order: Kahn's algorithm with a heap in place of the queue. */
#include "base/error.h"
#include "base/memory.h"
#include "dag/heap.h"
#include "dag/reach.h"

exia_status exia_dag_order_by(const uint32_t **nodes, size_t *count, exia_dag *dag,
                              const int64_t *keys, exia_error *err)
{
    if (nodes != NULL)
        *nodes = NULL;
    if (count != NULL)
        *count = 0;
    if (nodes == NULL || count == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_order_by: an argument is NULL");
    if (exia__guard_check(&dag->guard, "exia_dag_order_by", err) < 0)
        return EXIA_ECONFLICT;
    exia_status rc = EXIA_OK;
    size_t total = dag->names.count, found = 0;
    exia__search *search = exia__search_open(dag);
    uint32_t *waiting = exia__array(NULL, total, sizeof *waiting);
    exia__heap heap = {exia__array(NULL, total, sizeof *heap.items), 0};
    if (search == NULL || waiting == NULL || heap.items == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    rc = exia__dag_rows(dag, waiting, err);
    if (rc < 0)
        goto done;
    for (uint32_t i = 0; i < total; i++) {
        if (waiting[i] == 0)
            exia__heap_push(&heap, keys ? keys[i] : 0, i);
    }
    while (heap.count > 0) {
        uint32_t node = exia__heap_pop(&heap);
        search->found[found++] = node;
        for (uint32_t i = dag->csr.starts[node]; i < dag->csr.starts[node + 1]; i++) {
            uint32_t target = dag->csr.targets[i];
            if (--waiting[target] == 0)
                exia__heap_push(&heap, keys ? keys[target] : 0, target);
        }
    }
    if (found < total) {
        rc = exia__dag_sort(dag, err);
        goto done;
    }
    *nodes = search->found;
    *count = total;
done:
    exia__release(waiting);
    exia__release(heap.items);
    return rc;
}
