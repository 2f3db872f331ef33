/* What a published version says about itself: checked as it comes from the log or from a version.json,
 * and turned into the row that searches show. */
#include <string.h>

#include "base/error.h"
#include "base/name.h"
#include "model/library.h"

static exia_status check_part(const json_t *part, int stored, exia_error *err)
{
    const char *name = exia__json_string(part, "name");
    const char *sha256 = exia__json_string(part, "sha256");
    const json_t *size = json_object_get(part, "size");
    if (name == NULL || exia__name_check(name, "part", NULL) < 0 ||
        strcmp(name, "version.json") == 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "a part has no valid name");
    if (exia__json_string(part, "format") == NULL)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the part %s has no format", name);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the part %s has no valid size", name);
    if (sha256 == NULL || !exia__hex_valid(sha256))
        return exia__fail(err, EXIA_ECORRUPT, 0, "the part %s has no valid SHA-256", name);
    int kept =
        (exia__json_string(part, "key") != NULL) + (exia__json_string(part, "inline") != NULL);
    if (stored && kept != 1)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the part %s has not one of key and inline", name);
    if (exia__json_string(part, "inline") && json_integer_value(size) > EXIA__INLINE_LIMIT)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the part %s is inline and too large", name);
    return EXIA_OK;
}

exia_status exia__parts_check(const json_t *parts, int stored, exia_error *err)
{
    size_t i = 0, count = json_array_size(parts);
    json_t *part = NULL, *names = json_object();
    exia_status rc = names ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && (count == 0 || count > EXIA__PARTS_LIMIT))
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "there is no list of 1 to 1000 parts");
    json_array_foreach(parts, i, part)
    {
        if (rc == EXIA_OK)
            rc = check_part(part, stored, err);
        if (rc == EXIA_OK)
            rc = exia__json_set(names, exia__json_string(part, "name"), json_true(), err);
    }
    if (rc == EXIA_OK && json_object_size(names) != count)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "two parts have one name");
    json_decref(names);
    return rc;
}

exia_status exia__facts_check(const json_t *version, exia_error *err)
{
    static const struct {
        const char *key;
        json_type type;
    } members[] = {{"tags", JSON_OBJECT},
                   {"metrics", JSON_OBJECT},
                   {"params", JSON_OBJECT},
                   {"imports", JSON_ARRAY},
                   {"origin", JSON_STRING}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const json_t *value = json_object_get(version, members[i].key);
        if (value != NULL && json_typeof(value) != members[i].type)
            return exia__fail(err, EXIA_ECORRUPT, 0, "its %s are of another type", members[i].key);
    }
    const char *environment = exia__json_string(version, "environment");
    if (environment != NULL && !exia__hex_valid(environment))
        return exia__fail(err, EXIA_ECORRUPT, 0, "its environment is no SHA-256");
    return EXIA_OK;
}

/* What a row tells of the parts: not where they are kept. */
static exia_status show_parts(json_t **out, const json_t *parts, exia_error *err)
{
    size_t i = 0;
    json_t *part = NULL, *shown = json_array();
    exia_status rc = shown ? EXIA_OK : exia__fail_memory(err);
    json_array_foreach(parts, i, part)
    {
        if (rc == EXIA_OK)
            rc = exia__json_append(
                shown,
                json_pack("{s:O, s:O, s:O, s:O}", "name", json_object_get(part, "name"), "format",
                          json_object_get(part, "format"), "size", json_object_get(part, "size"),
                          "sha256", json_object_get(part, "sha256")),
                err);
    }
    if (rc < 0) {
        json_decref(shown);
        shown = NULL;
    }
    *out = shown;
    return rc;
}

/* The member, or what stands for it where it is absent. */
static json_t *member(const json_t *object, const char *key, json_t *(*standard)(void))
{
    json_t *value = json_object_get(object, key);
    return value ? json_incref(value) : standard();
}

exia_status exia__row_make(json_t **out, const char *name, const json_t *entry, exia_error *err)
{
    const json_t *version = json_object_get(entry, "version");
    json_t *row = json_object(), *parts = NULL;
    exia_status rc = show_parts(&parts, json_object_get(version, "parts"), err);
    if (rc == EXIA_OK &&
        (json_object_set_new(row, "name", json_string(name)) != 0 ||
         json_object_set_new(row, "version", member(version, "number", json_null)) != 0 ||
         json_object_set_new(row, "time", member(entry, "time", json_null)) != 0 ||
         json_object_set_new(row, "who", member(entry, "who", json_null)) != 0 ||
         json_object_set_new(row, "why", member(entry, "why", json_null)) != 0 ||
         json_object_set_new(row, "tags", member(version, "tags", json_object)) != 0 ||
         json_object_set_new(row, "metrics", member(version, "metrics", json_object)) != 0 ||
         json_object_set_new(row, "params", member(version, "params", json_object)) != 0 ||
         json_object_set_new(row, "parent", member(version, "parent", json_null)) != 0 ||
         json_object_set_new(row, "environment", member(version, "environment", json_null)) != 0 ||
         json_object_set_new(row, "imports", member(version, "imports", json_array)) != 0 ||
         json_object_set(row, "parts", parts) != 0 ||
         json_object_set_new(row, "aliases", json_array()) != 0))
        rc = exia__fail_memory(err);
    json_decref(parts);
    if (rc < 0) {
        json_decref(row);
        row = NULL;
    }
    *out = row;
    return rc;
}
