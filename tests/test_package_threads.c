/* Packing with threads: the same bytes always, right digests wherever files are cut, files that change
 * meanwhile, memory that does not grow with the package. */
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "package/contents.h"
#include "package/read.h"
#include "support/workspaces.h"

static void run(const char *command)
{
    assert_int_equal(system(command), 0);
}

static exia_status pack_by(const char *from, const char *file, uint32_t threads)
{
    exia_job job = {.struct_size = sizeof job, .threads = threads};
    return exia_package_write(NULL, from, file, NULL, &job, &err);
}

static void same_file(const char *a, const char *b)
{
    run(check_format("cmp '%s' '%s'", a, b));
}

/* ---- files that change ------------------------------------------------------------------------------ */

/* Walk, do something, then pack what was found. */
static exia_status pack_after(const char *from, const char *deed, exia_progress_fn *progress)
{
    exia__walk walk;
    exia__work work;
    exia__framer *framer = NULL;
    uint64_t size = 0;
    exia_job job = {.struct_size = sizeof job, .threads = 1, .progress = progress};
    int fd = open(check_path("frames"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    job.payload = &work;
    assert_int_equal(exia__work_begin(&work, &job, NULL), EXIA_OK);
    work.job.progress = NULL;
    assert_int_equal(exia__walk_open(&walk, from, &work, NULL), EXIA_OK);
    work.job.progress = progress;
    run(check_format("cd '%s' && %s", from, deed));
    assert_int_equal(exia__framer_open(&framer, fd, "frames", 3, 1, NULL), EXIA_OK);
    exia_status rc = exia__write_members(&size, framer, &walk, &work, &err);
    exia__framer_free(framer);
    exia__walk_free(&walk);
    close(fd);
    return rc;
}

TEST(a_file_that_is_not_as_it_was_found_is_a_conflict)
{
    static const char *const deeds[] = {"printf longer >>file",
                                        "truncate -s 3 file",
                                        "rm file",
                                        "printf other >new; mv new file",
                                        "rm file; ln -s veda.json file",
                                        "rm file; mkdir file",
                                        "touch -d 2001-01-01 file",
                                        "chmod 600 file",
                                        "ln file other; rm file",
                                        "mv sub sub2; ln -s sub2 sub"};
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        const char *from = make_workspace(check_format("w%zu", i));
        run(check_format("cd '%s' && printf first >file && mkdir sub && printf x >sub/file", from));
        check_ok(pack_after(from, "true", NULL));
        check_fails(EXIA_ECONFLICT, pack_after(from, deeds[i], NULL));
        check_text("file changed while it was packed");
    }
}

static const char *growing;
static int steps;

/* At the third report, which comes once a frame, a frame of the file lies behind and one before. */
static int grow(const char *step, uint64_t done, uint64_t total, void *payload)
{
    exia__work *work = payload;
    (void)step, (void)done, (void)total;
    work->reported_ms = 0; /* report again at once */
    if (++steps == 3)
        assert_int_equal(truncate(growing, steps * (4 << 20) + 1), 0);
    return 0;
}

TEST(a_file_that_changes_while_it_is_read_is_a_conflict)
{
    const char *from = make_workspace("w");
    growing = check_format("%s/file", from);
    make_large(growing, 30 << 20, 1);
    check_fails(EXIA_ECONFLICT, pack_after(from, "true", grow));
    check_text("file changed while it was packed");
    assert_in_range(steps, 3, 10);
}

/* ---- the same bytes --------------------------------------------------------------------------------- */

static uint64_t state;
static unsigned chance(unsigned below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % below;
}

/* Sizes around which something happens: blocks, frames, what has frames of its own, what is put off. */
static size_t choose_size(void)
{
    static const size_t sizes[] = {0,       0,       1,       511,       512,    513,
                                   1024,    3000,    70000,   128 << 10, 500000, 512 << 10,
                                   1 << 20, 2 << 20, 4 << 20, 3000000,   5000000};
    size_t size = sizes[chance(sizeof sizes / sizeof *sizes)];
    return chance(3) == 0 && size > 600 ? size - 512 + chance(3) * 512 - chance(2) : size;
}

/* Lines with numbers: they compress, and cuts fall in them. */
static void make_lines(const char *path, size_t size)
{
    char *text = malloc(size + 30);
    size_t used = 0;
    for (unsigned first = chance(1000000); used < size; first++)
        used += (size_t)sprintf(text + used, "%u %u\n", first, first * 2654435761u);
    check_write_file(path, text, size);
    free(text);
}

static void make_random(const char *from, unsigned seed)
{
    state = seed;
    make_directory(check_format("%s/sub", from));
    for (long i = check_rounds(15, 5); i > 0; i--) {
        /* long names have headers that a cut may fall into */
        const char *path = check_format("%s/%s%ld%0*d", from, chance(2) ? "sub/" : "", i,
                                        chance(3) == 0 ? 110 + (int)chance(100) : 2, 0);
        size_t size = choose_size();
        if (chance(3) == 0)
            make_large(path, size, chance(1000));
        else if (size > 2 << 20 && chance(2))
            run(check_format("truncate -s %zu '%s'", size, path));
        else
            make_lines(path, size);
    }
}

TEST(every_file_is_hashed_right_wherever_frames_are_cut)
{
    for (unsigned seed = 0; seed < 2; seed++) {
        const char *from = make_workspace(check_format("w%u", seed)), *one = check_path("one.veda");
        const char *eight = check_path("eight.veda"), *to = check_path(check_format("to%u", seed));
        make_random(from, seed);
        exia_package *package = NULL;
        check_ok(pack_by(from, one, 1));
        check_ok(pack_by(from, eight, 8));
        same_file(one, eight);
        check_ok(exia_package_open(&package, eight, &err));
        check_ok(exia_package_verify(package, NULL, NULL, &err));
        check_ok(unpack(package, to, NULL));
        run(check_format("diff -r '%s' '%s'", from, to));
        exia_package_free(package);
        run(check_format("rm -r '%s' '%s'", from, to));
    }
}

TEST(a_copy_in_another_order_gives_the_same_bytes_again_with_any_number_of_threads)
{
    const char *from = make_workspace("w"), *copy = check_path("copy"), *first = check_path("0");
    make_random(from, 77);
    make_directory(copy);
    run(check_format("cd '%s' && mkdir another && ln sub/* another && ln -s sub link && "
                     "find . -mindepth 1 | sort -r >'%s' && "
                     "tar --no-recursion -cf - -T '%s' | tar -C '%s' -xf -",
                     from, check_path("list"), check_path("list"), copy));
    check_ok(pack_by(from, first, 1));
    for (uint32_t threads = 1; threads <= 8; threads *= 2) {
        const char *again = check_path("again");
        check_ok(pack_by(threads == 1 ? from : copy, again, threads));
        same_file(first, again);
    }
}

/* ---- memory ----------------------------------------------------------------------------------------- */

static atomic_long live, peak; /* bytes of our own memory */

static void *resize(void *memory, size_t size, void *payload)
{
    (void)payload;
    atomic_fetch_sub(&live, (long)malloc_usable_size(memory));
    memory = realloc(memory, size);
    long now = atomic_fetch_add(&live, (long)malloc_usable_size(memory)) +
               (long)malloc_usable_size(memory);
    for (long before = atomic_load(&peak);
         before < now && !atomic_compare_exchange_weak(&peak, &before, now);)
        ;
    return memory;
}

static void release(void *memory, void *payload)
{
    (void)payload;
    atomic_fetch_sub(&live, (long)malloc_usable_size(memory));
    free(memory);
}

/* EXIA_SIZE=8589934593 is a file whose size needs more than the octal digits of a header. */
TEST(a_large_sparse_file_is_packed_in_little_memory)
{
    const char *chosen = getenv("EXIA_SIZE");
    long long size = chosen ? atoll(chosen) : check_rounds(100, 20) << 20;
    exia_package *package = NULL;
    const exia_allocator hook = {resize, release, NULL};
    const char *from = make_workspace("w");
    run(check_format("truncate -s %lld '%s/hole' && printf end >>'%s/hole'", size, from, from));
    for (uint32_t threads = 1; threads <= 8; threads *= 2) {
        atomic_store(&peak, 0);
        check_ok(exia_allocator_set(&hook, NULL));
        exia_status rc = pack_by(from, check_path("sparse.veda"), threads);
        check_ok(exia_allocator_set(NULL, NULL));
        assert_int_equal(rc, EXIA_OK);
        assert_in_range(peak, 1 << 20, (64 + 8 * threads) << 20);
    }
    assert_int_equal(atomic_load(&live), 0);
    check_ok(exia_package_open(&package, check_path("sparse.veda"), &err));
    check_ok(exia_package_verify(package, NULL, NULL, &err));
    assert_int_equal(exia__package_size(package), size + 3 + (long long)strlen(MANIFEST));
    exia_package_free(package);
}

TEST(many_small_files_are_packed)
{
    enum { COUNT = 5000 };
    check_in_memory();
    const char *from = make_workspace("w"), *file = check_path("out.veda");
    for (int i = 0; i < COUNT; i++) {
        char path[300] = {0};
        snprintf(path, sizeof path, "%s/%d", from, i / 100);
        mkdir(path, 0755);
        snprintf(path + strlen(path), 50, "/%d", i);
        int fd = open(path, O_WRONLY | O_CREAT, 0644);
        assert_int_equal(write(fd, path, (size_t)i % 50), i % 50);
        close(fd);
    }
    exia_package *package = packed(from, file);
    assert_int_equal(exia__package_member_count(package), COUNT + COUNT / 100 + 1);
    exia_package_free(package);
}
