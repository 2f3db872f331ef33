/* Handles, URLs and the table of drivers: what is refused before a driver is asked, and what the
 * modules above see when a driver fails. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/store.h"
#include "support/check.h"
#include "support/faulty.h"

static const char *records_url(void)
{
    return check_format("sqlite:%s", check_path("catalog.db"));
}

static const char *blobs_url(void)
{
    return check_format("file:%s", check_path("blobs"));
}

/* ---- URLs ----------------------------------------------------------------------------------- */

TEST(open_refuses_what_is_no_url_of_a_known_scheme)
{
    static const struct {
        const char *url, *text;
    } bad[] = {
        {"ftp://x", "no driver for the scheme \"ftp\": there are file, sqlite, s3+https; "
                    "exia_ftp.so is not in /"},
        {"postgresql://user:secret@host/db", "\"postgresql\""},
        {"mongodb://host", "\"mongodb\""},
        {"clickhouse+http://host", "\"clickhouse+http\""},
        {"consul+http://host", "\"consul+http\""},
        {"/plain/path", "plain path"},
        {"S3+HTTPS://user:secret@host/bucket", "plain path"},
        {"", "empty"},
        {NULL, "NULL"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        exia__blobs *blobs = NULL;
        exia__records *records = NULL;
        check_fails(EXIA_EINVAL,
                    exia__blobs_open(&blobs, bad[i].url, EXIA_STORE_WRITE, NULL, &err));
        check_text(bad[i].text);
        check_fails(EXIA_EINVAL,
                    exia__records_open(&records, bad[i].url, EXIA_STORE_WRITE, NULL, &err));
        check_text(bad[i].text);
        assert_null(strstr(err.text, "secret"));
        assert_true(blobs == NULL && records == NULL);
    }
}

TEST(open_refuses_the_side_that_a_system_has_not)
{
    exia__blobs *blobs = NULL;
    exia__records *records = NULL;
    check_fails(EXIA_EUNSUPPORTED,
                exia__blobs_open(&blobs, records_url(), EXIA_STORE_WRITE, NULL, &err));
    check_text("sqlite: keeps records, and here blobs are needed");
    check_fails(EXIA_EUNSUPPORTED,
                exia__records_open(&records, blobs_url(), EXIA_STORE_WRITE, NULL, &err));
    check_text("file: keeps blobs, and here records are needed");
}

TEST(open_refuses_bad_arguments)
{
    exia__blobs *blobs = NULL;
    exia__records *records = NULL;
    exia_job bad = {.struct_size = sizeof bad, .total_ms = -1};
    check_fails(EXIA_EINVAL, exia__blobs_open(NULL, blobs_url(), EXIA_STORE_WRITE, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_open(NULL, records_url(), EXIA_STORE_WRITE, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_open(&blobs, blobs_url(), 2, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_open(&blobs, blobs_url(), EXIA_STORE_WRITE, &bad, &err));
    check_fails(EXIA_EINVAL,
                exia__records_open(&records, records_url(), EXIA_STORE_WRITE, &bad, &err));
    static const char *const rests[] = {"", "//host/x", "/x%", "/x%zz", "/x%00", "/x?wal=off"};
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
        check_fails(EXIA_EINVAL, exia__blobs_open(&blobs, check_format("file:%s", rests[i]),
                                                  EXIA_STORE_WRITE, NULL, &err));
        check_fails(EXIA_EINVAL, exia__records_open(&records, check_format("sqlite:%s", rests[i]),
                                                    EXIA_STORE_WRITE, NULL, &err));
    }
}

TEST(a_plain_path_becomes_two_urls_that_open_whatever_its_name)
{
    static const char *const names[] = {"plain", "with space", "what?a=b", "100%",
                                        "a#b",   "a:b",        "\xc3\xa4", "\xff\xfe",
                                        "+&=;",  "-",          "~",        "'\"\\"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *path = check_path(names[i]);
        char *records_text = NULL, *blobs_text = NULL;
        exia__records *records = NULL;
        exia__blobs *blobs = NULL;
        check_ok(exia__store_urls(&records_text, &blobs_text, path, &err));
        check_ok(exia__records_open(&records, records_text, EXIA_STORE_WRITE, NULL, &err));
        check_ok(exia__blobs_open(&blobs, blobs_text, EXIA_STORE_WRITE, NULL, &err));
        check_write_file(check_format("%s/catalog.db.beside", path), "", 0); /* it is there */
        check_write_file(check_format("%s/blobs/beside", path), "", 0);
        exia__records_free(records);
        exia__blobs_free(blobs);
        exia__release(records_text);
        exia__release(blobs_text);
    }
}

TEST(a_records_url_stays_and_has_no_blobs_beside_it)
{
    char *records = NULL, *blobs = NULL;
    check_ok(exia__store_urls(&records, &blobs, "postgresql://u:p@h/db", &err));
    assert_string_equal(records, "postgresql://u:p@h/db");
    assert_null(blobs);
    exia__release(records);
    check_fails(EXIA_EINVAL, exia__store_urls(&records, &blobs, "a\nb", &err));
    check_text("line break");
    check_fails(EXIA_EINVAL, exia__store_urls(&records, &blobs, "", &err));
    check_fails(EXIA_EINVAL, exia__store_urls(&records, &blobs, NULL, &err));
    check_fails(EXIA_EINVAL, exia__store_urls(NULL, &blobs, "x", &err));
    assert_true(records == NULL && blobs == NULL);
}

/* ---- keys, JSON, tokens --------------------------------------------------------------------- */

static exia_status ignore_bytes(const void *data, size_t size, void *payload, exia_error *error)
{
    (void)data;
    (void)size;
    (void)payload;
    (void)error;
    return EXIA_OK;
}

static exia_status ignore_blob(const char *key, uint64_t size, int64_t modified_ms, void *payload,
                               exia_error *error)
{
    (void)key;
    (void)modified_ms;
    return ignore_bytes(NULL, (size_t)size, payload, error);
}

static exia_status ignore_record(const char *key, const char *json, int64_t revision, void *payload,
                                 exia_error *error)
{
    (void)key;
    (void)revision;
    return ignore_bytes(json, 0, payload, error);
}

TEST(a_blob_key_that_is_none_is_refused_everywhere)
{
    exia__blobs *blobs = NULL;
    exia_source source = exia__source_memory("x", 1);
    char *path = NULL;
    char long_part[256], long_key[1101];
    memset(long_part, 'a', 201);
    long_part[201] = '\0';
    for (size_t i = 0; i < 1100; i++)
        long_key[i] = i % 2 ? '/' : 'a';
    long_key[1100] = '\0';
    const char *const bad[] = {"",     "/",    "/a",   "a/",      "a//b",  "..",
                               "../a", "a/..", ".",    ".a",      "a/.b",  "-a",
                               "A",    "a b",  "a\\b", "a\nb",    "a%2f",  "\xc3\xa4",
                               "a:b",  "a+b",  NULL,   long_part, long_key};
    check_ok(exia__blobs_open(&blobs, blobs_url(), EXIA_STORE_WRITE, NULL, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(EXIA_EINVAL, exia__blobs_put(blobs, bad[i], &source, NULL, &err));
        check_text("blob key");
        check_fails(EXIA_EINVAL,
                    exia__blobs_get(blobs, bad[i], 0, 1, ignore_bytes, NULL, NULL, &err));
        check_fails(EXIA_EINVAL, exia__blobs_stat(NULL, NULL, blobs, bad[i], NULL, &err));
        check_fails(EXIA_EINVAL, exia__blobs_touch(blobs, bad[i], NULL, &err));
        check_fails(EXIA_EINVAL, exia__blobs_remove(blobs, bad[i], NULL, &err));
        check_fails(EXIA_EINVAL, exia__blobs_local(&path, blobs, bad[i], &err));
    }
    static const char *const bad_prefixes[] = {"/", "..", "a//", "A", ".staging", "a/../"};
    for (size_t i = 0; i < sizeof bad_prefixes / sizeof *bad_prefixes; i++)
        check_fails(EXIA_EINVAL,
                    exia__blobs_list(blobs, bad_prefixes[i], ignore_blob, NULL, NULL, &err));
    long_part[200] = '\0';
    check_ok(exia__blobs_put(blobs, long_part, &source, NULL, &err));
    exia__blobs_free(blobs);
}

TEST(bad_arguments_of_blobs_are_refused)
{
    exia__blobs *blobs = NULL;
    exia_source source = exia__source_memory("x", 1), none = {.size = 1};
    check_ok(exia__blobs_open(&blobs, blobs_url(), EXIA_STORE_WRITE, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_put(NULL, "k", &source, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_put(blobs, "k", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_put(blobs, "k", &none, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_get(blobs, "k", 0, 1, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_list(blobs, "", NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_list(NULL, "", ignore_blob, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_now(NULL, blobs, NULL, &err));
    check_fails(EXIA_EINVAL, exia__blobs_local(NULL, blobs, "k", &err));
    exia__blobs_free(blobs);
    exia__blobs_free(NULL);
    assert_null(exia__blobs_keep(NULL));
}

TEST(a_kind_key_json_or_token_that_is_none_is_refused)
{
    exia__records *records = NULL;
    char *json = NULL;
    char long_token[130];
    memset(long_token, 't', 129);
    long_token[129] = '\0';
    check_ok(exia__records_open(&records, records_url(), EXIA_STORE_WRITE, NULL, &err));
    static const char *const kinds[] = {"", "Log", "log1", "log/", "a b", NULL};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        check_fails(EXIA_EINVAL,
                    exia__records_get(&json, NULL, records, kinds[i], "k", NULL, &err));
        check_fails(EXIA_EINVAL, exia__records_scan(records, kinds[i], "", NULL, 0, NULL,
                                                    ignore_record, NULL, NULL, &err));
    }
    static const char *const keys[] = {"",   "/",  "a/",  "a//b", "..",       ".a",    "-a",
                                       "+a", "#a", "a b", "a%",   "\xc3\xa4", "a\x7f", NULL};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        exia_put put = {.kind = "log", .key = keys[i], .json = "{}", .expect = EXIA_ANY};
        check_fails(EXIA_EINVAL,
                    exia__records_get(&json, NULL, records, "log", keys[i], NULL, &err));
        check_fails(EXIA_EINVAL, exia__records_put(NULL, records, "log", keys[i], "{}", EXIA_ANY,
                                                   NULL, NULL, &err));
        check_fails(EXIA_EINVAL,
                    exia__records_append(records, "log", keys[i], "{}", NULL, NULL, &err));
        check_fails(EXIA_EINVAL,
                    exia__records_remove(records, "log", keys[i], EXIA_ANY, NULL, &err));
        check_fails(EXIA_EINVAL, exia__records_batch(records, &put, 1, NULL, &err));
    }
    static const char *const texts[] = {
        "", "[]", "1", "null", "{", "{}x", "{\"a\":1,\"a\":2}", "{\"a\":\xff}", "{a:1}", NULL};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_fails(EXIA_EINVAL, exia__records_put(NULL, records, "log", "k", texts[i], EXIA_ANY,
                                                   NULL, NULL, &err));
    const char *const tokens[] = {"", "a\nb", "\xff", long_token};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        check_fails(EXIA_EINVAL, exia__records_put(NULL, records, "log", "k", "{}", EXIA_ANY,
                                                   tokens[i], NULL, &err));
    check_fails(EXIA_EINVAL,
                exia__records_put(NULL, records, "log", "k", "{}", -2, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_remove(records, "log", "k", -2, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_get(NULL, NULL, records, "log", "k", NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_get(&json, NULL, NULL, "log", "k", NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_batch(records, NULL, 1, NULL, &err));
    check_fails(EXIA_EINVAL,
                exia__records_scan(records, "log", "", NULL, 0, NULL, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_scan(records, "log", "a b", NULL, 0, NULL, ignore_record,
                                                NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_scan(records, "log", "", "a b", 0, NULL, ignore_record,
                                                NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia__records_get(&json, NULL, records, "log", "k", NULL, &err));
    exia__records_free(records);
    exia__records_free(NULL);
    assert_null(exia__records_keep(NULL));
    assert_false(exia__records_can_put(NULL));
}

TEST(a_handle_closes_with_its_last_reference)
{
    exia__records *records = NULL;
    char *json = NULL;
    check_ok(exia__records_open(&records, records_url(), EXIA_STORE_WRITE, NULL, &err));
    exia__records *kept = exia__records_keep(records);
    exia__records_free(records);
    check_fails(EXIA_ENOTFOUND, exia__records_get(&json, NULL, kept, "log", "k", NULL, &err));
    exia__records_free(kept);
}

/* ---- the table of drivers ------------------------------------------------------------------- */

static exia_status dummy_open(void **out, const char *url, int mode, const exia_job *job,
                              exia_error *error)
{
    (void)url;
    (void)mode;
    (void)job;
    (void)error;
    *out = NULL;
    return EXIA_OK;
}

static void dummy_close(void *self)
{
    (void)self;
}

static exia_status dummy_check(void *self, exia_record_fn *row, void *payload, exia_error *error)
{
    (void)self;
    return row("broken", "{", 0, payload, error);
}

static exia_status dummy_get(void *self, const char *kind, const char *key, exia_record_fn *found,
                             void *payload, const exia_job *job, exia_error *error)
{
    (void)self;
    (void)kind;
    (void)job;
    return found(key, "{}", 1, payload, error);
}

static int appended, removed;

static exia_status dummy_append(void *self, const char *kind, const char *key, const char *json,
                                const char *token, const exia_job *job, exia_error *error)
{
    (void)self;
    (void)kind;
    (void)key;
    (void)json;
    (void)job;
    (void)error;
    appended += token != NULL;
    return EXIA_OK;
}

static exia_status dummy_remove(void *self, const char *kind, const char *key, int64_t expect,
                                const exia_job *job, exia_error *error)
{
    (void)self;
    (void)kind;
    (void)key;
    (void)expect;
    (void)job;
    (void)error;
    removed++;
    return EXIA_OK;
}

static exia_status dummy_scan(void *self, const char *kind, const char *prefix, const char *after,
                              size_t limit, const char *filter, exia_record_fn *found,
                              void *payload, const exia_job *job, exia_error *error)
{
    (void)self;
    (void)kind;
    (void)after;
    (void)limit;
    (void)filter;
    (void)job;
    return found(prefix, "{}", 1, payload, error);
}

static const exia_records_ops append_only = {.struct_size = sizeof(exia_records_ops),
                                             .get = dummy_get,
                                             .append = dummy_append,
                                             .remove = dummy_remove,
                                             .scan = dummy_scan};
static const exia_driver appender = {.struct_size = sizeof(exia_driver),
                                     .name = "appender",
                                     .schemes = "append+only  append2",
                                     .open = dummy_open,
                                     .close = dummy_close,
                                     .abandon = dummy_close,
                                     .check = dummy_check,
                                     .records = &append_only};

TEST(a_driver_that_is_incomplete_is_refused)
{
    exia_driver bad = appender;
    exia_records_ops records = append_only;
    exia_blobs_ops blobs = {.struct_size = sizeof blobs};
    check_fails(EXIA_EINVAL, exia_driver_register(NULL, &err));
#define BROKEN(change, text)                                                                       \
    bad = appender;                                                                                \
    records = append_only;                                                                         \
    bad.records = &records;                                                                        \
    change;                                                                                        \
    check_fails(EXIA_EINVAL, exia_driver_register(&bad, &err));                                    \
    check_text(text)
    BROKEN(bad.struct_size = 8, "struct_size");
    BROKEN(bad.name = NULL, "a name and schemes");
    BROKEN(bad.name = "", "a name and schemes");
    BROKEN(bad.schemes = NULL, "a name and schemes");
    BROKEN(bad.schemes = "", "has no scheme");
    BROKEN(bad.schemes = "  ", "has no scheme");
    BROKEN(bad.schemes = "good Bad", "\"Bad\" is no scheme");
    BROKEN(bad.schemes = "x", "\"x\" is no scheme");
    BROKEN(bad.schemes = "9a", "\"9a\" is no scheme");
    BROKEN(bad.open = NULL, "open, close, abandon and check");
    BROKEN(bad.close = NULL, "open, close, abandon and check");
    BROKEN(bad.abandon = NULL, "open, close, abandon and check");
    BROKEN(bad.check = NULL, "open, close, abandon and check");
    BROKEN(bad.records = NULL, "neither blobs nor records");
    BROKEN(bad.blobs = &blobs, "put, get, stat, list, touch, remove and now");
    BROKEN(records.struct_size = 8, "struct_size of its records");
    BROKEN(records.get = NULL, "get, remove, scan");
    BROKEN(records.remove = NULL, "get, remove, scan");
    BROKEN(records.scan = NULL, "get, remove, scan");
    BROKEN(records.append = NULL, "one of put and append");
    blobs.struct_size = 8;
    BROKEN(bad.blobs = &blobs, "struct_size of its blobs");
}

TEST(a_scheme_has_one_driver_and_an_append_only_store_only_appends)
{
    exia__records *records = NULL;
    exia_rows *rows = NULL;
    char *json = NULL;
    check_ok(exia_driver_register(&appender, &err));
    check_fails(EXIA_EEXISTS, exia_driver_register(&appender, &err));
    check_text("driver appender has the scheme append+only");
    exia_driver rival = appender;
    rival.name = "rival";
    rival.schemes = "rival sqlite";
    check_fails(EXIA_EEXISTS, exia_driver_register(&rival, &err));
    check_fails(EXIA_EINVAL, exia__records_open(&records, "rival:x", 0, NULL, &err));
    check_text("file, sqlite, append+only");
    check_ok(exia__records_open(&records, "append2:x", EXIA_STORE_WRITE, NULL, &err));
    assert_false(exia__records_can_put(records));
    check_fails(EXIA_EUNSUPPORTED,
                exia__records_put(NULL, records, "log", "k", "{}", EXIA_ANY, NULL, NULL, &err));
    check_text("only appending");
    exia_put put = {.kind = "log", .key = "k", .json = "{}", .expect = EXIA_ANY};
    check_fails(EXIA_EUNSUPPORTED, exia__records_batch(records, &put, 1, NULL, &err));
    check_fails(EXIA_EINVAL, exia__records_append(records, "log", "k", "[]", NULL, NULL, &err));
    check_ok(exia__records_append(records, "log", "k", "{}", NULL, NULL, &err));
    check_ok(exia__records_append(records, "log", "k", "{}", "t", NULL, &err));
    assert_int_equal(appended, 2);
    check_ok(exia__records_remove(records, "log", "k", EXIA_ANY, NULL, &err));
    assert_int_equal(removed, 1);
    check_ok(exia__records_get(&json, NULL, records, "log", "k", NULL, &err));
    assert_string_equal(json, "{}");
    exia__release(json);
    check_ok(
        exia__records_scan(records, "log", "k", NULL, 0, NULL, ignore_record, NULL, NULL, &err));
    exia__records_free(records);
    check_fails(EXIA_ECORRUPT,
                exia_store_check(&rows, "append2:x", &err)); /* its fact is no JSON */
    assert_null(rows);
}

/* ---- check ---------------------------------------------------------------------------------- */

TEST(check_tells_what_a_store_is_and_makes_nothing)
{
    exia_rows *rows = NULL;
    const char *row = NULL, *all = "";
    char *records = NULL, *blobs = NULL;
    check_fails(EXIA_ENOTFOUND, exia_store_check(&rows, check_path("absent"), &err));
    check_fails(EXIA_ENOTFOUND, exia_store_check(&rows, blobs_url(), &err));
    check_fails(EXIA_ENOTFOUND, exia_store_check(&rows, records_url(), &err));
    check_fails(EXIA_EINVAL, exia_store_check(&rows, "ftp:x", &err));
    check_fails(EXIA_EINVAL, exia_store_check(&rows, NULL, &err));
    check_fails(EXIA_EINVAL, exia_store_check(NULL, blobs_url(), &err));
    assert_null(rows);

    exia__records *made = NULL;
    exia__blobs *made_blobs = NULL;
    check_ok(exia__store_urls(&records, &blobs, check_path("a b"), &err));
    check_ok(exia__records_open(&made, records, EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__blobs_open(&made_blobs, blobs, EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia_store_check(&rows, check_path("a b"), &err));
    while (exia_rows_next(&row, rows, &err) == EXIA_OK)
        all = check_format("%s%s\n", all, row);
    assert_non_null(strstr(all, "{\"key\":\"driver\",\"value\":\"sqlite\"}"));
    assert_non_null(strstr(all, "{\"key\":\"driver\",\"value\":\"file\"}"));
    assert_non_null(strstr(all, "{\"key\":\"schema\",\"value\":2}"));
    assert_non_null(strstr(all, "/a b/catalog.db\"}"));
    exia_rows_free(rows);
    exia__records_free(made);
    exia__blobs_free(made_blobs);
    exia__release(records);
    exia__release(blobs);
}

/* ---- lost calls ----------------------------------------------------------------------------- */

/* A call that fails before it is done leaves all as it was; one whose answer is lost has done all;
 * and the same put with the same token settles both. */
TEST(a_put_repeated_with_its_token_after_a_lost_call_is_done_once)
{
    exia__records *records = NULL;
    int64_t first = 0, again = 0, revision = 0;
    char *json = NULL;
    faulty_register();
    check_ok(exia__records_open(&records, check_format("faulty:%s", records_url()),
                                EXIA_STORE_WRITE, NULL, &err));
    for (int after = 0; after <= 1; after++) {
        const char *key = after ? "log/b" : "log/a";
        faulty = (faulty_plan){.nth = 1, .after = after, .status = EXIA_ETIMEOUT};
        check_fails(EXIA_ETIMEOUT, exia__records_put(&first, records, "log", key, "{\"n\":1}",
                                                     EXIA_ABSENT, "token", NULL, &err));
        assert_int_equal(first, 0);
        exia_status there = exia__records_get(&json, &revision, records, "log", key, NULL, NULL);
        assert_int_equal(there, after ? EXIA_OK : EXIA_ENOTFOUND);
        exia__release(json);
        check_ok(exia__records_put(&again, records, "log", key, "{\"n\":1}", EXIA_ABSENT, "token",
                                   NULL, &err));
        assert_true(!after || again == revision);
        check_fails(EXIA_ECONFLICT, exia__records_put(NULL, records, "log", key, "{}", EXIA_ABSENT,
                                                      "other", NULL, &err));
    }
    exia__records_free(records);
}

/* What each of the writing operations leaves, with the call failing before or after. */
TEST(after_a_lost_call_the_state_is_that_before_or_that_after)
{
    faulty_register();
    for (int after = 0; after <= 1; after++) {
        exia__records *records = NULL;
        exia__blobs *blobs = NULL;
        exia_source source = exia__source_memory("bytes", 5);
        exia_put puts[] = {{.kind = "log", .key = "a", .json = "{}", .expect = EXIA_ABSENT},
                           {.kind = "log", .key = "b", .json = "{}", .expect = EXIA_ABSENT}};
        const char *place = check_path(after ? "after" : "before");
        check_ok(exia__records_open(&records, check_format("faulty:sqlite:%s/db", place),
                                    EXIA_STORE_WRITE, NULL, &err));
        check_ok(exia__blobs_open(&blobs, check_format("faulty:file:%s/blobs", place),
                                  EXIA_STORE_WRITE, NULL, &err));
        char *json = NULL;
        exia_status done = after ? EXIA_OK : EXIA_ENOTFOUND;
        exia_status undone = after ? EXIA_ENOTFOUND : EXIA_OK;
        const faulty_plan plan = {.nth = 1, .after = after, .status = EXIA_EIO};

        faulty = plan;
        check_fails(EXIA_EIO, exia__records_batch(records, puts, 2, NULL, &err));
        for (int i = 0; i < 2; i++) {
            assert_int_equal(
                exia__records_get(&json, NULL, records, "log", puts[i].key, NULL, NULL), done);
            exia__release(json);
        }
        check_ok(exia__records_put(NULL, records, "log", "c", "{}", EXIA_ANY, NULL, NULL, &err));
        faulty = plan;
        check_fails(EXIA_EIO, exia__records_remove(records, "log", "c", EXIA_ANY, NULL, &err));
        assert_int_equal(exia__records_get(&json, NULL, records, "log", "c", NULL, NULL), undone);
        exia__release(json);

        faulty = plan;
        check_fails(EXIA_EIO, exia__blobs_put(blobs, "k", &source, NULL, &err));
        assert_int_equal(exia__blobs_stat(NULL, NULL, blobs, "k", NULL, NULL), done);
        (void)exia__blobs_put(blobs, "k", &source, NULL, NULL);
        faulty = plan;
        check_fails(EXIA_EIO, exia__blobs_remove(blobs, "k", NULL, &err));
        assert_int_equal(exia__blobs_stat(NULL, NULL, blobs, "k", NULL, NULL), undone);
        faulty = (faulty_plan){0};
        exia__blobs_free(blobs);
        exia__records_free(records);
    }
}

TEST(a_plan_fails_the_nth_call_or_all_from_there)
{
    exia__blobs *blobs = NULL;
    int64_t ms = 0;
    faulty_register();
    check_ok(exia__blobs_open(&blobs, check_format("faulty:%s", blobs_url()), EXIA_STORE_WRITE,
                              NULL, &err));
    for (int for_ever = 0; for_ever <= 1; for_ever++) {
        faulty = (faulty_plan){.nth = 2, .for_ever = for_ever, .status = EXIA_EUNAVAILABLE};
        check_ok(exia__blobs_now(&ms, blobs, NULL, &err));
        check_fails(EXIA_EUNAVAILABLE, exia__blobs_now(&ms, blobs, NULL, &err));
        exia_status third = exia__blobs_now(&ms, blobs, NULL, &err);
        assert_int_equal(third, for_ever ? EXIA_EUNAVAILABLE : EXIA_OK);
        assert_int_equal(faulty.calls, 3);
    }
    faulty = (faulty_plan){0};
    exia__blobs_free(blobs);
}

static exia_status use_check(void *payload, exia_error *error)
{
    exia_rows *rows = NULL;
    exia_status rc = exia_store_check(&rows, payload, error);
    exia_rows_free(rows);
    return rc;
}

TEST(check_survives_that_memory_is_out)
{
    exia__blobs *blobs = NULL;
    check_ok(exia__blobs_open(&blobs, blobs_url(), EXIA_STORE_WRITE, NULL, &err));
    exia__blobs_free(blobs);
    check_survives_no_memory(use_check, (void *)blobs_url());
}
