/* The second reading of a backup: the entries that this library lacks are added to its logs.  All of
 * them were checked by the first one, and what is read now must be the same. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/restore.h"

/* Name the keys under which the blobs lie here; `*text` NULL: they are those of the entry. */
static exia_status place_entry(char **text, const exia__restore *now, json_t *entry,
                               exia_error *err)
{
    size_t i = 0;
    int changed = 0;
    json_t *part = NULL;
    exia_status rc = EXIA_OK;
    json_array_foreach(json_object_get(json_object_get(entry, "version"), "parts"), i, part)
    {
        char hex[EXIA__HEX_SIZE] = "";
        const char *key = exia__json_string(part, "key");
        if (key != NULL)
            memcpy(hex, key + sizeof "sha256/AB/" - 1, EXIA__HEX_SIZE - 1);
        json_t *here = json_object_get(now->keys, hex);
        if (rc < 0 || here == NULL || strcmp(json_string_value(here), key) == 0)
            continue;
        changed = 1;
        rc = exia__json_set(part, "key", json_incref(here), err);
    }
    *text = NULL;
    return rc == EXIA_OK && changed ? exia__json_text(text, entry, err) : rc;
}

/* The entries of one member, which are written as one. */
typedef struct adding {
    exia_put *puts;
    size_t count, capacity;
} adding;

static void clear_adding(adding *now)
{
    for (size_t i = 0; i < now->count; i++) {
        exia__release((char *)now->puts[i].key);
        exia__release((char *)now->puts[i].json);
        exia__release((char *)now->puts[i].token);
    }
    exia__release(now->puts);
    *now = (adding){0};
}

static exia_status add_line(adding *out, const exia__restore *now, int64_t seq, const char *line,
                            size_t size, exia_error *err)
{
    char key[EXIA__KEY_SIZE], *copy[3] = {NULL};
    json_t *entry = NULL;
    exia__log_key(key, now->at->name, seq);
    exia_status rc = exia__grow(&out->puts, &out->capacity, out->count + 1, sizeof *out->puts, err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&entry, line, size, "a log entry", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = place_entry(&copy[0], now, entry, err);
    if (rc == EXIA_OK && copy[0] == NULL)
        rc = exia__text_copy_n(&copy[0], line, size, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&copy[1], key, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&copy[2], exia__json_string(entry, "token"), err);
    if (rc == EXIA_OK)
        out->puts[out->count++] = (exia_put){"log", copy[1], copy[0], EXIA_ABSENT, copy[2]};
    for (int i = 0; rc < 0 && i < 3; i++)
        exia__release(copy[i]);
    json_decref(entry);
    return rc;
}

static exia_status write_lines(exia__restore *now, int64_t first, const char *text, size_t size,
                               exia_error *err)
{
    adding lines = {0};
    exia_status rc = EXIA_OK;
    for (int64_t seq = first; rc == EXIA_OK && size > 0; seq++) {
        const char *end = memchr(text, '\n', size);
        if (seq > now->at->known)
            rc = add_line(&lines, now, seq, text, (size_t)(end - text), err);
        size -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    exia_job job = exia__work_rest(&now->work);
    if (rc == EXIA_OK && lines.count > 0)
        rc = exia__records_batch(now->library->records, lines.puts, lines.count, &job, err);
    clear_adding(&lines);
    return rc;
}

exia_status exia__restore_log(const char *name, int64_t first, const char *text, size_t size,
                              void *payload, exia_error *err)
{
    exia__restore *now = payload;
    json_t *log = NULL;
    now->at = exia__incoming_find(now, name);
    const json_t *seen = now->at ? json_array_get(now->at->logs, now->at->written++) : NULL;
    exia_status rc = exia__incoming_log(
        &log, first, json_integer_value(json_object_get(seen, "last")), text, size, err);
    if (rc == EXIA_OK && !json_equal(seen, log)) /* what was checked is what is written */
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "the log of %s changed while it was read", name);
    json_decref(log);
    if (rc < 0 || !now->at->selected || now->at->known == now->at->head)
        return rc;
    rc = write_lines(now, first, text, size, err);
    return rc < 0 ? exia__prefix(err, rc, "%s, from entry %lld on", name, (long long)first) : rc;
}
