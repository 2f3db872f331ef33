/* S3 through a server that fails: nothing told done is lost, nothing half done is seen, every call ends in time. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/job.h"
#include "drivers/http/given.h"
#include "store/driver.h"
#include "store/store.h"
#include "support/check.h"
#include "support/fake_http.h"

EXIA_API exia_driver_entry_fn exia_driver_entry; /* the module's, in this program */

/* ---- a bucket of one object ------------------------------------------------------------------ */

typedef enum fault {
    NONE,
    DROP_REQUEST, /* the connection ends before anything is done */
    DROP_REPLY,   /* ... and after */
    CUT_REPLY,
    GARBAGE,
    TWICE, /* the reply comes twice */
    HANG,
    SAY_500,
    SAY_503,
    SAY_503_AFTER, /* with Retry-After */
    SAY_429,
    REDIRECT,
    EMPTY,  /* 200 and nothing */
    FOREIGN /* 200 and a page for people */
} fault;

static const char object[] = "bytes";
enum { SIZE = sizeof object - 1 };

static struct { /* of the test and of the server's threads */
    atomic_int there, stored;
    atomic_size_t large; /* not zero: the object is so large, and of zeros */
    atomic_int fault;
    atomic_long from, to; /* the requests that the fault hits */
    atomic_size_t cut;
    atomic_long requests;
    atomic_int replace_after; /* so many ranges, and then another object is there */
} bucket;

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

static void say_error(fake_reply *out, const char *status, const char *code, int head)
{
    char xml[128];
    snprintf(xml, sizeof xml, "<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>", code);
    fake_say(out, status, date, xml, strlen(xml), head);
}

static size_t object_size(void)
{
    return bucket.large ? bucket.large : SIZE;
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
    if (bucket.replace_after > 0 && --bucket.replace_after == 0)
        bucket.large += 1;
    if (fake_has(request, "if-match", NULL) &&
        !fake_has(request, "if-match", text("\"e%zu\"", all))) {
        say_error(out, "412 Precondition Failed", "PreconditionFailed", 0);
        return;
    }
    if (range != NULL && from >= all) {
        fake_say(out, "416 Range Not Satisfiable", text("Content-Range: bytes */%zu\r\n", all), "",
                 0, 0);
        return;
    }
    to = range == NULL || to >= all ? all - 1 : to;
    if (bucket.large > 0 && zeros == NULL)
        zeros = calloc(1, 9 << 20);
    fake_say(
        out, "206 Partial Content",
        text("%sETag: \"e%zu\"\r\nContent-Range: bytes %zu-%zu/%zu\r\n", date, all, from, to, all),
        bucket.large ? zeros : object + from, to - from + 1, 0);
}

static void serve_object(fake_reply *out, const fake_request *request)
{
    int head = strcmp(request->method, "HEAD") == 0;
    int copy = fake_has(request, "x-amz-copy-source", NULL);
    if (strcmp(request->method, "DELETE") == 0) {
        bucket.there = 0;
        fake_say(out, "204 No Content", date, "", 0, 1);
    } else if (strcmp(request->method, "PUT") == 0 && !copy) {
        if (bucket.there && fake_has(request, "if-none-match", "*")) {
            say_error(out, "412 Precondition Failed", "PreconditionFailed", 0);
            return;
        }
        bucket.there = 1;
        bucket.stored++;
        fake_say(out, "200 OK", date, "", 0, 0);
    } else if (!bucket.there) {
        say_error(out, "404 Not Found", "NoSuchKey", head);
    } else if (copy) {
        const char *xml = "<CopyObjectResult></CopyObjectResult>";
        fake_say(out, "200 OK", date, xml, strlen(xml), 0);
    } else if (head) {
        fake_say(out, "200 OK", text("%sETag: \"e%zu\"\r\n", date, object_size()), "",
                 object_size(), 1);
    } else {
        say_range(out, request);
    }
}

static void serve(fake_reply *out, const fake_request *request)
{
    if (strstr(request->target, "list-type=2") != NULL) {
        const char *xml =
            text("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>%s"
                 "</ListBucketResult>",
                 bucket.there ? "<Contents><Key>p/k</Key><LastModified>2026-01-31T23:59:58.123Z"
                                "</LastModified><Size>5</Size></Contents>"
                              : "");
        fake_say(out, "200 OK", date, xml, strlen(xml), 0);
    } else {
        serve_object(out, request);
    }
}

static void answer(fake_reply *out, const fake_request *request, void *payload)
{
    static const char page[] = "<html><body>Welcome</body></html>";
    (void)payload;
    long number = ++bucket.requests;
    fault now = number >= bucket.from && number <= bucket.to ? bucket.fault : NONE;
    int head = strcmp(request->method, "HEAD") == 0;
    switch (now) {
    case DROP_REQUEST:
        return;
    case HANG:
        out->hang = 1;
        return;
    case SAY_500:
        fake_say(out, "500 Oops", "", "x", 1, head);
        return;
    case SAY_503:
        say_error(out, "503 Slow Down", "SlowDown", head);
        return;
    case SAY_503_AFTER:
        fake_say(out, "503 Slow Down", "Retry-After: 1\r\n", "", 0, head);
        return;
    case SAY_429:
        fake_say(out, "429 Too Many Requests", "", "", 0, head);
        return;
    case REDIRECT:
        fake_say(out, "307 Elsewhere", "Location: http://127.0.0.1:1/other\r\n", "", 0, head);
        return;
    case EMPTY:
        fake_say(out, "200 OK", "", "", 0, head);
        return;
    case FOREIGN:
        fake_say(out, "200 OK", "Content-Type: text/html\r\n", page, sizeof page - 1, head);
        return;
    case GARBAGE:
        fake_say(out, "200", "", "", 0, head);
        memset(out->text, '\x7f', out->size);
        out->close = 1;
        return;
    case NONE:
    case DROP_REPLY:
    case CUT_REPLY:
    case TWICE:
        break;
    }
    serve(out, request);
    if (now == DROP_REPLY)
        out->cut = 0;
    if (now == CUT_REPLY && bucket.cut < out->size)
        out->cut = bucket.cut;
    if (now == TWICE) {
        out->text = realloc(out->text, 2 * out->size);
        if (out->text == NULL)
            abort();
        memcpy(out->text + out->size, out->text, out->size);
        out->size = out->cut = 2 * out->size;
    }
}

/* ---- the driver on it ----------------------------------------------------------------------- */

static const char *start(void)
{
    static int known;
    setenv("EXIA_HOME", check_path("home"), 1);
    if (!known++) {
        const exia_driver *driver = exia_driver_entry(&exia__core, &err);
        assert_non_null(driver);
        check_ok(exia_driver_register(driver, &err));
    }
    bucket.there = bucket.stored = bucket.fault = bucket.replace_after = 0;
    bucket.large = bucket.cut = 0;
    bucket.from = bucket.to = bucket.requests = 0;
    return check_format("s3+http://key:hidden@127.0.0.1:%d/bucket/p", fake_start(answer, NULL));
}

static exia__blobs *open_blobs(const char *url)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, NULL, &err));
    return blobs;
}

/* From the next request on, for `count` of them. */
static void plan(fault what, long count)
{
    bucket.fault = what;
    bucket.from = bucket.requests + 1;
    bucket.to = bucket.from + count - 1;
}

static exia_status count_bytes(const void *data, size_t size, void *payload, exia_error *error)
{
    (void)data;
    (void)error;
    *(size_t *)payload += size;
    return EXIA_OK;
}

static exia_status count_blob(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                              exia_error *error)
{
    (void)error;
    *(size_t *)payload += strcmp(key, "k") == 0 && size == SIZE && modified_ms > 0;
    return EXIA_OK;
}

enum { PUT, GET, STAT, LIST, TOUCH, REMOVE, NOW, OPERATIONS };

static exia_status operate(int what, exia__blobs *blobs, const exia_job *job)
{
    exia_source source = exia__source_memory(object, SIZE);
    size_t seen = 0;
    uint64_t size = 0;
    int64_t ms = 0;
    exia_status rc = EXIA_OK;
    switch (what) {
    case PUT:
        return exia__blobs_put(blobs, "k", &source, job, &err);
    case GET:
        rc = exia__blobs_get(blobs, "k", 0, UINT64_MAX, count_bytes, &seen, job, &err);
        assert_int_equal(seen, rc == EXIA_OK ? SIZE : 0);
        return rc;
    case STAT:
        rc = exia__blobs_stat(&size, &ms, blobs, "k", job, &err);
        assert_int_equal(size, rc == EXIA_OK ? SIZE : 0);
        return rc;
    case LIST:
        rc = exia__blobs_list(blobs, "", count_blob, &seen, job, &err);
        assert_int_equal(seen, rc == EXIA_OK ? 1 : 0);
        return rc;
    case TOUCH:
        return exia__blobs_touch(blobs, "k", job, &err);
    case REMOVE:
        return exia__blobs_remove(blobs, "k", job, &err);
    default:
        rc = exia__blobs_now(&ms, blobs, job, &err);
        assert_true(rc < 0 || ms == 1769903999000);
        return rc;
    }
}

/* ---- what is told of it ---------------------------------------------------------------------- */

TEST(a_check_of_a_remote_uses_its_secret_and_does_not_show_it)
{
    const char *url = start(), *row = NULL, *all = "";
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    check_ok(exia_registry_open(&registry, check_path("home"), &err));
    check_ok(exia_registry_remote_add(
        registry, "depot", check_format("sqlite:%s", check_path("depot.db")), url, &err));
    check_ok(exia_registry_remote_check(&rows, registry, "depot", &err));
    while (exia_rows_next(&row, rows, &err) == EXIA_OK)
        all = check_format("%s%s\n", all, row);
    assert_non_null(
        strstr(all, "{\"store\":\"records\",\"key\":\"state\",\"value\":\"nothing was "));
    assert_non_null(strstr(all, "{\"store\":\"packages\",\"key\":\"server\",\"value\":\"fake\"}"));
    assert_non_null(strstr(all, "\"create_only\",\"value\":\"not tried yet"));
    assert_non_null(strstr(all, "clock_ahead_s"));
    assert_null(strstr(all, "hidden"));
    exia_rows_free(rows);
    check_fails(EXIA_ENOTFOUND, exia_registry_remote_check(&rows, registry, "none", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_check(&rows, registry, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_check(NULL, registry, "depot", &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_check(&rows, NULL, "depot", &err));
    assert_null(rows);
    exia_registry_free(registry);
    fake_stop();
}

/* ---- one fault ------------------------------------------------------------------------------ */

TEST(an_operation_that_is_hit_once_succeeds_all_the_same)
{
    static const fault faults[] = {DROP_REQUEST, DROP_REPLY, GARBAGE, TWICE,
                                   HANG,         SAY_500,    SAY_503, SAY_429};
    exia__blobs *blobs = open_blobs(start());
    exia_job job = {.struct_size = sizeof job, .timeout_ms = 2000};
    check_ok(operate(PUT, blobs, &job)); /* and it is known that the server creates only */
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        for (int what = 0; what < OPERATIONS; what++) {
            if (faults[i] == HANG && what > GET)
                continue; /* it takes a second each time */
            bucket.there = what != PUT;
            bucket.stored = 0;
            plan(faults[i], 1);
            exia_status rc = (check_reset(), operate(what, blobs, &job));
            if (what == PUT && faults[i] == DROP_REPLY)
                check_status(EXIA_EEXISTS, rc, __FILE__, __LINE__); /* its own, for all it knows */
            else
                check_status(EXIA_OK, rc, __FILE__, __LINE__);
            assert_int_equal(bucket.there, what != REMOVE);
            assert_int_equal(bucket.stored, what == PUT);
            bucket.from = bucket.to = 0;
            if (faults[i] == TWICE) /* and the second one is not taken for the next answer */
                check_status(what == REMOVE ? EXIA_ENOTFOUND : EXIA_OK,
                             (check_reset(), operate(STAT, blobs, &job)), __FILE__, __LINE__);
        }
    }
    exia__blobs_free(blobs);
    fake_stop();
}

TEST(an_answer_cut_at_any_byte_is_asked_for_again) /* of a GET, at every seventh */
{
    exia__blobs *blobs = open_blobs(start());
    check_ok(operate(PUT, blobs, NULL));
    static const int whats[] = {STAT, GET};
    for (size_t i = 0; i < 2; i++) {
        long asked = 0;
        for (bucket.cut = 0; asked != 1; bucket.cut += whats[i] == STAT ? 1 : 7) {
            asked = bucket.requests;
            plan(CUT_REPLY, 1);
            check_ok(operate(whats[i], blobs, NULL));
            asked = bucket.requests - asked; /* one: the cut was behind the end */
            assert_in_range(asked, 1, 2);
        }
        assert_in_range(bucket.cut, 100, 400);
    }
    exia__blobs_free(blobs);
    fake_stop();
}

TEST(a_server_that_asks_for_a_pause_gets_it)
{
    exia__blobs *blobs = open_blobs(start());
    check_ok(operate(PUT, blobs, NULL));
    plan(SAY_503_AFTER, 1);
    int64_t began = exia__clock_ms();
    check_ok(operate(STAT, blobs, NULL));
    assert_in_range(exia__clock_ms() - began, 1000, 20000);
    exia_job job = {.struct_size = sizeof job, .total_ms = 950};
    plan(SAY_503_AFTER, 1);
    check_fails(EXIA_EUNAVAILABLE, operate(STAT, blobs, &job)); /* there is no time for it */
    exia__blobs_free(blobs);
    fake_stop();
}

/* ---- faults that stay ----------------------------------------------------------------------- */

TEST(a_fault_that_stays_ends_every_operation_in_time_with_host_and_operation)
{
    static const struct {
        fault fault;
        exia_status status;
        const char *text;
    } rows[] = {
        {HANG, EXIA_ETIMEOUT, ""},
        {DROP_REQUEST, EXIA_EUNAVAILABLE, ""},
        {SAY_503, EXIA_EUNAVAILABLE, "503"},
        {GARBAGE, EXIA_EUNAVAILABLE, ""},
        {REDIRECT, EXIA_EINVAL, "is not followed with keys"},
    };
    exia__blobs *blobs = open_blobs(start());
    exia_job job = {.struct_size = sizeof job, .timeout_ms = 100, .total_ms = 150};
    check_ok(operate(PUT, blobs, NULL));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int what = 0; what < OPERATIONS; what++) {
            bucket.there = what != PUT;
            plan(rows[i].fault, 1000000);
            int64_t began = exia__clock_ms();
            check_reset();
            exia_status rc = operate(what, blobs, &job);
            if (rc != EXIA_ETIMEOUT) { /* which a busy machine may reach first */
                check_status(rows[i].status, rc, __FILE__, __LINE__);
                check_text(rows[i].text);
            }
            check_text("s3 http://127.0.0.1:");
            assert_null(strstr(err.text, "hidden"));
            assert_true(exia__clock_ms() - began < 5000); /* 0.15 s, on a busy machine */
            assert_int_equal(bucket.there, what != PUT);
        }
    }
    exia__blobs_free(blobs);
    fake_stop();
}

TEST(a_server_of_another_kind_or_none_is_told_at_the_opening)
{
    static const struct {
        fault fault;
        exia_status status;
        const char *text;
    } rows[] = {
        {FOREIGN, EXIA_EINVAL, "there is no server of S3"},
        {EMPTY, EXIA_EINVAL, "there is no server of S3"},
        {REDIRECT, EXIA_EINVAL, "is not followed with keys"},
    };
    exia__blobs *blobs = NULL;
    const char *url = start();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        plan(rows[i].fault, 1000000);
        check_fails(rows[i].status, exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, NULL, &err));
        check_text(rows[i].text);
        assert_int_equal(bucket.requests, bucket.from); /* asked once */
    }
    fake_stop();
    exia_job job = {.struct_size = sizeof job, .total_ms = 1000};
    check_fails(EXIA_EUNAVAILABLE, exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, &job, &err));
    check_text("127.0.0.1");
    assert_null(blobs);
}

/* ---- ranges --------------------------------------------------------------------------------- */

TEST(an_object_that_is_replaced_while_it_is_read_is_a_conflict)
{
    exia__blobs *blobs = open_blobs(start());
    size_t seen = 0;
    check_ok(operate(PUT, blobs, NULL));
    bucket.large = 17 << 20;
    check_ok(exia__blobs_get(blobs, "k", 0, UINT64_MAX, count_bytes, &seen, NULL, &err));
    assert_int_equal(seen, 17 << 20);
    bucket.replace_after = 2; /* at the second range */
    check_fails(EXIA_ECONFLICT,
                exia__blobs_get(blobs, "k", 0, UINT64_MAX, count_bytes, &seen, NULL, &err));
    check_text("was replaced while it was read");
    exia__blobs_free(blobs);
    fake_stop();
}

TEST(nothing_is_printed_whatever_fails)
{
    int saved = dup(2), quiet[2];
    char byte = 0;
    exia__blobs *blobs = open_blobs(start());
    exia_job job = {.struct_size = sizeof job, .timeout_ms = 50, .total_ms = 200};
    assert_int_equal(pipe(quiet), 0);
    assert_int_equal(dup2(quiet[1], 2), 2);
    for (int now = DROP_REQUEST; now <= FOREIGN; now++) {
        plan((fault)now, 1000000);
        (void)exia__blobs_stat(NULL, NULL, blobs, "k", &job, NULL);
    }
    assert_int_equal(dup2(saved, 2), 2);
    close(saved);
    close(quiet[1]);
    assert_int_equal(read(quiet[0], &byte, 1), 0);
    close(quiet[0]);
    exia__blobs_free(blobs);
    fake_stop();
}
