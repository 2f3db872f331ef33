/* The states of a watched object.
 *
 *     RAW --activate--> READY <--activate-- RESTS      without hooks an object is READY at once
 *                         \----passivate---->/
 *     SPOILT: a function failed, so only its end may follow.    GONE: destroyed
 *
 * One that was lent is passivated before it is destroyed, unless it is discarded.
 *
 * What is destroyed stays in memory for a while, so that who still uses it is caught. */
#include "support/watch.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { RAW = 0x5151, READY, RESTS, SPOILT, GONE };
typedef struct watched {
    breed *kind;
    atomic_int state;
    atomic_int users;      /* borrowers that have it */
    atomic_int dependents; /* objects that were built with it */
    atomic_int inside;     /* functions of the factory that work at it */
    atomic_bool lent;      /* since it is READY, and not discarded */
    unsigned long holder;  /* plain: only who has it alone may touch it */
    struct watched *needs[];
} watched;

enum { MOST_TOLD = 8, GRAVES = 4096 };
static atomic_int wrongs;
static _Atomic(void *) graves[GRAVES];
static atomic_uint burials;

void watch_wrong(const char *format, ...)
{
    char text[240];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (atomic_fetch_add(&wrongs, 1) < MOST_TOLD)
        fprintf(stderr, "wrong: %s\n", text);
}

int watch_wrongs(void)
{
    return atomic_exchange(&wrongs, 0);
}

uint32_t watch_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

void watch_pause(uint32_t turns)
{
    for (volatile uint32_t i = 0; i < turns; i++)
        continue;
    if (turns == 0)
        sched_yield();
}

static void expect(const watched *w, bool right, const char *what)
{
    if (!right)
        watch_wrong("%s: state %x, %d users, %d dependents, %d functions inside", what,
                    (unsigned)atomic_load(&w->state), atomic_load(&w->users),
                    atomic_load(&w->dependents), atomic_load(&w->inside));
}

/* ---- what the pool calls --------------------------------------------------------------------- */

/* Is it this call's turn to fail?  Every function of a factory comes by here. */
static bool turn(breed *b)
{
    uint32_t n = (uint32_t)atomic_fetch_add(&b->turns, 1) * 2654435761u >> 7;
    if (b->dwells > 0 && n % b->dwells == 0)
        watch_pause(0);
    return b->fails > 0 && n % b->fails == b->fails / 2;
}

static exia_status refuse(exia_error *err_, const char *what)
{
    err_->status = EXIA_EUSER;
    err_->native = 0;
    snprintf(err_->text, sizeof err_->text, "%s fails now and then", what);
    return EXIA_EUSER;
}

static exia_status create(void **out, void *const *needs, void *payload, exia_error *err_)
{
    breed *b = payload;
    bool fails = turn(b);
    for (uint32_t i = 0; i < b->need_count; i++)
        expect(needs[i], atomic_load(&((watched *)needs[i])->state) == READY, "need at create");
    if (b->inside != NULL)
        b->inside(b, b->payload);
    if (fails)
        return refuse(err_, "create");
    watched *w = calloc(1, sizeof *w + b->need_count * sizeof *w->needs);
    if (w == NULL)
        return EXIA_ENOMEM;
    w->kind = b;
    atomic_store(&w->state, b->hooked ? RAW : READY);
    for (uint32_t i = 0; i < b->need_count; i++) {
        w->needs[i] = needs[i];
        int others = atomic_fetch_add(&w->needs[i]->dependents, 1);
        expect(w->needs[i], w->needs[i]->kind->max == 0 || others == 0, "lent for life twice");
        atomic_store(&w->needs[i]->lent, true);
    }
    atomic_fetch_add(&b->created, 1);
    int alive = atomic_fetch_add(&b->alive, 1) + 1;
    if (b->max > 0 && alive > (int)b->max && !b->rebuilt)
        watch_wrong("%d objects of at most %u", alive, b->max);
    for (int most = atomic_load(&b->most); alive > most;) {
        if (atomic_compare_exchange_weak(&b->most, &most, alive))
            break;
    }
    *out = w;
    return EXIA_OK;
}

/* A function begins to work at an object that nobody has. */
static watched *begin(void *object, void *payload, bool right, const char *what)
{
    watched *w = object;
    expect(w, w->kind == payload && right, what);
    expect(w, atomic_fetch_add(&w->inside, 1) == 0, "two functions at once");
    expect(w, atomic_load(&w->users) == 0 && atomic_load(&w->dependents) == 0, what);
    if (w->kind->max > 0)
        w->holder = 0;
    return w;
}

static exia_status finish(watched *w, int state, const char *what, exia_error *err_)
{
    bool fails = turn(w->kind);
    atomic_store(&w->state, fails ? SPOILT : state);
    expect(w, atomic_fetch_sub(&w->inside, 1) == 1, what);
    return fails ? refuse(err_, what) : EXIA_OK;
}

static exia_status activate(void *object, void *payload, exia_error *err_)
{
    int state = atomic_load(&((watched *)object)->state);
    bool right = state == RAW || (state == RESTS && ((breed *)payload)->max > 0);
    atomic_store(&((watched *)object)->lent, false);
    return finish(begin(object, payload, right, "activate"), READY, "activate", err_);
}

static exia_status passivate(void *object, void *payload, exia_error *err_)
{
    int state = atomic_load(&((watched *)object)->state);
    bool right = state == READY || (state == SPOILT && ((breed *)payload)->max == 0);
    return finish(begin(object, payload, right, "passivate"), RESTS, "passivate", err_);
}

static exia_status validate(void *object, void *payload, exia_error *err_)
{
    const breed *b = payload;
    int state = atomic_load(&((watched *)object)->state);
    bool rests = state == RESTS || state == RAW; /* RAW: built to be idle */
    bool right = b->hooked && b->max > 0 ? rests : state == READY;
    return finish(begin(object, payload, right, "validate"), state, "validate", err_);
}

static void destroy(void *object, void *payload)
{
    watched *w = object;
    breed *b = payload;
    int state = atomic_load(&w->state);
    bool rests = state == RESTS || state == SPOILT || (b->max > 0 && !atomic_load(&w->lent));
    begin(object, payload, state != GONE && (rests || !b->hooked), "destroy");
    turn(b);
    for (uint32_t i = 0; i < b->need_count; i++) {
        int state_of = atomic_load(&w->needs[i]->state);
        expect(w->needs[i], state_of == READY, "need at destroy");
        atomic_fetch_sub(&w->needs[i]->dependents, 1);
    }
    atomic_store(&w->state, GONE);
    atomic_fetch_add(&b->destroyed, 1);
    atomic_fetch_sub(&b->alive, 1);
    free(atomic_exchange(&graves[atomic_fetch_add(&burials, 1) % GRAVES], w));
}

static void release(void *payload)
{
    breed *b = payload;
    if (atomic_load(&b->alive) != 0)
        watch_wrong("released with %d alive", atomic_load(&b->alive));
    atomic_fetch_add(&b->released, 1);
}

exia_factory watch_factory(breed *b)
{
    return (exia_factory){.struct_size = sizeof(exia_factory),
                          .create = create,
                          .activate = b->hooked ? activate : NULL,
                          .passivate = b->hooked ? passivate : NULL,
                          .validate = b->checked ? validate : NULL,
                          .destroy = destroy,
                          .release = release,
                          .payload = b};
}

exia_component *watch_add(exia_pool *pool, const char *name, breed *b, const char *const *needs)
{
    exia_factory factory = watch_factory(b);
    exia_component_options options = {.struct_size = sizeof options,
                                      .needs = needs,
                                      .need_count = b->need_count,
                                      .max = b->max,
                                      .min_idle = b->min_idle,
                                      .idle_ms = b->idle_ms,
                                      .life_ms = b->life_ms};
    exia_component *component = NULL;
    check_ok(exia_pool_add(&component, pool, name, &factory, &options, &err));
    return component;
}

void watch_ended(const breed *b, const char *name)
{
    if (atomic_load(&b->alive) != 0 || atomic_load(&b->released) != 1 ||
        atomic_load(&b->created) != atomic_load(&b->destroyed))
        watch_wrong("%s: %lu created, %lu destroyed, %d alive, released %d times", name,
                    atomic_load(&b->created), atomic_load(&b->destroyed), atomic_load(&b->alive),
                    atomic_load(&b->released));
}

/* ---- what borrowers call --------------------------------------------------------------------- */

static unsigned long self(void)
{
    return (unsigned long)pthread_self();
}

void watch_enter(void *object)
{
    watched *w = object;
    int users = atomic_fetch_add(&w->users, 1);
    expect(w, atomic_load(&w->state) == READY, "lent");
    expect(w, atomic_load(&w->inside) == 0, "lent during a function");
    for (uint32_t i = 0; i < w->kind->need_count; i++)
        expect(w->needs[i], atomic_load(&w->needs[i]->state) == READY, "need of a lent object");
    if (w->kind->max == 0)
        return;
    expect(w, users == 0 && atomic_load(&w->dependents) == 0, "lent twice");
    expect(w, w->holder == 0, "not left by who had it before");
    atomic_store(&w->lent, true);
    w->holder = self();
}

void watch_leave(void *object)
{
    watched *w = object;
    expect(w, atomic_load(&w->state) == READY, "returned");
    if (w->kind->max > 0) {
        expect(w, w->holder != 0, "somebody else wrote to it");
        w->holder = 0;
    }
    atomic_fetch_sub(&w->users, 1);
}

void watch_discard(void *object)
{
    atomic_store(&((watched *)object)->lent, false);
    watch_leave(object);
}
