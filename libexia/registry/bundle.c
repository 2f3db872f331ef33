/* What export and import agree on: the headers in a bundle, its list, and the list of what a side has.
 * Nothing of a list is used before all of it was checked. */
#include "registry/bundle.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "package/format.h"
#include "package/version.h"

exia_status exia__bundle_header(exia__buffer *out, const char *file, uint64_t size, exia_error *err)
{
    return exia__tar_header(
        out, &(exia__entry){.path = file, .type = 'f', .mode = 0644, .size = size}, err);
}

exia_status exia__bundle_row(exia_rows *rows, const json_t *item, const char *state,
                             exia_error *err)
{
    static const char *const shown[] = {"name", "version", "tag", "digest", "file", "size"};
    json_t *row = json_object();
    exia_status rc = row ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < sizeof shown / sizeof *shown; i++) {
        json_t *value = json_object_get(item, shown[i]);
        if (value != NULL)
            rc = exia__json_set(row, shown[i], json_incref(value), err);
    }
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "state", json_string(state), err);
    if (rc == EXIA_OK)
        rc = exia__rows_add(rows, row, err);
    json_decref(row);
    return rc;
}

/* ---- the list ---- */

static exia_status broken(const char *path, const char *why, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s: its " EXIA__BUNDLE_LIST " %s", path, why);
}

static int hex_is_good(const json_t *item, const char *key)
{
    const char *hex = exia__json_string(item, key);
    return hex != NULL && exia__hex_valid(hex);
}

/* An identity that is in no other place of the list. */
static exia_status check_identity(const json_t *item, json_t *seen, const char *path,
                                  exia_error *err)
{
    const char *name = exia__json_string(item, "name"), *tag = exia__json_string(item, "tag");
    const char *version = exia__json_string(item, "version");
    char *identity = NULL;
    if (name == NULL || version == NULL || tag == NULL || !hex_is_good(item, "digest"))
        return broken(path, "has a package without a name, a version, a tag or a digest", err);
    if (exia__name_check_lower(name, "package name", NULL) < 0 ||
        exia__version_check(version, NULL) < 0 ||
        exia__name_check_lower(tag, "platform tag", NULL) < 0)
        return broken(path, "has a package with a name, a version or a tag that is none", err);
    exia_status rc = exia__text_format(&identity, err, "%s@%s#%s", name, version, tag);
    if (rc == EXIA_OK && json_object_get(seen, identity) != NULL)
        rc = broken(path, "has a package twice", err);
    else if (rc == EXIA_OK)
        rc = exia__json_set(seen, identity, json_true(), err);
    exia__release(identity);
    return rc;
}

/* A file beside the others: a name that leads nowhere else. */
static int file_is_good(const char *file)
{
    return file != NULL && *file != '\0' && *file != '.' && strlen(file) <= EXIA__MOST_PART &&
           exia__text_valid(file, strlen(file)) && strpbrk(file, "/\\") == NULL &&
           strcmp(file, EXIA__BUNDLE_LIST) != 0;
}

static exia_status check_package(const json_t *item, json_t *seen, const char *path,
                                 exia_error *err)
{
    const char *file = exia__json_string(item, "file");
    char *key = NULL;
    exia_status rc = check_identity(item, seen, path, err);
    if (rc < 0)
        return rc;
    if (!file_is_good(file) || json_integer_value(json_object_get(item, "size")) <= 0 ||
        !hex_is_good(item, "sha256") || !json_is_object(json_object_get(item, "facts")) ||
        !json_is_boolean(json_object_get(item, "signed")))
        return broken(path, "has a package without a file, a size, a sha256 or facts", err);
    rc = exia__text_format(&key, err, "/%s", file); /* no identity begins so */
    if (rc == EXIA_OK && json_object_get(seen, key) != NULL)
        rc = broken(path, "has a file twice", err);
    else if (rc == EXIA_OK)
        rc = exia__json_set(seen, key, json_true(), err);
    exia__release(key);
    return rc;
}

static exia_status check_list(const json_t *list, const char *path, exia_error *err)
{
    const json_t *format = json_object_get(list, "format");
    const json_t *packages = json_object_get(list, "packages"),
                 *needs = json_object_get(list, "needs");
    if (json_is_integer(format) && json_integer_value(format) > 1)
        return exia__fail(err, EXIA_EVERSION, 0,
                          "%s is of format %lld, newer than this library reads (1)", path,
                          (long long)json_integer_value(format));
    if (!json_is_integer(format) || json_integer_value(format) < 1 || !json_is_array(packages) ||
        !json_is_array(needs))
        return broken(path, "has no format, packages or needs", err);
    if (json_array_size(packages) > EXIA__MOST_BUNDLED)
        return broken(path, "has more than 100000 packages", err);
    json_t *seen = json_object();
    exia_status rc = seen ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(packages); i++)
        rc = check_package(json_array_get(packages, i), seen, path, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(needs); i++)
        rc = check_identity(json_array_get(needs, i), seen, path, err);
    json_decref(seen);
    return rc;
}

exia_status exia__bundle_parse(json_t **out, const char *text, size_t size, const char *path,
                               exia_error *err)
{
    json_t *list = NULL;
    *out = NULL;
    exia_status rc = exia__json_object(&list, text, size, EXIA__BUNDLE_LIST, EXIA_ECORRUPT, err);
    if (rc < 0)
        return exia__prefix(err, rc, "%s", path);
    rc = check_list(list, path, err);
    if (rc == EXIA_OK) {
        *out = list;
        list = NULL;
    }
    json_decref(list);
    return rc;
}

/* ---- what a side has ---- */

exia_status exia_registry_have(char **out, exia_registry *registry, const char *remote,
                               const exia_job *job, exia_error *err)
{
    exia__side side = {0};
    exia__offers offers = {0};
    exia__buffer lines = {0};
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_have: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc == EXIA_OK)
        rc =
            exia__side_open(&side, registry, remote, EXIA_STORE_READ, EXIA__RECORDS_ONLY, job, err);
    if (rc == EXIA_OK)
        rc = exia__offers_read(&offers, &side, NULL, job, err);
    for (size_t i = 0; rc == EXIA_OK && i < offers.count; i++) {
        const exia__offer *offer = &offers.items[i];
        if (offer->bad == EXIA_OK)
            rc = exia__buffer_format(&lines, err, "%s@%s#%s %s\n", offer->name, offer->version,
                                     offer->tag, exia__json_string(offer->event, "digest"));
    }
    if (rc == EXIA_OK)
        rc = exia__buffer_take(out, &lines, err);
    exia__buffer_free(&lines);
    exia__offers_free(&offers);
    exia__side_free(&side);
    return rc;
}
