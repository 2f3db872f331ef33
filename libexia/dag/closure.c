/* The transitive reduction by reachability (A. Goralcikova and V. Koubek, A reduct-and-closure
 * algorithm for graphs, 1979), 512 nodes at a time: one pass from the last node to the first computes
 * which of those 512 each node reaches, 512 bits a node, and shows which edges to them go.  Blocks are
 * taken in topological order, and what went is not looked at again. */
#include "dag/closure.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"

enum { WORDS = 8, BLOCK = 64 * WORDS };

typedef struct bits {
    uint64_t words[WORDS];
} bits;

double exia__closure_work(const exia_dag *dag)
{
    double nodes = (double)dag->names.count, edges = (double)dag->edge_count;
    return (nodes / BLOCK + 1) * (nodes + edges) / 2;
}

void exia__reduced_rows_free(exia__reduced_rows *rows)
{
    exia__release(rows->starts); /* all of them */
    *rows = (exia__reduced_rows){0};
}

/* Rows by place, without doubles.  Going through the targets in their order makes each row ascend. */
static void fill_rows(exia__reduced_rows *rows, uint32_t *place, const exia_dag *dag)
{
    size_t nodes = dag->names.count;
    uint32_t start = 0;
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t node = dag->order[i];
        place[node] = i;
        rows->starts[i] = rows->ends[i] = start;
        start += dag->csr.starts[node + 1] - dag->csr.starts[node];
    }
    for (uint32_t i = 0; i < nodes; i++) {
        uint32_t node = dag->order[i];
        for (uint32_t k = dag->reverse.starts[node]; k < dag->reverse.starts[node + 1]; k++) {
            uint32_t source = place[dag->reverse.targets[k]], *end = &rows->ends[source];
            if (*end == rows->starts[source] || rows->targets[*end - 1] != i)
                rows->targets[(*end)++] = i;
        }
    }
}

/* See what `at` reaches of the block, and drop the edges to it that are not needed.  reach[] of all
 * behind `at`, up to the end of the block, is there. */
static void reduce_row(exia__reduced_rows *rows, bits *reach, uint32_t at, uint32_t block)
{
    uint32_t *row = rows->targets + rows->starts[at];
    size_t size = rows->ends[at] - rows->starts[at], near = 0, stay = 0;
    bits far = {{0}}, all;
    for (; near < size && row[near] < block + BLOCK; near++) {
        for (int w = 0; w < WORDS; w++)
            far.words[w] |= reach[row[near]].words[w];
    }
    all = far;
    for (size_t i = 0; i < near; i++) {
        uint32_t bit = row[i] - block; /* before the block: huge */
        if (bit < BLOCK) {
            if (far.words[bit / 64] >> bit % 64 & 1)
                continue;
            all.words[bit / 64] |= (uint64_t)1 << bit % 64;
        }
        row[stay++] = row[i];
    }
    if (stay < near) {
        memmove(row + stay, row + near, (size - near) * sizeof *row);
        rows->ends[at] -= (uint32_t)(near - stay);
    }
    reach[at] = all;
}

exia_status exia__closure_reduce(exia__reduced_rows *out, const exia_dag *dag, exia_error *err)
{
    size_t nodes = dag->names.count, edges = dag->edge_count;
    uint32_t *memory = exia__array(NULL, 2 * nodes + edges, sizeof *memory);
    uint32_t *place = exia__array(NULL, nodes, sizeof *place);
    bits *reach = exia__array(NULL, nodes, sizeof *reach);
    exia_status rc = EXIA_OK;
    if (memory == NULL || place == NULL || reach == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    *out = (exia__reduced_rows){memory, memory + nodes, memory + 2 * nodes};
    memory = NULL;
    fill_rows(out, place, dag);
    for (size_t block = 0; block < nodes; block += BLOCK) {
        for (size_t at = block + BLOCK < nodes ? block + BLOCK : nodes; at-- > 0;)
            reduce_row(out, reach, (uint32_t)at, (uint32_t)block);
    }
done:
    exia__release(memory);
    exia__release(place);
    exia__release(reach);
    return rc;
}
