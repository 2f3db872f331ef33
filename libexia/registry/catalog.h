/* The offers of a side as rows in its records store, so that a query need not fold all events. */
#ifndef EXIA_REGISTRY_CATALOG_H
#define EXIA_REGISTRY_CATALOG_H

#include "registry/registry.h"

/* Where the rows are: records of this kind with the keys NAME/VERSION/TAG and an object `row`. */
#define EXIA__OFFER_KIND "offer"

/* How the rows stand. */
typedef struct exia__catalog {
    int64_t at;       /* they say what the events up to this revision do; 0: there are none */
    json_t *behind;   /* but of these packages, whose names are its members, later events tell */
    int64_t head;     /* the revision up to which `behind` is complete */
    int64_t revision; /* changes with every change of a row */
    int is_foreign;   /* a newer library keeps them */
} exia__catalog;

/* @param mend  not zero: where much is behind, write the rows of it; where that fails, it stays so */
exia_status exia__catalog_open(exia__catalog *out, const exia__side *side, int mend,
                               const exia_job *job, exia_error *err);
void exia__catalog_close(exia__catalog *catalog);
/* The same after an event was written, whatever comes of it. */
void exia__catalog_follow(const exia__side *side, const exia_job *job);

/* Is it as it was?  Then all rows that were read meanwhile are of one state. */
exia_status exia__catalog_stands(int *yes, const exia__catalog *catalog, const exia__side *side,
                                 exia_error *err);
/* Rows turned out to be none: let the next who may write make all of them anew. */
void exia__catalog_drop(const exia__catalog *catalog, const exia__side *side);

#endif
