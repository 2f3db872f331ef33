/* A whole lock file is installed, or none of it; and several who install with one lose nothing of it. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/packages.h"

enum { PROCESSES = 4, EACH = 5 };

static exia_status install(exia_registry *registry, const char *package, const char *remote,
                           const char *lock, int locked)
{
    const exia_install_options options = {
        .struct_size = sizeof options, .lock = lock, .locked = locked};
    return exia_registry_install(NULL, registry, package, remote, &options, NULL, &err);
}

static const char *text_of(const char *path)
{
    size_t size = 0;
    char *text = check_read_file(path, &size);
    const char *kept = check_format("%s", text);
    free(text);
    return kept;
}

/* app needs base, extra nothing: both were asked for, here, with veda.lock, and are on the remote. */
static exia_registry *open_locked(void)
{
    static const char *const packages[] = {"base", "app", "extra"};
    exia_registry *registry = open_home_with_remote("home");
    const char *lock = check_path("veda.lock");
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "app", "1.0", "\"base >= 1\"");
    add_package(registry, "extra", "1.0", NULL);
    check_ok(install(registry, "app", NULL, lock, 0));
    check_ok(install(registry, "extra", NULL, lock, 0));
    for (size_t i = 0; i < 3; i++)
        check_ok(exia_registry_push(NULL, registry, packages[i], "prod", NULL, NULL, &err));
    return registry;
}

TEST(all_that_a_lock_file_lists_is_installed_and_nothing_newer)
{
    exia_registry *one = open_locked(), *two = open_home_with_remote("other");
    const char *lock = check_path("veda.lock"), *before = text_of(lock);
    const exia_install_options options = {.struct_size = sizeof options, .lock = lock, .locked = 1};
    char *directory = NULL;
    exia_rows *rows = NULL;
    add_package(one, "base", "2.0", NULL);
    check_ok(exia_registry_push(NULL, one, "base@2.0", "prod", NULL, NULL, &err));
    check_ok(exia_registry_plan(&rows, two, NULL, "prod", &options, NULL, &err));
    assert_int_equal(rows_count(rows_text(rows)), 3);
    assert_string_equal(installed(two, NULL), "");
    for (int again = 0; again < 2; again++) {
        check_ok(exia_registry_install(&directory, two, NULL, "prod", &options, NULL, &err));
        assert_string_equal(directory, check_path("other/installed"));
        exia_text_free(directory);
        assert_int_equal(rows_count(installed(two, NULL)), 3);
        assert_true(has(installed(two, "base"), "\"version\":\"1.0\""));
        assert_true(has(installed(two, "base"), "\"requested\":false"));
        assert_true(has(installed(two, "extra"), "\"requested\":true"));
        assert_true(has(installed(two, "app"), "\"resolved\":{\"base\":\"1.0#any\"}"));
        assert_true(exists("other/installed/app/current"));
    }
    assert_string_equal(text_of(lock), before);
    check_ok(exia_registry_uninstall(two, "extra", &err));
    check_ok(install(two, NULL, NULL, lock, 1)); /* it was pulled, and stayed here */
    assert_true(exists("other/installed/extra/1.0"));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_lock_file_that_cannot_be_had_whole_is_refused_and_nothing_is_installed)
{
    exia_registry *one = open_locked(), *two = open_home("other");
    const char *lock = check_path("veda.lock"), *all = text_of(lock);
    check_fails(EXIA_EINVAL, install(two, NULL, NULL, NULL, 0));
    check_fails(EXIA_EINVAL, install(two, NULL, NULL, NULL, 1));
    check_fails(EXIA_EINVAL, install(two, NULL, NULL, lock, 0));
    check_text("only with `locked`");
    check_fails(EXIA_ENOTFOUND, install(two, NULL, NULL, check_path("none.lock"), 1));
    check_text("none.lock");
    /* nobody has it */
    add_package(two, "app", "1.0", "\"base >= 1\"");
    add_package(two, "extra", "1.0", NULL);
    check_fails(EXIA_ENOTFOUND, install(two, NULL, NULL, lock, 1));
    check_text("there is no base here");
    check_text("holds base@1.0#any");
    /* it is another one */
    check_ok(exia_registry_register(two, pack_with("base", "1.0", "any", NULL, "forged"), NULL,
                                    NULL, &err));
    check_fails(EXIA_ECONFLICT, install(two, NULL, NULL, lock, 1));
    check_text("base@1.0");
    check_text("has another");
    check_ok(exia_registry_unregister(two, "base@1.0", NULL, &err));
    add_package(two, "base", "1.0", NULL);
    /* the file does not list what is needed */
    const char *entry = strstr(all, "\"name\": \"base\"");
    size_t begin = (size_t)(entry - all), end = begin;
    while (all[begin] != '{')
        begin--;
    while (all[end] != '}')
        end++;
    const char *less =
        check_format("%.*s%s", (int)begin, all, all + end + 1 + strspn(all + end + 1, ", \n"));
    check_write_file(lock, less, strlen(less));
    check_fails(EXIA_ENOTFOUND, install(two, NULL, NULL, lock, 1));
    check_text("app@1.0 needs \"base >= 1\": there is no base here");
    check_text("does not list base");
    assert_string_equal(installed(two, NULL), "");
    check_write_file(lock, all, strlen(all));
    check_ok(install(two, NULL, NULL, lock, 1));
    assert_int_equal(rows_count(installed(two, NULL)), 3);
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(a_lock_file_that_lists_nothing_installs_nothing)
{
    static const char text[] = "{\"format\": 1, \"packages\": []}";
    exia_registry *registry = open_home("home");
    const char *lock = check_path("veda.lock");
    check_write_file(lock, text, strlen(text));
    check_ok(install(registry, NULL, NULL, lock, 1));
    assert_string_equal(installed(registry, NULL), "");
    assert_string_equal(text_of(lock), text);
    exia_registry_free(registry);
}

/* ---- several at a time ---- */

/* Another install that happens in the midst of one. */
typedef struct meanwhile {
    exia_registry *registry;
    const char *package, *lock;
    int done;
} meanwhile;

static int install_meanwhile(const char *step, uint64_t done, uint64_t total, void *payload)
{
    meanwhile *other = payload;
    (void)done, (void)total;
    if (other->done || strcmp(step, "moving") != 0)
        return 0;
    other->done = 1;
    check_ok(install(other->registry, other->package, NULL, other->lock, 0));
    return 0;
}

static void install_beside(exia_registry *registry, const char *package, meanwhile *other)
{
    const exia_install_options options = {.struct_size = sizeof options, .lock = other->lock};
    const exia_job job = {
        .struct_size = sizeof job, .progress = install_meanwhile, .payload = other};
    check_ok(exia_registry_install(NULL, registry, package, NULL, &options, &job, &err));
    assert_true(other->done);
}

TEST(what_another_install_wrote_meanwhile_stays_in_the_lock_file)
{
    exia_registry *one = open_home("one"), *two = open_home("two");
    meanwhile other = {.registry = two, .package = "b", .lock = check_path("veda.lock")};
    add_package(one, "a", "1.0", NULL);
    add_package(two, "b", "1.0", NULL);
    install_beside(one, "a", &other);
    assert_true(has(text_of(other.lock), "\"a\"") && has(text_of(other.lock), "\"b\""));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(what_another_install_locked_meanwhile_is_taken_then)
{
    exia_registry *one = open_home("one"), *two = open_home("two");
    meanwhile other = {.registry = two, .package = "b", .lock = check_path("veda.lock")};
    add_package(one, "base", "1.0", NULL);
    add_package(one, "base", "2.0", NULL);
    add_package(one, "a", "1.0", "\"base\"");
    add_package(two, "base", "1.0", NULL);
    add_package(two, "b", "1.0", "\"base < 2\"");
    install_beside(one, "a", &other);
    const char *text = text_of(other.lock);
    assert_true(has(text, "\"a\"") && has(text, "\"b\"") && !has(text, "\"2.0\""));
    assert_true(has(installed(one, "a"), "\"resolved\":{\"base\":\"1.0#any\"}"));
    exia_registry_free(one);
    exia_registry_free(two);
}

TEST(an_install_says_that_it_is_done_where_another_locked_what_does_not_fit)
{
    exia_registry *one = open_home("one"), *two = open_home("two");
    meanwhile other = {.registry = two, .package = "b", .lock = check_path("veda.lock")};
    const exia_install_options options = {.struct_size = sizeof options, .lock = other.lock};
    const exia_job job = {
        .struct_size = sizeof job, .progress = install_meanwhile, .payload = &other};
    add_package(one, "base", "1.0", NULL);
    add_package(one, "base", "2.0", NULL);
    add_package(one, "a", "1.0", "\"base >= 2\"");
    add_package(two, "base", "1.0", NULL);
    add_package(two, "b", "1.0", "\"base < 2\"");
    check_fails(EXIA_ENOTFOUND, exia_registry_install(NULL, one, "a", NULL, &options, &job, &err));
    check_text("a is installed, but the lock file is not written: ");
    assert_false(has(text_of(other.lock), "\"a\""));
    assert_true(has(installed(one, "a"), "\"version\":\"1.0\""));
    exia_registry_free(one);
    exia_registry_free(two);
}

static const char *name_of(int process, int i)
{
    return check_format("p%d-%d", process, i);
}

static int install_all(int process)
{
    exia_registry *registry = open_home(check_format("home%d", process));
    for (int i = 0; i < EACH; i++) {
        if (install(registry, name_of(process, i), NULL, check_path("veda.lock"), 0) != EXIA_OK)
            return 1;
    }
    exia_registry_free(registry);
    return 0;
}

TEST(processes_that_install_with_one_lock_file_lose_no_entry)
{
    pid_t children[PROCESSES];
    for (int p = 0; p < PROCESSES; p++) {
        exia_registry *registry = open_home(check_format("home%d", p));
        for (int i = 0; i < EACH; i++)
            add_package(registry, name_of(p, i), "1.0", NULL);
        exia_registry_free(registry);
    }
    for (int p = 0; p < PROCESSES; p++) {
        children[p] = fork();
        if (children[p] == 0)
            _exit(install_all(p));
        assert_true(children[p] > 0);
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status = -1;
        assert_int_equal(waitpid(children[p], &status, 0), children[p]);
        assert_int_equal(status, 0);
    }
    const char *text = text_of(check_path("veda.lock"));
    for (int i = 0; i < PROCESSES * EACH; i++)
        assert_true(has(text, check_format("\"%s\"", name_of(i / EACH, i % EACH))));
}
