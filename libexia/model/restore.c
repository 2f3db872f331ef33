/* Bringing a backup into a library.  It may come from anybody, so nothing in it is believed: entries
 * must fit, bytes must have the digests that the entries name, and the list must name exactly what was
 * read.  First all logs are compared with those that are here; then the blobs that are missing are
 * stored, which nobody sees; then the list is checked; and only then the entries are written. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/rows.h"
#include "model/bundle.h"
#include "model/ledger.h"

enum { BLOCK = 1 << 18 };

/* One model of the backup. */
typedef struct incoming {
    char *name;
    int selected;
    int64_t head;                     /* how far its log goes */
    int64_t known;                    /* how much of that is here */
    int64_t versions, versions_known; /* the same in versions */
    json_t *repaired;                 /* NUMBER -> true: older ones whose parts were stored anew */
    json_t *logs;                     /* its members, as the list must have them */
    size_t written;                   /* members of the second reading */
} incoming;

typedef struct restore {
    exia_library *library;
    exia_backup_options options;
    exia__work work;
    char library_id[EXIA__TOKEN_SIZE]; /* whose backup it is */
    incoming *models;
    size_t count, capacity;
    incoming *at;
    int same;             /* so far the log of `at` is what is here */
    exia__ledger *ledger; /* of it */
    json_t *wanted;       /* HEX -> size: blobs of versions that are new here */
    json_t *environments; /* HEX -> true: wanted, and of any size up to that */
    json_t *keys;         /* HEX -> where it lies here */
} restore;

static exia_status fail_entry(const restore *now, int64_t seq, exia_status rc, exia_error *err)
{
    return exia__prefix(err, rc, "entry %lld of the log of %s", (long long)seq, now->at->name);
}

/* ---- lines ---------------------------------------------------------------------------------- */

typedef exia_status line_fn(restore *now, int64_t seq, const char *line, size_t size,
                            exia_error *err);

static exia_status each_line(restore *now, int64_t first, const char *text, size_t size,
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

/* ---- what an entry holds -------------------------------------------------------------------- */

/* Where every writer puts a part: under its digest, or that and a number. */
static int key_fits(const char *key, const char *sha256)
{
    char expected[EXIA__HEX_SIZE + sizeof "sha256/AB/"];
    int size = snprintf(expected, sizeof expected, "sha256/%.2s/%.64s", sha256, sha256);
    if (strncmp(key, expected, (size_t)size) != 0)
        return 0;
    const char *tail = key + size;
    return *tail == '\0' ||
           (tail[0] == '.' && tail[1] != '0' && strlen(tail) >= 2 && strlen(tail) <= 3 &&
            strspn(tail + 1, "0123456789") == strlen(tail + 1));
}

static exia_status check_inline(const json_t *part, const char *text, exia_error *err)
{
    char bytes[EXIA__INLINE_LIMIT + 2], sha256[EXIA__HEX_SIZE];
    size_t size = (size_t)json_integer_value(json_object_get(part, "size"));
    exia_status rc = exia__base64_decode(bytes, size, text, err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(sha256, bytes, size, err);
    if (rc == EXIA_OK && strcmp(sha256, exia__json_string(part, "sha256")) != 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "its SHA-256 is %s", sha256);
    return rc;
}

/* The ledger has checked the rest. */
static exia_status check_published(const json_t *version, exia_error *err)
{
    size_t i = 0, within = 0;
    const json_t *part = NULL;
    exia_status rc = EXIA_OK;
    json_array_foreach(json_object_get(version, "parts"), i, part)
    {
        const char *text = exia__json_string(part, "inline"), *key = exia__json_string(part, "key");
        if (rc == EXIA_OK && text != NULL) {
            within += (size_t)json_integer_value(json_object_get(part, "size"));
            rc = within > EXIA__INLINE_LIMIT
                     ? exia__fail(err, EXIA_ECORRUPT, 0, "more is inline than may be")
                     : check_inline(part, text, err);
        } else if (rc == EXIA_OK && !key_fits(key, exia__json_string(part, "sha256"))) {
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "its key is not that of its digest");
        }
        if (rc < 0)
            return exia__prefix(err, rc, "part %s", exia__json_string(part, "name"));
    }
    return rc;
}

static int repair_fits(const json_t *version)
{
    size_t i = 0;
    const json_t *part = NULL;
    json_array_foreach(json_object_get(version, "parts"), i, part)
    {
        const char *key = exia__json_string(part, "key");
        if (key == NULL || strlen(key) < sizeof "sha256/AB/" - 1 + 64 ||
            !key_fits(key, key + sizeof "sha256/AB/" - 1))
            return 0;
    }
    return 1;
}

static exia_status check_entry(restore *now, const json_t *entry, exia_error *err)
{
    const json_t *version = json_object_get(entry, "version");
    char number[24];
    const char *verb = exia__json_string(entry, "do");
    if (strcmp(verb, "publish") == 0)
        return check_published(version, err);
    if (strcmp(verb, "repair") != 0)
        return EXIA_OK;
    if (!repair_fits(version))
        return exia__fail(err, EXIA_ECORRUPT, 0, "its key is not that of a digest");
    snprintf(number, sizeof number, "%lld",
             (long long)json_integer_value(json_object_get(version, "number")));
    return now->same ? EXIA_OK : exia__json_set(now->at->repaired, number, json_true(), err);
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
    json_t *ours = NULL, *theirs = json_deep_copy(entry);
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
static exia_status compare(restore *now, int64_t seq, const json_t *entry, exia_error *err)
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
        now->at->known = seq;
    exia__release(here);
    return rc;
}

static exia_status check_line(restore *now, int64_t seq, const char *line, size_t size,
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
        rc = check_entry(now, entry, err);
    if (rc == EXIA_OK && now->same)
        now->at->versions_known = exia__ledger_highest(now->ledger);
    json_decref(entry);
    return rc;
}

/* ---- the first reading ---------------------------------------------------------------------- */

static exia_status want(restore *now, const char *hex, int64_t size, exia_error *err)
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

static exia_status want_version(restore *now, int64_t number, exia_error *err)
{
    const char *environment = NULL;
    const json_t *part = NULL, *parts = exia__ledger_version(&environment, now->ledger, number);
    size_t i = 0;
    exia_status rc = EXIA_OK;
    json_array_foreach((json_t *)(uintptr_t)parts, i, part)
    {
        if (rc == EXIA_OK)
            rc = want(now, exia__json_string(part, "sha256"),
                      json_integer_value(json_object_get(part, "size")), err);
    }
    return rc == EXIA_OK && environment != NULL ? want(now, environment, -1, err) : rc;
}

static exia_status end_model(restore *now, exia_error *err)
{
    exia_status rc = EXIA_OK;
    const char *number = NULL;
    json_t *value = NULL;
    if (now->at == NULL)
        return EXIA_OK;
    if (now->at->selected) {
        now->at->versions = exia__ledger_highest(now->ledger);
        for (int64_t n = now->at->versions_known + 1; n <= now->at->versions && rc == EXIA_OK; n++)
            rc = want_version(now, n, err);
        json_object_foreach(now->at->repaired, number, value)
        {
            long long n = 0;
            if (rc == EXIA_OK && sscanf(number, "%lld", &n) == 1)
                rc = want_version(now, n, err);
        }
    }
    exia__ledger_free(now->ledger);
    now->ledger = NULL;
    now->at = NULL;
    return rc;
}

static incoming *find_model(const restore *now, const char *name)
{
    for (size_t i = 0; i < now->count; i++) {
        if (strcmp(now->models[i].name, name) == 0)
            return &now->models[i];
    }
    return NULL;
}

static int is_selected(const restore *now, const char *name)
{
    int found = now->options.models == NULL;
    for (size_t i = 0; now->options.models != NULL && i < now->options.model_count; i++)
        found |= strcmp(now->options.models[i], name) == 0;
    return found;
}

static exia_status begin_model(restore *now, const char *name, exia_error *err)
{
    exia_status rc = end_model(now, err);
    if (rc == EXIA_OK && find_model(now, name) != NULL)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "%s comes twice", name);
    if (rc == EXIA_OK)
        rc = exia__grow(&now->models, &now->capacity, now->count + 1, sizeof *now->models, err);
    if (rc < 0)
        return rc;
    incoming *made = &now->models[now->count];
    *made = (incoming){
        .selected = is_selected(now, name), .repaired = json_object(), .logs = json_array()};
    rc = exia__text_copy(&made->name, name, err);
    now->count++;
    if (rc == EXIA_OK && (made->repaired == NULL || made->logs == NULL))
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__ledger_open(&now->ledger, err);
    now->at = made;
    now->same = 1;
    return rc;
}

static exia_status describe(json_t **out, int64_t first, int64_t last, const char *text,
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
    restore *now = payload;
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
        rc = describe(&log, first, now->at->head, text, size, err);
    return rc == EXIA_OK ? exia__json_append(now->at->logs, log, err) : rc;
}

static exia_status end_logs(void *payload, exia_error *err)
{
    restore *now = payload;
    exia_status rc = end_model(now, err);
    for (size_t i = 0; now->options.models != NULL && i < now->options.model_count && rc == EXIA_OK;
         i++) {
        const char *name = now->options.models[i];
        if (name == NULL || find_model(now, name) == NULL)
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

static exia_status take_blob(const char *hex, int fd, uint64_t size, void *payload, exia_error *err)
{
    restore *now = payload;
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
    restore *now = payload;
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

static exia_status check_complete(const restore *now, exia_error *err)
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

/* ---- the second reading --------------------------------------------------------------------- */

/* Name the keys under which the blobs lie here; `*text` NULL: they are those of the entry. */
static exia_status place_entry(char **text, const restore *now, json_t *entry, exia_error *err)
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

static exia_status add_line(adding *out, const restore *now, int64_t seq, const char *line,
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

static exia_status write_lines(restore *now, int64_t first, const char *text, size_t size,
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

static exia_status write_log(const char *name, int64_t first, const char *text, size_t size,
                             void *payload, exia_error *err)
{
    restore *now = payload;
    json_t *log = NULL;
    now->at = find_model(now, name);
    const json_t *seen = now->at ? json_array_get(now->at->logs, now->at->written++) : NULL;
    exia_status rc =
        describe(&log, first, json_integer_value(json_object_get(seen, "last")), text, size, err);
    if (rc == EXIA_OK && !json_equal(seen, log)) /* what was checked is what is written */
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "the log of %s changed while it was read", name);
    json_decref(log);
    if (rc < 0 || !now->at->selected || now->at->known == now->at->head)
        return rc;
    rc = write_lines(now, first, text, size, err);
    return rc < 0 ? exia__prefix(err, rc, "%s, from entry %lld on", name, (long long)first) : rc;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static exia_status run(restore *now, const char *path, exia_error *err)
{
    const exia__unbundling check = {check_log, end_logs, take_blob, check_list, now->wanted, now};
    const exia__unbundling write = {.log = write_log, .payload = now};
    exia_status rc = exia__unbundle(path, &check, 0, &now->work, err);
    if (rc == EXIA_OK)
        rc = check_complete(now, err);
    for (size_t i = 0; i < now->count && rc == EXIA_OK; i++) {
        const incoming *one = &now->models[i];
        if (one->selected && one->versions > one->versions_known)
            rc = exia__origin_write(now->library, one->name, now->library_id, one->versions, err);
    }
    if (rc == EXIA_OK)
        rc = exia__library_distrust(now->library, err);
    if (rc == EXIA_OK)
        rc = exia__unbundle(path, &write, 1, &now->work, err);
    if (rc == EXIA_OK)
        rc = exia__library_lock(now->library, err);
    if (rc < 0)
        return rc;
    rc = exia__library_complete(now->library, err);
    exia__library_unlock(now->library);
    return rc;
}

static exia_status report(exia_rows **out, const restore *now, exia_error *err)
{
    exia_rows *rows = NULL;
    if (out == NULL)
        return EXIA_OK;
    exia_status rc = exia__rows_open(&rows, err);
    for (size_t i = 0; i < now->count && rc == EXIA_OK; i++) {
        const incoming *one = &now->models[i];
        if (!one->selected)
            continue;
        json_t *row = json_pack("{s:s, s:I, s:I}", "name", one->name, "entries",
                                (json_int_t)one->head, "new", (json_int_t)(one->head - one->known));
        rc = row ? exia__rows_add(rows, row, err) : exia__fail_memory(err);
        json_decref(row);
    }
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    return rc;
}

exia_status exia_library_restore(exia_rows **out, exia_library *library, const char *path,
                                 const exia_backup_options *options, const exia_job *job,
                                 exia_error *err)
{
    restore now = {.library = library};
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
         (now.environments = json_object()) == NULL))
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = run(&now, path, err);
    if (rc == EXIA_OK)
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
    return rc;
}
