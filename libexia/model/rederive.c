/* What is derived from a log, made anew from its first entry and compared with what is stored.  A store
 * may be further on than the log was when it was read, so a record that a later entry left is no
 * finding; nor is one that is mended by somebody else meanwhile. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/upkeep.h"

enum { PAGE = 256 };

typedef struct deriving {
    exia_library *library;
    const char *name;
    exia__fold *fold; /* of our own: nobody else's questions see it */
    exia__work *work;
    const exia__derived_report *report;
    char *page[PAGE]; /* entries behind the fold's head */
    size_t count;
    int gap;
} deriving;

/* ---- the log -------------------------------------------------------------------------------- */

static exia_status take_entry(const char *key, const char *json, int64_t revision, void *payload,
                              exia_error *err)
{
    deriving *now = payload;
    int64_t seq = 0;
    (void)revision;
    if (exia__log_key_read(&seq, key) == 0 || seq != now->fold->head + 1 + (int64_t)now->count) {
        now->gap = 1;
        return EXIA_DONE;
    }
    exia_status rc = exia__text_copy(&now->page[now->count], json, err);
    now->count += rc == EXIA_OK;
    return rc;
}

/* The lock is taken for each entry, for applying one asks what the library keeps. */
static exia_status apply(deriving *now, const char *text, exia_error *err)
{
    json_t *entry = NULL;
    exia_status rc =
        exia__json_object(&entry, text, strlen(text), "a log entry", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = exia__library_lock(now->library, err);
    if (rc == EXIA_OK) {
        rc = exia__fold_apply(now->fold, now->library, entry, err);
        exia__library_unlock(now->library);
    }
    json_decref(entry);
    return rc;
}

static exia_status apply_page(deriving *now, exia_error *err)
{
    char after[EXIA__KEY_SIZE], prefix[EXIA__KEY_SIZE];
    exia_job job = exia__work_rest(now->work);
    exia_status rc = exia__work_step(now->work, "deriving", (uint64_t)now->fold->head, 0, err);
    now->count = 0;
    exia__log_key(after, now->name, now->fold->head);
    snprintf(prefix, sizeof prefix, "%.128s/log/", now->name);
    if (rc == EXIA_OK)
        rc = exia__records_scan(now->library->records, "log", prefix, after, PAGE, NULL, take_entry,
                                now, &job, err);
    for (size_t i = 0; i < now->count; i++) {
        if (rc == EXIA_OK)
            rc = apply(now, now->page[i], err);
        exia__release(now->page[i]);
    }
    return rc;
}

/* ---- the records ---------------------------------------------------------------------------- */

/* What a record says of how far it has come: the head of a `model`, the SEQ of a `version`. */
static json_int_t reached(const json_t *record)
{
    const json_t *head = json_object_get(record, "head");
    return json_integer_value(head ? head : json_object_get(record, "seq"));
}

/* NULL: it is no JSON. */
static exia_status read_record(json_t **out, const char *json, exia_error *err)
{
    exia_status rc = exia__json_object(out, json, strlen(json), "a record", EXIA_ECORRUPT, err);
    return rc == EXIA_ECORRUPT ? exia__forgive(err) : rc;
}

static int64_t number_of(const char *key)
{
    long long number = 0;
    const char *slash = strchr(key, '/');
    return slash != NULL && sscanf(slash + 1, "%lld", &number) == 1 ? number : 0;
}

static exia_status tell(deriving *now, const char *key, const char *text, int mended,
                        exia_error *err)
{
    return now->report->found("derived", now->name, number_of(key), text, mended,
                              now->report->payload, err);
}

/* What is wrong with the record `its` of which the log says `ours`; NULL: nothing.  It may be of an
 * entry that was written since the log was read, or of a newer library: that one's it stays. */
static exia_status judge(const char **what, deriving *now, const json_t *ours, const json_t *its,
                         exia_error *err)
{
    int written = 0;
    *what = NULL;
    if (json_equal(ours, its) || json_integer_value(json_object_get(its, "format")) > 1)
        return EXIA_OK;
    if (reached(its) > now->fold->head) {
        exia_status rc = exia__log_has(&written, now->library, now->name, reached(its), err);
        *what = written ? NULL : "the record is ahead of the log";
        return rc;
    }
    *what = ours == NULL                   ? "the log has no such version"
            : its == NULL                  ? "the record is no JSON"
            : reached(its) < reached(ours) ? "the record lags behind the log"
                                           : "the record says other than the log";
    return EXIA_OK;
}

static exia_status compare(deriving *now, const exia_put *put, exia_error *err)
{
    char *text = NULL;
    json_t *ours = NULL, *its = NULL;
    int64_t revision = EXIA_ABSENT;
    exia_status rc =
        exia__records_get(&text, &revision, now->library->records, put->kind, put->key, NULL, err);
    if (rc == EXIA_ENOTFOUND)
        rc = exia__forgive(err);
    if (rc == EXIA_OK)
        rc = exia__json_object(&ours, put->json, strlen(put->json), "a record", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK && text != NULL)
        rc = read_record(&its, text, err);
    const char *what = "the record is missing";
    if (rc == EXIA_OK && text != NULL)
        rc = judge(&what, now, ours, its, err);
    if (rc == EXIA_OK && what != NULL) {
        if (now->report->repair)
            rc = exia__records_put(NULL, now->library->records, put->kind, put->key, put->json,
                                   revision, NULL, NULL, err);
        if (rc == EXIA_ECONFLICT) /* somebody else writes it just now */
            rc = exia__forgive(err);
        else if (rc == EXIA_OK)
            rc = tell(now, put->key, what, now->report->repair, err);
    }
    json_decref(ours);
    json_decref(its);
    exia__release(text);
    return rc;
}

/* A record of a version that the log never had. */
static exia_status found_version(const char *key, const char *json, int64_t revision, void *payload,
                                 exia_error *err)
{
    deriving *now = payload;
    json_t *record = NULL;
    const char *what = NULL;
    if (number_of(key) >= 1 && number_of(key) <= now->fold->highest)
        return EXIA_OK;
    exia_status rc = read_record(&record, json, err);
    if (rc == EXIA_OK)
        rc = judge(&what, now, NULL, record, err);
    if (rc == EXIA_OK && what != NULL) {
        if (now->report->repair)
            rc = exia__records_remove(now->library->records, "version", key, revision, NULL, err);
        if (rc == EXIA_ECONFLICT)
            rc = exia__forgive(err);
        else if (rc == EXIA_OK)
            rc = tell(now, key, what, now->report->repair, err);
    }
    json_decref(record);
    return rc;
}

/* What this handle keeps in memory came from the records. */
static exia_status forget(deriving *now, exia_error *err)
{
    exia_status rc = exia__library_lock(now->library, err);
    if (rc < 0)
        return rc;
    const json_t *at = json_object_get(now->library->fold_index, now->name);
    if (at != NULL && now->report->repair)
        exia__fold_clear(now->library->folds[json_integer_value(at)]);
    exia__version_forget(now->library, now->name, 0);
    exia__library_unlock(now->library);
    return EXIA_OK;
}

static exia_status compare_all(deriving *now, exia_error *err)
{
    char prefix[EXIA__KEY_SIZE];
    exia__puts puts = {0};
    exia_job job = exia__work_rest(now->work);
    exia_status rc = exia__derived_puts(&puts, now->fold, err); /* `model` is the last one */
    for (size_t i = 0; i < puts.count && rc == EXIA_OK; i++) {
        rc = exia__work_step(now->work, "comparing", i, puts.count, err);
        if (rc == EXIA_OK)
            rc = compare(now, &puts.items[i], err);
    }
    exia__puts_free(&puts);
    snprintf(prefix, sizeof prefix, "%.128s/", now->name);
    if (rc == EXIA_OK)
        rc = exia__records_scan(now->library->records, "version", prefix, NULL, 0, NULL,
                                found_version, now, &job, err);
    return rc;
}

exia_status exia__rederive(exia_library *library, const char *name,
                           const exia__derived_report *report, exia__work *work, exia_error *err)
{
    deriving now = {.library = library, .name = name, .work = work, .report = report};
    exia_error why = {0};
    exia_status rc = exia__fold_open(&now.fold, name, err);
    if (rc < 0)
        return rc;
    do
        rc = apply_page(&now, &why);
    while (rc == EXIA_OK && now.count == PAGE && !now.gap);
    if (rc == EXIA_ECORRUPT || rc == EXIA_EVERSION)
        rc = report->found("log", name, 0, why.text, 0, report->payload, err);
    else if (rc < 0)
        rc = exia__fail(err, rc, why.native, "%s", why.text);
    else if (!now.gap)
        rc = compare_all(&now, err);
    if (rc == EXIA_OK)
        rc = forget(&now, err);
    exia__fold_free(now.fold);
    return rc;
}
