/* What stands behind a URL, for people. */
#ifndef EXIA_STORE_H
#define EXIA_STORE_H

#include "exia/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Open a store and say what is there: rows {key, value}, such as its driver, its version, what it
 * offers.  Nothing is created.  Threads: any. */
EXIA_API exia_status exia_store_check(exia_rows **out, const char *url, exia_error *err);

/* The cache of blobs of remote stores on this machine, as a JSON object to be freed with exia_text_free():
 * {directory, limit, bytes, blobs, freed}: how many bytes it may hold and holds, in how many whole blobs.  Threads: any.
 *
 * @return EXIA_EUNSUPPORTED: there is none, and the text says why */
EXIA_API exia_status exia_cache_show(char **out, exia_error *err);

/* Remove all of it that nobody uses just now, in whichever process: `freed` is how many bytes that were.  What is
 * needed again comes over the network again. */
EXIA_API exia_status exia_cache_clear(char **out, exia_error *err);

#ifdef __cplusplus
}
#endif
#endif
