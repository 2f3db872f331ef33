/* What a test does to a registry in a line, and what it looks at behind the registry's back. */
#include "support/packages.h"

#include <stdio.h>
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

void add_package(exia_registry *registry, const char *name, const char *version, const char *needs)
{
    check_ok(exia_registry_register(
        registry, pack_with(name, version, "any", needs, check_format("%s %s", name, version)),
        NULL, NULL, &err));
}

exia_registry *open_publisher(void)
{
    exia_registry *registry = open_home_with_remote("home");
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
    return registry;
}

int has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

int exists(const char *name)
{
    struct stat info;
    return lstat(check_path(name), &info) == 0;
}

exia__records *open_records(const char *home)
{
    exia__records *records = NULL;
    check_ok(exia__records_open(&records, check_format("sqlite:%s/packages/catalog.db", home),
                                EXIA_STORE_WRITE, NULL, &err));
    return records;
}

static exia_status count_one(const char *key, const char *json, int64_t revision, void *payload,
                             exia_error *error)
{
    (void)key, (void)json, (void)revision, (void)error;
    ++*(size_t *)payload;
    return EXIA_OK;
}

size_t count_records(const char *path, const char *kind)
{
    exia__records *records = NULL;
    size_t count = 0;
    check_ok(
        exia__records_open(&records, check_format("sqlite:%s", path), EXIA_STORE_READ, NULL, &err));
    check_ok(exia__records_scan(records, kind, "", NULL, 0, NULL, count_one, &count, NULL, &err));
    exia__records_free(records);
    return count;
}

const char *blob_of(exia_registry *registry, const char *remote, const char *directory)
{
    const char *row = query(registry, NULL, remote);
    assert_int_equal(rows_count(row), 1);
    FILE *list = popen(check_format("ls '%s'/packages/*.veda", directory), "r");
    char path[512] = "";
    assert_non_null(list);
    assert_non_null(fgets(path, sizeof path, list));
    assert_int_equal(pclose(list), 0);
    path[strcspn(path, "\n")] = '\0';
    return check_format("%s", path);
}

const char *remote_blob(exia_registry *registry)
{
    return blob_of(registry, "prod", check_path("remote/packages"));
}
