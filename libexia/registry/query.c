/* Queries: the offers of a side as rows, and what a filter asks of them.  Versions compare as versions,
 * and a dependency is found by its name. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/name.h"
#include "package/version.h"
#include "registry/registry.h"
#include "store/filter.h"

/* ---- rows ---- */

/* A borrowed member as a new reference: of the type of `fallback` (stolen), or `fallback`. */
static json_t *member_or(const json_t *object, const char *key, json_t *fallback)
{
    json_t *member = json_object_get(object, key);
    if (member == NULL || fallback == NULL || json_typeof(member) != json_typeof(fallback))
        return fallback;
    json_decref(fallback);
    return json_incref(member);
}

static exia_status add_event(json_t *row, const json_t *event, exia_error *err)
{
    static const char *const copied[] = {"digest", "file", "size", "time", "facts"};
    const json_t *manifest = json_object_get(json_object_get(event, "metadata"), "manifest");
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < sizeof copied / sizeof *copied; i++)
        rc = exia__json_set(row, copied[i], json_incref(json_object_get(event, copied[i])), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "signed",
                            json_boolean(json_is_true(json_object_get(event, "signed"))), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "description", member_or(manifest, "description", json_string("")),
                            err);
    if (rc == EXIA_OK)
        rc =
            exia__json_set(row, "components", member_or(manifest, "components", json_array()), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "dependencies", member_or(manifest, "dependencies", json_array()),
                            err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "entry_points", member_or(manifest, "entry_points", json_object()),
                            err);
    return rc;
}

exia_status exia__offer_row(json_t **out, const exia__offer *offer, exia_error *err)
{
    json_t *row = json_pack("{s:s, s:s, s:s}", "name", offer->name, "version", offer->version,
                            "tag", offer->tag);
    *out = NULL;
    exia_status rc = row ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && offer->event != NULL)
        rc = add_event(row, offer->event, err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "latest", json_boolean(offer->latest), err);
    if (rc == EXIA_OK && offer->bad != EXIA_OK)
        rc = exia__json_set(row, "conflict", json_string(offer->why), err);
    if (rc == EXIA_OK) {
        *out = row;
        row = NULL;
    }
    json_decref(row);
    return rc;
}

/* ---- filters ---- */

/* A bare name is met by every dependency on it. */
static int compare_needs(const char *a, const char *b)
{
    size_t x = 0, y = 0;
    a = exia__dependency_name(&x, a);
    b = exia__dependency_name(&y, b);
    if (a[x] != '\0' && b[y] != '\0')
        return strcmp(a, b);
    int order = memcmp(a, b, x < y ? x : y);
    return order ? order : (x > y) - (x < y);
}

static exia_status parse_filter(exia__filter **out, const char *text, exia_error *err)
{
    static const exia__texts versions = {"version", exia__version_check, exia__version_compare};
    static const exia__texts needs = {"dependencies", NULL, compare_needs};
    exia__filter *filter = NULL;
    exia_status rc = exia__filter_parse(&filter, text, err);
    if (rc == EXIA_OK)
        rc = exia__filter_known(filter,
                                "name, version, tag, digest, file, size, time, facts, signed, "
                                "description, components, dependencies, entry_points, latest, "
                                "conflict",
                                err);
    if (rc == EXIA_OK)
        rc = exia__filter_texts(filter, &versions, err);
    if (rc == EXIA_OK)
        rc = exia__filter_texts(filter, &needs, err);
    if (rc == EXIA_OK) {
        *out = filter;
        filter = NULL;
    }
    exia__filter_free(filter);
    return rc;
}

exia_status exia_registry_query(exia_rows **out, exia_registry *registry, const char *filter,
                                const char *remote, exia_error *err)
{
    exia__filter *condition = NULL;
    exia__offers offers = {0};
    exia__side side = {0};
    json_t *rows = NULL;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_query: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc < 0 || (rc = parse_filter(&condition, filter, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote, EXIA_STORE_READ, EXIA__RECORDS_ONLY, NULL,
                              err)) < 0)
        goto done;
    const char *name = exia__filter_equal(condition, "name");
    if (name != NULL && exia__name_check_lower(name, "package name", NULL) < 0)
        name = NULL; /* no package has it, and no key could */
    rc = exia__offers_read(&offers, &side, name, NULL, err);
    rows = json_array();
    if (rc == EXIA_OK && rows == NULL)
        rc = exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < offers.count; i++) {
        json_t *row = NULL;
        rc = exia__offer_row(&row, &offers.items[i], err);
        if (rc == EXIA_OK)
            rc = exia__json_append(rows, row, err);
    }
    if (rc == EXIA_OK)
        rc = exia__filter_rows(out, condition, rows, err);
done:
    json_decref(rows);
    exia__filter_free(condition);
    exia__offers_free(&offers);
    exia__side_free(&side);
    return rc;
}
