/* install, uninstall, activate, prune: a package and all that it needs, and away again. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static exia_status install(struct call *call, exia_registry *registry,
                           const exia_install_options *options, exia_error *err)
{
    const char *package = call->count == 1 ? call->arguments[0] : NULL;
    char *directory = NULL;
    exia_status status =
        exia_registry_install(&directory, registry, package, call_option(call, OPTION_FROM),
                              options, job_begin(call), err);

    if (status == EXIA_OK)
        print_answer(
            call, json_pack("{s:s?, s:o}", "package", package, "directory", json_path(directory)),
            directory);
    exia_text_free(directory);
    return status;
}

/* What would be moved, and what is not taken though it is newer. */
static void say_plan(const struct call *call, const json_t *steps)
{
    json_t *step = NULL;
    size_t index = 0, count = 0;
    json_int_t bytes = 0;

    json_array_foreach(steps, index, step)
    {
        const char *from = json_string_value(json_object_get(step, "from"));
        const char *passed = json_string_value(json_object_get(step, "passed_over"));

        if (strcmp(from, "installed") != 0 && strcmp(from, "here") != 0) {
            bytes += json_integer_value(json_object_get(step, "size"));
            count++;
        }
        if (passed != NULL)
            say(call, "%s", passed);
    }
    if (count > 0) {
        json_t *sum = must(json_integer(bytes));
        char *size = value_text(sum, CELL_SIZE);

        say(call, "%zu of %zu would come from %s: %s, or less where parts of it are here", count,
            index, call_option(call, OPTION_FROM), size);
        free(size);
        json_decref(sum);
    } else {
        say(call, index > 0 ? "nothing would be fetched" : "there is nothing to install");
    }
}

static exia_status show_plan(struct call *call, exia_registry *registry,
                             const exia_install_options *options, exia_error *err)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT},    {"VERSION", "version", CELL_TEXT},
        {"PLATFORM", "tag", CELL_TEXT}, {"FROM", "from", CELL_TEXT},
        {"SIZE", "size", CELL_SIZE},    {NULL, NULL, CELL_TEXT}};
    const char *package = call->count == 1 ? call->arguments[0] : NULL;
    exia_rows *rows = NULL;
    json_t *steps = NULL, *step = NULL;
    size_t index = 0;
    exia_status status = exia_registry_plan(
        &rows, registry, package, call_option(call, OPTION_FROM), options, job_begin(call), err);

    if (status == EXIA_OK)
        status = rows_take(&steps, rows, err);
    json_array_foreach(steps, index, step)
    {
        if (call->json)
            print_json(step);
    }
    if (status == EXIA_OK && !call->json && index > 0)
        print_table(steps, columns);
    if (status == EXIA_OK)
        say_plan(call, steps);
    json_decref(steps);
    exia_rows_free(rows);
    return status;
}

static exia_status run_install(struct call *call, exia_error *err)
{
    const char *package = call->count == 1 ? call->arguments[0] : "",
               *ending = strrchr(package, '.');
    exia_registry *registry = NULL;
    exia_install_options options = {.struct_size = sizeof options,
                                    .upgrade = call_has(call, OPTION_UPGRADE),
                                    .lock = call_option(call, OPTION_LOCK),
                                    .locked = call_has(call, OPTION_LOCKED),
                                    .keep_current = call_has(call, OPTION_KEEP_CURRENT)};

    if (options.locked && options.lock == NULL)
        options.lock = "veda.lock";
    if (call->count == 0 && !options.locked)
        return misuse(call, err, "too few arguments: install %s", call->command->synopsis);
    if (options.locked && options.upgrade)
        return misuse(call, err, "--upgrade changes the lock file, and --locked forbids it");
    exia_status status = exia_registry_open(&registry, NULL, err);
    if (status == EXIA_OK)
        status = call_has(call, OPTION_DRY_RUN) ? show_plan(call, registry, &options, err)
                                                : install(call, registry, &options, err);
    if (status != EXIA_OK && ending != NULL && strcmp(ending, ".veda") == 0 &&
        access(package, F_OK) == 0)
        status =
            fail(err, status, "%s is a file: register it, then install what that prints", package);
    exia_registry_free(registry);
    return status;
}

const struct command command_install = {
    .name = "install",
    .run = run_install,
    .synopsis = "PACKAGE | --locked",
    .summary = "Install a package and all that it needs, or nothing.",
    .about = "Prints the directory where it lies.  Needs are met by what is installed, else by the "
             "newest versions that go together; pre-releases only where a need names one.  A lock "
             "file lists exactly what was taken: it is written when it is not there, and from then "
             "on obeyed.  With --locked and no PACKAGE all that it lists is installed, and the "
             "directory is where packages lie.  Versions lie side by side; the one that was asked "
             "for becomes current, "
             "that is what installed/NAME/current leads to and what is loaded when no version is "
             "named.",
    .keys = "package, directory; with --dry-run: name, version, tag, digest, from, size, "
            "passed_over",
    .most = 1,
    .options = {{OPTION_FROM, 0, "from", "REMOTE",
                 "pull what is missing here from there; ./DIR: a directory of packages", false},
                {OPTION_UPGRADE, 0, "upgrade", NULL, "take the newest of what it needs", false},
                {OPTION_LOCK, 0, "lock", "FILE", "obey this lock file, or write it", false},
                {OPTION_LOCKED, 0, "locked", NULL,
                 "take only what the lock file (else veda.lock) lists", false},
                {OPTION_KEEP_CURRENT, 0, "keep-current", NULL,
                 "another version that is current stays so", false},
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
    .about =
        "If it was current, the best that remains is: a final version before a pre-release, then "
        "the newest.",
    .keys = "package",
    .least = 1,
    .most = 1,
};

/* Which version is current now: a bare name does not tell. */
static exia_status say_current(const struct call *call, exia_registry *registry, exia_error *err)
{
    exia_rows *rows = NULL;
    json_t *installed = NULL, *row = NULL;
    size_t index = 0;
    exia_status status = exia_registry_installed(&rows, registry, call->arguments[0], err);

    if (status == EXIA_OK)
        status = rows_take(&installed, rows, err);
    json_array_foreach(installed, index, row)
    {
        if (json_is_true(json_object_get(row, "current")))
            say(call, "%s@%s#%s is current", json_string_value(json_object_get(row, "name")),
                json_string_value(json_object_get(row, "version")),
                json_string_value(json_object_get(row, "tag")));
    }
    json_decref(installed);
    exia_rows_free(rows);
    return status;
}

static exia_status run_activate(struct call *call, exia_error *err)
{
    const char *package = call->arguments[0];
    exia_registry *registry = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_activate(registry, package, call_option(call, OPTION_EXPECT), err);
    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s}", "package", package), NULL);
        status = say_current(call, registry, err);
    }
    exia_registry_free(registry);
    return status;
}

const struct command command_activate = {
    .name = "activate",
    .run = run_activate,
    .synopsis = "PACKAGE [--expect VERSION]",
    .summary = "Make an installed version the current one of its name.",
    .about = "One for another platform must be named with its tag.",
    .keys = "package",
    .least = 1,
    .most = 1,
    .options = {{OPTION_EXPECT, 0, "expect", "VERSION",
                 "only if this one is current now: 1.2, 1.2#any or none", false}},
};

static exia_status run_prune(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT}, {"VERSION", "version", CELL_TEXT},
        {"TAG", "tag", CELL_TEXT},   {"DIRECTORY", "directory", CELL_TEXT},
        {"WHY", "why", CELL_TEXT},   {0},
    };
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    json_t *gone = NULL, *row = NULL;
    size_t index = 0;
    const exia_prune_options options = {.struct_size = sizeof options,
                                        .apply = call_has(call, OPTION_APPLY)};
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_prune(&rows, registry, &options, job_begin(call), err);
    if (status == EXIA_OK)
        status = rows_take(&gone, rows, err);
    json_array_foreach(gone, index, row)
    {
        if (call->json)
            print_json(row);
    }
    if (status == EXIA_OK && !call->json && json_array_size(gone) > 0)
        print_table(gone, columns);
    if (status == EXIA_OK && json_array_size(gone) == 0)
        say(call, "everything is needed");
    else if (status == EXIA_OK && !options.apply)
        say(call, "nothing was changed: --apply does it");
    json_decref(gone);
    exia_rows_free(rows);
    exia_registry_free(registry);
    return status;
}

const struct command command_prune = {
    .name = "prune",
    .run = run_prune,
    .synopsis = "[--apply]",
    .summary = "Uninstall what only came along for packages that are gone, or only tell.",
    .about = "What processes left that died is cleared away, too, and files of packages that no "
             "record has named for a day.  Without --apply nothing is changed.",
    .keys = "name, version, tag, directory, why",
    .options = {{OPTION_APPLY, 0, "apply", NULL, "do it", false}},
};
