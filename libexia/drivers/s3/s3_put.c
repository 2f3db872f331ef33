/* Writing: one request, or for what is large an upload in parts that becomes an object in one step.
 *
 * An upload whose digest is known is noted, with each part that the server has, so that a put of the same
 * bytes goes on there after a crash.  What the server would list is not asked: servers differ in what they
 * list. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "drivers/s3/s3.h"

enum { MOST_PARTS = 10000, ABORT_MS = 2000, PART_ETAG_SIZE = 80 };

/* ---- create only ---------------------------------------------------------------------------- */

static exia_status taken(const exia__s3 *self, const char *key, exia_error *err)
{
    return exia__fail(err, EXIA_EEXISTS, 0, "%s: \"%.80s\" is there already", self->shown, key);
}

/* "412", and "304" of some older servers. */
static exia_status put_answered(exia__s3_call *call, exia_error *err)
{
    if (call->x.status / 100 == 2)
        return EXIA_DONE;
    exia_status rc = exia__s3_call_failed(call, err);
    return rc == EXIA_ECONFLICT ? taken(call->self, call->payload, err) : rc;
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

/* A note's key for what `text` and this bucket name. */
static exia_status note_key(char hex[EXIA__HEX_SIZE], const exia__s3 *self, const char *text,
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
    if (note_key(key, self, "create-only", NULL) == EXIA_OK &&
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
        if (note_key(key, self, "create-only", NULL) == EXIA_OK)
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

typedef struct upload upload;
typedef struct slot {
    exia__s3_call call;
    upload *of;
    size_t number; /* of its part, from 0 on */
    char *bytes;
} slot;

struct upload {
    exia__s3 *self;
    const char *key;
    const exia_source *source;
    size_t part_size, part_count, next;
    char (*etags)[PART_ETAG_SIZE]; /* "" where the server does not have the part */
    char *id;
    char scope[EXIA__HEX_SIZE + 8]; /* of its notes; "" where it cannot go on later */
    exia__course course;
    exia_error broken; /* how reading the source failed */
    slot slots[EXIA__S3_WIDTH];
};

static size_t size_of_part(const upload *u, size_t number)
{
    uint64_t left = u->source->size - (uint64_t)number * u->part_size;
    return left < u->part_size ? (size_t)left : u->part_size;
}

/* Go on with the next part that the server has not; EXIA_DONE when there is none. */
static exia_status load_part(slot *s, exia_error *err)
{
    upload *u = s->of;
    while (u->next < u->part_count && *u->etags[u->next] != '\0')
        u->next++;
    if (u->next == u->part_count)
        return EXIA_DONE;
    s->number = u->next++;
    size_t size = size_of_part(u, s->number);
    exia_status rc = u->source->read(s->bytes, (uint64_t)s->number * u->part_size, size,
                                     u->source->payload, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_body(&s->call, s->bytes, size, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_query(&s->call, err, "partNumber=%zu&uploadId=%s", s->number + 1, u->id);
    return rc;
}

static exia_status part_answered(exia__s3_call *call, exia_error *err)
{
    slot *s = call->payload;
    upload *u = s->of;
    char name[24];
    if (call->x.status / 100 != 2)
        return exia__s3_call_failed(call, err);
    exia__exchange_answer(u->etags[s->number], PART_ETAG_SIZE, &call->x, "ETag");
    if (*u->etags[s->number] == '\0')
        return exia__fail(err, EXIA_EUNAVAILABLE, 200, "%s: put: a part has no ETag",
                          u->self->shown);
    snprintf(name, sizeof name, "p%05zu", s->number);
    if (*u->scope != '\0')
        (void)exia__given->note_put(u->scope, name, u->etags[s->number], NULL);
    u->course.done += call->body_size;
    exia_status rc = load_part(s, &u->broken);
    /* whatever its status: it is not the server's, and the part that was sent is not sent again */
    return rc < 0 ? exia__fail(err, EXIA_EUSER, 0, "the source cannot be read") : rc;
}

static exia_status send_parts(upload *u, exia_error *err)
{
    exia__exchange *list[EXIA__S3_WIDTH];
    size_t count = 0;
    exia_status rc = EXIA_OK;
    u->next = 0;
    while (rc == EXIA_OK && count < EXIA__S3_WIDTH) {
        slot *s = &u->slots[count];
        s->of = u;
        rc = exia__s3_call_open(&s->call, u->self, "put", "PUT", u->key, err);
        s->call.answered = part_answered;
        s->call.payload = s;
        if (rc == EXIA_OK && s->bytes == NULL)
            s->bytes = exia__resize(NULL, u->part_size);
        if (rc == EXIA_OK && s->bytes == NULL)
            rc = exia__fail_memory(err);
        if (rc == EXIA_OK)
            rc = load_part(s, err);
        exia__s3_call_ready(&s->call);
        list[count] = &s->call.x;
        count += rc == EXIA_OK;
    }
    if (rc >= 0 && count > 0)
        rc = exia__http_run(u->self->http, list, count, &u->course, err);
    if (rc < 0 && u->broken.status < 0)
        rc = exia__fail(err, u->broken.status, u->broken.native, "%s", u->broken.text);
    for (size_t i = 0; i < EXIA__S3_WIDTH; i++)
        exia__s3_call_free(&u->slots[i].call);
    return rc < 0 ? rc : EXIA_OK;
}

static exia_status take_id(const char *name, const char *text, void *payload, exia_error *err)
{
    upload *u = payload;
    if (strcmp(name, "UploadId") != 0)
        return EXIA_OK;
    exia__release(u->id);
    return exia__given->percent_encode(&u->id, text, "", err);
}

static exia_status begin_answered(exia__s3_call *call, exia_error *err)
{
    upload *u = call->payload;
    exia_status rc = exia__s3_call_checked(call, err);
    if (rc == EXIA_DONE)
        rc = exia__s3_xml(call->x.text.data, call->x.text.size, take_id, u, err);
    if (rc == EXIA_OK && u->id == NULL)
        rc = exia__fail(err, EXIA_ECORRUPT, 200, "%s: put: an upload has no id", u->self->shown);
    return rc < 0 ? rc : EXIA_DONE;
}

static exia_status begin(upload *u, exia_error *err)
{
    exia__s3_call call = {0};
    char *text = NULL;
    exia_status rc = exia__s3_call_open(&call, u->self, "put", "POST", u->key, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_query(&call, err, "%s", "uploads=");
    call.answered = begin_answered;
    call.payload = u;
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, u->course.work, "storing", err);
    exia__s3_call_free(&call);
    if (rc == EXIA_OK && *u->scope != '\0')
        rc = exia__text_format(&text, err, "%zu %s", u->part_size, u->id);
    if (text != NULL && exia__given->note_put(u->scope, "upload", text, NULL) < 0)
        *u->scope = '\0'; /* no place for notes: then without */
    exia__release(text);
    return rc;
}

static exia_status complete(upload *u, exia_error *err)
{
    exia__s3_call call = {0};
    exia__buffer xml = {0};
    exia_status rc = exia__s3_call_open(&call, u->self, "put", "POST", u->key, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_text(&xml, "<CompleteMultipartUpload>", err);
    for (size_t i = 0; rc == EXIA_OK && i < u->part_count; i++)
        rc = exia__buffer_format(&xml, err,
                                 "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag></Part>", i + 1,
                                 u->etags[i]);
    if (rc == EXIA_OK)
        rc = exia__buffer_text(&xml, "</CompleteMultipartUpload>", err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_body(&call, xml.data, xml.size, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_query(&call, err, "uploadId=%s", u->id);
    if (rc == EXIA_OK && atomic_load(&u->self->create_only) > 0)
        rc = exia__s3_call_header(&call, "if-none-match", err, "%s", "*");
    call.answered = exia__s3_call_checked;
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, u->course.work, "storing", err);
    exia__s3_call_free(&call);
    exia__buffer_free(&xml);
    return rc == EXIA_ECONFLICT ? taken(u->self, u->key, err) : rc;
}

/* Best effort, and not for long: the job may be over. */
static void give_up(upload *u)
{
    exia__s3_call call = {0};
    exia_job job = {.struct_size = sizeof job, .total_ms = ABORT_MS, .timeout_ms = ABORT_MS};
    exia_work *work = NULL;
    if (exia__given->work_open(&work, &job, NULL) == EXIA_OK &&
        exia__s3_call_open(&call, u->self, "abort", "DELETE", u->key, NULL) == EXIA_OK &&
        exia__s3_call_query(&call, NULL, "uploadId=%s", u->id) == EXIA_OK)
        (void)exia__s3_call_run(&call, work, "storing", NULL);
    exia__s3_call_free(&call);
    exia__release(work);
}

/* ---- notes ---------------------------------------------------------------------------------- */

static exia_status take_note(const char *key, const char *text, void *payload, exia_error *err)
{
    upload *u = payload;
    char *end = NULL;
    unsigned long number = *key == 'p' ? strtoul(key + 1, &end, 10) : MOST_PARTS;
    (void)err;
    if (number < u->part_count && *end == '\0' && strlen(text) < PART_ETAG_SIZE) {
        strcpy(u->etags[number], text);
        u->course.done += size_of_part(u, number);
    }
    return EXIA_OK;
}

/* What an earlier put of the same bytes left, if it is of the same parts. */
static exia_status recall(upload *u, exia_error *err)
{
    char *text = NULL, *end = NULL, name[EXIA__HEX_SIZE];
    exia_status rc = EXIA_OK;
    if (u->source->sha256 == NULL)
        return EXIA_OK;
    char *what = NULL;
    rc = exia__text_format(&what, err, "%s%s %s %" PRIu64, u->self->prefix, u->key,
                           u->source->sha256, u->source->size);
    if (rc == EXIA_OK)
        rc = note_key(name, u->self, what, err);
    exia__release(what);
    if (rc < 0)
        return rc;
    snprintf(u->scope, sizeof u->scope, "s3/%s", name);
    if (exia__given->note_get(&text, u->scope, "upload", NULL) == EXIA_OK &&
        strtoull(text, &end, 10) == u->part_size && *end == ' ') {
        rc = exia__text_copy(&u->id, end + 1, err);
        if (rc == EXIA_OK)
            (void)exia__given->note_list(u->scope, take_note, u, NULL);
    }
    exia__release(text);
    return rc;
}

static void forget(upload *u)
{
    char name[24];
    for (size_t i = 0; *u->scope != '\0' && i < u->part_count; i++) {
        snprintf(name, sizeof name, "p%05zu", i);
        if (*u->etags[i] != '\0')
            (void)exia__given->note_remove(u->scope, name, NULL);
    }
    if (*u->scope != '\0')
        (void)exia__given->note_remove(u->scope, "upload", NULL);
    memset(u->etags, 0, u->part_count * sizeof *u->etags);
    exia__release(u->id);
    u->id = NULL;
    u->course.done = 0;
}

/* ---- put ------------------------------------------------------------------------------------ */

static exia_status run_upload(upload *u, exia_error *err)
{
    exia_status rc = u->id == NULL ? begin(u, err) : EXIA_OK;
    if (rc == EXIA_OK)
        rc = send_parts(u, err);
    return rc == EXIA_OK ? complete(u, err) : rc;
}

/* Is it there by now, from a rival or from a request whose answer was lost? */
static exia_status look_for(upload *u, exia_error *err)
{
    uint64_t size = 0;
    int64_t modified_ms = 0;
    exia_status rc = exia__s3_look(&size, &modified_ms, NULL, u->self, u->key, u->course.work, err);
    return rc == EXIA_OK ? taken(u->self, u->key, err) : rc;
}

static exia_status put_in_parts(exia__s3 *self, const char *key, const exia_source *source,
                                exia_work *work, exia_error *err)
{
    upload *u = exia__zeroed(1, sizeof *u);
    if (u == NULL)
        return exia__fail_memory(err);
    u->self = self;
    u->key = key;
    u->source = source;
    u->course = (exia__course){.work = work, .step = "storing", .total = source->size};
    u->part_size = EXIA__S3_PART;
    if (source->size / MOST_PARTS >= u->part_size) /* in whole MiB */
        u->part_size = (size_t)((source->size / MOST_PARTS >> 20) + 1) << 20;
    u->part_count = (size_t)((source->size + u->part_size - 1) / u->part_size);
    u->etags = exia__zeroed(u->part_count, sizeof *u->etags);
    exia_status rc = u->etags ? look_for(u, err) : exia__fail_memory(err);
    if (rc == EXIA_ENOTFOUND) {
        exia__forgive(err);
        rc = recall(u, err);
        int again = rc == EXIA_OK && u->id != NULL;
        if (rc == EXIA_OK)
            rc = run_upload(u, err);
        if (rc == EXIA_ENOTFOUND) { /* the upload: it was completed, or is too old */
            forget(u);
            rc = look_for(u, err);
            if (rc == EXIA_ENOTFOUND && again) {
                exia__forgive(err);
                rc = run_upload(u, err);
            }
        }
        if (rc == EXIA_EEXISTS || (rc < 0 && *u->scope == '\0')) {
            if (u->id != NULL)
                give_up(u);
        }
        if (rc == EXIA_OK || rc == EXIA_EEXISTS)
            forget(u);
    }
    for (size_t i = 0; i < EXIA__S3_WIDTH; i++)
        exia__release(u->slots[i].bytes);
    exia__release(u->etags);
    exia__release(u->id);
    exia__release(u);
    return rc;
}

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

exia_status exia__s3_put(void *payload, const char *key, const exia_source *source,
                         const exia_job *job, exia_error *err)
{
    exia__s3 *self = payload;
    exia_work *work = NULL;
    uint64_t size = 0;
    int64_t modified_ms = 0;
    exia_status rc = exia__s3_writable(self, key, err);
    if (rc == EXIA_OK)
        rc = exia__given->work_open(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__s3_probe(self, work, err);
    if (rc == EXIA_OK && atomic_load(&self->create_only) < 0) {
        rc = exia__s3_look(&size, &modified_ms, NULL, self, key, work, err);
        rc = rc == EXIA_OK ? taken(self, key, err) : rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc;
    }
    if (rc == EXIA_OK && source->size > EXIA__S3_LARGE)
        rc = put_in_parts(self, key, source, work, err);
    else if (rc == EXIA_OK)
        rc = put_whole(self, key, source, work, err);
    exia__release(work);
    return rc;
}
