/* Public keys and signatures in minisign's formats.  What is signed is small, so it is hashed and
 * checked in one go. */
#include "base/sign.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/base64.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"

enum { HASH_SIZE = 64, COMMENT_LIMIT = 8192 };

static const char untrusted[] = "untrusted comment: ", trusted[] = "trusted comment: ";

/* ---- public keys ---------------------------------------------------------------------------- */

exia_status exia__public_key_parse(exia__public_key *out, const char *text, const char *what,
                                   exia_error *err)
{
    unsigned char raw[42 + 2];
    *out = (exia__public_key){{0}, {0}};
    if (exia__base64_decode(raw, 42, text, NULL) < 0)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "%s: no public key; one is \"RW...\", in all 56 letters", what);
    if (memcmp(raw, "Ed", 2) != 0)
        return exia__fail(err, EXIA_EINVAL, 0, "%s: a key of an algorithm that is not known", what);
    memcpy(out->id, raw + 2, 8);
    memcpy(out->point, raw + 10, 32);
    return EXIA_OK;
}

exia_status exia__public_key_text(char out[EXIA__KEY_TEXT_SIZE], const exia__public_key *key,
                                  exia_error *err)
{
    unsigned char raw[42] = "Ed";
    char *text = NULL;
    memcpy(raw + 2, key->id, 8);
    memcpy(raw + 10, key->point, 32);
    exia_status rc = exia__base64_encode(&text, raw, sizeof raw, err);
    if (rc == EXIA_OK)
        memcpy(out, text, EXIA__KEY_TEXT_SIZE);
    exia__release(text);
    return rc;
}

void exia__key_id_text(char out[EXIA__KEY_ID_SIZE], const unsigned char id[8])
{
    static const char digits[] = "0123456789ABCDEF";
    for (int i = 0; i < 8; i++) {
        out[2 * i] = digits[id[7 - i] >> 4];
        out[2 * i + 1] = digits[id[7 - i] & 15];
    }
    out[16] = '\0';
}

/* ---- texts ---------------------------------------------------------------------------------- */

/* A comment is one line; minisign's own have tabs in them. */
static int is_comment(const char *text, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        size_t end = at;
        while (end < size && text[end] != '\t')
            end++;
        if (!exia__text_valid(text + at, end - at))
            return 0;
        at = end;
    }
    return size <= COMMENT_LIMIT;
}

/* Cut the next line off `*at`; what is behind `before` in it is `*line`.  The last one may end with
 * the text. */
static int cut_line(const char **line, size_t *size, const char **at, const char *before)
{
    size_t skip = strlen(before), length = strcspn(*at, "\n");
    if (length < skip || memcmp(*at, before, skip) != 0)
        return 0;
    *line = *at + skip;
    *size = length - skip;
    *at += length + ((*at)[length] == '\n');
    return 1;
}

/* A line of base64 that holds exactly `wanted` bytes. */
static int cut_bytes(unsigned char *into, size_t wanted, const char **at)
{
    char text[104];
    const char *line = NULL;
    size_t size = 0;
    if (!cut_line(&line, &size, at, "") || size >= sizeof text)
        return 0;
    memcpy(text, line, size);
    text[size] = '\0';
    return exia__base64_decode(into, wanted, text, NULL) == EXIA_OK;
}

exia_status exia__signature_parse(exia__signature *out, const char *text, exia_error *err)
{
    unsigned char raw[74 + 2], global[64 + 2];
    const char *line = NULL, *comment = NULL, *at = text;
    size_t size = 0, comment_size = 0;
    *out = (exia__signature){0};
    if (strlen(text) > EXIA__SIGNATURE_LIMIT || !cut_line(&line, &size, &at, untrusted) ||
        !is_comment(line, size) || !cut_bytes(raw, 74, &at) ||
        !cut_line(&comment, &comment_size, &at, trusted) || !cut_bytes(global, 64, &at) ||
        *at != '\0' || !is_comment(comment, comment_size))
        return exia__fail(err, EXIA_EINVAL, 0, "this is no signature in minisign's format");
    if (memcmp(raw, "ED", 2) != 0 && memcmp(raw, "Ed", 2) != 0)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "the signature is of an algorithm that is not known");
    out->hashed = raw[1] == 'D';
    memcpy(out->id, raw + 2, 8);
    memcpy(out->bytes, raw + 10, 64);
    memcpy(out->global, global, 64);
    return exia__text_copy_n(&out->comment, comment, comment_size, err);
}

void exia__signature_clear(exia__signature *signature)
{
    exia__release(signature->comment);
    *signature = (exia__signature){0};
}

/* ---- checking and making -------------------------------------------------------------------- */

static exia_status blake2b(unsigned char out[HASH_SIZE], const void *data, size_t size,
                           exia_error *err)
{
    if (EVP_Digest(data, size, out, NULL, EVP_blake2b512(), NULL) != 1)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto refuses BLAKE2b-512");
    return EXIA_OK;
}

static exia_status verify(const unsigned char signature[64], EVP_PKEY *key, const void *data,
                          size_t size, exia_error *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    exia_status rc = context ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) != 1)
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto refuses ed25519");
    if (rc == EXIA_OK && EVP_DigestVerify(context, signature, 64, data, size) != 1)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0, "the signature is not of these bytes");
    EVP_MD_CTX_free(context);
    return rc;
}

/* What the second signature is over. */
static exia_status join(exia__buffer *out, const unsigned char signature[64], const char *comment,
                        exia_error *err)
{
    exia_status rc = exia__buffer_append(out, signature, 64, err);
    return rc < 0 ? rc : exia__buffer_text(out, comment, err);
}

exia_status exia__signature_check(const exia__signature *signature, const exia__public_key *key,
                                  const void *data, size_t size, exia_error *err)
{
    unsigned char hash[HASH_SIZE];
    exia__buffer joined = {0};
    exia_status rc = EXIA_OK;
    ERR_set_mark(); /* what fails here is told by us and stays out of the program's own queue */
    EVP_PKEY *point = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->point, 32);
    if (memcmp(signature->id, key->id, 8) != 0)
        rc = exia__fail(err, EXIA_EUNTRUSTED, 0, "the signature is of another key");
    else if (point == NULL)
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto refuses the ed25519 key");
    if (rc == EXIA_OK && signature->hashed) {
        rc = blake2b(hash, data, size, err);
        data = hash;
        size = sizeof hash;
    }
    if (rc == EXIA_OK)
        rc = verify(signature->bytes, point, data, size, err);
    if (rc == EXIA_OK)
        rc = join(&joined, signature->bytes, signature->comment, err);
    if (rc == EXIA_OK)
        rc = verify(signature->global, point, joined.data, joined.size, err);
    EVP_PKEY_free(point);
    ERR_pop_to_mark();
    exia__buffer_free(&joined);
    return rc;
}

exia_status exia__signature_make(char **out, const exia__secret_key *key, const char *comment,
                                 const void *data, size_t size, exia_error *err)
{
    unsigned char hash[HASH_SIZE], raw[74] = "ED", global[64];
    char id[EXIA__KEY_ID_SIZE], *first = NULL, *second = NULL;
    exia__buffer joined = {0};
    *out = NULL;
    if (!is_comment(comment, strlen(comment)))
        return exia__fail(err, EXIA_EINVAL, 0, "the comment is not one line of at most %d bytes",
                          COMMENT_LIMIT);
    const exia__public_key *public = exia__secret_key_public(key);
    exia__key_id_text(id, public->id);
    memcpy(raw + 2, public->id, 8);
    exia_status rc = blake2b(hash, data, size, err);
    if (rc == EXIA_OK)
        rc = exia__secret_key_sign(raw + 10, key, hash, sizeof hash, err);
    if (rc == EXIA_OK)
        rc = join(&joined, raw + 10, comment, err);
    if (rc == EXIA_OK)
        rc = exia__secret_key_sign(global, key, joined.data, joined.size, err);
    if (rc == EXIA_OK)
        rc = exia__base64_encode(&first, raw, sizeof raw, err);
    if (rc == EXIA_OK)
        rc = exia__base64_encode(&second, global, sizeof global, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(out, err, "%ssignature by the key %s\n%s\n%s%s\n%s\n", untrusted, id,
                               first, trusted, comment, second);
    exia__buffer_free(&joined);
    exia__release(first);
    exia__release(second);
    return rc;
}
