/* What several commands do: open the library or a package file, say what this is and who signed it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

exia_status library_open(exia_library **out, const struct call *call, bool read_only,
                         exia_error *err)
{
    exia_library_options options = {
        .struct_size = sizeof(options),
        .blobs_url = call_option(call, OPTION_BLOBS),
        .trust_file = call_option(call, OPTION_TRUST),
        .read_only = read_only,
    };

    exia_status status = exia_library_open(out, call_option(call, OPTION_LIBRARY), &options, err);

    if (status == EXIA_ENOTFOUND && err->native == ENOENT) {
        exia_error found = *err;
        fail(err, status, "%s; see: vedapkg help model put", found.text);
        err->native = found.native;
    }
    return status;
}

exia_status package_facts(json_t **facts, const exia_package *package, const char *file,
                          exia_error *err)
{
    json_error_t where;

    *facts = json_loads(exia_package_facts(package), 0, &where);
    return *facts != NULL
               ? EXIA_OK
               : fail(err, EXIA_ECORRUPT, "the metadata of %s is not JSON: %s", file, where.text);
}

exia_status package_open(exia_package **package, json_t **facts, const char *file, exia_error *err)
{
    exia_package *opened = NULL;
    exia_status status = exia_package_open(&opened, file, err);

    if (status == EXIA_OK)
        status = package_facts(facts, opened, file, err);
    if (status == EXIA_OK && package != NULL) {
        *package = opened;
        opened = NULL;
    }
    exia_package_free(opened);
    return status;
}

exia_status package_receive(exia_package **package, const char *directory, struct call *call,
                            exia_error *err)
{
    exia_receive_options options = {
        .struct_size = sizeof(options),
        .name = "standard input",
        .require_signature = call_has(call, OPTION_REQUIRE_SIGNATURE),
        .trust_file = call_option(call, OPTION_TRUST),
        .unsynced = call_has(call, OPTION_NO_SYNC),
    };

    if (isatty(STDIN_FILENO))
        return misuse(call, err, "'-' is standard input, and that is a terminal");
    job_begin(call);
    call->job.timeout_ms = INT64_MAX; /* whoever writes may take his time */
    return exia_package_receive(package, STDIN_FILENO, directory, &options, &call->job, err);
}

/* All that a manifest may lack of these is its platform. */
static const char *fact(const json_t *facts, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(facts, "manifest"), key));

    return text != NULL ? text : "any";
}

char *package_identity(const json_t *facts)
{
    return format_text("%s@%s#%s", fact(facts, "name"), fact(facts, "version"),
                       fact(facts, "platform"));
}

exia_status package_signature(json_t **out, const exia_package *package, const struct call *call,
                              exia_error *err)
{
    exia_rows *rows = NULL;
    json_t *all = NULL;
    exia_status status =
        exia_package_signatures(&rows, package, call_option(call, OPTION_TRUST), err);

    if (status == EXIA_OK)
        status = rows_take(&all, rows, err);
    if (status == EXIA_OK)
        *out = json_array_size(all) > 0 ? json_incref(json_array_get(all, 0)) : json_null();
    json_decref(all);
    exia_rows_free(rows);
    return status;
}

char *signature_words(const json_t *signature)
{
    const char *state = json_string_value(json_object_get(signature, "state"));
    const char *key = json_string_value(json_object_get(signature, "key"));
    const char *by = json_string_value(json_object_get(signature, "by"));
    const char *why = json_string_value(json_object_get(signature, "why"));

    if (state == NULL)
        return format_text("not signed");
    if (by == NULL)
        return format_text("signed by the key %s, which is not trusted", key);
    if (strcmp(state, "revoked") == 0)
        return format_text("signed by %s, but the key %s was revoked%s%s", by, key,
                           why != NULL ? ": " : "", why != NULL ? why : "");
    if (strcmp(state, "bad") == 0)
        return format_text("not what %s signed (key %s)", by, key);
    return format_text("signed by %s (key %s): %s", by, key,
                       json_string_value(json_object_get(signature, "comment")));
}
