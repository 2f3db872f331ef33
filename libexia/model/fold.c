/* The state of one model, as the entries of its log left it: small, whatever the log's length.  Of an
 * alias only the two topmost moves are here; the ones below are in the log, linked entry to entry. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "model/library.h"

exia_status exia__fold_open(exia__fold **out, const char *name, exia_error *err)
{
    *out = NULL;
    exia__fold *fold = exia__zeroed(1, sizeof *fold);
    exia_status rc = fold ? exia__text_copy(&fold->name, name, err) : exia__fail_memory(err);
    if (rc == EXIA_OK && (fold->changed = json_object()) == NULL)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK) {
        fold->known = 1;
        *out = fold;
        fold = NULL;
    }
    exia__fold_free(fold);
    return rc;
}

static void forget_tokens(exia__fold *fold, size_t count)
{
    for (size_t i = 0; i < count; i++)
        exia__release(fold->done[i].token);
    fold->done_count -= count;
    if (fold->done_count > 0)
        memmove(fold->done, fold->done + count, fold->done_count * sizeof *fold->done);
}

static void release(exia__fold *fold)
{
    for (size_t i = 0; i < fold->alias_count; i++)
        exia__release(fold->aliases[i].name);
    forget_tokens(fold, fold->done_count);
    exia__release(fold->aliases);
    exia__release(fold->removed);
    exia__release(fold->done);
}

void exia__fold_clear(exia__fold *fold)
{
    char *name = fold->name;
    json_t *changed = fold->changed;
    release(fold);
    json_object_clear(changed);
    *fold = (exia__fold){.name = name, .changed = changed, .known = 1};
}

void exia__fold_free(exia__fold *fold)
{
    if (fold == NULL)
        return;
    release(fold);
    json_decref(fold->changed);
    exia__release(fold->name);
    exia__release(fold);
}

exia_status exia__fold_copy(exia__fold **out, const exia__fold *fold, exia_error *err)
{
    exia__fold *copy = NULL;
    *out = NULL;
    exia_status rc = exia__fold_open(&copy, fold->name, err);
    if (rc < 0)
        return rc;
    copy->head = fold->head;
    memcpy(copy->time, fold->time, sizeof copy->time);
    copy->highest = fold->highest;
    copy->kept = fold->kept;
    copy->known = fold->head + 1;
    rc = exia__grow(&copy->removed, &copy->removed_capacity, fold->removed_count + 1,
                    sizeof *copy->removed, err);
    if (rc == EXIA_OK && fold->removed_count > 0) {
        memcpy(copy->removed, fold->removed, fold->removed_count * sizeof *copy->removed);
        copy->removed_count = fold->removed_count;
    }
    for (size_t i = 0; i < fold->alias_count && rc == EXIA_OK; i++)
        rc = exia__fold_set(copy, fold->aliases[i].name, &fold->aliases[i], err);
    if (rc == EXIA_OK && json_object_update(copy->changed, fold->changed) != 0)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK) {
        *out = copy;
        copy = NULL;
    }
    exia__fold_free(copy);
    return rc;
}

exia_status exia__fold_missing(const exia__fold *fold, exia_error *err)
{
    if (fold->head > 0)
        return EXIA_OK;
    return exia__fail(err, EXIA_ENOTFOUND, 0, "there is no model %s", fold->name);
}

/* ---- versions ------------------------------------------------------------------------------- */

/* The first run that does not end before `number`. */
static size_t find_run(const exia__fold *fold, int64_t number)
{
    size_t low = 0, high = fold->removed_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fold->removed[middle].last < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int exia__fold_has(const exia__fold *fold, int64_t number)
{
    if (number < 1 || number > fold->highest)
        return 0;
    size_t at = find_run(fold, number);
    return at == fold->removed_count || fold->removed[at].first > number;
}

int64_t exia__fold_latest(const exia__fold *fold, int64_t back)
{
    int64_t top = fold->highest; /* of the run of versions that are there */
    for (size_t i = fold->removed_count + 1; i-- > 0;) {
        int64_t bottom = i > 0 ? fold->removed[i - 1].last : 0;
        if (top - bottom > back)
            return top - back;
        back -= top - bottom;
        top = i > 0 ? fold->removed[i - 1].first - 1 : 0;
    }
    return 0;
}

int64_t exia__fold_count(const exia__fold *fold)
{
    int64_t count = fold->highest;
    for (size_t i = 0; i < fold->removed_count; i++)
        count -= fold->removed[i].last - fold->removed[i].first + 1;
    return count;
}

exia_status exia__fold_remove(exia__fold *fold, int64_t number, exia_error *err)
{
    size_t at = find_run(fold, number);
    exia__run *run = fold->removed + at;
    int joins_before = at > 0 && run[-1].last == number - 1;
    int joins_behind = at < fold->removed_count && run->first == number + 1;
    if (joins_before && joins_behind) {
        run[-1].last = run->last;
        fold->removed_count--;
        memmove(run, run + 1, (fold->removed_count - at) * sizeof *run);
    } else if (joins_before) {
        run[-1].last = number;
    } else if (joins_behind) {
        run->first = number;
    } else {
        exia_status rc = exia__grow(&fold->removed, &fold->removed_capacity,
                                    fold->removed_count + 1, sizeof *run, err);
        if (rc < 0)
            return rc;
        run = fold->removed + at;
        memmove(run + 1, run, (fold->removed_count - at) * sizeof *run);
        *run = (exia__run){number, number};
        fold->removed_count++;
    }
    return EXIA_OK;
}

/* ---- aliases -------------------------------------------------------------------------------- */

const exia__alias *exia__fold_alias(const exia__fold *fold, const char *name)
{
    for (size_t i = 0; i < fold->alias_count; i++) {
        if (strcmp(fold->aliases[i].name, name) == 0)
            return &fold->aliases[i];
    }
    return NULL;
}

int64_t exia__alias_version(const exia__alias *alias)
{
    return alias ? alias->version : EXIA_ABSENT;
}

exia_status exia__fold_set(exia__fold *fold, const char *name, const exia__alias *stands,
                           exia_error *err)
{
    exia__alias set = *stands;
    size_t at = 0;
    exia_status rc = EXIA_OK;
    set.name = NULL;
    while (at < fold->alias_count && strcmp(fold->aliases[at].name, name) != 0)
        at++;
    if (at < fold->alias_count) { /* it goes to the end */
        set.name = fold->aliases[at].name;
        set.guarded = fold->aliases[at].guarded;
        fold->alias_count--;
        memmove(fold->aliases + at, fold->aliases + at + 1,
                (fold->alias_count - at) * sizeof *fold->aliases);
    } else {
        rc = exia__grow(&fold->aliases, &fold->alias_capacity, fold->alias_count + 1,
                        sizeof *fold->aliases, err);
        if (rc == EXIA_OK)
            rc = exia__text_copy(&set.name, name, err);
    }
    if (rc == EXIA_OK)
        fold->aliases[fold->alias_count++] = set;
    return rc;
}

void exia__fold_guard(exia__fold *fold, const char *name, int on)
{
    for (size_t i = 0; i < fold->alias_count; i++) {
        if (strcmp(fold->aliases[i].name, name) == 0)
            fold->aliases[i].guarded = on;
    }
}

exia_status exia__fold_aliases(json_t **out, const exia__fold *fold, int64_t number,
                               exia_error *err)
{
    json_t *names = json_array();
    exia_status rc = names ? EXIA_OK : exia__fail_memory(err);
    for (size_t i = 0; i < fold->alias_count && rc == EXIA_OK; i++) {
        if (fold->aliases[i].version == number)
            rc = exia__json_append(names, json_string(fold->aliases[i].name), err);
    }
    if (rc < 0) {
        json_decref(names);
        names = NULL;
    }
    *out = names;
    return rc;
}

/* ---- tokens --------------------------------------------------------------------------------- */

exia_status exia__fold_remember(exia__fold *fold, int64_t seq, const char *token, const char *verb,
                                int64_t result, exia_error *err)
{
    char *copy = NULL;
    if (fold->done_count == 2 * EXIA__TOKENS_KEPT) {
        forget_tokens(fold, EXIA__TOKENS_KEPT);
        fold->known = fold->done[0].seq;
    }
    exia_status rc = exia__grow(&fold->done, &fold->done_capacity, fold->done_count + 1,
                                sizeof *fold->done, err);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&copy, token, err);
    if (rc == EXIA_OK)
        fold->done[fold->done_count++] = (exia__done){seq, copy, verb, result};
    return rc;
}

const exia__done *exia__fold_done(const exia__fold *fold, const char *token)
{
    for (size_t i = fold->done_count; i-- > 0;) {
        if (fold->done[i].seq <= fold->head - EXIA__TOKENS_KEPT)
            break;
        if (strcmp(fold->done[i].token, token) == 0)
            return &fold->done[i];
    }
    return NULL;
}
