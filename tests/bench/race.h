/* Contestants run the same laps in turn, on the same pinned threads, round after round. */
#ifndef BENCH_RACE_H
#define BENCH_RACE_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BENCH_INLINE static inline __attribute__((always_inline))
enum { BENCH_LINE = 128, BENCH_THREADS = 4, BENCH_CONTESTANTS = 6 };

typedef struct runner {
    int index; /* of this thread */
    int pairs; /* how often it is to take and to give back */
    void *track;
} runner;

/* What is done with an object between the two. */
typedef enum visit { PLAIN, USED, HELD, YIELDED, CHECKED, VISITS } visit;
typedef void lap_fn(const runner *r);

typedef struct contestant {
    const char *name;
    lap_fn *const *laps; /* by visit; NULL: it is not on this machine */
    void *track;         /* what it takes from */
    double budget;       /* of a peer: how many times its time the first one may take; 0: none */
} contestant;

typedef struct race {
    const char *title;
    int threads, pairs;
    visit visit;
    bool together; /* count the loans of all threads together, not those of one */
    bool shared;   /* many may hold one object: so nobody checks that nobody does */
} race;

typedef struct result {
    double best, median;             /* ns */
    double best_ratio, median_ratio; /* of the first contestant to this one; the latter by rounds */
} result;

void race_run(result *out, const race *r, const contestant *contestants, int count);
/* Run it and print a line for each contestant. */
void race_show(const race *r, const contestant *contestants, int count);

/* One thread hands things to another through a few of these; both spin. */
enum { BENCH_LETTERS = 16 };
typedef struct letter {
    _Alignas(BENCH_LINE) atomic_bool full;
    uint64_t words[3];
} letter;

BENCH_INLINE void letter_await(letter *l, bool full)
{
    for (int spins = 1; atomic_load_explicit(&l->full, memory_order_acquire) != full; spins++) {
        if (spins % 1000 == 0)
            sched_yield(); /* the other one may be on this very core */
    }
}

int bench_cores(void);
_Noreturn void bench_fail(const char *why);
void *bench_alloc(uint64_t size); /* zeroed, on a line of its own */

typedef struct object {
    _Alignas(BENCH_LINE) atomic_int holders;
    volatile uint64_t word;
} object;

BENCH_INLINE void bench_visit(void *pointer, visit how)
{
    object *o = pointer;
    if (how == USED)
        o->word++;
    for (int i = 0; how == HELD && i < 1000; i++)
        o->word++; /* a microsecond or less, in which others come and want it */
    if (how == YIELDED)
        sched_yield(); /* so that others of this core do */
    if (how == CHECKED) {
        if (atomic_fetch_add(&o->holders, 1) != 0)
            bench_fail("an object has two holders");
        atomic_fetch_sub(&o->holders, 1);
    }
}

/* Compile name_lap() once for each visit, so that what is not done costs nothing: name_laps. */
#define BENCH_LAPS(name)                                                                           \
    static void name##_plain(const runner *r)                                                      \
    {                                                                                              \
        name##_lap(r, PLAIN);                                                                      \
    }                                                                                              \
    static void name##_used(const runner *r)                                                       \
    {                                                                                              \
        name##_lap(r, USED);                                                                       \
    }                                                                                              \
    static void name##_held(const runner *r)                                                       \
    {                                                                                              \
        name##_lap(r, HELD);                                                                       \
    }                                                                                              \
    static void name##_yielded(const runner *r)                                                    \
    {                                                                                              \
        name##_lap(r, YIELDED);                                                                    \
    }                                                                                              \
    static void name##_checked(const runner *r)                                                    \
    {                                                                                              \
        name##_lap(r, CHECKED);                                                                    \
    }                                                                                              \
    lap_fn *const name##_laps[VISITS] = {name##_plain, name##_used, name##_held, name##_yielded,   \
                                         name##_checked}

#endif
