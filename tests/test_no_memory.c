/* Any allocation of the process may fail, also those of SQLite, jansson, zstd and libcrypto: the
 * call says so, nothing crashes, and what is stored is as before or after.
 *
 * The program starts itself anew with the preload; it runs nothing under a sanitizer or valgrind,
 * which bring an allocator of their own. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "support/check.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

static void (*fail_at)(long nth);
static long (*left)(void);

__attribute__((constructor)) static void start_anew(int count, char **arguments)
{
    (void)count;
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    void *symbol = dlsym(RTLD_DEFAULT, "preload_fail_at");
    if (size <= 0 || symbol != NULL || getenv("LD_PRELOAD") != NULL) {
        memcpy(&fail_at, &symbol, sizeof symbol);
        symbol = dlsym(RTLD_DEFAULT, "preload_left");
        memcpy(&left, &symbol, sizeof symbol);
        return;
    }
    self[size] = '\0';
    setenv("LD_PRELOAD", "$ORIGIN/preload_memory.so",
           1); /* the loader takes no path with a space */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1); /* thousands of runs: no disk */
    execv(self, arguments);
}

/* Run `work` with each allocation failing in turn, and `check` after each. */
static void fail_each(exia_status (*work)(const char *directory),
                      void (*check)(const char *, exia_status))
{
    const char *preload = getenv("LD_PRELOAD");
    if (fail_at == NULL && preload != NULL && strstr(preload, "preload_memory") == NULL)
        skip(); /* another preload is in the way: valgrind's */
    assert_non_null(fail_at);
    /* libcrypto initialises itself once, and never again when that fails */
    check_ok(work(check_path("first")));
    for (long nth = 0;; nth++) {
        const char *directory = check_path("work");
        check_reset();
        fail_at(nth);
        exia_status rc = work(directory);
        int reached = left() < 0;
        fail_at(-1);
        if (rc < 0 && (err.status != rc || err.text[0] == '\0'))
            fail_msg("allocation %ld: \"%s\" without a text", nth, exia_status_text(rc));
        check(directory, rc);
        assert_int_equal(exia__tree_remove(directory, NULL), EXIA_OK);
        if (!reached) {
            check_status(EXIA_OK, rc, __FILE__, __LINE__);
            break;
        }
    }
}

static exia_status write_and_read(const char *directory)
{
    static char bytes[20000];
    exia_library *library = NULL;
    exia_model *model = NULL;
    exia_rows *rows = NULL;
    const char *row = NULL;
    exia_view view;
    int64_t version = 0;
    exia_part parts[] = {{.name = "model", .format = "bytes", .data = bytes, .size = sizeof bytes}};
    exia_write_options options = {.struct_size = sizeof options,
                                  .facts =
                                      "{\"metrics\": {\"auc\": 0.5}, \"tags\": {\"a\": \"b\"}}",
                                  .alias = "champion",
                                  .expect = EXIA_ANY};
    exia_status rc = exia_library_open(&library, directory, NULL, &err);
    if (rc == EXIA_OK)
        rc = exia_model_write(&version, library, "m", parts, 1, &options, NULL, &err);
    if (rc == EXIA_OK)
        rc = exia_model_open(&model, library, "m@champion", EXIA_OPEN_VERIFY, &err);
    if (rc == EXIA_OK)
        rc = exia_model_view(&view, model, "model", &err);
    if (rc == EXIA_OK)
        rc = exia_library_search(&rows, library, "metrics.auc >= 0.5 order by version", &err);
    if (rc == EXIA_OK)
        rc = exia_rows_next(&row, rows, &err);
    exia_rows_free(rows);
    exia_model_free(model);
    exia_library_free(library);
    return rc;
}

/* The library opens; what was reported done is there, and nothing is half there. */
static void check_library(const char *directory, exia_status rc)
{
    exia_library *library = NULL;
    exia_model *model = NULL;
    check_ok(exia_library_open(&library, directory, NULL, &err));
    exia_status opened = exia_model_open(&model, library, "m@champion", EXIA_OPEN_VERIFY, &err);
    assert_true(opened == EXIA_OK || (opened == EXIA_ENOTFOUND && rc < 0));
    exia_model_free(model);
    exia_library_free(library);
}

TEST(a_library_survives_every_failing_allocation_of_the_process)
{
    fail_each(write_and_read, check_library);
}

/* A library whose catalogue an older version wrote. */
static exia_status upgrade(const char *directory)
{
    exia_library *library = NULL;
    char *bytes = NULL, path[4200];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/catalog.db", directory);
    exia_status rc = exia__directory_make(directory, &err);
    if (rc == EXIA_OK)
        rc = exia__file_read(&bytes, &size, "tests/golden/schema-1/home/models/catalog.db", 1 << 20,
                             &err);
    if (rc == EXIA_OK)
        rc = exia__file_write(path, bytes, size, 0, &err);
    exia__release(bytes);
    if (rc == EXIA_OK)
        rc = exia_library_open(&library, directory, NULL, &err);
    exia_library_free(library);
    return rc;
}

static void check_upgraded(const char *directory, exia_status rc)
{
    exia_library *library = NULL;
    exia_model *model = NULL;
    if (!exia__path_exists(check_format("%s/catalog.db", directory))) {
        assert_true(rc < 0);
        return;
    }
    check_ok(exia_library_open(&library, directory, NULL, &err));
    check_ok(exia_model_open(&model, library, "digits@1", EXIA_OPEN_VERIFY, &err));
    exia_model_free(model);
    exia_library_free(library);
    assert_true(exia__path_exists(check_format("%s/catalog.db.before-2", directory)));
    assert_false(exia__path_exists(check_format("%s/catalog.db.before-2.1", directory)));
}

TEST(an_upgrade_survives_every_failing_allocation_of_the_process)
{
    fail_each(upgrade, check_upgraded);
}

/* A library to a directory and into another one.  libarchive does not survive this everywhere. */
static exia_library *backed_up;

static exia_status back_up_and_restore(const char *directory)
{
    char backup[4200], target[4200];
    exia_library *other = NULL;
    snprintf(backup, sizeof backup, "%s/backup", directory);
    snprintf(target, sizeof target, "%s/target", directory);
    exia_status rc = exia_library_backup(NULL, backed_up, backup, NULL, NULL, &err);
    if (rc == EXIA_OK)
        rc = exia_library_open(&other, target, NULL, &err);
    if (rc == EXIA_OK)
        rc = exia_library_restore(NULL, other, backup, NULL, NULL, &err);
    exia_library_free(other);
    return rc;
}

/* The other one opens, and has all of it or nothing. */
static void check_restored(const char *directory, exia_status rc)
{
    exia_library *library = NULL;
    exia_model *model = NULL;
    check_ok(exia_library_open(&library, check_format("%s/target", directory), NULL, &err));
    exia_status opened = exia_model_open(&model, library, "m", EXIA_OPEN_VERIFY, &err);
    assert_true(opened == EXIA_OK || (opened == EXIA_ENOTFOUND && rc < 0));
    exia_model_free(model);
    exia_library_free(library);
}

TEST(a_backup_and_a_restore_survive_every_failing_allocation_of_the_process)
{
    exia_part part = {.name = "model", .format = "bytes", .data = "some bytes", .size = 10};
    int64_t version = 0;
    check_ok(exia_library_open(&backed_up, check_path("source"), NULL, &err));
    check_ok(exia_model_write(&version, backed_up, "m", &part, 1, NULL, NULL, &err));
    fail_each(back_up_and_restore, check_restored);
    exia_library_free(backed_up);
}

static exia_status pack_and_install(const char *directory)
{
    char path[3][4200];
    exia_registry *registry = NULL;
    exia_package *package = NULL;
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"workspace", "p.veda", "home"};
        snprintf(path[i], sizeof path[i], "%s/%s", directory, names[i]);
    }
    exia_status rc = exia_workspace_new(path[0], "p", &err);
    if (rc == EXIA_OK)
        rc = exia_package_write(NULL, path[0], path[1], NULL, NULL, &err);
    if (rc == EXIA_OK)
        rc = exia_package_open(&package, path[1], &err);
    if (rc == EXIA_OK)
        rc = exia_package_verify(package, NULL, NULL, &err);
    if (rc == EXIA_OK)
        rc = exia_registry_open(&registry, path[2], &err);
    if (rc == EXIA_OK)
        rc = exia_registry_register(registry, path[1], NULL, NULL, &err);
    if (rc == EXIA_OK)
        rc = exia_registry_install(NULL, registry, "p", NULL, NULL, NULL, &err);
    exia_registry_free(registry);
    exia_package_free(package);
    return rc;
}

/* The home opens, and what is listed as installed lies there. */
static void check_home(const char *directory, exia_status rc)
{
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    const char *row = NULL;
    check_ok(exia_registry_open(&registry, check_format("%s/home", directory), &err));
    check_ok(exia_registry_installed(&rows, registry, NULL, &err));
    exia_status found = exia_rows_next(&row, rows, &err);
    assert_true(found == EXIA_OK || rc < 0);
    assert_int_equal(found == EXIA_OK, exia__path_exists(check_format(
                                           "%s/home/installed/p/0.1.0/any/veda.json", directory)));
    exia_rows_free(rows);
    exia_registry_free(registry);
}

TEST(a_home_survives_every_failing_allocation_of_the_process)
{
    fail_each(pack_and_install, check_home);
}

#else

TEST(a_failing_allocation_of_the_process_is_tried_without_a_sanitizer)
{
    skip();
}

#endif
