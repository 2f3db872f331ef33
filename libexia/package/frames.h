/* The writing side of frames: bytes go in, independent zstd frames come out. */
#ifndef EXIA_PACKAGE_FRAMES_H
#define EXIA_PACKAGE_FRAMES_H

#include "base/hash.h"

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

/* A frame on its way: filled, then compressed beside others, then written in order. */
typedef struct exia__draft {
    unsigned char *plain, *packed; /* EXIA__MOST_PLAIN bytes, and room for them compressed */
    size_t size, packed_size;
    unsigned char digest[EXIA__DIGEST_SIZE]; /* of `packed` */
    size_t member;                           /* for the source: which one it begins in, */
    uint64_t skip;                           /* and how many bytes of it were before */
} exia__draft;

/* What frames are made of.  Any function but fill() and step() may be NULL. */
typedef struct exia__source {
    /* Add to an empty draft by exia__draft_add() until that is full, or a frame shall end, or there is
     * no more, in this order.  Still empty: no more. */
    exia_status (*fill)(exia__draft *draft, exia__framer *framer, void *payload, exia_error *err);
    /* Look at it beside others, with a hash to be used; look at it in order. */
    exia_status (*beside)(const exia__draft *draft, exia__hash *hash, void *payload,
                          exia_error *err);
    exia_status (*in_order)(const exia__draft *draft, void *payload, exia_error *err);
    exia_status (*step)(void *payload, exia_error *err); /* as that of a crew */
    const exia__cuts *cuts;
    uint64_t size; /* of all its bytes, about: little needs few threads */
} exia__source;

/* Frames are appended to `fd`, which is borrowed; `path` names it in errors. */
exia_status exia__framer_open(exia__framer **out, int fd, const char *path, int level,
                              uint32_t threads, exia_error *err);
/* Write all that a source has. */
exia_status exia__framer_run(exia__framer *framer, const exia__source *source, void *payload,
                             exia_error *err);
/* A member of `size` bytes, headers and padding included, begins. */
void exia__framer_member(exia__framer *framer, uint64_t size);
/* How many of these bytes still belong to the draft, which has them now; they may lie in their place
 * already, at draft->plain + draft->size.  Fewer than `size`: a cut is behind them. */
size_t exia__draft_add(exia__draft *draft, exia__framer *framer, const void *data, size_t size);
int exia__draft_full(const exia__draft *draft, const exia__framer *framer);

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
