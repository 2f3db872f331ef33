/* The plan of an install: what was asked for, with the other side and the lock file that go with it,
 * and the packages that it comes to. */
#include "registry/plan.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
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

static exia_status check_options(const exia_install_options *options, exia_error *err)
{
    if (options->lock != NULL && *options->lock == '\0')
        return exia__fail(err, EXIA_EINVAL, 0, "the name of the lock file is empty");
    if (options->locked && options->lock == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "`locked` is set, but no lock file is named");
    if (options->locked && options->upgrade)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "an upgrade changes the lock file, and `locked` forbids it: leave one "
                          "of them out");
    return EXIA_OK;
}

static exia_status read_lock(exia__plan *plan, exia_error *err)
{
    exia_error caught = {0};
    exia_status rc = exia__lockfile_read(&plan->pins, plan->options.lock, &caught);
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
        rc = check_options(&plan.options, err);
    if (rc == EXIA_OK)
        rc = exia__spec_parse(&plan.package, package, err);
    if (rc == EXIA_OK && plan.options.lock != NULL)
        rc = read_lock(&plan, err);
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

exia_status exia__plan_make(exia__plan *plan, const exia_job *job, exia_error *err)
{
    const exia__wish wish = {.registry = plan->registry,
                             .there = plan->there,
                             .package = &plan->package,
                             .upgrade = plan->options.upgrade,
                             .lock = plan->options.lock,
                             .pins = plan->options.upgrade ? NULL : plan->pins,
                             .locked = plan->options.locked};
    json_decref(plan->steps);
    json_decref(plan->lock);
    plan->steps = plan->lock = NULL;
    exia_status rc = exia__resolve(&plan->steps, &wish, job, err);
    if (rc == EXIA_OK && plan->options.lock != NULL)
        rc = exia__lockfile_merge(&plan->lock, plan->pins, plan->steps, plan->options.lock, err);
    return rc;
}

exia_status exia__plan_keep(const exia__plan *plan, exia_error *err)
{
    if (plan->lock == NULL || plan->options.locked)
        return EXIA_OK;
    exia_status rc = exia__lockfile_write(plan->options.lock, plan->lock, err);
    return rc < 0 ? exia__prefix(err, rc, "%s is installed, but the lock file is not written",
                                 plan->package.text)
                  : rc;
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
