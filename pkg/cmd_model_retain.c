/* model retain: remove the versions that no rule keeps. */
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "tool.h"

/* Collect every OPTION FIELD=COUNT into rules.NAME. */
static exia_status add_fields(json_t *rules, const char *name, struct call *call,
                              enum option_key key, exia_error *err)
{
    json_t *object = must(json_object());
    exia_status status = EXIA_OK;

    for (int i = 0; status == EXIA_OK && i < call->given_count; i++) {
        if (call->given[i].key == key)
            status = pair_parse(object, call, call->given[i].value, VALUE_ANY, err);
    }
    if (json_object_size(object) > 0)
        json_object_set(rules, name, object);
    json_decref(object);
    return status;
}

static exia_status read_rules(char **out, struct call *call, exia_error *err)
{
    json_t *rules = must(json_object());
    int64_t last = 0, younger_ms = 0;
    exia_status status = call_number(&last, call, OPTION_LAST, 1, INT64_MAX, 0, err);

    if (status == EXIA_OK)
        status = call_time(&younger_ms, call, OPTION_YOUNGER, err);
    if (last > 0)
        json_object_set_new(rules, "last", json_integer(last));
    if (younger_ms > 0)
        json_object_set_new(rules, "younger_days", json_real((double)younger_ms / 86400000.0));
    if (status == EXIA_OK)
        status = add_fields(rules, "best", call, OPTION_BEST, err);
    if (status == EXIA_OK)
        status = add_fields(rules, "worst", call, OPTION_WORST, err);
    if (call_has(call, OPTION_EVER))
        json_object_set_new(rules, "aliases", json_string("ever"));
    if (call_has(call, OPTION_WHERE))
        json_object_set_new(rules, "where", json_string(call_option(call, OPTION_WHERE)));
    if (status == EXIA_OK && json_object_size(rules) == 0)
        status = misuse(call, err, "what shall stay?  Give at least one rule, as in --last 5");
    if (status == EXIA_OK)
        *out = must(json_dumps(rules, JSON_COMPACT));
    json_decref(rules);
    return status;
}

static void say_counts(const struct call *call, const json_t *rows, bool apply)
{
    json_t *row = NULL;
    size_t index = 0, gone = 0;

    json_array_foreach(rows, index, row) gone +=
        strcmp(json_string_value(json_object_get(row, "do")), "keep") != 0;
    if (apply)
        say(call, "removed %zu of %zu versions; their space is freed by: vedapkg model gc", gone,
            json_array_size(rows));
    else
        say(call, "would remove %zu of %zu versions; --apply does it", gone, json_array_size(rows));
}

static exia_status run_model_retain(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"DO", "do", CELL_TEXT},
        {"NAME", "name", CELL_TEXT},
        {"VERSION", "version", CELL_NUMBER},
        {"SIZE", "size", CELL_SIZE},
        {"TIME", "time", CELL_TIME},
        {"WHY", "why", CELL_TEXT},
        {0},
    };
    char *rules = NULL;
    exia_library *library = NULL;
    exia_rows *rows = NULL;
    json_t *all = NULL;
    exia_retain_options options = {
        .struct_size = sizeof(options),
        .name = call->count == 1 ? call->arguments[0] : NULL,
        .apply = call_has(call, OPTION_APPLY),
    };
    exia_status status = read_rules(&rules, call, err);

    if (status == EXIA_OK)
        status = library_open(&library, call, !options.apply, err);
    if (status == EXIA_OK)
        status = exia_library_retain(&rows, library, rules, &options, job_begin(call), err);
    if (status == EXIA_OK && call->json)
        status = print_rows(call, rows, columns, "", err);
    else if (status == EXIA_OK)
        status = rows_take(&all, rows, err);
    if (json_array_size(all) > 0)
        print_table(all, columns);
    if (all != NULL)
        say_counts(call, all, options.apply);
    json_decref(all);
    exia_rows_free(rows);
    exia_library_free(library);
    free(rules);
    return status;
}

const struct command command_model_retain = {
    .name = "model retain",
    .run = run_model_retain,
    .synopsis = "[NAME] [RULE...] [--apply]",
    .summary = "Remove the versions that no rule keeps, or only tell which.",
    .about = "A version that any RULE keeps stays, and so does one that an alias is on.  "
             "Without --apply nothing is changed.  TIME is as in 12h or 30d.",
    .keys = "name, version, time, size, do, why",
    .most = 1,
    .options =
        {
            {OPTION_LAST, 0, "last", "N", "keep the newest N of each model", false},
            {OPTION_YOUNGER, 0, "younger", "TIME", "keep what is younger", false},
            {OPTION_BEST, 0, "best", "FIELD=N",
             "keep the N with the highest, as in metrics.auc=3; may be repeated", false},
            {OPTION_WORST, 0, "worst", "FIELD=N", "keep the N with the lowest", false},
            {OPTION_WHERE, 0, "where", "FILTER", "keep what the filter selects", false},
            {OPTION_EVER, 0, "ever", NULL, "keep what an alias ever was on", false},
            {OPTION_APPLY, 0, "apply", NULL, "do it", false},
            LIBRARY,
        },
};
