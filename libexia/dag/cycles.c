/* Strongly connected components (R. Tarjan, Depth-first search and linear graph algorithms, 1972)
 * with a path of its own in place of the call stack; and one cycle, found at once, for an error. */
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "dag/kept.h"
#include "dag/reach.h"

static const uint32_t NONE = UINT32_MAX;

typedef struct search {
    const exia__csr *csr;
    size_t nodes;
    uint32_t *number; /* in order of discovery, from 1; 0: not seen */
    uint32_t *low;    /* the lowest number that is reached from here */
    uint32_t *next;   /* where in the row the search goes on */
    uint32_t *path;   /* from the root to here */
    uint32_t *stack;  /* seen, and not in a component yet */
    uint32_t *member; /* the component; NONE: not yet */
    size_t path_size, stack_size;
    uint32_t found, components;
} search;

/* All nodes of `node`'s component lie on top of the stack. */
static void close_component(search *s, uint32_t node)
{
    uint32_t top;
    do {
        top = s->stack[--s->stack_size];
        s->member[top] = s->components;
    } while (top != node);
    s->components++;
}

static void enter(search *s, uint32_t node)
{
    s->number[node] = s->low[node] = ++s->found;
    s->next[node] = s->csr->starts[node];
    s->path[s->path_size++] = node;
    s->stack[s->stack_size++] = node;
}

static void visit_from(search *s, uint32_t root)
{
    enter(s, root);
    while (s->path_size > 0) {
        uint32_t node = s->path[s->path_size - 1], entered = NONE;
        while (entered == NONE && s->next[node] < s->csr->starts[node + 1]) {
            uint32_t target = s->csr->targets[s->next[node]++];
            if (s->number[target] == 0)
                entered = target;
            else if (s->member[target] == NONE && s->number[target] < s->low[node])
                s->low[node] = s->number[target];
        }
        if (entered != NONE) {
            enter(s, entered);
            continue;
        }
        s->path_size--;
        if (s->low[node] == s->number[node])
            close_component(s, node);
        uint32_t above = s->path_size ? s->path[s->path_size - 1] : NONE;
        if (above != NONE && s->low[node] < s->low[above])
            s->low[above] = s->low[node];
    }
}

static int has_own_edge(const exia__csr *csr, uint32_t node)
{
    for (uint32_t i = csr->starts[node]; i < csr->starts[node + 1]; i++) {
        if (csr->targets[i] == node)
            return 1;
    }
    return 0;
}

/* Keep the components that are cycles, in order of their first node; nodes by index in each. */
static exia_status keep_groups(exia_dag *dag, const search *s, exia_error *err)
{
    exia_status rc = EXIA_OK;
    size_t groups = 0, kept = 0;
    uint32_t *size = exia__zeroed(s->components, sizeof *size), *nodes = NULL;
    uint32_t *group = exia__array(NULL, s->components, sizeof *group);
    size_t *starts = exia__zeroed((size_t)s->components + 2, sizeof *starts);
    if (size == NULL || group == NULL || starts == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < s->nodes; i++)
        size[s->member[i]]++;
    memset(group, 0xff, s->components * sizeof *group);
    for (uint32_t i = 0; i < s->nodes; i++) {
        uint32_t member = s->member[i];
        if (size[member] == 1 && !has_own_edge(s->csr, i))
            continue;
        if (group[member] == NONE)
            group[member] = (uint32_t)groups++;
        starts[group[member] + 2]++;
        kept++;
    }
    nodes = exia__array(NULL, kept, sizeof *nodes);
    if (nodes == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    for (size_t i = 2; i < groups + 2; i++)
        starts[i] += starts[i - 1];
    for (uint32_t i = 0; i < s->nodes; i++) {
        if (group[s->member[i]] != NONE)
            nodes[starts[group[s->member[i]] + 1]++] = i;
    }
    dag->cycle_nodes = nodes;
    dag->cycle_starts = starts;
    dag->cycle_count = groups;
    starts = NULL;
done:
    exia__release(size);
    exia__release(group);
    exia__release(starts);
    return rc;
}

exia_status exia__dag_groups(exia_dag *dag, exia_error *err)
{
    exia_status rc = EXIA_OK;
    size_t nodes = dag->names.count;
    if (dag->cycle_count > 0)
        return EXIA_OK;
    uint32_t *memory = exia__zeroed(nodes, 6 * sizeof *memory);
    if (memory == NULL)
        return exia__fail_memory(err);
    search s = {.csr = &dag->csr,
                .nodes = nodes,
                .number = memory,
                .low = memory + nodes,
                .next = memory + 2 * nodes,
                .path = memory + 3 * nodes,
                .stack = memory + 4 * nodes,
                .member = memory + 5 * nodes};
    memset(s.member, 0xff, nodes * sizeof *memory);
    for (uint32_t i = 0; i < nodes; i++) {
        if (s.number[i] == 0)
            visit_from(&s, i);
    }
    rc = keep_groups(dag, &s, err);
    exia__release(memory);
    return rc;
}

exia_status exia_dag_cycles(exia_groups *out, exia_dag *dag, exia_error *err)
{
    if (out != NULL)
        *out = (exia_groups){0};
    if (out == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_cycles: an argument is NULL");
    exia_error unwanted;
    exia_status rc = exia__dag_sort(dag, &unwanted);
    if (rc < 0 && rc != EXIA_ECYCLE)
        return exia__fail(err, rc, 0, "%s", unwanted.text);
    static const size_t no_starts[] = {0};
    *out = (exia_groups){.starts = no_starts};
    if (rc == EXIA_ECYCLE && exia__dag_groups(dag, err) < 0)
        return EXIA_ENOMEM;
    if (rc == EXIA_ECYCLE)
        *out = (exia_groups){dag->cycle_nodes, dag->cycle_starts, dag->cycle_count};
    return EXIA_OK;
}

/* "a -> b -> c -> a"; a long one shows its beginning and its end. */
static exia_status cycle_text(exia__buffer *text, const exia_dag *dag, const uint32_t *cycle,
                              size_t size, exia_error *err)
{
    enum { ROOM = 80 };
    char shown[EXIA__SHOWN_SIZE];
    exia_status rc = EXIA_OK;
    int skipped = 0;
    for (size_t i = 0; rc == EXIA_OK && i < size; i++) {
        if (text->size > ROOM && i + 1 < size) {
            if (!skipped)
                rc = exia__buffer_format(text, err, "... %zu more ... -> ", size - i - 1);
            skipped = 1;
            continue;
        }
        rc = exia__buffer_format(text, err, "%s -> ", exia__node_shown(shown, dag, cycle[i]));
    }
    if (rc == EXIA_OK)
        rc = exia__buffer_text(text, exia__node_shown(shown, dag, cycle[0]), err);
    return rc;
}

exia_status exia__dag_fail_with(const exia_dag *dag, const uint32_t *cycle, size_t size,
                                exia_error *err)
{
    exia__buffer text = {0};
    if (err == NULL)
        return EXIA_ECYCLE;
    exia_status rc = cycle_text(&text, dag, cycle, size, err);
    if (rc == EXIA_OK)
        rc = exia__fail(err, EXIA_ECYCLE, 0, "a cycle of %zu: %s", size, text.data);
    exia__buffer_free(&text);
    return rc;
}

exia_status exia__dag_keep_cycle(exia_dag *dag, const uint32_t *left, exia_error *err)
{
    exia__search *s = exia__search_open(dag);
    size_t size;
    uint32_t node = 0;
    if (s == NULL)
        return exia__fail_memory(err);
    for (uint32_t i = (uint32_t)dag->names.count; i-- > 0;) {
        if (left[i] == 0)
            continue;
        for (uint32_t k = dag->csr.starts[i]; k < dag->csr.starts[i + 1]; k++)
            s->from[dag->csr.targets[k]] = i;
        node = i;
    }
    for (; s->seen[node] != s->number; node = s->from[node])
        s->seen[node] = s->number;
    uint32_t first = node;
    for (uint32_t i = s->from[node]; i != node; i = s->from[i])
        first = i < first ? i : first;
    const uint32_t *cycle = exia__search_cycle(&size, dag, exia__search_open(dag), first);
    dag->cycle = exia__array(NULL, size, sizeof *dag->cycle);
    if (dag->cycle == NULL)
        return exia__fail_memory(err);
    memcpy(dag->cycle, cycle, size * sizeof *cycle);
    dag->cycle_size = size;
    return EXIA_OK;
}

exia_status exia_dag_cycle_shown(const uint32_t **nodes, size_t *count, const exia_dag *dag,
                                 exia_error *err)
{
    if (nodes != NULL)
        *nodes = NULL;
    if (count != NULL)
        *count = 0;
    if (nodes == NULL || count == NULL || dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_cycle_shown: an argument is NULL");
    *nodes = dag->kept ? dag->kept->found : dag->cycle;
    *count = dag->kept ? dag->kept->refused : dag->cycle_size;
    return EXIA_OK;
}
