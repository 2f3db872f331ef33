/* Packages made by an enemy, or spoilt by chance: each has one thing wrong and is refused before
 * anything is visible. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "package/read.h"
#include "support/check.h"
#include "support/forge.h"

/* Whatever refuses it first, the directory must not be there afterwards, nor anything beside it. */
static exia_status use(const char *file)
{
    exia_package *package = NULL;
    const char *target = check_format("%s.out", file);
    exia_status rc = exia_package_open(&package, file, &err);
    if (rc == EXIA_OK) {
        exia_error unpack_err = {0};
        exia_status unpacked = exia_package_unpack(package, target, NULL, NULL, &unpack_err);
        rc = exia_package_verify(package, NULL, NULL, &err);
        /* what does not verify does not unpack; only a frame's own digest is verify's alone */
        if (unpacked != rc && !(unpacked == EXIA_OK && strstr(err.text, "frame") != NULL))
            fail_msg("verify says %d, unpack says %d", rc, unpacked);
        assert_int_equal(exia__path_exists(target), unpacked == EXIA_OK);
        if (unpacked == EXIA_OK)
            assert_int_equal(exia__tree_remove(target, NULL), EXIA_OK);
    }
    exia_package_free(package);
    return rc;
}

static void refused(forge *f, exia_status status, const char *text)
{
    const char *file = check_path("forged.veda");
    forge_write(f, file);
    check_fails(status, use(file));
    check_text(text);
}

TEST(a_forged_package_with_no_lie_in_it_is_good)
{
    forge f;
    forge_begin(&f);
    forge_write(&f, check_path("good.veda"));
    check_ok(use(check_path("good.veda")));
}

TEST(a_signature_is_tolerated_and_seen)
{
    forge f;
    exia_package *package = NULL;
    const char *file = check_path("signed.veda");
    forge_begin(&f);
    f.signature = "untrusted comment: x\n";
    forge_write(&f, file);
    check_ok(use(file));
    check_ok(exia_package_open(&package, file, &err));
    assert_true(exia__package_signed(package));
    exia_package_free(package);
}

TEST(a_path_that_leads_out_is_refused)
{
    static const char *const paths[] = {"../x", "/x",   "a/../../x", "a/./x", "a//x",
                                        "a/..", "a/x/", "",          ".",     ".."};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        forge f;
        memset(&f, 0, sizeof f);
        forge_add(&f, 'f', paths[i], "x");
        refused(&f, EXIA_ECORRUPT, "the member");
    }
}

TEST(a_path_of_too_many_bytes_is_refused)
{
    static char part[300], path[5000];
    forge f;
    memset(part, 'x', 256);
    memset(&f, 0, sizeof f);
    forge_add(&f, 'f', part, "x");
    refused(&f, EXIA_ECORRUPT, "255 bytes");
    for (size_t i = 0; i < sizeof path - 1; i++)
        path[i] = i % 2 ? '/' : 'x';
    f.recorded[0].path = path; /* the tar keeps the other: RECORD is refused before it is read */
    refused(&f, EXIA_ECORRUPT, "4095 bytes");
}

TEST(the_name_of_the_package_itself_is_refused)
{
    forge f;
    memset(&f, 0, sizeof f);
    forge_add(&f, 'd', "VEDA", NULL);
    refused(&f, EXIA_ECORRUPT, "VEDA");
}

TEST(a_member_listed_twice_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'f', EXIA__MANIFEST_PATH, "{}");
    refused(&f, EXIA_ECORRUPT, "twice");
}

TEST(members_out_of_order_are_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'f', "b", "x");
    refused(&f, EXIA_ECORRUPT, "order");
}

TEST(a_member_below_something_that_is_no_directory_is_refused)
{
    forge f;
    memset(&f, 0, sizeof f);
    forge_add(&f, 'f', "a/f", "x");
    refused(&f, EXIA_ECORRUPT, "no listed directory");
    memset(&f, 0, sizeof f);
    forge_add(&f, 'l', "a", ".");
    forge_add(&f, 'f', "a/f", "x");
    refused(&f, EXIA_ECORRUPT, "no listed directory");
}

TEST(a_link_that_leads_out_is_refused)
{
    static const char *const targets[] = {"/etc/passwd", "..", "../x", "a/../../x", "a/../..", ""};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        forge f;
        forge_begin(&f);
        forge_add(&f, 'l', "z", targets[i]);
        refused(&f, EXIA_ECORRUPT, "\"z\" is a link");
    }
}

TEST(a_link_through_another_link_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'l', "x", "a");
    forge_add(&f, 'l', "y", "x/f");
    refused(&f, EXIA_ECORRUPT, "passes through");
    f.recorded[f.recorded_count - 1].target = "x/../a";
    f.entries[f.count - 1].target = "x/../a";
    refused(&f, EXIA_ECORRUPT, "passes through");
}

TEST(a_link_to_nothing_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'l', "z", "nothing");
    refused(&f, EXIA_ECORRUPT, "not in the package");
}

TEST(links_within_the_package_are_good)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'd', "w", NULL);
    forge_add(&f, 'l', "w/up", "../a/./f");
    forge_add(&f, 'l', "w/zroot", "..");
    forge_add(&f, 'l', "x", "w/up"); /* a link as the last part */
    forge_write(&f, check_path("links.veda"));
    check_ok(use(check_path("links.veda")));
}

TEST(a_hard_link_to_no_file_before_it_is_refused)
{
    static const char *const targets[] = {"a", "zz", "z", "../a/f", "/a/f", "nothing"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        forge f;
        forge_begin(&f);
        forge_add(&f, 'h', "z", targets[i]);
        forge_add(&f, 'f', "zz", "x");
        refused(&f, EXIA_ECORRUPT, "hard link");
    }
}

TEST(a_mode_with_more_than_a_package_carries_is_refused)
{
    static const uint32_t modes[] = {04755, 02755, 01777, 0666, 0777};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        forge f;
        forge_begin(&f);
        f.entries[1].mode = f.recorded[1].mode = modes[i];
        refused(&f, EXIA_ECORRUPT, "mode");
    }
}

TEST(an_entry_in_the_tar_that_is_not_in_the_record_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'f', "z", "extra");
    f.recorded_count--;
    refused(&f, EXIA_ECORRUPT, "another size");
}

TEST(an_entry_in_the_record_that_is_not_in_the_tar_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'f', "z", "extra");
    f.count--;
    refused(&f, EXIA_ECORRUPT, "another size");
}

TEST(bytes_behind_the_last_member_are_refused)
{
    static const char zeros[EXIA__BLOCK];
    forge f;
    forge_begin(&f);
    f.behind = zeros;
    refused(&f, EXIA_ECORRUPT, "another size");
}

TEST(content_that_is_not_as_recorded_is_refused)
{
    forge f;
    forge_begin(&f);
    f.content[1] = "HELLO";
    refused(&f, EXIA_ECORRUPT, "the content of \"a/f\"");
}

TEST(a_size_that_is_not_as_recorded_is_refused)
{
    forge f;
    forge_begin(&f);
    f.recorded[1].size = 6; /* the same number of blocks */
    refused(&f, EXIA_ECORRUPT, "the header of \"a/f\"");
}

TEST(sizes_that_overflow_together_are_refused)
{
    forge f;
    forge_begin(&f);
    f.recorded[1].size = INT64_MAX;
    f.change.size = 1;
    refused(&f, EXIA_ECORRUPT, "too large");
    f.recorded[1].size = f.recorded[2].size = INT64_MAX - 4096;
    refused(&f, EXIA_ECORRUPT, "2^63");
}

TEST(padding_that_is_not_zero_is_refused)
{
    forge f;
    forge_begin(&f);
    f.padding = "x";
    refused(&f, EXIA_ECORRUPT, "the padding of \"a/f\"");
}

TEST(another_type_or_mode_or_target_in_the_tar_is_refused)
{
    forge f;
    forge_begin(&f);
    f.entries[1].mode = 0755;
    refused(&f, EXIA_ECORRUPT, "the header of \"a/f\"");
    forge_begin(&f);
    forge_add(&f, 'l', "z", "a");
    f.entries[3].target = "/";
    refused(&f, EXIA_ECORRUPT, "the header of \"z\"");
    forge_begin(&f);
    forge_add(&f, 'f', "z", "");
    f.entries[3].type = 'h';
    f.entries[3].target = "/etc/passwd";
    refused(&f, EXIA_ECORRUPT, "the header of \"z\"");
}

TEST(a_record_written_in_another_way_is_refused)
{
#define DIGEST "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    static const char *const records[] = {
        "a d 0755 0 -\na/f f 0644 5 " DIGEST, /* no end of line */
        "a d 0755 0 -\n\n",                   /* an empty line */
        "a d 0755 0 -\r\n",                   /* another end */
        "%61 d 0755 0 -\n",                   /* encoded without need */
        "a%2f d 0755 0 -\n",                  /* digits in lower case */
        "a%00b d 0755 0 -\n",                 /* a NUL */
        "a% d 0755 0 -\n",                    /* half an escape */
        "a  d 0755 0 -\n",                    /* two spaces */
        "a d 755 0 -\n",                      /* a short mode */
        "a d 0755 00 -\n",                    /* zeros in front */
        "a d 0755 5 -\n",                     /* a directory with a size */
        "a d 0755 0 x\n",                     /* and with a digest */
        "a d 0755 0\n",                       /* too few fields */
        "a d 0755 0 - x\n",                   /* too many */
        "a c 0755 0 -\n",                     /* a device */
        "a p 0755 0 -\n",                     /* a fifo */
        "a\n",                                /* nothing but a path */
        "f f 0644 5 2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824\n",
        "f f 0644 5 2cf24dba\n",                      /* a short digest */
        "f f 0644 5 " DIGEST "00\n",                  /* a long one */
        "f f 0644 -5 " DIGEST "\n",                   /* a size below zero */
        "f f 0644 18446744073709551621 " DIGEST "\n", /* 2^64 + 5 */
        "l l 0644 0 a\n",                             /* a link's mode is 0777 */
    };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        forge f;
        forge_begin(&f);
        f.record = records[i];
        f.change.members = strcmp(records[i], records[0]) == 0 ? 2 : 1;
        f.change.size = 1;
        refused(&f, EXIA_ECORRUPT, "RECORD");
    }
}

TEST(a_record_with_another_number_of_lines_is_refused)
{
    forge f;
    for (uint64_t members = 1; members < 6; members++) {
        forge_begin(&f);
        f.change.members = members;
        if (members != 3)
            refused(&f, EXIA_ECORRUPT, "lines");
    }
    forge_begin(&f);
    f.change.members = 16000000; /* would be a gigabyte */
    refused(&f, EXIA_ECORRUPT, "fewer lines");
}

TEST(metadata_that_lies_is_refused)
{
    forge f;
    forge_begin(&f);
    f.change.size = 1;
    refused(&f, EXIA_ECORRUPT, "another size");
    forge_begin(&f);
    f.change.record_size = 7; /* as many blocks */
    refused(&f, EXIA_ECORRUPT, "member of a tar");
    f.change.record_size = 7000;
    refused(&f, EXIA_ECORRUPT, "RECORD");
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"format\":1}",
        "{\"format\":\"x\"}",
        "not json",
        "{\"format\":1,\"format\":1}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        forge_begin(&f);
        f.metadata = texts[i];
        refused(&f, EXIA_ECORRUPT, "");
    }
}

TEST(a_higher_format_is_told_from_damage)
{
    forge f;
    forge_begin(&f);
    f.metadata = "{\"format\":2,\"something\":\"new\"}";
    refused(&f, EXIA_EVERSION, "newer");
}

TEST(a_manifest_of_another_package_is_refused)
{
    forge f;
    forge_begin(&f);
    f.manifest = json_pack("{s:i, s:s, s:s}", "format", 1, "name", "other", "version", "1");
    refused(&f, EXIA_ECORRUPT, "not the manifest");
    json_decref(f.manifest);
    f.manifest = json_pack("{s:i, s:s, s:s}", "format", 1, "name", "../x", "version", "1");
    refused(&f, EXIA_ECORRUPT, "name");
    json_decref(f.manifest);
    f.manifest = json_pack("{s:i, s:s, s:s, s:[{s:s, s:s}]}", "format", 1, "name", "forged",
                           "version", "1", "components", "path", "b", "kind", "code");
    refused(&f, EXIA_ECORRUPT, "component \"b\"");
    json_decref(f.manifest);
}

TEST(a_package_without_a_manifest_file_is_refused)
{
    forge f;
    memset(&f, 0, sizeof f);
    forge_add(&f, 'd', "a", NULL);
    forge_add(&f, 'f', "a/f", "x");
    refused(&f, EXIA_ECORRUPT, "veda.json");
}

TEST(an_end_that_is_not_zero_is_refused)
{
    char end[2 * EXIA__BLOCK] = {0};
    forge f;
    forge_begin(&f);
    end[sizeof end - 1] = 1;
    f.end = end;
    refused(&f, EXIA_ECORRUPT, "zero blocks");
}

/* A small package in memory, to be written again and again. */
static char *small_package(size_t *size)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'l', "z", "a/f");
    forge_write(&f, check_path("small.veda"));
    return check_read_file(check_path("small.veda"), size);
}

TEST(a_package_cut_short_anywhere_is_refused)
{
    size_t size = 0;
    char *data = small_package(&size);
    const char *file = check_path("cut.veda");
    exia_package *package = NULL;
    check_write_file(file, data, size);
    check_ok(use(file));
    for (size_t left = size; left-- > 0;) {
        assert_int_equal(truncate(file, (off_t)left), 0);
        check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    }
    free(data);
}

TEST(a_flipped_bit_anywhere_is_refused)
{
    size_t size = 0;
    char *data = small_package(&size);
    const char *file = check_path("flipped.veda");
    check_write_file(file, data, size);
    int fd = open(file, O_WRONLY);
    for (size_t i = 0; i < size; i++) {
        char flipped = (char)(data[i] ^ 1 << i % 8);
        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)i), 1);
        exia_status rc = use(file);
        if (rc != EXIA_ECORRUPT && rc != EXIA_EVERSION)
            fail_msg("byte %zu of %zu: %d", i, size, rc);
        assert_int_equal(pwrite(fd, data + i, 1, (off_t)i), 1);
    }
    close(fd);
    check_ok(use(file));
    free(data);
}

TEST(bytes_put_in_or_added_are_refused)
{
    size_t size = 0;
    char *data = small_package(&size), *more = malloc(size + 1);
    const char *file = check_path("grown.veda");
    for (size_t at = 0; at <= size; at += at + 40 < size ? 13 : 1) {
        memcpy(more, data, at);
        more[at] = 0;
        memcpy(more + at + 1, data + at, size - at);
        check_write_file(file, more, size + 1);
        check_fails(EXIA_ECORRUPT, use(file));
    }
    free(more);
    free(data);
}
