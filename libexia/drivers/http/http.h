/* HTTP for drivers, by libcurl: several exchanges at once in the calling thread, each tried again while
 * that can help, all of them ended in the time of their job.
 *
 *     prepare -> request -> answer -> finish -> over, or prepare again
 *
 * Redirects are not followed: an answer of whatever status is the driver's to judge.  No signals, nothing
 * printed; https is verified.  Bodies are in memory: a driver sends and gets what is large in parts. */
#ifndef EXIA_DRIVERS_HTTP_HTTP_H
#define EXIA_DRIVERS_HTTP_HTTP_H

#include "base/buffer.h"
#include "exia/driver.h"

typedef struct exia__exchange exia__exchange;
struct exia__exchange {
    void *payload;

    /* Set method, url, headers, body and room for this attempt; called before each. */
    exia_status (*prepare)(exia__exchange *x, exia_error *err);

    /* Judge the answer.  EXIA_DONE: it is over.  EXIA_OK: prepare the next one.  EXIA_EUNAVAILABLE: it
     * may be tried again.  Else the whole run ends with that failure. */
    exia_status (*finish)(exia__exchange *x, exia_error *err);

    const char *method;
    exia__buffer url;
    const void *body; /* NULL: none */
    size_t body_size;
    size_t room; /* an answer's body of more bytes is refused */

    long status; /* of the answer */
    exia__buffer head, text;

    struct exia__attempt *attempt; /* http.c's own */
};

/* Add "name: value"; only in `prepare`. */
exia_status exia__exchange_header(exia__exchange *x, const char *name, const char *value,
                                  exia_error *err);
/* A header of the answer, in `out` of `size` bytes, cut if it is longer; "" when it is not there. */
void exia__exchange_answer(char *out, size_t size, const exia__exchange *x, const char *name);
/* Prepare and run anew another exchange of the run, which is over; only in `finish`. */
void exia__exchange_again(exia__exchange *x);
void exia__exchange_free(exia__exchange *x);

/* The connections to one server, kept from run to run.  Threads: any; runs of several threads at the
 * same time have connections of their own. */
typedef struct exia__http exia__http;
typedef struct exia__http_options {
    const char *shown;   /* "s3 http://host:9000": begins each error */
    const char *ca_file; /* NULL: the system's */
    uint64_t seed;       /* of the jitter; 0: any */
} exia__http_options;
exia_status exia__http_open(exia__http **out, const exia__http_options *options, exia_error *err);
void exia__http_free(exia__http *http);
void exia__http_abandon(exia__http *http); /* in a forked child: connections stay the parent's */

/* What is reported while a run goes on; the driver moves `done`. */
typedef struct exia__course {
    exia_work *work;
    const char *step;
    uint64_t done, total;
} exia__course;

/* Run all exchanges of the list to their ends, together.  On failure those under way are cut off. */
exia_status exia__http_run(exia__http *http, exia__exchange *const *list, size_t count,
                           exia__course *course, exia_error *err);

#endif
