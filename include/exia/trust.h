/* Keys: who signs, and whose signatures count.
 *
 * A key is of ed25519 (RFC 8032).  Public keys and signatures are in the formats of minisign, so that
 * its tool checks them and its keys are taken; a secret key is a PKCS#8 PEM file.  Whose signatures
 * count says the trust file, beside the policy for pickles:
 *
 *     {"format": 1, "packages": [], "constructors": [], "require_signature": false, "keys": [
 *         {"name": "alice", "key": "RWQ..."},
 *         {"name": "bob", "key": "RWR...", "revoked": "2026-01-31T23:59:59.123Z", "why": "lost"}]}
 *
 * With "require_signature" true, no `.veda` file is verified, unpacked or installed that is not signed
 * by one of the keys.
 *
 * Whoever may write this file decides what runs, so one that others may write is not taken; nor is
 * one with a member that is not known.  `trust_file` NULL is trust.json in the user's home of Exia,
 * which need not be there.
 *
 * Threads: any. */
#ifndef EXIA_TRUST_H
#define EXIA_TRUST_H

#include "exia/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Make a pair of keys: the secret one, which only the user can read (mode 0600), and beside it the
 * public one, FILE.pub for FILE.pem.  Neither may be there yet.  The new key is not trusted by that.
 *
 * @param[out] out     JSON {id, key, secret_file, public_file}: `key` is the public one, `id` is how
 *                     minisign shows it: the first 8 bytes of its SHA-256 as a number; may be NULL
 * @param secret_file  NULL: key.pem in the user's home of Exia
 * @param password     encrypts the file (AES-256, the key from scrypt); NULL: it is not encrypted
 * @return EXIA_EEXISTS, EXIA_EINVAL: an empty password, or one of more than 1000 bytes
 */
EXIA_API exia_status exia_key_new(char **out, const char *secret_file, const char *password,
                                  exia_error *err);

/* The keys of a trust file: rows {name, id, key, revoked, why}; `revoked` is when, or null. */
EXIA_API exia_status exia_keys(exia_rows **out, const char *trust_file, exia_error *err);

/* From now on signatures of this key count, as those of `name`.  Doing it again is no error.
 *
 * @param key  minisign's text of a public key, "RW..." and in all 56 letters, or a file that has it
 * @return EXIA_EEXISTS: the name has another key, or the key another name; EXIA_EUNTRUSTED: the key
 *         was revoked; EXIA_EINVAL: no public key
 */
EXIA_API exia_status exia_key_trust(const char *trust_file, const char *name, const char *key,
                                    exia_error *err);

/* From now on no signature of this key counts, whenever it was made; it stays known as revoked.
 * Doing it again is no error.
 *
 * @param name  its name, its id, or the public key itself
 * @param why   for those who meet such a signature; may be NULL
 * @return EXIA_ENOTFOUND
 */
EXIA_API exia_status exia_key_revoke(const char *trust_file, const char *name, const char *why,
                                     exia_error *err);

/* How to sign: a version of a model, a package. */
typedef struct exia_sign_options {
    size_t struct_size;
    const char *secret_file; /* NULL: key.pem in the user's home of Exia */
    const char *password;    /* of that file; NULL: it is not encrypted */
    const char *comment;     /* one line, which is signed, too; NULL: what is signed, by its name */
    const char
        *signature;      /* NULL, or one made elsewhere, such as by minisign, with a trusted key */
    const char *message; /* why; goes into a model's history, and a package has none */
} exia_sign_options;

#ifdef __cplusplus
}
#endif
#endif
