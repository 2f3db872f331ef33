/* Seeking by the index: one path is walked through, value after value, and of each value the records
 * with it, newest first.
 *
 * Which path: the range that only few records are in (fewer than all, where all are wanted); else what they are to be
 * ordered by; else the rarest equality, or all, newest first.  One more equality is looked up for each
 * record; what else is asked the core looks at itself.
 * As in a scan, a page is read, in one transaction, the connection is let go, the page is told. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "drivers/sqlite.h"

enum { NUMBER, TEXT, BOOLEAN, RANKS };
enum { RARE = 32, FEW = 256, MANY = 8192, STEP = 8 };
enum { FIRST_ROWS = 32, PAGE_ROWS = 512, PAGE_BYTES = 1 << 20 };

/* A range, parsed; of one rank. */
typedef struct bounds {
    const char *path;
    json_t *low, *high; /* NULL: none */
    int rank, single;   /* single: one value only */
} bounds;

typedef struct walk {
    exia__sqlite *self;
    const char *kind;
    char *lower, *upper;  /* of the keys */
    bounds range;         /* its rank is that where the walk is */
    const bounds *also;   /* an equality that must hold too; NULL: none */
    int last, descending; /* the rank where it ends */
    sqlite3_value *value; /* whose records are being read; NULL: the first value comes next */
    int inside;           /* not zero: in the midst of that value, behind `age` and `key` */
    int64_t age;
    char *key;
} walk;

/* ---- bounds --------------------------------------------------------------------------------- */

/* A bound of the rank, or where there is none what lies before or behind all values of it. */
static int bind_bound(sqlite3_stmt *statement, int at, const json_t *literal, int rank, int high)
{
    int its = 0;
    if (literal != NULL)
        return exia__sqlite_bind(&its, statement, at, literal) == EXIA_OK ? SQLITE_OK
                                                                          : SQLITE_NOMEM;
    if (rank == NUMBER)
        return sqlite3_bind_double(statement, at, high ? INFINITY : -INFINITY);
    if (rank == BOOLEAN)
        return sqlite3_bind_int(statement, at, high);
    return high ? sqlite3_bind_zeroblob(statement, at, 0) /* behind every text */
                : sqlite3_bind_text(statement, at, "", 0, SQLITE_STATIC);
}

static int rank_of(const json_t *literal)
{
    return json_is_number(literal)    ? NUMBER
           : json_is_string(literal)  ? TEXT
           : json_is_boolean(literal) ? BOOLEAN
                                      : RANKS;
}

static exia_status read_literal(json_t **out, const char *text, exia_error *err)
{
    *out = NULL;
    return text ? exia__json_parse(out, text, strlen(text), "a bound", EXIA_EINVAL, err) : EXIA_OK;
}

static exia_status read_bounds(bounds *out, const exia_range *range, exia_error *err)
{
    out->path = range->path;
    exia_status rc = read_literal(&out->low, range->low, err);
    if (rc == EXIA_OK)
        rc = read_literal(&out->high, range->high, err);
    if (rc < 0)
        return rc;
    out->rank = rank_of(out->low ? out->low : out->high);
    out->single = json_equal(out->low, out->high);
    if (out->rank == RANKS || (out->low && out->high && rank_of(out->high) != out->rank))
        return exia__fail(err, EXIA_EINVAL, 0, "the bounds of %.100s are no values of one type",
                          range->path);
    return EXIA_OK;
}

/* How many records are in the range, up to `most`. */
static exia_status count(int *out, exia__sqlite *self, const char *kind, const bounds *range,
                         int most, exia_error *err)
{
    sqlite3_stmt *statement = NULL;
    exia_status rc = exia__sqlite_start(&statement, self, EXIA__COUNT,
                                        (const char *const[]){kind, range->path, NULL}, err);
    if (rc < 0)
        return rc;
    if (sqlite3_bind_int(statement, 3, range->rank) != SQLITE_OK ||
        bind_bound(statement, 4, range->low, range->rank, 0) != SQLITE_OK ||
        bind_bound(statement, 5, range->high, range->rank, 1) != SQLITE_OK ||
        sqlite3_bind_int(statement, 6, most) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
        rc = exia__sqlite_fail(self, "read", err);
    else
        *out = sqlite3_column_int(statement, 0);
    exia__sqlite_end(statement);
    return rc;
}

/* ---- the plan ------------------------------------------------------------------------------- */

/* The range that the fewest records are in, if there are less than `most`.  Counted is up to a limit
 * that grows from `least`, so that a rare one spares the counting of the others. */
static exia_status rarest(const bounds **out, int least, int most, exia__sqlite *self,
                          const exia_seek *seek, const bounds *ranges, int single, exia_error *err)
{
    const bounds *found = NULL;
    exia_status rc = EXIA_OK;
    for (int limit = least; rc == EXIA_OK && found == NULL && limit < STEP * most; limit *= STEP) {
        int fewest = limit < most ? limit : most;
        for (size_t i = 0; rc == EXIA_OK && i < seek->range_count; i++) {
            int here = fewest;
            if (!single || ranges[i].single)
                rc = count(&here, self, seek->kind, &ranges[i], fewest, err);
            if (rc == EXIA_OK && here < fewest) {
                fewest = here;
                found = &ranges[i];
            }
        }
    }
    *out = found ? found : *out;
    return rc;
}

/* An equality, but not of this path; NULL: there is none. */
static const bounds *equality(const exia_seek *seek, const bounds *ranges, const char *path)
{
    for (size_t i = 0; i < seek->range_count; i++) {
        if (ranges[i].single && (path == NULL || strcmp(ranges[i].path, path) != 0))
            return &ranges[i];
    }
    return NULL;
}

static exia_status plan(walk *out, int *ordered, const exia_seek *seek, const bounds *ranges,
                        exia_error *err)
{
    const bounds *few = NULL, *bounded = NULL, *single = equality(seek, ranges, NULL);
    exia_status rc = EXIA_OK;
    if (seek->order != NULL || single == NULL ||
        seek->range_count > 1) /* else there is no choice */
        rc = rarest(&few, RARE, seek->limit > 0 ? FEW : MANY, out->self, seek, ranges, 0, err);
    if (rc == EXIA_OK && few == NULL && seek->order == NULL && seek->limit > 0 && single != NULL &&
        equality(seek, ranges, single->path) != NULL)
        rc = rarest(&single, FEW * STEP, MANY, out->self, seek, ranges, 1, err);
    for (size_t i = 0; i < seek->range_count; i++) {
        if (seek->order != NULL && strcmp(ranges[i].path, seek->order) == 0)
            bounded = &ranges[i];
    }
    *ordered = few == NULL || (seek->order ? strcmp(few->path, seek->order) == 0 : few->single);
    if (few != NULL)
        out->range = *few;
    else if (bounded != NULL)
        out->range = *bounded;
    else if (seek->order != NULL)
        out->range = (bounds){.path = seek->order};
    else if (single != NULL)
        out->range = *single;
    else
        out->range = (bounds){.path = "", .single = 1}; /* all have a 0 there */
    out->last = few == NULL && bounded == NULL && seek->order ? RANKS - 1 : out->range.rank;
    out->descending = seek->descending;
    out->also = equality(seek, ranges, out->range.path);
    return rc;
}

/* ---- the walk ------------------------------------------------------------------------------- */

/* The next value, or the end of its rank: then `*found` is 0. */
static exia_status next_value(int *found, walk *now, exia_error *err)
{
    static const exia__statement ways[2][2] = {{EXIA__FIRST_UP, EXIA__NEXT_UP},
                                               {EXIA__FIRST_DOWN, EXIA__NEXT_DOWN}};
    const bounds *range = &now->range;
    const json_t *begin = now->descending ? range->high : range->low;
    const json_t *end = now->descending ? range->low : range->high;
    const char *const texts[] = {now->kind, range->path, now->lower, now->upper, NULL};
    sqlite3_stmt *statement = NULL;
    *found = 0;
    exia_status rc = exia__sqlite_start(&statement, now->self,
                                        ways[now->descending][now->value != NULL], texts, err);
    if (rc < 0)
        return rc;
    int step = sqlite3_bind_int(statement, 5, range->rank);
    if (step == SQLITE_OK)
        step = now->value ? sqlite3_bind_value(statement, 6, now->value)
                          : bind_bound(statement, 6, begin, range->rank, now->descending);
    if (step == SQLITE_OK)
        step = bind_bound(statement, 7, end, range->rank, !now->descending);
    if (step == SQLITE_OK)
        step = sqlite3_step(statement);
    sqlite3_value_free(now->value);
    now->value = NULL;
    if (step == SQLITE_ROW) {
        now->value = sqlite3_value_dup(sqlite3_column_value(statement, 0));
        *found = 1;
        if (now->value == NULL)
            rc = exia__fail_memory(err);
    } else if (step != SQLITE_DONE) {
        rc = exia__sqlite_fail(now->self, "read", err);
    }
    exia__sqlite_end(statement);
    return rc;
}

/* Read on in the records with one value, up to `limit` on the page; `inside` becomes 0 at the end. */
static exia_status read_group(exia__buffer *page, size_t *rows, size_t limit, walk *now,
                              exia_error *err)
{
    const char *const texts[] = {now->kind, now->range.path, now->lower, now->upper, NULL};
    sqlite3_stmt *statement = NULL;
    int step = SQLITE_ROW;
    exia_status rc = exia__sqlite_start(&statement, now->self, EXIA__GROUP, texts, err);
    if (rc < 0)
        return rc;
    if (sqlite3_bind_int(statement, 5, now->range.rank) != SQLITE_OK ||
        sqlite3_bind_value(statement, 6, now->value) != SQLITE_OK ||
        sqlite3_bind_int64(statement, 7, now->age) != SQLITE_OK ||
        sqlite3_bind_text(statement, 8, now->key ? now->key : "", -1, SQLITE_STATIC) != SQLITE_OK ||
        (now->also != NULL &&
         (sqlite3_bind_text(statement, 9, now->also->path, -1, SQLITE_STATIC) != SQLITE_OK ||
          sqlite3_bind_int(statement, 10, now->also->rank) != SQLITE_OK ||
          bind_bound(statement, 11, now->also->low, now->also->rank, 0) != SQLITE_OK)))
        rc = exia__sqlite_fail(now->self, "read", err);
    while (rc == EXIA_OK && *rows < limit && page->size < PAGE_BYTES &&
           (step = sqlite3_step(statement)) == SQLITE_ROW) {
        rc = exia__sqlite_read_row(page, now->self, statement, err);
        now->age = sqlite3_column_int64(statement, 3);
        ++*rows;
    }
    if (rc == EXIA_OK && step != SQLITE_ROW && step != SQLITE_DONE)
        rc = exia__sqlite_fail(now->self, "read", err);
    now->inside = step == SQLITE_ROW;
    if (rc == EXIA_OK && now->inside) {
        char *last = NULL;
        const char *key = (const char *)sqlite3_column_text(statement, 0);
        rc = key ? exia__text_copy(&last, key, err) : exia__fail_memory(err);
        exia__sqlite_end(statement); /* it had the old key bound */
        statement = NULL;
        exia__release(now->key);
        now->key = last;
    }
    exia__sqlite_end(statement);
    return rc;
}

static exia_status read_page(exia__buffer *page, int *more, walk *now, size_t limit,
                             exia_error *err)
{
    size_t rows = 0;
    exia_status rc = EXIA_OK;
    while (rc == EXIA_OK && *more && rows < limit && page->size < PAGE_BYTES) {
        int found = 1;
        if (!now->inside) {
            if (now->value != NULL && now->range.single)
                found = 0;
            else
                rc = next_value(&found, now, err);
            exia__release(now->key);
            now->key = NULL;
            now->age = INT64_MIN;
        }
        if (rc == EXIA_OK && found)
            rc = read_group(page, &rows, limit, now, err);
        else if (rc == EXIA_OK && now->range.rank < now->last)
            now->range.rank++;
        else
            *more = 0;
    }
    return rc;
}

static exia_status open_walk(walk *now, const exia_seek *seek, exia_error *err)
{
    now->kind = seek->kind;
    exia_status rc = exia__text_copy(&now->lower, seek->prefix, err);
    if (rc == EXIA_OK) /* every byte of a key is below 127 */
        rc = exia__text_format(&now->upper, err, "%s\x7f", seek->prefix);
    return rc;
}

exia_status exia__sqlite_seek(int *ordered, void *payload, const exia_seek *seek,
                              exia_record_fn *found, void *found_payload, const exia_job *job,
                              exia_error *err)
{
    exia__sqlite *self = payload;
    exia__work work;
    exia__buffer page = {0};
    walk now = {.self = self};
    const char *last = NULL;
    int more = 1, planned = 0;
    uint64_t pages = 0;
    if (self->schema < 2)
        return exia__fail(err, EXIA_EUNSUPPORTED, 0, "%s has no index yet", self->path);
    bounds *ranges = exia__zeroed(seek->range_count, sizeof *ranges);
    exia_status rc = ranges ? exia__work_begin(&work, job, err) : exia__fail_memory(err);
    for (size_t i = 0; rc == EXIA_OK && i < seek->range_count; i++)
        rc = read_bounds(&ranges[i], &seek->ranges[i], err);
    if (rc == EXIA_OK)
        rc = open_walk(&now, seek, err);
    /* one row more tells that the last one wanted has no tie */
    for (size_t limit = seek->limit > 0 && seek->limit < FIRST_ROWS ? seek->limit + 1 : FIRST_ROWS;
         rc == EXIA_OK && more; limit = limit < PAGE_ROWS ? 2 * limit : PAGE_ROWS) {
        const exia_job rest = exia__work_rest(&work);
        exia__work turn;
        page.size = 0;
        rc = exia__sqlite_enter(self, &turn, &rest, err);
        if (rc < 0)
            break;
        rc = exia__sqlite_run(self, EXIA__BEGIN_READ, NULL, err);
        if (rc == EXIA_OK && !planned)
            rc = plan(&now, ordered, seek, ranges, err);
        planned = 1;
        if (rc == EXIA_OK)
            rc = read_page(&page, &more, &now, limit, err);
        rc = exia__sqlite_conclude(self, rc, err);
        exia__sqlite_leave(self);
        if (rc == EXIA_OK)
            rc = exia__work_step(&work, "seeking", ++pages, 0, err);
        if (rc == EXIA_OK)
            rc = exia__sqlite_tell(&page, &last, found, found_payload, err);
    }
    for (size_t i = 0; ranges != NULL && i < seek->range_count; i++) {
        json_decref(ranges[i].low);
        json_decref(ranges[i].high);
    }
    exia__release(ranges);
    exia__release(now.lower);
    exia__release(now.upper);
    exia__release(now.key);
    sqlite3_value_free(now.value);
    exia__buffer_free(&page);
    return rc < 0 ? rc : EXIA_OK;
}
