/* What the entry of a module of ours was given.  A module carries the pieces of base/ that it uses and
 * lets them take memory and write to the log where the library does. */
#ifndef EXIA_DRIVERS_HTTP_GIVEN_H
#define EXIA_DRIVERS_HTTP_GIVEN_H

#include "exia/driver.h"

extern const exia_core *exia__given;

/* First thing in an entry.  @return EXIA_EVERSION: the library is older than the module */
exia_status exia__given_take(const exia_core *core, exia_error *err);

#endif
