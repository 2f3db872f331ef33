/* The log as it lies in the store: entries that another version, another host or a broken disk wrote. */
#include "support/models.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"

static const char part[] = "{\"name\":\"model\",\"format\":\"bytes\",\"size\":1,\"sha256\":"
                           "\"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\","
                           "\"inline\":\"eA==\"}";

/* An entry of the log of "m", written past the library. */
static void put_entry(int64_t seq, const char *entry)
{
    exia__records *records = NULL;
    const char *url = check_format("sqlite:%s", check_path("library/catalog.db"));
    check_ok(exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_put(NULL, records, "log", check_format("m/log/%016lld", (long long)seq),
                               entry, EXIA_ABSENT, NULL, NULL, &err));
    exia__records_free(records);
}

static const char *entry(const char *verb, const char *token, const char *rest)
{
    return check_format("{\"format\":1,\"do\":\"%s\",\"token\":\"%s\",\"time\":"
                        "\"2026-01-01T00:00:00.000Z\",\"who\":\"a@b\",\"why\":null%s}",
                        verb, token, rest);
}

static const char *publish(int64_t number, const char *token)
{
    return entry(
        "publish", token,
        check_format(",\"version\":{\"number\":%lld,\"parts\":[%s]}", (long long)number, part));
}

TEST(entries_written_elsewhere_are_understood)
{
    exia_library *library = open_library();
    put_entry(1, publish(1, "t1"));
    put_entry(2, publish(2, "t2"));
    put_entry(
        3, entry("move", "t3", ",\"moves\":[{\"alias\":\"a\",\"from\":0,\"to\":2,\"below\":0}]"));
    put_entry(4, entry("sign", "t4", ",\"version\":{\"number\":2},\"signature\":\"RUQ\""));
    assert_int_equal(selected(library, "m@a"), 2);
    assert_string_equal(bytes_of(library, "m"), "x");
    assert_int_equal(write_model(library, "m", "y", NULL, "a", 2), 3);
    exia_library_free(library);
}

TEST(time_never_goes_back)
{
    exia_library *library = open_library();
    const char *future = check_format("{\"format\":1,\"do\":\"publish\",\"token\":\"t\",\"time\":"
                                      "\"2999-01-01T00:00:00.000Z\",\"who\":\"a@b\",\"version\":"
                                      "{\"number\":1,\"parts\":[%s]}}",
                                      part);
    put_entry(1, future);
    write_model(library, "m", "y", NULL, NULL, 0);
    exia_rows *rows = NULL;
    check_ok(exia_library_history(&rows, library, "m", &err));
    const char *text = rows_text(rows), *first = strstr(text, "2999-01-01T00:00:00.000Z");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "2999-01-01T00:00:00.000Z"));
    exia_library_free(library);
    library = open_library();
    assert_int_equal(selected(library, "m"), 2);
    exia_library_free(library);
}

TEST(what_a_newer_exia_wrote_is_said_and_nothing_is_written)
{
    const char *newer[] = {
        "{\"format\":2}",
        "{\"format\":2,\"do\":\"publish\"}",
        entry("merge", "t", ",\"version\":{\"number\":1}"),
    };
    exia_library *library = open_library();
    put_entry(1, publish(1, "t1"));
    assert_int_equal(selected(library, "m"), 1);
    for (size_t i = 0; i < sizeof newer / sizeof *newer; i++) {
        exia__records *records = NULL;
        const char *url = check_format("sqlite:%s", check_path("library/catalog.db"));
        check_ok(exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err));
        check_ok(exia__records_put(NULL, records, "log", "m/log/0000000000000002", newer[i],
                                   EXIA_ANY, NULL, NULL, &err));
        exia_model *model = NULL;
        check_fails(EXIA_EVERSION, exia_model_open(&model, library, "m@1", 0, &err));
        check_text("entry 2 of the log of m");
        int64_t version = 0;
        exia_part bytes = {.name = "model", .format = "bytes", .data = "x", .size = 1};
        check_fails(EXIA_EVERSION,
                    exia_model_write(&version, library, "m", &bytes, 1, NULL, NULL, &err));
        exia_rows *rows = NULL;
        check_fails(EXIA_EVERSION, exia_library_search(&rows, library, NULL, &err));
        check_fails(EXIA_EVERSION, exia_library_history(&rows, library, "m", &err));
        exia__records_free(records);
    }
    exia_library_free(library);
}

TEST(a_missing_entry_is_named)
{
    exia_library *library = open_library();
    put_entry(1, publish(1, "t1"));
    put_entry(3, publish(2, "t3"));
    assert_int_equal(selected(library, "m"), EXIA_ECORRUPT);
    check_text("entry 2 of the log of m is missing");
    exia_rows *rows = NULL;
    check_fails(EXIA_ECORRUPT, exia_library_search(&rows, library, NULL, &err));
    put_entry(2, publish(2, "t2"));
    assert_int_equal(selected(library, "m"), EXIA_ECORRUPT); /* entry 3 publishes 2 again */
    check_text("entry 3 of the log of m");
    exia_library_free(library);
}

TEST(a_strange_key_in_the_log_is_named)
{
    const char *keys[] = {"m/log/1", "m/log/00000000000000x1",   "m/other/0000000000000001",
                          "m",       "m+n/log/0000000000000001", "a/b/log/0000000000000001"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        exia_library *library = NULL;
        const char *folder = check_path(check_format("strange%zu", i));
        check_ok(exia_library_open(&library, folder, NULL, &err));
        exia__records *records = NULL;
        check_ok(exia__records_open(&records, check_format("sqlite:%s/catalog.db", folder),
                                    EXIA_STORE_WRITE, NULL, &err));
        check_ok(exia__records_put(NULL, records, "log", keys[i], publish(1, "t"), EXIA_ABSENT,
                                   NULL, NULL, &err));
        /* without it nothing is trusted but the logs */
        check_ok(exia__records_remove(records, "library", "derived", EXIA_ANY, NULL, &err));
        exia__records_free(records);
        exia_rows *rows = NULL;
        check_reset();
        exia_status rc = exia_library_search(&rows, library, NULL, &err);
        assert_true(rc == EXIA_ECORRUPT || rc == EXIA_EINVAL);
        check_status(rc, rc, __FILE__, __LINE__);
        exia_library_free(library);
    }
}

TEST(nonsense_in_the_log_is_named_and_never_believed)
{
    const char *version = check_format(",\"version\":{\"number\":2,\"parts\":[%s]", part);
    const char *bad[] = {
        "{}",
        "{\"format\":\"1\"}",
        "{\"format\":0}",
        "{\"format\":1}",
        entry("publish", "", check_format("%s}", version)),
        entry("publish", "t2", ""),
        entry("publish", "t2", ",\"version\":3"),
        entry("publish", "t2", ",\"version\":{\"number\":1}"),
        entry("publish", "t2", ",\"version\":{\"number\":2}"),
        entry("publish", "t2", ",\"version\":{\"number\":2,\"parts\":[]}"),
        entry("publish", "t2", ",\"version\":{\"number\":2,\"parts\":[1]}"),
        entry("publish", "t2",
              check_format(",\"version\":{\"number\":2,\"parts\":[%s,%s]}", part, part)),
        entry("publish", "t2", check_format("%s,\"tags\":[]}", version)),
        entry("publish", "t2", check_format("%s,\"metrics\":1}", version)),
        entry("publish", "t2", check_format("%s,\"environment\":\"../../x\"}", version)),
        entry("publish", "t2", check_format("%s},\"moves\":{}", version)),
        entry("publish", "t2",
              check_format("%s},\"moves\":[{\"alias\":\"a\",\"from\":1,\"to\":2,\"below\":0}]",
                           version)),
        entry("publish", "t2", check_format("%s},\"moves\":[{}]", version)),
        entry("move", "t2", ""),
        entry("move", "t2", ",\"moves\":[]"),
        entry("move", "t2", ",\"moves\":[{\"alias\":\"a/b\",\"from\":0,\"to\":1,\"below\":0}]"),
        entry("move", "t2", ",\"moves\":[{\"alias\":\"a\",\"from\":0,\"to\":2,\"below\":0}]"),
        entry("move", "t2", ",\"moves\":[{\"alias\":\"a\",\"from\":0,\"to\":1,\"below\":1}]"),
        entry("move", "t2", ",\"moves\":[{\"alias\":\"a\",\"from\":0,\"to\":-1,\"below\":0}]"),
        entry("rollback", "t2", ",\"moves\":[{\"alias\":\"a\",\"from\":0,\"to\":1,\"below\":0}]"),
        entry("rollback", "t2",
              ",\"moves\":[{\"alias\":\"live\",\"from\":1,\"to\":0,\"below\":0}]"),
        entry("remove", "t2", ""),
        entry("remove", "t2", ",\"version\":{\"number\":2}"),
        entry("remove", "t2", ",\"version\":{\"number\":1}"), /* an alias is on it */
        entry("sign", "t2", ",\"version\":{\"number\":2}"),
        entry("repair", "t2", ",\"version\":{\"number\":1}"),
        entry("repair", "t2", ",\"version\":{\"number\":2,\"parts\":[]}"),
        entry("repair", "t2",
              ",\"version\":{\"number\":1,\"parts\":[{\"name\":\"none\",\"key\":\"a\"}]}"),
        check_format("{\"format\":1,\"do\":\"publish\",\"token\":\"t\",\"time\":"
                     "\"2025-01-01T00:00:00.000Z\",\"who\":\"a@b\"%s}}",
                     version), /* before the entry before */
    };
    const char *first = entry(
        "publish", "t1",
        check_format(",\"version\":{\"number\":1,\"parts\":[%s]},\"moves\":[{\"alias\":\"live\","
                     "\"from\":0,\"to\":1,\"below\":0}]",
                     part));
    exia_library *library = open_library();
    put_entry(1, first);
    exia__records *records = NULL;
    const char *url = check_format("sqlite:%s", check_path("library/catalog.db"));
    check_ok(exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_ok(exia__records_put(NULL, records, "log", "m/log/0000000000000002", bad[i], EXIA_ANY,
                                   NULL, NULL, &err));
        exia_model *model = NULL;
        check_reset();
        exia_status rc = exia_model_open(&model, library, "m", 0, &err);
        if (rc != EXIA_ECORRUPT)
            fail_msg("%s gives %s", bad[i], exia_status_text(rc));
        check_status(rc, rc, __FILE__, __LINE__);
        check_text("entry 2 of the log of m");
    }
    check_ok(exia__records_remove(records, "log", "m/log/0000000000000002", EXIA_ANY, NULL, &err));
    exia__records_free(records);
    assert_int_equal(selected(library, "m@live"), 1);
    exia_library_free(library);
}

TEST(bad_parts_in_the_log_are_named)
{
    const char *hex = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    const char *bad[] = {
        "\"name\":\"../x\",\"format\":\"b\",\"size\":1,\"sha256\":\"%s\",\"key\":\"a\"",
        "\"name\":\"version.json\",\"format\":\"b\",\"size\":1,\"sha256\":\"%s\",\"key\":\"a\"",
        "\"name\":\"p\",\"size\":1,\"sha256\":\"%s\",\"key\":\"a\"",
        "\"name\":\"p\",\"format\":\"b\",\"size\":-1,\"sha256\":\"%s\",\"key\":\"a\"",
        "\"name\":\"p\",\"format\":\"b\",\"size\":1.5,\"sha256\":\"%s\",\"key\":\"a\"",
        "\"name\":\"p\",\"format\":\"b\",\"size\":1,\"sha256\":\"x%s\",\"key\":\"a\"",
        "\"name\":\"p\",\"format\":\"b\",\"size\":1,\"sha256\":\"%s\"",
        ("\"name\":\"p\",\"format\":\"b\",\"size\":1,\"sha256\":\"%s\",\"key\":\"a\","
         "\"inline\":\"\""),
        "\"name\":\"p\",\"format\":\"b\",\"size\":16385,\"sha256\":\"%s\",\"inline\":\"\"",
    };
    exia_library *library = open_library();
    exia__records *records = NULL;
    const char *url = check_format("sqlite:%s", check_path("library/catalog.db"));
    check_ok(exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char made[400];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(made, sizeof made, bad[i], hex);
#pragma GCC diagnostic pop
        const char *text = entry(
            "publish", "t", check_format(",\"version\":{\"number\":1,\"parts\":[{%s}]}", made));
        check_ok(exia__records_put(NULL, records, "log", "m/log/0000000000000001", text, EXIA_ANY,
                                   NULL, NULL, &err));
        if (selected(library, "m") != EXIA_ECORRUPT)
            fail_msg("%s is believed", made);
    }
    exia__records_free(records);
    exia_library_free(library);
}

TEST(inline_bytes_that_are_not_base64_are_corrupt)
{
    const char *texts[] = {"", "eA=", "eA", "====", "eAA=", "e*==", "eA==eA=="};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        exia_library *library = NULL;
        const char *folder = check_path(check_format("inline%zu", i));
        check_ok(exia_library_open(&library, folder, NULL, &err));
        const char *text = entry(
            "publish", "t",
            check_format(",\"version\":{\"number\":1,\"parts\":[{\"name\":\"model\",\"format\":"
                         "\"bytes\",\"size\":1,\"sha256\":\"2d711642b726b04401627ca9fbac32f5c8530fb"
                         "1903cc4db02258717921a4881\",\"inline\":\"%s\"}]}",
                         texts[i]));
        exia__records *records = NULL;
        check_ok(exia__records_open(&records, check_format("sqlite:%s/catalog.db", folder),
                                    EXIA_STORE_WRITE, NULL, &err));
        check_ok(exia__records_put(NULL, records, "log", "m/log/0000000000000001", text,
                                   EXIA_ABSENT, NULL, NULL, &err));
        exia__records_free(records);
        if (selected(library, "m") != EXIA_ECORRUPT)
            fail_msg("\"%s\" is taken for one byte", texts[i]);
        check_text("part model");
        exia_library_free(library);
    }
}

TEST(a_token_is_forgotten_after_a_thousand_entries_and_not_before)
{
    exia_library *library = open_library();
    int64_t version = 0;
    exia_part bytes = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    exia_write_options options = {.struct_size = sizeof options, .token = "t1"};
    exia__records *records = NULL;
    const char *url = check_format("sqlite:%s", check_path("library/catalog.db"));
    check_ok(exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err));
    enum { MANY = 1000 };
    char(*keys)[64] = malloc(sizeof *keys * MANY), (*tokens)[16] = malloc(sizeof *tokens * MANY);
    char(*texts)[512] = malloc(sizeof *texts * MANY);
    exia_put *puts = malloc(sizeof *puts * MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof *keys, "m/log/%016d", i + 1);
        snprintf(tokens[i], sizeof *tokens, "t%d", i + 1);
        snprintf(
            texts[i], sizeof *texts,
            "{\"format\":1,\"do\":\"publish\",\"token\":\"%s\",\"time\":"
            "\"2026-01-01T00:00:00.000Z\",\"who\":\"a@b\",\"version\":{\"number\":%d,\"parts\":"
            "[%s]}}",
            tokens[i], i + 1, part);
        puts[i] = (exia_put){"log", keys[i], texts[i], EXIA_ABSENT, tokens[i]};
    }
    check_ok(exia__records_batch(records, puts, MANY, NULL, &err));
    check_ok(exia_model_write(&version, library, "m", &bytes, 1, &options, NULL, &err));
    assert_int_equal(version, 1); /* the oldest of a thousand */
    put_entry(MANY + 1, publish(MANY + 1, "t1001"));
    check_ok(exia_model_write(&version, library, "m", &bytes, 1, &options, NULL, &err));
    assert_int_equal(version, MANY + 2);
    options.token = "t2";
    check_ok(exia_model_write(&version, library, "m", &bytes, 1, &options, NULL, &err));
    assert_int_equal(version, MANY + 3); /* pushed out by the write before */
    options.token = "t4";
    check_ok(exia_model_write(&version, library, "m", &bytes, 1, &options, NULL, &err));
    assert_int_equal(version, 4);
    free(keys);
    free(tokens);
    free(texts);
    free(puts);
    exia__records_free(records);
    exia_library_free(library);
}

TEST(a_token_of_another_call_is_a_conflict)
{
    exia_library *library = open_library();
    put_entry(1, publish(1, "t1"));
    put_entry(
        2, entry("move", "t2", ",\"moves\":[{\"alias\":\"a\",\"from\":0,\"to\":1,\"below\":0}]"));
    int64_t version = 0;
    exia_part bytes = {.name = "model", .format = "bytes", .data = "x", .size = 1};
    exia_write_options options = {.struct_size = sizeof options, .token = "t2"};
    check_fails(EXIA_ECONFLICT,
                exia_model_write(&version, library, "m", &bytes, 1, &options, NULL, &err));
    check_text("move");
    exia_library_free(library);
}

TEST(the_id_of_a_newer_library_is_refused)
{
    exia_library *library = open_library();
    exia_library_free(library);
    exia__records *records = NULL;
    const char *url = check_format("sqlite:%s", check_path("library/catalog.db"));
    check_ok(exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_put(NULL, records, "library", "id", "{\"format\":2,\"id\":\"x\"}",
                               EXIA_ANY, NULL, NULL, &err));
    check_fails(EXIA_EVERSION, exia_library_open(&library, check_path("library"), NULL, &err));
    check_ok(exia__records_put(NULL, records, "library", "id", "{\"format\":1}", EXIA_ANY, NULL,
                               NULL, &err));
    check_fails(EXIA_ECORRUPT, exia_library_open(&library, check_path("library"), NULL, &err));
    exia__records_free(records);
}
