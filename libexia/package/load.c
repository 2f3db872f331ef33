/* One frame at a time: read, its digest compared when asked for, and decompressed into memory whose
 * size the index has capped before. */
#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "package/reader.h"

exia_status exia__loader_open(exia__loader *out, exia_error *err)
{
    *out = (exia__loader){.zstd = ZSTD_createDCtx()};
    exia_status rc = out->zstd ? exia__hash_open(&out->hash, err) : exia__fail_memory(err);
    if (rc < 0)
        exia__loader_free(out);
    return rc;
}

void exia__loader_free(exia__loader *loader)
{
    ZSTD_freeDCtx(loader->zstd);
    exia__hash_free(loader->hash);
    *loader = (exia__loader){0};
}

exia_status exia__room(void **memory, size_t *have, size_t need, exia_error *err)
{
    if (need <= *have)
        return EXIA_OK;
    exia__release(*memory); /* what was in it is not wanted any more */
    *have = 0;
    *memory = exia__resize(NULL, need);
    if (*memory == NULL)
        return exia__fail_memory(err);
    *have = need;
    return EXIA_OK;
}

size_t exia__frame_header(unsigned char descriptor)
{
    static const unsigned char of_dictionary[] = {0, 1, 2, 4}, of_content[] = {0, 2, 4, 8};
    int single = (descriptor & EXIA__FRAME_SINGLE) != 0, content = descriptor >> 6;
    return 5 + !single + of_dictionary[descriptor & 3] +
           (content == 0 ? (size_t)single : of_content[content]);
}

exia__block exia__frame_block(const unsigned char header[EXIA__BLOCK_HEADER])
{
    enum { RUN = 1 };
    uint32_t bits = header[0] | (uint32_t)header[1] << 8 | (uint32_t)header[2] << 16;
    return (exia__block){(bits >> 1 & 3) == RUN ? 1 : bits >> 3, bits >> 3, bits & 1};
}

/* Is no block larger than a window or 128 KiB?  Versions of libzstd differ in what they take, and
 * `tar --zstd` takes less than what decompresses at once.  The blocks are known to be there. */
static int blocks_fit(const unsigned char *packed, size_t plain)
{
    const unsigned char *at = packed + exia__frame_header(packed[4]);
    int single = (packed[4] & EXIA__FRAME_SINGLE) != 0;
    size_t most = single && plain < ZSTD_BLOCKSIZE_MAX ? plain : ZSTD_BLOCKSIZE_MAX;
    for (;;) {
        exia__block block = exia__frame_block(at);
        if (block.listed > most)
            return 0;
        if (block.last)
            return 1;
        at += EXIA__BLOCK_HEADER + block.size;
    }
}

/* What decompresses at once needs no window, but a reader of streams and `tar --zstd` would have to
 * find the memory. */
static const char *frame_fault(const unsigned char *packed, size_t size, size_t plain)
{
    /* the magic too, for libzstd may know older formats */
    if (size < EXIA__FRAME_LEAST || exia__get32(packed) != EXIA__FRAME_MAGIC)
        return "is no frame of zstd";
    if ((packed[4] & EXIA__FRAME_SINGLE) == 0 &&
        (packed[5] < EXIA__FRAME_BLOCK_WINDOW || packed[5] > EXIA__FRAME_WINDOW))
        return "wants a window that is not of 128 KiB to 4 MiB";
    if (ZSTD_getFrameContentSize(packed, size) != plain ||
        ZSTD_findFrameCompressedSize(packed, size) != size)
        return "has not the size in the index";
    return blocks_fit(packed, plain) ? NULL : "has a block larger than 128 KiB or its content";
}

exia_status exia__frame_decode(const char **why, void *into, size_t plain, const void *packed,
                               size_t size, void *zstd, exia_error *err)
{
    *why = frame_fault(packed, size, plain);
    if (*why != NULL)
        return EXIA_OK;
    size_t got = ZSTD_decompressDCtx(zstd, into, plain, packed, size);
    if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        return exia__fail_memory(err);
    if (got != plain)
        *why = "cannot be decompressed";
    return EXIA_OK;
}

static exia_status bad_frame(const exia_package *package, size_t index, const char *why,
                             exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is damaged: frame %zu of %zu %s", package->path,
                      index + 1, package->frame_count, why);
}

exia_status exia__frame_read(void **packed, size_t *have, const exia_package *package, size_t index,
                             exia_error *err)
{
    const exia__frame *frame = &package->frames[index];
    exia_status rc = exia__room(packed, have, frame->size, err);
    return rc == EXIA_OK ? exia__read_at(package->fd, *packed, frame->size,
                                         package->base + frame->offset, package->path, err)
                         : rc;
}

exia_status exia__frame_open(void *plain, exia__loader *loader, const exia_package *package,
                             size_t index, const void *packed, int check, exia_error *err)
{
    const exia__frame *frame = &package->frames[index];
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc = EXIA_OK;
    if (check) {
        rc = exia__hash_update(loader->hash, packed, frame->size, err);
        if (rc == EXIA_OK)
            rc = exia__hash_finish(digest, loader->hash, err);
        if (rc == EXIA_OK && memcmp(digest, frame->digest, sizeof digest) != 0)
            rc = bad_frame(package, index, "is not what was written", err);
    }
    if (rc < 0)
        return rc;
    const char *why = NULL;
    rc = exia__frame_decode(&why, plain, frame->plain, packed, frame->size, loader->zstd, err);
    return rc == EXIA_OK && why != NULL ? bad_frame(package, index, why, err) : rc;
}
