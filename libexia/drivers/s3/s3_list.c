/* Listing, page by page: a page is read whole before it is told, so the listener may use the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/memory.h"
#include "drivers/s3/s3.h"

typedef struct entry {
    char *key; /* as the server has it */
    uint64_t size;
    int64_t modified_ms;
} entry;

typedef struct page {
    entry *entries;
    size_t count, room;
    entry next;  /* being read */
    char *token; /* of the page that follows; NULL: none */
    int more, encoded;
} page;

static void free_page(page *p)
{
    for (size_t i = 0; i < p->count; i++)
        exia__release(p->entries[i].key);
    exia__release(p->entries);
    exia__release(p->next.key);
    exia__release(p->token);
    *p = (page){0};
}

/* "2026-01-31T23:59:59.123Z", in whole seconds as HEAD has them. */
static int64_t read_time(const char *text)
{
    struct tm utc = {0};
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &utc.tm_year, &utc.tm_mon, &utc.tm_mday,
               &utc.tm_hour, &utc.tm_min, &utc.tm_sec) != 6)
        return 0;
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    return (int64_t)timegm(&utc) * 1000;
}

static exia_status take_element(const char *name, const char *text, void *payload, exia_error *err)
{
    page *p = payload;
    exia_status rc = EXIA_OK;
    if (strcmp(name, "Key") == 0) {
        exia__release(p->next.key);
        rc = exia__text_copy(&p->next.key, text, err);
    } else if (strcmp(name, "Size") == 0) {
        p->next.size = strtoull(text, NULL, 10);
    } else if (strcmp(name, "LastModified") == 0) {
        p->next.modified_ms = read_time(text);
    } else if (strcmp(name, "Contents") == 0 && p->next.key != NULL) {
        rc = exia__grow(&p->entries, &p->room, p->count + 1, sizeof *p->entries, err);
        if (rc == EXIA_OK) {
            p->entries[p->count++] = p->next;
            p->next = (entry){0};
        }
    } else if (strcmp(name, "EncodingType") == 0) {
        p->encoded = strcmp(text, "url") == 0;
    } else if (strcmp(name, "IsTruncated") == 0) {
        p->more = strcmp(text, "true") == 0;
    } else if (strcmp(name, "NextContinuationToken") == 0) {
        exia__release(p->token);
        rc = exia__text_copy(&p->token, text, err);
    }
    return rc;
}

/* Not every server encodes, though all are asked to; those that do write a space as '+', as forms have it,
 * and a '+' as %2B. */
static exia_status decode_keys(page *p, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && p->encoded && i < p->count; i++) {
        char *raw = p->entries[i].key;
        for (char *at = raw; *at != '\0'; at++)
            *at = *at == '+' ? ' ' : *at;
        rc = exia__given->percent_decode(&p->entries[i].key, raw, err);
        exia__release(raw);
    }
    return rc;
}

static exia_status answered(exia__s3_call *call, exia_error *err)
{
    page *p = call->payload;
    if (call->x.status != 200)
        return exia__s3_call_failed(call, err);
    free_page(p);
    exia_status rc = exia__s3_xml(call->x.text.data, call->x.text.size, take_element, p, err);
    if (rc == EXIA_OK)
        rc = decode_keys(p, err);
    if (rc == EXIA_OK && p->more && p->token == NULL)
        return exia__fail(err, EXIA_EUNSUPPORTED, 200,
                          "%s: list: it breaks off, and cannot be gone on with", call->self->shown);
    if (rc == EXIA_ECORRUPT || rc == EXIA_EINVAL) /* garbled: perhaps not the next time */
        return exia__fail(err, EXIA_EUNAVAILABLE, 200, "%s: list: its answer is no XML of S3",
                          call->self->shown);
    return rc < 0 ? rc : EXIA_DONE;
}

static exia_status read_page(page *p, exia__s3 *self, const char *prefix, const char *token,
                             exia_work *work, exia_error *err)
{
    exia__s3_call call = {0};
    char *encoded_prefix = NULL, *encoded_token = NULL, *whole = NULL;
    exia_status rc = exia__s3_call_open(&call, self, "list", "GET", NULL, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&whole, err, "%s%s", self->prefix, prefix);
    if (rc == EXIA_OK)
        rc = exia__given->percent_encode(&encoded_prefix, whole, "", err);
    if (rc == EXIA_OK)
        rc = exia__given->percent_encode(&encoded_token, token ? token : "", "", err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_query(&call, err, "%s%s%sencoding-type=url&list-type=2&prefix=%s",
                                 token ? "continuation-token=" : "", encoded_token,
                                 token ? "&" : "", encoded_prefix);
    call.answered = answered;
    call.payload = p;
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, work, "listing", err);
    exia__release(whole);
    exia__release(encoded_prefix);
    exia__release(encoded_token);
    exia__s3_call_free(&call);
    return rc;
}

/* Of foreign objects none is a blob; their names cannot be keys. */
static int is_key(const char *key)
{
    const char *at = key;
    for (; *at != '\0'; at += *at == '/') {
        size_t size = strspn(at, "0123456789abcdefghijklmnopqrstuvwxyz_.-");
        if (size == 0 || *at == '.' || *at == '-' || (at[size] != '/' && at[size] != '\0') ||
            (at[size] == '/' && at[size + 1] == '\0'))
            return 0;
        at += size;
    }
    return at > key;
}

exia_status exia__s3_list(void *payload, const char *prefix, exia_blob_fn *found,
                          void *found_payload, const exia_job *job, exia_error *err)
{
    exia__s3 *self = payload;
    exia_work *work = NULL;
    page now = {0};
    char *token = NULL;
    size_t own = strlen(self->prefix);
    exia_status rc = exia__given->work_open(&work, job, err);
    do {
        if (rc == EXIA_OK)
            rc = read_page(&now, self, prefix, token, work, err);
        for (size_t i = 0; rc == EXIA_OK && i < now.count; i++) {
            const entry *e = &now.entries[i];
            if (strncmp(e->key, self->prefix, own) == 0 && is_key(e->key + own))
                rc = found(e->key + own, e->size, e->modified_ms, found_payload, err);
        }
        exia__release(token);
        token = now.more ? now.token : NULL;
        if (token != NULL)
            now.token = NULL;
        free_page(&now);
    } while (rc == EXIA_OK && token != NULL);
    exia__release(token);
    exia__given->release(work);
    return rc < 0 ? rc : EXIA_OK;
}
