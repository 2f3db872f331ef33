/* Each operation asks the plan before and after it hands the call on. */
#include "support/faulty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"
#include "support/wrapped.h"

faulty_plan faulty;

/* Is it the turn of the operation of this number? */
static int fails(long number, int after)
{
    int due = faulty.nth > 0 && faulty.after == after &&
              (number == faulty.nth || (faulty.for_ever && number > faulty.nth));
    if (!due || faulty.instead == NULL)
        return due;
    void (*instead)(void *payload) = faulty.instead;
    long calls = faulty.calls;
    faulty.instead = NULL;
    faulty.nth = 0;
    instead(faulty.payload);
    faulty.calls = calls;
    return 0;
}

static exia_status lost(exia_error *err)
{
    return exia__fail(err, faulty.status, 0, "call %ld was made to fail %s it was done",
                      faulty.calls, faulty.after ? "after" : "before");
}

/* Do `call` on the inner driver, or not, as planned. */
#define THROUGH(call)                                                                              \
    wrapped *inner = self;                                                                         \
    long number = ++faulty.calls;                                                                  \
    if (fails(number, 0))                                                                          \
        return lost(err);                                                                          \
    exia_status rc = inner->driver->call;                                                          \
    return rc >= 0 && fails(number, 1) ? lost(err) : rc

/* Give a file the time of our clock. */
static void stamp(const wrapped *inner, const char *key)
{
    char *path = NULL;
    if (faulty.skew_ms == 0 || inner->driver->blobs->local(&path, inner->self, key, NULL) < 0)
        return;
    int64_t ms = exia__now_ms() + faulty.skew_ms;
    const struct timespec both[] = {{ms / 1000, ms % 1000 * 1000000},
                                    {ms / 1000, ms % 1000 * 1000000}};
    utimensat(AT_FDCWD, path, both, 0);
    exia__release(path);
}

/* As THROUGH, and the blob is stamped when that was done. */
#define THROUGH_STAMPED(call)                                                                      \
    wrapped *inner = self;                                                                         \
    long number = ++faulty.calls;                                                                  \
    if (fails(number, 0))                                                                          \
        return lost(err);                                                                          \
    exia_status rc = inner->driver->call;                                                          \
    if (rc == EXIA_OK)                                                                             \
        stamp(inner, key);                                                                         \
    return rc >= 0 && fails(number, 1) ? lost(err) : rc

static exia_status faulty_check(void *self, exia_record_fn *row, void *payload, exia_error *err)
{
    THROUGH(check(inner->self, row, payload, err));
}

static exia_status blob_put(void *self, const char *key, const exia_source *source,
                            const exia_job *job, exia_error *err)
{
    THROUGH_STAMPED(blobs->put(inner->self, key, source, job, err));
}

static exia_status blob_compose(void *self, const char *key, const exia_source *source,
                                const exia_piece *pieces, size_t count, uint64_t *copied,
                                const exia_job *job, exia_error *err)
{
    THROUGH_STAMPED(blobs->compose(inner->self, key, source, pieces, count, copied, job, err));
}

typedef struct naming {
    exia_name_fn *name;
    void *payload;
    const char *key;
} naming;

static exia_status note_name(const char **key, void *payload, exia_error *err)
{
    naming *now = payload;
    exia_status rc = now->name(key, now->payload, err);
    now->key = rc == EXIA_OK ? *key : NULL;
    return rc;
}

static exia_status blob_put_as(void *self, const exia_source *source, exia_name_fn *name,
                               void *payload, const exia_job *job, exia_error *err)
{
    wrapped *inner = self;
    long number = ++faulty.calls;
    naming now = {name, payload, NULL};
    if (fails(number, 0))
        return lost(err);
    exia_status rc = inner->driver->blobs->put_as(inner->self, source, note_name, &now, job, err);
    if (rc == EXIA_OK && now.key != NULL)
        stamp(inner, now.key);
    return rc >= 0 && fails(number, 1) ? lost(err) : rc;
}

static exia_status blob_get(void *self, const char *key, uint64_t offset, uint64_t size,
                            exia_sink_fn *sink, void *payload, const exia_job *job, exia_error *err)
{
    THROUGH(blobs->get(inner->self, key, offset, size, sink, payload, job, err));
}

static exia_status blob_stat(uint64_t *size, int64_t *modified_ms, void *self, const char *key,
                             const exia_job *job, exia_error *err)
{
    THROUGH(blobs->stat(size, modified_ms, inner->self, key, job, err));
}

static exia_status blob_list(void *self, const char *prefix, exia_blob_fn *found, void *payload,
                             const exia_job *job, exia_error *err)
{
    THROUGH(blobs->list(inner->self, prefix, found, payload, job, err));
}

static exia_status blob_touch(void *self, const char *key, const exia_job *job, exia_error *err)
{
    THROUGH_STAMPED(blobs->touch(inner->self, key, job, err));
}

static exia_status blob_remove(void *self, const char *key, const exia_job *job, exia_error *err)
{
    THROUGH(blobs->remove(inner->self, key, job, err));
}

static exia_status blob_now(int64_t *ms, void *self, const exia_job *job, exia_error *err)
{
    wrapped *inner = self;
    long number = ++faulty.calls;
    if (fails(number, 0))
        return lost(err);
    exia_status rc = inner->driver->blobs->now(ms, inner->self, job, err);
    *ms += faulty.skew_ms;
    return rc >= 0 && fails(number, 1) ? lost(err) : rc;
}

static exia_status blob_local(char **path, void *self, const char *key, exia_error *err)
{
    THROUGH(blobs->local(path, inner->self, key, err));
}

static exia_status record_get(void *self, const char *kind, const char *key, exia_record_fn *found,
                              void *payload, const exia_job *job, exia_error *err)
{
    THROUGH(records->get(inner->self, kind, key, found, payload, job, err));
}

static exia_status record_put(int64_t *revision, void *self, const char *kind, const char *key,
                              const char *json, int64_t expect, const char *token,
                              const exia_job *job, exia_error *err)
{
    THROUGH(records->put(revision, inner->self, kind, key, json, expect, token, job, err));
}

static exia_status record_remove(void *self, const char *kind, const char *key, int64_t expect,
                                 const exia_job *job, exia_error *err)
{
    THROUGH(records->remove(inner->self, kind, key, expect, job, err));
}

static exia_status record_batch(void *self, const exia_put *puts, size_t count, const exia_job *job,
                                exia_error *err)
{
    THROUGH(records->batch(inner->self, puts, count, job, err));
}

static exia_status record_scan(void *self, const char *kind, const char *prefix, const char *after,
                               size_t limit, const char *filter, exia_record_fn *found,
                               void *payload, const exia_job *job, exia_error *err)
{
    THROUGH(
        records->scan(inner->self, kind, prefix, after, limit, filter, found, payload, job, err));
}

static exia_status record_seek(int *ordered, void *self, const exia_seek *seek,
                               exia_record_fn *found, void *payload, const exia_job *job,
                               exia_error *err)
{
    THROUGH(records->seek(ordered, inner->self, seek, found, payload, job, err));
}

static exia_status record_since(int64_t *head, void *self, const char *kind, int64_t revision,
                                exia_record_fn *found, void *payload, const exia_job *job,
                                exia_error *err)
{
    THROUGH(records->since(head, inner->self, kind, revision, found, payload, job, err));
}

#define LEAST_BLOBS                                                                                \
    .struct_size = sizeof(exia_blobs_ops), .put = blob_put, .get = blob_get, .stat = blob_stat,    \
    .list = blob_list, .touch = blob_touch, .remove = blob_remove, .now = blob_now,                \
    .local = blob_local
#define LEAST_RECORDS                                                                              \
    .struct_size = sizeof(exia_records_ops), .get = record_get, .put = record_put,                 \
    .remove = record_remove, .scan = record_scan

static const exia_blobs_ops plain_blobs = {LEAST_BLOBS},
                            blobs = {LEAST_BLOBS, .compose = blob_compose, .put_as = blob_put_as};
static const exia_records_ops plain_records = {LEAST_RECORDS},
                              records = {LEAST_RECORDS, .batch = record_batch, .seek = record_seek,
                                         .since = record_since};

#define DRIVER(its_name, its_blobs, its_records)                                                   \
    {                                                                                              \
        .struct_size = sizeof(exia_driver), .name = its_name, .schemes = its_name,                 \
        .open = wrapped_open, .close = wrapped_close, .abandon = wrapped_abandon,                  \
        .check = faulty_check, .blobs = its_blobs, .records = its_records                          \
    }

static const exia_driver drivers[] = {DRIVER("faulty", &blobs, &records),
                                      DRIVER("plain", &plain_blobs, &plain_records)};

void faulty_register(void)
{
    static int known;
    for (size_t i = 0; !known && i < sizeof drivers / sizeof *drivers; i++) {
        if (exia_driver_register(&drivers[i], NULL) != EXIA_OK)
            abort();
    }
    known = 1;
}
