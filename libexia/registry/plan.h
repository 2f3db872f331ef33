/* What an install is about to do, by what its caller asked for. */
#ifndef EXIA_REGISTRY_PLAN_H
#define EXIA_REGISTRY_PLAN_H

#include "registry/registry.h"

typedef struct exia__plan {
    const exia_registry *registry;
    exia_install_options options;
    exia__spec package;      /* all zeros: all that the lock file lists */
    exia__side side;         /* of the remote */
    const exia__side *there; /* the same; NULL: none was named */
    json_t *pins;  /* of the lock file: name -> entry; NULL: it is not there, or none was named */
    json_t *steps; /* as exia__resolve() gives them, with `asked`: true of what is asked for */
    json_t *lock;  /* the lock file's entries from now on; NULL: none was named */
} exia__plan;

/* Check what was asked for and open the other side. */
exia_status exia__plan_open(exia__plan *out, exia_registry *registry, const char *package,
                            const char *remote, const exia_install_options *options,
                            const exia_job *job, exia_error *err);
/* Read the lock file and resolve; again, when that or what is installed has changed since. */
exia_status exia__plan_make(exia__plan *plan, const exia_job *job, exia_error *err);
/* What is chosen for a step and all below it: an object NAME -> "VERSION#TAG". */
exia_status exia__plan_resolved(json_t **out, const exia__plan *plan, const json_t *step,
                                exia_error *err);
/* It was done: write the lock file where it says something else, with what others wrote meanwhile.
 * @return EXIA_DONE: that is not what this plan took: make it again */
exia_status exia__plan_keep(exia__plan *plan, exia__work *work, exia_error *err);
void exia__plan_close(exia__plan *plan);

/* ---- lockfile.c ---- */

/* Read a lock file.  @return EXIA_ENOTFOUND, EXIA_EVERSION, EXIA_ECORRUPT */
exia_status exia__lockfile_read(json_t **pins, const char *path, exia_error *err);
/* The entries of both, the steps' first; without what nothing that was asked for needs any more.
 * @return EXIA_ECONFLICT: an entry that stays needs what the steps have in another version */
exia_status exia__lockfile_merge(json_t **out, const json_t *pins, const json_t *steps,
                                 const char *path, exia_error *err);
/* Replace it, unless it says the same already. */
exia_status exia__lockfile_write(const char *path, const json_t *pins, exia_error *err);

#endif
