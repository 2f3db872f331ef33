/* veda.json, what a person writes about a package, checked strictly: a field that is not known is a
 * mistake, and each error names the field.  METADATA.json holds it again. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/name.h"
#include "package/format.h"
#include "package/version.h"

/* What every check needs to say where it is. */
typedef struct place {
    const char *what; /* the text, as "veda.json" */
    exia_status bad;
    exia_error *err;
} place;

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
static const char digits[] = "0123456789";

static exia_status known_fields(const json_t *object, const char *const *fields, const char *in,
                                const place *at)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        const char *const *field = fields;
        while (*field != NULL && strcmp(*field, key) != 0)
            field++;
        if (*field == NULL)
            return exia__fail(at->err, at->bad, 0, "%s: the field \"%.60s\"%s is not known",
                              at->what, key, in);
    }
    return EXIA_OK;
}

/* An optional field of a type; `*out` is NULL when absent. */
static exia_status take(const json_t **out, const json_t *object, const char *key, json_type type,
                        const char *expected, const place *at)
{
    *out = json_object_get(object, key);
    if (*out == NULL || json_typeof(*out) == type)
        return EXIA_OK;
    return exia__fail(at->err, at->bad, 0, "%s: \"%s\" must be %s", at->what, key, expected);
}

/* A lower layer found fault with the value of a field. */
static exia_status in_field(exia_status rc, const char *field, const place *at)
{
    if (rc == EXIA_OK || rc == EXIA_ENOMEM)
        return rc;
    rc = exia__prefix(at->err, rc, "%s: %s", at->what, field);
    if (at->err != NULL)
        at->err->status = at->bad;
    (void)rc;
    return at->bad;
}

static exia_status check_format(const json_t *manifest, const place *at)
{
    const json_t *format = json_object_get(manifest, "format");
    if (!json_is_integer(format) || json_integer_value(format) < 1)
        return exia__fail(at->err, at->bad, 0, "%s: \"format\" must be 1", at->what);
    if (json_integer_value(format) > EXIA__FORMAT)
        return exia__fail(at->err, EXIA_EVERSION, 0,
                          "%s: format %lld was written by a newer Exia; this one knows 1", at->what,
                          (long long)json_integer_value(format));
    return EXIA_OK;
}

static exia_status check_identity(const json_t *manifest, const place *at)
{
    const json_t *name = NULL, *version = NULL, *platform = NULL, *description = NULL;
    exia_status rc = take(&name, manifest, "name", JSON_STRING, "a text", at);
    if (rc == EXIA_OK)
        rc = in_field(exia__name_check_lower(json_string_value(name), "package name", at->err),
                      "\"name\"", at);
    if (rc == EXIA_OK)
        rc = take(&version, manifest, "version", JSON_STRING, "a text", at);
    if (rc == EXIA_OK)
        rc = in_field(exia__version_check(json_string_value(version), at->err), "\"version\"", at);
    if (rc == EXIA_OK)
        rc = take(&platform, manifest, "platform", JSON_STRING, "a text", at);
    const char *tag = json_string_value(platform);
    if (rc == EXIA_OK && tag != NULL &&
        (*tag == '\0' || strlen(tag) > 64 ||
         tag[strspn(tag, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0'))
        rc = exia__fail(at->err, at->bad, 0,
                        "%s: the platform \"%.64s\" is not valid: write \"any\", or a tag of a-z, "
                        "0-9 and _ as \"linux_x86_64\"",
                        at->what, tag);
    if (rc == EXIA_OK)
        rc = take(&description, manifest, "description", JSON_STRING, "a text", at);
    return rc;
}

/* A manifest may come from anywhere: to compare each name with all before would take hours. */
static exia_status take_once(json_t *seen, const char *name, const char *what, const place *at)
{
    if (json_object_get(seen, name) != NULL)
        return exia__fail(at->err, at->bad, 0, "%s: the %s \"%.60s\" is listed twice", at->what,
                          what, name);
    return exia__json_set(seen, name, json_true(), at->err);
}

static exia_status check_path(const char *path, const char *field, const place *at)
{
    const char *why = path ? exia__path_fault(path) : "is no text";
    if (why == NULL)
        return EXIA_OK;
    return exia__fail(at->err, at->bad, 0, "%s: the path \"%.60s\" in \"%s\" %s", at->what,
                      path ? path : "", field, why);
}

const char *exia__kind_find(const char *kind)
{
    static const char *const kinds[] = {"code", "model", "data", "env", "doc"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i], kind) == 0)
            return kinds[i];
    }
    return NULL;
}

static exia_status check_components(const json_t *manifest, const place *at)
{
    static const char *const fields[] = {"path", "kind", NULL};
    const json_t *list = NULL;
    json_t *seen = json_object();
    exia_status rc = take(&list, manifest, "components", JSON_ARRAY, "a list", at);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *kind = exia__json_string(one, "kind"), *path = exia__json_string(one, "path");
        rc = known_fields(one, fields, " in a component", at);
        if (rc == EXIA_OK)
            rc = check_path(path, "components", at);
        if (rc == EXIA_OK && (kind == NULL || exia__kind_find(kind) == NULL))
            rc = exia__fail(at->err, at->bad, 0,
                            "%s: the component \"%.60s\" needs a \"kind\": code, model, data, env "
                            "or doc",
                            at->what, path);
        if (rc == EXIA_OK)
            rc = take_once(seen, path, "component", at);
    }
    json_decref(seen);
    return rc;
}

/* Behind "a.b_c", or NULL when no such text stands here. */
static const char *dotted(const char *at)
{
    for (;;) {
        if (*at == '\0' || strchr(letters, *at) == NULL)
            return NULL;
        while (*at != '\0' && (strchr(letters, *at) || strchr(digits, *at)))
            at++;
        if (*at != '.')
            return at;
        at++;
    }
}

static exia_status check_entry_points(const json_t *manifest, const place *at)
{
    const json_t *points = NULL;
    const char *name;
    json_t *value;
    exia_status rc = take(&points, manifest, "entry_points", JSON_OBJECT, "an object", at);
    if (points == NULL || rc < 0)
        return rc;
    json_object_foreach((json_t *)points, name, value)
    {
        const char *text = json_string_value(value), *colon = text ? dotted(text) : NULL;
        const char *end = colon != NULL && *colon == ':' ? dotted(colon + 1) : NULL;
        if (rc == EXIA_OK)
            rc = in_field(exia__name_check(name, "entry point", at->err), "\"entry_points\"", at);
        if (rc == EXIA_OK && text == NULL)
            rc = exia__fail(at->err, at->bad, 0,
                            "%s: the entry point \"%.60s\" must be a text, \"module:object\"",
                            at->what, name);
        if (rc == EXIA_OK && (end == NULL || *end != '\0'))
            rc = exia__fail(at->err, at->bad, 0,
                            "%s: the entry point \"%.60s\" must be \"module:object\", not "
                            "\"%.60s\"",
                            at->what, name, text);
    }
    return rc;
}

static exia_status check_dependencies(const json_t *manifest, const place *at)
{
    exia__dependency one;
    const json_t *list = NULL;
    json_t *seen = json_object();
    exia_status rc = take(&list, manifest, "dependencies", JSON_ARRAY, "a list", at);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        rc = in_field(exia__dependency_parse(&one, text ? text : "", at->err), "\"dependencies\"",
                      at);
        if (rc == EXIA_OK && strcmp(one.name, exia__json_string(manifest, "name")) == 0)
            rc = exia__fail(at->err, at->bad, 0, "%s: the package \"%s\" depends on itself",
                            at->what, one.name);
        if (rc == EXIA_OK)
            rc = take_once(seen, one.name, "dependency", at);
    }
    json_decref(seen);
    return rc;
}

static exia_status check_variable(const char *name, const place *at)
{
    const char *end = dotted(name);
    if (end != NULL && *end == '\0' && strchr(name, '.') == NULL)
        return EXIA_OK;
    return exia__fail(at->err, at->bad, 0,
                      "%s: \"%.60s\" in \"environment\" is no name of a variable", at->what, name);
}

static exia_status check_environment(const json_t *manifest, const place *at)
{
    static const char *const fields[] = {"paths", "variables", NULL};
    const json_t *environment = NULL, *paths = NULL, *variables = NULL;
    const char *name;
    json_t *value;
    exia_status rc = take(&environment, manifest, "environment", JSON_OBJECT, "an object", at);
    if (environment == NULL || rc < 0)
        return rc;
    rc = known_fields(environment, fields, " in \"environment\"", at);
    if (rc == EXIA_OK)
        rc = take(&paths, environment, "paths", JSON_OBJECT, "an object", at);
    if (rc == EXIA_OK)
        rc = take(&variables, environment, "variables", JSON_OBJECT, "an object", at);
    if (rc < 0)
        return rc;
    json_object_foreach((json_t *)paths, name, value)
    {
        size_t count = json_is_array(value) ? json_array_size(value) : 1;
        if (rc == EXIA_OK)
            rc = check_variable(name, at);
        for (size_t i = 0; rc == EXIA_OK && i < count; i++)
            rc = check_path(
                json_string_value(json_is_array(value) ? json_array_get(value, i) : value),
                "environment", at);
    }
    json_object_foreach((json_t *)variables, name, value)
    {
        if (rc == EXIA_OK)
            rc = check_variable(name, at);
        if (rc == EXIA_OK && !json_is_string(value))
            rc = exia__fail(at->err, at->bad, 0,
                            "%s: the variable \"%.60s\" in \"environment\" must be a text",
                            at->what, name);
    }
    return rc;
}

exia_status exia__manifest_check(const json_t *manifest, const char *what, exia_status bad,
                                 exia_error *err)
{
    static const char *const fields[] = {
        "format",     "name",         "version",      "platform",    "description",
        "components", "entry_points", "dependencies", "environment", NULL};
    place at = {what, bad, err};
    if (!json_is_object(manifest))
        return exia__fail(err, bad, 0, "%s: a JSON object was expected", what);
    exia_status rc = check_format(manifest, &at);
    if (rc == EXIA_OK)
        rc = known_fields(manifest, fields, "", &at);
    if (rc == EXIA_OK)
        rc = check_identity(manifest, &at);
    if (rc == EXIA_OK)
        rc = check_components(manifest, &at);
    if (rc == EXIA_OK)
        rc = check_entry_points(manifest, &at);
    if (rc == EXIA_OK)
        rc = check_dependencies(manifest, &at);
    return rc == EXIA_OK ? check_environment(manifest, &at) : rc;
}

exia_status exia__manifest_parse(json_t **out, const char *text, size_t size, const char *what,
                                 exia_status bad, exia_error *err)
{
    json_t *manifest = NULL;
    *out = NULL;
    exia_status rc = exia__json_object(&manifest, text, size, what, bad, err);
    if (rc == EXIA_OK)
        rc = exia__manifest_check(manifest, what, bad, err);
    if (rc == EXIA_OK)
        *out = manifest;
    else
        json_decref(manifest);
    return rc;
}

const char *exia__manifest_tag(const json_t *manifest)
{
    const char *tag = exia__json_string(manifest, "platform");
    return tag ? tag : "any";
}

const char *exia__manifest_kind(const json_t *manifest, const char *path)
{
    const json_t *list = json_object_get(manifest, "components");
    const char *kind = NULL;
    size_t longest = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *prefix = exia__json_string(one, "path");
        size_t size = strlen(prefix);
        if (size > longest && strncmp(path, prefix, size) == 0 &&
            (path[size] == '\0' || path[size] == '/')) {
            longest = size;
            kind = exia__json_string(one, "kind");
        }
    }
    return kind;
}

exia_status exia__manifest_components(const json_t *manifest, const exia__entry *entries,
                                      size_t count, const char *what, exia_status bad,
                                      exia_error *err)
{
    const json_t *list = json_object_get(manifest, "components");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *path = exia__json_string(json_array_get(list, i), "path");
        if (exia__entry_find(entries, count, path, strlen(path)) == NULL)
            return exia__fail(err, bad, 0, "%s: the component \"%.100s\" is not in the package",
                              what, path);
    }
    return EXIA_OK;
}

exia_status exia__metadata_text(char **out, const exia__metadata *m, exia_error *err)
{
    json_t *json = json_pack(
        "{s:i, s:s, s:I, s:I, s:I, s:{s:I, s:I, s:s}, s:{s:s, s:i}, s:O}", "format", EXIA__FORMAT,
        "digest", m->digest, "members", (json_int_t)m->members, "size", (json_int_t)m->size,
        "record", (json_int_t)m->record_size, "frames", "data", (json_int_t)m->data_frames,
        "record", (json_int_t)m->record_frames, "digest", m->frames_digest, "compression", "zstd",
        m->zstd, "level", m->level, "manifest", m->manifest);
    *out = NULL;
    exia_status rc = json ? exia__json_text(out, json, err) : exia__fail_memory(err);
    json_decref(json);
    return rc;
}
