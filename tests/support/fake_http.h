/* A server of HTTP in a thread of the test, whose answers and faults the test makes up. */
#ifndef TESTS_FAKE_HTTP_H
#define TESTS_FAKE_HTTP_H

#include <stddef.h>

typedef struct fake_request {
    char method[8], target[2048];
    const char *head; /* all of it, with a NUL */
    const char *body;
    size_t body_size;
    size_t cut;  /* so much of it comes through, of head and body; SIZE_MAX: all */
    long number; /* from 1 on, since the start */
} fake_request;

/* What goes back: `text`, or its first `cut` bytes and then the connection ends. */
typedef struct fake_reply {
    char *text; /* of malloc; NULL: the connection ends without a byte */
    size_t size, cut;
    int close, hang; /* hang: say nothing until the client goes away */
    int delay_ms,
        drip; /* before the first byte; after each `drip` bytes, a hundredth of a second */
} fake_reply;

/* Called for one request at a time. */
typedef void fake_answer_fn(fake_reply *out, const fake_request *request, void *payload);

/* Begin to listen on 127.0.0.1; answers the port. */
int fake_start(fake_answer_fn *answer, void *payload);
void fake_stop(void);
/* Does the request have this header with this value (NULL: any)? */
int fake_has(const fake_request *request, const char *name, const char *value);
/* As an answer: what the real server at the port `*(int *)payload` of 127.0.0.1 says to it. */
void fake_forward(fake_reply *out, const fake_request *request, void *payload);
/* Set the reply to a status line, headers (each with its "\r\n") and a body. */
void fake_say(fake_reply *out, const char *status, const char *headers, const void *body,
              size_t size, int no_body);

#endif
