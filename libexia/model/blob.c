/* Blobs by content: sha256/AB/HEX is the name of the bytes whose SHA-256 it is.  A blob that is there
 * already is used again only when it is whole and no collector has marked it; else the bytes go to
 * HEX.1, HEX.2 ... and the log entry names the key that was used. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

enum { MOST_KEYS = 100, SAMPLES = 16, SAMPLE_SIZE = 4096, WORTH_A_LOOK = 1 << 20 };

/* ---- reading -------------------------------------------------------------------------------- */

/* Where the bytes of a `get` go: into memory, into a hash, or both. */
typedef struct taking {
    char *into;
    uint64_t left, size;
    exia__hash *hash;
} taking;

static exia_status take(const void *data, size_t size, void *payload, exia_error *err)
{
    taking *now = payload;
    if (size > now->left)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it has more than %llu bytes",
                          (unsigned long long)now->size);
    now->left -= size;
    if (now->into != NULL && size > 0) {
        memcpy(now->into, data, size);
        now->into += size;
    }
    return now->hash ? exia__hash_update(now->hash, data, size, err) : EXIA_OK;
}

static exia_status take_all(taking *now, exia__blobs *blobs, const char *key, const exia_job *job,
                            exia_error *err)
{
    now->size = now->left;
    /* ask for one byte more, so that a longer blob is seen */
    exia_status rc = exia__blobs_get(blobs, key, 0, now->size + 1, take, now, job, err);
    if (rc == EXIA_OK && now->left > 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "it has %llu of %llu bytes",
                        (unsigned long long)(now->size - now->left), (unsigned long long)now->size);
    return rc == EXIA_ECORRUPT ? exia__prefix(err, rc, "the blob %s", key) : rc;
}

exia_status exia__blob_read(void *into, size_t size, exia__blobs *blobs, const char *key,
                            const exia_job *job, exia_error *err)
{
    taking now = {.into = into, .left = size};
    return take_all(&now, blobs, key, job, err);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Is the blob what its name says?  Read it where that is cheap, else compare the size. */
static exia_status intact(int *out, exia_library *library, const char *key,
                          const exia_source *source, const exia_job *job, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE], *path = NULL;
    taking now = {.left = source->size};
    uint64_t size = 0;
    *out = 0;
    exia_status rc = exia__blobs_stat(&size, NULL, library->blobs, key, job, err);
    if (rc < 0 || size != source->size)
        return rc;
    rc = exia__blobs_local(&path, library->blobs, key, err);
    exia__release(path);
    if (rc == EXIA_EUNSUPPORTED) {
        *out = 1; /* a server keeps digests of its own */
        return exia__forgive(err);
    }
    if (rc == EXIA_OK)
        rc = exia__hash_open(&now.hash, err);
    if (rc == EXIA_OK)
        rc = take_all(&now, library->blobs, key, job, err);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, now.hash, err);
    if (rc == EXIA_OK) {
        exia__hex(hex, digest, sizeof digest);
        *out = strcmp(hex, source->sha256) == 0;
    }
    exia__hash_free(now.hash);
    return rc;
}

exia_status exia__blob_marked(int *marked, exia_library *library, const char *key,
                              const exia_job *job, exia_error *err)
{
    char *mark = NULL;
    exia_status rc = exia__records_get(&mark, NULL, library->records, "gc", key, job, err);
    exia__release(mark);
    *marked = rc == EXIA_OK;
    return rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc;
}

exia_status exia__blob_lost(int *lost, exia_library *library, const char *key, exia_error *err)
{
    exia_status rc = exia__blob_marked(lost, library, key, NULL, err);
    if (rc == EXIA_OK && !*lost) {
        rc = exia__blobs_stat(NULL, NULL, library->blobs, key, NULL, err);
        *lost = rc == EXIA_ENOTFOUND;
    }
    if (rc < 0 && !*lost && !exia__store_lost(rc))
        exia__log(EXIA_LOG_WARNING, "model", "cannot look whether %s was collected", key);
    else if (rc < 0 && !*lost)
        return rc;
    return exia__forgive(err);
}

/* What is there under a key is made young, and may be used if nobody has marked it and it is whole.
 * The mark is read after the touch, and the blob after the mark: a collector that saw it old has its
 * mark standing until the blob is gone. */
static exia_status use(int *there, int *used, exia_library *library, const char *key,
                       const exia_source *source, const exia_job *job, exia_error *err)
{
    int marked = 0, whole = 0;
    *used = 0;
    exia_status rc = exia__blobs_touch(library->blobs, key, job, err);
    *there = rc != EXIA_ENOTFOUND;
    if (!*there)
        return exia__forgive(err);
    if (rc == EXIA_OK)
        rc = exia__blob_marked(&marked, library, key, job, err);
    if (rc < 0 || marked)
        return rc;
    rc = intact(&whole, library, key, source, job, err);
    if (rc == EXIA_ENOTFOUND) /* removed meanwhile: another key is as good */
        return exia__forgive(err);
    if (rc == EXIA_OK && !whole)
        exia__log(EXIA_LOG_WARNING, "model", "the blob %s is not what it should be", key);
    *used = rc == EXIA_OK && whole;
    return rc;
}

/* Use what is there under one key, or put the bytes there; the mark is read after that, too. */
static exia_status try_key(int *used, exia_library *library, const char *key,
                           const exia_source *source, const exia_job *job, exia_error *err)
{
    int there = 0, marked = 0;
    exia_status rc = use(&there, used, library, key, source, job, err);
    if (rc < 0 || there)
        return rc;
    rc = exia__blobs_put(library->blobs, key, source, job, err);
    if (rc == EXIA_EEXISTS) { /* a rival was faster */
        exia__forgive(err);
        return use(&there, used, library, key, source, job, err);
    }
    if (rc == EXIA_OK)
        rc = exia__blob_marked(&marked, library, key, job, err);
    *used = rc == EXIA_OK && !marked;
    return rc;
}

/* HEX, then HEX.1, HEX.2 ... */
static exia_status name_key(char **out, const char *sha256, int n, exia_error *err)
{
    if (n == 0)
        return exia__text_format(out, err, "sha256/%.2s/%s", sha256, sha256);
    return exia__text_format(out, err, "sha256/%.2s/%s.%d", sha256, sha256, n);
}

static exia_status none_usable(const char *sha256, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "none of %d blobs of %s can be used", MOST_KEYS,
                      sha256);
}

exia_status exia__blob_store_not(char **key, exia_library *library, const exia_source *source,
                                 const char *not_here, const exia_job *job, exia_error *err)
{
    char *name = NULL;
    int used = 0;
    exia_status rc = EXIA_OK;
    *key = NULL;
    for (int n = 0; n < MOST_KEYS && rc == EXIA_OK && !used; n++) {
        exia__release(name);
        rc = name_key(&name, source->sha256, n, err);
        if (rc == EXIA_OK && (not_here == NULL || strcmp(name, not_here) != 0))
            rc = try_key(&used, library, name, source, job, err);
    }
    if (rc == EXIA_OK && !used)
        rc = none_usable(source->sha256, err);
    if (rc == EXIA_OK) {
        *key = name;
        name = NULL;
    }
    exia__release(name);
    return rc;
}

exia_status exia__blob_store(char **key, exia_library *library, const exia_source *source,
                             const exia_job *job, exia_error *err)
{
    return exia__blob_store_not(key, library, source, NULL, job, err);
}

/* A blob whose key is to be found when its bytes were read. */
typedef struct unnamed {
    exia_library *library;
    exia_source source; /* with its digest, when that is known */
    exia__hashed hashed;
    char sha256[EXIA__HEX_SIZE], *key;
    int used; /* something whole lies under the key already */
    exia_job job;
} unnamed;

/* The first key under which something whole lies, or nothing and no mark. */
static exia_status find_key(const char **key, void *payload, exia_error *err)
{
    unnamed *now = payload;
    int found = 0;
    exia_status rc = exia__hashed_end(now->sha256, &now->hashed, err);
    now->source.sha256 = now->sha256;
    for (int n = 0; n < MOST_KEYS && rc == EXIA_OK && !found; n++) {
        int there = 0, marked = 0;
        exia__release(now->key);
        rc = name_key(&now->key, now->sha256, n, err);
        if (rc == EXIA_OK)
            rc = use(&there, &now->used, now->library, now->key, &now->source, &now->job, err);
        if (rc == EXIA_OK && !there)
            rc = exia__blob_marked(&marked, now->library, now->key, &now->job, err);
        found = now->used || (!there && !marked);
    }
    if (rc == EXIA_OK && !found)
        rc = none_usable(now->sha256, err);
    *key = now->key;
    return rc == EXIA_OK && now->used ? EXIA_DONE : rc;
}

/* Store first, then name: the bytes go to the disk while they are hashed. */
static exia_status store_unnamed(unnamed *now, exia_error *err)
{
    int marked = 0;
    exia_source source = exia__hashed_source(&now->hashed);
    exia_status rc =
        exia__blobs_put_as(now->library->blobs, &source, find_key, now, &now->job, err);
    if (rc == EXIA_OK && !now->used) {
        rc = exia__blob_marked(&marked, now->library, now->key, &now->job, err);
        now->used = rc == EXIA_OK && !marked;
    }
    return rc == EXIA_EEXISTS ? exia__forgive(err) : rc; /* a rival was faster */
}

/* Does the blob look as if it had the bytes of the source?  Its size and a few places tell. */
static exia_status resembles(int *out, exia__blobs *blobs, const char *key,
                             const exia_source *source, const exia_job *job, exia_error *err)
{
    char ours[SAMPLE_SIZE], its[SAMPLE_SIZE];
    uint64_t size = 0;
    *out = 0;
    exia_status rc = exia__blobs_stat(&size, NULL, blobs, key, job, err);
    int same = rc == EXIA_OK && size == source->size && size >= WORTH_A_LOOK;
    for (uint64_t i = 0; i < SAMPLES && rc == EXIA_OK && same; i++) {
        uint64_t at = (size - SAMPLE_SIZE) / (SAMPLES - 1) * i;
        taking now = {.into = its, .left = SAMPLE_SIZE, .size = SAMPLE_SIZE};
        rc = exia__blobs_get(blobs, key, at, SAMPLE_SIZE, take, &now, job, err);
        if (rc == EXIA_OK)
            rc = source->read(ours, at, SAMPLE_SIZE, source->payload, err);
        same = rc == EXIA_OK && now.left == 0 && memcmp(ours, its, SAMPLE_SIZE) == 0;
    }
    *out = same;
    return rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc;
}

exia_status exia__blob_take(char **key, char sha256[EXIA__HEX_SIZE], exia_library *library,
                            const exia_source *source, const char *likely, exia__work *work,
                            exia_error *err)
{
    unnamed now = {.library = library, .source = *source, .job = exia__work_rest(work)};
    int known = !exia__blobs_can_put_as(library->blobs);
    exia_status rc = EXIA_OK;
    *key = NULL;
    if (!known && likely != NULL)
        rc = resembles(&known, library->blobs, likely, source, &now.job, err);
    if (rc == EXIA_OK && !known) {
        rc = exia__hashed_open(&now.hashed, source, work->job.threads, err);
        if (rc == EXIA_OK)
            rc = store_unnamed(&now, err);
        exia__hashed_free(&now.hashed);
    } else if (rc == EXIA_OK) {
        rc = exia__source_digest(now.sha256, source, work, err);
        now.source.sha256 = now.sha256;
    }
    if (rc == EXIA_OK && now.used) {
        *key = now.key;
        now.key = NULL;
    } else if (rc == EXIA_OK) { /* the digest is known now; that the bytes still have it is seen */
        now.job = exia__work_rest(work);
        rc = exia__hashed_open(&now.hashed, &now.source, work->job.threads, err);
        exia_source again = exia__hashed_source(&now.hashed);
        if (rc == EXIA_OK)
            rc = exia__blob_store(key, library, &again, &now.job, err);
        exia__hashed_free(&now.hashed);
    }
    memcpy(sha256, now.sha256, sizeof now.sha256);
    exia__release(now.key);
    return rc;
}

static exia_status load_key(char **out, exia__blobs *blobs, const char *key, const char *sha256,
                            exia_error *err)
{
    char hex[EXIA__HEX_SIZE], *text = NULL;
    uint64_t size = 0;
    exia_status rc = exia__blobs_stat(&size, NULL, blobs, key, NULL, err);
    if (rc < 0)
        return rc;
    if (size > EXIA__FACTS_LIMIT)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the blob %s is too large", key);
    text = exia__resize(NULL, (size_t)size + 1);
    rc = text ? exia__blob_read(text, (size_t)size, blobs, key, NULL, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(hex, text, (size_t)size, err);
    if (rc == EXIA_OK && strcmp(hex, sha256) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "the blob %s is not what was written", key);
    if (rc == EXIA_OK) {
        text[size] = '\0';
        *out = text;
        text = NULL;
    }
    exia__release(text);
    return rc;
}

exia_status exia__blob_load(char **out, exia__blobs *blobs, const char *sha256, exia_error *err)
{
    exia_status rc = EXIA_ENOTFOUND;
    *out = NULL;
    for (int n = 0; n < MOST_KEYS && (rc == EXIA_ENOTFOUND || rc == EXIA_ECORRUPT); n++) {
        char *key = NULL;
        exia__forgive(err);
        rc = name_key(&key, sha256, n, err);
        if (rc == EXIA_OK)
            rc = load_key(out, blobs, key, sha256, err);
        exia__release(key);
    }
    if (rc == EXIA_ENOTFOUND)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "the blob of %s is gone", sha256);
    return rc;
}
