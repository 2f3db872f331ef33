/* Packing: what is refused, and that nothing half done stays when it is stopped or fails. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "support/workspaces.h"

/* ---- what is refused when packing ---- */

/* Packing fails with this text, and nothing appears. */
static void pack_refuses(exia_status status, const char *from, const char *text)
{
    const char *folder = check_path("refused");
    if (!exia__path_exists(folder))
        make_directory(folder);
    check_fails(status, pack_from(from, check_format("%s/out.veda", folder)));
    check_text(text);
    assert_int_equal(count_entries(folder), 0);
}

TEST(pack_refuses_arguments_that_are_not_valid)
{
    const char *from = make_workspace("w"), *file = check_path("out.veda");
    exia_pack_options options = {.struct_size = sizeof options, .level = 20};
    exia_job job = {.struct_size = sizeof job, .total_ms = -1};
    check_fails(EXIA_EINVAL, exia_package_write(NULL, NULL, file, NULL, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_write(NULL, from, file, &options, NULL, &err));
    check_text("20");
    options.level = -1;
    check_fails(EXIA_EINVAL, exia_package_write(NULL, from, file, &options, NULL, &err));
    check_fails(EXIA_EINVAL, exia_package_write(NULL, from, file, NULL, &job, &err));
    check_fails(EXIA_ENOTFOUND, pack_from(check_path("nowhere"), file));
    check_fails(EXIA_EINVAL, pack_from(from, from));
    check_text("regular file");
    check_fails(EXIA_EINVAL, pack_from(from, "/dev/null"));
    check_fails(EXIA_ENOTFOUND, pack_from(from, check_path("no/where.veda")));
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
    write_text(check_format("%s/a", from), "{}");
    assert_int_equal(link(check_format("%s/a", from), check_format("%s/veda.json", from)), 0);
    pack_refuses(EXIA_EINVAL, from, "a file of its own");
    assert_int_equal(unlink(check_format("%s/a", from)), 0);
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
    const char *from = make_workspace("w"), *path = check_format("%s/pipe", from);
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
    const char *from = make_workspace("w"), *link = check_format("%s/z", from);
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
    const char *from = make_workspace("w");
    make_directory(check_format("%s/VEDA", from));
    pack_refuses(EXIA_EINVAL, from, "VEDA");
    assert_int_equal(rmdir(check_format("%s/VEDA", from)), 0);
    write_text(check_format("%s/VEDA", from), "x");
    pack_refuses(EXIA_EINVAL, from, "VEDA");
}

TEST(pack_does_not_write_over_its_own_members)
{
    const char *from = make_workspace("w");
    check_fails(EXIA_EINVAL, pack_from(from, check_format("%s/veda.json", from)));
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
    const char *from = make_workspace("w"), *file = check_path("out.veda");
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
    const char *from = make_workspace("w"), *file = check_path("out.veda"), *to = check_path("to");
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
    const char *from = make_workspace("w"), *file = check_path("out.veda"), *to = check_path("to");
    struct stat info;
    make_large(check_format("%s/large", from), 5000, 1);
    exia_package *package = packed(from, file);
    assert_int_equal(stat(file, &info), 0);
    unlink(file);
    for (long long size = 0; size < info.st_size; size += 97) {
        limit_files(size);
        exia_status rc = pack_from(from, file);
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
    check_ok(pack_from(from, file));
    exia_package_free(package);
}

TEST(a_write_fails_alike_with_any_number_of_threads)
{
    const char *from = make_workspace("w"), *file = check_path("out.veda");
    make_large(check_format("%s/large", from), 20 << 20, 1);
    for (uint32_t threads = 1; threads <= 8; threads *= 2) {
        exia_job job = {.struct_size = sizeof job, .threads = threads};
        limit_files(9 << 20);
        exia_status rc = exia_package_write(NULL, from, file, NULL, &job, &err);
        limit_files(-1);
        assert_int_equal(rc, EXIA_ENOSPACE);
        check_text("out.veda");
        assert_int_equal(count_entries(check_directory()), 1);
    }
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
    const char *from = make_workspace("w"), *file = check_path("out.veda");
    exia_package *package = NULL;
    assert_int_equal(system(check_format("cd '%s' && mkdir -p d/e && echo x >d/e/f && ln d/e/f d/g "
                                         "&& ln -s d/g l && echo '*.o' >.vedaignore",
                                         from)),
                     0);
    check_survives_no_memory(pack_once, (void *)from);
    check_ok(pack_from(from, file));
    check_survives_no_memory(read_once, (void *)file);
    check_ok(exia_package_open(&package, file, &err));
    make_directory(check_path("memory"));
    check_survives_no_memory(unpack_once, package);
    exia_package_free(package);
    /* nothing staged was left beside the two that succeeded */
    assert_int_equal(count_entries(check_path("memory")), 2);
    assert_int_equal(count_entries(check_directory()), 4);
}
