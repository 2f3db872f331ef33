/* Which members are unpacked: those that match, and what they need to lie in or to be made of. */
#include <string.h>

#include "base/beneath.h"
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/reader.h"

static int lies_below(const char *path, const char *directory, size_t size)
{
    return strncmp(path, directory, size) == 0 && path[size] == '/';
}

static exia_status check_component(const exia_package *package, const char *path, exia_error *err)
{
    const json_t *list = json_object_get(package->manifest, "components");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (strcmp(exia__json_string(json_array_get(list, i), "path"), path) == 0)
            return EXIA_OK;
    }
    return exia__fail(err, EXIA_ENOTFOUND, 0,
                      "%s has no component \"%.100s\": its manifest lists those that it has",
                      package->path, path);
}

/* Those that match, or lie below a match.  @return how many */
static size_t match(uint32_t *goes, const exia_package *package, const exia_unpack_options *options)
{
    const char *glob = options->pattern, *component = options->component;
    const char *matched = NULL; /* the directory whose whole content is taken */
    size_t below = 0, count = 0;
    for (size_t i = 0; i < package->entry_count; i++) {
        const exia__entry *entry = &package->entries[i];
        int within = component == NULL || strcmp(entry->path, component) == 0 ||
                     lies_below(entry->path, component, strlen(component));
        int inside = matched != NULL && lies_below(entry->path, matched, below);
        int taken = within && (glob == NULL || inside ||
                               exia__glob(glob, strlen(glob), entry->path, strlen(entry->path), 1));
        if (taken && !inside && entry->type == 'd') {
            matched = entry->path;
            below = strlen(matched);
        }
        goes[i] = taken ? (uint32_t)i : EXIA__NOWHERE;
        count += (size_t)taken;
    }
    return count;
}

static void take_parents(uint32_t *goes, const exia_package *package, size_t i)
{
    const char *path = package->entries[i].path;
    for (size_t size = strlen(path); size > 0; size--) {
        if (path[size] != '/')
            continue;
        size_t parent =
            (size_t)(exia__entry_find(package->entries, i, path, size) - package->entries);
        if (goes[parent] != EXIA__NOWHERE)
            break;
        goes[parent] = (uint32_t)parent;
    }
}

exia_status exia__select(uint32_t **out, const exia_package *package,
                         const exia_unpack_options *options, exia_error *err)
{
    size_t count = package->entry_count;
    uint32_t *goes = exia__array(NULL, count, sizeof *goes);
    exia_status rc = goes ? EXIA_OK : exia__fail_memory(err);
    *out = NULL;
    if (rc == EXIA_OK && options->component != NULL)
        rc = check_component(package, options->component, err);
    size_t taken = rc == EXIA_OK ? match(goes, package, options) : 0;
    if (rc == EXIA_OK && taken == 0)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s has no member that matches \"%.100s\"",
                        package->path, options->pattern);
    for (size_t i = 0; rc == EXIA_OK && taken < count && i < count; i++) {
        const exia__entry *entry = &package->entries[i];
        if (goes[i] == EXIA__NOWHERE)
            continue;
        take_parents(goes, package, i);
        if (entry->type != 'h')
            continue;
        size_t file =
            (size_t)(exia__entry_find(package->entries, i, entry->target, strlen(entry->target)) -
                     package->entries);
        if (goes[file] == EXIA__NOWHERE)
            goes[file] = (uint32_t)i;
    }
    if (rc == EXIA_OK)
        *out = goes;
    else
        exia__release(goes);
    return rc;
}
