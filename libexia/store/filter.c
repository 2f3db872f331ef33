/* The meaning of filters: a program in postfix order runs over each row with a small stack of truth
 * values; what matches is sorted by keys that were looked up once. */
#include "store/filter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/rows.h"
#include "store/filter_program.h"

/* Each level of parentheses keeps at most the left sides of one "or" and one "and". */
enum { STACK_SIZE = 2 * EXIA__FILTER_DEPTH + 2 };

static const json_t *look_up(const char *path, const json_t *row)
{
    for (; row != NULL && *path != '\0'; path += strlen(path) + 1)
        row = json_object_get(row, path);
    return row;
}

static const json_t *value_of(const exia__operand *operand, const json_t *row)
{
    return operand->path ? look_up(operand->path, row) : operand->literal;
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* Types that compare with each other have one rank; the last one compares with nothing. */
enum { RANK_NUMBER, RANK_TEXT, RANK_BOOLEAN, RANK_NONE };

static int rank_of(const json_t *value)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_INTEGER:
    case JSON_REAL:
        return RANK_NUMBER;
    case JSON_STRING:
        return RANK_TEXT;
    case JSON_TRUE:
    case JSON_FALSE:
        return RANK_BOOLEAN;
    default:
        return RANK_NONE;
    }
}

static int sign(double difference)
{
    return (difference > 0) - (difference < 0);
}

/* Exactly: a double has not all integers from 2^53 on, so the integer is never made one. */
static int compare_integer_real(json_int_t a, double b)
{
    if (b >= 9223372036854775808.0)
        return -1;
    if (b < -9223372036854775808.0)
        return 1;
    json_int_t whole = (json_int_t)b;
    return a != whole ? (a > whole) - (a < whole) : sign(trunc(b) - b);
}

static int compare_numbers(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    if (json_is_integer(a))
        return compare_integer_real(json_integer_value(a), json_real_value(b));
    if (json_is_integer(b))
        return -compare_integer_real(json_integer_value(b), json_real_value(a));
    double x = json_real_value(a), y = json_real_value(b);
    return (x > y) - (x < y);
}

static int compare_texts(const json_t *a, const json_t *b)
{
    size_t x = json_string_length(a), y = json_string_length(b);
    int order = memcmp(json_string_value(a), json_string_value(b), x < y ? x : y);
    return order != 0 ? order : (x > y) - (x < y);
}

/* Of two values of one rank. */
static int compare(const json_t *a, const json_t *b, int rank, const exia__texts *texts)
{
    switch (rank) {
    case RANK_NUMBER:
        return compare_numbers(a, b);
    case RANK_TEXT:
        return texts ? texts->compare(json_string_value(a), json_string_value(b))
                     : compare_texts(a, b);
    case RANK_BOOLEAN:
        return json_is_true(a) - json_is_true(b);
    default:
        return 0;
    }
}

int exia__values_comparable(const json_t *a, const json_t *b)
{
    int rank = rank_of(a);
    return rank != RANK_NONE && rank == rank_of(b);
}

int exia__values_compare(const json_t *a, const json_t *b)
{
    return compare(a, b, rank_of(a), NULL);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static int test_compare(const exia__step *step, const json_t *left, const json_t *right)
{
    int rank = rank_of(left);
    if (rank == RANK_NONE || rank != rank_of(right))
        return 0;
    int order = compare(left, right, rank, step->texts);
    switch (step->how) {
    case EXIA__EQ:
        return order == 0;
    case EXIA__NE:
        return order != 0;
    case EXIA__LT:
        return order < 0;
    case EXIA__LE:
        return order <= 0;
    case EXIA__GT:
        return order > 0;
    case EXIA__GE:
        return order >= 0;
    }
    return 0;
}

/* `not in` is a comparison too: a value of another type than all in the list matches neither. */
static int test_in(const exia__step *step, const json_t *left, const json_t *list)
{
    int rank = rank_of(left), comparable = 0;
    for (size_t i = 0; rank != RANK_NONE && i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (rank_of(item) != rank)
            continue;
        if (compare(left, item, rank, step->texts) == 0)
            return !step->negated;
        comparable = 1;
    }
    return step->negated && comparable;
}

/* What is asked of the list that a name leads to. */
typedef struct sought {
    const exia__texts *texts;
    const json_t *value; /* is it one of the list's? */
    int found, listed;   /* listed: there is a list at all */
} sought;

static void look_at(sought *now, const json_t *value)
{
    int rank = rank_of(value);
    if (rank == RANK_NONE)
        return;
    now->listed = 1;
    now->found |= rank == rank_of(now->value) && compare(value, now->value, rank, now->texts) == 0;
}

/* One value is a list of one.  No deeper than the row is nested. */
static void look_into(sought *now, const char *path, const json_t *value)
{
    size_t i = 0;
    json_t *item = NULL;
    if (json_is_array(value)) {
        now->listed |= *path == '\0';
        json_array_foreach((json_t *)(uintptr_t)value, i, item)
        {
            if (*path != '\0')
                look_into(now, path, item);
            else
                look_at(now, item);
        }
    } else if (*path != '\0') {
        value = json_object_get(value, path);
        if (value != NULL)
            look_into(now, path + strlen(path) + 1, value);
    } else if (json_is_object(value)) {
        now->listed = 1;
        now->found |= json_is_string(now->value) &&
                      json_object_get(value, json_string_value(now->value)) != NULL;
    } else {
        look_at(now, value);
    }
}

static int test_within(const exia__step *step, const json_t *left, const json_t *row)
{
    sought now = {.texts = step->texts, .value = left};
    if (rank_of(left) == RANK_NONE)
        return 0;
    look_into(&now, step->right.path, row);
    return now.listed && now.found != step->negated;
}

static size_t character_size(const char *at, const char *end)
{
    size_t size = 1;
    while (at + size < end && ((unsigned char)at[size] & 0xc0) == 0x80)
        size++;
    return size;
}

/* '%' is any run of characters, '_' one.  Only the last '%' is ever tried again, so the time is at
 * most the product of the sizes. */
static int is_like(const char *text, const char *text_end, const char *form, const char *form_end)
{
    const char *retry_text = NULL, *retry_form = NULL;
    while (text < text_end) {
        if (form < form_end && *form == '%') {
            retry_form = ++form;
            retry_text = text;
        } else if (form < form_end && *form == '_') {
            form++;
            text += character_size(text, text_end);
        } else if (form < form_end && *form == *text) {
            form++;
            text++;
        } else if (retry_form != NULL) {
            form = retry_form;
            retry_text += character_size(retry_text, text_end);
            text = retry_text;
        } else {
            return 0;
        }
    }
    while (form < form_end && *form == '%')
        form++;
    return form == form_end;
}

static int test_like(const exia__step *step, const json_t *left, const json_t *form)
{
    if (!json_is_string(left))
        return 0;
    const char *text = json_string_value(left), *like = json_string_value(form);
    return is_like(text, text + json_string_length(left), like, like + json_string_length(form)) !=
           step->negated;
}

static int test(const exia__step *step, const json_t *row)
{
    const json_t *left = value_of(&step->left, row), *right = value_of(&step->right, row);
    switch (step->what) {
    case EXIA__COMPARE:
        return test_compare(step, left, right);
    case EXIA__IN:
        return step->right.path ? test_within(step, left, row) : test_in(step, left, right);
    case EXIA__LIKE:
        return test_like(step, left, right);
    default:
        return (left == NULL || json_is_null(left)) != step->negated;
    }
}

int exia__filter_match(const exia__filter *filter, const json_t *row)
{
    unsigned char stack[STACK_SIZE];
    size_t top = 0;
    if (filter == NULL || filter->step_count == 0)
        return 1;
    for (size_t i = 0; i < filter->step_count; i++) {
        const exia__step *step = &filter->steps[i];
        switch (step->what) {
        case EXIA__AND:
            top--;
            stack[top - 1] &= stack[top];
            break;
        case EXIA__OR:
            top--;
            stack[top - 1] |= stack[top];
            break;
        case EXIA__NOT:
            stack[top - 1] = !stack[top - 1];
            break;
        default:
            stack[top++] = (unsigned char)test(step, row);
        }
    }
    return stack[0];
}

exia_status exia__filter_field(const json_t **out, const char *name, const json_t *row,
                               exia_error *err)
{
    char *path = NULL;
    *out = NULL;
    exia_status rc = exia__filter_path(&path, name, err);
    if (rc == EXIA_OK)
        *out = look_up(path, row);
    exia__release(path);
    return rc;
}

/* ---- order ---------------------------------------------------------------------------------- */

typedef struct sorting {
    const exia__filter *filter;
    const json_t **keys; /* order_count a row */
} sorting;

/* Numbers, then texts, then booleans, then the rest, in both directions: what cannot be compared
 * with the best is never best. */
static int compare_keys(const json_t *x, const json_t *y, const exia__order *key)
{
    int rank = rank_of(x), other = rank_of(y);
    if (rank != other)
        return rank < other ? -1 : 1;
    int order = compare(x, y, rank, key->texts);
    return key->descending ? -order : order;
}

static int compare_rows(const void *left, const void *right, void *payload)
{
    const sorting *all = payload;
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    size_t count = all->filter->order_count;
    for (size_t i = 0; i < count; i++) {
        int order = compare_keys(all->keys[a * count + i], all->keys[b * count + i],
                                 &all->filter->orders[i]);
        if (order != 0)
            return order;
    }
    return (a > b) - (a < b); /* equals stay as they came */
}

int exia__filter_compare(const exia__filter *filter, const json_t *a, const json_t *b)
{
    int order = 0;
    for (size_t i = 0; i < filter->order_count && order == 0; i++) {
        const exia__order *key = &filter->orders[i];
        order = compare_keys(look_up(key->path, a), look_up(key->path, b), key);
    }
    return order;
}

exia__tie exia__filter_tie(const exia__filter *filter, const json_t *a, const json_t *b)
{
    if (filter->order_count == 0)
        return EXIA__EQUAL;
    const json_t *x = look_up(filter->orders[0].path, a), *y = look_up(filter->orders[0].path, b);
    if (json_is_string(x) && json_is_string(y) &&
        (json_string_length(x) >= EXIA_SEEK_TEXT || json_string_length(y) >= EXIA_SEEK_TEXT) &&
        strncmp(json_string_value(x), json_string_value(y), EXIA_SEEK_TEXT) == 0)
        return EXIA__TIED;
    if (compare_keys(x, y, &filter->orders[0]) != 0)
        return EXIA__APART;
    return filter->order_count > 1 ? EXIA__TIED : EXIA__EQUAL;
}

int exia__filter_indexed(const exia__filter *filter, const json_t *row)
{
    return filter->order_count > 0 && rank_of(look_up(filter->orders[0].path, row)) != RANK_NONE;
}

static exia_status sort(size_t *indexes, size_t index_count, const exia__filter *filter,
                        const json_t *rows, exia_error *err)
{
    sorting all = {.filter = filter};
    size_t count = json_array_size(rows);
    if (filter->order_count == 0 || index_count < 2)
        return EXIA_OK;
    if (count > SIZE_MAX / filter->order_count)
        return exia__fail_memory(err);
    all.keys = exia__array(NULL, count * filter->order_count, sizeof *all.keys);
    if (all.keys == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < index_count; i++) {
        for (size_t k = 0; k < filter->order_count; k++)
            all.keys[indexes[i] * filter->order_count + k] =
                look_up(filter->orders[k].path, json_array_get(rows, indexes[i]));
    }
    qsort_r(indexes, index_count, sizeof *indexes, compare_rows, &all);
    exia__release(all.keys);
    return EXIA_OK;
}

exia_status exia__filter_rows(exia_rows **out, const exia__filter *filter, const json_t *rows,
                              exia_error *err)
{
    static const exia__filter everything = {.limit = SIZE_MAX};
    exia_rows *chosen = NULL;
    size_t count = json_array_size(rows), matched = 0;
    size_t *indexes = NULL;
    if (out == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia__filter_rows: out is NULL");
    *out = NULL;
    filter = filter ? filter : &everything;
    exia_status rc = exia__rows_open(&chosen, err);
    if (rc < 0)
        return rc;
    indexes = exia__array(NULL, count, sizeof *indexes);
    if (indexes == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        if (exia__filter_match(filter, json_array_get(rows, i)))
            indexes[matched++] = i;
    }
    rc = sort(indexes, matched, filter, rows, err);
    for (size_t i = 0; rc == EXIA_OK && i < matched && i < filter->limit; i++)
        rc = exia__rows_add(chosen, json_array_get(rows, indexes[i]), err);
    if (rc == EXIA_OK) {
        *out = chosen;
        chosen = NULL;
    }
done:
    exia__release(indexes);
    exia_rows_free(chosen);
    return rc;
}
