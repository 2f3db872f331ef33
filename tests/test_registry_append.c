/* The registry on a store that only appends, where every record may turn up twice and nobody is
 * stopped from claiming what another has: readers sort it out. */
#include <stdlib.h>

#include "exia/driver.h"
#include "support/packages.h"

enum { MOST = 64 };
static struct {
    char *kind, *key, *json;
} lines[MOST];
static size_t line_count;
static void (*before_append)(void); /* a rival who comes between */

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
    void (*rival)(void) = before_append;
    (void)self, (void)token, (void)job, (void)error;
    before_append = NULL;
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

static exia_registry *open_with_log(const char *home)
{
    static int registered;
    if (!registered++)
        check_ok(exia_driver_register(&log_driver, &err));
    exia_registry *registry = open_home(home);
    check_ok(exia_registry_remote_add(registry, "log", "log:/x",
                                      check_format("file:%s", check_path("packages")), &err));
    return registry;
}

static void clear_log(void)
{
    while (line_count > 0) {
        free(lines[--line_count].kind);
        free(lines[line_count].key);
        free(lines[line_count].json);
    }
}

TEST(a_package_lives_its_whole_life_on_a_log)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "x", "log", NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "x", "log", NULL, NULL, &err));
    assert_int_equal(line_count, 2); /* one event, doubled by the store */
    check_ok(exia_registry_update(one, "x", "{\"a\": 1}", "log", &err));
    const char *rows = query(two, NULL, "log");
    assert_int_equal(rows_count(rows), 1);
    assert_non_null(strstr(rows, "\"facts\":{\"a\":1}"));
    check_ok(exia_registry_install(NULL, two, "x", "log", NULL, NULL, &err));
    check_ok(exia_registry_unregister(one, "x@1.0", "log", &err));
    assert_string_equal(query(two, NULL, "log"), "");
    check_ok(exia_registry_push(NULL, one, "x", "log", NULL, NULL, &err));
    assert_int_equal(rows_count(query(two, NULL, "log")), 1);
    exia_registry_free(one);
    exia_registry_free(two);
    clear_log();
}

TEST(other_content_is_refused_where_it_is_seen_in_time)
{
    exia_registry *one = open_with_log("one");
    check_ok(exia_registry_register(one, pack("x", "1.0"), "log", NULL, &err));
    check_fails(EXIA_EEXISTS,
                exia_registry_register(one, pack_with("x", "1.0", "any", NULL, "other"), "log",
                                       NULL, &err));
    check_fails(EXIA_EEXISTS, exia_registry_register(one, pack("x", "1"), "log", NULL, &err));
    assert_int_equal(rows_count(query(one, NULL, "log")), 1);
    exia_registry_free(one);
    clear_log();
}

static exia_registry *rival_registry;
static const char *rival_file;

static void publish_rival(void)
{
    check_ok(exia_registry_register(rival_registry, rival_file, "log", NULL, &err));
}

TEST(rivals_who_did_not_see_each_other_are_a_conflict_that_the_later_one_is_told)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    const char *file = pack("x", "1.0");
    rival_registry = two;
    rival_file = pack_with("x", "1.0", "any", NULL, "other");
    before_append = publish_rival;
    check_fails(EXIA_ECONFLICT, exia_registry_register(one, file, "log", NULL, &err));
    check_text("two packages have this identity");
    assert_non_null(strstr(query(one, NULL, "log"), "\"conflict\":"));
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, one, "x", "log", NULL, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_pull(NULL, two, "x", "log", NULL, NULL, &err));
    check_ok(exia_registry_unregister(two, "x@1.0", "log", &err));
    check_ok(exia_registry_register(one, file, "log", NULL, &err));
    assert_null(strstr(query(two, NULL, "log"), "\"conflict\":"));
    exia_registry_free(one);
    exia_registry_free(two);
    clear_log();
}

TEST(rivals_with_the_same_content_are_one_package)
{
    exia_registry *one = open_with_log("one"), *two = open_with_log("two");
    rival_registry = two;
    rival_file = pack("x", "1.0");
    before_append = publish_rival;
    check_ok(exia_registry_register(one, rival_file, "log", NULL, &err));
    assert_int_equal(line_count, 4);
    assert_int_equal(rows_count(query(one, NULL, "log")), 1);
    check_ok(exia_registry_install(NULL, one, "x", "log", NULL, NULL, &err));
    exia_registry_free(one);
    exia_registry_free(two);
    clear_log();
}
