/* Aliases that move and go back, versions that are removed, and the history of it all. */
#include "support/models.h"

#include <jansson.h>
#include <time.h>

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

TEST(the_history_of_one_alias_is_what_moved_or_protected_it)
{
    exia_library *library = open_library();
    exia_rows *rows = NULL;
    const char *row = NULL;
    static const char *const verbs[] = {"publish", "move", "protect", "rollback"};
    int64_t at = 0;
    write_model(library, "m", "a prod b", NULL, "prod", EXIA_ABSENT);
    write_model(library, "m", "y", "{\"tags\":{\"prod\":1}}", "product", EXIA_ABSENT);
    check_ok(exia_alias_move(library, "m", "prod", 2, 1, "prod", &err));
    check_ok(exia_alias_protect(library, "m", "prod", 1, NULL, &err));
    check_ok(exia_alias_move(library, "m", "product", 1, 2, "as prod", &err));
    check_ok(exia_alias_rollback(&at, library, "m", "prod", 2, "no", &err));
    check_ok(exia_alias_history(&rows, library, "m", "prod", &err));
    for (size_t i = 0; i < 4; i++) {
        check_ok(exia_rows_next(&row, rows, &err));
        json_t *entry = json_loads(row, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(entry, "do")), verbs[i]);
        assert_int_equal(json_object_get(entry, "protect") != NULL, i == 2);
        json_decref(entry);
    }
    check_done(exia_rows_next(&row, rows, &err));
    exia_rows_free(rows);
    check_fails(EXIA_EINVAL, exia_alias_history(&rows, library, "m", "a/b", &err));
    check_fails(EXIA_EINVAL, exia_alias_history(&rows, library, "m", NULL, &err));
    check_fails(EXIA_EINVAL, exia_alias_history(NULL, library, "m", "prod", &err));
    check_fails(EXIA_ENOTFOUND, exia_alias_history(&rows, library, "none", "prod", &err));
    exia_library_free(library);
}

/* ---- back to a time ------------------------------------------------------------------------- */

/* When the entry was written, a text that lives as long as the test. */
static const char *time_of(exia_library *library, int seq)
{
    exia_rows *rows = NULL;
    const char *row = NULL;
    check_ok(exia_library_history(&rows, library, "m", &err));
    for (int i = 0; i < seq; i++)
        check_ok(exia_rows_next(&row, rows, &err));
    json_t *entry = json_loads(row, 0, NULL);
    const char *time = check_format("%s", json_string_value(json_object_get(entry, "time")));
    json_decref(entry);
    exia_rows_free(rows);
    return time;
}

/* So that the next entry has a later time. */
static void pass_time(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
}

TEST(an_alias_stands_again_where_it_stood_at_a_time)
{
    exia_library *library = open_library();
    int64_t at = -1;
    for (int i = 1; i <= 4; i++) {
        write_model(library, "m", "x", NULL, "a", i - 1);
        pass_time();
    }
    check_ok(exia_alias_rollback(&at, library, "m", "a", 4, NULL, &err)); /* entry 5: at 3 */
    pass_time();
    check_ok(exia_alias_move(library, "m", "a", EXIA_ABSENT, 3, NULL, &err)); /* entry 6 */
    pass_time();
    check_ok(exia_alias_move(library, "m", "a", 1, EXIA_ABSENT, NULL, &err)); /* entry 7 */
    const int stood[] = {1, 2, 3, 4, 3, 0, 1};
    for (int seq = 1; seq <= 7; seq++) {
        check_ok(exia_alias_rollback_to(&at, library, "m", "a", time_of(library, seq), EXIA_ANY,
                                        "again", &err));
        assert_int_equal(at, stood[seq - 1]);
        assert_int_equal(selected(library, "m@a"), at ? at : EXIA_ENOTFOUND);
        pass_time();
    }
    check_ok(exia_alias_rollback_to(&at, library, "m", "a", "2999-12-31", 1, NULL, &err));
    assert_int_equal(at, 1); /* where it is: no move */
    check_ok(exia_alias_rollback_to(&at, library, "m", "a", time_of(library, 2), 1, NULL, &err));
    check_ok(exia_alias_rollback(&at, library, "m", "a", 2, NULL, &err));
    assert_int_equal(at, 1); /* one rollback undoes it */
    exia_library_free(library);
}

TEST(what_cannot_be_gone_back_to_moves_nothing)
{
    exia_library *library = open_library();
    int64_t at = -1;
    write_model(library, "m", "x", NULL, "a", EXIA_ABSENT);
    const char *first = time_of(library, 1);
    pass_time();
    write_model(library, "m", "y", NULL, "a", 1);
    static const char *const times[] = {"",
                                        "now",
                                        "2026-13-01",
                                        "2026-01-32",
                                        "2026-01-01T00:00:00",
                                        NULL,
                                        "2026-01-01T00:00:00+01:00",
                                        "2026-01-01 00:00:00Z"};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        check_fails(EXIA_EINVAL,
                    exia_alias_rollback_to(&at, library, "m", "a", times[i], EXIA_ANY, NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_alias_rollback_to(&at, library, "m", "a", "2000-01-01", EXIA_ANY, NULL, &err));
    check_text("not there yet");
    check_fails(EXIA_ENOTFOUND,
                exia_alias_rollback_to(&at, library, "m", "b", first, EXIA_ANY, NULL, &err));
    check_fails(EXIA_ECONFLICT,
                exia_alias_rollback_to(&at, library, "m", "a", first, 1, NULL, &err));
    check_ok(exia_model_remove(library, "m", 1, NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_alias_rollback_to(&at, library, "m", "a", first, 2, NULL, &err));
    assert_int_equal(at, EXIA_ABSENT);
    assert_int_equal(selected(library, "m@a"), 2);
    exia_library_free(library);
}

/* ---- protection ----------------------------------------------------------------------------- */

TEST(a_protected_alias_moves_only_for_who_looked_and_says_why)
{
    exia_library *library = open_library();
    int64_t at = 0, version = 0;
    exia_part part = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    exia_write_options options = {.struct_size = sizeof options, .alias = "a", .expect = EXIA_ANY};
    write_model(library, "m", "x", NULL, "a", EXIA_ABSENT);
    write_model(library, "m", "y", NULL, NULL, 0);
    check_fails(EXIA_ENOTFOUND, exia_alias_protect(library, "m", "b", 1, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_alias_protect(library, "none", "a", 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia_alias_protect(library, "m", NULL, 1, NULL, &err));
    check_ok(exia_alias_protect(library, "m", "a", 1, "in use", &err));
    check_ok(exia_alias_protect(library, "m", "a", 1, "again: nothing is written", &err));
    exia_library_free(library);
    library = open_library(); /* it is known from the store as well */
    check_fails(EXIA_EDENIED, exia_alias_move(library, "m", "a", 2, EXIA_ANY, "why", &err));
    check_text("protected");
    check_fails(EXIA_EDENIED, exia_alias_move(library, "m", "a", 2, 1, NULL, &err));
    check_fails(EXIA_EDENIED, exia_alias_move(library, "m", "a", 2, 1, "", &err));
    check_fails(EXIA_ECONFLICT, exia_alias_move(library, "m", "a", 2, 2, "why", &err));
    check_fails(EXIA_EDENIED, exia_alias_move(library, "m", "a", EXIA_ABSENT, 1, "why", &err));
    check_text("not removed");
    check_fails(EXIA_EDENIED,
                exia_model_write(&version, library, "m", &part, 1, &options, NULL, &err));
    options.expect = 1;
    check_fails(EXIA_EDENIED,
                exia_model_write(&version, library, "m", &part, 1, &options, NULL, &err));
    options.message = "better";
    check_ok(exia_model_write(&version, library, "m", &part, 1, &options, NULL, &err));
    assert_int_equal(selected(library, "m@a"), 3);
    check_fails(EXIA_EDENIED, exia_alias_rollback(&at, library, "m", "a", EXIA_ANY, "no", &err));
    check_fails(EXIA_EDENIED, exia_alias_rollback(&at, library, "m", "a", 3, NULL, &err));
    check_fails(EXIA_EDENIED, exia_alias_rollback_to(&at, library, "m", "a", time_of(library, 1),
                                                     EXIA_ANY, "no", &err));
    check_ok(exia_alias_rollback(&at, library, "m", "a", 3, "no", &err));
    assert_int_equal(at, 1);
    check_fails(EXIA_EDENIED, exia_alias_protect(library, "m", "a", 0, NULL, &err));
    check_ok(exia_alias_protect(library, "m", "a", 0, "not in use", &err));
    check_ok(exia_alias_move(library, "m", "a", EXIA_ABSENT, EXIA_ANY, NULL, &err));
    exia_library_free(library);
}
