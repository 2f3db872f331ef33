/* update: replace the free facts about a package, or some of them. */
#include <stdlib.h>

#include "options.h"
#include "tool.h"

static exia_status read_facts(json_t **out, struct call *call, exia_error *err)
{
    const char *text = call_option(call, OPTION_FACTS);
    json_error_t where;
    json_t *facts = NULL;
    exia_status status = EXIA_OK;

    if ((text != NULL) == (call->count > 1))
        return misuse(call, err, "give the facts either as KEY=VALUE or by --facts JSON");
    if (text != NULL) {
        facts = json_loads(text, JSON_REJECT_DUPLICATES, &where);
        if (facts == NULL)
            return misuse(call, err, "--facts is not JSON: %s", where.text);
        if (!json_is_object(facts))
            status = misuse(call, err, "--facts must be a JSON object, as {\"stage\": \"prod\"}");
    } else {
        facts = must(json_object());
        for (int i = 1; status == EXIA_OK && i < call->count; i++)
            status = pair_parse(facts, call, call->arguments[i], VALUE_ANY, err);
    }
    if (status == EXIA_OK)
        *out = facts;
    else
        json_decref(facts);
    return status;
}

static exia_status run_update(struct call *call, exia_error *err)
{
    const char *package = call->arguments[0];
    exia_registry *registry = NULL;
    bool merge = call_has(call, OPTION_MERGE);
    json_t *facts = NULL;
    char *text = NULL;
    exia_status status = read_facts(&facts, call, err);

    if (status != EXIA_OK)
        return status;
    text = must(json_dumps(facts, JSON_COMPACT));
    status = exia_registry_open(&registry, NULL, err);
    if (status == EXIA_OK)
        status = (merge ? exia_registry_merge : exia_registry_update)(
            registry, package, text, call_option(call, OPTION_REMOTE), err);
    if (status == EXIA_OK) {
        char *shown =
            json_object_size(facts) > 0 ? value_text(facts, CELL_TEXT) : format_text("none");
        print_answer(call, json_pack("{s:s, s:O}", "package", package, "facts", facts), NULL);
        if (merge)
            say(call, "merged into the facts about %s: %s", package, shown);
        else
            say(call, "the facts about %s are now %s", package, shown);
        free(shown);
    }
    free(text);
    json_decref(facts);
    exia_registry_free(registry);
    return status;
}

const struct command command_update = {
    .name = "update",
    .run = run_update,
    .synopsis = "PACKAGE (KEY=VALUE... | --facts JSON)",
    .summary = "Replace the free facts about a registered package.",
    .about =
        "The facts given replace all that were there; with --merge the others stay, and one that "
        "is null goes.  A VALUE that is a JSON number, true, false or null is kept as that, one "
        "in double quotes and everything else as text.",
    .keys = "package, facts",
    .least = 1,
    .most = -1,
    .options =
        {
            {OPTION_FACTS, 0, "facts", "JSON", "the facts as one JSON object", false},
            {OPTION_MERGE, 0, "merge", NULL, "keep the facts that are not named", false},
            REMOTE("update it there, not here"),
        },
};
