/* Version solving by conflict-driven learning: PubGrub (Weizenbaum, "PubGrub: Next-Generation Version
 * Solving", 2018) on finite sets.  Decide a package; propagate what every nogood with one open term
 * leaves; where one has none left, resolve it with what led there until it says something about an
 * earlier level (the first unique implication point, Marques-Silva and Sakallah 1999), keep that, and
 * go back as far as it reaches.  Packages are decided in the order in which they came to be needed, so
 * those near the root get their best candidate first.  A circle among the chosen is one more nogood. */
#include "registry/solve.h"

#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "exia/dag.h"
#include "registry/solver.h"

/* What is left of a package's values. */
static const uint64_t *values_of(const exia__solver *solver, uint32_t name)
{
    const exia__name *one = &solver->names[name];
    return one->last == EXIA__NONE ? one->all : solver->words + solver->trail[one->last].set;
}

/* The one candidate that is left; EXIA__NONE: several, or "absent" is among them. */
static uint32_t only_one(const uint64_t *set, uint32_t words)
{
    uint32_t found = EXIA__NONE;
    if (exia__set_has(set, 0))
        return EXIA__NONE;
    for (uint32_t i = 0; i < words; i++) {
        if (set[i] == 0)
            continue;
        if (found != EXIA__NONE || (set[i] & (set[i] - 1)) != 0)
            return EXIA__NONE;
        found = i * 64 + (uint32_t)__builtin_ctzll(set[i]) - 1;
    }
    return found;
}

/* ---- the trail ---- */

/* Narrow a package: to `set`, or, of a nogood, to what is outside `set`. */
static exia_status extend(exia__solver *solver, uint32_t name, const uint64_t *set, uint32_t cause,
                          exia_error *err)
{
    uint32_t words = solver->names[name].words;
    size_t bytes = solver->bytes;
    exia_status rc = exia__hold(solver, solver->word_count * sizeof *solver->words, err);
    solver->bytes = bytes; /* the trail may shrink again */
    if (rc == EXIA_OK)
        rc = exia__grow(&solver->trail, &solver->trail_room, solver->trail_count + 1,
                        sizeof *solver->trail, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&solver->words, &solver->word_room, solver->word_count + words,
                        sizeof *solver->words, err);
    if (rc < 0)
        return rc;
    const uint64_t *before = values_of(solver, name);
    for (uint32_t i = 0; i < words; i++)
        solver->words[solver->word_count + i] =
            before[i] & (cause == EXIA__NONE ? set[i] : ~set[i]);
    solver->trail[solver->trail_count] = (exia__step){
        name, (uint32_t)solver->level_count, solver->names[name].last, cause, solver->word_count};
    solver->names[name].last = (uint32_t)solver->trail_count++;
    solver->word_count += words;
    return EXIA_OK;
}

static void go_back(exia__solver *solver, size_t level)
{
    const exia__level *to = &solver->levels[level];
    while (solver->trail_count > to->start) {
        const exia__step *step = &solver->trail[--solver->trail_count];
        solver->names[step->name].last = step->before;
        solver->word_count = step->set;
    }
    solver->head = solver->trail_count;
    solver->cursor = to->cursor;
    solver->level_count = level;
}

/* ---- propagation ---- */

/* EXIA_DONE: all terms hold, which cannot be. */
static exia_status check(exia__solver *solver, uint32_t number, exia_error *err)
{
    const exia__nogood *nogood = solver->nogoods[number];
    const exia__term *open = NULL;
    for (uint32_t i = 0; i < nogood->count; i++) {
        const exia__term *term = &nogood->terms[i];
        const uint64_t *left = values_of(solver, term->name);
        uint32_t words = solver->names[term->name].words;
        solver->spent += 4 + 2 * (uint64_t)words;
        if (exia__set_within(left, term->set, words))
            continue;
        if (open != NULL || exia__set_apart(left, term->set, words))
            return EXIA_OK;
        open = term;
    }
    return open ? extend(solver, open->name, open->set, number, err) : EXIA_DONE;
}

/* EXIA_DONE: `*conflict` cannot be. */
static exia_status propagate(uint32_t *conflict, exia__solver *solver, exia_error *err)
{
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK) {
        if (solver->checked < solver->nogood_count) {
            *conflict = (uint32_t)solver->checked++;
            rc = check(solver, *conflict, err);
            continue;
        }
        if (solver->head == solver->trail_count)
            return EXIA_OK;
        uint32_t name = solver->trail[solver->head++].name;
        uint32_t chosen = only_one(values_of(solver, name), solver->names[name].words);
        rc = exia__spend(solver, solver->names[name].words, err);
        if (rc == EXIA_OK && chosen != EXIA__NONE)
            rc = exia__needs_add(solver, name, chosen, err);
        for (size_t i = solver->names[name].nogood_count; rc == EXIA_OK && i-- > 0;) {
            *conflict = solver->names[name].nogoods[i];
            rc = check(solver, *conflict, err);
        }
    }
    return rc;
}

/* ---- learning ---- */

static void drop_term(exia__solver *solver, uint32_t at)
{
    solver->names[solver->terms[at].name].term = EXIA__NONE;
    solver->terms[at] = solver->terms[--solver->term_count];
    if (at < solver->term_count)
        solver->names[solver->terms[at].name].term = at;
}

/* Resolve the nogood that is being learnt with another on a package (EXIA__NONE: take it over). */
static exia_status resolve_with(exia__solver *solver, uint32_t number, uint32_t on, exia_error *err)
{
    const exia__nogood *other = solver->nogoods[number];
    exia_status rc = exia__grow(&solver->reasons, &solver->reason_room, solver->reason_count + 1,
                                sizeof *solver->reasons, err);
    if (rc < 0)
        return rc;
    solver->reasons[solver->reason_count++] = number;
    for (uint32_t i = 0; i < other->count; i++) {
        const exia__term *term = &other->terms[i];
        exia__name *one = &solver->names[term->name];
        if (exia__set_within(one->all, term->set, one->words))
            continue; /* it always holds */
        if (one->term == EXIA__NONE) {
            rc = exia__grow(&solver->terms, &solver->term_room, solver->term_count + 1,
                            sizeof *solver->terms, err);
            uint64_t *set = rc < 0 ? NULL : exia__array(NULL, one->words, sizeof *set);
            if (set == NULL)
                return rc < 0 ? rc : exia__fail_memory(err);
            memcpy(set, term->set, one->words * sizeof *set);
            one->term = (uint32_t)solver->term_count;
            solver->terms[solver->term_count++] = (exia__term){term->name, set};
            continue;
        }
        uint64_t *set = solver->terms[one->term].set;
        for (uint32_t k = 0; k < one->words; k++)
            set[k] = term->name == on ? set[k] | term->set[k] : set[k] & term->set[k];
        if (exia__set_within(one->all, set, one->words)) {
            exia__release(set);
            drop_term(solver, one->term);
        }
    }
    return EXIA_OK;
}

/* The entry of the trail from which on a term holds. */
static uint32_t satisfier(const exia__solver *solver, const exia__term *term)
{
    uint32_t words = solver->names[term->name].words, at = solver->names[term->name].last;
    for (;;) {
        uint32_t before = solver->trail[at].before;
        if (before == EXIA__NONE ||
            !exia__set_within(solver->words + solver->trail[before].set, term->set, words))
            return at;
        at = before;
    }
}

/* The last entry that the nogood needs to hold, and the highest level of the others. */
static uint32_t last_of(size_t *level, exia__solver *solver)
{
    uint32_t last = 0, second = 0;
    int first = 1;
    for (size_t i = 0; i < solver->term_count; i++) {
        uint32_t at = satisfier(solver, &solver->terms[i]);
        solver->spent += 8 + 2 * (uint64_t)solver->names[solver->terms[i].name].words;
        uint32_t lower = first ? at : at < last ? at : last;
        if (!first && solver->trail[lower].level > second)
            second = solver->trail[lower].level;
        last = first || at > last ? at : last;
        first = 0;
    }
    *level = second;
    return last;
}

static void forget_terms(exia__solver *solver)
{
    while (solver->term_count > 0) {
        exia__release(solver->terms[0].set);
        drop_term(solver, 0);
    }
    solver->reason_count = 0;
}

/* Keep the nogood that the terms are. */
static exia_status keep(exia__solver *solver, exia_error *err)
{
    exia__nogood *nogood = NULL;
    uint32_t *names = exia__array(NULL, solver->term_count, sizeof *names);
    if (names == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < solver->term_count; i++)
        names[i] = solver->terms[i].name;
    exia_status rc =
        exia__nogood_add(&nogood, solver, EXIA__LEARNT, names, (uint32_t)solver->term_count,
                         (uint32_t)solver->reason_count, err);
    for (size_t i = 0; rc == EXIA_OK && i < solver->term_count; i++)
        memcpy(nogood->terms[i].set, solver->terms[i].set,
               solver->names[names[i]].words * sizeof(uint64_t));
    if (rc == EXIA_OK && solver->reason_count > 0)
        memcpy(nogood->reason, solver->reasons, solver->reason_count * sizeof *solver->reasons);
    exia__release(names);
    return rc;
}

/* Learn from a nogood that holds, and go back.  EXIA_DONE: there is nowhere to go back to. */
static exia_status learn(exia__solver *solver, uint32_t conflict, exia_error *err)
{
    size_t level = 0;
    exia_status rc = resolve_with(solver, conflict, EXIA__NONE, err);
    while (rc == EXIA_OK && solver->term_count > 0) {
        const exia__step *last = &solver->trail[last_of(&level, solver)];
        if (last->level > level)
            break;
        if ((rc = exia__spend(solver, 0, err)) < 0)
            break;
        rc = resolve_with(solver, last->cause, last->name, err);
    }
    if (rc == EXIA_OK && solver->term_count == 0)
        return EXIA_DONE; /* the reasons stay, for the refusal */
    if (rc == EXIA_OK && solver->reason_count > 1)
        rc = keep(solver, err);
    if (rc == EXIA_OK)
        go_back(solver, level);
    if (rc == EXIA_OK && solver->reason_count == 1)
        rc = check(solver, conflict, err); /* it says all there is to learn */
    forget_terms(solver);
    return rc;
}

/* ---- decisions ---- */

/* The package to decide on; EXIA__NONE: all that is needed is chosen. */
static uint32_t find_open(exia__solver *solver)
{
    for (; solver->cursor < solver->trail_count; solver->cursor++) {
        uint32_t name = solver->trail[solver->cursor].name;
        const uint64_t *left = values_of(solver, name);
        if (!exia__set_has(left, 0) && only_one(left, solver->names[name].words) == EXIA__NONE)
            return name;
    }
    return EXIA__NONE;
}

static exia_status decide(exia__solver *solver, uint32_t name, exia_error *err)
{
    const exia__name *one = &solver->names[name];
    const uint64_t *left = values_of(solver, name);
    uint32_t best = 1;
    exia_status rc = exia__grow(&solver->levels, &solver->level_room, solver->level_count + 1,
                                sizeof *solver->levels, err);
    uint64_t *set = rc < 0 ? NULL : exia__zeroed(one->words, sizeof *set);
    if (set == NULL)
        return rc < 0 ? rc : exia__fail_memory(err);
    while (!exia__set_has(left, best))
        best++;
    exia__set_put(set, best);
    solver->levels[solver->level_count++] = (exia__level){solver->trail_count, solver->cursor};
    rc = extend(solver, name, set, EXIA__NONE, err);
    exia__release(set);
    return rc;
}

/* ---- the answer ---- */

uint32_t exia__chosen_of(const exia__solver *solver, uint32_t name)
{
    const exia__name *one = &solver->names[name];
    return one->looked ? only_one(values_of(solver, name), one->words) : EXIA__NONE;
}

/* The graph of what is chosen: node i of it is the package `names[i]`. */
static exia_status make_graph(exia_dag *dag, uint32_t *names, size_t *count, exia__solver *solver,
                              exia_error *err)
{
    exia_status rc = EXIA_OK;
    *count = 0;
    for (uint32_t name = 0; rc == EXIA_OK && name < solver->name_count; name++) {
        const char *text = solver->names[name].text;
        if (exia__chosen_of(solver, name) == EXIA__NONE)
            continue;
        rc = exia_dag_add_nodes(NULL, dag, &text, 1, err);
        names[(*count)++] = name;
    }
    for (uint32_t after = 0; rc == EXIA_OK && after < *count; after++) {
        uint32_t chosen = exia__chosen_of(solver, names[after]), before = 0;
        const exia__block *block = exia__block_of(solver, names[after], chosen);
        rc = exia__spend(solver, block->count, err);
        for (size_t i = 0; rc == EXIA_OK && i < block->count; i++) {
            if (block->needs[i].candidate != chosen)
                continue;
            rc = exia_dag_find(&before, dag, solver->names[block->needs[i].on].text, err);
            if (rc == EXIA_OK)
                rc = exia_dag_add_edges(dag, &before, &after, 1, err);
        }
    }
    return rc;
}

/* The circle in the graph as a nogood: each of its packages needs the next one. */
static exia_status add_circle(exia__solver *solver, const exia_dag *dag, const uint32_t *names,
                              exia_error *err)
{
    const uint32_t *nodes = NULL;
    size_t count = 0, first = 0;
    exia__nogood *nogood = NULL;
    exia_status rc = exia_dag_cycle_shown(&nodes, &count, dag, err);
    uint32_t *circle = rc < 0 ? NULL : exia__array(NULL, count, sizeof *circle);
    if (circle == NULL)
        return rc < 0 ? rc : exia__fail_memory(err);
    for (size_t i = 1; i < count; i++) /* begin with the one that came first */
        first = nodes[i] < nodes[first] ? i : first;
    for (size_t i = 0; i < count; i++)
        circle[i] = names[nodes[(first + count - i) % count]];
    rc = exia__nogood_add(&nogood, solver, EXIA__CIRCLE, circle, (uint32_t)count, 0, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        const exia__block *block =
            exia__block_of(solver, circle[i], exia__chosen_of(solver, circle[i]));
        for (size_t k = 0; k < block->count; k++) {
            if (block->needs[k].on == circle[(i + 1) % count])
                exia__set_put(nogood->terms[i].set, block->needs[k].candidate + 1);
        }
    }
    exia__release(circle);
    return rc;
}

/* A chosen candidate goes to the answer, with what was passed over for it. */
static exia_status add_chosen(json_t *list, const exia__solver *solver, uint32_t name,
                              exia_error *err)
{
    json_t *row = exia__json_copy(exia__row_of(solver, name, exia__chosen_of(solver, name)));
    char *passed = NULL;
    exia_status rc = row ? exia__passed_over(&passed, solver, name, err) : exia__fail_memory(err);
    if (rc == EXIA_OK && passed != NULL)
        rc = exia__json_set(row, "passed_over", json_string(passed), err);
    if (rc == EXIA_OK)
        rc = exia__json_append(list, json_incref(row), err);
    exia__release(passed);
    json_decref(row);
    return rc;
}

/* Put the chosen in order.  EXIA_DONE: they go in a circle, which is a new nogood. */
static exia_status put_in_order(json_t **out, exia__solver *solver, exia_error *err)
{
    exia_dag *dag = NULL;
    const uint32_t *order = NULL;
    size_t count = 0;
    json_t *list = json_array();
    uint32_t *names = exia__array(NULL, solver->name_count, sizeof *names);
    exia_status rc = list && names ? exia_dag_open(&dag, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = make_graph(dag, names, &count, solver, err);
    if (rc == EXIA_OK)
        rc = exia_dag_order(&order, &count, dag, err);
    if (rc == EXIA_ECYCLE) {
        exia__forgive(err);
        rc = add_circle(solver, dag, names, err);
        rc = rc < 0 ? rc : EXIA_DONE;
    }
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = add_chosen(list, solver, names[order[i]], err);
    if (rc == EXIA_OK) {
        *out = list;
        list = NULL;
    }
    json_decref(list);
    exia__release(names);
    exia_dag_free(dag);
    return rc;
}

/* ---- all of it ---- */

exia_status exia__candidate_check(const json_t *candidate, exia_error *err)
{
    const json_t *needs = json_object_get(candidate, "dependencies");
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(needs); i++) {
        const char *text = json_string_value(json_array_get(needs, i));
        exia__dependency parsed;
        rc = text ? exia__dependency_parse(&parsed, text, err)
                  : exia__fail(err, EXIA_EINVAL, 0, "a dependency is no text");
    }
    return rc;
}

static exia_status want_root(exia__solver *solver, exia_error *err)
{
    uint32_t root = 0;
    exia__nogood *nogood = NULL;
    exia_status rc = exia__name_of(&root, solver, solver->question->root, err);
    if (rc == EXIA_OK)
        rc = exia__name_look(solver, root, err);
    if (rc == EXIA_OK)
        rc = exia__nogood_add(&nogood, solver, EXIA__WANTED, &root, 1, 0, err);
    if (rc == EXIA_OK)
        exia__set_put(nogood->terms[0].set, 0);
    return rc;
}

static exia_status search(json_t **out, exia__solver *solver, exia_error *err)
{
    uint32_t conflict = 0;
    exia_status rc = want_root(solver, err);
    while (rc == EXIA_OK) {
        rc = propagate(&conflict, solver, err);
        if (rc == EXIA_OK) {
            uint32_t name = find_open(solver);
            if (name != EXIA__NONE) {
                rc = decide(solver, name, err);
                continue;
            }
            rc = put_in_order(out, solver, err);
            if (rc == EXIA_OK)
                return rc;
            conflict = (uint32_t)solver->nogood_count - 1;
        }
        if (rc != EXIA_DONE)
            break;
        rc = exia__work_step(solver->work, "resolving", ++solver->conflicts, 0, err);
        if (rc == EXIA_OK)
            rc = learn(solver, conflict, err);
        if (rc == EXIA_DONE)
            rc = exia__refuse(solver, err);
    }
    return rc;
}

exia_status exia__solve(json_t **out, const exia__question *question, exia__work *work,
                        exia_error *err)
{
    exia__solver solver = {.question = question, .work = work, .index = json_object()};
    *out = NULL;
    exia_status rc = solver.index ? search(out, &solver, err) : exia__fail_memory(err);
    forget_terms(&solver);
    exia__nogoods_free(&solver);
    exia__release(solver.trail);
    exia__release(solver.words);
    exia__release(solver.levels);
    exia__release(solver.terms);
    exia__release(solver.reasons);
    json_decref(solver.index);
    return rc;
}
