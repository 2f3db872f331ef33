/* S3 where something is wrong, on a real server: it is told with what to do about it, and without the secret.  The
 * server is that of s3_server.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/job.h"
#include "drivers/http/given.h"
#include "store/driver.h"
#include "store/store.h"
#include "support/check.h"
#include "support/operate.h"
#include "support/s3_server.h"

EXIA_API exia_driver_entry_fn exia_driver_entry; /* the module's, in this program */

static int64_t skew_ms; /* of the driver's clock */

static int64_t skewed_now_ms(void)
{
    return exia__now_ms() + skew_ms;
}

static void know_the_driver(void)
{
    static exia_core core;
    if (core.struct_size > 0)
        return;
    core = exia__core;
    core.now_ms = skewed_now_ms;
    const exia_driver *driver = exia_driver_entry(&core, &err);
    assert_non_null(driver);
    check_ok(exia_driver_register(driver, &err));
}

/* The server's URL, or with other keys, host, bucket or options; each NULL: as given. */
static const char *url_with(const char *keys, const char *bucket, const char *options)
{
    const char *url = server_url();
    know_the_driver();
    skew_ms = 0;
    const char *at = strrchr(url, '@'), *slash = strrchr(url, '/');
    const char *begin = strstr(url, "://") + 3;
    return check_format("s3+http://%.*s%.*s/%s%s%s", keys ? (int)strlen(keys) : (int)(at - begin),
                        keys ? keys : begin, (int)(slash - at), at, bucket ? bucket : slash + 1,
                        bucket ? "" : strrchr(check_directory(), '/'), options ? options : "");
}

static void check_no_secret(void)
{
    assert_null(strstr(err.text, "wrongone"));
    assert_null(strstr(err.text, "exiasecret"));
}

/* ---- what is wrong is told ------------------------------------------------------------------ */

TEST(what_is_wrong_is_told_with_what_to_do_and_without_the_secret)
{
    const struct {
        const char *keys, *bucket, *options;
        exia_status status;
        const char *text;
    } rows[] = {
        {"exiaadmin:wrongone", NULL, NULL, EXIA_EDENIED, "the secret is not this key's"},
        {"nobody:wrongone", NULL, NULL, EXIA_EDENIED, "the server does not know this key"},
        {NULL, "no-such-bucket", NULL, EXIA_EINVAL, "make it first"},
        {NULL, "", NULL, EXIA_EINVAL, "names no bucket"},
        {NULL, "exia/../x", NULL, EXIA_EINVAL, "a part of its prefix"},
        {NULL, NULL, "?region=eu-nowhere-1", EXIA_EDENIED, "?region="},
        {NULL, NULL, "?region=a%20b", EXIA_EINVAL, "is no region"},
        {NULL, NULL, "?colour=red", EXIA_EINVAL, "no option \"colour\""},
        {"exiaadmin", NULL, NULL, EXIA_EDENIED, "AWS_SECRET_ACCESS_KEY"},
    };
    exia__blobs *blobs = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *url = url_with(rows[i].keys, rows[i].bucket, rows[i].options);
        check_fails(rows[i].status, exia__blobs_open(&blobs, url, EXIA_STORE_READ, NULL, &err));
        check_text(rows[i].text);
        check_no_secret();
        assert_null(blobs);
    }
}

TEST(a_bucket_may_be_named_anything_and_is_not_there)
{
    static const char *const names[] = {"a%20b", "a+b",   "%25", "a=b&c", "%C3%A4",
                                        "%0A",   "a%3Fb", "..",  "%2e",   "UPPER"};
    exia__blobs *blobs = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *url = url_with(NULL, names[i], NULL);
        check_fails(EXIA_EINVAL, exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, NULL, &err));
        check_no_secret();
        assert_null(blobs);
    }
}

TEST(a_remote_whose_bucket_is_not_there_is_not_taken_for_an_empty_one)
{
    const char *url = url_with(NULL, "no-such-bucket", NULL);
    exia_registry *registry = NULL;
    check_ok(exia_registry_open(&registry, check_path("home"), &err));
    check_fails(EXIA_EINVAL,
                exia_registry_remote_add(registry, "depot",
                                         check_format("sqlite:%s", check_path("db")), url, &err));
    check_text("make it first");
    check_no_secret();
    exia_registry_free(registry);
}

TEST(a_clock_that_is_wrong_is_told)
{
    static const int64_t hours[] = {-2, 2};
    exia__blobs *blobs = NULL;
    const char *url = url_with(NULL, NULL, NULL);
    for (size_t i = 0; i < 2; i++) {
        skew_ms = hours[i] * 3600 * 1000;
        check_fails(EXIA_EDENIED, exia__blobs_open(&blobs, url, EXIA_STORE_READ, NULL, &err));
        check_text("set this machine's clock");
        check_no_secret();
    }
    skew_ms = 60 * 1000; /* nobody's clock is quite right */
    check_ok(exia__blobs_open(&blobs, url, EXIA_STORE_READ, NULL, &err));
    exia__blobs_free(blobs);
}

TEST(a_session_token_that_is_none_is_told)
{
    exia__blobs *blobs = NULL;
    const char *url = url_with("", NULL, NULL);
    url = check_format("s3+http://%s", strchr(url, '@') + 1);
    setenv("AWS_ACCESS_KEY_ID", "exiaadmin", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "exiasecret", 1);
    setenv("AWS_SESSION_TOKEN", "wrongone", 1);
    exia_status rc = exia__blobs_open(&blobs, url, EXIA_STORE_READ, NULL, &err);
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    unsetenv("AWS_SESSION_TOKEN");
    if (rc != EXIA_OK) { /* versitygw has none and ignores it */
        check_status(EXIA_EDENIED, rc, __FILE__, __LINE__);
        check_text("AWS_SESSION_TOKEN");
        check_no_secret();
    }
    exia__blobs_free(blobs);
}

TEST(keys_come_from_the_environment_or_the_credentials_file)
{
    exia__blobs *blobs = NULL;
    const char *url = url_with("", NULL, NULL);
    url = check_format("s3+http://%s", strchr(url, '@') + 1);
    const char *home = check_format("%s", getenv("HOME"));
    setenv("HOME", check_directory(), 1);
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    check_fails(EXIA_EDENIED, exia__blobs_open(&blobs, url, EXIA_STORE_READ, NULL, &err));
    check_text("~/.aws/credentials");
    const char *file = check_path("keys");
    const char *text = "# keys\n[other]\naws_access_key_id = nobody\naws_secret_access_key=x\n"
                       "[ default ]\n aws_access_key_id=exiaadmin\r\n"
                       "aws_secret_access_key = exiasecret \n[more]\naws_session_token=x\n";
    check_write_file(file, text, strlen(text));
    setenv("AWS_SHARED_CREDENTIALS_FILE", file, 1);
    check_ok(exia__blobs_open(&blobs, url, EXIA_STORE_READ, NULL, &err));
    exia__blobs_free(blobs);
    setenv("AWS_PROFILE", "other", 1);
    check_fails(EXIA_EDENIED, exia__blobs_open(&blobs, url, EXIA_STORE_READ, NULL, &err));
    setenv("AWS_ACCESS_KEY_ID", "exiaadmin", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "exiasecret", 1);
    check_ok(exia__blobs_open(&blobs, url, EXIA_STORE_READ, NULL, &err));
    exia__blobs_free(blobs);
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    unsetenv("AWS_PROFILE");
    setenv("AWS_SHARED_CREDENTIALS_FILE", check_path("none"), 1);
    check_fails(EXIA_ENOTFOUND, exia__blobs_open(&blobs, url, EXIA_STORE_READ, NULL, &err));
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    setenv("HOME", home, 1);
}

/* ---- certificates ---------------------------------------------------------------------------- */

static void make_certificate(const char *directory, const char *name)
{
    const char *command = check_format(
        "mkdir -p %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        "-days 2 -subj /CN=exia -addext subjectAltName=%s -keyout %s/private.key -out "
        "%s/public.crt 2>/dev/null",
        directory, name, directory, directory);
    assert_int_equal(system(command), 0);
}

static pid_t serving;

static void stop(void)
{
    if (serving > 0)
        kill(serving, SIGTERM);
    serving = 0;
}

/* Start a server of its own, which speaks https. */
static const char *serve(const char *certificates)
{
    static char url[256];
    FILE *told = popen(check_format("EXIA_SERVERS_TLS=%s %s start %s", certificates,
                                    getenv("EXIA_TEST_S3_SERVER"), check_path("server")),
                       "r");
    assert_non_null(told);
    assert_non_null(fgets(url, sizeof url, told));
    pclose(told);
    url[strcspn(url, "\n")] = '\0';
    char *pid = check_read_file(check_path("server/pid"), NULL);
    serving = atoi(pid);
    free(pid);
    atexit(stop); /* a failure ends the test where it is */
    return url;
}

TEST(a_certificate_is_trusted_only_when_its_authority_is_named)
{
    const char *right = check_path("right"), *other = check_path("other");
    exia__blobs *blobs = NULL;
    (void)url_with(NULL, NULL, NULL);
    if (getenv("EXIA_TEST_S3_SERVER") == NULL || access("/usr/bin/openssl", X_OK) != 0)
        skip();
    unsetenv("AWS_CA_BUNDLE");
    unsetenv("SSL_CERT_FILE");
    make_certificate(right, "IP:127.0.0.1");
    make_certificate(other, "IP:127.0.0.1");
    const char *url = serve(right);
    check_fails(EXIA_EUNTRUSTED, exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, NULL, &err));
    check_text("SSL_CERT_FILE");
    check_no_secret();
    const char *cases[] = {
        check_format("%s?ca=%s/public.crt", url, other), /* somebody else's */
        check_format("%s?ca=%s/none", url, other),
        check_format("s3+https://exiaadmin:exiasecret@localhost%s?ca=%s/public.crt",
                     strrchr(url, ':'), right), /* another name */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_fails(EXIA_EUNTRUSTED,
                    exia__blobs_open(&blobs, cases[i], EXIA_STORE_WRITE, NULL, &err));
        check_no_secret();
    }
    check_ok(exia__blobs_open(&blobs, check_format("%s/p?ca=%s/public.crt", url, right),
                              EXIA_STORE_WRITE, NULL, &err));
    for (int what = 0; what < OPERATIONS; what++)
        check_ok(operate(what, blobs, NULL));
    exia__blobs_free(blobs);
    setenv("SSL_CERT_FILE", check_format("%s/public.crt", right), 1);
    check_ok(exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, NULL, &err));
    exia__blobs_free(blobs);
    unsetenv("SSL_CERT_FILE");
    exia_job job = {.struct_size = sizeof job, .total_ms = 2000};
    url = check_format("s3+http://%s", strstr(url, "://") + 3); /* without TLS */
    exia_status rc = exia__blobs_open(&blobs, url, EXIA_STORE_WRITE, &job, &err);
    assert_true(rc < 0 && strstr(err.text, "127.0.0.1") != NULL);
    check_no_secret();
    stop();
}
