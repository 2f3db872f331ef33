/* What a home does with packages, each as one errand that begins in a small world and ends in one state
 * of it; and what the world says of itself, as a text, so that a state can be told from another.
 *
 * A world is a folder: "home" runs the errand, "other" is another host, both know the remote "there". */
#ifndef TESTS_ERRAND_H
#define TESTS_ERRAND_H

#include "support/stock.h"

typedef struct errand {
    const char *name;
    exia_status (*run)(exia_transfer *moved, exia_registry *home, exia_error *error);
    void (*prepare)(exia_registry *home, exia_registry *other);
    int steps;            /* there are states between before and after */
    exia_status again;    /* what it answers when it is done already */
    const char *unpushed; /* hex of the blob that it sends there; NULL: none */
    const char *unpulled; /* hex of the blob that it fetches; NULL: none */
} errand;
enum { MOST_ERRANDS = 32 };
extern errand errands[MOST_ERRANDS];
extern size_t errand_count;

/* Fill `errands`, after stock_make(); EXIA_ERRAND="a pull" takes that one alone. */
void errands_list(void);
/* Make the world, and look at it from a host: each row there and here, each installed file. */
void errands_prepare(const errand *one, const char *folder);
const char *errands_state(const char *folder, const char *host);
/* The home works: what is there goes, other content comes, and is installed. */
exia_status errands_go_on(const char *folder, exia_error *error);

#endif
