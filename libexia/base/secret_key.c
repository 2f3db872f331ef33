/* Secret keys: PKCS#8 in PEM, which OpenSSL's own tool reads too.  With a password it is encrypted by
 * AES-256-CBC under a key from scrypt (RFC 7914; N 2^14, r 8, p 5: 16 MiB, a fifth of a second).  What
 * was secret in memory is wiped. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/sign.h"
#include "exia/trust.h"

enum { PEM_LIMIT = 16384, PASSWORD_LIMIT = 1000, SCRYPT_N = 1 << 14, SCRYPT_R = 8, SCRYPT_P = 5 };

struct exia__secret_key {
    EVP_PKEY *pkey;
    exia__public_key public;
};

static exia_status refused(exia_error *err, const char *what)
{
    if (ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE)
        return exia__fail_memory(err);
    return exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto cannot %s", what);
}

/* Takes over `pkey`. */
static exia_status take(exia__secret_key **out, EVP_PKEY *pkey, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    size_t size = sizeof(*out)->public.point;
    exia__secret_key *key = exia__zeroed(1, sizeof *key);
    exia_status rc = key ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK &&
        (EVP_PKEY_get_raw_public_key(pkey, key->public.point, &size) != 1 ||
         EVP_Digest(key->public.point, size, digest, NULL, EVP_sha256(), NULL) != 1))
        rc = refused(err, "tell the public key");
    if (rc < 0) {
        exia__release(key);
        EVP_PKEY_free(pkey);
        return rc;
    }
    memcpy(key->public.id, digest, sizeof key->public.id);
    key->pkey = pkey;
    *out = key;
    return EXIA_OK;
}

exia_status exia__secret_key_make(exia__secret_key **out, exia_error *err)
{
    *out = NULL;
    ERR_set_mark();
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    exia_status rc = pkey ? take(out, pkey, err) : refused(err, "make an ed25519 key");
    ERR_pop_to_mark();
    return rc;
}

void exia__secret_key_free(exia__secret_key *key)
{
    if (key != NULL)
        EVP_PKEY_free(key->pkey);
    exia__release(key);
}

const exia__public_key *exia__secret_key_public(const exia__secret_key *key)
{
    return &key->public;
}

exia_status exia__secret_key_sign(unsigned char signature[64], const exia__secret_key *key,
                                  const void *data, size_t size, exia_error *err)
{
    size_t made = 64;
    ERR_set_mark();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    exia_status rc = context ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && (EVP_DigestSignInit(context, NULL, NULL, NULL, key->pkey) != 1 ||
                          EVP_DigestSign(context, signature, &made, data, size) != 1))
        rc = refused(err, "sign with ed25519");
    EVP_MD_CTX_free(context);
    ERR_pop_to_mark();
    return rc;
}

/* ---- reading -------------------------------------------------------------------------------- */

static int give_password(char *into, int size, int writing, void *payload)
{
    const char *password = payload;
    (void)writing;
    if (password == NULL || strlen(password) > (size_t)size)
        return -1;
    memcpy(into, password, strlen(password));
    return (int)strlen(password);
}

static exia_status parse(exia__secret_key **out, const char *text, size_t size, const char *path,
                         const char *password, exia_error *err)
{
    int encrypted = strstr(text, "-----BEGIN ENCRYPTED PRIVATE KEY-----") != NULL;
    if (encrypted && password == NULL)
        return exia__fail(err, EXIA_EDENIED, ENOKEY, "%s is encrypted: its password is needed",
                          path);
    BIO *bio = BIO_new_mem_buf(text, (int)size);
    if (bio == NULL)
        return exia__fail_memory(err);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, give_password, (void *)password);
    exia_status rc = EXIA_OK;
    if (pkey == NULL && encrypted)
        rc = exia__fail(err, EXIA_EDENIED, 0, "the password is not that of %s", path);
    else if (pkey == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is no secret key in PEM", path);
    else if (EVP_PKEY_get_id(pkey) != EVP_PKEY_ED25519)
        rc = exia__fail(err, EXIA_EINVAL, 0, "%s is no key of ed25519", path);
    if (rc == EXIA_OK) {
        rc = take(out, pkey, err);
        pkey = NULL;
    }
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    return rc;
}

static exia_status standard_path(char **out, const char *path, exia_error *err)
{
    char *home = NULL;
    *out = NULL;
    if (path != NULL)
        return exia__text_copy(out, path, err);
    exia_status rc = exia__home(&home, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__path_join(out, home, "key.pem", err);
    exia__release(home);
    return rc;
}

exia_status exia__secret_key_read(exia__secret_key **out, const char *path, const char *password,
                                  exia_error *err)
{
    struct stat info;
    char *where = NULL, *text = NULL;
    size_t size = 0;
    *out = NULL;
    exia_status rc = standard_path(&where, path, err);
    if (rc == EXIA_OK)
        rc = exia__file_read(&text, &size, where, PEM_LIMIT, err);
    if (rc == EXIA_ENOTFOUND && path == NULL)
        rc = exia__fail(err, rc, 0, "there is no secret key %s: make one, or name another", where);
    if (rc == EXIA_OK && stat(where, &info) == 0 && (info.st_mode & 077) != 0)
        rc = exia__fail(err, EXIA_EDENIED, 0, "others may read the secret key %s: chmod 600 it",
                        where);
    ERR_set_mark();
    if (rc == EXIA_OK)
        rc = parse(out, text, size, where, password, err);
    ERR_pop_to_mark();
    if (text != NULL)
        OPENSSL_cleanse(text, size);
    exia__release(text);
    exia__release(where);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int encrypt(BIO *bio, PKCS8_PRIV_KEY_INFO *info, const char *password)
{
    X509_ALGOR *scheme =
        PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 16, NULL, SCRYPT_N, SCRYPT_R, SCRYPT_P);
    X509_SIG *sealed =
        scheme ? PKCS8_set0_pbe(password, (int)strlen(password), info, scheme) : NULL;
    if (sealed == NULL) {
        X509_ALGOR_free(scheme);
        return 0;
    }
    int done = PEM_write_bio_PKCS8(bio, sealed);
    X509_SIG_free(sealed);
    return done;
}

static exia_status write_secret(const exia__secret_key *key, const char *path, const char *password,
                                exia_error *err)
{
    char *text = NULL;
    ERR_set_mark();
    BIO *bio = BIO_new(BIO_s_secmem());
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key->pkey);
    int done = bio != NULL && info != NULL &&
               (password ? encrypt(bio, info, password)
                         : PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio, info)) == 1;
    exia_status rc = done ? EXIA_OK : refused(err, "write the secret key");
    if (rc == EXIA_OK) {
        long size = BIO_get_mem_data(bio, &text);
        rc = exia__file_write(path, text, (size_t)size, EXIA__SECRET, err);
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    BIO_free(bio);
    ERR_pop_to_mark();
    return rc;
}

static exia_status write_public(const exia__secret_key *key, const char *path, exia_error *err)
{
    char text[EXIA__KEY_TEXT_SIZE], id[EXIA__KEY_ID_SIZE], *whole = NULL;
    exia_status rc = exia__public_key_text(text, &key->public, err);
    exia__key_id_text(id, key->public.id);
    if (rc == EXIA_OK)
        rc = exia__text_format(&whole, err, "untrusted comment: public key %s\n%s\n", id, text);
    if (rc == EXIA_OK)
        rc = exia__file_write(path, whole, strlen(whole), 0, err);
    exia__release(whole);
    return rc;
}

static exia_status describe(char **out, const exia__secret_key *key, const char *secret,
                            const char *public, exia_error *err)
{
    char text[EXIA__KEY_TEXT_SIZE], id[EXIA__KEY_ID_SIZE];
    exia_status rc = exia__public_key_text(text, &key->public, err);
    if (rc < 0 || out == NULL)
        return rc;
    exia__key_id_text(id, key->public.id);
    json_t *made = json_pack("{s:s, s:s}", "id", id, "key", text);
    rc = exia__json_set(made, "secret_file", json_string(secret), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(made, "public_file", json_string(public), err);
    if (rc == EXIA_OK)
        rc = exia__json_text(out, made, err);
    json_decref(made);
    return rc;
}

/* Both files, or none: an old one is never written over. */
static exia_status write_both(char **out, const exia__secret_key *key, const char *secret,
                              const char *public, const char *password, exia_error *err)
{
    if (exia__path_exists(public))
        return exia__fail(err, EXIA_EEXISTS, 0, "%s is there already", public);
    exia_status rc = write_secret(key, secret, password, err);
    if (rc < 0)
        return rc;
    rc = write_public(key, public, err);
    if (rc == EXIA_OK)
        rc = describe(out, key, secret, public, err);
    if (rc < 0) {
        unlink(secret);
        if (rc != EXIA_EEXISTS)
            unlink(public);
    }
    return rc;
}

exia_status exia_key_new(char **out, const char *secret_file, const char *password, exia_error *err)
{
    exia__secret_key *key = NULL;
    char *secret = NULL, *public = NULL, *home = NULL;
    if (out != NULL)
        *out = NULL;
    if ((secret_file != NULL && *secret_file == '\0') ||
        (password != NULL && (*password == '\0' || strlen(password) > PASSWORD_LIMIT)))
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_key_new: the file is empty, or the password has not 1 to %d bytes",
                          PASSWORD_LIMIT);
    exia_status rc = standard_path(&secret, secret_file, err);
    if (rc == EXIA_OK && secret_file == NULL)
        rc = exia__home(&home, NULL, err);
    if (rc == EXIA_OK && secret_file == NULL)
        rc = exia__directory_make(home, err);
    if (rc == EXIA_OK) {
        size_t size = strlen(secret);
        size_t stem = size > 4 && strcmp(secret + size - 4, ".pem") == 0 ? size - 4 : size;
        rc = exia__text_format(&public, err, "%.*s.pub", (int)stem, secret);
    }
    if (rc == EXIA_OK)
        rc = exia__secret_key_make(&key, err);
    if (rc == EXIA_OK)
        rc = write_both(out, key, secret, public, password, err);
    exia__secret_key_free(key);
    exia__release(public);
    exia__release(secret);
    exia__release(home);
    return rc;
}
