/* What a library does, each as one deed that begins on a small library and ends in one state;
 * and what the library says of itself, as a text, so that a state can be told from another. */
#ifndef TESTS_DEEDS_H
#define TESTS_DEEDS_H

#include "support/check.h"

typedef struct deed {
    const char *name;
    /* Between opening and closing; `folder` is free for files of its own. */
    exia_status (*act)(exia_library *library, const char *folder, exia_error *error);
    void (*prepare)(const char *folder); /* the library before, in folder/library; NULL: none */
    void (*check)(const char *folder);   /* what it left beside the library; may be NULL */
    int again;   /* repeated after an answer that was lost, it is done once */
    int outside; /* what it makes is no part of the library, which cannot tell whether it is there */
    int steps;   /* there are states between before and after; repeated, it goes on from there */
    int writes;  /* it stores blobs and names them */
} deed;
extern const deed deeds[];
extern const size_t deed_count;

/* The library that most deeds begin on. */
void deeds_prepare(const char *folder);

/* Open it anew and read all of it: rows by number, by metric and by alias, the history without a gap,
 * every byte of every version.  What differs from run to run (time, who, repairs) is left out. */
const char *deeds_state(const char *folder, int read_only);

/* Make every blob an hour old. */
void deeds_age(const char *folder);

/* A collector's run; nothing is younger than its grace. */
exia_status deeds_gc(exia_library *library, int64_t timeout_ms, exia_error *error);

/* A collector takes what is dead, whoever died in the midst of it, and all of it. */
void deeds_collect(const char *folder);

/* The next write works: a version with the next number, the alias moves to it and back. */
void deeds_go_on(const char *folder);

#endif
