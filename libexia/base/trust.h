/* Who may have written what lies here, and what a pickle from elsewhere may do. */
#ifndef EXIA_BASE_TRUST_H
#define EXIA_BASE_TRUST_H

#include <jansson.h>

#include "exia/common.h"

/* Could anybody but this user (and root) have written what lies at `path`?  Looks at the owner and
 * mode of it and of each directory above (a sticky one is fine, and so is a group that is the user's
 * alone); and what is in an installed package, others wrote.  `*why` is NULL when nobody could, else
 * a text to be freed. */
exia_status exia__trust_path(char **why, const char *path, exia_error *err);

/* The policy file: {"format": 1, "packages": [..], "constructors": [..]}.  NULL: trust.json in the
 * home; an absent file is an empty policy; a broken one is an error, never an empty one, and so is
 * one that others may write (EXIA_EUNTRUSTED). */
exia_status exia__trust_policy(json_t **out, const char *trust_file, exia_error *err);

#endif
