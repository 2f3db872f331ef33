/* What the commands of vedapkg share: the table that describes them, a parsed command line, output.
 *
 * A command is a `struct command` beside the function that it runs.  That answers as the library does,
 * with a status and a filled error; main() prints the error and makes the exit code.  Data goes to
 * stdout by the print_ functions, words to stderr by say(). */
#ifndef PKG_TOOL_H
#define PKG_TOOL_H

#include <jansson.h>
#include <stdbool.h>

#include "exia.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_PIPE = 141 };

/* ---- the table ------------------------------------------------------------------------------ */

/* Beyond the letters, so that getopt_long() can answer either. */
enum option_key {
    OPTION_ALIAS = 256,
    OPTION_APPLY,
    OPTION_AS,
    OPTION_BEST,
    OPTION_BLOBS,
    OPTION_COMMENT,
    OPTION_COMPONENT,
    OPTION_DIRECTORY,
    OPTION_DRY_RUN,
    OPTION_ENTRY,
    OPTION_EVER,
    OPTION_EXPECT,
    OPTION_EXPIRES,
    OPTION_FACTS,
    OPTION_FILES,
    OPTION_NEEDS,
    OPTION_PLATFORM,
    OPTION_FROM,
    OPTION_GRACE,
    OPTION_HAVE,
    OPTION_HELP,
    OPTION_HOME,
    OPTION_JSON,
    OPTION_KEEP_CURRENT,
    OPTION_KEY,
    OPTION_LAST,
    OPTION_LEVEL,
    OPTION_LIBRARY,
    OPTION_LOCK,
    OPTION_LOCKED,
    OPTION_MAN,
    OPTION_MERGE,
    OPTION_MESSAGE,
    OPTION_METRIC,
    OPTION_NO_DEPS,
    OPTION_NO_SYNC,
    OPTION_OFF,
    OPTION_OUTPUT,
    OPTION_PACKAGES,
    OPTION_PARAM,
    OPTION_PART,
    OPTION_PASSWORD_STDIN,
    OPTION_PATTERN,
    OPTION_QUICK,
    OPTION_QUIET,
    OPTION_RECORDS,
    OPTION_REGISTERED,
    OPTION_REMOTE,
    OPTION_REPAIR,
    OPTION_REQUIRE_SIGNATURE,
    OPTION_SIGN,
    OPTION_SIGNATURE,
    OPTION_TAG,
    OPTION_THREADS,
    OPTION_TO,
    OPTION_UNPACK,
    OPTION_TRUST,
    OPTION_TRY,
    OPTION_UPGRADE,
    OPTION_VERSION,
    OPTION_WAIT,
    OPTION_WHERE,
    OPTION_WORST,
    OPTION_YOUNGER,
};

struct option_info {
    enum option_key key; /* 0 ends a list */
    char letter;         /* 0: none */
    const char *name, *argument /* NULL: a flag */, *text;
    bool required;
};

struct call;
typedef exia_status run_fn(struct call *call, exia_error *err);

struct command {
    const char *name; /* "pack", "model put" */
    run_fn *run;
    const char *synopsis; /* what follows the name */
    const char *summary;  /* one line */
    const char *about;    /* the rest of the story, a paragraph; NULL: none */
    const char *keys; /* of each object that --json prints: "name, version; with --files: path" */
    int least, most;  /* arguments that are no options; most < 0: any number */
    struct option_info options[10]; /* its own; common_options go without saying */
};

extern const struct command *const commands[];    /* ends with NULL */
extern const struct option_info common_options[]; /* ends with a zero key */
extern const struct option_info version_option[]; /* of vedapkg itself */
const struct command *command_find(const char *name);
const struct command *command_nearest(const char *name); /* what may be meant; NULL: nothing */
bool command_family(const char *word);                   /* is it "remote", "model" ...? */

/* ---- a parsed command line ------------------------------------------------------------------ */

struct given {
    enum option_key key;
    const char *value;
};

struct call {
    const struct command *command; /* NULL: help or the version is asked for */
    const char *family;            /* "model"; NULL: none */
    char **arguments;
    int count;
    struct given *given; /* in the order of the command line */
    int given_count;
    bool json, quiet;
    bool misused; /* the failure is the caller's: exit 2 and a word about the help */
    exia_job job;
};

/* Fill `call` from the command line.  Where that asks for help or a version, `command` is NULL or
 * OPTION_HELP is given, and nothing else is checked. */
exia_status call_parse(struct call *call, int argc, char **argv, exia_error *err);
bool call_has(const struct call *call, enum option_key key);
/* The last one given; NULL: none. */
const char *call_option(const struct call *call, enum option_key key);
/* A whole number from `least` to `most`, `absent` when it was not given. */
exia_status call_number(int64_t *out, struct call *call, enum option_key key, int64_t least,
                        int64_t most, int64_t absent, exia_error *err);
/* "90s", "12h", "7d" in milliseconds, 0 when it was not given. */
exia_status call_time(int64_t *out, struct call *call, enum option_key key, exia_error *err);
exia_status number_parse(int64_t *out, const char *text, int64_t least, int64_t most);
/* Put "KEY=VALUE" into `object`; how VALUE is read, `kind` says. */
enum value_kind { VALUE_TEXT, VALUE_NUMBER, VALUE_ANY };
exia_status pair_parse(json_t *object, struct call *call, const char *pair, enum value_kind kind,
                       exia_error *err);

exia_status fail(exia_error *err, exia_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
exia_status fail_errno(exia_error *err, const char *what, const char *path);
exia_status misuse(struct call *call, exia_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Made by printf's rules, to be freed; without memory the tool says so and ends. */
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *must(void *memory); /* ends the tool when it is NULL */

/* ---- output --------------------------------------------------------------------------------- */

/* A column of a table: where its cells are in a row and how they are written. */
enum cell_kind { CELL_TEXT, CELL_NUMBER, CELL_SIZE, CELL_TIME };
struct column {
    const char *heading, *key;
    enum cell_kind kind;
};

/* Take all rows out of a listing; `out` is an array of objects. */
exia_status rows_take(json_t **out, exia_rows *rows, exia_error *err);
/* Print a listing: one JSON object a line, or a table.  `none`: what to say of an empty one.
 * Columns end with a NULL heading. */
exia_status print_rows(const struct call *call, exia_rows *rows, const struct column *columns,
                       const char *none, exia_error *err);
void print_table(const json_t *rows, const struct column *columns);
void print_json(const json_t *object);
/* The one object that a command answers with --json; takes over `object`.  Else `text` as a line;
 * NULL: nothing. */
void print_answer(const struct call *call, json_t *object, const char *text);
/* A path as a JSON string; bytes that are not UTF-8 become '?'. */
json_t *json_path(const char *path);
/* "key  value" as a line of an aligned list; a value that is empty is left out. */
void print_fact(const char *key, const json_t *value, enum cell_kind kind);
/* One value as people read it; to be freed. */
char *value_text(const json_t *value, enum cell_kind kind);
/* A word about what was done, on stderr; -q keeps it back. */
void say(const struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The job for a long library call: shows progress on a terminal and stops at Ctrl-C. */
const exia_job *job_begin(struct call *call);
void job_end(void);    /* wipe the progress line */
int job_stopped(void); /* the signal that asked to stop; 0: none */

/* ---- what several commands do --------------------------------------------------------------- */

/* Open the model library that the options name.  Reading creates nothing. */
exia_status library_open(exia_library **out, const struct call *call, bool read_only,
                         exia_error *err);
/* --expect; EXIA_ANY when it was not given. */
exia_status call_expect(int64_t *out, struct call *call, exia_error *err);
/* Open a package file and parse its facts.  `package` may be NULL: then it is closed again. */
exia_status package_open(exia_package **package, json_t **facts, const char *file, exia_error *err);
exia_status package_facts(json_t **facts, const exia_package *package, const char *file,
                          exia_error *err);
/* Read one from standard input, verifying it; unpack it unless `directory` is NULL. */
exia_status package_receive(exia_package **package, const char *directory, struct call *call,
                            exia_error *err);
/* "name@version#tag" out of such facts, to be freed. */
char *package_identity(const json_t *facts);
/* The row of its signature by the trust file of the options, or JSON's null; and that in words, to be
 * freed. */
exia_status package_signature(json_t **out, const exia_package *package, const struct call *call,
                              exia_error *err);
char *signature_words(const json_t *signature);

/* A password, to be wiped.  Reading it: from stdin with --password-stdin, else on the terminal, which
 * must be there; choosing one asks twice there. */
enum { PASSWORD_MOST = 1000 };
struct password {
    char text[PASSWORD_MOST + 1];
};
bool password_can_ask(void);
exia_status password_read(struct password *out, const struct call *call, exia_error *err);
exia_status password_choose(struct password *out, const struct call *call, exia_error *err);
void password_wipe(struct password *password);
/* Sign `what` with the key, the comment and the password that the options name; a key that turns out
 * to be encrypted asks for its password where somebody is there to give it. */
typedef exia_status sign_fn(void *what, const exia_sign_options *options, exia_error *err);
exia_status sign_asking(struct call *call, exia_sign_options *options, sign_fn *sign, void *what,
                        exia_error *err);

void help_overview(void);
void help_command(const struct command *command);
void help_family(const char *word);

/* Each is beside the function that it runs. */
extern const struct command command_init, command_new, command_add, command_pack, command_inspect,
    command_verify, command_sign, command_unpack, command_cat, command_register, command_update,
    command_query, command_unregister, command_remote_add, command_remote_list,
    command_remote_remove, command_remote_check, command_push, command_pull, command_url,
    command_cache_show, command_cache_clear, command_install, command_uninstall, command_list,
    command_which, command_activate, command_check, command_prune, command_export, command_import,
    command_have, command_model_ls, command_model_show, command_model_requirements,
    command_model_get, command_model_put, command_model_import, command_model_alias,
    command_model_rollback, command_model_protect, command_model_history, command_model_rm,
    command_model_retain, command_model_gc, command_model_fsck, command_model_backup,
    command_model_restore, command_model_sign, command_key_new, command_key_ls, command_key_trust,
    command_key_revoke, command_help, command_completion;

#endif
