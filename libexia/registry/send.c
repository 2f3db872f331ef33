/* The bytes of a package onto a side: those that its versions there have already are copied on the spot,
 * by a store that can, and the rest is sent. */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "registry/delta.h"

/* A source that is hashed as it is read.  Its last bytes are not given out unless all of them are
 * what was verified, so no store ends up with something else; for a driver that jumps about all of it was
 * compared before. */
typedef struct checked {
    const exia__parcel *parcel;
    exia__hash *hash;
    uint64_t hashed; /* how far, from the start; UINT64_MAX: not in order */
    int good;        /* all of it was, in order, and is what was verified */
} checked;

static exia_status compare(const exia__parcel *parcel, const unsigned char *digest, exia_error *err)
{
    char hex[EXIA__HEX_SIZE];
    exia__hex(hex, digest, EXIA__DIGEST_SIZE);
    if (strcmp(hex, parcel->hex) == 0)
        return EXIA_OK;
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is not what was verified: its SHA-256 is %s",
                      parcel->path, hex);
}

static exia_status checked_read(void *into, uint64_t offset, size_t size, void *payload,
                                exia_error *err)
{
    checked *state = payload;
    const exia__parcel *parcel = state->parcel;
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc =
        exia__read_at(parcel->fd, into, size, parcel->base + offset, parcel->path, err);
    if (rc == EXIA_OK && offset == 0 && state->hashed != 0) {
        exia__hash_free(state->hash);
        state->hash = NULL;
        state->hashed = 0;
        rc = exia__hash_open(&state->hash, err);
    }
    if (rc < 0 || offset != state->hashed) {
        state->hashed = UINT64_MAX;
        return rc;
    }
    rc = exia__hash_update(state->hash, into, size, err);
    state->hashed += size;
    if (rc < 0 || state->hashed != parcel->size)
        return rc;
    state->hashed = UINT64_MAX;
    rc = exia__hash_finish(digest, state->hash, err);
    if (rc == EXIA_OK)
        rc = compare(parcel, digest, err);
    state->good = rc == EXIA_OK;
    return rc;
}

/* ---- what need not be sent ---------------------------------------------------------------------- */

/* Where the frames of the package lie on the side.  A file whose end cannot be read is sent as it is. */
static exia_status find_frames(exia__delta *out, const exia_registry *registry,
                               const exia__side *side, const exia__parcel *parcel, exia__work *work,
                               exia_error *err)
{
    exia__index index = {0};
    exia_error why;
    *out = (exia__delta){0};
    if (side->name == NULL || !exia__blobs_can_compose(side->blobs))
        return EXIA_OK;
    exia_status rc = exia__index_of_parcel(&index, parcel, &why);
    if (rc == EXIA_ENOMEM)
        return exia__error_pass(err, &why);
    if (rc < 0)
        return EXIA_OK;
    rc = exia__delta_open(out, &index, index.size, err);
    if (rc == EXIA_OK)
        rc = exia__delta_there(out, registry, side, parcel, work, err);
    if (rc < 0)
        exia__delta_free(out);
    return rc;
}

/* A driver may read of the source only what it sends: the rest it copies, or has from an upload that was
 * cut short, so all of it is compared before.  One that reads all of it in order needs no such look. */
static exia_status check_whole(const exia__parcel *parcel, exia__work *work, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc =
        exia__hash_range(digest, parcel->fd, parcel->base, parcel->size, parcel->path, work, err);
    return rc == EXIA_OK ? compare(parcel, digest, err) : rc;
}

static exia_status name_checked(const char **key, void *payload, exia_error *err)
{
    const checked *state = payload;
    *key = state->parcel->key;
    return state->good
               ? EXIA_OK
               : exia__fail(err, EXIA_ECORRUPT, 0, "%s was not read in order", state->parcel->path);
}

static exia_status put_once(uint64_t *copied, const exia__side *side, const exia__parcel *parcel,
                            const exia__delta *delta, exia__work *work, exia_error *err)
{
    checked state = {.parcel = parcel};
    exia_source source = {checked_read, parcel->size, parcel->hex, &state};
    exia_piece *pieces = NULL;
    size_t count = 0;
    exia_status rc = exia__hash_open(&state.hash, err);
    *copied = 0;
    if (rc == EXIA_OK && delta->base_count > 0)
        rc = exia__delta_pieces(&pieces, &count, delta, err);
    int in_order = count == 0 && exia__blobs_can_put_as(side->blobs);
    if (rc == EXIA_OK && side->name != NULL && !in_order)
        rc = check_whole(parcel, work, err);
    exia_job job = exia__work_rest(work);
    if (rc < 0)
        goto done;
    if (side->name == NULL && parcel->alone)
        rc = exia__blobs_adopt(side->blobs, parcel->key, parcel->fd, &source, &job, err);
    else if (in_order)
        rc = exia__blobs_put_as(side->blobs, &source, name_checked, &state, &job, err);
    else
        rc = exia__blobs_compose(copied, side->blobs, parcel->key, &source, pieces, count, &job,
                                 err);
done:
    exia__hash_free(state.hash);
    exia__release(pieces);
    return rc;
}

/* ---- the blob ------------------------------------------------------------------------------------ */

exia_status exia__blob_find(const exia__side *side, const char *key, uint64_t expected,
                            exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    exia_error caught;
    uint64_t size = 0;
    exia_status rc = exia__blobs_stat(&size, NULL, side->blobs, key, &job, &caught);
    if (rc == EXIA_ENOTFOUND || (rc == EXIA_OK && size != expected))
        return EXIA_DONE;
    return rc < 0 ? exia__error_pass(err, &caught) : EXIA_OK;
}

/* Put it, also over what lies there in its place. */
static exia_status put(exia_transfer *moved, const exia__side *side, const exia__parcel *parcel,
                       const exia__delta *delta, exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    exia_error caught;
    uint64_t copied = 0;
    exia_status rc = put_once(&copied, side, parcel, delta, work, &caught);
    if (rc == EXIA_EEXISTS) {
        rc = exia__blob_find(side, parcel->key, parcel->size, work, err);
        if (rc == EXIA_OK)
            moved->reused = parcel->size; /* somebody else put it meanwhile */
        if (rc != EXIA_DONE)
            return rc;
        exia__log(EXIA_LOG_WARNING, "registry", "%s was damaged and is written again", parcel->key);
        rc = exia__blobs_remove(side->blobs, parcel->key, &job, &caught);
        if (rc == EXIA_OK)
            rc = put_once(&copied, side, parcel, delta, work, &caught);
    }
    if (rc < 0)
        return exia__error_pass(err, &caught);
    moved->moved = parcel->size - copied;
    moved->reused = copied;
    return EXIA_OK;
}

exia_status exia__blob_put(exia_transfer *moved, const exia_registry *registry,
                           const exia__side *side, const exia__parcel *parcel, exia__work *work,
                           exia_error *err)
{
    exia_job job = exia__work_rest(work);
    exia__delta delta = {0};
    exia_error caught;
    exia_status rc = exia__blob_find(side, parcel->key, parcel->size, work, err);
    if (rc == EXIA_OK) {
        rc = exia__blobs_touch(side->blobs, parcel->key, &job, &caught);
        if (rc == EXIA_OK)
            moved->reused = parcel->size;
        if (rc != EXIA_ENOTFOUND)
            return rc < 0 ? exia__error_pass(err, &caught) : EXIA_OK;
    }
    if (rc < 0 && rc != EXIA_ENOTFOUND)
        return rc;
    rc = find_frames(&delta, registry, side, parcel, work, err);
    if (rc == EXIA_OK)
        rc = put(moved, side, parcel, &delta, work, err);
    exia__delta_free(&delta);
    return rc;
}

exia_status exia__blob_renew(const exia__side *side, const exia__parcel *parcel,
                             const char *damaged, exia__work *work, exia_error *err)
{
    static const exia__delta none;
    exia_job job = exia__work_rest(work);
    exia_error caught;
    uint64_t copied = 0;
    exia_status rc = check_whole(parcel, work, err);
    if (rc == EXIA_OK)
        rc = exia__blobs_remove(side->blobs, damaged, &job, err);
    if (rc < 0)
        return rc;
    rc = put_once(&copied, side, parcel, &none, work, &caught);
    /* there already: somebody was faster */
    return rc == EXIA_OK || rc == EXIA_EEXISTS ? EXIA_OK : exia__error_pass(err, &caught);
}

exia_status exia__blob_plan(exia_transfer *out, const exia_registry *registry,
                            const exia__side *side, const exia__parcel *parcel, exia__work *work,
                            exia_error *err)
{
    exia__delta delta = {0};
    exia_piece *pieces = NULL;
    size_t count = 0;
    out->reused = parcel->size;
    out->moved = 0;
    exia_status rc = exia__blob_find(side, parcel->key, parcel->size, work, err);
    if (rc != EXIA_DONE)
        return rc;
    out->reused = 0;
    rc = find_frames(&delta, registry, side, parcel, work, err);
    if (rc == EXIA_OK && delta.base_count > 0)
        rc = exia__delta_pieces(&pieces, &count, &delta, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        out->reused += pieces[i].size;
    out->moved = parcel->size - out->reused;
    exia__release(pieces);
    exia__delta_free(&delta);
    return rc;
}
