/* Handles on blobs: keys and arguments are checked here, once for all drivers; and sources. */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/driver.h"
#include "store/store.h"

struct exia__blobs {
    exia__store store;
};

static const exia__key_rule blob_key = {
    "blob key",
    "0123456789abcdefghijklmnopqrstuvwxyz_",
    "0123456789abcdefghijklmnopqrstuvwxyz._-",
};

exia_status exia__blob_key_check(const char *key, exia_error *err)
{
    return exia__key_check(key, &blob_key, err);
}

exia_status exia__blobs_open(exia__blobs **out, const char *url, int mode, const exia_job *job,
                             exia_error *err)
{
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia__blobs_open: out is NULL");
    *out = NULL;
    exia__blobs *blobs = exia__zeroed(1, sizeof *blobs);
    if (blobs == NULL)
        return exia__fail_memory(err);
    exia_status rc = exia__store_open(&blobs->store, url, EXIA__BLOBS, mode, job, err);
    if (rc == EXIA_OK)
        *out = blobs;
    else
        exia__release(blobs);
    return rc;
}

exia__blobs *exia__blobs_keep(exia__blobs *blobs)
{
    if (blobs != NULL)
        atomic_fetch_add_explicit(&blobs->store.references, 1, memory_order_relaxed);
    return blobs;
}

void exia__blobs_free(exia__blobs *blobs)
{
    if (blobs != NULL && exia__store_drop(&blobs->store))
        exia__release(blobs);
}

static exia_status usable(const exia__blobs *blobs, const char *key, exia_error *err)
{
    exia_status rc = exia__store_usable(blobs ? &blobs->store : NULL, err);
    return rc < 0 ? rc : exia__key_check(key, &blob_key, err);
}

static const exia_blobs_ops *operations(const exia__blobs *blobs)
{
    return blobs->store.driver->blobs;
}

exia_status exia__blobs_put(exia__blobs *blobs, const char *key, const exia_source *source,
                            const exia_job *job, exia_error *err)
{
    exia_status rc = usable(blobs, key, err);
    if (rc < 0)
        return rc;
    if (source == NULL || source->read == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "blob \"%.100s\" has no source", key);
    return operations(blobs)->put(blobs->store.self, key, source, job, err);
}

int exia__blobs_can_compose(const exia__blobs *blobs)
{
    return operations(blobs)->compose != NULL;
}

static exia_status check_pieces(const exia_source *source, const exia_piece *pieces, size_t count,
                                exia_error *err)
{
    uint64_t end = 0;
    if (pieces == NULL && count > 0)
        return exia__fail(err, EXIA_EINVAL, 0, "a blob is made of pieces that are NULL");
    for (size_t i = 0; i < count; i++) {
        const exia_piece *piece = &pieces[i];
        exia_status rc = exia__key_check(piece->key, &blob_key, err);
        if (rc < 0)
            return rc;
        if (piece->at < end || piece->at > source->size || piece->size == 0 ||
            piece->size > source->size - piece->at || piece->offset > UINT64_MAX - piece->size)
            return exia__fail(
                err, EXIA_EINVAL, 0,
                "piece %zu of a blob, %llu bytes at %llu, is empty, or not between the "
                "one before and the end",
                i, (unsigned long long)piece->size, (unsigned long long)piece->at);
        end = piece->at + piece->size;
    }
    return EXIA_OK;
}

exia_status exia__blobs_compose(uint64_t *copied, exia__blobs *blobs, const char *key,
                                const exia_source *source, const exia_piece *pieces, size_t count,
                                const exia_job *job, exia_error *err)
{
    uint64_t kept = 0;
    if (copied != NULL)
        *copied = 0;
    exia_status rc = usable(blobs, key, err);
    if (rc < 0)
        return rc;
    if (source == NULL || source->read == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "blob \"%.100s\" has no source", key);
    if ((rc = check_pieces(source, pieces, count, err)) < 0)
        return rc;
    if (count == 0 || !exia__blobs_can_compose(blobs))
        return operations(blobs)->put(blobs->store.self, key, source, job, err);
    rc = operations(blobs)->compose(blobs->store.self, key, source, pieces, count, &kept, job, err);
    if (rc == EXIA_ENOTFOUND || rc == EXIA_ECORRUPT) {
        exia__forgive(err);
        return operations(blobs)->put(blobs->store.self, key, source, job, err);
    }
    if (rc == EXIA_OK && copied != NULL)
        *copied = kept;
    return rc;
}

int exia__blobs_can_put_as(const exia__blobs *blobs)
{
    return operations(blobs)->put_as != NULL;
}

typedef struct naming {
    exia_name_fn *name;
    void *payload;
} naming;

static exia_status name_checked(const char **key, void *payload, exia_error *err)
{
    const naming *now = payload;
    exia_status rc = now->name(key, now->payload, err);
    return rc == EXIA_OK ? exia__key_check(*key, &blob_key, err) : rc;
}

exia_status exia__blobs_put_as(exia__blobs *blobs, const exia_source *source, exia_name_fn *name,
                               void *payload, const exia_job *job, exia_error *err)
{
    exia_status rc = exia__store_usable(blobs ? &blobs->store : NULL, err);
    if (rc < 0)
        return rc;
    if (source == NULL || source->read == NULL || name == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "a blob has no source, or nobody names it");
    if (!exia__blobs_can_put_as(blobs))
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "%s: its blobs need a key from the beginning",
                          blobs->store.driver->name);
    naming now = {name, payload};
    return operations(blobs)->put_as(blobs->store.self, source, name_checked, &now, job, err);
}

exia_status exia__blobs_adopt(exia__blobs *blobs, const char *key, int fd,
                              const exia_source *source, const exia_job *job, exia_error *err)
{
    exia_status rc = usable(blobs, key, err);
    if (rc < 0)
        return rc;
    if (source == NULL || source->read == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "blob \"%.100s\" has no source", key);
    if (operations(blobs)->adopt == NULL)
        return operations(blobs)->put(blobs->store.self, key, source, job, err);
    rc = operations(blobs)->adopt(blobs->store.self, key, fd, job, err);
    if (rc != EXIA_EUNSUPPORTED)
        return rc;
    exia__forgive(err);
    return operations(blobs)->put(blobs->store.self, key, source, job, err);
}

exia_status exia__blobs_get(exia__blobs *blobs, const char *key, uint64_t offset, uint64_t size,
                            exia_sink_fn *sink, void *payload, const exia_job *job, exia_error *err)
{
    exia_status rc = usable(blobs, key, err);
    if (rc < 0)
        return rc;
    if (sink == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "blob \"%.100s\" has no sink to go to", key);
    return operations(blobs)->get(blobs->store.self, key, offset, size, sink, payload, job, err);
}

exia_status exia__blobs_stat(uint64_t *size, int64_t *modified_ms, exia__blobs *blobs,
                             const char *key, const exia_job *job, exia_error *err)
{
    uint64_t its_size = 0;
    int64_t its_time = 0;
    exia_status rc = usable(blobs, key, err);
    if (rc == EXIA_OK)
        rc = operations(blobs)->stat(&its_size, &its_time, blobs->store.self, key, job, err);
    if (size != NULL)
        *size = rc < 0 ? 0 : its_size;
    if (modified_ms != NULL)
        *modified_ms = rc < 0 ? 0 : its_time;
    return rc;
}

exia_status exia__blobs_list(exia__blobs *blobs, const char *prefix, exia_blob_fn *found,
                             void *payload, const exia_job *job, exia_error *err)
{
    exia_status rc = exia__store_usable(blobs ? &blobs->store : NULL, err);
    if (rc == EXIA_OK)
        rc = exia__prefix_check(prefix, &blob_key, err);
    if (rc < 0)
        return rc;
    if (found == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "a listing of blobs has no callback");
    return operations(blobs)->list(blobs->store.self, prefix ? prefix : "", found, payload, job,
                                   err);
}

exia_status exia__blobs_touch(exia__blobs *blobs, const char *key, const exia_job *job,
                              exia_error *err)
{
    exia_status rc = usable(blobs, key, err);
    return rc < 0 ? rc : operations(blobs)->touch(blobs->store.self, key, job, err);
}

exia_status exia__blobs_remove(exia__blobs *blobs, const char *key, const exia_job *job,
                               exia_error *err)
{
    exia_status rc = usable(blobs, key, err);
    return rc < 0 ? rc : operations(blobs)->remove(blobs->store.self, key, job, err);
}

exia_status exia__blobs_now(int64_t *ms, exia__blobs *blobs, const exia_job *job, exia_error *err)
{
    exia_status rc = exia__store_usable(blobs ? &blobs->store : NULL, err);
    if (rc == EXIA_OK && ms == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, "exia__blobs_now: ms is NULL");
    return rc < 0 ? rc : operations(blobs)->now(ms, blobs->store.self, job, err);
}

exia_status exia__blobs_local(char **path, exia__blobs *blobs, const char *key, exia_error *err)
{
    if (path == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia__blobs_local: path is NULL");
    *path = NULL;
    exia_status rc = usable(blobs, key, err);
    if (rc < 0)
        return rc;
    if (operations(blobs)->local == NULL)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "%s: its blobs are no local files",
                          blobs->store.driver->name);
    return operations(blobs)->local(path, blobs->store.self, key, err);
}

exia_status exia__blobs_url(char **url, exia__blobs *blobs, const char *key, int64_t seconds,
                            exia_error *err)
{
    if (url == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia__blobs_url: url is NULL");
    *url = NULL;
    exia_status rc = usable(blobs, key, err);
    if (rc < 0)
        return rc;
    if (seconds < 1)
        return exia__fail(err, EXIA_EINVAL, 0, "a URL is good for a second at least, not for %lld",
                          (long long)seconds);
    if (operations(blobs)->url == NULL)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0,
                          "%s: its blobs have no URLs for who has no access to it",
                          blobs->store.driver->name);
    return operations(blobs)->url(url, blobs->store.self, key, seconds, err);
}

static exia_status read_memory(void *into, uint64_t offset, size_t size, void *payload,
                               exia_error *err)
{
    (void)err;
    memcpy(into, (const char *)payload + offset, size);
    return EXIA_OK;
}

exia_source exia__source_memory(const void *data, size_t size)
{
    return (exia_source){.read = read_memory, .size = size, .payload = (void *)data};
}

static exia_status read_file(void *into, uint64_t offset, size_t size, void *payload,
                             exia_error *err)
{
    return exia__read_at(*(const int *)payload, into, size, offset, "the source file", err);
}

exia_source exia__source_file(const int *fd, uint64_t size)
{
    return (exia_source){.read = read_file, .size = size, .payload = (void *)fd};
}
