/* check: compare what is installed, or the files of registered packages, with the record, and mend it. */
#include <string.h>

#include "options.h"
#include "tool.h"

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT},   {"VERSION", "version", CELL_TEXT},
    {"TAG", "tag", CELL_TEXT},     {"PROBLEM", "problem", CELL_TEXT},
    {"PATH", "path", CELL_TEXT},   {"EXPECTED", "expected", CELL_TEXT},
    {"FOUND", "found", CELL_TEXT}, {"REPAIRED", "repaired", CELL_TEXT},
    {"WHY", "why", CELL_TEXT},     {0},
};

static exia_status print_problems(const struct call *call, exia_rows *rows, const char *well,
                                  exia_error *err)
{
    json_t *problems = NULL, *row = NULL;
    size_t index = 0, left = 0;
    exia_status status = rows_take(&problems, rows, err);

    if (status != EXIA_OK)
        return status;
    json_array_foreach(problems, index, row)
    {
        left += json_is_false(json_object_get(row, "repaired"));
        if (call->json)
            print_json(row);
    }
    if (!call->json && index > 0)
        print_table(problems, columns);
    json_decref(problems);
    if (left > 0)
        return fail(err, EXIA_ECORRUPT, "problems that are left: %zu, mended: %zu%s", left,
                    index - left, call_has(call, OPTION_REPAIR) ? "" : "; --repair mends them");
    say(call, index > 0 ? "%s again" : "%s", well);
    return EXIA_OK;
}

static exia_status run_check(struct call *call, exia_error *err)
{
    const exia_check_options options = {.struct_size = sizeof options,
                                        .quick = call_has(call, OPTION_QUICK),
                                        .repair = call_has(call, OPTION_REPAIR),
                                        .remote = call_option(call, OPTION_FROM)};
    const char *package = call->count == 1 ? call->arguments[0] : NULL;
    const char *remote = call_option(call, OPTION_REMOTE);
    const bool files = remote != NULL || call_has(call, OPTION_REGISTERED);
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    exia_status status = EXIA_OK;

    if (remote != NULL && options.remote != NULL)
        return misuse(call, err, "what is here mends a remote: leave out --from");
    if (options.remote != NULL && !options.repair)
        return misuse(call, err, "--from says where --repair pulls from");
    status = exia_registry_open(&registry, NULL, err);
    if (status == EXIA_OK)
        status =
            files ? exia_registry_check_files(&rows, registry, package, remote, &options,
                                              job_begin(call), err)
                  : exia_registry_check(&rows, registry, package, &options, job_begin(call), err);
    if (status == EXIA_OK)
        status = print_problems(
            call, rows, files ? "all files are as recorded" : "all is as it was installed", err);
    exia_rows_free(rows);
    exia_registry_free(registry);
    return status;
}

const struct command command_check = {
    .name = "check",
    .run = run_check,
    .synopsis = "[PACKAGE] [--registered | --remote REMOTE] [--quick] [--repair [--from REMOTE]]",
    .summary = "Compare what is installed with its record, file by file; mend it.",
    .about =
        "Exit 0 means that all is as it was installed, or is again.  A repair unpacks the package "
        "anew and puts it in place of the old one in one step; nothing added to that is kept.  "
        "With --remote the package files there are read and compared, which no push does; a bad "
        "one is replaced by what is registered here.",
    .keys = "name, version, tag, path, problem, expected, found, repaired, why",
    .most = 1,
    .options =
        {
            {OPTION_REGISTERED, 0, "registered", NULL,
             "the files of packages registered here, not what is installed", false},
            REMOTE("the files of packages registered there"),
            {OPTION_QUICK, 0, "quick", NULL, "read no file: sizes, modes and links only", false},
            {OPTION_REPAIR, 0, "repair", NULL, "put a good copy in place of what is not as it was",
             false},
            {OPTION_FROM, 0, "from", "REMOTE", "pull what is to be repaired and not here", false},
        },
};
