/* The sqlite: driver keeps the contract of records, and what only a database can be made to
 * suffer. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"
#include "base/url.h"
#include "conformance/conformance.h"

static const char *make_url(const char *place)
{
    char *url = NULL;
    check_ok(exia__url_from_path(&url, "sqlite", check_path(place), &err));
    const char *kept = check_format("%s", url);
    exia__release(url);
    return kept;
}

const conformance_target conformance = {
    .name = "sqlite",
    .url = make_url,
    .many_processes = 1,
    .has_create = 1,
};
CONFORMS_TO(records);
CONFORMS_TO(seek);
CONFORMS_TO(since);

/* Stands before the C library's: any directory may be said to be on another machine. */
static int is_remote;
int statfs(const char *path, struct statfs *info)
{
    int (*real)(const char *, struct statfs *) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "statfs64");
    memcpy(&real, &symbol, sizeof real);
    int rc = real(path, info);
    if (is_remote)
        info->f_type = 0x6969; /* NFS */
    return rc;
}

static exia__records *open_records(int mode)
{
    exia__records *records = NULL;
    check_ok(exia__records_open(&records, make_url("a"), mode, NULL, &err));
    return records;
}

static exia_status put(exia__records *records, const char *key)
{
    return exia__records_put(NULL, records, "log", key, "{}", EXIA_ANY, NULL, NULL, &err);
}

static exia_status get(exia__records *records, const char *key)
{
    char *json = NULL;
    exia_status rc = exia__records_get(&json, NULL, records, "log", key, NULL, &err);
    exia__release(json);
    return rc;
}

static exia_status count_record(const char *key, const char *json, int64_t revision, void *payload,
                                exia_error *error)
{
    (void)key;
    (void)json;
    (void)revision;
    (void)error;
    ++*(int *)payload;
    return EXIA_OK;
}

static exia_status scan(int *count, exia__records *records)
{
    *count = 0;
    return exia__records_scan(records, "log", "", NULL, 0, NULL, count_record, count, NULL, &err);
}

/* SQL on the database, beside the driver. */
static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    char *problem = NULL;
    if (sqlite3_open(check_path("a"), &db) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, &problem) != SQLITE_OK)
        fail_msg("%s: %s", sql, problem ? problem : sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* A database with some records, closed. */
static void make_database(void)
{
    exia__records *records = open_records(EXIA_STORE_WRITE);
    for (int i = 0; i < 50; i++)
        check_ok(put(records, check_format("k/%03d", i)));
    exia__records_free(records);
}

static const char *names_in_directory(void)
{
    struct dirent **entries = NULL;
    const char *names = "";
    int count = scandir(check_directory(), &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            names = check_format("%s%s ", names, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return names;
}

/* ---- what is no catalogue ------------------------------------------------------------------- */

/* Opening fails in both modes, and neither the file nor what lies beside it changes. */
static void check_refused(exia_status status, const char *text)
{
    exia__records *records = NULL;
    size_t size = 0, after = 0;
    char *before = check_read_file(check_path("a"), &size);
    const char *names = names_in_directory();
    for (int mode = EXIA_STORE_READ; mode <= EXIA_STORE_WRITE; mode++) {
        check_fails(status, exia__records_open(&records, make_url("a"), mode, NULL, &err));
        check_text(text);
        check_text(check_path("a"));
        assert_null(records);
    }
    char *now = check_read_file(check_path("a"), &after);
    assert_int_equal(after, size);
    assert_memory_equal(now, before, size);
    assert_string_equal(names_in_directory(), names);
    free(before);
    free(now);
}

TEST(what_is_no_database_is_refused_and_untouched)
{
    char zeros[8192] = {0};
    check_write_file(check_path("a"), "", 0);
    check_refused(EXIA_ECORRUPT, "no SQLite database");
    check_write_file(check_path("a"), "hello", 5);
    check_refused(EXIA_ECORRUPT, "no SQLite database");
    check_write_file(check_path("a"), zeros, sizeof zeros);
    check_refused(EXIA_ECORRUPT, "no SQLite database");
    memcpy(zeros, "SQLite format 3", 16);
    check_write_file(check_path("a"), zeros, 60);
    check_refused(EXIA_ECORRUPT, "no SQLite database");
    check_write_file(check_path("a"), zeros, sizeof zeros);
    check_refused(EXIA_EINVAL, "another program");
}

TEST(a_database_of_another_program_is_refused_and_untouched)
{
    run_sql("CREATE TABLE record(a); INSERT INTO record VALUES(1)");
    check_refused(EXIA_EINVAL, "another program");
    run_sql("PRAGMA journal_mode = WAL; PRAGMA user_version = 1; INSERT INTO record VALUES(1)");
    check_refused(EXIA_EINVAL, "another program");
}

TEST(a_newer_schema_is_refused_and_untouched)
{
    make_database();
    run_sql("PRAGMA user_version = 3");
    check_refused(EXIA_EVERSION, "schema version 3");
    run_sql("PRAGMA user_version = 2147483647");
    check_refused(EXIA_EVERSION, "schema version 2147483647");
    run_sql("PRAGMA user_version = 0");
    check_refused(EXIA_ECORRUPT, "which never was");
}

TEST(a_newer_schema_that_is_still_in_the_wal_is_refused)
{
    exia__records *records = NULL;
    sqlite3 *db = NULL;
    make_database();
    assert_int_equal(sqlite3_open(check_path("a"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 3", NULL, NULL, NULL), SQLITE_OK);
    check_fails(EXIA_EVERSION,
                exia__records_open(&records, make_url("a"), EXIA_STORE_WRITE, NULL, &err));
    sqlite3_close(db);
}

TEST(a_truncated_or_overwritten_database_is_corrupt)
{
    exia__records *records = NULL;
    size_t size = 0;
    int count = 0;
    make_database();
    char *bytes = check_read_file(check_path("a"), &size);
    assert_true(size > 3 * 4096);
    unlink(check_path("a-wal"));
    unlink(check_path("a-shm"));
    check_write_file(check_path("a"), bytes, 4096 + 100);
    check_fails(EXIA_ECORRUPT,
                exia__records_open(&records, make_url("a"), EXIA_STORE_WRITE, NULL, &err));
    memset(bytes + 4096, 0xa5, size - 4096);
    check_write_file(check_path("a"), bytes, size);
    check_ok(exia__records_open(&records, make_url("a"), EXIA_STORE_WRITE, NULL, &err));
    check_fails(EXIA_ECORRUPT, get(records, "k/001"));
    check_fails(EXIA_ECORRUPT, scan(&count, records));
    check_fails(EXIA_ECORRUPT, put(records, "new"));
    exia__records_free(records);
    free(bytes);
}

TEST(a_schema_that_is_not_ours_is_corrupt_and_runs_nothing)
{
    exia__records *records = NULL;
    make_database();
    run_sql("CREATE TABLE ran(x); CREATE TRIGGER t AFTER INSERT ON record BEGIN"
            " INSERT INTO ran VALUES(1); END");
    records = open_records(EXIA_STORE_WRITE);
    check_ok(put(records, "k"));
    exia__records_free(records);
    run_sql("CREATE TABLE one(x CHECK(x = 0)); INSERT INTO one SELECT count(*) FROM ran");
    run_sql("DROP TABLE record; CREATE VIEW record AS SELECT 1 AS revision, 'log' AS kind,"
            " 'k' AS key, '{}' AS json, 't' AS token");
    check_fails(EXIA_ECORRUPT,
                exia__records_open(&records, make_url("a"), EXIA_STORE_READ, NULL, &err));
    run_sql("DROP VIEW record");
    check_fails(EXIA_ECORRUPT,
                exia__records_open(&records, make_url("a"), EXIA_STORE_WRITE, NULL, &err));
    check_text("no such table");
}

TEST(what_is_no_regular_file_is_refused)
{
    exia__records *records = NULL;
    assert_int_equal(mkdir(check_path("a"), 0755), 0);
    check_fails(EXIA_EINVAL,
                exia__records_open(&records, make_url("a"), EXIA_STORE_WRITE, NULL, &err));
    assert_int_equal(mkfifo(check_path("fifo"), 0644), 0);
    check_fails(EXIA_EINVAL,
                exia__records_open(&records, make_url("fifo"), EXIA_STORE_READ, NULL, &err));
    assert_int_equal(symlink("nowhere", check_path("dangling")), 0);
    check_fails(EXIA_ENOTFOUND,
                exia__records_open(&records, make_url("dangling"), EXIA_STORE_WRITE, NULL, &err));
    assert_string_equal(names_in_directory(), "a dangling fifo ");
    check_write_file(check_path("file"), "", 0);
    check_fails(EXIA_EINVAL,
                exia__records_open(&records, make_url("file/db"), EXIA_STORE_WRITE, NULL, &err));
}

/* ---- creation ------------------------------------------------------------------------------- */

static int create_and_put(int number, void *payload)
{
    exia__records *records = NULL;
    char key[16];
    snprintf(key, sizeof key, "k/%d", number);
    exia_status rc = exia__records_open(&records, payload, EXIA_STORE_WRITE, NULL, &err);
    if (rc == EXIA_OK)
        rc = put(records, key);
    exia__records_free(records);
    return rc < 0;
}

TEST(processes_that_create_one_database_at_once_all_succeed)
{
    for (int round = 0; round < 8; round++) {
        const char *place = check_format("sub%d/dir/db", round);
        exia__records *records = NULL;
        int count = 0;
        check_processes(6, create_and_put, (void *)make_url(place));
        check_ok(exia__records_open(&records, make_url(place), EXIA_STORE_READ, NULL, &err));
        check_ok(scan(&count, records));
        assert_int_equal(count, 6);
        exia__records_free(records);
    }
}

TEST(a_new_database_is_in_wal_mode_and_leaves_nothing_half_made)
{
    exia__records *records = open_records(EXIA_STORE_WRITE);
    check_ok(put(records, "k"));
    exia__records_free(records);
    assert_string_equal(names_in_directory(), "a a-shm a-wal ");
    size_t size = 0;
    char *bytes = check_read_file(check_path("a"), &size);
    assert_int_equal(bytes[18], 2);
    free(bytes);
}

TEST(on_a_network_file_system_there_is_a_rollback_journal_and_wal_is_refused)
{
    exia__records *records = NULL;
    make_database();
    is_remote = 1;
    exia_status found = exia__records_open(&records, make_url("a"), EXIA_STORE_WRITE, NULL, &err);
    exia_error why = err;
    exia__records *made = NULL;
    check_ok(exia__records_open(&made, make_url("b"), EXIA_STORE_WRITE, NULL, &err));
    is_remote = 0;
    assert_int_equal(found, EXIA_EUNSUPPORTED);
    assert_non_null(strstr(why.text, "WAL mode"));
    check_ok(put(made, "k"));
    check_ok(get(made, "k"));
    exia__records_free(made);
    size_t size = 0;
    char *bytes = check_read_file(check_path("b"), &size);
    assert_int_equal(bytes[18], 1);
    free(bytes);
    assert_string_equal(names_in_directory(), "a a-shm a-wal b ");
}

/* ---- waiting -------------------------------------------------------------------------------- */

static int stop_at_once(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step;
    (void)done;
    (void)total;
    (void)payload;
    return 1;
}

TEST(a_wait_for_another_writer_ends_in_time_or_by_cancel)
{
    exia__records *records = open_records(EXIA_STORE_WRITE);
    sqlite3 *db = NULL;
    exia_job brief = {.struct_size = sizeof brief, .timeout_ms = 60};
    exia_job total = {.struct_size = sizeof total, .total_ms = 40};
    exia_job cancel = {.struct_size = sizeof cancel, .progress = stop_at_once};
    check_ok(put(records, "k"));
    assert_int_equal(sqlite3_open(check_path("a"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    int64_t began = exia__clock_ms();
    check_fails(EXIA_ETIMEOUT,
                exia__records_put(NULL, records, "log", "k", "{}", EXIA_ANY, NULL, &brief, &err));
    check_text("locked for 60 ms");
    assert_true(exia__clock_ms() - began >= 60);
    check_fails(EXIA_ETIMEOUT,
                exia__records_put(NULL, records, "log", "k", "{}", EXIA_ANY, NULL, &total, &err));
    check_fails(EXIA_ECANCELLED,
                exia__records_put(NULL, records, "log", "k", "{}", EXIA_ANY, NULL, &cancel, &err));
    check_ok(get(records, "k")); /* readers do not wait */
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    check_ok(put(records, "k"));
    exia__records_free(records);
}

/* ---- crashes -------------------------------------------------------------------------------- */

static int put_until_killed(void)
{
    exia__records *records = NULL;
    if (exia__records_open(&records, make_url("a"), EXIA_STORE_WRITE, NULL, &err) != EXIA_OK)
        return 1;
    for (int i = 0;; i++) {
        exia_put puts[20];
        char keys[20][32];
        for (int k = 0; k < 20; k++) {
            snprintf(keys[k], sizeof keys[k], "b/%06d", i * 20 + k);
            puts[k] =
                (exia_put){.kind = "log", .key = keys[k], .json = "{}", .expect = EXIA_ABSENT};
        }
        if (exia__records_batch(records, puts, 20, NULL, &err) != EXIA_OK)
            return 2;
        if (write(STDOUT_FILENO, "", 0) < 0 || i == 100000)
            return 3;
    }
}

TEST(a_killed_writer_leaves_whole_batches)
{
    int status = 0, count = 0;
    exia__records *records = open_records(EXIA_STORE_WRITE);
    exia__records_free(records);
    pid_t pid = fork();
    if (pid == 0)
        _exit(put_until_killed());
    records = open_records(EXIA_STORE_READ);
    while (count < 60) /* it is in the middle of its work */
        check_ok(scan(&count, records));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    check_ok(scan(&count, records));
    assert_true(count >= 60 && count % 20 == 0);
    exia__records_free(records);
    records = open_records(EXIA_STORE_WRITE);
    check_ok(put(records, "after"));
    check_ok(get(records, "b/000000"));
    exia__records_free(records);
}

/* ---- permissions and space ------------------------------------------------------------------ */

enum { NOBODY = 65534, CANNOT_MOUNT = 77 };

static int read_as_nobody(void)
{
    exia__records *records = NULL;
    int count = 0;
    if (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 1;
    if (exia__records_open(&records, make_url("a"), EXIA_STORE_READ, NULL, &err) != EXIA_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    if (scan(&count, records) != EXIA_OK || count < 50 || get(records, "k/001") != EXIA_OK)
        return 3;
    if (put(records, "new") != EXIA_EDENIED)
        return 4;
    exia__records_free(records);
    if (exia__records_open(&records, make_url("a"), EXIA_STORE_WRITE, NULL, &err) != EXIA_EDENIED)
        return 5;
    if (exia__records_open(&records, make_url("new"), EXIA_STORE_WRITE, NULL, &err) != EXIA_EDENIED)
        return 6;
    return 0;
}

TEST(who_may_not_write_reads_with_and_without_a_writer_beside)
{
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    make_database();
    const char *names = names_in_directory();
    assert_int_equal(chmod(check_directory(), 0755), 0);
    assert_int_equal(check_in_child(read_as_nobody), 0);
    exia__records *writer = open_records(EXIA_STORE_WRITE);
    check_ok(put(writer, "more"));
    assert_int_equal(check_in_child(read_as_nobody), 0);
    exia__records_free(writer);
    assert_int_equal(check_in_child(read_as_nobody), 0);
    assert_string_equal(names_in_directory(), names);
}

static int fill_the_disk(void)
{
    exia__records *records = NULL;
    int count = 0, before = 0;
    char *json = malloc(20001);
    memset(json, 'x', 20000);
    memcpy(json, "{\"a\":\"", 6);
    memcpy(json + 19998, "\"}", 3);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") != 0 ||
        mkdir(check_path("disk"), 0755) != 0 ||
        mount("none", check_path("disk"), "tmpfs", 0, "size=1m") != 0)
        return CANNOT_MOUNT;
    exia_status rc =
        exia__records_open(&records, make_url("disk/db"), EXIA_STORE_WRITE, NULL, &err);
    while (rc == EXIA_OK)
        rc = exia__records_put(NULL, records, "log", check_format("k/%d", before++), json, EXIA_ANY,
                               NULL, NULL, &err);
    if (rc != EXIA_ENOSPACE || before < 5) {
        fprintf(stderr, "%d %s\n", before, err.text);
        return 2;
    }
    before--;
    if (scan(&count, records) != EXIA_OK || count != before || get(records, "k/0") != EXIA_OK)
        return 3;
    if (exia__records_put(NULL, records, "log", "no", json, EXIA_ANY, NULL, NULL, &err) !=
        EXIA_ENOSPACE)
        return 4;
    exia__records_free(records);
    records = NULL;
    if (exia__records_open(&records, make_url("disk/db"), EXIA_STORE_READ, NULL, &err) != EXIA_OK ||
        scan(&count, records) != EXIA_OK || count != before)
        return 5;
    exia__records_free(records);
    free(json);
    return 0;
}

TEST(a_full_disk_refuses_the_next_record_and_keeps_the_others)
{
    int code = check_in_child(fill_the_disk);
    if (code == CANNOT_MOUNT) {
        print_message("only root with mount namespaces can make a small disk\n");
        skip();
    }
    assert_int_equal(code, 0);
}

/* ---- forks ---------------------------------------------------------------------------------- */

/* Put COUNT records under NAME/; what it opens is its own. */
static int put_some(const char *name, int count)
{
    exia__records *records = NULL;
    alarm(60); /* a child that hangs fails */
    exia_status rc = exia__records_open(&records, make_url("a"), EXIA_STORE_WRITE, NULL, &err);
    for (int i = 0; rc == EXIA_OK && i < count; i++)
        rc = put(records, check_format("%s/%d", name, i));
    exia__records_free(records);
    return rc < 0;
}

/* SQLite notes locks for a process that a child of it has not got: without care the child's
 * database is taken away under it as soon as the parent has closed its own. */
TEST(a_child_writes_on_after_its_parent_closed_and_others_came_and_went)
{
    int from_child[2], status = 0, count = 0;
    char byte = 0;
    exia__records *records = open_records(EXIA_STORE_WRITE);
    check_ok(put(records, "parent/0"));
    assert_int_equal(pipe(from_child), 0);
    pid_t child = fork();
    if (child == 0) {
        exia__records *own = NULL;
        if (exia__records_open(&own, make_url("a"), EXIA_STORE_WRITE, NULL, &err) < 0 ||
            put(own, "first") < 0 || write(from_child[1], "", 1) != 1)
            _exit(1);
        for (int i = 0; i < 300; i++) {
            if (put(own, check_format("child/%d", i)) < 0)
                _exit(2);
        }
        exia__records_free(own);
        exia__records_free(records);
        _exit(0);
    }
    close(from_child[1]);
    assert_int_equal(read(from_child[0], &byte, 1), 1); /* it has opened its own */
    exia__records_free(records);
    for (int i = 0; i < 30; i++) {
        pid_t other = fork();
        if (other == 0)
            _exit(put_some(check_format("other/%d", i), 2));
        assert_int_equal(waitpid(other, &status, 0), other);
        assert_int_equal(status, 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(from_child[0]);
    records = open_records(EXIA_STORE_READ);
    check_ok(scan(&count, records));
    assert_int_equal(count, 1 + 1 + 300 + 60);
    exia__records_free(records);
}

static _Atomic int stop_writing;

static void *write_until_stopped(void *payload)
{
    intptr_t failed = 0;
    for (int i = 0; !stop_writing && failed == 0; i++) {
        char key[32];
        snprintf(key, sizeof key, "thread/%d", i);
        failed = exia__records_put(NULL, payload, "log", key, "{}", EXIA_ANY, NULL, NULL, NULL) < 0;
    }
    return (void *)failed;
}

TEST(a_process_may_fork_while_its_threads_write)
{
#ifdef __SANITIZE_ADDRESS__
    skip(); /* the sanitizer's own allocator may be locked by a thread that the child has not */
#endif
    exia__records *first = open_records(EXIA_STORE_WRITE), *second = open_records(EXIA_STORE_WRITE);
    pthread_t threads[3];
    void *failed = NULL;
    int status = 0;
    stop_writing = 0;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_until_stopped, i ? first : second),
                         0);
    for (int i = 0; i < 15; i++) {
        pid_t child = fork();
        if (child == 0) {
            int failed_here = put_some(check_format("child/%d", i), 3);
            exia__records_free(first);
            exia__records_free(second);
            _exit(failed_here);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    stop_writing = 1;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    check_ok(get(first, "child/14/2"));
    exia__records_free(first);
    exia__records_free(second);
}
