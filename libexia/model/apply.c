/* Applying one entry of the log to the state before it.  Whatever an entry says is checked against
 * what the entries before it left; one that could not have been written by a correct writer is
 * EXIA_ECORRUPT, and one that only a newer writer understands is EXIA_EVERSION. */
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/name.h"
#include "model/library.h"

/* An entry while it is applied. */
typedef struct step {
    exia__fold *fold;
    exia_library *library;
    json_t *entry, *version; /* `version`: the member, or NULL */
    int64_t seq;
} step;

static exia_status nonsense(exia_error *err, const char *what)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s", what);
}

/* ---- moves ---------------------------------------------------------------------------------- */

/* What lies under the move `seq` of an alias: that entry says it. */
static exia_status look_below(exia__alias *stands, step *now, const char *name, exia_error *err)
{
    json_t *entry = NULL, *move = NULL;
    size_t i = 0;
    exia_status rc = exia__log_read(&entry, now->library, now->fold->name, stands->seq, err);
    if (rc < 0)
        return rc;
    rc = exia__fail(err, EXIA_ECORRUPT, 0, "entry %lld does not move the alias %s",
                    (long long)stands->seq, name);
    json_array_foreach(json_object_get(entry, "moves"), i, move)
    {
        const char *its = exia__json_string(move, "alias");
        if (rc == EXIA_OK || its == NULL || strcmp(its, name) != 0)
            continue;
        stands->below = json_integer_value(json_object_get(move, "below"));
        stands->under =
            stands->below > 0 ? json_integer_value(json_object_get(move, "from")) : EXIA_ABSENT;
        rc = exia__forgive(err);
    }
    json_decref(entry);
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
    const exia__alias *known = exia__fold_alias(fold, name);
    const exia__alias before = known ? *known : (exia__alias){0};
    if (json_integer_value(from) != before.version)
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "the alias %s does not stand where it is moved from", name);
    if (target != EXIA_ABSENT && !exia__fold_has(fold, target))
        return exia__fail(err, EXIA_ECORRUPT, 0, "the alias %s moves to no version", name);
    if (json_integer_value(below) != (pops ? before.below : before.seq) ||
        (pops && (before.below == 0 || target != before.under)))
        return exia__fail(err, EXIA_ECORRUPT, 0, "the history of the alias %s does not fit", name);
    exia__alias after = {NULL, now->seq, target, before.seq, before.version, 0};
    exia_status rc = EXIA_OK;
    if (pops) {
        after = (exia__alias){NULL, before.below, target, 0, EXIA_ABSENT, 0};
        rc = look_below(&after, now, name, err);
    }
    return rc == EXIA_OK ? exia__fold_set(fold, name, &after, err) : rc;
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

static exia_status do_protect(step *now, exia_error *err)
{
    const json_t *protect = json_object_get(now->entry, "protect");
    const json_t *on = json_object_get(protect, "on");
    const char *name = exia__json_string(protect, "alias");
    if (name == NULL || !json_is_boolean(on) || exia__fold_alias(now->fold, name) == NULL)
        return nonsense(err, "it protects no alias");
    exia__fold_guard(now->fold, name, json_is_true(on));
    return EXIA_OK;
}

/* ---- versions ------------------------------------------------------------------------------- */

/* Its `version` record from now on; takes the reference. */
static exia_status change(step *now, int64_t number, json_t *record, exia_error *err)
{
    char key[EXIA__KEY_SIZE];
    exia__version_key(key, now->fold->name, number);
    exia__version_forget(now->library, now->fold->name, number);
    return exia__json_set(now->fold->changed, strrchr(key, '/') + 1, record, err);
}

static exia_status do_publish(step *now, exia_error *err)
{
    exia__fold *fold = now->fold;
    const json_t *number = json_object_get(now->version, "number");
    int64_t ms = 0;
    json_t *row = NULL;
    if (!json_is_integer(number) || json_integer_value(number) != fold->highest + 1)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it does not publish version %lld",
                          (long long)fold->highest + 1);
    exia_status rc = exia__parts_check(json_object_get(now->version, "parts"), 1, err);
    if (rc == EXIA_OK)
        rc = exia__facts_check(now->version, err);
    if (rc == EXIA_OK)
        rc = exia__entry_time(&ms, exia__json_string(now->entry, "time"), err);
    if (rc == EXIA_OK)
        rc = exia__row_make(&row, fold->name, now->entry, err);
    if (rc < 0)
        return rc;
    rc = change(now, ++fold->highest,
                json_pack("{s:i, s:I, s:I, s:[], s:I, s:o}", "format", 1, "seq",
                          (json_int_t)now->seq, "publish", (json_int_t)now->seq, "later", "age",
                          (json_int_t)-ms, "row", row),
                err);
    return rc == EXIA_OK ? apply_moves(now, 0, 0, err) : rc;
}

/* The number of the version that the entry speaks of; 0: there never was such a one. */
static int64_t named_version(const step *now)
{
    json_int_t number = json_integer_value(json_object_get(now->version, "number"));
    return number >= 1 && number <= now->fold->highest ? number : 0;
}

static exia_status do_remove(step *now, exia_error *err)
{
    exia__fold *fold = now->fold;
    int64_t number = named_version(now);
    if (!exia__fold_has(fold, number))
        return nonsense(err, "it removes a version that is not there");
    for (size_t i = 0; i < fold->alias_count; i++) {
        if (fold->aliases[i].version == number)
            return nonsense(err, "it removes a version that an alias is on");
    }
    exia_status rc = exia__fold_remove(fold, number, err);
    return rc < 0 ? rc
                  : change(now, number,
                           json_pack("{s:i, s:I, s:n}", "format", 1, "seq", (json_int_t)now->seq,
                                     "row"),
                           err);
}

/* The entry says something more of the version: its record names it, where the store is not further on
 * already. */
static exia_status add_later(step *now, int64_t number, const json_t *record, exia_error *err)
{
    json_t *copy = exia__json_copy(record);
    json_t *later = exia__json_copy(json_object_get(record, "later"));
    exia_status rc = copy && later ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__json_append(later, json_integer(now->seq), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(copy, "later", json_incref(later), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(copy, "seq", json_integer(now->seq), err);
    if (rc == EXIA_OK)
        rc = change(now, number, json_incref(copy), err);
    json_decref(later);
    json_decref(copy);
    return rc;
}

/* What is said of a version that is there; `check` may refuse it. */
static exia_status say_more(step *now, exia_status (*check)(step *, int64_t, exia_error *),
                            exia_error *err)
{
    json_t *record = NULL;
    int64_t number = named_version(now);
    if (!exia__fold_has(now->fold, number))
        return EXIA_OK; /* removed meanwhile */
    exia_status rc = exia__derived_version(&record, now->library, now->fold, number, err);
    if (rc == EXIA_OK && json_integer_value(json_object_get(record, "seq")) < now->seq) {
        rc = check ? check(now, number, err) : EXIA_OK;
        if (rc == EXIA_OK)
            rc = add_later(now, number, record, err);
    }
    json_decref(record);
    return rc;
}

/* A signature is kept as it is; who opens the version says what it is worth. */
static exia_status do_sign(step *now, exia_error *err)
{
    if (named_version(now) == 0 || !exia__signature_valid(now->entry))
        return nonsense(err, "it signs a version that is not there, or with no text");
    return say_more(now, NULL, err);
}

static exia_status check_repair(step *now, int64_t number, exia_error *err)
{
    exia__version *version = NULL;
    json_t *parts = NULL;
    exia_status rc = exia__version_get(&version, now->library, now->fold, number, err);
    if (rc == EXIA_OK)
        rc =
            exia__parts_repair(&parts, version->parts, json_object_get(now->version, "parts"), err);
    json_decref(parts);
    return rc;
}

/* Parts that were stored anew under another key. */
static exia_status do_repair(step *now, exia_error *err)
{
    if (named_version(now) == 0 || !json_is_array(json_object_get(now->version, "parts")))
        return nonsense(err, "it repairs a version that is not there");
    return say_more(now, check_repair, err);
}

/* ---- entries -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    exia_status (*apply)(step *now, exia_error *err);
} verbs[] = {{"publish", do_publish}, {"move", do_move}, {"rollback", do_rollback},
             {"remove", do_remove},   {"sign", do_sign}, {"repair", do_repair},
             {"protect", do_protect}};
enum { VERBS = sizeof verbs / sizeof *verbs };

static exia_status find_verb(size_t *out, const json_t *entry, exia_error *err)
{
    const char *verb = exia__json_string(entry, "do");
    for (*out = 0; *out < VERBS && strcmp(verb, verbs[*out].name) != 0; ++*out)
        ;
    return *out < VERBS
               ? EXIA_OK
               : exia__fail(err, EXIA_EVERSION, 0, "\"%.40s\" is not known to this library", verb);
}

exia_status exia__entry_result(const char **verb, int64_t *result, const json_t *entry,
                               exia_error *err)
{
    size_t at = 0;
    const json_t *number = json_object_get(json_object_get(entry, "version"), "number");
    const json_t *moves = json_object_get(entry, "moves");
    exia_status rc = find_verb(&at, entry, err);
    if (rc < 0)
        return rc;
    *verb = verbs[at].name;
    if (number == NULL && json_array_size(moves) > 0)
        number = json_object_get(json_array_get(moves, json_array_size(moves) - 1), "to");
    *result = json_integer_value(number);
    return EXIA_OK;
}

exia_status exia__entry_time(int64_t *ms, const char *time, exia_error *err)
{
    struct tm parts = {0};
    const char *end = time ? strptime(time, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    *ms = 0;
    if (end == NULL || end - time != 19 || *end != '.' || strspn(end + 1, "0123456789") != 3 ||
        strcmp(end + 4, "Z") != 0)
        return nonsense(err, "its time is none");
    *ms =
        (int64_t)timegm(&parts) * 1000 + (end[1] - '0') * 100 + (end[2] - '0') * 10 + end[3] - '0';
    return EXIA_OK;
}

exia_status exia__entry_check(const json_t *entry, const char *before, exia_error *err)
{
    int64_t ms = 0;
    const json_t *format = json_object_get(entry, "format"), *why = json_object_get(entry, "why");
    const char *time = exia__json_string(entry, "time"), *token = exia__json_string(entry, "token");
    if (!json_is_integer(format) || json_integer_value(format) < 1)
        return nonsense(err, "it has no format");
    if (json_integer_value(format) > 1)
        return exia__fail(err, EXIA_EVERSION, 0, "format %lld is newer than this library",
                          (long long)json_integer_value(format));
    if (exia__json_string(entry, "do") == NULL || token == NULL ||
        exia__name_check(token, "token", NULL) < 0 || exia__json_string(entry, "who") == NULL ||
        (why != NULL && !json_is_string(why) && !json_is_null(why)))
        return nonsense(err, "it does not say what was done, by whom and why");
    exia_status rc = exia__entry_time(&ms, time, err);
    if (rc == EXIA_OK && strcmp(time, before) < 0)
        rc = nonsense(err, "its time is not behind that of the entry before");
    return rc;
}

static exia_status apply(exia__fold *fold, exia_library *library, json_t *entry, exia_error *err)
{
    step now = {fold, library, entry, json_object_get(entry, "version"), fold->head + 1};
    const char *verb = NULL;
    int64_t result = 0;
    size_t at = 0;
    exia_status rc = exia__entry_check(entry, fold->time, err);
    if (rc == EXIA_OK)
        rc = find_verb(&at, entry, err);
    if (rc == EXIA_OK)
        rc = verbs[at].apply(&now, err);
    if (rc == EXIA_OK)
        rc = exia__entry_result(&verb, &result, entry, err);
    if (rc == EXIA_OK)
        rc = exia__fold_remember(fold, now.seq, exia__json_string(entry, "token"), verb, result,
                                 err);
    if (rc == EXIA_OK) {
        memcpy(fold->time, exia__json_string(entry, "time"), 25);
        fold->head = now.seq;
    }
    return rc;
}

exia_status exia__fold_apply(exia__fold *fold, exia_library *library, json_t *entry,
                             exia_error *err)
{
    int64_t seq = fold->head + 1;
    exia_status rc = apply(fold, library, entry, err);
    if (rc < 0) {
        exia__fold_clear(fold);
        exia__version_forget(library, fold->name, 0);
        rc = exia__prefix(err, rc, "entry %lld of the log of %s", (long long)seq, fold->name);
    }
    return rc;
}
