/* The s3: driver keeps the contract of blobs, on the server of s3_server.h. */
#include "conformance/conformance.h"
#include "support/s3_server.h"

/* Each test has a prefix of its own, empty at first. */
static const char *make_url(const char *place)
{
    return check_format("%s%s-%s", server_url(), strrchr(check_directory(), '/'), place);
}

const conformance_target conformance = {
    .name = "s3",
    .url = make_url,
    .many_processes = 1,
    .clock_ms = 2000,
    .composes = 1,
    .part = 5 << 20,
};
CONFORMS_TO(blobs);
CONFORMS_TO(compose);
