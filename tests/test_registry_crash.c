/* The process is killed, or the system fails it, at each system call of each errand of a home.
 * Afterwards every host sees all of it or nothing, the errand is done when it is repeated, sends nothing
 * twice and leaves nothing over; and the home goes on.
 *
 * A sample of the calls is taken, the same one each time; EXIA_CRASH_SAMPLE=0 takes all of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "package/read.h"
#include "support/depot.h"
#include "support/disk.h"
#include "support/errand.h"
#include "support/trace.h"

enum { KILLS = 2, FAILURES = 1 /* of each errand, and way to fail */, TURNS = 3 };

/* What a worker says, in memory that its death leaves. */
typedef struct report {
    char home[300];
    exia_transfer moved;
    int ended;
    exia_status status;
    exia_error error;
} report;
static report *said;
static const char *stage; /* where the world lies */

/* A scene: the errand, and what the world says of itself without it and with it. */
typedef struct scene {
    const errand *errand;
    const char *begin, *folder, *before, *after;
    trace_end whole;
} scene;

static const char *place_of_failure;
#define FAIL(now, ...)                                                                             \
    fail_msg("%s, %s: %s", (now)->errand->name, place_of_failure, check_format(__VA_ARGS__))

static int perform(void *payload)
{
    const errand *what = payload;
    exia_registry *home = NULL;
    said->status = exia_registry_open(&home, said->home, &said->error);
    if (said->status == EXIA_OK)
        said->status = what->run(&said->moved, home, &said->error);
    said->ended = 1;
    exia_registry_free(home);
    return 0;
}

/* The errand, in a process of its own. */
static trace_end go(const scene *now, trace_plan plan)
{
    memset(said, 0, sizeof *said);
    snprintf(said->home, sizeof said->home, "%s/home", now->folder);
    return trace_run(perform, (void *)(uintptr_t)now->errand, plan);
}

/* In a fresh copy of the world. */
static trace_end run(const scene *now, trace_plan plan)
{
    assert_int_equal(exia__tree_remove(now->folder, NULL), EXIA_OK);
    assert_int_equal(exia__tree_copy(now->begin, now->folder, NULL), EXIA_OK);
    return go(now, plan);
}

static void open_scene(scene *now, const errand *what)
{
    *now = (scene){.errand = what, .begin = check_path("begin"), .folder = stage};
    place_of_failure = "not disturbed";
    assert_int_equal(exia__tree_remove(now->begin, NULL), EXIA_OK);
    assert_int_equal(exia__tree_remove(now->folder, NULL), EXIA_OK);
    errands_prepare(what, now->folder); /* remotes are named by their path */
    now->before = errands_state(now->folder, "home");
    assert_int_equal(exia__tree_copy(now->folder, now->begin, NULL), EXIA_OK);
    now->whole = run(now, (trace_plan){0});
    if (!WIFEXITED(now->whole.status) || said->status != EXIA_OK)
        FAIL(now, "it fails by itself: %s", said->error.text);
    now->after = errands_state(now->folder, "home");
}

static void open_stage(const char *name)
{
    check_in_memory();
    stage = check_path(name);
    said = trace_shared(sizeof *said);
    if (witness == NULL)
        witness = trace_shared(sizeof *witness);
    stock_make();
    errands_list();
}

/* ---- what stands ----------------------------------------------------------------------------- */

/* Bytes in whole frames of the package that lie in the file where they belong. */
static uint64_t frames_in(const char *path, const char *hex)
{
    size_t count = 0, size = 0, wanted_size = 0;
    uint64_t kept = 0;
    exia_package *package = NULL;
    const char *file = NULL;
    for (int i = 0; i < STOCK_ITEMS && file == NULL; i++)
        file = strcmp(stock[i].hex[STOCK_ONE], hex) == 0 ? stock[i].file[STOCK_ONE] : NULL;
    if (access(path, F_OK) != 0)
        return 0;
    char *is = check_read_file(path, &size), *wanted = check_read_file(file, &wanted_size);
    check_ok(exia_package_open(&package, file, &err));
    const exia__frame *frames = exia__package_frames(&count, package);
    for (size_t i = 0; i < count; i++) {
        uint64_t at = frames[i].offset, end = at + frames[i].size;
        if (end <= size && memcmp(is + at, wanted + at, end - at) == 0)
            kept += end - at;
    }
    exia_package_free(package);
    free(is);
    free(wanted);
    return kept;
}

/* What need not be moved again. */
static uint64_t finished(const scene *now)
{
    const errand *what = now->errand;
    struct stat info;
    if (what->unpushed != NULL &&
        stat(check_format("%s/there/packages/packages/%s.veda", now->folder, what->unpushed),
             &info) == 0)
        return (uint64_t)info.st_size;
    if (what->unpulled == NULL)
        return 0;
    if (stat(check_format("%s/home/packages/blobs/packages/%s.veda", now->folder, what->unpulled),
             &info) == 0)
        return (uint64_t)info.st_size;
    return frames_in(check_format("%s/home/staging/%s.part", now->folder, what->unpulled),
                     what->unpulled);
}

static void fail_if_wrong(const scene *now)
{
    char text[sizeof witness->text];
    if (atomic_exchange(&witness->wrong, 0) == 0)
        return;
    memcpy(text, witness->text, sizeof text);
    FAIL(now, "%s", text);
}

/* Another host sees what is there, whole, and so it is all or nothing. */
static void look_from_elsewhere(const scene *now)
{
    int8_t offered[STOCK_ITEMS];
    errands_state(now->folder, "other");
    if (access(check_format("%s/there/records.db", now->folder), F_OK) == 0)
        depot_look_at_remote(check_format("%s/there", now->folder), offered);
    fail_if_wrong(now);
}

/* Whatever happened, this must hold; `done`: the worker was told so. */
static void look(scene *now, int done)
{
    enum { TAIL = 128 << 10 }; /* is read again to know the frames */
    look_from_elsewhere(now);
    uint64_t have = finished(now);
    const char *seen = errands_state(now->folder, "home");
    int is_after = strcmp(seen, now->after) == 0, is_before = strcmp(seen, now->before) == 0;
    if (!is_after && (done || (!is_before && !now->errand->steps)))
        FAIL(now, "%s:%s", done ? "it was done, and is not there" : "it is there in part",
             trace_difference(now->after, seen));
    go(now, (trace_plan){0});
    if (said->status != EXIA_OK && !(is_after && said->status == now->errand->again))
        FAIL(now, "repeated, it fails: %s", said->error.text);
    if (said->moved.total > 0 && said->moved.moved + have > said->moved.total + TAIL)
        FAIL(now, "%llu of %llu bytes were there, and %llu were moved", (unsigned long long)have,
             (unsigned long long)said->moved.total, (unsigned long long)said->moved.moved);
    seen = errands_state(now->folder, "home");
    if (strcmp(seen, now->after) != 0)
        FAIL(now, "repeated, it is not done:%s", trace_difference(now->after, seen));
    look_from_elsewhere(now);
    exia_registry *home = NULL;
    check_ok(exia_registry_open(&home, check_format("%s/home", now->folder), &err));
    depot_look_at_all(home, exia_registry_home(home));
    exia_registry_free(home);
    fail_if_wrong(now);
    if (errands_go_on(now->folder, &err) < 0)
        FAIL(now, "the home does not go on: %s", err.text);
}

/* ---- killed ---------------------------------------------------------------------------------- */

/* Or it was through before: how many calls there are differs a little from run to run. */
static int killed(scene *now, trace_end end)
{
    if (WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGKILL)
        return 1;
    if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0 ||
        (said->status != EXIA_OK && said->status != now->errand->again))
        FAIL(now, "it ended with status %x: %s", (unsigned)end.status, said->error.text);
    return 0;
}

TEST(a_home_killed_at_any_system_call_leaves_all_or_nothing_and_sends_nothing_twice)
{
    if (!trace_allowed())
        skip();
    long kills = 0;
    open_stage("now");
    for (size_t i = 0; i < errand_count; i++) {
        scene now;
        open_scene(&now, &errands[i]);
        for (long nth = trace_next(0, now.whole.calls, check_rounds(KILLS, 1));
             nth <= now.whole.calls;
             nth = trace_next(nth, now.whole.calls, check_rounds(KILLS, 1))) {
            place_of_failure = check_format("killed at call %ld of %ld", nth, now.whole.calls);
            kills += killed(&now, run(&now, (trace_plan){.way = TRACE_KILL, .nth = nth}));
            int done = said->ended && said->status == EXIA_OK;
            if (nth % 2 == 0) { /* whoever comes next is killed, too */
                killed(&now, go(&now, (trace_plan){.way = TRACE_KILL, .nth = nth / 2 + 1}));
                done |= said->ended && said->status == EXIA_OK;
            }
            look(&now, done);
        }
    }
    print_message("%ld kills in %zu errands\n", kills, errand_count);
    assert_true(kills > (long)errand_count / 2);
}

/* In a sample each way to fail is tried with some of the errands. */
static int is_its_turn(size_t number, size_t way)
{
    return getenv("EXIA_CRASH_SAMPLE") != NULL || number % TURNS == way % TURNS;
}

/* ---- failed ---------------------------------------------------------------------------------- */

static void fail_each(trace_plan plan, const char *title)
{
    open_stage("now");
    for (size_t i = 0; i < errand_count; i++) {
        scene now;
        if (!is_its_turn(i, (size_t)plan.way + (size_t)plan.code))
            continue;
        open_scene(&now, &errands[i]);
        for (long nth = trace_next(0, now.whole.writes, check_rounds(FAILURES, 1));
             nth <= now.whole.writes;
             nth = trace_next(nth, now.whole.writes, check_rounds(FAILURES, 1))) {
            place_of_failure = check_format("%s at write %ld of %ld", title, nth, now.whole.writes);
            plan.nth = nth;
            trace_end end = run(&now, plan);
            const char *wrong = trace_wrong(plan, end, said->status, &said->error);
            if (wrong != NULL)
                FAIL(&now, "%s", wrong);
            look(&now, said->status == EXIA_OK);
        }
    }
}

TEST(a_write_that_fails_once_leaves_all_or_nothing_and_the_errand_can_be_repeated)
{
    if (!trace_allowed())
        skip();
    fail_each((trace_plan){.way = TRACE_FAIL, .code = EIO}, "EIO");
}

TEST(a_disk_that_is_full_in_the_midst_of_any_write_of_an_errand_leaves_all_or_nothing)
{
    if (!trace_allowed())
        skip();
    fail_each((trace_plan){.way = TRACE_HALF, .code = ENOSPC, .for_ever = 1}, "half, then ENOSPC,");
}

TEST(a_disk_that_turns_read_only_at_any_write_of_an_errand_leaves_all_or_nothing)
{
    if (!trace_allowed())
        skip();
    fail_each((trace_plan){.way = TRACE_FAIL, .code = EROFS, .for_ever = 1}, "EROFS from here on,");
}

TEST(a_write_of_an_errand_that_is_cut_short_goes_on)
{
    if (!trace_allowed())
        skip();
    fail_each((trace_plan){.way = TRACE_HALF}, "half");
}

/* ---- without room ---------------------------------------------------------------------------- */

TEST(on_a_disk_with_any_room_an_errand_is_done_or_says_that_there_is_none)
{
    static const long rooms[] = {0, 4, 8, 16, 32, 64, 128, 256, 500, 1000, 2000, 3200, 4000, 7000};
    const long count = sizeof rooms / sizeof *rooms;
    check_in_memory();
    const char *disk = check_path("disk");
    if (!disk_mount(disk, 40))
        skip();
    open_stage("disk/now");
    for (size_t i = 0; i < errand_count; i++) {
        scene now;
        if (!is_its_turn(i, 0))
            continue;
        open_scene(&now, &errands[i]);
        for (long nth = trace_next(0, count, check_rounds(FAILURES, 1)); nth <= count;
             nth = trace_next(nth, count, check_rounds(FAILURES, 1))) {
            place_of_failure = check_format("with room for %ld kB", rooms[nth - 1]);
            assert_int_equal(exia__tree_remove(now.folder, NULL), EXIA_OK);
            assert_int_equal(exia__tree_copy(now.begin, now.folder, NULL), EXIA_OK);
            disk_leave(disk, rooms[nth - 1]);
            trace_end end = go(&now, (trace_plan){0});
            if (!WIFEXITED(end.status) ||
                (said->status != EXIA_OK && said->status != EXIA_ENOSPACE))
                FAIL(&now, "it ended with status %x: %s", (unsigned)end.status, said->error.text);
            int done = said->status == EXIA_OK;
            disk_leave(disk, -1);
            look(&now, done);
        }
    }
    disk_unmount(disk);
}
