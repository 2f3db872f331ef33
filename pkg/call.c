/* The command line: which command, its options, its arguments.  getopt_long() does the reading, from
 * the table of commands; every mistake is one line that names the option or the argument. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* getopt_long() wants its own tables: made from those of the command and the common ones. */
enum { OPTIONS_MOST = 32 };
struct tables {
    struct option longs[OPTIONS_MOST];
    char letters[2 * OPTIONS_MOST + 2];
    const struct option_info *infos[OPTIONS_MOST];
    int count;
};

static void tables_add(struct tables *tables, const struct option_info *infos)
{
    for (const struct option_info *info = infos; info->key != 0; info++) {
        char letter[3] = {info->letter, info->argument != NULL ? ':' : '\0', '\0'};

        strcat(tables->letters, letter);
        tables->infos[tables->count] = info;
        tables->longs[tables->count++] =
            (struct option){info->name, info->argument != NULL ? required_argument : no_argument,
                            NULL, (int)info->key};
    }
}

static const struct option_info *tables_find(const struct tables *tables, int answer)
{
    for (int i = 0; i < tables->count; i++) {
        const struct option_info *info = tables->infos[i];
        if (answer == (int)info->key || (info->letter != 0 && answer == info->letter))
            return info;
    }
    return NULL;
}

/* What getopt_long() did not like, by its answer and the word it stood at. */
static exia_status refuse(struct call *call, const struct tables *tables, int answer,
                          const char *word, exia_error *err)
{
    const struct option_info *info = tables_find(tables, optopt);

    if (info != NULL && answer == ':')
        return misuse(call, err, "--%s needs %s", info->name, info->argument);
    if (info != NULL)
        return misuse(call, err, "--%s takes no value", info->name);
    if (optopt != 0)
        return misuse(call, err, "there is no option -%c", optopt);
    return misuse(call, err, "there is no option %.*s, or it is short for several",
                  (int)strcspn(word, "="), word);
}

/* Read options: all of a command's, or (command NULL) the common ones before the next word.
 * `*argc` and `*argv` move on to what is left. */
static exia_status take_options(struct call *call, const struct command *command, int *argc,
                                char ***argv, exia_error *err)
{
    struct tables tables = {.count = 0};
    int answer = 0;

    strcpy(tables.letters, command == NULL ? "+:" : ":");
    tables_add(&tables, common_options);
    tables_add(&tables, command != NULL ? command->options : version_option);
    opterr = 0;
    optind = 0; /* glibc: start over */
    while ((answer = getopt_long(*argc, *argv, tables.letters, tables.longs, NULL)) != -1) {
        const struct option_info *info = tables_find(&tables, answer);

        if (info == NULL)
            return refuse(call, &tables, answer, (*argv)[optind - 1], err);
        /* one word may hold many: -qqq */
        call->given =
            must(realloc(call->given, ((size_t)call->given_count + 1) * sizeof(*call->given)));
        call->given[call->given_count++] = (struct given){info->key, optarg};
    }
    *argc -= optind;
    *argv += optind;
    return EXIA_OK;
}

static exia_status unknown_command(struct call *call, const char *name, exia_error *err)
{
    const struct command *nearest = command_nearest(name);

    if (nearest == NULL)
        return misuse(call, err, "there is no command '%s'", name);
    return misuse(call, err, "there is no command '%s': is it '%s'?", name, nearest->name);
}

/* The words before the options: "pack", or "model put".  Without one `command` stays NULL. */
static exia_status take_command(struct call *call, int *argc, char ***argv, exia_error *err)
{
    char *name = NULL;
    exia_status status = take_options(call, NULL, argc, argv, err);

    if (status != EXIA_OK || *argc <= 0) /* exec() may pass no word at all */
        return status;
    if (!command_family(**argv)) {
        call->command = command_find(**argv);
        return call->command != NULL ? EXIA_OK : unknown_command(call, **argv, err);
    }
    call->family = **argv;
    status = take_options(call, NULL, argc, argv, err);
    if (status != EXIA_OK || call_has(call, OPTION_HELP))
        return status;
    if (*argc == 0)
        return misuse(call, err, "%s: which of its commands?", call->family);
    name = format_text("%s %s", call->family, **argv);
    call->command = command_find(name);
    if (call->command == NULL)
        status = unknown_command(call, name, err);
    free(name);
    return status;
}

static exia_status check(struct call *call, exia_error *err)
{
    const struct command *command = call->command;
    int64_t threads = 0;

    if (call->count < command->least)
        return misuse(call, err, "too few arguments: %s %s", command->name, command->synopsis);
    for (const struct option_info *info = command->options; info->key != 0; info++) {
        if (info->required && !call_has(call, info->key))
            return misuse(call, err, "--%s %s is missing: %s %s", info->name, info->argument,
                          command->name, command->synopsis);
    }
    if (command->most >= 0 && call->count > command->most)
        return misuse(call, err, "one argument too many: '%s': %s %s",
                      call->arguments[command->most], command->name, command->synopsis);
    if (call_has(call, OPTION_HOME) && *call_option(call, OPTION_HOME) == '\0')
        return misuse(call, err, "--home needs a directory, not ''");
    if (call_number(&threads, call, OPTION_THREADS, 0, 1024, 0, err) != EXIA_OK)
        return err->status;
    call->job.struct_size = sizeof(call->job);
    call->job.threads = (uint32_t)threads;
    return EXIA_OK;
}

exia_status call_parse(struct call *call, int argc, char **argv, exia_error *err)
{
    exia_status status = take_command(call, &argc, &argv, err);

    if (status == EXIA_OK && call->command != NULL)
        status = take_options(call, call->command, &argc, &argv, err);
    call->arguments = argv;
    call->count = argc;
    call->json = call_has(call, OPTION_JSON);
    call->quiet = call_has(call, OPTION_QUIET);
    if (status == EXIA_OK && call->command != NULL && !call_has(call, OPTION_HELP))
        status = check(call, err);
    return status;
}

bool call_has(const struct call *call, enum option_key key)
{
    for (int i = 0; i < call->given_count; i++) {
        if (call->given[i].key == key)
            return true;
    }
    return false;
}

const char *call_option(const struct call *call, enum option_key key)
{
    const char *value = NULL;

    for (int i = 0; i < call->given_count; i++) {
        if (call->given[i].key == key)
            value = call->given[i].value;
    }
    return value;
}

exia_status number_parse(int64_t *out, const char *text, int64_t least, int64_t most)
{
    char *end = NULL;
    long long number = 0;

    errno = 0;
    number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || *text == ' ' || number < least ||
        number > most)
        return EXIA_EINVAL;
    *out = number;
    return EXIA_OK;
}

static const char *option_name(const struct call *call, enum option_key key)
{
    const char *name = "";

    for (const struct option_info *info = common_options; info->key != 0; info++)
        name = info->key == key ? info->name : name;
    for (const struct option_info *info = call->command->options; info->key != 0; info++)
        name = info->key == key ? info->name : name;
    return name;
}

exia_status call_number(int64_t *out, struct call *call, enum option_key key, int64_t least,
                        int64_t most, int64_t absent, exia_error *err)
{
    const char *text = call_option(call, key);
    const char *name = option_name(call, key);

    *out = absent;
    if (text == NULL || number_parse(out, text, least, most) == EXIA_OK)
        return EXIA_OK;
    if (most == INT64_MAX)
        return misuse(call, err, "--%s needs a whole number of at least %lld, not '%s'", name,
                      (long long)least, text);
    return misuse(call, err, "--%s needs a whole number from %lld to %lld, not '%s'", name,
                  (long long)least, (long long)most, text);
}

exia_status call_time(int64_t *out, struct call *call, enum option_key key, exia_error *err)
{
    static const struct {
        char letter;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60 * 1000}, {'h', 60 * 60 * 1000}, {'d', 24 * 60 * 60 * 1000}};
    const char *text = call_option(call, key);
    int64_t count = 0;

    *out = 0;
    if (text == NULL)
        return EXIA_OK;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units) && *text != '\0'; i++) {
        size_t last = strlen(text) - 1;
        char *number = format_text("%.*s", (int)last, text);

        if (text[last] == units[i].letter && number_parse(&count, number, 1, 100000000) == EXIA_OK)
            *out = count * units[i].ms;
        free(number);
    }
    if (*out == 0)
        return misuse(call, err, "--%s needs a time as in 90s, 30m, 12h or 7d, not '%s'",
                      option_name(call, key), text);
    return EXIA_OK;
}

exia_status call_expect(int64_t *out, struct call *call, exia_error *err)
{
    const char *text = call_option(call, OPTION_EXPECT);

    if (text != NULL && strcmp(text, "none") == 0) {
        *out = EXIA_ABSENT;
        return EXIA_OK;
    }
    return call_number(out, call, OPTION_EXPECT, 0, INT64_MAX, EXIA_ANY, err);
}

/* JSON has no NaN: metrics keep it, and the infinities, by name. */
static json_t *metric_value(const char *text)
{
    char *end = NULL;
    double number = strtod(text, &end);

    if (end == text || *end != '\0' || *text == ' ')
        return NULL;
    if (isnan(number))
        return json_string("NaN");
    if (isinf(number))
        return json_string(number > 0 ? "Infinity" : "-Infinity");
    return json_real(number);
}

/* A JSON scalar, else the text itself. */
static json_t *any_value(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

    if (json_is_object(value) || json_is_array(value)) {
        json_decref(value);
        value = NULL;
    }
    return value != NULL ? value : json_string(text);
}

exia_status pair_parse(json_t *object, struct call *call, const char *pair, enum value_kind kind,
                       exia_error *err)
{
    const char *equals = strchr(pair, '=');
    char *key = NULL;
    json_t *value = NULL;
    exia_status status = EXIA_OK;

    if (equals == NULL || equals == pair)
        return misuse(call, err, "'%s' is not of the form KEY=VALUE", pair);
    key = format_text("%.*s", (int)(equals - pair), pair);
    switch (kind) {
    case VALUE_TEXT:
        value = json_string(equals + 1);
        break;
    case VALUE_NUMBER:
        value = metric_value(equals + 1);
        break;
    case VALUE_ANY:
        value = any_value(equals + 1);
        break;
    }
    if (value == NULL && kind == VALUE_NUMBER)
        status = misuse(call, err, "'%s' is not a number, in '%s'", equals + 1, pair);
    else if (json_object_get(object, key) != NULL)
        status = misuse(call, err, "'%s' is given twice", key);
    else if (value == NULL || json_object_set(object, key, value) != 0)
        status = misuse(call, err, "'%s' or its value is not UTF-8", key);
    json_decref(value);
    free(key);
    return status;
}
