/* Archives of others. */
#ifndef EXIA_PACKAGE_FOREIGN_H
#define EXIA_PACKAGE_FOREIGN_H

#include "base/job.h"

/* Unpack a .tar, .tar.gz, .tar.zst or .zip into a directory that is empty and the caller's alone, by the
 * rules of packages: paths that lead nowhere else, files, directories and links that stay inside.
 *
 * @param fd    a regular file, read from its beginning; `file` names it in errors
 * @param root  the directory
 * @return EXIA_EINVAL: no such archive, or a member that no package carries; EXIA_ECORRUPT;
 *         EXIA_ENOSPACE: its files are larger than what is free */
exia_status exia__foreign_unpack(int fd, const char *file, int root, exia__work *work,
                                 exia_error *err);
/* How much of a name is without ".tar.gz" and the like. */
size_t exia__foreign_stem(const char *name);
/* What kind of archive begins with these bytes, as "a .zip archive"; NULL: none that is known. */
const char *exia__foreign_kind(const void *bytes, size_t size);

#endif
