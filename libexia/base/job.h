/* The running side of an exia_job: deadlines, progress ten times a second, cancel. */
#ifndef EXIA_BASE_JOB_H
#define EXIA_BASE_JOB_H

#include <pthread.h>

#include "exia/common.h"

typedef struct exia__work {
    exia_job job;        /* the caller's, defaults filled in: threads, timeout_ms */
    int64_t end_ms;      /* by exia__clock_ms(); 0: none */
    int64_t reported_ms; /* when progress was called last */
} exia__work;

exia_status exia__work_begin(exia__work *out, const exia_job *job, exia_error *err);
/* Say how far it is.  @return EXIA_ECANCELLED, EXIA_ETIMEOUT (total_ms is over) */
exia_status exia__work_step(exia__work *work, const char *step, uint64_t done, uint64_t total,
                            exia_error *err);
/* The job for a call below, which counts its own time: what is left of ours, 1 ms at least. */
exia_job exia__work_rest(const exia__work *work);

int64_t exia__clock_ns(void); /* monotonic */
int64_t exia__clock_ms(void); /* the same clock */
int64_t exia__now_ms(void);   /* since 1970, UTC */
enum { EXIA__TIME_SIZE = 32 };
/* "2026-01-31T23:59:59.123Z" */
void exia__time_text(char out[EXIA__TIME_SIZE], int64_t ms);

/* A condition variable, and a wait until a time of exia__clock_ns().  @return 0: that time is over */
#define EXIA__FOREVER INT64_C(-1)
exia_status exia__cond_open(pthread_cond_t *out, exia_error *err);
int exia__cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns);

/* "user@host", for histories; "uid N" when there is no name. */
exia_status exia__who(char **out, exia_error *err);

/* How often this process has been forked off since the library was loaded: a handle with a
 * connection keeps the number and answers EXIA_ECLOSED when it differs. */
unsigned exia__generation(void);

#endif
