/* SHA-256 (FIPS 180-4) by libcrypto, and random tokens. */
#ifndef EXIA_BASE_HASH_H
#define EXIA_BASE_HASH_H

#include "base/job.h"

enum { EXIA__DIGEST_SIZE = 32, EXIA__HEX_SIZE = 65, EXIA__TOKEN_SIZE = 33 };

typedef struct exia__hash exia__hash;
exia_status exia__hash_open(exia__hash **out, exia_error *err);
exia_status exia__hash_update(exia__hash *hash, const void *data, size_t size, exia_error *err);
/* The digest of all so far; the hash then begins anew. */
exia_status exia__hash_finish(unsigned char digest[EXIA__DIGEST_SIZE], exia__hash *hash,
                              exia_error *err);
void exia__hash_free(exia__hash *hash);

/* Of one run of bytes, in lower-case hex. */
exia_status exia__hash_hex(char hex[EXIA__HEX_SIZE], const void *data, size_t size,
                           exia_error *err);
/* Of a range of a file, which `path` names in errors.  @param work  "hashing" is its step; may be NULL */
exia_status exia__hash_range(unsigned char digest[EXIA__DIGEST_SIZE], int fd, uint64_t offset,
                             uint64_t size, const char *path, exia__work *work, exia_error *err);
void exia__hex(char *out, const unsigned char *data, size_t size); /* 2 * size + 1 bytes */
int exia__hex_valid(const char *hex);                              /* 64 lower-case digits */

/* 128 random bits in hex: names an intent, or a temporary file. */
exia_status exia__token(char token[EXIA__TOKEN_SIZE], exia_error *err);

#endif
