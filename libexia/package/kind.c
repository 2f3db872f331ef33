/* What kind of component something is, as far as names tell. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "package/format.h"

/* What a file is by its name; NULL: it does not tell. */
const char *exia__kind_of_file(const char *name)
{
    static const struct {
        const char *end, *kind;
    } table[] = {
        {"requirements.txt", "env"},
        {"Dockerfile", "env"},
        {".py", "code"},
        {".ipynb", "code"},
        {".sh", "code"},
        {".c", "code"},
        {".h", "code"},
        {".cpp", "code"},
        {".hpp", "code"},
        {".so", "code"},
        {".safetensors", "model"},
        {".onnx", "model"},
        {".pt", "model"},
        {".pkl", "model"},
        {".joblib", "model"},
        {".csv", "data"},
        {".tsv", "data"},
        {".npy", "data"},
        {".npz", "data"},
        {".parquet", "data"},
        {".arrow", "data"},
        {".feather", "data"},
        {".h5", "data"},
        {".json", "data"},
        {".jsonl", "data"},
        {".md", "doc"},
        {".txt", "doc"},
        {".pdf", "doc"},
        {".rst", "doc"},
        {".html", "doc"},
        {".yml", "env"},
        {".yaml", "env"},
        {".env", "env"},
        {".toml", "env"},
    };
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t end = strlen(table[i].end);
        if (size >= end && strcmp(name + size - end, table[i].end) == 0)
            return table[i].kind;
    }
    return NULL;
}

/* A directory is a model when it has a version.json, code when it has code, else what its first
 * file by name is. */
exia_status exia__kind_of_directory(const char **out, const char *path, exia_error *err)
{
    char first[EXIA__MOST_PART + 1] = "";
    exia_status rc = EXIA_OK;
    DIR *dir = opendir(path);
    *out = NULL;
    if (dir == NULL)
        return exia__fail_errno(err, errno, "cannot read the directory", path);
    for (struct dirent *entry; (errno = 0, entry = readdir(dir)) != NULL;) {
        const char *kind = exia__kind_of_file(entry->d_name);
        if (strcmp(entry->d_name, "version.json") == 0) {
            *out = "model";
            break;
        }
        if (kind == NULL || (*out != NULL && strcmp(*out, "code") == 0))
            continue;
        if (strcmp(kind, "code") == 0 || *first == '\0' || strcmp(entry->d_name, first) < 0) {
            snprintf(first, sizeof first, "%s", entry->d_name);
            *out = kind;
        }
    }
    if (errno != 0)
        rc = exia__fail_errno(err, errno, "cannot read the directory", path);
    closedir(dir);
    return rc;
}
