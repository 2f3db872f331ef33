/* Blobs of pseudo-random bytes, each told from the others by a number. */
#include "support/cached.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static unsigned char byte_at(int number, uint64_t at)
{
    return (unsigned char)(((at + 1) * 2654435761u + (uint64_t)number * 40503u) >> 11);
}

exia__blobs *cached_open(const char *size)
{
    exia__blobs *blobs = NULL;
    distant_register();
    setenv("EXIA_HOME", check_path("home"), 1);
    if (size != NULL)
        setenv("EXIA_CACHE_SIZE", size, 1);
    else
        unsetenv("EXIA_CACHE_SIZE");
    check_ok(exia__blobs_open(&blobs, check_format("distant:file:%s", check_path("store")),
                              EXIA_STORE_WRITE, NULL, &err));
    return blobs;
}

blob cached_put(exia__blobs *blobs, int number, uint64_t size)
{
    blob made = {.size = size, .number = number};
    unsigned char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = byte_at(number, i);
    check_ok(exia__hash_hex(made.sha256, bytes, size, &err));
    snprintf(made.key, sizeof made.key, "sha256/%.2s/%s", made.sha256, made.sha256);
    exia_source source = exia__source_memory(bytes, size);
    check_ok(exia__blobs_put(blobs, made.key, &source, NULL, &err));
    free(bytes);
    return made;
}

exia_status cached_fetch(exia__cached *out, exia__blobs *blobs, const blob *wanted,
                         int64_t stall_ms, exia_error *error)
{
    const exia_job job = {.struct_size = sizeof job, .timeout_ms = stall_ms};
    return exia__cache_fetch(out, blobs, wanted->key, wanted->sha256, wanted->size, &job, error);
}

void cached_close(exia__cached *cached)
{
    if (cached->fd >= 0)
        close(cached->fd);
    exia__release(cached->path);
    *cached = (exia__cached){.fd = -1};
}

int cached_right(int fd, const blob *wanted)
{
    unsigned char piece[65536];
    uint64_t at = 0;
    ssize_t got = 0;
    int right = 1;
    while (right && (got = pread(fd, piece, sizeof piece, (off_t)at)) > 0) {
        for (ssize_t i = 0; i < got && right; i++)
            right = piece[i] == byte_at(wanted->number, at + (uint64_t)i);
        at += (uint64_t)got;
    }
    return right && at == wanted->size;
}

void cached_check(exia__blobs *blobs, const blob *wanted)
{
    exia__cached cached;
    check_ok(cached_fetch(&cached, blobs, wanted, 0, &err));
    assert_true(cached_right(cached.fd, wanted));
    assert_string_equal(cached.path, cached_path(wanted->sha256));
    cached_close(&cached);
}

const char *cached_path(const char *name)
{
    return name ? check_format("%s/%s", check_path("home/cache/blobs"), name)
                : check_path("home/cache/blobs");
}

const char *cached_part(const blob *wanted)
{
    return cached_path(check_format("%s.part", wanted->sha256));
}

int cached_has(const char *name)
{
    return access(cached_path(name), F_OK) == 0;
}

uint64_t cached_bytes(int *parts)
{
    uint64_t bytes = 0;
    struct stat info;
    DIR *listing = opendir(cached_path(NULL));
    const struct dirent *found = NULL;
    if (parts != NULL)
        *parts = 0;
    while (listing != NULL && (found = readdir(listing)) != NULL) {
        size_t size = strlen(found->d_name);
        if (fstatat(dirfd(listing), found->d_name, &info, 0) == 0 && size == EXIA__HEX_SIZE - 1)
            bytes += (uint64_t)info.st_size;
        else if (parts != NULL && size > EXIA__HEX_SIZE)
            ++*parts;
    }
    if (listing != NULL)
        closedir(listing);
    return bytes;
}

void cached_age(const char *name, long seconds)
{
    const struct timespec old = {.tv_sec = time(NULL) - seconds}, both[] = {old, old};
    assert_int_equal(utimensat(AT_FDCWD, cached_path(name), both, 0), 0);
}
