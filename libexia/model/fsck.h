/* A check of a library: what its two files know of it. */
#ifndef EXIA_MODEL_FSCK_H
#define EXIA_MODEL_FSCK_H

#include "model/upkeep.h"

typedef struct exia__check {
    exia_library *library;
    exia_fsck_options options;
    exia__work work;
    exia_rows *rows;
    exia_fsck_totals totals;
    exia__references references;
    exia__marks marks;
    exia__listing blobs;
    int64_t now_ms;
    int broken;   /* a log has an entry that cannot be read: what no version names may live */
    json_t *told; /* the models whose logs have such: name -> true */
    exia__checked *bad;
    size_t bad_count, bad_capacity;
} exia__check;

/* NOTHING: there is nothing to mend. */
typedef enum exia__outcome { EXIA__LEFT, EXIA__MENDED, EXIA__NOTHING } exia__outcome;

typedef struct exia__finding {
    const char *severity, *what, *name, *key;
    int64_t version; /* 0: none */
    exia__outcome done;
} exia__finding;

/* A row of the report. */
__attribute__((format(printf, 4, 5))) exia_status exia__check_tell(exia__check *now,
                                                                   const exia__finding *found,
                                                                   exia_error *err,
                                                                   const char *format, ...);
/* Read logs, blobs and marks anew; what is wrong with the logs was told already. */
exia_status exia__check_again(exia__check *now, exia_error *err);

/* ---- fsck_blobs.c --------------------------------------------------------------------------- */

/* What versions name: is it there, is it whole, is there a copy that can stand in? */
exia_status exia__check_blobs(exia__check *now, exia_error *err);

#endif
