/* model put: publish files as the next version of a model. */
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "tool.h"

static const char *format_of(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot != NULL && strcmp(dot, ".safetensors") == 0 ? "safetensors" : "file";
}

/* "PART=FILE", else FILE: its own name, or "model" when it is alone.  A slash before the '=' means
 * that it belongs to the path.  `part->name` is to be freed. */
static void part_parse(exia_part *part, const char *text, bool alone)
{
    const char *equals = strchr(text, '=');
    const char *slash = strrchr(text, '/');

    if (equals != NULL && memchr(text, '/', (size_t)(equals - text)) == NULL) {
        part->name = format_text("%.*s", (int)(equals - text), text);
        part->path = equals + 1;
    } else {
        part->name = format_text("%s", alone ? "model" : slash != NULL ? slash + 1 : text);
        part->path = text;
    }
    part->format = format_of(part->path);
}

/* Collect every OPTION KEY=VALUE into facts.NAME. */
static exia_status add_pairs(json_t *facts, const char *name, struct call *call,
                             enum option_key key, enum value_kind kind, exia_error *err)
{
    json_t *object = must(json_object());
    exia_status status = EXIA_OK;

    for (int i = 0; status == EXIA_OK && i < call->given_count; i++) {
        if (call->given[i].key == key)
            status = pair_parse(object, call, call->given[i].value, kind, err);
    }
    json_object_set_new(facts, name, object);
    return status;
}

static exia_status read_facts(char **out, struct call *call, exia_error *err)
{
    json_t *facts = must(json_object());
    exia_status status = add_pairs(facts, "metrics", call, OPTION_METRIC, VALUE_NUMBER, err);

    if (status == EXIA_OK)
        status = add_pairs(facts, "tags", call, OPTION_TAG, VALUE_TEXT, err);
    if (status == EXIA_OK)
        status = add_pairs(facts, "params", call, OPTION_PARAM, VALUE_ANY, err);
    if (status == EXIA_OK)
        *out = must(json_dumps(facts, JSON_COMPACT));
    json_decref(facts);
    return status;
}

static exia_status run_model_put(struct call *call, exia_error *err)
{
    const char *name = call->arguments[0];
    size_t count = (size_t)call->count - 1;
    exia_part *parts = NULL;
    char *facts = NULL;
    char *selector = NULL;
    int64_t version = 0;
    exia_library *library = NULL;
    exia_write_options options = {
        .struct_size = sizeof(options),
        .alias = call_option(call, OPTION_ALIAS),
        .message = call_option(call, OPTION_MESSAGE),
    };
    exia_status status = call_expect(&options.expect, call, err);

    if (status != EXIA_OK)
        return status;
    if (call_has(call, OPTION_EXPECT) && options.alias == NULL)
        return misuse(call, err, "--expect is about an --alias, and none is given");
    parts = must(calloc(count, sizeof(*parts)));
    for (size_t i = 0; i < count; i++)
        part_parse(&parts[i], call->arguments[i + 1], count == 1);
    status = read_facts(&facts, call, err);
    if (status != EXIA_OK)
        goto done;
    options.facts = facts;
    status = library_open(&library, call, false, err);
    if (status == EXIA_OK)
        status =
            exia_model_write(&version, library, name, parts, count, &options, job_begin(call), err);
    if (status != EXIA_OK)
        goto done;
    selector = format_text("%s@%lld", name, (long long)version);
    print_answer(call, json_pack("{s:s, s:I}", "name", name, "version", (json_int_t)version),
                 selector);

done:
    free(selector);
    free(facts);
    for (size_t i = 0; i < count; i++)
        free((char *)parts[i].name);
    free(parts);
    exia_library_free(library);
    return status;
}

const struct command command_model_put = {
    .name = "model put",
    .run = run_model_put,
    .synopsis = "NAME [PART=]FILE...",
    .summary = "Publish the next version of a model.",
    .about = "Prints NAME@VERSION.  A lone FILE becomes the part \"model\", one of many the "
             "part of its own name.  A FILE named *.safetensors is kept as tensors.",
    .keys = "name, version",
    .least = 2,
    .most = -1,
    .options =
        {
            {OPTION_ALIAS, 0, "alias", "ALIAS", "move this alias to it in the same step", false},
            EXPECT,
            {OPTION_METRIC, 0, "metric", "KEY=NUMBER", "a metric; may be repeated", false},
            {OPTION_PARAM, 0, "param", "KEY=VALUE",
             "a parameter, text or a JSON number, true, "
             "false, null; may be repeated",
             false},
            {OPTION_TAG, 0, "tag", "KEY=TEXT", "a tag; may be repeated", false},
            MESSAGE,
            LIBRARY,
        },
};
