/* Where a package is unpacked to: a private directory beside its place, which one rename shows when all
 * of it was verified and synced. */
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

/* Private while it is filled, in the end as mkdir would have made it, or as the empty directory is
 * that it replaces. */
static exia_status make_staging(exia__target *target, exia_error *err)
{
    struct stat info;
    if (mkdir(target->staging, 0755) != 0)
        return exia__fail_errno(err, errno, "cannot unpack into", target->folder);
    if ((stat(target->path, &info) != 0 && stat(target->staging, &info) != 0) ||
        chmod(target->staging, 0700) != 0) {
        exia_status rc = exia__fail_errno(err, errno, "cannot prepare", target->staging);
        (void)rmdir(target->staging);
        return rc;
    }
    target->mode = info.st_mode & 07777;
    return EXIA_OK;
}

/* The directory that holds the target, links in it resolved, and the target in there. */
static exia_status resolve(char **folder, char **target, const char *directory, exia_error *err)
{
    char *copy = NULL, *real = NULL;
    size_t size = strlen(directory);
    while (size > 1 && directory[size - 1] == '/')
        size--;
    exia_status rc = exia__text_copy_n(&copy, directory, size, err);
    if (rc < 0)
        return rc;
    real = realpath(copy, NULL); /* a link to an empty directory, "." and ".." */
    const char *path = real ? real : copy;
    if (real == NULL && errno != ENOENT)
        rc = exia__fail_errno(err, errno, "cannot unpack to", copy);
    else if (real == NULL && exia__path_exists(copy))
        rc = exia__fail(err, EXIA_EEXISTS, 0, "%s is a link to nothing", copy);
    size_t above = (size_t)(exia__path_base(path) - path);
    while (above > 1 && path[above - 1] == '/')
        above--;
    if (rc == EXIA_OK)
        rc = exia__text_copy_n(folder, above ? path : ".", above ? above : 1, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(target, path, err);
    (free)(real); /* realpath's own memory */
    exia__release(copy);
    return rc;
}

/* The rename would refuse most of it too, but late; what it replaces must not be where we stand. */
static exia_status check_target(const char *target, exia_error *err)
{
    struct stat there, here;
    DIR *dir = opendir(target);
    int found = 0;
    if (dir == NULL && errno == ENOENT)
        return EXIA_OK;
    if (dir == NULL && errno != ENOTDIR)
        return exia__fail_errno(err, errno, "cannot read the directory", target);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        found |= strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (dir == NULL || closedir(dir) != 0 || found)
        return exia__fail(err, EXIA_EEXISTS, 0, "%s is there and no empty directory", target);
    if (stat(target, &there) == 0 && stat(".", &here) == 0 && there.st_ino == here.st_ino &&
        there.st_dev == here.st_dev)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "%s is the working directory, which would be replaced: name another",
                          target);
    return EXIA_OK;
}

exia_status exia__target_open(exia__target *out, const char *directory, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    *out = (exia__target){0};
    exia_status rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = resolve(&out->folder, &out->path, directory, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&out->staging, err, "%s/.exia-%s", out->folder, token);
    if (rc == EXIA_OK)
        rc = check_target(out->path, err);
    if (rc == EXIA_OK)
        rc = make_staging(out, err);
    out->made = rc == EXIA_OK;
    if (rc < 0)
        exia__target_close(out);
    return rc;
}

/* One syncfs for all files, then the rename, then the directory that shows it. */
exia_status exia__target_show(exia__target *target, exia_error *err)
{
    exia_status rc = EXIA_OK;
    int fd = open(target->staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, target->mode) != 0 || syncfs(fd) != 0)
        rc = exia__fail_errno(err, errno, "cannot sync", target->staging);
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return rc;
    if (rename(target->staging, target->path) != 0)
        return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
                   ? exia__fail(err, EXIA_EEXISTS, errno, "%s is there and no empty directory",
                                target->path)
                   : exia__fail_errno(err, errno, "cannot write", target->path);
    target->made = 0;
    return exia__directory_sync(target->folder, err);
}

void exia__target_close(exia__target *target)
{
    if (target->made)
        (void)exia__tree_remove(target->staging, NULL);
    exia__release(target->folder);
    exia__release(target->path);
    exia__release(target->staging);
    *target = (exia__target){0};
}
