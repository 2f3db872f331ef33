/* Compressed sparse rows, made by counting: one pass counts what each row will hold, one puts it
 * there.  One block of memory holds who shares it, the starts and the targets. */
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "dag/dag.h"

typedef struct holders {
    atomic_size_t count;
} holders;

exia_status exia__csr_open(exia__csr *out, uint32_t *incoming, size_t nodes, const uint32_t *from,
                           const uint32_t *to, size_t edges, exia_error *err)
{
    size_t words = nodes + 2 + edges;
    holders *block = exia__resize(NULL, sizeof *block + words * sizeof *out->starts);
    if (block == NULL)
        return exia__fail_memory(err);
    atomic_init(&block->count, 1);
    uint32_t *starts = (uint32_t *)(block + 1), *targets = starts + nodes + 2;
    memset(starts, 0, (nodes + 2) * sizeof *starts);
    if (incoming != NULL)
        memset(incoming, 0, nodes * sizeof *incoming);
    for (size_t i = 0; incoming != NULL && i < edges; i++) { /* in one loop: misses overlap */
        starts[from[i] + 2]++;
        incoming[to[i]]++;
    }
    for (size_t i = 0; incoming == NULL && i < edges; i++)
        starts[from[i] + 2]++;
    for (size_t i = 2; i < nodes + 2; i++)
        starts[i] += starts[i - 1];
    for (size_t i = 0; i < edges; i++) /* moves each start to where the next row begins */
        targets[starts[from[i] + 1]++] = to[i];
    *out = (exia__csr){starts, targets};
    return EXIA_OK;
}

static holders *holders_of(const exia__csr *csr)
{
    return (holders *)(void *)csr->starts - 1;
}

exia__csr exia__csr_share(const exia__csr *csr)
{
    atomic_fetch_add_explicit(&holders_of(csr)->count, 1, memory_order_relaxed);
    return *csr;
}

void exia__csr_free(exia__csr *csr)
{
    if (csr->starts != NULL &&
        atomic_fetch_sub_explicit(&holders_of(csr)->count, 1, memory_order_acq_rel) == 1)
        exia__release(holders_of(csr));
    *csr = (exia__csr){0};
}

exia_status exia__dag_rows(exia_dag *dag, uint32_t *incoming, exia_error *err)
{
    if (dag->csr.starts == NULL)
        return exia__csr_open(&dag->csr, incoming, dag->names.count, dag->before, dag->after,
                              dag->edge_count, err);
    if (incoming == NULL)
        return EXIA_OK;
    memset(incoming, 0, dag->names.count * sizeof *incoming);
    for (size_t i = 0; i < dag->edge_count; i++)
        incoming[dag->after[i]]++;
    return EXIA_OK;
}

exia_status exia__dag_reverse(exia_dag *dag, exia_error *err)
{
    if (dag->reverse.starts != NULL)
        return EXIA_OK;
    return exia__csr_open(&dag->reverse, NULL, dag->names.count, dag->after, dag->before,
                          dag->edge_count, err);
}
