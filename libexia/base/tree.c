/* Directories and trees.  Removal keeps few descriptors open and never recurses: what lies too deep
 * is first moved up. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"

enum { MOST_OPEN = 24 };

/* Make one directory, durably: its name is synced in the directory above, if that can be read.  `path`
 * is changed meanwhile. */
static exia_status make_one(char *path, exia_error *err)
{
    if (mkdir(path, 0755) != 0)
        return errno == EEXIST || errno == EROFS || errno == EACCES /* then it may be there */
                   ? EXIA_OK
                   : exia__fail_errno(err, errno, "cannot make the directory", path);
    char *base = path + (exia__path_base(path) - path), first = *base;
    *base = '\0';
    exia_status rc = exia__directory_sync(base == path ? "." : path, err);
    *base = first;
    return rc == EXIA_EDENIED ? exia__forgive(err) : rc;
}

exia_status exia__directory_make(const char *path, exia_error *err)
{
    char *copy = NULL;
    struct stat info;
    exia_status rc = exia__text_copy(&copy, path, err);
    if (rc < 0)
        return rc;
    for (char *at = copy; rc == EXIA_OK && *at != '\0';) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char kept = *at;
        *at = '\0';
        if (*copy != '\0')
            rc = make_one(copy, err);
        if (rc == EXIA_OK && stat(copy, &info) != 0)
            rc = exia__fail_errno(err, errno == ENOENT ? EACCES : errno,
                                  "cannot make the directory", copy);
        else if (rc == EXIA_OK && !S_ISDIR(info.st_mode))
            rc = exia__fail(err, EXIA_EINVAL, ENOTDIR, "%s is no directory", copy);
        *at = kept;
    }
    exia__release(copy);
    return rc;
}

exia_status exia__directory_sync(const char *path, exia_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    exia_status rc = EXIA_OK;
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) /* some file systems cannot sync one */
        rc = exia__fail_errno(err, errno, "cannot sync the directory", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Open a directory below `at` so that it can be emptied, never through a link. */
static DIR *open_below(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(at, name, 0700, 0) == 0)
        fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    (void)fchmod(fd, 0700); /* where it fails, removing what lies below tells why */
    DIR *dir = fdopendir(fd);
    if (dir == NULL)
        close(fd);
    return dir;
}

/* An open directory on the way down, and its name in the one above. */
typedef struct level {
    DIR *dir;
    char name[NAME_MAX + 1];
} level;

static exia_status remove_entry(level *levels, size_t *depth, const char *name, const char *path,
                                exia_error *err)
{
    int here = dirfd(levels[*depth - 1].dir);
    char token[EXIA__TOKEN_SIZE];
    if (unlinkat(here, name, 0) == 0 || errno == ENOENT)
        return EXIA_OK;
    if (errno != EISDIR && errno != EPERM)
        return exia__fail_errno(err, errno, "cannot remove from", path);
    if (unlinkat(here, name, AT_REMOVEDIR) == 0)
        return EXIA_OK;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES)
        return exia__fail_errno(err, errno, "cannot remove from", path);
    if (*depth == MOST_OPEN) {
        exia_status rc = exia__token(token, err);
        if (rc == EXIA_OK && renameat(here, name, dirfd(levels[0].dir), token) != 0)
            rc = exia__fail_errno(err, errno, "cannot remove from", path);
        return rc;
    }
    level *next = &levels[*depth];
    next->dir = open_below(here, name);
    if (next->dir == NULL)
        return exia__fail_errno(err, errno, "cannot remove from", path);
    snprintf(next->name, sizeof next->name, "%s", name);
    ++*depth;
    return EXIA_OK;
}

/* Empty an open directory, which is closed. */
static exia_status empty(DIR *dir, const char *path, exia_error *err)
{
    exia_status rc = EXIA_OK;
    level levels[MOST_OPEN] = {{dir, ""}}; /* not allocated: cleaning up works without memory */
    size_t depth = 1;
    for (int found = 0; rc == EXIA_OK && depth > 0;) {
        level *top = &levels[depth - 1];
        errno = 0;
        struct dirent *entry = readdir(top->dir);
        if (entry != NULL) {
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                rc = remove_entry(levels, &depth, entry->d_name, path, err);
                found = 1;
            }
            continue;
        }
        if (errno != 0) {
            rc = exia__fail_errno(err, errno, "cannot read", path);
        } else if (depth == 1 && !found) {
            break;
        } else if (depth == 1) { /* something was moved up, or came meanwhile: until none is left */
            found = 0;
            rewinddir(top->dir);
        } else if (unlinkat(dirfd(levels[depth - 2].dir), top->name, AT_REMOVEDIR) == 0) {
            closedir(top->dir);
            top->dir = NULL;
            depth--;
        } else if (errno == ENOTEMPTY || errno == EEXIST) {
            rewinddir(top->dir);
        } else {
            rc = exia__fail_errno(err, errno, "cannot remove", path);
        }
    }
    for (size_t i = 0; i < MOST_OPEN; i++) {
        if (levels[i].dir != NULL)
            closedir(levels[i].dir);
    }
    return rc;
}

exia_status exia__tree_empty(int directory, const char *path, exia_error *err)
{
    DIR *dir = open_below(directory, ".");
    return dir ? empty(dir, path, err) : exia__fail_errno(err, errno, "cannot empty", path);
}

exia_status exia__tree_remove(const char *path, exia_error *err)
{
    if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR)
        return EXIA_OK;
    if (errno != EISDIR && errno != EPERM)
        return exia__fail_errno(err, errno, "cannot remove", path);
    for (;;) {
        DIR *dir = open_below(AT_FDCWD, path);
        exia_status rc =
            dir ? empty(dir, path, err) : exia__fail_errno(err, errno, "cannot remove", path);
        if (rc < 0 || rmdir(path) == 0)
            return rc;
        if (errno != ENOTEMPTY && errno != EEXIST) /* something came meanwhile */
            return exia__fail_errno(err, errno, "cannot remove", path);
    }
}

static exia_status copy_file(const char *from, const char *to, exia_error *err)
{
    exia_status rc = EXIA_OK;
    struct stat info;
    int out = -1;
    int in = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (in < 0 || fstat(in, &info) != 0) {
        rc = exia__fail_errno(err, errno, "cannot read", from);
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is no file, directory or link", from);
        goto done;
    }
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, info.st_mode & 0777);
    if (out < 0) {
        rc = exia__fail_errno(err, errno, "cannot write", to);
        goto done;
    }
    rc = exia__copy_to(out, in, to, err);
done:
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) != 0 && rc == EXIA_OK)
        rc = exia__fail_errno(err, errno, "cannot write", to);
    return rc;
}

static exia_status copy_link(const char *from, const char *to, exia_error *err)
{
    char target[PATH_MAX];
    ssize_t size = readlink(from, target, sizeof target - 1);
    if (size < 0)
        return exia__fail_errno(err, errno, "cannot read", from);
    target[size] = '\0';
    return symlink(target, to) == 0 ? EXIA_OK : exia__fail_errno(err, errno, "cannot write", to);
}

/* Paths below the root of a copy that are still to be done. */
typedef struct todo {
    char **paths;
    size_t count, capacity;
} todo;

static exia_status todo_push(todo *list, const char *below, const char *name, exia_error *err)
{
    exia_status rc =
        exia__grow(&list->paths, &list->capacity, list->count + 1, sizeof *list->paths, err);
    if (rc == EXIA_OK)
        rc = *below ? exia__path_join(&list->paths[list->count], below, name, err)
                    : exia__text_copy(&list->paths[list->count], name, err);
    list->count += rc == EXIA_OK;
    return rc;
}

static exia_status push_entries(todo *list, const char *below, const char *path, exia_error *err)
{
    exia_status rc = EXIA_OK;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return exia__fail_errno(err, errno, "cannot read", path);
    for (struct dirent *entry; rc == EXIA_OK && (errno = 0, entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = todo_push(list, below, entry->d_name, err);
    }
    if (rc == EXIA_OK && errno != 0)
        rc = exia__fail_errno(err, errno, "cannot read", path);
    closedir(dir);
    return rc;
}

static exia_status copy_one(todo *list, const char *below, const char *from, const char *to,
                            exia_error *err)
{
    struct stat info;
    if (lstat(from, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", from);
    if (S_ISLNK(info.st_mode))
        return copy_link(from, to, err);
    if (!S_ISDIR(info.st_mode))
        return copy_file(from, to, err);
    if (mkdir(to, 0700 | (info.st_mode & 0777)) != 0)
        return exia__fail_errno(err, errno, "cannot make the directory", to);
    return push_entries(list, below, from, err);
}

exia_status exia__tree_copy(const char *from, const char *to, exia_error *err)
{
    todo list = {0};
    exia_status rc = copy_one(&list, "", from, to, err);
    while (rc == EXIA_OK && list.count > 0) {
        char *below = list.paths[--list.count], *source = NULL, *target = NULL;
        rc = exia__path_join(&source, from, below, err);
        if (rc == EXIA_OK)
            rc = exia__path_join(&target, to, below, err);
        if (rc == EXIA_OK)
            rc = copy_one(&list, below, source, target, err);
        exia__release(source);
        exia__release(target);
        exia__release(below);
    }
    while (list.count > 0)
        exia__release(list.paths[--list.count]);
    exia__release(list.paths);
    return rc;
}
