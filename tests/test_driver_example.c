/* The driver of examples/driver/, a module as others write it, keeps the contract of blobs. */
#include <libgen.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/url.h"
#include "conformance/conformance.h"

/* It was built beside this program. */
__attribute__((constructor)) static void find_module(void)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size < 0)
        abort();
    self[size] = '\0';
    setenv("EXIA_DRIVER_PATH", dirname(self), 1);
}

static const char *make_url(const char *place)
{
    char *url = NULL;
    check_ok(exia__url_from_path(&url, "shelf", check_path(place), &err));
    const char *kept = check_format("%s", url);
    exia__release(url);
    return kept;
}

const conformance_target conformance = {
    .name = "shelf",
    .clock_ms = 20, /* files are as fine as a tick of the kernel, or finer than its coarse clock */
    .url = make_url,
    .many_processes = 1,
    .has_create = 1,
};
CONFORMS_TO(blobs);
CONFORMS_TO(compose);
CONFORMS_TO(adopt);
