/* Storing the bytes of a version: hashed while they are stored, or before where the store needs a key
 * first; and what rivals, collectors and changing files do meanwhile. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "model/library.h"
#include "support/faulty.h"
#include "support/models.h"

enum { MIB = 1 << 20, SMALL = 100000 };

/* Stands before the C library's: a process that may have no more threads. */
static int no_threads, threads_made;
int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *),
                   void *payload)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    threads_made++;
    return no_threads ? EAGAIN : real(thread, how, run, payload);
}

static char *make_bytes(size_t size)
{
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)((i * 2654435761u) >> 13);
    return bytes;
}

/* ---- a source that is hashed as it is read -------------------------------------------------- */

/* Read `source` up to `end` in pieces, as a store does. */
static exia_status read_up_to(const exia_source *source, uint64_t end, size_t piece,
                              exia_error *error)
{
    char *into = make_bytes(piece);
    exia_status rc = EXIA_OK;
    for (uint64_t at = 0; at < end && rc == EXIA_OK; at += piece) {
        size_t size = end - at < piece ? (size_t)(end - at) : piece;
        rc = source->read(into, at, size, source->payload, error);
        memset(into, 'x', piece); /* the store's memory is the store's again */
    }
    free(into);
    return rc;
}

static void check_digest(size_t size, size_t piece, uint32_t threads)
{
    char *bytes = make_bytes(size), hex[EXIA__HEX_SIZE], expected[EXIA__HEX_SIZE];
    exia_source source = exia__source_memory(bytes, size);
    exia__hashed hashed;
    check_ok(exia__hash_hex(expected, bytes, size, &err));
    check_ok(exia__hashed_open(&hashed, &source, threads, &err));
    exia_source beside = exia__hashed_source(&hashed);
    check_ok(read_up_to(&beside, size, piece, &err));
    check_ok(exia__hashed_end(hex, &hashed, &err));
    assert_string_equal(hex, expected);
    exia__hashed_free(&hashed);
    free(bytes);
}

TEST(the_digest_is_that_of_what_was_read_with_and_without_a_thread)
{
    static const size_t sizes[] = {0, 1, 8 * MIB, 16 * MIB, 16 * MIB + 1, 19 * MIB + 7};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        threads_made = 0;
        check_digest(sizes[i], 4 * MIB, 1);
        assert_int_equal(threads_made, 0);
        check_digest(sizes[i], 4 * MIB, 2);
        check_digest(sizes[i], 3 * MIB / 2 + 1, 2);
        assert_int_equal(threads_made, sizes[i] > 16 * MIB ? 2 : 0);
    }
}

TEST(where_no_thread_can_be_had_the_caller_hashes)
{
    no_threads = 1;
    check_digest(19 * MIB, 4 * MIB, 2);
    no_threads = 0;
}

TEST(a_store_that_starts_over_is_hashed_anew)
{
    const size_t size = 18 * MIB;
    char *bytes = make_bytes(size), hex[EXIA__HEX_SIZE], expected[EXIA__HEX_SIZE];
    exia_source source = exia__source_memory(bytes, size);
    check_ok(exia__hash_hex(expected, bytes, size, &err));
    for (uint32_t threads = 1; threads <= 2; threads++) {
        exia__hashed hashed;
        check_ok(exia__hashed_open(&hashed, &source, threads, &err));
        exia_source beside = exia__hashed_source(&hashed);
        check_ok(read_up_to(&beside, 10 * MIB, MIB, &err));
        check_ok(read_up_to(&beside, size, 4 * MIB, &err));
        check_ok(exia__hashed_end(hex, &hashed, &err));
        assert_string_equal(hex, expected);
        exia__hashed_free(&hashed);
    }
    free(bytes);
}

TEST(what_was_read_in_part_or_in_another_order_has_no_digest)
{
    char *bytes = make_bytes(SMALL), into[100], hex[EXIA__HEX_SIZE];
    exia_source source = exia__source_memory(bytes, SMALL);
    for (int way = 0; way < 2; way++) {
        exia__hashed hashed;
        check_ok(exia__hashed_open(&hashed, &source, 2, &err));
        exia_source beside = exia__hashed_source(&hashed);
        check_ok(beside.read(into, 0, 100, beside.payload, &err));
        for (int at = SMALL - 100; way == 1 && at > 0; at -= 100)
            check_ok(beside.read(into, (uint64_t)at, 100, beside.payload, &err));
        check_fails(EXIA_EINVAL, exia__hashed_end(hex, &hashed, &err));
        exia__hashed_free(&hashed);
    }
    free(bytes);
}

TEST(bytes_that_are_not_those_of_their_digest_are_a_conflict)
{
    char *bytes = make_bytes(SMALL), hex[EXIA__HEX_SIZE];
    exia_source source = exia__source_memory(bytes, SMALL);
    exia__hashed hashed;
    check_ok(exia__hash_hex(hex, bytes, SMALL, &err));
    source.sha256 = hex;
    check_ok(exia__hashed_open(&hashed, &source, 1, &err));
    exia_source beside = exia__hashed_source(&hashed);
    check_ok(read_up_to(&beside, SMALL, SMALL, &err));
    bytes[SMALL / 2]++;
    check_fails(EXIA_ECONFLICT, read_up_to(&beside, SMALL, SMALL, &err));
    check_text("changed while they were read");
    exia__hashed_free(&hashed);
    free(bytes);
}

static exia_status hash_large(void *payload, exia_error *error)
{
    char hex[EXIA__HEX_SIZE];
    exia__hashed hashed = {0};
    exia_status rc = exia__hashed_open(&hashed, payload, 2, error);
    exia_source beside = {0};
    if (rc == EXIA_OK) {
        beside = exia__hashed_source(&hashed);
        rc = read_up_to(&beside, beside.size, 4 * MIB, error);
    }
    if (rc == EXIA_OK)
        rc = exia__hashed_end(hex, &hashed, error);
    exia__hashed_free(&hashed);
    return rc;
}

TEST(a_hash_beside_the_store_survives_that_memory_is_out)
{
    char *bytes = make_bytes(17 * MIB);
    exia_source source = exia__source_memory(bytes, 17 * MIB);
    check_survives_no_memory(hash_large, &source);
    free(bytes);
}

/* ---- versions ------------------------------------------------------------------------------- */

/* A library behind that driver of tests/support/faulty.h. */
static exia_library *open_on(const char *scheme)
{
    exia_library *library = NULL;
    exia_library_options options = {
        .struct_size = sizeof options,
        .blobs_url = check_format("%s:file:%s", scheme, check_path("library/blobs"))};
    faulty_register();
    exia_library_free(open_library()); /* so that the directory is there */
    const char *records = check_format("%s:sqlite:%s", scheme, check_path("library/catalog.db"));
    check_ok(exia_library_open(&library, records, &options, &err));
    return library;
}

static exia_status write_bytes(int64_t *version, exia_library *library, const char *bytes,
                               size_t size)
{
    exia_part part = {.name = "model", .format = "bytes", .data = bytes, .size = size};
    return exia_model_write(version, library, "m", &part, 1, NULL, NULL, &err);
}

static const char *key_of(exia_library *library, const char *selector)
{
    exia_model *model = NULL;
    exia_view view;
    check_ok(exia_model_open(&model, library, selector, EXIA_OPEN_VERIFY, &err));
    check_ok(exia_model_view(&view, model, NULL, &err));
    const char *key = check_format("%s", strstr(view.path, "sha256/"));
    exia_model_free(model);
    return key;
}

static exia__blobs *open_blobs(void)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, check_format("file:%s", check_path("library/blobs")),
                              EXIA_STORE_WRITE, NULL, &err));
    return blobs;
}

TEST(a_store_that_needs_its_keys_first_keeps_the_same_blobs)
{
    static const size_t sizes[] = {SMALL, 17 * MIB};
    exia_library *keyed = open_on("plain"), *other = open_library();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *bytes = make_bytes(sizes[i]);
        int64_t version = 0;
        check_ok(write_bytes(&version, keyed, bytes, sizes[i]));
        check_ok(write_bytes(&version, other, bytes, sizes[i]));
        assert_string_equal(key_of(keyed, "m@latest-1"), key_of(other, "m"));
        assert_int_equal(count_blobs(), i + 1);
        free(bytes);
    }
    exia_library_free(keyed);
    exia_library_free(other);
}

/* What a write tells to store, in bytes; it stays zero where all of it is there already. */
static int note_storing(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done;
    if (strcmp(step, "storing") == 0)
        *(uint64_t *)payload = total;
    return 0;
}

static uint64_t stored(exia_library *library, const char *bytes, size_t size)
{
    uint64_t total = 0;
    int64_t version = 0;
    exia_part part = {.name = "model", .format = "bytes", .data = bytes, .size = size};
    exia_job job = {.struct_size = sizeof job, .progress = note_storing, .payload = &total};
    check_ok(exia_model_write(&version, library, "m", &part, 1, NULL, &job, &err));
    return total;
}

TEST(a_version_that_is_as_the_newest_is_not_written_again)
{
    exia_library *library = open_library();
    const size_t size = 2 * MIB;
    char *bytes = make_bytes(size);
    int64_t version = 0;
    check_ok(write_bytes(&version, library, bytes, size));
    assert_int_equal(stored(library, bytes, size), 0);
    assert_int_equal(count_blobs(), 1);
    bytes[size - 1]++; /* it looks the same but for its last byte */
    stored(library, bytes, size);
    assert_int_equal(count_blobs(), 2);
    assert_string_not_equal(key_of(library, "m"), key_of(library, "m@2"));
    memset(bytes, 'x', size);
    stored(library, bytes, size);
    assert_int_equal(count_blobs(), 3);
    exia_library_free(library);
    free(bytes);
}

TEST(what_is_wrong_with_the_newest_version_does_not_concern_the_next)
{
    exia_library *library = open_library();
    const size_t size = 2 * MIB;
    char *bytes = make_bytes(size);
    int64_t version = 0;
    check_ok(write_bytes(&version, library, bytes, size));
    const char *path = check_path(check_format("library/blobs/%s", key_of(library, "m")));
    assert_int_equal(unlink(path), 0);
    check_ok(write_bytes(&version, library, bytes, size));
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(truncate(path, 100), 0);
    check_ok(write_bytes(&version, library, bytes, size));
    key_of(library, "m");
    exia_library_free(library);
    free(bytes);
}

/* ---- meanwhile ------------------------------------------------------------------------------ */

typedef struct meanwhile {
    const char *bytes, *key;
} meanwhile;

static void store_too(void *payload)
{
    const meanwhile *now = payload;
    exia__blobs *blobs = open_blobs();
    exia_source source = exia__source_memory(now->bytes, SMALL);
    exia_status rc = exia__blobs_put(blobs, now->key, &source, NULL, &err);
    assert_true(rc == EXIA_OK || rc == EXIA_EEXISTS);
    exia__blobs_free(blobs);
}

/* A collector reads the logs after it has marked: what a version names then is spared. */
static void mark(void *payload)
{
    const meanwhile *now = payload;
    exia__records *records = NULL;
    exia_library *library = open_library();
    const int named = selected(library, "m") > 0;
    exia_library_free(library);
    if (named)
        return;
    check_ok(exia__records_open(&records,
                                check_format("sqlite:%s", check_path("library/catalog.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_put(NULL, records, "gc", now->key, "{\"format\":1}", EXIA_ANY, NULL,
                               NULL, &err));
    exia__records_free(records);
}

/* Write with `what` done before the first, second, third ... call of a store, each time into a library of
 * its own; `see` looks what became of it. */
static void write_meanwhile(void (*what)(void *), const char *const *schemes,
                            void (*see)(exia_library *, const meanwhile *))
{
    char *bytes = make_bytes(SMALL), hex[EXIA__HEX_SIZE];
    check_ok(exia__hash_hex(hex, bytes, SMALL, &err));
    meanwhile now = {bytes, check_format("sha256/%.2s/%s", hex, hex)};
    for (; *schemes != NULL; schemes++) {
        int reached = 1;
        for (long nth = 1; reached; nth++) {
            int64_t version = 0;
            check_ok(exia__tree_remove(check_path("library"), &err));
            exia_library *library = open_on(*schemes);
            faulty = (faulty_plan){.nth = nth, .instead = what, .payload = &now};
            check_ok(write_bytes(&version, library, bytes, SMALL));
            reached = faulty.instead == NULL;
            faulty = (faulty_plan){0};
            see(library, &now);
            exia_library_free(library);
            assert_true(nth > 10 || reached); /* there is something to come between */
        }
    }
    free(bytes);
}

static const char *const both_ways[] = {"faulty", "plain", NULL};

static void see_one_blob(exia_library *library, const meanwhile *now)
{
    assert_string_equal(key_of(library, "m"), now->key);
    assert_int_equal(count_blobs(), 1);
}

TEST(a_rival_that_stores_the_same_bytes_meanwhile_shares_the_blob)
{
    write_meanwhile(store_too, both_ways, see_one_blob);
}

/* What is marked may be removed at any time from then on. */
static void see_it_whole_without(exia_library *library, const meanwhile *now)
{
    exia__records *records = library->records;
    exia_status rc = exia__records_get(NULL, NULL, records, "gc", now->key, NULL, NULL);
    if (rc == EXIA_OK)
        unlink(check_path(check_format("library/blobs/%s", now->key)));
    key_of(library, "m");
}

TEST(a_collector_that_marks_the_blob_meanwhile_may_take_it)
{
    write_meanwhile(mark, both_ways, see_it_whole_without);
}

/* ---- a file that changes -------------------------------------------------------------------- */

typedef struct changing {
    const char *path;
    const char *step;
    size_t size;
} changing;

static void fill(const char *path, char seed, size_t size)
{
    char *data = malloc(size);
    assert_non_null(data);
    memset(data, seed, size);
    check_write_file(path, data, size);
    free(data);
}

static int change_file(const char *step, uint64_t done, uint64_t total, void *payload)
{
    const changing *now = payload;
    (void)done;
    (void)total;
    /* the next step is told of when a tenth of a second is over */
    if (strcmp(step, "writing") == 0)
        nanosleep(&(struct timespec){.tv_nsec = 101000000}, NULL);
    if (strcmp(step, now->step) == 0)
        fill(now->path, 'c', now->size);
    return 0;
}

TEST(a_file_that_changes_while_it_is_read_is_a_conflict)
{
    const struct {
        const char *scheme, *step;
        size_t size;
    } ways[] = {{"plain", "hashing", SMALL},  {"plain", "hashing", 5},
                {"plain", "storing", SMALL},  {"plain", "storing", 5},
                {"plain", "storing", 200000}, {"faulty", "storing", SMALL},
                {"faulty", "storing", 5},     {"faulty", "storing", 200000}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int64_t version = 0;
        exia_library *library = open_on(ways[i].scheme);
        changing change = {check_path("weights"), ways[i].step, ways[i].size};
        exia_part part = {.name = "model", .format = "file", .path = change.path};
        exia_job job = {.struct_size = sizeof job, .progress = change_file, .payload = &change};
        fill(change.path, 'w', SMALL);
        check_fails(EXIA_ECONFLICT,
                    exia_model_write(&version, library, "m", &part, 1, NULL, &job, &err));
        check_text("changed while it was read");
        assert_string_equal(found(library, NULL), "");
        exia_library_free(library);
    }
    assert_int_equal(count_blobs(), 0);
}
