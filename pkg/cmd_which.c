/* which: the installed package that a path belongs to. */
#include "tool.h"

static exia_status run_which(struct call *call, exia_error *err)
{
    const char *path = call->arguments[0];
    char *package = NULL;
    exia_registry *registry = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_which(&package, registry, path, err);
    if (status == EXIA_OK)
        print_answer(call, json_pack("{s:o, s:s}", "path", json_path(path), "package", package),
                     package);
    exia_text_free(package);
    exia_registry_free(registry);
    return status;
}

const struct command command_which = {
    .name = "which",
    .run = run_which,
    .synopsis = "PATH",
    .summary = "Say which installed package a path belongs to.",
    .keys = "path, package",
    .least = 1,
    .most = 1,
};
