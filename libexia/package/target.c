/* Where a package is unpacked to.  A private directory is filled beside the place and renamed into it;
 * both the directory that holds the place and the private one are open all the time, and whatever was
 * exchanged meanwhile under their names is found out or does not matter. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "package/place.h"

/* The directory that holds the target, links in it resolved, and the target in there. */
static exia_status resolve(exia__target *target, const char *directory, exia_error *err)
{
    char *copy = NULL, *folder = NULL, *real = NULL;
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/')
        size--;
    exia_status rc = exia__text_copy_n(&copy, directory, size, err);
    if (rc < 0)
        return rc;
    real = realpath(copy, NULL); /* a link to an empty directory, "." and ".." */
    if (real == NULL && errno != ENOENT)
        rc = exia__fail_errno(err, errno, "cannot unpack to", copy);
    else if (real == NULL && exia__path_exists(copy))
        rc = exia__fail(err, EXIA_EEXISTS, 0, "%s is a link to nothing", copy);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&target->path, real ? real : copy, err);
    if (rc == EXIA_OK)
        rc = exia__path_folder(&folder, target->path, err);
    if (rc == EXIA_OK) {
        target->name = exia__path_base(target->path);
        target->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (target->folder < 0)
            rc = exia__fail_errno(err, errno, "cannot open the directory", folder);
    }
    (free)(real); /* realpath's own memory */
    exia__release(folder);
    exia__release(copy);
    return rc;
}

static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static exia_status look(int *empty, int directory, const exia__target *target, exia_error *err)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    *empty = 1;
    for (struct dirent *entry; dir != NULL && (errno = 0, entry = readdir(dir)) != NULL;)
        *empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    exia_status rc =
        errno ? exia__fail_errno(err, errno, "cannot read the directory", target->path) : EXIA_OK;
    if (dir != NULL)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    return rc;
}

static exia_status not_empty(const exia__target *target, exia_error *err)
{
    return exia__fail(err, EXIA_EEXISTS, 0, "%s is there and no empty directory", target->path);
}

/* The rename would refuse most of it too, but late; what it replaces must not be where we stand. */
static exia_status check(int *there, exia__target *target, exia_error *err)
{
    struct stat info, here;
    int empty = 0;
    if (*target->name == '\0') /* the root of all */
        return not_empty(target, err);
    int fd = openat(target->folder, target->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *there = fd >= 0;
    if (fd < 0 && errno == ENOENT)
        return EXIA_OK;
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return not_empty(target, err);
    if (fd < 0 || fstat(fd, &info) != 0) {
        exia_status rc = exia__fail_errno(err, errno, "cannot read the directory", target->path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    exia_status rc = look(&empty, fd, target, err);
    close(fd);
    if (rc == EXIA_OK && !empty)
        rc = not_empty(target, err);
    if (rc == EXIA_OK && stat(".", &here) == 0 && same_file(&info, &here))
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "%s is the working directory, which would be replaced: name another",
                        target->path);
    target->mode = info.st_mode & 07777;
    return rc;
}

static exia_status exchanged(const exia__target *target, exia_error *err)
{
    return exia__fail(err, EXIA_ECONFLICT, 0,
                      "somebody renames directories beside %s: unpack where only you can write",
                      target->path);
}

/* Is this the directory that was just made?  Its name may mean another one by the time it is opened,
 * and one that holds something, or belongs to somebody else, is not used.  What is made in it tells who
 * we are here, and the mode that mkdir gives. */
static exia_status admit(mode_t *mode, const exia__target *target, int fd, exia_error *err)
{
    static const char probe[] = "probe";
    struct stat root, made;
    int empty = 0;
    exia_status rc = look(&empty, fd, target, err);
    if (rc < 0)
        return rc;
    if (!empty)
        return exchanged(target, err);
    if (mkdirat(fd, probe, 0755) != 0 || fstatat(fd, probe, &made, AT_SYMLINK_NOFOLLOW) != 0 ||
        unlinkat(fd, probe, AT_REMOVEDIR) != 0 || fstat(fd, &root) != 0)
        return exia__fail_errno(err, errno, "cannot unpack to", target->path);
    if (root.st_uid != made.st_uid)
        return exchanged(target, err);
    *mode = made.st_mode & 07777;
    return fchmod(fd, 0700) == 0 ? EXIA_OK
                                 : exia__fail_errno(err, errno, "cannot unpack to", target->path);
}

static exia_status make(exia__target *target, int there, exia_error *err)
{
    mode_t mode = 0;
    if (mkdirat(target->folder, target->staging, 0700) != 0)
        return exia__fail_errno(err, errno, "cannot unpack to", target->path);
    int fd =
        openat(target->folder, target->staging, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    exia_status rc = EXIA_OK;
    if (fd < 0)
        rc = errno == EACCES ? exia__fail_errno(err, errno, "cannot unpack to", target->path)
                             : exchanged(target, err);
    else
        rc = admit(&mode, target, fd, err);
    if (rc == EXIA_OK) {
        target->root = fd;
        target->mode = there ? target->mode : mode;
        return EXIA_OK;
    }
    if (fd >= 0)
        close(fd);
    (void)unlinkat(target->folder, target->staging, AT_REMOVEDIR);
    return rc;
}

exia_status exia__target_open(exia__target *out, const char *directory, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    int there = 0;
    *out = (exia__target){.folder = -1, .root = -1};
    exia_status rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = resolve(out, directory, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&out->staging, err, ".exia-%s", token);
    if (rc == EXIA_OK)
        rc = check(&there, out, err);
    if (rc == EXIA_OK)
        rc = make(out, there, err);
    if (rc < 0)
        exia__target_close(out);
    return rc;
}

exia_status exia__target_show(exia__target *target, int unsynced, exia_error *err)
{
    struct stat ours, shown;
    if (fchmod(target->root, target->mode) != 0 || (!unsynced && syncfs(target->root) != 0) ||
        fstat(target->root, &ours) != 0)
        return exia__fail_errno(err, errno, "cannot sync", target->path);
    if (renameat(target->folder, target->staging, target->folder, target->name) != 0)
        return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
                   ? not_empty(target, err)
                   : exia__fail_errno(err, errno, "cannot write", target->path);
    if (fstatat(target->folder, target->name, &shown, AT_SYMLINK_NOFOLLOW) != 0 ||
        !same_file(&ours, &shown))
        return exchanged(target, err);
    close(target->root);
    target->root = -1;
    if (!unsynced && fsync(target->folder) != 0 && errno != EINVAL) /* some cannot sync one */
        return exia__fail_errno(err, errno, "cannot sync the directory of", target->path);
    return EXIA_OK;
}

void exia__target_close(exia__target *target)
{
    if (target->root >= 0) { /* by its own descriptor: its name may mean another directory */
        (void)exia__tree_empty(target->root, target->path, NULL);
        (void)unlinkat(target->folder, target->staging, AT_REMOVEDIR);
        close(target->root);
    }
    if (target->folder >= 0)
        close(target->folder);
    exia__release(target->path);
    exia__release(target->staging);
    *target = (exia__target){.folder = -1, .root = -1};
}
