/* Models whose blobs lie in a store far away: mapped from the cache, and read as well without one. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/cached.h"

enum { SIZE = 100000 };

static exia_library *open_distant(void)
{
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options};
    options.blobs_url = check_format("distant:file:%s", check_path("store"));
    distant_register();
    setenv("EXIA_HOME", check_path("home"), 1);
    check_ok(exia_library_open(&library, check_format("sqlite:%s", check_path("catalog.db")),
                               &options, &err));
    return library;
}

/* A version with one part of so many bytes. */
static void write_bytes(exia_library *library, char byte)
{
    int64_t version = 0;
    char *bytes = malloc(SIZE);
    memset(bytes, byte, SIZE);
    exia_part part = {.name = "model", .format = "bytes", .data = bytes, .size = SIZE};
    check_ok(exia_model_write(&version, library, "m", &part, 1, NULL, NULL, &err));
    free(bytes);
}

static void check_bytes(const exia_view *view, char byte)
{
    assert_int_equal(view->size, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        assert_int_equal(((const char *)view->data)[i], byte);
}

static exia_model *open_view(exia_view *view, exia_library *library, unsigned flags)
{
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, "m", flags, &err));
    check_ok(exia_model_view(view, model, NULL, &err));
    return model;
}

static void damage(const char *path, char byte)
{
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, &byte, 1, SIZE / 2), 1);
    close(fd);
}

TEST(a_damaged_file_of_the_cache_is_noticed_by_who_verifies_and_comes_again)
{
    exia_library *library = open_distant();
    exia_view view;
    write_bytes(library, 'a');
    exia_model *model = open_view(&view, library, 0);
    damage(view.path, 'b');
    const char *path = check_format("%s", view.path);
    exia_model_free(model);
    model = open_view(&view, library, EXIA_OPEN_VERIFY);
    check_bytes(&view, 'a');
    assert_int_equal(access(path, F_OK), -1);
    exia_model_free(model);
    model = open_view(&view, library, 0);
    check_bytes(&view, 'a');
    assert_string_equal(view.path, path);
    exia_model_free(model);
    exia_library_free(library);
}

TEST(a_store_with_other_bytes_opens_no_model)
{
    exia_library *library = open_distant();
    exia_model *model = NULL;
    write_bytes(library, 'a');
    distant->garbled = 1;
    for (unsigned flags = 0; flags < 2; flags++) {
        check_fails(EXIA_ECORRUPT, exia_model_open(&model, library, "m", flags, &err));
        check_text("part model");
    }
    setenv("EXIA_CACHE_SIZE", "0", 1);
    check_fails(EXIA_ECORRUPT, exia_model_open(&model, library, "m", 0, &err));
    setenv("EXIA_CACHE_SIZE", "a lot", 1);
    check_fails(EXIA_EINVAL, exia_model_open(&model, library, "m", 0, &err));
    exia_library_free(library);
}

TEST(a_part_of_a_remote_store_has_a_path_a_descriptor_and_a_mapping_of_its_own)
{
    exia_library *library = open_distant();
    exia_view view, other;
    char byte = 0;
    write_bytes(library, 'a');
    exia_model *model = open_view(&view, library, 0);
    assert_non_null(strstr(view.path, "/home/cache/blobs/"));
    assert_int_equal(pread(view.fd, &byte, 1, SIZE - 1), 1);
    assert_int_equal(byte, 'a');
    assert_int_equal(view.writable, 1);
    memset(view.data, 'z', view.size);
    long gets = atomic_load(&distant->gets);
    exia_model *second = open_view(&other, library, EXIA_OPEN_READ_ONLY);
    check_bytes(&other, 'a');
    assert_int_equal(distant->gets, gets);
    exia_model_free(model);
    exia_model_free(second);
    exia_library_free(library);
}

TEST(without_a_cache_a_part_is_in_memory_and_the_same)
{
    exia_library *library = open_distant();
    exia_view view;
    write_bytes(library, 'a');
    setenv("EXIA_CACHE_SIZE", "1K", 1);
    exia_model *model = open_view(&view, library, 0);
    check_bytes(&view, 'a');
    assert_null(view.path);
    assert_int_equal(view.fd, -1);
    exia_model_free(model);
    exia_library_free(library);
}

TEST(an_open_model_outlives_its_library_and_its_file_in_the_cache)
{
    exia_library *library = open_distant();
    exia_view view;
    write_bytes(library, 'a');
    exia_model *model = open_view(&view, library, 0);
    exia_library_free(library);
    check_ok(exia__tree_remove(check_path("home"), &err));
    check_ok(exia__tree_remove(check_path("store"), &err));
    check_bytes(&view, 'a');
    exia_model_free(model);
}

TEST(what_is_cached_is_read_while_the_store_is_away)
{
    exia_library *library = open_distant();
    exia_model *model = NULL;
    exia_view view;
    write_bytes(library, 'a');
    exia_model_free(open_view(&view, library, 0));
    check_ok(exia__tree_remove(check_path("store/sha256"), &err));
    model = open_view(&view, library, EXIA_OPEN_VERIFY);
    check_bytes(&view, 'a');
    exia_model_free(model);
    exia_library_free(library);
}

TEST(a_model_whose_records_are_its_user_s_own_is_trusted_from_the_cache_too)
{
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options};
    options.blobs_url = check_format("distant:file:%s", check_path("store"));
    distant_register();
    setenv("EXIA_HOME", check_path("home"), 1);
    check_ok(exia_library_open(&library, check_path("library"), &options, &err));
    write_bytes(library, 'a');
    exia_view view;
    exia_model *model = open_view(&view, library, 0);
    assert_non_null(view.path);
    assert_string_equal(exia_model_policy(model), "{\"trusted\":true}");
    exia_model_free(model);
    exia_library_free(library);
}

static int stop_while_it_comes(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)total;
    *(uint64_t *)payload = done;
    return done > 0;
}

TEST(an_open_that_is_cancelled_while_a_blob_comes_is_gone_on_with)
{
    exia_library *library = open_distant();
    exia_model *model = NULL;
    exia_view view;
    uint64_t done = 0;
    const exia_job job = {
        .struct_size = sizeof job, .progress = stop_while_it_comes, .payload = &done};
    write_bytes(library, 'a');
    distant->told = 0;
    check_fails(EXIA_ECANCELLED, exia_model_open_with(&model, library, "m", 0, &job, &err));
    assert_null(model);
    assert_true(done > 0 && done < SIZE);
    distant->told = 0;
    model = open_view(&view, library, 0);
    check_bytes(&view, 'a');
    assert_int_equal(distant->told, SIZE - done);
    exia_model_free(model);
    check_fails(EXIA_EINVAL, exia_model_open_with(NULL, library, "m", 0, &job, &err));
    exia_library_free(library);
}

static exia_status open_anew(void *payload, exia_error *error)
{
    exia_model *model = NULL;
    exia_view view = {0};
    (void)payload;
    (void)exia__tree_remove(check_path("home/cache"), NULL);
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options};
    options.blobs_url = check_format("distant:file:%s", check_path("store"));
    exia_status rc = exia_library_open(
        &library, check_format("sqlite:%s", check_path("catalog.db")), &options, error);
    if (rc == EXIA_OK)
        rc = exia_model_open(&model, library, "m", 0, error);
    if (rc == EXIA_OK)
        rc = exia_model_view(&view, model, NULL, error);
    if (rc == EXIA_OK && view.path == NULL)
        rc = EXIA_EIO; /* a cache that memory failed is no reason to do without */
    exia_model_free(model);
    exia_library_free(library);
    return rc;
}

TEST(an_allocation_that_fails_opens_nothing_and_the_next_one_maps)
{
    exia_library *library = open_distant();
    write_bytes(library, 'a');
    exia_library_free(library);
    check_survives_no_memory(open_anew, NULL);
}
