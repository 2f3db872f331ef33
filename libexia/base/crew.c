/* A crew: every thread does what the items need most, under one lock that guards nothing but the
 * counts.  An item whose turn it is goes out first, then one more comes in and is worked on by the
 * thread that took it, whose cache holds it; when neither can be, a thread waits.
 *
 *     given ..... taken ..... given + slots
 *       | in work or waiting for its turn | free */
#include "base/crew.h"

#include <pthread.h>
#include <signal.h>

#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"

enum { STEP_NS = 100000000 };

typedef struct exia__crew_run {
    const exia__crew *crew;
    void *payload;
    pthread_mutex_t lock; /* over all below */
    pthread_cond_t moved;
    uint64_t taken, given; /* items so far */
    uint64_t limit;        /* items from this one on are not wanted: it failed */
    int taking, giving, ended;
    unsigned char *worked; /* of each slot */
    exia_error failed;     /* of item `limit` */
} crew_run;

typedef enum deed { GIVE, TAKE, WAIT, END } deed;

static deed choose(const crew_run *run)
{
    uint64_t wanted = run->taken < run->limit ? run->taken : run->limit;
    int more = !run->ended && run->limit == UINT64_MAX;
    if (run->given < wanted && !run->giving && run->worked[run->given % run->crew->slots])
        return GIVE;
    if (more && !run->taking && run->taken - run->given < run->crew->slots)
        return TAKE;
    return more || run->given < wanted ? WAIT : END;
}

/* What an item's stage answered. */
static void judge(crew_run *run, uint64_t item, exia_status rc, const exia_error *why)
{
    if (rc < 0 && item < run->limit) {
        run->limit = item;
        run->failed = *why;
    }
}

static void give(crew_run *run)
{
    exia_error why = {0};
    exia_status rc = EXIA_OK;
    uint64_t item = run->given;
    run->giving = 1;
    pthread_mutex_unlock(&run->lock);
    if (run->crew->give != NULL)
        rc = run->crew->give(item % run->crew->slots, run->payload, &why);
    pthread_mutex_lock(&run->lock);
    judge(run, item, rc, &why);
    run->giving = 0;
    run->given += rc == EXIA_OK;
}

static void take_and_work(crew_run *run, exia__hand *hand)
{
    exia_error why = {0};
    uint64_t item = run->taken;
    size_t slot = item % run->crew->slots;
    run->taking = 1;
    pthread_mutex_unlock(&run->lock);
    exia_status rc = run->crew->take(slot, run->payload, &why);
    pthread_mutex_lock(&run->lock);
    judge(run, item, rc, &why);
    run->taking = 0;
    run->ended = rc != EXIA_OK;
    if (rc != EXIA_OK || run->limit <= item)
        return;
    run->worked[slot] = 0;
    run->taken++;
    hand->item = item;
    pthread_cond_broadcast(&run->moved); /* the next can be taken */
    pthread_mutex_unlock(&run->lock);
    rc = run->crew->work(slot, hand, run->payload, &why);
    pthread_mutex_lock(&run->lock);
    judge(run, item, rc, &why);
    run->worked[slot] = 1;
}

/* By the calling thread.  A failure comes before that of any item. */
static void ask(crew_run *run)
{
    exia_error why = {0};
    if (run->limit == 0)
        return;
    pthread_mutex_unlock(&run->lock);
    exia_status rc = run->crew->step(run->payload, &why);
    pthread_mutex_lock(&run->lock);
    judge(run, 0, rc, &why);
    if (rc < 0)
        pthread_cond_broadcast(&run->moved);
}

exia_status exia__crew_step(const exia__hand *hand, exia_error *err)
{
    crew_run *run = hand->run;
    pthread_mutex_lock(&run->lock);
    if (hand->index == 0)
        ask(run);
    int stopped = run->limit <= hand->item;
    pthread_mutex_unlock(&run->lock);
    return stopped ? exia__fail(err, EXIA_ECANCELLED, 0, "the caller asked to stop") : EXIA_OK;
}

static void *lend_hand(void *payload)
{
    exia__hand *hand = payload;
    crew_run *run = hand->run;
    deed next = WAIT;
    pthread_mutex_lock(&run->lock);
    while ((next = choose(run)) != END) {
        if (next == WAIT && hand->index > 0)
            exia__cond_wait(&run->moved, &run->lock, EXIA__FOREVER);
        else if (next == WAIT)
            exia__cond_wait(&run->moved, &run->lock, exia__clock_ns() + STEP_NS);
        else if (next == GIVE)
            give(run);
        else
            take_and_work(run, hand);
        if (next != WAIT)
            pthread_cond_broadcast(&run->moved);
        if (hand->index == 0)
            ask(run);
    }
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

exia_status exia__crew_run(const exia__crew *crew, void *payload, exia_error *err)
{
    crew_run run = {
        .crew = crew, .payload = payload, .lock = PTHREAD_MUTEX_INITIALIZER, .limit = UINT64_MAX};
    uint32_t made = 1;
    sigset_t all, before;
    exia_status rc = exia__cond_open(&run.moved, err);
    if (rc < 0)
        return rc;
    pthread_t *threads = exia__array(NULL, crew->threads, sizeof *threads);
    exia__hand *hands = exia__array(NULL, crew->threads, sizeof *hands);
    run.worked = exia__array(NULL, crew->slots, 1);
    if (threads == NULL || hands == NULL || run.worked == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    for (uint32_t i = 0; i < crew->threads; i++)
        hands[i] = (exia__hand){.index = i, .run = &run};
    sigfillset(&all); /* signals are the host's: its handlers must not run in our threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (made < crew->threads &&
           pthread_create(&threads[made], NULL, lend_hand, &hands[made]) == 0)
        made++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    lend_hand(&hands[0]);
    for (uint32_t i = 1; i < made; i++)
        pthread_join(threads[i], NULL);
    if (run.limit != UINT64_MAX)
        rc = exia__fail(err, run.failed.status, run.failed.native, "%s", run.failed.text);
done:
    pthread_cond_destroy(&run.moved);
    exia__release(threads);
    exia__release(hands);
    exia__release(run.worked);
    return rc;
}
