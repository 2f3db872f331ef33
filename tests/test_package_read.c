/* Reading a package by several threads: one file, a part of it, everything; the same with any number of
 * them. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "package/reader.h"
#include "support/workspaces.h"

enum { LARGE = 5 << 20, SMALL_FILES = 300 };

static const uint32_t thread_counts[] = {1, 2, UINT32_MAX};

static exia_job threads(uint32_t count)
{
    return (exia_job){.struct_size = sizeof(exia_job), .threads = count};
}

/* A file of several frames, many small ones, an empty one, a hole, links. */
static exia_package *pack_many(void)
{
    check_in_memory();
    const char *from = make_workspace("w");
    make_directory(check_format("%s/d", from));
    make_large(check_format("%s/d/large", from), LARGE, 1);
    for (int i = 0; i < SMALL_FILES; i++)
        make_large(check_format("%s/d/%03d", from, i), (size_t)(i * 37), (uint64_t)i);
    assert_int_equal(system(check_format("cd '%s/d' && chmod 555 large && chmod 700 000 && "
                                         "truncate -s 20M hole && ln 007 same && ln -s large link",
                                         from)),
                     0);
    return packed(from, check_path("out.veda"));
}

/* ---- bad input ---- */

TEST(reading_refuses_what_is_missing_wrong_or_too_much)
{
    exia_package *package = packed(make_workspace("w"), check_path("out.veda"));
    uint64_t size = 7;
    char into[8] = "";
    check_fails(EXIA_EINVAL, exia_package_file_size(NULL, package, "veda.json", &err));
    check_fails(EXIA_EINVAL, exia_package_file_size(&size, NULL, "veda.json", &err));
    check_fails(EXIA_EINVAL, exia_package_file_size(&size, package, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_package_file_size(&size, package, "none", &err));
    assert_int_equal(size, 0);
    check_fails(EXIA_EINVAL, exia_package_read(NULL, package, "veda.json", 0, 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_read(into, NULL, "veda.json", 0, 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_read(into, package, NULL, 0, 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_cat(NULL, "veda.json", 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_cat(package, NULL, 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_cat(package, "veda.json", -1, NULL, &err));
    check_ok(exia_package_file_size(&size, package, "veda.json", &err));
    check_fails(EXIA_EINVAL, exia_package_read(into, package, "veda.json", size, 1, NULL, &err));
    check_text("1 at");
    check_fails(EXIA_EINVAL,
                exia_package_read(into, package, "veda.json", UINT64_MAX, 2, NULL, &err));
    check_fails(EXIA_EINVAL,
                exia_package_read(into, package, "veda.json", 1, SIZE_MAX, NULL, &err));
    check_ok(exia_package_read(NULL, package, "veda.json", size, 0, NULL, &err));
    exia_package_free(package);
}

/* Flip one bit of the payload, here and there. */
TEST(what_is_damaged_is_named_the_same_by_any_number_of_threads)
{
    exia_package *package = pack_many();
    size_t size = 0;
    const uint64_t payload = package->frames[package->metadata.data_frames].offset;
    char *good = check_read_file(check_path("out.veda"), &size), first[240] = "";
    exia_package_free(package);
    for (uint64_t at = 1; at < payload; at += payload / 7) {
        char flipped = good[at];
        good[at] ^= 16;
        check_write_file(check_path("bad.veda"), good, size);
        good[at] = flipped;
        check_ok(exia_package_open(&package, check_path("bad.veda"), &err));
        for (size_t i = 0; i < 6; i++) {
            exia_job job = threads(thread_counts[i / 2]);
            check_fails(EXIA_ECORRUPT,
                        i % 2 ? exia_package_unpack(package, check_path("to"), NULL, &job, &err)
                              : exia_package_verify(package, NULL, &job, &err));
            if (i == 0)
                snprintf(first, sizeof first, "%s", err.text);
            if (i % 2 == 0)
                assert_string_equal(err.text, first);
            assert_false(exia__path_exists(check_path("to")));
        }
        exia_package_free(package);
    }
    free(good);
}

static int stop(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)done, (void)total, (void)payload;
    return 1;
}

TEST(the_caller_can_stop_a_read)
{
    exia_job job = {.struct_size = sizeof job, .progress = stop};
    exia_package *package = packed(make_workspace("w"), check_path("out.veda"));
    char into[1];
    check_fails(EXIA_ECANCELLED, exia_package_read(into, package, "veda.json", 0, 1, &job, &err));
    check_fails(EXIA_ECANCELLED, exia_package_cat(package, "veda.json", 1, &job, &err));
    exia_package_free(package);
}

TEST(a_pipe_that_nobody_reads_is_an_error_and_no_signal)
{
    int ends[2];
    sigset_t before, after, pending;
    exia_package *package = pack_many();
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_ptr_equal(signal(SIGPIPE, SIG_DFL), SIG_DFL); /* it would end this process */
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (size_t i = 0; i < 3; i++) {
        exia_job job = threads(thread_counts[i]);
        check_fails(EXIA_EIO, exia_package_cat(package, "d/large", ends[1], &job, &err));
        check_text("Broken pipe");
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&before, SIGPIPE), sigismember(&after, SIGPIPE));
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    close(ends[1]);
    exia_package_free(package);
}

TEST(a_file_of_several_frames_is_written_whole_or_the_unpacking_fails)
{
    exia_package *package = pack_many();
    struct rlimit all, some;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t size = 1 << 20; size < LARGE; size += 2 << 20) {
        some = (struct rlimit){size, all.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &some), 0);
        exia_status rc = unpack(package, check_path("to"), "d/large");
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
        assert_int_equal(rc, EXIA_ENOSPACE);
        assert_int_equal(count_entries(check_directory()), 2);
    }
    exia_package_free(package);
}

static exia_status read_and_unpack(void *payload, exia_error *error)
{
    static int nth;
    char *into = malloc(LARGE);
    exia_job job = threads(2);
    exia_status rc = exia_package_read(into, payload, "d/large", 0, LARGE, &job, error);
    if (rc == EXIA_OK)
        rc = exia_package_unpack(payload, check_format("%s/%d", check_path("memory"), nth++), NULL,
                                 &job, error);
    free(into);
    return rc;
}

TEST(memory_may_run_out_anywhere_in_any_thread)
{
    check_in_memory();
    exia_package *package = NULL;
    const char *from = make_workspace("w"), *file = check_path("out.veda");
    make_directory(check_format("%s/d", from));
    make_large(check_format("%s/d/large", from), LARGE, 1);
    make_directory(check_path("memory"));
    check_ok(pack_from(from, file));
    check_ok(exia_package_open(&package, file, &err));
    check_survives_no_memory(read_and_unpack, package);
    assert_int_equal(count_entries(check_path("memory")), 2); /* those that succeeded */
    exia_package_free(package);
}

/* ---- reading ---- */

TEST(any_part_of_a_file_is_read_as_it_was_packed)
{
    exia_package *package = pack_many();
    char *whole = check_read_file(check_path("w/d/large"), NULL), *part = malloc(LARGE);
    uint64_t seed = 1, size = 0;
    check_ok(exia_package_file_size(&size, package, "d/large", &err));
    assert_int_equal(size, LARGE);
    for (int i = 0; i < 30; i++) {
        exia_job job = threads(thread_counts[i % 3]);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t offset = i < 3 ? 0 : (seed >> 20) % LARGE;
        size_t wanted = i < 3 ? LARGE : (size_t)((seed >> 40) % (LARGE - offset + 1));
        memset(part, 0, wanted);
        check_ok(exia_package_read(part, package, "d/large", offset, wanted, &job, &err));
        assert_memory_equal(part, whole + offset, wanted);
    }
    free(whole);
    free(part);
    exia_package_free(package);
}

TEST(a_file_comes_in_order_through_a_descriptor)
{
    static const char *const names[] = {"d/large", "d/hole", "d/000", "d/299", "d/same"};
    exia_package *package = pack_many();
    for (size_t i = 0; i < 15; i++) {
        exia_job job = threads(thread_counts[i % 3]);
        const char *name = names[i / 3], *copy = check_path("copy");
        int fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        check_ok(exia_package_cat(package, name, fd, &job, &err));
        close(fd);
        assert_int_equal(system(check_format("cmp '%s' '%s/%s'", copy, check_path("w"), name)), 0);
    }
    exia_package_free(package);
}

TEST(any_number_of_threads_unpacks_the_same)
{
    exia_package *package = pack_many();
    struct stat info;
    for (size_t i = 0; i < 3; i++) {
        exia_job job = threads(thread_counts[i]);
        const char *to = check_format("%s-%zu", check_path("to"), i);
        check_ok(exia_package_unpack(package, to, NULL, &job, &err));
        assert_int_equal(
            system(check_format("diff -r --no-dereference '%s' '%s'", check_path("w"), to)), 0);
        assert_int_equal(stat(check_format("%s/d/large", to), &info), 0);
        assert_int_equal(info.st_mode & 0777, 0555);
        assert_int_equal(stat(check_format("%s/d/000", to), &info), 0);
        assert_int_equal(info.st_mode & 0777, 0700);
        assert_int_equal(stat(check_format("%s/d/hole", to), &info), 0);
        assert_true(info.st_blocks * 512 < info.st_size / 4);
        assert_int_equal(stat(check_format("%s/d/007", to), &info), 0);
        assert_int_equal(info.st_nlink, 2);
    }
    exia_package_free(package);
}

typedef struct reader {
    const exia_package *package;
    const char *whole;
    pthread_t thread;
    int wrong;
} reader;

static void *read_parts(void *payload)
{
    reader *r = payload;
    exia_job job = threads(2);
    exia_error why;
    char *part = malloc(LARGE);
    for (uint64_t i = 0; i < 6; i++) {
        uint64_t offset = i * 700000, size = LARGE - offset - i * 1000;
        r->wrong |= exia_package_read(part, r->package, "d/large", offset, size, &job, &why) < 0 ||
                    memcmp(part, r->whole + offset, size) != 0;
    }
    free(part);
    return NULL;
}

TEST(a_package_is_read_by_many_at_once)
{
    exia_package *package = pack_many();
    char *whole = check_read_file(check_path("w/d/large"), NULL);
    reader readers[4];
    for (size_t i = 0; i < 4; i++) {
        readers[i] = (reader){.package = package, .whole = whole};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_parts, &readers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_false(readers[i].wrong);
    }
    free(whole);
    exia_package_free(package);
}

TEST(only_the_frames_of_a_file_are_read)
{
    exia_package *package = pack_many();
    size_t size = 0;
    char *data = check_read_file(check_path("out.veda"), &size), into[SMALL_FILES * 37];
    const exia__frame *frame = &package->frames[package->metadata.data_frames - 3];
    assert_true(frame->size > 1000); /* of the large file, which lies behind the small ones */
    memset(data + frame->offset, 'x', frame->size);
    check_write_file(check_path("bad.veda"), data, size);
    exia_package_free(package);
    check_ok(exia_package_open(&package, check_path("bad.veda"), &err));
    check_fails(EXIA_ECORRUPT, exia_package_verify(package, NULL, NULL, &err));
    const exia_verify_options only = {.struct_size = sizeof only, .path = "d/299"};
    check_ok(exia_package_verify(package, &only, NULL, &err));
    check_ok(exia_package_read(into, package, "d/299", 0, 299 * 37, NULL, &err));
    check_ok(unpack(package, check_path("to"), "d/2*"));
    exia_package_free(package);
    free(data);
}
