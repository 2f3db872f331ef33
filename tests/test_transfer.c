/* Push and pull: nothing arrives that was not verified, nothing moves twice. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "support/packages.h"

static int has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void push_x(const char *version)
{
    exia_registry *registry = open_home_with_remote("home");
    check_ok(exia_registry_register(registry, pack("x", version), NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, registry, check_format("x@%s", version), "prod", NULL, &err));
    exia_registry_free(registry);
}

TEST(a_push_and_a_pull_carry_the_package_and_its_facts)
{
    exia_transfer moved;
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_update(one, "x", "{\"score\": 5}", NULL, &err));
    check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, &err));
    assert_true(moved.total > 0 && moved.moved == moved.total && moved.reused == 0);
    assert_true(has(query(one, NULL, "prod"), "\"facts\":{\"score\":5}"));
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, &err));
    assert_true(moved.total > 0 && moved.moved == moved.total && moved.reused == 0);
    assert_true(has(query(two, NULL, NULL), "\"facts\":{\"score\":5}"));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(repeated_transfers_move_nothing)
{
    exia_transfer moved;
    push_x("1.0");
    exia_registry *one = open_home_with_remote("home"), *two = open_home_with_remote("two");
    for (int i = 0; i < 2; i++) {
        check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, &err));
        assert_true(moved.moved == 0 && moved.reused == moved.total && moved.total > 0);
        check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, &err));
        assert_true((moved.moved == 0) == (i > 0) && moved.moved + moved.reused == moved.total);
    }
    assert_int_equal(rows_count(query(one, NULL, "prod")), 1);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(nothing_is_left_in_the_staging_or_the_journal_after_a_pull)
{
    push_x("1.0");
    exia_registry *two = open_home_with_remote("two");
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, &err));
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
}
