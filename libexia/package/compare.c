/* A directory compared with a RECORD: each member by itself, on all threads; then a walk that looks for
 * what is no member.  Everything is opened beneath the directory and no link is followed, so what
 * somebody put there leads nowhere. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/crew.h"
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/url.h"
#include "package/format.h"
#include "package/read.h"

enum { CHUNK = 256 << 10 };
enum { MISSING = 1, UNREADABLE = 2, TYPE = 4, SIZE = 8, DIGEST = 16, MODE = 32, TARGET = 64 };

/* How one member was found. */
typedef struct finding {
    unsigned problems;
    mode_t mode;
    uint64_t size;
    json_t *shown; /* the digest or the target that is there */
} finding;

typedef struct hand {
    exia__hash *hash;
    char *buffer;
} hand;

typedef struct comparing {
    exia__entry *entries;
    size_t count, next;
    finding *found; /* of each */
    int root, quick;
    const char *directory; /* for errors */
    hand *hands;
    exia__work *work;
    uint64_t total;
    atomic_uint_least64_t done;
    char **extra; /* paths that are no members */
    size_t extra_count, extra_room;
    json_t *rows;
} comparing;

static exia_status failed(const comparing *all, const char *what, const char *path, exia_error *err)
{
    exia_status rc = exia__fail_errno(err, errno, what, path);
    return exia__prefix(err, rc, "%s", all->directory);
}

static json_t *digest_text(const unsigned char digest[EXIA__DIGEST_SIZE])
{
    char hex[EXIA__HEX_SIZE];
    exia__hex(hex, digest, EXIA__DIGEST_SIZE);
    return json_string(hex);
}

static json_t *path_text(const char *path)
{
    char *encoded = NULL;
    json_t *text =
        exia__percent_encode(&encoded, path, NULL) == EXIA_OK ? json_string(encoded) : NULL;
    exia__release(encoded);
    return text;
}

static char type_of(mode_t mode)
{
    return S_ISREG(mode) ? 'f' : S_ISDIR(mode) ? 'd' : S_ISLNK(mode) ? 'l' : '?';
}

/* ---- the members ---------------------------------------------------------------------------- */

/* Open a member, -1 where that tells a problem. */
static exia_status open_member(int *fd, const comparing *all, const char *path, int flags,
                               unsigned *problems, exia_error *err)
{
    *fd = exia__open_beneath(all->root, path, flags, 0);
    if (*fd >= 0)
        return EXIA_OK;
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV:
        *problems |= MISSING;
        return EXIA_OK;
    case EACCES:
    case EPERM:
        *problems |= UNREADABLE;
        return EXIA_OK;
    default:
        return failed(all, "cannot open", path, err);
    }
}

static exia_status compare_content(comparing *all, const exia__entry *entry, finding *found,
                                   const exia__hand *at, exia_error *err)
{
    hand *own = &all->hands[at->index];
    unsigned char digest[EXIA__DIGEST_SIZE];
    int fd = -1;
    ssize_t got = 1;
    exia_status rc =
        open_member(&fd, all, entry->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &found->problems, err);
    if (rc < 0 || fd < 0)
        return rc;
    while (rc == EXIA_OK && got > 0) {
        got = read(fd, own->buffer, CHUNK);
        if (got < 0 && errno == EIO)
            found->problems |= UNREADABLE;
        else if (got < 0)
            rc = failed(all, "cannot read", entry->path, err);
        if (got > 0)
            rc = exia__hash_update(own->hash, own->buffer, (size_t)got, err);
        if (got > 0)
            atomic_fetch_add_explicit(&all->done, (uint64_t)got, memory_order_relaxed);
        if (rc == EXIA_OK)
            rc = exia__crew_step(at, err);
    }
    close(fd);
    exia_status ended = exia__hash_finish(digest, own->hash, rc < 0 ? NULL : err);
    rc = rc < 0 ? rc : ended;
    if (rc == EXIA_OK && !(found->problems & UNREADABLE) &&
        memcmp(digest, entry->digest, sizeof digest) != 0) {
        found->problems |= DIGEST;
        found->shown = digest_text(digest);
        rc = found->shown ? EXIA_OK : exia__fail_memory(err);
    }
    return rc;
}

static exia_status read_target(char out[EXIA__MOST_PATH + 2], const comparing *all, int fd,
                               const char *path, exia_error *err)
{
    ssize_t size = readlinkat(fd, "", out, EXIA__MOST_PATH + 1);
    if (size < 0)
        return failed(all, "cannot read the link", path, err);
    out[size] = '\0';
    return EXIA_OK;
}

/* Is it still another name of the file that it stands for? */
static exia_status compare_hard_link(const comparing *all, const exia__entry *entry, finding *found,
                                     const struct stat *info, exia_error *err)
{
    struct stat file = {0};
    unsigned ignored = 0;
    int fd = -1;
    exia_status rc = open_member(&fd, all, entry->target, O_PATH, &ignored, err);
    if (rc == EXIA_OK && fd >= 0 && fstat(fd, &file) != 0)
        rc = failed(all, "cannot read", entry->target, err);
    if (rc == EXIA_OK && (file.st_ino != info->st_ino || file.st_dev != info->st_dev))
        found->problems |= TARGET;
    if (fd >= 0)
        close(fd);
    return rc;
}

static exia_status compare_member(comparing *all, size_t index, const exia__hand *at,
                                  exia_error *err)
{
    const exia__entry *entry = &all->entries[index];
    finding *found = &all->found[index];
    char target[EXIA__MOST_PATH + 2], type = entry->type == 'h' ? 'f' : entry->type;
    struct stat info = {0};
    int fd = -1;
    exia_status rc = open_member(&fd, all, entry->path, O_PATH, &found->problems, err);
    if (rc < 0 || fd < 0)
        return rc;
    if (fstat(fd, &info) != 0) {
        rc = failed(all, "cannot read", entry->path, err);
        goto done;
    }
    found->mode = info.st_mode;
    found->size = (uint64_t)info.st_size;
    if (type_of(info.st_mode) != type) {
        found->problems |= TYPE;
    } else if (type == 'l') {
        rc = read_target(target, all, fd, entry->path, err);
        if (rc == EXIA_OK && strcmp(target, entry->target) != 0)
            found->problems |= TARGET;
        if (rc == EXIA_OK && found->problems & TARGET && (found->shown = path_text(target)) == NULL)
            rc = exia__fail_memory(err);
    } else {
        if ((info.st_mode & 07777) != entry->mode)
            found->problems |= MODE;
        if (entry->type == 'f' && found->size != entry->size)
            found->problems |= SIZE;
        else if (entry->type == 'f' && !all->quick)
            rc = compare_content(all, entry, found, at, err);
        else if (entry->type == 'h')
            rc = compare_hard_link(all, entry, found, &info, err);
    }
done:
    close(fd);
    return rc;
}

static exia_status take(size_t slot, void *payload, exia_error *err)
{
    comparing *all = payload;
    (void)slot, (void)err;
    return all->next++ < all->count ? EXIA_OK : EXIA_DONE;
}

static exia_status work(size_t slot, exia__hand *at, void *payload, exia_error *err)
{
    (void)slot;
    return compare_member(payload, at->item, at, err);
}

static exia_status step(void *payload, exia_error *err)
{
    comparing *all = payload;
    return exia__work_step(all->work, "checking", atomic_load(&all->done), all->total, err);
}

static exia_status compare_members(comparing *all, exia_error *err)
{
    uint32_t threads =
        all->work->job.threads < all->count ? all->work->job.threads : (uint32_t)all->count;
    exia__crew crew = {threads, threads, take, work, NULL, step};
    exia_status rc = EXIA_OK;
    all->hands = exia__zeroed(threads, sizeof *all->hands);
    if (all->hands == NULL)
        rc = exia__fail_memory(err);
    for (uint32_t i = 0; rc == EXIA_OK && i < threads; i++) {
        rc = exia__hash_open(&all->hands[i].hash, err);
        if (rc == EXIA_OK && (all->hands[i].buffer = exia__resize(NULL, CHUNK)) == NULL)
            rc = exia__fail_memory(err);
    }
    if (rc == EXIA_OK && threads > 0)
        rc = exia__crew_run(&crew, all, err);
    for (uint32_t i = 0; all->hands != NULL && i < threads; i++) {
        exia__hash_free(all->hands[i].hash);
        exia__release(all->hands[i].buffer);
    }
    exia__release(all->hands);
    return rc;
}

/* ---- what is too much ----------------------------------------------------------------------- */

typedef struct waiting {
    char **paths; /* of directories that are to be read */
    size_t count, room;
} waiting;

static exia_status push(char ***paths, size_t *count, size_t *room, char **path, exia_error *err)
{
    exia_status rc = exia__grow(paths, room, *count + 1, sizeof **paths, err);
    if (rc == EXIA_OK) {
        (*paths)[(*count)++] = *path;
        *path = NULL;
    }
    return rc;
}

static exia_status visit(comparing *all, waiting *list, const char *below, const char *name,
                         exia_error *err)
{
    char *path = NULL;
    exia_status rc = exia__text_format(&path, err, "%s%s%s", below, *below ? "/" : "", name);
    if (rc < 0)
        return rc;
    const exia__entry *entry = exia__entry_find(all->entries, all->count, path, strlen(path));
    if ((entry != NULL && entry->type == 'd') || strcmp(path, EXIA__RECORD_FOLDER) == 0)
        rc = push(&list->paths, &list->count, &list->room, &path, err);
    else if (entry == NULL && strcmp(path, EXIA__RECORD_PATH) != 0)
        rc = push(&all->extra, &all->extra_count, &all->extra_room, &path, err);
    exia__release(path);
    return rc;
}

/* A directory that cannot be entered was found so as a member. */
static exia_status visit_all(comparing *all, waiting *list, const char *below, exia_error *err)
{
    int fd = exia__open_beneath(all->root, *below ? below : ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    exia_status rc = EXIA_OK;
    if (dir == NULL && fd >= 0) {
        rc = failed(all, "cannot read", below, err);
        close(fd);
    } else if (dir == NULL && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
        rc = failed(all, "cannot open", below, err);
    }
    for (struct dirent *item; rc == EXIA_OK && dir != NULL && (item = readdir(dir)) != NULL;) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            rc = visit(all, list, below, item->d_name, err);
    }
    if (dir != NULL)
        closedir(dir);
    return rc;
}

static int by_path(const void *left, const void *right)
{
    return exia__path_order(*(char *const *)left, *(char *const *)right);
}

static exia_status find_extra(comparing *all, exia_error *err)
{
    waiting list = {0};
    exia_status rc = visit_all(all, &list, "", err);
    while (rc == EXIA_OK && list.count > 0) {
        char *below = list.paths[--list.count];
        rc = visit_all(all, &list, below, err);
        exia__release(below);
        if (rc == EXIA_OK)
            rc = step(all, err);
    }
    while (list.count > 0)
        exia__release(list.paths[--list.count]);
    exia__release(list.paths);
    if (all->extra_count > 0)
        qsort(all->extra, all->extra_count, sizeof *all->extra, by_path);
    return rc;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* Takes over both texts as JSON; NULL: none to tell. */
static exia_status tell(comparing *all, const char *path, const char *problem, json_t *expected,
                        json_t *found, exia_error *err)
{
    char *encoded = NULL;
    exia_status rc = exia__percent_encode(&encoded, path, err);
    if (rc < 0) {
        json_decref(expected);
        json_decref(found);
    }
    json_t *row = rc == EXIA_OK ? json_pack("{s:s, s:s, s:o?, s:o?}", "path", encoded, "problem",
                                            problem, "expected", expected, "found", found)
                                : NULL;
    if (rc == EXIA_OK)
        rc = exia__json_append(all->rows, row, err);
    exia__release(encoded);
    return rc;
}

static json_t *mode_text(mode_t mode)
{
    char text[16];
    snprintf(text, sizeof text, "%04o", (unsigned)mode & 07777);
    return json_string(text);
}

static json_t *type_text(char type)
{
    return json_string(type == 'f'   ? "file"
                       : type == 'd' ? "directory"
                       : type == 'l' ? "link"
                       : type == 'h' ? "hardlink"
                                     : "something else");
}

static exia_status tell_member(comparing *all, size_t index, exia_error *err)
{
    const exia__entry *entry = &all->entries[index];
    const finding *found = &all->found[index];
    const char *path = entry->path;
    exia_status rc = EXIA_OK;
    if (found->problems & MISSING)
        rc = tell(all, path, "missing", type_text(entry->type), NULL, err);
    if (rc == EXIA_OK && found->problems & UNREADABLE)
        rc = tell(all, path, "unreadable", NULL, NULL, err);
    if (rc == EXIA_OK && found->problems & TYPE)
        rc = tell(all, path, "type", type_text(entry->type), type_text(type_of(found->mode)), err);
    if (rc == EXIA_OK && found->problems & SIZE)
        rc = tell(all, path, "size", json_integer((json_int_t)entry->size),
                  json_integer((json_int_t)found->size), err);
    if (rc == EXIA_OK && found->problems & DIGEST)
        rc = tell(all, path, "digest", digest_text(entry->digest), json_incref(found->shown), err);
    if (rc == EXIA_OK && found->problems & MODE)
        rc = tell(all, path, "mode", mode_text((mode_t)entry->mode), mode_text(found->mode), err);
    if (rc == EXIA_OK && found->problems & TARGET)
        rc = tell(all, path, "target", path_text(entry->target), json_incref(found->shown), err);
    return rc;
}

static exia_status tell_all(comparing *all, exia_error *err)
{
    all->rows = json_array();
    exia_status rc = all->rows ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < all->count; i++)
        rc = all->found[i].problems ? tell_member(all, i, err) : EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < all->extra_count; i++)
        rc = tell(all, all->extra[i], "extra", NULL, NULL, err);
    return rc;
}

exia_status exia__record_compare(json_t **out, char *text, size_t size, int root,
                                 const char *directory, int quick, exia__work *work,
                                 exia_error *err)
{
    comparing all = {.root = root, .quick = quick, .directory = directory, .work = work};
    exia__checked lines = {0};
    exia_status rc = exia__record_check(&lines, text, size, err);
    if (rc == EXIA_OK)
        rc = exia__record_parse(&all.entries, text, size, lines.lines, err);
    if (rc == EXIA_OK)
        rc = exia__entries_check(all.entries, lines.lines, EXIA_ECORRUPT, err);
    if (rc < 0)
        goto done;
    all.count = lines.lines;
    for (size_t i = 0; i < all.count; i++)
        all.total += quick ? 0 : all.entries[i].size;
    all.found = exia__zeroed(all.count, sizeof *all.found);
    rc = all.found ? compare_members(&all, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = find_extra(&all, err);
    if (rc == EXIA_OK)
        rc = tell_all(&all, err);
    if (rc == EXIA_OK) {
        *out = all.rows;
        all.rows = NULL;
    }
done:
    while (all.extra_count > 0)
        exia__release(all.extra[--all.extra_count]);
    exia__release(all.extra);
    for (size_t i = 0; all.found != NULL && i < all.count; i++)
        json_decref(all.found[i].shown);
    exia__release(all.found);
    exia__release(all.entries);
    json_decref(all.rows);
    return rc;
}
