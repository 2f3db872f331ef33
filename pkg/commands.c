/* The table of commands.  Dispatch, --help, the manual page and shell completion all come from it,
 * so what is described here is what there is. */
#include <string.h>

#include "tool.h"

#define REMOTE(TEXT)                                                                               \
    {                                                                                              \
        OPTION_REMOTE, 0, "remote", "REMOTE", TEXT, false                                          \
    }
/* clang-format off */
#define LIBRARY                                                                                    \
    {OPTION_LIBRARY, 0, "library", "URL", "this library, not HOME/models", false},                 \
    {OPTION_BLOBS, 0, "blobs", "URL", "where its files are, when not beside its records", false}
#define MESSAGE {OPTION_MESSAGE, 'm', "message", "TEXT", "why; goes into the history", false}
#define PASSWORD {OPTION_PASSWORD_STDIN, 0, "password-stdin", NULL,                                \
                  "the key's password is the first line of stdin", false}
#define KEY {OPTION_KEY, 0, "key", "FILE", "the secret key (HOME/key.pem)", false}
#define COMMENT {OPTION_COMMENT, 0, "comment", "TEXT", "one line, which is signed, too", false}
#define REQUIRE_SIGNATURE {OPTION_REQUIRE_SIGNATURE, 0, "require-signature", NULL,                 \
                           "fail unless a key that you trust signed it", false}
#define TRUST {OPTION_TRUST, 0, "trust", "FILE", "this policy, not HOME/trust.json", false}
#define EXPECT {OPTION_EXPECT, 0, "expect", "VERSION",                                             \
        "move the alias only if it stands there (none: nowhere)", false}
/* clang-format on */

#define PACKAGE_KEYS                                                                               \
    "name, version, tag, digest, file, size, signed, time, description, components, "              \
    "dependencies, facts"
#define MODEL_KEYS                                                                                 \
    "name, version, time, who, why, tags, metrics, params, parent, environment, imports, parts, "  \
    "aliases"

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

const struct command commands[] = {
    {
        .name = "init",
        .run = run_init,
        .synopsis = "[DIR]",
        .summary = "Make a home ready: its registry and its model library.",
        .about = "Prints the directory.  DIR is the same as --home DIR.  Running it again changes "
                 "nothing; every other command does it by itself when it must.",
        .keys = "home",
        .most = 1,
    },
    {
        .name = "new",
        .run = run_new,
        .synopsis = "NAME [DIR]",
        .summary = "Start a workspace: a directory with a veda.json.",
        .about = "Prints the directory: DIR, or NAME in the current one.",
        .keys = "name, directory",
        .least = 1,
        .most = 2,
    },
    {
        .name = "add",
        .run = run_add,
        .synopsis = "[PATH...] [--entry NAME=MODULE:OBJECT]",
        .summary = "Copy files or directories into the workspace as components.",
        .about =
            "Each PATH goes to KIND/BASENAME and is listed in veda.json.  With --as model a "
            "PATH that reads NAME@SELECTOR comes out of the model library.  An entry point "
            "is what a user of the package calls.  With --unpack a PATH is a .tar, .tar.gz, "
            ".tar.zst or .zip: its files go to KIND/NAME, and one that is absolute, leads out, "
            "or is no file, directory or link is refused.",
        .keys = "path, kind; with --entry: entry, object",
        .most = -1,
        .options =
            {
                {OPTION_AS, 0, "as", "KIND", "code, model, data, env or doc; else guessed", false},
                {OPTION_DIRECTORY, 'C', "directory", "DIR",
                 "the workspace (else the current "
                 "directory)",
                 false},
                {OPTION_ENTRY, 0, "entry", "NAME=MODULE:OBJECT",
                 "name an entry point; may be repeated", false},
                {OPTION_UNPACK, 0, "unpack", NULL, "each PATH is an archive: add what is in it",
                 false},
            },
    },
    {
        .name = "pack",
        .run = run_pack,
        .synopsis = "[DIR]",
        .summary = "Write a workspace as one .veda file.",
        .about = "Prints the file.  DIR is the workspace, else the current directory.  The file "
                 "appears whole or not at all; what .vedaignore lists stays out.",
        .keys = "file, package, digest, size",
        .most = 1,
        .options =
            {
                {OPTION_OUTPUT, 'o', "output", "FILE",
                 "write here, not NAME-VERSION-TAG.veda in the current directory", false},
                {OPTION_LEVEL, 0, "level", "N", "of zstd, 1 to 19 (3)", false},
                {OPTION_SIGN, 0, "sign", NULL, "sign it, too, as vedapkg sign does", false},
                KEY,
                PASSWORD,
                COMMENT,
            },
    },
    {
        .name = "inspect",
        .run = run_inspect,
        .synopsis = "FILE",
        .summary = "Show what a package is, without reading its payload.",
        .keys = "package, manifest, digest, signature; with --files: path, type, mode, size",
        .least = 1,
        .most = 1,
        .options = {{OPTION_FILES, 0, "files", NULL, "list its files", false}, TRUST},
    },
    {
        .name = "verify",
        .run = run_verify,
        .synopsis = "FILE [PATH]",
        .summary = "Read a whole package and compare it with its record.",
        .about = "Exit 0 means that every file in it is as it was packed; with PATH, a file or a "
                 "directory in it, that this is, and the rest is not read.  FILE - is standard "
                 "input, read in order to its end.  A signature is told; a "
                 "trusted one is required with --require-signature, or where trust.json has "
                 "\"require_signature\": true.",
        .keys = "file, package, digest, signature",
        .least = 1,
        .most = 2,
        .options =
            {
                {OPTION_QUICK, 0, "quick", NULL,
                 "only the index, the metadata, the record and the signature", false},
                REQUIRE_SIGNATURE,
                TRUST,
            },
    },
    {
        .name = "sign",
        .run = run_sign,
        .synopsis = "FILE [--key FILE]",
        .summary = "Sign a package, so that others know it is yours.",
        .about =
            "Prints the file.  All of it is verified first.  The signature goes to its end, in "
            "place of one that is there; the digest stays.  An encrypted key asks for its "
            "password on a terminal.",
        .keys = "file, signature",
        .least = 1,
        .most = 1,
        .options =
            {
                KEY,
                PASSWORD,
                COMMENT,
                {OPTION_SIGNATURE, 0, "signature", "FILE",
                 "take this one, which minisign made of VEDA/METADATA.json, by a trusted key",
                 false},
                TRUST,
                {OPTION_OUTPUT, 'o', "output", "FILE", "write here, and leave FILE as it is",
                 false},
            },
    },
    {
        .name = "unpack",
        .run = run_unpack,
        .synopsis = "FILE [DIR]",
        .summary = "Unpack a package into a new directory, verifying it.",
        .about = "Prints the directory: DIR, else FILE without .veda in the current one.  It is "
                 "filled whole or not at all.  FILE - is standard input, unpacked as it comes and "
                 "shown when all of it is verified.",
        .keys = "file, directory",
        .least = 1,
        .most = 2,
        .options = {{OPTION_PATTERN, 0, "pattern", "P",
                     "only what matches P, as in model/*, or lies below a match", false},
                    {OPTION_COMPONENT, 0, "component", "PATH",
                     "only this component, by its path as inspect shows it", false},
                    {OPTION_NO_SYNC, 0, "no-sync", NULL,
                     "do not wait for the disk: a crash of the system may lose it", false},
                    REQUIRE_SIGNATURE,
                    TRUST},
    },
    {
        .name = "cat",
        .run = run_cat,
        .synopsis = "FILE PATH",
        .summary = "Write one file of a package to stdout, without reading the rest.",
        .about = "What was written is good only when the exit code is 0: the digest is known last. "
                 " With --json it is a text, null when it is not UTF-8.",
        .keys = "path, size, text",
        .least = 2,
        .most = 2,
    },
    {
        .name = "register",
        .run = run_register,
        .synopsis = "FILE",
        .summary = "Make a package known and keep its bytes.",
        .about =
            "Prints the package as NAME@VERSION#TAG.  The bytes are checked, kept, then recorded; "
            "doing it again is no error.",
        .keys = "package, digest",
        .least = 1,
        .most = 1,
        .options = {REMOTE("register it there, not here")},
    },
    {
        .name = "update",
        .run = run_update,
        .synopsis = "PACKAGE (KEY=VALUE... | --facts JSON)",
        .summary = "Replace the free facts about a registered package.",
        .about = "The facts given replace all that were there.  A VALUE that is a JSON number, "
                 "true, false or null is kept as that, one in double quotes and everything else "
                 "as text.",
        .keys = "package, facts",
        .least = 1,
        .most = -1,
        .options =
            {
                {OPTION_FACTS, 0, "facts", "JSON", "the facts as one JSON object", false},
                REMOTE("update it there, not here"),
            },
    },
    {
        .name = "query",
        .run = run_query,
        .synopsis = "[FILTER]",
        .summary = "List registered packages, newest version first.",
        .about = "FILTER is an expression over the keys of the rows: name like 'digit%' and "
                 "facts.stage = 'prod' order by time desc limit 10.  It has = != < <= > >=, and, "
                 "or, not, in, like, is null.",
        .keys = PACKAGE_KEYS,
        .most = 1,
        .options = {REMOTE("list what is there, not here")},
    },
    {
        .name = "unregister",
        .run = run_unregister,
        .synopsis = "NAME@VERSION[#TAG]",
        .summary = "Forget a registered package.",
        .keys = "package",
        .least = 1,
        .most = 1,
        .options = {REMOTE("forget it there, not here")},
    },
    {
        .name = "remote add",
        .run = run_remote_add,
        .synopsis = "NAME --records URL --packages URL",
        .summary = "Remember a remote: where its records and its packages are.",
        .about = "sqlite:FILE and file:DIR make any shared directory a remote.",
        .keys = "name, records, packages",
        .least = 1,
        .most = 1,
        .options =
            {
                {OPTION_RECORDS, 0, "records", "URL", "what there is, as in sqlite:/srv/exia.db",
                 true},
                {OPTION_PACKAGES, 0, "packages", "URL", "the bytes, as in file:/srv/exia", true},
            },
    },
    {
        .name = "remote list",
        .run = run_remote_list,
        .synopsis = "",
        .summary = "List the remotes; passwords are not shown.",
        .keys = "name, records, packages",
    },
    {
        .name = "remote remove",
        .run = run_remote_remove,
        .synopsis = "NAME",
        .summary = "Forget a remote; what is there stays.",
        .keys = "name",
        .least = 1,
        .most = 1,
    },
    {
        .name = "remote check",
        .run = run_remote_check,
        .synopsis = "NAME",
        .summary = "Open both sides of a remote and say what is there.",
        .keys = "store, key, value",
        .least = 1,
        .most = 1,
    },
    {
        .name = "push",
        .run = run_push,
        .synopsis = "PACKAGE --to REMOTE",
        .summary = "Send a package that is registered here to a remote.",
        .about = "What the remote has already is not sent again.",
        .keys = "package, remote, total, moved, reused",
        .least = 1,
        .most = 1,
        .options = {{OPTION_TO, 0, "to", "REMOTE", "where to", true}},
    },
    {
        .name = "pull",
        .run = run_pull,
        .synopsis = "PACKAGE --from REMOTE",
        .summary = "Fetch a package from a remote and register it here.",
        .about = "What is here already is not fetched again.",
        .keys = "package, remote, total, moved, reused",
        .least = 1,
        .most = 1,
        .options = {{OPTION_FROM, 0, "from", "REMOTE", "where from", true}},
    },
    {
        .name = "install",
        .run = run_install,
        .synopsis = "PACKAGE",
        .summary = "Install a package and all that it needs, or nothing.",
        .about = "Prints the directory where it lies.",
        .keys = "package, directory",
        .least = 1,
        .most = 1,
        .options = {{OPTION_FROM, 0, "from", "REMOTE", "pull what is missing here from there",
                     false}},
    },
    {
        .name = "uninstall",
        .run = run_uninstall,
        .synopsis = "PACKAGE",
        .summary = "Remove an installed package that no other one needs.",
        .keys = "package",
        .least = 1,
        .most = 1,
    },
    {
        .name = "list",
        .run = run_list,
        .synopsis = "[PACKAGE [--files]]",
        .summary = "List what is installed, or the files of one package.",
        .keys = "name, version, tag, digest, directory, time, entry_points, components, "
                "dependencies, requested; with --files: path, type, size",
        .most = 1,
        .options = {{OPTION_FILES, 0, "files", NULL, "the files of PACKAGE, by full path", false}},
    },
    {
        .name = "which",
        .run = run_which,
        .synopsis = "PATH",
        .summary = "Say which installed package a path belongs to.",
        .keys = "path, package",
        .least = 1,
        .most = 1,
    },
    {
        .name = "model ls",
        .run = run_model_ls,
        .synopsis = "[FILTER]",
        .summary = "List versions of models, newest first.",
        .about = "FILTER is an expression over the keys of the rows: name = 'digits' and "
                 "metrics.accuracy > 0.9 order by metrics.accuracy desc limit 10.",
        .keys = MODEL_KEYS,
        .most = 1,
        .options = {LIBRARY},
    },
    {
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
    },
    {
        .name = "model requirements",
        .run = run_model_requirements,
        .synopsis = "SELECTOR",
        .summary = "Print the packages that a version was written under, as pip takes them.",
        .about = "For pip: vedapkg model requirements NAME >requirements.txt.",
        .keys = "name, version, requirements",
        .least = 1,
        .most = 1,
        .options = {LIBRARY},
    },
    {
        .name = "model get",
        .run = run_model_get,
        .synopsis = "SELECTOR [-o DIR | --part PART -o FILE]",
        .summary = "Write a version as a plain directory, or one part as a file.",
        .about = "Prints the directory, NAME-VERSION when -o does not name it; it holds "
                 "version.json and one file a part, and must not be there yet.  With --part the "
                 "bytes, checked, go to FILE (-: to stdout).",
        .keys = "name, version, directory; with --part: name, version, part, file, size",
        .least = 1,
        .most = 1,
        .options =
            {
                {OPTION_OUTPUT, 'o', "output", "PATH", "write here", false},
                {OPTION_PART, 0, "part", "PART", "only this part", false},
                LIBRARY,
            },
    },
    {
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
                {OPTION_ALIAS, 0, "alias", "ALIAS", "move this alias to it in the same step",
                 false},
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
    },
    {
        .name = "model import",
        .run = run_model_import,
        .synopsis = "NAME PATH...",
        .summary = "Take in files that were made elsewhere, each as the next version of a model.",
        .about =
            "PATH is a file (of safetensors, ONNX, joblib, pickle, or any other) or a directory "
            "that model get wrote.  What is there already stays as it is.  No pickle is "
            "loaded; whoever reads it later does so by the policy, for it is from elsewhere.  "
            "Python's Library.import_from also takes directories and MLflow's store.",
        .keys = "do, name, version, source",
        .least = 2,
        .most = -1,
        .options = {{OPTION_DRY_RUN, 'n', "dry-run", NULL,
                     "change nothing, tell what would be done", false},
                    MESSAGE,
                    LIBRARY},
    },
    {
        .name = "model alias",
        .run = run_model_alias,
        .synopsis = "NAME ALIAS (VERSION | none)",
        .summary = "Move an alias to a version, or remove it.",
        .keys = "name, alias, version",
        .least = 3,
        .most = 3,
        .options = {EXPECT, MESSAGE, LIBRARY},
    },
    {
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
    },
    {
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
    },
    {
        .name = "model history",
        .run = run_model_history,
        .synopsis = "NAME [ALIAS]",
        .summary = "List all that was done to a model, or to one alias: what, when, who, why.",
        .keys = "seq, do, time, who, why, version, moves",
        .least = 1,
        .most = 2,
        .options = {LIBRARY},
    },
    {
        .name = "model rm",
        .run = run_model_rm,
        .synopsis = "NAME@VERSION",
        .summary = "Hide a version for ever; its number is not used again.",
        .keys = "name, version",
        .least = 1,
        .most = 1,
        .options = {MESSAGE, LIBRARY},
    },
    {
        .name = "model retain",
        .run = run_model_retain,
        .synopsis = "[NAME] [RULE...] [--apply]",
        .summary = "Remove the versions that no rule keeps, or only tell which.",
        .about = "A version that any RULE keeps stays, and so does one that an alias is on.  "
                 "Without --apply nothing is changed.  TIME is as in 12h or 30d.",
        .keys = "name, version, time, size, do, why",
        .most = 1,
        .options =
            {
                {OPTION_LAST, 0, "last", "N", "keep the newest N of each model", false},
                {OPTION_YOUNGER, 0, "younger", "TIME", "keep what is younger", false},
                {OPTION_BEST, 0, "best", "FIELD=N",
                 "keep the N with the highest, as in metrics.auc=3; may be repeated", false},
                {OPTION_WORST, 0, "worst", "FIELD=N", "keep the N with the lowest", false},
                {OPTION_WHERE, 0, "where", "FILTER", "keep what the filter selects", false},
                {OPTION_EVER, 0, "ever", NULL, "keep what an alias ever was on", false},
                {OPTION_APPLY, 0, "apply", NULL, "do it", false},
                LIBRARY,
            },
    },
    {
        .name = "model gc",
        .run = run_model_gc,
        .synopsis = "[--grace TIME] [--dry-run | --wait]",
        .summary = "Remove the files that no version names any more.",
        .about = "What has been dead for the grace is marked, and removed by a call half a grace "
                 "later; so run it daily.  Writers go on meanwhile, and none may be stopped for "
                 "longer than the grace.  TIME is as in 90s, 30m, 12h or 7d.",
        .keys = "key, size, modified, do, why",
        .options =
            {
                {OPTION_DRY_RUN, 0, "dry-run", NULL, "only tell what would be removed", false},
                {OPTION_GRACE, 0, "grace", "TIME", "keep what was used so recently (7d)", false},
                {OPTION_WAIT, 0, "wait", NULL, "stay for half the grace and do it all", false},
                LIBRARY,
            },
    },
    {
        .name = "model fsck",
        .run = run_model_fsck,
        .synopsis = "[--quick | --repair]",
        .summary = "Check the logs and every byte of a library; with --repair mend it.",
        .about = "Exit 0 means that every version can be read.  A part whose bytes are lost is "
                 "mended where another copy of them is there.",
        .keys = "severity, what, name, version, key, text, repaired",
        .options =
            {
                {OPTION_QUICK, 0, "quick", NULL, "compare sizes, do not read the files", false},
                {OPTION_REPAIR, 0, "repair", NULL, "mend what can be mended", false},
                LIBRARY,
            },
    },
    {
        .name = "model backup",
        .run = run_model_backup,
        .synopsis = "PATH [NAME...]",
        .summary = "Back up the models, or some, while others write to them.",
        .about = "PATH is a directory, which gets what is new since the last time, or one new file "
                 "when it ends in .tar.zst.",
        .keys = "name, entries, new",
        .least = 1,
        .most = -1,
        .options = {LIBRARY},
    },
    {
        .name = "model restore",
        .run = run_model_restore,
        .synopsis = "PATH [NAME...]",
        .summary = "Bring the models of a backup, or some, into a library.",
        .about =
            "What is there already stays, a model that lacks the last entries gets them, and "
            "one that has others is refused.  What was restored is from elsewhere: its pickles "
            "go by the policy.",
        .keys = "name, entries, new",
        .least = 1,
        .most = -1,
        .options = {LIBRARY},
    },
    {
        .name = "model sign",
        .run = run_model_sign,
        .synopsis = "SELECTOR [--key FILE]",
        .summary = "Sign a version, so that it is trusted where your key is.",
        .about = "Prints NAME@VERSION.  Every part is compared with its digest first.  An "
                 "encrypted key asks for its password on a terminal.",
        .keys = "name, version",
        .least = 1,
        .most = 1,
        .options =
            {
                KEY,
                PASSWORD,
                COMMENT,
                MESSAGE,
                LIBRARY,
            },
    },
    {
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
    },
    {
        .name = "key ls",
        .run = run_key_ls,
        .synopsis = "",
        .summary = "List the keys whose signatures count, and those revoked.",
        .keys = "name, id, key, revoked, why",
        .options = {TRUST},
    },
    {
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
    },
    {
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
    },
    {
        .name = "help",
        .run = run_help,
        .synopsis = "[COMMAND]",
        .summary = "Say what a command does, or list them all.",
        .keys = "name, synopsis, summary, about, options, keys",
        .most = 2,
        .options = {{OPTION_MAN, 0, "man", NULL, "print the manual page", false}},
    },
    {
        .name = "completion",
        .run = run_completion,
        .synopsis = "(bash | zsh | fish)",
        .summary = "Print a completion script for a shell.",
        .about = "For bash: source <(vedapkg completion bash).",
        .keys = "shell, script",
        .least = 1,
        .most = 1,
    },
    {0},
};

const struct command *command_find(const char *name)
{
    for (const struct command *command = commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

bool command_family(const char *word)
{
    size_t length = strlen(word);

    for (const struct command *command = commands; length > 0 && command->name != NULL; command++) {
        if (strncmp(command->name, word, length) == 0 && command->name[length] == ' ')
            return true;
    }
    return false;
}
