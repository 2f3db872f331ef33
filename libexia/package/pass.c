/* One pass over the payload, by several threads: each takes a frame and does what can be done with it
 * alone.  Nothing is parsed: the header of each member is encoded again and compared, what pads it must
 * be zero.  A file that lies in one frame is hashed there and then; of one that goes over several, each
 * thread does its piece and the pieces are hashed in turn.  Where the digest of the package file is
 * wanted as well, its bytes are hashed as they are read, in turn too, so that they are read once. */
#include <stdatomic.h>
#include <string.h>

#include "base/crew.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "package/reader.h"

enum {
    MOST_THREADS = 256,
    MORE_SLOTS = 4 /* beside one a thread: frames that wait for their turn to be hashed */
};

typedef struct slot {
    size_t frame;
    void *packed, *plain;
    size_t packed_room, room;
} slot;

typedef struct worker {
    exia__loader loader;
    exia__buffer header;
} worker;

typedef struct pass {
    const exia_package *package;
    const exia__visitor *visitor;
    void *payload;
    exia__work *work;
    size_t only;       /* the member that is wanted, SIZE_MAX: what the visitor says */
    uint64_t from, to; /* what is wanted of the tar */
    int whole;         /* from the beginning to the end of whatever is wanted */
    size_t next;       /* frame */
    slot *slots;
    worker *workers;
    exia__hash *hash;      /* of the file whose pieces are given */
    exia__hash *file_hash; /* of the package file; NULL: it is not wanted */
    uint64_t hashed;       /* bytes of it so far */
    atomic_uint_least64_t done;
    uint64_t total;
} pass;

/* The bytes of the tar from `from` to `to`. */
typedef struct extent {
    uint64_t from, to;
} extent;

/* What of it lies in a frame. */
static extent within(const exia__frame *frame, uint64_t from, uint64_t to)
{
    uint64_t end = frame->start + frame->plain;
    extent part = {from > frame->start ? from : frame->start, to < end ? to : end};
    return part.from < part.to ? part : (extent){0};
}

static extent content_of(const exia_package *package, size_t index)
{
    uint64_t size = package->entries[index].size;
    uint64_t end = package->starts[index + 1] - exia__tar_padding(size);
    return (extent){end - size, end};
}

/* Is all of the content in this frame?  What is empty lies where its header ends. */
static int holds(const exia__frame *frame, extent content)
{
    uint64_t first = content.from < content.to ? content.from : content.from - 1;
    return first >= frame->start && first < frame->start + frame->plain &&
           content.to <= frame->start + frame->plain;
}

/* The member that a position of the tar belongs to. */
static size_t member_at(const exia_package *package, uint64_t at)
{
    size_t low = 0, high = package->entry_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (package->starts[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

size_t exia__frame_at(const exia_package *package, uint64_t at)
{
    size_t low = 0, high = (size_t)package->metadata.data_frames;
    while (high - low > 1) { /* each has content, so positions grow from frame to frame */
        size_t middle = low + (high - low) / 2;
        if (package->frames[middle].start <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

int exia__in_one_frame(const exia_package *package, size_t index)
{
    extent content = content_of(package, index);
    return content.from == content.to ||
           exia__frame_at(package, content.from) == exia__frame_at(package, content.to - 1);
}

/* The next wanted member that has to do with a frame, from `*index` on. */
static int next_member(size_t *index, const pass *p, const exia__frame *frame)
{
    const exia_package *package = p->package;
    for (; *index < package->entry_count && package->starts[*index] < frame->start + frame->plain;
         ++*index) {
        if (p->only == SIZE_MAX
                ? p->visitor->wanted == NULL || p->visitor->wanted(*index, p->payload)
                : p->only == *index)
            return 1;
    }
    return 0;
}

static exia_status not_as_recorded(const pass *p, size_t index, const char *part, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0,
                      "%s is damaged: the %s of \"%.100s\" is not as recorded", p->package->path,
                      part, p->package->entries[index].path);
}

static exia_status finish_content(const pass *p, exia__hash *hash, size_t index, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc = exia__hash_finish(digest, hash, err);
    if (rc == EXIA_OK && memcmp(digest, p->package->entries[index].digest, sizeof digest) != 0)
        rc = not_as_recorded(p, index, "content", err);
    return rc;
}

/* ---- the stages of a frame ------------------------------------------------------------------ */

/* Hash what the package file has up to `end`, and no frame was hashed of. */
static exia_status hash_until(pass *p, uint64_t end, exia_error *err)
{
    enum { BLOCK = 1 << 20 };
    uint64_t left = end - p->hashed;
    char *block = exia__resize(NULL, left < BLOCK ? (size_t)left : BLOCK);
    exia_status rc = block ? EXIA_OK : exia__fail_memory(err);
    while (rc == EXIA_OK && p->hashed < end) {
        size_t size = end - p->hashed < BLOCK ? (size_t)(end - p->hashed) : BLOCK;
        rc = exia__read_at(p->package->fd, block, size, p->package->base + p->hashed,
                           p->package->path, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(p->file_hash, block, size, err);
        p->hashed += size;
    }
    exia__release(block);
    return rc;
}

static exia_status hash_frame(pass *p, slot *s, exia_error *err)
{
    const exia__frame *frame = &p->package->frames[s->frame];
    exia_status rc = EXIA_OK;
    if (p->hashed < frame->offset)
        rc = hash_until(p, frame->offset, err);
    if (rc == EXIA_OK)
        rc = exia__frame_read(&s->packed, &s->packed_room, p->package, s->frame, err);
    if (rc == EXIA_OK)
        rc = exia__hash_update(p->file_hash, s->packed, frame->size, err);
    p->hashed += frame->size;
    return rc;
}

static exia_status take(size_t at, void *payload, exia_error *err)
{
    pass *p = payload;
    const exia_package *package = p->package;
    for (; p->next < package->metadata.data_frames && package->frames[p->next].start < p->to;
         p->next++) {
        size_t index = member_at(package, package->frames[p->next].start);
        if (next_member(&index, p, &package->frames[p->next])) {
            p->slots[at].frame = p->next++;
            return p->file_hash ? hash_frame(p, &p->slots[at], err) : EXIA_OK;
        }
    }
    return EXIA_DONE;
}

static exia_status check_frame_of(worker *w, const pass *p, size_t index, const exia__frame *frame,
                                  const char *plain, exia_error *err)
{
    const exia_package *package = p->package;
    extent content = content_of(package, index);
    extent header = within(frame, package->starts[index], content.from);
    extent padding = within(frame, content.to, package->starts[index + 1]);
    if (header.from < header.to) {
        exia_status rc = exia__tar_header(&w->header, &package->entries[index], err);
        if (rc < 0)
            return rc;
        if (memcmp(plain + (header.from - frame->start),
                   w->header.data + (header.from - package->starts[index]),
                   header.to - header.from) != 0)
            return not_as_recorded(p, index, "header", err);
    }
    for (uint64_t i = padding.from; i < padding.to; i++) {
        if (plain[i - frame->start] != '\0')
            return not_as_recorded(p, index, "padding", err);
    }
    return EXIA_OK;
}

static exia_status work_on(uint32_t thread, const pass *p, size_t index, const exia__frame *frame,
                           const char *plain, exia_error *err)
{
    worker *w = &p->workers[thread];
    extent content = content_of(p->package, index);
    extent piece = within(frame, content.from, content.to);
    const char *data = plain + (piece.from < piece.to ? piece.from - frame->start : 0);
    size_t size = (size_t)(piece.to - piece.from);
    int whole = holds(frame, content);
    exia_status rc = check_frame_of(w, p, index, frame, plain, err);
    if (rc < 0 || p->package->entries[index].type != 'f' || (!whole && size == 0))
        return rc;
    if (whole) {
        rc = exia__hash_update(w->loader.hash, data, size, err);
        if (rc == EXIA_OK)
            rc = finish_content(p, w->loader.hash, index, err);
    }
    if (rc == EXIA_OK && p->visitor->put != NULL)
        rc = p->visitor->put(thread, index, whole ? 0 : piece.from - content.from, data, size,
                             p->payload, err);
    return rc;
}

static exia_status work(size_t at, exia__hand *hand, void *payload, exia_error *err)
{
    pass *p = payload;
    slot *s = &p->slots[at];
    const exia__frame *frame = &p->package->frames[s->frame];
    size_t index = member_at(p->package, frame->start);
    exia_status rc = exia__room(&s->plain, &s->room, frame->plain, err);
    if (rc == EXIA_OK && p->file_hash == NULL) /* else it was read in turn */
        rc = exia__frame_read(&s->packed, &s->packed_room, p->package, s->frame, err);
    if (rc == EXIA_OK)
        rc = exia__frame_open(s->plain, &p->workers[hand->index].loader, p->package, s->frame,
                              s->packed, p->visitor->check_frames, err);
    for (; rc == EXIA_OK && next_member(&index, p, frame); index++)
        rc = work_on(hand->index, p, index, frame, s->plain, err);
    return rc;
}

static exia_status give(size_t at, void *payload, exia_error *err)
{
    pass *p = payload;
    const exia__frame *frame = &p->package->frames[p->slots[at].frame];
    size_t index = member_at(p->package, frame->start);
    exia_status rc = EXIA_OK;
    for (; rc == EXIA_OK && next_member(&index, p, frame); index++) {
        extent content = content_of(p->package, index);
        extent piece = within(frame, content.from, content.to);
        size_t size = (size_t)(piece.to - piece.from);
        if (p->package->entries[index].type != 'f' || size == 0)
            continue; /* a piece of nothing may begin anywhere */
        const char *data = (const char *)p->slots[at].plain + (piece.from - frame->start);
        if (p->whole && !holds(frame, content)) {
            rc = exia__hash_update(p->hash, data, size, err);
            if (rc == EXIA_OK && piece.to == content.to)
                rc = finish_content(p, p->hash, index, err);
        }
        if (rc == EXIA_OK && p->visitor->give != NULL)
            rc = p->visitor->give(data, size, p->payload, err);
        atomic_fetch_add_explicit(&p->done, size, memory_order_relaxed);
    }
    return rc;
}

static exia_status step(void *payload, exia_error *err)
{
    pass *p = payload;
    return exia__work_step(p->work, p->visitor->step, atomic_load(&p->done), p->total, err);
}

uint32_t exia__package_threads(const exia__work *work)
{
    return work->job.threads < MOST_THREADS ? work->job.threads : MOST_THREADS;
}

static exia_status run(pass *p, exia_error *err)
{
    size_t frames = exia__frame_at(p->package, p->to - 1) - p->next + 1;
    uint32_t most = exia__package_threads(p->work);
    uint32_t threads = most < frames ? most : (uint32_t)frames;
    exia__crew crew = {threads, threads + MORE_SLOTS, take, work, give, step};
    exia_status rc = step(p, err); /* even the shortest pass can be stopped */
    if (rc == EXIA_OK)
        rc = exia__hash_open(&p->hash, err);
    p->slots = exia__zeroed(crew.slots, sizeof *p->slots);
    p->workers = exia__zeroed(threads, sizeof *p->workers);
    if (rc == EXIA_OK && (p->slots == NULL || p->workers == NULL))
        rc = exia__fail_memory(err);
    for (uint32_t i = 0; i < threads && rc == EXIA_OK; i++)
        rc = exia__loader_open(&p->workers[i].loader, err);
    if (rc == EXIA_OK)
        rc = exia__crew_run(&crew, p, err);
    for (uint32_t i = 0; p->workers != NULL && i < threads; i++) {
        exia__loader_free(&p->workers[i].loader);
        exia__buffer_free(&p->workers[i].header);
    }
    for (size_t i = 0; p->slots != NULL && i < crew.slots; i++) {
        exia__release(p->slots[i].plain);
        exia__release(p->slots[i].packed);
    }
    exia__hash_free(p->hash);
    exia__release(p->slots);
    exia__release(p->workers);
    return rc;
}

exia_status exia__package_kept(const exia_package *package, exia_error *err)
{
    return package->fd >= 0 ? EXIA_OK
                            : exia__fail(err, EXIA_EUNSUPPORTED, 0,
                                         "%s came as a stream, of which the payload was not kept",
                                         package->path);
}

exia_status exia__package_visit(unsigned char *file_digest, const exia_package *package,
                                const exia__visitor *visitor, void *payload, exia__work *job,
                                exia_error *err)
{
    exia_status rc = exia__package_kept(package, err);
    if (rc < 0)
        return rc;
    pass p = {.package = package,
              .visitor = visitor,
              .payload = payload,
              .work = job,
              .only = SIZE_MAX,
              .to = package->starts[package->entry_count],
              .whole = 1};
    for (size_t i = 0; i < package->entry_count; i++) {
        if (visitor->wanted == NULL || visitor->wanted(i, payload))
            p.total += package->entries[i].size;
    }
    if (file_digest != NULL)
        rc = exia__hash_open(&p.file_hash, err);
    if (rc == EXIA_OK)
        rc = run(&p, err);
    if (rc == EXIA_OK && file_digest != NULL)
        rc = hash_until(&p, package->file_size, err);
    if (rc == EXIA_OK && file_digest != NULL)
        rc = exia__hash_finish(file_digest, p.file_hash, err);
    exia__hash_free(p.file_hash);
    return rc;
}

exia_status exia__package_visit_file(const exia_package *package, size_t index, uint64_t offset,
                                     uint64_t size, const exia__visitor *visitor, void *payload,
                                     exia__work *job, exia_error *err)
{
    exia_status rc = exia__package_kept(package, err);
    if (rc < 0)
        return rc;
    extent content = content_of(package, index);
    pass p = {.package = package,
              .visitor = visitor,
              .payload = payload,
              .work = job,
              .only = index,
              .from = content.from + offset,
              .to = content.from + offset + size,
              .whole = size == package->entries[index].size,
              .total = size};
    if (p.whole) /* its header too */
        p.from = package->starts[index], p.to = package->starts[index + 1];
    p.next = exia__frame_at(package, p.from);
    return run(&p, err);
}
