/* What is installed: committed rows, and where each package lies. */
#ifndef EXIA_REGISTRY_INSTALLED_H
#define EXIA_REGISTRY_INSTALLED_H

#include "package/version.h"
#include "registry/registry.h"

/* The rows, with `directory` and `current`, by name and newest first: of one package, or of all (`name`
 * NULL). */
exia_status exia__installed_read(json_t **out, const exia_registry *registry, const char *name,
                                 exia_error *err);
/* Its row as it stands now; NULL when it is not installed.  @param target  "NAME/VERSION/TAG" */
exia_status exia__installed_row(json_t **out, const exia_registry *registry, const char *target,
                                exia_error *err);

/* Where the rows of a name begin, or would; whether a row (may be NULL) is of it. */
size_t exia__installed_first(const json_t *rows, const char *name);
int exia__installed_is(const json_t *row, const char *name);
int exia__installed_match(const exia__spec *selector, const json_t *row);
/* Was `row` resolved for `root` (may be NULL) when that was installed? */
int exia__installed_resolved(const json_t *root, const json_t *row);
/* `root` and all that it needs, of these rows; as exia__solve(). */
exia_status exia__installed_needs(json_t **out, const json_t *rows, json_t *root, exia_error *err);
/* "NAME/VERSION/TAG" */
exia_status exia__installed_target(char **out, const json_t *row, exia_error *err);

/* The row that meets a dependency: what was resolved for `root` (may be NULL) if it does, else the current
 * version, else the best; never `without` (may be NULL).  NULL: none does. */
const json_t *exia__installed_meet(const json_t *rows, const exia__dependency *dependency,
                                   const json_t *root, const json_t *without);

#endif
