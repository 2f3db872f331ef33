/* One file out of a package: into memory, by all threads at once, or to a descriptor, in order.  Only
 * the frames that hold it are read. */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/file.h"
#include "package/reader.h"

exia_status exia__package_find(size_t *index, const exia_package *package, const char *path,
                               exia_error *err)
{
    const exia__entry *entry =
        exia__entry_find(package->entries, package->entry_count, path, strlen(path));
    if (entry == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "%s has no member \"%.120s\"", package->path,
                          path);
    *index = (size_t)(entry - package->entries);
    return EXIA_OK;
}

/* A file, or the one that a hard link stands for. */
static exia_status find_file(size_t *index, const exia_package *package, const char *path,
                             exia_error *err)
{
    exia_status rc = exia__package_find(index, package, path, err);
    if (rc < 0)
        return rc;
    const exia__entry *entry = &package->entries[*index];
    if (entry->type == 'l')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "\"%.80s\" is a link: name the file that \"%.80s\" is", path,
                          entry->target);
    if (entry->type == 'd')
        return exia__fail(err, EXIA_EINVAL, 0, "\"%.120s\" is a directory, not a file", path);
    return entry->type == 'h' ? exia__package_find(index, package, entry->target, err) : EXIA_OK;
}

exia_status exia_package_file_size(uint64_t *out, const exia_package *package, const char *path,
                                   exia_error *err)
{
    size_t index = 0;
    if (out != NULL)
        *out = 0;
    if (out == NULL || package == NULL || path == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_file_size: an argument is NULL");
    exia_status rc = find_file(&index, package, path, err);
    if (rc == EXIA_OK)
        *out = package->entries[index].size;
    return rc;
}

/* ---- into memory ---------------------------------------------------------------------------- */

typedef struct reading {
    char *into;
    uint64_t offset, size; /* what is wanted of the file */
} reading;

static exia_status copy_piece(uint32_t thread, size_t index, uint64_t offset, const void *data,
                              size_t size, void *payload, exia_error *err)
{
    const reading *r = payload;
    uint64_t from = offset > r->offset ? offset : r->offset;
    uint64_t to = offset + size < r->offset + r->size ? offset + size : r->offset + r->size;
    (void)thread, (void)index, (void)err;
    if (from < to)
        memcpy(r->into + (from - r->offset), (const char *)data + (from - offset), to - from);
    return EXIA_OK;
}

exia_status exia__package_read_entry(void *into, const exia_package *package, size_t index,
                                     uint64_t offset, size_t size, exia__work *work,
                                     exia_error *err)
{
    static const exia__visitor visitor = {.put = copy_piece, .step = "reading", .check_frames = 1};
    reading r = {into, offset, size};
    return exia__package_visit_file(package, index, offset, size, &visitor, &r, work, err);
}

exia_status exia_package_read(void *into, const exia_package *package, const char *path,
                              uint64_t offset, size_t size, const exia_job *job, exia_error *err)
{
    exia__work work;
    size_t index = 0;
    if (package == NULL || path == NULL || (into == NULL && size > 0))
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_read: an argument is NULL");
    exia_status rc = find_file(&index, package, path, err);
    if (rc == EXIA_OK &&
        (offset > package->entries[index].size || size > package->entries[index].size - offset))
        rc = exia__fail(
            err, EXIA_EINVAL, 0, "\"%.80s\" has %llu bytes, and %zu at %llu are asked for", path,
            (unsigned long long)package->entries[index].size, size, (unsigned long long)offset);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc < 0 || (size == 0 && package->entries[index].size > 0))
        return rc;
    return exia__package_read_entry(into, package, index, offset, size, &work, err);
}

/* ---- to a descriptor ------------------------------------------------------------------------ */

typedef struct writing {
    int fd;
    const char *path;
} writing;

static exia_status write_piece(const void *data, size_t size, void *payload, exia_error *err)
{
    const writing *w = payload;
    return exia__write_all(w->fd, data, size, w->path, err);
}

/* Keep from this thread, or give back to it, the signal of a pipe that nobody reads: the failed write
 * tells. */
static void hold_pipe_signal(sigset_t *before)
{
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, before);
}

static void release_pipe_signal(const sigset_t *before, int was_pending)
{
    static const struct timespec now = {0};
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    while (!was_pending && sigtimedwait(&pipe, NULL, &now) > 0)
        continue;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

exia_status exia_package_cat(const exia_package *package, const char *path, int fd,
                             const exia_job *job, exia_error *err)
{
    static const exia__visitor visitor = {.give = write_piece, .step = "reading"};
    writing w = {fd, path};
    exia__work work;
    sigset_t before, pending;
    size_t index = 0;
    if (package == NULL || path == NULL || fd < 0)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_package_cat: the package, the path or the descriptor is missing");
    exia_status rc = find_file(&index, package, path, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc < 0)
        return rc;
    sigpending(&pending);
    hold_pipe_signal(&before);
    rc = exia__package_visit_file(package, index, 0, package->entries[index].size, &visitor, &w,
                                  &work, err);
    release_pipe_signal(&before, sigismember(&pending, SIGPIPE));
    return rc;
}
