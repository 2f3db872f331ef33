/* register, unregister: make a package known, here or on a remote, and forget it again. */
#include <stdlib.h>

#include "options.h"
#include "tool.h"

static exia_status run_register(struct call *call, exia_error *err)
{
    const char *file = call->arguments[0];
    exia_registry *registry = NULL;
    json_t *facts = NULL;
    char *identity = NULL;
    exia_status status = package_open(NULL, &facts, file, err);

    if (status == EXIA_OK)
        status = exia_registry_open(&registry, NULL, err);
    if (status == EXIA_OK)
        status = exia_registry_register(registry, file, call_option(call, OPTION_REMOTE),
                                        job_begin(call), err);
    if (status == EXIA_OK) {
        identity = package_identity(facts);
        print_answer(call,
                     json_pack("{s:s, s:O}", "package", identity, "digest",
                               json_object_get(facts, "digest")),
                     identity);
    }
    free(identity);
    json_decref(facts);
    exia_registry_free(registry);
    return status;
}

const struct command command_register = {
    .name = "register",
    .run = run_register,
    .synopsis = "FILE",
    .summary = "Make a package known and keep its bytes.",
    .about = "Prints the package as NAME@VERSION#TAG.  The bytes are checked, kept, then recorded; "
             "doing it again is no error.",
    .keys = "package, digest",
    .least = 1,
    .most = 1,
    .options = {REMOTE("register it there, not here")},
};

static exia_status run_unregister(struct call *call, exia_error *err)
{
    const char *package = call->arguments[0];
    exia_registry *registry = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = exia_registry_unregister(registry, package, call_option(call, OPTION_REMOTE), err);
    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s}", "package", package), NULL);
        say(call, "%s is no longer registered", package);
    }
    exia_registry_free(registry);
    return status;
}

const struct command command_unregister = {
    .name = "unregister",
    .run = run_unregister,
    .synopsis = "NAME@VERSION[#TAG]",
    .summary = "Forget a registered package.",
    .about =
        "What is installed stays.  A remote keeps the file and the identity, as others may have "
        "it: there the same content may come back, and other content needs a new version.",
    .keys = "package",
    .least = 1,
    .most = 1,
    .options = {REMOTE("forget it there, not here")},
};
