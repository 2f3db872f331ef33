/* Interned names: a text becomes a small number once, and is found by one probe from then on. */
#ifndef EXIA_DAG_NAMES_H
#define EXIA_DAG_NAMES_H

#include "exia/common.h"

enum { EXIA__SHOWN_SIZE = 44 };
#define EXIA__NO_NAME UINT32_MAX

/* Zero-initialise.  Indices are 0, 1, 2 ... in order of addition; texts stay where they
 * are until one is removed. */
typedef struct exia__names {
    size_t count;       /* indices given, with or without a text */
    const char **texts; /* the first `text_capacity` of them; NULL: without */
    size_t text_capacity;
    uint64_t *table; /* open addressing: hash << 32 | index + 1; 0: empty */
    size_t table_size, table_used;
    struct exia__chunk *chunk; /* where texts lie, the newest first */
    size_t bytes, dead_bytes;  /* in chunks: of all texts, and of those that were removed */
} exia__names;

/* Add `count` texts, all or none; `texts` NULL, or a NULL in it: an index without a text.
 * @return EXIA_EEXISTS: a text is there already, EXIA_EINVAL: empty or not UTF-8 */
exia_status exia__names_add(exia__names *names, const char *const *texts, size_t count,
                            exia_error *err);
/* out[i]: the index of the decimal text of numbers[i], which is added where it is new; all or none. */
exia_status exia__names_intern(uint32_t *out, exia__names *names, const int64_t *numbers,
                               size_t count, exia_error *err);
/* Take the newest back; each has a text. */
void exia__names_cut(exia__names *names, size_t count);
/* Index i becomes to[i], ascending; UINT32_MAX: it goes. */
void exia__names_remove(exia__names *names, const uint32_t *to);
/* EXIA__NO_NAME when there is none. */
uint32_t exia__names_find(const exia__names *names, const char *text);
const char *exia__names_text(const exia__names *names, uint32_t index);
uint32_t exia__names_hash(const char *text, size_t size);
void exia__names_free(exia__names *names);

/* The text for an error, cut between characters: 'NAME' or 'NAM...'. */
const char *exia__shown(char out[EXIA__SHOWN_SIZE], const char *text);

#endif
