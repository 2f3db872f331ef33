/* Names, versions, filters, facts and URLs that nobody honest writes, at every entry of the registry: each
 * is refused in one clean line before anything is looked up, and no secret is told. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/name.h"
#include "support/packages.h"

enum { LONG = 10000 };

/* The longest name there may be is of 128 characters. */
static const char *long_text(char first, char rest)
{
    static char text[LONG + 1];
    memset(text, rest, LONG);
    text[0] = first;
    return text;
}

/* No name of a package, no version, no platform tag. */
static const char *const hostile[] = {
    "",           "-rf",           "--help",    ".",       "..",    "../x",
    "x/../../y",  "/etc",          "x y",       "x\ny",    "x\ry",  "x\ty",
    "x\033[31m",  "\033]0;x\a",    "x\x7f",     "x\\y",    "X",     "\xc3\xa9t\xc3\xa9",
    "x\xff\xfe",  "\xe2\x80\xaex", "x\xc2\x9b", "x;y",     "$(id)", "`id`",
    "x'y",        "x\"y",          "x*",        "x%2e%2e", "~root", "x=1",
    "{\"a\": 1}", ":memory:",      "file:x",    "%n%n%s",
};
enum { HOSTILE = sizeof hostile / sizeof *hostile };

/* Every call that takes a package, or a remote; PULL and what follows it take both. */
typedef enum call {
    UNREGISTER,
    UPDATE,
    INSTALL,
    PLAN,
    INSTALLED,
    ACTIVATE,
    UNINSTALL,
    CHECK,
    EXPORT,
    PUSH,
    PULL,
    URL,
    CALLS
} call;

static exia_status ask(call what, exia_registry *registry, const char *package, const char *remote)
{
    exia_rows *rows = NULL;
    char *text = NULL;
    exia_status rc = EXIA_OK;
    check_reset();
    switch (what) {
    case UNREGISTER:
        rc = exia_registry_unregister(registry, package, remote, &err);
        break;
    case UPDATE:
        rc = exia_registry_update(registry, package, "{}", remote, &err);
        break;
    case INSTALL:
        rc = exia_registry_install(&text, registry, package, remote, NULL, NULL, &err);
        break;
    case PLAN:
        rc = exia_registry_plan(&rows, registry, package, remote, NULL, NULL, &err);
        break;
    case INSTALLED:
        rc = exia_registry_installed(&rows, registry, package, &err);
        break;
    case ACTIVATE:
        rc = exia_registry_activate(registry, package, NULL, &err);
        break;
    case UNINSTALL:
        rc = exia_registry_uninstall(registry, package, &err);
        break;
    case CHECK: {
        exia_check_options options = {sizeof options, 0, 1, remote};
        rc = exia_registry_check(&rows, registry, package, &options, NULL, &err);
        break;
    }
    case EXPORT: {
        exia_export_options options = {.struct_size = sizeof options, .remote = remote};
        rc = exia_registry_export(&rows, registry, &package, 1, check_path("bundle.tar"), &options,
                                  NULL, &err);
        break;
    }
    case PUSH:
        rc = exia_registry_push(NULL, registry, package, remote, NULL, NULL, &err);
        break;
    case PULL:
        rc = exia_registry_pull(NULL, registry, package, remote, NULL, NULL, &err);
        break;
    case URL:
        rc = exia_registry_url(&text, registry, package, remote, 60, &err);
        break;
    case CALLS:
        break;
    }
    assert_null(rows);
    assert_null(text);
    return rc;
}

/* What may be shown on any terminal. */
static void check_clean(void)
{
    assert_true(exia__text_valid(err.text, strlen(err.text)));
    assert_null(strchr(err.text, '\033'));
}

static void refuse_everywhere(exia_registry *registry, const char *package)
{
    for (call what = UNREGISTER; what < CALLS; what++) {
        check_status(EXIA_EINVAL, ask(what, registry, package, what < PUSH ? NULL : "prod"),
                     __FILE__, __LINE__);
        check_text("package \"");
        check_clean();
    }
}

TEST(a_package_with_a_hostile_name_version_or_tag_is_refused_by_every_call)
{
    exia_registry *registry = open_publisher();
    for (size_t i = 0; i < HOSTILE; i++) {
        refuse_everywhere(registry, hostile[i]);
        refuse_everywhere(registry, check_format("x@%s", hostile[i]));
        refuse_everywhere(registry, check_format("x@1.0#%s", hostile[i]));
        refuse_everywhere(registry, check_format("%s@1.0#any", hostile[i]));
    }
    refuse_everywhere(registry, long_text('x', 'x'));
    refuse_everywhere(registry, check_format("x@%s", long_text('1', '0')));
    refuse_everywhere(registry, check_format("x@1.0#%s", long_text('a', 'a')));
    refuse_everywhere(registry, "x@1.0@2.0");
    refuse_everywhere(registry, "x@1.0#any#any");
    refuse_everywhere(registry, "x#any@1.0");
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 1);
    assert_false(exists("bundle.tar"));
    exia_registry_free(registry);
}

TEST(a_package_that_is_null_is_refused_by_every_call_but_those_that_mean_all)
{
    exia_registry *registry = open_publisher();
    for (call what = UNREGISTER; what < CALLS; what++) {
        if (what != INSTALLED && what != CHECK)
            check_status(EXIA_EINVAL, ask(what, registry, NULL, what < PUSH ? NULL : "prod"),
                         __FILE__, __LINE__);
    }
    exia_registry_free(registry);
}

TEST(a_remote_that_is_none_is_refused_by_every_call_and_named)
{
    exia_registry *registry = open_publisher();
    exia_rows *rows = NULL;
    char *text = NULL;
    for (size_t i = 0; i < HOSTILE; i++) {
        if (exists("nothing") || strchr(hostile[i], '/') || strspn(hostile[i], ".") > 0)
            continue; /* a directory of packages */
        for (call what = UNREGISTER; what < CALLS; what++) {
            if (what == INSTALLED || what == ACTIVATE || what == UNINSTALL || what == CHECK)
                continue; /* takes none, or asks it only when something is broken */
            check_status(EXIA_EINVAL,
                         ask(what, registry, what == PUSH ? "x@1.0" : "y@1.0", hostile[i]),
                         __FILE__, __LINE__);
            check_clean();
        }
        check_fails(EXIA_EINVAL,
                    exia_registry_register(registry, pack("y", "1"), hostile[i], NULL, &err));
        check_fails(EXIA_EINVAL, exia_registry_query(&rows, registry, NULL, hostile[i], &err));
        check_fails(EXIA_EINVAL, exia_registry_have(&text, registry, hostile[i], NULL, &err));
        check_fails(EXIA_EINVAL, exia_registry_remote_check(&rows, registry, hostile[i], &err));
        check_fails(EXIA_EINVAL, exia_registry_remote_remove(registry, hostile[i], &err));
        check_fails(EXIA_EINVAL, exia_registry_remote_add(registry, hostile[i], "/r", "/r", &err));
        check_clean();
    }
    exia_registry_free(registry);
}

TEST(an_unknown_remote_is_not_found_by_any_call_and_the_text_says_what_to_do)
{
    exia_registry *registry = open_publisher();
    exia_rows *rows = NULL;
    char *text = NULL;
    for (call what = UNREGISTER; what < CALLS; what++) {
        const char *package = what == PUSH ? "x@1.0" : "y@1.0";
        if (what == INSTALLED || what == ACTIVATE || what == UNINSTALL || what == CHECK)
            continue;
        check_status(EXIA_ENOTFOUND, ask(what, registry, package, "nowhere"), __FILE__, __LINE__);
        check_text("there is no remote \"nowhere\": add it first");
    }
    check_fails(EXIA_ENOTFOUND, exia_registry_query(&rows, registry, NULL, "nowhere", &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_have(&text, registry, "nowhere", NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_remote_check(&rows, registry, "nowhere", &err));
    check_fails(EXIA_ENOTFOUND,
                exia_registry_register(registry, pack("y", "1"), "nowhere", NULL, &err));
    exia_registry_free(registry);
}

TEST(what_another_tool_writes_for_a_version_or_a_file_is_told_in_ours)
{
    static const struct {
        const char *package, *hint;
    } habits[] = {
        {"x==1.0", "x@1.0"},
        {"x=1.0", "x@1.0"},
        {"x:1.0", "x@1.0"},
        {"x 1.0", "x@1.0"},
        {"x>=1.0", "dependencies"},
        {"x<2", "dependencies"},
        {"x@>=1.0", "x@1.0"},
        {"./x-1.0-any.veda", "register it first"},
        {"dir/x.veda", "register it first"},
        {"x@latest", "write x for the newest"},
    };
    exia_registry *registry = open_publisher();
    for (size_t i = 0; i < sizeof habits / sizeof *habits; i++) {
        check_fails(EXIA_EINVAL, exia_registry_install(NULL, registry, habits[i].package, NULL,
                                                       NULL, NULL, &err));
        check_text(habits[i].hint);
    }
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, registry, "x-1.0-any.veda", NULL, NULL, NULL, &err));
    check_text("register it first");
    exia_registry_free(registry);
}

/* ---- files and facts ------------------------------------------------------------------------- */

TEST(a_directory_a_device_and_a_pipe_are_no_packages_and_do_not_hold_the_caller_up)
{
    exia_registry *registry = open_publisher();
    assert_int_equal(mkfifo(check_path("fifo"), 0600), 0);
    assert_int_equal(mkdir(check_path("folder"), 0700), 0);
    const char *files[] = {check_directory(), check_path("fifo"),   "/dev/null",
                           "/dev/zero",       check_path("folder"), "",
                           "/dev/full",       "/proc/self/mem"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        for (int away = 0; away < 2; away++) {
            check_reset();
            exia_status rc =
                exia_registry_register(registry, files[i], away ? "prod" : NULL, NULL, &err);
            assert_true(rc < 0);
            check_status(rc, rc, __FILE__, __LINE__);
        }
        check_reset();
        assert_true(exia_registry_import(NULL, registry, files[i], NULL, &err) < 0);
    }
    check_fails(EXIA_EINVAL,
                exia_registry_register(registry, check_path("folder"), NULL, NULL, &err));
    check_text("pack it first");
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 1);
    exia_registry_free(registry);
}

TEST(facts_that_are_no_object_are_refused_and_those_before_stay)
{
    exia_registry *registry = open_publisher();
    const char *deep = check_format("{\"a\": %s", long_text('[', '['));
    const char *bad[] = {NULL,
                         "",
                         "[]",
                         "1",
                         "null",
                         "{",
                         "{\"a\"}",
                         "{'a': 1}",
                         "{\"a\": 1, \"a\": 2}",
                         "{\"a\": NaN}",
                         "{\"a\": \"\xff\"}",
                         "{\"a\": \"\\ud800\"}",
                         "{\"a\\u0000\": 1}",
                         deep,
                         "{} {}"};
    check_ok(exia_registry_update(registry, "x", "{\"kept\": 1}", NULL, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        check_fails(EXIA_EINVAL, exia_registry_update(registry, "x", bad[i], NULL, &err));
        check_clean();
        check_fails(EXIA_EINVAL, exia_registry_update(registry, "x", bad[i], "prod", &err));
    }
    assert_true(has(query(registry, NULL, NULL), "\"facts\":{\"kept\":1}"));
    check_ok(exia_registry_update(registry, "x",
                                  "{\"\\u001b[31m\": \"../..\", \"\": [1e308, -0.0]}", NULL, &err));
    exia_registry_free(registry);
}

/* ---- secrets --------------------------------------------------------------------------------- */

static const char *const with_secret[] = {
    "s3+http://user:%s@127.0.0.1:1/b",
    "s3+http://user:%s@127.0.0.1:99999/b",
    "s3+http://user:%s@127.0.0.1:1/",
    "s3+http://user:%s@",
    "s3+http://user:%s@/b",
    "s3+http://:%s@h/b",
    "s3+http://user:%s@h h/b",
    "s3+http://user:%s%%zz@h/b",
    "s3+http://user:a@%s@h/b",
    "s3+http://user:a/%s@h/b",
    "s3+http://user:a?%s@h/b",
    "s3+http://user:a#%s@h/b",
    "s3+http://user:a@b/%s@h/b",
    "s3+http:user:%s@h/b",
    "s3+http:/user:%s@h/b",
    "s3+htp://user:%s@h/b",
    "s3://user:%s@h/b",
    "S3+HTTP://user:%s@h/b",
    "https://user:%s@h/b",
    "postgresql://user:%s@h/b",
    "file://user:%s@h/b",
    "file:s3+http://user:%s@h/b",
    "user:%s@h/b",
};

TEST(a_secret_in_a_url_is_neither_in_an_error_nor_in_a_list)
{
    exia_registry *registry = open_publisher();
    const exia_job job = {.struct_size = sizeof job, .total_ms = 50};
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(check_directory()), 0); /* some are the names of files */
    for (size_t i = 0; i < sizeof with_secret / sizeof *with_secret; i++) {
        exia_rows *rows = NULL;
        const char *url = check_format(with_secret[i], "s3cr3t");
        for (int side = 0; side < 2; side++) {
            check_reset();
            exia_status rc = exia_registry_remote_add(registry, "odd", side ? url : "/r",
                                                      side ? "/r" : url, &err);
            if (has(err.text, "s3cr3t"))
                fail_msg("%s: %s", url, err.text);
            check_status(rc, rc, __FILE__, __LINE__);
            check_ok(exia_registry_remotes(&rows, registry, &err));
            const char *list = rows_text(rows);
            if (has(list, "s3cr3t"))
                fail_msg("%s is listed as %s", url, list);
            if (rc < 0)
                continue;
            exia_registry_pull(NULL, registry, "x", "odd", NULL, &job, &err);
            if (has(err.text, "s3cr3t"))
                fail_msg("%s: %s", url, err.text);
            exia_registry_push(NULL, registry, "x", "odd", NULL, &job, &err);
            if (has(err.text, "s3cr3t"))
                fail_msg("%s: %s", url, err.text);
            check_ok(exia_registry_remote_remove(registry, "odd", &err));
        }
    }
    assert_int_equal(chdir(here), 0);
    exia_registry_free(registry);
}
