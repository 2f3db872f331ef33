/* model gc: collect the dead blobs of the library. */
#include <stdlib.h>

#include "options.h"
#include "tool.h"

static void say_totals(const struct call *call, const exia_gc_totals *totals, bool dry_run)
{
    json_t *bytes[] = {must(json_integer((json_int_t)totals->removed_bytes)),
                       must(json_integer((json_int_t)totals->marked_bytes)),
                       must(json_integer((json_int_t)totals->young_bytes)),
                       must(json_integer((json_int_t)totals->bytes))};
    char *text[4];

    for (size_t i = 0; i < 4; i++)
        text[i] = value_text(bytes[i], CELL_SIZE);
    say(call, "%s %llu of %llu files, %s of %s", dry_run ? "would remove" : "removed",
        (unsigned long long)totals->removed, (unsigned long long)totals->blobs, text[0], text[3]);
    if (totals->marked > 0)
        say(call, "marked %llu, %s: they go when half the grace is over",
            (unsigned long long)totals->marked, text[1]);
    if (totals->young > 0)
        say(call, "left %llu, %s: dead, and younger than the grace",
            (unsigned long long)totals->young, text[2]);
    for (size_t i = 0; i < 4; i++) {
        free(text[i]);
        json_decref(bytes[i]);
    }
}

static exia_status run_model_gc(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"DO", "do", CELL_TEXT},   {"SIZE", "size", CELL_SIZE}, {"MODIFIED", "modified", CELL_TIME},
        {"WHY", "why", CELL_TEXT}, {"KEY", "key", CELL_TEXT},   {0},
    };
    exia_library *library = NULL;
    exia_rows *rows = NULL;
    exia_gc_totals totals;
    exia_gc_options options = {
        .struct_size = sizeof(options),
        .dry_run = call_has(call, OPTION_DRY_RUN),
        .wait = call_has(call, OPTION_WAIT),
    };
    exia_status status = call_time(&options.grace_ms, call, OPTION_GRACE, err);

    if (status == EXIA_OK && options.dry_run && options.wait)
        return misuse(call, err, "--dry-run changes nothing, so there is nothing to --wait for");
    if (status == EXIA_OK)
        status = library_open(&library, call, options.dry_run, err);
    if (status == EXIA_OK)
        status = exia_library_gc(&rows, &totals, library, &options, job_begin(call), err);
    if (status == EXIA_OK)
        status = print_rows(call, rows, columns, "no file is dead", err);
    if (status == EXIA_OK)
        say_totals(call, &totals, options.dry_run);
    exia_rows_free(rows);
    exia_library_free(library);
    return status;
}

const struct command command_model_gc = {
    .name = "model gc",
    .run = run_model_gc,
    .synopsis = "[--grace TIME] [--dry-run | --wait]",
    .summary = "Remove the files that no version names any more.",
    .about = "What has been dead for the grace is marked, and removed by a call half a grace "
             "later; so run it daily.  Writers go on meanwhile, and none may be stopped for "
             "longer than the grace.  TIME is as in 90s, 30m, 12h or 7d.",
    .keys = "key, size, modified, do, why",
    .options =
        {
            {OPTION_DRY_RUN, 0, "dry-run", NULL, "only tell what would be removed", false},
            {OPTION_GRACE, 0, "grace", "TIME", "keep what was used so recently (7d)", false},
            {OPTION_WAIT, 0, "wait", NULL, "stay for half the grace and do it all", false},
            LIBRARY,
        },
};
