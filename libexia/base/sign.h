/* Keys and signatures: ed25519 (RFC 8032) by libcrypto, in minisign's formats.
 *
 *     public key   "Ed" id(8) point(32)                        base64, 56 letters
 *     signature    untrusted comment: TEXT
 *                  "ED" id(8) ed25519(BLAKE2b-512(data))        base64; "Ed": ed25519(data)
 *                  trusted comment: COMMENT
 *                  ed25519(the 64 bytes above and COMMENT)      base64 */
#ifndef EXIA_BASE_SIGN_H
#define EXIA_BASE_SIGN_H

#include "exia/common.h"

enum {
    EXIA__KEY_TEXT_SIZE = 57,
    EXIA__KEY_ID_SIZE = 17,
    EXIA__SIGNATURE_LIMIT = 16384 /* bytes of its text */
};

typedef struct exia__public_key {
    unsigned char id[8], point[32];
} exia__public_key;

/* `what` names it in the error.  @return EXIA_EINVAL: also a key of another algorithm */
exia_status exia__public_key_parse(exia__public_key *out, const char *text, const char *what,
                                   exia_error *err);
exia_status exia__public_key_text(char out[EXIA__KEY_TEXT_SIZE], const exia__public_key *key,
                                  exia_error *err);
/* As minisign shows it: a number in hex, its lowest byte first in the file. */
void exia__key_id_text(char out[EXIA__KEY_ID_SIZE], const unsigned char id[8]);

/* ---- secret_key.c ---------------------------------------------------------------------------------- */

typedef struct exia__secret_key exia__secret_key;
exia_status exia__secret_key_make(exia__secret_key **out, exia_error *err);
/* `path` NULL: key.pem in the home.  @return EXIA_EDENIED: it is encrypted and the password is not
 * given (native ENOKEY) or wrong, or others may read it; EXIA_EINVAL: no ed25519 key */
exia_status exia__secret_key_read(exia__secret_key **out, const char *path, const char *password,
                                  exia_error *err);
const exia__public_key *exia__secret_key_public(const exia__secret_key *key);
exia_status exia__secret_key_sign(unsigned char signature[64], const exia__secret_key *key,
                                  const void *data, size_t size, exia_error *err);
void exia__secret_key_free(exia__secret_key *key);

/* ---- signatures ----------------------------------------------------------------------------- */

typedef struct exia__signature {
    int hashed;
    unsigned char id[8], bytes[64], global[64];
    char *comment; /* the trusted one */
} exia__signature;

/* @return EXIA_EINVAL: no signature in minisign's format */
exia_status exia__signature_parse(exia__signature *out, const char *text, exia_error *err);
void exia__signature_clear(exia__signature *signature);
/* Does it say that the key's owner signed these bytes, and this comment?  @return EXIA_EUNTRUSTED */
exia_status exia__signature_check(const exia__signature *signature, const exia__public_key *key,
                                  const void *data, size_t size, exia_error *err);
/* The text of a new one.  @return EXIA_EINVAL: the comment is not one line of text */
exia_status exia__signature_make(char **out, const exia__secret_key *key, const char *comment,
                                 const void *data, size_t size, exia_error *err);

#endif
