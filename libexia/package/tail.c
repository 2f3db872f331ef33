/* The tail of a package: its parts lie in stored frames, so that they can be read as they are, and
 * who signs writes only the last of them anew. */
#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/error.h"
#include "base/memory.h"
#include "package/format.h"

/* The checksum of a frame, which libzstd does not give by itself, is the last four bytes of what it
 * makes of the same content. */
static exia_status put_checksum(exia__buffer *out, const void *data, size_t size, exia_error *err)
{
    exia_status rc = EXIA_OK;
    size_t room = ZSTD_compressBound(size), got = 0;
    char *packed = exia__resize(NULL, room);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    if (packed == NULL || zstd == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    got = ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, 1);
    if (!ZSTD_isError(got))
        got = ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
    if (!ZSTD_isError(got))
        got = ZSTD_compress2(zstd, packed, room, data, size);
    if (!ZSTD_isError(got))
        rc = exia__buffer_append(out, packed + got - 4, 4, err);
    else if (ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation)
        rc = exia__fail_memory(err);
    else
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0, "libzstd cannot store: %s",
                        ZSTD_getErrorName(got));
done:
    ZSTD_freeCCtx(zstd);
    exia__release(packed);
    return rc;
}

exia_status exia__stored_frame(exia__buffer *out, const void *data, size_t size, exia_error *err)
{
    unsigned char header[EXIA__STORED_HEADER];
    const char *from = data;
    exia__put32(header, EXIA__FRAME_MAGIC);
    header[4] = EXIA__STORED_DESCRIPTOR;
    exia__put32(header + 5, (uint32_t)size);
    exia_status rc = exia__buffer_append(out, header, sizeof header, err);
    for (size_t at = 0; at < size && rc == EXIA_OK; at += EXIA__STORED_BLOCK) {
        size_t more = size - at < EXIA__STORED_BLOCK ? size - at : EXIA__STORED_BLOCK;
        unsigned char block[4];
        exia__put32(block, (uint32_t)more << 3 | (at + more == size));
        rc = exia__buffer_append(out, block, 3, err);
        if (rc == EXIA_OK)
            rc = exia__buffer_append(out, from + at, more, err);
    }
    return rc == EXIA_OK ? put_checksum(out, data, size, err) : rc;
}

exia_status exia__tar_own(exia__buffer *out, const char *path, const char *text, exia_error *err)
{
    static const char zeros[EXIA__BLOCK];
    exia__entry entry = {.path = path, .type = 'f', .mode = 0644, .size = strlen(text)};
    exia_status rc = exia__tar_header(out, &entry, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(out, text, (size_t)entry.size, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(out, zeros, (size_t)exia__tar_padding(entry.size), err);
    return rc;
}

exia_status exia__tar_end(exia__buffer *out, const char *signature, exia_error *err)
{
    static const char zeros[2 * EXIA__BLOCK];
    out->size = 0;
    exia_status rc = signature ? exia__tar_own(out, EXIA__SIGNATURE_PATH, signature, err) : EXIA_OK;
    return rc == EXIA_OK ? exia__buffer_append(out, zeros, sizeof zeros, err) : rc;
}
