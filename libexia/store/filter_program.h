/* What the parser of filters makes and the evaluator runs. */
#ifndef EXIA_STORE_FILTER_PROGRAM_H
#define EXIA_STORE_FILTER_PROGRAM_H

#include <jansson.h>

#include "store/filter.h"

enum { EXIA__FILTER_DEPTH = 64 }; /* of parentheses and nots */

/* A name, or else a literal. */
typedef struct exia__operand {
    char *path; /* its parts, each with its NUL, and one more NUL behind the last */
    json_t *literal;
} exia__operand;

typedef enum exia__do {
    EXIA__COMPARE, /* left `how` right */
    EXIA__IN,      /* left is one of right's: an array, or a name that leads to a list */
    EXIA__LIKE,    /* left is a text of right's form */
    EXIA__NULL,    /* left is null or absent */
    EXIA__AND,
    EXIA__OR,
    EXIA__NOT
} exia__do;
typedef enum exia__how { EXIA__EQ, EXIA__NE, EXIA__LT, EXIA__LE, EXIA__GT, EXIA__GE } exia__how;

/* A condition in postfix order: each step pushes one truth value, or combines the last ones. */
typedef struct exia__step {
    exia__do what;
    exia__how how;
    int negated; /* not in, not like, is not null */
    exia__operand left, right;
    const exia__texts *texts; /* how its texts compare; NULL: by their bytes */
} exia__step;

typedef struct exia__order {
    char *path;
    int descending;
    const exia__texts *texts;
} exia__order;

struct exia__filter {
    exia__step *steps; /* none: everything matches */
    exia__order *orders;
    size_t step_count, order_count;
    size_t limit; /* SIZE_MAX: none */
};

/* Whether two values compare with each other, and how. */
int exia__values_comparable(const json_t *a, const json_t *b);
int exia__values_compare(const json_t *a, const json_t *b);

/* The path of a dotted or quoted name that is all of `text`.  Free with exia__release. */
exia_status exia__filter_path(char **out, const char *text, exia_error *err);

#endif
