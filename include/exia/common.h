/* What every other header needs: version, status, error, log, memory, long calls, rows. */
#ifndef EXIA_COMMON_H
#define EXIA_COMMON_H

#ifndef EXIA_CDEF /* defined while other languages' declarations are made from these headers */
#include <stddef.h>
#include <stdint.h>
#endif
#if defined(__GNUC__) && !defined(EXIA_CDEF)
#define EXIA_API __attribute__((visibility("default")))
#else
#define EXIA_API
#endif
#ifdef __cplusplus
extern "C" {
#endif

#define EXIA_VERSION_MAJOR 0 /* of the headers; exia_version() is that of the library in use */
#define EXIA_VERSION_MINOR 1
#define EXIA_VERSION_PATCH 0

/* Every status once: name, value, text.  Values never change.  Named for what a caller can do. */
/* clang-format off */
#define EXIA_STATUS_LIST(X)                                             \
    X(EXIA_OK,             0, "done")                                   \
    X(EXIA_DONE,           1, "no more items")                          \
    X(EXIA_EINVAL,        -1, "an argument is not valid")               \
    X(EXIA_ENOMEM,        -2, "out of memory")                          \
    X(EXIA_ENOTFOUND,     -3, "there is no such thing")                 \
    X(EXIA_EEXISTS,       -4, "it exists already")                      \
    X(EXIA_ECONFLICT,     -5, "it changed meanwhile: read it again")    \
    X(EXIA_ECYCLE,        -6, "the graph has a cycle")                  \
    X(EXIA_ECORRUPT,      -7, "stored bytes are not what was written")  \
    X(EXIA_EUNTRUSTED,    -8, "the trust policy refuses it")            \
    X(EXIA_EVERSION,      -9, "written by a newer format")              \
    X(EXIA_EIO,          -10, "the system failed to read or write")     \
    X(EXIA_ENOSPACE,     -11, "no space is left")                       \
    X(EXIA_EDENIED,      -12, "permission or credentials are missing")  \
    X(EXIA_EUNAVAILABLE, -13, "the server cannot be reached")           \
    X(EXIA_ETIMEOUT,     -14, "the time allowed is over")               \
    X(EXIA_ECANCELLED,   -15, "the caller asked to stop")               \
    X(EXIA_EUNSUPPORTED, -16, "this store or build cannot do it")       \
    X(EXIA_ECLOSED,      -17, "closed, or opened before a fork")        \
    X(EXIA_EUSER,        -18, "a callback failed")
/* clang-format on */

typedef enum exia_status {
#define EXIA_STATUS_ENUM(name, value, text) name = value,
    EXIA_STATUS_LIST(EXIA_STATUS_ENUM)
#undef EXIA_STATUS_ENUM
        EXIA_STATUS_LAST = -255 /* leaves room */
} exia_status;

/* Why a call failed.  The caller's own; written at every failure and only then. */
typedef struct exia_error {
    exia_status status;
    int32_t native; /* errno, HTTP status ... of the layer below, or 0 */
    char text[240]; /* one line, no secrets, cut between characters */
} exia_error;

/* The version of the library in use, "0.1.0".  Threads: any. */
EXIA_API const char *exia_version(void);

/* What a status means, one line; for an unknown number a text that says so, never NULL.
 * Threads: any. */
EXIA_API const char *exia_status_text(exia_status status);

/* Free what came through a `char **out`.  Threads: any. */
EXIA_API void exia_text_free(char *text);

/* How far a long call has come: `done` of `total` (0: not known) in `step`'s unit.  Runs in the
 * calling thread about ten times a second, also when nothing moves; an answer other than zero ends
 * the call with EXIA_ECANCELLED. */
typedef int exia_progress_fn(const char *step, uint64_t done, uint64_t total, void *payload);

/* How a long call may work; NULL, or zero in a field, means the default. */
typedef struct exia_job {
    size_t struct_size;
    uint32_t threads;   /* 0: one a core */
    int64_t timeout_ms; /* the longest stall; 0: 30 s */
    int64_t total_ms;   /* the end of the call, from its start; 0: none */
    exia_progress_fn *progress;
    void *payload;
} exia_job;

/* What an operator should know: a retry, a fallback, a leaked loan.  Levels grow with weight. */
enum { EXIA_LOG_INFO = 1, EXIA_LOG_WARNING = 2, EXIA_LOG_ERROR = 3 };
typedef void exia_log_fn(int level, const char *topic, const char *text, void *payload);

/* Send the log to `log` (NULL: drop it, the default).  It is called from any thread and must not
 * call Exia.  Threads: setup only. */
EXIA_API void exia_log_set(exia_log_fn *log, void *payload);

/* Where Exia's own memory comes from; `resize(NULL, n)` allocates. */
typedef struct exia_allocator {
    void *(*resize)(void *memory, size_t size, void *payload);
    void (*release)(void *memory, void *payload);
    void *payload;
} exia_allocator;

/* Send Exia's own allocations (not those of SQLite, jansson ...) to `allocator`; NULL: back to the
 * C library.  Memory must not cross the change: call it before anything else.
 * Threads: setup only. */
EXIA_API exia_status exia_allocator_set(const exia_allocator *allocator, exia_error *err);

/* The answer to every listing: JSON objects, one after the other. */
typedef struct exia_rows exia_rows;

/* The next row.
 *
 * @param[out] row  one JSON object; valid until the next call
 * @return EXIA_DONE after the last one
 */
EXIA_API exia_status exia_rows_next(const char **row, exia_rows *rows, exia_error *err);
EXIA_API void exia_rows_free(exia_rows *rows);

/* What must stand for a write to happen; a positive number: exactly this version or revision. */
enum { EXIA_ANY = -1, EXIA_ABSENT = 0 };

#ifdef __cplusplus
}
#endif
#endif
