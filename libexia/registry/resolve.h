/* Which packages an install takes. */
#ifndef EXIA_REGISTRY_RESOLVE_H
#define EXIA_REGISTRY_RESOLVE_H

#include "registry/registry.h"

typedef struct exia__wish {
    const exia_registry *registry;
    const exia__side *there;   /* the other side to look at; NULL: none */
    const exia__spec *package; /* what is asked for; NULL: all that the lock file lists */
    const char *platform;      /* what it has to run on; NULL: this machine */
    int upgrade;               /* the newest, not what is installed */
    const char *lock;          /* the name of the lock file, for errors */
    const json_t *pins;        /* what it holds: name -> {version, tag, digest}; NULL: no lock */
    int locked;                /* nothing else */
} exia__wish;

/* Choose one version of each package that is needed, so that every dependency is met.
 *
 * @param[out] out  an array, what is needed first, the package itself last: {name, version, tag,
 *                  digest, size, dependencies, from: "installed" | "here" | "there"}, and what
 *                  exia__solve() adds
 * @return EXIA_ENOTFOUND: what is not there or does not go together, with who asks; EXIA_ECYCLE;
 *         EXIA_ECONFLICT: two packages of one identity, or other content than a pin's;
 *         EXIA_EUNSUPPORTED: too many combinations
 */
exia_status exia__resolve(json_t **out, const exia__wish *wish, const exia_job *job,
                          exia_error *err);

#endif
