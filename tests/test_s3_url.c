/* URLs for readers without keys: of packages in S3, on the server of s3_server.h, and of none where
 * packages are files. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/check.h"
#include "support/packages.h"
#include "support/s3_server.h"

/* A home whose remote "depot" has its packages on the server; x@1.0 is pushed there. */
static exia_registry *open_depot(void)
{
    const char *url = server_url_own();
    exia_registry *registry = open_home("home");
    check_ok(exia_registry_remote_add(
        registry, "depot", check_format("sqlite:%s", check_path("depot.db")), url, &err));
    add_package(registry, "x", "1.0", NULL);
    check_ok(exia_registry_push(NULL, registry, "x", "depot", NULL, NULL, &err));
    return registry;
}

/* Read it as anybody would; NULL: it was refused. */
static char *read_url(const char *url, size_t *size)
{
    const char *file = check_path("got");
    unlink(file);
    if (system(check_format("curl -fsS -o %s '%s' 2>/dev/null", file, url)) != 0)
        return NULL;
    return check_read_file(file, size);
}

TEST(whoever_has_the_url_can_read_the_package_until_it_expires)
{
    exia_registry *registry = open_depot();
    char *url = NULL, *brief = NULL;
    size_t size = 0, there = 0;
    check_ok(exia_registry_url(&url, registry, "x@1.0", "depot", 600, &err));
    check_ok(exia_registry_url(&brief, registry, "x", "depot", 1, &err));
    assert_null(strstr(url, "exiasecret"));
    char *got = read_url(url, &size);
    char *sent =
        check_read_file(blob_of(registry, NULL, check_path("home/packages/blobs")), &there);
    assert_non_null(got);
    assert_int_equal(size, there);
    assert_memory_equal(got, sent, size);
    free(got);
    free(sent);
    url[strlen(url) - 1] ^= 1; /* another signature */
    assert_null(read_url(url, &size));
    sleep(3);
    assert_null(read_url(brief, &size));
    exia_text_free(url);
    exia_text_free(brief);
    exia_registry_free(registry);
}

TEST(what_a_url_cannot_be_made_for_is_refused)
{
    exia_registry *registry = open_depot();
    char *url = NULL;
    check_fails(EXIA_EINVAL, exia_registry_url(&url, registry, "x", "depot", 604801, &err));
    check_text("seven days");
    check_fails(EXIA_EINVAL, exia_registry_url(&url, registry, "x", "depot", 0, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_url(&url, registry, "y", "depot", 60, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_url(&url, registry, "x@2", "depot", 60, &err));
    assert_null(url);
    exia_registry_free(registry);
}

TEST(a_remote_of_files_has_no_urls)
{
    exia_registry *registry = open_publisher();
    char *url = NULL;
    check_fails(EXIA_EUNSUPPORTED, exia_registry_url(&url, registry, "x", "prod", 60, &err));
    check_text("remote prod");
    check_fails(EXIA_EINVAL, exia_registry_url(&url, registry, "x", "prod", 0, &err));
    check_fails(EXIA_EINVAL, exia_registry_url(&url, registry, "x", NULL, 60, &err));
    check_fails(EXIA_EINVAL, exia_registry_url(&url, registry, NULL, "prod", 60, &err));
    check_fails(EXIA_EINVAL, exia_registry_url(&url, NULL, "x", "prod", 60, &err));
    check_fails(EXIA_EINVAL, exia_registry_url(NULL, registry, "x", "prod", 60, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_url(&url, registry, "x", "none", 60, &err));
    assert_null(url);
    exia_registry_free(registry);
}
