/* A backup while it is made. */
#ifndef EXIA_MODEL_BACKUP_H
#define EXIA_MODEL_BACKUP_H

#include "model/bundle.h"
#include "model/upkeep.h"

/* One version that the new entries publish; `seq` 0: they also remove it. */
typedef struct exia__lived {
    int64_t number, seq;
} exia__lived;

/* One model: the entries from `known` + 1 to `head` are new. */
typedef struct exia__outgoing {
    char *name;
    int64_t known, head;
    exia__lived *versions;
    size_t version_count, version_capacity;
    json_t *keys; /* "NUMBER/PART" -> key, for what was repaired */
    json_t *logs; /* its members in the list */
} exia__outgoing;

typedef struct exia__backup {
    exia_library *library;
    exia__bundle bundle;
    exia__work work;
    exia__outgoing *models;
    size_t model_count, model_capacity;
    exia__outgoing *at;   /* the one that is worked on */
    exia__buffer text;    /* of the member that is being filled */
    int64_t first;        /* its first entry */
    json_t *environments; /* HEX -> true: those that were copied */
    uint64_t done;        /* bytes */
} exia__backup;

exia__lived *exia__backup_version(exia__outgoing *at, int64_t number); /* or NULL */
/* @return EXIA_ENOTFOUND */
exia_status exia__backup_entry(char **json, exia__backup *now, const char *name, int64_t seq,
                               exia_error *err);
exia_status exia__backup_member(exia__backup *now, const char *member, const void *data,
                                size_t size, exia_error *err);

/* ---- backup_blobs.c ------------------------------------------------------------------------- */

/* The blobs of the versions of `now->at` that are new and live where its log was left.
 * @return EXIA_DONE: versions were removed and collected meanwhile, so begin anew */
exia_status exia__backup_blobs(exia__backup *now, exia_error *err);

#endif
