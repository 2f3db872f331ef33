/* The tables in their versions: a new database takes every step, an older one those that it lacks.
 *
 *     1  record(revision, kind, key, json, token)   revision: AUTOINCREMENT, so none comes back
 *     2  field(kind, path, rank, value, age, key)   what the `row` of a record holds, to be sought
 *
 * An upgrade is one transaction.  Under its lock the file is first copied to PATH.before-VERSION, so
 * that there is a way back, and whoever comes second finds all done. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "drivers/sqlite.h"

enum { COPIES_LIMIT = 100, BLOCK = 16384 };

static const char *const steps[EXIA__SQLITE_SCHEMA] = {
    "CREATE TABLE record("
    "revision INTEGER PRIMARY KEY AUTOINCREMENT,"
    "kind TEXT NOT NULL,"
    "key TEXT NOT NULL,"
    "json TEXT NOT NULL,"
    "token TEXT NOT NULL,"
    "UNIQUE(kind, key))",

    "CREATE TABLE field("
    "kind TEXT NOT NULL,"
    "path TEXT NOT NULL,"
    "rank INTEGER NOT NULL,"
    "value NOT NULL,"
    "age INTEGER NOT NULL,"
    "key TEXT NOT NULL,"
    "PRIMARY KEY(kind, path, rank, value, age, key)) WITHOUT ROWID",
};

exia_status exia__sqlite_check_version(const exia__sqlite *self, uint32_t version, exia_error *err)
{
    if (version > EXIA__SQLITE_SCHEMA)
        return exia__fail(err, EXIA_EVERSION, 0,
                          "%s has schema version %u, this Exia (%s) knows %d: use a newer one",
                          self->path, version, exia_version(), EXIA__SQLITE_SCHEMA);
    if (version == 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s has schema version 0, which never was",
                          self->path);
    return EXIA_OK;
}

exia_status exia__sqlite_read_version(exia__sqlite *self, exia_error *err)
{
    sqlite3_stmt *statement = NULL;
    uint32_t version = 0;
    exia_status rc = exia__sqlite_ask(&statement, self, "PRAGMA user_version", err);
    if (rc == EXIA_OK)
        version = (uint32_t)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    if (rc == EXIA_OK)
        rc = exia__sqlite_check_version(self, version, err);
    if (rc == EXIA_OK)
        self->schema = (int)version;
    return rc;
}

exia_status exia__sqlite_take_steps(exia__sqlite *self, exia_error *err)
{
    char version[48];
    int rc = SQLITE_OK;
    for (int i = self->schema; rc == SQLITE_OK && i < EXIA__SQLITE_SCHEMA; i++)
        rc = sqlite3_exec(self->connection, steps[i], NULL, NULL, NULL);
    snprintf(version, sizeof version, "PRAGMA user_version = %d", EXIA__SQLITE_SCHEMA);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(self->connection, version, NULL, NULL, NULL);
    return rc == SQLITE_OK ? EXIA_OK : exia__sqlite_fail(self, "write", err);
}

/* ---- the copy ------------------------------------------------------------------------------- */

/* All pages as they are now to the empty file `path`.  No other connection can write meanwhile, and
 * no fork comes between: these two are known to nobody. */
static exia_status copy_pages(const exia__sqlite *self, char *path, exia_error *err)
{
    exia__sqlite from = {.path = self->path}, to = {.path = path};
    exia_status rc = EXIA_OK;
    if (sqlite3_open_v2(from.path, &from.connection, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(from.connection, (int)self->work->job.timeout_ms) != SQLITE_OK)
        rc = exia__sqlite_fail(&from, "read", err);
    else if (sqlite3_open_v2(to.path, &to.connection, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
             sqlite3_exec(to.connection, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF",
                          NULL, NULL, NULL) != SQLITE_OK)
        rc = exia__sqlite_fail(&to, "write", err); /* it is synced once it is whole */
    else {
        sqlite3_backup *backup =
            sqlite3_backup_init(to.connection, "main", from.connection, "main");
        if (backup != NULL)
            sqlite3_backup_step(backup, -1);
        if (backup == NULL || sqlite3_backup_finish(backup) != SQLITE_OK)
            rc = exia__sqlite_fail(&to, "write the copy", err);
    }
    sqlite3_close(to.connection);
    sqlite3_close(from.connection);
    return rc;
}

/* Does the file `path` hold the same bytes? */
static int is_same(int fd, const char *path)
{
    struct stat ours, theirs;
    char a[BLOCK], b[BLOCK];
    int other = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int same = other >= 0 && fstat(fd, &ours) == 0 && fstat(other, &theirs) == 0 &&
               S_ISREG(theirs.st_mode) && ours.st_size == theirs.st_size;
    for (off_t at = 0; same && at < ours.st_size; at += BLOCK) {
        size_t size = ours.st_size - at < BLOCK ? (size_t)(ours.st_size - at) : BLOCK;
        same = exia__read_at(fd, a, size, (uint64_t)at, path, NULL) == EXIA_OK &&
               exia__read_at(other, b, size, (uint64_t)at, path, NULL) == EXIA_OK &&
               memcmp(a, b, size) == 0;
    }
    if (other >= 0)
        close(other);
    return same;
}

/* Give the whole copy its name, or leave that to an equal one, of an upgrade that did not end. */
static exia_status name_copy(char **name, int fd, const char *part, const char *path,
                             exia_error *err)
{
    exia_status rc = exia__text_format(name, err, "%s.before-%d", path, EXIA__SQLITE_SCHEMA);
    for (int i = 1; rc == EXIA_OK; i++) {
        if (exia__rename_absent(AT_FDCWD, part, AT_FDCWD, *name) == 0)
            return EXIA_OK;
        if (errno != EEXIST)
            return exia__fail_errno(err, errno, "cannot write", *name);
        if (is_same(fd, *name))
            return unlink(part) == 0 ? EXIA_OK
                                     : exia__fail_errno(err, errno, "cannot remove", part);
        if (i == COPIES_LIMIT)
            return exia__fail(err, EXIA_EEXISTS, EEXIST,
                              "%s and %d more copies are there: remove those not needed", *name,
                              i - 1);
        exia__release(*name);
        rc = exia__text_format(name, err, "%s.before-%d.%d", path, EXIA__SQLITE_SCHEMA, i);
    }
    return rc;
}

/* The file as it is, durable, for those who may read it now; `*name` is how it is called. */
static exia_status copy(char **name, const exia__sqlite *self, exia_error *err)
{
    struct stat info;
    char *part = NULL, *folder = NULL;
    int fd = -1;
    exia_status rc =
        exia__text_format(&part, err, "%s.before-%d.part", self->path, EXIA__SQLITE_SCHEMA);
    if (rc == EXIA_OK)
        rc = exia__path_folder(&folder, self->path, err);
    if (rc < 0)
        goto done;
    /* one that is there is of a process that was killed: only one at a time holds the lock */
    if (unlink(part) != 0 && errno != ENOENT) {
        rc = exia__fail_errno(err, errno, "cannot remove", part);
        goto done;
    }
    fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || stat(self->path, &info) != 0) {
        rc = exia__fail_errno(err, errno, "cannot create", part);
        goto done;
    }
    rc = copy_pages(self, part, err);
    if (rc == EXIA_OK && ((geteuid() == 0 && fchown(fd, info.st_uid, info.st_gid) != 0) ||
                          fchmod(fd, info.st_mode & 0777) != 0 || fsync(fd) != 0))
        rc = exia__fail_errno(err, errno, "cannot write", part);
    if (rc == EXIA_OK)
        rc = name_copy(name, fd, part, self->path, err);
    if (rc == EXIA_OK)
        rc = exia__directory_sync(folder, err);
    if (rc < 0)
        unlink(part);
done:
    if (fd >= 0)
        close(fd);
    exia__release(folder);
    exia__release(part);
    return rc;
}

exia_status exia__sqlite_upgrade(exia__sqlite *self, exia_error *err)
{
    char *name = NULL;
    int from = self->schema;
    exia_status rc = exia__sqlite_run(self, EXIA__BEGIN, NULL, err);
    if (rc == EXIA_OK)
        rc = exia__sqlite_read_version(self, err); /* somebody may have been faster */
    if (rc == EXIA_OK && self->schema < EXIA__SQLITE_SCHEMA) {
        rc = copy(&name, self, err);
        if (rc == EXIA_OK)
            rc = exia__sqlite_take_steps(self, err);
    }
    rc = exia__sqlite_conclude(self, rc, err);
    if (rc < 0)
        rc = exia__prefix(err, rc, "upgrade from schema version %d to %d", from,
                          EXIA__SQLITE_SCHEMA);
    else
        self->schema = EXIA__SQLITE_SCHEMA;
    if (rc == EXIA_OK && name != NULL)
        exia__log(EXIA_LOG_INFO, "sqlite", "%s was upgraded to schema version %d; as it was: %s",
                  self->path, EXIA__SQLITE_SCHEMA, name);
    exia__release(name);
    return rc;
}
