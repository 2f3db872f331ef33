/* Packages of known content, made once for processes that do with them what they want, and what is
 * looked at from outside: whether a directory holds what was packed, whether a blob is whole. */
#ifndef TESTS_STOCK_H
#define TESTS_STOCK_H

#include "base/hash.h"
#include "support/check.h"

enum { STOCK_NAMES = 6, STOCK_VERSIONS = 3, STOCK_ITEMS = STOCK_NAMES * STOCK_VERSIONS };
/* An identity has two contents, of which only one can be published. */
enum { STOCK_NONE, STOCK_ONE, STOCK_OTHER, STOCK_CONTENTS };

typedef struct stock_item {
    char name[8], version[16], package[24], target[24]; /* n@v, n/v/any */
    const char *needs;                                  /* as in veda.json; NULL: nothing */
    const char *file[STOCK_CONTENTS]; /* by content; those of STOCK_NONE are empty */
    char digest[STOCK_CONTENTS][EXIA__HEX_SIZE], hex[STOCK_CONTENTS][EXIA__HEX_SIZE];
    uint64_t tree[STOCK_CONTENTS]; /* stock_tree() of what is installed */
} stock_item;
extern stock_item stock[STOCK_ITEMS];

/* Pack all of it below check_path("stock"). */
void stock_make(void);
/* Its number, or -1; its content, or STOCK_NONE. */
int stock_find(const char *name, const char *version);
int stock_content(int item, const char *digest);

/* A number that tells one directory with all its files from another; 0: it cannot be read. */
uint64_t stock_tree(const char *directory);
/* The SHA-256 of a file; empty: it cannot be read. */
void stock_hash(char hex[EXIA__HEX_SIZE], const char *path);

#endif
