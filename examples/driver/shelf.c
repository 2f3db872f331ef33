/* A driver in a module of its own: blobs as files in one flat directory, "shelf:DIRECTORY".
 *
 *     cc -shared -fPIC -o exia_shelf.so shelf.c $(pkg-config --cflags exia)
 *     EXIA_DRIVER_PATH=$PWD vedapkg remote add mine --records sqlite:/depot/catalog.db --packages shelf:/depot/blobs
 *
 * It needs the headers alone and no symbol of the library: what it wants of that is in the table which the
 * entry gets.  A key is the name of its file, with "%2F" for each '/'; a name that begins with '.' is a blob
 * on its way.  A key is thus at most 255 bytes here, '/' counted three times. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <exia/driver.h>

enum { PIECE = 1 << 18 };

static const exia_core *core; /* set once, by the entry */

typedef struct shelf {
    int directory, mode;
    char path[]; /* for errors */
} shelf;

/* Every failure of the system, with errno as its native code. */
static exia_status fail_system(exia_error *err, const char *what, const shelf *self,
                               const char *key)
{
    int code = errno;
    exia_status status = code == ENOENT                     ? EXIA_ENOTFOUND
                         : code == EEXIST                   ? EXIA_EEXISTS
                         : code == ENOMEM                   ? EXIA_ENOMEM
                         : code == ENOSPC || code == EDQUOT ? EXIA_ENOSPACE
                         : code == EACCES || code == EPERM  ? EXIA_EDENIED
                         : code == ENAMETOOLONG             ? EXIA_EINVAL
                                                            : EXIA_EIO;
    return core->fail(err, status, code, "%s %.80s/%.80s: %s", what, self->path, key,
                      strerrordesc_np(code));
}

static exia_status writable(const shelf *self, const char *key, exia_error *err)
{
    if (self->mode == EXIA_STORE_WRITE)
        return EXIA_OK;
    return core->fail(err, EXIA_EDENIED, 0, "%s was opened for reading: \"%.60s\" stays as it is",
                      self->path, key);
}

/* The name of a key's file, to be released. */
static exia_status name_of(char **out, const char *key, exia_error *err)
{
    return core->percent_encode(out, key, "", err);
}

static int64_t modified(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000 + info->st_mtim.tv_nsec / 1000000;
}

/* ---- open, close ---------------------------------------------------------------------------- */

static void shelf_close(void *payload)
{
    shelf *self = payload;
    close(self->directory);
    core->release(self);
}

static exia_status shelf_open(void **out, const char *url, int mode, const exia_job *job,
                              exia_error *err)
{
    char *path = NULL;
    shelf *self = NULL;
    (void)job; /* one look-up: nothing to wait for */
    *out = NULL;
    exia_status rc = core->percent_decode(&path, strchr(url, ':') + 1, err);
    if (rc < 0)
        return rc;
    self = core->resize(NULL, sizeof *self + strlen(path) + 1);
    if (self == NULL) {
        rc = core->fail(err, EXIA_ENOMEM, 0, "out of memory");
        goto done;
    }
    strcpy(self->path, path);
    self->mode = mode;
    if (mode == EXIA_STORE_WRITE && mkdir(path, 0777) != 0 && errno != EEXIST)
        rc = fail_system(err, "cannot make", self, "");
    self->directory = rc < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rc == EXIA_OK && self->directory < 0)
        rc = fail_system(err, "cannot open", self, "");
    if (rc == EXIA_OK) {
        *out = self;
        self = NULL;
    }
done:
    core->release(self);
    core->release(path);
    return rc;
}

static exia_status shelf_check(void *payload, exia_record_fn *row, void *row_payload,
                               exia_error *err)
{
    const shelf *self = payload;
    return core->tell_text(row, row_payload, "path", self->path, err);
}

/* ---- put ------------------------------------------------------------------------------------ */

static exia_status write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno != EINTR)
            return EXIA_EIO;
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return EXIA_OK;
}

static exia_status fill(int fd, const shelf *self, const char *key, const exia_source *source,
                        exia_work *work, exia_error *err)
{
    char *piece = core->resize(NULL, PIECE);
    exia_status rc = piece ? EXIA_OK : core->fail(err, EXIA_ENOMEM, 0, "out of memory");
    for (uint64_t done = 0; rc == EXIA_OK && done < source->size;) {
        size_t size = source->size - done < PIECE ? (size_t)(source->size - done) : PIECE;
        rc = core->work_step(work, "storing", done, source->size, err);
        if (rc == EXIA_OK)
            rc = source->read(piece, done, size, source->payload, err);
        if (rc == EXIA_OK && write_all(fd, piece, size) < 0)
            rc = fail_system(err, "cannot write", self, key);
        done += size;
    }
    if (rc == EXIA_OK && fsync(fd) != 0)
        rc = fail_system(err, "cannot sync", self, key);
    if (rc == EXIA_OK)
        rc = core->work_step(work, "storing", source->size, source->size, err);
    core->release(piece);
    return rc;
}

/* It is filled under a name that no key has, and then gets its own by one link, which is refused where
 * the name is taken.  Whoever was first, the name is durable when this returns. */
static exia_status shelf_put(void *payload, const char *key, const exia_source *source,
                             const exia_job *job, exia_error *err)
{
    shelf *self = payload;
    exia_work *work = NULL;
    char *name = NULL, temporary[40] = ".";
    int fd = -1;
    exia_status rc = writable(self, key, err);
    if (rc == EXIA_OK)
        rc = core->work_open(&work, job, err);
    if (rc == EXIA_OK)
        rc = name_of(&name, key, err);
    if (rc == EXIA_OK)
        rc = core->token(temporary + 1, err);
    if (rc < 0)
        goto done;
    fd = openat(self->directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (fd < 0) {
        rc = fail_system(err, "cannot write", self, temporary);
        goto done;
    }
    rc = fill(fd, self, key, source, work, err);
    if (rc == EXIA_OK && linkat(self->directory, temporary, self->directory, name, 0) != 0)
        rc = fail_system(err, "cannot store", self, key);
    if ((rc == EXIA_OK || rc == EXIA_EEXISTS) && fsync(self->directory) != 0)
        rc = fail_system(err, "cannot sync the directory of", self, key);
done:
    if (fd >= 0) {
        close(fd);
        unlinkat(self->directory, temporary, 0);
    }
    core->release(name);
    core->release(work);
    return rc;
}

/* ---- get, stat ------------------------------------------------------------------------------ */

/* The bytes from `offset` to `end`. */
static exia_status send(int fd, const shelf *self, const char *key, uint64_t offset, uint64_t end,
                        exia_sink_fn *sink, void *payload, exia_work *work, exia_error *err)
{
    char *piece = core->resize(NULL, PIECE);
    exia_status rc = piece ? EXIA_OK : core->fail(err, EXIA_ENOMEM, 0, "out of memory");
    while (rc == EXIA_OK && offset < end) {
        size_t size = end - offset < PIECE ? (size_t)(end - offset) : PIECE;
        rc = core->work_step(work, "reading", offset, end, err);
        ssize_t got = rc < 0 ? 0 : pread(fd, piece, size, (off_t)offset);
        if (rc == EXIA_OK && got < 0 && errno != EINTR)
            rc = fail_system(err, "cannot read", self, key);
        else if (rc == EXIA_OK && got == 0)
            rc = core->fail(err, EXIA_ECORRUPT, 0, "%.80s/%.80s ends early", self->path, key);
        else if (rc == EXIA_OK && got > 0)
            rc = sink(piece, (size_t)got, payload, err);
        offset += got > 0 ? (uint64_t)got : 0;
    }
    core->release(piece);
    return rc < 0 ? rc : EXIA_OK;
}

static exia_status shelf_get(void *payload, const char *key, uint64_t offset, uint64_t size,
                             exia_sink_fn *sink, void *sink_payload, const exia_job *job,
                             exia_error *err)
{
    shelf *self = payload;
    exia_work *work = NULL;
    char *name = NULL;
    struct stat info;
    int fd = -1;
    exia_status rc = core->work_open(&work, job, err);
    if (rc == EXIA_OK)
        rc = name_of(&name, key, err);
    if (rc == EXIA_OK) {
        fd = openat(self->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &info) != 0)
            rc = fail_system(err, "cannot read", self, key);
    }
    if (rc < 0)
        goto done;
    uint64_t end = (uint64_t)info.st_size;
    if (offset == EXIA_TAIL)
        offset = size < end ? end - size : 0;
    if (offset > end)
        rc = core->fail(err, EXIA_EINVAL, 0, "%.80s/%.80s has %llu bytes: nothing begins at %llu",
                        self->path, key, (unsigned long long)end, (unsigned long long)offset);
    else
        rc = send(fd, self, key, offset, size < end - offset ? offset + size : end, sink,
                  sink_payload, work, err);
done:
    if (fd >= 0)
        close(fd);
    core->release(name);
    core->release(work);
    return rc;
}

static exia_status shelf_stat(uint64_t *size, int64_t *modified_ms, void *payload, const char *key,
                              const exia_job *job, exia_error *err)
{
    shelf *self = payload;
    char *name = NULL;
    struct stat info;
    (void)job;
    exia_status rc = name_of(&name, key, err);
    if (rc == EXIA_OK && fstatat(self->directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        rc = fail_system(err, "cannot find", self, key);
    if (rc == EXIA_OK) {
        *size = (uint64_t)info.st_size;
        *modified_ms = modified(&info);
    }
    core->release(name);
    return rc;
}

/* ---- list, touch, remove, now --------------------------------------------------------------- */

/* A file of the directory, if it is a blob whose key begins with the prefix. */
static exia_status tell(const shelf *self, const char *name, const char *prefix,
                        exia_blob_fn *found, void *payload, exia_error *err)
{
    struct stat info;
    char *key = NULL;
    if (*name == '.' || fstatat(self->directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode))
        return EXIA_OK; /* on its way, gone meanwhile, or not ours */
    exia_status rc = core->percent_decode(&key, name, err);
    if (rc == EXIA_OK && strncmp(key, prefix, strlen(prefix)) == 0)
        rc = found(key, (uint64_t)info.st_size, modified(&info), payload, err);
    core->release(key);
    return rc;
}

static exia_status shelf_list(void *payload, const char *prefix, exia_blob_fn *found,
                              void *found_payload, const exia_job *job, exia_error *err)
{
    shelf *self = payload;
    exia_work *work = NULL;
    exia_status rc = core->work_open(&work, job, err);
    if (rc < 0)
        return rc;
    int fd = openat(self->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (entries == NULL)
        rc = fail_system(err, "cannot list", self, "");
    for (uint64_t seen = 0; rc == EXIA_OK; seen++) {
        errno = 0;
        struct dirent *entry = readdir(entries);
        if (entry == NULL) {
            if (errno != 0)
                rc = fail_system(err, "cannot list", self, "");
            break;
        }
        rc = core->work_step(work, "listing", seen, 0, err);
        if (rc == EXIA_OK)
            rc = tell(self, entry->d_name, prefix, found, found_payload, err);
    }
    if (entries != NULL)
        closedir(entries);
    else if (fd >= 0)
        close(fd);
    core->release(work);
    return rc < 0 ? rc : EXIA_OK;
}

static exia_status shelf_touch(void *payload, const char *key, const exia_job *job, exia_error *err)
{
    shelf *self = payload;
    char *name = NULL;
    (void)job;
    exia_status rc = writable(self, key, err);
    if (rc == EXIA_OK)
        rc = name_of(&name, key, err);
    if (rc == EXIA_OK && utimensat(self->directory, name, NULL, AT_SYMLINK_NOFOLLOW) != 0)
        rc = fail_system(err, "cannot touch", self, key);
    if (rc == EXIA_OK && fsync(self->directory) != 0)
        rc = fail_system(err, "cannot sync the directory of", self, key);
    core->release(name);
    return rc;
}

static exia_status shelf_remove(void *payload, const char *key, const exia_job *job,
                                exia_error *err)
{
    shelf *self = payload;
    char *name = NULL;
    (void)job;
    exia_status rc = writable(self, key, err);
    if (rc == EXIA_OK)
        rc = name_of(&name, key, err);
    if (rc == EXIA_OK && unlinkat(self->directory, name, 0) != 0 && errno != ENOENT)
        rc = fail_system(err, "cannot remove", self, key);
    if (rc == EXIA_OK && fsync(self->directory) != 0)
        rc = fail_system(err, "cannot sync the directory of", self, key);
    core->release(name);
    return rc;
}

/* The clock by which this machine stamps its files. */
static exia_status shelf_now(int64_t *ms, void *payload, const exia_job *job, exia_error *err)
{
    struct timespec now;
    (void)payload;
    (void)job;
    (void)err;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    *ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    return EXIA_OK;
}

/* ---- the module ----------------------------------------------------------------------------- */

static const exia_blobs_ops blobs = {
    .struct_size = sizeof blobs,
    .put = shelf_put,
    .get = shelf_get,
    .stat = shelf_stat,
    .list = shelf_list,
    .touch = shelf_touch,
    .remove = shelf_remove,
    .now = shelf_now,
};

static const exia_driver driver = {
    .struct_size = sizeof driver,
    .name = "shelf",
    .schemes = "shelf",
    .open = shelf_open,
    .close = shelf_close,
    .abandon = shelf_close, /* a descriptor of a directory is no connection */
    .check = shelf_check,
    .blobs = &blobs,
};

EXIA_API exia_driver_entry_fn exia_driver_entry;
const exia_driver *exia_driver_entry(const exia_core *given, exia_error *err)
{
    if (given->struct_size < sizeof *given) {
        given->fail(err, EXIA_EVERSION, 0, "it was built for a newer Exia than %s",
                    given->version());
        return NULL;
    }
    core = given;
    return &driver;
}
