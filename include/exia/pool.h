/* Named components, whose objects are built in the order of their needs, lent, and taken back.
 *
 *     #include <exia.h>
 *     #include <stdio.h>
 *
 *     static exia_status open_line(void **out, void *const *needs, void *payload, exia_error *err)
 *     {
 *         *out = tmpfile();
 *         return *out ? EXIA_OK : EXIA_EIO;
 *     }
 *     static void close_line(void *object, void *payload)
 *     {
 *         fclose(object);
 *     }
 *
 *     int main(void)
 *     {
 *         exia_pool *pool = NULL;
 *         exia_component *lines = NULL;
 *         exia_error err;
 *         exia_lease lease;
 *         exia_factory factory = {sizeof factory, .create = open_line, .destroy = close_line};
 *         exia_component_options options = {sizeof options, .max = 4};
 *         exia_status rc = exia_pool_open(&pool, "demo", &err);
 *         if (rc == EXIA_OK)
 *             rc = exia_pool_add(&lines, pool, "line", &factory, &options, &err);
 *         if (rc == EXIA_OK)
 *             rc = exia_component_borrow(&lease, lines, 1000, EXIA_HERE, &err);
 *         if (rc == EXIA_OK) {
 *             fputs("hello", lease.object);
 *             rc = exia_lease_return(&lease, &err);
 *         }
 *         if (rc < 0)
 *             fprintf(stderr, "%s\n", err.text);
 *         exia_pool_free(pool);
 *         return rc < 0;
 *     }
 *
 * Modes.  With `max` 0 a component has one object, which all its borrowers share at the same time.
 * With `max` n it has up to n, and each is lent to one borrower at a time.
 *
 * Life of an object, by the functions of its factory that are called; all but `create` are
 * optional:
 *
 *                to be there        before a loan               after it     to be gone
 *     max 0      create activate    validate, if nobody has it               passivate destroy
 *     max n      create             validate, if it was idle;   passivate    destroy
 *                                   activate
 *
 * A new object that cannot be activated is destroyed, and the borrow fails with what the factory
 * said, as when `create` fails.  One that was idle and cannot be validated or activated is ended,
 * and the same borrow goes on with another.  One that cannot be passivated is destroyed; the
 * return counts, and the log is told.  What is discarded after a loan of its own is not
 * passivated.
 *
 * Needs.  An object is built after one object of each component that it needs, holds them for its
 * life and gives them back when it is destroyed.  Of one with `max` that is a loan like any other:
 * it is lacking to all others.
 *
 * Waiting.  Who finds nothing idle and no room waits for a return; the first to come is the first
 * served, be it a thread or a place (exia_place_open()), which needs no thread.  When nobody is
 * left who could bring an object, a wait does not begin, or ends at once.
 *
 * Loans.  The first return or discard ends a loan, from any thread, and every later one is
 * EXIA_EINVAL, as long as the pool is not freed.  Who has what is listed by
 * exia_component_loans(); loans that are out for too long are told to the log by
 * exia_pool_maintain(), those that were never returned by exia_pool_close() and exia_pool_free().
 *
 * Threads: any, for all functions here.  The pool has no thread of its own: the functions of a
 * factory run, under no lock, in the thread that borrows, returns, replaces, maintains, clears or
 * closes.  They may use the same pool, but not close it, nor borrow what is being built for them
 * (EXIA_ECYCLE).  Where no function of a factory is to be called before or after a loan, most
 * loans and returns are one atomic operation and take no lock.
 *
 * Errors.  EXIA_EINVAL: an argument is NULL that must not be; EXIA_ENOMEM.  Further ones stand
 * with the functions.  After a failure all is as it was, unless a function says otherwise.
 *
 * Fork.  A pool goes on in the child, with the objects as they are there; whether an object itself
 * outlives a fork (a thread of its own, a connection) is for its factory to know, and `validate`
 * may tell.  A loan that was out can be given back in both processes, by whoever has it there; as
 * its borrower may be a thread that the child has not, exia_pool_close() in the child does not
 * wait for it, and answers EXIA_ETIMEOUT.  What other threads were waiting for, building, checking
 * or ending at that moment is abandoned in the child, without a call of a factory: its memory is
 * lost, its room is free.  A place that was opened before is EXIA_ECLOSED there, and to be
 * freed.  A pool that was being closed is closed.  A function that the pool calls may fork. */
#ifndef EXIA_POOL_H
#define EXIA_POOL_H

#include "exia/common.h"
#include "exia/dag.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct exia_pool exia_pool;
typedef struct exia_component exia_component; /* a name resolved once; valid as long as its pool */

/* How objects are made; see above for the order of calls.  `create` answers EXIA_OK and an object,
 * never NULL; `needs` are the objects of the needed components, in the order they were named.  A
 * failure may fill `err`, whose text the caller of the pool then gets. */
typedef struct exia_factory {
    size_t struct_size;
    exia_status (*create)(void **out, void *const *needs, void *payload, exia_error *err);
    exia_status (*activate)(void *object, void *payload, exia_error *err);
    exia_status (*passivate)(void *object, void *payload, exia_error *err);
    exia_status (*validate)(void *object, void *payload, exia_error *err);
    void (*destroy)(void *object, void *payload);
    void (*release)(void *payload); /* once, after the last object */
    void *payload;
} exia_factory;

/* What a component needs, and its limits.  Those in ms are kept by exia_pool_maintain(): who does not
 * call it has only `max`.  min_idle above max (above 1 where one object is shared), a negative
 * idle_ms or life_ms: EXIA_EINVAL. */
typedef struct exia_component_options {
    size_t struct_size;
    const char *const *needs; /* names of components, which may be added later */
    size_t need_count;
    const char *about;  /* a JSON object for people; of its members Python shows title, attributes
                         * [{name, type, default, doc}], operations [{name, signature, doc}] apart;
                         * NULL: none */
    uint32_t max;       /* 0: one object, shared; n: up to n, each lent to one borrower */
    uint32_t min_idle;  /* so many are kept ready, besides those lent; shared: 1 keeps it built */
    int64_t idle_ms;    /* one that nobody borrowed for so long goes; 0: it stays */
    int64_t life_ms;    /* one of this age goes, when it is given back; 0: it stays */
    int64_t overdue_ms; /* a loan out for so long is told to the log; 0: five minutes, but never for
                         * a shared object, which a long loan takes from nobody; negative: never */
} exia_component_options;

/* One loan.  Plain data: the first return counts, every later one is EXIA_EINVAL. */
typedef struct exia_lease {
    void *object;
    exia_component *component;
    uint64_t ticket; /* slot and generation */
} exia_lease;

/* Make an empty pool; free it with exia_pool_free().
 *
 * @param name  for errors and the log; as all names here: A-Z, a-z, 0-9, _ and, not first, . and -,
 *              128 characters at most, else EXIA_EINVAL
 */
EXIA_API exia_status exia_pool_open(exia_pool **out, const char *name, exia_error *err);

/* Let threads that wait in a borrow look up: each asks about ten times a second, under no lock and
 * without losing its turn; an answer other than zero ends its wait with EXIA_ECANCELLED.  For an
 * interpreter, which has signals to see to.  Call it before others use the pool.  NULL: nothing */
typedef int exia_wait_fn(void *payload);
EXIA_API exia_status exia_pool_on_wait(exia_pool *pool, exia_wait_fn *ask, void *payload,
                                       exia_error *err);

/* Put a component into the pool.  Nothing is built before somebody borrows.  All that is given is
 * copied; on EXIA_OK the factory's payload belongs to the pool (its `release` will be called), on
 * failure it stays with the caller.
 *
 * @param[out] out     may be NULL
 * @param      options may be NULL: one shared object, no needs, no limits
 * @return EXIA_EEXISTS; EXIA_ECYCLE: the text names the cycle of needs; EXIA_ECLOSED
 */
EXIA_API exia_status exia_pool_add(exia_component **out, exia_pool *pool, const char *name,
                                   const exia_factory *factory,
                                   const exia_component_options *options, exia_error *err);

/* The component of this name, NULL: none.  It takes no lock. */
EXIA_API exia_component *exia_pool_find(exia_pool *pool, const char *name);

/* Its name, as long as the pool lives.  NULL: NULL */
EXIA_API const char *exia_component_name(const exia_component *component);

/* Borrow an object: one that is idle, else a new one if there is room, with what it needs, else one
 * that is given back in time.  The lease is the caller's; give it back with exia_lease_return().
 *
 * @param wait_ms  how long to wait for a return, at most (0: not at all, negative: for ever)
 * @param where    EXIA_HERE or NULL: where the loan was taken; kept by address
 * @return EXIA_ETIMEOUT (at once when nobody could ever bring one: the dependents that keep them for
 *         life are named), EXIA_ECYCLE: who has it waits for this very call, EXIA_ECLOSED,
 *         EXIA_ENOTFOUND: a need is missing; or what the factory said
 */
EXIA_API exia_status exia_component_borrow(exia_lease *out, exia_component *component,
                                           int64_t wait_ms, const char *where, exia_error *err);

/* Borrow and return for a caller that holds a lock of its own, as interpreters do: they wait
 * for no lock and call no factory.
 *
 * @return EXIA_OK; EXIA_DONE: it cannot be done so, call exia_component_borrow(), exia_lease_return()
 */
EXIA_API exia_status exia_component_try_borrow(exia_lease *out, exia_component *component,
                                               const char *where);
EXIA_API exia_status exia_lease_try_return(const exia_lease *lease);

/* Give a loan back.  @return EXIA_EINVAL: it was given back before */
EXIA_API exia_status exia_lease_return(const exia_lease *lease, exia_error *err);

/* Give a loan back whose object is no longer fit.  It is destroyed; of a shared object the next
 * borrower gets a new one and the old goes with its last holder. */
EXIA_API exia_status exia_lease_discard(const exia_lease *lease, exia_error *err);

/* Put another factory behind a component that is in use.
 *
 * The first new object is built at once, with its needs; if that fails, all is as it was, and the
 * factory stays with the caller.  On EXIA_OK it belongs to the pool, and every loan from then on,
 * also for who was waiting, is of a new object.  Old objects that are idle are destroyed before the
 * call returns.  Those that are lent, or just being built, go when they are given back; they take no
 * room from new ones, so that for a while there may be more than `max`.  The old factory destroys
 * them, and is released after the last.
 *
 * Objects that were built with an old one keep it until they go, unless `rebuild` asks for new ones:
 * then all that depend on it, near or far, are old, too.  exia_component_loans() tells who has what
 * is old.
 *
 * Of two calls at once for one component, the one that ends last stands.
 *
 * @param options  NULL: needs, about and limits stay as the call finds them; else all of them are as
 *                 given, and one shared object may become many, or many one
 * @param rebuild  0: what depends on it stays as it is
 * @return EXIA_ECYCLE: the new needs would close one; EXIA_EINVAL: contradictory limits, or the new
 *         factory replaces its own component; EXIA_ETIMEOUT: a need did not come within 30 s, or
 *         never can; EXIA_ENOTFOUND, EXIA_ECLOSED; or what the factory said
 */
EXIA_API exia_status exia_component_replace(exia_component *component, const exia_factory *factory,
                                            const exia_component_options *options, int rebuild,
                                            exia_error *err);

/* Who has a component's objects.  A row a loan, free them with exia_rows_free():
 *
 *     where    where it was taken (null: not said)
 *     by       the component whose object has it for life (null: a borrower has it)
 *     ticks    how many calls of exia_pool_maintain() saw it out
 *     old      the object goes when it comes back: replaced, discarded by another, or too old */
EXIA_API exia_status exia_component_loans(exia_rows **out, exia_component *component,
                                          exia_error *err);

/* A place in the queue of those who wait, for an event loop: a coroutine, a libuv handle, epoll.
 * Threads and places are served in one order, that of arrival. */
typedef struct exia_place exia_place;

/* Join the queue at its end.  Nothing is set aside for a place, and nobody overtakes it: from its
 * turn on, all who are behind it wait until it borrows or is freed.  (Not so for a shared object,
 * which is never scarce.)
 *
 * @return EXIA_ENOSPACE: none can ever come, the text names the dependents that keep them for life;
 *         EXIA_ECLOSED; what eventfd(2) said, with its errno in `native`
 */
EXIA_API exia_status exia_place_open(exia_place **out, exia_component *component, exia_error *err);

/* A file descriptor to watch: it becomes readable when it is the place's turn and an object or room
 * for one is there, or when the pool closes.  Never read it, never close it.  NULL: -1 */
EXIA_API int exia_place_fd(const exia_place *place);

/* Borrow when the descriptor has become readable.  It does not wait for its turn, but it calls the
 * factory where exia_component_borrow() would, and waits for what is needed first, so an event loop
 * may want to have it done by a worker thread.
 *
 * @return EXIA_ETIMEOUT: not its turn yet, it keeps its place.  After any other answer, a factory's
 *         error too, it has left the queue and can only be freed: EXIA_OK, EXIA_ECLOSED,
 *         EXIA_ENOSPACE (see above; also where exia_component_borrow() answers EXIA_ETIMEOUT: a need
 *         can never come, or a factory's own time was over), EXIA_ECANCELLED (freed meanwhile),
 *         EXIA_EINVAL (used before), or what exia_component_borrow() answers
 */
EXIA_API exia_status exia_place_borrow(exia_lease *out, exia_place *place, const char *where,
                                       exia_error *err);

/* The same where no factory has to be asked, which is quick enough for the event loop itself.
 *
 * @return EXIA_DONE: it is its turn, but exia_place_borrow() has to be called; it keeps its place
 */
EXIA_API exia_status exia_place_try_borrow(exia_lease *out, exia_place *place, const char *where,
                                           exia_error *err);

/* Give the place up, at any moment and from any thread; the next in the queue is woken.  NULL:
 * nothing.  The loan that it brought stays.  A borrow with it that another thread has begun waits for
 * nothing more, and its own answer counts; none may begin after this.  The pool's memory stays until
 * its last place is freed. */
EXIA_API void exia_place_free(exia_place *place);

/* Add the components that a `.so` offers through its one symbol, exia_plugin_entry: all or none. */
EXIA_API exia_status exia_pool_load(exia_pool *pool, const char *shared_object, exia_error *err);

/* What there is, a row a component, in order of addition; free them with exia_rows_free():
 *
 *     name, about, needs, max, shared       what was given
 *     built, idle, lent, waiting            objects now; loans out; threads and places in the queue
 *     hits, created, destroyed, failed      loans, objects, and failures of its factory, ever
 *     expired                               objects that maintenance destroyed, ever
 *     last_hit, ticks                       the ticks that there had been at the last loan (null: no
 *                                           loan yet), and those that there were by now */
EXIA_API exia_status exia_pool_list(exia_rows **out, exia_pool *pool, exia_error *err);

/* The needs as a graph; node i is row i of exia_pool_list().  Its order is the building
 * order.  Free it with exia_dag_free(). */
EXIA_API exia_status exia_pool_plan(exia_dag **out, exia_pool *pool, exia_error *err);

/* Keep the limits.  Call it now and then, from a timer or a thread: one call is one tick.  It
 *
 * - destroys what is idle for longer than idle_ms, as far as min_idle allows, or older than life_ms;
 *   what is lent and too old goes at its return;
 * - builds until min_idle objects are idle, as far as max allows; what fails goes to the log and is
 *   tried again at the next tick, and the rest is done all the same;
 * - tells the log (EXIA_LOG_WARNING) of loans that are out for longer than overdue_ms, each once, in
 *   one line a place.
 *
 * Borrowing reads no clock.  Times count from the first tick that saw a thing as it is, so nothing
 * goes too early, and late by at most the time between two ticks.
 *
 * @return EXIA_EINVAL: called from a factory that maintenance called
 */
EXIA_API exia_status exia_pool_maintain(exia_pool *pool, exia_error *err);

/* Destroy what is idle, in reverse order of building.  The pool goes on. */
EXIA_API exia_status exia_pool_clear(exia_pool *pool, exia_error *err);

/* Stop lending, wait for the loans at most `wait_ms` (negative: for ever), destroy in reverse order
 * of building.
 *
 * @return EXIA_ETIMEOUT: the text names the loans that are out, and the log (EXIA_LOG_WARNING) gets
 *         each of them once, in one line a place; what comes back later is destroyed at its return
 */
EXIA_API exia_status exia_pool_close(exia_pool *pool, int64_t wait_ms, exia_error *err);

/* Close without waiting, and let the pool go; NULL: nothing.  Loans that are out go to the log
 * (EXIA_LOG_WARNING), one line a place; the memory stays until the last of them is returned. */
EXIA_API void exia_pool_free(exia_pool *pool);

/* What the pool lends to a plugin, which therefore needs no symbol of Exia. */
typedef struct exia_plugin_core {
    size_t struct_size;
    exia_status (*add)(exia_pool *pool, const char *name, const exia_factory *factory,
                       const exia_component_options *options, exia_error *err);
    exia_status (*fail)(exia_error *err, exia_status status, int32_t native, const char *text);
} exia_plugin_core;

/* A plugin's one symbol: `EXIA_API exia_status exia_plugin_entry(exia_pool *, const exia_plugin_core
 * *, exia_error *)`.  It checks core->struct_size, then calls core->add once a component.  What it
 * added is in the pool when it has answered EXIA_OK and nothing was refused; else all of it is
 * released.  The `.so` stays loaded. */
typedef exia_status exia_plugin_entry_fn(exia_pool *pool, const exia_plugin_core *core,
                                         exia_error *err);

#define EXIA_TEXT_(x) #x
#define EXIA_TEXT(x) EXIA_TEXT_(x)
#define EXIA_HERE __FILE__ ":" EXIA_TEXT(__LINE__)

#ifdef __cplusplus
}
#endif
#endif
