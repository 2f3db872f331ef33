/* What a filter is told of the rows that it will see: which members they have, and which of their texts
 * compare in another way than by their bytes. */
#include <string.h>

#include "base/error.h"
#include "store/filter_program.h"

/* `path` NULL: a literal. */
static exia_status known(const char *path, const char *members, exia_error *err)
{
    size_t size = path ? strlen(path) : 0; /* of its first part */
    for (const char *at = members; path != NULL; at += strspn(at, ", ")) {
        size_t length = strcspn(at, ",");
        if (length == 0)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "the filter asks for \"%.60s\", which no row has: use %s (texts "
                              "stand in '')",
                              path, members);
        if (length == size && strncmp(at, path, size) == 0)
            break;
        at += length;
    }
    return EXIA_OK;
}

exia_status exia__filter_known(const exia__filter *filter, const char *members, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < filter->step_count; i++) {
        rc = known(filter->steps[i].left.path, members, err);
        if (rc == EXIA_OK)
            rc = known(filter->steps[i].right.path, members, err);
    }
    for (size_t i = 0; rc == EXIA_OK && i < filter->order_count; i++)
        rc = known(filter->orders[i].path, members, err);
    return rc;
}

static int is_member(const char *path, const char *member)
{
    return path != NULL && strcmp(path, member) == 0 && path[strlen(path) + 1] == '\0';
}

/* Is every text that `operand` holds one that may be asked for? */
static exia_status check_texts(const exia__operand *operand, const exia__texts *texts,
                               exia_error *err)
{
    const json_t *literal = operand->literal;
    size_t count = json_is_array(literal) ? json_array_size(literal) : 1;
    exia_status rc = EXIA_OK;
    for (size_t i = 0; texts->check != NULL && rc == EXIA_OK && i < count; i++) {
        const json_t *item = json_is_array(literal) ? json_array_get(literal, i) : literal;
        if (item != NULL && !json_is_string(item))
            rc = exia__fail(err, EXIA_EINVAL, 0,
                            "the filter compares %s with what is no text: it stands in ''",
                            texts->member);
        else if (item != NULL)
            rc = texts->check(json_string_value(item), err);
    }
    return rc == EXIA_EINVAL ? exia__prefix(err, rc, "filter") : rc;
}

exia_status exia__filter_texts(exia__filter *filter, const exia__texts *texts, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < filter->step_count; i++) {
        exia__step *step = &filter->steps[i];
        if ((step->what != EXIA__COMPARE && step->what != EXIA__IN) ||
            (!is_member(step->left.path, texts->member) &&
             !is_member(step->right.path, texts->member)))
            continue;
        step->texts = texts;
        rc = check_texts(&step->left, texts, err);
        if (rc == EXIA_OK)
            rc = check_texts(&step->right, texts, err);
    }
    for (size_t i = 0; rc == EXIA_OK && i < filter->order_count; i++) {
        if (is_member(filter->orders[i].path, texts->member))
            filter->orders[i].texts = texts;
    }
    return rc;
}
