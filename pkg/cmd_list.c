/* list: what is installed, and the files that are really there. */
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tool.h"

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT},
    {"VERSION", "version", CELL_TEXT},
    {"TAG", "tag", CELL_TEXT},
    {"CURRENT", "current", CELL_TEXT},
    {"TIME", "time", CELL_TIME},
    {"DIRECTORY", "directory", CELL_TEXT},
    {0},
};

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static const char *type_text(const FTSENT *entry)
{
    if (S_ISLNK(entry->fts_statp->st_mode))
        return "link";
    return S_ISDIR(entry->fts_statp->st_mode) ? "directory" : "file";
}

static exia_status list_files(const struct call *call, const char *directory, exia_error *err)
{
    char *const roots[] = {(char *)directory, NULL};
    FTSENT *entry = NULL;
    exia_status status = EXIA_OK;
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);

    if (tree == NULL)
        return fail_errno(err, "cannot read", directory);
    while (status == EXIA_OK && (errno = 0, entry = fts_read(tree)) != NULL) {
        if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS) {
            errno = entry->fts_errno;
            status = fail_errno(err, "cannot read", entry->fts_path);
        } else if (entry->fts_info != FTS_DP && entry->fts_level > 0) {
            print_answer(call,
                         json_pack("{s:o, s:s, s:I}", "path", json_path(entry->fts_path), "type",
                                   type_text(entry), "size", (json_int_t)entry->fts_statp->st_size),
                         entry->fts_path);
        }
    }
    if (status == EXIA_OK && errno != 0)
        status = fail_errno(err, "cannot read", directory);
    fts_close(tree);
    return status;
}

static exia_status run_list(struct call *call, exia_error *err)
{
    const char *package = call->count == 1 ? call->arguments[0] : NULL;
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    json_t *installed = NULL;
    json_t *row = NULL;
    size_t index = 0;
    exia_status status = EXIA_OK;

    if (call_has(call, OPTION_FILES) && package == NULL)
        return misuse(call, err, "--files needs a PACKAGE");
    if (call_has(call, OPTION_NEEDS) && (package == NULL || call_has(call, OPTION_FILES)))
        return misuse(call, err, "--needs goes with a PACKAGE, and not with --files");
    status = exia_registry_open(&registry, NULL, err);
    if (status == EXIA_OK)
        status = call_has(call, OPTION_NEEDS)
                     ? exia_registry_needs(&rows, registry, package, err)
                     : exia_registry_installed(&rows, registry, package, err);
    if (status == EXIA_OK && !call_has(call, OPTION_FILES)) {
        char *none = package != NULL ? format_text("%s is not installed", package)
                                     : format_text("nothing is installed");
        status = print_rows(call, rows, columns, none, err);
        free(none);
        goto done;
    }
    if (status == EXIA_OK)
        status = rows_take(&installed, rows, err);
    if (status == EXIA_OK && json_array_size(installed) == 0)
        status = fail(err, EXIA_ENOTFOUND, "%s is not installed", package);
    json_array_foreach(installed, index, row)
    {
        if (status == EXIA_OK)
            status = list_files(call, json_string_value(json_object_get(row, "directory")), err);
    }

done:
    json_decref(installed);
    exia_rows_free(rows);
    exia_registry_free(registry);
    return status;
}

const struct command command_list = {
    .name = "list",
    .run = run_list,
    .synopsis = "[PACKAGE [--files | --needs]]",
    .summary = "List what is installed, or the files of one package.",
    .about = "Needs come in the versions that a program gets which loads PACKAGE, itself last.",
    .keys = "name, version, tag, digest, directory, time, entry_points, components, "
            "dependencies, requested, resolved, current; with --files: path, type, size",
    .most = 1,
    .options = {{OPTION_FILES, 0, "files", NULL, "the files of PACKAGE, by full path", false},
                {OPTION_NEEDS, 0, "needs", NULL, "PACKAGE and what it goes with", false}},
};
