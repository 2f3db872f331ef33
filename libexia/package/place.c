/* Members below a private directory.  The directory that was used last stays open, for members come
 * in path order. */
#include "package/place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/error.h"
#include "base/memory.h"

exia__place exia__place_open(int root, const char *directory)
{
    return (exia__place){.directory = directory, .root = root, .parent = -1};
}

void exia__place_close(exia__place *place)
{
    if (place->parent >= 0)
        close(place->parent);
    exia__release(place->parent_path);
    *place = exia__place_open(-1, NULL);
}

static exia_status failed(const exia__place *place, const char *what, const char *path,
                          exia_error *err)
{
    exia_status rc = exia__fail_errno(err, errno, what, path);
    return exia__prefix(err, rc, "%s", place->directory);
}

/* Open the directory that holds `path`, and point to the last part of it. */
static exia_status enter(exia__place *place, const char **name, const char *path, exia_error *err)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    *name = slash ? slash + 1 : path;
    if (place->parent >= 0 && size == place->parent_size &&
        (size == 0 || memcmp(path, place->parent_path, size) == 0))
        return EXIA_OK;
    if (place->parent >= 0)
        close(place->parent);
    place->parent = -1;
    exia__release(place->parent_path);
    place->parent_path = NULL;
    exia_status rc =
        exia__text_copy_n(&place->parent_path, size ? path : ".", size ? size : 1, err);
    if (rc < 0)
        return rc;
    place->parent_size = size;
    place->parent = exia__open_beneath(place->root, place->parent_path, O_PATH | O_DIRECTORY, 0);
    return place->parent < 0 ? failed(place, "cannot open the directory", place->parent_path, err)
                             : EXIA_OK;
}

exia_status exia__place_directory(exia__place *place, const char *path, exia_error *err)
{
    const char *name = NULL;
    exia_status rc = enter(place, &name, path, err);
    if (rc == EXIA_OK && mkdirat(place->parent, name, 0700) != 0)
        rc = failed(place, "cannot make the directory", path, err);
    return rc;
}

static exia_status open_file(int *fd, exia__place *place, const char *path, int flags, mode_t mode,
                             exia_error *err)
{
    const char *name = NULL;
    *fd = -1;
    exia_status rc = enter(place, &name, path, err);
    if (rc < 0)
        return rc;
    *fd = exia__open_beneath(place->parent, name, O_WRONLY | flags, mode);
    return *fd < 0 ? failed(place, "cannot create", path, err) : EXIA_OK;
}

exia_status exia__place_file(int *fd, exia__place *place, const char *path, mode_t mode,
                             exia_error *err)
{
    return open_file(fd, place, path, O_CREAT | O_EXCL, mode | 0600, err);
}

exia_status exia__place_file_again(int *fd, exia__place *place, const char *path, exia_error *err)
{
    return open_file(fd, place, path, 0, 0, err);
}

exia_status exia__place_size(int fd, const exia__place *place, const char *path, uint64_t size,
                             exia_error *err)
{
    return ftruncate(fd, (off_t)size) == 0 ? EXIA_OK : failed(place, "cannot write", path, err);
}

exia_status exia__place_bytes(int fd, const exia__place *place, const char *path, const void *data,
                              size_t size, uint64_t offset, exia_error *err)
{
    const char *at = data;
    while (size > 0) {
        ssize_t put = pwrite(fd, at, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            errno = put == 0 ? EIO : errno;
            return failed(place, "cannot write", path, err);
        }
        at += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return EXIA_OK;
}

exia_status exia__place_file_end(int fd, const exia__place *place, const char *path, mode_t mode,
                                 exia_error *err)
{
    struct stat info;
    exia_status rc = EXIA_OK;
    /* mostly it has its mode from the beginning, and to ask is cheaper than to set */
    if (fstat(fd, &info) != 0 || ((info.st_mode & 07777) != mode && fchmod(fd, mode) != 0))
        rc = failed(place, "cannot set the mode of", path, err);
    if (close(fd) != 0 && rc == EXIA_OK)
        rc = failed(place, "cannot write", path, err);
    return rc;
}

exia_status exia__place_link(exia__place *place, const char *path, const char *target,
                             exia_error *err)
{
    const char *name = NULL;
    exia_status rc = enter(place, &name, path, err);
    if (rc == EXIA_OK && symlinkat(target, place->parent, name) != 0)
        rc = failed(place, "cannot link", path, err);
    return rc;
}

exia_status exia__place_hard_link(exia__place *place, const char *path, const char *file,
                                  exia_error *err)
{
    const char *from = NULL, *name = NULL;
    exia_status rc = enter(place, &from, file, err);
    if (rc < 0)
        return rc;
    int parent = place->parent;
    place->parent = -1;
    rc = enter(place, &name, path, err);
    if (rc == EXIA_OK && linkat(parent, from, place->parent, name, 0) != 0)
        rc = failed(place, "cannot link", path, err);
    close(parent);
    return rc;
}

exia_status exia__place_mode(exia__place *place, const char *path, mode_t mode, exia_error *err)
{
    exia_status rc = EXIA_OK;
    int fd = exia__open_beneath(place->root, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || fchmod(fd, mode) != 0)
        rc = failed(place, "cannot set the mode of", path, err);
    if (fd >= 0)
        close(fd);
    return rc;
}
