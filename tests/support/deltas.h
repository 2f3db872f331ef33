/* A package of 12 MiB that does not compress, and versions of it after edits. */
#ifndef TESTS_DELTAS_H
#define TESTS_DELTAS_H

#include "support/packages.h"
#include "support/workspaces.h"

/* The workspace check_path("big"): files f0 to f3 of 3 MiB. */
void make_big(void);
/* Overwrite bytes of one of its files. */
void edit_big(const char *file, size_t at, const char *text);
void name_big(const char *name, const char *version); /* in its manifest */

/* Pack it as "big" of this version; register that; push it, too.  The path of the file. */
const char *pack_big(const char *version);
const char *register_big(exia_registry *registry, const char *version);
const char *publish_big(exia_registry *registry, const char *version);

#endif
