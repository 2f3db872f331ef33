/* Handles on records: keys, JSON and tokens are checked here, once for all drivers. */
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "store/driver.h"
#include "store/store.h"

struct exia__records {
    exia__store store;
};

enum { LONGEST_TOKEN = 128, LONGEST_KIND = 64 };

static const exia__key_rule record_key = {
    "record key",
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_",
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.+#-",
};

exia_status exia__records_open(exia__records **out, const char *url, int mode, const exia_job *job,
                               exia_error *err)
{
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia__records_open: out is NULL");
    *out = NULL;
    exia__records *records = exia__zeroed(1, sizeof *records);
    if (records == NULL)
        return exia__fail_memory(err);
    exia_status rc = exia__store_open(&records->store, url, EXIA__RECORDS, mode, job, err);
    if (rc == EXIA_OK)
        *out = records;
    else
        exia__release(records);
    return rc;
}

exia__records *exia__records_keep(exia__records *records)
{
    if (records != NULL)
        atomic_fetch_add_explicit(&records->store.references, 1, memory_order_relaxed);
    return records;
}

void exia__records_free(exia__records *records)
{
    if (records != NULL && exia__store_drop(&records->store))
        exia__release(records);
}

static const exia_records_ops *operations(const exia__records *records)
{
    return records->store.driver->records;
}

int exia__records_can_put(const exia__records *records)
{
    return records != NULL && operations(records)->put != NULL;
}

int exia__records_can_batch(const exia__records *records)
{
    return records != NULL && operations(records)->batch != NULL;
}

int exia__records_can_keep_rows(const exia__records *records)
{
    return exia__records_can_batch(records) && operations(records)->seek != NULL &&
           operations(records)->since != NULL;
}

static exia_status check_kind(const exia__records *records, const char *kind, exia_error *err)
{
    exia_status rc = exia__store_usable(records ? &records->store : NULL, err);
    if (rc < 0)
        return rc;
    if (kind == NULL || *kind == '\0' || strnlen(kind, LONGEST_KIND + 1) > LONGEST_KIND ||
        kind[strspn(kind, "abcdefghijklmnopqrstuvwxyz")] != '\0')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "\"%.64s\" is no kind of record: write [a-z]+, at most %d characters",
                          kind ? kind : "(NULL)", LONGEST_KIND);
    return EXIA_OK;
}

static exia_status usable(const exia__records *records, const char *kind, const char *key,
                          exia_error *err)
{
    exia_status rc = check_kind(records, kind, err);
    return rc < 0 ? rc : exia__key_check(key, &record_key, err);
}

static exia_status check_expect(int64_t expect, exia_error *err)
{
    if (expect < EXIA_ANY)
        return exia__fail(err, EXIA_EINVAL, 0, "%lld is no expectation: EXIA_ANY is the lowest",
                          (long long)expect);
    return EXIA_OK;
}

/* The text is an object, and the token, if there is one, a word. */
static exia_status check_json(const char *key, const char *json, const char *token, exia_error *err)
{
    json_t *object = NULL;
    if (json == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "record \"%.100s\" has no JSON", key);
    size_t size = token ? strnlen(token, LONGEST_TOKEN + 1) : 1;
    if (size == 0 || size > LONGEST_TOKEN || (token && !exia__text_valid(token, size)))
        return exia__fail(err, EXIA_EINVAL, 0,
                          "the token of record \"%.100s\" has not 1 to %d printable characters",
                          key, LONGEST_TOKEN);
    exia_status rc = exia__json_object(&object, json, strlen(json), "a record", EXIA_EINVAL, err);
    json_decref(object);
    return rc;
}

typedef struct copy {
    char *json;
    int64_t revision;
} copy;

static exia_status keep_copy(const char *key, const char *json, int64_t revision, void *payload,
                             exia_error *err)
{
    copy *kept = payload;
    (void)key;
    exia__release(kept->json);
    kept->revision = revision;
    return exia__text_copy(&kept->json, json, err);
}

exia_status exia__records_get(char **json, int64_t *revision, exia__records *records,
                              const char *kind, const char *key, const exia_job *job,
                              exia_error *err)
{
    copy kept = {0};
    if (json == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia__records_get: json is NULL");
    exia_status rc = usable(records, kind, key, err);
    if (rc == EXIA_OK)
        rc = operations(records)->get(records->store.self, kind, key, keep_copy, &kept, job, err);
    if (rc < 0) {
        exia__release(kept.json);
        kept = (copy){0};
    }
    *json = kept.json;
    if (revision != NULL)
        *revision = kept.revision;
    return rc;
}

exia_status exia__records_put(int64_t *revision, exia__records *records, const char *kind,
                              const char *key, const char *json, int64_t expect, const char *token,
                              const exia_job *job, exia_error *err)
{
    char fresh[EXIA__TOKEN_SIZE];
    int64_t written = 0;
    exia_status rc = usable(records, kind, key, err);
    if (rc == EXIA_OK)
        rc = check_expect(expect, err);
    if (rc == EXIA_OK)
        rc = check_json(key, json, token, err);
    if (rc == EXIA_OK && !exia__records_can_put(records))
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0,
                        "%s: cannot put atomically, so only appending works here",
                        records->store.driver->name);
    if (rc == EXIA_OK && token == NULL)
        rc = exia__token(fresh, err);
    if (rc == EXIA_OK)
        rc = operations(records)->put(&written, records->store.self, kind, key, json, expect,
                                      token ? token : fresh, job, err);
    if (revision != NULL)
        *revision = rc < 0 ? 0 : written;
    return rc;
}

exia_status exia__records_append(exia__records *records, const char *kind, const char *key,
                                 const char *json, const char *token, const exia_job *job,
                                 exia_error *err)
{
    char fresh[EXIA__TOKEN_SIZE];
    exia_status rc = check_kind(records, kind, err);
    if (rc == EXIA_OK && operations(records)->append == NULL)
        return exia__records_put(NULL, records, kind, key, json, EXIA_ABSENT, token, job, err);
    if (rc == EXIA_OK)
        rc = exia__key_check(key, &record_key, err);
    if (rc == EXIA_OK)
        rc = check_json(key, json, token, err);
    if (rc == EXIA_OK && token == NULL)
        rc = exia__token(fresh, err);
    if (rc == EXIA_OK)
        rc = operations(records)->append(records->store.self, kind, key, json,
                                         token ? token : fresh, job, err);
    return rc;
}

exia_status exia__records_remove(exia__records *records, const char *kind, const char *key,
                                 int64_t expect, const exia_job *job, exia_error *err)
{
    exia_status rc = usable(records, kind, key, err);
    if (rc == EXIA_OK)
        rc = check_expect(expect, err);
    return rc < 0 ? rc
                  : operations(records)->remove(records->store.self, kind, key, expect, job, err);
}

exia_status exia__records_batch(exia__records *records, const exia_put *puts, size_t count,
                                const exia_job *job, exia_error *err)
{
    exia_put *ours = NULL;
    char(*tokens)[EXIA__TOKEN_SIZE] = NULL;
    exia_status rc = exia__store_usable(records ? &records->store : NULL, err);
    if (rc == EXIA_OK && puts == NULL && count > 0)
        rc = exia__fail(err, EXIA_EINVAL, 0, "exia__records_batch: puts is NULL");
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        rc = usable(records, puts[i].kind, puts[i].key, err);
        if (rc == EXIA_OK)
            rc = check_expect(puts[i].expect, err);
        if (rc == EXIA_OK)
            rc = check_json(puts[i].key, puts[i].json, puts[i].token, err);
    }
    if (rc < 0 || count == 0)
        goto done;
    if (operations(records)->batch == NULL) {
        for (size_t i = 0; rc == EXIA_OK && i < count; i++)
            rc = exia__records_put(NULL, records, puts[i].kind, puts[i].key, puts[i].json,
                                   puts[i].expect, puts[i].token, job, err);
        goto done;
    }
    ours = exia__array(NULL, count, sizeof *ours);
    tokens = exia__array(NULL, count, sizeof *tokens);
    if (ours == NULL || tokens == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        ours[i] = puts[i];
        if (puts[i].token == NULL) {
            rc = exia__token(tokens[i], err);
            ours[i].token = tokens[i];
        }
    }
    if (rc == EXIA_OK)
        rc = operations(records)->batch(records->store.self, ours, count, job, err);
done:
    exia__release(tokens);
    exia__release(ours);
    return rc;
}

exia_status exia__records_scan(exia__records *records, const char *kind, const char *prefix,
                               const char *after, size_t limit, const char *filter,
                               exia_record_fn *found, void *payload, const exia_job *job,
                               exia_error *err)
{
    exia_status rc = check_kind(records, kind, err);
    if (rc == EXIA_OK)
        rc = exia__prefix_check(prefix, &record_key, err);
    if (rc == EXIA_OK)
        rc = exia__prefix_check(after, &record_key, err);
    if (rc == EXIA_OK && found == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, "a scan of records has no callback");
    if (rc < 0)
        return rc;
    return operations(records)->scan(records->store.self, kind, prefix ? prefix : "", after, limit,
                                     filter, found, payload, job, err);
}

exia_status exia__records_seek(int *ordered, exia__records *records, const exia_seek *seek,
                               exia_record_fn *found, void *payload, const exia_job *job,
                               exia_error *err)
{
    if (ordered == NULL || seek == NULL || (seek->ranges == NULL && seek->range_count > 0))
        return exia__fail(err, EXIA_EINVAL, 0, "exia__records_seek: an argument is NULL");
    *ordered = 0;
    exia_status rc = check_kind(records, seek->kind, err);
    if (rc == EXIA_OK)
        rc = exia__prefix_check(seek->prefix, &record_key, err);
    for (size_t i = 0; rc == EXIA_OK && i < seek->range_count; i++) {
        const exia_range *range = &seek->ranges[i];
        if (range->path == NULL || (range->low == NULL && range->high == NULL))
            rc = exia__fail(err, EXIA_EINVAL, 0, "a range has no path or no bound");
    }
    if (rc == EXIA_OK && found == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, "a search for records has no callback");
    if (rc < 0)
        return rc;
    exia_seek ours = *seek;
    ours.prefix = seek->prefix ? seek->prefix : "";
    rc = EXIA_EUNSUPPORTED;
    if (operations(records)->seek != NULL)
        rc = operations(records)->seek(ordered, records->store.self, &ours, found, payload, job,
                                       err);
    if (rc != EXIA_EUNSUPPORTED)
        return rc;
    exia__forgive(err);
    *ordered = 0;
    return operations(records)->scan(records->store.self, ours.kind, ours.prefix, NULL, 0, NULL,
                                     found, payload, job, err);
}

exia_status exia__records_since(int64_t *head, exia__records *records, const char *kind,
                                int64_t revision, exia_record_fn *found, void *payload,
                                const exia_job *job, exia_error *err)
{
    exia_status rc = check_kind(records, kind, err);
    if (rc == EXIA_OK && (head == NULL || found == NULL))
        rc = exia__fail(err, EXIA_EINVAL, 0, "exia__records_since: an argument is NULL");
    if (rc == EXIA_OK && operations(records)->since == NULL)
        rc = exia__fail(err, EXIA_EUNSUPPORTED, 0, "%s: does not tell what is new",
                        records->store.driver->name);
    if (rc < 0)
        return rc;
    *head = 0;
    return operations(records)->since(head, records->store.self, kind, revision, found, payload,
                                      job, err);
}
