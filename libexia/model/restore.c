/* Bringing a backup into a library.  It may come from anybody, so nothing in it is believed: entries
 * must fit, bytes must have the digests that the entries name, and the list must name exactly what was
 * read.  First all logs are compared with those that are here; then the blobs that are missing are
 * stored, which nobody sees; then the list is checked; and only then the entries are written. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/rows.h"
#include "model/restore.h"

enum { BLOCK = 1 << 18 };

static exia_status fail_entry(const exia__restore *now, int64_t seq, exia_status rc,
                              exia_error *err)
{
    return exia__prefix(err, rc, "entry %lld of the log of %s", (long long)seq, now->at->name);
}

/* ---- lines ---------------------------------------------------------------------------------- */

typedef exia_status line_fn(exia__restore *now, int64_t seq, const char *line, size_t size,
                            exia_error *err);

static exia_status each_line(exia__restore *now, int64_t first, const char *text, size_t size,
                             line_fn *take, exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (size == 0 || text[size - 1] != '\n')
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "it is no list of entries");
    for (int64_t seq = first; rc == EXIA_OK && size > 0; seq++) {
        const char *end = memchr(text, '\n', size);
        rc = exia__work_step(&now->work, "reading entries", (uint64_t)seq, 0, err);
        if (rc == EXIA_OK)
            rc = take(now, seq, text, (size_t)(end - text), err);
        if (rc < 0)
            return fail_entry(now, seq, rc, err);
        size -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    return rc;
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* Which older versions have parts that lie elsewhere from this entry on. */
static exia_status note_repair(exia__restore *now, const json_t *entry, exia_error *err)
{
    const json_t *version = json_object_get(entry, "version");
    char number[24];
    if (now->same || strcmp(exia__json_string(entry, "do"), "repair") != 0)
        return EXIA_OK;
    snprintf(number, sizeof number, "%lld",
             (long long)json_integer_value(json_object_get(version, "number")));
    return exia__json_set(now->at->repaired, number, json_true(), err);
}

/* Keys are this library's own affair; all else must be equal. */
static void drop_keys(json_t *entry)
{
    size_t i = 0;
    json_t *part = NULL;
    json_array_foreach(json_object_get(json_object_get(entry, "version"), "parts"), i, part)
        json_object_del(part, "key");
}

static exia_status equal_entries(int *out, const json_t *entry, const char *here, exia_error *err)
{
    json_t *ours = NULL, *theirs = exia__json_deep_copy(entry);
    exia_status rc =
        theirs ? exia__json_object(&ours, here, strlen(here), "a log entry", EXIA_ECORRUPT, err)
               : exia__fail_memory(err);
    if (rc == EXIA_OK) {
        drop_keys(ours);
        drop_keys(theirs);
        *out = json_equal(ours, theirs);
    }
    json_decref(ours);
    json_decref(theirs);
    return rc;
}

/* Does the log here have this entry?  If it has none, all that follows is new. */
static exia_status compare(exia__restore *now, int64_t seq, const json_t *entry, exia_error *err)
{
    char key[EXIA__KEY_SIZE], *here = NULL;
    int equal = 0;
    exia_job job = exia__work_rest(&now->work);
    exia__log_key(key, now->at->name, seq);
    exia_status rc = exia__records_get(&here, NULL, now->library->records, "log", key, &job, err);
    if (rc == EXIA_ENOTFOUND) {
        now->same = 0;
        return exia__forgive(err);
    }
    if (rc == EXIA_OK)
        rc = equal_entries(&equal, entry, here, err);
    if (rc == EXIA_OK && !equal)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "this library has another one");
    if (rc == EXIA_OK)
        now->at->known = now->at->stands = seq;
    exia__release(here);
    return rc;
}

static exia_status check_line(exia__restore *now, int64_t seq, const char *line, size_t size,
                              exia_error *err)
{
    json_t *entry = NULL;
    now->at->head = seq;
    if (!now->at->selected)
        return EXIA_OK;
    exia_status rc = exia__json_object(&entry, line, size, "a log entry", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK && now->same)
        rc = compare(now, seq, entry, err);
    if (rc == EXIA_OK)
        rc = exia__ledger_take(now->ledger, entry, err);
    if (rc == EXIA_OK)
        rc = note_repair(now, entry, err);
    if (rc == EXIA_OK && now->same)
        now->at->versions_known = exia__ledger_highest(now->ledger);
    json_decref(entry);
    return rc;
}

/* ---- the first reading ---------------------------------------------------------------------- */

static exia_status want(exia__restore *now, const char *hex, int64_t size, exia_error *err)
{
    const json_t *other = json_object_get(now->wanted, hex);
    int environment = json_object_get(now->environments, hex) != NULL;
    if (size < 0 && other != NULL)
        return EXIA_OK;
    if (size < 0) { /* an environment */
        exia_status rc = exia__json_set(now->environments, hex, json_true(), err);
        return rc < 0 ? rc : exia__json_set(now->wanted, hex, json_integer(EXIA__FACTS_LIMIT), err);
    }
    if (other != NULL && !environment && json_integer_value(other) != size)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s has two sizes", hex);
    json_object_del(now->environments, hex);
    return exia__json_set(now->wanted, hex, json_integer(size), err);
}

static int is_here(const exia__restore *now, const char *hex, int64_t size)
{
    char key[sizeof EXIA__BLOB_PREFIX + EXIA__HEX_SIZE + 3];
    snprintf(key, sizeof key, EXIA__BLOB_PREFIX "%.2s/%.64s", hex, hex);
    const exia__listed *blob = exia__listing_find(&now->here, key);
    return blob != NULL && (size < 0 || blob->size == (uint64_t)size);
}

static exia_status want_version(exia__restore *now, int64_t number, int lost_only, exia_error *err)
{
    const char *environment = NULL;
    const json_t *part = NULL, *parts = exia__ledger_version(&environment, now->ledger, number);
    size_t i = 0;
    exia_status rc = EXIA_OK;
    json_array_foreach((json_t *)(uintptr_t)parts, i, part)
    {
        const char *hex = exia__json_string(part, "sha256");
        int64_t size = json_integer_value(json_object_get(part, "size"));
        if (rc == EXIA_OK && !(lost_only && is_here(now, hex, size)))
            rc = want(now, hex, size, err);
    }
    if (rc == EXIA_OK && environment != NULL && !(lost_only && is_here(now, environment, -1)))
        rc = want(now, environment, -1, err);
    return rc;
}

/* Of the versions that are here already, what was lost. */
static exia_status want_lost(exia__restore *now, exia_error *err)
{
    exia__fold *fold = NULL;
    exia_job job = exia__work_rest(&now->work);
    exia_status rc = EXIA_OK;
    if (now->at->versions_known == 0)
        return EXIA_OK;
    if (now->here.items == NULL)
        rc = exia__listing_read(&now->here, now->library, EXIA__BLOB_PREFIX, &job, err);
    if (rc == EXIA_OK)
        rc = exia__library_lock(now->library, err);
    if (rc < 0)
        return rc;
    rc = exia__library_refresh(&fold, now->library, now->at->name, err);
    for (int64_t n = 1; n <= now->at->versions_known && rc == EXIA_OK; n++) {
        if (exia__fold_has(fold, n))
            rc = want_version(now, n, 1, err);
    }
    exia__library_unlock(now->library);
    return rc;
}

static exia_status end_model(exia__restore *now, exia_error *err)
{
    exia_status rc = EXIA_OK;
    const char *number = NULL;
    json_t *value = NULL;
    if (now->at == NULL)
        return EXIA_OK;
    if (now->at->selected) {
        now->at->versions = exia__ledger_highest(now->ledger);
        rc = want_lost(now, err);
        for (int64_t n = now->at->versions_known + 1; n <= now->at->versions && rc == EXIA_OK; n++)
            rc = want_version(now, n, 0, err);
        json_object_foreach(now->at->repaired, number, value)
        {
            long long n = 0;
            if (rc == EXIA_OK && sscanf(number, "%lld", &n) == 1)
                rc = want_version(now, n, 0, err);
        }
    }
    exia__ledger_free(now->ledger);
    now->ledger = NULL;
    now->at = NULL;
    return rc;
}

exia__incoming *exia__incoming_find(const exia__restore *now, const char *name)
{
    const json_t *at = json_object_get(now->index, name);
    return at ? &now->models[json_integer_value(at)] : NULL;
}

static int is_selected(const exia__restore *now, const char *name)
{
    int found = now->options.models == NULL;
    for (size_t i = 0; now->options.models != NULL && i < now->options.model_count; i++)
        found |= strcmp(now->options.models[i], name) == 0;
    return found;
}

static exia_status begin_model(exia__restore *now, const char *name, exia_error *err)
{
    exia_status rc = end_model(now, err);
    if (rc == EXIA_OK && exia__incoming_find(now, name) != NULL)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s comes twice", name);
    if (rc == EXIA_OK)
        rc = exia__grow(&now->models, &now->capacity, now->count + 1, sizeof *now->models, err);
    if (rc < 0)
        return rc;
    exia__incoming *made = &now->models[now->count];
    *made = (exia__incoming){
        .selected = is_selected(now, name), .repaired = json_object(), .logs = json_array()};
    rc = exia__text_copy(&made->name, name, err);
    now->count++;
    if (rc == EXIA_OK)
        rc = exia__json_set(now->index, name, json_integer((json_int_t)now->count - 1), err);
    if (rc == EXIA_OK && (made->repaired == NULL || made->logs == NULL))
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__ledger_open(&now->ledger, err);
    now->at = made;
    now->same = 1;
    return rc;
}

exia_status exia__incoming_log(json_t **out, int64_t first, int64_t last, const char *text,
                               size_t size, exia_error *err)
{
    char sha256[EXIA__HEX_SIZE];
    *out = NULL;
    exia_status rc = exia__hash_hex(sha256, text, size, err);
    if (rc == EXIA_OK)
        *out = json_pack("{s:I, s:I, s:I, s:s}", "first", (json_int_t)first, "last",
                         (json_int_t)last, "size", (json_int_t)size, "sha256", sha256);
    return rc == EXIA_OK && *out == NULL ? exia__fail_memory(err) : rc;
}

static exia_status check_log(const char *name, int64_t first, const char *text, size_t size,
                             void *payload, exia_error *err)
{
    exia__restore *now = payload;
    json_t *log = NULL;
    exia_status rc = EXIA_OK;
    if (now->at == NULL || strcmp(now->at->name, name) != 0)
        rc = begin_model(now, name, err);
    if (rc == EXIA_OK && first != now->at->head + 1)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "entry %lld of the log of %s is missing",
                        (long long)now->at->head + 1, name);
    if (rc == EXIA_OK)
        rc = each_line(now, first, text, size, check_line, err);
    if (rc == EXIA_OK)
        rc = exia__incoming_log(&log, first, now->at->head, text, size, err);
    return rc == EXIA_OK ? exia__json_append(now->at->logs, log, err) : rc;
}

static exia_status end_logs(void *payload, exia_error *err)
{
    exia__restore *now = payload;
    exia_status rc = end_model(now, err);
    for (size_t i = 0; now->options.models != NULL && i < now->options.model_count && rc == EXIA_OK;
         i++) {
        const char *name = now->options.models[i];
        if (name == NULL || exia__incoming_find(now, name) == NULL)
            rc = exia__fail(err, EXIA_ENOTFOUND, 0, "the backup has no model %.128s",
                            name ? name : "NULL");
    }
    return rc;
}

static exia_status check_blob(const char *hex, int fd, uint64_t size, exia__work *work,
                              exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    char found[EXIA__HEX_SIZE] = "", *block = exia__resize(NULL, BLOCK);
    exia__hash *hash = NULL;
    exia_status rc = block ? exia__hash_open(&hash, err) : exia__fail_memory(err);
    for (uint64_t at = 0; at < size && rc == EXIA_OK;) {
        size_t some = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        rc = exia__work_step(work, "verifying blobs", at, size, err);
        if (rc == EXIA_OK)
            rc = exia__read_at(fd, block, some, at, hex, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(hash, block, some, err);
        at += some;
    }
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, hash, err);
    if (rc == EXIA_OK) {
        exia__hex(found, digest, sizeof digest);
        if (strcmp(found, hex) != 0)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "the blob %s is not what its name says", hex);
    }
    exia__hash_free(hash);
    exia__release(block);
    return rc;
}

exia_status exia__restore_blob(const char *hex, int fd, uint64_t size, void *payload,
                               exia_error *err)
{
    exia__restore *now = payload;
    char *key = NULL;
    struct stat before, after;
    uint64_t expected = (uint64_t)json_integer_value(json_object_get(now->wanted, hex));
    exia_source source = exia__source_file(&fd, size);
    source.sha256 = hex;
    if (size != expected && json_object_get(now->environments, hex) == NULL)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the blob %s has %llu bytes, its log says %llu",
                          hex, (unsigned long long)size, (unsigned long long)expected);
    exia_job job = exia__work_rest(&now->work);
    exia_status rc = fstat(fd, &before) == 0 ? check_blob(hex, fd, size, &now->work, err)
                                             : exia__fail(err, EXIA_EIO, 0, "cannot read %s", hex);
    if (rc == EXIA_OK)
        rc = exia__blob_store(&key, now->library, &source, &job, err);
    if (rc == EXIA_OK && (fstat(fd, &after) != 0 || after.st_size != before.st_size ||
                          after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
                          after.st_mtim.tv_nsec != before.st_mtim.tv_nsec))
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "the blob %s changed while it was read", hex);
    if (rc == EXIA_OK)
        rc = exia__json_set(now->keys, hex, json_string(key), err);
    exia__release(key);
    return rc;
}

/* The list must name what was read, no more and no less. */
static exia_status check_list(const json_t *list, void *payload, exia_error *err)
{
    exia__restore *now = payload;
    const json_t *models = json_object_get(list, "models");
    if (json_object_size(models) != now->count)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it has %zu models, its list names %zu",
                          now->count, json_object_size(models));
    for (size_t i = 0; i < now->count; i++) {
        const json_t *model = json_object_get(models, now->models[i].name);
        if (json_integer_value(json_object_get(model, "head")) != now->models[i].head ||
            !json_equal(json_object_get(model, "logs"), now->models[i].logs))
            return exia__fail(err, EXIA_ECORRUPT, 0, "the log of %s is not what was written",
                              now->models[i].name);
    }
    snprintf(now->library_id, sizeof now->library_id, "%s", exia__json_string(list, "library"));
    return EXIA_OK;
}

static exia_status check_complete(const exia__restore *now, exia_error *err)
{
    const char *hex = NULL;
    json_t *size = NULL;
    json_object_foreach(now->wanted, hex, size)
    {
        if (json_object_get(now->keys, hex) == NULL)
            return exia__fail(err, EXIA_ECORRUPT, 0, "the blob %s is missing", hex);
    }
    return EXIA_OK;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static exia_status run(exia__restore *now, const char *path, exia_error *err)
{
    const exia__unbundling check = {check_log,  end_logs,    exia__restore_blob,
                                    check_list, now->wanted, now};
    const exia__unbundling write = {.log = exia__restore_log, .payload = now};
    exia_status rc = exia__unbundle(path, &check, 0, &now->work, err);
    if (rc == EXIA_OK)
        rc = check_complete(now, err);
    for (size_t i = 0; i < now->count && rc == EXIA_OK; i++) {
        const exia__incoming *one = &now->models[i];
        if (one->selected && one->versions > one->versions_known)
            rc = exia__origin_write(now->library, one->name, now->library_id, one->versions, err);
    }
    if (rc == EXIA_OK)
        rc = exia__unbundle(path, &write, 1, &now->work, err);
    return rc == EXIA_OK ? exia__restore_mend(now, path, err) : rc;
}

static exia_status report(exia_rows **out, const exia__restore *now, exia_error *err)
{
    exia_status rc = exia__rows_open(out, err);
    for (size_t i = 0; i < now->count && rc == EXIA_OK; i++) {
        const exia__incoming *one = &now->models[i];
        if (one->selected)
            rc = exia__bundle_tell(*out, one->name, one->known, one->head, err);
    }
    if (rc < 0) {
        exia_rows_free(*out);
        *out = NULL;
    }
    return rc;
}

exia_status exia_library_restore(exia_rows **out, exia_library *library, const char *path,
                                 const exia_backup_options *options, const exia_job *job,
                                 exia_error *err)
{
    exia__restore now = {.library = library};
    if (out != NULL)
        *out = NULL;
    if (library == NULL || path == NULL || *path == '\0')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_library_restore: the library or the path is NULL or empty");
    exia_status rc = exia__options(&now.options, sizeof now.options, options, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&now.work, job, err);
    if (rc == EXIA_OK && library->generation != exia__generation())
        rc =
            exia__fail(err, EXIA_ECLOSED, 0, "the library was opened before a fork: open it again");
    if (rc == EXIA_OK && library->read_only)
        rc = exia__fail(err, EXIA_EDENIED, 0, "the library was opened read-only");
    if (rc == EXIA_OK &&
        ((now.wanted = json_object()) == NULL || (now.keys = json_object()) == NULL ||
         (now.index = json_object()) == NULL || (now.environments = json_object()) == NULL))
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = run(&now, path, err);
    if (rc == EXIA_OK && out != NULL)
        rc = report(out, &now, err);
    for (size_t i = 0; i < now.count; i++) {
        exia__release(now.models[i].name);
        json_decref(now.models[i].repaired);
        json_decref(now.models[i].logs);
    }
    exia__release(now.models);
    exia__ledger_free(now.ledger);
    json_decref(now.wanted);
    json_decref(now.environments);
    json_decref(now.keys);
    exia__listing_free(&now.here);
    json_decref(now.index);
    return rc;
}
