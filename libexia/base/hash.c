/* SHA-256 through libcrypto's EVP, which picks the machine's own instructions. */
#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"

struct exia__hash {
    EVP_MD_CTX *context;
};

static exia_status begin(exia__hash *hash, exia_error *err)
{
    if (EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto refuses SHA-256");
    return EXIA_OK;
}

exia_status exia__hash_open(exia__hash **out, exia_error *err)
{
    *out = NULL;
    exia__hash *hash = exia__zeroed(1, sizeof *hash);
    if (hash == NULL)
        return exia__fail_memory(err);
    hash->context = EVP_MD_CTX_new();
    exia_status rc = hash->context ? begin(hash, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        *out = hash;
    else
        exia__hash_free(hash);
    return rc;
}

exia_status exia__hash_update(exia__hash *hash, const void *data, size_t size, exia_error *err)
{
    if (EVP_DigestUpdate(hash->context, data, size) != 1)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto fails at SHA-256");
    return EXIA_OK;
}

exia_status exia__hash_finish(unsigned char digest[EXIA__DIGEST_SIZE], exia__hash *hash,
                              exia_error *err)
{
    if (EVP_DigestFinal_ex(hash->context, digest, NULL) != 1)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto fails at SHA-256");
    return begin(hash, err);
}

void exia__hash_free(exia__hash *hash)
{
    if (hash != NULL)
        EVP_MD_CTX_free(hash->context);
    exia__release(hash);
}

void exia__hex(char *out, const unsigned char *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * size] = '\0';
}

int exia__hex_valid(const char *hex)
{
    return strlen(hex) == EXIA__HEX_SIZE - 1 &&
           strspn(hex, "0123456789abcdef") == EXIA__HEX_SIZE - 1;
}

exia_status exia__hash_hex(char hex[EXIA__HEX_SIZE], const void *data, size_t size, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    if (EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL) != 1)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto fails at SHA-256");
    exia__hex(hex, digest, sizeof digest);
    return EXIA_OK;
}

exia_status exia__hash_range(unsigned char digest[EXIA__DIGEST_SIZE], int fd, uint64_t offset,
                             uint64_t size, const char *path, exia__work *work, exia_error *err)
{
    enum { BLOCK = 1 << 20 };
    exia__hash *hash = NULL;
    char *block = exia__resize(NULL, size < BLOCK ? (size_t)size : BLOCK);
    exia_status rc = block ? exia__hash_open(&hash, err) : exia__fail_memory(err);
    for (uint64_t done = 0; rc == EXIA_OK && done < size;) {
        size_t some = size - done < BLOCK ? (size_t)(size - done) : BLOCK;
        if (work != NULL)
            rc = exia__work_step(work, "hashing", done, size, err);
        if (rc == EXIA_OK)
            rc = exia__read_at(fd, block, some, offset + done, path, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(hash, block, some, err);
        done += some;
    }
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, hash, err);
    exia__hash_free(hash);
    exia__release(block);
    return rc;
}

exia_status exia__token(char token[EXIA__TOKEN_SIZE], exia_error *err)
{
    unsigned char bits[(EXIA__TOKEN_SIZE - 1) / 2];
    ssize_t got = 0;
    do
        got = getrandom(bits, sizeof bits, 0);
    while (got < 0 && errno == EINTR);
    if (got != sizeof bits)
        return exia__fail_errno(err, got < 0 ? errno : EIO, "cannot read", "random bits");
    exia__hex(token, bits, sizeof bits);
    return EXIA_OK;
}
