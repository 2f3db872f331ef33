/* Records in one SQLite database.
 *
 * No statement is open and no lock is held while a callback runs: a scan reads a page, lets go, tells
 * the page, and reads on behind its last key. */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "drivers/sqlite.h"
#include "store/driver.h"

enum { PAGE_ROWS = 500, PAGE_BYTES = 1 << 20 };

/* ---- reading -------------------------------------------------------------------------------- */

exia_status exia__sqlite_read_row(exia__buffer *page, exia__sqlite *self, sqlite3_stmt *statement,
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

exia_status exia__sqlite_tell(const exia__buffer *page, const char **last, exia_record_fn *found,
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
    exia__sqlite *self = payload;
    exia__work work;
    exia__buffer page = {0};
    const char *last = NULL;
    sqlite3_stmt *statement = NULL;
    exia_status rc = exia__sqlite_enter(self, &work, job, err);
    if (rc < 0)
        return rc;
    rc = exia__sqlite_start(&statement, self, EXIA__GET, (const char *const[]){kind, key, NULL},
                            err);
    if (rc == EXIA_OK) {
        int step = sqlite3_step(statement);
        if (step == SQLITE_ROW)
            rc = exia__sqlite_read_row(&page, self, statement, err);
        else if (step == SQLITE_DONE)
            rc = exia__fail(err, EXIA_ENOTFOUND, 0, "there is no %s \"%s\" in %s", kind, key,
                            self->path);
        else
            rc = exia__sqlite_fail(self, "read", err);
        exia__sqlite_end(statement);
    }
    exia__sqlite_leave(self);
    if (rc == EXIA_OK)
        rc = exia__sqlite_tell(&page, &last, found, found_payload, err);
    exia__buffer_free(&page);
    return rc < 0 ? rc : EXIA_OK;
}

/* Read up to `limit` rows of a range; `*more`: there may be others. */
static exia_status read_page(exia__buffer *page, size_t *count, int *more, exia__sqlite *self,
                             exia__statement which, const char *const *range, size_t limit,
                             const exia_job *job, exia_error *err)
{
    exia__work work;
    sqlite3_stmt *statement = NULL;
    int step = SQLITE_DONE;
    *count = 0;
    exia_status rc = exia__sqlite_enter(self, &work, job, err);
    if (rc < 0)
        return rc;
    rc = exia__sqlite_start(&statement, self, which, range, err);
    while (rc == EXIA_OK && *count < limit && page->size < PAGE_BYTES &&
           (step = sqlite3_step(statement)) == SQLITE_ROW) {
        rc = exia__sqlite_read_row(page, self, statement, err);
        ++*count;
    }
    if (rc == EXIA_OK && step != SQLITE_ROW && step != SQLITE_DONE)
        rc = exia__sqlite_fail(self, "read", err);
    *more = step == SQLITE_ROW;
    exia__sqlite_end(statement);
    exia__sqlite_leave(self);
    return rc;
}

static exia_status sqlite_scan(void *payload, const char *kind, const char *prefix,
                               const char *after, size_t limit, const char *filter,
                               exia_record_fn *found, void *found_payload, const exia_job *job,
                               exia_error *err)
{
    exia__sqlite *self = payload;
    exia__buffer page = {0};
    char *lower = NULL, *upper = NULL;
    size_t left = limit > 0 ? limit : SIZE_MAX;
    uint64_t seen = 0;
    int more = 1;
    exia__work work;
    (void)filter; /* a hint: the core drops what does not match */
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK) /* every byte of a key is above 1 and below 127 */
        rc = exia__text_format(&upper, err, "%s\x7f", prefix);
    if (rc == EXIA_OK)
        rc = after != NULL && strcmp(after, prefix) >= 0
                 ? exia__text_format(&lower, err, "%s\x01", after)
                 : exia__text_copy(&lower, prefix, err);
    while (rc == EXIA_OK && more && left > 0) {
        const exia_job rest = exia__work_rest(&work);
        const char *last = NULL;
        size_t count = 0;
        page.size = 0;
        rc = read_page(&page, &count, &more, self, EXIA__SCAN,
                       (const char *const[]){kind, lower, upper, NULL},
                       left < PAGE_ROWS ? left : PAGE_ROWS, &rest, err);
        left -= count;
        if (rc == EXIA_OK)
            rc = exia__work_step(&work, "scanning", seen += count, 0, err);
        if (rc == EXIA_OK)
            rc = exia__sqlite_tell(&page, &last, found, found_payload, err);
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

/* The newest revision that there ever was. */
static exia_status read_head(int64_t *head, exia__sqlite *self, const exia_job *job,
                             exia_error *err)
{
    exia__work work;
    sqlite3_stmt *statement = NULL;
    *head = 0;
    exia_status rc = exia__sqlite_enter(self, &work, job, err);
    if (rc < 0)
        return rc;
    rc = exia__sqlite_start(&statement, self, EXIA__HEAD, NULL, err);
    int step = rc == EXIA_OK ? sqlite3_step(statement) : SQLITE_DONE;
    if (step == SQLITE_ROW)
        *head = sqlite3_column_int64(statement, 0);
    else if (step != SQLITE_DONE)
        rc = exia__sqlite_fail(self, "read", err);
    exia__sqlite_end(statement);
    exia__sqlite_leave(self);
    return rc;
}

/* Who is told, and how far. */
typedef struct telling {
    exia_record_fn *found;
    void *payload;
    int64_t last;
} telling;

static exia_status tell_one(const char *key, const char *json, int64_t revision, void *payload,
                            exia_error *err)
{
    telling *now = payload;
    now->last = revision;
    return now->found(key, json, revision, now->payload, err);
}

static exia_status sqlite_since(int64_t *head, void *payload, const char *kind, int64_t revision,
                                exia_record_fn *found, void *found_payload, const exia_job *job,
                                exia_error *err)
{
    exia__sqlite *self = payload;
    telling now = {found, found_payload, revision};
    exia__buffer page = {0};
    char lower[24], upper[24];
    uint64_t seen = 0;
    int more = 1;
    exia__work work;
    exia_status rc = exia__work_begin(&work, job, err);
    if (rc == EXIA_OK)
        rc = read_head(head, self, job, err);
    snprintf(upper, sizeof upper, "%lld", (long long)*head);
    while (rc == EXIA_OK && more) {
        const exia_job rest = exia__work_rest(&work);
        const char *last = NULL;
        size_t count = 0;
        page.size = 0;
        snprintf(lower, sizeof lower, "%lld", (long long)now.last);
        rc = read_page(&page, &count, &more, self, EXIA__SINCE,
                       (const char *const[]){kind, lower, upper, NULL}, PAGE_ROWS, &rest, err);
        if (rc == EXIA_OK)
            rc = exia__work_step(&work, "reading what is new", seen += count, 0, err);
        if (rc == EXIA_OK)
            rc = exia__sqlite_tell(&page, &last, tell_one, &now, err);
    }
    exia__buffer_free(&page);
    return rc < 0 ? rc : EXIA_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Where a record stands: its revision, or 0; `*same`: it carries `token`; `*row`: its JSON, if it may
 * be in the index, to be freed. */
static exia_status stand(int64_t *revision, int *same, char **row, exia__sqlite *self,
                         const char *kind, const char *key, const char *token, exia_error *err)
{
    sqlite3_stmt *statement = NULL;
    *row = NULL;
    *revision = *same = 0;
    exia_status rc = exia__sqlite_start(&statement, self, EXIA__STAND,
                                        (const char *const[]){kind, key, NULL}, err);
    if (rc < 0)
        return rc;
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW) {
        const char *its = (const char *)sqlite3_column_text(statement, 1);
        *revision = sqlite3_column_int64(statement, 0);
        *same = its != NULL && token != NULL && strcmp(its, token) == 0;
        if (its == NULL) /* no memory; taken for another token it would be a conflict */
            rc = exia__fail_memory(err);
        if (rc == EXIA_OK && sqlite3_column_type(statement, 2) != SQLITE_NULL) {
            const char *json = (const char *)sqlite3_column_text(statement, 2);
            rc = json ? exia__text_copy(row, json, err) : exia__fail_memory(err);
        }
    } else if (step != SQLITE_DONE) {
        rc = exia__sqlite_fail(self, "read", err);
    }
    exia__sqlite_end(statement);
    return rc;
}

static exia_status fail_conflict(const char *kind, const char *key, int64_t stands, exia_error *err)
{
    return stands == EXIA_ABSENT
               ? exia__fail(err, EXIA_ECONFLICT, 0, "%s \"%s\" is not there any more", kind, key)
               : exia__fail(err, EXIA_ECONFLICT, 0, "%s \"%s\" stands at revision %lld", kind, key,
                            (long long)stands);
}

/* One put inside a transaction.  EXIA_DONE: the record carries the token already. */
static exia_status put_one(int64_t *revision, exia__sqlite *self, const exia_put *put,
                           exia_error *err)
{
    int same = 0;
    char *before = NULL;
    exia_status rc = stand(revision, &same, &before, self, put->kind, put->key, put->token, err);
    if (rc == EXIA_OK && same)
        rc = EXIA_DONE;
    else if (rc == EXIA_OK && put->expect != EXIA_ANY && put->expect != *revision)
        rc = fail_conflict(put->kind, put->key, *revision, err);
    if (rc == EXIA_OK)
        rc = exia__sqlite_index(self, EXIA__UNINDEX, put->kind, put->key, before, err);
    if (rc == EXIA_OK)
        rc = exia__sqlite_run(
            self, EXIA__WRITE,
            (const char *const[]){put->kind, put->key, put->json, put->token, NULL}, err);
    if (rc == EXIA_OK) {
        *revision = sqlite3_last_insert_rowid(self->connection);
        rc = exia__sqlite_index(self, EXIA__INDEX, put->kind, put->key, put->json, err);
    }
    exia__release(before);
    return rc;
}

static exia_status write_all(int64_t *revision, exia__sqlite *self, const exia_put *puts,
                             size_t count, const exia_job *job, exia_error *err)
{
    exia__work work;
    int again = 0;
    exia_status rc = exia__sqlite_enter(self, &work, job, err);
    if (rc < 0)
        return rc;
    rc = exia__sqlite_run(self, EXIA__BEGIN, NULL, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        if (again && puts[i].expect == EXIA_ANY)
            continue;
        rc = put_one(revision, self, &puts[i], err);
        again = again || (rc == EXIA_DONE && i == 0);
        rc = rc == EXIA_DONE ? EXIA_OK : rc;
    }
    rc = exia__sqlite_conclude(self, rc, err);
    exia__sqlite_leave(self);
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
    exia__sqlite *self = payload;
    exia__work work;
    int64_t revision = 0;
    int same = 0;
    char *before = NULL;
    exia_status rc = exia__sqlite_enter(self, &work, job, err);
    if (rc < 0)
        return rc;
    rc = exia__sqlite_run(self, EXIA__BEGIN, NULL, err);
    if (rc == EXIA_OK)
        rc = stand(&revision, &same, &before, self, kind, key, NULL, err);
    if (rc == EXIA_OK && expect != EXIA_ANY && expect != revision)
        rc = fail_conflict(kind, key, revision, err);
    if (rc == EXIA_OK)
        rc = exia__sqlite_index(self, EXIA__UNINDEX, kind, key, before, err);
    if (rc == EXIA_OK && revision != EXIA_ABSENT)
        rc = exia__sqlite_run(self, EXIA__REMOVE, (const char *const[]){kind, key, NULL}, err);
    rc = exia__sqlite_conclude(self, rc, err);
    exia__sqlite_leave(self);
    exia__release(before);
    return rc;
}

/* ---- check ---------------------------------------------------------------------------------- */

static exia_status sqlite_check(void *payload, exia_record_fn *row, void *row_payload,
                                exia_error *err)
{
    exia__sqlite *self = payload;
    exia__work work;
    sqlite3_stmt *journal = NULL;
    char mode[16] = "", version[16];
    exia_status rc = exia__sqlite_enter(self, &work, NULL, err);
    if (rc < 0)
        return rc;
    rc = exia__sqlite_ask(&journal, self, "PRAGMA journal_mode", err);
    const char *text = rc == EXIA_OK ? (const char *)sqlite3_column_text(journal, 0) : "";
    if (text != NULL)
        snprintf(mode, sizeof mode, "%s", text);
    else
        rc = exia__fail_memory(err);
    sqlite3_finalize(journal);
    exia__sqlite_leave(self);
    if (rc == EXIA_OK)
        rc = exia__tell_text(row, row_payload, "path", self->path, err);
    if (rc == EXIA_OK)
        rc = exia__tell_text(row, row_payload, "sqlite", sqlite3_libversion(), err);
    if (rc == EXIA_OK)
        rc = exia__tell_text(row, row_payload, "journal", mode, err);
    snprintf(version, sizeof version, "%d", self->schema);
    return rc < 0 ? rc : row("schema", version, 0, row_payload, err);
}

static void sqlite_close(void *self)
{
    exia__sqlite_free(self);
}

static const exia_records_ops sqlite_records = {
    .struct_size = sizeof(exia_records_ops),
    .get = sqlite_get,
    .put = sqlite_put,
    .remove = sqlite_remove,
    .batch = sqlite_batch,
    .scan = sqlite_scan,
    .seek = exia__sqlite_seek,
    .since = sqlite_since,
};

const exia_driver exia__driver_sqlite = {
    .struct_size = sizeof(exia_driver),
    .name = "sqlite",
    .schemes = "sqlite",
    .open = exia__sqlite_open,
    .close = sqlite_close,
    .abandon = sqlite_close,
    .check = sqlite_check,
    .records = &sqlite_records,
};
