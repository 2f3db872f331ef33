/* Blobs by content: sha256/AB/HEX is the name of the bytes whose SHA-256 it is.  A blob that is there
 * already is used again only when it is whole and no collector has marked it; else the bytes go to
 * HEX.1, HEX.2 ... and the log entry names the key that was used. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

enum { MOST_KEYS = 100 };

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

/* Put the bytes at one key, or make young what is there.  The mark is read after that, and the blob
 * after the mark: a collector that saw it old has its mark standing until the blob is gone. */
static exia_status try_key(int *used, exia_library *library, const char *key,
                           const exia_source *source, const exia_job *job, exia_error *err)
{
    int marked = 0, there = 1, whole = 1;
    *used = 0;
    exia_status rc = exia__blobs_touch(library->blobs, key, job, err);
    if (rc == EXIA_ENOTFOUND) {
        exia__forgive(err);
        rc = exia__blobs_put(library->blobs, key, source, job, err);
        there = rc == EXIA_EEXISTS; /* a rival was faster */
        if (there) {
            exia__forgive(err);
            rc = exia__blobs_touch(library->blobs, key, job, err);
        }
    }
    if (rc == EXIA_OK)
        rc = exia__blob_marked(&marked, library, key, job, err);
    if (rc == EXIA_OK && !marked && there)
        rc = intact(&whole, library, key, source, job, err);
    if (rc == EXIA_ENOTFOUND && there) /* removed meanwhile: the next key is as good */
        return exia__forgive(err);
    if (rc == EXIA_OK && !whole)
        exia__log(EXIA_LOG_WARNING, "model", "the blob %s is not what it should be", key);
    *used = rc == EXIA_OK && whole && !marked;
    return rc;
}

/* HEX, then HEX.1, HEX.2 ... */
static exia_status name_key(char **out, const char *sha256, int n, exia_error *err)
{
    if (n == 0)
        return exia__text_format(out, err, "sha256/%.2s/%s", sha256, sha256);
    return exia__text_format(out, err, "sha256/%.2s/%s.%d", sha256, sha256, n);
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
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "none of %d blobs of %s can be used", MOST_KEYS,
                        source->sha256);
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
