/* What all logs together name, in one pass: the records come model by model, entry by entry, so a
 * removal or a repair changes what the same model's earlier entries left.  The logs are read, never
 * what is derived from them: a collector that believed something stale would remove what lives. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/upkeep.h"

enum { MOST_MISSED = 1000 };

typedef struct walk {
    exia__references *out;
    exia_library *library;
    exia__work *work;
    exia__log_problem *problem;
    void *payload;
    char model[129]; /* whose entries are coming; "": none yet */
    size_t model_at; /* its name among the texts */
    int64_t head;    /* its last SEQ that came */
    int broken;      /* an entry could not be taken, so what follows may not fit */
    size_t *first;   /* version n's references begin at first[n - 1] */
    size_t versions, capacity;
} walk;

/* ---- references ----------------------------------------------------------------------------- */

const char *exia__reference_text(const exia__references *references, size_t at)
{
    return references->texts.data + at;
}

static exia_status add_text(size_t *at, exia__references *references, const char *text,
                            exia_error *err)
{
    *at = references->texts.size;
    return exia__buffer_append(&references->texts, text, strlen(text) + 1, err);
}

static exia_status add(walk *now, const exia__reference *what, const char *key, const char *part,
                       exia_error *err)
{
    exia__references *out = now->out;
    exia_status rc =
        exia__grow(&out->items, &out->capacity, out->count + 1, sizeof *out->items, err);
    if (rc < 0)
        return rc;
    exia__reference *made = &out->items[out->count];
    *made = *what;
    made->model = now->model_at;
    rc = add_text(&made->key, out, key, err);
    if (rc == EXIA_OK)
        rc = add_text(&made->part, out, part, err);
    if (rc == EXIA_OK)
        out->count++;
    return rc;
}

static int by_key(const void *a, const void *b, void *payload)
{
    const exia__reference *x = a, *y = b;
    int order =
        strcmp(exia__reference_text(payload, x->key), exia__reference_text(payload, y->key));
    return order ? order : (int)x->over - (int)y->over;
}

static const exia__reference *find_key(const exia__references *references, const char *key,
                                       int over, int environment)
{
    size_t low = 0, high = references->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const exia__reference *item = &references->items[middle];
        if (strcmp(exia__reference_text(references, item->key), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < references->count; low++) {
        const exia__reference *item = &references->items[low];
        if (strcmp(exia__reference_text(references, item->key), key) != 0)
            break;
        if (!item->over == !over && (item->environment || !environment))
            return item;
    }
    return NULL;
}

int exia__blob_digest(char hex[EXIA__HEX_SIZE], const char *key)
{
    size_t prefix = sizeof EXIA__BLOB_PREFIX - 1;
    if (strncmp(key, EXIA__BLOB_PREFIX, prefix) != 0 || strlen(key) < prefix + 3 + 64)
        return 0;
    memcpy(hex, key + prefix + 3, 64);
    hex[64] = '\0';
    const char *tail = key + prefix + 3 + 64;
    return exia__hex_valid(hex) && strncmp(key + prefix, hex, 2) == 0 && key[prefix + 2] == '/' &&
           (*tail == '\0' ||
            (tail[0] == '.' && tail[1] >= '1' && tail[1] <= '9' && strlen(tail) <= 3 &&
             strspn(tail + 1, "0123456789") == strlen(tail + 1)));
}

int exia__blob_same(const char *key, const char *base)
{
    size_t size = strlen(base);
    char hex[EXIA__HEX_SIZE];
    return strncmp(key, base, size) == 0 && exia__blob_digest(hex, key);
}

const exia__reference *exia__references_find(const exia__references *references, const char *key,
                                             int over)
{
    char hex[EXIA__HEX_SIZE], whole[sizeof EXIA__BLOB_PREFIX + EXIA__HEX_SIZE + 3];
    const exia__reference *found = find_key(references, key, over, 0);
    if (found != NULL || !exia__blob_digest(hex, key))
        return found;
    snprintf(whole, sizeof whole, EXIA__BLOB_PREFIX "%.2s/%s", hex, hex);
    return find_key(references, whole, over, 1);
}

void exia__references_free(exia__references *references)
{
    exia__release(references->items);
    exia__buffer_free(&references->texts);
    *references = (exia__references){0};
}

/* ---- entries -------------------------------------------------------------------------------- */

static exia_status do_publish(walk *now, const json_t *version, exia_error *err)
{
    const json_t *parts = json_object_get(version, "parts");
    json_int_t number = json_integer_value(json_object_get(version, "number"));
    const char *sha256 = exia__json_string(version, "environment");
    if (number < 1 || (uint64_t)number <= now->versions ||
        (uint64_t)number > now->versions + (now->broken ? MOST_MISSED : 1))
        return exia__fail(err, EXIA_ECORRUPT, 0, "it does not publish version %zu",
                          now->versions + 1);
    exia_status rc = exia__parts_check(parts, 1, err);
    if (rc == EXIA_OK)
        rc = exia__facts_check(version, err);
    while (rc == EXIA_OK && now->versions < (uint64_t)number) { /* more than one behind a gap */
        rc = exia__grow(&now->first, &now->capacity, now->versions + 1, sizeof *now->first, err);
        if (rc == EXIA_OK)
            now->first[now->versions++] = now->out->count;
    }
    size_t i = 0;
    json_t *part = NULL;
    json_array_foreach((json_t *)parts, i, part)
    {
        const char *key = exia__json_string(part, "key");
        exia__reference made = {.number = number,
                                .size = json_integer_value(json_object_get(part, "size"))};
        if (rc == EXIA_OK && key != NULL)
            rc = add(now, &made, key, exia__json_string(part, "name"), err);
    }
    if (rc == EXIA_OK && sha256 != NULL) {
        char key[sizeof EXIA__BLOB_PREFIX + EXIA__HEX_SIZE + 3];
        exia__reference made = {.number = number, .size = -1, .environment = 1};
        snprintf(key, sizeof key, EXIA__BLOB_PREFIX "%.2s/%s", sha256, sha256);
        rc = add(now, &made, key, "", err);
    }
    return rc;
}

/* The references of a version of this model, until `*end`; NULL: there is no such version. */
static exia__reference *version_of(size_t *end, walk *now, const json_t *version)
{
    json_int_t number = json_integer_value(json_object_get(version, "number"));
    *end = now->out->count;
    if (number < 1 || (uint64_t)number > now->versions)
        return NULL;
    if ((uint64_t)number < now->versions)
        *end = now->first[number];
    *end -= now->first[number - 1];
    return now->out->items + now->first[number - 1];
}

static exia_status do_remove(walk *now, const json_t *version, exia_error *err)
{
    size_t count = 0;
    exia__reference *items = version_of(&count, now, version);
    json_int_t number = json_integer_value(json_object_get(version, "number"));
    if (number < 1 || (uint64_t)number > now->versions)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it removes a version that is not there");
    for (size_t i = 0; i < count; i++) {
        if (items[i].number == number && !items[i].over)
            items[i].over = EXIA__REMOVED;
    }
    return EXIA_OK;
}

static exia_status do_repair(walk *now, const json_t *version, exia_error *err)
{
    size_t i = 0;
    json_t *repair = NULL, *repairs = json_object_get(version, "parts");
    exia_status rc = EXIA_OK;
    json_array_foreach(repairs, i, repair)
    {
        const char *part = exia__json_string(repair, "name"),
                   *key = exia__json_string(repair, "key");
        size_t count = 0;
        exia__reference *items = version_of(&count, now, version), *found = NULL;
        json_int_t number = json_integer_value(json_object_get(version, "number"));
        for (size_t k = 0; items != NULL && part != NULL && k < count; k++) {
            if (items[k].number == number && !items[k].environment &&
                strcmp(exia__reference_text(now->out, items[k].part), part) == 0)
                found = &items[k];
        }
        if (rc == EXIA_OK && (found == NULL || key == NULL))
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "it repairs a part that is not there");
        if (rc == EXIA_OK && !found->over) {
            /* the old bytes are named by nobody from here on */
            size_t at = (size_t)(found - now->out->items);
            exia__reference old = *found;
            char *old_key = NULL;
            old.over = EXIA__REPAIRED;
            rc = exia__text_copy(&old_key, exia__reference_text(now->out, old.key), err);
            if (rc == EXIA_OK)
                rc = add(now, &old, old_key, "", err);
            if (rc == EXIA_OK)
                rc = add_text(&now->out->items[at].key, now->out, key, err);
            exia__release(old_key);
        }
    }
    return rc;
}

/* What only a newer writer understands may name blobs in its own way, so it is a failure. */
static exia_status apply(walk *now, const json_t *entry, exia_error *err)
{
    static const char *const others[] = {"move", "rollback", "sign", "protect"};
    const json_t *version = json_object_get(entry, "version");
    json_int_t format = json_integer_value(json_object_get(entry, "format"));
    const char *verb = exia__json_string(entry, "do");
    if (format < 1 || verb == NULL)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it does not say what was done");
    if (format > 1)
        return exia__fail(err, EXIA_EVERSION, 0, "format %lld is newer than this library",
                          (long long)format);
    if (strcmp(verb, "publish") == 0)
        return do_publish(now, version, err);
    if (strcmp(verb, "remove") == 0)
        return do_remove(now, version, err);
    if (strcmp(verb, "repair") == 0)
        return do_repair(now, version, err);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strcmp(verb, others[i]) == 0)
            return EXIA_OK;
    }
    return exia__fail(err, EXIA_EVERSION, 0, "\"%.40s\" is not known to this library", verb);
}

/* ---- the walk ------------------------------------------------------------------------------- */

static exia_status tell(walk *now, const char *model, int64_t seq, exia_error *why, exia_error *err)
{
    if (why->status == EXIA_ENOMEM)
        return exia__fail_memory(err);
    now->broken = 1;
    if (now->problem != NULL)
        return now->problem(model, seq, why, now->payload, err);
    if (seq == 0)
        return exia__fail(err, why->status, 0, "%s", why->text);
    return exia__fail(err, why->status, 0, "entry %lld of the log of %s: %s", (long long)seq, model,
                      why->text);
}

static exia_status take(walk *now, int64_t seq, const char *json, exia_error *err)
{
    exia_error why = {0};
    json_t *entry = NULL;
    exia_status rc =
        exia__json_object(&entry, json, strlen(json), "a log entry", EXIA_ECORRUPT, &why);
    if (rc == EXIA_OK)
        rc = apply(now, entry, &why);
    json_decref(entry);
    now->head = seq;
    now->out->entries++;
    return rc < 0 ? tell(now, now->model, seq, &why, err) : EXIA_OK;
}

/* A store that reads in pages may have passed an entry before it was written, so those that did not
 * come are asked for by name. */
static exia_status fill_gap(walk *now, int64_t until, exia_error *err)
{
    char key[EXIA__KEY_SIZE];
    exia_status rc = EXIA_OK;
    if (until - now->head > MOST_MISSED) { /* no writer is so fast */
        exia_error why = {0};
        exia__fail(&why, EXIA_ECORRUPT, 0, "it is missing, and so are all up to %lld",
                   (long long)until - 1);
        rc = tell(now, now->model, now->head + 1, &why, err);
        now->head = until - 1;
    }
    while (rc == EXIA_OK && now->head + 1 < until) {
        char *json = NULL;
        exia_error why = {0};
        int64_t seq = now->head + 1;
        exia_job job = exia__work_rest(now->work);
        exia__log_key(key, now->model, seq);
        rc = exia__records_get(&json, NULL, now->library->records, "log", key, &job, err);
        if (rc == EXIA_OK) {
            rc = take(now, seq, json, err);
        } else if (rc == EXIA_ENOTFOUND) {
            exia__forgive(err);
            exia__fail(&why, EXIA_ECORRUPT, 0, "it is missing");
            now->head = seq;
            rc = tell(now, now->model, seq, &why, err);
        }
        exia__release(json);
    }
    return rc;
}

static exia_status begin_model(walk *now, const char *key, size_t size, exia_error *err)
{
    memcpy(now->model, key, size);
    now->model[size] = '\0';
    now->head = 0;
    now->versions = 0;
    now->broken = 0;
    now->out->models++;
    return add_text(&now->model_at, now->out, now->model, err);
}

static exia_status found_record(const char *key, const char *json, int64_t revision, void *payload,
                                exia_error *err)
{
    walk *now = payload;
    int64_t seq = 0;
    size_t size = exia__log_key_read(&seq, key);
    (void)revision;
    exia_status rc = exia__work_step(now->work, "reading logs", now->out->entries, 0, err);
    if (rc < 0)
        return rc;
    if (size == 0 || seq < 1) {
        exia_error why = {0};
        exia__fail(&why, EXIA_ECORRUPT, 0, "the log has a record with the key %.100s", key);
        return tell(now, "", 0, &why, err);
    }
    if (strncmp(now->model, key, size) != 0 || now->model[size] != '\0')
        rc = begin_model(now, key, size, err);
    if (rc == EXIA_OK)
        rc = fill_gap(now, seq, err);
    return rc == EXIA_OK ? take(now, seq, json, err) : rc;
}

exia_status exia__references_read(exia__references *out, exia_library *library,
                                  exia__log_problem *problem, void *payload, exia__work *work,
                                  exia_error *err)
{
    walk now = {
        .out = out, .library = library, .work = work, .problem = problem, .payload = payload};
    exia_job job = exia__work_rest(work);
    *out = (exia__references){0};
    exia_status rc = exia__records_scan(library->records, "log", NULL, NULL, 0, NULL, found_record,
                                        &now, &job, err);
    if (rc == EXIA_OK && out->count > 1)
        qsort_r(out->items, out->count, sizeof *out->items, by_key, out);
    exia__release(now.first);
    if (rc < 0)
        exia__references_free(out);
    return rc;
}

/* ---- names ---------------------------------------------------------------------------------- */

static exia_status take_name(const char *key, const char *json, int64_t revision, void *payload,
                             exia_error *err)
{
    int64_t seq = 0;
    size_t size = exia__log_key_read(&seq, key);
    (void)json;
    (void)revision;
    if (size == 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the log has a record with the key %.100s", key);
    return exia__text_copy_n(payload, key, size, err);
}

/* The model behind `name`, "" for the first; NULL: it is the last one.  One scan of one record: the
 * first one behind all that the model's log can have. */
static exia_status next_model(char **out, exia_library *library, const char *name, exia_error *err)
{
    char after[EXIA__KEY_SIZE] = "";
    *out = NULL;
    if (*name != '\0')
        exia__log_key(after, name, INT64_C(9999999999999999));
    return exia__records_scan(library->records, "log", NULL, *after ? after : NULL, 1, NULL,
                              take_name, out, NULL, err);
}

exia_status exia__each_model(exia_library *library,
                             exia_status (*call)(const char *name, void *payload, exia_error *err),
                             void *payload, exia_error *err)
{
    char *name = NULL;
    exia_status rc = next_model(&name, library, "", err);
    while (rc == EXIA_OK && name != NULL) {
        char *next = NULL;
        rc = call(name, payload, err);
        if (rc == EXIA_OK)
            rc = next_model(&next, library, name, err);
        exia__release(name);
        name = next;
    }
    exia__release(name);
    return rc;
}
