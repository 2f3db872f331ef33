/* What changes under a host while it works: the object that it fetches, the catalogue that it reads, the
 * clock.  Nothing arrives that is not whole, and with the right things in place again it goes on. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "support/depot.h"
#include "support/faulty.h"
#include "support/packages.h"
#include "support/trace.h"

/* ---- the clock ------------------------------------------------------------------------------- */

static long ahead; /* seconds that the clock of this process is ahead */

/* In the place of libc's, for all that is linked here. */
int clock_gettime(clockid_t which, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, which, now);
    if (failed == 0 && which == CLOCK_REALTIME)
        now->tv_sec += ahead;
    return failed;
}

static const stock_item *item(const char *package)
{
    for (int i = 0; i < STOCK_ITEMS; i++) {
        if (strcmp(stock[i].package, package) == 0)
            return &stock[i];
    }
    fail_msg("there is no %s", package);
    return NULL;
}

static void open_stage(void)
{
    check_in_memory();
    witness = trace_shared(sizeof *witness);
    stock_make();
    ahead = 0;
    faulty = (faulty_plan){0};
}

static void add(exia_registry *registry, const char *package, int content, const char *remote)
{
    check_ok(exia_registry_register(registry, item(package)->file[content], remote, NULL, &err));
}

static void look_at(exia_registry *registry)
{
    depot_look_at_all(registry, exia_registry_home(registry));
    if (atomic_load(&witness->wrong) > 0)
        fail_msg("%s", witness->text);
}

TEST(a_clock_that_is_set_back_or_forth_changes_no_answer)
{
    enum { DAY = 24 * 3600 };
    static const long settings[] = {0, -2 * DAY, 400 * DAY, -4 * DAY, 20 * DAY, -5000 * DAY};
    open_stage();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        ahead = settings[i];
        const char *facts = check_format("{\"n\": %zu}", i);
        add(one, "d@1.0", i % 2 ? STOCK_ONE : STOCK_OTHER, NULL);
        for (int k = 0; k < 2; k++) {
            ahead -= 100; /* each answer is older than the one before, by its clock */
            check_ok(exia_registry_update(one, "d@1.0", k ? facts : "{}", NULL, &err));
        }
        assert_true(has(query(one, NULL, NULL), check_format("\"n\":%zu", i)));
        if (i == 0) {
            check_ok(exia_registry_push(NULL, one, "d@1.0", "prod", NULL, NULL, &err));
            add(one, "f@1.0", STOCK_ONE, "prod");
        }
        check_ok(exia_registry_update(one, "d@1.0", facts, "prod", &err));
        ahead -= DAY;
        check_ok(exia_registry_pull(NULL, two, "d@1.0", "prod", NULL, NULL, &err));
        assert_true(has(query(two, NULL, NULL), check_format("\"n\":%zu", i)));
        check_ok(exia_registry_install(NULL, two, "f@1.0", "prod", NULL, NULL, &err));
        look_at(two);
        check_ok(exia_registry_uninstall(two, "f@1.0", &err));
        check_ok(exia_registry_uninstall(two, "d@1.0", &err));
        check_ok(exia_registry_unregister(two, "d@1.0", NULL, &err));
        check_ok(exia_registry_unregister(one, "d@1.0", NULL, &err));
        assert_string_equal(query(one, NULL, NULL), "");
        exia_registry_free(one);
        exia_registry_free(two);
        one = open_home("one");
        two = open_home("two");
        look_at(two);
    }
    exia_registry_free(one);
    exia_registry_free(two);
}

/* ---- the object ------------------------------------------------------------------------------ */

typedef struct swap {
    const char *blob, *other; /* what lies there becomes this; NULL: nothing lies there */
} swap;

static void replace(const char *path, const char *by)
{
    assert_int_equal(unlink(path), 0);
    if (by != NULL)
        check_ok(exia__tree_copy(by, path, &err));
}

static void swap_now(void *payload)
{
    const swap *now = payload;
    replace(now->blob, now->other);
}

/* The same size, and the middle is another one. */
static const char *like(const char *file)
{
    size_t size = 0;
    char *bytes = check_read_file(file, &size);
    const char *path = check_path("like.veda");
    memset(bytes + size / 3, 'x', size / 3);
    check_write_file(path, bytes, size);
    free(bytes);
    return path;
}

static void open_shaky(exia_registry **out, const char *name)
{
    *out = open_home(name);
    (void)mkdir(check_path("shaky"), 0755);
    check_ok(exia_registry_remote_add(
        *out, "shaky", check_format("faulty:sqlite:%s/records.db", check_path("shaky")),
        check_format("faulty:file:%s/packages", check_path("shaky")), &err));
}

TEST(an_object_that_is_replaced_while_two_hosts_pull_it_is_noticed)
{
    exia_registry *hosts[2];
    open_stage();
    faulty_register();
    open_shaky(&hosts[0], "one");
    open_shaky(&hosts[1], "two");
    add(hosts[0], "e@1.0", STOCK_ONE, "shaky");
    add(hosts[1], "e@2.0", STOCK_ONE, NULL); /* so that it need not fetch all of it */
    const stock_item *e = item("e@1.0");
    const char *good = e->file[STOCK_ONE],
               *others[] = {like(good), e->file[STOCK_OTHER], item("e@2.0")->file[STOCK_ONE], NULL};
    swap now = {.blob = check_format("%s/packages/packages/%s.veda", check_path("shaky"),
                                     e->hex[STOCK_ONE])};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        now.other = others[i];
        long failed = 0, calls = 1;
        for (long nth = 1; nth <= calls; nth++) {
            for (int host = 0; host < 2; host++) {
                check_reset();
                faulty = (faulty_plan){.instead = swap_now, .payload = &now, .nth = nth};
                exia_status rc =
                    exia_registry_pull(NULL, hosts[host], "e@1.0", "shaky", NULL, NULL, &err);
                calls = faulty.calls;
                faulty = (faulty_plan){0};
                if (rc != EXIA_OK && rc != EXIA_ECORRUPT && rc != EXIA_ENOTFOUND &&
                    rc != EXIA_ECONFLICT)
                    check_status(EXIA_ECORRUPT, rc, __FILE__, __LINE__);
                failed += rc != EXIA_OK;
                look_at(hosts[host]);
                if (access(now.blob, F_OK) == 0)
                    replace(now.blob, good);
                else
                    check_ok(exia__tree_copy(good, now.blob, &err));
                check_ok(exia_registry_pull(NULL, hosts[host], "e@1.0", "shaky", NULL, NULL, &err));
                look_at(hosts[host]);
                check_ok(exia_registry_unregister(hosts[host], "e@1.0", NULL, &err));
            }
        }
        assert_true(failed > 0);
    }
    exia_registry_free(hosts[0]);
    exia_registry_free(hosts[1]);
}

/* ---- the catalogue --------------------------------------------------------------------------- */

TEST(a_catalogue_that_is_set_back_or_exchanged_between_two_calls_is_read_as_it_is)
{
    exia_transfer moved;
    open_stage();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    add(one, "d@1.0", STOCK_ONE, NULL);
    add(one, "d@2.0", STOCK_ONE, NULL);
    check_ok(exia_registry_push(NULL, one, "d@1.0", "prod", NULL, NULL, &err));
    check_ok(exia__tree_copy(check_path("remote"), check_path("older"), &err));
    check_ok(exia_registry_push(NULL, one, "d@2.0", "prod", NULL, NULL, &err));
    check_ok(exia_registry_pull(NULL, two, "d@2.0", "prod", NULL, NULL, &err));
    assert_int_equal(rows_count(query(two, NULL, "prod")), 2);

    /* a backup of yesterday is put back */
    check_ok(exia__tree_remove(check_path("remote"), &err));
    assert_int_equal(rename(check_path("older"), check_path("remote")), 0);
    assert_int_equal(rows_count(query(two, NULL, "prod")), 1);
    check_fails(EXIA_ENOTFOUND, exia_registry_update(two, "d@2.0", "{}", "prod", &err));
    check_ok(exia_registry_push(&moved, two, "d@2.0", "prod", NULL, NULL, &err));
    assert_true(moved.moved > 0);
    assert_int_equal(rows_count(query(one, NULL, "prod")), 2);

    /* somebody else's, of the same names */
    exia_registry *three = open_home("three");
    check_ok(exia_registry_remote_add(
        three, "prod", check_format("sqlite:%s/records.db", check_path("elsewhere")),
        check_format("file:%s/packages", check_path("elsewhere")), &err));
    assert_int_equal(mkdir(check_path("elsewhere"), 0755), 0);
    add(three, "d@1.0", STOCK_OTHER, "prod");
    check_ok(exia__tree_remove(check_path("remote"), &err));
    assert_int_equal(rename(check_path("elsewhere"), check_path("remote")), 0);
    check_fails(EXIA_EEXISTS, exia_registry_pull(NULL, one, "d@1.0", "prod", NULL, NULL, &err));
    check_fails(EXIA_EEXISTS, exia_registry_push(NULL, one, "d@1.0", "prod", NULL, NULL, &err));
    check_ok(exia_registry_pull(NULL, two, "d@1.0", "prod", NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "d@2.0", "prod", NULL, NULL, &err));
    assert_int_equal(rows_count(query(one, NULL, "prod")), 2);
    look_at(one);
    look_at(two);
    exia_registry_free(one);
    exia_registry_free(two);
    exia_registry_free(three);
}
