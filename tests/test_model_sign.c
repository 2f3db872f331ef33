/* Signed versions: whose signature makes a foreign model trusted, and what a forger tries. */
#include "support/models.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "model/library.h"

static const char facts[] =
    "{\"metrics\": {\"auc\": 0.1, \"loss\": 2}, \"tags\": {\"team\": \"cv\"}, "
    "\"imports\": [\"numpy\"], \"environment\": {\"python\": \"3\"}}";

/* The library in `name`, where others may write, with the policy of trust.json. */
static exia_library *open_foreign(const char *name)
{
    exia_library *library = NULL;
    exia_library_options options = {.struct_size = sizeof options,
                                    .trust_file = check_path("trust.json")};
    if (access(check_path(name), F_OK) == 0)
        assert_int_equal(chmod(check_path(name), 0777), 0);
    check_ok(exia_library_open(&library, check_path(name), &options, &err));
    return library;
}

static void new_key(const char *name)
{
    check_ok(exia_key_new(NULL, check_path(check_format("%s.pem", name)), NULL, &err));
}

static void trust(const char *name)
{
    check_ok(exia_key_trust(check_path("trust.json"), name,
                            check_path(check_format("%s.pub", name)), &err));
}

static exia_status sign(exia_library *library, const char *selector, const char *key)
{
    exia_sign_options options = {.struct_size = sizeof options,
                                 .secret_file = check_path(check_format("%s.pem", key))};
    return exia_model_sign(library, selector, &options, &err);
}

/* "m" with two versions, both signed by alice, who is trusted. */
static exia_library *two_signed(void)
{
    exia_library *library = open_library();
    write_model(library, "m", "one", facts, "champion", EXIA_ANY);
    write_model(library, "m", "two", facts, NULL, 0);
    new_key("alice");
    trust("alice");
    check_ok(sign(library, "m@1", "alice"));
    check_ok(sign(library, "m@2", "alice"));
    exia_library_free(library);
    return open_foreign("library");
}

static const char *policy_of(exia_library *library, const char *selector, unsigned flags)
{
    exia_model *model = NULL;
    check_ok(exia_model_open(&model, library, selector, flags, &err));
    const char *policy = check_format("%s", exia_model_policy(model));
    exia_model_free(model);
    return policy;
}

static const char *record_of(const exia_model *model)
{
    char *record = NULL;
    check_ok(exia_model_record(&record, model, &err));
    const char *text = check_format("%s", record);
    exia_text_free(record);
    return text;
}

static const char *signatures_of(exia_library *library, const char *selector)
{
    exia_model *model = NULL;
    exia_rows *rows = NULL;
    check_ok(exia_model_open(&model, library, selector, 0, &err));
    check_ok(exia_model_signatures(&rows, model, &err));
    exia_model_free(model);
    return rows_text(rows);
}

static int has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* ---- what is refused ------------------------------------------------------------------------ */

TEST(nothing_is_signed_without_a_version_a_key_and_the_right_to_write)
{
    exia_library *library = open_library(), *reader = NULL;
    exia_library_options read_only = {.struct_size = sizeof read_only, .read_only = 1};
    write_model(library, "m", "one", NULL, NULL, 0);
    new_key("alice");
    check_fails(EXIA_EINVAL, sign(NULL, "m", "alice"));
    check_fails(EXIA_EINVAL, sign(library, NULL, "alice"));
    check_fails(EXIA_ENOTFOUND, sign(library, "other", "alice"));
    check_fails(EXIA_ENOTFOUND, sign(library, "m@2", "alice"));
    check_fails(EXIA_ENOTFOUND, sign(library, "m", "nobody"));
    check_ok(exia_library_open(&reader, check_path("library"), &read_only, &err));
    check_fails(EXIA_EDENIED, sign(reader, "m", "alice"));
    exia_library_free(reader);
    exia_sign_options odd = {
        .struct_size = sizeof odd, .secret_file = check_path("alice.pem"), .comment = "two\nlines"};
    check_fails(EXIA_EINVAL, exia_model_sign(library, "m", &odd, &err));
    odd = (exia_sign_options){.struct_size = sizeof odd, .message = "two\nlines"};
    check_fails(EXIA_EINVAL, exia_model_sign(library, "m", &odd, &err));
    assert_string_equal(signatures_of(library, "m"), "");
    exia_library_free(library);
}

TEST(a_version_whose_bytes_are_not_its_own_is_not_signed)
{
    enum { SIZE = 100000 };
    static char bytes[SIZE + 1];
    memset(bytes, 'x', SIZE);
    exia_library *library = open_library();
    write_model(library, "m", bytes, NULL, NULL, 0);
    new_key("alice");
    assert_int_equal(
        system(check_format(
            "find '%s' -size +50k -name '[0-9a-f]*' -exec sh -c 'chmod 600 \"$1\"; printf y "
            "| dd of=\"$1\" conv=notrunc 2>&1' sh '{}' ';' | grep -q .",
            check_path("library/blobs"))),
        0);
    check_fails(EXIA_ECORRUPT, sign(library, "m", "alice"));
    exia_library_free(library);
}

TEST(a_signature_made_elsewhere_is_taken_only_when_it_is_good)
{
    exia_library *library = two_signed();
    exia_sign_options given = {.struct_size = sizeof given};
    const char *rows = signatures_of(library, "m@2"), *at = strstr(rows, "\"signature\":\"");
    char *text = (char *)check_format("%s", at + 13);
    *strchr(text, '"') = '\0';
    for (char *line = text; (line = strstr(line, "\\n")) != NULL;) {
        *line = '\n';
        memmove(line + 1, line + 2, strlen(line + 2) + 1);
    }
    given.signature = text;
    check_fails(EXIA_EUNTRUSTED, exia_model_sign(library, "m@1", &given, &err));
    check_text("not of this version");
    check_ok(exia_model_sign(library, "m@2", &given, &err));
    given.signature = "nonsense";
    check_fails(EXIA_EUNTRUSTED, exia_model_sign(library, "m@1", &given, &err));
    given.signature = text;
    check_ok(exia_key_revoke(check_path("trust.json"), "alice", NULL, &err));
    check_fails(EXIA_EUNTRUSTED, exia_model_sign(library, "m@2", &given, &err));
    check_text("revoked");
    check_write_file(check_path("trust.json"), "{\"format\": 1}", 13);
    check_fails(EXIA_EUNTRUSTED, exia_model_sign(library, "m@2", &given, &err));
    check_text("not trusted");
    exia_library_free(library);
}

TEST(a_trust_file_that_cannot_be_read_closes_the_door)
{
    exia_library *library = two_signed();
    exia_model *model = NULL;
    exia_rows *rows = NULL;
    check_ok(exia_model_open(&model, library, "m", EXIA_OPEN_VERIFY, &err));
    check_write_file(check_path("trust.json"), "{", 1);
    check_fails(EXIA_EINVAL, exia_model_signatures(&rows, model, &err));
    exia_model_free(model);
    check_fails(EXIA_EINVAL, exia_model_open(&model, library, "m", EXIA_OPEN_VERIFY, &err));
    assert_int_equal(unlink(check_path("trust.json")), 0);
    check_fails(EXIA_ENOTFOUND, exia_model_open(&model, library, "m", EXIA_OPEN_VERIFY, &err));
    exia_library_free(library);
}

/* ---- what a signature is worth -------------------------------------------------------------- */

TEST(a_foreign_version_is_trusted_by_a_trusted_key_once_its_bytes_were_compared)
{
    exia_library *library = two_signed();
    write_model(library, "m", "three", NULL, NULL, 0);
    const char *mapped = policy_of(library, "m@champion", 0);
    assert_true(has(mapped, "\"trusted\":false") && has(mapped, "\"by\":\"alice\"") &&
                has(mapped, "were compared"));
    const char *verified = policy_of(library, "m@champion", EXIA_OPEN_VERIFY);
    assert_true(has(verified, "\"trusted\":true") && has(verified, "\"comment\":\"m@1 2"));
    const char *unsigned_one = policy_of(library, "m@3", EXIA_OPEN_VERIFY);
    assert_true(has(unsigned_one, "\"trusted\":false") && !has(unsigned_one, "signed"));
    exia_library_free(library);
    /* a signature is no key to a library whose policy does not list it, and the reason tells its id */
    check_write_file(check_path("trust.json"), "{\"format\": 1}", 13);
    library = open_foreign("library");
    const char *unknown = policy_of(library, "m@1", EXIA_OPEN_VERIFY);
    assert_true(has(unknown, "\"trusted\":false") && has(unknown, "which is not trusted"));
    exia_library_free(library);
}

TEST(a_revoked_key_counts_no_more_and_the_policy_says_so)
{
    exia_library *library = two_signed();
    new_key("bob");
    check_ok(sign(library, "m@1", "bob"));
    check_ok(exia_key_revoke(check_path("trust.json"), "alice", "it was lost", &err));
    const char *policy = policy_of(library, "m@1", EXIA_OPEN_VERIFY);
    assert_true(has(policy, "\"trusted\":false") && has(policy, "was revoked: it was lost"));
    const char *rows = signatures_of(library, "m@1");
    assert_true(has(rows, "\"state\":\"revoked\"") && has(rows, "\"state\":\"unknown\""));
    trust("bob");
    policy = policy_of(library, "m@1", EXIA_OPEN_VERIFY);
    assert_true(has(policy, "\"trusted\":true") && has(policy, "\"by\":\"bob\""));
    exia_library_free(library);
}

TEST(a_library_of_ones_own_needs_no_signature_and_shows_them)
{
    exia_library *library = two_signed();
    exia_library_free(library);
    assert_int_equal(chmod(check_path("library"), 0755), 0);
    setenv("EXIA_HOME", check_directory(), 1);
    library = open_library();
    assert_string_equal(policy_of(library, "m", 0), "{\"trusted\":true}");
    assert_true(has(signatures_of(library, "m"), "\"state\":\"good\""));
    exia_rows *rows = NULL;
    check_ok(exia_library_history(&rows, library, "m", &err));
    assert_true(has(rows_text(rows), "\"do\":\"sign\""));
    exia_library_free(library);
    unsetenv("EXIA_HOME");
}

TEST(the_record_is_what_the_header_says_to_the_byte)
{
    exia_library *library = open_library();
    exia_model *model = NULL;
    char *record = NULL;
    check_fails(EXIA_EINVAL, exia_model_record(NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_model_record(&record, NULL, &err));
    exia_rows *none = NULL;
    check_fails(EXIA_EINVAL, exia_model_signatures(&none, NULL, &err));
    write_model(library, "m", "foo",
                "{\"params\": {\"b\": [1, 2.0, 1e30, 0.1], \"a\": \"\\u00e9/\\\"\\n\\u0001\"}}",
                "a", EXIA_ANY);
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    const char *text = record_of(model);
    json_t *row = json_loads(exia_model_facts(model), 0, NULL);
    const char *expected = check_format(
        "{\"environment\":null,\"exia\":\"version/2\",\"imports\":[],\"library\":\"%s\","
        "\"metrics\":{},\"name\":\"m\","
        "\"params\":{\"a\":\"\xc3\xa9/\\\"\\n\\u0001\",\"b\":[1,2.0,1e30,"
        "0.10000000000000001]},\"parent\":null,\"parts\":[{\"format\":\"bytes\",\"name\":\"model\","
        "\"sha256\":\"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\","
        "\"size\":3}],\"tags\":{},\"time\":\"%s\",\"version\":1,\"who\":\"%s\",\"why\":null}",
        library->id, json_string_value(json_object_get(row, "time")),
        json_string_value(json_object_get(row, "who")));
    assert_string_equal(text, expected);
    json_decref(row);
    exia_model_free(model);
    /* aliases move, the record stays */
    check_ok(exia_alias_move(library, "m", "b", 1, EXIA_ANY, NULL, &err));
    check_ok(exia_model_open(&model, library, "m", 0, &err));
    assert_string_equal(record_of(model), text);
    exia_model_free(model);
    exia_library_free(library);
}

/* ---- a forged log --------------------------------------------------------------------------- */

typedef void edit_fn(json_t *entries);

/* Write the log of "m" into a library that passes for the same, as `edit` leaves it. */
static exia_library *forge(edit_fn *edit)
{
    exia__records *from = NULL, *to = NULL;
    json_t *entries = json_array(), *entry = NULL;
    char *id = NULL;
    size_t i = 0;
    assert_int_equal(system(check_format("mkdir '%s' && cp -r '%s' '%s'", check_path("forged"),
                                         check_path("library/blobs"), check_path("forged"))),
                     0);
    check_ok(exia__records_open(&from, check_format("sqlite:%s", check_path("library/catalog.db")),
                                EXIA_STORE_READ, NULL, &err));
    check_ok(exia__records_open(&to, check_format("sqlite:%s", check_path("forged/catalog.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_get(&id, NULL, from, "library", "id", NULL, &err));
    check_ok(exia__records_put(NULL, to, "library", "id", id, EXIA_ABSENT, NULL, NULL, &err));
    exia__release(id);
    for (int seq = 1; seq <= 4; seq++) {
        char *text = NULL;
        check_ok(exia__records_get(&text, NULL, from, "log", check_format("m/log/%016d", seq), NULL,
                                   &err));
        assert_int_equal(json_array_append_new(entries, json_loads(text, 0, NULL)), 0);
        exia__release(text);
    }
    edit(entries);
    json_array_foreach(entries, i, entry)
    {
        char *text = json_dumps(entry, JSON_COMPACT);
        check_ok(exia__records_put(NULL, to, "log", check_format("m/log/%016d", (int)i + 1), text,
                                   EXIA_ABSENT, NULL, NULL, &err));
        free(text);
    }
    json_decref(entries);
    exia__records_free(from);
    exia__records_free(to);
    return open_foreign("forged");
}

static json_t *version(json_t *entries, size_t at)
{
    return json_object_get(json_array_get(entries, at), "version");
}

static void leave(json_t *entries)
{
    (void)entries;
}

static void swap_records(json_t *entries)
{
    json_t *first = json_incref(version(entries, 0)), *second = json_incref(version(entries, 1));
    json_object_set_new(first, "number", json_integer(2));
    json_object_set_new(second, "number", json_integer(1));
    json_object_set(json_array_get(entries, 0), "version", second);
    json_object_set(json_array_get(entries, 1), "version", first);
    json_decref(first);
    json_decref(second);
}

static void swap_signatures(json_t *entries)
{
    json_object_set_new(version(entries, 2), "number", json_integer(2));
    json_object_set_new(version(entries, 3), "number", json_integer(1));
}

static void replace_part(json_t *entries)
{
    json_object_set(version(entries, 1), "parts", json_object_get(version(entries, 0), "parts"));
}

static void replace_bytes(json_t *entries)
{
    json_t *part = json_array_get(json_object_get(version(entries, 1), "parts"), 0);
    json_object_set_new(part, "inline", json_string("dHdP"));
}

static void replace_format(json_t *entries)
{
    json_t *part = json_array_get(json_object_get(version(entries, 1), "parts"), 0);
    json_object_set_new(part, "format", json_string("safetensors"));
}

static void replace_metrics(json_t *entries)
{
    json_object_set_new(json_object_get(version(entries, 1), "metrics"), "auc", json_real(0.99));
}

static void add_a_tag(json_t *entries)
{
    json_object_set_new(json_object_get(version(entries, 1), "tags"), "approved", json_true());
}

static void replace_imports(json_t *entries)
{
    json_object_set_new(version(entries, 1), "imports", json_pack("[s]", "os"));
}

static void replace_environment(json_t *entries)
{
    json_object_set_new(version(entries, 1), "environment", json_null());
}

static void replace_author(json_t *entries)
{
    json_object_set_new(json_array_get(entries, 1), "who", json_string("root@vault"));
}

static void replace_reason(json_t *entries)
{
    json_object_set_new(json_array_get(entries, 1), "why", json_string("reviewed"));
}

static void spoil_signature(json_t *entries)
{
    json_object_set_new(json_array_get(entries, 3), "signature", json_string("trust me"));
}

TEST(whatever_a_forger_changes_in_a_signed_version_it_does_not_open)
{
    static edit_fn *const edits[] = {swap_records,    swap_signatures,     replace_part,
                                     replace_format,  replace_metrics,     add_a_tag,
                                     replace_imports, replace_environment, replace_author,
                                     replace_reason,  spoil_signature};
    exia_library_free(two_signed());
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        exia_library *library = forge(edits[i]);
        exia_model *model = NULL;
        check_fails(EXIA_EUNTRUSTED,
                    exia_model_open(&model, library, "m@2", EXIA_OPEN_VERIFY, &err));
        check_text("not what was signed");
        assert_null(model);
        check_fails(EXIA_EUNTRUSTED, exia_model_open(&model, library, "m@2", 0, &err));
        exia_library_free(library);
        assert_int_equal(system(check_format("rm -r '%s'", check_path("forged"))), 0);
    }
    exia_library *library = forge(replace_bytes);
    exia_model *model = NULL;
    check_fails(EXIA_ECORRUPT, exia_model_open(&model, library, "m@2", EXIA_OPEN_VERIFY, &err));
    assert_true(has(policy_of(library, "m@2", 0), "\"trusted\":false")); /* nobody compared them */
    exia_library_free(library);
    assert_int_equal(system(check_format("rm -r '%s'", check_path("forged"))), 0);
    library = forge(leave);
    assert_true(has(policy_of(library, "m@2", EXIA_OPEN_VERIFY), "\"trusted\":true"));
    exia_library_free(library);
}

TEST(a_bad_signature_beside_a_good_one_takes_nothing_from_it)
{
    exia_library *library = two_signed();
    new_key("bob");
    trust("bob");
    check_ok(sign(library, "m@2", "bob"));
    exia_library_free(library);
    library = forge(spoil_signature); /* alice's is spoilt; bob's is the fifth entry */
    exia__records *from = NULL, *to = NULL;
    char *text = NULL;
    exia_library_free(library);
    check_ok(exia__records_open(&from, check_format("sqlite:%s", check_path("library/catalog.db")),
                                EXIA_STORE_READ, NULL, &err));
    check_ok(exia__records_open(&to, check_format("sqlite:%s", check_path("forged/catalog.db")),
                                EXIA_STORE_WRITE, NULL, &err));
    check_ok(exia__records_get(&text, NULL, from, "log", "m/log/0000000000000005", NULL, &err));
    check_ok(exia__records_put(NULL, to, "log", "m/log/0000000000000005", text, EXIA_ABSENT, NULL,
                               NULL, &err));
    exia__release(text);
    exia__records_free(from);
    exia__records_free(to);
    library = open_foreign("forged");
    assert_true(has(policy_of(library, "m@2", EXIA_OPEN_VERIFY), "\"by\":\"bob\""));
    exia_library_free(library);
}

TEST(a_version_that_was_removed_is_not_signed_and_its_signatures_are_no_harm)
{
    exia_library *library = two_signed();
    check_ok(exia_model_remove(library, "m", 2, NULL, &err));
    check_fails(EXIA_ENOTFOUND, sign(library, "m@2", "alice"));
    assert_true(has(policy_of(library, "m", EXIA_OPEN_VERIFY), "\"trusted\":true"));
    exia_library_free(library);
}

/* ---- plain directories ---------------------------------------------------------------------- */

static exia_status open_plain(const char *from, const char *to, unsigned flags, const char **policy)
{
    exia_model *model = NULL;
    const char *path = check_path("out/version.json");
    size_t size = 0;
    char *text = check_read_file(path, &size), *at = strstr(text, from);
    assert_non_null(at);
    const char *changed = check_format("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    check_write_file(path, changed, strlen(changed));
    exia_status rc =
        exia_model_open_directory(&model, check_path("out"), check_path("trust.json"), flags, &err);
    if (rc == EXIA_OK)
        *policy = check_format("%s", exia_model_policy(model));
    exia_model_free(model);
    check_write_file(path, text, size);
    free(text);
    return rc;
}

TEST(a_signature_goes_with_an_exported_version_and_holds_all_that_is_there)
{
    const char *policy = "";
    exia_library *library = two_signed();
    check_ok(exia_library_export(library, "m@2", check_path("out"), NULL, &err));
    exia_library_free(library);
    check_ok(open_plain("", "", EXIA_OPEN_VERIFY, &policy));
    assert_true(has(policy, "\"trusted\":true") && has(policy, "\"by\":\"alice\""));
    check_ok(open_plain("", "", 0, &policy));
    assert_true(has(policy, "\"trusted\":false") && has(policy, "\"by\":\"alice\""));
    check_ok(open_plain("\"signatures\":[", "\"unread\":[", EXIA_OPEN_VERIFY, &policy));
    assert_true(has(policy, "\"trusted\":false") && !has(policy, "signed"));
    check_ok(open_plain("\"aliases\":[]", "\"aliases\":[\"x\"]", EXIA_OPEN_VERIFY, &policy));
    assert_true(has(policy, "\"trusted\":true")); /* these move, and are not signed */
    static const struct {
        const char *from, *to;
        exia_status status;
    } rows[] = {{"\"version\":2", "\"version\":1", EXIA_EUNTRUSTED},
                {"\"name\":\"m\"", "\"name\":\"n\"", EXIA_EUNTRUSTED},
                {"\"team\":\"cv\"", "\"team\":\"ml\"", EXIA_EUNTRUSTED},
                {"[\"numpy\"]", "[\"os\"]", EXIA_EUNTRUSTED},
                {"\"why\":null", "\"why\":\"reviewed\"", EXIA_EUNTRUSTED},
                {"\"parent\":null,", "", EXIA_OK}, /* left out is null */
                {"\"parent\":null", "\"parent\":null,\"approved\":true", EXIA_ECORRUPT},
                {"{\"python\":\"3\"}", "{\"python\":\"2\"}", EXIA_ECORRUPT},
                {"{\"python\":\"3\"}", "null", EXIA_ECORRUPT},
                {"\"format\":\"bytes\"", "\"format\":\"file\"", EXIA_EUNTRUSTED},
                {"\"signatures\":[", "\"signatures\":[1,", EXIA_ECORRUPT},
                {"\"signatures\":[", "\"signatures\":[\"x\",", EXIA_OK},
                {"trusted comment: m@2", "trusted comment: m@3", EXIA_EUNTRUSTED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_fails(rows[i].status,
                    open_plain(rows[i].from, rows[i].to, EXIA_OPEN_VERIFY, &policy));
    check_write_file(check_path("out/model"), "twO", 3);
    check_fails(EXIA_ECORRUPT, open_plain("", "", EXIA_OPEN_VERIFY, &policy));
}

/* ---- no memory ------------------------------------------------------------------------------ */

static exia_status open_signed(void *payload, exia_error *error)
{
    exia_model *model = NULL;
    exia_rows *rows = NULL;
    (void)payload;
    exia_status rc = exia_model_open_directory(&model, check_path("out"), check_path("trust.json"),
                                               EXIA_OPEN_VERIFY, error);
    if (rc == EXIA_OK) {
        assert_true(has(exia_model_policy(model), "\"trusted\":true"));
        rc = exia_model_signatures(&rows, model, error);
    }
    exia_rows_free(rows);
    exia_model_free(model);
    return rc;
}

static exia_status sign_one(void *payload, exia_error *error)
{
    exia_sign_options options = {.struct_size = sizeof options,
                                 .secret_file = check_path("alice.pem")};
    exia_library *library = NULL;
    (void)payload;
    /* as it was: what fails behind the commit has signed */
    assert_int_equal(system(check_format("cp '%s' '%s'", check_path("pristine.db"),
                                         check_path("library/catalog.db"))),
                     0);
    exia_status rc = exia_library_open(&library, check_path("library"), NULL, error);
    if (rc == EXIA_OK)
        rc = exia_model_sign(library, "m@1", &options, error);
    exia_library_free(library);
    return rc;
}

TEST(signing_and_checking_survive_no_memory)
{
    exia_library *library = two_signed();
    check_ok(exia_library_export(library, "m@2", check_path("out"), NULL, &err));
    exia_library_free(library);
    check_survives_no_memory(open_signed, NULL);
    assert_int_equal(chmod(check_path("library"), 0755), 0);
    assert_int_equal(rename(check_path("library/catalog.db"), check_path("pristine.db")), 0);
    check_survives_no_memory(sign_one, NULL);
}
