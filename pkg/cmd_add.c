/* add: copy components into a workspace, one after the other; each one whole or not at all. */
#include <stdlib.h>

#include "tool.h"

/* What the library put last into the manifest is what it just added. */
static exia_status print_component(const struct call *call, const char *directory, exia_error *err)
{
    char *file = format_text("%s/veda.json", directory);
    json_error_t where;
    json_t *manifest = json_load_file(file, 0, &where);
    const json_t *components = json_object_get(manifest, "components");
    json_t *last = json_array_get(components, json_array_size(components) - 1);
    exia_status status = EXIA_OK;

    if (json_is_object(last))
        print_answer(call, json_incref(last), json_string_value(json_object_get(last, "path")));
    else
        status = fail(err, EXIA_EIO, "%s: no component in it any more", file);
    json_decref(manifest);
    free(file);
    return status;
}

exia_status run_add(struct call *call, exia_error *err)
{
    const char *directory = call_option(call, OPTION_DIRECTORY);
    exia_status status = EXIA_OK;

    if (directory == NULL)
        directory = ".";
    for (int i = 0; status == EXIA_OK && i < call->count; i++) {
        status = exia_workspace_add(directory, call->arguments[i], call_option(call, OPTION_AS),
                                    NULL, err);
        if (status == EXIA_OK)
            status = print_component(call, directory, err);
    }
    return status;
}
