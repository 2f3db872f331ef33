/* A transfer that ended half way leaves a whole home, and goes on when it is repeated. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "registry/registry.h"
#include "support/deltas.h"
#include "support/faulty.h"

/* Stop where bytes begin to move. */
static int stop(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done, (void)total, (void)payload;
    return strcmp(step, "storing") == 0 || strcmp(step, "reading") == 0;
}

/* What a pull has to leave: the first `size` bytes of the remote's blob, as home "two" names it. */
static const char *leave_part(exia_registry *one, size_t *whole, size_t size, int changed)
{
    const char *blob = remote_blob(one);
    char *bytes = check_read_file(blob, whole);
    const char *part =
        check_format("%s/%.64s.part", check_path("two/staging"), strrchr(blob, '/') + 1);
    bytes[0] ^= (char)changed;
    check_write_file(part, bytes, size <= *whole ? size : *whole);
    free(bytes);
    return part;
}

TEST(a_pull_goes_on_with_the_frames_that_an_earlier_one_left)
{
    check_in_memory();
    const size_t left = 7 << 20, frame = 4200 << 10;
    exia_transfer moved;
    size_t whole = 0;
    exia_registry *one = open_home_with_remote("home"), *two = open_home_with_remote("two");
    make_big();
    publish_big(one, "1.0");
    for (int changed = 0; changed <= 1; changed++) {
        leave_part(one, &whole, left, changed);
        check_ok(exia_registry_pull(&moved, two, "big", "prod", NULL, NULL, &err));
        assert_in_range(moved.reused, left - frame, left);
        assert_int_equal(moved.moved, whole - moved.reused);
        check_ok(exia_registry_unregister(two, "big@1.0", NULL, &err));
    }
    leave_part(one, &whole, SIZE_MAX, 0);
    check_ok(exia_registry_pull(&moved, two, "big", "prod", NULL, NULL, &err));
    assert_int_equal(moved.reused, whole);
    exia_registry_free(one);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
}

TEST(what_was_left_and_is_not_good_is_fetched_again)
{
    exia_transfer moved;
    size_t whole = 0;
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    leave_part(one, &whole, 100, 1);
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err));
    assert_int_equal(moved.moved, whole);
    check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
    const char *part = leave_part(one, &whole, SIZE_MAX, 0);
    assert_int_equal(truncate(part, (off_t)whole + 1), 0);
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err));
    assert_int_equal(moved.moved, whole);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_cancelled_transfer_stands_in_the_journal_until_it_is_done)
{
    exia_job job = {.struct_size = sizeof job, .progress = stop};
    exia_registry *one = open_home_with_remote("home"), *two = open_home_with_remote("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    check_fails(EXIA_ECANCELLED, exia_registry_push(NULL, one, "x", "prod", NULL, &job, &err));
    assert_int_equal(count_records(check_path("home/journal.db"), "transfer"), 1);
    assert_string_equal(query(one, NULL, "prod"), "");
    check_ok(exia_registry_push(NULL, one, "x", "prod", NULL, NULL, &err));
    assert_int_equal(count_records(check_path("home/journal.db"), "transfer"), 0);
    check_fails(EXIA_ECANCELLED, exia_registry_pull(NULL, two, "x", "prod", NULL, &job, &err));
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 1);
    assert_string_equal(query(two, NULL, NULL), "");
    exia_registry_free(two);
    two = open_home_with_remote("two");
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 1);
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, NULL, &err));
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 0);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(transfers_of_long_ago_are_forgotten_with_their_bytes)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    exia__records *journal = NULL;
    size_t whole = 0;
    struct stat info;
    const char *part = leave_part(one, &whole, 100, 0);
    check_ok(exia__records_open(&journal, check_format("sqlite:%s", check_path("two/journal.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    const char *hex = check_format("%.64s", strrchr(part, '/') + 1);
    const char *lock = check_path(check_format("two/staging/%s.to-prod", hex)); /* of a push */
    check_write_file(lock, "", 0);
    const char *const keys[] = {check_format("pull/prod/%s", hex),
                                check_format("push/prod/%s", hex)};
    for (size_t i = 0; i < 2; i++)
        check_ok(exia__records_put(NULL, journal, "transfer", keys[i],
                                   "{\"format\": 1, \"time\": 1000}", EXIA_ANY, NULL, NULL, &err));
    exia__records_free(journal);
    exia_registry_free(two);
    two = open_home("two");
    assert_int_equal(count_records(check_path("two/journal.db"), "transfer"), 0);
    assert_int_not_equal(stat(part, &info), 0);
    assert_int_not_equal(stat(lock, &info), 0);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(files_that_no_transfer_needs_go_and_one_that_is_held_stays)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    size_t whole = 0;
    int held = -1;
    const char *part = leave_part(one, &whole, 100, 0);
    const char *lock = check_format("%.*s.to-prod", (int)(strrchr(part, '.') - part), part);
    check_write_file(lock, "", 0);
    check_ok(exia__lock_try(&held, lock, &err));
    exia_registry_free(two);
    two = open_home("two");
    assert_int_equal(access(lock, F_OK), 0);
    assert_int_not_equal(access(part, F_OK), 0); /* the journal does not know it */
    exia__lock_drop(held);
    exia_registry_free(two);
    two = open_home("two");
    assert_int_not_equal(access(lock, F_OK), 0);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(processes_that_pull_one_package_at_once_all_get_it)
{
    exia_registry_free(open_publisher());
    exia_registry_free(open_home_with_remote("two"));
    pid_t children[6];
    for (int i = 0; i < 6; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            exia_registry *own = NULL;
            int bad = exia_registry_open(&own, check_path("two"), &err) < 0 ||
                      exia_registry_pull(NULL, own, "x", "prod", NULL, NULL, &err) < 0;
            if (bad)
                fprintf(stderr, "%s\n", err.text);
            exia_registry_free(own);
            _exit(bad);
        }
    }
    for (int i = 0; i < 6; i++) {
        int status = 1;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    exia_registry *two = open_home("two");
    assert_int_equal(rows_count(query(two, NULL, NULL)), 1);
    assert_int_equal(count_records(check_path("two/packages/catalog.db"), "package"), 1);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
}

TEST(a_pull_without_room_leaves_a_whole_home_and_goes_on_later)
{
    exia_registry *one = open_home_with_remote("home");
    char *noise = malloc(3000000);
    uint32_t state = 1;
    for (size_t i = 0; i < 3000000; i++)
        noise[i] = (char)((state = state * 1664525 + 1013904223) >> 24);
    check_write_file(check_path("noise"), noise, 3000000);
    free(noise);
    check_ok(exia_workspace_new(check_path("ws"), "large", &err));
    check_ok(exia_workspace_add(check_path("ws"), check_path("noise"), "data", NULL, &err));
    const char *file = check_path("large.veda");
    check_ok(exia_package_write(NULL, check_path("ws"), file, NULL, NULL, &err));
    check_ok(exia_registry_register(one, file, "prod", NULL, &err));
    exia_registry_free(one);
    exia_registry_free(open_home_with_remote("two"));
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {1500000, 1500000};
        exia_registry *two = NULL;
        signal(SIGXFSZ, SIG_IGN);
        exia_status rc = setrlimit(RLIMIT_FSIZE, &limit) != 0
                             ? EXIA_EIO
                             : exia_registry_open(&two, check_path("two"), &err);
        if (rc == EXIA_OK)
            rc = exia_registry_install(NULL, two, "large", "prod", NULL, NULL, &err);
        exia_registry_free(two);
        _exit(rc == EXIA_ENOSPACE ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    exia_registry *two = open_home_with_remote("two");
    exia_transfer moved;
    assert_string_equal(installed(two, NULL), "");
    assert_string_equal(query(two, NULL, NULL), "");
    check_ok(exia_registry_pull(&moved, two, "large", "prod", NULL, NULL, &err));
    assert_true(moved.reused >= 1000000 && moved.moved + moved.reused == moved.total);
    check_ok(exia_registry_install(NULL, two, "large", NULL, NULL, NULL, &err));
    exia_registry_free(two);
}

/* ---- remotes that fail ---- */

/* A home whose remote "shaky" is a new one, in check_path(PLACE), that fails as planned. */
static void add_shaky(exia_registry *registry, const char *place)
{
    faulty_register();
    mkdir(check_path(place), 0755);
    check_ok(exia_registry_remote_add(
        registry, place, check_format("faulty:sqlite:%s/records.db", check_path(place)),
        check_format("faulty:file:%s/packages", check_path(place)), &err));
}

TEST(a_push_that_fails_before_or_after_any_call_can_be_repeated)
{
    exia_registry *one = open_home("home");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    for (int after = 0; after <= 1; after++) {
        exia_status rc = EXIA_OK;
        long nth = 1, calls = 0;
        for (; nth <= calls + 1; nth++) { /* the last time none fails */
            const char *place = check_format("shaky-%d-%ld", after, nth);
            add_shaky(one, place);
            faulty = (faulty_plan){.nth = nth, .after = after, .status = EXIA_EUNAVAILABLE};
            rc = exia_registry_push(NULL, one, "x", place, NULL, NULL, &err);
            assert_true(rc == EXIA_OK || rc == EXIA_EUNAVAILABLE);
            calls = faulty.calls;
            faulty = (faulty_plan){0};
            size_t rows = rows_count(query(one, NULL, place));
            assert_true(rows == 1 || (rows == 0 && rc < 0));
            check_ok(exia_registry_push(NULL, one, "x", place, NULL, NULL, &err));
            const char *row = query(one, NULL, place);
            assert_int_equal(rows_count(row), 1);
            assert_false(has(row, "conflict"));
            check_ok(exia_registry_update(one, "x", "{\"a\": 1}", place, &err));
        }
        check_status(EXIA_OK, rc, __FILE__, __LINE__);
        assert_true(nth > 5);
    }
    assert_int_equal(count_records(check_path("home/journal.db"), "transfer"), 0);
    exia_registry_free(one);
}

TEST(a_pull_that_fails_before_or_after_any_call_can_be_repeated)
{
    exia_registry *one = open_home("one"), *two = open_home("two");
    add_shaky(one, "shaky");
    add_shaky(two, "shaky");
    check_ok(exia_registry_register(one, pack("x", "1.0"), "shaky", NULL, &err));
    for (int after = 0; after <= 1; after++) {
        exia_status rc = EXIA_EUNAVAILABLE;
        for (long nth = 1, calls = 0; nth <= calls + 1; nth++) {
            faulty = (faulty_plan){.nth = nth, .after = after, .status = EXIA_EUNAVAILABLE};
            rc = exia_registry_pull(NULL, two, "x", "shaky", NULL, NULL, &err);
            assert_true(rc == EXIA_OK || rc == EXIA_EUNAVAILABLE);
            calls = faulty.calls;
            faulty = (faulty_plan){0};
            assert_int_equal(rows_count(query(two, NULL, NULL)), rc == EXIA_OK);
            if (rc == EXIA_OK)
                check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
        }
        check_status(EXIA_OK, rc, __FILE__, __LINE__);
    }
    exia_registry_free(one);
    exia_registry_free(two);
}
