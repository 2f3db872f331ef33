/* Push and pull: what arrives, and that nothing moves twice. */
#include <unistd.h>

#include "support/packages.h"

TEST(a_push_and_a_pull_carry_the_package_and_its_facts)
{
    exia_transfer moved;
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_update(one, "x", "{\"score\": 5}", NULL, &err));
    check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, NULL, &err));
    assert_true(moved.total > 0 && moved.moved == moved.total && moved.reused == 0);
    assert_string_equal(moved.package, "x@1.0#any");
    assert_true(has(query(one, NULL, "prod"), "\"facts\":{\"score\":5}"));
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err));
    assert_true(moved.total > 0 && moved.moved == moved.total && moved.reused == 0);
    assert_string_equal(moved.package, "x@1.0#any");
    assert_true(has(query(two, NULL, NULL), "\"facts\":{\"score\":5}"));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(repeated_transfers_move_nothing)
{
    exia_transfer moved;
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    for (int i = 0; i < 2; i++) {
        check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, NULL, &err));
        assert_true(moved.moved == 0 && moved.reused == moved.total && moved.total > 0);
        check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err));
        assert_true((moved.moved == 0) == (i > 0) && moved.moved + moved.reused == moved.total);
    }
    assert_int_equal(count_records(check_path("remote/records.db"), "package"), 1);
    assert_int_equal(count_records(check_path("two/packages/catalog.db"), "package"), 1);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(nothing_is_left_in_the_staging_or_the_journal)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
    assert_int_equal(count_records(check_path("home/journal.db"), "transfer"), 0);
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 0);
}

TEST(bytes_that_are_there_without_a_record_are_not_sent_again)
{
    exia_transfer moved;
    exia_registry *one = open_publisher();
    check_ok(exia_registry_unregister(one, "x@1.0", "prod", &err));
    check_ok(exia_registry_push(&moved, one, "x", "prod", NULL, NULL, &err));
    assert_true(moved.moved == 0 && moved.reused == moved.total && moved.total > 0);
    assert_int_equal(rows_count(query(one, NULL, "prod")), 1);
    exia_registry_free(one);
}

TEST(another_package_of_the_same_identity_is_neither_pushed_nor_pulled)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    const char *other = pack_with("x", "1.0", "any", NULL, "other");
    check_ok(exia_registry_register(two, other, NULL, NULL, &err));
    check_fails(EXIA_EEXISTS, exia_registry_push(NULL, two, "x", "prod", NULL, NULL, &err));
    check_text("remote prod: x@1.0#any was published with other content");
    check_fails(EXIA_EEXISTS, exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    assert_int_equal(rows_count(query(one, NULL, "prod")), 1);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_remote_that_is_not_there_is_told_and_made_by_the_first_push)
{
    exia_registry *registry = open_home_with_remote("home");
    assert_int_equal(rows_count(query(registry, NULL, "prod")), 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_text("nothing was pushed to prod yet");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_text("nothing was pushed to prod yet");
    assert_int_not_equal(access(check_path("remote/records.db"), F_OK), 0);
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
    assert_int_equal(rows_count(query(registry, NULL, "prod")), 1);
    exia_registry_free(registry);
}
