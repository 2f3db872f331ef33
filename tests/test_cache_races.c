/* The cache among many: processes and threads that want the same blob, that die, hang or fail at any
 * moment, while what nobody uses goes. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "conformance/conformance.h"
#include "support/cached.h"
#include "support/trace.h"

enum { KIB = 1024, MANY = 8, CROWD = 6, BLOBS = 12, ROUNDS = 60 };

static blob wanted[BLOBS];

static exia__blobs *open_again(void)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, check_format("distant:file:%s", check_path("store")),
                              EXIA_STORE_READ, NULL, &err));
    return blobs;
}

/* Fetch one: 0 when it came and is right. */
static int fetch_one(const blob *one, int64_t stall_ms)
{
    exia__blobs *blobs = open_again();
    exia__cached cached;
    check_reset();
    exia_status rc = cached_fetch(&cached, blobs, one, stall_ms, &err);
    int code = rc < 0 ? -rc : cached_right(cached.fd, one) ? 0 : 100;
    cached_close(&cached);
    exia__blobs_free(blobs);
    return code;
}

static int fetch_first(int number, void *payload)
{
    (void)number, (void)payload;
    return fetch_one(&wanted[0], 0);
}

TEST(of_many_processes_that_want_one_blob_one_brings_it)
{
    exia__blobs *blobs = cached_open(NULL);
    wanted[0] = cached_put(blobs, 1, 3 * 1024 * KIB);
    check_processes(MANY, fetch_first, NULL);
    assert_int_equal(distant->gets, 1);
    int parts = 0;
    assert_int_equal(cached_bytes(&parts), 3 * 1024 * KIB);
    assert_int_equal(parts, 0);
    exia__blobs_free(blobs);
}

static pthread_barrier_t all_have_it;

/* Each keeps it open until all have it. */
static void *fetch_in_thread(void *payload)
{
    exia_error error = {0};
    exia__blobs *blobs = payload;
    exia__cached cached;
    exia_status rc = cached_fetch(&cached, blobs, &wanted[0], 0, &error);
    intptr_t failed = rc < 0 || !cached_right(cached.fd, &wanted[0]);
    pthread_barrier_wait(&all_have_it);
    cached_close(&cached);
    return (void *)failed;
}

TEST(of_many_threads_that_want_one_blob_one_brings_it)
{
    exia__blobs *blobs = cached_open(NULL);
    pthread_t threads[MANY];
    int64_t begin = exia__clock_ms();
    wanted[0] = cached_put(blobs, 1, 1024 * KIB);
    assert_int_equal(pthread_barrier_init(&all_have_it, NULL, MANY), 0);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_in_thread, blobs), 0);
    for (int i = 0; i < MANY; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(distant->gets, 1);
    assert_true(exia__clock_ms() - begin < 25000); /* nobody waited in vain */
    exia__blobs_free(blobs);
}

static int fetch_in_child(void)
{
    return fetch_one(&wanted[0], 0);
}

TEST(who_is_killed_leaves_a_part_on_which_the_next_one_goes_on)
{
    exia__blobs *blobs = cached_open(NULL);
    int parts = 0;
    wanted[0] = cached_put(blobs, 1, 400 * KIB);
    distant->act = 300 * KIB;
    distant->what = DISTANT_DIE;
    assert_int_equal(check_in_child(fetch_in_child), 128 + SIGKILL);
    assert_int_equal(cached_bytes(&parts), 0);
    assert_int_equal(parts, 1);
    distant->told = 0;
    cached_check(blobs, &wanted[0]);
    assert_in_range(distant->told, 100 * KIB, 104 * KIB);
    assert_int_equal(cached_bytes(&parts), 400 * KIB);
    assert_int_equal(parts, 0);
    exia__blobs_free(blobs);
}

static pid_t fork_first(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fetch_one(&wanted[0], 0));
    return pid;
}

static void await_held(void)
{
    while (!atomic_load(&distant->held))
        sched_yield();
}

TEST(who_waits_for_one_that_is_killed_goes_on_where_that_was)
{
    exia__blobs *blobs = cached_open(NULL);
    int status = 0;
    wanted[0] = cached_put(blobs, 1, 400 * KIB);
    distant->act = 300 * KIB;
    distant->what = DISTANT_HOLD;
    pid_t first = fork_first();
    await_held();
    pid_t second = fork_first(); /* whether it waits already or not */
    assert_int_equal(kill(first, SIGKILL), 0);
    assert_int_equal(waitpid(first, NULL, 0), first);
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_int_equal(status, 0);
    assert_in_range(distant->told, 400 * KIB, 404 * KIB);
    exia__blobs_free(blobs);
}

TEST(one_that_hangs_is_waited_for_in_vain_and_then_done_without)
{
    exia__blobs *blobs = cached_open(NULL);
    exia__cached cached;
    int status = 0;
    wanted[0] = cached_put(blobs, 1, 400 * KIB);
    distant->act = 300 * KIB;
    distant->what = DISTANT_HOLD;
    pid_t first = fork_first();
    await_held();
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &wanted[0], 50, &err));
    check_text("stuck");
    atomic_store(&distant->go_on, 1);
    assert_int_equal(waitpid(first, &status, 0), first);
    assert_int_equal(status, 0);
    assert_int_equal(distant->gets, 1);
    cached_check(blobs, &wanted[0]);
    exia__blobs_free(blobs);
}

static int stop_at_once(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)done, (void)total, (void)payload;
    return 1;
}

TEST(who_waits_is_cancelled_and_what_the_other_one_does_stays)
{
    exia__blobs *blobs = cached_open(NULL);
    const exia_job job = {.struct_size = sizeof job, .progress = stop_at_once};
    const exia_job short_job = {.struct_size = sizeof job, .total_ms = 20};
    exia__cached cached;
    int status = 0;
    wanted[0] = cached_put(blobs, 1, 400 * KIB);
    const blob *one = &wanted[0];
    distant->act = 300 * KIB;
    distant->what = DISTANT_HOLD;
    pid_t first = fork_first();
    await_held();
    check_fails(EXIA_ECANCELLED,
                exia__cache_fetch(&cached, blobs, one->key, one->sha256, one->size, &job, &err));
    check_fails(EXIA_ETIMEOUT, exia__cache_fetch(&cached, blobs, one->key, one->sha256, one->size,
                                                 &short_job, &err));
    atomic_store(&distant->go_on, 1);
    assert_int_equal(waitpid(first, &status, 0), first);
    assert_int_equal(status, 0);
    assert_int_equal(distant->gets, 1);
    exia__blobs_free(blobs);
}

/* ---- a crowd -------------------------------------------------------------------------------- */

static int fetch_at_random(int number, void *payload)
{
    exia__blobs *blobs = open_again();
    uint32_t dice = 1 + (uint32_t)number;
    exia__cached kept = {.fd = -1};
    int held = 0;
    (void)payload;
    for (int i = 0; i < ROUNDS; i++) {
        dice = dice * 1664525u + 1013904223u;
        int which = (int)(dice >> 16) % BLOBS;
        exia__cached cached;
        check_reset();
        exia_status rc = cached_fetch(&cached, blobs, &wanted[which], 0, &err);
        if (rc < 0 && rc != EXIA_EUNSUPPORTED) /* all the others may be open */
            return 1;
        if (rc == EXIA_OK && !cached_right(cached.fd, &wanted[which]))
            return 2;
        if (kept.fd >= 0 && !cached_right(kept.fd, &wanted[held]))
            return 3;
        if (dice & 0x100) {
            cached_close(&kept);
            kept = cached;
            held = which;
        } else {
            cached_close(&cached);
        }
        if ((dice & 0x7000) == 0x1000) { /* somebody puts what is no blob in its place */
            const char *bad = check_path(check_format("bad-%d", number));
            check_write_file(bad, "x", 1);
            rename(bad, cached_path(wanted[(dice >> 20) % BLOBS].sha256));
        }
    }
    cached_close(&kept);
    exia__blobs_free(blobs);
    return 0;
}

TEST(a_crowd_that_brings_and_removes_reads_right_bytes_and_keeps_to_the_size)
{
    exia__blobs *blobs = cached_open("500K");
    check_in_memory();
    int parts = 0;
    for (int i = 0; i < BLOBS; i++)
        wanted[i] = cached_put(blobs, i, (uint64_t)(40 + 10 * i) * KIB);
    check_processes(CROWD, fetch_at_random, NULL);
    assert_true(cached_bytes(&parts) <= 500 * KIB);
    assert_int_equal(parts, 0);
    exia__blobs_free(blobs);
}

/* ---- at every system call ------------------------------------------------------------------- */

static int fetch_traced(void *payload)
{
    return fetch_one(payload, 0);
}

/* The cache before each run: one that is old, and full with it. */
static void begin(exia__blobs *blobs)
{
    check_ok(exia__tree_remove(cached_path(NULL), &err));
    cached_check(blobs, &wanted[1]);
    cached_age(wanted[1].sha256, 1000);
}

TEST(killed_before_any_system_call_it_leaves_what_the_next_one_goes_on_with)
{
    exia__blobs *blobs = NULL;
    if (!trace_allowed()) {
        print_message("this process may not trace its children\n");
        skip();
    }
    check_in_memory();
    blobs = cached_open("100K");
    wanted[0] = cached_put(blobs, 0, 60 * KIB);
    wanted[1] = cached_put(blobs, 1, 60 * KIB);
    begin(blobs);
    long calls = trace_run(fetch_traced, &wanted[0], (trace_plan){.way = TRACE_KILL}).calls;
    assert_true(calls > 40);
    for (long nth = 1; nth <= calls; nth++) {
        int parts = 0;
        begin(blobs);
        trace_run(fetch_traced, &wanted[0], (trace_plan){.way = TRACE_KILL, .nth = nth});
        if (cached_has(wanted[0].sha256)) /* it is whole */
            distant->garbled = 1;
        cached_check(blobs, &wanted[0]);
        distant->garbled = 0;
        cached_check(blobs, &wanted[1]);
        assert_true(cached_bytes(&parts) <= 100 * KIB);
        assert_int_equal(parts, 0);
    }
    exia__blobs_free(blobs);
}

TEST(a_write_that_fails_is_told_or_done_without_and_what_is_there_is_right)
{
    static const int codes[] = {ENOSPC, EIO, EDQUOT};
    if (!trace_allowed()) {
        print_message("this process may not trace its children\n");
        skip();
    }
    check_in_memory();
    exia__blobs *blobs = cached_open("100K");
    wanted[0] = cached_put(blobs, 0, 60 * KIB);
    wanted[1] = cached_put(blobs, 1, 60 * KIB);
    begin(blobs);
    long writes = trace_run(fetch_traced, &wanted[0], (trace_plan){.way = TRACE_FAIL}).writes;
    assert_true(writes > 4);
    for (long nth = 1; nth <= writes; nth++) {
        for (int way = 0; way < 4; way++) {
            trace_plan plan = {.way = way == 3 ? TRACE_HALF : TRACE_FAIL,
                               .nth = nth,
                               .code = way == 3 ? 0 : codes[way],
                               .for_ever = way == 0};
            begin(blobs);
            trace_end end = trace_run(fetch_traced, &wanted[0], plan);
            assert_true(WIFEXITED(end.status));
            int code = WEXITSTATUS(end.status);
            assert_true(code == 0 || code == -EXIA_EUNSUPPORTED);
            if (cached_has(wanted[0].sha256))
                distant->garbled = 1;
            cached_check(blobs, &wanted[0]);
            distant->garbled = 0;
        }
    }
    exia__blobs_free(blobs);
}
