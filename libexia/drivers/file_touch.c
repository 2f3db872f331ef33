/* Making a blob young before a record names it.  What a touch answers for is durable, also when somebody
 * else has linked the blob and not synced its directories yet: they are synced here, after the blob was
 * seen.  A handle remembers for which files it has done that; an environment is touched at every write. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "drivers/file.h"

/* What tells this file from one that is put there later.  @return 0: nothing does */
static int identify(exia__synced *out, const char *key, const struct statx *info)
{
    if ((info->stx_mask & STATX_BTIME) == 0 || strlen(key) >= sizeof out->key)
        return 0;
    *out = (exia__synced){
        .inode = info->stx_ino,
        .device = (uint64_t)info->stx_dev_major << 32 | info->stx_dev_minor,
        .birth_ns = info->stx_btime.tv_sec * 1000000000 + info->stx_btime.tv_nsec,
    };
    memcpy(out->key, key, strlen(key));
    return 1;
}

static int known(exia__blobdir *self, const exia__synced *file)
{
    pthread_mutex_lock(&self->lock);
    const exia__synced *place = &self->synced[file->inode % EXIA__SYNCED];
    int same = place->inode == file->inode && place->device == file->device &&
               place->birth_ns == file->birth_ns && strcmp(place->key, file->key) == 0;
    pthread_mutex_unlock(&self->lock);
    return same;
}

static void remember(exia__blobdir *self, const exia__synced *file)
{
    pthread_mutex_lock(&self->lock);
    self->synced[file->inode % EXIA__SYNCED] = *file;
    pthread_mutex_unlock(&self->lock);
}

exia_status exia__blobdir_touch(exia__blobdir *self, const char *key, int parent, const char *name,
                                exia_error *err)
{
    exia__synced file;
    struct stat info;
    struct statx seen;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return exia__blobdir_fail(err, errno, "cannot find", self, key);
    exia_status rc = exia__blobdir_check(&info, self, key, err);
    if (rc < 0)
        return rc;
    if (utimensat(parent, name, NULL, AT_SYMLINK_NOFOLLOW) != 0)
        return exia__blobdir_fail(err, errno, "cannot touch", self, key);
    int identified =
        statx(parent, name, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &seen) == 0 &&
        identify(&file, key, &seen);
    if (identified && known(self, &file))
        return EXIA_OK;
    int way = -1;
    rc = exia__blobdir_walk(&way, &name, self, key, EXIA__WALK_SYNC, err);
    if (rc < 0)
        return rc;
    close(way);
    if (identified)
        remember(self, &file);
    return EXIA_OK;
}
