/* Many threads on one pool, seeded: no overlap, no loss, one return a loan. */
#include "support/recorder.h"

enum { THREADS = 8, ROUNDS = 400, COMPONENTS = 5 };
typedef struct crowd {
    pthread_t thread;
    exia_pool *pool;
    exia_component **components;
    uint32_t seed;
    int loans, strange;
} crowd;
static atomic_int alive, most_alive[COMPONENTS], alive_of[COMPONENTS];
static const uint32_t limits[COMPONENTS] = {0, 2, 3, 0, 4};

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

typedef struct item {
    int component;
    atomic_int users;
    atomic_int gone;
} item;

static exia_status make_item(void **out, void *const *needs, void *payload, exia_error *error)
{
    static atomic_uint turn;
    int component = (int)(intptr_t)payload;
    if (atomic_fetch_add(&turn, 1) % 7 == 3) {
        error->status = EXIA_EUSER;
        strcpy(error->text, "now and then");
        return EXIA_EUSER;
    }
    if (component == 3 && needs[0] == NULL)
        return EXIA_EIO;
    item *i = calloc(1, sizeof *i);
    i->component = component;
    atomic_fetch_add(&alive, 1);
    int now = atomic_fetch_add(&alive_of[component], 1) + 1;
    if (now > atomic_load(&most_alive[component]))
        atomic_store(&most_alive[component], now);
    *out = i;
    return EXIA_OK;
}

static exia_status check_item(void *object, void *payload, exia_error *error)
{
    static atomic_uint turn;
    (void)payload;
    (void)object;
    if (atomic_fetch_add(&turn, 1) % 11 != 5)
        return EXIA_OK;
    error->status = EXIA_EUSER;
    strcpy(error->text, "worn out");
    return EXIA_EUSER;
}

static void end_item(void *object, void *payload)
{
    item *i = object;
    (void)payload;
    atomic_fetch_sub(&alive_of[i->component], 1);
    atomic_fetch_sub(&alive, 1);
    free(i);
}

static void *use_pool(void *payload)
{
    crowd *t = payload;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t dice = next_random(&t->seed);
        int which = (int)(dice % COMPONENTS);
        exia_lease lease, again;
        exia_error own;
        if (dice % 97 == 0)
            exia_pool_clear(t->pool, &own);
        exia_status rc =
            exia_component_borrow(&lease, t->components[which], dice % 5 ? 50 : 0, "crowd", &own);
        if (rc < 0) {
            t->strange += rc != EXIA_EUSER && rc != EXIA_ETIMEOUT && rc != EXIA_ECYCLE;
            continue;
        }
        item *i = lease.object;
        int users = atomic_fetch_add(&i->users, 1);
        t->strange += limits[which] > 0 && users != 0; /* nobody else has it */
        t->strange += i->component != which;
        atomic_fetch_sub(&i->users, 1);
        t->loans++;
        again = lease;
        rc = dice % 13 ? exia_lease_return(&lease, &own) : exia_lease_discard(&lease, &own);
        t->strange += rc != EXIA_OK;
        t->strange += exia_lease_return(&again, &own) != EXIA_EINVAL;
    }
    return NULL;
}

TEST(a_crowd_shares_a_pool_without_overlap_or_loss)
{
    static const char *const names[COMPONENTS] = {"c0", "c1", "c2", "c3", "c4"};
    exia_pool *pool = open_pool();
    exia_component *components[COMPONENTS];
    crowd crowds[THREADS];
    atomic_store(&alive, 0);
    for (int i = 0; i < COMPONENTS; i++) {
        exia_factory factory = {.struct_size = sizeof factory,
                                .create = make_item,
                                .destroy = end_item,
                                .payload = (void *)(intptr_t)i};
        exia_component_options options = {.struct_size = sizeof options, .max = limits[i]};
        if (i == 4)
            factory.validate = check_item;
        if (i == 2 || i == 3) { /* c2 and c3 each keep a c1 or c0 */
            options.needs = i == 2 ? &names[0] : &names[1];
            options.need_count = 1;
        }
        check_ok(exia_pool_add(&components[i], pool, names[i], &factory, &options, &err));
    }
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){.pool = pool, .components = components, .seed = 77u + (uint32_t)i};
        pthread_create(&crowds[i].thread, NULL, use_pool, &crowds[i]);
    }
    int loans = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(crowds[i].thread, NULL);
        assert_int_equal(crowds[i].strange, 0);
        loans += crowds[i].loans;
    }
    assert_true(loans > THREADS * ROUNDS / 4);
    for (int i = 0; i < COMPONENTS; i++) {
        assert_int_equal(number_of(pool, names[i], "waiting"), 0);
        assert_int_equal(number_of(pool, names[i], "built"), atomic_load(&alive_of[i]));
        assert_true(limits[i] == 0 || atomic_load(&most_alive[i]) <= (int)limits[i]);
    }
    check_ok(exia_pool_close(pool, 0, &err));
    assert_int_equal(atomic_load(&alive), 0);
    exia_pool_free(pool);
}

static void *wait_for_ever(void *payload)
{
    crowd *t = payload;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t dice = next_random(&t->seed);
        exia_lease lease;
        exia_error own;
        exia_status rc =
            exia_component_borrow(&lease, t->components[dice % COMPONENTS], -1, "crowd", &own);
        t->loans += rc == EXIA_OK;
        if (rc == EXIA_OK)
            rc = dice % 3 ? exia_lease_discard(&lease, &own) : exia_lease_return(&lease, &own);
        t->strange += rc < 0 && rc != EXIA_EUSER && rc != EXIA_ETIMEOUT && rc != EXIA_ECYCLE;
    }
    return NULL;
}

TEST(builds_that_take_the_same_needs_in_other_orders_wait_for_ever_and_never_hang)
{
    static const char *const names[COMPONENTS] = {"x", "y", "xy", "yx", "all"};
    static const char *const needs[COMPONENTS][3] = {
        {NULL}, {NULL}, {"x", "y"}, {"y", "x"}, {"yx", "x", "xy"}};
    static const uint32_t counts[COMPONENTS] = {0, 0, 2, 2, 3}, most[COMPONENTS] = {2, 3, 2, 0, 2};
    exia_pool *pool = open_pool();
    exia_component *components[COMPONENTS];
    crowd crowds[THREADS];
    int loans = 0;
    atomic_store(&alive, 0);
    for (int i = 0; i < COMPONENTS; i++) {
        exia_factory factory = {.struct_size = sizeof factory,
                                .create = make_item,
                                .destroy = end_item,
                                .payload = (void *)(intptr_t)i};
        exia_component_options options = {.struct_size = sizeof options,
                                          .needs = needs[i],
                                          .need_count = counts[i],
                                          .max = most[i]};
        check_ok(exia_pool_add(&components[i], pool, names[i], &factory, &options, &err));
    }
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){.pool = pool, .components = components, .seed = 5u + (uint32_t)i};
        pthread_create(&crowds[i].thread, NULL, wait_for_ever, &crowds[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(crowds[i].thread, NULL);
        assert_int_equal(crowds[i].strange, 0);
        loans += crowds[i].loans;
    }
    assert_true(loans > 0);
    for (int i = 0; i < COMPONENTS; i++)
        assert_true(most[i] == 0 || number_of(pool, names[i], "built") <= (long long)most[i]);
    check_ok(exia_pool_close(pool, 0, &err));
    assert_int_equal(atomic_load(&alive), 0);
    exia_pool_free(pool);
}

typedef struct racer {
    pthread_t thread;
    const exia_lease *lease;
    atomic_int *go;
    int won;
} racer;

static void *return_it(void *payload)
{
    racer *r = payload;
    exia_error own;
    atomic_fetch_sub(r->go, 1);
    while (atomic_load(r->go) > 0)
        continue;
    exia_lease lease = *r->lease;
    r->won = exia_lease_return(&lease, &own) == EXIA_OK;
    return NULL;
}

TEST(of_many_returns_at_once_exactly_one_counts)
{
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'}, s = {.name = 's'};
    exia_component *both[] = {add(pool, &a, 1, "", "-"), add(pool, &s, 0, "", "")};
    for (int round = 0; round < 40; round++) {
        exia_lease lease = borrow(both[round % 2]);
        racer racers[2];
        atomic_int go = 2;
        for (int i = 0; i < 2; i++) {
            racers[i] = (racer){.lease = &lease, .go = &go};
            pthread_create(&racers[i].thread, NULL, return_it, &racers[i]);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(racers[i].thread, NULL);
        assert_int_equal(racers[0].won + racers[1].won, 1);
    }
    exia_pool_free(pool);
}
