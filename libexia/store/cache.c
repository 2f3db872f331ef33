/* A blob of a remote store as a file here.  It is written beside its place, hashed on the way, and
 * renamed when it is whole, so that what has its name is right.  Who brings it holds the lock of the
 * part that is there, and others wait for it; who comes after one that died goes on behind the bytes
 * that it left. */
#include "store/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

enum { TRIES = 8, SHARE_TRIES = 100, PIECE = 1 << 20, TOUCH_AFTER_S = 60 };

typedef struct bringing {
    exia__cache cache;
    exia__work work;
    exia__blobs *blobs;
    const char *key, *sha256;
    uint64_t size, have; /* have: bytes of the part, all of them hashed */
    char *name;          /* of the part */
    int fd, reserved;
    int remote; /* what failed is the store's to tell; else it is the cache's, which can be done without */
    exia__hash *hash;
} bringing;

/* ---- what is here --------------------------------------------------------------------------- */

/* Who has it alone has brought it just now, or is removing it: neither takes long. */
static int share(int fd)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK; i++) {
        if (i == SHARE_TRIES)
            return 0;
        nanosleep(&pause, NULL);
    }
    return 1; /* also where there are no locks */
}

/* @return EXIA_ENOTFOUND: it is not here, or is being removed, or is damaged, which removes it */
static exia_status use(exia__cached *out, const bringing *now, exia_error *err)
{
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    struct stat info = {0};
    exia_status rc = EXIA_OK;
    int fd = openat(now->cache.folder, now->sha256, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || !share(fd)) {
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s is not in the cache", now->sha256);
    } else if (fstat(fd, &info) != 0 || info.st_nlink == 0 || !S_ISREG(info.st_mode) ||
               (uint64_t)info.st_size != now->size) {
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s is damaged in the cache", now->sha256);
        if (info.st_nlink != 0)
            exia__log(EXIA_LOG_WARNING, "cache", "%s/%s is damaged, and removed: %s",
                      now->cache.path, now->sha256,
                      unlinkat(now->cache.folder, now->sha256, 0) == 0 ? "done" : strerror(errno));
    } else {
        rc = exia__path_join(&out->path, now->cache.path, now->sha256, err);
    }
    if (rc == EXIA_OK) {
        if (exia__now_ms() / 1000 - info.st_mtim.tv_sec > TOUCH_AFTER_S)
            (void)futimens(fd, times); /* where that cannot be, it goes sooner */
        out->fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
    return rc;
}

void exia__cache_forget(const exia__cached *damaged)
{
    exia__log(EXIA_LOG_WARNING, "cache", "%s is damaged, and removed: %s", damaged->path,
              unlink(damaged->path) == 0 ? "done" : strerror(errno));
}

/* ---- the part that is there ----------------------------------------------------------------- */

/* Hold the part alone.  @return EXIA_DONE: it was renamed or removed while we waited */
static exia_status hold_part(bringing *now, exia_error *err)
{
    now->fd = openat(now->cache.folder, now->name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (now->fd < 0)
        return exia__fail_errno(err, errno, "cannot write in", now->cache.path);
    return exia__cache_lock(now->fd, &now->cache, now->name, &now->work, err);
}

/* What came stays for the next one, unless it is of no use. */
static void drop_part(bringing *now, exia_status why)
{
    int keep = now->remote && why != EXIA_ECORRUPT && now->have > 0 && !now->cache.shared;
    if (!keep)
        unlinkat(now->cache.folder, now->name, 0);
    if (now->reserved)
        exia__cache_give_back(&now->cache, now->size - (keep ? now->have : 0), &now->work);
}

/* Hash what another one left; all of it, or nothing. */
static exia_status hash_part(bringing *now, exia_error *err)
{
    struct stat info;
    exia_status rc = EXIA_OK;
    char *piece = NULL;
    if (fstat(now->fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", now->cache.path);
    uint64_t there = (uint64_t)info.st_size <= now->size ? (uint64_t)info.st_size : 0;
    if (there > 0 && (piece = exia__resize(NULL, PIECE)) == NULL)
        return exia__fail_memory(err);
    while (rc == EXIA_OK && now->have < there) {
        size_t size = there - now->have < PIECE ? (size_t)(there - now->have) : PIECE;
        rc = exia__read_at(now->fd, piece, size, now->have, now->name, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(now->hash, piece, size, err);
        if (rc == EXIA_OK)
            rc = exia__work_step(&now->work, "reading", now->have += size, now->size, err);
    }
    exia__release(piece);
    return rc;
}

/* Begin anew. */
static exia_status empty_part(bringing *now, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    now->have = 0;
    if (ftruncate(now->fd, 0) != 0)
        return exia__fail_errno(err, errno, "cannot write in", now->cache.path);
    return exia__hash_finish(digest, now->hash, err); /* it begins anew, too */
}

/* ---- bringing it ---------------------------------------------------------------------------- */

static exia_status take_piece(const void *data, size_t size, void *payload, exia_error *err)
{
    bringing *now = payload;
    if (size > now->size - now->have)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it has more than %" PRIu64 " bytes", now->size);
    exia_status rc = exia__write_all(now->fd, data, size, now->cache.path, err);
    now->remote = rc == EXIA_OK;
    if (rc == EXIA_OK)
        rc = exia__hash_update(now->hash, data, size, err);
    if (rc == EXIA_OK)
        now->have += size;
    return rc;
}

static exia_status check_digest(bringing *now, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE];
    exia_status rc = exia__hash_finish(digest, now->hash, err);
    if (rc < 0)
        return rc;
    exia__hex(hex, digest, sizeof digest);
    return strcmp(hex, now->sha256) == 0
               ? EXIA_OK
               : exia__fail(err, EXIA_ECORRUPT, 0, "its SHA-256 is %s, not %s", hex, now->sha256);
}

/* The rest of it from the store. */
static exia_status bring_rest(bringing *now, exia_error *err)
{
    exia_job job = exia__work_rest(&now->work);
    exia_status rc = EXIA_OK;
    if (lseek(now->fd, (off_t)now->have, SEEK_SET) < 0)
        return exia__fail_errno(err, errno, "cannot write in", now->cache.path);
    now->remote = 1;
    if (now->have < now->size) /* a byte more, so that a longer one is seen */
        rc = exia__blobs_get(now->blobs, now->key, now->have, now->size - now->have + 1, take_piece,
                             now, &job, err);
    if (rc == EXIA_OK && now->have < now->size)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "it has %" PRIu64 " of %" PRIu64 " bytes", now->have,
                        now->size);
    if (rc == EXIA_OK)
        rc = check_digest(now, err);
    return rc;
}

/* All of it; where that does not fit what another one left, from the beginning. */
static exia_status bring_all(bringing *now, exia_error *err)
{
    int resumed = now->have > 0;
    exia_status rc = bring_rest(now, err);
    if (resumed && (rc == EXIA_ECORRUPT || rc == EXIA_EINVAL)) {
        exia__forgive(err);
        now->remote = 0;
        rc = empty_part(now, err);
        if (rc == EXIA_OK)
            rc = bring_rest(now, err);
    }
    if (rc == EXIA_ECORRUPT)
        return exia__prefix(err, rc, "the blob %s", now->key);
    if (rc < 0)
        return rc;
    now->remote = 0;
    if (fdatasync(now->fd) != 0)
        return exia__fail_errno(err, errno, "cannot write in", now->cache.path);
    rc = exia__cache_name(&now->cache, now->name, now->sha256, &now->work, err);
    if (rc ==
        EXIA_OK) /* not before: who dies between the two would leave a part that nobody opens */
        (void)fchmod(now->fd, 0400);
    return rc;
}

/* @return EXIA_OK: look for it again, EXIA_DONE: it came meanwhile, and is used */
static exia_status bring(exia__cached *out, bringing *now, exia_error *err)
{
    now->remote = now->reserved = 0;
    now->have = 0;
    exia_status rc = hold_part(now, err);
    if (rc == EXIA_OK) {
        rc = use(out, now, err);
        if (rc == EXIA_OK)
            unlinkat(now->cache.folder, now->name, 0);
        rc = rc == EXIA_OK ? EXIA_DONE : rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc;
    } else if (rc == EXIA_DONE) {
        rc = EXIA_OK; /* look for it again */
        goto done;
    }
    if (rc != EXIA_OK)
        goto done;
    rc = exia__hash_open(&now->hash, err);
    if (rc == EXIA_OK)
        rc = exia__cache_reserve(&now->cache, now->size, now->name, now->fd, &now->work, err);
    now->reserved = rc == EXIA_OK;
    if (rc == EXIA_OK)
        rc = hash_part(now, err);
    if (rc == EXIA_OK)
        rc = bring_all(now, err);
    if (rc < 0)
        drop_part(now, rc);
done:
    exia__hash_free(now->hash);
    now->hash = NULL;
    if (now->fd >= 0)
        close(now->fd);
    now->fd = -1;
    return rc;
}

/* ---- both ----------------------------------------------------------------------------------- */

/* One name for all who bring it, so that they find each other; where locks may mean nothing, one of
 * its own. */
static exia_status name_part(bringing *now, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE] = "";
    exia_status rc = now->cache.shared ? exia__token(token, err) : EXIA_OK;
    return rc < 0 ? rc
                  : exia__text_format(&now->name, err, "%s%s%s.part", now->sha256,
                                      now->cache.shared ? "-" : "", token);
}

static exia_status find_or_bring(exia__cached *out, bringing *now, exia_error *err)
{
    for (int i = 0; i < TRIES; i++) {
        exia_status rc = use(out, now, err);
        if (rc != EXIA_ENOTFOUND)
            return rc;
        exia__forgive(err);
        rc = bring(out, now, err);
        if (rc != EXIA_OK)
            return rc == EXIA_DONE ? EXIA_OK : rc;
    }
    return exia__fail(err, EXIA_EUNSUPPORTED, 0, "it goes as fast as it comes");
}

/* Where only the cache failed, the blob is read without. */
static exia_status done_without(exia_status rc, const bringing *now, exia_error *why)
{
    if (rc >= 0 || now->remote || rc == EXIA_ENOMEM || rc == EXIA_ECANCELLED || rc == EXIA_ETIMEOUT)
        return rc;
    exia__log(EXIA_LOG_WARNING, "cache", "the blob %s is read without the cache: %s", now->key,
              why->text);
    return why->status = EXIA_EUNSUPPORTED;
}

exia_status exia__cache_fetch(exia__cached *out, exia__blobs *blobs, const char *key,
                              const char *sha256, uint64_t size, const exia_job *job,
                              exia_error *err)
{
    bringing now = {.blobs = blobs, .key = key, .sha256 = sha256, .size = size, .fd = -1};
    exia_error caught = {0};
    *out = (exia__cached){.fd = -1};
    if (size == 0 || !exia__hex_valid(sha256))
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "there is nothing to keep");
    exia_status rc = exia__work_begin(&now.work, job, err);
    if (rc < 0)
        return rc;
    rc = exia__cache_open(&now.cache, err);
    if (rc == EXIA_OK) {
        rc = name_part(&now, &caught);
        if (rc == EXIA_OK)
            rc = find_or_bring(out, &now, &caught);
        rc = done_without(rc, &now, &caught);
        if (rc < 0 && err != NULL)
            *err = caught;
    }
    exia__cache_close(&now.cache);
    exia__release(now.name);
    return rc;
}
