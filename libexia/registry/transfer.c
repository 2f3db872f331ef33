/* Push and pull.  A transfer stands in the journal from its first byte until its record is written.
 * What a pull has fetched lies in staging/SHA256.part, which is its lock as well, and the next pull
 * goes on with it; once it is verified it becomes the blob itself.  A push is locked by
 * staging/SHA256.to-REMOTE, which is empty.  So of several processes one moves the bytes, and the others
 * find that they have moved.  Transfers that nobody came back to in a month are forgotten when the home
 * is opened. */
#include "registry/transfer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/fetch.h"
#include "registry/files.h"
#include "registry/journal.h"

enum { LOOK_MS = 20 }; /* between two looks at a lock */

/* ---- locks ---- */

typedef struct watched {
    off_t size;
    struct timespec changed;
} watched;

/* Has the holder of the lock written to the file since we looked? */
static int has_changed(watched *seen, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return 1;
    int changed = info.st_size != seen->size || info.st_mtim.tv_sec != seen->changed.tv_sec ||
                  info.st_mtim.tv_nsec != seen->changed.tv_nsec;
    *seen = (watched){info.st_size, info.st_mtim};
    return changed;
}

/* Is the file that is locked still the one of this name?  Who waited may hold one that is gone. */
static int is_current(int fd, const char *path)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

/* Who holds the lock shows that it goes on, also while it only reads: whenever there is progress, the file
 * becomes young. */
typedef struct pulse {
    const exia_job *job; /* of the caller */
    const int *fd;       /* of the file */
} pulse;

static int beat(const char *step, uint64_t done, uint64_t total, void *payload)
{
    const pulse *now = payload;
    if (*now->fd >= 0)
        (void)futimens(*now->fd, NULL);
    return now->job->progress ? now->job->progress(step, done, total, now->job->payload) : 0;
}

static exia__work with_pulse(pulse *now, const exia__work *caller, const int *fd)
{
    exia__work work = *caller;
    *now = (pulse){&caller->job, fd};
    work.job.progress = beat;
    work.job.payload = now;
    return work;
}

/* Wait for the lock as long as its holder goes on.  EXIA_DONE: it holds the lock, and seems to stand
 * still. */
static exia_status lock_file(int *fd, const char *path, exia__work *work, exia_error *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000};
    watched seen = {0};
    int64_t begin = exia__clock_ms();
    for (;;) {
        exia_status rc = exia__lock_try(fd, path, err);
        if (rc < 0)
            return rc;
        if (rc == EXIA_OK && is_current(*fd, path))
            return EXIA_OK;
        exia__lock_drop(*fd);
        *fd = -1;
        if (rc == EXIA_OK)
            continue;
        if (has_changed(&seen, path))
            begin = exia__clock_ms();
        rc = exia__work_step(work, "waiting for another process", 0, 0, err);
        if (rc < 0)
            return rc;
        if (exia__clock_ms() - begin >= work->job.timeout_ms)
            return EXIA_DONE;
        nanosleep(&pause, NULL);
    }
}

static void tell_package(exia_transfer *out, const exia__offer *offer)
{
    snprintf(out->package, sizeof out->package, "%s@%s#%s", offer->name, offer->version,
             offer->tag);
}

/* ---- push ---- */

/* One process after the other sends; who waited too long sends as well, which does no harm. */
static exia_status send(exia_transfer *moved, const exia_registry *registry, const exia__side *side,
                        const exia__parcel *parcel, const json_t *facts, exia__work *work,
                        exia_error *err)
{
    char *line = NULL, *path = NULL;
    int lock = -1;
    pulse now;
    exia__work ours = with_pulse(&now, work, &lock);
    exia_status rc = exia__journal_file(&path, registry, parcel->hex, side->name, err);
    if (rc == EXIA_OK)
        rc = exia__journal_begin(&line, registry, "push", side, parcel, err);
    if (rc == EXIA_OK)
        rc = lock_file(&lock, path, work, err);
    if (rc >= 0)
        rc = exia__publish(moved, registry, side, parcel, facts, &ours, err);
    if (lock >= 0)
        unlink(path);
    if (rc == EXIA_OK)
        rc = exia__journal_end(registry, line, err);
    exia__lock_drop(lock);
    exia__release(path);
    exia__release(line);
    return rc;
}

/* What send() would do.  Of a remote that is not there yet nothing is made. */
static exia_status plan_push(exia_transfer *out, const exia_registry *registry,
                             const exia__side *side, const exia__parcel *parcel, exia__work *work,
                             exia_error *err)
{
    int known = 0;
    *out = (exia_transfer){.total = parcel->size, .moved = parcel->size};
    if (side->files != NULL)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0,
                          "%s is a directory of packages, which is only read: copy files there",
                          side->name);
    if (side->records == NULL)
        return EXIA_OK;
    exia_status rc = exia__publish_known(&known, side, parcel, work, err);
    if (rc == EXIA_OK && known)
        *out = (exia_transfer){.total = parcel->size, .reused = parcel->size};
    else if (rc == EXIA_OK)
        rc = exia__blob_plan(out, registry, side, parcel, work, err);
    return rc < 0 ? exia__side_fail(side, rc, err) : EXIA_OK;
}

exia_status exia_registry_push(exia_transfer *out, exia_registry *registry, const char *package,
                               const char *remote, const exia_transfer_options *options,
                               const exia_job *job, exia_error *err)
{
    exia_transfer_options how = {0};
    exia_transfer moved = {0};
    exia__spec selector = {0};
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia__parcel parcel = {.fd = -1};
    exia__side side = {0};
    exia__work work;
    if (out != NULL)
        *out = moved;
    exia_status rc = exia__options(&how, sizeof how, options, err);
    if (rc == EXIA_OK)
        rc = how.dry_run ? exia__registry_enter(registry, err)
                         : exia__registry_enter_write(registry, err);
    if (rc < 0)
        return rc;
    if (remote == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_push: the remote is NULL");
    exia__side here = exia__side_here(registry);
    if ((rc = exia__work_begin(&work, job, err)) < 0 ||
        (rc = exia__spec_parse(&selector, package, err)) < 0 ||
        (rc = exia__offer_find(&offer, &offers, &here, &selector, job, err)) < 0 ||
        (rc = exia__parcel_of(&parcel, registry, offer, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote,
                              how.dry_run ? EXIA_STORE_READ : EXIA_STORE_WRITE, EXIA__WITH_BLOBS,
                              job, err)) < 0)
        goto done;
    rc = how.dry_run ? plan_push(&moved, registry, &side, &parcel, &work, err)
                     : send(&moved, registry, &side, &parcel,
                            json_object_get(offer->event, "facts"), &work, err);
    tell_package(&moved, offer);
    if (rc == EXIA_OK && out != NULL)
        *out = moved;
done:
    exia__side_free(&side);
    exia__parcel_free(&parcel);
    exia__offers_free(&offers);
    exia__spec_free(&selector);
    return rc;
}

/* ---- pull ---- */

/* Is what arrived, and is verified, what the record speaks of? */
static exia_status compare(const exia__parcel *got, const exia__parcel *wanted, exia_error *err)
{
    if (strcmp(got->digest, wanted->digest) != 0 || strcmp(got->name, wanted->name) != 0 ||
        strcmp(got->version, wanted->version) != 0 || strcmp(got->tag, wanted->tag) != 0)
        return exia__fail(
            err, EXIA_ECORRUPT, 0,
            "%s is %s@%s#%s with digest %.12s, and its record says %s@%s#%s with %.12s",
            wanted->key, got->name, got->version, got->tag, got->digest, wanted->name,
            wanted->version, wanted->tag, wanted->digest);
    if (!json_equal(json_object_get(got->metadata, "manifest"),
                    json_object_get(wanted->metadata, "manifest")))
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "what the record of %s@%s#%s says of it is not what its file says: "
                          "unregister it there, and push it again",
                          wanted->name, wanted->version, wanted->tag);
    return EXIA_OK;
}

static exia_status lock_part(exia__fetch *fetch, exia_error *err)
{
    exia_status rc = lock_file(&fetch->fd, fetch->path, fetch->work, err);
    if (rc == EXIA_DONE) {
        rc = exia__lock_fail(fetch->path, fetch->work, err);
        exia__prefix(err, rc, "a pull of %s@%s stands still", fetch->parcel->name,
                     fetch->parcel->version);
    }
    return rc;
}

/* A file that is finished may be in use as a blob: it only loses this name, and a new one is begun. */
static exia_status renew_part(exia__fetch *fetch, exia_error *err)
{
    unlink(fetch->path);
    exia__lock_drop(fetch->fd);
    fetch->fd = -1;
    return lock_part(fetch, err);
}

/* Fetch, verify and register here what is locked. */
static exia_status fetch_locked(exia_transfer *out, exia__fetch *fetch, const exia__offer *offer,
                                exia_error *err)
{
    const exia__side here = exia__side_here(fetch->registry);
    exia__parcel got = {.fd = -1};
    struct stat part;
    exia_status rc = exia__part_look(&part, fetch, err);
    /* cut when the power failed, which may keep the mode and not the bytes, or of another record */
    if (rc == EXIA_OK && exia__part_finished(&part) &&
        (uint64_t)part.st_size != fetch->parcel->size)
        rc = renew_part(fetch, err);
    if (rc == EXIA_OK)
        rc = exia__fetch_all(out, &got, fetch, err);
    if (rc == EXIA_DONE && (rc = renew_part(fetch, err)) == EXIA_OK)
        rc = exia__fetch_all(out, &got, fetch, err);
    if (rc == EXIA_OK)
        rc = compare(&got, fetch->parcel, err);
    if (rc < 0)
        exia__side_fail(fetch->side, rc, err);
    else
        rc = exia__publish(NULL, fetch->registry, &here, &got,
                           json_object_get(offer->event, "facts"), fetch->work, err);
    exia__parcel_free(&got);
    return rc;
}

static exia_status receive(exia_transfer *out, exia__fetch *fetch, const exia__offer *offer,
                           exia_error *err)
{
    const exia__side here = exia__side_here(fetch->registry);
    char *line = NULL;
    int known = 0;
    pulse now;
    exia__work ours = with_pulse(&now, fetch->work, &fetch->fd);
    exia_status rc =
        exia__journal_begin(&line, fetch->registry, "pull", fetch->side, fetch->parcel, err);
    if (rc == EXIA_OK)
        rc = lock_part(fetch, err);
    fetch->work = &ours;
    if (rc == EXIA_OK)
        rc = exia__publish_known(&known, &here, fetch->parcel, fetch->work, err);
    if (rc < 0)
        goto done;
    if (known) { /* another pull was faster */
        *out = (exia_transfer){.total = fetch->parcel->size, .reused = fetch->parcel->size};
    } else {
        rc = fetch_locked(out, fetch, offer, err);
    }
    if (rc == EXIA_OK || rc == EXIA_ECORRUPT) {
        unlink(fetch->path);
        exia__journal_end(fetch->registry, line, NULL); /* a line too many is forgotten one day */
    }
done:
    exia__release(line);
    return rc;
}

/* What receive() would do, with what lies here now. */
static exia_status plan_pull(exia_transfer *out, exia__fetch *fetch, exia_error *err)
{
    fetch->dry_run = 1;
    fetch->fd = open(fetch->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    exia_status rc = exia__fetch_all(out, NULL, fetch, err);
    return rc < 0 ? exia__side_fail(fetch->side, rc, err) : EXIA_OK;
}

static exia_status pull(exia_transfer *out, const exia_registry *registry, const exia__side *side,
                        const exia__offer *offer, int dry_run, exia__work *work, exia_error *err)
{
    exia__parcel wanted = {.fd = -1};
    const exia__side here = exia__side_here(registry);
    exia__fetch fetch = {registry, side, &wanted, work, NULL, -1, 0};
    char *path = NULL;
    int known = 0;
    exia_status rc = exia__parcel_describe(&wanted, offer, err);
    if (rc == EXIA_OK)
        rc = exia__publish_known(&known, &here, &wanted, work, err);
    if (rc == EXIA_OK)
        rc = exia__journal_file(&path, registry, wanted.hex, NULL, err);
    if (rc < 0)
        goto done;
    fetch.path = path;
    *out = (exia_transfer){.total = wanted.size, .reused = wanted.size};
    if (!known && side->files != NULL)
        rc = exia__files_take(out, registry, side->files, offer, dry_run, work, err);
    else if (!known)
        rc = dry_run ? plan_pull(out, &fetch, err) : receive(out, &fetch, offer, err);
done:
    if (dry_run && fetch.fd >= 0)
        close(fetch.fd);
    else
        exia__lock_drop(fetch.fd);
    exia__release(path);
    exia__parcel_free(&wanted);
    return rc < 0 ? rc : EXIA_OK;
}

exia_status exia__pull_offer(exia_transfer *moved, const exia_registry *registry,
                             const exia__side *side, const exia__offer *offer, exia__work *work,
                             exia_error *err)
{
    exia_transfer ours;
    return pull(moved ? moved : &ours, registry, side, offer, 0, work, err);
}

exia_status exia_registry_pull(exia_transfer *out, exia_registry *registry, const char *package,
                               const char *remote, const exia_transfer_options *options,
                               const exia_job *job, exia_error *err)
{
    exia_transfer_options how = {0};
    exia_transfer moved = {0};
    exia__spec selector = {0};
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia__side side = {0};
    exia__work work;
    if (out != NULL)
        *out = moved;
    exia_status rc = exia__options(&how, sizeof how, options, err);
    if (rc == EXIA_OK)
        rc = how.dry_run ? exia__registry_enter(registry, err)
                         : exia__registry_enter_write(registry, err);
    if (rc < 0)
        return rc;
    if (remote == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_pull: the remote is NULL");
    if ((rc = exia__work_begin(&work, job, err)) < 0 ||
        (rc = exia__spec_parse(&selector, package, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote, EXIA_STORE_READ, EXIA__WITH_BLOBS, job,
                              err)) < 0 ||
        (rc = exia__offer_find(&offer, &offers, &side, &selector, job, err)) < 0 ||
        (rc = pull(&moved, registry, &side, offer, how.dry_run, &work, err)) < 0)
        goto done;
    tell_package(&moved, offer);
    if (out != NULL)
        *out = moved;
done:
    exia__side_free(&side);
    exia__offers_free(&offers);
    exia__spec_free(&selector);
    return rc;
}
