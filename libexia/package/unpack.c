/* Unpacking into a directory nobody else can reach: directories first, then files in any order by
 * several threads, links when no file is left to be written through them, modes last.  Only after all
 * of it was verified and synced does one rename show it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "package/place.h"
#include "package/reader.h"

enum { HOLE = 256 << 10 }; /* so many zeros of a large file are not written */

typedef struct unpacking {
    const exia_package *package;
    exia__place *places; /* one a thread */
    uint32_t place_count;
    uint32_t *goes;   /* for each member, the one whose path its content goes to (exia__select) */
    uint32_t *pieced; /* files that come in pieces */
    size_t pieced_count;
    int unsynced;
} unpacking;

static int is_chosen(size_t index, void *payload)
{
    const unpacking *u = payload;
    return u->goes[index] != EXIA__NOWHERE;
}

static const char *path_of(const unpacking *u, size_t index)
{
    return u->package->entries[u->goes[index]].path;
}

static int is_zero(const char *data, size_t size)
{
    return *data == '\0' && memcmp(data, data + 1, size - 1) == 0;
}

/* A piece of a file that is there already, in its full size and empty. */
static exia_status put_piece(const unpacking *u, exia__place *place, const char *path,
                             uint64_t offset, const char *data, size_t size, exia_error *err)
{
    int fd = -1;
    exia_status rc = exia__place_file_again(&fd, place, path, err);
    for (size_t at = 0; rc == EXIA_OK && at < size; at += HOLE) {
        size_t more = size - at < HOLE ? size - at : HOLE;
        if (!is_zero(data + at, more))
            rc = exia__place_bytes(fd, place, path, data + at, more, offset + at, err);
    }
    /* let the disk begin, so that the sync at the end has little to wait for */
    if (rc == EXIA_OK && !u->unsynced)
        (void)sync_file_range(fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
    if (fd >= 0)
        close(fd);
    return rc;
}

static exia_status put(uint32_t thread, size_t index, uint64_t offset, const void *data,
                       size_t size, void *payload, exia_error *err)
{
    const unpacking *u = payload;
    const exia__entry *entry = &u->package->entries[index];
    exia__place *place = &u->places[thread];
    int fd = -1;
    if (size != entry->size)
        return put_piece(u, place, path_of(u, index), offset, data, size, err);
    exia_status rc = exia__place_file(&fd, place, path_of(u, index), entry->mode, err);
    if (rc == EXIA_OK)
        rc = exia__place_bytes(fd, place, path_of(u, index), data, size, 0, err);
    if (rc == EXIA_OK)
        return exia__place_file_end(fd, place, path_of(u, index), entry->mode, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

static exia_status check_space(const unpacking *u, exia_error *err)
{
    const exia__place *place = &u->places[0];
    struct statvfs info;
    uint64_t need = 0;
    for (size_t i = 0; i < u->package->entry_count; i++)
        need += u->goes[i] != EXIA__NOWHERE ? u->package->entries[i].size : 0;
    if (fstatvfs(place->root, &info) != 0)
        return exia__fail_errno(err, errno, "cannot tell the free space of", place->directory);
    uint64_t blocks = need / (info.f_frsize ? info.f_frsize : 1);
    if (info.f_blocks == 0 || blocks <= info.f_bavail) /* no blocks: the system does not tell */
        return EXIA_OK;
    return exia__fail(err, EXIA_ENOSPACE, 0, "%s: %llu bytes are needed, and %llu are free",
                      place->directory, (unsigned long long)need,
                      (unsigned long long)info.f_bavail * info.f_frsize);
}

/* All directories, and the files that come in pieces, for whoever has the first one. */
static exia_status prepare(unpacking *u, exia_error *err)
{
    exia__place *place = &u->places[0];
    size_t capacity = 0;
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < u->package->entry_count; i++) {
        const exia__entry *entry = &u->package->entries[i];
        int fd = -1;
        if (u->goes[i] == EXIA__NOWHERE)
            continue;
        if (entry->type == 'd')
            rc = exia__place_directory(place, entry->path, err);
        if (entry->type != 'f' || exia__in_one_frame(u->package, i))
            continue;
        rc = exia__grow(&u->pieced, &capacity, u->pieced_count + 1, sizeof *u->pieced, err);
        if (rc == EXIA_OK)
            rc = exia__place_file(&fd, place, path_of(u, i), entry->mode, err);
        if (rc == EXIA_OK)
            rc = exia__place_size(fd, place, path_of(u, i), entry->size, err);
        if (rc == EXIA_OK)
            u->pieced[u->pieced_count++] = (uint32_t)i;
        if (fd >= 0)
            close(fd);
    }
    return rc;
}

static exia_status end_pieced(const unpacking *u, exia_error *err)
{
    exia__place *place = &u->places[0];
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < u->pieced_count; i++) {
        const char *path = path_of(u, u->pieced[i]);
        int fd = -1;
        rc = exia__place_file_again(&fd, place, path, err);
        if (rc == EXIA_OK)
            rc = exia__place_file_end(fd, place, path, u->package->entries[u->pieced[i]].mode, err);
    }
    return rc;
}

static exia_status make_hard_link(const unpacking *u, size_t index, exia_error *err)
{
    const exia__entry *entry = &u->package->entries[index];
    size_t file = (size_t)(exia__entry_find(u->package->entries, index, entry->target,
                                            strlen(entry->target)) -
                           u->package->entries);
    return u->goes[file] == index /* its content went here */
               ? EXIA_OK
               : exia__place_hard_link(&u->places[0], entry->path, path_of(u, file), err);
}

static exia_status make_links(const unpacking *u, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < u->package->entry_count; i++) {
        const exia__entry *entry = &u->package->entries[i];
        if (u->goes[i] == EXIA__NOWHERE)
            continue;
        if (entry->type == 'h')
            rc = make_hard_link(u, i, err);
        else if (entry->type == 'l')
            rc = exia__place_link(&u->places[0], entry->path, entry->target, err);
    }
    return rc;
}

/* The deepest first, for a directory may lose its owner's right to enter. */
static exia_status set_modes(const unpacking *u, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = u->package->entry_count; rc == EXIA_OK && i-- > 0;) {
        const exia__entry *entry = &u->package->entries[i];
        if (entry->type == 'd' && u->goes[i] != EXIA__NOWHERE)
            rc = exia__place_mode(&u->places[0], entry->path, entry->mode, err);
    }
    return rc;
}

static exia_status open_places(unpacking *u, int root, const char *directory, uint32_t count,
                               exia_error *err)
{
    u->places = exia__array(NULL, count, sizeof *u->places);
    if (u->places == NULL)
        return exia__fail_memory(err);
    u->place_count = count;
    for (uint32_t i = 0; i < count; i++)
        u->places[i] = exia__place_open(root, directory);
    return EXIA_OK;
}

exia_status exia__package_unpack_into(const exia_package *package, int root, const char *directory,
                                      const exia_unpack_options *options, const exia_job *job,
                                      exia_error *err)
{
    static const exia__visitor visitor = {.wanted = is_chosen, .put = put, .step = "unpacking"};
    unpacking u = {.package = package, .unsynced = options->unsynced};
    exia__work work;
    exia_status rc = exia__package_kept(package, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__select(&u.goes, package, options, err);
    if (rc == EXIA_OK)
        rc = open_places(&u, root, directory, exia__package_threads(&work), err);
    if (rc == EXIA_OK)
        rc = check_space(&u, err);
    if (rc == EXIA_OK)
        rc = prepare(&u, err);
    if (rc == EXIA_OK)
        rc = exia__package_visit(NULL, package, &visitor, &u, &work, err);
    if (rc == EXIA_OK)
        rc = exia__package_check_manifest(package, &work, err);
    if (rc == EXIA_OK)
        rc = end_pieced(&u, err);
    if (rc == EXIA_OK)
        rc = make_links(&u, err);
    if (rc == EXIA_OK)
        rc = set_modes(&u, err);
    for (uint32_t i = 0; i < u.place_count; i++)
        exia__place_close(&u.places[i]);
    exia__release(u.places);
    exia__release(u.pieced);
    exia__release(u.goes);
    return rc;
}

exia_status exia_package_unpack(const exia_package *package, const char *directory,
                                const exia_unpack_options *options, const exia_job *job,
                                exia_error *err)
{
    exia_unpack_options how = {0};
    exia__target target;
    if (package == NULL || directory == NULL || *directory == '\0')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_package_unpack: the package or the directory is missing");
    exia_status rc = exia__options(&how, sizeof how, options, err);
    if (rc == EXIA_OK)
        rc = exia__package_trusted(package, how.trust_file, how.require_signature, err);
    if (rc < 0)
        return rc;
    rc = exia__target_open(&target, directory, err);
    if (rc == EXIA_OK)
        rc = exia__package_unpack_into(package, target.root, target.path, &how, job, err);
    if (rc == EXIA_OK)
        rc = exia__target_show(&target, how.unsynced, err);
    exia__target_close(&target);
    return rc;
}
