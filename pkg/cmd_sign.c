/* sign, model sign: a package or a version gets a signature.  A secret key that turns out to be
 * encrypted asks for its password where somebody is there to give it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "tool.h"

enum { SIGNATURE_MOST = 16 << 10 };

exia_status sign_asking(struct call *call, exia_sign_options *options, sign_fn *sign, void *what,
                        exia_error *err)
{
    struct password password = {{0}};
    exia_status status = EXIA_OK;

    options->secret_file = call_option(call, OPTION_KEY);
    options->comment = call_option(call, OPTION_COMMENT);
    if (call_has(call, OPTION_PASSWORD_STDIN)) {
        status = password_read(&password, call, err);
        options->password = password.text;
    }
    if (status == EXIA_OK)
        status = sign(what, options, err);
    if (status == EXIA_EDENIED && err->native == ENOKEY && options->password == NULL) {
        if (password_can_ask()) {
            status = password_read(&password, call, err);
            options->password = password.text;
            if (status == EXIA_OK)
                status = sign(what, options, err);
        } else {
            status = fail(err, EXIA_EDENIED,
                          "the secret key is encrypted; give its password by --password-stdin");
        }
    }
    password_wipe(&password);
    return status;
}

/* The text of a signature that was made elsewhere. */
static exia_status signature_read(char **out, const char *path, exia_error *err)
{
    char text[SIGNATURE_MOST + 1];
    size_t size = 0;
    bool failed = false;
    FILE *file = fopen(path, "r");

    if (file == NULL)
        return fail_errno(err, "cannot read", path);
    size = fread(text, 1, sizeof(text), file);
    failed = ferror(file) != 0;
    fclose(file);
    if (failed)
        return fail_errno(err, "cannot read", path);
    if (size > SIGNATURE_MOST || memchr(text, '\0', size) != NULL)
        return fail(err, EXIA_EINVAL, "%s is no signature in minisign's format", path);
    *out = format_text("%.*s", (int)size, text);
    return EXIA_OK;
}

static exia_status sign_package(void *what, const exia_sign_options *options, exia_error *err)
{
    struct call *call = what;

    return exia_package_sign(call->arguments[0], call_option(call, OPTION_OUTPUT), options,
                             call_option(call, OPTION_TRUST), job_begin(call), err);
}

static exia_status run_sign(struct call *call, exia_error *err)
{
    exia_sign_options options = {.struct_size = sizeof(options)};
    const char *signature = call_option(call, OPTION_SIGNATURE);
    const char *output = call_option(call, OPTION_OUTPUT);
    const char *written = output != NULL ? output : call->arguments[0];
    char *text = NULL;
    json_t *made = NULL;
    exia_package *package = NULL;
    exia_status status = EXIA_OK;

    if (signature != NULL)
        status = signature_read(&text, signature, err);
    options.signature = text;
    if (status == EXIA_OK)
        status = sign_asking(call, &options, sign_package, call, err);
    if (status == EXIA_OK)
        status = exia_package_open(&package, written, err);
    if (status == EXIA_OK)
        status = package_signature(&made, package, call, err);
    if (status == EXIA_OK)
        print_answer(call, json_pack("{s:o, s:O}", "file", json_path(written), "signature", made),
                     written);
    json_decref(made);
    free(text);
    exia_package_free(package);
    return status;
}

const struct command command_sign = {
    .name = "sign",
    .run = run_sign,
    .synopsis = "FILE [--key FILE]",
    .summary = "Sign a package, so that others know it is yours.",
    .about = "Prints the file.  All of it is verified first.  The signature goes to its end, in "
             "place of one that is there; the digest stays.  An encrypted key asks for its "
             "password on a terminal.",
    .keys = "file, signature",
    .least = 1,
    .most = 1,
    .options =
        {
            KEY,
            PASSWORD,
            COMMENT,
            {OPTION_SIGNATURE, 0, "signature", "FILE",
             "take this one, which minisign made of VEDA/METADATA.json, by a trusted key", false},
            TRUST,
            {OPTION_OUTPUT, 'o', "output", "FILE", "write here, and leave FILE as it is", false},
        },
};

struct version {
    exia_library *library;
    char *selector;
};

static exia_status sign_version(void *what, const exia_sign_options *options, exia_error *err)
{
    const struct version *version = what;

    return exia_model_sign(version->library, version->selector, options, err);
}

static exia_status run_model_sign(struct call *call, exia_error *err)
{
    struct version version = {0};
    exia_sign_options options = {.struct_size = sizeof(options),
                                 .message = call_option(call, OPTION_MESSAGE)};
    exia_model *model = NULL;
    json_t *facts = NULL;
    const char *name = NULL;
    json_int_t number = 0;
    exia_status status = library_open(&version.library, call, false, err);

    if (status == EXIA_OK)
        status = exia_model_open(&model, version.library, call->arguments[0], 0, err);
    if (status != EXIA_OK)
        goto done;
    facts = must(json_loads(exia_model_facts(model), 0, NULL));
    if (json_unpack(facts, "{s:s, s:I}", "name", &name, "version", &number) != 0) {
        status = fail(err, EXIA_ECORRUPT, "the facts of %s have no name", call->arguments[0]);
        goto done;
    }
    version.selector = format_text("%s@%lld", name, (long long)number); /* latest when asked */
    status = sign_asking(call, &options, sign_version, &version, err);
    if (status == EXIA_OK)
        print_answer(call, json_pack("{s:s, s:I}", "name", name, "version", number),
                     version.selector);

done:
    free(version.selector);
    json_decref(facts);
    exia_model_free(model);
    exia_library_free(version.library);
    return status;
}

const struct command command_model_sign = {
    .name = "model sign",
    .run = run_model_sign,
    .synopsis = "SELECTOR [--key FILE]",
    .summary = "Sign a version, so that it is trusted where your key is.",
    .about = "Prints NAME@VERSION.  Every part is compared with its digest first.  An "
             "encrypted key asks for its password on a terminal.",
    .keys = "name, version",
    .least = 1,
    .most = 1,
    .options =
        {
            KEY,
            PASSWORD,
            COMMENT,
            MESSAGE,
            LIBRARY,
        },
};
