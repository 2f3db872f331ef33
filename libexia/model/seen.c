/* The rows that searches came upon last.  Most searches find what the one before found, and a row costs
 * more to parse and to write than to find.  A record with the very text that was parsed then is the
 * one that is kept, so nothing has to be told when records change.  Threads share rows; their counts
 * of references are changed under the lock only. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

enum { LONGEST = 8192 /* bytes of a record that is kept */ };

static exia__seen *place_of(exia_library *library, const char *key)
{
    uint32_t hash = 0; /* numbers that follow each other do not meet */
    for (; *key != '\0'; key++)
        hash = 31 * hash + (unsigned char)*key;
    return &library->seen[hash % EXIA__SEEN];
}

static void clear(exia__seen *seen)
{
    exia__release(seen->json);
    exia__release(seen->shown);
    json_decref(seen->row);
    *seen = (exia__seen){0};
}

static exia_status parse(json_t **row, const char *key, const char *json, exia_error *err)
{
    json_t *record = NULL;
    exia_status rc = exia__json_object(&record, json, strlen(json), "a record", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = exia__derived_check(record, key, err);
    if (rc == EXIA_OK && json_is_object(json_object_get(record, "row")))
        *row = json_incref(json_object_get(record, "row"));
    json_decref(record);
    return rc;
}

exia_status exia__seen_row(json_t **row, exia_library *library, const char *key, const char *json,
                           exia_error *err)
{
    exia__seen *place = place_of(library, key), made = {0};
    *row = NULL;
    pthread_mutex_lock(&library->seen_mutex);
    if (place->json != NULL && strcmp(place->json, json) == 0)
        *row = json_incref(place->row);
    pthread_mutex_unlock(&library->seen_mutex);
    if (*row != NULL)
        return EXIA_OK;
    exia_status rc = parse(row, key, json, err);
    if (rc < 0 || *row == NULL || strnlen(json, LONGEST) == LONGEST ||
        exia__text_copy(&made.json, json, NULL) < 0) /* it is parsed again, then */
        return rc;
    made.row = json_incref(*row);
    pthread_mutex_lock(&library->seen_mutex);
    clear(place);
    *place = made;
    pthread_mutex_unlock(&library->seen_mutex);
    return EXIA_OK;
}

static exia_status write(char **out, const json_t *row, const exia__fold *fold, exia_error *err)
{
    json_t *aliases = NULL, *shown = exia__json_copy(row);
    exia_status rc = shown ? EXIA_OK : exia__fail_memory(err);
    *out = NULL;
    if (rc == EXIA_OK)
        rc = exia__fold_aliases(&aliases, fold, json_integer_value(json_object_get(row, "version")),
                                err);
    if (rc == EXIA_OK)
        rc = exia__json_set(shown, "aliases", aliases, err);
    if (rc == EXIA_OK)
        rc = exia__json_shown(out, shown, err);
    json_decref(shown);
    return rc;
}

exia_status exia__seen_show(exia_rows *rows, exia_library *library, const json_t *row,
                            const exia__fold *fold, exia_error *err)
{
    char key[EXIA__KEY_SIZE], *text = NULL;
    exia_status rc = EXIA_OK;
    exia__version_key(key, fold->name, json_integer_value(json_object_get(row, "version")));
    exia__seen *place = place_of(library, key);
    pthread_mutex_lock(&library->seen_mutex);
    if (place->row != row || place->head != fold->head) {
        rc = write(&text, row, fold, err);
        if (rc == EXIA_OK && place->row == row) {
            exia__release(place->shown);
            place->shown = text;
            place->head = fold->head;
            text = NULL;
        }
    }
    if (rc == EXIA_OK)
        rc = exia__rows_add_text(rows, text ? text : place->shown, err);
    pthread_mutex_unlock(&library->seen_mutex);
    exia__release(text);
    return rc;
}

json_t *exia__seen_keep(exia_library *library, json_t *row)
{
    pthread_mutex_lock(&library->seen_mutex);
    json_incref(row);
    pthread_mutex_unlock(&library->seen_mutex);
    return row;
}

void exia__seen_drop(exia_library *library, json_t *row)
{
    pthread_mutex_lock(&library->seen_mutex);
    json_decref(row);
    pthread_mutex_unlock(&library->seen_mutex);
}

void exia__seen_free(exia_library *library)
{
    for (size_t i = 0; i < EXIA__SEEN; i++)
        clear(&library->seen[i]);
}
