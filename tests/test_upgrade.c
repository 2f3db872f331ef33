/* Homes that older versions wrote (tests/golden) are upgraded when they are opened for writing: copied
 * first, whole or not at all, whoever else is there and whatever fails. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "conformance/conformance.h"
#include "drivers/sqlite.h"
#include "support/models.h"
#include "support/packages.h"

enum { NOBODY = 65534, CANNOT_MOUNT = 77 };

static const char *golden(int schema)
{
    return check_format("tests/golden/schema-%d/home", schema);
}

static void copy_golden(int schema)
{
    check_ok(exia__tree_copy(golden(schema), check_path("home"), &err));
}

/* The golden catalogue of models alone, as check_path("a"). */
static void copy_catalogue(void)
{
    const char *from = check_format("%s/models/catalog.db", golden(1));
    size_t size = 0;
    char *bytes = check_read_file(from, &size);
    check_write_file(check_path("a"), bytes, size);
    free(bytes);
}

static exia_status open_catalogue(exia__records **out, int mode)
{
    return exia__records_open(out, check_format("sqlite:%s", check_path("a")), mode, NULL, &err);
}

static void upgrade(void)
{
    exia__records *records = NULL;
    check_ok(open_catalogue(&records, EXIA_STORE_WRITE));
    exia__records_free(records);
}

/* The first value of a query on a database, beside the driver; "" where there is no row. */
static const char *ask(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    const char *answer = "";
    if (sqlite3_open(path, &db) != SQLITE_OK ||
        sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s: %s", path, sql, sqlite3_errmsg(db));
    if (sqlite3_step(statement) == SQLITE_ROW)
        answer = check_format("%s", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return answer;
}

/* What the database holds, whatever its schema. */
static const char *records_in(const char *path)
{
    return ask(path, "SELECT group_concat(revision || kind || key || json || token) FROM record");
}

static const char *names_in(const char *path)
{
    struct dirent **entries = NULL;
    const char *names = "";
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            names = check_format("%s%s ", names, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return names;
}

static void check_same_file(const char *path, const char *expected)
{
    size_t size = 0, expected_size = 0;
    char *bytes = check_read_file(path, &size);
    char *others = check_read_file(expected, &expected_size);
    assert_int_equal(size, expected_size);
    assert_memory_equal(bytes, others, size);
    free(bytes);
    free(others);
}

/* ---- what is upgraded ----------------------------------------------------------------------- */

TEST(a_golden_home_is_there_for_every_schema_before_this_one)
{
    for (int schema = 1; schema < EXIA__SQLITE_SCHEMA; schema++) {
        const char *parts[] = {"models/catalog.db", "packages/catalog.db", "journal.db"};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            const char *path = check_format("%s/%s", golden(schema), parts[i]);
            size_t size = 0;
            char *bytes = check_read_file(path, &size); /* it fails when there is none */
            assert_true(size > 64 && bytes[63] == schema);
            free(bytes);
        }
    }
}

static const char *history(exia_library *library, const char *name)
{
    exia_rows *rows = NULL;
    check_ok(exia_library_history(&rows, library, name, &err));
    return rows_text(rows);
}

/* All that the golden library holds, by every way to ask. */
static void check_library(exia_library *library)
{
    exia_model *model = NULL;
    exia_view view;
    char *environment = NULL;
    assert_string_equal(found(library, NULL), "other.model@1 digits@3 digits@2 digits@1 ");
    assert_string_equal(found(library, "metrics.auc > 0.3 order by metrics.auc"),
                        "digits@1 digits@2 ");
    assert_string_equal(found(library, "tags.team = 'vision' and tags.n = 3"), "digits@1 ");
    assert_int_equal(selected(library, "digits"), 3);
    assert_int_equal(selected(library, "digits@champion"), 2);
    assert_int_equal(selected(library, "digits@previous(champion)"), 1);
    assert_int_equal(selected(library, "digits@best(metrics.auc)"), 2);
    check_fails(EXIA_ENOTFOUND, (exia_status)selected(library, "digits@trial"));
    check_fails(EXIA_ENOTFOUND, (exia_status)selected(library, "digits@4"));
    assert_string_equal(bytes_of(library, "digits@1"), "first");
    assert_string_equal(bytes_of(library, "digits@3"), "third");
    assert_string_equal(bytes_of(library, "other.model"), "other");
    check_ok(exia_model_open(&model, library, "digits@2", EXIA_OPEN_VERIFY, &err));
    check_ok(exia_model_view(&view, model, "model", &err));
    assert_int_equal(view.size, 20000);
    assert_memory_equal((char *)view.data + 19984, "0123456789abcdef", 16);
    check_ok(exia_model_view(&view, model, "notes.txt", &err));
    assert_int_equal(view.size, 0);
    exia_model_free(model);
    check_ok(exia_model_open(&model, library, "digits@1", 0, &err));
    check_ok(exia_model_environment(&environment, model, &err));
    assert_string_equal(environment, "{\"packages\":{\"numpy\":\"1.26\"},\"python\":\"3.11\"}");
    exia_text_free(environment);
    exia_model_free(model);
    const char *log = history(library, "digits");
    assert_int_equal(rows_count(log), 10);
    assert_non_null(strstr(log, "\"why\":\"a mistake\""));
}

TEST(a_golden_library_is_read_whole_written_and_rolled_back)
{
    for (int schema = 1; schema < EXIA__SQLITE_SCHEMA; schema++) {
        exia_library *library = NULL;
        int64_t version = 0;
        copy_golden(schema);
        check_ok(exia_library_open(&library, check_path("home/models"), NULL, &err));
        check_library(library);
        assert_int_equal(write_model(library, "digits", "fifth",
                                     "{\"metrics\":{\"auc\":0.875},\"parent\":3}", "champion", 2),
                         5);
        assert_string_equal(found(library, "metrics.auc > 0.5 order by metrics.auc desc"),
                            "digits@5 digits@2 ");
        check_ok(exia_alias_rollback(&version, library, "digits", "champion", 5, NULL, &err));
        assert_int_equal(version, 2);
        check_ok(exia_alias_rollback(&version, library, "digits", "champion", 2, NULL, &err));
        assert_int_equal(version, 1);
        check_ok(exia_model_remove(library, "digits", 5, NULL, &err));
        exia_library_free(library);
        check_ok(exia__tree_remove(check_path("home"), &err));
    }
}

TEST(a_golden_library_goes_back_by_its_copy)
{
    exia_library *library = NULL;
    copy_golden(1);
    check_ok(exia_library_open(&library, check_path("home/models"), NULL, &err));
    write_model(library, "digits", "fifth", NULL, NULL, 0);
    exia_library_free(library);
    unlink(check_path("home/models/catalog.db-wal"));
    unlink(check_path("home/models/catalog.db-shm"));
    assert_int_equal(
        rename(check_path("home/models/catalog.db.before-2"), check_path("home/models/catalog.db")),
        0);
    assert_string_equal(ask(check_path("home/models/catalog.db"), "PRAGMA user_version"), "1");
    check_ok(exia_library_open(&library, check_path("home/models"), NULL, &err));
    check_library(library);
    exia_library_free(library);
}

TEST(a_golden_registry_is_read_whole_and_written)
{
    for (int schema = 1; schema < EXIA__SQLITE_SCHEMA; schema++) {
        exia_registry *registry = NULL;
        exia_package *package = NULL;
        exia_rows *rows = NULL;
        char *directory = NULL;
        copy_golden(schema);
        check_ok(exia_registry_open(&registry, check_path("home"), &err));
        const char *all = query(registry, NULL, NULL);
        assert_int_equal(rows_count(all), 2);
        assert_non_null(strstr(all, "\"facts\":{\"owner\":\"vision\",\"stars\":3}"));
        assert_non_null(strstr(all, "hello-base"));
        check_ok(
            exia_registry_install(&directory, registry, "hello@0.1.0", NULL, NULL, NULL, &err));
        const char *content = check_format("%s/code/link", directory);
        size_t size = 0;
        char *numbers = check_read_file(content, &size);
        assert_true(size > 100000 && strcmp(numbers + size - 6, "30000\n") == 0);
        free(numbers);
        exia_text_free(directory);
        check_ok(exia_registry_update(registry, "hello@0.2.0", "{\"n\":1}", NULL, &err));
        check_ok(exia_registry_unregister(registry, "hello@0.2.0", NULL, &err));
        check_ok(exia_registry_register(registry, pack("hello", "0.3.0"), NULL, NULL, &err));
        assert_int_equal(rows_count(query(registry, NULL, NULL)), 2);
        exia_registry_free(registry);

        const char *blobs = check_format("%s/packages/blobs/packages", golden(schema));
        const char *name = "ae5848b2ffb40511c9bea7f72f5062c8a92bb49e5cefc62ab90a5532ff1b8fd8.veda";
        check_ok(exia_package_open(&package, check_format("%s/%s", blobs, name), &err));
        check_ok(exia_package_verify(package, NULL, NULL, &err));
        check_ok(exia_package_files(&rows, package, &err));
        assert_int_equal(rows_count(rows_text(rows)), 8);
        exia_package_free(package);
        check_ok(exia__tree_remove(check_path("home"), &err));
    }
}

TEST(an_upgraded_database_has_the_tables_of_a_new_one)
{
    const char *tables =
        "SELECT group_concat(sql) FROM (SELECT sql FROM sqlite_master ORDER BY name)";
    exia__records *records = NULL;
    copy_catalogue();
    const char *before = records_in(check_path("a"));
    upgrade();
    assert_string_equal(records_in(check_path("a")), before);
    check_ok(exia__records_open(&records, check_format("sqlite:%s", check_path("new")),
                                EXIA_STORE_WRITE, NULL, &err));
    exia__records_free(records);
    assert_string_equal(ask(check_path("a"), tables), ask(check_path("new"), tables));
    assert_string_equal(ask(check_path("a"), "PRAGMA integrity_check"), "ok");
}

/* ---- the copy ------------------------------------------------------------------------------- */

TEST(the_copy_holds_what_was_there_and_who_may_read_it)
{
    struct stat info;
    copy_catalogue();
    assert_int_equal(chmod(check_path("a"), 0640), 0);
    const char *before = records_in(check_path("a"));
    upgrade();
    assert_string_equal(names_in(check_directory()), "a a-shm a-wal a.before-2 ");
    assert_int_equal(stat(check_path("a.before-2"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_string_equal(ask(check_path("a.before-2"), "PRAGMA user_version"), "1");
    assert_string_equal(records_in(check_path("a.before-2")), before);
    upgrade(); /* there is nothing more to do */
    assert_string_equal(names_in(check_directory()), "a a-shm a-wal a.before-2 ");
}

TEST(the_copy_holds_what_is_still_in_the_wal)
{
    sqlite3 *db = NULL;
    copy_catalogue();
    assert_int_equal(sqlite3_open(check_path("a"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "INSERT INTO record(kind, key, json, token)"
                                  " VALUES('log', 'late/log/1', '{}', 't')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    upgrade();
    assert_string_equal(
        ask(check_path("a.before-2"), "SELECT key FROM record WHERE key = 'late/log/1'"),
        "late/log/1");
    sqlite3_close(db);
}

TEST(a_copy_of_the_same_name_is_never_overwritten)
{
    copy_catalogue();
    check_write_file(check_path("a.before-2"), "mine", 4);
    assert_int_equal(symlink("nowhere", check_path("a.before-2.1")), 0);
    upgrade();
    assert_string_equal(names_in(check_directory()),
                        "a a-shm a-wal a.before-2 a.before-2.1 a.before-2.2 ");
    size_t size = 0;
    char *bytes = check_read_file(check_path("a.before-2"), &size);
    assert_int_equal(size, 4);
    free(bytes);
    assert_string_equal(ask(check_path("a.before-2.2"), "PRAGMA user_version"), "1");
}

TEST(an_equal_copy_serves_again_and_half_a_copy_is_replaced)
{
    copy_catalogue();
    upgrade();
    check_same_file(check_path("a.before-2"), check_path("a.before-2"));
    unlink(check_path("a"));
    unlink(check_path("a-wal"));
    unlink(check_path("a-shm"));
    copy_catalogue(); /* as if the process had been killed before the commit */
    check_write_file(check_path("a.before-2.part"), "half", 4);
    upgrade();
    assert_string_equal(names_in(check_directory()), "a a-shm a-wal a.before-2 ");
    assert_string_equal(ask(check_path("a"), "PRAGMA user_version"), "2");
}

TEST(a_database_with_a_rollback_journal_is_upgraded_and_keeps_it)
{
    copy_catalogue();
    assert_string_equal(ask(check_path("a"), "PRAGMA journal_mode = DELETE"), "delete");
    upgrade();
    assert_string_equal(names_in(check_directory()), "a a.before-2 ");
    assert_string_equal(ask(check_path("a"), "PRAGMA journal_mode"), "delete");
    assert_string_equal(ask(check_path("a"), "PRAGMA user_version"), "2");
    assert_string_equal(ask(check_path("a.before-2"), "PRAGMA user_version"), "1");
}

/* ---- others at the same time, and those who may not ----------------------------------------- */

static int upgrade_and_put(int number, void *payload)
{
    exia__records *records = NULL;
    exia_status rc = open_catalogue(&records, EXIA_STORE_WRITE);
    (void)payload;
    if (rc == EXIA_OK)
        rc = exia__records_put(NULL, records, "log", check_format("crowd/%d", number), "{}",
                               EXIA_ABSENT, NULL, NULL, &err);
    exia__records_free(records);
    return rc < 0;
}

TEST(processes_that_upgrade_one_database_at_once_all_succeed_with_one_copy)
{
    for (int round = 0; round < 5; round++) {
        copy_catalogue();
        check_processes(6, upgrade_and_put, NULL);
        assert_string_equal(names_in(check_directory()), "a a-shm a-wal a.before-2 ");
        assert_string_equal(
            ask(check_path("a"), "SELECT count(*) FROM record WHERE key LIKE 'crowd/%'"), "6");
        assert_string_equal(
            ask(check_path("a.before-2"), "SELECT count(*) FROM record WHERE key LIKE 'crowd/%'"),
            "0");
        unlink(check_path("a"));
        unlink(check_path("a-wal"));
        unlink(check_path("a-shm"));
    }
}

TEST(a_reader_leaves_an_older_schema_as_it_is)
{
    exia_library *library = NULL;
    const exia_library_options options = {.struct_size = sizeof options, .read_only = 1};
    copy_golden(1);
    check_ok(exia_library_open(&library, check_path("home/models"), &options, &err));
    check_library(library);
    exia_library_free(library);
    check_same_file(check_path("home/models/catalog.db"),
                    check_format("%s/models/catalog.db", golden(1)));
    assert_null(strstr(names_in(check_path("home/models")), "before"));
}

static int read_as_nobody(void)
{
    exia_library *library = NULL;
    const exia_library_options options = {.struct_size = sizeof options, .read_only = 1};
    if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 1;
    if (exia_library_open(&library, check_path("home/models"), &options, &err) != EXIA_OK)
        return 2;
    if (strcmp(found(library, NULL), "other.model@1 digits@3 digits@2 digits@1 ") != 0)
        return 3;
    exia_library_free(library);
    if (exia_library_open(&library, check_path("home/models"), NULL, &err) != EXIA_EDENIED)
        return 4;
    return 0;
}

TEST(who_may_not_write_reads_an_older_schema_and_is_refused_the_upgrade)
{
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    copy_golden(1);
    const char *catalogue = check_path("home/models/catalog.db");
    check_write_file(check_format("%s-wal", catalogue), "", 0); /* as the older code leaves them */
    check_write_file(check_format("%s-shm", catalogue), "", 0);
    assert_int_equal(chmod(check_directory(), 0755), 0);
    const char *names = names_in(check_path("home/models"));
    assert_int_equal(check_in_child(read_as_nobody), 0);
    assert_string_equal(names_in(check_path("home/models")), names);
    check_same_file(catalogue, check_format("%s/models/catalog.db", golden(1)));
}

/* ---- space ---------------------------------------------------------------------------------- */

static int filler, filled; /* an fd; the blocks of 4 KiB that it can hold */

/* In 256 KiB, of which BLOCKS are free: 0, or where it went wrong. */
static int upgrade_in(int blocks, const char *before, int *done)
{
    exia__records *records = NULL;
    if (ftruncate(filler, (off_t)(filled - blocks) * 4096) != 0)
        return 10;
    exia_status rc = open_catalogue(&records, EXIA_STORE_WRITE);
    exia__records_free(records);
    *done = rc == EXIA_OK;
    if (!*done && rc != EXIA_ENOSPACE)
        return 11;
    if (!*done && strncmp(err.text, "upgrade from schema version 1 to 2: ", 36) != 0 &&
        strncmp(err.text, "cannot extend the files of ", 27) != 0) /* before it began */
        return 12;
    if (access(check_path("a.before-2.part"), F_OK) == 0)
        return 13;
    if (mount("none", check_directory(), "tmpfs", MS_REMOUNT, "size=1m") != 0)
        return CANNOT_MOUNT;
    if (strcmp(ask(check_path("a"), "PRAGMA user_version"), *done ? "2" : "1") != 0 ||
        strcmp(records_in(check_path("a")), before) != 0)
        return 14;
    unlink(check_path("a-wal"));
    unlink(check_path("a-shm"));
    unlink(check_path("a.before-2"));
    return mount("none", check_directory(), "tmpfs", MS_REMOUNT, "size=256k") == 0 ? 0
                                                                                   : CANNOT_MOUNT;
}

static int upgrade_on_a_full_disk(void)
{
    const char zeros[4096] = {0};
    int done = 0, code = 0;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") != 0 ||
        mount("none", check_directory(), "tmpfs", 0, "size=256k") != 0)
        return CANNOT_MOUNT;
    copy_catalogue();
    const char *before = records_in(check_path("a"));
    filler = open(check_path("filler"), O_WRONLY | O_CREAT, 0600);
    while (write(filler, zeros, sizeof zeros) == sizeof zeros)
        filled++;
    for (int blocks = 0; !done && code == 0; blocks++)
        code = blocks < filled ? upgrade_in(blocks, before, &done) : 15;
    close(filler);
    return code;
}

TEST(on_a_full_disk_the_old_database_stays_and_the_error_says_so)
{
    int code = check_in_child(upgrade_on_a_full_disk);
    if (code == CANNOT_MOUNT) {
        print_message("only root with mount namespaces can make a small disk\n");
        skip();
    }
    assert_int_equal(code, 0);
}
