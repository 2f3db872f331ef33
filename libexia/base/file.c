/* Single files: read bounded, copied, and written so that they appear by one rename after fsync. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"

exia_status exia__path_join(char **out, const char *a, const char *b, exia_error *err)
{
    size_t size = strlen(a);
    return exia__text_format(out, err, "%s%s%s", a, size > 0 && a[size - 1] == '/' ? "" : "/", b);
}

exia_status exia__path_absolute(char **out, const char *path, exia_error *err)
{
    *out = NULL;
    if (*path == '/')
        return exia__text_copy(out, path, err);
    char *here = getcwd(NULL, 0);
    exia_status rc = here ? exia__path_join(out, here, path, err)
                          : exia__fail_errno(err, errno, "cannot tell", "the working directory");
    (free)(here); /* getcwd's own memory */
    return rc;
}

const char *exia__path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int exia__path_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

/* The directory part: "." where there is none. */
exia_status exia__path_folder(char **out, const char *path, exia_error *err)
{
    size_t size = (size_t)(exia__path_base(path) - path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    return size == 0 ? exia__text_copy(out, ".", err) : exia__text_copy_n(out, path, size, err);
}

exia_status exia__home(char **out, const char *home, exia_error *err)
{
    const char *base = home ? home : secure_getenv("EXIA_HOME");
    const char *below = "";
    char *path = NULL;
    *out = NULL;
    if (base == NULL || *base == '\0') {
        base = secure_getenv("XDG_DATA_HOME");
        below = "/exia";
        if (base == NULL || *base != '/') {
            base = secure_getenv("HOME");
            below = "/.local/share/exia";
        }
    }
    if (base == NULL || *base == '\0' || (home != NULL && *home == '\0'))
        return exia__fail(err, EXIA_EINVAL, 0,
                          "there is no home directory: set EXIA_HOME, or HOME, or give one");
    exia_status rc = exia__text_format(&path, err, "%s%s", base, below);
    if (rc == EXIA_OK)
        rc = exia__path_absolute(out, path, err);
    exia__release(path);
    return rc;
}

exia_status exia__stage(exia__staged *out, const char *path, int flags, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    char *folder = NULL;
    exia__staged staged = {.fd = -1};
    *out = staged;
    exia_status rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = exia__path_folder(&folder, path, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&staged.temporary, err, "%s/.exia-%s", folder, token);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&staged.path, path, err);
    if (rc == EXIA_OK) {
        const mode_t mode = flags & EXIA__SECRET ? 0600 : 0666;
        if (access("/proc/self/fd", X_OK) == 0) /* where it gets its name from */
            staged.fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
        if (staged.fd < 0) { /* not every file system has files without a name */
            staged.fd =
                open(staged.temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
            staged.named = staged.fd >= 0;
        }
        if (staged.fd < 0)
            rc = exia__fail_errno(err, errno, "cannot create a file in", folder);
    }
    if (rc == EXIA_OK) {
        *out = staged;
        staged = (exia__staged){.fd = -1};
    }
    exia__stage_free(&staged);
    exia__release(folder);
    return rc;
}

/* Give a file without a name this one, if it is free. */
static int name_file(const exia__staged *staged, const char *name)
{
    char self[40];
    snprintf(self, sizeof self, "/proc/self/fd/%d", staged->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

int exia__rename_absent(int from_at, const char *from, int to_at, const char *to)
{
    struct stat info;
    if (renameat2(from_at, from, to_at, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS) /* the file system does not know the flag */
        return -1;
    if (fstatat(from_at, from, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))
        return renameat(from_at, from, to_at, to);
    return linkat(from_at, from, to_at, to, 0) == 0 ? unlinkat(from_at, from, 0) : -1;
}

exia_status exia__stage_commit(exia__staged *staged, int flags, exia_error *err)
{
    char *folder = NULL;
    exia_status rc = exia__path_folder(&folder, staged->path, err);
    if (rc == EXIA_OK && fsync(staged->fd) != 0)
        rc = exia__fail_errno(err, errno, "cannot sync", staged->temporary);
    if (rc == EXIA_OK) {
        int moved = 0;
        if (!staged->named && !(flags & EXIA__REPLACE)) {
            moved = name_file(staged, staged->path);
        } else {
            if (!staged->named)
                moved = name_file(staged, staged->temporary);
            staged->named = moved == 0;
            if (moved == 0)
                moved = flags & EXIA__REPLACE ? rename(staged->temporary, staged->path)
                                              : exia__rename_absent(AT_FDCWD, staged->temporary,
                                                                    AT_FDCWD, staged->path);
        }
        if (moved != 0)
            rc = exia__fail_errno(err, errno, "cannot write", staged->path);
    }
    if (rc == EXIA_OK) {
        staged->named = 0;
        rc = exia__directory_sync(folder, err);
        if (rc == EXIA_EDENIED && syncfs(staged->fd) == 0) /* one that can be written, not read */
            rc = exia__forgive(err);
    }
    exia__release(folder);
    return rc;
}

void exia__stage_free(exia__staged *staged)
{
    if (staged->fd >= 0) {
        close(staged->fd);
        if (staged->named)
            unlink(staged->temporary);
    }
    exia__release(staged->temporary);
    exia__release(staged->path);
    *staged = (exia__staged){.fd = -1};
}

exia_status exia__write_all(int fd, const void *data, size_t size, const char *path,
                            exia_error *err)
{
    const char *from = data;
    while (size > 0) {
        ssize_t put = write(fd, from, size);
        if (put < 0 && errno != EINTR)
            return exia__fail_errno(err, errno, "cannot write", path);
        if (put > 0) {
            from += put;
            size -= (size_t)put;
        }
    }
    return EXIA_OK;
}

exia_status exia__read_at(int fd, void *into, size_t size, uint64_t offset, const char *path,
                          exia_error *err)
{
    char *to = into;
    while (size > 0) {
        ssize_t got = pread(fd, to, size, (off_t)offset);
        if (got < 0 && errno != EINTR)
            return exia__fail_errno(err, errno, "cannot read", path);
        if (got == 0)
            return exia__fail(err, EXIA_ECORRUPT, 0, "%s ends at byte %llu, before it should", path,
                              (unsigned long long)offset);
        if (got > 0) {
            to += got;
            size -= (size_t)got;
            offset += (uint64_t)got;
        }
    }
    return EXIA_OK;
}

exia_status exia__file_write(const char *path, const void *data, size_t size, int flags,
                             exia_error *err)
{
    exia__staged staged = {.fd = -1};
    exia_status rc = exia__stage(&staged, path, flags, err);
    if (rc == EXIA_OK)
        rc = exia__write_all(staged.fd, data, size, path, err);
    if (rc == EXIA_OK)
        rc = exia__stage_commit(&staged, flags, err);
    exia__stage_free(&staged);
    return rc;
}

exia_status exia__file_read(char **out, size_t *size, const char *path, size_t limit,
                            exia_error *err)
{
    exia_status rc = EXIA_OK;
    exia__buffer buffer = {0};
    struct stat info;
    *out = NULL;
    /* O_NONBLOCK: a fifo must not block the open */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info) != 0) {
        rc = exia__fail_errno(err, errno, "cannot read", path);
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", path);
        goto done;
    }
    for (;;) {
        rc = exia__buffer_reserve(&buffer, 65536, err);
        if (rc < 0)
            goto done;
        ssize_t got = read(fd, buffer.data + buffer.size, 65536);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rc = exia__fail_errno(err, errno, "cannot read", path);
            goto done;
        }
        if (got == 0)
            break;
        buffer.size += (size_t)got;
        if (buffer.size > limit) {
            rc = exia__fail(err, EXIA_EINVAL, 0, "%s has more than %zu bytes", path, limit);
            goto done;
        }
    }
    buffer.data[buffer.size] = '\0';
    if (size != NULL)
        *size = buffer.size;
    rc = exia__buffer_take(out, &buffer, err);
done:
    exia__buffer_free(&buffer);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The next bytes of a file, from `*offset` (which moves) or, if that is NULL, from where it stands;
 * `*got` 0: it ends. */
static exia_status copy_some(size_t *got, int fd, int from, off_t *offset, size_t most,
                             const char *path, exia_error *err)
{
    char block[1 << 16];
    ssize_t size = 0;
    do
        size = copy_file_range(from, offset, fd, NULL, most, 0);
    while (size < 0 && errno == EINTR);
    *got = size > 0 ? (size_t)size : 0;
    if (size >= 0)
        return EXIA_OK;
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return exia__fail_errno(err, errno, "cannot copy", path);
    most = most < sizeof block ? most : sizeof block;
    do
        size = offset ? pread(from, block, most, *offset) : read(from, block, most);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return exia__fail_errno(err, errno, "cannot read", path);
    *got = (size_t)size;
    if (offset != NULL)
        *offset += size;
    return exia__write_all(fd, block, (size_t)size, path, err);
}

exia_status exia__copy_range(int fd, int from, uint64_t offset, uint64_t size, const char *path,
                             exia_error *err)
{
    off_t at = (off_t)offset;
    while (size > 0) {
        size_t got = 0, most = size < (1 << 30) ? (size_t)size : (size_t)1 << 30;
        exia_status rc = copy_some(&got, fd, from, &at, most, path, err);
        if (rc == EXIA_OK && got == 0)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s ends at byte %lld, before it should", path,
                            (long long)at);
        if (rc < 0)
            return rc;
        size -= got;
    }
    return EXIA_OK;
}

exia_status exia__copy_to(int fd, int from, const char *path, exia_error *err)
{
    size_t got = 1;
    exia_status rc = EXIA_OK;
    if (ioctl(fd, FICLONE, from) == 0)
        return EXIA_OK;
    while (rc == EXIA_OK && got > 0)
        rc = copy_some(&got, fd, from, NULL, (size_t)1 << 30, path, err);
    return rc;
}

int exia__is_network(uint32_t type)
{
    static const uint32_t types[] = {
        0x6969 /* NFS */,
        0x517b /* SMB */,
        0xff534d42 /* CIFS */,
        0xfe534d42 /* SMB2 */,
        0x564c /* NCP */,
        0x5346414f /* AFS */,
        0x6b414653 /* kAFS */,
        0x73757245 /* Coda */,
        0x01021997 /* 9P */,
        0x65735546 /* FUSE */,
        0x00c36400 /* Ceph */,
        0x0bd00bd0 /* Lustre */,
        0x47504653 /* GPFS */,
        0x01161970 /* GFS2 */,
        0x7461636f /* OCFS2 */,
        0x19830326 /* BeeGFS */,
        0x20030528 /* OrangeFS */,
        0xaad7aaea /* PanFS */,
        0x786f4256 /* VirtualBox */,
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i] == type)
            return 1;
    }
    return 0;
}
