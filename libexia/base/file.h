/* Files: whole or not at all, durable before success is told, private where staged. */
#ifndef EXIA_BASE_FILE_H
#define EXIA_BASE_FILE_H

#include <sys/stat.h>

#include "exia/common.h"

/* A file that appears whole.  Write to `fd`, then commit; free drops what was not committed.  Until
 * then it has no name where the file system can do that, so that a crash leaves nothing; else it lies
 * beside the target as .exia-TOKEN. */
typedef struct exia__staged {
    int fd, named; /* named: `temporary` is there */
    char *path, *temporary;
} exia__staged;

enum {
    EXIA__REPLACE = 1, /* commit replaces; else a target that is there is EXIA_EEXISTS */
    EXIA__SECRET = 2   /* mode 0600; else 0666 less the umask */
};
exia_status exia__stage(exia__staged *out, const char *path, int flags, exia_error *err);
/* fsync, rename (never over another file unless EXIA__REPLACE), fsync of the directory. */
exia_status exia__stage_commit(exia__staged *staged, int flags, exia_error *err);
void exia__stage_free(exia__staged *staged);

/* All bytes of `data` to `path`, staged. */
exia_status exia__file_write(const char *path, const void *data, size_t size, int flags,
                             exia_error *err);
/* A regular file of at most `limit` bytes (more is EXIA_EINVAL), with a NUL behind it. */
exia_status exia__file_read(char **out, size_t *size, const char *path, size_t limit,
                            exia_error *err);
exia_status exia__write_all(int fd, const void *data, size_t size, const char *path,
                            exia_error *err);
/* Exactly `size` bytes at `offset`; a file that ends before is EXIA_ECORRUPT. */
exia_status exia__read_at(int fd, void *into, size_t size, uint64_t offset, const char *path,
                          exia_error *err);
/* Append `size` bytes at `offset` of a file to an fd (shared by both where the file system can do
 * that); a file that ends before is EXIA_ECORRUPT. */
exia_status exia__copy_range(int fd, int from, uint64_t offset, uint64_t size, const char *path,
                             exia_error *err);
/* Copy a regular file to an fd (reflink or copy_file_range where possible). */
exia_status exia__copy_to(int fd, int from, const char *path, exia_error *err);

/* Make the directory and its parents (0777 less the umask, and never writable by others than the
 * user unless the parents say so: mode 0755), durably.  There already is EXIA_OK. */
exia_status exia__directory_make(const char *path, exia_error *err);
exia_status exia__directory_sync(const char *path, exia_error *err);
/* Remove a tree, files and links, never through a link; absent is EXIA_OK. */
exia_status exia__tree_remove(const char *path, exia_error *err);
/* The same for all that is in an open directory; `path` names it in errors. */
exia_status exia__tree_empty(int directory, const char *path, exia_error *err);
/* Copy a file or a tree; links are copied as links, other types are EXIA_EINVAL. */
exia_status exia__tree_copy(const char *from, const char *to, exia_error *err);

/* As renameat, but never over a file; over an empty directory at most, and that only where the file
 * system cannot do better.  @return 0, or -1 with errno */
int exia__rename_absent(int from_at, const char *from, int to_at, const char *to);

/* `a`/`b`. */
exia_status exia__path_join(char **out, const char *a, const char *b, exia_error *err);
/* From the working directory on, if it is relative. */
exia_status exia__path_absolute(char **out, const char *path, exia_error *err);
const char *exia__path_base(const char *path); /* behind the last '/' */
/* What is before it: "." for a bare name. */
exia_status exia__path_folder(char **out, const char *path, exia_error *err);
/* Is that type of a file system (statfs(2)) one whose pages come over a network? */
int exia__is_network(uint32_t type);
int exia__path_exists(const char *path); /* also a dangling link */

/* `home`, or when NULL EXIA_HOME, else XDG_DATA_HOME/exia, else ~/.local/share/exia; absolute. */
exia_status exia__home(char **out, const char *home, exia_error *err);

#endif
