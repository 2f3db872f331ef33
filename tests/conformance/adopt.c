/* What a store must do that may take a file as it is; one that cannot puts the same bytes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "conformance/conformance.h"

const char conformance_adopt = 1;

static exia__blobs *open_blobs(int mode)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, conformance.url("a"), mode, NULL, &err));
    return blobs;
}

/* A file of ours, with `size` bytes that tell their position. */
static int make_file(const char *name, size_t size)
{
    int fd = open(check_path(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    unsigned char *bytes = malloc(size + 1);
    assert_true(fd >= 0 && bytes != NULL);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    assert_int_equal(write(fd, bytes, size), size);
    free(bytes);
    return fd;
}

static exia_status adopt(exia__blobs *blobs, const char *key, const int *fd, const exia_job *job)
{
    struct stat info;
    assert_int_equal(fstat(*fd, &info), 0);
    exia_source source = exia__source_file(fd, (uint64_t)info.st_size);
    return exia__blobs_adopt(blobs, key, *fd, &source, job, &err);
}

static exia_status compare(const void *data, size_t size, void *payload, exia_error *error)
{
    uint64_t *offset = payload;
    for (size_t i = 0; i < size; i++, ++*offset) {
        if (((const unsigned char *)data)[i] != (unsigned char)(*offset * 2654435761u >> 13))
            return exia__fail(error, EXIA_EUSER, 0, "byte %llu is another",
                              (unsigned long long)*offset);
    }
    return EXIA_OK;
}

static void check_blob(exia__blobs *blobs, const char *key, uint64_t size)
{
    uint64_t read = 0;
    check_ok(exia__blobs_get(blobs, key, 0, UINT64_MAX, compare, &read, NULL, &err));
    assert_int_equal(read, size);
}

TEST(a_file_becomes_a_blob_and_outlives_its_name)
{
    static const size_t sizes[] = {0, 1, 4095, 1 << 20, (5 << 20) + 7};
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *name = check_format("file%zu", i), *key = check_format("made/%zu", i);
        int fd = make_file(name, sizes[i]);
        check_ok(adopt(blobs, key, &fd, NULL));
        close(fd);
        assert_int_equal(unlink(check_path(name)), 0); /* it is the caller's to drop */
        check_blob(blobs, key, sizes[i]);
    }
    exia__blobs_free(blobs);
}

TEST(a_file_never_replaces_a_blob)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    int first = make_file("first", 9), second = make_file("second", 5);
    check_ok(adopt(blobs, "a/k", &first, NULL));
    check_fails(EXIA_EEXISTS, adopt(blobs, "a/k", &second, NULL));
    check_blob(blobs, "a/k", 9);
    check_ok(adopt(blobs, "b", &second, NULL));
    check_blob(blobs, "b", 5);
    close(first);
    close(second);
    exia__blobs_free(blobs);
}

TEST(a_file_of_two_names_is_copied_since_it_may_change_by_the_other)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE);
    int fd = make_file("one", 9);
    assert_int_equal(link(check_path("one"), check_path("two")), 0);
    check_ok(adopt(blobs, "k", &fd, NULL));
    assert_int_equal(pwrite(fd, "changed", 7, 0), 7);
    check_blob(blobs, "k", 9);
    close(fd);
    exia__blobs_free(blobs);
}

static int refuse(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)done, (void)total, (void)payload;
    return 1;
}

TEST(a_cancel_a_reader_or_wrong_arguments_adopt_nothing)
{
    exia__blobs *blobs = open_blobs(EXIA_STORE_WRITE), *reader = open_blobs(EXIA_STORE_READ);
    exia_job job = {.struct_size = sizeof job, .progress = refuse};
    int fd = make_file("file", 9);
    exia_source source = exia__source_file(&fd, 9);
    check_fails(EXIA_ECANCELLED, adopt(blobs, "k", &fd, &job));
    check_fails(EXIA_EDENIED, adopt(reader, "k", &fd, NULL));
    check_fails(EXIA_EINVAL, adopt(blobs, "../k", &fd, NULL));
    check_fails(EXIA_EINVAL, exia__blobs_adopt(blobs, "k", fd, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_adopt(NULL, "k", fd, &source, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia__blobs_stat(NULL, NULL, blobs, "k", NULL, &err));
    check_ok(adopt(blobs, "k", &fd, NULL)); /* and the file is as good as before */
    check_blob(blobs, "k", 9);
    close(fd);
    exia__blobs_free(reader);
    exia__blobs_free(blobs);
}

typedef struct used {
    const char *url;
    int fd;
} used;

static exia_status use(void *payload, exia_error *error)
{
    const used *now = payload;
    exia__blobs *blobs = NULL;
    exia_source source = exia__source_file(&now->fd, 100);
    exia_status rc = exia__blobs_open(&blobs, now->url, EXIA_STORE_WRITE, NULL, error);
    if (rc == EXIA_OK) /* the last round may have left it */
        rc = exia__blobs_remove(blobs, "a/k", NULL, error);
    if (rc == EXIA_OK)
        rc = exia__blobs_adopt(blobs, "a/k", now->fd, &source, NULL, error);
    exia__blobs_free(blobs);
    return rc;
}

TEST(an_adoption_survives_that_memory_is_out)
{
    used now = {conformance.url("a"), make_file("file", 100)};
    check_survives_no_memory(use, &now);
    close(now.fd);
}
