/* Packages from a pipe or socket: what comes is verified as it comes, and shown when it is whole. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "support/forged.h"
#include "support/models.h"
#include "support/workspaces.h"

/* Bytes that a thread writes into a pipe, so many at a time. */
typedef struct sender {
    pthread_t thread;
    int from, to;
    const char *data;
    size_t size, step;
} sender;

static void *send_all(void *payload)
{
    sender *s = payload;
    for (size_t at = 0; at < s->size; at += s->step) {
        size_t more = s->size - at < s->step ? s->size - at : s->step;
        if (exia__write_all(s->to, s->data + at, more, "pipe", NULL) < 0)
            break; /* the reader has seen enough */
    }
    close(s->to);
    return NULL;
}

static exia_status receive_sent(sender *s, const char *directory, uint32_t threads)
{
    exia_job job = {.struct_size = sizeof job, .threads = threads};
    assert_int_equal(pthread_create(&s->thread, NULL, send_all, s), 0);
    exia_status rc = exia_package_receive(NULL, s->from, directory, NULL, &job, &err);
    close(s->from);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    return rc;
}

static sender open_pipe(const char *data, size_t size, size_t step)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    return (sender){.from = ends[0], .to = ends[1], .data = data, .size = size, .step = step};
}

static char *small_package(size_t *size)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'l', "z", "a/f");
    char *data = check_read_file(forged_file(&f), size);
    forge_free(&f);
    return data;
}

static exia_status receive_file(const char *path, const char *directory)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    exia_status rc = exia_package_receive(NULL, fd, directory, NULL, NULL, &err);
    close(fd);
    return rc;
}

/* ---- what is refused ---- */

TEST(what_is_no_open_file_is_refused)
{
    exia_package *package = (exia_package *)1;
    int fd = open(check_directory(), O_RDONLY | O_CLOEXEC);
    check_fails(EXIA_EINVAL, exia_package_receive(&package, -1, NULL, NULL, NULL, &err));
    assert_null(package);
    check_fails(EXIA_EINVAL, exia_package_receive(&package, fd, "", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_receive(&package, fd, NULL, NULL, NULL, &err));
    check_text("cannot read the stream");
    close(fd);
    fd = open(check_path("x"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    check_fails(EXIA_EIO, exia_package_receive(&package, fd, NULL, NULL, NULL, &err));
    close(fd);
}

TEST(a_stream_of_something_else_is_refused_and_named)
{
    exia_receive_options options = {.struct_size = sizeof options, .name = "what came"};
    static const char *const texts[][2] = {
        {"", "is no package, or cut short"},
        {"x", "is no package, or cut short"},
        {"PK\3\4 and more", "is a .zip archive, which is no package"},
        {"\x1f\x8b\x08 and more", "is a .gz file, which is no package"},
        {"more than eight bytes", "does not begin with a frame of zstd"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *path = check_path("other");
        write_text(path, texts[i][0]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        check_fails(EXIA_ECORRUPT, exia_package_receive(NULL, fd, NULL, &options, NULL, &err));
        check_text("what came is ");
        check_text(texts[i][1]);
        close(fd);
    }
}

TEST(a_stream_cut_short_anywhere_is_refused)
{
    size_t size = 0;
    char *data = small_package(&size);
    const char *file = check_path("cut.veda"), *to = check_path("to");
    check_write_file(file, data, size);
    check_ok(receive_file(file, NULL));
    for (size_t left = size; left-- > 0;) {
        assert_int_equal(truncate(file, (off_t)left), 0);
        check_fails(EXIA_ECORRUPT, receive_file(file, to));
        assert_false(exia__path_exists(to));
    }
    free(data);
}

TEST(what_lies_behind_a_package_is_refused)
{
    size_t size = 0;
    char *data = small_package(&size), *twice = malloc(2 * size);
    memcpy(twice, data, size);
    memcpy(twice + size, data, size);
    for (size_t more = 1; more <= size; more += size - 1) {
        sender s = open_pipe(twice, size + more, size);
        check_fails(EXIA_ECORRUPT, receive_sent(&s, check_path("to"), 2));
        check_text("behind");
        assert_false(exia__path_exists(check_path("to")));
    }
    free(twice);
    free(data);
}

TEST(a_file_larger_than_what_is_free_is_refused_before_it_is_written)
{
    forge f;
    forge_begin(&f);
    f.entries[1].size = f.recorded[1].size = (uint64_t)1 << 50;
    f.entries[1].type = 'f';
    f.content[1] = NULL; /* its header is enough */
    const char *file = forged_file(&f);
    check_fails(EXIA_ENOSPACE, receive_file(file, check_path("to")));
    check_text("\"a/f\" needs 1125899906842624 bytes");
    assert_false(exia__path_exists(check_path("to")));
    forge_free(&f);
}

TEST(a_directory_that_is_not_empty_is_refused_before_anything_is_read)
{
    sender s = open_pipe(NULL, 0, 1);
    write_text(check_path("file"), "x");
    check_fails(EXIA_EEXISTS,
                exia_package_receive(NULL, s.from, check_directory(), NULL, NULL, &err));
    check_fails(EXIA_EEXISTS,
                exia_package_receive(NULL, s.from, check_path("file"), NULL, NULL, &err));
    close(s.from);
    close(s.to);
}

/* ---- waiting ---- */

static int stop(const char *what, uint64_t done, uint64_t total, void *payload)
{
    (void)what, (void)done, (void)total, (void)payload;
    return 1;
}

TEST(a_stream_from_which_nothing_comes_is_given_up)
{
    size_t size = 0;
    char *data = small_package(&size);
    exia_job stalled = {.struct_size = sizeof stalled, .timeout_ms = 1};
    exia_job late = {.struct_size = sizeof late, .total_ms = 1};
    exia_job stopped = {.struct_size = sizeof stopped, .progress = stop};
    for (uint32_t threads = 1; threads <= 8; threads *= 2) {
        sender s = open_pipe(data, size / 2, size);
        stalled.threads = late.threads = stopped.threads = threads;
        assert_int_equal(write(s.to, data, size / 2), size / 2);
        check_fails(EXIA_ETIMEOUT, exia_package_receive(NULL, s.from, NULL, NULL, &stalled, &err));
        check_text("nothing came for 1 ms");
        check_fails(EXIA_ETIMEOUT, exia_package_receive(NULL, s.from, NULL, NULL, &late, &err));
        check_text("1 ms allowed");
        check_fails(EXIA_ECANCELLED,
                    exia_package_receive(NULL, s.from, NULL, NULL, &stopped, &err));
        close(s.from);
        close(s.to);
    }
    free(data);
}

/* Whoever writes waits for an answer: it must not wait for the rest of what is bad. */
TEST(what_is_wrong_is_told_while_the_stream_is_still_open)
{
    forge f;
    forge_begin(&f);
    f.entries[0].path = "../a";
    f.cut = 1 << 20;
    size_t size = 0;
    char *data = check_read_file(forged_file(&f), &size);
    for (uint32_t threads = 1; threads <= 8; threads *= 2) {
        exia_job job = {
            .struct_size = sizeof job, .threads = threads, .timeout_ms = INT64_C(3600000)};
        sender s = open_pipe(data, size, size);
        /* the first frame, and a little of the next */
        size_t first = f.frames[0].packed.size;
        assert_int_equal(write(s.to, data, first + 3), first + 3);
        check_fails(EXIA_ECORRUPT,
                    exia_package_receive(NULL, s.from, check_path("to"), NULL, &job, &err));
        check_text("\"../a\" has a part");
        close(s.from);
        close(s.to);
    }
    forge_free(&f);
    free(data);
}

/* ---- what comes out ---- */

TEST(a_package_that_comes_byte_by_byte_is_good)
{
    size_t size = 0;
    char *data = small_package(&size);
    sender s = open_pipe(data, size, 1);
    check_ok(receive_sent(&s, check_path("to"), 2));
    char *text = check_read_file(check_path("to/z"), &size);
    assert_string_equal(text, "hello");
    free(text);
    free(data);
}

TEST(what_is_received_is_what_was_packed_with_any_number_of_threads)
{
    const char *from = make_workspace("w");
    struct stat a, b;
    make_directory(check_format("%s/deep", from));
    make_directory(check_format("%s/nothing in it", from));
    make_large(check_format("%s/deep/large", from), (9 << 20) + 5, 1);
    make_large(check_format("%s/deep/block", from), 1024, 2);
    write_text(check_format("%s/empty", from), "");
    write_text(check_format("%s/new\nline \xff", from), "x");
    assert_int_equal(symlink("../empty", check_format("%s/deep/link", from)), 0);
    assert_int_equal(link(check_format("%s/deep/large", from), check_format("%s/same", from)), 0);
    assert_int_equal(chmod(check_format("%s/deep/block", from), 0400), 0);
    assert_int_equal(chmod(check_format("%s/nothing in it", from), 0511), 0);
    const char *file = check_path("out.veda");
    check_ok(pack_from(from, file));
    size_t size = 0;
    char *data = check_read_file(file, &size);
    for (uint32_t threads = 1; threads <= 8; threads *= 2) {
        const char *to = check_path(check_format("to-%u", threads));
        sender s = open_pipe(data, size, 100001);
        check_ok(receive_sent(&s, to, threads));
        assert_int_equal(system(check_format("diff -r --no-dereference '%s' '%s'", from, to)), 0);
        assert_int_equal(stat(check_format("%s/same", to), &a), 0);
        assert_int_equal(stat(check_format("%s/deep/large", to), &b), 0);
        assert_int_equal(a.st_ino, b.st_ino);
        /* modes and all: packed again it is the same package */
        check_ok(pack_from(to, check_path("again.veda")));
        assert_int_equal(system(check_format("cmp '%s' '%s'", file, check_path("again.veda"))), 0);
    }
    free(data);
}

TEST(a_socket_gives_a_package_that_tells_all_but_its_payload)
{
    int ends[2];
    size_t size = 0;
    char *data = small_package(&size);
    exia_package *package = NULL, *came = NULL;
    exia_rows *rows = NULL, *again = NULL;
    check_write_file(check_path("x.veda"), data, size);
    check_ok(exia_package_open(&package, check_path("x.veda"), &err));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(write(ends[1], data, size), size);
    close(ends[1]);
    check_ok(exia_package_receive(&came, ends[0], NULL, NULL, NULL, &err));
    close(ends[0]);
    assert_string_equal(exia_package_facts(came), exia_package_facts(package));
    check_ok(exia_package_files(&rows, package, &err));
    check_ok(exia_package_files(&again, came, &err));
    assert_string_equal(rows_text(again), rows_text(rows));
    check_ok(exia_package_signatures(&rows, came, NULL, &err));
    assert_string_equal(rows_text(rows), "");
    exia_verify_options quick = {.struct_size = sizeof quick, .quick = 1};
    char byte = 0;
    check_ok(exia_package_verify(came, &quick, NULL, &err));
    check_fails(EXIA_EUNSUPPORTED, exia_package_verify(came, NULL, NULL, &err));
    check_text("came as a stream");
    check_fails(EXIA_EUNSUPPORTED, exia_package_read(&byte, came, "a/f", 0, 1, NULL, &err));
    check_fails(EXIA_EUNSUPPORTED, exia_package_unpack(came, check_path("to"), NULL, NULL, &err));
    assert_false(exia__path_exists(check_path("to")));
    exia_package_free(package);
    exia_package_free(came);
    free(data);
}

/* ---- failures ---- */

static exia_status receive_again(void *payload, exia_error *error)
{
    exia_job job = {.struct_size = sizeof job, .threads = 1};
    const char *to = check_path("memory");
    int fd = *(int *)payload;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    exia_status rc = exia_package_receive(NULL, fd, to, NULL, &job, error);
    assert_int_equal(exia__path_exists(to), rc == EXIA_OK);
    return rc == EXIA_OK ? exia__tree_remove(to, error) : rc;
}

TEST(receiving_survives_no_memory)
{
    size_t size = 0;
    free(small_package(&size));
    int fd = open(check_path("forged.veda"), O_RDONLY | O_CLOEXEC);
    check_survives_no_memory(receive_again, &fd);
    close(fd);
}
