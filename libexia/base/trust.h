/* Who may have written what lies here, and what a pickle from elsewhere may do. */
#ifndef EXIA_BASE_TRUST_H
#define EXIA_BASE_TRUST_H

#include <jansson.h>

#include "exia/trust.h"

/* Could anybody but this user (and root) have written what lies at `path`?  Looks at the owner and
 * mode of it and of each directory above (a sticky one is fine, and so is a group that is the user's
 * alone); and what is in an installed package, others wrote.  `*why` is NULL when nobody could, else
 * a text to be freed. */
exia_status exia__trust_path(char **why, const char *path, exia_error *err);

/* ---- policy.c ------------------------------------------------------------------------------- */

/* The trust file, as exia/trust.h describes it.  NULL: trust.json in the home; an absent file is an
 * empty policy; a broken one is an error, never an empty one, and so is one that others may write
 * (EXIA_EUNTRUSTED). */
exia_status exia__trust_policy(json_t **out, const char *trust_file, exia_error *err);
/* Its two steps: where it is, and what is there. */
exia_status exia__trust_place(char **out, const char *trust_file, exia_error *err);
exia_status exia__trust_read(json_t **out, const char *path, int absent_is_empty, exia_error *err);

/* What a signature of these bytes is worth: a new object {state, key, by, comment, why}.  `key` is its
 * id, `by` the name that the policy knows it by, or null.  The state is
 *
 *     good      of a trusted key, and of these bytes
 *     revoked   of a key that was revoked, which `why` explains, or null
 *     unknown   of a key that the policy does not list
 *     bad       no signature, or by its id of a listed key, but not of these bytes */
exia_status exia__trust_judge(json_t **out, const json_t *policy, const char *signature,
                              const void *data, size_t size, exia_error *err);

/* A signature of these bytes, as minisign's text: made with the key that the options name, and with
 * their comment, else with `comment`; or the one that they bring, if it is good by the trust file.
 * `what` is signed, for errors ("version").
 *
 * @return EXIA_EUNTRUSTED: it is not good; and as exia__secret_key_read() */
exia_status exia__trust_sign(char **out, const exia_sign_options *options, const char *comment,
                             const char *what, const char *trust_file, const void *data,
                             size_t size, exia_error *err);

#endif
