/* Which frames of a package lie in other packages already, so that they need not move. */
#ifndef EXIA_REGISTRY_DELTA_H
#define EXIA_REGISTRY_DELTA_H

#include "package/index.h"
#include "registry/publish.h"

/* Where a frame lies already: in bases[base - 1], at `offset`; nowhere with `base` 0. */
typedef struct exia__found {
    uint64_t offset;
    uint32_t base;
} exia__found;

typedef struct exia__delta {
    exia__index index;          /* of the package that is to move */
    exia__found *found;         /* one a frame */
    const exia__frame **sorted; /* the frames that are looked for, by their digests */
    size_t sorted_count;
    char **bases; /* names of those packages: what the caller calls them */
    size_t base_count, base_capacity;
    uint64_t missing; /* bytes of those that lie nowhere yet */
} exia__delta;

/* Takes the index over, also when it fails.  @param until  frames from there on are not looked for */
exia_status exia__delta_open(exia__delta *out, exia__index *index, uint64_t until, exia_error *err);
/* Look for what is missing in one more package; a name that gave nothing is not kept. */
exia_status exia__delta_base(exia__delta *delta, const char *name, const exia__index *base,
                             exia_error *err);
void exia__delta_free(exia__delta *delta);

/* Look in the packages that are registered here, whose names are then their paths: those of the same
 * name first, from the nearest version on.  What cannot be read there gives nothing. */
exia_status exia__delta_here(exia__delta *delta, const exia_registry *registry,
                             const exia__parcel *parcel, exia__work *work, exia_error *err);
/* Look in the versions of the package on a side, of which the record or what is here tells the frames;
 * their names are then their keys. */
exia_status exia__delta_there(exia__delta *delta, const exia_registry *registry,
                              const exia__side *side, const exia__parcel *parcel, exia__work *work,
                              exia_error *err);
/* What was found, neighbours joined; the keys are the delta's.  Free with exia__release. */
exia_status exia__delta_pieces(exia_piece **out, size_t *count, const exia__delta *delta,
                               exia_error *err);

/* The index of a parcel; of a blob of that size on a side. */
exia_status exia__index_of_parcel(exia__index *out, const exia__parcel *parcel, exia_error *err);
exia_status exia__index_of_blob(exia__index *out, const exia__side *side, const char *key,
                                uint64_t size, exia__work *work, exia_error *err);

#endif
