/* What several commands begin with: opening the library or a package file, and its identity. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

exia_status library_open(exia_library **out, const struct call *call, bool read_only,
                         exia_error *err)
{
    exia_library_options options = {
        .struct_size = sizeof(options),
        .blobs_url = call_option(call, OPTION_BLOBS),
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

exia_status package_open(exia_package **package, json_t **facts, const char *file, exia_error *err)
{
    exia_package *opened = NULL;
    json_t *parsed = NULL;
    json_error_t where;
    exia_status status = exia_package_open(&opened, file, err);

    if (status != EXIA_OK)
        return status;
    parsed = json_loads(exia_package_facts(opened), 0, &where);
    if (parsed == NULL) {
        exia_package_free(opened);
        return fail(err, EXIA_ECORRUPT, "the metadata of %s is not JSON: %s", file, where.text);
    }
    *facts = parsed;
    if (package != NULL)
        *package = opened;
    else
        exia_package_free(opened);
    return EXIA_OK;
}

static const char *fact(const json_t *facts, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(facts, "manifest"), key));

    return text != NULL ? text : "?";
}

char *package_identity(const json_t *facts)
{
    return format_text("%s@%s#%s", fact(facts, "name"), fact(facts, "version"),
                       fact(facts, "platform"));
}
