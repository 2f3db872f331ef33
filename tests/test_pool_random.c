/* Random operations from many threads on pools of random shape, against watched factories: whatever
 * the pool does that it must not is counted by the objects themselves (support/watch.h).
 *
 * One seed makes one round: its components, what each thread does, how the pool ends.  The threads
 * come and go, and leave loans on a shelf for others to give back, one at a time or two at once.
 * EXIA_SEED chooses the first seed, EXIA_SECONDS how long rounds follow one another. */
#include "support/recorder.h"
#include "support/worker.h"

enum { THREADS = 10, STUCK_SECONDS = 120 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void make_shape(shape *s, worker *helper)
{
    for (uint32_t i = 0; i < MOST; i++) {
        snprintf(s->names[i], sizeof s->names[i], "c%u", i);
        atomic_store(&s->to_add[i], true);
    }
    for (int i = 0; i < MOST / 2; i++) /* the others come while it is in use */
        worker_add(helper, worker_roll(helper, MOST));
}

static void launch(worker *w, shape *s, uint32_t *dice)
{
    *w = (worker){.shape = s, .dice = watch_random(dice), .running = true};
    w->steps_left = 100 + (int)(watch_random(dice) % 1000);
    assert_int_equal(pthread_create(&w->thread, NULL, worker_run, w), 0);
}

/* Close while everybody works; what is out may outlast the wait. */
static void close_under_way(shape *s)
{
    exia_error why;
    atomic_store(&s->closing, true);
    exia_status rc = exia_pool_close(s->pool, s->seed % 20, &why);
    if (rc != EXIA_OK && rc != EXIA_ETIMEOUT)
        watch_wrong("close: %s", why.text);
}

/* Keep the threads going until the time is over and all have ended.  Loans are taken from the
 * shelf, or who waits for ever might. */
static void run(shape *s, worker *workers, worker *helper, double close_at, double end)
{
    struct timespec moment = {.tv_nsec = 500000};
    unsigned long seen = 0;
    double moved = seconds();
    for (int running = THREADS; running > 0;) {
        running = 0;
        if (seconds() > end)
            atomic_store(&s->over, true);
        if (seconds() > close_at && !atomic_load(&s->closing))
            close_under_way(s);
        for (int i = 0; i < THREADS; i++) {
            worker *w = &workers[i];
            if (w->running && atomic_load(&w->ended)) {
                pthread_join(w->thread, NULL);
                w->running = false;
            }
            if (!w->running && !atomic_load(&s->over))
                launch(w, s, &helper->dice);
            running += w->running;
        }
        for (int i = 0; i < SHELF / 3 && running > 0; i++)
            worker_take_from_shelf(helper);
        nanosleep(&moment, NULL);
        if (atomic_load(&s->steps) != seen) {
            seen = atomic_load(&s->steps);
            moved = seconds();
        } else if (running > 0 && seconds() - moved > STUCK_SECONDS) {
            fprintf(stderr, "seed %u: nothing moves any more\n", s->seed);
            abort();
        }
    }
}

static unsigned long rows_in(exia_rows *rows)
{
    const char *text;
    unsigned long count = 0;
    while (exia_rows_next(&text, rows, &err) == EXIA_OK)
        count++;
    exia_rows_free(rows);
    return count;
}

/* Nobody works, and only objects have loans: what the pool counts is what there is. */
static void check_component(shape *s, uint32_t which, bool cleared)
{
    exia_component *c = atomic_load(&s->components[which]);
    const char *name = s->names[which];
    exia_rows *loans = NULL;
    int alive = 0;
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < LITTERS; i++)
        alive += s->litters[i].component == which ? atomic_load(&s->litters[i].breed.alive) : 0;
    check_ok(exia_component_loans(&loans, c, &err));
    long long built = number_of(s->pool, name, "built"), lent = number_of(s->pool, name, "lent");
    long long counted = number_of(s->pool, name, "created") - number_of(s->pool, name, "destroyed");
    long long idle = number_of(s->pool, name, "idle"), max = number_of(s->pool, name, "max");
    if (built != alive || built != counted || idle > built || idle > (max ? max : 1))
        watch_wrong("%s: %lld are built, %lld counted, %d alive, %lld idle of %lld", name, built,
                    counted, alive, idle, max);
    if ((long long)rows_in(loans) != lent || number_of(s->pool, name, "waiting") != 0)
        watch_wrong("%s: not as many loans as the %lld that are lent, or somebody waits", name,
                    lent);
    if (cleared && (built != 0 || lent != 0))
        watch_wrong("%s is not empty: %lld built, %lld lent", name, built, lent);
}

static void check_rest(shape *s)
{
    for (int cleared = 0; cleared < 2; cleared++) {
        for (uint32_t i = 0; i < MOST; i++)
            check_component(s, i, cleared);
        check_ok(exia_pool_clear(s->pool, &err));
    }
}

/* All loans of the shelf, or only those that somebody tried to give back already or could twice. */
static void clear_shelf(shape *s, worker *helper, bool all)
{
    for (int i = 0; i < SHELF; i++) {
        token *t = atomic_load(&s->shelf[i]);
        if (t == NULL || (!all && atomic_load(&t->left) == 1 && atomic_load(&t->won) == 0))
            continue;
        atomic_store(&s->shelf[i], NULL);
        worker_end_token(helper, t);
    }
}

static unsigned long live_and_end(uint32_t seed, double length)
{
    enum { AT_REST, UNDER_WAY, WITH_LOANS };
    static worker workers[THREADS];
    shape *s = calloc(1, sizeof *s);
    worker helper = {.shape = s, .dice = seed * 2654435761u | 1};
    double end = seconds() + length;
    int ends = (int)(seed % 3);
    assert_non_null(s);
    s->seed = seed;
    s->rebuilds = seed / 3 % 2;
    memset(workers, 0, sizeof workers);
    check_ok(exia_pool_open(&s->pool, "random", &err));
    make_shape(s, &helper);
    run(s, workers, &helper, ends == UNDER_WAY ? end - length / 4 : end + 1e9, end);
    clear_shelf(s, &helper, ends != WITH_LOANS);
    if (ends == AT_REST)
        check_rest(s);
    if (ends != WITH_LOANS)
        check_ok(exia_pool_close(s->pool, 0, &err));
    exia_pool_free(s->pool);
    clear_shelf(s, &helper, true); /* the last loan ends the pool */
    for (int i = 0; i < LITTERS; i++) {
        if (atomic_load(&s->litters[i].taken))
            watch_ended(&s->litters[i].breed, s->names[s->litters[i].component]);
    }
    unsigned long loans = atomic_load(&s->loans);
    free(s);
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
