/* What a test means to fail answers its status; all else is checked on the spot. */
#include "support/workspaces.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

void write_text(const char *path, const char *text)
{
    check_write_file(path, text, strlen(text));
}

void make_directory(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

void make_large(const char *path, size_t size, uint64_t seed)
{
    unsigned char *data = malloc(size);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        data[i] = (unsigned char)(seed >> 56);
    }
    check_write_file(path, data, size);
    free(data);
}

size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

const char *make_workspace(const char *name)
{
    const char *path = check_path(name);
    make_directory(path);
    write_text(check_format("%s/veda.json", path), MANIFEST);
    return path;
}

exia_status pack_from(const char *from, const char *file)
{
    return exia_package_write(NULL, from, file, NULL, NULL, &err);
}

exia_package *packed(const char *from, const char *file)
{
    exia_package *package = NULL;
    check_ok(pack_from(from, file));
    check_ok(exia_package_open(&package, file, &err));
    check_ok(exia_package_verify(package, NULL, NULL, &err));
    return package;
}

exia_status unpack(const exia_package *package, const char *to, const char *pattern)
{
    const exia_unpack_options options = {.struct_size = sizeof options, .pattern = pattern};
    return exia_package_unpack(package, to, &options, NULL, &err);
}
