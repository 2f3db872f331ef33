/* jansson behind our errors.  Texts leave in our own memory, so that one function frees them. */
#include "base/json.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"

exia_status exia__json_parse(json_t **out, const char *text, size_t size, const char *what,
                             exia_status bad, exia_error *err)
{
    json_error_t where;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (*out != NULL)
        return EXIA_OK;
    if (json_error_code(&where) == json_error_out_of_memory)
        return exia__fail_memory(err);
    return exia__fail(err, bad, 0, "%s: not valid JSON at line %d, column %d: %s", what, where.line,
                      where.column, where.text);
}

exia_status exia__json_object(json_t **out, const char *text, size_t size, const char *what,
                              exia_status bad, exia_error *err)
{
    exia_status rc = exia__json_parse(out, text, size, what, bad, err);
    if (rc == EXIA_OK && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        rc = exia__fail(err, bad, 0, "%s: a JSON object was expected", what);
    }
    return rc;
}

/* A failure is remembered, for jansson forgets one that happens within a key. */
typedef struct sink {
    exia__buffer buffer;
    int failed;
} sink;

static int append(const char *data, size_t size, void *payload)
{
    sink *into = payload;
    into->failed = into->failed || exia__buffer_append(&into->buffer, data, size, NULL) < 0;
    return into->failed ? -1 : 0;
}

static exia_status dump(char **out, const json_t *json, size_t flags, exia_error *err)
{
    sink into = {0};
    *out = NULL;
    exia_status rc =
        json == NULL || json_dump_callback(json, append, &into, flags) != 0 || into.failed
            ? exia__fail_memory(err)
            : exia__buffer_take(out, &into.buffer, err);
    exia__buffer_free(&into.buffer);
    return rc;
}

exia_status exia__json_text(char **out, const json_t *json, exia_error *err)
{
    return dump(out, json, JSON_COMPACT | JSON_ENCODE_ANY, err);
}

exia_status exia__json_canonical(char **out, const json_t *json, exia_error *err)
{
    return dump(out, json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS, err);
}

exia_status exia__json_pretty(char **out, const json_t *json, exia_error *err)
{
    char *text = NULL;
    *out = NULL;
    exia_status rc = dump(&text, json, JSON_INDENT(4) | JSON_ENCODE_ANY, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(out, err, "%s\n", text);
    exia__release(text);
    return rc;
}

/* Write a number to `to` in the fewest digits that read back as the same, 15 of a subnormal one; how many bytes
 * were written. */
static size_t shorten(char *to, const char *number, size_t size)
{
    json_t *real = json_loadb(number, size, JSON_DECODE_ANY, NULL);
    size_t best = 0;
    for (size_t digits = 15; json_is_real(real) && digits < 17 && best == 0; digits++) {
        char text[32];
        size_t length =
            json_dumpb(real, text, sizeof text, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        json_t *again = json_loadb(text, length, JSON_DECODE_ANY, NULL);
        if (length < size && json_equal(again, real))
            memcpy(to, text, best = length);
        json_decref(again);
    }
    json_decref(real);
    if (best == 0)
        memmove(to, number, best = size);
    return best;
}

exia_status exia__json_shown(char **out, const json_t *json, exia_error *err)
{
    exia_status rc = exia__json_text(out, json, err);
    if (rc < 0)
        return rc;
    char *to = *out;
    int quoted = 0;
    for (const char *from = to; *from != '\0';) {
        size_t digits = quoted ? 0 : strspn(from, "-+.0123456789eE");
        size_t size = digits > 0 ? digits : 1 + (size_t)(*from == '\\');
        quoted ^= *from == '"';
        if (digits > 16)
            to += shorten(to, from, size);
        else
            to = (char *)memmove(to, from, size) + size;
        from += size;
    }
    *to = '\0';
    return EXIA_OK;
}

const char *exia__json_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

exia_status exia__json_set(json_t *object, const char *key, json_t *value, exia_error *err)
{
    return json_object_set_new(object, key, value) == 0 ? EXIA_OK : exia__fail_memory(err);
}

exia_status exia__json_append(json_t *array, json_t *value, exia_error *err)
{
    return json_array_append_new(array, value) == 0 ? EXIA_OK : exia__fail_memory(err);
}

static json_t *if_whole(json_t *copy, const json_t *json)
{
    if (copy == NULL || json_equal(copy, json))
        return copy;
    json_decref(copy);
    return NULL;
}

json_t *exia__json_copy(const json_t *json)
{
    return if_whole(json_copy((json_t *)(uintptr_t)json), json);
}

json_t *exia__json_deep_copy(const json_t *json)
{
    return if_whole(json_deep_copy(json), json);
}

exia_status exia__json_pointer(exia__buffer *pointer, const char *name, exia_error *err)
{
    exia_status rc = exia__buffer_append(pointer, "/", 1, err);
    while (rc == EXIA_OK && *name != '\0') {
        size_t plain = strcspn(name, "~/");
        rc = exia__buffer_append(pointer, name, plain, err);
        name += plain;
        if (rc == EXIA_OK && *name != '\0')
            rc = exia__buffer_text(pointer, *name++ == '~' ? "~0" : "~1", err);
    }
    return rc;
}
