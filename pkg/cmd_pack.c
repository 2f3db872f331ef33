/* pack: write a workspace as one file. */
#include <stdlib.h>
#include <sys/stat.h>

#include "tool.h"

exia_status run_pack(struct call *call, exia_error *err)
{
    exia_pack_options options = {.struct_size = sizeof(options)};
    const char *workspace = call->count == 1 ? call->arguments[0] : ".";
    const char *file = call_option(call, OPTION_OUTPUT);
    char *written = NULL;
    char *identity = NULL;
    json_t *facts = NULL;
    struct stat info = {0};
    int64_t level = 0;
    exia_status status = call_number(&level, call, OPTION_LEVEL, 1, 19, 0, err);

    if (status != EXIA_OK)
        return status;
    if (file != NULL && *file == '\0')
        return misuse(call, err, "-o needs a file, not ''");
    options.level = (int)level;
    status = exia_package_write(&written, workspace, file, &options, job_begin(call), err);
    if (status != EXIA_OK)
        goto done;
    status = package_open(NULL, &facts, written, err);
    if (status != EXIA_OK)
        goto done;
    stat(written, &info);
    identity = package_identity(facts);
    print_answer(call,
                 json_pack("{s:o, s:s, s:O, s:I}", "file", json_path(written), "package", identity,
                           "digest", json_object_get(facts, "digest"), "size",
                           (json_int_t)info.st_size),
                 written);

done:
    exia_text_free(written);
    free(identity);
    json_decref(facts);
    return status;
}
