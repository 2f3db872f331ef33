/* url: where somebody without keys can read a remote's package for a while. */
#include "tool.h"

static exia_status run_url(struct call *call, exia_error *err)
{
    const char *package = call->arguments[0], *remote = call_option(call, OPTION_REMOTE);
    char *url = NULL;
    int64_t expires_ms = 0;
    exia_registry *registry = NULL;
    exia_status status = call_time(&expires_ms, call, OPTION_EXPIRES, err);
    int64_t seconds = expires_ms > 0 ? expires_ms / 1000 : 3600;

    if (status == EXIA_OK)
        status = exia_registry_open(&registry, NULL, err);
    if (status == EXIA_OK)
        status = exia_registry_url(&url, registry, package, remote, seconds, err);
    if (status == EXIA_OK)
        print_answer(call,
                     json_pack("{s:s, s:s, s:s, s:I}", "package", package, "remote", remote, "url",
                               url, "seconds", (json_int_t)seconds),
                     url);
    exia_text_free(url);
    exia_registry_free(registry);
    return status;
}

const struct command command_url = {
    .name = "url",
    .run = run_url,
    .synopsis = "PACKAGE --remote REMOTE [--expires 1h]",
    .summary = "Print a URL at which a remote's package can be read without keys.",
    .about = "Whoever has the URL can read the package until it expires, in seven days at most.  "
             "Remotes in S3 have URLs.",
    .keys = "package, remote, url, seconds",
    .least = 1,
    .most = 1,
    .options = {{OPTION_REMOTE, 0, "remote", "REMOTE", "which has it", true},
                {OPTION_EXPIRES, 0, "expires", "TIME", "how long it is good (1h)", false}},
};
