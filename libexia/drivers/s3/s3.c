/* Blobs in a bucket of S3: "s3+https://host/bucket/prefix?region=eu-central-1", path style.
 *
 * A blob is an object, its key behind the prefix.  Blobs are created only where none is, which the server
 * promises by "If-None-Match: *"; a server that does not is asked first whether the key is there, and of two
 * who put one key in the same moment the later one stays: as keys of blobs are digests, with the same bytes. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "drivers/s3/s3.h"
#include "drivers/s3/sigv4.h"

enum { LONGEST_URL_S = 7 * 24 * 3600 }; /* as S3 has it */

/* ---- open, close ---------------------------------------------------------------------------- */

static void free_self(exia__s3 *self, void (*free_http)(exia__http *http))
{
    free_http(self->http);
    exia__release(self->shown);
    exia__release(self->endpoint);
    exia__release(self->host);
    exia__release(self->bucket);
    exia__release(self->prefix);
    exia__release(self->region);
    exia__release(self->authorities);
    exia__release(self->key);
    exia__release(self->secret);
    exia__release(self->token);
    exia__release(self);
}

static void s3_close(void *self)
{
    free_self(self, exia__http_free);
}

static void s3_abandon(void *self)
{
    free_self(self, exia__http_abandon);
}

/* The path of the URL: bucket, and what stands before each key. */
static exia_status take_path(exia__s3 *self, const exia_url *url, exia_error *err)
{
    size_t bucket = strcspn(url->path, "/");
    const char *prefix = url->path + bucket + strspn(url->path + bucket, "/");
    size_t size = strlen(prefix);
    while (size > 0 && prefix[size - 1] == '/')
        size--;
    exia_status rc = EXIA_OK;
    if (memchr(url->path, '@', bucket) != NULL)
        rc =
            exia__fail(err, EXIA_EINVAL, 0,
                       "%.120s has a '@' in the name of its bucket: a '/' in a secret is %%2F, and "
                       "a '@' is %%40",
                       url->shown);
    else if (bucket == 0 || *url->path == '.')
        rc = exia__fail(err, EXIA_EINVAL, 0, "%.120s names no bucket: write //host/bucket/prefix",
                        url->shown);
    for (const char *at = prefix; rc == EXIA_OK && at < prefix + size;) {
        size_t part = strcspn(at, "/");
        if (part == 0 || *at == '.')
            rc = exia__fail(err, EXIA_EINVAL, 0,
                            "%.120s: a part of its prefix is empty or begins with '.'", url->shown);
        at += part + 1;
    }
    if (rc == EXIA_OK)
        rc = exia__text_copy_n(&self->bucket, url->path, bucket, err);
    if (rc == EXIA_OK)
        rc =
            exia__text_format(&self->prefix, err, "%.*s%s", (int)size, prefix, size > 0 ? "/" : "");
    return rc;
}

static exia_status take_host(exia__s3 *self, const exia_url *url, exia_error *err)
{
    const char *scheme = strcmp(url->scheme, "s3+https") == 0 ? "https" : "http";
    const int v6 = strchr(url->host, ':') != NULL;
    char port[16] = "";
    if (url->port != 0 && url->port != (scheme[4] == 's' ? 443 : 80))
        snprintf(port, sizeof port, ":%d", url->port);
    exia_status rc = exia__text_format(&self->host, err, "%s%s%s%s", v6 ? "[" : "", url->host,
                                       v6 ? "]" : "", port);
    if (rc == EXIA_OK)
        rc = exia__text_format(&self->endpoint, err, "%s://%s", scheme, self->host);
    if (rc == EXIA_OK)
        rc = exia__text_format(&self->shown, err, "s3 %.100s/%.60s", self->endpoint, self->bucket);
    return rc;
}

static exia_status take_options(exia__s3 *self, const exia_url *url, exia_error *err)
{
    const char *region = secure_getenv("AWS_REGION");
    if (region == NULL || *region == '\0')
        region = secure_getenv("AWS_DEFAULT_REGION");
    if (region == NULL || *region == '\0')
        region = "us-east-1";
    const char *authorities = secure_getenv("AWS_CA_BUNDLE");
    if (authorities == NULL || *authorities == '\0')
        authorities = secure_getenv("SSL_CERT_FILE");
    for (size_t i = 0; i < url->option_count; i++) {
        const exia_url_option *option = &url->options[i];
        if (strcmp(option->name, "region") == 0)
            region = option->value;
        else if (strcmp(option->name, "ca") == 0)
            authorities = option->value;
        else
            return exia__fail(err, EXIA_EINVAL, 0,
                              "%s: there is no option \"%.60s\": write ?region= or ?ca=",
                              self->shown, option->name);
    }
    size_t good = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-_");
    if (good == 0 || region[good] != '\0')
        return exia__fail(err, EXIA_EINVAL, 0, "%s: \"%.60s\" is no region", self->shown, region);
    exia_status rc = exia__text_copy(&self->region, region, err);
    if (rc == EXIA_OK && authorities != NULL && *authorities != '\0')
        rc = exia__text_copy(&self->authorities, authorities, err);
    return rc;
}

static exia_status see_listing(const char *name, const char *text, void *payload, exia_error *err)
{
    (void)text;
    (void)err;
    if (strcmp(name, "ListBucketResult") == 0)
        *(int *)payload = 1;
    return EXIA_OK;
}

/* A listing in XML: else it is a server of another kind. */
static exia_status ask_answered(exia__s3_call *call, exia_error *err)
{
    int listing = 0;
    exia_status rc = call->x.status == 200 ? EXIA_OK : exia__s3_call_failed(call, err);
    if (rc < 0 && rc != EXIA_ENOTFOUND) /* which would say that it is empty */
        return rc;
    if (rc == EXIA_OK)
        rc = exia__s3_xml(call->x.text.data, call->x.text.size, see_listing, &listing, NULL);
    if (rc == EXIA_ENOMEM)
        return exia__fail_memory(err);
    return listing ? EXIA_DONE
                   : exia__fail(err, EXIA_EINVAL, (int32_t)call->x.status,
                                "%s: there is no server of S3, or no bucket", call->self->shown);
}

/* Ask for one name: whether the server is there, knows the keys, and has the bucket. */
static exia_status ask(exia__s3 *self, exia_work *work, const char *what, char *server,
                       size_t server_size, int64_t *now_ms, exia_error *err)
{
    exia__s3_call call = {0};
    char date[64] = "";
    exia_status rc = exia__s3_call_open(&call, self, what, "GET", NULL, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_query(&call, err, "%s", "list-type=2&max-keys=1");
    call.answered = ask_answered;
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, work, "asking", err);
    if (rc == EXIA_OK && server != NULL)
        exia__exchange_answer(server, server_size, &call.x, "Server");
    if (rc == EXIA_OK && now_ms != NULL) {
        exia__exchange_answer(date, sizeof date, &call.x, "Date");
        *now_ms = exia__s3_time(date);
        if (*now_ms < 0)
            rc = exia__fail(err, EXIA_EUNSUPPORTED, 0, "%s does not tell the time", self->shown);
    }
    exia__s3_call_free(&call);
    return rc;
}

static exia_status s3_open(void **out, const char *text, int mode, const exia_job *job,
                           exia_error *err)
{
    exia_url *url = NULL;
    exia_work *work = NULL;
    *out = NULL;
    exia__s3 *self = exia__zeroed(1, sizeof *self);
    if (self == NULL)
        return exia__fail_memory(err);
    self->mode = mode;
    atomic_init(&self->create_only, 0);
    exia_status rc = exia__given->work_open(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__given->url_open(&url, text, err);
    if (rc == EXIA_OK)
        rc = take_path(self, url, err);
    if (rc == EXIA_OK)
        rc = take_host(self, url, err);
    if (rc == EXIA_OK)
        rc = take_options(self, url, err);
    if (rc == EXIA_OK)
        rc = exia__s3_keys(self, url, err);
    if (rc == EXIA_OK) {
        exia__http_options options = {.shown = self->shown, .ca_file = self->authorities};
        rc = exia__http_open(&self->http, &options, err);
    }
    if (rc == EXIA_OK)
        rc = ask(self, work, "open", NULL, 0, NULL, err);
    if (rc == EXIA_OK)
        *out = self;
    else
        s3_close(self);
    exia__release(work);
    exia__release(url);
    return rc;
}

exia_status exia__s3_writable(const exia__s3 *self, const char *key, exia_error *err)
{
    if (self->mode == EXIA_STORE_WRITE)
        return EXIA_OK;
    return exia__fail(err, EXIA_EDENIED, 0, "%s was opened for reading: \"%.60s\" stays as it is",
                      self->shown, key);
}

/* ---- stat, remove, now ---------------------------------------------------------------------- */

exia_status exia__s3_look(uint64_t *size, int64_t *modified_ms, char etag[EXIA__S3_ETAG_SIZE],
                          exia__s3 *self, const char *key, exia_work *work, exia_error *err)
{
    exia__s3_call call = {0};
    char text[64], *end = NULL;
    exia_status rc = exia__s3_call_open(&call, self, "stat", "HEAD", key, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, work, "asking", err);
    if (rc == EXIA_OK) {
        exia__exchange_answer(text, sizeof text, &call.x, "Content-Length");
        *size = strtoull(text, &end, 10);
        if (end == text || *end != '\0')
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s: stat %.80s: no size in the answer",
                            self->shown, key);
        exia__exchange_answer(text, sizeof text, &call.x, "Last-Modified");
        *modified_ms = exia__s3_time(text);
        if (etag != NULL)
            exia__exchange_answer(etag, EXIA__S3_ETAG_SIZE, &call.x, "ETag");
    }
    exia__s3_call_free(&call);
    return rc;
}

static exia_status s3_stat(uint64_t *size, int64_t *modified_ms, void *payload, const char *key,
                           const exia_job *job, exia_error *err)
{
    exia_work *work = NULL;
    exia_status rc = exia__given->work_open(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__s3_look(size, modified_ms, NULL, payload, key, work, err);
    exia__release(work);
    return rc;
}

static exia_status s3_remove(void *payload, const char *key, const exia_job *job, exia_error *err)
{
    exia__s3 *self = payload;
    exia__s3_call call = {0};
    exia_work *work = NULL;
    exia_status rc = exia__s3_writable(self, key, err);
    if (rc == EXIA_OK)
        rc = exia__given->work_open(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_open(&call, self, "remove", "DELETE", key, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, work, "removing", err);
    if (rc == EXIA_ENOTFOUND && call.x.status == 404)
        rc = exia__forgive(err);
    exia__s3_call_free(&call);
    exia__release(work);
    return rc;
}

static exia_status s3_now(int64_t *ms, void *payload, const exia_job *job, exia_error *err)
{
    exia_work *work = NULL;
    exia_status rc = exia__given->work_open(&work, job, err);
    if (rc == EXIA_OK)
        rc = ask(payload, work, "now", NULL, 0, ms, err);
    exia__release(work);
    return rc;
}

/* ---- for readers without keys --------------------------------------------------------------- */

static exia_status s3_url(char **url, void *payload, const char *key, int64_t seconds,
                          exia_error *err)
{
    const exia__s3 *self = payload;
    const exia__sigv4_header headers[] = {{"host", self->host}};
    char now[EXIA__S3_NOW_SIZE], *path = NULL, *query = NULL;
    if (seconds > LONGEST_URL_S)
        return exia__fail(err, EXIA_EINVAL, 0, "%s: a URL is good for seven days at most",
                          self->shown);
    exia__s3_now(now);
    exia_status rc = exia__s3_path(&path, self, key, err);
    if (rc == EXIA_OK) {
        const exia__sigv4 request = {.method = "GET",
                                     .path = path,
                                     .headers = headers,
                                     .header_count = 1,
                                     .time = now,
                                     .region = self->region,
                                     .service = "s3",
                                     .key = self->key,
                                     .secret = self->secret};
        rc = exia__sigv4_presign(&query, &request, seconds, self->token, err);
    }
    if (rc == EXIA_OK)
        rc = exia__text_format(url, err, "%s%s?%s", self->endpoint, path, query);
    exia__release(path);
    exia__release(query);
    return rc;
}

/* ---- check ---------------------------------------------------------------------------------- */

static exia_status s3_check(void *payload, exia_record_fn *row, void *row_payload, exia_error *err)
{
    exia__s3 *self = payload;
    exia_work *work = NULL;
    char server[80] = "", number[32];
    int64_t now_ms = 0;
    exia_status rc = exia__given->work_open(&work, NULL, err);
    if (rc == EXIA_OK)
        rc = ask(self, work, "check", server, sizeof server, &now_ms, err);
    const struct {
        const char *key, *text;
    } facts[] = {
        {"endpoint", self->endpoint}, {"bucket", self->bucket}, {"prefix", self->prefix},
        {"region", self->region},     {"server", server},
    };
    for (size_t i = 0; rc == EXIA_OK && i < sizeof facts / sizeof *facts; i++)
        rc = exia__given->tell_text(row, row_payload, facts[i].key, facts[i].text, err);
    if (rc == EXIA_OK) {
        snprintf(number, sizeof number, "%lld",
                 (long long)((exia__given->now_ms() - now_ms) / 1000));
        rc = row("clock_ahead_s", number, 0, row_payload, err);
    }
    if (rc == EXIA_OK && self->mode == EXIA_STORE_WRITE)
        rc = exia__s3_probe(self, work, err);
    int known = atomic_load(&self->create_only);
    if (rc == EXIA_OK && known == 0)
        known = exia__s3_probed(self);
    if (rc == EXIA_OK)
        rc =
            exia__given->tell_text(row, row_payload, "create_only",
                                   known > 0   ? "kept by the server"
                                   : known < 0 ? "ignored by the server: of two who put one key at "
                                                 "once the later one stays"
                                               : "not tried yet: the first put from here does",
                                   err);
    exia__release(work);
    return rc;
}

/* ---- the module ----------------------------------------------------------------------------- */

static const exia_blobs_ops s3_blobs = {
    .struct_size = sizeof s3_blobs,
    .put = exia__s3_put,
    .get = exia__s3_get,
    .stat = s3_stat,
    .list = exia__s3_list,
    .touch = exia__s3_touch,
    .remove = s3_remove,
    .now = s3_now,
    .compose = exia__s3_compose,
    .url = s3_url,
};

static const exia_driver s3_driver = {
    .struct_size = sizeof s3_driver,
    .name = "s3",
    .schemes = "s3+http s3+https",
    .open = s3_open,
    .close = s3_close,
    .abandon = s3_abandon,
    .check = s3_check,
    .blobs = &s3_blobs,
};

EXIA_API exia_driver_entry_fn exia_driver_entry;
const exia_driver *exia_driver_entry(const exia_core *core, exia_error *err)
{
    if (exia__given_take(core, err) < 0)
        return NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        exia__fail(err, EXIA_ENOMEM, 0, "libcurl does not start");
        return NULL;
    }
    return &s3_driver;
}
