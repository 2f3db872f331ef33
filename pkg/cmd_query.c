/* query: the registered packages that a filter selects. */
#include <string.h>

#include "options.h"
#include "tool.h"

/* Who types a name means the package. */
static exia_status advise(exia_status status, const char *filter, exia_error *err)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t length = filter != NULL ? strspn(filter, name) : 0;

    if (status != EXIA_EINVAL || length == 0 || length > 60 || strchr("@#", filter[length]) == NULL)
        return status;
    return fail(err, status, "\"%.60s\" is no filter: a package is found by \"name = '%.*s'\"",
                filter, (int)length, filter);
}

static exia_status run_query(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT},
        {"VERSION", "version", CELL_TEXT},
        {"TAG", "tag", CELL_TEXT},
        {"SIZE", "size", CELL_SIZE},
        {"TIME", "time", CELL_TIME},
        {"FACTS", "facts", CELL_TEXT},
        {"DESCRIPTION", "description", CELL_TEXT},
        {0},
    };
    const char *filter = call->count == 1 ? call->arguments[0] : NULL;
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = advise(
            exia_registry_query(&rows, registry, filter, call_option(call, OPTION_REMOTE), err),
            filter, err);
    if (status == EXIA_OK)
        status =
            print_rows(call, rows, columns,
                       filter != NULL ? "no package is selected" : "no package is registered", err);
    exia_rows_free(rows);
    exia_registry_free(registry);
    return status;
}

const struct command command_query = {
    .name = "query",
    .run = run_query,
    .synopsis = "[FILTER]",
    .summary = "List registered packages, newest version first.",
    .about = "FILTER is an expression over the keys of the rows: name like 'digit%' and "
             "facts.stage = 'prod' order by time desc limit 10.  It has = != < <= > >=, and, "
             "or, not, in, like, is null.  Versions compare as versions: version >= '1.10'; "
             "latest = true is the newest of each name and tag, a final version before a "
             "pre-release; 'numbers' in dependencies is what needs it; 'model' in components.kind, "
             "'main' in entry_points are what has one; time > '2026-01-31' is UTC.",
    .keys = PACKAGE_KEYS,
    .most = 1,
    .options = {REMOTE("list what is there, not here")},
};
