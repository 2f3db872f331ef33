/* Frames: the cutter says where, a crew compresses each by itself, their sizes and digests are kept
 * for the end of the file.  What a fast sample finds incompressible is stored at memory speed.  The
 * bytes depend on nothing but the content, the level and libzstd. */
#include "package/frames.h"

#include <string.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/crew.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "package/format.h"

enum {
    SPOTS = 4,
    SPOT = 16 << 10,
    SPARE = 4, /* frames that wait for their turn, or for a thread, besides those in work */
    MOST_THREADS = 256,
    STORE_LEVEL = -50 /* finds next to nothing, and so keeps blocks raw */
};

/* What one thread compresses with. */
typedef struct press {
    ZSTD_CCtx *zstd;
    exia__hash *hash;
} press;

struct exia__framer {
    int fd, level;
    const char *path;
    uint32_t threads;
    size_t slots, room; /* of a draft, compressed */
    press *presses;     /* one a thread */
    exia__draft *drafts;
    exia__cutter cutter;
    uint64_t left;               /* of the member */
    exia__buffer table, digests; /* entries of the seek table; 32 bytes a frame */
    const exia__source *source;
    void *payload;
};

exia_status exia__framer_open(exia__framer **out, int fd, const char *path, int level,
                              uint32_t threads, exia_error *err)
{
    *out = NULL;
    exia__framer *framer = exia__zeroed(1, sizeof *framer);
    if (framer == NULL)
        return exia__fail_memory(err);
    framer->fd = fd;
    framer->level = level;
    framer->path = path;
    framer->threads = threads < MOST_THREADS ? threads : MOST_THREADS;
    framer->slots = framer->threads > 1 ? framer->threads + SPARE : 1;
    framer->room = ZSTD_compressBound(EXIA__MOST_PLAIN);
    framer->presses = exia__zeroed(framer->threads, sizeof *framer->presses);
    framer->drafts = exia__zeroed(framer->slots, sizeof *framer->drafts);
    exia__cutter_open(&framer->cutter);
    if (framer->presses == NULL || framer->drafts == NULL) {
        exia__framer_free(framer);
        return exia__fail_memory(err);
    }
    *out = framer;
    return EXIA_OK;
}

void exia__framer_free(exia__framer *framer)
{
    if (framer == NULL)
        return;
    for (uint32_t i = 0; framer->presses != NULL && i < framer->threads; i++) {
        ZSTD_freeCCtx(framer->presses[i].zstd);
        exia__hash_free(framer->presses[i].hash);
    }
    for (size_t i = 0; framer->drafts != NULL && i < framer->slots; i++) {
        exia__release(framer->drafts[i].plain);
        exia__release(framer->drafts[i].packed);
    }
    exia__release(framer->presses);
    exia__release(framer->drafts);
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

static exia_status compress(size_t *out, ZSTD_CCtx *zstd, void *into, size_t room, const void *data,
                            size_t size, int level, exia_error *err)
{
    size_t rc = ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
    if (!ZSTD_isError(rc))
        rc = ZSTD_compress2(zstd, into, room, data, size);
    *out = rc;
    if (!ZSTD_isError(rc))
        return EXIA_OK;
    if (ZSTD_getErrorCode(rc) == ZSTD_error_memory_allocation)
        return exia__fail_memory(err);
    return exia__fail(err, EXIA_EUNSUPPORTED, 0, "libzstd cannot compress at level %d: %s", level,
                      ZSTD_getErrorName(rc));
}

/* A few spots tell whether the frame is worth the work: at least 3 % smaller at level 1. */
static exia_status choose_level(int *level, const exia__framer *framer, ZSTD_CCtx *zstd,
                                const exia__draft *draft, exia_error *err)
{
    size_t total = 0, once = 0;
    exia_status rc = EXIA_OK;
    *level = framer->level;
    if (draft->size < 2 * SPOTS * SPOT)
        return EXIA_OK;
    for (size_t i = 0; i < SPOTS && rc == EXIA_OK; i++) {
        size_t at = (draft->size - SPOT) / (SPOTS - 1) * i;
        rc = compress(&once, zstd, draft->packed, framer->room, draft->plain + at, SPOT, 1, err);
        total += once;
    }
    if (rc == EXIA_OK && total * 100 >= (size_t)SPOTS * SPOT * 97)
        *level = STORE_LEVEL;
    return rc;
}

/* ---- the stages of a draft -------------------------------------------------------------------- */

void exia__framer_member(exia__framer *framer, uint64_t size)
{
    framer->left = size;
}

size_t exia__draft_add(exia__draft *draft, exia__framer *framer, const void *data, size_t size)
{
    unsigned char *place = draft->plain + draft->size;
    size_t taken = exia__cutter_take(&framer->cutter, data, size, framer->left);
    if (data != place)
        memcpy(place, data, taken);
    draft->size += taken;
    framer->left -= taken;
    return taken;
}

int exia__draft_full(const exia__draft *draft, const exia__framer *framer)
{
    return draft->size == framer->cutter.end;
}

static exia_status fill_draft(size_t slot, void *payload, exia_error *err)
{
    exia__framer *framer = payload;
    exia__draft *draft = &framer->drafts[slot];
    draft->size = 0;
    exia__cutter_begin(&framer->cutter, framer->source->cuts);
    exia_status rc = framer->source->fill(draft, framer, framer->payload, err);
    return rc == EXIA_OK && draft->size == 0 ? EXIA_DONE : rc;
}

static exia_status press_draft(size_t slot, exia__hand *hand, void *payload, exia_error *err)
{
    exia__framer *framer = payload;
    exia__draft *draft = &framer->drafts[slot];
    press *own = &framer->presses[hand->index];
    int level = 0;
    exia_status rc = EXIA_OK;
    if (framer->source->beside != NULL)
        rc = framer->source->beside(draft, own->hash, framer->payload, err);
    if (rc == EXIA_OK)
        rc = choose_level(&level, framer, own->zstd, draft, err);
    if (rc == EXIA_OK)
        rc = compress(&draft->packed_size, own->zstd, draft->packed, framer->room, draft->plain,
                      draft->size, level, err);
    if (rc == EXIA_OK)
        rc = exia__hash_update(own->hash, draft->packed, draft->packed_size, err);
    return rc == EXIA_OK ? exia__hash_finish(draft->digest, own->hash, err) : rc;
}

static exia_status write_draft(size_t slot, void *payload, exia_error *err)
{
    exia__framer *framer = payload;
    const exia__draft *draft = &framer->drafts[slot];
    exia_status rc = EXIA_OK;
    if (framer->source->in_order != NULL)
        rc = framer->source->in_order(draft, framer->payload, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(&framer->digests, draft->digest, sizeof draft->digest, err);
    return rc == EXIA_OK ? put_frame(framer, draft->packed, draft->packed_size, draft->size, err)
                         : rc;
}

static exia_status step(void *payload, exia_error *err)
{
    exia__framer *framer = payload;
    return framer->source->step(framer->payload, err);
}

/* Those that so many threads need and that are not there yet. */
static exia_status make_ready(exia__framer *framer, const exia__crew *crew, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (uint32_t i = 0; i < crew->threads && rc == EXIA_OK; i++) {
        press *own = &framer->presses[i];
        if (own->zstd == NULL && (own->zstd = ZSTD_createCCtx()) == NULL)
            rc = exia__fail_memory(err);
        if (rc == EXIA_OK && own->hash == NULL)
            rc = exia__hash_open(&own->hash, err);
    }
    for (size_t i = 0; i < crew->slots && rc == EXIA_OK; i++) {
        exia__draft *draft = &framer->drafts[i];
        if (draft->plain == NULL)
            draft->plain = exia__resize(NULL, EXIA__MOST_PLAIN);
        if (draft->packed == NULL)
            draft->packed = exia__resize(NULL, framer->room);
        if (draft->plain == NULL || draft->packed == NULL)
            rc = exia__fail_memory(err);
    }
    return rc;
}

exia_status exia__framer_run(exia__framer *framer, const exia__source *source, void *payload,
                             exia_error *err)
{
    uint64_t most = 1 + source->size / source->cuts->mean;
    uint32_t threads = most < framer->threads ? (uint32_t)most : framer->threads;
    exia__crew crew = {
        threads, threads > 1 ? framer->slots : 1, fill_draft, press_draft, write_draft, step};
    framer->source = source;
    framer->payload = payload;
    exia_status rc = make_ready(framer, &crew, err);
    return rc == EXIA_OK ? exia__crew_run(&crew, framer, err) : rc;
}

/* ---- the tail ----------------------------------------------------------------------------------- */

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
