/* model import: files and exported versions that were made elsewhere, each the next version of a model
 * unless it is there already.  What they are is told by their names; none is loaded. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"
#include "tool.h"

/* One version to be. */
struct arrival {
    json_t *facts;
    exia_part *parts;
    size_t count;
};

static const char *format_of(const char *path)
{
    static const char *const known[][2] = {{".safetensors", "safetensors"},
                                           {".onnx", "onnx"},
                                           {".joblib", "joblib"},
                                           {".pkl", "pickle"},
                                           {".pickle", "pickle"}};
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot != NULL && i < sizeof(known) / sizeof(*known); i++) {
        if (strcmp(dot, known[i][0]) == 0)
            return known[i][1];
    }
    return "file";
}

static void add_part(struct arrival *one, const char *name, const char *format, const char *path)
{
    exia_part *part = &one->parts[one->count++];

    part->name = format_text("%s", name);
    part->format = format_text("%s", format);
    part->path = format_text("%s", path);
}

static void clear(struct arrival *one)
{
    for (size_t i = 0; i < one->count; i++) {
        free((char *)one->parts[i].name);
        free((char *)one->parts[i].format);
        free((char *)one->parts[i].path);
    }
    free(one->parts);
    json_decref(one->facts);
    *one = (struct arrival){0};
}

/* What the directory tells of the version; its bytes are compared with that. */
static exia_status take_exported(struct arrival *one, const char *directory, exia_error *err)
{
    static const char *const kept[] = {"tags", "metrics", "params", "imports"};
    exia_model *model = NULL;
    json_t *row = NULL, *part = NULL;
    char *environment = NULL;
    size_t index = 0;
    exia_status status = exia_model_open_directory(&model, directory, NULL, EXIA_OPEN_VERIFY, err);

    if (status == EXIA_OK) {
        status = exia_model_environment(&environment, model, err);
        status = status == EXIA_ENOTFOUND ? EXIA_OK : status;
    }
    if (status != EXIA_OK)
        goto done;
    row = must(json_loads(exia_model_facts(model), 0, NULL));
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
        json_object_set(one->facts, kept[i], json_object_get(row, kept[i]));
    if (environment != NULL)
        json_object_set_new(one->facts, "environment", json_loads(environment, 0, NULL));
    one->parts = must(calloc(json_array_size(json_object_get(row, "parts")), sizeof(exia_part)));
    json_array_foreach(json_object_get(row, "parts"), index, part)
    {
        const char *name = json_string_value(json_object_get(part, "name"));
        char *path = format_text("%s/%s", directory, name);

        add_part(one, name, json_string_value(json_object_get(part, "format")), path);
        free(path);
    }

done:
    json_decref(row);
    exia_text_free(environment);
    exia_model_free(model);
    return status;
}

static exia_status take(struct arrival *one, const char *path, exia_error *err)
{
    struct stat info = {0};
    char real[PATH_MAX];
    json_t *source = NULL;
    json_t *tags = NULL;
    exia_status status = EXIA_OK;

    if (realpath(path, real) == NULL || stat(real, &info) != 0)
        return fail_errno(err, "cannot read", path);
    one->facts = must(json_object());
    if (S_ISDIR(info.st_mode)) {
        status = take_exported(one, path, err);
        if (status == EXIA_ENOTFOUND) {
            status = fail(err, EXIA_EINVAL,
                          "%s is a directory without a version.json; name the files in it", path);
        } else if (status != EXIA_OK) {
            exia_error found = *err;
            status = fail(err, status, "%s: %s", path, found.text);
        }
    } else {
        one->parts = must(calloc(1, sizeof(exia_part)));
        add_part(one, "model", format_of(path), path);
    }
    if (status != EXIA_OK)
        return status;
    source = json_path(real);
    tags = json_object_get(one->facts, "tags");
    if (tags == NULL)
        json_object_set_new(one->facts, "tags", tags = must(json_object()));
    json_object_set(tags, "import.source", source);
    json_object_set_new(one->facts, "origin", source);
    return EXIA_OK;
}

/* Publish it, or tell where it is: a look comes before, which also tells what was new. */
static exia_status publish(json_t *rows, struct call *call, exia_library *library,
                           const struct arrival *one, exia_error *err)
{
    const char *name = call->arguments[0];
    bool dry_run = call_has(call, OPTION_DRY_RUN);
    char *facts = must(json_dumps(one->facts, JSON_COMPACT));
    const char *deed = "there";
    int64_t version = 0;
    exia_write_options options = {
        .struct_size = sizeof(options),
        .facts = facts,
        .message = call_option(call, OPTION_MESSAGE),
        .expect = EXIA_ANY,
        .dry_run = true,
    };
    exia_status status = exia_model_write(&version, library, name, one->parts, one->count, &options,
                                          job_begin(call), err);

    if (status == EXIA_OK && version == 0) {
        deed = dry_run ? "import" : "imported";
        options.dry_run = dry_run;
        if (!dry_run)
            status = exia_model_write(&version, library, name, one->parts, one->count, &options,
                                      job_begin(call), err);
    }
    if (status == EXIA_OK)
        json_array_append_new(
            rows, json_pack("{s:s, s:s, s:o, s:O}", "do", deed, "name", name, "version",
                            version != 0 ? json_integer((json_int_t)version) : json_null(),
                            "source", json_object_get(one->facts, "origin")));
    free(facts);
    return status;
}

static exia_status run_model_import(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"DO", "do", CELL_TEXT},
        {"NAME", "name", CELL_TEXT},
        {"VERSION", "version", CELL_NUMBER},
        {"SOURCE", "source", CELL_TEXT},
        {0},
    };
    exia_library *library = NULL;
    json_t *rows = must(json_array()), *row = NULL;
    size_t index = 0;
    exia_status status = library_open(&library, call, false, err);

    for (int i = 1; i < call->count && status == EXIA_OK; i++) {
        struct arrival one = {0};

        status = take(&one, call->arguments[i], err);
        if (status == EXIA_OK)
            status = publish(rows, call, library, &one, err);
        clear(&one);
    }
    job_end();
    if (call->json) {
        json_array_foreach(rows, index, row) print_json(row);
    } else if (json_array_size(rows) > 0) {
        print_table(rows, columns);
    }
    json_decref(rows);
    exia_library_free(library);
    return status;
}

const struct command command_model_import = {
    .name = "model import",
    .run = run_model_import,
    .synopsis = "NAME PATH...",
    .summary = "Take in files that were made elsewhere, each as the next version of a model.",
    .about = "PATH is a file (of safetensors, ONNX, joblib, pickle, or any other) or a directory "
             "that model get wrote.  What is there already stays as it is.  No pickle is "
             "loaded; whoever reads it later does so by the policy, for it is from elsewhere.  "
             "Python's Library.import_from also takes directories and MLflow's store.",
    .keys = "do, name, version, source",
    .least = 2,
    .most = -1,
    .options = {{OPTION_DRY_RUN, 'n', "dry-run", NULL, "change nothing, tell what would be done",
                 false},
                MESSAGE,
                LIBRARY},
};
