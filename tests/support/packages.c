#include "support/packages.h"

#include <sys/stat.h>

const char *pack_with(const char *name, const char *version, const char *tag, const char *needs,
                      const char *content)
{
    static int number;
    const char *workspace = check_path(check_format("workspace-%d", ++number));
    const char *file = check_path(check_format("%s-%s-%s-%d.veda", name, version, tag, number));
    mkdir(workspace, 0755);
    mkdir(check_format("%s/code", workspace), 0755);
    check_write_file(check_format("%s/code/main.py", workspace), content, strlen(content));
    const char *manifest = check_format(
        "{\"format\": 1, \"name\": \"%s\", \"version\": \"%s\", \"platform\": \"%s\", "
        "\"description\": \"says %s\", \"components\": [{\"path\": \"code/main.py\", \"kind\": "
        "\"code\"}], \"entry_points\": {\"main\": \"main:run\"}, \"dependencies\": [%s]}",
        name, version, tag, content, needs ? needs : "");
    check_write_file(check_format("%s/veda.json", workspace), manifest, strlen(manifest));
    check_ok(exia_package_write(NULL, workspace, file, NULL, NULL, &err));
    return file;
}

const char *pack(const char *name, const char *version)
{
    return pack_with(name, version, "any", NULL, "hello");
}

exia_registry *open_home(const char *name)
{
    exia_registry *registry = NULL;
    check_ok(exia_registry_open(&registry, check_path(name), &err));
    return registry;
}

exia_registry *open_home_with_remote(const char *name)
{
    exia_registry *registry = open_home(name);
    check_ok(exia_registry_remote_add(
        registry, "prod", check_format("sqlite:%s/records.db", check_path("remote")),
        check_format("file:%s/packages", check_path("remote")), &err));
    mkdir(check_path("remote"), 0755);
    return registry;
}

size_t rows_count(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

const char *query(exia_registry *registry, const char *filter, const char *remote)
{
    exia_rows *rows = NULL;
    check_ok(exia_registry_query(&rows, registry, filter, remote, &err));
    return rows_text(rows);
}

const char *installed(exia_registry *registry, const char *package)
{
    exia_rows *rows = NULL;
    check_ok(exia_registry_installed(&rows, registry, package, &err));
    return rows_text(rows);
}
