/* Why nothing can be chosen.  The proof is a tree of nogoods whose leaves are what packages say of
 * themselves; the log gets all of these.  One line has room for the heart of it: the first leaves that
 * leave nothing of one package, what there is of that, whose other versions were of no use, and by whom
 * the packages that ask came in:
 *
 *     d@1 needs "low >= 2", b@3 needs "low < 2": of low there is only 2, 1 here; other versions of b do
 *     not help; top needs a needs c needs d */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/solver.h"

enum { SHOWN = 5, LOGGED = 100, MOST_PAIRS = 1 << 20 };
enum { LINKS_FIRST = 3, LINKS_LAST = 2 }; /* of a chain that is too long to show */

typedef struct proof {
    const exia__solver *solver;
    uint32_t *leaves; /* numbers of nogoods, ascending: what was met first comes first */
    size_t count;
} proof;

static int by_number(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* All that the solver's reasons come down to. */
static exia_status find_leaves(proof *out, exia__solver *solver, exia_error *err)
{
    size_t open = solver->reason_count;
    uint32_t *stack = exia__array(NULL, solver->nogood_count, sizeof *stack);
    out->leaves = exia__array(NULL, solver->nogood_count, sizeof *out->leaves);
    if (stack == NULL || out->leaves == NULL) {
        exia__release(stack);
        return exia__fail_memory(err);
    }
    for (size_t i = open = 0; i < solver->reason_count; i++) {
        exia__nogood *nogood = solver->nogoods[solver->reasons[i]];
        if (!nogood->seen)
            stack[open++] = solver->reasons[i];
        nogood->seen = 1;
    }
    while (open > 0) {
        uint32_t number = stack[--open];
        const exia__nogood *nogood = solver->nogoods[number];
        if (nogood->kind == EXIA__NEEDED || nogood->kind == EXIA__CIRCLE)
            out->leaves[out->count++] = number;
        for (uint32_t i = 0; i < nogood->reasons; i++) {
            exia__nogood *reason = solver->nogoods[nogood->reason[i]];
            if (!reason->seen)
                stack[open++] = nogood->reason[i];
            reason->seen = 1;
        }
    }
    exia__release(stack);
    if (out->count > 0)
        qsort(out->leaves, out->count, sizeof *out->leaves, by_number);
    return EXIA_OK;
}

static const exia__nogood *leaf(const proof *all, size_t index)
{
    return all->solver->nogoods[all->leaves[index]];
}

static const char *version_of(const exia__solver *solver, uint32_t name, uint32_t candidate)
{
    return exia__json_string(exia__row_of(solver, name, candidate), "version");
}

/* ---- words ---- */

/* How many candidates a term speaks of. */
static uint32_t size_of(const exia__solver *solver, const exia__term *term)
{
    return exia__set_count(term->set, solver->names[term->name].words) -
           (uint32_t)exia__set_has(term->set, 0);
}

/* "a@1.2", "a (every version)", "a 1.2, 1.1 ..." */
static exia_status write_who(exia__buffer *text, const exia__solver *solver, const exia__term *who,
                             exia_error *err)
{
    const exia__name *one = &solver->names[who->name];
    uint32_t all = size_of(solver, who), shown = 0;
    exia_status rc = exia__buffer_text(text, one->text, err);
    if (rc == EXIA_OK && all == one->count && all > 1)
        return exia__buffer_text(text, " (every version)", err);
    if (rc == EXIA_OK && all == 1 && who->name == 0 && *version_of(solver, 0, 0) == '\0')
        return rc; /* a root that is no package */
    for (uint32_t i = 0; rc == EXIA_OK && i < one->count && shown < 3; i++) {
        if (exia__set_has(who->set, i + 1))
            rc = exia__buffer_format(text, err, "%s%s",
                                     shown++    ? ", "
                                     : all == 1 ? "@"
                                                : " ",
                                     version_of(solver, who->name, i));
    }
    return rc == EXIA_OK && all > shown ? exia__buffer_text(text, " ...", err) : rc;
}

static exia_status write_need(exia__buffer *text, const exia__solver *solver,
                              const exia__nogood *need, exia_error *err)
{
    exia_status rc = write_who(text, solver, &need->terms[0], err);
    return rc < 0 ? rc : exia__buffer_format(text, err, " needs \"%s\"", need->text);
}

static exia_status write_circle(exia__buffer *text, const exia__solver *solver,
                                const exia__nogood *circle, exia_error *err)
{
    exia_status rc = exia__buffer_text(text, "the packages need each other: ", err);
    for (uint32_t i = 0; rc == EXIA_OK && i < circle->count; i++) {
        if (i > 0)
            rc = exia__buffer_text(text, " needs ", err);
        if (rc == EXIA_OK)
            rc = write_who(text, solver, &circle->terms[i], err);
    }
    return rc < 0 ? rc
                  : exia__buffer_format(text, err, " needs %s",
                                        solver->names[circle->terms[0].name].text);
}

/* ": of x there is only 1.2, 1.1 here", and what was left out. */
static exia_status write_there_is(exia__buffer *text, const exia__solver *solver, uint32_t name,
                                  exia_error *err)
{
    const exia__name *one = &solver->names[name];
    const char *there = solver->question->there;
    int pre = 0;
    exia_status rc = exia__buffer_format(
        text, err, one->count ? ": of %s there is only " : ": there is no %s", one->text);
    for (uint32_t i = 0; rc == EXIA_OK && i < one->count && i < SHOWN; i++) {
        pre |= exia__version_is_pre(version_of(solver, name, i));
        rc = exia__buffer_format(text, err, "%s%s", i ? ", " : "", version_of(solver, name, i));
    }
    if (rc == EXIA_OK)
        rc = exia__buffer_format(text, err, "%s here%s%s%s", one->count > SHOWN ? " ..." : "",
                                 there == NULL ? ""
                                 : one->count  ? " and on "
                                               : " or on ",
                                 there ? there : "",
                                 pre ? " (a pre-release only where a range names one)" : "");
    if (rc == EXIA_OK && one->choices.note != NULL)
        rc = exia__buffer_format(text, err, "; %s", one->choices.note);
    return rc;
}

/* ---- by whom it came in ---- */

/* Of each package the one that needed it first, from the root on; EXIA__NONE: the root, or nobody. */
static exia_status find_parents(uint32_t **out, const exia__solver *solver, exia_error *err)
{
    uint32_t *parents = exia__array(NULL, solver->name_count, sizeof *parents);
    uint32_t *queue = exia__array(NULL, solver->name_count, sizeof *queue), count = 0;
    *out = parents;
    if (parents == NULL || queue == NULL) {
        exia__release(queue);
        return exia__fail_memory(err);
    }
    memset(parents, 0xff, solver->name_count * sizeof *parents);
    queue[count++] = 0; /* the root was the first to be named */
    for (uint32_t i = 0; i < count; i++) {
        const exia__name *one = &solver->names[queue[i]];
        for (uint32_t k = 0; one->looked && k <= one->count / EXIA__BLOCK; k++) {
            for (size_t n = 0; n < one->blocks[k].count; n++) {
                const exia__need *need = &one->blocks[k].needs[n];
                if (need->on == 0 || parents[need->on] != EXIA__NONE ||
                    !exia__set_has(one->asked, need->candidate + 1))
                    continue;
                parents[need->on] = queue[i];
                queue[count++] = need->on;
            }
        }
    }
    exia__release(queue);
    return EXIA_OK;
}

/* "; top needs a needs b": nothing where the root itself needs it, which is told already. */
static exia_status write_chain(exia__buffer *text, const exia__solver *solver,
                               const uint32_t *parents, uint32_t name, exia_error *err)
{
    uint32_t length = 1, at = name;
    for (; parents[at] != EXIA__NONE; at = parents[at])
        length++;
    uint32_t *chain = exia__array(NULL, length, sizeof *chain);
    if (chain == NULL)
        return exia__fail_memory(err);
    at = name;
    for (uint32_t i = length; i > 0; i--, at = parents[at])
        chain[i - 1] = at;
    exia_status rc = EXIA_OK;
    int all = length <= LINKS_FIRST + LINKS_LAST + 1;
    for (uint32_t i = 0; rc == EXIA_OK && length > 2 && i < length; i++) {
        if (all || i < LINKS_FIRST || i >= length - LINKS_LAST)
            rc = exia__buffer_format(text, err, "%s%s", i ? " needs " : "; ",
                                     solver->names[chain[i]].text);
        else if (i == LINKS_FIRST)
            rc = exia__buffer_text(text, " needs ...", err);
    }
    exia__release(chain);
    return rc;
}

static exia_status write_chains(exia__buffer *text, const exia__solver *solver,
                                const exia__nogood *a, const exia__nogood *b, exia_error *err)
{
    uint32_t *parents = NULL;
    exia_status rc = find_parents(&parents, solver, err);
    if (rc == EXIA_OK)
        rc = write_chain(text, solver, parents, a->terms[0].name, err);
    if (rc == EXIA_OK && b->terms[0].name != a->terms[0].name)
        rc = write_chain(text, solver, parents, b->terms[0].name, err);
    exia__release(parents);
    return rc;
}

/* ---- the heart ---- */

/* Do two needs leave nothing of a package?  One does when both are the same. */
static int clash(const exia__solver *solver, const exia__nogood *a, const exia__nogood *b)
{
    const exia__term *left = &a->terms[1], *right = &b->terms[1];
    const exia__name *one = &solver->names[left->name];
    if (a != b && a->terms[0].name == b->terms[0].name)
        return 0; /* two versions of one package never ask together */
    uint64_t open = 0;
    for (uint32_t i = 0; i < one->words; i++)
        open |= one->all[i] & ~(left->set[i] | right->set[i]);
    return open == 0;
}

/* The first two, or the first one twice, that clash; `*found` is zero when it takes more of them, or too
 * long. */
static exia_status find_clash(int *found, size_t *a, size_t *b, const proof *all, exia_error *err)
{
    /* of each package the last leaf that needs it, and of each leaf the one before, both plus one */
    size_t *last = exia__zeroed(all->solver->name_count, sizeof *last);
    size_t *before = exia__zeroed(all->count, sizeof *before);
    exia_status rc = last && before ? EXIA_OK : exia__fail_memory(err);
    size_t pairs = 0;
    *found = 0;
    for (size_t i = 0; rc == EXIA_OK && !*found && i < all->count; i++) {
        const exia__nogood *one = leaf(all, i);
        before[i] = last[one->terms[1].name];
        last[one->terms[1].name] = i + 1;
        for (size_t k = i + 1; k > 0 && !*found && pairs < MOST_PAIRS; k = before[k - 1]) {
            pairs++;
            *found = clash(all->solver, one, leaf(all, k - 1));
            *a = k - 1;
            *b = i;
        }
    }
    exia__release(last);
    exia__release(before);
    return rc;
}

/* Whose versions the proof had to rule out one by one, besides what is told. */
static exia_status write_others(exia__buffer *text, const proof *all, const exia__nogood *a,
                                const exia__nogood *b, exia_error *err)
{
    const exia__solver *solver = all->solver;
    unsigned char *told = exia__zeroed(solver->name_count, 1);
    exia_status rc = told ? EXIA_OK : exia__fail_memory(err);
    size_t count = 0;
    for (size_t i = 0; rc == EXIA_OK && i < all->count; i++) {
        const exia__nogood *one = leaf(all, i);
        uint32_t name = one->terms[0].name;
        if (one == a || one == b || told[name] ||
            size_of(solver, &one->terms[0]) == solver->names[name].count)
            continue;
        told[name] = 1;
        if (count++ < 3)
            rc = exia__buffer_format(text, err, "%s%s", count > 1 ? ", " : "; other versions of ",
                                     solver->names[name].text);
    }
    if (rc == EXIA_OK && count > 3)
        rc = exia__buffer_format(text, err, " and %zu more", count - 3);
    exia__release(told);
    return rc == EXIA_OK && count > 0 ? exia__buffer_text(text, " do not help", err) : rc;
}

/* All leaves are needs. */
static exia_status write_refusal(exia__buffer *text, const proof *all, exia_error *err)
{
    size_t a = 0, b = 0;
    int found = 0;
    exia_status rc = find_clash(&found, &a, &b, all, err);
    if (!found) { /* what some leave has needs of its own that fail: begin with the first */
        a = 0;
        b = all->count < 3 ? all->count - 1 : 2;
    }
    for (size_t i = a; rc == EXIA_OK && i <= b; i++) {
        if (found && i != a && i != b)
            continue;
        if (i > a)
            rc = exia__buffer_text(text, ", ", err);
        if (rc == EXIA_OK)
            rc = write_need(text, all->solver, leaf(all, i), err);
    }
    if (rc == EXIA_OK && found)
        rc = write_there_is(text, all->solver, leaf(all, a)->terms[1].name, err);
    if (rc == EXIA_OK)
        rc = write_others(text, all, leaf(all, a), leaf(all, b), err);
    return rc < 0 ? rc : write_chains(text, all->solver, leaf(all, a), leaf(all, b), err);
}

static void log_leaves(const proof *all)
{
    for (size_t i = 0; i < all->count && i < LOGGED; i++) {
        exia__buffer text = {0};
        const exia__nogood *one = leaf(all, i);
        exia_status rc = one->kind == EXIA__CIRCLE ? write_circle(&text, all->solver, one, NULL)
                                                   : write_need(&text, all->solver, one, NULL);
        if (rc == EXIA_OK)
            exia__log(EXIA_LOG_INFO, "registry", "cannot be met with the rest: %s", text.data);
        exia__buffer_free(&text);
    }
    if (all->count > LOGGED)
        exia__log(EXIA_LOG_INFO, "registry", "and %zu more", all->count - LOGGED);
}

exia_status exia__refuse(exia__solver *solver, exia_error *err)
{
    proof all = {.solver = solver};
    exia__buffer text = {0};
    const exia__nogood *circle = NULL;
    exia_status rc = find_leaves(&all, solver, err);
    for (size_t i = 0; rc == EXIA_OK && circle == NULL && i < all.count; i++) {
        if (leaf(&all, i)->kind == EXIA__CIRCLE)
            circle = leaf(&all, i);
    }
    if (rc == EXIA_OK)
        log_leaves(&all);
    if (rc == EXIA_OK && circle != NULL)
        rc = write_circle(&text, solver, circle, err);
    else if (rc == EXIA_OK && all.count > 0)
        rc = write_refusal(&text, &all, err);
    if (rc == EXIA_OK)
        rc = exia__fail(err, circle ? EXIA_ECYCLE : EXIA_ENOTFOUND, 0, "%s",
                        text.data ? text.data : "there is nothing to choose");
    exia__buffer_free(&text);
    exia__release(all.leaves);
    return rc;
}

/* ---- what was not chosen ---- */

/* Does a term hold of the answer, with the candidate `instead` of its package chosen in the place of the
 * one that is?  What nothing chosen needs could come along for it, unless there is none of it. */
static int holds(const exia__solver *solver, const exia__term *term, uint32_t name,
                 uint32_t instead)
{
    uint32_t chosen = term->name == name ? instead : exia__chosen_of(solver, term->name);
    const exia__name *one = &solver->names[term->name];
    if (chosen == EXIA__NONE)
        return size_of(solver, term) == one->count && exia__set_has(term->set, 0);
    return exia__set_has(term->set, chosen + 1);
}

exia_status exia__passed_over(char **out, const exia__solver *solver, uint32_t name,
                              exia_error *err)
{
    const exia__name *one = &solver->names[name];
    const exia__nogood *why = NULL;
    uint32_t chosen = exia__chosen_of(solver, name), better = 0;
    *out = NULL;
    while (better < chosen && exia__version_compare(version_of(solver, name, better),
                                                    version_of(solver, name, chosen)) <= 0)
        better++;
    if (better == chosen)
        return EXIA_OK;
    for (size_t i = 0; why == NULL && i < one->nogood_count; i++) {
        const exia__nogood *nogood = solver->nogoods[one->nogoods[i]];
        if (nogood->kind == EXIA__NEEDED && holds(solver, &nogood->terms[0], name, better) &&
            holds(solver, &nogood->terms[1], name, better))
            why = nogood;
    }
    const char *version = version_of(solver, name, better);
    if (why == NULL)
        return exia__text_format(out, err,
                                 "%s %s was passed over: it does not go together with the rest",
                                 one->text, version);
    if (why->terms[0].name == name)
        return exia__text_format(out, err, "%s %s was passed over: it needs \"%s\"", one->text,
                                 version, why->text);
    uint32_t who = why->terms[0].name;
    return exia__text_format(out, err, "%s %s was passed over: %s@%s needs \"%s\"", one->text,
                             version, solver->names[who].text,
                             version_of(solver, who, exia__chosen_of(solver, who)), why->text);
}
