/* What came along for others and is needed by nobody any more: all that cannot be reached, by what each
 * package needs, from one that was asked for.  It goes in such an order that, wherever a crash ends it,
 * what is left has all that it needs.  So do files of packages that no record names. */
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/rows.h"
#include "exia/dag.h"
#include "registry/installed.h"
#include "registry/journal.h"
#include "registry/orphans.h"
#include "registry/uninstall.h"

static int is_kept(const json_t *row)
{
    return json_object_get(row, "kept") != NULL;
}

/* Call `met` for each dependency of a row that something installed meets, where it is loaded for `root`
 * (may be NULL). */
static exia_status each_need(const json_t *rows, const json_t *row, const json_t *root,
                             exia_status (*met)(const json_t *row, const json_t *other,
                                                void *payload, exia_error *err),
                             void *payload, exia_error *err)
{
    const json_t *list = json_object_get(row, "dependencies");
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        exia__dependency dependency;
        if (text == NULL || (rc = exia__dependency_parse(&dependency, text, err)) < 0)
            continue;
        const json_t *other = exia__installed_meet(rows, &dependency, root, NULL);
        if (other != NULL)
            rc = met(row, other, payload, err);
    }
    return rc;
}

/* What a package that was asked for is loaded with: its rows bear its number. */
typedef struct walk {
    json_t *open;
    size_t number;
} walk;

static exia_status keep(json_t *row, walk *state, exia_error *err)
{
    json_t *number = json_object_get(row, "kept");
    if (number != NULL && (size_t)json_integer_value(number) == state->number)
        return EXIA_OK;
    exia_status rc = exia__json_set(row, "kept", json_integer((json_int_t)state->number), err);
    return rc == EXIA_OK ? exia__json_append(state->open, json_incref(row), err) : rc;
}

static exia_status keep_other(const json_t *row, const json_t *other, void *payload,
                              exia_error *err)
{
    (void)row;
    return keep((json_t *)(uintptr_t)other, payload, err);
}

/* Put `kept` into each row that stays. */
static exia_status mark(const json_t *rows, exia_error *err)
{
    walk state = {json_array(), 0};
    exia_status rc = state.open ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(rows); i++) {
        json_t *root = json_array_get(rows, i);
        if (!json_is_true(json_object_get(root, "requested")))
            continue;
        json_array_clear(state.open);
        state.number = i;
        rc = keep(root, &state, err);
        for (size_t k = 0; rc == EXIA_OK && k < json_array_size(state.open); k++)
            rc = each_need(rows, json_array_get(state.open, k), root, keep_other, &state, err);
    }
    json_decref(state.open);
    return rc;
}

/* ---- the order ------------------------------------------------------------------------------- */

/* Versions that were installed apart may need each other by now: one of them goes first then. */
static exia_status add_edge(const json_t *row, const json_t *other, void *payload, exia_error *err)
{
    uint32_t before = (uint32_t)json_integer_value(json_object_get(row, "node"));
    uint32_t after = (uint32_t)json_integer_value(json_object_get(other, "node"));
    exia_status rc =
        is_kept(other) ? EXIA_OK : exia_dag_add_edges(payload, &before, &after, 1, err);
    return rc == EXIA_ECYCLE ? exia__forgive(err) : rc;
}

/* What goes, each before what it needs. */
static exia_status list_unneeded(json_t **out, const json_t *rows, exia_error *err)
{
    json_t *list = json_array(), *ordered = json_array();
    const uint32_t *order = NULL;
    exia_dag *dag = NULL;
    size_t count = 0;
    exia_status rc = list && ordered ? mark(rows, err) : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        if (is_kept(row))
            continue;
        rc = exia__json_set(row, "node", json_integer((json_int_t)json_array_size(list)), err);
        if (rc == EXIA_OK)
            rc = exia__json_append(list, json_incref(row), err);
    }
    if (rc == EXIA_OK)
        rc = exia_dag_open(&dag, err);
    if (rc == EXIA_OK && json_array_size(list) > 0)
        rc = exia_dag_add_nodes(NULL, dag, NULL, json_array_size(list), err);
    if (rc == EXIA_OK)
        rc = exia_dag_keep_order(NULL, &count, dag, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(list); i++)
        rc = each_need(rows, json_array_get(list, i), NULL, add_edge, dag, err);
    if (rc == EXIA_OK)
        rc = exia_dag_order(&order, &count, dag, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = exia__json_append(ordered, json_incref(json_array_get(list, order[i])), err);
    if (rc == EXIA_OK) {
        *out = ordered;
        ordered = NULL;
    }
    exia_dag_free(dag);
    json_decref(list);
    json_decref(ordered);
    return rc;
}

/* ---- prune ----------------------------------------------------------------------------------- */

static exia_status add_row(exia_rows *rows, const json_t *gone, exia_error *err)
{
    json_t *row =
        json_pack("{s:O, s:O, s:O, s:O, s:s}", "name", json_object_get(gone, "name"), "version",
                  json_object_get(gone, "version"), "tag", json_object_get(gone, "tag"),
                  "directory", json_object_get(gone, "directory"), "why", "no package needs it");
    exia_status rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    return rc;
}

static exia_status add_leftover(exia_rows *rows, const char *path, const char *why, exia_error *err)
{
    json_t *row = json_pack("{s:n, s:n, s:n, s:s, s:s}", "name", "version", "tag", "directory",
                            path, "why", why);
    exia_status rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
    json_decref(row);
    return rc;
}

static exia_status add_dead(exia_rows *rows, const exia_registry *registry, exia_error *err)
{
    json_t *dead = NULL;
    exia_status rc = exia__staging_dead(&dead, registry, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(dead); i++)
        rc = add_leftover(rows, json_string_value(json_array_get(dead, i)),
                          "left by a process that died", err);
    json_decref(dead);
    return rc;
}

static exia_status prune_orphans(exia_rows *rows, const exia_registry *registry, int apply,
                                 exia__work *work, exia_error *err)
{
    exia_job job = exia__work_rest(work);
    json_t *keys = NULL;
    exia_status rc = exia__orphans(&keys, registry, &job, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(keys); i++) {
        const char *key = json_string_value(json_array_get(keys, i));
        char *path = NULL;
        rc = exia__blobs_local(&path, registry->blobs, key, err);
        if (rc == EXIA_OK)
            rc = add_leftover(rows, path, "no record names it", err);
        if (rc == EXIA_OK && apply)
            rc = exia__blobs_remove(registry->blobs, key, &job, err);
        if (rc == EXIA_ENOTFOUND) /* of a dry run, beside somebody who changes things */
            rc = exia__forgive(err);
        exia__release(path);
    }
    json_decref(keys);
    return rc;
}

typedef struct pruning {
    exia_rows *rows;
    exia__work *work;
} pruning;

/* A staging, under the home's lock, where it is applied; else NULL: only tell. */
static exia_status prune(exia__staging *staging, const exia_registry *registry, void *payload,
                         exia_error *err)
{
    const pruning *state = payload;
    json_t *installed = NULL, *gone = NULL;
    exia_status rc = exia__installed_read(&installed, registry, NULL, err);
    if (rc == EXIA_OK)
        rc = list_unneeded(&gone, installed, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(gone); i++)
        rc = add_row(state->rows, json_array_get(gone, i), err);
    if (rc == EXIA_OK)
        rc = prune_orphans(state->rows, registry, staging != NULL, state->work, err);
    if (rc == EXIA_OK && staging != NULL && json_array_size(gone) > 0)
        rc = exia__uninstall_rows(staging, registry, gone, err);
    json_decref(installed);
    json_decref(gone);
    return rc;
}

exia_status exia_registry_prune(exia_rows **out, exia_registry *registry,
                                const exia_prune_options *options, const exia_job *job,
                                exia_error *err)
{
    exia_prune_options ours;
    exia_rows *rows = NULL;
    exia__work work;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_prune: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__options(&ours, sizeof ours, options, err);
    if (rc == EXIA_OK)
        rc = ours.apply ? exia__registry_enter_write(registry, err)
                        : exia__registry_enter(registry, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&rows, err);
    pruning state = {rows, &work};
    if (rc == EXIA_OK && registry->journal != NULL)
        rc = add_dead(rows, registry, err);
    if (rc == EXIA_OK && ours.apply) {
        exia__staging_recover(registry);
        exia__transfers_forget(registry);
        rc = exia__change(registry, prune, &state, &work, err);
    } else if (rc == EXIA_OK) {
        rc = prune(NULL, registry, &state, err);
    }
    if (rc == EXIA_OK)
        *out = rows;
    else
        exia_rows_free(rows);
    return rc;
}
