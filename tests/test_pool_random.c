/* Random operations from many threads on pools of random shape, against watched factories: whatever
 * the pool does that it must not is counted by the objects themselves (support/watch.h).
 *
 * One seed makes one round: its components, what each thread does, how the pool ends.  The threads
 * come and go, and leave loans on a shelf for others to give back, one at a time or two at once.
 * EXIA_SEED chooses the first seed, EXIA_SECONDS how long rounds follow one another. */
#include "support/recorder.h"
#include "support/watch.h"

enum { THREADS = 10, MOST = 9, HELD = 3, SHELF = 24, STUCK_SECONDS = 120 };

/* A loan that somebody else will give back. */
typedef struct token {
    exia_lease lease;
    atomic_int left, won; /* who still has it; how many returns counted */
} token;

typedef struct pool_round {
    uint32_t seed;
    exia_pool *pool;
    breed breeds[MOST];
    char names[MOST][4];
    const char *needs[MOST][3];
    atomic_int to_add[MOST]; /* taken by who adds it */
    _Atomic(exia_component *) components[MOST];
    _Atomic(token *) shelf[SHELF];
    atomic_bool closing, over;
    atomic_ulong steps, loans;
} pool_round;

typedef struct worker {
    pthread_t thread;
    pool_round *round;
    uint32_t dice;
    int steps_left, held;
    exia_lease leases[HELD];
    bool running;
    atomic_bool ended;
} worker;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- what a thread does ---------------------------------------------------------------------- */

static uint32_t roll(worker *w, uint32_t sides)
{
    return watch_random(&w->dice) % sides;
}

static bool may_fail_so(const worker *w, exia_status rc, int64_t wait_ms, const exia_error *why)
{
    if (rc == EXIA_ETIMEOUT)
        return wait_ms >= 0 || strstr(why->text, "keep all") != NULL;
    if (rc == EXIA_ECLOSED)
        return atomic_load(&w->round->closing);
    return rc == EXIA_EUSER || rc == EXIA_ECYCLE || rc == EXIA_ENOTFOUND;
}

/* Only who holds nothing may wait for ever: borrowers that wait for one another are not the pool's
 * business. */
static void borrow_one(worker *w)
{
    pool_round *r = w->round;
    static const int64_t waits[] = {0, 0, 0, 0, 0, 0, 0, 1, 3, -1, -1};
    exia_component *c = atomic_load(&r->components[roll(w, MOST)]);
    int64_t wait_ms = waits[roll(w, w->held > 0 ? 9 : 11)];
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
    atomic_fetch_add(&r->loans, 1);
    w->leases[w->held++] = lease;
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
    uint32_t which = roll(w, (uint32_t)w->held);
    exia_lease lease = w->leases[which];
    w->leases[which] = w->leases[--w->held];
    bool discard = roll(w, 9) == 0;
    (discard ? watch_discard : watch_leave)(lease.object);
    if (end_loan(&lease, discard) != EXIA_OK)
        watch_wrong("a return did not count");
    if (roll(w, 4) == 0 && end_loan(&lease, roll(w, 2) == 0) != EXIA_EINVAL)
        watch_wrong("a second return counted");
}

/* Give a loan back that lay on a shelf.  Of two who have it, one return counts. */
static void end_token(worker *w, token *t)
{
    exia_lease lease = t->lease;
    atomic_fetch_add(&t->won, end_loan(&lease, roll(w, 9) == 0) == EXIA_OK);
    if (atomic_fetch_sub(&t->left, 1) > 1)
        return;
    if (atomic_load(&t->won) != 1)
        watch_wrong("%d returns of one loan counted", atomic_load(&t->won));
    free(t);
}

static void take_from_shelf(worker *w)
{
    token *t = atomic_exchange(&w->round->shelf[roll(w, SHELF)], NULL);
    if (t != NULL)
        end_token(w, t);
}

/* Leave a loan to another thread; sometimes to two, or to another and this one. */
static void put_on_shelf(worker *w)
{
    token *t = w->held > 0 ? calloc(1, sizeof *t) : NULL;
    if (t == NULL)
        return;
    int copies = roll(w, 3) == 0 ? 2 : 1;
    bool own = copies == 2 && roll(w, 2) == 0;
    t->lease = w->leases[--w->held];
    atomic_store(&t->left, copies);
    watch_discard(t->lease.object);
    for (int i = 0; i < copies; i++) {
        token *before = t;
        if (i == 0 || !own)
            before = atomic_exchange(&w->round->shelf[roll(w, SHELF)], t);
        if (before != NULL)
            end_token(w, before);
    }
}

static bool add_one(pool_round *r, uint32_t i)
{
    exia_factory factory = watch_factory(&r->breeds[i]);
    exia_component_options options = {.struct_size = sizeof options,
                                      .needs = r->needs[i],
                                      .need_count = r->breeds[i].need_count,
                                      .max = r->breeds[i].max};
    exia_component *c = NULL;
    exia_error why;
    exia_status rc = exia_pool_add(&c, r->pool, r->names[i], &factory, &options, &why);
    atomic_store(&r->components[i], c);
    if (rc == EXIA_ECLOSED && atomic_load(&r->closing))
        factory.release(factory.payload); /* it stays with us */
    else if (rc != EXIA_OK)
        watch_wrong("add: %s", why.text);
    return rc == EXIA_OK;
}

static void add_more(worker *w)
{
    static const char *const loop[] = {"loop"};
    pool_round *r = w->round;
    breed none = {.max = 0};
    exia_factory factory = watch_factory(&none);
    exia_component_options options = {
        .struct_size = sizeof options, .needs = loop, .need_count = 1};
    exia_error why;
    uint32_t i = roll(w, MOST);
    if (atomic_exchange(&r->to_add[i], 0))
        add_one(r, i);
    exia_status rc = exia_pool_add(NULL, r->pool, "loop", &factory, &options, &why);
    if (rc != EXIA_ECYCLE && rc != EXIA_ECLOSED)
        watch_wrong("a cycle was added: %d", rc);
}

static void look_around(worker *w)
{
    pool_round *r = w->round;
    exia_rows *rows = NULL;
    exia_dag *plan = NULL;
    if (exia_pool_list(&rows, r->pool, NULL) != EXIA_OK ||
        exia_pool_plan(&plan, r->pool, NULL) != EXIA_OK)
        watch_wrong("list or plan failed");
    exia_rows_free(rows);
    exia_dag_free(plan);
    uint32_t i = roll(w, MOST);
    exia_component *known = atomic_load(&r->components[i]);
    if (known != NULL && exia_pool_find(r->pool, r->names[i]) != known)
        watch_wrong("%s is not found", r->names[i]);
}

static void step(worker *w)
{
    uint32_t what = roll(w, 200);
    if (what < 90)
        borrow_one(w);
    else if (what < 150)
        return_one(w);
    else if (what < 165)
        put_on_shelf(w);
    else if (what < 185)
        take_from_shelf(w);
    else if (what < 188)
        look_around(w);
    else if (what < 190)
        add_more(w);
    else if (what < 192 && exia_pool_clear(w->round->pool, NULL) != EXIA_OK)
        watch_wrong("clear failed");
    else
        watch_pause(roll(w, 400));
}

/* A thread ends with its loans out, or gives them back. */
static void *work(void *payload)
{
    worker *w = payload;
    while (w->steps_left-- > 0 && !atomic_load(&w->round->over)) {
        step(w);
        atomic_fetch_add(&w->round->steps, 1);
    }
    while (w->held > 0) {
        if (roll(w, 2) == 0)
            put_on_shelf(w);
        else
            return_one(w);
    }
    atomic_store(&w->ended, true);
    return NULL;
}

/* A factory that borrows: a bit of what is there, without waiting long. */
static void borrow_inside(breed *b, void *payload)
{
    pool_round *r = payload;
    uint32_t dice = (uint32_t)atomic_load(&b->turns) * 2654435761u | 1;
    exia_component *c = atomic_load(&r->components[watch_random(&dice) % MOST]);
    exia_lease lease;
    if (c == NULL || exia_component_borrow(&lease, c, dice % 2, "a factory", NULL) < 0)
        return;
    watch_enter(lease.object);
    watch_leave(lease.object);
    if (exia_lease_return(&lease, NULL) != EXIA_OK)
        watch_wrong("a factory's return did not count");
}

/* ---- a round --------------------------------------------------------------------------------- */

static void make_up(pool_round *r, uint32_t *dice)
{
    static const uint32_t maxima[] = {0, 0, 1, 1, 2, 3, 5}, fails[] = {0, 0, 5, 40};
    for (uint32_t i = 0; i < MOST; i++) {
        breed *b = &r->breeds[i];
        snprintf(r->names[i], sizeof r->names[i], "c%u", i);
        b->max = maxima[watch_random(dice) % 7];
        b->hooked = watch_random(dice) % 2;
        b->checked = watch_random(dice) % 3 == 0;
        b->fails = fails[watch_random(dice) % 4];
        b->dwells = watch_random(dice) % 2 ? 3 : 0;
        b->inside = watch_random(dice) % 4 == 0 ? borrow_inside : NULL;
        b->payload = r;
        for (uint32_t k = 0; k < i && b->need_count < 3; k++) { /* of those before: no cycles */
            if (watch_random(dice) % 5 == 0)
                r->needs[i][b->need_count++] = r->names[k];
        }
        atomic_store(&r->to_add[i], 1);
    }
    for (int i = 0; i < MOST / 2; i++) { /* the others come while it is in use */
        uint32_t which = watch_random(dice) % MOST;
        if (atomic_exchange(&r->to_add[which], 0))
            add_one(r, which);
    }
}

static void launch(worker *w, pool_round *r, uint32_t *dice)
{
    *w = (worker){.round = r, .dice = watch_random(dice), .running = true};
    w->steps_left = 100 + (int)(watch_random(dice) % 1000);
    assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
}

/* Close while everybody works; what is out may outlast the wait. */
static void close_under_way(pool_round *r)
{
    exia_error why;
    atomic_store(&r->closing, true);
    exia_status rc = exia_pool_close(r->pool, r->seed % 20, &why);
    if (rc != EXIA_OK && rc != EXIA_ETIMEOUT)
        watch_wrong("close: %s", why.text);
}

/* Keep the threads going until the time is over and all have ended.  Loans are taken from the
 * shelf, or who waits for ever might. */
static void run(pool_round *r, worker *workers, worker *helper, double close_at, double end)
{
    struct timespec moment = {.tv_nsec = 500000};
    unsigned long seen = 0;
    double moved = seconds();
    for (int running = THREADS; running > 0;) {
        running = 0;
        if (seconds() > end)
            atomic_store(&r->over, true);
        if (seconds() > close_at && !atomic_load(&r->closing))
            close_under_way(r);
        for (int i = 0; i < THREADS; i++) {
            worker *w = &workers[i];
            if (w->running && atomic_load(&w->ended)) {
                pthread_join(w->thread, NULL);
                w->running = false;
            }
            if (!w->running && !atomic_load(&r->over))
                launch(w, r, &helper->dice);
            running += w->running;
        }
        for (int i = 0; i < SHELF / 3 && running > 0; i++)
            take_from_shelf(helper);
        nanosleep(&moment, NULL);
        if (atomic_load(&r->steps) != seen) {
            seen = atomic_load(&r->steps);
            moved = seconds();
        } else if (running > 0 && seconds() - moved > STUCK_SECONDS) {
            fprintf(stderr, "seed %u: nothing moves any more\n", r->seed);
            abort();
        }
    }
}

/* Nobody works and nothing is lent: what the pool counts is what there is. */
static void check_rest(pool_round *r)
{
    for (int cleared = 0; cleared < 2; cleared++) {
        for (int i = 0; i < MOST; i++) {
            int alive = atomic_load(&r->breeds[i].alive);
            if (atomic_load(&r->components[i]) == NULL)
                continue;
            long long built = number_of(r->pool, r->names[i], "built");
            if (built != alive || number_of(r->pool, r->names[i], "waiting") != 0)
                watch_wrong("%s: %lld are built, %d are alive", r->names[i], built, alive);
            if (cleared && (built != 0 || number_of(r->pool, r->names[i], "lent") != 0))
                watch_wrong("%s is not empty", r->names[i]);
        }
        check_ok(exia_pool_clear(r->pool, &err));
    }
}

/* All loans of the shelf, or only those that somebody tried to give back already or could twice. */
static void clear_shelf(pool_round *r, worker *helper, bool all)
{
    for (int i = 0; i < SHELF; i++) {
        token *t = atomic_load(&r->shelf[i]);
        if (t == NULL || (!all && atomic_load(&t->left) == 1 && atomic_load(&t->won) == 0))
            continue;
        atomic_store(&r->shelf[i], NULL);
        end_token(helper, t);
    }
}

static unsigned long live_and_end(uint32_t seed, double length)
{
    enum { AT_REST, UNDER_WAY, WITH_LOANS };
    static worker workers[THREADS];
    pool_round *r = calloc(1, sizeof *r);
    worker helper = {.round = r, .dice = seed * 2654435761u | 1};
    double end = seconds() + length;
    int ends = (int)(seed % 3);
    assert_non_null(r);
    r->seed = seed;
    memset(workers, 0, sizeof workers);
    check_ok(exia_pool_open(&r->pool, "random", &err));
    make_up(r, &helper.dice);
    run(r, workers, &helper, ends == UNDER_WAY ? end - length / 4 : end + 1e9, end);
    clear_shelf(r, &helper, ends != WITH_LOANS);
    if (ends == AT_REST)
        check_rest(r);
    if (ends != WITH_LOANS)
        check_ok(exia_pool_close(r->pool, 0, &err));
    exia_pool_free(r->pool);
    clear_shelf(r, &helper, true); /* the last loan ends the pool */
    for (int i = 0; i < MOST; i++) {
        if (atomic_load(&r->components[i]) != NULL)
            watch_ended(&r->breeds[i], r->names[i]);
    }
    unsigned long loans = atomic_load(&r->loans);
    free(r);
    return loans;
}

TEST(what_many_threads_do_at_random_breaks_no_rule_of_the_pool)
{
    const char *given_seed = getenv("EXIA_SEED"), *given_seconds = getenv("EXIA_SECONDS");
    uint32_t seed = given_seed ? (uint32_t)strtoul(given_seed, NULL, 10) : 1;
    double length = given_seconds ? strtod(given_seconds, NULL) : 2, began = seconds();
    double one = length < 20 ? length / 6 : 2;
    unsigned long loans = 0;
    for (; seconds() - began < length; seed++) {
        if (given_seconds != NULL)
            print_message("seed %u, %.0f s, %lu loans\n", seed, seconds() - began, loans);
        loans += live_and_end(seed, one);
        int wrongs = watch_wrongs();
        if (wrongs > 0)
            fail_msg("seed %u: %d times; EXIA_SEED=%u tries it again", seed, wrongs, seed);
    }
    assert_true(loans > 0);
}
