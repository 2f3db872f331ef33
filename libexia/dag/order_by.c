/* The lexicographically least order: Kahn's algorithm with a heap in place of the queue.  The heap has
 * four children a node (D. B. Johnson, Priority queues with update, 1975): half as deep as with two,
 * and the four lie side by side. */
#include "base/error.h"
#include "base/memory.h"
#include "dag/reach.h"

typedef struct entry {
    int64_t key;
    uint32_t node;
} entry;

static int is_before(entry a, entry b)
{
    return a.key < b.key || (a.key == b.key && a.node < b.node);
}

static void push(entry *heap, size_t *size, entry e)
{
    size_t at = (*size)++;
    for (; at > 0 && is_before(e, heap[(at - 1) / 4]); at = (at - 1) / 4)
        heap[at] = heap[(at - 1) / 4];
    heap[at] = e;
}

static entry pop(entry *heap, size_t *size)
{
    entry least = heap[0], last = heap[--*size];
    size_t at = 0;
    for (;;) {
        size_t child = 4 * at + 1, end = child + 4 < *size ? child + 4 : *size, best = child;
        for (size_t i = child + 1; i < end; i++)
            best = is_before(heap[i], heap[best]) ? i : best;
        if (child >= *size || !is_before(heap[best], last))
            break;
        heap[at] = heap[best];
        at = best;
    }
    heap[at] = last;
    return least;
}

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
    exia_status rc = exia__dag_sort(dag, err);
    size_t total = dag->names.count, size = 0, found = 0;
    if (rc < 0)
        return rc;
    exia__search *search = exia__search_open(dag);
    uint32_t *waiting = exia__array(NULL, total, sizeof *waiting);
    entry *heap = exia__array(NULL, total, sizeof *heap);
    if (search == NULL || waiting == NULL || heap == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    rc = exia__dag_rows(dag, waiting, err);
    if (rc < 0)
        goto done;
    for (uint32_t i = 0; i < total; i++) {
        if (waiting[i] == 0)
            push(heap, &size, (entry){keys ? keys[i] : 0, i});
    }
    while (size > 0) {
        uint32_t node = pop(heap, &size).node;
        search->found[found++] = node;
        for (uint32_t i = dag->csr.starts[node]; i < dag->csr.starts[node + 1]; i++) {
            uint32_t target = dag->csr.targets[i];
            if (--waiting[target] == 0)
                push(heap, &size, (entry){keys ? keys[target] : 0, target});
        }
    }
    *nodes = search->found;
    *count = total;
done:
    exia__release(waiting);
    exia__release(heap);
    return rc;
}
