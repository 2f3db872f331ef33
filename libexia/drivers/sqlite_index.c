/* The index of rows: one line of the table `field` for each number, text and boolean that a record's
 * `row` holds, and one with an empty path, by which all of a kind are found, newest first.  A line says
 * all in its key, so what a record had is taken out by its old JSON. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "drivers/sqlite.h"

/* A record while its row is walked through. */
typedef struct indexing {
    exia__sqlite *self;
    exia__statement which;
    const char *kind, *key;
    int64_t age;
    exia__buffer path;
} indexing;

/* The ranks are the order of types. */
enum { NUMBER, TEXT, BOOLEAN, NONE = -1 };

exia_status exia__sqlite_bind(int *rank, sqlite3_stmt *statement, int at, const json_t *value)
{
    size_t size = 0;
    int rc = SQLITE_OK;
    *rank = NONE;
    switch (json_typeof(value)) {
    case JSON_INTEGER:
        *rank = NUMBER;
        rc = sqlite3_bind_int64(statement, at, json_integer_value(value));
        break;
    case JSON_REAL:
        *rank = NUMBER;
        rc = sqlite3_bind_double(statement, at, json_real_value(value));
        break;
    case JSON_STRING: /* cut between bytes, for else the order would change */
        *rank = TEXT;
        size = json_string_length(value);
        rc = sqlite3_bind_text(statement, at, json_string_value(value),
                               size < EXIA_SEEK_TEXT ? (int)size : EXIA_SEEK_TEXT, SQLITE_STATIC);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        *rank = BOOLEAN;
        rc = sqlite3_bind_int(statement, at, json_is_true(value));
        break;
    default:
        break;
    }
    return rc == SQLITE_OK ? EXIA_OK : EXIA_ENOMEM;
}

/* One line in or out. */
static exia_status change(indexing *now, const json_t *value, exia_error *err)
{
    int rank = NONE;
    const char *path = now->path.data ? now->path.data : "";
    sqlite3_stmt *statement = NULL;
    exia_status rc =
        exia__sqlite_start(&statement, now->self, now->which,
                           (const char *const[]){now->kind, path, now->key, NULL}, err);
    if (rc < 0)
        return rc;
    if (exia__sqlite_bind(&rank, statement, 5, value) < 0 ||
        sqlite3_bind_int(statement, 4, rank) != SQLITE_OK ||
        sqlite3_bind_int64(statement, 6, now->age) != SQLITE_OK ||
        (rank != NONE && sqlite3_step(statement) != SQLITE_DONE))
        rc = exia__sqlite_fail(now->self, "write", err);
    exia__sqlite_end(statement);
    return rc;
}

/* No deeper than the parser went. */
static exia_status walk(indexing *now, const json_t *object, exia_error *err)
{
    const char *name = NULL;
    json_t *value = NULL;
    exia_status rc = EXIA_OK;
    json_object_foreach((json_t *)object, name, value)
    {
        size_t before = now->path.size;
        if (rc == EXIA_OK)
            rc = exia__json_pointer(&now->path, name, err);
        if (rc == EXIA_OK)
            rc = json_is_object(value) ? walk(now, value, err) : change(now, value, err);
        if (now->path.data != NULL)
            now->path.data[now->path.size = before] = '\0';
    }
    return rc;
}

exia_status exia__sqlite_index(exia__sqlite *self, exia__statement which, const char *kind,
                               const char *key, const char *json, exia_error *err)
{
    json_t *record = NULL, *all = NULL;
    if (json == NULL || strstr(json, "\"row\"") == NULL) /* mostly there is none: not parsed */
        return EXIA_OK;
    exia_status rc = exia__json_object(&record, json, strlen(json), "a record", EXIA_ECORRUPT, err);
    if (rc < 0) /* what was broken had no row */
        return rc == EXIA_ECORRUPT ? exia__forgive(err) : rc;
    const json_t *row = json_object_get(record, "row"), *age = json_object_get(record, "age");
    if (json_is_object(row) && json_is_integer(age)) {
        indexing now = {self, which, kind, key, json_integer_value(age), {0}};
        all = json_integer(0);
        rc = all ? change(&now, all, err) : exia__fail_memory(err);
        if (rc == EXIA_OK)
            rc = walk(&now, row, err);
        exia__buffer_free(&now.path);
        json_decref(all);
    }
    json_decref(record);
    return rc;
}
