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

#ifdef __cplusplus
}
#endif
#endif
