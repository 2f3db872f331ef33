/* The same content gives the same bytes, an edit gives few new ones, and few bytes tell which. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/error.h"
#include "package/format.h"
#include "package/index.h"
#include "support/workspaces.h"

TEST(the_same_content_gives_the_same_bytes)
{
    const char *one = make_workspace("one"), *other = make_workspace("other");
    static const char *const names[] = {"b", "a", "c/x", "c.x", "c-x", "d"};
    for (size_t i = 0; i < 6; i++) {
        size_t k = 5 - i;
        if (i == 0) {
            make_directory(check_format("%s/c", one));
            make_directory(check_format("%s/c", other));
        }
        write_text(check_format("%s/%s", one, names[i]), names[i]);
        write_text(check_format("%s/%s", other, names[k]), names[k]);
        assert_int_equal(chmod(check_format("%s/%s", other, names[k]), 0664), 0);
    }
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};
    assert_int_equal(utimensat(AT_FDCWD, check_format("%s/a", one), times, 0), 0);
    check_ok(pack_from(one, check_path("one.veda")));
    check_ok(pack_from(other, check_path("other.veda")));
    assert_int_equal(
        system(check_format("cmp '%s' '%s'", check_path("one.veda"), check_path("other.veda"))), 0);
    exia_pack_options options = {.struct_size = sizeof options, .level = 9};
    exia_package *package = NULL, *again = NULL;
    check_ok(exia_package_write(NULL, one, check_path("nine.veda"), &options, NULL, &err));
    check_ok(exia_package_open(&package, check_path("one.veda"), &err));
    check_ok(exia_package_open(&again, check_path("nine.veda"), &err));
    assert_string_equal(exia__package_digest(package), exia__package_digest(again));
    exia_package_free(package);
    exia_package_free(again);
}

/* Bytes of frames in `b` that are not in `a`. */
static uint64_t new_bytes(const exia_package *a, const exia_package *b)
{
    size_t a_count = 0, b_count = 0;
    const exia__frame *old = exia__package_frames(&a_count, a);
    const exia__frame *now = exia__package_frames(&b_count, b);
    uint64_t bytes = 0;
    for (size_t i = 0; i < b_count; i++) {
        int found = 0;
        for (size_t k = 0; k < a_count && now[i].digest != NULL; k++)
            found |= old[k].digest != NULL && memcmp(old[k].digest, now[i].digest, 32) == 0;
        bytes += found ? 0 : now[i].size;
    }
    return bytes;
}

TEST(an_edit_changes_few_frames)
{
    const char *from = make_workspace("w"), *file = check_format("%s/f3", from);
    for (size_t i = 0; i < 6; i++)
        make_large(check_format("%s/f%zu", from, i), i == 3 ? 12 << 20 : 1 << 20, i);
    exia_package *before = packed(from, check_path("before.veda"));
    size_t size = 0;
    char *data = check_read_file(file, &size), *more = malloc(size + 10);
    memcpy(more, data, 6 << 20);
    memcpy(more + (6 << 20), "ten bytes!", 10);
    memcpy(more + (6 << 20) + 10, data + (6 << 20), size - (6 << 20));
    check_write_file(file, more, size + 10);
    exia_package *after = packed(from, check_path("after.veda"));
    /* the frame with the file's header, that with the edit, and RECORD and the tail */
    assert_in_range(new_bytes(before, after), 1 << 20, 9 << 20);
    write_text(check_format("%s/f0", from), "small now");
    exia_package *last = packed(from, check_path("last.veda"));
    assert_in_range(new_bytes(after, last), 1000, 5 << 20);
    free(data);
    free(more);
    exia_package_free(before);
    exia_package_free(after);
    exia_package_free(last);
}

TEST(a_large_file_has_frames_of_its_own)
{
    const char *from = make_workspace("w");
    size_t count = 0;
    write_text(check_format("%s/a", from), "small");
    make_large(check_format("%s/b", from), 2 << 20, 5);
    write_text(check_format("%s/c", from), "small");
    exia_package *package = packed(from, check_path("out.veda"));
    const exia__frame *frames = exia__package_frames(&count, package);
    assert_int_equal(frames[0].plain, 1024);
    assert_int_equal(frames[1].start, 1024);
    for (size_t i = 0; i < count; i++)
        assert_true(frames[i].start != 1024 + 512 + (2 << 20) || frames[i].plain == 1024 + 1024);
    /* what does not compress is stored: hardly larger, and it was hardly worked on */
    assert_in_range(frames[1].size, 1, frames[1].plain + 1000);
    exia_package_free(package);
}

/* ---- the end of a package, from afar ------------------------------------------------------------ */

/* A file of which only the end is there: whoever asks for more fails. */
typedef struct far_file {
    uint64_t size;
    exia__buffer end;
    int requests;
    uint64_t asked; /* bytes */
} far_file;

static exia_status read_far(void *into, uint64_t offset, size_t size, void *payload,
                            exia_error *error)
{
    far_file *f = payload;
    uint64_t from = f->size - f->end.size;
    f->requests++;
    f->asked += size;
    if (offset + size > f->size)
        return exia__fail(error, EXIA_EUSER, 0, "asked for what is behind the end");
    memset(into, 0, size);
    for (size_t i = 0; i < size; i++) {
        if (offset + i >= from)
            ((char *)into)[i] = f->end.data[offset + i - from];
    }
    return EXIA_OK;
}

static void add32(exia__buffer *to, uint32_t value)
{
    unsigned char bytes[4];
    exia__put32(bytes, value);
    check_ok(exia__buffer_append(to, bytes, sizeof bytes, &err));
}

/* The end of a package of `count` frames with a METADATA.json of `metadata` bytes. */
static far_file make_far(uint32_t count, uint32_t metadata)
{
    far_file f = {0};
    const uint32_t frame = 1000000, end = 1037, digests = 20 + 32 * count;
    add32(&f.end, EXIA__DIGESTS_MAGIC);
    add32(&f.end, digests - 8);
    check_ok(exia__buffer_append(&f.end, "VEDA", 4, &err));
    add32(&f.end, 1);
    add32(&f.end, count);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < 8; k++)
            add32(&f.end, i * 8 + k);
    }
    for (uint32_t i = 0; i < metadata + end; i++)
        check_ok(exia__buffer_append(&f.end, "m", 1, &err));
    add32(&f.end, EXIA__TABLE_MAGIC);
    add32(&f.end, (count + 3) * 8 + 9);
    for (uint32_t i = 0; i < count; i++) {
        add32(&f.end, frame);
        add32(&f.end, 2 << 20);
    }
    const uint32_t last[][2] = {{digests, 0}, {metadata, metadata - 100}, {end, 1024}};
    for (size_t i = 0; i < 3; i++) {
        add32(&f.end, last[i][0]);
        add32(&f.end, last[i][1]);
    }
    add32(&f.end, count + 3);
    check_ok(exia__buffer_append(&f.end, "", 1, &err));
    add32(&f.end, EXIA__FOOTER_MAGIC);
    f.size = (uint64_t)frame * count + f.end.size;
    return f;
}

TEST(the_frames_of_a_package_afar_are_known_by_one_request_or_two)
{
    static const struct {
        uint32_t count, metadata;
        int requests;
    } cases[] = {{2, 1000, 1},    {1500, 3000, 1},   {1700, 1000, 2},   {8000, 2000, 2},
                 {9000, 2000, 2}, {100000, 2000, 2}, {100, 1 << 20, 2}, {9000, 1 << 20, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        far_file f = make_far(cases[i].count, cases[i].metadata);
        const exia_source source = {read_far, f.size, NULL, &f};
        exia__index index = {0};
        unsigned char first[4];
        check_ok(exia__index_read(&index, &source, "far", 0, &err));
        assert_int_equal(f.requests, cases[i].requests);
        assert_in_range(f.asked, 1, f.end.size + (70 << 10));
        assert_int_equal(index.count, cases[i].count + 3);
        const exia__frame *last = &index.frames[cases[i].count - 1];
        assert_true(last->offset == 1000000u * (uint64_t)(cases[i].count - 1));
        exia__put32(first, (cases[i].count - 1) * 8);
        assert_memory_equal(last->digest, first, 4);
        assert_null(last[1].digest);
        assert_int_equal(strlen(index.hex), 64);
        exia__index_free(&index);
        check_fails(EXIA_EUNSUPPORTED,
                    exia__index_read(&index, &source, "far", cases[i].count, &err));
        exia__buffer_free(&f.end);
    }
}

TEST(an_end_that_is_cut_or_changed_is_told)
{
    far_file f = make_far(40, 1000);
    const exia_source source = {read_far, f.size, NULL, &f};
    exia__index index = {0};
    char hex[EXIA__HEX_SIZE];
    check_ok(exia__index_read(&index, &source, "far", 0, &err));
    memcpy(hex, index.hex, sizeof hex);
    exia__index_free(&index);
    for (size_t i = 0; i < f.end.size; i++) { /* it is told, or is METADATA.json, or the hash is */
        size_t metadata = 20 + 32 * 40;
        f.end.data[i] ^= 1;
        exia_status rc = exia__index_read(&index, &source, "far", 0, &err);
        assert_true(rc == EXIA_ECORRUPT ||
                    (rc == EXIA_OK && i >= metadata && i < metadata + 2037) ||
                    (rc == EXIA_OK && strcmp(hex, index.hex) != 0));
        exia__index_free(&index);
        f.end.data[i] ^= 1;
    }
    for (uint64_t size = 0; size < f.end.size; size += 13) {
        exia_source cut = {read_far, size, NULL, &f};
        check_fails(EXIA_ECORRUPT, exia__index_read(&index, &cut, "far", 0, &err));
    }
    exia__buffer_free(&f.end);
}
