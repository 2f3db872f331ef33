/* model alias, rollback, protect, rm: what moves or hides versions without writing any. */
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "tool.h"

/* {name, alias, version: N | null}, or "NAME@N", "NAME@none". */
static void print_standing(const struct call *call, const char *name, const char *alias,
                           int64_t version)
{
    char *text = version > 0 ? format_text("%s@%lld", name, (long long)version)
                             : format_text("%s@none", name);
    json_t *number = must(version > 0 ? json_integer(version) : json_null());

    print_answer(
        call, json_pack("{s:s, s:s, s:o}", "name", name, "alias", alias, "version", number), text);
    free(text);
}

static exia_status run_model_alias(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    const char *alias = call->arguments[1];
    const char *target = call->arguments[2];
    int64_t to = EXIA_ABSENT;
    int64_t expect = EXIA_ANY;
    exia_library *library = NULL;
    exia_status status = call_expect(&expect, call, err);

    if (status != EXIA_OK)
        return status;
    if (strcmp(target, "none") != 0 && number_parse(&to, target, 1, INT64_MAX) != EXIA_OK)
        return misuse(call, err, "VERSION is a whole number of at least 1 or none, not '%s'",
                      target);
    status = library_open(&library, call, false, err);
    if (status == EXIA_OK)
        status = exia_alias_move(library, name, alias, to, expect,
                                 call_option(call, OPTION_MESSAGE), err);
    exia_library_free(library);
    if (status == EXIA_OK)
        print_standing(call, name, alias, to);
    return status;
}

const struct command command_model_alias = {
    .name = "model alias",
    .run = run_model_alias,
    .synopsis = "NAME ALIAS (VERSION | none)",
    .summary = "Move an alias to a version, or remove it.",
    .keys = "name, alias, version",
    .least = 3,
    .most = 3,
    .options = {EXPECT, MESSAGE, LIBRARY},
};

static exia_status run_model_rollback(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    const char *alias = call->arguments[1];
    const char *time = call_option(call, OPTION_TO);
    const char *message = call_option(call, OPTION_MESSAGE);
    int64_t version = 0;
    int64_t expect = EXIA_ANY;
    exia_library *library = NULL;
    exia_status status = call_expect(&expect, call, err);

    if (status != EXIA_OK)
        return status;
    status = library_open(&library, call, false, err);
    if (status == EXIA_OK && time != NULL)
        status = exia_alias_rollback_to(&version, library, name, alias, time, expect, message, err);
    else if (status == EXIA_OK)
        status = exia_alias_rollback(&version, library, name, alias, expect, message, err);
    exia_library_free(library);
    if (status == EXIA_OK)
        print_standing(call, name, alias, version);
    return status;
}

const struct command command_model_rollback = {
    .name = "model rollback",
    .run = run_model_rollback,
    .synopsis = "NAME ALIAS",
    .summary = "Undo the last move of an alias, or let it stand where it stood at a time.",
    .about = "Prints NAME@VERSION where it stands now, or NAME@none.",
    .keys = "name, alias, version",
    .least = 2,
    .most = 2,
    .options = {{OPTION_TO, 0, "to", "TIME",
                 "where it stood then, UTC: 2026-01-31 or 2026-01-31T23:59:59Z", false},
                EXPECT,
                MESSAGE,
                LIBRARY},
};

static exia_status run_model_protect(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    const char *alias = call->arguments[1];
    bool on = !call_has(call, OPTION_OFF);
    exia_library *library = NULL;
    exia_status status = library_open(&library, call, false, err);

    if (status == EXIA_OK)
        status =
            exia_alias_protect(library, name, alias, on, call_option(call, OPTION_MESSAGE), err);
    exia_library_free(library);
    if (status == EXIA_OK) {
        print_answer(call,
                     json_pack("{s:s, s:s, s:b}", "name", name, "alias", alias, "protected", on),
                     NULL);
        say(call, "%s of %s is %sprotected", alias, name, on ? "" : "no longer ");
    }
    return status;
}

const struct command command_model_protect = {
    .name = "model protect",
    .run = run_model_protect,
    .synopsis = "NAME ALIAS",
    .summary = "Let an alias move only with --expect and --message, and never be removed.",
    .keys = "name, alias, protected",
    .least = 2,
    .most = 2,
    .options = {{OPTION_OFF, 0, "off", NULL, "no longer; needs --message", false},
                MESSAGE,
                LIBRARY},
};

static exia_status run_model_rm(struct call *call, exia_error *err)
{
    const char *selector = call->arguments[0];
    const char *at = strchr(selector, '@');
    char *name = NULL;
    int64_t version = 0;
    exia_library *library = NULL;
    exia_status status = EXIA_OK;

    if (at == NULL || number_parse(&version, at + 1, 1, INT64_MAX) != EXIA_OK)
        return misuse(call, err, "'%s' is not NAME@VERSION: a removal names the number itself",
                      selector);
    name = format_text("%.*s", (int)(at - selector), selector);
    status = library_open(&library, call, false, err);
    if (status == EXIA_OK)
        status = exia_model_remove(library, name, version, call_option(call, OPTION_MESSAGE), err);
    exia_library_free(library);
    if (status == EXIA_OK) {
        print_answer(call, json_pack("{s:s, s:I}", "name", name, "version", (json_int_t)version),
                     NULL);
        say(call, "%s is removed", selector);
    }
    free(name);
    return status;
}

const struct command command_model_rm = {
    .name = "model rm",
    .run = run_model_rm,
    .synopsis = "NAME@VERSION",
    .summary = "Hide a version for ever; its number is not used again.",
    .keys = "name, version",
    .least = 1,
    .most = 1,
    .options = {MESSAGE, LIBRARY},
};
