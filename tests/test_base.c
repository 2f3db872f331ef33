/* What everything stands on: errors, texts, names, URLs, jobs, trust. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/job.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"
#include "base/trust.h"
#include "base/url.h"
#include "support/check.h"

TEST(every_status_has_its_own_text)
{
    static const exia_status all[] = {
#define ONE(name, value, text) name,
        EXIA_STATUS_LIST(ONE)
#undef ONE
    };
    size_t count = sizeof all / sizeof *all;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(exia_status_text(all[i]), exia_status_text(all[k]));
    }
    assert_non_null(strstr(exia_status_text((exia_status)-99), "does not know"));
}

TEST(an_error_is_one_line_and_never_ends_inside_a_character)
{
    check_fails(EXIA_EINVAL, exia__fail(&err, EXIA_EINVAL, 0, "a\nb\tc\x7f"));
    assert_string_equal(err.text, "a?b?c?");
    for (size_t pad = 0; pad < 4; pad++) {
        char text[600] = "";
        memset(text, 'x', pad);
        for (size_t i = pad; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        check_fails(EXIA_EINVAL, exia__fail(&err, EXIA_EINVAL, 0, "%s", text));
        assert_true(exia__text_valid(err.text, strlen(err.text)));
        assert_true(strlen(err.text) > sizeof err.text - 5);
    }
}

TEST(a_failure_works_without_an_error_to_fill)
{
    assert_int_equal(exia__fail(NULL, EXIA_EIO, 1, "x"), EXIA_EIO);
    assert_int_equal(exia__prefix(NULL, EXIA_EIO, "x"), EXIA_EIO);
}

TEST(a_long_path_does_not_push_the_reason_out_of_the_text)
{
    char path[4002] = "";
    for (size_t i = 0; i < 4000; i += 2) /* two bytes a character */
        memcpy(path + i, "\xC3\xA4", 2);
    for (int i = 0; i < 2; i++) {
        exia__fail_errno(&err, ENAMETOOLONG, "cannot open", path);
        assert_non_null(strstr(err.text, "cannot open ..."));
        assert_non_null(strstr(err.text, "File name too long"));
        assert_true(exia__text_valid(err.text, strlen(err.text)));
        path[4000] = 'x'; /* now the cut falls into a character */
    }
}

TEST(a_prefix_keeps_status_native_code_and_text)
{
    exia__fail_errno(&err, ENOSPC, "cannot write", "/a");
    check_fails(EXIA_ENOSPACE, (exia__fail_errno(&err, ENOSPC, "cannot write", "/a"),
                                exia__prefix(&err, err.status, "part %d", 3)));
    assert_int_equal(err.native, ENOSPC);
    assert_string_equal(err.text, "part 3: cannot write /a: No space left on device");
}

typedef struct small_options {
    size_t struct_size;
    int a, b;
} small_options;

TEST(options_of_an_older_caller_are_padded_and_of_a_newer_one_refused_when_used)
{
    struct {
        small_options known;
        int64_t later; /* as wide as the gap, so that there is no padding */
    } newer = {{sizeof newer, 1, 2}, 0};
    struct {
        size_t struct_size;
        int a;
    } older = {offsetof(small_options, b), 7};
    small_options got;
    check_ok(exia__options(&got, sizeof got, NULL, &err));
    assert_int_equal(got.struct_size, sizeof got);
    check_ok(exia__options(&got, sizeof got, &newer, &err));
    assert_int_equal(got.b, 2);
    newer.later = 1;
    check_fails(EXIA_EUNSUPPORTED, exia__options(&got, sizeof got, &newer, &err));
    check_ok(exia__options(&got, sizeof got, &older, &err));
    assert_int_equal(got.a, 7);
    assert_int_equal(got.b, 0);
    older.struct_size = 0;
    check_fails(EXIA_EINVAL, exia__options(&got, sizeof got, &older, &err));
    check_text("struct_size");
}

TEST(an_allocator_needs_both_functions)
{
    exia_allocator half = {0};
    check_fails(EXIA_EINVAL, exia_allocator_set(&half, &err));
}

TEST(an_array_whose_size_overflows_is_refused)
{
    assert_null(exia__array(NULL, SIZE_MAX / 2, 3));
    assert_null(exia__zeroed(SIZE_MAX, 2));
}

static exia_status fill_a_buffer(void *payload, exia_error *error)
{
    exia__buffer buffer = {0};
    exia_status rc = EXIA_OK;
    for (int i = 0; i < 200 && rc == EXIA_OK; i++)
        rc = exia__buffer_format(&buffer, error, "%d,", i);
    if (rc == EXIA_OK)
        *(size_t *)payload = buffer.size;
    exia__buffer_free(&buffer);
    return rc;
}

TEST(a_buffer_survives_no_memory)
{
    size_t size = 0;
    check_survives_no_memory(fill_a_buffer, &size);
    assert_int_equal(size, 10 * 2 + 90 * 3 + 100 * 4);
}

TEST(an_empty_buffer_hands_over_an_empty_text)
{
    exia__buffer buffer = {0};
    char *text = NULL;
    check_ok(exia__buffer_take(&text, &buffer, &err));
    assert_string_equal(text, "");
    exia_text_free(text);
    exia_text_free(NULL);
}

TEST(sha_256_gives_the_standard_s_own_digests)
{
    char hex[EXIA__HEX_SIZE];
    check_ok(exia__hash_hex(hex, "abc", 3, &err));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    exia__hash *hash = NULL;
    unsigned char digest[EXIA__DIGEST_SIZE];
    check_ok(exia__hash_open(&hash, &err));
    for (int round = 0; round < 2; round++) {
        check_ok(exia__hash_update(hash, "ab", 2, &err));
        check_ok(exia__hash_update(hash, "c", 1, &err));
        check_ok(exia__hash_finish(digest, hash, &err));
        char again[EXIA__HEX_SIZE];
        exia__hex(again, digest, sizeof digest);
        assert_string_equal(again, hex);
    }
    exia__hash_free(hash);
    assert_true(exia__hex_valid(hex));
    hex[3] = 'A';
    assert_false(exia__hex_valid(hex));
}

TEST(names_with_a_slash_of_ten_thousand_characters_or_empty_are_refused)
{
    char *name = check_read_file("/dev/null", NULL);
    free(name);
    name = malloc(10001);
    memset(name, 'a', 10000);
    name[10000] = '\0';
    check_fails(EXIA_EINVAL, exia__name_check(name, "model name", &err));
    check_text("128");
    free(name);
    static const char *const bad[] = {"", "a/b", "..", ".a", "-a", "a b", "a\n", "é", "a@1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(EXIA_EINVAL, exia__name_check(bad[i], "model name", &err));
        check_text("model name");
    }
    check_fails(EXIA_EINVAL, exia__name_check(NULL, "model name", &err));
    check_ok(exia__name_check("A_b.c-9", "model name", &err));
    check_fails(EXIA_EINVAL, exia__name_check_lower("A_b.c-9", "package name", &err));
    check_ok(exia__name_check_lower("a_b.c-9", "package name", &err));
}

TEST(text_is_utf_8_without_control_characters)
{
    static const char *const good[] = {"", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    static const char *const bad[] = {"\x01",         "\x7f",
                                      "\xff",         "\xc0\x80",
                                      "\xe2\x82",     "\xed\xa0\x80",
                                      "\xe0\x80\x80", "\xf4\x90\x80\x80",
                                      "\x80",         "\xf0\x80\x80\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(exia__text_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(exia__text_valid(bad[i], strlen(bad[i])));
}

TEST(a_path_survives_the_way_through_a_url)
{
    static const char *const paths[] = {"/a b/c?d#e", "rel/x%20y", "/\xc3\xa9\xff", "//two", "x:y"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char *url = NULL, *path = NULL;
        check_ok(exia__url_from_path(&url, "file", paths[i], &err));
        check_ok(exia__url_path(&path, url, &err));
        assert_string_equal(path, strcmp(paths[i], "//two") ? paths[i] : "/two");
        exia__release(url);
        exia__release(path);
    }
}

TEST(a_url_with_a_bad_escape_an_empty_path_or_a_host_is_refused)
{
    static const char *const bad[] = {"file:%",   "file:a%2", "file:a%zz",
                                      "file:%00", "file:",    "file://user:secret@host/a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *path = NULL;
        check_fails(EXIA_EINVAL, exia__url_path(&path, bad[i], &err));
        assert_null(path);
        assert_null(strstr(err.text, "secret"));
    }
}

TEST(a_scheme_has_two_characters_at_least_and_a_path_has_none)
{
    static const struct {
        const char *url, *scheme;
    } rows[] = {{"s3+http://x", "s3+http"},
                {"file:x", "file"},
                {"c:x", NULL},
                {"/a:b", NULL},
                {"./a:b", NULL},
                {"a b:c", NULL},
                {"9p:x", NULL},
                {"plain", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *scheme = NULL;
        check_ok(exia__url_scheme(&scheme, rows[i].url, &err));
        if (rows[i].scheme == NULL)
            assert_null(scheme);
        else
            assert_string_equal(scheme, rows[i].scheme);
        exia__release(scheme);
    }
}

TEST(a_password_is_never_shown)
{
    static const struct {
        const char *url, *shown;
    } rows[] = {{"s3+http://me:secret@host:9000/b", "s3+http://me:***@host:9000/b"},
                {"pg://me:se:c@ret@host/b", "pg://me:***@host/b"},
                {"pg://me:se/c@ret@host/b", "pg://me:***@host/b"},
                {"pg://me:se@c/ret@host/b", "pg://me:***@host/b"},
                {"pg:me:secret@host/b", "pg:me:***@host/b"},
                {"s3+http://host/a:b@c", "s3+http://host/a:b@c"},
                {"file:/a:b@c", "file:/a:b@c"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *shown = NULL;
        check_ok(exia__url_redact(&shown, rows[i].url, &err));
        assert_string_equal(shown, rows[i].shown);
        exia__release(shown);
    }
}

TEST(the_home_is_what_was_given_else_the_environment_s)
{
    char *home = NULL;
    check_fails(EXIA_EINVAL, exia__home(&home, "", &err));
    check_ok(exia__home(&home, "/given", &err));
    assert_string_equal(home, "/given");
    exia__release(home);
    setenv("EXIA_HOME", "/from/variable", 1);
    check_ok(exia__home(&home, NULL, &err));
    assert_string_equal(home, "/from/variable");
    exia__release(home);
    unsetenv("EXIA_HOME");
    setenv("XDG_DATA_HOME", "/data", 1);
    check_ok(exia__home(&home, NULL, &err));
    assert_string_equal(home, "/data/exia");
    exia__release(home);
    unsetenv("XDG_DATA_HOME");
}

TEST(json_says_where_it_is_wrong_and_refuses_a_key_given_twice)
{
    json_t *json = NULL;
    const char *text = "{\"a\": 1,\n \"a\": 2}";
    check_fails(EXIA_EINVAL,
                exia__json_parse(&json, text, strlen(text), "facts", EXIA_EINVAL, &err));
    check_text("line 2");
    check_fails(EXIA_ECORRUPT, exia__json_object(&json, "[]", 2, "entry", EXIA_ECORRUPT, &err));
    assert_null(json);
}

static exia_status show_number(void *payload, exia_error *error)
{
    char *text = NULL;
    exia_status rc = exia__json_shown(&text, payload, error);
    exia__release(text);
    return rc;
}

TEST(a_number_is_shown_in_the_fewest_digits_that_read_back_and_a_text_as_it_is)
{
    static const char written[] =
        "{\"0.93000000000000005\":[0.93,-1e-7,0.30000000000000004,4.94065645841247e-324,"
        "12345678901234567,1.0],"
        "\"q\":\"\\\"0.93000000000000005\\\\\",\"z\":1.7976931348623157e308}";
    json_t *json = NULL, *again = NULL;
    char *text = NULL;
    check_ok(exia__json_object(&json, written, strlen(written), "facts", EXIA_EINVAL, &err));
    check_ok(exia__json_shown(&text, json, &err));
    assert_string_equal(text, written);
    check_ok(exia__json_object(&again, text, strlen(text), "facts", EXIA_EINVAL, &err));
    assert_true(json_equal(again, json));
    exia__release(text);
    check_survives_no_memory(show_number, json);
    json_decref(again);
    json_decref(json);
}

static exia_status make_rows(void *payload, exia_error *error)
{
    exia_rows *rows = NULL;
    json_t *row = payload;
    exia_status rc = exia__rows_open(&rows, error);
    for (int i = 0; i < 3 && rc == EXIA_OK; i++)
        rc = exia__rows_add(rows, row, error);
    exia_rows_free(rows);
    return rc;
}

TEST(rows_survive_no_memory_and_end_with_done)
{
    json_t *row = json_pack("{s:s}", "text", "a long enough text to make the buffer grow once");
    check_survives_no_memory(make_rows, row);
    json_decref(row);
    exia_rows *rows = NULL;
    const char *text = "";
    check_ok(exia__rows_open(&rows, &err));
    check_done(exia_rows_next(&text, rows, &err));
    assert_null(text);
    check_fails(EXIA_EINVAL, exia_rows_next(NULL, rows, &err));
    exia_rows_free(rows);
}

static int stop(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)done, (void)total;
    return ++*(int *)payload >= 1;
}

TEST(a_job_is_cancelled_by_its_progress_and_ended_by_its_time)
{
    int calls = 0;
    exia_job job = {.struct_size = sizeof job, .progress = stop, .payload = &calls};
    exia__work work;
    check_ok(exia__work_begin(&work, &job, &err));
    check_fails(EXIA_ECANCELLED, exia__work_step(&work, "packing", 1, 2, &err));
    check_ok(exia__work_step(&work, "packing", 1, 2, &err)); /* not again within 100 ms */
    assert_int_equal(calls, 1);
    job = (exia_job){.struct_size = sizeof job, .total_ms = 1};
    check_ok(exia__work_begin(&work, &job, &err));
    while (exia__clock_ms() < work.end_ms)
        continue;
    check_fails(EXIA_ETIMEOUT, exia__work_step(&work, "packing", 1, 2, &err));
    job.total_ms = -1;
    check_fails(EXIA_EINVAL, exia__work_begin(&work, &job, &err));
}

TEST(a_time_is_written_in_utc)
{
    char text[EXIA__TIME_SIZE];
    exia__time_text(text, 951827696789);
    assert_string_equal(text, "2000-02-29T12:34:56.789Z");
    exia__time_text(text, INT64_MAX);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

TEST(a_fork_changes_the_generation_of_the_child_only)
{
    unsigned before = exia__generation();
    pid_t child = fork();
    if (child == 0)
        _exit(exia__generation() != before ? 0 : 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(exia__generation(), before);
}

TEST(a_directory_that_others_may_write_is_not_trusted_and_the_reason_is_told)
{
    char *why = NULL;
    const char *own = check_path("own");
    check_ok(exia__directory_make(own, &err));
    check_ok(exia__trust_path(&why, own, &err));
    assert_null(why);
    assert_int_equal(chmod(own, 0777), 0);
    check_ok(exia__trust_path(&why, own, &err));
    assert_non_null(strstr(why, "mode 777"));
    exia__release(why);
    check_fails(EXIA_ENOTFOUND, exia__trust_path(&why, check_path("none"), &err));
}

TEST(what_lies_in_an_installed_package_is_not_trusted)
{
    char *why = NULL;
    const char *inside = check_path("home/installed/name/1.0/any");
    check_ok(exia__directory_make(inside, &err));
    check_ok(exia__trust_path(&why, inside, &err)); /* of no home: a directory like any other */
    assert_null(why);
    check_ok(exia__file_write(check_path("home/journal.db"), "", 0, 0, &err));
    check_ok(exia__trust_path(&why, inside, &err));
    assert_non_null(strstr(why, "came in a package"));
    exia__release(why);
    check_ok(exia__trust_path(&why, check_path("home"), &err));
    assert_null(why);
}

TEST(a_group_that_is_the_users_alone_may_write_and_any_other_may_not)
{
    char *why = NULL;
    const char *own = check_path("own");
    if (geteuid() != 0)
        skip(); /* nobody else may give a directory to another group */
    check_ok(exia__directory_make(own, &err));
    assert_int_equal(chmod(own, 0775), 0);
    check_ok(exia__trust_path(&why, own, &err)); /* of root's group, which has root alone */
    assert_null(why);
    assert_int_equal(chown(own, (uid_t)-1, 54321), 0);
    assert_int_equal(chmod(own, 0770), 0);
    check_ok(exia__trust_path(&why, own, &err));
    assert_non_null(strstr(why, "mode 770"));
    exia__release(why);
}

TEST(what_a_callback_says_of_its_failure_becomes_one_line_and_what_it_does_not_say_is_told)
{
    static const struct {
        exia_status status;
        const char *text, *shown;
    } rows[] = {{EXIA_EIO, "first\nsecond", "first?second"},
                {EXIA_EIO, "", "a callback failed"},
                {EXIA_OK, "of an earlier call", "a callback failed"},
                {EXIA_EIO, "\x1b[1m\xc2\x9b\xff\xc3\xa9\xe2\x82", "?[1m???\xc3\xa9??"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        exia_error own = {.status = rows[i].status, .native = 7};
        strcpy(own.text, rows[i].text);
        exia__filled(&own, EXIA_EUSER);
        assert_int_equal(own.status, EXIA_EUSER);
        assert_int_equal(own.native, 7);
        assert_string_equal(own.text, rows[i].shown);
    }
    exia_error full = {.status = EXIA_EIO};
    memset(full.text, 'x', sizeof full.text); /* with no NUL */
    exia__filled(&full, EXIA_EIO);
    assert_int_equal(strlen(full.text), sizeof full.text - 1);
}

TEST(an_access_list_that_lets_another_user_write_is_seen)
{
    /* version 2; owner, user 54321, group, mask and others, each {tag, rights, id} */
    static const unsigned char list[] = {
        2,    0, 0, 0,                         /* */
        0x01, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, /* rwx */
        0x02, 0, 7, 0, 0x31, 0xd4, 0,    0,    /* rwx */
        0x04, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, /* r-x */
        0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, /* rwx */
        0x20, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, /* r-x */
    };
    char *why = NULL;
    const char *own = check_path("own");
    check_ok(exia__directory_make(own, &err));
    if (setxattr(own, "system.posix_acl_access", list, sizeof list, 0) != 0)
        skip(); /* a file system without access lists */
    check_ok(exia__trust_path(&why, own, &err));
    assert_non_null(why);
    exia__release(why);
}

TEST(a_policy_that_others_may_write_is_refused)
{
    static const char text[] = "{\"format\": 1, \"packages\": [\"evil\"]}";
    const char *path = check_path("trust.json");
    json_t *policy = NULL;
    check_write_file(path, text, strlen(text));
    assert_int_equal(chmod(path, 0666), 0);
    check_fails(EXIA_EUNTRUSTED, exia__trust_policy(&policy, path, &err));
    assert_non_null(strstr(err.text, "others may write"));
    assert_null(policy);
    assert_int_equal(chmod(path, 0644), 0);
    check_ok(exia__trust_policy(&policy, path, &err));
    json_decref(policy);
    assert_int_equal(unlink(path), 0);
}

TEST(a_broken_policy_is_an_error_and_never_an_empty_one)
{
    static const struct {
        const char *text;
        exia_status status;
    } rows[] = {{"", EXIA_EINVAL},
                {"[]", EXIA_EINVAL},
                {"{}", EXIA_EINVAL},
                {"{\"format\": 2}", EXIA_EVERSION},
                {"{\"format\": 1, \"packages\": \"all\"}", EXIA_EINVAL},
                {"{\"format\": 1, \"packages\": [1]}", EXIA_EINVAL},
                {"{\"format\": 1, \"package\": []}", EXIA_EINVAL}};
    const char *path = check_path("trust.json");
    json_t *policy = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_write_file(path, rows[i].text, strlen(rows[i].text));
        check_fails(rows[i].status, exia__trust_policy(&policy, path, &err));
        assert_null(policy);
    }
    check_fails(EXIA_ENOTFOUND, exia__trust_policy(&policy, check_path("none"), &err));
    setenv("EXIA_HOME", check_directory(), 1);
    assert_int_equal(unlink(path), 0);
    check_ok(exia__trust_policy(&policy, NULL, &err));
    assert_int_equal(json_object_size(policy), 1);
    json_decref(policy);
    unsetenv("EXIA_HOME");
}
