/* Writing: one request, or for what is large an upload in parts, of which those that other objects have
 * already are copied by the server. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "drivers/s3/s3_parts.h"

/* ---- create only ---------------------------------------------------------------------------- */

exia_status exia__s3_taken(const exia__s3 *self, const char *key, exia_error *err)
{
    return exia__fail(err, EXIA_EEXISTS, 0, "%s: \"%.80s\" is there already", self->shown, key);
}

/* "412", and "304" of some older servers. */
static exia_status put_answered(exia__s3_call *call, exia_error *err)
{
    if (call->x.status / 100 == 2)
        return EXIA_DONE;
    exia_status rc = exia__s3_call_failed(call, err);
    return rc == EXIA_ECONFLICT ? exia__s3_taken(call->self, call->payload, err) : rc;
}

static exia_status put_bytes(exia__s3 *self, const char *key, const void *bytes, size_t size,
                             const char *sha256, int create_only, exia_work *work, exia_error *err)
{
    exia__s3_call call = {0};
    exia_status rc = exia__s3_call_open(&call, self, "put", "PUT", key, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_body(&call, bytes, size, err);
    if (rc == EXIA_OK && sha256 != NULL && strcmp(sha256, call.sha256) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0,
                        "%s: put %.80s: its bytes are not those of its digest", self->shown, key);
    if (rc == EXIA_OK && create_only)
        rc = exia__s3_call_header(&call, "if-none-match", err, "%s", "*");
    call.answered = put_answered;
    call.payload = (void *)key;
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, work, "storing", err);
    exia__s3_call_free(&call);
    return rc;
}

exia_status exia__s3_note_key(char hex[EXIA__HEX_SIZE], const exia__s3 *self, const char *text,
                              exia_error *err)
{
    exia__buffer all = {0};
    exia_status rc = exia__buffer_format(&all, err, "%s %s %s", self->endpoint, self->bucket, text);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(hex, all.data, all.size, err);
    exia__buffer_free(&all);
    return rc;
}

int exia__s3_probed(const exia__s3 *self)
{
    char key[EXIA__HEX_SIZE], *text = NULL;
    int known = 0;
    if (exia__s3_note_key(key, self, "create-only", NULL) == EXIA_OK &&
        exia__given->note_get(&text, "s3-create-only", key, NULL) == EXIA_OK)
        known = strcmp(text, "kept") == 0;
    exia__release(text);
    return known;
}

exia_status exia__s3_probe(exia__s3 *self, exia_work *work, exia_error *err)
{
    char name[48] = ".exia-probe-", key[EXIA__HEX_SIZE];
    exia__s3_call call = {0};
    int known = atomic_load(&self->create_only);
    if (known == 0)
        known = exia__s3_probed(self);
    if (known != 0) {
        atomic_store(&self->create_only, known);
        return EXIA_OK;
    }
    exia_status rc = exia__given->token(name + strlen(name), err);
    if (rc == EXIA_OK)
        rc = put_bytes(self, name, "a probe", 7, NULL, 1, work, err);
    exia_status second =
        rc == EXIA_OK ? put_bytes(self, name, "a probe", 7, NULL, 1, work, err) : rc;
    if (rc == EXIA_EUNSUPPORTED || rc == EXIA_EEXISTS) /* refused as such, or a lost reply */
        second = rc;
    else if (rc < 0)
        return rc;
    exia__forgive(err);
    rc = exia__s3_call_open(&call, self, "remove", "DELETE", name, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, work, "asking", err);
    exia__s3_call_free(&call);
    if (rc < 0)
        return rc;
    if (second != EXIA_EEXISTS && second != EXIA_OK && second != EXIA_EUNSUPPORTED)
        return exia__fail(err, second, 0, "%s: it cannot be told whether it creates only",
                          self->shown);
    if (second == EXIA_EEXISTS) {
        atomic_store(&self->create_only, 1);
        if (exia__s3_note_key(key, self, "create-only", NULL) == EXIA_OK)
            (void)exia__given->note_put("s3-create-only", key, "kept", NULL);
        return EXIA_OK;
    }
    atomic_store(&self->create_only, -1);
    exia__log(EXIA_LOG_WARNING, "s3",
              "%s ignores If-None-Match: of two who put one key at once the later one stays",
              self->shown);
    return EXIA_OK;
}

/* ---- in parts ------------------------------------------------------------------------------- */

/* An object that is copied from. */
typedef struct base {
    const char *key;
    char etag[EXIA__S3_ETAG_SIZE];
} base;

/* Ask for what is copied from, each once, and pin its parts to what it is now. */
static exia_status pin(exia__s3_plan *plan, base **bases, exia__s3 *self, exia_work *work,
                       exia_error *err)
{
    size_t count = 0, room = 0;
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < plan->count; i++) {
        exia__s3_part *part = &plan->parts[i];
        uint64_t size = 0;
        int64_t modified_ms = 0;
        size_t at = 0;
        while (part->key != NULL && at < count && strcmp((*bases)[at].key, part->key) != 0)
            at++;
        if (part->key == NULL || at < count)
            continue;
        rc = exia__grow(bases, &room, count + 1, sizeof **bases, err);
        if (rc == EXIA_OK)
            rc = exia__s3_look(&size, &modified_ms, (*bases)[count].etag, self, part->key, work,
                               err);
        if (rc == EXIA_OK)
            (*bases)[count++].key = part->key;
    }
    for (size_t i = 0, at = 0; rc == EXIA_OK && i < plan->count; i++, at = 0) {
        while (plan->parts[i].key != NULL && strcmp((*bases)[at].key, plan->parts[i].key) != 0)
            at++;
        if (plan->parts[i].key != NULL && *(*bases)[at].etag != '\0')
            plan->parts[i].pin = (*bases)[at].etag;
    }
    return rc;
}

/* ---- put ------------------------------------------------------------------------------------ */

static exia_status put_whole(exia__s3 *self, const char *key, const exia_source *source,
                             exia_work *work, exia_error *err)
{
    char *bytes = exia__resize(NULL, (size_t)source->size);
    exia_status rc = bytes ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && source->size > 0)
        rc = source->read(bytes, 0, (size_t)source->size, source->payload, err);
    if (rc == EXIA_OK)
        rc = put_bytes(self, key, bytes, (size_t)source->size, source->sha256,
                       atomic_load(&self->create_only) > 0, work, err);
    exia__release(bytes);
    return rc;
}

/* Send it all, or where that is worth it copy some of it. */
static exia_status put_planned(exia__s3 *self, const char *key, const exia_source *source,
                               const exia_piece *pieces, size_t count, uint64_t *copied,
                               exia_work *work, exia_error *err)
{
    const exia__s3_upload upload = {.self = self,
                                    .what = "put",
                                    .key = key,
                                    .source = source,
                                    .total = source->size,
                                    .work = work};
    exia__s3_plan plan = {0};
    base *bases = NULL;
    uint64_t size = 0;
    exia_status rc = exia__s3_plan_make(&plan, source->size, pieces, count, err);
    for (size_t i = 0; rc == EXIA_OK && i < plan.count; i++)
        size += plan.parts[i].key ? plan.parts[i].size : 0;
    if (rc == EXIA_OK && size == 0 && source->size <= EXIA__S3_LARGE) {
        rc = put_whole(self, key, source, work, err);
    } else if (rc == EXIA_OK) {
        rc = pin(&plan, &bases, self, work, err);
        if (rc == EXIA_OK)
            rc = exia__s3_upload_run(&upload, &plan, err);
    }
    if (rc == EXIA_OK)
        *copied = size;
    exia__release(plan.parts);
    exia__release(bases);
    return rc;
}

static exia_status store(exia__s3 *self, const char *key, const exia_source *source,
                         const exia_piece *pieces, size_t count, uint64_t *copied, exia_work *work,
                         exia_error *err)
{
    uint64_t size = 0;
    int64_t modified_ms = 0;
    exia_status rc = exia__s3_writable(self, key, err);
    if (rc == EXIA_OK)
        rc = exia__s3_probe(self, work, err);
    if (rc == EXIA_OK && atomic_load(&self->create_only) < 0) {
        rc = exia__s3_look(&size, &modified_ms, NULL, self, key, work, err);
        rc = rc == EXIA_OK          ? exia__s3_taken(self, key, err)
             : rc == EXIA_ENOTFOUND ? exia__forgive(err)
                                    : rc;
    }
    if (rc == EXIA_OK)
        rc = put_planned(self, key, source, pieces, count, copied, work, err);
    return rc;
}

exia_status exia__s3_put(void *self, const char *key, const exia_source *source,
                         const exia_job *job, exia_error *err)
{
    exia_work *work = NULL;
    uint64_t copied = 0;
    exia_status rc = exia__given->work_open(&work, job, err);
    if (rc == EXIA_OK)
        rc = store(self, key, source, NULL, 0, &copied, work, err);
    exia__release(work);
    return rc;
}

exia_status exia__s3_compose(void *self, const char *key, const exia_source *source,
                             const exia_piece *pieces, size_t count, uint64_t *copied,
                             const exia_job *job, exia_error *err)
{
    exia_work *work = NULL;
    *copied = 0;
    exia_status rc = exia__given->work_open(&work, job, err);
    if (rc == EXIA_OK)
        rc = store(self, key, source, pieces, count, copied, work, err);
    exia__release(work);
    return rc;
}
