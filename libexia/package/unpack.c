/* Unpacking into a directory nobody else can reach: directories first, then files as the stream
 * brings them, links when no file is left to be written through them, modes last.  Only after all of
 * it was verified and synced does one rename show it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "package/place.h"
#include "package/reader.h"

typedef struct unpacking {
    const exia_package *package;
    exia__place place;
    /* For each member where its content goes: to itself, or, when only hard links to it are
     * selected, to the first of them; NOWHERE when it is not unpacked. */
    uint32_t *goes;
    int fd; /* of the file that is being written */
    uint64_t at;
} unpacking;

#define NOWHERE UINT32_MAX

static int is_chosen(const unpacking *u, size_t index)
{
    return u->goes[index] != NOWHERE;
}

static int goes_to(size_t index, void *payload)
{
    return is_chosen(payload, index);
}

static exia_status begin_file(size_t index, void *payload, exia_error *err)
{
    unpacking *u = payload;
    u->at = 0;
    return exia__place_file(&u->fd, &u->place, u->package->entries[u->goes[index]].path,
                            u->package->entries[index].mode, err);
}

static exia_status write_data(const void *data, size_t size, void *payload, exia_error *err)
{
    unpacking *u = payload;
    u->at += size;
    return exia__place_bytes(u->fd, &u->place, u->place.directory, data, size, u->at - size, err);
}

static exia_status end_file(size_t index, void *payload, exia_error *err)
{
    unpacking *u = payload;
    const exia__entry *entry = &u->package->entries[index];
    int fd = u->fd;
    u->fd = -1;
    return exia__place_file_end(fd, &u->place, entry->path, entry->mode, err);
}

/* Which members match, or lie below a match; every directory above them comes along. */
static exia_status choose(unpacking *u, const char *pattern, exia_error *err)
{
    const exia_package *package = u->package;
    size_t count = package->entry_count, below = 0, chosen = 0;
    u->goes = exia__array(NULL, count, sizeof *u->goes);
    if (u->goes == NULL)
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
        u->goes[i] = match ? (uint32_t)i : NOWHERE;
        chosen += (size_t)match;
        for (size_t size = strlen(entry->path); match && size > 0; size--) {
            if (entry->path[size] != '/')
                continue;
            size_t parent = (size_t)(exia__entry_find(package->entries, i, entry->path, size) -
                                     package->entries);
            if (u->goes[parent] != NOWHERE)
                break;
            u->goes[parent] = (uint32_t)parent;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const exia__entry *entry = &package->entries[i];
        if (entry->type != 'h' || u->goes[i] == NOWHERE)
            continue;
        size_t file =
            (size_t)(exia__entry_find(package->entries, i, entry->target, strlen(entry->target)) -
                     package->entries);
        if (u->goes[file] == NOWHERE)
            u->goes[file] = (uint32_t)i;
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
    if (fstatvfs(u->place.root, &info) != 0)
        return exia__fail_errno(err, errno, "cannot tell the free space of", u->place.directory);
    uint64_t blocks = need / (info.f_frsize ? info.f_frsize : 1);
    if (info.f_blocks == 0 || blocks <= info.f_bavail) /* no blocks: the system does not tell */
        return EXIA_OK;
    return exia__fail(err, EXIA_ENOSPACE, 0, "%s: %llu bytes are needed, and %llu are free",
                      u->place.directory, (unsigned long long)need,
                      (unsigned long long)info.f_bavail * info.f_frsize);
}

static exia_status make_directories(unpacking *u, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < u->package->entry_count; i++) {
        const exia__entry *entry = &u->package->entries[i];
        if (entry->type == 'd' && is_chosen(u, i))
            rc = exia__place_directory(&u->place, entry->path, err);
    }
    return rc;
}

static exia_status make_links(unpacking *u, exia_error *err)
{
    const exia__entry *entries = u->package->entries;
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < u->package->entry_count; i++) {
        const exia__entry *entry = &entries[i];
        if (!is_chosen(u, i))
            continue;
        if (entry->type == 'l')
            rc = exia__place_link(&u->place, entry->path, entry->target, err);
        if (entry->type != 'h')
            continue;
        size_t file =
            (size_t)(exia__entry_find(entries, i, entry->target, strlen(entry->target)) - entries);
        if (u->goes[file] != i) /* else its content went here */
            rc = exia__place_hard_link(&u->place, entry->path, entries[u->goes[file]].path, err);
    }
    return rc;
}

/* The deepest first, for a directory may lose its owner's right to enter. */
static exia_status set_modes(unpacking *u, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = u->package->entry_count; rc == EXIA_OK && i-- > 0;) {
        const exia__entry *entry = &u->package->entries[i];
        if (entry->type == 'd' && is_chosen(u, i))
            rc = exia__place_mode(&u->place, entry->path, entry->mode, err);
    }
    return rc;
}

exia_status exia__package_unpack_into(const exia_package *package, int root, const char *directory,
                                      const char *pattern, const exia_job *job, exia_error *err)
{
    static const exia__visitor visitor = {.wanted = goes_to,
                                          .begin = begin_file,
                                          .data = write_data,
                                          .end = end_file,
                                          .step = "unpacking"};
    unpacking u = {.package = package, .place = exia__place_open(root, directory), .fd = -1};
    exia__work work;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = choose(&u, pattern, err);
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
    exia__place_close(&u.place);
    exia__release(u.goes);
    return rc;
}

exia_status exia_package_unpack(const exia_package *package, const char *directory,
                                const char *pattern, const exia_job *job, exia_error *err)
{
    exia__target target;
    if (package == NULL || directory == NULL || *directory == '\0')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_package_unpack: the package or the directory is missing");
    exia_status rc = exia__package_trusted(package, NULL, 0, err);
    if (rc < 0)
        return rc;
    rc = exia__target_open(&target, directory, err);
    if (rc == EXIA_OK)
        rc = exia__package_unpack_into(package, target.root, target.path, pattern, job, err);
    if (rc == EXIA_OK)
        rc = exia__target_show(&target, 0, err);
    exia__target_close(&target);
    return rc;
}
