/* A pool of C components: a window (one object, shared) and filters that need it (up to two, each
 * lent to one borrower at a time).
 *
 *     cc pool.c $(pkg-config --cflags --libs exia) && ./a.out */
#include <stdio.h>
#include <stdlib.h>

#include <exia.h>

enum { SIZE = 8 };

struct filter {
    const double *window; /* the shared one */
    double buffer[SIZE];  /* this filter's own */
};

static exia_status make_window(void **out, void *const *needs, void *payload, exia_error *err)
{
    double *window = malloc(SIZE * sizeof *window);
    (void)needs, (void)payload, (void)err;
    if (window == NULL)
        return EXIA_ENOMEM;
    for (int i = 0; i < SIZE; i++)
        window[i] = 2.0 * (i < SIZE / 2 ? i : SIZE - 1 - i) / (SIZE - 1); /* a triangle */
    *out = window;
    return EXIA_OK;
}

/* `needs` holds the objects of what the component needs, in the order they were named. */
static exia_status make_filter(void **out, void *const *needs, void *payload, exia_error *err)
{
    struct filter *filter = calloc(1, sizeof *filter);
    (void)payload, (void)err;
    if (filter == NULL)
        return EXIA_ENOMEM;
    filter->window = needs[0];
    *out = filter;
    return EXIA_OK;
}

static void destroy(void *object, void *payload)
{
    (void)payload;
    free(object);
}

int main(void)
{
    const exia_factory window = {sizeof window, .create = make_window, .destroy = destroy};
    const exia_factory filter = {sizeof filter, .create = make_filter, .destroy = destroy};
    const char *needs[] = {"window"};
    const exia_component_options options = {
        .struct_size = sizeof options, .needs = needs, .need_count = 1, .max = 2};
    exia_error err = {0};
    exia_pool *pool = NULL;
    exia_component *filters;
    exia_rows *rows = NULL;
    exia_lease one, two, three;
    const char *row;
    int failed = 1;

    if (exia_pool_open(&pool, "signal", &err) < 0 ||
        exia_pool_add(&filters, pool, "filter", &filter, &options, &err) < 0 ||
        exia_pool_add(NULL, pool, "window", &window, NULL, &err) < 0)
        goto done;

    /* The first loan builds the window, then the filter.  Do borrow by the component, not by its
     * name, where it must be fast. */
    if (exia_component_borrow(&one, filters, 0, EXIA_HERE, &err) < 0 ||
        exia_component_borrow(&two, filters, 0, EXIA_HERE, &err) < 0)
        goto done;
    printf("two filters, one window: %s\n",
           ((struct filter *)one.object)->window == ((struct filter *)two.object)->window ? "yes"
                                                                                          : "no");
    if (exia_component_borrow(&three, filters, 10, EXIA_HERE, &err) == EXIA_ETIMEOUT)
        printf("a third one is not lent: %s\n", err.text);

    if (exia_lease_return(&one, &err) < 0 || exia_lease_return(&two, &err) < 0)
        goto done;
    if (exia_lease_return(&two, &err) == EXIA_EINVAL)
        printf("a second return is an error: %s\n", err.text);

    if (exia_pool_list(&rows, pool, &err) < 0)
        goto done;
    while (exia_rows_next(&row, rows, &err) == EXIA_OK)
        printf("%s\n", row); /* a JSON object */
    if (exia_pool_close(pool, -1, &err) < 0)
        goto done;
    failed = 0;
done:
    if (failed)
        fprintf(stderr, "pool: %s\n", err.text);
    exia_rows_free(rows);
    exia_pool_free(pool);
    return failed;
}
