/* Aliases that move and go back, versions that are removed, and the history of it all. */
#include "support/models.h"

#include <jansson.h>

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

/* ---- history -------------------------------------------------------------------------------- */

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
