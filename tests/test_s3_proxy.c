/* S3 on a real server with faults between it and the driver, each side killed at every step of a put: nothing
 * told done is lost, nothing half done is seen, no effect doubles, every call ends in time.  The server is that of
 * s3_server.h. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/job.h"
#include "drivers/http/given.h"
#include "store/driver.h"
#include "support/check.h"
#include "support/http_faults.h"
#include "support/operate.h"
#include "support/s3_server.h"

EXIA_API exia_driver_entry_fn exia_driver_entry; /* the module's, in this program */

enum { LARGE = (17 << 20) + 5, PARTS = 2 };

static exia__blobs *through, *direct; /* one prefix, with the faults and without */

static exia__blobs *open_blobs(const char *url)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, NULL, &err));
    return blobs;
}

static const char *through_url;

/* Both ways to the server; each test has a prefix of its own, empty at first. */
static void start(void)
{
    static int known, port;
    const char *url = server_url();
    if (!known++) {
        const exia_driver *driver = exia_driver_entry(&exia__core, &err);
        assert_non_null(driver);
        check_ok(exia_driver_register(driver, &err));
    }
    const char *host = strrchr(url, '@') + 1, *own = strrchr(check_directory(), '/');
    const char *end = strchr(host, '/');
    port = atoi(strchr(host, ':') + 1);
    through_url = check_format("%.*s127.0.0.1:%d%s%s", (int)(host - url), url,
                               faults_start(fake_forward, &port), end, own);
    direct = open_blobs(check_format("%s%s", url, own));
    through = open_blobs(through_url);
}

static void stop(void)
{
    exia__blobs_free(through);
    exia__blobs_free(direct);
    fake_stop();
}

/* "k" is there or not, as it should be, and nothing beside it. */
static int is_there(void)
{
    size_t seen = 0;
    exia_status rc = exia__blobs_get(direct, "k", 0, UINT64_MAX, count_bytes, &seen, NULL, &err);
    if (rc == EXIA_OK) {
        check_ok(operate(GET, direct, NULL));
        check_ok(operate(LIST, direct, NULL));
    } else {
        check_status(EXIA_ENOTFOUND, rc, __FILE__, __LINE__);
    }
    return rc == EXIA_OK;
}

static void make_there(int wanted)
{
    exia_status rc = operate(wanted ? PUT : REMOVE, direct, NULL);
    assert_true(rc == EXIA_OK || (wanted && rc == EXIA_EEXISTS));
}

/* ---- small exchanges ------------------------------------------------------------------------- */

/* A put may find what it put itself, its reply lost, and says so: the keys are digests. */
static void check_outcome(int what, exia_status rc)
{
    if (what != PUT || rc != EXIA_EEXISTS)
        check_status(EXIA_OK, rc, __FILE__, __LINE__);
    assert_int_equal(is_there(), what != REMOVE);
}

TEST(an_operation_on_a_real_server_that_is_hit_once_succeeds_all_the_same)
{
    static const fault faults[] = {DROP_REQUEST, CUT_REQUEST, DROP_REPLY, GARBAGE, TWICE,    LATE,
                                   DRIP,         SAY_500,     SAY_503,    SAY_429, CUT_REPLY};
    start();
    check_ok(operate(PUT, through, NULL)); /* and it is known that the server creates only */
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        for (int what = 0; what < OPERATIONS; what++) {
            make_there(what != PUT);
            faults_plan(faults[i], 1, 40);
            exia_status rc = (check_reset(), operate(what, through, NULL));
            check_outcome(what, rc);
        }
    }
    stop();
}

TEST(a_small_exchange_with_a_real_server_is_cut_at_any_byte)
{
    static const struct {
        fault fault;
        int what;
        size_t step; /* the third of a second that a server takes for a put adds up */
    } rows[] = {
        {CUT_REPLY, STAT, 1},  {CUT_REPLY, GET, 5},    {CUT_REPLY, PUT, 5},
        {CUT_REQUEST, PUT, 9}, {CUT_REQUEST, STAT, 9},
    };
    start();
    check_ok(operate(PUT, through, NULL));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t at = 0, end = 1; at < end; at += rows[i].step) {
            make_there(rows[i].what != PUT);
            faults_plan(rows[i].fault, 1, at);
            exia_status rc = (check_reset(), operate(rows[i].what, through, NULL));
            end = rows[i].fault == CUT_REPLY ? faults_reply() : faults_request();
            if (rows[i].what == PUT || at == 0)
                check_outcome(rows[i].what, rc);
            else
                check_status(EXIA_OK, rc, __FILE__, __LINE__);
        }
    }
    stop();
}

static exia_status ignore_blob(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                               exia_error *error)
{
    (void)key;
    (void)size;
    (void)modified_ms;
    (void)payload;
    (void)error;
    return EXIA_OK;
}

TEST(a_reply_of_a_real_server_with_a_wrong_byte_ends_the_call_all_the_same)
{
    const exia_job job = {.struct_size = sizeof job, .timeout_ms = 400, .total_ms = 800};
    size_t seen = 0;
    uint64_t size = 0;
    int64_t ms = 0;
    start();
    make_there(1);
    for (int what = 0; what < 3; what++) {
        for (size_t at = 0, end = 1; at < end; at += 3) {
            faults_plan(GARBLE, 1, at);
            int64_t began = exia__clock_ms();
            exia_error error = {0};
            exia_status rc =
                what == 0   ? exia__blobs_stat(&size, &ms, through, "k", &job, &error)
                : what == 1 ? exia__blobs_get(through, "k", 0, 5, count_bytes, &seen, &job, &error)
                            : exia__blobs_list(through, "", ignore_blob, NULL, &job, &error);
            end = faults_reply();
            assert_true(exia__clock_ms() - began < 20000); /* 0.8 s, on a busy machine */
            assert_true(rc == EXIA_OK || (error.status == rc && strstr(error.text, "127.0.0.1")));
        }
    }
    assert_true(is_there());
    stop();
}

/* ---- what is large --------------------------------------------------------------------------- */

static exia_status read_large(void *into, uint64_t offset, size_t size, void *payload,
                              exia_error *error)
{
    (void)payload;
    (void)error;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)into)[i] = (unsigned char)(((offset + i) * 2654435761u) >> 13);
    return EXIA_OK;
}

static exia_source large_source(void)
{
    static char sha256[EXIA__HEX_SIZE];
    static unsigned char *all;
    if (all == NULL) {
        all = malloc(LARGE);
        assert_non_null(all);
        check_ok(read_large(all, 0, LARGE, NULL, &err));
        check_ok(exia__hash_hex(sha256, all, LARGE, &err));
    }
    return (exia_source){.read = read_large, .size = LARGE, .sha256 = sha256};
}

typedef struct seen {
    exia__hash *hash;
    uint64_t size;
} seen;

static exia_status hash_bytes(const void *data, size_t size, void *payload, exia_error *error)
{
    seen *now = payload;
    now->size += size;
    return exia__hash_update(now->hash, data, size, error);
}

/* Whole, and alone. */
static void check_large(void)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    char hex[EXIA__HEX_SIZE];
    seen now = {0};
    check_ok(exia__hash_open(&now.hash, &err));
    check_ok(exia__blobs_get(direct, "large", 0, UINT64_MAX, hash_bytes, &now, NULL, &err));
    assert_int_equal(now.size, LARGE);
    check_ok(exia__hash_finish(digest, now.hash, &err));
    exia__hash_free(now.hash);
    exia__hex(hex, digest, sizeof digest);
    assert_string_equal(hex, large_source().sha256);
}

static int large_is_there(void)
{
    exia_status rc = exia__blobs_stat(NULL, NULL, direct, "large", NULL, &err);
    if (rc == EXIA_OK)
        check_large();
    else
        check_status(EXIA_ENOTFOUND, rc, __FILE__, __LINE__);
    return rc == EXIA_OK;
}

/* The requests of a put in parts: look, begin, the parts, complete. */
enum { STEPS = 1 + 1 + PARTS + 1 };

TEST(each_request_of_a_put_in_parts_may_be_hit)
{
    static const fault faults[] = {DROP_REQUEST, CUT_REQUEST, DROP_REPLY, CUT_REPLY, SAY_503};
    start();
    exia_source source = large_source();
    check_ok(operate(PUT, through, NULL));
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        for (long step = 0; step < STEPS; step++) {
            faults_plan_after(faults[i], step, 1, 100);
            exia_status rc = exia__blobs_put(through, "large", &source, NULL, &err);
            assert_true(rc == EXIA_OK || rc == EXIA_EEXISTS);
            check_large();
            assert_int_equal(server_notes(), 0);
            check_ok(exia__blobs_remove(direct, "large", NULL, &err));
        }
    }
    stop();
}

/* ---- what is copied -------------------------------------------------------------------------- */

/* Of "large" the first 10 MiB lie in "base", too: look at the base, look, begin, copy, send, complete. */
static const exia_piece in_base = {0, 10 << 20, "base", 0};
enum { COPY_STEPS = 6, THE_COPY = 4 };

TEST(each_request_of_a_blob_of_pieces_may_be_hit)
{
    static const fault faults[] = {DROP_REQUEST, DROP_REPLY, CUT_REPLY, SAY_503};
    start();
    exia_source source = large_source();
    check_ok(operate(PUT, through, NULL));
    check_ok(exia__blobs_put(direct, "base", &source, NULL, &err));
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        for (long step = 0; step < COPY_STEPS; step++) {
            uint64_t copied = 0;
            faults_plan_after(faults[i], step, 1, 100);
            check_reset();
            exia_status rc =
                exia__blobs_compose(&copied, through, "large", &source, &in_base, 1, NULL, &err);
            assert_true(rc == EXIA_EEXISTS || (rc == EXIA_OK && copied == in_base.size));
            check_large();
            assert_int_equal(server_notes(), 0);
            check_ok(exia__blobs_remove(direct, "large", NULL, &err));
        }
    }
    stop();
}

static void remove_base(void) /* in a thread of the server's */
{
    if (exia__blobs_remove(direct, "base", NULL, NULL) != EXIA_OK)
        abort();
}

static void replace_base(void)
{
    static char other[LARGE];
    exia_source source = exia__source_memory(other, LARGE);
    remove_base();
    if (exia__blobs_put(direct, "base", &source, NULL, NULL) != EXIA_OK)
        abort();
}

TEST(a_base_that_is_replaced_or_removed_before_it_is_copied_is_not_copied)
{
    void (*const acts[])(void) = {replace_base, remove_base};
    start();
    exia_source source = large_source();
    check_ok(operate(PUT, through, NULL));
    for (size_t i = 0; i < 2; i++) {
        uint64_t copied = 99;
        check_ok(exia__blobs_remove(direct, "base", NULL, &err));
        check_ok(exia__blobs_put(direct, "base", &source, NULL, &err));
        faults_act(acts[i], THE_COPY, 1);
        check_ok(exia__blobs_compose(&copied, through, "large", &source, &in_base, 1, NULL, &err));
        assert_int_equal(copied, 0);
        check_large();
        assert_int_equal(server_notes(), 0);
        check_ok(exia__blobs_remove(direct, "large", NULL, &err));
    }
    stop();
}

/* ---- kill -9 of the client ------------------------------------------------------------------- */

static pid_t client;

static void kill_client(void)
{
    kill(client, SIGKILL);
}

static int put_large(void)
{
    exia__blobs *blobs = NULL;
    exia_source source = large_source();
    exia_status rc = exia__blobs_open(&blobs, through_url, EXIA_STORE_WRITE, NULL, &err);
    if (rc == EXIA_OK)
        rc = exia__blobs_put(blobs, "large", &source, NULL, &err);
    exia__blobs_free(blobs);
    return rc == EXIA_OK ? 0 : 1;
}

/* A client puts "large" and is killed at its request `number`, before or after the server got it. */
static void put_and_die(long number, int before)
{
    int status = 0, ready[2];
    assert_int_equal(pipe(ready), 0);
    client = fork();
    if (client == 0)
        _exit(read(ready[0], &status, 1) == 1 ? put_large() : 1);
    assert_true(client > 0);
    faults_act(kill_client, number, before);
    assert_int_equal(write(ready[1], "", 1), 1);
    assert_int_equal(close(ready[0]) + close(ready[1]), 0);
    assert_int_equal(waitpid(client, &status, 0), client);
    assert_true(WIFSIGNALED(status));
}

TEST(a_client_killed_at_any_request_of_a_put_leaves_nothing_half_done_and_goes_on)
{
    start();
    exia_source source = large_source();
    check_ok(operate(PUT, through, NULL));
    for (long step = 0; step < 2 * (STEPS + 1); step++) { /* the first one opens */
        put_and_die(1 + step / 2, step % 2 == 0);
        int there = large_is_there();
        assert_int_equal(there, step == 2 * STEPS + 1); /* not before the last was done */
        exia_status rc = exia__blobs_put(through, "large", &source, NULL, &err);
        check_status(there ? EXIA_EEXISTS : EXIA_OK, rc, __FILE__, __LINE__);
        check_large();
        assert_int_equal(server_notes(), 0);
        check_ok(exia__blobs_remove(direct, "large", NULL, &err));
    }
    stop();
}

TEST(an_upload_of_other_parts_is_not_gone_on_with)
{
    uint64_t copied = 0;
    start();
    exia_source source = large_source();
    check_ok(operate(PUT, through, NULL));
    check_ok(exia__blobs_put(direct, "base", &source, NULL, &err));
    put_and_die(STEPS + 1, 1); /* all its parts are there */
    assert_int_equal(server_notes(), 1 + PARTS);
    check_ok(exia__blobs_compose(&copied, through, "large", &source, &in_base, 1, NULL, &err));
    assert_int_equal(copied, in_base.size);
    check_large();
    assert_int_equal(server_notes(), 0);
    stop();
}

/* ---- kill -9 of the server ------------------------------------------------------------------- */

static atomic_int killed;

static void kill_server(void)
{
    server_kill();
    killed = 1;
}

TEST(a_server_killed_at_any_request_of_a_put_has_all_that_was_told_done_and_goes_on)
{
    const exia_job job = {.struct_size = sizeof job, .total_ms = 4000};
    start();
    server_can_start();
    exia_source source = large_source();
    check_ok(operate(PUT, through, NULL));
    for (long step = 1; step < 2 * STEPS; step += 2) { /* when it did it, and said nothing */
        killed = 0;
        faults_act(kill_server, 1 + step / 2, 0);
        exia_status rc = exia__blobs_put(through, "large", &source, &job, &err);
        assert_true(rc == EXIA_EUNAVAILABLE || rc == EXIA_ETIMEOUT);
        check_text("s3 http://127.0.0.1:");
        faults_act(NULL, 0, 0); /* on a busy machine the time may be over before */
        if (killed)
            server_start();
        assert_true(is_there());
        int there = large_is_there();
        rc = exia__blobs_put(through, "large", &source, NULL, &err);
        check_status(there ? EXIA_EEXISTS : EXIA_OK, rc, __FILE__, __LINE__);
        check_large();
        assert_int_equal(server_notes(), 0);
        check_ok(exia__blobs_remove(direct, "large", NULL, &err));
    }
    stop();
}
