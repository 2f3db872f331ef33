/* What was done to a model, or to one of its aliases, out of the log. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/name.h"
#include "base/rows.h"
#include "model/library.h"

/* The head of a model that is there. */
static exia_status find_head(int64_t *head, exia_library *library, const char *name,
                             exia_error *err)
{
    exia__fold *fold = NULL;
    exia_status rc = exia__name_check(name, "model name", err);
    if (rc == EXIA_OK)
        rc = exia__library_lock(library, err);
    if (rc < 0)
        return rc;
    rc = exia__library_refresh(&fold, library, name, err);
    if (rc == EXIA_OK)
        rc = exia__fold_missing(fold, err);
    if (rc == EXIA_OK)
        *head = fold->head;
    exia__library_unlock(library);
    return rc;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static exia_status add_entry(int64_t seq, const json_t *entry, void *payload, exia_error *err)
{
    json_t *number = json_object_get(json_object_get(entry, "version"), "number");
    json_t *moves = json_object_get(entry, "moves"), *protect = json_object_get(entry, "protect");
    json_t *row =
        json_pack("{s:I, s:O, s:O, s:O, s:O?, s:O?, s:o}", "seq", (json_int_t)seq, "do",
                  json_object_get(entry, "do"), "time", json_object_get(entry, "time"), "who",
                  json_object_get(entry, "who"), "why", json_object_get(entry, "why"), "version",
                  number, "moves", moves ? json_incref(moves) : json_array());
    exia_status rc = row ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && protect != NULL)
        rc = exia__json_set(row, "protect", json_incref(protect), err);
    if (rc == EXIA_OK)
        rc = exia__rows_add(payload, row, err);
    json_decref(row);
    return rc;
}

typedef struct looking {
    const char *alias, *time;
    exia_rows *rows; /* NULL: only the last move is wanted */
    int64_t version; /* -1: not set yet */
} looking;

/* The move of the alias in an entry; NULL: none. */
static const json_t *move_of(const json_t *entry, const char *alias)
{
    size_t i = 0;
    json_t *move = NULL;
    json_array_foreach(json_object_get(entry, "moves"), i, move)
    {
        const char *name = exia__json_string(move, "alias");
        if (name != NULL && strcmp(name, alias) == 0)
            return move;
    }
    return NULL;
}

static exia_status add_of_alias(int64_t seq, const json_t *entry, void *payload, exia_error *err)
{
    const looking *now = payload;
    const char *protects = exia__json_string(json_object_get(entry, "protect"), "alias");
    if (move_of(entry, now->alias) == NULL &&
        (protects == NULL || strcmp(protects, now->alias) != 0))
        return EXIA_OK;
    return add_entry(seq, entry, now->rows, err);
}

static exia_status list(exia_rows **out, exia_library *library, const char *name, const char *alias,
                        exia_error *err)
{
    looking now = {.alias = alias};
    int64_t head = 0;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "a history: an argument is NULL");
    exia_status rc = find_head(&head, library, name, err);
    if (rc == EXIA_OK)
        rc = exia__rows_open(&now.rows, err);
    if (rc == EXIA_OK)
        rc = exia__log_look(library, name, head, alias, alias ? add_of_alias : add_entry,
                            alias ? (void *)&now : (void *)now.rows, err);
    if (rc == EXIA_OK) {
        *out = now.rows;
        now.rows = NULL;
    }
    exia_rows_free(now.rows);
    return rc;
}

exia_status exia_library_history(exia_rows **out, exia_library *library, const char *name,
                                 exia_error *err)
{
    return list(out, library, name, NULL, err);
}

exia_status exia_alias_history(exia_rows **out, exia_library *library, const char *name,
                               const char *alias, exia_error *err)
{
    if (out != NULL)
        *out = NULL;
    exia_status rc = exia__alias_check(alias ? alias : "", err);
    return rc < 0 ? rc : list(out, library, name, alias, err);
}

/* ---- where it stood ------------------------------------------------------------------------- */

/* A day, or a second, or a millisecond of UTC, as the log writes times. */
static exia_status read_time(char out[EXIA__TIME_SIZE], const char *text, exia_error *err)
{
    int64_t ms = 0;
    size_t size = text ? strnlen(text, EXIA__TIME_SIZE) : 0;
    if (size == 10)
        snprintf(out, EXIA__TIME_SIZE, "%sT00:00:00.000Z", text);
    else if (size == 20 && text[19] == 'Z')
        snprintf(out, EXIA__TIME_SIZE, "%.19s.000Z", text);
    else
        snprintf(out, EXIA__TIME_SIZE, "%.30s", text ? text : "");
    if (exia__entry_time(&ms, out, NULL) == EXIA_OK)
        return EXIA_OK;
    return exia__fail(err, EXIA_EINVAL, 0,
                      "\"%.40s\" is no time: write 2026-01-31 or 2026-01-31T23:59:59Z (UTC)",
                      text ? text : "");
}

static exia_status follow(int64_t seq, const json_t *entry, void *payload, exia_error *err)
{
    looking *now = payload;
    const char *time = exia__json_string(entry, "time");
    const json_t *move = move_of(entry, now->alias);
    (void)seq;
    (void)err;
    if (time == NULL || strcmp(time, now->time) > 0)
        return EXIA_DONE;
    if (move != NULL)
        now->version = json_integer_value(json_object_get(move, "to"));
    return EXIA_OK;
}

exia_status exia__alias_at(int64_t *version, exia_library *library, const char *name,
                           const char *alias, const char *time, exia_error *err)
{
    char text[EXIA__TIME_SIZE];
    int64_t head = 0;
    looking now = {.alias = alias, .time = text, .version = -1};
    *version = EXIA_ABSENT;
    exia_status rc = read_time(text, time, err);
    if (rc == EXIA_OK)
        rc = find_head(&head, library, name, err);
    if (rc == EXIA_OK)
        rc = exia__log_look(library, name, head, alias, follow, &now, err);
    if (rc == EXIA_OK && now.version < 0)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "the alias %s of %s was not there yet at %s", alias,
                        name, text);
    if (rc == EXIA_OK)
        *version = now.version;
    return rc;
}
