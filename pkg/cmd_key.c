/* key new, ls, trust, revoke; model sign: who signs, and whose signatures count. */
#include <stdlib.h>

#include "tool.h"

exia_status run_key_new(struct call *call, exia_error *err)
{
    const char *file = call->count > 0 ? call->arguments[0] : NULL;
    struct password password = {{0}};
    bool asked = call_has(call, OPTION_PASSWORD_STDIN) || password_can_ask();
    bool encrypted = false;
    char *text = NULL;
    json_t *made = NULL;
    exia_status status = EXIA_OK;

    if (asked)
        status = password_choose(&password, call, err);
    encrypted = call_has(call, OPTION_PASSWORD_STDIN) || *password.text != '\0';
    if (status == EXIA_OK)
        status = exia_key_new(&text, file, encrypted ? password.text : NULL, err);
    password_wipe(&password);
    if (status != EXIA_OK)
        return status;
    made = must(json_loads(text, 0, NULL));
    exia_text_free(text);
    say(call, "%s is the secret key%s; %s goes to who shall trust it",
        json_string_value(json_object_get(made, "secret_file")),
        encrypted ? "" : ", which is not encrypted",
        json_string_value(json_object_get(made, "public_file")));
    print_answer(call, json_incref(made), json_string_value(json_object_get(made, "key")));
    json_decref(made);
    return EXIA_OK;
}

exia_status run_key_ls(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT},       {"ID", "id", CELL_TEXT},   {"KEY", "key", CELL_TEXT},
        {"REVOKED", "revoked", CELL_TIME}, {"WHY", "why", CELL_TEXT}, {0},
    };
    exia_rows *rows = NULL;
    exia_status status = exia_keys(&rows, NULL, err);

    if (status == EXIA_OK)
        status =
            print_rows(call, rows, columns, "no key is trusted; see: vedapkg help key trust", err);
    exia_rows_free(rows);
    return status;
}

exia_status run_key_trust(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    exia_status status = exia_key_trust(NULL, name, call->arguments[1], err);

    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s}", "name", name), NULL);
        say(call, "what the key of %s signed is trusted from now on", name);
    }
    return status;
}

exia_status run_key_revoke(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    exia_status status = exia_key_revoke(NULL, name, call_option(call, OPTION_MESSAGE), err);

    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s}", "name", name), NULL);
        say(call, "no signature of the key %s counts from now on", name);
    }
    return status;
}

/* Sign; where the key turns out to be encrypted and somebody is there, ask. */
static exia_status sign(exia_library *library, const char *version, struct call *call,
                        exia_error *err)
{
    struct password password = {{0}};
    exia_sign_options options = {
        .struct_size = sizeof(options),
        .secret_file = call_option(call, OPTION_KEY),
        .comment = call_option(call, OPTION_COMMENT),
        .message = call_option(call, OPTION_MESSAGE),
    };
    exia_status status = EXIA_OK;

    if (call_has(call, OPTION_PASSWORD_STDIN)) {
        status = password_read(&password, call, err);
        options.password = password.text;
    }
    if (status == EXIA_OK)
        status = exia_model_sign(library, version, &options, err);
    if (status == EXIA_EDENIED && err->native == 1 && options.password == NULL) {
        if (password_can_ask()) {
            status = password_read(&password, call, err);
            options.password = password.text;
            if (status == EXIA_OK)
                status = exia_model_sign(library, version, &options, err);
        } else {
            status = fail(err, EXIA_EDENIED,
                          "the secret key is encrypted; give its password by --password-stdin");
        }
    }
    password_wipe(&password);
    return status;
}

exia_status run_model_sign(struct call *call, exia_error *err)
{
    exia_library *library = NULL;
    exia_model *model = NULL;
    json_t *facts = NULL;
    const char *name = NULL;
    json_int_t number = 0;
    char *version = NULL;
    exia_status status = library_open(&library, call, false, err);

    if (status == EXIA_OK)
        status = exia_model_open(&model, library, call->arguments[0], 0, err);
    if (status != EXIA_OK)
        goto done;
    facts = must(json_loads(exia_model_facts(model), 0, NULL));
    if (json_unpack(facts, "{s:s, s:I}", "name", &name, "version", &number) != 0) {
        status = fail(err, EXIA_ECORRUPT, "the facts of %s have no name", call->arguments[0]);
        goto done;
    }
    version = format_text("%s@%lld", name, (long long)number); /* what was latest when asked */
    status = sign(library, version, call, err);
    if (status == EXIA_OK)
        print_answer(call, json_pack("{s:s, s:I}", "name", name, "version", number), version);

done:
    free(version);
    json_decref(facts);
    exia_model_free(model);
    exia_library_free(library);
    return status;
}
