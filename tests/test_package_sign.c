/* Signing a package and judging its signature: whose counts, over what, and what stays as it was. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "package/read.h"
#include "support/forge.h"
#include "support/models.h"
#include "support/workspaces.h"

static const char *trust_file(void)
{
    const char *path = check_path("trust.json");
    if (!exia__path_exists(path)) {
        write_text(path, "{\"format\": 1}");
        assert_int_equal(chmod(path, 0644), 0);
    }
    return path;
}

/* The file of a new secret key, its public half beside it. */
static const char *make_key(const char *name)
{
    const char *path = check_path(check_format("%s.pem", name));
    check_ok(exia_key_new(NULL, path, NULL, &err));
    return path;
}

static void trust_key(const char *name)
{
    check_ok(exia_key_trust(trust_file(), name, check_path(check_format("%s.pub", name)), &err));
}

static const char *make_package(const char *name)
{
    const char *from = make_workspace(check_format("%s.d", name));
    const char *file = check_path(check_format("%s.veda", name));
    write_text(check_format("%s/name", from), name);
    make_large(check_format("%s/data", from), 100000, 3);
    check_ok(pack_from(from, file));
    return file;
}

static exia_status sign_to(const char *file, const char *to, const char *key, exia_error *error)
{
    exia_sign_options options = {.struct_size = sizeof options, .secret_file = key};
    return exia_package_sign(file, to, &options, trust_file(), NULL, error);
}

/* Verified quickly, in full and as a stream, and unpacked: whoever reads it says the same. */
static exia_status verify(const char *file, int require_signature)
{
    exia_verify_options how = {.struct_size = sizeof how,
                               .quick = 1,
                               .require_signature = require_signature,
                               .trust_file = trust_file()};
    exia_receive_options receive = {.struct_size = sizeof receive,
                                    .require_signature = require_signature,
                                    .trust_file = trust_file()};
    exia_unpack_options out = {.struct_size = sizeof out,
                               .unsynced = 1,
                               .require_signature = require_signature,
                               .trust_file = trust_file()};
    const char *directory = check_path("verified");
    exia_package *package = NULL;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    exia_status streamed = exia_package_receive(NULL, fd, directory, &receive, NULL, &err);
    close(fd);
    assert_int_equal(exia__path_exists(directory), streamed == EXIA_OK);
    assert_int_equal(exia__tree_remove(directory, NULL), EXIA_OK);
    check_ok(exia_package_open(&package, file, &err));
    assert_int_equal(exia_package_unpack(package, directory, &out, NULL, &err), streamed);
    assert_int_equal(exia__path_exists(directory), streamed == EXIA_OK);
    assert_int_equal(exia__tree_remove(directory, NULL), EXIA_OK);
    assert_int_equal(exia_package_verify(package, &how, NULL, &err), streamed);
    how.quick = 0;
    assert_int_equal(exia_package_verify(package, &how, NULL, &err), streamed);
    exia_package_free(package);
    return streamed;
}

static const char *signatures(const char *file)
{
    exia_package *package = NULL;
    exia_rows *rows = NULL;
    check_ok(exia_package_open(&package, file, &err));
    check_ok(exia_package_signatures(&rows, package, trust_file(), &err));
    const char *text = rows_text(rows);
    exia_package_free(package);
    return text;
}

static const char *facts_of(const char *file)
{
    exia_package *package = NULL;
    check_ok(exia_package_open(&package, file, &err));
    const char *text = check_format("%s", exia_package_facts(package));
    exia_package_free(package);
    return text;
}

static int same_bytes(const char *one, const char *other)
{
    size_t size = 0, other_size = 0;
    char *a = check_read_file(one, &size), *b = check_read_file(other, &other_size);
    int same = size == other_size && memcmp(a, b, size) == 0;
    free(a);
    free(b);
    return same;
}

/* ---- what is refused ---- */

TEST(a_call_without_a_file_a_key_or_sense_changes_nothing)
{
    const char *file = make_package("x"), *before = check_path("before"), *key = make_key("me");
    const char *locked = check_path("locked.pem");
    exia_rows *rows = (exia_rows *)1;
    exia_sign_options options = {.struct_size = sizeof options, .secret_file = key};
    check_ok(exia__tree_copy(file, before, &err));
    check_ok(exia_key_new(NULL, locked, "secret", &err));
    trust_file();
    size_t entries = count_entries(check_directory());

    check_fails(EXIA_EINVAL, exia_package_sign(NULL, NULL, &options, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_signatures(&rows, NULL, NULL, &err));
    assert_null(rows);
    check_fails(EXIA_ENOTFOUND, sign_to(check_path("none.veda"), NULL, key, &err));
    check_fails(EXIA_ENOTFOUND, sign_to(file, NULL, check_path("none.pem"), &err));
    check_fails(EXIA_ENOTFOUND, sign_to(file, check_path("none/x.veda"), key, &err));
    check_fails(EXIA_ECORRUPT, sign_to(key, NULL, key, &err));
    assert_int_equal(mkfifo(check_path("pipe"), 0600), 0);
    check_fails(EXIA_EINVAL, sign_to(file, check_path("pipe"), key, &err)); /* nor a device */
    check_text("no regular file");
    assert_int_equal(remove(check_path("pipe")), 0); /* it is there still */
    check_fails(EXIA_EINVAL, sign_to(file, check_directory(), key, &err));
    check_fails(EXIA_EDENIED, sign_to(file, NULL, locked, &err));
    assert_int_equal(err.native, ENOKEY); /* which EPERM of a file is not */
    options.message = "a history is not here";
    check_fails(EXIA_EINVAL, exia_package_sign(file, NULL, &options, NULL, NULL, &err));
    check_text("give a comment");
    options.message = NULL;
    options.comment = "two\nlines";
    check_fails(EXIA_EINVAL, exia_package_sign(file, NULL, &options, NULL, NULL, &err));
    options.comment = NULL;
    options.secret_file = locked;
    options.password = "wrong";
    check_fails(EXIA_EDENIED, exia_package_sign(file, NULL, &options, NULL, NULL, &err));

    assert_true(same_bytes(file, before));
    assert_int_equal(count_entries(check_directory()), entries);
}

TEST(what_does_not_verify_is_not_signed)
{
    const char *file = make_package("x"), *to = check_path("signed.veda"), *key = make_key("me");
    FILE *spoilt = fopen(file, "r+");
    assert_int_equal(fseek(spoilt, 50000, SEEK_SET), 0);
    assert_int_equal(fputs("spoilt", spoilt), 1);
    assert_int_equal(fclose(spoilt), 0);
    check_fails(EXIA_ECORRUPT, sign_to(file, to, key, &err));
    assert_false(exia__path_exists(to));
}

static int stop_copying(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)done, (void)total, (void)payload;
    return strcmp(step, "copying") == 0 || strcmp(step, "verifying") == 0;
}

TEST(signing_that_is_stopped_leaves_the_file_as_it_was)
{
    const char *file = make_package("x"), *before = check_path("before"), *key = make_key("me");
    exia_sign_options options = {.struct_size = sizeof options, .secret_file = key};
    exia_job job = {.struct_size = sizeof job, .progress = stop_copying};
    check_ok(exia__tree_copy(file, before, &err));
    check_fails(EXIA_ECANCELLED, exia_package_sign(file, NULL, &options, NULL, &job, &err));
    assert_true(same_bytes(file, before));
}

TEST(a_policy_that_is_broken_or_others_may_write_stops_the_verification)
{
    const char *file = make_package("x");
    exia_verify_options options = {.struct_size = sizeof options, .trust_file = trust_file()};
    exia_package *package = NULL;
    check_ok(exia_package_open(&package, file, &err));
    write_text(trust_file(), "{\"format\": 1, \"require_signature\": \"no\"}");
    check_fails(EXIA_EINVAL, exia_package_verify(package, &options, NULL, &err));
    check_text("\"require_signature\" must be true or false");
    write_text(trust_file(), "{\"format\": 1}");
    assert_int_equal(chmod(trust_file(), 0666), 0);
    check_fails(EXIA_EUNTRUSTED, exia_package_verify(package, &options, NULL, &err));
    options.trust_file = check_path("none.json");
    check_fails(EXIA_ENOTFOUND, exia_package_verify(package, &options, NULL, &err));
    exia_package_free(package);
}

/* ---- whose counts ---- */

TEST(a_required_signature_must_be_there_of_a_trusted_key_and_not_revoked)
{
    const char *file = make_package("x"), *key = make_key("me");
    check_ok(verify(file, 0));
    check_fails(EXIA_EUNTRUSTED, verify(file, 1));
    check_text("is not signed");
    assert_string_equal(signatures(file), "");

    check_ok(sign_to(file, NULL, key, &err));
    check_ok(verify(file, 0));
    check_fails(EXIA_EUNTRUSTED, verify(file, 1));
    check_text("which is not trusted");
    assert_non_null(strstr(signatures(file), "\"state\":\"unknown\""));

    trust_key("me");
    check_ok(verify(file, 1));
    assert_non_null(strstr(signatures(file), "\"state\":\"good\""));
    assert_non_null(strstr(signatures(file), "\"by\":\"me\""));
    assert_non_null(strstr(signatures(file), "\"comment\":\"demo@1.2#any\""));

    check_ok(exia_key_revoke(trust_file(), "me", "lost", &err));
    check_ok(verify(file, 0)); /* as good as one without */
    check_fails(EXIA_EUNTRUSTED, verify(file, 1));
    check_text("was revoked: lost");
    assert_non_null(strstr(signatures(file), "\"state\":\"revoked\""));
}

TEST(the_trust_file_may_require_a_signature_of_every_package)
{
    const char *file = make_package("x"), *key = make_key("me");
    write_text(trust_file(), "{\"format\": 1, \"require_signature\": true}");
    check_fails(EXIA_EUNTRUSTED, verify(file, 0));
    check_ok(sign_to(file, NULL, key, &err));
    check_fails(EXIA_EUNTRUSTED, verify(file, 0));
    trust_key("me");
    check_ok(verify(file, 0));
    check_ok(exia_key_revoke(trust_file(), "me", NULL, &err));
    check_fails(EXIA_EUNTRUSTED, verify(file, 0));
    write_text(trust_file(), "{\"format\": 1, \"require_signature\": false}");
    check_ok(verify(file, 0));
}

TEST(what_the_policy_does_not_let_in_is_neither_unpacked_nor_installed)
{
    const char *file = make_package("x"), *key = make_key("me"), *home = check_path("home");
    const char *policy = check_path("home/trust.json");
    exia_package *package = NULL;
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    check_ok(exia_registry_open(&registry, home, &err));
    write_text(policy, "{\"format\": 1, \"require_signature\": true}");
    assert_int_equal(chmod(policy, 0644), 0);
    setenv("EXIA_HOME", home, 1);
    check_ok(sign_to(file, check_path("signed.veda"), key, &err));

    check_ok(exia_registry_register(registry, file, NULL, NULL, &err));
    check_fails(EXIA_EUNTRUSTED,
                exia_registry_install(NULL, registry, "demo", NULL, NULL, NULL, &err));
    check_text("is not signed");
    check_ok(exia_package_open(&package, file, &err));
    check_fails(EXIA_EUNTRUSTED, unpack(package, check_path("out"), NULL));
    exia_package_free(package);
    assert_false(exia__path_exists(check_path("out")));

    check_ok(exia_key_trust(NULL, "me", check_path("me.pub"), &err));
    check_ok(exia_registry_register(registry, check_path("signed.veda"), NULL, NULL, &err));
    check_ok(exia_registry_query(&rows, registry, NULL, NULL, &err)); /* in place of the unsigned */
    const char *known = rows_text(rows);
    assert_non_null(strstr(known, "\"signed\":true"));
    assert_null(strchr(strchr(known, '\n') + 1, '\n'));
    check_ok(exia_registry_install(NULL, registry, "demo", NULL, NULL, NULL, &err));
    check_ok(exia_package_open(&package, check_path("signed.veda"), &err));
    check_ok(unpack(package, check_path("out"), NULL));
    exia_package_free(package);
    exia_registry_free(registry);
    unsetenv("EXIA_HOME");
}

TEST(without_a_home_there_is_no_policy)
{
    const char *file = make_package("x"), *home = getenv("HOME"), *data = getenv("XDG_DATA_HOME");
    exia_package *package = NULL;
    exia_verify_options strictly = {.struct_size = sizeof strictly, .require_signature = 1};
    unsetenv("HOME");
    unsetenv("XDG_DATA_HOME");
    check_ok(exia_package_open(&package, file, &err));
    check_ok(exia_package_verify(package, NULL, NULL, &err));
    check_fails(EXIA_EUNTRUSTED, exia_package_verify(package, &strictly, NULL, &err));
    exia_package_free(package);
    if (home != NULL)
        setenv("HOME", home, 1);
    if (data != NULL)
        setenv("XDG_DATA_HOME", data, 1);
}

TEST(a_signature_of_other_metadata_is_refused_where_its_key_is_known)
{
    const char *file = make_package("x"), *key = make_key("me");
    forge f;
    check_ok(sign_to(file, NULL, key, &err));
    exia_package *package = NULL;
    exia_rows *rows = NULL;
    json_t *row = NULL;
    check_ok(exia_package_open(&package, file, &err));
    check_ok(exia_package_signatures(&rows, package, trust_file(), &err));
    const char *text = rows_text(rows);
    check_ok(exia__json_object(&row, text, strlen(text), "row", EXIA_EINVAL, &err));
    exia_package_free(package);

    forge_begin(&f); /* another package, with that signature */
    f.signature = exia__json_string(row, "signature");
    forge_write(&f, check_path("moved.veda"));
    forge_free(&f);
    check_ok(verify(check_path("moved.veda"), 0)); /* nobody knows the key */
    trust_key("me");
    check_fails(EXIA_EUNTRUSTED, verify(check_path("moved.veda"), 0));
    check_text("is not what was signed");
    assert_non_null(strstr(signatures(check_path("moved.veda")), "\"state\":\"bad\""));
    check_ok(exia_key_revoke(trust_file(), "me", NULL, &err));
    check_fails(EXIA_EUNTRUSTED, verify(check_path("moved.veda"), 0));
    json_decref(row);
}

TEST(a_signature_made_elsewhere_is_taken_when_it_is_good)
{
    const char *file = make_package("x"), *other = make_package("y"), *key = make_key("me");
    exia_sign_options options = {.struct_size = sizeof options};
    json_t *row = NULL;
    check_ok(sign_to(file, check_path("signed.veda"), key, &err));
    const char *text = signatures(check_path("signed.veda"));
    check_ok(exia__json_object(&row, text, strlen(text), "row", EXIA_EINVAL, &err));
    options.signature = exia__json_string(row, "signature");
    check_fails(EXIA_EUNTRUSTED, exia_package_sign(file, NULL, &options, trust_file(), NULL, &err));
    check_text("the key is not trusted");
    assert_string_equal(signatures(file), "");
    trust_key("me");
    check_fails(EXIA_EUNTRUSTED,
                exia_package_sign(other, NULL, &options, trust_file(), NULL, &err));
    check_text("not of this package");
    check_ok(exia_package_sign(file, NULL, &options, trust_file(), NULL, &err));
    assert_true(same_bytes(file, check_path("signed.veda")));
    check_ok(exia_key_revoke(trust_file(), "me", NULL, &err));
    check_fails(EXIA_EUNTRUSTED, exia_package_sign(file, NULL, &options, trust_file(), NULL, &err));
    options.signature = "nonsense";
    check_fails(EXIA_EUNTRUSTED, exia_package_sign(file, NULL, &options, trust_file(), NULL, &err));
    json_decref(row);
}

/* ---- what stays, and what is the same ---- */

TEST(a_signed_package_is_the_same_package_up_to_its_last_frame)
{
    const char *file = make_package("x"), *signed_file = check_path("signed.veda");
    size_t size = 0, signed_size = 0, count = 0;
    exia_package *package = NULL;
    check_ok(sign_to(file, signed_file, make_key("me"), &err));
    assert_string_equal(facts_of(file), facts_of(signed_file));
    assert_string_equal(signatures(file), "");
    check_ok(exia_package_open(&package, file, &err));
    const exia__frame *frames = exia__package_frames(&count, package);
    char *before = check_read_file(file, &size),
         *after = check_read_file(signed_file, &signed_size);
    assert_true(signed_size > size);
    assert_memory_equal(before, after, frames[count - 1].offset);
    free(before);
    free(after);
    exia_package_free(package);

    check_ok(exia_package_open(&package, signed_file, &err));
    assert_true(exia__package_signed(package));
    check_ok(unpack(package, check_path("out"), NULL));
    assert_true(same_bytes(check_path("out/data"), check_path("x.d/data")));
    exia_package_free(package);
}

TEST(a_package_is_signed_from_one_file_system_to_another)
{
    const char *file = make_package("x"), *near = check_path("near.veda"), *key = make_key("me");
    char far[] = "/dev/shm/exia-sign-XXXXXX"; /* most often: what shares no blocks with the other */
    int fd = mkstemp(far);
    check_ok(sign_to(file, near, key, &err));
    if (fd < 0)
        skip();
    close(fd);
    check_ok(sign_to(file, far, key, &err));
    assert_true(same_bytes(near, far));
    check_ok(sign_to(far, near, key, &err));
    assert_true(same_bytes(near, far));
    unlink(far);
}

TEST(signing_again_gives_the_same_bytes_and_another_key_replaces_the_signature)
{
    const char *file = make_package("x"), *one = check_path("1.veda"), *two = check_path("2.veda");
    const char *key = make_key("me"), *other = make_key("other");
    check_ok(sign_to(file, one, key, &err));
    check_ok(sign_to(file, two, key, &err));
    assert_true(same_bytes(one, two));
    check_ok(sign_to(one, two, other, &err));
    assert_false(same_bytes(one, two));
    trust_key("other");
    check_ok(verify(two, 1));
    check_fails(EXIA_EUNTRUSTED, verify(one, 1));
    check_ok(sign_to(two, two, key, &err)); /* onto itself, and back again */
    assert_true(same_bytes(one, two));
}

TEST(packing_and_signing_at_once_gives_what_signing_later_gives)
{
    const char *later = make_package("x"), *once = check_path("once.veda"), *key = make_key("me");
    exia_sign_options sign = {.struct_size = sizeof sign, .secret_file = check_path("none.pem")};
    exia_pack_options pack = {.struct_size = sizeof pack, .sign = &sign};
    const char *from = check_path("x.d");
    check_fails(EXIA_ENOTFOUND, exia_package_write(NULL, from, once, &pack, NULL, &err));
    sign.secret_file = key;
    sign.message = "why";
    check_fails(EXIA_EINVAL, exia_package_write(NULL, from, once, &pack, NULL, &err));
    sign.message = NULL;
    sign.signature = "nonsense";
    check_fails(EXIA_EUNTRUSTED, exia_package_write(NULL, from, once, &pack, NULL, &err));
    sign.signature = NULL;
    assert_false(exia__path_exists(once));
    check_ok(exia_package_write(NULL, from, once, &pack, NULL, &err));
    check_ok(sign_to(later, NULL, key, &err));
    assert_true(same_bytes(once, later));
}

TEST(a_bit_that_flips_in_the_signed_tail_or_a_byte_that_lacks_is_seen_at_once)
{
    check_in_memory();
    const char *from = make_workspace("w"), *file = check_path("x.veda");
    exia_package *package = NULL;
    size_t size = 0, count = 0;
    check_ok(pack_from(from, file));
    check_ok(sign_to(file, NULL, make_key("me"), &err));
    check_ok(exia_package_open(&package, file, &err));
    const exia__frame *frames = exia__package_frames(&count, package);
    size_t begin = (size_t)frames[count - 2].offset; /* METADATA.json, then the signature */
    exia_package_free(package);
    char *bytes = check_read_file(file, &size);
    for (size_t at = begin; at < size; at++) {
        bytes[at] ^= (char)(1 << at % 8);
        check_write_file(file, bytes, size);
        check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
        bytes[at] ^= (char)(1 << at % 8);
        check_write_file(file, bytes, at);
        check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    }
    check_write_file(file, bytes, size);
    check_ok(verify(file, 0));
    free(bytes);
}

TEST(a_package_that_is_signed_in_its_place_keeps_its_mode)
{
    const char *file = make_package("x"), *key = make_key("me");
    struct stat info;
    assert_int_equal(chmod(file, 0640), 0);
    check_ok(sign_to(file, NULL, key, &err));
    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_non_null(strstr(signatures(file), "\"state\":\"unknown\""));
}

struct signing {
    const char *file, *to, *key;
};

static exia_status sign_once(void *payload, exia_error *error)
{
    const struct signing *now = payload;
    remove(now->to);
    exia_status rc = sign_to(now->file, now->to, now->key, error);
    assert_int_equal(exia__path_exists(now->to), rc == EXIA_OK);
    return rc;
}

TEST(signing_without_memory_fails_whole)
{
    check_in_memory();
    const char *from = make_workspace("w");
    struct signing now = {check_path("x.veda"), check_path("signed.veda"), NULL};
    check_ok(pack_from(from, now.file));
    now.key = make_key("me");
    check_survives_no_memory(sign_once, &now);
    check_ok(verify(now.to, 0));
}
