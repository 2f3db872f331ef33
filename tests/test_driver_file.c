/* The file: driver keeps the contract of blobs, and what only a directory can be made to suffer. */
#include "conformance/conformance.h"

#include "base/memory.h"
#include "base/url.h"

static const char *make_url(const char *place)
{
    char *url = NULL;
    check_ok(exia__url_from_path(&url, "file", check_path(place), &err));
    const char *kept = check_format("%s", url);
    exia__release(url);
    return kept;
}

const conformance_target conformance = {
    .name = "file",
    .url = make_url,
    .many_processes = 1,
    .has_local = 1,
    .has_create = 1,
};
CONFORMS_TO(blobs);
