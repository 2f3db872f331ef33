/* What an installed package goes with: itself and all that it needs, each in one version.  Several of
 * them lie side by side, so it is a choice, and the search of an install makes it, among what is
 * installed alone: first what was resolved for the package when it was installed, then what is current,
 * then the best. */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "registry/installed.h"
#include "registry/solve.h"

typedef struct scene {
    const json_t *rows; /* all that is installed */
    json_t *root;       /* the row of the package itself */
} scene;

static int is_current(const json_t *row)
{
    return json_is_true(json_object_get(row, "current"));
}

static int is_before(const scene *all, const json_t *row, const json_t *other)
{
    int order =
        exia__installed_resolved(all->root, row) - exia__installed_resolved(all->root, other);
    if (order == 0)
        order = is_current(row) - is_current(other);
    return order
               ? order > 0
               : exia__spec_before(exia__json_string(row, "version"), exia__json_string(row, "tag"),
                                   exia__json_string(other, "version"),
                                   exia__json_string(other, "tag"));
}

static int is_usable(const scene *all, const json_t *row)
{
    const char *tag = exia__json_string(row, "tag");
    return (exia__tag_fits(tag) || strcmp(tag, exia__json_string(all->root, "tag")) == 0) &&
           exia__path_exists(exia__json_string(row, "directory")) &&
           exia__candidate_check(row, NULL) == EXIA_OK;
}

static exia_status look(exia__choices *out, const char *name, void *payload, exia_error *err)
{
    const scene *all = payload;
    json_t *list = json_array();
    exia_status rc = list ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && exia__installed_is(all->root, name)) {
        rc = exia__json_append(list, json_incref(all->root), err);
    } else {
        for (size_t i = exia__installed_first(all->rows, name);
             rc == EXIA_OK && exia__installed_is(json_array_get(all->rows, i), name); i++) {
            json_t *row = json_array_get(all->rows, i);
            size_t at = 0;
            if (!is_usable(all, row))
                continue;
            while (at < json_array_size(list) && !is_before(all, row, json_array_get(list, at)))
                at++;
            if (json_array_insert(list, at, row) != 0)
                rc = exia__fail_memory(err);
        }
    }
    if (rc == EXIA_OK)
        out->candidates = list;
    else
        json_decref(list);
    return rc;
}

/* The current one of those that are meant, else the best; for another platform by its tag only. */
static json_t *find_root(const json_t *rows, const exia__spec *selector)
{
    const scene none = {0};
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        if (exia__installed_match(selector, row) &&
            (selector->tag != NULL || exia__tag_fits(exia__json_string(row, "tag"))) &&
            (found == NULL || is_before(&none, row, found)))
            found = row;
    }
    return found;
}

exia_status exia__installed_needs(json_t **out, const json_t *rows, json_t *root, exia_error *err)
{
    scene all = {rows, root};
    const exia__question question = {
        .root = exia__json_string(root, "name"), .look = look, .payload = &all};
    exia__work work;
    exia_status rc = exia__candidate_check(root, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, NULL, err);
    return rc == EXIA_OK ? exia__solve(out, &question, &work, err) : rc;
}

static exia_status choose(json_t **out, const json_t *rows, const exia__spec *selector,
                          const exia_registry *registry, exia_error *err)
{
    json_t *root = find_root(rows, selector);
    if (root == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "%s is not installed in %s", selector->text,
                          registry->home);
    exia_status rc = exia__installed_needs(out, rows, root, err);
    return rc < 0 ? exia__prefix(err, rc, "what is installed does not go together") : rc;
}

exia_status exia_registry_needs(exia_rows **out, exia_registry *registry, const char *package,
                                exia_error *err)
{
    exia__spec selector = {0};
    exia_rows *rows = NULL;
    json_t *all = NULL, *chosen = NULL;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_needs: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc == EXIA_OK)
        rc = exia__spec_parse(&selector, package, err);
    if (rc == EXIA_OK)
        rc = exia__installed_read(&all, registry, NULL, err);
    if (rc == EXIA_OK)
        rc = choose(&chosen, all, &selector, registry, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(chosen); i++) {
        json_object_del(json_array_get(chosen, i), "passed_over");
        rc = exia__rows_add(rows, json_array_get(chosen, i), err);
    }
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    exia__spec_free(&selector);
    json_decref(all);
    json_decref(chosen);
    return rc;
}
