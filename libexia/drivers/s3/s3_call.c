/* One request to S3: described once, signed anew for each attempt, its failure told in words.
 *
 * What a server says of a failure is in the XML of its answer; HEAD has none, so there the status alone
 * must do. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/memory.h"
#include "drivers/s3/s3.h"
#include "drivers/s3/sigv4.h"

/* ---- describe ------------------------------------------------------------------------------- */

exia_status exia__s3_path(char **out, const exia__s3 *self, const char *key, exia_error *err)
{
    char *raw = NULL;
    exia_status rc = exia__text_format(&raw, err, "/%s%s%s%s", self->bucket, key ? "/" : "",
                                       key ? self->prefix : "", key ? key : "");
    *out = NULL;
    if (rc == EXIA_OK)
        rc = exia__given->percent_encode(out, raw, "/", err);
    exia__release(raw);
    return rc;
}

exia_status exia__s3_call_open(exia__s3_call *call, exia__s3 *self, const char *what,
                               const char *method, const char *key, exia_error *err)
{
    *call = (exia__s3_call){.self = self, .what = what, .method = method, .room = EXIA__S3_SMALL};
    exia_status rc = exia__s3_path(&call->path, self, key, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_query(call, err, "%s", "");
    if (rc == EXIA_OK)
        rc = exia__hash_hex(call->sha256, "", 0, err);
    return rc;
}

static exia_status print(char **out, const char *format, va_list arguments, exia_error *err)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    *out = size < 0 ? NULL : exia__resize(NULL, (size_t)size + 1);
    if (*out != NULL)
        vsnprintf(*out, (size_t)size + 1, format, again);
    va_end(again);
    return *out ? EXIA_OK : exia__fail_memory(err);
}

exia_status exia__s3_call_query(exia__s3_call *call, exia_error *err, const char *format, ...)
{
    va_list arguments;
    exia__release(call->query);
    call->query = NULL;
    va_start(arguments, format);
    exia_status rc = print(&call->query, format, arguments, err);
    va_end(arguments);
    return rc;
}

exia_status exia__s3_call_header(exia__s3_call *call, const char *name, exia_error *err,
                                 const char *format, ...)
{
    va_list arguments;
    size_t at = 0;
    while (at < call->extra_count && strcmp(call->extras[at].name, name) != 0)
        at++;
    if (at == EXIA__S3_EXTRAS)
        return exia__fail(err, EXIA_EINVAL, 0, "a request has no room for the header %s", name);
    exia__release(call->extras[at].value);
    call->extras[at].name = name;
    call->extras[at].value = NULL;
    call->extra_count += at == call->extra_count;
    va_start(arguments, format);
    exia_status rc = print(&call->extras[at].value, format, arguments, err);
    va_end(arguments);
    return rc;
}

exia_status exia__s3_call_body(exia__s3_call *call, const void *body, size_t size, exia_error *err)
{
    call->body = body;
    call->body_size = size;
    return exia__hash_hex(call->sha256, body, size, err);
}

void exia__s3_call_bare(exia__s3_call *call)
{
    while (call->extra_count > 0) {
        exia__release(call->extras[--call->extra_count].value);
        call->extras[call->extra_count].value = NULL;
    }
}

void exia__s3_call_free(exia__s3_call *call)
{
    exia__s3_call_bare(call);
    exia__release(call->path);
    exia__release(call->query);
    exia__exchange_free(&call->x);
    *call = (exia__s3_call){0};
}

/* ---- send ----------------------------------------------------------------------------------- */

void exia__s3_now(char out[EXIA__S3_NOW_SIZE])
{
    struct tm utc;
    time_t seconds = (time_t)(exia__given->now_ms() / 1000);
    gmtime_r(&seconds, &utc);
    strftime(out, EXIA__S3_NOW_SIZE, "%Y%m%dT%H%M%SZ", &utc);
}

/* The request as it is now: signed with the time of this attempt. */
static exia_status prepare(exia__exchange *x, exia_error *err)
{
    exia__s3_call *call = x->payload;
    const exia__s3 *self = call->self;
    exia__sigv4_header headers[EXIA__S3_EXTRAS + 4];
    char now[EXIA__S3_NOW_SIZE], *signature = NULL;
    size_t count = 0;
    exia__s3_now(now);
    headers[count++] = (exia__sigv4_header){"host", self->host};
    headers[count++] = (exia__sigv4_header){"x-amz-content-sha256", call->sha256};
    headers[count++] = (exia__sigv4_header){"x-amz-date", now};
    if (self->token != NULL)
        headers[count++] = (exia__sigv4_header){"x-amz-security-token", self->token};
    for (size_t i = 0; i < call->extra_count; i++)
        headers[count++] = (exia__sigv4_header){call->extras[i].name, call->extras[i].value};
    exia__sigv4 request = {.method = call->method,
                           .path = call->path,
                           .query = call->query,
                           .headers = headers,
                           .header_count = count,
                           .payload = call->sha256,
                           .time = now,
                           .region = self->region,
                           .service = "s3",
                           .key = self->key,
                           .secret = self->secret};
    exia_status rc = exia__sigv4_sign(&signature, &request, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = exia__exchange_header(x, headers[i].name, headers[i].value, err);
    if (rc == EXIA_OK)
        rc = exia__exchange_header(x, "authorization", signature, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_format(&x->url, err, "%s%s%s%s", self->endpoint, call->path,
                                 *call->query ? "?" : "", call->query);
    x->method = call->method;
    x->body = strcmp(call->method, "PUT") == 0 || strcmp(call->method, "POST") == 0
                  ? (call->body ? call->body : "")
                  : NULL;
    x->body_size = call->body_size;
    x->room = call->room;
    exia__release(signature);
    return rc;
}

static exia_status finish(exia__exchange *x, exia_error *err)
{
    exia__s3_call *call = x->payload;
    if (call->answered != NULL)
        return call->answered(call, err);
    return x->status / 100 == 2 ? EXIA_DONE : exia__s3_call_failed(call, err);
}

void exia__s3_call_ready(exia__s3_call *call)
{
    call->x.payload = call;
    call->x.prepare = prepare;
    call->x.finish = finish;
}

exia_status exia__s3_call_run(exia__s3_call *call, exia_work *work, const char *step,
                              exia_error *err)
{
    exia__course course = {.work = work, .step = step};
    exia__exchange *only = &call->x;
    exia__s3_call_ready(call);
    return exia__http_run(call->self->http, &only, 1, &course, err);
}

/* ---- failures ------------------------------------------------------------------------------- */

static const struct {
    const char *code;
    exia_status status;
    const char *remedy;
} codes[] = {
    {"NoSuchKey", EXIA_ENOTFOUND, ""},
    {"NoSuchBucket", EXIA_EINVAL, ": make it first"}, /* this driver never does */
    {"NoSuchUpload", EXIA_ENOTFOUND, ""},
    {"InvalidPart", EXIA_ENOTFOUND, ""}, /* noted, and not there: of another upload */
    {"AccessDenied", EXIA_EDENIED, ": this key may not do it"},
    {"InvalidAccessKeyId", EXIA_EDENIED, ": the server does not know this key"},
    {"SignatureDoesNotMatch", EXIA_EDENIED, ": the secret is not this key's"},
    {"ExpiredToken", EXIA_EDENIED, ": get new keys and a new AWS_SESSION_TOKEN"},
    {"InvalidToken", EXIA_EDENIED, ": get new keys and a new AWS_SESSION_TOKEN"},
    {"InvalidTokenId", EXIA_EDENIED, ": get new keys and a new AWS_SESSION_TOKEN"},
    {"RequestTimeTooSkewed", EXIA_EDENIED, ": set this machine's clock"},
    {"AuthorizationHeaderMalformed", EXIA_EDENIED, ": is ?region= in the URL right?"},
    {"PermanentRedirect", EXIA_EINVAL, ": is this the bucket's endpoint?"},
    {"PreconditionFailed", EXIA_ECONFLICT, ""},
    {"NotModified", EXIA_ECONFLICT, ""},
    {"ConditionalRequestConflict", EXIA_EUNAVAILABLE, ""},
    {"OperationAborted", EXIA_EUNAVAILABLE, ""},
    {"RequestTimeout", EXIA_EUNAVAILABLE, ""},
    {"InternalError", EXIA_EUNAVAILABLE, ""},
    {"SlowDown", EXIA_EUNAVAILABLE, ""},
    {"ServiceUnavailable", EXIA_EUNAVAILABLE, ""},
    {"BadDigest", EXIA_EUNAVAILABLE, ""}, /* damaged on its way */
    {"XAmzContentSHA256Mismatch", EXIA_EUNAVAILABLE, ""},
    {"XAmzContentChecksumMismatch", EXIA_EUNAVAILABLE, ""},
    {"IncompleteBody", EXIA_EUNAVAILABLE, ""},
    {"QuotaExceeded", EXIA_ENOSPACE, ""},
    {"XMinioStorageFull", EXIA_ENOSPACE, ""},
    {"NotImplemented", EXIA_EUNSUPPORTED, ""},
    {"MethodNotAllowed", EXIA_EUNSUPPORTED, ""},
    {"InvalidBucketName", EXIA_EINVAL, ""},
};

static exia_status of_status(long status)
{
    return status == 404                                     ? EXIA_ENOTFOUND
           : status == 401 || status == 403                  ? EXIA_EDENIED
           : status == 412 || status == 304                  ? EXIA_ECONFLICT
           : status == 416                                   ? EXIA_EINVAL
           : status == 507                                   ? EXIA_ENOSPACE
           : status == 501 || status == 405                  ? EXIA_EUNSUPPORTED
           : status == 408 || status == 429 || status >= 500 ? EXIA_EUNAVAILABLE
                                                             : EXIA_EIO;
}

typedef struct failure {
    char code[64], message[120];
} failure;

static exia_status read_failure(const char *name, const char *text, void *payload, exia_error *err)
{
    failure *told = payload;
    (void)err;
    if (strcmp(name, "Code") == 0)
        snprintf(told->code, sizeof told->code, "%s", text);
    else if (strcmp(name, "Message") == 0)
        snprintf(told->message, sizeof told->message, "%s", text);
    return EXIA_OK;
}

exia_status exia__s3_call_failed(const exia__s3_call *call, exia_error *err)
{
    const exia__exchange *x = &call->x;
    failure told = {"", ""};
    exia_status status = of_status(x->status);
    const char *remedy = "";
    if (x->status / 100 == 3 && x->status != 304)
        return exia__fail(err, EXIA_EINVAL, (int32_t)x->status,
                          "%s: %s: the server sends elsewhere (%ld), which is not followed with "
                          "keys: use the right endpoint and region",
                          call->self->shown, call->what, x->status);
    if (x->text.size > 0)
        (void)exia__s3_xml(x->text.data, x->text.size, read_failure, &told, NULL);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (strcmp(codes[i].code, told.code) == 0) {
            status = codes[i].status;
            remedy = codes[i].remedy;
        }
    }
    if (*told.code == '\0' && x->text.size > 0 && status == EXIA_EIO)
        remedy = ": is this a server of S3?";
    const char *key = call->path + 1 + strcspn(call->path + 1, "/");
    return exia__fail(err, status, (int32_t)x->status, "%s: %s%s%.80s: %ld %s%s%s%s",
                      call->self->shown, call->what, *key ? " " : "", key, x->status, told.code,
                      remedy, *remedy == '\0' && *told.message ? ": " : "",
                      *remedy == '\0' ? told.message : "");
}

exia_status exia__s3_call_checked(exia__s3_call *call, exia_error *err)
{
    failure told = {"", ""};
    exia_status rc = call->x.status / 100 == 2 ? EXIA_OK : exia__s3_call_failed(call, err);
    if (rc == EXIA_OK)
        rc = exia__s3_xml(call->x.text.data, call->x.text.size, read_failure, &told, err);
    if (rc == EXIA_OK && *told.code != '\0')
        rc = exia__s3_call_failed(call, err);
    return rc == EXIA_OK ? EXIA_DONE : rc;
}

int64_t exia__s3_time(const char *date)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char month[4] = "";
    struct tm utc = {0};
    if (sscanf(date, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &utc.tm_mday, month, &utc.tm_year,
               &utc.tm_hour, &utc.tm_min, &utc.tm_sec) != 6)
        return -1;
    const char *at = strlen(month) == 3 ? strstr(months, month) : NULL;
    if (at == NULL || (at - months) % 3 != 0)
        return -1;
    utc.tm_mon = (int)(at - months) / 3;
    utc.tm_year -= 1900;
    time_t seconds = timegm(&utc);
    return seconds < 0 ? -1 : (int64_t)seconds * 1000;
}
