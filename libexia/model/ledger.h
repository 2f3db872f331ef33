/* A log that comes from elsewhere, entry by entry, and is checked without a store: each must be what a
 * correct writer could have written behind those before it. */
#ifndef EXIA_MODEL_LEDGER_H
#define EXIA_MODEL_LEDGER_H

#include "model/library.h"

typedef struct exia__ledger exia__ledger;

exia_status exia__ledger_open(exia__ledger **out, exia_error *err);
/* The next entry.  @return EXIA_ECORRUPT, EXIA_EVERSION */
exia_status exia__ledger_take(exia__ledger *ledger, const json_t *entry, exia_error *err);
int64_t exia__ledger_highest(const exia__ledger *ledger); /* the last version published */
/* The parts of a version that lie in blobs, as its entry has them, and the digest of its environment,
 * NULL: none.  @return NULL: there is no such version, or it was removed */
const json_t *exia__ledger_version(const char **environment, const exia__ledger *ledger,
                                   int64_t number);
void exia__ledger_free(exia__ledger *ledger);

#endif
