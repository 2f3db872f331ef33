/* export, import, have: packages with all that they need in one file, for a site without a network. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "tool.h"

enum { LIST_MOST = 64 << 20 };

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT}, {"VERSION", "version", CELL_TEXT}, {"TAG", "tag", CELL_TEXT},
    {"SIZE", "size", CELL_SIZE}, {"STATE", "state", CELL_TEXT},     {0},
};

/* All of a list, to be freed; "-" is stdin. */
static exia_status read_list(char **out, const char *path, exia_error *err)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char *text = NULL;
    size_t size = 0, room = 0, got = 0;
    exia_status status = EXIA_OK;

    if (file == NULL)
        return fail_errno(err, "cannot read", path);
    do {
        if (size + BUFSIZ >= room)
            text = must(realloc(text, room = 2 * (room + BUFSIZ)));
        got = fread(text + size, 1, BUFSIZ, file);
        size += got;
    } while (got > 0 && size <= LIST_MOST);
    text[size] = '\0';
    if (ferror(file))
        status = fail_errno(err, "cannot read", path);
    else if (size > LIST_MOST)
        status = fail(err, EXIA_EINVAL, "%s has more than 64 MiB", path);
    else if (strlen(text) != size)
        status = fail(err, EXIA_EINVAL, "%s is no list of packages", path);
    if (file != stdin)
        fclose(file);
    if (status == EXIA_OK)
        *out = text;
    else
        free(text);
    return status;
}

static exia_status run_export(struct call *call, exia_error *err)
{
    const char *file = call_option(call, OPTION_OUTPUT), *have = call_option(call, OPTION_HAVE);
    exia_export_options options = {.struct_size = sizeof(options),
                                   .remote = call_option(call, OPTION_FROM),
                                   .only = call_has(call, OPTION_NO_DEPS)};
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    const char **platforms = must(calloc((size_t)call->given_count, sizeof *platforms));
    char *list = NULL;
    exia_status status = EXIA_OK;

    for (int i = 0; i < call->given_count; i++) {
        if (call->given[i].key == OPTION_PLATFORM)
            platforms[options.platform_count++] = call->given[i].value;
    }
    options.platforms = platforms;
    if (*file == '\0' || strcmp(file, "-") == 0)
        status = misuse(call, err,
                        "-o needs a file, not '%s': a bundle appears whole or not at all", file);
    if (status == EXIA_OK && have != NULL)
        status = read_list(&list, have, err);
    options.have = list;
    if (status == EXIA_OK)
        status = exia_registry_open(&registry, NULL, err);
    if (status == EXIA_OK)
        status = exia_registry_export(&rows, registry, (const char *const *)call->arguments,
                                      (size_t)call->count, file, &options, job_begin(call), err);
    if (status == EXIA_OK)
        status = print_rows(call, rows, columns, "", err);
    if (status == EXIA_OK)
        say(call, "%s is written", file);
    exia_rows_free(rows);
    exia_registry_free(registry);
    free(platforms);
    free(list);
    return status;
}

const struct command command_export = {
    .name = "export",
    .run = run_export,
    .synopsis = "PACKAGE... -o FILE",
    .summary = "Write packages and all that they need as one file.",
    .about =
        "For a site without a network, where vedapkg import takes it.  FILE is a plain tar of the "
        "packages behind a list of them, and appears whole or not at all.  With --have it lacks "
        "what the other side has, as vedapkg have says there.  A package that is named with its "
        "tag goes with what it needs on that platform.",
    .keys = "name, version, tag, digest, file, size, state",
    .least = 1,
    .most = -1,
    .options =
        {
            {OPTION_OUTPUT, 'o', "output", "FILE", "write this file", true},
            {OPTION_HAVE, 0, "have", "LIST", "leave out what is in the list (-: stdin)", false},
            {OPTION_FROM, 0, "from", "REMOTE", "pull what is missing here from there", false},
            {OPTION_PLATFORM, 0, "platform", "TAG",
             "for this platform, as linux_aarch64, not for ours; may be repeated", false},
            {OPTION_NO_DEPS, 0, "no-deps", NULL, "these packages alone, not what they need", false},
        },
};

static exia_status run_import(struct call *call, exia_error *err)
{
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_import(&rows, registry, call->arguments[0], job_begin(call), err);
    if (status == EXIA_OK)
        status = print_rows(call, rows, columns, "the bundle has no packages", err);
    exia_rows_free(rows);
    exia_registry_free(registry);
    return status;
}

const struct command command_import = {
    .name = "import",
    .run = run_import,
    .synopsis = "FILE",
    .summary = "Register all packages of a bundle.",
    .about =
        "All are verified before the first is registered, and what is here is skipped: after an "
        "interruption, do it again.  vedapkg install then needs no network.",
    .keys = "name, version, tag, digest, file, size, state",
    .least = 1,
    .most = 1,
};

static exia_status run_have(struct call *call, exia_error *err)
{
    exia_registry *registry = NULL;
    char *list = NULL, *rest = NULL, *line = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_have(&list, registry, call_option(call, OPTION_REMOTE),
                                    job_begin(call), err);
    if (status == EXIA_OK)
        rest = list;
    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        size_t size = strcspn(line, " ");
        json_t *answer = must(json_object());

        json_object_set_new(answer, "package", json_stringn(line, size));
        json_object_set_new(answer, "digest", json_string(line + size + 1));
        print_answer(call, answer, line);
    }
    exia_text_free(list);
    exia_registry_free(registry);
    return status;
}

const struct command command_have = {
    .name = "have",
    .run = run_have,
    .synopsis = "",
    .summary = "List what is registered, for vedapkg export --have.",
    .about = "A line NAME@VERSION#TAG DIGEST for each package.",
    .keys = "package, digest",
    .options = {REMOTE("list what is there, not here")},
};
