/* METADATA.json, the manifest and the signature as they should not be, and packages spoilt by chance:
 * cut short, a bit flipped, a byte more. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "package/read.h"
#include "support/forged.h"

TEST(metadata_that_lies_is_refused)
{
    forge f;
    forge_begin(&f);
    f.change.size = 1;
    check_refused(&f, EXIA_ECORRUPT, "another size");
    forge_begin(&f);
    f.change.record_size = 7; /* as many blocks */
    check_refused(&f, EXIA_ECORRUPT, "member of a tar");
    f.change.record_size = 7000;
    check_refused(&f, EXIA_ECORRUPT, "RECORD has another size");
    forge_begin(&f);
    f.change.data_frames = 3;
    check_refused(&f, EXIA_ECORRUPT, "impossible value");
}

TEST(metadata_that_is_none_is_refused)
{
    static const char *const texts[][2] = {
        {"", "no METADATA.json"},
        {"[]", "object was expected"},
        {"{}", "lacks something"},
        {"{\"format\":1}", "lacks something"},
        {"{\"format\":\"x\"}", "lacks something"},
        {"not json", "JSON"},
        {"{\"format\":1,\"format\":1}", "JSON"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        forge f;
        forge_begin(&f);
        f.metadata = texts[i][0];
        check_refused(&f, EXIA_ECORRUPT, texts[i][1]);
    }
}

/* The METADATA.json of the package as it should be, to be changed. */
static char *good_metadata(void)
{
    exia_package *package = NULL;
    forge f;
    forge_begin(&f);
    check_ok(exia_package_open(&package, forged_file(&f), &err));
    char *text = strdup(exia_package_facts(package));
    exia_package_free(package);
    forge_free(&f);
    return text;
}

static void refuse_metadata(const char *from, const char *to, exia_status status, const char *text)
{
    char *good = good_metadata(), *at = strstr(good, from);
    forge f;
    forge_begin(&f);
    assert_non_null(at);
    f.metadata = check_format("%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    check_refused(&f, status, text);
    free(good);
}

TEST(metadata_with_one_thing_changed_is_refused)
{
    static const char *const changes[][3] = {
        {"\"format\":1", "\"format\":0", "not as it should be"},
        {"\"format\":1", "\"format\":1.0", "not as it should be"},
        {"\"format\":1", "\"format\" :1", "not as it should be"},
        {"\"format\":1", "\"FORMAT\":1", "not as it should be"},
        {"\"format\":1,", "\"format\":1,\"time\":7,", "not as it should be"},
        {"\"members\":3", "\"members\":0", "impossible value"},
        {"\"members\":3", "\"members\":-1", "impossible value"},
        {"\"members\":3", "\"members\":16000001", "impossible value"},
        {"\"members\":3", "\"members\":3.0", "lacks something"},
        {"\"members\":3", "\"members\":99999999999999999999", "JSON"},
        {"\"data\":1", "\"data\":0", "impossible value"},
        {"\"data\":1", "\"data\":-1", "impossible value"},
        {"\"data\":1", "\"data\":9223372036854775807", "impossible value"},
        {"\"level\":3", "\"level\":4294967299", "not as it should be"},
        {"\"level\":3", "\"level\":\"3\"", "lacks something"},
        {"\"zstd\":\"1.5.4\"", "\"zstd\":\"1.5.\\u0034\"", "not as it should be"},
        {"\"digest\":\"", "\"digest\":\"0", "impossible value"},
        {"\"digest\":\"", "\"digest\":\"A", "impossible value"},
        {"\"name\":\"forged\"", "\"name\":\"Forged\"", "name"},
        {"\"name\":\"forged\"", "\"name\":\"another\"", "not the manifest"},
        {"\"version\":\"1\"", "\"version\":\"1.0\"", "not the manifest"},
        {"\"version\":\"1\"", "\"version\":\"1\",\"x\":1", "\"x\""},
        {"\"version\":\"1\"", "\"version\":\"1\",\"platform\":\"../x\"", "platform"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        refuse_metadata(changes[i][0], changes[i][1], EXIA_ECORRUPT, changes[i][2]);
}

/* The digests are those of a package with the same name, so all else is that package's. */
TEST(metadata_of_another_package_is_refused)
{
    forge f, other;
    forge_begin(&other);
    other.content[1] = "HELLO";
    forge_tail(&other);
    forge_begin(&f);
    forge_tail(&f);
    exia__buffer own = f.frames[3].packed;
    f.frames[3].packed = other.frames[3].packed;
    other.frames[3].packed = own;
    check_refused(&f, EXIA_ECORRUPT, "its digests are not those of METADATA.json");
    forge_free(&other);
}

TEST(a_higher_format_is_told_from_damage)
{
    forge f;
    forge_begin(&f);
    f.metadata = "{\"format\":2,\"something\":\"new\"}";
    check_refused(&f, EXIA_EVERSION, "newer");
    refuse_metadata("\"manifest\":{\"format\":1", "\"manifest\":{\"format\":2", EXIA_EVERSION,
                    "newer");
}

/* Of a key that nobody knows here, over other bytes. */
static const char signature[] =
    "untrusted comment: of a test\n"
    "RUTBDmtHYJpOJoj9IHWdREMisY6sZiSVK72QjLpwP/a6rAikS4/xqwRx/xRkBu8JT80faSoKvc7aMW/bznxWfmk9"
    "fHNit/SdBQk=\n"
    "trusted comment: hello\tthere\n"
    "TE0/M/zo6a2vESBAOy5ENRzuVRfSec4yXZBUw/a+oLVdvyUSVjGLI91DgUs64SziaBaovRFUeVOZxfqZjWglCA==\n";

TEST(a_signature_is_tolerated_and_seen)
{
    forge f;
    exia_package *package = NULL;
    forge_begin(&f);
    f.signature = signature;
    check_ok(exia_package_open(&package, forged_file(&f), &err));
    assert_true(exia__package_signed(package));
    exia_package_free(package);
    forge_free(&f);
    check_accepted(&f);
    f.signature = check_format("%.*s", (int)strlen(signature) - 1, signature);
    check_accepted(&f); /* its last line need not end */
}

TEST(a_signature_in_another_form_than_minisigns_is_refused)
{
    const char *key = strstr(signature, "RUTB"), *comment = strstr(signature, "trusted comment: h");
    const char *const texts[] = {
        "",
        "x",
        "untrusted comment: x\n",
        check_format("%.150s", signature),
        check_format("%sx", signature),
        check_format("%s\n", signature),
        check_format("%s%016384d", signature, 0),
        check_format("\n%s", signature),
        check_format("Untrusted%s", signature + 9),
        check_format("%.*sAATB%s", (int)(key - signature), signature, key + 4), /* no algorithm */
        check_format("%.*s*%s", (int)(key - signature), signature, key + 1),    /* no base64 */
        check_format("%.*sRUTB\n%s", (int)(key - signature), signature, strchr(key, '\n') + 1),
        check_format("%.*strusted comment: \x1b%s", (int)(comment - signature), signature,
                     comment + 18),
        check_format("%.*strusted comment: \xff%s", (int)(comment - signature), signature,
                     comment + 18),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        forge f;
        forge_begin(&f);
        f.signature = texts[i];
        check_refused(&f, EXIA_ECORRUPT, "none in minisign's format");
    }
}

TEST(a_manifest_that_is_not_the_one_in_the_tar_is_refused)
{
    forge f;
    forge_begin(&f);
    f.manifest = json_pack("{s:i, s:s, s:s}", "format", 1, "name", "other", "version", "1");
    check_refused(&f, EXIA_ECORRUPT, "not the manifest");
    json_decref(f.manifest);
    f.manifest = json_pack("{s:i, s:s, s:s}", "format", 1, "name", "../x", "version", "1");
    check_refused(&f, EXIA_ECORRUPT, "name");
    json_decref(f.manifest);
    f.manifest = json_pack("{s:i, s:s, s:s, s:[{s:s, s:s}]}", "format", 1, "name", "forged",
                           "version", "1", "components", "path", "b", "kind", "code");
    check_refused(&f, EXIA_ECORRUPT, "component \"b\"");
    json_decref(f.manifest);
}

TEST(a_manifest_in_the_tar_that_is_none_is_refused)
{
    static const char *const texts[][2] = {
        {"", "JSON"},
        {"{}", "format"},
        {"{\"format\":1,\"name\":\"forged\",\"version\":\"1\"} x", "JSON"},
        {"{\"format\":1,\"name\":\"forged\",\"version\":\"1\",\"version\":\"1\"}", "JSON"},
        {"{\"format\":1,\"name\":\"forged\",\"version\":\"01\"}", "not the manifest"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        forge f;
        forge_begin(&f);
        f.count = f.recorded_count = 2;
        forge_add(&f, 'f', EXIA__MANIFEST_PATH, texts[i][0]);
        check_refused(&f, EXIA_ECORRUPT, texts[i][1]);
    }
}

/* ---- spoilt by chance ---- */

/* A small package in memory, to be written again and again. */
static char *small_package(size_t *size)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'l', "z", "a/f");
    char *data = check_read_file(forged_file(&f), size);
    forge_free(&f);
    return data;
}

TEST(a_package_cut_short_anywhere_is_refused)
{
    size_t size = 0;
    char *data = small_package(&size);
    const char *file = check_path("forged.veda");
    exia_package *package = NULL;
    check_ok(forged_use(file));
    for (size_t left = size; left-- > 0;) {
        assert_int_equal(truncate(file, (off_t)left), 0);
        check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    }
    free(data);
}

TEST(a_package_without_its_beginning_is_refused)
{
    size_t size = 0;
    char *data = small_package(&size);
    const char *file = check_path("forged.veda");
    exia_package *package = NULL;
    for (size_t first = 1; first < size; first++) {
        check_write_file(file, data + first, size - first);
        check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    }
    free(data);
}

/* A full verification sees every bit.  A quick one is what opening does: it sees all but the frames
 * of the payload, which is less than one byte in ten of this package. */
TEST(a_flipped_bit_anywhere_is_refused)
{
    static const exia_verify_options quick = {.struct_size = sizeof quick, .quick = 1};
    size_t size = 0, unseen = 0;
    char *data = small_package(&size);
    const char *file = check_path("forged.veda");
    int fd = open(file, O_WRONLY);
    for (size_t i = 0; i < size; i++) {
        exia_package *package = NULL;
        char flipped = (char)(data[i] ^ 1 << i % 8);
        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)i), 1);
        exia_status rc = forged_use(file);
        if (rc != EXIA_ECORRUPT && rc != EXIA_EVERSION)
            fail_msg("byte %zu of %zu: %d", i, size, rc);
        if (exia_package_open(&package, file, &err) == EXIA_OK) {
            check_ok(exia_package_verify(package, &quick, NULL, &err));
            assert_int_equal(unseen++, i); /* from the beginning on */
        }
        exia_package_free(package);
        assert_int_equal(pwrite(fd, data + i, 1, (off_t)i), 1);
    }
    close(fd);
    check_ok(forged_use(file));
    forge f;
    forge_begin(&f);
    forge_add(&f, 'l', "z", "a/f");
    forge_frames(&f);
    assert_int_equal(unseen, f.frames[0].size);
    forge_free(&f);
    free(data);
}

TEST(bytes_put_in_or_added_are_refused)
{
    size_t size = 0;
    char *data = small_package(&size), *more = malloc(size + 1);
    const char *file = check_path("forged.veda");
    for (size_t at = 0; at <= size; at++) {
        memcpy(more, data, at);
        more[at] = 0;
        memcpy(more + at + 1, data + at, size - at);
        check_write_file(file, more, size + 1);
        check_fails(EXIA_ECORRUPT, forged_use(file));
    }
    free(more);
    free(data);
}

TEST(a_byte_taken_out_is_refused)
{
    size_t size = 0;
    char *data = small_package(&size), *less = malloc(size);
    const char *file = check_path("forged.veda");
    for (size_t at = 0; at < size; at++) {
        memcpy(less, data, at);
        memcpy(less + at, data + at + 1, size - at - 1);
        check_write_file(file, less, size - 1);
        check_fails(EXIA_ECORRUPT, forged_use(file));
    }
    free(less);
    free(data);
}
