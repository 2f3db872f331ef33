/* inspect: what a package file says of itself; only its index, metadata and record are read. */
#include <stdio.h>
#include <stdlib.h>

#include "options.h"
#include "tool.h"

static exia_status print_files(const struct call *call, const exia_package *package,
                               exia_error *err)
{
    static const struct column columns[] = {
        {"TYPE", "type", CELL_TEXT}, {"MODE", "mode", CELL_TEXT},     {"SIZE", "size", CELL_SIZE},
        {"PATH", "path", CELL_TEXT}, {"TARGET", "target", CELL_TEXT}, {0},
    };
    exia_rows *rows = NULL;
    exia_status status = exia_package_files(&rows, package, err);

    if (status == EXIA_OK)
        status = print_rows(call, rows, columns, "no files", err);
    exia_rows_free(rows);
    return status;
}

static void print_manifest(const json_t *facts, const json_t *signature)
{
    static const struct column columns[] = {
        {"KIND", "kind", CELL_TEXT}, {"COMPONENT", "path", CELL_TEXT}, {0}};
    const json_t *manifest = json_object_get(facts, "manifest");
    const json_t *components = json_object_get(manifest, "components");
    char *words = signature_words(signature);
    json_t *said = must(json_string(words));

    print_fact("name", json_object_get(manifest, "name"), CELL_TEXT);
    print_fact("version", json_object_get(manifest, "version"), CELL_TEXT);
    print_fact("platform", json_object_get(manifest, "platform"), CELL_TEXT);
    print_fact("description", json_object_get(manifest, "description"), CELL_TEXT);
    print_fact("digest", json_object_get(facts, "digest"), CELL_TEXT);
    print_fact("signature", said, CELL_TEXT);
    print_fact("members", json_object_get(facts, "members"), CELL_TEXT);
    print_fact("size", json_object_get(facts, "size"), CELL_SIZE);
    print_fact("compression", json_object_get(facts, "compression"), CELL_TEXT);
    print_fact("entry points", json_object_get(manifest, "entry_points"), CELL_TEXT);
    print_fact("dependencies", json_object_get(manifest, "dependencies"), CELL_TEXT);
    if (json_array_size(components) > 0) {
        putchar('\n');
        print_table(components, columns);
    }
    json_decref(said);
    free(words);
}

static exia_status run_inspect(struct call *call, exia_error *err)
{
    exia_package *package = NULL;
    json_t *facts = NULL;
    json_t *signature = NULL;
    char *identity = NULL;
    exia_status status = package_open(&package, &facts, call->arguments[0], err);

    if (status != EXIA_OK)
        goto done;
    if (call_has(call, OPTION_FILES)) {
        status = print_files(call, package, err);
        goto done;
    }
    status = package_signature(&signature, package, call, err);
    if (status != EXIA_OK)
        goto done;
    if (!call->json) {
        print_manifest(facts, signature);
        goto done;
    }
    identity = package_identity(facts);
    json_object_set_new(facts, "package", must(json_string(identity)));
    json_object_set(facts, "signature", signature);
    print_json(facts);

done:
    free(identity);
    json_decref(signature);
    json_decref(facts);
    exia_package_free(package);
    return status;
}

const struct command command_inspect = {
    .name = "inspect",
    .run = run_inspect,
    .synopsis = "FILE",
    .summary = "Show what a package is, without reading its payload.",
    .keys = "package, manifest, digest, signature; with --files: path, type, mode, size",
    .least = 1,
    .most = 1,
    .options = {{OPTION_FILES, 0, "files", NULL, "list its files", false}, TRUST},
};
