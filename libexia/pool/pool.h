/* The pool as its files share it.
 *
 *     pool -- component -- slots     where loans are; they lie in chunks that never move
 *        \-- objects                 what factories made, newest first
 *
 * With `max` n, an object lives in a slot, and at most n slots count.  A shared one has a slot for
 * each loan of its one object.  Objects are made by a recipe: a component has one, an object may be
 * of an older one.
 *
 * One lock guards all; no function of a factory is called under it: what is being worked at is
 * marked as busy, and the lock is let go.
 *
 * Who calls a factory or waits is on the list of calls.  It keeps the pool's memory, and shows who
 * waits for whom. */
#ifndef EXIA_POOL_POOL_H
#define EXIA_POOL_POOL_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/job.h"
#include "dag/names.h"
#include "exia/pool.h"

typedef struct exia__slot exia__slot;
typedef struct exia__object exia__object;
typedef struct exia__recipe exia__recipe;
typedef struct exia__call exia__call;
typedef struct exia__waiter exia__waiter;
typedef struct exia__load exia__load;
typedef struct exia__table exia__table;

enum { EXIA__LINE = 64 };
enum { EXIA__FREE, EXIA__IDLE, EXIA__BUSY, EXIA__LENT, EXIA__HOME };
struct exia__slot {                             /* on lines of its own */
    _Alignas(EXIA__LINE) _Atomic uint64_t word; /* HOME: what pool/home.h says; else 0 */
    void *made;                                 /* HOME: the object, as its factory made it */
    _Atomic(const char *) where;                /* LENT, HOME: where it was taken */
    uint32_t index, generation;                 /* not HOME: of the ticket of the last loan */
    int state;
    uint32_t home;               /* HOME: which */
    bool inherited;              /* LENT: since before a fork, to which this process is the child */
    bool counts;                 /* it takes room: old objects that are still lent do not */
    exia__object *object;        /* none when FREE */
    exia__object *dependent;     /* LENT: to this object, for its life; NULL: to a borrower */
    exia__call *call;            /* BUSY: who works at it */
    exia__slot *next, *previous; /* FREE and IDLE: in the component's list */
    /* What the last exia_pool_maintain() saw; it holds while the generation is still the same. */
    uint32_t seen;
    unsigned told;       /* EXIA__OVERDUE ...: the log knows of this loan */
    uint64_t since_tick; /* LENT: when it was first seen so */
    int64_t since_ms;
};

struct exia__object {
    exia_component *component; /* NULL: a mark that walks through the list */
    exia__recipe *recipe;      /* what made it; the component may have another one by now */
    exia__object *older, *newer;
    exia__object *next; /* in a list of objects to end */
    void *object;
    exia__slot *slot;    /* where it lives; NULL: shared */
    exia__call *call;    /* who builds, checks or ends it; NULL: it is in use or idle */
    size_t holders;      /* shared: its loans */
    bool stale;          /* it goes when its holder, or the last one, gives it back */
    bool outdated;       /* what it is, or was built with, is replaced; while that is marked */
    bool exclusive;      /* shared: no other one is made before this one is gone */
    uint64_t asked;      /* the last question that came by, in wait.c */
    int64_t born_ms;     /* when exia_pool_maintain() first saw it; 0: not yet */
    int64_t idle_ms;     /* when it first saw it idle, without a loan since; 0: in use */
    uint64_t seen;       /* the number of loans it saw */
    uint32_t need_count; /* how many it holds by now */
    exia_lease *needs;   /* in this block of memory, as is `given` */
    void **given;        /* their objects, for `create` */
};

/* What exia_pool_add() or exia_component_replace() was given.  It lives as long as its component or
 * an object uses it. */
struct exia__recipe {
    exia__recipe *next; /* in a plugin's list, or the pool's of those to release */
    size_t users;
    char *name;
    exia_factory factory;
    json_t *about;
    uint32_t max, min_idle;
    int64_t idle_ms, life_ms, overdue_ms;
    uint32_t need_count;
    char **need_names;
    exia_component **needs;
};

enum { EXIA__HOMES = 64 };
enum { EXIA__FIRST_CHUNK = 8, EXIA__CHUNKS = 29 }; /* 8, 16, 32 ... slots */
struct exia_component {
    const char *name;
    _Atomic(exia__slot *) homes[EXIA__HOMES]; /* none: &exia__nobody */
    exia_pool *pool;
    exia__recipe *recipe; /* NULL: only named as a need so far */
    bool wanted;          /* named as a need */
    _Atomic(void *) chunks[EXIA__CHUNKS];
    uint32_t slot_count;
    uint32_t taken, idle_count; /* with `max`: slots that count; that are IDLE */
    exia__slot *idle, *free;    /* idle: the last one returned comes first */
    exia__object *current;      /* shared: the object */
    exia__call *busy;           /* shared: who makes, checks or ends it */
    exia__waiter *first, *last;
    size_t lent, waiting;
    uint64_t created, destroyed, failed, expired;
    uint64_t turned;   /* loans that the slots no longer tell: their generations came round */
    uint64_t seen;     /* the loans at the last tick */
    uint64_t last_hit; /* the ticks that there had been at the last loan that a tick saw */
    size_t at_home;
};

/* One in a component's queue: a thread that sleeps, or a place that an event loop watches. */
struct exia__waiter {
    exia__waiter *next, *previous;
    pthread_cond_t wake; /* the thread's */
    exia__call *call;    /* the thread's; NULL: a place */
    int fd;              /* the place's eventfd; -1: a thread */
    bool told;           /* the eventfd is readable */
};

struct exia_place {
    exia_place *next, *previous; /* in the pool's list */
    exia__waiter waiter;         /* in the queue until `used` */
    exia_component *component;   /* NULL: opened before a fork; no pool knows it any more */
    exia__call *call;            /* who borrows with it now */
    bool used, freed;            /* freed while `call` borrows: ends with it */
};

struct exia__call {
    exia__call *next, *previous;
    pthread_t thread;
    exia_component *waits; /* NULL: runs */
    int seen;              /* while asking who waits for whom */
    bool closes;           /* exia_pool_close(): the others do not wait for it */
    bool closer;           /* ... and it is one of pool->closers */
    exia_place *place;     /* it borrows with it; any other may be freed at any moment */
    bool cancelled;        /* its place was given up: it waits no longer */
    exia__load *load;      /* exia_pool_load(): what it has collected */
    exia__object *making;  /* what it builds, the last one first, linked as `older` */
    exia_component *replaces;
    bool maintains;
    bool again; /* something was replaced: what it builds may be outdated */
};

struct exia_pool {
    exia_pool *next, *previous; /* in fork.c */
    pthread_mutex_t lock;
    pthread_cond_t quiet; /* a loan or a call ended while closing */
    char *name;
    exia__names names;            /* of components, by index */
    _Atomic(exia__table *) table; /* those added, by name */
    exia_component **components;
    size_t component_capacity;
    exia_component **rows; /* those added, in order */
    size_t row_count, row_capacity;
    exia__object *newest;
    exia__call *calls;
    exia_place *places;
    size_t loans, working; /* to borrowers; calls that do not close */
    size_t inherited;      /* of the loans: taken before a fork, perhaps by who is not here */
    unsigned closers;      /* who will destroy what is idle when the wait is over */
    uint64_t ticks;        /* calls of exia_pool_maintain() */
    uint64_t questions;    /* in wait.c */
    exia__recipe *dead;    /* those that nothing uses any more, to be released */
    bool closing, orphaned;
    exia_wait_fn *ask; /* by who waits; NULL: nothing */
    void *ask_payload;
};

/* pool.c */
exia__call exia__call_here(void);
void exia__enter(exia_pool *pool, exia__call *call);
/* Ends the call, lets the lock go, and frees the pool if this was its last use. */
void exia__leave(exia_pool *pool, exia__call *call);

/* component.c */
exia_status exia__recipe_open(exia__recipe **out, const char *name, const exia_factory *factory,
                              const exia_component_options *options, exia_error *err);
void exia__recipe_free(exia__recipe *recipe);    /* not the factory */
void exia__recipe_release(exia__recipe *recipe); /* the factory too */
void exia__recipe_keep(exia__recipe *recipe);
void exia__recipe_drop(exia_pool *pool, exia__recipe *recipe);
/* Release those that were dropped by all; the lock is let go meanwhile. */
void exia__recipes_bury(exia_pool *pool);
/* Resolve the needs of what may become the component's recipe, and see whether they go round. */
exia_status exia__recipe_link(exia_component *component, exia__recipe *recipe, exia_error *err);
/* Make all of the list components of the pool, or none. */
exia_status exia__recipes_commit(exia_pool *pool, exia__recipe *recipes, exia_error *err);

/* find.c; under the lock */
/* Make room for so many more; put one more. */
exia_status exia__table_reserve(exia_pool *pool, size_t more, exia_error *err);
void exia__table_put(exia_pool *pool, exia_component *component);
void exia__table_free(exia__table *table);

/* home.c; under the lock */
void exia__homes_open(exia_component *component);
/* A slot that is being lent gets a home, if that is possible and of use. */
bool exia__home_give(exia_component *component, exia__slot *slot);
void exia__home_end(exia_component *component, exia__slot *slot);
void exia__homes_end(exia_component *component);
/* How many at home are lent now. */
size_t exia__homes_lent(const exia_component *component);
/* If nothing is idle: see to it that something is that is idle at home. */
void exia__home_yield(exia_component *component);

/* slot.c; under the lock */
/* How many loans there were of this slot, and is it lent now? */
uint32_t exia__slot_generation(const exia__slot *slot);
bool exia__slot_is_lent(const exia__slot *slot);
/* A ticket: generation, index, 1. */
#define EXIA__NEXT_LOAN ((uint64_t)1 << 32 | 1)
static inline uint64_t exia__ticket(const exia__slot *slot)
{
    return (uint64_t)slot->generation << 32 | slot->index << 1 | 1;
}
static inline uint32_t exia__ticket_index(uint64_t ticket)
{
    return (uint32_t)ticket >> 1;
}
/* Also without the lock.  NULL: that chunk is not there. */
exia__slot *exia__slot_at(const exia_component *component, uint32_t index);
/* Is there an object, or room for one, for the next who asks?  Not: at home. */
bool exia__slot_at_hand(const exia_component *component);
/* Take a slot as BUSY for `call`.  @return EXIA_DONE: none is at hand */
exia_status exia__slot_take(exia__slot **out, exia_component *component, exia__call *call,
                            exia_error *err);
/* Take a FREE one, whatever the limit, for what the recipe makes. */
exia_status exia__slot_open(exia__slot **out, exia_component *component, const exia__recipe *recipe,
                            exia__call *call, exia_error *err);
/* Take what can be lent without asking the factory; NULL: nothing. */
exia__slot *exia__slot_quick(exia_component *component);
/* Can this idle or current object be lent without asking the factory?  NULL: no. */
bool exia__object_ready(const exia__object *object);
/* It is lent from now on; or, -1, no more. */
void exia__slot_count(exia_component *component, exia__slot *slot, int change);
exia_lease exia__slot_lend(exia_component *component, exia__slot *slot, exia__object *dependent,
                           const char *where);
void exia__slot_idle(exia_component *component, exia__slot *slot);
void exia__slot_free(exia_component *component, exia__slot *slot);
/* It takes room no more. */
void exia__slot_uncount(exia_component *component, exia__slot *slot);
void exia__slot_unlink(exia_component *component, exia__slot *slot);
uint64_t exia__component_hits(const exia_component *component);
size_t exia__component_idle(const exia_component *component);

/* borrow.c; under the lock, which it lets go while factories work */
/* Build an object in a slot that is BUSY for `call`, and what it needs, as borrowing would; it is
 * for exia__settle() then.  On failure the slot is FREE. */
exia_status exia__build(exia_component *component, exia__recipe *recipe, exia__slot *slot,
                        exia__call *call, int64_t deadline, exia_error *err);

/* wait.c; under the lock */
int64_t exia__deadline(int64_t wait_ms); /* for exia__cond_wait() */
/* The queue: everybody joins and leaves it here; who leaves wakes the next. */
void exia__queue_join(exia_component *component, exia__waiter *waiter);
void exia__queue_leave(exia_component *component, exia__waiter *waiter);
/* Is it the turn of this one (NULL: one who is not in the queue)? */
bool exia__queue_turn(const exia_component *component, const exia__waiter *waiter);
/* Wake those whose turn it is, if something is at hand. */
void exia__queue_wake(exia_component *component);
/* What they wait for, or whether it can ever come, has changed: all look again. */
void exia__queue_wake_all(exia_component *component);
/* @return EXIA_ENOSPACE: nobody will ever bring one; a place cannot go on waiting */
exia_status exia__queue_hope(exia_component *component, exia_error *err);
/* @return EXIA_ETIMEOUT; the queue is not empty, or it is shared */
exia_status exia__queue_late(const exia_component *component, const exia_component *needed_by,
                             exia_error *err);
/* Wait in a queue for a slot.  `needed_by` (NULL: a borrower) is for the error.
 * @return EXIA_DONE: call->again */
exia_status exia__slot_wait(exia__slot **out, exia_component *component, exia__call *call,
                            int64_t deadline, const exia_component *needed_by, exia_error *err);
/* For an error: component 'a', or component 'a', needed by 'b'. */
enum { EXIA__WHO_SIZE = 2 * EXIA__SHOWN_SIZE + 32 };
const char *exia__who_is(char out[EXIA__WHO_SIZE], const exia_component *component,
                         const exia_component *needed_by);

/* borrow.c; under the lock, which is let go in the end.  `place` (NULL: none) stands in the queue
 * for the borrower. */
exia_status exia__borrow(exia_lease *out, exia_component *component, exia_place *place,
                         int64_t wait_ms, const char *where, exia_error *err);

/* place.c; under the lock */
/* @return EXIA_ETIMEOUT: not its turn yet; after any other answer the place is used up */
exia_status exia__place_take(exia__slot **out, exia_place *place, exia__call *call,
                             exia_error *err);
/* The call that borrowed with it is over. */
void exia__place_done(exia_place *place);
/* After a fork: no place is any more in the pool, but those with which a call borrows that is not
 * gone. */
void exia__places_end(exia_pool *pool, bool (*gone)(const exia__call *call));

/* fork.c; not under the lock.  Pools that are to be whole in a child. */
void exia__fork_join(exia_pool *pool);
void exia__fork_leave(exia_pool *pool);

/* give.c; under the lock, which they let go while a factory works */
/* The loan is over.  What must go with it is put into `*ends`. */
void exia__give(exia_component *component, exia__slot *slot, bool discard, exia__call *call,
                exia__object **ends);
void exia__give_needs(exia__object *object, exia__call *call, exia__object **ends);
/* A BUSY slot's object is now to be had; or, if it is not what the component makes any more, it is
 * put into `*ends`. */
void exia__settle(exia_component *component, exia__slot *slot, exia__call *call,
                  exia__object **ends);
/* Put an object that nobody can get any more before the list, and end all of a list. */
void exia__object_unlink(exia_pool *pool, exia__object *object);
void exia__doom(exia__object **ends, exia__object *object, exia__call *call);
void exia__end(exia_pool *pool, exia__object *ends, exia__call *call);
/* How long the object keeps its needs has changed: who waits for them should look again. */
void exia__wake_rivals(exia__object *object);
/* Nobody uses it; take it, so that nobody can. */
bool exia__object_idle(exia__object *object);
void exia__object_claim(exia__object *object, exia__call *call);
/* End what is idle and chosen (NULL: all), newest first. */
typedef bool exia__choose(exia__object *object, int64_t now_ms);
void exia__sweep(exia_pool *pool, exia__call *call, exia__choose *chosen, int64_t now_ms);
/* Call a factory's function; an error that it did not fill is filled. */
exia_status exia__ask(exia_status (*function)(void *object, void *payload, exia_error *err),
                      void *object, void *payload, exia_error *err);

/* loans.c; under the lock */
enum { EXIA__OVERDUE = 1, EXIA__CLOSED = 2, EXIA__FREED = 4 };
/* Bring up to date what a slot, which is LENT, tells of its loan. */
void exia__loan_watch(const exia_component *component, exia__slot *slot, int64_t now_ms);
/* "2 loans are out: 'db' taken at main.c:10, 'db' taken at main.c:20": as many as there is room. */
void exia__loans_name(char *out, size_t size, const exia_pool *pool);
/* Tell the log of loans that are out, once a loan and reason, one line a place.  The lock is let go
 * meanwhile. */
void exia__loans_tell(exia_pool *pool, unsigned reason, int64_t now_ms);

#endif
