/* Small packages, and two homes with a remote between them, for the tests of the registry. */
#ifndef TESTS_PACKAGES_H
#define TESTS_PACKAGES_H

#include "store/store.h"
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

/* A home with x@1.0 registered and pushed to the remote. */
exia_registry *open_publisher(void);
/* Pack and register what says its name and version. */
void add_package(exia_registry *registry, const char *name, const char *version, const char *needs);

size_t rows_count(const char *text); /* of rows_text() */
int has(const char *text, const char *part);

const char *query(exia_registry *registry, const char *filter, const char *remote);
const char *installed(exia_registry *registry, const char *package);

/* Behind the registry's back: is there something at check_path(NAME), the records of packages of a
 * home, how many records of a kind a database has. */
int exists(const char *name);
exia__records *open_records(const char *home);
size_t count_records(const char *path, const char *kind);
/* The file of the only package in a row, below directory/packages; that in the remote. */
const char *blob_of(exia_registry *registry, const char *remote, const char *directory);
const char *remote_blob(exia_registry *registry);

#endif
