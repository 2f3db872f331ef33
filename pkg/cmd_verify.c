/* verify: is every byte of a package as it was packed? */
#include <stdlib.h>

#include "tool.h"

exia_status run_verify(struct call *call, exia_error *err)
{
    const char *file = call->arguments[0];
    exia_verify_options options = {sizeof(options), call_has(call, OPTION_QUICK)};
    exia_package *package = NULL;
    json_t *facts = NULL;
    char *identity = NULL;
    exia_status status = package_open(&package, &facts, file, err);

    if (status == EXIA_OK)
        status = exia_package_verify(package, &options, job_begin(call), err);
    if (status == EXIA_OK) {
        identity = package_identity(facts);
        print_answer(call,
                     json_pack("{s:o, s:s, s:O}", "file", json_path(file), "package", identity,
                               "digest", json_object_get(facts, "digest")),
                     NULL);
        say(call, "%s is %s%s", file, identity,
            options.quick ? ", its record as packed" : ", every byte as packed");
    }
    free(identity);
    json_decref(facts);
    exia_package_free(package);
    return status;
}
