/* For authors of drivers: the two contracts behind which every store lies.  Not part of exia.h.
 *
 * Blobs are immutable bytes by key.  Records are JSON objects by kind and key, each with a revision.
 * One system is one `const exia_driver`; all its state lives behind `self`.  The library checks keys
 * and arguments before it calls, and every operation obeys `job`: timeouts, cancel, threads.
 * Threads: any; operations of one `self` may run at the same time.
 *
 * The keys of blobs are parts of [0-9a-z_][0-9a-z._-]* joined by '/', and none is a folder of
 * another.  The keys of records are parts of [0-9A-Za-z_][0-9A-Za-z._+#-]* joined by '/'; kinds are
 * [a-z]+. */
#ifndef EXIA_DRIVER_H
#define EXIA_DRIVER_H

#include "exia/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes to be stored.  Any range may be asked for again, so that a retry can start over. */
typedef struct exia_source {
    exia_status (*read)(void *into, uint64_t offset, size_t size, void *payload, exia_error *err);
    uint64_t size;
    const char *sha256; /* of all of it, in hex; may be handed to the server; NULL: not known */
    void *payload;
} exia_source;

/* What a driver calls with bytes, a blob or a record it found; what they point to is valid during
 * the call only.  A negative answer ends the operation with that status. */
typedef exia_status exia_sink_fn(const void *data, size_t size, void *payload, exia_error *err);
typedef exia_status exia_blob_fn(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                                 exia_error *err);
typedef exia_status exia_record_fn(const char *key, const char *json, int64_t revision,
                                   void *payload, exia_error *err);

/* Asked for the key of bytes that were all read; `*key` is valid until the operation returns.
 * @return EXIA_DONE: nothing is to be stored */
typedef exia_status exia_name_fn(const char **key, void *payload, exia_error *err);

/* A range of a blob to be that lies in another blob as well. */
typedef struct exia_piece {
    uint64_t at, size;
    const char *key; /* of the other one, where it lies */
    uint64_t offset;
} exia_piece;

#define EXIA_TAIL UINT64_MAX /* as an offset: the last `size` bytes, or all when there are fewer */

typedef struct exia_blobs_ops {
    size_t struct_size;

    /* Store a blob: visible whole or not at all, durable on EXIA_OK.  @return EXIA_EEXISTS: the key
     * is taken, and nothing was changed; the library compares */
    exia_status (*put)(void *self, const char *key, const exia_source *source, const exia_job *job,
                       exia_error *err);

    /* Hand the range to `sink` in order, in pieces of any size.  A range that ends behind the blob
     * ends with the blob; one that begins behind it is EXIA_EINVAL.  @return EXIA_ENOTFOUND */
    exia_status (*get)(void *self, const char *key, uint64_t offset, uint64_t size,
                       exia_sink_fn *sink, void *payload, const exia_job *job, exia_error *err);
    exia_status (*stat)(uint64_t *size, int64_t *modified_ms, void *self, const char *key,
                        const exia_job *job, exia_error *err);

    /* Keys that begin with `prefix`, in no order.  EXIA_DONE from `found` ends it with EXIA_OK. */
    exia_status (*list)(void *self, const char *prefix, exia_blob_fn *found, void *payload,
                        const exia_job *job, exia_error *err);

    /* Make it young again, before a record names it.  @return EXIA_ENOTFOUND: put it again */
    exia_status (*touch)(void *self, const char *key, const exia_job *job, exia_error *err);
    exia_status (*remove)(void *self, const char *key, const exia_job *job,
                          exia_error *err); /* absent is EXIA_OK */

    /* The clock of `modified_ms`: milliseconds since 1970. */
    exia_status (*now)(int64_t *ms, void *self, const exia_job *job, exia_error *err);

    /* Optional: the file that holds the blob, to be freed by the core's `release`. */
    exia_status (*local)(char **path, void *self, const char *key, exia_error *err);

    /* Optional: as `put`, for bytes of which the store has some already: the pieces, by `at`, not
     * overlapping and not empty, are copied from where they lie.  `source` has all bytes, so what is not
     * worth copying may be sent; `*copied` (not NULL) is how many were not.  Who can do so at little cost
     * compares what came of it with the source's `sha256`.
     *
     * @return EXIA_ENOTFOUND: a piece is not there (any more), EXIA_ECORRUPT: it is not what it was said
     * to be; nothing is stored, and the library puts all of it */
    exia_status (*compose)(void *self, const char *key, const exia_source *source,
                           const exia_piece *pieces, size_t count, uint64_t *copied,
                           const exia_job *job, exia_error *err);

    /* Optional: as `put`, for keys that are made of the bytes: `source` is read once and in order,
     * then `name` tells the key.  EXIA_DONE from it is EXIA_OK, and nothing is stored. */
    exia_status (*put_as)(void *self, const exia_source *source, exia_name_fn *name, void *payload,
                          const exia_job *job, exia_error *err);

    /* Optional: a URL at which whoever has it may read the blob for so many seconds, to be freed by
     * the core's `release`.  Whether the blob is there is not asked. */
    exia_status (*url)(char **url, void *self, const char *key, int64_t seconds, exia_error *err);

    /* Optional: as `put`, of a file that is the caller's alone, open for reading and writing as `fd`: the
     * file itself becomes the blob, and no byte is copied.  Nobody writes to it from then on; a name that
     * it has stays until the caller drops it.
     *
     * @return EXIA_EUNSUPPORTED: not this file, which may have another mode now; the library puts its bytes */
    exia_status (*adopt)(void *self, const char *key, int fd, const exia_job *job, exia_error *err);
} exia_blobs_ops;

typedef struct exia_put {
    const char *kind, *key, *json;
    int64_t expect;
    const char *token;
} exia_put;

/* What to seek among the records that have a `row`, an object, and an `age`, an integer.  A path is a
 * JSON pointer into the row ("/metrics/auc"); literals are JSON: a number, a text, true or false. */
typedef struct exia_range {
    const char *path;
    const char *low, *high; /* of one type; both may be met; NULL: no bound, of one of the two */
} exia_range;
typedef struct exia_seek {
    const char *kind, *prefix;
    const exia_range *ranges; /* all must hold */
    size_t range_count;
    const char *order; /* a path; NULL: the smallest age first */
    int descending;
    size_t limit; /* about so many will be taken; 0: all */
} exia_seek;
enum { EXIA_SEEK_TEXT = 64 }; /* bytes of a text that are always compared */

/* A read sees every write that returned before it began.  A revision is positive, compared for
 * equality only, and never returns, not even after a removal.  The token is kept beside the JSON. */
typedef struct exia_records_ops {
    size_t struct_size;

    /* @return EXIA_ENOTFOUND */
    exia_status (*get)(void *self, const char *kind, const char *key, exia_record_fn *found,
                       void *payload, const exia_job *job, exia_error *err);

    /* Write if it stands at `expect` (EXIA_ABSENT, EXIA_ANY or a revision), atomically against every
     * rival; durable on EXIA_OK.  A record that carries `token` already is EXIA_OK and unchanged.
     * NULL where the system cannot promise this: then only `append` is used.
     *
     * @return EXIA_ECONFLICT: it stands elsewhere */
    exia_status (*put)(int64_t *revision, void *self, const char *kind, const char *key,
                       const char *json, int64_t expect, const char *token, const exia_job *job,
                       exia_error *err);

    /* Add; readers may see doubles and rivals, which the core sorts out.  NULL where `put` is. */
    exia_status (*append)(void *self, const char *kind, const char *key, const char *json,
                          const char *token, const exia_job *job, exia_error *err);

    /* Absent is EXIA_OK, unless `expect` is a revision: then it is EXIA_ECONFLICT. */
    exia_status (*remove)(void *self, const char *kind, const char *key, int64_t expect,
                          const exia_job *job, exia_error *err);

    /* Optional: several puts as one step, all or none; makes writing cheaper and never means more.
     * When the first record carries its token already, this is the same call again, and those that
     * may stand anywhere are left as they are. */
    exia_status (*batch)(void *self, const exia_put *puts, size_t count, const exia_job *job,
                         exia_error *err);

    /* Keys with `prefix` behind `after` (NULL: all), in byte order, at most `limit` (0: all).
     * `filter` (NULL: none) is a hint: the core drops what is too much.  EXIA_DONE from `found` ends
     * it with EXIA_OK.  `found` may call the same store. */
    exia_status (*scan)(void *self, const char *kind, const char *prefix, const char *after,
                        size_t limit, const char *filter, exia_record_fn *found, void *payload,
                        const exia_job *job, exia_error *err);

    /* Optional: an index of the rows.  Tell the records of `kind` whose keys have `prefix` and for
     * which all ranges hold; one too many does no harm.  A range holds for a value of its own type.
     * Before the first one is told `*ordered` says whether they come in order: those that have a
     * number, a text or a boolean at `order`, in this order of types, each type from its smallest
     * value up or from its largest down, and no others; of equals, and with `order` NULL, by age.
     * Where few are found they may come as they are, and then all of them.  EXIA_DONE from `found`
     * ends it with EXIA_OK.  `found` may call the same store.  @return EXIA_EUNSUPPORTED: this store
     * has no index, and is scanned */
    exia_status (*seek)(int *ordered, void *self, const exia_seek *seek, exia_record_fn *found,
                        void *payload, const exia_job *job, exia_error *err);

    /* Optional, where writes become visible in the order of their revisions: tell the records of
     * `kind` that were written behind `revision` and are there still, in that order.  `*head` is a
     * revision up to which none is missing; all that is written from now on has a larger one.  Never
     * EXIA_DONE from `found`, which may call the same store. */
    exia_status (*since)(int64_t *head, void *self, const char *kind, int64_t revision,
                         exia_record_fn *found, void *payload, const exia_job *job,
                         exia_error *err);
} exia_records_ops;

/* How a store is opened.  READ: nothing is created or changed; what is not there is
 * EXIA_ENOTFOUND.  WRITE: what is not there is created. */
enum { EXIA_STORE_READ = 0, EXIA_STORE_WRITE = 1 };

/* One system, in one constant.  Grows at the end only. */
typedef struct exia_driver {
    size_t struct_size;
    const char *name, *schemes; /* "s3", "s3+http s3+https" */
    exia_status (*open)(void **self, const char *url, int mode, const exia_job *job,
                        exia_error *err);
    void (*close)(void *self);
    void (*abandon)(void *self); /* in a forked child: drop memory, touch no connection */

    /* Call `row` with key and value (a JSON value) of each thing worth knowing. */
    exia_status (*check)(void *self, exia_record_fn *row, void *payload, exia_error *err);
    const exia_blobs_ops *blobs; /* NULL: not offered */
    const exia_records_ops *records;
} exia_driver;

/* Make a driver known, for its schemes.  It is never unregistered.  Threads: any.
 *
 * @return EXIA_EEXISTS: a scheme is taken, EXIA_EINVAL: a required operation is missing
 */
EXIA_API exia_status exia_driver_register(const exia_driver *driver, exia_error *err);

/* ---- drivers in modules ---------------------------------------------------------------------
 *
 * What nothing built in serves is looked for in a module: the file exia_SYSTEM.so, where SYSTEM is the
 * scheme up to a '+', in the directories of EXIA_DRIVER_PATH (absolute, between ':'; such that nobody
 * else may write there), then in exia/ beside the library.  It is loaded when a URL first needs it and
 * never unloaded.  It needs no symbol of the library, so it need not be linked with it, and exports one:
 *
 *     EXIA_API exia_driver_entry_fn exia_driver_entry;
 *     const exia_driver *exia_driver_entry(const exia_core *core, exia_error *err)
 */

/* A URL taken apart: scheme://user:secret@host:port/path?name=value&name=value, decoded. */
typedef struct exia_url_option {
    const char *name, *value; /* "" where there is no '=' */
} exia_url_option;
typedef struct exia_url {
    const char *scheme, *host;      /* the host without the brackets of an IPv6 address */
    const char *user, *secret;      /* NULL where there is none */
    const char *path;               /* without the '/' behind the host; "" when there is none */
    int port;                       /* 0 where there is none */
    const exia_url_option *options; /* no name comes twice */
    size_t option_count;
    const char *shown; /* the URL as given, without the secret: for errors */
} exia_url;

/* A long call on its way: what its job allows, counted from its beginning. */
typedef struct exia_work exia_work;

/* A note that is told: `key` as it was put, without its scope. */
typedef exia_status exia_note_fn(const char *key, const char *text, void *payload, exia_error *err);

/* What a driver needs of the library; valid for ever.  A driver that was built with these headers
 * refuses a smaller `struct_size` than it knows.  What comes through ** is freed by `release`.
 * Threads: any. */
typedef struct exia_core {
    size_t struct_size;
    const char *(*version)(void);

    void *(*resize)(void *memory, size_t size); /* as realloc; NULL: out of memory */
    void (*release)(void *memory);

    /* Fill `err` (may be NULL) with a line and answer `status`. */
    exia_status (*fail)(exia_error *err, exia_status status, int32_t native, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));
    void (*log)(int level, const char *topic, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

    /* `step` reports about ten times a second.  @return EXIA_ECANCELLED, EXIA_ETIMEOUT */
    exia_status (*work_open)(exia_work **out, const exia_job *job, exia_error *err);
    exia_status (*work_step)(exia_work *work, const char *step, uint64_t done, uint64_t total,
                             exia_error *err);
    int64_t (*work_left)(const exia_work *work);  /* ms until its end; INT64_MAX: no end */
    int64_t (*work_stall)(const exia_work *work); /* ms that may pass without a byte */
    uint32_t (*work_threads)(const exia_work *work);
    int64_t (*clock_ms)(void); /* monotonic */
    int64_t (*now_ms)(void);   /* since 1970, UTC */

    /* Strict: what is not as above is EXIA_EINVAL, and the secret is in no error. */
    exia_status (*url_open)(exia_url **out, const char *url, exia_error *err);
    /* All but letters, digits, "-._~" and the characters of `keep` become %XX. */
    exia_status (*percent_encode)(char **out, const char *text, const char *keep, exia_error *err);
    exia_status (*percent_decode)(char **out, const char *text, exia_error *err);

    exia_status (*token)(char token[33], exia_error *err); /* 128 random bits in hex */

    /* For `check`: call `row` with a text as its value. */
    exia_status (*tell_text)(exia_record_fn *row, void *payload, const char *key, const char *text,
                             exia_error *err);

    /* Small texts, each a line of UTF-8, that outlive the process, in journal.db of the user's home of Exia: how to
     * go on after a crash.  Scope and key are keys of records; durable on EXIA_OK.  `get` of what is
     * not there is EXIA_ENOTFOUND; EXIA_DONE from `found` ends a listing with EXIA_OK. */
    exia_status (*note_put)(const char *scope, const char *key, const char *text, exia_error *err);
    exia_status (*note_get)(char **out, const char *scope, const char *key, exia_error *err);
    exia_status (*note_remove)(const char *scope, const char *key, exia_error *err);
    exia_status (*note_list)(const char *scope, exia_note_fn *found, void *payload,
                             exia_error *err);
} exia_core;

/* Give the driver, all of whose schemes are the system's, or NULL with `err` filled: then the next URL
 * asks again.  The driver and what it points to stay. */
typedef const exia_driver *exia_driver_entry_fn(const exia_core *core, exia_error *err);

#ifdef __cplusplus
}
#endif
#endif
