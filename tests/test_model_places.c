/* Where a library lies and who comes: a small disk, one that cannot be written, a user who may not,
 * a directory that moves, a clock that goes back, two catalogues that want the same blobs. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "conformance/conformance.h"
#include "support/deeds.h"
#include "support/models.h"

enum { NOBODY = 65534, PAGE = 4096, DAY = 24 * 60 * 60 };

/* ---- a small disk ---------------------------------------------------------------------------- */

/* Mount a disk of our own, for this process alone; else skip the test. */
static const char *mount_disk(void)
{
    const char *disk = check_path("disk");
    assert_int_equal(mkdir(disk, 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") != 0 ||
        mount("none", disk, "tmpfs", 0, "size=16m") != 0) {
        print_message("only root with mount namespaces can make a small disk\n");
        skip();
    }
    return disk;
}

static void remount(const char *disk, unsigned long flags, unsigned long size)
{
    assert_int_equal(
        mount("none", disk, "tmpfs", MS_REMOUNT | flags, check_format("size=%lu", size)), 0);
}

/* Leave so many bytes free. */
static void leave_free(const char *disk, unsigned long bytes)
{
    struct statfs info;
    assert_int_equal(statfs(disk, &info), 0);
    remount(disk, 0, (unsigned long)(info.f_blocks - info.f_bfree) * PAGE + bytes);
}

static exia_status act(const deed *what, const char *folder)
{
    exia_library *library = NULL;
    check_reset();
    exia_status rc = exia_library_open(&library, check_format("%s/library", folder), NULL, &err);
    if (rc == EXIA_OK)
        rc = what->act(library, folder, &err);
    exia_library_free(library);
    return rc;
}

/* With so many bytes free.  @return was it done? */
static int try_with(const deed *what, const char *disk, unsigned long bytes, const char *before)
{
    const char *folder = check_format("%s/now", disk);
    check_ok(exia__tree_remove(folder, &err));
    check_ok(exia__tree_copy(check_path("begin"), folder, &err));
    deeds_age(folder);
    leave_free(disk, bytes);
    exia_status rc = act(what, folder);
    if (rc < 0)
        check_status(rc, rc, __FILE__, __LINE__); /* it said why */
    if (rc < 0 && rc != EXIA_ENOSPACE && rc != EXIA_EIO && rc != EXIA_EDENIED)
        fail_msg("%s with %lu bytes left: %s", what->name, bytes, err.text);
    remount(disk, 0, 16 << 20);
    const char *seen = deeds_state(folder, 0);
    if (rc < 0 && !what->steps && strcmp(seen, before) != 0)
        fail_msg("%s with %lu bytes left failed, and is there in part:\n%s", what->name, bytes,
                 seen);
    if (rc < 0)
        check_ok(act(what, folder));
    deeds_collect(folder);
    deeds_go_on(folder);
    return rc == EXIA_OK;
}

TEST(a_disk_with_any_number_of_pages_left_takes_a_deed_whole_or_not_at_all)
{
    const char *disk = mount_disk();
    int failed = 0;
    for (size_t i = 0; i < deed_count; i++) {
        unsigned long bytes = 0;
        const char *before = NULL;
        if (deeds[i].prepare == NULL || deeds[i].outside)
            continue;
        check_ok(exia__tree_remove(check_path("begin"), &err));
        assert_int_equal(mkdir(check_path("begin"), 0700), 0);
        deeds[i].prepare(check_path("begin"));
        before = deeds_state(check_path("begin"), 1);
        while (!try_with(&deeds[i], disk, bytes, before))
            bytes += bytes < 8 * PAGE ? PAGE : 5 * PAGE; /* the first ones matter most */
        failed += bytes > 0;
    }
    assert_true(failed > 8);
    assert_int_equal(umount(disk), 0);
}

TEST(a_disk_mounted_read_only_is_read_and_a_writer_is_refused)
{
    const char *disk = mount_disk();
    exia_library *library = NULL;
    deeds_prepare(disk);
    const char *before = deeds_state(disk, 0);
    remount(disk, MS_RDONLY, 16 << 20);
    assert_string_equal(deeds_state(disk, 1), before);
    check_fails(EXIA_EDENIED,
                exia_library_open(&library, check_format("%s/library", disk), NULL, &err));
    remount(disk, 0, 16 << 20);
    deeds_go_on(disk);
    assert_int_equal(umount(disk), 0);
}

/* ---- another user ---------------------------------------------------------------------------- */

static const char *as_root; /* what the owner sees */

static int read_as_nobody(void)
{
    exia_library *library = NULL;
    if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 1;
    if (exia_library_open(&library, check_path("library"), NULL, &err) != EXIA_EDENIED)
        return 2;
    return strcmp(deeds_state(check_directory(), 1), as_root) == 0 ? 0 : 3;
}

static void check_as_nobody(void)
{
    as_root = deeds_state(check_directory(), 1);
    assert_int_equal(check_in_child(read_as_nobody), 0);
    assert_string_equal(deeds_state(check_directory(), 0), as_root);
}

TEST(who_may_not_write_reads_all_and_is_refused_to_write)
{
    exia_library *library = NULL;
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    deeds_prepare(check_directory());
    assert_int_equal(chmod(check_directory(), 0755), 0);
    check_as_nobody();
    /* while a writer is there, with commits that are in the WAL alone */
    check_ok(exia_library_open(&library, check_path("library"), NULL, &err));
    write_model(library, "m", "more", NULL, "live", EXIA_ANY);
    check_as_nobody();
    exia_library_free(library);
}

static int die_with_a_commit(void)
{
    exia_library *library = NULL;
    check_ok(exia_library_open(&library, check_path("library"), NULL, &err));
    write_model(library, "m", "more", NULL, "live", EXIA_ANY);
    raise(SIGKILL);
    return 0;
}

/* Without permission to recover what a killed writer left in the WAL, the answer is right, or says
 * whom to ask; never an older state. */
static int read_behind_the_dead(void)
{
    const exia_library_options options = {.struct_size = sizeof options, .read_only = 1};
    exia_library *library = NULL;
    if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 1;
    exia_status rc = exia_library_open(&library, check_path("library"), &options, &err);
    if (rc == EXIA_OK && selected(library, "m@live") == 4)
        return 0;
    return rc == EXIA_EDENIED && strstr(err.text, "open it once for writing") != NULL ? 0 : 2;
}

TEST(who_may_not_write_sees_what_a_killed_writer_committed_or_is_told_why_not)
{
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    deeds_prepare(check_directory());
    assert_int_equal(chmod(check_directory(), 0755), 0);
    assert_int_equal(check_in_child(die_with_a_commit), 128 + SIGKILL);
    assert_int_equal(check_in_child(read_behind_the_dead), 0);
    as_root = deeds_state(check_directory(), 0);
    assert_non_null(strstr(as_root, "m@live: 4\n"));
    assert_int_equal(check_in_child(read_as_nobody), 0);
}

/* ---- a directory that moves ------------------------------------------------------------------ */

TEST(a_library_that_was_moved_while_it_was_closed_is_the_same)
{
    const char *first = check_path("first"), *second = check_path("second");
    assert_int_equal(mkdir(first, 0700), 0);
    deeds_prepare(first);
    const char *before = deeds_state(first, 0);
    assert_int_equal(rename(first, second), 0);
    assert_string_equal(deeds_state(second, 1), before);
    assert_string_equal(deeds_state(second, 0), before);
    deeds_collect(second);
    assert_string_equal(deeds_state(second, 0), before);
    deeds_go_on(second);
}

/* ---- a clock that goes back ------------------------------------------------------------------ */

static time_t back; /* seconds */

/* Stands before the C library's, for all that is linked here. */
#pragma GCC visibility push(default)
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int answer = (int)syscall(SYS_clock_gettime, clock, now);
    if (answer == 0 && clock == CLOCK_REALTIME)
        now->tv_sec -= back;
    return answer;
}
#pragma GCC visibility pop

static void check_times(exia_library *library)
{
    exia_rows *rows = NULL;
    const char *row = NULL, *last = "";
    int count = 0;
    check_ok(exia_library_history(&rows, library, "m", &err));
    while (exia_rows_next(&row, rows, &err) == EXIA_OK) {
        const char *time = strstr(row, "\"time\":");
        assert_non_null(time);
        time = check_format("%.40s", time);
        assert_true(strcmp(time, last) >= 0);
        last = time;
        count++;
    }
    exia_rows_free(rows);
    assert_true(count >= 6);
}

TEST(a_clock_set_back_stops_nobody_and_time_in_the_history_does_not_go_back)
{
    const char *folder = check_directory();
    exia_library *library = NULL;
    deeds_prepare(folder);
    const char *before = deeds_state(folder, 0);
    back = DAY;
    check_ok(exia_library_open(&library, check_path("library"), NULL, &err));
    assert_int_equal(write_model(library, "m", "yesterday", NULL, "live", 3), 4);
    check_ok(exia_alias_rollback(NULL, library, "m", "live", 4, NULL, &err));
    check_ok(exia_model_remove(library, "m", 4, NULL, &err));
    check_ok(deeds_gc(library, 0, &err));
    check_times(library);
    exia_library_free(library);
    back = -DAY;
    check_ok(exia_library_open(&library, check_path("library"), NULL, &err));
    check_ok(deeds_gc(library, 0, &err));
    check_times(library);
    exia_library_free(library);
    back = 0;
    assert_non_null(strstr(deeds_state(folder, 0), "m@live: 3\n"));
    assert_non_null(strstr(before, "m@live: 3\n"));
    deeds_go_on(folder);
}

/* ---- two catalogues -------------------------------------------------------------------------- */

static int open_pair(int number, void *payload)
{
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options, .blobs_url = payload};
    exia_status rc = exia_library_open(
        &library, check_format("sqlite:%s", check_path(check_format("catalog-%d", number))),
        &options, &err);
    int64_t version = 0;
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    if (rc == EXIA_OK)
        rc = exia_model_write(&version, library, "m", &part, 1, NULL, NULL, &err);
    exia_library_free(library);
    return rc == EXIA_OK || rc == EXIA_ECONFLICT ? 0 : 1;
}

TEST(of_two_catalogues_made_at_once_for_the_same_blobs_one_gets_them)
{
    check_in_memory();
    for (int round = 0; round < 20; round++) {
        char blobs[300];
        int owners = 0;
        snprintf(blobs, sizeof blobs, "file:%s", check_path(check_format("blobs-%d", round)));
        check_processes(2, open_pair, blobs);
        for (int i = 0; i < 2; i++) {
            exia_library *library = NULL;
            const char *catalogue = check_path(check_format("catalog-%d", i));
            exia_library_options options = {.struct_size = sizeof options, .blobs_url = blobs};
            check_reset();
            exia_status rc =
                exia_library_open(&library, check_format("sqlite:%s", catalogue), &options, &err);
            owners += rc == EXIA_OK;
            assert_true(rc == EXIA_OK || rc == EXIA_ECONFLICT);
            exia_library_free(library);
            assert_int_equal(unlink(catalogue), 0);
            (void)unlink(check_format("%s-wal", catalogue));
            (void)unlink(check_format("%s-shm", catalogue));
        }
        assert_int_equal(owners, 1);
    }
}
