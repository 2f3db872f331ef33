/* A package as it comes: its frames from a pipe or socket, and the members in them. */
#ifndef EXIA_PACKAGE_FEED_H
#define EXIA_PACKAGE_FEED_H

#include <stdatomic.h>

#include "package/format.h"
#include "package/place.h"

/* What bytes come from. */
typedef struct exia__feed {
    int fd;
    const char *name; /* for errors */
    int64_t stall_ms; /* how long nothing may come */
    atomic_ullong done;
    /* Called ten times a second while nothing comes; its failure ends the reading. */
    exia_status (*wait)(void *payload, exia_error *err);
    void *payload;
} exia__feed;
/* Exactly `size` bytes.  @return EXIA_DONE: not one of them, the end is here; EXIA_ECORRUPT: some */
exia_status exia__feed_read(exia__feed *feed, void *into, size_t size, exia_error *err);

/* One frame, and memory that is used again for the next. */
typedef struct exia__packed {
    unsigned char *data;
    size_t size, room;
    uint32_t plain; /* bytes when it is decompressed; 0: it is skippable, and `data` its header */
} exia__packed;
/* The next frame whole, and no byte behind it; of a skippable one the header.
 * @return EXIA_DONE: the end; EXIA_ECORRUPT: no frame, or one that no package has */
exia_status exia__feed_frame(exia__packed *out, exia__feed *feed, exia_error *err);

/* The tar of a package that is pushed through, frame by frame: members, then RECORD, which must be
 * what came before it.  Zero-initialise but for the first three. */
typedef struct exia__members {
    const char *name;     /* of the package, for errors */
    exia__place *place;   /* where files and directories go; NULL: nowhere */
    uint64_t free;        /* bytes that files may have there together */
    int fd;               /* of the file that is being written */
    int next;             /* what comes */
    exia__entry *entries; /* owned, each with its texts behind `path` */
    size_t count, capacity;
    exia__buffer header, line; /* so far; that of RECORD which is compared */
    exia__buffer manifest;     /* veda.json */
    size_t whole;              /* bytes that the header needs */
    uint64_t left, done;       /* of content */
    size_t line_done, recorded;
    exia__hash *hash;
    uint64_t frames, data_frames; /* so far; those before RECORD */
    uint64_t header_frame;        /* the one that begins with the header; 0: none does */
    uint64_t size, tar_size, record_size;
    uint64_t lines_size;         /* of RECORD, for the members so far */
    char digest[EXIA__HEX_SIZE]; /* of RECORD */
} exia__members;
/* The content of the next frame.  @return EXIA_ECORRUPT, EXIA_ENOSPACE */
exia_status exia__members_add(exia__members *members, const void *data, size_t size,
                              exia_error *err);
/* Nothing more comes: was RECORD the last, and whole? */
exia_status exia__members_end(const exia__members *members, exia_error *err);
void exia__members_free(exia__members *members);

#endif
