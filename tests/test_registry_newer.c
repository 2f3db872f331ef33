/* What a newer version of Exia wrote, and locks of who died or stands still: neither is misread, changed or
 * waited for in vain, and the text says which file it is about. */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/packages.h"

/* ---- newer ------------------------------------------------------------------------------------- */

static void set_schema(const char *name, int schema)
{
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(check_path(name), &database), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(database, check_format("PRAGMA user_version = %d", schema), NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static int schema_of(const char *name)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *ask = NULL;
    assert_int_equal(sqlite3_open(check_path(name), &database), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, "PRAGMA user_version", -1, &ask, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(ask), SQLITE_ROW);
    int schema = sqlite3_column_int(ask, 0);
    sqlite3_finalize(ask);
    sqlite3_close(database);
    return schema;
}

TEST(a_home_whose_databases_have_a_newer_schema_is_refused_and_opens_once_they_are_ours)
{
    static const char *const files[] = {"home/packages/catalog.db", "home/journal.db"};
    exia_registry_free(open_publisher());
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        exia_registry *registry = NULL;
        int ours = schema_of(files[i]);
        set_schema(files[i], 99);
        check_fails(EXIA_EVERSION, exia_registry_open(&registry, check_path("home"), &err));
        check_text(check_path(files[i]));
        assert_null(registry);
        assert_int_equal(schema_of(files[i]), 99);
        set_schema(files[i], ours);
        registry = open_home("home");
        check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
        exia_registry_free(registry);
    }
}

TEST(a_remote_whose_records_have_a_newer_schema_is_refused_by_name_and_the_home_works_on)
{
    exia_registry *registry = open_publisher();
    exia_rows *rows = NULL;
    set_schema("remote/records.db", 99);
    check_fails(EXIA_EVERSION, exia_registry_query(&rows, registry, NULL, "prod", &err));
    check_text("remote prod: ");
    check_fails(EXIA_EVERSION, exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_fails(EXIA_EVERSION, exia_registry_pull(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_fails(EXIA_EVERSION, exia_registry_remote_check(&rows, registry, "prod", &err));
    check_fails(EXIA_EVERSION,
                exia_registry_install(NULL, registry, "y", "prod", NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    assert_int_equal(schema_of("remote/records.db"), 99);
    exia_registry_free(registry);
}

static void put_record(const char *url, const char *kind, const char *key, const char *json)
{
    exia__records *records = NULL;
    check_ok(exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_put(NULL, records, kind, key, json, EXIA_ANY, NULL, NULL, &err));
    exia__records_free(records);
}

TEST(a_newer_event_spoils_its_own_package_and_no_other)
{
    const char *url = check_format("sqlite:%s", check_path("remote/records.db"));
    exia_registry *registry = open_publisher(), *two = open_home_with_remote("two");
    put_record(url, "package", "z/1.0/any/token",
               "{\"format\": 2, \"do\": \"lease\", \"token\": \"token\"}");
    assert_true(has(query(two, "name = 'z'", "prod"), "newer than this library reads (1)"));
    check_fails(EXIA_EVERSION, exia_registry_pull(NULL, two, "z", "prod", NULL, NULL, &err));
    check_text("remote prod: z@1.0#any: a record is of format 2");
    check_fails(EXIA_EVERSION, exia_registry_install(NULL, two, "z", "prod", NULL, NULL, &err));
    check_fails(EXIA_EVERSION, exia_registry_update(two, "z", "{}", "prod", &err));
    check_fails(EXIA_EVERSION, exia_registry_register(two, pack("z", "1.0"), "prod", NULL, &err));
    check_ok(exia_registry_install(NULL, two, "x", "prod", NULL, NULL, &err));
    exia_registry_free(registry);
    exia_registry_free(two);
}

TEST(a_newer_identity_is_not_published_over)
{
    const char *url = check_format("sqlite:%s", check_path("remote/records.db"));
    exia_registry *registry = open_publisher();
    put_record(url, "identity", "z/1.0/any", "{\"format\": 2, \"tree\": \"abc\"}");
    check_ok(exia_registry_register(registry, pack("z", "1.0"), NULL, NULL, &err));
    check_fails(EXIA_EVERSION, exia_registry_push(NULL, registry, "z", "prod", NULL, NULL, &err));
    check_text("z/1.0/any is of a format newer");
    check_ok(exia_registry_register(registry, pack("z", "2.0"), "prod", NULL, &err));
    exia_registry_free(registry);
}

TEST(rows_of_what_is_installed_that_are_newer_or_of_another_are_refused_and_nothing_is_removed)
{
    static const struct {
        exia_status status;
        const char *row, *text;
    } bad[] = {
        {EXIA_EVERSION, "{\"format\": 2, \"at\": \"x\"}", "was installed by a newer version"},
        {EXIA_ECORRUPT, "{\"format\": 1, \"name\": \"y\"}", "is incomplete"},
        {EXIA_ECORRUPT,
         "{\"format\": 1, \"name\": \"..\", \"version\": \"..\", \"tag\": \"precious\", "
         "\"digest\": \"d\"}",
         "is that of ../../precious"},
    };
    exia_registry *registry = open_publisher();
    const char *url = check_format("sqlite:%s", check_path("home/packages/catalog.db"));
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    assert_int_equal(mkdir(check_path("precious"), 0700), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        exia_prune_options options = {sizeof options, 1};
        exia_rows *rows = NULL;
        put_record(url, "installed", "y/1.0/any", bad[i].row);
        check_fails(bad[i].status, exia_registry_installed(&rows, registry, NULL, &err));
        check_text(bad[i].text);
        check_fails(bad[i].status, exia_registry_uninstall(registry, "y", &err));
        check_fails(bad[i].status, exia_registry_check(&rows, registry, NULL, NULL, NULL, &err));
        check_fails(bad[i].status, exia_registry_prune(&rows, registry, &options, NULL, &err));
        check_fails(bad[i].status, exia_registry_activate(registry, "y", NULL, &err));
        assert_true(exists("precious") && exists("home/installed/x/1.0/any/veda.json"));
    }
    exia_registry_free(registry);
}

/* ---- locks --------------------------------------------------------------------------------------- */

/* A process that holds the lock on a file, and does nothing else. */
static pid_t hold(const char *path)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || flock(fd, LOCK_EX) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void end(pid_t child)
{
    int status = 0;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
}

TEST(who_holds_the_lock_of_a_home_is_named_and_once_he_is_dead_it_is_free)
{
    check_in_memory(); /* where the kernel tells a lock by what stat() says of its file */
    exia_registry *registry = open_publisher(), *two = open_home_with_remote("two");
    const exia_job job = {.struct_size = sizeof job, .timeout_ms = 30};
    const char *file = pack("y", "1.0"), *bundle = check_path("x.tar"), *package = "x";
    const char *lock = check_path("two/lock");
    check_ok(exia_registry_export(NULL, registry, &package, 1, bundle, NULL, NULL, &err));
    check_ok(exia_registry_register(two, pack("z", "1.0"), NULL, NULL, &err));
    pid_t holder = hold(lock);
    for (int way = 0; way < 4; way++) {
        check_reset();
        exia_status rc = way == 0   ? exia_registry_register(two, file, NULL, &job, &err)
                         : way == 1 ? exia_registry_pull(NULL, two, "x", "prod", NULL, &job, &err)
                         : way == 2 ? exia_registry_install(NULL, two, "z", NULL, NULL, &job, &err)
                                    : exia_registry_import(NULL, two, bundle, &job, &err);
        check_status(EXIA_ETIMEOUT, rc, __FILE__, __LINE__);
        check_text(lock);
        check_text(exists("two") && access("/proc/locks", R_OK) == 0
                       ? check_format("process %d has held", (int)holder)
                       : "has held");
    }
    exia_rows *rows = NULL;
    assert_int_equal(rows_count(query(two, NULL, NULL)), 1); /* who only reads does not wait */
    check_ok(exia_registry_check(&rows, two, NULL, NULL, NULL, &err));
    exia_rows_free(rows);
    end(holder);
    assert_true(exists("two/lock"));
    check_ok(exia_registry_register(two, file, NULL, &job, &err));
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, &job, &err));
    check_ok(exia_registry_install(NULL, two, "z", NULL, NULL, &job, &err));
    check_ok(exia_registry_import(NULL, two, bundle, &job, &err));
    exia_registry_free(registry);
    exia_registry_free(two);
}

TEST(a_pull_that_stands_still_is_named_and_once_it_is_dead_the_next_goes_on)
{
    check_in_memory();
    exia_registry *registry = open_publisher(), *two = open_home_with_remote("two");
    const exia_job job = {.struct_size = sizeof job, .timeout_ms = 30};
    const char *blob = remote_blob(registry);
    const char *part = check_path(check_format("two/staging/%.64s.part", strrchr(blob, '/') + 1));
    pid_t holder = hold(part);
    check_fails(EXIA_ETIMEOUT, exia_registry_pull(NULL, two, "x", "prod", NULL, &job, &err));
    check_text("a pull of x@1.0 stands still: ");
    check_text(strrchr(part, '/'));
    end(holder);
    check_ok(exia_registry_pull(NULL, two, "x", "prod", NULL, &job, &err));
    assert_false(access(part, F_OK) == 0);
    exia_registry_free(registry);
    exia_registry_free(two);
}

TEST(a_lock_that_is_no_file_is_refused_and_named)
{
    exia_registry *registry = open_publisher();
    const char *lock = check_path("home/lock");
    unlink(lock);
    assert_int_equal(mkdir(lock, 0700), 0);
    check_fails(EXIA_EINVAL, exia_registry_register(registry, pack("y", "1.0"), NULL, NULL, &err));
    check_text(lock);
    assert_int_equal(rmdir(lock), 0);
    assert_int_equal(symlink(check_path("precious"), lock), 0);
    check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, "r", "/r", "/r", &err));
    check_text(lock);
    assert_false(exists("precious"));
    assert_int_equal(unlink(lock), 0);
    check_ok(exia_registry_register(registry, pack("y", "1.0"), NULL, NULL, &err));
    exia_registry_free(registry);
}
