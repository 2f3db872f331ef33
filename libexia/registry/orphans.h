/* Files of packages here that no record names. */
#ifndef EXIA_REGISTRY_ORPHANS_H
#define EXIA_REGISTRY_ORPHANS_H

#include "registry/registry.h"

/* Their keys, an array; none while a record cannot be read.  Removed under the home's lock only. */
exia_status exia__orphans(json_t **out, const exia_registry *registry, const exia_job *job,
                          exia_error *err);

#endif
