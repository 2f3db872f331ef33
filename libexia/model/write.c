/* Publishing a version.  The order is the promise: every blob is durable before the one log entry that
 * names it, so a crash leaves a blob that nobody names, and never a version without its bytes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/library.h"

enum { BLOCK = 1 << 20 };

/* One call. */
typedef struct writing {
    exia_library *library;
    const char *name, *alias, *token;
    int64_t expect;
    json_t *version; /* the member of the entry: facts, parts, number */
    int64_t number;
    exia__work work;
    exia_job job; /* what the stores get: what is left of the caller's time */
} writing;

/* ---- the bytes of a part -------------------------------------------------------------------- */

/* A part while it is stored.  A file is read twice, once for its name and once for the store; the
 * second reading is hashed too, so that a file which changes meanwhile is never stored as another. */
typedef struct reading {
    writing *call;
    const exia_part *part;
    int fd;
    uint64_t next; /* hashed so far, while the store reads in order */
    exia__hash *hash;
    char sha256[EXIA__HEX_SIZE];
    struct stat info; /* of the file, before */
} reading;

static exia_status changed(const reading *now, exia_error *err)
{
    return exia__fail(err, EXIA_ECONFLICT, 0, "%s changed while it was read", now->part->path);
}

static exia_status finish_hash(char hex[EXIA__HEX_SIZE], reading *now, exia_error *err)
{
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia_status rc = exia__hash_finish(digest, now->hash, err);
    if (rc == EXIA_OK)
        exia__hex(hex, digest, sizeof digest);
    return rc;
}

static exia_status read_file(void *into, uint64_t offset, size_t size, void *payload,
                             exia_error *err)
{
    reading *now = payload;
    char hex[EXIA__HEX_SIZE];
    exia_status rc = exia__read_at(now->fd, into, size, offset, now->part->path, err);
    if (rc == EXIA_ECORRUPT)
        return changed(now, err);
    if (rc < 0)
        return rc;
    if (offset == 0 && now->next != 0) { /* the store starts over */
        now->next = 0;
        rc = finish_hash(hex, now, err);
    }
    if (rc < 0 || offset != now->next)
        return rc;
    rc = exia__hash_update(now->hash, into, size, err);
    now->next += size;
    if (rc == EXIA_OK && now->next == (uint64_t)now->info.st_size) {
        rc = finish_hash(hex, now, err);
        now->next = 0;
        if (rc == EXIA_OK && strcmp(hex, now->sha256) != 0)
            rc = changed(now, err);
    }
    return rc;
}

static exia_status open_file(reading *now, exia_error *err)
{
    const char *path = now->part->path;
    now->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not block */
    if (now->fd < 0 || fstat(now->fd, &now->info) != 0)
        return exia__fail_errno(err, errno, "cannot read", path);
    if (!S_ISREG(now->info.st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", path);
    return EXIA_OK;
}

static exia_status same_file(const reading *now, exia_error *err)
{
    struct stat info;
    if (fstat(now->fd, &info) != 0)
        return exia__fail_errno(err, errno, "cannot read", now->part->path);
    int same = info.st_size == now->info.st_size &&
               info.st_mtim.tv_sec == now->info.st_mtim.tv_sec &&
               info.st_mtim.tv_nsec == now->info.st_mtim.tv_nsec;
    return same ? EXIA_OK : changed(now, err);
}

static exia_status hash_file(reading *now, exia_error *err)
{
    uint64_t total = (uint64_t)now->info.st_size;
    char *block = exia__resize(NULL, BLOCK);
    exia_status rc = block ? exia__hash_open(&now->hash, err) : exia__fail_memory(err);
    for (uint64_t at = 0; at < total && rc == EXIA_OK;) {
        size_t size = total - at < BLOCK ? (size_t)(total - at) : BLOCK;
        rc = exia__work_step(&now->call->work, "hash", at, total, err);
        if (rc == EXIA_OK)
            rc = exia__read_at(now->fd, block, size, at, now->part->path, err);
        if (rc == EXIA_ECORRUPT)
            rc = changed(now, err);
        if (rc == EXIA_OK)
            rc = exia__hash_update(now->hash, block, size, err);
        at += size;
    }
    if (rc == EXIA_OK)
        rc = finish_hash(now->sha256, now, err);
    exia__release(block);
    return rc;
}

/* The stores count their own time: give them what is left of the caller's. */
static const exia_job *rest(writing *now)
{
    now->job = now->work.job;
    if (now->work.end_ms != 0) {
        int64_t left = now->work.end_ms - exia__clock_ms();
        now->job.total_ms = left > 0 ? left : 1;
    }
    return &now->job;
}

/* The part's member of the log entry: its digest and size, and where it is kept. */
static exia_status describe(json_t **out, const exia_part *part, const char *sha256, uint64_t size,
                            const char *where, const char *kept, exia_error *err)
{
    *out = json_pack("{s:s, s:s, s:I, s:s, s:s}", "name", part->name, "format", part->format,
                     "size", (json_int_t)size, "sha256", sha256, where, kept);
    return *out ? EXIA_OK : exia__fail_memory(err);
}

static exia_status store_file(json_t **out, writing *call, const exia_part *part, exia_error *err)
{
    reading now = {.call = call, .part = part, .fd = -1};
    char *key = NULL;
    exia_status rc = open_file(&now, err);
    if (rc == EXIA_OK)
        rc = hash_file(&now, err);
    exia_source source = {read_file, (uint64_t)now.info.st_size, now.sha256, &now};
    if (rc == EXIA_OK)
        rc = exia__blob_store(&key, call->library, &source, rest(call), err);
    if (rc == EXIA_OK)
        rc = same_file(&now, err);
    if (rc == EXIA_OK)
        rc = describe(out, part, now.sha256, source.size, "key", key, err);
    if (now.fd >= 0)
        close(now.fd);
    exia__hash_free(now.hash);
    exia__release(key);
    return rc;
}

static exia_status store_bytes(char **key, writing *call, const void *data, size_t size,
                               const char *sha256, exia_error *err)
{
    exia_source source = exia__source_memory(data, size);
    source.sha256 = sha256;
    return exia__blob_store(key, call->library, &source, rest(call), err);
}

static exia_status store_memory(json_t **out, writing *call, const exia_part *part, int within,
                                exia_error *err)
{
    char sha256[EXIA__HEX_SIZE], *kept = NULL;
    exia_status rc = exia__hash_hex(sha256, part->data, part->size, err);
    if (rc == EXIA_OK)
        rc = within ? exia__base64_encode(&kept, part->data, part->size, err)
                    : store_bytes(&kept, call, part->data, part->size, sha256, err);
    if (rc == EXIA_OK)
        rc = describe(out, part, sha256, part->size, within ? "inline" : "key", kept, err);
    exia__release(kept);
    return rc;
}

static exia_status store_parts(writing *now, const exia_part *parts, size_t count, exia_error *err)
{
    size_t within = 0;
    json_t *list = json_array();
    exia_status rc = exia__json_set(now->version, "parts", list, err);
    for (size_t i = 0; i < count && rc == EXIA_OK; i++) {
        json_t *part = NULL;
        rc = exia__work_step(&now->work, "write", i, count, err);
        if (rc < 0)
            break;
        int fits = parts[i].path == NULL && parts[i].size <= EXIA__INLINE_LIMIT - within;
        rc = parts[i].path ? store_file(&part, now, &parts[i], err)
                           : store_memory(&part, now, &parts[i], fits, err);
        if (rc < 0)
            return exia__prefix(err, rc, "part %s", parts[i].name);
        if (fits)
            within += parts[i].size;
        rc = exia__json_append(list, part, err);
    }
    return rc;
}

/* The environment is kept once, by its digest: versions written in one session share it. */
static exia_status store_environment(writing *now, exia_error *err)
{
    json_t *environment = json_object_get(now->version, "environment");
    char sha256[EXIA__HEX_SIZE], *text = NULL, *key = NULL;
    if (json_is_null(environment))
        return EXIA_OK;
    exia_status rc = exia__json_canonical(&text, environment, err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(sha256, text, strlen(text), err);
    if (rc == EXIA_OK)
        rc = store_bytes(&key, now, text, strlen(text), sha256, err);
    if (rc == EXIA_OK)
        rc = exia__json_set(now->version, "environment", json_string(sha256), err);
    exia__release(text);
    exia__release(key);
    return rc;
}

/* ---- checks --------------------------------------------------------------------------------- */

static exia_status check_part(const exia_part *part, exia_error *err)
{
    exia_status rc = exia__name_check(part->name, "part name", err);
    if (rc < 0)
        return rc;
    if (strcmp(part->name, "version.json") == 0)
        return exia__fail(err, EXIA_EINVAL, 0, "a part cannot be called version.json");
    if (part->format == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "part %s: the format is NULL", part->name);
    rc = exia__name_check(part->format, "format", err);
    if (rc < 0)
        return exia__prefix(err, rc, "part %s", part->name);
    if (part->path == NULL && part->data == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "part %s: give a path, or data (also for no bytes)",
                          part->name);
    if (part->path != NULL && part->data != NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "part %s: give a path or data, not both",
                          part->name);
    return EXIA_OK;
}

static exia_status check_part_list(const exia_part *parts, size_t count, exia_error *err)
{
    if (parts == NULL || count == 0)
        return exia__fail(err, EXIA_EINVAL, 0, "a version needs at least one part");
    if (count > EXIA__PARTS_LIMIT)
        return exia__fail(err, EXIA_EINVAL, 0, "%zu parts are more than %d", count,
                          EXIA__PARTS_LIMIT);
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < count && rc == EXIA_OK; i++) {
        rc = check_part(&parts[i], err);
        for (size_t k = 0; k < i && rc == EXIA_OK; k++) {
            if (strcmp(parts[i].name, parts[k].name) == 0)
                rc = exia__fail(err, EXIA_EINVAL, 0, "two parts are called %s", parts[i].name);
        }
    }
    return rc;
}

static exia_status check_options(const exia_library *library, const exia_write_options *options,
                                 exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (options->alias != NULL)
        rc = exia__alias_check(options->alias, err);
    if (rc == EXIA_OK && options->expect < EXIA_ANY)
        rc = exia__fail(err, EXIA_EINVAL, 0, "%lld is no version to expect",
                        (long long)options->expect);
    if (rc == EXIA_OK)
        rc = exia__message_check(options->message, err);
    if (rc == EXIA_OK && options->token != NULL)
        rc = exia__name_check(options->token, "token", err);
    if (rc == EXIA_OK && library->read_only)
        rc = exia__fail(err, EXIA_EDENIED, 0, "the library was opened read-only");
    return rc;
}

/* ---- publish -------------------------------------------------------------------------------- */

static exia_status build_publish(json_t *entry, int64_t *result, const exia__fold *fold,
                                 void *payload, exia_error *err)
{
    writing *now = payload;
    *result = (int64_t)fold->version_count + 1;
    exia_status rc = exia__json_set(now->version, "number", json_integer(*result), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(entry, "version", json_incref(now->version), err);
    if (rc == EXIA_OK && now->alias != NULL)
        rc = exia__alias_add_move(entry, fold, now->alias, *result, now->expect, err);
    return rc;
}

/* Before a gigabyte is written: is the call done already, or bound to fail? */
static exia_status look_ahead(int64_t *number, int *known, writing *now, exia_error *err)
{
    exia__fold *fold = NULL;
    json_t *entry = json_object();
    *known = 0;
    exia_status rc = entry ? exia__library_lock(now->library, err) : exia__fail_memory(err);
    if (rc == EXIA_OK) {
        rc = exia__library_refresh(&fold, now->library, now->name, err);
        const exia__done *done = rc == EXIA_OK ? exia__fold_done(fold, now->token) : NULL;
        if (done != NULL && strcmp(done->verb, "publish") == 0) {
            *number = done->result;
            *known = 1;
        } else if (rc == EXIA_OK && now->alias != NULL) {
            rc = exia__alias_add_move(entry, fold, now->alias, 1, now->expect, err);
        }
        exia__library_unlock(now->library);
    }
    json_decref(entry);
    return rc;
}

exia_status exia_model_write(int64_t *version, exia_library *library, const char *name,
                             const exia_part *parts, size_t part_count,
                             const exia_write_options *options, const exia_job *job,
                             exia_error *err)
{
    exia_write_options ours;
    char token[EXIA__TOKEN_SIZE];
    writing now = {.library = library, .name = name};
    int64_t number = 0;
    int known = 0;
    if (version != NULL)
        *version = 0;
    if (version == NULL || library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_model_write: an argument is NULL");
    exia_status rc = exia__options(&ours, sizeof ours, options, err);
    if (rc == EXIA_OK)
        rc = exia__work_begin(&now.work, job, err);
    if (rc == EXIA_OK)
        rc = exia__name_check(name, "model name", err);
    if (rc == EXIA_OK)
        rc = check_part_list(parts, part_count, err);
    if (rc == EXIA_OK)
        rc = check_options(library, &ours, err);
    if (rc == EXIA_OK && ours.token == NULL)
        rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = exia__facts_read(&now.version, ours.facts, err);
    if (rc < 0)
        goto done;
    now.alias = ours.alias;
    now.expect = ours.expect;
    now.token = ours.token ? ours.token : token;
    rc = look_ahead(&number, &known, &now, err);
    if (rc == EXIA_OK && !known)
        rc = store_parts(&now, parts, part_count, err);
    if (rc == EXIA_OK && !known)
        rc = store_environment(&now, err);
    if (rc == EXIA_OK && !known) {
        exia__intent intent = {"publish", now.token, ours.message, build_publish, &now, rest(&now)};
        rc = exia__library_commit(&number, library, name, &intent, err);
    }
    if (rc == EXIA_OK)
        *version = number;
done:
    json_decref(now.version);
    return rc;
}
