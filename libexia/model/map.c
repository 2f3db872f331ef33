/* The bytes of a part in this process.  A local file is mapped privately: no copy, pages shared between
 * processes, and what a caller writes stays in this mapping.  A blob of a remote store becomes such
 * a file in the cache, where it can.  Where pages would come one by one over a network, and where the
 * bytes must be checked before they are used, they are read into memory.
 *
 * A private mapping that may be written to counts in full against what the kernel may promise
 * (vm.overcommit_memory 2, where MAP_NORESERVE means nothing) and against RLIMIT_DATA, whether it is
 * written to or not; one for reading counts nowhere.  So each is made for reading first, and stays
 * so when the kernel does not promise more. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "model/library.h"
#include "store/cache.h"

enum { ALIGNMENT = 64, BLOCK = 8 << 20 };

/* `size` bytes on a 64-byte boundary, and three more that a decoder may write behind them. */
static exia_status allocate(exia__open_part *part, exia_error *err)
{
    if (part->size > SIZE_MAX / 2)
        return exia__fail_memory(err);
    part->memory = exia__resize(NULL, part->size + ALIGNMENT + 3);
    if (part->memory == NULL)
        return exia__fail_memory(err);
    part->data = (void *)(((uintptr_t)part->memory + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
    return EXIA_OK;
}

static exia_status check_digest(exia__open_part *part, exia_error *err)
{
    char hex[EXIA__HEX_SIZE];
    exia_status rc = exia__hash_hex(hex, part->data, part->size, err);
    if (rc == EXIA_OK && strcmp(hex, part->sha256) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "its SHA-256 is %s, not %s", hex, part->sha256);
    part->compared = rc == EXIA_OK;
    return rc;
}

static int is_remote(int fd)
{
    struct statfs info;
    return fstatfs(fd, &info) == 0 && exia__is_network((uint32_t)info.f_type);
}

static exia_status map(exia__open_part *part, unsigned flags, exia_error *err)
{
    /* Populated while it is for reading: with PROT_WRITE every page would be copied.  No reserve: a
     * model may be larger than memory, and few of its pages are ever written. */
    int populate = flags & EXIA_OPEN_POPULATE ? MAP_POPULATE : 0;
    void *data =
        mmap(NULL, part->size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE | populate, part->fd, 0);
    if (data == MAP_FAILED)
        return exia__fail_errno(err, errno, "cannot map", part->path);
    part->data = data;
    part->mapped = part->size;
    if (!part->writable || mprotect(data, part->size, PROT_READ | PROT_WRITE) == 0)
        return EXIA_OK;
    if (errno != ENOMEM)
        return exia__fail_errno(err, errno, "cannot map", part->path);
    part->writable = 0;
    exia__log(EXIA_LOG_INFO, "model", "%s is mapped for reading only: no memory is left to promise",
              part->path);
    return EXIA_OK;
}

static exia_status read_whole(exia__open_part *part, exia_error *err)
{
    exia_status rc = allocate(part, err);
    posix_fadvise(part->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (size_t at = 0; at < part->size && rc == EXIA_OK;) {
        size_t size = part->size - at < BLOCK ? part->size - at : BLOCK;
        rc = exia__read_at(part->fd, (char *)part->data + at, size, at, part->path, err);
        at += size;
    }
    return rc;
}

/* The part has its path and descriptor. */
static exia_status fill(exia__open_part *part, unsigned flags, exia_error *err)
{
    struct stat info;
    exia_status rc = EXIA_OK;
    int verify = flags & EXIA_OPEN_VERIFY;
    part->writable = !(flags & EXIA_OPEN_READ_ONLY);
    if (fstat(part->fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot open", part->path);
    if (!S_ISREG(info.st_mode))
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s is no regular file", part->path);
    if ((uint64_t)info.st_size != part->size)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s has %lld bytes, not %zu", part->path,
                          (long long)info.st_size, part->size);
    if (part->size == 0)
        rc = allocate(part, err);
    else if (verify || is_remote(part->fd))
        rc = read_whole(part, err);
    else
        rc = map(part, flags, err);
    return rc == EXIA_OK && verify ? check_digest(part, err) : rc;
}

exia_status exia__part_from_file(exia__open_part *part, const char *path, unsigned flags,
                                 exia_error *err)
{
    exia_status rc = exia__text_copy(&part->path, path, err);
    if (rc < 0)
        return rc;
    part->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return part->fd < 0 ? exia__fail_errno(err, errno, "cannot open", path)
                        : fill(part, flags, err);
}

static exia_status read_from_store(exia__open_part *part, exia__blobs *blobs, const char *key,
                                   unsigned flags, const exia_job *job, exia_error *err)
{
    exia_status rc = allocate(part, err);
    part->writable = !(flags & EXIA_OPEN_READ_ONLY);
    if (rc == EXIA_OK)
        rc = exia__blob_read(part->data, part->size, blobs, key, job, err);
    return rc == EXIA_OK ? check_digest(part, err) : rc;
}

exia_status exia__part_from_blob(exia__open_part *part, exia__blobs *blobs, const char *key,
                                 unsigned flags, const exia__work *work, exia_error *err)
{
    exia__cached cached;
    exia_job job = exia__work_rest(work);
    exia_status rc = exia__cache_fetch(&cached, blobs, key, part->sha256, part->size, &job, err);
    if (rc == EXIA_OK) {
        part->fd = cached.fd;
        part->path = cached.path;
        part->cached = 1;
        rc = fill(part, flags, err);
        if (rc != EXIA_ECORRUPT)
            return rc;
        exia__cache_forget(&cached);
        exia__part_close(part);
        part->fd = -1;
        part->cached = 0;
        part->path = part->memory = part->data = NULL;
        rc = EXIA_EUNSUPPORTED;
    }
    if (rc != EXIA_EUNSUPPORTED)
        return rc;
    exia__forgive(err);
    job = exia__work_rest(work); /* the cache took its time */
    return read_from_store(part, blobs, key, flags, &job, err);
}

exia_status exia__part_from_text(exia__open_part *part, const char *base64, unsigned flags,
                                 exia_error *err)
{
    exia_status rc = allocate(part, err);
    part->writable = !(flags & EXIA_OPEN_READ_ONLY);
    if (rc == EXIA_OK)
        rc = exia__base64_decode(part->data, part->size, base64, err);
    return rc == EXIA_OK && (flags & EXIA_OPEN_VERIFY) ? check_digest(part, err) : rc;
}

void exia__part_close(exia__open_part *part)
{
    exia__tensors_free(atomic_load_explicit(&part->tensors, memory_order_acquire));
    if (part->mapped > 0)
        munmap(part->data, part->mapped);
    if (part->fd >= 0)
        close(part->fd);
    exia__release(part->memory);
    exia__release(part->path);
}
