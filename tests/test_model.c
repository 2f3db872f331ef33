/* The model library from outside: write, read back, aliases, selectors, search, bad input. */
#include "support/models.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* ---- aliases -------------------------------------------------------------------------------- */

TEST(an_alias_moves_only_from_where_it_was_seen)
{
    exia_library *library = open_library();
    write_model(library, "digits", "one", NULL, "champion", EXIA_ABSENT);
    write_model(library, "digits", "two", NULL, NULL, 0);
    check_fails(EXIA_ECONFLICT,
                exia_alias_move(library, "digits", "champion", 2, EXIA_ABSENT, NULL, &err));
    check_text("stands at version 1, not nowhere");
    check_fails(EXIA_ECONFLICT, exia_alias_move(library, "digits", "champion", 2, 2, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_alias_move(library, "digits", "fresh", 2, 2, NULL, &err));
    check_text("stands nowhere, not at version 2");
    check_fails(EXIA_ENOTFOUND, exia_alias_move(library, "digits", "champion", 3, 1, NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_alias_move(library, "none", "champion", 1, EXIA_ANY, NULL, &err));
    check_fails(EXIA_EINVAL, exia_alias_move(library, "digits", "champion", -3, 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia_alias_move(library, "digits", NULL, 1, 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia_alias_move(NULL, "digits", "champion", 1, 1, NULL, &err));
    assert_int_equal(selected(library, "digits@champion"), 1);
    check_ok(exia_alias_move(library, "digits", "champion", 2, 1, "better", &err));
    assert_int_equal(selected(library, "digits@champion"), 2);
    exia_library_free(library);
}

TEST(a_write_whose_alias_stands_elsewhere_publishes_nothing)
{
    exia_library *library = open_library();
    write_model(library, "digits", "one", NULL, "champion", EXIA_ABSENT);
    int64_t version = 0;
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    exia_write_options options = {
        .struct_size = sizeof options, .alias = "champion", .expect = EXIA_ABSENT};
    check_fails(EXIA_ECONFLICT,
                exia_model_write(&version, library, "digits", &part, 1, &options, NULL, &err));
    assert_string_equal(found(library, NULL), "digits@1 ");
    options.expect = 1;
    check_ok(exia_model_write(&version, library, "digits", &part, 1, &options, NULL, &err));
    assert_int_equal(version, 2);
    assert_int_equal(selected(library, "digits@champion"), 2);
    exia_library_free(library);
}

TEST(a_rollback_undoes_the_last_move_that_stands)
{
    exia_library *library = open_library();
    int64_t at = -1;
    for (int i = 1; i <= 8; i++)
        write_model(library, "m", "x", NULL, NULL, 0);
    check_fails(EXIA_ENOTFOUND, exia_alias_rollback(&at, library, "m", "a", EXIA_ANY, NULL, &err));
    for (int version = 5; version <= 7; version++)
        check_ok(exia_alias_move(library, "m", "a", version, EXIA_ANY, NULL, &err));
    assert_int_equal(selected(library, "m@previous(a)"), 6);
    check_fails(EXIA_ECONFLICT, exia_alias_rollback(&at, library, "m", "a", 6, NULL, &err));
    check_ok(exia_alias_rollback(&at, library, "m", "a", 7, "it was worse", &err));
    assert_int_equal(at, 6);
    check_ok(exia_alias_move(library, "m", "a", 8, 6, NULL, &err));
    assert_int_equal(selected(library, "m@previous(a)"), 6);
    check_ok(exia_alias_rollback(&at, library, "m", "a", EXIA_ANY, NULL, &err));
    assert_int_equal(at, 6);
    check_ok(exia_alias_rollback(&at, library, "m", "a", EXIA_ANY, NULL, &err));
    assert_int_equal(at, 5);
    assert_int_equal(selected(library, "m@a"), 5);
    check_fails(EXIA_ENOTFOUND, exia_alias_rollback(&at, library, "m", "a", EXIA_ANY, NULL, &err));
    assert_int_equal(at, 0);
    assert_int_equal(selected(library, "m@previous(a)"), EXIA_ENOTFOUND);
    exia_library_free(library);
    library = open_library(); /* the same from the log alone */
    assert_int_equal(selected(library, "m@a"), 5);
    exia_library_free(library);
}

TEST(an_alias_is_removed_and_comes_back)
{
    exia_library *library = open_library();
    int64_t at = -1;
    write_model(library, "m", "x", NULL, "a", EXIA_ABSENT);
    write_model(library, "m", "y", NULL, NULL, 0);
    check_ok(exia_alias_move(library, "m", "a", EXIA_ABSENT, 1, NULL, &err));
    assert_int_equal(selected(library, "m@a"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@previous(a)"), 1);
    check_fails(EXIA_ENOTFOUND,
                exia_alias_move(library, "m", "a", EXIA_ABSENT, EXIA_ANY, NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_alias_move(library, "m", "b", EXIA_ABSENT, EXIA_ANY, NULL, &err));
    check_ok(exia_alias_move(library, "m", "a", 2, EXIA_ABSENT, NULL, &err));
    check_ok(exia_alias_rollback(&at, library, "m", "a", 2, NULL, &err));
    assert_int_equal(at, EXIA_ABSENT);
    check_ok(exia_alias_rollback(&at, library, "m", "a", EXIA_ABSENT, NULL, &err));
    assert_int_equal(at, 1);
    exia_library_free(library);
}

TEST(a_move_to_where_it_stands_is_no_move)
{
    exia_library *library = open_library();
    write_model(library, "m", "x", NULL, "a", EXIA_ABSENT);
    write_model(library, "m", "y", NULL, "a", 1);
    check_ok(exia_alias_move(library, "m", "a", 2, EXIA_ANY, NULL, &err));
    assert_int_equal(selected(library, "m@previous(a)"), 1);
    exia_library_free(library);
}

/* ---- removal -------------------------------------------------------------------------------- */

TEST(a_version_with_aliases_is_not_removed)
{
    exia_library *library = open_library();
    write_model(library, "m", "x", NULL, "prod", EXIA_ABSENT);
    check_ok(exia_alias_move(library, "m", "canary", 1, EXIA_ABSENT, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_model_remove(library, "m", 1, NULL, &err));
    check_text("prod, canary");
    check_fails(EXIA_ENOTFOUND, exia_model_remove(library, "m", 2, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_model_remove(library, "none", 2, NULL, &err));
    check_fails(EXIA_EINVAL, exia_model_remove(library, "m", 0, NULL, &err));
    exia_library_free(library);
}

TEST(a_removed_version_is_gone_and_its_number_is_not_used_again)
{
    exia_library *library = open_library();
    int64_t at = 0;
    write_model(library, "m", "one", "{\"metrics\": {\"auc\": 0.9}}", "a", EXIA_ABSENT);
    write_model(library, "m", "two", "{\"metrics\": {\"auc\": 0.5}}", "a", 1);
    write_model(library, "m", "three", NULL, NULL, 0);
    check_ok(exia_model_remove(library, "m", 3, "a mistake", &err));
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_model_remove(library, "m", 1, NULL, &err));
    assert_int_equal(selected(library, "m"), 2);
    assert_int_equal(selected(library, "m@1"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@best(metrics.auc)"), 2);
    assert_int_equal(selected(library, "m@previous(a)"), EXIA_ENOTFOUND);
    check_fails(EXIA_ENOTFOUND, exia_alias_rollback(&at, library, "m", "a", EXIA_ANY, NULL, &err));
    check_text("removed");
    assert_string_equal(found(library, NULL), "m@2 ");
    assert_int_equal(write_model(library, "m", "four", NULL, NULL, 0), 4);
    exia_library_free(library);
}

/* ---- selectors and search ------------------------------------------------------------------- */

static exia_library *five_versions(void)
{
    static const char *const facts[] = {"{\"metrics\": {\"auc\": 0.5, \"f1-score\": 1}}",
                                        "{\"metrics\": {\"auc\": 0.9}}",
                                        "{\"metrics\": {\"auc\": \"NaN\"}}",
                                        "{\"metrics\": {\"auc\": 0.9}, \"tags\": {\"t\": \"x\"}}",
                                        "{\"metrics\": {\"auc\": \"Infinity\"}}"};
    exia_library *library = open_library();
    for (size_t i = 0; i < 5; i++)
        write_model(library, "m", "x", facts[i], NULL, 0);
    return library;
}

TEST(selectors_name_one_version)
{
    exia_library *library = five_versions();
    check_ok(exia_alias_move(library, "m", "champion", 3, EXIA_ANY, NULL, &err));
    assert_int_equal(selected(library, "m"), 5);
    assert_int_equal(selected(library, "m@latest"), 5);
    assert_int_equal(selected(library, "m@latest-0"), 5);
    assert_int_equal(selected(library, "m@latest-4"), 1);
    assert_int_equal(selected(library, "m@latest-5"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@latest-99999999999999999999999"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@2"), 2);
    assert_int_equal(selected(library, "m@6"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@99999999999999999999999"), EXIA_ENOTFOUND);
    check_text("no version 99999999999999999999999: it is too large");
    assert_int_equal(selected(library, "m@champion"), 3);
    assert_int_equal(selected(library, "m@best(metrics.auc)"), 4); /* of equals the newer */
    assert_int_equal(selected(library, "m@worst(metrics.auc)"), 1);
    assert_int_equal(selected(library, "m@best(metrics.\"f1-score\")"), 1);
    assert_int_equal(selected(library, "m@best(metrics.none)"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "none"), EXIA_ENOTFOUND);
    assert_int_equal(selected(library, "m@none"), EXIA_ENOTFOUND);
    exia_library_free(library);
}

TEST(what_is_no_selector_is_refused)
{
    exia_library *library = five_versions();
    const char *bad[] = {"",
                         "@1",
                         "m@",
                         "m@0",
                         "m@07x",
                         "m@1@2",
                         "m@latest-",
                         "m@latest-x",
                         "m@latest+1",
                         "m@best",
                         "m@best()",
                         "m@best(",
                         "m@best(a",
                         "m@best(a)b",
                         "m@most(a)",
                         "m@7up",
                         "a/b",
                         "m@previous()",
                         "m@previous(7)",
                         "m @1",
                         "m@best(1 + )",
                         "m@worst(metrics.)",
                         "m@\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (selected(library, bad[i]) != EXIA_EINVAL)
            fail_msg("\"%s\" gives %s", bad[i], err.text);
    }
    exia_model *model = NULL;
    check_fails(EXIA_EINVAL, exia_model_open(&model, library, NULL, 0, &err));
    check_fails(EXIA_EINVAL, exia_model_open(&model, library, "m", 1024, &err));
    check_fails(EXIA_EINVAL, exia_model_open(&model, NULL, "m", 0, &err));
    check_fails(EXIA_EINVAL, exia_model_open(NULL, library, "m", 0, &err));
    exia_library_free(library);
}

TEST(search_sees_facts_and_orders_newest_first)
{
    exia_library *library = five_versions();
    write_model(library, "other", "x", "{\"metrics\": {\"auc\": 0.7}}", "champion", EXIA_ABSENT);
    assert_string_equal(found(library, "name = 'm'"), "m@5 m@4 m@3 m@2 m@1 ");
    assert_string_equal(found(library, "metrics.auc >= 0.7 order by metrics.auc desc"),
                        "m@4 m@2 other@1 ");
    assert_string_equal(found(library, "tags.t = 'x'"), "m@4 ");
    assert_string_equal(found(library, "version <= 2 and name = 'm' limit 1"), "m@2 ");
    assert_string_equal(found(library, "name = 'a/b'"), "");
    assert_string_equal(found(library, "name = 'none'"), "");
    exia_rows *rows = NULL;
    check_fails(EXIA_EINVAL, exia_library_search(&rows, library, "metrics.auc >", &err));
    check_fails(EXIA_EINVAL, exia_library_search(NULL, library, NULL, &err));
    exia_library_free(library);
}

TEST(search_sees_what_another_handle_wrote)
{
    exia_library *one = open_library(), *two = open_library();
    for (int i = 0; i < 3; i++) {
        write_model(one, "b", "x", NULL, NULL, 0);
        assert_int_equal(selected(two, "b"), i + 1);
        write_model(two, check_format("a%d", i), "x", NULL, "live", EXIA_ABSENT);
        assert_string_equal(found(one, "name = 'b' limit 1"), check_format("b@%d ", i + 1));
    }
    assert_string_equal(found(one, "order by name, version"), "a0@1 a1@1 a2@1 b@1 b@2 b@3 ");
    check_ok(exia_alias_move(two, "a1", "live", 0, 1, NULL, &err));
    write_model(two, "c", "x", NULL, NULL, 0);
    assert_string_equal(found(one, "order by name, version"), "a0@1 a1@1 a2@1 b@1 b@2 b@3 c@1 ");
    exia_library_free(one);
    exia_library_free(two);
}

TEST(history_tells_who_did_what_and_why)
{
    exia_library *library = open_library();
    exia_rows *rows = NULL;
    int64_t at = 0;
    write_model(library, "m", "x", NULL, "a", EXIA_ABSENT);
    write_model(library, "m", "y", NULL, NULL, 0);
    check_ok(exia_alias_move(library, "m", "a", 2, 1, "faster", &err));
    check_ok(exia_alias_rollback(&at, library, "m", "a", 2, "wrong", &err));
    check_ok(exia_model_remove(library, "m", 2, NULL, &err));
    check_ok(exia_library_history(&rows, library, "m", &err));
    const char *row = NULL;
    const struct {
        const char *verb, *why;
        int64_t version, below;
    } wanted[] = {{"publish", NULL, 1, 0},
                  {"publish", NULL, 2, -1},
                  {"move", "faster", 0, 1},
                  {"rollback", "wrong", 0, 1},
                  {"remove", NULL, 2, -1}};
    for (size_t i = 0; i < 5; i++) {
        check_ok(exia_rows_next(&row, rows, &err));
        json_t *entry = json_loads(row, 0, NULL), *moves = json_object_get(entry, "moves");
        const char *why = json_string_value(json_object_get(entry, "why"));
        assert_int_equal(json_integer_value(json_object_get(entry, "seq")), i + 1);
        assert_string_equal(json_string_value(json_object_get(entry, "do")), wanted[i].verb);
        assert_int_equal(json_integer_value(json_object_get(entry, "version")), wanted[i].version);
        assert_int_equal(json_array_size(moves), wanted[i].below < 0 ? 0 : 1);
        if (wanted[i].below >= 0)
            assert_int_equal(json_integer_value(json_object_get(json_array_get(moves, 0), "below")),
                             wanted[i].below);
        assert_int_equal(why != NULL, wanted[i].why != NULL);
        if (why != NULL)
            assert_string_equal(why, wanted[i].why);
        json_decref(entry);
    }
    check_done(exia_rows_next(&row, rows, &err));
    exia_rows_free(rows);
    check_fails(EXIA_ENOTFOUND, exia_library_history(&rows, library, "none", &err));
    exia_library_free(library);
}

/* ---- many writers --------------------------------------------------------------------------- */

enum { WRITERS = 8, EACH = 12 };

static int write_some(int writer)
{
    exia_library *library = NULL;
    exia_error why;
    if (exia_library_open(&library, check_path("library"), NULL, &why) < 0)
        return 1;
    for (int i = 0; i < EACH; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d/%d", writer, i);
        exia_part part = {.name = "model", .format = "bytes", .data = text, .size = strlen(text)};
        int64_t version = 0;
        exia_write_options options = {
            .struct_size = sizeof options, .alias = "newest", .expect = EXIA_ANY};
        if (exia_model_write(&version, library, "m", &part, 1, &options, NULL, &why) < 0) {
            fprintf(stderr, "writer %d: %s\n", writer, why.text);
            return 2;
        }
    }
    exia_library_free(library);
    return 0;
}

TEST(eight_processes_write_one_name_and_every_version_is_there_once)
{
    pid_t children[WRITERS];
    check_directory();
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(write_some(i));
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    exia_library *library = open_library();
    int seen[WRITERS][EACH] = {{0}};
    for (int version = 1; version <= WRITERS * EACH; version++) {
        int writer = -1, i = -1;
        const char *bytes = bytes_of(library, check_format("m@%d", version));
        assert_int_equal(sscanf(bytes, "%d/%d", &writer, &i), 2);
        assert_true(writer >= 0 && writer < WRITERS && i >= 0 && i < EACH);
        assert_int_equal(seen[writer][i]++, 0);
    }
    assert_int_equal(selected(library, "m@newest"), WRITERS * EACH);
    assert_int_equal(selected(library, "m"), WRITERS * EACH);
    exia_library_free(library);
}

TEST(a_forked_child_is_told_to_open_the_library_again)
{
    exia_library *library = open_library();
    write_model(library, "m", "hello", NULL, NULL, 0);
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    int answer[2];
    assert_int_equal(pipe(answer), 0);
    pid_t child = fork();
    if (child == 0) {
        exia_rows *rows = NULL;
        exia_view view = {0};
        char good = exia_library_search(&rows, library, NULL, &err) == EXIA_ECLOSED &&
                    exia_model_view(&view, model, NULL, &err) == EXIA_OK &&
                    memcmp(view.data, "hello", 5) == 0;
        exia_model_free(model);
        exia_library_free(library);
        if (write(answer[1], &good, 1) == 1)
            raise(SIGKILL); /* a leak checker would count the connection, which a child must drop */
        _exit(1);
    }
    char good = 0;
    int status = -1;
    assert_int_equal(read(answer[0], &good, 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(good);
    close(answer[0]);
    close(answer[1]);
    assert_int_equal(selected(library, "m"), 1);
    exia_model_free(model);
    exia_library_free(library);
}

/* A child that is killed while it stores its second version. */
static int kill_myself(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done;
    (void)total;
    if (strcmp(step, payload) == 0)
        raise(SIGKILL);
    return 0;
}

TEST(a_writer_killed_while_it_stores_leaves_the_library_as_it_was)
{
    exia_library_free(open_library());
    const char *path = check_path("weights");
    check_write_file(path, "many bytes", 10);
    pid_t child = fork();
    if (child == 0) {
        exia_library *library = NULL;
        int64_t version = 0;
        exia_part part = {.name = "model", .format = "file", .path = path};
        exia_job job = {
            .struct_size = sizeof job, .progress = kill_myself, .payload = (void *)"storing"};
        exia_library_open(&library, check_path("library"), NULL, NULL);
        exia_model_write(&version, library, "m", &part, 1, NULL, &job, NULL);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    exia_library *library = open_library();
    assert_int_equal(selected(library, "m"), EXIA_ENOTFOUND);
    assert_int_equal(write_model(library, "m", "x", NULL, NULL, 0), 1);
    exia_library_free(library);
}

TEST(what_a_killed_writer_was_told_is_there_is_there)
{
    exia_library_free(open_library());
    for (int told = 1; told <= 4; told++) {
        int said[2];
        const char *name = check_format("m%d", told);
        assert_int_equal(pipe(said), 0);
        pid_t child = fork();
        if (child == 0) {
            exia_library *library = NULL;
            int64_t version = 0;
            exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
            exia_library_open(&library, check_path("library"), NULL, NULL);
            while (exia_model_write(&version, library, name, &part, 1, NULL, NULL, NULL) == EXIA_OK)
                (void)!write(said[1], "x", 1);
            _exit(1);
        }
        char byte = 0;
        for (int i = 0; i < told; i++)
            assert_int_equal(read(said[0], &byte, 1), 1);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        exia_library *library = open_library();
        int64_t latest = selected(library, name);
        assert_true(latest >= told);
        for (int64_t version = 1; version <= latest; version++)
            assert_int_equal(selected(library, check_format("%s@%d", name, (int)version)), version);
        assert_int_equal(write_model(library, name, "y", NULL, NULL, 0), latest + 1);
        exia_library_free(library);
        close(said[0]);
        close(said[1]);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

enum { THREADS = 4, TURNS = 6 };

typedef struct worker {
    exia_library *library;
    exia_error error;
    int number;
    exia_status rc;
} worker;

static exia_status turn(worker *now, int i)
{
    char text[32];
    int64_t version = 0;
    exia_rows *rows = NULL;
    exia_model *model = NULL;
    exia_view view;
    snprintf(text, sizeof text, "%d/%d", now->number, i);
    exia_part part = {.name = "model", .format = "bytes", .data = text, .size = strlen(text)};
    exia_write_options options = {
        .struct_size = sizeof options, .alias = "newest", .expect = EXIA_ANY};
    exia_status rc =
        exia_model_write(&version, now->library, "m", &part, 1, &options, NULL, &now->error);
    snprintf(text, sizeof text, "m@%d", (int)version);
    if (rc == EXIA_OK)
        rc = exia_model_open(&model, now->library, text, 0, &now->error);
    if (rc == EXIA_OK)
        rc = exia_model_view(&view, model, NULL, &now->error);
    if (rc == EXIA_OK && (view.size != part.size || view.data == NULL))
        rc = EXIA_ECORRUPT;
    if (rc == EXIA_OK)
        rc = exia_library_search(&rows, now->library, "name like 'm%'", &now->error);
    exia_rows_free(rows);
    exia_model_free(model);
    return rc;
}

static void *work(void *payload)
{
    worker *now = payload;
    for (int i = 0; i < TURNS && now->rc == EXIA_OK; i++)
        now->rc = turn(now, i);
    return NULL;
}

TEST(threads_share_one_library)
{
    worker workers[THREADS];
    pthread_t threads[THREADS];
    exia_library *library = open_library();
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.library = library, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        if (workers[i].rc < 0)
            fail_msg("thread %d: %s", i, workers[i].error.text);
    }
    assert_int_equal(selected(library, "m@newest"), THREADS * TURNS);
    exia_library_free(library);
}
