/* key new, ls, trust, revoke: who signs, and whose signatures count. */
#include <stdlib.h>

#include "options.h"
#include "tool.h"

static exia_status run_key_new(struct call *call, exia_error *err)
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

const struct command command_key_new = {
    .name = "key new",
    .run = run_key_new,
    .synopsis = "[FILE]",
    .summary = "Make a pair of keys to sign with.",
    .about = "Prints the public key.  The secret one goes to FILE, or HOME/key.pem, for you "
             "alone; the public one beside it, as minisign writes it: FILE.pub for FILE.pem.  "
             "On a terminal a password is asked for; an empty one leaves the file as it is.",
    .keys = "id, key, secret_file, public_file",
    .most = 1,
    .options = {PASSWORD},
};

static exia_status run_key_ls(struct call *call, exia_error *err)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT},       {"ID", "id", CELL_TEXT},   {"KEY", "key", CELL_TEXT},
        {"REVOKED", "revoked", CELL_TIME}, {"WHY", "why", CELL_TEXT}, {0},
    };
    exia_rows *rows = NULL;
    exia_status status = exia_keys(&rows, call_option(call, OPTION_TRUST), err);

    if (status == EXIA_OK)
        status =
            print_rows(call, rows, columns, "no key is trusted; see: vedapkg help key trust", err);
    exia_rows_free(rows);
    return status;
}

const struct command command_key_ls = {
    .name = "key ls",
    .run = run_key_ls,
    .synopsis = "",
    .summary = "List the keys whose signatures count, and those revoked.",
    .keys = "name, id, key, revoked, why",
    .options = {TRUST},
};

static exia_status run_key_trust(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    exia_status status =
        exia_key_trust(call_option(call, OPTION_TRUST), name, call->arguments[1], err);

    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s}", "name", name), NULL);
        say(call, "what the key of %s signed is trusted from now on", name);
    }
    return status;
}

const struct command command_key_trust = {
    .name = "key trust",
    .run = run_key_trust,
    .synopsis = "NAME KEY",
    .summary = "From now on signatures of this key count, as those of NAME.",
    .about = "KEY is the public key, \"RW...\" as minisign writes it, or a file that has it.  "
             "It is kept in HOME/trust.json.",
    .keys = "name",
    .least = 2,
    .most = 2,
    .options = {TRUST},
};

static exia_status run_key_revoke(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    exia_status status = exia_key_revoke(call_option(call, OPTION_TRUST), name,
                                         call_option(call, OPTION_MESSAGE), err);

    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s}", "name", name), NULL);
        say(call, "no signature of the key %s counts from now on", name);
    }
    return status;
}

const struct command command_key_revoke = {
    .name = "key revoke",
    .run = run_key_revoke,
    .synopsis = "KEY",
    .summary = "From now on no signature of this key counts, whenever it was made.",
    .about = "KEY is its name, its id or the public key itself.",
    .keys = "name",
    .least = 1,
    .most = 1,
    .options =
        {
            {OPTION_MESSAGE, 'm', "message", "TEXT", "why; for those who meet such a signature",
             false},
            TRUST,
        },
};
