/* What a workspace leaves out: the rules of its .vedaignore files. */
#ifndef EXIA_PACKAGE_IGNORE_H
#define EXIA_PACKAGE_IGNORE_H

#include "exia/common.h"

/* The rules of one file.  Of those that match a path the last one of the innermost file decides. */
typedef struct exia__ignore exia__ignore;

/* Put the rules of a text in front of a list, which owns them.  They hold for what lies below a
 * directory whose path has `base` bytes, its last slash among them, and come before those of `outer`.
 *
 * @param text  NULL: the rules that always hold, if nothing takes them back */
exia_status exia__ignore_add(exia__ignore **list, const exia__ignore *outer, size_t base,
                             const char *text, exia_error *err);
int exia__ignored(const exia__ignore *ignore, const char *path, int is_directory);
void exia__ignore_free(exia__ignore *list);

#endif
