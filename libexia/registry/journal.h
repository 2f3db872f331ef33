/* Transfers that are under way: a line in the journal from the first byte until the record is written, and
 * a file in the staging that is locked meanwhile. */
#ifndef EXIA_REGISTRY_JOURNAL_H
#define EXIA_REGISTRY_JOURNAL_H

#include "registry/publish.h"

exia_status exia__journal_begin(char **key, const exia_registry *registry, const char *what,
                                const exia__side *side, const exia__parcel *parcel,
                                exia_error *err);
exia_status exia__journal_end(const exia_registry *registry, const char *key, exia_error *err);
/* The file that is locked during a transfer; a pull's holds what has arrived.  @param to  NULL: a pull */
exia_status exia__journal_file(char **out, const exia_registry *registry, const char *hex,
                               const char *to, exia_error *err);

/* Drop what dead transfers left and nobody goes on with.  What cannot be dropped goes to the log. */
void exia__transfers_forget(const exia_registry *registry);

#endif
