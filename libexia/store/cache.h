/* The local cache of remote blobs: one directory of a user's, for all of his processes.
 *
 *     HEX            a blob whole, named by the SHA-256 of its bytes, and never changed
 *     HEX.part       one on its way; who brings it holds its lock
 *     used           how many bytes that is together, and when they were counted; under its lock files
 *                    are counted and removed
 *
 * All in it came from a store, so any of it may be removed at any time.  Who has a blob open holds a
 * shared lock on it, and such a one is not chosen to be removed: its space would not come back.
 * Nothing depends on that, an open descriptor stays what it is. */
#ifndef EXIA_STORE_CACHE_H
#define EXIA_STORE_CACHE_H

#include "base/hash.h"
#include "base/job.h"
#include "store/store.h"

typedef struct exia__cached {
    int fd; /* for reading */
    char *path;
} exia__cached;

/* The blob as a file, brought from its store when it is not here yet.  Its bytes were compared with
 * `sha256` as they came in, its size is compared now.
 * @return EXIA_EUNSUPPORTED: it cannot be kept here, so read it from its store; EXIA_ECORRUPT: the
 *         store has other bytes; EXIA_EINVAL: EXIA_CACHE_SIZE is no size; what the store says */
exia_status exia__cache_fetch(exia__cached *out, exia__blobs *blobs, const char *key,
                              const char *sha256, uint64_t size, const exia_job *job,
                              exia_error *err);
/* Its bytes are not what they should be: let the next one bring it anew. */
void exia__cache_forget(const exia__cached *damaged);

/* ---- cache_room.c: the directory and its size ----------------------------------------------- */

typedef struct exia__cache {
    char *path;
    int folder;
    int shared;     /* on a network file system: its locks may mean nothing */
    uint64_t limit; /* as it was set; EXIA__CACHE_DEFAULT: not set */
} exia__cache;
#define EXIA__CACHE_DEFAULT UINT64_MAX

/* @return EXIA_EUNSUPPORTED: there is none, or others may write there, and the log says so */
exia_status exia__cache_open(exia__cache *out, exia_error *err);
void exia__cache_close(exia__cache *cache);

/* Room for `size` bytes of the open file `mine`, which is not counted, by removing what was not used for
 * longest.  @return EXIA_EUNSUPPORTED: there is none to be had */
exia_status exia__cache_reserve(const exia__cache *cache, uint64_t size, const char *mine, int fd,
                                exia__work *work, exia_error *err);
/* The part is whole, and gets its name; not while somebody counts, who could see it under neither. */
exia_status exia__cache_name(const exia__cache *cache, const char *part, const char *name,
                             exia__work *work, exia_error *err);
void exia__cache_give_back(const exia__cache *cache, uint64_t size, exia__work *work);

/* What is there, counted; `clear`: after all is removed that nobody has open or brings. */
typedef struct exia__cache_contents {
    uint64_t limit, bytes, freed;
    size_t blobs; /* whole ones */
} exia__cache_contents;
exia_status exia__cache_count(exia__cache_contents *out, const exia__cache *cache, int clear,
                              exia__work *work, exia_error *err);

/* Wait for the lock of an open file, as long as that file grows.
 * @return EXIA_DONE: it has lost its name meanwhile, EXIA_EUNSUPPORTED: nothing moves */
exia_status exia__cache_lock(int fd, const exia__cache *cache, const char *name, exia__work *work,
                             exia_error *err);

#endif
