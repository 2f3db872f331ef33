/* What drivers in modules get: URLs taken apart, jobs, notes that outlive the process. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/url.h"
#include "conformance/conformance.h"
#include "store/driver.h"

static const exia_core *const core = &exia__core;

/* The suites for drivers are not run here, but the archive that has check_processes wants a target. */
const conformance_target conformance = {.name = "none"};

/* ---- URLs ----------------------------------------------------------------------------------- */

static const char *or_none(const char *text)
{
    return text ? text : "none";
}

/* All parts in one text. */
static const char *apart(const char *text)
{
    exia_url *url = NULL;
    check_ok(core->url_open(&url, text, &err));
    const char *all = check_format("%s|%s|%s|%s|%d|%s", url->scheme, or_none(url->user),
                                   or_none(url->secret), url->host, url->port, url->path);
    for (size_t i = 0; i < url->option_count; i++)
        all = check_format("%s|%s=%s", all, url->options[i].name, url->options[i].value);
    core->release(url);
    return all;
}

TEST(a_url_is_taken_apart_and_decoded)
{
    static const struct {
        const char *url, *parts;
    } rows[] = {
        {"s3+http://host", "s3+http|none|none|host|0|"},
        {"s3+http://host/", "s3+http|none|none|host|0|"},
        {"s3+http://host?a", "s3+http|none|none|host|0||a="},
        {"pg://me@host:65535/db", "pg|me|none|host|65535|db"},
        {"pg://me:@h/", "pg|me||h|0|"},
        {"s3+https://KEY:a%2Fb%3A%40%25+c@h.example:443/b/p%20q/?region=eu%2D1&x=a=b&y=",
         "s3+https|KEY|a/b:@%+c|h.example|443|b/p q/|region=eu-1|x=a=b|y="},
        {"pg://u%40x:se:cret@[::1]:5432/d", "pg|u@x|se:cret|::1|5432|d"},
        {"pg://[fe80::1]/d", "pg|none|none|fe80::1|0|d"},
        {"pg://h/a@b:c?d:e=f@g", "pg|none|none|h|0|a@b:c|d:e=f@g"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(apart(rows[i].url), rows[i].parts);
}

TEST(a_url_that_can_be_read_in_two_ways_is_refused_and_its_secret_never_shown)
{
    static const struct {
        const char *url, *text;
    } rows[] = {
        {"plain/path", "no scheme"},
        {"pg:/h", "\"://\""},
        {"pg://", "no host"},
        {"pg://me:hidden@", "no host"},
        {"pg:///db", "no host"},
        {"pg://:hidden@h", "no user in front"},
        {"pg://@h", "no user in front"},
        {"pg://me:hid@den@h", "two '@'"},
        {"pg://me:hidden/x@h/db", "(a '/' in a secret is %2F)"},
        {"pg://me:hidden?x@h/db", "(a '/' in a secret is %2F)"},
        {"pg://h:0/", "1 to 65535"},
        {"pg://h:/", "1 to 65535"},
        {"pg://h:65536/", "1 to 65535"},
        {"pg://h:99999999999999999999/", "1 to 65535"},
        {"pg://h:8o/", "1 to 65535"},
        {"pg://h!/", "hosts cannot have"},
        {"pg://h%41/", "hosts cannot have"},
        {"pg://[::1/", "IPv6"},
        {"pg://[]/", "IPv6"},
        {"pg://[::1]x/", "hosts cannot have"},
        {"pg://me:hidden%@h/", "two hex digits"},
        {"pg://me:hidden%4@h/", "two hex digits"},
        {"pg://me:hidden%00@h/", "two hex digits"},
        {"pg://h/%zz", "two hex digits"},
        {"pg://h/a b", "written as %XX"},
        {"pg://h/a#b", "written as %XX"},
        {"pg://h/\xc3\xa4", "written as %XX"},
        {"pg://h/a\nb", "written as %XX"},
        {"pg://h/?a=1&a=2", "an option twice"},
        {"pg://h/?a=1&%61=2", "an option twice"},
        {"pg://h/?", "option without a name"},
        {"pg://h/?=1", "option without a name"},
        {"pg://h/?a&", "option without a name"},
    };
    exia_url *url = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_fails(EXIA_EINVAL, core->url_open(&url, rows[i].url, &err));
        check_text(rows[i].text);
        assert_null(url);
        assert_null(strstr(err.text, "den")); /* of "hidden" */
    }
    check_fails(EXIA_EINVAL, core->url_open(&url, NULL, &err));
}

TEST(a_url_shows_itself_without_its_secret)
{
    exia_url *url = NULL;
    check_ok(core->url_open(&url, "pg://me:secret@h:1/d?a=b", &err));
    assert_string_equal(url->shown, "pg://me:***@h:1/d?a=b");
    core->release(url);
}

TEST(what_is_encoded_comes_back_and_only_what_is_kept_stays)
{
    char *text = NULL, *back = NULL;
    check_ok(core->percent_encode(&text, "a/b c~d+e%=&\xc3\xa4", "/", &err));
    assert_string_equal(text, "a/b%20c~d%2Be%25%3D%26%C3%A4");
    check_ok(core->percent_decode(&back, text, &err));
    assert_string_equal(back, "a/b c~d+e%=&\xc3\xa4");
    core->release(text);
    core->release(back);
    check_ok(core->percent_encode(&text, "a/b", "", &err));
    assert_string_equal(text, "a%2Fb");
    core->release(text);
}

static exia_status use_url(void *payload, exia_error *error)
{
    exia_url *url = NULL;
    exia_status rc = core->url_open(&url, payload, error);
    core->release(url);
    return rc;
}

TEST(taking_a_url_apart_survives_that_memory_is_out)
{
    check_survives_no_memory(use_url, (void *)"pg://me:secret@h:1/d?a=b&c");
}

/* ---- jobs ----------------------------------------------------------------------------------- */

TEST(a_job_tells_what_it_allows_and_ends_in_time)
{
    exia_work *work = NULL;
    exia_job job = {.struct_size = sizeof job, .threads = 3, .timeout_ms = 70, .total_ms = 100000};
    check_ok(core->work_open(&work, NULL, &err));
    assert_true(core->work_left(work) == INT64_MAX);
    assert_true(core->work_stall(work) > 0 && core->work_threads(work) > 0);
    core->release(work);
    check_ok(core->work_open(&work, &job, &err));
    assert_in_range(core->work_left(work), 1, 100000);
    assert_int_equal(core->work_stall(work), 70);
    assert_int_equal(core->work_threads(work), 3);
    check_ok(core->work_step(work, "sending", 1, 2, &err));
    core->release(work);
    job.total_ms = 1;
    check_ok(core->work_open(&work, &job, &err));
    while (core->work_left(work) > 0)
        usleep(500);
    check_fails(EXIA_ETIMEOUT, core->work_step(work, "sending", 1, 2, &err));
    core->release(work);
    job.total_ms = -1;
    check_fails(EXIA_EINVAL, core->work_open(&work, &job, &err));
    assert_null(work);
}

/* ---- notes ---------------------------------------------------------------------------------- */

static void use_home(void)
{
    setenv("EXIA_HOME", check_path("home"), 1);
}

static exia_status gather(const char *key, const char *text, void *payload, exia_error *error)
{
    const char **all = payload;
    (void)error;
    *all = check_format("%s %s=%s", *all, key, text);
    return strcmp(key, "last") == 0 ? EXIA_DONE : EXIA_OK;
}

TEST(a_note_is_kept_replaced_listed_and_removed)
{
    char *text = NULL;
    const char *all = "";
    use_home();
    check_fails(EXIA_ENOTFOUND, core->note_get(&text, "s3", "a", &err));
    assert_null(text);
    check_ok(core->note_remove("s3", "a", &err));
    check_ok(core->note_put("s3", "a", "one", &err));
    check_ok(core->note_put("s3", "a", "\"two\" \xc3\xa4", &err));
    check_ok(core->note_put("s3", "b/c", "three", &err));
    check_ok(core->note_put("s3x", "a", "of another", &err));
    check_ok(core->note_get(&text, "s3", "a", &err));
    assert_string_equal(text, "\"two\" \xc3\xa4");
    core->release(text);
    check_ok(core->note_list("s3", gather, &all, &err));
    assert_string_equal(all, " a=\"two\" \xc3\xa4 b/c=three");
    check_ok(core->note_remove("s3", "a", &err));
    check_ok(core->note_put("s3", "last", "", &err));
    check_ok(core->note_put("s3", "zzz", "never told", &err));
    all = "";
    check_ok(core->note_list("s3", gather, &all, &err));
    assert_string_equal(all, " b/c=three last=");
}

TEST(a_note_without_a_good_scope_key_or_text_is_refused)
{
    static const char *const bad[] = {"", "..", "a b", "a//b", "/", NULL};
    char *text = NULL;
    use_home();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(EXIA_EINVAL, core->note_put("s3", bad[i], "x", &err));
        check_fails(EXIA_EINVAL, core->note_put(bad[i], "x", "x", &err));
        check_fails(EXIA_EINVAL, core->note_get(&text, "s3", bad[i], &err));
        check_fails(EXIA_EINVAL, core->note_remove(bad[i], "x", &err));

        check_fails(EXIA_EINVAL, core->note_list(bad[i], gather, NULL, &err));
    }
    check_fails(EXIA_EINVAL, core->note_put("s3", "x", "\xff", &err));
    check_fails(EXIA_EINVAL, core->note_put("s3", "x", "two\nlines", &err));
    check_fails(EXIA_EINVAL, core->note_put("s3", "x", NULL, &err));
}

static int put_notes(int number, void *payload)
{
    (void)payload;
    for (int i = 0; i < 5; i++) {
        char key[32], *text = NULL;
        snprintf(key, sizeof key, "p%d.%d", number, i);
        if (core->note_put("many", key, key, &err) < 0 ||
            core->note_put("many", "shared", key, &err) < 0 ||
            core->note_get(&text, "many", key, &err) < 0 || strcmp(text, key) != 0)
            return 1;
        core->release(text);
    }
    return 0;
}

static exia_status count_note(const char *key, const char *text, void *payload, exia_error *error)
{
    (void)key;
    (void)text;
    (void)error;
    ++*(int *)payload;
    return EXIA_OK;
}

TEST(processes_that_take_notes_at_once_lose_none)
{
    int count = 0;
    use_home();
    check_processes(4, put_notes, NULL);
    check_ok(core->note_list("many", count_note, &count, &err));
    assert_int_equal(count, 21);
}

TEST(a_home_that_cannot_be_written_is_an_error)
{
    check_write_file(check_path("file"), "", 0);
    setenv("EXIA_HOME", check_path("file/home"), 1);
    assert_true(core->note_put("s3", "a", "x", &err) < 0);
    check_text("file");
}
