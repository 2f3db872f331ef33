/* One version: its row by the `version` record, its parts by the entry that published it and those
 * that repaired or signed it later.  The ones opened last are kept, so that a service which opens one again and again
 * asks the store for nothing but news. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

static void clear(exia__version *version)
{
    exia__release(version->name);
    exia__release(version->text);
    json_decref(version->row);
    json_decref(version->parts);
    json_decref(version->signatures);
    json_decref(version->origin);
    *version = (exia__version){0};
}

void exia__version_forget(exia_library *library, const char *name, int64_t number)
{
    for (size_t i = 0; i < EXIA__RECENT; i++) {
        exia__version *one = &library->recent[i];
        if (one->name != NULL && (name == NULL || strcmp(one->name, name) == 0) &&
            (number == 0 || one->number == number))
            clear(one);
    }
}

/* Where a version is kept: numbers that follow each other do not meet. */
static exia__version *place_of(exia_library *library, const char *name, int64_t number)
{
    uint64_t hash = (uint64_t)number;
    for (; *name != '\0'; name++)
        hash += 31 * (unsigned char)*name;
    return &library->recent[hash % EXIA__RECENT];
}

exia_status exia__parts_repair(json_t **out, const json_t *parts, const json_t *repairs,
                               exia_error *err)
{
    size_t i = 0, k = 0;
    json_t *repair = NULL, *part = NULL, *mended = exia__json_deep_copy(parts);
    exia_status rc = mended ? EXIA_OK : exia__fail_memory(err);
    json_array_foreach((json_t *)repairs, i, repair)
    {
        const char *name = exia__json_string(repair, "name");
        json_t *key = json_object_get(repair, "key");
        int found = 0;
        json_array_foreach(mended, k, part)
        {
            if (name != NULL && json_is_string(key) && json_object_get(part, "key") != NULL &&
                strcmp(exia__json_string(part, "name"), name) == 0)
                found = json_object_set(part, "key", key) == 0 ? 1 : -1;
        }
        if (found <= 0 && rc == EXIA_OK)
            rc = found < 0
                     ? exia__fail_memory(err)
                     : exia__fail(err, EXIA_ECORRUPT, 0, "it repairs a part that is not there");
    }
    if (rc < 0) {
        json_decref(mended);
        mended = NULL;
    }
    *out = mended;
    return rc;
}

/* A part stored anew, or a signature. */
static exia_status add_later(exia__version *made, const json_t *entry, exia_error *err)
{
    const char *verb = exia__json_string(entry, "do");
    json_t *mended = NULL;
    if (verb != NULL && strcmp(verb, "sign") == 0 && exia__signature_valid(entry))
        return exia__signature_add(&made->signatures, entry, err);
    exia_status rc = exia__parts_repair(
        &mended, made->parts, json_object_get(json_object_get(entry, "version"), "parts"), err);
    if (rc == EXIA_OK) {
        json_decref(made->parts);
        made->parts = mended;
    }
    return rc;
}

static exia_status read_entries(exia__version *made, exia_library *library, const exia__fold *fold,
                                const json_t *record, exia_error *err)
{
    size_t i = 0;
    json_t *entry = NULL, *seq = NULL;
    exia_status rc = exia__log_read(&entry, library, fold->name,
                                    json_integer_value(json_object_get(record, "publish")), err);
    const json_t *version = json_object_get(entry, "version");
    if (rc == EXIA_OK && json_integer_value(json_object_get(version, "number")) != made->number)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "the log of %s does not publish version %lld there",
                        fold->name, (long long)made->number);
    if (rc == EXIA_OK)
        rc = exia__parts_check(json_object_get(version, "parts"), 1, err);
    if (rc == EXIA_OK)
        made->parts = json_incref(json_object_get(version, "parts"));
    if (rc == EXIA_OK)
        made->origin = json_incref(json_object_get(version, "origin"));
    json_decref(entry);
    json_array_foreach(json_object_get(record, "later"), i, seq)
    {
        if (rc == EXIA_OK)
            rc = exia__log_read(&entry, library, fold->name, json_integer_value(seq), err);
        if (rc < 0)
            break;
        rc = add_later(made, entry, err);
        json_decref(entry);
    }
    return rc;
}

exia_status exia__version_get(exia__version **out, exia_library *library, exia__fold *fold,
                              int64_t number, exia_error *err)
{
    exia__version *place = place_of(library, fold->name, number), made = {.number = number};
    json_t *record = NULL;
    *out = place;
    if (place->name != NULL && place->number == number && strcmp(place->name, fold->name) == 0)
        return EXIA_OK;
    *out = NULL;
    exia_status rc = exia__derived_version(&record, library, fold, number, err);
    if (rc == EXIA_OK && !json_is_object(json_object_get(record, "row")))
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "somebody removed version %lld of %s",
                        (long long)number, fold->name);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&made.name, fold->name, err);
    if (rc == EXIA_OK)
        rc = read_entries(&made, library, fold, record, err);
    if (rc == EXIA_OK) {
        made.row = json_incref(json_object_get(record, "row"));
        clear(place);
        *place = made;
        *out = place;
    } else {
        clear(&made);
    }
    json_decref(record);
    return rc;
}

exia_status exia__version_text(exia__version *version, const exia__fold *fold, exia_error *err)
{
    json_t *row = NULL, *aliases = NULL;
    if (version->text != NULL && version->head == fold->head)
        return EXIA_OK;
    exia__release(version->text);
    version->text = NULL;
    exia_status rc = exia__fold_aliases(&aliases, fold, version->number, err);
    if (rc < 0)
        return rc;
    row = exia__json_copy(version->row);
    rc = row ? exia__json_set(row, "aliases", json_incref(aliases), err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__json_shown(&version->text, row, err);
    version->head = fold->head;
    json_decref(row);
    json_decref(aliases);
    return rc;
}
