/* The room of the cache: where it lies, how much it may hold, what goes when more comes.  The total is
 * kept in a file, so that a blob that comes costs no walk through all that is there; the walk is done
 * when the total is over the limit, once a day, and when the total is not known. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/trust.h"
#include "store/cache.h"

enum { LOCK_EVERY_MS = 5, DAY_MS = 24 * 60 * 60 * 1000 };
static const uint64_t standard = UINT64_C(10) << 30; /* bytes */
static const char total_name[] = "used", partial_end[] = ".part";

/* ---- where it is ---------------------------------------------------------------------------- */

static exia_status find_directory(char **out, exia_error *err)
{
    const char *home = secure_getenv("EXIA_HOME"), *caches = secure_getenv("XDG_CACHE_HOME");
    const char *user = secure_getenv("HOME");
    char *path = NULL;
    exia_status rc = EXIA_OK;
    if (home != NULL && *home != '\0')
        rc = exia__path_join(&path, home, "cache/blobs", err);
    else if (caches != NULL && *caches == '/')
        rc = exia__path_join(&path, caches, "exia/blobs", err);
    else if (user != NULL && *user != '\0')
        rc = exia__path_join(&path, user, ".cache/exia/blobs", err);
    else
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0, "there is no home directory for a cache");
    if (rc == EXIA_OK)
        rc = exia__path_absolute(out, path, err);
    exia__release(path);
    return rc;
}

/* Bytes, or 500M, 10G: powers of 1024. */
static exia_status read_limit(uint64_t *out, exia_error *err)
{
    static const char units[] = "KMGT";
    const char *text = secure_getenv("EXIA_CACHE_SIZE");
    char *end = NULL;
    *out = EXIA__CACHE_DEFAULT;
    if (text == NULL || *text == '\0')
        return EXIA_OK;
    errno = 0;
    unsigned long long number = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    const char *unit = end != NULL && *end != '\0' ? strchr(units, *end) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (end == NULL || errno != 0 || end[unit != NULL] != '\0' || number > UINT64_MAX >> 1 >> shift)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "EXIA_CACHE_SIZE is \"%.40s\": write bytes, or 500M, 10G; 0 for no cache",
                          text);
    *out = (uint64_t)number << shift;
    return EXIA_OK;
}

/* Open the directory, or make it, for this user alone. */
static exia_status open_directory(exia__cache *cache, exia_error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    char *above = NULL;
    exia_status rc = EXIA_OK;
    cache->folder = open(cache->path, flags);
    if (cache->folder < 0 && errno == ENOENT) {
        rc = exia__path_folder(&above, cache->path, err);
        if (rc == EXIA_OK)
            rc = exia__directory_make(above, err);
        if (rc == EXIA_OK && mkdir(cache->path, 0700) != 0 && errno != EEXIST)
            rc = exia__fail_errno(err, errno, "cannot make the directory", cache->path);
        if (rc == EXIA_OK)
            cache->folder = open(cache->path, flags);
    }
    if (rc == EXIA_OK && cache->folder < 0)
        rc = exia__fail_errno(err, errno, "cannot open", cache->path);
    exia__release(above);
    return rc;
}

/* What lies there is mapped without being read, so nobody else may write it. */
static exia_status check_owner(exia__cache *cache, exia_error *err)
{
    char *why = NULL;
    struct statfs info;
    exia_status rc = exia__trust_path(&why, cache->path, err);
    if (rc == EXIA_OK && why != NULL)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0, "%s", why);
    cache->shared = fstatfs(cache->folder, &info) != 0 || exia__is_network((uint32_t)info.f_type);
    exia__release(why);
    return rc;
}

exia_status exia__cache_open(exia__cache *out, exia_error *err)
{
    exia_error caught = {0};
    *out = (exia__cache){.folder = -1};
    exia_status rc = read_limit(&out->limit, err);
    if (rc < 0)
        return rc;
    if (out->limit == 0)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "EXIA_CACHE_SIZE is 0: there is no cache");
    rc = find_directory(&out->path, err);
    if (rc < 0)
        return rc;
    rc = open_directory(out, &caught);
    if (rc == EXIA_OK)
        rc = check_owner(out, &caught);
    if (rc == EXIA_ENOMEM)
        return exia__fail_memory(err);
    if (rc < 0) {
        exia__log(EXIA_LOG_WARNING, "cache", "no cache of remote blobs: %s", caught.text);
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0, "%s", caught.text);
    }
    return rc;
}

void exia__cache_close(exia__cache *cache)
{
    if (cache->folder >= 0)
        close(cache->folder);
    exia__release(cache->path);
    *cache = (exia__cache){.folder = -1};
}

/* ---- locks ---------------------------------------------------------------------------------- */

static int still_named(int fd, const exia__cache *cache, const char *name)
{
    struct stat ours, named;
    return fstat(fd, &ours) == 0 &&
           fstatat(cache->folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/* A part that is whole has another name, and the shared locks of those who use it: its lock may not be
 * had for as long as a model is open. */
exia_status exia__cache_lock(int fd, const exia__cache *cache, const char *name, exia__work *work,
                             exia_error *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_EVERY_MS * 1000000};
    int64_t moved = exia__clock_ms();
    off_t size = -1;
    struct stat info;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        if (!still_named(fd, cache, name))
            return EXIA_DONE;
        int64_t now = exia__clock_ms();
        if (fstat(fd, &info) == 0 && info.st_size != size) {
            size = info.st_size;
            moved = now;
        }
        if (now - moved > work->job.timeout_ms)
            return exia__fail(err, EXIA_EUNSUPPORTED, 0, "another process holds it, and is stuck");
        exia_status rc = exia__work_step(work, "waiting for another process", 0, 0, err);
        if (rc < 0)
            return rc;
        nanosleep(&pause, NULL);
    }
    return still_named(fd, cache, name) ? EXIA_OK : EXIA_DONE; /* also where there are no locks */
}

/* ---- what is there -------------------------------------------------------------------------- */

typedef struct entry {
    char name[EXIA__HEX_SIZE];
    struct timespec used;
    uint64_t size;
} entry;

typedef struct walk {
    const exia__cache *cache;
    const char *mine;
    entry *entries;
    size_t count, capacity;
    uint64_t total, freed;
    int clear; /* remove parts of whatever age */
} walk;

/* Remove a file that nobody has open. */
static int remove_unused(const exia__cache *cache, const char *name)
{
    int fd = openat(cache->folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    int busy = fd < 0 || (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK);
    int removed = !busy && unlinkat(cache->folder, name, 0) == 0;
    if (fd >= 0)
        close(fd);
    return removed;
}

/* What its process left behind goes after a day; until then it may be gone on with. */
static void count_partial(walk *all, const char *name, const struct stat *info)
{
    int old = all->clear || exia__now_ms() / 1000 - info->st_mtim.tv_sec > DAY_MS / 1000;
    uint64_t size = (uint64_t)info->st_blocks * 512;
    if (strcmp(name, all->mine) == 0)
        return;
    if (old && remove_unused(all->cache, name))
        all->freed += size;
    else
        all->total += size;
}

static exia_status count_file(walk *all, const char *name, exia_error *err)
{
    struct stat info;
    size_t size = strlen(name), end = sizeof partial_end - 1;
    int partial = size > end && strcmp(name + size - end, partial_end) == 0;
    if (!(partial || exia__hex_valid(name)) ||
        fstatat(all->cache->folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode))
        return EXIA_OK;
    if (partial) {
        count_partial(all, name, &info);
        return EXIA_OK;
    }
    exia_status rc = exia__grow(&all->entries, &all->capacity, all->count + 1, sizeof(entry), err);
    if (rc < 0)
        return rc;
    entry *added = &all->entries[all->count++];
    memcpy(added->name, name, sizeof added->name);
    added->used = info.st_mtim;
    added->size = (uint64_t)info.st_size;
    all->total += added->size;
    return EXIA_OK;
}

static exia_status count_all(walk *all, exia_error *err)
{
    int fd = openat(all->cache->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
    exia_status rc = EXIA_OK;
    if (listing == NULL) {
        rc = exia__fail_errno(err, errno, "cannot list", all->cache->path);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    const struct dirent *found = NULL;
    while (rc == EXIA_OK && (errno = 0, found = readdir(listing)) != NULL)
        rc = count_file(all, found->d_name, err);
    if (rc == EXIA_OK && errno != 0)
        rc = exia__fail_errno(err, errno, "cannot list", all->cache->path);
    closedir(listing);
    return rc;
}

static int older_first(const void *a, const void *b)
{
    const struct timespec *x = &((const entry *)a)->used, *y = &((const entry *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* Unless it was set, the limit is also half of what the disk could give to the cache alone. */
static uint64_t limit_of(const exia__cache *cache, uint64_t used)
{
    struct statfs info;
    if (cache->limit != EXIA__CACHE_DEFAULT)
        return cache->limit;
    if (fstatfs(cache->folder, &info) != 0)
        return standard;
    uint64_t share = ((uint64_t)info.f_bavail * (uint64_t)info.f_bsize + used) / 2;
    return share < standard ? share : standard;
}

/* Count all, and make room for `size` bytes where they fit at all; for a little more, so that the next
 * walk is not at once. */
static exia_status walk_through(uint64_t *used, const exia__cache *cache, uint64_t size,
                                const char *mine, exia_error *err)
{
    walk all = {.cache = cache, .mine = mine};
    exia_status rc = count_all(&all, err);
    uint64_t limit = limit_of(cache, all.total), room = size > limit / 8 ? size : limit / 8;
    if (rc == EXIA_OK && all.count > 0 && size <= limit && all.total > limit - size) {
        qsort(all.entries, all.count, sizeof(entry), older_first);
        for (size_t i = 0; i < all.count && all.total > limit - room; i++) {
            if (remove_unused(cache, all.entries[i].name))
                all.total -= all.entries[i].size;
        }
    }
    *used = all.total;
    exia__release(all.entries);
    return rc;
}

/* ---- the total ------------------------------------------------------------------------------ */

typedef struct total {
    int fd;
    uint64_t used;
    int64_t counted_ms; /* 0: not known */
} total;

static exia_status open_total(total *out, const exia__cache *cache, exia__work *work,
                              exia_error *err)
{
    char text[64] = "";
    *out = (total){
        .fd = openat(cache->folder, total_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)};
    if (out->fd < 0)
        return exia__fail_errno(err, errno, "cannot write in", cache->path);
    exia_status rc = exia__cache_lock(out->fd, cache, total_name, work, err);
    if (rc == EXIA_DONE) /* somebody cleans up by hand: the next one counts anew */
        rc = EXIA_OK;
    if (rc == EXIA_OK && pread(out->fd, text, sizeof text - 1, 0) > 0 &&
        sscanf(text, "%" SCNu64 " %" SCNd64 "\n", &out->used, &out->counted_ms) != 2)
        out->counted_ms = 0;
    return rc;
}

/* What a crash cuts short is no total to the next one, who counts. */
static void write_total(const total *now)
{
    char text[64];
    int size = snprintf(text, sizeof text, "%" PRIu64 " %" PRId64 "\n", now->used, now->counted_ms);
    if (ftruncate(now->fd, 0) != 0 || pwrite(now->fd, text, (size_t)size, 0) != size)
        exia__log(EXIA_LOG_INFO, "cache", "cannot note its size: %s", strerror(errno));
}

exia_status exia__cache_reserve(const exia__cache *cache, uint64_t size, const char *mine, int fd,
                                exia__work *work, exia_error *err)
{
    total now;
    exia_status rc = open_total(&now, cache, work, err);
    uint64_t limit = limit_of(cache, now.used);
    int64_t age = exia__now_ms() - now.counted_ms;
    if (rc == EXIA_OK && (size > limit || now.used > limit - size || age < 0 || age > DAY_MS)) {
        rc = walk_through(&now.used, cache, size, mine, err);
        now.counted_ms = rc == EXIA_OK ? exia__now_ms() : 0;
        limit = limit_of(cache, now.used);
    }
    int fits = size <= limit && now.used <= limit - size;
    /* Under the lock, so that whoever counts next sees all of it. */
    if (rc == EXIA_OK && fits && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) != 0 &&
        (errno == ENOSPC || errno == EDQUOT))
        rc = exia__fail_errno(err, errno, "cannot write in", cache->path);
    if (rc == EXIA_OK) {
        now.used += fits ? size : 0;
        write_total(&now);
    }
    if (rc == EXIA_OK && !fits)
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0,
                        "%" PRIu64 " bytes do not fit into %" PRIu64 ", of which %" PRIu64
                        " are in use: set EXIA_CACHE_SIZE",
                        size, limit, now.used);
    if (now.fd >= 0)
        close(now.fd);
    return rc;
}

exia_status exia__cache_name(const exia__cache *cache, const char *part, const char *name,
                             exia__work *work, exia_error *err)
{
    total now;
    exia_status rc = open_total(&now, cache, work, err);
    if (rc == EXIA_OK && renameat(cache->folder, part, cache->folder, name) != 0)
        rc = exia__fail_errno(err, errno, "cannot write in", cache->path);
    if (now.fd >= 0)
        close(now.fd);
    return rc;
}

void exia__cache_give_back(const exia__cache *cache, uint64_t size, exia__work *work)
{
    total now;
    if (open_total(&now, cache, work, NULL) == EXIA_OK && now.counted_ms != 0) {
        now.used -= size < now.used ? size : now.used;
        write_total(&now);
    }
    if (now.fd >= 0)
        close(now.fd);
}

exia_status exia__cache_count(exia__cache_contents *out, const exia__cache *cache, int clear,
                              exia__work *work, exia_error *err)
{
    walk all = {.cache = cache, .mine = "", .clear = clear};
    total now;
    exia_status rc = open_total(&now, cache, work, err);
    if (rc == EXIA_OK)
        rc = count_all(&all, err);
    size_t left = all.count;
    for (size_t i = 0; rc == EXIA_OK && clear && i < all.count; i++) {
        if (!remove_unused(cache, all.entries[i].name))
            continue;
        left--;
        all.total -= all.entries[i].size;
        all.freed += all.entries[i].size;
    }
    if (rc == EXIA_OK) {
        now.used = all.total;
        now.counted_ms = exia__now_ms();
        write_total(&now);
        *out = (exia__cache_contents){limit_of(cache, all.total), all.total, all.freed, left};
    }
    if (now.fd >= 0)
        close(now.fd);
    exia__release(all.entries);
    return rc;
}
