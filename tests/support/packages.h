/* Small packages, and two homes with a remote between them, for the tests of the registry. */
#ifndef TESTS_PACKAGES_H
#define TESTS_PACKAGES_H

#include "support/check.h"
#include "support/models.h"

/* Pack one code file that holds `content`; the file's path lives as long as the test.
 *
 * @param needs  dependencies as JSON texts, "\"other >= 1\""; NULL: none */
const char *pack_with(const char *name, const char *version, const char *tag, const char *needs,
                      const char *content);
const char *pack(const char *name, const char *version); /* for any platform, without needs */

/* The registry in check_path(NAME); closed by the caller. */
exia_registry *open_home(const char *name);
/* The same with a remote "prod" in check_path("remote"). */
exia_registry *open_home_with_remote(const char *name);

size_t rows_count(const char *text); /* of rows_text() */

const char *query(exia_registry *registry, const char *filter, const char *remote);
const char *installed(exia_registry *registry, const char *package);

#endif
