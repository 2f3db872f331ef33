/* What is fuzzed: each target takes any bytes, and ends the process when the library breaks a promise.
 * libFuzzer runs them (`make fuzz`), and the C tests run them over the kept corpus. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "exia/common.h"

typedef void fuzz_run(const uint8_t *data, size_t size);
fuzz_run fuzz_index, fuzz_manifest, fuzz_package, fuzz_record, fuzz_version;

/* A package with one thing changed and, mostly, all digests, sizes and indexes made right again.
 * Changed in place; @return the new size, at most `most` */
size_t fuzz_package_mutate(uint8_t *data, size_t size, size_t most, unsigned seed);

/* A promise: `what` is printed when it is broken. */
#define FUZZ_CHECK(good) fuzz_check(!!(good), #good, __FILE__, __LINE__)
void fuzz_check(int good, const char *what, const char *file, int line);
/* A failure filled its error with one line; a success left it alone. */
void fuzz_check_error(exia_status rc, const exia_error *err);
/* A copy with a NUL behind it, so that a read past the end is seen; freed with free(). */
char *fuzz_copy(const uint8_t *data, size_t size);

#endif
