/* A worker in a process of its own, every system call of which is ours to see: it can be killed, held
 * or made to fail at any of them.  By ptrace, so that no tool is needed; the calls of the worker's
 * first thread count. */
#ifndef TESTS_TRACE_H
#define TESTS_TRACE_H

#include "exia.h"

typedef enum trace_way {
    TRACE_KILL, /* SIGKILL before the nth system call is made */
    TRACE_HOLD, /* there it is stopped while `held` runs, then it goes on */
    TRACE_FAIL, /* the nth call that writes fails with `code` and is not made */
    TRACE_HALF  /* the nth call that writes bytes writes half of them */
} trace_way;

typedef struct trace_plan {
    trace_way way;
    long nth; /* from 1 on; 0: nothing happens, calls are counted */
    int code;
    int for_ever; /* later calls that write fail, too; with ENOSPC those that need no space pass */
    void (*held)(void *payload);
    void *payload;
} trace_plan;

typedef struct trace_end {
    long calls, writes; /* that the worker came to */
    int status;         /* as waitpid tells it */
} trace_end;

/* Fork, run `work` to its end or to where the plan ends it; it answers an exit code. */
trace_end trace_run(int (*work)(void *payload), void *payload, trace_plan plan);

/* The number of the next call to strike, beginning with 0: steps of random width, the same ones each
 * time, about `usual` of `count`; EXIA_CRASH_SAMPLE=N takes N, and 0 every one. */
long trace_next(long nth, long count, long usual);

/* How a worker that was made to fail ended, where that is wrong: it must not die, a write that is only
 * cut harms nobody, and a failure is told in one line.  NULL: all is well. */
const char *trace_wrong(trace_plan plan, trace_end end, exia_status status, const exia_error *why);

/* The first line in which two texts differ. */
const char *trace_difference(const char *one, const char *other);

/* May a process here trace its child?  If not, a test skips itself. */
int trace_allowed(void);

/* Memory that parent and workers share, zeroed; never given back. */
void *trace_shared(unsigned long size);

#endif
