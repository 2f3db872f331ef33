/* A backup as it lies on disk: a directory, or one file PATH.tar.zst of the same members.
 *
 *     logs/NAME/SEQ.jsonl     entries of a model from SEQ on, one a line
 *     blobs/sha256/AB/HEX     by content, whatever key they had
 *     backup.json             {format: 1, library, time, who, models: {NAME: {head, logs: [{first, last,
 *                             size, sha256}]}}}: written last, so what it does not name is not there
 *
 * Members are written once and never changed; all that another run adds is new members and another
 * backup.json. */
#ifndef EXIA_MODEL_BUNDLE_H
#define EXIA_MODEL_BUNDLE_H

#include "base/buffer.h"
#include "base/file.h"
#include "model/library.h"

struct archive;

enum {
    EXIA__BUNDLE_LOG = 4 << 20,        /* bytes of a log in one member, when the next one begins */
    EXIA__BUNDLE_LOG_LIMIT = 64 << 20, /* more is refused */
    EXIA__BUNDLE_LIST_LIMIT = 256 << 20,
    EXIA__MEMBER_SIZE = 192 /* of the longest path inside, and its NUL */
};

void exia__bundle_log_path(char out[EXIA__MEMBER_SIZE], const char *name, int64_t first);
void exia__bundle_blob_path(char out[EXIA__MEMBER_SIZE], const char *hex);

/* ---- writing -------------------------------------------------------------------------------- */

typedef struct exia__bundle {
    char *directory;     /* NULL: one file */
    int lock;            /* of the directory; -1 */
    json_t *list;        /* backup.json as it was; NULL: there was none */
    exia__staged staged; /* the file, or the member that is being written */
    struct archive *archive;
    json_t *blobs; /* HEX -> true: those that are in the file */
} exia__bundle;

/* @return EXIA_EEXISTS: a file is never written over, EXIA_ECONFLICT: another backup is running,
 * EXIA_EINVAL: a directory with other things in it */
exia_status exia__bundle_open(exia__bundle *out, const char *path, exia_error *err);
/* Is the blob there, of this size? */
exia_status exia__bundle_has(int *out, const exia__bundle *bundle, const char *hex, uint64_t size,
                             exia_error *err);
exia_status exia__bundle_begin(exia__bundle *bundle, const char *member, uint64_t size,
                               exia_error *err);
exia_status exia__bundle_write(exia__bundle *bundle, const void *data, size_t size,
                               exia_error *err);
exia_status exia__bundle_end(exia__bundle *bundle, exia_error *err);
/* Drop the member that was begun; a file cannot go on then. */
void exia__bundle_drop(exia__bundle *bundle);
/* Write backup.json: from here on it is a backup, durable. */
exia_status exia__bundle_finish(exia__bundle *bundle, const char *list, exia_error *err);
void exia__bundle_free(exia__bundle *bundle);

/* One model of the answer: what was copied of its log, `known` entries before, `head` now. */
exia_status exia__bundle_tell(exia_rows *rows, const char *name, int64_t known, int64_t head,
                              exia_error *err);

/* ---- reading -------------------------------------------------------------------------------- */

/* What a reader is told, in this order, whoever wrote the bundle: log members (those of one model one
 * after the other, names in order), blobs out of `wanted` (HEX -> size), the list. */
typedef struct exia__unbundling {
    exia_status (*log)(const char *name, int64_t first, const char *text, size_t size,
                       void *payload, exia_error *err);
    exia_status (*logs_end)(void *payload, exia_error *err);
    exia_status (*blob)(const char *hex, int fd, uint64_t size, void *payload, exia_error *err);
    exia_status (*list)(const json_t *list, void *payload, exia_error *err);
    const json_t *wanted; /* filled until the logs end */
    void *payload;
} exia__unbundling;

/* @param logs_only  not zero: end behind the logs, and tell no end of them
 * @return EXIA_ECORRUPT: it is no backup, or a member is not what a backup has */
exia_status exia__unbundle(const char *path, const exia__unbundling *how, int logs_only,
                           exia__work *work, exia_error *err);

/* Between the two files of it.  backup.json, parsed and of a format that is known. */
exia_status exia__bundle_list(json_t **out, const char *text, size_t size, exia_error *err);
exia_status exia__unbundle_archive(int fd, const exia__unbundling *how, int logs_only,
                                   exia__work *work, exia_error *err);
exia_status exia__archive_begin(exia__bundle *bundle, exia_error *err);
exia_status exia__archive_member(exia__bundle *bundle, const char *member, uint64_t size,
                                 exia_error *err);
exia_status exia__archive_write(exia__bundle *bundle, const void *data, size_t size,
                                exia_error *err);
/* Not `whole`: it is given up. */
exia_status exia__archive_close(exia__bundle *bundle, int whole, exia_error *err);

#endif
