/* What an open package answers about itself. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "base/url.h"
#include "package/reader.h"

const char *exia_package_facts(const exia_package *package)
{
    return package ? package->facts_text : NULL;
}

const char *exia__package_digest(const exia_package *package)
{
    return package->metadata.digest;
}

const char *exia__package_index(const exia_package *package)
{
    return package->index;
}

const char *exia__package_name(const exia_package *package)
{
    return exia__json_string(package->manifest, "name");
}

const char *exia__package_version(const exia_package *package)
{
    return exia__json_string(package->manifest, "version");
}

const char *exia__package_tag(const exia_package *package)
{
    return exia__manifest_tag(package->manifest);
}

const json_t *exia__package_manifest(const exia_package *package)
{
    return package->manifest;
}

uint64_t exia__package_size(const exia_package *package)
{
    return package->metadata.size;
}

uint64_t exia__package_file_size(const exia_package *package)
{
    return package->file_size;
}

size_t exia__package_member_count(const exia_package *package)
{
    return package->entry_count;
}

int exia__package_signed(const exia_package *package)
{
    return package->signature != NULL;
}

const exia__frame *exia__package_frames(size_t *count, const exia_package *package)
{
    *count = package->frame_count;
    return package->frames;
}

static const char *type_name(char type)
{
    return type == 'f' ? "file" : type == 'd' ? "directory" : type == 'l' ? "link" : "hardlink";
}

static exia_status add_row(exia_rows *rows, const exia_package *package, const exia__entry *entry,
                           exia_error *err)
{
    char *path = NULL, *target = NULL, mode[16], hex[EXIA__HEX_SIZE];
    json_t *row = NULL;
    exia_status rc = exia__percent_encode(&path, entry->path, err);
    if (rc == EXIA_OK && entry->target != NULL)
        rc = exia__percent_encode(&target, entry->target, err);
    if (rc == EXIA_OK) {
        snprintf(mode, sizeof mode, "%04o", (unsigned)entry->mode);
        exia__hex(hex, entry->digest, sizeof entry->digest);
        row = json_pack("{s:s, s:s, s:s, s:I, s:s?, s:s?, s:s?}", "path", path, "type",
                        type_name(entry->type), "mode", mode, "size", (json_int_t)entry->size,
                        "sha256", entry->type == 'f' ? hex : NULL, "target", target, "component",
                        exia__manifest_kind(package->manifest, entry->path));
        rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
    }
    json_decref(row);
    exia__release(path);
    exia__release(target);
    return rc;
}

exia_status exia_package_files(exia_rows **out, const exia_package *package, exia_error *err)
{
    exia_rows *rows = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || package == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_package_files: an argument is NULL");
    exia_status rc = exia__rows_open(&rows, err);
    for (size_t i = 0; rc == EXIA_OK && i < package->entry_count; i++)
        rc = add_row(rows, package, &package->entries[i], err);
    if (rc == EXIA_OK)
        *out = rows;
    else
        exia_rows_free(rows);
    return rc;
}
