/* How long a loan takes, against a bare compare-and-swap and release store on a line of its own. */
#include <exia.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LOANS = 2000000, MOST_THREADS = 2 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static exia_status create(void **out, void *const *needs, void *payload, exia_error *err)
{
    static int object;
    (void)needs, (void)payload, (void)err;
    *out = &object;
    return EXIA_OK;
}

static void *borrow(void *payload)
{
    for (int i = 0; i < LOANS; i++) {
        exia_lease lease;
        if (exia_component_borrow(&lease, payload, -1, NULL, NULL) < 0 ||
            exia_lease_return(&lease, NULL) < 0)
            abort();
    }
    return NULL;
}

static _Alignas(128) struct {
    _Alignas(128) atomic_int word;
} lines[MOST_THREADS];

static void *swap(void *payload)
{
    atomic_int *word = payload;
    for (int i = 0; i < LOANS; i++) {
        int expected = 0;
        atomic_compare_exchange_strong_explicit(word, &expected, 1, memory_order_acquire,
                                                memory_order_relaxed);
        atomic_store_explicit(word, 0, memory_order_release);
    }
    return NULL;
}

static double run(int threads, void *(*work)(void *), void *shared)
{
    pthread_t ids[MOST_THREADS];
    double start = seconds();
    for (int i = 0; i < threads; i++) {
        if (pthread_create(&ids[i], NULL, work, shared ? shared : (void *)&lines[i].word) != 0)
            abort();
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return (seconds() - start) / LOANS * 1e9;
}

int main(void)
{
    exia_error err;
    exia_pool *pool = NULL;
    exia_component *component = NULL;
    exia_factory factory = {.struct_size = sizeof factory, .create = create};
    exia_component_options options = {.struct_size = sizeof options, .max = 32};
    if (exia_pool_open(&pool, "bench", &err) < 0 ||
        exia_pool_add(&component, pool, "part", &factory, &options, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        double best = 1e9, bare = 1e9;
        for (int round = 0; round < 3; round++) { /* in turn, so that a drift meets both */
            double loan = run(threads, borrow, component), peer = run(threads, swap, NULL);
            best = loan < best ? loan : best;
            bare = peer < bare ? peer : bare;
        }
        printf("pool, C: borrow + return, %d thread(s)\t%.1f ns\tcompare-and-swap\t%.1f ns\t%.2f\n",
               threads, best, bare, best / bare);
    }
    exia_pool_free(pool);
    return 0;
}
