/* What a writer may say about a version.  Every member is checked here, so that rows have the same
 * types for every reader and every filter. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/library.h"

enum { MESSAGE_LIMIT = 4096 };

exia_status exia__message_check(const char *message, exia_error *err)
{
    size_t size = message ? strnlen(message, MESSAGE_LIMIT + 1) : 0;
    if (size > MESSAGE_LIMIT)
        return exia__fail(err, EXIA_EINVAL, 0, "the message has more than %d bytes", MESSAGE_LIMIT);
    if (message != NULL && !exia__text_valid(message, size))
        return exia__fail(err, EXIA_EINVAL, 0, "the message is not one line of UTF-8 text");
    return EXIA_OK;
}

static int is_scalar(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

static int is_metric(const json_t *value)
{
    const char *text = json_string_value(value);
    return json_is_number(value) ||
           (text != NULL && (strcmp(text, "NaN") == 0 || strcmp(text, "Infinity") == 0 ||
                             strcmp(text, "-Infinity") == 0));
}

static exia_status check_members(const json_t *object, const char *what,
                                 int (*good)(const json_t *), const char *wanted, exia_error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (!json_is_object(object))
        return exia__fail(err, EXIA_EINVAL, 0, "facts: %s must be an object", what);
    json_object_foreach((json_t *)object, key, value)
    {
        if (*key == '\0' || !exia__text_valid(key, strlen(key)))
            return exia__fail(err, EXIA_EINVAL, 0, "facts: a name in %s is empty or not one line",
                              what);
        if (!good(value))
            return exia__fail(err, EXIA_EINVAL, 0, "facts: %s.%.60s must be %s", what, key, wanted);
    }
    return EXIA_OK;
}

static exia_status check_tags(const json_t *value, exia_error *err)
{
    return check_members(value, "tags", is_scalar, "a text, a number or a boolean", err);
}

static exia_status check_metrics(const json_t *value, exia_error *err)
{
    return check_members(value, "metrics", is_metric,
                         "a number, or \"NaN\", \"Infinity\" or \"-Infinity\"", err);
}

static exia_status check_object(const json_t *value, exia_error *err)
{
    return json_is_object(value)
               ? EXIA_OK
               : exia__fail(err, EXIA_EINVAL, 0, "facts: params and environment must be objects");
}

static exia_status check_parent(const json_t *value, exia_error *err)
{
    exia__selector selector = {0};
    if (json_is_integer(value) && json_integer_value(value) > 0)
        return EXIA_OK;
    if (!json_is_string(value))
        return exia__fail(err, EXIA_EINVAL, 0, "facts: parent must be a version or \"name@3\"");
    exia_status rc = exia__selector_parse(&selector, json_string_value(value), err);
    if (rc == EXIA_OK && selector.kind != EXIA__NUMBER)
        rc = exia__fail(err, EXIA_EINVAL, 0, "it must name a version by its number, as in name@3");
    exia__selector_free(&selector);
    return rc == EXIA_EINVAL ? exia__prefix(err, rc, "facts: parent") : rc;
}

static exia_status check_imports(const json_t *value, exia_error *err)
{
    size_t i = 0;
    json_t *item = NULL;
    int good = json_is_array(value);
    json_array_foreach(value, i, item)
    {
        good = good && json_is_string(item);
    }
    return good ? EXIA_OK
                : exia__fail(err, EXIA_EINVAL, 0, "facts: imports must be a list of texts");
}

static exia_status check_origin(const json_t *value, exia_error *err)
{
    const char *text = json_string_value(value);
    size_t size = text ? strnlen(text, MESSAGE_LIMIT + 1) : 0;
    if (size == 0 || size > MESSAGE_LIMIT || !exia__text_valid(text, size))
        return exia__fail(err, EXIA_EINVAL, 0, "facts: origin must be one line of text, not empty");
    return EXIA_OK;
}

static const struct {
    const char *key;
    exia_status (*check)(const json_t *value, exia_error *err);
    json_t *(*standard)(void); /* NULL: absent */
} members[] = {{"tags", check_tags, json_object},
               {"metrics", check_metrics, json_object},
               {"params", check_object, json_object},
               {"parent", check_parent, json_null},
               {"environment", check_object, json_null},
               {"imports", check_imports, json_array},
               {"origin", check_origin, NULL}};
enum { MEMBERS = sizeof members / sizeof *members };

static exia_status check_keys(const json_t *facts, exia_error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)facts, key, value)
    {
        size_t i = 0;
        while (i < MEMBERS && strcmp(key, members[i].key) != 0)
            i++;
        if (i == MEMBERS)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "facts: \"%.60s\" is not known: use tags, metrics, params, parent, "
                              "environment, imports and origin",
                              key);
    }
    return EXIA_OK;
}

exia_status exia__facts_read(json_t **out, const char *text, exia_error *err)
{
    json_t *facts = NULL, *version = json_object();
    size_t size = text ? strnlen(text, EXIA__FACTS_LIMIT + 1) : 0;
    exia_status rc = version ? EXIA_OK : exia__fail_memory(err);
    *out = NULL;
    if (rc == EXIA_OK && size > EXIA__FACTS_LIMIT)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "the facts have more than %d bytes: put large things into a part",
                        EXIA__FACTS_LIMIT);
    if (rc == EXIA_OK)
        rc = exia__json_object(&facts, text ? text : "{}", text ? size : 2, "facts", EXIA_EINVAL,
                               err);
    if (rc == EXIA_OK)
        rc = check_keys(facts, err);
    for (size_t i = 0; i < MEMBERS && rc == EXIA_OK; i++) {
        json_t *value = json_object_get(facts, members[i].key);
        if (json_is_null(value))
            value = NULL;
        if (value != NULL)
            rc = members[i].check(value, err);
        if (rc == EXIA_OK && (value != NULL || members[i].standard != NULL))
            rc = exia__json_set(version, members[i].key,
                                value ? json_incref(value) : members[i].standard(), err);
    }
    if (rc == EXIA_OK) {
        *out = version;
        version = NULL;
    }
    json_decref(version);
    json_decref(facts);
    return rc;
}
