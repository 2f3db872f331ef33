/* Opening and unpacking: what comes out is what went in, and what is no package is refused. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "package/read.h"
#include "support/workspaces.h"

/* ---- what is refused when opening ---- */

TEST(open_refuses_what_is_no_package)
{
    exia_package *package = (exia_package *)1;
    const char *file = check_path("x.veda");
    check_fails(EXIA_EINVAL, exia_package_open(&package, NULL, &err));
    assert_null(package);
    check_fails(EXIA_EINVAL, exia_package_open(NULL, file, &err));
    check_fails(EXIA_ENOTFOUND, exia_package_open(&package, file, &err));
    check_fails(EXIA_EINVAL, exia_package_open(&package, check_directory(), &err));
    assert_int_equal(mkfifo(check_path("pipe"), 0644), 0);
    check_fails(EXIA_EINVAL, exia_package_open(&package, check_path("pipe"), &err));
    write_text(file, "");
    check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    make_large(file, 200000, 7);
    check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    check_text("no package");
    /* an index with nothing before it, and one that claims the most */
    check_write_file(file, "\x5e\x2a\x4d\x18\x09\0\0\0\0\0\0\0\0\xb1\xea\x92\x8f", 17);
    check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    check_write_file(file, "\x5e\x2a\x4d\x18\x01\0\0\0\xff\xff\xff\xff\0\xb1\xea\x92\x8f", 17);
    check_fails(EXIA_ECORRUPT, exia_package_open(&package, file, &err));
    assert_null(package);
    exia_package_free(NULL);
}

TEST(a_null_package_is_refused_everywhere)
{
    exia_rows *rows = (exia_rows *)1;
    check_fails(EXIA_EINVAL, exia_package_files(&rows, NULL, &err));
    assert_null(rows);
    check_fails(EXIA_EINVAL, exia_package_verify(NULL, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_unpack(NULL, "x", NULL, NULL, &err));
    assert_null(exia_package_facts(NULL));
}

TEST(a_quick_verification_leaves_the_payload_to_the_full_one)
{
    const char *from = make_workspace("w"), *file = check_path("out.veda");
    exia_verify_options quick = {.struct_size = sizeof quick, .quick = 1};
    exia_package *package = NULL;
    make_large(check_format("%s/data", from), 100000, 3);
    check_ok(pack_from(from, file));
    int fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 50000), 1);
    close(fd);
    check_ok(exia_package_open(&package, file, &err));
    check_ok(exia_package_verify(package, &quick, NULL, &err));
    check_fails(EXIA_ECORRUPT, exia_package_verify(package, NULL, NULL, &err));
    check_fails(EXIA_ECORRUPT, unpack(package, check_path("to"), NULL));
    assert_false(exia__path_exists(check_path("to")));
    assert_int_equal(count_entries(check_directory()), 2);
    exia_package_free(package);
}

/* ---- what comes out ---- */

TEST(what_is_unpacked_is_what_was_packed)
{
    const char *from = make_workspace("w"), *to = check_path("to");
    static char long_name[256];
    memset(long_name, 'n', 255);
    const char *names[] = {"empty",       "with space", "new\nline", "\xc3\xbcn\xc3\xaf",
                           "bad\xff\xfe", "-dash",      "\\back",    "%41",
                           "*glob[",      long_name};
    make_directory(check_format("%s/deep", from));
    make_directory(check_format("%s/deep/%s", from, long_name));
    make_directory(check_format("%s/nothing in it", from));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        write_text(check_format("%s/%s", from, names[i]), i ? names[i] : "");
        write_text(check_format("%s/deep/%s/%s", from, long_name, names[i]), names[i]);
    }
    make_large(check_format("%s/large", from), 5 << 20, 1);
    write_text(check_format("%s/sparse", from), "");
    assert_int_equal(truncate(check_format("%s/sparse", from), (9 << 20) + 1), 0);
    const char *target = check_format("deep/%s/empty", long_name);
    assert_int_equal(symlink(target, check_format("%s/long link", from)), 0);
    assert_int_equal(symlink(".", check_format("%s/here", from)), 0);
    exia_package *package = packed(from, check_path("out.veda"));
    check_ok(unpack(package, to, NULL));
    assert_int_equal(system(check_format("diff -r --no-dereference '%s' '%s'", from, to)), 0);
    exia_package_free(package);
    /* and packed again it is the same package */
    check_ok(pack_from(to, check_path("again.veda")));
    assert_int_equal(
        system(check_format("cmp '%s' '%s'", check_path("out.veda"), check_path("again.veda"))), 0);
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    return info.st_mode & 07777;
}

TEST(modes_are_kept_but_for_the_dangerous_bits)
{
    static const mode_t modes[][2] = {{0644, 0644}, {0755, 0755},  {0400, 0400}, {0664, 0644},
                                      {0777, 0755}, {04755, 0755}, {02711, 0711}};
    const char *from = make_workspace("w"), *to = check_path("to");
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        write_text(check_format("%s/f%zu", from, i), "x");
        assert_int_equal(chmod(check_format("%s/f%zu", from, i), modes[i][0]), 0);
    }
    make_directory(check_format("%s/d", from));
    write_text(check_format("%s/d/f", from), "x");
    assert_int_equal(chmod(check_format("%s/d", from), 01577), 0);
    exia_package *package = packed(from, check_path("out.veda"));
    check_ok(unpack(package, to, NULL));
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        assert_int_equal(mode_of(check_format("%s/f%zu", to, i)), modes[i][1]);
    assert_int_equal(mode_of(check_format("%s/d", to)), 0555);
    assert_int_equal(mode_of(to), 0755);
    exia_package_free(package);
}

TEST(hard_links_are_one_file_again)
{
    const char *from = make_workspace("w"), *to = check_path("to");
    struct stat a, b, c;
    make_directory(check_format("%s/z", from));
    make_directory(check_format("%s/b", from));
    write_text(check_format("%s/z/1", from), "content");
    assert_int_equal(link(check_format("%s/z/1", from), check_format("%s/b/2", from)), 0);
    assert_int_equal(link(check_format("%s/z/1", from), check_format("%s/z/0", from)), 0);
    exia_package *package = packed(from, check_path("out.veda"));
    check_ok(unpack(package, to, NULL));
    assert_int_equal(stat(check_format("%s/z/1", to), &a), 0);
    assert_int_equal(stat(check_format("%s/b/2", to), &b), 0);
    assert_int_equal(stat(check_format("%s/z/0", to), &c), 0);
    assert_true(a.st_ino == b.st_ino && b.st_ino == c.st_ino && a.st_nlink == 3);
    /* without the file, the first link gets the content */
    check_ok(unpack(package, check_path("part"), "z"));
    assert_false(exia__path_exists(check_path("part/b")));
    assert_int_equal(stat(check_path("part/z/0"), &a), 0);
    assert_int_equal(stat(check_path("part/z/1"), &b), 0);
    assert_true(a.st_ino == b.st_ino && a.st_nlink == 2 && a.st_size == 7);
    exia_package_free(package);
}

TEST(a_pattern_takes_what_matches_and_what_lies_below)
{
    const char *from = make_workspace("w"), *to = check_path("to");
    static const char *const files[] = {"a/b/1.py", "a/b/2.txt", "a/c/3.py", "ab/4.py", "5.py"};
    assert_int_equal(system(check_format("mkdir -p '%s/a/b' '%s/a/c' '%s/ab'", from, from, from)),
                     0);
    for (size_t i = 0; i < 5; i++)
        write_text(check_format("%s/%s", from, files[i]), files[i]);
    make_large(check_format("%s/large", from), 3 << 20, 1);
    exia_package *package = packed(from, check_path("out.veda"));
    static const struct {
        const char *pattern;
        int taken[5];
    } cases[] = {{"a", {1, 1, 1, 0, 0}},      {"a/b", {1, 1, 0, 0, 0}}, {"*.py", {1, 0, 1, 1, 1}},
                 {"a/*.py", {1, 0, 1, 0, 0}}, {"a*", {1, 1, 1, 1, 0}},  {"5.py", {0, 0, 0, 0, 1}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_ok(unpack(package, to, cases[i].pattern));
        for (size_t k = 0; k < 5; k++)
            assert_int_equal(exia__path_exists(check_format("%s/%s", to, files[k])),
                             cases[i].taken[k]);
        assert_false(exia__path_exists(check_format("%s/large", to)));
        check_ok(exia__tree_remove(to, &err));
    }
    check_fails(EXIA_ENOTFOUND, unpack(package, to, "nothing*"));
    assert_false(exia__path_exists(to));
    exia_package_free(package);
}

TEST(unpack_refuses_a_place_that_is_taken)
{
    const char *from = make_workspace("w"), *to = check_path("to");
    exia_package *package = packed(from, check_path("out.veda"));
    write_text(to, "a file");
    check_fails(EXIA_EEXISTS, unpack(package, to, NULL));
    unlink(to);
    make_directory(to);
    write_text(check_format("%s/x", to), "a file in it");
    check_fails(EXIA_EEXISTS, unpack(package, to, NULL));
    unlink(check_format("%s/x", to));
    check_ok(unpack(package, check_format("%s/", to), NULL));
    check_fails(EXIA_EEXISTS, unpack(package, to, NULL));
    assert_int_equal(symlink("nowhere", check_path("link")), 0);
    check_fails(EXIA_EEXISTS, unpack(package, check_path("link"), NULL));
    check_fails(EXIA_ENOTFOUND, unpack(package, check_path("no/where"), NULL));
    check_fails(EXIA_EINVAL, unpack(package, "", NULL));
    assert_int_equal(count_entries(check_directory()), 4);
    exia_package_free(package);
}

TEST(the_working_directory_is_not_replaced)
{
    exia_package *package = packed(make_workspace("w"), check_path("out.veda"));
    char *here = getcwd(NULL, 0);
    make_directory(check_path("here"));
    assert_int_equal(chdir(check_path("here")), 0);
    exia_status dot = unpack(package, ".", NULL), inside = unpack(package, "sub", NULL);
    assert_int_equal(chdir(here), 0);
    free(here);
    assert_int_equal(dot, EXIA_EINVAL);
    check_ok(inside);
    assert_true(exia__path_exists(check_path("here/sub/veda.json")));
    exia_package_free(package);
}

TEST(the_directory_itself_is_as_the_user_makes_directories)
{
    exia_package *package = packed(make_workspace("w"), check_path("out.veda"));
    mode_t before = umask(077);
    exia_status rc = unpack(package, check_path("private"), NULL);
    umask(before);
    check_ok(rc);
    assert_int_equal(mode_of(check_path("private")), 0700);
    make_directory(check_path("mine"));
    assert_int_equal(chmod(check_path("mine"), 0750), 0);
    check_ok(unpack(package, check_path("mine"), NULL));
    assert_int_equal(mode_of(check_path("mine")), 0750);
    exia_package_free(package);
}

TEST(what_is_ignored_is_not_packed)
{
    const char *from = make_workspace("w");
    exia_package *package = NULL;
    assert_int_equal(system(check_format("cd '%s' && mkdir -p .git a/__pycache__ out && touch "
                                         ".git/x a/__pycache__/y out/z old.veda k.log l.log && "
                                         "mkfifo out/pipe && printf 'out/\\n*.log\\n!k.log\\n' "
                                         ">.vedaignore",
                                         from)),
                     0);
    package = packed(from, check_format("%s/new.veda", from));
    assert_int_equal(exia__package_member_count(package), 4); /* .vedaignore a k.log veda.json */
    exia_package_free(package);
}

TEST(the_default_name_is_that_of_the_package)
{
    const char *from = make_workspace("w");
    char *here = getcwd(NULL, 0), *written = NULL;
    assert_int_equal(chdir(check_directory()), 0);
    exia_status rc = exia_package_write(&written, from, NULL, NULL, NULL, &err);
    assert_int_equal(chdir(here), 0);
    free(here);
    check_ok(rc);
    assert_string_equal(written, "demo-1.2-any.veda");
    assert_true(exia__path_exists(check_path("demo-1.2-any.veda")));
    exia_text_free(written);
}

TEST(facts_and_rows_say_what_is_inside)
{
    const char *from = make_workspace("w"), *row = NULL;
    exia_rows *rows = NULL;
    json_t *facts = NULL;
    write_text(check_format("%s/veda.json", from),
               "{\"version\": \"1.2\", \"name\": \"demo\", \"format\": 1, \"components\": "
               "[{\"path\": \"a b\", \"kind\": \"data\"}]}");
    write_text(check_format("%s/a b", from), "hello");
    assert_int_equal(symlink("a b", check_format("%s/l", from)), 0);
    assert_int_equal(link(check_format("%s/a b", from), check_format("%s/h", from)), 0);
    exia_package *package = packed(from, check_path("out.veda"));
    check_ok(exia__json_object(&facts, exia_package_facts(package),
                               strlen(exia_package_facts(package)), "facts", EXIA_ECORRUPT, &err));
    assert_string_equal(exia__json_string(facts, "digest"), exia__package_digest(package));
    assert_int_equal(json_integer_value(json_object_get(facts, "members")), 4);
    assert_int_equal(exia__package_size(package), 5 + strlen("{\"version\": \"1.2\", \"name\": "
                                                             "\"demo\", \"format\": 1, "
                                                             "\"components\": [{\"path\": \"a b\", "
                                                             "\"kind\": \"data\"}]}"));
    assert_string_equal(exia__package_name(package), "demo");
    assert_string_equal(exia__package_version(package), "1.2");
    assert_string_equal(exia__package_tag(package), "any");
    assert_false(exia__package_signed(package));
    json_decref(facts);
    check_ok(exia_package_files(&rows, package, &err));
    check_ok(exia_rows_next(&row, rows, &err));
    assert_string_equal(
        row, "{\"path\":\"a%20b\",\"type\":\"file\",\"mode\":\"0644\",\"size\":5,\"sha256\":"
             "\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\",\"target\":null,"
             "\"component\":\"data\"}");
    check_ok(exia_rows_next(&row, rows, &err));
    assert_non_null(strstr(row, "\"type\":\"hardlink\""));
    assert_non_null(strstr(row, "\"target\":\"a%20b\""));
    check_ok(exia_rows_next(&row, rows, &err));
    assert_non_null(strstr(row, "\"type\":\"link\""));
    check_ok(exia_rows_next(&row, rows, &err));
    check_done(exia_rows_next(&row, rows, &err));
    exia_rows_free(rows);
    exia_package_free(package);
}
