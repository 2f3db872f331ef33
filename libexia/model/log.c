/* Reading the log.  What lies behind the head of a fold is applied to it, so a repeated question costs
 * one empty scan; where much lies behind it, the state that is stored is taken first. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/library.h"

enum { SEQ_DIGITS = 16, MOST_ENTRIES = 1024, MOST_CHANGED = 1000, MANY = 64 };
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
    size_t applied;   /* to this fold */
} reading;

static exia_status find_fold(exia__fold **out, exia_library *library, const char *name,
                             exia_error *err)
{
    const json_t *at = json_object_get(library->fold_index, name);
    if (at != NULL) {
        *out = library->folds[json_integer_value(at)];
        return (*out)->head > 0 ? EXIA_OK : exia__derived_load(*out, library, err);
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
        rc = exia__derived_load(*out, library, err);
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
    exia_status rc = EXIA_OK;
    if (++now->applied == MANY) {
        rc = exia__derived_jump(&now->skip, fold, now->library, err);
        if (rc < 0 || now->skip)
            return rc < 0 ? rc : EXIA_DONE;
    }
    if (json_object_size(fold->changed) >= MOST_CHANGED)
        rc = exia__derived_write(fold, now->library, err);
    if (rc < 0)
        return rc;
    rc = exia__json_object(&entry, json, strlen(json), "a log entry", EXIA_ECORRUPT, err);
    if (rc < 0)
        return exia__prefix(err, rc, "entry %lld of the log of %s", (long long)seq, fold->name);
    rc = exia__fold_apply(fold, now->library, entry, err);
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
        if (rc == EXIA_OK && now->fold != NULL)
            rc = exia__derived_write(now->fold, now->library, err);
        now->fold = NULL; /* the name may take the place of an empty one */
        if (rc == EXIA_OK)
            rc = find_fold(&now->fold, now->library, name, err);
        if (rc < 0)
            return rc;
        now->applied = 0;
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
    return rc == EXIA_OK && now->fold != NULL ? exia__derived_write(now->fold, now->library, err)
                                              : rc;
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

exia_status exia__log_read(json_t **out, exia_library *library, const char *name, int64_t seq,
                           exia_error *err)
{
    char key[EXIA__KEY_SIZE], *text = NULL;
    *out = NULL;
    exia__log_key(key, name, seq);
    exia_status rc = exia__records_get(&text, NULL, library->records, "log", key, NULL, err);
    if (rc == EXIA_ENOTFOUND)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "entry %lld of the log of %s is missing",
                        (long long)seq, name);
    if (rc == EXIA_OK)
        rc = exia__json_object(out, text, strlen(text), "a log entry", EXIA_ECORRUPT, err);
    exia__release(text);
    return rc;
}

exia_status exia__log_has(int *out, exia_library *library, const char *name, int64_t seq,
                          exia_error *err)
{
    char key[EXIA__KEY_SIZE], *text = NULL;
    exia__log_key(key, name, seq);
    exia_status rc = exia__records_get(&text, NULL, library->records, "log", key, NULL, err);
    exia__release(text);
    *out = rc == EXIA_OK;
    return rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc;
}

/* ---- a part of the log ---------------------------------------------------------------------- */

typedef struct listing {
    exia__entry_fn *found;
    void *payload;
    int64_t last;
    const char *word;
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
    if (now->word != NULL && strstr(json, now->word) == NULL)
        return EXIA_OK;
    exia_status rc =
        exia__json_object(&entry, json, strlen(json), "a log entry", EXIA_ECORRUPT, err);
    if (rc == EXIA_OK)
        rc = now->found(seq, entry, now->payload, err);
    json_decref(entry);
    return rc;
}

static exia_status scan_between(exia_library *library, const char *name, int64_t first,
                                listing *now, exia_error *err)
{
    char prefix[EXIA__KEY_SIZE], after[EXIA__KEY_SIZE];
    snprintf(prefix, sizeof prefix, "%.128s%s", name, log_folder);
    exia__log_key(after, name, first - 1);
    return exia__records_scan(library->records, "log", prefix, after, 0, NULL, list_entry, now,
                              NULL, err);
}

exia_status exia__log_look(exia_library *library, const char *name, int64_t last, const char *word,
                           exia__entry_fn *found, void *payload, exia_error *err)
{
    listing now = {found, payload, last, word};
    return scan_between(library, name, 1, &now, err);
}

exia_status exia__log_scan(exia_library *library, const char *name, int64_t last,
                           exia__entry_fn *found, void *payload, exia_error *err)
{
    return exia__log_look(library, name, last, NULL, found, payload, err);
}

/* ---- tokens --------------------------------------------------------------------------------- */

static exia_status remember_entry(int64_t seq, const json_t *entry, void *payload, exia_error *err)
{
    const char *verb = NULL, *token = exia__json_string(entry, "token");
    int64_t result = 0;
    if (token == NULL || exia__json_string(entry, "do") == NULL)
        return exia__fail(err, EXIA_ECORRUPT, 0, "entry %lld of the log has no token",
                          (long long)seq);
    exia_status rc = exia__entry_result(&verb, &result, entry, err);
    return rc == EXIA_OK ? exia__fold_remember(payload, seq, token, verb, result, err) : rc;
}

/* The tokens from `from` on: read anew, for those in memory are the later ones. */
static exia_status learn_tokens(exia__fold *fold, exia_library *library, int64_t from,
                                exia_error *err)
{
    exia__fold *fresh = NULL;
    listing now = {remember_entry, NULL, fold->head, NULL};
    exia_status rc = exia__fold_open(&fresh, fold->name, err);
    now.payload = fresh;
    if (rc == EXIA_OK)
        rc = scan_between(library, fold->name, from, &now, err);
    if (rc == EXIA_OK) {
        const exia__fold before = *fold;
        fold->done = fresh->done;
        fold->done_count = fresh->done_count;
        fold->done_capacity = fresh->done_capacity;
        fold->known = from;
        fresh->done = before.done;
        fresh->done_count = before.done_count;
    }
    exia__fold_free(fresh);
    return rc;
}

exia_status exia__log_done(const exia__done **out, exia_library *library, exia__fold *fold,
                           const char *token, int64_t from, exia_error *err)
{
    int64_t oldest = fold->head - EXIA__TOKENS_KEPT + 1;
    *out = NULL;
    if (from < oldest)
        from = oldest;
    if (from < 1)
        from = 1;
    exia_status rc = from < fold->known ? learn_tokens(fold, library, from, err) : EXIA_OK;
    if (rc == EXIA_OK)
        *out = exia__fold_done(fold, token);
    return rc;
}
