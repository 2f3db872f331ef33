/* Files below a directory, by the kernel's word: no link is followed and nothing leads outside. */
#ifndef EXIA_BASE_BENEATH_H
#define EXIA_BASE_BENEATH_H

#include <sys/types.h>

#include "exia/common.h"

/* openat2 of `path` below `at`; the fd, or -1 with errno. */
int exia__open_beneath(int at, const char *path, int flags, mode_t mode);

/* Does a glob match a text?  '*' and '?' match '/' only when `crosses`; "[a-z]", "[!a]" and "\\x" as
 * in a shell; by bytes, but '?' is one UTF-8 character.  No locale, no recursion. */
int exia__glob(const char *glob, size_t glob_size, const char *text, size_t text_size, int crosses);

#endif
