/* The same content gives the same bytes, and an edit gives few new ones. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "package/read.h"
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
