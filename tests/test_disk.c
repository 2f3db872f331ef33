/* The disk fails: every call that the drivers and SQLite make to change it fails in turn, once or
 * from then on.  Whatever the answer is, afterwards each store is as before or as after. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/store.h"
#include "support/check.h"

/* ---- calls that fail when planned ----------------------------------------------------------- */

static struct {
    long countdown;     /* the call that fails, when it comes to zero; negative: none */
    int for_ever, code; /* a code of zero: the process is killed there */
    int on;
} plan;

static int fails(void)
{
    if (!plan.on)
        return 0;
    long left = plan.countdown--;
    if (left > 0 || (left < 0 && !plan.for_ever))
        return 0;
    if (plan.code == 0)
        raise(SIGKILL);
    errno = plan.code;
    return 1;
}

/* These stand before the C library's, for SQLite too; each is what the kernel does. */
#pragma GCC visibility push(default)
ssize_t write(int fd, const void *data, size_t size)
{
    return fails() ? -1 : syscall(SYS_write, fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return fails() ? -1 : syscall(SYS_pwrite64, fd, data, size, offset);
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
    return fails() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int unlinkat(int at, const char *path, int flags)
{
    return fails() ? -1 : (int)syscall(SYS_unlinkat, at, path, flags);
}

int unlink(const char *path)
{
    return fails() ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    return fails() ? -1 : (int)syscall(SYS_mkdirat, at, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
    return fails() ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    return fails() ? -1 : (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
}

int openat(int at, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails() ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int utimensat(int at, const char *path, const struct timespec times[2], int flags)
{
    return fails() ? -1 : (int)syscall(SYS_utimensat, at, path, times, flags);
}
#pragma GCC visibility pop

/* ---- the loop ------------------------------------------------------------------------------- */

/* `work` with the first, second ... call failing until all of it is done; `look` judges the state
 * after each: what it is handed is whether the work was said to be done. */
typedef exia_status work_fn(exia_error *error);
typedef void look_fn(int done);

static void check_survives_no_disk(work_fn *work, look_fn *look)
{
    static const int codes[] = {EIO, ENOSPC};
    for (int round = 0; round < 4; round++) {
        for (long nth = 0;; nth++) {
            plan.countdown = nth;
            plan.code = codes[round % 2];
            plan.for_ever = round / 2;
            check_reset();
            plan.on = 1;
            exia_status rc = work(&err);
            plan.on = 0;
            int reached = plan.countdown < 0;
            if (rc < 0) {
                check_status(rc, rc, __FILE__, __LINE__); /* it filled its error */
                if (!reached)
                    fail_msg("nothing failed, and the answer is: %s", exia_status_text(rc));
            }
            look(rc == EXIA_OK);
            if (!reached)
                break;
            if (nth > 2000)
                fail_msg("this does not end");
        }
    }
}

/* ---- blobs ---------------------------------------------------------------------------------- */

static int step;
static char key[64];

static const char *blobs_url(void)
{
    static char url[300];
    snprintf(url, sizeof url, "file:%s", check_path("blobs/deep"));
    return url;
}

static exia_status put_blob(exia_error *error)
{
    exia__blobs *blobs = NULL;
    exia_source source = exia__source_memory("some bytes", 10);
    exia_status rc = exia__blobs_open(&blobs, blobs_url(), EXIA_STORE_WRITE, NULL, error);
    snprintf(key, sizeof key, "d%d/e/k", ++step);
    if (rc == EXIA_OK)
        rc = exia__blobs_put(blobs, key, &source, NULL, error);
    exia__blobs_free(blobs);
    return rc;
}

static exia_status compare(const void *data, size_t size, void *payload, exia_error *error)
{
    (void)error;
    *(int *)payload = size == 10 && memcmp(data, "some bytes", 10) == 0;
    return EXIA_OK;
}

static void look_at_blob(int done)
{
    exia__blobs *blobs = NULL;
    int whole = 0;
    exia_source source = exia__source_memory("some bytes", 10);
    check_ok(exia__blobs_open(&blobs, blobs_url(), EXIA_STORE_WRITE, NULL, &err));
    exia_status rc = exia__blobs_get(blobs, key, 0, UINT64_MAX, compare, &whole, NULL, &err);
    if (done || rc == EXIA_OK) {
        assert_int_equal(rc, EXIA_OK); /* a lost sync of the directory leaves it, and whole */
        assert_true(whole);
        check_fails(EXIA_EEXISTS, exia__blobs_put(blobs, key, &source, NULL, &err));
    } else {
        assert_int_equal(rc, EXIA_ENOTFOUND);
        check_ok(exia__blobs_put(blobs, key, &source, NULL, &err));
    }
    exia__blobs_free(blobs);
}

TEST(a_put_on_a_failing_disk_stores_a_whole_blob_or_none)
{
    check_survives_no_disk(put_blob, look_at_blob);
}

static exia_status touch_and_remove_blob(exia_error *error)
{
    exia__blobs *blobs = NULL;
    int64_t ms = 0;
    exia_source source = exia__source_memory("some bytes", 10);
    snprintf(key, sizeof key, "r/k");
    plan.on = 0;
    exia_status rc = exia__blobs_open(&blobs, blobs_url(), EXIA_STORE_WRITE, NULL, error);
    if (rc == EXIA_OK)
        (void)exia__blobs_put(blobs, key, &source, NULL, NULL);
    plan.on = 1;
    if (rc == EXIA_OK)
        rc = exia__blobs_now(&ms, blobs, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__blobs_touch(blobs, key, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__blobs_remove(blobs, key, NULL, error);
    exia__blobs_free(blobs);
    return rc;
}

static void look_at_removed(int done)
{
    exia__blobs *blobs = NULL;
    int whole = 0;
    check_ok(exia__blobs_open(&blobs, blobs_url(), EXIA_STORE_WRITE, NULL, &err));
    exia_status rc = exia__blobs_get(blobs, key, 0, UINT64_MAX, compare, &whole, NULL, &err);
    assert_true(rc == EXIA_ENOTFOUND || (!done && rc == EXIA_OK && whole));
    exia__blobs_free(blobs);
}

TEST(touch_and_remove_on_a_failing_disk_keep_a_blob_whole)
{
    check_survives_no_disk(touch_and_remove_blob, look_at_removed);
}

/* ---- records -------------------------------------------------------------------------------- */

static const char *records_url(int number)
{
    static char url[300];
    snprintf(url, sizeof url, "sqlite:%s/db%d", check_path("records"), number);
    return url;
}

/* Two records that change together, in a database that is there. */
static exia_status put_pair(exia_error *error)
{
    exia__records *records = NULL;
    char json[32];
    snprintf(json, sizeof json, "{\"step\":%d}", ++step);
    exia_put puts[] = {{.kind = "log", .key = "a", .json = json, .expect = EXIA_ANY},
                       {.kind = "log", .key = "b", .json = json, .expect = EXIA_ANY}};
    exia_status rc = exia__records_open(&records, records_url(0), EXIA_STORE_WRITE, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__records_batch(records, puts, 2, NULL, error);
    exia__records_free(records);
    return rc;
}

static void look_at_pair(int done)
{
    exia__records *records = NULL;
    char *a = NULL, *b = NULL;
    check_ok(exia__records_open(&records, records_url(0), EXIA_STORE_WRITE, NULL, &err));
    exia_status rc = exia__records_get(&a, NULL, records, "log", "a", NULL, &err);
    exia_status other = exia__records_get(&b, NULL, records, "log", "b", NULL, &err);
    assert_int_equal(rc, other);
    assert_true(rc == EXIA_OK || (rc == EXIA_ENOTFOUND && !done));
    if (rc == EXIA_OK)
        assert_string_equal(a, b);
    if (done)
        assert_string_equal(a, check_format("{\"step\":%d}", step));
    exia__release(a);
    exia__release(b);
    exia__records_free(records);
}

TEST(a_batch_on_a_failing_disk_is_done_whole_or_not_at_all)
{
    check_survives_no_disk(put_pair, look_at_pair);
}

/* The same where the database is made. */
static exia_status make_and_put(exia_error *error)
{
    exia__records *records = NULL;
    exia_status rc =
        exia__records_open(&records, records_url(++step), EXIA_STORE_WRITE, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__records_put(NULL, records, "log", "a", "{}", EXIA_ABSENT, NULL, NULL, error);
    exia__records_free(records);
    return rc;
}

static void look_at_made(int done)
{
    exia__records *records = NULL;
    char *json = NULL;
    check_ok(exia__records_open(&records, records_url(step), EXIA_STORE_WRITE, NULL, &err));
    exia_status rc = exia__records_get(&json, NULL, records, "log", "a", NULL, &err);
    assert_true(rc == EXIA_OK || (rc == EXIA_ENOTFOUND && !done));
    exia__release(json);
    if (rc != EXIA_OK)
        check_ok(exia__records_put(NULL, records, "log", "a", "{}", EXIA_ABSENT, NULL, NULL, &err));
    exia__records_free(records);
}

TEST(a_database_made_on_a_failing_disk_is_whole_or_is_not)
{
    check_survives_no_disk(make_and_put, look_at_made);
}

/* ---- an upgrade ----------------------------------------------------------------------------- */

/* The database that an older version left is put there anew each time, as number `step`. */
static void put_golden(void)
{
    size_t size = 0;
    char *bytes = check_read_file("tests/golden/schema-1/home/models/catalog.db", &size);
    check_write_file(check_path(check_format("records%d", ++step)), bytes, size);
    free(bytes);
}

static exia_status open_golden(exia_error *error)
{
    exia__records *records = NULL;
    const char *url = check_format("sqlite:%s", check_path(check_format("records%d", step)));
    exia_status rc = exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, error);
    exia__records_free(records);
    return rc;
}

static exia_status upgrade(exia_error *error)
{
    plan.on = 0;
    put_golden();
    plan.on = 1;
    return open_golden(error);
}

static int version_of(const char *path, const char *expected_rows)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*), sum(length(json)) FROM record", -1,
                                        &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *rows = check_format("%s/%s", (const char *)sqlite3_column_text(statement, 0),
                                    (const char *)sqlite3_column_text(statement, 1));
    assert_string_equal(rows, expected_rows);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return version;
}

/* Whole in its old version or in its new one; then the copy is there.  And what comes next ends it. */
static void look_at_upgraded(int done)
{
    const char *path = check_path(check_format("records%d", step));
    const char *rows = "12/3573"; /* how many, how long */
    int version = version_of(path, rows);
    assert_true(version == 2 || (version == 1 && !done));
    if (version == 2)
        assert_int_equal(version_of(check_format("%s.before-2", path), rows), 1);
    check_ok(open_golden(&err));
    assert_int_equal(version_of(path, rows), 2);
    assert_int_equal(version_of(check_format("%s.before-2", path), rows), 1);
    assert_int_not_equal(access(check_format("%s.before-2.1", path), F_OK), 0);
    assert_int_not_equal(access(check_format("%s.before-2.part", path), F_OK), 0);
}

TEST(an_upgrade_on_a_failing_disk_is_whole_and_copied_or_is_not)
{
    check_survives_no_disk(upgrade, look_at_upgraded);
}

static int upgrade_until_killed(void)
{
    plan.on = 1;
    return open_golden(&err) == EXIA_OK ? 0 : 1;
}

TEST(an_upgrade_killed_at_any_call_is_ended_by_the_next)
{
    int code = 128 + SIGKILL;
    plan.code = 0;
    for (long nth = 0; code == 128 + SIGKILL; nth++) {
        put_golden();
        plan.countdown = nth;
        code = check_in_child(upgrade_until_killed);
        assert_true(code == 0 || (code == 128 + SIGKILL && nth < 2000));
        look_at_upgraded(code == 0);
    }
}
