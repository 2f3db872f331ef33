/* A restore: what both readings of a backup know of it. */
#ifndef EXIA_MODEL_RESTORE_H
#define EXIA_MODEL_RESTORE_H

#include "model/bundle.h"
#include "model/ledger.h"
#include "model/upkeep.h"

/* One model of the backup. */
typedef struct exia__incoming {
    char *name;
    int selected;
    int64_t head;                     /* how far its log goes */
    int64_t known;                    /* how much of that is here */
    int64_t versions, versions_known; /* the same in versions */
    json_t *repaired;                 /* NUMBER -> true: older ones whose parts were stored anew */
    json_t *logs;                     /* its members, as the list must have them */
    size_t written;                   /* members of the second reading */
    int64_t stands;                   /* how much is here now */
} exia__incoming;

typedef struct exia__restore {
    exia_library *library;
    exia_backup_options options;
    exia__work work;
    char library_id[EXIA__TOKEN_SIZE]; /* whose backup it is */
    exia__incoming *models;
    size_t count, capacity;
    json_t *index; /* name -> position */
    exia__incoming *at;
    int same;             /* so far the log of `at` is what is here */
    exia__ledger *ledger; /* of it */
    exia__listing here;   /* the blobs that were here before */
    json_t *wanted;       /* HEX -> size: blobs of versions that are new here, or were lost */
    json_t *environments; /* HEX -> true: wanted, and of any size up to that */
    json_t *keys;         /* HEX -> where it lies here */
} exia__restore;

exia__incoming *exia__incoming_find(const exia__restore *now, const char *name); /* or NULL */
/* What the list says of a log member. */
exia_status exia__incoming_log(json_t **out, int64_t first, int64_t last, const char *text,
                               size_t size, exia_error *err);

/* Store a blob of the backup, verified; `payload` is the restore, whose `keys` tells where. */
exia_status exia__restore_blob(const char *hex, int fd, uint64_t size, void *payload,
                               exia_error *err);

/* ---- restore_write.c: the second reading ---------------------------------------------------- */

/* Add the entries of a log member that are not here; `payload` is the restore. */
exia_status exia__restore_log(const char *name, int64_t first, const char *text, size_t size,
                              void *payload, exia_error *err);

/* ---- restore_mend.c ------------------------------------------------------------------------- */

/* See to it that what was stored outlives the collectors that were there before the entries. */
exia_status exia__restore_mend(exia__restore *of, const char *path, exia_error *err);

#endif
