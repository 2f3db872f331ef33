/* The filter language of every search:
 *
 *     metrics.auc > 0.9 and tags.team = 'vision' order by metrics.auc desc limit 10
 *
 * Comparisons (= != < <= > >=), and, or, not, in (..), like (case-sensitive; % and _), is null, is
 * not null; strings in '..' ('' is a quote), numbers, true, false; dotted and quoted names.  "in" with
 * a name looks into a list, or for a member of an object: 'x' in tags, 'code' in parts.kind (of any
 * part); one value is a list of one.  A null,
 * an absent member and another type match no comparison, not even != or "not in"; "not" in front
 * turns any answer round.  Numbers compare exactly, integers with reals too.  NaN and infinities are
 * kept as texts, so they match no number.  Orders put numbers first, then texts, then booleans, then
 * the rest, upwards and downwards; equals stay as they came. */
#ifndef EXIA_STORE_FILTER_H
#define EXIA_STORE_FILTER_H

#include <jansson.h>

#include "exia/driver.h"

typedef struct exia__filter exia__filter;

/* `text` NULL or blank: everything.  @return EXIA_EINVAL: the text shows where and what */
exia_status exia__filter_parse(exia__filter **out, const char *text, exia_error *err);

/* Refuse a filter that asks for a member that no row has, a mistyped one.  `members` names those that
 * rows have: "name, version, time". */
exia_status exia__filter_known(const exia__filter *filter, const char *members, exia_error *err);
int exia__filter_match(const exia__filter *filter, const json_t *row);

/* The texts of a member of rows that are no mere texts: versions. */
typedef struct exia__texts {
    const char *member;
    exia_status (*check)(const char *literal, exia_error *err); /* NULL: any may be asked for */
    int (*compare)(const char *a, const char *b);
} exia__texts;
/* Compare and order such a member in this way; `texts` must outlive the filter.
 * @return EXIA_EINVAL: a literal that is none */
exia_status exia__filter_texts(exia__filter *filter, const exia__texts *texts, exia_error *err);

/* Whether the condition demands `field` = 'text' at its top (an "and" away), for narrowing a scan:
 * that text, borrowed, or NULL. */
const char *exia__filter_equal(const exia__filter *filter, const char *field);

/* ---- for finding rows by an index ----------------------------------------------------------- */

/* What to seek: every row that matches is in it.  The texts are the plan's. */
typedef struct exia__plan {
    exia_range *ranges;
    size_t range_count, capacity;
    char *order; /* the first key of the order, NULL: none */
    int descending;
    int bounded; /* a range is of that key, so that rows without it do not match */
} exia__plan;
exia_status exia__filter_plan(exia__plan *out, const exia__filter *filter, exia_error *err);
void exia__plan_free(exia__plan *plan);

size_t exia__filter_limit(const exia__filter *filter); /* SIZE_MAX: none */
/* Which of two rows comes first by the order: negative, positive, or 0: equals. */
int exia__filter_compare(const exia__filter *filter, const json_t *a, const json_t *b);
/* How two rows that follow each other in an index of the first key stand. */
typedef enum exia__tie {
    EXIA__APART, /* in their order */
    EXIA__EQUAL, /* equal: by age */
    EXIA__TIED   /* nothing is said: other keys follow, or it is a long text */
} exia__tie;
exia__tie exia__filter_tie(const exia__filter *filter, const json_t *a, const json_t *b);
/* Has the row a value at the first key, so that an index has it? */
int exia__filter_indexed(const exia__filter *filter, const json_t *row);

/* ---- rows ----------------------------------------------------------------------------------- */

/* Match, order (stable: equals stay as they came) and limit an array of rows. */
exia_status exia__filter_rows(exia_rows **out, const exia__filter *filter, const json_t *rows,
                              exia_error *err);

/* The member at a dotted or quoted name, borrowed; NULL: absent.  @return EXIA_EINVAL: no name */
exia_status exia__filter_field(const json_t **out, const char *name, const json_t *row,
                               exia_error *err);
void exia__filter_free(exia__filter *filter);

#endif
