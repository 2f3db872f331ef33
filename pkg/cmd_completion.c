/* completion: a script for bash, zsh or fish, from the table of commands.  It completes commands and
 * options; all other words are files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static void put_options(FILE *out, const struct option_info *infos)
{
    for (const struct option_info *info = infos; info->key != 0; info++)
        fprintf(out, " --%s", info->name);
}

/* How long the first word is: all of the name, or that of its family. */
static int first_length(const struct command *command)
{
    return (int)strcspn(command->name, " ");
}

/* Does command `i` open a family, the table keeping them together? */
static bool opens_family(size_t i)
{
    const char *name = commands[i]->name;
    size_t length = strcspn(name, " ");

    return name[length] == ' ' && (i == 0 || strncmp(commands[i - 1]->name, name, length + 1) != 0);
}

static bool comes_first(size_t i)
{
    return opens_family(i) || strchr(commands[i]->name, ' ') == NULL;
}

/* For bash and zsh: what may come after $key, which is empty, a family, or a command. */
static void put_cases(FILE *out)
{
    fputs("    case $key in\n    '') list='", out);
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];

        if (comes_first(i))
            fprintf(out, " %.*s", first_length(command), command->name);
    }
    fputs("' ;;\n", out);
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];

        if (opens_family(i)) {
            size_t length = (size_t)first_length(command) + 1;

            fprintf(out, "    %.*s) list='", (int)length - 1, command->name);
            for (size_t j = i;
                 commands[j] != NULL && strncmp(commands[j]->name, command->name, length) == 0; j++)
                fprintf(out, " %s", commands[j]->name + length);
            fputs("' ;;\n", out);
        }
        fprintf(out, "    '%s') list='", command->name);
        put_options(out, command->options);
        put_options(out, common_options);
        fputs("' ;;\n", out);
    }
    fputs("    esac\n", out);
}

static void put_families(FILE *out)
{
    const char *between = "";

    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];

        if (opens_family(i)) {
            fprintf(out, "%s%.*s", between, first_length(command), command->name);
            between = "|";
        }
    }
}

static void put_bash(FILE *out)
{
    fputs("_vedapkg() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} key='' list=''\n"
          "    if ((COMP_CWORD > 1)); then key=${COMP_WORDS[1]}; fi\n"
          "    if ((COMP_CWORD > 2)); then\n"
          "        case $key in ",
          out);
    put_families(out);
    fputs(") key=\"$key ${COMP_WORDS[2]}\" ;; esac\n    fi\n", out);
    put_cases(out);
    fputs("    COMPREPLY=($(compgen -W \"$list\" -- \"$word\"))\n"
          "}\n"
          "complete -o default -F _vedapkg vedapkg",
          out);
}

static void put_zsh(FILE *out)
{
    fputs("#compdef vedapkg\n"
          "_vedapkg() {\n"
          "    local key='' list=''\n"
          "    if ((CURRENT > 2)); then key=$words[2]; fi\n"
          "    if ((CURRENT > 3)); then\n"
          "        case $key in ",
          out);
    put_families(out);
    fputs(") key=\"$key $words[3]\" ;; esac\n    fi\n", out);
    put_cases(out);
    fputs("    compadd -- ${=list}\n"
          "    if ((CURRENT > 2)); then _files; fi\n"
          "}\n"
          "compdef _vedapkg vedapkg",
          out);
}

/* A text between single quotes. */
static void put_quoted(FILE *out, const char *text)
{
    putc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            putc('\\', out);
        putc(*text, out);
    }
    putc('\'', out);
}

static void put_fish_options(FILE *out, const char *where, const struct option_info *infos)
{
    for (const struct option_info *info = infos; info->key != 0; info++) {
        fprintf(out, "complete -c vedapkg%s -l %s", where, info->name);
        if (info->letter != 0)
            fprintf(out, " -s %c", info->letter);
        fputs(info->argument != NULL ? " -r -d " : " -d ", out);
        put_quoted(out, info->text);
        putc('\n', out);
    }
}

static void put_fish(FILE *out)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *command = commands[i];

        int length = first_length(command);
        const char *rest = command->name + length;
        char *where = NULL;

        if (*rest == '\0') {
            fprintf(out, "complete -c vedapkg -n __fish_use_subcommand -a %s -d ", command->name);
            where = format_text(" -n '__fish_seen_subcommand_from %s'", command->name);
        } else {
            if (opens_family(i))
                fprintf(out, "complete -c vedapkg -n __fish_use_subcommand -a %.*s\n", length,
                        command->name);
            fprintf(out, "complete -c vedapkg -n '__fish_seen_subcommand_from %.*s' -a %s -d ",
                    length, command->name, rest + 1);
            where = format_text(" -n '__fish_seen_subcommand_from %.*s; and "
                                "__fish_seen_subcommand_from %s'",
                                length, command->name, rest + 1);
        }
        put_quoted(out, command->summary);
        putc('\n', out);
        put_fish_options(out, where, command->options);
        free(where);
    }
    put_fish_options(out, "", common_options);
    fputs("# every other word is a file", out);
}

static exia_status run_completion(struct call *call, exia_error *err)
{
    static const struct {
        const char *name;
        void (*put)(FILE *out);
    } shells[] = {{"bash", put_bash}, {"zsh", put_zsh}, {"fish", put_fish}};
    const char *shell = call->arguments[0];

    for (size_t i = 0; i < sizeof(shells) / sizeof(*shells); i++) {
        char *script = NULL;
        size_t size = 0;
        FILE *out = NULL;

        if (strcmp(shell, shells[i].name) != 0)
            continue;
        out = must(open_memstream(&script, &size));
        shells[i].put(out);
        must(fclose(out) == 0 ? script : NULL);
        print_answer(call, json_pack("{s:s, s:s}", "shell", shell, "script", script), script);
        free(script);
        return EXIA_OK;
    }
    return misuse(call, err, "there is no completion for '%s', only for bash, zsh and fish", shell);
}

const struct command command_completion = {
    .name = "completion",
    .run = run_completion,
    .synopsis = "(bash | zsh | fish)",
    .summary = "Print a completion script for a shell.",
    .about = "For bash: source <(vedapkg completion bash).",
    .keys = "shell, script",
    .least = 1,
    .most = 1,
};
