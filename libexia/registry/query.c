/* Queries: the offers of a side as rows, and what a filter asks of them.  Versions compare as versions,
 * and a dependency is found by its name.  One package is folded from its events.  Among all, the rows
 * that are kept beside the events are sought (catalog.c), less those of packages with later events,
 * which are folded; where no rows are kept, all are. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "package/version.h"
#include "registry/catalog.h"
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

/* ---- queries ---- */

enum { TRIES = 4 };

typedef struct query {
    const exia__filter *filter;
    const exia__side *side;
    const json_t *behind; /* the packages whose rows are too old */
    json_t *rows;         /* those that match */
    size_t enough;        /* so many of them, if they come in order; SIZE_MAX: all */
    int ordered, broken;  /* broken: what was to be a row is none */
} query;

static exia_status add(query *now, json_t *row, exia_error *err)
{
    return exia__filter_match(now->filter, row)
               ? exia__json_append(now->rows, json_incref(row), err)
               : EXIA_OK;
}

/* From the events: of one package, or of all (`name` NULL). */
static exia_status fold_rows(query *now, const char *name, exia_error *err)
{
    exia__offers offers = {0};
    exia_status rc = exia__offers_read(&offers, now->side, name, NULL, err);
    for (size_t i = 0; rc == EXIA_OK && i < offers.count; i++) {
        json_t *row = NULL;
        rc = exia__offer_row(&row, &offers.items[i], err);
        if (rc == EXIA_OK)
            rc = add(now, row, err);
        json_decref(row);
    }
    exia__offers_free(&offers);
    return rc;
}

/* The row of a record, borrowed: NULL when it is none of this key. */
static json_t *row_of(const json_t *record, const char *key)
{
    json_t *row = json_object_get(record, "row");
    const char *parts[] = {exia__json_string(row, "name"), exia__json_string(row, "version"),
                           exia__json_string(row, "tag")};
    if (json_integer_value(json_object_get(record, "format")) != 1)
        return NULL;
    for (size_t i = 0; i < 3; i++) {
        size_t size = parts[i] ? strlen(parts[i]) : 0;
        if (size == 0 || strncmp(key, parts[i], size) != 0 || key[size] != "//"[i])
            return NULL;
        key += size + 1;
    }
    return row;
}

/* A row that is kept.  Behind `enough` no other is wanted, unless it ties with the last. */
static exia_status found_row(const char *key, const char *text, int64_t revision, void *payload,
                             exia_error *err)
{
    query *now = payload;
    json_t *record = NULL;
    size_t count = json_array_size(now->rows);
    const json_t *last = json_array_get(now->rows, count - 1);
    (void)revision;
    exia_status rc = exia__json_object(&record, text, strlen(text), key, EXIA_ECORRUPT, err);
    json_t *row = row_of(record, key);
    if (rc == EXIA_ENOMEM)
        return rc;
    if (row == NULL) {
        now->broken = rc < 0 || json_object_get(record, "row") != NULL;
        rc = now->broken ? EXIA_DONE : EXIA_OK;
    } else if (json_object_get(now->behind, exia__json_string(row, "name")) == NULL) {
        rc = now->ordered && count >= now->enough &&
                     exia__filter_tie(now->filter, last, row) == EXIA__APART
                 ? EXIA_DONE
                 : add(now, row, err);
    }
    json_decref(record);
    return rc;
}

/* @param enough  so many in order, and their ties; SIZE_MAX: all */
static exia_status seek(query *now, const exia__plan *plan, size_t enough, exia_error *err)
{
    const int in_order = enough < SIZE_MAX;
    const exia_seek what = {.kind = EXIA__OFFER_KIND,
                            .prefix = "",
                            .ranges = plan->ranges,
                            .range_count = plan->range_count,
                            .order = in_order ? plan->order : NULL,
                            .descending = plan->descending,
                            .limit = in_order ? enough : 0};
    now->enough = enough;
    json_array_clear(now->rows);
    return exia__records_seek(&now->ordered, now->side->records, &what, found_row, now, NULL, err);
}

/* From the rows that are kept, and of the packages behind from their events. */
static exia_status seek_rows(query *now, exia_error *err)
{
    exia__plan plan = {0};
    const char *name = NULL;
    json_t *unused = NULL;
    exia_status rc = exia__filter_plan(&plan, now->filter, err);
    size_t limit = exia__filter_limit(now->filter);
    size_t enough = plan.order != NULL && limit > 0 ? limit : SIZE_MAX;
    if (rc == EXIA_OK)
        rc = seek(now, &plan, enough, err);
    /* those without a value to order by come last, and no index has them */
    if (rc == EXIA_OK && enough < SIZE_MAX && now->ordered && !plan.bounded &&
        json_array_size(now->rows) < enough)
        rc = seek(now, &plan, SIZE_MAX, err);
    json_object_foreach((json_t *)(uintptr_t)now->behind, name, unused)
    {
        if (rc == EXIA_OK && !now->broken)
            rc = fold_rows(now, name, err);
    }
    exia__plan_free(&plan);
    return rc;
}

/* A row under the identity by which offers are sorted, whose texts are the row's. */
typedef struct identified {
    exia__offer as; /* the first member: it is compared */
    json_t *row;
} identified;

static identified identify(json_t *row)
{
    return (identified){.as.name = (char *)(uintptr_t)exia__json_string(row, "name"),
                        .as.version = (char *)(uintptr_t)exia__json_string(row, "version"),
                        .as.tag = (char *)(uintptr_t)exia__json_string(row, "tag"),
                        .row = row};
}

/* As offers are sorted: so equals stand in the same way, wherever they come from. */
static exia_status sort_rows(query *now, exia_error *err)
{
    size_t count = json_array_size(now->rows);
    identified *all = exia__array(NULL, count + 1, sizeof *all);
    json_t *sorted = json_array();
    exia_status rc = all && sorted ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        all[i] = identify(json_array_get(now->rows, i));
    if (rc == EXIA_OK)
        qsort(all, count, sizeof *all, exia__offer_compare);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = exia__json_append(sorted, json_incref(all[i].row), err);
    exia__release(all);
    if (rc == EXIA_OK) {
        json_t *before = now->rows;
        now->rows = sorted;
        sorted = before;
    }
    json_decref(sorted);
    return rc;
}

/* Among all packages.  Rows that somebody changed meanwhile are read again. */
static exia_status find_rows(query *now, int may_write, exia_error *err)
{
    exia__catalog catalog = {0};
    exia_status rc = EXIA_OK;
    int done = 0;
    for (int i = 0; rc == EXIA_OK && !done && i < TRIES; i++) {
        exia__catalog_close(&catalog);
        rc = exia__catalog_open(&catalog, now->side, may_write, NULL, err);
        if (rc < 0 || catalog.at == 0)
            break;
        now->behind = catalog.behind;
        rc = seek_rows(now, err);
        if (rc == EXIA_OK)
            rc = exia__catalog_stands(&done, &catalog, now->side, err);
        if (now->broken)
            break;
    }
    if (rc == EXIA_OK && now->broken) {
        exia__log(EXIA_LOG_WARNING, "registry", "a row of packages is none: all events are read");
        if (may_write)
            exia__catalog_drop(&catalog, now->side);
    }
    if (rc == EXIA_OK && (!done || now->broken)) {
        json_array_clear(now->rows);
        rc = fold_rows(now, NULL, err);
    }
    now->behind = NULL;
    exia__catalog_close(&catalog);
    return rc == EXIA_OK ? sort_rows(now, err) : rc;
}

exia_status exia_registry_query(exia_rows **out, exia_registry *registry, const char *filter,
                                const char *remote, exia_error *err)
{
    exia__filter *condition = NULL;
    exia__side side = {0};
    query now = {0};
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_registry_query: `out` is NULL");
    *out = NULL;
    exia_status rc = exia__registry_enter(registry, err);
    if (rc < 0 || (rc = parse_filter(&condition, filter, err)) < 0 ||
        (rc = exia__side_open(&side, registry, remote, EXIA_STORE_READ, EXIA__RECORDS_ONLY, NULL,
                              err)) < 0)
        goto done;
    now = (query){.filter = condition, .side = &side, .rows = json_array()};
    const char *name = exia__filter_equal(condition, "name");
    if (now.rows == NULL)
        rc = exia__fail_memory(err);
    else if (name == NULL)
        rc = find_rows(&now, remote == NULL && registry->journal != NULL, err);
    else if (exia__name_check_lower(name, "package name", NULL) == EXIA_OK)
        rc = fold_rows(&now, name, err); /* no package has another name, and no key could */
    if (rc == EXIA_OK)
        rc = exia__filter_rows(out, condition, now.rows, err);
    else
        exia__side_fail(&side, rc, err);
done:
    json_decref(now.rows);
    exia__filter_free(condition);
    exia__side_free(&side);
    return rc;
}
