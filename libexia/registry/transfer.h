/* Packages on their way between here and a remote. */
#ifndef EXIA_REGISTRY_TRANSFER_H
#define EXIA_REGISTRY_TRANSFER_H

#include "registry/registry.h"

/* Fetch an offer of a remote and register it here.  @param moved  may be NULL */
exia_status exia__pull_offer(exia_transfer *moved, const exia_registry *registry,
                             const exia__side *side, const exia__offer *offer, exia__work *work,
                             exia_error *err);

#endif
