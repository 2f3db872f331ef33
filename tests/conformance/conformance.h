/* What every driver must pass.  A driver's test file describes its system once and names the
 * contracts, and the tests of tests/conformance/ run in it:
 *
 *     const conformance_target conformance = {.name = "file", .url = make_url, ...};
 *     CONFORMS_TO(blobs);
 *
 * The suites lie in an archive, so that only the named ones are linked. */
#ifndef TESTS_CONFORMANCE_H
#define TESTS_CONFORMANCE_H

#include "store/store.h"
#include "support/check.h"

typedef struct conformance_target {
    const char *name;

    /* The URL of the store `place` of this test: empty at first, the same one at every call. */
    const char *(*url)(const char *place);

    /* Not zero: several processes may open one store at the same time. */
    int many_processes;

    /* Quirks: differences that the contracts allow. */
    int has_local;    /* blobs are local files */
    int has_create;   /* opening for writing makes the store, for reading it must be there */
    int64_t clock_ms; /* how coarse modification times are */
    int composes;     /* pieces of other blobs are copied */
    uint64_t part;    /* ... where they have so many bytes, and leave no less before them */
} conformance_target;

extern const conformance_target conformance;
#define CONFORMS_TO(contract)                                                                      \
    extern const char conformance_##contract;                                                      \
    const char *const conforms_to_##contract = &conformance_##contract

/* Run `work` in `count` processes forked before any of them opens the store; each ends with what
 * `work` answers, zero when all is well.  They start together. */
typedef int process_fn(int number, void *payload);
void check_processes(int count, process_fn *work, void *payload);

#endif
