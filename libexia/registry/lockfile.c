/* veda.lock: exactly which packages an install took, for the next one to take the same.
 *
 *     {"format": 1, "packages": [{name, version, tag, digest, dependencies, requested}]}
 *
 * Sorted by name and without times or places, so that the same packages give the same bytes.  What was
 * asked for is `requested`; the rest is there because that needs it, and goes when nothing does. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "package/version.h"
#include "registry/plan.h"

enum { LIMIT = 64 << 20 };

/* ---- read ---- */

static exia_status check_entry(const json_t *entry, const char *path, exia_error *err)
{
    const char *name = exia__json_string(entry, "name");
    const char *version = exia__json_string(entry, "version");
    const char *tag = exia__json_string(entry, "tag");
    const char *digest = exia__json_string(entry, "digest");
    const json_t *needs = json_object_get(entry, "dependencies");
    exia_error why = {0};
    exia__dependency parsed;
    if (name == NULL || version == NULL || tag == NULL || digest == NULL ||
        !exia__hex_valid(digest) || !json_is_array(needs))
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "%s: a package has no name, version, tag, digest or dependencies", path);
    exia_status rc = exia__name_check_lower(name, "package name", &why);
    if (rc == EXIA_OK)
        rc = exia__version_check(version, &why);
    if (rc == EXIA_OK)
        rc = exia__name_check_lower(tag, "platform tag", &why);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(needs); i++) {
        const char *text = json_string_value(json_array_get(needs, i));
        rc = text ? exia__dependency_parse(&parsed, text, &why)
                  : exia__fail(&why, EXIA_EINVAL, 0, "a dependency is no text");
    }
    return rc < 0 ? exia__fail(err, EXIA_ECORRUPT, 0, "%s: %s", path, why.text) : EXIA_OK;
}

exia_status exia__lockfile_read(json_t **pins, const char *path, exia_error *err)
{
    char *text = NULL;
    size_t size = 0;
    json_t *file = NULL, *found = NULL;
    *pins = NULL;
    exia_status rc = exia__file_read(&text, &size, path, LIMIT, err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&file, text, size, path, EXIA_ECORRUPT, err);
    exia__release(text);
    if (rc < 0)
        return rc;
    const json_t *format = json_object_get(file, "format");
    const json_t *list = json_object_get(file, "packages");
    if (json_is_integer(format) && json_integer_value(format) > 1)
        rc = exia__fail(err, EXIA_EVERSION, 0,
                        "%s is of format %lld, newer than this library reads (1)", path,
                        (long long)json_integer_value(format));
    else if (!json_is_integer(format) || !json_is_array(list))
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s is no lock file: it has no format or packages",
                        path);
    else if ((found = json_object()) == NULL)
        rc = exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(list); i++) {
        json_t *entry = json_array_get(list, i);
        const char *name = exia__json_string(entry, "name");
        rc = check_entry(entry, path, err);
        if (rc == EXIA_OK && json_object_get(found, name) != NULL)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s lists %s twice", path, name);
        if (rc == EXIA_OK)
            rc = exia__json_set(found, name, json_incref(entry), err);
    }
    json_decref(file);
    if (rc == EXIA_OK)
        *pins = found;
    else
        json_decref(found);
    return rc;
}

/* ---- what comes of an install ---- */

static exia_status make_entry(json_t **out, const json_t *step, int requested, exia_error *err)
{
    static const char *const copied[] = {"name", "version", "tag", "digest"};
    const json_t *needs = json_object_get(step, "dependencies");
    json_t *entry = json_object();
    exia_status rc = entry ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < sizeof copied / sizeof *copied; i++)
        rc = exia__json_set(entry, copied[i], json_incref(json_object_get(step, copied[i])), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(entry, "dependencies",
                            needs ? json_incref((json_t *)needs) : json_array(), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(entry, "requested", json_boolean(requested), err);
    *out = entry;
    return rc;
}

/* Take over what is requested, then what that needs, and so on.  EXIA_ECONFLICT: a need is not met. */
static exia_status take_needed(json_t *out, const json_t *all, const char *path, exia_error *err)
{
    const char *name;
    json_t *entry, *open = json_array();
    exia_status rc = open ? EXIA_OK : exia__fail_memory(err);
    json_object_foreach((json_t *)all, name, entry)
    {
        if (rc == EXIA_OK && json_is_true(json_object_get(entry, "requested")))
            rc = exia__json_append(open, json_incref(entry), err);
    }
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(open); i++) {
        const json_t *one = json_array_get(open, i), *needs = json_object_get(one, "dependencies");
        name = exia__json_string(one, "name");
        if (json_object_get(out, name) != NULL)
            continue;
        rc = exia__json_set(out, name, json_incref((json_t *)one), err);
        for (size_t k = 0; rc == EXIA_OK && k < json_array_size(needs); k++) {
            exia__dependency need;
            rc = exia__dependency_parse(&need, json_string_value(json_array_get(needs, k)), err);
            if (rc < 0)
                break;
            json_t *met = json_object_get(all, need.name);
            if (met != NULL && exia__dependency_match(&need, exia__json_string(met, "version")))
                rc = exia__json_append(open, json_incref(met), err);
            else
                rc = exia__fail(err, EXIA_ECONFLICT, 0,
                                "%s@%s in %s needs \"%s\", and it would hold %s%s%s: upgrade %s, "
                                "too, or use another lock file",
                                name, exia__json_string(one, "version"), path,
                                json_string_value(json_array_get(needs, k)),
                                met ? need.name : "none", met ? "@" : "",
                                met ? exia__json_string(met, "version") : "", name);
        }
    }
    json_decref(open);
    return rc;
}

exia_status exia__lockfile_merge(json_t **out, const json_t *pins, const json_t *steps,
                                 const char *path, exia_error *err)
{
    json_t *all = pins ? exia__json_copy(pins) : json_object(), *kept = json_object();
    size_t count = json_array_size(steps);
    exia_status rc = all && kept ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        const json_t *step = json_array_get(steps, i);
        const char *name = exia__json_string(step, "name");
        int before = json_is_true(json_object_get(json_object_get(pins, name), "requested"));
        json_t *entry = NULL;
        rc = make_entry(&entry, step, before || i + 1 == count, err);
        if (rc == EXIA_OK)
            rc = exia__json_set(all, name, json_incref(entry), err);
        json_decref(entry);
    }
    if (rc == EXIA_OK)
        rc = take_needed(kept, all, path, err);
    json_decref(all);
    if (rc == EXIA_OK)
        *out = kept;
    else
        json_decref(kept);
    return rc;
}

/* ---- write ---- */

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static exia_status make_text(char **out, const json_t *pins, exia_error *err)
{
    json_t *file = json_pack("{s:i, s:[]}", "format", 1, "packages"), *entry;
    const char **names = exia__array(NULL, json_object_size(pins), sizeof *names), *name;
    size_t count = 0;
    exia_status rc = file && names ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK) {
        json_object_foreach((json_t *)pins, name, entry) names[count++] = name;
        qsort(names, count, sizeof *names, by_name);
    }
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = exia__json_append(json_object_get(file, "packages"),
                               json_incref(json_object_get(pins, names[i])), err);
    if (rc == EXIA_OK)
        rc = exia__json_pretty(out, file, err);
    json_decref(file);
    exia__release(names);
    return rc;
}

exia_status exia__lockfile_write(const char *path, const json_t *pins, exia_error *err)
{
    char *text = NULL, *before = NULL;
    size_t size = 0;
    exia_status rc = make_text(&text, pins, err);
    if (rc == EXIA_OK &&
        (exia__file_read(&before, &size, path, LIMIT, NULL) < 0 || strcmp(before, text) != 0))
        rc = exia__file_write(path, text, strlen(text), EXIA__REPLACE, err);
    exia__release(before);
    exia__release(text);
    return rc;
}
