/* Filling an exia_error, checking options structs, writing to the log. */
#ifndef EXIA_BASE_ERROR_H
#define EXIA_BASE_ERROR_H

#include "exia/common.h"

/* Fill `err` (may be NULL) and answer `status`.  Control characters become '?'; a text that is too
 * long is cut between characters. */
exia_status exia__fail(exia_error *err, exia_status status, int32_t native, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Fail as errno says: the text is "WHAT PATH: strerror", the status mapped (ENOENT is
 * EXIA_ENOTFOUND, EACCES and EROFS are EXIA_EDENIED, ENOSPC and EDQUOT are EXIA_ENOSPACE ...). */
exia_status exia__fail_errno(exia_error *err, int code, const char *what, const char *path);
exia_status exia__fail_memory(exia_error *err);

/* A failure that is none after all, as "not found" where nothing need be there: empty `err` again,
 * so that a call which succeeds leaves none in it.  Answers EXIA_OK. */
exia_status exia__forgive(exia_error *err);

/* What a callback left in `err` as it failed with `status`: made one line of UTF-8, or, where it said
 * nothing, the status's own text. */
void exia__filled(exia_error *err, exia_status status);

/* Put "PREFIX: " before a lower layer's text and answer its status. */
exia_status exia__prefix(exia_error *err, exia_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Copy a caller's options struct (NULL: all defaults) into ours of `size` bytes.  A shorter one is
 * padded with zeros; a longer one whose unknown tail is not zero is EXIA_EUNSUPPORTED. */
exia_status exia__options(void *ours, size_t size, const void *theirs, exia_error *err);

void exia__log(int level, const char *topic, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
