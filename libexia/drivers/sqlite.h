/* One connection to a database of records: shared by the files of the sqlite: driver. */
#ifndef EXIA_DRIVERS_SQLITE_H
#define EXIA_DRIVERS_SQLITE_H

#include <jansson.h>
#include <sqlite3.h>

#include "base/buffer.h"
#include "base/job.h"
#include "exia/driver.h"

enum { EXIA__SQLITE_SCHEMA = 2 }; /* the version of the tables */

typedef enum exia__statement {
    EXIA__BEGIN,
    EXIA__BEGIN_READ, /* one snapshot, and the file's locks asked for once */
    EXIA__COMMIT,
    EXIA__ROLLBACK,
    EXIA__GET,
    EXIA__STAND,
    EXIA__WRITE,
    EXIA__REMOVE,
    EXIA__SCAN,
    EXIA__HEAD,
    EXIA__SINCE,
    EXIA__STATEMENTS_1, /* what follows needs schema 2 */
    EXIA__INDEX = EXIA__STATEMENTS_1,
    EXIA__UNINDEX,
    EXIA__COUNT,
    EXIA__FIRST_UP, /* of the values of a path: the first one, the one behind a value */
    EXIA__NEXT_UP,
    EXIA__FIRST_DOWN,
    EXIA__NEXT_DOWN,
    EXIA__GROUP, /* the records with one value */
    EXIA__STATEMENTS
} exia__statement;

typedef struct exia__sqlite {
    int inside;           /* a thread is in an operation, perhaps waiting; under the gate's lock */
    pthread_cond_t ended; /* it is not any more */

    sqlite3 *connection;                        /* this and what follows: whoever is inside */
    sqlite3_stmt *statements[EXIA__STATEMENTS]; /* prepared on first use */
    exia__work *work;                           /* of the operation that runs */
    exia_error stop;                            /* why waiting ended early; status 0: it did not */
    int64_t waiting_since;
    unsigned seed;

    char *path; /* absolute */
    int mode;
    int schema; /* the file's; lower only where it is open for reading */
    unsigned generation;
    struct exia__sqlite *next, **link; /* all connections of the process */
} exia__sqlite;

/* Take the connection for one operation, and give it back. */
exia_status exia__sqlite_enter(exia__sqlite *self, exia__work *work, const exia_job *job,
                               exia_error *err);
void exia__sqlite_leave(exia__sqlite *self);

/* All below: between enter and leave.  Fail with what SQLite said last. */
exia_status exia__sqlite_fail(exia__sqlite *self, const char *what, exia_error *err);

/* The statement with its texts bound (NULL ends them).  They are borrowed until `end`. */
exia_status exia__sqlite_start(sqlite3_stmt **out, exia__sqlite *self, exia__statement which,
                               const char *const *texts, exia_error *err);
void exia__sqlite_end(sqlite3_stmt *statement);

/* Run a statement that gives no rows. */
exia_status exia__sqlite_run(exia__sqlite *self, exia__statement which, const char *const *texts,
                             exia_error *err);

/* End a transaction: commit if all went well, else as it was. */
exia_status exia__sqlite_conclude(exia__sqlite *self, exia_status rc, exia_error *err);

/* The first row of a query, in `*statement`, which the caller finalises. */
exia_status exia__sqlite_ask(sqlite3_stmt **statement, exia__sqlite *self, const char *query,
                             exia_error *err);

/* What version may be opened, and which the file is of: into `schema`. */
exia_status exia__sqlite_check_version(const exia__sqlite *self, uint32_t version, exia_error *err);
exia_status exia__sqlite_read_version(exia__sqlite *self, exia_error *err);
/* Make the tables that a database of version `schema` lacks (0: all). */
exia_status exia__sqlite_take_steps(exia__sqlite *self, exia_error *err);
/* The same to a file that is there: copied first, durable, whole or not at all. */
exia_status exia__sqlite_upgrade(exia__sqlite *self, exia_error *err);

/* ---- sqlite_index.c ------------------------------------------------------------------------- */

/* A literal as the table `field` holds it: its rank, and its value, cut where a text is long. */
exia_status exia__sqlite_bind(int *rank, sqlite3_stmt *statement, int at, const json_t *value);
/* Add what the record's row holds to the index, or take it out; inside a transaction. */
exia_status exia__sqlite_index(exia__sqlite *self, exia__statement which, const char *kind,
                               const char *key, const char *json, exia_error *err);

/* ---- sqlite_seek.c -------------------------------------------------------------------------- */

exia_status exia__sqlite_seek(int *ordered, void *payload, const exia_seek *seek,
                              exia_record_fn *found, void *found_payload, const exia_job *job,
                              exia_error *err);

/* ---- sqlite.c ------------------------------------------------------------------------------- */

/* Rows one behind the other: the revision's eight bytes, the key, the JSON, each text with its NUL.
 * The statement's columns are the key, the JSON and the revision. */
exia_status exia__sqlite_read_row(exia__buffer *page, exia__sqlite *self, sqlite3_stmt *statement,
                                  exia_error *err);
/* Tell the rows of a page; `*last` becomes the last key.  No lock is held. */
exia_status exia__sqlite_tell(const exia__buffer *page, const char **last, exia_record_fn *found,
                              void *payload, exia_error *err);

/* ---- from new to free ----------------------------------------------------------------------- */

/* A connection that is not open yet, entered, while no other thread opens one; `opened` gives both
 * back.  Freeing one that was opened before a fork touches nothing that the parent uses. */
exia_status exia__sqlite_new(exia__sqlite **out, exia__work *work, int mode, exia_error *err);
int exia__sqlite_connect(exia__sqlite *self, int flags); /* as sqlite3_open_v2 answers */
void exia__sqlite_opened(exia__sqlite *self);
void exia__sqlite_free(exia__sqlite *self);

exia_status exia__sqlite_open(void **out, const char *url, int mode, const exia_job *job,
                              exia_error *err);

#endif
