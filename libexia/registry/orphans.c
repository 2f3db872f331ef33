/* Files of packages that no record names: whoever put one died before its record, or its record was
 * one of two that contradicted each other.  A file comes before its record, so it is left alone while it is
 * young; the clock is that of the store, which stamped it. */
#include "registry/orphans.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"

enum { YOUNG_MS = 24 * 60 * 60 * 1000 };

typedef struct search {
    json_t *named, *orphans;
    int64_t now_ms;
} search;

static exia_status note_name(const char *key, const char *text, int64_t revision, void *payload,
                             exia_error *err)
{
    const search *s = payload;
    json_t *event = NULL;
    (void)revision;
    exia_status rc = exia__json_object(&event, text, strlen(text), key, EXIA_ECORRUPT, err);
    const char *blob = exia__json_string(event, "key");
    if (rc == EXIA_OK && json_integer_value(json_object_get(event, "format")) > 1)
        rc = exia__fail(err, EXIA_EVERSION, 0, "%s was written by a newer version of Exia", key);
    if (rc == EXIA_OK && blob != NULL)
        rc = exia__json_set(s->named, blob, json_true(), err);
    json_decref(event);
    return rc;
}

static exia_status look_at_blob(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                                exia_error *err)
{
    const search *s = payload;
    (void)size;
    if (s->now_ms - modified_ms < YOUNG_MS || json_object_get(s->named, key) != NULL)
        return EXIA_OK;
    return exia__json_append(s->orphans, json_string(key), err);
}

exia_status exia__orphans(json_t **out, const exia_registry *registry, const exia_job *job,
                          exia_error *err)
{
    search s = {json_object(), json_array(), 0};
    exia_error caught;
    exia_status rc = s.named && s.orphans ? EXIA_OK : exia__fail_memory(&caught);
    if (rc == EXIA_OK)
        rc = exia__records_scan(registry->records, "package", "", NULL, 0, NULL, note_name, &s, job,
                                &caught);
    if (rc == EXIA_OK)
        rc = exia__blobs_now(&s.now_ms, registry->blobs, job, &caught);
    if (rc == EXIA_OK)
        rc = exia__blobs_list(registry->blobs, "packages/", look_at_blob, &s, job, &caught);
    if (rc == EXIA_ECORRUPT || rc == EXIA_EVERSION) { /* it may name any of them */
        exia__log(EXIA_LOG_WARNING, "registry", "no file of a package is taken away: %s",
                  caught.text);
        json_array_clear(s.orphans);
        rc = EXIA_OK;
    }
    json_decref(s.named);
    if (rc == EXIA_OK) {
        *out = s.orphans;
        return rc;
    }
    json_decref(s.orphans);
    *out = NULL;
    return exia__error_pass(err, &caught);
}
