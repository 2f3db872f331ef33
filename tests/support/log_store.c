/* A store that only appends, in memory: every record turns up twice, in the order of keys, nothing is
 * looked up by its key, and nothing is ever removed. */
#include "support/log_store.h"

#include <stdlib.h>

#include "exia/driver.h"
#include "support/packages.h"

enum { MOST = 400 };
static struct {
    char *kind, *key, *json;
} lines[MOST];
static size_t line_count;
void (*log_before_append)(void);

static exia_status log_open(void **self, const char *url, int mode, const exia_job *job,
                            exia_error *error)
{
    (void)url, (void)mode, (void)job, (void)error;
    *self = lines;
    return EXIA_OK;
}

static void log_close(void *self)
{
    (void)self;
}

static exia_status log_check(void *self, exia_record_fn *row, void *payload, exia_error *error)
{
    (void)self;
    return row("lines", "0", 0, payload, error);
}

static exia_status log_get(void *self, const char *kind, const char *key, exia_record_fn *tell,
                           void *payload, const exia_job *job, exia_error *error)
{
    (void)self, (void)kind, (void)key, (void)tell, (void)payload, (void)job;
    if (error != NULL)
        *error = (exia_error){EXIA_ENOTFOUND, 0, "nothing is looked up here"};
    return EXIA_ENOTFOUND;
}

static void add_line(const char *kind, const char *key, const char *json)
{
    if (line_count == MOST)
        abort();
    lines[line_count].kind = strdup(kind);
    lines[line_count].key = strdup(key);
    lines[line_count++].json = strdup(json);
}

static exia_status log_append(void *self, const char *kind, const char *key, const char *json,
                              const char *token, const exia_job *job, exia_error *error)
{
    void (*rival)(void) = log_before_append;
    (void)self, (void)token, (void)job, (void)error;
    log_before_append = NULL;
    if (rival != NULL)
        rival();
    add_line(kind, key, json);
    add_line(kind, key, json);
    return EXIA_OK;
}

static exia_status log_remove(void *self, const char *kind, const char *key, int64_t expect,
                              const exia_job *job, exia_error *error)
{
    (void)self, (void)kind, (void)key, (void)expect, (void)job, (void)error;
    abort(); /* nothing in the registry of a remote is ever removed */
}

static int by_key(const void *left, const void *right)
{
    return strcmp(lines[*(const size_t *)left].key, lines[*(const size_t *)right].key);
}

static exia_status log_scan(void *self, const char *kind, const char *prefix, const char *after,
                            size_t limit, const char *filter, exia_record_fn *tell, void *payload,
                            const exia_job *job, exia_error *error)
{
    size_t order[MOST];
    exia_status rc = EXIA_OK;
    (void)self, (void)after, (void)limit, (void)filter, (void)job;
    for (size_t i = 0; i < line_count; i++)
        order[i] = i;
    qsort(order, line_count, sizeof *order, by_key);
    for (size_t i = 0; rc == EXIA_OK && i < line_count; i++) {
        if (strcmp(lines[order[i]].kind, kind) == 0 &&
            strncmp(lines[order[i]].key, prefix, strlen(prefix)) == 0)
            rc = tell(lines[order[i]].key, lines[order[i]].json, 1, payload, error);
    }
    return rc < 0 ? rc : EXIA_OK;
}

static const exia_records_ops log_records = {
    .struct_size = sizeof log_records,
    .get = log_get,
    .append = log_append,
    .remove = log_remove,
    .scan = log_scan,
};

static const exia_driver log_driver = {
    .struct_size = sizeof log_driver,
    .name = "log",
    .schemes = "log",
    .open = log_open,
    .close = log_close,
    .abandon = log_close,
    .check = log_check,
    .records = &log_records,
};

exia_registry *open_with_log(const char *home)
{
    static int registered;
    if (!registered++)
        check_ok(exia_driver_register(&log_driver, &err));
    exia_registry *registry = open_home(home);
    check_ok(exia_registry_remote_add(registry, "log", "log:/x",
                                      check_format("file:%s", check_path("packages")), &err));
    return registry;
}

size_t log_lines(void)
{
    return line_count;
}

void clear_log(void)
{
    while (line_count > 0) {
        free(lines[--line_count].kind);
        free(lines[line_count].key);
        free(lines[line_count].json);
    }
}
