/* A backup, or a restore, is killed or failed by the disk at system calls of it, and blobs are collected
 * under it.  What it leaves is a backup, or none; the next run ends it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "store/store.h"
#include "support/deeds.h"
#include "support/models.h"
#include "support/trace.h"

enum { SAMPLE = 12 };

typedef exia_status call_fn(exia_rows **out, exia_library *library, const char *path,
                            const exia_backup_options *options, const exia_job *job,
                            exia_error *err);

/* One call in a process of its own, and what it said. */
typedef struct doing {
    call_fn *call;
    char library[300], path[300];
    int ended;
    exia_status status;
    exia_error error;
} doing;
static doing *said;

static int perform(void *payload)
{
    exia_library *library = NULL;
    (void)payload;
    said->status = exia_library_open(&library, said->library, NULL, &said->error);
    if (said->status == EXIA_OK)
        said->status = said->call(NULL, library, said->path, NULL, NULL, &said->error);
    said->ended = 1;
    exia_library_free(library);
    return 0;
}

static trace_end run(call_fn *call, const char *library, const char *path, trace_plan plan)
{
    if (said == NULL)
        said = trace_shared(sizeof *said);
    memset(said, 0, sizeof *said);
    said->call = call;
    snprintf(said->library, sizeof said->library, "%s", library);
    snprintf(said->path, sizeof said->path, "%s", path);
    return trace_run(perform, NULL, plan);
}

/* The library that a backup gives, restored into an empty one. */
static const char *restored(const char *path)
{
    exia_library *library = NULL;
    const char *folder = check_path("restored");
    assert_int_equal(exia__tree_remove(folder, NULL), EXIA_OK);
    assert_int_equal(mkdir(folder, 0700), 0);
    check_ok(exia_library_open(&library, check_format("%s/library", folder), NULL, &err));
    check_ok(exia_library_restore(NULL, library, path, NULL, NULL, &err));
    exia_library_free(library);
    return deeds_state(folder, 0);
}

/* What lies in the directory of the test, hidden files too. */
static int is_left(const char *name)
{
    return access(check_path(name), F_OK) == 0;
}

static void spoil_backups(const char *name, trace_plan plan, int by_writes)
{
    check_in_memory();
    const char *path = check_path(name), *source = check_path("source/library");
    deeds_prepare((mkdir(check_path("source"), 0700), check_path("source")));
    const char *whole = deeds_state(check_path("source"), 0);
    trace_end end = run(exia_library_backup, source, path, (trace_plan){0});
    assert_int_equal(said->status, EXIA_OK);
    long count = by_writes ? end.writes : end.calls, spoilt = 0;
    assert_string_equal(restored(path), whole);
    for (plan.nth = trace_next(0, count, SAMPLE); plan.nth <= count;
         plan.nth = trace_next(plan.nth, count, SAMPLE)) {
        assert_int_equal(exia__tree_remove(path, NULL), EXIA_OK);
        run(exia_library_backup, source, path, plan);
        int done = said->ended && said->status == EXIA_OK;
        spoilt += !done;
        if (said->ended && said->status < 0 && said->error.text[0] == '\0')
            fail_msg("call %ld: no error text", plan.nth);
        if (done)
            assert_string_equal(restored(path), whole);
        else if (strstr(name, ".tar.zst") != NULL && is_left(name))
            assert_string_equal(restored(path), whole); /* killed behind the rename */
        if (strstr(name, ".tar.zst") != NULL)
            assert_int_equal(exia__tree_remove(path, NULL), EXIA_OK);
        run(exia_library_backup, source, path, (trace_plan){0});
        if (said->status != EXIA_OK)
            fail_msg("call %ld, and again: %s", plan.nth, said->error.text);
        assert_string_equal(restored(path), whole);
    }
    assert_true(spoilt > 0);
    assert_string_equal(deeds_state(check_path("source"), 0), whole);
}

static void spoil_restores(const char *name, trace_plan plan, int by_writes)
{
    check_in_memory();
    const char *path = check_path(name), *source = check_path("source/library");
    const char *target = check_path("target/library");
    deeds_prepare((mkdir(check_path("source"), 0700), check_path("source")));
    const char *whole = deeds_state(check_path("source"), 0);
    run(exia_library_backup, source, path, (trace_plan){0});
    assert_int_equal(mkdir(check_path("target"), 0700), 0);
    trace_end end = run(exia_library_restore, target, path, (trace_plan){0});
    if (said->status != EXIA_OK)
        fail_msg("%s", said->error.text);
    long count = by_writes ? end.writes : end.calls, spoilt = 0;
    for (plan.nth = trace_next(0, count, SAMPLE); plan.nth <= count;
         plan.nth = trace_next(plan.nth, count, SAMPLE)) {
        assert_int_equal(exia__tree_remove(target, NULL), EXIA_OK);
        run(exia_library_restore, target, path, plan);
        int done = said->ended && said->status == EXIA_OK;
        spoilt += !done;
        const char *now = deeds_state(check_path("target"), 0); /* every version there opens */
        if (done)
            assert_string_equal(now, whole);
        run(exia_library_restore, target, path, (trace_plan){0});
        if (said->status != EXIA_OK)
            fail_msg("call %ld, and again: %s", plan.nth, said->error.text);
        assert_string_equal(deeds_state(check_path("target"), 0), whole);
    }
    assert_true(spoilt > 0);
    deeds_go_on(check_path("target"));
}

TEST(a_backup_into_a_directory_that_is_killed_is_ended_by_the_next)
{
    if (!trace_allowed())
        skip();
    spoil_backups("backup", (trace_plan){.way = TRACE_KILL}, 0);
}

TEST(a_backup_into_a_file_that_is_killed_leaves_a_whole_file_or_none)
{
    if (!trace_allowed())
        skip();
    spoil_backups("backup.tar.zst", (trace_plan){.way = TRACE_KILL}, 0);
}

TEST(a_full_disk_fails_a_backup_and_the_next_ends_it)
{
    if (!trace_allowed())
        skip();
    spoil_backups("backup", (trace_plan){.way = TRACE_FAIL, .code = ENOSPC, .for_ever = 1}, 1);
}

TEST(a_full_disk_fails_a_backup_into_a_file_and_leaves_none)
{
    if (!trace_allowed())
        skip();
    spoil_backups("backup.tar.zst", (trace_plan){.way = TRACE_FAIL, .code = ENOSPC, .for_ever = 1},
                  1);
}

TEST(a_restore_that_is_killed_is_ended_by_the_next)
{
    if (!trace_allowed())
        skip();
    spoil_restores("backup", (trace_plan){.way = TRACE_KILL}, 0);
}

TEST(a_restore_out_of_a_file_that_the_disk_fails_is_ended_by_the_next)
{
    if (!trace_allowed())
        skip();
    spoil_restores("backup.tar.zst", (trace_plan){.way = TRACE_FAIL, .code = EIO}, 1);
}

/* ---- while it lives ------------------------------------------------------------------------- */

enum { LARGE = 20000 };

/* Publish a version of 20,000 bytes, remove the one before it. */
static int write_and_remove(exia_library *library, const char *name, int64_t *version)
{
    char bytes[LARGE + 1] = "";
    int64_t last = *version;
    snprintf(bytes, sizeof bytes, "%s %lld ", name, (long long)last);
    memset(bytes + strlen(bytes), 'x', LARGE - strlen(bytes));
    exia_part part = {.name = "model", .format = "bytes", .data = bytes, .size = LARGE};
    if (exia_model_write(version, library, name, &part, 1, NULL, NULL, &err) < 0)
        return 1;
    return last > 0 && exia_model_remove(library, name, last, NULL, &err) < 0 ? 2 : 0;
}

/* Where the bytes of a version that is there lie. */
static const char *blob_of(exia_library *library, const char *folder, const char *selector)
{
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, selector, 0, &err));
    const char *hex = strstr(exia_model_facts(model), "\"sha256\":\"") + 10;
    const char *path = check_format("%s/blobs/sha256/%.2s/%.64s", folder, hex, hex);
    exia_model_free(model);
    return path;
}

/* A collector takes a blob some time after the last version that names it was removed. */
static int write_and_collect(int number)
{
    enum { LATER = 16 };
    const char *dead[LATER] = {NULL}, *name = check_format("m%d", number);
    exia_library *library = NULL;
    int64_t version = 0;
    if (exia_library_open(&library, check_path("live"), NULL, &err) < 0)
        return 1;
    for (int i = 0;; i++) {
        if (write_and_remove(library, name, &version) != 0)
            return 2;
        if (dead[i % LATER] != NULL && unlink(dead[i % LATER]) != 0)
            return 3;
        dead[i % LATER] = blob_of(library, check_path("live"), name);
    }
}

static void check_every_version(exia_library *library, int least)
{
    exia_rows *rows = NULL;
    int count = 0;
    check_ok(exia_library_search(&rows, library, NULL, &err));
    const char *row = NULL;
    while (exia_rows_next(&row, rows, &err) == EXIA_OK) {
        exia_model *model = NULL;
        const char *name = strstr(row, "\"name\":\"") + 8,
                   *number = strstr(row, "\"version\":") + 10;
        const char *selector =
            check_format("%.*s@%lld", (int)strcspn(name, "\""), name, strtoll(number, NULL, 10));
        check_ok(exia_model_open(&model, library, selector, EXIA_OPEN_VERIFY, &err));
        exia_model_free(model);
        count++;
    }
    exia_rows_free(rows);
    assert_true(count >= least);
}

TEST(a_backup_is_whole_while_writers_go_on_and_blobs_are_collected)
{
    enum { WRITERS = 2, ROUNDS = 6 };
    exia_library *library = NULL;
    pid_t writers[WRITERS];
    check_ok(exia_library_open(&library, check_path("live"), NULL, &err));
    for (int i = 0; i < WRITERS; i++)
        write_model(library, check_format("m%d", i), "first", NULL, NULL, 0);
    exia_library_free(library); /* before the fork */
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        if (writers[i] == 0)
            _exit(write_and_collect(i));
    }
    check_ok(exia_library_open(&library, check_path("live"), NULL, &err));
    for (int i = 0; i < ROUNDS; i++) {
        exia_library *other = NULL;
        const char *path = check_path(i % 2 ? "backup" : check_format("b%d.tar.zst", i));
        check_ok(exia_library_backup(NULL, library, path, NULL, NULL, &err));
        const char *target = check_path(check_format("target%d", i));
        check_ok(exia_library_open(&other, target, NULL, &err));
        check_ok(exia_library_restore(NULL, other, path, NULL, NULL, &err));
        check_every_version(other, WRITERS);
        exia_library_free(other);
    }
    exia_library_free(library);
    for (int i = 0; i < WRITERS; i++) {
        int status = 0;
        assert_int_equal(waitpid(writers[i], &status, WNOHANG), 0); /* it still writes */
        kill(writers[i], SIGKILL);
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
    }
}

/* While the backup stands still at some call: its versions are replaced and collected. */
static void replace_and_collect(void *payload)
{
    exia_library *library = payload;
    int64_t version = selected(library, "m");
    const char *blob = blob_of(library, check_path("live"), "m");
    assert_int_equal(write_and_remove(library, "m", &version), 0);
    assert_int_equal(unlink(blob), 0);
}

TEST(what_is_removed_and_collected_under_a_backup_at_any_call_is_no_harm)
{
    if (!trace_allowed())
        skip();
    static const char *const names[] = {"backup", "backup.tar.zst"};
    exia_library *library = NULL, *other = NULL;
    int64_t version = 0;
    check_ok(exia_library_open(&library, check_path("live"), NULL, &err));
    for (int i = 0; i < 2; i++)
        assert_int_equal(write_and_remove(library, "m", &version), 0);
    for (int i = 0; i < 2; i++) {
        const char *path = check_path(names[i]), *target = check_path("target");
        trace_end end = run(exia_library_backup, check_path("live"), path, (trace_plan){0});
        trace_plan plan = {.way = TRACE_HOLD, .held = replace_and_collect, .payload = library};
        for (plan.nth = 1; plan.nth <= end.calls;
             plan.nth = trace_next(plan.nth, end.calls, SAMPLE)) {
            assert_int_equal(exia__tree_remove(path, NULL), EXIA_OK);
            assert_int_equal(exia__tree_remove(target, NULL), EXIA_OK);
            run(exia_library_backup, check_path("live"), path, plan);
            if (said->status != EXIA_OK)
                fail_msg("%s, held at call %ld: %s", names[i], plan.nth, said->error.text);
            check_ok(exia_library_open(&other, target, NULL, &err));
            check_ok(exia_library_restore(NULL, other, path, NULL, NULL, &err));
            check_every_version(other, 1);
            exia_library_free(other);
        }
    }
    exia_library_free(library);
}

/* A collector marks all blobs of the target, as if none was named yet. */
static void mark_all(void *payload)
{
    exia__records *records = payload;
    const exia_job brief = {.struct_size = sizeof brief, .timeout_ms = 20};
    char line[400];
    FILE *pipe = popen(check_format("cd '%s' && find sha256 -type f 2>/dev/null",
                                    check_path("target/library/blobs")),
                       "r");
    while (fgets(line, sizeof line, pipe) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        /* where the restore holds the catalogue's lock there is no marking */
        exia_status rc =
            exia__records_put(NULL, records, "gc", line, "{}", EXIA_ANY, NULL, &brief, &err);
        assert_true(rc == EXIA_OK || rc == EXIA_ETIMEOUT);
    }
    pclose(pipe);
}

TEST(blobs_that_are_marked_under_a_restore_are_stored_anew_and_the_log_says_so)
{
    if (!trace_allowed())
        skip();
    check_in_memory();
    const char *path = check_path("backup.tar.zst"), *target = check_path("target/library");
    exia_library *library = NULL;
    int repaired = 0;
    deeds_prepare((mkdir(check_path("source"), 0700), check_path("source")));
    run(exia_library_backup, check_path("source/library"), path, (trace_plan){0});
    assert_int_equal(mkdir(check_path("target"), 0700), 0);
    trace_end end = run(exia_library_restore, target, path, (trace_plan){0});
    for (long nth = end.calls / 3; nth <= end.calls; nth = trace_next(nth, end.calls, SAMPLE)) {
        exia__records *records = NULL;
        exia_rows *rows = NULL;
        assert_int_equal(exia__tree_remove(target, NULL), EXIA_OK);
        check_ok(exia_library_open(&library, target, NULL, &err));
        check_ok(exia__records_open(&records, check_format("sqlite:%s/catalog.db", target),
                                    EXIA_STORE_WRITE, NULL, &err));
        run(exia_library_restore, target, path,
            (trace_plan){.way = TRACE_HOLD, .nth = nth, .held = mark_all, .payload = records});
        if (said->status != EXIA_OK)
            fail_msg("held at call %ld: %s", nth, said->error.text);
        exia__records_free(records);
        check_every_version(library, 4);
        check_ok(exia_library_history(&rows, library, "m", &err));
        repaired += strstr(rows_text(rows), "\"do\":\"repair\"") != NULL;
        exia_library_free(library);
    }
    assert_true(repaired > 0);
}
