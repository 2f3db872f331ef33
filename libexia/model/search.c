/* Searches.  The store's index narrows and orders; the filter is then asked of every row, and rows that
 * the index cannot order are settled here: a group of ties is held until a row comes that is behind
 * them all.  Rows that could not be written to the store are found in the folds.
 *
 * A store with batches has the rows of all logs, once the record library/derived says so; elsewhere,
 * and before that, every log is brought up to date first. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "model/library.h"
#include "store/filter.h"

typedef struct search {
    exia_library *library;
    const exia__filter *filter;
    exia__row_fn *show;
    void *payload;
    exia_seek seek;
    size_t shown, limit;
    int ordered;    /* by the index, as it says when the first row comes */
    int rest;       /* what is sought now are the rows that the index of the order has not */
    json_t *over;   /* the keys of rows that are in the folds; NULL: none */
    json_t **group; /* matches that tie */
    size_t count, capacity;
} search;

/* ---- groups --------------------------------------------------------------------------------- */

static int newest_first(const json_t *a, const json_t *b)
{
    int order = strcmp(exia__json_string(b, "time"), exia__json_string(a, "time"));
    if (order == 0)
        order = strcmp(exia__json_string(a, "name"), exia__json_string(b, "name"));
    json_int_t x = json_integer_value(json_object_get(a, "version"));
    json_int_t y = json_integer_value(json_object_get(b, "version"));
    return order ? order : (y > x) - (y < x);
}

static int compare_hits(const void *a, const void *b, void *payload)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int order = exia__filter_compare(payload, x, y);
    return order ? order : newest_first(x, y);
}

static exia_status show_group(search *now, exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (now->count > 1)
        qsort_r(now->group, now->count, sizeof *now->group, compare_hits,
                (void *)(uintptr_t)now->filter);
    for (size_t i = 0; i < now->count; i++) {
        if (rc == EXIA_OK && now->shown < now->limit) {
            rc = now->show(now->group[i], now->payload, err);
            now->shown++;
        }
        exia__seen_drop(now->library, now->group[i]);
    }
    now->count = 0;
    return rc;
}

static int in_order(const search *now)
{
    return now->ordered && now->over == NULL;
}

/* May a row that comes behind the group still belong before one of its rows? */
static int tied(const search *now, const json_t *row)
{
    exia__tie tie = exia__filter_tie(now->filter, now->group[0], row);
    return tie == EXIA__TIED ||
           (tie == EXIA__EQUAL &&
            strcmp(exia__json_string(now->group[0], "time"), exia__json_string(row, "time")) == 0);
}

static exia_status add(search *now, json_t *row, exia_error *err)
{
    exia_status rc =
        exia__grow(&now->group, &now->capacity, now->count + 1, sizeof *now->group, err);
    if (rc == EXIA_OK)
        now->group[now->count++] = exia__seen_keep(now->library, row);
    return rc;
}

/* A row of the store, in its turn. */
static exia_status look_at(search *now, const char *key, json_t *row, exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (json_object_get(now->over, key) != NULL ||
        (now->rest && exia__filter_indexed(now->filter, row)))
        return EXIA_OK;
    if (now->count > 0 && in_order(now) && !tied(now, row)) {
        if (now->shown + now->count >= now->limit)
            return EXIA_DONE;
        if (exia__filter_match(now->filter, row))
            rc = show_group(now, err);
    }
    return rc == EXIA_OK && exia__filter_match(now->filter, row) ? add(now, row, err) : rc;
}

static exia_status found_record(const char *key, const char *json, int64_t revision, void *payload,
                                exia_error *err)
{
    search *now = payload;
    json_t *row = NULL;
    (void)revision;
    exia_status rc = exia__seen_row(&row, now->library, key, json, err);
    if (rc == EXIA_OK && row != NULL)
        rc = look_at(now, key, row, err);
    exia__seen_drop(now->library, row);
    return rc;
}

/* ---- rows that are only in the folds -------------------------------------------------------- */

static exia_status add_changed(search *now, const exia__fold *fold, exia_error *err)
{
    char key[EXIA__KEY_SIZE];
    const char *number = NULL;
    json_t *record = NULL;
    exia_status rc = EXIA_OK;
    if (json_object_size(fold->changed) > 0 && now->over == NULL &&
        (now->over = json_object()) == NULL)
        return exia__fail_memory(err);
    json_object_foreach(fold->changed, number, record)
    {
        json_t *row = json_object_get(record, "row");
        exia__version_key(key, fold->name, atoll(number));
        if (rc == EXIA_OK)
            rc = exia__json_set(now->over, key, json_true(), err);
        if (rc == EXIA_OK && json_is_object(row) && exia__filter_match(now->filter, row))
            rc = add(now, row, err);
    }
    return rc;
}

/* Do the records of every log stand in the store? */
static exia_status ask_complete(exia_library *library, exia_error *err)
{
    char *text = NULL;
    exia_status rc =
        exia__records_get(&text, NULL, library->records, "library", "derived", NULL, err);
    library->complete = rc == EXIA_OK;
    exia__release(text);
    return rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc;
}

exia_status exia__library_complete(exia_library *library, exia_error *err)
{
    int batch = exia__records_can_batch(library->records), all = !library->read_only;
    exia_status rc = EXIA_OK;
    if (batch && !library->complete)
        rc = ask_complete(library, err);
    if (rc < 0 || library->complete)
        return rc;
    rc = exia__library_refresh_all(library, err);
    for (size_t i = 0; i < library->fold_count; i++)
        all = all && library->folds[i]->kept == library->folds[i]->head;
    if (rc < 0 || !batch || !all)
        return rc;
    rc = exia__records_put(NULL, library->records, "library", "derived", "{\"format\":1}", EXIA_ANY,
                           NULL, NULL, err);
    library->complete = rc == EXIA_OK;
    return rc == EXIA_ENOMEM ? rc : exia__forgive(err);
}

/* ---- a search ------------------------------------------------------------------------------- */

/* The number of the one version that can match; 0: the filter names none. */
static int64_t only_number(const exia_seek *seek)
{
    for (size_t i = 0; i < seek->range_count; i++) {
        const exia_range *range = &seek->ranges[i];
        if (strcmp(range->path, "/version") != 0 || range->low == NULL || range->high == NULL ||
            strcmp(range->low, range->high) != 0)
            continue;
        size_t digits = strspn(range->low, "0123456789");
        if (range->low[digits] == '\0' && digits > 0 && digits < 16)
            return atoll(range->low);
    }
    return 0;
}

static exia_status look_up(search *now, const char *name, int64_t number, exia_error *err)
{
    char key[EXIA__KEY_SIZE], *text = NULL;
    int64_t revision = 0;
    exia__version_key(key, name, number);
    exia_status rc =
        exia__records_get(&text, &revision, now->library->records, now->seek.kind, key, NULL, err);
    if (rc == EXIA_ENOTFOUND)
        rc = exia__forgive(err);
    else if (rc == EXIA_OK)
        rc = found_record(key, text, revision, now, err);
    exia__release(text);
    return rc < 0 ? rc : show_group(now, err);
}

static exia_status walk(search *now, exia_error *err)
{
    const char *order = now->seek.order;
    exia_status rc = exia__records_seek(&now->ordered, now->library->records, &now->seek,
                                        found_record, now, NULL, err);
    if (rc < 0 || !in_order(now) || order == NULL)
        return rc < 0 ? rc : show_group(now, err);
    rc = show_group(now, err);
    for (size_t i = 0; i < now->seek.range_count; i++) {
        if (strcmp(now->seek.ranges[i].path, order) == 0)
            return rc; /* those without a value do not match */
    }
    if (rc < 0 || now->shown >= now->limit)
        return rc;
    now->rest = 1;
    now->seek.order = NULL;
    rc = exia__records_seek(&now->ordered, now->library->records, &now->seek, found_record, now,
                            NULL, err);
    return rc == EXIA_OK ? show_group(now, err) : rc;
}

static void close_search(search *now)
{
    for (size_t i = 0; i < now->count; i++)
        exia__seen_drop(now->library, now->group[i]);
    exia__release(now->group);
    json_decref(now->over);
}

/* Locked, unless nobody else uses the folds: what is to be known before the store is asked. */
static exia_status open_search(search *now, const exia__fold *only, exia_error *err)
{
    exia_status rc = EXIA_OK;
    now->limit = exia__filter_limit(now->filter);
    if (only != NULL)
        return add_changed(now, only, err);
    for (size_t i = 0; i < now->library->fold_count && rc == EXIA_OK; i++)
        rc = add_changed(now, now->library->folds[i], err);
    return rc;
}

static exia_status run(search *now, const char *name, exia_error *err)
{
    char prefix[EXIA__KEY_SIZE] = "";
    exia__plan plan = {0};
    if (now->limit == 0)
        return EXIA_OK;
    exia_status rc = exia__filter_plan(&plan, now->filter, err);
    if (name != NULL)
        snprintf(prefix, sizeof prefix, "%.128s/", name);
    now->seek = (exia_seek){.kind = "version",
                            .prefix = prefix,
                            .ranges = plan.ranges,
                            .range_count = plan.range_count,
                            .order = plan.order,
                            .descending = plan.descending,
                            .limit = now->limit == SIZE_MAX ? 0 : now->limit};
    int64_t number = name ? only_number(&now->seek) : 0;
    if (rc == EXIA_OK)
        rc = number > 0 ? look_up(now, name, number, err) : walk(now, err);
    exia__plan_free(&plan);
    return rc;
}

exia_status exia__search_model(exia_library *library, const exia__fold *fold,
                               const exia__filter *filter, exia__row_fn *show, void *payload,
                               exia_error *err)
{
    search now = {.library = library, .filter = filter, .show = show, .payload = payload};
    exia_status rc = open_search(&now, fold, err);
    if (rc == EXIA_OK)
        rc = run(&now, fold->name, err);
    close_search(&now);
    return rc;
}

/* ---- the public one ------------------------------------------------------------------------- */

/* The answer, and the models whose aliases are up to date in it. */
typedef struct answer {
    exia_library *library;
    exia_rows *rows;
    json_t *fresh;
} answer;

static exia_status show_row(const json_t *row, void *payload, exia_error *err)
{
    answer *now = payload;
    exia__fold *fold = NULL;
    const char *name = exia__json_string(row, "name");
    const json_t *known = json_object_get(now->fresh, name);
    exia_status rc = exia__library_lock(now->library, err);
    if (rc < 0)
        return rc;
    const json_t *at = known ? json_object_get(now->library->fold_index, name) : NULL;
    if (at != NULL)
        fold = now->library->folds[json_integer_value(at)];
    else
        rc = exia__library_refresh(&fold, now->library, name, err);
    if (rc == EXIA_OK && at == NULL)
        rc = exia__json_set(now->fresh, name, json_true(), err);
    if (rc == EXIA_OK)
        rc = exia__seen_show(now->rows, now->library, row, fold, err);
    exia__library_unlock(now->library);
    return rc;
}

/* What is sought is brought up to date; `*none`: it can be nowhere. */
static exia_status prepare(int *none, search *now, const char *name, exia_error *err)
{
    exia__fold *fold = NULL;
    *none = name != NULL && exia__name_check(name, "model name", NULL) < 0;
    if (*none)
        return EXIA_OK;
    exia_status rc = exia__library_lock(now->library, err);
    if (rc < 0)
        return rc;
    rc = name ? exia__library_refresh(&fold, now->library, name, err)
              : exia__library_complete(now->library, err);
    if (rc == EXIA_OK)
        rc = open_search(now, fold, err);
    exia__library_unlock(now->library);
    return rc;
}

static exia_status find_rows(exia_rows **out, exia_library *library, const exia__filter *filter,
                             exia_error *err)
{
    answer all = {.library = library, .fresh = json_object()};
    search now = {.library = library, .filter = filter, .show = show_row, .payload = &all};
    const char *name = exia__filter_equal(filter, "name");
    int none = 0;
    exia_status rc = all.fresh ? exia__rows_open(&all.rows, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = prepare(&none, &now, name, err);
    if (rc == EXIA_OK && !none)
        rc = run(&now, name, err);
    if (rc == EXIA_OK) {
        *out = all.rows;
        all.rows = NULL;
    }
    close_search(&now);
    exia_rows_free(all.rows);
    json_decref(all.fresh);
    return rc;
}

exia_status exia_library_search(exia_rows **out, exia_library *library, const char *filter,
                                exia_error *err)
{
    exia__filter *parsed = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_library_search: an argument is NULL");
    exia_status rc = exia__filter_parse(&parsed, filter, err);
    if (rc == EXIA_OK)
        rc = exia__filter_known(parsed,
                                "name, version, time, who, why, tags, metrics, params, parent, "
                                "environment, imports, parts, aliases",
                                err);
    if (rc == EXIA_OK)
        rc = find_rows(out, library, parsed, err);
    exia__filter_free(parsed);
    return rc;
}
