/* Which of the installed versions of a package is the current one. */
#ifndef EXIA_REGISTRY_CURRENT_H
#define EXIA_REGISTRY_CURRENT_H

#include "registry/staging.h"

/* Put `current`, true or false, into each of the installed rows, which are in order.
 *
 * @param name  the package that all of them are of; NULL: any
 */
exia_status exia__current_mark(json_t *rows, const exia_registry *registry, const char *name,
                               exia_error *err);
/* The marked row of a package; NULL: none. */
const json_t *exia__current_among(const json_t *rows, const char *name);

/* The record that makes a version current, to be put in one step with what else changes; its key is the
 * package's name. */
exia_status exia__current_record(char **out, const char *version, const char *tag, exia_error *err);

/* Under the home's lock, when what is installed has changed: let the record say what is current, and
 * the link follow it. */
exia_status exia__current_follow(const exia__staging *staging, const exia_registry *registry,
                                 const char *name, exia_error *err);

/* Does the link lead elsewhere than it should?  Where it changes just now it may seem so. */
exia_status exia__current_astray(int *out, const exia_registry *registry, const char *name,
                                 exia_error *err);

#endif
