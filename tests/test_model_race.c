/* Several processes publish, move, roll back and remove in the same models, and some are killed.
 * Every call leaves a note, before and after, in memory that all share; at the end the history must
 * tell the same: each call that was done once, none that failed, numbers without a gap, each move from
 * where the one before it went to.  EXIA_SECONDS and EXIA_SEED make it longer and another one. */
#include <jansson.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/models.h"
#include "support/trace.h"

enum { MOST_PROCESSES = 8, MOST_NOTES = 400000, ENTRIES_A_MODEL = 1500, LEAST_CALLS = 100 };

typedef enum what { PUBLISH, MOVE, ROLLBACK, REMOVE, KINDS } what;
static const char *const verbs[KINDS] = {"publish", "move", "rollback", "remove"};

/* One call.  Its message is its own number among all. */
typedef struct note {
    int32_t model, version; /* published, or moved to */
    int16_t what, status;
    int32_t us;      /* how long it took */
    atomic_int told; /* zero: whoever called was killed before */
} note;

typedef struct table {
    atomic_int count, begun, ended, wrong;
    note notes[MOST_NOTES];
    char text[400]; /* what is wrong */
} table;
static table *shared;

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double duration(void)
{
    const char *given = getenv("EXIA_SECONDS");
    return given ? atof(given) : 0.7;
}

static uint32_t roll(uint32_t *dice, uint32_t sides)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 17;
    *dice ^= *dice << 5;
    return *dice % sides;
}

static void wrong(const char *format, const char *name, const char *more)
{
    if (atomic_fetch_add(&shared->wrong, 1) == 0)
        snprintf(shared->text, sizeof shared->text, format, name, more);
}

/* ---- a worker -------------------------------------------------------------------------------- */

static int64_t stands_at(exia_library *library, const char *name, const char *alias)
{
    exia_model *model = NULL;
    exia_error why = {0};
    char selector[64];
    snprintf(selector, sizeof selector, alias ? "%s@%s" : "%s", name, alias);
    exia_status rc = exia_model_open(&model, library, selector, 0, &why);
    if (rc == EXIA_ENOTFOUND)
        return EXIA_ABSENT;
    if (rc < 0) {
        wrong("%s is not read: %s", selector, why.text);
        return EXIA_ABSENT;
    }
    json_t *facts = json_loads(exia_model_facts(model), 0, NULL);
    int64_t version = json_integer_value(json_object_get(facts, "version"));
    json_decref(facts);
    exia_model_free(model);
    return version;
}

static exia_status publish(int64_t *version, exia_library *library, const char *name,
                           const char *alias, int64_t expect, const char *message, uint32_t die,
                           exia_error *why)
{
    static const char bytes[20000] = "one blob for all";
    exia_part part = {.name = "model", .format = "bytes", .data = message, .size = 4};
    if (die == 0) {
        part.data = bytes;
        part.size = sizeof bytes;
    }
    exia_write_options options = {.struct_size = sizeof options,
                                  .facts = "{\"metrics\":{\"auc\":0.5}}",
                                  .alias = alias,
                                  .expect = expect,
                                  .message = message};
    return exia_model_write(version, library, name, &part, 1, &options, NULL, why);
}

static void call_once(exia_library *library, uint32_t *dice)
{
    char name[32], message[32];
    exia_error why = {0};
    exia_status rc = EXIA_OK;
    int64_t version = 0;
    int number = atomic_fetch_add(&shared->count, 1);
    if (number >= MOST_NOTES)
        return;
    uint32_t die = roll(dice, 10);
    note *n = &shared->notes[number];
    n->what = (int16_t)(die < 5 ? PUBLISH : die < 7 ? MOVE : die < 9 ? ROLLBACK : REMOVE);
    n->model = number / ENTRIES_A_MODEL;
    snprintf(name, sizeof name, "m%d", (int)n->model);
    snprintf(message, sizeof message, "%08d", number);
    int ended = atomic_load(&shared->ended), begun = atomic_load(&shared->begun);
    int64_t live = stands_at(library, name, "live"), latest = stands_at(library, name, NULL);
    atomic_fetch_add(&shared->begun, 1);
    double began = seconds_now();
    if (n->what == PUBLISH) {
        rc =
            publish(&version, library, name, die < 2 ? "live" : NULL, live, message, die % 2, &why);
    } else if (n->what == MOVE) {
        version = 1 + (latest > 1 ? roll(dice, (uint32_t)latest) : 0);
        version += version == live; /* a move to where it stands is done without an entry */
        rc = exia_alias_move(library, name, "live", version, live, message, &why);
    } else if (n->what == ROLLBACK) {
        rc = exia_alias_rollback(&version, library, name, "live", live, message, &why);
    } else {
        version = latest > 1 ? 1 + roll(dice, (uint32_t)latest) : 1;
        rc = exia_model_remove(library, name, version, message, &why);
    }
    n->us = (int32_t)((seconds_now() - began) * 1e6);
    n->version = (int32_t)version;
    n->status = (int16_t)rc;
    atomic_store(&n->told, 1);
    /* what was expected is what was read here, so another call moved it since */
    if (rc == EXIA_ECONFLICT && n->what != REMOVE && begun == ended &&
        atomic_load(&shared->begun) == begun + 1)
        wrong("%s: %s", name, "a conflict with nobody");
    else if (rc < 0 && rc != EXIA_ENOTFOUND && rc != EXIA_ECONFLICT)
        wrong("%s: %s", name, why.text);
    atomic_fetch_add(&shared->ended, 1);
}

static void work(int number, double until, uint32_t seed)
{
    exia_library *library = NULL;
    exia_error why = {0};
    uint32_t dice = seed * 2654435761u + (uint32_t)number + 1;
    while ((seconds_now() < until || atomic_load(&shared->count) < LEAST_CALLS) &&
           atomic_load(&shared->wrong) == 0) {
        if (library == NULL &&
            exia_library_open(&library, check_path("library"), NULL, &why) != EXIA_OK) {
            wrong("%s: %s", "open", why.text);
            return;
        }
        call_once(library, &dice);
        if (roll(&dice, 100) == 0) {
            exia_library_free(library);
            library = NULL;
        }
    }
    exia_library_free(library);
}

/* ---- what the history tells ------------------------------------------------------------------ */

typedef struct replay {
    int64_t seq, published, live; /* so far */
    char *seen;                   /* by note */
} replay;

static int64_t integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void replay_row(replay *now, int model, const json_t *row)
{
    const char *why = json_string_value(json_object_get(row, "why"));
    const char *verb = json_string_value(json_object_get(row, "do"));
    assert_int_equal(integer(row, "seq"), ++now->seq);
    if (strcmp(verb, "repair") == 0)
        return;
    assert_non_null(why);
    int number = atoi(why);
    note *n = &shared->notes[number];
    assert_int_equal(n->model, model);
    assert_string_equal(verb, verbs[n->what]);
    if (n->told && n->status < 0)
        fail_msg("call %d (%s) failed with %d, and is in the history", number, verb, n->status);
    if (now->seen[number]++)
        fail_msg("call %d (%s) is in the history twice", number, verb);
    if (n->what == PUBLISH) {
        assert_int_equal(integer(row, "version"), ++now->published);
        if (n->told)
            assert_int_equal(n->version, now->published);
    }
    const json_t *move = json_array_get(json_object_get(row, "moves"), 0);
    if (move != NULL) {
        assert_int_equal(integer(move, "from"), now->live);
        now->live = integer(move, "to");
        if (n->told)
            assert_int_equal(n->version, now->live);
    }
}

static void replay_model(replay *now, exia_library *library, int model)
{
    exia_rows *rows = NULL;
    const char *line = NULL, *name = check_format("m%d", model);
    now->seq = now->published = now->live = 0;
    check_ok(exia_library_history(&rows, library, name, &err));
    while (exia_rows_next(&line, rows, &err) == EXIA_OK) {
        json_t *row = json_loads(line, 0, NULL);
        replay_row(now, model, row);
        json_decref(row);
    }
    exia_rows_free(rows);
    assert_int_equal(stands_at(library, name, "live"), now->live);
}

static void check_history(int processes)
{
    int count = atomic_load(&shared->count);
    assert_in_range(count, processes, MOST_NOTES);
    replay now = {.seen = calloc((size_t)count, 1)};
    long done[KINDS] = {0}, conflicts = 0;
    int32_t longest = 0;
    exia_library *library = open_library();
    for (int model = 0; model <= (count - 1) / ENTRIES_A_MODEL; model++)
        replay_model(&now, library, model);
    exia_library_free(library);
    for (int i = 0; i < count; i++) {
        note *n = &shared->notes[i];
        if (!n->told)
            continue;
        if (n->status == EXIA_OK && !now.seen[i])
            fail_msg("call %d (%s) was done, and is not in the history", i, verbs[n->what]);
        done[n->what] += n->status == EXIA_OK;
        conflicts += n->status == EXIA_ECONFLICT;
        longest = n->us > longest ? n->us : longest;
    }
    free(now.seen);
    assert_true(done[PUBLISH] > 0 && done[MOVE] > 0);
    print_message("%d processes: %ld versions, %ld moves, %ld rollbacks, %ld removals, "
                  "%ld conflicts, longest wait %.1f ms\n",
                  processes, done[PUBLISH], done[MOVE], done[ROLLBACK], done[REMOVE], conflicts,
                  longest / 1000.0);
}

/* ---- the races ------------------------------------------------------------------------------- */

static pid_t start_worker(int number, double until, uint32_t seed)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        work(number, until, seed);
        _exit(0);
    }
    return pid;
}

/* `killed`: one after the other is killed, and another one takes its place. */
static void race(int processes, int killed)
{
    pid_t pids[MOST_PROCESSES];
    const char *given = getenv("EXIA_SEED");
    uint32_t seed = given ? (uint32_t)atoi(given) : 1, dice = seed + 1;
    double until = seconds_now() + duration();
    shared = trace_shared(sizeof *shared);
    check_in_memory();
    exia_library_free(open_library());
    for (int i = 0; i < processes; i++)
        pids[i] = start_worker(i, until, seed);
    while (killed && seconds_now() < until) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000 + roll(&dice, 20000000)}, NULL);
        uint32_t which = roll(&dice, (uint32_t)processes);
        kill(pids[which], SIGKILL);
        waitpid(pids[which], NULL, 0);
        pids[which] = start_worker((int)which, until, ++seed);
    }
    for (int i = 0; i < processes; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("a worker ended with status %x", (unsigned)status);
    }
    if (atomic_load(&shared->wrong) > 0)
        fail_msg("%s", shared->text);
    check_history(processes);
}

TEST(two_processes_leave_a_history_that_tells_what_they_were_told)
{
    race(2, 0);
}

TEST(eight_processes_leave_a_history_that_tells_what_they_were_told)
{
    race(8, 0);
}

TEST(processes_that_are_killed_leave_such_a_history_too)
{
    race(4, 1);
}

/* ---- a collector ----------------------------------------------------------------------------- */

/* All publish the same bytes, now and then, and remove most versions at once, so that their blob dies
 * and is wanted again, again and again, about as a collector comes for it. */
static void reuse(int number, double until, int grace_ms)
{
    exia_library *library = NULL;
    exia_error why = {0};
    uint32_t dice = (uint32_t)number * 2654435761u + 1;
    if (exia_library_open(&library, check_path("library"), NULL, &why) != EXIA_OK)
        wrong("%s: %s", "open", why.text);
    while (seconds_now() < until && atomic_load(&shared->wrong) == 0) {
        int64_t version = 0;
        exia_model *model = NULL;
        char selector[32];
        exia_status rc =
            publish(&version, library, "m", NULL, EXIA_ANY, "reuse", 0 /* the blob */, &why);
        snprintf(selector, sizeof selector, "m@%d", (int)version);
        if (rc == EXIA_OK)
            rc = exia_model_open(&model, library, selector, EXIA_OPEN_VERIFY, &why);
        exia_model_free(model);
        if (rc == EXIA_OK && roll(&dice, 4) > 0)
            rc = exia_model_remove(library, "m", version, NULL, &why);
        if (rc < 0 &&
            (rc != EXIA_ENOTFOUND || version == 0)) /* the collector's owner removes, too */
            wrong("%s: %s", selector, why.text);
        atomic_fetch_add(&shared->count, 1);
        if (roll(&dice, 3) == 0) {
            long pause = (long)grace_ms * 500 + roll(&dice, (uint32_t)grace_ms * 2500);
            nanosleep(&(struct timespec){pause / 1000000, pause % 1000000 * 1000}, NULL);
        }
    }
    exia_library_free(library);
}

static uint64_t collect(exia_library *library, int grace_ms)
{
    exia_rows *rows = NULL;
    exia_gc_totals totals = {0};
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = grace_ms, .wait = 1};
    check_ok(exia_library_gc(&rows, &totals, library, &options, NULL, &err));
    exia_rows_free(rows);
    return totals.removed;
}

/* So that the blob is dead. */
static void remove_all(exia_library *library)
{
    for (int64_t latest; (latest = stands_at(library, "m", NULL)) > 0;)
        (void)exia_model_remove(library, "m", latest, NULL, NULL);
}

TEST(a_collector_with_a_short_grace_takes_nothing_that_writers_of_one_blob_use_again)
{
    enum { WRITERS = 2 };
    pid_t pids[WRITERS];
    int grace_ms = getenv("EXIA_SECONDS") ? 1000 : 60;
    uint64_t removed = 0;
    double until = seconds_now() + 2 * duration();
    shared = trace_shared(sizeof *shared);
    check_in_memory();
    exia_library *library = open_library();
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            reuse(i, until, grace_ms);
            _exit(0);
        }
    }
    while (seconds_now() < until) {
        remove_all(library);
        removed += collect(library, grace_ms);
    }
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    if (atomic_load(&shared->wrong) > 0)
        fail_msg("%s", shared->text);
    for (int64_t number = 1; number <= atomic_load(&shared->count); number++)
        (void)stands_at(library, "m", check_format("%d", (int)number));
    assert_int_equal(atomic_load(&shared->wrong), 0);
    print_message("%d versions of one blob, which was collected %d times\n",
                  atomic_load(&shared->count), (int)removed);
    exia_library_free(library);
}
