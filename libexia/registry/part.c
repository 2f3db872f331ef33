/* The file that a pull puts together.  Verified, it becomes the blob itself: so when it is whole it loses the
 * right to be written, for it may be a blob from then on, and the process end before anybody knows.  One that
 * is bad nevertheless is dropped by its name. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "registry/fetch.h"

/* EXIA_DONE: it has not the SHA-256 that it should have. */
static exia_status check_hash(const exia__fetch *fetch, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE];
    exia_status rc =
        exia__hash_range(digest, fetch->fd, 0, fetch->parcel->size, fetch->path, fetch->work, err);
    exia__hex(hex, digest, sizeof digest);
    return rc < 0 ? rc : strcmp(hex, fetch->parcel->hex) == 0 ? EXIA_OK : EXIA_DONE;
}

/* The file once more, for reading, and not as a duplicate: in a forked child that would keep the lock. */
static exia_status open_again(int *out, const exia__fetch *fetch, exia_error *err)
{
    struct stat ours, again;
    *out = open(fetch->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*out < 0 || fstat(*out, &again) != 0 || fstat(fetch->fd, &ours) != 0)
        return exia__fail_errno(err, errno, "cannot read", fetch->path);
    return ours.st_ino == again.st_ino && ours.st_dev == again.st_dev
               ? EXIA_OK
               : exia__fail(err, EXIA_ECONFLICT, 0, "%s was replaced by another file", fetch->path);
}

/* One that is damaged may be so where it comes from. */
exia_status exia__part_check(exia__parcel *got, const exia__fetch *fetch, exia_error *err)
{
    exia_error why;
    if (fetch->dry_run)
        return check_hash(fetch, err);
    int fd = -1;
    exia_status rc = open_again(&fd, fetch, &why);
    if (rc == EXIA_OK)
        rc = exia__parcel_open_own(got, fd, fetch->parcel->size, fetch->path, fetch->work, &why);
    if (fd >= 0)
        close(fd);
    if (rc == EXIA_OK && strcmp(got->hex, fetch->parcel->hex) != 0) {
        exia__parcel_free(got);
        return EXIA_DONE;
    }
    if (rc == EXIA_OK)
        return rc;
    if (rc == EXIA_ECANCELLED || rc == EXIA_ETIMEOUT || rc == EXIA_ENOMEM)
        return exia__error_pass(err, &why);
    rc = check_hash(fetch, err);
    return rc == EXIA_OK ? exia__error_pass(err, &why) : rc;
}

int exia__part_finished(const struct stat *part)
{
    return (part->st_mode & S_IWUSR) == 0;
}

exia_status exia__part_look(struct stat *out, const exia__fetch *fetch, exia_error *err)
{
    *out = (struct stat){.st_mode = S_IFREG | S_IRUSR | S_IWUSR};
    return fetch->fd < 0 || fstat(fetch->fd, out) == 0
               ? EXIA_OK
               : exia__fail_errno(err, errno, "cannot read", fetch->path);
}

exia_status exia__part_cut(const exia__fetch *fetch, uint64_t size, exia_error *err)
{
    return fetch->dry_run || ftruncate(fetch->fd, (off_t)size) == 0
               ? EXIA_OK
               : exia__fail_errno(err, errno, "cannot write", fetch->path);
}
