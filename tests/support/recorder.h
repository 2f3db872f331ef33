/* A recorder stands for a factory: it writes what is called into one text, "+a1" create, "!a1"
 * activate, "?a1" validate, "-a1" passivate, "~a1" destroy, ".a" release.  And borrowers in threads
 * of their own, and a factory that holds until it is let go. */
#ifndef TESTS_RECORDER_H
#define TESTS_RECORDER_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "support/check.h"

typedef struct recorder recorder;
typedef struct thing {
    recorder *maker;
    int number;
    atomic_int users;
    struct thing *needs[8];
} thing;

struct recorder {
    char name;
    int made;
    const char *fails;  /* these calls fail: "+!?-" */
    const char *silent; /* ... without filling the error */
    size_t need_count;
    exia_pool *pool; /* for those that call back */
    exia_component *borrows;
    void (*inside)(recorder *r);   /* create */
    void (*at_check)(recorder *r); /* validate */
    void (*at_end)(recorder *r);   /* destroy */
    exia_status status;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char calls[4096];

static inline const char *called(void)
{
    static char copy[sizeof calls];
    pthread_mutex_lock(&lock);
    memcpy(copy, calls, sizeof copy);
    calls[0] = '\0';
    pthread_mutex_unlock(&lock);
    return copy[0] == ' ' ? copy + 1 : copy;
}
#define check_calls(text) assert_string_equal(called(), text)

static inline exia_status record(recorder *r, char what, int number, exia_error *error)
{
    char text[32];
    snprintf(text, sizeof text, number ? " %c%c%d" : " %c%c", what, r->name, number);
    pthread_mutex_lock(&lock);
    if (strlen(calls) + sizeof text < sizeof calls)
        strcat(calls, text);
    pthread_mutex_unlock(&lock);
    if (r->silent && strchr(r->silent, what))
        return EXIA_EIO;
    if (r->fails == NULL || strchr(r->fails, what) == NULL)
        return EXIA_OK;
    error->status = EXIA_EUSER;
    error->native = 3;
    snprintf(error->text, sizeof error->text, "%c%c says no", what, r->name);
    return EXIA_EUSER;
}

static inline exia_status create(void **out, void *const *needs, void *payload, exia_error *error)
{
    recorder *r = payload;
    pthread_mutex_lock(&lock);
    int number = r->made + 1;
    pthread_mutex_unlock(&lock);
    exia_status rc = record(r, '+', number, error);
    if (rc == EXIA_OK && r->inside != NULL)
        r->inside(r);
    if (rc == EXIA_OK && r->status < 0) {
        error->status = r->status;
        snprintf(error->text, sizeof error->text, "inside: %.200s", err.text);
        rc = r->status;
    }
    if (rc < 0)
        return rc;
    thing *t = calloc(1, sizeof *t);
    pthread_mutex_lock(&lock);
    t->number = ++r->made;
    pthread_mutex_unlock(&lock);
    t->maker = r;
    for (size_t i = 0; i < r->need_count; i++)
        t->needs[i] = needs[i];
    *out = t;
    return EXIA_OK;
}

static inline exia_status activate(void *object, void *payload, exia_error *error)
{
    return record(payload, '!', ((thing *)object)->number, error);
}

static inline exia_status passivate(void *object, void *payload, exia_error *error)
{
    return record(payload, '-', ((thing *)object)->number, error);
}

static inline exia_status validate(void *object, void *payload, exia_error *error)
{
    recorder *r = payload;
    if (r->at_check != NULL)
        r->at_check(r);
    return record(payload, '?', ((thing *)object)->number, error);
}

static inline void destroy(void *object, void *payload)
{
    recorder *r = payload;
    record(r, '~', ((thing *)object)->number, NULL);
    if (r->at_end != NULL)
        r->at_end(r);
    free(object);
}

static inline void release(void *payload)
{
    record(payload, '.', 0, NULL);
}

static inline exia_pool *open_pool(void)
{
    exia_pool *pool = NULL;
    called();
    check_ok(exia_pool_open(&pool, "test", &err));
    return pool;
}

/* `which` lists the optional functions: "!?-". */
static inline exia_factory factory_of(recorder *r, const char *which)
{
    return (exia_factory){.struct_size = sizeof(exia_factory),
                          .create = create,
                          .activate = strchr(which, '!') ? activate : NULL,
                          .validate = strchr(which, '?') ? validate : NULL,
                          .passivate = strchr(which, '-') ? passivate : NULL,
                          .destroy = destroy,
                          .release = release,
                          .payload = r};
}

typedef struct wishes {
    exia_component_options options;
    char letters[8][2];
    const char *names[8];
} wishes;

/* `needs` has one letter a need. */
static inline const exia_component_options *options_of(wishes *w, recorder *r, uint32_t max,
                                                       const char *needs)
{
    r->need_count = strlen(needs);
    w->options = (exia_component_options){.struct_size = sizeof w->options,
                                          .needs = w->names,
                                          .need_count = r->need_count,
                                          .max = max};
    for (size_t i = 0; i < r->need_count; i++) {
        w->letters[i][0] = needs[i];
        w->letters[i][1] = '\0';
        w->names[i] = w->letters[i];
    }
    return &w->options;
}

static inline exia_status try_add(exia_component **out, exia_pool *pool, recorder *r, uint32_t max,
                                  const char *needs, const char *which)
{
    char name[] = {r->name, '\0'};
    exia_factory factory = factory_of(r, which);
    wishes w;
    return exia_pool_add(out, pool, name, &factory, options_of(&w, r, max, needs), &err);
}

/* `needs` NULL: options are NULL, everything stays. */
static inline exia_status replace(exia_component *c, recorder *r, uint32_t max, const char *needs,
                                  const char *which, int rebuild)
{
    exia_factory factory = factory_of(r, which);
    wishes w;
    return exia_component_replace(c, &factory, needs ? options_of(&w, r, max, needs) : NULL,
                                  rebuild, &err);
}

static inline exia_component *add(exia_pool *pool, recorder *r, uint32_t max, const char *needs,
                                  const char *which)
{
    exia_component *component = NULL;
    check_ok(try_add(&component, pool, r, max, needs, which));
    return component;
}

static inline exia_lease borrow(exia_component *component)
{
    exia_lease lease;
    check_ok(exia_component_borrow(&lease, component, 0, EXIA_HERE, &err));
    return lease;
}

static inline void give(exia_lease lease)
{
    check_ok(exia_lease_return(&lease, &err));
}

static inline json_t *row_of(exia_pool *pool, const char *name)
{
    exia_rows *rows = NULL;
    const char *text;
    json_t *found = NULL;
    check_ok(exia_pool_list(&rows, pool, &err));
    while (exia_rows_next(&text, rows, &err) == EXIA_OK) {
        json_t *row = json_loads(text, 0, NULL);
        if (strcmp(json_string_value(json_object_get(row, "name")), name) == 0)
            found = row;
        else
            json_decref(row);
    }
    exia_rows_free(rows);
    assert_non_null(found);
    return found;
}

static inline long long number_of(exia_pool *pool, const char *name, const char *key)
{
    json_t *row = row_of(pool, name);
    long long number = json_integer_value(json_object_get(row, key));
    json_decref(row);
    return number;
}

/* ---- in threads ---- */

typedef struct borrower {
    pthread_t thread;
    exia_component *component;
    int64_t wait_ms;
    exia_lease lease;
    exia_status rc;
    exia_error err;
    int number;
    atomic_int ended;
} borrower;
static char served[64]; /* the numbers of borrowers, in the order they were served */

static inline void *borrow_in_thread(void *payload)
{
    borrower *b = payload;
    b->rc = exia_component_borrow(&b->lease, b->component, b->wait_ms, "thread", &b->err);
    if (b->rc == EXIA_OK) {
        pthread_mutex_lock(&lock);
        char text[] = {(char)('0' + b->number), '\0'};
        strcat(served, text);
        pthread_mutex_unlock(&lock);
    }
    if (b->rc == EXIA_OK)
        b->rc = exia_lease_return(&b->lease, &b->err);
    atomic_store(&b->ended, 1);
    return NULL;
}

static inline void await(exia_pool *pool, const char *name, const char *key, long long wanted)
{
    struct timespec moment = {.tv_nsec = 200000};
    while (number_of(pool, name, key) != wanted)
        nanosleep(&moment, NULL);
}

static inline void start(borrower *b, exia_component *c, int64_t wait_ms)
{
    b->component = c;
    b->wait_ms = wait_ms;
    assert_int_equal(pthread_create(&b->thread, NULL, borrow_in_thread, b), 0);
}

static int gate;
static inline void hold(recorder *r)
{
    (void)r;
    pthread_mutex_lock(&lock);
    gate = 2; /* here it is */
    pthread_cond_broadcast(&changed);
    while (gate != 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
static inline void await_held(void)
{
    pthread_mutex_lock(&lock);
    while (gate != 2)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
static inline void let_go(void)
{
    pthread_mutex_lock(&lock);
    gate = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

#endif
