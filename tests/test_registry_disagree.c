/* A remote whose records and objects disagree, one lie at a time, met by every call that takes something from
 * there: each says which remote, which object and what is wrong with it, and leaves the home as it was. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/packages.h"

/* The remote "prod" has app@1.0, which needs x, x@1.0 and y@1.0; "home" has them, too. */
static exia_registry *open_shop(void)
{
    exia_registry *registry = open_home_with_remote("home");
    const char *const packages[] = {"y", "x", "app"};
    add_package(registry, "y", "1.0", NULL);
    add_package(registry, "x", "1.0", NULL);
    add_package(registry, "app", "1.0", "\"x >= 1\"");
    for (size_t i = 0; i < sizeof packages / sizeof *packages; i++)
        check_ok(exia_registry_push(NULL, registry, packages[i], "prod", NULL, NULL, &err));
    return registry;
}

static exia_status keep_event(const char *key, const char *json, int64_t revision, void *payload,
                              exia_error *error)
{
    const char **kept = payload;
    (void)revision, (void)error;
    if (has(json, "\"do\":\"unregister\""))
        return EXIA_OK;
    kept[0] = check_format("%s", key);
    kept[1] = check_format("%s", json);
    return EXIA_OK;
}

/* What the record of NAME@1.0 says there. */
static json_t *event_of(const char *name, exia__records **records, const char **key)
{
    const char *kept[2] = {NULL, NULL};
    check_ok(exia__records_open(records, check_format("sqlite:%s", check_path("remote/records.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_scan(*records, "package", check_format("%s/", name), NULL, 0, NULL,
                                keep_event, kept, NULL, &err));
    json_t *event = json_loads(kept[1], 0, NULL);
    assert_non_null(event);
    *key = kept[0];
    return event;
}

static const char *text_of(const char *name, const char *member)
{
    exia__records *records = NULL;
    const char *key = NULL;
    json_t *event = event_of(name, &records, &key);
    const char *text = check_format("%s", json_string_value(json_object_get(event, member)));
    json_decref(event);
    exia__records_free(records);
    return text;
}

/* Let the record of x say something else. */
static void say(const char *member, json_t *value)
{
    exia__records *records = NULL;
    const char *key = NULL;
    json_t *event = event_of("x", &records, &key);
    assert_int_equal(json_object_set_new(event, member, value), 0);
    char *text = json_dumps(event, JSON_COMPACT);
    check_ok(exia__records_put(NULL, records, "package", key, text, EXIA_ANY, NULL, NULL, &err));
    free(text);
    json_decref(event);
    exia__records_free(records);
}

static void say_manifest(const char *member, json_t *value)
{
    exia__records *records = NULL;
    const char *key = NULL;
    json_t *event = event_of("x", &records, &key);
    json_t *metadata = json_incref(json_object_get(event, "metadata"));
    json_object_set_new(json_object_get(metadata, "manifest"), member, value);
    say("metadata", metadata);
    json_decref(event);
    exia__records_free(records);
}

static const char *object_of(const char *name)
{
    return check_path(check_format("remote/packages/%s", text_of(name, "key")));
}

/* ---- the lies ------------------------------------------------------------------------------------ */

static void write_object(const void *data, size_t size)
{
    const char *path = object_of("x");
    unlink(path);
    check_write_file(path, data, size);
}

static void lose(void)
{
    assert_int_equal(unlink(object_of("x")), 0);
}

static void change_size(int more)
{
    size_t size = 0;
    char *bytes = check_read_file(object_of("x"), &size);
    write_object(bytes, more < 0 ? size / 2 : size + 1); /* a NUL stands behind */
    free(bytes);
}

static void cut(void)
{
    change_size(-1);
}

static void lengthen(void)
{
    change_size(1);
}

static void empty(void)
{
    write_object("", 0);
}

static void flip(void)
{
    size_t size = 0;
    char *bytes = check_read_file(object_of("x"), &size);
    bytes[size / 3] ^= 4;
    write_object(bytes, size);
    free(bytes);
}

static void zero(void)
{
    size_t size = 0;
    char *bytes = check_read_file(object_of("x"), &size);
    memset(bytes, 0, size);
    write_object(bytes, size);
    free(bytes);
}

static void exchange(void)
{
    size_t size = 0;
    char *bytes = check_read_file(object_of("y"), &size);
    write_object(bytes, size);
    free(bytes);
}

static void put_directory(void)
{
    const char *path = object_of("x");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void name_another(void)
{
    struct stat info;
    assert_int_equal(stat(object_of("y"), &info), 0);
    say("key", json_string(text_of("y", "key")));
    say("size", json_integer(info.st_size));
}

static void name_nothing(void)
{
    say("key", json_sprintf("packages/%064d.veda", 7));
}

static void claim_more(void)
{
    say("size", json_integer(INT64_C(1) << 60));
}

static void claim_digest(void)
{
    say("digest", json_sprintf("%064d", 7));
}

static void claim_index(void)
{
    say("index", json_sprintf("%064d", 7));
}

static void claim_signed(void)
{
    say("signed", json_true());
}

static void claim_description(void)
{
    say_manifest("description", json_string("something better"));
}

static void claim_needs(void)
{
    say_manifest("dependencies", json_pack("[s]", "y >= 1"));
}

static void claim_path(void)
{
    say("file", json_string("../../x.veda"));
}

static void claim_list(void)
{
    say("facts", json_pack("[s]", "a list"));
}

static void claim_name(void)
{
    say_manifest("name", json_string("y"));
}

static void claim_platform(void)
{
    say_manifest("platform", json_string("linux_aarch64"));
}

/* What a pull of x answers; EXIA_OK where the lie is of no weight. */
static const struct {
    const char *name;
    void (*tell)(void);
    exia_status status;
    const char *text;
    enum { STAYS, HEALED, UNREADABLE } then; /* by a push of who has the package */
} lies[] = {
    {"a lost object", lose, EXIA_ENOTFOUND, "is recorded, but its file packages/", HEALED},
    {"a cut one", cut, EXIA_ECORRUPT, "bytes, and its record says", HEALED},
    {"a longer one", lengthen, EXIA_ECORRUPT, "bytes, and its record says", HEALED},
    {"an empty one", empty, EXIA_ECORRUPT, "has 0 bytes, and its record says", HEALED},
    {"changed bytes", flip, EXIA_ECORRUPT, "holds other bytes than its name says", STAYS},
    {"zeros", zero, EXIA_ECORRUPT, "holds other bytes than its name says", STAYS},
    {"another package", exchange, EXIA_ECORRUPT, "bytes, and its record says", HEALED},
    {"a directory", put_directory, EXIA_ENOTFOUND, "is recorded, but its file packages/", STAYS},
    {"the key of another", name_another, EXIA_ECORRUPT, "is y@1.0#any with digest", STAYS},
    {"a key of nothing", name_nothing, EXIA_ENOTFOUND, "is recorded, but its file packages/",
     HEALED},
    {"an endless size", claim_more, EXIA_ECORRUPT, "bytes, and its record says", HEALED},
    {"another digest", claim_digest, EXIA_ECORRUPT, "its record says x@1.0#any with 000000000000",
     STAYS},
    {"another index", claim_index, EXIA_OK, "", STAYS},
    {"a signature", claim_signed, EXIA_OK, "", STAYS},
    {"a description", claim_description, EXIA_ECORRUPT, "says of it is not what its file says",
     STAYS},
    {"needs", claim_needs, EXIA_ECORRUPT, "says of it is not what its file says", STAYS},
    {"a path", claim_path, EXIA_ECORRUPT, "a record has no digest, key, size, file or facts",
     UNREADABLE},
    {"facts that are a list", claim_list, EXIA_ECORRUPT, "a record has no digest, key", UNREADABLE},
    {"another name", claim_name, EXIA_ECORRUPT, "holds the metadata of another package",
     UNREADABLE},
    {"another platform", claim_platform, EXIA_ECORRUPT, "says of it is not what its file", STAYS},
};
enum { LIES = sizeof lies / sizeof *lies };

/* ---- who meets them ------------------------------------------------------------------------------ */

static void expect(size_t lie, exia_status rc)
{
    if (rc != lies[lie].status || (rc < 0 && !has(err.text, lies[lie].text)) ||
        (rc < 0 && !has(err.text, "prod")))
        fail_msg("%s: %s: %s", lies[lie].name, exia_status_text(rc), err.text);
    check_status(lies[lie].status, rc, __FILE__, __LINE__);
}

/* A host that has nothing of x. */
static exia_registry *fresh_host(void)
{
    static int number;
    return open_home_with_remote(check_format("host%d", ++number));
}

static void nothing_is_left(exia_registry *registry)
{
    const char *home = check_format("%s", exia_registry_home(registry));
    assert_string_equal(query(registry, "name = 'x' or name = 'app'", NULL), "");
    assert_string_equal(installed(registry, NULL), "");
    assert_int_equal(count_records(check_format("%s/journal.db", home), "intent"), 0);
    exia_registry_free(registry);
    FILE *list = popen(
        check_format("ls -A '%s/installed' && ls -A '%s/staging' | grep -v part", home, home), "r");
    assert_int_equal(fgetc(list), EOF);
    pclose(list);
}

TEST(whatever_a_remote_says_a_pull_an_install_and_an_export_take_what_was_packed_or_nothing)
{
    check_in_memory();
    exia_registry_free(open_shop());
    assert_int_equal(
        system(check_format("cp -r '%s' '%s'", check_path("remote"), check_path("good"))), 0);
    for (size_t i = 0; i < LIES; i++) {
        const char *package = "app", *bundle = check_path("app.tar");
        exia_export_options from = {.struct_size = sizeof from, .remote = "prod"};
        lies[i].tell();
        for (int way = 0; way < 4; way++) {
            exia_registry *host = fresh_host();
            exia_transfer_options dry = {sizeof dry, way == 1};
            check_reset();
            exia_status rc =
                way < 2 ? exia_registry_pull(NULL, host, "x", "prod", &dry, NULL, &err)
                : way == 2
                    ? exia_registry_install(NULL, host, "app", "prod", NULL, NULL, &err)
                    : exia_registry_export(NULL, host, &package, 1, bundle, &from, NULL, &err);
            if (way > 1 && lies[i].then == UNREADABLE) {
                check_status(EXIA_ENOTFOUND, rc, __FILE__, __LINE__);
                check_text("x@1.0 is passed over: ");
            } else if (way != 1 || rc < 0) { /* some are found only when all of it is read */
                expect(i, rc);
            }
            assert_int_equal(exists("app.tar"), way == 3 && rc == EXIA_OK);
            unlink(bundle);
            if (rc < 0)
                nothing_is_left(host);
            else
                exia_registry_free(host);
        }
        assert_int_equal(system(check_format("rm -rf '%s' && cp -r '%s' '%s'", check_path("remote"),
                                             check_path("good"), check_path("remote"))),
                         0);
    }
}

TEST(a_push_of_who_has_the_package_heals_what_can_be_seen_from_outside)
{
    check_in_memory();
    exia_registry *registry = open_shop();
    assert_int_equal(
        system(check_format("cp -r '%s' '%s'", check_path("remote"), check_path("good"))), 0);
    for (size_t i = 0; i < LIES; i++) {
        exia_registry *host = fresh_host();
        lies[i].tell();
        check_reset();
        exia_status rc = exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err);
        check_status(rc, rc, __FILE__, __LINE__);
        if (lies[i].then == HEALED) {
            check_status(EXIA_OK, rc, __FILE__, __LINE__);
            check_ok(exia_registry_pull(NULL, host, "x", "prod", NULL, NULL, &err));
        } else {
            check_reset();
            expect(i, exia_registry_pull(NULL, host, "x", "prod", NULL, NULL, &err));
        }
        exia_registry_free(host);
        assert_int_equal(system(check_format("rm -rf '%s' && cp -r '%s' '%s'", check_path("remote"),
                                             check_path("good"), check_path("remote"))),
                         0);
    }
    exia_registry_free(registry);
}

TEST(what_is_unregistered_there_and_pushed_again_is_healed_whatever_its_record_said)
{
    check_in_memory();
    exia_registry *registry = open_shop();
    static void (*const told[])(void) = {claim_description, claim_needs, claim_platform, claim_path,
                                         claim_name,        claim_list,  claim_digest};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        exia_registry *host = fresh_host();
        told[i]();
        check_fails(EXIA_ECORRUPT, exia_registry_pull(NULL, host, "x", "prod", NULL, NULL, &err));
        check_ok(exia_registry_unregister(host, "x@1.0", "prod", &err));
        check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
        check_ok(exia_registry_install(NULL, host, "app", "prod", NULL, NULL, &err));
        check_ok(exia_registry_unregister(registry, "x@1.0", "prod", &err));
        exia_registry_free(host);
        assert_int_equal(exia__tree_remove(check_path("remote"), NULL), 0);
        assert_int_equal(mkdir(check_path("remote"), 0700), 0);
        check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
        check_ok(exia_registry_push(NULL, registry, "app", "prod", NULL, NULL, &err));
    }
    exia_registry_free(registry);
}

TEST(a_repair_takes_nothing_that_lies_and_the_row_says_why)
{
    check_in_memory();
    exia_registry *registry = open_shop();
    exia_check_options repair = {sizeof repair, 0, 1, "prod"};
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    const char *broken = check_path("home/installed/x/1.0/any/code/main.py");
    assert_int_equal(
        system(check_format("cp -r '%s' '%s'", check_path("remote"), check_path("good"))), 0);
    for (size_t i = 0; i < LIES; i++) {
        exia_rows *rows = NULL;
        if (lies[i].status == EXIA_OK)
            continue;
        lies[i].tell();
        check_write_file(broken, "spoilt", 6);
        check_ok(exia_registry_check(&rows, registry, "x", &repair, NULL, &err));
        const char *row = rows_text(rows);
        if (!has(row, "\"repaired\":false") || !has(row, "\"why\":\""))
            fail_msg("%s: %s", lies[i].name, row);
        size_t size = 0;
        char *bytes = check_read_file(broken, &size);
        assert_int_equal(size, 6);
        free(bytes);
        assert_string_equal(query(registry, "name = 'x'", NULL), "");
        assert_int_equal(system(check_format("rm -rf '%s' && cp -r '%s' '%s'", check_path("remote"),
                                             check_path("good"), check_path("remote"))),
                         0);
    }
    exia_rows *rows = NULL;
    check_ok(exia_registry_check(&rows, registry, "x", &repair, NULL, &err));
    assert_true(has(rows_text(rows), "\"repaired\":true"));
    exia_registry_free(registry);
}

TEST(an_object_without_its_record_is_no_package_and_one_that_is_not_whole_is_sent_again)
{
    check_in_memory();
    exia_registry *registry = open_shop(), *host = fresh_host();
    exia_transfer moved;
    check_ok(exia_registry_unregister(registry, "x@1.0", "prod", &err));
    check_fails(EXIA_ENOTFOUND, exia_registry_pull(NULL, host, "x", "prod", NULL, NULL, &err));
    check_text("x is not registered on prod");
    assert_string_equal(query(host, "name = 'x'", "prod"), "");
    check_ok(exia_registry_push(&moved, registry, "x", "prod", NULL, NULL, &err));
    assert_int_equal(moved.moved, 0);
    const char *object = object_of("x");
    check_ok(exia_registry_unregister(registry, "x@1.0", "prod", &err));
    assert_int_equal(chmod(object, 0600), 0);
    assert_int_equal(truncate(object, 100), 0);
    check_ok(exia_registry_push(&moved, registry, "x", "prod", NULL, NULL, &err));
    assert_int_equal(moved.moved, moved.total);
    check_ok(exia_registry_install(NULL, host, "app", "prod", NULL, NULL, &err));
    exia_registry_free(registry);
    exia_registry_free(host);
}
