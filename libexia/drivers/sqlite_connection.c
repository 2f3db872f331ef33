/* A connection: one at a time goes in, waits are bounded, statements are prepared once, what SQLite
 * says becomes a status, and a fork finds all at rest. */
#include "drivers/sqlite.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"

enum { SLICE_MS = 50 /* between two looks at a cancel */ };

/* The next value of a path, up to a bound, that a key of the range has. */
#define VALUE_OF(how, end, way)                                                                    \
    ("SELECT value FROM field WHERE kind = ?1 AND path = ?2 AND key >= ?3 AND key < ?4"            \
     " AND rank = ?5 AND value " how " ?6 AND value " end " ?7 ORDER BY value " way " LIMIT 1")

static const char *const statement_texts[EXIA__STATEMENTS] = {
    [EXIA__BEGIN] = "BEGIN IMMEDIATE",
    [EXIA__BEGIN_READ] = "BEGIN",
    [EXIA__COMMIT] = "COMMIT",
    [EXIA__ROLLBACK] = "ROLLBACK",
    [EXIA__GET] = "SELECT key, json, revision FROM record WHERE kind = ?1 AND key = ?2",
    [EXIA__STAND] = ("SELECT revision, token, CASE WHEN instr(json, '\"row\"') THEN json END"
                     " FROM record WHERE kind = ?1 AND key = ?2"),
    [EXIA__WRITE] = "INSERT OR REPLACE INTO record(kind, key, json, token) VALUES(?1, ?2, ?3, ?4)",
    [EXIA__REMOVE] = "DELETE FROM record WHERE kind = ?1 AND key = ?2",
    [EXIA__SCAN] = ("SELECT key, json, revision FROM record"
                    " WHERE kind = ?1 AND key >= ?2 AND key < ?3 ORDER BY key"),
    [EXIA__HEAD] = "SELECT seq FROM sqlite_sequence WHERE name = 'record'",
    /* the plus: by revision, which is the row's number, and not by the index of kinds */
    [EXIA__SINCE] = ("SELECT key, json, revision FROM record WHERE +kind = ?1"
                     " AND revision > CAST(?2 AS INTEGER) AND revision <= CAST(?3 AS INTEGER)"
                     " ORDER BY revision"),

    [EXIA__INDEX] = ("INSERT OR REPLACE INTO field(kind, path, key, rank, value, age)"
                     " VALUES(?1, ?2, ?3, ?4, ?5, ?6)"),
    [EXIA__UNINDEX] = ("DELETE FROM field WHERE kind = ?1 AND path = ?2 AND key = ?3"
                       " AND rank = ?4 AND value = ?5 AND age = ?6"),
    [EXIA__COUNT] = ("SELECT count(*) FROM (SELECT 1 FROM field WHERE kind = ?1 AND path = ?2"
                     " AND rank = ?3 AND value >= ?4 AND value <= ?5 LIMIT ?6)"),
    [EXIA__FIRST_UP] = VALUE_OF(">=", "<=", "ASC"),
    [EXIA__NEXT_UP] = VALUE_OF(">", "<=", "ASC"),
    [EXIA__FIRST_DOWN] = VALUE_OF("<=", ">=", "DESC"),
    [EXIA__NEXT_DOWN] = VALUE_OF("<", ">=", "DESC"),
    [EXIA__GROUP] = ("SELECT f.key, r.json, r.revision, f.age FROM field f CROSS JOIN record r"
                     " ON r.kind = ?1 AND r.key = f.key WHERE f.kind = ?1 AND f.path = ?2"
                     " AND f.key >= ?3 AND f.key < ?4 AND f.rank = ?5 AND f.value = ?6"
                     " AND (f.age, f.key) > (?7, ?8) AND (?9 IS NULL OR EXISTS("
                     "SELECT 1 FROM field o WHERE o.kind = ?1 AND o.path = ?9 AND o.rank = ?10"
                     " AND o.value = ?11 AND o.age = f.age AND o.key = f.key))"
                     " ORDER BY f.age, f.key"),
};

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
exia_status exia__sqlite_fail(exia__sqlite *self, const char *what, exia_error *err)
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
    int code = sqlite3_system_errno(self->connection);
    if ((native & 0xff) == SQLITE_IOERR && (code == ENOSPC || code == EDQUOT || code == EFBIG))
        return exia__fail_errno(err, code, "cannot extend the files of", self->path);
    const sqlite3_vfs *files = sqlite3_vfs_find(NULL);
    size_t most = (size_t)files->mxPathname - strlen("-journal"), size = strlen(self->path);
    if ((native & 0xff) == SQLITE_CANTOPEN && size > most)
        return exia__fail(err, EXIA_EINVAL, native,
                          "a path has %zu bytes, and SQLite opens none of more than %zu: %s", size,
                          most, self->path);
    code = (native & 0xff) == SQLITE_CANTOPEN ? code : 0;
    if (code != 0 && code != EACCES && code != EPERM && code != EROFS && code != ENOENT)
        return exia__fail_errno(err, code, "cannot open", self->path);
    if ((native & 0xff) == SQLITE_CANTOPEN)
        return exia__fail(err, status, native,
                          "cannot %s %s: no permission, or its -wal and -shm files are missing",
                          what, self->path);
    return exia__fail(err, status, native, "cannot %s %s: %s", what, self->path,
                      sqlite3_errmsg(self->connection));
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* No thread is inside SQLite while the process forks: so the child finds it at rest, with all locks
 * of its own free.  And one thread at a time opens a database: making one closes a file, and closing
 * drops all locks that the process has on that file, also those of SQLite. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    unsigned inside; /* threads */
    int forking, opening;
    exia__sqlite *connections; /* of this process, and of the one that it was forked from */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

/* Both under the gate's lock. */
static void go_in(void)
{
    while (gate.forking)
        pthread_cond_wait(&gate.change, &gate.lock);
    gate.inside++;
}

static void go_out(void)
{
    gate.inside--;
    if (gate.forking)
        pthread_cond_broadcast(&gate.change);
}

static void before_fork(void)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.forking)
        pthread_cond_wait(&gate.change, &gate.lock);
    gate.forking = 1;
    while (gate.inside > 0)
        pthread_cond_wait(&gate.change, &gate.lock);
}

static void in_parent(void)
{
    gate.forking = 0;
    pthread_cond_broadcast(&gate.change);
    pthread_mutex_unlock(&gate.lock);
}

static void in_child(void) /* who waited or opened was a thread of the parent */
{
    gate.forking = gate.opening = 0;
    pthread_cond_init(&gate.change, NULL);
    pthread_mutex_unlock(&gate.lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

/* SQLite asks whether to try again.  Sleeps are short and random, so that waiters have equal
 * chances.  Meanwhile this thread is not inside: the caller's progress function may do anything. */
static int wait_busy(void *payload, int count)
{
    exia__sqlite *self = payload;
    int64_t now = exia__clock_ms();
    if (count == 0)
        self->waiting_since = now;
    int64_t waited = now - self->waiting_since, allowed = self->work->job.timeout_ms;
    if (waited >= allowed)
        return 0;
    pthread_mutex_lock(&gate.lock);
    go_out();
    pthread_mutex_unlock(&gate.lock);
    exia_status rc = exia__work_step(self->work, "waiting for the database", (uint64_t)waited,
                                     (uint64_t)allowed, &self->stop);
    if (rc == EXIA_OK) {
        self->seed = self->seed * 1103515245u + 12345u;
        struct timespec pause = {.tv_nsec = 200000 + (long)(self->seed >> 16) % 1024 * 2000};
        nanosleep(&pause, NULL);
    }
    pthread_mutex_lock(&gate.lock);
    go_in();
    pthread_mutex_unlock(&gate.lock);
    return rc == EXIA_OK;
}

/* Under the gate's lock, which is let go while the caller's progress function runs. */
static exia_status wait_turn(exia__sqlite *self, exia__work *work, exia_error *err)
{
    int64_t began = exia__clock_ms(), allowed = work->job.timeout_ms;
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK && (self->inside || gate.forking)) {
        if (gate.forking) {
            pthread_cond_wait(&gate.change, &gate.lock);
            continue;
        }
        exia__cond_wait(&self->ended, &gate.lock, exia__clock_ns() + SLICE_MS * INT64_C(1000000));
        if (!self->inside)
            continue;
        int64_t waited = exia__clock_ms() - began;
        pthread_mutex_unlock(&gate.lock);
        rc = waited < allowed
                 ? exia__work_step(work, "waiting for the database", (uint64_t)waited,
                                   (uint64_t)allowed, err)
                 : exia__fail(err, EXIA_ETIMEOUT, 0, "%s: other threads kept it busy for %lld ms",
                              self->path, (long long)waited);
        pthread_mutex_lock(&gate.lock);
    }
    return rc;
}

exia_status exia__sqlite_enter(exia__sqlite *self, exia__work *work, const exia_job *job,
                               exia_error *err)
{
    exia_status rc = exia__work_begin(work, job, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&gate.lock);
    rc = wait_turn(self, work, err);
    if (rc == EXIA_OK) {
        self->inside = 1;
        self->work = work;
        self->stop.status = EXIA_OK;
        gate.inside++;
    }
    pthread_mutex_unlock(&gate.lock);
    return rc;
}

void exia__sqlite_leave(exia__sqlite *self)
{
    pthread_mutex_lock(&gate.lock);
    self->work = NULL;
    self->inside = 0;
    pthread_cond_signal(&self->ended);
    go_out();
    pthread_mutex_unlock(&gate.lock);
}

/* ---- statements ----------------------------------------------------------------------------- */

/* The statement with up to four texts bound (NULL ends them).  They are borrowed until `end`. */
exia_status exia__sqlite_start(sqlite3_stmt **out, exia__sqlite *self, exia__statement which,
                               const char *const *texts, exia_error *err)
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
        return exia__sqlite_fail(self, "use", err);
    *out = *kept;
    return EXIA_OK;
}

void exia__sqlite_end(sqlite3_stmt *statement)
{
    if (statement == NULL) /* it never started; SQLite would not mind in one, but in the other */
        return;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

/* Run a statement that gives no rows. */
exia_status exia__sqlite_run(exia__sqlite *self, exia__statement which, const char *const *texts,
                             exia_error *err)
{
    sqlite3_stmt *statement = NULL;
    exia_status rc = exia__sqlite_start(&statement, self, which, texts, err);
    if (rc < 0)
        return rc;
    if (sqlite3_step(statement) != SQLITE_DONE)
        rc = exia__sqlite_fail(self, self->mode == EXIA_STORE_WRITE ? "write" : "read", err);
    exia__sqlite_end(statement);
    return rc;
}

/* End a transaction: commit if all went well, else as it was. */
exia_status exia__sqlite_conclude(exia__sqlite *self, exia_status rc, exia_error *err)
{
    if (rc == EXIA_OK)
        rc = exia__sqlite_run(self, EXIA__COMMIT, NULL, err);
    if (rc < 0 && !sqlite3_get_autocommit(self->connection))
        (void)exia__sqlite_run(self, EXIA__ROLLBACK, NULL, NULL);
    return rc;
}

/* The first value of a query; a text stays in `statement`, to be finalised by the caller. */
exia_status exia__sqlite_ask(sqlite3_stmt **statement, exia__sqlite *self, const char *query,
                             exia_error *err)
{
    if (sqlite3_prepare_v2(self->connection, query, -1, statement, NULL) != SQLITE_OK ||
        sqlite3_step(*statement) != SQLITE_ROW)
        return exia__sqlite_fail(self, "read", err);
    return EXIA_OK;
}

/* ---- from new to free ----------------------------------------------------------------------- */

static void disconnect(exia__sqlite *self)
{
    for (int i = 0; i < EXIA__STATEMENTS; i++)
        sqlite3_finalize(self->statements[i]);
    sqlite3_close(self->connection);
    self->connection = NULL;
}

/* Under the gate's lock, as is what follows up to `new`. */
static void forget(exia__sqlite *self)
{
    if (self->link != NULL) {
        *self->link = self->next;
        if (self->next != NULL)
            self->next->link = self->link;
    }
    self->link = NULL;
}

/* A child inherits SQLite's note of the locks that it holds, but not the locks.  A new connection to
 * the same file would rely on them, so the inherited ones are closed before: at rest, that gives back
 * the child's descriptors and nothing else.  One that another thread waited with stays. */
static void close_inherited(void)
{
    for (exia__sqlite *one = gate.connections, *next; one != NULL; one = next) {
        next = one->next;
        if (one->generation == exia__generation() || one->inside)
            continue;
        forget(one);
        disconnect(one);
    }
}

exia_status exia__sqlite_new(exia__sqlite **out, exia__work *work, int mode, exia_error *err)
{
    exia__sqlite *self = exia__zeroed(1, sizeof *self);
    *out = self;
    if (self == NULL)
        return exia__fail_memory(err);
    exia_status rc = exia__cond_open(&self->ended, err);
    if (rc < 0) {
        exia__release(self);
        *out = NULL;
        return rc;
    }
    self->work = work;
    self->mode = mode;
    self->inside = 1;
    self->generation = exia__generation();
    self->seed = (unsigned)getpid() * 2654435761u ^ (unsigned)exia__clock_ms();

    pthread_mutex_lock(&gate.lock);
    while (gate.opening)
        pthread_cond_wait(&gate.change, &gate.lock);
    gate.opening = 1;
    go_in();
    close_inherited();
    self->next = gate.connections;
    self->link = &gate.connections;
    if (self->next != NULL)
        self->next->link = &self->next;
    gate.connections = self;
    pthread_mutex_unlock(&gate.lock);
    return EXIA_OK;
}

void exia__sqlite_opened(exia__sqlite *self)
{
    exia__sqlite_leave(self);
    pthread_mutex_lock(&gate.lock);
    gate.opening = 0;
    pthread_cond_broadcast(&gate.change);
    pthread_mutex_unlock(&gate.lock);
}

int exia__sqlite_connect(exia__sqlite *self, int flags)
{
    int rc = sqlite3_open_v2(self->path, &self->connection,
                             flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (self->connection != NULL) /* memory may be out before there is one */
        sqlite3_busy_handler(self->connection, wait_busy, self);
    return rc;
}

void exia__sqlite_free(exia__sqlite *self)
{
    int ours = self->generation == exia__generation();
    pthread_mutex_lock(&gate.lock);
    go_in();
    pthread_mutex_unlock(&gate.lock);
    if (ours)
        disconnect(self);
    pthread_mutex_lock(&gate.lock);
    if (!ours)
        close_inherited();
    int closed = self->connection == NULL;
    if (closed)
        forget(self);
    go_out();
    pthread_mutex_unlock(&gate.lock);
    if (!closed)
        return; /* inherited in the midst of a wait: it stays as it is */
    if (ours)
        pthread_cond_destroy(&self->ended);
    exia__release(self->path);
    exia__release(self);
}
