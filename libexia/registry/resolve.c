/* What there is to choose from, for the solver: of each package what is installed, registered here and
 * on the other side, the best one first.  What must not be chosen is left out with a note, so that a
 * refusal can tell: records that are in conflict or cannot be read, one identity with other content on
 * the two sides, what the lock file does not hold. */
#include "registry/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/version.h"
#include "registry/files.h"
#include "registry/installed.h"
#include "registry/solve.h"

enum { RIGHT, WRONG };
enum { FEW = 32 }; /* names that are asked for one by one, before all are read at once */

/* The offers of a side. */
typedef struct shelf {
    const exia__side *side;
    const char *from;
    exia__offers offers; /* of the name that was asked for last, or of all */
    size_t asked;
    int whole;
} shelf;

typedef struct search {
    const exia__wish *wish;
    const exia_job *job;
    const char
        *root; /* the package that is asked for; of a whole lock file a name that none can have */
    json_t *installed; /* name -> rows */
    shelf here, there; /* `side` NULL: none */
} search;

/* What there is of one package, so far. */
typedef struct choice {
    search *state;
    const char *name;
    int root;
    json_t *list;
    char other[3 * EXIA__VERSION_SIZE]; /* the first one that is for another machine */
    exia__buffer note;
} choice;

/* ---- which one is better ---- */

static int rank_from(const json_t *candidate)
{
    const char *from = exia__json_string(candidate, "from");
    return strcmp(from, "installed") == 0 ? 0 : strcmp(from, "here") == 0 ? 1 : 2;
}

/* Newest first, made for this platform before made for any. */
static int newest_first(const json_t *a, const json_t *b)
{
    int order =
        exia__version_compare(exia__json_string(b, "version"), exia__json_string(a, "version"));
    return order ? order
                 : (strcmp(exia__json_string(a, "tag"), "any") == 0) -
                       (strcmp(exia__json_string(b, "tag"), "any") == 0);
}

/* For an upgrade: what is here before what is there only where both are the same. */
static int better_newest(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    int order = newest_first(a, b);
    return order ? order : rank_from(a) - rank_from(b);
}

/* What is needed: what is installed before what is not. */
static int better_need(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    int order = (rank_from(a) > 0) - (rank_from(b) > 0);
    return order ? order : better_newest(left, right);
}

/* What was asked for: a final version first.  What is installed comes last, since it is a candidate
 * of its own only where its content differs from what is registered. */
static int better_root(const void *left, const void *right)
{
    const json_t *a = *(json_t *const *)left, *b = *(json_t *const *)right;
    int order = exia__version_is_pre(exia__json_string(a, "version")) -
                exia__version_is_pre(exia__json_string(b, "version"));
    if (order == 0)
        order = newest_first(a, b);
    return order ? order : (rank_from(a) + 2) % 3 - (rank_from(b) + 2) % 3;
}

/* ---- candidates ---- */

/* Note why something is left out; what is `WRONG` is to be known even where all goes well. */
__attribute__((format(printf, 4, 5))) static exia_status note(choice *one, int how, exia_error *err,
                                                              const char *format, ...)
{
    va_list arguments;
    char text[256];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (how == WRONG)
        exia__log(EXIA_LOG_WARNING, "registry", "%s", text);
    if (one->note.size > sizeof text)
        return EXIA_OK; /* nobody reads more of them in a line */
    return exia__buffer_format(&one->note, err, "%s%s", one->note.size ? "; " : "", text);
}

static int same(const json_t *a, const json_t *b, const char *member)
{
    return strcmp(exia__json_string(a, member), exia__json_string(b, member)) == 0;
}

static int same_identity(const json_t *a, const json_t *b)
{
    return same(a, b, "tag") && exia__version_compare(exia__json_string(a, "version"),
                                                      exia__json_string(b, "version")) == 0;
}

/* Add it, unless the same package is a candidate already, or it is for another machine. */
static exia_status add_candidate(choice *one, const json_t *row, const char *from, exia_error *err)
{
    static const char *const kept[] = {"name", "version", "tag", "digest", "size", "dependencies"};
    const exia__spec *asked = one->state->wish->package;
    const char *tag = exia__json_string(row, "tag");
    exia_error why = {0};
    int good = exia__tag_fits_on(tag, one->state->wish->platform);
    if (one->root && asked != NULL)
        good = (asked->tag != NULL || good) &&
               exia__spec_match(asked, one->name, exia__json_string(row, "version"), tag);
    else if (!good && one->other[0] == '\0')
        snprintf(one->other, sizeof one->other, "%s %s is for %s", one->name,
                 exia__json_string(row, "version"), tag);
    for (size_t i = 0; good && i < json_array_size(one->list); i++) {
        const json_t *other = json_array_get(one->list, i);
        good =
            !same(other, row, "version") || !same(other, row, "tag") || !same(other, row, "digest");
    }
    if (!good)
        return EXIA_OK;
    exia_status rc = exia__candidate_check(row, &why);
    if (rc < 0)
        return note(one, WRONG, err, "%s@%s is passed over: %s", one->name,
                    exia__json_string(row, "version"), why.text);
    json_t *candidate = json_pack("{s:s}", "from", from);
    if (candidate == NULL)
        rc = exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < sizeof kept / sizeof *kept; i++) {
        json_t *member = json_object_get(row, kept[i]);
        if (member != NULL)
            rc = exia__json_set(candidate, kept[i], json_incref(member), err);
    }
    if (rc == EXIA_OK)
        rc = exia__json_append(one->list, json_incref(candidate), err);
    json_decref(candidate);
    return rc;
}

/* The offers of one name on a side, in `shelf->offers` from `*first` to before `*end`. */
static exia_status find_offers(size_t *first, size_t *end, shelf *from, const char *name,
                               const exia_job *job, exia_error *err)
{
    exia_status rc = EXIA_OK;
    *first = *end = 0;
    if (!from->whole) {
        exia__offers_free(&from->offers);
        from->whole = from->asked++ >= FEW;
        rc = exia__offers_read(&from->offers, from->side, from->whole ? NULL : name, job, err);
    }
    if (rc < 0)
        return rc;
    size_t low = 0, high = from->offers.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(from->offers.items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (*first = *end = low;
         *end < from->offers.count && strcmp(from->offers.items[*end].name, name) == 0;)
        ++*end;
    return EXIA_OK;
}

static exia_status add_offers(choice *one, shelf *from, exia_error *err)
{
    size_t first = 0, end = 0;
    if (from->side == NULL)
        return EXIA_OK;
    exia_status rc = find_offers(&first, &end, from, one->name, one->state->job, err);
    for (size_t i = first; rc == EXIA_OK && i < end; i++) {
        const exia__offer *offer = &from->offers.items[i];
        json_t *row = NULL;
        if (offer->bad != EXIA_OK) {
            rc = note(one, WRONG, err, "%s@%s is passed over: %s", offer->name, offer->version,
                      offer->why);
            continue;
        }
        rc = exia__offer_row(&row, offer, err);
        if (rc == EXIA_OK)
            rc = add_candidate(one, row, from->from, err);
        json_decref(row);
    }
    if (rc == EXIA_OK && from->side->files != NULL) {
        const char *why = exia__files_broken(from->side->files, one->name);
        if (why != NULL)
            rc = note(one, WRONG, err, "%s", why);
    }
    return rc;
}

static exia_status add_installed(choice *one, exia_error *err)
{
    const json_t *rows = json_object_get(one->state->installed, one->name);
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (exia__path_exists(exia__json_string(row, "directory"))) /* else it has to come again */
            rc = add_candidate(one, row, "installed", err);
    }
    return rc;
}

/* ---- what is not to be chosen ---- */

/* With a lock file only what it holds. */
static exia_status keep_pinned(choice *one, exia_error *err)
{
    const exia__wish *wish = one->state->wish;
    const json_t *pin = json_object_get(wish->pins, one->name), *other = NULL;
    size_t kept = 0;
    if (pin == NULL) {
        if (wish->pins == NULL || !wish->locked)
            return EXIA_OK;
        json_array_clear(one->list);
        return note(one, RIGHT, err, "%s does not list %s", wish->lock, one->name);
    }
    while (kept < json_array_size(one->list)) {
        const json_t *candidate = json_array_get(one->list, kept);
        int identity = same_identity(candidate, pin);
        if (identity && !same(candidate, pin, "digest"))
            other = pin;
        if (identity && same(candidate, pin, "digest"))
            kept++;
        else
            json_array_remove(one->list, kept);
    }
    if (kept == 0 && other != NULL)
        return exia__fail(err, EXIA_ECONFLICT, 0,
                          "%s holds %s@%s with digest %.12s, and what there is has another: one of "
                          "them was replaced",
                          wish->lock, one->name, exia__json_string(pin, "version"),
                          exia__json_string(pin, "digest"));
    if (kept == 0)
        return note(one, RIGHT, err, "%s holds %s@%s#%s", wish->lock, one->name,
                    exia__json_string(pin, "version"), exia__json_string(pin, "tag"));
    return note(one, RIGHT, err, "%s holds it", wish->lock);
}

/* One identity with other content here and there: nobody knows which is meant, unless one of them is
 * installed already. */
static exia_status drop_conflicts(choice *one, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(one->list); i++) {
        const json_t *candidate = json_array_get(one->list, i);
        for (size_t k = i + 1; k < json_array_size(one->list); k++) {
            const json_t *other = json_array_get(one->list, k);
            if (rank_from(candidate) == 0 || !same_identity(candidate, other))
                continue;
            const char *version = exia__json_string(candidate, "version");
            if (one->root)
                return exia__fail(err, EXIA_ECONFLICT, 0,
                                  "%s@%s is one package here and another on %s: unregister one "
                                  "of them",
                                  one->name, version, one->state->there.side->name);
            rc = note(one, WRONG, err, "%s@%s is one package here and another on %s", one->name,
                      version, one->state->there.side->name);
            json_array_remove(one->list, k);
            json_array_remove(one->list, i--);
            break;
        }
    }
    return rc;
}

static exia_status sort_list(choice *one, exia_error *err)
{
    size_t count = json_array_size(one->list);
    json_t **items = exia__array(NULL, count, sizeof *items), *sorted = json_array();
    exia_status rc = items && sorted ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        items[i] = json_array_get(one->list, i);
    if (rc == EXIA_OK && count > 0)
        qsort(items, count, sizeof *items,
              one->root                   ? better_root
              : one->state->wish->upgrade ? better_newest
                                          : better_need);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = exia__json_append(sorted, json_incref(items[i]), err);
    exia__release(items);
    json_decref(rc == EXIA_OK ? one->list : sorted);
    if (rc == EXIA_OK)
        one->list = sorted;
    return rc;
}

/* A package that needs exactly what the lock file lists. */
static exia_status look_lock(exia__choices *out, const search *state, exia_error *err)
{
    const char *name;
    json_t *pin, *needs = json_array();
    exia_status rc = needs ? EXIA_OK : exia__fail_memory(err);
    json_object_foreach((json_t *)state->wish->pins, name, pin)
    {
        if (rc == EXIA_OK)
            rc = exia__json_append(
                needs, json_sprintf("%s == %s", name, exia__json_string(pin, "version")), err);
    }
    if (rc == EXIA_OK) {
        out->candidates = json_pack("[{s:s, s:s, s:s, s:O}]", "name", state->root, "version", "",
                                    "tag", "any", "dependencies", needs);
        rc = out->candidates ? EXIA_OK : exia__fail_memory(err);
    }
    json_decref(needs);
    return rc;
}

static exia_status look(exia__choices *out, const char *name, void *payload, exia_error *err)
{
    search *state = payload;
    choice one = {
        .state = state, .name = name, .root = strcmp(name, state->root) == 0, .list = json_array()};
    if (one.root && state->wish->package == NULL) {
        json_decref(one.list);
        return look_lock(out, state, err);
    }
    exia_status rc = one.list ? add_installed(&one, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = add_offers(&one, &state->here, err);
    if (rc == EXIA_OK)
        rc = add_offers(&one, &state->there, err);
    if (rc == EXIA_OK && json_array_size(one.list) == 0 && one.other[0] != '\0')
        rc = note(&one, RIGHT, err, "%s", one.other);
    if (rc == EXIA_OK)
        rc = keep_pinned(&one, err);
    if (rc == EXIA_OK)
        rc = drop_conflicts(&one, err);
    if (rc == EXIA_OK)
        rc = sort_list(&one, err);
    if (rc == EXIA_OK && one.note.size > 0)
        rc = exia__buffer_take(&out->note, &one.note, err);
    if (rc == EXIA_OK) {
        out->candidates = one.list;
        one.list = NULL;
    }
    json_decref(one.list);
    exia__buffer_free(&one.note);
    return rc;
}

/* ---- around it ---- */

/* What was asked for must be good on a side where it is: nobody gets an older version in the place of
 * one that is in conflict.  EXIA_DONE: it is not there, and `missing` says so. */
static exia_status check_root(const search *state, const exia__side *side, exia_error *missing,
                              exia_error *err)
{
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia_error caught;
    exia_status rc =
        exia__offer_find(&offer, &offers, side, state->wish->package, state->job, &caught);
    if (rc == EXIA_ENOTFOUND) {
        *missing = caught;
        rc = EXIA_DONE;
    }
    exia__offers_free(&offers);
    return rc < 0 ? exia__error_pass(err, &caught) : rc;
}

static exia_status check_roots(search *state, exia_error *err)
{
    const exia__wish *wish = state->wish;
    const json_t *pin = json_object_get(wish->pins, wish->package->name);
    exia_error missing = {0};
    exia__choices choices = {0};
    exia_status rc = EXIA_OK;
    if (pin == NULL) /* else the digest tells which one is meant */
        rc = check_root(state, state->here.side, &missing, err);
    if (rc >= 0 && pin == NULL && wish->there != NULL)
        rc = check_root(state, wish->there, &missing, err);
    if (rc >= 0)
        rc = look(&choices, wish->package->name, state, err);
    if (rc >= 0 && json_array_size(choices.candidates) > 0)
        rc = EXIA_OK;
    else if (rc >= 0 && choices.note != NULL && wish->pins != NULL)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s is not to be had: %s", wish->package->text,
                        choices.note);
    else if (rc >= 0 && wish->there != NULL)
        rc = exia__error_pass(err, &missing);
    else if (rc >= 0)
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s; a source (--from REMOTE) would pull it",
                        missing.text);
    exia__release(choices.note);
    json_decref(choices.candidates);
    return rc;
}

/* What is installed, by name. */
static exia_status read_installed(search *state, exia_error *err)
{
    json_t *rows = NULL;
    state->installed = json_object();
    exia_status rc = state->installed ? EXIA_OK : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = exia__installed_read(&rows, state->wish->registry, NULL, err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        const char *name = exia__json_string(row, "name");
        if (json_object_get(state->installed, name) == NULL)
            rc = exia__json_set(state->installed, name, json_array(), err);
        if (rc == EXIA_OK)
            rc = exia__json_append(json_object_get(state->installed, name), json_incref(row), err);
    }
    json_decref(rows);
    return rc;
}

/* What was passed over is told where nobody sees the plan. */
static void log_passed_over(const json_t *steps)
{
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const char *text = exia__json_string(json_array_get(steps, i), "passed_over");
        if (text != NULL)
            exia__log(EXIA_LOG_INFO, "registry", "%s", text);
    }
}

exia_status exia__resolve(json_t **out, const exia__wish *wish, const exia_job *job,
                          exia_error *err)
{
    exia__side here = exia__side_here(wish->registry);
    search state = {.wish = wish,
                    .job = job,
                    .here = {.side = &here, .from = "here"},
                    .there = {.side = wish->there, .from = "there"}};
    exia__question question = {
        .there = wish->there ? wish->there->name : NULL, .look = look, .payload = &state};
    exia__work work;
    char *lock = NULL;
    *out = NULL;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK && wish->package == NULL)
        rc = exia__text_format(&lock, err, "the lock file %s", wish->lock);
    state.root = question.root = lock ? lock : wish->package ? wish->package->name : "";
    if (rc == EXIA_OK)
        rc = read_installed(&state, err);
    if (rc == EXIA_OK && wish->package != NULL)
        rc = check_roots(&state, err);
    if (rc == EXIA_OK)
        rc = exia__solve(out, &question, &work, err);
    if (rc == EXIA_OK && wish->package == NULL)
        json_array_remove(*out, json_array_size(*out) - 1);
    if (rc == EXIA_OK)
        log_passed_over(*out);
    exia__release(lock);
    exia__offers_free(&state.here.offers);
    exia__offers_free(&state.there.offers);
    json_decref(state.installed);
    return rc;
}
