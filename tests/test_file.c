/* Files appear whole or not at all, reads are bounded, trees are copied and removed as they are. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "support/check.h"

TEST(a_staged_file_is_invisible_until_it_is_committed)
{
    const char *path = check_path("x");
    exia__staged staged;
    check_ok(exia__stage(&staged, path, 0, &err));
    check_ok(exia__write_all(staged.fd, "new", 3, path, &err));
    assert_false(exia__path_exists(path));
    check_ok(exia__stage_commit(&staged, 0, &err));
    exia__stage_free(&staged);
    char *text = check_read_file(path, NULL);
    assert_string_equal(text, "new");
    free(text);
}

TEST(a_file_that_is_there_is_replaced_only_when_asked_and_nothing_is_left_beside_it)
{
    const char *path = check_path("x");
    check_write_file(path, "old", 3);
    check_fails(EXIA_EEXISTS, exia__file_write(path, "new", 3, 0, &err));
    char *text = check_read_file(path, NULL);
    assert_string_equal(text, "old");
    free(text);
    check_ok(exia__file_write(path, "new", 3, EXIA__REPLACE | EXIA__SECRET, &err));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(check_directory()), 0);
    assert_int_equal(mkdir(check_directory(), 0700), 0);
}

static int write_as_nobody(void)
{
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        return 1;
    if (exia__file_write(check_path("drop/x"), "new", 3, 0, &err) != EXIA_OK)
        return 2;
    return exia__file_write(check_path("drop/x"), "newer", 5, EXIA__REPLACE, &err) == EXIA_OK ? 0
                                                                                              : 3;
}

TEST(a_directory_that_may_be_written_and_not_read_takes_a_file)
{
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    assert_int_equal(chmod(check_directory(), 0755), 0);
    assert_int_equal(mkdir(check_path("drop"), 0700), 0);
    assert_int_equal(chmod(check_path("drop"), 0333), 0);
    assert_int_equal(check_in_child(write_as_nobody), 0);
    char *text = check_read_file(check_path("drop/x"), NULL);
    assert_string_equal(text, "newer");
    free(text);
}

TEST(a_read_is_bounded_and_refuses_what_is_no_regular_file)
{
    char *text = NULL;
    size_t size = 0;
    check_write_file(check_path("x"), "12345", 5);
    check_fails(EXIA_EINVAL, exia__file_read(&text, &size, check_path("x"), 4, &err));
    check_ok(exia__file_read(&text, &size, check_path("x"), 5, &err));
    assert_int_equal(size, 5);
    exia__release(text);
    check_fails(EXIA_EINVAL, exia__file_read(&text, &size, check_directory(), 5, &err));
    assert_int_equal(mkfifo(check_path("fifo"), 0600), 0);
    check_fails(EXIA_EINVAL, exia__file_read(&text, &size, check_path("fifo"), 5, &err));
    check_fails(EXIA_ENOTFOUND, exia__file_read(&text, &size, check_path("none"), 5, &err));
    assert_int_equal(err.native, ENOENT);
    assert_null(text);
}

TEST(a_tree_is_copied_with_links_as_links_and_removed_without_following_them)
{
    const char *from = check_path("from"), *to = check_path("to"), *kept = check_path("kept");
    check_write_file(kept, "k", 1);
    check_ok(exia__directory_make(check_format("%s/a/b", from), &err));
    check_write_file(check_format("%s/a/b/file", from), "x", 1);
    assert_int_equal(symlink(check_directory(), check_format("%s/a/out", from)), 0);
    check_ok(exia__tree_copy(from, to, &err));
    char *text = check_read_file(check_format("%s/a/b/file", to), NULL);
    assert_string_equal(text, "x");
    free(text);
    assert_int_equal(chmod(check_format("%s/a/b", to), 0500), 0);
    check_ok(exia__tree_remove(to, &err));
    check_ok(exia__tree_remove(from, &err));
    check_ok(exia__tree_remove(from, &err));
    assert_true(exia__path_exists(kept));
    assert_false(exia__path_exists(to));
}

TEST(a_tree_of_a_thousand_levels_is_removed)
{
    int fd = open(check_directory(), O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mkdirat(fd, "deep", 0700), 0);
        int next = openat(fd, "deep", O_RDONLY | O_DIRECTORY);
        close(fd);
        assert_true(next >= 0);
        fd = next;
    }
    close(fd);
    check_ok(exia__tree_remove(check_path("deep"), &err));
    assert_false(exia__path_exists(check_path("deep")));
}

TEST(a_copy_refuses_a_fifo_and_a_directory_cannot_lie_on_a_file)
{
    assert_int_equal(mkfifo(check_path("fifo"), 0600), 0);
    check_fails(EXIA_EINVAL, exia__tree_copy(check_path("fifo"), check_path("copy"), &err));
    check_write_file(check_path("file"), "", 0);
    check_fails(EXIA_EINVAL, exia__directory_make(check_path("file"), &err));
    check_fails(EXIA_EINVAL, exia__directory_make(check_path("file/below"), &err));
}
