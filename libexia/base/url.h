/* Store URLs: schemes, percent-encoding, the plain path that means a directory. */
#ifndef EXIA_BASE_URL_H
#define EXIA_BASE_URL_H

#include "exia/common.h"

/* The scheme of "scheme:rest", or NULL for a plain path ("a/b", "./a:b", "/x").  A scheme is
 * [a-z][a-z0-9+.-]+ (two characters at least) before the first ':'. */
exia_status exia__url_scheme(char **out, const char *url, exia_error *err);

/* What follows "scheme:", percent-decoded up to a '?': the path of file: and sqlite:.  "//" and an
 * empty host in front of it are dropped. */
exia_status exia__url_path(char **out, const char *url, exia_error *err);

/* "scheme:" + the path percent-encoded. */
exia_status exia__url_from_path(char **out, const char *scheme, const char *path, exia_error *err);

/* For errors and listings: the password between ':' and '@' becomes "***". */
exia_status exia__url_redact(char **out, const char *url, exia_error *err);

/* Percent-encode all but [A-Za-z0-9._/+@-] and, with them, nothing; works on raw bytes. */
exia_status exia__percent_encode(char **out, const char *text, exia_error *err);
exia_status exia__percent_decode(char **out, const char *text, exia_error *err);

#endif
