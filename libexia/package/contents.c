/* The members of a workspace as the drafts of frames.  A file that lies whole within a frame is hashed
 * by the thread that compresses it; one that goes over several is hashed as these are written, in
 * order.  Where a member lies in a draft follows from where the draft begins, so nothing is kept. */
#include "package/contents.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/error.h"
#include "base/file.h"

enum { PIECE = 256 << 10 };

typedef struct members {
    exia__walk *walk;
    exia__work *work;
    size_t next;         /* the member to be added, */
    uint64_t at;         /* and how much of it was */
    exia__buffer header; /* of it */
    int fd;
    exia__hash *hash; /* of a file that goes over several frames */
    atomic_uint_least64_t done;
    uint64_t total; /* bytes of files */
} members;

static exia_status changed(const char *path, exia_error *err)
{
    return exia__fail(err, EXIA_ECONFLICT, 0, "%s changed while it was packed: pack again", path);
}

static exia_status check_stamp(const exia__walk *walk, size_t i, int fd, exia_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", walk->entries[i].path);
    exia__stamp now = exia__stamp_of(&info);
    return exia__stamp_equal(&now, &walk->stamps[i]) ? EXIA_OK
                                                     : changed(walk->entries[i].path, err);
}

exia_status exia__walk_file(int *fd, const exia__walk *walk, size_t i, exia_error *err)
{
    const char *path = walk->entries[i].path;
    *fd = exia__open_beneath(walk->root, path, O_RDONLY | O_NONBLOCK, 0);
    if (*fd < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENOTDIR
                   ? changed(path, err)
                   : exia__fail_errno(err, errno, "cannot read", path);
    return check_stamp(walk, i, *fd, err);
}

exia_status exia__walk_read(int fd, void *into, size_t size, uint64_t offset, const char *path,
                            exia_error *err)
{
    exia_status rc = exia__read_at(fd, into, size, offset, path, err);
    return rc == EXIA_ECORRUPT ? changed(path, err) : rc;
}

/* ---- in order: headers and content ---------------------------------------------------------------- */

static uint64_t header_size(const exia__entry *entry)
{
    return exia__tar_size(entry) - entry->size - exia__tar_padding(entry->size);
}

static exia_status begin_member(members *m, exia__framer *framer, exia_error *err)
{
    const exia__entry *entry = &m->walk->entries[m->next];
    exia_status rc = entry->type == 'f' ? exia__walk_file(&m->fd, m->walk, m->next, err) : EXIA_OK;
    exia__framer_member(framer, exia__tar_size(entry));
    return rc == EXIA_OK ? exia__tar_header(&m->header, entry, err) : rc;
}

static exia_status end_member(members *m, exia_error *err)
{
    exia_status rc = m->fd >= 0 ? check_stamp(m->walk, m->next, m->fd, err) : EXIA_OK;
    if (m->fd >= 0)
        close(m->fd);
    m->fd = -1;
    m->at = 0;
    m->next++;
    return rc;
}

/* Content is read to where it belongs; what a cut leaves over is read once more, for the next. */
static exia_status add_content(members *m, exia__draft *draft, exia__framer *framer,
                               uint64_t offset, exia_error *err)
{
    const exia__entry *entry = &m->walk->entries[m->next];
    size_t size = EXIA__MOST_PLAIN - draft->size < PIECE ? EXIA__MOST_PLAIN - draft->size : PIECE;
    unsigned char *place = draft->plain + draft->size;
    if (size > entry->size - offset)
        size = (size_t)(entry->size - offset);
    exia_status rc = exia__walk_read(m->fd, place, size, offset, entry->path, err);
    if (rc == EXIA_OK) {
        size = exia__draft_add(draft, framer, place, size);
        m->at += size;
        atomic_fetch_add_explicit(&m->done, size, memory_order_relaxed);
    }
    return rc;
}

static exia_status add_member(members *m, exia__draft *draft, exia__framer *framer, exia_error *err)
{
    static const char zeros[EXIA__BLOCK];
    const exia__entry *entry = &m->walk->entries[m->next];
    exia_status rc = m->at == 0 ? begin_member(m, framer, err) : EXIA_OK;
    uint64_t all = exia__tar_size(entry), content = m->header.size;
    while (rc == EXIA_OK && m->at < all && !exia__draft_full(draft, framer)) {
        if (m->at < content)
            m->at +=
                exia__draft_add(draft, framer, m->header.data + m->at, (size_t)(content - m->at));
        else if (m->at < content + entry->size)
            rc = add_content(m, draft, framer, m->at - content, err);
        else
            m->at += exia__draft_add(draft, framer, zeros, (size_t)(all - m->at));
    }
    return rc == EXIA_OK && m->at == all ? end_member(m, err) : rc;
}

static exia_status fill_members(exia__draft *draft, exia__framer *framer, void *payload,
                                exia_error *err)
{
    members *m = payload;
    exia_status rc = EXIA_OK;
    int alone = 0;
    draft->member = m->next;
    draft->skip = m->at;
    while (rc == EXIA_OK && m->next < m->walk->count && !exia__draft_full(draft, framer)) {
        int large = m->walk->entries[m->next].size >= EXIA__LARGE_FILE;
        if (draft->size > 0 && (alone || (large && m->at == 0)))
            break;
        alone = large;
        rc = add_member(m, draft, framer, err);
    }
    return rc;
}

/* ---- digests -------------------------------------------------------------------------------------- */

/* Hash the files that lie whole in the draft, or the parts of those that do not. */
static exia_status hash_files(members *m, const exia__draft *draft, int whole, exia__hash *hash,
                              exia_error *err)
{
    exia_status rc = EXIA_OK;
    int64_t size = (int64_t)draft->size, at = -(int64_t)draft->skip; /* of a member, in the draft */
    for (size_t i = draft->member; i < m->walk->count && at < size && rc == EXIA_OK; i++) {
        exia__entry *entry = &m->walk->entries[i];
        int64_t from = at + (int64_t)header_size(entry), to = from + (int64_t)entry->size;
        at += (int64_t)exia__tar_size(entry);
        if (entry->type != 'f' || whole != (from >= 0 && to <= size) || from > size ||
            (from < 0 && to <= 0))
            continue;
        int64_t first = from < 0 ? 0 : from, end = to < size ? to : size;
        rc = exia__hash_update(hash, draft->plain + first, (size_t)(end - first), err);
        if (rc == EXIA_OK && to <= size)
            rc = exia__hash_finish(entry->digest, hash, err);
    }
    return rc;
}

static exia_status hash_whole(const exia__draft *draft, exia__hash *hash, void *payload,
                              exia_error *err)
{
    return hash_files(payload, draft, 1, hash, err);
}

static exia_status hash_parts(const exia__draft *draft, void *payload, exia_error *err)
{
    members *m = payload;
    return hash_files(m, draft, 0, m->hash, err);
}

static exia_status step_members(void *payload, exia_error *err)
{
    members *m = payload;
    return exia__work_step(m->work, "packing", atomic_load(&m->done), m->total, err);
}

exia_status exia__write_members(uint64_t *size, exia__framer *framer, exia__walk *walk,
                                exia__work *work, exia_error *err)
{
    members m = {.walk = walk, .work = work, .fd = -1};
    exia__source source = {.fill = fill_members,
                           .beside = hash_whole,
                           .in_order = hash_parts,
                           .step = step_members,
                           .cuts = &exia__cuts_data};
    for (size_t i = 0; i < walk->count; i++) {
        m.total += walk->entries[i].size;
        source.size += exia__tar_size(&walk->entries[i]);
    }
    *size = m.total;
    exia_status rc = exia__hash_open(&m.hash, err);
    if (rc == EXIA_OK)
        rc = exia__framer_run(framer, &source, &m, err);
    if (m.fd >= 0)
        close(m.fd);
    exia__hash_free(m.hash);
    exia__buffer_free(&m.header);
    return rc;
}

/* ---- RECORD --------------------------------------------------------------------------------------- */

/* It is made twice, for its size and digest and for the frames, rather than kept in memory. */
typedef struct record {
    const exia__walk *walk;
    exia__work *work;
    exia__entry entry; /* its own */
    size_t next;       /* the line to be made */
    exia__buffer part; /* the header, a line, or the padding, */
    size_t at;         /* and how much of it was added */
    enum { HEADER, LINES, END } state;
} record;

static exia_status measure(record *r, char hex[EXIA__HEX_SIZE], exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia__hash *hash = NULL;
    exia_status rc = exia__hash_open(&hash, err);
    for (size_t i = 0; i < r->walk->count && rc == EXIA_OK; i++) {
        r->part.size = 0;
        rc = exia__record_line(&r->part, &r->walk->entries[i], err);
        r->entry.size += r->part.size;
        if (rc == EXIA_OK)
            rc = exia__hash_update(hash, r->part.data, r->part.size, err);
        if (rc == EXIA_OK && r->entry.size > exia__record_most(i + 1))
            rc =
                exia__fail(err, EXIA_EINVAL, 0,
                           "the paths of the members are too long together: a package has room for "
                           "64 MiB and 256 bytes a member");
        if (rc == EXIA_OK)
            rc = exia__work_step(r->work, "recording", i, r->walk->count, err);
    }
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, hash, err);
    if (rc == EXIA_OK)
        exia__hex(hex, digest, sizeof digest);
    r->part.size = 0;
    exia__hash_free(hash);
    return rc;
}

/* The next part; an empty one at the end. */
static exia_status next_part(record *r, exia__framer *framer, exia_error *err)
{
    static const char zeros[EXIA__BLOCK];
    r->at = r->part.size = 0;
    if (r->state == HEADER) {
        r->state = LINES;
        exia__framer_member(framer, exia__tar_size(&r->entry));
        return exia__tar_header(&r->part, &r->entry, err);
    }
    if (r->state == LINES && r->next < r->walk->count)
        return exia__record_line(&r->part, &r->walk->entries[r->next++], err);
    if (r->state == END)
        return EXIA_OK;
    r->state = END;
    return exia__buffer_append(&r->part, zeros, (size_t)exia__tar_padding(r->entry.size), err);
}

static exia_status fill_record(exia__draft *draft, exia__framer *framer, void *payload,
                               exia_error *err)
{
    record *r = payload;
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK && !exia__draft_full(draft, framer)) {
        if (r->at == r->part.size) {
            rc = next_part(r, framer, err);
            if (r->part.size == 0)
                break;
        } else {
            r->at += exia__draft_add(draft, framer, r->part.data + r->at, r->part.size - r->at);
        }
    }
    return rc;
}

static exia_status step_record(void *payload, exia_error *err)
{
    record *r = payload;
    return exia__work_step(r->work, "recording", r->walk->count, r->walk->count, err);
}

exia_status exia__write_record(uint64_t *size, char hex[EXIA__HEX_SIZE], exia__framer *framer,
                               const exia__walk *walk, exia__work *work, exia_error *err)
{
    record r = {.walk = walk,
                .work = work,
                .entry = {.path = EXIA__RECORD_PATH, .type = 'f', .mode = 0644}};
    exia__source source = {.fill = fill_record, .step = step_record, .cuts = &exia__cuts_record};
    exia_status rc = measure(&r, hex, err);
    *size = source.size = r.entry.size;
    if (rc == EXIA_OK)
        rc = exia__framer_run(framer, &source, &r, err);
    exia__buffer_free(&r.part);
    return rc;
}
