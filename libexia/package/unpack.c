/* Unpacking into a directory nobody else can reach: directories first, then files as the stream
 * brings them, links when no file is left to be written through them, modes last.  Only after all of
 * it was verified and synced does one rename show it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "package/reader.h"

typedef struct unpacking {
    const exia_package *package;
    const char *directory;
    int root;
    int parent; /* the directory that was used last */
    char *parent_path;
    size_t parent_size;
    /* For each member where its content goes: to itself, or, when only hard links to it are
     * selected, to the first of them; NOWHERE when it is not unpacked. */
    uint32_t *place;
    int fd; /* of the file that is being written */
} unpacking;

#define NOWHERE UINT32_MAX

static exia_status failed(const unpacking *u, const char *what, const char *path, exia_error *err)
{
    exia_status rc = exia__fail_errno(err, errno, what, path);
    return exia__prefix(err, rc, "%s", u->directory);
}

/* Open the directory that holds `path`, and point to the last part of it. */
static exia_status enter(unpacking *u, const char **name, const char *path, exia_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    *name = slash ? slash + 1 : path;
    if (u->parent >= 0 && size == u->parent_size &&
        (size == 0 || memcmp(path, u->parent_path, size) == 0))
        return EXIA_OK;
    if (u->parent >= 0)
        close(u->parent);
    u->parent = -1;
    exia__release(u->parent_path);
    u->parent_path = NULL;
    exia_status rc = exia__text_copy_n(&u->parent_path, size ? path : ".", size ? size : 1, err);
    if (rc < 0)
        return rc;
    u->parent_size = size;
    u->parent = exia__open_beneath(u->root, u->parent_path, O_PATH | O_DIRECTORY, 0);
    return u->parent < 0 ? failed(u, "cannot open the directory", u->parent_path, err) : EXIA_OK;
}

static int is_chosen(const unpacking *u, size_t index)
{
    return u->place[index] != NOWHERE;
}

static int goes_to(size_t index, void *payload)
{
    return is_chosen(payload, index);
}

static exia_status begin_file(size_t index, void *payload, exia_error *err)
{
    unpacking *u = payload;
    const char *name = NULL, *path = u->package->entries[u->place[index]].path;
    exia_status rc = enter(u, &name, path, err);
    if (rc < 0)
        return rc;
    u->fd = exia__open_beneath(u->parent, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    return u->fd < 0 ? failed(u, "cannot create", path, err) : EXIA_OK;
}

static exia_status write_data(const void *data, size_t size, void *payload, exia_error *err)
{
    unpacking *u = payload;
    return exia__write_all(u->fd, data, size, u->directory, err);
}

static exia_status end_file(size_t index, void *payload, exia_error *err)
{
    unpacking *u = payload;
    const exia__entry *entry = &u->package->entries[index];
    exia_status rc = EXIA_OK;
    if (fchmod(u->fd, entry->mode) != 0)
        rc = failed(u, "cannot set the mode of", entry->path, err);
    if (close(u->fd) != 0 && rc == EXIA_OK)
        rc = failed(u, "cannot write", entry->path, err);
    u->fd = -1;
    return rc;
}

/* Which members match, or lie below a match; every directory above them comes along. */
static exia_status choose(unpacking *u, const char *pattern, exia_error *err)
{
    const exia_package *package = u->package;
    size_t count = package->entry_count, below = 0, chosen = 0;
    u->place = exia__array(NULL, count, sizeof *u->place);
    if (u->place == NULL)
        return exia__fail_memory(err);
    const exia__entry *matched = NULL; /* the directory whose whole content is taken */
    for (size_t i = 0; i < count; i++) {
        const exia__entry *entry = &package->entries[i];
        int inside =
            matched && strncmp(entry->path, matched->path, below) == 0 && entry->path[below] == '/';
        int match = pattern == NULL || inside ||
                    exia__glob(pattern, strlen(pattern), entry->path, strlen(entry->path), 1);
        if (match && !inside && entry->type == 'd') {
            matched = entry;
            below = strlen(entry->path);
        }
        u->place[i] = match ? (uint32_t)i : NOWHERE;
        chosen += (size_t)match;
        for (size_t size = strlen(entry->path); match && size > 0; size--) {
            if (entry->path[size] != '/')
                continue;
            size_t parent = (size_t)(exia__entry_find(package->entries, i, entry->path, size) -
                                     package->entries);
            if (u->place[parent] != NOWHERE)
                break;
            u->place[parent] = (uint32_t)parent;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const exia__entry *entry = &package->entries[i];
        if (entry->type != 'h' || u->place[i] == NOWHERE)
            continue;
        size_t file =
            (size_t)(exia__entry_find(package->entries, i, entry->target, strlen(entry->target)) -
                     package->entries);
        if (u->place[file] == NOWHERE)
            u->place[file] = (uint32_t)i;
    }
    return chosen > 0
               ? EXIA_OK
               : exia__fail(err, EXIA_ENOTFOUND, 0, "%s has no member that matches \"%.100s\"",
                            package->path, pattern);
}

static exia_status check_space(const unpacking *u, exia_error *err)
{
    struct statvfs info;
    uint64_t need = 0;
    for (size_t i = 0; i < u->package->entry_count; i++)
        need += is_chosen(u, i) ? u->package->entries[i].size : 0;
    if (fstatvfs(u->root, &info) != 0)
        return failed(u, "cannot tell the free space of", ".", err);
    uint64_t blocks = need / (info.f_frsize ? info.f_frsize : 1);
    if (info.f_blocks == 0 || blocks <= info.f_bavail) /* no blocks: the system does not tell */
        return EXIA_OK;
    return exia__fail(err, EXIA_ENOSPACE, 0, "%s: %llu bytes are needed, and %llu are free",
                      u->directory, (unsigned long long)need,
                      (unsigned long long)info.f_bavail * info.f_frsize);
}

static exia_status make_directories(unpacking *u, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < u->package->entry_count; i++) {
        const exia__entry *entry = &u->package->entries[i];
        const char *name = NULL;
        if (entry->type != 'd' || !is_chosen(u, i))
            continue;
        rc = enter(u, &name, entry->path, err);
        if (rc == EXIA_OK && mkdirat(u->parent, name, 0700) != 0)
            rc = failed(u, "cannot make the directory", entry->path, err);
    }
    return rc;
}

static exia_status make_hard_link(unpacking *u, size_t index, exia_error *err)
{
    const exia__entry *entry = &u->package->entries[index];
    const char *from = NULL, *name = NULL;
    size_t file = (size_t)(exia__entry_find(u->package->entries, index, entry->target,
                                            strlen(entry->target)) -
                           u->package->entries);
    if (u->place[file] == index) /* its content went here */
        return EXIA_OK;
    exia_status rc = enter(u, &from, u->package->entries[u->place[file]].path, err);
    if (rc < 0)
        return rc;
    int parent = u->parent;
    u->parent = -1;
    rc = enter(u, &name, entry->path, err);
    if (rc == EXIA_OK && linkat(parent, from, u->parent, name, 0) != 0)
        rc = failed(u, "cannot link", entry->path, err);
    close(parent);
    return rc;
}

static exia_status make_links(unpacking *u, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < u->package->entry_count; i++) {
        const exia__entry *entry = &u->package->entries[i];
        const char *name = NULL;
        if (!is_chosen(u, i))
            continue;
        if (entry->type == 'h')
            rc = make_hard_link(u, i, err);
        if (entry->type != 'l')
            continue;
        rc = enter(u, &name, entry->path, err);
        if (rc == EXIA_OK && symlinkat(entry->target, u->parent, name) != 0)
            rc = failed(u, "cannot link", entry->path, err);
    }
    return rc;
}

/* The deepest first, for a directory may lose its owner's right to enter. */
static exia_status set_modes(unpacking *u, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = u->package->entry_count; rc == EXIA_OK && i-- > 0;) {
        const exia__entry *entry = &u->package->entries[i];
        if (entry->type != 'd' || !is_chosen(u, i))
            continue;
        int fd = exia__open_beneath(u->root, entry->path, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0 || fchmod(fd, entry->mode) != 0)
            rc = failed(u, "cannot set the mode of", entry->path, err);
        if (fd >= 0)
            close(fd);
    }
    return rc;
}

exia_status exia__package_unpack_into(const exia_package *package, const char *directory,
                                      const char *pattern, const exia_job *job, exia_error *err)
{
    static const exia__visitor visitor = {.wanted = goes_to,
                                          .begin = begin_file,
                                          .data = write_data,
                                          .end = end_file,
                                          .step = "unpacking"};
    unpacking u = {.package = package, .directory = directory, .root = -1, .parent = -1, .fd = -1};
    exia__work work;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = choose(&u, pattern, err);
    if (rc == EXIA_OK &&
        (u.root = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        rc = exia__fail_errno(err, errno, "cannot open the directory", directory);
    if (rc == EXIA_OK)
        rc = check_space(&u, err);
    if (rc == EXIA_OK)
        rc = make_directories(&u, err);
    if (rc == EXIA_OK)
        rc = exia__package_visit(package, &visitor, &u, &work, err);
    if (rc == EXIA_OK)
        rc = make_links(&u, err);
    if (rc == EXIA_OK)
        rc = set_modes(&u, err);
    if (u.fd >= 0)
        close(u.fd);
    if (u.parent >= 0)
        close(u.parent);
    if (u.root >= 0)
        close(u.root);
    exia__release(u.parent_path);
    exia__release(u.place);
    return rc;
}

/* Private while it is filled, in the end as mkdir would have made it, or as the empty directory is
 * that it replaces. */
static exia_status make_staging(mode_t *mode, const char *staging, const char *target,
                                const char *folder, exia_error *err)
{
    struct stat info;
    if (mkdir(staging, 0755) != 0)
        return exia__fail_errno(err, errno, "cannot unpack into", folder);
    if ((stat(target, &info) != 0 && stat(staging, &info) != 0) || chmod(staging, 0700) != 0) {
        exia_status rc = exia__fail_errno(err, errno, "cannot prepare", staging);
        (void)rmdir(staging);
        return rc;
    }
    *mode = info.st_mode & 07777;
    return EXIA_OK;
}

/* One syncfs for all files, then the rename, then the directory that shows it. */
static exia_status show(const char *staging, const char *target, const char *folder, mode_t mode,
                        exia_error *err)
{
    exia_status rc = EXIA_OK;
    int fd = open(staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, mode) != 0 || syncfs(fd) != 0)
        rc = exia__fail_errno(err, errno, "cannot sync", staging);
    if (fd >= 0)
        close(fd);
    if (rc == EXIA_OK && rename(staging, target) != 0)
        rc =
            errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
                ? exia__fail(err, EXIA_EEXISTS, errno, "%s is there and no empty directory", target)
                : exia__fail_errno(err, errno, "cannot write", target);
    return rc == EXIA_OK ? exia__directory_sync(folder, err) : rc;
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

exia_status exia_package_unpack(const exia_package *package, const char *directory,
                                const char *pattern, const exia_job *job, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    char *folder = NULL, *target = NULL, *staging = NULL;
    mode_t mode = 0;
    int made = 0;
    if (package == NULL || directory == NULL || *directory == '\0')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_package_unpack: the package or the directory is missing");
    exia_status rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = resolve(&folder, &target, directory, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&staging, err, "%s/.exia-%s", folder, token);
    if (rc == EXIA_OK)
        rc = check_target(target, err);
    if (rc == EXIA_OK) {
        rc = make_staging(&mode, staging, target, folder, err);
        made = rc == EXIA_OK;
    }
    if (rc == EXIA_OK)
        rc = exia__package_unpack_into(package, staging, pattern, job, err);
    if (rc == EXIA_OK)
        rc = show(staging, target, folder, mode, err);
    if (rc < 0 && made)
        (void)exia__tree_remove(staging, NULL);
    exia__release(folder);
    exia__release(target);
    exia__release(staging);
    return rc;
}
