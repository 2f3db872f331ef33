/* Publishing a version.  The order is the promise: every blob is durable before the one log entry that
 * names it, so a crash leaves a blob that nobody names, and never a version without its bytes. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/library.h"

/* One call. */
typedef struct writing {
    exia_library *library;
    const char *name, *alias, *token, *message;
    int64_t expect;
    int given;                           /* the token is the caller's */
    int there;                           /* an older version has it all: nothing was written */
    json_t *version;                     /* the member of the entry: facts, parts, number */
    int64_t number;                      /* what it became */
    json_t *stored;                      /* its parts, as the log has them */
    json_t *before;                      /* those of the newest version there was; NULL: none */
    char *environment, *environment_key; /* its text and its blob; NULL: none */
    exia__work work;
} writing;

/* ---- what is stored before the entry -------------------------------------------------------- */

/* Where a part of the newest version lies that has this name: a model is often written again as it is. */
static const char *find_before(const writing *now, const char *name)
{
    size_t i = 0;
    const json_t *part = NULL;
    json_array_foreach(now->before, i, part)
    {
        if (strcmp(exia__json_string(part, "name"), name) == 0)
            return exia__json_string(part, "key");
    }
    return NULL;
}

/* `library` NULL: only describe them. */
static exia_status store_parts(writing *now, exia_library *library, const exia_part *parts,
                               size_t count, exia_error *err)
{
    size_t within = 0;
    json_t *list = json_array();
    exia_status rc = exia__json_set(now->version, "parts", list, err);
    for (size_t i = 0; i < count && rc == EXIA_OK; i++) {
        json_t *part = NULL;
        rc = exia__work_step(&now->work, "writing", i, count, err);
        if (rc < 0)
            break;
        uint64_t size = exia__part_size(&parts[i]);
        int fits = parts[i].path == NULL && size <= EXIA__INLINE_LIMIT - within;
        rc = exia__part_store(&part, library, &parts[i], fits, find_before(now, parts[i].name),
                              &now->work, err);
        if (rc == EXIA_OK)
            rc = exia__json_append(list, part, err);
        within += fits ? (size_t)size : 0;
    }
    return rc;
}

static exia_status put_environment(writing *now, const char *sha256, exia_error *err)
{
    exia__release(now->environment_key);
    now->environment_key = NULL;
    return exia__bytes_store(&now->environment_key, now->library, now->environment,
                             strlen(now->environment), sha256, &now->work, err);
}

/* The environment is kept once, by its digest: versions written in one session share it. */
static exia_status store_environment(writing *now, exia_error *err)
{
    json_t *environment = json_object_get(now->version, "environment");
    char sha256[EXIA__HEX_SIZE];
    if (json_is_null(environment))
        return EXIA_OK;
    exia_status rc = exia__json_canonical(&now->environment, environment, err);
    if (rc == EXIA_OK)
        rc = exia__hash_hex(sha256, now->environment, strlen(now->environment), err);
    if (rc == EXIA_OK)
        rc = put_environment(now, sha256, err);
    if (rc == EXIA_OK)
        rc = exia__json_set(now->version, "environment", json_string(sha256), err);
    return rc;
}

/* What a collector took after the look at it.  The log names the digest, so no entry is needed. */
static exia_status settle_environment(writing *now, exia_error *err)
{
    int lost = 0;
    if (now->environment == NULL)
        return EXIA_OK;
    exia_status rc = exia__blob_lost(&lost, now->library, now->environment_key, err);
    return rc == EXIA_OK && lost
               ? put_environment(now, exia__json_string(now->version, "environment"), err)
               : rc;
}

static exia_status settle(writing *now, const exia_part *parts, size_t count, exia_error *err)
{
    exia__published published = {now->library, now->name,   now->number, parts,
                                 count,        now->stored, &now->work};
    exia_status rc = exia__published_settle(&published, err);
    now->stored = published.stored;
    if (rc == EXIA_OK)
        rc = settle_environment(now, err);
    return rc < 0 ? exia__prefix(err, rc, "version %lld is written, but a collector marked it",
                                 (long long)now->number)
                  : rc;
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
    int given = (part->path != NULL) + (part->data != NULL) + (part->pieces != NULL);
    if (given == 0)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "part %s: give a path, data (also for no bytes) or pieces", part->name);
    if (given > 1)
        return exia__fail(err, EXIA_EINVAL, 0, "part %s: give a path, data or pieces, not both",
                          part->name);
    for (size_t i = 0; part->pieces != NULL && i < part->piece_count; i++) {
        if (part->pieces[i].data == NULL && part->pieces[i].size > 0)
            return exia__fail(err, EXIA_EINVAL, 0, "part %s: piece %zu is NULL", part->name, i);
    }
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
    if (rc == EXIA_OK && library->read_only && !options->dry_run)
        rc = exia__fail(err, EXIA_EDENIED, 0, "the library was opened read-only");
    return rc;
}

/* ---- what came before ----------------------------------------------------------------------- */

typedef struct looking {
    const json_t *parts;
    exia_library *library;
    exia__fold *fold;
    int64_t number; /* 0: none yet */
} looking;

static int same_parts(const json_t *a, const json_t *b)
{
    size_t count = json_array_size(a), same = 0;
    if (json_array_size(b) != count)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(a, i);
        for (size_t k = 0; k < count; k++) {
            const json_t *other = json_array_get(b, k);
            same +=
                strcmp(exia__json_string(one, "name"), exia__json_string(other, "name")) == 0 &&
                strcmp(exia__json_string(one, "sha256"), exia__json_string(other, "sha256")) == 0;
        }
    }
    return same == count;
}

static exia_status look_at(const json_t *row, void *payload, exia_error *err)
{
    looking *now = payload;
    exia__version *version = NULL;
    int64_t number = json_integer_value(json_object_get(row, "version"));
    if (now->number != 0 || !same_parts(json_object_get(row, "parts"), now->parts))
        return EXIA_OK;
    exia_status rc = exia__version_get(&version, now->library, now->fold, number, err);
    if (rc == EXIA_OK && version->origin != NULL)
        now->number = number;
    return rc;
}

/* The newest version that came from elsewhere with the same parts; 0: none.  Call it locked. */
static exia_status find_same(int64_t *number, const writing *now, exia__fold *fold, exia_error *err)
{
    looking look = {json_object_get(now->version, "parts"), now->library, fold, 0};
    exia__filter *filter = NULL;
    char *text = NULL;
    exia_status rc = exia__text_format(&text, err, "name = '%s'", fold->name);
    if (rc == EXIA_OK)
        rc = exia__filter_parse(&filter, text, err);
    if (rc == EXIA_OK)
        rc = exia__search_model(now->library, fold, filter, look_at, &look, err);
    *number = rc == EXIA_OK ? look.number : 0;
    exia__filter_free(filter);
    exia__release(text);
    return rc;
}

static exia_status only_look(writing *now, const exia_part *parts, size_t count, exia_error *err)
{
    exia__fold *fold = NULL;
    exia_status rc = store_parts(now, NULL, parts, count, err);
    if (rc < 0 || json_object_get(now->version, "origin") == NULL)
        return rc;
    rc = exia__library_lock(now->library, err);
    if (rc < 0)
        return rc;
    rc = exia__library_refresh(&fold, now->library, now->name, err);
    if (rc == EXIA_OK)
        rc = find_same(&now->number, now, fold, err);
    exia__library_unlock(now->library);
    return rc;
}

/* ---- publish -------------------------------------------------------------------------------- */

/* A parent by number is a version of this model, removed or not. */
static exia_status check_parent(const exia__fold *fold, const json_t *version, exia_error *err)
{
    json_int_t parent = json_integer_value(json_object_get(version, "parent"));
    if (parent <= fold->highest)
        return EXIA_OK;
    return exia__fail(err, EXIA_ENOTFOUND, 0, "the parent: %s has no version %lld", fold->name,
                      (long long)parent);
}

static exia_status build_publish(json_t *entry, int64_t *result, exia__fold *fold, void *payload,
                                 exia_error *err)
{
    writing *now = payload;
    exia_status rc = EXIA_OK;
    if (json_object_get(now->version, "origin") != NULL) {
        rc = find_same(result, now, fold, err);
        now->there = rc == EXIA_OK && *result != 0;
        if (rc < 0 || now->there)
            return rc < 0 ? rc : EXIA_DONE;
    }
    *result = fold->highest + 1;
    rc = check_parent(fold, now->version, err);
    if (rc == EXIA_OK)
        rc = exia__json_set(now->version, "number", json_integer(*result), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(entry, "version", json_incref(now->version), err);
    if (rc == EXIA_OK && now->alias != NULL)
        rc = exia__alias_add_move(entry, fold, now->alias, *result, now->expect, err);
    return rc;
}

/* A repeated call: what became of the first one. */
static exia_status look_back(int *known, writing *now, exia__fold *fold, exia_error *err)
{
    const exia__done *done = NULL;
    exia__version *version = NULL;
    exia_status rc = exia__log_done(&done, now->library, fold, now->token, 1, err);
    if (rc < 0 || done == NULL || strcmp(done->verb, "publish") != 0)
        return rc;
    *known = 1;
    now->number = done->result;
    if (!exia__fold_has(fold, now->number))
        return EXIA_OK;
    rc = exia__version_get(&version, now->library, fold, now->number, err);
    if (rc == EXIA_OK)
        now->stored = json_incref(version->parts);
    return rc;
}

/* A hint, so that it cannot fail: what is wrong there does not concern the new version. */
static void look_at_newest(writing *now, exia__fold *fold, const exia_part *parts, size_t count)
{
    exia__version *version = NULL;
    int large = 0;
    for (size_t i = 0; i < count; i++)
        large |= parts[i].path != NULL || exia__part_size(&parts[i]) > EXIA__INLINE_LIMIT;
    int64_t newest = large ? exia__fold_latest(fold, 0) : 0;
    if (newest > 0 && exia__version_get(&version, now->library, fold, newest, NULL) == EXIA_OK)
        now->before = json_incref(version->parts);
}

/* Before a gigabyte is written: is the call done already, or bound to fail? */
static exia_status look_ahead(int *known, writing *now, const exia_part *parts, size_t count,
                              exia_error *err)
{
    exia__fold *fold = NULL;
    json_t *entry = json_pack("{s:s?}", "why", now->message);
    *known = 0;
    exia_status rc = entry ? exia__library_lock(now->library, err) : exia__fail_memory(err);
    if (rc == EXIA_OK) {
        rc = exia__library_refresh(&fold, now->library, now->name, err);
        if (rc == EXIA_OK && now->given)
            rc = look_back(known, now, fold, err);
        if (rc == EXIA_OK && !*known)
            rc = check_parent(fold, now->version, err);
        if (rc == EXIA_OK && !*known && now->alias != NULL)
            rc = exia__alias_add_move(entry, fold, now->alias, 1, now->expect, err);
        if (rc == EXIA_OK && !*known)
            look_at_newest(now, fold, parts, count);
        exia__library_unlock(now->library);
    }
    json_decref(entry);
    return rc;
}

static exia_status publish(writing *now, int known, const exia_part *parts, size_t count,
                           exia_error *err)
{
    exia_status rc = known ? EXIA_OK : store_parts(now, now->library, parts, count, err);
    if (rc == EXIA_OK) /* also of a repeated call: a collector may have been there in between */
        rc = store_environment(now, err);
    if (rc == EXIA_OK && !known) {
        exia_job left = exia__work_rest(&now->work);
        exia__intent intent = {"publish",     now->token, now->message, now->given,
                               build_publish, now,        &left};
        rc = exia__library_commit(&now->number, now->library, now->name, &intent, err);
        now->stored = json_incref(json_object_get(now->version, "parts"));
    }
    return rc == EXIA_OK && !now->there ? settle(now, parts, count, err) : rc;
}

exia_status exia_model_write(int64_t *version, exia_library *library, const char *name,
                             const exia_part *parts, size_t part_count,
                             const exia_write_options *options, const exia_job *job,
                             exia_error *err)
{
    exia_write_options ours;
    char token[EXIA__TOKEN_SIZE];
    writing now = {.library = library, .name = name};
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
    now.given = ours.token != NULL;
    now.message = ours.message;
    rc = look_ahead(&known, &now, parts, part_count, err);
    if (rc == EXIA_OK && !ours.dry_run)
        rc = publish(&now, known, parts, part_count, err);
    else if (rc == EXIA_OK && !known)
        rc = only_look(&now, parts, part_count, err);
    if (rc == EXIA_OK)
        *version = now.number;
done:
    exia__release(now.environment);
    exia__release(now.environment_key);
    json_decref(now.stored);
    json_decref(now.before);
    json_decref(now.version);
    return rc;
}
