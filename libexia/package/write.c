/* Packing: walk, then one pass over the content that hashes, cuts and compresses, then RECORD and the
 * tail.  The file is staged beside its place and renamed when it is whole. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>

#include "base/beneath.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "exia/package.h"
#include "package/format.h"
#include "package/frames.h"
#include "package/walk.h"

enum { PIECE = 256 << 10, DEFAULT_LEVEL = 3, MOST_LEVEL = 19 };

typedef struct packing {
    exia__walk walk;
    json_t *manifest;
    exia__staged staged;
    exia__framer *framer;
    exia__hash *hash;
    unsigned char *piece;
    exia__buffer scratch; /* a header, or a line of RECORD */
    exia__work work;
    uint64_t done, total; /* bytes of files */
} packing;

static exia_status changed(const char *path, exia_error *err)
{
    return exia__fail(err, EXIA_ECONFLICT, 0, "%s changed while it was packed: pack again", path);
}

/* Open a file of the workspace that must stand as the walk found it. */
static exia_status open_member(int *fd, const packing *p, size_t i, exia_error *err)
{
    struct stat info;
    const char *path = p->walk.entries[i].path;
    *fd = exia__open_beneath(p->walk.root, path, O_RDONLY | O_NONBLOCK, 0);
    if (*fd < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENOTDIR
                   ? changed(path, err)
                   : exia__fail_errno(err, errno, "cannot read", path);
    if (fstat(*fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", path);
    exia__stamp now = exia__stamp_of(&info);
    return exia__stamp_equal(&now, &p->walk.stamps[i]) ? EXIA_OK : changed(path, err);
}

/* Up to `most` bytes, less only at the end. */
static exia_status read_piece(size_t *size, int fd, void *into, size_t most, const char *path,
                              exia_error *err)
{
    *size = 0;
    while (*size < most) {
        ssize_t got = read(fd, (char *)into + *size, most - *size);
        if (got == 0)
            break;
        if (got > 0)
            *size += (size_t)got;
        else if (errno != EINTR)
            return exia__fail_errno(err, errno, "cannot read", path);
    }
    return EXIA_OK;
}

static exia_status pack_content(packing *p, size_t i, int fd, exia_error *err)
{
    static const char zeros[EXIA__BLOCK];
    exia__entry *entry = &p->walk.entries[i];
    exia_status rc = EXIA_OK;
    size_t size = 0;
    for (uint64_t left = entry->size; left > 0 && rc == EXIA_OK; left -= size) {
        size_t most = left < PIECE ? (size_t)left : PIECE;
        rc = read_piece(&size, fd, p->piece, most, entry->path, err);
        if (rc == EXIA_OK && size != most)
            rc = changed(entry->path, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(p->hash, p->piece, size, err);
        if (rc == EXIA_OK)
            rc = exia__framer_add(p->framer, p->piece, size, err);
        p->done += size;
        if (rc == EXIA_OK)
            rc = exia__work_step(&p->work, "packing", p->done, p->total, err);
    }
    if (rc == EXIA_OK)
        rc = exia__hash_finish(entry->digest, p->hash, err);
    if (rc == EXIA_OK)
        rc = exia__framer_add(p->framer, zeros, (size_t)exia__tar_padding(entry->size), err);
    return rc;
}

static exia_status put_header(packing *p, const exia__entry *entry, exia_error *err)
{
    exia_status rc = exia__tar_header(&p->scratch, entry, err);
    exia__framer_member(p->framer, exia__tar_size(entry));
    return rc == EXIA_OK ? exia__framer_add(p->framer, p->scratch.data, p->scratch.size, err) : rc;
}

static exia_status pack_file(packing *p, size_t i, exia_error *err)
{
    const exia__entry *entry = &p->walk.entries[i];
    struct stat info;
    int fd = -1, large = entry->size >= EXIA__LARGE_FILE;
    exia_status rc = open_member(&fd, p, i, err);
    if (rc == EXIA_OK && large)
        rc = exia__framer_flush(p->framer, err);
    if (rc == EXIA_OK)
        rc = put_header(p, entry, err);
    if (rc == EXIA_OK)
        rc = pack_content(p, i, fd, err);
    if (rc == EXIA_OK && large)
        rc = exia__framer_flush(p->framer, err);
    if (rc == EXIA_OK && fstat(fd, &info) != 0)
        rc = exia__fail_errno(err, errno, "cannot read", entry->path);
    if (rc == EXIA_OK) {
        exia__stamp now = exia__stamp_of(&info);
        if (!exia__stamp_equal(&now, &p->walk.stamps[i]))
            rc = changed(entry->path, err);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

static exia_status pack_members(packing *p, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < p->walk.count; i++)
        p->total += p->walk.entries[i].size;
    for (size_t i = 0; i < p->walk.count && rc == EXIA_OK; i++) {
        rc = p->walk.entries[i].type == 'f' ? pack_file(p, i, err)
                                            : put_header(p, &p->walk.entries[i], err);
        if (rc == EXIA_OK)
            rc = exia__work_step(&p->work, "packing", p->done, p->total, err);
    }
    return rc;
}

/* RECORD is made twice, for its size and digest and for the frames, rather than kept in memory. */
static exia_status pack_record(packing *p, exia__metadata *metadata, exia_error *err)
{
    static const char zeros[EXIA__BLOCK];
    exia__entry record = {.path = EXIA__RECORD_PATH, .type = 'f', .mode = 0644};
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc = exia__framer_cuts(p->framer, &exia__cuts_record, err);
    metadata->data_frames = exia__framer_count(p->framer);
    for (int pass = 0; pass < 2 && rc == EXIA_OK; pass++) {
        for (size_t i = 0; i < p->walk.count && rc == EXIA_OK; i++) {
            p->scratch.size = 0;
            rc = exia__record_line(&p->scratch, &p->walk.entries[i], err);
            record.size += pass == 0 ? p->scratch.size : 0;
            if (rc == EXIA_OK)
                rc = pass == 0 ? exia__hash_update(p->hash, p->scratch.data, p->scratch.size, err)
                               : exia__framer_add(p->framer, p->scratch.data, p->scratch.size, err);
        }
        if (rc == EXIA_OK && record.size > EXIA__MOST_RECORD)
            rc = exia__fail(err, EXIA_EINVAL, 0, "the members' paths are too long together");
        if (rc == EXIA_OK && pass == 0)
            rc = put_header(p, &record, err);
    }
    if (rc == EXIA_OK)
        rc = exia__framer_add(p->framer, zeros, (size_t)exia__tar_padding(record.size), err);
    if (rc == EXIA_OK)
        rc = exia__framer_flush(p->framer, err);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, p->hash, err);
    if (rc == EXIA_OK) {
        exia__hex(metadata->digest, digest, sizeof digest);
        metadata->record_size = record.size;
        metadata->record_frames = exia__framer_count(p->framer) - metadata->data_frames;
    }
    return rc;
}

static exia_status pack_tail(packing *p, exia__metadata *metadata, exia_error *err)
{
    char *text = NULL;
    exia_status rc = exia__framer_digests(metadata->frames_digest, p->framer, err);
    if (rc == EXIA_OK)
        rc = exia__metadata_text(&text, metadata, err);
    if (rc == EXIA_OK)
        rc = exia__tar_own(&p->scratch, EXIA__METADATA_PATH, text, err);
    if (rc == EXIA_OK && p->scratch.size > EXIA__MOST_METADATA)
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is too large", EXIA__MANIFEST_PATH);
    if (rc == EXIA_OK)
        rc = exia__framer_stored(p->framer, p->scratch.data, p->scratch.size, err);
    if (rc == EXIA_OK)
        rc = exia__tar_end(&p->scratch, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__framer_stored(p->framer, p->scratch.data, p->scratch.size, err);
    if (rc == EXIA_OK)
        rc = exia__framer_table(p->framer, err);
    exia__release(text);
    return rc;
}

static exia_status read_manifest(packing *p, exia_error *err)
{
    const exia__entry *entry = exia__entry_find(p->walk.entries, p->walk.count, EXIA__MANIFEST_PATH,
                                                strlen(EXIA__MANIFEST_PATH));
    char *text = NULL;
    size_t size = 0;
    int fd = -1;
    if (entry == NULL || entry->type != 'f')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "the workspace has no file %s: make one with \"vedapkg new\"",
                          EXIA__MANIFEST_PATH);
    if (entry->size > EXIA__MOST_MANIFEST)
        return exia__fail(err, EXIA_EINVAL, 0, "%s has more than 1 MiB", EXIA__MANIFEST_PATH);
    exia_status rc = open_member(&fd, p, (size_t)(entry - p->walk.entries), err);
    text = exia__resize(NULL, (size_t)entry->size + 1);
    if (rc == EXIA_OK && text == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = read_piece(&size, fd, text, (size_t)entry->size, entry->path, err);
    if (rc == EXIA_OK)
        rc = exia__manifest_parse(&p->manifest, text, size, EXIA__MANIFEST_PATH, EXIA_EINVAL, err);
    if (rc == EXIA_OK)
        rc = exia__manifest_components(p->manifest, p->walk.entries, p->walk.count,
                                       EXIA__MANIFEST_PATH, EXIA_EINVAL, err);
    exia__release(text);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Where the package goes; it must not be a member of itself. */
static exia_status choose_file(char **out, const packing *p, const char *file, exia_error *err)
{
    struct stat info;
    exia_status rc = file != NULL ? exia__text_copy(out, file, err)
                                  : exia__text_format(out, err, "%s-%s-%s.veda",
                                                      exia__json_string(p->manifest, "name"),
                                                      exia__json_string(p->manifest, "version"),
                                                      exia__manifest_tag(p->manifest));
    if (rc < 0 || stat(*out, &info) != 0)
        return rc;
    if (!S_ISREG(info.st_mode)) /* above all no device: the rename would replace it */
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file: name one to write", *out);
    for (size_t i = 0; i < p->walk.count; i++) {
        if (p->walk.stamps[i].inode == info.st_ino && p->walk.stamps[i].device == info.st_dev)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "%s is itself a member of the workspace: write elsewhere, or list it "
                              "in .vedaignore",
                              *out);
    }
    return EXIA_OK;
}

exia_status exia_package_write(char **written, const char *workspace, const char *file,
                               const exia_pack_options *options, const exia_job *job,
                               exia_error *err)
{
    exia_pack_options chosen = {0};
    exia__metadata metadata = {.zstd = ZSTD_versionString()};
    packing p = {.walk = {.root = -1}, .staged = {.fd = -1}};
    char *path = NULL;
    if (written != NULL)
        *written = NULL;
    if (workspace == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_write: the workspace is NULL");
    exia_status rc = exia__options(&chosen, sizeof chosen, options, err);
    if (rc == EXIA_OK && (chosen.level < 0 || chosen.level > MOST_LEVEL))
        rc = exia__fail(err, EXIA_EINVAL, 0, "the level %d is not within 1 to 19", chosen.level);
    metadata.level = chosen.level ? chosen.level : DEFAULT_LEVEL;
    if (rc == EXIA_OK)
        rc = exia__work_begin(&p.work, job, err);
    if (rc == EXIA_OK)
        rc = exia__walk_open(&p.walk, workspace, &p.work, err);
    if (rc == EXIA_OK)
        rc = read_manifest(&p, err);
    if (rc == EXIA_OK)
        rc = choose_file(&path, &p, file, err);
    if (rc == EXIA_OK)
        rc = exia__stage(&p.staged, path, EXIA__REPLACE, err);
    if (rc == EXIA_OK)
        rc = exia__framer_open(&p.framer, p.staged.fd, path, metadata.level, err);
    if (rc == EXIA_OK)
        rc = exia__hash_open(&p.hash, err);
    if (rc == EXIA_OK && (p.piece = exia__resize(NULL, PIECE)) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = pack_members(&p, err);
    metadata.manifest = p.manifest;
    metadata.members = p.walk.count;
    metadata.size = p.total;
    if (rc == EXIA_OK)
        rc = pack_record(&p, &metadata, err);
    if (rc == EXIA_OK)
        rc = pack_tail(&p, &metadata, err);
    if (rc == EXIA_OK)
        rc = exia__stage_commit(&p.staged, EXIA__REPLACE, err);
    if (rc == EXIA_OK && written != NULL) {
        *written = path;
        path = NULL;
    }
    exia__framer_free(p.framer);
    exia__hash_free(p.hash);
    exia__release(p.piece);
    exia__buffer_free(&p.scratch);
    exia__stage_free(&p.staged);
    exia__walk_free(&p.walk);
    json_decref(p.manifest);
    exia__release(path);
    return rc;
}
