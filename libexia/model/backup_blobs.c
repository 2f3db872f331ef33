/* The blobs of a backup: those of the versions that live where the logs were left, by content.  Each is
 * hashed on its way, so that what is lost or altered is found now and not at the restore. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/backup.h"

/* One blob on its way.  Its member begins with the first byte, so that one that is gone leaves none. */
typedef struct copying {
    exia__backup *now;
    const char *member;
    uint64_t size, left;
    int begun;
    exia__hash *hash;
} copying;

static exia_status begin_blob(copying *one, exia_error *err)
{
    one->begun = 1;
    return exia__bundle_begin(&one->now->bundle, one->member, one->size, err);
}

static exia_status take_bytes(const void *data, size_t size, void *payload, exia_error *err)
{
    copying *one = payload;
    exia_status rc = exia__work_step(&one->now->work, "backing up blobs", one->now->done, 0, err);
    if (rc == EXIA_OK && size > one->left)
        rc = exia__fail(err, EXIA_ECORRUPT, 0, "it has more than %llu bytes",
                        (unsigned long long)one->size);
    if (rc == EXIA_OK && !one->begun)
        rc = begin_blob(one, err);
    if (rc == EXIA_OK)
        rc = exia__hash_update(one->hash, data, size, err);
    if (rc == EXIA_OK)
        rc = exia__bundle_write(&one->now->bundle, data, size, err);
    one->left -= size;
    one->now->done += size;
    return rc;
}

static exia_status end_blob(copying *one, const char *hex, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    char found[EXIA__HEX_SIZE];
    if (one->left > 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it has %llu of %llu bytes",
                          (unsigned long long)(one->size - one->left),
                          (unsigned long long)one->size);
    exia_status rc = one->begun ? EXIA_OK : begin_blob(one, err);
    if (rc == EXIA_OK)
        rc = exia__hash_finish(digest, one->hash, err);
    if (rc == EXIA_OK) {
        exia__hex(found, digest, sizeof digest);
        if (strcmp(found, hex) != 0)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "its SHA-256 is %s", found);
    }
    return rc == EXIA_OK ? exia__bundle_end(&one->now->bundle, err) : rc;
}

static exia_status copy_blob(exia__backup *now, const char *key, const char *hex, uint64_t size,
                             exia_error *err)
{
    char member[EXIA__MEMBER_SIZE];
    int there = 0;
    copying one = {.now = now, .member = member, .size = size, .left = size};
    exia__bundle_blob_path(member, hex);
    exia_status rc = exia__bundle_has(&there, &now->bundle, hex, size, err);
    if (rc < 0 || there)
        return rc;
    exia_job job = exia__work_rest(&now->work);
    rc = exia__hash_open(&one.hash, err);
    if (rc == EXIA_OK) /* one byte more, so that a longer blob is seen */
        rc = exia__blobs_get(now->library->blobs, key, 0, size + 1, take_bytes, &one, &job, err);
    if (rc == EXIA_OK)
        rc = end_blob(&one, hex, err);
    if (rc < 0 && one.begun)
        exia__bundle_drop(&now->bundle);
    exia__hash_free(one.hash);
    return rc == EXIA_ECORRUPT ? exia__prefix(err, rc, "the blob %s", key) : rc;
}

static exia_status copy_environment(exia__backup *now, const char *hex, exia_error *err)
{
    char member[EXIA__MEMBER_SIZE], *text = NULL;
    int there = json_object_get(now->environments, hex) != NULL;
    if (there)
        return EXIA_OK;
    exia_status rc = exia__blob_load(&text, now->library->blobs, hex, err);
    if (rc == EXIA_OK)
        rc = exia__bundle_has(&there, &now->bundle, hex, strlen(text), err);
    exia__bundle_blob_path(member, hex);
    if (rc == EXIA_OK && !there)
        rc = exia__backup_member(now, member, text, strlen(text), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(now->environments, hex, json_true(), err);
    exia__release(text);
    return rc;
}

static exia_status copy_version(exia__backup *now, int64_t number, const json_t *version,
                                exia_error *err)
{
    size_t i = 0;
    const json_t *part = NULL;
    const char *environment = exia__json_string(version, "environment");
    exia_status rc = exia__parts_check(json_object_get(version, "parts"), 1, err);
    if (rc == EXIA_OK)
        rc = exia__facts_check(version, err);
    json_array_foreach(json_object_get(version, "parts"), i, part)
    {
        char *place = NULL;
        const char *key = exia__json_string(part, "key");
        if (rc < 0 || key == NULL)
            continue;
        rc = exia__text_format(&place, err, "%lld/%s", (long long)number,
                               exia__json_string(part, "name"));
        const char *repaired = rc == EXIA_OK ? exia__json_string(now->at->keys, place) : NULL;
        if (rc == EXIA_OK)
            rc = copy_blob(now, repaired ? repaired : key, exia__json_string(part, "sha256"),
                           (uint64_t)json_integer_value(json_object_get(part, "size")), err);
        exia__release(place);
    }
    if (rc == EXIA_OK && environment != NULL)
        rc = copy_environment(now, environment, err);
    return rc;
}

static exia_status found_version(const char *key, const char *json, int64_t revision, void *payload,
                                 exia_error *err)
{
    exia__backup *now = payload;
    json_t *entry = NULL;
    int64_t seq = 0;
    (void)revision;
    if (exia__log_key_read(&seq, key) == 0 || seq > now->at->head)
        return EXIA_DONE;
    exia_status rc =
        exia__json_object(&entry, json, strlen(json), "a log entry", EXIA_ECORRUPT, err);
    const json_t *version = json_object_get(entry, "version");
    int64_t number = json_integer_value(json_object_get(version, "number"));
    const exia__lived *alive = exia__backup_version(now->at, number);
    if (rc == EXIA_OK && alive != NULL && alive->seq == seq)
        rc = copy_version(now, number, version, err);
    if (rc < 0)
        rc = exia__prefix(err, rc, "%s@%lld", now->at->name, (long long)number);
    json_decref(entry);
    return rc;
}

/* Has anything been added to a log meanwhile? */
static exia_status has_grown(int *grown, exia__backup *now, exia_error *err)
{
    char *json = NULL;
    exia_status rc = exia__backup_entry(&json, now, now->at->name, now->at->head + 1, err);
    exia__release(json);
    *grown = rc == EXIA_OK;
    return rc == EXIA_ENOTFOUND ? exia__forgive(err) : rc;
}

exia_status exia__backup_blobs(exia__backup *now, exia_error *err)
{
    char prefix[EXIA__KEY_SIZE], after[EXIA__KEY_SIZE];
    exia_error why = {0};
    int grown = 0;
    exia_job job = exia__work_rest(&now->work);
    if (now->at->version_count == 0)
        return EXIA_OK;
    exia__log_key(after, now->at->name, now->at->known);
    snprintf(prefix, sizeof prefix, "%.128s/log/", now->at->name);
    exia_status rc = exia__records_scan(now->library->records, "log", prefix, after, 0, NULL,
                                        found_version, now, &job, &why);
    if (rc == EXIA_ENOTFOUND || rc == EXIA_ECORRUPT) {
        exia_status asked = has_grown(&grown, now, err);
        if (asked < 0)
            return asked;
    }
    if (grown)
        return EXIA_DONE;
    if (rc == EXIA_ENOTFOUND)
        return exia__fail(err, EXIA_ECORRUPT, why.native, "%s", why.text);
    return rc < 0 ? exia__fail(err, rc, why.native, "%s", why.text) : EXIA_OK;
}
