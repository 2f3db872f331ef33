/* Blobs in a directory, one file a blob, its key the path below.
 *
 * A put is written to .staging/TOKEN, synced, and renamed to its place, never over another file; then
 * the directories above are synced.  So a blob is whole and durable as soon as it has its name, and a
 * crash leaves at most a file in .staging, which no key can name and which is swept when it is old. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/job.h"
#include "base/memory.h"
#include "base/url.h"
#include "drivers/file.h"
#include "store/driver.h"

enum { READ_SIZE = 1 << 20, OLD_SECONDS = 24 * 60 * 60 };

exia_status exia__blobdir_open(int *out, struct stat *info, const exia__blobdir *self,
                               const char *key, exia_error *err)
{
    const char *name = NULL;
    int parent = -1;
    *out = -1;
    exia_status rc = exia__blobdir_walk(&parent, &name, self, key, 0, err);
    if (rc < 0)
        return rc;
    /* O_NONBLOCK: somebody's fifo must not block the open */
    int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, info) != 0)
        rc = exia__blobdir_fail(err, errno, "cannot read", self, key);
    else
        rc = exia__blobdir_check(info, self, key, err);
    close(parent);
    if (rc == EXIA_OK)
        *out = fd;
    else if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- open, close ---------------------------------------------------------------------------- */

/* Remove what crashed puts left.  Best effort: another process may do the same. */
static void sweep(const exia__blobdir *self)
{
    int fd = exia__blobdir_enter(self->fd, EXIA__STAGING, 0);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (entries == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        struct stat info;
        if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
            exia__now_ms() - exia__blobdir_modified(&info) > (int64_t)OLD_SECONDS * 1000)
            unlinkat(fd, entry->d_name, 0);
    }
    closedir(entries);
}

static void file_close(void *payload)
{
    exia__blobdir *self = payload;
    if (self->fd >= 0)
        close(self->fd);
    pthread_mutex_destroy(&self->lock);
    exia__release(self->path);
    exia__release(self);
}

static exia_status file_open(void **out, const char *url, int mode, const exia_job *job,
                             exia_error *err)
{
    exia__work work;
    char *path = NULL, *real = NULL;
    exia__blobdir *self = NULL;
    *out = NULL;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK && strchr(url, '?') != NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "%.150s: file: URLs have no options; a '?' in a path is %%3F", url);
    if (rc == EXIA_OK)
        rc = exia__url_path(&path, url, err);
    if (rc == EXIA_OK && mode == EXIA_STORE_WRITE)
        rc = exia__directory_make(path, err);
    if (rc < 0)
        goto done;
    self = exia__zeroed(1, sizeof *self);
    if (self == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    self->mode = mode;
    pthread_mutex_init(&self->lock, NULL);
    self->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    real = self->fd < 0 ? NULL : realpath(path, NULL);
    if (real == NULL)
        rc = exia__fail_errno(err, errno, "cannot open the directory", path);
    else
        rc = exia__text_copy(&self->path, real, err);
    if (rc == EXIA_OK && mode == EXIA_STORE_WRITE)
        sweep(self);
    if (rc == EXIA_OK) {
        *out = self;
        self = NULL;
    }
done:
    if (self != NULL)
        file_close(self);
    exia__release(path);
    (free)(real); /* realpath's own memory */
    return rc;
}

/* ---- get, stat ------------------------------------------------------------------------ */

static exia_status file_get(void *payload, const char *key, uint64_t offset, uint64_t size,
                            exia_sink_fn *sink, void *sink_payload, const exia_job *job,
                            exia_error *err)
{
    exia__blobdir *self = payload;
    exia__work work;
    struct stat info;
    char *piece = NULL;
    int fd = -1;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_open(&fd, &info, self, key, err);
    if (rc < 0)
        goto done;
    uint64_t end = (uint64_t)info.st_size;
    if (offset == EXIA_TAIL)
        offset = size < end ? end - size : 0;
    if (offset > end) {
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s/%s has %llu bytes: nothing begins at %llu",
                        self->path, key, (unsigned long long)end, (unsigned long long)offset);
        goto done;
    }
    uint64_t left = size < end - offset ? size : end - offset, total = left;
    size_t room = left < READ_SIZE ? (size_t)left : READ_SIZE;
    piece = exia__resize(NULL, room);
    if (piece == NULL)
        rc = exia__fail_memory(err);
    while (rc == EXIA_OK && left > 0) {
        size_t now = left < room ? (size_t)left : room;
        rc = exia__work_step(&work, "reading", total - left, total, err);
        if (rc == EXIA_OK)
            rc = exia__read_at(fd, piece, now, offset, key, err);
        if (rc == EXIA_OK)
            rc = sink(piece, now, sink_payload, err);
        offset += now;
        left -= now;
    }
done:
    exia__release(piece);
    if (fd >= 0)
        close(fd);
    return rc < 0 ? rc : EXIA_OK;
}

static exia_status file_stat(uint64_t *size, int64_t *modified_ms, void *payload, const char *key,
                             const exia_job *job, exia_error *err)
{
    exia__blobdir *self = payload;
    const char *name = NULL;
    int parent = -1;
    struct stat info;
    (void)job; /* one look-up: nothing to wait for */
    exia_status rc = exia__blobdir_walk(&parent, &name, self, key, 0, err);
    if (rc < 0)
        return rc;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        rc = exia__blobdir_fail(err, errno, "cannot find", self, key);
    else
        rc = exia__blobdir_check(&info, self, key, err);
    close(parent);
    if (rc == EXIA_OK) {
        *size = (uint64_t)info.st_size;
        *modified_ms = exia__blobdir_modified(&info);
    }
    return rc;
}

/* ---- touch, remove, now, local -------------------------------------------------------------- */

static exia_status file_touch(void *payload, const char *key, const exia_job *job, exia_error *err)
{
    exia__blobdir *self = payload;
    const char *name = NULL;
    int parent = -1;
    (void)job;
    exia_status rc = exia__blobdir_writable(self, key, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_walk(&parent, &name, self, key, 0, err);
    if (rc < 0)
        return rc;
    rc = exia__blobdir_touch(self, key, parent, name, err);
    close(parent);
    return rc;
}

static exia_status file_remove(void *payload, const char *key, const exia_job *job, exia_error *err)
{
    exia__blobdir *self = payload;
    const char *name = NULL;
    int parent = -1;
    (void)job;
    exia_status rc = exia__blobdir_writable(self, key, err);
    if (rc == EXIA_OK)
        rc = exia__blobdir_walk(&parent, &name, self, key, 0, err);
    if (rc == EXIA_ENOTFOUND)
        return exia__forgive(err);
    if (rc < 0)
        return rc;
    if (unlinkat(parent, name, 0) != 0 && errno != ENOENT && errno != EISDIR)
        rc = exia__blobdir_fail(err, errno, "cannot remove", self, key);
    else if (exia__blobdir_sync(parent) != 0)
        rc = exia__blobdir_fail(err, errno, "cannot sync the directory of", self, key);
    close(parent);
    return rc;
}

/* The clock that stamps the files is that of the file system, which may be another machine's. */
static exia_status file_now(int64_t *ms, void *payload, const exia_job *job, exia_error *err)
{
    exia__blobdir *self = payload;
    exia__blobfile file;
    struct stat info;
    (void)job;
    *ms = exia__now_ms();
    if (self->mode != EXIA_STORE_WRITE)
        return EXIA_OK;
    exia_status rc = exia__blobdir_stage(&file, self, 0600, err);
    if (rc == EXIA_OK && (futimens(file.fd, NULL) != 0 || fstat(file.fd, &info) != 0))
        rc = exia__blobdir_fail(err, errno, "cannot ask the time of", self, EXIA__STAGING);
    if (rc == EXIA_OK)
        *ms = exia__blobdir_modified(&info);
    exia__blobdir_unstage(&file);
    return rc;
}

static exia_status file_local(char **path, void *payload, const char *key, exia_error *err)
{
    exia__blobdir *self = payload;
    uint64_t size = 0;
    int64_t modified_ms = 0;
    exia_status rc = file_stat(&size, &modified_ms, self, key, NULL, err);
    return rc < 0 ? rc : exia__path_join(path, self->path, key, err);
}

static exia_status file_check(void *payload, exia_record_fn *row, void *row_payload,
                              exia_error *err)
{
    exia__blobdir *self = payload;
    struct statvfs info;
    exia_status rc = exia__tell_text(row, row_payload, "path", self->path, err);
    if (rc < 0 || fstatvfs(self->fd, &info) != 0)
        return rc;
    char number[32];
    snprintf(number, sizeof number, "%llu",
             (unsigned long long)info.f_bavail * (unsigned long long)info.f_frsize);
    return row("free_bytes", number, 0, row_payload, err);
}

static const exia_blobs_ops file_blobs = {
    .struct_size = sizeof(exia_blobs_ops),
    .put = exia__blobdir_put,
    .get = file_get,
    .stat = file_stat,
    .list = exia__blobdir_list,
    .touch = file_touch,
    .remove = file_remove,
    .now = file_now,
    .local = file_local,
    .compose = exia__blobdir_compose,
    .put_as = exia__blobdir_put_as,
    .adopt = exia__blobdir_adopt,
};

const exia_driver exia__driver_file = {
    .struct_size = sizeof(exia_driver),
    .name = "file",
    .schemes = "file",
    .open = file_open,
    .close = file_close,
    .abandon = file_close, /* a descriptor of a directory is no connection */
    .check = file_check,
    .blobs = &file_blobs,
};
