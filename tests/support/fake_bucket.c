/* The made-up bucket: its object is OPERATE_BYTES, or so many zeros as the test wants. */
#include "support/fake_bucket.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/http_faults.h"
#include "support/operate.h"

struct fake_bucket fake_bucket;

/* A text for the next answer; answers are made one at a time. */
static const char *text(const char *format, ...)
{
    static char kept[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(kept, sizeof kept, format, arguments);
    va_end(arguments);
    return kept;
}

static const char date[] = "Date: Sat, 31 Jan 2026 23:59:59 GMT\r\n"
                           "Last-Modified: Sat, 31 Jan 2026 23:59:58 GMT\r\nServer: fake\r\n";

static size_t object_size(void)
{
    return fake_bucket.large ? fake_bucket.large : OPERATE_SIZE;
}

/* Of what the object is now. */
static const char *etag(void)
{
    return text("\"e%zu-%d\"", object_size(), fake_bucket.touches);
}

static void say_range(fake_reply *out, const fake_request *request)
{
    const char *range = strcasestr(request->head, "\r\nRange: bytes=");
    size_t all = object_size(), from = 0, to = 0;
    char *end = NULL;
    static char *zeros;
    if (range != NULL) {
        from = strtoull(range + 15, &end, 10);
        to = strtoull(end + 1, NULL, 10);
    }
    if (fake_bucket.replace_after > 0 && --fake_bucket.replace_after == 0)
        fake_bucket.large += 1;
    if (fake_has(request, "if-match", NULL) && !fake_has(request, "if-match", etag())) {
        faults_say_error(out, "412 Precondition Failed", date, "PreconditionFailed", 0);
        return;
    }
    if (range != NULL && from >= all) {
        fake_say(out, "416 Range Not Satisfiable", text("Content-Range: bytes */%zu\r\n", all), "",
                 0, 0);
        return;
    }
    to = range == NULL || to >= all ? all - 1 : to;
    if (fake_bucket.large > 0 && zeros == NULL)
        zeros = calloc(1, 9 << 20);
    fake_say(out, "206 Partial Content",
             text("%sETag: \"e%zu-%d\"\r\nContent-Range: bytes %zu-%zu/%zu\r\n", date, all,
                  fake_bucket.touches, from, to, all),
             fake_bucket.large ? zeros : OPERATE_BYTES + from, to - from + 1, 0);
    if (fake_bucket.touch_every > 0 && ++fake_bucket.untouched % fake_bucket.touch_every == 0)
        fake_bucket.touches++;
}

/* An upload whose parts are copied ranges of the object, of which it gets another ETag. */
static void serve_upload(fake_reply *out, const fake_request *request)
{
    const char *xml = "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>";
    if (strstr(request->target, "?uploads=") != NULL)
        xml = "<InitiateMultipartUploadResult><UploadId>u/1</UploadId>"
              "</InitiateMultipartUploadResult>";
    else if (strcmp(request->method, "PUT") == 0) {
        size_t from = 0, to = 0;
        const char *range = strcasestr(request->head, "x-amz-copy-source-range: bytes=");
        if (fake_bucket.cannot_copy || range == NULL ||
            !fake_has(request, "x-amz-copy-source-if-match", etag())) {
            faults_say_error(out,
                             fake_bucket.full ? "507 Insufficient Storage" : "501 Not Implemented",
                             date, fake_bucket.full ? "XMinioStorageFull" : "NotImplemented", 0);
            return;
        }
        sscanf(range + 31, "%zu-%zu", &from, &to);
        fake_bucket.copied += to - from + 1;
        fake_bucket.parts++;
        xml = "<CopyPartResult><ETag>&quot;part&quot;</ETag></CopyPartResult>";
    }
    fake_say(out, "200 OK", date, xml, strlen(xml), 0);
}

static void serve_object(fake_reply *out, const fake_request *request)
{
    int head = strcmp(request->method, "HEAD") == 0;
    int copy = fake_has(request, "x-amz-copy-source", NULL);
    if (strcmp(request->method, "DELETE") == 0) {
        fake_bucket.there = 0;
        fake_say(out, "204 No Content", date, "", 0, 1);
    } else if (strcmp(request->method, "PUT") == 0 && !copy) {
        if (fake_bucket.there && fake_has(request, "if-none-match", "*")) {
            faults_say_error(out, "412 Precondition Failed", date, "PreconditionFailed", 0);
            return;
        }
        fake_bucket.there = 1;
        fake_bucket.stored++;
        fake_say(out, "200 OK", date, "", 0, 0);
    } else if (!fake_bucket.there) {
        faults_say_error(out, "404 Not Found", date, "NoSuchKey", head);
    } else if (copy && fake_bucket.large > (size_t)5 << 30) {
        faults_say_error(out, "400 Bad Request", date, "InvalidRequest", 0);
    } else if (copy) {
        const char *xml = "<CopyObjectResult></CopyObjectResult>";
        fake_say(out, "200 OK", date, xml, strlen(xml), 0);
    } else if (head) {
        fake_say(out, "200 OK",
                 text("%sETag: \"e%zu-%d\"\r\n", date, object_size(), fake_bucket.touches), "",
                 object_size(), 1);
    } else {
        say_range(out, request);
    }
}

void fake_bucket_answer(fake_reply *out, const fake_request *request, void *payload)
{
    (void)payload;
    if (request->cut < strlen(request->head) + request->body_size)
        return;
    if (strstr(request->target, "list-type=2") != NULL) {
        const char *xml = text(
            "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>%s"
            "</ListBucketResult>",
            fake_bucket.there ? "<Contents><Key>p/k</Key><LastModified>2026-01-31T23:59:58.123Z"
                                "</LastModified><Size>5</Size></Contents>"
                              : "");
        fake_say(out, "200 OK", date, xml, strlen(xml), 0);
    } else if (strstr(request->target, "?uploads=") || strstr(request->target, "uploadId=")) {
        serve_upload(out, request);
    } else {
        serve_object(out, request);
    }
}
