/* The table of commands, in the order of the help.  Dispatch, --help, the manual page and shell
 * completion all come from it; what a command is stands beside the function that it runs. */
#include <ctype.h>
#include <string.h>

#include "tool.h"

const struct option_info common_options[] = {
    {OPTION_HELP, 'h', "help", NULL, "say what the command does", false},
    {OPTION_HOME, 0, "home", "DIR",
     "the home of Exia (else EXIA_HOME, else the XDG data directory)", false},
    {OPTION_JSON, 0, "json", NULL, "print JSON, one object a line, with numbers as they are",
     false},
    {OPTION_QUIET, 'q', "quiet", NULL, "no progress, no words but errors", false},
    {OPTION_THREADS, 0, "threads", "N", "work with N threads (0: one a core)", false},
    {0},
};

const struct option_info version_option[] = {
    {OPTION_VERSION, 'V', "version", NULL, "say the version; before any command", false},
    {0},
};

const struct command *const commands[] = {
    &command_init,
    &command_new,
    &command_add,
    &command_pack,
    &command_inspect,
    &command_verify,
    &command_sign,
    &command_unpack,
    &command_cat,
    &command_register,
    &command_update,
    &command_query,
    &command_unregister,
    &command_remote_add,
    &command_remote_list,
    &command_remote_remove,
    &command_remote_check,
    &command_push,
    &command_pull,
    &command_url,
    &command_cache_show,
    &command_cache_clear,
    &command_install,
    &command_uninstall,
    &command_list,
    &command_which,
    &command_activate,
    &command_check,
    &command_prune,
    &command_export,
    &command_import,
    &command_have,
    &command_model_ls,
    &command_model_show,
    &command_model_requirements,
    &command_model_get,
    &command_model_put,
    &command_model_import,
    &command_model_alias,
    &command_model_rollback,
    &command_model_protect,
    &command_model_history,
    &command_model_rm,
    &command_model_retain,
    &command_model_gc,
    &command_model_fsck,
    &command_model_backup,
    &command_model_restore,
    &command_model_sign,
    &command_key_new,
    &command_key_ls,
    &command_key_trust,
    &command_key_revoke,
    &command_help,
    &command_completion,
    NULL,
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

bool command_family(const char *word)
{
    size_t length = strlen(word);

    for (size_t i = 0; length > 0 && commands[i] != NULL; i++) {
        if (strncmp(commands[i]->name, word, length) == 0 && commands[i]->name[length] == ' ')
            return true;
    }
    return false;
}

/* How many letters must be put in, left out or changed to make one word of the other; of long words a
 * great number. */
static size_t distance(const char *from, const char *to)
{
    enum { LONGEST = 32 };
    size_t row[LONGEST + 1], length = strlen(to);

    if (length > LONGEST || strlen(from) > LONGEST)
        return LONGEST;
    for (size_t i = 0; i <= length; i++)
        row[i] = i;
    for (size_t above = 0; *from != '\0'; from++) {
        above = row[0]++;
        for (size_t i = 1; i <= length; i++) {
            size_t best = above + (tolower((unsigned char)*from) != to[i - 1]);

            best = row[i] + 1 < best ? row[i] + 1 : best;
            best = row[i - 1] + 1 < best ? row[i - 1] + 1 : best;
            above = row[i];
            row[i] = best;
        }
    }
    return row[length];
}

const struct command *command_nearest(const char *name)
{
    const struct command *nearest = NULL;
    size_t length = strlen(name), least = 3; /* two letters wrong are too many for a short word */

    for (size_t i = 0; commands[i] != NULL; i++) {
        const char *other = commands[i]->name;
        bool begun = length > 1 && strncmp(other, name, length) == 0;
        size_t away = begun ? 0 : distance(name, other);

        if (away < least && away < length / 2 + 1) {
            nearest = commands[i];
            least = away;
        }
    }
    return nearest;
}
