/* pack: write a workspace as one file. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"
#include "tool.h"

struct packing {
    struct call *call;
    exia_pack_options options;
    char *written;
};

/* Signed as `sign` says; NULL: not at all. */
static exia_status pack(void *what, const exia_sign_options *sign, exia_error *err)
{
    struct packing *now = what;
    const char *workspace = now->call->count == 1 ? now->call->arguments[0] : ".";

    now->options.sign = sign;
    return exia_package_write(&now->written, workspace, call_option(now->call, OPTION_OUTPUT),
                              &now->options, job_begin(now->call), err);
}

static exia_status run_pack(struct call *call, exia_error *err)
{
    struct packing now = {.call = call, .options = {.struct_size = sizeof(now.options)}};
    exia_sign_options sign = {.struct_size = sizeof(sign)};
    const char *file = call_option(call, OPTION_OUTPUT);
    char *identity = NULL;
    json_t *facts = NULL;
    struct stat info = {0};
    int64_t level = 0;
    exia_status status = call_number(&level, call, OPTION_LEVEL, 1, 19, 0, err);

    if (status != EXIA_OK)
        return status;
    if (file != NULL && (*file == '\0' || strcmp(file, "-") == 0))
        return misuse(call, err, "-o needs a file, not '%s': a package appears whole or not at all",
                      file);
    if (!call_has(call, OPTION_SIGN) &&
        (call_has(call, OPTION_KEY) || call_has(call, OPTION_COMMENT) ||
         call_has(call, OPTION_PASSWORD_STDIN)))
        return misuse(call, err, "a key, a comment and a password go with --sign");
    now.options.level = (int)level;
    status = call_has(call, OPTION_SIGN) ? sign_asking(call, &sign, pack, &now, err)
                                         : pack(&now, NULL, err);
    if (status != EXIA_OK)
        goto done;
    status = package_open(NULL, &facts, now.written, err);
    if (status != EXIA_OK)
        goto done;
    stat(now.written, &info);
    identity = package_identity(facts);
    print_answer(call,
                 json_pack("{s:o, s:s, s:O, s:I}", "file", json_path(now.written), "package",
                           identity, "digest", json_object_get(facts, "digest"), "size",
                           (json_int_t)info.st_size),
                 now.written);

done:
    exia_text_free(now.written);
    free(identity);
    json_decref(facts);
    return status;
}

const struct command command_pack = {
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
};
