/* A driver that wraps another one, so that "distant:file:/x" is "file:/x" without local files: what a
 * remote store looks like.  Its plan lies in memory that all processes of the test share. */
#ifndef TESTS_DISTANT_H
#define TESTS_DISTANT_H

#include <stdatomic.h>

#include "exia.h"

typedef struct distant_plan {
    atomic_long gets;   /* reads so far */
    atomic_ullong told; /* bytes told so far */
    atomic_ullong act;  /* once so many were told: `what` happens, once */
    enum { DISTANT_NOTHING, DISTANT_LOSE, DISTANT_DIE, DISTANT_HOLD } what;
    atomic_int held, go_on; /* HOLD: says `held`, and waits until `go_on` */
    int garbled;            /* each byte comes one larger */
} distant_plan;
extern distant_plan *distant; /* there once the driver is known */

/* Make the scheme known; again is fine.  The plan is empty then. */
void distant_register(void);

#endif
