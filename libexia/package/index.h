/* Where the frames of a package lie, read from its end alone: what a transfer compares. */
#ifndef EXIA_PACKAGE_INDEX_H
#define EXIA_PACKAGE_INDEX_H

#include "base/hash.h"
#include "exia/driver.h"
#include "package/read.h"

typedef struct exia__index {
    exia__frame *frames; /* all but the seek table */
    size_t count;
    uint64_t size; /* of the file */
    char *end;     /* its bytes from `from` on, those of the digest frame at least */
    uint64_t from;
    char hex
        [EXIA__HEX_SIZE]; /* SHA-256 of the digest frame and the seek table, one after the other */
} exia__index;

/* The seek table: where the frames lie, and the bytes from the digest frame on.  By one read when they
 * are within 64 KiB, else by two.  `path` is for errors.
 *
 * @param most  frames; more are EXIA_EUNSUPPORTED; 0: no limit
 * @return EXIA_ECORRUPT */
exia_status exia__index_open(exia__index *out, const exia_source *source, const char *path,
                             size_t most, exia_error *err);
/* ... and the digests of the frames, with that of both. */
exia_status exia__index_digests(exia__index *index, const char *path, exia_error *err);
/* Both at once. */
exia_status exia__index_read(exia__index *out, const exia_source *source, const char *path,
                             size_t most, exia_error *err);
void exia__index_free(exia__index *index);

#endif
