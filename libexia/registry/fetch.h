/* The bytes of a package from a remote, put together in a file of the staging. */
#ifndef EXIA_REGISTRY_FETCH_H
#define EXIA_REGISTRY_FETCH_H

#include <sys/stat.h>

#include "registry/publish.h"

typedef struct exia__fetch {
    const exia_registry *registry;
    const exia__side *side;
    const exia__parcel *parcel; /* what is wanted */
    exia__work *work;
    const char *path; /* staging/SHA256.part */
    int fd;           /* of it, for reading and writing; -1: it is not there */
    int dry_run;      /* only find out what would move */
} exia__fetch;

/* All of the file, which is a verified package with the parcel's SHA-256 then.  Without dry_run the file is
 * locked by the caller, and `got` filled.
 *
 * @return EXIA_DONE: the file was whole once, is bad nevertheless, and must not be written to, for a store may
 *         have it: drop it; EXIA_ENOTFOUND, EXIA_ECORRUPT: the blob is not there, or not what its record says */
exia_status exia__fetch_all(exia_transfer *out, exia__parcel *got, const exia__fetch *fetch,
                            exia_error *err);

/* The file as it was left; of none, an empty one. */
exia_status exia__part_look(struct stat *out, const exia__fetch *fetch, exia_error *err);
/* It was whole once, and nobody writes to it any more. */
int exia__part_finished(const struct stat *part);
exia_status exia__part_cut(const exia__fetch *fetch, uint64_t size, exia_error *err);
/* Has it the SHA-256 that it should have?  Without dry_run it is verified as well, and `got` is it.
 * @return EXIA_DONE: it has not */
exia_status exia__part_check(exia__parcel *got, const exia__fetch *fetch, exia_error *err);

#endif
