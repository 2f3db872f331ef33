/* A remote whose records were written by somebody else: members are exchanged for what they must not be,
 * bytes of the text are changed.  Whatever a record says, the other packages are still to be had, and
 * what is installed is what was packed, with all that it needs. */
#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/depot.h"
#include "support/packages.h"
#include "support/trace.h"

enum { ROUNDS = 60, MOST_PLACES = 200 };
static const char *const wanted[] = {"c@1.0", "f@1.0", "d@2.0"};

/* ---- the database of the remote -------------------------------------------------------------- */

static sqlite3 *open_database(void)
{
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(check_path("remote/records.db"), &database), SQLITE_OK);
    return database;
}

static sqlite3_stmt *prepare(sqlite3 *database, const char *sql, const char *like)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(statement, 1, like, -1, SQLITE_STATIC), SQLITE_OK);
    return statement;
}

static const char *read_event(const char *like)
{
    sqlite3 *database = open_database();
    sqlite3_stmt *statement =
        prepare(database, "SELECT json FROM record WHERE kind = 'package' AND key LIKE ?1", like);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *text = check_format("%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return text;
}

static void write_event(const char *like, const char *text)
{
    sqlite3 *database = open_database();
    sqlite3_stmt *statement = prepare(
        database, "UPDATE record SET json = ?2 WHERE kind = 'package' AND key LIKE ?1", like);
    assert_int_equal(sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
    assert_int_equal(sqlite3_changes(database), 1);
    sqlite3_finalize(statement);
    sqlite3_close(database);
}

/* ---- forging --------------------------------------------------------------------------------- */

static unsigned dice;

static size_t roll(size_t sides)
{
    dice = dice * 1103515245u + 12345u;
    return (size_t)(dice >> 16) % sides;
}

/* Where a value lies in an event. */
typedef struct place {
    json_t *above;
    const char *key; /* NULL: an array, at `index` */
    size_t index;
} place;

static void list_places(place *places, size_t *count, json_t *value)
{
    const char *key = NULL;
    json_t *member = NULL;
    size_t i = 0;
    json_object_foreach(value, key, member)
    {
        if (*count < MOST_PLACES)
            places[(*count)++] = (place){value, key, 0};
        list_places(places, count, member);
    }
    json_array_foreach(value, i, member)
    {
        if (*count < MOST_PLACES)
            places[(*count)++] = (place){value, NULL, i};
        list_places(places, count, member);
    }
}

static json_t *strange_value(void)
{
    static const char *const texts[] = {
        "null",
        "true",
        "0",
        "-1",
        "1",
        "2",
        "4611686018427387904",
        "1e300",
        "\"\"",
        "\"x\"",
        "\"..\"",
        "\"../../../../tmp/x\"",
        "\"a/b\"",
        "\"packages/../../x.veda\"",
        "\"d >= 9\"",
        "\"c\"",
        "[]",
        "{}",
        "[\"c >= 1\"]",
        "[\"nobody\"]",
        "[\"../x\"]",
        "[[[[[[]]]]]]",
        "\"\\n\"",
        "\"0.0\"",
        "\"register\"",
        "\"unregister\"",
        "\"update\"",
        "[null, 1, {}]",
        "\"0000000000000000000000000000000000000000000000000000000000000000\""};
    return json_loads(texts[roll(sizeof texts / sizeof *texts)], JSON_DECODE_ANY, NULL);
}

/* One to three members are something else, not there, or there for the first time. */
static const char *forge_members(const char *text)
{
    static const char *const names[] = {"why", "status", "event", "bad", "conflict"};
    json_t *event = json_loads(text, 0, NULL);
    for (size_t times = 1 + roll(3); times > 0; times--) {
        place places[MOST_PLACES];
        size_t count = 0;
        list_places(places, &count, event);
        place at = places[roll(count)];
        if (at.key == NULL)
            json_array_set_new(at.above, at.index, strange_value());
        else if (roll(6) == 0)
            json_object_del(at.above, at.key);
        else if (roll(6) == 0)
            json_object_set_new(event, names[roll(sizeof names / sizeof *names)], strange_value());
        else
            json_object_set_new(at.above, at.key, strange_value());
    }
    char *forged = json_dumps(event, JSON_COMPACT);
    const char *kept = check_format("%s", forged);
    free(forged);
    json_decref(event);
    return kept;
}

static const char *forge_bytes(const char *text)
{
    char *forged = (char *)(uintptr_t)check_format("%s", text);
    for (size_t times = 1 + roll(3); times > 0; times--)
        forged[roll(strlen(text))] = (char)(' ' + roll(95));
    if (roll(5) == 0)
        forged[roll(strlen(text))] = '\0';
    return forged;
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void clear(exia_registry *registry)
{
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        exia_status gone = exia_registry_uninstall(registry, wanted[i], NULL),
                    forgotten = exia_registry_unregister(registry, wanted[i], NULL, NULL);
        assert_true(gone == EXIA_OK || gone == EXIA_ENOTFOUND);
        assert_true(forgotten == EXIA_OK || forgotten == EXIA_ENOTFOUND);
    }
}

static long believe(exia_registry *registry, const char *forged)
{
    query(registry, NULL, "prod");
    check_reset();
    exia_status rc = exia_registry_install(NULL, registry, wanted[0], "prod", NULL, NULL, &err);
    if (rc < 0)
        check_status(rc, rc, __FILE__, __LINE__);
    depot_look_at_all(registry, exia_registry_home(registry));
    if ((rc < 0 && *installed(registry, NULL) != '\0') || atomic_load(&witness->wrong) > 0)
        fail_msg("%s (%s) after %s", witness->text, err.text, forged);
    return rc == EXIA_OK;
}

static void forge(const char *(*how)(const char *text), unsigned seed)
{
    long believed = 0;
    const char *given = getenv("EXIA_SEED"), *many = getenv("EXIA_ROUNDS");
    dice = given ? (unsigned)atoi(given) : seed;
    check_in_memory();
    witness = trace_shared(sizeof *witness);
    stock_make();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        for (int k = 0; k < STOCK_ITEMS; k++)
            if (strcmp(stock[k].package, wanted[i]) == 0)
                check_ok(exia_registry_register(one, stock[k].file[STOCK_ONE], "prod", NULL, &err));
    for (long i = 0; i < (many ? atol(many) : ROUNDS); i++) {
        const char *like = i % 2 ? "c/%" : "d/%", *before = read_event(like), *forged = how(before);
        write_event(like, forged);
        believed += believe(two, forged);
        clear(two);
        write_event(like, before);
    }
    believe(two, "nothing");
    assert_int_equal(rows_count(installed(two, NULL)), 3);
    print_message("%ld of %ld were harmless\n", believed, many ? atol(many) : (long)ROUNDS);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(whatever_a_record_says_what_is_installed_is_what_was_packed)
{
    forge(forge_members, 1);
}

TEST(a_record_with_changed_bytes_spoils_its_own_package_only)
{
    forge(forge_bytes, 2);
}
