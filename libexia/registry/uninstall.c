/* How a package goes: its row first, which is the whole of it, then its files, then the link to the
 * current version. */
#include "registry/uninstall.h"

#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/current.h"
#include "registry/installed.h"

static exia_status find_one(const json_t **out, const json_t *rows, const exia__spec *selector,
                            exia_error *err)
{
    const json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!exia__installed_match(selector, row))
            continue;
        if (found != NULL)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "%s is installed as %s#%s and as %s#%s: say which, as in %s@%s#%s",
                              selector->text, exia__json_string(found, "version"),
                              exia__json_string(found, "tag"), exia__json_string(row, "version"),
                              exia__json_string(row, "tag"), selector->name,
                              exia__json_string(row, "version"), exia__json_string(row, "tag"));
        found = row;
    }
    *out = found;
    return found ? EXIA_OK
                 : exia__fail(err, EXIA_ENOTFOUND, 0, "%s is not installed", selector->text);
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
        *out = rc == EXIA_OK && exia__installed_is(gone, dependency.name) &&
               exia__dependency_match(&dependency, exia__json_string(gone, "version")) &&
               exia__installed_meet(rows, &dependency, NULL, gone) == NULL;
    }
    return rc;
}

/* It was resolved for `row`: does the rest still go together without it? */
static exia_status breaks(int *out, json_t *row, const json_t *gone, const json_t *rows,
                          exia_error *err)
{
    json_t *rest = NULL, *chosen = NULL;
    size_t at = 0;
    *out = 0;
    if (row == gone || !exia__installed_resolved(row, gone))
        return EXIA_OK;
    if ((rest = json_copy((json_t *)rows)) == NULL)
        return exia__fail_memory(err);
    while (json_array_get(rest, at) != gone)
        at++;
    json_array_remove(rest, at);
    exia_status rc = exia__installed_needs(&chosen, rest, row, err);
    if (rc == EXIA_ENOTFOUND || rc == EXIA_ECYCLE) {
        *out = 1;
        rc = exia__forgive(err);
    }
    json_decref(rest);
    json_decref(chosen);
    return rc;
}

static exia_status check_unneeded(const json_t *gone, const json_t *rows, exia_error *err)
{
    exia__buffer who = {0};
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        int needed = 0;
        rc = needs(&needed, row, gone, rows, err);
        if (rc == EXIA_OK && !needed)
            rc = breaks(&needed, row, gone, rows, err);
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

/* Behind the commit: a failure is for the next opening, for uninstalled they are. */
static exia_status take_files(exia__staging *staging, const exia_registry *registry,
                              const json_t *targets, const json_t *rows, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(targets); i++)
        rc = exia__staging_take(staging, registry, json_string_value(json_array_get(targets, i)),
                                err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(rows); i++)
        rc = exia__current_follow(staging, registry,
                                  exia__json_string(json_array_get(rows, i), "name"), err);
    return rc;
}

exia_status exia__uninstall_rows(exia__staging *staging, const exia_registry *registry,
                                 const json_t *rows, exia_error *err)
{
    json_t *targets = json_array();
    exia_error caught;
    exia_status rc = targets ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(rows); i++) {
        char *target = NULL;
        rc = exia__installed_target(&target, json_array_get(rows, i), err);
        if (rc == EXIA_OK)
            rc = exia__json_append(targets, json_string(target), err);
        exia__release(target);
    }
    if (rc == EXIA_OK)
        rc = exia__staging_intend(staging, registry, targets, err);
    staging->changing = rc == EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(targets); i++)
        rc = exia__records_remove(registry->records, "installed",
                                  json_string_value(json_array_get(targets, i)), EXIA_ANY, NULL,
                                  err);
    if (rc == EXIA_OK && take_files(staging, registry, targets, rows, &caught) < 0)
        exia__staging_leave_for_later(staging, &caught);
    json_decref(targets);
    return rc;
}

static exia_status uninstall(exia__staging *staging, const exia_registry *registry, void *payload,
                             exia_error *err)
{
    const exia__spec *selector = payload;
    json_t *rows = NULL, *list = NULL;
    const json_t *gone = NULL;
    exia_status rc = exia__installed_read(&rows, registry, NULL, err);
    if (rc == EXIA_OK)
        rc = find_one(&gone, rows, selector, err);
    if (rc == EXIA_OK)
        rc = check_unneeded(gone, rows, err);
    if (rc == EXIA_OK && (list = json_pack("[O]", gone)) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__uninstall_rows(staging, registry, list, err);
    json_decref(rows);
    json_decref(list);
    return rc;
}

exia_status exia_registry_uninstall(exia_registry *registry, const char *package, exia_error *err)
{
    exia__spec selector = {0};
    exia__work work;
    exia_status rc = exia__registry_enter_write(registry, err);
    if (rc == EXIA_OK)
        rc = exia__spec_parse(&selector, package, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__change(registry, uninstall, &selector, &work, err);
    exia__spec_free(&selector);
    return rc;
}
