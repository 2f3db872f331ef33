/* A rival who may write in the directory that a package is unpacked in renames things there and puts links
 * in their places.  Whatever the unpacking answers, nothing outside changes and nothing wrong is told to
 * be right. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/workspaces.h"

/* The victim is a directory outside, with a file in it; "folder" is where the rival writes. */
static exia_package *prepare(void)
{
    check_in_memory();
    const char *from = make_workspace("w");
    make_directory(check_format("%s/a", from));
    make_directory(check_format("%s/a/b", from));
    write_text(check_format("%s/a/b/f", from), "content");
    make_large(check_format("%s/a/large", from), 5 << 20, 1);
    make_directory(check_path("folder"));
    make_directory(check_path("victim"));
    write_text(check_path("victim/own"), "mine");
    return packed(from, check_path("out.veda"));
}

static void check_victim(void)
{
    struct stat info;
    char *text = check_read_file(check_path("victim/own"), NULL);
    assert_string_equal(text, "mine");
    free(text);
    assert_int_equal(count_entries(check_path("victim")), 1);
    assert_int_equal(stat(check_path("victim"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0755);
}

/* The private directory's name; 0: there is none now. */
static int find_staging(char name[NAME_MAX + 1], const char *folder)
{
    DIR *dir = opendir(folder);
    int found = 0;
    for (struct dirent *entry; dir != NULL && !found && (entry = readdir(dir)) != NULL;) {
        found = strncmp(entry->d_name, ".exia-", 6) == 0;
        snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

/* ---- a rival at one certain moment: as the unpacking begins --------------------------------- */

typedef struct rival {
    const char *shell; /* what it does in the folder; $S is the private directory */
    int done;
} rival;

static int strike(const char *step, uint64_t done, uint64_t total, void *payload)
{
    rival *r = payload;
    char name[NAME_MAX + 1];
    (void)step, (void)done, (void)total;
    if (!r->done && find_staging(name, check_path("folder"))) {
        r->done = 1;
        assert_int_equal(
            system(check_format("cd '%s' && S=%s && V='%s' && %s", check_path("folder"), name,
                                check_path("victim"), r->shell)),
            0);
    }
    return 0;
}

static exia_status unpack_against(const exia_package *package, const char *shell)
{
    rival r = {shell, 0};
    exia_job job = {.struct_size = sizeof job, .progress = strike, .payload = &r};
    check_reset();
    exia_status rc = exia_package_unpack(package, check_path("folder/to"), NULL, &job, &err);
    assert_true(r.done);
    check_victim();
    return rc;
}

TEST(a_link_in_place_of_the_private_directory_is_found_out)
{
    exia_package *package = prepare();
    check_status(EXIA_ECONFLICT, unpack_against(package, "mv $S away && ln -s \"$V\" $S"), __FILE__,
                 __LINE__);
    check_text("renames");
    assert_int_equal(count_entries(check_path("folder/away")), 0); /* ours, and cleared away */
    exia_package_free(package);
}

TEST(another_directory_in_place_of_the_private_one_is_never_told_to_be_the_package)
{
    exia_package *package = prepare();
    check_status(EXIA_ECONFLICT,
                 unpack_against(package, "mv $S away && mkdir $S && echo wrong >$S/wrong"),
                 __FILE__, __LINE__);
    exia_package_free(package);
}

TEST(a_directory_of_ours_under_the_name_of_the_private_one_is_not_cleared_away)
{
    exia_package *package = prepare();
    size_t size = 0;
    char *data = check_read_file(check_path("out.veda"), &size);
    exia_package_free(package);
    data[100] ^= 1; /* so that it fails in the end */
    check_write_file(check_path("out.veda"), data, size);
    free(data);
    check_ok(exia_package_open(&package, check_path("out.veda"), &err));
    make_directory(check_path("folder/precious"));
    write_text(check_path("folder/precious/file"), "kept");
    check_status(EXIA_ECORRUPT, unpack_against(package, "mv $S away && mv precious $S"), __FILE__,
                 __LINE__);
    assert_int_equal(system(check_format("grep -q kept '%s'/.exia-*/file", check_path("folder"))),
                     0);
    exia_package_free(package);
}

TEST(a_link_in_place_of_a_directory_of_the_package_is_not_followed)
{
    exia_package *package = prepare();
    exia_status rc = unpack_against(package, "mv $S/a/b $S/a/c && ln -s \"$V\" $S/a/b");
    assert_true(rc < 0);
    assert_false(exia__path_exists(check_path("folder/to")));
    rc = unpack_against(package, "mv $S/a $S/c && ln -s \"$V\" $S/a");
    assert_true(rc < 0);
    assert_int_equal(count_entries(check_path("folder")), 0);
    exia_package_free(package);
}

TEST(a_link_in_place_of_a_file_is_neither_written_through_nor_replaced)
{
    exia_package *package = prepare();
    exia_status rc = unpack_against(package, "ln -s \"$V/own\" $S/a/b/f");
    assert_int_equal(rc, EXIA_EEXISTS);
    rc = unpack_against(package, "rm $S/a/large && ln -s \"$V/own\" $S/a/large");
    assert_true(rc < 0);
    assert_int_equal(count_entries(check_path("folder")), 0);
    exia_package_free(package);
}

TEST(a_link_in_place_of_the_directory_above_leads_nowhere)
{
    exia_package *package = prepare();
    exia_status rc = unpack_against(package, "cd .. && mv folder moved && ln -s \"$V\" folder");
    assert_int_equal(rc, EXIA_OK); /* in the directory that was named when it began */
    char *text = check_read_file(check_path("moved/to/a/b/f"), NULL);
    assert_string_equal(text, "content");
    free(text);
    exia_package_free(package);
}

TEST(a_link_put_at_the_target_meanwhile_is_refused)
{
    exia_package *package = prepare();
    assert_int_equal(unpack_against(package, "ln -s \"$V\" to"), EXIA_EEXISTS);
    assert_int_equal(count_entries(check_path("folder")), 1); /* that link */
    exia_package_free(package);
}

/* ---- a rival at any moment: another user in a directory that all may write to ---------------- */

static void rename_for_ever(const char *folder, const char *victim)
{
    char name[NAME_MAX + 1], away[32];
    int fd = open(folder, O_RDONLY | O_DIRECTORY);
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        _exit(1);
    for (unsigned i = 0;; i++) {
        if (!find_staging(name, folder))
            continue;
        snprintf(away, sizeof away, "away-%u", i);
        if (renameat(fd, name, fd, away) == 0 && i % 2 == 0)
            (void)!symlinkat(victim, fd, name);
        else
            (void)!renameat(fd, "precious", fd, name);
    }
}

TEST(a_rival_who_renames_all_the_time_gains_nothing)
{
    exia_package *package = prepare();
    assert_int_equal(chmod(check_path("folder"), 0777), 0);
    assert_int_equal(chmod(check_directory(), 0755), 0);
    make_directory(check_path("folder/precious"));
    write_text(check_path("folder/precious/file"), "kept");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        rename_for_ever(check_path("folder"), check_path("victim"));
    for (int i = 0; i < 40; i++) {
        const char *to = check_format("%s/to-%d", check_path("folder"), i);
        const exia_unpack_options options = {.struct_size = sizeof options, .pattern = "a/b"};
        if (exia_package_unpack(package, to, &options, NULL, &err) < 0)
            continue;
        char *text = check_read_file(check_format("%s/a/b/f", to), NULL);
        assert_string_equal(text, "content");
        free(text);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    check_victim();
    /* wherever it is by now */
    assert_int_equal(system(check_format("grep -rqs kept '%s'", check_path("folder"))), 0);
    exia_package_free(package);
}
