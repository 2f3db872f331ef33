/* The directories of a store of files: shared by the files of the file: driver. */
#ifndef EXIA_DRIVERS_FILE_H
#define EXIA_DRIVERS_FILE_H

#include <pthread.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "exia/driver.h"

/* A blob whose way down was synced after it was seen: the same file is at the same key only as long
 * as it is not removed. */
typedef struct exia__synced {
    char key[80];
    uint64_t inode, device;
    int64_t birth_ns;
} exia__synced;

enum { EXIA__SYNCED = 16 };
typedef struct exia__blobdir {
    char *path; /* absolute */
    int fd, mode;
    pthread_mutex_t lock; /* of what follows */
    exia__synced synced[EXIA__SYNCED];
} exia__blobdir;

exia_status exia__blobdir_fail(exia_error *err, int code, const char *what,
                               const exia__blobdir *self, const char *key);
/* What lies at a key is a blob, or it is none: a directory is only a way to others. */
exia_status exia__blobdir_check(const struct stat *info, const exia__blobdir *self, const char *key,
                                exia_error *err);
/* Open a blob for reading, and see that it is a file. */
exia_status exia__blobdir_open(int *out, struct stat *info, const exia__blobdir *self,
                               const char *key, exia_error *err);
int64_t exia__blobdir_modified(const struct stat *info); /* in ms since 1970 */
int exia__blobdir_sync(int fd);

enum { EXIA__WALK_MAKE = 1, EXIA__WALK_SYNC = 2 };
/* Open the directory `name` in `at`, making it on the way if asked.  What is in the way is ENOTDIR
 * if a blob (when reading, ENOENT: so there is nothing below), else ELOOP. */
int exia__blobdir_enter(int at, const char *name, int flags);
/* Open the directory that holds `path`, whose last part is `*name`.  SYNC makes the way there
 * durable: also what a rival made a moment ago and has not synced yet. */
exia_status exia__blobdir_walk(int *out, const char **name, const exia__blobdir *self,
                               const char *path, int flags, exia_error *err);

/* Make the blob young that is `name` in `parent`, and the way to it durable.  What a rival linked a
 * moment ago is not synced yet; what this handle has synced already is not synced again. */
exia_status exia__blobdir_touch(exia__blobdir *self, const char *key, int parent, const char *name,
                                exia_error *err);

/* Where files lie until they have a name: no key is called so. */
#define EXIA__STAGING ".staging"
typedef struct exia__blobfile {
    int fd, folder, named; /* named: it has left the folder */
    uint64_t size;
    char token[EXIA__TOKEN_SIZE];
} exia__blobfile;

/* A new file in EXIA__STAGING, which is made on the way.  Unstage also after a failure. */
exia_status exia__blobdir_stage(exia__blobfile *out, const exia__blobdir *self, mode_t mode,
                                exia_error *err);
void exia__blobdir_unstage(exia__blobfile *file);
exia_status exia__blobdir_writable(const exia__blobdir *self, const char *key, exia_error *err);

/* The driver's `put`, `compose`, `put_as`, `adopt` and `list`. */
exia_status exia__blobdir_put(void *self, const char *key, const exia_source *source,
                              const exia_job *job, exia_error *err);
exia_status exia__blobdir_compose(void *self, const char *key, const exia_source *source,
                                  const exia_piece *pieces, size_t count, uint64_t *copied,
                                  const exia_job *job, exia_error *err);
exia_status exia__blobdir_put_as(void *self, const exia_source *source, exia_name_fn *name,
                                 void *payload, const exia_job *job, exia_error *err);
exia_status exia__blobdir_adopt(void *self, const char *key, int fd, const exia_job *job,
                                exia_error *err);
exia_status exia__blobdir_list(void *self, const char *prefix, exia_blob_fn *found, void *payload,
                               const exia_job *job, exia_error *err);

#endif
