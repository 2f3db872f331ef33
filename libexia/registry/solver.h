/* What the files of the solver share: solve.c searches, nogood.c keeps what cannot be, refusal.c tells
 * why nothing is left.
 *
 * A package is a variable: its values are "absent" and its candidates, a set of values is a bit set
 * (bit 0 is "absent", bit i + 1 the candidate i).  A nogood is a list of terms "the package is one of
 * this set" that are never true together:
 *
 *     a@2 or a@3 needs "b >= 1"        { a in {2, 3},  b in {absent, 0.9} }
 *     the root is wanted               { root in {absent} }
 *
 * The trail is what holds so far, each entry narrowing one package:
 *
 *     decision  a in {3}        level 1
 *     derived   b in {1.1, 1.0}   level 1, because of the nogood above
 */
#ifndef EXIA_REGISTRY_SOLVER_H
#define EXIA_REGISTRY_SOLVER_H

#include "package/version.h"
#include "registry/solve.h"

#define EXIA__NONE UINT32_MAX
enum { EXIA__BLOCK = 256 }; /* candidates whose needs are read, and spoken of, together */

typedef enum exia__nogood_kind {
    EXIA__WANTED,
    EXIA__NEEDED,
    EXIA__CIRCLE,
    EXIA__LEARNT
} exia__nogood_kind;

typedef struct exia__term {
    uint32_t name;
    uint64_t *set;
} exia__term;

typedef struct exia__nogood {
    exia__nogood_kind kind;
    int seen;                /* by the refusal */
    const char *text;        /* of a need, as its package says it; borrowed */
    uint32_t count, reasons; /* terms; nogoods that a learnt one comes of */
    uint32_t *reason;
    exia__term terms[]; /* of a need: who needs, what is needed; of a circle: in its order */
} exia__nogood;

/* A dependency of a candidate. */
typedef struct exia__need {
    uint32_t on, candidate;
    const char *text; /* borrowed from the candidate */
    int done;         /* with the first of those on one package: their nogoods are there */
} exia__need;

/* What the candidates from EXIA__BLOCK * n on need; nobody pays for versions that are never tried. */
typedef struct exia__block {
    exia__need *needs; /* by package, then candidate */
    size_t count, room;
    int read;
} exia__block;

typedef struct exia__name {
    char *text;
    int looked; /* are the candidates known */
    exia__choices choices;
    uint32_t count, words; /* candidates; words of a set */
    uint64_t *all;         /* every value */
    uint64_t *asked;       /* candidates whose needs are nogoods */
    uint32_t last;         /* entry of the trail */
    exia__block *blocks;
    uint32_t *nogoods; /* that have a term of it */
    size_t nogood_count, nogood_room;
    uint32_t term; /* in the nogood that is being learnt */
} exia__name;

typedef struct exia__step {
    uint32_t name, level, before; /* entry of the same package */
    uint32_t cause;               /* EXIA__NONE: a decision */
    size_t set;                   /* what is left of its values: in `words` */
} exia__step;

typedef struct exia__level {
    size_t start, cursor; /* of the trail; where the next decision was looked for */
} exia__level;

typedef struct exia__solver {
    const exia__question *question;
    exia__work *work;
    json_t *index; /* text -> number */
    exia__name *names;
    size_t name_count, name_room;
    exia__nogood **nogoods;
    size_t nogood_count, nogood_room, bytes;
    exia__step *trail;
    size_t trail_count, trail_room;
    uint64_t *words; /* the sets of the trail */
    size_t word_count, word_room;
    exia__level *levels; /* that of level N at N - 1 */
    size_t level_count, level_room;
    size_t head, checked; /* entries and nogoods that were propagated */
    size_t cursor;        /* entries before it have nothing to decide */
    exia__term *terms;    /* the nogood that is being learnt */
    size_t term_count, term_room;
    uint64_t *scratch; /* its sets, one after the other */
    size_t scratch_count, scratch_room;
    uint32_t *reasons;
    size_t reason_count, reason_room;
    size_t conflicts;
    uint64_t spent, told; /* steps so far, of a nanosecond or so; when the caller was asked last */
} exia__solver;

/* ---- sets ---- */

static inline int exia__set_has(const uint64_t *set, uint32_t value)
{
    return (int)(set[value / 64] >> (value % 64) & 1);
}

static inline void exia__set_put(uint64_t *set, uint32_t value)
{
    set[value / 64] |= UINT64_C(1) << (value % 64);
}

static inline int exia__set_within(const uint64_t *a, const uint64_t *b, uint32_t words)
{
    uint64_t outside = 0;
    for (uint32_t i = 0; i < words; i++)
        outside |= a[i] & ~b[i];
    return outside == 0;
}

static inline int exia__set_apart(const uint64_t *a, const uint64_t *b, uint32_t words)
{
    uint64_t both = 0;
    for (uint32_t i = 0; i < words; i++)
        both |= a[i] & b[i];
    return both == 0;
}

static inline uint32_t exia__set_count(const uint64_t *set, uint32_t words)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < words; i++)
        count += (uint32_t)__builtin_popcountll(set[i]);
    return count;
}

/* ---- nogood.c ---- */

/* Count steps, and bytes that are about to be taken.  Both have an end, which no honest question comes
 * near: who offers ten thousand versions with a thousand needs each is refused in seconds.
 * @return EXIA_EUNSUPPORTED, EXIA_ECANCELLED, EXIA_ETIMEOUT */
exia_status exia__spend(exia__solver *solver, uint64_t steps, exia_error *err);
exia_status exia__hold(exia__solver *solver, size_t bytes, exia_error *err);

void exia__nogoods_free(exia__solver *solver);
/* A nogood with room for `count` terms, each an empty set of its package; it is listed with them. */
exia_status exia__nogood_add(exia__nogood **out, exia__solver *solver, exia__nogood_kind kind,
                             const uint32_t *names, uint32_t count, uint32_t reasons,
                             exia_error *err);
/* The number of a package, made when it is new. */
exia_status exia__name_of(uint32_t *out, exia__solver *solver, const char *text, exia_error *err);
/* See to it that its candidates are known. */
exia_status exia__name_look(exia__solver *solver, uint32_t name, exia_error *err);
/* Add the nogoods for what a candidate needs. */
exia_status exia__needs_add(exia__solver *solver, uint32_t name, uint32_t candidate,
                            exia_error *err);
static inline const json_t *exia__row_of(const exia__solver *solver, uint32_t name,
                                         uint32_t candidate)
{
    return json_array_get(solver->names[name].choices.candidates, candidate);
}

static inline const exia__block *exia__block_of(const exia__solver *solver, uint32_t name,
                                                uint32_t candidate)
{
    return &solver->names[name].blocks[candidate / EXIA__BLOCK];
}

/* ---- solve.c ---- */

/* The one that is chosen of a package by now; EXIA__NONE: none. */
uint32_t exia__chosen_of(const exia__solver *solver, uint32_t name);

/* ---- refusal.c ---- */

/* Say why the reasons of the solver cannot all be met.  @return EXIA_ENOTFOUND, EXIA_ECYCLE */
exia_status exia__refuse(exia__solver *solver, exia_error *err);
/* Where all is chosen: which newer candidate of a package was passed over, and why.  `*out` is NULL
 * when none was. */
exia_status exia__passed_over(char **out, const exia__solver *solver, uint32_t name,
                              exia_error *err);

#endif
