/* Aliases: pointers that move only from where the mover saw them, and know the way back.  Also the
 * removal of a version, which an alias prevents. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/library.h"

exia_status exia__alias_check(const char *alias, exia_error *err)
{
    static const char *const reserved[] = {"latest", "previous", "best", "worst"};
    exia_status rc = exia__name_check(alias, "alias", err);
    if (rc < 0)
        return rc;
    if (*alias >= '0' && *alias <= '9')
        return exia__fail(err, EXIA_EINVAL, 0,
                          "the alias %s begins with a digit, as a version number does", alias);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        if (strcmp(alias, reserved[i]) == 0 || strncmp(alias, "latest-", 7) == 0)
            return exia__fail(err, EXIA_EINVAL, 0, "\"%s\" is a word of the selectors, no alias",
                              alias);
    }
    return EXIA_OK;
}

/* ---- moves ---------------------------------------------------------------------------------- */

static exia_status stands_at(int64_t at, const char *alias, int64_t expect, exia_error *err)
{
    char is[40], should[40];
    if (expect == EXIA_ANY || expect == at)
        return EXIA_OK;
    snprintf(is, sizeof is, at ? "at version %lld" : "nowhere", (long long)at);
    snprintf(should, sizeof should, expect ? "at version %lld" : "nowhere", (long long)expect);
    return exia__fail(err, EXIA_ECONFLICT, 0, "the alias %s stands %s, not %s", alias, is, should);
}

static exia_status check_call(const exia_library *library, const char *name, const char *alias,
                              int64_t expect, const char *message, exia_error *err)
{
    if (library == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the library is NULL");
    exia_status rc = exia__name_check(name, "model name", err);
    if (rc == EXIA_OK && alias != NULL)
        rc = exia__alias_check(alias, err);
    if (rc == EXIA_OK && expect < EXIA_ANY)
        rc = exia__fail(err, EXIA_EINVAL, 0, "%lld is no version to expect", (long long)expect);
    if (rc == EXIA_OK)
        rc = exia__message_check(message, err);
    if (rc == EXIA_OK && library->read_only)
        rc = exia__fail(err, EXIA_EDENIED, 0, "the library was opened read-only");
    return rc;
}

static exia_status add_move(json_t *entry, const char *alias, int64_t from, int64_t to,
                            int64_t below, exia_error *err)
{
    return exia__json_set(entry, "moves",
                          json_pack("[{s:s, s:I, s:I, s:I}]", "alias", alias, "from",
                                    (json_int_t)from, "to", (json_int_t)to, "below",
                                    (json_int_t)below),
                          err);
}

/* A protected alias is moved by nobody who has not looked, and is never taken away. */
static exia_status allowed(const exia__alias *alias, int64_t to, int64_t expect,
                           const json_t *entry, exia_error *err)
{
    const char *why = exia__json_string(entry, "why");
    if (alias == NULL || !alias->guarded)
        return EXIA_OK;
    if (to == EXIA_ABSENT)
        return exia__fail(err, EXIA_EDENIED, 0, "the alias %s is protected: it is not removed",
                          alias->name);
    if (expect == EXIA_ANY || why == NULL || *why == '\0')
        return exia__fail(err, EXIA_EDENIED, 0,
                          "the alias %s is protected: say at which version it stands, and why it "
                          "is to move",
                          alias->name);
    return EXIA_OK;
}

exia_status exia__alias_add_move(json_t *entry, const exia__fold *fold, const char *alias,
                                 int64_t to, int64_t expect, exia_error *err)
{
    const exia__alias *known = exia__fold_alias(fold, alias);
    int64_t from = exia__alias_version(known);
    exia_status rc = stands_at(from, alias, expect, err);
    if (rc == EXIA_OK)
        rc = allowed(known, to, expect, entry, err);
    if (rc < 0)
        return rc;
    return add_move(entry, alias, from, to, known ? known->seq : 0, err);
}

typedef struct moving {
    const char *alias;
    int64_t to, expect;
    int64_t seen; /* a rollback: the move it undoes; 0: not looked yet */
    int back;     /* it goes back to a version: the target is looked at */
    exia_library *library;
} moving;

/* Would the version open?  Its parts are there, with their sizes. */
static exia_status check_target(exia_library *library, exia__fold *fold, int64_t number,
                                exia_error *err)
{
    size_t i = 0;
    json_t *part = NULL;
    exia__version *version = NULL;
    exia_status rc = exia__version_get(&version, library, fold, number, err);
    if (rc < 0)
        return rc;
    json_array_foreach(version->parts, i, part)
    {
        const char *key = exia__json_string(part, "key");
        uint64_t size = 0, wanted = (uint64_t)json_integer_value(json_object_get(part, "size"));
        if (key == NULL)
            continue;
        rc = exia__blobs_stat(&size, NULL, library->blobs, key, NULL, err);
        if (rc == EXIA_OK && size != wanted)
            rc = exia__fail(err, EXIA_ECORRUPT, 0, "the blob %s has %llu of %llu bytes", key,
                            (unsigned long long)size, (unsigned long long)wanted);
        if (rc < 0)
            return exia__prefix(err, rc, "the part %s", exia__json_string(part, "name"));
    }
    return EXIA_OK;
}

static exia_status build_move(json_t *entry, int64_t *result, exia__fold *fold, void *payload,
                              exia_error *err)
{
    const moving *now = payload;
    exia_status rc = exia__fold_missing(fold, err);
    if (rc < 0)
        return rc;
    int64_t from = exia__alias_version(exia__fold_alias(fold, now->alias));
    rc = stands_at(from, now->alias, now->expect, err);
    if (rc < 0)
        return rc;
    *result = now->to;
    if (now->to != EXIA_ABSENT && !exia__fold_has(fold, now->to))
        return exia__fail(err, EXIA_ENOTFOUND, 0, "there is no version %lld of %s",
                          (long long)now->to, fold->name);
    if (now->to == EXIA_ABSENT && from == EXIA_ABSENT && now->expect != EXIA_ABSENT && !now->back)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "%s has no alias %s", fold->name, now->alias);
    if (now->back && now->to != EXIA_ABSENT)
        rc = check_target(now->library, fold, now->to, err);
    if (rc < 0)
        return exia__prefix(err, rc, "version %lld cannot come back", (long long)now->to);
    if (now->to == from)
        return EXIA_DONE; /* a second entry would make the next rollback lead nowhere */
    return exia__alias_add_move(entry, fold, now->alias, now->to, now->expect, err);
}

exia_status exia_alias_move(exia_library *library, const char *name, const char *alias, int64_t to,
                            int64_t expect, const char *message, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    int64_t result = 0;
    moving now = {.alias = alias, .to = to, .expect = expect};
    exia_status rc = check_call(library, name, alias ? alias : "", expect, message, err);
    if (rc == EXIA_OK && to < 0)
        rc = exia__fail(err, EXIA_EINVAL, 0, "%lld is no version", (long long)to);
    if (rc == EXIA_OK)
        rc = exia__token(token, err);
    exia__intent intent = {"move", token, message, 0, build_move, &now, NULL};
    return rc < 0 ? rc : exia__library_commit(&result, library, name, &intent, err);
}

/* ---- rollback ------------------------------------------------------------------------------- */

static exia_status build_rollback(json_t *entry, int64_t *result, exia__fold *fold, void *payload,
                                  exia_error *err)
{
    moving *now = payload;
    exia_status rc = exia__fold_missing(fold, err);
    if (rc < 0)
        return rc;
    const exia__alias *alias = exia__fold_alias(fold, now->alias);
    if (alias == NULL)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "%s has no alias %s", fold->name, now->alias);
    rc = stands_at(alias->version, now->alias, now->expect, err);
    if (rc < 0)
        return rc;
    if (now->seen != 0 && now->seen != alias->seq)
        return exia__fail(err, EXIA_ECONFLICT, 0, "the alias %s was moved meanwhile", now->alias);
    now->seen = alias->seq;
    if (alias->below == 0)
        return exia__fail(err, EXIA_ENOTFOUND, 0,
                          "the alias %s is where it was first put: nothing to go back to",
                          now->alias);
    if (alias->under != EXIA_ABSENT && !exia__fold_has(fold, alias->under))
        return exia__fail(err, EXIA_ENOTFOUND, 0, "version %lld, where %s was, has been removed",
                          (long long)alias->under, now->alias);
    if (alias->under != EXIA_ABSENT)
        rc = check_target(now->library, fold, alias->under, err);
    if (rc < 0)
        return exia__prefix(err, rc, "version %lld cannot come back", (long long)alias->under);
    rc = allowed(alias, alias->under, now->expect, entry, err);
    if (rc < 0)
        return rc;
    *result = alias->under;
    return add_move(entry, now->alias, alias->version, alias->under, alias->below, err);
}

exia_status exia_alias_rollback(int64_t *version, exia_library *library, const char *name,
                                const char *alias, int64_t expect, const char *message,
                                exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    int64_t result = 0;
    moving now = {.alias = alias, .expect = expect, .library = library};
    if (version != NULL)
        *version = EXIA_ABSENT;
    exia_status rc = check_call(library, name, alias ? alias : "", expect, message, err);
    if (rc == EXIA_OK)
        rc = exia__token(token, err);
    exia__intent intent = {"rollback", token, message, 0, build_rollback, &now, NULL};
    if (rc == EXIA_OK)
        rc = exia__library_commit(&result, library, name, &intent, err);
    if (rc == EXIA_OK && version != NULL)
        *version = result;
    return rc;
}

exia_status exia_alias_rollback_to(int64_t *version, exia_library *library, const char *name,
                                   const char *alias, const char *time, int64_t expect,
                                   const char *message, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    int64_t result = 0;
    moving now = {.alias = alias, .expect = expect, .back = 1, .library = library};
    if (version != NULL)
        *version = EXIA_ABSENT;
    exia_status rc = check_call(library, name, alias ? alias : "", expect, message, err);
    if (rc == EXIA_OK)
        rc = exia__token(token, err);
    if (rc == EXIA_OK)
        rc = exia__alias_at(&now.to, library, name, alias, time, err);
    exia__intent intent = {"move", token, message, 0, build_move, &now, NULL};
    if (rc == EXIA_OK)
        rc = exia__library_commit(&result, library, name, &intent, err);
    if (rc == EXIA_OK && version != NULL)
        *version = now.to;
    return rc;
}

/* ---- protection ----------------------------------------------------------------------------- */

typedef struct protecting {
    const char *alias, *message;
    int on;
} protecting;

static exia_status build_protect(json_t *entry, int64_t *result, exia__fold *fold, void *payload,
                                 exia_error *err)
{
    const protecting *now = payload;
    exia_status rc = exia__fold_missing(fold, err);
    if (rc < 0)
        return rc;
    const exia__alias *alias = exia__fold_alias(fold, now->alias);
    *result = exia__alias_version(alias);
    if (*result == EXIA_ABSENT)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "%s has no alias %s", fold->name, now->alias);
    if (alias->guarded == now->on)
        return EXIA_DONE;
    if (!now->on && (now->message == NULL || *now->message == '\0'))
        return exia__fail(err, EXIA_EDENIED, 0,
                          "the alias %s is protected: say why it shall not be any more",
                          now->alias);
    return exia__json_set(entry, "protect",
                          json_pack("{s:s, s:b}", "alias", now->alias, "on", now->on), err);
}

exia_status exia_alias_protect(exia_library *library, const char *name, const char *alias, int on,
                               const char *message, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    int64_t result = 0;
    protecting now = {alias, message, on != 0};
    exia_status rc = check_call(library, name, alias ? alias : "", EXIA_ANY, message, err);
    if (rc == EXIA_OK)
        rc = exia__token(token, err);
    exia__intent intent = {"protect", token, message, 0, build_protect, &now, NULL};
    return rc < 0 ? rc : exia__library_commit(&result, library, name, &intent, err);
}

/* ---- removal -------------------------------------------------------------------------------- */

static exia_status name_aliases(const json_t *aliases, int64_t number, const exia__fold *fold,
                                exia_error *err)
{
    exia__buffer names = {0};
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < json_array_size(aliases) && rc == EXIA_OK; i++)
        rc = exia__buffer_format(&names, err, "%s%s", i ? ", " : "",
                                 json_string_value(json_array_get(aliases, i)));
    if (rc == EXIA_OK)
        rc = exia__fail(err, EXIA_ECONFLICT, 0, "version %lld of %s has aliases: %s",
                        (long long)number, fold->name, names.data);
    exia__buffer_free(&names);
    return rc;
}

static exia_status build_removal(json_t *entry, int64_t *result, exia__fold *fold, void *payload,
                                 exia_error *err)
{
    json_t *aliases = NULL;
    *result = *(const int64_t *)payload;
    exia_status rc = exia__fold_missing(fold, err);
    if (rc < 0)
        return rc;
    if (!exia__fold_has(fold, *result))
        return exia__fail(err, EXIA_ENOTFOUND, 0, "there is no version %lld of %s",
                          (long long)*result, fold->name);
    rc = exia__fold_aliases(&aliases, fold, *result, err);
    if (rc == EXIA_OK && json_array_size(aliases) > 0)
        rc = name_aliases(aliases, *result, fold, err);
    json_decref(aliases);
    return rc < 0 ? rc
                  : exia__json_set(entry, "version",
                                   json_pack("{s:I}", "number", (json_int_t)*result), err);
}

exia_status exia_model_remove(exia_library *library, const char *name, int64_t version,
                              const char *message, exia_error *err)
{
    char token[EXIA__TOKEN_SIZE];
    int64_t result = 0;
    exia_status rc = check_call(library, name, NULL, EXIA_ANY, message, err);
    if (rc == EXIA_OK && version < 1)
        rc = exia__fail(err, EXIA_EINVAL, 0, "%lld is no version", (long long)version);
    if (rc == EXIA_OK)
        rc = exia__token(token, err);
    exia__intent intent = {"remove", token, message, 0, build_removal, &version, NULL};
    return rc < 0 ? rc : exia__library_commit(&result, library, name, &intent, err);
}
