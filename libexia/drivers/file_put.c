/* How a blob gets into a store of files: staged, synced, named, its directories synced.  What other
 * blobs have already is copied from them, shared where the file system can do that.  Where the key is
 * known only when all bytes were read, the staged file waits for its name.  A file that the caller has
 * staged itself is linked: it gets its name here as well. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/job.h"
#include "base/memory.h"
#include "drivers/file.h"

/* By writes of 2 MiB and more the page cache takes a file in pieces as large, which a reader maps far
 * sooner than small ones. */
enum { WRITE_SIZE = 4 << 20, COPY_SIZE = 64 << 20, SYNC_SIZE = 64 << 20, BLOB_MODE = 0444 };

exia_status exia__blobdir_writable(const exia__blobdir *self, const char *key, exia_error *err)
{
    if (self->mode == EXIA_STORE_WRITE)
        return EXIA_OK;
    return exia__fail(err, EXIA_EDENIED, 0, "%s was opened for reading: \"%.60s\" stays as it is",
                      self->path, key);
}

exia_status exia__blobdir_stage(exia__blobfile *out, const exia__blobdir *self, mode_t mode,
                                exia_error *err)
{
    *out = (exia__blobfile){.fd = -1, .folder = -1};
    exia_status rc = exia__token(out->token, err);
    if (rc < 0)
        return rc;
    out->folder = exia__blobdir_enter(self->fd, EXIA__STAGING, EXIA__WALK_MAKE);
    if (out->folder >= 0)
        out->fd = openat(out->folder, out->token,
                         O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    return out->fd >= 0
               ? EXIA_OK
               : exia__blobdir_fail(err, errno, "cannot create a file in", self, EXIA__STAGING);
}

void exia__blobdir_unstage(exia__blobfile *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        if (!file->named)
            unlinkat(file->folder, file->token, 0);
    }
    if (file->folder >= 0)
        close(file->folder);
}

/* Append the source up to `end`. */
static exia_status fill(exia__blobfile *file, const exia_source *source, uint64_t end,
                        exia__work *work, const char *key, exia_error *err)
{
    size_t room = end - file->size < WRITE_SIZE ? (size_t)(end - file->size) : WRITE_SIZE;
    char *piece = exia__resize(NULL, room);
    exia_status rc = piece ? EXIA_OK : exia__fail_memory(err);
    while (rc == EXIA_OK && file->size < end) {
        size_t size = end - file->size < room ? (size_t)(end - file->size) : room;
        rc = exia__work_step(work, "storing", file->size, source->size, err);
        if (rc == EXIA_OK)
            rc = source->read(piece, file->size, size, source->payload, err);
        if (rc == EXIA_OK)
            rc = exia__write_all(file->fd, piece, size, key, err);
        if (rc == EXIA_OK) /* let the disk begin, so that fsync has less to wait for */
            (void)sync_file_range(file->fd, (off_t)file->size, (off_t)size, SYNC_FILE_RANGE_WRITE);
        file->size += size;
    }
    exia__release(piece);
    return rc;
}

/* Append a range of another blob. */
static exia_status copy_piece(exia__blobfile *file, const exia__blobdir *self,
                              const exia_piece *piece, uint64_t total, exia__work *work,
                              exia_error *err)
{
    struct stat info;
    int from = -1;
    exia_status rc = exia__blobdir_open(&from, &info, self, piece->key, err);
    if (rc == EXIA_OK && piece->offset + piece->size > (uint64_t)info.st_size)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s/%s has %lld bytes, and no %llu at %llu",
                        self->path, piece->key, (long long)info.st_size,
                        (unsigned long long)piece->size, (unsigned long long)piece->offset);
    for (uint64_t done = 0; rc == EXIA_OK && done < piece->size;) {
        size_t size = piece->size - done < COPY_SIZE ? (size_t)(piece->size - done) : COPY_SIZE;
        rc = exia__work_step(work, "storing", file->size, total, err);
        if (rc == EXIA_OK)
            rc = exia__copy_range(file->fd, from, piece->offset + done, size, piece->key, err);
        if (rc == EXIA_OK)
            (void)sync_file_range(file->fd, (off_t)file->size, (off_t)size, SYNC_FILE_RANGE_WRITE);
        file->size += size;
        done += size;
    }
    if (from >= 0)
        close(from);
    return rc;
}

/* Is what was copied together what it should be?  Over a network that would cost what copying saved. */
static exia_status compare(const exia__blobfile *file, const exia_source *source, exia__work *work,
                           const char *key, exia_error *err)
{
    struct statfs info;
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE];
    if (source->sha256 == NULL ||
        (fstatfs(file->fd, &info) == 0 && exia__is_network((uint32_t)info.f_type)))
        return EXIA_OK;
    exia_status rc = exia__hash_range(digest, file->fd, 0, file->size, key, work, err);
    exia__hex(hex, digest, sizeof digest);
    if (rc == EXIA_OK && strcmp(hex, source->sha256) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s from pieces of other blobs has the SHA-256 %s",
                        key, hex);
    return rc;
}

/* Say what holds the key, after making sure that it is durable: the caller may go on to name it. */
static exia_status taken(const exia__blobdir *self, const char *key, const struct stat *info,
                         exia_error *err)
{
    const char *name = NULL;
    int parent = -1;
    if (S_ISDIR(info->st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s/%s: other blobs lie below this key", self->path,
                          key);
    exia_status rc = exia__blobdir_check(info, self, key, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_walk(&parent, &name, self, key, EXIA__WALK_SYNC, err);
    if (rc < 0)
        return rc;
    close(parent);
    return exia__fail(err, EXIA_EEXISTS, 0, "%s/%s is there already", self->path, key);
}

/* Is the way to the key free?  The directories above are made. */
static exia_status check_free(const exia__blobdir *self, const char *key, exia_error *err)
{
    const char *name = NULL;
    int parent = -1;
    struct stat info;
    exia_status rc = exia__blobdir_walk(&parent, &name, self, key, EXIA__WALK_MAKE, err);
    if (rc < 0)
        return rc;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        rc = taken(self, key, &info, err);
    close(parent);
    return rc;
}

/* Bring the bytes to the disk piece by piece: an fsync of all of them at once could be neither stopped nor
 * seen to go on. */
static exia_status sync_file(const exia__blobfile *file, const exia__blobdir *self, const char *key,
                             exia__work *work, exia_error *err)
{
    const unsigned all =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    exia_status rc = EXIA_OK;
    for (uint64_t at = 0; rc == EXIA_OK && at + SYNC_SIZE < file->size; at += SYNC_SIZE) {
        if (sync_file_range(file->fd, (off_t)at, SYNC_SIZE, all) != 0 && errno != ENOSYS)
            rc = exia__blobdir_fail(err, errno, "cannot sync", self, key);
        if (rc == EXIA_OK)
            rc = exia__work_step(work, "syncing", at, file->size, err);
    }
    if (rc == EXIA_OK && fsync(file->fd) != 0)
        rc = exia__blobdir_fail(err, errno, "cannot sync", self, key);
    return rc == EXIA_OK ? exia__work_step(work, "storing", file->size, file->size, err) : rc;
}

/* Give it its name: one that was staged here moves, another one is linked. */
static int name_absent(const exia__blobfile *file, int parent, const char *name)
{
    char self[40];
    if (file->folder >= 0)
        return exia__rename_absent(file->folder, file->token, parent, name);
    snprintf(self, sizeof self, "/proc/self/fd/%d", file->fd);
    return linkat(AT_FDCWD, self, parent, name, AT_SYMLINK_FOLLOW);
}

/* Other file systems, and such as have no links. */
static int cannot_link(int code)
{
    return code == EXDEV || code == EPERM || code == EMLINK || code == ENOENT || code == EOPNOTSUPP;
}

static exia_status not_adopted(const exia__blobdir *self, const char *key, const char *why,
                               exia_error *err)
{
    return exia__fail(err, EXIA_EUNSUPPORTED, 0, "%s/%s: a file %s is copied", self->path, key,
                      why);
}

/* Durable first, then visible, then found again after a crash. */
static exia_status name_file(exia__blobfile *file, const exia__blobdir *self, const char *key,
                             exia__work *work, exia_error *err)
{
    const char *name = NULL;
    int parent = -1;
    struct stat info;
    exia_status rc = sync_file(file, self, key, work, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_walk(&parent, &name, self, key, EXIA__WALK_MAKE, err);
    if (rc < 0)
        return rc;
    file->named = name_absent(file, parent, name) == 0;
    if (!file->named && errno == EEXIST && fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        rc = taken(self, key, &info, err);
    else if (!file->named && file->folder < 0 && cannot_link(errno))
        rc = not_adopted(self, key, "that cannot be linked", err);
    else if (!file->named)
        rc = exia__blobdir_fail(err, errno, "cannot write", self, key);
    close(parent);
    if (file->named) {
        rc = exia__blobdir_walk(&parent, &name, self, key, EXIA__WALK_SYNC, err);
        if (rc == EXIA_OK)
            close(parent);
    }
    return rc;
}

exia_status exia__blobdir_put(void *payload, const char *key, const exia_source *source,
                              const exia_job *job, exia_error *err)
{
    const exia__blobdir *self = payload;
    exia__blobfile file = {.fd = -1, .folder = -1};
    exia__work work;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_writable(self, key, err);
    if (rc == EXIA_OK)
        rc = check_free(self, key, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_stage(&file, self, BLOB_MODE, err);
    if (rc == EXIA_OK)
        rc = fill(&file, source, source->size, &work, key, err);
    if (rc == EXIA_OK)
        rc = name_file(&file, self, key, &work, err);
    exia__blobdir_unstage(&file);
    return rc;
}

exia_status exia__blobdir_compose(void *payload, const char *key, const exia_source *source,
                                  const exia_piece *pieces, size_t count, uint64_t *copied,
                                  const exia_job *job, exia_error *err)
{
    const exia__blobdir *self = payload;
    exia__blobfile file = {.fd = -1, .folder = -1};
    exia__work work;
    *copied = 0;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_writable(self, key, err);
    if (rc == EXIA_OK)
        rc = check_free(self, key, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_stage(&file, self, BLOB_MODE, err);
    for (size_t i = 0; i < count && rc == EXIA_OK; i++) {
        rc = fill(&file, source, pieces[i].at, &work, key, err);
        if (rc == EXIA_OK)
            rc = copy_piece(&file, self, &pieces[i], source->size, &work, err);
        *copied += pieces[i].size;
    }
    if (rc == EXIA_OK)
        rc = fill(&file, source, source->size, &work, key, err);
    if (rc == EXIA_OK)
        rc = compare(&file, source, &work, key, err);
    if (rc == EXIA_OK)
        rc = name_file(&file, self, key, &work, err);
    exia__blobdir_unstage(&file);
    return rc;
}

exia_status exia__blobdir_put_as(void *payload, const exia_source *source, exia_name_fn *name,
                                 void *name_payload, const exia_job *job, exia_error *err)
{
    const exia__blobdir *self = payload;
    const char *key = NULL;
    exia__blobfile file = {.fd = -1, .folder = -1};
    exia__work work;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_writable(self, "a blob", err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_stage(&file, self, BLOB_MODE, err);
    if (rc == EXIA_OK)
        rc = fill(&file, source, source->size, &work, self->path, err);
    if (rc == EXIA_OK)
        rc = name(&key, name_payload, err);
    if (rc == EXIA_OK)
        rc = name_file(&file, self, key, &work, err);
    exia__blobdir_unstage(&file);
    return rc < 0 ? rc : EXIA_OK;
}

/* Give the file what a blob that is made here gets of the umask and of the directory; one is made to see. */
static exia_status dress(const exia__blobdir *self, const char *key, int fd,
                         const struct stat *info, exia_error *err)
{
    exia__blobfile model = {.fd = -1, .folder = -1};
    struct stat made;
    exia_status rc = exia__blobdir_stage(&model, self, BLOB_MODE, err);
    if (rc == EXIA_OK && fstat(model.fd, &made) != 0)
        rc = exia__blobdir_fail(err, errno, "cannot read", self, EXIA__STAGING);
    if (rc == EXIA_OK && (made.st_dev != info->st_dev || made.st_uid != info->st_uid))
        rc = not_adopted(self, key, "from elsewhere", err);
    if (rc == EXIA_OK &&
        (fgetxattr(model.fd, "system.posix_acl_access", NULL, 0) > 0 ||
         (made.st_gid != info->st_gid && fchown(fd, (uid_t)-1, made.st_gid) != 0) ||
         fchmod(fd, made.st_mode & 07777) != 0))
        rc = not_adopted(self, key, "that cannot have the rights of the others", err);
    exia__blobdir_unstage(&model);
    return rc;
}

exia_status exia__blobdir_adopt(void *payload, const char *key, int fd, const exia_job *job,
                                exia_error *err)
{
    const exia__blobdir *self = payload;
    exia__work work;
    struct stat info;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_writable(self, key, err);
    if (rc == EXIA_OK)
        rc = check_free(self, key, err);
    if (rc == EXIA_OK && fstat(fd, &info) != 0)
        rc = exia__blobdir_fail(err, errno, "cannot take a file for", self, key);
    if (rc == EXIA_OK && (!S_ISREG(info.st_mode) || info.st_nlink > 1))
        rc = not_adopted(self, key, "that has other names", err); /* by which it could change */
    if (rc == EXIA_OK && access("/proc/self/fd", X_OK) != 0)
        rc = not_adopted(self, key, "that cannot be linked by its descriptor", err);
    if (rc == EXIA_OK)
        rc = dress(self, key, fd, &info, err);
    if (rc < 0)
        return rc;
    exia__blobfile file = {.fd = fd, .folder = -1, .size = (uint64_t)info.st_size};
    return name_file(&file, self, key, &work, err);
}
