/* What may be called how. */
#ifndef EXIA_BASE_NAME_H
#define EXIA_BASE_NAME_H

#include "exia/common.h"

/* [A-Za-z0-9_][A-Za-z0-9._-]{0,127}.  `what` ("model name") stands in the error, with the name cut
 * to a readable length.  @return EXIA_EINVAL */
exia_status exia__name_check(const char *name, const char *what, exia_error *err);
/* The same in lower case only: packages, remotes. */
exia_status exia__name_check_lower(const char *name, const char *what, exia_error *err);
/* Is it valid UTF-8 without control characters? */
int exia__text_valid(const char *text, size_t size);
/* Bytes of the character that a text begins with; 0: it is a control character, or no UTF-8. */
size_t exia__character_size(const char *text, size_t size);

#endif
