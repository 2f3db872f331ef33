/* The model library as its own files see it.
 *
 *     log (records NAME/log/SEQ)  --exia__library_refresh-->  fold (head, aliases, what was removed)
 *     an intent  --exia__library_commit-->  one more entry, put absent at the next SEQ
 *
 * The log is the truth.  A fold is the state of one model as the log's entries left it, and small: of
 * its versions it knows only which are there.  Two kinds of records are derived from the log, so that
 * nobody has to read it from the beginning: `model`/NAME, a fold, and `version`/NAME/NUMBER, a row and
 * where in the log it stands.  A store with batches gets them in one step with the entry; elsewhere
 * they may lag, and whoever finds entries behind the fold that is stored writes what they changed. */
#ifndef EXIA_MODEL_LIBRARY_H
#define EXIA_MODEL_LIBRARY_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/job.h"
#include "base/json.h"
#include "base/rows.h"
#include "exia/model.h"
#include "store/filter.h"
#include "store/store.h"

enum {
    EXIA__TOKENS_KEPT = 1000,    /* a repeated call is known for so many entries */
    EXIA__INLINE_LIMIT = 16384,  /* bytes of parts inside one log entry */
    EXIA__PARTS_LIMIT = 1000,    /* of a version: each one open holds an fd */
    EXIA__FACTS_LIMIT = 1 << 20, /* bytes of facts; more belongs into a part */
    EXIA__RECENT = 64,           /* versions kept in memory as they were opened last */
    EXIA__SEEN = 256,            /* rows kept in memory as they were found last */
    EXIA__KEY_SIZE = 128 + sizeof "/log/" + 20
};

/* ---- fold.c: the state of one model --------------------------------------------------------- */

typedef struct exia__alias {
    char *name;
    int64_t seq, version; /* the move it stands by, and where: 0 is nowhere */
    int64_t below, under; /* the move that a rollback brings back, 0: none, and where that led */
    int guarded;          /* it moves only for who says where it stands and why */
} exia__alias;

typedef struct exia__done {
    int64_t seq;
    char *token;
    const char *verb;
    int64_t result; /* the version that the call answered */
} exia__done;

typedef struct exia__run {
    int64_t first, last;
} exia__run;

typedef struct exia__fold {
    char *name;
    int64_t head;               /* the SEQ of the last entry applied; 0: there is no such model */
    char time[EXIA__TIME_SIZE]; /* that entry's */
    int64_t highest;            /* the last version published */
    exia__run *removed;         /* the numbers of those that are gone, ascending */
    size_t removed_count, removed_capacity;
    exia__alias *aliases; /* in the order in which they came to where they stand */
    size_t alias_count, alias_capacity;
    int64_t kept;     /* the head that `model`/NAME is known to have */
    json_t *changed;  /* number -> the `version` record that entries behind `kept` left */
    exia__done *done; /* by SEQ; every entry from `known` on, or the last thousand of them */
    size_t done_count, done_capacity;
    int64_t known;
    int64_t origin_head, foreign; /* read when the head stood there: the versions from elsewhere */
} exia__fold;

exia_status exia__fold_open(exia__fold **out, const char *name, exia_error *err);
/* The same state, without what it knows of tokens. */
exia_status exia__fold_copy(exia__fold **out, const exia__fold *fold, exia_error *err);
void exia__fold_clear(exia__fold *fold); /* as it was opened */
void exia__fold_free(exia__fold *fold);

exia_status exia__fold_missing(const exia__fold *fold, exia_error *err); /* head 0: ENOTFOUND */
int exia__fold_has(const exia__fold *fold, int64_t number); /* written, and not removed */
/* The newest version that is there but `back`; 0: there are not so many. */
int64_t exia__fold_latest(const exia__fold *fold, int64_t back);
int64_t exia__fold_count(const exia__fold *fold); /* versions that are there */
/* Take a version that is there out. */
exia_status exia__fold_remove(exia__fold *fold, int64_t number, exia_error *err);
/* NULL: never set.  Borrowed until the fold changes. */
const exia__alias *exia__fold_alias(const exia__fold *fold, const char *name);
/* Let the alias stand by another move; a new one is made.  One that is known stays guarded or not. */
exia_status exia__fold_set(exia__fold *fold, const char *name, const exia__alias *stands,
                           exia_error *err);
void exia__fold_guard(exia__fold *fold, const char *name, int on);
int64_t exia__alias_version(const exia__alias *alias); /* 0: nowhere; `alias` may be NULL */
/* The names of those that stand on a version. */
exia_status exia__fold_aliases(json_t **out, const exia__fold *fold, int64_t number,
                               exia_error *err);

/* The entry `seq` is the next one, and carries this token. */
exia_status exia__fold_remember(exia__fold *fold, int64_t seq, const char *token, const char *verb,
                                int64_t result, exia_error *err);
const exia__done *exia__fold_done(const exia__fold *fold, const char *token);

/* ---- apply.c -------------------------------------------------------------------------------- */

/* Apply the entry behind `head`.  On failure the fold is empty again.
 * @return EXIA_ECORRUPT, EXIA_EVERSION, EXIA_ENOMEM, what the store says */
exia_status exia__fold_apply(exia__fold *fold, exia_library *library, json_t *entry,
                             exia_error *err);
/* What an entry did and what its call answered; `*verb` is a constant.  @return EXIA_EVERSION */
exia_status exia__entry_result(const char **verb, int64_t *result, const json_t *entry,
                               exia_error *err);
/* What every entry says: its format, what was done, by whom, and when, not before the time `before`.
 * @return EXIA_ECORRUPT, EXIA_EVERSION */
exia_status exia__entry_check(const json_t *entry, const char *before, exia_error *err);
/* The milliseconds of an entry's time; EXIA_ECORRUPT: it is none. */
exia_status exia__entry_time(int64_t *ms, const char *time, exia_error *err);

/* ---- derived.c ------------------------------------------------------------------------------ */

void exia__version_key(char out[EXIA__KEY_SIZE], const char *name, int64_t number);
/* Fill an empty fold from `model`/NAME; it stays empty where that is not there or no use. */
exia_status exia__derived_load(exia__fold *fold, exia_library *library, exia_error *err);
/* Is its `model` record ahead of the fold by so much that it is better taken? */
exia_status exia__derived_jump(int *jumped, exia__fold *fold, exia_library *library,
                               exia_error *err);
/* The `version` record: changed, or from the store.  @return EXIA_ENOTFOUND, EXIA_ECORRUPT */
exia_status exia__derived_version(json_t **out, exia_library *library, const exia__fold *fold,
                                  int64_t number, exia_error *err);
/* Check one as it comes from the store; takes no reference. */
exia_status exia__derived_check(const json_t *record, const char *key, exia_error *err);
/* Write what the store lacks.  Only EXIA_ENOMEM is a failure: what could not be written is known
 * here, and the next one tries again. */
exia_status exia__derived_write(exia__fold *fold, exia_library *library, exia_error *err);
/* The puts that bring the store from `kept` to the fold's head; each text is to be freed. */
typedef struct exia__puts {
    exia_put *items;
    size_t count, capacity;
} exia__puts;
exia_status exia__derived_puts(exia__puts *puts, const exia__fold *fold, exia_error *err);
exia_status exia__puts_add(exia__puts *puts, const char *kind, const char *key, const json_t *json,
                           int64_t expect, const char *token, exia_error *err);
void exia__puts_free(exia__puts *puts);
/* What was written with the entry: nothing is left to be. */
void exia__derived_kept(exia__fold *fold);

/* ---- version.c ------------------------------------------------------------------------------ */

typedef struct exia__version {
    char *name; /* NULL: a free place */
    int64_t number;
    json_t *row;        /* as a search shows it, but for the aliases */
    json_t *parts;      /* as the log has them, with key or inline; never changed */
    json_t *signatures; /* {signature, library} of `sign` entries; NULL: none; never changed */
    json_t *origin;     /* where it was made; NULL: here; never changed */
    char *text;         /* the row with the aliases of `head`; NULL: not made yet */
    int64_t head;
} exia__version;

/* A version that the fold has; call it locked, borrowed until the lock is given back. */
exia_status exia__version_get(exia__version **out, exia_library *library, exia__fold *fold,
                              int64_t number, exia_error *err);
exia_status exia__version_text(exia__version *version, const exia__fold *fold, exia_error *err);
/* Forget what is kept of it; number 0: of all versions of the name, name NULL: all. */
void exia__version_forget(exia_library *library, const char *name, int64_t number);
/* `parts` with the keys of a repair: a new list.  @return EXIA_ECORRUPT: it names no such part */
exia_status exia__parts_repair(json_t **out, const json_t *parts, const json_t *repairs,
                               exia_error *err);

/* ---- seen.c --------------------------------------------------------------------------------- */

typedef struct exia__seen {
    char *json;   /* the record; NULL: a free place */
    json_t *row;  /* parsed from it */
    char *shown;  /* the row with its aliases at `head`, written */
    int64_t head; /* 0: not written yet */
} exia__seen;

/* The row of a `version` record, NULL where it was removed; never changed, to be dropped. */
exia_status exia__seen_row(json_t **row, exia_library *library, const char *key, const char *json,
                           exia_error *err);
/* Add a row with its aliases; the fold is that of its model.  Call it locked. */
exia_status exia__seen_show(exia_rows *rows, exia_library *library, const json_t *row,
                            const exia__fold *fold, exia_error *err);
json_t *exia__seen_keep(exia_library *library, json_t *row); /* one reference more */
void exia__seen_drop(exia_library *library, json_t *row);    /* and one less; NULL is fine */
void exia__seen_free(exia_library *library);

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
    pthread_mutex_t mutex; /* over the folds and what is recent */
    int has_mutex, read_only;
    unsigned generation;
    exia__fold **folds;
    size_t fold_count;
    json_t *fold_index; /* name -> position */
    exia__version recent[EXIA__RECENT];
    pthread_mutex_t seen_mutex; /* over what was seen, also while the other is held */
    exia__seen seen[EXIA__SEEN];
    int complete; /* every log has its derived records: a search may trust them */
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
/* The entries up to `last`, which a fold has seen and found good.  EXIA_DONE from `found` ends it. */
typedef exia_status exia__entry_fn(int64_t seq, const json_t *entry, void *payload,
                                   exia_error *err);
exia_status exia__log_scan(exia_library *library, const char *name, int64_t last,
                           exia__entry_fn *found, void *payload, exia_error *err);
/* Only those in whose text the word stands. */
exia_status exia__log_look(exia_library *library, const char *name, int64_t last, const char *word,
                           exia__entry_fn *found, void *payload, exia_error *err);
/* One entry; EXIA_ECORRUPT when it is not there. */
exia_status exia__log_read(json_t **out, exia_library *library, const char *name, int64_t seq,
                           exia_error *err);
/* Is there such an entry? */
exia_status exia__log_has(int *out, exia_library *library, const char *name, int64_t seq,
                          exia_error *err);
/* The call that carried this token, among the entries from `from` on and the last thousand; NULL:
 * none. */
exia_status exia__log_done(const exia__done **out, exia_library *library, exia__fold *fold,
                           const char *token, int64_t from, exia_error *err);

/* ---- commit.c ------------------------------------------------------------------------------- */

/* What an intent does to the state it finds: check the expectations, then add `version` and `moves`
 * to `entry` and say what the call answers.  EXIA_DONE: nothing is to be done, and that is success.
 * Called again with what the winner left when a SEQ was lost. */
typedef exia_status exia__intent_fn(json_t *entry, int64_t *result, exia__fold *fold, void *payload,
                                    exia_error *err);
typedef struct exia__intent {
    const char *verb, *token, *message;
    int given; /* the token is the caller's: the call may have been done before */
    exia__intent_fn *build;
    void *payload;
    const exia_job *job;
} exia__intent;
exia_status exia__library_commit(int64_t *result, exia_library *library, const char *name,
                                 const exia__intent *intent, exia_error *err);
/* Was the store lost, so that a commit may have been done all the same? */
int exia__store_lost(exia_status rc);
/* ---- search.c ------------------------------------------------------------------------------- */

/* Bring what a search of all models finds up to date; call it locked. */
exia_status exia__library_complete(exia_library *library, exia_error *err);
/* The rows of one model that a filter selects, in its order, without aliases; the fold is up to date.
 * The filter asks for name = 'NAME' too. */
typedef exia_status exia__row_fn(const json_t *row, void *payload, exia_error *err);
exia_status exia__search_model(exia_library *library, const exia__fold *fold,
                               const exia__filter *filter, exia__row_fn *show, void *payload,
                               exia_error *err);

/* ---- history.c ------------------------------------------------------------------------------ */

/* Where the alias stood at a time: `*version` 0 is nowhere.  @return EXIA_EINVAL: no time,
 * EXIA_ENOTFOUND: it was set later */
exia_status exia__alias_at(int64_t *version, exia_library *library, const char *name,
                           const char *alias, const char *time, exia_error *err);

/* ---- alias.c -------------------------------------------------------------------------------- */

exia_status exia__alias_check(const char *alias, exia_error *err);
/* Add the move of `alias` to `to` to the entry, whose `why` is there, if it stands at `expect`. */
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
                                   exia_library *library, exia__fold *fold, exia_error *err);
void exia__selector_free(exia__selector *selector);

/* ---- blob.c --------------------------------------------------------------------------------- */

/* Make sure that a blob with these bytes is there, durable and young; `*key` is its name.
 * @return what the source said, EXIA_ECORRUPT ... */
exia_status exia__blob_store(char **key, exia_library *library, const exia_source *source,
                             const exia_job *job, exia_error *err);
/* The same where the digest is not known yet: `sha256` gets it.  `likely` (or NULL) is a blob that may
 * have the same bytes: if it looks so, they are hashed before anything is written.
 * @return EXIA_ECONFLICT: the bytes changed between two readings, where two were needed */
exia_status exia__blob_take(char **key, char sha256[EXIA__HEX_SIZE], exia_library *library,
                            const exia_source *source, const char *likely, exia__work *work,
                            exia_error *err);
/* As exia__blob_store, at any key but this one, whose bytes are known to be others. */
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

/* ---- hashed.c ------------------------------------------------------------------------------- */

/* A source around another one, which it borrows: what a store reads in order from the beginning is
 * hashed on the way, with more than one thread beside the store's own work.  Where that other one
 * has a digest, reading its last byte is EXIA_ECONFLICT if the bytes have not. */
typedef struct exia__hasher exia__hasher;
typedef struct exia__hashed {
    const exia_source *source;
    exia__hash *hash;
    exia__hasher *hasher;
    uint64_t next; /* hashed so far */
} exia__hashed;
exia_status exia__hashed_open(exia__hashed *out, const exia_source *source, uint32_t threads,
                              exia_error *err);
exia_source exia__hashed_source(exia__hashed *hashed);
/* @return EXIA_EINVAL: it was not read to its end, once and in order */
exia_status exia__hashed_end(char hex[EXIA__HEX_SIZE], exia__hashed *hashed, exia_error *err);
void exia__hashed_free(exia__hashed *hashed);
/* Read it all, for its digest. */
exia_status exia__source_digest(char hex[EXIA__HEX_SIZE], const exia_source *source,
                                exia__work *work, exia_error *err);

/* ---- part.c --------------------------------------------------------------------------------- */

/* Make a part durable; `*out` is its member of the log entry.  `within`: inside the entry.  `library`
 * NULL: store nothing, only describe it.  `likely`: as for exia__blob_take.
 * @return EXIA_ECONFLICT: the file changed while it was read */
exia_status exia__part_store(json_t **out, exia_library *library, const exia_part *part, int within,
                             const char *likely, exia__work *work, exia_error *err);
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
    size_t size, mapped;              /* mapped: bytes to unmap, or 0 */
    int writable;                     /* not zero: `data` may be written to */
    void *memory;                     /* our own, where it is not mapped */
    char *path;                       /* NULL: no local file */
    int fd, cached;                   /* cached: a file that only this user can have written */
    int compared;                     /* its bytes, in our own memory, with the digest */
    _Atomic(exia__tensors *) tensors; /* the header, once somebody asked */
} exia__open_part;

/* Each fills `data` of a part whose size and digest are set; what fails is closed all the same. */
exia_status exia__part_from_file(exia__open_part *part, const char *path, unsigned flags,
                                 exia_error *err);
exia_status exia__part_from_blob(exia__open_part *part, exia__blobs *blobs, const char *key,
                                 unsigned flags, const exia__work *work, exia_error *err);
exia_status exia__part_from_text(exia__open_part *part, const char *base64, unsigned flags,
                                 exia_error *err);
void exia__part_close(exia__open_part *part);

/* ---- open.c --------------------------------------------------------------------------------- */

struct exia_model {
    char *facts, *policy, *trust_file;
    char *library;       /* its id, where the version lies or was exported; NULL: not known */
    int at_home;         /* it was written there: what was signed elsewhere is not of it */
    json_t *parts;       /* as the log has them */
    json_t *signatures;  /* {signature, library}; NULL: none */
    json_t *environment; /* the digest of a blob, an object, or null */
    exia__blobs *blobs;  /* NULL: a plain directory */
    exia__open_part *part;
    size_t part_count;
};

exia_status exia__open_flags(unsigned flags, exia_error *err);
/* A model whose parts are named and not yet open. */
exia_status exia__model_new(exia_model **out, json_t *parts, exia_error *err);
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

/* ---- sign.c --------------------------------------------------------------------------------- */

/* Whether an entry, or what an export has of it, holds a signature: a text, and the id of the library in
 * which it was made. */
int exia__signature_valid(const json_t *holder);
/* That as an object of its own, at the end of the array `*all`, which may be NULL. */
exia_status exia__signature_add(json_t **all, const json_t *holder, exia_error *err);
/* Settle what a pickle in it may do, by the signatures and by which parts were compared with their
 * digests; call it last.  `why` NULL: only this user can have written it.
 * @return EXIA_EUNTRUSTED: it is not what was signed */
exia_status exia__model_policy_set(exia_model *model, const char *why, const char *trust_file,
                                   exia_error *err);

/* ---- tensors.c ------------------------------------------------------------------------------ */

void exia__tensors_free(exia__tensors *tensors);

#endif
