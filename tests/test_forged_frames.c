/* Frames and their index: sizes that lie, bombs, windows, frames where none should be.  The digests
 * are those of what lies there, so that only the lie can be refused. */
#include <stdlib.h>

#include "support/forged.h"

enum { TAR, RECORD, DIGESTS, METADATA, END }; /* the frames of a small package */

/* ---- what the index says ---- */

TEST(a_frame_that_lies_about_its_size_is_refused)
{
    static const int changes[] = {-1, 1, 100, -4096};
    for (size_t i = 0; i < 4; i++) {
        for (size_t index = TAR; index <= END; index++) {
            forge f;
            forge_begin(&f);
            forge_tail(&f);
            f.frames[index].plain += (uint32_t)changes[i];
            check_refused(&f, EXIA_ECORRUPT, "");
            forge_tail(&f);
            f.frames[index].size += (uint32_t)changes[i];
            check_refused(&f, EXIA_ECORRUPT, "index");
        }
    }
}

TEST(content_moved_from_one_frame_to_its_neighbour_is_refused)
{
    forge f;
    forge_begin(&f);
    f.cut = 1024;
    forge_tail(&f);
    f.frames[0].plain += 512;
    f.frames[1].plain -= 512; /* the sum is right */
    check_refused(&f, EXIA_ECORRUPT, "frame 1 of 7 has not the size in the index");
    forge_tail(&f);
    f.frames[0].size += 1;
    f.frames[1].size -= 1;
    check_refused(&f, EXIA_ECORRUPT, "frame 1 of 7 is not what was written");
}

TEST(frames_that_overlap_are_refused)
{
    forge f;
    forge_begin(&f);
    f.cut = 1024;
    forge_tail(&f);
    f.frames[0].size += 10; /* the second would begin in the first, and all end behind the file */
    check_refused(&f, EXIA_ECORRUPT, "impossible size");
    forge_tail(&f);
    f.frames[END].size += 8; /* over the index itself */
    check_refused(&f, EXIA_ECORRUPT, "impossible size");
}

TEST(an_index_of_another_number_of_frames_is_refused)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 4, 6, 100, 1 << 28, 1u << 29, UINT32_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        forge f;
        forge_begin(&f);
        forge_file(&f);
        exia__put32((unsigned char *)f.file.data + f.file.size - 9, counts[i]);
        check_refused(&f, EXIA_ECORRUPT, "index");
    }
}

TEST(an_index_written_in_another_way_is_refused)
{
    static const struct {
        size_t from_end;
        char value;
    } bytes[] = {
        {5, (char)0x80}, /* with checksums */
        {5, 0x03},       /* bits that have no meaning yet */
        {4, 0x00},       /* another magic */
        {57, 0x5d},      /* another kind of skippable frame */
        {53, 0x30},      /* another size than the count gives */
    };
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        forge f;
        forge_begin(&f);
        forge_file(&f);
        assert_int_not_equal(f.file.data[f.file.size - bytes[i].from_end], bytes[i].value);
        f.file.data[f.file.size - bytes[i].from_end] = bytes[i].value;
        check_refused(&f, EXIA_ECORRUPT, "index");
    }
}

TEST(bytes_behind_the_index_or_before_the_first_frame_are_refused)
{
    forge f;
    forge_begin(&f);
    forge_file(&f);
    check_ok(exia__buffer_append(&f.file, "\0", 1, &err));
    check_refused(&f, EXIA_ECORRUPT, "does not end with an index");
    forge_file(&f);
    exia__buffer twice = {0};
    check_ok(exia__buffer_append(&twice, f.file.data, f.file.size, &err));
    check_ok(exia__buffer_append(&twice, f.file.data, f.file.size, &err));
    exia__buffer_free(&f.file);
    f.file = twice; /* a package behind a package: the last one's index does not reach the first */
    check_refused(&f, EXIA_ECORRUPT, "does not cover the whole file");
}

/* ---- frames where none should be ---- */

static const unsigned char skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 'x', 'x', 'x', 'x'};
static const unsigned char empty[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0};

TEST(a_frame_without_content_is_refused_wherever_it_lies)
{
    for (size_t index = TAR; index <= END + 1; index++) {
        forge f;
        forge_begin(&f);
        forge_tail(&f);
        forge_insert(&f, index, skippable, sizeof skippable, 0);
        check_refused(&f, EXIA_ECORRUPT, "");
        if (index <= DIGESTS) { /* in METADATA.json's digest too */
            forge_frames(&f);
            forge_insert(&f, index, skippable, sizeof skippable, 0);
            f.change.data_frames = index <= RECORD ? 2 : 1;
            f.change.record_frames = index <= RECORD ? 1 : 2;
            check_refused(&f, EXIA_ECORRUPT, "impossible size");
            forge_frames(&f);
            forge_insert(&f, index, empty, sizeof empty, 0);
            check_refused(&f, EXIA_ECORRUPT, "impossible size");
        }
    }
}

TEST(a_skippable_frame_hidden_beside_a_frame_is_refused)
{
    for (size_t index = TAR; index <= END; index++) {
        forge f;
        forge_begin(&f);
        forge_tail(&f);
        forge_frame *frame = &f.frames[index];
        check_ok(exia__buffer_append(&frame->packed, skippable, sizeof skippable, &err));
        frame->size += sizeof skippable;
        check_refused(&f, EXIA_ECORRUPT, "");
        if (index > RECORD)
            continue;
        forge_frames(&f); /* and its digest is right */
        frame = &f.frames[index];
        check_ok(exia__buffer_append(&frame->packed, skippable, sizeof skippable, &err));
        frame->size += sizeof skippable;
        check_refused(&f, EXIA_ECORRUPT, "has not the size in the index");
    }
}

TEST(two_frames_in_one_entry_of_the_index_are_refused)
{
    forge f;
    forge_begin(&f);
    f.cut = 1024;
    forge_frames(&f);
    forge_frame first = f.frames[0], *second = &f.frames[1];
    check_ok(exia__buffer_append(&first.packed, second->packed.data, second->size, &err));
    first.size += second->size;
    first.plain += second->plain;
    exia__buffer_free(&second->packed);
    memmove(f.frames + 1, f.frames + 2, (--f.frame_count - 1) * sizeof *f.frames);
    f.frames[0] = first;
    f.data_frames--;
    check_refused(&f, EXIA_ECORRUPT, "frame 1 of 6 has not the size in the index");
}

TEST(frames_in_another_order_are_refused)
{
    for (size_t index = TAR; index < END; index++) {
        forge f;
        forge_begin(&f);
        forge_tail(&f);
        forge_frame moved = f.frames[index];
        f.frames[index] = f.frames[index + 1];
        f.frames[index + 1] = moved;
        check_refused(&f, EXIA_ECORRUPT, "");
    }
}

/* ---- what a frame itself says ---- */

/* The frame of the tar as one block of a kind, header as given: magic, descriptor, window, size. */
static void put_by_hand(forge *f, const char *header, size_t size, int kind, uint32_t content)
{
    exia__buffer frame = {0};
    unsigned char block[4];
    forge_frames(f);
    check_ok(exia__buffer_append(&frame, header, size, &err));
    uint32_t plain = (uint32_t)f->tar.size, listed = content ? content : plain;
    exia__put32(block, listed << 3 | (uint32_t)kind << 1 | 1);
    check_ok(exia__buffer_append(&frame, block, 3, &err));
    if (kind == 0)
        check_ok(exia__buffer_append(&frame, f->tar.data, plain, &err));
    else
        check_ok(exia__buffer_append(&frame, "", 1, &err));
    exia__buffer_free(&f->frames[TAR].packed);
    f->frames[TAR] = (forge_frame){frame, (uint32_t)frame.size, listed};
}

static void frame_by_hand(forge *f, const char *header, size_t size, int kind, uint32_t content)
{
    forge_begin(f);
    put_by_hand(f, header, size, kind, content);
}

#define MAGIC "\x28\xb5\x2f\xfd"
enum { RAW, RLE };

TEST(a_frame_made_by_hand_is_good_when_its_header_is)
{
    forge f;
    forge_begin(&f);
    forge_tar(&f);
    assert_int_equal(f.tar.size, 2560); /* 0x0a00, less 256: 0x0900 */
    forge_free(&f);
    frame_by_hand(&f, MAGIC "\x60\x00\x09", 7, RAW, 0);
    check_accepted(&f);
    frame_by_hand(&f, MAGIC "\xa0\x00\x0a\0\0", 9, RAW, 0);
    check_accepted(&f);
    frame_by_hand(&f, MAGIC "\x40\x58\x00\x09", 8, RAW, 0); /* a window of 2 MiB */
    check_accepted(&f);
}

TEST(a_frame_whose_header_says_too_little_or_too_much_is_refused)
{
    forge f;
    frame_by_hand(&f, MAGIC "\0\x58", 6, RAW, 0); /* no size of the content */
    check_refused(&f, EXIA_ECORRUPT, "has not the size in the index");
    frame_by_hand(&f, MAGIC "\x60\x00\x0a", 7, RAW, 0); /* another one */
    check_refused(&f, EXIA_ECORRUPT, "has not the size in the index");
    frame_by_hand(&f, MAGIC "\x61\x07\x00\x09", 8, RAW, 0); /* a dictionary */
    check_refused(&f, EXIA_ECORRUPT, "cannot be decompressed");
    frame_by_hand(&f, MAGIC "\x68\x00\x09", 7, RAW, 0); /* the reserved bit */
    check_refused(&f, EXIA_ECORRUPT, "has not the size in the index");
    frame_by_hand(&f, "\x27\xb5\x2f\xfd\x60\x00\x09", 7, RAW, 0); /* zstd 0.7 */
    check_refused(&f, EXIA_ECORRUPT, "is no frame of zstd");
    frame_by_hand(&f, MAGIC "\x64\x00\x09", 7, RAW, 0); /* a checksum that is not there */
    check_refused(&f, EXIA_ECORRUPT, "has not the size in the index");
}

/* Windows that the zstd tool would refuse, or that would cost a reader of streams its memory. */
TEST(a_window_larger_or_smaller_than_a_frame_may_want_is_refused)
{
    static const char windows[] = {0x00, 0x37, 0x61, 0x68, (char)0x88, (char)0xa8, (char)0xff};
    for (size_t i = 0; i < sizeof windows; i++) {
        char header[] = MAGIC "\x40w\x00\x09";
        forge f;
        header[5] = windows[i];
        frame_by_hand(&f, header, 8, RAW, 0);
        check_refused(&f, EXIA_ECORRUPT, "window");
    }
}

/* Some zstd libraries take it when they decompress at once; `tar --zstd` does not. */
TEST(a_block_larger_than_a_block_may_be_is_refused)
{
    static const char *const headers[] = {MAGIC "\xa0\x00\x30\x02\0",
                                          MAGIC "\x80\x60\x00\x30\x02\0"};
    static char content[140000];
    memset(content, 'x', sizeof content - 1);
    for (size_t i = 0; i < 2; i++) {
        forge f;
        forge_begin(&f);
        forge_add(&f, 'f', "z", content);
        put_by_hand(&f, headers[i], 9 + i, RAW, 0);
        assert_int_equal(f.tar.size, 0x23000);
        check_refused(&f, EXIA_ECORRUPT, "a block larger than 128 KiB");
    }
}

/* A few bytes that decompress to more than a frame may hold, or than the tar should have. */
TEST(a_bomb_is_refused)
{
    static const char bytes[EXIA__MOST_PLAIN + 1];
    forge f;
    forge_begin(&f);
    forge_tar(&f);
    f.cut = sizeof bytes;
    check_ok(exia__buffer_append(&f.tar, bytes, sizeof bytes - f.tar.size, &err));
    check_refused(&f, EXIA_ECORRUPT, "impossible size");
    f.cut = 0;
    forge_tar(&f);
    check_ok(exia__buffer_append(&f.tar, bytes, sizeof bytes, &err));
    check_refused(&f, EXIA_ECORRUPT, "another size");
    frame_by_hand(&f, MAGIC "\xa0\0\0\0\x40", 9, RLE, 100000); /* 1 GiB, in the header alone */
    check_refused(&f, EXIA_ECORRUPT, "another size");
    frame_by_hand(&f, MAGIC "\x60\x00\x09", 7, RLE, 100000); /* more than its header says */
    f.frames[TAR].plain = 2560;
    check_refused(&f, EXIA_ECORRUPT, "a block larger");
}

static size_t largest; /* request for memory */

static void *resize(void *memory, size_t size, void *payload)
{
    (void)payload;
    largest = size > largest ? size : largest;
    return realloc(memory, size);
}

static void release(void *memory, void *payload)
{
    (void)payload;
    free(memory);
}

/* 60 MiB of RECORD in a small file: what is no line costs no more than the frame it is in. */
TEST(a_record_that_is_a_bomb_costs_no_memory)
{
    static const exia_allocator watching = {resize, release, NULL};
    static char bytes[EXIA__MOST_PLAIN];
    exia_package *package = NULL;
    forge f;
    memset(bytes, 'x', sizeof bytes);
    forge_begin(&f);
    forge_tar(&f);
    f.record.size = 0;
    for (size_t i = 0; i < 15; i++)
        check_ok(exia__buffer_append(&f.record, bytes, sizeof bytes, &err));
    f.change.members = 1000000;
    const char *file = forged_file(&f);
    assert_true(f.file.size < 100000);
    check_ok(exia_allocator_set(&watching, &err));
    check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    check_text("RECORD is not valid at line 1");
    check_ok(exia_allocator_set(NULL, &err));
    assert_in_range(largest, sizeof bytes, 2 * sizeof bytes + 4096);
    forge_free(&f);
}

TEST(a_record_of_more_than_its_members_can_need_is_refused)
{
    forge f;
    forge_begin(&f);
    f.change.record_size = (64 << 20) + 3 * 256;
    check_refused(&f, EXIA_ECORRUPT, "another size");
    f.change.record_size++;
    check_refused(&f, EXIA_ECORRUPT, "impossible value");
}

TEST(a_frame_of_other_content_is_refused)
{
    forge f;
    frame_by_hand(&f, MAGIC "\x60\x00\x09", 7, RLE, 2560); /* zeros, as many */
    check_refused(&f, EXIA_ECORRUPT, "the header of \"a\"");
    forge_begin(&f);
    forge_frames(&f);
    f.frames[TAR].packed.data[20] ^= 1; /* the digest is right, the frame is not */
    check_refused(&f, EXIA_ECORRUPT, "cannot be decompressed");
}

/* ---- the digests of frames ---- */

/* The content is right, and so are all files: what differs is what a transfer would compare. */
TEST(a_frame_compressed_in_another_way_is_not_what_was_written)
{
    for (size_t index = TAR; index <= RECORD; index++) {
        forge f;
        forge_begin(&f);
        forge_tail(&f);
        forge_frame *frame = &f.frames[index];
        frame->size -= 4;
        frame->packed.size -= 4;
        frame->packed.data[4] &= (char)~4; /* without its checksum */
        check_refused(&f, EXIA_ECORRUPT, "is not what was written");
    }
}

TEST(digests_of_other_frames_are_refused)
{
    static const size_t places[] = {0, 4, 8, 12, 16, 20, 51, 52, 83};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        forge f;
        forge_begin(&f);
        forge_tail(&f);
        assert_int_equal(f.frames[DIGESTS].size, 84);
        f.frames[DIGESTS].packed.data[places[i]] ^= 1;
        check_refused(&f, EXIA_ECORRUPT, "its digests are not");
    }
    forge f;
    forge_begin(&f);
    f.change.data_frames = f.change.record_frames = 2; /* there is one of each */
    check_refused(&f, EXIA_ECORRUPT, "impossible value");
}
