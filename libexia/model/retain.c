/* Retention: versions that no rule keeps are removed, each by an entry of its own that says why.  The
 * rules are data, each is a question that a search can answer, and a version that any of them keeps
 * stays.  An alias keeps its version whatever the rules say: a removal would refuse it. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "model/upkeep.h"
#include "store/filter.h"

enum { LONGEST_REASON = 500 };

typedef struct retention {
    exia_library *library;
    json_t *rules;
    char *reason; /* what the log says of each removal */
    int apply;
    exia__work work;
    exia_rows *rows;
    const char *name; /* of the model that is looked at */
    json_t *versions; /* its rows for the report, newest first */
} retention;

/* ---- the rules ------------------------------------------------------------------------------ */

static exia_status check_count(const char *rule, const json_t *value, exia_error *err)
{
    if (json_is_integer(value) && json_integer_value(value) > 0)
        return EXIA_OK;
    return exia__fail(err, EXIA_EINVAL, 0, "the rule %s is not a number of at least 1", rule);
}

static exia_status check_days(const char *rule, const json_t *value, exia_error *err)
{
    if (json_is_number(value) && json_number_value(value) > 0 && json_number_value(value) < 1e6)
        return EXIA_OK;
    return exia__fail(err, EXIA_EINVAL, 0, "the rule %s is not a number of days above 0", rule);
}

static exia_status check_fields(const char *rule, const json_t *value, exia_error *err)
{
    const char *field = NULL;
    json_t *count = NULL;
    exia_status rc = EXIA_OK;
    if (json_object_size(value) == 0)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "the rule %s is not an object of fields and counts: {\"metrics.x\": 3}",
                          rule);
    json_object_foreach((json_t *)value, field, count)
    {
        const json_t *found = NULL;
        if (rc == EXIA_OK)
            rc = exia__filter_field(&found, field, value, err);
        if (rc == EXIA_OK)
            rc = check_count(rule, count, err);
    }
    return rc < 0 ? exia__prefix(err, rc, "the rule %s", rule) : rc;
}

static exia_status check_aliases(const char *rule, const json_t *value, exia_error *err)
{
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    if (strcmp(text, "now") == 0 || strcmp(text, "ever") == 0)
        return EXIA_OK;
    return exia__fail(err, EXIA_EINVAL, 0, "the rule %s is neither \"now\" nor \"ever\"", rule);
}

/* It must be a filter by itself, and in brackets too: so it is one condition and no order. */
static exia_status check_where(const char *rule, const json_t *value, exia_error *err)
{
    exia__filter *parsed = NULL;
    char *condition = NULL;
    if (!json_is_string(value))
        return exia__fail(err, EXIA_EINVAL, 0, "the rule %s is not a text", rule);
    exia_status rc = exia__filter_parse(&parsed, json_string_value(value), err);
    exia__filter_free(parsed);
    parsed = NULL;
    if (rc == EXIA_OK)
        rc = exia__text_format(&condition, err, "(%s)", json_string_value(value));
    if (rc == EXIA_OK)
        rc = exia__filter_parse(&parsed, condition, err);
    exia__filter_free(parsed);
    exia__release(condition);
    return rc < 0 ? exia__prefix(err, rc, "the rule %s", rule) : rc;
}

static exia_status check_rules(const json_t *rules, exia_error *err)
{
    static const struct {
        const char *name;
        exia_status (*check)(const char *rule, const json_t *value, exia_error *err);
    } known[] = {{"last", check_count},   {"younger_days", check_days}, {"best", check_fields},
                 {"worst", check_fields}, {"aliases", check_aliases},   {"where", check_where}};
    const char *rule = NULL;
    json_t *value = NULL;
    exia_status rc = EXIA_OK;
    if (json_object_size(rules) == 0)
        return exia__fail(err, EXIA_EINVAL, 0, "there is no rule, which would remove everything");
    json_object_foreach((json_t *)rules, rule, value)
    {
        size_t i = 0, count = sizeof known / sizeof *known;
        while (i < count && strcmp(known[i].name, rule) != 0)
            i++;
        if (rc == EXIA_OK)
            rc = i < count ? known[i].check(rule, value, err)
                           : exia__fail(err, EXIA_EINVAL, 0,
                                        "there is no rule \"%.40s\": last, younger_days, best, "
                                        "worst, aliases and where are known",
                                        rule);
    }
    return rc;
}

/* ---- one model ------------------------------------------------------------------------------ */

static exia_status each_row(exia_rows *rows,
                            exia_status (*call)(retention *now, const json_t *row, void *payload,
                                                exia_error *err),
                            retention *now, void *payload, exia_error *err)
{
    const char *text = NULL;
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK && (rc = exia_rows_next(&text, rows, err)) == EXIA_OK) {
        json_t *row = NULL;
        rc = exia__json_object(&row, text, strlen(text), "a row", EXIA_ECORRUPT, err);
        if (rc == EXIA_OK)
            rc = call(now, row, payload, err);
        json_decref(row);
    }
    return rc < 0 ? rc : EXIA_OK;
}

/* The versions of the model, with what `condition` adds ("and ..", "order by ..") to that. */
static exia_status search(retention *now, const char *condition,
                          exia_status (*call)(retention *now, const json_t *row, void *payload,
                                              exia_error *err),
                          void *payload, exia_error *err)
{
    char *filter = NULL;
    exia_rows *rows = NULL;
    exia_status rc = exia__text_format(&filter, err, "name = '%s' %s", now->name, condition);
    if (rc == EXIA_OK)
        rc = exia_library_search(&rows, now->library, filter, err);
    if (rc == EXIA_OK)
        rc = each_row(rows, call, now, payload, err);
    exia_rows_free(rows);
    exia__release(filter);
    return rc;
}

static json_int_t number_of(const json_t *row)
{
    return json_integer_value(json_object_get(row, "version"));
}

/* Add a reason to keep the version of that number; one that came meanwhile is not there. */
static exia_status keep(retention *now, json_int_t number, const char *why, exia_error *err)
{
    size_t low = 0, high = json_array_size(now->versions);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (number_of(json_array_get(now->versions, middle)) > number)
            low = middle + 1;
        else
            high = middle;
    }
    json_t *row = json_array_get(now->versions, low);
    if (row == NULL || number_of(row) != number)
        return EXIA_OK;
    const char *before = exia__json_string(row, "why");
    char *both = NULL;
    exia_status rc =
        exia__text_format(&both, err, "%s%s%s", before, *before != '\0' ? ", " : "", why);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "why", json_string(both), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(row, "do", json_string("keep"), err);
    exia__release(both);
    return rc;
}

static exia_status add_version(retention *now, const json_t *row, void *payload, exia_error *err)
{
    size_t i = 0;
    json_int_t size = 0;
    json_t *part = NULL, *alias = NULL;
    (void)payload;
    json_array_foreach(json_object_get(row, "parts"), i, part) size +=
        json_integer_value(json_object_get(part, "size"));
    exia_status rc = exia__json_append(
        now->versions,
        json_pack("{s:O, s:O, s:O, s:I, s:s, s:s}", "name", json_object_get(row, "name"), "version",
                  json_object_get(row, "version"), "time", json_object_get(row, "time"), "size",
                  size, "do", "remove", "why", ""),
        err);
    json_array_foreach(json_object_get(row, "aliases"), i, alias)
    {
        char why[160];
        snprintf(why, sizeof why, "alias %s", json_string_value(alias));
        if (rc == EXIA_OK)
            rc = keep(now, number_of(row), why, err);
    }
    return rc;
}

static exia_status keep_young(retention *now, exia_error *err)
{
    const json_t *days = json_object_get(now->rules, "younger_days");
    char since[EXIA__TIME_SIZE], why[60];
    exia_status rc = EXIA_OK;
    size_t i = 0;
    json_t *row = NULL;
    if (days == NULL)
        return EXIA_OK;
    exia__time_text(since, exia__now_ms() - (int64_t)(json_number_value(days) * 86400000.0));
    snprintf(why, sizeof why, "younger than %g days", json_number_value(days));
    json_array_foreach(now->versions, i, row)
    {
        if (rc == EXIA_OK && strcmp(exia__json_string(row, "time"), since) > 0)
            rc = keep(now, number_of(row), why, err);
    }
    return rc;
}

static exia_status keep_last(retention *now, exia_error *err)
{
    json_int_t last = json_integer_value(json_object_get(now->rules, "last"));
    char why[40];
    exia_status rc = EXIA_OK;
    snprintf(why, sizeof why, "last %lld", (long long)last);
    for (size_t i = 0; i < json_array_size(now->versions) && (json_int_t)i < last; i++) {
        if (rc == EXIA_OK)
            rc = keep(now, number_of(json_array_get(now->versions, i)), why, err);
    }
    return rc;
}

typedef struct ranking {
    const char *rule, *field;
} ranking;

static exia_status keep_ranked(retention *now, const json_t *row, void *payload, exia_error *err)
{
    const ranking *how = payload;
    const json_t *value = NULL;
    char *why = NULL;
    exia_status rc = exia__filter_field(&value, how->field, row, err);
    if (rc < 0 || !json_is_number(value)) /* what has no number is never best */
        return rc;
    rc = exia__text_format(&why, err, "%s by %s", how->rule, how->field);
    if (rc == EXIA_OK)
        rc = keep(now, number_of(row), why, err);
    exia__release(why);
    return rc;
}

static exia_status keep_best(retention *now, const char *rule, const char *order, exia_error *err)
{
    const char *field = NULL;
    json_t *count = NULL;
    exia_status rc = EXIA_OK;
    json_object_foreach(json_object_get(now->rules, rule), field, count)
    {
        ranking how = {rule, field};
        char *condition = NULL;
        if (rc == EXIA_OK)
            rc = exia__text_format(&condition, err, "order by %s %s limit %lld", field, order,
                                   (long long)json_integer_value(count));
        if (rc == EXIA_OK)
            rc = search(now, condition, keep_ranked, &how, err);
        exia__release(condition);
    }
    return rc;
}

static exia_status keep_matching(retention *now, const json_t *row, void *payload, exia_error *err)
{
    return keep(now, number_of(row), payload, err);
}

static exia_status keep_where(retention *now, exia_error *err)
{
    const char *where = exia__json_string(now->rules, "where");
    char *condition = NULL;
    if (where == NULL)
        return EXIA_OK;
    exia_status rc = exia__text_format(&condition, err, "and (%s)", where);
    if (rc == EXIA_OK)
        rc = search(now, condition, keep_matching, "where", err);
    exia__release(condition);
    return rc;
}

static exia_status keep_target(retention *now, const json_t *entry, void *payload, exia_error *err)
{
    size_t i = 0;
    json_t *move = NULL;
    exia_status rc = EXIA_OK;
    (void)payload;
    json_array_foreach(json_object_get(entry, "moves"), i, move)
    {
        char why[160];
        snprintf(why, sizeof why, "alias %s was on it", exia__json_string(move, "alias"));
        if (rc == EXIA_OK)
            rc = keep(now, json_integer_value(json_object_get(move, "to")), why, err);
    }
    return rc;
}

static exia_status keep_ever(retention *now, exia_error *err)
{
    const char *aliases = exia__json_string(now->rules, "aliases");
    exia_rows *rows = NULL;
    if (aliases == NULL || strcmp(aliases, "ever") != 0)
        return EXIA_OK;
    exia_status rc = exia_library_history(&rows, now->library, now->name, err);
    if (rc == EXIA_OK)
        rc = each_row(rows, keep_target, now, NULL, err);
    exia_rows_free(rows);
    return rc;
}

/* ---- removal -------------------------------------------------------------------------------- */

static exia_status remove_one(retention *now, json_t *row, exia_error *err)
{
    const char *verb = "removed", *why = "no rule keeps it";
    exia_error refused = {0};
    if (!now->apply)
        return exia__json_set(row, "why", json_string(why), err);
    exia_status rc =
        exia_model_remove(now->library, now->name, number_of(row), now->reason, &refused);
    if (rc == EXIA_ECONFLICT) { /* an alias came to it meanwhile, and the text names it */
        verb = "keep";
        why = refused.text;
    } else if (rc == EXIA_ENOTFOUND) {
        why = "somebody else removed it meanwhile";
    } else if (rc < 0) {
        return exia__fail(err, rc, refused.native, "%s", refused.text);
    }
    rc = exia__json_set(row, "do", json_string(verb), err);
    return rc < 0 ? rc : exia__json_set(row, "why", json_string(why), err);
}

/* The oldest first: if it is stopped, the rules hold for what is left. */
static exia_status remove_rest(retention *now, exia_error *err)
{
    size_t count = json_array_size(now->versions);
    exia_status rc = EXIA_OK;
    for (size_t i = count; i-- > 0 && rc == EXIA_OK;) {
        json_t *row = json_array_get(now->versions, i);
        rc = exia__work_step(&now->work, "removing", count - i, count, err);
        if (rc == EXIA_OK && strcmp(exia__json_string(row, "do"), "remove") == 0)
            rc = remove_one(now, row, err);
    }
    for (size_t i = 0; i < count && rc == EXIA_OK; i++)
        rc = exia__rows_add(now->rows, json_array_get(now->versions, i), err);
    return rc;
}

static exia_status retain_model(const char *name, void *payload, exia_error *err)
{
    retention *now = payload;
    now->name = name;
    now->versions = json_array();
    exia_status rc = now->versions ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = search(now, "order by version desc", add_version, NULL, err);
    if (rc == EXIA_OK)
        rc = keep_ever(now, err);
    if (rc == EXIA_OK)
        rc = keep_last(now, err);
    if (rc == EXIA_OK)
        rc = keep_young(now, err);
    if (rc == EXIA_OK)
        rc = keep_best(now, "best", "desc", err);
    if (rc == EXIA_OK)
        rc = keep_best(now, "worst", "asc", err);
    if (rc == EXIA_OK)
        rc = keep_where(now, err);
    if (rc == EXIA_OK)
        rc = remove_rest(now, err);
    json_decref(now->versions);
    now->versions = NULL;
    return rc;
}

static exia_status begin(retention *now, exia_library *library, const char *rules,
                         const exia_retain_options *options, const exia_job *job, exia_error *err)
{
    char *text = NULL;
    now->library = library;
    now->apply = options->apply;
    exia_status rc = exia__work_begin(&now->work, job, err);
    if (rc == EXIA_OK && options->name != NULL)
        rc = exia__name_check(options->name, "model name", err);
    if (rc == EXIA_OK && library->read_only && options->apply)
        rc = exia__fail(err, EXIA_EDENIED, 0, "the library was opened read-only");
    if (rc == EXIA_OK)
        rc = exia__json_object(&now->rules, rules, strlen(rules), "the rules", EXIA_EINVAL, err);
    if (rc == EXIA_OK)
        rc = check_rules(now->rules, err);
    if (rc == EXIA_OK)
        rc = exia__json_text(&text, now->rules, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&now->reason, err, "no rule of retention keeps it%s%s",
                               strlen(text) < LONGEST_REASON ? ": " : "",
                               strlen(text) < LONGEST_REASON ? text : "");
    exia__release(text);
    return rc == EXIA_OK ? exia__rows_open(&now->rows, err) : rc;
}

exia_status exia_library_retain(exia_rows **out, exia_library *library, const char *rules,
                                const exia_retain_options *options, const exia_job *job,
                                exia_error *err)
{
    exia_retain_options ours;
    retention now = {0};
    if (out != NULL)
        *out = NULL;
    if (out == NULL || library == NULL || rules == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_library_retain: an argument is NULL");
    exia_status rc = exia__options(&ours, sizeof ours, options, err);
    if (rc == EXIA_OK)
        rc = begin(&now, library, rules, &ours, job, err);
    if (rc == EXIA_OK)
        rc = ours.name ? retain_model(ours.name, &now, err)
                       : exia__each_model(library, retain_model, &now, err);
    if (rc == EXIA_OK) {
        *out = now.rows;
        now.rows = NULL;
    }
    json_decref(now.rules);
    exia__release(now.reason);
    exia_rows_free(now.rows);
    return rc;
}
