/* What is installed: committed rows, and where each package lies. */
#ifndef EXIA_REGISTRY_INSTALLED_H
#define EXIA_REGISTRY_INSTALLED_H

#include "registry/registry.h"

/* The rows, with `directory`, by name and newest first: of one package, or of all (`name` NULL). */
exia_status exia__installed_read(json_t **out, const exia_registry *registry, const char *name,
                                 exia_error *err);

#endif
