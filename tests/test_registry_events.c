/* Events of others, who did not see ours: what all of them make of it together. */
#include <stdlib.h>
#include <unistd.h>

#include "registry/publish.h"
#include "support/packages.h"

static const char digest_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char digest_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/* A register or update of x@1.0#any, as another writer would write it. */
static void write_event(exia__records *records, const char *what, const char *token,
                        const char *supersedes, const char *digest, const char *time,
                        const char *facts)
{
    const char *event = check_format(
        "{\"format\": 1, \"do\": \"%s\", \"token\": \"%s\", \"time\": \"%s\", \"supersedes\": "
        "[%s], "
        "\"digest\": \"%s\", \"file\": \"x-1.0-any.veda\", \"size\": 5, \"key\": "
        "\"packages/%s.veda\", \"signed\": false, \"metadata\": {\"manifest\": {\"name\": \"x\", "
        "\"version\": \"1.0\"}}, \"facts\": %s}",
        what, token, time, supersedes, digest, digest, facts);
    check_ok(exia__records_put(NULL, records, "package", check_format("x/1.0/any/%s", token), event,
                               EXIA_ABSENT, NULL, NULL, &err));
}

TEST(two_digests_under_one_identity_are_a_conflict_that_everybody_sees)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    write_event(records, "register", "t1", "", digest_a, "2026-01-01T00:00:00.000Z", "{}");
    write_event(records, "register", "t2", "", digest_b, "2026-01-02T00:00:00.000Z", "{}");
    check_ok(exia_registry_register(registry, pack("y", "1.0"), NULL, NULL, &err));
    const char *rows = query(registry, NULL, NULL);
    assert_int_equal(rows_count(rows), 2);
    assert_true(has(rows, "\"conflict\":\"two packages have this identity, with digests "
                          "aaaaaaaaaaaa and bbbbbbbbbbbb\""));
    assert_int_equal(rows_count(query(registry, "conflict is null", NULL)), 1);
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_fails(EXIA_ECONFLICT, exia_registry_update(registry, "x", "{}", NULL, &err));
    check_fails(EXIA_ECONFLICT,
                exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    check_ok(exia_registry_register(registry, pack("x", "1.0"), NULL, NULL, &err));
    assert_false(has(query(registry, NULL, NULL), "conflict"));
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(nobody_gets_an_older_version_in_the_place_of_a_conflict)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    check_ok(exia_registry_register(registry, pack("x", "0.9"), NULL, NULL, &err));
    write_event(records, "register", "t1", "", digest_a, "2026-01-01T00:00:00.000Z", "{}");
    write_event(records, "register", "t2", "", digest_b, "2026-01-01T00:00:00.000Z", "{}");
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_ok(exia_registry_install(NULL, registry, "x@0.9", NULL, NULL, NULL, &err));
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(updates_that_did_not_see_each_other_are_one_package_with_the_later_facts)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    write_event(records, "register", "t1", "", digest_a, "2026-01-01T00:00:00.000Z", "{}");
    write_event(records, "update", "t2", "\"t1\"", digest_a, "2026-01-03T00:00:00.000Z",
                "{\"v\": 3}");
    write_event(records, "update", "t3", "\"t1\"", digest_a, "2026-01-02T00:00:00.000Z",
                "{\"v\": 2}");
    const char *rows = query(registry, NULL, NULL);
    assert_int_equal(rows_count(rows), 1);
    assert_true(has(rows, "\"facts\":{\"v\":3}") && !has(rows, "conflict"));
    check_ok(exia_registry_update(registry, "x", "{\"v\": 4}", NULL, &err));
    assert_true(has(query(registry, NULL, NULL), "\"facts\":{\"v\":4}"));
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(records_that_cannot_be_read_spoil_their_own_package_only)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    static const struct {
        const char *key, *json;
        exia_status status;
    } bad[] = {
        {"a/1/any/t", "{\"format\": 2, \"do\": \"register\"}", EXIA_EVERSION},
        {"b/1/any/t",
         "{\"format\": 1, \"do\": \"sell\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": []}",
         EXIA_EVERSION},
        {"c/1/any/t", "{}", EXIA_ECORRUPT},
        {"d/1/any/t",
         "{\"format\": 1, \"do\": \"register\", \"token\": \"other\", \"time\": \"x\", "
         "\"supersedes\": []}",
         EXIA_ECORRUPT},
        {"e/1/any/t",
         "{\"format\": 1, \"do\": \"register\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": "
         "[5]}",
         EXIA_ECORRUPT},
        {"f/1/any/t",
         "{\"format\": 1, \"do\": \"register\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": "
         "[], \"digest\": \"aa\"}",
         EXIA_ECORRUPT},
    };
    for (size_t i = 0; i < 6; i++)
        check_ok(exia__records_put(NULL, records, "package", bad[i].key, bad[i].json, EXIA_ABSENT,
                                   NULL, NULL, &err));
    /* keys that are no identity are passed over */
    check_ok(exia__records_put(NULL, records, "package", "Big/1/any/t", "{}", EXIA_ABSENT, NULL,
                               NULL, &err));
    check_ok(
        exia__records_put(NULL, records, "package", "lonely", "{}", EXIA_ABSENT, NULL, NULL, &err));
    check_ok(exia__records_put(NULL, records, "package", "a/b/c/d/e", "{}", EXIA_ABSENT, NULL, NULL,
                               &err));
    check_ok(exia_registry_register(registry, pack("good", "1.0"), NULL, NULL, &err));
    const char *rows = query(registry, NULL, NULL);
    assert_int_equal(rows_count(rows), 7);
    assert_int_equal(rows_count(query(registry, "conflict is not null", NULL)), 6);
    for (size_t i = 0; i < 6; i++) {
        const char *name = check_format("%c", bad[i].key[0]);
        check_fails(bad[i].status, exia_registry_update(registry, name, "{}", NULL, &err));
        check_fails(bad[i].status,
                    exia_registry_install(NULL, registry, name, NULL, NULL, NULL, &err));
        check_ok(exia_registry_unregister(registry, check_format("%s@1", name), NULL, &err));
    }
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 1);
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(an_event_of_another_package_or_with_a_foreign_key_is_not_believed)
{
    exia_registry *registry = open_home("home");
    exia__records *records = open_records(check_path("home"));
    const char *event = check_format(
        "{\"format\": 1, \"do\": \"register\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": "
        "[], \"digest\": \"%s\", \"file\": \"f\", \"size\": 5, \"key\": \"packages/%s.veda\", "
        "\"metadata\": {\"manifest\": {\"name\": \"x\", \"version\": \"1.0\"}}, \"facts\": {}}",
        digest_a, digest_a);
    check_ok(exia__records_put(NULL, records, "package", "y/1.0/any/t", event, EXIA_ABSENT, NULL,
                               NULL, &err));
    char *elsewhere = strdup(event);
    memcpy(strstr(elsewhere, "packages/"), "secrets_/", 9);
    check_ok(exia__records_put(NULL, records, "package", "x/1.0/any/t", elsewhere, EXIA_ABSENT,
                               NULL, NULL, &err));
    free(elsewhere);
    assert_int_equal(rows_count(query(registry, "conflict is not null", NULL)), 2);
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, registry, "y", NULL, NULL, NULL, &err));
    check_fails(EXIA_ECORRUPT, exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    exia__records_free(records);
    exia_registry_free(registry);
}

TEST(a_signed_file_replaces_an_unsigned_one_of_the_same_content)
{
    exia_registry *registry = open_home_with_remote("home");
    exia_pack_options options = {.struct_size = sizeof options, .level = 19};
    exia__parcel parcel = {.fd = -1};
    exia_transfer moved;
    exia__work work;
    const char *plain = pack("x", "1.0"), *file = check_path("signed.veda"), *workspace = NULL;
    for (int i = 1; workspace == NULL || access(workspace, F_OK) != 0; i++)
        workspace = check_path(check_format("workspace-%d", i));
    check_ok(exia_package_write(NULL, workspace, file, &options, NULL, &err));
    check_ok(exia_registry_register(registry, plain, NULL, NULL, &err));
    check_ok(exia_registry_update(registry, "x", "{\"a\": 1}", NULL, &err));
    check_ok(exia_registry_push(NULL, registry, "x", "prod", NULL, NULL, &err));
    check_ok(exia__work_begin(&work, NULL, &err));
    check_ok(exia__parcel_open(&parcel, file, &work, &err));
    parcel.is_signed = 1; /* as its tail would say */
    exia__side here = exia__side_here(registry);
    check_ok(exia__publish(&moved, registry, &here, &parcel, NULL, &work, &err));
    assert_true(moved.moved == moved.total);
    const char *row = query(registry, NULL, NULL);
    assert_int_equal(rows_count(row), 1);
    assert_true(has(row, "\"signed\":true") && has(row, "\"facts\":{\"a\":1}"));
    check_ok(exia_registry_push(&moved, registry, "x", "prod", NULL, NULL, &err));
    assert_true(moved.moved == moved.total);
    assert_true(has(query(registry, NULL, "prod"), "\"signed\":true"));
    check_ok(exia_registry_register(registry, plain, NULL, NULL, &err)); /* nothing to gain */
    assert_string_equal(query(registry, NULL, NULL), row);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    check_ok(exia_registry_unregister(registry, "x@1.0", NULL, &err));
    assert_int_equal(rmdir(check_path("home/packages/blobs/packages")), 0);
    exia__parcel_free(&parcel);
    exia_registry_free(registry);
}

TEST(two_spellings_of_one_version_are_a_conflict)
{
    exia_registry *one = open_home("one"), *two = open_home("two");
    check_ok(exia_registry_register(one, pack("x", "1.0"), NULL, NULL, &err));
    check_ok(exia_registry_register(two, pack("x", "1.0.0"), NULL, NULL, &err));
    exia__records *from = open_records(check_path("two")), *to = open_records(check_path("one"));
    /* a copy of the other home's event, as if both had been written at one moment */
    const char *row = query(two, NULL, NULL);
    const char *event = check_format(
        "{\"format\": 1, \"do\": \"register\", \"token\": \"t\", \"time\": \"x\", \"supersedes\": "
        "[], \"digest\": \"%.64s\", \"file\": \"f\", \"size\": 5, \"key\": \"packages/%s.veda\", "
        "\"metadata\": {\"manifest\": {\"name\": \"x\", \"version\": \"1.0.0\"}}, \"facts\": {}}",
        strstr(row, "\"digest\":\"") + 10, digest_a);
    check_ok(exia__records_put(NULL, to, "package", "x/1.0.0/any/t", event, EXIA_ABSENT, NULL, NULL,
                               &err));
    assert_int_equal(rows_count(query(one, "conflict is not null", NULL)), 2);
    check_fails(EXIA_ECONFLICT, exia_registry_install(NULL, one, "x", NULL, NULL, NULL, &err));
    check_text("two spellings");
    exia__records_free(from);
    exia__records_free(to);
    exia_registry_free(one);
    exia_registry_free(two);
}
