/* unpack: a package's files into a directory. */
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "tool.h"

/* "DIR/x-1.0-any.veda" is unpacked into "x-1.0-any"; NULL: the file is not named so. */
static char *default_directory(const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *name = slash != NULL ? slash + 1 : file;
    size_t length = strlen(name);

    if (length <= strlen(".veda") || strcmp(name + length - strlen(".veda"), ".veda") != 0)
        return NULL;
    return format_text("%.*s", (int)(length - strlen(".veda")), name);
}

static exia_status unpack(struct call *call, const char *directory, exia_error *err)
{
    const char *file = call->arguments[0];
    exia_unpack_options options = {
        .struct_size = sizeof(options),
        .pattern = call_option(call, OPTION_PATTERN),
        .component = call_option(call, OPTION_COMPONENT),
        .unsynced = call_has(call, OPTION_NO_SYNC),
        .require_signature = call_has(call, OPTION_REQUIRE_SIGNATURE),
        .trust_file = call_option(call, OPTION_TRUST),
    };
    exia_package *package = NULL;
    exia_status status = EXIA_OK;

    if (strcmp(file, "-") == 0)
        return options.pattern != NULL || options.component != NULL
                   ? misuse(call, err, "a stream is unpacked whole: no --pattern, no --component")
                   : package_receive(NULL, directory, call, err);
    status = exia_package_open(&package, file, err);
    if (status == EXIA_OK)
        status = exia_package_unpack(package, directory, &options, job_begin(call), err);
    exia_package_free(package);
    return status;
}

static exia_status run_unpack(struct call *call, exia_error *err)
{
    const char *file = call->arguments[0];
    char *directory =
        call->count == 2 ? format_text("%s", call->arguments[1]) : default_directory(file);
    exia_status status = EXIA_OK;

    if (directory == NULL || *directory == '\0')
        status = misuse(call, err, "'%s' does not end in .veda: say where to, as DIR", file);
    else
        status = unpack(call, directory, err);
    if (status == EXIA_OK)
        print_answer(
            call,
            json_pack("{s:o, s:o}", "file", json_path(file), "directory", json_path(directory)),
            directory);
    free(directory);
    return status;
}

const struct command command_unpack = {
    .name = "unpack",
    .run = run_unpack,
    .synopsis = "FILE [DIR]",
    .summary = "Unpack a package into a new directory, verifying it.",
    .about = "Prints the directory: DIR, else FILE without .veda in the current one.  It is "
             "filled whole or not at all.  FILE - is standard input, unpacked as it comes and "
             "shown when all of it is verified.",
    .keys = "file, directory",
    .least = 1,
    .most = 2,
    .options = {{OPTION_PATTERN, 0, "pattern", "P",
                 "only what matches P, as in model/*, or lies below a match", false},
                {OPTION_COMPONENT, 0, "component", "PATH",
                 "only this component, by its path as inspect shows it", false},
                {OPTION_NO_SYNC, 0, "no-sync", NULL,
                 "do not wait for the disk: a crash of the system may lose it", false},
                REQUIRE_SIGNATURE,
                TRUST},
};
