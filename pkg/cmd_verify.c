/* verify: is every byte of a package as it was packed, and who signed it? */
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "tool.h"

static exia_status verify(exia_package **package, struct call *call, exia_error *err)
{
    const char *file = call->arguments[0];
    exia_verify_options options = {
        .struct_size = sizeof(options),
        .quick = call_has(call, OPTION_QUICK),
        .require_signature = call_has(call, OPTION_REQUIRE_SIGNATURE),
        .trust_file = call_option(call, OPTION_TRUST),
        .path = call->count == 2 ? call->arguments[1] : NULL,
    };
    exia_status status = EXIA_OK;

    if (strcmp(file, "-") == 0)
        return options.quick || options.path != NULL
                   ? misuse(call, err, "a stream is verified whole: no PATH, no --quick")
                   : package_receive(package, NULL, call, err);
    status = exia_package_open(package, file, err);
    if (status == EXIA_OK)
        status = exia_package_verify(*package, &options, job_begin(call), err);
    return status;
}

static exia_status run_verify(struct call *call, exia_error *err)
{
    const char *file = call->arguments[0];
    exia_package *package = NULL;
    json_t *facts = NULL;
    json_t *signature = NULL;
    char *identity = NULL;
    char *words = NULL;
    exia_status status = verify(&package, call, err);

    if (status == EXIA_OK)
        status = package_facts(&facts, package, file, err);
    if (status == EXIA_OK)
        status = package_signature(&signature, package, call, err);
    if (status == EXIA_OK) {
        identity = package_identity(facts);
        words = signature_words(signature);
        print_answer(call,
                     json_pack("{s:o, s:s, s:O, s:O}", "file", json_path(file), "package", identity,
                               "digest", json_object_get(facts, "digest"), "signature", signature),
                     NULL);
        say(call, "%s is %s, %s as packed; %s", file, identity,
            call_has(call, OPTION_QUICK) ? "its record"
            : call->count == 2           ? call->arguments[1]
                                         : "every byte",
            words);
    }
    free(words);
    free(identity);
    json_decref(signature);
    json_decref(facts);
    exia_package_free(package);
    return status;
}

const struct command command_verify = {
    .name = "verify",
    .run = run_verify,
    .synopsis = "FILE [PATH]",
    .summary = "Read a whole package and compare it with its record.",
    .about = "Exit 0 means that every file in it is as it was packed; with PATH, a file or a "
             "directory in it, that this is, and the rest is not read.  FILE - is standard "
             "input, read in order to its end.  A signature is told; a "
             "trusted one is required with --require-signature, or where trust.json has "
             "\"require_signature\": true.",
    .keys = "file, package, digest, signature",
    .least = 1,
    .most = 2,
    .options =
        {
            {OPTION_QUICK, 0, "quick", NULL,
             "only the index, the metadata, the record and the signature", false},
            REQUIRE_SIGNATURE,
            TRUST,
        },
};
