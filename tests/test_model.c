/* The model library from outside: opening and writing, also with bad input. */
#include "support/models.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening -------------------------------------------------------------------------------- */

TEST(open_refuses_an_unknown_scheme)
{
    exia_library *library = NULL;
    check_fails(EXIA_EINVAL, exia_library_open(&library, "ftp://x/y", NULL, &err));
    check_text("ftp");
    assert_null(library);
}

TEST(open_refuses_an_empty_url_and_null_arguments)
{
    exia_library *library = NULL;
    check_fails(EXIA_EINVAL, exia_library_open(&library, "", NULL, &err));
    check_fails(EXIA_EINVAL, exia_library_open(NULL, "x", NULL, &err));
    exia_library_free(NULL);
    exia_model_free(NULL);
}

TEST(open_refuses_a_catalogue_that_is_no_database_and_leaves_it)
{
    exia_library *library = NULL;
    mkdir(check_path("library"), 0755);
    check_write_file(check_path("library/catalog.db"), "garbage, and more of it", 23);
    check_fails(EXIA_ECORRUPT, exia_library_open(&library, check_path("library"), NULL, &err));
    check_text("catalog.db");
    size_t size = 0;
    free(check_read_file(check_path("library/catalog.db"), &size));
    assert_int_equal(size, 23);
}

TEST(open_read_only_creates_nothing)
{
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options, .read_only = 1};
    check_fails(EXIA_ENOTFOUND, exia_library_open(&library, check_path("none"), &options, &err));
    check_text("there is no model library in ");
    assert_int_equal(access(check_path("none"), F_OK), -1);
}

TEST(a_read_only_library_reads_and_refuses_every_write)
{
    exia_library *library = open_library();
    write_model(library, "digits", "one", NULL, "champion", EXIA_ABSENT);
    exia_library_free(library);
    exia_library_options options = {.struct_size = sizeof options, .read_only = 1};
    check_ok(exia_library_open(&library, check_path("library"), &options, &err));
    assert_string_equal(bytes_of(library, "digits@champion"), "one");
    int64_t version = 7;
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    check_fails(EXIA_EDENIED,
                exia_model_write(&version, library, "digits", &part, 1, NULL, NULL, &err));
    assert_int_equal(version, 0);
    check_fails(EXIA_EDENIED,
                exia_alias_move(library, "digits", "champion", 0, EXIA_ANY, NULL, &err));
    check_fails(EXIA_EDENIED,
                exia_alias_rollback(NULL, library, "digits", "champion", EXIA_ANY, NULL, &err));
    check_fails(EXIA_EDENIED, exia_model_remove(library, "digits", 1, NULL, &err));
    exia_library_free(library);
}

TEST(a_new_library_is_never_writable_by_others)
{
    mode_t before = umask(0);
    exia_library_free(open_library());
    umask(before);
    struct stat info;
    assert_int_equal(stat(check_path("library"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0755);
}

TEST(blobs_of_another_library_are_refused)
{
    exia_library *library = open_library();
    exia_library_free(library);
    exia_library_options options = {.struct_size = sizeof options,
                                    .blobs_url = check_path("library/blobs")};
    options.blobs_url = check_format("file:%s", options.blobs_url);
    check_fails(EXIA_ECONFLICT, exia_library_open(&library, check_path("second"), &options, &err));
    check_text("another library");
    /* also when the records have an id of their own */
    check_ok(exia_library_open(&library, check_path("third"), NULL, &err));
    exia_library_free(library);
    check_fails(EXIA_ECONFLICT, exia_library_open(&library, check_path("third"), &options, &err));
    check_text("another library");
}

TEST(records_at_a_url_need_a_url_of_blobs)
{
    exia_library *library = NULL;
    const char *url = check_format("sqlite:%s", check_path("alone.db"));
    check_fails(EXIA_EINVAL, exia_library_open(&library, url, NULL, &err));
    check_text("blobs_url");
    exia_library_options options = {.struct_size = sizeof options};
    options.blobs_url = check_format("file:%s", check_path("blobs"));
    check_ok(exia_library_open(&library, url, &options, &err));
    assert_int_equal(write_model(library, "digits", "one", NULL, NULL, 0), 1);
    exia_library_free(library);
}

/* ---- writing -------------------------------------------------------------------------------- */

TEST(versions_are_numbered_one_two_three)
{
    exia_library *library = open_library();
    assert_int_equal(write_model(library, "digits", "one", NULL, NULL, 0), 1);
    assert_int_equal(write_model(library, "digits", "two", NULL, NULL, 0), 2);
    assert_int_equal(write_model(library, "other", "x", NULL, NULL, 0), 1);
    assert_int_equal(write_model(library, "digits", "three", NULL, NULL, 0), 3);
    assert_string_equal(bytes_of(library, "digits@1"), "one");
    assert_string_equal(bytes_of(library, "digits@2"), "two");
    assert_string_equal(bytes_of(library, "digits"), "three");
    exia_library_free(library);
    library = open_library();
    assert_int_equal(write_model(library, "digits", "four", NULL, NULL, 0), 4);
    assert_string_equal(bytes_of(library, "digits@1"), "one");
    exia_library_free(library);
}

TEST(write_refuses_names_that_are_none)
{
    exia_library *library = open_library();
    char *long_name = malloc(10001);
    memset(long_name, 'a', 10000);
    long_name[10000] = '\0';
    const char *names[] = {"",    "a/b",  "../x", ".x", "-x",     "a b",
                           "a@1", "\xff", "a\nb", NULL, long_name};
    int64_t version = 0;
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_fails(EXIA_EINVAL,
                    exia_model_write(&version, library, names[i], &part, 1, NULL, NULL, &err));
        check_fails(EXIA_EINVAL, exia_alias_move(library, names[i], "a", 1, EXIA_ANY, NULL, &err));
        check_fails(EXIA_EINVAL, exia_model_remove(library, names[i], 1, NULL, &err));
        exia_rows *rows = NULL;
        check_fails(EXIA_EINVAL, exia_library_history(&rows, library, names[i], &err));
    }
    assert_string_equal(found(library, NULL), "");
    free(long_name);
    exia_library_free(library);
}

TEST(write_refuses_bad_parts_and_nothing_changes)
{
    exia_library *library = open_library();
    const struct {
        exia_part parts[2];
        size_t count;
        exia_status status;
        const char *text;
    } bad[] = {
        {{{0}}, 0, EXIA_EINVAL, "at least one part"},
        {{{0}}, 1001, EXIA_EINVAL, "1001"},
        {{{.name = "a/b", .format = "bytes", .data = "x"}}, 1, EXIA_EINVAL, "part name"},
        {{{.name = NULL, .format = "bytes", .data = "x"}}, 1, EXIA_EINVAL, "part name"},
        {{{.name = "version.json", .format = "bytes", .data = "x"}},
         1,
         EXIA_EINVAL,
         "version.json"},
        {{{.name = "m", .format = NULL, .data = "x"}}, 1, EXIA_EINVAL, "format"},
        {{{.name = "m", .format = "a b", .data = "x"}}, 1, EXIA_EINVAL, "format"},
        {{{.name = "m", .format = "bytes"}}, 1, EXIA_EINVAL, "path"},
        {{{.name = "m", .format = "file", .data = "x", .path = "y"}}, 1, EXIA_EINVAL, "not both"},
        {{{.name = "m", .format = "file", .path = "/nowhere/at/all"}},
         1,
         EXIA_ENOTFOUND,
         "nowhere"},
        {{{.name = "m", .format = "file", .path = "/tmp"}}, 1, EXIA_EINVAL, "regular file"},
        {{{.name = "m", .format = "file", .path = "/dev/null"}}, 1, EXIA_EINVAL, "regular file"},
        {{{.name = "m", .format = "bytes", .data = "x"}, {.name = "m", .format = "b", .data = "y"}},
         2,
         EXIA_EINVAL,
         "two parts are called m"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t version = 5;
        check_fails(bad[i].status, exia_model_write(&version, library, "digits", bad[i].parts,
                                                    bad[i].count, NULL, NULL, &err));
        check_text(bad[i].text);
        assert_int_equal(version, 0);
    }
    assert_string_equal(found(library, NULL), "");
    exia_library_free(library);
}

TEST(a_part_in_pieces_is_stored_as_one_run_of_bytes)
{
    enum { LARGE = 3 << 20 };
    exia_library *library = open_library();
    char *large = calloc(1, LARGE);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 7 + i / 251);
    const exia_slice small[] = {{"ab", 2}, {NULL, 0}, {"", 0}, {"cde", 3}};
    const exia_slice pieces[] = {{large, 1},
                                 {large + 1, 0},
                                 {large + 1, 1 << 20},
                                 {large + 1 + (1 << 20), LARGE - 1 - (1 << 20)}};
    const exia_slice missing[] = {{"ab", 2}, {NULL, 1}};
    exia_part parts[] = {
        {.name = "within", .format = "bytes", .pieces = small, .piece_count = 4},
        {.name = "beside", .format = "bytes", .pieces = pieces, .piece_count = 4},
        {.name = "nothing", .format = "bytes", .pieces = small, .piece_count = 0},
        {.name = "whole", .format = "bytes", .data = large, .size = LARGE},
    };
    int64_t version = 0;
    check_ok(exia_model_write(&version, library, "digits", parts, 4, NULL, NULL, &err));
    exia_model *model = NULL;
    exia_view view;
    check_ok(exia_model_open(&model, library, "digits", EXIA_OPEN_VERIFY, &err));
    check_ok(exia_model_view(&view, model, "within", &err));
    assert_int_equal(view.size, 5);
    assert_memory_equal(view.data, "abcde", 5);
    check_ok(exia_model_view(&view, model, "beside", &err));
    assert_int_equal(view.size, LARGE);
    assert_memory_equal(view.data, large, LARGE);
    check_ok(exia_model_view(&view, model, "nothing", &err));
    assert_int_equal(view.size, 0);
    exia_model_free(model);
    parts[0].pieces = missing;
    parts[0].piece_count = 2;
    check_fails(EXIA_EINVAL,
                exia_model_write(&version, library, "digits", parts, 1, NULL, NULL, &err));
    check_text("piece 1");
    parts[0].data = "x";
    check_fails(EXIA_EINVAL,
                exia_model_write(&version, library, "digits", parts, 1, NULL, NULL, &err));
    check_text("not both");
    free(large);
    exia_library_free(library);
}

TEST(a_parent_by_number_must_be_there)
{
    exia_library *library = open_library();
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    exia_write_options options = {.struct_size = sizeof options, .facts = "{\"parent\": 1}"};
    int64_t version = 0;
    check_fails(EXIA_ENOTFOUND,
                exia_model_write(&version, library, "m", &part, 1, &options, NULL, &err));
    check_text("no version 1");
    check_ok(exia_model_write(&version, library, "m", &part, 1, NULL, NULL, &err));
    check_ok(exia_model_write(&version, library, "m", &part, 1, &options, NULL, &err));
    assert_int_equal(version, 2);
    exia_library_free(library);
}

TEST(write_refuses_bad_facts_and_says_which)
{
    exia_library *library = open_library();
    const struct {
        const char *facts, *text;
    } bad[] = {
        {"", "facts"},
        {"[]", "object"},
        {"1", "object"},
        {"{\"tags\": {}", "JSON"},
        {"{\"tags\": {\"a\": 1, \"a\": 2}}", "facts"},
        {"{\"colour\": 1}", "colour"},
        {"{\"tags\": []}", "tags"},
        {"{\"tags\": {\"a\": {}}}", "tags.a"},
        {"{\"tags\": {\"\": 1}}", "tags"},
        {"{\"metrics\": {\"auc\": \"high\"}}", "metrics.auc"},
        {"{\"metrics\": {\"auc\": true}}", "metrics.auc"},
        {"{\"metrics\": {\"auc\": null}}", "metrics.auc"},
        {"{\"params\": 3}", "params"},
        {"{\"parent\": 0}", "parent"},
        {"{\"parent\": \"digits\"}", "parent"},
        {"{\"parent\": \"a/b@3\"}", "parent"},
        {"{\"environment\": \"abc\"}", "environment"},
        {"{\"imports\": {}}", "imports"},
        {"{\"imports\": [1]}", "imports"},
    };
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t version = 0;
        exia_write_options options = {.struct_size = sizeof options, .facts = bad[i].facts};
        check_fails(EXIA_EINVAL,
                    exia_model_write(&version, library, "digits", &part, 1, &options, NULL, &err));
        check_text(bad[i].text);
    }
    char *large = malloc((1 << 20) + 20);
    memset(large, ' ', (1 << 20) + 19);
    memcpy(large, "{}", 2);
    large[(1 << 20) + 19] = '\0';
    int64_t version = 0;
    exia_write_options options = {.struct_size = sizeof options, .facts = large};
    check_fails(EXIA_EINVAL,
                exia_model_write(&version, library, "digits", &part, 1, &options, NULL, &err));
    check_text("into a part");
    free(large);
    assert_string_equal(found(library, NULL), "");
    exia_library_free(library);
}

TEST(write_refuses_bad_options)
{
    exia_library *library = open_library();
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    const exia_write_options bad[] = {
        {.struct_size = 3},
        {.struct_size = sizeof *bad, .alias = "7up", .expect = EXIA_ANY},
        {.struct_size = sizeof *bad, .alias = "latest", .expect = EXIA_ANY},
        {.struct_size = sizeof *bad, .alias = "latest-2", .expect = EXIA_ANY},
        {.struct_size = sizeof *bad, .alias = "best", .expect = EXIA_ANY},
        {.struct_size = sizeof *bad, .alias = "worst", .expect = EXIA_ANY},
        {.struct_size = sizeof *bad, .alias = "previous", .expect = EXIA_ANY},
        {.struct_size = sizeof *bad, .alias = "a/b", .expect = EXIA_ANY},
        {.struct_size = sizeof *bad, .alias = "champion", .expect = -2},
        {.struct_size = sizeof *bad, .message = "two\nlines"},
        {.struct_size = sizeof *bad, .message = "\xc3\x28"},
        {.struct_size = sizeof *bad, .token = ""},
        {.struct_size = sizeof *bad, .token = "a b"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t version = 0;
        check_fails(EXIA_EINVAL,
                    exia_model_write(&version, library, "digits", &part, 1, &bad[i], NULL, &err));
    }
    assert_string_equal(found(library, NULL), "");
    exia_library_free(library);
}

TEST(facts_come_back_as_they_were_given)
{
    exia_library *library = open_library();
    write_model(library, "digits", "x",
                "{\"tags\": {\"team\": \"vision\", \"n\": 3, \"ok\": true},"
                " \"metrics\": {\"auc\": 0.98, \"loss\": \"NaN\"}, \"params\": {\"deep\": [1, {}]},"
                " \"parent\": \"base@3\", \"environment\": {\"python\": \"3.12\"},"
                " \"imports\": [\"sklearn\"]}",
                "champion", EXIA_ABSENT);
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, "digits", 0, &err));
    json_t *facts = json_loads(exia_model_facts(model), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(facts, "name")), "digits");
    assert_int_equal(json_integer_value(json_object_get(facts, "version")), 1);
    assert_string_equal(json_string_value(json_object_get(facts, "parent")), "base@3");
    assert_int_equal(json_array_size(json_object_get(facts, "imports")), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(facts, "aliases"), 0)),
                        "champion");
    assert_int_equal(strlen(json_string_value(json_object_get(facts, "environment"))), 64);
    json_t *part = json_array_get(json_object_get(facts, "parts"), 0);
    assert_int_equal(json_object_size(part), 4);
    assert_string_equal(json_string_value(json_object_get(part, "format")), "bytes");
    json_decref(facts);
    char *environment = NULL;
    check_ok(exia_model_environment(&environment, model, &err));
    assert_string_equal(environment, "{\"python\":\"3.12\"}");
    exia_text_free(environment);
    exia_model_free(model);
    write_model(library, "bare", "x", NULL, NULL, 0);
    check_ok(exia_model_open(&model, library, "bare", 0, &err));
    check_fails(EXIA_ENOTFOUND, exia_model_environment(&environment, model, &err));
    exia_model_free(model);
    exia_library_free(library);
}

TEST(a_repeated_token_answers_the_same_version_and_writes_nothing)
{
    exia_library *library = open_library();
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    exia_write_options options = {.struct_size = sizeof options, .token = "run-17"};
    int64_t version = 0;
    check_ok(exia_model_write(&version, library, "digits", &part, 1, &options, NULL, &err));
    write_model(library, "digits", "y", NULL, NULL, 0);
    check_ok(exia_model_write(&version, library, "digits", &part, 1, &options, NULL, &err));
    assert_int_equal(version, 1);
    exia_library_free(library);
    library = open_library();
    check_ok(exia_model_write(&version, library, "digits", &part, 1, &options, NULL, &err));
    assert_int_equal(version, 1);
    assert_string_equal(found(library, NULL), "digits@2 digits@1 ");
    exia_library_free(library);
}
