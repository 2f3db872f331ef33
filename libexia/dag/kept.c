/* Incremental order (D. J. Pearce and P. H. J. Kelly, A dynamic topological sort algorithm for
 * directed acyclic graphs, 2006).  Only an edge that points backward needs work: what is reached
 * from its end, and what reaches its beginning, as far as they lie between the two, is found and
 * put behind each other into the places that they held together:
 *
 *     order     y  .  f  b  .  x        new edge x -> y
 *     ahead of y: y f, behind x: b x    b x y f go, in this order, where y f b x were
 *
 * Searching breadth first finds the shortest cycle on the way, before anything is changed.  As soon
 * as a batch has cost more than sorting everything would, everything is sorted. */
#include "dag/kept.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

static const uint32_t NONE = EXIA_NO_NODE;

exia_status exia__kept_reserve(exia_dag *dag, size_t nodes, size_t edges, exia_error *err)
{
    exia__kept *kept = dag->kept;
    if (kept == NULL)
        return EXIA_OK;
    exia_status rc =
        exia__grow(&kept->places, &kept->place_capacity, nodes, sizeof *kept->places, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&kept->order, &kept->order_capacity, nodes, sizeof *kept->order, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&kept->found, &kept->found_capacity, nodes, sizeof *kept->found, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&kept->pool, &kept->pool_capacity, nodes, sizeof *kept->pool, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&kept->links, &kept->link_capacity, edges, sizeof *kept->links, err);
    return rc;
}

void exia__kept_add_nodes(exia_dag *dag, size_t first)
{
    if (dag->kept == NULL)
        return;
    for (uint32_t i = (uint32_t)first; i < dag->names.count; i++) {
        dag->kept->places[i] = (exia__place){.rank = i, .first_out = NONE, .first_in = NONE};
        dag->kept->order[i] = i;
    }
}

void exia__kept_free(exia_dag *dag)
{
    if (dag->kept == NULL)
        return;
    exia__release(dag->kept->places);
    exia__release(dag->kept->order);
    exia__release(dag->kept->found);
    exia__release(dag->kept->pool);
    exia__release(dag->kept->links);
    exia__release(dag->kept->moved);
    exia__release(dag->kept);
    dag->kept = NULL;
}

static void take_order(exia__kept *kept, const uint32_t *order, size_t nodes)
{
    if (nodes > 0)
        memcpy(kept->order, order, nodes * sizeof *order);
    for (size_t i = 0; i < nodes; i++)
        kept->places[order[i]].rank = (uint32_t)i;
}

static void link_edge(exia_dag *dag, size_t edge)
{
    exia__place *before = &dag->kept->places[dag->before[edge]];
    exia__place *after = &dag->kept->places[dag->after[edge]];
    dag->kept->links[edge] = (exia__link){before->first_out, after->first_in};
    before->first_out = after->first_in = (uint32_t)edge;
}

/* The newest edge of all: it is the first of both lists. */
static void unlink_newest(exia_dag *dag, size_t edge)
{
    dag->kept->places[dag->before[edge]].first_out = dag->kept->links[edge].next_out;
    dag->kept->places[dag->after[edge]].first_in = dag->kept->links[edge].next_in;
}

void exia__kept_link_all(exia_dag *dag)
{
    exia__kept *kept = dag->kept;
    if (kept == NULL)
        return;
    kept->refused = 0;
    for (size_t i = 0; i < dag->names.count; i++)
        kept->places[i].first_out = kept->places[i].first_in = NONE;
    for (size_t i = 0; i < dag->edge_count; i++)
        link_edge(dag, i);
}

void exia__kept_remove_nodes(exia_dag *dag, const uint32_t *to)
{
    exia__kept *kept = dag->kept;
    uint32_t rank = 0;
    if (kept == NULL)
        return;
    for (size_t i = 0; i < dag->names.count; i++) {
        uint32_t node = to[kept->order[i]];
        if (node != NONE)
            kept->order[rank++] = node;
    }
    for (uint32_t i = 0; i < rank; i++) {
        kept->places[kept->order[i]].rank = i;
        kept->places[kept->order[i]].seen = 0;
    }
}

exia_status exia_dag_keep_order(const uint32_t **nodes, size_t *count, exia_dag *dag,
                                exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (nodes != NULL)
        *nodes = NULL;
    if (count != NULL)
        *count = 0;
    if (dag == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_keep_order: dag is NULL");
    if (exia__guard_check(&dag->guard, "exia_dag_keep_order", err) < 0)
        return EXIA_ECONFLICT;
    if (dag->kept == NULL) {
        rc = exia__dag_sort(dag, err);
        if (rc < 0)
            return rc;
        dag->kept = exia__zeroed(1, sizeof *dag->kept);
        rc = dag->kept ? exia__kept_reserve(dag, dag->names.count, dag->edge_count, err)
                       : exia__fail_memory(err);
        if (rc < 0) {
            exia__kept_free(dag);
            return rc;
        }
        exia__kept_add_nodes(dag, 0);
        take_order(dag->kept, dag->order, dag->names.count);
        exia__kept_link_all(dag);
    }
    if (nodes != NULL)
        *nodes = dag->kept->order;
    if (count != NULL)
        *count = dag->names.count;
    return EXIA_OK;
}

/* ---- one edge ------------------------------------------------------------------------------- */

static uint32_t new_search(exia_dag *dag)
{
    exia__kept *kept = dag->kept;
    if (++kept->searches == 0) { /* after four billion */
        for (size_t i = 0; i < dag->names.count; i++)
            kept->places[i].seen = 0;
        kept->searches = 1;
    }
    return kept->searches;
}

/* Breadth first from `after` to nodes of a rank below that of `before`; into found[0 ..].  Answers
 * how many, or 0: `before` was reached, and places[].from leads back from it. */
static size_t search_ahead(exia_dag *dag, uint32_t before, uint32_t after)
{
    exia__kept *kept = dag->kept;
    exia__place *places = kept->places;
    uint32_t search = new_search(dag), limit = places[before].rank, *found = kept->found;
    size_t head = 0, tail = 0;
    places[after].seen = search;
    found[tail++] = after;
    while (head < tail) {
        uint32_t node = found[head++];
        for (uint32_t e = places[node].first_out; e != NONE; e = kept->links[e].next_out) {
            uint32_t target = dag->after[e];
            kept->work++;
            if (places[target].rank > limit || places[target].seen == search)
                continue;
            places[target].seen = search;
            places[target].from = node;
            if (target == before)
                return 0;
            found[tail++] = target;
        }
    }
    return tail;
}

/* The same the other way, into the place behind what was found ahead. */
static size_t search_behind(exia_dag *dag, uint32_t before, uint32_t after, size_t ahead)
{
    exia__kept *kept = dag->kept;
    exia__place *places = kept->places;
    uint32_t search = new_search(dag), limit = places[after].rank, *found = kept->found + ahead;
    size_t head = 0, tail = 0;
    places[before].seen = search;
    found[tail++] = before;
    while (head < tail) {
        uint32_t node = found[head++];
        for (uint32_t e = places[node].first_in; e != NONE; e = kept->links[e].next_in) {
            uint32_t source = dag->before[e];
            kept->work++;
            if (places[source].rank < limit || places[source].seen == search)
                continue;
            places[source].seen = search;
            found[tail++] = source;
        }
    }
    return tail;
}

static int by_number(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* Make `count` nodes of a search their ranks, ascending; they lie between `low` and `high`.  Where they
 * are many of those, they are met on the way in the right order. */
static void to_ranks(const exia__kept *kept, uint32_t *nodes, size_t count, uint32_t search,
                     uint32_t low, uint32_t high)
{
    size_t found = 0;
    if (search > 0 && (high - low) / 8 < count) {
        for (uint32_t rank = low; found < count; rank++) {
            nodes[found] = rank;
            found += kept->places[kept->order[rank]].seen == search;
        }
        return;
    }
    for (size_t i = 0; i < count; i++)
        nodes[i] = kept->places[nodes[i]].rank;
    qsort(nodes, count, sizeof *nodes, by_number);
}

/* found[] holds what lies ahead and then what lies behind: the latter comes first from now on. */
static void share_out(exia__kept *kept, size_t ahead, size_t behind)
{
    uint32_t *front = kept->found, *back = kept->found + ahead, *pool = kept->pool;
    uint32_t low = kept->places[front[0]].rank, high = kept->places[back[0]].rank;
    to_ranks(kept, front, ahead, kept->searches - 1, low, high);
    to_ranks(kept, back, behind, kept->searches, low, high);
    for (size_t i = 0, f = 0, b = 0; i < ahead + behind; i++)
        pool[i] = b == behind || (f < ahead && front[f] < back[b]) ? front[f++] : back[b++];
    for (size_t i = 0; i < ahead + behind; i++)
        kept->found[i] = kept->order[kept->found[i]];
    for (size_t i = 0; i < ahead + behind; i++) {
        uint32_t node = i < behind ? back[i] : front[i - behind];
        kept->places[node].rank = pool[i];
        kept->order[pool[i]] = node;
    }
}

static exia_status note_moved(exia__kept *kept, size_t count, exia_error *err)
{
    exia_status rc = exia__grow(&kept->moved, &kept->moved_capacity, kept->moved_count + count,
                                sizeof *kept->moved, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        uint32_t node = kept->found[i];
        kept->moved[kept->moved_count++] = (exia__moved){node, kept->places[node].rank};
    }
    return rc;
}

/* places[].from leads from `before` back to `after`: with the edge it is a cycle. */
static exia_status refuse(exia_dag *dag, uint32_t before, uint32_t after, exia_error *err)
{
    char shown[2][EXIA__SHOWN_SIZE];
    exia__kept *kept = dag->kept;
    uint32_t node = before;
    for (kept->refused = 1; node != after; node = kept->places[node].from)
        kept->refused++;
    node = before;
    for (size_t i = kept->refused; i-- > 0; node = kept->places[node].from)
        kept->found[i] = node;
    exia_status rc = exia__dag_fail_with(dag, kept->found, kept->refused, err);
    if (err == NULL)
        return rc;
    return exia__prefix(err, rc, "%s before %s", exia__node_shown(shown[0], dag, before),
                        exia__node_shown(shown[1], dag, after));
}

static exia_status add_edge(exia_dag *dag, size_t edge, int may_undo, exia_error *err)
{
    exia__kept *kept = dag->kept;
    uint32_t before = dag->before[edge], after = dag->after[edge];
    kept->work++;
    if (before == after)
        return refuse(dag, before, after, err);
    if (kept->places[before].rank > kept->places[after].rank) {
        size_t ahead = search_ahead(dag, before, after);
        if (ahead == 0)
            return refuse(dag, before, after, err);
        size_t behind = search_behind(dag, before, after, ahead);
        exia_status rc = may_undo ? note_moved(kept, ahead + behind, err) : EXIA_OK;
        if (rc < 0)
            return rc;
        share_out(kept, ahead, behind);
    }
    link_edge(dag, edge);
    return EXIA_OK;
}

/* ---- a batch -------------------------------------------------------------------------------- */

/* Sort the graph as it will be, or find the cycle it would have.  A graph beside it does so, or what
 * was lent would be gone although the batch is refused. */
static exia_status add_rest(exia_dag *dag, size_t first, size_t end, exia_error *err)
{
    exia_dag whole = {
        .names = dag->names, .before = dag->before, .after = dag->after, .edge_count = end};
    exia_status rc = exia__dag_sort(&whole, err);
    if (rc == EXIA_ECYCLE) {
        dag->kept->refused = whole.cycle_size;
        memcpy(dag->kept->found, whole.cycle, whole.cycle_size * sizeof *whole.cycle);
    }
    if (rc == EXIA_OK) {
        take_order(dag->kept, whole.order, whole.names.count);
        for (size_t i = first; i < end; i++)
            link_edge(dag, i);
    }
    exia__dag_forget(&whole);
    return rc;
}

exia_status exia__kept_add_edges(exia_dag *dag, size_t first, size_t end, exia_error *err)
{
    exia__kept *kept = dag->kept;
    exia_status rc = EXIA_OK;
    size_t edge = first;
    if (kept == NULL)
        return EXIA_OK;
    kept->moved_count = 0;
    kept->refused = 0;
    kept->work = 0;
    for (; rc == EXIA_OK && edge < end; edge++) {
        if (edge > first && kept->work > dag->names.count + end) {
            rc = add_rest(dag, edge, end, err);
            break;
        }
        rc = add_edge(dag, edge, end - first > 1, err);
        if (rc < 0)
            break;
    }
    if (rc == EXIA_OK)
        return rc;
    while (edge > first)
        unlink_newest(dag, --edge);
    while (kept->moved_count > 0) {
        exia__moved *was = &kept->moved[--kept->moved_count];
        kept->places[was->node].rank = was->rank;
        kept->order[was->rank] = was->node;
    }
    return rc;
}
