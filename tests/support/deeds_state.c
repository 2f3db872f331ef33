/* What a library says of itself, and that it goes on: after any deed, whole or not. */
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "support/deeds.h"
#include "support/models.h"

static const char *beside(const char *folder, const char *name)
{
    return check_format("%s/%s", folder, name);
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

exia_status deeds_gc(exia_library *library, int64_t timeout_ms, exia_error *error)
{
    exia_rows *rows = NULL;
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = 2, .wait = 1};
    exia_job job = {.struct_size = sizeof job, .timeout_ms = timeout_ms};
    exia_status rc = exia_library_gc(&rows, NULL, library, &options, &job, error);
    exia_rows_free(rows);
    return rc;
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
        fprintf(out->stream, "%s: %zu bytes of '%c'\n", selector, view.size,
                view.size > 0 ? *(char *)view.data : '-');
    }
    if (json_is_string(json_object_get(row, "environment"))) {
        check_ok(exia_model_environment(&environment, model, &err));
        fprintf(out->stream, "%s: %s\n", selector, environment);
    }
    exia_text_free(environment);
    json_decref(row);
    exia_model_free(model);
}

static void tell_history(text *out, exia_library *library, const char *name)
{
    exia_rows *rows = NULL;
    const char *line = NULL;
    long long seq = 0;
    exia_status rc;
    check_ok(exia_library_history(&rows, library, name, &err));
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

/* All rows of a search; `each`: read the versions too, and the history of each model. */
static void tell_search(text *out, exia_library *library, const char *filter, int each)
{
    const char *last = "";
    exia_rows *rows = NULL;
    const char *line = NULL;
    exia_status rc;
    check_ok(exia_library_search(&rows, library, filter, &err));
    while ((rc = exia_rows_next(&line, rows, &err)) == EXIA_OK) {
        json_t *row = json_loads(line, 0, NULL);
        const char *name = check_format("%s", json_string_value(json_object_get(row, "name")));
        const char *selector = check_format(
            "%s@%lld", name, (long long)json_integer_value(json_object_get(row, "version")));
        if (each && strcmp(last, name) != 0)
            tell_history(out, library, last = name);
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

const char *deeds_state(const char *folder, int read_only)
{
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
    for (size_t i = 0; i < sizeof selectors / sizeof *selectors; i++)
        fprintf(out.stream, "%s: %lld\n", selectors[i], (long long)selected(library, selectors[i]));
    exia_library_free(library);
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
