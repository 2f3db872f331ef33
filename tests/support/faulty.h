/* A driver that wraps another one, so that "faulty:sqlite:/x" is "sqlite:/x" whose nth call fails.
 * "plain:sqlite:/x" is the same without what is optional: no batch, no index, no since, no
 * put_as, no compose.
 * It shows what the modules above do when a store is lost before a call, or after it: then it was
 * done and only the answer is lost. */
#ifndef TESTS_FAULTY_H
#define TESTS_FAULTY_H

#include "exia.h"

typedef struct faulty_plan {
    long nth;           /* the operation that fails, from 1 on; 0: none */
    int after;          /* not zero: it is done first, and then its answer is lost */
    int for_ever;       /* not zero: all later ones fail too */
    exia_status status; /* what they fail with */
    long calls;         /* operations so far; those of opening and closing do not count */
    void (*instead)(void *payload); /* called where the nth would fail, which then does not: what
                                       it calls itself does not count, and it may plan anew */
    void *payload;
    int64_t skew_ms; /* how far the clock of blobs is ahead: what is stored or touched bears it */
} faulty_plan;
extern faulty_plan faulty; /* set it before the calls that shall fail; {0} fails nothing */

/* Make the scheme known; again is fine. */
void faulty_register(void);

#endif
