/* init: make a home ready.  Opening the registry and the library is what creates them. */
#include <stdlib.h>

#include "tool.h"

static exia_status run_init(struct call *call, exia_error *err)
{
    exia_registry *registry = NULL;
    exia_library *library = NULL;
    const char *home = NULL;
    exia_status status = EXIA_OK;

    if (call->count == 1 && call_has(call, OPTION_HOME))
        return misuse(call, err, "DIR and --home are the same thing: give one of them");
    if (call->count == 1 && *call->arguments[0] == '\0')
        return misuse(call, err, "DIR is empty");
    if (call->count == 1 && setenv("EXIA_HOME", call->arguments[0], 1) != 0)
        return fail_errno(err, "cannot set", "EXIA_HOME");
    status = exia_registry_open(&registry, NULL, err);
    if (status != EXIA_OK)
        goto done;
    status = exia_library_open(&library, NULL, NULL, err);
    if (status != EXIA_OK)
        goto done;
    home = exia_registry_home(registry);
    print_answer(call, json_pack("{s:o}", "home", json_path(home)), home);
    if (call->count == 1)
        say(call, "to use it: export EXIA_HOME=%s", home);

done:
    exia_library_free(library);
    exia_registry_free(registry);
    return status;
}

const struct command command_init = {
    .name = "init",
    .run = run_init,
    .synopsis = "[DIR]",
    .summary = "Make a home ready: its registry and its model library.",
    .about = "Prints the directory.  DIR is the same as --home DIR.  Running it again changes "
             "nothing; every other command does it by itself when it must.",
    .keys = "home",
    .most = 1,
};
