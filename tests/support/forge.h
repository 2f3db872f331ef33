/* Packages that no honest writer makes.  One is made in stages, each from the stage before:
 *
 *     members -> tar and RECORD -> frames -> digests, METADATA.json and end -> file
 *
 * A test goes as far as it likes, changes what is there, and lets the rest be made of that: so all
 * digests, sizes and indexes are right but for the one lie. */
#ifndef TESTS_FORGE_H
#define TESTS_FORGE_H

#include "package/format.h"

/* Each has this in its METADATA.json, and should have it as veda.json. */
#define FORGE_MANIFEST "{\"format\":1,\"name\":\"forged\",\"version\":\"1\"}"

enum { FORGE_MEMBERS = 12, FORGE_FRAMES = 40 };

typedef struct forge_frame {
    exia__buffer packed;
    uint32_t size, plain; /* what the seek table says of it */
} forge_frame;

typedef struct forge {
    /* What lies in the tar, and what RECORD says; `content` of NULL is none. */
    exia__entry entries[FORGE_MEMBERS], recorded[FORGE_MEMBERS];
    const char *content[FORGE_MEMBERS];
    size_t count, recorded_count;
    size_t cut; /* bytes of one frame; 0: as many as there may be */

    /* For METADATA.json and behind; NULL or zero: as it should be. */
    const char *metadata;  /* METADATA.json itself */
    json_t *manifest;      /* the one it holds */
    exia__metadata change; /* its numbers */
    const char *signature; /* SIGNATURE; NULL: none */
    const char *end;       /* 1024 bytes in place of the zero blocks */

    int stage; /* how far it was made */
    exia__buffer tar, record;
    uint64_t size;                    /* of all files in RECORD */
    forge_frame frames[FORGE_FRAMES]; /* all but the seek table */
    size_t frame_count, data_frames, record_frames;
    exia__buffer file;
} forge;

/* A good package of veda.json, a directory "a" and a file "a/f", to be spoilt. */
void forge_begin(forge *out);
/* Add a member to both sides; it must come in path order to be good. */
exia__entry *forge_add(forge *f, char type, const char *path, const char *content_or_target);

void forge_tar(forge *f);    /* fills tar and record */
void forge_frames(forge *f); /* fills frames, those of the tar and of RECORD */
void forge_tail(forge *f);   /* three frames more */
void forge_file(forge *f);   /* fills file: the frames and their table */
void forge_write(forge *f, const char *path);
void forge_free(forge *f);

/* Where member `index` has its header in the tar: behind its long names, if there are any. */
unsigned char *forge_header(forge *f, size_t index);
/* Let a header's checksum be right again. */
void forge_sum(unsigned char *header);
/* A member whole, at the end of a buffer. */
void forge_put(exia__buffer *tar, const exia__entry *entry, const void *content);
void forge_text(exia__buffer *buffer, const char *text); /* instead of what it holds */

/* Compress into frames behind those that are there; one frame before `index`, as it is. */
void forge_pack(forge *f, const void *data, size_t size);
forge_frame *forge_insert(forge *f, size_t index, const void *packed, size_t size, size_t plain);

#endif
