/* An upload in parts, several of them under way at once.
 *
 * An upload whose digest is known is noted, with each part that the server has, so that the next one of the
 * same bytes goes on there after a crash.  What the server would list is not asked: servers differ in what
 * they list. */
#include "drivers/s3/s3_parts.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* Parts are of up to 10 MiB; of an object over 100 GB they are larger, for there are at most 10,000: then fewer
 * are under way, and over 200 GB one, which takes its size in memory. */
enum { ABORT_MS = 2000, MEMORY = 48 << 20 };

typedef struct upload upload;
typedef struct slot {
    exia__s3_call call;
    upload *of;
    exia__s3_part *part;
    char *bytes;
} slot;

struct upload {
    const exia__s3_upload *what;
    exia__s3_plan *plan;
    size_t next;                    /* part to begin with */
    char hex[EXIA__HEX_SIZE];       /* of the plan */
    char *id;                       /* of the upload; NULL: there is none */
    char scope[EXIA__HEX_SIZE + 8]; /* of its notes; "" where it cannot go on later */
    exia__course course;
    int uncopied;      /* a range could not be copied */
    exia_error broken; /* how reading the source failed */
    slot slots[EXIA__S3_WIDTH];
};

/* ---- the parts ------------------------------------------------------------------------------- */

static exia_status ask_to_copy(slot *s, exia_error *err)
{
    const exia__s3_part *part = s->part;
    char *path = NULL;
    exia_status rc = exia__s3_path(&path, s->of->what->self, part->key, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_header(&s->call, "x-amz-copy-source", err, "%s", path);
    if (rc == EXIA_OK)
        rc = exia__s3_call_header(&s->call, "x-amz-copy-source-range", err,
                                  "bytes=%" PRIu64 "-%" PRIu64, part->offset,
                                  part->offset + part->size - 1);
    if (rc == EXIA_OK && part->pin != NULL)
        rc = exia__s3_call_header(&s->call, "x-amz-copy-source-if-match", err, "%s", part->pin);
    if (rc == EXIA_OK)
        rc = exia__s3_call_body(&s->call, "", 0, err);
    exia__release(path);
    return rc;
}

/* Go on with the next part that the server has not; EXIA_DONE when there is none. */
static exia_status load_part(slot *s, exia_error *err)
{
    upload *u = s->of;
    exia_status rc = EXIA_OK;
    while (u->next < u->plan->count && *u->plan->parts[u->next].etag != '\0')
        u->next++;
    if (u->next == u->plan->count)
        return EXIA_DONE;
    s->part = &u->plan->parts[u->next++];
    exia__s3_call_bare(&s->call);
    if (s->part->key != NULL) {
        rc = ask_to_copy(s, err);
    } else {
        const exia_source *source = u->what->source;
        size_t size = (size_t)s->part->size;
        if (s->bytes == NULL)
            s->bytes = exia__resize(NULL, u->plan->largest);
        rc = s->bytes ? source->read(s->bytes, s->part->at, size, source->payload, err)
                      : exia__fail_memory(err);
        if (rc == EXIA_OK)
            rc = exia__s3_call_body(&s->call, s->bytes, size, err);
    }
    if (rc == EXIA_OK)
        rc = exia__s3_call_query(&s->call, err, "partNumber=%zu&uploadId=%s", u->next, u->id);
    return rc;
}

static exia_status take_etag(const char *name, const char *text, void *payload, exia_error *err)
{
    (void)err;
    if (strcmp(name, "ETag") == 0)
        snprintf(payload, EXIA__S3_ETAG_SIZE, "%s", text);
    return EXIA_OK;
}

/* Does the failure say that the range cannot be copied, so that it may be sent?  Not where nothing can be done. */
static int cannot_copy(exia_status rc, const exia__s3_upload *what)
{
    return rc == EXIA_ENOTFOUND || rc == EXIA_ECONFLICT || rc == EXIA_EUNSUPPORTED ||
           rc == EXIA_EINVAL || rc == EXIA_EIO || (rc == EXIA_EDENIED && !what->replace);
}

/* Of a copy the ETag is in the body, and so may a failure be. */
static exia_status read_etag(slot *s, exia_error *err)
{
    exia__s3_call *call = &s->call;
    exia_status rc = EXIA_OK;
    if (s->part->key == NULL) {
        if (call->x.status / 100 != 2)
            return exia__s3_call_failed(call, err);
        exia__exchange_answer(s->part->etag, EXIA__S3_ETAG_SIZE, &call->x, "ETag");
    } else {
        rc = exia__s3_call_checked(call, err);
        if (rc == EXIA_DONE)
            rc = exia__s3_xml(call->x.text.data, call->x.text.size, take_etag, s->part->etag, err);
        s->of->uncopied |= cannot_copy(rc, s->of->what);
    }
    if (rc == EXIA_OK && *s->part->etag == '\0')
        rc = exia__fail(err, EXIA_EUNAVAILABLE, 200, "%s: put: a part has no ETag",
                        call->self->shown);
    return rc;
}

static exia_status part_answered(exia__s3_call *call, exia_error *err)
{
    slot *s = call->payload;
    upload *u = s->of;
    char name[24];
    exia_status rc = read_etag(s, err);
    if (rc < 0)
        return rc;
    snprintf(name, sizeof name, "p%05zu", (size_t)(s->part - u->plan->parts));
    if (*u->scope != '\0')
        (void)exia__given->note_put(u->scope, name, s->part->etag, NULL);
    u->course.done += s->part->size;
    if (s->part->key != NULL && u->what->source != NULL) /* now, while the server copies others */
        rc = exia__s3_sum(s->part, u->what->source, &u->broken);
    if (rc == EXIA_OK)
        rc = load_part(s, &u->broken);
    /* whatever its status: it is not the server's, and the part that was sent is not sent again */
    return rc < 0 ? exia__fail(err, EXIA_EUSER, 0, "the source cannot be read") : rc;
}

static exia_status send_parts(upload *u, exia_error *err)
{
    exia__exchange *list[EXIA__S3_WIDTH];
    size_t count = 0, width = EXIA__S3_WIDTH;
    exia_status rc = EXIA_OK;
    while (width > 1 && u->plan->largest * width > MEMORY)
        width--;
    u->next = 0;
    while (rc == EXIA_OK && count < width) {
        slot *s = &u->slots[count];
        s->of = u;
        rc = exia__s3_call_open(&s->call, u->what->self, u->what->what, "PUT", u->what->key, err);
        s->call.answered = part_answered;
        s->call.payload = s;
        if (rc == EXIA_OK)
            rc = load_part(s, err);
        exia__s3_call_ready(&s->call);
        list[count] = &s->call.x;
        count += rc == EXIA_OK;
    }
    if (rc >= 0 && count > 0)
        rc = exia__http_run(u->what->self->http, list, count, &u->course, err);
    if (rc < 0 && u->broken.status < 0)
        rc = exia__fail(err, u->broken.status, u->broken.native, "%s", u->broken.text);
    for (size_t i = 0; i < EXIA__S3_WIDTH; i++)
        exia__s3_call_free(&u->slots[i].call);
    return rc < 0 ? rc : EXIA_OK;
}

/* ---- begin, complete ------------------------------------------------------------------------- */

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
        rc = exia__fail(err, EXIA_ECORRUPT, 200, "%s: put: an upload has no id", call->self->shown);
    return rc < 0 ? rc : EXIA_DONE;
}

static exia_status begin(upload *u, exia_error *err)
{
    const exia__s3_upload *what = u->what;
    exia__s3_call call = {0};
    char *text = NULL;
    exia_status rc = exia__s3_call_open(&call, what->self, what->what, "POST", what->key, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_query(&call, err, "%s", "uploads=");
    call.answered = begin_answered;
    call.payload = u;
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, what->work, u->course.step, err);
    exia__s3_call_free(&call);
    if (rc == EXIA_OK && *u->scope != '\0')
        rc = exia__text_format(&text, err, "%s %s", u->hex, u->id);
    if (text != NULL && exia__given->note_put(u->scope, "upload", text, NULL) < 0)
        *u->scope = '\0'; /* no place for notes: then without */
    exia__release(text);
    return rc;
}

static exia_status complete(upload *u, exia_error *err)
{
    const exia__s3_upload *what = u->what;
    exia__s3_call call = {0};
    exia__buffer xml = {0};
    exia_status rc = exia__s3_call_open(&call, what->self, what->what, "POST", what->key, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_text(&xml, "<CompleteMultipartUpload>", err);
    for (size_t i = 0; rc == EXIA_OK && i < u->plan->count; i++)
        rc = exia__buffer_format(&xml, err,
                                 "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag></Part>", i + 1,
                                 u->plan->parts[i].etag);
    if (rc == EXIA_OK)
        rc = exia__buffer_text(&xml, "</CompleteMultipartUpload>", err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_body(&call, xml.data, xml.size, err);
    if (rc == EXIA_OK)
        rc = exia__s3_call_query(&call, err, "uploadId=%s", u->id);
    if (rc == EXIA_OK && !what->replace && atomic_load(&what->self->create_only) > 0)
        rc = exia__s3_call_header(&call, "if-none-match", err, "%s", "*");
    call.answered = exia__s3_call_checked;
    if (rc == EXIA_OK)
        rc = exia__s3_call_run(&call, what->work, u->course.step, err);
    exia__s3_call_free(&call);
    exia__buffer_free(&xml);
    return rc == EXIA_ECONFLICT ? exia__s3_taken(what->self, what->key, err) : rc;
}

/* Best effort, and not for long: the job may be over. */
static void give_up(const upload *u)
{
    exia__s3_call call = {0};
    exia_job job = {.struct_size = sizeof job, .total_ms = ABORT_MS, .timeout_ms = ABORT_MS};
    exia_work *work = NULL;
    if (u->id != NULL && exia__given->work_open(&work, &job, NULL) == EXIA_OK &&
        exia__s3_call_open(&call, u->what->self, "abort", "DELETE", u->what->key, NULL) ==
            EXIA_OK &&
        exia__s3_call_query(&call, NULL, "uploadId=%s", u->id) == EXIA_OK)
        (void)exia__s3_call_run(&call, work, u->course.step, NULL);
    exia__s3_call_free(&call);
    exia__release(work);
}

/* ---- notes ----------------------------------------------------------------------------------- */

static exia_status take_note(const char *key, const char *text, void *payload, exia_error *err)
{
    upload *u = payload;
    char *end = NULL;
    (void)err;
    unsigned long number = *key == 'p' ? strtoul(key + 1, &end, 10) : ULONG_MAX;
    if (number < u->plan->count && *end == '\0' && strlen(text) < EXIA__S3_ETAG_SIZE) {
        strcpy(u->plan->parts[number].etag, text);
        u->plan->parts[number].noted = 1;
        u->course.done += u->plan->parts[number].size;
    }
    return EXIA_OK;
}

static exia_status add_name(const char *key, const char *text, void *payload, exia_error *err)
{
    (void)text;
    return exia__buffer_format(payload, err, "%s\n", key);
}

/* The upload is over, or not to be gone on with. */
static void forget(upload *u)
{
    exia__buffer names = {0};
    if (*u->scope != '\0')
        (void)exia__given->note_list(u->scope, add_name, &names, NULL);
    for (char *at = names.data, *end; at != NULL && *at != '\0'; at = end + 1) {
        end = strchr(at, '\n');
        *end = '\0';
        (void)exia__given->note_remove(u->scope, at, NULL);
    }
    exia__buffer_free(&names);
    for (size_t i = 0; i < u->plan->count; i++)
        u->plan->parts[i].noted = *u->plan->parts[i].etag = '\0';
    exia__release(u->id);
    u->id = NULL;
    u->course.done = 0;
}

static exia_status hash_plan(upload *u, exia_error *err)
{
    exia__buffer text = {0};
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < u->plan->count; i++) {
        const exia__s3_part *part = &u->plan->parts[i];
        rc = exia__buffer_format(&text, err, "%" PRIu64 " %s %" PRIu64 "\n", part->size,
                                 part->key ? part->key : "-", part->offset);
    }
    if (rc == EXIA_OK)
        rc = exia__hash_hex(u->hex, text.data, text.size, err);
    exia__buffer_free(&text);
    return rc;
}

/* What an earlier upload of the same bytes left: it goes on if it had this plan, and else is given up. */
static exia_status recall(upload *u, exia_error *err)
{
    const exia__s3_upload *what = u->what;
    char *note = NULL, *text = NULL, name[EXIA__HEX_SIZE];
    if (what->source == NULL || what->source->sha256 == NULL)
        return EXIA_OK;
    exia_status rc = exia__text_format(&text, err, "%s%s %s %" PRIu64, what->self->prefix,
                                       what->key, what->source->sha256, what->total);
    if (rc == EXIA_OK)
        rc = exia__s3_note_key(name, what->self, text, err);
    if (rc == EXIA_OK)
        rc = hash_plan(u, err);
    if (rc < 0)
        goto done;
    snprintf(u->scope, sizeof u->scope, "s3/%s", name);
    if (exia__given->note_get(&note, u->scope, "upload", NULL) == EXIA_OK) {
        const char *id = strchr(note, ' ');
        int same = id == note + EXIA__HEX_SIZE - 1 && memcmp(note, u->hex, EXIA__HEX_SIZE - 1) == 0;
        if (id != NULL)
            rc = exia__text_copy(&u->id, id + 1, err);
        if (rc == EXIA_OK && same)
            (void)exia__given->note_list(u->scope, take_note, u, NULL);
        if (rc == EXIA_OK && !same) {
            give_up(u);
            forget(u);
        }
    }
done:
    exia__release(note);
    exia__release(text);
    return rc;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Is it there by now, from a rival or from a request whose answer was lost? */
static exia_status look_for(const upload *u, exia_error *err)
{
    const exia__s3_upload *what = u->what;
    uint64_t size = 0;
    int64_t modified_ms = 0;
    if (what->replace)
        return EXIA_OK;
    exia_status rc =
        exia__s3_look(&size, &modified_ms, NULL, what->self, what->key, what->work, err);
    return rc == EXIA_OK          ? exia__s3_taken(what->self, what->key, err)
           : rc == EXIA_ENOTFOUND ? exia__forgive(err)
                                  : rc;
}

static exia_status run(upload *u, exia_error *err)
{
    exia_status rc = u->id == NULL ? begin(u, err) : EXIA_OK;
    if (rc == EXIA_OK)
        rc = send_parts(u, err);
    if (rc == EXIA_OK)
        rc = exia__s3_sums_compare(u->what->self, u->plan, u->what->source, err);
    return rc == EXIA_OK ? complete(u, err) : rc;
}

static exia_status run_or_go_on(upload *u, exia_error *err)
{
    exia_status rc = recall(u, err);
    if (rc == EXIA_OK)
        rc = look_for(u, err);
    for (int left = 1; rc == EXIA_OK; left--) {
        int recalled = u->id != NULL;
        u->uncopied = 0;
        rc = run(u, err);
        int gone = rc == EXIA_ENOTFOUND && (recalled || !u->uncopied);
        int differs = rc == EXIA_ECORRUPT && recalled && u->broken.status == 0;
        if (left == 0 || !(gone || differs))
            return rc;
        /* not all of its parts are there: two had begun one, and noted both in one place; or it is not there:
         * it was completed, or is too old; or what was sent is of a source that was changing */
        exia__forgive(err);
        give_up(u);
        forget(u);
        rc = look_for(u, err);
    }
    return rc;
}

exia_status exia__s3_upload_run(const exia__s3_upload *what, exia__s3_plan *plan, exia_error *err)
{
    upload *u = exia__zeroed(1, sizeof *u);
    if (u == NULL)
        return exia__fail_memory(err);
    u->what = what;
    u->plan = plan;
    u->course = (exia__course){
        .work = what->work, .step = what->replace ? "touching" : "storing", .total = what->total};
    exia_status rc = run_or_go_on(u, err);
    if (rc < 0 && u->uncopied && err != NULL) {
        exia_error why = *err;
        exia__fail(err, EXIA_ENOTFOUND, why.native, "%s", why.text);
    }
    rc = rc < 0 && u->uncopied ? EXIA_ENOTFOUND : rc;
    /* of a source that changed, or is not what its digest says, no part is to be gone on with */
    int over = rc == EXIA_EEXISTS || rc == EXIA_ECONFLICT || rc == EXIA_ECORRUPT || u->uncopied;
    if (over || (rc < 0 && *u->scope == '\0'))
        give_up(u);
    if (rc == EXIA_OK || over)
        forget(u);
    for (size_t i = 0; i < EXIA__S3_WIDTH; i++)
        exia__release(u->slots[i].bytes);
    exia__release(u->id);
    exia__release(u);
    return rc;
}
