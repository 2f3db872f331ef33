/* which: the installed package that a path belongs to. */
#include "tool.h"

exia_status run_which(struct call *call, exia_error *err)
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
