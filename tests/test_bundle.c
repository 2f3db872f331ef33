/* Bundles: packages with all that they need in one file, from a home to another. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "registry/bundle.h"
#include "support/packages.h"

static const char *export(exia_registry *registry, const char *package, const char *have)
{
    static int number;
    const char *file = check_path(check_format("bundle-%d.tar", ++number));
    const exia_export_options options = {.struct_size = sizeof options, .have = have};
    check_ok(exia_registry_export(NULL, registry, &package, 1, file, &options, NULL, &err));
    return file;
}

/* What became of each package: "name state name state". */
static const char *import(exia_registry *registry, const char *file)
{
    exia_rows *rows = NULL;
    const char *found = "", *row = NULL;
    check_ok(exia_registry_import(&rows, registry, file, NULL, &err));
    while (exia_rows_next(&row, rows, &err) == EXIA_OK) {
        char name[64], state[64];
        const char *at = strstr(row, "\"state\":\"");
        assert_non_null(at);
        assert_int_equal(sscanf(row, "{\"name\":\"%63[^\"]", name), 1);
        assert_int_equal(sscanf(at, "\"state\":\"%63[^\"]", state), 1);
        found = check_format("%s%s%s %s", found, *found ? " " : "", name, state);
    }
    exia_rows_free(rows);
    return found;
}

static const char *have(exia_registry *registry)
{
    char *text = NULL;
    check_ok(exia_registry_have(&text, registry, NULL, NULL, &err));
    const char *lines = check_format("%s", text);
    exia_text_free(text);
    return lines;
}

/* app needs middle, which needs base. */
static exia_registry *open_full(void)
{
    exia_registry *registry = open_home("full");
    add_package(registry, "base", "1.0", NULL);
    add_package(registry, "base", "2.0", NULL);
    add_package(registry, "middle", "1.0", "\"base < 2\"");
    add_package(registry, "app", "1.0", "\"middle >= 1\"");
    add_package(registry, "other", "1.0", NULL);
    return registry;
}

/* ---- bad input ---- */

TEST(null_arguments_of_bundles_are_refused)
{
    exia_registry *registry = open_home("home");
    const char *package = "x", *none = NULL, *file = check_path("b.tar");
    check_fails(EXIA_EINVAL, exia_registry_export(NULL, NULL, &package, 1, file, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_export(NULL, registry, NULL, 1, file, NULL, NULL, &err));
    check_fails(EXIA_EINVAL,
                exia_registry_export(NULL, registry, &package, 0, file, NULL, NULL, &err));
    check_fails(EXIA_EINVAL,
                exia_registry_export(NULL, registry, &none, 1, file, NULL, NULL, &err));
    check_fails(EXIA_EINVAL,
                exia_registry_export(NULL, registry, &package, 1, NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_import(NULL, registry, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_import(NULL, NULL, file, NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_have(NULL, registry, NULL, NULL, &err));
    assert_false(exists("b.tar"));
    exia_registry_free(registry);
}

TEST(what_is_not_registered_is_not_exported_and_leaves_no_file)
{
    exia_registry *registry = open_home("home");
    const char *packages[] = {"lone", "none"}, *needy = "needy", *file = check_path("b.tar");
    add_package(registry, "lone", "1.0", NULL);
    add_package(registry, "needy", "1.0", "\"absent >= 3\"");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_export(NULL, registry, packages, 2, file, NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND,
                exia_registry_export(NULL, registry, &needy, 1, file, NULL, NULL, &err));
    check_text("absent");
    assert_false(exists("b.tar"));
    exia_registry_free(registry);
}

TEST(a_list_of_what_is_had_that_is_none_is_refused_with_its_line)
{
    exia_registry *registry = open_full();
    static const char *const bad[] = {"base", "base@1.0 12", "base@1.0#any",
                                      "\n\nbase@1.0#any xyz"};
    const char *package = "app", *file = check_path("b.tar");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const exia_export_options options = {.struct_size = sizeof options, .have = bad[i]};
        check_fails(EXIA_EINVAL,
                    exia_registry_export(NULL, registry, &package, 1, file, &options, NULL, &err));
        check_text(i == 3 ? "line 3" : "line 1");
    }
    assert_false(exists("b.tar"));
    exia_registry_free(registry);
}

TEST(files_that_are_no_bundles_are_refused)
{
    exia_registry *registry = open_home("home");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_import(NULL, registry, check_path("none"), NULL, &err));
    check_fails(EXIA_EINVAL, exia_registry_import(NULL, registry, check_directory(), NULL, &err));
    check_write_file(check_path("empty"), "", 0);
    check_fails(EXIA_ECORRUPT,
                exia_registry_import(NULL, registry, check_path("empty"), NULL, &err));
    check_fails(EXIA_ECORRUPT, exia_registry_import(NULL, registry, pack("x", "1.0"), NULL, &err));
    check_text("register it");
    char zeros[2048] = "";
    check_write_file(check_path("zeros"), zeros, sizeof zeros);
    check_fails(EXIA_ECORRUPT,
                exia_registry_import(NULL, registry, check_path("zeros"), NULL, &err));
    assert_string_equal(query(registry, NULL, NULL), "");
    exia_registry_free(registry);
}

/* A tar of `list` and, behind it, `size` bytes as the file `name`. */
static const char *forge(const char *list, const char *name, const void *data, size_t size)
{
    static const char zeros[1024];
    const char *path = check_path("forged.tar");
    FILE *file = fopen(path, "wb");
    exia__buffer header = {0};
    assert_non_null(file);
    check_ok(exia__bundle_header(&header, EXIA__BUNDLE_LIST, strlen(list), &err));
    fwrite(header.data, 1, header.size, file);
    fwrite(list, 1, strlen(list), file);
    fwrite(zeros, 1, (512 - strlen(list) % 512) % 512, file);
    if (name != NULL) {
        check_ok(exia__bundle_header(&header, name, size, &err));
        fwrite(header.data, 1, header.size, file);
        fwrite(data, 1, size, file);
        fwrite(zeros, 1, (512 - size % 512) % 512, file);
    }
    fwrite(zeros, 1, sizeof zeros, file);
    assert_int_equal(fclose(file), 0);
    exia__buffer_free(&header);
    return path;
}

static const char hex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* The list of one package, with a member that differs. */
static const char *list_with(const char *member)
{
    return check_format(
        "{\"format\": 1, \"needs\": [], \"packages\": [{\"name\": \"x\", \"version\": "
        "\"1.0\", \"tag\": \"any\", \"digest\": \"%s\", \"file\": \"x.veda\", "
        "\"size\": 5, \"sha256\": \"%s\", \"signed\": false, \"facts\": {}%s}]}",
        hex, hex, member);
}

TEST(a_hostile_list_is_refused)
{
    exia_registry *registry = open_home("home");
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"format\": 1}",
        "{\"format\": 1, \"packages\": {}, \"needs\": []}",
        "{\"format\": \"1\", \"packages\": [], \"needs\": []}",
        "{\"format\": 0, \"packages\": [], \"needs\": []}",
        "{\"format\": 1, \"packages\": [5], \"needs\": []}",
        "{\"format\": 1, \"packages\": [], \"needs\": [{\"name\": \"x\"}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_fails(EXIA_ECORRUPT,
                    exia_registry_import(NULL, registry, forge(bad[i], NULL, "", 0), NULL, &err));
    check_fails(
        EXIA_EVERSION,
        exia_registry_import(NULL, registry,
                             forge("{\"format\": 2, \"packages\": [], \"needs\": []}", NULL, "", 0),
                             NULL, &err));
    static const char *const swaps[][2] = {
        {"\"x\"", "\"../x\""},
        {"\"x\"", "\"X\""},
        {"\"1.0\"", "\"v1\""},
        {"\"any\"", "\"a/b\""},
        {"x.veda", "../x.veda"},
        {"x.veda", "/etc/x"},
        {"x.veda", ".hidden"},
        {"x.veda", ""},
        {"x.veda", "bundle.json"},
        {"\"size\": 5", "\"size\": 0"},
        {"\"size\": 5", "\"size\": -1"},
        {"\"size\": 5", "\"size\": \"5\""},
        {"\"size\": 5", "\"size\": 9223372036854775807"},
        {"false", "0"},
        {"\"facts\": {}", "\"facts\": []"},
        {"0123", "012G"},
        {"\"needs\": []", "\"needs\": [{}]"},
    };
    const char *good = list_with("");
    for (size_t i = 0; i < sizeof swaps / sizeof *swaps; i++) {
        const char *at = strstr(good, swaps[i][0]);
        assert_non_null(at);
        const char *list =
            check_format("%.*s%s%s", (int)(at - good), good, swaps[i][1], at + strlen(swaps[i][0]));
        check_fails(
            EXIA_ECORRUPT,
            exia_registry_import(NULL, registry, forge(list, "x.veda", "hello", 5), NULL, &err));
    }
    assert_string_equal(query(registry, NULL, NULL), "");
    exia_registry_free(registry);
}

TEST(a_package_that_is_none_or_another_is_refused_before_anything_is_registered)
{
    exia_registry *registry = open_home("home"), *full = open_full();
    check_fails(EXIA_ECORRUPT,
                exia_registry_import(NULL, registry, forge(list_with(""), "x.veda", "hello", 5),
                                     NULL, &err));
    const char *file = export(full, "app", NULL);
    size_t size = 0;
    char *bytes = check_read_file(file, &size);
    char *at = strstr(bytes + 512, "\"app\"");
    assert_non_null(at);
    memcpy(at, "\"apq\"", 5);
    check_write_file(file, bytes, size);
    check_fails(EXIA_ECORRUPT, exia_registry_import(NULL, registry, file, NULL, &err));
    check_text("not what the list says");
    assert_string_equal(query(registry, NULL, NULL), "");
    free(bytes);
    exia_registry_free(full);
    exia_registry_free(registry);
}

TEST(a_damaged_bundle_leaves_nothing)
{
    exia_registry *registry = open_home("home"), *full = open_full();
    const char *file = export(full, "app", NULL), *bad = check_path("bad.tar");
    size_t size = 0, begin = 0;
    char *bytes = check_read_file(file, &size);
    for (size_t i = 0; i < 40; i++) {
        check_write_file(bad, bytes, size * i / 40);
        check_fails(EXIA_ECORRUPT, exia_registry_import(NULL, registry, bad, NULL, &err));
    }
    begin = (size_t)(strstr(bytes + 512, "\"needs\"") - bytes) + 32; /* behind the list */
    for (size_t i = begin; i < size; i += 97) {
        bytes[i] ^= 8;
        check_write_file(bad, bytes, size);
        check_fails(EXIA_ECORRUPT, exia_registry_import(NULL, registry, bad, NULL, &err));
        bytes[i] ^= 8;
    }
    bytes = realloc(bytes, size + 1);
    bytes[size] = 0;
    check_write_file(bad, bytes, size + 1);
    check_fails(EXIA_ECORRUPT, exia_registry_import(NULL, registry, bad, NULL, &err));
    check_text("behind its end");
    assert_string_equal(query(registry, NULL, NULL), "");
    assert_false(exists("home/packages/blobs/packages"));
    free(bytes);
    exia_registry_free(full);
    exia_registry_free(registry);
}

TEST(other_content_here_stops_an_import_before_it_begins)
{
    exia_registry *registry = open_home("home"), *full = open_full();
    check_ok(exia_registry_register(registry, pack_with("app", "1.0", "any", NULL, "mine"), NULL,
                                    NULL, &err));
    check_fails(EXIA_EEXISTS,
                exia_registry_import(NULL, registry, export(full, "app", NULL), NULL, &err));
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 1);
    const char *package = "app", *file = check_path("b.tar");
    const exia_export_options options = {.struct_size = sizeof options, .have = have(registry)};
    check_fails(EXIA_EEXISTS,
                exia_registry_export(NULL, full, &package, 1, file, &options, NULL, &err));
    check_text("the other side has app@1.0#any with other content");
    exia_registry_free(full);
    exia_registry_free(registry);
}

TEST(a_package_that_is_damaged_here_is_not_exported)
{
    exia_registry *registry = open_home("home");
    const char *package = "x", *file = check_path("b.tar");
    size_t size = 0;
    check_write_file(file, "as it was", 9);
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    const char *blob = blob_of(registry, NULL, check_path("home/packages/blobs"));
    char *bytes = check_read_file(blob, &size);
    bytes[size / 2] ^= 1;
    chmod(blob, 0644);
    check_write_file(blob, bytes, size);
    check_fails(EXIA_ECORRUPT,
                exia_registry_export(NULL, registry, &package, 1, file, NULL, NULL, &err));
    check_text("is damaged");
    unlink(blob);
    check_fails(EXIA_ENOTFOUND,
                exia_registry_export(NULL, registry, &package, 1, file, NULL, NULL, &err));
    free(bytes);
    bytes = check_read_file(file, &size);
    assert_int_equal(size, 9);
    free(bytes);
    exia_registry_free(registry);
}

/* ---- there and back ---- */

TEST(a_bundle_holds_a_package_with_all_it_needs_and_any_tar_opens_it)
{
    exia_registry *registry = open_home("home"), *full = open_full();
    const char *file = export(full, "app", NULL);
    char names[512] = "";
    FILE *list = popen(check_format("tar -tf '%s'", file), "r");
    assert_non_null(list);
    names[fread(names, 1, sizeof names - 1, list)] = '\0';
    assert_int_equal(pclose(list), 0);
    assert_string_equal(names, "bundle.json\nbase-1.0-any.veda\nmiddle-1.0-any.veda\n"
                               "app-1.0-any.veda\n");
    assert_string_equal(import(registry, file), "base imported middle imported app imported");
    check_ok(exia_registry_install(NULL, registry, "app", NULL, NULL, NULL, &err));
    assert_int_equal(rows_count(installed(registry, NULL)), 3);
    exia_registry_free(full);
    exia_registry_free(registry);
}

TEST(the_same_packages_give_the_same_bytes)
{
    exia_registry *full = open_full();
    size_t one = 0, two = 0;
    char *first = check_read_file(export(full, "app", NULL), &one);
    char *second = check_read_file(export(full, "app", NULL), &two);
    assert_int_equal(one, two);
    assert_memory_equal(first, second, one);
    free(first);
    free(second);
    exia_registry_free(full);
}

TEST(facts_travel_and_those_here_stay)
{
    exia_registry *registry = open_home("home"), *full = open_full();
    check_ok(exia_registry_update(full, "base@1.0", "{\"from\": \"full\"}", NULL, &err));
    const char *file = export(full, "app", NULL);
    import(registry, file);
    assert_int_equal(rows_count(query(registry, "facts.from = 'full'", NULL)), 1);
    check_ok(exia_registry_update(registry, "base@1.0", "{\"from\": \"here\"}", NULL, &err));
    import(registry, file);
    assert_int_equal(rows_count(query(registry, "facts.from = 'here'", NULL)), 1);
    exia_registry_free(full);
    exia_registry_free(registry);
}

TEST(an_import_that_was_cut_short_goes_on)
{
    exia_registry *registry = open_home("home"), *full = open_full();
    const char *file = export(full, "app", NULL);
    import(registry, export(full, "base@1.0", NULL)); /* as far as it came */
    assert_string_equal(import(registry, file), "base there already middle imported app imported");
    assert_string_equal(import(registry, file),
                        "base there already middle there already app there already");
    exia_registry_free(full);
    exia_registry_free(registry);
}

TEST(what_the_other_side_has_is_left_out_and_must_be_there)
{
    exia_registry *registry = open_home("home"), *third = open_home("third"), *full = open_full();
    import(registry, export(full, "middle", NULL));
    const char *rest = export(full, "app", have(registry));
    check_fails(EXIA_ENOTFOUND, exia_registry_import(NULL, third, rest, NULL, &err));
    check_text("was made for a side that has base@1.0#any");
    assert_string_equal(query(third, NULL, NULL), "");
    assert_string_equal(import(registry, rest), "app imported");
    struct stat all, some;
    assert_int_equal(stat(export(full, "app", ""), &all), 0);
    assert_int_equal(stat(rest, &some), 0);
    assert_true(some.st_size < all.st_size);
    assert_string_equal(import(registry, export(full, "app", have(registry))), "");
    exia_registry_free(full);
    exia_registry_free(registry);
    exia_registry_free(third);
}

TEST(several_packages_share_what_they_need)
{
    exia_registry *registry = open_home("home"), *full = open_full();
    const char *packages[] = {"other", "middle", "app", "app@1.0"}, *file = check_path("b.tar");
    check_ok(exia_registry_export(NULL, full, packages, 4, file, NULL, NULL, &err));
    assert_string_equal(import(registry, file),
                        "other imported base imported middle imported app imported");
    exia_registry_free(full);
    exia_registry_free(registry);
}

TEST(a_package_goes_alone_when_asked_to)
{
    exia_registry *registry = open_home("home"), *full = open_full();
    const exia_export_options options = {.struct_size = sizeof options, .only = 1};
    const char *package = "app", *file = check_path("b.tar");
    check_ok(exia_registry_export(NULL, full, &package, 1, file, &options, NULL, &err));
    assert_string_equal(import(registry, file), "app imported");
    exia_registry_free(full);
    exia_registry_free(registry);
}

TEST(what_is_missing_here_comes_from_a_remote)
{
    exia_registry *publisher = open_home_with_remote("publisher"), *full = open_full();
    static const char *const packages[] = {"base@1.0", "middle", "app"};
    exia_registry *empty = open_home_with_remote("empty"), *registry = open_home("home");
    const exia_export_options options = {.struct_size = sizeof options, .remote = "prod"};
    const char *app = "app", *file = check_path("b.tar");
    for (size_t i = 0; i < 3; i++) {
        import(publisher, export(full, packages[i], NULL));
        check_ok(exia_registry_push(NULL, publisher, packages[i], "prod", NULL, NULL, &err));
    }
    check_fails(EXIA_ENOTFOUND, exia_registry_export(NULL, empty, &app, 1, file, NULL, NULL, &err));
    check_ok(exia_registry_export(NULL, empty, &app, 1, file, &options, NULL, &err));
    assert_string_equal(import(registry, file), "base imported middle imported app imported");
    exia_registry_free(publisher);
    exia_registry_free(full);
    exia_registry_free(empty);
    exia_registry_free(registry);
}

TEST(files_of_one_name_are_told_apart)
{
    exia_registry *registry = open_home("home"), *full = open_home("full");
    const char *packages[] = {"a-1@2", "a@1-2"}, *file = check_path("b.tar");
    add_package(full, "a-1", "2", NULL);
    add_package(full, "a", "1-2", NULL);
    check_ok(exia_registry_export(NULL, full, packages, 2, file, NULL, NULL, &err));
    assert_string_equal(import(registry, file), "a-1 imported a imported");
    exia_registry_free(full);
    exia_registry_free(registry);
}

/* ---- no memory ---- */

static exia_status export_and_import(void *payload, exia_error *error)
{
    const char *const *paths = payload, *package = "app";
    exia_registry *from = NULL, *to = NULL;
    exia_rows *out = NULL, *in = NULL;
    char *list = NULL;
    exia_status rc = exia_registry_open(&from, paths[0], error);
    if (rc == EXIA_OK)
        rc = exia_registry_open(&to, paths[1], error);
    if (rc == EXIA_OK)
        rc = exia_registry_have(&list, to, NULL, NULL, error);
    const exia_export_options options = {.struct_size = sizeof options, .have = list};
    if (rc == EXIA_OK)
        rc = exia_registry_export(&out, from, &package, 1, paths[2], &options, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_registry_import(&in, to, paths[2], NULL, error);
    exia_rows_free(out);
    exia_rows_free(in);
    exia_text_free(list);
    exia_registry_free(from);
    exia_registry_free(to);
    return rc;
}

TEST(bundles_survive_a_lack_of_memory)
{
    const char *paths[] = {check_path("full"), check_path("home"), check_path("b.tar")};
    exia_registry *full = open_full(), *home = open_home("home");
    import(home, export(full, "base@1.0", NULL));
    exia_registry_free(full);
    exia_registry_free(home);
    check_survives_no_memory(export_and_import, (void *)paths);
    home = open_home("home");
    assert_int_equal(rows_count(query(home, NULL, NULL)), 3);
    exia_registry_free(home);
}

/* ---- for other platforms ---- */

static void add_for(exia_registry *registry, const char *name, const char *tag, const char *needs)
{
    check_ok(exia_registry_register(registry, pack_with(name, "1.0", tag, needs, tag), NULL, NULL,
                                    &err));
}

/* "name#tag name#tag" of what is exported for the platforms. */
static const char *export_for(exia_registry *registry, const char *package,
                              const char *const *platforms, size_t count)
{
    const exia_export_options options = {
        .struct_size = sizeof options, .platforms = platforms, .platform_count = count};
    exia_rows *rows = NULL;
    const char *found = "", *row = NULL, *file = check_path("for.tar");
    check_ok(exia_registry_export(&rows, registry, &package, 1, file, &options, NULL, &err));
    while (exia_rows_next(&row, rows, &err) == EXIA_OK) {
        char name[64], tag[64];
        assert_int_equal(sscanf(row, "{\"name\":\"%63[^\"]", name), 1);
        assert_int_equal(sscanf(strstr(row, "\"tag\":"), "\"tag\":\"%63[^\"]", tag), 1);
        found = check_format("%s%s%s#%s", found, *found ? " " : "", name, tag);
    }
    exia_rows_free(rows);
    return found;
}

/* app needs lib, which is there for two platforms, of which one needs more. */
static exia_registry *open_platforms(void)
{
    exia_registry *registry = open_home("home");
    add_for(registry, "lib", "linux_one", NULL);
    add_for(registry, "lib", "linux_two", "\"more\"");
    add_for(registry, "more", "linux_two", NULL);
    add_for(registry, "app", "any", "\"lib\"");
    return registry;
}

TEST(a_bundle_is_for_the_platforms_that_are_named)
{
    static const char *const both[] = {"linux_one", "linux_two"};
    exia_registry *registry = open_platforms();
    assert_string_equal(export_for(registry, "app", both, 1), "lib#linux_one app#any");
    assert_string_equal(export_for(registry, "app", both + 1, 1),
                        "more#linux_two lib#linux_two app#any");
    assert_string_equal(export_for(registry, "app", both, 2),
                        "lib#linux_one app#any more#linux_two lib#linux_two");
    assert_string_equal(export_for(registry, "lib", both + 1, 1), "more#linux_two lib#linux_two");
    assert_string_equal(export_for(registry, "lib#linux_two", NULL, 0),
                        "more#linux_two lib#linux_two");
    exia_registry_free(registry);
}

TEST(a_platform_for_which_something_is_missing_is_named)
{
    static const char *const other[] = {"linux_one", "linux_three"};
    static const char *const bad[] = {"Linux/One"};
    exia_export_options options = {
        .struct_size = sizeof options, .platforms = other, .platform_count = 2};
    exia_registry *registry = open_platforms();
    const char *app = "app", *lib = "lib", *file = check_path("for.tar");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_export(NULL, registry, &app, 1, file, &options, NULL, &err));
    check_text("for linux_three: app@1.0 needs \"lib\": there is no lib here");
    check_text("lib 1.0 is for linux_");
    check_fails(EXIA_ENOTFOUND,
                exia_registry_export(NULL, registry, &lib, 1, file, &options, NULL, &err));
    check_text("lib is not registered here for linux_three");
    options.only = 1;
    check_fails(EXIA_ENOTFOUND,
                exia_registry_export(NULL, registry, &lib, 1, file, &options, NULL, &err));
    check_text("lib is not registered here for linux_three");
    options.platforms = bad;
    options.platform_count = 1;
    check_fails(EXIA_EINVAL,
                exia_registry_export(NULL, registry, &app, 1, file, &options, NULL, &err));
    check_text("platform tag");
    options.platforms = NULL;
    check_fails(EXIA_EINVAL,
                exia_registry_export(NULL, registry, &app, 1, file, &options, NULL, &err));
    assert_false(exists("for.tar"));
    exia_registry_free(registry);
}
