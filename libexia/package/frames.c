/* Frames: the cutter says where, zstd compresses each by itself, their sizes and digests are kept for
 * the end of the file.  What a fast sample finds incompressible is stored at memory speed. */
#include "package/frames.h"

#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "package/format.h"

enum {
    SPOTS = 4,
    SPOT = 16 << 10,
    STORE_LEVEL = -50 /* finds next to nothing, and so keeps blocks raw */
};

struct exia__framer {
    int fd, level;
    const char *path;
    ZSTD_CCtx *zstd;
    exia__hash *hash;
    exia__cutter cutter;
    uint64_t left;                 /* of the member */
    unsigned char *plain, *packed; /* the frame that is begun, and room for it compressed */
    size_t packed_size;
    exia__buffer table, digests; /* entries of the seek table; 32 bytes a frame */
};

exia_status exia__framer_open(exia__framer **out, int fd, const char *path, int level,
                              exia_error *err)
{
    *out = NULL;
    exia__framer *framer = exia__zeroed(1, sizeof *framer);
    if (framer == NULL)
        return exia__fail_memory(err);
    framer->fd = fd;
    framer->level = level;
    framer->path = path;
    framer->packed_size = ZSTD_compressBound(EXIA__MOST_PLAIN);
    framer->zstd = ZSTD_createCCtx();
    framer->plain = exia__resize(NULL, EXIA__MOST_PLAIN);
    framer->packed = exia__resize(NULL, framer->packed_size);
    exia_status rc = framer->zstd == NULL || framer->plain == NULL || framer->packed == NULL
                         ? exia__fail_memory(err)
                         : exia__hash_open(&framer->hash, err);
    exia__cutter_open(&framer->cutter);
    exia__cutter_begin(&framer->cutter, &exia__cuts_data);
    if (rc == EXIA_OK)
        *out = framer;
    else
        exia__framer_free(framer);
    return rc;
}

void exia__framer_free(exia__framer *framer)
{
    if (framer == NULL)
        return;
    ZSTD_freeCCtx(framer->zstd);
    exia__hash_free(framer->hash);
    exia__release(framer->plain);
    exia__release(framer->packed);
    exia__buffer_free(&framer->table);
    exia__buffer_free(&framer->digests);
    exia__release(framer);
}

uint64_t exia__framer_count(const exia__framer *framer)
{
    return framer->table.size / EXIA__TABLE_ENTRY;
}

/* Append bytes that are a whole frame to the file and to the seek table. */
static exia_status put_frame(exia__framer *framer, const void *data, size_t size, size_t plain,
                             exia_error *err)
{
    unsigned char entry[EXIA__TABLE_ENTRY];
    exia__put32(entry, (uint32_t)size);
    exia__put32(entry + 4, (uint32_t)plain);
    exia_status rc = exia__buffer_append(&framer->table, entry, sizeof entry, err);
    return rc == EXIA_OK ? exia__write_all(framer->fd, data, size, framer->path, err) : rc;
}

static exia_status compress(size_t *out, exia__framer *framer, void *into, size_t room,
                            const void *data, size_t size, int level, exia_error *err)
{
    size_t rc = ZSTD_CCtx_reset(framer->zstd, ZSTD_reset_session_and_parameters);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(framer->zstd, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(framer->zstd, ZSTD_c_checksumFlag, 1);
    if (!ZSTD_isError(rc))
        rc = ZSTD_compress2(framer->zstd, into, room, data, size);
    *out = rc;
    if (!ZSTD_isError(rc))
        return EXIA_OK;
    if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
        return exia__fail_memory(err);
    return exia__fail(err, EXIA_EUNSUPPORTED, 0, "libzstd cannot compress at level %d: %s", level,
                      ZSTD_getErrorName(rc));
}

/* A few spots tell whether the frame is worth the work: at least 3 % smaller at level 1. */
static exia_status choose_level(int *level, exia__framer *framer, size_t size, exia_error *err)
{
    size_t total = 0, once = 0;
    exia_status rc = EXIA_OK;
    *level = framer->level;
    if (size < 2 * SPOTS * SPOT)
        return EXIA_OK;
    for (size_t i = 0; i < SPOTS && rc == EXIA_OK; i++) {
        size_t at = (size - SPOT) / (SPOTS - 1) * i;
        rc = compress(&once, framer, framer->packed, framer->packed_size, framer->plain + at, SPOT,
                      1, err);
        total += once;
    }
    if (rc == EXIA_OK && total * 100 >= (size_t)SPOTS * SPOT * 97)
        *level = STORE_LEVEL;
    return rc;
}

exia_status exia__framer_flush(exia__framer *framer, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    size_t size = framer->cutter.filled, packed = 0;
    int level = 0;
    if (size == 0)
        return EXIA_OK;
    exia_status rc = choose_level(&level, framer, size, err);
    if (rc == EXIA_OK)
        rc = compress(&packed, framer, framer->packed, framer->packed_size, framer->plain, size,
                      level, err);
    if (rc == EXIA_OK)
        rc = exia__hash_update(framer->hash, framer->packed, packed, err);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, framer->hash, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(&framer->digests, digest, sizeof digest, err);
    if (rc == EXIA_OK)
        rc = put_frame(framer, framer->packed, packed, size, err);
    exia__cuts cuts = framer->cutter.cuts;
    exia__cutter_begin(&framer->cutter, &cuts);
    return rc;
}

exia_status exia__framer_cuts(exia__framer *framer, const exia__cuts *cuts, exia_error *err)
{
    exia_status rc = exia__framer_flush(framer, err);
    exia__cutter_begin(&framer->cutter, cuts);
    return rc;
}

void exia__framer_member(exia__framer *framer, uint64_t size)
{
    framer->left = size;
}

exia_status exia__framer_add(exia__framer *framer, const void *data, size_t size, exia_error *err)
{
    const unsigned char *from = data;
    exia_status rc = EXIA_OK;
    while (size > 0 && rc == EXIA_OK) {
        size_t filled = framer->cutter.filled;
        size_t taken = exia__cutter_take(&framer->cutter, from, size, framer->left);
        memcpy(framer->plain + filled, from, taken);
        from += taken;
        size -= taken;
        framer->left -= taken;
        if (framer->cutter.filled == framer->cutter.end)
            rc = exia__framer_flush(framer, err);
    }
    return rc;
}

exia_status exia__framer_digests(char *hex, exia__framer *framer, exia_error *err)
{
    exia__buffer frame = {0};
    unsigned char header[EXIA__SKIPPABLE_HEADER + EXIA__DIGESTS_HEADER];
    size_t size = framer->digests.size;
    exia__put32(header, EXIA__DIGESTS_MAGIC);
    exia__put32(header + 4, (uint32_t)(EXIA__DIGESTS_HEADER + size));
    memcpy(header + 8, "VEDA", 4);
    exia__put32(header + 12, EXIA__FORMAT);
    exia__put32(header + 16, (uint32_t)(size / EXIA__DIGEST_SIZE));
    exia_status rc = exia__hash_hex(hex, framer->digests.data, size, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(&frame, header, sizeof header, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(&frame, framer->digests.data, size, err);
    if (rc == EXIA_OK)
        rc = put_frame(framer, frame.data, frame.size, 0, err);
    exia__buffer_free(&frame);
    return rc;
}

exia_status exia__framer_stored(exia__framer *framer, const void *data, size_t size,
                                exia_error *err)
{
    exia__buffer frame = {0};
    exia_status rc = exia__stored_frame(&frame, data, size, err);
    if (rc == EXIA_OK)
        rc = put_frame(framer, frame.data, frame.size, size, err);
    exia__buffer_free(&frame);
    return rc;
}

exia_status exia__framer_table(exia__framer *framer, exia_error *err)
{
    unsigned char header[EXIA__SKIPPABLE_HEADER], footer[EXIA__TABLE_FOOTER] = {0};
    size_t size = framer->table.size;
    exia__put32(header, EXIA__TABLE_MAGIC);
    exia__put32(header + 4, (uint32_t)(size + EXIA__TABLE_FOOTER));
    exia__put32(footer, (uint32_t)(size / EXIA__TABLE_ENTRY));
    exia__put32(footer + 5, EXIA__FOOTER_MAGIC);
    exia_status rc = exia__write_all(framer->fd, header, sizeof header, framer->path, err);
    if (rc == EXIA_OK)
        rc = exia__write_all(framer->fd, framer->table.data, size, framer->path, err);
    if (rc == EXIA_OK)
        rc = exia__write_all(framer->fd, footer, sizeof footer, framer->path, err);
    return rc;
}
