/* Store URLs are "scheme:rest"; whatever has no scheme is a plain path. */
#include "base/url.h"

#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"

/* Bytes of "scheme", or 0. */
static size_t scheme_size(const char *url)
{
    size_t size = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
    return size >= 2 && url[size] == ':' && url[0] >= 'a' && url[0] <= 'z' ? size : 0;
}

exia_status exia__url_scheme(char **out, const char *url, exia_error *err)
{
    size_t size = scheme_size(url);
    *out = NULL;
    return size == 0 ? EXIA_OK : exia__text_copy_n(out, url, size, err);
}

exia_status exia__url_path(char **out, const char *url, exia_error *err)
{
    *out = NULL;
    const char *rest = url + (scheme_size(url) ? scheme_size(url) + 1 : 0);
    if (strncmp(rest, "///", 3) == 0)
        rest += 2;
    else if (strncmp(rest, "//", 2) == 0)
        return exia__fail(err, EXIA_EINVAL, 0, /* not the URL, which may hold a password */
                          "a \"%.*s//\" names a host: a local path is scheme:/path or scheme:path",
                          (int)(rest - url), url);
    char *raw = NULL;
    exia_status rc = exia__text_copy_n(&raw, rest, strcspn(rest, "?"), err);
    if (rc == EXIA_OK)
        rc = exia__percent_decode(out, raw, err);
    exia__release(raw);
    if (rc == EXIA_OK && (*out)[0] == '\0') {
        exia__release(*out);
        *out = NULL;
        rc = exia__fail(err, EXIA_EINVAL, 0, "%.100s has no path", url);
    }
    return rc;
}

exia_status exia__url_from_path(char **out, const char *scheme, const char *path, exia_error *err)
{
    char *encoded = NULL;
    *out = NULL;
    exia_status rc = exia__percent_encode(&encoded, path, err);
    /* a path that begins with two slashes would read as a host */
    if (rc == EXIA_OK)
        rc = exia__text_format(out, err, "%s:%s%s", scheme,
                               strncmp(encoded, "//", 2) == 0 ? "//" : "",
                               encoded + (strncmp(encoded, "//", 2) == 0 ? 1 : 0));
    exia__release(encoded);
    return rc;
}

exia_status exia__url_redact(char **out, const char *url, exia_error *err)
{
    *out = NULL;
    const char *host = strstr(url, "://"), *user = host ? host + 3 : url;
    if (host == NULL && scheme_size(url) > 0) /* it may be that the slashes were forgotten */
        user += scheme_size(url) + 1;
    size_t authority = strcspn(user, "/?#");
    const char *at = memrchr(user, '@', authority);
    const char *colon = memchr(user, ':', at ? (size_t)(at - user) : authority);
    if (colon != NULL) /* a '/' or the like in a password ends the authority early */
        at = strrchr(colon, '@');
    if (colon == NULL || at == NULL)
        return exia__text_copy(out, url, err);
    return exia__text_format(out, err, "%.*s:***%s", (int)(colon - url), url, at);
}

/* ---- percent-encoding ----------------------------------------------------------------------- */

static const char path_marks[] = "._/+@-";

static int is_plain(char c, const char *marks, const char *keep)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr(marks, c) != NULL || strchr(keep, c) != NULL;
}

static size_t encoded_size(const char *text, const char *marks, const char *keep)
{
    size_t size = 0;
    for (; *text != '\0'; text++)
        size += is_plain(*text, marks, keep) ? 1 : 3;
    return size;
}

static exia_status encode(char **out, const char *text, const char *marks, const char *keep,
                          exia_error *err)
{
    static const char digits[] = "0123456789ABCDEF";
    char *at = exia__resize(NULL, encoded_size(text, marks, keep) + 1);
    *out = at;
    if (at == NULL)
        return exia__fail_memory(err);
    for (; *text != '\0'; text++) {
        if (is_plain(*text, marks, keep)) {
            *at++ = *text;
            continue;
        }
        *at++ = '%';
        *at++ = digits[(unsigned char)*text >> 4];
        *at++ = digits[*text & 15];
    }
    *at = '\0';
    return EXIA_OK;
}

exia_status exia__percent_encode(char **out, const char *text, exia_error *err)
{
    return encode(out, text, path_marks, "", err);
}

size_t exia__percent_size(const char *text)
{
    return encoded_size(text, path_marks, "");
}

exia_status exia__percent_encode_but(char **out, const char *text, const char *keep,
                                     exia_error *err)
{
    return encode(out, text, "._~-", keep, err);
}

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef0123456789ABCDEF";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)((at - digits) & 15);
}

char *exia__percent_decode_n(char *into, const char *text, size_t size)
{
    for (const char *from = text, *end = text + size; from < end; into++) {
        int high = *from == '%' && end - from > 2 ? hex_value(from[1]) : -1;
        int low = high >= 0 ? hex_value(from[2]) : -1;
        if (*from == '%' && (low < 0 || high + low == 0))
            return NULL;
        *into = *from == '%' ? (char)(high * 16 + low) : *from;
        from += *from == '%' ? 3 : 1;
    }
    *into = '\0';
    return into + 1;
}

exia_status exia__percent_decode(char **out, const char *text, exia_error *err)
{
    exia_status rc = exia__text_copy(out, text, err);
    if (rc < 0 || exia__percent_decode_n(*out, text, strlen(text)) != NULL)
        return rc;
    exia__release(*out);
    *out = NULL;
    return exia__fail(err, EXIA_EINVAL, 0, "\"%.100s\" has a '%%' without two hex digits", text);
}
