/* What is derived from the log: `model`/NAME, the state at some entry, and `version`/NAME/NUMBER, the
 * rows that are sought.  The promise: `model` names an entry only when the versions of all entries up
 * to it are written.  So whoever finds entries behind it writes the versions that they changed, and
 * then `model`; where somebody else was further on already, nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/library.h"

enum { TRIES = 20, FAR = 64 /* entries: reading `model` costs less */ };

void exia__version_key(char out[EXIA__KEY_SIZE], const char *name, int64_t number)
{
    snprintf(out, EXIA__KEY_SIZE, "%.128s/%016" PRId64, name, number);
}

/* ---- the state as a record ------------------------------------------------------------------ */

static exia_status add_runs(json_t *model, const exia__fold *fold, exia_error *err)
{
    json_t *runs = json_array();
    exia_status rc = exia__json_set(model, "removed", runs, err);
    for (size_t i = 0; i < fold->removed_count && rc == EXIA_OK; i++)
        rc = exia__json_append(runs,
                               json_pack("[I, I]", (json_int_t)fold->removed[i].first,
                                         (json_int_t)fold->removed[i].last),
                               err);
    return rc;
}

static exia_status add_aliases(json_t *model, const exia__fold *fold, exia_error *err)
{
    json_t *aliases = json_array();
    exia_status rc = exia__json_set(model, "aliases", aliases, err);
    for (size_t i = 0; i < fold->alias_count && rc == EXIA_OK; i++) {
        const exia__alias *one = &fold->aliases[i];
        rc = exia__json_append(aliases,
                               json_pack("{s:s, s:I, s:I, s:I, s:I, s:o*}", "name", one->name,
                                         "seq", (json_int_t)one->seq, "version",
                                         (json_int_t)one->version, "below", (json_int_t)one->below,
                                         "under", (json_int_t)one->under, "protected",
                                         one->guarded ? json_true() : NULL),
                               err);
    }
    return rc;
}

static exia_status make_model(json_t **out, const exia__fold *fold, exia_error *err)
{
    json_t *model = json_pack("{s:i, s:I, s:s, s:I}", "format", 1, "head", (json_int_t)fold->head,
                              "time", fold->time, "highest", (json_int_t)fold->highest);
    exia_status rc = model ? add_runs(model, fold, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = add_aliases(model, fold, err);
    if (rc < 0) {
        json_decref(model);
        model = NULL;
    }
    *out = model;
    return rc;
}

static exia_status bad(exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "the record of the model is not valid");
}

/* A member that is a number from `least` on; -1: it is not. */
static int64_t number_in(const json_t *object, const char *key, int64_t least)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) && json_integer_value(value) >= least ? json_integer_value(value)
                                                                        : -1;
}

static exia_status read_runs(exia__fold *fold, const json_t *runs, exia_error *err)
{
    size_t i = 0;
    json_t *run = NULL;
    int64_t before = -1;
    exia_status rc = exia__grow(&fold->removed, &fold->removed_capacity, json_array_size(runs) + 1,
                                sizeof *fold->removed, err);
    json_array_foreach((json_t *)runs, i, run)
    {
        int64_t first = json_integer_value(json_array_get(run, 0));
        int64_t last = json_integer_value(json_array_get(run, 1));
        if (rc == EXIA_OK && (first < before + 2 || first > last || last > fold->highest))
            rc = bad(err);
        if (rc == EXIA_OK)
            fold->removed[fold->removed_count++] = (exia__run){first, last};
        before = last;
    }
    return rc;
}

static exia_status read_aliases(exia__fold *fold, const json_t *aliases, exia_error *err)
{
    size_t i = 0;
    json_t *alias = NULL;
    exia_status rc = EXIA_OK;
    json_array_foreach((json_t *)aliases, i, alias)
    {
        const char *name = exia__json_string(alias, "name");
        const exia__alias stands = {NULL,
                                    number_in(alias, "seq", 1),
                                    number_in(alias, "version", 0),
                                    number_in(alias, "below", 0),
                                    number_in(alias, "under", 0),
                                    json_is_true(json_object_get(alias, "protected"))};
        if (rc == EXIA_OK &&
            (name == NULL || exia__name_check(name, "alias", NULL) < 0 ||
             exia__fold_alias(fold, name) != NULL || stands.seq > fold->head || stands.seq < 0 ||
             stands.version < 0 || stands.version > fold->highest || stands.below < 0 ||
             stands.below >= stands.seq || stands.under < 0 || stands.under > fold->highest))
            rc = bad(err);
        if (rc == EXIA_OK)
            rc = exia__fold_set(fold, name, &stands, err);
    }
    return rc;
}

/* Into an empty fold. */
static exia_status read_model(exia__fold *fold, const json_t *model, exia_error *err)
{
    int64_t ms = 0;
    const char *time = exia__json_string(model, "time");
    const json_t *runs = json_object_get(model, "removed");
    const json_t *aliases = json_object_get(model, "aliases");
    fold->head = number_in(model, "head", 1);
    fold->highest = number_in(model, "highest", 0);
    if (fold->head < 0 || fold->highest < 0 || fold->highest > fold->head || !json_is_array(runs) ||
        !json_is_array(aliases) || exia__entry_time(&ms, time, NULL) < 0)
        return bad(err);
    memcpy(fold->time, time, 25);
    fold->kept = fold->head;
    fold->known = fold->head + 1;
    exia_status rc = read_runs(fold, runs, err);
    return rc == EXIA_OK ? read_aliases(fold, aliases, err) : rc;
}

/* The record as it is now: NULL where there is none, or one that is no use; `*newer`: it is of a
 * format that this library does not know, and must be left alone. */
static exia_status get_model(json_t **out, int64_t *revision, int *newer, exia_library *library,
                             const char *name, exia_error *err)
{
    char *text = NULL;
    *out = NULL;
    *newer = 0;
    *revision = EXIA_ABSENT;
    exia_status rc = exia__records_get(&text, revision, library->records, "model", name, NULL, err);
    if (rc == EXIA_ENOTFOUND)
        return exia__forgive(err);
    if (rc == EXIA_OK)
        rc = exia__json_object(out, text, strlen(text), "a record", EXIA_ECORRUPT, err);
    exia__release(text);
    if (rc == EXIA_ECORRUPT)
        return exia__forgive(err);
    *newer = json_integer_value(json_object_get(*out, "format")) > 1;
    if (*newer || json_integer_value(json_object_get(*out, "format")) < 1) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}

exia_status exia__derived_load(exia__fold *fold, exia_library *library, exia_error *err)
{
    json_t *model = NULL;
    int64_t revision = 0;
    int newer = 0, there = 1;
    exia_status rc = get_model(&model, &revision, &newer, library, fold->name, err);
    if (rc == EXIA_OK && model != NULL)
        rc = read_model(fold, model, err);
    /* an entry put behind a head that the log has not would leave a gap */
    if (rc == EXIA_OK && fold->head > 0)
        rc = exia__log_has(&there, library, fold->name, fold->head, err);
    if (rc < 0 || !there)
        exia__fold_clear(fold);
    json_decref(model);
    return rc == EXIA_ECORRUPT ? exia__forgive(err) : rc; /* the log is there */
}

exia_status exia__derived_jump(int *jumped, exia__fold *fold, exia_library *library,
                               exia_error *err)
{
    exia__fold *ahead = NULL;
    *jumped = 0;
    exia_status rc = exia__fold_open(&ahead, fold->name, err);
    if (rc == EXIA_OK)
        rc = exia__derived_load(ahead, library, err);
    if (rc == EXIA_OK && ahead->head > fold->head + FAR) {
        const exia__fold behind = *fold;
        *fold = *ahead;
        *ahead = behind;
        exia__version_forget(library, fold->name, 0);
        *jumped = 1;
    }
    exia__fold_free(ahead);
    return rc;
}

/* ---- the versions --------------------------------------------------------------------------- */

exia_status exia__derived_check(const json_t *record, const char *key, exia_error *err)
{
    char its[EXIA__KEY_SIZE];
    const json_t *row = json_object_get(record, "row");
    const char *name = exia__json_string(row, "name");
    exia__version_key(its, name ? name : "", number_in(row, "version", 1));
    if (number_in(record, "format", 1) > 1)
        return exia__fail(err, EXIA_EVERSION, 0, "the record %s is of a newer format", key);
    if (number_in(record, "format", 1) < 0 || number_in(record, "seq", 1) < 0 ||
        (!json_is_null(row) &&
         (!json_is_object(row) || strcmp(its, key) != 0 || number_in(record, "publish", 1) < 0 ||
          exia__json_string(row, "time") == NULL ||
          !json_is_integer(json_object_get(record, "age")))))
        return exia__fail(err, EXIA_ECORRUPT, 0, "the record %s is not valid: run a check", key);
    return EXIA_OK;
}

exia_status exia__derived_version(json_t **out, exia_library *library, const exia__fold *fold,
                                  int64_t number, exia_error *err)
{
    char key[EXIA__KEY_SIZE], *text = NULL;
    exia__version_key(key, fold->name, number);
    *out = json_incref(json_object_get(fold->changed, strrchr(key, '/') + 1));
    if (*out != NULL)
        return EXIA_OK;
    exia_status rc = exia__records_get(&text, NULL, library->records, "version", key, NULL, err);
    if (rc == EXIA_ENOTFOUND)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "the record %s is missing: run a check", key);
    if (rc == EXIA_OK)
        rc = exia__json_object(out, text, strlen(text), "a record", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = exia__derived_check(*out, key, err);
    if (rc < 0) {
        json_decref(*out);
        *out = NULL;
    }
    exia__release(text);
    return rc;
}

/* ---- puts ----------------------------------------------------------------------------------- */

exia_status exia__puts_add(exia__puts *puts, const char *kind, const char *key, const json_t *json,
                           int64_t expect, const char *token, exia_error *err)
{
    char *text = NULL, *copy = NULL;
    exia_status rc =
        exia__grow(&puts->items, &puts->capacity, puts->count + 1, sizeof *puts->items, err);
    if (rc == EXIA_OK)
        rc = exia__json_text(&text, json, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&copy, key, err);
    if (rc == EXIA_OK) {
        puts->items[puts->count++] = (exia_put){kind, copy, text, expect, token};
        text = NULL;
    }
    exia__release(text);
    return rc;
}

void exia__puts_free(exia__puts *puts)
{
    for (size_t i = 0; i < puts->count; i++) {
        exia__release((char *)(uintptr_t)puts->items[i].key);
        exia__release((char *)(uintptr_t)puts->items[i].json);
    }
    exia__release(puts->items);
    *puts = (exia__puts){0};
}

exia_status exia__derived_puts(exia__puts *puts, const exia__fold *fold, exia_error *err)
{
    char key[EXIA__KEY_SIZE];
    const char *number = NULL;
    json_t *record = NULL, *model = NULL;
    exia_status rc = EXIA_OK;
    json_object_foreach(fold->changed, number, record)
    {
        snprintf(key, sizeof key, "%.128s/%.20s", fold->name, number);
        if (rc == EXIA_OK)
            rc = exia__puts_add(puts, "version", key, record, EXIA_ANY, NULL, err);
    }
    if (rc == EXIA_OK)
        rc = make_model(&model, fold, err);
    if (rc == EXIA_OK)
        rc = exia__puts_add(puts, "model", fold->name, model, EXIA_ANY, NULL, err);
    json_decref(model);
    return rc;
}

/* ---- writing -------------------------------------------------------------------------------- */

void exia__derived_kept(exia__fold *fold)
{
    fold->kept = fold->head;
    json_object_clear(fold->changed);
}

/* One version where the store has no batch: unless a later entry's is there.  @return EXIA_ECONFLICT:
 * it changed meanwhile */
static exia_status put_version(exia_library *library, const exia_put *put, exia_error *err)
{
    char *there = NULL;
    json_t *ours = NULL, *its = NULL;
    int64_t revision = EXIA_ABSENT;
    exia_status rc =
        exia__records_get(&there, &revision, library->records, "version", put->key, NULL, err);
    if (rc == EXIA_ENOTFOUND)
        rc = exia__forgive(err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&ours, put->json, strlen(put->json), "a record", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK && there != NULL &&
        exia__json_object(&its, there, strlen(there), "a record", EXIA_ECORRUPT, NULL) ==
            EXIA_ENOMEM)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK && json_integer_value(json_object_get(its, "seq")) <
                             json_integer_value(json_object_get(ours, "seq")))
        rc = exia__records_put(NULL, library->records, "version", put->key, put->json, revision,
                               NULL, NULL, err);
    json_decref(ours);
    json_decref(its);
    exia__release(there);
    return rc;
}

/* The last put is that of `model`, which must stand at `revision`. */
static exia_status put_all(exia_library *library, exia__puts *puts, int64_t revision,
                           exia_error *err)
{
    exia_put *model = &puts->items[puts->count - 1];
    exia_status rc = EXIA_OK;
    model->expect = revision;
    if (exia__records_can_batch(library->records))
        return exia__records_batch(library->records, puts->items, puts->count, NULL, err);
    for (size_t i = 0; i + 1 < puts->count && rc == EXIA_OK; i++)
        rc = put_version(library, &puts->items[i], err);
    return rc == EXIA_OK ? exia__records_put(NULL, library->records, "model", model->key,
                                             model->json, revision, NULL, NULL, err)
                         : rc;
}

/* EXIA_ECONFLICT: look again. */
static exia_status write_once(exia__fold *fold, exia_library *library, exia__puts *puts,
                              exia_error *err)
{
    json_t *model = NULL;
    int64_t revision = 0;
    int newer = 0, ahead = 0;
    exia_status rc = get_model(&model, &revision, &newer, library, fold->name, err);
    int64_t head = json_integer_value(json_object_get(model, "head"));
    if (rc == EXIA_OK && head > fold->head)
        rc = exia__log_has(&ahead, library, fold->name, head, err);
    if (rc == EXIA_OK && !newer && head != fold->head && !ahead) {
        if (puts->count == 0)
            rc = exia__derived_puts(puts, fold, err);
        if (rc == EXIA_OK)
            rc = put_all(library, puts, revision, err);
    }
    if (rc == EXIA_OK && !newer)
        exia__derived_kept(fold);
    json_decref(model);
    return rc;
}

exia_status exia__derived_write(exia__fold *fold, exia_library *library, exia_error *err)
{
    exia__puts puts = {0};
    exia_error why = {0};
    exia_status rc = EXIA_ECONFLICT;
    if (library->read_only || fold->kept == fold->head)
        return EXIA_OK;
    for (int i = 0; i < TRIES && rc == EXIA_ECONFLICT; i++)
        rc = write_once(fold, library, &puts, &why);
    exia__puts_free(&puts);
    if (rc == EXIA_ENOMEM)
        return exia__fail_memory(err);
    if (rc < 0)
        exia__log(EXIA_LOG_INFO, "model", "what is derived from the log of %s is not written: %s",
                  fold->name, why.text);
    return EXIA_OK;
}
