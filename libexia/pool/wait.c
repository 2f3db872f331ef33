/* Waiting for a slot: first come, first served, until a deadline on the monotonic clock.  Threads
 * and places stand in one queue.
 *
 * A wait must not last for ever by accident.  Before a call goes to sleep it asks who holds what it
 * wants: a borrower may bring it back, and a call that runs may be ready soon.  But an object that
 * was built with it keeps it for life, and a call that waits itself brings nothing before its own
 * wait ends.  When nobody is left who could, the call fails and says so. */
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "pool/pool.h"

int64_t exia__deadline(int64_t wait_ms)
{
    int64_t wait_ns = 0, deadline = 0;
    if (wait_ms < 0)
        return EXIA__FOREVER;
    if (__builtin_mul_overflow(wait_ms, (int64_t)1000000, &wait_ns) ||
        __builtin_add_overflow(exia__clock_ns(), wait_ns, &deadline))
        return EXIA__FOREVER; /* 292 years */
    return deadline;
}

const char *exia__who_is(char out[EXIA__WHO_SIZE], const exia_component *component,
                         const exia_component *needed_by)
{
    char name[EXIA__SHOWN_SIZE], by[EXIA__SHOWN_SIZE];
    exia__shown(name, component->name);
    if (needed_by != NULL)
        snprintf(out, EXIA__WHO_SIZE, "component %s, needed by %s", name,
                 exia__shown(by, needed_by->name));
    else
        snprintf(out, EXIA__WHO_SIZE, "component %s", name);
    return out;
}

/* ---- who waits for whom ---------------------------------------------------------------------- */

enum { UNSEEN, SEEN, ASKED };
typedef struct question {
    exia_pool *pool;
    uint64_t number;
    exia__object *stale;          /* those still to be asked about */
    const exia_component *keeper; /* whose objects hold it for life */
    bool round;                   /* somebody waits for the one who asks */
} question;

/* Does this call still run?  If its thread waits, that wait is to be asked about, too. */
static bool runs(question *q, const exia__call *holder)
{
    for (exia__call *call = q->pool->calls; call != NULL; call = call->next) {
        if (call->waits == NULL || !pthread_equal(call->thread, holder->thread))
            continue;
        if (call->seen == UNSEEN)
            call->seen = SEEN;
        q->round = true;
        return false;
    }
    return true;
}

/* Somebody works at it; or it is to be asked who has it, once. */
static bool in_hands(question *q, exia__object *object)
{
    if (object->call != NULL)
        return runs(q, object->call);
    if (!object->stale) {
        q->keeper = object->component;
    } else if (object->asked != q->number) {
        object->asked = q->number;
        object->next = q->stale;
        q->stale = object;
    }
    return false;
}

/* Does what was built with it let it go by itself?  A stale object does when its last holder does,
 * which is a borrower, or an object of which the same is to be asked. */
static bool lets_go(question *q, exia__object *dependent)
{
    bool may = in_hands(q, dependent);
    while (!may && q->stale != NULL) {
        const exia__object *object = q->stale;
        const exia_component *c = object->component;
        q->stale = object->next;
        q->keeper = c;
        for (uint32_t i = 0; i < c->slot_count && !may; i++) {
            const exia__slot *slot = exia__slot_at(c, i);
            if (slot->object != object)
                continue;
            if (slot->state == EXIA__BUSY)
                may = runs(q, slot->call);
            else
                may = slot->dependent == NULL || in_hands(q, slot->dependent);
        }
    }
    q->stale = NULL;
    return may;
}

static bool may_come(question *q, const exia_component *wanted)
{
    if (wanted->recipe->max == 0)
        return wanted->busy == NULL || runs(q, wanted->busy);
    if (wanted->taken < wanted->recipe->max || wanted->idle != NULL)
        return true;
    for (uint32_t i = 0; i < wanted->slot_count; i++) {
        const exia__slot *slot = exia__slot_at(wanted, i);
        if (!slot->counts) /* FREE, or it makes no room when it comes back */
            continue;
        if (slot->state == EXIA__BUSY ? runs(q, slot->call)
                                      : !slot->dependent || lets_go(q, slot->dependent))
            return true;
    }
    return false;
}

/* Can anybody bring what `self` waits for (NULL: a place, which is no thread and keeps nobody from
 * running)?  Goes through the calls that wait for one another. */
static bool can_end(question *q, const exia_component *wanted, exia__call *self)
{
    bool more = true;
    for (exia__call *call = q->pool->calls; call != NULL; call = call->next)
        call->seen = UNSEEN;
    if (self != NULL)
        self->seen = ASKED;
    if (may_come(q, wanted))
        return true;
    while (more) {
        more = false;
        for (exia__call *call = q->pool->calls; call != NULL; call = call->next) {
            if (call->seen != SEEN)
                continue;
            call->seen = ASKED;
            more = true;
            if (may_come(q, call->waits))
                return true;
        }
    }
    return false;
}

static exia_status fail_kept(exia_status status, const question *q, const exia_component *component,
                             const exia_component *needed_by, exia_error *err)
{
    char who[EXIA__WHO_SIZE], keeper[EXIA__SHOWN_SIZE];
    return exia__fail(err, status, 0,
                      "%s: none can come, objects of %s keep all %u for life; raise its max, or "
                      "clear the pool of idle ones",
                      exia__who_is(who, component, needed_by), exia__shown(keeper, q->keeper->name),
                      (unsigned)component->recipe->max);
}

/* Is this very thread at work on it, in a call below? */
static bool is_own(const exia_component *wanted, const exia__call *self)
{
    if (wanted->recipe->max == 0)
        return wanted->busy != NULL && wanted->busy != self &&
               pthread_equal(wanted->busy->thread, self->thread);
    for (uint32_t i = 0; i < wanted->slot_count; i++) {
        const exia__slot *slot = exia__slot_at(wanted, i);
        if (slot->state == EXIA__BUSY && slot->call != self &&
            pthread_equal(slot->call->thread, self->thread))
            return true;
    }
    return false;
}

static exia_status check_end(exia_component *component, exia__call *call,
                             const exia_component *needed_by, exia_error *err)
{
    question q = {.pool = component->pool, .number = ++component->pool->questions};
    char who[EXIA__WHO_SIZE];
    if (can_end(&q, component, call))
        return EXIA_OK;
    if (q.round)
        return exia__fail(err, EXIA_ECYCLE, 0,
                          is_own(component, call)
                              ? "%s: this very thread works at it; its factory and hooks must not "
                                "borrow it, nor what needs it"
                              : "%s: who has it waits, in the end, for this very call",
                          exia__who_is(who, component, needed_by));
    return fail_kept(EXIA_ETIMEOUT, &q, component, needed_by, err);
}

exia_status exia__queue_hope(exia_component *component, exia_error *err)
{
    question q = {.pool = component->pool, .number = ++component->pool->questions};
    if (can_end(&q, component, NULL) || q.round) /* those who wait in a circle are about to fail */
        return EXIA_OK;
    return fail_kept(EXIA_ENOSPACE, &q, component, NULL, err);
}

/* ---- the queue ------------------------------------------------------------------------------- */

void exia__queue_join(exia_component *component, exia__waiter *waiter)
{
    waiter->next = NULL;
    waiter->previous = component->last;
    if (component->last != NULL)
        component->last->next = waiter;
    else
        component->first = waiter;
    component->last = waiter;
    component->waiting++;
    exia__homes_end(component); /* what comes back from now on comes to the queue */
}

void exia__queue_leave(exia_component *component, exia__waiter *waiter)
{
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        component->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        component->last = waiter->previous;
    component->waiting--;
    exia__queue_wake(component);
}

/* A shared object is not scarce: nobody waits for it, or to build it, behind somebody else. */
bool exia__queue_turn(const exia_component *component, const exia__waiter *waiter)
{
    return component->recipe->max == 0 || component->first == waiter;
}

static void wake(exia__waiter *waiter)
{
    static const uint64_t one = 1;
    if (waiter->fd < 0)
        pthread_cond_signal(&waiter->wake);
    else if (!waiter->told)
        waiter->told = write(waiter->fd, &one, sizeof one) == sizeof one;
}

void exia__queue_wake(exia_component *component)
{
    bool more = component->first != NULL && exia__slot_at_hand(component);
    for (exia__waiter *w = component->first; more; w = w->next) {
        wake(w);
        /* a thread wakes the next one as it leaves */
        more = w->fd >= 0 && w->next != NULL && exia__queue_turn(component, w->next);
    }
}

void exia__queue_wake_all(exia_component *component)
{
    for (exia__waiter *w = component->first; w != NULL; w = w->next)
        wake(w);
}

exia_status exia__queue_late(const exia_component *component, const exia_component *needed_by,
                             exia_error *err)
{
    char who[EXIA__WHO_SIZE];
    exia__who_is(who, component, needed_by);
    if (component->recipe->max == 0)
        return exia__fail(err, EXIA_ETIMEOUT, 0, "%s: another call still builds it", who);
    if (component->first->fd >= 0 && exia__slot_at_hand(component))
        return exia__fail(err, EXIA_ETIMEOUT, 0,
                          "%s: it is the turn of a place that did not borrow in the time allowed",
                          who);
    return exia__fail(err, EXIA_ETIMEOUT, 0, "%s: none of %u came back in the time allowed", who,
                      (unsigned)component->recipe->max);
}

/* Sleep until something has happened; ten times a second, ask whether to go on. */
static exia_status doze(bool *in_time, exia_component *component, exia__call *call,
                        exia__waiter *waiter, int64_t deadline, exia_error *err)
{
    exia_pool *pool = component->pool;
    int64_t slice = exia__deadline(100);
    bool asks = pool->ask != NULL && (deadline == EXIA__FOREVER || slice < deadline);
    if (exia__cond_wait(&waiter->wake, &pool->lock, asks ? slice : deadline))
        return EXIA_OK;
    *in_time = asks;
    if (!asks)
        return EXIA_OK;
    call->waits = NULL; /* it runs */
    pthread_mutex_unlock(&pool->lock);
    int stop = pool->ask(pool->ask_payload);
    pthread_mutex_lock(&pool->lock);
    return stop ? exia__fail(err, EXIA_ECANCELLED, 0, "component %s: the wait was ended",
                             component->name)
                : EXIA_OK;
}

exia_status exia__slot_wait(exia__slot **out, exia_component *component, exia__call *call,
                            int64_t deadline, const exia_component *needed_by, exia_error *err)
{
    exia_pool *pool = component->pool;
    exia__waiter waiter = {.fd = -1, .call = call};
    bool queued = false, in_time = true;
    exia_status rc = EXIA_OK;
    for (;;) {
        rc = EXIA_DONE;
        if (pool->closing)
            rc = exia__fail(err, EXIA_ECLOSED, 0, "pool %s is closed", pool->name);
        else if (call->cancelled)
            rc = exia__fail(err, EXIA_ECANCELLED, 0,
                            "component %s: the place was given up meanwhile", component->name);
        else if (exia__queue_turn(component, queued ? &waiter : NULL))
            rc = exia__slot_take(out, component, call, err);
        if (rc == EXIA_DONE && !in_time)
            rc = exia__queue_late(component, needed_by, err);
        if (rc != EXIA_DONE)
            break;
        if (!queued) {
            rc = exia__cond_open(&waiter.wake, err);
            if (rc < 0)
                break;
            exia__queue_join(component, &waiter);
            queued = true;
            continue;
        }
        call->waits = component;
        rc = check_end(component, call, needed_by, err);
        if (rc == EXIA_OK)
            rc = doze(&in_time, component, call, &waiter, deadline, err);
        call->waits = NULL;
        if (rc == EXIA_OK && call->again)
            rc = EXIA_DONE;
        if (rc != EXIA_OK)
            break;
    }
    if (queued) {
        exia__queue_leave(component, &waiter);
        pthread_cond_destroy(&waiter.wake);
    }
    return rc;
}
