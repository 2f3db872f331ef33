/* What processes were told of the calls that they made, and what they saw, in memory that all share
 * and that outlives them; and whether one can be true beside the other.
 *
 * There are places (registered in a home, installed in a home, offered on a remote), in each of which
 * an item is in one of its contents or not there.  A call that changes a place has done so at some
 * moment between its begin and its end; one whose caller was killed has, or has not.  What is seen at
 * a place must be what some call left there that no later one is known to have changed. */
#ifndef TESTS_WITNESS_H
#define TESTS_WITNESS_H

#include <stdatomic.h>

#include "support/stock.h"

enum { WITNESS_HOMES = 2, WITNESS_REMOTES = 2, WITNESS_NOTES = 3000000 };
typedef enum witness_deed {
    REGISTER,      /* a file, here */
    REGISTER_AWAY, /* on a remote */
    UPDATE,
    UPDATE_AWAY,
    UNREGISTER,
    UNREGISTER_AWAY,
    PUSH,
    PULL,
    INSTALL,
    INSTALL_AWAY, /* what is missing comes from a remote */
    UNINSTALL,
    ACTIVATE,
    REPAIR, /* all that is installed */
    PRUNE,
    CARRY, /* by a bundle, from the other home to this one */
    SEE,   /* these three change nothing: `seen` */
    SEE_INSTALLED,
    SEE_AWAY,
    DEEDS
} witness_deed;
extern const char *const witness_verbs[DEEDS];

typedef struct witness_note {
    double begin, end; /* zero: it is under way */
    uint64_t seen;     /* two bits an item: its content */
    int8_t deed, home, remote, item, content;
    int16_t status;
    atomic_int told; /* zero: whoever called was killed before */
} witness_note;

typedef struct witness_table {
    atomic_int count, wrong;
    char text[400]; /* what is wrong */
    int8_t offered[WITNESS_REMOTES]
                  [STOCK_ITEMS]; /* the content that a remote keeps an identity for */
    witness_note notes[WITNESS_NOTES];
} witness_table;
extern witness_table *witness;

double witness_now(void); /* seconds */
/* A new note that has begun; NULL: there are enough. */
witness_note *witness_begin(witness_deed deed, int home, int remote, int item);
void witness_end(witness_note *note, exia_status status);
/* The first thing that is wrong is kept. */
void witness_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Replay everything; witness->offered is filled.  @return how many sights were explained */
long witness_replay(void);

#endif
