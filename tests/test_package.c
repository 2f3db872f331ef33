/* Packing, opening, verifying and unpacking: what is refused, that nothing half done stays, that what
 * comes out is what went in. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/read.h"
#include "support/check.h"

#define MANIFEST "{\"format\": 1, \"name\": \"demo\", \"version\": \"1.2\"}"

static void write_text(const char *path, const char *text)
{
    check_write_file(path, text, strlen(text));
}

static void make_directory(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

/* A workspace with a manifest, in the test's directory. */
static const char *workspace(const char *name)
{
    const char *path = check_path(name);
    make_directory(path);
    write_text(check_format("%s/veda.json", path), MANIFEST);
    return path;
}

static void make_large(const char *path, size_t size, uint64_t seed)
{
    unsigned char *data = malloc(size);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        data[i] = (unsigned char)(seed >> 56);
    }
    check_write_file(path, data, size);
    free(data);
}

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

static exia_status pack(const char *from, const char *file)
{
    return exia_package_write(NULL, from, file, NULL, NULL, &err);
}

/* Pack, verify, open. */
static exia_package *packed(const char *from, const char *file)
{
    exia_package *package = NULL;
    check_ok(pack(from, file));
    check_ok(exia_package_open(&package, file, &err));
    check_ok(exia_package_verify(package, NULL, NULL, &err));
    return package;
}

static exia_status unpack(const exia_package *package, const char *to, const char *pattern)
{
    return exia_package_unpack(package, to, pattern, NULL, &err);
}

/* ---- what is refused when packing ---- */

/* Packing fails with this text, and nothing appears. */
static void pack_refuses(exia_status status, const char *from, const char *text)
{
    const char *folder = check_path("refused");
    if (!exia__path_exists(folder))
        make_directory(folder);
    check_fails(status, pack(from, check_format("%s/out.veda", folder)));
    check_text(text);
    assert_int_equal(count_entries(folder), 0);
}

TEST(pack_refuses_arguments_that_are_not_valid)
{
    const char *from = workspace("w"), *file = check_path("out.veda");
    exia_pack_options options = {.struct_size = sizeof options, .level = 20};
    exia_job job = {.struct_size = sizeof job, .total_ms = -1};
    check_fails(EXIA_EINVAL, exia_package_write(NULL, NULL, file, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_write(NULL, from, file, &options, NULL, &err));
    check_text("20");
    options.level = -1;
    check_fails(EXIA_EINVAL, exia_package_write(NULL, from, file, &options, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_write(NULL, from, file, NULL, &job, &err));
    check_fails(EXIA_ENOTFOUND, pack(check_path("nowhere"), file));
    check_fails(EXIA_EINVAL, pack(from, from));
    check_text("regular file");
    check_fails(EXIA_EINVAL, pack(from, "/dev/null"));
    check_fails(EXIA_ENOTFOUND, pack(from, check_path("no/where.veda")));
    assert_false(exia__path_exists(file));
}

TEST(pack_refuses_a_workspace_without_a_good_manifest)
{
    const char *from = check_path("w");
    make_directory(from);
    pack_refuses(EXIA_EINVAL, from, "vedapkg new");
    make_directory(check_format("%s/veda.json", from));
    pack_refuses(EXIA_EINVAL, from, "veda.json");
    assert_int_equal(rmdir(check_format("%s/veda.json", from)), 0);
    write_text(check_format("%s/veda.json", from), "{\"format\":1,\"name\":\"demo\"}");
    pack_refuses(EXIA_EINVAL, from, "version");
    write_text(check_format("%s/veda.json", from), "{\"format\":2}");
    pack_refuses(EXIA_EVERSION, from, "newer");
    write_text(check_format("%s/veda.json", from),
               "{\"format\":1,\"name\":\"x\",\"version\":\"1\",\"components\":[{\"path\":\"a\","
               "\"kind\":\"code\"}]}");
    pack_refuses(EXIA_EINVAL, from, "component \"a\"");
    assert_int_equal(truncate(check_format("%s/veda.json", from), 2 << 20), 0);
    pack_refuses(EXIA_EINVAL, from, "1 MiB");
}

TEST(pack_refuses_what_is_no_file_directory_or_link)
{
    const char *from = workspace("w"), *path = check_format("%s/pipe", from);
    assert_int_equal(mkfifo(path, 0644), 0);
    pack_refuses(EXIA_EINVAL, from, "\"pipe\"");
    unlink(path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", from);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    pack_refuses(EXIA_EINVAL, from, "\"sock\"");
    close(fd);
}

TEST(pack_refuses_links_that_leave_the_workspace)
{
    static const char *const targets[] = {"/etc/passwd", "..",      "../w/veda.json",
                                          "sub/../../x", "nothing", "sub/link/veda.json"};
    const char *from = workspace("w"), *link = check_format("%s/z", from);
    make_directory(check_format("%s/sub", from));
    assert_int_equal(symlink("..", check_format("%s/sub/link", from)), 0);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        assert_int_equal(symlink(targets[i], link), 0);
        pack_refuses(EXIA_EINVAL, from, "\"z\" is a link");
        unlink(link);
    }
}

TEST(pack_refuses_the_name_kept_for_the_package)
{
    const char *from = workspace("w");
    make_directory(check_format("%s/VEDA", from));
    pack_refuses(EXIA_EINVAL, from, "VEDA");
    assert_int_equal(rmdir(check_format("%s/VEDA", from)), 0);
    write_text(check_format("%s/VEDA", from), "x");
    pack_refuses(EXIA_EINVAL, from, "VEDA");
}

TEST(pack_does_not_write_over_its_own_members)
{
    const char *from = workspace("w");
    check_fails(EXIA_EINVAL, pack(from, check_format("%s/veda.json", from)));
    check_text("itself a member");
    char *text = check_read_file(check_format("%s/veda.json", from), NULL);
    assert_string_equal(text, MANIFEST);
    free(text);
}

/* Change or end the work at its first report, which comes while the workspace is walked. */
static int spoil(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)done, (void)total;
    if (payload == NULL)
        return 1;
    write_text(payload, "another, longer content");
    return 0;
}

TEST(a_file_that_changes_while_it_is_packed_is_a_conflict)
{
    const char *from = workspace("w"), *file = check_path("out.veda");
    const char *changing = check_format("%s/changing", from);
    exia_job job = {.struct_size = sizeof job, .progress = spoil, .payload = (void *)changing};
    write_text(changing, "content");
    write_text(file, "what was there before");
    check_fails(EXIA_ECONFLICT, exia_package_write(NULL, from, file, NULL, &job, &err));
    check_text("changing");
    char *text = check_read_file(file, NULL);
    assert_string_equal(text, "what was there before");
    free(text);
    assert_int_equal(count_entries(check_directory()), 2);
}

static int wait_out(const char *step, uint64_t done, uint64_t total, void *payload)
{
    (void)step, (void)done, (void)total, (void)payload;
    usleep(5000);
    return 0;
}

TEST(the_caller_can_stop_everything_and_nothing_stays)
{
    const char *from = workspace("w"), *file = check_path("out.veda"), *to = check_path("to");
    exia_job stop = {.struct_size = sizeof stop, .progress = spoil};
    exia_job late = {.struct_size = sizeof late, .progress = wait_out, .total_ms = 3};
    check_fails(EXIA_ECANCELLED, exia_package_write(NULL, from, file, NULL, &stop, &err));
    check_fails(EXIA_ETIMEOUT, exia_package_write(NULL, from, file, NULL, &late, &err));
    assert_int_equal(count_entries(check_directory()), 1);
    exia_package *package = packed(from, file);
    check_fails(EXIA_ECANCELLED, exia_package_verify(package, NULL, &stop, &err));
    check_fails(EXIA_ECANCELLED, exia_package_unpack(package, to, NULL, &stop, &err));
    check_fails(EXIA_ETIMEOUT, exia_package_unpack(package, to, NULL, &late, &err));
    assert_int_equal(count_entries(check_directory()), 2);
    exia_package_free(package);
}

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
    const char *from = workspace("w"), *file = check_path("out.veda");
    exia_verify_options quick = {.struct_size = sizeof quick, .quick = 1};
    exia_package *package = NULL;
    make_large(check_format("%s/data", from), 100000, 3);
    check_ok(pack(from, file));
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
    const char *from = workspace("w"), *to = check_path("to");
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
    check_ok(pack(to, check_path("again.veda")));
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
    const char *from = workspace("w"), *to = check_path("to");
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
    const char *from = workspace("w"), *to = check_path("to");
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
    const char *from = workspace("w"), *to = check_path("to");
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
    const char *from = workspace("w"), *to = check_path("to");
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
    exia_package *package = packed(workspace("w"), check_path("out.veda"));
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
    exia_package *package = packed(workspace("w"), check_path("out.veda"));
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
    const char *from = workspace("w");
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
    const char *from = workspace("w");
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
    const char *from = workspace("w"), *row = NULL;
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

/* ---- the same bytes, and few new ones ---- */

TEST(the_same_content_gives_the_same_bytes)
{
    const char *one = workspace("one"), *other = workspace("other");
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
    check_ok(pack(one, check_path("one.veda")));
    check_ok(pack(other, check_path("other.veda")));
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
    const char *from = workspace("w"), *file = check_format("%s/f3", from);
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
    const char *from = workspace("w");
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

/* ---- writes and memory that fail ---- */

/* Let no file grow beyond `size` bytes; -1: as before. */
static void limit_files(long long size)
{
    static struct rlimit before;
    struct rlimit now;
    if (size < 0) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        return;
    }
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    now = (struct rlimit){(rlim_t)size, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
}

TEST(a_write_may_fail_anywhere)
{
    const char *from = workspace("w"), *file = check_path("out.veda"), *to = check_path("to");
    struct stat info;
    make_large(check_format("%s/large", from), 5000, 1);
    exia_package *package = packed(from, file);
    assert_int_equal(stat(file, &info), 0);
    unlink(file);
    for (long long size = 0; size < info.st_size; size += 97) {
        limit_files(size);
        exia_status rc = pack(from, file);
        exia_error unpack_err = {0};
        exia_status unpacked = exia_package_unpack(package, to, NULL, NULL, &unpack_err);
        limit_files(-1);
        assert_int_equal(rc, EXIA_ENOSPACE);
        if (size < 5000)
            assert_int_equal(unpacked, EXIA_ENOSPACE);
        assert_int_equal(exia__path_exists(to), unpacked == EXIA_OK);
        check_ok(exia__tree_remove(to, &err));
        assert_int_equal(count_entries(check_directory()), 1);
    }
    check_ok(pack(from, file));
    exia_package_free(package);
}

static exia_status pack_once(void *payload, exia_error *error)
{
    char *written = NULL;
    exia_status rc =
        exia_package_write(&written, payload, check_path("memory.veda"), NULL, NULL, error);
    exia_text_free(written);
    assert_true(rc == EXIA_OK || written == NULL);
    return rc;
}

static exia_status read_once(void *payload, exia_error *error)
{
    exia_package *package = NULL;
    exia_rows *rows = NULL;
    exia_status rc = exia_package_open(&package, payload, error);
    if (rc == EXIA_OK)
        rc = exia_package_files(&rows, package, error);
    if (rc == EXIA_OK)
        rc = exia_package_verify(package, NULL, NULL, error);
    exia_rows_free(rows);
    exia_package_free(package);
    return rc;
}

static exia_status unpack_once(void *payload, exia_error *error)
{
    static int nth;
    const char *to = check_format("%s/%d", check_path("memory"), nth++);
    exia_status rc = exia_package_unpack(payload, to, NULL, NULL, error);
    assert_int_equal(exia__path_exists(to), rc == EXIA_OK);
    return rc;
}

TEST(memory_may_run_out_anywhere)
{
    const char *from = workspace("w"), *file = check_path("out.veda");
    exia_package *package = NULL;
    assert_int_equal(system(check_format("cd '%s' && mkdir -p d/e && echo x >d/e/f && ln d/e/f d/g "
                                         "&& ln -s d/g l && echo '*.o' >.vedaignore",
                                         from)),
                     0);
    check_survives_no_memory(pack_once, (void *)from);
    check_ok(pack(from, file));
    check_survives_no_memory(read_once, (void *)file);
    check_ok(exia_package_open(&package, file, &err));
    make_directory(check_path("memory"));
    check_survives_no_memory(unpack_once, package);
    exia_package_free(package);
    /* nothing staged was left beside the two that succeeded */
    assert_int_equal(count_entries(check_path("memory")), 2);
    assert_int_equal(count_entries(check_directory()), 4);
}
