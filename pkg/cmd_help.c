/* help: the table of commands as an overview, one command's page, the manual page (roff), or JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

enum { WIDTH = 79 };

/* Print words, broken at WIDTH, continued at `indent`; the cursor stands at `column`. */
static void wrap(const char *text, int indent, int column)
{
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");

        if (column + 1 + length > WIDTH && column > indent) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", length, text);
        column += length;
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static char *usage_line(const struct command *command)
{
    return format_text("vedapkg %s%s%s", command->name, *command->synopsis != '\0' ? " " : "",
                       command->synopsis);
}

static void list_command(const struct command *command)
{
    enum { COLUMN = 22 };

    printf("  %-*s", COLUMN - 2, command->name);
    wrap(command->summary, COLUMN, COLUMN);
}

static void list_option(const struct option_info *info)
{
    enum { COLUMN = 26 };
    char letter[5] = {'-', info->letter, ',', ' ', '\0'};
    int used =
        printf("  %s--%s%s%s", info->letter != 0 ? letter : "    ", info->name,
               info->argument != NULL ? " " : "", info->argument != NULL ? info->argument : "");

    if (used + 1 > COLUMN) {
        putchar('\n');
        used = 0;
    }
    printf("%*s", COLUMN - used, "");
    wrap(info->text, COLUMN, COLUMN);
}

void help_overview(void)
{
    puts("vedapkg: packages of algorithms and the models inside them\n");
    puts("  vedapkg COMMAND [ARGUMENTS] [OPTIONS]\n");
    for (size_t i = 0; commands[i] != NULL; i++)
        list_command(commands[i]);
    puts("\nwith every command:");
    for (const struct option_info *info = common_options; info->key != 0; info++)
        list_option(info);
    list_option(version_option);
    puts("\nPACKAGE is name, name@1.2 or name@1.2#tag.  REMOTE is the name of one that was added;\n"
         "what only reads takes ./DIR, too, a directory of .veda files.\n"
         "More of one: vedapkg help COMMAND");
}

void help_family(const char *word)
{
    size_t length = strlen(word);

    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];

        if (strncmp(command->name, word, length) == 0 && command->name[length] == ' ')
            list_command(command);
    }
}

void help_command(const struct command *command)
{
    char *usage = usage_line(command);

    wrap(usage, 4, 0);
    putchar('\n');
    wrap(command->summary, 0, 0);
    if (command->about != NULL)
        wrap(command->about, 0, 0);
    if (command->options[0].key != 0)
        puts("\noptions:");
    for (const struct option_info *info = command->options; info->key != 0; info++)
        list_option(info);
    puts("\nwith every command:");
    for (const struct option_info *info = common_options; info->key != 0; info++)
        list_option(info);
    fputs("\nkeys of --json:", stdout);
    wrap(command->keys, 4, 15);
    free(usage);
}

static json_t *options_json(const struct option_info *infos)
{
    json_t *all = must(json_array());

    for (const struct option_info *info = infos; info->key != 0; info++) {
        char letter[2] = {info->letter, '\0'};
        json_array_append_new(
            all, must(json_pack("{s:s, s:s*, s:s*, s:s, s:b}", "name", info->name, "letter",
                                info->letter != 0 ? letter : NULL, "argument", info->argument,
                                "text", info->text, "required", info->required)));
    }
    return all;
}

static void command_json(const struct command *command)
{
    json_t *object =
        must(json_pack("{s:s, s:s, s:s, s:s?, s:o, s:s}", "name", command->name, "synopsis",
                       command->synopsis, "summary", command->summary, "about", command->about,
                       "options", options_json(command->options), "keys", command->keys));

    print_json(object);
    json_decref(object);
}

/* A text in roff: backslashes, hyphens that are minus signs, and no line that begins as a request. */
static void roff(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\'')
            fputs("\\(aq", stdout);
        else
            putchar(*text);
    }
}

static void roff_option(const struct option_info *info)
{
    fputs(".TP\n\\fB", stdout);
    if (info->letter != 0)
        printf("\\-%c\\fR, \\fB", info->letter);
    fputs("\\-\\-", stdout);
    roff(info->name);
    fputs("\\fR", stdout);
    if (info->argument != NULL) {
        fputs(" \\fI", stdout);
        roff(info->argument);
        fputs("\\fR", stdout);
    }
    fputs("\n\\&", stdout);
    roff(info->text);
    putchar('\n');
}

static void manual(void)
{
    printf(".TH VEDAPKG 1 \"\" \"Exia %s\" \"Exia\"\n", exia_version());
    puts(".SH NAME\nvedapkg \\- packages of algorithms and the models inside them");
    puts(".SH SYNOPSIS\n\\fBvedapkg\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]");
    puts(".SH DESCRIPTION\nData goes to standard output, words to standard error.\n"
         "\\fIPACKAGE\\fR is name, name@1.2 or name@1.2#tag.");
    puts(".SH OPTIONS");
    for (const struct option_info *info = common_options; info->key != 0; info++)
        roff_option(info);
    roff_option(version_option);
    puts(".SH COMMANDS");
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];

        char *usage = usage_line(command);

        fputs(".SS \\&", stdout);
        roff(usage);
        fputs("\n\\&", stdout);
        roff(command->summary);
        putchar('\n');
        if (command->about != NULL) {
            fputs("\\&", stdout);
            roff(command->about);
            putchar('\n');
        }
        for (const struct option_info *info = command->options; info->key != 0; info++)
            roff_option(info);
        puts(".P\nKeys of \\fB\\-\\-json\\fR:");
        roff(command->keys);
        puts(".");
        free(usage);
    }
    puts(".SH EXIT STATUS\n0: done.  1: failed.  2: the command line is wrong.  130, 143: stopped "
         "by "
         "Ctrl\\-C or\nSIGTERM, nothing half done.  141: the reader of standard output left.");
    puts(".SH ENVIRONMENT\n.TP\n.B EXIA_HOME\nthe home, when \\fB\\-\\-home\\fR does not say it");
    puts(".TP\n.B XDG_DATA_HOME\nelse the home is \\fIexia\\fR in it, by default "
         "\\fI~/.local/share/exia\\fR");
}

static exia_status run_help(struct call *call, exia_error *err)
{
    const struct command *command = NULL;
    char *name = NULL;

    if (call_has(call, OPTION_MAN)) {
        manual();
        return EXIA_OK;
    }
    if (call->count == 0) {
        if (!call->json)
            help_overview();
        for (size_t i = 0; call->json && commands[i] != NULL; i++)
            command_json(commands[i]);
        return EXIA_OK;
    }
    if (call->count == 1 && command_family(call->arguments[0]) && !call->json) {
        help_family(call->arguments[0]);
        return EXIA_OK;
    }
    name = format_text("%s%s%s", call->arguments[0], call->count == 2 ? " " : "",
                       call->count == 2 ? call->arguments[1] : "");
    command = command_find(name);
    if (command == NULL)
        misuse(call, err, "there is no command '%s'", name);
    else if (call->json)
        command_json(command);
    else
        help_command(command);
    free(name);
    return command != NULL ? EXIA_OK : EXIA_EINVAL;
}

const struct command command_help = {
    .name = "help",
    .run = run_help,
    .synopsis = "[COMMAND]",
    .summary = "Say what a command does, or list them all.",
    .keys = "name, synopsis, summary, about, options, keys",
    .most = 2,
    .options = {{OPTION_MAN, 0, "man", NULL, "print the manual page", false}},
};
