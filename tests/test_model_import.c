/* Versions that were made elsewhere: they say so, go by the policy, and come once. */
#include <pthread.h>
#include <string.h>

#include "support/models.h"

static const char facts[] = "{\"origin\":\"/elsewhere/x.pkl\",\"tags\":{\"t\":1}}";

static exia_status import_to(int64_t *version, exia_library *library, const char *name,
                             const char *bytes, int dry_run, exia_error *error)
{
    exia_part part = {.name = "model", .format = "pickle", .data = bytes, .size = strlen(bytes)};
    exia_write_options options = {
        .struct_size = sizeof options, .facts = facts, .expect = EXIA_ANY, .dry_run = dry_run};
    return exia_model_write(version, library, name, &part, 1, &options, NULL, error);
}

static int64_t import(exia_library *library, const char *name, const char *bytes, int dry_run)
{
    int64_t version = -1;
    check_ok(import_to(&version, library, name, bytes, dry_run, &err));
    return version;
}

static const char *policy_of(exia_library *library, const char *selector)
{
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, selector, 0, &err));
    const char *policy = check_format("%s", exia_model_policy(model));
    exia_model_free(model);
    return policy;
}

TEST(an_origin_is_one_line_of_text)
{
    static const char *const bad[] = {"{\"origin\":\"\"}", "{\"origin\":3}",
                                      "{\"origin\":\"a\\nb\"}", "{\"origin\":[]}"};
    exia_library *library = open_library();
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        exia_write_options options = {.struct_size = sizeof options, .facts = bad[i]};
        int64_t version = -1;
        check_fails(EXIA_EINVAL,
                    exia_model_write(&version, library, "x", &part, 1, &options, NULL, &err));
        check_text("origin");
    }
    char *text = NULL;
    check_fails(EXIA_EINVAL, exia_library_policy(NULL, library, &err));
    check_fails(EXIA_EINVAL, exia_library_policy(&text, NULL, &err));
    exia_library_free(library);
}

TEST(what_has_an_origin_goes_by_the_policy_and_its_neighbours_do_not)
{
    exia_library *library = open_library();
    write_model(library, "x", "own", NULL, NULL, 0);
    assert_int_equal(import(library, "x", "foreign", 0), 2);
    write_model(library, "x", "own again", NULL, NULL, 0);
    assert_string_equal(policy_of(library, "x@1"), "{\"trusted\":true}");
    assert_string_equal(policy_of(library, "x@3"), "{\"trusted\":true}");
    assert_non_null(strstr(policy_of(library, "x@2"), "\"trusted\":false"));
    assert_non_null(strstr(policy_of(library, "x@2"), "imported from /elsewhere/x.pkl"));
    exia_library_free(library);
    library = open_library(); /* nothing of it was only in memory */
    assert_non_null(strstr(policy_of(library, "x@2"), "imported from /elsewhere/x.pkl"));
    char *text = NULL;
    check_ok(exia_library_policy(&text, library, &err));
    assert_non_null(strstr(text, "\"trusted\":false"));
    exia_text_free(text);
    exia_library_free(library);
}

TEST(the_same_parts_come_once_and_a_dry_run_tells_where_they_are)
{
    exia_library *library = open_library();
    assert_int_equal(import(library, "x", "one", 1), 0);
    assert_string_equal(found(library, NULL), "");
    write_model(library, "x", "one", NULL, NULL, 0);
    assert_int_equal(import(library, "x", "one", 0), 2); /* one's own is no import */
    assert_int_equal(import(library, "x", "two", 0), 3);
    assert_int_equal(import(library, "x", "one", 0), 2);
    assert_int_equal(import(library, "x", "one", 1), 2);
    assert_int_equal(import(library, "y", "one", 1), 0);
    assert_string_equal(found(library, "name = 'x' order by version"), "x@1 x@2 x@3 ");
    check_ok(exia_model_remove(library, "x", 2, NULL, &err));
    assert_int_equal(import(library, "x", "one", 1), 0);
    assert_int_equal(import(library, "x", "one", 0), 4);
    exia_library_free(library);
}

typedef struct writer {
    exia_library *library; /* its own */
    int64_t version;
    exia_status status;
    exia_error error;
} writer;

static void *import_once(void *payload)
{
    writer *now = payload;
    now->status = import_to(&now->version, now->library, "x", "the same", 0, &now->error);
    return NULL;
}

TEST(writers_that_import_the_same_at_once_make_one_version)
{
    enum { WRITERS = 4 };
    pthread_t thread[WRITERS];
    writer writers[WRITERS] = {0};
    for (size_t i = 0; i < WRITERS; i++)
        writers[i].library = open_library();
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, import_once, &writers[i]), 0);
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    for (size_t i = 0; i < WRITERS; i++) {
        assert_int_equal(writers[i].status, EXIA_OK);
        assert_int_equal(writers[i].version, 1);
    }
    assert_string_equal(found(writers[0].library, NULL), "x@1 ");
    for (size_t i = 0; i < WRITERS; i++)
        exia_library_free(writers[i].library);
}
