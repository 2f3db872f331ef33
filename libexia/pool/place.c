/* Places: who waits in the queue without a thread.  A place is told its turn through an eventfd, which
 * is written under the pool's lock and never blocks.  Nothing is taken for it before it borrows, so a
 * place that is given up has nothing to give back. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "pool/pool.h"

static void link_place(exia_pool *pool, exia_place *place)
{
    place->next = pool->places;
    if (place->next != NULL)
        place->next->previous = place;
    pool->places = place;
}

static void drop(exia_place *place)
{
    exia_pool *pool = place->component->pool;
    if (place->next != NULL)
        place->next->previous = place->previous;
    if (place->previous != NULL)
        place->previous->next = place->next;
    else
        pool->places = place->next;
    close(place->waiter.fd);
    exia__release(place);
}

exia_status exia_place_open(exia_place **out, exia_component *component, exia_error *err)
{
    if (out != NULL)
        *out = NULL;
    if (out == NULL || component == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_place_open: an argument is NULL");
    exia_pool *pool = component->pool;
    exia_status rc = EXIA_OK;
    exia_place *place = exia__zeroed(1, sizeof *place);
    if (place == NULL)
        return exia__fail_memory(err);
    place->component = component;
    place->waiter.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (place->waiter.fd < 0) {
        rc = exia__fail_errno(err, errno, "cannot make an eventfd for a place:", component->name);
        exia__release(place);
        return rc;
    }
    pthread_mutex_lock(&pool->lock);
    if (pool->closing)
        rc = exia__fail(err, EXIA_ECLOSED, 0, "pool %s is closed", pool->name);
    else
        rc = exia__queue_hope(component, err);
    if (rc == EXIA_OK) {
        link_place(pool, place);
        exia__queue_join(component, &place->waiter);
        exia__queue_wake(component);
    }
    pthread_mutex_unlock(&pool->lock);
    if (rc == EXIA_OK) {
        *out = place;
    } else {
        close(place->waiter.fd);
        exia__release(place);
    }
    return rc;
}

int exia_place_fd(const exia_place *place)
{
    return place ? place->waiter.fd : -1;
}

/* Under the lock, as all writing is: no news is lost. */
static void silence(exia__waiter *waiter)
{
    uint64_t count;
    if (waiter->told && read(waiter->fd, &count, sizeof count) == sizeof count)
        waiter->told = false;
}

static void leave(exia_place *place)
{
    place->used = true;
    exia__queue_leave(place->component, &place->waiter);
}

static exia_status check_use(exia_place *place, exia_error *err)
{
    const exia_component *c = place->component;
    if (c->pool->closing)
        return exia__fail(err, EXIA_ECLOSED, 0, "pool %s is closed", c->pool->name);
    if (place->used)
        return exia__fail(err, EXIA_EINVAL, 0, "component %s: this place was used before", c->name);
    silence(&place->waiter);
    return EXIA_OK;
}

static exia_status fail_early(exia_place *place, exia_error *err)
{
    exia_component *c = place->component;
    exia_status rc = exia__queue_hope(c, err);
    if (rc == EXIA_OK)
        return exia__queue_late(c, NULL, err);
    leave(place);
    return rc;
}

exia_status exia__place_take(exia__slot **out, exia_place *place, exia__call *call, exia_error *err)
{
    exia_component *c = place->component;
    *out = NULL;
    exia_status rc = check_use(place, err);
    if (rc < 0)
        return rc;
    rc = exia__queue_turn(c, &place->waiter) ? exia__slot_take(out, c, call, err) : EXIA_DONE;
    if (rc == EXIA_DONE)
        return fail_early(place, err);
    place->call = call;
    call->place = place;
    leave(place);
    return rc;
}

void exia__place_done(exia_place *place)
{
    place->call = NULL;
    if (place->freed)
        drop(place);
}

void exia__places_end(exia_pool *pool, bool (*gone)(const exia__call *call))
{
    exia_place *place = pool->places;
    pool->places = NULL;
    while (place != NULL) {
        exia_place *next = place->next;
        place->next = place->previous = NULL;
        if (place->call != NULL && !gone(place->call)) {
            link_place(pool, place);
        } else {
            place->component = NULL;
            place->call = NULL;
        }
        place = next;
    }
}

exia_status exia_place_borrow(exia_lease *out, exia_place *place, const char *where,
                              exia_error *err)
{
    if (out != NULL)
        *out = (exia_lease){0};
    if (out == NULL || place == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_place_borrow: an argument is NULL");
    if (place->component == NULL)
        return exia__fail(err, EXIA_ECLOSED, 0, "this place was opened before a fork");
    pthread_mutex_lock(&place->component->pool->lock);
    return exia__borrow(out, place->component, place, -1, where, err);
}

exia_status exia_place_try_borrow(exia_lease *out, exia_place *place, const char *where,
                                  exia_error *err)
{
    if (out != NULL)
        *out = (exia_lease){0};
    if (out == NULL || place == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_place_try_borrow: an argument is NULL");
    exia_component *c = place->component;
    if (c == NULL)
        return exia__fail(err, EXIA_ECLOSED, 0, "this place was opened before a fork");
    pthread_mutex_lock(&c->pool->lock);
    exia_status rc = check_use(place, err);
    bool turn = rc == EXIA_OK && exia__queue_turn(c, &place->waiter);
    exia__slot *slot = turn ? exia__slot_quick(c) : NULL;
    if (slot != NULL) {
        *out = exia__slot_lend(c, slot, NULL, where);
        leave(place);
    } else if (rc == EXIA_OK) {
        rc = turn && exia__slot_at_hand(c) ? EXIA_DONE : fail_early(place, err);
    }
    pthread_mutex_unlock(&c->pool->lock);
    return rc;
}

void exia_place_free(exia_place *place)
{
    if (place == NULL)
        return;
    if (place->component == NULL) {
        close(place->waiter.fd);
        exia__release(place);
        return;
    }
    exia_pool *pool = place->component->pool;
    exia__call call = exia__call_here();
    call.closes = true;
    pthread_mutex_lock(&pool->lock);
    exia__enter(pool, &call);
    if (!place->used)
        exia__queue_leave(place->component, &place->waiter);
    if (place->call != NULL) {
        place->freed = place->call->cancelled = true;
        if (place->call->waits != NULL)
            exia__queue_wake_all(place->call->waits);
    } else {
        drop(place);
    }
    exia__leave(pool, &call);
}
