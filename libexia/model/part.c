/* Storing one part: what its bytes are read from, and its member of the log entry.  A file that changes
 * while it is read is a conflict, whatever of it was read. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "model/library.h"

/* ---- from a file ---------------------------------------------------------------------------- */

typedef struct file {
    const char *path;
    int fd;
    struct stat info; /* as it was opened */
} file;

static exia_status changed(const file *now, exia_error *err)
{
    return exia__fail(err, EXIA_ECONFLICT, 0, "%s changed while it was read", now->path);
}

static exia_status open_file(file *now, exia_error *err)
{
    now->fd = open(now->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not block */
    if (now->fd < 0 || fstat(now->fd, &now->info) != 0)
        return exia__fail_errno(err, errno, "cannot read", now->path);
    if (!S_ISREG(now->info.st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", now->path);
    return EXIA_OK;
}

static exia_status same_file(const file *now, exia_error *err)
{
    struct stat info;
    if (fstat(now->fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", now->path);
    int same = info.st_size == now->info.st_size &&
               info.st_mtim.tv_sec == now->info.st_mtim.tv_sec &&
               info.st_mtim.tv_nsec == now->info.st_mtim.tv_nsec;
    return same ? EXIA_OK : changed(now, err);
}

static exia_status read_file(void *into, uint64_t offset, size_t size, void *payload,
                             exia_error *err)
{
    const file *now = payload;
    exia_status rc = exia__read_at(now->fd, into, size, offset, now->path, err);
    if (rc == EXIA_ECORRUPT)
        return changed(now, err);
    if (rc == EXIA_OK && offset + size == (uint64_t)now->info.st_size)
        rc = same_file(now, err); /* before the store names what it read */
    return rc;
}

/* ---- from memory ---------------------------------------------------------------------------- */

/* Memory is a list of pieces, of which plain data is one. */
typedef struct memory {
    const exia_slice *pieces;
    size_t count;
    exia_slice whole;
} memory;

static void memory_of(memory *out, const exia_part *part)
{
    out->whole = (exia_slice){part->data, part->size};
    out->pieces = part->data ? &out->whole : part->pieces;
    out->count = part->data ? 1 : part->pieces ? part->piece_count : 0;
}

uint64_t exia__part_size(const exia_part *part)
{
    memory now;
    uint64_t size = 0;
    memory_of(&now, part);
    for (size_t i = 0; i < now.count; i++)
        size += now.pieces[i].size;
    return size;
}

/* It keeps no place, for a store may read at several at once: finding one is cheap beside copying. */
static exia_status read_memory(void *into, uint64_t offset, size_t size, void *payload,
                               exia_error *err)
{
    const memory *now = payload;
    char *to = into;
    (void)err;
    for (size_t i = 0; i < now->count && size > 0; i++) {
        const exia_slice *piece = &now->pieces[i];
        if (offset >= piece->size) {
            offset -= piece->size;
            continue;
        }
        size_t some = piece->size - (size_t)offset < size ? piece->size - (size_t)offset : size;
        memcpy(to, (const char *)piece->data + offset, some);
        to += some;
        size -= some;
        offset = 0;
    }
    return EXIA_OK;
}

/* ---- storing -------------------------------------------------------------------------------- */

exia_status exia__bytes_store(char **key, exia_library *library, const void *data, size_t size,
                              const char *sha256, const exia__work *work, exia_error *err)
{
    exia_source source = exia__source_memory(data, size);
    exia_job job = exia__work_rest(work);
    source.sha256 = sha256;
    return exia__blob_store(key, library, &source, &job, err);
}

/* The part's member of the log entry: its digest and size, and where it is kept. */
static exia_status describe(json_t **out, const exia_part *part, const char *sha256, uint64_t size,
                            const char *where, const char *kept, exia_error *err)
{
    *out = json_pack("{s:s, s:s, s:I, s:s, s:s}", "name", part->name, "format", part->format,
                     "size", (json_int_t)size, "sha256", sha256, where, kept);
    return *out ? EXIA_OK : exia__fail_memory(err);
}

static exia_status keep_within(char **out, char sha256[EXIA__HEX_SIZE], const exia_source *source,
                               exia_error *err)
{
    char bytes[EXIA__INLINE_LIMIT];
    size_t size = (size_t)source->size;
    exia_status rc = source->read(bytes, 0, size, source->payload, err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(sha256, bytes, size, err);
    return rc == EXIA_OK ? exia__base64_encode(out, bytes, size, err) : rc;
}

static exia_status store_source(json_t **out, exia_library *library, const exia_part *part,
                                const exia_source *source, int within, const char *likely,
                                exia__work *work, exia_error *err)
{
    char sha256[EXIA__HEX_SIZE], *kept = NULL;
    exia_status rc = library == NULL ? exia__source_digest(sha256, source, work, err)
                     : within        ? keep_within(&kept, sha256, source, err)
                              : exia__blob_take(&kept, sha256, library, source, likely, work, err);
    if (rc == EXIA_OK)
        rc = describe(out, part, sha256, source->size, within ? "inline" : "key", kept ? kept : "",
                      err);
    exia__release(kept);
    return rc;
}

static exia_status store_file(json_t **out, exia_library *library, const exia_part *part,
                              const char *likely, exia__work *work, exia_error *err)
{
    file now = {.path = part->path, .fd = -1};
    exia_status rc = open_file(&now, err);
    exia_source source = {read_file, (uint64_t)now.info.st_size, NULL, &now};
    if (rc == EXIA_OK)
        rc = store_source(out, library, part, &source, 0, likely, work, err);
    if (rc == EXIA_OK)
        rc = same_file(&now, err);
    if (now.fd >= 0)
        close(now.fd);
    return rc;
}

static exia_status store_memory(json_t **out, exia_library *library, const exia_part *part,
                                int within, const char *likely, exia__work *work, exia_error *err)
{
    memory now;
    memory_of(&now, part);
    exia_source source = {read_memory, exia__part_size(part), NULL, &now};
    return store_source(out, library, part, &source, within, likely, work, err);
}

exia_status exia__part_store(json_t **out, exia_library *library, const exia_part *part, int within,
                             const char *likely, exia__work *work, exia_error *err)
{
    *out = NULL;
    exia_status rc = part->path ? store_file(out, library, part, likely, work, err)
                                : store_memory(out, library, part, within, likely, work, err);
    return rc < 0 ? exia__prefix(err, rc, "part %s", part->name) : rc;
}
