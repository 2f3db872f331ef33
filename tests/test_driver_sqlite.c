/* The sqlite: driver keeps the contract of records, and what only a database can be made to suffer. */
#include "conformance/conformance.h"

#include "base/memory.h"
#include "base/url.h"

static const char *make_url(const char *place)
{
    char *url = NULL;
    check_ok(exia__url_from_path(&url, "sqlite", check_path(place), &err));
    const char *kept = check_format("%s", url);
    exia__release(url);
    return kept;
}

const conformance_target conformance = {
    .name = "sqlite",
    .url = make_url,
    .many_processes = 1,
    .has_create = 1,
};
CONFORMS_TO(records);
