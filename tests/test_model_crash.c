/* The process is killed, or the system fails it, at each system call of each deed of a library.
 * Afterwards the library opens, for readers and writers; what was said to be done is there; nothing is
 * there in part; the next write works.
 *
 * A sample of the calls is taken, the same one each time; EXIA_CRASH_SAMPLE=0 takes all of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/deeds.h"
#include "support/trace.h"

enum { KILLS = 4, FAILURES = 2 /* of each deed, and way to fail */ };

/* What a worker says, in memory that its death leaves. */
typedef struct report {
    const deed *deed;
    char folder[300];
    int repeat; /* call again after a failure */
    int ended[2];
    exia_status status[2]; /* of the call, of the repeated one */
    exia_error error;
} report;
static report *said;

/* A scene: the deed, and what the library says of itself without it and with it. */
typedef struct scene {
    const deed *deed;
    const char *begin, *folder, *before, *after;
    trace_end whole;
} scene;

static int perform(void *payload)
{
    const deed *what = payload;
    for (int i = 0; i < 1 + said->repeat; i++) {
        exia_library *library = NULL;
        exia_error why = {0};
        exia_status rc =
            exia_library_open(&library, check_format("%s/library", said->folder), NULL, &why);
        if (rc == EXIA_OK)
            rc = what->act(library, said->folder, &why);
        said->status[i] = rc;
        said->ended[i] = 1;
        if (i == 0)
            said->error = why;
        exia_library_free(library);
        if (rc == EXIA_OK)
            break;
    }
    return 0;
}

/* A fresh copy of the library, an hour old. */
static void begin(const scene *now, int repeat)
{
    assert_int_equal(exia__tree_remove(now->folder, NULL), EXIA_OK);
    assert_int_equal(exia__tree_copy(now->begin, now->folder, NULL), EXIA_OK);
    deeds_age(now->folder);
    memset(said, 0, sizeof *said);
    snprintf(said->folder, sizeof said->folder, "%s", now->folder);
    said->repeat = repeat;
}

/* The deed, in a process of its own. */
static trace_end go(const scene *now, trace_plan plan)
{
    return trace_run(perform, (void *)(uintptr_t)now->deed, plan);
}

static trace_end run(const scene *now, trace_plan plan, int repeat)
{
    begin(now, repeat);
    return go(now, plan);
}

static void open_scene(scene *now, const deed *what)
{
    *now = (scene){.deed = what};
    check_in_memory();
    if (said == NULL)
        said = trace_shared(sizeof *said);
    now->begin = check_path("begin");
    now->folder = check_path("now");
    assert_int_equal(exia__tree_remove(now->begin, NULL), EXIA_OK);
    assert_int_equal(mkdir(now->begin, 0700), 0);
    if (what->prepare != NULL) {
        what->prepare(now->begin);
        now->before = deeds_state(now->begin, 1);
    }
    now->whole = run(now, (trace_plan){0}, 0);
    if (!WIFEXITED(now->whole.status) || said->status[0] != EXIA_OK)
        fail_msg("%s fails by itself: %s", what->name, said->error.text);
    now->after = deeds_state(now->folder, 0);
    if (what->prepare == NULL)
        now->before = now->after;
}

static const char *place_of_failure;
#define FAIL(now, ...)                                                                             \
    fail_msg("%s, %s: %s", (now)->deed->name, place_of_failure, check_format(__VA_ARGS__))

/* Whatever happened, this must hold; `done`: the worker was told so. */
static void look(scene *now, int done)
{
    const char *reader = now->deed->prepare ? deeds_state(now->folder, 1) : NULL;
    const char *seen = deeds_state(now->folder, 0);
    if (reader != NULL && strcmp(seen, reader) != 0)
        FAIL(now, "a reader sees another state than a writer:%s", trace_difference(reader, seen));
    if (now->deed->steps && strcmp(seen, now->after) != 0) {
        go(now, (trace_plan){0});
        seen = deeds_state(now->folder, 0);
        done = 1;
    }
    if (strcmp(seen, now->after) != 0 && (done || strcmp(seen, now->before) != 0))
        FAIL(now, "%s:%s", done ? "it was done, and is not there" : "it is there in part",
             trace_difference(now->after, seen));
    if (now->deed->check != NULL)
        now->deed->check(now->folder);
    deeds_collect(now->folder);
    const char *later = deeds_state(now->folder, 0);
    if (strcmp(seen, later) != 0)
        FAIL(now, "a collector has taken what lives:%s", trace_difference(seen, later));
    deeds_go_on(now->folder);
}

/* ---- killed ---------------------------------------------------------------------------------- */

/* Or it was through before: how many calls there are differs a little from run to run. */
static int killed(scene *now, trace_end end)
{
    if (WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGKILL)
        return 1;
    if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0 || said->status[0] != EXIA_OK)
        FAIL(now, "it ended with status %x: %s", (unsigned)end.status, said->error.text);
    return 0;
}

TEST(a_process_killed_at_any_system_call_leaves_all_or_nothing)
{
    if (!trace_allowed())
        skip();
    long kills = 0;
    for (size_t i = 0; i < deed_count; i++) {
        scene now;
        open_scene(&now, &deeds[i]);
        for (long nth = trace_next(0, now.whole.calls, check_rounds(KILLS, 1));
             nth <= now.whole.calls;
             nth = trace_next(nth, now.whole.calls, check_rounds(KILLS, 1))) {
            place_of_failure = check_format("killed at call %ld of %ld", nth, now.whole.calls);
            trace_end end = run(&now, (trace_plan){.way = TRACE_KILL, .nth = nth}, 0);
            kills += killed(&now, end);
            int done = said->ended[0] && said->status[0] == EXIA_OK;
            if (now.deed->again) { /* whoever comes next is killed, too */
                killed(&now, go(&now, (trace_plan){.way = TRACE_KILL, .nth = nth / 2 + 1}));
                done |= said->ended[0] && said->status[0] == EXIA_OK;
            }
            look(&now, done);
        }
    }
    assert_true(kills > (long)deed_count / 2);
}

/* ---- failed ---------------------------------------------------------------------------------- */

/* Only a store that was lost may have done it all the same; who then calls again is told so, and it
 * is done once. */
static void look_after_failure(scene *now, int repeat)
{
    exia_status first = said->status[0], last = said->status[said->ended[1]];
    const char *seen = deeds_state(now->folder, 0);
    int done = strcmp(seen, now->after) == 0 && strcmp(now->before, now->after) != 0;
    if (!now->deed->outside && !now->deed->steps && first < 0 && done && last < 0 &&
        first != EXIA_EIO && first != EXIA_ETIMEOUT)
        FAIL(now, "\"%s\", but it was done", said->error.text);
    if (repeat && now->deed->again && last < 0)
        FAIL(now, "\"%s\", and the call repeated: %s", said->error.text, exia_status_text(last));
    look(now, last == EXIA_OK);
}

static void fail_each(trace_plan plan, const char *title)
{
    for (size_t i = 0; i < deed_count; i++) {
        scene now;
        open_scene(&now, &deeds[i]);
        int repeat = !plan.for_ever && now.deed->again;
        for (long nth = trace_next(0, now.whole.writes, check_rounds(FAILURES, 1));
             nth <= now.whole.writes;
             nth = trace_next(nth, now.whole.writes, check_rounds(FAILURES, 1))) {
            place_of_failure = check_format("%s at write %ld of %ld", title, nth, now.whole.writes);
            plan.nth = nth;
            trace_end end = run(&now, plan, repeat);
            const char *wrong = trace_wrong(plan, end, said->status[0], &said->error);
            if (wrong != NULL)
                FAIL(&now, "%s", wrong);
            look_after_failure(&now, repeat);
        }
    }
}

TEST(a_write_that_fails_once_leaves_all_or_nothing_and_the_call_can_be_repeated)
{
    if (!trace_allowed())
        skip();
    fail_each((trace_plan){.way = TRACE_FAIL, .code = EIO}, "EIO");
    fail_each((trace_plan){.way = TRACE_FAIL, .code = ENOSPC}, "ENOSPC");
}

TEST(a_disk_that_fails_from_any_write_on_leaves_all_or_nothing)
{
    if (!trace_allowed())
        skip();
    fail_each((trace_plan){.way = TRACE_FAIL, .code = EIO, .for_ever = 1}, "EIO from here on,");
}

TEST(a_disk_that_turns_read_only_at_any_write_leaves_all_or_nothing)
{
    if (!trace_allowed())
        skip();
    fail_each((trace_plan){.way = TRACE_FAIL, .code = EROFS, .for_ever = 1}, "EROFS from here on,");
}

TEST(a_disk_that_is_full_in_the_midst_of_any_write_leaves_all_or_nothing)
{
    if (!trace_allowed())
        skip();
    fail_each((trace_plan){.way = TRACE_HALF, .code = ENOSPC, .for_ever = 1}, "half, then ENOSPC,");
}

TEST(a_write_that_is_cut_short_goes_on)
{
    if (!trace_allowed())
        skip();
    fail_each((trace_plan){.way = TRACE_HALF}, "half");
}

/* ---- stopped --------------------------------------------------------------------------------- */

typedef struct collector {
    const scene *scene;
    exia_library *library;
} collector;

/* While a writer stands still: an hour goes by, and a collector comes.  The writer may have stopped
 * with the database locked. */
static void collect_meanwhile(void *payload)
{
    const collector *now = payload;
    deeds_age(now->scene->folder);
    check_reset();
    exia_status rc = deeds_gc(now->library, 20, &err);
    if (rc != EXIA_OK && rc != EXIA_ETIMEOUT)
        check_status(EXIA_OK, rc, __FILE__, __LINE__);
}

/* Opened before, so that the collector has not to wait for a writer that stands still at that. */
static void stop(scene *now, long nth)
{
    collector other = {.scene = now};
    place_of_failure = check_format("stopped at call %ld of %ld", nth, now->whole.calls);
    begin(now, 0);
    check_ok(
        exia_library_open(&other.library, check_format("%s/library", now->folder), NULL, &err));
    trace_end end = go(now, (trace_plan){TRACE_HOLD, nth, 0, 0, collect_meanwhile, &other});
    exia_library_free(other.library);
    if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)
        FAIL(now, "it ended with status %x", (unsigned)end.status);
    look(now, said->status[0] == EXIA_OK);
}

TEST(a_writer_stopped_at_any_system_call_while_a_collector_runs_writes_all_or_fails)
{
    if (!trace_allowed())
        skip();
    for (size_t i = 0; i < deed_count; i++) {
        scene now;
        if (!deeds[i].writes)
            continue;
        open_scene(&now, &deeds[i]);
        for (long nth = trace_next(0, now.whole.calls, check_rounds(KILLS, 1));
             nth <= now.whole.calls;
             nth = trace_next(nth, now.whole.calls, check_rounds(KILLS, 1))) {
            stop(&now, nth);
        }
    }
}
