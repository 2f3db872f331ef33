/* Makes the Nth allocation fail, and counts what is alive. */
#include "support/check.h"

#include <stdatomic.h>
#include <stdlib.h>

typedef struct counter {
    atomic_long countdown; /* fails at zero; negative: past it */
    atomic_long alive;
    int for_ever;
} counter;

static void *resize(void *memory, size_t size, void *payload)
{
    counter *count = payload;
    long left = atomic_fetch_sub(&count->countdown, 1);
    if (left == 0 || (left < 0 && count->for_ever))
        return NULL;
    void *got = realloc(memory, size);
    if (got != NULL && memory == NULL)
        atomic_fetch_add(&count->alive, 1);
    return got;
}

static void release(void *memory, void *payload)
{
    counter *count = payload;
    if (memory != NULL)
        atomic_fetch_sub(&count->alive, 1);
    free(memory);
}

void check_survives_no_memory(exia_status (*work)(void *payload, exia_error *err), void *payload)
{
    for (int for_ever = 0; for_ever <= 1; for_ever++) {
        for (long nth = 0;; nth++) {
            counter count = {.countdown = nth, .for_ever = for_ever};
            exia_allocator hook = {resize, release, &count};
            assert_int_equal(exia_allocator_set(&hook, NULL), EXIA_OK);
            check_reset();
            exia_status rc = work(payload, &err);
            int reached = atomic_load(&count.countdown) < 0;
            assert_int_equal(exia_allocator_set(NULL, NULL), EXIA_OK);
            if (atomic_load(&count.alive) != 0)
                fail_msg("allocation %ld failing leaves %ld blocks", nth, (long)count.alive);
            if (rc < 0)
                check_status(EXIA_ENOMEM, rc, __FILE__, __LINE__);
            if (!reached) {
                assert_int_equal(rc, EXIA_OK);
                break;
            }
        }
    }
}
