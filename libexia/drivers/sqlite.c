/* Records in one SQLite database, which is one table.
 *
 *     record(revision, kind, key, json, token)      revision: AUTOINCREMENT, so none comes back
 *
 * A new database is made in memory and appears by one rename, so that there never is a half-made
 * one and an empty or foreign file is never taken for ours.  A handle is one connection behind a
 * mutex, with its statements prepared once.  No statement is open and no lock is held while a
 * callback runs: a scan reads a page, lets go, tells the page, and reads on behind its last key. */
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "base/job.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/url.h"
#include "store/driver.h"

enum {
    APPLICATION_ID = 0x45584941, /* "EXIA" */
    SCHEMA_VERSION = 1,
    HEADER_SIZE = 100,
    PAGE_ROWS = 500,
    PAGE_BYTES = 1 << 20,
    SLICE_MS = 50 /* between two looks at a cancel */
};

static const char schema[] = "CREATE TABLE record("
                             "revision INTEGER PRIMARY KEY AUTOINCREMENT,"
                             "kind TEXT NOT NULL,"
                             "key TEXT NOT NULL,"
                             "json TEXT NOT NULL,"
                             "token TEXT NOT NULL,"
                             "UNIQUE(kind, key))";

enum { BEGIN, COMMIT, ROLLBACK, GET, STAND, WRITE, REMOVE, SCAN, STATEMENTS };
static const char *const statement_texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [GET] = "SELECT key, json, revision FROM record WHERE kind = ?1 AND key = ?2",
    [STAND] = "SELECT revision, token FROM record WHERE kind = ?1 AND key = ?2",
    [WRITE] = "INSERT OR REPLACE INTO record(kind, key, json, token) VALUES(?1, ?2, ?3, ?4)",
    [REMOVE] = "DELETE FROM record WHERE kind = ?1 AND key = ?2",
    [SCAN] = "SELECT key, json, revision FROM record"
             " WHERE kind = ?1 AND key >= ?2 AND key < ?3 ORDER BY key",
};

typedef struct database {
    pthread_mutex_t lock; /* for all below */
    sqlite3 *connection;
    sqlite3_stmt *statements[STATEMENTS];
    char *path; /* absolute */
    int mode;
    exia__work *work; /* of the operation that runs */
    exia_error stop;  /* why waiting ended early; status 0: it did not */
    int64_t waiting_since;
    unsigned seed;
} database;

/* One process must not open the file beside SQLite (closing it would drop SQLite's locks), so a
 * database is made and opened under this. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct {
    int native;
    exia_status status;
} status_map[] = {
    {SQLITE_FULL, EXIA_ENOSPACE},        {SQLITE_READONLY, EXIA_EDENIED},
    {SQLITE_PERM, EXIA_EDENIED},         {SQLITE_AUTH, EXIA_EDENIED},
    {SQLITE_CANTOPEN, EXIA_EDENIED},     {SQLITE_BUSY, EXIA_ETIMEOUT},
    {SQLITE_LOCKED, EXIA_ETIMEOUT},      {SQLITE_PROTOCOL, EXIA_ETIMEOUT},
    {SQLITE_CORRUPT, EXIA_ECORRUPT},     {SQLITE_NOTADB, EXIA_ECORRUPT},
    {SQLITE_ERROR, EXIA_ECORRUPT},       {SQLITE_NOMEM, EXIA_ENOMEM},
    {SQLITE_TOOBIG, EXIA_EINVAL},        {SQLITE_IOERR, EXIA_EIO},
    {SQLITE_INTERRUPT, EXIA_ECANCELLED},
};

/* Fail with what SQLite said last on this connection. */
static exia_status fail_native(database *self, const char *what, exia_error *err)
{
    int native = sqlite3_extended_errcode(self->connection);
    exia_status status = EXIA_EIO;
    if (self->stop.status < 0) {
        if (err != NULL)
            *err = self->stop;
        return self->stop.status;
    }
    for (size_t i = 0; i < sizeof status_map / sizeof *status_map; i++) {
        if (status_map[i].native == (native & 0xff))
            status = status_map[i].status;
    }
    if (status == EXIA_ETIMEOUT)
        return exia__fail(err, status, native, "cannot %s %s: others kept it locked for %lld ms",
                          what, self->path,
                          (long long)(self->work ? self->work->job.timeout_ms : 0));
    if (native == SQLITE_READONLY_ROLLBACK || native == SQLITE_READONLY_RECOVERY)
        return exia__fail(err, status, native,
                          "cannot %s %s: its last writer crashed; open it once for writing", what,
                          self->path);
    if ((native & 0xff) == SQLITE_CANTOPEN)
        return exia__fail(err, status, native,
                          "cannot %s %s: no permission, or its -wal and -shm files are missing",
                          what, self->path);
    return exia__fail(err, status, native, "cannot %s %s: %s", what, self->path,
                      sqlite3_errmsg(self->connection));
}

/* SQLite asks whether to try again.  Sleeps are short and random, so that waiters have equal
 * chances. */
static int wait_busy(void *payload, int count)
{
    database *self = payload;
    int64_t now = exia__clock_ms();
    if (count == 0)
        self->waiting_since = now;
    int64_t waited = now - self->waiting_since, allowed = self->work->job.timeout_ms;
    if (waited >= allowed || exia__work_step(self->work, "wait for the database", (uint64_t)waited,
                                             (uint64_t)allowed, &self->stop) < 0)
        return 0;
    self->seed = self->seed * 1103515245u + 12345u;
    struct timespec pause = {.tv_nsec = 200000 + (long)(self->seed >> 16) % 1024 * 2000};
    nanosleep(&pause, NULL);
    return 1;
}

/* Take the connection for one operation.  The wait is bounded as that for other processes is. */
static exia_status enter(database *self, exia__work *work, const exia_job *job, exia_error *err)
{
    exia_status rc = exia__work_begin(work, job, err);
    int64_t began = exia__clock_ms();
    int busy = EBUSY;
    while (rc == EXIA_OK && busy != 0) {
        int64_t waited = exia__clock_ms() - began;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += SLICE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        busy = pthread_mutex_clocklock(&self->lock, CLOCK_MONOTONIC, &until);
        if (busy != 0 && waited >= work->job.timeout_ms)
            rc = exia__fail(err, EXIA_ETIMEOUT, 0, "%s: other threads kept it busy for %lld ms",
                            self->path, (long long)waited);
        else if (busy != 0)
            rc = exia__work_step(work, "wait for the database", (uint64_t)waited,
                                 (uint64_t)work->job.timeout_ms, err);
    }
    if (rc == EXIA_OK) {
        self->work = work;
        self->stop.status = EXIA_OK;
    }
    return rc;
}

static void leave(database *self)
{
    self->work = NULL;
    pthread_mutex_unlock(&self->lock);
}

/* ---- statements ----------------------------------------------------------------------------- */

/* The statement with up to four texts bound (NULL ends them).  They are borrowed until `end`. */
static exia_status start(sqlite3_stmt **out, database *self, int which, const char *const *texts,
                         exia_error *err)
{
    sqlite3_stmt **kept = &self->statements[which];
    *out = NULL;
    int rc = SQLITE_OK;
    if (*kept == NULL)
        rc = sqlite3_prepare_v3(self->connection, statement_texts[which], -1,
                                SQLITE_PREPARE_PERSISTENT, kept, NULL);
    for (int i = 0; rc == SQLITE_OK && texts != NULL && texts[i] != NULL; i++)
        rc = sqlite3_bind_text(*kept, i + 1, texts[i], -1, SQLITE_STATIC);
    if (rc != SQLITE_OK)
        return fail_native(self, "use", err);
    *out = *kept;
    return EXIA_OK;
}

static void end(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

/* Run a statement that gives no rows. */
static exia_status run(database *self, int which, const char *const *texts, exia_error *err)
{
    sqlite3_stmt *statement = NULL;
    exia_status rc = start(&statement, self, which, texts, err);
    if (rc < 0)
        return rc;
    if (sqlite3_step(statement) != SQLITE_DONE)
        rc = fail_native(self, self->mode == EXIA_STORE_WRITE ? "write" : "read", err);
    end(statement);
    return rc;
}

/* End a transaction: commit if all went well, else as it was. */
static exia_status conclude(database *self, exia_status rc, exia_error *err)
{
    if (rc == EXIA_OK)
        rc = run(self, COMMIT, NULL, err);
    if (rc < 0 && !sqlite3_get_autocommit(self->connection))
        (void)run(self, ROLLBACK, NULL, NULL);
    return rc;
}

/* ---- open, close ---------------------------------------------------------------------------- */

/* WAL needs memory that all processes share, which these do not give between machines. */
static int is_network(const char *path)
{
    static const unsigned long types[] = {
        0x6969 /* NFS */,
        0x517b /* SMB */,
        0xff534d42 /* CIFS */,
        0xfe534d42 /* SMB2 */,
        0x564c /* NCP */,
        0x5346414f /* AFS */,
        0x6b414653 /* kAFS */,
        0x73757245 /* Coda */,
        0x01021997 /* 9P */,
        0x65735546 /* FUSE */,
        0x00c36400 /* Ceph */,
        0x0bd00bd0 /* Lustre */,
        0x47504653 /* GPFS */,
        0x01161970 /* GFS2 */,
        0x7461636f /* OCFS2 */,
        0x19830326 /* BeeGFS */,
        0x20030528 /* OrangeFS */,
        0xaad7aaea /* PanFS */,
        0x786f4256 /* VirtualBox */,
    };
    struct statfs info;
    if (statfs(path, &info) != 0)
        return 0; /* opening will tell */
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (((unsigned long)info.f_type & 0xffffffff) == types[i])
            return 1;
    }
    return 0;
}

/* The bytes of an empty database, to be freed by sqlite3_free. */
static exia_status make_image(unsigned char **out, sqlite3_int64 *size, exia_error *err)
{
    database memory = {.path = (char *)"a new database"};
    char *text = NULL;
    *out = NULL;
    exia_status rc =
        exia__text_format(&text, err, "PRAGMA application_id = %d; PRAGMA user_version = %d; %s",
                          APPLICATION_ID, SCHEMA_VERSION, schema);
    if (rc < 0)
        return rc;
    if (sqlite3_open(":memory:", &memory.connection) != SQLITE_OK ||
        sqlite3_exec(memory.connection, text, NULL, NULL, NULL) != SQLITE_OK)
        rc = fail_native(&memory, "make", err);
    if (rc == EXIA_OK)
        *out = sqlite3_serialize(memory.connection, "main", size, 0);
    if (rc == EXIA_OK && *out == NULL)
        rc = exia__fail_memory(err);
    sqlite3_close(memory.connection);
    exia__release(text);
    return rc;
}

/* Make an empty database, whole and durable, unless somebody was faster. */
static exia_status create(const char *path, exia_error *err)
{
    unsigned char *image = NULL;
    sqlite3_int64 size = 0;
    char *folder = NULL;
    size_t length = (size_t)(exia__path_base(path) - path);
    exia_status rc = exia__text_copy_n(&folder, path, length > 1 ? length - 1 : length, err);
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
    return rc == EXIA_EEXISTS ? EXIA_OK : rc;
}

static exia_status check_version(const database *self, uint32_t version, exia_error *err)
{
    if (version > SCHEMA_VERSION)
        return exia__fail(err, EXIA_EVERSION, 0,
                          "%s has schema version %u, this Exia (%s) knows %d: use a newer one",
                          self->path, version, exia_version(), SCHEMA_VERSION);
    if (version < SCHEMA_VERSION)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s has schema version %u, which never was",
                          self->path, version);
    return EXIA_OK;
}

static uint32_t big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Look at the file's header before SQLite does, so that what is not ours stays untouched.  It is
 * read through SQLite's own descriptor. */
static exia_status check_header(database *self, exia_error *err)
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
    return check_version(self, big_endian(header + 60), err);
}

/* The first value of a query; a text stays in `statement`, to be finalised by the caller. */
static exia_status ask(sqlite3_stmt **statement, database *self, const char *query, exia_error *err)
{
    if (sqlite3_prepare_v2(self->connection, query, -1, statement, NULL) != SQLITE_OK ||
        sqlite3_step(*statement) != SQLITE_ROW)
        return fail_native(self, "read", err);
    return EXIA_OK;
}

/* Under the lock of opening. */
static exia_status connect(database *self, exia_error *err)
{
    const int write = self->mode == EXIA_STORE_WRITE;
    struct stat info;
    sqlite3_stmt *version = NULL;
    int on = 1;
    if (stat(self->path, &info) != 0)
        return exia__fail_errno(err, errno, "cannot open", self->path);
    if (!S_ISREG(info.st_mode))
        return exia__fail(err, EXIA_EINVAL, 0, "%s is no regular file", self->path);
    if (sqlite3_open_v2(self->path, &self->connection,
                        (write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) |
                            SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK)
        return fail_native(self, "open", err);
    exia_status rc = check_header(self, err);
    if (rc < 0)
        return rc;
    if (write && sqlite3_db_readonly(self->connection, "main") != 0)
        return exia__fail(err, EXIA_EDENIED, 0, "no permission to write %s", self->path);
    sqlite3_busy_handler(self->connection, wait_busy, self);
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
        return fail_native(self, "open", err);
    /* the header may be older than the WAL */
    rc = ask(&version, self, "PRAGMA user_version", err);
    if (rc == EXIA_OK)
        rc = check_version(self, (uint32_t)sqlite3_column_int64(version, 0), err);
    sqlite3_finalize(version);
    for (int i = 0; rc == EXIA_OK && i < STATEMENTS; i++) {
        sqlite3_stmt *statement = NULL;
        rc = start(&statement, self, i, NULL, err);
    }
    return rc;
}

static void sqlite_close(void *payload)
{
    database *self = payload;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(self->statements[i]);
    sqlite3_close(self->connection);
    pthread_mutex_destroy(&self->lock);
    exia__release(self->path);
    exia__release(self);
}

/* SQLite's own memory and descriptors stay: closing would touch what the parent still uses. */
static void sqlite_abandon(void *payload)
{
    database *self = payload;
    exia__release(self->path);
    exia__release(self);
}

/* Absolute: the working directory may change, and SQLite gives "" and ":memory:" a meaning. */
static exia_status absolute(char **out, const char *url, exia_error *err)
{
    char *path = NULL, *here = NULL;
    exia_status rc = exia__url_path(&path, url, err);
    if (rc == EXIA_OK && *path == '/') {
        *out = path;
        return rc;
    }
    if (rc == EXIA_OK) {
        here = getcwd(NULL, 0);
        rc = here ? exia__path_join(out, here, path, err)
                  : exia__fail_errno(err, errno, "cannot tell", "the working directory");
    }
    (free)(here); /* getcwd's own memory */
    exia__release(path);
    return rc;
}

static exia_status sqlite_open(void **out, const char *url, int mode, const exia_job *job,
                               exia_error *err)
{
    exia__work work;
    database *self = NULL;
    *out = NULL;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK && strchr(url, '?') != NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0,
                        "%.150s: sqlite: URLs have no options; a '?' in a path is %%3F", url);
    if (rc < 0)
        return rc;
    self = exia__zeroed(1, sizeof *self);
    if (self == NULL)
        return exia__fail_memory(err);
    pthread_mutex_init(&self->lock, NULL);
    self->mode = mode;
    self->work = &work;
    self->seed = (unsigned)getpid() * 2654435761u ^ (unsigned)exia__clock_ms();
    rc = absolute(&self->path, url, err);
    pthread_mutex_lock(&open_lock);
    if (rc == EXIA_OK && mode == EXIA_STORE_WRITE && !exia__path_exists(self->path))
        rc = create(self->path, err);
    if (rc == EXIA_OK)
        rc = connect(self, err);
    pthread_mutex_unlock(&open_lock);
    self->work = NULL;
    if (rc == EXIA_OK)
        *out = self;
    else
        sqlite_close(self);
    return rc;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Rows one behind the other: the revision's eight bytes, the key, the JSON, each text with its NUL. */
static exia_status read_row(exia__buffer *page, database *self, sqlite3_stmt *statement,
                            exia_error *err)
{
    sqlite3_int64 revision = sqlite3_column_int64(statement, 2);
    exia_status rc = exia__buffer_append(page, &revision, sizeof revision, err);
    for (int i = 0; rc == EXIA_OK && i < 2; i++) {
        if (sqlite3_column_type(statement, i) != SQLITE_TEXT)
            return exia__fail(err, EXIA_ECORRUPT, 0, "%s has a record that is no text", self->path);
        const char *text = (const char *)sqlite3_column_text(statement, i);
        if (text == NULL)
            return exia__fail_memory(err);
        rc = exia__buffer_append(page, text, strlen(text) + 1, err);
    }
    return rc;
}

/* Tell the rows of a page; `*last` becomes the last key.  No lock is held. */
static exia_status tell(const exia__buffer *page, const char **last, exia_record_fn *found,
                        void *payload, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t at = 0; rc == EXIA_OK && at < page->size;) {
        int64_t revision = 0;
        memcpy(&revision, page->data + at, sizeof revision);
        const char *key = page->data + at + sizeof revision;
        const char *json = key + strlen(key) + 1;
        at = (size_t)(json + strlen(json) + 1 - page->data);
        *last = key;
        rc = found(key, json, revision, payload, err);
    }
    return rc;
}

static exia_status sqlite_get(void *payload, const char *kind, const char *key,
                              exia_record_fn *found, void *found_payload, const exia_job *job,
                              exia_error *err)
{
    database *self = payload;
    exia__work work;
    exia__buffer page = {0};
    const char *last = NULL;
    sqlite3_stmt *statement = NULL;
    exia_status rc = enter(self, &work, job, err);
    if (rc < 0)
        return rc;
    rc = start(&statement, self, GET, (const char *const[]){kind, key, NULL}, err);
    if (rc == EXIA_OK) {
        int step = sqlite3_step(statement);
        if (step == SQLITE_ROW)
            rc = read_row(&page, self, statement, err);
        else if (step == SQLITE_DONE)
            rc = exia__fail(err, EXIA_ENOTFOUND, 0, "there is no %s \"%s\" in %s", kind, key,
                            self->path);
        else
            rc = fail_native(self, "read", err);
        end(statement);
    }
    leave(self);
    if (rc == EXIA_OK)
        rc = tell(&page, &last, found, found_payload, err);
    exia__buffer_free(&page);
    return rc < 0 ? rc : EXIA_OK;
}

/* Read up to `limit` rows from `lower` on; `*more`: there may be others. */
static exia_status read_page(exia__buffer *page, size_t *count, int *more, database *self,
                             const char *const *range, size_t limit, const exia_job *job,
                             exia_error *err)
{
    exia__work work;
    sqlite3_stmt *statement = NULL;
    int step = SQLITE_DONE;
    *count = 0;
    exia_status rc = enter(self, &work, job, err);
    if (rc < 0)
        return rc;
    rc = start(&statement, self, SCAN, range, err);
    while (rc == EXIA_OK && *count < limit && page->size < PAGE_BYTES &&
           (step = sqlite3_step(statement)) == SQLITE_ROW) {
        rc = read_row(page, self, statement, err);
        ++*count;
    }
    if (rc == EXIA_OK && step != SQLITE_ROW && step != SQLITE_DONE)
        rc = fail_native(self, "read", err);
    *more = step == SQLITE_ROW;
    end(statement);
    leave(self);
    return rc;
}

static exia_status sqlite_scan(void *payload, const char *kind, const char *prefix,
                               const char *after, size_t limit, const char *filter,
                               exia_record_fn *found, void *found_payload, const exia_job *job,
                               exia_error *err)
{
    database *self = payload;
    exia__buffer page = {0};
    char *lower = NULL, *upper = NULL;
    size_t left = limit > 0 ? limit : SIZE_MAX;
    int more = 1;
    (void)filter; /* a hint: the core drops what does not match */
    /* every byte of a key is above 1 and below 127 */
    exia_status rc = exia__text_format(&upper, err, "%s\x7f", prefix);
    if (rc == EXIA_OK)
        rc = after != NULL && strcmp(after, prefix) >= 0
                 ? exia__text_format(&lower, err, "%s\x01", after)
                 : exia__text_copy(&lower, prefix, err);
    while (rc == EXIA_OK && more && left > 0) {
        const char *last = NULL;
        size_t count = 0;
        page.size = 0;
        rc = read_page(&page, &count, &more, self, (const char *const[]){kind, lower, upper, NULL},
                       left < PAGE_ROWS ? left : PAGE_ROWS, job, err);
        left -= count;
        if (rc == EXIA_OK)
            rc = tell(&page, &last, found, found_payload, err);
        exia__release(lower);
        lower = NULL;
        if (rc == EXIA_OK && more)
            rc = exia__text_format(&lower, err, "%s\x01", last);
    }
    exia__release(lower);
    exia__release(upper);
    exia__buffer_free(&page);
    return rc < 0 ? rc : EXIA_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Where a record stands: its revision, or 0; `*same`: it carries `token`. */
static exia_status stand(int64_t *revision, int *same, database *self, const char *kind,
                         const char *key, const char *token, exia_error *err)
{
    sqlite3_stmt *statement = NULL;
    *revision = *same = 0;
    exia_status rc = start(&statement, self, STAND, (const char *const[]){kind, key, NULL}, err);
    if (rc < 0)
        return rc;
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW) {
        const char *its = (const char *)sqlite3_column_text(statement, 1);
        *revision = sqlite3_column_int64(statement, 0);
        *same = its != NULL && token != NULL && strcmp(its, token) == 0;
    } else if (step != SQLITE_DONE) {
        rc = fail_native(self, "read", err);
    }
    end(statement);
    return rc;
}

static exia_status fail_conflict(const char *kind, const char *key, int64_t stands, exia_error *err)
{
    return stands == EXIA_ABSENT
               ? exia__fail(err, EXIA_ECONFLICT, 0, "%s \"%s\" is not there any more", kind, key)
               : exia__fail(err, EXIA_ECONFLICT, 0, "%s \"%s\" stands at revision %lld", kind, key,
                            (long long)stands);
}

/* One put inside a transaction. */
static exia_status put_one(int64_t *revision, database *self, const exia_put *put, exia_error *err)
{
    int same = 0;
    exia_status rc = stand(revision, &same, self, put->kind, put->key, put->token, err);
    if (rc < 0 || same)
        return rc;
    if (put->expect != EXIA_ANY && put->expect != *revision)
        return fail_conflict(put->kind, put->key, *revision, err);
    rc = run(self, WRITE, (const char *const[]){put->kind, put->key, put->json, put->token, NULL},
             err);
    *revision = sqlite3_last_insert_rowid(self->connection);
    return rc;
}

static exia_status write_all(int64_t *revision, database *self, const exia_put *puts, size_t count,
                             const exia_job *job, exia_error *err)
{
    exia__work work;
    exia_status rc = enter(self, &work, job, err);
    if (rc < 0)
        return rc;
    rc = run(self, BEGIN, NULL, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = put_one(revision, self, &puts[i], err);
    rc = conclude(self, rc, err);
    leave(self);
    return rc;
}

static exia_status sqlite_put(int64_t *revision, void *payload, const char *kind, const char *key,
                              const char *json, int64_t expect, const char *token,
                              const exia_job *job, exia_error *err)
{
    const exia_put put = {.kind = kind, .key = key, .json = json, .expect = expect, .token = token};
    return write_all(revision, payload, &put, 1, job, err);
}

static exia_status sqlite_batch(void *payload, const exia_put *puts, size_t count,
                                const exia_job *job, exia_error *err)
{
    int64_t revision = 0;
    return write_all(&revision, payload, puts, count, job, err);
}

static exia_status sqlite_remove(void *payload, const char *kind, const char *key, int64_t expect,
                                 const exia_job *job, exia_error *err)
{
    database *self = payload;
    exia__work work;
    int64_t revision = 0;
    int same = 0;
    exia_status rc = enter(self, &work, job, err);
    if (rc < 0)
        return rc;
    rc = run(self, BEGIN, NULL, err);
    if (rc == EXIA_OK)
        rc = stand(&revision, &same, self, kind, key, NULL, err);
    if (rc == EXIA_OK && expect != EXIA_ANY && expect != revision)
        rc = fail_conflict(kind, key, revision, err);
    if (rc == EXIA_OK && revision != EXIA_ABSENT)
        rc = run(self, REMOVE, (const char *const[]){kind, key, NULL}, err);
    rc = conclude(self, rc, err);
    leave(self);
    return rc;
}

/* ---- check ---------------------------------------------------------------------------------- */

static exia_status tell_text(const char *key, const char *text, exia_record_fn *row, void *payload,
                             exia_error *err)
{
    json_t *value = json_string(text);
    char *json = NULL;
    if (value == NULL) /* also when its bytes are no UTF-8 */
        value = json_string("(not UTF-8)");
    exia_status rc = value ? exia__json_text(&json, value, err) : exia__fail_memory(err);
    if (rc == EXIA_OK)
        rc = row(key, json, 0, payload, err);
    exia__release(json);
    json_decref(value);
    return rc;
}

static exia_status sqlite_check(void *payload, exia_record_fn *row, void *row_payload,
                                exia_error *err)
{
    database *self = payload;
    exia__work work;
    sqlite3_stmt *journal = NULL;
    char mode[16] = "", version[16];
    exia_status rc = enter(self, &work, NULL, err);
    if (rc < 0)
        return rc;
    rc = ask(&journal, self, "PRAGMA journal_mode", err);
    if (rc == EXIA_OK)
        snprintf(mode, sizeof mode, "%s", (const char *)sqlite3_column_text(journal, 0));
    sqlite3_finalize(journal);
    leave(self);
    if (rc == EXIA_OK)
        rc = tell_text("path", self->path, row, row_payload, err);
    if (rc == EXIA_OK)
        rc = tell_text("sqlite", sqlite3_libversion(), row, row_payload, err);
    if (rc == EXIA_OK)
        rc = tell_text("journal", mode, row, row_payload, err);
    snprintf(version, sizeof version, "%d", SCHEMA_VERSION);
    return rc < 0 ? rc : row("schema", version, 0, row_payload, err);
}

static const exia_records_ops sqlite_records = {
    .struct_size = sizeof(exia_records_ops),
    .get = sqlite_get,
    .put = sqlite_put,
    .remove = sqlite_remove,
    .batch = sqlite_batch,
    .scan = sqlite_scan,
};

const exia_driver exia__driver_sqlite = {
    .struct_size = sizeof(exia_driver),
    .name = "sqlite",
    .schemes = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .abandon = sqlite_abandon,
    .check = sqlite_check,
    .records = &sqlite_records,
};
