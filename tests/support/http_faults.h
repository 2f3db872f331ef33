/* Faults between a client and a server of HTTP, be it made up by the test or real: see fake_http.h. */
#ifndef TESTS_HTTP_FAULTS_H
#define TESTS_HTTP_FAULTS_H

#include "support/fake_http.h"

typedef enum fault {
    NONE,
    DROP_REQUEST, /* the connection ends before anything is done */
    CUT_REQUEST,  /* ... when so many bytes of the request came through */
    DROP_REPLY,   /* ... and when all is done */
    CUT_REPLY,    /* ... after so many bytes of the reply */
    GARBAGE,      /* the reply is no HTTP */
    GARBLE,       /* one byte of the reply is another */
    TWICE,        /* the reply comes twice */
    LATE,         /* ... after a twentieth of a second */
    DRIP,         /* ... by and by */
    HANG,         /* ... never */
    SAY_500,
    SAY_503,
    SAY_503_AFTER, /* with Retry-After */
    SAY_429,
    REDIRECT,
    EMPTY,   /* 200 and nothing */
    FOREIGN, /* 200 and a page for people */
    FAULTS
} fault;

/* Begin to listen in front of `server`; answers the port.  End it by fake_stop. */
int faults_start(fake_answer_fn *server, void *payload);
/* Hit the next `count` requests; `at` is the byte, where one is meant. */
void faults_plan(fault what, long count, size_t at);
void faults_plan_after(fault what, long spared, long count, size_t at);
/* Call `act` when the server got the request that comes `number`th from now, or just before; then its
 * connection ends. */
void faults_act(void (*act)(void), long number, int before);
long faults_requests(void); /* that came since the start */
size_t faults_reply(void);  /* the size of the last reply, before it was spoilt */
size_t faults_request(void);

/* "<Error>" with this code, as S3 has it. */
void faults_say_error(fake_reply *out, const char *status, const char *headers, const char *code,
                      int no_body);

#endif
