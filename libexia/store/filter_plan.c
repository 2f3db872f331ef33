/* What a filter asks of every row that matches, so that an index can narrow the search: its comparisons
 * that hold for sure (an "and" away from the top), each as a range of values. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "store/filter_program.h"

enum { STACK_SIZE = 2 * EXIA__FILTER_DEPTH + 2 };

/* The comparisons and lists that are demanded, from the last to the first; EXIA_DONE from `each` ends it. */
static exia_status demands(const exia__filter *filter,
                           exia_status (*each)(const exia__step *step, void *payload,
                                               exia_error *err),
                           void *payload, exia_error *err)
{
    unsigned char stack[STACK_SIZE] = {1}; /* read backwards: is this part demanded? */
    size_t top = 1;
    exia_status rc = EXIA_OK;
    for (size_t i = filter->step_count; rc == EXIA_OK && i > 0; i--) {
        const exia__step *step = &filter->steps[i - 1];
        unsigned char demanded = stack[--top];
        if (step->what == EXIA__AND || step->what == EXIA__OR) {
            stack[top] = stack[top + 1] = demanded && step->what == EXIA__AND;
            top += 2;
        } else if (step->what == EXIA__NOT) {
            stack[top++] = 0;
        } else if (demanded && (step->what == EXIA__COMPARE || step->what == EXIA__IN)) {
            rc = each(step, payload, err);
        }
    }
    return rc < 0 ? rc : EXIA_OK;
}

static int same_path(const char *a, const char *b)
{
    while (*a != '\0' && strcmp(a, b) == 0) {
        a += strlen(a) + 1;
        b += strlen(b) + 1;
    }
    return *a == '\0' && *b == '\0';
}

/* ---- one equality --------------------------------------------------------------------------- */

typedef struct equality {
    const char *path, *text;
} equality;

static exia_status find_equality(const exia__step *step, void *payload, exia_error *err)
{
    equality *now = payload;
    const exia__operand *name = step->left.path ? &step->left : &step->right;
    const exia__operand *text = step->left.path ? &step->right : &step->left;
    (void)err;
    if (step->what == EXIA__COMPARE && step->how == EXIA__EQ && name->path != NULL &&
        same_path(name->path, now->path))
        now->text = json_string_value(text->literal);
    return now->text ? EXIA_DONE : EXIA_OK;
}

const char *exia__filter_equal(const exia__filter *filter, const char *field)
{
    char *path = NULL;
    equality now = {0};
    if (filter == NULL || exia__filter_path(&path, field, NULL) < 0)
        return NULL;
    now.path = path;
    demands(filter, find_equality, &now, NULL);
    exia__release(path);
    return now.text;
}

/* ---- ranges --------------------------------------------------------------------------------- */

static exia_status make_pointer(char **out, const char *path, exia_error *err)
{
    exia__buffer pointer = {0};
    exia_status rc = EXIA_OK;
    for (; rc == EXIA_OK && *path != '\0'; path += strlen(path) + 1)
        rc = exia__json_pointer(&pointer, path, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_take(out, &pointer, err);
    exia__buffer_free(&pointer);
    return rc;
}

/* A bound that begins as this literal does is of the same type. */
static int same_type(const char *bound, const json_t *literal)
{
    int text = *bound == '"', truth = *bound == 't' || *bound == 'f';
    return text == json_is_string(literal) && truth == json_is_boolean(literal);
}

/* The range of this path that can take the bound too, or a new one. */
static exia_status find_range(exia_range **out, exia__plan *plan, const char *path,
                              const json_t *literal, int low, int high, exia_error *err)
{
    char *pointer = NULL;
    exia_status rc = make_pointer(&pointer, path, err);
    for (size_t i = 0; rc == EXIA_OK && i < plan->range_count; i++) {
        exia_range *range = &plan->ranges[i];
        const char *there = range->low ? range->low : range->high;
        if (strcmp(range->path, pointer) != 0 || (low && range->low) || (high && range->high) ||
            !same_type(there, literal))
            continue;
        exia__release(pointer);
        *out = range;
        return EXIA_OK;
    }
    if (rc == EXIA_OK)
        rc = exia__grow(&plan->ranges, &plan->capacity, plan->range_count + 1, sizeof *plan->ranges,
                        err);
    if (rc == EXIA_OK) {
        *out = &plan->ranges[plan->range_count++];
        **out = (exia_range){.path = pointer};
        pointer = NULL;
    }
    exia__release(pointer);
    return rc;
}

static exia_status add_bound(const char **bound, const json_t *literal, exia_error *err)
{
    char *text = NULL;
    exia_status rc = exia__json_text(&text, literal, err);
    *bound = text;
    return rc;
}

/* A list is the range from its least value to its greatest, if they are of one type. */
static exia_status add_list(exia__plan *plan, const exia__step *step, exia_error *err)
{
    const json_t *list = step->right.literal, *least = json_array_get(list, 0), *most = least;
    exia_range *range = NULL;
    if (step->negated || step->left.path == NULL || list == NULL)
        return EXIA_OK;
    for (size_t i = 1; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!exia__values_comparable(least, item))
            return EXIA_OK;
        least = exia__values_compare(item, least) < 0 ? item : least;
        most = exia__values_compare(item, most) > 0 ? item : most;
    }
    exia_status rc = find_range(&range, plan, step->left.path, least, 1, 1, err);
    if (rc == EXIA_OK)
        rc = add_bound(&range->low, least, err);
    return rc == EXIA_OK ? add_bound(&range->high, most, err) : rc;
}

static exia_status add_range(const exia__step *step, void *payload, exia_error *err)
{
    exia__plan *plan = payload;
    if (step->texts != NULL) /* no index has their order */
        return EXIA_OK;
    if (step->what == EXIA__IN)
        return add_list(plan, step, err);
    int turned = step->left.path == NULL; /* 0.9 < metrics.auc */
    const char *path = turned ? step->right.path : step->left.path;
    const json_t *literal = turned ? step->left.literal : step->right.literal;
    if (path == NULL || literal == NULL || step->how == EXIA__NE)
        return EXIA_OK;
    int below = step->how == EXIA__LT || step->how == EXIA__LE;
    int low = step->how == EXIA__EQ || below == turned, high = step->how == EXIA__EQ || !low;
    exia_range *range = NULL;
    exia_status rc = find_range(&range, plan, path, literal, low, high, err);
    if (rc == EXIA_OK && low)
        rc = add_bound(&range->low, literal, err);
    if (rc == EXIA_OK && high)
        rc = add_bound(&range->high, literal, err);
    return rc;
}

exia_status exia__filter_plan(exia__plan *out, const exia__filter *filter, exia_error *err)
{
    exia__plan plan = {0};
    *out = plan;
    exia_status rc = demands(filter, add_range, &plan, err);
    if (rc == EXIA_OK && filter->order_count > 0 && filter->orders[0].texts == NULL) {
        plan.descending = filter->orders[0].descending;
        rc = make_pointer(&plan.order, filter->orders[0].path, err);
    }
    for (size_t i = 0; rc == EXIA_OK && plan.order != NULL && i < plan.range_count; i++)
        plan.bounded = plan.bounded || strcmp(plan.ranges[i].path, plan.order) == 0;
    if (rc == EXIA_OK) {
        *out = plan;
        plan = (exia__plan){0};
    }
    exia__plan_free(&plan);
    return rc;
}

void exia__plan_free(exia__plan *plan)
{
    for (size_t i = 0; i < plan->range_count; i++) {
        exia__release((char *)(uintptr_t)plan->ranges[i].path);
        exia__release((char *)(uintptr_t)plan->ranges[i].low);
        exia__release((char *)(uintptr_t)plan->ranges[i].high);
    }
    exia__release(plan->ranges);
    exia__release(plan->order);
    *plan = (exia__plan){0};
}

size_t exia__filter_limit(const exia__filter *filter)
{
    return filter->limit;
}
