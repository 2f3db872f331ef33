/* The table that drivers in modules get: what the library has anyway, and the notes of unfinished work.
 *
 * Notes are records in journal.db of the user's home.  It is opened for each: they are written about
 * once in some seconds, by many processes, and so nothing is left open at a fork. */
#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/job.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/url.h"
#include "store/driver.h"
#include "store/store.h"

/* ---- jobs ----------------------------------------------------------------------------------- */

struct exia_work {
    exia__work at;
};

static exia_status work_open(exia_work **out, const exia_job *job, exia_error *err)
{
    exia_work *work = exia__zeroed(1, sizeof *work);
    *out = NULL;
    if (work == NULL)
        return exia__fail_memory(err);
    exia_status rc = exia__work_begin(&work->at, job, err);
    if (rc == EXIA_OK)
        *out = work;
    else
        exia__release(work);
    return rc;
}

static exia_status work_step(exia_work *work, const char *step, uint64_t done, uint64_t total,
                             exia_error *err)
{
    return exia__work_step(&work->at, step, done, total, err);
}

static int64_t work_left(const exia_work *work)
{
    int64_t left = work->at.end_ms == 0 ? INT64_MAX : work->at.end_ms - exia__clock_ms();
    return left > 0 ? left : 0;
}

static int64_t work_stall(const exia_work *work)
{
    return work->at.job.timeout_ms;
}

static uint32_t work_threads(const exia_work *work)
{
    return work->at.job.threads;
}

/* ---- notes ---------------------------------------------------------------------------------- */

static const char note_kind[] = "note";

static exia_status open_notes(exia__records **out, char **key, const char *scope, const char *name,
                              exia_error *err)
{
    char *home = NULL, *path = NULL, *url = NULL;
    *out = NULL;
    *key = NULL;
    if (scope == NULL || name == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "a note has no scope or no key");
    exia_status rc = exia__text_format(key, err, "%s/%s", scope, name);
    if (rc == EXIA_OK)
        rc = exia__home(&home, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__path_join(&path, home, "journal.db", err);
    if (rc == EXIA_OK)
        rc = exia__url_from_path(&url, "sqlite", path, err);
    if (rc == EXIA_OK)
        rc = exia__records_open(out, url, EXIA_STORE_WRITE, NULL, err);
    if (rc < 0) {
        exia__release(*key);
        *key = NULL;
    }
    exia__release(url);
    exia__release(path);
    exia__release(home);
    return rc;
}

static exia_status note_put(const char *scope, const char *key, const char *text, exia_error *err)
{
    exia__records *notes = NULL;
    char *full = NULL, *json = NULL;
    json_t *note = json_object();
    exia_status rc = note ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK && (text == NULL || !exia__text_valid(text, strlen(text))))
        rc = exia__fail(err, EXIA_EINVAL, 0, "the note is no line of UTF-8");
    if (rc == EXIA_OK)
        rc = exia__json_set(note, "text", json_string(text), err);
    if (rc == EXIA_OK)
        rc = exia__json_text(&json, note, err);
    if (rc == EXIA_OK)
        rc = open_notes(&notes, &full, scope, key, err);
    if (rc == EXIA_OK)
        rc = exia__records_put(NULL, notes, note_kind, full, json, EXIA_ANY, NULL, NULL, err);
    exia__records_free(notes);
    exia__release(full);
    exia__release(json);
    json_decref(note);
    return rc;
}

/* The text in a note's JSON, in `*holder`'s memory. */
static exia_status read_note(json_t **holder, const char **text, const char *json, exia_error *err)
{
    exia_status rc =
        exia__json_parse(holder, json, strlen(json), "a note in journal.db", EXIA_ECORRUPT, err);
    *text = rc < 0 ? NULL : json_string_value(json_object_get(*holder, "text"));
    return rc < 0 || *text ? rc
                           : exia__fail(err, EXIA_ECORRUPT, 0, "a note in journal.db has no text");
}

static exia_status note_get(char **out, const char *scope, const char *key, exia_error *err)
{
    exia__records *notes = NULL;
    char *full = NULL, *json = NULL;
    json_t *holder = NULL;
    const char *text = NULL;
    *out = NULL;
    exia_status rc = open_notes(&notes, &full, scope, key, err);
    if (rc == EXIA_OK)
        rc = exia__records_get(&json, NULL, notes, note_kind, full, NULL, err);
    if (rc == EXIA_OK)
        rc = read_note(&holder, &text, json, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(out, text, err);
    exia__records_free(notes);
    exia__release(full);
    exia__release(json);
    json_decref(holder);
    return rc;
}

static exia_status note_remove(const char *scope, const char *key, exia_error *err)
{
    exia__records *notes = NULL;
    char *full = NULL;
    exia_status rc = open_notes(&notes, &full, scope, key, err);
    if (rc == EXIA_OK)
        rc = exia__records_remove(notes, note_kind, full, EXIA_ANY, NULL, err);
    exia__records_free(notes);
    exia__release(full);
    return rc;
}

typedef struct listing {
    exia_note_fn *found;
    void *payload;
    size_t scope; /* characters of "SCOPE/" */
} listing;

static exia_status tell_note(const char *key, const char *json, int64_t revision, void *payload,
                             exia_error *err)
{
    const listing *list = payload;
    json_t *holder = NULL;
    const char *text = NULL;
    (void)revision;
    exia_status rc = read_note(&holder, &text, json, err);
    if (rc == EXIA_OK)
        rc = list->found(key + list->scope, text, list->payload, err);
    json_decref(holder);
    return rc;
}

static exia_status note_list(const char *scope, exia_note_fn *found, void *payload, exia_error *err)
{
    exia__records *notes = NULL;
    char *prefix = NULL;
    exia_status rc = open_notes(&notes, &prefix, scope, "", err);
    listing list = {found, payload, prefix ? strlen(prefix) : 0};
    if (rc == EXIA_OK)
        rc = exia__records_scan(notes, note_kind, prefix, NULL, 0, NULL, tell_note, &list, NULL,
                                err);
    exia__records_free(notes);
    exia__release(prefix);
    return rc;
}

const exia_core exia__core = {
    .struct_size = sizeof(exia_core),
    .version = exia_version,
    .resize = exia__resize,
    .release = exia__release,
    .fail = exia__fail,
    .log = exia__log,
    .work_open = work_open,
    .work_step = work_step,
    .work_left = work_left,
    .work_stall = work_stall,
    .work_threads = work_threads,
    .clock_ms = exia__clock_ms,
    .now_ms = exia__now_ms,
    .url_open = exia__url_open,
    .percent_encode = exia__percent_encode_but,
    .percent_decode = exia__percent_decode,
    .token = exia__token,
    .tell_text = exia__tell_text,
    .note_put = note_put,
    .note_get = note_get,
    .note_remove = note_remove,
    .note_list = note_list,
};
