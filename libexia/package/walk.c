/* The walk of a workspace.  Directories found wait in a queue, so nothing recurses; paths are opened
 * below the workspace and no link is followed. */
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
#include "package/ignore.h"

enum { MOST_IGNORE = 1 << 20 };
#define IGNORE_NAME ".vedaignore"

typedef struct finding {
    exia__walk *walk;
    exia__work *work;
    exia__ignore *rules; /* all there are */
    struct waiting {
        size_t entry;
        const exia__ignore *rules; /* that hold around it */
    } * directories;
    size_t count, capacity;
} finding;

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

static exia_status reserve(finding *now, exia_error *err)
{
    exia__walk *walk = now->walk;
    size_t capacity = walk->capacity;
    if (walk->count >= EXIA__MOST_MEMBERS)
        return exia__fail(err, EXIA_EINVAL, 0, "the workspace has more than %d members",
                          EXIA__MOST_MEMBERS);
    exia_status rc =
        exia__grow(&walk->entries, &capacity, walk->count + 1, sizeof *walk->entries, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&walk->stamps, &walk->capacity, walk->count + 1, sizeof *walk->stamps, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&now->directories, &now->capacity, now->count + 1, sizeof *now->directories,
                        err);
    return rc;
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
static exia_status add(finding *now, const exia__ignore *rules, int dir, const char *below,
                       const char *name, exia_error *err)
{
    exia__walk *walk = now->walk;
    struct stat info;
    char *path = NULL, *target = NULL;
    exia__entry entry = {0};
    exia_status rc = reserve(now, err);
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
    if (exia__ignored(rules, path, S_ISDIR(info.st_mode)))
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
        if (entry.type == 'd')
            now->directories[now->count++] = (struct waiting){walk->count, rules};
        walk->stamps[walk->count] = exia__stamp_of(&info);
        walk->entries[walk->count++] = entry;
        path = target = NULL;
    }
done:
    exia__release(path);
    exia__release(target);
    return rc;
}

/* The rules that hold in a directory: its own, if it has any, and those around it. */
static exia_status read_rules(const exia__ignore **rules, finding *now, int dir, const char *below,
                              exia_error *err)
{
    struct stat info;
    char *path = NULL, *text = NULL;
    size_t base = *below ? strlen(below) + 1 : 0;
    int fd = openat(dir, IGNORE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return EXIA_OK;
    int code = errno;
    exia_status rc = exia__text_format(&path, err, "%s%s" IGNORE_NAME, below, base ? "/" : "");
    if (rc == EXIA_OK && fd < 0)
        rc = code == ELOOP ? exia__fail(err, EXIA_EINVAL, 0, "%s is a link: make it a file", path)
                           : exia__fail_errno(err, code, "cannot read", path);
    if (rc == EXIA_OK && fstat(fd, &info) != 0)
        rc = exia__fail_errno(err, errno, "cannot read", path);
    if (rc == EXIA_OK && (!S_ISREG(info.st_mode) || info.st_size > MOST_IGNORE))
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is no file of at most 1 MiB", path);
    size_t size = rc == EXIA_OK ? (size_t)info.st_size : 0;
    if (rc == EXIA_OK && (text = exia__zeroed(size + 1, 1)) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__read_at(fd, text, size, 0, path, err);
    if (rc == EXIA_OK && strlen(text) != size)
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is no text: it has a zero byte", path);
    if (rc == EXIA_OK)
        rc = exia__ignore_add(&now->rules, *rules, base, text, err);
    if (rc == EXIA_OK)
        *rules = now->rules;
    exia__release(path);
    exia__release(text);
    if (fd >= 0)
        close(fd);
    return rc;
}

static exia_status read_directory(finding *now, const exia__ignore *rules, const char *below,
                                  exia_error *err)
{
    exia_status rc = EXIA_OK;
    DIR *dir = NULL;
    const char *shown = *below ? below : "the workspace";
    int fd = exia__open_beneath(now->walk->root, *below ? below : ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || (dir = fdopendir(fd)) == NULL) {
        rc = exia__fail_errno(err, errno, "cannot read the directory", shown);
        goto done;
    }
    fd = -1;
    rc = read_rules(&rules, now, dirfd(dir), below, err);
    for (struct dirent *found; rc == EXIA_OK && (errno = 0, found = readdir(dir)) != NULL;) {
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            rc = add(now, rules, dirfd(dir), below, found->d_name, err);
        if (rc == EXIA_OK)
            rc = exia__work_step(now->work, "finding", now->walk->count, 0, err);
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

static exia_status find_all(exia__walk *walk, exia__work *work, exia_error *err)
{
    finding now = {.walk = walk, .work = work};
    exia_status rc = exia__ignore_add(&now.rules, NULL, 0, NULL, err);
    if (rc == EXIA_OK)
        rc = read_directory(&now, now.rules, "", err);
    for (size_t i = 0; rc == EXIA_OK && i < now.count; i++)
        rc = read_directory(&now, now.directories[i].rules,
                            walk->entries[now.directories[i].entry].path, err);
    exia__ignore_free(now.rules);
    exia__release(now.directories);
    return rc;
}

/* Both arrays are sorted by an order of their indices, in place: there may be millions. */
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

/* Entry order[i] goes to i, along the cycles that this makes. */
static void rearrange(exia__walk *walk, size_t *order)
{
    for (size_t i = 0; i < walk->count; i++) {
        exia__entry entry = walk->entries[i];
        exia__stamp stamp = walk->stamps[i];
        size_t to = i;
        for (size_t from = order[i]; from != i; from = order[to]) {
            walk->entries[to] = walk->entries[from];
            walk->stamps[to] = walk->stamps[from];
            order[to] = to;
            to = from;
        }
        walk->entries[to] = entry;
        walk->stamps[to] = stamp;
        order[to] = to;
    }
}

static exia_status sort(exia__walk *walk, exia_error *err)
{
    size_t *order = exia__array(NULL, walk->count, sizeof *order);
    if (order == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < walk->count; i++)
        order[i] = i;
    qsort_r(order, walk->count, sizeof *order, by_path, walk);
    rearrange(walk, order);
    exia__release(order);
    return EXIA_OK;
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

exia_status exia__walk_open(exia__walk *out, const char *workspace, exia__work *work,
                            exia_error *err)
{
    exia__walk walk = {.root = -1};
    *out = walk;
    exia_status rc = EXIA_OK;
    walk.root = open(workspace, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (walk.root < 0)
        rc = exia__fail_errno(err, errno, "cannot read the workspace", workspace);
    if (rc == EXIA_OK)
        rc = find_all(&walk, work, err);
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
