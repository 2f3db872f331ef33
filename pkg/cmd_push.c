/* push, pull: a registered package from here to a remote, or from there to here. */
#include <stdlib.h>

#include "tool.h"

#define DRY_RUN                                                                                    \
    {                                                                                              \
        OPTION_DRY_RUN, 0, "dry-run", NULL, "only tell what would move", false                     \
    }

typedef exia_status transfer_fn(exia_transfer *out, exia_registry *registry, const char *package,
                                const char *remote, const exia_transfer_options *options,
                                const exia_job *job, exia_error *err);

static exia_status transfer(struct call *call, transfer_fn *move, enum option_key key,
                            exia_error *err)
{
    const char *package = call->arguments[0];
    const char *remote = call_option(call, key);
    const exia_transfer_options options = {
        .struct_size = sizeof(options),
        .dry_run = call_has(call, OPTION_DRY_RUN),
    };
    exia_transfer moved = {0};
    exia_registry *registry = NULL;
    exia_status status = exia_registry_open(&registry, NULL, err);

    if (status == EXIA_OK)
        status = move(&moved, registry, package, remote, &options, job_begin(call), err);
    exia_registry_free(registry);
    if (status == EXIA_OK) {
        json_t *total = must(json_integer((json_int_t)moved.total));
        json_t *sent = must(json_integer((json_int_t)moved.moved));
        char *total_text = value_text(total, CELL_SIZE);
        char *sent_text = value_text(sent, CELL_SIZE);

        print_answer(call,
                     json_pack("{s:s, s:s, s:O, s:O, s:I}", "package", moved.package, "remote",
                               remote, "total", total, "moved", sent, "reused",
                               (json_int_t)moved.reused),
                     NULL);
        say(call, options.dry_run ? "%s: %s of %s would move" : "%s: %s of %s moved", moved.package,
            sent_text, total_text);
        free(total_text);
        free(sent_text);
        json_decref(total);
        json_decref(sent);
    }
    return status;
}

static exia_status run_push(struct call *call, exia_error *err)
{
    return transfer(call, exia_registry_push, OPTION_TO, err);
}

const struct command command_push = {
    .name = "push",
    .run = run_push,
    .synopsis = "PACKAGE --to REMOTE [--dry-run]",
    .summary = "Send a package that is registered here to a remote.",
    .about =
        "What the remote has already is not sent again; what other versions of the package have "
        "there is copied on the spot, where the remote can do that.  A dry run tells the least "
        "that "
        "would move: S3 may need some MiB more.  A push that was cut goes on when it is repeated.",
    .keys = "package, remote, total, moved, reused",
    .least = 1,
    .most = 1,
    .options = {{OPTION_TO, 0, "to", "REMOTE", "where to", true}, DRY_RUN},
};

static exia_status run_pull(struct call *call, exia_error *err)
{
    return transfer(call, exia_registry_pull, OPTION_FROM, err);
}

const struct command command_pull = {
    .name = "pull",
    .run = run_pull,
    .synopsis = "PACKAGE --from REMOTE [--dry-run]",
    .summary = "Fetch a package from a remote and register it here.",
    .about = "What is here already, also in other packages, is not fetched again.  A pull that was "
             "cut goes on when it is repeated.",
    .keys = "package, remote, total, moved, reused",
    .least = 1,
    .most = 1,
    .options = {{OPTION_FROM, 0, "from", "REMOTE", "where from", true}, DRY_RUN},
};
