/* What the frames of a package are made of: the members of a workspace, and RECORD. */
#ifndef EXIA_PACKAGE_CONTENTS_H
#define EXIA_PACKAGE_CONTENTS_H

#include "base/job.h"
#include "package/frames.h"
#include "package/walk.h"

/* Open a file that must stand as the walk found it.  @return EXIA_ECONFLICT: it changed */
exia_status exia__walk_file(int *fd, const exia__walk *walk, size_t i, exia_error *err);

/* Exactly so much of it.  @return EXIA_ECONFLICT: it was cut short */
exia_status exia__walk_read(int fd, void *into, size_t size, uint64_t offset, const char *path,
                            exia_error *err);

/* Write the members; the entries of files get their digests, `*size` is what these hold together. */
exia_status exia__write_members(uint64_t *size, exia__framer *framer, exia__walk *walk,
                                exia__work *work, exia_error *err);
/* Write RECORD; its size and the SHA-256 of it, in hex. */
exia_status exia__write_record(uint64_t *size, char hex[EXIA__HEX_SIZE], exia__framer *framer,
                               const exia__walk *walk, exia__work *work, exia_error *err);

#endif
