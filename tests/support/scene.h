/* A run of a small graph, watched: what its tasks do, who is held at a gate, what was told.  Whoever
 * must wait for another one waits for the gate; nothing here depends on how fast it is. */
#ifndef TESTS_SCENE_H
#define TESTS_SCENE_H

#include <pthread.h>

#include "support/graphs.h"

typedef struct scene {
    exia_dag *dag;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char began[64];                    /* names, in the order in which attempts began */
    size_t count, running[4], most[4]; /* by resource */
    int failures[128];                 /* by name: so many attempts fail */
    exia_status status;                /* with this */
    const char *held;                  /* these wait for the gate */
    int open;
    const uint32_t *uses;
    exia_status (*meddle)(struct scene *, exia_error *); /* what task 'm' does */
    size_t meet;                                         /* so many out at once open the gate */
    int told, reports;                                   /* calls of `out`, of progress */
    char out[64], step[200];                             /* the last of them */
    int stops;
    int open_after; /* so many of them, once it stops */
} scene;

/* Nodes of one letter each, and edges "ab bc". */
void scene_open(scene *s, const char *nodes, const char *text);
void scene_close(scene *s);
void scene_let_go(scene *s);
void scene_await(scene *s, size_t count); /* until so many attempts began */

exia_status scene_act(uint32_t node, void *payload, exia_error *error); /* the task of each node */
int scene_progress(const char *step, uint64_t done, uint64_t total, void *payload);
void scene_out(const uint32_t *nodes, size_t count, int stops, void *payload); /* for options.out */
exia_status scene_cancel(scene *s, exia_error *error);                         /* for `meddle` */

/* "d1 s0": state and attempts of each; the rows are freed. */
const char *scene_told(exia_rows *rows);

#define RUN(s, o, threads_)                                                                        \
    exia_dag_run_with(&rows, (s)->dag, scene_act, (s), (o),                                        \
                      &(exia_job){.struct_size = sizeof(exia_job),                                 \
                                  .threads = (threads_),                                           \
                                  .progress = scene_progress,                                      \
                                  .payload = (s)},                                                 \
                      &err)

#endif
