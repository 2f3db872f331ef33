/* What arrived becomes the blob as it lies there, when nobody else can change it. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support/packages.h"

/* Stands before the C library's: a file system that has no files without a name. */
static int named_only;
int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (named_only && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static ino_t inode(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

/* A pull into home "two" that has all bytes but for the last step. */
static const char *leave_whole(exia_registry *publisher, mode_t mode)
{
    size_t size = 0;
    const char *blob = remote_blob(publisher);
    char *bytes = check_read_file(blob, &size);
    const char *part =
        check_format("%s/%.64s.part", check_path("two/staging"), strrchr(blob, '/') + 1);
    check_write_file(part, bytes, size);
    assert_int_equal(chmod(part, mode), 0);
    free(bytes);
    return part;
}

/* The blob that a home has of its only package. */
static const char *own_blob(exia_registry *registry, const char *home)
{
    return blob_of(registry, NULL, check_path(check_format("%s/packages/blobs", home)));
}

static void change_a_byte(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char byte = 0;
    assert_true(fd >= 0 && pread(fd, &byte, 1, 50) == 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 50), 1);
    close(fd);
}

static int same_bytes(const char *a, const char *b)
{
    size_t one = 0, other = 0;
    char *left = check_read_file(a, &one), *right = check_read_file(b, &other);
    int same = one == other && memcmp(left, right, one) == 0;
    free(left);
    free(right);
    return same;
}

TEST(what_a_pull_has_verified_becomes_the_blob_and_no_byte_is_written_again)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    exia_transfer moved;
    struct stat info;
    const char *part = leave_whole(one, 0600);
    ino_t arrived = inode(part);
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err));
    assert_true(moved.moved == 0 && moved.reused == moved.total);
    assert_int_equal(stat(own_blob(two, "two"), &info), 0);
    assert_int_equal(info.st_ino, arrived);
    assert_true(info.st_nlink == 1 && (info.st_mode & 0222) == 0);
    assert_int_not_equal(access(part, F_OK), 0);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_part_that_others_can_write_to_or_that_has_another_name_is_copied)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    exia_transfer moved;
    for (int linked = 0; linked <= 1; linked++) {
        const char *part = leave_whole(one, linked ? 0600 : 0622);
        int fd = open(part, O_RDWR | O_CLOEXEC); /* somebody's, from before the pull */
        assert_true(fd >= 0);
        if (linked)
            assert_int_equal(link(part, check_path("other name")), 0);
        ino_t arrived = inode(part);
        const exia_transfer_options plan = {.struct_size = sizeof plan, .dry_run = 1};
        check_ok(exia_registry_pull(&moved, two, "x", "prod", &plan, NULL, &err));
        assert_true(moved.reused == moved.total && moved.total > 0);
        check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err));
        assert_int_equal(moved.reused, moved.total);
        assert_true(inode(own_blob(two, "two")) != arrived);
        assert_int_equal(pwrite(fd, "changed", 7, 0), 7);
        close(fd);
        assert_true(same_bytes(own_blob(two, "two"), remote_blob(one)));
        check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
    }
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_pull_that_ended_between_the_blob_and_the_record_goes_on)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    exia_transfer moved;
    const char *part = leave_whole(one, 0444);
    const char *folder = check_path("two/packages/blobs/packages");
    const char *blob = check_format("%s/%.64s.veda", folder, strrchr(part, '/') + 1);
    ino_t arrived = inode(part);
    for (int linked = 0; linked <= 1; linked++) {
        if (linked) {
            check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
            leave_whole(one, 0444);
            arrived = inode(part);
            assert_int_equal(link(part, blob), 0);
        }
        check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err));
        assert_true(moved.moved == 0 && moved.reused == moved.total);
        assert_int_equal(inode(own_blob(two, "two")), arrived);
        assert_int_not_equal(access(part, F_OK), 0);
    }
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_finished_part_that_went_bad_is_left_to_who_has_it_and_all_is_fetched)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    exia_transfer moved;
    const char *part = leave_whole(one, 0600);
    change_a_byte(part);
    const char *other = check_path("other name"), *kept = check_path("kept");
    size_t size = 0;
    char *bytes = check_read_file(part, &size);
    check_write_file(kept, bytes, size);
    free(bytes);
    assert_true(link(part, other) == 0 && chmod(part, 0444) == 0);
    check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err));
    assert_int_equal(moved.moved, moved.total);
    assert_true(same_bytes(other, kept)); /* as a blob it may be mapped */
    assert_true(same_bytes(own_blob(two, "two"), remote_blob(one)));
    exia_registry_free(one);
    exia_registry_free(two);
    assert_int_equal(rmdir(check_path("two/staging")), 0);
}

/* As the power may leave it, or a record that gives the file another size. */
TEST(a_finished_part_of_another_size_is_not_written_to_and_all_is_fetched)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    exia_transfer moved;
    const char *other = check_path("other name"), *kept = check_path("kept");
    for (int longer = 0; longer <= 1; longer++) {
        const char *part = leave_whole(one, 0600);
        struct stat info;
        size_t size = 0;
        assert_int_equal(stat(part, &info), 0);
        assert_int_equal(truncate(part, longer ? info.st_size + 100 : 100), 0);
        char *bytes = check_read_file(part, &size);
        check_write_file(kept, bytes, size);
        free(bytes);
        assert_true(link(part, other) == 0 && chmod(part, 0444) == 0);
        check_ok(exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err));
        assert_int_equal(moved.moved, moved.total);
        assert_true(same_bytes(other, kept));
        assert_true(same_bytes(own_blob(two, "two"), remote_blob(one)));
        assert_int_equal(unlink(other), 0);
        check_ok(exia_registry_unregister(two, "x@1.0", NULL, &err));
    }
    exia_registry_free(one);
    exia_registry_free(two);
}

enum { NOBODY = 65534 };

static const char *kept_part, *kept_blob;
static int pull_as_nobody(void)
{
    exia_registry *two = NULL;
    exia_transfer moved = {0};
    size_t size = 0;
    char *bytes = check_read_file(kept_blob, &size);
    if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 1;
    exia_status rc = exia_registry_open(&two, check_path("two"), &err);
    check_write_file(kept_part, bytes, size);
    chmod(kept_part, 0444);
    free(bytes);
    if (rc == EXIA_OK)
        rc = exia_registry_pull(&moved, two, "x", "prod", NULL, NULL, &err);
    if (rc < 0)
        print_message("%s\n", err.text);
    exia_registry_free(two);
    return rc < 0 ? 2 : moved.moved == 0 ? 0 : 3;
}

TEST(a_finished_part_is_locked_by_who_may_not_write_to_it)
{
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    kept_blob = remote_blob(one);
    kept_part = leave_whole(one, 0444);
    assert_int_equal(unlink(kept_part), 0);
    exia_registry_free(one);
    exia_registry_free(two);
    assert_int_equal(chmod(check_directory(), 0755), 0);
    assert_int_equal(system(check_format("chown -R %d:%d '%s'", NOBODY, NOBODY, check_path("two"))),
                     0);
    assert_int_equal(check_in_child(pull_as_nobody), 0);
}

/* ---- register -------------------------------------------------------------------------------- */

TEST(a_register_keeps_a_copy_that_the_file_does_not_change)
{
    for (named_only = 0; named_only <= 1; named_only++) {
        exia_registry *home = open_home(check_format("home%d", named_only));
        const char *file = pack("x", "1.0"), *kept = check_path("kept");
        size_t size = 0;
        char *bytes = check_read_file(file, &size);
        check_write_file(kept, bytes, size);
        free(bytes);
        check_ok(exia_registry_register(home, file, NULL, NULL, &err));
        change_a_byte(file);
        const char *blob = own_blob(home, check_format("home%d", named_only));
        assert_true(same_bytes(blob, kept));
        assert_false(same_bytes(blob, file));
        check_fails(EXIA_ECORRUPT, exia_registry_register(home, file, NULL, NULL, &err));
        exia_registry_free(home);
    }
    named_only = 0;
}

TEST(a_register_of_what_is_damaged_or_known_stores_nothing)
{
    exia_registry *home = open_home("home");
    const char *file = pack("x", "1.0"), *other = pack("y", "1.0");
    change_a_byte(other);
    check_ok(exia_registry_register(home, file, NULL, NULL, &err));
    check_ok(exia_registry_register(home, file, NULL, NULL, &err));
    check_fails(EXIA_ECORRUPT, exia_registry_register(home, other, NULL, NULL, &err));
    exia_registry_free(home);
    assert_int_equal(rmdir(check_path("home/staging")), 0);
    assert_int_equal(system(check_format("test $(find '%s' -type f | wc -l) = 1",
                                         check_path("home/packages/blobs"))),
                     0);
}

/* ---- who waits --------------------------------------------------------------------------------- */

typedef struct watch {
    const char *part;
    int verifying, young; /* how often that was told, and how often the file was young then */
} watch;

/* Each time the file is made old, and so much time passes that the next step tells as well. */
static int look_at_part(const char *step, uint64_t done, uint64_t total, void *payload)
{
    static const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    static const struct timespec pause = {.tv_nsec = 110000000};
    watch *now = payload;
    struct stat info;
    (void)done, (void)total;
    if (stat(now->part, &info) != 0)
        return 0;
    if (strcmp(step, "verifying") == 0) {
        now->verifying++;
        now->young += info.st_mtim.tv_sec > 1000;
    }
    assert_int_equal(utimensat(AT_FDCWD, now->part, old, 0), 0);
    nanosleep(&pause, NULL);
    return 0;
}

TEST(who_waits_for_a_pull_sees_that_it_goes_on_while_it_verifies)
{
    exia_registry *one = open_publisher(), *two = open_home_with_remote("two");
    watch now = {.part = leave_whole(one, 0600)};
    const exia_job job = {
        .struct_size = sizeof job, .progress = look_at_part, .payload = &now, .threads = 1};
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, &job, &err));
    assert_true(now.verifying > 1);
    assert_int_equal(now.young, now.verifying);
    exia_registry_free(one);
    exia_registry_free(two);
}
