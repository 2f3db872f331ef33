/* install, uninstall: a package and all that it needs, and away again. */
#include "tool.h"

static exia_status install(struct call *call, exia_registry *registry,
                           const exia_install_options *options, exia_error *err)
{
    const char *package = call->arguments[0];
    char *directory = NULL;
    exia_status status =
        exia_registry_install(&directory, registry, package, call_option(call, OPTION_FROM),
                              options, job_begin(call), err);

    if (status == EXIA_OK)
        print_answer(call,
                     json_pack("{s:s, s:o}", "package", package, "directory", json_path(directory)),
                     directory);
    exia_text_free(directory);
    return status;
}

static exia_status show_plan(struct call *call, exia_registry *registry,
                             const exia_install_options *options, exia_error *err)
{
    static const struct column columns[] = {{"NAME", "name", CELL_TEXT},
                                            {"VERSION", "version", CELL_TEXT},
                                            {"PLATFORM", "tag", CELL_TEXT},
                                            {"FROM", "from", CELL_TEXT},
                                            {NULL, NULL, CELL_TEXT}};
    exia_rows *rows = NULL;
    exia_status status =
        exia_registry_plan(&rows, registry, call->arguments[0], call_option(call, OPTION_FROM),
                           options, job_begin(call), err);

    if (status == EXIA_OK)
        status = print_rows(call, rows, columns, "nothing", err);
    exia_rows_free(rows);
    return status;
}

static exia_status run_install(struct call *call, exia_error *err)
{
    exia_registry *registry = NULL;
    exia_install_options options = {.struct_size = sizeof options,
                                    .upgrade = call_has(call, OPTION_UPGRADE),
                                    .lock = call_option(call, OPTION_LOCK),
                                    .locked = call_has(call, OPTION_LOCKED)};

    if (options.locked && options.lock == NULL)
        return misuse(call, err, "--locked needs --lock FILE");
    if (options.locked && options.upgrade)
        return misuse(call, err, "--upgrade changes the lock file, and --locked forbids it");
    exia_status status = exia_registry_open(&registry, NULL, err);
    if (status == EXIA_OK)
        status = call_has(call, OPTION_DRY_RUN) ? show_plan(call, registry, &options, err)
                                                : install(call, registry, &options, err);
    exia_registry_free(registry);
    return status;
}

const struct command command_install = {
    .name = "install",
    .run = run_install,
    .synopsis = "PACKAGE",
    .summary = "Install a package and all that it needs, or nothing.",
    .about = "Prints the directory where it lies.  Needs are met by what is installed, else by the "
             "newest versions that go together; pre-releases only where a need names one.  A lock "
             "file lists exactly what was taken: it is written when it is not there, and from then "
             "on obeyed.",
    .keys = "package, directory; with --dry-run: name, version, tag, digest, from",
    .least = 1,
    .most = 1,
    .options = {{OPTION_FROM, 0, "from", "REMOTE",
                 "pull what is missing here from there; ./DIR: a directory of packages", false},
                {OPTION_UPGRADE, 0, "upgrade", NULL, "take the newest of what it needs", false},
                {OPTION_LOCK, 0, "lock", "FILE", "obey this lock file, or write it", false},
                {OPTION_LOCKED, 0, "locked", NULL, "take only what the lock file lists", false},
                {OPTION_DRY_RUN, 0, "dry-run", NULL, "only say what would be done", false}},
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
