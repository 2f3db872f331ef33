/* What the library makes of a forged package: whichever way it is read, the answer is the same, and
 * what is refused leaves nothing behind. */
#ifndef TESTS_FORGED_H
#define TESTS_FORGED_H

#include "support/check.h"
#include "support/forge.h"

/* Write the package to a file in the test's directory, which is in memory: the file's path. */
const char *forged_file(forge *f);
/* Open, verify and unpack a file. */
exia_status forged_use(const char *file);

/* Did an unpacking that was given up leave something beside the directory? */
int forged_staging_left(void);

/* Write the package, use it, and forget what was made of it: it may be spoilt anew.  With the
 * variable EXIA_FORGED, a directory, it is left there too, as TEST-NUMBER.veda, and a line of the
 * file `index` in it says what was expected: name, status, a piece of the text. */
#define check_refused(f, status, text) forged_check(f, status, text, __func__, __FILE__, __LINE__)
#define check_accepted(f) forged_check(f, EXIA_OK, "", __func__, __FILE__, __LINE__)
void forged_check(forge *f, exia_status expected, const char *text, const char *test,
                  const char *file, int line);

#endif
