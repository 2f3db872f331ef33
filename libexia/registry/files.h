/* A directory of package files, read as a remote is. */
#ifndef EXIA_REGISTRY_FILES_H
#define EXIA_REGISTRY_FILES_H

#include "registry/registry.h"

/* Is this a directory, not the name of a remote?  It has a '/', or it is "." or "..". */
int exia__files_named(const char *remote);

/* Read the tails of the .veda files in a directory; those that are broken are passed over. */
exia_status exia__files_open(exia__files **out, const char *directory, exia_error *err);
void exia__files_free(exia__files *files);

/* As exia__records_scan() of kind "package". */
exia_status exia__files_scan(const exia__files *files, const char *prefix, exia_record_fn *found,
                             void *payload, exia_error *err);
/* Files that could not be read and may be of this package, by their names: a few words; NULL: none. */
const char *exia__files_broken(const exia__files *files, const char *name);

/* Verify the file of an offer and register it here; in a dry run only say how large it is. */
exia_status exia__files_take(exia_transfer *moved, const exia_registry *registry,
                             const exia__files *files, const exia__offer *offer, int dry_run,
                             exia__work *work, exia_error *err);

#endif
