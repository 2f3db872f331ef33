/* jansson behind our errors.  Texts leave in our own memory, so that one function frees them. */
#include "base/json.h"

#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"

/* When memory runs out while jansson's buffer for one token grows, jansson loses a byte of that token
 * and says nothing.  So it reads ["xxx...", TEXT], whose first string is as long as the longest
 * token of the text: the buffer grows there, and there a loss is seen. */
typedef struct feed {
    const char *text;
    size_t size, padding, at; /* `at`: how much of the whole was read */
} feed;

static size_t longest_token(const char *text, size_t size)
{
    size_t longest = 0, start = 0;
    int quoted = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"') {
            quoted = !quoted;
            start = quoted ? i : start;
        } else if (quoted && text[i] == '\\') {
            i++;
        } else if (!quoted && memchr(" \t\r\n,:[]{}", text[i], 10) != NULL) {
            start = i + 1;
        }
        if (i >= start && i - start >= longest)
            longest = i - start + 1;
    }
    return longest;
}

static size_t read_feed(void *buffer, size_t size, void *payload)
{
    feed *from = payload;
    size_t head = from->padding + 4, put = 0; /* 4: the bracket, two quotes, the comma */
    char *to = buffer;
    for (; put < size && from->at < head; put++, from->at++) {
        size_t at = from->at;
        to[put] = at == 0 ? '[' : at == 1 || at == head - 2 ? '"' : at == head - 1 ? ',' : 'x';
    }
    size_t done = from->at - head, some = 0;
    if (put < size && done < from->size) {
        some = size - put < from->size - done ? size - put : from->size - done;
        memcpy(to + put, from->text + done, some);
        put += some;
        from->at += some;
    }
    if (put < size && from->at == head + from->size) {
        to[put++] = ']';
        from->at++;
    }
    return put;
}

exia_status exia__json_parse(json_t **out, const char *text, size_t size, const char *what,
                             exia_status bad, exia_error *err)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    feed from = {.text = text, .size = size, .padding = longest_token(text, size)};
    json_error_t where;
    exia_status rc = EXIA_OK;
    *out = NULL;
    json_t *both = json_load_callback(read_feed, &from, flags, NULL);
    if (json_array_size(both) == 2) {
        if (json_string_length(json_array_get(both, 0)) == from.padding)
            *out = json_incref(json_array_get(both, 1));
        else
            rc = exia__fail_memory(err);
    } else {
        json_t *alone = json_loadb(text, size, flags, &where);
        if (alone != NULL || json_error_code(&where) == json_error_out_of_memory)
            rc = exia__fail_memory(err);
        else
            rc = exia__fail(err, bad, 0, "%s: not valid JSON at line %d, column %d: %s", what,
                            where.line, where.column, where.text);
        json_decref(alone);
    }
    json_decref(both);
    return rc;
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
