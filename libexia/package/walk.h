/* What there is to pack: the members of a workspace in path order, less what is ignored. */
#ifndef EXIA_PACKAGE_WALK_H
#define EXIA_PACKAGE_WALK_H

#include <sys/stat.h>

#include "base/job.h"
#include "package/format.h"

/* How a file stood when it was found. */
typedef struct exia__stamp {
    dev_t device;
    ino_t inode;
    nlink_t links;
    off_t size;
    struct timespec modified, changed;
} exia__stamp;
exia__stamp exia__stamp_of(const struct stat *info);
int exia__stamp_equal(const exia__stamp *a, const exia__stamp *b);

typedef struct exia__walk {
    int root;             /* fd of the workspace */
    exia__entry *entries; /* in path order, checked; without digests */
    exia__stamp *stamps;  /* of each */
    size_t count, capacity;
} exia__walk;

/* @return EXIA_EINVAL: a member that no package carries, with its path */
exia_status exia__walk_open(exia__walk *out, const char *workspace, exia__work *work,
                            exia_error *err);
void exia__walk_free(exia__walk *walk);

#endif
