/* The peers, each used as its authors mean it to be and no slower than it can be. */
#include "peers.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

/* ---- a bare compare-and-swap ----------------------------------------------------------------- */

typedef struct line {
    _Alignas(BENCH_LINE) atomic_int taken;
    object object;
} line;

void *swap_track(void)
{
    return bench_alloc(BENCH_THREADS * sizeof(line));
}

BENCH_INLINE void swap_lap(const runner *r, visit how)
{
    line *own = (line *)r->track + r->index;
    for (int i = 0; i < r->pairs; i++) {
        int expected = 0;
        if (!atomic_compare_exchange_strong_explicit(&own->taken, &expected, 1,
                                                     memory_order_acquire, memory_order_relaxed))
            bench_fail("a private line is taken");
        bench_visit(&own->object, how);
        atomic_store_explicit(&own->taken, 0, memory_order_release);
    }
}
BENCH_LAPS(swap);

/* ---- a stack under a mutex ------------------------------------------------------------------- */

typedef struct waiter {
    struct waiter *next;
    pthread_cond_t wake;
    object *given;
} waiter;

typedef struct stack {
    _Alignas(BENCH_LINE) pthread_mutex_t lock;
    pthread_cond_t some;
    waiter *first, **end; /* who waits, in order */
    int count;
    object *idle[PEER_OBJECTS];
    letter letters[BENCH_LETTERS];
} stack;

void *stack_track(int count)
{
    stack *s = bench_alloc(sizeof *s);
    object *objects = bench_alloc((uint64_t)count * sizeof *objects);
    if (pthread_mutex_init(&s->lock, NULL) != 0 || pthread_cond_init(&s->some, NULL) != 0)
        bench_fail("a mutex cannot be made");
    s->end = &s->first;
    for (s->count = 0; s->count < count; s->count++)
        s->idle[s->count] = &objects[s->count];
    return s;
}

BENCH_INLINE object *take(stack *s)
{
    pthread_mutex_lock(&s->lock);
    if (s->count == 0)
        bench_fail("the stack is empty");
    object *o = s->idle[--s->count];
    pthread_mutex_unlock(&s->lock);
    return o;
}

BENCH_INLINE void give(stack *s, object *o)
{
    pthread_mutex_lock(&s->lock);
    s->idle[s->count++] = o;
    pthread_mutex_unlock(&s->lock);
}

BENCH_INLINE void stack_lap(const runner *r, visit how)
{
    for (int i = 0; i < r->pairs; i++) {
        object *o = take(r->track);
        bench_visit(o, how);
        give(r->track, o);
    }
}
BENCH_LAPS(stack);

BENCH_INLINE void passed_lap(const runner *r, visit how)
{
    stack *s = r->track;
    for (int i = 0; i < r->pairs; i++) {
        object *o = r->index == 0 ? take(s) : NULL;
        letter *l = &s->letters[i % BENCH_LETTERS];
        letter_await(l, r->index != 0);
        if (r->index == 0) {
            l->words[0] = (uintptr_t)o;
        } else {
            o = (object *)(uintptr_t)l->words[0];
            bench_visit(o, how);
        }
        atomic_store_explicit(&l->full, r->index == 0, memory_order_release);
        if (r->index != 0)
            give(s, o);
    }
}
BENCH_LAPS(passed);

BENCH_INLINE void waiting_lap(const runner *r, visit how)
{
    stack *s = r->track;
    for (int i = 0; i < r->pairs; i++) {
        pthread_mutex_lock(&s->lock);
        while (s->count == 0)
            pthread_cond_wait(&s->some, &s->lock);
        object *o = s->idle[--s->count];
        pthread_mutex_unlock(&s->lock);
        bench_visit(o, how);
        pthread_mutex_lock(&s->lock);
        s->idle[s->count++] = o;
        pthread_cond_signal(&s->some);
        pthread_mutex_unlock(&s->lock);
    }
}
BENCH_LAPS(waiting);

static object *take_in_order(stack *s)
{
    waiter self = {.wake = PTHREAD_COND_INITIALIZER};
    pthread_mutex_lock(&s->lock);
    if (s->count > 0) {
        self.given = s->idle[--s->count];
    } else {
        *s->end = &self;
        s->end = &self.next;
    }
    while (self.given == NULL)
        pthread_cond_wait(&self.wake, &s->lock);
    pthread_mutex_unlock(&s->lock);
    pthread_cond_destroy(&self.wake);
    return self.given;
}

static void give_in_order(stack *s, object *o)
{
    pthread_mutex_lock(&s->lock);
    waiter *next = s->first;
    if (next == NULL) {
        s->idle[s->count++] = o;
    } else {
        s->first = next->next;
        if (s->first == NULL)
            s->end = &s->first;
        next->given = o;
        pthread_cond_signal(&next->wake);
    }
    pthread_mutex_unlock(&s->lock);
}

BENCH_INLINE void ordered_lap(const runner *r, visit how)
{
    for (int i = 0; i < r->pairs; i++) {
        object *o = take_in_order(r->track);
        bench_visit(o, how);
        give_in_order(r->track, o);
    }
}
BENCH_LAPS(ordered);

/* ---- one object, its holders counted --------------------------------------------------------- */

typedef struct counter {
    _Alignas(BENCH_LINE) pthread_mutex_t lock;
    uint64_t holders;
    _Alignas(BENCH_LINE) atomic_ulong atomic_holders;
    object object;
} counter;

void *count_track(void)
{
    counter *c = bench_alloc(sizeof *c);
    if (pthread_mutex_init(&c->lock, NULL) != 0)
        bench_fail("a mutex cannot be made");
    return c;
}

BENCH_INLINE void count_lap(const runner *r, visit how)
{
    counter *c = r->track;
    for (int i = 0; i < r->pairs; i++) {
        atomic_fetch_add_explicit(&c->atomic_holders, 1, memory_order_acquire);
        bench_visit(&c->object, how);
        atomic_fetch_sub_explicit(&c->atomic_holders, 1, memory_order_release);
    }
}
BENCH_LAPS(count);

BENCH_INLINE void locked_lap(const runner *r, visit how)
{
    counter *c = r->track;
    for (int i = 0; i < r->pairs; i++) {
        pthread_mutex_lock(&c->lock);
        c->holders++;
        pthread_mutex_unlock(&c->lock);
        bench_visit(&c->object, how);
        pthread_mutex_lock(&c->lock);
        c->holders--;
        pthread_mutex_unlock(&c->lock);
    }
}
BENCH_LAPS(locked);

/* ---- apr_reslist ----------------------------------------------------------------------------- */

#if __has_include(<apr_reslist.h>)
#include <apr_general.h>
#include <apr_reslist.h>
#include <apr_version.h>
#include <apu_version.h>

static apr_status_t make(void **out, void *params, apr_pool_t *memory)
{
    (void)params, (void)memory;
    *out = bench_alloc(sizeof(object));
    return APR_SUCCESS;
}

static apr_status_t unmake(void *resource, void *params, apr_pool_t *memory)
{
    (void)resource, (void)params, (void)memory;
    return APR_SUCCESS;
}

void *apr_track(int count)
{
    static apr_pool_t *memory;
    apr_reslist_t *list;
    if (memory == NULL &&
        (apr_initialize() != APR_SUCCESS || apr_pool_create(&memory, NULL) != APR_SUCCESS))
        bench_fail("APR does not start");
    if (apr_reslist_create(&list, 0, count, count, 0, make, unmake, NULL, memory) != APR_SUCCESS)
        bench_fail("apr_reslist_create failed");
    return list;
}

const char *apr_name(void)
{
    static char name[80];
    snprintf(name, sizeof name, "apr_reslist of APR-util %s", apu_version_string());
    return name;
}

BENCH_INLINE void reslist_lap(const runner *r, visit how)
{
    apr_reslist_t *list = r->track;
    for (int i = 0; i < r->pairs; i++) {
        void *o;
        if (apr_reslist_acquire(list, &o) != APR_SUCCESS)
            bench_fail("apr_reslist_acquire failed");
        bench_visit(o, how);
        if (apr_reslist_release(list, o) != APR_SUCCESS)
            bench_fail("apr_reslist_release failed");
    }
}
BENCH_LAPS(reslist);
lap_fn *const *const apr_laps = reslist_laps;
#else
lap_fn *const *const apr_laps = NULL;
void *apr_track(int count)
{
    (void)count;
    return NULL;
}

const char *apr_name(void)
{
    return "apr_reslist (package libaprutil1-dev)";
}
#endif
