/* model get: one version as a plain directory, or the bytes of one part, checked.  The selector is
 * resolved once, so that what is written is what is named even while aliases move. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "tool.h"

static exia_status write_all(int fd, const exia_view *view, const char *file, exia_error *err)
{
    enum { PIECE = 1 << 20 };
    const char *at = view->data;
    size_t left = view->size;

    while (left > 0) {
        ssize_t written = write(fd, at, left < PIECE ? left : PIECE);

        if (job_stopped() != 0)
            return fail(err, EXIA_ECANCELLED, "stopped");
        if (written < 0 && errno != EINTR)
            return fail_errno(err, "cannot write", file);
        if (written > 0) {
            at += written;
            left -= (size_t)written;
        }
    }
    return EXIA_OK;
}

/* A file appears whole or not at all: written beside its place, synced, renamed. */
static exia_status write_file(const exia_view *view, const char *file, exia_error *err)
{
    char *beside = format_text("%s.XXXXXX", file);
    int fd = mkostemp(beside, O_CLOEXEC);
    mode_t mask = umask(0);
    exia_status status = EXIA_OK;

    umask(mask);
    if (fd < 0) {
        status = fail_errno(err, "cannot create", beside);
        free(beside);
        return status;
    }
    status = write_all(fd, view, file, err);
    if (status == EXIA_OK && (fchmod(fd, 0666 & ~mask) != 0 || fsync(fd) != 0))
        status = fail_errno(err, "cannot write", file);
    if (close(fd) != 0 && status == EXIA_OK)
        status = fail_errno(err, "cannot write", file);
    if (status == EXIA_OK && rename(beside, file) != 0)
        status = fail_errno(err, "cannot rename to", file);
    if (status != EXIA_OK)
        unlink(beside);
    free(beside);
    return status;
}

/* Something that is there and no regular file (a pipe, a device) is written into as it is. */
static exia_status write_stream(const exia_view *view, const char *file, exia_error *err)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    exia_status status = EXIA_OK;

    if (fd < 0)
        return fail_errno(err, "cannot open", file);
    status = write_all(fd, view, file, err);
    if (close(fd) != 0 && status == EXIA_OK)
        status = fail_errno(err, "cannot write", file);
    return status;
}

static exia_status get_part(struct call *call, const exia_model *model, const json_t *facts,
                            exia_error *err)
{
    const char *part = call_option(call, OPTION_PART);
    const char *file = call_option(call, OPTION_OUTPUT);
    struct stat info = {0};
    exia_view view = {0};
    exia_status status = exia_model_view(&view, model, part, err);

    if (status != EXIA_OK)
        return status;
    if (strcmp(file, "-") == 0)
        return write_all(STDOUT_FILENO, &view, "standard output", err);
    if (stat(file, &info) == 0 && !S_ISREG(info.st_mode)) {
        status = write_stream(&view, file, err);
    } else {
        job_begin(call);
        status = write_file(&view, file, err);
    }
    if (status == EXIA_OK)
        print_answer(call,
                     json_pack("{s:O, s:O, s:s, s:o, s:I}", "name", json_object_get(facts, "name"),
                               "version", json_object_get(facts, "version"), "part", part, "file",
                               json_path(file), "size", (json_int_t)view.size),
                     file);
    return status;
}

static exia_status get_directory(struct call *call, exia_library *library, const json_t *facts,
                                 exia_error *err)
{
    const char *name = json_string_value(json_object_get(facts, "name"));
    long long version = json_integer_value(json_object_get(facts, "version"));
    const char *output = call_option(call, OPTION_OUTPUT);
    char *selector = format_text("%s@%lld", name, version);
    char *directory =
        output != NULL ? format_text("%s", output) : format_text("%s-%lld", name, version);
    exia_status status = exia_library_export(library, selector, directory, job_begin(call), err);

    if (status == EXIA_OK)
        print_answer(call,
                     json_pack("{s:s, s:I, s:o}", "name", name, "version", (json_int_t)version,
                               "directory", json_path(directory)),
                     directory);
    free(selector);
    free(directory);
    return status;
}

static exia_status run_model_get(struct call *call, exia_error *err)
{
    bool part = call_has(call, OPTION_PART);
    const char *output = call_option(call, OPTION_OUTPUT);
    exia_library *library = NULL;
    exia_model *model = NULL;
    json_t *facts = NULL;
    exia_status status = EXIA_OK;

    if (part && output == NULL)
        return misuse(call, err, "--part needs -o FILE, or -o - for standard output");
    if (output != NULL && *output == '\0')
        return misuse(call, err, "-o needs a path, not ''");
    if (output != NULL && strcmp(output, "-") == 0 && (!part || call->json))
        return misuse(call, err, "-o - is for the bytes of one --part, without --json");
    status = library_open(&library, call, true, err);
    if (status == EXIA_OK)
        status = exia_model_open_with(&model, library, call->arguments[0],
                                      part ? EXIA_OPEN_VERIFY : 0, job_begin(call), err);
    job_end();
    if (status != EXIA_OK)
        goto done;
    facts = must(json_loads(exia_model_facts(model), 0, NULL));
    status = part ? get_part(call, model, facts, err) : get_directory(call, library, facts, err);

done:
    json_decref(facts);
    exia_model_free(model);
    exia_library_free(library);
    return status;
}

const struct command command_model_get = {
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
};
