/* Dependency resolution: a search in depth with a stack of its own.  Each place on the stack holds a
 * package and the candidates for it, best first; where none fits those chosen below it, the place
 * goes and the one before it tries its next.  Each name gets one version.  The order of what was
 * chosen, and the cycle in it, come from the graph module. */
#include "registry/resolve.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "exia/dag.h"
#include "package/version.h"
#include "registry/installed.h"

enum { MOST_TRIES = 100000 };

typedef struct place {
    const char *name;   /* held by the universe */
    json_t *candidates; /* borrowed from the universe */
    size_t next;        /* the candidate to try next */
    const json_t *chosen;
} place;

typedef struct search {
    const exia_registry *registry;
    exia__side here;
    const exia__side *there; /* NULL: none */
    const exia__spec *selector;
    int upgrade;
    const exia_job *job;
    json_t *universe; /* name -> candidates, best first */
    place *stack;
    size_t depth, capacity, tries;
    exia_error first; /* why the search had to turn back for the first time */
} search;

/* ---- candidates ---- */

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

/* Add it, unless the same package is a candidate already, or nobody can read what it needs. */
static exia_status add_candidate(json_t *list, const json_t *row, const char *from, exia_error *err)
{
    static const char *const same[] = {"version", "tag", "digest"};
    static const char *const kept[] = {"name", "version", "tag", "digest", "dependencies"};
    const json_t *needs = json_object_get(row, "dependencies");
    for (size_t i = 0; i < json_array_size(needs); i++) {
        const char *text = json_string_value(json_array_get(needs, i));
        exia__dependency parsed;
        exia_error why = {0};
        if (text == NULL || exia__dependency_parse(&parsed, text, &why) < 0) {
            exia__log(EXIA_LOG_WARNING, "registry", "%s %s is passed over: %s",
                      exia__json_string(row, "name"), exia__json_string(row, "version"),
                      text ? why.text : "a dependency is no text");
            return EXIA_OK;
        }
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *other = json_array_get(list, i);
        size_t equal = 0;
        for (size_t k = 0; k < 3; k++)
            equal +=
                strcmp(exia__json_string(other, same[k]), exia__json_string(row, same[k])) == 0;
        if (equal == 3)
            return EXIA_OK;
    }
    json_t *candidate = json_pack("{s:s}", "from", from);
    exia_status rc = candidate ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < sizeof kept / sizeof *kept; i++) {
        json_t *member = json_object_get(row, kept[i]);
        if (member != NULL)
            rc = exia__json_set(candidate, kept[i], json_incref(member), err);
    }
    if (rc == EXIA_OK)
        rc = exia__json_append(list, json_incref(candidate), err);
    json_decref(candidate);
    return rc;
}

static exia_status add_offers(json_t *list, const exia__side *side, const char *name,
                              const char *from, const search *state, exia_error *err)
{
    exia__offers offers = {0};
    exia_status rc = exia__offers_read(&offers, side, name, state->job, err);
    for (size_t i = 0; rc == EXIA_OK && i < offers.count; i++) {
        const exia__offer *offer = &offers.items[i];
        json_t *row = NULL;
        if (offer->bad != EXIA_OK) {
            exia__log(EXIA_LOG_WARNING, "registry", "%s %s is passed over: %s", offer->name,
                      offer->version, offer->why);
            continue;
        }
        rc = exia__offer_row(&row, offer, err);
        if (rc == EXIA_OK)
            rc = add_candidate(list, row, from, err);
        json_decref(row);
    }
    exia__offers_free(&offers);
    return rc;
}

static int wanted(const search *state, const json_t *candidate, int root)
{
    const char *tag = exia__json_string(candidate, "tag");
    if (!root)
        return exia__tag_fits(tag);
    return (state->selector->tag != NULL || exia__tag_fits(tag)) &&
           exia__spec_match(state->selector, exia__json_string(candidate, "name"),
                            exia__json_string(candidate, "version"), tag);
}

/* All candidates for a name, looked up once. */
static exia_status candidates_of(json_t **out, search *state, const char *name, exia_error *err)
{
    int root = strcmp(name, state->selector->name) == 0;
    json_t *installed = NULL, *list = NULL, *sorted = NULL, **items = NULL;
    size_t count = 0;
    *out = json_object_get(state->universe, name);
    if (*out != NULL)
        return EXIA_OK;
    exia_status rc = exia__installed_read(&installed, state->registry, name, err);
    if (rc == EXIA_OK && ((list = json_array()) == NULL || (sorted = json_array()) == NULL))
        rc = exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(installed); i++) {
        const json_t *row = json_array_get(installed, i);
        if (exia__path_exists(exia__json_string(row, "directory"))) /* else it has to come again */
            rc = add_candidate(list, row, "installed", err);
    }
    if (rc == EXIA_OK)
        rc = add_offers(list, &state->here, name, "here", state, err);
    if (rc == EXIA_OK && state->there != NULL)
        rc = add_offers(list, state->there, name, "there", state, err);
    if (rc == EXIA_OK && (items = exia__array(NULL, json_array_size(list), sizeof *items)) == NULL)
        rc = exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(list); i++) {
        if (wanted(state, json_array_get(list, i), root))
            items[count++] = json_array_get(list, i);
    }
    if (rc == EXIA_OK && count > 0)
        qsort(items, count, sizeof *items,
              root             ? better_root
              : state->upgrade ? better_newest
                               : better_need);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = exia__json_append(sorted, json_incref(items[i]), err);
    if (rc == EXIA_OK)
        rc = exia__json_set(state->universe, name, json_incref(sorted), err);
    if (rc == EXIA_OK)
        *out = sorted;
    exia__release(items);
    json_decref(installed);
    json_decref(list);
    json_decref(sorted);
    return rc;
}

/* ---- the search ---- */

/* The next dependency of a chosen package; they were parsed before. */
static int next_need(exia__dependency *out, const json_t *chosen, size_t index)
{
    const json_t *needs = json_object_get(chosen, "dependencies");
    return index < json_array_size(needs) &&
           exia__dependency_parse(out, json_string_value(json_array_get(needs, index)), NULL) == 0;
}

static const json_t *find_chosen(const search *state, const char *name)
{
    for (size_t i = 0; i < state->depth; i++) {
        if (state->stack[i].chosen != NULL && strcmp(state->stack[i].name, name) == 0)
            return state->stack[i].chosen;
    }
    return NULL;
}

/* Who among the chosen refuses `candidate`, or whom it refuses; NULL: it fits. */
static const json_t *find_clash(const search *state, const json_t *candidate)
{
    const char *name = exia__json_string(candidate, "name");
    exia__dependency need;
    for (size_t i = 0; i < state->depth; i++) {
        const json_t *chosen = state->stack[i].chosen;
        for (size_t k = 0; chosen != NULL && next_need(&need, chosen, k); k++) {
            if (strcmp(need.name, name) == 0 &&
                !exia__dependency_match(&need, exia__json_string(candidate, "version")))
                return chosen;
        }
    }
    for (size_t k = 0; next_need(&need, candidate, k); k++) {
        const json_t *chosen = find_chosen(state, need.name);
        if (chosen != NULL && !exia__dependency_match(&need, exia__json_string(chosen, "version")))
            return chosen;
    }
    return NULL;
}

/* No candidate fits: say who asks for what, and what there is. */
static void explain(search *state, const place *top)
{
    exia__buffer text = {0};
    exia__dependency need;
    const char *sep = "";
    exia_status rc = EXIA_OK;
    if (state->first.status != EXIA_OK)
        return;
    for (size_t i = 0; i < state->depth; i++) {
        const json_t *chosen = state->stack[i].chosen;
        for (size_t k = 0; chosen != NULL && rc == EXIA_OK && next_need(&need, chosen, k); k++) {
            if (strcmp(need.name, top->name) != 0)
                continue;
            rc = exia__buffer_format(
                &text, NULL, "%s%s@%s needs \"%s\"", sep, exia__json_string(chosen, "name"),
                exia__json_string(chosen, "version"),
                json_string_value(json_array_get(json_object_get(chosen, "dependencies"), k)));
            sep = ", ";
        }
    }
    sep = json_array_size(top->candidates) ? ": there is only " : ": there is none";
    if (rc == EXIA_OK)
        rc = exia__buffer_text(&text, sep, NULL);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(top->candidates) && i < 5; i++)
        rc = exia__buffer_format(&text, NULL, "%s%s", i ? ", " : "",
                                 exia__json_string(json_array_get(top->candidates, i), "version"));
    if (rc == EXIA_OK)
        rc = exia__buffer_format(&text, NULL, " here%s%s", state->there ? " and on " : "",
                                 state->there ? state->there->name : "");
    if (rc == EXIA_OK)
        exia__fail(&state->first, EXIA_ENOTFOUND, 0, "%s", text.data);
    else
        exia__fail_memory(&state->first);
    exia__buffer_free(&text);
}

static exia_status push(search *state, const char *name, exia_error *err)
{
    exia_status rc =
        exia__grow(&state->stack, &state->capacity, state->depth + 1, sizeof *state->stack, err);
    if (rc < 0)
        return rc;
    place *top = &state->stack[state->depth];
    *top = (place){0};
    rc = candidates_of(&top->candidates, state, name, err);
    if (rc == EXIA_OK) {
        top->name = json_object_iter_key(json_object_iter_at(state->universe, name));
        state->depth++;
    }
    return rc;
}

/* Choose the next candidate of the place on top that fits; EXIA_DONE: there is none left. */
static exia_status choose(search *state, exia_error *err)
{
    place *top = &state->stack[state->depth - 1];
    int first = top->next == 0;
    top->chosen = NULL;
    while (top->next < json_array_size(top->candidates)) {
        const json_t *candidate = json_array_get(top->candidates, top->next++);
        if (++state->tries > MOST_TRIES)
            return exia__fail(err, EXIA_EUNSUPPORTED, 0,
                              "the dependencies of %s have too many combinations: ask for exact "
                              "versions",
                              state->selector->name);
        if (find_clash(state, candidate) == NULL) {
            top->chosen = candidate;
            return EXIA_OK;
        }
    }
    if (first)
        explain(state, top);
    return EXIA_DONE;
}

/* The first need of the chosen that has no place yet.  Zero: all are met. */
static int find_open_need(exia__dependency *out, const search *state)
{
    for (size_t i = 0; i < state->depth; i++) {
        for (size_t k = 0; next_need(out, state->stack[i].chosen, k); k++) {
            if (find_chosen(state, out->name) == NULL)
                return 1;
        }
    }
    return 0;
}

static exia_status run_search(search *state, exia_error *err)
{
    exia__dependency need;
    exia_status rc = push(state, state->selector->name, err);
    while (rc == EXIA_OK && state->depth > 0) {
        rc = choose(state, err);
        if (rc == EXIA_DONE) {
            state->depth--;
            rc = EXIA_OK;
        } else if (rc == EXIA_OK && find_open_need(&need, state)) {
            rc = push(state, need.name, err);
        } else {
            return rc;
        }
    }
    return rc < 0 ? rc : exia__error_pass(err, &state->first);
}

/* ---- around it ---- */

/* What was asked for must be there and good on the side: nobody gets an older version in the place
 * of one that is in conflict.  EXIA_DONE: it is not there, and `missing` says so. */
static exia_status check_root(const search *state, const exia__side *side, exia_error *missing,
                              exia_error *err)
{
    exia__offers offers = {0};
    const exia__offer *offer = NULL;
    exia_error caught;
    exia_status rc = exia__offer_find(&offer, &offers, side, state->selector, state->job, &caught);
    if (rc == EXIA_ENOTFOUND) {
        *missing = caught;
        rc = EXIA_DONE;
    }
    exia__offers_free(&offers);
    return rc < 0 ? exia__error_pass(err, &caught) : rc;
}

static exia_status check_roots(search *state, exia_error *err)
{
    exia_error missing = {0};
    json_t *candidates = NULL;
    exia_status rc = check_root(state, &state->here, &missing, err);
    if (rc >= 0 && state->there != NULL)
        rc = check_root(state, state->there, &missing, err);
    if (rc >= 0)
        rc = candidates_of(&candidates, state, state->selector->name, err);
    if (rc >= 0 && json_array_size(candidates) == 0)
        rc = state->there != NULL
                 ? exia__error_pass(err, &missing)
                 : exia__fail(err, EXIA_ENOTFOUND, 0, "%s; a source (--from REMOTE) would pull it",
                              missing.text);
    return rc < 0 ? rc : EXIA_OK;
}

/* The chosen packages, what is needed first. */
static exia_status put_in_order(json_t **out, const search *state, exia_error *err)
{
    exia_dag *dag = NULL;
    json_t *list = json_array();
    const uint32_t *order = NULL;
    exia__dependency need;
    size_t count = 0;
    exia_status rc = list ? exia_dag_open(&dag, err) : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < state->depth; i++)
        rc = exia_dag_add_nodes(NULL, dag, &state->stack[i].name, 1, err);
    for (size_t i = 0; rc == EXIA_OK && i < state->depth; i++) {
        uint32_t before = 0, after = (uint32_t)i;
        for (size_t k = 0; rc == EXIA_OK && next_need(&need, state->stack[i].chosen, k); k++) {
            rc = exia_dag_find(&before, dag, need.name, err);
            if (rc == EXIA_OK)
                rc = exia_dag_add_edges(dag, &before, &after, 1, err);
        }
    }
    if (rc == EXIA_OK)
        rc = exia_dag_order(&order, &count, dag, err);
    if (rc == EXIA_ECYCLE)
        exia__prefix(err, rc, "the packages need each other");
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = exia__json_append(list, json_incref((json_t *)state->stack[order[i]].chosen), err);
    if (rc == EXIA_OK) {
        *out = list;
        list = NULL;
    }
    json_decref(list);
    exia_dag_free(dag);
    return rc;
}

exia_status exia__resolve(json_t **out, const exia_registry *registry, const exia__side *there,
                          const exia__spec *selector, const exia_install_options *options,
                          const exia_job *job, exia_error *err)
{
    search state = {.registry = registry,
                    .here = exia__side_here(registry),
                    .there = there,
                    .selector = selector,
                    .upgrade = options->upgrade,
                    .job = job};
    *out = NULL;
    state.universe = json_object();
    exia_status rc = state.universe ? check_roots(&state, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = run_search(&state, err);
    if (rc == EXIA_OK)
        rc = put_in_order(out, &state, err);
    exia__release(state.stack);
    json_decref(state.universe);
    return rc;
}
