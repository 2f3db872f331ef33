/* The library of the deeds has a model "m" of three versions and an alias with a history, a model
 * "other" that shares a blob with it, and parts of both kinds: files and bytes inside an entry. */
#include "support/deeds.h"

#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/models.h"

enum { LARGE = 20000 };

static const char *beside(const char *folder, const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *large_bytes(char letter)
{
    static char bytes[LARGE];
    memset(bytes, letter, sizeof bytes);
    return bytes;
}

/* ---- deeds ----------------------------------------------------------------------------------- */

static exia_status publish(exia_library *library, const char *name, const exia_part *parts,
                           size_t count, const char *facts, const char *alias, const char *token,
                           exia_error *error)
{
    int64_t version = 0;
    exia_write_options options = {.struct_size = sizeof options,
                                  .facts = facts,
                                  .alias = alias,
                                  .expect = EXIA_ANY,
                                  .token = token};
    return exia_model_write(&version, library, name, parts, count, &options, NULL, error);
}

static exia_status open_and_close(exia_library *library, const char *folder, exia_error *error)
{
    (void)library, (void)folder, (void)error;
    return EXIA_OK;
}

static exia_status publish_file(exia_library *library, const char *folder, exia_error *error)
{
    exia_part part = {.name = "file", .format = "file", .path = beside(folder, "file")};
    return publish(library, "m", &part, 1,
                   "{\"metrics\":{\"auc\":0.7},\"environment\":{\"python\":\"3.12\"}}", NULL,
                   "once", error);
}

static exia_status publish_within(exia_library *library, const char *folder, exia_error *error)
{
    exia_part part = {.name = "small", .format = "bytes", .data = "some bytes", .size = 10};
    (void)folder;
    return publish(library, "m", &part, 1, "{\"tags\":{\"team\":\"cv\"}}", NULL, "once", error);
}

static exia_status publish_what_is_there(exia_library *library, const char *folder,
                                         exia_error *error)
{
    exia_part part = {.name = "model", .format = "bytes", .data = large_bytes('b'), .size = LARGE};
    (void)folder;
    return publish(library, "m", &part, 1, NULL, NULL, "once", error);
}

static exia_status publish_with_alias(exia_library *library, const char *folder, exia_error *error)
{
    exia_part parts[] = {
        {.name = "model", .format = "bytes", .data = large_bytes('c'), .size = LARGE},
        {.name = "small", .format = "bytes", .data = "c", .size = 1},
    };
    (void)folder;
    return publish(library, "m", parts, 2, "{\"metrics\":{\"auc\":0.9}}", "live", "once", error);
}

static exia_status publish_first(exia_library *library, const char *folder, exia_error *error)
{
    exia_part part = {.name = "model", .format = "bytes", .data = large_bytes('n'), .size = LARGE};
    (void)folder;
    return publish(library, "new", &part, 1, NULL, "live", "once", error);
}

static exia_status move_alias(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return exia_alias_move(library, "m", "live", 1, 3, "back to the first", error);
}

static exia_status take_alias_away(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return exia_alias_move(library, "m", "live", EXIA_ABSENT, 3, NULL, error);
}

static exia_status roll_back(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return exia_alias_rollback(NULL, library, "m", "live", 3, NULL, error);
}

static exia_status remove_version(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return exia_model_remove(library, "m", 2, "too old", error);
}

static exia_status export_version(exia_library *library, const char *folder, exia_error *error)
{
    return exia_library_export(library, "m@live", beside(folder, "plain"), NULL, error);
}

exia_status deeds_gc(exia_library *library, int64_t timeout_ms, exia_error *error)
{
    exia_rows *rows = NULL;
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = 2, .wait = 1};
    exia_job job = {.struct_size = sizeof job, .timeout_ms = timeout_ms};
    exia_status rc = exia_library_gc(&rows, NULL, library, &options, &job, error);
    exia_rows_free(rows);
    return rc;
}

static exia_status collect(exia_library *library, const char *folder, exia_error *error)
{
    (void)folder;
    return deeds_gc(library, 0, error);
}

const deed deeds[] = {
    {"creating a library", open_and_close, .bare = 1, .again = 1},
    {"opening a library", open_and_close, .again = 1},
    {"publishing a file", publish_file, .again = 1, .writes = 1},
    {"publishing bytes within the entry", publish_within, .again = 1},
    {"publishing bytes that are there", publish_what_is_there, .again = 1, .writes = 1},
    {"publishing with an alias", publish_with_alias, .again = 1, .writes = 1},
    {"publishing a model's first version", publish_first, .again = 1, .writes = 1},
    {"moving an alias", .act = move_alias},
    {"taking an alias away", .act = take_alias_away},
    {"a rollback", .act = roll_back},
    {"removing a version", .act = remove_version},
    {"exporting a version", .act = export_version, .outside = 1},
    {"collecting dead blobs", .act = collect, .again = 1},
};
const size_t deed_count = sizeof deeds / sizeof *deeds;

void deeds_prepare(const char *folder)
{
    exia_library *library = NULL;
    exia_part parts[] = {
        {.name = "model", .format = "bytes", .data = large_bytes('a'), .size = LARGE},
        {.name = "small", .format = "bytes", .data = "x", .size = 1},
    };
    check_write_file(beside(folder, "file"), large_bytes('f'), LARGE);
    check_ok(exia_library_open(&library, beside(folder, "library"), NULL, &err));
    check_ok(publish(library, "m", parts, 2, "{\"metrics\":{\"auc\":0.5}}", "live", NULL, &err));
    parts[0].data = large_bytes('b');
    check_ok(publish(library, "m", parts, 1,
                     "{\"metrics\":{\"auc\":0.8},\"environment\":{\"python\":\"3.11\"}}", "live",
                     NULL, &err));
    check_ok(publish(library, "other", parts, 1, NULL, NULL, NULL, &err));
    check_ok(publish(library, "m", parts + 1, 1, "{\"metrics\":{\"auc\":0.6},\"parent\":2}", "live",
                     NULL, &err));
    parts[0].data = large_bytes('d'); /* a blob that dies */
    check_ok(publish(library, "other", parts, 1, NULL, NULL, NULL, &err));
    check_ok(exia_model_remove(library, "other", 2, NULL, &err));
    exia_library_free(library);
}

static int make_old(const char *path, const struct stat *info, int type, struct FTW *at)
{
    const struct timespec times[2] = {{.tv_sec = info->st_mtime - 3600},
                                      {.tv_sec = info->st_mtime - 3600}};
    (void)at;
    return type == FTW_F ? utimensat(AT_FDCWD, path, times, 0) : 0;
}

void deeds_age(const char *folder)
{
    (void)nftw(beside(folder, "library/blobs"), make_old, 16, FTW_PHYS); /* or there is none */
}

void deeds_collect(const char *folder)
{
    exia_library *library = NULL;
    exia_gc_totals totals = {0};
    exia_rows *rows = NULL;
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = 2, .dry_run = 1};
    deeds_age(folder);
    check_ok(exia_library_open(&library, beside(folder, "library"), NULL, &err));
    check_ok(deeds_gc(library, 0, &err));
    check_ok(exia_library_gc(&rows, &totals, library, &options, NULL, &err));
    exia_rows_free(rows);
    if (totals.removed + totals.marked + totals.young > 0)
        fail_msg("%d dead blobs stay", (int)(totals.removed + totals.marked + totals.young));
    exia_library_free(library);
}

/* ---- the state ------------------------------------------------------------------------------- */

typedef struct text {
    char *data;
    size_t size;
    FILE *stream;
} text;

/* A row without what differs from run to run. */
static void tell_row(text *out, const char *title, json_t *row)
{
    char *line = NULL;
    json_object_del(row, "time");
    json_object_del(row, "who");
    line = json_dumps(row, JSON_SORT_KEYS | JSON_COMPACT);
    fprintf(out->stream, "%s %s\n", title, line);
    free(line);
}

/* Read every byte of a version. */
static void tell_bytes(text *out, exia_library *library, const char *selector)
{
    exia_model *model = NULL;
    char *environment = NULL;
    check_ok(exia_model_open(&model, library, selector, EXIA_OPEN_VERIFY, &err));
    json_t *row = json_loads(exia_model_facts(model), 0, NULL);
    size_t i = 0;
    json_t *part = NULL;
    json_array_foreach(json_object_get(row, "parts"), i, part)
    {
        exia_view view;
        check_ok(
            exia_model_view(&view, model, json_string_value(json_object_get(part, "name")), &err));
        fprintf(out->stream, "%s: %zu bytes of '%c'\n", selector, view.size, *(char *)view.data);
    }
    if (json_is_string(json_object_get(row, "environment"))) {
        check_ok(exia_model_environment(&environment, model, &err));
        fprintf(out->stream, "%s: %s\n", selector, environment);
    }
    exia_text_free(environment);
    json_decref(row);
    exia_model_free(model);
}

/* All rows of a search; `each`: read the versions too. */
static void tell_search(text *out, exia_library *library, const char *filter, int each)
{
    exia_rows *rows = NULL;
    const char *line = NULL;
    exia_status rc;
    check_ok(exia_library_search(&rows, library, filter, &err));
    while ((rc = exia_rows_next(&line, rows, &err)) == EXIA_OK) {
        json_t *row = json_loads(line, 0, NULL);
        const char *selector =
            check_format("%s@%lld", json_string_value(json_object_get(row, "name")),
                         (long long)json_integer_value(json_object_get(row, "version")));
        if (each) {
            tell_row(out, "version", row);
            tell_bytes(out, library, selector);
        } else {
            fprintf(out->stream, "%s: %s\n", filter, selector);
        }
        json_decref(row);
    }
    assert_int_equal(rc, EXIA_DONE);
    exia_rows_free(rows);
}

static void tell_history(text *out, exia_library *library, const char *name)
{
    exia_rows *rows = NULL;
    const char *line = NULL;
    long long seq = 0;
    check_reset();
    exia_status rc = exia_library_history(&rows, library, name, &err);
    if (rc == EXIA_ENOTFOUND)
        return;
    check_status(EXIA_OK, rc, __FILE__, __LINE__);
    while ((rc = exia_rows_next(&line, rows, &err)) == EXIA_OK) {
        json_t *row = json_loads(line, 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(row, "seq")), ++seq);
        json_object_del(row, "seq");
        if (strcmp(json_string_value(json_object_get(row, "do")), "repair") != 0)
            tell_row(out, name, row);
        json_decref(row);
    }
    assert_int_equal(rc, EXIA_DONE);
    exia_rows_free(rows);
}

const char *deeds_state(const char *folder, int read_only)
{
    static const char *const names[] = {"m", "new", "other"};
    static const char *const selectors[] = {"m", "m@live", "m@previous(live)",
                                            "m@best(metrics.auc)", "new@live"};
    exia_library_options options = {.struct_size = sizeof options, .read_only = read_only};
    exia_library *library = NULL;
    text out = {0};
    out.stream = open_memstream(&out.data, &out.size);
    check_ok(exia_library_open(&library, beside(folder, "library"), &options, &err));
    tell_search(&out, library, "order by name, version", 1);
    tell_search(&out, library, "metrics.auc > 0.1 order by metrics.auc desc", 0);
    tell_search(&out, library, "name = 'm' limit 2", 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        tell_history(&out, library, names[i]);
    for (size_t i = 0; i < sizeof selectors / sizeof *selectors; i++)
        fprintf(out.stream, "%s: %lld\n", selectors[i], (long long)selected(library, selectors[i]));
    exia_library_free(library);
    if (access(beside(folder, "plain"), F_OK) == 0) {
        exia_model *model = NULL;
        check_ok(exia_model_open_directory(&model, beside(folder, "plain"), NULL, EXIA_OPEN_VERIFY,
                                           &err));
        exia_model_free(model);
        fprintf(out.stream, "exported\n");
    }
    fclose(out.stream);
    const char *kept = check_format("%s", out.data);
    free(out.data);
    return kept;
}

void deeds_go_on(const char *folder)
{
    exia_library *library = NULL;
    exia_rows *rows = NULL;
    const char *line = NULL;
    int64_t published = 0, version = 0, at = 0;
    check_ok(exia_library_open(&library, beside(folder, "library"), NULL, &err));
    if (exia_library_history(&rows, library, "m", NULL) == EXIA_OK)
        while (exia_rows_next(&line, rows, &err) == EXIA_OK) {
            json_t *row = json_loads(line, 0, NULL);
            published += strcmp(json_string_value(json_object_get(row, "do")), "publish") == 0;
            json_decref(row);
        }
    exia_rows_free(rows);
    int64_t live = selected(library, "m@live");
    version = write_model(library, "m", "the next", NULL, "live", live < 0 ? EXIA_ABSENT : live);
    assert_int_equal(version, published + 1);
    assert_int_equal(selected(library, "m"), version);
    assert_int_equal(selected(library, "m@live"), version);
    if (live > 0) {
        check_ok(exia_alias_rollback(&at, library, "m", "live", version, NULL, &err));
        assert_int_equal(at, live);
    }
    exia_library_free(library);
}
