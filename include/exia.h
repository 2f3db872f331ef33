/* Exia carries an algorithm through its life: built from components, run, its trained models kept,
 * packaged, shipped, installed and run elsewhere.
 *
 * Objects    Handles are opaque.  A child (rows, model, package) keeps its parent alive: free them
 *            in any order.
 * Ownership  Through `**out` you own the result and call its `_free`; what is returned directly or
 *            found in a struct is borrowed from its handle.  `_free(NULL)` does nothing.  Inputs
 *            are copied unless said.
 * Errors     `rc < 0` is a failure: `*out` is NULL or zero, stored state is as before, `err` (which
 *            may be NULL) is filled.  One exception: when a remote store is lost during the final
 *            commit (EXIA_ETIMEOUT, EXIA_EUNAVAILABLE, EXIA_EIO) it may have been done; calling
 *            again with the same `token` settles it and never does it twice.
 * Options    Structs begin with struct_size: set it to sizeof.  NULL or zero is the default.
 * Threads    Any thread may use a handle, one at a time.  What allows more says "Threads: any."  No
 *            thread of the library outlives the call that started it.
 * Fork       In the child, handles with connections answer EXIA_ECLOSED and `_free` only drops
 *            memory; open models and their mappings stay valid.
 * Text       UTF-8, NUL-terminated.  Times are UTC.  Numbers are as in the C locale, always.
 * Listings   Every list, search and report is one `exia_rows`.  Hot answers are structs. */
#ifndef EXIA_H
#define EXIA_H

#include "exia/common.h"
#include "exia/dag.h"
#include "exia/model.h"
#include "exia/package.h"
#include "exia/pool.h"
#include "exia/registry.h"
#include "exia/store.h"
#include "exia/trust.h"

#endif
