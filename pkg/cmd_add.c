/* add: copy components into a workspace and name its entry points, one after the other; each one whole
 * or not at all. */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* What the library put last into the manifest is what it just added. */
static exia_status print_component(const struct call *call, const char *directory, exia_error *err)
{
    char *file = format_text("%s/veda.json", directory);
    json_error_t where;
    json_t *manifest = json_load_file(file, 0, &where);
    const json_t *components = json_object_get(manifest, "components");
    json_t *last = json_array_get(components, json_array_size(components) - 1);
    exia_status status = EXIA_OK;

    if (json_is_object(last))
        print_answer(call, json_incref(last), json_string_value(json_object_get(last, "path")));
    else
        status = fail(err, EXIA_EIO, "%s: no component in it any more", file);
    json_decref(manifest);
    free(file);
    return status;
}

/* NAME=MODULE:OBJECT */
static exia_status add_entry(struct call *call, const char *directory, const char *text,
                             exia_error *err)
{
    const char *equals = strchr(text, '=');
    char *name = NULL;
    exia_status status = EXIA_OK;

    if (equals == NULL)
        return misuse(call, err, "--entry needs NAME=MODULE:OBJECT, not '%s'", text);
    name = format_text("%.*s", (int)(equals - text), text);
    status = exia_workspace_add_entry(directory, name, equals + 1, err);
    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s, s:s}", "entry", name, "object", equals + 1), NULL);
        say(call, "the entry point %s is %s", name, equals + 1);
    }
    free(name);
    return status;
}

static exia_status add_component(struct call *call, const char *directory, const char *path,
                                 exia_error *err)
{
    const char *kind = call_option(call, OPTION_AS);
    exia_status status =
        call_has(call, OPTION_UNPACK)
            ? exia_workspace_add_archive(directory, path, kind, job_begin(call), err)
            : exia_workspace_add(directory, path, kind, NULL, err);

    return status == EXIA_OK ? print_component(call, directory, err) : status;
}

static exia_status run_add(struct call *call, exia_error *err)
{
    const char *directory = call_option(call, OPTION_DIRECTORY);
    exia_status status = EXIA_OK;

    if (directory == NULL)
        directory = ".";
    if (call->count == 0 && !call_has(call, OPTION_ENTRY))
        return misuse(call, err, "give a PATH or an --entry");
    for (int i = 0; status == EXIA_OK && i < call->count; i++)
        status = add_component(call, directory, call->arguments[i], err);
    for (int i = 0; status == EXIA_OK && i < call->given_count; i++) {
        if (call->given[i].key == OPTION_ENTRY)
            status = add_entry(call, directory, call->given[i].value, err);
    }
    return status;
}

const struct command command_add = {
    .name = "add",
    .run = run_add,
    .synopsis = "[PATH...] [--entry NAME=MODULE:OBJECT]",
    .summary = "Copy files or directories into the workspace as components.",
    .about = "Each PATH goes to KIND/BASENAME and is listed in veda.json.  With --as model a "
             "PATH that reads NAME@SELECTOR comes out of the model library.  An entry point "
             "is what a user of the package calls.  With --unpack a PATH is a .tar, .tar.gz, "
             ".tar.zst or .zip: its files go to KIND/NAME, and one that is absolute, leads out, "
             "or is no file, directory or link is refused.",
    .keys = "path, kind; with --entry: entry, object",
    .most = -1,
    .options =
        {
            {OPTION_AS, 0, "as", "KIND", "code, model, data, env or doc; else guessed", false},
            {OPTION_DIRECTORY, 'C', "directory", "DIR",
             "the workspace (else the current "
             "directory)",
             false},
            {OPTION_ENTRY, 0, "entry", "NAME=MODULE:OBJECT", "name an entry point; may be repeated",
             false},
            {OPTION_UNPACK, 0, "unpack", NULL, "each PATH is an archive: add what is in it", false},
        },
};
