/* A tar that another writer would make, or that a lenient reader would take for something else: other
 * bytes than ours are refused, whatever they mean. */
#include "support/forged.h"

enum { NAME = 0, MODE = 100, SIZE = 124, TYPE = 156, TARGET = 157, MAGIC = 257, PREFIX = 345 };

static const char zeros[4 * EXIA__BLOCK];

/* ---- one field of a header ---- */

static void refuse_field(size_t at, const void *bytes, size_t size)
{
    forge f;
    forge_begin(&f);
    forge_tar(&f);
    unsigned char *header = forge_header(&f, 1);
    assert_memory_not_equal(header + at, bytes, size);
    memcpy(header + at, bytes, size);
    forge_sum(header);
    check_refused(&f, EXIA_ECORRUPT, "the header of \"a/f\"");
}

TEST(a_header_that_differs_in_one_byte_is_refused)
{
    for (size_t i = 0; i < EXIA__BLOCK; i++) {
        forge f;
        forge_begin(&f);
        forge_tar(&f);
        unsigned char *header = forge_header(&f, 1);
        header[i] ^= 1;
        if (i < 148 || i >= 156) /* the checksum itself */
            forge_sum(header);
        check_fails(EXIA_ECORRUPT, forged_use(forged_file(&f)));
        check_text("the header of \"a/f\"");
        forge_free(&f);
    }
}

TEST(another_type_in_the_tar_is_refused)
{
    for (const char *type = "1234567DLKMNSVXgx"; *type != '\0'; type++)
        refuse_field(TYPE, type, 1);
    refuse_field(TYPE, "", 1); /* an old way to say '0' */
}

TEST(another_way_to_write_a_field_is_refused)
{
    refuse_field(NAME, "./a/f", 6);
    refuse_field(NAME, "a/f/", 5);
    refuse_field(NAME, "a/f\0g", 6);
    refuse_field(MODE, "0000755", 8);
    refuse_field(MODE, "0100644", 8);
    refuse_field(MODE, "000644 ", 8);
    refuse_field(SIZE, "0000000005 ", 12);
    refuse_field(SIZE, "\x80\0\0\0\0\0\0\0\0\0\0\5", 12);
    refuse_field(SIZE, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\5", 12);
    refuse_field(SIZE, "77777777777", 12);
    refuse_field(TARGET, "/etc/passwd", 12);
    refuse_field(MAGIC, "ustar  ", 8); /* GNU's */
    refuse_field(MAGIC, "\0\0\0\0\0\0\0", 8);
    refuse_field(PREFIX, "..", 3);
    refuse_field(PREFIX + 38, "0000000001", 11); /* where a sparse file of GNU has its map */
}

TEST(another_mode_or_target_in_the_tar_is_refused)
{
    forge f;
    forge_begin(&f);
    f.entries[1].mode = 0755;
    check_refused(&f, EXIA_ECORRUPT, "the header of \"a/f\"");
    forge_begin(&f);
    forge_add(&f, 'l', "z", "a");
    f.entries[3].target = "/";
    check_refused(&f, EXIA_ECORRUPT, "the header of \"z\"");
    forge_begin(&f);
    forge_add(&f, 'f', "z", "");
    f.entries[3].type = 'h';
    f.entries[3].target = "/etc/passwd";
    check_refused(&f, EXIA_ECORRUPT, "the header of \"z\"");
}

/* ---- members in between ---- */

/* In the place of a file, a member of another type with the same content: what RECORD says of its
 * bytes is true. */
static void refuse_instead(char type, const char *name, const char *content)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'f', "x", content);
    forge_tar(&f);
    unsigned char *header = forge_header(&f, 3);
    memcpy(header + NAME, name, strlen(name));
    header[TYPE] = (unsigned char)type;
    forge_sum(header);
    check_refused(&f, EXIA_ECORRUPT, "the header of \"x\"");
}

TEST(headers_with_more_than_a_header_holds_are_refused)
{
    refuse_instead('x', "PaxHeaders/y", "18 path=../../../e\n");
    refuse_instead('x', "PaxHeaders/y", "22 GNU.sparse.major=1\n");
    refuse_instead('g', "GlobalHead", "26 SCHILY.xattr.user.a=b\n");
    refuse_instead('L', "././@LongLink", "short");
    refuse_instead('K', "././@LongLink", "short");
    refuse_instead('N', "././@LongName", "Rename a to b");
    refuse_instead('V', "a volume", "x");
    refuse_instead('S', "sparse", "x");
    refuse_instead('D', "dump", "x");
    refuse_instead('M', "more", "x");
}

/* The bytes between two members, and the size that METADATA.json and the frames agree on. */
static void refuse_between(size_t index, const void *bytes, size_t size, const char *text)
{
    forge f;
    forge_begin(&f);
    forge_tar(&f);
    exia__buffer tar = {0};
    size_t at = (size_t)(forge_header(&f, index) - (unsigned char *)f.tar.data);
    check_ok(exia__buffer_append(&tar, f.tar.data, at, &err));
    check_ok(exia__buffer_append(&tar, bytes, size, &err));
    check_ok(exia__buffer_append(&tar, f.tar.data + at, f.tar.size - at, &err));
    exia__buffer_free(&f.tar);
    f.tar = tar;
    check_refused(&f, EXIA_ECORRUPT, text);
}

TEST(bytes_between_members_are_refused)
{
    exia__entry device = {.path = "d", .type = 'd', .mode = 0755};
    exia__buffer member = {0};
    refuse_between(0, zeros, EXIA__BLOCK, "another size");
    refuse_between(1, zeros, sizeof zeros, "another size");
    forge_put(&member, &device, NULL);
    for (const char *type = "346"; *type != '\0'; type++) {
        member.data[TYPE] = *type;
        forge_sum((unsigned char *)member.data);
        refuse_between(2, member.data, member.size, "another size");
    }
    exia__buffer_free(&member);
}

TEST(a_long_name_that_is_not_needed_or_cut_short_is_refused)
{
    static char name[102];
    forge f;
    forge_begin(&f);
    memset(name, 'x', 101);
    forge_add(&f, 'f', name, "");
    check_accepted(&f);
    forge_tar(&f);
    unsigned char *header = forge_header(&f, 3), *text = header - EXIA__BLOCK;
    text[100] = '\0'; /* the same name as the header's own */
    check_refused(&f, EXIA_ECORRUPT, "the header of \"xxx");
    forge_tar(&f);
    text = forge_header(&f, 3) - EXIA__BLOCK;
    text[101] = 'x'; /* no end */
    check_refused(&f, EXIA_ECORRUPT, "the header of \"xxx");
    forge_tar(&f);
    text = forge_header(&f, 3) - EXIA__BLOCK;
    memcpy(text - EXIA__BLOCK + SIZE, "00000000144", 11); /* 100 bytes, without the NUL */
    forge_sum(text - EXIA__BLOCK);
    check_refused(&f, EXIA_ECORRUPT, "the header of \"xxx");
}

/* ---- behind a member ---- */

TEST(padding_that_is_not_zero_is_refused)
{
    forge f;
    forge_begin(&f);
    for (size_t at = 5; at < EXIA__BLOCK; at++) {
        forge_tar(&f);
        forge_header(&f, 1)[EXIA__BLOCK + at] = 'x';
        check_fails(EXIA_ECORRUPT, forged_use(forged_file(&f)));
        check_text("the padding of \"a/f\"");
        forge_free(&f);
    }
}

TEST(bytes_behind_the_last_member_are_refused)
{
    static const size_t sizes[] = {1, 511, 512, 1024, 2048};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        forge f;
        forge_begin(&f);
        forge_tar(&f);
        check_ok(exia__buffer_append(&f.tar, zeros, sizes[i], &err));
        check_refused(&f, EXIA_ECORRUPT, "another size");
    }
}

/* Other readers stop at the zeros; what would follow is for those that do not. */
TEST(a_second_tar_behind_the_first_is_refused)
{
    forge f, second;
    forge_begin(&f);
    forge_begin(&second);
    forge_tar(&second);
    forge_tar(&f);
    check_ok(exia__buffer_append(&f.tar, zeros, 2 * EXIA__BLOCK, &err));
    check_ok(exia__buffer_append(&f.tar, second.tar.data, second.tar.size, &err));
    check_refused(&f, EXIA_ECORRUPT, "another size");
    forge_tail(&f);
    forge_pack(&f, second.tar.data, second.tar.size); /* behind the end */
    check_refused(&f, EXIA_ECORRUPT, "impossible");
    forge_free(&second);
}

TEST(an_end_that_is_not_zero_is_refused)
{
    char end[2 * EXIA__BLOCK] = {0};
    forge f;
    forge_begin(&f);
    f.end = end;
    for (size_t at = 0; at < sizeof end; at++) {
        end[at] = 1;
        check_fails(EXIA_ECORRUPT, forged_use(forged_file(&f)));
        check_text("zero blocks");
        forge_free(&f);
        end[at] = 0;
    }
}
