/* The cache of remote blobs: what comes in, what stays, what goes, and what it does without. */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cached.h"

enum { KIB = 1024, NOBODY = 65534, DAY = 24 * 60 * 60 };

/* ---- bad input ------------------------------------------------------------------------------ */

TEST(a_size_that_is_none_is_refused_with_what_to_write)
{
    static const char *const sizes[] = {
        "-1",          "x", "1X", "1GB", " 1", "1 ", "1.5G", "0x10", "G", "99999999999999999999",
        "99999999999T"};
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 100);
    exia__cached cached;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        setenv("EXIA_CACHE_SIZE", sizes[i], 1);
        check_fails(EXIA_EINVAL, cached_fetch(&cached, blobs, &one, 0, &err));
        check_text("EXIA_CACHE_SIZE");
        check_text("10G");
    }
    assert_int_equal(distant->gets, 0);
    exia__blobs_free(blobs);
}

TEST(a_size_of_zero_is_no_cache_and_no_directory)
{
    exia__blobs *blobs = cached_open("0");
    blob one = cached_put(blobs, 1, 100);
    exia__cached cached;
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &one, 0, &err));
    assert_int_equal(access(check_path("home"), F_OK), -1);
    exia__blobs_free(blobs);
}

TEST(a_directory_that_others_may_write_is_no_cache)
{
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 100);
    exia__cached cached;
    cached_check(blobs, &one);
    struct stat info;
    assert_int_equal(stat(cached_path(NULL), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(chmod(cached_path(NULL), 0777), 0);
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &one, 0, &err));
    check_text("others may write");
    exia__blobs_free(blobs);
}

TEST(a_file_where_the_directory_should_be_is_no_cache)
{
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 100);
    exia__cached cached;
    check_write_file(check_path("home"), "x", 1);
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &one, 0, &err));
    exia__blobs_free(blobs);
}

TEST(a_store_with_other_bytes_is_corrupt_and_leaves_nothing)
{
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 20 * KIB), shorter = one, longer = one;
    exia__cached cached;
    int parts = 0;
    distant->garbled = 1;
    check_fails(EXIA_ECORRUPT, cached_fetch(&cached, blobs, &one, 0, &err));
    check_text(one.key);
    distant->garbled = 0;
    shorter.size--;
    check_fails(EXIA_ECORRUPT, cached_fetch(&cached, blobs, &shorter, 0, &err));
    check_text("it has more than 20479 bytes");
    longer.size++;
    check_fails(EXIA_ECORRUPT, cached_fetch(&cached, blobs, &longer, 0, &err));
    check_text("it has 20480 of 20481 bytes");
    assert_int_equal(cached_bytes(&parts) + (uint64_t)parts, 0);
    cached_check(blobs, &one);
    exia__blobs_free(blobs);
}

TEST(a_blob_that_the_store_does_not_have_is_not_found)
{
    exia__blobs *blobs = cached_open(NULL);
    blob none = {.key = "none", .size = 10};
    exia__cached cached;
    int parts = 0;
    check_ok(exia__hash_hex(none.sha256, "x", 1, &err));
    check_fails(EXIA_ENOTFOUND, cached_fetch(&cached, blobs, &none, 0, &err));
    assert_int_equal(cached_bytes(&parts) + (uint64_t)parts, 0);
    none.size = 0;
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &none, 0, &err));
    exia__blobs_free(blobs);
}

/* ---- coming in ------------------------------------------------------------------------------ */

TEST(a_blob_comes_once_and_is_a_file_that_nobody_writes)
{
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 300 * KIB);
    struct stat info;
    for (int i = 0; i < 3; i++)
        cached_check(blobs, &one);
    assert_int_equal(distant->gets, 1);
    assert_int_equal(distant->told, 300 * KIB);
    assert_int_equal(stat(cached_path(one.sha256), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0400);
    exia__blobs_free(blobs);
}

TEST(a_blob_is_found_whatever_store_it_came_from)
{
    exia__blobs *blobs = cached_open(NULL), *other = NULL;
    blob one = cached_put(blobs, 1, 10 * KIB);
    check_ok(exia__blobs_open(&other, check_format("distant:file:%s", check_path("other")),
                              EXIA_STORE_WRITE, NULL, &err));
    cached_check(blobs, &one);
    cached_check(other, &one);
    exia__blobs_free(blobs);
    exia__blobs_free(other);
}

TEST(the_cache_lies_with_the_user_s_others_where_no_home_of_exia_is_set)
{
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 10 * KIB);
    exia__cached cached;
    const char *home = getenv("HOME"), *kept = home ? check_format("%s", home) : NULL;
    unsetenv("EXIA_HOME");
    setenv("XDG_CACHE_HOME", check_path("caches"), 1);
    check_ok(cached_fetch(&cached, blobs, &one, 0, &err));
    assert_string_equal(cached.path,
                        check_format("%s/exia/blobs/%s", check_path("caches"), one.sha256));
    cached_close(&cached);
    setenv("XDG_CACHE_HOME", "relative", 1); /* is no such thing */
    setenv("HOME", check_path("user"), 1);
    check_ok(cached_fetch(&cached, blobs, &one, 0, &err));
    assert_string_equal(cached.path,
                        check_format("%s/.cache/exia/blobs/%s", check_path("user"), one.sha256));
    cached_close(&cached);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &one, 0, &err));
    if (kept != NULL)
        setenv("HOME", kept, 1);
    exia__blobs_free(blobs);
}

TEST(what_broke_off_goes_on_behind_what_came)
{
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 400 * KIB);
    exia__cached cached;
    distant->act = 300 * KIB;
    distant->what = DISTANT_LOSE;
    check_fails(EXIA_EUNAVAILABLE, cached_fetch(&cached, blobs, &one, 0, &err));
    check_text("the store is away");
    assert_false(cached_has(one.sha256));
    cached_check(blobs, &one);
    assert_int_equal(distant->told, 400 * KIB);
    exia__blobs_free(blobs);
}

TEST(what_another_one_left_is_used_only_if_it_is_right)
{
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 100 * KIB);
    static const size_t sizes[] = {0, 1, 50 * KIB, 100 * KIB, 101 * KIB};
    static const char other[101 * KIB];
    cached_check(blobs, &one);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int parts = 0;
        assert_int_equal(unlink(cached_path(one.sha256)), 0);
        check_write_file(cached_part(&one), other, sizes[i]);
        cached_check(blobs, &one);
        assert_int_equal(cached_bytes(&parts), 100 * KIB);
        assert_int_equal(parts, 0);
    }
    size_t size = 0;
    char *right = check_read_file(cached_path(one.sha256), &size);
    for (size_t i = 0; i < 2; i++) { /* the whole of it, and all but a byte */
        assert_int_equal(unlink(cached_path(one.sha256)), 0);
        check_write_file(cached_part(&one), right, size - i);
        distant->told = 0;
        cached_check(blobs, &one);
        assert_int_equal(distant->told, i);
    }
    free(right);
    exia__blobs_free(blobs);
}

/* ---- damage --------------------------------------------------------------------------------- */

TEST(a_file_of_another_size_is_noticed_and_comes_again)
{
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 10 * KIB);
    cached_check(blobs, &one);
    assert_int_equal(truncate(cached_path(one.sha256), 100), 0);
    cached_check(blobs, &one);
    assert_int_equal(distant->gets, 2);
    assert_int_equal(unlink(cached_path(one.sha256)), 0);
    assert_int_equal(symlink("/etc/passwd", cached_path(one.sha256)), 0);
    cached_check(blobs, &one);
    assert_int_equal(distant->gets, 3);
    exia__blobs_free(blobs);
}

TEST(a_directory_in_the_place_of_a_blob_stays_and_the_blob_is_read_without)
{
    exia__blobs *blobs = cached_open(NULL);
    blob one = cached_put(blobs, 1, 10 * KIB);
    exia__cached cached;
    cached_check(blobs, &one);
    assert_int_equal(unlink(cached_path(one.sha256)), 0);
    assert_int_equal(mkdir(cached_path(one.sha256), 0700), 0);
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &one, 0, &err));
    exia__blobs_free(blobs);
}

/* ---- room ----------------------------------------------------------------------------------- */

TEST(what_was_not_used_for_longest_goes_first)
{
    exia__blobs *blobs = cached_open("400K");
    blob some[5];
    for (int i = 0; i < 5; i++)
        some[i] = cached_put(blobs, i, 100 * KIB);
    for (int i = 0; i < 4; i++) {
        cached_check(blobs, &some[i]);
        cached_age(some[i].sha256, 1000 - i);
    }
    assert_int_equal(cached_bytes(NULL), 400 * KIB);
    cached_check(blobs, &some[0]); /* used again: now the second is the oldest */
    cached_check(blobs, &some[4]);
    assert_int_equal(cached_bytes(NULL), 400 * KIB);
    assert_true(cached_has(some[0].sha256));
    assert_false(cached_has(some[1].sha256));
    assert_true(cached_has(some[2].sha256));
    exia__blobs_free(blobs);
}

TEST(what_is_open_stays_and_where_all_is_open_nothing_comes)
{
    exia__blobs *blobs = cached_open("200K");
    blob one = cached_put(blobs, 1, 100 * KIB), two = cached_put(blobs, 2, 100 * KIB),
         three = cached_put(blobs, 3, 100 * KIB);
    exia__cached first, second, third;
    check_ok(cached_fetch(&first, blobs, &one, 0, &err));
    cached_age(one.sha256, 1000);
    cached_check(blobs, &two);
    cached_check(blobs, &three);
    assert_true(cached_has(one.sha256));
    assert_false(cached_has(two.sha256));
    check_ok(cached_fetch(&third, blobs, &three, 0, &err));
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&second, blobs, &two, 0, &err));
    check_text("EXIA_CACHE_SIZE");
    assert_true(cached_right(first.fd, &one));
    cached_close(&first);
    cached_check(blobs, &two);
    assert_false(cached_has(one.sha256));
    cached_close(&third);
    exia__blobs_free(blobs);
}

TEST(a_blob_larger_than_the_cache_is_read_without_and_nothing_goes_for_it)
{
    exia__blobs *blobs = cached_open("300K");
    blob one = cached_put(blobs, 1, 200 * KIB), large = cached_put(blobs, 2, 301 * KIB);
    exia__cached cached;
    cached_check(blobs, &one);
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &large, 0, &err));
    check_text("308224 bytes do not fit into 307200");
    assert_int_equal(distant->gets, 1);
    assert_true(cached_has(one.sha256));
    large = cached_put(blobs, 3, 300 * KIB);
    cached_check(blobs, &large);
    assert_false(cached_has(one.sha256));
    exia__blobs_free(blobs);
}

TEST(what_fails_to_come_gives_its_room_back)
{
    exia__blobs *blobs = cached_open("400K");
    blob one = cached_put(blobs, 1, 200 * KIB), bad = cached_put(blobs, 2, 150 * KIB);
    exia__cached cached;
    uint64_t used = 0;
    cached_check(blobs, &one);
    distant->garbled = 1;
    for (int i = 0; i < 5; i++)
        check_fails(EXIA_ECORRUPT, cached_fetch(&cached, blobs, &bad, 0, &err));
    assert_true(cached_has(one.sha256));
    distant->garbled = 0;
    distant->act = distant->told + 100 * KIB;
    distant->what = DISTANT_LOSE;
    check_fails(EXIA_EUNAVAILABLE, cached_fetch(&cached, blobs, &bad, 0, &err));
    char *text = check_read_file(cached_path("used"), NULL);
    assert_int_equal(sscanf(text, "%" SCNu64, &used), 1);
    assert_int_equal(used, 300 * KIB); /* what came stays, to go on with */
    free(text);
    exia__blobs_free(blobs);
}

TEST(a_total_that_is_wrong_or_gone_is_counted_anew)
{
    static const char *const totals[] = {"",
                                         "x",
                                         "99999999",
                                         "99999999 99999999999999\n",
                                         "99999999 1\n",
                                         "18446744073709551615 -5\n"};
    exia__blobs *blobs = cached_open("400K");
    blob one = cached_put(blobs, 1, 100 * KIB);
    for (int i = 0; i < 6; i++) {
        blob next = cached_put(blobs, 10 + i, 50 * KIB);
        cached_check(blobs, &one);
        check_write_file(cached_path("used"), totals[i], strlen(totals[i]));
        cached_check(blobs, &next);
        assert_true(cached_has(one.sha256) && cached_has(next.sha256));
        assert_int_equal(unlink(cached_path(next.sha256)), 0);
        assert_int_equal(unlink(cached_path("used")), 0);
    }
    exia__blobs_free(blobs);
}

TEST(parts_that_nobody_goes_on_with_go_after_a_day_and_what_is_not_ours_stays)
{
    exia__blobs *blobs = cached_open("400K");
    blob one = cached_put(blobs, 1, 100 * KIB), old = cached_put(blobs, 2, 10 * KIB),
         young = cached_put(blobs, 3, 10 * KIB), held = cached_put(blobs, 4, 10 * KIB);
    cached_check(blobs, &one);
    check_write_file(cached_part(&old), "x", 1);
    check_write_file(cached_part(&young), "x", 1);
    check_write_file(cached_part(&held), "x", 1);
    check_write_file(cached_path("README"), "mine", 4);
    cached_age(check_format("%s.part", old.sha256), 2 * DAY);
    cached_age(check_format("%s.part", held.sha256), 2 * DAY);
    int fd = open(cached_part(&held), O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(unlink(cached_path("used")), 0); /* so it is counted */
    assert_int_equal(unlink(cached_path(one.sha256)), 0);
    cached_check(blobs, &one);
    assert_int_equal(access(cached_part(&old), F_OK), -1);
    assert_int_equal(access(cached_part(&young), F_OK), 0);
    assert_int_equal(access(cached_part(&held), F_OK), 0);
    assert_true(cached_has("README"));
    close(fd);
    exia__blobs_free(blobs);
}

/* ---- places --------------------------------------------------------------------------------- */

static blob here, away;

static int read_as_nobody(void)
{
    exia__blobs *blobs = NULL;
    exia__cached cached;
    if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 1;
    check_ok(exia__blobs_open(&blobs, check_format("distant:file:%s", check_path("store")),
                              EXIA_STORE_READ, NULL, &err));
    check_ok(cached_fetch(&cached, blobs, &here, 0, &err));
    int right = cached_right(cached.fd, &here);
    cached_close(&cached);
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &away, 0, &err));
    exia__blobs_free(blobs);
    return right ? 0 : 2;
}

TEST(a_cache_that_cannot_be_written_gives_what_it_has_and_is_else_done_without)
{
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    exia__blobs *blobs = cached_open(NULL);
    here = cached_put(blobs, 1, 10 * KIB);
    away = cached_put(blobs, 2, 10 * KIB);
    cached_check(blobs, &here);
    assert_int_equal(chmod(check_directory(), 0755), 0);
    assert_int_equal(chmod(cached_path(NULL), 0755), 0);
    assert_int_equal(chmod(cached_path(here.sha256), 0444), 0);
    cached_age(here.sha256, 1000);
    assert_int_equal(check_in_child(read_as_nobody), 0);
    exia__blobs_free(blobs);
}

static int fill_a_disk(void)
{
    exia__blobs *blobs = NULL;
    exia__cached cached;
    int parts = 0;
    assert_int_equal(mkdir(check_path("home"), 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") != 0 ||
        mount("none", check_path("home"), "tmpfs", 0, "size=1m,mode=700") != 0)
        return 77;
    blobs = cached_open("10M"); /* more than there is */
    blob one = cached_put(blobs, 1, 600 * KIB), two = cached_put(blobs, 2, 600 * KIB);
    cached_check(blobs, &one);
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &two, 0, &err));
    check_text("No space left");
    assert_int_equal(cached_bytes(&parts), 600 * KIB);
    assert_int_equal(parts, 0);
    setenv("EXIA_CACHE_SIZE", "", 1); /* as if it were not set: half of what there is */
    check_fails(EXIA_EUNSUPPORTED, cached_fetch(&cached, blobs, &two, 0, &err));
    check_text("do not fit into");
    blob three = cached_put(blobs, 3, 300 * KIB);
    cached_check(blobs, &three);
    assert_int_equal(cached_bytes(NULL), 300 * KIB); /* for the first one is more than half */
    exia__blobs_free(blobs);
    return 0;
}

TEST(a_full_disk_is_done_without_and_no_more_than_half_of_a_disk_is_taken_unasked)
{
    int answer = check_in_child(fill_a_disk);
    if (answer == 77) {
        print_message("only root with mount namespaces can make a small disk\n");
        skip();
    }
    assert_int_equal(answer, 0);
}

/* ---- memory --------------------------------------------------------------------------------- */

typedef struct fetching {
    exia__blobs *blobs;
    const blob *first, *second;
} fetching;

static exia_status fetch_two(void *payload, exia_error *error)
{
    const fetching *now = payload;
    exia__cached cached;
    unlink(cached_path(now->first->sha256));
    unlink(cached_path("used"));
    exia_status rc = cached_fetch(&cached, now->blobs, now->first, 0, error);
    if (rc == EXIA_OK && !cached_right(cached.fd, now->first))
        rc = EXIA_ECORRUPT;
    cached_close(&cached);
    if (rc == EXIA_OK)
        rc = cached_fetch(&cached, now->blobs, now->second, 0, error);
    cached_close(&cached);
    return rc;
}

TEST(an_allocation_that_fails_is_told_and_the_next_call_goes_on)
{
    exia__blobs *blobs = cached_open("100K");
    blob one = cached_put(blobs, 1, 60 * KIB), two = cached_put(blobs, 2, 60 * KIB);
    check_survives_no_memory(fetch_two, &(fetching){blobs, &one, &two});
    exia__blobs_free(blobs);
}
