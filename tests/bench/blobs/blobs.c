/* Files to blobs and back by a driver, as `aws s3 cp --recursive` would: so that what is timed is the
 * driver and not what a library or a registry does besides.
 *
 *     bench-blobs put URL DIRECTORY THREADS    each file becomes the blob of its name
 *     bench-blobs get URL DIRECTORY THREADS    each blob becomes a file there */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"

enum { MOST = 1 << 16, MOST_THREADS = 256 };

static exia__blobs *blobs;
static const char *names[MOST];
static size_t count;
static atomic_size_t next;
static int directory;

static void stop(const char *what, const char *why)
{
    fprintf(stderr, "bench-blobs: %s: %s\n", what, why);
    exit(1);
}

static int open_file(const char *name, int flags)
{
    int fd = openat(directory, name, flags | O_CLOEXEC, 0644);
    if (fd < 0)
        stop(name, strerror(errno));
    return fd;
}

static void put_file(const char *name)
{
    exia_error err;
    struct stat info;
    int fd = open_file(name, O_RDONLY);
    if (fstat(fd, &info) != 0)
        stop(name, strerror(errno));
    exia_source source = exia__source_file(&fd, (uint64_t)info.st_size);
    if (exia__blobs_put(blobs, name, &source, NULL, &err) < 0)
        stop(name, err.text);
    close(fd);
}

static exia_status write_some(const void *data, size_t size, void *payload, exia_error *err)
{
    (void)err;
    return write(*(const int *)payload, data, size) == (ssize_t)size ? EXIA_OK : EXIA_EUSER;
}

static void get_file(const char *name)
{
    exia_error err;
    int fd = open_file(name, O_WRONLY | O_CREAT | O_EXCL);
    if (exia__blobs_get(blobs, name, 0, INT64_MAX, write_some, &fd, NULL, &err) < 0)
        stop(name, err.text);
    close(fd);
}

static void *move_files(void *payload)
{
    void (*move)(const char *) = *(void (**)(const char *))payload;
    for (size_t i; (i = atomic_fetch_add(&next, 1)) < count;)
        move(names[i]);
    return NULL;
}

static exia_status found(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                         exia_error *err)
{
    (void)size, (void)modified_ms, (void)payload, (void)err;
    if (count == MOST)
        stop(key, "that is one too many");
    names[count++] = strdup(key);
    return EXIA_OK;
}

int main(int argc, char **argv)
{
    exia_error err;
    pthread_t threads[MOST_THREADS];
    int put = argc == 5 && strcmp(argv[1], "put") == 0;
    int wanted = argc == 5 ? atoi(argv[4]) : 0;
    void (*move)(const char *) = put ? put_file : get_file;
    if (wanted < 1 || wanted > MOST_THREADS)
        stop("usage", "put|get URL DIRECTORY THREADS");
    directory = open(argv[3], O_RDONLY | O_DIRECTORY);
    DIR *list = opendir(argv[3]);
    if (directory < 0 || list == NULL)
        stop(argv[3], strerror(errno));
    if (exia__blobs_open(&blobs, argv[2], put ? EXIA_STORE_WRITE : EXIA_STORE_READ, NULL, &err) < 0)
        stop(argv[2], err.text);
    for (struct dirent *entry; put && (entry = readdir(list)) != NULL;) {
        if (*entry->d_name != '.')
            found(entry->d_name, 0, 0, NULL, NULL);
    }
    closedir(list);
    if (!put && exia__blobs_list(blobs, "", found, NULL, NULL, &err) < 0)
        stop("list", err.text);
    for (int i = 0; i < wanted; i++) {
        if (pthread_create(&threads[i], NULL, move_files, &move) != 0)
            stop("pthread_create", "no more threads");
    }
    for (int i = 0; i < wanted; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < count; i++)
        free((char *)names[i]);
    exia__blobs_free(blobs);
    close(directory);
    return 0;
}
