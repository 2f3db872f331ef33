/* Which versions go together: the search alone, whatever the candidates come from. */
#ifndef EXIA_REGISTRY_SOLVE_H
#define EXIA_REGISTRY_SOLVE_H

#include <jansson.h>

#include "base/job.h"
#include "exia/common.h"

/* What may be chosen of one package. */
typedef struct exia__choices {
    json_t *candidates; /* objects {name, version, tag, dependencies, ...}, the best one first */
    char *note; /* why something is not among them, which a refusal repeats; NULL: nothing to say */
} exia__choices;

/* Called once a name.  The dependencies were read before: each is a text of the grammar. */
typedef exia_status exia__look_fn(exia__choices *out, const char *name, void *payload,
                                  exia_error *err);

/* Can everybody read what it needs?  @return EXIA_EINVAL, naming the text */
exia_status exia__candidate_check(const json_t *candidate, exia_error *err);

typedef struct exia__question {
    const char *root;  /* the package that is wanted, any candidate of it */
    const char *there; /* for a refusal: the other side that was looked at; NULL: only here */
    exia__look_fn *look;
    void *payload;
} exia__question;

/* Choose one candidate of the root and of each package that is needed, so that every dependency is
 * met and none goes in a circle.  The same question has the same answer.  Complete: it refuses only
 * what cannot be; but where the proof takes more than 256 MiB, or some ten seconds of steps, it gives up.
 *
 * @param[out] out  copies of the chosen objects, what is needed first, the root last; with `passed_over`,
 *                  a text, where a better and newer one does not go together with the rest
 * @return EXIA_ENOTFOUND: no choice is good, and the text says why, the log (EXIA_LOG_INFO) in more
 *         lines; EXIA_ECYCLE: those that would be need each other; EXIA_EUNSUPPORTED: it gave up
 */
exia_status exia__solve(json_t **out, const exia__question *question, exia__work *work,
                        exia_error *err);

#endif
