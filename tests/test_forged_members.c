/* Members that no package may have, a RECORD that is not written as it should be, and a tar that has
 * another content than RECORD says. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "support/forged.h"

TEST(a_forged_package_with_no_lie_in_it_is_good)
{
    forge f;
    forge_begin(&f);
    check_accepted(&f);
    f.cut = 500;
    check_accepted(&f);
}

/* ---- paths ---- */

TEST(a_path_that_leads_out_is_refused)
{
    static const char *const paths[] = {"../x", "/x",   "a/../../x", "a/./x", "a//x",
                                        "a/..", "a/x/", "",          ".",     ".."};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        forge f = {0};
        forge_add(&f, 'f', paths[i], "x");
        check_refused(&f, EXIA_ECORRUPT, "the member");
    }
}

TEST(a_path_of_too_many_bytes_is_refused)
{
    static char part[257], path[5000];
    forge f = {0};
    memset(part, 'x', 256);
    forge_add(&f, 'f', part, "x");
    check_refused(&f, EXIA_ECORRUPT, "255 bytes");
    for (size_t i = 0; i < sizeof path - 1; i++)
        path[i] = i % 2 ? '/' : 'x';
    f.recorded[0].path = path; /* the tar keeps the other: RECORD is refused before it is read */
    check_refused(&f, EXIA_ECORRUPT, "4095 bytes");
}

TEST(the_name_of_the_package_itself_is_refused)
{
    forge f = {0};
    forge_add(&f, 'd', "VEDA", NULL);
    check_refused(&f, EXIA_ECORRUPT, "VEDA");
    memset(&f, 0, sizeof f);
    forge_add(&f, 'f', "VEDA/RECORD", "x");
    check_refused(&f, EXIA_ECORRUPT, "\"VEDA/RECORD\" lies in");
}

TEST(names_of_odd_bytes_are_good)
{
    static const char *const names[] = {"a/\n", "a/ ",        "a/%2F",   "a/-x",    "a/..x",
                                        "a/\\", "a/\x7f\xff", "a/\xc3(", "a/\x1b[", "a/VEDA"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        forge f;
        forge_begin(&f);
        f.entries[1].path = f.recorded[1].path = names[i];
        check_accepted(&f);
    }
}

TEST(a_member_listed_twice_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'f', EXIA__MANIFEST_PATH, "{}");
    check_refused(&f, EXIA_ECORRUPT, "twice");
}

TEST(members_out_of_order_are_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'f', "b", "x");
    check_refused(&f, EXIA_ECORRUPT, "order");
}

TEST(a_member_below_something_that_is_no_directory_is_refused)
{
    static const char types[] = {'f', 'l'};
    forge f = {0};
    forge_add(&f, 'f', "a/f", "x");
    check_refused(&f, EXIA_ECORRUPT, "no listed directory");
    for (size_t i = 0; i < sizeof types; i++) {
        memset(&f, 0, sizeof f);
        forge_add(&f, types[i], "a", ".");
        forge_add(&f, 'f', "a/f", "x");
        check_refused(&f, EXIA_ECORRUPT, "no listed directory");
    }
}

/* ---- links ---- */

TEST(a_link_that_leads_out_is_refused)
{
    static const char *const targets[] = {"/etc/passwd", "/",       "..", "../x",
                                          "a/../../x",   "a/../..", ""};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        forge f;
        forge_begin(&f);
        forge_add(&f, 'l', "z", targets[i]);
        check_refused(&f, EXIA_ECORRUPT, "\"z\" is a link");
    }
}

TEST(a_link_through_another_link_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'l', "x", "a");
    forge_add(&f, 'l', "y", "x/f");
    check_refused(&f, EXIA_ECORRUPT, "passes through");
    f.recorded[4].target = f.entries[4].target = "x/../a";
    check_refused(&f, EXIA_ECORRUPT, "passes through");
    f.recorded[4].target = f.entries[4].target = "x/";
    check_refused(&f, EXIA_ECORRUPT, "passes through");
}

TEST(a_chain_of_links_that_leads_out_at_last_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'd', "w", NULL);
    forge_add(&f, 'l', "w/1", "2");
    forge_add(&f, 'l', "w/2", "3");
    forge_add(&f, 'l', "w/3", "../..");
    check_refused(&f, EXIA_ECORRUPT, "\"w/3\" is a link that leads out");
}

TEST(a_link_to_nothing_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'l', "z", "nothing");
    check_refused(&f, EXIA_ECORRUPT, "not in the package");
    f.recorded[3].target = f.entries[3].target = "VEDA/RECORD";
    check_refused(&f, EXIA_ECORRUPT, "not in the package");
}

TEST(links_within_the_package_are_good)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'd', "w", NULL);
    forge_add(&f, 'l', "w/round", "round"); /* leads nowhere, but not out */
    forge_add(&f, 'l', "w/up", "../a/./f");
    forge_add(&f, 'l', "w/zroot", "..");
    forge_add(&f, 'l', "x", "w/up"); /* a link as the last part */
    forge_add(&f, 'l', "y", "x");
    check_accepted(&f);
}

TEST(a_hard_link_to_no_file_before_it_is_refused)
{
    static const char *const targets[] = {"a",       "zz",          "z",           "../a/f", "/a/f",
                                          "nothing", "/etc/passwd", "VEDA/RECORD", ""};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        forge f;
        forge_begin(&f);
        forge_add(&f, 'h', "z", targets[i]);
        forge_add(&f, 'f', "zz", "x");
        check_refused(&f, EXIA_ECORRUPT, "hard link");
    }
}

TEST(a_hard_link_to_a_link_is_refused)
{
    static const char *const targets[] = {"w", "x"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        forge f;
        forge_begin(&f);
        forge_add(&f, 'l', "w", "a/f");
        forge_add(&f, 'h', "x", "a/f");
        forge_add(&f, 'h', "y", targets[i]);
        check_refused(&f, EXIA_ECORRUPT, "\"y\" is a hard link to no file");
    }
}

TEST(a_hard_link_has_the_mode_of_its_file)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'h', "z", "a/f");
    check_accepted(&f);
    f.entries[3].mode = f.recorded[3].mode = 0755;
    check_refused(&f, EXIA_ECORRUPT, "another mode than its file");
}

/* ---- modes and sizes ---- */

TEST(a_mode_with_more_than_a_package_carries_is_refused)
{
    static const uint32_t modes[] = {04755, 02755, 01777, 0666, 0777, 0100644};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        forge f;
        forge_begin(&f);
        f.entries[1].mode = f.recorded[1].mode = modes[i];
        check_refused(&f, EXIA_ECORRUPT, "mode");
    }
}

TEST(content_that_is_not_as_recorded_is_refused)
{
    forge f;
    forge_begin(&f);
    f.content[1] = "HELLO";
    check_refused(&f, EXIA_ECORRUPT, "the content of \"a/f\"");
    f.content[1] = "hello";
    f.recorded[1].digest[31] ^= 1;
    check_refused(&f, EXIA_ECORRUPT, "the content of \"a/f\"");
}

TEST(a_size_that_is_not_as_recorded_is_refused)
{
    forge f;
    forge_begin(&f);
    f.recorded[1].size = 6; /* the same number of blocks */
    check_refused(&f, EXIA_ECORRUPT, "the header of \"a/f\"");
    f.recorded[1].size = 600;
    check_refused(&f, EXIA_ECORRUPT, "another size");
}

TEST(a_size_of_a_pebibyte_costs_nothing)
{
    forge f;
    forge_begin(&f);
    f.entries[1].size = f.recorded[1].size = (uint64_t)1 << 50;
    f.content[1] = NULL; /* a header that says the same */
    check_refused(&f, EXIA_ECORRUPT, "another size");
}

TEST(sizes_that_overflow_together_are_refused)
{
    forge f;
    forge_begin(&f);
    f.recorded[1].size = INT64_MAX;
    f.change.size = 1;
    check_refused(&f, EXIA_ECORRUPT, "too large");
    f.recorded[1].size = f.recorded[2].size = INT64_MAX - 4096;
    check_refused(&f, EXIA_ECORRUPT, "2^63");
}

TEST(a_million_entries_that_are_not_there_are_refused)
{
    enum { LINES = 1000000 };
    forge f;
    forge_begin(&f);
    forge_tar(&f);
    f.record.size = 0;
    for (size_t i = 0; i < LINES; i++)
        check_ok(exia__buffer_format(&f.record, &err, "%07zu d 0755 0 -\n", i));
    f.change.members = LINES;
    check_refused(&f, EXIA_ECORRUPT, "another size");
}

/* ---- RECORD ---- */

TEST(an_entry_in_the_tar_that_is_not_in_the_record_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'f', "z", "extra");
    f.recorded_count--;
    check_refused(&f, EXIA_ECORRUPT, "another size");
}

TEST(an_entry_in_the_record_that_is_not_in_the_tar_is_refused)
{
    forge f;
    forge_begin(&f);
    forge_add(&f, 'f', "z", "extra");
    f.count--;
    check_refused(&f, EXIA_ECORRUPT, "another size");
}

TEST(a_package_without_a_manifest_file_is_refused)
{
    forge f = {0};
    forge_add(&f, 'd', "a", NULL);
    forge_add(&f, 'f', "a/f", "x");
    check_refused(&f, EXIA_ECORRUPT, "veda.json");
    memset(&f, 0, sizeof f);
    forge_add(&f, 'd', EXIA__MANIFEST_PATH, NULL);
    check_refused(&f, EXIA_ECORRUPT, "veda.json");
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
        "a b 0755 0 -\n",                     /* another */
        "a p 0755 0 -\n",                     /* a fifo */
        "a s 0755 0 -\n",                     /* a socket */
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
        forge_tar(&f);
        forge_text(&f.record, records[i]);
        f.change.members = i == 0 ? 2 : 1;
        check_refused(&f, EXIA_ECORRUPT, "RECORD");
    }
}

TEST(a_record_with_another_number_of_lines_is_refused)
{
    static const uint64_t numbers[] = {1, 2, 4, 5, 16000000 /* would be a gigabyte */};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        forge f;
        forge_begin(&f);
        f.change.members = numbers[i];
        check_refused(&f, EXIA_ECORRUPT, "lines");
    }
}

static void add_directory(forge *f, const char *path)
{
    exia__entry entry = {.path = path, .type = 'd', .mode = 0755};
    forge_put(&f->tar, &entry, NULL);
    check_ok(exia__record_line(&f->record, &entry, &err));
    f->change.members++;
}

/* Long names compress to nothing, so a small file could fill the memory with them; what comes behind
 * them, and would make the mean small again, is too late. */
TEST(paths_that_are_too_long_together_are_refused)
{
    enum { DEPTH = 15, PART = 250, LONG = 6200, SHORT = 20000 };
    static char path[EXIA__MOST_PATH];
    forge f = {0};
    forge_tar(&f);
    for (size_t i = 0; i < DEPTH * PART; i++) {
        path[i] = '%'; /* three bytes in RECORD */
        if (i % PART != PART - 1)
            continue;
        path[i] = '\0';
        add_directory(&f, path);
        path[i] = '/';
    }
    for (int i = 0; i < LONG; i++) {
        snprintf(path + DEPTH * PART, PART, "%06d", i);
        add_directory(&f, path);
    }
    for (int i = 0; i < SHORT; i++) {
        snprintf(path, PART, "a%06d", i);
        add_directory(&f, path);
    }
    assert_true(f.record.size < exia__record_most(f.change.members));
    exia_package *package = NULL;
    const char *file = forged_file(&f);
    check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    check_text("too long up to line 61");
    int fd = open(file, O_RDONLY);
    check_fails(EXIA_ECORRUPT, exia_package_receive(NULL, fd, NULL, NULL, NULL, &err));
    check_text("too long together");
    close(fd);
    forge_free(&f);
}
