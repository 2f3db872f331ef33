/* The tar of a package by position.  A frame is read, its digest compared when asked for, and
 * decompressed into memory whose size the index has capped before. */
#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "package/reader.h"

exia_status exia__stream_open(exia__stream *out, const exia_package *package, int check,
                              exia_error *err)
{
    *out = (exia__stream){.package = package, .frame = SIZE_MAX, .check = check};
    out->zstd = ZSTD_createDCtx();
    exia_status rc = out->zstd ? exia__hash_open(&out->hash, err) : exia__fail_memory(err);
    if (rc < 0)
        exia__stream_free(out);
    return rc;
}

void exia__stream_free(exia__stream *stream)
{
    ZSTD_freeDCtx(stream->zstd);
    exia__hash_free(stream->hash);
    exia__release(stream->packed);
    exia__release(stream->plain);
    *stream = (exia__stream){.frame = SIZE_MAX};
}

static exia_status bad_frame(const exia__stream *stream, size_t index, const char *why,
                             exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is damaged: frame %zu of %zu %s",
                      stream->package->path, index + 1, stream->package->frame_count, why);
}

static exia_status room(unsigned char **memory, size_t *have, size_t need, exia_error *err)
{
    if (need <= *have)
        return EXIA_OK;
    unsigned char *more = exia__resize(*memory, need);
    if (more == NULL)
        return exia__fail_memory(err);
    *memory = more;
    *have = need;
    return EXIA_OK;
}

/* What decompresses at once needs no window, but a reader of streams and `tar --zstd` would have to
 * find the memory. */
static const char *frame_fault(const unsigned char *packed, size_t size, size_t plain)
{
    /* the magic too, for libzstd may know older formats */
    if (size < EXIA__FRAME_LEAST || exia__get32(packed) != EXIA__FRAME_MAGIC)
        return "is no frame of zstd";
    if ((packed[4] & EXIA__FRAME_SINGLE) == 0 && packed[5] > EXIA__FRAME_WINDOW)
        return "wants a window of more than 4 MiB";
    if (ZSTD_getFrameContentSize(packed, size) != plain ||
        ZSTD_findFrameCompressedSize(packed, size) != size)
        return "has not the size in the index";
    return NULL;
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

static exia_status load(exia__stream *stream, size_t index, exia_error *err)
{
    const exia__frame *frame = &stream->package->frames[index];
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc = EXIA_OK;
    stream->frame = SIZE_MAX;
    rc = room(&stream->packed, &stream->packed_room, frame->size, err);
    if (rc == EXIA_OK)
        rc = room(&stream->plain, &stream->plain_room, frame->plain, err);
    if (rc == EXIA_OK)
        rc = exia__read_at(stream->package->fd, stream->packed, frame->size, frame->offset,
                           stream->package->path, err);
    if (rc == EXIA_OK && stream->check) {
        rc = exia__hash_update(stream->hash, stream->packed, frame->size, err);
        if (rc == EXIA_OK)
            rc = exia__hash_finish(digest, stream->hash, err);
        if (rc == EXIA_OK && memcmp(digest, frame->digest, sizeof digest) != 0)
            rc = bad_frame(stream, index, "is not what was written", err);
    }
    if (rc < 0)
        return rc;
    const char *why = NULL;
    rc = exia__frame_decode(&why, stream->plain, frame->plain, stream->packed, frame->size,
                            stream->zstd, err);
    if (rc < 0 || why != NULL)
        return rc < 0 ? rc : bad_frame(stream, index, why, err);
    stream->frame = index;
    return EXIA_OK;
}

exia_status exia__stream_at(const unsigned char **data, size_t *size, exia__stream *stream,
                            uint64_t at, exia_error *err)
{
    const exia__frame *frames = stream->package->frames;
    /* the data and RECORD frames have content each, so positions grow from frame to frame */
    size_t low = 0, high = (size_t)(stream->package->metadata.data_frames +
                                    stream->package->metadata.record_frames);
    size_t index = stream->frame;
    if (index == SIZE_MAX || at < frames[index].start ||
        at - frames[index].start >= frames[index].plain) {
        while (high - low > 1) {
            size_t middle = low + (high - low) / 2;
            if (frames[middle].start <= at)
                low = middle;
            else
                high = middle;
        }
        index = low;
        exia_status rc = load(stream, index, err);
        if (rc < 0)
            return rc;
        if (at - frames[index].start >= frames[index].plain)
            return bad_frame(stream, index, "ends too early", err);
    }
    *data = stream->plain + (at - frames[index].start);
    *size = frames[index].plain - (size_t)(at - frames[index].start);
    return EXIA_OK;
}

exia_status exia__stream_copy(exia__stream *stream, void *into, uint64_t at, size_t size,
                              exia_error *err)
{
    char *to = into;
    while (size > 0) {
        const unsigned char *data = NULL;
        size_t got = 0;
        exia_status rc = exia__stream_at(&data, &got, stream, at, err);
        if (rc < 0)
            return rc;
        got = got < size ? got : size;
        memcpy(to, data, got);
        to += got;
        at += got;
        size -= got;
    }
    return EXIA_OK;
}
