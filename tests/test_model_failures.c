/* The library when memory is out and when stores fail: after each failure the state is as before the
 * call, or the call was done. */
#include "support/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { LARGE = 20000 };

/* Memory, so that the many syncs cost nothing; else the directory of the test. */
static const char *place(void)
{
    const char *shared = check_format("/dev/shm/exia-test-%d", (int)getpid());
    return mkdir(shared, 0700) == 0 || access(shared, W_OK) == 0 ? shared : check_directory();
}

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
                           exia_error *why)
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
        .message = "once more"};
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
        rc = publish(library, name, now, why);
    if (rc == EXIA_OK)
        rc = exia_alias_move(library, name, "live", 1, 2, NULL, why);
    if (rc == EXIA_OK)
        rc = exia_alias_rollback(NULL, library, name, "live", 1, "no", why);
    if (rc == EXIA_OK)
        rc = exia_model_remove(library, name, 1, NULL, why);
    exia_library_free(library);
    return rc;
}

static exia_status read_everything(void *payload, exia_error *why)
{
    state *now = payload;
    exia_library *library = NULL;
    exia_rows *rows = NULL, *history = NULL, *tensors = NULL;
    exia_model *model = NULL;
    char *environment = NULL, folder[200];
    snprintf(folder, sizeof folder, "%s-out-%d", now->folder, now->runs++);
    exia_status rc = exia_library_open(&library, now->folder, NULL, why);
    if (rc == EXIA_OK)
        rc = exia_library_search(&rows, library, "metrics.auc > 0 order by version", why);
    if (rc == EXIA_OK)
        rc = exia_library_history(&history, library, "m", why);
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
    now.folder = check_format("%s/library", place());
    now.file = check_format("%s/file", place());
    check_write_file(now.file, "bytes of a file", 15);
    return &now;
}

/* A library with two versions of "m". */
static state *written_state(void)
{
    state *now = fresh_state();
    exia_library *library = NULL;
    check_ok(exia_library_open(&library, now->folder, NULL, &err));
    check_ok(publish(library, "m", now, &err));
    check_ok(publish(library, "m", now, &err));
    exia_library_free(library);
    return now;
}

static void clean(void)
{
    if (strncmp(place(), "/dev/shm", 8) == 0)
        assert_int_equal(exia__tree_remove(place(), NULL), EXIA_OK);
}

TEST(every_allocation_of_creating_a_library_may_fail)
{
    check_survives_no_memory(create, fresh_state());
    clean();
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
    clean();
}

TEST(every_allocation_of_reading_may_fail)
{
    state *now = written_state();
    check_survives_no_memory(read_everything, now);
    char *plain = (char *)(uintptr_t)check_format("%s-out-%d", now->folder, now->runs - 1);
    check_survives_no_memory(open_plain, plain);
    clean();
}
