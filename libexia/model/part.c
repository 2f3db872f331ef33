/* Storing one part.  A file is read twice, once for its name and once for the store; the second reading
 * is hashed too, so that a file which changes meanwhile is never stored as another. */
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

enum { BLOCK = 1 << 20 };

typedef struct reading {
    exia__work *work;
    const exia_part *part;
    int fd;
    uint64_t next; /* hashed so far, while the store reads in order */
    exia__hash *hash;
    char sha256[EXIA__HEX_SIZE];
    struct stat info; /* of the file, before */
} reading;

static exia_status changed(const reading *now, exia_error *err)
{
    return exia__fail(err, EXIA_ECONFLICT, 0, "%s changed while it was read", now->part->path);
}

static exia_status finish_hash(char hex[EXIA__HEX_SIZE], reading *now, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc = exia__hash_finish(digest, now->hash, err);
    if (rc == EXIA_OK)
        exia__hex(hex, digest, sizeof digest);
    return rc;
}

static exia_status read_file(void *into, uint64_t offset, size_t size, void *payload,
                             exia_error *err)
{
    reading *now = payload;
    char hex[EXIA__HEX_SIZE];
    exia_status rc = exia__read_at(now->fd, into, size, offset, now->part->path, err);
    if (rc == EXIA_ECORRUPT)
        return changed(now, err);
    if (rc < 0)
        return rc;
    if (offset == 0 && now->next != 0) { /* the store starts over */
        now->next = 0;
        rc = finish_hash(hex, now, err);
    }
    if (rc < 0 || offset != now->next)
        return rc;
    rc = exia__hash_update(now->hash, into, size, err);
    now->next += size;
    if (rc == EXIA_OK && now->next == (uint64_t)now->info.st_size) {
        rc = finish_hash(hex, now, err);
        now->next = 0;
        if (rc == EXIA_OK && strcmp(hex, now->sha256) != 0)
            rc = changed(now, err);
    }
    return rc;
}

static exia_status open_file(reading *now, exia_error *err)
{
    const char *path = now->part->path;
    now->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not block */
    if (now->fd < 0 || fstat(now->fd, &now->info) != 0)
        return exia__fail_errno(err, errno, "cannot read", path);
    if (!S_ISREG(now->info.st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", path);
    return EXIA_OK;
}

static exia_status same_file(const reading *now, exia_error *err)
{
    struct stat info;
    if (fstat(now->fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", now->part->path);
    int same = info.st_size == now->info.st_size &&
               info.st_mtim.tv_sec == now->info.st_mtim.tv_sec &&
               info.st_mtim.tv_nsec == now->info.st_mtim.tv_nsec;
    return same ? EXIA_OK : changed(now, err);
}

static exia_status hash_file(reading *now, exia_error *err)
{
    uint64_t total = (uint64_t)now->info.st_size;
    char *block = exia__resize(NULL, BLOCK);
    exia_status rc = block ? exia__hash_open(&now->hash, err) : exia__fail_memory(err);
    for (uint64_t at = 0; at < total && rc == EXIA_OK;) {
        size_t size = total - at < BLOCK ? (size_t)(total - at) : BLOCK;
        rc = exia__work_step(now->work, "hashing", at, total, err);
        if (rc == EXIA_OK)
            rc = exia__read_at(now->fd, block, size, at, now->part->path, err);
        if (rc == EXIA_ECORRUPT)
            rc = changed(now, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(now->hash, block, size, err);
        at += size;
    }
    if (rc == EXIA_OK)
        rc = finish_hash(now->sha256, now, err);
    exia__release(block);
    return rc;
}

static exia_status store_blob(char **key, exia_library *library, const exia_source *source,
                              const exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    return exia__blob_store(key, library, source, &job, err);
}

/* The part's member of the log entry: its digest and size, and where it is kept. */
static exia_status describe(json_t **out, const exia_part *part, const char *sha256, uint64_t size,
                            const char *where, const char *kept, exia_error *err)
{
    *out = json_pack("{s:s, s:s, s:I, s:s, s:s}", "name", part->name, "format", part->format,
                     "size", (json_int_t)size, "sha256", sha256, where, kept);
    return *out ? EXIA_OK : exia__fail_memory(err);
}

static exia_status store_file(json_t **out, exia_library *library, const exia_part *part,
                              exia__work *work, exia_error *err)
{
    reading now = {.work = work, .part = part, .fd = -1};
    char *key = NULL;
    exia_status rc = open_file(&now, err);
    if (rc == EXIA_OK)
        rc = hash_file(&now, err);
    if (rc == EXIA_OK)
        rc = same_file(&now, err);
    exia_source source = {read_file, (uint64_t)now.info.st_size, now.sha256, &now};
    if (rc == EXIA_OK && library != NULL)
        rc = store_blob(&key, library, &source, work, err);
    if (rc == EXIA_OK)
        rc = same_file(&now, err);
    if (rc == EXIA_OK)
        rc = describe(out, part, now.sha256, source.size, "key", key ? key : "", err);
    if (now.fd >= 0)
        close(now.fd);
    exia__hash_free(now.hash);
    exia__release(key);
    return rc;
}

exia_status exia__bytes_store(char **key, exia_library *library, const void *data, size_t size,
                              const char *sha256, const exia__work *work, exia_error *err)
{
    exia_source source = exia__source_memory(data, size);
    source.sha256 = sha256;
    return store_blob(key, library, &source, work, err);
}

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

static exia_status hash_memory(char hex[EXIA__HEX_SIZE], const memory *now, uint64_t total,
                               exia__work *work, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia__hash *hash = NULL;
    uint64_t done = 0;
    exia_status rc = exia__hash_open(&hash, err);
    for (size_t i = 0; i < now->count && rc == EXIA_OK; i++) {
        const exia_slice *piece = &now->pieces[i];
        for (size_t at = 0; at < piece->size && rc == EXIA_OK;) {
            size_t size = piece->size - at < BLOCK ? piece->size - at : BLOCK;
            rc = exia__work_step(work, "hashing", done, total, err);
            if (rc == EXIA_OK)
                rc = exia__hash_update(hash, (const char *)piece->data + at, size, err);
            at += size;
            done += size;
        }
    }
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, hash, err);
    if (rc == EXIA_OK)
        exia__hex(hex, digest, sizeof digest);
    exia__hash_free(hash);
    return rc;
}

static exia_status encode_memory(char **out, memory *now, size_t size, exia_error *err)
{
    char bytes[EXIA__INLINE_LIMIT];
    exia_status rc = read_memory(bytes, 0, size, now, err);
    return rc == EXIA_OK ? exia__base64_encode(out, bytes, size, err) : rc;
}

static exia_status store_memory(json_t **out, exia_library *library, const exia_part *part,
                                int within, exia__work *work, exia_error *err)
{
    char sha256[EXIA__HEX_SIZE], *kept = NULL;
    memory now;
    memory_of(&now, part);
    exia_source source = {read_memory, exia__part_size(part), sha256, &now};
    exia_status rc = hash_memory(sha256, &now, source.size, work, err);
    if (rc == EXIA_OK && library != NULL)
        rc = within ? encode_memory(&kept, &now, (size_t)source.size, err)
                    : store_blob(&kept, library, &source, work, err);
    if (rc == EXIA_OK)
        rc = describe(out, part, sha256, source.size, within ? "inline" : "key", kept ? kept : "",
                      err);
    exia__release(kept);
    return rc;
}

exia_status exia__part_store(json_t **out, exia_library *library, const exia_part *part, int within,
                             exia__work *work, exia_error *err)
{
    *out = NULL;
    exia_status rc = part->path ? store_file(out, library, part, work, err)
                                : store_memory(out, library, part, within, work, err);
    return rc < 0 ? exia__prefix(err, rc, "part %s", part->name) : rc;
}
