/* new: start a workspace. */
#include "tool.h"

static exia_status run_new(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    const char *directory = call->count == 2 ? call->arguments[1] : name;
    exia_status status = exia_workspace_new(directory, name, err);

    if (status != EXIA_OK)
        return status;
    print_answer(call, json_pack("{s:s, s:o}", "name", name, "directory", json_path(directory)),
                 directory);
    say(call, "next: vedapkg add PATH... -C %s", directory);
    return EXIA_OK;
}

const struct command command_new = {
    .name = "new",
    .run = run_new,
    .synopsis = "NAME [DIR]",
    .summary = "Start a workspace: a directory with a veda.json.",
    .about = "Prints the directory: DIR, or NAME in the current one.",
    .keys = "name, directory",
    .least = 1,
    .most = 2,
};
