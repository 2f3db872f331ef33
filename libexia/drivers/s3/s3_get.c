/* Reading: a first range, which also tells how much there is, then the rest by several ranges at once, told to
 * the sink in order.
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

typedef struct range {
    exia__s3_call call;
    uint64_t offset, size;  /* asked for; with EXIA_TAIL as offset, the end */
    uint64_t begins, total; /* answered; of 416 without a total, UINT64_MAX: look */
} range;

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

static exia_status open_range(range *r, exia__s3 *self, const char *key, uint64_t offset,
                              uint64_t size, const char *etag, exia_error *err)
{
    exia_status rc = exia__s3_call_open(&r->call, self, "get", "GET", key, err);
    r->offset = offset;
    r->size = size;
    r->begins = r->total = 0;
    r->call.payload = r;
    r->call.answered = answered;
    r->call.room = EXIA__S3_PART;
    if (rc == EXIA_OK && offset == EXIA_TAIL)
        rc = exia__s3_call_header(&r->call, "range", err, "bytes=-%" PRIu64, size);
    else if (rc == EXIA_OK)
        rc = exia__s3_call_header(&r->call, "range", err, "bytes=%" PRIu64 "-%" PRIu64, offset,
                                  offset + size - 1);
    if (rc == EXIA_OK && etag != NULL)
        rc = exia__s3_call_header(&r->call, "if-match", err, "%s", etag);
    if (rc == EXIA_OK)
        exia__s3_call_ready(&r->call);
    return rc;
}

typedef struct reading {
    exia__s3 *self;
    const char *key;
    uint64_t offset, end, total; /* what is still to be read; all there is */
    char etag[EXIA__S3_ETAG_SIZE];
    exia_sink_fn *sink;
    void *payload;
    exia__course course;
    int looks; /* how often its ETag had changed */
} reading;

enum { MOST_LOOKS = 8 };

/* The ETag changed: a touch, or another object? */
static exia_status look_again(reading *r, exia_error *err)
{
    uint64_t total = 0;
    int64_t modified_ms = 0;
    exia_status rc =
        exia__s3_look(&total, &modified_ms, r->etag, r->self, r->key, r->course.work, err);
    if (rc == EXIA_OK && (total != r->total || ++r->looks > MOST_LOOKS))
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "%s: \"%.80s\" was replaced while it was read",
                        r->self->shown, r->key);
    return rc;
}

/* The next ranges, at once. */
static exia_status read_some(reading *r, exia_error *err)
{
    range ranges[EXIA__S3_WIDTH] = {0};
    exia__exchange *list[EXIA__S3_WIDTH];
    size_t count = 0;
    exia_status rc = EXIA_OK;
    for (uint64_t at = r->offset; rc == EXIA_OK && at < r->end && count < EXIA__S3_WIDTH;) {
        uint64_t size = r->end - at < EXIA__S3_PART ? r->end - at : EXIA__S3_PART;
        rc = open_range(&ranges[count], r->self, r->key, at, size, *r->etag ? r->etag : NULL, err);
        list[count] = &ranges[count].call.x;
        count++;
        at += size;
    }
    if (rc == EXIA_OK)
        rc = exia__http_run(r->self->http, list, count, &r->course, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        const exia__buffer *text = &ranges[i].call.x.text;
        if (text->size != ranges[i].size) /* only where the server forgot the ETag */
            rc = exia__fail(err, EXIA_ECONFLICT, 0, "%s: \"%.80s\" was replaced while it was read",
                            r->self->shown, r->key);
        if (rc == EXIA_OK)
            rc = r->sink(text->data, text->size, r->payload, err);
        if (rc == EXIA_OK) {
            r->offset += text->size;
            r->course.done += text->size;
        }
    }
    for (size_t i = 0; i < count; i++)
        exia__s3_call_free(&ranges[i].call);
    return rc;
}

/* The first range, which tells what there is. */
static exia_status read_first(reading *r, uint64_t offset, uint64_t size, exia_error *err)
{
    range first = {0};
    uint64_t piece = size < EXIA__S3_PART ? size : EXIA__S3_PART;
    int64_t modified_ms = 0;
    exia_status rc = open_range(&first, r->self, r->key, offset, piece, NULL, err);
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
        rc = read_some(&r, err);
        if (rc == EXIA_ECONFLICT)
            rc = look_again(&r, err);
    }
    exia__given->release(work);
    return rc < 0 ? rc : EXIA_OK;
}
