/* One workspace, packed again and again. */
#include "support/deltas.h"

#include <fcntl.h>
#include <unistd.h>

void make_big(void)
{
    make_directory(check_path("big"));
    for (unsigned i = 0; i < 4; i++)
        make_large(check_path(check_format("big/f%u", i)), 3 << 20, i + 1);
}

void edit_big(const char *file, size_t at, const char *text)
{
    int fd = open(check_path(check_format("big/%s", file)), O_WRONLY);
    assert_int_equal(pwrite(fd, text, strlen(text), (off_t)at), strlen(text));
    close(fd);
}

void name_big(const char *name, const char *version)
{
    write_text(
        check_path("big/veda.json"),
        check_format("{\"format\": 1, \"name\": \"%s\", \"version\": \"%s\"}", name, version));
}

const char *pack_big(const char *version)
{
    const char *file = check_path(check_format("big-%s.veda", version));
    name_big("big", version);
    check_ok(pack_from(check_path("big"), file));
    return file;
}

const char *register_big(exia_registry *registry, const char *version)
{
    const char *file = pack_big(version);
    check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    return file;
}

const char *publish_big(exia_registry *registry, const char *version)
{
    const char *file = register_big(registry, version);
    check_ok(exia_registry_push(NULL, registry, check_format("big@%s", version), "prod", NULL, NULL,
                                &err));
    return file;
}
