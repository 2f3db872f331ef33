/* A source whose bytes are hashed as a store reads them, so that what was stored and what was hashed
 * are the same bytes, and they are read once.  Of many bytes the hashing runs on a thread of its own:
 * each piece is copied into a ring of blocks, and the store goes on to write it meanwhile. */
#include <signal.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

/* Whoever has to wait does so for half a ring: on a busy machine to be woken takes as long as hashing
 * megabytes. */
enum { BLOCK = 1 << 20, BLOCKS = 16, BATCH = BLOCKS / 2 };

/* The blocks from `taken` up to `given` are full, in order, modulo BLOCKS. */
struct exia__hasher {
    exia__hash *hash;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t moved; /* one of these has changed */
    size_t given, taken, sizes[BLOCKS];
    int hurry, ended; /* hurry: somebody waits for the last block */
    exia_error failed;
    char *blocks;
};

/* ---- beside the store ----------------------------------------------------------------------- */

static char *block(const exia__hasher *hasher, size_t number)
{
    return hasher->blocks + number % BLOCKS * BLOCK;
}

/* Under the lock: wait until there is something worth it.  @return 0: it is over */
static int wait_for_blocks(exia__hasher *hasher)
{
    while (!hasher->ended && hasher->given - hasher->taken < (hasher->hurry ? 1 : BATCH))
        exia__cond_wait(&hasher->moved, &hasher->lock, EXIA__FOREVER);
    return hasher->given > hasher->taken;
}

static void *hash_blocks(void *payload)
{
    exia__hasher *hasher = payload;
    pthread_mutex_lock(&hasher->lock);
    while (hasher->given > hasher->taken || wait_for_blocks(hasher)) {
        exia_error failed = {0};
        size_t size = hasher->sizes[hasher->taken % BLOCKS];
        int going = hasher->failed.status == EXIA_OK;
        pthread_mutex_unlock(&hasher->lock);
        if (going)
            exia__hash_update(hasher->hash, block(hasher, hasher->taken), size, &failed);
        pthread_mutex_lock(&hasher->lock);
        if (failed.status < 0)
            hasher->failed = failed;
        hasher->taken++;
        if (hasher->given - hasher->taken == BATCH || hasher->given == hasher->taken)
            pthread_cond_signal(&hasher->moved);
    }
    pthread_mutex_unlock(&hasher->lock);
    return NULL;
}

/* Under the lock: until no more than `most` blocks are full. */
static void wait_until(exia__hasher *hasher, size_t most)
{
    while (hasher->given - hasher->taken > most)
        exia__cond_wait(&hasher->moved, &hasher->lock, EXIA__FOREVER);
}

static void give(exia__hasher *hasher, const char *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t some = size - at < BLOCK ? size - at : BLOCK;
        pthread_mutex_lock(&hasher->lock);
        if (hasher->given - hasher->taken == BLOCKS)
            wait_until(hasher, BATCH);
        pthread_mutex_unlock(&hasher->lock);
        memcpy(block(hasher, hasher->given), data + at, some); /* only we write `given` */
        pthread_mutex_lock(&hasher->lock);
        hasher->sizes[hasher->given++ % BLOCKS] = some;
        if (hasher->given - hasher->taken >= BATCH)
            pthread_cond_signal(&hasher->moved);
        pthread_mutex_unlock(&hasher->lock);
        at += some;
    }
}

/* Until all that was given is hashed. */
static exia_status drain(exia__hasher *hasher, exia_error *err)
{
    const exia_error *failed = &hasher->failed;
    pthread_mutex_lock(&hasher->lock);
    hasher->hurry = 1;
    pthread_cond_signal(&hasher->moved);
    wait_until(hasher, 0);
    hasher->hurry = 0;
    pthread_mutex_unlock(&hasher->lock);
    return failed->status < 0 ? exia__fail(err, failed->status, failed->native, "%s", failed->text)
                              : EXIA_OK;
}

static void hasher_free(exia__hasher *hasher)
{
    if (hasher == NULL)
        return;
    pthread_mutex_lock(&hasher->lock);
    hasher->ended = 1;
    pthread_cond_signal(&hasher->moved);
    pthread_mutex_unlock(&hasher->lock);
    pthread_join(hasher->thread, NULL);
    pthread_cond_destroy(&hasher->moved);
    exia__release(hasher->blocks);
    exia__release(hasher);
}

/* `*out` stays NULL where no thread can be had. */
static exia_status hasher_start(exia__hasher **out, exia__hash *hash, exia_error *err)
{
    sigset_t signals, before;
    exia__hasher *hasher = exia__zeroed(1, sizeof *hasher);
    char *blocks = exia__resize(NULL, (size_t)BLOCK * BLOCKS);
    exia_status rc = hasher && blocks ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__cond_open(&hasher->moved, err);
    if (rc < 0)
        goto done;
    hasher->hash = hash;
    hasher->blocks = blocks;
    pthread_mutex_init(&hasher->lock, NULL);
    sigfillset(&signals); /* signals are the caller's */
    pthread_sigmask(SIG_SETMASK, &signals, &before);
    int code = pthread_create(&hasher->thread, NULL, hash_blocks, hasher);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0) {
        *out = hasher;
        return EXIA_OK;
    }
    pthread_cond_destroy(&hasher->moved);
done:
    exia__release(blocks);
    exia__release(hasher);
    return rc;
}

/* ---- the source ----------------------------------------------------------------------------- */

exia_status exia__hashed_open(exia__hashed *out, const exia_source *source, uint32_t threads,
                              exia_error *err)
{
    *out = (exia__hashed){.source = source};
    exia_status rc = exia__hash_open(&out->hash, err);
    if (rc == EXIA_OK && threads > 1 && source->size > (uint64_t)BLOCK * BLOCKS)
        rc = hasher_start(&out->hasher, out->hash, err);
    if (rc < 0)
        exia__hashed_free(out);
    return rc;
}

void exia__hashed_free(exia__hashed *hashed)
{
    hasher_free(hashed->hasher);
    exia__hash_free(hashed->hash);
    hashed->hasher = NULL;
    hashed->hash = NULL;
}

exia_status exia__hashed_end(char hex[EXIA__HEX_SIZE], exia__hashed *hashed, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc = hashed->hasher ? drain(hashed->hasher, err) : EXIA_OK;
    if (rc == EXIA_OK && hashed->next != hashed->source->size)
        rc = exia__fail(err, EXIA_EINVAL, 0, "the store read its bytes in another order");
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, hashed->hash, err);
    if (rc == EXIA_OK)
        exia__hex(hex, digest, sizeof digest);
    hashed->next = 0;
    return rc;
}

static exia_status restart(exia__hashed *hashed, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc = hashed->hasher ? drain(hashed->hasher, err) : EXIA_OK;
    hashed->next = 0;
    return rc == EXIA_OK ? exia__hash_finish(digest, hashed->hash, err) : rc;
}

static exia_status compare(exia__hashed *hashed, exia_error *err)
{
    char hex[EXIA__HEX_SIZE];
    exia_status rc = exia__hashed_end(hex, hashed, err);
    if (rc == EXIA_OK && strcmp(hex, hashed->source->sha256) != 0)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "its bytes changed while they were read");
    return rc;
}

static exia_status read_hashed(void *into, uint64_t offset, size_t size, void *payload,
                               exia_error *err)
{
    exia__hashed *hashed = payload;
    exia_status rc = hashed->source->read(into, offset, size, hashed->source->payload, err);
    if (rc == EXIA_OK && offset == 0 && hashed->next != 0) /* the store starts over */
        rc = restart(hashed, err);
    if (rc < 0 || offset != hashed->next)
        return rc;
    if (hashed->hasher != NULL)
        give(hashed->hasher, into, size);
    else
        rc = exia__hash_update(hashed->hash, into, size, err);
    hashed->next += size;
    if (rc == EXIA_OK && hashed->next == hashed->source->size && hashed->source->sha256 != NULL)
        rc = compare(hashed, err);
    return rc;
}

exia_source exia__hashed_source(exia__hashed *hashed)
{
    exia_source source = *hashed->source;
    source.read = read_hashed;
    source.payload = hashed;
    return source;
}

exia_status exia__source_digest(char hex[EXIA__HEX_SIZE], const exia_source *source,
                                exia__work *work, exia_error *err)
{
    exia__hashed hashed = {0};
    size_t room = source->size < BLOCK ? (size_t)source->size : BLOCK;
    char *piece = exia__resize(NULL, room);
    exia_status rc = piece ? exia__hashed_open(&hashed, source, 1, err) : exia__fail_memory(err);
    for (uint64_t at = 0; at < source->size && rc == EXIA_OK;) {
        size_t size = source->size - at < room ? (size_t)(source->size - at) : room;
        rc = exia__work_step(work, "hashing", at, source->size, err);
        if (rc == EXIA_OK)
            rc = read_hashed(piece, at, size, &hashed, err);
        at += size;
    }
    if (rc == EXIA_OK)
        rc = exia__hashed_end(hex, &hashed, err);
    exia__hashed_free(&hashed);
    exia__release(piece);
    return rc;
}
