/* Packages that no honest writer makes: any members, any record, any metadata, in the right frames. */
#ifndef TESTS_FORGE_H
#define TESTS_FORGE_H

#include "package/format.h"

enum { FORGE_MEMBERS = 12 };

typedef struct forge {
    /* What lies in the tar, and what RECORD says; `content` of NULL is none. */
    exia__entry entries[FORGE_MEMBERS], recorded[FORGE_MEMBERS];
    const char *content[FORGE_MEMBERS];
    size_t count, recorded_count;
    const char *record;    /* RECORD itself; NULL: from `recorded` */
    const char *behind;    /* 512 bytes more between the members and RECORD, if not NULL */
    const char *padding;   /* the byte that pads contents; NULL: zero */
    const char *metadata;  /* METADATA.json itself; NULL: as it should be */
    const char *end;       /* 1024 bytes in place of the zero blocks */
    const char *signature; /* SIGNATURE; NULL: none */
    json_t *manifest;      /* that of METADATA.json; NULL: that of the veda.json made here */
    exia__metadata change; /* where not zero: members, size, record_size instead of the truth */
} forge;

/* A good package of veda.json, a directory "a" and a file "a/f", to be spoilt. */
void forge_begin(forge *out);
/* Add a member to both sides; it must come in path order to be good. */
exia__entry *forge_add(forge *f, char type, const char *path, const char *content_or_target);
void forge_write(forge *f, const char *path);

#endif
