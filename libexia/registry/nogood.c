/* What cannot be, as nogoods: made of dependencies when a candidate that has them is chosen for the
 * first time.  Versions of a package mostly need the same, or more: one nogood speaks for all of a block
 * whose range lies within. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "registry/solver.h"

enum { MOST_BYTES = 256 << 20, OF_NAME = 128 /* of the index */ };
enum { OF_NEED = 200, OF_MATCH = 300, ASK_EVERY = 1 << 22 }; /* steps */
#define MOST_STEPS (UINT64_C(1) << 34)

static exia_status give_up(const exia__solver *solver, exia_error *err)
{
    return exia__fail(err, EXIA_EUNSUPPORTED, 0,
                      "the dependencies of %s have too many combinations: ask for exact versions",
                      solver->question->root);
}

exia_status exia__spend(exia__solver *solver, uint64_t steps, exia_error *err)
{
    solver->spent += steps;
    if (solver->spent > MOST_STEPS)
        return give_up(solver, err);
    if (solver->spent - solver->told < ASK_EVERY)
        return EXIA_OK;
    solver->told = solver->spent;
    return exia__work_step(solver->work, "resolving", solver->conflicts, 0, err);
}

exia_status exia__hold(exia__solver *solver, size_t bytes, exia_error *err)
{
    if (bytes > MOST_BYTES - solver->bytes)
        return give_up(solver, err);
    solver->bytes += bytes;
    return EXIA_OK;
}

void exia__nogoods_free(exia__solver *solver)
{
    for (size_t i = 0; i < solver->nogood_count; i++)
        exia__release(solver->nogoods[i]);
    for (size_t i = 0; i < solver->name_count; i++) {
        exia__name *one = &solver->names[i];
        exia__release(one->text);
        exia__release(one->all);
        for (uint32_t k = 0; one->blocks != NULL && k <= one->count / EXIA__BLOCK; k++)
            exia__release(one->blocks[k].needs);
        exia__release(one->blocks);
        exia__release(one->nogoods);
        exia__release(one->choices.note);
        json_decref(one->choices.candidates);
    }
    exia__release(solver->nogoods);
    exia__release(solver->names);
}

/* ---- packages ---- */

exia_status exia__name_of(uint32_t *out, exia__solver *solver, const char *text, exia_error *err)
{
    const json_t *known = json_object_get(solver->index, text);
    if (known != NULL) {
        *out = (uint32_t)json_integer_value(known);
        return EXIA_OK;
    }
    exia_status rc = exia__hold(solver, sizeof *solver->names + OF_NAME + strlen(text), err);
    if (rc == EXIA_OK)
        rc = exia__grow(&solver->names, &solver->name_room, solver->name_count + 1,
                        sizeof *solver->names, err);
    if (rc < 0)
        return rc;
    exia__name *one = &solver->names[solver->name_count];
    *one = (exia__name){.last = EXIA__NONE, .term = EXIA__NONE};
    rc = exia__text_copy(&one->text, text, err);
    if (rc == EXIA_OK)
        *out = (uint32_t)solver->name_count++;
    return rc < 0 ? rc : exia__json_set(solver->index, text, json_integer(*out), err);
}

exia_status exia__name_look(exia__solver *solver, uint32_t name, exia_error *err)
{
    exia__name *one = &solver->names[name];
    if (one->looked)
        return EXIA_OK;
    exia_status rc =
        solver->question->look(&one->choices, one->text, solver->question->payload, err);
    if (rc < 0)
        return rc;
    one->count = (uint32_t)json_array_size(one->choices.candidates);
    one->words = one->count / 64 + 1;
    one->all = exia__zeroed(2 * (size_t)one->words, sizeof *one->all);
    one->blocks = exia__zeroed(one->count / EXIA__BLOCK + 1, sizeof *one->blocks);
    if (one->all == NULL || one->blocks == NULL)
        return exia__fail_memory(err);
    one->asked = one->all + one->words;
    for (uint32_t value = 0; value <= one->count; value++)
        exia__set_put(one->all, value);
    one->looked = 1;
    return EXIA_OK;
}

/* ---- nogoods ---- */

exia_status exia__nogood_add(exia__nogood **out, exia__solver *solver, exia__nogood_kind kind,
                             const uint32_t *names, uint32_t count, uint32_t reasons,
                             exia_error *err)
{
    size_t words = 0, number = solver->nogood_count;
    for (uint32_t i = 0; i < count; i++)
        words += solver->names[names[i]].words;
    size_t bytes = sizeof(exia__nogood) + count * sizeof(exia__term) + words * sizeof(uint64_t) +
                   reasons * sizeof(uint32_t);
    *out = NULL;
    exia_status rc = exia__hold(solver, bytes, err);
    if (rc == EXIA_OK)
        rc = exia__grow(&solver->nogoods, &solver->nogood_room, number + 1, sizeof(exia__nogood *),
                        err);
    for (uint32_t i = 0; rc == EXIA_OK && i < count; i++) {
        exia__name *one = &solver->names[names[i]];
        rc = exia__grow(&one->nogoods, &one->nogood_room, one->nogood_count + 1, sizeof(uint32_t),
                        err);
    }
    exia__nogood *nogood = rc == EXIA_OK ? exia__zeroed(1, bytes) : NULL;
    if (nogood == NULL)
        return rc < 0 ? rc : exia__fail_memory(err);
    uint64_t *set = (uint64_t *)(nogood->terms + count);
    nogood->kind = kind;
    nogood->count = count;
    for (uint32_t i = 0; i < count; i++) {
        exia__name *one = &solver->names[names[i]];
        nogood->terms[i] = (exia__term){names[i], set};
        set += one->words;
        one->nogoods[one->nogood_count++] = (uint32_t)number;
    }
    nogood->reasons = reasons;
    nogood->reason = (uint32_t *)set;
    solver->nogoods[solver->nogood_count++] = nogood;
    *out = nogood;
    return EXIA_OK;
}

/* ---- needs ---- */

static int by_package(const void *left, const void *right)
{
    const exia__need *a = left, *b = right;
    if (a->on != b->on)
        return a->on < b->on ? -1 : 1;
    return (a->candidate > b->candidate) - (a->candidate < b->candidate);
}

/* List what one candidate needs; the packages that it needs are not looked at. */
static exia_status list_needs(exia__block *block, exia__solver *solver, uint32_t name,
                              uint32_t candidate, exia_error *err)
{
    const json_t *list = json_object_get(exia__row_of(solver, name, candidate), "dependencies");
    exia_status rc = exia__spend(solver, OF_NEED * json_array_size(list), err);
    if (rc == EXIA_OK)
        rc = exia__hold(solver, sizeof(exia__need) * json_array_size(list), err);
    for (size_t i = 0; rc == EXIA_OK && i < json_array_size(list); i++) {
        exia__need need = {.candidate = candidate,
                           .text = json_string_value(json_array_get(list, i))};
        char on[EXIA__VERSION_SIZE];
        size_t size = 0;
        const char *text = exia__dependency_name(&size, need.text);
        snprintf(on, sizeof on, "%.*s", (int)size, text);
        rc = exia__name_of(&need.on, solver, on, err);
        if (rc == EXIA_OK)
            rc = exia__grow(&block->needs, &block->room, block->count + 1, sizeof need, err);
        if (rc == EXIA_OK)
            block->needs[block->count++] = need;
    }
    return rc;
}

/* The block of a candidate, with its needs. */
static exia_status read_block(exia__block **out, exia__solver *solver, uint32_t name,
                              uint32_t candidate, exia_error *err)
{
    exia__block *block = &solver->names[name].blocks[candidate / EXIA__BLOCK];
    uint32_t first = candidate / EXIA__BLOCK * EXIA__BLOCK, count = solver->names[name].count;
    exia_status rc = EXIA_OK;
    *out = block;
    if (block->read)
        return EXIA_OK;
    for (uint32_t i = first; rc == EXIA_OK && i < count && i < first + EXIA__BLOCK; i++)
        rc = list_needs(block, solver, name, i, err);
    if (rc == EXIA_OK && block->count > 0)
        qsort(block->needs, block->count, sizeof *block->needs, by_package);
    block->read = rc == EXIA_OK;
    return rc;
}

/* The candidates of `on` that a text admits. */
static exia_status admit(uint64_t *set, exia__solver *solver, uint32_t on, const char *text,
                         exia_error *err)
{
    exia__dependency range;
    exia_status rc = exia__dependency_parse(&range, text, err);
    if (rc == EXIA_OK)
        rc = exia__spend(solver, OF_MATCH * (uint64_t)solver->names[on].count, err);
    for (uint32_t i = 0; rc == EXIA_OK && i < solver->names[on].count; i++) {
        const char *version = exia__json_string(exia__row_of(solver, on, i), "version");
        if (exia__dependency_match(&range, version))
            exia__set_put(set, i + 1);
    }
    return rc;
}

/* Whoever needs itself is a circle of one. */
static exia_status add_loop(exia__solver *solver, uint32_t name, const exia__need *needs,
                            size_t count, exia_error *err)
{
    exia__nogood *nogood = NULL;
    exia_status rc = exia__nogood_add(&nogood, solver, EXIA__CIRCLE, &name, 1, 0, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        exia__set_put(nogood->terms[0].set, needs[i].candidate + 1);
    return rc;
}

/* The nogoods between two packages: `needs` are all on one, and `sets` has room for what each of them
 * admits. */
static exia_status add_pair(exia__solver *solver, uint32_t name, const exia__need *needs,
                            size_t count, uint64_t *sets, exia_error *err)
{
    const uint32_t pair[2] = {name, needs[0].on};
    const exia__name *on = &solver->names[pair[1]];
    uint32_t words = on->words;
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        if (i > 0 && strcmp(needs[i].text, needs[i - 1].text) == 0)
            memcpy(sets + i * words, sets + (i - 1) * words, words * sizeof *sets);
        else
            rc = admit(sets + i * words, solver, pair[1], needs[i].text, err);
    }
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        const uint64_t *range = sets + i * words;
        exia__nogood *nogood = NULL;
        size_t same = 0;
        while (same < i && memcmp(sets + same * words, range, words * sizeof *sets) != 0)
            same++;
        if (same < i)
            continue;
        if ((rc = exia__spend(solver, 2 * (uint64_t)count * words, err)) < 0)
            break;
        rc = exia__nogood_add(&nogood, solver, EXIA__NEEDED, pair, 2, 0, err);
        if (rc < 0)
            break;
        nogood->text = needs[i].text;
        for (uint32_t k = 0; k < words; k++)
            nogood->terms[1].set[k] = on->all[k] & ~range[k];
        for (size_t k = 0; k < count; k++) {
            if (exia__set_within(sets + k * words, range, words))
                exia__set_put(nogood->terms[0].set, needs[k].candidate + 1);
        }
    }
    return rc;
}

exia_status exia__needs_add(exia__solver *solver, uint32_t name, uint32_t candidate,
                            exia_error *err)
{
    exia__block *block = NULL;
    if (exia__set_has(solver->names[name].asked, candidate + 1))
        return EXIA_OK;
    exia_status rc = read_block(&block, solver, name, candidate, err);
    if (rc == EXIA_OK)
        rc = exia__spend(solver, block->count, err);
    for (size_t i = 0, end; rc == EXIA_OK && i < block->count; i = end) {
        exia__need *needs = block->needs + i;
        int has = 0;
        for (end = i; end < block->count && needs[end - i].on == needs->on; end++)
            has |= needs[end - i].candidate == candidate;
        if (!has || needs->done)
            continue;
        if (needs->on == name) {
            rc = add_loop(solver, name, needs, end - i, err);
        } else if ((rc = exia__name_look(solver, needs->on, err)) == EXIA_OK) {
            uint64_t *sets = exia__zeroed((end - i) * solver->names[needs->on].words, sizeof *sets);
            rc = sets ? add_pair(solver, name, needs, end - i, sets, err) : exia__fail_memory(err);
            exia__release(sets);
        }
        needs->done = 1;
    }
    exia__set_put(solver->names[name].asked, candidate + 1);
    return rc;
}
