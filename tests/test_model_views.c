/* Parts seen from outside: pages shared between processes, advice, reading into memory of one's own,
 * files on a network, limits on memory, files that somebody truncates. */
#include "support/models.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 3 << 20, NFS = 0x6969, REACHES = 5 };

/* ---- a system that is another --------------------------------------------------------------- */

static long magic;           /* not zero: what all file systems are */
static size_t largest;       /* the largest pread so far */
static int refused, refusal; /* mprotect says no to writing, by this errno */
static int old_kernel;       /* it does not know MADV_POPULATE_READ */
static int last_advice;      /* what madvise was called with */
static size_t last_count;    /* and for how many bytes */

int fstatfs(int fd, struct statfs *out)
{
    int answer = (int)syscall(SYS_fstatfs, fd, out);
    if (magic != 0)
        out->f_type = magic;
    return answer;
}

ssize_t pread(int fd, void *into, size_t size, off_t offset)
{
    largest = size > largest ? size : largest;
    return syscall(SYS_pread64, fd, into, size, offset);
}

int mprotect(void *start, size_t size, int protection)
{
    if (refused && (protection & PROT_WRITE)) {
        errno = refusal;
        return -1;
    }
    return (int)syscall(SYS_mprotect, start, size, protection);
}

int madvise(void *start, size_t size, int advice)
{
    last_advice = advice;
    last_count = size;
    if (old_kernel && advice == 22) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, start, size, advice);
}

/* ---- a model -------------------------------------------------------------------------------- */

static unsigned char wanted(size_t at)
{
    return (unsigned char)(at * 7 + at / 4096);
}

/* One part of SIZE bytes, which is in a file of the library, and a small one, which is in the log. */
static exia_library *make_library(void)
{
    exia_library *library = open_library();
    int64_t version = 0;
    unsigned char *data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        data[i] = wanted(i);
    exia_part large = {.name = "large", .format = "bytes", .data = data, .size = SIZE};
    exia_part small = {.name = "small", .format = "bytes", .data = "abcdef", .size = 6};
    check_ok(exia_model_write(&version, library, "m", &large, 1, NULL, NULL, &err));
    check_ok(exia_model_write(&version, library, "s", &small, 1, NULL, NULL, &err));
    free(data);
    return library;
}

static exia_model *open_one(const char *selector, unsigned flags)
{
    exia_library *library = make_library();
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, selector, flags, &err));
    exia_library_free(library);
    return model;
}

static exia_view view_of(const exia_model *model)
{
    exia_view view;
    check_ok(exia_model_view(&view, model, NULL, &err));
    return view;
}

static int is_right(const exia_view *view)
{
    for (size_t i = 0; i < view->size; i++) {
        if (((const unsigned char *)view->data)[i] != wanted(i))
            return 0;
    }
    return view->size == SIZE;
}

/* A number of KiB out of /proc/self/smaps, of the mapping that begins at this address. */
static long smaps(const void *data, const char *field)
{
    char line[512], start[32], format[64];
    long found = -1;
    int here = 0;
    snprintf(start, sizeof start, "%08lx-", (unsigned long)(uintptr_t)data);
    snprintf(format, sizeof format, "%s: %%ld kB", field);
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL && found < 0) {
        if (strchr(line, '-') != NULL && strstr(line, " ") != NULL && strstr(line, "kB") == NULL)
            here = strncmp(line, start, strlen(start)) == 0;
        else if (here)
            sscanf(line, format, &found);
    }
    fclose(file);
    return found;
}

/* ---- bad input ------------------------------------------------------------------------------ */

TEST(views_refuse_what_is_no_argument)
{
    exia_model *model = open_one("m", 0);
    char into[8];
    exia_view view;
    check_fails(EXIA_EINVAL, exia_model_view(NULL, model, NULL, &err));
    check_fails(EXIA_EINVAL, exia_model_view(&view, NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_model_view(&view, model, "other", &err));
    assert_int_equal(view.fd, -1);
    check_fails(EXIA_EINVAL, exia_model_advise(NULL, NULL, 0, 0, EXIA_ADVICE_NORMAL, &err));
    check_fails(EXIA_EINVAL, exia_model_advise(model, NULL, 0, 0, 5, &err));
    check_text("5 is no advice");
    check_fails(EXIA_EINVAL, exia_model_advise(model, NULL, 0, 0, -1, &err));
    check_fails(EXIA_ENOTFOUND, exia_model_advise(model, "other", 0, 0, 0, &err));
    check_fails(EXIA_EINVAL, exia_model_advise(model, NULL, 1, SIZE, 0, &err));
    check_text("beyond its end");
    check_fails(EXIA_EINVAL, exia_model_advise(model, NULL, SIZE + 1, 0, 0, &err));
    check_fails(EXIA_EINVAL, exia_model_advise(model, NULL, UINT64_MAX, UINT64_MAX, 0, &err));
    check_fails(EXIA_EINVAL, exia_model_read_into(NULL, 1, model, NULL, 0, NULL, &err));
    check_fails(EXIA_EINVAL, exia_model_read_into(into, 1, NULL, NULL, 0, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_model_read_into(into, 1, model, "other", 0, NULL, &err));
    check_fails(EXIA_EINVAL, exia_model_read_into(into, 8, model, NULL, SIZE - 7, NULL, &err));
    check_fails(EXIA_EINVAL, exia_model_read_into(into, 8, model, NULL, UINT64_MAX, NULL, &err));
    check_ok(exia_model_read_into(NULL, 0, model, NULL, SIZE, NULL, &err));
    exia_model_free(model);
}

TEST(an_open_refuses_a_flag_that_it_does_not_know)
{
    exia_library *library = make_library();
    exia_model *model = NULL;
    check_fails(EXIA_EINVAL, exia_model_open(&model, library, "m", 8, &err));
    check_text("0x8 is no flag");
    exia_library_free(library);
}

/* ---- advice --------------------------------------------------------------------------------- */

TEST(advice_reaches_the_kernel_for_the_pages_that_are_named)
{
    exia_model *model = open_one("m", 0);
    exia_view view = view_of(model);
    static const int given[] = {EXIA_ADVICE_RANDOM, EXIA_ADVICE_SEQUENTIAL, EXIA_ADVICE_WILL_NEED,
                                EXIA_ADVICE_POPULATE, EXIA_ADVICE_NORMAL},
                     reaches[REACHES] = {MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, 22,
                                         MADV_NORMAL};
    for (size_t i = 0; i < REACHES; i++) {
        check_ok(exia_model_advise(model, NULL, 0, 0, given[i], &err));
        assert_int_equal(last_advice, reaches[i]);
        assert_int_equal(last_count, SIZE);
    }
    check_ok(exia_model_advise(model, "large", 4096 + 10, 20, EXIA_ADVICE_RANDOM, &err));
    assert_int_equal(last_count, 30);
    last_count = 0;
    check_ok(exia_model_advise(model, NULL, SIZE, 0, EXIA_ADVICE_RANDOM, &err));
    assert_int_equal(last_count, 0);
    assert_true(is_right(&view));
    exia_model_free(model);
}

TEST(populate_brings_the_pages_and_copies_none)
{
    exia_model *model = open_one("m", 0);
    exia_view view = view_of(model);
    assert_int_equal(smaps(view.data, "Rss"), 0);
    check_ok(exia_model_advise(model, NULL, 0, 0, EXIA_ADVICE_POPULATE, &err));
    assert_int_equal(smaps(view.data, "Rss"), SIZE / 1024);
    assert_int_equal(smaps(view.data, "Private_Dirty"), 0);
    exia_model_free(model);
}

TEST(a_kernel_that_cannot_populate_is_told_that_they_will_be_needed)
{
    exia_model *model = open_one("m", 0);
    old_kernel = 1;
    exia_status rc = exia_model_advise(model, NULL, 0, 0, EXIA_ADVICE_POPULATE, &err);
    old_kernel = 0;
    check_ok(rc);
    assert_int_equal(last_advice, MADV_WILLNEED);
    exia_model_free(model);
}

TEST(of_a_part_in_memory_there_is_nothing_to_advise)
{
    exia_model *inside = open_one("s", 0), *verified = open_one("m", EXIA_OPEN_VERIFY);
    last_count = 0;
    check_ok(exia_model_advise(inside, NULL, 0, 6, EXIA_ADVICE_RANDOM, &err));
    check_ok(exia_model_advise(verified, NULL, 0, 0, EXIA_ADVICE_POPULATE, &err));
    assert_int_equal(last_count, 0);
    exia_model_free(inside);
    exia_model_free(verified);
}

/* ---- reading into memory of one's own ------------------------------------------------------- */

TEST(bytes_are_read_past_the_mapping)
{
    exia_model *model = open_one("m", 0);
    exia_view view = view_of(model);
    unsigned char *into = malloc(SIZE);
    memset(view.data, 0, SIZE);
    check_ok(exia_model_read_into(into, SIZE, model, "large", 0, NULL, &err));
    exia_view read = {.data = into, .size = SIZE};
    assert_true(is_right(&read));
    check_ok(exia_model_read_into(into, 5, model, NULL, 4094, NULL, &err));
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(into[i], wanted(4094 + i));
    free(into);
    exia_model_free(model);
}

TEST(bytes_of_a_part_in_memory_are_copied_from_there)
{
    exia_model *inside = open_one("s", 0), *verified = open_one("m", EXIA_OPEN_VERIFY);
    unsigned char into[8] = {0};
    check_ok(exia_model_read_into(into, 4, inside, NULL, 2, NULL, &err));
    assert_memory_equal(into, "cdef", 5);
    largest = 0;
    check_ok(exia_model_read_into(into, 8, verified, NULL, 100, NULL, &err));
    assert_int_equal(largest, 0);
    assert_int_equal(into[7], wanted(107));
    exia_model_free(inside);
    exia_model_free(verified);
}

static int stop(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step;
    (void)done;
    (void)payload;
    return total == SIZE;
}

TEST(a_long_read_can_be_cancelled)
{
    exia_model *model = open_one("m", 0);
    unsigned char *into = malloc(SIZE);
    exia_job job = {.struct_size = sizeof job, .progress = stop};
    check_fails(EXIA_ECANCELLED, exia_model_read_into(into, SIZE, model, NULL, 0, &job, &err));
    free(into);
    exia_model_free(model);
}

/* ---- sharing -------------------------------------------------------------------------------- */

static int told[2], asked[2]; /* pipes to and from the child */

static int touch_and_wait(void)
{
    exia_model *model = NULL;
    exia_library *library = NULL;
    char byte = 0;
    close(asked[1]); /* or the end of the parent, in a check that fails, would not be seen */
    close(told[0]);
    if (exia_library_open(&library, check_path("library"), NULL, NULL) < 0 ||
        exia_model_open(&model, library, "m", EXIA_OPEN_POPULATE, NULL) < 0)
        return 1;
    exia_view view;
    if (exia_model_view(&view, model, NULL, NULL) < 0 || !is_right(&view))
        return 2;
    if (write(told[1], "x", 1) != 1 || read(asked[0], &byte, 1) != 1)
        return 3;
    exia_model_free(model);
    exia_library_free(library);
    return 0;
}

TEST(processes_share_the_pages_until_one_writes)
{
    exia_library_free(make_library());
    assert_int_equal(pipe(told) | pipe(asked), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(touch_and_wait());
    char byte = 0;
    assert_int_equal(read(told[0], &byte, 1), 1);

    exia_library *library = open_library();
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, "m", EXIA_OPEN_POPULATE, &err));
    exia_view view = view_of(model);
    assert_true(is_right(&view));
    assert_int_equal(smaps(view.data, "Rss"), SIZE / 1024);
    long share = smaps(view.data, "Pss"); /* what this process is charged for: a half */
    assert_in_range(share, SIZE / 1024 / 2 - 8, SIZE / 1024 / 2 + 8);
    ((char *)view.data)[10000] ^= 1;
    assert_in_range(smaps(view.data, "Private_Dirty"), 1, 64); /* one page */

    int status = 0;
    assert_int_equal(write(asked[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(asked[i]);
    }
    exia_model_free(model);
    exia_library_free(library);
}

/* ---- limits on memory ----------------------------------------------------------------------- */

/* The library stays open: SQLite maps files, too. */
static exia_status open_refused(exia_model **out, exia_library *library, unsigned flags)
{
    refused = 1;
    exia_status rc = exia_model_open(out, library, "m", flags, &err);
    refused = 0;
    return rc;
}

TEST(a_part_beyond_what_the_system_promises_is_mapped_for_reading)
{
    exia_library *library = make_library();
    exia_model *model = NULL;
    refusal = ENOMEM;
    check_ok(open_refused(&model, library, 0));
    exia_view view = view_of(model);
    assert_true(is_right(&view));
    assert_false(view.writable);
    exia_model_free(model);
    check_ok(open_refused(&model, library, EXIA_OPEN_VERIFY));
    assert_true(view_of(model).writable);
    exia_model_free(model);
    refusal = EACCES;
    check_ok(open_refused(&model, library, EXIA_OPEN_READ_ONLY)); /* asks for no more */
    exia_model_free(model);
    check_fails(EXIA_EDENIED, open_refused(&model, library, 0));
    check_text("cannot map");
    assert_null(model);
    exia_library_free(library);
}

TEST(a_view_for_reading_says_so_wherever_its_bytes_are)
{
    exia_library *library = make_library();
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, "m", EXIA_OPEN_READ_ONLY, &err));
    assert_false(view_of(model).writable);
    exia_model_free(model);
    check_ok(exia_model_open(&model, library, "s", EXIA_OPEN_READ_ONLY, &err));
    assert_false(view_of(model).writable);
    exia_model_free(model);
    check_ok(exia_model_open(&model, library, "s", 0, &err));
    assert_true(view_of(model).writable);
    exia_model_free(model);
    exia_library_free(library);
}

/* ---- over a network ------------------------------------------------------------------------- */

TEST(on_a_network_file_system_a_part_is_read_in_large_pieces)
{
    exia_library *library = make_library();
    exia_model *model = NULL;
    magic = NFS;
    largest = 0;
    exia_status rc = exia_model_open(&model, library, "m", 0, &err);
    magic = 0;
    check_ok(rc);
    assert_int_equal(largest, SIZE);
    exia_view view = view_of(model);
    assert_true(is_right(&view));
    assert_true(view.writable && view.fd >= 0);
    assert_int_equal(smaps(view.data, "Rss"), -1); /* no mapping begins here: the memory is ours */
    exia_model_free(model);
    exia_library_free(library);
}

/* ---- truncated files ------------------------------------------------------------------------ */

TEST(a_file_truncated_meanwhile_is_an_error_where_it_is_asked_for_and_no_signal)
{
    exia_model *model = open_one("m", 0);
    exia_view view = view_of(model);
    unsigned char into[16];
    assert_int_equal(chmod(view.path, 0600), 0);
    assert_int_equal(truncate(view.path, 4096), 0);
    check_ok(exia_model_read_into(into, 16, model, NULL, 0, NULL, &err));
    check_fails(EXIA_ECORRUPT, exia_model_read_into(into, 16, model, NULL, 4090, NULL, &err));
    check_fails(EXIA_ECORRUPT, exia_model_advise(model, NULL, 0, 0, EXIA_ADVICE_POPULATE, &err));
    check_text("was truncated");
    exia_model_free(model);
}

/* The file of the version is one that nobody may write to. */
static ino_t check_immutable(exia_library *library)
{
    exia_model *model = NULL;
    struct stat info;
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    exia_view view = view_of(model);
    assert_int_equal(fstat(view.fd, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0444);
    assert_int_equal(fcntl(view.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    exia_model_free(model);
    return info.st_ino;
}

TEST(a_file_of_a_library_is_written_so_that_nobody_may_write_to_it_and_stays_so)
{
    mode_t before = umask(0);
    exia_library *library = make_library();
    ino_t first = check_immutable(library);
    exia_library_free(make_library()); /* the same bytes once more */
    assert_int_equal(check_immutable(library), first);
    check_ok(exia_alias_move(library, "m", "a", 1, EXIA_ANY, NULL, &err));
    exia_gc_options options = {.struct_size = sizeof options, .grace_ms = 1};
    exia_rows *rows = NULL;
    check_ok(exia_library_gc(&rows, NULL, library, &options, NULL, &err));
    exia_rows_free(rows);
    assert_int_equal(check_immutable(library), first);
    umask(before);
    exia_library_free(library);
}
