/* A pull in three passes, each by several threads:
 *
 *     the end of the remote file tells its frames         one request, or two
 *     frames that an earlier pull left, or that local     hashed, each by itself
 *     packages have, are kept or copied
 *     the rest is fetched, neighbours in one request      not hashed
 *
 * Then all of it is verified and hashed, in one reading.  So no list of what has arrived is needed: the
 * frames say it themselves.  When the hash is another one, something lied, or was replaced meanwhile, and
 * all is fetched once more. */
#include "registry/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/crew.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "registry/delta.h"

enum {
    SPARE = 2,         /* slots besides those in work */
    MOST_THREADS = 64, /* of a pass */
    FEW_THREADS = 2,   /* for them a driver may read ahead: requests of LONG_RUN bytes, */
    LONG_RUN = 32 << 20,
    SHORT_RUN = 8 << 20, /* ... while of many each holds no more than this */
    GAP_MOST = 64 << 10  /* what is here already and fetched again, to save a request */
};

/* A range that is fetched by one request. */
typedef struct run {
    uint64_t at, size;
} run;

/* What one thread looks at a frame with. */
typedef struct tools {
    char *room;
    exia__hash *hash;
} tools;

typedef struct assembly {
    const exia__fetch *fetch;
    exia__delta delta;
    uint64_t left;       /* bytes that the file has at first */
    size_t largest;      /* bytes of a frame */
    unsigned char *here; /* of each frame: it lies in the file */
    run *runs;
    size_t run_count, capacity;
    tools *tools;
    size_t next;                        /* frame or run to be taken */
    size_t items[MOST_THREADS + SPARE]; /* what the slots hold */
    _Atomic uint64_t done;              /* bytes of this pass */
    uint64_t total;
} assembly;

static void assembly_free(assembly *a)
{
    exia__release(a->here);
    exia__release(a->runs);
    exia__delta_free(&a->delta);
}

static exia_status run_crew(assembly *a, const exia__crew *how, size_t items, exia_error *err)
{
    exia__crew crew = *how;
    uint32_t most = a->fetch->work->job.threads;
    crew.threads = most < MOST_THREADS ? most : MOST_THREADS;
    if (items < crew.threads)
        crew.threads = (uint32_t)items;
    crew.slots = crew.threads + SPARE;
    a->next = 0;
    atomic_store(&a->done, 0);
    return crew.threads > 0 ? exia__crew_run(&crew, a, err) : EXIA_OK;
}

static exia_status write_at(const exia__fetch *fetch, const void *data, size_t size, uint64_t at,
                            exia_error *err)
{
    for (size_t put = 0; put < size;) {
        ssize_t done = pwrite(fetch->fd, (const char *)data + put, size - put, (off_t)(at + put));
        if (done < 0 && errno != EINTR)
            return exia__fail_errno(err, errno, "cannot write", fetch->path);
        put += done > 0 ? (size_t)done : 0;
    }
    return EXIA_OK;
}

/* ---- what is here -------------------------------------------------------------------------------- */

static int may_be_here(const assembly *a, size_t i)
{
    const exia__frame *frame = &a->delta.index.frames[i];
    return frame->digest != NULL && !a->here[i] && frame->offset < a->delta.index.from &&
           (a->delta.found[i].base > 0 || frame->offset + frame->size <= a->left);
}

static exia_status take_frame(size_t slot, void *payload, exia_error *err)
{
    assembly *a = payload;
    (void)err;
    while (a->next < a->delta.index.count && !may_be_here(a, a->next))
        a->next++;
    if (a->next == a->delta.index.count)
        return EXIA_DONE;
    a->items[slot] = a->next++;
    return EXIA_OK;
}

/* Are these bytes of a file the frame?  Then they are in `own->room`. */
static exia_status read_frame(int *good, const exia__frame *frame, tools *own, int fd,
                              uint64_t offset, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    *good = 0;
    if (exia__read_at(fd, own->room, frame->size, offset, "", NULL) < 0)
        return EXIA_OK; /* what cannot be read is fetched */
    exia_status rc = exia__hash_update(own->hash, own->room, frame->size, err);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, own->hash, err);
    *good = rc == EXIA_OK && memcmp(digest, frame->digest, sizeof digest) == 0;
    return rc;
}

static exia_status copy_frame(assembly *a, size_t i, tools *own, exia_error *err)
{
    const exia__frame *frame = &a->delta.index.frames[i];
    const exia__found *found = &a->delta.found[i];
    int good = 0, fd = open(a->delta.bases[found->base - 1], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    exia_status rc = fd < 0 ? EXIA_OK : read_frame(&good, frame, own, fd, found->offset, err);
    if (fd >= 0)
        close(fd);
    if (rc == EXIA_OK && good && !a->fetch->dry_run)
        rc = write_at(a->fetch, own->room, frame->size, frame->offset, err);
    a->here[i] = (unsigned char)good;
    return rc;
}

static exia_status settle_frame(size_t slot, exia__hand *hand, void *payload, exia_error *err)
{
    assembly *a = payload;
    tools *own = &a->tools[hand->index];
    size_t i = a->items[slot];
    const exia__frame *frame = &a->delta.index.frames[i];
    int good = 0;
    exia_status rc = EXIA_OK;
    if (own->room == NULL)
        own->room = exia__resize(NULL, a->largest);
    if (own->room == NULL)
        return exia__fail_memory(err);
    if (own->hash == NULL)
        rc = exia__hash_open(&own->hash, err);
    if (rc == EXIA_OK && frame->offset + frame->size <= a->left)
        rc = read_frame(&good, frame, own, a->fetch->fd, frame->offset, err);
    a->here[i] = (unsigned char)good;
    if (rc == EXIA_OK && !good && a->delta.found[i].base > 0)
        rc = copy_frame(a, i, own, err);
    atomic_fetch_add(&a->done, frame->size);
    return rc;
}

static exia_status reusing(void *payload, exia_error *err)
{
    assembly *a = payload;
    return exia__work_step(a->fetch->work, "reusing", atomic_load(&a->done), a->total, err);
}

static void free_tools(assembly *a)
{
    for (size_t i = 0; a->tools != NULL && i < MOST_THREADS; i++) {
        exia__release(a->tools[i].room);
        exia__hash_free(a->tools[i].hash);
    }
    exia__release(a->tools);
    a->tools = NULL;
}

static exia_status settle(assembly *a, exia_error *err)
{
    static const exia__crew crew = {.take = take_frame, .work = settle_frame, .step = reusing};
    size_t count = 0;
    a->total = 0;
    for (size_t i = 0; i < a->delta.index.count; i++) {
        const exia__frame *frame = &a->delta.index.frames[i];
        if (!may_be_here(a, i))
            continue;
        count++;
        a->total += frame->size;
        a->largest = frame->size > a->largest ? frame->size : a->largest;
    }
    a->tools = exia__zeroed(MOST_THREADS, sizeof *a->tools);
    exia_status rc = a->tools ? run_crew(a, &crew, count, err) : exia__fail_memory(err);
    free_tools(a);
    return rc;
}

/* ---- what is not ----------------------------------------------------------------------------------- */

/* Join what is missing before the end that was read already.  @return its bytes in `a->total` */
static exia_status plan_runs(assembly *a, exia_error *err)
{
    uint64_t end = a->delta.index.from;
    uint64_t most = a->fetch->work->job.threads > FEW_THREADS ? SHORT_RUN : LONG_RUN;
    a->total = 0;
    for (size_t i = 0; i < a->delta.index.count; i++) {
        const exia__frame *frame = &a->delta.index.frames[i];
        run *last = a->run_count > 0 ? &a->runs[a->run_count - 1] : NULL;
        if (a->here[i] || frame->offset >= end)
            continue;
        uint64_t to = frame->offset + frame->size < end ? frame->offset + frame->size : end;
        if (last != NULL && frame->offset - (last->at + last->size) <= GAP_MOST &&
            to - last->at <= most) {
            a->total += to - (last->at + last->size);
            last->size = to - last->at;
            continue;
        }
        exia_status rc = exia__grow(&a->runs, &a->capacity, a->run_count + 1, sizeof *a->runs, err);
        if (rc < 0)
            return rc;
        a->runs[a->run_count++] = (run){frame->offset, to - frame->offset};
        a->total += to - frame->offset;
    }
    return EXIA_OK;
}

static exia_status take_run(size_t slot, void *payload, exia_error *err)
{
    assembly *a = payload;
    (void)err;
    if (a->next == a->run_count)
        return EXIA_DONE;
    a->items[slot] = a->next++;
    return EXIA_OK;
}

typedef struct arriving {
    assembly *a;
    const exia__hand *hand;
    uint64_t at, end;
} arriving;

static exia_status arrive(const void *data, size_t size, void *payload, exia_error *err)
{
    arriving *now = payload;
    if (size > now->end - now->at)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s has more bytes than its record says",
                          now->a->fetch->parcel->key);
    exia_status rc = write_at(now->a->fetch, data, size, now->at, err);
    now->at += size;
    atomic_fetch_add(&now->a->done, size);
    return rc == EXIA_OK ? exia__crew_step(now->hand, err) : rc;
}

/* Progress of a request: the crew reports, and tells when all is to end. */
static int ask_crew(const char *step, uint64_t done, uint64_t total, void *payload)
{
    const arriving *now = payload;
    (void)step, (void)done, (void)total;
    return exia__crew_step(now->hand, NULL) < 0;
}

/* A range that is not there: the object is shorter than it was when it was asked for its size. */
static exia_status check_range(const exia__fetch *fetch, exia_status rc, exia_error *err)
{
    return rc == EXIA_EINVAL ? exia__fail(err, EXIA_ECORRUPT, 0, "%s was replaced by a shorter one",
                                          fetch->parcel->key)
                             : rc;
}

static exia_status fetch_run(size_t slot, exia__hand *hand, void *payload, exia_error *err)
{
    assembly *a = payload;
    const exia__fetch *fetch = a->fetch;
    const run *r = &a->runs[a->items[slot]];
    arriving now = {a, hand, r->at, r->at + r->size};
    exia_job job = exia__work_rest(fetch->work);
    job.progress = ask_crew;
    job.payload = &now;
    if (a->run_count > 1)
        job.threads = 1;
    exia_status rc = exia__blobs_get(fetch->side->blobs, fetch->parcel->key, r->at, r->size, arrive,
                                     &now, &job, err);
    rc = check_range(fetch, rc, err);
    if (rc == EXIA_OK && now.at < now.end)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s ended after %llu of %llu bytes",
                        fetch->parcel->key, (unsigned long long)now.at,
                        (unsigned long long)fetch->parcel->size);
    if (rc == EXIA_OK) /* let the disk begin, so that storing has less to wait for */
        (void)sync_file_range(fetch->fd, (off_t)r->at, (off_t)r->size, SYNC_FILE_RANGE_WRITE);
    return rc;
}

static exia_status fetching(void *payload, exia_error *err)
{
    assembly *a = payload;
    uint64_t size = a->delta.index.from;
    return exia__work_step(a->fetch->work, "fetching", size - a->total + atomic_load(&a->done),
                           size, err);
}

/* The end comes last: a file of the right size has everything. */
static exia_status fetch_rest(assembly *a, exia_error *err)
{
    static const exia__crew crew = {.take = take_run, .work = fetch_run, .step = fetching};
    const exia__index *index = &a->delta.index;
    exia_status rc = run_crew(a, &crew, a->run_count, err);
    return rc == EXIA_OK ? write_at(a->fetch, index->end, (size_t)(index->size - index->from),
                                    index->from, err)
                         : rc;
}

/* ---- all of it -------------------------------------------------------------------------------------- */

static exia_status check_blob(const exia__fetch *fetch, exia_error *err)
{
    exia_job job = exia__work_rest(fetch->work);
    const exia__parcel *parcel = fetch->parcel;
    uint64_t size = 0;
    exia_status rc = exia__blobs_stat(&size, NULL, fetch->side->blobs, parcel->key, &job, err);
    if (rc == EXIA_ENOTFOUND)
        rc = exia__fail(err, rc, 0, "%s@%s is recorded, but its file %s is not there", parcel->name,
                        parcel->version, parcel->key);
    if (rc == EXIA_OK && size != parcel->size)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s has %llu bytes, and its record says %llu",
                        parcel->key, (unsigned long long)size, (unsigned long long)parcel->size);
    return rc;
}

static exia_status assembly_open(assembly *a, exia_error *err)
{
    const exia__fetch *fetch = a->fetch;
    exia__index index = {0};
    exia_status rc = exia__index_of_blob(&index, fetch->side, fetch->parcel->key,
                                         fetch->parcel->size, fetch->work, err);
    rc = check_range(fetch, rc, err);
    if (rc == EXIA_ECORRUPT)
        exia__prefix(err, rc, "%s holds other bytes than its name says", fetch->parcel->key);
    if (rc == EXIA_OK)
        rc = exia__delta_open(&a->delta, &index, index.from, err); /* the rest has come with it */
    if (rc < 0)
        return rc;
    a->here = exia__zeroed(a->delta.index.count, 1);
    return a->here ? EXIA_OK : exia__fail_memory(err);
}

/* @param reuse  take what is here already
 * @return EXIA_DONE: all has arrived, and it is not what it should be */
static exia_status assemble(exia_transfer *out, exia__parcel *got, const exia__fetch *fetch,
                            int reuse, exia_error *err)
{
    assembly a = {.fetch = fetch};
    struct stat part;
    exia_status rc = exia__part_look(&part, fetch, err);
    a.left = rc == EXIA_OK && reuse ? (uint64_t)part.st_size : 0;
    if (rc == EXIA_OK)
        rc = assembly_open(&a, err);
    if (rc == EXIA_OK && reuse &&
        (rc = exia__delta_here(&a.delta, fetch->registry, fetch->parcel, fetch->work, err)) ==
            EXIA_OK)
        rc = settle(&a, err);
    if (rc == EXIA_OK)
        rc = plan_runs(&a, err);
    if (rc < 0)
        goto done;
    out->moved = a.total + (a.delta.index.size - a.delta.index.from);
    out->reused = out->total - out->moved;
    if (!fetch->dry_run && (rc = fetch_rest(&a, err)) == EXIA_OK)
        rc = exia__part_check(got, fetch, err);
done:
    assembly_free(&a);
    return rc;
}

exia_status exia__fetch_all(exia_transfer *out, exia__parcel *got, const exia__fetch *fetch,
                            exia_error *err)
{
    struct stat part;
    exia_status rc = check_blob(fetch, err);
    *out = (exia_transfer){.total = fetch->parcel->size};
    if (rc == EXIA_OK)
        rc = exia__part_look(&part, fetch, err);
    if (rc < 0)
        return rc;
    uint64_t left = (uint64_t)part.st_size;
    if (left == out->total) { /* an earlier pull had all of it, but for the record */
        out->reused = out->total;
        rc = exia__part_check(got, fetch, err);
        if (rc != EXIA_DONE || (!fetch->dry_run && exia__part_finished(&part)))
            return rc;
    }
    rc = left > out->total ? exia__part_cut(fetch, 0, err) : EXIA_OK;
    if (rc == EXIA_OK)
        rc = assemble(out, got, fetch, 1, err);
    if (rc != EXIA_DONE)
        return rc;
    exia__log(EXIA_LOG_WARNING, "registry", "%s is not what came together, and is fetched anew",
              fetch->parcel->key);
    rc = exia__part_cut(fetch, 0, err);
    if (rc == EXIA_OK)
        rc = assemble(out, got, fetch, 0, err);
    if (rc != EXIA_DONE)
        return rc;
    return exia__fail(err, EXIA_ECORRUPT, 0,
                      "%s holds other bytes than its name says: where the package is registered, "
                      "\"vedapkg check --remote %.40s --repair\" mends it",
                      fetch->parcel->key, fetch->side->name);
}
