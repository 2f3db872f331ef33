/* The reading side inside: an open package, and its tar stream by position. */
#ifndef EXIA_PACKAGE_READER_H
#define EXIA_PACKAGE_READER_H

#include "base/job.h"
#include "package/format.h"
#include "package/read.h"

struct exia_package {
    int fd;
    char *path;
    uint64_t file_size;
    exia__frame *frames; /* all but the seek table: data, RECORD, digests, METADATA, end */
    size_t frame_count;
    unsigned char *digests; /* content of the digest frame */
    json_t *facts;          /* METADATA.json, and its text */
    char *facts_text;
    const json_t *manifest; /* borrowed from facts */
    exia__metadata metadata;
    char *record; /* the entries' texts lie in it */
    exia__entry *entries;
    size_t entry_count;
    char *signature; /* SIGNATURE; NULL: none */
};

/* ---- parts.c -------------------------------------------------------------------------------- */

exia_status exia__package_broken(const exia_package *package, const char *why, exia_error *err);
/* Perhaps it never was a package. */
exia_status exia__package_foreign(const exia_package *package, const char *why, exia_error *err);

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
exia_status exia__part_digests_size(const exia_package *package, size_t size, exia_error *err);
exia_status exia__part_digests(exia_package *package, const unsigned char *at, exia_error *err);
/* @param tar_size  bytes of the tar before RECORD */
exia_status exia__part_entries(const exia_package *package, uint64_t tar_size, exia_error *err);
exia_status exia__part_manifest(const exia_package *package, const char *text, size_t size,
                                exia_error *err);
exia_status exia__part_end(exia_package *package, const char *tar, size_t size, exia_error *err);

/* ---- stream.c ------------------------------------------------------------------------------- */

/* Decompress one whole frame by a ZSTD_DCtx.  `*why`, if not NULL, says what is wrong with it. */
exia_status exia__frame_decode(const char **why, void *into, size_t plain, const void *packed,
                               size_t size, void *zstd, exia_error *err);

/* The decompressed tar, one frame at a time. */
typedef struct exia__stream {
    const exia_package *package;
    void *zstd; /* ZSTD_DCtx */
    unsigned char *packed, *plain;
    size_t packed_room, plain_room;
    size_t frame; /* whose content `plain` holds; SIZE_MAX: none */
    int check;    /* compare each frame with its digest */
    exia__hash *hash;
} exia__stream;
exia_status exia__stream_open(exia__stream *out, const exia_package *package, int check,
                              exia_error *err);
/* What lies at a position of the tar, up to the end of its frame: at least one byte. */
exia_status exia__stream_at(const unsigned char **data, size_t *size, exia__stream *stream,
                            uint64_t at, exia_error *err);
/* Copy out, across frames. */
exia_status exia__stream_copy(exia__stream *stream, void *into, uint64_t at, size_t size,
                              exia_error *err);
void exia__stream_free(exia__stream *stream);

/* What is done with members while they are compared with the record; each may be NULL. */
typedef struct exia__visitor {
    int (*wanted)(size_t index, void *payload); /* NULL: all; veda.json is compared always */
    exia_status (*begin)(size_t index, void *payload, exia_error *err); /* of a file */
    exia_status (*data)(const void *data, size_t size, void *payload, exia_error *err);
    exia_status (*end)(size_t index, void *payload, exia_error *err);
    const char *step; /* for progress */
    int check_frames; /* their digests too */
} exia__visitor;
/* Compare the wanted members with the record: headers, content, padding; and veda.json with the
 * manifest.  Frames without a wanted member are not read. */
exia_status exia__package_visit(const exia_package *package, const exia__visitor *visitor,
                                void *payload, exia__work *work, exia_error *err);

#endif
