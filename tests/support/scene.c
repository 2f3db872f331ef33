/* One lock guards all that is noted, and one condition tells of each change. */
#include "support/scene.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

void scene_open(scene *s, const char *nodes, const char *text)
{
    *s = (scene){.dag = open_named(nodes), .held = "", .status = EXIA_EUSER};
    edges(s->dag, text);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
}

void scene_close(scene *s)
{
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    exia_dag_free(s->dag);
}

void scene_let_go(scene *s)
{
    pthread_mutex_lock(&s->lock);
    s->open = 1;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void scene_await(scene *s, size_t count)
{
    pthread_mutex_lock(&s->lock);
    while (s->count < count)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

exia_status scene_act(uint32_t node, void *payload, exia_error *error)
{
    scene *s = payload;
    char name = exia_dag_name(s->dag, node)[0];
    uint32_t use = s->uses ? s->uses[node] : EXIA_DAG_NO_RESOURCE;
    pthread_mutex_lock(&s->lock);
    s->began[s->count++] = name;
    if (use != EXIA_DAG_NO_RESOURCE && ++s->running[use] > s->most[use])
        s->most[use] = s->running[use];
    pthread_cond_broadcast(&s->changed);
    while (strchr(s->held, name) != NULL && !s->open)
        pthread_cond_wait(&s->changed, &s->lock);
    if (use != EXIA_DAG_NO_RESOURCE)
        s->running[use]--;
    int fails = s->failures[(int)name]-- > 0;
    pthread_mutex_unlock(&s->lock);
    if (name == 'm' && s->meddle != NULL)
        return s->meddle(s, error);
    if (!fails)
        return EXIA_OK;
    error->status = s->status;
    snprintf(error->text, sizeof error->text, "%c is tired", name);
    return s->status;
}

int scene_progress(const char *step, uint64_t done, uint64_t total, void *payload)
{
    scene *s = payload;
    (void)done;
    (void)total;
    snprintf(s->step, sizeof s->step, "%s", step);
    s->reports++;
    if (s->open_after > 0 && strstr(step, "stopping") != NULL && --s->open_after == 0)
        scene_let_go(s);
    return 0;
}

void scene_out(const uint32_t *nodes, size_t count, int stops, void *payload)
{
    scene *s = payload;
    for (size_t i = 0; i < count; i++)
        s->out[i] = exia_dag_name(s->dag, nodes[i])[0];
    s->out[count] = '\0';
    s->stops = stops;
    pthread_mutex_lock(&s->lock);
    s->told++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (count == s->meet)
        scene_let_go(s);
}

/* "d1 s0": state and attempts of each. */
const char *scene_told(exia_rows *rows)
{
    static char text[256];
    const char *row_text;
    size_t used = 0;
    text[0] = '\0';
    while (rows != NULL && exia_rows_next(&row_text, rows, NULL) == EXIA_OK) {
        json_t *row = json_loads(row_text, 0, NULL);
        json_int_t attempts = json_integer_value(json_object_get(row, "attempts"));
        const char *state = json_string_value(json_object_get(row, "state"));
        json_t *started = json_object_get(row, "started_ns"),
               *ended = json_object_get(row, "ended_ns"), *worker = json_object_get(row, "worker");
        assert_int_equal(json_is_integer(started), attempts > 0);
        assert_int_equal(json_is_integer(ended), attempts > 0);
        assert_int_equal(json_is_integer(worker), attempts > 0);
        assert_true(json_integer_value(ended) >= json_integer_value(started));
        assert_true(attempts == 0 || json_integer_value(started) >=
                                         json_integer_value(json_object_get(row, "queued_ns")));
        if (*state == 'f')
            assert_true(json_is_string(json_object_get(row, "error")));
        if (*state == 'd')
            assert_true(json_is_null(json_object_get(row, "error")));
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%c%d", used ? " " : "", *state,
                                 (int)attempts);
        json_decref(row);
    }
    exia_rows_free(rows);
    return text;
}

exia_status scene_cancel(scene *s, exia_error *error)
{
    return exia_dag_cancel(s->dag, error);
}
