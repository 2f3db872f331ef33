/* A directed graph whose edges say what comes before what: order, levels, cycles, parallel run. */
#ifndef EXIA_DAG_H
#define EXIA_DAG_H

#include "exia/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Nodes are 0, 1, 2 ... in order of addition.  Edges may close a cycle: asking for an order then
 * says so, and the cycles are data. */
typedef struct exia_dag exia_dag;
#define EXIA_NO_NODE UINT32_MAX

EXIA_API exia_status exia_dag_open(exia_dag **out, exia_error *err);

/* Add `count` nodes.
 *
 * @param[out] first  the index of the first one (the others follow); may be NULL
 * @param      names  unique names, copied; NULL, or a NULL in it: without a name
 * @return EXIA_EEXISTS: a name is taken, EXIA_EINVAL: a name is empty or not UTF-8; then none is
 *         added
 */
EXIA_API exia_status exia_dag_add_nodes(uint32_t *first, exia_dag *dag, const char *const *names,
                                        size_t count, exia_error *err);

/* The nodes that have the decimal texts of these numbers as their names, each added where there is
 * none, in the order in which they come.
 *
 * @param[out] nodes  the index of each
 * @return EXIA_EINVAL: they would be too many; then none is added
 */
EXIA_API exia_status exia_dag_intern(uint32_t *nodes, exia_dag *dag, const int64_t *numbers,
                                     size_t count, exia_error *err);

/* Add `count` edges: before[i] comes before after[i].  An edge given twice is one edge.
 *
 * @return EXIA_EINVAL: an index is no node, EXIA_ECYCLE: exia_dag_keep_order() was asked for, and an
 *         edge would close a cycle, which the text shows; then none is added
 */
EXIA_API exia_status exia_dag_add_edges(exia_dag *dag, const uint32_t *before,
                                        const uint32_t *after, size_t count, exia_error *err);

/* Remove edges, also where they were added more than once.  O(E), however many go.
 *
 * @return EXIA_EINVAL: an index is no node, EXIA_ENOTFOUND: an edge is not there; then none is removed
 */
EXIA_API exia_status exia_dag_remove_edges(exia_dag *dag, const uint32_t *before,
                                           const uint32_t *after, size_t count, exia_error *err);

/* Remove nodes with their edges and their names.  The others close up, in the same order, so that
 * nodes are 0, 1, 2 ... again.  O(V + E), however many go.
 *
 * @param[out] moved  one a node that was there: its new index, or EXIA_NO_NODE; may be NULL
 * @return EXIA_EINVAL: an index is no node; then none is removed
 */
EXIA_API exia_status exia_dag_remove_nodes(uint32_t *moved, exia_dag *dag, const uint32_t *nodes,
                                           size_t count, exia_error *err);

/* The edges as they were added, doubles too.  Borrowed until the graph changes. */
EXIA_API exia_status exia_dag_edges(const uint32_t **before, const uint32_t **after, size_t *count,
                                    const exia_dag *dag, exia_error *err);

/* The node with this name.  @return EXIA_ENOTFOUND */
EXIA_API exia_status exia_dag_find(uint32_t *out, const exia_dag *dag, const char *name,
                                   exia_error *err);
/* NULL: unnamed.  Borrowed until a node is removed. */
EXIA_API const char *exia_dag_name(const exia_dag *dag, uint32_t node);
EXIA_API size_t exia_dag_node_count(const exia_dag *dag);

/* All nodes so that every edge points forward (A. B. Kahn, 1962): level by level, by index within a
 * level, whatever the order in which edges were given.  O(V + E).  Borrowed until the graph changes.
 *
 * @return EXIA_ECYCLE: the text shows one cycle, exia_dag_cycles() has all
 */
EXIA_API exia_status exia_dag_order(const uint32_t **nodes, size_t *count, exia_dag *dag,
                                    exia_error *err);

/* From now on keep an order up to date, and refuse every edge that would close a cycle; the graph,
 * this order and what was lent are then as they were.  An edge that points forward in it costs O(1),
 * another one what lies between its ends and is connected with them (D. J. Pearce and P. H. J. Kelly,
 * 2006); a batch at most a few times O(V + E).  32 bytes more a node, 8 an edge.
 *
 * @param[out] nodes  the order, any that is right; borrowed until the graph changes (may be NULL)
 * @return EXIA_ECYCLE: there is a cycle already; none is kept
 */
EXIA_API exia_status exia_dag_keep_order(const uint32_t **nodes, size_t *count, exia_dag *dag,
                                         exia_error *err);

/* All of the cycle that the text of the last EXIA_ECYCLE shows, each node before the next and the last
 * before the first; `count` is 0 when there was none since the edges changed.  Borrowed until the
 * graph changes, or refuses an edge. */
EXIA_API exia_status exia_dag_cycle_shown(const uint32_t **nodes, size_t *count,
                                          const exia_dag *dag, exia_error *err);

/* Group i is nodes[starts[i]] up to nodes[starts[i + 1] - 1].  Borrowed until the graph changes. */
typedef struct exia_groups {
    const uint32_t *nodes;
    const size_t *starts; /* count + 1 of them */
    size_t count;
} exia_groups;

/* Level i holds the nodes whose longest way from a source has i edges.  @return EXIA_ECYCLE */
EXIA_API exia_status exia_dag_levels(exia_groups *out, exia_dag *dag, exia_error *err);

/* All strongly connected components of more than one node, and nodes with an edge to themselves
 * (R. Tarjan, 1972).  No groups: the graph is acyclic. */
EXIA_API exia_status exia_dag_cycles(exia_groups *out, exia_dag *dag, exia_error *err);

/* ---- questions --------------------------------------------------------------------------------
 *
 * The graph may have cycles.  What is lent is lent until the graph is asked anything again, or
 * changes.  12 bytes a node; ancestors need the edges once more, turned round. */

/* The shortest cycle, each node before the next and the last before the first; none: `count` is 0.
 *
 * @param through  only cycles through this node count, O(V + E), and it comes first; EXIA_NO_NODE:
 *                 all (A. Itai and M. Rodeh, 1978): O(V + E) for each node until, without those, the
 *                 graph is acyclic, but no further than the best cycle known
 */
EXIA_API exia_status exia_dag_cycle(const uint32_t **nodes, size_t *count, exia_dag *dag,
                                    uint32_t through, exia_error *err);

/* Why `from` comes before `to`: the nodes of a shortest path, both among them; none: `count` is 0.
 * O(V + E). */
EXIA_API exia_status exia_dag_path(const uint32_t **nodes, size_t *count, exia_dag *dag,
                                   uint32_t from, uint32_t to, exia_error *err);

/* All nodes that come after one of these, the nearest first, without these themselves; all that come
 * before one of them.  The cost is that of what is found and its edges; the first question after a
 * change sorts the edges into rows, O(V + E). */
EXIA_API exia_status exia_dag_descendants(const uint32_t **nodes, size_t *count, exia_dag *dag,
                                          const uint32_t *of, size_t of_count, exia_error *err);
EXIA_API exia_status exia_dag_ancestors(const uint32_t **nodes, size_t *count, exia_dag *dag,
                                        const uint32_t *of, size_t of_count, exia_error *err);

/* The order in which always that node comes next which has the least key, and the least index among
 * equals, of all that could (Kahn with a heap).  O(E + V log V); 20 bytes a node meanwhile.
 *
 * @param keys  one a node; NULL: all are equal
 * @return EXIA_ECYCLE
 */
EXIA_API exia_status exia_dag_order_by(const uint32_t **nodes, size_t *count, exia_dag *dag,
                                       const int64_t *keys, exia_error *err);

/* The longest path: its weights, those of its nodes and of its edges, have the greatest sum.  Among
 * equals nodes with lower indices are taken, from the end.  O(V + E) (R. Sedgewick and K. Wayne,
 * 2011); meanwhile 8 bytes a node and, with weights of edges, 4 a node and 8 an edge.
 *
 * Sums are those of doubles: exact for integers up to 2^53, else rounded at each step.
 *
 * @param[out] length        the sum; may be NULL
 * @param      node_weights  one a node; NULL: 0
 * @param      edge_weights  one an edge, in the order of exia_dag_edges(); NULL: 0, or 1 where both
 *                           are NULL
 * @return EXIA_ECYCLE; EXIA_EINVAL: a weight, or a sum, is not finite
 */
EXIA_API exia_status exia_dag_longest_path(const uint32_t **nodes, size_t *count, double *length,
                                           exia_dag *dag, const double *node_weights,
                                           const double *edge_weights, exia_error *err);

/* The fewest edges that say the same, once each: those where no longer path leads the same way (A. V.
 * Aho, M. R. Garey and J. D. Ullman, 1972).  Lent until the graph changes.  O(V + E) where edges lead
 * to the next level; a node with others searches up to the level of its farthest, and where that
 * becomes too much reachability is computed, 512 nodes at a time: O(V E / 512) at worst (A.
 * Goralcikova and V. Koubek, 1979).  8 bytes an edge; meanwhile 16 a node and 4 an edge, at worst 92
 * a node and 12 an edge.  @return EXIA_ECYCLE */
EXIA_API exia_status exia_dag_reduce(const uint32_t **before, const uint32_t **after, size_t *count,
                                     exia_dag *dag, exia_error *err);

/* ---- runs --------------------------------------------------------------------------------- */

/* Nodes handed out as they become ready: whoever does the work asks, works and reports.  It sees the
 * graph as it was when the cursor was opened, whatever becomes of the graph.  O(V + E) over its life;
 * 8 bytes a node, and the edges are shared with the graph and with copies. */
typedef struct exia_dag_cursor exia_dag_cursor;

/* A cursor at the beginning.  Nodes on a cycle, and those behind one, never become ready; the others
 * do: whoever wants no cycle asks exia_dag_order() first. */
EXIA_API exia_status exia_dag_cursor_open(exia_dag_cursor **out, exia_dag *dag, exia_error *err);
/* Another one that stands where `cursor` stands. */
EXIA_API exia_status exia_dag_cursor_copy(exia_dag_cursor **out, const exia_dag_cursor *cursor,
                                          exia_error *err);
/* Hand out what became ready since the last call: at first the nodes without edges to them, by
 * index, then in the order in which they became so, those that one node made ready in the order of
 * its edges.  Borrowed until the cursor is freed.  None: see to exia_dag_cursor_done(). */
EXIA_API exia_status exia_dag_cursor_ready(const uint32_t **nodes, size_t *count,
                                           exia_dag_cursor *cursor, exia_error *err);
/* These nodes, all handed out before, are done.
 *
 * @param[out] done  how many of them were taken: all up to the one that is refused (may be NULL)
 * @return EXIA_ENOTFOUND: an index is no node, EXIA_EINVAL: a node was not handed out,
 *         EXIA_EEXISTS: it is done already
 */
EXIA_API exia_status exia_dag_cursor_done(size_t *done, exia_dag_cursor *cursor,
                                          const uint32_t *nodes, size_t count, exia_error *err);
/* 0: nothing is ready and nothing is out, so that no more will come. */
EXIA_API int exia_dag_cursor_active(const exia_dag_cursor *cursor);
EXIA_API void exia_dag_cursor_free(exia_dag_cursor *cursor);

/* The work at one node.  A failure should fill `err`; so is the end of its thread one, by
 * pthread_exit(), where that is the run's. */
typedef exia_status exia_task_fn(uint32_t node, void *payload, exia_error *err);

/* Which of the nodes that are ready goes first; else any, as is quickest. */
enum {
    EXIA_DAG_CRITICAL = 1, /* the one with the longest way before it, by `weights` */
    EXIA_DAG_GIVEN = 2     /* the greatest weight */
};
/* What a task that failed for good ends; else what comes after it is skipped, the rest goes on. */
enum { EXIA_DAG_STOP = 1 /* nothing more is started */ };

/* What at most `limit` tasks may use at the same time. */
typedef struct exia_dag_resource {
    const char *name;
    uint32_t limit;
} exia_dag_resource;
#define EXIA_DAG_NO_RESOURCE UINT32_MAX

/* When a task is over; else when it has returned. */
enum { EXIA_DAG_APART = 1 /* it returns at once, and is over when exia_dag_end() says so */ };

/* Told in the thread that called the run, about ten times a second and as soon as it stops: the nodes
 * whose tasks have begun and are not over, and whether nothing more will be started. */
typedef void exia_dag_out_fn(const uint32_t *nodes, size_t count, int stops, void *payload);

/* How to run a graph; NULL, or zero in a field, means the default.  An array has an item for each
 * node, and is borrowed until the run returns. */
typedef struct exia_dag_run_options {
    size_t struct_size;
    uint32_t priority;     /* EXIA_DAG_CRITICAL ...; equal nodes: by index */
    uint32_t on_failure;   /* EXIA_DAG_STOP */
    const double *weights; /* finite; critical: not negative, NULL: all 1 */
    uint32_t retries;      /* how often a task that failed is called again; not after its
                            * EXIA_ECANCELLED, nor when the run stops */
    int64_t retry_ms;      /* the wait before that, doubled each time; it holds up no thread, and
                            * lends the resource to others; 0: none */
    int64_t retry_most_ms; /* the longest; 0: 60 s */
    const exia_dag_resource *resources;
    size_t resource_count;
    const uint32_t *uses; /* the index of the node's resource, or EXIA_DAG_NO_RESOURCE */
    exia_dag_out_fn *out; /* not in a run of one thread, where nobody could call it */
    void *payload;        /* of `out` */
    uint32_t ends; /* EXIA_DAG_APART: no thread is started, each task is called in the one that
                           * called the run, and at most `job->threads` are out at a time */
} exia_dag_run_options;

/* Run `task` once a node, after all before it, in `job->threads` threads (1: in this one, with
 * progress between tasks, and without options in the order of exia_dag_order()).  A failure skips its
 * descendants.  Returns when every started task has returned: a cancel and the end of
 * `job->total_ms` ask, they do not kill, and until then progress goes on, its step naming those that
 * are still out.  A task may take its time: `job->timeout_ms` does not count.  Meanwhile the graph
 * may be asked for what it holds (nodes, names, edges, its order and levels, its text); anything else
 * is EXIA_ECONFLICT, and exia_dag_free() frees it at the end of the run.
 *
 * @param[out] report  rows {node, name, state: done | failed | skipped | cancelled, queued_ns,
 *                     started_ns, ended_ns, attempts, error, worker}, by node; times from the start
 *                     of the run: when all before it had ended, when its first attempt began, when
 *                     its last one ended, null where that did not come; set whenever a task may have
 *                     run, on failure too (NULL: not wanted)
 * @param      options NULL: as exia_dag_run()
 * @return EXIA_ECANCELLED, EXIA_ETIMEOUT (`job->total_ms`), else the first failed task's status, its
 *         text behind the node's name; EXIA_EINVAL, EXIA_ECYCLE, EXIA_ECONFLICT: none ran
 */
EXIA_API exia_status exia_dag_run_with(exia_rows **report, exia_dag *dag, exia_task_fn *task,
                                       void *payload, const exia_dag_run_options *options,
                                       const exia_job *job, exia_error *err);
EXIA_API exia_status exia_dag_run(exia_rows **report, exia_dag *dag, exia_task_fn *task,
                                  void *payload, const exia_job *job, exia_error *err);

/* The task of this node is over, in a run whose tasks end apart.  It may be said before the call of
 * the task has returned, whose answer then does not count; a call that fails ends its task by itself.
 * Threads: any.
 *
 * @param why  why it failed; NULL, or of status EXIA_OK: it did not
 * @return EXIA_ENOTFOUND: there is no such run, EXIA_EINVAL: the node is not out
 */
EXIA_API exia_status exia_dag_end(exia_dag *dag, uint32_t node, const exia_error *why,
                                  exia_error *err);

/* Ask the run of this graph to stop: nothing more is started, and it answers EXIA_ECANCELLED, unless
 * it was over.  Threads: any, also a task, and a signal handler (with `err` NULL).
 *
 * @return EXIA_ENOTFOUND: it is not being run
 */
EXIA_API exia_status exia_dag_cancel(exia_dag *dag, exia_error *err);

/* The graph as text: `format` is "dot" (Graphviz), "mermaid" or "json" ({"nodes": [name or null],
 * "edges": [[before, after]]}).  Each edge once. */
EXIA_API exia_status exia_dag_export(char **out, const exia_dag *dag, const char *format,
                                     exia_error *err);
EXIA_API void exia_dag_free(exia_dag *dag);

#ifdef __cplusplus
}
#endif
#endif
