/* The writing side of frames: bytes go in, independent zstd frames come out. */
#ifndef EXIA_PACKAGE_FRAMES_H
#define EXIA_PACKAGE_FRAMES_H

#include "exia/common.h"

/* Where a stream is cut: at content, between `least` and `most` bytes, rarely before `mean` (a power
 * of two) and soon after it, put off to the end of the member when that is within `snap`. */
typedef struct exia__cuts {
    size_t least, mean, most, snap;
} exia__cuts;
extern const exia__cuts exia__cuts_data, exia__cuts_record;

/* How many of `size` more bytes belong to a frame that has `filled` already; cutting starts anew
 * with exia__cutter_begin().  `left` is what the member has left, of these bytes and after. */
typedef struct exia__cutter {
    uint64_t table[256], hash;
    exia__cuts cuts;
    size_t filled, end; /* end: where the frame is cut; `most` until that is known */
    int found;
} exia__cutter;
void exia__cutter_open(exia__cutter *cutter);
void exia__cutter_begin(exia__cutter *cutter, const exia__cuts *cuts);
size_t exia__cutter_take(exia__cutter *cutter, const unsigned char *data, size_t size,
                         uint64_t left);

typedef struct exia__framer exia__framer;
/* Frames are appended to `fd`, which is borrowed; `path` names it in errors. */
exia_status exia__framer_open(exia__framer **out, int fd, const char *path, int level,
                              exia_error *err);
/* Cut what follows in this way; a frame that is begun is written first. */
exia_status exia__framer_cuts(exia__framer *framer, const exia__cuts *cuts, exia_error *err);
/* A member of `size` bytes, headers and padding included, begins. */
void exia__framer_member(exia__framer *framer, uint64_t size);
exia_status exia__framer_add(exia__framer *framer, const void *data, size_t size, exia_error *err);
/* Write what is begun as a frame. */
exia_status exia__framer_flush(exia__framer *framer, exia_error *err);
uint64_t exia__framer_count(const exia__framer *framer); /* of frames so far */
/* The skippable frame with the digests of all frames so far, and their own digest in hex. */
exia_status exia__framer_digests(char *hex, exia__framer *framer, exia_error *err);
/* One frame of raw blocks: no compression, and one way to write it. */
exia_status exia__framer_stored(exia__framer *framer, const void *data, size_t size,
                                exia_error *err);
/* The seek table, last of all. */
exia_status exia__framer_table(exia__framer *framer, exia_error *err);
void exia__framer_free(exia__framer *framer);

#endif
