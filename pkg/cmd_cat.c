/* cat: one file of a package to stdout; only the part of the package that holds it is read. */
#include <stdlib.h>
#include <unistd.h>

#include "tool.h"

static exia_status print_text(struct call *call, const exia_package *package, const char *path,
                              exia_error *err)
{
    char *data = NULL;
    json_t *text = NULL;
    uint64_t size = 0;
    exia_status status = exia_package_file_size(&size, package, path, err);

    if (status != EXIA_OK)
        return status;
    data = must(malloc(size > 0 ? size : 1));
    status = exia_package_read(data, package, path, 0, size, job_begin(call), err);
    if (status == EXIA_OK) {
        text = json_stringn(data, size); /* NULL: it is not UTF-8 */
        print_answer(call,
                     json_pack("{s:o, s:I, s:o}", "path", json_path(path), "size", (json_int_t)size,
                               "text", text != NULL ? text : json_null()),
                     NULL);
    }
    free(data);
    return status;
}

static exia_status run_cat(struct call *call, exia_error *err)
{
    const char *path = call->arguments[1];
    const exia_verify_options signature = {.struct_size = sizeof(signature), .quick = 1};
    exia_package *package = NULL;
    exia_status status = exia_package_open(&package, call->arguments[0], err);

    if (status == EXIA_OK)
        status = exia_package_verify(package, &signature, NULL, err);
    if (status == EXIA_OK)
        status = call->json ? print_text(call, package, path, err)
                            : exia_package_cat(package, path, STDOUT_FILENO, job_begin(call), err);
    exia_package_free(package);
    return status;
}

const struct command command_cat = {
    .name = "cat",
    .run = run_cat,
    .synopsis = "FILE PATH",
    .summary = "Write one file of a package to stdout, without reading the rest.",
    .about = "What was written is good only when the exit code is 0: the digest is known last. "
             " With --json it is a text, null when it is not UTF-8.",
    .keys = "path, size, text",
    .least = 2,
    .most = 2,
};
