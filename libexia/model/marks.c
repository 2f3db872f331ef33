/* The marks of collectors.  A mark is put before anything is decided; to remove the blob, a collector
 * first claims the mark, by one compare-and-put, so that one of many does it.  Only a claim that was
 * nobody's before is dropped, after the removal: where a collector died or hung between the two,
 * its own removal may still come, so that key stays forbidden for good. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/upkeep.h"

enum { AT_ONCE = 256 };

static exia_status write_mark(char **out, int64_t time_ms, const char *claim, int again,
                              exia_error *err)
{
    json_t *mark =
        json_pack("{s:i, s:I, s:s*}", "format", 1, "time", (json_int_t)time_ms, "claim", claim);
    exia_status rc = mark ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && again)
        rc = exia__json_set(mark, "again", json_true(), err);
    if (rc == EXIA_OK)
        rc = exia__json_text(out, mark, err);
    json_decref(mark);
    return rc;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A mark that cannot be read is somebody's claim that is never old: it is left alone. */
static exia_status read_mark(exia__mark *out, const char *json, exia_error *err)
{
    json_t *mark = NULL;
    exia_status rc = exia__json_object(&mark, json, strlen(json), "a mark", EXIA_ECORRUPT, err);
    if (rc == EXIA_ENOMEM)
        return rc;
    exia__forgive(err);
    const char *claim = exia__json_string(mark, "claim");
    out->time_ms = json_integer_value(json_object_get(mark, "time"));
    out->again = json_is_true(json_object_get(mark, "again"));
    if (json_integer_value(json_object_get(mark, "format")) != 1) {
        claim = "";
        out->time_ms = INT64_MAX;
    }
    rc = claim ? exia__text_copy(&out->claim, claim, err) : EXIA_OK;
    json_decref(mark);
    return rc;
}

static exia_status found_mark(const char *key, const char *json, int64_t revision, void *payload,
                              exia_error *err)
{
    exia__marks *out = payload;
    exia_status rc =
        exia__grow(&out->items, &out->capacity, out->count + 1, sizeof *out->items, err);
    if (rc < 0)
        return rc;
    exia__mark *made = &out->items[out->count];
    *made = (exia__mark){.revision = revision};
    rc = exia__text_copy(&made->key, key, err);
    if (rc < 0)
        return rc;
    out->count++; /* from here on it is freed with the others */
    return read_mark(made, json, err);
}

exia_status exia__marks_read(exia__marks *out, exia_library *library, const exia_job *job,
                             exia_error *err)
{
    *out = (exia__marks){0};
    exia_status rc =
        exia__records_scan(library->records, "gc", NULL, NULL, 0, NULL, found_mark, out, job, err);
    if (rc < 0)
        exia__marks_free(out);
    return rc;
}

exia__mark *exia__marks_find(const exia__marks *marks, const char *key)
{
    size_t low = 0, high = marks->count; /* a scan is in byte order */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(marks->items[middle].key, key);
        if (order == 0)
            return &marks->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void exia__marks_free(exia__marks *marks)
{
    for (size_t i = 0; i < marks->count; i++) {
        exia__release(marks->items[i].key);
        exia__release(marks->items[i].claim);
    }
    exia__release(marks->items);
    *marks = (exia__marks){0};
}

/* ---- writing -------------------------------------------------------------------------------- */

static exia_status put_one(exia_library *library, const exia_put *put, const exia_job *job,
                           exia_error *err)
{
    exia_status rc = exia__records_put(NULL, library->records, put->kind, put->key, put->json,
                                       put->expect, NULL, job, err);
    return rc == EXIA_ECONFLICT ? exia__forgive(err) : rc;
}

exia_status exia__marks_put(exia_library *library, const char *const *keys, size_t count,
                            int64_t time_ms, const exia_job *job, exia_error *err)
{
    char *json = NULL;
    exia_put puts[AT_ONCE];
    exia_status rc = write_mark(&json, time_ms, NULL, 0, err);
    for (size_t done = 0; rc == EXIA_OK && done < count; done += AT_ONCE) {
        size_t some = count - done < AT_ONCE ? count - done : AT_ONCE;
        for (size_t i = 0; i < some; i++)
            puts[i] = (exia_put){"gc", keys[done + i], json, EXIA_ABSENT, NULL};
        rc = exia__records_batch(library->records, puts, some, job, err);
        if (rc != EXIA_ECONFLICT)
            continue;
        rc = exia__forgive(err); /* a rival marks too: each by itself, what was put stays */
        for (size_t i = 0; i < some && rc == EXIA_OK; i++)
            rc = put_one(library, &puts[i], job, err);
    }
    exia__release(json);
    return rc;
}

exia_status exia__mark_claim(exia__mark *mark, exia_library *library, const char *claim,
                             int64_t time_ms, const exia_job *job, exia_error *err)
{
    char *json = NULL, *copy = NULL;
    int64_t revision = 0;
    int again = mark->claim != NULL;
    exia_status rc = exia__text_copy(&copy, claim, err);
    if (rc == EXIA_OK)
        rc = write_mark(&json, time_ms, claim, again, err);
    if (rc == EXIA_OK)
        rc = exia__records_put(&revision, library->records, "gc", mark->key, json, mark->revision,
                               NULL, job, err);
    if (rc == EXIA_OK) {
        exia__release(mark->claim);
        mark->claim = copy;
        mark->revision = revision;
        mark->time_ms = time_ms;
        mark->again = again;
        copy = NULL;
    }
    exia__release(copy);
    exia__release(json);
    return rc;
}

exia_status exia__mark_drop(const exia__mark *mark, exia_library *library, const exia_job *job,
                            exia_error *err)
{
    exia_status rc =
        exia__records_remove(library->records, "gc", mark->key, mark->revision, job, err);
    return rc == EXIA_ECONFLICT ? exia__forgive(err) : rc;
}
