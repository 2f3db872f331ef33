/* The directories of a store of files: the way down to a key, and all that lies below one.  Below
 * the root no symbolic link is followed: paths are walked one open directory at a time. */
#include "drivers/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"
#include "store/driver.h"

exia_status exia__blobdir_fail(exia_error *err, int code, const char *what,
                               const exia__blobdir *self, const char *key)
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

exia_status exia__blobdir_check(const struct stat *info, const exia__blobdir *self, const char *key,
                                exia_error *err)
{
    if (S_ISDIR(info->st_mode))
        return exia__blobdir_fail(err, ENOENT, "cannot find", self, key);
    if (!S_ISREG(info->st_mode))
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s/%s is no regular file", self->path, key);
    return EXIA_OK;
}

int exia__blobdir_sync(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL ? 0 : -1; /* some file systems cannot sync one */
}

int exia__blobdir_enter(int at, const char *name, int flags)
{
    const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat info;
    int fd = openat(at, name, how);
    if (fd < 0 && errno == ENOENT && (flags & EXIA__WALK_MAKE) != 0 &&
        (mkdirat(at, name, 0777) == 0 || errno == EEXIST))
        fd = openat(at, name, how);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP) &&
        fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        errno = !S_ISREG(info.st_mode) ? ELOOP : flags & EXIA__WALK_MAKE ? ENOTDIR : ENOENT;
    return fd;
}

exia_status exia__blobdir_walk(int *out, const char **name, const exia__blobdir *self,
                               const char *path, int flags, exia_error *err)
{
    /* not a dup, which would share the position of reading */
    int fd = openat(self->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = fd < 0 ? errno : 0;
    const char *at = path;
    *out = -1;
    for (const char *slash; code == 0 && (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        char part[NAME_MAX + 1];
        snprintf(part, sizeof part, "%.*s", (int)(slash - at), at);
        int next = exia__blobdir_enter(fd, part, flags);
        if (next < 0 || ((flags & EXIA__WALK_SYNC) != 0 && exia__blobdir_sync(fd) != 0))
            code = errno;
        close(fd);
        fd = next;
    }
    if (code == 0 && (flags & EXIA__WALK_SYNC) != 0 && exia__blobdir_sync(fd) != 0)
        code = errno;
    if (code != 0) {
        if (fd >= 0)
            close(fd);
        return exia__blobdir_fail(
            err, code, flags & EXIA__WALK_MAKE ? "cannot write" : "cannot find", self, path);
    }
    *out = fd;
    *name = at;
    return EXIA_OK;
}

int64_t exia__blobdir_modified(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000 + info->st_mtim.tv_nsec / 1000000;
}

/* ---- listing --------------------------------------------------------------------------------- */

typedef struct listing {
    exia__blobdir *self;
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
    if (name[0] == '.')
        return EXIA_OK; /* not ours */
    if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT /* gone meanwhile */
                   ? EXIA_OK
                   : exia__blobdir_fail(err, errno, "cannot list", list->self, folder);
    rc = exia__text_format(&key, err, "%s%s%s", folder, name, S_ISDIR(info.st_mode) ? "/" : "");
    if (rc < 0)
        return rc;
    size_t size = strlen(key);
    if (strncmp(key, list->prefix, size < wanted ? size : wanted) != 0)
        goto done;
    if (S_ISDIR(info.st_mode))
        rc = exia__buffer_append(&list->folders, key, size + 1, err);
    else if (S_ISREG(info.st_mode) && size >= wanted && exia__blob_key_check(key, NULL) == EXIA_OK)
        rc = list->found(key, (uint64_t)info.st_size, exia__blobdir_modified(&info), list->payload,
                         err);
done:
    exia__release(key);
    return rc;
}

static exia_status list_folder(listing *list, const char *folder, exia_error *err)
{
    const char *name = NULL;
    int fd = -1;
    exia_status rc = exia__blobdir_walk(&fd, &name, list->self, folder, 0, err);
    if (rc == EXIA_ENOTFOUND)
        return exia__forgive(err); /* gone meanwhile, or never there */
    if (rc < 0)
        return rc;
    DIR *entries = fdopendir(fd);
    if (entries == NULL) {
        rc = exia__blobdir_fail(err, errno, "cannot list", list->self, folder);
        close(fd);
        return rc;
    }
    while (rc == EXIA_OK) {
        errno = 0;
        struct dirent *entry = readdir(entries);
        if (entry == NULL && errno != 0)
            rc = exia__blobdir_fail(err, errno, "cannot list", list->self, folder);
        if (entry == NULL)
            break;
        rc = exia__work_step(&list->work, "listing", list->seen++, 0, err);
        if (rc == EXIA_OK)
            rc = list_entry(list, folder, dirfd(entries), entry->d_name, err);
    }
    closedir(entries);
    return rc;
}

exia_status exia__blobdir_list(void *payload, const char *prefix, exia_blob_fn *found,
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
