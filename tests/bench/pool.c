/* How long a loan takes: beside a bare compare-and-swap and what else a C program would use, for one
 * thread and two, for pools of any size, and when there are fewer objects than threads. */
#include <exia.h>

#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

/* Laps of a millisecond or so: most of them pass between two ticks of the scheduler. */
enum { PAIRS = 40000, HANDOFFS = 1000, NAMES = 1000, BUILDS = 4000 };

/* ---- laps of the pool ------------------------------------------------------------------------ */

BENCH_INLINE void take_and_give(exia_component *component, visit how)
{
    exia_lease lease;
    exia_error err;
    if (exia_component_borrow(&lease, component, -1, EXIA_HERE, &err) < 0)
        bench_fail(err.text);
    bench_visit(lease.object, how);
    if (exia_lease_return(&lease, &err) < 0)
        bench_fail(err.text);
}

BENCH_INLINE void loan_lap(const runner *r, visit how)
{
    for (int i = 0; i < r->pairs; i++)
        take_and_give(r->track, how);
}
BENCH_LAPS(loan);

BENCH_INLINE void discard_lap(const runner *r, visit how)
{
    exia_lease lease;
    exia_error err;
    for (int i = 0; i < r->pairs; i++) {
        if (exia_component_borrow(&lease, r->track, -1, EXIA_HERE, &err) < 0)
            bench_fail(err.text);
        bench_visit(lease.object, how);
        if (exia_lease_discard(&lease, &err) < 0)
            bench_fail(err.text);
    }
}
BENCH_LAPS(discard);

typedef struct passage {
    exia_component *component;
    letter letters[BENCH_LETTERS];
} passage;

/* Thread 0 takes, thread 1 gives back. */
BENCH_INLINE void passed_loan_lap(const runner *r, visit how)
{
    passage *p = r->track;
    exia_lease lease;
    exia_error err;
    for (int i = 0; i < r->pairs; i++) {
        if (r->index == 0 && exia_component_borrow(&lease, p->component, -1, EXIA_HERE, &err) < 0)
            bench_fail(err.text);
        letter *l = &p->letters[i % BENCH_LETTERS];
        letter_await(l, r->index != 0);
        if (r->index == 0) {
            memcpy(l->words, &lease, sizeof lease);
        } else {
            memcpy(&lease, l->words, sizeof lease);
            bench_visit(lease.object, how);
        }
        atomic_store_explicit(&l->full, r->index == 0, memory_order_release);
        if (r->index != 0 && exia_lease_return(&lease, &err) < 0)
            bench_fail(err.text);
    }
}
BENCH_LAPS(passed_loan);

/* What any two calls into a shared library take. */
BENCH_INLINE void calls_lap(const runner *r, visit how)
{
    (void)how;
    for (int i = 0; i < r->pairs; i++) {
        if (exia_component_name(r->track) == NULL || exia_component_name(r->track) == NULL)
            bench_fail("a component has no name");
    }
}
BENCH_LAPS(calls);

/* Many components, by name or by handle. */
typedef struct crowd {
    exia_pool *pool;
    int count;
    int apart; /* 2: every thread keeps to its own half, for there is but one object each */
    exia_component *components[NAMES];
    char names[NAMES][24];
    const char *order[NAMES]; /* in which names are asked for */
} crowd;

BENCH_INLINE void named_lap(const runner *r, visit how)
{
    crowd *c = r->track;
    int at = r->index * (c->count / 2); /* two threads do not walk in step */
    for (int i = 0; i < r->pairs; i++) {
        exia_component *component = exia_pool_find(c->pool, c->order[at]);
        if (component == NULL)
            bench_fail("a name is not found");
        take_and_give(component, how);
        at = at + 1 == c->count ? 0 : at + 1;
    }
}
BENCH_LAPS(named);

BENCH_INLINE void one_name_lap(const runner *r, visit how)
{
    crowd *c = r->track;
    for (int i = 0; i < r->pairs; i++)
        take_and_give(exia_pool_find(c->pool, c->order[r->index]), how);
}
BENCH_LAPS(one_name);

BENCH_INLINE void held_lap(const runner *r, visit how)
{
    crowd *c = r->track;
    exia_component *component =
        c->components[(c->count / 2 + r->index * (c->apart - 1)) % c->count];
    for (int i = 0; i < r->pairs; i++)
        take_and_give(component, how);
}
BENCH_LAPS(held);

BENCH_INLINE void in_turn_lap(const runner *r, visit how)
{
    crowd *c = r->track;
    int first = r->index * (c->apart - 1), at = first;
    for (int i = 0; i < r->pairs; i++) {
        take_and_give(c->components[at], how);
        at = at + c->apart < c->count ? at + c->apart : first;
    }
}
BENCH_LAPS(in_turn);

/* ---- pools ----------------------------------------------------------------------------------- */

static exia_status create(void **out, void *const *needs, void *payload, exia_error *err)
{
    (void)needs, (void)payload, (void)err;
    *out = bench_alloc(sizeof(object));
    return EXIA_OK;
}

static void destroy(void *made, void *payload)
{
    (void)payload;
    free(made);
}

static exia_status hook(void *made, void *payload, exia_error *err)
{
    (void)made, (void)payload, (void)err;
    return EXIA_OK;
}

static const exia_factory plain = {
    .struct_size = sizeof plain, .create = create, .destroy = destroy};
static const exia_factory hooked = {.struct_size = sizeof hooked,
                                    .create = create,
                                    .destroy = destroy,
                                    .activate = hook,
                                    .passivate = hook};

static exia_component *add(exia_pool *pool, const char *name, const exia_factory *factory,
                           uint32_t max)
{
    exia_component *component = NULL;
    exia_error err;
    exia_component_options options = {.struct_size = sizeof options, .max = max};
    if (exia_pool_add(&component, pool, name, factory, &options, &err) < 0)
        bench_fail(err.text);
    return component;
}

static exia_pool *open_pool(void)
{
    exia_pool *pool = NULL;
    exia_error err;
    if (exia_pool_open(&pool, "bench", &err) < 0)
        bench_fail(err.text);
    return pool;
}

/* Build all `max` objects of a component. */
static void fill(exia_component *component, uint32_t max)
{
    exia_error err;
    exia_lease *leases = bench_alloc(max * sizeof *leases);
    for (uint32_t i = 0; i < max; i++) {
        if (exia_component_borrow(&leases[i], component, 0, EXIA_HERE, &err) < 0)
            bench_fail(err.text);
    }
    for (uint32_t i = 0; i < max; i++) {
        if (exia_lease_return(&leases[i], &err) < 0)
            bench_fail(err.text);
    }
    free(leases);
}

static crowd *crowd_open(int count, uint32_t max)
{
    crowd *c = bench_alloc(sizeof *c);
    c->pool = open_pool();
    c->count = count;
    c->apart = 1;
    for (int i = 0; i < count; i++) {
        snprintf(c->names[i], sizeof c->names[i], "component-%d", i);
        c->components[i] = add(c->pool, c->names[i], &plain, max);
        fill(c->components[i], max);
        c->order[(int)(i * 617L % count)] = c->names[i]; /* 617 is prime to NAMES */
    }
    return c;
}

static void crowd_free(crowd *c)
{
    exia_pool_free(c->pool);
    free(c);
}

/* ---- races ----------------------------------------------------------------------------------- */

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

static void race_borrow(void)
{
    exia_pool *pool = open_pool();
    exia_component *part = add(pool, "part", &plain, PEER_OBJECTS);
    contestant all[] = {
        {"exia", loan_laps, part, 0},
        {"compare-and-swap, release store", swap_laps, swap_track(), 1.5},
        {"two calls of a function that does nothing", calls_laps, part, 0},
        {"mutex and stack of 32", stack_laps, stack_track(PEER_OBJECTS), 0},
        {apr_name(), apr_laps, apr_track(PEER_OBJECTS), 0},
    };
    for (int threads = 1; threads <= 2; threads++) {
        race bare = {"borrow + return on a held component", threads, PAIRS, .visit = PLAIN};
        race used = {"... and a word of the object is written", threads, PAIRS, .visit = USED};
        race_show(&bare, all, COUNT(all));
        race_show(&used, all, COUNT(all));
    }
    exia_pool_free(pool);
}

static void race_names(void)
{
    crowd *c = crowd_open(NAMES, 8);
    void *lines = swap_track();
    contestant same[] = {{"exia, the same name each time", one_name_laps, c, 0},
                         {"compare-and-swap, release store", swap_laps, lines, 8}};
    contestant mixed[] = {{"exia, all 1,000 names, mixed", named_laps, c, 0},
                          {"compare-and-swap, release store", swap_laps, lines, 8}};
    for (int threads = 1; threads <= 2; threads++) {
        race r = {"find + borrow + return among 1,000", threads, PAIRS, .visit = PLAIN};
        race_show(&r, same, COUNT(same));
        race_show(&r, mixed, COUNT(mixed));
    }
    crowd_free(c);
}

/* The best times of pools of many sizes, and how many times the smallest pool's they are. */
static void race_sizes(void)
{
    static const int counts[] = {1, 10, NAMES}, objects[] = {1, 8, 64, 1024};
    double smallest[4] = {0};
    printf(
        "\nborrow + return by size of the pool, ns a pair in each thread, best (times the first)\n"
        "held: one component; in turn: one after the other, in order of addition\n"
        "two threads share all components, save those of one object: there each has its own\n"
        "  %-22s %-16s %-16s %-16s %-16s\n",
        "components x objects", "held, 1 thread", "in turn", "held, 2 threads", "in turn");
    for (int i = 0; i < COUNT(counts) * COUNT(objects); i++) {
        int count = counts[i / COUNT(objects)], max = objects[i % COUNT(objects)];
        crowd *c = crowd_open(count, (uint32_t)max);
        contestant both[] = {{"", held_laps, c, 0}, {"", in_turn_laps, c, 0}};
        printf("  %6d x %-13d", count, max);
        for (int threads = 1; threads <= 2; threads++) {
            race r = {"", threads, PAIRS, .visit = PLAIN};
            result results[COUNT(both)];
            c->apart = threads == 2 && max == 1 ? 2 : 1;
            if (c->apart > count) {
                printf(" %-16s %-16s", "(see below)", "(see below)");
                continue;
            }
            race_run(results, &r, both, COUNT(both));
            for (int k = 0; k < COUNT(both); k++) {
                double *first = &smallest[(threads - 1) * 2 + k];
                *first = *first > 0 ? *first : results[k].best;
                printf(" %8.1f (%4.2f)", results[k].best, results[k].best / *first);
            }
        }
        printf("\n");
        fflush(stdout);
        crowd_free(c);
    }
}

static void race_scarce(const char *title, int threads, int objects, visit how)
{
    exia_pool *pool = open_pool();
    race r = {title, threads, HANDOFFS, .visit = how, .together = true};
    contestant all[] = {
        {"exia, in order of arrival", loan_laps, add(pool, "part", &plain, (uint32_t)objects), 0},
        {"mutex, condition, in order of arrival", ordered_laps, stack_track(objects), 0},
        {"mutex, condition, whoever is quickest", waiting_laps, stack_track(objects), 0},
        {apr_name(), apr_laps, apr_track(objects), 0},
    };
    race_show(&r, all, COUNT(all));
    exia_pool_free(pool);
}

static void race_passed(void)
{
    exia_pool *pool = open_pool();
    passage *p = bench_alloc(sizeof *p);
    race r = {"taken by one thread, given back by the other", 2, PAIRS, .visit = PLAIN};
    contestant all[] = {
        {"exia", passed_loan_laps, p, 0},
        {"mutex and stack of 32", passed_laps, stack_track(PEER_OBJECTS), 0},
    };
    p->component = add(pool, "part", &plain, PEER_OBJECTS);
    race_show(&r, all, COUNT(all));
    exia_pool_free(pool);
}

static void race_shared(void)
{
    exia_pool *pool = open_pool();
    void *counted = count_track();
    contestant all[] = {
        {"exia", loan_laps, add(pool, "part", &plain, 0), 0},
        {"atomic count, up and down", count_laps, counted, 0},
        {"mutex and count", locked_laps, counted, 0},
    };
    for (int threads = 1; threads <= 2; threads++) {
        race r = {"one object shared by all", threads, PAIRS, PLAIN, .shared = true};
        race_show(&r, all, COUNT(all));
    }
    exia_pool_free(pool);
}

static void show_slow_paths(void)
{
    exia_pool *pool = open_pool();
    race hooks = {"activate and passivate at each loan", 1, BUILDS, .visit = PLAIN};
    race builds = {"build, lend, discard and destroy", 1, BUILDS, .visit = PLAIN};
    contestant hooking = {"exia", loan_laps, add(pool, "hooked", &hooked, 8), 0};
    contestant building = {"exia", discard_laps, add(pool, "part", &plain, 8), 0};
    race_show(&hooks, &hooking, 1);
    race_show(&builds, &building, 1);
    exia_pool_free(pool);
}

int main(void)
{
    double load = 0;
    printf("pool, C: compiler %s, glibc %s, %d core(s); peers: %s%s\n", __VERSION__,
           gnu_get_libc_version(), bench_cores(), apr_name(),
           apr_laps == NULL ? " is skipped: it is not installed" : "");
    if (getloadavg(&load, 1) == 1 && load > bench_cores() * 0.5)
        printf("others are at work here, load average %.1f: look at the best times\n", load);
    if (bench_cores() < 2)
        printf("one core only: two threads take turns on it\n");
    race_borrow();
    race_names();
    race_sizes();
    race_scarce("hand-offs of one object, each held for a while", 2, 1, HELD);
    race_scarce("hand-offs of two objects, each held over a sched_yield()", 4, 2, YIELDED);
    race_passed();
    race_shared();
    show_slow_paths();
    return 0;
}
