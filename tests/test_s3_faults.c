/* S3 through a server that fails: nothing told done is lost, nothing half done is seen, every call ends in time. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/job.h"
#include "drivers/http/given.h"
#include "store/driver.h"
#include "store/store.h"
#include "support/check.h"
#include "support/fake_bucket.h"
#include "support/http_faults.h"
#include "support/operate.h"

EXIA_API exia_driver_entry_fn exia_driver_entry; /* the module's, in this program */

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
    fake_bucket.there = fake_bucket.stored = fake_bucket.replace_after = 0;
    fake_bucket.large = fake_bucket.copied = 0;
    fake_bucket.parts = fake_bucket.cannot_copy = fake_bucket.full = 0;
    fake_bucket.touches = fake_bucket.touch_every = fake_bucket.untouched = 0;
    return check_format("s3+http://key:hidden@127.0.0.1:%d/bucket/p",
                        faults_start(fake_bucket_answer, NULL));
}

static exia__blobs *open_blobs(const char *url)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, NULL, &err));
    return blobs;
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
    static const fault faults[] = {DROP_REQUEST, CUT_REQUEST, DROP_REPLY, GARBAGE, TWICE,  LATE,
                                   DRIP,         HANG,        SAY_500,    SAY_503, SAY_429};
    exia__blobs *blobs = open_blobs(start());
    exia_job job = {.struct_size = sizeof job, .timeout_ms = 2000};
    int64_t ms = 0;
    check_ok(exia__blobs_now(&ms, blobs, &job, &err));
    assert_int_equal(ms, 1769903999000);
    check_ok(operate(PUT, blobs, &job)); /* and it is known that the server creates only */
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        for (int what = 0; what < OPERATIONS; what++) {
            if (faults[i] == HANG && what > GET)
                continue; /* it takes a second each time */
            fake_bucket.there = what != PUT;
            fake_bucket.stored = 0;
            faults_plan(faults[i], 1, 0);
            exia_status rc = (check_reset(), operate(what, blobs, &job));
            if (what == PUT && (faults[i] == DROP_REPLY || faults[i] == GARBAGE))
                check_status(EXIA_EEXISTS, rc, __FILE__, __LINE__); /* its own, for all it knows */
            else
                check_status(EXIA_OK, rc, __FILE__, __LINE__);
            assert_int_equal(fake_bucket.there, what != REMOVE);
            assert_int_equal(fake_bucket.stored, what == PUT);
            faults_plan(NONE, 0, 0);
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
        size_t cut = 0;
        for (; asked != 1; cut += whats[i] == STAT ? 1 : 7) {
            asked = faults_requests();
            faults_plan(CUT_REPLY, 1, cut);
            check_ok(operate(whats[i], blobs, NULL));
            asked = faults_requests() - asked; /* one: the cut was behind the end */
            assert_in_range(asked, 1, 2);
        }
        assert_in_range(cut, 100, 400);
    }
    exia__blobs_free(blobs);
    fake_stop();
}

TEST(a_server_that_asks_for_a_pause_gets_it)
{
    exia__blobs *blobs = open_blobs(start());
    check_ok(operate(PUT, blobs, NULL));
    faults_plan(SAY_503_AFTER, 1, 0);
    int64_t began = exia__clock_ms();
    check_ok(operate(STAT, blobs, NULL));
    assert_in_range(exia__clock_ms() - began, 1000, 20000);
    exia_job job = {.struct_size = sizeof job, .total_ms = 950};
    faults_plan(SAY_503_AFTER, 1, 0);
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
            fake_bucket.there = what != PUT;
            faults_plan(rows[i].fault, 1000000, 0);
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
            if (rows[i].fault != GARBAGE) /* for that is an answer to what was done */
                assert_int_equal(fake_bucket.there, what != PUT);
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
        long asked = faults_requests();
        faults_plan(rows[i].fault, 1000000, 0);
        check_fails(rows[i].status, exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, NULL, &err));
        check_text(rows[i].text);
        assert_int_equal(faults_requests(), asked + 1);
    }
    fake_stop();
    exia_job job = {.struct_size = sizeof job, .total_ms = 1000};
    check_fails(EXIA_EUNAVAILABLE, exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, &job, &err));
    check_text("127.0.0.1");
    assert_null(blobs);
}

static void refuse(fake_reply *out, const fake_request *request, void *payload)
{
    const char *const *row = payload; /* status and code */
    faults_say_error(out, row[0], "", row[1], strcmp(request->method, "HEAD") == 0);
}

TEST(what_a_server_refuses_is_told_with_what_to_do)
{
    static const struct {
        const char *answer[2];
        exia_status status;
        const char *text;
    } rows[] = {
        {{"400 Bad Request", "ExpiredToken"}, EXIA_EDENIED, "new AWS_SESSION_TOKEN"},
        {{"400 Bad Request", "InvalidToken"}, EXIA_EDENIED, "new AWS_SESSION_TOKEN"},
        {{"403 Forbidden", "AccessDenied"}, EXIA_EDENIED, "may not do it"},
        {{"403 Forbidden", "RequestTimeTooSkewed"}, EXIA_EDENIED, "clock"},
        {{"400 Bad Request", "AuthorizationHeaderMalformed"}, EXIA_EDENIED, "?region="},
        {{"301 Moved Permanently", "PermanentRedirect"}, EXIA_EINVAL, "right endpoint and region"},
        {{"404 Not Found", "NoSuchBucket"}, EXIA_EINVAL, "make it first"},
        {{"404 Not Found", "Other"}, EXIA_EINVAL, "no server of S3, or no bucket"},
        {{"507 Insufficient Storage", "XMinioStorageFull"}, EXIA_ENOSPACE, "XMinioStorageFull"},
        {{"418 Teapot", ""}, EXIA_EIO, "is this a server of S3?"},
    };
    exia__blobs *blobs = NULL;
    (void)start(); /* the driver is known */
    fake_stop();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int port = faults_start(refuse, (void *)rows[i].answer);
        const char *url = check_format("s3+http://key:hidden@127.0.0.1:%d/bucket", port);
        check_fails(rows[i].status, exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, NULL, &err));
        check_text(rows[i].text);
        assert_null(strstr(err.text, "hidden"));
        assert_int_equal(faults_requests(), 1);
        fake_stop();
    }
}

/* ---- ranges --------------------------------------------------------------------------------- */

TEST(an_object_that_is_replaced_while_it_is_read_is_a_conflict)
{
    exia__blobs *blobs = open_blobs(start());
    size_t seen = 0;
    check_ok(operate(PUT, blobs, NULL));
    fake_bucket.large = 17 << 20;
    check_ok(exia__blobs_get(blobs, "k", 0, UINT64_MAX, count_bytes, &seen, NULL, &err));
    assert_int_equal(seen, 17 << 20);
    fake_bucket.replace_after = 2; /* at the second range */
    check_fails(EXIA_ECONFLICT,
                exia__blobs_get(blobs, "k", 0, UINT64_MAX, count_bytes, &seen, NULL, &err));
    check_text("was replaced while it was read");
    exia__blobs_free(blobs);
    fake_stop();
}

TEST(a_long_read_survives_any_number_of_touches)
{
    exia__blobs *blobs = open_blobs(start());
    size_t seen = 0;
    check_ok(operate(PUT, blobs, NULL));
    fake_bucket.large = 41 * (8 << 20) + 1;
    fake_bucket.touch_every = 4; /* so that four that are under way bring something */
    check_ok(exia__blobs_get(blobs, "k", 0, UINT64_MAX, count_bytes, &seen, NULL, &err));
    assert_int_equal(seen, 41 * (8 << 20) + 1);
    assert_in_range(fake_bucket.touches, 10, 1000);
    exia__blobs_free(blobs);
    fake_stop();
}

static exia_status be_slow(const void *data, size_t size, void *payload, exia_error *error)
{
    poll(NULL, 0, 400);
    return count_bytes(data, size, payload, error);
}

TEST(a_reader_that_takes_its_time_is_no_stall_of_the_server_s)
{
    exia__blobs *blobs = open_blobs(start());
    exia_job job = {.struct_size = sizeof job,
                    .timeout_ms = 600}; /* 300 without a byte are a stall */
    size_t seen = 0;
    check_ok(operate(PUT, blobs, NULL));
    fake_bucket.large = 30 << 20;
    long asked = faults_requests();
    faults_plan_after(LATE, 2, 2, 0); /* under way while another one is told */
    check_ok(exia__blobs_get(blobs, "k", 0, UINT64_MAX, be_slow, &seen, &job, &err));
    assert_int_equal(seen, 30 << 20);
    assert_int_equal(faults_requests() - asked, 4); /* each range once */
    exia__blobs_free(blobs);
    fake_stop();
}

TEST(what_is_too_large_for_one_copy_is_touched_in_parts)
{
    exia__blobs *blobs = open_blobs(start());
    check_ok(operate(PUT, blobs, NULL));
    fake_bucket.large = ((size_t)6 << 30) + 5;
    fake_bucket.stored = 0;
    check_ok(exia__blobs_touch(blobs, "k", NULL, &err));
    assert_int_equal(fake_bucket.copied, fake_bucket.large);
    assert_in_range(fake_bucket.parts, 2, 1000);
    assert_int_equal(fake_bucket.stored, 0);
    fake_bucket.cannot_copy = 1;
    check_fails(EXIA_ENOTFOUND, exia__blobs_touch(blobs, "k", NULL, &err)); /* then it is put */
    check_text("501");
    fake_bucket.full = 1; /* which is no reason to put it */
    check_fails(EXIA_ENOSPACE, exia__blobs_touch(blobs, "k", NULL, &err));
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
        faults_plan((fault)now, 1000000, 0);
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
