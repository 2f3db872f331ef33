/* Bytes are told in pieces of some KiB, and a plan, or the caller's job, can act between any two. */
#include "support/distant.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "support/trace.h"
#include "support/wrapped.h"

enum { PIECE = 4096 };

distant_plan *distant;

static exia_status distant_check(void *self, exia_record_fn *row, void *payload, exia_error *err)
{
    wrapped *inner = self;
    return inner->driver->check(inner->self, row, payload, err);
}

static exia_status blob_put(void *self, const char *key, const exia_source *source,
                            const exia_job *job, exia_error *err)
{
    wrapped *inner = self;
    return inner->driver->blobs->put(inner->self, key, source, job, err);
}

typedef struct telling {
    exia_sink_fn *sink;
    void *payload;
    const exia_job *job;
} telling;

static exia_status act(exia_error *err)
{
    switch (distant->what) {
    case DISTANT_LOSE:
        return exia__fail(err, EXIA_EUNAVAILABLE, 0, "the store is away");
    case DISTANT_DIE:
        raise(SIGKILL);
        break;
    case DISTANT_HOLD:
        atomic_store(&distant->held, 1);
        while (!atomic_load(&distant->go_on))
            sched_yield();
        break;
    case DISTANT_NOTHING:
        break;
    }
    return EXIA_OK;
}

static exia_status tell(const void *data, size_t size, void *payload, exia_error *err)
{
    const telling *now = payload;
    exia_progress_fn *progress = now->job ? now->job->progress : NULL;
    const unsigned char *from = data;
    exia_status rc = EXIA_OK;
    for (size_t done = 0; done < size && rc == EXIA_OK;) {
        unsigned char piece[PIECE];
        size_t some = size - done < PIECE ? size - done : PIECE;
        for (size_t i = 0; i < some; i++)
            piece[i] = (unsigned char)(from[done + i] + (distant->garbled != 0));
        rc = now->sink(piece, some, now->payload, err);
        done += some;
        unsigned long long told = atomic_fetch_add(&distant->told, some) + some;
        unsigned long long due = atomic_load(&distant->act);
        if (rc == EXIA_OK && due > 0 && told >= due &&
            atomic_compare_exchange_strong(&distant->act, &due, 0))
            rc = act(err);
        if (rc == EXIA_OK && progress != NULL && progress("telling", told, 0, now->job->payload))
            rc = exia__fail(err, EXIA_ECANCELLED, 0, "the caller asked to stop");
    }
    return rc;
}

static exia_status blob_get(void *self, const char *key, uint64_t offset, uint64_t size,
                            exia_sink_fn *sink, void *payload, const exia_job *job, exia_error *err)
{
    wrapped *inner = self;
    telling now = {sink, payload, job};
    atomic_fetch_add(&distant->gets, 1);
    return inner->driver->blobs->get(inner->self, key, offset, size, tell, &now, job, err);
}

static exia_status blob_stat(uint64_t *size, int64_t *modified_ms, void *self, const char *key,
                             const exia_job *job, exia_error *err)
{
    wrapped *inner = self;
    return inner->driver->blobs->stat(size, modified_ms, inner->self, key, job, err);
}

static exia_status blob_list(void *self, const char *prefix, exia_blob_fn *found, void *payload,
                             const exia_job *job, exia_error *err)
{
    wrapped *inner = self;
    return inner->driver->blobs->list(inner->self, prefix, found, payload, job, err);
}

static exia_status blob_touch(void *self, const char *key, const exia_job *job, exia_error *err)
{
    wrapped *inner = self;
    return inner->driver->blobs->touch(inner->self, key, job, err);
}

static exia_status blob_remove(void *self, const char *key, const exia_job *job, exia_error *err)
{
    wrapped *inner = self;
    return inner->driver->blobs->remove(inner->self, key, job, err);
}

static exia_status blob_now(int64_t *ms, void *self, const exia_job *job, exia_error *err)
{
    wrapped *inner = self;
    return inner->driver->blobs->now(ms, inner->self, job, err);
}

static const exia_blobs_ops blobs = {.struct_size = sizeof(exia_blobs_ops),
                                     .put = blob_put,
                                     .get = blob_get,
                                     .stat = blob_stat,
                                     .list = blob_list,
                                     .touch = blob_touch,
                                     .remove = blob_remove,
                                     .now = blob_now};

static const exia_driver driver = {.struct_size = sizeof(exia_driver),
                                   .name = "distant",
                                   .schemes = "distant",
                                   .open = wrapped_open,
                                   .close = wrapped_close,
                                   .abandon = wrapped_abandon,
                                   .check = distant_check,
                                   .blobs = &blobs};

void distant_register(void)
{
    if (distant == NULL) {
        distant = trace_shared(sizeof *distant);
        if (exia_driver_register(&driver, NULL) != EXIA_OK)
            abort();
    }
    memset(distant, 0, sizeof *distant);
}
