/* In which library a version was signed: what is taken from one to another, rightly or not. */
#include "support/models.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/trust.h"
#include "model/library.h"

/* The library in `name`, where others may write, with the policy of trust.json. */
static exia_library *open_foreign(const char *name)
{
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options,
                                    .trust_file = check_path("trust.json")};
    check_ok(exia_library_open(&library, check_path(name), &options, &err));
    assert_int_equal(chmod(check_path(name), 0777), 0);
    exia_library_free(library);
    check_ok(exia_library_open(&library, check_path(name), &options, &err));
    return library;
}

static exia_sign_options by(const char *name)
{
    return (exia_sign_options){.struct_size = sizeof(exia_sign_options),
                               .secret_file = check_path(check_format("%s.pem", name))};
}

static void trust(const char *name)
{
    check_ok(exia_key_new(NULL, check_path(check_format("%s.pem", name)), NULL, &err));
    check_ok(exia_key_trust(check_path("trust.json"), name,
                            check_path(check_format("%s.pub", name)), &err));
}

/* "m" in `name`, of one version that alice signed. */
static exia_library *one_signed(const char *name)
{
    exia_library *library = open_foreign(name);
    exia_sign_options alice = by("alice");
    write_model(library, "m", "one", "{\"environment\": {\"python\": \"3\"}}", NULL, 0);
    trust("alice");
    check_ok(exia_model_sign(library, "m@1", &alice, &err));
    return library;
}

static const char *policy_of(exia_model *model)
{
    const char *policy = check_format("%s", exia_model_policy(model));
    exia_model_free(model);
    return policy;
}

static const char *policy_in(exia_library *library)
{
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, "m@1", EXIA_OPEN_VERIFY, &err));
    return policy_of(model);
}

static const char *signed_in(const char *library)
{
    return check_format("\"library\":\"%s\"", library);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("%s is not in %s", part, text);
}

/* Put the second entry of "m" anew, as `text`, where none is. */
static void put_signature(const char *directory, const char *text)
{
    exia__records *records = NULL;
    check_ok(exia__records_open(&records, check_format("sqlite:%s/catalog.db", directory),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_put(NULL, records, "log", "m/log/0000000000000002", text, EXIA_ABSENT,
                               NULL, NULL, &err));
    exia__records_free(records);
}

TEST(what_was_signed_in_one_library_is_nothing_in_another_of_the_same_names)
{
    exia_library *library = one_signed("library");
    exia__records *records = NULL;
    exia_model *model = NULL;
    char *id = NULL;
    int64_t revision = 0;
    assert_has(policy_in(library), "\"trusted\":true");
    exia_library_free(library);
    assert_int_equal(
        system(check_format("cp -r '%s' '%s'", check_path("library"), check_path("other"))), 0);
    check_ok(exia__records_open(&records, check_format("sqlite:%s", check_path("other/catalog.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_get(&id, &revision, records, "library", "id", NULL, &err));
    json_t *record = json_loads(id, 0, NULL);
    json_object_set_new(record, "id", json_string("0123456789abcdef0123456789abcdef"));
    char *text = json_dumps(record, JSON_COMPACT);
    check_ok(exia__records_put(NULL, records, "library", "id", text, revision, NULL, NULL, &err));
    exia__records_free(records);
    assert_int_equal(unlink(check_path("other/blobs/library-id")), 0);
    check_write_file(check_path("other/blobs/library-id"), "0123456789abcdef0123456789abcdef", 32);
    library = open_foreign("other");
    check_fails(EXIA_EUNTRUSTED, exia_model_open(&model, library, "m", EXIA_OPEN_VERIFY, &err));
    check_text("not what was signed");
    exia_library_free(library);
    json_decref(record);
    exia__release(id);
    free(text);
}

TEST(a_version_that_was_restored_keeps_its_signature_and_gets_others)
{
    exia_library *library = one_signed("library");
    const char *home = check_format("%s", library->id);
    check_ok(exia_library_backup(NULL, library, check_path("backup"), NULL, NULL, &err));
    exia_library_free(library);
    library = open_foreign("other");
    check_ok(exia_library_restore(NULL, library, check_path("backup"), NULL, NULL, &err));
    assert_has(policy_in(library), "\"trusted\":true");
    assert_has(policy_in(library), signed_in(home));
    trust("bob");
    exia_sign_options bob = by("bob");
    check_ok(exia_model_sign(library, "m@1", &bob, &err));
    check_ok(exia_key_revoke(check_path("trust.json"), "alice", NULL, &err));
    assert_has(policy_in(library), "\"trusted\":true");
    assert_has(policy_in(library), signed_in(library->id));
    /* what is written here is of this library alone */
    write_model(library, "m", "two", NULL, NULL, 0);
    check_ok(exia_model_sign(library, "m@2", &bob, &err));
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, "m@2", EXIA_OPEN_VERIFY, &err));
    assert_has(policy_of(model), signed_in(library->id));
    exia_library_free(library);
}

TEST(a_signature_from_before_it_named_its_library_still_counts)
{
    exia_library *library = open_foreign("library");
    exia_model *model = NULL;
    char *record = NULL, *signature = NULL;
    size_t size = 0;
    write_model(library, "m", "one", NULL, NULL, 0);
    trust("alice");
    check_ok(exia_model_open(&model, library, "m", EXIA_OPEN_VERIFY, &err));
    check_ok(exia_model_record(&record, model, &err));
    exia_model_free(model);
    const char *named = check_format("\"library\":\"%s\",", library->id);
    char *at = strstr(record, named);
    const char *before = check_format("%.*s%s", (int)(at - record), record, at + strlen(named));
    strstr((char *)before, "version/2")[8] = '1';
    exia_sign_options alice = by("alice");
    check_ok(
        exia__trust_sign(&signature, &alice, "m@1", "version", NULL, before, strlen(before), &err));
    json_t *entry = json_pack("{s:i, s:s, s:s, s:s, s:s, s:n, s:{s:i}, s:s}", "format", 1, "do",
                              "sign", "token", "t", "time", "2100-01-01T00:00:00.000Z", "who", "me",
                              "why", "version", "number", 1, "signature", signature);
    char *text = json_dumps(entry, JSON_COMPACT);
    exia_library_free(library);
    put_signature(check_path("library"), text);
    library = open_foreign("library");
    assert_has(policy_in(library), "\"trusted\":true");
    assert_has(policy_in(library), "\"library\":null");
    check_ok(exia_library_export(library, "m", check_path("out"), NULL, &err));
    exia_library_free(library);
    check_ok(exia_model_open_directory(&model, check_path("out"), check_path("trust.json"),
                                       EXIA_OPEN_VERIFY, &err));
    assert_has(policy_of(model), "\"trusted\":true");
    /* and in a directory of that time, which had the text alone */
    char *version = check_read_file(check_path("out/version.json"), &size);
    json_t *plain = json_loads(version, 0, NULL);
    json_object_set_new(plain, "signatures", json_pack("[s]", signature));
    free(version);
    version = json_dumps(plain, JSON_COMPACT);
    check_write_file(check_path("out/version.json"), version, strlen(version));
    check_ok(exia_model_open_directory(&model, check_path("out"), check_path("trust.json"),
                                       EXIA_OPEN_VERIFY, &err));
    assert_has(policy_of(model), "\"trusted\":true");
    json_decref(plain);
    json_decref(entry);
    free(version);
    free(text);
    exia__release(record);
    exia__release(signature);
}

typedef void edit_fn(json_t *plain);

static json_t *signature_in(json_t *plain)
{
    return json_array_get(json_object_get(plain, "signatures"), 0);
}

static void take_library_away(json_t *plain)
{
    json_object_del(signature_in(plain), "library");
}

static void name_another(json_t *plain)
{
    json_object_set_new(signature_in(plain), "library", json_string("0123"));
}

static void name_a_number(json_t *plain)
{
    json_object_set_new(signature_in(plain), "library", json_integer(7));
}

static void hide_in_the_row(json_t *plain)
{
    json_object_set_new(json_object_get(plain, "version"), "library", json_string("x"));
}

static void hide_a_form_in_the_row(json_t *plain)
{
    json_object_set_new(json_object_get(plain, "version"), "exia", json_string("x"));
}

TEST(a_directory_whose_signature_says_another_library_does_not_open)
{
    static const struct {
        edit_fn *edit;
        exia_status status;
    } rows[] = {{take_library_away, EXIA_EUNTRUSTED},
                {name_another, EXIA_EUNTRUSTED},
                {name_a_number, EXIA_ECORRUPT},
                {hide_in_the_row, EXIA_ECORRUPT},
                {hide_a_form_in_the_row, EXIA_ECORRUPT}};
    exia_library *library = one_signed("library");
    check_ok(exia_library_export(library, "m", check_path("out"), NULL, &err));
    exia_library_free(library);
    size_t size = 0;
    char *version = check_read_file(check_path("out/version.json"), &size);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        exia_model *model = NULL;
        json_t *plain = json_loads(version, 0, NULL);
        rows[i].edit(plain);
        char *text = json_dumps(plain, JSON_COMPACT);
        check_write_file(check_path("out/version.json"), text, strlen(text));
        check_fails(rows[i].status,
                    exia_model_open_directory(&model, check_path("out"), check_path("trust.json"),
                                              EXIA_OPEN_VERIFY, &err));
        json_decref(plain);
        free(text);
    }
    free(version);
}
