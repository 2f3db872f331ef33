/* Drivers that come in modules: where they are found, what is refused, many threads, forks. */
#include <dlfcn.h>
#include <libgen.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exia/store.h"
#include "store/store.h"
#include "support/check.h"

EXIA_API extern const char *driver_mode, *driver_schemes;
EXIA_API extern void (*driver_entered)(void);
const char *driver_mode = "", *driver_schemes = "";
void (*driver_entered)(void);

static const char *program_folder(void)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(size > 0);
    self[size] = '\0';
    return check_format("%s", dirname(self));
}

/* Put a copy of a plugin of the tests into `folder` as the module of `system`. */
static const char *install(const char *folder, const char *plugin, const char *system)
{
    size_t size = 0;
    const char *path = check_format("%s/exia_%s.so", folder, system);
    char *bytes = check_read_file(check_format("%s/plugin_%s.so", program_folder(), plugin), &size);
    check_write_file(path, bytes, size);
    free(bytes);
    return path;
}

/* ... in a directory of EXIA_DRIVER_PATH that is this test's own. */
static const char *install_here(const char *plugin, const char *system)
{
    setenv("EXIA_DRIVER_PATH", check_directory(), 1);
    driver_mode = "";
    driver_entered = NULL;
    return install(check_directory(), plugin, system);
}

static exia_status open_url(const char *url)
{
    exia__records *records = NULL;
    exia_status rc = exia__records_open(&records, url, EXIA_STORE_WRITE, NULL, &err);
    exia__records_free(records);
    return rc;
}

/* ---- where ---------------------------------------------------------------------------------- */

TEST(a_module_is_found_on_the_path_and_serves_its_schemes)
{
    install_here("driver", "good");
    setenv("EXIA_DRIVER_PATH", check_format("/no/such/place:%s:/nor/this", check_directory()), 1);
    driver_schemes = "good+one good+two good";
    check_ok(open_url("good+two://host/x"));
    unsetenv("EXIA_DRIVER_PATH"); /* it stays */
    check_ok(open_url("good+one://host/x"));
    check_ok(open_url("good:x"));
    exia_rows *rows = NULL;
    check_ok(exia_store_check(&rows, "good:x", &err));
    exia_rows_free(rows);
}

TEST(a_module_is_found_beside_the_library)
{
    const char *folder = check_format("%s/exia", program_folder());
    unsetenv("EXIA_DRIVER_PATH");
    assert_true(mkdir(folder, 0755) == 0 || access(folder, W_OK) == 0);
    const char *path = install(folder, "driver", "beside");
    driver_schemes = "beside";
    exia_status rc = open_url("beside:x");
    unlink(path);
    check_ok(rc);
}

TEST(a_module_that_is_nowhere_is_named_with_the_places)
{
    unsetenv("EXIA_DRIVER_PATH");
    check_fails(EXIA_EINVAL, open_url("nowhere+http://me:secret@host/x"));
    check_text(check_format("; exia_nowhere.so is not in %s/exia", program_folder()));
    assert_null(strstr(err.text, "secret"));
    setenv("EXIA_DRIVER_PATH", check_directory(), 1);
    check_fails(EXIA_EINVAL, open_url("nowhere:x"));
    check_text("/exia or EXIA_DRIVER_PATH");
    check_fails(EXIA_EINVAL, open_url("a23456789-123456789-123456789-123456789-123456789:x"));
    check_text("40 characters");
}

TEST(a_module_of_our_own_that_is_missing_or_broken_is_named_with_its_packages)
{
    unsetenv("EXIA_DRIVER_PATH");
    check_fails(EXIA_EUNSUPPORTED, open_url("s3+https://me:hidden@host/bucket"));
    check_text("exia_s3.so is not in");
    check_text("libcurl4-openssl-dev");
    assert_null(strstr(err.text, "hidden"));
    const char *path = install_here("driver", "s3");
    check_write_file(path, "not an ELF file", 15);
    check_fails(EXIA_EUNSUPPORTED, open_url("s3+http://host/bucket"));
    check_text("it needs the packages libcurl4 libexpat1");
}

TEST(a_relative_directory_on_the_path_is_refused)
{
    static const char *const bad[] = {"here", "/tmp:here", ":/tmp", "./x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("EXIA_DRIVER_PATH", bad[i], 1);
        check_fails(EXIA_EINVAL, open_url("relative:x"));
        check_text("write absolute directories");
    }
}

/* ---- what is refused ------------------------------------------------------------------------ */

TEST(what_others_may_write_is_not_loaded)
{
    const char *path = install_here("driver", "open");
    driver_schemes = "open";
    assert_int_equal(chmod(path, 0666), 0);
    check_fails(EXIA_EUNTRUSTED, open_url("open:x"));
    check_text("mode 666");
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chmod(check_directory(), 0777), 0);
    check_fails(EXIA_EUNTRUSTED, open_url("open:x"));
    check_text("mode 777");
    assert_int_equal(chmod(check_directory(), 0755), 0);
    check_ok(open_url("open:x"));
}

TEST(what_is_no_module_is_refused)
{
    const char *path = install_here("driver", "text");
    check_write_file(path, "not an ELF file", 15);
    check_fails(EXIA_EUNSUPPORTED, open_url("text:x"));
    check_text("exia_text.so: cannot load ");
    assert_int_equal(mkdir(check_path("exia_folder.so"), 0755), 0);
    check_fails(EXIA_EUNSUPPORTED, open_url("folder:x"));
    install_here("empty", "empty");
    check_fails(EXIA_EINVAL, open_url("empty:x"));
    check_text("no symbol exia_driver_entry");
}

TEST(a_module_whose_driver_does_not_fit_is_refused_and_may_be_asked_again)
{
    static const struct {
        const char *mode, *schemes;
        exia_status status;
        const char *text;
    } rows[] = {
        {"newer", "odd", EXIA_EVERSION, "exia_odd.so: it needs a newer Exia than 0."},
        {"older", "odd", EXIA_EINVAL, "exia_odd.so: the driver's struct_size is"},
        {"silent", "odd", EXIA_EUSER, "exia_odd.so: a callback failed"},
        {"half", "odd", EXIA_EINVAL, "open, close, abandon and check"},
        {"", "odd+http", EXIA_EINVAL, "it has the schemes \"odd+http\", and not odd"},
        {"", "odd s3+http", EXIA_EINVAL, "the scheme s3+http, which is not odd's"},
        {"", "odder odd", EXIA_EINVAL, "the scheme odder, which is not odd's"},
        {"", "od", EXIA_EINVAL, "the scheme od, which is not odd's"},
        {"", "", EXIA_EINVAL, "it has the schemes \"\""},
        {"", "odd odd+!", EXIA_EINVAL, "\"odd+!\" is no scheme"},
    };
    install_here("driver", "odd");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        driver_mode = rows[i].mode;
        driver_schemes = rows[i].schemes;
        check_fails(rows[i].status, open_url("odd:x"));
        check_text(rows[i].text);
    }
    driver_mode = "";
    driver_schemes = "odd";
    check_ok(open_url("odd:x"));
}

static exia_status load_anew(void *payload, exia_error *error)
{
    exia__records *records = NULL;
    (void)payload;
    driver_mode = "silent";
    exia_status rc = exia__records_open(&records, "memory:x", EXIA_STORE_WRITE, NULL, error);
    return rc == EXIA_EUSER ? EXIA_OK : rc; /* the module was asked, and says no */
}

TEST(a_load_survives_that_memory_is_out)
{
    install_here("driver", "memory");
    driver_schemes = "memory";
    check_survives_no_memory(load_anew, NULL);
}

/* ---- threads and forks ---------------------------------------------------------------------- */

static atomic_int entered, released;

static void count_entry(void)
{
    atomic_fetch_add(&entered, 1);
}

static void *open_in_thread(void *payload)
{
    exia__records *records = NULL;
    exia_error own;
    exia_status rc = exia__records_open(&records, payload, EXIA_STORE_WRITE, NULL, &own);
    exia__records_free(records);
    return rc == EXIA_OK ? NULL : payload;
}

TEST(of_threads_that_need_a_module_one_loads_it)
{
    pthread_t threads[8];
    install_here("driver", "crowd");
    driver_schemes = "crowd";
    driver_entered = count_entry;
    atomic_store(&entered, 0);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_in_thread, (void *)"crowd:x"), 0);
    for (size_t i = 0; i < 8; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(atomic_load(&entered), 1);
}

static void linger(void)
{
    atomic_store(&entered, 1);
    while (!atomic_load(&released))
        usleep(1000);
}

static void *release_soon(void *payload)
{
    (void)payload;
    usleep(20000);
    atomic_store(&released, 1);
    return NULL;
}

TEST(a_slow_module_keeps_nobody_waiting_who_needs_another_driver)
{
    pthread_t loader;
    install_here("driver", "slow");
    driver_schemes = "slow";
    driver_entered = linger;
    atomic_store(&entered, 0);
    atomic_store(&released, 0);
    assert_int_equal(pthread_create(&loader, NULL, open_in_thread, (void *)"slow:x"), 0);
    while (!atomic_load(&entered))
        usleep(1000);
    check_ok(open_url(check_format("sqlite:%s", check_path("db"))));
    atomic_store(&released, 1);
    pthread_join(loader, NULL);
}

TEST(a_fork_in_the_middle_of_a_load_leaves_a_child_that_can_load)
{
    pthread_t loader, releaser;
    install_here("driver", "early");
    install(check_directory(), "driver", "late");
    driver_schemes = "early";
    driver_entered = linger;
    atomic_store(&entered, 0);
    atomic_store(&released, 0);
    assert_int_equal(pthread_create(&loader, NULL, open_in_thread, (void *)"early:x"), 0);
    while (!atomic_load(&entered))
        usleep(1000);
    assert_int_equal(pthread_create(&releaser, NULL, release_soon, NULL), 0);
    pid_t pid = fork(); /* waits for the load */
    if (pid == 0) {
        driver_schemes = "late";
        driver_entered = NULL;
        _exit(open_url("late:x") == EXIA_OK && open_url("early:x") == EXIA_OK ? 0 : 1);
    }
    pthread_join(loader, NULL);
    pthread_join(releaser, NULL);
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}
