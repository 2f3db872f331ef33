/* install, uninstall: a package and all that it needs, and away again. */
#include "tool.h"

static exia_status run_install(struct call *call, exia_error *err)
{
    const char *package = call->arguments[0];
    char *directory = NULL;
    exia_registry *registry = NULL;
    exia_install_options options = {.struct_size = sizeof options,
                                    .upgrade = call_has(call, OPTION_UPGRADE)};
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status =
            exia_registry_install(&directory, registry, package, call_option(call, OPTION_FROM),
                                  &options, job_begin(call), err);
    if (status == EXIA_OK)
        print_answer(call,
                     json_pack("{s:s, s:o}", "package", package, "directory", json_path(directory)),
                     directory);
    exia_text_free(directory);
    exia_registry_free(registry);
    return status;
}

const struct command command_install = {
    .name = "install",
    .run = run_install,
    .synopsis = "PACKAGE",
    .summary = "Install a package and all that it needs, or nothing.",
    .about = "Prints the directory where it lies.",
    .keys = "package, directory",
    .least = 1,
    .most = 1,
    .options = {{OPTION_FROM, 0, "from", "REMOTE", "pull what is missing here from there", false},
                {OPTION_UPGRADE, 0, "upgrade", NULL, "take the newest of what it needs", false}},
};

static exia_status run_uninstall(struct call *call, exia_error *err)
{
    const char *package = call->arguments[0];
    exia_registry *registry = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_uninstall(registry, package, err);
    exia_registry_free(registry);
    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s}", "package", package), NULL);
        say(call, "%s is uninstalled", package);
    }
    return status;
}

const struct command command_uninstall = {
    .name = "uninstall",
    .run = run_uninstall,
    .synopsis = "PACKAGE",
    .summary = "Remove an installed package that no other one needs.",
    .keys = "package",
    .least = 1,
    .most = 1,
};
