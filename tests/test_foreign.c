/* Archives of others: what comes into a workspace, and what does not. */
#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/workspaces.h"

typedef struct maker {
    struct archive *archive;
    const char *path;
} maker;

typedef enum form { TAR, PAX, TAR_GZ, TAR_ZST, ZIP } form;

static maker begin(form how)
{
    static const char *const names[] = {"x.tar", "x.tar", "x.tar.gz", "x.tar.zst", "x.zip"};
    maker m = {archive_write_new(), check_path(names[how])};
    assert_int_equal(how == ZIP   ? archive_write_set_format_zip(m.archive)
                     : how == PAX ? archive_write_set_format_pax(m.archive)
                                  : archive_write_set_format_gnutar(m.archive),
                     ARCHIVE_OK);
    if (how == TAR_GZ)
        assert_int_equal(archive_write_add_filter_gzip(m.archive), ARCHIVE_OK);
    if (how == TAR_ZST)
        assert_int_equal(archive_write_add_filter_zstd(m.archive), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(m.archive, m.path), ARCHIVE_OK);
    return m;
}

/* 'f'ile, 'd'irectory, symbolic 'l'ink, 'h'ard link, or a device of another letter. */
static void put(maker *m, char type, const char *path, const char *text)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_copy_pathname(entry, path);
    archive_entry_set_perm(entry, type == 'd' ? 0777 : 06664);
    archive_entry_set_filetype(entry, type == 'd'   ? AE_IFDIR
                                      : type == 'l' ? AE_IFLNK
                                      : type == 'p' ? AE_IFIFO
                                      : type == 'c' ? AE_IFCHR
                                                    : AE_IFREG);
    if (type == 'l')
        archive_entry_copy_symlink(entry, text);
    else if (type == 'h')
        archive_entry_copy_hardlink(entry, text);
    archive_entry_set_size(entry, type == 'f' ? (la_int64_t)strlen(text) : 0);
    assert_true(archive_write_header(m->archive, entry) >= ARCHIVE_WARN); /* in the locale C */
    if (type == 'f')
        assert_int_equal(archive_write_data(m->archive, text, strlen(text)), strlen(text));
    archive_entry_free(entry);
}

static exia_status add(maker *m, const char *kind)
{
    assert_int_equal(archive_write_close(m->archive), ARCHIVE_OK);
    archive_write_free(m->archive);
    return exia_workspace_add_archive(check_path("w"), m->path, kind, NULL, &err);
}

/* Nothing of it is in the workspace. */
static void check_untouched(void)
{
    assert_int_equal(count_entries(check_path("w")), 1);
    assert_int_equal(system(check_format("grep -q x '%s/veda.json'", check_path("w"))), 256);
}

static void refused(maker *m, const char *text)
{
    check_fails(EXIA_EINVAL, add(m, "data"));
    check_text(text);
    check_untouched();
}

/* ---- what is refused ---- */

TEST(what_is_no_archive_is_refused)
{
    static const char *const texts[] = {"", "text", "\x1f\x8b\x08\x00 no gzip", "PK no zip",
                                        "\x28\xb5\x2f\xfd no zstd"};
    make_workspace("w");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_text(check_path("x.tar"), texts[i]);
        exia_status rc =
            exia_workspace_add_archive(check_path("w"), check_path("x.tar"), "data", NULL, &err);
        assert_true(rc == EXIA_EINVAL || rc == EXIA_ECORRUPT);
        check_text("x.tar");
        check_untouched();
    }
    check_fails(EXIA_EINVAL, exia_workspace_add_archive(NULL, "x", NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_workspace_add_archive("x", NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_workspace_add_archive("x", "", NULL, NULL, &err));
    check_fails(EXIA_ENOTFOUND, exia_workspace_add_archive(check_path("w"), check_path("none"),
                                                           "data", NULL, &err));
    assert_int_equal(mkfifo(check_path("pipe"), 0644), 0);
    check_fails(EXIA_EINVAL, exia_workspace_add_archive(check_path("w"), check_path("pipe"), "data",
                                                        NULL, &err));
    check_fails(EXIA_EINVAL,
                exia_workspace_add_archive(check_path("w"), check_directory(), "data", NULL, &err));
    check_untouched();
}

TEST(a_path_that_leads_out_is_refused)
{
    static const char *const paths[] = {"../x", "/x", "a/../x", "a/../../x",
                                        "a//x", "..", "./../x"};
    make_workspace("w");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        for (form how = TAR; how <= ZIP; how++) {
            maker m = begin(how);
            put(&m, 'f', "good", "x");
            put(&m, 'f', paths[i], "x");
            refused(&m, "the member");
        }
    }
    assert_false(exia__path_exists(check_path("x")));
}

TEST(what_is_no_file_directory_or_link_is_refused)
{
    make_workspace("w");
    for (const char *type = "pc"; *type != '\0'; type++) {
        maker m = begin(TAR);
        put(&m, *type, "device", NULL);
        refused(&m, "\"device\" is no file, directory or link");
    }
}

TEST(a_link_that_leads_out_is_refused)
{
    static const char *const targets[] = {"/etc/passwd", "..", "../x", "d/../../x", "none"};
    make_workspace("w");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        maker m = begin(i % 2 ? ZIP : TAR);
        put(&m, 'd', "d", NULL);
        put(&m, 'l', "link", targets[i]);
        refused(&m, "\"link\" is a link");
    }
}

TEST(nothing_is_written_through_a_link)
{
    make_workspace("w");
    make_directory(check_path("outside"));
    maker m = begin(TAR);
    put(&m, 'l', "d", check_path("outside"));
    put(&m, 'f', "d/x", "x");
    refused(&m, "\"d\"");
    m = begin(TAR);
    put(&m, 'f', "f", "x");
    put(&m, 'l', "d", ".");
    put(&m, 'd', "d", NULL);
    refused(&m, "\"d\"");
    m = begin(TAR);
    put(&m, 'l', "f", "g");
    put(&m, 'f', "g", "x");
    put(&m, 'f', "f", "y");
    refused(&m, "\"f\" is listed twice");
    assert_int_equal(count_entries(check_path("outside")), 0);
}

TEST(a_hard_link_to_anything_but_a_file_of_the_archive_is_refused)
{
    static const char *const targets[] = {"/etc/passwd", "../x", "none", "d", "link", "hard"};
    make_workspace("w");
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        maker m = begin(TAR);
        put(&m, 'd', "d", NULL);
        put(&m, 'l', "link", "d");
        put(&m, 'h', "hard", targets[i]);
        refused(&m, "\"hard\" is a hard link to no file");
    }
}

TEST(a_file_that_is_there_twice_is_refused)
{
    static const char *const second[] = {"a/f", "./a/f", "a/f/x", "a"};
    make_workspace("w");
    for (size_t i = 0; i < sizeof second / sizeof *second; i++) {
        maker m = begin(TAR);
        put(&m, 'f', "a/f", "x");
        put(&m, 'f', second[i], "y");
        exia_status rc = add(&m, "data");
        assert_true(rc < 0 && err.status == rc);
        check_untouched();
    }
}

TEST(a_package_is_not_taken_for_an_archive_nor_an_archive_for_a_package)
{
    exia_package *package = NULL;
    const char *from = make_workspace("w");
    check_ok(pack_from(from, check_path("x.tar.zst")));
    check_fails(EXIA_EINVAL,
                exia_workspace_add_archive(from, check_path("x.tar.zst"), "data", NULL, &err));
    check_text("kept for the package itself");
    check_untouched();
    static const char *const says[] = {"a .tar archive", "a .tar archive", "a .gz file",
                                       "does not end with an index", "a .zip archive"};
    for (form how = TAR; how <= ZIP; how++) {
        maker m = begin(how);
        put(&m, 'f', "f", "x");
        check_ok(add(&m, "data"));
        check_fails(EXIA_ECORRUPT, exia_package_open(&package, m.path, &err));
        check_text(says[how]);
        check_text("vedapkg add --unpack");
        assert_int_equal(exia__tree_remove(check_path("w/data"), NULL), EXIA_OK);
    }
}

TEST(an_archive_cut_short_leaves_nothing)
{
    make_workspace("w");
    for (form how = TAR; how <= ZIP; how++) {
        maker m = begin(how);
        struct stat info;
        put(&m, 'f', "a", "some text that is long enough to be missed");
        put(&m, 'f', "b", "and some more of it");
        check_ok(add(&m, "data"));
        assert_int_equal(exia__tree_remove(check_path("w/data"), NULL), EXIA_OK);
        check_write_file(check_path("w/veda.json"), MANIFEST, strlen(MANIFEST));
        assert_int_equal(stat(m.path, &info), 0);
        assert_int_equal(truncate(m.path, how == TAR_GZ || how == TAR_ZST || how == ZIP
                                              ? info.st_size / 2
                                              : 700),
                         0);
        exia_status rc = exia_workspace_add_archive(check_path("w"), m.path, "data", NULL, &err);
        assert_true((rc == EXIA_ECORRUPT || rc == EXIA_EINVAL) && err.status == rc);
        check_untouched();
    }
}

/* ---- what comes in ---- */

static mode_t mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    return info.st_mode & 07777;
}

TEST(every_kind_of_archive_becomes_a_component)
{
    static const char *const file = "new\nline \xc3\xa9";
    make_workspace("w");
    for (form how = TAR; how <= ZIP; how++) {
        maker m = begin(how);
        put(&m, 'd', "./", NULL);
        put(&m, 'd', "d/", NULL);
        put(&m, 'f', "./d/table.csv", "1,2");
        put(&m, 'f', "deep/down/f", "");
        put(&m, 'f', file, "named");
        put(&m, 'd', "deep", NULL);
        put(&m, 'l', "deep/link", "../d/table.csv");
        put(&m, 'f', "table.csv", "3");
        check_ok(add(&m, NULL));
        const char *to = check_path("w/data/x");
        size_t size = 0;
        char *text = check_read_file(check_format("%s/deep/link", to), &size);
        assert_string_equal(text, "1,2");
        free(text);
        assert_true(exia__path_exists(check_format("%s/%s", to, file)));
        assert_int_equal(mode_of(check_format("%s/d/table.csv", to)), 0644);
        assert_int_equal(mode_of(check_format("%s/d", to)), 0755);
        assert_int_equal(mode_of(to), 0755);
        /* and it can be packed */
        exia_package_free(packed(check_path("w"), check_path("w.veda")));
        check_fails(EXIA_EEXISTS,
                    exia_workspace_add_archive(check_path("w"), m.path, NULL, NULL, &err));
        assert_int_equal(exia__tree_remove(check_path("w/data"), NULL), EXIA_OK);
    }
}

TEST(hard_links_come_whichever_is_first)
{
    struct stat a, b;
    make_workspace("w");
    maker m = begin(TAR);
    put(&m, 'f', "z", "content");
    put(&m, 'h', "a", "./z");
    check_ok(add(&m, "doc"));
    assert_int_equal(stat(check_path("w/doc/x/a"), &a), 0);
    assert_int_equal(stat(check_path("w/doc/x/z"), &b), 0);
    assert_true(a.st_ino == b.st_ino && a.st_nlink == 2 && a.st_size == 7);
}

static int stop(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)done, (void)total, (void)payload;
    return 1;
}

TEST(it_can_be_stopped)
{
    exia_job job = {.struct_size = sizeof job, .progress = stop};
    make_workspace("w");
    maker m = begin(ZIP);
    put(&m, 'f', "f", "x");
    check_ok(add(&m, "data"));
    assert_int_equal(exia__tree_remove(check_path("w/data"), NULL), EXIA_OK);
    check_write_file(check_path("w/veda.json"), MANIFEST, strlen(MANIFEST));
    check_fails(EXIA_ECANCELLED,
                exia_workspace_add_archive(check_path("w"), m.path, "data", &job, &err));
    check_untouched();
}

static exia_status add_again(void *payload, exia_error *error)
{
    (void)payload;
    exia_status rc =
        exia_workspace_add_archive(check_path("w"), check_path("x.tar"), "data", NULL, error);
    assert_int_equal(exia__path_exists(check_path("w/data")), rc == EXIA_OK);
    return rc == EXIA_OK ? exia__tree_remove(check_path("w/data"), error) : rc;
}

TEST(it_survives_no_memory)
{
    make_workspace("w");
    maker m = begin(TAR);
    put(&m, 'f', "a/b/f", "x");
    put(&m, 'h', "a/h", "a/b/f");
    put(&m, 'l', "a/l", "h");
    check_ok(add(&m, "doc"));
    check_survives_no_memory(add_again, NULL);
}
