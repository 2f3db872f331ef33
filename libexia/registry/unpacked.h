/* Registered packages out of their files. */
#ifndef EXIA_REGISTRY_UNPACKED_H
#define EXIA_REGISTRY_UNPACKED_H

#include "registry/registry.h"

/* The offer of a side that is `wanted`: {name, version, tag, digest}.
 * @return EXIA_ENOTFOUND; EXIA_ECONFLICT: it has another digest */
exia_status exia__offer_of(const exia__offer **out, exia__offers *offers, const exia__side *side,
                           const json_t *wanted, exia__work *work, exia_error *err);

/* Unpack what is registered here as `wanted`, which has `dependencies` too, into `directory`, which is
 * made: verified, trusted, with its RECORD, not synced.  After a failure the caller removes it.
 *
 * @param[out] row  what is committed of an installed package
 * @return EXIA_ECORRUPT, EXIA_EUNTRUSTED
 */
exia_status exia__unpack_registered(json_t **row, const exia_registry *registry,
                                    const json_t *wanted, const char *directory, exia__work *work,
                                    exia_error *err);

/* RECORD of what is registered here as `wanted`; to be freed. */
exia_status exia__registered_record(char **out, size_t *size, const exia_registry *registry,
                                    const json_t *wanted, exia__work *work, exia_error *err);

#endif
