/* AWS Signature Version 4, as its documentation has it: the request in a canonical form, hashed; that hash
 * with the time and the scope, signed by a key made from the secret for this day, region and service. */
#include "drivers/s3/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "drivers/http/given.h"

enum { DAY_SIZE = 8 /* "20130524" */, MOST_HEADERS = 16 };

static exia_status sign(unsigned char out[EXIA__DIGEST_SIZE], const void *key, size_t key_size,
                        const char *text, size_t size, exia_error *err)
{
    unsigned int got = 0;
    if (HMAC(EVP_sha256(), key, (int)key_size, (const unsigned char *)text, size, out, &got) ==
            NULL ||
        got != EXIA__DIGEST_SIZE)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto fails at HMAC-SHA-256");
    return EXIA_OK;
}

/* The headers in order: pointers to those of the request. */
static void sort(const exia__sigv4_header **out, const exia__sigv4 *request)
{
    for (size_t i = 0; i < request->header_count; i++) {
        size_t at = i;
        for (; at > 0 && strcmp(out[at - 1]->name, request->headers[i].name) > 0; at--)
            out[at] = out[at - 1];
        out[at] = &request->headers[i];
    }
}

static exia_status write_names(exia__buffer *out, const exia__sigv4_header **headers, size_t count,
                               exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = exia__buffer_format(out, err, "%s%s", i > 0 ? ";" : "", headers[i]->name);
    return rc;
}

static exia_status hash_request(char hex[EXIA__HEX_SIZE], const exia__sigv4 *request,
                                const exia__sigv4_header **headers, exia_error *err)
{
    exia__buffer text = {0};
    exia_status rc = exia__buffer_format(&text, err, "%s\n%s\n%s\n", request->method, request->path,
                                         request->query);
    for (size_t i = 0; rc == EXIA_OK && i < request->header_count; i++)
        rc = exia__buffer_format(&text, err, "%s:%s\n", headers[i]->name, headers[i]->value);
    if (rc == EXIA_OK)
        rc = exia__buffer_text(&text, "\n", err);
    if (rc == EXIA_OK)
        rc = write_names(&text, headers, request->header_count, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_format(&text, err, "\n%s", request->payload);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(hex, text.data, text.size, err);
    exia__buffer_free(&text);
    return rc;
}

static exia_status write_scope(exia__buffer *out, const exia__sigv4 *request, exia_error *err)
{
    return exia__buffer_format(out, err, "%.*s/%s/%s/aws4_request", DAY_SIZE, request->time,
                               request->region, request->service);
}

/* The key of this day, region and service; it signs `text`. */
static exia_status sign_in_scope(unsigned char out[EXIA__DIGEST_SIZE], const exia__sigv4 *request,
                                 const exia__buffer *text, exia_error *err)
{
    exia__buffer first = {0};
    exia_status rc = exia__buffer_format(&first, err, "AWS4%s", request->secret);
    if (rc == EXIA_OK)
        rc = sign(out, first.data, first.size, request->time, DAY_SIZE, err);
    const char *const rest[] = {request->region, request->service, "aws4_request"};
    for (size_t i = 0; rc == EXIA_OK && i < sizeof rest / sizeof *rest; i++)
        rc = sign(out, out, EXIA__DIGEST_SIZE, rest[i], strlen(rest[i]), err);
    if (rc == EXIA_OK)
        rc = sign(out, out, EXIA__DIGEST_SIZE, text->data, text->size, err);
    if (first.data != NULL)
        OPENSSL_cleanse(first.data, first.size);
    exia__buffer_free(&first);
    return rc;
}

/* The scope of its key, and its signature. */
static exia_status sign_request(char **scope_out, char signature[EXIA__HEX_SIZE],
                                const exia__sigv4 *request, exia_error *err)
{
    const exia__sigv4_header *headers[MOST_HEADERS];
    char hex[EXIA__HEX_SIZE];
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia__buffer text = {0}, scope = {0};
    sort(headers, request);
    exia_status rc = hash_request(hex, request, headers, err);
    if (rc == EXIA_OK)
        rc = write_scope(&scope, request, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_format(&text, err, "AWS4-HMAC-SHA256\n%s\n%s\n%s", request->time,
                                 scope.data, hex);
    if (rc == EXIA_OK)
        rc = sign_in_scope(digest, request, &text, err);
    if (rc == EXIA_OK) {
        exia__hex(signature, digest, sizeof digest);
        rc = exia__buffer_take(scope_out, &scope, err);
    }
    exia__buffer_free(&text);
    exia__buffer_free(&scope);
    return rc;
}

static exia_status check(const exia__sigv4 *request, exia_error *err)
{
    if (request->header_count <= MOST_HEADERS && strlen(request->time) > DAY_SIZE)
        return EXIA_OK;
    return exia__fail(err, EXIA_EINVAL, 0, "a request cannot be signed: %zu headers, time %.20s",
                      request->header_count, request->time);
}

exia_status exia__sigv4_sign(char **out, const exia__sigv4 *request, exia_error *err)
{
    const exia__sigv4_header *headers[MOST_HEADERS];
    char signature[EXIA__HEX_SIZE], *scope = NULL;
    exia__buffer text = {0};
    *out = NULL;
    exia_status rc = check(request, err);
    if (rc < 0)
        return rc;
    sort(headers, request);
    rc = sign_request(&scope, signature, request, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_format(
            &text, err, "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=", request->key, scope);
    if (rc == EXIA_OK)
        rc = write_names(&text, headers, request->header_count, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_format(&text, err, ",Signature=%s", signature);
    if (rc == EXIA_OK)
        rc = exia__buffer_take(out, &text, err);
    exia__buffer_free(&text);
    exia__release(scope);
    return rc;
}

/* "&name=value", the value encoded. */
static exia_status add_parameter(exia__buffer *query, const char *name, const char *value,
                                 exia_error *err)
{
    char *encoded = NULL;
    exia_status rc = exia__given->percent_encode(&encoded, value, "", err);
    if (rc == EXIA_OK)
        rc = exia__buffer_format(query, err, "%s%s=%s", query->size > 0 ? "&" : "", name, encoded);
    exia__release(encoded);
    return rc;
}

exia_status exia__sigv4_presign(char **out, const exia__sigv4 *request, int64_t seconds,
                                const char *token, exia_error *err)
{
    const exia__sigv4_header *headers[MOST_HEADERS];
    char signature[EXIA__HEX_SIZE], number[24], *scope = NULL;
    exia__sigv4 signed_request = *request;
    exia__buffer query = {0}, names = {0}, credential = {0};
    *out = NULL;
    exia_status rc = check(request, err);
    if (rc < 0)
        return rc;
    snprintf(number, sizeof number, "%lld", (long long)seconds);
    sort(headers, request);
    rc = exia__buffer_format(&credential, err, "%s/", request->key);
    if (rc == EXIA_OK)
        rc = write_scope(&credential, request, err);
    if (rc == EXIA_OK)
        rc = write_names(&names, headers, request->header_count, err);
    if (rc == EXIA_OK) /* in the order of their names, in which they are signed */
        rc = add_parameter(&query, "X-Amz-Algorithm", "AWS4-HMAC-SHA256", err);
    if (rc == EXIA_OK)
        rc = add_parameter(&query, "X-Amz-Credential", credential.data, err);
    if (rc == EXIA_OK)
        rc = add_parameter(&query, "X-Amz-Date", request->time, err);
    if (rc == EXIA_OK)
        rc = add_parameter(&query, "X-Amz-Expires", number, err);
    if (rc == EXIA_OK && token != NULL)
        rc = add_parameter(&query, "X-Amz-Security-Token", token, err);
    if (rc == EXIA_OK)
        rc = add_parameter(&query, "X-Amz-SignedHeaders", names.data, err);
    signed_request.query = query.data;
    signed_request.payload = "UNSIGNED-PAYLOAD";
    if (rc == EXIA_OK)
        rc = sign_request(&scope, signature, &signed_request, err);
    if (rc == EXIA_OK)
        rc = add_parameter(&query, "X-Amz-Signature", signature, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_take(out, &query, err);
    exia__buffer_free(&query);
    exia__buffer_free(&names);
    exia__buffer_free(&credential);
    exia__release(scope);
    return rc;
}
