/* The model library as its own files see it.
 *
 *     log (records NAME/log/SEQ)  --exia__library_refresh-->  fold (versions, aliases, tokens)
 *     an intent  --exia__library_commit-->  one more entry, put absent at the next SEQ
 *
 * A fold is the state of one model in memory.  It is only ever made by applying entries in order, and
 * is thrown away whole when one cannot be applied. */
#ifndef EXIA_MODEL_LIBRARY_H
#define EXIA_MODEL_LIBRARY_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/job.h"
#include "base/json.h"
#include "exia/model.h"
#include "store/store.h"

enum {
    EXIA__TOKENS_KEPT = 1000,    /* a repeated call is known for so many entries */
    EXIA__INLINE_LIMIT = 16384,  /* bytes of parts inside one log entry */
    EXIA__PARTS_LIMIT = 1000,    /* of a version: each one open holds an fd */
    EXIA__FACTS_LIMIT = 1 << 20, /* bytes of facts; more belongs into a part */
    EXIA__KEY_SIZE = 128 + sizeof "/log/" + 20
};

/* ---- fold.c --------------------------------------------------------------------------------- */

typedef struct exia__version {
    json_t *row;        /* as a search shows it; NULL: removed */
    char *text;         /* the row as text, once somebody asked; NULL: not yet, or changed */
    json_t *parts;      /* as the log has them, with key or inline; never changed, only replaced */
    json_t *signatures; /* the texts that `sign` entries added; NULL: none; only replaced, too */
} exia__version;

typedef struct exia__move {
    int64_t seq, version; /* the entry that made it, and where to: 0 is nowhere */
} exia__move;

typedef struct exia__alias {
    char *name;
    exia__move *stack; /* never empty; a move pushes, a rollback pops */
    size_t depth, capacity;
} exia__alias;

typedef struct exia__done {
    char *token;
    const char *verb;
    int64_t result; /* the version that the call answered */
} exia__done;

typedef struct exia__fold {
    char *name;
    int64_t head;               /* the SEQ of the last entry applied; 0: there is no such model */
    char time[EXIA__TIME_SIZE]; /* that entry's */
    exia__version *versions;    /* number n is at n - 1 */
    size_t version_count, version_capacity;
    exia__alias *aliases;
    size_t alias_count;
    json_t *alias_index;          /* name -> position */
    int64_t origin_head, foreign; /* read when the head stood there: the versions from elsewhere */
    exia__done *done;             /* a ring by SEQ */
    size_t done_count;
} exia__fold;

exia_status exia__fold_open(exia__fold **out, const char *name, exia_error *err);
/* Apply the entry behind `head`.  On failure the fold is empty again.
 * @return EXIA_ECORRUPT, EXIA_EVERSION, EXIA_ENOMEM */
exia_status exia__fold_apply(exia__fold *fold, json_t *entry, exia_error *err);
void exia__fold_free(exia__fold *fold);

/* NULL: never written, or removed. */
const exia__version *exia__fold_version(const exia__fold *fold, int64_t number);
/* The version's row as text; borrowed until the fold changes. */
exia_status exia__fold_text(const char **out, exia__fold *fold, int64_t number, exia_error *err);
const exia__alias *exia__fold_alias(const exia__fold *fold, const char *name); /* NULL: never set */
const exia__done *exia__fold_done(const exia__fold *fold, const char *token);
int64_t exia__alias_version(const exia__alias *alias); /* 0: nowhere; `alias` may be NULL */

/* ---- row.c ---------------------------------------------------------------------------------- */

/* Parts as the log or a version.json has them: names, sizes, digests.  `stored`: each has a key or is
 * inline.  @return EXIA_ECORRUPT */
exia_status exia__parts_check(const json_t *parts, int stored, exia_error *err);
/* The other members of a published version.  @return EXIA_ECORRUPT */
exia_status exia__facts_check(const json_t *version, exia_error *err);
/* The row of an entry that publishes, without aliases yet. */
exia_status exia__row_make(json_t **out, const char *name, const json_t *entry, exia_error *err);

/* ---- library.c ------------------------------------------------------------------------------ */

struct exia_library {
    exia__records *records;
    exia__blobs *blobs;
    pthread_mutex_t mutex; /* over the folds */
    int has_mutex, read_only;
    unsigned generation;
    exia__fold **folds;
    size_t fold_count;
    json_t *fold_index; /* name -> position */
    char *id, *who, *trust_file;
    char *untrusted; /* why others may have written the records; NULL: only this user can */
};

/* Do the blobs belong to the records, now?  @return EXIA_ECONFLICT */
exia_status exia__library_check_id(exia_library *library, exia_error *err);

/* Between these the folds stand still.  @return EXIA_ECLOSED: in a forked child */
exia_status exia__library_lock(exia_library *library, exia_error *err);
void exia__library_unlock(exia_library *library);

/* ---- log.c ---------------------------------------------------------------------------------- */

/* The key of an entry: NAME/log/SEQ; and back: the length of NAME, 0 when it is no such key. */
void exia__log_key(char out[EXIA__KEY_SIZE], const char *name, int64_t seq);
size_t exia__log_key_read(int64_t *seq, const char *key);

/* Bring one model, or all, up to date; call it locked.  `*out` has head 0 where there is none. */
exia_status exia__library_refresh(exia__fold **out, exia_library *library, const char *name,
                                  exia_error *err);
exia_status exia__library_refresh_all(exia_library *library, exia_error *err);
exia_status exia__fold_missing(const exia__fold *fold, exia_error *err); /* head 0: ENOTFOUND */

/* What an intent does to the state it finds: check the expectations, then add `version` and `moves`
 * to `entry` and say what the call answers.  EXIA_DONE: nothing is to be done, and that is success.
 * Called again with what the winner left when a SEQ was lost. */
typedef exia_status exia__intent_fn(json_t *entry, int64_t *result, const exia__fold *fold,
                                    void *payload, exia_error *err);
typedef struct exia__intent {
    const char *verb, *token, *message;
    exia__intent_fn *build;
    void *payload;
    const exia_job *job;
} exia__intent;
exia_status exia__library_commit(int64_t *result, exia_library *library, const char *name,
                                 const exia__intent *intent, exia_error *err);
/* Was the store lost, so that a commit may have been done all the same? */
int exia__store_lost(exia_status rc);
/* The entries up to `last`, which a fold has seen and found good. */
exia_status exia__log_scan(exia_library *library, const char *name, int64_t last,
                           exia_status (*found)(int64_t seq, const json_t *entry, void *payload,
                                                exia_error *err),
                           void *payload, exia_error *err);

/* ---- alias.c -------------------------------------------------------------------------------- */

exia_status exia__alias_check(const char *alias, exia_error *err);
/* Add the move of `alias` to `to` to the entry, if it stands at `expect`. */
exia_status exia__alias_add_move(json_t *entry, const exia__fold *fold, const char *alias,
                                 int64_t to, int64_t expect, exia_error *err);

/* ---- facts.c -------------------------------------------------------------------------------- */

/* A NULL message is fine. */
exia_status exia__message_check(const char *message, exia_error *err);
/* The caller's facts as the `version` of a log entry, every member there. */
exia_status exia__facts_read(json_t **out, const char *text, exia_error *err);

/* ---- select.c ------------------------------------------------------------------------------- */

typedef struct exia__selector {
    char *name;
    enum { EXIA__LATEST, EXIA__NUMBER, EXIA__ALIAS, EXIA__PREVIOUS, EXIA__BEST, EXIA__WORST } kind;
    int64_t number; /* of the version, or how far behind the latest */
    char *word;     /* the alias or the field */
} exia__selector;

exia_status exia__selector_parse(exia__selector *out, const char *text, exia_error *err);
exia_status exia__selector_resolve(int64_t *number, const exia__selector *selector,
                                   const exia__fold *fold, exia_error *err);
void exia__selector_free(exia__selector *selector);

/* ---- blob.c --------------------------------------------------------------------------------- */

/* Make sure that a blob with these bytes is there, durable and young; `*key` is its name.
 * @return what the source said, EXIA_ECORRUPT ... */
exia_status exia__blob_store(char **key, exia_library *library, const exia_source *source,
                             const exia_job *job, exia_error *err);
/* The same, at any key but this one, whose bytes are known to be others. */
exia_status exia__blob_store_not(char **key, exia_library *library, const exia_source *source,
                                 const char *not_here, const exia_job *job, exia_error *err);
/* Has a collector marked the blob?  Then it is not used again. */
exia_status exia__blob_marked(int *marked, exia_library *library, const char *key,
                              const exia_job *job, exia_error *err);
/* After the commit: has a collector marked it, or removed it already?  The version is there, so what
 * cannot be asked is no failure, unless the store is lost. */
exia_status exia__blob_lost(int *lost, exia_library *library, const char *key, exia_error *err);
/* The bytes of a blob of a known size, into `into`.  @return EXIA_ECORRUPT: it has another size */
exia_status exia__blob_read(void *into, size_t size, exia__blobs *blobs, const char *key,
                            const exia_job *job, exia_error *err);
/* The text that a key of this digest holds, checked. */
exia_status exia__blob_load(char **out, exia__blobs *blobs, const char *sha256, exia_error *err);
exia_status exia__base64_encode(char **out, const void *data, size_t size, exia_error *err);
/* Exactly `size` bytes, and up to two more are written behind them.  @return EXIA_ECORRUPT */
exia_status exia__base64_decode(void *into, size_t size, const char *text, exia_error *err);

/* ---- part.c --------------------------------------------------------------------------------- */

/* Make a part durable; `*out` is its member of the log entry.  `within`: inside the entry.
 * @return EXIA_ECONFLICT: the file changed while it was read */
exia_status exia__part_store(json_t **out, exia_library *library, const exia_part *part, int within,
                             exia__work *work, exia_error *err);
uint64_t exia__part_size(const exia_part *part); /* in memory; 0: it is a file */
exia_status exia__bytes_store(char **key, exia_library *library, const void *data, size_t size,
                              const char *sha256, const exia__work *work, exia_error *err);

/* ---- repair.c ------------------------------------------------------------------------------- */

/* Say in the log that parts of a version lie under other keys: `repairs` is [{name, key}].  A version
 * that was removed meanwhile needs none. */
exia_status exia__repair_commit(exia_library *library, const char *name, int64_t number,
                                json_t *repairs, const char *message, exia_error *err);

/* A version just published, its parts as they were given and as they are `stored`.  What a collector
 * has marked, or removed already, is stored anew and the log says so. */
typedef struct exia__published {
    exia_library *library;
    const char *name;
    int64_t number;
    const exia_part *parts;
    size_t part_count;
    json_t *stored;
    exia__work *work;
} exia__published;
exia_status exia__published_settle(exia__published *now, exia_error *err);

/* ---- map.c ---------------------------------------------------------------------------------- */

typedef struct exia__tensors exia__tensors;
typedef struct exia__open_part {
    const char *name, *format, *sha256; /* borrowed from the model's `parts` */
    void *data;
    size_t size, mapped; /* mapped: bytes to unmap, or 0 */
    void *memory;        /* our own, where it is not mapped */
    char *path;          /* NULL: no local file */
    int fd;
    _Atomic(exia__tensors *) tensors; /* the header, once somebody asked */
} exia__open_part;

/* Each fills `data` of a part whose size and digest are set; what fails is closed all the same. */
exia_status exia__part_from_file(exia__open_part *part, const char *path, unsigned flags,
                                 exia_error *err);
exia_status exia__part_from_blob(exia__open_part *part, exia__blobs *blobs, const char *key,
                                 exia_error *err);
exia_status exia__part_from_text(exia__open_part *part, const char *base64, unsigned flags,
                                 exia_error *err);
void exia__part_close(exia__open_part *part);

/* ---- open.c --------------------------------------------------------------------------------- */

struct exia_model {
    char *facts, *policy;
    json_t *parts;       /* as the log has them */
    json_t *environment; /* the digest of a blob, an object, or null */
    exia__blobs *blobs;  /* NULL: a plain directory */
    exia__open_part *part;
    size_t part_count;
};

exia_status exia__open_flags(unsigned flags, exia_error *err);
/* A model whose parts are named and not yet open. */
exia_status exia__model_new(exia_model **out, json_t *parts, exia_error *err);
/* `why` NULL: only this user can have written it. */
exia_status exia__model_policy_set(exia_model *model, const char *why, const char *trust_file,
                                   exia_error *err);
/* The part of that name; NULL: the only one. */
exia_status exia__model_part(exia__open_part **out, const exia_model *model, const char *name,
                             exia_error *err);

/* ---- origin.c ------------------------------------------------------------------------------- */

/* Say, before they are written, that the versions up to this one come from the library `from`. */
exia_status exia__origin_write(exia_library *library, const char *name, const char *from,
                               int64_t versions, exia_error *err);
/* The versions up to `*versions` came from elsewhere, as `*why` says (may be NULL, else to be freed). */
exia_status exia__origin_read(int64_t *versions, char **why, exia_library *library,
                              const char *name, exia_error *err);

/* ---- tensors.c ------------------------------------------------------------------------------ */

void exia__tensors_free(exia__tensors *tensors);

#endif
