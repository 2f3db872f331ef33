/* Reading and writing the log.  Reading applies what lies behind the head of a fold, so a repeated
 * question costs one empty scan.  Writing is one record put absent at the next SEQ: whoever loses it
 * reads the winner, checks the expectations again and tries the SEQ behind, with the same token. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/library.h"

enum { SEQ_DIGITS = 16, MOST_ENTRIES = 1024, TRIES_WITHOUT_NEWS = 20 };
static const char log_folder[] = "/log/";

void exia__log_key(char out[EXIA__KEY_SIZE], const char *name, int64_t seq)
{
    snprintf(out, EXIA__KEY_SIZE, "%.128s%s%016lld", name, log_folder, (long long)seq);
}

size_t exia__log_key_read(int64_t *seq, const char *key)
{
    const char *slash = strchr(key, '/');
    size_t folder = sizeof log_folder - 1;
    if (slash == NULL || slash - key > 128 || strncmp(slash, log_folder, folder) != 0)
        return 0;
    const char *digits = slash + folder;
    if (strlen(digits) != SEQ_DIGITS || strspn(digits, "0123456789") != SEQ_DIGITS)
        return 0;
    *seq = 0;
    for (; *digits != '\0'; digits++)
        *seq = *seq * 10 + (*digits - '0');
    return (size_t)(slash - key);
}

/* ---- reading -------------------------------------------------------------------------------- */

typedef struct reading {
    exia_library *library;
    exia__fold *fold; /* of the model whose entries are coming */
    int64_t gap;      /* an entry that was not there when the one behind it was; 0: none */
    int skip;         /* the entries that came are known: go on behind the head */
    size_t count;     /* how many came */
} reading;

static exia_status find_fold(exia__fold **out, exia_library *library, const char *name,
                             exia_error *err)
{
    const json_t *at = json_object_get(library->fold_index, name);
    if (at != NULL) {
        *out = library->folds[json_integer_value(at)];
        return EXIA_OK;
    }
    /* an unknown name leaves an empty fold behind: it is the last one, and the next takes its place */
    if (library->fold_count > 0 && library->folds[library->fold_count - 1]->head == 0) {
        exia__fold *empty = library->folds[--library->fold_count];
        json_object_del(library->fold_index, empty->name);
        exia__fold_free(empty);
    }
    exia__fold **grown = exia__array(library->folds, library->fold_count + 1, sizeof *grown);
    if (grown == NULL)
        return exia__fail_memory(err);
    library->folds = grown;
    exia__fold *fold = NULL;
    exia_status rc = exia__fold_open(&fold, name, err);
    if (rc == EXIA_OK)
        rc = exia__json_set(library->fold_index, name,
                            json_integer((json_int_t)library->fold_count), err);
    if (rc == EXIA_OK) {
        library->folds[library->fold_count++] = *out = fold;
        fold = NULL;
    }
    exia__fold_free(fold);
    return rc;
}

static exia_status read_entry(reading *now, int64_t seq, const char *json, exia_error *err)
{
    exia__fold *fold = now->fold;
    if (seq != fold->head + 1) {
        now->gap = fold->head + 1;
        return EXIA_DONE;
    }
    json_t *entry = NULL;
    exia_status rc =
        exia__json_object(&entry, json, strlen(json), "a log entry", EXIA_ECORRUPT, err);
    if (rc < 0)
        return exia__prefix(err, rc, "entry %lld of the log of %s", (long long)seq, fold->name);
    rc = exia__fold_apply(fold, entry, err);
    json_decref(entry);
    return rc;
}

static exia_status found_entry(const char *key, const char *json, int64_t revision, void *payload,
                               exia_error *err)
{
    reading *now = payload;
    int64_t seq = 0;
    (void)revision;
    now->count++;
    size_t size = exia__log_key_read(&seq, key);
    if (size == 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the log has a record with the key %.100s", key);
    if (now->fold == NULL || strncmp(now->fold->name, key, size) != 0 ||
        now->fold->name[size] != '\0') {
        char name[129];
        memcpy(name, key, size);
        name[size] = '\0';
        exia_status rc = exia__name_check(name, "model name", err);
        if (rc == EXIA_OK)
            rc = find_fold(&now->fold, now->library, name, err);
        if (rc < 0)
            return rc;
    }
    if (seq <= now->fold->head) {
        now->skip = 1;
        return EXIA_DONE;
    }
    return read_entry(now, seq, json, err);
}

/* From behind the head of `now->fold` (NULL: from the start) to the end of what has `prefix`, in pages
 * of `limit` (0: in one).  Behind a model that is known the next page has one entry: mostly it is the
 * first one of the next model, which is known too. */
static exia_status scan(reading *now, const char *prefix, size_t limit, exia_error *err)
{
    char after[EXIA__KEY_SIZE];
    int64_t gap = 0;
    int more = 1;
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK && more) {
        now->gap = 0;
        now->skip = 0;
        now->count = 0;
        if (now->fold != NULL)
            exia__log_key(after, now->fold->name, now->fold->head);
        rc = exia__records_scan(now->library->records, "log", prefix, now->fold ? after : NULL,
                                limit, NULL, found_entry, now, NULL, err);
        /* a store that reads in pages may have missed one that was written meanwhile */
        if (rc == EXIA_OK && now->gap != 0 && now->gap == gap)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "entry %lld of the log of %s is missing",
                            (long long)gap, now->fold->name);
        gap = now->gap;
        more = gap != 0 || now->skip || (limit > 0 && now->count == limit);
        if (limit > 0)
            limit = now->skip ? 1 : limit < MOST_ENTRIES ? 2 * limit : MOST_ENTRIES;
    }
    return rc;
}

exia_status exia__library_refresh(exia__fold **out, exia_library *library, const char *name,
                                  exia_error *err)
{
    char prefix[EXIA__KEY_SIZE];
    reading now = {.library = library};
    *out = NULL;
    exia_status rc = find_fold(&now.fold, library, name, err);
    if (rc < 0)
        return rc;
    snprintf(prefix, sizeof prefix, "%.128s%s", name, log_folder);
    rc = scan(&now, prefix, 0, err);
    *out = rc == EXIA_OK ? now.fold : NULL;
    return rc;
}

exia_status exia__library_refresh_all(exia_library *library, exia_error *err)
{
    reading now = {.library = library};
    return scan(&now, "", 1, err);
}

exia_status exia__fold_missing(const exia__fold *fold, exia_error *err)
{
    if (fold->head > 0)
        return EXIA_OK;
    return exia__fail(err, EXIA_ENOTFOUND, 0, "there is no model %s", fold->name);
}

typedef struct listing {
    exia_status (*found)(int64_t seq, const json_t *entry, void *payload, exia_error *err);
    void *payload;
    int64_t last;
} listing;

static exia_status list_entry(const char *key, const char *json, int64_t revision, void *payload,
                              exia_error *err)
{
    listing *now = payload;
    json_t *entry = NULL;
    int64_t seq = 0;
    (void)revision;
    if (exia__log_key_read(&seq, key) == 0 || seq > now->last)
        return EXIA_DONE;
    exia_status rc =
        exia__json_object(&entry, json, strlen(json), "a log entry", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = now->found(seq, entry, now->payload, err);
    json_decref(entry);
    return rc;
}

exia_status exia__log_scan(exia_library *library, const char *name, int64_t last,
                           exia_status (*found)(int64_t seq, const json_t *entry, void *payload,
                                                exia_error *err),
                           void *payload, exia_error *err)
{
    char prefix[EXIA__KEY_SIZE];
    listing now = {found, payload, last};
    snprintf(prefix, sizeof prefix, "%.128s%s", name, log_folder);
    return exia__records_scan(library->records, "log", prefix, NULL, 0, NULL, list_entry, &now,
                              NULL, err);
}

/* ---- writing -------------------------------------------------------------------------------- */

int exia__store_lost(exia_status rc)
{
    return rc == EXIA_ETIMEOUT || rc == EXIA_EUNAVAILABLE || rc == EXIA_EIO;
}

/* One attempt: what is to be written where, by the state as it is now. */
typedef struct attempt {
    json_t *entry;
    char *text;
    char key[EXIA__KEY_SIZE];
    int64_t head; /* before it */
} attempt;

static void clear_attempt(attempt *now)
{
    json_decref(now->entry);
    exia__release(now->text);
    *now = (attempt){0};
}

static exia_status fill_entry(attempt *now, const exia_library *library, const exia__fold *fold,
                              const exia__intent *intent, exia_error *err)
{
    char time[EXIA__TIME_SIZE];
    exia__time_text(time, exia__now_ms());
    /* clocks differ between hosts and are set back; the log only goes forward */
    now->entry =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:s?}", "format", 1, "do", intent->verb, "token",
                  intent->token, "time", strcmp(time, fold->time) < 0 ? fold->time : time, "who",
                  library->who, "why", intent->message);
    now->head = fold->head;
    exia__log_key(now->key, fold->name, fold->head + 1);
    return now->entry ? EXIA_OK : exia__fail_memory(err);
}

/* EXIA_DONE: nothing is to be written, and `*result` is the answer. */
static exia_status prepare(attempt *now, int64_t *result, exia_library *library, const char *name,
                           const exia__intent *intent, exia_error *err)
{
    exia__fold *fold = NULL;
    exia_status rc = exia__library_lock(library, err);
    if (rc < 0)
        return rc;
    rc = exia__library_refresh(&fold, library, name, err);
    const exia__done *done = rc == EXIA_OK ? exia__fold_done(fold, intent->token) : NULL;
    if (done != NULL && strcmp(done->verb, intent->verb) != 0)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "the token was used for another call (%s)",
                        done->verb);
    else if (done != NULL) {
        *result = done->result;
        rc = EXIA_DONE;
    } else if (rc == EXIA_OK) {
        rc = fill_entry(now, library, fold, intent, err);
        if (rc == EXIA_OK)
            rc = intent->build(now->entry, result, fold, intent->payload, err);
    }
    exia__library_unlock(library);
    if (rc == EXIA_OK)
        rc = exia__json_text(&now->text, now->entry, err);
    return rc;
}

/* The entry is in the log: let the fold know without a read.  What fails here costs a read later. */
static void absorb(exia_library *library, const char *name, attempt *now)
{
    if (exia__library_lock(library, NULL) < 0)
        return;
    const json_t *at = json_object_get(library->fold_index, name);
    exia__fold *fold = at ? library->folds[json_integer_value(at)] : NULL;
    if (fold != NULL && fold->head == now->head)
        exia__fold_apply(fold, now->entry, NULL);
    exia__library_unlock(library);
}

/* The store was lost while it may have been committing.  If the log can be read and has the token, it
 * is done; else nobody can tell yet, and the caller gets the error. */
static exia_status settle(int64_t *result, exia_library *library, const char *name,
                          const exia__intent *intent, exia_status rc)
{
    exia__fold *fold = NULL;
    if (exia__library_lock(library, NULL) < 0)
        return rc;
    if (exia__library_refresh(&fold, library, name, NULL) == EXIA_OK) {
        const exia__done *done = exia__fold_done(fold, intent->token);
        if (done != NULL) {
            *result = done->result;
            rc = EXIA_OK;
        }
    }
    exia__library_unlock(library);
    return rc;
}

exia_status exia__library_commit(int64_t *result, exia_library *library, const char *name,
                                 const exia__intent *intent, exia_error *err)
{
    attempt now = {0};
    exia_status rc = EXIA_OK;
    int64_t last = -1;
    int without_news = 0;
    for (;;) {
        clear_attempt(&now);
        rc = prepare(&now, result, library, name, intent, err);
        if (rc != EXIA_OK)
            break;
        rc = exia__records_put(NULL, library->records, "log", now.key, now.text, EXIA_ABSENT,
                               intent->token, intent->job, err);
        if (rc != EXIA_ECONFLICT)
            break;
        exia__forgive(err);
        /* somebody else has that SEQ, so the next read shows it, unless the store is not what it
         * promised to be */
        without_news = now.head == last ? without_news + 1 : 0;
        last = now.head;
        if (without_news == TRIES_WITHOUT_NEWS) {
            rc = exia__fail(err, EXIA_ETIMEOUT, 0, "%s is taken, but the store does not show it",
                            now.key);
            break;
        }
        if (without_news > 0)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    if (rc == EXIA_OK)
        absorb(library, name, &now);
    else if (now.text != NULL && (rc == EXIA_ETIMEOUT || rc == EXIA_EUNAVAILABLE || rc == EXIA_EIO))
        rc = settle(result, library, name, intent, rc) < 0 ? rc : exia__forgive(err);
    clear_attempt(&now);
    return rc == EXIA_DONE ? EXIA_OK : rc;
}
