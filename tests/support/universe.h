/* A universe of packages to solve: no files, no registry. */
#ifndef TESTS_UNIVERSE_H
#define TESTS_UNIVERSE_H

#include "registry/solve.h"
#include "support/check.h"

/* All packages, by name: arrays of candidates, the best one first.  A test makes and drops it. */
extern json_t *universe;

/* @param needs  "\"low >= 2\", \"b\""; NULL: none */
void offer(const char *name, const char *version, const char *needs);
/* The `look` of a question. */
exia_status universe_look(exia__choices *out, const char *name, void *payload, exia_error *error);
exia_status solve(json_t **out, const char *root);

#endif
