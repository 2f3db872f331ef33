/* The state of one model: its versions, its alias stacks, the tokens of its last entries.  It is the
 * fold of the log and of nothing else, so whatever an entry says is checked against what the entries
 * before it left; an entry that could not have been written by a correct writer is EXIA_ECORRUPT, and
 * one that only a newer writer understands is EXIA_EVERSION. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/library.h"

/* An entry while it is applied. */
typedef struct step {
    exia__fold *fold;
    json_t *entry, *version; /* `version`: the member, or NULL */
    int64_t seq, result;
} step;

static exia_status nonsense(exia_error *err, const char *what)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s", what);
}

exia_status exia__fold_open(exia__fold **out, const char *name, exia_error *err)
{
    *out = NULL;
    exia__fold *fold = exia__zeroed(1, sizeof *fold);
    exia_status rc = fold ? exia__text_copy(&fold->name, name, err) : exia__fail_memory(err);
    if (rc == EXIA_OK) {
        *out = fold;
        fold = NULL;
    }
    exia__fold_free(fold);
    return rc;
}

static void forget(exia__version *version)
{
    json_decref(version->row);
    json_decref(version->parts);
    json_decref(version->signatures);
    exia__release(version->text);
    *version = (exia__version){0};
}

static void clear(exia__fold *fold)
{
    for (size_t i = 0; i < fold->version_count; i++)
        forget(&fold->versions[i]);
    for (size_t i = 0; i < fold->alias_count; i++) {
        exia__release(fold->aliases[i].name);
        exia__release(fold->aliases[i].stack);
    }
    for (size_t i = 0; i < fold->done_count; i++)
        exia__release(fold->done[i].token);
    exia__release(fold->versions);
    exia__release(fold->aliases);
    exia__release(fold->done);
    json_decref(fold->alias_index);
    char *name = fold->name;
    memset(fold, 0, sizeof *fold);
    fold->name = name;
}

void exia__fold_free(exia__fold *fold)
{
    if (fold == NULL)
        return;
    clear(fold);
    exia__release(fold->name);
    exia__release(fold);
}

/* ---- questions ------------------------------------------------------------------------------ */

const exia__version *exia__fold_version(const exia__fold *fold, int64_t number)
{
    if (number < 1 || (uint64_t)number > fold->version_count)
        return NULL;
    const exia__version *version = &fold->versions[number - 1];
    return version->row ? version : NULL;
}

exia_status exia__fold_text(const char **out, exia__fold *fold, int64_t number, exia_error *err)
{
    exia__version *version = &fold->versions[number - 1];
    exia_status rc = version->text ? EXIA_OK : exia__json_text(&version->text, version->row, err);
    *out = version->text;
    return rc;
}

static exia__alias *find_alias(const exia__fold *fold, const char *name)
{
    const json_t *at = json_object_get(fold->alias_index, name);
    return at ? &fold->aliases[json_integer_value(at)] : NULL;
}

const exia__alias *exia__fold_alias(const exia__fold *fold, const char *name)
{
    return find_alias(fold, name);
}

int64_t exia__alias_version(const exia__alias *alias)
{
    return alias ? alias->stack[alias->depth - 1].version : EXIA_ABSENT;
}

const exia__done *exia__fold_done(const exia__fold *fold, const char *token)
{
    for (size_t i = 0; i < fold->done_count; i++) {
        if (strcmp(fold->done[i].token, token) == 0)
            return &fold->done[i];
    }
    return NULL;
}

/* ---- aliases and moves ---------------------------------------------------------------------- */

/* Keep the row's list of aliases, in the order they came to it. */
static exia_status show_alias(exia__fold *fold, int64_t number, const char *alias, int here,
                              exia_error *err)
{
    if (exia__fold_version(fold, number) == NULL)
        return EXIA_OK;
    exia__version *version = &fold->versions[number - 1];
    json_t *aliases = json_object_get(version->row, "aliases");
    exia__release(version->text);
    version->text = NULL;
    if (here)
        return exia__json_append(aliases, json_string(alias), err);
    for (size_t i = json_array_size(aliases); i-- > 0;) {
        if (strcmp(json_string_value(json_array_get(aliases, i)), alias) == 0)
            json_array_remove(aliases, i);
    }
    return EXIA_OK;
}

static exia_status add_alias(exia__alias **out, exia__fold *fold, const char *name, exia_error *err)
{
    exia__alias *grown = exia__array(fold->aliases, fold->alias_count + 1, sizeof *grown);
    if (grown == NULL)
        return exia__fail_memory(err);
    fold->aliases = grown;
    exia__alias *alias = &grown[fold->alias_count];
    memset(alias, 0, sizeof *alias);
    exia_status rc = exia__text_copy(&alias->name, name, err);
    if (rc < 0)
        return rc;
    fold->alias_count++; /* from here on clear() frees it */
    if (fold->alias_index == NULL)
        fold->alias_index = json_object();
    *out = alias;
    return exia__json_set(fold->alias_index, name, json_integer((json_int_t)fold->alias_count - 1),
                          err);
}

static exia_status push(exia__alias *alias, int64_t seq, int64_t version, exia_error *err)
{
    exia_status rc =
        exia__grow(&alias->stack, &alias->capacity, alias->depth + 1, sizeof *alias->stack, err);
    if (rc == EXIA_OK)
        alias->stack[alias->depth++] = (exia__move){seq, version};
    return rc;
}

static exia_status apply_move(step *now, const json_t *move, int pops, exia_error *err)
{
    exia__fold *fold = now->fold;
    const char *name = exia__json_string(move, "alias");
    const json_t *from = json_object_get(move, "from"), *to = json_object_get(move, "to");
    const json_t *below = json_object_get(move, "below");
    if (name == NULL || exia__name_check(name, "alias", NULL) < 0 || !json_is_integer(from) ||
        !json_is_integer(to) || !json_is_integer(below))
        return nonsense(err, "a move is not complete");
    int64_t target = json_integer_value(to);
    exia__alias *alias = find_alias(fold, name);
    if (json_integer_value(from) != exia__alias_version(alias))
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "the alias %s does not stand where it is moved from", name);
    if (target != EXIA_ABSENT && exia__fold_version(fold, target) == NULL)
        return exia__fail(err, EXIA_ECORRUPT, 0, "the alias %s moves to no version", name);
    size_t depth = alias ? alias->depth : 0, back = pops ? 2 : 1;
    exia__move brought = depth >= back ? alias->stack[depth - back] : (exia__move){0};
    if (json_integer_value(below) != brought.seq ||
        (pops && (depth < 2 || target != brought.version)))
        return exia__fail(err, EXIA_ECORRUPT, 0, "the history of the alias %s does not fit", name);
    exia_status rc = EXIA_OK;
    if (alias == NULL)
        rc = add_alias(&alias, fold, name, err);
    if (rc == EXIA_OK)
        rc = show_alias(fold, json_integer_value(from), name, 0, err);
    if (rc == EXIA_OK && pops)
        alias->depth--;
    else if (rc == EXIA_OK)
        rc = push(alias, now->seq, target, err);
    if (rc == EXIA_OK)
        rc = show_alias(fold, target, name, 1, err);
    now->result = target;
    return rc;
}

static exia_status apply_moves(step *now, int pops, int needed, exia_error *err)
{
    size_t i = 0;
    json_t *move = NULL, *moves = json_object_get(now->entry, "moves");
    if ((moves != NULL && !json_is_array(moves)) || (needed && json_array_size(moves) == 0))
        return nonsense(err, "it has no list of moves");
    exia_status rc = EXIA_OK;
    json_array_foreach(moves, i, move)
    {
        if (rc == EXIA_OK)
            rc = apply_move(now, move, pops, err);
    }
    return rc;
}

static exia_status do_move(step *now, exia_error *err)
{
    return apply_moves(now, 0, 1, err);
}

static exia_status do_rollback(step *now, exia_error *err)
{
    return apply_moves(now, 1, 1, err);
}

/* ---- versions ------------------------------------------------------------------------------- */

static exia_status do_publish(step *now, exia_error *err)
{
    exia__fold *fold = now->fold;
    const json_t *number = json_object_get(now->version, "number");
    json_t *parts = json_object_get(now->version, "parts");
    if (!json_is_integer(number) ||
        json_integer_value(number) != (json_int_t)fold->version_count + 1)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it does not publish version %zu",
                          fold->version_count + 1);
    exia_status rc = exia__parts_check(parts, 1, err);
    if (rc == EXIA_OK)
        rc = exia__facts_check(now->version, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&fold->versions, &fold->version_capacity, fold->version_count + 1,
                        sizeof *fold->versions, err);
    json_t *row = NULL;
    if (rc == EXIA_OK)
        rc = exia__row_make(&row, fold->name, now->entry, err);
    if (rc < 0)
        return rc;
    fold->versions[fold->version_count++] =
        (exia__version){.row = row, .parts = json_incref(parts)};
    rc = apply_moves(now, 0, 0, err);
    now->result = (int64_t)fold->version_count;
    return rc;
}

/* The version that the entry speaks of, there or removed. */
static exia__version *named_version(step *now)
{
    json_int_t number = json_integer_value(json_object_get(now->version, "number"));
    now->result = number;
    return number >= 1 && (uint64_t)number <= now->fold->version_count
               ? &now->fold->versions[number - 1]
               : NULL;
}

static exia_status do_remove(step *now, exia_error *err)
{
    exia__version *version = named_version(now);
    if (version == NULL || version->row == NULL)
        return nonsense(err, "it removes a version that is not there");
    if (json_array_size(json_object_get(version->row, "aliases")) > 0)
        return nonsense(err, "it removes a version that an alias is on");
    forget(version);
    return EXIA_OK;
}

/* A signature is kept as it is; who opens the version says what it is worth. */
static exia_status do_sign(step *now, exia_error *err)
{
    exia__version *version = named_version(now);
    json_t *signature = json_object_get(now->entry, "signature"), *all = NULL;
    if (version == NULL || !json_is_string(signature))
        return nonsense(err, "it signs a version that is not there, or with no text");
    if (version->row == NULL)
        return EXIA_OK; /* removed meanwhile */
    all = version->signatures ? json_copy(version->signatures) : json_array();
    if (all == NULL || json_array_append(all, signature) != 0) {
        json_decref(all);
        return exia__fail_memory(err);
    }
    json_decref(version->signatures);
    version->signatures = all;
    return EXIA_OK;
}

/* Parts that were stored anew under another key.  Open models may be reading the old list. */
static exia_status do_repair(step *now, exia_error *err)
{
    exia__version *version = named_version(now);
    json_t *repairs = json_object_get(now->version, "parts"), *repair = NULL;
    if (version == NULL || !json_is_array(repairs))
        return nonsense(err, "it repairs a version that is not there");
    if (version->row == NULL)
        return EXIA_OK; /* removed meanwhile */
    json_t *parts = json_deep_copy(version->parts), *part = NULL;
    if (parts == NULL)
        return exia__fail_memory(err);
    exia_status rc = EXIA_OK;
    size_t i = 0, k = 0;
    json_array_foreach(repairs, i, repair)
    {
        const char *name = exia__json_string(repair, "name");
        json_t *key = json_object_get(repair, "key");
        int found = 0;
        json_array_foreach(parts, k, part)
        {
            if (name != NULL && json_is_string(key) && json_object_get(part, "key") != NULL &&
                strcmp(exia__json_string(part, "name"), name) == 0)
                found = json_object_set(part, "key", key) == 0 ? 1 : -1;
        }
        if (found <= 0 && rc == EXIA_OK)
            rc = found < 0 ? exia__fail_memory(err)
                           : nonsense(err, "it repairs a part that is not there");
    }
    if (rc == EXIA_OK) {
        json_decref(version->parts);
        version->parts = json_incref(parts);
    }
    json_decref(parts);
    return rc;
}

/* ---- entries -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    exia_status (*apply)(step *now, exia_error *err);
} verbs[] = {{"publish", do_publish}, {"move", do_move}, {"rollback", do_rollback},
             {"remove", do_remove},   {"sign", do_sign}, {"repair", do_repair}};

static exia_status remember(exia__fold *fold, int64_t seq, const char *token, const char *verb,
                            int64_t result, exia_error *err)
{
    char *copy = NULL;
    size_t at = (size_t)((seq - 1) % EXIA__TOKENS_KEPT);
    if (at >= fold->done_count && (fold->done_count & (fold->done_count - 1)) == 0) {
        size_t capacity = fold->done_count ? 2 * fold->done_count : 1;
        exia__done *grown = exia__array(fold->done, capacity, sizeof *grown);
        if (grown == NULL)
            return exia__fail_memory(err);
        fold->done = grown;
    }
    exia_status rc = exia__text_copy(&copy, token, err);
    if (rc < 0)
        return rc;
    if (at < fold->done_count)
        exia__release(fold->done[at].token);
    else
        fold->done_count++;
    fold->done[at] = (exia__done){copy, verb, result};
    return EXIA_OK;
}

static exia_status check_head(const exia__fold *fold, const json_t *entry, exia_error *err)
{
    const json_t *format = json_object_get(entry, "format"), *why = json_object_get(entry, "why");
    const char *time = exia__json_string(entry, "time"), *token = exia__json_string(entry, "token");
    if (!json_is_integer(format) || json_integer_value(format) < 1)
        return nonsense(err, "it has no format");
    if (json_integer_value(format) > 1)
        return exia__fail(err, EXIA_EVERSION, 0, "format %lld is newer than this library",
                          (long long)json_integer_value(format));
    if (exia__json_string(entry, "do") == NULL || token == NULL || *token == '\0' ||
        exia__json_string(entry, "who") == NULL ||
        (why != NULL && !json_is_string(why) && !json_is_null(why)))
        return nonsense(err, "it does not say what was done, by whom and why");
    if (time == NULL || strlen(time) != 24 || strcmp(time, fold->time) < 0)
        return nonsense(err, "its time is not behind that of the entry before");
    return EXIA_OK;
}

static exia_status apply(exia__fold *fold, json_t *entry, exia_error *err)
{
    exia_status rc = check_head(fold, entry, err);
    if (rc < 0)
        return rc;
    const char *verb = exia__json_string(entry, "do");
    step now = {fold, entry, json_object_get(entry, "version"), fold->head + 1, 0};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verb, verbs[i].name) != 0)
            continue;
        rc = verbs[i].apply(&now, err);
        if (rc == EXIA_OK)
            rc = remember(fold, now.seq, exia__json_string(entry, "token"), verbs[i].name,
                          now.result, err);
        if (rc == EXIA_OK) {
            memcpy(fold->time, exia__json_string(entry, "time"), 25);
            fold->head = now.seq;
        }
        return rc;
    }
    return exia__fail(err, EXIA_EVERSION, 0, "\"%.40s\" is not known to this library", verb);
}

exia_status exia__fold_apply(exia__fold *fold, json_t *entry, exia_error *err)
{
    int64_t seq = fold->head + 1;
    exia_status rc = apply(fold, entry, err);
    if (rc < 0) {
        clear(fold);
        rc = exia__prefix(err, rc, "entry %lld of the log of %s", (long long)seq, fold->name);
    }
    return rc;
}
