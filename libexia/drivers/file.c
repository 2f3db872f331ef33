/* Blobs in a directory, one file a blob, its key the path below.
 *
 * A put is written to .staging/TOKEN, synced, and renamed to its place, never over another file; then
 * the directories above are synced.  So a blob is whole and durable as soon as it has its name, and a
 * crash leaves at most a file in .staging, which no key can name and which is swept when it is old.
 * Below the root no symbolic link is followed: paths are walked one open directory at a time. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/job.h"
#include "base/memory.h"
#include "base/url.h"
#include "store/driver.h"

enum { PIECE_SIZE = 1 << 20, OLD_SECONDS = 24 * 60 * 60 };
static const char staging_name[] = ".staging";

typedef struct directory {
    char *path; /* absolute */
    int fd, mode;
} directory;

static exia_status fail_at(exia_error *err, int code, const char *what, const directory *self,
                           const char *key)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", self->path, key);
    if (code == ENOTDIR)
        return exia__fail(err, EXIA_EINVAL, code, "%s %s: a key begins with another blob's key",
                          what, path);
    if (code == ELOOP)
        return exia__fail(err, EXIA_ECORRUPT, code, "%s %s: a link or the like lies on the way",
                          what, path);
    return exia__fail_errno(err, code, what, path);
}

/* What lies at a key is a blob, or it is none: a directory is only a way to others. */
static exia_status check_regular(const struct stat *info, const directory *self, const char *key,
                                 exia_error *err)
{
    if (S_ISDIR(info->st_mode))
        return fail_at(err, ENOENT, "cannot find", self, key);
    if (!S_ISREG(info->st_mode))
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s/%s is no regular file", self->path, key);
    return EXIA_OK;
}

static int sync_directory(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL ? 0 : -1; /* some file systems cannot sync one */
}

enum { WALK_MAKE = 1, WALK_SYNC = 2 };

/* Open the directory `name` in `at`, making it on the way if asked.  What is in the way is ENOTDIR
 * if a blob (when reading, ENOENT: so there is nothing below), else ELOOP. */
static int enter(int at, const char *name, int flags)
{
    const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat info;
    int fd = openat(at, name, how);
    if (fd < 0 && errno == ENOENT && (flags & WALK_MAKE) != 0 &&
        (mkdirat(at, name, 0777) == 0 || errno == EEXIST))
        fd = openat(at, name, how);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP) &&
        fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        errno = !S_ISREG(info.st_mode) ? ELOOP : flags & WALK_MAKE ? ENOTDIR : ENOENT;
    return fd;
}

/* Open the directory that holds `path`, whose last part is `*name`.  WALK_SYNC makes the way there
 * durable: also what a rival made a moment ago and has not synced yet. */
static exia_status walk(int *out, const char **name, const directory *self, const char *path,
                        int flags, exia_error *err)
{
    /* not a dup, which would share the position of reading */
    int fd = openat(self->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = fd < 0 ? errno : 0;
    const char *at = path;
    *out = -1;
    for (const char *slash; code == 0 && (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        char part[NAME_MAX + 1];
        snprintf(part, sizeof part, "%.*s", (int)(slash - at), at);
        int next = enter(fd, part, flags);
        if (next < 0 || ((flags & WALK_SYNC) != 0 && sync_directory(fd) != 0))
            code = errno;
        close(fd);
        fd = next;
    }
    if (code == 0 && (flags & WALK_SYNC) != 0 && sync_directory(fd) != 0)
        code = errno;
    if (code != 0) {
        if (fd >= 0)
            close(fd);
        return fail_at(err, code, flags & WALK_MAKE ? "cannot write" : "cannot find", self, path);
    }
    *out = fd;
    *name = at;
    return EXIA_OK;
}

/* Open a blob for reading, and see that it is a file. */
static exia_status open_blob(int *out, struct stat *info, const directory *self, const char *key,
                             exia_error *err)
{
    const char *name = NULL;
    int parent = -1;
    *out = -1;
    exia_status rc = walk(&parent, &name, self, key, 0, err);
    if (rc < 0)
        return rc;
    /* O_NONBLOCK: somebody's fifo must not block the open */
    int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, info) != 0)
        rc = fail_at(err, errno, "cannot read", self, key);
    else
        rc = check_regular(info, self, key, err);
    close(parent);
    if (rc == EXIA_OK)
        *out = fd;
    else if (fd >= 0)
        close(fd);
    return rc;
}

static int64_t modified(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000 + info->st_mtim.tv_nsec / 1000000;
}

/* ---- open, close ---------------------------------------------------------------------------- */

/* Remove what crashed puts left.  Best effort: another process may do the same. */
static void sweep(const directory *self)
{
    int fd = enter(self->fd, staging_name, 0);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (entries == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        struct stat info;
        if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
            exia__now_ms() - modified(&info) > (int64_t)OLD_SECONDS * 1000)
            unlinkat(fd, entry->d_name, 0);
    }
    closedir(entries);
}

static void file_close(void *payload)
{
    directory *self = payload;
    if (self->fd >= 0)
        close(self->fd);
    exia__release(self->path);
    exia__release(self);
}

static exia_status file_open(void **out, const char *url, int mode, const exia_job *job,
                             exia_error *err)
{
    exia__work work;
    char *path = NULL, *real = NULL;
    directory *self = NULL;
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

static exia_status writable(const directory *self, const char *key, exia_error *err)
{
    if (self->mode == EXIA_STORE_WRITE)
        return EXIA_OK;
    return exia__fail(err, EXIA_EDENIED, 0, "%s was opened for reading: \"%.60s\" stays as it is",
                      self->path, key);
}

/* ---- put ------------------------------------------------------------------------------------ */

/* A new file in .staging, which is made on the way.  `*folder` is open also on failure. */
static exia_status stage(int *fd, int *folder, char token[EXIA__TOKEN_SIZE], const directory *self,
                         mode_t mode, exia_error *err)
{
    *fd = -1;
    exia_status rc = exia__token(token, err);
    if (rc < 0)
        return rc;
    *folder = enter(self->fd, staging_name, WALK_MAKE);
    if (*folder >= 0)
        *fd = openat(*folder, token, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    return *fd >= 0 ? EXIA_OK : fail_at(err, errno, "cannot create a file in", self, staging_name);
}

static exia_status fill(int fd, const exia_source *source, exia__work *work, const char *key,
                        exia_error *err)
{
    size_t room = source->size < PIECE_SIZE ? (size_t)source->size : PIECE_SIZE;
    char *piece = exia__resize(NULL, room);
    exia_status rc = piece ? EXIA_OK : exia__fail_memory(err);
    for (uint64_t done = 0; rc == EXIA_OK && done < source->size;) {
        size_t size = source->size - done < room ? (size_t)(source->size - done) : room;
        rc = exia__work_step(work, "storing", done, source->size, err);
        if (rc == EXIA_OK)
            rc = source->read(piece, done, size, source->payload, err);
        if (rc == EXIA_OK)
            rc = exia__write_all(fd, piece, size, key, err);
        if (rc == EXIA_OK) /* let the disk begin, so that fsync has less to wait for */
            (void)sync_file_range(fd, (off_t)done, (off_t)size, SYNC_FILE_RANGE_WRITE);
        done += size;
    }
    exia__release(piece);
    return rc;
}

/* Say what holds the key, after making sure that it is durable: the caller may go on to name it. */
static exia_status taken(const directory *self, const char *key, const struct stat *info,
                         exia_error *err)
{
    const char *name = NULL;
    int parent = -1;
    if (S_ISDIR(info->st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s/%s: other blobs lie below this key", self->path,
                          key);
    exia_status rc = check_regular(info, self, key, err);
    if (rc == EXIA_OK)
        rc = walk(&parent, &name, self, key, WALK_SYNC, err);
    if (rc < 0)
        return rc;
    close(parent);
    return exia__fail(err, EXIA_EEXISTS, 0, "%s/%s is there already", self->path, key);
}

static exia_status file_put(void *payload, const char *key, const exia_source *source,
                            const exia_job *job, exia_error *err)
{
    directory *self = payload;
    exia__work work;
    char token[EXIA__TOKEN_SIZE];
    const char *name = NULL;
    int fd = -1, folder = -1, parent = -1, renamed = 0;
    struct stat info;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = writable(self, key, err);
    if (rc == EXIA_OK)
        rc = walk(&parent, &name, self, key, WALK_MAKE, err);
    if (rc < 0)
        goto done;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
        rc = taken(self, key, &info, err);
        goto done;
    }
    rc = stage(&fd, &folder, token, self, 0444, err);
    if (rc == EXIA_OK)
        rc = fill(fd, source, &work, key, err);
    if (rc == EXIA_OK && fsync(fd) != 0)
        rc = fail_at(err, errno, "cannot sync", self, key);
    if (rc == EXIA_OK)
        rc = exia__work_step(&work, "storing", source->size, source->size, err);
    if (rc < 0)
        goto done;
    renamed = exia__rename_absent(folder, token, parent, name) == 0;
    if (!renamed && errno == EEXIST && fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
        rc = taken(self, key, &info, err);
    } else if (!renamed) {
        rc = fail_at(err, errno, "cannot write", self, key);
    } else {
        close(parent);
        rc = walk(&parent, &name, self, key, WALK_SYNC, err);
    }
done:
    if (fd >= 0) {
        close(fd);
        if (!renamed)
            unlinkat(folder, token, 0);
    }
    if (folder >= 0)
        close(folder);
    if (parent >= 0)
        close(parent);
    return rc;
}

/* ---- get, stat, list ------------------------------------------------------------------------ */

static exia_status file_get(void *payload, const char *key, uint64_t offset, uint64_t size,
                            exia_sink_fn *sink, void *sink_payload, const exia_job *job,
                            exia_error *err)
{
    directory *self = payload;
    exia__work work;
    struct stat info;
    char *piece = NULL;
    int fd = -1;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = open_blob(&fd, &info, self, key, err);
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
    size_t room = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
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
    directory *self = payload;
    const char *name = NULL;
    int parent = -1;
    struct stat info;
    (void)job; /* one look-up: nothing to wait for */
    exia_status rc = walk(&parent, &name, self, key, 0, err);
    if (rc < 0)
        return rc;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        rc = fail_at(err, errno, "cannot find", self, key);
    else
        rc = check_regular(&info, self, key, err);
    close(parent);
    if (rc == EXIA_OK) {
        *size = (uint64_t)info.st_size;
        *modified_ms = modified(&info);
    }
    return rc;
}

typedef struct listing {
    directory *self;
    const char *prefix;
    exia_blob_fn *found;
    void *payload;
    exia__work work;
    exia__buffer folders; /* still to be read: "a/", "a/b/" ..., each with its NUL */
    uint64_t seen;
} listing;

/* One entry of the directory `folder` ("" or "a/b/"): a blob to tell, a directory for later. */
static exia_status list_entry(listing *list, const char *folder, int fd, const char *name,
                              exia_error *err)
{
    struct stat info;
    char *key = NULL;
    size_t wanted = strlen(list->prefix);
    exia_status rc = EXIA_OK;
    if (name[0] == '.' || fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return EXIA_OK; /* not ours, or gone meanwhile */
    rc = exia__text_format(&key, err, "%s%s%s", folder, name, S_ISDIR(info.st_mode) ? "/" : "");
    if (rc < 0)
        return rc;
    size_t size = strlen(key);
    if (strncmp(key, list->prefix, size < wanted ? size : wanted) != 0)
        goto done;
    if (S_ISDIR(info.st_mode))
        rc = exia__buffer_append(&list->folders, key, size + 1, err);
    else if (S_ISREG(info.st_mode) && size >= wanted && exia__blob_key_check(key, NULL) == EXIA_OK)
        rc = list->found(key, (uint64_t)info.st_size, modified(&info), list->payload, err);
done:
    exia__release(key);
    return rc;
}

static exia_status list_folder(listing *list, const char *folder, exia_error *err)
{
    const char *name = NULL;
    int fd = -1;
    exia_status rc = walk(&fd, &name, list->self, folder, 0, err);
    if (rc == EXIA_ENOTFOUND)
        return exia__forgive(err); /* gone meanwhile, or never there */
    if (rc < 0)
        return rc;
    DIR *entries = fdopendir(fd);
    if (entries == NULL) {
        rc = fail_at(err, errno, "cannot list", list->self, folder);
        close(fd);
        return rc;
    }
    while (rc == EXIA_OK) {
        errno = 0;
        struct dirent *entry = readdir(entries);
        if (entry == NULL && errno != 0)
            rc = fail_at(err, errno, "cannot list", list->self, folder);
        if (entry == NULL)
            break;
        rc = exia__work_step(&list->work, "listing", list->seen++, 0, err);
        if (rc == EXIA_OK)
            rc = list_entry(list, folder, dirfd(entries), entry->d_name, err);
    }
    closedir(entries);
    return rc;
}

static exia_status file_list(void *payload, const char *prefix, exia_blob_fn *found,
                             void *found_payload, const exia_job *job, exia_error *err)
{
    listing list = {.self = payload, .prefix = prefix, .found = found, .payload = found_payload};
    exia__buffer folder = {0};
    const char *slash = strrchr(prefix, '/');
    exia_status rc = exia__work_begin(&list.work, job, err);
    if (rc == EXIA_OK) /* begin at the deepest directory that the prefix names */
        rc = exia__buffer_append(&list.folders, prefix, slash ? (size_t)(slash + 1 - prefix) : 0,
                                 err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(&list.folders, "", 1, err);
    while (rc == EXIA_OK && list.folders.size > 0) {
        size_t start = list.folders.size - 1;
        while (start > 0 && list.folders.data[start - 1] != '\0')
            start--;
        folder.size = 0;
        rc =
            exia__buffer_append(&folder, list.folders.data + start, list.folders.size - start, err);
        list.folders.size = start;
        if (rc == EXIA_OK)
            rc = list_folder(&list, folder.data, err);
    }
    exia__buffer_free(&folder);
    exia__buffer_free(&list.folders);
    return rc < 0 ? rc : EXIA_OK;
}

/* ---- touch, remove, now, local -------------------------------------------------------------- */

static exia_status file_touch(void *payload, const char *key, const exia_job *job, exia_error *err)
{
    directory *self = payload;
    const char *name = NULL;
    int parent = -1;
    struct stat info;
    (void)job;
    exia_status rc = writable(self, key, err);
    if (rc == EXIA_OK)
        rc = walk(&parent, &name, self, key, WALK_SYNC, err);
    if (rc < 0)
        return rc;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        rc = fail_at(err, errno, "cannot find", self, key);
    else
        rc = check_regular(&info, self, key, err);
    if (rc == EXIA_OK && utimensat(parent, name, NULL, AT_SYMLINK_NOFOLLOW) != 0)
        rc = fail_at(err, errno, "cannot touch", self, key);
    close(parent);
    return rc;
}

static exia_status file_remove(void *payload, const char *key, const exia_job *job, exia_error *err)
{
    directory *self = payload;
    const char *name = NULL;
    int parent = -1;
    (void)job;
    exia_status rc = writable(self, key, err);
    if (rc == EXIA_OK)
        rc = walk(&parent, &name, self, key, 0, err);
    if (rc == EXIA_ENOTFOUND)
        return exia__forgive(err);
    if (rc < 0)
        return rc;
    if (unlinkat(parent, name, 0) != 0 && errno != ENOENT && errno != EISDIR)
        rc = fail_at(err, errno, "cannot remove", self, key);
    else if (sync_directory(parent) != 0)
        rc = fail_at(err, errno, "cannot sync the directory of", self, key);
    close(parent);
    return rc;
}

/* The clock that stamps the files is that of the file system, which may be another machine's. */
static exia_status file_now(int64_t *ms, void *payload, const exia_job *job, exia_error *err)
{
    directory *self = payload;
    char token[EXIA__TOKEN_SIZE];
    int fd = -1, folder = -1;
    struct stat info;
    (void)job;
    exia_status rc = EXIA_OK;
    *ms = exia__now_ms();
    if (self->mode != EXIA_STORE_WRITE)
        return EXIA_OK;
    rc = stage(&fd, &folder, token, self, 0600, err);
    if (rc == EXIA_OK && (futimens(fd, NULL) != 0 || fstat(fd, &info) != 0))
        rc = fail_at(err, errno, "cannot ask the time of", self, staging_name);
    if (rc == EXIA_OK)
        *ms = modified(&info);
    if (fd >= 0) {
        close(fd);
        unlinkat(folder, token, 0);
    }
    if (folder >= 0)
        close(folder);
    return rc;
}

static exia_status file_local(char **path, void *payload, const char *key, exia_error *err)
{
    directory *self = payload;
    uint64_t size = 0;
    int64_t modified_ms = 0;
    exia_status rc = file_stat(&size, &modified_ms, self, key, NULL, err);
    return rc < 0 ? rc : exia__path_join(path, self->path, key, err);
}

static exia_status file_check(void *payload, exia_record_fn *row, void *row_payload,
                              exia_error *err)
{
    directory *self = payload;
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
    .put = file_put,
    .get = file_get,
    .stat = file_stat,
    .list = file_list,
    .touch = file_touch,
    .remove = file_remove,
    .now = file_now,
    .local = file_local,
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
