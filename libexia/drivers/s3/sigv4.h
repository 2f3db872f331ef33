/* Signature Version 4 of AWS: who asks for what, and when, signed with a secret that is not sent. */
#ifndef EXIA_DRIVERS_S3_SIGV4_H
#define EXIA_DRIVERS_S3_SIGV4_H

#include "exia/common.h"

typedef struct exia__sigv4_header {
    const char *name, *value; /* the name in lower case, the value as it is sent */
} exia__sigv4_header;

typedef struct exia__sigv4 {
    const char *method, *path, *query; /* encoded; the query's parameters in order, each with '=' */
    const exia__sigv4_header *headers; /* to be signed, in any order; among them host */
    size_t header_count;
    const char *payload; /* SHA-256 of the body in hex */
    const char *time;    /* "20130524T000000Z" */
    const char *region, *service, *key, *secret;
} exia__sigv4;

/* The value of the header Authorization; free with exia__release. */
exia_status exia__sigv4_sign(char **out, const exia__sigv4 *request, exia_error *err);
/* The query of a request that is signed by it, and good for so many seconds: what the request's own query and
 * payload are does not matter.  `token` may be NULL. */
exia_status exia__sigv4_presign(char **query, const exia__sigv4 *request, int64_t seconds,
                                const char *token, exia_error *err);

#endif
