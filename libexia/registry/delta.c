/* Comparing packages by the digests of their frames.  The frames that are to move are sorted once; every
 * other package is then read from its end, one after the other, and only what it gives is kept: memory
 * goes with the package that moves, not with how many there are.  A digest is a hint: who copies a frame
 * compares it, or the whole that it became part of. */
#include "registry/delta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/version.h"

enum {
    MOST_FRAMES = 1 << 19, /* of one package, some 0.5 to 1 TB: 40 MiB */
    MOST_THERE = 16,       /* packages that are looked into on a remote, */
    MOST_HERE = 64,        /* ... here, of the same name, */
    MOST_OTHERS = 256      /* ... and of all names */
};

static int by_digest(const void *a, const void *b)
{
    const exia__frame *one = *(const exia__frame *const *)a,
                      *other = *(const exia__frame *const *)b;
    return memcmp(one->digest, other->digest, EXIA__DIGEST_SIZE);
}

exia_status exia__delta_open(exia__delta *out, exia__index *index, uint64_t until, exia_error *err)
{
    exia__delta delta = {.index = *index};
    *index = (exia__index){0};
    *out = (exia__delta){0};
    delta.found = exia__zeroed(delta.index.count, sizeof *delta.found);
    delta.sorted = exia__array(NULL, delta.index.count, sizeof *delta.sorted);
    if (delta.found == NULL || delta.sorted == NULL) {
        exia__delta_free(&delta);
        return exia__fail_memory(err);
    }
    for (size_t i = 0; i < delta.index.count; i++) {
        const exia__frame *frame = &delta.index.frames[i];
        if (frame->digest == NULL || frame->offset >= until)
            continue;
        delta.sorted[delta.sorted_count++] = frame;
        delta.missing += frame->size;
    }
    qsort(delta.sorted, delta.sorted_count, sizeof *delta.sorted, by_digest);
    *out = delta;
    return EXIA_OK;
}

void exia__delta_free(exia__delta *delta)
{
    for (size_t i = 0; i < delta->base_count; i++)
        exia__release(delta->bases[i]);
    exia__release(delta->bases);
    exia__release(delta->found);
    exia__release(delta->sorted);
    exia__index_free(&delta->index);
    *delta = (exia__delta){0};
}

/* The first of the frames with this digest, of which a package may have several. */
static size_t find_digest(const exia__delta *delta, const unsigned char *digest)
{
    size_t low = 0, high = delta->sorted_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(delta->sorted[middle]->digest, digest, EXIA__DIGEST_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

exia_status exia__delta_base(exia__delta *delta, const char *name, const exia__index *base,
                             exia_error *err)
{
    uint64_t before = delta->missing;
    exia_status rc = exia__grow(&delta->bases, &delta->base_capacity, delta->base_count + 1,
                                sizeof *delta->bases, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&delta->bases[delta->base_count], name, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < base->count; i++) {
        const exia__frame *frame = &base->frames[i];
        if (frame->digest == NULL)
            continue;
        for (size_t k = find_digest(delta, frame->digest);
             k < delta->sorted_count &&
             memcmp(delta->sorted[k]->digest, frame->digest, EXIA__DIGEST_SIZE) == 0;
             k++) {
            exia__found *found = &delta->found[delta->sorted[k] - delta->index.frames];
            if (found->base > 0 || delta->sorted[k]->size != frame->size)
                break; /* the equal ones were all found at once: a package may have very many */
            *found = (exia__found){frame->offset, (uint32_t)delta->base_count + 1};
            delta->missing -= frame->size;
        }
    }
    if (delta->missing < before)
        delta->base_count++;
    else
        exia__release(delta->bases[delta->base_count]);
    return EXIA_OK;
}

exia_status exia__delta_pieces(exia_piece **out, size_t *count, const exia__delta *delta,
                               exia_error *err)
{
    exia_piece *pieces = exia__array(NULL, delta->index.count, sizeof *pieces);
    uint32_t base = 0; /* of the last piece */
    *out = pieces;
    *count = 0;
    if (pieces == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < delta->index.count; i++) {
        const exia__frame *frame = &delta->index.frames[i];
        const exia__found *found = &delta->found[i];
        exia_piece *last = *count > 0 ? &pieces[*count - 1] : NULL;
        if (found->base == 0)
            continue;
        if (last != NULL && found->base == base && last->at + last->size == frame->offset &&
            last->offset + last->size == found->offset)
            last->size += frame->size;
        else
            pieces[(*count)++] = (exia_piece){frame->offset, frame->size,
                                              delta->bases[found->base - 1], found->offset};
        base = found->base;
    }
    return EXIA_OK;
}

/* ---- reading the end of a package -------------------------------------------------------------- */

static exia_status read_parcel(void *into, uint64_t offset, size_t size, void *payload,
                               exia_error *err)
{
    const exia__parcel *parcel = payload;
    return exia__read_at(parcel->fd, into, size, parcel->base + offset, parcel->path, err);
}

exia_status exia__index_of_parcel(exia__index *out, const exia__parcel *parcel, exia_error *err)
{
    const exia_source source = {read_parcel, parcel->size, NULL, (void *)parcel};
    return exia__index_read(out, &source, parcel->path, MOST_FRAMES, err);
}

static exia_status index_of_path(exia__index *out, char *path, exia_error *err)
{
    exia__parcel parcel = {.path = path};
    struct stat info;
    exia_status rc = EXIA_OK;
    parcel.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (parcel.fd < 0 || fstat(parcel.fd, &info) != 0) {
        rc = exia__fail_errno(err, errno, "cannot read", path);
    } else {
        parcel.size = (uint64_t)info.st_size;
        rc = exia__index_of_parcel(out, &parcel, err);
    }
    if (parcel.fd >= 0)
        close(parcel.fd);
    return rc;
}

typedef struct remote_file {
    const exia__side *side;
    const char *key;
    exia__work *work;
} remote_file;

typedef struct arriving {
    char *into;
    size_t left;
} arriving;

static exia_status arrive(const void *data, size_t size, void *payload, exia_error *err)
{
    arriving *now = payload;
    if (size > now->left)
        return exia__fail(err, EXIA_ECORRUPT, 0, "more bytes came than were asked for");
    memcpy(now->into, data, size);
    now->into += size;
    now->left -= size;
    return EXIA_OK;
}

static exia_status read_remote(void *into, uint64_t offset, size_t size, void *payload,
                               exia_error *err)
{
    const remote_file *file = payload;
    exia_job job = exia__work_rest(file->work);
    arriving now = {into, size};
    exia_status rc =
        exia__blobs_get(file->side->blobs, file->key, offset, size, arrive, &now, &job, err);
    if (rc == EXIA_OK && now.left > 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s ended %zu bytes too early", file->key, now.left);
    return rc;
}

exia_status exia__index_of_blob(exia__index *out, const exia__side *side, const char *key,
                                uint64_t size, exia__work *work, exia_error *err)
{
    remote_file file = {side, key, work};
    const exia_source source = {read_remote, size, NULL, &file};
    return exia__index_read(out, &source, key, MOST_FRAMES, err);
}

/* ---- looking around ------------------------------------------------------------------------------ */

typedef struct search {
    exia__delta *delta;
    const exia_registry *registry;
    const exia__side *side;
    const exia__parcel *parcel;
    exia__work *work;
    size_t looked; /* into so many packages */
} search;

/* A failure that only makes us find less is none; a cancel, say, is. */
static exia_status forgive(exia_status rc, const char *key, const exia_error *why, exia_error *err)
{
    if (rc >= 0)
        return EXIA_OK;
    if (rc == EXIA_ECANCELLED || rc == EXIA_ETIMEOUT || rc == EXIA_ENOMEM)
        return exia__error_pass(err, why);
    exia__log(EXIA_LOG_INFO, "registry", "no frames are taken from %s: %s", key, why->text);
    return EXIA_OK;
}

/* The offers of the parcel's package, from its version on and away from it, older before newer. */
static exia_status each_near(search *s, const exia__side *side, size_t most,
                             exia_status (*look)(search *s, const exia__offer *offer,
                                                 exia_error *err),
                             exia_error *err)
{
    exia__offers offers = {0};
    exia_job job = exia__work_rest(s->work);
    size_t older = 0, newer;
    exia_status rc = exia__offers_read(&offers, side, s->parcel->name, &job, err);
    while (older < offers.count &&
           exia__version_compare(offers.items[older].version, s->parcel->version) > 0)
        older++;
    newer = older;
    while (rc == EXIA_OK && s->looked < most && s->delta->missing > 0 &&
           (older < offers.count || newer > 0)) {
        if (older < offers.count && offers.items[older].event != NULL)
            rc = look(s, &offers.items[older], err);
        older++;
        if (rc == EXIA_OK && newer > 0 && offers.items[newer - 1].event != NULL)
            rc = look(s, &offers.items[newer - 1], err);
        newer -= newer > 0;
    }
    exia__offers_free(&offers);
    return rc;
}

/* A package that is registered here, by its key. */
static exia_status look_at_key(search *s, const char *key, exia_error *err)
{
    exia__index index = {0};
    exia_error why;
    char *path = NULL;
    if (strcmp(key, s->parcel->key) == 0)
        return EXIA_OK;
    s->looked++;
    exia_status rc = exia__work_step(s->work, "comparing", s->looked, 0, err);
    if (rc < 0)
        return rc;
    rc = exia__blobs_local(&path, s->registry->blobs, key, &why);
    if (rc == EXIA_OK)
        rc = index_of_path(&index, path, &why);
    if (rc == EXIA_OK)
        rc = exia__delta_base(s->delta, path, &index, &why);
    exia__index_free(&index);
    exia__release(path);
    return forgive(rc, key, &why, err);
}

static exia_status look_here(search *s, const exia__offer *offer, exia_error *err)
{
    return look_at_key(s, exia__json_string(offer->event, "key"), err);
}

static exia_status look_at_blob(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                                exia_error *err)
{
    search *s = payload;
    (void)size, (void)modified_ms;
    if (s->looked >= MOST_OTHERS || s->delta->missing == 0)
        return EXIA_DONE;
    return look_at_key(s, key, err);
}

exia_status exia__delta_here(exia__delta *delta, const exia_registry *registry,
                             const exia__parcel *parcel, exia__work *work, exia_error *err)
{
    const exia__side here = exia__side_here(registry);
    search s = {delta, registry, &here, parcel, work, 0};
    exia_job job = exia__work_rest(work);
    exia_status rc = delta->missing > 0 ? each_near(&s, &here, MOST_HERE, look_here, err) : EXIA_OK;
    if (rc == EXIA_OK && delta->missing > 0)
        rc = exia__blobs_list(registry->blobs, "packages/", look_at_blob, &s, &job, err);
    return rc;
}

/* Of a package that is here as well, the end is read here, and there only looked whether it is there;
 * of any other it is read there, and its record must vouch for it. */
static exia_status index_of_offer(exia__index *out, const search *s, const exia__offer *offer,
                                  exia_error *err)
{
    const char *key = exia__json_string(offer->event, "key");
    const char *expected = exia__json_string(offer->event, "index");
    uint64_t size = (uint64_t)json_integer_value(json_object_get(offer->event, "size")), there = 0;
    exia_job job = exia__work_rest(s->work);
    char *path = NULL;
    exia_status rc = exia__blobs_local(&path, s->registry->blobs, key, err);
    if (rc == EXIA_OK)
        rc = index_of_path(out, path, err);
    exia__release(path);
    if (rc == EXIA_OK && out->size == size) {
        rc = exia__blobs_stat(&there, NULL, s->side->blobs, key, &job, err);
        return rc == EXIA_OK && there != size
                   ? exia__fail(err, EXIA_ECORRUPT, 0, "it has another size than its record says")
                   : rc;
    }
    exia__index_free(out);
    if (expected == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "its record does not vouch for its frames");
    rc = exia__index_of_blob(out, s->side, key, size, s->work, err);
    if (rc == EXIA_OK && strcmp(out->hex, expected) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "its record vouches for other frames");
    return rc;
}

static exia_status look_there(search *s, const exia__offer *offer, exia_error *err)
{
    const char *key = exia__json_string(offer->event, "key");
    exia__index index = {0};
    exia_error why;
    if (strcmp(key, s->parcel->key) == 0)
        return EXIA_OK;
    s->looked++;
    exia_status rc = exia__work_step(s->work, "comparing", s->looked, 0, err);
    if (rc < 0)
        return rc;
    rc = index_of_offer(&index, s, offer, &why);
    if (rc == EXIA_OK)
        rc = exia__delta_base(s->delta, key, &index, &why);
    exia__index_free(&index);
    return forgive(rc, key, &why, err);
}

exia_status exia__delta_there(exia__delta *delta, const exia_registry *registry,
                              const exia__side *side, const exia__parcel *parcel, exia__work *work,
                              exia_error *err)
{
    search s = {delta, registry, side, parcel, work, 0};
    return each_near(&s, side, MOST_THERE, look_there, err);
}
