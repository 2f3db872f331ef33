/* How packages go. */
#ifndef EXIA_REGISTRY_UNINSTALL_H
#define EXIA_REGISTRY_UNINSTALL_H

#include "registry/staging.h"

/* Under the home's lock: take away what these installed rows tell, one after the other in this order.
 * After a failure some may be gone, each as a whole: exia__staging_end() sees to it. */
exia_status exia__uninstall_rows(exia__staging *staging, const exia_registry *registry,
                                 const json_t *rows, exia_error *err);

#endif
