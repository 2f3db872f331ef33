/* Store URLs: schemes, percent-encoding, the plain path that means a directory. */
#ifndef EXIA_BASE_URL_H
#define EXIA_BASE_URL_H

#include "exia/driver.h"

/* The scheme of "scheme:rest", or NULL for a plain path ("a/b", "./a:b", "/x").  A scheme is
 * [a-z][a-z0-9+.-]+ (two characters at least) before the first ':'. */
exia_status exia__url_scheme(char **out, const char *url, exia_error *err);

/* What follows "scheme:", percent-decoded up to a '?': the path of file: and sqlite:.  "//" and an
 * empty host in front of it are dropped. */
exia_status exia__url_path(char **out, const char *url, exia_error *err);

/* "scheme:" + the path percent-encoded. */
exia_status exia__url_from_path(char **out, const char *scheme, const char *path, exia_error *err);

/* For errors and listings: the password between ':' and '@' becomes "***", also where a '/' in it should
 * have been encoded. */
exia_status exia__url_redact(char **out, const char *url, exia_error *err);

/* The URL of a host taken apart; free with exia__release.  @return EXIA_EINVAL, without the secret */
exia_status exia__url_open(exia_url **out, const char *url, exia_error *err);

/* Percent-encode all but [A-Za-z0-9._/+@-] and, with them, nothing; works on raw bytes. */
exia_status exia__percent_encode(char **out, const char *text, exia_error *err);
size_t exia__percent_size(const char *text); /* bytes that it makes of it */
/* ... all but [A-Za-z0-9._~-] and the characters of `keep`. */
exia_status exia__percent_encode_but(char **out, const char *text, const char *keep,
                                     exia_error *err);
exia_status exia__percent_decode(char **out, const char *text, exia_error *err);
/* `size` bytes to a text, which has no more.  @return what is behind it; NULL: a '%' without two
 * digits, or for a NUL */
char *exia__percent_decode_n(char *into, const char *text, size_t size);

#endif
