/* The filter language of every search:
 *
 *     metrics.auc > 0.9 and tags.team = 'vision' order by metrics.auc desc limit 10
 *
 * Comparisons (= != < <= > >=), and, or, not, in (..), like (case-sensitive; % and _), is null, is
 * not null; strings in '..' ('' is a quote), numbers, true, false; dotted and quoted names.  A null,
 * an absent member and another type match no comparison, not even != or "not in"; "not" in front
 * turns any answer round.  Numbers compare exactly, integers with reals too.  NaN and infinities are
 * kept as texts, so they match no number.  Orders put numbers first, then texts, then booleans, then
 * the rest, upwards and downwards; equals stay as they came. */
#ifndef EXIA_STORE_FILTER_H
#define EXIA_STORE_FILTER_H

#include <jansson.h>

#include "exia/common.h"

typedef struct exia__filter exia__filter;

/* `text` NULL or blank: everything.  @return EXIA_EINVAL: the text shows where and what */
exia_status exia__filter_parse(exia__filter **out, const char *text, exia_error *err);

/* Refuse a filter that asks for a member that no row has, a mistyped one.  `members` names those that
 * rows have: "name, version, time". */
exia_status exia__filter_known(const exia__filter *filter, const char *members, exia_error *err);
int exia__filter_match(const exia__filter *filter, const json_t *row);

/* Whether the condition demands `field` = 'text' at its top (an "and" away), for narrowing a scan:
 * that text, borrowed, or NULL. */
const char *exia__filter_equal(const exia__filter *filter, const char *field);

/* Match, order (stable: equals stay as they came) and limit an array of rows. */
exia_status exia__filter_rows(exia_rows **out, const exia__filter *filter, const json_t *rows,
                              exia_error *err);

/* The member at a dotted or quoted name, borrowed; NULL: absent.  @return EXIA_EINVAL: no name */
exia_status exia__filter_field(const json_t **out, const char *name, const json_t *row,
                               exia_error *err);
void exia__filter_free(exia__filter *filter);

#endif
