/* Files of registered packages that rotted, were cut or are gone, here and on a remote: found, and mended from a
 * good copy. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/deltas.h"

static void flip_a_byte(const char *path)
{
    size_t size = 0;
    char *bytes = check_read_file(path, &size);
    bytes[size / 2] ^= 1;
    chmod(path, 0644);
    check_write_file(path, bytes, size);
    free(bytes);
}

static void cut(const char *path)
{
    chmod(path, 0644);
    assert_int_equal(truncate(path, 7), 0);
}

static void lose(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static const struct damage {
    void (*harm)(const char *path);
    const char *problem;
    int quick; /* it shows without reading */
} damages[] = {
    {flip_a_byte, "\"problem\":\"digest\"", 0},
    {cut, "\"problem\":\"size\"", 1},
    {lose, "\"problem\":\"missing\"", 1},
};

enum { DAMAGES = sizeof damages / sizeof *damages };

static const char *check_files(exia_registry *registry, const char *remote, int quick, int repair,
                               const char *source)
{
    const exia_check_options options = {
        .struct_size = sizeof options, .quick = quick, .repair = repair, .remote = source};
    exia_rows *rows = NULL;
    check_ok(exia_registry_check_files(&rows, registry, NULL, remote, &options, NULL, &err));
    return rows_text(rows);
}

TEST(a_check_of_files_refuses_what_it_cannot_look_at)
{
    exia_registry *one = open_publisher();
    exia_rows *rows = NULL;
    check_fails(EXIA_EINVAL, exia_registry_check_files(NULL, one, NULL, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_check_files(&rows, NULL, NULL, NULL, NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_registry_check_files(&rows, one, "y", "prod", NULL, NULL, &err));
    check_text("y is not registered");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_check_files(&rows, one, "x@2.0", NULL, NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_registry_check_files(&rows, one, NULL, "nowhere", NULL, NULL, &err));
    check_fails(EXIA_EUNSUPPORTED,
                exia_registry_check_files(&rows, one, NULL, check_directory(), NULL, NULL, &err));
    assert_null(rows);
    exia_registry_free(one);
}

TEST(a_remote_to_which_nothing_was_pushed_has_no_problem)
{
    exia_registry *one = open_home_with_remote("home");
    assert_string_equal(check_files(one, "prod", 0, 1, NULL), "");
    exia_registry_free(one);
}

TEST(a_damaged_file_on_a_remote_is_found_and_mended_from_what_is_registered_here)
{
    for (size_t i = 0; i < DAMAGES; i++) {
        const struct damage *now = &damages[i];
        exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
        assert_string_equal(check_files(one, "prod", 0, 0, NULL), "");
        now->harm(remote_blob(one));
        if (now->quick)
            assert_true(has(check_files(one, "prod", 1, 0, NULL), now->problem));
        else
            assert_string_equal(check_files(one, "prod", 1, 0, NULL), "");
        const char *told = check_files(one, "prod", 0, 0, NULL);
        assert_true(has(told, now->problem) && has(told, "\"repaired\":false"));
        told = check_files(two, "prod", 0, 1, NULL); /* which has no copy */
        assert_true(has(told, "\"repaired\":false") && has(told, "is not registered here"));
        told = check_files(one, "prod", 0, 1, NULL);
        assert_true(has(told, now->problem) && has(told, "\"repaired\":true"));
        assert_true(has(told, "\"why\":null"));
        assert_string_equal(check_files(one, "prod", 0, 0, NULL), "");
        check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
        check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
        exia_registry_free(one);
        exia_registry_free(two);
    }
}

TEST(a_damaged_file_here_is_found_and_mended_from_a_remote)
{
    for (size_t i = 0; i < DAMAGES; i++) {
        exia_registry *one = open_publisher();
        damages[i].harm(blob_of(one, NULL, check_path("home/packages/blobs")));
        const char *told = check_files(one, NULL, 0, 1, NULL);
        assert_true(has(told, damages[i].problem) && has(told, "name a remote that has it"));
        told = check_files(one, NULL, 0, 1, "prod");
        assert_true(has(told, "\"repaired\":true"));
        assert_string_equal(check_files(one, NULL, 0, 0, NULL), "");
        exia_registry_free(one);
    }
}

TEST(a_copy_here_that_is_damaged_too_replaces_nothing)
{
    exia_registry *one = open_publisher();
    const char *there = remote_blob(one);
    flip_a_byte(there);
    flip_a_byte(blob_of(one, NULL, check_path("home/packages/blobs")));
    const char *told = check_files(one, "prod", 0, 1, NULL);
    assert_true(has(told, "\"repaired\":false") && has(told, "is not what was verified"));
    assert_int_equal(access(there, F_OK), 0);
    exia_registry_free(one);
}

TEST(another_file_of_the_same_content_mends_it_and_is_recorded)
{
    exia_registry *one = open_home_with_remote("home"), *two = open_home_with_remote("two");
    exia_pack_options fast = {.struct_size = sizeof fast, .level = 1};
    const char *file = check_path("again.veda");
    make_big();
    publish_big(one, "1.0");
    check_ok(exia_package_write(NULL, check_path("big"), file, &fast, NULL, &err));
    check_ok(exia_registry_register(two, file, NULL, NULL, &err));
    const char *before = remote_blob(one);
    flip_a_byte(before);
    assert_true(has(check_files(two, "prod", 0, 1, NULL), "\"repaired\":true"));
    assert_true(strcmp(before, remote_blob(one)) != 0 && access(before, F_OK) != 0);
    assert_string_equal(check_files(two, "prod", 0, 0, NULL), "");
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_mended_file_is_sent_whole_whatever_lies_beside_it)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("home"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    const char *first = remote_blob(one);
    edit_big("f1", 5, "edited");
    publish_big(one, "2.0");
    flip_a_byte(first);
    const char *told = check_files(one, "prod", 0, 1, NULL);
    assert_int_equal(rows_count(told), 1);
    assert_true(has(told, "\"version\":\"1.0\"") && has(told, "\"repaired\":true"));
    check_ok(exia_registry_pull(NULL, two, "big@1.0", "prod", NULL, NULL, &err));
    check_ok(exia_registry_pull(NULL, two, "big@2.0", "prod", NULL, NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
}

/* While x is verified, another process forgets y. */
static int forget_y(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done, (void)total;
    if (strcmp(step, "verifying") == 0)
        (void)exia_registry_unregister(payload, "y@1.0", NULL, NULL);
    return 0;
}

TEST(what_others_unregister_meanwhile_is_no_problem)
{
    exia_registry *one = open_publisher(), *other = open_home("home");
    const exia_job job = {.struct_size = sizeof job, .progress = forget_y, .payload = other};
    exia_rows *rows = NULL;
    add_package(one, "y", "1.0", NULL);
    check_ok(exia_registry_check_files(&rows, one, NULL, NULL, NULL, &job, &err));
    assert_string_equal(rows_text(rows), "");
    assert_int_equal(rows_count(query(one, NULL, NULL)), 1);
    exia_registry_free(other);
    exia_registry_free(one);
}
