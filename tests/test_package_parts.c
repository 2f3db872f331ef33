/* The parts of the format by themselves: headers, lines, cuts, rules, the manifest. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/memory.h"
#include "package/format.h"
#include "package/frames.h"
#include "package/walk.h"
#include "support/check.h"

/* ---- the manifest ---- */

TEST(a_manifest_with_a_wrong_field_is_refused_and_the_field_is_named)
{
#define MANIFEST(fields) "{\"format\":1,\"name\":\"x\",\"version\":\"1\"" fields "}"
    static const char *const cases[][2] = {
        {"", "JSON"},
        {"[]", "object"},
        {"{}", "format"},
        {"{\"format\":0,\"name\":\"x\",\"version\":\"1\"}", "format"},
        {"{\"format\":\"1\",\"name\":\"x\",\"version\":\"1\"}", "format"},
        {"{\"format\":1,\"version\":\"1\"}", "name"},
        {"{\"format\":1,\"name\":\"X\",\"version\":\"1\"}", "name"},
        {"{\"format\":1,\"name\":\"../x\",\"version\":\"1\"}", "name"},
        {"{\"format\":1,\"name\":7,\"version\":\"1\"}", "name"},
        {"{\"format\":1,\"name\":\"x\"}", "version"},
        {"{\"format\":1,\"name\":\"x\",\"version\":\"one\"}", "version"},
        {"{\"format\":1,\"name\":\"x\",\"version\":\"1/2\"}", "version"},
        {"{\"format\":1,\"name\":\"x\",\"version\":\"1\",\"version\":\"2\"}", "JSON"},
        {MANIFEST(",\"colour\":1"), "\"colour\""},
        {MANIFEST(",\"platform\":\"Linux\""), "platform"},
        {MANIFEST(",\"platform\":\"\""), "platform"},
        {MANIFEST(",\"platform\":\"a/b\""), "platform"},
        {MANIFEST(",\"platform\":7"), "platform"},
        {MANIFEST(",\"description\":[]"), "description"},
        {MANIFEST(",\"components\":{}"), "components"},
        {MANIFEST(",\"components\":[7]"), "components"},
        {MANIFEST(",\"components\":[{\"kind\":\"code\"}]"), "components"},
        {MANIFEST(",\"components\":[{\"path\":\"../a\",\"kind\":\"code\"}]"), "\"../a\""},
        {MANIFEST(",\"components\":[{\"path\":\"/a\",\"kind\":\"code\"}]"), "\"/a\""},
        {MANIFEST(",\"components\":[{\"path\":\"a\"}]"), "kind"},
        {MANIFEST(",\"components\":[{\"path\":\"a\",\"kind\":\"art\"}]"), "kind"},
        {MANIFEST(",\"components\":[{\"path\":\"a\",\"kind\":\"code\",\"x\":1}]"), "\"x\""},
        {MANIFEST(",\"components\":[{\"path\":\"a\",\"kind\":\"code\"},{\"path\":\"a\","
                  "\"kind\":\"doc\"}]"),
         "twice"},
        {MANIFEST(",\"entry_points\":[]"), "entry_points"},
        {MANIFEST(",\"entry_points\":{\"p\":\"module\"}"), "module:object"},
        {MANIFEST(",\"entry_points\":{\"p\":\"a.b:\"}"), "module:object"},
        {MANIFEST(",\"entry_points\":{\"p\":\":o\"}"), "module:object"},
        {MANIFEST(",\"entry_points\":{\"p\":\"a:b:c\"}"), "module:object"},
        {MANIFEST(",\"entry_points\":{\"p\":\"a..b:c\"}"), "module:object"},
        {MANIFEST(",\"entry_points\":{\"p\":\"os; x:y\"}"), "module:object"},
        {MANIFEST(",\"entry_points\":{\"p\":7}"), "must be a text, \"module:object\""},
        {MANIFEST(",\"entry_points\":{\"p p\":\"a:b\"}"), "entry_points"},
        {MANIFEST(",\"dependencies\":\"y\""), "dependencies"},
        {MANIFEST(",\"dependencies\":[7]"), "dependencies"},
        {MANIFEST(",\"dependencies\":[\"y >> 1\"]"), "y >> 1"},
        {MANIFEST(",\"dependencies\":[\"x\"]"), "itself"},
        {MANIFEST(",\"dependencies\":[\"y > 1\",\"y < 2\"]"), "twice"},
        {MANIFEST(",\"environment\":[]"), "environment"},
        {MANIFEST(",\"environment\":{\"x\":1}"), "\"x\""},
        {MANIFEST(",\"environment\":{\"paths\":{\"PATH\":\"/usr/bin\"}}"), "/usr/bin"},
        {MANIFEST(",\"environment\":{\"paths\":{\"PATH\":[\"a\",\"../b\"]}}"), "../b"},
        {MANIFEST(",\"environment\":{\"paths\":{\"A=B\":\"a\"}}"), "A=B"},
        {MANIFEST(",\"environment\":{\"variables\":{\"1\":\"a\"}}"), "\"1\""},
        {MANIFEST(",\"environment\":{\"variables\":{\"A\":1}}"), "\"A\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *manifest = (json_t *)1;
        check_fails(EXIA_EINVAL, exia__manifest_parse(&manifest, cases[i][0], strlen(cases[i][0]),
                                                      "veda.json", EXIA_EINVAL, &err));
        check_text("veda.json");
        check_text(cases[i][1]);
        assert_null(manifest);
    }
}

TEST(a_manifest_of_a_newer_format_is_told_from_a_mistake)
{
    json_t *manifest = NULL;
    const char *text = "{\"format\":2,\"anything\":1}";
    check_fails(EXIA_EVERSION, exia__manifest_parse(&manifest, text, strlen(text), "veda.json",
                                                    EXIA_EINVAL, &err));
}

TEST(a_full_manifest_is_accepted)
{
    json_t *manifest = NULL;
    const char *text = MANIFEST(
        ",\"platform\":\"linux_x86_64\",\"description\":\"d\",\"components\":[{\"path\":\"a/b\","
        "\"kind\":\"code\"},{\"path\":\"a\",\"kind\":\"doc\"}],\"entry_points\":{\"p\":\"a.b:C.d\"}"
        ","
        "\"dependencies\":[\"y >= 1.2, < 2\",\"z\"],\"environment\":{\"paths\":{\"PATH\":[\"bin\"],"
        "\"MANPATH\":\"man\"},\"variables\":{\"A_B\":\"c\"}}");
    check_ok(exia__manifest_parse(&manifest, text, strlen(text), "veda.json", EXIA_EINVAL, &err));
    assert_string_equal(exia__manifest_tag(manifest), "linux_x86_64");
    assert_string_equal(exia__manifest_kind(manifest, "a/b/c"), "code");
    assert_string_equal(exia__manifest_kind(manifest, "a/bc"), "doc");
    assert_null(exia__manifest_kind(manifest, "ab"));
    json_decref(manifest);
}

/* ---- tar and RECORD ---- */

TEST(a_header_is_as_long_as_it_says_and_sums_up)
{
    static const size_t lengths[] = {1, 98, 99, 100, 101, 510, 511, 512, 513, 4095};
    static char name[4097], target[4097];
    for (size_t i = 0; i < 10 * 10 * 3; i++) {
        exia__entry entry = {.path = name, .mode = 0755, .type = "fdl"[i % 3]};
        exia__buffer header = {0};
        memset(name, 'n', sizeof name);
        memset(target, 't', sizeof target);
        name[lengths[i / 3 % 10]] = target[lengths[i / 30]] = '\0';
        entry.target = entry.type == 'l' ? target : NULL;
        check_ok(exia__tar_header(&header, &entry, &err));
        assert_int_equal(header.size, exia__tar_size(&entry));
        assert_int_equal(header.size % EXIA__BLOCK, 0);
        const unsigned char *block = (unsigned char *)header.data + header.size - EXIA__BLOCK;
        unsigned sum = 0;
        for (size_t at = 0; at < EXIA__BLOCK; at++)
            sum += at >= 148 && at < 156 ? ' ' : block[at];
        assert_int_equal(strtoul((char *)block + 148, NULL, 8), sum);
        exia__buffer_free(&header);
    }
}

TEST(a_size_from_eight_gib_is_written_in_base_256)
{
    exia__entry entry = {.path = "x", .mode = 0644, .type = 'f', .size = ((uint64_t)8 << 30) - 1};
    exia__buffer header = {0};
    check_ok(exia__tar_header(&header, &entry, &err));
    assert_string_equal(header.data + 124, "77777777777");
    entry.size++;
    check_ok(exia__tar_header(&header, &entry, &err));
    assert_memory_equal(header.data + 124, "\x80\0\0\0\0\0\0\2\0\0\0\0", 12);
    assert_int_equal(exia__tar_size(&entry), entry.size + EXIA__BLOCK);
    exia__buffer_free(&header);
}

TEST(path_order_puts_the_slash_lowest)
{
    static const char *const order[] = {"a",   "a/b", "a/b/c", "a/\x01", "a\x01",
                                        "a b", "a-b", "a.b",   "ab",     "\xff"};
    for (size_t i = 0; i < 10; i++) {
        for (size_t k = 0; k < 10; k++) {
            int got = exia__path_order(order[i], order[k]);
            /* "a/b" and "a/\x01" change places: only the slash is special */
            size_t left = i == 3 ? 1 : i == 1 || i == 2 ? i + 1 : i;
            size_t right = k == 3 ? 1 : k == 1 || k == 2 ? k + 1 : k;
            assert_int_equal((got > 0) - (got < 0), (left > right) - (left < right));
        }
    }
}

TEST(a_line_of_the_record_says_everything_and_is_read_back)
{
    exia__entry given[] = {{.path = "a b\n%\xff", .type = 'f', .mode = 0644, .size = UINT64_MAX},
                           {.path = "d", .type = 'd', .mode = 0},
                           {.path = "h", .type = 'h', .mode = 0644, .target = "a b\n%\xff"},
                           {.path = "l", .type = 'l', .mode = 0777, .target = "../\t"}};
    exia__buffer text = {0};
    exia__entry *got = NULL;
    exia__checked checked = {0};
    uint64_t size = 0;
    for (size_t i = 0; i < sizeof given[0].digest; i++)
        given[0].digest[i] = (unsigned char)(i * 37);
    for (size_t i = 0; i < 4; i++)
        check_ok(exia__record_line(&text, &given[i], &err));
    for (size_t i = 0; i < 4; i++)
        size += exia__record_size(&given[i]);
    assert_int_equal(size, text.size);
    assert_non_null(
        strstr(text.data, "\nd d 0000 0 -\nh h 0644 0 a%20b%0A%25%FF\nl l 0777 0 ../%09\n"));
    check_ok(exia__record_check(&checked, text.data, text.size, &err));
    assert_int_equal(checked.size, text.size);
    assert_int_equal(checked.lines, 4);
    check_ok(exia__record_parse(&got, text.data, text.size, 4, &err));
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(got[i].path, given[i].path);
        assert_int_equal(got[i].type, given[i].type);
        assert_int_equal(got[i].mode, given[i].mode);
        assert_true(got[i].size == given[i].size);
        assert_memory_equal(got[i].digest, given[i].digest, sizeof given[i].digest);
        if (given[i].target != NULL)
            assert_string_equal(got[i].target, given[i].target);
    }
    exia__release(got);
    exia__buffer_free(&text);
}

/* ---- globs ---- */

static int glob(const char *glob_text, const char *text, int crosses)
{
    return exia__glob(glob_text, strlen(glob_text), text, strlen(text), crosses);
}

TEST(a_glob_matches_as_in_a_shell)
{
    assert_true(glob("*", "", 0) && glob("*", "abc", 0) && glob("a*c", "abbc", 0));
    assert_true(glob("*.py", "a.py", 0) && !glob("*.py", "a.pyc", 0) && !glob("", "a", 0));
    assert_true(!glob("*", "a/b", 0) && glob("*", "a/b", 1) && glob("a*", "a/b/c", 1));
    assert_true(!glob("a?b", "a/b", 0) && glob("a?b", "a/b", 1) && !glob("?", "", 1));
    assert_true(glob("a?b",
                     "a\xc3\xa4"
                     "b",
                     0));
    assert_true(glob("[a-c]x", "bx", 0) && !glob("[a-c]x", "dx", 0) && glob("[!a-c]x", "dx", 0));
    assert_true(glob("[]x]", "]", 0) && glob("[a-]", "-", 0) && !glob("[!/]", "/", 0));
    assert_true(glob("[", "[", 0) && glob("[a", "[a", 0) && glob("\\*", "*", 0) &&
                !glob("\\*", "a", 0));
    assert_true(glob("[\\]]", "]", 0) && glob("a\\", "a\\", 0));
    assert_true(glob("*a*b*c", "xxaxxbxxabc", 0) && !glob("*a*b*c", "xxaxxbxxab", 0));
}

TEST(a_glob_of_many_stars_takes_no_time)
{
    char stars[101], text[3000];
    for (size_t i = 0; i < 100; i++)
        stars[i] = i % 2 ? 'a' : '*';
    stars[99] = 'b';
    stars[100] = '\0';
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_false(glob(stars, text, 1));
}

/* ---- cuts ---- */

static uint64_t state;
static unsigned char noise(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned char)(state >> 56);
}

/* The lengths of the frames that a stream is cut into, fed in pieces of a size. */
static size_t cut(size_t *lengths, const unsigned char *data, size_t size, size_t piece)
{
    static exia__cutter cutter;
    size_t count = 0;
    exia__cutter_open(&cutter);
    exia__cutter_begin(&cutter, &exia__cuts_data);
    for (size_t at = 0; at < size;) {
        size_t more = size - at < piece ? size - at : piece;
        size_t taken = exia__cutter_take(&cutter, data + at, more, size - at);
        assert_true(taken > 0 && taken <= more);
        at += taken;
        if (cutter.filled == cutter.end || at == size) {
            lengths[count++] = cutter.filled;
            exia__cutter_begin(&cutter, &exia__cuts_data);
        }
    }
    return count;
}

TEST(cuts_keep_their_bounds_and_do_not_depend_on_how_bytes_arrive)
{
    enum { SIZE = 24 << 20 };
    static const size_t pieces[] = {SIZE, 1 << 16, 65537, 4099};
    unsigned char *data = malloc(SIZE);
    size_t first[64], other[64], count = 0;
    state = 1;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = noise();
    for (size_t p = 0; p < 4; p++) {
        size_t got = cut(p == 0 ? first : other, data, SIZE, pieces[p]);
        assert_true(p == 0 || got == count);
        count = got;
        assert_true(p == 0 || memcmp(first, other, count * sizeof *first) == 0);
    }
    for (size_t i = 0; i < count; i++)
        assert_true(first[i] <= exia__cuts_data.most &&
                    (i + 1 == count || first[i] >= exia__cuts_data.least));
    assert_in_range(SIZE / count, 3 << 19, 3 << 20); /* the mean is about 2 MiB */
    free(data);
}

TEST(the_cuts_behind_an_insertion_are_found_again)
{
    enum { SIZE = 24 << 20, INSERT = 100 };
    unsigned char *data = malloc(SIZE + INSERT);
    size_t before[64], after[64], same = 0;
    state = 2;
    for (size_t i = 0; i < SIZE + INSERT; i++)
        data[i] = noise();
    size_t count = cut(before, data + INSERT, SIZE, SIZE);
    size_t more = cut(after, data, SIZE + INSERT, SIZE);
    while (same < count && same < more && before[count - 1 - same] == after[more - 1 - same])
        same++;
    assert_true(same + 3 >= count);
    free(data);
}

TEST(the_same_bytes_without_end_are_cut_at_the_most)
{
    unsigned char *zeros = calloc(1, 9 << 20);
    size_t lengths[8];
    assert_int_equal(cut(lengths, zeros, 9 << 20, 1 << 20), 3);
    assert_int_equal(lengths[0], exia__cuts_data.most);
    free(zeros);
}
