/* Making and recognising databases of records.
 *
 * A new database is made in memory and appears by one rename, so that there never is a half-made
 * one and an empty or foreign file is never taken for ours. */
#include "drivers/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/url.h"

enum { APPLICATION_ID = 0x45584941 /* "EXIA" */, HEADER_SIZE = 100 };

/* WAL needs memory that all processes share, which these do not give between machines. */
static int is_network(const char *path)
{
    struct statfs info;
    return statfs(path, &info) == 0 && exia__is_network((uint32_t)info.f_type);
}

/* The bytes of an empty database, to be freed by sqlite3_free. */
static exia_status make_image(unsigned char **out, sqlite3_int64 *size, exia_error *err)
{
    exia__sqlite memory = {.path = (char *)"a new database"};
    char id[48];
    exia_status rc = EXIA_OK;
    *out = NULL;
    snprintf(id, sizeof id, "PRAGMA application_id = %d", APPLICATION_ID);
    if (sqlite3_open(":memory:", &memory.connection) != SQLITE_OK ||
        sqlite3_exec(memory.connection, id, NULL, NULL, NULL) != SQLITE_OK)
        rc = exia__sqlite_fail(&memory, "make", err);
    if (rc == EXIA_OK)
        rc = exia__sqlite_take_steps(&memory, err);
    if (rc == EXIA_OK)
        *out = sqlite3_serialize(memory.connection, "main", size, 0);
    if (rc == EXIA_OK && *out == NULL)
        rc = exia__fail_memory(err);
    sqlite3_close(memory.connection);
    return rc;
}

/* Make an empty database, whole and durable, unless somebody was faster. */
static exia_status create(const char *path, exia_error *err)
{
    unsigned char *image = NULL;
    sqlite3_int64 size = 0;
    char *folder = NULL;
    exia_status rc = exia__path_folder(&folder, path, err);
    if (rc == EXIA_OK)
        rc = exia__directory_make(folder, err);
    if (rc == EXIA_OK)
        rc = make_image(&image, &size, err);
    if (rc == EXIA_OK) {
        /* bytes 18 and 19 of the file format: 2 is WAL, 1 the rollback journal */
        image[18] = image[19] = is_network(folder) ? 1 : 2;
        rc = exia__file_write(path, image, (size_t)size, 0, err);
    }
    sqlite3_free(image);
    exia__release(folder);
    return rc == EXIA_EEXISTS ? exia__forgive(err) : rc;
}

static uint32_t big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Look at the file's header before SQLite does, so that what is not ours stays untouched.  It is
 * read through SQLite's own descriptor. */
static exia_status check_header(exia__sqlite *self, exia_error *err)
{
    sqlite3_file *file = NULL;
    unsigned char header[HEADER_SIZE] = {0};
    int rc = sqlite3_file_control(self->connection, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (rc == SQLITE_OK && file != NULL && file->pMethods != NULL)
        rc = file->pMethods->xRead(file, header, sizeof header, 0);
    if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
        return exia__fail(err, EXIA_EIO, rc, "cannot read %s: %s", self->path, sqlite3_errstr(rc));
    if (rc == SQLITE_IOERR_SHORT_READ || memcmp(header, "SQLite format 3", 16) != 0)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s is no SQLite database", self->path);
    if (big_endian(header + 68) != APPLICATION_ID)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "%s is a database of another program, not a catalogue of Exia",
                          self->path);
    if (header[18] == 2 && is_network(self->path))
        return exia__fail(err, EXIA_EUNSUPPORTED, 0,
                          "%s is in WAL mode, which fails on a network file system: move it to a "
                          "local disk, or there run sqlite3 FILE 'PRAGMA journal_mode=DELETE'",
                          self->path);
    return exia__sqlite_check_version(self, big_endian(header + 60), err);
}

static exia_status connect(exia__sqlite *self, exia_error *err)
{
    const int write = self->mode == EXIA_STORE_WRITE;
    struct stat info;
    int on = 1;
    if (stat(self->path, &info) != 0)
        return exia__fail_errno(err, errno, "cannot open", self->path);
    if (!S_ISREG(info.st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", self->path);
    if (exia__sqlite_connect(self, write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) !=
        SQLITE_OK)
        return exia__sqlite_fail(self, "open", err);
    exia_status rc = check_header(self, err);
    if (rc < 0)
        return rc;
    if (write && sqlite3_db_readonly(self->connection, "main") != 0)
        return exia__fail(err, EXIA_EDENIED, 0, "no permission to write %s", self->path);
    /* the file may come from anywhere: nothing in it is code */
    sqlite3_db_config(self->connection, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(self->connection, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(self->connection, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(self->connection, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    /* readers without write access need the -wal and -shm files to stay */
    sqlite3_file_control(self->connection, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
    /* EXTRA is FULL, and syncs the directory where there is a rollback journal */
    if (sqlite3_exec(self->connection,
                     "PRAGMA synchronous = EXTRA; PRAGMA journal_size_limit = 4194304;"
                     "PRAGMA cell_size_check = ON",
                     NULL, NULL, NULL) != SQLITE_OK)
        return exia__sqlite_fail(self, "open", err);
    /* the header may be older than the WAL */
    rc = exia__sqlite_read_version(self, err);
    if (rc == EXIA_OK && write && self->schema < EXIA__SQLITE_SCHEMA)
        rc = exia__sqlite_upgrade(self, err);
    const int known = self->schema < 2 ? EXIA__STATEMENTS_1 : EXIA__STATEMENTS;
    for (int i = 0; rc == EXIA_OK && i < known; i++) {
        sqlite3_stmt *statement = NULL;
        rc = exia__sqlite_start(&statement, self, i, NULL, err);
    }
    return rc;
}

exia_status exia__sqlite_open(void **out, const char *url, int mode, const exia_job *job,
                              exia_error *err)
{
    exia__work work;
    exia__sqlite *self = NULL;
    char *path = NULL;
    *out = NULL;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK && strchr(url, '?') != NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "%.150s: sqlite: URLs have no options; a '?' in a path is %%3F", url);
    if (rc == EXIA_OK)
        rc = exia__sqlite_new(&self, &work, mode, err);
    if (rc < 0)
        return rc;
    rc = exia__url_path(&path, url, err);
    if (rc ==
        EXIA_OK) /* the working directory may change; SQLite gives "" and ":memory:" a meaning */
        rc = exia__path_absolute(&self->path, path, err);
    if (rc == EXIA_OK && mode == EXIA_STORE_WRITE && !exia__path_exists(self->path))
        rc = create(self->path, err);
    if (rc == EXIA_OK)
        rc = connect(self, err);
    exia__sqlite_opened(self);
    exia__release(path);
    if (rc == EXIA_OK)
        *out = self;
    else
        exia__sqlite_free(self);
    return rc;
}
