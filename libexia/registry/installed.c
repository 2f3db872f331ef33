/* What is installed, who put a path there, and how a package goes: its row first, then its files.  A
 * package is installed when, and only when, its row is committed. */
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
#include "package/version.h"
#include "registry/staging.h"

typedef struct reading {
    const exia_registry *registry;
    json_t *rows;
} reading;

static exia_status add_row(const char *key, const char *text, int64_t revision, void *payload,
                           exia_error *err)
{
    reading *state = payload;
    json_t *row = NULL;
    char *directory = NULL;
    (void)revision;
    exia_status rc = exia__json_object(&row, text, strlen(text), key, EXIA_ECORRUPT, err);
    if (rc == EXIA_OK && json_integer_value(json_object_get(row, "format")) != 1)
        rc = exia__fail(err, EXIA_EVERSION, 0, "%s was installed by a newer version of Exia", key);
    if (rc == EXIA_OK && (!exia__json_string(row, "name") || !exia__json_string(row, "version") ||
                          !exia__json_string(row, "tag") || !exia__json_string(row, "digest")))
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "the row of the installed %s is incomplete", key);
    if (rc == EXIA_OK)
        rc = exia__text_format(&directory, err, "%s/installed/%s", state->registry->home, key);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "directory", json_string(directory), err);
    if (rc == EXIA_OK) {
        json_object_del(row, "format");
        rc = exia__json_append(state->rows, json_incref(row), err);
    }
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
    exia__release(prefix);
    json_decref(state.rows);
    return rc;
}

static int selected(const exia__spec *selector, const json_t *row)
{
    return selector->name == NULL ||
           exia__spec_match(selector, exia__json_string(row, "name"),
                            exia__json_string(row, "version"), exia__json_string(row, "tag"));
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
        if (selected(&selector, json_array_get(all, i)))
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

/* ---- uninstall ---- */

static exia_status find_one(const json_t **out, const json_t *rows, const exia__spec *selector,
                            const char *package, exia_error *err)
{
    const json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!selected(selector, row))
            continue;
        if (found != NULL)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "%s is installed as %s#%s and as %s#%s: say which, as in %s@%s#%s",
                              package, exia__json_string(found, "version"),
                              exia__json_string(found, "tag"), exia__json_string(row, "version"),
                              exia__json_string(row, "tag"), selector->name,
                              exia__json_string(row, "version"), exia__json_string(row, "tag"));
        found = row;
    }
    *out = found;
    return found ? EXIA_OK : exia__fail(err, EXIA_ENOTFOUND, 0, "%s is not installed", package);
}

/* Would `row` lack something if `gone` were not there? */
static exia_status needs(int *out, const json_t *row, const json_t *gone, const json_t *rows,
                         exia_error *err)
{
    const json_t *list = json_object_get(row, "dependencies");
    exia_status rc = EXIA_OK;
    *out = 0;
    for (size_t i = 0; rc == EXIA_OK && !*out && row != gone && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        exia__dependency dependency;
        if (text == NULL)
            continue;
        rc = exia__dependency_parse(&dependency, text, err);
        if (rc < 0 || strcmp(dependency.name, exia__json_string(gone, "name")) != 0 ||
            !exia__dependency_match(&dependency, exia__json_string(gone, "version")))
            continue;
        *out = 1;
        for (size_t k = 0; k < json_array_size(rows); k++) {
            const json_t *other = json_array_get(rows, k);
            if (other != gone && strcmp(dependency.name, exia__json_string(other, "name")) == 0 &&
                exia__dependency_match(&dependency, exia__json_string(other, "version")))
                *out = 0;
        }
    }
    return rc;
}

static exia_status check_unneeded(const json_t *gone, const json_t *rows, exia_error *err)
{
    exia__buffer who = {0};
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        int needed = 0;
        rc = needs(&needed, row, gone, rows, err);
        if (rc == EXIA_OK && needed)
            rc = exia__buffer_format(&who, err, "%s%s@%s", who.size ? ", " : "",
                                     exia__json_string(row, "name"),
                                     exia__json_string(row, "version"));
    }
    if (rc == EXIA_OK && who.size > 0)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "%s@%s is needed by %s",
                        exia__json_string(gone, "name"), exia__json_string(gone, "version"),
                        who.data);
    exia__buffer_free(&who);
    return rc;
}

/* Under the home's lock: check, then commit the row away, then take the files. */
static exia_status remove_package(exia__staging *staging, exia_registry *registry,
                                  const exia__spec *selector, const char *package, exia_error *err)
{
    json_t *rows = NULL, *targets = NULL;
    const json_t *gone = NULL;
    char *target = NULL;
    exia_error caught;
    exia_status rc = exia__installed_read(&rows, registry, NULL, err);
    if (rc < 0 || (rc = find_one(&gone, rows, selector, package, err)) < 0 ||
        (rc = check_unneeded(gone, rows, err)) < 0 ||
        (rc = exia__text_format(&target, err, "%s/%s/%s", exia__json_string(gone, "name"),
                                exia__json_string(gone, "version"),
                                exia__json_string(gone, "tag"))) < 0)
        goto done;
    targets = json_pack("[s]", target);
    rc = targets ? exia__staging_intend(staging, registry, targets, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__records_remove(registry->records, "installed", target, EXIA_ANY, NULL, err);
    if (rc == EXIA_OK && exia__staging_take(staging, registry, target, &caught) < 0) {
        exia__log(EXIA_LOG_WARNING, "registry", "left for the next opening: %s", caught.text);
        exia__staging_leave(staging); /* uninstalled it is: its row is gone */
    }
done:
    json_decref(rows);
    json_decref(targets);
    exia__release(target);
    return rc;
}

exia_status exia_registry_uninstall(exia_registry *registry, const char *package, exia_error *err)
{
    exia__spec selector = {0};
    exia__staging staging = {.lock = -1};
    exia__work work;
    int lock = -1;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc < 0 || (rc = exia__spec_parse(&selector, package, err)) < 0)
        return rc;
    if ((rc = exia__work_begin(&work, NULL, err)) == EXIA_OK &&
        (rc = exia__staging_open(&staging, registry, &work, err)) == EXIA_OK &&
        (rc = exia__home_lock(&lock, registry, &work, err)) == EXIA_OK)
        rc = remove_package(&staging, registry, &selector, package, err);
    exia__lock_drop(lock);
    exia__staging_close(&staging, registry);
    exia__spec_free(&selector);
    return rc;
}
