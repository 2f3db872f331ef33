/* The plan of an install: what was asked for, with the other side and the lock file that go with it,
 * and the packages that it comes to. */
#include "registry/plan.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "package/version.h"
#include "registry/resolve.h"

void exia__plan_close(exia__plan *plan)
{
    exia__side_free(&plan->side);
    exia__spec_free(&plan->package);
    json_decref(plan->pins);
    json_decref(plan->steps);
    json_decref(plan->lock);
    *plan = (exia__plan){0};
}

static exia_status check_options(const exia_install_options *options, const char *package,
                                 exia_error *err)
{
    if (options->lock != NULL && *options->lock == '\0')
        return exia__fail(err, EXIA_EINVAL, 0, "the name of the lock file is empty");
    if (options->locked && options->lock == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "`locked` is set, but no lock file is named");
    if (options->locked && options->upgrade)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "an upgrade changes the lock file, and `locked` forbids it: leave one "
                          "of them out");
    if (package == NULL && !options->locked)
        return exia__fail(
            err, EXIA_EINVAL, 0,
            "the package is NULL: only with `locked`, for all that a lock file lists");
    return EXIA_OK;
}

/* `*pins` is NULL when there is no lock file. */
static exia_status read_lock(json_t **pins, const exia__plan *plan, exia_error *err)
{
    exia_error caught = {0};
    *pins = NULL;
    if (plan->options.lock == NULL)
        return EXIA_OK;
    exia_status rc = exia__lockfile_read(pins, plan->options.lock, &caught);
    if (rc != EXIA_ENOTFOUND)
        return rc < 0 ? exia__error_pass(err, &caught) : rc;
    if (plan->options.locked)
        return exia__fail(err, EXIA_ENOTFOUND, 0,
                          "there is no %s: an install that is not `locked` writes it",
                          plan->options.lock);
    return EXIA_OK;
}

exia_status exia__plan_open(exia__plan *out, exia_registry *registry, const char *package,
                            const char *remote, const exia_install_options *options,
                            const exia_job *job, exia_error *err)
{
    exia__plan plan = {.registry = registry};
    *out = plan;
    exia_status rc = exia__options(&plan.options, sizeof plan.options, options, err);
    if (rc == EXIA_OK)
        rc = check_options(&plan.options, package, err);
    if (rc == EXIA_OK && package != NULL)
        rc = exia__spec_parse(&plan.package, package, err);
    if (rc == EXIA_OK && remote != NULL)
        rc = exia__side_open(&plan.side, registry, remote, EXIA_STORE_READ, EXIA__WITH_BLOBS, job,
                             err);
    *out = plan;
    if (rc < 0)
        exia__plan_close(out);
    else if (remote != NULL)
        out->there = &out->side;
    return rc;
}

/* The package itself comes last; of a lock file the entries say it. */
static exia_status mark_asked(const exia__plan *plan, exia_error *err)
{
    size_t count = json_array_size(plan->steps);
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        json_t *step = json_array_get(plan->steps, i);
        const json_t *pin = json_object_get(plan->pins, exia__json_string(step, "name"));
        int asked =
            plan->package.name ? i + 1 == count : json_is_true(json_object_get(pin, "requested"));
        rc = exia__json_set(step, "asked", json_boolean(asked), err);
    }
    return rc;
}

exia_status exia__plan_make(exia__plan *plan, const exia_job *job, exia_error *err)
{
    json_decref(plan->pins);
    json_decref(plan->steps);
    json_decref(plan->lock);
    plan->pins = plan->steps = plan->lock = NULL;
    exia_status rc = read_lock(&plan->pins, plan, err);
    const exia__wish wish = {.registry = plan->registry,
                             .there = plan->there,
                             .package = plan->package.name ? &plan->package : NULL,
                             .upgrade = plan->options.upgrade,
                             .lock = plan->options.lock,
                             .pins = plan->options.upgrade ? NULL : plan->pins,
                             .locked = plan->options.locked};
    if (rc == EXIA_OK)
        rc = exia__resolve(&plan->steps, &wish, job, err);
    if (rc == EXIA_OK)
        rc = mark_asked(plan, err);
    if (rc == EXIA_OK && plan->options.lock != NULL && !plan->options.locked)
        rc = exia__lockfile_merge(&plan->lock, plan->pins, plan->steps, plan->options.lock, err);
    return rc;
}

exia_status exia__plan_resolved(json_t **out, const exia__plan *plan, const json_t *step,
                                exia_error *err)
{
    json_t *by_name = json_object(), *open = json_pack("[O]", step), *found = json_object();
    exia_status rc = by_name && open && found ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(plan->steps); i++) {
        json_t *one = json_array_get(plan->steps, i);
        rc = exia__json_set(by_name, exia__json_string(one, "name"), json_incref(one), err);
    }
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(open); i++) {
        const json_t *needs = json_object_get(json_array_get(open, i), "dependencies");
        for (size_t k = 0; rc == EXIA_OK && k < json_array_size(needs); k++) {
            exia__dependency need;
            rc = exia__dependency_parse(&need, json_string_value(json_array_get(needs, k)), err);
            json_t *met = rc == EXIA_OK ? json_object_get(by_name, need.name) : NULL;
            if (met == NULL || json_object_get(found, need.name) != NULL)
                continue;
            rc = exia__json_set(found, need.name,
                                json_sprintf("%s#%s", exia__json_string(met, "version"),
                                             exia__json_string(met, "tag")),
                                err);
            if (rc == EXIA_OK)
                rc = exia__json_append(open, json_incref(met), err);
        }
    }
    json_decref(by_name);
    json_decref(open);
    if (rc == EXIA_OK)
        *out = found;
    else
        json_decref(found);
    return rc;
}

/* ---- the lock file, afterwards ---- */

/* Does the lock file hold nothing else than what was taken? */
static int is_obeyed(const json_t *pins, const json_t *steps)
{
    static const char *const of[] = {"version", "tag", "digest"};
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        const json_t *pin = json_object_get(pins, exia__json_string(step, "name"));
        for (size_t k = 0; pin != NULL && k < 3; k++) {
            if (strcmp(exia__json_string(pin, of[k]), exia__json_string(step, of[k])) != 0)
                return 0;
        }
    }
    return 1;
}

/* Nobody else writes it meanwhile.  EXIA_DONE: somebody wrote something else before. */
static exia_status keep(exia__plan *plan, exia_error *err)
{
    json_t *now = NULL, *both = NULL;
    exia_status rc = read_lock(&now, plan, err);
    if (rc == EXIA_OK && !(now && plan->pins ? json_equal(now, plan->pins) : now == plan->pins)) {
        if (!plan->options.upgrade && !is_obeyed(now, plan->steps))
            rc = EXIA_DONE;
        else
            rc = exia__lockfile_merge(&both, now, plan->steps, plan->options.lock, err);
    }
    if (rc == EXIA_OK)
        rc = exia__lockfile_write(plan->options.lock, both ? both : plan->lock, err);
    json_decref(now);
    json_decref(both);
    return rc;
}

/* The lock is that of the directory, so that nothing is left beside the file.  Where a file system has
 * none, whoever comes last wins. */
exia_status exia__plan_keep(exia__plan *plan, exia__work *work, exia_error *err)
{
    char *folder = NULL, *named = NULL;
    int lock = -1;
    exia_error why = {0};
    if (plan->lock == NULL)
        return EXIA_OK;
    exia_status rc = exia__path_folder(&folder, plan->options.lock, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&named, err, "%s/", folder); /* as a directory */
    if (rc == EXIA_OK)
        rc = exia__lock_take(&lock, named, work, &why);
    if (rc == EXIA_ETIMEOUT || rc == EXIA_ECANCELLED)
        rc = exia__error_pass(err, &why);
    else if (named != NULL)
        rc = keep(plan, err);
    exia__lock_drop(lock);
    exia__release(folder);
    exia__release(named);
    return rc;
}

/* ---- the same for people ---- */

static exia_status add_row(exia_rows *rows, const exia__plan *plan, const json_t *step,
                           exia_error *err)
{
    static const char *const copied[] = {"name", "version", "tag", "digest"};
    const char *from = exia__json_string(step, "from");
    json_t *row = json_object();
    exia_status rc = row ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < sizeof copied / sizeof *copied; i++)
        rc = exia__json_set(row, copied[i], json_incref(json_object_get(step, copied[i])), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "from",
                            json_string(strcmp(from, "there") == 0 ? plan->side.name : from), err);
    for (size_t i = 0; rc == EXIA_OK && i < 2; i++) {
        static const char *const told[] = {"size", "passed_over"};
        json_t *value = json_object_get(step, told[i]);
        rc = exia__json_set(row, told[i], value ? json_incref(value) : json_null(), err);
    }
    if (rc == EXIA_OK)
        rc = exia__rows_add(rows, row, err);
    json_decref(row);
    return rc;
}

exia_status exia_registry_plan(exia_rows **out, exia_registry *registry, const char *package,
                               const char *remote, const exia_install_options *options,
                               const exia_job *job, exia_error *err)
{
    exia__plan plan = {0};
    exia_rows *rows = NULL;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_plan: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc == EXIA_OK)
        rc = exia__plan_open(&plan, registry, package, remote, options, job, err);
    if (rc == EXIA_OK)
        rc = exia__plan_make(&plan, job, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(plan.steps); i++)
        rc = add_row(rows, &plan, json_array_get(plan.steps, i), err);
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    exia__plan_close(&plan);
    return rc;
}
