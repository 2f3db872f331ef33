/* The race: threads that live through all rounds, each pinned to a core, start each lap together.
 * Every contestant runs one lap a round, so that a drift of the machine meets all; the first lap
 * checks that an object has one holder, the second warms up, neither counts. */
#include "race.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 31, UNCOUNTED = 2 };

typedef struct course {
    const race *race;
    const contestant *contestants;
    int count;
    pthread_barrier_t barrier;
    atomic_int ready; /* threads at the start, over all laps */
    double begun[BENCH_THREADS], done[BENCH_THREADS];
    double ns[BENCH_CONTESTANTS][ROUNDS];
} course;

typedef struct seat {
    course *course;
    int index;
} seat;

void bench_fail(const char *why)
{
    fprintf(stderr, "bench-pool: %s\n", why);
    exit(1);
}

void *bench_alloc(uint64_t size)
{
    size_t whole = (size + BENCH_LINE - 1) / BENCH_LINE * BENCH_LINE;
    void *memory = aligned_alloc(BENCH_LINE, whole);
    if (memory == NULL)
        bench_fail("out of memory");
    return memset(memory, 0, whole);
}

static cpu_set_t allowed(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        bench_fail("the cores of this process are not known");
    return cores;
}

int bench_cores(void)
{
    cpu_set_t cores = allowed();
    return CPU_COUNT(&cores);
}

static void pin(int index)
{
    cpu_set_t cores = allowed(), one;
    int left = index % CPU_COUNT(&cores), core = 0;
    while (!CPU_ISSET(core, &cores) || left-- > 0)
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) != 0)
        bench_fail("a thread cannot be pinned to a core");
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* From the first start to the last end. */
static double lap_ns(const course *c)
{
    double first = c->begun[0], last = c->done[0];
    for (int i = 1; i < c->race->threads; i++) {
        first = c->begun[i] < first ? c->begun[i] : first;
        last = c->done[i] > last ? c->done[i] : last;
    }
    double pairs = (double)c->race->pairs * (c->race->together ? c->race->threads : 1);
    return (last - first) / pairs;
}

/* A barrier lets threads go one after the other, microseconds apart: from there on they spin. */
static void meet(course *c, int laps)
{
    bool crowded = c->race->threads > bench_cores();
    pthread_barrier_wait(&c->barrier);
    atomic_fetch_add(&c->ready, 1);
    while (atomic_load(&c->ready) < laps * c->race->threads) {
        if (crowded)
            sched_yield();
    }
}

static void *run(void *payload)
{
    const seat *s = payload;
    course *c = s->course;
    int laps = 0;
    pin(s->index);
    for (int round = -UNCOUNTED; round < ROUNDS; round++) {
        bool check = round == -UNCOUNTED && !c->race->shared;
        for (int i = 0; i < c->count; i++) {
            const contestant *one = &c->contestants[i];
            if (one->laps == NULL)
                continue;
            lap_fn *lap = one->laps[check ? CHECKED : c->race->visit];
            runner r = {.index = s->index, .pairs = c->race->pairs, .track = one->track};
            meet(c, ++laps);
            c->begun[s->index] = now_ns();
            lap(&r);
            c->done[s->index] = now_ns();
            pthread_barrier_wait(&c->barrier);
            if (s->index == 0 && round >= 0)
                c->ns[i][round] = lap_ns(c);
        }
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[ROUNDS])
{
    qsort(values, ROUNDS, sizeof *values, by_size);
    return values[ROUNDS / 2];
}

void race_run(result *out, const race *r, const contestant *contestants, int count)
{
    pthread_t threads[BENCH_THREADS];
    seat seats[BENCH_THREADS];
    double ratios[BENCH_CONTESTANTS][ROUNDS];
    course c = {.race = r, .contestants = contestants, .count = count};
    if (pthread_barrier_init(&c.barrier, NULL, (unsigned)r->threads) != 0)
        bench_fail("a barrier cannot be made");
    for (int i = 0; i < r->threads; i++) {
        seats[i] = (seat){.course = &c, .index = i};
        if (pthread_create(&threads[i], NULL, run, &seats[i]) != 0)
            bench_fail("a thread cannot be started");
    }
    for (int i = 0; i < r->threads; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&c.barrier);
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < ROUNDS; k++)
            ratios[i][k] = c.ns[0][k] / c.ns[i][k];
    }
    for (int i = 0; i < count; i++) {
        out[i].median = median(c.ns[i]);
        out[i].best = c.ns[i][0]; /* sorted by now */
        out[i].best_ratio = out[0].best / out[i].best;
        out[i].median_ratio = median(ratios[i]);
    }
}

void race_show(const race *r, const contestant *contestants, int count)
{
    result results[BENCH_CONTESTANTS];
    race_run(results, r, contestants, count);
    printf("\n%s, %d thread%s%s, ns %s\n", r->title, r->threads, r->threads == 1 ? "" : "s",
           r->threads > bench_cores() ? " (on fewer cores)" : "",
           r->together ? "a loan, all threads together" : "a pair, in each thread");
    printf("  %-42s %9s %9s   %s\n", "", "best", "median",
           count > 1 ? "exia / peer: best, median" : "");
    for (int i = 0; i < count; i++) {
        const contestant *one = &contestants[i];
        if (one->laps == NULL) {
            printf("  %-42s not on this machine\n", one->name);
            continue;
        }
        printf("  %-42s %9.1f %9.1f", one->name, results[i].best, results[i].median);
        if (i > 0)
            printf("   %7.2f %7.2f", results[i].best_ratio, results[i].median_ratio);
        if (one->budget > 0)
            printf("   budget %.1f: %s", one->budget,
                   results[i].median_ratio <= one->budget ? "met" : "missed");
        printf("\n");
    }
    fflush(stdout);
}
