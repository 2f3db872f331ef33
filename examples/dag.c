/* A graph of tasks: run in parallel where nothing forbids it; a cycle is an error that names it.
 *
 *     cc dag.c $(pkg-config --cflags --libs exia) && ./a.out */
#include <stdio.h>

#include <exia.h>

enum { LOAD, CLEAN, TRAIN, TEST, REPORT, COUNT };
static const char *const names[COUNT] = {"load", "clean", "train", "test", "report"};

/* The work at a node.  It runs in one of several threads, once all that comes before is done. */
static exia_status work(uint32_t node, void *payload, exia_error *err)
{
    int *results = payload;
    (void)err;
    switch (node) {
    case LOAD:
        results[LOAD] = 100;
        break;
    case CLEAN:
        results[CLEAN] = results[LOAD] - 10;
        break;
    case TRAIN:
        results[TRAIN] = results[CLEAN] / 2;
        break;
    case TEST:
        results[TEST] = results[CLEAN] / 3;
        break;
    case REPORT:
        results[REPORT] = results[TRAIN] + results[TEST];
        break;
    }
    return EXIA_OK; /* a failure would skip what comes after this node, and nothing else */
}

int main(void)
{
    const uint32_t before[] = {LOAD, CLEAN, CLEAN, TRAIN, TEST};
    const uint32_t after[] = {CLEAN, TRAIN, TEST, REPORT, REPORT};
    const uint32_t back_before[] = {REPORT}, back_after[] = {CLEAN};
    const exia_job two_threads = {sizeof two_threads, .threads = 2};
    int results[COUNT] = {0}, failed = 1;
    exia_error err = {0};
    exia_dag *dag = NULL;
    exia_rows *report = NULL;
    const uint32_t *order;
    size_t count;
    const char *row;
    char *dot = NULL;

    if (exia_dag_open(&dag, &err) < 0 || exia_dag_add_nodes(NULL, dag, names, COUNT, &err) < 0 ||
        exia_dag_add_edges(dag, before, after, 5, &err) < 0 ||
        exia_dag_order(&order, &count, dag, &err) < 0)
        goto done;
    for (size_t i = 0; i < count; i++)
        printf("%s%s", exia_dag_name(dag, order[i]), i + 1 < count ? ", " : "\n");

    if (exia_dag_run(&report, dag, work, results, &two_threads, &err) < 0)
        goto done;
    while (exia_rows_next(&row, report, &err) == EXIA_OK)
        printf("%s\n", row);
    printf("the report says %d\n", results[REPORT]);

    if (exia_dag_export(&dot, dag, "dot", &err) < 0) /* for Graphviz */
        goto done;
    printf("%s", dot);

    if (exia_dag_add_edges(dag, back_before, back_after, 1, &err) < 0)
        goto done;
    if (exia_dag_order(&order, &count, dag, &err) == EXIA_ECYCLE)
        printf("no order: %s\n", err.text);
    failed = 0;
done:
    if (failed)
        fprintf(stderr, "dag: %s\n", err.text);
    exia_text_free(dot);
    exia_rows_free(report);
    exia_dag_free(dag);
    return failed;
}
