/* Backing up a live library.  Every log is taken up to where it stands, then the blobs of the versions
 * that live there, then the list.  A prefix of a log is a state that the model had, so writers need not
 * wait.  A blob that a collector removed in between belongs to a version that was removed: then the log
 * has grown, and all begins anew with what is there already. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "model/backup.h"

enum { MOST_ATTEMPTS = 10 };

/* ---- which models --------------------------------------------------------------------------- */

static exia_status add_model(const char *name, void *payload, exia_error *err)
{
    exia__backup *now = payload;
    exia_status rc = exia__grow(&now->models, &now->model_capacity, now->model_count + 1,
                                sizeof *now->models, err);
    if (rc < 0)
        return rc;
    exia__outgoing *made = &now->models[now->model_count];
    *made = (exia__outgoing){0};
    rc = exia__text_copy(&made->name, name, err);
    if (rc == EXIA_OK)
        now->model_count++;
    return rc;
}

static exia_status name_models(exia__backup *now, const exia_backup_options *options,
                               exia_error *err)
{
    exia_status rc =
        options->models == NULL ? exia__each_model(now->library, add_model, now, err) : EXIA_OK;
    for (size_t i = 0; options->models != NULL && i < options->model_count && rc == EXIA_OK; i++) {
        int again = 0;
        rc = exia__name_check(options->models[i], "model name", err);
        for (size_t k = 0; rc == EXIA_OK && k < now->model_count; k++)
            again |= strcmp(now->models[k].name, options->models[i]) == 0;
        if (rc == EXIA_OK && !again)
            rc = add_model(options->models[i], now, err);
    }
    return rc;
}

static void clear_model(exia__outgoing *one)
{
    exia__release(one->versions);
    json_decref(one->keys);
    json_decref(one->logs);
    *one = (exia__outgoing){.name = one->name};
}

/* ---- logs ----------------------------------------------------------------------------------- */

exia_status exia__backup_member(exia__backup *now, const char *member, const void *data,
                                size_t size, exia_error *err)
{
    exia_status rc = exia__bundle_begin(&now->bundle, member, size, err);
    if (rc == EXIA_OK)
        rc = exia__bundle_write(&now->bundle, data, size, err);
    return rc == EXIA_OK ? exia__bundle_end(&now->bundle, err) : rc;
}

static exia_status end_log(exia__backup *now, exia_error *err)
{
    char member[EXIA__MEMBER_SIZE], sha256[EXIA__HEX_SIZE];
    if (now->text.size == 0)
        return EXIA_OK;
    exia__bundle_log_path(member, now->at->name, now->first);
    exia_status rc = exia__hash_hex(sha256, now->text.data, now->text.size, err);
    if (rc == EXIA_OK)
        rc = exia__backup_member(now, member, now->text.data, now->text.size, err);
    if (rc == EXIA_OK)
        rc = exia__json_append(now->at->logs,
                               json_pack("{s:I, s:I, s:I, s:s}", "first", (json_int_t)now->first,
                                         "last", (json_int_t)now->at->head, "size",
                                         (json_int_t)now->text.size, "sha256", sha256),
                               err);
    now->text.size = 0;
    return rc;
}

exia__lived *exia__backup_version(exia__outgoing *at, int64_t number)
{
    size_t low = 0, high = at->version_count; /* they come in order */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (at->versions[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < at->version_count && at->versions[low].number == number ? &at->versions[low]
                                                                         : NULL;
}

static exia_status note_repairs(exia__outgoing *at, int64_t number, const json_t *parts,
                                exia_error *err)
{
    size_t i = 0;
    const json_t *part = NULL;
    exia_status rc = EXIA_OK;
    json_array_foreach((json_t *)parts, i, part)
    {
        char *place = NULL;
        const char *name = exia__json_string(part, "name");
        if (rc == EXIA_OK)
            rc = exia__text_format(&place, err, "%lld/%s", (long long)number, name ? name : "");
        if (rc == EXIA_OK)
            rc = exia__json_set(at->keys, place, json_incref(json_object_get(part, "key")), err);
        exia__release(place);
    }
    return rc;
}

/* What an entry means for the blobs. */
static exia_status note(exia__outgoing *at, int64_t seq, const json_t *entry, exia_error *err)
{
    const char *verb = exia__json_string(entry, "do");
    const json_t *version = json_object_get(entry, "version");
    int64_t number = json_integer_value(json_object_get(version, "number"));
    exia_status rc = EXIA_OK;
    if (verb == NULL)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it does not say what was done");
    if (strcmp(verb, "publish") == 0) {
        rc = exia__grow(&at->versions, &at->version_capacity, at->version_count + 1,
                        sizeof *at->versions, err);
        if (rc == EXIA_OK)
            at->versions[at->version_count++] = (exia__lived){number, seq};
    } else if (strcmp(verb, "remove") == 0) {
        exia__lived *gone = exia__backup_version(at, number);
        if (gone != NULL)
            gone->seq = 0;
    } else if (strcmp(verb, "repair") == 0) {
        rc = note_repairs(at, number, json_object_get(version, "parts"), err);
    }
    return rc;
}

static exia_status take_entry(exia__backup *now, int64_t seq, const char *json, exia_error *err)
{
    json_t *entry = NULL;
    char *text = NULL;
    exia_status rc =
        exia__json_object(&entry, json, strlen(json), "a log entry", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = note(now->at, seq, entry, err);
    if (rc == EXIA_OK && strchr(json, '\n') != NULL) { /* some stores lay JSON out anew */
        rc = exia__json_text(&text, entry, err);
        json = text;
    }
    if (rc == EXIA_OK && now->text.size == 0)
        now->first = seq;
    if (rc == EXIA_OK)
        rc = exia__buffer_text(&now->text, json, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(&now->text, "\n", 1, err);
    now->at->head = seq;
    if (rc == EXIA_OK && now->text.size >= EXIA__BUNDLE_LOG)
        rc = end_log(now, err);
    json_decref(entry);
    exia__release(text);
    return rc < 0
               ? exia__prefix(err, rc, "entry %lld of the log of %s", (long long)seq, now->at->name)
               : rc;
}

exia_status exia__backup_entry(char **json, exia__backup *now, const char *name, int64_t seq,
                               exia_error *err)
{
    char key[EXIA__KEY_SIZE];
    exia_job job = exia__work_rest(&now->work);
    exia__log_key(key, name, seq);
    return exia__records_get(json, NULL, now->library->records, "log", key, &job, err);
}

static exia_status found_entry(const char *key, const char *json, int64_t revision, void *payload,
                               exia_error *err)
{
    exia__backup *now = payload;
    int64_t seq = 0;
    (void)revision;
    exia_status rc = exia__work_step(&now->work, "backing up logs", now->done, 0, err);
    if (rc == EXIA_OK && exia__log_key_read(&seq, key) == 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "the log has a record with the key %.100s", key);
    while (rc == EXIA_OK && now->at->head + 1 < seq) { /* the scan passed it before it was there */
        char *missed = NULL;
        rc = exia__backup_entry(&missed, now, now->at->name, now->at->head + 1, err);
        if (rc == EXIA_ENOTFOUND)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "entry %lld of the log of %s is missing",
                            (long long)now->at->head + 1, now->at->name);
        if (rc == EXIA_OK)
            rc = take_entry(now, now->at->head + 1, missed, err);
        exia__release(missed);
    }
    return rc == EXIA_OK ? take_entry(now, seq, json, err) : rc;
}

/* What the backup has of this model must be how its log begins: the last entry of it tells, for each
 * bears a token of its own. */
static exia_status check_known(exia__backup *now, const json_t *was, exia_error *err)
{
    char member[EXIA__MEMBER_SIZE], *path = NULL, *json = NULL, *text = NULL;
    size_t size = 0;
    const json_t *logs = json_object_get(was, "logs");
    const json_t *last = json_array_get(logs, json_array_size(logs) - 1);
    now->at->known = json_integer_value(json_object_get(was, "head"));
    exia__bundle_log_path(member, now->at->name,
                          json_integer_value(json_object_get(last, "first")));
    exia_status rc = exia__path_join(&path, now->bundle.directory, member, err);
    if (rc == EXIA_OK)
        rc = exia__file_read(&text, &size, path, EXIA__BUNDLE_LOG_LIMIT, err);
    if (rc == EXIA_OK && (size < 2 || text[size - 1] != '\n'))
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s does not end as a log does", path);
    if (rc == EXIA_OK) {
        text[size - 1] = '\0';
        const char *line = strrchr(text, '\n');
        rc = exia__backup_entry(&json, now, now->at->name, now->at->known, err);
        if (rc == EXIA_ENOTFOUND || (rc == EXIA_OK && strcmp(json, line ? line + 1 : text) != 0))
            rc = exia__fail(err, EXIA_ECONFLICT, 0,
                            "%s: entry %lld is another one in this backup: make a new one",
                            now->at->name, (long long)now->at->known);
    }
    now->at->logs = exia__json_deep_copy(logs);
    if (rc == EXIA_OK && logs != NULL && now->at->logs == NULL)
        rc = exia__fail_memory(err);
    exia__release(path);
    exia__release(json);
    exia__release(text);
    return rc;
}

static exia_status take_logs(exia__backup *now, exia_error *err)
{
    char prefix[EXIA__KEY_SIZE], after[EXIA__KEY_SIZE];
    const json_t *was = json_object_get(json_object_get(now->bundle.list, "models"), now->at->name);
    exia_job job = exia__work_rest(&now->work);
    exia_status rc = was ? check_known(now, was, err) : EXIA_OK;
    if (rc == EXIA_OK && (now->at->keys = json_object()) == NULL)
        rc = exia__fail_memory(err);
    if (now->at->logs == NULL)
        now->at->logs = json_array();
    now->at->head = now->at->known;
    exia__log_key(after, now->at->name, now->at->known);
    snprintf(prefix, sizeof prefix, "%.128s/log/", now->at->name);
    if (rc == EXIA_OK)
        rc = exia__records_scan(now->library->records, "log", prefix, after, 0, NULL, found_entry,
                                now, &job, err);
    if (rc == EXIA_OK && now->at->head == 0)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "there is no model %s", now->at->name);
    return rc == EXIA_OK ? end_log(now, err) : rc;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static exia_status write_list(exia__backup *now, exia_error *err)
{
    char time[EXIA__TIME_SIZE], *text = NULL;
    const json_t *before = json_object_get(now->bundle.list, "models");
    json_t *models = before ? exia__json_deep_copy(before) : json_object();
    exia_status rc = EXIA_OK;
    if (models == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < now->model_count && rc == EXIA_OK; i++)
        rc = exia__json_set(models, now->models[i].name,
                            json_pack("{s:I, s:O}", "head", (json_int_t)now->models[i].head, "logs",
                                      now->models[i].logs),
                            err);
    exia__time_text(time, exia__now_ms());
    json_t *list = json_pack("{s:i, s:s, s:s, s:s, s:O}", "format", 1, "library", now->library->id,
                             "time", time, "who", now->library->who, "models", models);
    if (rc == EXIA_OK)
        rc = exia__json_pretty(&text, list, err);
    if (rc == EXIA_OK)
        rc = exia__bundle_finish(&now->bundle, text, err);
    json_decref(list);
    json_decref(models);
    exia__release(text);
    return rc;
}

/* EXIA_DONE: begin anew. */
static exia_status attempt(exia__backup *now, const char *path, exia_error *err)
{
    exia_status rc = exia__bundle_open(&now->bundle, path, err);
    const char *whose = exia__json_string(now->bundle.list, "library");
    if (rc == EXIA_OK && whose != NULL && strcmp(whose, now->library->id) != 0)
        rc = exia__fail(err, EXIA_ECONFLICT, 0,
                        "%s is a backup of another library (%.32s, this one is %.32s)", path, whose,
                        now->library->id);
    for (size_t i = 0; i < now->model_count && rc == EXIA_OK; i++) {
        now->at = &now->models[i];
        clear_model(now->at);
        rc = take_logs(now, err);
    }
    for (size_t i = 0; i < now->model_count && rc == EXIA_OK; i++) {
        now->at = &now->models[i];
        rc = exia__backup_blobs(now, err);
    }
    if (rc == EXIA_OK)
        rc = write_list(now, err);
    exia__bundle_free(&now->bundle);
    now->text.size = 0;
    return rc;
}

static exia_status report(exia_rows **out, const exia__backup *now, exia_error *err)
{
    exia_status rc = exia__rows_open(out, err);
    for (size_t i = 0; i < now->model_count && rc == EXIA_OK; i++) {
        const exia__outgoing *one = &now->models[i];
        rc = exia__bundle_tell(*out, one->name, one->known, one->head, err);
    }
    if (rc < 0) {
        exia_rows_free(*out);
        *out = NULL;
    }
    return rc;
}

exia_status exia_library_backup(exia_rows **out, exia_library *library, const char *path,
                                const exia_backup_options *options, const exia_job *job,
                                exia_error *err)
{
    exia_backup_options ours;
    exia__backup now = {.library = library};
    if (out != NULL)
        *out = NULL;
    if (library == NULL || path == NULL || *path == '\0')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "exia_library_backup: the library or the path is NULL or empty");
    exia_status rc = exia__options(&ours, sizeof ours, options, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&now.work, job, err);
    if (rc == EXIA_OK && library->generation != exia__generation())
        rc =
            exia__fail(err, EXIA_ECLOSED, 0, "the library was opened before a fork: open it again");
    if (rc == EXIA_OK && library->id == NULL)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "the library is being created: try again");
    if (rc == EXIA_OK && (now.environments = json_object()) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = name_models(&now, &ours, err);
    for (int i = 1; rc == EXIA_OK; i++) {
        json_object_clear(now.environments);
        rc = attempt(&now, path, err);
        if (rc != EXIA_DONE)
            break;
        rc = i < MOST_ATTEMPTS ? EXIA_OK
                               : exia__fail(err, EXIA_ECONFLICT, 0,
                                            "versions are removed and collected again and again");
    }
    if (rc == EXIA_OK && out != NULL)
        rc = report(out, &now, err);
    for (size_t i = 0; i < now.model_count; i++) {
        clear_model(&now.models[i]);
        exia__release(now.models[i].name);
    }
    exia__release(now.models);
    exia__buffer_free(&now.text);
    json_decref(now.environments);
    return rc;
}
