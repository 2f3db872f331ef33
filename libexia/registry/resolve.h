/* Which packages an install takes. */
#ifndef EXIA_REGISTRY_RESOLVE_H
#define EXIA_REGISTRY_RESOLVE_H

#include "registry/registry.h"

/* Choose one version of each package that `selector`'s needs, so that every dependency is met.
 *
 * @param      there  the remote to look at too; NULL: none
 * @param[out] out    an array, what is needed first, the package itself last: {name, version, tag,
 *                    digest, dependencies, from: "installed" | "here" | "there"}
 * @return EXIA_ENOTFOUND: a dependency, with who asks; EXIA_ECYCLE
 */
exia_status exia__resolve(json_t **out, const exia_registry *registry, const exia__side *there,
                          const exia__spec *selector, const exia_install_options *options,
                          const exia_job *job, exia_error *err);

#endif
