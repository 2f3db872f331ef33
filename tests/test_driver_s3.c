/* The s3: driver keeps the contract of blobs, on the server that EXIA_TEST_S3_URL names
 * ("s3+http://KEY:SECRET@127.0.0.1:9000/bucket", its bucket there, and its use this test's alone). */
#include <stdio.h>
#include <stdlib.h>

#include "conformance/conformance.h"

/* Each test has a prefix of its own, empty at first. */
static const char *make_url(const char *place)
{
    static int told;
    const char *url = getenv("EXIA_TEST_S3_URL");
    if (url == NULL) {
        if (!told++)
            print_message("EXIA_TEST_S3_URL is not set: make test-services sets it\n");
        skip();
    }
    setenv("EXIA_HOME", check_path("home"), 0);
    return check_format("%s%s-%s", url, strrchr(check_directory(), '/'), place);
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
