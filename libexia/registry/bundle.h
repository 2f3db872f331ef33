/* A bundle as it lies on disk: a plain tar, so that any tool opens it, and each file in it is a package.
 *
 *     bundle.json   {format: 1, packages: [{name, version, tag, digest, file, size, sha256, signed,
 *                   facts}], needs: [{name, version, tag, digest}]}
 *     FILE ...      the packages in this order, what is needed first
 *
 * `needs` is what was left out since the other side has it. */
#ifndef EXIA_REGISTRY_BUNDLE_H
#define EXIA_REGISTRY_BUNDLE_H

#include "base/buffer.h"
#include "registry/registry.h"

enum {
    EXIA__MOST_BUNDLED = 100000,       /* packages of one bundle */
    EXIA__BUNDLE_LIST_MOST = 64 << 20, /* bytes of bundle.json, and of a list of what is had */
};
#define EXIA__BUNDLE_LIST "bundle.json"

/* The tar header of a file in it, into an emptied buffer. */
exia_status exia__bundle_header(exia__buffer *out, const char *file, uint64_t size,
                                exia_error *err);
/* bundle.json, parsed and checked; `path` names the bundle.  @return EXIA_ECORRUPT, EXIA_EVERSION */
exia_status exia__bundle_parse(json_t **out, const char *text, size_t size, const char *path,
                               exia_error *err);
/* Add the row of a package of such a list, which says what became of it. */
exia_status exia__bundle_row(exia_rows *rows, const json_t *item, const char *state,
                             exia_error *err);

#endif
