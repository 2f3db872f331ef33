/* The bytes of versions: where they are kept, how they are seen, what happens when they are damaged,
 * and a version as a plain directory. */
#include "support/models.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "store/store.h"

enum { LARGE = 100000 };

/* A file of `size` bytes that repeat `seed`. */
static const char *make_file(const char *name, char seed, size_t size)
{
    const char *path = check_path(name);
    char *data = malloc(size);
    memset(data, seed, size);
    check_write_file(path, data, size);
    free(data);
    return path;
}

static int64_t write_file(exia_library *library, const char *path)
{
    int64_t version = 0;
    exia_part part = {.name = "model", .format = "file", .path = path};
    check_ok(exia_model_write(&version, library, "m", &part, 1, NULL, NULL, &err));
    return version;
}

/* Where the library keeps bytes with this digest. */
static const char *blob_of(const char *data, size_t size)
{
    char hex[EXIA__HEX_SIZE];
    check_ok(exia__hash_hex(hex, data, size, &err));
    return check_path(check_format("library/blobs/sha256/%.2s/%s", hex, hex));
}

static const char *blob_of_seed(char seed, size_t size)
{
    char *data = malloc(size);
    memset(data, seed, size);
    const char *path = blob_of(data, size);
    free(data);
    return path;
}

static void check_view(const exia_model *model, const char *part, char seed, size_t size)
{
    exia_view view;
    check_ok(exia_model_view(&view, model, part, &err));
    assert_int_equal(view.size, size);
    assert_int_equal((uintptr_t)view.data % 64, 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(((const char *)view.data)[i], seed);
}

/* ---- views ---------------------------------------------------------------------------------- */

TEST(a_file_is_mapped_and_writing_to_it_stays_private)
{
    exia_library *library = open_library();
    exia_model *model = NULL, *other = NULL;
    exia_view view;
    write_file(library, make_file("weights", 'w', LARGE));
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    check_view(model, "model", 'w', LARGE);
    check_ok(exia_model_view(&view, model, NULL, &err));
    assert_string_equal(view.path, blob_of_seed('w', LARGE));
    assert_true(view.fd >= 0);
    assert_int_equal(view.offset, 0);
    char byte = 0;
    assert_int_equal(pread(view.fd, &byte, 1, LARGE - 1), 1);
    assert_int_equal(byte, 'w');
    memset(view.data, 'z', view.size);
    check_ok(exia_model_open(&other, library, "m", EXIA_OPEN_POPULATE, &err));
    check_view(other, NULL, 'w', LARGE);
    exia_model_free(other);
    exia_model_free(model);
    exia_library_free(library);
}

TEST(an_open_model_outlives_its_library_its_removal_and_its_file)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    write_file(library, make_file("weights", 'w', LARGE));
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    exia_library_free(library);
    assert_int_equal(unlink(blob_of_seed('w', LARGE)), 0);
    check_view(model, NULL, 'w', LARGE);
    exia_model_free(model);
}

TEST(small_parts_lie_in_the_log_and_files_never_do)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    exia_view view;
    int64_t version = 0;
    char *bytes = malloc(16385);
    memset(bytes, 'b', 16385);
    const exia_part parts[] = {
        {.name = "small", .format = "bytes", .data = bytes, .size = 16000},
        {.name = "more", .format = "bytes", .data = bytes, .size = 385},
        {.name = "rest", .format = "bytes", .data = bytes, .size = 384},
        {.name = "none", .format = "bytes", .data = bytes, .size = 0},
        {.name = "file", .format = "file", .path = make_file("tiny", 'f', 3)},
        {.name = "empty", .format = "file", .path = make_file("nothing", 'f', 0)},
    };
    check_ok(exia_model_write(&version, library, "m", parts, 6, NULL, NULL, &err));
    assert_int_equal(count_blobs(), 3); /* more, file, empty */
    for (unsigned flags = 0; flags < 4; flags++) {
        check_ok(exia_model_open(&model, library, "m", flags, &err));
        check_view(model, "small", 'b', 16000);
        check_view(model, "more", 'b', 385);
        check_view(model, "rest", 'b', 384);
        check_view(model, "none", 'b', 0);
        check_view(model, "file", 'f', 3);
        check_view(model, "empty", 'f', 0);
        check_ok(exia_model_view(&view, model, "small", &err));
        assert_null(view.path);
        assert_int_equal(view.fd, -1);
        check_ok(exia_model_view(&view, model, "empty", &err));
        assert_non_null(view.path);
        assert_non_null(view.data);
        check_fails(EXIA_EINVAL, exia_model_view(&view, model, NULL, &err));
        check_text("small, more, rest, none, file, empty");
        check_fails(EXIA_ENOTFOUND, exia_model_view(&view, model, "other", &err));
        check_fails(EXIA_EINVAL, exia_model_view(&view, NULL, "other", &err));
        check_fails(EXIA_EINVAL, exia_model_view(NULL, model, "other", &err));
        exia_model_free(model);
    }
    bytes[0] = 'x';
    const exia_part exact = {.name = "model", .format = "bytes", .data = bytes, .size = 16384};
    check_ok(exia_model_write(&version, library, "m", &exact, 1, NULL, NULL, &err));
    assert_int_equal(count_blobs(), 3);
    const exia_part above = {.name = "model", .format = "bytes", .data = bytes, .size = 16385};
    check_ok(exia_model_write(&version, library, "m", &above, 1, NULL, NULL, &err));
    assert_int_equal(count_blobs(), 4);
    free(bytes);
    exia_library_free(library);
}

/* ---- one blob for equal bytes --------------------------------------------------------------- */

TEST(equal_bytes_are_kept_once_and_made_young)
{
    exia_library *library = open_library();
    const char *path = make_file("weights", 'w', LARGE), *blob = blob_of_seed('w', LARGE);
    struct stat info;
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    write_file(library, path);
    assert_int_equal(utimensat(AT_FDCWD, blob, old, 0), 0);
    write_file(library, path);
    assert_int_equal(count_blobs(), 1);
    assert_int_equal(stat(blob, &info), 0);
    assert_true(info.st_mtim.tv_sec > 1000);
    exia_library_free(library);
}

TEST(a_damaged_blob_is_not_used_again)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    const char *path = make_file("weights", 'w', LARGE), *blob = blob_of_seed('w', LARGE);
    write_file(library, path);
    assert_int_equal(chmod(blob, 0644), 0);
    make_file(check_format("library/blobs%s", strstr(blob, "/sha256")), 'X', LARGE); /* same size */
    write_file(library, path);
    assert_int_equal(count_blobs(), 2);
    check_ok(exia_model_open(&model, library, "m@2", EXIA_OPEN_VERIFY, &err));
    check_view(model, NULL, 'w', LARGE);
    exia_model_free(model);
    check_fails(EXIA_ECORRUPT, exia_model_open(&model, library, "m@1", EXIA_OPEN_VERIFY, &err));
    check_text("SHA-256");
    check_fails(EXIA_ECORRUPT, exia_library_export(library, "m@1", check_path("out"), NULL, &err));
    assert_int_equal(access(check_path("out"), F_OK), -1);
    make_file(check_format("library/blobs%s", strstr(blob, "/sha256")), 'w',
              10); /* and too short */
    write_file(library, path);
    assert_int_equal(count_blobs(), 2);
    check_fails(EXIA_ECORRUPT, exia_model_open(&model, library, "m@1", 0, &err));
    check_text("has 10 bytes");
    exia_library_free(library);
}

TEST(a_lost_blob_is_said_and_prevents_a_rollback)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    int64_t at = 7;
    write_file(library, make_file("weights", 'w', LARGE));
    check_ok(exia_alias_move(library, "m", "a", 1, EXIA_ABSENT, NULL, &err));
    write_model(library, "m", "x", NULL, "a", 1);
    assert_int_equal(unlink(blob_of_seed('w', LARGE)), 0);
    check_fails(EXIA_ECORRUPT, exia_model_open(&model, library, "m@1", 0, &err));
    check_text("part model");
    check_text("gone");
    check_fails(EXIA_ENOTFOUND, exia_alias_rollback(&at, library, "m", "a", EXIA_ANY, NULL, &err));
    assert_int_equal(selected(library, "m@a"), 2);
    make_file(check_format("library/blobs%s", strstr(blob_of_seed('w', LARGE), "/sha256")), 'w', 9);
    check_fails(EXIA_ECORRUPT, exia_alias_rollback(&at, library, "m", "a", EXIA_ANY, NULL, &err));
    assert_int_equal(selected(library, "m@a"), 2);
    exia_library_free(library);
}

/* ---- what a collector marked ---------------------------------------------------------------- */

static void mark(const char *key)
{
    exia__records *records = NULL;
    check_ok(exia__records_open(&records,
                                check_format("sqlite:%s", check_path("library/catalog.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(
        exia__records_put(NULL, records, "gc", key, "{\"format\":1}", EXIA_ANY, NULL, NULL, &err));
    exia__records_free(records);
}

TEST(a_marked_blob_is_never_used_again)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    exia_view view;
    const char *path = make_file("weights", 'w', LARGE), *blob = blob_of_seed('w', LARGE);
    write_file(library, path);
    mark(strstr(blob, "sha256"));
    write_file(library, path);
    assert_int_equal(unlink(blob), 0); /* collected */
    check_ok(exia_model_open(&model, library, "m@2", EXIA_OPEN_VERIFY, &err));
    check_ok(exia_model_view(&view, model, NULL, &err));
    assert_string_equal(view.path, check_format("%s.1", blob));
    exia_model_free(model);
    exia_library_free(library);
}

/* Progress is told while the bytes are stored: a collector that marks just then. */
static int mark_late(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done;
    (void)total;
    if (strcmp(step, "storing") == 0)
        mark(payload);
    return 0;
}

TEST(a_blob_marked_before_the_commit_is_stored_once_more)
{
    exia_library *library = open_library();
    const char *path = make_file("weights", 'w', LARGE), *blob = blob_of_seed('w', LARGE);
    int64_t version = 0;
    exia_part part = {.name = "model", .format = "file", .path = path};
    exia_job job = {.struct_size = sizeof job,
                    .progress = mark_late,
                    .payload = (void *)(uintptr_t)strstr(blob, "sha256")};
    check_ok(exia_model_write(&version, library, "m", &part, 1, NULL, &job, &err));
    exia_model *model = NULL;
    exia_view view;
    check_ok(exia_model_open(&model, library, "m", EXIA_OPEN_VERIFY, &err));
    check_ok(exia_model_view(&view, model, NULL, &err));
    assert_string_equal(view.path, check_format("%s.1", blob));
    exia_model_free(model);
    exia_library_free(library);
}

TEST(a_blob_marked_after_the_look_is_repaired_by_an_entry)
{
    exia_library *library = open_library();
    const char *path = make_file("weights", 'w', LARGE), *blob = blob_of_seed('w', LARGE);
    int64_t version = 0;
    exia_part part = {.name = "model", .format = "file", .path = path};
    exia_write_options options = {.struct_size = sizeof options, .token = "once"};
    check_ok(exia_model_write(&version, library, "m", &part, 1, &options, NULL, &err));
    mark(strstr(blob, "sha256"));
    exia_model *before = NULL, *model = NULL;
    check_ok(exia_model_open(&before, library, "m", 0, &err));
    check_ok(exia_model_write(&version, library, "m", &part, 1, &options, NULL, &err));
    assert_int_equal(version, 1);
    assert_int_equal(unlink(blob), 0); /* collected */
    exia_library_free(library);
    library = open_library();
    check_ok(exia_model_open(&model, library, "m", EXIA_OPEN_VERIFY, &err));
    check_view(model, NULL, 'w', LARGE);
    check_view(before, NULL, 'w', LARGE);
    exia_model_free(model);
    exia_model_free(before);
    exia_rows *rows = NULL;
    check_ok(exia_library_history(&rows, library, "m", &err));
    assert_non_null(strstr(rows_text(rows), "\"repair\""));
    exia_library_free(library);
}

/* ---- what does not come to its end ----------------------------------------------------------- */

static int stop(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step;
    (void)done;
    (void)total;
    (void)payload;
    return 1;
}

TEST(a_write_that_is_cancelled_leaves_nothing_visible)
{
    exia_library *library = open_library();
    int64_t version = 0;
    exia_part part = {.name = "model", .format = "file", .path = make_file("weights", 'w', LARGE)};
    exia_job job = {.struct_size = sizeof job, .progress = stop};
    check_fails(EXIA_ECANCELLED,
                exia_model_write(&version, library, "m", &part, 1, NULL, &job, &err));
    assert_string_equal(found(library, NULL), "");
    check_fails(EXIA_ENOTFOUND, exia_library_export(library, "m", check_path("out"), NULL, &err));
    write_file(library, part.path);
    check_fails(EXIA_ECANCELLED, exia_library_export(library, "m", check_path("out"), &job, &err));
    assert_int_equal(access(check_path("out"), F_OK), -1);
    exia_library_free(library);
}

TEST(a_failed_write_leaves_no_temporary_file)
{
    exia_library *library = open_library();
    int64_t version = 0;
    const exia_part parts[] = {
        {.name = "a", .format = "file", .path = make_file("weights", 'w', LARGE)},
        {.name = "b", .format = "file", .path = check_path("missing")},
    };
    check_fails(EXIA_ENOTFOUND,
                exia_model_write(&version, library, "m", parts, 2, NULL, NULL, &err));
    check_text("part b");
    assert_int_equal(count_blobs(), 1); /* an orphan, which a collector will find */
    assert_string_equal(found(library, NULL), "");
    exia_library_free(library);
}

/* ---- plain directories ---------------------------------------------------------------------- */

static exia_library *two_parts(void)
{
    exia_library *library = open_library();
    int64_t version = 0;
    const exia_part parts[] = {
        {.name = "weights", .format = "file", .path = make_file("weights", 'w', LARGE)},
        {.name = "notes.txt", .format = "bytes", .data = "hello", .size = 5},
    };
    exia_write_options options = {
        .struct_size = sizeof options,
        .facts = "{\"metrics\": {\"auc\": 1}, \"environment\": {\"python\": \"3.12\"}}",
        .alias = "champion"};
    check_ok(exia_model_write(&version, library, "m", parts, 2, &options, NULL, &err));
    return library;
}

TEST(an_exported_version_opens_without_its_library)
{
    exia_library *library = two_parts();
    exia_model *model = NULL;
    exia_view view;
    char *environment = NULL;
    check_ok(exia_library_export(library, "m@champion", check_path("out/"), NULL, &err));
    exia_library_free(library);
    assert_int_equal(exia__tree_remove(check_path("library"), NULL), EXIA_OK);
    for (unsigned flags = 0; flags < 4; flags++) {
        check_ok(exia_model_open_directory(&model, check_path("out"), NULL, flags, &err));
        check_view(model, "weights", 'w', LARGE);
        check_ok(exia_model_view(&view, model, "notes.txt", &err));
        assert_memory_equal(view.data, "hello", 5);
        assert_string_equal(view.path, check_path("out/notes.txt"));
        assert_non_null(strstr(exia_model_facts(model), "\"auc\":1"));
        assert_non_null(strstr(exia_model_facts(model), "champion"));
        check_ok(exia_model_environment(&environment, model, &err));
        assert_string_equal(environment, "{\"python\":\"3.12\"}");
        exia_text_free(environment);
        exia_model_free(model);
    }
}

TEST(an_export_never_replaces_anything)
{
    exia_library *library = two_parts();
    check_ok(exia__directory_make(check_path("out"), &err));
    check_fails(EXIA_EEXISTS, exia_library_export(library, "m", check_path("out"), NULL, &err));
    check_fails(EXIA_EEXISTS,
                exia_library_export(library, "m", make_file("file", 'x', 1), NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_library_export(library, "m", check_path("no/where"), NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_export(library, "m", "", NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_export(library, "m", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_export(NULL, "m", "x", NULL, &err));
    exia_library_free(library);
    size_t others = 0; /* nothing is left beside */
    DIR *listing = opendir(check_directory());
    for (const struct dirent *entry = NULL; (entry = readdir(listing)) != NULL;)
        others += strncmp(entry->d_name, ".exia", 5) == 0;
    closedir(listing);
    assert_int_equal(others, 0);
}

/* `out` with one thing about it changed. */
static void check_spoiled(exia_status status, const char *text)
{
    exia_model *model = NULL;
    check_fails(status, exia_model_open_directory(&model, check_path("out"), NULL, 0, &err));
    check_text(text);
    assert_null(model);
}

TEST(a_spoiled_directory_is_refused)
{
    exia_library *library = two_parts();
    exia_model *model = NULL;
    check_spoiled(EXIA_ENOTFOUND, "version.json");
    check_ok(exia_library_export(library, "m", check_path("out"), NULL, &err));
    make_file("out/notes.txt", 'h', 4);
    check_spoiled(EXIA_ECORRUPT, "has 4 bytes, not 5");
    make_file("out/notes.txt", 'h', 5);
    check_ok(exia_model_open_directory(&model, check_path("out"), NULL, 0, &err));
    exia_model_free(model);
    check_fails(EXIA_ECORRUPT,
                exia_model_open_directory(&model, check_path("out"), NULL, EXIA_OPEN_VERIFY, &err));
    unlink(check_path("out/notes.txt"));
    check_spoiled(EXIA_ECORRUPT, "missing");
    assert_int_equal(symlink("/etc/hostname", check_path("out/notes.txt")), 0);
    check_spoiled(EXIA_EINVAL, "notes.txt");
    unlink(check_path("out/notes.txt"));
    assert_int_equal(mkfifo(check_path("out/notes.txt"), 0600), 0);
    check_spoiled(EXIA_ECORRUPT, "regular");
    const struct {
        const char *json;
        exia_status status;
        const char *text;
    } bad[] = {
        {"", EXIA_ECORRUPT, "version.json"},
        {"[]", EXIA_ECORRUPT, "object"},
        {"{}", EXIA_ECORRUPT, "format"},
        {"{\"format\":2}", EXIA_EVERSION, "format 2"},
        {"{\"format\":1}", EXIA_ECORRUPT, "name"},
        {"{\"format\":1,\"version\":{\"name\":\"m\",\"version\":1}}", EXIA_ECORRUPT, "parts"},
        {"{\"format\":1,\"version\":{\"name\":\"m\",\"version\":1,\"parts\":[{\"name\":\"../x\","
         "\"format\":\"f\",\"size\":1,\"sha256\":\"00\"}]}}",
         EXIA_ECORRUPT, "name"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_write_file(check_path("out/version.json"), bad[i].json, strlen(bad[i].json));
        check_spoiled(bad[i].status, bad[i].text);
    }
    check_fails(EXIA_EINVAL, exia_model_open_directory(&model, NULL, NULL, 0, &err));
    check_fails(EXIA_EINVAL, exia_model_open_directory(&model, "x", NULL, 64, &err));
    exia_library_free(library);
}

/* ---- trust ---------------------------------------------------------------------------------- */

static const char *policy_of(exia_library *library, const char *selector, unsigned flags)
{
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, selector, flags, &err));
    const char *policy = check_format("%s", exia_model_policy(model));
    exia_model_free(model);
    return policy;
}

TEST(only_what_this_user_alone_can_write_is_trusted)
{
    exia_library *library = two_parts();
    setenv("EXIA_HOME", check_path("home"), 1);
    assert_string_equal(policy_of(library, "m", 0), "{\"trusted\":true}");
    /* a blob that others may write: its bytes count as theirs, unless they are compared */
    const char *blob = blob_of_seed('w', LARGE);
    assert_int_equal(chmod(blob, 0666), 0);
    assert_non_null(strstr(policy_of(library, "m", 0), "\"trusted\":false"));
    assert_string_equal(policy_of(library, "m", EXIA_OPEN_VERIFY), "{\"trusted\":true}");
    assert_int_equal(chmod(blob, 0444), 0);
    exia_library_free(library);
    const char *places[] = {"library", "library/catalog.db", "library/blobs"};
    for (size_t i = 0; i < 3; i++) {
        struct stat info;
        assert_int_equal(stat(check_path(places[i]), &info), 0);
        assert_int_equal(chmod(check_path(places[i]), info.st_mode | 0022), 0);
        library = open_library();
        assert_non_null(strstr(policy_of(library, "m", 0), "\"trusted\":false"));
        exia_library_free(library);
        assert_int_equal(chmod(check_path(places[i]), info.st_mode & 07777), 0);
    }
    library = open_library();
    assert_string_equal(policy_of(library, "m", 0), "{\"trusted\":true}");
    exia_library_free(library);
    unsetenv("EXIA_HOME");
}

TEST(what_comes_from_elsewhere_goes_by_the_policy)
{
    exia_library *library = two_parts();
    exia_model *model = NULL;
    const char *trust = check_path("trust.json");
    const char *text = "{\"format\":1,\"packages\":[\"sklearn\"],\"constructors\":[\"a.B\"]}";
    check_write_file(trust, text, strlen(text));
    check_ok(exia_library_export(library, "m", check_path("out"), NULL, &err));
    check_ok(exia_model_open_directory(&model, check_path("out"), trust, EXIA_OPEN_VERIFY, &err));
    assert_non_null(strstr(exia_model_policy(model), "\"trusted\":false"));
    assert_non_null(strstr(exia_model_policy(model), "\"packages\":[\"sklearn\"]"));
    assert_non_null(strstr(exia_model_policy(model), "\"constructors\":[\"a.B\"]"));
    exia_model_free(model);
    check_write_file(trust, "{", 1);
    check_fails(EXIA_EINVAL, exia_model_open_directory(&model, check_path("out"), trust, 0, &err));
    exia_library_free(library);
    /* a library at URLs */
    exia_library_options options = {.struct_size = sizeof options, .trust_file = trust};
    options.blobs_url = check_format("file:%s", check_path("library/blobs"));
    check_write_file(trust, text, strlen(text));
    check_ok(exia_library_open(
        &library, check_format("sqlite:%s", check_path("library/catalog.db")), &options, &err));
    assert_non_null(strstr(policy_of(library, "m", 0), "\"trusted\":false"));
    exia_library_free(library);
}
