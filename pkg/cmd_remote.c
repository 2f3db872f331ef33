/* remote add, list, remove, check: the other places where packages are. */
#include <string.h>

#include "options.h"
#include "tool.h"

static exia_status find_remote(json_t **out, const char *name, exia_error *err)
{
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    json_t *remotes = NULL;
    json_t *remote = NULL;
    size_t index = 0;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_remotes(&rows, registry, err);
    if (status == EXIA_OK)
        status = rows_take(&remotes, rows, err);
    json_array_foreach(remotes, index, remote)
    {
        const char *text = json_string_value(json_object_get(remote, "name"));
        if (text != NULL && strcmp(text, name) == 0)
            *out = json_incref(remote);
    }
    if (status == EXIA_OK && *out == NULL)
        status =
            fail(err, EXIA_ENOTFOUND, "there is no remote '%s'; see: vedapkg remote list", name);
    json_decref(remotes);
    exia_rows_free(rows);
    exia_registry_free(registry);
    return status;
}

static exia_status run_remote_add(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    exia_registry *registry = NULL;
    json_t *remote = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_remote_add(registry, name, call_option(call, OPTION_RECORDS),
                                          call_option(call, OPTION_PACKAGES), err);
    exia_registry_free(registry);
    if (status == EXIA_OK && call->json)
        status = find_remote(&remote, name, err);
    if (status == EXIA_OK && call->json)
        print_json(remote);
    if (status == EXIA_OK)
        say(call, "remote %s is added", name);
    json_decref(remote);
    return status;
}

const struct command command_remote_add = {
    .name = "remote add",
    .run = run_remote_add,
    .synopsis = "NAME --records URL --packages URL",
    .summary = "Remember a remote: where its records and its packages are.",
    .about = "sqlite:FILE and file:DIR make any shared directory a remote.",
    .keys = "name, records, packages",
    .least = 1,
    .most = 1,
    .options =
        {
            {OPTION_RECORDS, 0, "records", "URL", "what there is, as in sqlite:/srv/exia.db", true},
            {OPTION_PACKAGES, 0, "packages", "URL", "the bytes, as in file:/srv/exia", true},
        },
};

static exia_status run_remote_list(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT},
        {"RECORDS", "records", CELL_TEXT},
        {"PACKAGES", "packages", CELL_TEXT},
        {0},
    };
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_remotes(&rows, registry, err);
    if (status == EXIA_OK)
        status = print_rows(call, rows, columns, "no remotes; see: vedapkg help remote add", err);
    exia_rows_free(rows);
    exia_registry_free(registry);
    return status;
}

const struct command command_remote_list = {
    .name = "remote list",
    .run = run_remote_list,
    .synopsis = "",
    .summary = "List the remotes; passwords are not shown.",
    .keys = "name, records, packages",
};

static exia_status run_remote_remove(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    exia_registry *registry = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_remote_remove(registry, name, err);
    exia_registry_free(registry);
    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s}", "name", name), NULL);
        say(call, "remote %s is forgotten", name);
    }
    return status;
}

const struct command command_remote_remove = {
    .name = "remote remove",
    .run = run_remote_remove,
    .synopsis = "NAME",
    .summary = "Forget a remote; what is there stays.",
    .keys = "name",
    .least = 1,
    .most = 1,
};

static exia_status run_remote_check(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"STORE", "store", CELL_TEXT},
        {"KEY", "key", CELL_TEXT},
        {"VALUE", "value", CELL_TEXT},
        {0},
    };
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = call_has(call, OPTION_TRY)
                     ? exia_registry_remote_try(&rows, registry, call->arguments[0],
                                                job_begin(call), err)
                     : exia_registry_remote_check(&rows, registry, call->arguments[0], err);
    if (status == EXIA_OK)
        status = print_rows(call, rows, columns, "", err);
    exia_rows_free(rows);
    exia_registry_free(registry);
    return status;
}

const struct command command_remote_check = {
    .name = "remote check",
    .run = run_remote_check,
    .synopsis = "NAME [--try]",
    .summary = "Open both sides of a remote and say what is there.",
    .about = "To try it is to store 12 MiB among the packages, to read, list, touch and copy them "
             "there, and "
             "to remove them again: whether that may be done, how long it takes, and whether of a "
             "new version a push sends only what changed.",
    .keys = "store, key, value",
    .least = 1,
    .most = 1,
    .options = {{OPTION_TRY, 0, "try", NULL, "store, read, copy and remove 12 MiB there", false}},
};
