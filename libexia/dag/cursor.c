/* The ready/done cursor.  All nodes that ever become ready come into one array, in that order; what
 * was handed out is a beginning of it, so that an answer is a window that never moves.  The rows are
 * the graph's own, shared: the graph may change or go meanwhile. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "dag/dag.h"

/* In place of a number of edges. */
static const uint32_t OUT = UINT32_MAX, DONE = UINT32_MAX - 1;

struct exia_dag_cursor {
    exia__csr csr;
    size_t nodes;
    uint32_t *waiting; /* edges from nodes that are not done; or OUT, or DONE */
    uint32_t *ready;   /* handed out up to `out`, ready up to `found` */
    size_t out, found, done;
};

static exia_status open_empty(exia_dag_cursor **out, const exia__csr *csr, size_t nodes,
                              exia_error *err)
{
    exia_dag_cursor *cursor = exia__zeroed(1, sizeof *cursor);
    uint32_t *memory = exia__array(NULL, nodes, 2 * sizeof *memory);
    if (cursor == NULL || memory == NULL) {
        exia__release(cursor);
        exia__release(memory);
        return exia__fail_memory(err);
    }
    *cursor = (exia_dag_cursor){
        .csr = exia__csr_share(csr), .nodes = nodes, .waiting = memory, .ready = memory + nodes};
    *out = cursor;
    return EXIA_OK;
}

exia_status exia_dag_cursor_open(exia_dag_cursor **out, exia_dag *dag, exia_error *err)
{
    if (out != NULL)
        *out = NULL;
    if (out == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_cursor_open: an argument is NULL");
    exia_status rc = exia__dag_rows(dag, NULL, err);
    if (rc == EXIA_OK)
        rc = open_empty(out, &dag->csr, dag->names.count, err);
    if (rc == EXIA_OK)
        rc = exia__dag_rows(dag, (*out)->waiting, err);
    if (rc < 0)
        return rc;
    exia_dag_cursor *cursor = *out;
    for (uint32_t i = 0; i < cursor->nodes; i++) {
        if (cursor->waiting[i] == 0)
            cursor->ready[cursor->found++] = i;
    }
    return EXIA_OK;
}

exia_status exia_dag_cursor_copy(exia_dag_cursor **out, const exia_dag_cursor *cursor,
                                 exia_error *err)
{
    if (out != NULL)
        *out = NULL;
    if (out == NULL || cursor == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_cursor_copy: an argument is NULL");
    exia_status rc = open_empty(out, &cursor->csr, cursor->nodes, err);
    if (rc < 0)
        return rc;
    memcpy((*out)->waiting, cursor->waiting, cursor->nodes * sizeof *cursor->waiting);
    memcpy((*out)->ready, cursor->ready, cursor->found * sizeof *cursor->ready);
    (*out)->out = cursor->out;
    (*out)->found = cursor->found;
    (*out)->done = cursor->done;
    return EXIA_OK;
}

exia_status exia_dag_cursor_ready(const uint32_t **nodes, size_t *count, exia_dag_cursor *cursor,
                                  exia_error *err)
{
    if (nodes != NULL)
        *nodes = NULL;
    if (count != NULL)
        *count = 0;
    if (nodes == NULL || count == NULL || cursor == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_cursor_ready: an argument is NULL");
    *nodes = cursor->ready + cursor->out;
    *count = cursor->found - cursor->out;
    for (; cursor->out < cursor->found; cursor->out++)
        cursor->waiting[cursor->ready[cursor->out]] = OUT;
    return EXIA_OK;
}

static exia_status refuse(const exia_dag_cursor *cursor, uint32_t node, exia_error *err)
{
    if (node >= cursor->nodes)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "%u is no node: there are %zu", (unsigned)node,
                          cursor->nodes);
    if (cursor->waiting[node] == DONE)
        return exia__fail(err, EXIA_EEXISTS, 0, "node %u is done already", (unsigned)node);
    return exia__fail(err, EXIA_EINVAL, 0,
                      "node %u was not handed out yet: %u of the edges that end there wait",
                      (unsigned)node, (unsigned)cursor->waiting[node]);
}

exia_status exia_dag_cursor_done(size_t *done, exia_dag_cursor *cursor, const uint32_t *nodes,
                                 size_t count, exia_error *err)
{
    size_t i = 0;
    exia_status rc = EXIA_OK;
    if (done != NULL)
        *done = 0;
    if (cursor == NULL || (count > 0 && nodes == NULL))
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_cursor_done: an argument is NULL");
    uint32_t *waiting = cursor->waiting, *ready = cursor->ready;
    size_t found = cursor->found;
    for (; i < count; i++) {
        uint32_t node = nodes[i];
        if (node >= cursor->nodes || waiting[node] != OUT) {
            rc = refuse(cursor, node, err);
            break;
        }
        waiting[node] = DONE;
        for (uint32_t k = cursor->csr.starts[node]; k < cursor->csr.starts[node + 1]; k++) {
            uint32_t target = cursor->csr.targets[k];
            if (--waiting[target] == 0)
                ready[found++] = target;
        }
    }
    cursor->found = found;
    cursor->done += i;
    if (done != NULL)
        *done = i;
    return rc;
}

int exia_dag_cursor_active(const exia_dag_cursor *cursor)
{
    return cursor != NULL && cursor->done < cursor->found;
}

void exia_dag_cursor_free(exia_dag_cursor *cursor)
{
    if (cursor == NULL)
        return;
    exia__csr_free(&cursor->csr);
    exia__release(cursor->waiting); /* and `ready` */
    exia__release(cursor);
}
