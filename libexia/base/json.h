/* jansson, with errors that say where. */
#ifndef EXIA_BASE_JSON_H
#define EXIA_BASE_JSON_H

#include <jansson.h>

#include "base/buffer.h"
#include "exia/common.h"

/* Parse one JSON value; duplicate keys are refused.  `what` names the text in the error ("facts").
 * @return EXIA_EINVAL, or `bad` where another status fits (stored text: EXIA_ECORRUPT) */
exia_status exia__json_parse(json_t **out, const char *text, size_t size, const char *what,
                             exia_status bad, exia_error *err);
/* The same, and it must be an object. */
exia_status exia__json_object(json_t **out, const char *text, size_t size, const char *what,
                              exia_status bad, exia_error *err);

/* Compact, keys in insertion order; numbers as in the C locale. */
exia_status exia__json_text(char **out, const json_t *json, exia_error *err);
/* The same for callers to see: 0.93 and not 0.93000000000000005, which is how jansson writes it and
 * what is stored. */
exia_status exia__json_shown(char **out, const json_t *json, exia_error *err);
/* The same in lines, for people. */
exia_status exia__json_pretty(char **out, const json_t *json, exia_error *err);
/* Keys sorted, for what is hashed or signed. */
exia_status exia__json_canonical(char **out, const json_t *json, exia_error *err);

/* The text member `key`; NULL when absent or no text. */
const char *exia__json_string(const json_t *object, const char *key);
/* Put a new reference in (stolen, also on failure); EXIA_ENOMEM when `value` is NULL. */
exia_status exia__json_set(json_t *object, const char *key, json_t *value, exia_error *err);
exia_status exia__json_append(json_t *array, json_t *value, exia_error *err);
/* A copy that shares its members, or copies them; NULL of NULL, and without memory, where jansson's own
 * copies leave members out. */
json_t *exia__json_copy(const json_t *json);
json_t *exia__json_deep_copy(const json_t *json);
/* Append "/NAME" as a JSON pointer (RFC 6901) has it. */
exia_status exia__json_pointer(exia__buffer *pointer, const char *name, exia_error *err);

#endif
