/* An upload in parts, which becomes an object in one step. */
#ifndef EXIA_DRIVERS_S3_S3_PARTS_H
#define EXIA_DRIVERS_S3_S3_PARTS_H

#include "drivers/s3/s3.h"

enum { EXIA__S3_LEAST = 5 << 20 /* bytes of a part, save the last */ };

typedef struct exia__s3_part {
    uint64_t at, size;
    const char *key; /* copied from this object; NULL: sent */
    uint64_t offset;
    const char *pin;               /* that object's ETag; NULL: whichever */
    char etag[EXIA__S3_ETAG_SIZE]; /* "" where the server does not have the part */
    int noted;                     /* ... which an earlier upload sent or copied */
    char md5[33];                  /* "" where it is not known */
} exia__s3_part;

typedef struct exia__s3_plan {
    exia__s3_part *parts;
    size_t count, room;
    size_t largest; /* of those that are sent */
} exia__s3_plan;

/* ---- s3_plan.c ------------------------------------------------------------------------------- */

/* What to copy of `total` bytes, of which the pieces lie elsewhere, and what to send.  The keys are the
 * pieces'; `parts` is to be released. */
exia_status exia__s3_plan_make(exia__s3_plan *out, uint64_t total, const exia_piece *pieces,
                               size_t count, exia_error *err);

/* ---- s3_parts.c ------------------------------------------------------------------------------ */

typedef struct exia__s3_upload {
    exia__s3 *self;
    const char *what, *key;    /* "put": for errors */
    const exia_source *source; /* NULL where nothing is sent */
    uint64_t total;
    int replace; /* the object that is there, and not only create */
    exia_work *work;
} exia__s3_upload;

/* Store by this plan.  Where the source's digest is known it goes on where an earlier one with the same plan
 * was.  @return EXIA_EEXISTS, EXIA_ENOTFOUND: what was to be copied is not there, or cannot be; EXIA_ECORRUPT: it
 * is damaged */
exia_status exia__s3_upload_run(const exia__s3_upload *what, exia__s3_plan *plan, exia_error *err);

/* ---- s3_sums.c ------------------------------------------------------------------------------- */

/* Fill the part's MD5 from the source, unless it is known. */
exia_status exia__s3_sum(exia__s3_part *part, const exia_source *source, exia_error *err);
/* Compare parts that were copied or noted with the source, where their ETags tell.  @return EXIA_ECORRUPT */
exia_status exia__s3_sums_compare(const exia__s3 *self, exia__s3_plan *plan,
                                  const exia_source *source, exia_error *err);

#endif
