/* What came of each node, as rows. */
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "dag/run.h"

static const char *const states[] = {"waiting", "done", "failed", "skipped", "cancelled"};

/* What was not reached: after a failure it is skipped, else it was cancelled. */
static void settle(exia__run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        uint32_t node = run->dag->order[i];
        exia__task *task = &run->tasks[node];
        int doomed = atomic_load_explicit(&task->doomed, memory_order_relaxed);
        if (task->state == EXIA__WAITING)
            task->state = doomed ? EXIA__SKIPPED : EXIA__CANCELLED;
        if (task->state == EXIA__FAILED || task->state == EXIA__SKIPPED)
            exia__run_doom_after(run, node);
    }
}

static json_t *time_or_null(int64_t ns)
{
    return ns < 0 ? json_null() : json_integer(ns);
}

static exia_status add_row(exia_rows *rows, const exia__run *run, uint32_t node, exia_error *err)
{
    const exia__trace *trace = &run->traces[node];
    json_t *row = json_pack(
        "{s:I, s:s?, s:s, s:o, s:o, s:o, s:I, s:s?, s:o}", "node", (json_int_t)node, "name",
        exia_dag_name(run->dag, node), "state", states[run->tasks[node].state], "queued_ns",
        time_or_null(trace->queued_ns), "started_ns", time_or_null(trace->started_ns), "ended_ns",
        time_or_null(trace->ended_ns), "attempts", (json_int_t)trace->attempts, "error",
        trace->error, "worker", trace->attempts ? json_integer(trace->worker) : json_null());
    exia_status rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    return rc;
}

exia_status exia__run_report(exia_rows **out, exia__run *run, exia_error *err)
{
    exia_rows *rows = NULL;
    exia_status rc = exia__rows_open(&rows, err);
    settle(run);
    for (uint32_t i = 0; i < run->count && rc == EXIA_OK; i++)
        rc = add_row(rows, run, i, err);
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    return rc;
}
