/* What the tests of the model library share. */
#ifndef TESTS_MODELS_H
#define TESTS_MODELS_H

#include "support/check.h"

/* The library in check_path("library"). */
exia_library *open_library(void);
/* A directory of its own for each call, in memory: the many syncs cost nothing. */
const char *fresh_folder(void);
/* The library in `folder`, made when it is not there, by way of support/faulty.h. */
exia_library *open_faulty(const char *folder);
/* Publish one part "model" of these bytes; facts, alias may be NULL. */
int64_t write_model(exia_library *library, const char *name, const char *bytes, const char *facts,
                    const char *alias, int64_t expect);
/* All rows as one text, each ended by a line break; frees them.  Lives as long as the test. */
const char *rows_text(exia_rows *rows);
/* The rows of a search, cut to "name@version " each. */
const char *found(exia_library *library, const char *filter);
/* The version that a selector names; negative: the status. */
int64_t selected(exia_library *library, const char *selector);
/* How many blobs of parts and environments open_library() has. */
size_t count_blobs(void);
/* The bytes of the only part. */
const char *bytes_of(exia_library *library, const char *selector);

#endif
