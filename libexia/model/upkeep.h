/* Keeping a library in order, for the collector, the check and the retention: what the logs name, and
 * what collectors have marked. */
#ifndef EXIA_MODEL_UPKEEP_H
#define EXIA_MODEL_UPKEEP_H

#include "base/buffer.h"
#include "model/library.h"

/* Where the blobs of parts and environments lie. */
#define EXIA__BLOB_PREFIX "sha256/"

/* ---- references.c --------------------------------------------------------------------------- */

/* What one version says about one blob.  An environment is named by digest, so it stands for its key
 * and all that are KEY.1, KEY.2 ... */
typedef struct exia__reference {
    size_t key, model, part; /* texts: exia__reference_text(); part "" for an environment */
    int64_t number, size; /* of the version, and of the bytes; an environment's is not known: -1 */
    int environment;
    enum { EXIA__STANDS, EXIA__REMOVED, EXIA__REPAIRED } over; /* REPAIRED: lies elsewhere now */
} exia__reference;

typedef struct exia__references {
    exia__reference *items;                  /* in order of their keys */
    size_t count, capacity, models, entries; /* how many logs there are, and entries in them */
    exia__buffer texts;
} exia__references;

/* An entry that cannot be taken, and why; `seq` 0: a record that is no entry. */
typedef exia_status exia__log_problem(const char *model, int64_t seq, const exia_error *why,
                                      void *payload, exia_error *err);

/* Read all logs.  What was committed before the call is in the answer.
 * @param problem  NULL: a log that has one is a failure; else told, and the entry is left out */
exia_status exia__references_read(exia__references *out, exia_library *library,
                                  exia__log_problem *problem, void *payload, exia__work *work,
                                  exia_error *err);
/* One that names the blob, and is over or not; NULL: none. */
const exia__reference *exia__references_find(const exia__references *references, const char *key,
                                             int over);
/* Call for each model that has a log, in the order of names; also for one that comes meanwhile. */
exia_status exia__each_model(exia_library *library,
                             exia_status (*call)(const char *name, void *payload, exia_error *err),
                             void *payload, exia_error *err);
const char *exia__reference_text(const exia__references *references, size_t at);
void exia__references_free(exia__references *references);

/* The digest in the name of a blob, sha256/AB/HEX or sha256/AB/HEX.N; 0: it is no such name. */
int exia__blob_digest(char hex[EXIA__HEX_SIZE], const char *key);

/* Is `key` the key `base`, sha256/AB/HEX, or one of its HEX.1, HEX.2 ...? */
int exia__blob_same(const char *key, const char *base);

/* ---- listing.c ------------------------------------------------------------------------------ */

typedef struct exia__listed {
    char *key;
    uint64_t size;
    int64_t modified_ms;
} exia__listed;

typedef struct exia__listing {
    exia__listed *items; /* in order of their keys */
    size_t count, capacity;
} exia__listing;

/* All blobs whose keys begin with `prefix`. */
exia_status exia__listing_read(exia__listing *out, exia_library *library, const char *prefix,
                               const exia_job *job, exia_error *err);
const exia__listed *exia__listing_find(const exia__listing *listing, const char *key);
/* The first one at or behind this key. */
size_t exia__listing_from(const exia__listing *listing, const char *key);
void exia__listing_free(exia__listing *listing);

/* ---- marks.c -------------------------------------------------------------------------------- */

/* A record gc/KEY forbids to use the blob KEY again.  `claim` is the collector that is removing it:
 * NULL before one began.  `again`: it took that over from another. */
typedef struct exia__mark {
    char *key, *claim;
    int64_t time_ms; /* of the store's clock, when it was written */
    int64_t revision;
    int again;
} exia__mark;

typedef struct exia__marks {
    exia__mark *items; /* in order of their keys */
    size_t count, capacity;
} exia__marks;

exia_status exia__marks_read(exia__marks *out, exia_library *library, const exia_job *job,
                             exia_error *err);
exia__mark *exia__marks_find(const exia__marks *marks, const char *key);
void exia__marks_free(exia__marks *marks);

/* Mark keys that have no mark.  One that a rival marked meanwhile stays as it is. */
exia_status exia__marks_put(exia_library *library, const char *const *keys, size_t count,
                            int64_t time_ms, const exia_job *job, exia_error *err);
/* Become the one who removes the blob; `mark` is changed to what stands then.
 * @return EXIA_ECONFLICT: a rival was faster, or the mark was dropped */
exia_status exia__mark_claim(exia__mark *mark, exia_library *library, const char *claim,
                             int64_t time_ms, const exia_job *job, exia_error *err);
/* Drop the mark as it was read; one that changed meanwhile stays. */
exia_status exia__mark_drop(const exia__mark *mark, exia_library *library, const exia_job *job,
                            exia_error *err);

/* ---- verify.c ------------------------------------------------------------------------------- */

/* A blob and what reading it showed. */
typedef struct exia__checked {
    const char *key; /* borrowed */
    uint64_t size;   /* as it was read */
    enum { EXIA__UNKNOWN, EXIA__INTACT, EXIA__MISSING, EXIA__ALTERED, EXIA__UNREADABLE } state;
    char *why; /* of what is unreadable; to be released */
} exia__checked;

/* Read the blobs, which have `total` bytes together, and compare each with its name. */
exia_status exia__blobs_verify(exia__checked *items, size_t count, uint64_t total,
                               exia_library *library, exia__work *job, exia_error *err);

/* ---- rederive.c ----------------------------------------------------------------------------- */

/* Whom to tell that a log cannot be applied ("log"), or that a record derived from it is not what it
 * should be ("derived"; `version` 0: that of the model); `repair`: it is written anew. */
typedef struct exia__derived_report {
    exia_status (*found)(const char *what, const char *model, int64_t version, const char *text,
                         int mended, void *payload, exia_error *err);
    void *payload;
    int repair;
} exia__derived_report;

/* Apply the log of a model from its beginning, and compare what is stored with what comes of it. */
exia_status exia__rederive(exia_library *library, const char *name,
                           const exia__derived_report *report, exia__work *work, exia_error *err);

#endif
