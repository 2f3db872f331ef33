/* Any order: a worker goes on with the first node that it made ready, and keeps the others for
 * itself, where workers without work steal them.  What is too many goes into a list, of which a
 * worker takes a handful at a time.  A worker that finds nothing sleeps; when all do, the run is over:
 * only a node that ends makes others ready. */
#include "base/error.h"
#include "base/memory.h"
#include "dag/run.h"

enum { HANDFUL = 64 };

exia_status exia__plain_open(exia__run *run, exia_error *err)
{
    run->next = exia__array(NULL, run->count, sizeof *run->next);
    if (run->next == NULL)
        return exia__fail_memory(err);
    run->list_head = run->list_tail = EXIA_NO_NODE;
    size_t ready = 0;
    for (uint32_t i = 0; i < run->count; i++) {
        if (atomic_load_explicit(&run->tasks[i].waiting, memory_order_relaxed) > 0)
            continue;
        if (ready++ == 0)
            run->list_head = i;
        else
            run->next[run->list_tail] = i;
        run->list_tail = i;
    }
    atomic_init(&run->list_count, ready);
    return EXIA_OK;
}

/* Somebody who is about to sleep counts himself idle first and looks at all deques then; here it is
 * the other way round, and all four are sequentially consistent: one sees the other. */
static void publish(exia__worker *w, long long bottom)
{
    exia__run *run = w->run;
    atomic_store(&w->deque.bottom, bottom);
    if (atomic_load(&run->idle) > 0) {
        pthread_mutex_lock(&run->lock);
        exia__run_call(run);
        pthread_mutex_unlock(&run->lock);
    }
}

static atomic_uint *slot(exia__deque *d, long long place)
{
    return &d->nodes[(size_t)place % EXIA__DEQUE];
}

static uint32_t pop(exia__worker *w)
{
    exia__deque *d = &w->deque;
    long long bottom = atomic_load_explicit(&d->bottom, memory_order_relaxed) - 1;
    if (atomic_load_explicit(&d->top, memory_order_relaxed) > bottom)
        return EXIA_NO_NODE;
    atomic_store(&d->bottom, bottom);
    long long top = atomic_load(&d->top);
    uint32_t node = EXIA_NO_NODE;
    if (top <= bottom)
        node = atomic_load_explicit(slot(d, bottom), memory_order_relaxed);
    if (top < bottom)
        return node;
    if (top == bottom && !atomic_compare_exchange_strong(&d->top, &top, top + 1))
        node = EXIA_NO_NODE; /* a thief was quicker */
    atomic_store_explicit(&d->bottom, bottom + 1, memory_order_relaxed);
    return node;
}

static uint32_t steal_from(exia__deque *d)
{
    for (;;) {
        long long top = atomic_load(&d->top);
        if (top >= atomic_load(&d->bottom))
            return EXIA_NO_NODE;
        uint32_t node = atomic_load_explicit(slot(d, top), memory_order_relaxed);
        if (atomic_compare_exchange_strong(&d->top, &top, top + 1))
            return node;
    }
}

static uint32_t steal(exia__worker *w)
{
    exia__run *run = w->run;
    uint32_t node = EXIA_NO_NODE;
    for (size_t i = 1; i < run->worker_count && node == EXIA_NO_NODE; i++)
        node = steal_from(&run->workers[(w->index + i) % run->worker_count].deque);
    return node;
}

/* Half of a full deque goes into the list; those who slept were called as it filled. */
static void spill(exia__worker *w)
{
    exia__run *run = w->run;
    uint32_t first = pop(w), last = first;
    size_t count = first != EXIA_NO_NODE;
    for (uint32_t node; count > 0 && count < EXIA__DEQUE / 2; count++, last = node) {
        node = pop(w);
        if (node == EXIA_NO_NODE)
            break;
        run->next[last] = node;
    }
    if (count == 0)
        return;
    pthread_mutex_lock(&run->lock);
    if (atomic_load_explicit(&run->list_count, memory_order_relaxed) == 0)
        run->list_head = first;
    else
        run->next[run->list_tail] = first;
    run->list_tail = last;
    atomic_fetch_add_explicit(&run->list_count, count, memory_order_relaxed);
    pthread_mutex_unlock(&run->lock);
}

static void push(exia__worker *w, uint32_t node)
{
    exia__deque *d = &w->deque;
    long long bottom = atomic_load_explicit(&d->bottom, memory_order_relaxed);
    if (bottom - atomic_load_explicit(&d->top, memory_order_acquire) >= EXIA__DEQUE) {
        spill(w);
        bottom = atomic_load_explicit(&d->bottom, memory_order_relaxed);
    }
    atomic_store_explicit(slot(d, bottom), node, memory_order_relaxed);
    publish(w, bottom + 1);
}

uint32_t exia__plain_end(exia__worker *w, uint32_t node)
{
    exia__run *run = w->run;
    uint32_t mine = EXIA_NO_NODE, stop = run->csr->starts[node + 1];
    for (uint32_t i = run->csr->starts[node]; i < stop; i++) {
        uint32_t target = run->csr->targets[i];
        if (!exia__run_release(w, target))
            continue;
        if (mine == EXIA_NO_NODE)
            mine = target;
        else
            push(w, target);
    }
    return mine;
}

/* Half of a fair share of the list, at most a handful: one to do, the others into the deque, which is
 * empty. */
static uint32_t take_from_list(exia__worker *w)
{
    exia__run *run = w->run;
    exia__deque *d = &w->deque;
    if (atomic_load_explicit(&run->list_count, memory_order_relaxed) == 0)
        return EXIA_NO_NODE;
    pthread_mutex_lock(&run->lock);
    size_t count = atomic_load_explicit(&run->list_count, memory_order_relaxed);
    size_t share = count / run->worker_count / 2;
    share = share > HANDFUL ? HANDFUL : share > 0 || count == 0 ? share : 1;
    uint32_t node = run->list_head;
    long long bottom = atomic_load_explicit(&d->bottom, memory_order_relaxed);
    for (size_t i = 1; i < share; i++) { /* the next one lies at the bottom */
        node = run->next[node];
        atomic_store_explicit(slot(d, bottom + (long long)(share - 1 - i)), node,
                              memory_order_relaxed);
    }
    uint32_t first = count > 0 ? run->list_head : EXIA_NO_NODE;
    if (share < count)
        run->list_head = run->next[node];
    atomic_store_explicit(&run->list_count, count - share, memory_order_relaxed);
    pthread_mutex_unlock(&run->lock);
    if (share > 1)
        publish(w, bottom + (long long)share - 1);
    return first;
}

static int is_work_left(exia__run *run)
{
    int left = atomic_load_explicit(&run->list_count, memory_order_relaxed) > 0;
    for (size_t i = 0; i < run->worker_count && !left; i++) {
        exia__deque *d = &run->workers[i].deque;
        left = atomic_load(&d->top) < atomic_load(&d->bottom);
    }
    return left;
}

static void sleep_until_called(exia__run *run)
{
    pthread_mutex_lock(&run->lock);
    atomic_fetch_add(&run->idle, 1);
    if (is_work_left(run)) {
        atomic_fetch_sub(&run->idle, 1);
    } else if (atomic_load(&run->idle) == run->started) {
        atomic_store(&run->stop, 1);
        pthread_cond_broadcast(&run->changed);
    } else {
        while (run->calls == 0 && !atomic_load(&run->stop))
            pthread_cond_wait(&run->changed, &run->lock);
        if (run->calls > 0)
            run->calls--;
    }
    pthread_mutex_unlock(&run->lock);
}

uint32_t exia__plain_take(exia__worker *w)
{
    exia__run *run = w->run;
    while (!exia__run_stops(run)) {
        uint32_t node = pop(w);
        if (node == EXIA_NO_NODE)
            node = take_from_list(w);
        if (node == EXIA_NO_NODE)
            node = steal(w);
        if (node != EXIA_NO_NODE)
            return node;
        sleep_until_called(run);
    }
    return EXIA_NO_NODE;
}
