/* Items worked on by several threads and handed over in order. */
#ifndef EXIA_BASE_CREW_H
#define EXIA_BASE_CREW_H

#include "exia/common.h"

/* One thread of a crew, as its work() sees it. */
typedef struct exia__hand {
    uint32_t index; /* below `threads`; 0: the thread that called exia__crew_run() */
    uint64_t item;  /* that it works on: the first one taken is 0 */
    struct exia__crew_run *run;
} exia__hand;

/* What there is to do.  Items go through three stages: take() makes one item after the other, work()
 * does what is long to several of them at a time, give() is called with each in the order they were
 * taken.  One take() and one give() run at a time, on any thread, beside each other and beside all
 * work().  An item lies in a slot of the caller's, one of `slots`, from its take() to the end of its
 * give(), so no more than that are in flight. */
typedef struct exia__crew {
    uint32_t threads; /* that of the caller among them; fewer when no more can be had */
    size_t slots;     /* at least `threads`, or some of them wait */
    exia_status (*take)(size_t slot, void *payload, exia_error *err); /* EXIA_DONE: no more */
    exia_status (*work)(size_t slot, exia__hand *hand, void *payload, exia_error *err);
    exia_status (*give)(size_t slot, void *payload, exia_error *err); /* may be NULL */
    /* Called by the calling thread alone, ten times a second at least while it waits: reports, and
     * answers EXIA_ECANCELLED or EXIA_ETIMEOUT to stop all. */
    exia_status (*step)(void *payload, exia_error *err);
} exia__crew;

/* Do it all.  The failure of the lowest item wins, and all items before it have been given: what is
 * answered and what was done is the same with any number of threads.  A failure of step() ends it
 * sooner.  No thread outlives the call, and none takes a signal of the host. */
exia_status exia__crew_run(const exia__crew *crew, void *payload, exia_error *err);

/* For a work() that takes long, now and then: calls step() where that may be called.
 * @return EXIA_ECANCELLED, to be passed on: it is of no use any more */
exia_status exia__crew_step(const exia__hand *hand, exia_error *err);

#endif
