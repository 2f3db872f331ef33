/* Keys, signatures in minisign's formats, and the trust file that says whose count. */
#include "support/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/sign.h"
#include "base/trust.h"

/* Made by minisign 0.11 over these bytes: "ED" is its usual form, "Ed" its older one. */
static const char data[] = "what is signed";
static const char public[] = "RWTBDmtHYJpOJnJ6HM/PCOmK56zxRdk2898dkMm7r5vNKXtvWS6/Ei72";
static const char usual[] =
    "untrusted comment: of a test\n"
    "RUTBDmtHYJpOJoj9IHWdREMisY6sZiSVK72QjLpwP/a6rAikS4/xqwRx/xRkBu8JT80faSoKvc7aMW/bznxWfmk9"
    "fHNit/SdBQk=\n"
    "trusted comment: hello\tthere\n"
    "TE0/M/zo6a2vESBAOy5ENRzuVRfSec4yXZBUw/a+oLVdvyUSVjGLI91DgUs64SziaBaovRFUeVOZxfqZjWglCA==\n";
static const char older[] =
    "untrusted comment: signature from minisign secret key\n"
    "RWTBDmtHYJpOJsZ8Zl3/LmYhbxWTY7hjN1qJgqqnK52vC87ts4BOpnV3+3XSy9AwoSsxts8JBOM5DooA+LOteE7z"
    "hXZKEHEX8w0=\n"
    "trusted comment: old form\n"
    "W5vZnOsk9KAYDjm6cCBliLp8p/gXyCDFoHbRYlrAB5LYcOFoPYwkOg+UccEFJmEoan1ICTlGs3sDryeLI7yIAA==\n";

static const char *trust_file(void)
{
    return check_path("trust.json");
}

static void put_trust(const char *text)
{
    check_write_file(trust_file(), text, strlen(text));
    assert_int_equal(chmod(trust_file(), 0644), 0);
}

/* The state of a signature by the trust file. */
static const char *state_of(const char *signature, const char *bytes)
{
    json_t *policy = NULL, *judged = NULL;
    check_ok(exia__trust_policy(&policy, trust_file(), &err));
    check_ok(exia__trust_judge(&judged, policy, signature, bytes, strlen(bytes), &err));
    const char *state = check_format("%s", exia__json_string(judged, "state"));
    json_decref(judged);
    json_decref(policy);
    return state;
}

static const char *keys_text(void)
{
    exia_rows *rows = NULL;
    const char *row = NULL, *all = "";
    exia_status rc = EXIA_OK;
    check_ok(exia_keys(&rows, trust_file(), &err));
    while ((rc = exia_rows_next(&row, rows, &err)) == EXIA_OK)
        all = check_format("%s%s\n", all, row);
    assert_int_equal(rc, EXIA_DONE);
    exia_rows_free(rows);
    return all;
}

/* ---- secret keys ---------------------------------------------------------------------------- */

static void write_pem(const char *path, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
    EVP_PKEY_free(key);
}

TEST(what_is_no_secret_key_of_ours_is_refused)
{
    exia__secret_key *key = NULL;
    const char *path = check_path("key.pem");
    check_fails(EXIA_ENOTFOUND, exia__secret_key_read(&key, path, NULL, &err));
    static const char *const texts[] = {"", "x", "-----BEGIN PRIVATE KEY-----\n",
                                        "-----BEGIN PRIVATE KEY-----\nAAAA\n"
                                        "-----END PRIVATE KEY-----\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check_write_file(path, texts[i], strlen(texts[i]));
        assert_int_equal(chmod(path, 0600), 0);
        check_fails(EXIA_EINVAL, exia__secret_key_read(&key, path, NULL, &err));
        assert_null(key);
    }
    write_pem(path, EVP_PKEY_Q_keygen(NULL, NULL, "X25519"));
    check_fails(EXIA_EINVAL, exia__secret_key_read(&key, path, NULL, &err));
    check_text("no key of ed25519");
    write_pem(path, EVP_PKEY_Q_keygen(NULL, NULL, "ED448"));
    check_fails(EXIA_EINVAL, exia__secret_key_read(&key, path, NULL, &err));
    write_pem(path, EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024));
    check_fails(EXIA_EINVAL, exia__secret_key_read(&key, path, NULL, &err));
    check_fails(EXIA_EINVAL, exia__secret_key_read(&key, check_directory(), NULL, &err));
    assert_int_equal(ERR_peek_error(), 0); /* the program's own queue is as it was */
    write_pem(path, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    check_ok(exia__secret_key_read(&key, path, NULL, &err));
    exia__secret_key_free(key);
}

TEST(a_new_key_replaces_nothing_and_wants_sound_arguments)
{
    char *made = NULL;
    const char *path = check_path("k.pem"), *beside = check_path("k.pub");
    const char *long_one = check_format("%01001d", 0);
    check_fails(EXIA_EINVAL, exia_key_new(&made, "", NULL, &err));
    check_fails(EXIA_EINVAL, exia_key_new(&made, path, "", &err));
    check_fails(EXIA_EINVAL, exia_key_new(&made, path, long_one, &err));
    check_fails(EXIA_ENOTFOUND, exia_key_new(&made, check_path("none/k.pem"), NULL, &err));
    check_write_file(beside, "mine", 4);
    check_fails(EXIA_EEXISTS, exia_key_new(&made, path, NULL, &err));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(unlink(beside), 0);
    check_write_file(path, "mine", 4);
    check_fails(EXIA_EEXISTS, exia_key_new(&made, path, NULL, &err));
    size_t size = 0;
    char *text = check_read_file(path, &size);
    assert_string_equal(text, "mine");
    free(text);
    assert_int_equal(access(beside, F_OK), -1);
    assert_null(made);
}

TEST(a_secret_key_is_for_its_owner_alone_and_a_readable_one_is_not_used)
{
    exia__secret_key *key = NULL;
    const char *path = check_path("k.pem");
    struct stat info;
    mode_t mask = umask(0);
    check_ok(exia_key_new(NULL, path, NULL, &err));
    umask(mask);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(chmod(path, 0640), 0);
    check_fails(EXIA_EDENIED, exia__secret_key_read(&key, path, NULL, &err));
    check_text("chmod 600");
    assert_int_equal(chmod(path, 0600), 0);
    check_ok(exia__secret_key_read(&key, path, "ignored: it is not encrypted", &err));
    exia__secret_key_free(key);
}

TEST(an_encrypted_key_wants_its_password)
{
    exia__secret_key *key = NULL;
    const char *path = check_path("k");
    const char *longest = check_format("%01000d", 0);
    size_t size = 0;
    check_ok(exia_key_new(NULL, path, longest, &err));
    assert_int_equal(access(check_path("k.pub"), F_OK), 0);
    char *text = check_read_file(path, &size);
    assert_non_null(strstr(text, "BEGIN ENCRYPTED PRIVATE KEY"));
    free(text);
    check_fails(EXIA_EDENIED, exia__secret_key_read(&key, path, NULL, &err));
    assert_int_equal(err.native, ENOKEY);
    check_fails(EXIA_EDENIED, exia__secret_key_read(&key, path, longest + 1, &err));
    assert_int_equal(err.native, 0);
    check_text("the password is not that of");
    check_fails(EXIA_EDENIED, exia__secret_key_read(&key, path, check_format("%02000d", 0), &err));
    check_ok(exia__secret_key_read(&key, path, longest, &err));
    exia__secret_key_free(key);
}

TEST(the_standard_key_lies_in_the_home)
{
    exia__secret_key *key = NULL;
    char *made = NULL;
    setenv("EXIA_HOME", check_path("home"), 1);
    check_fails(EXIA_ENOTFOUND, exia__secret_key_read(&key, NULL, NULL, &err));
    check_text("make one");
    check_ok(exia_key_new(&made, NULL, NULL, &err));
    assert_non_null(strstr(made, check_path("home/key.pem")));
    assert_non_null(strstr(made, check_path("home/key.pub")));
    check_ok(exia__secret_key_read(&key, NULL, NULL, &err));
    check_ok(exia_key_trust(NULL, "me", check_path("home/key.pub"), &err));
    unsetenv("EXIA_HOME");
    exia__secret_key_free(key);
    exia_text_free(made);
}

/* ---- signatures ----------------------------------------------------------------------------- */

TEST(what_is_no_public_key_is_refused)
{
    exia__public_key key;
    const char *const texts[] = {"",
                                 "RW",
                                 check_format("%s\n", public),
                                 check_format("%sA", public),
                                 check_format("%.55s=", public),
                                 check_format("RUTB%s", public + 4), /* "ED" is no key */
                                 check_format("AATB%s", public + 4),
                                 check_format("*%s", public + 1)};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_fails(EXIA_EINVAL, exia__public_key_parse(&key, texts[i], "it", &err));
    check_ok(exia__public_key_parse(&key, public, "it", &err));
    char text[EXIA__KEY_TEXT_SIZE], id[EXIA__KEY_ID_SIZE];
    check_ok(exia__public_key_text(text, &key, &err));
    assert_string_equal(text, public);
    exia__key_id_text(id, key.id);
    assert_string_equal(id, "264E9A60476B0EC1"); /* as minisign shows it */
}

TEST(a_signature_that_is_cut_or_changed_anywhere_does_not_count)
{
    exia__signature parsed;
    check_ok(exia_key_trust(trust_file(), "minisign", public, &err));
    size_t size = strlen(usual), first = strcspn(usual, "\n");
    for (size_t end = 0; end + 1 < size; end++) {
        check_fails(EXIA_EINVAL,
                    exia__signature_parse(&parsed, check_format("%.*s", (int)end, usual), &err));
    }
    for (size_t at = 0; at < size; at++) {
        char *changed = (char *)check_format("%s", usual);
        if (changed[at + 1] == '=') /* its last bits say nothing */
            continue;
        changed[at] = changed[at] == 'A' ? 'B' : 'A';
        const char *state = state_of(changed, data);
        if (at >= strlen("untrusted comment: ") && at < first)
            assert_string_equal(state, "good"); /* its name says so */
        else
            assert_true(strcmp(state, "bad") == 0 || strcmp(state, "unknown") == 0);
    }
    check_fails(EXIA_EINVAL, exia__signature_parse(&parsed, check_format("%s\n", usual), &err));
    check_fails(EXIA_EINVAL, exia__signature_parse(&parsed, check_format("%sx", usual), &err));
    check_fails(EXIA_EINVAL,
                exia__signature_parse(&parsed, check_format("%s%016384d", usual, 0), &err));
}

TEST(what_minisign_signed_is_good_in_both_forms_and_of_these_bytes_only)
{
    put_trust("{\"format\": 1}");
    assert_string_equal(state_of(usual, data), "unknown");
    check_ok(exia_key_trust(trust_file(), "minisign", public, &err));
    assert_string_equal(state_of(usual, data), "good");
    assert_string_equal(state_of(older, data), "good");
    assert_string_equal(state_of(usual, "what is signeD"), "bad");
    assert_string_equal(state_of(older, ""), "bad");
    assert_string_equal(state_of("", data), "bad");
}

static const char *sign(const char *path, const char *comment, const char *bytes)
{
    exia__secret_key *key = NULL;
    char *made = NULL;
    check_ok(exia__secret_key_read(&key, path, NULL, &err));
    check_ok(exia__signature_make(&made, key, comment, bytes, strlen(bytes), &err));
    const char *text = check_format("%s", made);
    exia__release(made);
    exia__secret_key_free(key);
    return text;
}

TEST(a_comment_is_one_line_and_signed)
{
    exia__secret_key *key = NULL;
    char *made = NULL;
    const char *path = check_path("k.pem");
    check_ok(exia_key_new(NULL, path, NULL, &err));
    check_ok(exia_key_trust(trust_file(), "me", check_path("k.pub"), &err));
    check_ok(exia__secret_key_read(&key, path, NULL, &err));
    const char *const comments[] = {"two\nlines", "\x1b[31m", "\xff", check_format("%08193d", 0)};
    for (size_t i = 0; i < sizeof comments / sizeof *comments; i++) {
        check_fails(EXIA_EINVAL, exia__signature_make(&made, key, comments[i], data, 1, &err));
        assert_null(made);
    }
    exia__secret_key_free(key);
    assert_string_equal(state_of(sign(path, "", "x"), "x"), "good");
    const char *signature = sign(path, "the first", data);
    assert_string_equal(state_of(signature, data), "good");
    char *at = strstr(signature, "the first");
    memcpy(at, "the other", 9);
    assert_string_equal(state_of(signature, data), "bad");
}

TEST(of_two_keys_with_one_id_the_one_that_signed_counts)
{
    exia__public_key key;
    char text[EXIA__KEY_TEXT_SIZE];
    check_ok(exia__public_key_parse(&key, public, "it", &err));
    key.point[0] ^= 1;
    check_ok(exia__public_key_text(text, &key, &err));
    check_ok(exia_key_trust(trust_file(), "rival", text, &err));
    assert_string_equal(state_of(usual, data), "bad");
    check_ok(exia_key_trust(trust_file(), "minisign", public, &err));
    assert_string_equal(state_of(usual, data), "good");
    check_ok(exia_key_revoke(trust_file(), "rival", NULL, &err));
    assert_string_equal(state_of(usual, data), "good");
    check_ok(exia_key_revoke(trust_file(), "minisign", NULL, &err));
    assert_string_equal(state_of(usual, data), "revoked");
}

/* ---- the trust file ------------------------------------------------------------------------- */

TEST(a_list_of_keys_with_anything_odd_in_it_is_an_error_and_not_a_shorter_list)
{
    const char *const lists[] = {
        "{}",
        "null",
        "\"RW\"",
        "[\"RW\"]",
        "[{\"name\": \"a\"}]",
        check_format("[{\"key\": \"%s\"}]", public),
        check_format("[{\"name\": \"\", \"key\": \"%s\"}]", public),
        check_format("[{\"name\": \"a b\", \"key\": \"%s\"}]", public),
        "[{\"name\": \"a\", \"key\": \"RWQ\"}]",
        check_format("[{\"name\": \"a\", \"key\": \"RUTB%s\"}]", public + 4),
        check_format("[{\"name\": \"a\", \"key\": \"%s\", \"revokd\": \"x\"}]", public),
        check_format("[{\"name\": \"a\", \"key\": \"%s\", \"revoked\": null}]", public),
        check_format("[{\"name\": \"a\", \"key\": \"%s\", \"revoked\": false}]", public),
        check_format("[{\"name\": \"a\", \"key\": \"%s\", \"revoked\": \"\"}]", public),
        check_format("[{\"name\": \"a\", \"key\": \"%s\"}, {\"name\": \"b\", \"key\": \"%s\"}]",
                     public, public),
        check_format("[{\"name\": \"a\", \"key\": \"%s\"}, {\"name\": \"a\", \"key\": \"%s\"}]",
                     public, "RWTBDmtHYJpOJnJ6HM/PCOmK56zxRdk2898dkMm7r5vNKXtvWS6/Ei73"),
    };
    exia_rows *rows = NULL;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        put_trust(check_format("{\"format\": 1, \"keys\": %s}", lists[i]));
        check_fails(EXIA_EINVAL, exia_keys(&rows, trust_file(), &err));
        check_text("trust.json");
        assert_null(rows);
        check_fails(EXIA_EINVAL, exia_key_trust(trust_file(), "c", public, &err));
        check_fails(EXIA_EINVAL, exia_key_revoke(trust_file(), "a", NULL, &err));
    }
    check_fails(EXIA_ENOTFOUND, exia_keys(&rows, check_path("none"), &err));
    put_trust("{\"format\": 1}");
    assert_int_equal(chmod(trust_file(), 0666), 0);
    check_fails(EXIA_EUNTRUSTED, exia_key_trust(trust_file(), "c", public, &err));
    check_fails(EXIA_EUNTRUSTED, exia_keys(&rows, trust_file(), &err));
}

TEST(what_is_trusted_must_be_a_key_with_a_name)
{
    check_fails(EXIA_EINVAL, exia_key_trust(trust_file(), NULL, public, &err));
    check_fails(EXIA_EINVAL, exia_key_trust(trust_file(), "a", NULL, &err));
    check_fails(EXIA_EINVAL, exia_key_trust(trust_file(), "a b", public, &err));
    check_fails(EXIA_ENOTFOUND, exia_key_trust(trust_file(), "a", check_path("none"), &err));
    check_fails(EXIA_EINVAL,
                exia_key_trust(trust_file(), "a", check_format("RUTB%s", public + 4), &err));
    const char *file = check_path("a.pub");
    check_write_file(file, "x", 1);
    check_fails(EXIA_EINVAL, exia_key_trust(trust_file(), "a", file, &err));
    const char *two = check_format("untrusted comment: x\n%s\n%s\n", public, public);
    check_write_file(file, two, strlen(two));
    check_fails(EXIA_EINVAL, exia_key_trust(trust_file(), "a", file, &err));
    check_fails(EXIA_EINVAL, exia_key_revoke(trust_file(), NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_key_revoke(trust_file(), "a", "", &err));
    check_fails(EXIA_EINVAL, exia_key_revoke(trust_file(), "a", "two\nlines", &err));
    check_fails(EXIA_ENOTFOUND, exia_key_revoke(trust_file(), "a", NULL, &err));
    assert_int_equal(access(trust_file(), F_OK), -1);
    const char *whole = check_format("untrusted comment: x\n%s\n", public);
    check_write_file(file, whole, strlen(whole));
    check_ok(exia_key_trust(trust_file(), "a", file, &err));
    check_ok(exia_key_trust(trust_file(), "a", public, &err)); /* again */
    check_fails(EXIA_EEXISTS, exia_key_trust(trust_file(), "b", public, &err));
    check_ok(exia_key_new(NULL, check_path("k.pem"), NULL, &err));
    check_fails(EXIA_EEXISTS, exia_key_trust(trust_file(), "a", check_path("k.pub"), &err));
}

TEST(a_revoked_key_stays_known_and_is_not_trusted_again)
{
    put_trust("{\"format\": 1, \"packages\": [\"numpy\"], \"constructors\": [\"a.B\"]}");
    check_ok(exia_key_trust(trust_file(), "a", public, &err));
    assert_non_null(strstr(keys_text(), "\"id\":\"264E9A60476B0EC1\""));
    assert_non_null(strstr(keys_text(), "\"revoked\":null"));
    check_ok(exia_key_revoke(trust_file(), "264E9A60476B0EC1", "it was lost", &err));
    const char *after = keys_text();
    assert_non_null(strstr(after, "\"revoked\":\"2"));
    assert_non_null(strstr(after, "\"why\":\"it was lost\""));
    check_ok(exia_key_revoke(trust_file(), public, "again", &err));
    assert_string_equal(keys_text(), after);
    check_fails(EXIA_EUNTRUSTED, exia_key_trust(trust_file(), "a", public, &err));
    check_text("was revoked");
    check_fails(EXIA_EUNTRUSTED, exia_key_trust(trust_file(), "b", public, &err));
    assert_string_equal(state_of(usual, data), "revoked");
    assert_string_equal(state_of(usual, "other"), "bad");
    size_t size = 0;
    char *text = check_read_file(trust_file(), &size);
    assert_non_null(strstr(text, "\"numpy\"")); /* the rest is as it was */
    assert_non_null(strstr(text, "\"a.B\""));
    free(text);
}

TEST(the_trust_file_is_never_made_writable_for_others)
{
    struct stat info;
    mode_t mask = umask(0);
    check_ok(exia_key_trust(trust_file(), "a", public, &err));
    umask(mask);
    assert_int_equal(stat(trust_file(), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644);
}

enum { CHILDREN = 4, EACH = 5 };

static const char *rival_name(int child, int i)
{
    return check_format("k%d-%d", child, i);
}

TEST(keys_that_many_processes_add_at_once_are_all_there)
{
    for (int child = 0; child < CHILDREN; child++) {
        for (int i = 0; i < EACH; i++)
            check_ok(exia_key_new(NULL, check_path(rival_name(child, i)), NULL, &err));
    }
    for (int child = 0; child < CHILDREN; child++) {
        pid_t pid = fork();
        if (pid != 0)
            continue;
        int bad = 0;
        for (int i = 0; i < EACH; i++) {
            const char *name = rival_name(child, i);
            const char *file = check_path(check_format("%s.pub", name));
            bad |= exia_key_trust(trust_file(), name, file, &err) != EXIA_OK;
        }
        _exit(bad);
    }
    for (int child = 0; child < CHILDREN; child++) {
        int status = -1;
        wait(&status);
        assert_int_equal(status, 0);
    }
    const char *all = keys_text();
    for (int child = 0; child < CHILDREN; child++) {
        for (int i = 0; i < EACH; i++)
            assert_non_null(strstr(all, check_format("\"%s\"", rival_name(child, i))));
    }
}

/* ---- no memory ------------------------------------------------------------------------------ */

static exia_status whole_life(void *payload, exia_error *error)
{
    const char *file = trust_file(), *path = check_path("n.pem"), *beside = check_path("n.pub");
    json_t *policy = NULL, *judged = NULL;
    exia__secret_key *key = NULL;
    exia_rows *rows = NULL;
    char *made = NULL, *signature = NULL;
    (void)payload;
    unlink(path);
    unlink(beside);
    unlink(file);
    exia_status rc = exia_key_new(&made, path, NULL, error);
    if (rc < 0)
        assert_int_equal(access(path, F_OK) & access(beside, F_OK), -1);
    if (rc == EXIA_OK)
        rc = exia_key_trust(file, "me", beside, error);
    if (rc == EXIA_OK)
        rc = exia__secret_key_read(&key, path, NULL, error);
    if (rc == EXIA_OK)
        rc = exia__signature_make(&signature, key, "c", data, sizeof data, error);
    if (rc == EXIA_OK)
        rc = exia__trust_policy(&policy, file, error);
    if (rc == EXIA_OK)
        rc = exia__trust_judge(&judged, policy, signature, data, sizeof data, error);
    if (rc == EXIA_OK) {
        assert_string_equal(exia__json_string(judged, "state"), "good");
        rc = exia_key_revoke(file, "me", "why", error);
    }
    if (rc == EXIA_OK)
        rc = exia_keys(&rows, file, error);
    exia_rows_free(rows);
    json_decref(judged);
    json_decref(policy);
    exia__release(signature);
    exia__secret_key_free(key);
    exia_text_free(made);
    return rc;
}

TEST(keys_and_signatures_survive_no_memory)
{
    check_survives_no_memory(whole_life, NULL);
}
