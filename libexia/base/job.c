/* Clocks, and how a long call reports and ends. */
#include "base/job.h"

#include <errno.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"

enum { REPORT_EVERY_MS = 100, STALL_MS = 30000 };

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t exia__clock_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t exia__clock_ms(void)
{
    return read_clock(CLOCK_MONOTONIC) / 1000000;
}

int64_t exia__now_ms(void)
{
    return read_clock(CLOCK_REALTIME) / 1000000;
}

exia_status exia__cond_open(pthread_cond_t *out, exia_error *err)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    int code = pthread_cond_init(out, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return code ? exia__fail_errno(err, code, "cannot make", "a condition variable") : EXIA_OK;
}

int exia__cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until_ns)
{
    if (until_ns == EXIA__FOREVER)
        return pthread_cond_wait(cond, lock) == 0;
    struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
    return pthread_cond_timedwait(cond, lock, &until) != ETIMEDOUT;
}

void exia__time_text(char out[EXIA__TIME_SIZE], int64_t ms)
{
    static const int64_t last = 253402300799999; /* the end of the year 9999 */
    struct tm utc;
    ms = ms < 0 ? 0 : ms > last ? last : ms;
    time_t seconds = (time_t)(ms / 1000);
    gmtime_r(&seconds, &utc);
    size_t size = strftime(out, EXIA__TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + size, EXIA__TIME_SIZE - size, ".%03dZ", (int)(ms % 1000));
}

/* Asked once: it is a file to be read, and every operation of a store begins with this. */
static uint32_t cores(void)
{
    static atomic_uint known;
    uint32_t count = atomic_load_explicit(&known, memory_order_relaxed);
    if (count == 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        count = online < 1 ? 1 : (uint32_t)online;
        atomic_store_explicit(&known, count, memory_order_relaxed);
    }
    return count;
}

exia_status exia__work_begin(exia__work *out, const exia_job *job, exia_error *err)
{
    exia_status rc = exia__options(&out->job, sizeof out->job, job, err);
    if (rc < 0)
        return rc;
    if (out->job.timeout_ms < 0 || out->job.total_ms < 0)
        return exia__fail(err, EXIA_EINVAL, 0, "a job's time is negative");
    if (out->job.threads == 0)
        out->job.threads = cores();
    if (out->job.timeout_ms == 0)
        out->job.timeout_ms = STALL_MS;
    int64_t now = exia__clock_ms();
    out->end_ms = 0;
    if (out->job.total_ms > 0 && __builtin_add_overflow(now, out->job.total_ms, &out->end_ms))
        out->end_ms = INT64_MAX;
    out->reported_ms = now - REPORT_EVERY_MS;
    return EXIA_OK;
}

exia_status exia__work_step(exia__work *work, const char *step, uint64_t done, uint64_t total,
                            exia_error *err)
{
    if (work->job.progress == NULL && work->end_ms == 0)
        return EXIA_OK;
    int64_t now = exia__clock_ms();
    if (work->end_ms != 0 && now >= work->end_ms)
        return exia__fail(err, EXIA_ETIMEOUT, 0, "%s: the %lld ms allowed are over", step,
                          (long long)work->job.total_ms);
    if (work->job.progress == NULL || now - work->reported_ms < REPORT_EVERY_MS)
        return EXIA_OK;
    work->reported_ms = now;
    if (work->job.progress(step, done, total, work->job.payload) != 0)
        return exia__fail(err, EXIA_ECANCELLED, 0, "%s: the caller asked to stop", step);
    return EXIA_OK;
}

exia_job exia__work_rest(const exia__work *work)
{
    exia_job job = work->job;
    if (work->end_ms != 0) {
        int64_t rest = work->end_ms - exia__clock_ms();
        job.total_ms = rest > 1 ? rest : 1;
    }
    return job;
}

exia_status exia__who(char **out, exia_error *err)
{
    char host[256] = "", names[4096];
    struct passwd entry, *found = NULL;
    *out = NULL;
    if (gethostname(host, sizeof host - 1) != 0 || !exia__text_valid(host, strlen(host)))
        snprintf(host, sizeof host, "localhost");
    uid_t uid = geteuid();
    if (getpwuid_r(uid, &entry, names, sizeof names, &found) == 0 && found != NULL &&
        exia__text_valid(found->pw_name, strlen(found->pw_name)))
        return exia__text_format(out, err, "%s@%s", found->pw_name, host);
    return exia__text_format(out, err, "uid %lu@%s", (unsigned long)uid, host);
}

static atomic_uint generation;

static void count_fork(void)
{
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

unsigned exia__generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}
