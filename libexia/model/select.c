/* Selectors: the short language that names one version.
 *
 *     name | name@7 | name@alias | name@latest-1 | name@previous(alias) | name@best(metrics.auc) */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "model/library.h"
#include "store/filter_program.h"

static const struct {
    const char *word;
    int kind;
} calls[] = {{"previous", EXIA__PREVIOUS}, {"best", EXIA__BEST}, {"worst", EXIA__WORST}};

/* Digits to a number; too many of them are more than there will ever be versions. */
static int read_number(int64_t *out, const char *digits)
{
    size_t size = strspn(digits, "0123456789");
    if (size == 0 || digits[size] != '\0')
        return 0;
    *out = size > 18 ? INT64_MAX : strtoll(digits, NULL, 10);
    return 1;
}

static exia_status read_call(exia__selector *out, const char *text, exia_error *err)
{
    size_t open = strcspn(text, "("), size = strlen(text);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strlen(calls[i].word) != open || strncmp(calls[i].word, text, open) != 0)
            continue;
        if (text[open] == '\0' || text[size - 1] != ')' || size == open + 2)
            return exia__fail(
                err, EXIA_EINVAL, 0, "%s needs something in brackets, as in %s", calls[i].word,
                calls[i].kind == EXIA__PREVIOUS ? "previous(champion)" : "best(metrics.auc)");
        out->kind = calls[i].kind;
        exia_status rc = exia__text_copy_n(&out->word, text + open + 1, size - open - 2, err);
        return rc == EXIA_OK && out->kind == EXIA__PREVIOUS ? exia__alias_check(out->word, err)
                                                            : rc;
    }
    return exia__fail(err, EXIA_EINVAL, 0,
                      "use NAME, NAME@7, NAME@alias, NAME@latest-1, NAME@previous(alias), "
                      "NAME@best(field) or NAME@worst(field)");
}

/* What stands behind the '@'. */
static exia_status read_rest(exia__selector *out, const char *text, exia_error *err)
{
    if (*text == '\0')
        return exia__fail(err, EXIA_EINVAL, 0, "nothing follows the @");
    if (*text >= '0' && *text <= '9') {
        out->kind = EXIA__NUMBER;
        if (!read_number(&out->number, text) || out->number == 0)
            return exia__fail(err, EXIA_EINVAL, 0, "\"%.40s\" is no version: they are 1, 2, 3 ...",
                              text);
        if (out->number == INT64_MAX)
            return exia__fail(err, EXIA_ENOTFOUND, 0, "there is no version %.40s: it is too large",
                              text);
        return EXIA_OK;
    }
    out->kind = EXIA__LATEST;
    if (strcmp(text, "latest") == 0)
        return EXIA_OK;
    if (strncmp(text, "latest-", 7) == 0) {
        if (!read_number(&out->number, text + 7))
            return exia__fail(err, EXIA_EINVAL, 0, "a number must follow \"latest-\"");
        return EXIA_OK;
    }
    if (strchr(text, '(') != NULL || strcmp(text, "previous") == 0 || strcmp(text, "best") == 0 ||
        strcmp(text, "worst") == 0)
        return read_call(out, text, err);
    out->kind = EXIA__ALIAS;
    exia_status rc = exia__alias_check(text, err);
    return rc == EXIA_OK ? exia__text_copy(&out->word, text, err) : rc;
}

exia_status exia__selector_parse(exia__selector *out, const char *text, exia_error *err)
{
    exia__selector selector = {.kind = EXIA__LATEST};
    *out = selector;
    if (text == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the selector is NULL");
    size_t size = strcspn(text, "@");
    exia_status rc = exia__text_copy_n(&selector.name, text, size, err);
    if (rc == EXIA_OK)
        rc = exia__name_check(selector.name, "model name", err);
    if (rc == EXIA_OK && text[size] == '@')
        rc = read_rest(&selector, text + size + 1, err);
    if (rc == EXIA_OK) {
        *out = selector;
        selector = (exia__selector){0};
    } else if (rc == EXIA_EINVAL) {
        rc = exia__prefix(err, rc, "selector \"%.40s%s\"", text, strlen(text) > 40 ? "..." : "");
    }
    exia__selector_free(&selector);
    return rc;
}

void exia__selector_free(exia__selector *selector)
{
    exia__release(selector->name);
    exia__release(selector->word);
    *selector = (exia__selector){0};
}

/* ---- resolving ------------------------------------------------------------------------------ */

static exia_status latest(int64_t *number, int64_t back, const exia__fold *fold, exia_error *err)
{
    *number = exia__fold_latest(fold, back);
    if (*number > 0)
        return EXIA_OK;
    int64_t count = exia__fold_count(fold);
    return exia__fail(err, EXIA_ENOTFOUND, 0, "%s has only %lld version%s", fold->name,
                      (long long)count, count == 1 ? "" : "s");
}

static exia_status keep_row(const json_t *row, void *payload, exia_error *err)
{
    json_t *copy = exia__json_deep_copy(row); /* the search's own is shared with other threads */
    *(json_t **)payload = copy;
    return copy ? EXIA_OK : exia__fail_memory(err);
}

/* Of equals the newer; numbers come first both ways, and what is no finite number is none. */
static exia_status extreme(int64_t *number, const char *way, const char *field,
                           exia_library *library, exia__fold *fold, exia_error *err)
{
    char *path = NULL, *text = NULL;
    exia__filter *filter = NULL;
    json_t *row = NULL;
    const json_t *value = NULL;
    exia_status rc = exia__filter_path(&path, field, err);
    if (rc == EXIA_OK)
        rc = exia__text_format(&text, err, "name = '%s' order by %s %s limit 1", fold->name, field,
                               way);
    if (rc == EXIA_OK)
        rc = exia__filter_parse(&filter, text, err);
    if (rc == EXIA_OK)
        rc = exia__search_model(library, fold, filter, keep_row, &row, err);
    if (rc == EXIA_OK && row != NULL)
        rc = exia__filter_field(&value, field, row, err);
    if (rc == EXIA_OK && !json_is_number(value))
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "no version of %s has a number at %.100s",
                        fold->name, field);
    if (rc == EXIA_OK)
        *number = json_integer_value(json_object_get(row, "version"));
    json_decref(row);
    exia__filter_free(filter);
    exia__release(text);
    exia__release(path);
    return rc;
}

/* Where the alias stands, or would stand after a rollback. */
static exia_status pointed(int64_t *number, const exia__selector *selector, const exia__fold *fold,
                           exia_error *err)
{
    const exia__alias *alias = exia__fold_alias(fold, selector->word);
    int back = selector->kind == EXIA__PREVIOUS;
    if (alias == NULL || (!back && alias->version == EXIA_ABSENT))
        return exia__fail(err, EXIA_ENOTFOUND, 0, "%s has no alias %s", fold->name, selector->word);
    *number = back ? alias->under : alias->version;
    if (*number == EXIA_ABSENT)
        return exia__fail(err, EXIA_ENOTFOUND, 0, "the alias %s of %s was nowhere before",
                          selector->word, fold->name);
    return EXIA_OK;
}

exia_status exia__selector_resolve(int64_t *number, const exia__selector *selector,
                                   exia_library *library, exia__fold *fold, exia_error *err)
{
    *number = selector->number;
    exia_status rc = exia__fold_missing(fold, err);
    if (rc < 0)
        return rc;
    switch (selector->kind) {
    case EXIA__LATEST:
        return latest(number, selector->number, fold, err);
    case EXIA__BEST:
        return extreme(number, "desc", selector->word, library, fold, err);
    case EXIA__WORST:
        return extreme(number, "asc", selector->word, library, fold, err);
    case EXIA__ALIAS:
    case EXIA__PREVIOUS:
        rc = pointed(number, selector, fold, err);
        break;
    case EXIA__NUMBER:
        break;
    }
    if (rc == EXIA_OK && !exia__fold_has(fold, *number))
        rc = exia__fail(err, EXIA_ENOTFOUND, 0, "%s version %lld of %s",
                        *number <= fold->highest ? "somebody removed" : "there is no",
                        (long long)*number, fold->name);
    return rc;
}
