/* What the tests of the model library share. */
#ifndef TESTS_MODELS_H
#define TESTS_MODELS_H

#include "support/check.h"

/* The library in check_path("library"). */
exia_library *open_library(void);
/* Publish one part "model" of these bytes; facts, alias may be NULL. */
int64_t write_model(exia_library *library, const char *name, const char *bytes, const char *facts,
                    const char *alias, int64_t expect);
/* All rows as one text, each ended by a line break; frees them.  Lives as long as the test. */
const char *rows_text(exia_rows *rows);
/* The rows of a search, cut to "name@version " each. */
const char *found(exia_library *library, const char *filter);
/* The version that a selector names; negative: the status. */
int64_t selected(exia_library *library, const char *selector);
/* The bytes of the only part. */
const char *bytes_of(exia_library *library, const char *selector);

#endif
