/* Install from a directory of package files: no remote, no records, no network. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/job.h"
#include "support/packages.h"

/* Pack into the directory "shop", by the name that pack gives it. */
static const char *put_in_shop(const char *name, const char *version, const char *needs,
                               const char *content)
{
    const char *made = pack_with(name, version, "any", needs, content);
    const char *file = check_format("%s/%s-%s-any.veda", check_path("shop"), name, version);
    mkdir(check_path("shop"), 0755);
    assert_int_equal(rename(made, file), 0);
    return file;
}

static exia_status install(exia_registry *registry, const char *package)
{
    return exia_registry_install(NULL, registry, package, check_path("shop"), NULL, NULL, &err);
}

TEST(a_package_with_its_needs_comes_out_of_a_directory)
{
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    put_in_shop("base", "1.0", NULL, "one");
    put_in_shop("base", "1.5", NULL, "two");
    put_in_shop("base", "2.0", NULL, "three");
    put_in_shop("app", "1.0", "\"base < 2\"", "app");
    check_ok(exia_registry_plan(&rows, registry, "app", check_path("shop"), NULL, NULL, &err));
    assert_int_equal(rows_count(rows_text(rows)), 2);
    check_ok(install(registry, "app"));
    assert_true(exists("home/installed/base/1.5/any/code/main.py"));
    assert_true(exists("home/installed/app/1.0/any/code/main.py"));
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 2); /* they stay registered */
    assert_int_equal(rows_count(query(registry, NULL, check_path("shop"))), 4);
    check_ok(exia_registry_pull(NULL, registry, "base", check_path("shop"), NULL, NULL, &err));
    assert_int_equal(rows_count(query(registry, "name = 'base'", NULL)), 2);
    exia_registry_free(registry);
}

TEST(a_directory_is_only_read)
{
    exia_registry *registry = open_publisher();
    put_in_shop("base", "1.0", NULL, "one");
    check_fails(EXIA_EUNSUPPORTED,
                exia_registry_push(NULL, registry, "x", check_path("shop"), NULL, NULL, &err));
    check_text("directory");
    check_fails(EXIA_EUNSUPPORTED,
                exia_registry_unregister(registry, "base@1.0", check_path("shop"), &err));
    check_fails(EXIA_EUNSUPPORTED,
                exia_registry_update(registry, "base@1.0", "{}", check_path("shop"), &err));
    check_fails(EXIA_EUNSUPPORTED,
                exia_registry_register(registry, check_path("shop/base-1.0-any.veda"),
                                       check_path("shop"), NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_remote_check(NULL, registry, check_path("shop"), &err));
    exia_registry_free(registry);
}

TEST(what_is_no_directory_of_packages_is_told)
{
    exia_registry *registry = open_home("home");
    check_fails(EXIA_ENOTFOUND, install(registry, "app"));
    check_text("shop");
    mkdir(check_path("shop"), 0755);
    check_fails(EXIA_ENOTFOUND, install(registry, "app"));
    check_text("app is not registered on");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_install(NULL, registry, "app", "shop", NULL, NULL, &err));
    check_text("./shop");
    exia_registry_free(registry);
}

/* Cut short, garbage, empty, something else; a directory and a fifo of that name. */
TEST(broken_files_are_passed_over_and_named_when_they_might_have_helped)
{
    exia_registry *registry = open_home("home");
    put_in_shop("app", "1.0", "\"base >= 2\"", "app");
    put_in_shop("base", "1.0", NULL, "one");
    assert_int_equal(truncate(put_in_shop("base", "2.0", NULL, "two"), 100), 0);
    check_write_file(check_path("shop/garbage-1.0-any.veda"), "garbage", 7);
    check_write_file(check_path("shop/empty-1.0-any.veda"), "", 0);
    check_write_file(check_path("shop/readme.txt"), "hello", 5);
    check_write_file(check_path("shop/.veda"), "hello", 5);
    mkdir(check_path("shop/directory.veda"), 0755);
    assert_int_equal(mkfifo(check_path("shop/fifo-1.0-any.veda"), 0644), 0);
    assert_int_equal(symlink("/nowhere", check_path("shop/link-1.0-any.veda")), 0);
    assert_int_equal(link(put_in_shop("caf", "1.0", NULL, "x"), check_path("shop/caf\xe9.veda")),
                     0);
    check_fails(EXIA_ENOTFOUND, install(registry, "app"));
    check_text("app@1.0 needs \"base >= 2\": of base there is only 1.0 here");
    check_text("base-2.0-any.veda is passed over");
    assert_string_equal(installed(registry, NULL), "");
    check_ok(install(registry, "base"));
    assert_true(exists("home/installed/base/1.0"));
    exia_registry_free(registry);
}

TEST(a_file_whose_payload_is_damaged_is_not_installed)
{
    exia_registry *registry = open_home("home");
    put_in_shop("app", "1.0", "\"base\"", "app");
    const char *file = put_in_shop("base", "1.0", NULL, "a text that is long enough to be hit");
    FILE *stream = fopen(file, "r+b");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, 60, SEEK_SET), 0);
    int byte = fgetc(stream);
    assert_int_equal(fseek(stream, 60, SEEK_SET), 0);
    fputc(byte ^ 0x55, stream);
    assert_int_equal(fclose(stream), 0);
    check_fails(EXIA_ECORRUPT, install(registry, "app"));
    check_text("base-1.0-any.veda");
    assert_string_equal(installed(registry, NULL), "");
    exia_registry_free(registry);
}

TEST(two_files_of_one_identity_are_a_conflict_unless_they_are_the_same)
{
    exia_registry *registry = open_home("home");
    put_in_shop("app", "1.0", "\"base\"", "app");
    put_in_shop("base", "1.0", NULL, "one");
    assert_int_equal(
        rename(pack_with("base", "1.0", "any", NULL, "one"), check_path("shop/another-name.veda")),
        0);
    check_ok(install(registry, "app"));
    check_ok(exia_registry_uninstall(registry, "app", &err));
    check_ok(exia_registry_uninstall(registry, "base", &err));
    check_ok(exia_registry_unregister(registry, "base@1.0", NULL, &err));
    assert_int_equal(rename(pack_with("base", "1.0", "any", NULL, "other"),
                            check_path("shop/another-name.veda")),
                     0);
    check_fails(EXIA_ENOTFOUND, install(registry, "app"));
    check_text("base@1.0 is passed over: two packages have this identity");
    check_fails(EXIA_ECONFLICT, install(registry, "base"));
    exia_registry_free(registry);
}

TEST(other_content_here_than_there_is_never_chosen)
{
    exia_registry *registry = open_home("home");
    put_in_shop("app", "1.0", "\"base\"", "app");
    put_in_shop("base", "1.0", NULL, "there");
    check_ok(exia_registry_register(registry, pack_with("base", "1.0", "any", NULL, "here"), NULL,
                                    NULL, &err));
    check_fails(EXIA_ENOTFOUND, install(registry, "app"));
    check_text("base@1.0 is one package here and another on");
    check_fails(EXIA_ECONFLICT, install(registry, "base"));
    put_in_shop("base", "0.9", NULL, "older");
    check_ok(install(registry, "app"));
    assert_true(exists("home/installed/base/0.9"));
    exia_registry_free(registry);
}

TEST(of_many_files_only_the_tails_are_read)
{
    check_in_memory();
    exia_registry *registry = open_home("home");
    for (int i = 0; i < 150; i++)
        put_in_shop(check_format("p%d", i), "1.0", i < 60 ? check_format("\"p%d\"", i + 1) : NULL,
                    check_format("%d", i));
    exia_rows *rows = NULL;
    int64_t begin = exia__clock_ns();
    check_ok(exia_registry_plan(&rows, registry, "p0", check_path("shop"), NULL, NULL, &err));
    print_message("150 files: %.1f ms\n", (double)(exia__clock_ns() - begin) / 1e6);
    assert_int_equal(rows_count(rows_text(rows)), 61);
    exia_registry_free(registry);
}
