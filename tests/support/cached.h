/* A store far away and the cache before it, for the tests of the cache. */
#ifndef TESTS_CACHED_H
#define TESTS_CACHED_H

#include "base/memory.h"
#include "store/cache.h"
#include "support/check.h"
#include "support/distant.h"

/* The store, and an empty cache of `size` (as EXIA_CACHE_SIZE; NULL: not set) in check_path("home"). */
exia__blobs *cached_open(const char *size);

/* A blob of the store: its bytes come from its number. */
typedef struct blob {
    char key[100], sha256[EXIA__HEX_SIZE];
    uint64_t size;
    int number;
} blob;
blob cached_put(exia__blobs *blobs, int number, uint64_t size);

/* As exia__cache_fetch, with a stall of `stall_ms` (0: the usual). */
exia_status cached_fetch(exia__cached *out, exia__blobs *blobs, const blob *wanted,
                         int64_t stall_ms, exia_error *error);
void cached_close(exia__cached *cached);
/* Does this descriptor have the bytes of the blob, all of them and no more? */
int cached_right(int fd, const blob *wanted);
/* It comes, with the right bytes. */
void cached_check(exia__blobs *blobs, const blob *wanted);

const char *cached_path(const char *name); /* in the cache; NULL: the cache itself */
const char *cached_part(const blob *wanted);
int cached_has(const char *name);
/* Of all blobs that are there; `parts` (may be NULL) gets the number of those on their way. */
uint64_t cached_bytes(int *parts);
void cached_age(const char *name, long seconds);

#endif
