/* The library when memory is out and when stores fail: after each failure the state is as before the
 * call, or the call was done. */
#include "support/models.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "support/faulty.h"

enum { LARGE = 20000 };

typedef struct state {
    const char *folder, *file;
    int runs; /* each has names of its own, so that none has more to read than the one before */
    int last; /* versions that the last run wrote, by what the calls said */
    char bytes[LARGE];
} state;

static exia_status create(void *payload, exia_error *why)
{
    state *now = payload;
    char folder[200];
    exia_library *library = NULL;
    snprintf(folder, sizeof folder, "%s-%d", now->folder, now->runs++);
    exia_status rc = exia_library_open(&library, folder, NULL, why);
    exia_library_free(library);
    return rc;
}

static exia_status publish(exia_library *library, const char *name, const state *now,
                           const char *token, exia_error *why)
{
    int64_t version = 0;
    const exia_part parts[] = {
        {.name = "large", .format = "bytes", .data = now->bytes, .size = LARGE},
        {.name = "small", .format = "safetensors", .data = "\2\0\0\0\0\0\0\0{}", .size = 10},
        {.name = "file", .format = "file", .path = now->file},
    };
    exia_write_options options = {
        .struct_size = sizeof options,
        .facts = "{\"metrics\":{\"auc\":0.5},\"environment\":{\"python\":\"3.12\"}}",
        .alias = "live",
        .expect = EXIA_ANY,
        .message = "once more",
        .token = token};
    return exia_model_write(&version, library, name, parts, 3, &options, NULL, why);
}

static exia_status write_some(void *payload, exia_error *why)
{
    state *now = payload;
    exia_library *library = NULL;
    char name[32];
    now->last = 0;
    snprintf(name, sizeof name, "m%d", now->runs++);
    snprintf(now->bytes, sizeof name, "%s", name); /* a new blob */
    exia_status rc = exia_library_open(&library, now->folder, NULL, why);
    for (; rc == EXIA_OK && now->last < 2; now->last += rc == EXIA_OK)
        rc = publish(library, name, now, NULL, why);
    if (rc == EXIA_OK)
        rc = exia_alias_move(library, name, "live", 1, 2, NULL, why);
    if (rc == EXIA_OK)
        rc = exia_alias_rollback(NULL, library, name, "live", 1, "no", why);
    if (rc == EXIA_OK)
        rc = exia_alias_protect(library, name, "live", 1, "in use", why);
    if (rc == EXIA_OK)
        rc = exia_alias_rollback_to(NULL, library, name, "live", "2999-01-01", 2, "no move", why);
    if (rc == EXIA_OK)
        rc = exia_model_remove(library, name, 1, NULL, why);
    exia_library_free(library);
    return rc;
}

static exia_status read_everything(void *payload, exia_error *why)
{
    state *now = payload;
    exia_library *library = NULL;
    exia_rows *rows = NULL, *history = NULL, *moves = NULL, *tensors = NULL;
    exia_model *model = NULL;
    char *environment = NULL, folder[200];
    snprintf(folder, sizeof folder, "%s-out-%d", now->folder, now->runs++);
    exia_status rc = exia_library_open(&library, now->folder, NULL, why);
    if (rc == EXIA_OK)
        rc = exia_library_search(&rows, library, "metrics.auc > 0 order by version", why);
    if (rc == EXIA_OK)
        rc = exia_library_history(&history, library, "m", why);
    if (rc == EXIA_OK)
        rc = exia_alias_history(&moves, library, "m", "live", why);
    if (rc == EXIA_OK)
        rc = exia_model_open(&model, library, "m@best(metrics.auc)", EXIA_OPEN_VERIFY, why);
    if (rc == EXIA_OK)
        rc = exia_model_environment(&environment, model, why);
    if (rc == EXIA_OK)
        rc = exia_model_tensors(&tensors, model, "small", why);
    if (rc == EXIA_OK)
        rc = exia_library_export(library, "m", folder, NULL, why);
    exia_text_free(environment);
    exia_model_free(model);
    exia_rows_free(rows);
    exia_rows_free(history);
    exia_rows_free(moves);
    exia_rows_free(tensors);
    exia_library_free(library);
    return rc;
}

static exia_status open_plain(void *payload, exia_error *why)
{
    exia_model *model = NULL;
    exia_status rc = exia_model_open_directory(&model, payload, NULL, 0, why);
    exia_model_free(model);
    return rc;
}

static state *fresh_state(void)
{
    static state now;
    memset(&now, 0, sizeof now);
    check_in_memory();
    now.folder = check_path("library");
    now.file = check_path("file");
    check_write_file(now.file, "bytes of a file", 15);
    return &now;
}

/* A library with two versions of "m". */
static state *written_state(void)
{
    state *now = fresh_state();
    exia_library *library = NULL;
    check_ok(exia_library_open(&library, now->folder, NULL, &err));
    check_ok(publish(library, "m", now, NULL, &err));
    check_ok(publish(library, "m", now, NULL, &err));
    exia_library_free(library);
    return now;
}

TEST(every_allocation_of_creating_a_library_may_fail)
{
    check_survives_no_memory(create, fresh_state());
}

TEST(every_allocation_of_a_write_may_fail)
{
    state *now = fresh_state();
    check_survives_no_memory(write_some, now);
    exia_library *library = NULL;
    check_ok(exia_library_open(&library, now->folder, NULL, &err));
    assert_int_equal(selected(library, "m0"), EXIA_ENOTFOUND); /* failed at once */
    assert_int_equal(selected(library, check_format("m%d@live", now->runs - 1)), 2);
    assert_int_equal(selected(library, check_format("m%d@1", now->runs - 1)), EXIA_ENOTFOUND);
    exia_library_free(library);
}

TEST(every_allocation_of_reading_may_fail)
{
    state *now = written_state();
    check_survives_no_memory(read_everything, now);
    char *plain = (char *)(uintptr_t)check_format("%s-out-%d", now->folder, now->runs - 1);
    check_survives_no_memory(open_plain, plain);
}

/* ---- stores that fail ----------------------------------------------------------------------- */

/* The same library, by way of the driver that fails. */
static exia_status open_as_planned(exia_library **out, const state *now)
{
    exia_library_options options = {.struct_size = sizeof options};
    options.blobs_url = check_format("faulty:file:%s/blobs", now->folder);
    check_reset();
    return exia_library_open(out, check_format("faulty:sqlite:%s/catalog.db", now->folder),
                             &options, &err);
}

/* A library with one version of "m" and an alias on it. */
static state *one_version(void)
{
    state *now = fresh_state();
    assert_int_equal(exia__tree_remove(now->folder, NULL), EXIA_OK);
    exia_library *library = NULL;
    check_ok(exia_library_open(&library, now->folder, NULL, &err));
    check_ok(publish(library, "m", now, NULL, &err));
    exia_library_free(library);
    now->bytes[0] = 'x'; /* another blob for the next one */
    return now;
}

/* What is there, seen past the faults: versions and where the alias stands. */
static void look(int64_t *latest, int64_t *live, const state *now)
{
    exia_library *library = NULL;
    check_ok(exia_library_open(&library, now->folder, NULL, &err));
    *latest = selected(library, "m");
    *live = selected(library, "m@live");
    exia_library_free(library);
}

/* One call against a store whose nth operation fails.  It must say what is true; state is before or
 * after, and when the store comes back the same call, repeated, is done exactly once. */
static int write_with_fault(faulty_plan plan)
{
    exia_library *library = NULL;
    int64_t latest = 0, live = 0;
    state *now = one_version();
    faulty = plan;
    exia_status rc = open_as_planned(&library, now);
    if (rc == EXIA_OK)
        rc = publish(library, "m", now, "once", &err);
    int reached = faulty.calls >= plan.nth;
    faulty = (faulty_plan){0};
    if (rc < 0)
        check_status(rc, rc, __FILE__, __LINE__);
    look(&latest, &live, now);
    if (latest != live || (latest != 1 && latest != 2))
        fail_msg("operation %ld failing leaves version %d with the alias at %d", plan.nth,
                 (int)latest, (int)live);
    if (rc == EXIA_OK)
        assert_int_equal(latest, 2);
    if (rc < 0 && latest == 2 && rc != EXIA_EIO && rc != EXIA_ETIMEOUT && rc != EXIA_EUNAVAILABLE)
        fail_msg("operation %ld: \"%s\", but it was done", plan.nth, exia_status_text(rc));
    if (library == NULL)
        check_ok(open_as_planned(&library, now));
    check_ok(publish(library, "m", now, "once", &err));
    look(&latest, &live, now);
    assert_int_equal(latest, 2);
    assert_int_equal(live, 2);
    assert_int_equal(selected(library, "m@live"), 2); /* what this handle had read is right too */
    exia_library_free(library);
    return reached;
}

TEST(every_operation_of_a_store_may_fail_during_a_write)
{
    static const exia_status statuses[] = {EXIA_EIO, EXIA_EUNAVAILABLE, EXIA_EDENIED,
                                           EXIA_ENOSPACE};
    faulty_register();
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        for (int way = 0; way < 4; way++) {
            faulty_plan plan = {.after = way & 1, .for_ever = way >> 1, .status = statuses[i]};
            if (plan.after && statuses[i] != EXIA_EIO && statuses[i] != EXIA_EUNAVAILABLE)
                continue; /* no store does it and then says that it refused */
            do
                plan.nth++;
            while (write_with_fault(plan));
            assert_true(plan.nth > 8);
        }
    }
}

static int move_with_fault(faulty_plan plan)
{
    exia_library *library = NULL;
    int64_t latest = 0, live = 0, at = 0;
    state *now = one_version();
    check_ok(exia_library_open(&library, now->folder, NULL, &err));
    check_ok(publish(library, "m", now, NULL, &err));
    exia_library_free(library);
    library = NULL;
    check_ok(open_as_planned(&library, now));
    faulty = plan;
    check_reset();
    exia_status rc = exia_alias_rollback(&at, library, "m", "live", 2, NULL, &err);
    int reached = faulty.calls >= plan.nth;
    faulty = (faulty_plan){0};
    look(&latest, &live, now);
    assert_int_equal(latest, 2);
    assert_true(live == 1 || live == 2);
    assert_int_equal(at, rc == EXIA_OK ? 1 : 0);
    if (rc == EXIA_OK)
        assert_int_equal(live, 1);
    if (rc < 0 && live == 1)
        assert_true(rc == EXIA_EIO && plan.for_ever);
    exia_library_free(library);
    return reached;
}

TEST(every_operation_of_a_store_may_fail_during_a_rollback)
{
    faulty_register();
    for (int way = 0; way < 4; way++) {
        faulty_plan plan = {.after = way & 1, .for_ever = way >> 1, .status = EXIA_EIO};
        do
            plan.nth++;
        while (move_with_fault(plan));
        assert_true(plan.nth > 2);
    }
}

static int read_with_fault(const state *now, long nth)
{
    exia_library *library = NULL;
    exia_model *model = NULL;
    exia_rows *rows = NULL;
    faulty = (faulty_plan){.nth = nth, .status = EXIA_EUNAVAILABLE};
    exia_status rc = open_as_planned(&library, now);
    if (rc == EXIA_OK)
        rc = exia_model_open(&model, library, "m@live", 0, &err);
    exia_model_free(model);
    if (rc == EXIA_OK)
        rc = exia_library_search(&rows, library, NULL, &err);
    exia_rows_free(rows);
    int reached = faulty.calls >= nth;
    faulty = (faulty_plan){0};
    if (reached)
        check_status(EXIA_EUNAVAILABLE, rc, __FILE__, __LINE__);
    if (library != NULL)
        assert_int_equal(selected(library, "m@live"), 1);
    exia_library_free(library);
    return reached;
}

TEST(a_read_that_fails_is_an_error_and_the_next_one_is_right)
{
    faulty_register();
    state *now = one_version();
    long nth = 0;
    do
        nth++;
    while (read_with_fault(now, nth));
    assert_true(nth > 4);
}
