/* What is kept of a log while it is checked: which versions there are and what they need, and the whole
 * stack of every alias, since there is no store in which an older entry could be looked up. */
#include "model/ledger.h"

#include <string.h>

#include "base/base64.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/upkeep.h"

typedef struct version {
    json_t *parts;       /* in blobs; NULL: removed */
    json_t *environment; /* NULL: none */
} version;

typedef struct move {
    int64_t seq, version; /* 0: nowhere */
} move;

typedef struct stack {
    move *moves;
    size_t depth, capacity;
} stack;

struct exia__ledger {
    int64_t head;
    char time[EXIA__TIME_SIZE];
    version *versions;
    size_t count, capacity;
    json_t *names; /* alias -> position in `stacks` */
    stack *stacks;
    size_t stack_count, stack_capacity;
};

static exia_status nonsense(exia_error *err, const char *what)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s", what);
}

exia_status exia__ledger_open(exia__ledger **out, exia_error *err)
{
    exia__ledger *ledger = exia__zeroed(1, sizeof *ledger);
    *out = ledger;
    if (ledger != NULL && (ledger->names = json_object()) != NULL)
        return EXIA_OK;
    exia__ledger_free(ledger);
    *out = NULL;
    return exia__fail_memory(err);
}

static void forget(version *one)
{
    json_decref(one->parts);
    json_decref(one->environment);
    *one = (version){0};
}

void exia__ledger_free(exia__ledger *ledger)
{
    if (ledger == NULL)
        return;
    for (size_t i = 0; i < ledger->count; i++)
        forget(&ledger->versions[i]);
    for (size_t i = 0; i < ledger->stack_count; i++)
        exia__release(ledger->stacks[i].moves);
    exia__release(ledger->versions);
    exia__release(ledger->stacks);
    json_decref(ledger->names);
    exia__release(ledger);
}

int64_t exia__ledger_highest(const exia__ledger *ledger)
{
    return (int64_t)ledger->count;
}

static version *find_version(const exia__ledger *ledger, int64_t number)
{
    return number >= 1 && (uint64_t)number <= ledger->count ? &ledger->versions[number - 1] : NULL;
}

const json_t *exia__ledger_version(const char **environment, const exia__ledger *ledger,
                                   int64_t number)
{
    const version *found = find_version(ledger, number);
    *environment = found ? json_string_value(found->environment) : NULL;
    return found ? found->parts : NULL;
}

/* ---- moves ---------------------------------------------------------------------------------- */

static exia_status find_stack(stack **out, exia__ledger *ledger, const char *alias, exia_error *err)
{
    const json_t *at = json_object_get(ledger->names, alias);
    exia_status rc = EXIA_OK;
    if (at == NULL) {
        rc = exia__grow(&ledger->stacks, &ledger->stack_capacity, ledger->stack_count + 1,
                        sizeof *ledger->stacks, err);
        if (rc == EXIA_OK)
            rc = exia__json_set(ledger->names, alias, json_integer((json_int_t)ledger->stack_count),
                                err);
        if (rc < 0)
            return rc;
        ledger->stacks[ledger->stack_count++] = (stack){0};
        at = json_object_get(ledger->names, alias);
    }
    *out = &ledger->stacks[json_integer_value(at)];
    return EXIA_OK;
}

static exia_status take_move(exia__ledger *ledger, int64_t seq, const json_t *said, int pops,
                             exia_error *err)
{
    const char *name = exia__json_string(said, "alias");
    const json_t *from = json_object_get(said, "from"), *to = json_object_get(said, "to");
    const json_t *below = json_object_get(said, "below");
    stack *alias = NULL;
    if (name == NULL || exia__name_check(name, "alias", NULL) < 0 || !json_is_integer(from) ||
        !json_is_integer(to) || !json_is_integer(below))
        return nonsense(err, "a move is not complete");
    exia_status rc = find_stack(&alias, ledger, name, err);
    if (rc < 0)
        return rc;
    int64_t target = json_integer_value(to);
    const version *there = find_version(ledger, target);
    const move none = {0};
    const move *top = alias->depth > 0 ? &alias->moves[alias->depth - 1] : &none;
    const move *brought = pops ? (alias->depth > 1 ? top - 1 : &none) : top;
    if (json_integer_value(from) != top->version)
        return exia__fail(err, EXIA_ECORRUPT, 0,
                          "the alias %s does not stand where it is moved from", name);
    if (target != EXIA_ABSENT && (there == NULL || there->parts == NULL))
        return exia__fail(err, EXIA_ECORRUPT, 0, "the alias %s moves to no version", name);
    if (json_integer_value(below) != brought->seq ||
        (pops && (alias->depth < 2 || target != brought->version)))
        return exia__fail(err, EXIA_ECORRUPT, 0, "the history of the alias %s does not fit", name);
    if (pops) {
        alias->depth--;
        return EXIA_OK;
    }
    rc = exia__grow(&alias->moves, &alias->capacity, alias->depth + 1, sizeof *alias->moves, err);
    if (rc == EXIA_OK)
        alias->moves[alias->depth++] = (move){seq, target};
    return rc;
}

static exia_status take_moves(exia__ledger *ledger, int64_t seq, const json_t *entry, int pops,
                              int needed, exia_error *err)
{
    size_t i = 0;
    json_t *said = NULL, *moves = json_object_get(entry, "moves");
    exia_status rc = EXIA_OK;
    if ((moves != NULL && !json_is_array(moves)) || (needed && json_array_size(moves) == 0))
        return nonsense(err, "it has no list of moves");
    json_array_foreach(moves, i, said)
    {
        if (rc == EXIA_OK)
            rc = take_move(ledger, seq, said, pops, err);
    }
    return rc;
}

static exia_status do_move(exia__ledger *ledger, int64_t seq, const json_t *entry, exia_error *err)
{
    return take_moves(ledger, seq, entry, 0, 1, err);
}

static exia_status do_rollback(exia__ledger *ledger, int64_t seq, const json_t *entry,
                               exia_error *err)
{
    return take_moves(ledger, seq, entry, 1, 1, err);
}

static exia_status do_protect(exia__ledger *ledger, int64_t seq, const json_t *entry,
                              exia_error *err)
{
    const json_t *protect = json_object_get(entry, "protect");
    const char *name = exia__json_string(protect, "alias");
    (void)seq;
    if (name == NULL || !json_is_boolean(json_object_get(protect, "on")) ||
        json_object_get(ledger->names, name) == NULL)
        return nonsense(err, "it protects no alias");
    return EXIA_OK;
}

/* ---- versions ------------------------------------------------------------------------------- */

/* Every writer puts a part under its digest, or that and a number. */
static int key_fits(const char *key, const char *sha256)
{
    char hex[EXIA__HEX_SIZE];
    return key != NULL && exia__blob_digest(hex, key) &&
           (sha256 == NULL || strcmp(hex, sha256) == 0);
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

/* Where its bytes are said to be, and those that are in the entry itself. */
static exia_status check_published(const json_t *said, exia_error *err)
{
    size_t i = 0, within = 0;
    const json_t *part = NULL;
    exia_status rc = EXIA_OK;
    json_array_foreach(json_object_get(said, "parts"), i, part)
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

static exia_status do_publish(exia__ledger *ledger, int64_t seq, const json_t *entry,
                              exia_error *err)
{
    json_t *said = json_object_get(entry, "version"), *part = NULL;
    json_t *parts = json_object_get(said, "parts"), *kept = NULL;
    const json_t *number = json_object_get(said, "number");
    size_t i = 0;
    if (!json_is_integer(number) || json_integer_value(number) != (json_int_t)ledger->count + 1)
        return exia__fail(err, EXIA_ECORRUPT, 0, "it does not publish version %zu",
                          ledger->count + 1);
    exia_status rc = exia__parts_check(parts, 1, err);
    if (rc == EXIA_OK)
        rc = check_published(said, err);
    if (rc == EXIA_OK)
        rc = exia__facts_check(said, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&ledger->versions, &ledger->capacity, ledger->count + 1,
                        sizeof *ledger->versions, err);
    if (rc == EXIA_OK && (kept = json_array()) == NULL)
        rc = exia__fail_memory(err);
    json_array_foreach(parts, i, part)
    {
        if (rc == EXIA_OK && json_object_get(part, "key") != NULL)
            rc = exia__json_append(kept, json_incref(part), err);
    }
    if (rc < 0) {
        json_decref(kept);
        return rc;
    }
    json_t *environment = json_object_get(said, "environment");
    ledger->versions[ledger->count++] =
        (version){kept, json_is_string(environment) ? json_incref(environment) : NULL};
    return take_moves(ledger, seq, entry, 0, 0, err);
}

/* The version that the entry speaks of, there or removed; NULL: there never was such a one. */
static version *named_version(const exia__ledger *ledger, const json_t *entry)
{
    const json_t *said = json_object_get(entry, "version");
    return find_version(ledger, json_integer_value(json_object_get(said, "number")));
}

static exia_status do_remove(exia__ledger *ledger, int64_t seq, const json_t *entry,
                             exia_error *err)
{
    version *gone = named_version(ledger, entry);
    (void)seq;
    if (gone == NULL || gone->parts == NULL)
        return nonsense(err, "it removes a version that is not there");
    for (size_t i = 0; i < ledger->stack_count; i++) {
        const stack *alias = &ledger->stacks[i];
        if (alias->depth > 0 &&
            alias->moves[alias->depth - 1].version == gone - ledger->versions + 1)
            return nonsense(err, "it removes a version that an alias is on");
    }
    forget(gone);
    return EXIA_OK;
}

static exia_status do_sign(exia__ledger *ledger, int64_t seq, const json_t *entry, exia_error *err)
{
    (void)seq;
    if (named_version(ledger, entry) == NULL || !exia__signature_valid(entry))
        return nonsense(err, "it signs a version that is not there, or with no text");
    return EXIA_OK;
}

static int has_part(const version *one, const char *name)
{
    size_t i = 0;
    const json_t *part = NULL;
    json_array_foreach(one->parts, i, part)
    {
        if (name != NULL && strcmp(exia__json_string(part, "name"), name) == 0)
            return 1;
    }
    return 0;
}

static exia_status do_repair(exia__ledger *ledger, int64_t seq, const json_t *entry,
                             exia_error *err)
{
    const version *mended = named_version(ledger, entry);
    json_t *repairs = json_object_get(json_object_get(entry, "version"), "parts"), *repair = NULL;
    size_t i = 0;
    (void)seq;
    if (mended == NULL || !json_is_array(repairs))
        return nonsense(err, "it repairs a version that is not there");
    json_array_foreach(repairs, i, repair)
    {
        if (mended->parts != NULL && !has_part(mended, exia__json_string(repair, "name")))
            return nonsense(err, "it repairs a part that is not there");
        if (!key_fits(exia__json_string(repair, "key"), NULL))
            return nonsense(err, "its key is not that of a digest");
    }
    return EXIA_OK;
}

/* ---- entries -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    exia_status (*take)(exia__ledger *ledger, int64_t seq, const json_t *entry, exia_error *err);
} verbs[] = {{"publish", do_publish}, {"move", do_move}, {"rollback", do_rollback},
             {"remove", do_remove},   {"sign", do_sign}, {"repair", do_repair},
             {"protect", do_protect}};

exia_status exia__ledger_take(exia__ledger *ledger, const json_t *entry, exia_error *err)
{
    exia_status rc = exia__entry_check(entry, ledger->time, err);
    if (rc < 0)
        return rc;
    const char *verb = exia__json_string(entry, "do");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verb, verbs[i].name) != 0)
            continue;
        rc = verbs[i].take(ledger, ledger->head + 1, entry, err);
        if (rc == EXIA_OK) {
            ledger->head++;
            memcpy(ledger->time, exia__json_string(entry, "time"), 25);
        }
        return rc;
    }
    return exia__fail(err, EXIA_EVERSION, 0, "\"%.40s\" is not known to this library", verb);
}
