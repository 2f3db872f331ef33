/* One step at a time, by a die.  Only who holds nothing may wait for ever, or for long: borrowers
 * that wait for one another are not the pool's business. */
#include "support/worker.h"

#include <poll.h>
#include <stdlib.h>

uint32_t worker_roll(worker *w, uint32_t sides)
{
    return watch_random(&w->dice) % sides;
}

/* May a call that waits so long fail so?  Nobody waits in vain for ever, except for what others keep
 * for life. */
static bool may_fail_so(const worker *w, exia_status rc, int64_t wait_ms, const exia_error *why)
{
    if (rc == EXIA_ETIMEOUT)
        return wait_ms >= 0 || strstr(why->text, "keep all") != NULL;
    if (rc == EXIA_ECLOSED)
        return atomic_load(&w->shape->closing);
    return rc == EXIA_EUSER || rc == EXIA_ECYCLE || rc == EXIA_ENOTFOUND;
}

/* ---- loans ----------------------------------------------------------------------------------- */

static void borrow_one(worker *w)
{
    shape *s = w->shape;
    static const int64_t waits[] = {0, 0, 0, 0, 0, 0, 0, 1, 3, -1, -1};
    exia_component *c = atomic_load(&s->components[worker_roll(w, MOST)]);
    int64_t wait_ms = waits[worker_roll(w, w->held > 0 ? 9 : 11)];
    exia_lease lease;
    exia_error why;
    if (c == NULL || w->held == HELD)
        return;
    exia_status rc = exia_component_borrow(&lease, c, wait_ms, EXIA_HERE, &why);
    if (rc < 0) {
        if (!may_fail_so(w, rc, wait_ms, &why))
            watch_wrong("borrow, wait %lld: %s: %s", (long long)wait_ms, exia_status_text(rc),
                        why.text);
        return;
    }
    watch_enter(lease.object);
    atomic_fetch_add(&s->loans, 1);
    w->leases[w->held++] = lease;
}

/* Stand in the queue without waiting in a call, and leave it after a while, served or not. */
static void wait_in_a_place(worker *w)
{
    shape *s = w->shape;
    exia_component *c = atomic_load(&s->components[worker_roll(w, MOST)]);
    exia_place *place = NULL;
    exia_lease lease;
    exia_error why;
    if (c == NULL || w->held > 0)
        return;
    exia_status rc = exia_place_open(&place, c, &why);
    uint32_t looks = rc == EXIA_OK ? 1 + worker_roll(w, 4) : 0;
    for (uint32_t i = 0; i < looks; i++) {
        struct pollfd ready = {.fd = exia_place_fd(place), .events = POLLIN};
        poll(&ready, 1, (int)worker_roll(w, 2));
        rc = exia_place_borrow(&lease, place, EXIA_HERE, &why);
        if (rc == EXIA_OK) {
            watch_enter(lease.object);
            atomic_fetch_add(&s->loans, 1);
            w->leases[w->held++] = lease;
        }
        if (rc != EXIA_ETIMEOUT)
            break;
    }
    if (rc < 0 && rc != EXIA_ENOSPACE && !may_fail_so(w, rc, 0, &why))
        watch_wrong("place: %s: %s", exia_status_text(rc), why.text);
    exia_place_free(place);
}

static exia_status end_loan(const exia_lease *lease, bool discard)
{
    exia_error why;
    return discard ? exia_lease_discard(lease, &why) : exia_lease_return(lease, &why);
}

static void return_one(worker *w)
{
    if (w->held == 0)
        return;
    uint32_t which = worker_roll(w, (uint32_t)w->held);
    exia_lease lease = w->leases[which];
    w->leases[which] = w->leases[--w->held];
    bool discard = worker_roll(w, 9) == 0;
    (discard ? watch_discard : watch_leave)(lease.object);
    if (end_loan(&lease, discard) != EXIA_OK)
        watch_wrong("a return did not count");
    if (worker_roll(w, 4) == 0 && end_loan(&lease, worker_roll(w, 2) == 0) != EXIA_EINVAL)
        watch_wrong("a second return counted");
}

/* Of two who have it, one return counts. */
void worker_end_token(worker *w, token *t)
{
    exia_lease lease = t->lease;
    atomic_fetch_add(&t->won, end_loan(&lease, worker_roll(w, 9) == 0) == EXIA_OK);
    if (atomic_fetch_sub(&t->left, 1) > 1)
        return;
    if (atomic_load(&t->won) != 1)
        watch_wrong("%d returns of one loan counted", atomic_load(&t->won));
    free(t);
}

void worker_take_from_shelf(worker *w)
{
    token *t = atomic_exchange(&w->shape->shelf[worker_roll(w, SHELF)], NULL);
    if (t != NULL)
        worker_end_token(w, t);
}

/* Leave a loan to another thread; sometimes to two, or to another and this one. */
static void put_on_shelf(worker *w)
{
    token *t = w->held > 0 ? calloc(1, sizeof *t) : NULL;
    if (t == NULL)
        return;
    int copies = worker_roll(w, 3) == 0 ? 2 : 1;
    bool own = copies == 2 && worker_roll(w, 2) == 0;
    t->lease = w->leases[--w->held];
    atomic_store(&t->left, copies);
    watch_discard(t->lease.object);
    for (int i = 0; i < copies; i++) {
        token *before = t;
        if (i == 0 || !own)
            before = atomic_exchange(&w->shape->shelf[worker_roll(w, SHELF)], t);
        if (before != NULL)
            worker_end_token(w, before);
    }
}

/* ---- components ------------------------------------------------------------------------------ */

/* A factory that borrows: a bit of what is there, without waiting long. */
static void borrow_inside(breed *b, void *payload)
{
    shape *s = payload;
    uint32_t dice = (uint32_t)atomic_load(&b->turns) * 2654435761u | 1;
    exia_component *c = atomic_load(&s->components[watch_random(&dice) % MOST]);
    exia_lease lease;
    if (c == NULL || exia_component_borrow(&lease, c, dice % 2, "a factory", NULL) < 0)
        return;
    watch_enter(lease.object);
    watch_leave(lease.object);
    if (exia_lease_return(&lease, NULL) != EXIA_OK)
        watch_wrong("a factory's return did not count");
}

/* A factory that nobody had before, and options that fit; it needs only what comes before it, so
 * that needs never go round. */
static litter *make_up(worker *w, uint32_t which, exia_component_options *options,
                       const char *needs[3])
{
    static const uint32_t maxima[] = {0, 0, 1, 1, 2, 3, 5}, fails[] = {0, 0, 5, 40};
    shape *s = w->shape;
    uint32_t place = atomic_fetch_add(&s->litter_count, 1);
    if (place >= LITTERS)
        return NULL;
    litter *l = &s->litters[place];
    breed *b = &l->breed;
    l->component = which;
    b->max = maxima[worker_roll(w, 7)];
    b->hooked = worker_roll(w, 2);
    b->checked = worker_roll(w, 3) == 0;
    b->fails = fails[worker_roll(w, 4)];
    b->dwells = worker_roll(w, 2) ? 3 : 0;
    b->inside = worker_roll(w, 4) == 0 ? borrow_inside : NULL;
    b->payload = s;
    b->rebuilt = s->rebuilds;
    for (uint32_t k = 0; k < which && b->need_count < 3; k++) {
        if (worker_roll(w, 5) == 0)
            needs[b->need_count++] = s->names[k];
    }
    *options = (exia_component_options){.struct_size = sizeof *options,
                                        .needs = needs,
                                        .need_count = b->need_count,
                                        .max = b->max,
                                        .min_idle = worker_roll(w, 1 + (b->max ? b->max : 1)),
                                        .idle_ms = worker_roll(w, 4),
                                        .life_ms = worker_roll(w, 3) * 10};
    return l;
}

/* On a failure the factory stays with us, so we release it. */
static void offered(litter *l, const exia_factory *factory, exia_status rc)
{
    if (rc < 0)
        factory->release(factory->payload);
    atomic_store(&l->taken, true);
}

void worker_add(worker *w, uint32_t which)
{
    shape *s = w->shape;
    exia_component_options options;
    const char *needs[3];
    exia_component *c = NULL;
    exia_error why;
    litter *l =
        atomic_exchange(&s->to_add[which], false) ? make_up(w, which, &options, needs) : NULL;
    if (l == NULL)
        return;
    exia_factory factory = watch_factory(&l->breed);
    exia_status rc = exia_pool_add(&c, s->pool, s->names[which], &factory, &options, &why);
    if (rc < 0 && !(rc == EXIA_ECLOSED && atomic_load(&s->closing)))
        watch_wrong("add: %s", why.text);
    offered(l, &factory, rc);
    atomic_store(&s->components[which], c);
}

static void add_what_goes_round(worker *w)
{
    static const char *const loop[] = {"loop"};
    breed none = {.max = 0};
    exia_factory factory = watch_factory(&none);
    exia_component_options options = {
        .struct_size = sizeof options, .needs = loop, .need_count = 1};
    exia_status rc = exia_pool_add(NULL, w->shape->pool, "loop", &factory, &options, NULL);
    if (rc != EXIA_ECYCLE && rc != EXIA_ECLOSED)
        watch_wrong("a cycle was added: %d", rc);
}

static void replace_one(worker *w)
{
    shape *s = w->shape;
    exia_component_options options;
    const char *needs[3];
    uint32_t which = worker_roll(w, MOST);
    exia_component *c = atomic_load(&s->components[which]);
    exia_error why;
    litter *l = c != NULL && w->held == 0 ? make_up(w, which, &options, needs) : NULL;
    if (l == NULL)
        return;
    exia_factory factory = watch_factory(&l->breed);
    exia_status rc = exia_component_replace(c, &factory, &options, s->rebuilds, &why);
    if (rc < 0 && !may_fail_so(w, rc, 0, &why))
        watch_wrong("replace: %s: %s", exia_status_text(rc), why.text);
    atomic_fetch_add(&s->replaced, rc == EXIA_OK);
    offered(l, &factory, rc);
}

static void look_around(worker *w)
{
    shape *s = w->shape;
    exia_rows *rows = NULL, *loans = NULL;
    exia_dag *plan = NULL;
    uint32_t which = worker_roll(w, MOST);
    exia_component *known = atomic_load(&s->components[which]);
    if (exia_pool_list(&rows, s->pool, NULL) != EXIA_OK ||
        exia_pool_plan(&plan, s->pool, NULL) != EXIA_OK)
        watch_wrong("list or plan failed");
    if (known != NULL && (exia_component_loans(&loans, known, NULL) != EXIA_OK ||
                          exia_pool_find(s->pool, s->names[which]) != known))
        watch_wrong("%s is not found", s->names[which]);
    exia_rows_free(rows);
    exia_rows_free(loans);
    exia_dag_free(plan);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void step(worker *w)
{
    uint32_t what = worker_roll(w, 2000);
    exia_pool *pool = w->shape->pool;
    if (what < 900)
        borrow_one(w);
    else if (what < 1500)
        return_one(w);
    else if (what < 1650)
        put_on_shelf(w);
    else if (what < 1850)
        worker_take_from_shelf(w);
    else if (what < 1870)
        look_around(w);
    else if (what < 1880)
        worker_add(w, worker_roll(w, MOST));
    else if (what < 1890)
        add_what_goes_round(w);
    else if (what < 1895)
        replace_one(w);
    else if (what < 1915)
        wait_in_a_place(w);
    else if (what < 1930 && exia_pool_clear(pool, NULL) != EXIA_OK)
        watch_wrong("clear failed");
    else if (what < 1945 && exia_pool_maintain(pool, NULL) != EXIA_OK)
        watch_wrong("maintenance failed");
    else
        watch_pause(worker_roll(w, 400));
}

void *worker_run(void *payload)
{
    worker *w = payload;
    while (w->steps_left-- > 0 && !atomic_load(&w->shape->over)) {
        step(w);
        atomic_fetch_add(&w->shape->steps, 1);
    }
    while (w->held > 0) {
        if (worker_roll(w, 2) == 0)
            put_on_shelf(w);
        else
            return_one(w);
    }
    atomic_store(&w->ended, true);
    return NULL;
}
