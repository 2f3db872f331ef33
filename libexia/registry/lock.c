/* Locks of files, by flock: they end with the process, however it ends.  A child that is forked meanwhile has the
 * same open file, and would keep the lock when its parent dies: so in the child a file that nobody locks takes
 * the place of each, and keeps its number in use. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "registry/registry.h"

enum { LOCK_EVERY_MS = 5, MOST_HELD = 256 /* at once; a child keeps the others */ };

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER; /* a fork waits for it */
static int held[MOST_HELD];                               /* descriptors, 1 added; 0: none */

/* ---- forks ---- */

static void swap(int from, int to)
{
    int i = 0;
    while (i < MOST_HELD && held[i] != from)
        i++;
    if (i < MOST_HELD)
        held[i] = to;
}

static void before_fork(void)
{
    pthread_mutex_lock(&guard);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&guard);
}

static void in_child(void)
{
    int other = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < MOST_HELD; i++) {
        if (held[i] > 0 && (other < 0 || dup3(other, held[i] - 1, O_CLOEXEC) < 0))
            close(held[i] - 1);
        held[i] = 0;
    }
    if (other >= 0)
        close(other);
    pthread_mutex_unlock(&guard);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

/* ---- locks ---- */

exia_status exia__lock_try(int *fd, const char *path, exia_error *err)
{
    exia_status rc = EXIA_OK;
    *fd = -1;
    pthread_mutex_lock(&guard);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 && errno == EACCES) /* of a pull that is finished, and is not written any more */
        lock = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (lock < 0 && errno == EISDIR && path[strlen(path) - 1] == '/')
        lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0)
        rc = exia__fail_errno(err, errno, "cannot open the lock", path);
    else if (flock(lock, LOCK_EX | LOCK_NB) != 0)
        rc = errno == EWOULDBLOCK ? EXIA_DONE : exia__fail_errno(err, errno, "cannot lock", path);
    if (rc == EXIA_OK)
        swap(0, lock + 1);
    else if (lock >= 0)
        close(lock);
    pthread_mutex_unlock(&guard);
    *fd = rc == EXIA_OK ? lock : -1;
    return rc;
}

/* Who holds the lock on a file, as the kernel tells; 0: nobody knows.  Nothing need be written to the
 * file for that, which a full disk would refuse. */
static long lock_holder(const char *path)
{
    struct stat info;
    char line[160];
    long holder = 0;
    FILE *locks = stat(path, &info) == 0 ? fopen("/proc/locks", "re") : NULL;
    while (locks != NULL && holder == 0 && fgets(line, sizeof line, locks) != NULL) {
        unsigned major = 0, minor = 0;
        unsigned long inode = 0;
        long pid = 0;
        if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%lu", &pid, &major, &minor, &inode) == 4 &&
            inode == info.st_ino && makedev(major, minor) == info.st_dev && pid > 0)
            holder = pid;
    }
    if (locks != NULL)
        fclose(locks);
    return holder;
}

exia_status exia__lock_fail(const char *path, const exia__work *work, exia_error *err)
{
    char who[40] = "another process";
    long holder = lock_holder(path);
    if (holder > 0)
        snprintf(who, sizeof who, "process %ld", holder);
    size_t size = strlen(path), shown = size > 120 ? 120 : size;
    return exia__fail(err, EXIA_ETIMEOUT, EWOULDBLOCK, "%s has held %s%s for %lld ms", who,
                      shown < size ? "..." : "", path + size - shown,
                      (long long)work->job.timeout_ms);
}

exia_status exia__lock_take(int *fd, const char *path, exia__work *work, exia_error *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_EVERY_MS * 1000000};
    int64_t begin = exia__clock_ms();
    exia_status rc = exia__lock_try(fd, path, err);
    while (rc == EXIA_DONE) {
        rc = exia__work_step(work, "waiting for another process", 0, 0, err);
        if (rc == EXIA_OK && exia__clock_ms() - begin >= work->job.timeout_ms)
            rc = exia__lock_fail(path, work, err);
        if (rc < 0)
            break;
        nanosleep(&pause, NULL);
        rc = exia__lock_try(fd, path, err);
    }
    return rc;
}

void exia__lock_drop(int fd)
{
    if (fd < 0)
        return;
    pthread_mutex_lock(&guard);
    swap(fd + 1, 0);
    flock(fd, LOCK_UN); /* not only when a program that is being started closes it, too */
    close(fd);
    pthread_mutex_unlock(&guard);
}
