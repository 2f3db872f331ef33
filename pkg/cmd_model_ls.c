/* model ls, model history: versions that a filter selects; all that was done to one model. */
#include <errno.h>
#include <stdlib.h>

#include "options.h"
#include "tool.h"

/* The size of a version is that of its parts together. */
static void add_size(json_t *row)
{
    json_int_t size = 0;
    json_t *part = NULL;
    size_t index = 0;

    json_array_foreach(json_object_get(row, "parts"), index, part) size +=
        json_integer_value(json_object_get(part, "size"));
    json_object_set_new(row, "size", json_integer(size));
}

static exia_status print_versions(const struct call *call, exia_rows *rows, exia_error *err)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT},       {"VERSION", "version", CELL_NUMBER},
        {"SIZE", "size", CELL_SIZE},       {"TIME", "time", CELL_TIME},
        {"ALIASES", "aliases", CELL_TEXT}, {"METRICS", "metrics", CELL_TEXT},
        {"TAGS", "tags", CELL_TEXT},       {0},
    };
    json_t *all = NULL;
    json_t *row = NULL;
    size_t index = 0;
    exia_status status = rows_take(&all, rows, err);

    if (status != EXIA_OK)
        return status;
    json_array_foreach(all, index, row) add_size(row);
    if (json_array_size(all) > 0)
        print_table(all, columns);
    else
        say(call, "no version is selected");
    json_decref(all);
    return EXIA_OK;
}

static exia_status run_model_ls(struct call *call, exia_error *err)
{
    exia_library *library = NULL;
    exia_rows *rows = NULL;
    exia_status status = library_open(&library, call, true, err);

    if (status == EXIA_ENOTFOUND && err->native == ENOENT && !call_has(call, OPTION_LIBRARY)) {
        say(call, "no model is here yet; see: vedapkg help model put");
        return EXIA_OK;
    }
    if (status == EXIA_OK)
        status =
            exia_library_search(&rows, library, call->count == 1 ? call->arguments[0] : NULL, err);
    if (status == EXIA_OK)
        status =
            call->json ? print_rows(call, rows, NULL, "", err) : print_versions(call, rows, err);
    exia_rows_free(rows);
    exia_library_free(library);
    return status;
}

const struct command command_model_ls = {
    .name = "model ls",
    .run = run_model_ls,
    .synopsis = "[FILTER]",
    .summary = "List versions of models, newest first.",
    .about = "FILTER is an expression over the keys of the rows: name = 'digits' and "
             "metrics.accuracy > 0.9 order by metrics.accuracy desc limit 10.",
    .keys = MODEL_KEYS,
    .most = 1,
    .options = {LIBRARY},
};

/* "champion 1 -> 2, old 2 -> none"; to be freed. */
static char *moves_text(const json_t *moves)
{
    char *text = format_text("%s", "");
    json_t *move = NULL;
    size_t index = 0;

    json_array_foreach(moves, index, move)
    {
        const char *alias = json_string_value(json_object_get(move, "alias"));
        json_int_t from = json_integer_value(json_object_get(move, "from"));
        json_int_t to = json_integer_value(json_object_get(move, "to"));
        char *left = from > 0 ? format_text("%lld", (long long)from) : format_text("none");
        char *right = to > 0 ? format_text("%lld", (long long)to) : format_text("none");
        char *longer = format_text("%s%s%s %s -> %s", text, index > 0 ? ", " : "",
                                   alias != NULL ? alias : "?", left, right);

        free(left);
        free(right);
        free(text);
        text = longer;
    }
    return text;
}

static exia_status run_model_history(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"SEQ", "seq", CELL_NUMBER},        {"TIME", "time", CELL_TIME},
        {"WHO", "who", CELL_TEXT},          {"DO", "do", CELL_TEXT},
        {"VERSION", "number", CELL_NUMBER}, {"MOVES", "moves", CELL_TEXT},
        {"WHY", "why", CELL_TEXT},          {0},
    };
    exia_library *library = NULL;
    exia_rows *rows = NULL;
    json_t *all = NULL;
    json_t *row = NULL;
    size_t index = 0;
    exia_status status = library_open(&library, call, true, err);

    if (status == EXIA_OK && call->arguments[1] != NULL)
        status = exia_alias_history(&rows, library, call->arguments[0], call->arguments[1], err);
    else if (status == EXIA_OK)
        status = exia_library_history(&rows, library, call->arguments[0], err);
    if (status == EXIA_OK && call->json)
        status = print_rows(call, rows, columns, "", err);
    else if (status == EXIA_OK)
        status = rows_take(&all, rows, err);
    json_array_foreach(all, index, row)
    {
        json_t *version = json_object_get(row, "version");
        char *moves = moves_text(json_object_get(row, "moves"));

        json_object_set(row, "number",
                        json_is_object(version) ? json_object_get(version, "number") : version);
        json_object_set_new(row, "moves", json_string(moves));
        free(moves);
    }
    if (all != NULL)
        print_table(all, columns);
    json_decref(all);
    exia_rows_free(rows);
    exia_library_free(library);
    return status;
}

const struct command command_model_history = {
    .name = "model history",
    .run = run_model_history,
    .synopsis = "NAME [ALIAS]",
    .summary = "List all that was done to a model, or to one alias: what, when, who, why.",
    .keys = "seq, do, time, who, why, version, moves",
    .least = 1,
    .most = 2,
    .options = {LIBRARY},
};
