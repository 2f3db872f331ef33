/* What is installed, and who put a path there.  A package is installed when, and only when, its row is
 * committed. */
#include "registry/installed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "registry/current.h"

typedef struct reading {
    const exia_registry *registry;
    json_t *rows;
} reading;

static exia_status add_row(const char *key, const char *text, int64_t revision, void *payload,
                           exia_error *err)
{
    reading *state = payload;
    json_t *row = NULL;
    char *directory = NULL, *identity = NULL;
    (void)revision;
    exia_status rc = exia__json_object(&row, text, strlen(text), key, EXIA_ECORRUPT, err);
    if (rc == EXIA_OK && json_integer_value(json_object_get(row, "format")) != 1)
        rc = exia__fail(err, EXIA_EVERSION, 0, "%s was installed by a newer version of Exia", key);
    if (rc == EXIA_OK && (!exia__json_string(row, "name") || !exia__json_string(row, "version") ||
                          !exia__json_string(row, "tag") || !exia__json_string(row, "digest")))
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "the row of the installed %s is incomplete", key);
    if (rc == EXIA_OK)
        rc = exia__installed_target(&identity, row, err);
    if (rc == EXIA_OK && strcmp(identity, key) != 0) /* a path is made of it */
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "the row of the installed %s is that of %s", key,
                        identity);
    if (rc == EXIA_OK)
        rc = exia__text_format(&directory, err, "%s/installed/%s", state->registry->home, key);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "directory", json_string(directory), err);
    if (rc == EXIA_OK) {
        json_object_del(row, "format");
        rc = exia__json_append(state->rows, json_incref(row), err);
    }
    exia__release(identity);
    exia__release(directory);
    json_decref(row);
    return rc;
}

static int newest_first(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    int order = strcmp(exia__json_string(a, "name"), exia__json_string(b, "name"));
    if (order == 0)
        order =
            exia__version_compare(exia__json_string(b, "version"), exia__json_string(a, "version"));
    return order ? order : strcmp(exia__json_string(a, "tag"), exia__json_string(b, "tag"));
}

/* The same array in order. */
static exia_status sort_rows(json_t **out, const json_t *rows, exia_error *err)
{
    size_t count = json_array_size(rows);
    json_t **items = exia__array(NULL, count, sizeof *items), *sorted = json_array();
    exia_status rc = items && sorted ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        items[i] = json_array_get(rows, i);
    if (rc == EXIA_OK && count > 0)
        qsort(items, count, sizeof *items, newest_first);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = exia__json_append(sorted, json_incref(items[i]), err);
    if (rc == EXIA_OK) {
        *out = sorted;
        sorted = NULL;
    }
    json_decref(sorted);
    exia__release(items);
    return rc;
}

exia_status exia__installed_read(json_t **out, const exia_registry *registry, const char *name,
                                 exia_error *err)
{
    reading state = {registry, json_array()};
    char *prefix = NULL;
    *out = NULL;
    exia_status rc = state.rows ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&prefix, err, "%s%s", name ? name : "", name ? "/" : "");
    if (rc == EXIA_OK)
        rc = exia__records_scan(registry->records, "installed", prefix, NULL, 0, NULL, add_row,
                                &state, NULL, err);
    if (rc == EXIA_OK)
        rc = sort_rows(out, state.rows, err);
    if (rc == EXIA_OK)
        rc = exia__current_mark(*out, registry, name, err);
    if (rc < 0) {
        json_decref(*out);
        *out = NULL;
    }
    exia__release(prefix);
    json_decref(state.rows);
    return rc;
}

exia_status exia__installed_row(json_t **out, const exia_registry *registry, const char *target,
                                exia_error *err)
{
    char *text = NULL;
    exia_error caught;
    *out = NULL;
    exia_status rc =
        exia__records_get(&text, NULL, registry->records, "installed", target, NULL, &caught);
    if (rc == EXIA_OK)
        rc = exia__json_object(out, text, strlen(text), target, EXIA_ECORRUPT, &caught);
    exia__release(text);
    return rc < 0 && rc != EXIA_ENOTFOUND ? exia__error_pass(err, &caught) : EXIA_OK;
}

size_t exia__installed_first(const json_t *rows, const char *name)
{
    size_t low = 0, high = json_array_size(rows);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(exia__json_string(json_array_get(rows, middle), "name"), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int exia__installed_is(const json_t *row, const char *name)
{
    return row != NULL && strcmp(exia__json_string(row, "name"), name) == 0;
}

int exia__installed_match(const exia__spec *selector, const json_t *row)
{
    return exia__spec_match(selector, exia__json_string(row, "name"),
                            exia__json_string(row, "version"), exia__json_string(row, "tag"));
}

int exia__installed_resolved(const json_t *root, const json_t *row)
{
    const char *version = exia__json_string(row, "version");
    const char *said =
        exia__json_string(json_object_get(root, "resolved"), exia__json_string(row, "name"));
    size_t size = strlen(version);
    return said != NULL && strncmp(said, version, size) == 0 && said[size] == '#' &&
           strcmp(said + size + 1, exia__json_string(row, "tag")) == 0;
}

exia_status exia__installed_target(char **out, const json_t *row, exia_error *err)
{
    return exia__text_format(out, err, "%s/%s/%s", exia__json_string(row, "name"),
                             exia__json_string(row, "version"), exia__json_string(row, "tag"));
}

const json_t *exia__installed_meet(const json_t *rows, const exia__dependency *dependency,
                                   const json_t *root, const json_t *without)
{
    const json_t *best = NULL, *current = NULL;
    for (size_t i = exia__installed_first(rows, dependency->name);
         exia__installed_is(json_array_get(rows, i), dependency->name); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *version = exia__json_string(row, "version"),
                   *tag = exia__json_string(row, "tag");
        if (row == without || !exia__dependency_match(dependency, version))
            continue;
        if (exia__installed_resolved(root, row))
            return row;
        if (json_is_true(json_object_get(row, "current")))
            current = row;
        if (best == NULL || exia__spec_before(version, tag, exia__json_string(best, "version"),
                                              exia__json_string(best, "tag")))
            best = row;
    }
    return current ? current : best;
}

exia_status exia_registry_installed(exia_rows **out, exia_registry *registry, const char *package,
                                    exia_error *err)
{
    exia__spec selector = {0};
    exia_rows *rows = NULL;
    json_t *all = NULL;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_installed: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc == EXIA_OK && package != NULL)
        rc = exia__spec_parse(&selector, package, err);
    if (rc == EXIA_OK)
        rc = exia__installed_read(&all, registry, selector.name, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(all); i++) {
        if (package == NULL || exia__installed_match(&selector, json_array_get(all, i)))
            rc = exia__rows_add(rows, json_array_get(all, i), err);
    }
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    exia__spec_free(&selector);
    json_decref(all);
    return rc;
}

/* Below `root`, "NAME/VERSION/TAG[/...]" of a real path; NULL: elsewhere.  Both are canonical. */
static const char *below(const char *root, const char *path)
{
    size_t size = strlen(root);
    return strncmp(root, path, size) == 0 && path[size] == '/' ? path + size + 1 : NULL;
}

exia_status exia_registry_which(char **package, exia_registry *registry, const char *path,
                                exia_error *err)
{
    char *installed = NULL, *root = NULL, *real = NULL, *key = NULL, *row = NULL;
    exia_error caught;
    if (package == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_which: `package` is NULL");
    *package = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc == EXIA_OK && path == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, "exia_registry_which: `path` is NULL");
    if (rc == EXIA_OK)
        rc = exia__registry_path(&installed, registry, "installed", err);
    if (rc < 0)
        goto done;
    if ((root = realpath(installed, NULL)) == NULL || (real = realpath(path, NULL)) == NULL) {
        rc = exia__fail_errno(err, errno, "cannot find", root ? path : installed);
        goto done;
    }
    const char *rest = below(root, real);
    size_t size = 0;
    for (int part = 0; rest != NULL && part < 3; part++) {
        size += strcspn(rest + size, "/");
        if (rest[size] == '/' && part < 2)
            size++;
        else if (part < 2)
            rest = NULL; /* a directory above the packages */
    }
    rc = EXIA_ENOTFOUND;
    if (rest != NULL) {
        if ((rc = exia__text_copy_n(&key, rest, size, err)) < 0)
            goto done;
        rc = exia__records_get(&row, NULL, registry->records, "installed", key, NULL, &caught);
        if (rc < 0 && rc != EXIA_ENOTFOUND) {
            exia__error_pass(err, &caught);
            goto done;
        }
    }
    if (rc == EXIA_ENOTFOUND) {
        exia__fail(err, rc, 0, "%s was not installed by a package of %s", path, registry->home);
        goto done;
    }
    *strchr(key, '/') = '@';
    *strchr(key, '/') = '#';
    *package = key;
    key = NULL;
done:
    (free)(root); /* realpath's own memory */
    (free)(real);
    exia__release(installed);
    exia__release(key);
    exia__release(row);
    return rc;
}
