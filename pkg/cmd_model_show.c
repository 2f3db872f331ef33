/* model show: the facts of one version, its parts, the tensors of those that hold some, and what the
 * policy for pickles makes of it.  model requirements: the packages that it was written under. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "tool.h"

static bool holds_tensors(const json_t *part)
{
    const char *format = json_string_value(json_object_get(part, "format"));

    return format != NULL && strcmp(format, "safetensors") == 0;
}

/* Put {part: [tensor ...]} into `facts`; a part that is no safetensors file is not there. */
static exia_status add_tensors(json_t *facts, const exia_model *model, exia_error *err)
{
    json_t *all = must(json_object());
    json_t *part = NULL;
    size_t index = 0;
    exia_status status = EXIA_OK;

    json_array_foreach(json_object_get(facts, "parts"), index, part)
    {
        const char *name = json_string_value(json_object_get(part, "name"));
        exia_rows *rows = NULL;
        json_t *tensors = NULL;

        if (status != EXIA_OK || !holds_tensors(part))
            continue;
        status = exia_model_tensors(&rows, model, name, err);
        if (status == EXIA_OK)
            status = rows_take(&tensors, rows, err);
        if (status == EXIA_OK && json_object_get(json_array_get(tensors, 0), "name") == NULL)
            json_array_remove(tensors, 0); /* the metadata of the file */
        if (status == EXIA_OK)
            json_object_set(all, name, tensors);
        json_decref(tensors);
        exia_rows_free(rows);
    }
    json_object_set_new(facts, "tensors", all);
    return status;
}

/* "yes", "yes, signed by alice", "no: others may write where it lies"; to be freed. */
static char *trust_words(const json_t *policy)
{
    const char *by = NULL, *why = "";

    json_unpack((json_t *)policy, "{s?{s:s}, s?s}", "signed", "by", &by, "why", &why);
    if (!json_is_true(json_object_get(policy, "trusted")))
        return format_text("no: %s", why);
    return by != NULL ? format_text("yes, signed by %s", by) : format_text("yes");
}

static void print_facts(const json_t *facts)
{
    static const char *const keys[] = {"name",   "version", "time",        "who",
                                       "why",    "aliases", "metrics",     "tags",
                                       "params", "parent",  "environment", "imports"};
    static const struct column part_columns[] = {
        {"PART", "name", CELL_TEXT},
        {"FORMAT", "format", CELL_TEXT},
        {"SIZE", "size", CELL_SIZE},
        {"SHA-256", "sha256", CELL_TEXT},
        {0},
    };
    static const struct column tensor_columns[] = {
        {"TENSOR", "name", CELL_TEXT},
        {"DTYPE", "dtype", CELL_TEXT},
        {"SIZE", "size", CELL_SIZE},
        {"SHAPE", "shape", CELL_TEXT},
        {0},
    };
    const char *part = NULL;
    char *words = trust_words(json_object_get(facts, "policy"));
    json_t *tensors = NULL, *trusted = must(json_string(words));

    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        print_fact(keys[i], json_object_get(facts, keys[i]),
                   strcmp(keys[i], "time") == 0 ? CELL_TIME : CELL_TEXT);
    print_fact("trusted", trusted, CELL_TEXT);
    json_decref(trusted);
    free(words);
    putchar('\n');
    print_table(json_object_get(facts, "parts"), part_columns);
    json_object_foreach(json_object_get(facts, "tensors"), part, tensors)
    {
        if (json_array_size(tensors) == 0)
            continue;
        printf("\ntensors of %s\n", part);
        print_table(tensors, tensor_columns);
    }
}

static exia_status run_model_show(struct call *call, exia_error *err)
{
    exia_library *library = NULL;
    exia_model *model = NULL;
    json_t *facts = NULL;
    json_error_t where;
    exia_status status = library_open(&library, call, true, err);

    if (status == EXIA_OK)
        status = exia_model_open(&model, library, call->arguments[0], 0, err);
    if (status != EXIA_OK)
        goto done;
    facts = json_loads(exia_model_facts(model), 0, &where);
    if (facts == NULL) {
        status = fail(err, EXIA_ECORRUPT, "the facts are not JSON: %s", where.text);
        goto done;
    }
    status = add_tensors(facts, model, err);
    json_object_set_new(facts, "policy", must(json_loads(exia_model_policy(model), 0, NULL)));
    if (status == EXIA_OK && call->json)
        print_json(facts);
    else if (status == EXIA_OK)
        print_facts(facts);

done:
    json_decref(facts);
    exia_model_free(model);
    exia_library_free(library);
    return status;
}

const struct command command_model_show = {
    .name = "model show",
    .run = run_model_show,
    .synopsis = "SELECTOR",
    .summary = "Show one version: its facts, its parts, their tensors.",
    .about = "SELECTOR is NAME (the latest), NAME@7, NAME@ALIAS, NAME@latest-1, "
             "NAME@previous(ALIAS), NAME@best(metrics.KEY) or NAME@worst(metrics.KEY).",
    .keys = MODEL_KEYS ", tensors, policy",
    .least = 1,
    .most = 1,
    .options = {TRUST, LIBRARY},
};

static exia_status run_model_requirements(struct call *call, exia_error *err)
{
    exia_library *library = NULL;
    exia_model *model = NULL;
    char *text = NULL;
    exia_status status = library_open(&library, call, true, err);

    if (status == EXIA_OK)
        status = exia_model_open(&model, library, call->arguments[0], 0, err);
    if (status == EXIA_OK)
        status = exia_model_requirements(&text, model, err);
    if (status == EXIA_OK && call->json) {
        json_t *facts = must(json_loads(exia_model_facts(model), 0, NULL));
        json_t *name = json_object_get(facts, "name"), *version = json_object_get(facts, "version");

        print_answer(
            call,
            json_pack("{s:O, s:O, s:s}", "name", name, "version", version, "requirements", text),
            NULL);
        json_decref(facts);
    } else if (status == EXIA_OK) {
        fputs(text, stdout);
    }
    exia_text_free(text);
    exia_model_free(model);
    exia_library_free(library);
    return status;
}

const struct command command_model_requirements = {
    .name = "model requirements",
    .run = run_model_requirements,
    .synopsis = "SELECTOR",
    .summary = "Print the packages that a version was written under, as pip takes them.",
    .about = "For pip: vedapkg model requirements NAME >requirements.txt.",
    .keys = "name, version, requirements",
    .least = 1,
    .most = 1,
    .options = {LIBRARY},
};
