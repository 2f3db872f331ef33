/* cache show, cache clear: what was read of remote stores and is kept here. */
#include "tool.h"

static exia_status run(struct call *call, exia_status (*act)(char **, exia_error *),
                       const char *says, exia_error *err)
{
    static const struct column columns[] = {
        {"DIRECTORY", "directory", CELL_TEXT},
        {"LIMIT", "limit", CELL_SIZE},
        {"HOLDS", "bytes", CELL_SIZE},
        {"BLOBS", "blobs", CELL_TEXT},
        {0},
    };
    char *text = NULL;
    exia_status status = act(&text, err);

    if (status == EXIA_OK) {
        json_t *cache = must(json_loads(text, 0, NULL));
        json_t *rows = must(json_pack("[O]", cache));
        char *freed = value_text(json_object_get(cache, "freed"), CELL_SIZE);

        if (call->json)
            print_json(cache);
        else
            print_table(rows, columns);
        if (says != NULL)
            say(call, says, freed);
        free(freed);
        json_decref(rows);
        json_decref(cache);
    }
    exia_text_free(text);
    return status;
}

static exia_status run_cache_show(struct call *call, exia_error *err)
{
    return run(call, exia_cache_show, NULL, err);
}

const struct command command_cache_show = {
    .name = "cache show",
    .run = run_cache_show,
    .synopsis = "",
    .summary = "Say what is kept here of what was read of remote stores.",
    .about = "Models on a remote store come over the network once.  EXIA_CACHE_SIZE says how much "
             "may be "
             "kept: 500M, 20G; 0 for nothing.",
    .keys = "directory, limit, bytes, blobs, freed",
};

static exia_status run_cache_clear(struct call *call, exia_error *err)
{
    return run(call, exia_cache_clear, "%s are free again", err);
}

const struct command command_cache_clear = {
    .name = "cache clear",
    .run = run_cache_clear,
    .synopsis = "",
    .summary = "Remove what is kept of remote stores and not in use.",
    .keys = "directory, limit, bytes, blobs, freed",
};
