/* model backup, model restore: a library to a directory or one file, and back. */
#include "options.h"
#include "tool.h"

typedef exia_status move_fn(exia_rows **out, exia_library *library, const char *path,
                            const exia_backup_options *options, const exia_job *job,
                            exia_error *err);

static exia_status run(struct call *call, move_fn *move, bool read_only, const char *none,
                       exia_error *err)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT},
        {"ENTRIES", "entries", CELL_NUMBER},
        {"NEW", "new", CELL_NUMBER},
        {0},
    };
    const char *path = call->arguments[0];
    exia_backup_options options = {
        .struct_size = sizeof(options),
        .models = call->count > 1 ? (const char *const *)call->arguments + 1 : NULL,
        .model_count = (size_t)call->count - 1,
    };
    exia_library *library = NULL;
    exia_rows *rows = NULL;
    exia_status status = EXIA_OK;

    if (*path == '\0')
        return misuse(call, err, "PATH is empty");
    status = library_open(&library, call, read_only, err);
    if (status == EXIA_OK)
        status = move(&rows, library, path, &options, job_begin(call), err);
    if (status == EXIA_OK)
        status = print_rows(call, rows, columns, none, err);
    exia_rows_free(rows);
    exia_library_free(library);
    return status;
}

static exia_status run_model_backup(struct call *call, exia_error *err)
{
    return run(call, exia_library_backup, true, "the library has no models", err);
}

const struct command command_model_backup = {
    .name = "model backup",
    .run = run_model_backup,
    .synopsis = "PATH [NAME...]",
    .summary = "Back up the models, or some, while others write to them.",
    .about = "PATH is a directory, which gets what is new since the last time, or one new file "
             "when it ends in .tar.zst.",
    .keys = "name, entries, new",
    .least = 1,
    .most = -1,
    .options = {LIBRARY},
};

static exia_status run_model_restore(struct call *call, exia_error *err)
{
    return run(call, exia_library_restore, false, "the backup has no models", err);
}

const struct command command_model_restore = {
    .name = "model restore",
    .run = run_model_restore,
    .synopsis = "PATH [NAME...]",
    .summary = "Bring the models of a backup, or some, into a library.",
    .about = "What is there already stays, a model that lacks the last entries gets them, and "
             "one that has others is refused.  What was restored is from elsewhere: its pickles "
             "go by the policy.",
    .keys = "name, entries, new",
    .least = 1,
    .most = -1,
    .options = {LIBRARY},
};
