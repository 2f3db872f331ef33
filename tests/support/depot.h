/* A home or a remote that holds packages of support/stock.h, looked at while others work on it, and when
 * nobody does any more.  What is wrong goes to witness_wrong(), since it may be found in a process
 * that no test runs in. */
#ifndef TESTS_DEPOT_H
#define TESTS_DEPOT_H

#include <sys/types.h>

#include "support/witness.h"

/* While others work: one thing each, chosen by `die`.  What changed meanwhile says nothing. */
void depot_look_at_installed(exia_registry *registry, const char *home, unsigned die);
void depot_look_at_registered(exia_registry *registry, const char *home, unsigned die);
void depot_look_at_blobs(const char *remote, unsigned die);
/* Rows and directories, which nobody changes now, agree; what is needed is there. */
void depot_look_under_lock(exia_registry *registry, const char *home);

/* When nobody works on it, and recovery is over: all of it, and that nothing is left over. */
void depot_look_at_all(exia_registry *registry, const char *home);
/* ... and, after a prune when all is a day old, no file without a record. */
void depot_look_for_orphans(exia_registry *registry, const char *home);
/* ... and the contents that identities have. */
void depot_look_at_remote(const char *remote, int8_t offered[STOCK_ITEMS]);

/* What must stay bounded: the largest that was seen. */
typedef struct depot_peak {
    long wal, database, staged, files, memory_first, memory; /* bytes, entries, descriptors */
} depot_peak;

/* Below a home or a remote; what killed puts left there is made a day older, so that it is swept. */
void depot_measure(depot_peak *peak, const char *place);
void depot_measure_process(depot_peak *peak, pid_t pid, int warm);
/* Print it, and fail if it is too much. */
void depot_check_peak(const depot_peak *peak);

#endif
