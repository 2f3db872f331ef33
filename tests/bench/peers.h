/* What the pool is measured against, on objects of the same size and place. */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include "race.h"

enum { PEER_OBJECTS = 32 };

/* A compare-and-swap that takes a line of this thread's own, a release store that gives it back. */
extern lap_fn *const swap_laps[VISITS];
void *swap_track(void);

/* A last-in-first-out stack of `count` objects under a mutex: without waiting; with one condition
 * variable for all who wait; and so that who comes first is served first, as by the pool. */
extern lap_fn *const stack_laps[VISITS], *const waiting_laps[VISITS], *const ordered_laps[VISITS];
/* The same without waiting; thread 0 takes, thread 1 gives back. */
extern lap_fn *const passed_laps[VISITS];
void *stack_track(int count);

/* One object for all: its holders counted by atomic instructions, or under a mutex. */
extern lap_fn *const count_laps[VISITS], *const locked_laps[VISITS];
void *count_track(void);

/* apr_reslist with hmax `count` and no time to live; NULL where there is no libaprutil1-dev. */
extern lap_fn *const *const apr_laps;
void *apr_track(int count);
const char *apr_name(void); /* and version */

#endif
