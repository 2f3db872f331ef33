/* The walk of a workspace.  The entries found so far are also the queue of directories to read, so
 * nothing recurses; paths are opened below the workspace and no link is followed. */
#include "package/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

enum { MOST_IGNORE = 1 << 20 };

exia__stamp exia__stamp_of(const struct stat *info)
{
    return (exia__stamp){.device = info->st_dev,
                         .inode = info->st_ino,
                         .links = info->st_nlink,
                         .size = info->st_size,
                         .modified = info->st_mtim,
                         .changed = info->st_ctim};
}

int exia__stamp_equal(const exia__stamp *a, const exia__stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static exia_status reserve(exia__walk *walk, exia_error *err)
{
    size_t capacity = walk->capacity;
    if (walk->count >= EXIA__MOST_MEMBERS)
        return exia__fail(err, EXIA_EINVAL, 0, "the workspace has more than %d members",
                          EXIA__MOST_MEMBERS);
    exia_status rc =
        exia__grow(&walk->entries, &capacity, walk->count + 1, sizeof *walk->entries, err);
    return rc < 0 ? rc
                  : exia__grow(&walk->stamps, &walk->capacity, walk->count + 1,
                               sizeof *walk->stamps, err);
}

static exia_status read_target(char **out, int dir, const char *name, const char *path,
                               exia_error *err)
{
    char target[EXIA__MOST_PATH + 2];
    ssize_t size = readlinkat(dir, name, target, sizeof target);
    if (size < 0)
        return exia__fail_errno(err, errno, "cannot read the link", path);
    if (size > EXIA__MOST_PATH)
        return exia__fail(err, EXIA_EINVAL, 0, "the link \"%.100s\" has more than 4095 bytes",
                          path);
    return exia__text_copy_n(out, target, (size_t)size, err);
}

/* One name in a directory, whose path below the workspace is `below` ("" for itself). */
static exia_status add(exia__walk *walk, const exia__ignore *ignore, int dir, const char *below,
                       const char *name, exia_error *err)
{
    struct stat info;
    char *path = NULL, *target = NULL;
    exia__entry entry = {0};
    exia_status rc = reserve(walk, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&path, err, "%s%s%s", below, *below ? "/" : "", name);
    if (rc < 0)
        goto done;
    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        rc = errno == ENOENT
                 ? exia__fail(err, EXIA_ECONFLICT, errno, "%s went away while it was packed", path)
                 : exia__fail_errno(err, errno, "cannot read", path);
        goto done;
    }
    if (exia__ignored(ignore, path, S_ISDIR(info.st_mode)))
        goto done;
    entry.type = S_ISREG(info.st_mode)   ? 'f'
                 : S_ISDIR(info.st_mode) ? 'd'
                 : S_ISLNK(info.st_mode) ? 'l'
                                         : '\0';
    if (entry.type == '\0') {
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "\"%.120s\" is no file, directory or link: remove it, or list it in "
                        ".vedaignore",
                        path);
        goto done;
    }
    entry.mode = entry.type == 'l' ? 0777 : info.st_mode & EXIA__MODES;
    entry.size = entry.type == 'f' ? (uint64_t)info.st_size : 0;
    if (entry.type == 'l')
        rc = read_target(&target, dir, name, path, err);
    if (rc == EXIA_OK) {
        entry.path = path;
        entry.target = target;
        walk->stamps[walk->count] = exia__stamp_of(&info);
        walk->entries[walk->count++] = entry;
        path = target = NULL;
    }
done:
    exia__release(path);
    exia__release(target);
    return rc;
}

static exia_status read_directory(exia__walk *walk, const exia__ignore *ignore, const char *below,
                                  exia_error *err)
{
    exia_status rc = EXIA_OK;
    DIR *dir = NULL;
    const char *shown = *below ? below : "the workspace";
    int fd = exia__open_beneath(walk->root, *below ? below : ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || (dir = fdopendir(fd)) == NULL) {
        rc = exia__fail_errno(err, errno, "cannot read the directory", shown);
        goto done;
    }
    fd = -1;
    for (struct dirent *found; rc == EXIA_OK && (errno = 0, found = readdir(dir)) != NULL;) {
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            rc = add(walk, ignore, dirfd(dir), below, found->d_name, err);
    }
    if (rc == EXIA_OK && errno != 0)
        rc = exia__fail_errno(err, errno, "cannot read the directory", shown);
done:
    if (dir != NULL)
        closedir(dir);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Entries and stamps are sorted by an order of their indices. */
static int by_path(const void *a, const void *b, void *payload)
{
    const exia__walk *walk = payload;
    return exia__path_order(walk->entries[*(const size_t *)a].path,
                            walk->entries[*(const size_t *)b].path);
}

static int by_inode(const void *a, const void *b, void *payload)
{
    const exia__walk *walk = payload;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    const exia__stamp *left = &walk->stamps[i], *right = &walk->stamps[j];
    if (left->device != right->device)
        return left->device < right->device ? -1 : 1;
    if (left->inode != right->inode)
        return left->inode < right->inode ? -1 : 1;
    return (i > j) - (i < j);
}

static exia_status sort(exia__walk *walk, exia_error *err)
{
    exia_status rc = EXIA_OK;
    size_t count = walk->count;
    size_t *order = exia__array(NULL, count, sizeof *order);
    exia__entry *entries = exia__array(NULL, count, sizeof *entries);
    exia__stamp *stamps = exia__array(NULL, count, sizeof *stamps);
    if (order == NULL || entries == NULL || stamps == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, count, sizeof *order, by_path, walk);
    for (size_t i = 0; i < count; i++) {
        entries[i] = walk->entries[order[i]];
        stamps[i] = walk->stamps[order[i]];
    }
    if (count > 0) {
        memcpy(walk->entries, entries, count * sizeof *entries);
        memcpy(walk->stamps, stamps, count * sizeof *stamps);
    }
done:
    exia__release(order);
    exia__release(entries);
    exia__release(stamps);
    return rc;
}

/* Of the names of one file the first in path order is the file, the others are hard links to it. */
static exia_status link_names(exia__walk *walk, exia_error *err)
{
    exia_status rc = EXIA_OK;
    size_t count = 0;
    size_t *several = exia__array(NULL, walk->count, sizeof *several);
    if (several == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < walk->count; i++) {
        if (walk->entries[i].type == 'f' && walk->stamps[i].links > 1)
            several[count++] = i;
    }
    qsort_r(several, count, sizeof *several, by_inode, walk);
    for (size_t first = 0, i = 1; i < count && rc == EXIA_OK; i++) {
        const exia__stamp *a = &walk->stamps[several[first]], *b = &walk->stamps[several[i]];
        exia__entry *entry = &walk->entries[several[i]];
        if (a->device != b->device || a->inode != b->inode) {
            first = i;
            continue;
        }
        char *target = NULL;
        rc = exia__text_copy(&target, walk->entries[several[first]].path, err);
        if (rc == EXIA_OK) {
            entry->type = 'h';
            entry->target = target;
            entry->size = 0;
            entry->mode = walk->entries[several[first]].mode;
        }
    }
    exia__release(several);
    return rc;
}

static exia_status read_rules(exia__ignore *out, const char *workspace, exia_error *err)
{
    char *path = NULL, *text = NULL;
    exia_status rc = exia__path_join(&path, workspace, ".vedaignore", err);
    if (rc == EXIA_OK && exia__path_exists(path))
        rc = exia__file_read(&text, NULL, path, MOST_IGNORE, err);
    if (rc == EXIA_OK)
        rc = exia__ignore_open(out, text, err);
    exia__release(path);
    exia__release(text);
    return rc;
}

exia_status exia__walk_open(exia__walk *out, const char *workspace, exia__work *work,
                            exia_error *err)
{
    exia__walk walk = {.root = -1};
    exia__ignore ignore = {0};
    *out = walk;
    exia_status rc = EXIA_OK;
    walk.root = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (walk.root < 0)
        rc = exia__fail_errno(err, errno, "cannot read the workspace", workspace);
    if (rc == EXIA_OK)
        rc = read_rules(&ignore, workspace, err);
    if (rc == EXIA_OK)
        rc = read_directory(&walk, &ignore, "", err);
    for (size_t i = 0; rc == EXIA_OK && i < walk.count; i++) {
        if (walk.entries[i].type == 'd')
            rc = read_directory(&walk, &ignore, walk.entries[i].path, err);
        if (rc == EXIA_OK)
            rc = exia__work_step(work, "finding", i, 0, err);
    }
    if (rc == EXIA_OK)
        rc = sort(&walk, err);
    if (rc == EXIA_OK)
        rc = link_names(&walk, err);
    if (rc == EXIA_OK)
        rc = exia__entries_check(walk.entries, walk.count, EXIA_EINVAL, err);
    if (rc == EXIA_OK) {
        *out = walk;
        walk = (exia__walk){.root = -1};
    }
    exia__walk_free(&walk);
    exia__ignore_free(&ignore);
    return rc;
}

void exia__walk_free(exia__walk *walk)
{
    for (size_t i = 0; i < walk->count; i++) {
        exia__release((char *)walk->entries[i].path);
        exia__release((char *)walk->entries[i].target);
    }
    exia__release(walk->entries);
    exia__release(walk->stamps);
    if (walk->root >= 0)
        close(walk->root);
    *walk = (exia__walk){.root = -1};
}
