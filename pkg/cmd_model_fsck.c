/* model fsck: check the library, and mend it. */
#include <stdlib.h>

#include "options.h"
#include "tool.h"

static exia_status run_model_fsck(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"SEVERITY", "severity", CELL_TEXT}, {"WHAT", "what", CELL_TEXT},
        {"NAME", "name", CELL_TEXT},         {"VERSION", "version", CELL_NUMBER},
        {"TEXT", "text", CELL_TEXT},         {"REPAIRED", "repaired", CELL_TEXT},
        {"KEY", "key", CELL_TEXT},           {0},
    };
    exia_library *library = NULL;
    exia_rows *rows = NULL;
    exia_fsck_totals totals;
    exia_fsck_options options = {
        .struct_size = sizeof(options),
        .repair = call_has(call, OPTION_REPAIR),
        .quick = call_has(call, OPTION_QUICK),
    };
    exia_status status = library_open(&library, call, !options.repair, err);

    if (status == EXIA_OK)
        status = exia_library_fsck(&rows, &totals, library, &options, job_begin(call), err);
    if (status == EXIA_OK)
        status = print_rows(call, rows, columns, "nothing is wrong", err);
    exia_rows_free(rows);
    exia_library_free(library);
    if (status != EXIA_OK)
        return status;
    say(call, "looked at models: %llu, entries of logs: %llu, files: %llu",
        (unsigned long long)totals.models, (unsigned long long)totals.entries,
        (unsigned long long)totals.blobs);
    if (totals.errors > 0)
        return fail(err, EXIA_ECORRUPT, "errors that are left: %llu, mended: %llu",
                    (unsigned long long)totals.errors, (unsigned long long)totals.repaired);
    return EXIA_OK;
}

const struct command command_model_fsck = {
    .name = "model fsck",
    .run = run_model_fsck,
    .synopsis = "[--quick | --repair]",
    .summary = "Check the logs and every byte of a library; with --repair mend it.",
    .about = "Exit 0 means that every version can be read.  A part whose bytes are lost is "
             "mended where another copy of them is there.",
    .keys = "severity, what, name, version, key, text, repaired",
    .options =
        {
            {OPTION_QUICK, 0, "quick", NULL, "compare sizes, do not read the files", false},
            {OPTION_REPAIR, 0, "repair", NULL, "mend what can be mended", false},
            LIBRARY,
        },
};
