/* What came of each node, as rows. */
#include <stdio.h>

#include "base/buffer.h"
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

/* A million rows are common, so they are written here, and only what needs an escape by jansson. */
static exia_status add_text(exia__buffer *row, const char *text, exia_error *err)
{
    char *escaped = NULL;
    int plain = 1;
    if (text == NULL)
        return exia__buffer_text(row, "null", err);
    for (const char *c = text; *c != '\0' && plain; c++)
        plain = (unsigned char)*c >= ' ' && *c != '"' && *c != '\\';
    if (plain)
        return exia__buffer_format(row, err, "\"%s\"", text);
    json_t *json = json_string(text);
    exia_status rc = json ? exia__json_text(&escaped, json, err) : exia__fail_memory(err);
    json_decref(json);
    if (rc == EXIA_OK)
        rc = exia__buffer_text(row, escaped, err);
    exia__release(escaped);
    return rc;
}

enum { NUMBER_SIZE = 24 };
static const char *number(char out[NUMBER_SIZE], int64_t value)
{
    if (value < 0)
        return "null";
    snprintf(out, NUMBER_SIZE, "%lld", (long long)value);
    return out;
}

static exia_status write_row(exia__buffer *row, const exia__run *run, uint32_t node,
                             exia_error *err)
{
    char queued[NUMBER_SIZE], started[NUMBER_SIZE], ended[NUMBER_SIZE], worker[NUMBER_SIZE];
    const exia__trace *trace = &run->traces[node];
    row->size = 0;
    exia_status rc = exia__buffer_format(row, err, "{\"node\":%u,\"name\":", (unsigned)node);
    if (rc == EXIA_OK)
        rc = add_text(row, exia_dag_name(run->dag, node), err);
    if (rc == EXIA_OK)
        rc = exia__buffer_format(row, err,
                                 ",\"state\":\"%s\",\"queued_ns\":%s,\"started_ns\":%s,"
                                 "\"ended_ns\":%s,\"attempts\":%u,\"error\":",
                                 states[run->tasks[node].state], number(queued, trace->queued_ns),
                                 number(started, trace->started_ns), number(ended, trace->ended_ns),
                                 (unsigned)trace->attempts);
    if (rc == EXIA_OK)
        rc = add_text(row, trace->error, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_format(row, err, ",\"worker\":%s}",
                                 number(worker, trace->attempts > 0 ? (int64_t)trace->worker : -1));
    return rc;
}

exia_status exia__run_report(exia_rows **out, exia__run *run, exia_error *err)
{
    exia_rows *rows = NULL;
    exia__buffer row = {0};
    exia_status rc = exia__rows_open(&rows, err);
    settle(run);
    for (uint32_t i = 0; i < run->count && rc == EXIA_OK; i++) {
        rc = write_row(&row, run, i, err);
        if (rc == EXIA_OK)
            rc = exia__rows_add_text(rows, row.data, err);
    }
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    exia__buffer_free(&row);
    return rc;
}
