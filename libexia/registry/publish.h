/* A verified package file, and how it becomes known on a side: bytes first, then the record. */
#ifndef EXIA_REGISTRY_PUBLISH_H
#define EXIA_REGISTRY_PUBLISH_H

#include "base/hash.h"
#include "registry/registry.h"

/* A package file, open, and what it says of itself. */
typedef struct exia__parcel {
    int fd;    /* all bytes come from here, so that another file under its name changes nothing */
    int alone; /* nobody else can write to it, so that a store of files may take it as it is */
    char *path;
    uint64_t base, size;        /* where it lies in the file, 0 if that is all of it */
    char hex[EXIA__HEX_SIZE];   /* SHA-256 of the file */
    char *key;                  /* packages/HEX.veda */
    char index[EXIA__HEX_SIZE]; /* what vouches for where its frames lie; "": nothing does */
    char *name, *version, *tag, *digest;
    int is_signed;
    json_t *metadata;
} exia__parcel;

/* Open and verify all of it.  @return EXIA_ECORRUPT, EXIA_ECONFLICT: it changed meanwhile */
exia_status exia__parcel_open(exia__parcel *out, const char *path, exia__work *work,
                              exia_error *err);
/* The same with one that lies in `size` bytes of a larger file; `path` names it in errors. */
exia_status exia__parcel_open_at(exia__parcel *out, int fd, uint64_t base, uint64_t size,
                                 const char *path, exia__work *work, exia_error *err);
/* The same with a file that was made in the staging, and is locked or has no name.  Nobody else can write to
 * it, unless its mode says otherwise. */
exia_status exia__parcel_open_own(exia__parcel *out, int fd, uint64_t size, const char *path,
                                  exia__work *work, exia_error *err);
/* As exia__parcel_open(), of a copy that is ours alone, unless the package is known here or no such copy
 * can be made.  So what was verified needs no second look when it is stored. */
exia_status exia__parcel_take(exia__parcel *out, const exia_registry *registry, const char *path,
                              exia__work *work, exia_error *err);
/* What an offer says of its file, which is not opened (fd -1). */
exia_status exia__parcel_describe(exia__parcel *out, const exia__offer *offer, exia_error *err);
/* The file of an offer that is registered here; its bytes are compared as they are read. */
exia_status exia__parcel_of(exia__parcel *out, const exia_registry *registry,
                            const exia__offer *offer, exia_error *err);
void exia__parcel_free(exia__parcel *parcel);

/* Is the blob there, whole?  EXIA_DONE: it is not. */
exia_status exia__blob_find(const exia__side *side, const char *key, uint64_t expected,
                            exia__work *work, exia_error *err);
/* The bytes onto the side.  What lies there under the key is used when it has the right size; else it
 * cannot be this package, and goes. */
exia_status exia__blob_put(exia_transfer *moved, const exia_registry *registry,
                           const exia__side *side, const exia__parcel *parcel, exia__work *work,
                           exia_error *err);
/* The bytes whole, none of them copied there, in the place of a damaged blob, which may have another key. */
exia_status exia__blob_renew(const exia__side *side, const exia__parcel *parcel,
                             const char *damaged, exia__work *work, exia_error *err);
/* What that would move, about: a store may send more than it must. */
exia_status exia__blob_plan(exia_transfer *out, const exia_registry *registry,
                            const exia__side *side, const exia__parcel *parcel, exia__work *work,
                            exia_error *err);

/* Is it known on a side, and its file there?  @return EXIA_EEXISTS, EXIA_ECONFLICT: as publish */
exia_status exia__publish_known(int *known, const exia__side *side, const exia__parcel *parcel,
                                exia__work *work, exia_error *err);
/* Make it known on a side.  There already: nothing moves, unless it is signed and that is not.
 *
 * @param facts  a JSON object, or NULL
 * @param moved  may be NULL
 * @return EXIA_EEXISTS: another package has the identity, EXIA_ECONFLICT: two have it already
 */
exia_status exia__publish(exia_transfer *moved, const exia_registry *registry,
                          const exia__side *side, const exia__parcel *parcel, const json_t *facts,
                          exia__work *work, exia_error *err);

/* The claim of an identity, put again as it is with an event: so of two who follow the same events one
 * is told.  `text` NULL: there is none, or the store has no batches. */
typedef struct exia__claim {
    char *text;
    int64_t revision;
} exia__claim;
exia_status exia__claim_read(exia__claim *out, const exia__side *side, const exia__offer *offer,
                             exia_error *err);

/* Write an event that follows `offer`'s: its content with other facts, or without both: its end.
 *
 * @param claim  NULL, or what was read before the offer was
 * @return EXIA_ECONFLICT: somebody has put the claim again since then
 */
exia_status exia__event_follow(const exia__side *side, const char *what, const exia__offer *offer,
                               json_t *facts, const exia__claim *claim, const exia_job *job,
                               exia_error *err);

#endif
