/* Putting members where they belong: the private directory that becomes the target, and what lies in
 * it.  Every path is opened beneath it and no link is followed. */
#ifndef EXIA_PACKAGE_PLACE_H
#define EXIA_PACKAGE_PLACE_H

#include <sys/types.h>

#include "exia/common.h"

/* A directory that must be absent or empty, being filled beside its place, where nobody else can
 * enter.  What holds it and itself are held open: whoever renames things there gains nothing. */
typedef struct exia__target {
    int folder, root; /* what holds it; the private directory in there */
    char *path, *staging;
    const char *name; /* in the folder: the end of `path` */
    mode_t mode;      /* when it is shown */
} exia__target;
/* @return EXIA_EEXISTS: it is not empty; EXIA_EINVAL: it is the working directory */
exia_status exia__target_open(exia__target *out, const char *directory, exia_error *err);
/* Sync what is in it and rename it to its place.  @param unsynced  not zero: the system may sync */
exia_status exia__target_show(exia__target *target, int unsynced, exia_error *err);
void exia__target_close(exia__target *target); /* what was not shown is removed */

/* Members below a directory.  Each thread has one of its own, on one root. */
typedef struct exia__place {
    const char *directory; /* for errors; borrowed, as is the root */
    int root;
    int parent; /* the directory that was used last */
    char *parent_path;
    size_t parent_size;
} exia__place;
exia__place exia__place_open(int root, const char *directory);
void exia__place_close(exia__place *place);
exia_status exia__place_directory(exia__place *place, const char *path, exia_error *err);
/* Create a file for writing.  @param mode  what it gets in the end; for now 0600 is added */
exia_status exia__place_file(int *fd, exia__place *place, const char *path, mode_t mode,
                             exia_error *err);
/* The same file again, for writing, before it has its mode. */
exia_status exia__place_file_again(int *fd, exia__place *place, const char *path, exia_error *err);
/* Make it that long; what is not written is zero. */
exia_status exia__place_size(int fd, const exia__place *place, const char *path, uint64_t size,
                             exia_error *err);
exia_status exia__place_bytes(int fd, const exia__place *place, const char *path, const void *data,
                              size_t size, uint64_t offset, exia_error *err);
/* Set the mode and close it, in any case. */
exia_status exia__place_file_end(int fd, const exia__place *place, const char *path, mode_t mode,
                                 exia_error *err);
exia_status exia__place_link(exia__place *place, const char *path, const char *target,
                             exia_error *err);
exia_status exia__place_hard_link(exia__place *place, const char *path, const char *file,
                                  exia_error *err);
/* Of a directory; after all that lies in it. */
exia_status exia__place_mode(exia__place *place, const char *path, mode_t mode, exia_error *err);

#endif
