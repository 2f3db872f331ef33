/* A server of S3 with one bucket and in it at most one object, "p/k". */
#ifndef TESTS_FAKE_BUCKET_H
#define TESTS_FAKE_BUCKET_H

#include <stdatomic.h>

#include "support/fake_http.h"

extern struct fake_bucket { /* of the test and of the server's threads */
    atomic_int there, stored;
    atomic_size_t large;      /* not zero: the object is so large, and of zeros */
    atomic_int replace_after; /* so many ranges, and then another object is there */
    atomic_int touches;       /* of the object: each gives it another ETag */
    atomic_int touch_every;   /* ... one more after so many ranges, */
    atomic_int untouched;     /* ... of which these were */
    atomic_size_t copied;     /* bytes, in parts */
    atomic_int parts;       /* that were copied; a copy of more than 5 GiB in one step is refused */
    atomic_int cannot_copy; /* ... and of a range, too, as not implemented, */
    atomic_int full;        /* ... or as there is no room */
} fake_bucket;

fake_answer_fn fake_bucket_answer;

#endif
