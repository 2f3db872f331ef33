/* Push and pull.  A transfer stands in the journal from its first byte until its record is written.
 * What a pull has fetched lies in staging/SHA256.part, which is its lock as well, and the next pull
 * goes on behind it; all of it is hashed again.  Transfers that nobody came back to in a month are
 * forgotten when the home is opened. */
#include "registry/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/publish.h"

enum { BLOCK = 1 << 20 };
#define FORGOTTEN_MS ((int64_t)30 * 24 * 3600 * 1000)

/* ---- the journal ---- */

static exia_status journal_begin(char **key, const exia_registry *registry, const char *what,
                                 const exia__side *side, const exia__parcel *parcel,
                                 exia_error *err)
{
    char *text = NULL;
    json_t *line = json_pack("{s:i, s:s, s:s, s:s, s:s, s:I}", "format", 1, "do", what, "name",
                             parcel->name, "version", parcel->version, "tag", parcel->tag, "time",
                             (json_int_t)exia__now_ms());
    exia_status rc = line ? exia__json_text(&text, line, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__text_format(key, err, "%s/%s/%s", what, side->name, parcel->hex);
    if (rc == EXIA_OK)
        rc = exia__records_put(NULL, registry->journal, "transfer", *key, text, EXIA_ANY, NULL,
                               NULL, err);
    json_decref(line);
    exia__release(text);
    return rc;
}

static exia_status journal_end(const exia_registry *registry, const char *key, exia_error *err)
{
    return exia__records_remove(registry->journal, "transfer", key, EXIA_ANY, NULL, err);
}

static exia_status part_path(char **out, const exia_registry *registry, const char *hex,
                             exia_error *err)
{
    return exia__text_format(out, err, "%s/staging/%s.part", registry->home, hex);
}

static exia_status forget(const char *key, const char *text, int64_t revision, void *payload,
                          exia_error *err)
{
    const exia_registry *registry = payload;
    json_t *line = NULL;
    char *path = NULL;
    int lock = -1;
    exia_status rc = exia__json_object(&line, text, strlen(text), key, EXIA_ECORRUPT, err);
    if (rc < 0 || exia__now_ms() - json_integer_value(json_object_get(line, "time")) < FORGOTTEN_MS)
        goto done;
    rc = part_path(&path, registry, exia__path_base(key), err);
    if (rc == EXIA_OK && strncmp(key, "pull/", 5) == 0)
        rc = exia__lock_try(&lock, path, err);
    if (rc == EXIA_OK && lock >= 0)
        unlink(path);
    if (rc == EXIA_OK)
        rc = exia__records_remove(registry->journal, "transfer", key, revision, NULL, err);
done:
    exia__lock_drop(lock);
    json_decref(line);
    exia__release(path);
    return rc < 0 ? rc : EXIA_OK;
}

void exia__transfers_forget(const exia_registry *registry)
{
    exia_error why;
    if (exia__records_scan(registry->journal, "transfer", "", NULL, 0, NULL, forget,
                           (void *)registry, NULL, &why) < 0)
        exia__log(EXIA_LOG_WARNING, "registry", "old transfers stay: %s", why.text);
}

/* ---- push ---- */

exia_status exia_registry_push(exia_transfer *out, exia_registry *registry, const char *package,
                               const char *remote, const exia_job *job, exia_error *err)
{
    exia_transfer moved = {0};
    exia__spec selector = {0};
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia__parcel parcel = {.fd = -1};
    exia__side side = {0};
    exia__work work;
    char *line = NULL;
    if (out != NULL)
        *out = moved;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc < 0)
        return rc;
    if (remote == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_push: the remote is NULL");
    exia__side here = exia__side_here(registry);
    if ((rc = exia__work_begin(&work, job, err)) < 0 ||
        (rc = exia__spec_parse(&selector, package, err)) < 0 ||
        (rc = exia__offer_find(&offer, &offers, &here, &selector, job, err)) < 0 ||
        (rc = exia__parcel_of(&parcel, registry, offer, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote, EXIA_STORE_WRITE, EXIA__WITH_BLOBS, job,
                              err)) < 0 ||
        (rc = journal_begin(&line, registry, "push", &side, &parcel, err)) < 0 ||
        (rc = exia__publish(&moved, registry, &side, &parcel,
                            json_object_get(offer->event, "facts"), &work, err)) < 0 ||
        (rc = journal_end(registry, line, err)) < 0)
        goto done;
    if (out != NULL)
        *out = moved;
done:
    exia__release(line);
    exia__side_free(&side);
    exia__parcel_free(&parcel);
    exia__offers_free(&offers);
    exia__spec_free(&selector);
    return rc;
}

/* ---- pull ---- */

typedef struct download {
    const exia__side *side;
    const exia__parcel *parcel; /* what is wanted */
    exia__work *work;
    exia__hash *hash;
    char *path;
    int fd;        /* of the partial file, which is locked by it */
    uint64_t have; /* bytes in it, all of them hashed */
} download;

/* Open and lock the partial file.  Who waited for another pull may hold a file that was removed. */
static exia_status open_part(download *part, exia_error *err)
{
    struct stat ours, there;
    for (;;) {
        exia_status rc = exia__lock_take(&part->fd, part->path, part->work, err);
        if (rc < 0)
            return rc;
        if (fstat(part->fd, &ours) != 0)
            return exia__fail_errno(err, errno, "cannot read", part->path);
        if (stat(part->path, &there) == 0 && ours.st_ino == there.st_ino &&
            ours.st_dev == there.st_dev)
            return EXIA_OK;
        exia__lock_drop(part->fd);
        part->fd = -1;
    }
}

static exia_status start_over(download *part, exia_error *err)
{
    part->have = 0;
    exia__hash_free(part->hash);
    part->hash = NULL;
    exia_status rc = exia__hash_open(&part->hash, err);
    if (rc == EXIA_OK && ftruncate(part->fd, 0) != 0)
        rc = exia__fail_errno(err, errno, "cannot write", part->path);
    return rc;
}

/* Hash what an earlier pull left. */
static exia_status hash_part(download *part, exia_error *err)
{
    struct stat info;
    exia_status rc = EXIA_OK;
    if (fstat(part->fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", part->path);
    uint64_t size = (uint64_t)info.st_size;
    if (size == 0 || size > part->parcel->size)
        return start_over(part, err);
    char *block = exia__resize(NULL, BLOCK);
    rc = block ? exia__hash_open(&part->hash, err) : exia__fail_memory(err);
    while (rc == EXIA_OK && part->have < size) {
        size_t step = size - part->have < BLOCK ? (size_t)(size - part->have) : BLOCK;
        rc = exia__work_step(part->work, "fetching", part->have, part->parcel->size, err);
        if (rc == EXIA_OK)
            rc = exia__read_at(part->fd, block, step, part->have, part->path, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(part->hash, block, step, err);
        part->have += step;
    }
    exia__release(block);
    return rc;
}

static exia_status receive(const void *data, size_t size, void *payload, exia_error *err)
{
    download *part = payload;
    if (size > part->parcel->size - part->have)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s has more bytes than its record says",
                          part->parcel->key);
    exia_status rc = EXIA_OK;
    for (size_t put = 0; rc == EXIA_OK && put < size;) {
        ssize_t done =
            pwrite(part->fd, (const char *)data + put, size - put, (off_t)(part->have + put));
        if (done < 0 && errno != EINTR)
            rc = exia__fail_errno(err, errno, "cannot write", part->path);
        else if (done > 0)
            put += (size_t)done;
    }
    if (rc == EXIA_OK)
        rc = exia__hash_update(part->hash, data, size, err);
    part->have += size;
    return rc;
}

static exia_status check_blob(const download *part, exia_error *err)
{
    exia_job job = exia__work_rest(part->work);
    const exia__parcel *parcel = part->parcel;
    uint64_t size = 0;
    exia_status rc = exia__blobs_stat(&size, NULL, part->side->blobs, parcel->key, &job, err);
    if (rc == EXIA_ENOTFOUND)
        rc = exia__fail(err, rc, 0, "%s@%s is recorded, but its file %s is not there", parcel->name,
                        parcel->version, parcel->key);
    if (rc == EXIA_OK && size != parcel->size)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s has %llu bytes, and its record says %llu",
                        parcel->key, (unsigned long long)size, (unsigned long long)parcel->size);
    return rc;
}

/* The rest of the bytes.  EXIA_DONE: all are here, and they are not what the record names. */
static exia_status fetch_rest(download *part, exia_error *err)
{
    exia_job job = exia__work_rest(part->work);
    const exia__parcel *parcel = part->parcel;
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE];
    exia_status rc = EXIA_OK;
    if (part->have < parcel->size)
        rc = exia__blobs_get(part->side->blobs, parcel->key, part->have, parcel->size - part->have,
                             receive, part, &job, err);
    if (rc == EXIA_OK && part->have < parcel->size)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s ended after %llu of %llu bytes", parcel->key,
                        (unsigned long long)part->have, (unsigned long long)parcel->size);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, part->hash, err);
    if (rc < 0)
        return rc;
    exia__hex(hex, digest, sizeof digest);
    return strcmp(hex, parcel->hex) == 0 ? EXIA_OK : EXIA_DONE;
}

static exia_status fetch(download *part, exia_transfer *moved, exia_error *err)
{
    exia_status rc = check_blob(part, err);
    if (rc == EXIA_OK)
        rc = hash_part(part, err);
    if (rc < 0)
        return rc;
    moved->reused = part->have;
    rc = fetch_rest(part, err);
    if (rc == EXIA_DONE && moved->reused > 0) { /* perhaps what was left here is the bad half */
        moved->reused = 0;
        rc = start_over(part, err);
        if (rc == EXIA_OK)
            rc = fetch_rest(part, err);
    }
    if (rc == EXIA_DONE) {
        start_over(part, NULL);
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s holds other bytes than its name says",
                        part->parcel->key);
    }
    moved->moved = moved->total - moved->reused;
    return rc;
}

/* Verify what arrived, and register it here. */
static exia_status take_in(const download *part, const exia_registry *registry,
                           const exia__offer *offer, exia_error *err)
{
    const exia__parcel *wanted = part->parcel;
    exia__parcel parcel = {.fd = -1};
    exia__side here = exia__side_here(registry);
    exia_status rc = exia__parcel_open(&parcel, part->path, part->work, err);
    if (rc == EXIA_OK &&
        (strcmp(parcel.hex, wanted->hex) != 0 || strcmp(parcel.digest, wanted->digest) != 0 ||
         strcmp(parcel.name, wanted->name) != 0 || strcmp(parcel.version, wanted->version) != 0 ||
         strcmp(parcel.tag, wanted->tag) != 0))
        rc = exia__fail(err, EXIA_ECORRUPT, 0,
                        "%s is %s@%s#%s with digest %.12s, and its record says %s@%s#%s with %.12s",
                        wanted->key, parcel.name, parcel.version, parcel.tag, parcel.digest,
                        wanted->name, wanted->version, wanted->tag, wanted->digest);
    if (rc < 0)
        exia__side_fail(part->side, rc, err);
    else
        rc = exia__publish(NULL, registry, &here, &parcel, json_object_get(offer->event, "facts"),
                           part->work, err);
    exia__parcel_free(&parcel);
    return rc;
}

exia_status exia__pull_offer(exia_transfer *moved, const exia_registry *registry,
                             const exia__side *side, const exia__offer *offer, exia__work *work,
                             exia_error *err)
{
    exia__parcel wanted = {.fd = -1};
    exia__side here = exia__side_here(registry);
    download part = {.side = side, .parcel = &wanted, .work = work, .fd = -1};
    exia_transfer transfer = {0};
    char *line = NULL;
    int known = 0;
    exia_status rc = exia__parcel_describe(&wanted, offer, err);
    if (rc < 0 || (rc = exia__publish_known(&known, &here, &wanted, work, err)) < 0)
        goto done;
    transfer.total = wanted.size;
    if (known) {
        transfer.reused = transfer.total;
        goto done;
    }
    if ((rc = part_path(&part.path, registry, wanted.hex, err)) < 0 ||
        (rc = journal_begin(&line, registry, "pull", side, &wanted, err)) < 0 ||
        (rc = open_part(&part, err)) < 0 ||
        (rc = exia__publish_known(&known, &here, &wanted, work, err)) < 0)
        goto done;
    if (known) { /* another pull was faster */
        unlink(part.path);
        transfer.reused = transfer.total;
        rc = journal_end(registry, line, err);
        goto done;
    }
    rc = fetch(&part, &transfer, err);
    if (rc < 0)
        exia__side_fail(side, rc, err);
    else
        rc = take_in(&part, registry, offer, err);
    if (rc == EXIA_OK || rc == EXIA_ECORRUPT) {
        unlink(part.path);
        journal_end(registry, line, NULL); /* a line too many is forgotten one day */
    }
done:
    if (rc >= 0 && moved != NULL)
        *moved = transfer;
    exia__lock_drop(part.fd);
    exia__hash_free(part.hash);
    exia__release(part.path);
    exia__release(line);
    exia__parcel_free(&wanted);
    return rc < 0 ? rc : EXIA_OK;
}

exia_status exia_registry_pull(exia_transfer *out, exia_registry *registry, const char *package,
                               const char *remote, const exia_job *job, exia_error *err)
{
    exia__spec selector = {0};
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia__side side = {0};
    exia__work work;
    if (out != NULL)
        *out = (exia_transfer){0};
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc < 0)
        return rc;
    if (remote == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_pull: the remote is NULL");
    if ((rc = exia__work_begin(&work, job, err)) < 0 ||
        (rc = exia__spec_parse(&selector, package, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote, EXIA_STORE_READ, EXIA__WITH_BLOBS, job,
                              err)) < 0 ||
        (rc = exia__offer_find(&offer, &offers, &side, &selector, job, err)) < 0)
        goto done;
    rc = exia__pull_offer(out, registry, &side, offer, &work, err);
done:
    exia__side_free(&side);
    exia__offers_free(&offers);
    exia__spec_free(&selector);
    return rc;
}
