/* Reading: a first range, which also tells how much there is, then the rest through a window of several ranges
 * under way, told to the sink in order.  A range that was told makes room for the next one to be asked for.
 *
 * All ranges are of one object: the first answer's ETag pins the rest.  A touch changes the ETag and not the
 * bytes, so after "412" the object is looked at: with the size it had, the rest goes on under the new one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "drivers/s3/s3.h"

typedef struct reading reading;
typedef struct range {
    exia__s3_call call;
    reading *of;
    uint64_t offset, size;  /* asked for; with EXIA_TAIL as offset, the end */
    uint64_t begins, total; /* answered; of 416 without a total, UINT64_MAX: look */
    int came;               /* and is not told yet */
} range;

struct reading {
    exia__s3 *self;
    const char *key;
    uint64_t next, offset, end; /* to be asked for, to be told, behind all */
    uint64_t total;             /* of the object */
    char etag[EXIA__S3_ETAG_SIZE];
    exia_sink_fn *sink;
    void *payload;
    exia__course course;
    int looks;         /* how often its ETag had changed since bytes came, */
    uint64_t looked;   /* ... of which these are the first that had not */
    exia_error broken; /* how the sink failed */
    range window[EXIA__S3_WIDTH];
};

/* "bytes 0-4/10", or "bytes *" and "/10" where nothing is there. */
static int read_content_range(range *r, uint64_t *last)
{
    char text[96];
    exia__exchange_answer(text, sizeof text, &r->call.x, "Content-Range");
    if (r->call.x.status == 416)
        return sscanf(text, "bytes */%" SCNu64, &r->total) == 1;
    return sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, &r->begins, last, &r->total) == 3;
}

/* Is it what was asked for?  What is not was garbled on its way, and is asked for again. */
static exia_status answered(exia__s3_call *call, exia_error *err)
{
    range *r = call->payload;
    uint64_t last = 0, size = call->x.text.size;
    if (call->x.status == 416 || (call->x.status == 206 && size == 0)) { /* nothing is there */
        if (call->x.status == 206 || !read_content_range(r, &last))
            r->total = UINT64_MAX;
        call->x.text.size = 0;
        return EXIA_DONE;
    }
    if (call->x.status != 206 && call->x.status != 200)
        return exia__s3_call_failed(call, err);
    if (call->x.status == 200) { /* all of it: fine where that was asked for */
        r->begins = 0;
        r->total = size;
    } else if (!read_content_range(r, &last) || last < r->begins || last - r->begins + 1 != size ||
               last >= r->total) {
        return exia__fail(err, EXIA_EUNAVAILABLE, (int32_t)call->x.status,
                          "%s: a range came without saying which", call->self->shown);
    }
    uint64_t wanted = r->offset;
    if (wanted == EXIA_TAIL)
        wanted = r->size < r->total ? r->total - r->size : 0;
    uint64_t there = r->total > wanted ? r->total - wanted : 0;
    if (call->x.status == 206 &&
        (r->begins != wanted || size != (r->size < there ? r->size : there)))
        return exia__fail(err, EXIA_EUNAVAILABLE, (int32_t)call->x.status,
                          "%s: asked for a range, and another one came", call->self->shown);
    return EXIA_DONE;
}

static exia_status ask_for(range *r, uint64_t offset, uint64_t size, exia_error *err)
{
    r->offset = offset;
    r->size = size;
    r->begins = r->total = 0;
    r->came = 0;
    if (offset == EXIA_TAIL)
        return exia__s3_call_header(&r->call, "range", err, "bytes=-%" PRIu64, size);
    return exia__s3_call_header(&r->call, "range", err, "bytes=%" PRIu64 "-%" PRIu64, offset,
                                offset + size - 1);
}

static exia_status open_range(range *r, reading *of, uint64_t offset, uint64_t size,
                              exia_error *err)
{
    exia_status rc = exia__s3_call_open(&r->call, of->self, "get", "GET", of->key, err);
    r->of = of;
    r->call.payload = r;
    r->call.answered = answered;
    r->call.room = EXIA__S3_PART;
    if (rc == EXIA_OK)
        rc = ask_for(r, offset, size, err);
    if (rc == EXIA_OK && *of->etag != '\0')
        rc = exia__s3_call_header(&r->call, "if-match", err, "%s", of->etag);
    if (rc == EXIA_OK)
        exia__s3_call_ready(&r->call);
    return rc;
}

/* ---- the window ------------------------------------------------------------------------------ */

enum { MOST_LOOKS = 8 };

/* The ETag changed: a touch, or another object?  A long read may see many of them, as long as bytes come
 * between two. */
static exia_status look_again(reading *r, exia_error *err)
{
    uint64_t total = 0;
    int64_t modified_ms = 0;
    exia__forgive(err);
    if (r->offset != r->looked)
        r->looks = 0;
    r->looked = r->offset;
    exia_status rc =
        exia__s3_look(&total, &modified_ms, r->etag, r->self, r->key, r->course.work, err);
    if (rc == EXIA_OK && (total != r->total || ++r->looks > MOST_LOOKS))
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "%s: \"%.80s\" was replaced while it was read",
                        r->self->shown, r->key);
    return rc;
}

static uint64_t next_size(const reading *r)
{
    return r->end - r->next < EXIA__S3_PART ? r->end - r->next : EXIA__S3_PART;
}

static range *next_to_tell(reading *r)
{
    for (size_t i = 0; i < EXIA__S3_WIDTH; i++) {
        if (r->window[i].came && r->window[i].offset == r->offset)
            return &r->window[i];
    }
    return NULL;
}

/* Tell the sink what is next and came, and ask for more in its place.  EXIA_DONE: `just`, which came just now,
 * has to wait, or nothing is left to ask for. */
static exia_status tell(reading *r, const range *just, exia_error *err)
{
    exia_status rc = EXIA_OK, answer = EXIA_DONE;
    for (range *now; rc == EXIA_OK && (now = next_to_tell(r)) != NULL;) {
        uint64_t size = next_size(r);
        exia_status told = r->sink(now->call.x.text.data, now->size, r->payload, &r->broken);
        if (told < 0) {
            r->broken.status = told;
            return exia__fail(err, EXIA_EUSER, 0, "the sink fails"); /* and not the server */
        }
        r->offset += now->size;
        r->course.done += now->size;
        now->came = 0;
        if (size == 0)
            continue;
        rc = ask_for(now, r->next, size, err);
        r->next += size;
        if (now == just)
            answer = EXIA_OK;
        else
            exia__exchange_again(&now->call.x);
    }
    return rc < 0 ? rc : answer;
}

static exia_status came(exia__s3_call *call, exia_error *err)
{
    range *now = call->payload;
    reading *r = now->of;
    exia_status rc = answered(call, err);
    if (rc != EXIA_DONE)
        return rc;
    if (call->x.text.size != now->size) /* only where the server forgot the ETag */
        return exia__fail(err, EXIA_ECONFLICT, 0, "%s: \"%.80s\" was replaced while it was read",
                          r->self->shown, r->key);
    now->came = 1;
    return tell(r, now, err);
}

/* From `offset` on, under the ETag that is known. */
static exia_status read_on(reading *r, exia_error *err)
{
    exia__exchange *list[EXIA__S3_WIDTH];
    size_t count = 0;
    exia_status rc = EXIA_OK;
    r->next = r->offset;
    while (rc == EXIA_OK && r->next < r->end && count < EXIA__S3_WIDTH) {
        range *now = &r->window[count];
        uint64_t size = next_size(r);
        rc = open_range(now, r, r->next, size, err);
        now->call.answered = came;
        r->next += size;
        list[count++] = &now->call.x;
    }
    if (rc == EXIA_OK)
        rc = exia__http_run(r->self->http, list, count, &r->course, err);
    if (rc < 0 && r->broken.status < 0)
        rc = exia__fail(err, r->broken.status, r->broken.native, "%s", r->broken.text);
    for (size_t i = 0; i < count; i++) {
        r->window[i].came = 0;
        exia__s3_call_free(&r->window[i].call);
    }
    return rc;
}

/* The first range, which tells what there is. */
static exia_status read_first(reading *r, uint64_t offset, uint64_t size, exia_error *err)
{
    range first = {0};
    uint64_t piece = size < EXIA__S3_PART ? size : EXIA__S3_PART;
    int64_t modified_ms = 0;
    exia_status rc = open_range(&first, r, offset, piece, err);
    exia__exchange *only = &first.call.x;
    if (rc == EXIA_OK)
        rc = exia__http_run(r->self->http, &only, 1, &r->course, err);
    if (rc < 0)
        goto done;
    r->total = first.total;
    if (r->total == UINT64_MAX)
        rc = exia__s3_look(&r->total, &modified_ms, NULL, r->self, r->key, r->course.work, err);
    if (rc < 0)
        goto done;
    exia__exchange_answer(r->etag, sizeof r->etag, &first.call.x, "ETag");
    if (offset == EXIA_TAIL)
        offset = size < r->total ? r->total - size : 0;
    r->offset = offset;
    r->end = offset > r->total || size > r->total - offset ? r->total : offset + size;
    if (offset > r->total) {
        rc = exia__fail(err, EXIA_EINVAL, 416,
                        "%s: \"%.80s\" has %" PRIu64 " bytes: nothing begins at %" PRIu64,
                        r->self->shown, r->key, r->total, offset);
        goto done;
    }
    uint64_t skip = first.call.x.status == 200 ? offset : 0; /* of a server that knows no ranges */
    uint64_t got = first.call.x.text.size > skip ? first.call.x.text.size - skip : 0;
    got = got < r->end - offset ? got : r->end - offset;
    r->course.total = r->end - offset;
    if (got > 0)
        rc = r->sink(first.call.x.text.data + skip, got, r->payload, err);
    r->offset += got;
    r->course.done = got;
done:
    exia__s3_call_free(&first.call);
    return rc;
}

exia_status exia__s3_get(void *payload, const char *key, uint64_t offset, uint64_t size,
                         exia_sink_fn *sink, void *sink_payload, const exia_job *job,
                         exia_error *err)
{
    reading r = {.self = payload, .key = key, .sink = sink, .payload = sink_payload};
    exia_work *work = NULL;
    uint64_t total = 0;
    int64_t modified_ms = 0;
    exia_status rc = exia__given->work_open(&work, job, err);
    if (rc < 0)
        return rc;
    r.course = (exia__course){.work = work, .step = "reading"};
    /* what no range can say is answered by what is there */
    int no_range = size == 0 || (offset == EXIA_TAIL ? size > EXIA__S3_PART : offset > INT64_MAX);
    if (no_range)
        rc = exia__s3_look(&total, &modified_ms, NULL, r.self, key, work, err);
    if (rc == EXIA_OK && no_range && offset == EXIA_TAIL) {
        offset = size < total ? total - size : 0;
        size = total - offset;
    }
    if (rc == EXIA_OK && no_range && offset > total)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "%s: \"%.80s\" has %" PRIu64 " bytes: nothing begins at %" PRIu64,
                        r.self->shown, key, total, offset);
    if (rc == EXIA_OK && size > 0)
        rc = read_first(&r, offset, size, err);
    while (rc == EXIA_OK && r.offset < r.end) {
        rc = read_on(&r, err);
        if (rc == EXIA_ECONFLICT && r.broken.status == 0)
            rc = look_again(&r, err);
    }
    exia__given->release(work);
    return rc < 0 ? rc : EXIA_OK;
}
