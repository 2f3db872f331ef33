/* The reading side inside: an open package, and its payload by position. */
#ifndef EXIA_PACKAGE_READER_H
#define EXIA_PACKAGE_READER_H

#include "base/job.h"
#include "package/format.h"
#include "package/read.h"

struct exia_package {
    int fd;
    char *path;
    uint64_t base, file_size; /* where it lies in the file, and its bytes */
    exia__frame *frames;      /* all but the seek table: data, RECORD, digests, METADATA, end */
    size_t frame_count;
    unsigned char *digests;     /* the digest frame */
    char index[EXIA__HEX_SIZE]; /* as exia__index; "" when it came as a stream */
    json_t *facts;              /* METADATA.json, and its text */
    char *facts_text;
    const json_t *manifest; /* borrowed from facts */
    exia__metadata metadata;
    char *record; /* the entries' texts lie in it; NULL: each has its own, from `path` on */
    exia__entry *entries;
    size_t entry_count;
    char *signature;  /* SIGNATURE; NULL: none */
    uint64_t *starts; /* where each begins in the tar, and behind the last one where it ends */
};

/* ---- parts.c -------------------------------------------------------------------------------- */

exia_status exia__file_broken(const char *path, const char *why, exia_error *err);
exia_status exia__file_foreign(const char *path, const char *why, exia_error *err);
exia_status exia__package_broken(const exia_package *package, const char *why, exia_error *err);
/* Perhaps it never was a package. */
exia_status exia__package_foreign(const exia_package *package, const char *why, exia_error *err);

/* By the bytes it begins with it is something else: say what, and what to do with it. */
exia_status exia__package_other(const char *path, const void *begin, size_t size, exia_error *err);

/* The content of a stored frame, a NUL behind it. */
exia_status exia__part_stored(char **out, const exia_package *package, const unsigned char *packed,
                              size_t size, size_t plain_size, exia_error *err);
/* Is this a member VEDA/... of `size` bytes, with zeros behind its content? */
exia_status exia__part_member(const exia_package *package, const char *path, const char *tar,
                              size_t tar_size, uint64_t size, exia_error *err);
/* METADATA.json, which the number of frames must be known for; then the digests (borrowed by the
 * frames), the members, veda.json, the end of the tar. */
exia_status exia__part_metadata(exia_package *package, const char *tar, size_t tar_size,
                                exia_error *err);
exia_status exia__part_digests(exia_package *package, const unsigned char *at, exia_error *err);
/* The frame with the digests of `count` frames: its bytes, and whether it is one. */
size_t exia__digests_size(size_t count);
exia_status exia__digests_check(const unsigned char *frame, size_t count, const char *path,
                                exia_error *err);
/* @param tar_size  bytes of the tar before RECORD */
exia_status exia__part_entries(const exia_package *package, uint64_t tar_size, exia_error *err);
exia_status exia__part_manifest(const exia_package *package, const char *text, size_t size,
                                exia_error *err);
exia_status exia__part_end(exia_package *package, const char *tar, size_t size, exia_error *err);

/* ---- load.c --------------------------------------------------------------------------------- */

/* Bytes of a frame's header, by its fifth (RFC 8878, 3.1.1.1). */
size_t exia__frame_header(unsigned char descriptor);
/* What the header of a block says (RFC 8878, 3.1.1.2). */
typedef struct exia__block {
    size_t size, listed; /* bytes in the file behind the header; what is written there */
    int last;
} exia__block;
exia__block exia__frame_block(const unsigned char header[EXIA__BLOCK_HEADER]);

/* Decompress one whole frame by a ZSTD_DCtx.  `*why`, if not NULL, says what is wrong with it. */
exia_status exia__frame_decode(const char **why, void *into, size_t plain, const void *packed,
                               size_t size, void *zstd, exia_error *err);

/* Decompresses frames.  Threads: one. */
typedef struct exia__loader {
    void *zstd; /* ZSTD_DCtx */
    exia__hash *hash;
} exia__loader;
exia_status exia__loader_open(exia__loader *out, exia_error *err);
void exia__loader_free(exia__loader *loader);
/* A frame as it lies in the file, into `*packed`, which has room for `*have` bytes and grows. */
exia_status exia__frame_read(void **packed, size_t *have, const exia_package *package, size_t index,
                             exia_error *err);
/* Its content, of the size in the index.  @param check  compare it with its digest, too */
exia_status exia__frame_open(void *plain, exia__loader *loader, const exia_package *package,
                             size_t index, const void *packed, int check, exia_error *err);
/* See to it that there is room, not that it keeps what was there. */
exia_status exia__room(void **memory, size_t *have, size_t need, exia_error *err);

/* ---- pass.c --------------------------------------------------------------------------------- */

/* What is done with the content of files while it is compared with the record; each may be NULL. */
typedef struct exia__visitor {
    int (*wanted)(size_t index, void *payload); /* NULL: all members */
    /* A piece of a file, of several at a time: all of it, verified (then `offset` is 0 and `size` that of
     * the file), or what lies in one frame, unverified. */
    exia_status (*put)(uint32_t thread, size_t index, uint64_t offset, const void *data,
                       size_t size, void *payload, exia_error *err);
    /* The same pieces in order, one at a time, but no empty ones. */
    exia_status (*give)(const void *data, size_t size, void *payload, exia_error *err);
    const char *step; /* for progress */
    int check_frames; /* their digests too */
} exia__visitor;
/* Is its payload to be had?  That of a stream is gone.  @return EXIA_EUNSUPPORTED */
exia_status exia__package_kept(const exia_package *package, exia_error *err);
/* Compare the wanted members with the record: headers, content, padding.  Frames without a wanted member
 * are not read.  @param file_digest  the SHA-256 of the whole file, at no further reading; may be NULL */
exia_status exia__package_visit(unsigned char *file_digest, const exia_package *package,
                                const exia__visitor *visitor, void *payload, exia__work *work,
                                exia_error *err);
/* Of one file, and of this only the frames with `size` bytes at `offset`: pieces reach beyond these, and
 * a part is compared with the digests of its frames alone. */
exia_status exia__package_visit_file(const exia_package *package, size_t index, uint64_t offset,
                                     uint64_t size, const exia__visitor *visitor, void *payload,
                                     exia__work *work, exia_error *err);
/* How many threads a pass takes at most: they are numbered from 0. */
uint32_t exia__package_threads(const exia__work *work);
/* Does a file lie in one frame, so that it comes in one piece? */
int exia__in_one_frame(const exia_package *package, size_t index);
/* The frame that a position of the members lies in. */
size_t exia__frame_at(const exia_package *package, uint64_t at);

/* ---- select.c ------------------------------------------------------------------------------- */

#define EXIA__NOWHERE UINT32_MAX
/* For each member where its content goes: to itself, or, when only hard links to it are selected, to the
 * first of them; EXIA__NOWHERE when it is not unpacked. */
exia_status exia__select(uint32_t **out, const exia_package *package,
                         const exia_unpack_options *options, exia_error *err);

/* ---- read.c, verify.c ----------------------------------------------------------------------- */

exia_status exia__package_find(size_t *index, const exia_package *package, const char *path,
                               exia_error *err);
exia_status exia__package_read_entry(void *into, const exia_package *package, size_t index,
                                     uint64_t offset, size_t size, exia__work *work,
                                     exia_error *err);
/* veda.json must say what METADATA.json says. */
exia_status exia__package_check_manifest(const exia_package *package, exia__work *work,
                                         exia_error *err);

#endif
