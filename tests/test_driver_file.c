/* The file: driver keeps the contract of blobs, and what only a directory can be made to suffer. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/url.h"
#include "conformance/conformance.h"

static const char *make_url(const char *place)
{
    char *url = NULL;
    check_ok(exia__url_from_path(&url, "file", check_path(place), &err));
    const char *kept = check_format("%s", url);
    exia__release(url);
    return kept;
}

const conformance_target conformance = {
    .name = "file",
    .url = make_url,
    .many_processes = 1,
    .has_local = 1,
    .has_create = 1,
    .composes = 1,
};
CONFORMS_TO(blobs);
CONFORMS_TO(compose);
CONFORMS_TO(put_as);
CONFORMS_TO(adopt);

/* Stands before the C library's: a file system that does not know RENAME_NOREPLACE. */
static int forget_noreplace;
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    if (forget_noreplace) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
}

/* And a disk that fails to sync, or is only counted. */
static int syncs, sync_fails;
int fsync(int fd)
{
    syncs++;
    if (sync_fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static exia__blobs *open_blobs(int mode)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, make_url("a"), mode, NULL, &err));
    return blobs;
}

static exia_status put(exia__blobs *blobs, const char *key, const char *text)
{
    exia_source source = exia__source_memory(text, strlen(text));
    return exia__blobs_put(blobs, key, &source, NULL, &err);
}

static exia_status sink(const void *data, size_t size, void *payload, exia_error *error)
{
    (void)data;
    (void)error;
    *(uint64_t *)payload += size;
    return EXIA_OK;
}

static exia_status get(exia__blobs *blobs, const char *key)
{
    uint64_t size = 0;
    return exia__blobs_get(blobs, key, 0, UINT64_MAX, sink, &size, NULL, &err);
}

static exia_status count_blob(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                              exia_error *error)
{
    (void)key;
    (void)size;
    (void)modified_ms;
    (void)error;
    ++*(int *)payload;
    return EXIA_OK;
}

static int count_blobs(exia__blobs *blobs)
{
    int count = 0;
    check_ok(exia__blobs_list(blobs, "", count_blob, &count, NULL, &err));
    return count;
}

/* How many files lie in .staging. */
static int count_staged(void)
{
    int count = 0, status = 0;
    const char *list = check_format("find '%s/.staging' -type f | wc -l > '%s'", check_path("a"),
                                    check_path("count"));
    status = system(list);
    assert_int_equal(status, 0);
    char *text = check_read_file(check_path("count"), NULL);
    count = atoi(text);
    free(text);
    return count;
}

/* ---- what others put into the directory ----------------------------------------------------- */

TEST(a_link_in_the_tree_is_never_followed)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    struct stat info;
    assert_int_equal(mkdir(check_path("outside"), 0755), 0);
    check_write_file(check_path("outside/secret"), "secret", 6);
    assert_int_equal(symlink("../outside", check_path("a/dir")), 0);
    assert_int_equal(symlink("../outside/secret", check_path("a/file")), 0);
    assert_int_equal(symlink("nowhere", check_path("a/dangling")), 0);
    char *path = NULL;
    static const char *const keys[] = {"dir/secret", "file", "dangling", "dir/new"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        check_fails(EXIA_ECORRUPT, get(blobs, keys[i]));
        check_fails(EXIA_ECORRUPT, exia__blobs_stat(NULL, NULL, blobs, keys[i], NULL, &err));
        check_fails(EXIA_ECORRUPT, exia__blobs_touch(blobs, keys[i], NULL, &err));
        check_fails(EXIA_ECORRUPT, exia__blobs_local(&path, blobs, keys[i], &err));
        check_fails(EXIA_ECORRUPT, put(blobs, keys[i], "x"));
    }
    check_fails(EXIA_ECORRUPT, exia__blobs_remove(blobs, "dir/secret", NULL, &err));
    assert_int_equal(count_blobs(blobs), 0);
    check_ok(exia__blobs_remove(blobs, "file", NULL, &err)); /* the link, not what it points to */
    assert_int_equal(stat(check_path("outside/secret"), &info), 0);
    assert_true(stat(check_path("outside/new"), &info) != 0 &&
                stat(check_path("nowhere"), &info) != 0);
    exia__blobs_free(blobs);
}

TEST(a_link_for_the_staging_directory_is_refused)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    int64_t ms = 0;
    assert_int_equal(mkdir(check_path("outside"), 0755), 0);
    assert_int_equal(symlink("../outside", check_path("a/.staging")), 0);
    check_fails(EXIA_ECORRUPT, put(blobs, "k", "x"));
    check_fails(EXIA_ECORRUPT, exia__blobs_now(&ms, blobs, NULL, &err));
    exia__blobs_free(blobs);
    blobs = open_blobs(EXIA_STORE_WRITE); /* nor does the sweep follow it */
    exia__blobs_free(blobs);
}

TEST(a_fifo_or_a_foreign_name_is_no_blob)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    assert_int_equal(mkfifo(check_path("a/fifo"), 0666), 0);
    check_write_file(check_path("a/README"), "", 0);
    check_write_file(check_path("a/.hidden"), "", 0);
    check_write_file(check_path("a/with space"), "", 0);
    check_fails(EXIA_ECORRUPT, get(blobs, "fifo"));
    check_text("no regular file");
    check_fails(EXIA_ECORRUPT, put(blobs, "fifo", "x"));
    check_fails(EXIA_EINVAL, get(blobs, "README"));
    assert_int_equal(count_blobs(blobs), 0);
    exia__blobs_free(blobs);
}

TEST(a_key_is_no_folder_of_another)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    check_ok(put(blobs, "a/b", "x"));
    check_fails(EXIA_EINVAL, put(blobs, "a/b/c", "x"));
    check_text("another blob's key");
    check_fails(EXIA_EINVAL, put(blobs, "a", "x"));
    check_text("other blobs lie below");
    assert_int_equal(count_blobs(blobs), 1);
    assert_int_equal(count_staged(), 0);
    exia__blobs_free(blobs);
}

TEST(what_is_no_directory_is_refused)
{
    exia__blobs *blobs = NULL;
    check_write_file(check_path("a"), "x", 1);
    check_fails(EXIA_EINVAL, exia__blobs_open(&blobs, make_url("a"), EXIA_STORE_WRITE, NULL, &err));
    check_fails(EXIA_EINVAL,
                exia__blobs_open(&blobs, make_url("a/b"), EXIA_STORE_WRITE, NULL, &err));
    assert_null(blobs);
}

/* ---- modes, places -------------------------------------------------------------------------- */

TEST(blobs_are_read_only_files_less_the_umask)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    struct stat info;
    mode_t kept = umask(027);
    check_ok(put(blobs, "d/k", "x"));
    umask(kept);
    assert_int_equal(stat(check_path("a/d/k"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0440);
    exia__blobs_free(blobs);
}

/* A file of ours that is to become a blob. */
static int make_file(const char *text)
{
    int fd = open(check_path("mine"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

static exia_status adopt(exia__blobs *blobs, const char *key, int fd)
{
    exia_source source = exia__source_file(&fd, 4);
    return exia__blobs_adopt(blobs, key, fd, &source, NULL, &err);
}

TEST(an_adopted_file_is_the_blob_and_has_the_rights_of_the_others)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    struct stat info, ours;
    int fd = make_file("text");
    mode_t kept = umask(027);
    check_ok(adopt(blobs, "d/k", fd));
    umask(kept);
    assert_true(stat(check_path("a/d/k"), &info) == 0 && fstat(fd, &ours) == 0);
    assert_int_equal(info.st_mode & 07777, 0440);
    assert_int_equal(info.st_ino, ours.st_ino);
    assert_int_equal(count_staged(), 0);
    close(fd);
    exia__blobs_free(blobs);
}

TEST(a_file_without_a_name_gets_one)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    int fd = open(check_directory(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, "text", 4) == 4);
    check_ok(adopt(blobs, "k", fd));
    close(fd);
    check_ok(get(blobs, "k"));
    exia__blobs_free(blobs);
}

TEST(a_file_of_another_file_system_is_copied)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    int fd = memfd_create("elsewhere", MFD_CLOEXEC);
    uint64_t size = 0;
    assert_true(fd >= 0 && write(fd, "text", 4) == 4);
    check_ok(adopt(blobs, "k", fd));
    close(fd);
    check_ok(exia__blobs_stat(&size, NULL, blobs, "k", NULL, &err));
    assert_int_equal(size, 4);
    exia__blobs_free(blobs);
}

TEST(what_cannot_be_synced_is_not_adopted)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    int fd = make_file("text");
    sync_fails = 1;
    check_fails(EXIA_EIO, adopt(blobs, "k", fd));
    sync_fails = 0;
    assert_int_equal(count_blobs(blobs), 0);
    check_ok(adopt(blobs, "k", fd));
    close(fd);
    exia__blobs_free(blobs);
}

TEST(a_relative_path_stays_where_it_was_when_the_process_moves)
{
    exia__blobs *blobs = NULL;
    char *path = NULL, *here = getcwd(NULL, 0);
    assert_int_equal(chdir(check_directory()), 0);
    check_ok(exia__blobs_open(&blobs, "file:rel/blobs", EXIA_STORE_WRITE, NULL, &err));
    assert_int_equal(chdir(here), 0);
    check_ok(put(blobs, "k", "x"));
    check_ok(exia__blobs_local(&path, blobs, "k", &err));
    assert_int_equal(path[0], '/');
    assert_int_equal(access(path, R_OK), 0);
    assert_int_equal(access(check_path("rel/blobs/k"), R_OK), 0);
    exia__release(path);
    exia__blobs_free(blobs);
    free(here);
}

TEST(where_rename_cannot_refuse_to_replace_a_link_does)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    forget_noreplace = 1;
    exia_status first = put(blobs, "d/k", "first"), second = put(blobs, "d/k", "second");
    forget_noreplace = 0;
    assert_int_equal(first, EXIA_OK);
    assert_int_equal(second, EXIA_EEXISTS);
    assert_int_equal(count_staged(), 0);
    uint64_t size = 0;
    check_ok(exia__blobs_stat(&size, NULL, blobs, "d/k", NULL, &err));
    assert_int_equal(size, 5);
    exia__blobs_free(blobs);
}

static int syncs_of_touch(exia__blobs *blobs, const char *key)
{
    syncs = 0;
    check_ok(exia__blobs_touch(blobs, key, NULL, &err));
    return syncs;
}

TEST(a_touch_syncs_the_way_to_a_file_once)
{
    exia__blobs *writer = open_blobs(EXIA_STORE_WRITE), *blobs = open_blobs(EXIA_STORE_WRITE);
    const char *long_key = check_format("%0100d/k", 7);
    check_ok(put(writer, "a/b/k", "text"));
    check_ok(put(writer, "a/b/l", "text"));
    check_ok(put(writer, long_key, "text"));
    sync_fails = 1;
    check_fails(EXIA_EIO, exia__blobs_touch(blobs, "a/b/k", NULL, &err));
    sync_fails = 0;
    assert_int_equal(syncs_of_touch(blobs, "a/b/k"), 3); /* a failed one does not count */
    assert_in_range(syncs_of_touch(blobs, "a/b/k"), 0, 3);
    const int remembers = syncs == 0; /* the file system tells when a file was born */
    assert_int_equal(syncs_of_touch(blobs, "a/b/l"), 3);
    assert_int_equal(syncs_of_touch(blobs, "a/b/l"), remembers ? 0 : 3);
    assert_int_equal(syncs_of_touch(blobs, long_key), 2); /* too long to be remembered */
    assert_int_equal(syncs_of_touch(blobs, long_key), 2);
    check_ok(exia__blobs_remove(writer, "a/b/l", NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia__blobs_touch(blobs, "a/b/l", NULL, &err));
    check_ok(put(writer, "a/b/l", "text"));
    assert_int_equal(syncs_of_touch(blobs, "a/b/l"), 3); /* it is another file */
    exia__blobs_free(writer);
    exia__blobs_free(blobs);
}

TEST(a_store_whose_directory_vanished_says_so)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    check_ok(put(blobs, "k", "x"));
    assert_int_equal(system(check_format("rm -r '%s'", check_path("a"))), 0);
    check_fails(EXIA_ENOTFOUND, get(blobs, "k"));
    check_fails(EXIA_ENOTFOUND, put(blobs, "d/k", "x"));
    exia__blobs_free(blobs);
}

/* ---- crashes -------------------------------------------------------------------------------- */

static exia_status die_at_the_end(void *into, uint64_t offset, size_t size, void *payload,
                                  exia_error *error)
{
    (void)error;
    memset(into, 'x', size);
    if (offset + size >= *(uint64_t *)payload)
        raise(SIGKILL);
    return EXIA_OK;
}

static int put_and_die(void)
{
    exia__blobs *blobs = NULL;
    uint64_t end = 3 << 20;
    exia_source source = {.read = die_at_the_end, .size = end, .payload = &end};
    if (exia__blobs_open(&blobs, make_url("a"), EXIA_STORE_WRITE, NULL, &err) == EXIA_OK)
        exia__blobs_put(blobs, "d/k", &source, NULL, &err);
    return 0;
}

TEST(a_killed_put_leaves_nothing_but_a_leftover_that_is_swept_when_old)
{
    assert_int_equal(check_in_child(put_and_die), 128 + SIGKILL);
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    assert_int_equal(count_blobs(blobs), 0);
    check_fails(EXIA_ENOTFOUND, get(blobs, "d/k"));
    assert_int_equal(count_staged(), 1); /* young: it may be somebody's put that runs */
    check_ok(put(blobs, "d/k", "whole"));
    exia__blobs_free(blobs);
    assert_int_equal(system(check_format("find '%s' -type f -exec touch -d '2 days ago' '{}' +",
                                         check_path("a"))),
                     0);
    blobs = open_blobs(EXIA_STORE_READ);
    assert_int_equal(count_staged(), 1); /* a reader changes nothing */
    exia__blobs_free(blobs);
    blobs = open_blobs(EXIA_STORE_WRITE);
    assert_int_equal(count_staged(), 0);
    assert_int_equal(count_blobs(blobs), 1); /* the old blob is not swept */
    exia__blobs_free(blobs);
}

/* ---- permissions and space ------------------------------------------------------------------ */

enum { NOBODY = 65534 };

static int use_as_nobody(void)
{
    exia__blobs *blobs = NULL;
    if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 1;
    if (exia__blobs_open(&blobs, make_url("a"), EXIA_STORE_READ, NULL, &err) != EXIA_OK)
        return 2;
    int64_t ms = 0;
    int count = 0;
    if (get(blobs, "d/k") != EXIA_OK || exia__blobs_now(&ms, blobs, NULL, &err) != EXIA_OK ||
        exia__blobs_list(blobs, "", count_blob, &count, NULL, &err) != EXIA_OK || count != 1)
        return 3;
    exia__blobs_free(blobs);
    if (exia__blobs_open(&blobs, make_url("a"), EXIA_STORE_WRITE, NULL, &err) != EXIA_OK)
        return 4;
    if (put(blobs, "d/new", "x") != EXIA_EDENIED || put(blobs, "new", "x") != EXIA_EDENIED ||
        exia__blobs_touch(blobs, "d/k", NULL, &err) != EXIA_EDENIED ||
        exia__blobs_remove(blobs, "d/k", NULL, &err) != EXIA_EDENIED || err.native != EACCES)
        return 5;
    exia__blobs_free(blobs);
    return exia__blobs_open(&blobs, make_url("other"), EXIA_STORE_WRITE, NULL, &err) == EXIA_EDENIED
               ? 0
               : 6;
}

TEST(who_may_not_write_reads_and_is_denied_the_rest)
{
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    check_ok(put(blobs, "d/k", "x"));
    assert_int_equal(chmod(check_directory(), 0755), 0);
    assert_int_equal(check_in_child(use_as_nobody), 0);
    check_ok(get(blobs, "d/k"));
    exia__blobs_free(blobs);
}

static int list_as_nobody(void)
{
    exia__blobs *blobs = NULL;
    int count = 0;
    if (setresuid(NOBODY, NOBODY, NOBODY) != 0 && geteuid() == 0)
        return 1;
    if (exia__blobs_open(&blobs, make_url("a"), EXIA_STORE_READ, NULL, &err) != EXIA_OK)
        return 2;
    exia_status rc = exia__blobs_list(blobs, "", count_blob, &count, NULL, &err);
    exia__blobs_free(blobs);
    return rc == EXIA_EDENIED && count == 0 ? 0 : 3;
}

TEST(what_cannot_be_looked_at_is_no_shorter_listing)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    check_ok(put(blobs, "d/k", "x"));
    assert_int_equal(chmod(check_directory(), 0755), 0);
    assert_int_equal(chmod(check_path("a/d"), 0444), 0);
    assert_int_equal(check_in_child(list_as_nobody), 0);
    assert_int_equal(chmod(check_path("a/d"), 0755), 0);
    exia__blobs_free(blobs);
}

enum { CANNOT_MOUNT = 77 };

static int fill_the_disk(void)
{
    exia__blobs *blobs = NULL;
    size_t size = 4 << 20;
    char *bytes = calloc(1, size);
    exia_source large = exia__source_memory(bytes, size);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") != 0 ||
        mkdir(check_path("a"), 0755) != 0 ||
        mount("none", check_path("a"), "tmpfs", 0, "size=1m") != 0)
        return CANNOT_MOUNT;
    if (exia__blobs_open(&blobs, make_url("a"), EXIA_STORE_WRITE, NULL, &err) != EXIA_OK ||
        put(blobs, "small", "x") != EXIA_OK)
        return 2;
    for (int i = 0; i < 3; i++) {
        if (exia__blobs_put(blobs, "large", &large, NULL, &err) != EXIA_ENOSPACE ||
            err.status != EXIA_ENOSPACE)
            return 3;
    }
    int count = 0;
    if (exia__blobs_list(blobs, "", count_blob, &count, NULL, &err) != EXIA_OK || count != 1)
        return 4;
    if (put(blobs, "after", "x") != EXIA_OK || get(blobs, "small") != EXIA_OK ||
        count_staged() != 0)
        return 5;
    exia__blobs_free(blobs);
    free(bytes);
    return 0;
}

TEST(a_full_disk_stores_nothing_and_keeps_nothing)
{
    int code = check_in_child(fill_the_disk);
    if (code == CANNOT_MOUNT) {
        print_message("only root with mount namespaces can make a small disk\n");
        skip();
    }
    assert_int_equal(code, 0);
}

/* ---- pieces of other blobs -------------------------------------------------------------------- */

static void put_text(exia__blobs *blobs, const char *key, const char *text)
{
    exia_source source = exia__source_memory(text, strlen(text));
    check_ok(exia__blobs_put(blobs, key, &source, NULL, &err));
}

TEST(what_is_not_what_its_digest_says_is_not_made_of_pieces)
{
    exia__blobs *blobs = NULL;
    char hex[EXIA__HEX_SIZE];
    uint64_t copied = 99;
    check_ok(exia__blobs_open(&blobs, make_url("a"), EXIA_STORE_WRITE, NULL, &err));
    put_text(blobs, "other", "xxxxxxxxxx");
    check_ok(exia__hash_hex(hex, "0123456789", 10, &err));
    exia_source source = exia__source_memory("0123456789", 10);
    source.sha256 = hex;
    const exia_piece lie = {2, 5, "other", 1};
    check_ok(exia__blobs_compose(&copied, blobs, "k", &source, &lie, 1, NULL, &err));
    assert_int_equal(copied, 0);
    char *text = check_read_file(check_path("a/k"), NULL);
    assert_memory_equal(text, "0123456789", 10);
    free(text);
    exia__blobs_free(blobs);
}
