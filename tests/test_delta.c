/* Push and pull of one version after another: only what is new moves. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/deltas.h"
#include "support/faulty.h"

/* Bytes of a tail: what a pull reads at once of the end. */
enum { TAIL = 64 << 10, FRAME = 4200 << 10 };

static exia_transfer push(exia_registry *from, const char *package, int dry_run)
{
    const exia_transfer_options options = {sizeof options, dry_run};
    exia_transfer moved;
    check_ok(exia_registry_push(&moved, from, package, "prod", &options, NULL, &err));
    assert_int_equal(moved.moved + moved.reused, moved.total);
    return moved;
}

static exia_transfer pull(exia_registry *to, const char *package, int dry_run)
{
    const exia_transfer_options options = {sizeof options, dry_run};
    exia_transfer moved;
    check_ok(exia_registry_pull(&moved, to, package, "prod", &options, NULL, &err));
    assert_int_equal(moved.moved + moved.reused, moved.total);
    return moved;
}

/* Both ways, after a dry run that must tell the truth; no more than this moves. */
static void check_moves(exia_registry *one, exia_registry *two, const char *package, uint64_t most)
{
    exia_transfer planned = push(one, package, 1), moved = push(one, package, 0);
    assert_in_range(moved.moved, 1, most);
    assert_memory_equal(&planned, &moved, sizeof moved);
    planned = pull(two, package, 1);
    moved = pull(two, package, 0);
    assert_in_range(moved.moved, 1, most + TAIL);
    assert_memory_equal(&planned, &moved, sizeof moved);
    assert_int_equal(push(one, package, 0).moved, 0);
    assert_int_equal(pull(two, package, 0).moved, 0);
    assert_int_equal(pull(two, package, 1).moved, 0);
}

TEST(after_an_edit_the_frame_with_it_moves)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    exia_transfer first = pull(two, "big@1.0", 0);
    assert_int_equal(first.moved, first.total);
    edit_big("f2", 1 << 20, "ten bytes!");
    register_big(one, "1.1");
    check_moves(one, two, "big@1.1", FRAME);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(after_a_new_file_before_all_others_hardly_more_than_it_moves)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    pull(two, "big@1.0", 0);
    write_text(check_path("big/a-first"), "a new file");
    register_big(one, "1.1");
    check_moves(one, two, "big@1.1", TAIL);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(of_a_package_that_is_signed_later_the_end_moves)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    make_big();
    const char *file = publish_big(one, "1.0");
    pull(two, "big@1.0", 0);
    check_ok(exia_key_new(NULL, check_path("key.pem"), NULL, &err));
    const exia_sign_options how = {.struct_size = sizeof how, .secret_file = check_path("key.pem")};
    check_ok(exia_package_sign(file, NULL, &how, check_path("trust.json"), NULL, &err));
    check_ok(exia_registry_register(one, file, NULL, NULL, &err));
    check_moves(one, two, "big@1.0", 8 << 10);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_remote_that_cannot_compose_gets_all_and_gives_only_what_is_new)
{
    check_in_memory();
    exia_registry *one = open_home("one"), *two = open_home("two");
    faulty_register();
    mkdir(check_path("remote"), 0755);
    const char *records = check_format("sqlite:%s/records.db", check_path("remote"));
    const char *packages = check_format("plain:file:%s/packages", check_path("remote"));
    check_ok(exia_registry_remote_add(one, "prod", records, packages, &err));
    check_ok(exia_registry_remote_add(two, "prod", records, packages, &err));
    make_big();
    publish_big(one, "1.0");
    pull(two, "big@1.0", 0);
    edit_big("f2", 1 << 20, "ten bytes!");
    register_big(one, "1.1");
    exia_transfer planned = push(one, "big@1.1", 1), moved = push(one, "big@1.1", 0);
    assert_int_equal(planned.moved, planned.total);
    assert_int_equal(moved.moved, moved.total);
    assert_in_range(pull(two, "big@1.1", 0).moved, 1, FRAME + TAIL);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(frames_of_packages_with_other_names_are_used_as_well)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    name_big("other", "3.0");
    const char *file = check_path("other.veda");
    check_ok(exia_package_write(NULL, check_path("big"), file, NULL, NULL, &err));
    check_ok(exia_registry_register(two, file, NULL, NULL, &err));
    assert_in_range(pull(two, "big@1.0", 0).moved, 1, 2 * TAIL);
    exia_registry_free(one);
    exia_registry_free(two);
}

/* The end of the base is read from the remote, and its record vouches for it. */
TEST(who_has_only_the_new_version_sends_only_what_is_new)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    edit_big("f2", 1 << 20, "ten bytes!");
    register_big(two, "1.1");
    assert_in_range(push(two, "big@1.1", 0).moved, 1, FRAME);
    pull(one, "big@1.1", 0);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(the_nearest_version_is_looked_at_first)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    edit_big("f1", 1 << 20, "first edit");
    publish_big(one, "2.0");
    edit_big("f2", 1 << 20, "second one");
    publish_big(one, "3.0");
    edit_big("f3", 1 << 20, "third edit");
    register_big(two, "3.1");
    /* what 3.0 has is not looked for elsewhere, and 3.0 has all but the last edit */
    assert_in_range(push(two, "big@3.1", 0).moved, 1, FRAME);
    write_text(check_path("big/a-first"), "a new file");
    register_big(two, "0.9");
    assert_in_range(push(two, "big@0.9", 0).moved, 1, TAIL);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(registering_on_a_remote_sends_only_what_is_new)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    edit_big("f2", 1 << 20, "ten bytes!");
    const char *file = pack_big("1.1");
    check_ok(exia_registry_register(two, file, "prod", NULL, &err));
    assert_int_equal(rows_count(query(two, NULL, "prod")), 2);
    assert_in_range(pull(one, "big@1.1", 0).moved, 1, FRAME + TAIL);
    exia_registry_free(one);
    exia_registry_free(two);
}

/* ---- dry runs ---------------------------------------------------------------------------------- */

TEST(a_dry_run_changes_nothing)
{
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    const exia_transfer_options dry = {sizeof dry, 1};
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    exia_transfer planned = push(one, "x", 1);
    assert_int_equal(planned.moved, planned.total);
    assert_false(exists("remote/records.db"));
    assert_false(exists("remote/packages"));
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, two, "x", "prod", &dry, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "x", "prod", NULL, NULL, &err));
    planned = pull(two, "x", 1);
    assert_int_equal(planned.moved, planned.total);
    assert_string_equal(query(two, NULL, NULL), "");
    assert_int_equal(count_records(check_path("one/journal.db"), "transfer"), 0);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
    exia_registry_free(one);
}

TEST(a_dry_run_finds_what_the_transfer_would_refuse)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    const exia_transfer_options dry = {sizeof dry, 1}, bad = {3, 1};
    const char *other = pack_with("x", "1.0", "any", NULL, "other");
    check_ok(exia_registry_register(two, other, NULL, NULL, &err));
    check_fails(EXIA_EEXISTS, exia_registry_push(NULL, two, "x", "prod", &dry, NULL, &err));
    check_text("remote prod: x@1.0#any was published with other content");
    check_fails(EXIA_EEXISTS, exia_registry_pull(NULL, two, "x", "prod", &dry, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_pull(NULL, two, "x", "prod", &bad, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_push(NULL, two, "x", "prod", &bad, NULL, &err));
    check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
    assert_int_equal(unlink(remote_blob(one)), 0);
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, two, "x", "prod", &dry, NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
}

/* ---- several at once ---------------------------------------------------------------------------- */

TEST(of_processes_that_push_one_package_at_once_one_sends_it)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one");
    uint64_t moved[4] = {0}, sum = 0, total = 0;
    int ends[2];
    make_big();
    register_big(one, "1.0");
    exia_registry_free(one);
    assert_int_equal(pipe(ends), 0);
    for (int i = 0; i < 4; i++) {
        if (fork() != 0)
            continue;
        exia_transfer own = {0};
        exia_registry *home = open_home("one");
        exia_status rc = exia_registry_push(&own, home, "big", "prod", NULL, NULL, &err);
        exia_registry_free(home);
        _exit(write(ends[1], (uint64_t[]){own.moved, own.total}, 16) != 16 || rc != EXIA_OK);
    }
    for (int i = 0; i < 4; i++) {
        int status = 1;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
        uint64_t told[2];
        assert_int_equal(read(ends[0], told, sizeof told), sizeof told);
        moved[i] = told[0];
        total = told[1];
        sum += moved[i];
    }
    assert_int_equal(sum, total);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(rmdir(check_path("one/staging")), 0);
}
