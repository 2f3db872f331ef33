/* What the files of the s3 driver share. */
#ifndef EXIA_DRIVERS_S3_S3_H
#define EXIA_DRIVERS_S3_S3_H

#include <stdatomic.h>

#include "base/hash.h"
#include "drivers/http/given.h"
#include "drivers/http/http.h"

typedef struct exia__s3 {
    exia__http *http;
    char *shown;                         /* "s3 http://host:9000/bucket" */
    char *endpoint;                      /* "http://host:9000" */
    char *host;                          /* "host:9000" */
    char *bucket, *prefix;               /* the prefix is empty, or ends in '/' */
    char *region, *key, *secret, *token; /* token: NULL for keys that last */
    char *authorities;                   /* file of certificates; NULL: the system's */
    int mode;
    atomic_int create_only; /* does the server keep "If-None-Match: *"? 1 yes, -1 no, 0 not known */
} exia__s3;

/* ---- s3_keys.c: the secret, the region ------------------------------------------------------- */

/* From the URL, else the environment, else the shared credentials file. */
exia_status exia__s3_keys(exia__s3 *self, const exia_url *url, exia_error *err);

/* ---- s3_call.c: one request ------------------------------------------------------------------ */

enum { EXIA__S3_EXTRAS = 8, EXIA__S3_SMALL = 2 << 20 /* an answer that is XML */ };

typedef struct exia__s3_call {
    exia__exchange x; /* its payload is the call */
    exia__s3 *self;
    const char *what; /* "put": for errors */
    const char *method;
    char *path;  /* encoded */
    char *query; /* in canonical order, "" for none */
    struct {
        const char *name;
        char *value;
    } extras[EXIA__S3_EXTRAS];
    size_t extra_count;
    const void *body;
    size_t body_size;
    char sha256[EXIA__HEX_SIZE]; /* of the body */
    size_t room;

    /* NULL: a status of 2xx is all.  Else what the driver makes of the answer, as `finish`. */
    exia_status (*answered)(struct exia__s3_call *call, exia_error *err);
    void *payload;
} exia__s3_call;

/* Begin to describe a request on `key` (NULL: on the bucket), and then free it in any case. */
exia_status exia__s3_call_open(exia__s3_call *call, exia__s3 *self, const char *what,
                               const char *method, const char *key, exia_error *err);
/* Parameters encoded, in order, each with its '='. */
exia_status exia__s3_call_query(exia__s3_call *call, exia_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Names in lower case; all are signed. */
exia_status exia__s3_call_header(exia__s3_call *call, const char *name, exia_error *err,
                                 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A borrowed body; hashed here. */
exia_status exia__s3_call_body(exia__s3_call *call, const void *body, size_t size, exia_error *err);
/* The failure that the answer tells. */
exia_status exia__s3_call_failed(const exia__s3_call *call, exia_error *err);
/* Without headers of its own again, to become another request. */
void exia__s3_call_bare(exia__s3_call *call);
/* As `answered`, where a failure may come in the body of a 200. */
exia_status exia__s3_call_checked(exia__s3_call *call, exia_error *err);
void exia__s3_call_free(exia__s3_call *call);
/* Set it up as an exchange, for a run of several; the call must stay where it is. */
void exia__s3_call_ready(exia__s3_call *call);
/* Run one call by itself. */
exia_status exia__s3_call_run(exia__s3_call *call, exia_work *work, const char *step,
                              exia_error *err);

/* "/bucket/prefix+key", encoded. */
exia_status exia__s3_path(char **out, const exia__s3 *self, const char *key, exia_error *err);
enum { EXIA__S3_NOW_SIZE = 32 };
void exia__s3_now(char out[EXIA__S3_NOW_SIZE]); /* "20260131T235959Z" */
/* Milliseconds since 1970 of "Sat, 31 Jan 2026 23:59:59 GMT"; -1: it is none. */
int64_t exia__s3_time(const char *date);

/* ---- s3_xml.c -------------------------------------------------------------------------------- */

/* Call `element` with each element's name and text (without that of its children) as it ends.
 * @return EXIA_ECORRUPT: it is not well-formed */
typedef exia_status exia__s3_element_fn(const char *name, const char *text, void *payload,
                                        exia_error *err);
exia_status exia__s3_xml(const char *text, size_t size, exia__s3_element_fn *element, void *payload,
                         exia_error *err);

/* How blobs are cut: what is larger than LARGE goes in parts, WIDTH of them at once, in memory; it is read by
 * ranges of PART. */
enum { EXIA__S3_PART = 8 << 20, EXIA__S3_LARGE = 16 << 20, EXIA__S3_WIDTH = 4 };

/* ---- the operations -------------------------------------------------------------------------- */

exia_status exia__s3_put(void *self, const char *key, const exia_source *source,
                         const exia_job *job, exia_error *err);
exia_status exia__s3_compose(void *self, const char *key, const exia_source *source,
                             const exia_piece *pieces, size_t count, uint64_t *copied,
                             const exia_job *job, exia_error *err);
exia_status exia__s3_touch(void *self, const char *key, const exia_job *job, exia_error *err);
exia_status exia__s3_get(void *self, const char *key, uint64_t offset, uint64_t size,
                         exia_sink_fn *sink, void *payload, const exia_job *job, exia_error *err);
exia_status exia__s3_list(void *self, const char *prefix, exia_blob_fn *found, void *payload,
                          const exia_job *job, exia_error *err);

/* What HEAD tells; `etag` may be NULL.  @return EXIA_ENOTFOUND */
enum { EXIA__S3_ETAG_SIZE = 160 };
exia_status exia__s3_look(uint64_t *size, int64_t *modified_ms, char etag[EXIA__S3_ETAG_SIZE],
                          exia__s3 *self, const char *key, exia_work *work, exia_error *err);
exia_status exia__s3_writable(const exia__s3 *self, const char *key, exia_error *err);
exia_status exia__s3_taken(const exia__s3 *self, const char *key,
                           exia_error *err); /* EXIA_EEXISTS */
/* A note's key for what `text` and this bucket name. */
exia_status exia__s3_note_key(char hex[EXIA__HEX_SIZE], const exia__s3 *self, const char *text,
                              exia_error *err);
/* Does the server keep "If-None-Match: *"?  Tried once with a blob that no key names, and remembered. */
exia_status exia__s3_probe(exia__s3 *self, exia_work *work, exia_error *err);
int exia__s3_probed(const exia__s3 *self); /* 1: it was found to, as a note tells; else 0 */

#endif
