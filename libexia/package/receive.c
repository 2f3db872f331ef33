/* A package from a stream.  Frames are read one after the other, decompressed by several threads and
 * handed over in order; the tail is compared with what came, and only then is anything shown.  What
 * is kept are the members: frames leave two running digests, one for the frame of digests and one for
 * the seek table. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <zstd.h>

#include "base/crew.h"
#include "base/error.h"
#include "base/memory.h"
#include "package/feed.h"
#include "package/reader.h"

enum { PIECE = 64 << 10 };

/* A frame in flight. */
typedef struct slot {
    exia__packed packed;
    void *plain;
    size_t room;
    unsigned char digest[EXIA__DIGEST_SIZE];
} slot;

typedef struct hand_tools {
    ZSTD_DCtx *zstd;
    exia__hash *hash;
} hand_tools;

typedef struct receiving {
    exia_package *package; /* without a file: what is checked by parts.c */
    exia__feed feed;
    exia__members members;
    slot *slots;
    hand_tools *hands;
    size_t slot_count, hand_count;
    exia__packed packed; /* the frame behind those of the tar, and the tail's */
    exia__hash *digests, *table;
    char frames_digest[EXIA__HEX_SIZE];
    exia__work work;
    pthread_t caller;
    atomic_int stopped; /* what is still to come is of no use */
} receiving;

static exia_status broken(const receiving *r, const char *why, exia_error *err)
{
    return exia__package_broken(r->package, why, err);
}

/* One that is waited for by another thread must hear of it. */
static exia_status answer(receiving *r, exia_status rc)
{
    if (rc < 0)
        r->stopped = 1;
    return rc;
}

static exia_status step(void *payload, exia_error *err)
{
    receiving *r = payload;
    return answer(r, exia__work_step(&r->work, "receiving", r->feed.done, 0, err));
}

static exia_status wait_step(void *payload, exia_error *err)
{
    receiving *r = payload;
    if (r->stopped)
        return exia__fail(err, EXIA_ECANCELLED, 0, "receiving: stopped");
    return pthread_equal(pthread_self(), r->caller) ? step(r, err) : EXIA_OK;
}

static exia_status count_frame(receiving *r, size_t size, uint32_t plain, exia_error *err)
{
    unsigned char entry[EXIA__TABLE_ENTRY];
    exia__put32(entry, (uint32_t)size);
    exia__put32(entry + 4, plain);
    r->package->frame_count++;
    return exia__hash_update(r->table, entry, sizeof entry, err);
}

/* ---- the tar -------------------------------------------------------------------------------- */

static exia_status take_frame(size_t index, void *payload, exia_error *err)
{
    receiving *r = payload;
    slot *s = &r->slots[index];
    exia_status rc = exia__feed_frame(&s->packed, &r->feed, err);
    if (rc == EXIA_DONE)
        return exia__package_foreign(r->package, "it ends before its index", err);
    if (rc < 0)
        return rc;
    if (s->packed.plain > 0)
        return count_frame(r, s->packed.size, s->packed.plain, err);
    exia__packed skippable = s->packed;
    s->packed = r->packed;
    r->packed = skippable;
    return EXIA_DONE;
}

static exia_status decode_frame(size_t index, exia__hand *hand, void *payload, exia_error *err)
{
    receiving *r = payload;
    slot *s = &r->slots[index];
    hand_tools *tools = &r->hands[hand->index];
    const char *why = NULL;
    exia_status rc = exia__room(&s->plain, &s->room, s->packed.plain, err);
    if (rc == EXIA_OK)
        rc = exia__frame_decode(&why, s->plain, s->packed.plain, s->packed.data, s->packed.size,
                                tools->zstd, err);
    if (rc == EXIA_OK && why != NULL)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s is damaged: frame %llu %s", r->feed.name,
                        (unsigned long long)hand->item + 1, why);
    if (rc == EXIA_OK)
        rc = exia__hash_update(tools->hash, s->packed.data, s->packed.size, err);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(s->digest, tools->hash, err);
    return answer(r, rc);
}

static exia_status use_frame(size_t index, void *payload, exia_error *err)
{
    receiving *r = payload;
    slot *s = &r->slots[index];
    exia_status rc = exia__hash_update(r->digests, s->digest, sizeof s->digest, err);
    if (rc == EXIA_OK)
        rc = exia__members_add(&r->members, s->plain, s->packed.plain, err);
    return answer(r, rc);
}

static exia_status receive_tar(receiving *r, exia_error *err)
{
    exia_status rc = EXIA_OK;
    r->hand_count = r->work.job.threads;
    r->slot_count = r->hand_count + 1;
    r->slots = exia__zeroed(r->slot_count, sizeof *r->slots);
    r->hands = exia__zeroed(r->hand_count, sizeof *r->hands);
    if (r->slots == NULL || r->hands == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < r->hand_count; i++) {
        r->hands[i].zstd = ZSTD_createDCtx();
        rc = r->hands[i].zstd ? exia__hash_open(&r->hands[i].hash, err) : exia__fail_memory(err);
    }
    exia__crew crew = {.threads = (uint32_t)r->hand_count,
                       .slots = r->slot_count,
                       .take = take_frame,
                       .work = decode_frame,
                       .give = use_frame,
                       .step = step};
    if (rc == EXIA_OK)
        rc = exia__crew_run(&crew, r, err);
    return rc == EXIA_OK ? exia__members_end(&r->members, err) : rc;
}

/* ---- the tail ------------------------------------------------------------------------------- */

/* What comes must be these bytes. */
static exia_status expect(receiving *r, const void *bytes, size_t size, const char *why,
                          exia_error *err)
{
    unsigned char came[EXIA__DIGESTS_HEADER];
    exia_status rc = exia__feed_read(&r->feed, came, size, err);
    if (rc == EXIA_DONE || (rc == EXIA_OK && memcmp(came, bytes, size) != 0))
        rc = broken(r, why, err);
    return rc;
}

/* And these bytes have that digest, which `hash` then has no more. */
static exia_status expect_digest(receiving *r, const unsigned char *digest, uint64_t size,
                                 exia__hash *hash, const char *why, exia_error *err)
{
    unsigned char piece[PIECE], came[EXIA__DIGEST_SIZE];
    exia_status rc = EXIA_OK;
    while (size > 0 && rc == EXIA_OK) {
        size_t more = size < sizeof piece ? (size_t)size : sizeof piece;
        rc = exia__feed_read(&r->feed, piece, more, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(hash, piece, more, err);
        size -= more;
    }
    if (rc == EXIA_OK)
        rc = exia__hash_finish(came, hash, err);
    if (rc == EXIA_DONE || (rc == EXIA_OK && memcmp(came, digest, sizeof came) != 0))
        rc = broken(r, why, err);
    return rc;
}

/* The header of a skippable frame that was read last. */
static int has_header(const receiving *r, uint32_t magic, uint64_t size)
{
    return r->packed.plain == 0 && exia__get32(r->packed.data) == magic &&
           exia__get32(r->packed.data + 4) == size;
}

static exia_status receive_digests(receiving *r, exia_error *err)
{
    static const char why[] = "its digests are not those of its frames";
    unsigned char header[EXIA__DIGESTS_HEADER], digest[EXIA__DIGEST_SIZE];
    uint64_t count = r->package->frame_count, size = count * EXIA__DIGEST_SIZE;
    memcpy(header, "VEDA", 4);
    exia__put32(header + 4, EXIA__FORMAT);
    exia__put32(header + 8, (uint32_t)count);
    if (!has_header(r, EXIA__DIGESTS_MAGIC, sizeof header + size))
        return broken(r, why, err);
    exia_status rc = exia__hash_finish(digest, r->digests, err);
    if (rc == EXIA_OK)
        rc = expect(r, header, sizeof header, why, err);
    if (rc == EXIA_OK)
        rc = expect_digest(r, digest, size, r->digests, why, err);
    if (rc == EXIA_OK)
        rc = count_frame(r, EXIA__SKIPPABLE_HEADER + sizeof header + (size_t)size, 0, err);
    exia__hex(r->frames_digest, digest, sizeof digest);
    return rc;
}

/* A frame of the tail, which has content. */
static exia_status receive_stored(char **tar, receiving *r, exia_error *err)
{
    exia_status rc = exia__feed_frame(&r->packed, &r->feed, err);
    if (rc == EXIA_DONE || (rc == EXIA_OK && r->packed.plain == 0))
        return exia__package_foreign(r->package, "its metadata cannot be read", err);
    if (rc == EXIA_OK)
        rc = count_frame(r, r->packed.size, r->packed.plain, err);
    if (rc == EXIA_OK)
        rc = exia__part_stored(tar, r->package, r->packed.data, r->packed.size, r->packed.plain,
                               err);
    return rc;
}

/* METADATA.json, and whether it says what came. */
static exia_status receive_metadata(receiving *r, exia_error *err)
{
    exia_package *package = r->package;
    const exia__metadata *m = &package->metadata;
    const exia__members *came = &r->members;
    char *tar = NULL;
    exia_status rc = receive_stored(&tar, r, err);
    package->frame_count++; /* the last one is known to come */
    if (rc == EXIA_OK)
        rc = exia__part_metadata(package, tar, r->packed.plain, err);
    package->frame_count--;
    exia__release(tar);
    if (rc < 0)
        return rc;
    if (m->data_frames != came->data_frames || m->members != came->count ||
        m->record_size != came->record_size || strcmp(m->digest, came->digest) != 0)
        return broken(r, "RECORD is not the one of METADATA.json", err);
    if (strcmp(m->frames_digest, r->frames_digest) != 0)
        return broken(r, "its digests are not those of METADATA.json", err);
    return exia__part_manifest(package, came->manifest.data, came->manifest.size, err);
}

static exia_status receive_end(receiving *r, exia_error *err)
{
    char *tar = NULL;
    exia_status rc = receive_stored(&tar, r, err);
    if (rc == EXIA_OK)
        rc = exia__part_end(r->package, tar, r->packed.plain, err);
    exia__release(tar);
    return rc;
}

static exia_status receive_table(receiving *r, exia_error *err)
{
    static const char why[] = "its index is not that of its frames";
    unsigned char footer[EXIA__TABLE_FOOTER] = {0}, digest[EXIA__DIGEST_SIZE];
    uint64_t count = r->package->frame_count, size = count * EXIA__TABLE_ENTRY;
    exia__put32(footer, (uint32_t)count);
    exia__put32(footer + 5, EXIA__FOOTER_MAGIC);
    exia_status rc = exia__feed_frame(&r->packed, &r->feed, err);
    if (rc == EXIA_DONE ||
        (rc == EXIA_OK && !has_header(r, EXIA__TABLE_MAGIC, size + sizeof footer)))
        rc = broken(r, why, err);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, r->table, err);
    if (rc == EXIA_OK)
        rc = expect_digest(r, digest, size, r->table, why, err);
    if (rc == EXIA_OK)
        rc = expect(r, footer, sizeof footer, why, err);
    if (rc < 0)
        return rc;
    rc = exia__feed_read(&r->feed, footer, 1, err);
    if (rc == EXIA_OK)
        rc = broken(r, "something lies behind its index", err);
    return rc == EXIA_DONE ? EXIA_OK : rc;
}

static exia_status receive_tail(receiving *r, exia_error *err)
{
    exia_package *package = r->package;
    exia_status rc = receive_digests(r, err);
    if (rc == EXIA_OK)
        rc = receive_metadata(r, err);
    if (rc == EXIA_OK)
        rc = receive_end(r, err);
    if (rc == EXIA_OK)
        rc = receive_table(r, err);
    if (rc < 0)
        return rc;
    package->entries = r->members.entries; /* handed over */
    package->entry_count = r->members.count;
    r->members.entries = NULL;
    r->members.count = 0;
    return exia__part_entries(package, r->members.tar_size, err);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static exia_status open_package(receiving *r, exia_error *err)
{
    r->package = exia__zeroed(1, sizeof *r->package);
    if (r->package == NULL)
        return exia__fail_memory(err);
    r->package->fd = -1;
    exia_status rc = exia__text_copy(&r->package->path, r->feed.name, err);
    if (rc == EXIA_OK)
        rc = exia__hash_open(&r->digests, err);
    return rc == EXIA_OK ? exia__hash_open(&r->table, err) : rc;
}

static void close_receiving(receiving *r)
{
    for (size_t i = 0; r->slots != NULL && i < r->slot_count; i++) {
        exia__release(r->slots[i].packed.data);
        exia__release(r->slots[i].plain);
    }
    for (size_t i = 0; r->hands != NULL && i < r->hand_count; i++) {
        ZSTD_freeDCtx(r->hands[i].zstd);
        exia__hash_free(r->hands[i].hash);
    }
    exia__release(r->slots);
    exia__release(r->hands);
    exia__release(r->packed.data);
    exia__hash_free(r->digests);
    exia__hash_free(r->table);
    exia__members_free(&r->members);
    exia_package_free(r->package);
}

static exia_status free_space(uint64_t *out, const exia__target *target, exia_error *err)
{
    struct statvfs info;
    if (fstatvfs(target->root, &info) != 0)
        return exia__fail_errno(err, errno, "cannot tell the free space of", target->path);
    *out = info.f_blocks == 0 ? UINT64_MAX : (uint64_t)info.f_bavail * info.f_frsize;
    return EXIA_OK;
}

/* Links, when no file is left to be written through them, and the modes of directories, the deepest
 * first: one may lose its owner's right to enter. */
static exia_status place_rest(const exia_package *package, exia__place *place, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < package->entry_count; i++) {
        const exia__entry *entry = &package->entries[i];
        if (entry->type == 'l')
            rc = exia__place_link(place, entry->path, entry->target, err);
        else if (entry->type == 'h')
            rc = exia__place_hard_link(place, entry->path, entry->target, err);
    }
    for (size_t i = package->entry_count; rc == EXIA_OK && i-- > 0;) {
        const exia__entry *entry = &package->entries[i];
        if (entry->type == 'd')
            rc = exia__place_mode(place, entry->path, entry->mode, err);
    }
    return rc;
}

exia_status exia_package_receive(exia_package **out, int fd, const char *directory,
                                 const exia_receive_options *options, const exia_job *job,
                                 exia_error *err)
{
    exia_receive_options chosen = {0};
    receiving r = {.feed = {.fd = fd, .wait = wait_step},
                   .members = {.fd = -1, .free = UINT64_MAX}};
    exia__target target = {.folder = -1, .root = -1};
    exia__place place = exia__place_open(-1, directory);
    if (out != NULL)
        *out = NULL;
    if (fd < 0 || (directory != NULL && *directory == '\0'))
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_package_receive: no file is open there, or the directory is empty");
    exia_status rc = exia__options(&chosen, sizeof chosen, options, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&r.work, job, err);
    r.feed.name = r.members.name = chosen.name ? chosen.name : "the stream";
    r.feed.stall_ms = r.work.job.timeout_ms;
    r.feed.payload = &r;
    r.caller = pthread_self();
    if (rc == EXIA_OK)
        rc = open_package(&r, err);
    if (rc == EXIA_OK && directory != NULL) {
        rc = exia__target_open(&target, directory, err);
        place.root = target.root;
        r.members.place = &place;
    }
    if (rc == EXIA_OK && directory != NULL)
        rc = free_space(&r.members.free, &target, err);
    if (rc == EXIA_OK)
        rc = receive_tar(&r, err);
    if (rc == EXIA_OK)
        rc = receive_tail(&r, err);
    if (rc == EXIA_OK)
        rc = exia__package_trusted(r.package, chosen.trust_file, chosen.require_signature, err);
    if (rc == EXIA_OK && directory != NULL)
        rc = place_rest(r.package, &place, err);
    if (rc == EXIA_OK && directory != NULL)
        rc = exia__target_show(&target, chosen.unsynced, err);
    if (rc == EXIA_OK && out != NULL) {
        *out = r.package;
        r.package = NULL;
    }
    exia__place_close(&place);
    exia__target_close(&target);
    close_receiving(&r);
    return rc;
}
