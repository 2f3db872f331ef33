/* A home on a disk that is mounted read-only, and one whose files may not grow: every errand is refused or
 * done, with a word why, nothing changes that should not, and once there is room it is done. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "support/errand.h"
#include "support/packages.h"
#include "support/trace.h"

typedef struct report {
    exia_status status;
    exia_error error;
} report;
static report *said; /* in memory that the worker shares */

static const errand *what;
static const char *folder;
static rlim_t limit = RLIM_INFINITY;

static int perform(void)
{
    exia_registry *home = NULL;
    exia_transfer moved;
    struct rlimit most = {limit, limit};
    signal(SIGXFSZ, SIG_IGN); /* a program that does not is ended by the system */
    memset(said, 0, sizeof *said);
    if (setrlimit(RLIMIT_FSIZE, &most) != 0)
        return 1;
    said->status = exia_registry_open(&home, check_format("%s/home", folder), &said->error);
    if (said->status == EXIA_OK)
        said->status = what->run(&moved, home, &said->error);
    exia_registry_free(home);
    return 0;
}

static exia_status go(rlim_t bytes)
{
    limit = bytes;
    assert_int_equal(check_in_child(perform), 0);
    err = said->error;
    if (said->status < 0)
        check_status(said->status, said->status, __FILE__, __LINE__);
    return said->status;
}

/* A disk of our own at check_path("disk"), which ends with this process. */
static const char *mount_disk(void)
{
    check_in_memory();
    const char *disk = check_path("disk");
    assert_int_equal(mkdir(disk, 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") != 0 ||
        mount("none", disk, "tmpfs", 0, "size=64m") != 0) {
        print_message("only root with mount namespaces can make a disk\n");
        skip();
    }
    return disk;
}

static void remount(const char *disk, unsigned long flags)
{
    assert_int_equal(mount("none", disk, "tmpfs", MS_REMOUNT | flags, "size=64m"), 0);
}

static void prepare(void)
{
    check_in_memory();
    said = trace_shared(sizeof *said);
    stock_make();
    errands_list();
}

TEST(on_a_disk_that_is_mounted_read_only_a_home_is_read_and_every_errand_is_refused)
{
    prepare();
    const char *disk = mount_disk();
    folder = check_format("%s/world", disk);
    for (size_t i = 0; i < errand_count; i++) {
        what = &errands[i];
        errands_prepare(what, folder);
        const char *before = errands_state(folder, "home");
        remount(disk, MS_RDONLY);
        exia_status rc = go(RLIM_INFINITY);
        if (rc != EXIA_EDENIED &&
            (i > 0 || rc != EXIA_OK)) /* the first opens the home, that is all */
            fail_msg("%s: %s", what->name, err.text);
        if (i > 0 && !has(err.text, "read-only") && !has(err.text, "Read-only"))
            fail_msg("%s: %s", what->name, err.text);
        assert_string_equal(errands_state(folder, "home"), before);
        remount(disk, 0);
        assert_string_equal(errands_state(folder, "home"), before);
        assert_int_equal(go(RLIM_INFINITY), EXIA_OK);
        check_ok(errands_go_on(folder, &err));
        assert_int_equal(exia__tree_remove(folder, NULL), EXIA_OK);
    }
    umount2(disk, MNT_DETACH);
}

TEST(a_remote_on_a_disk_that_is_mounted_read_only_is_read_and_what_would_write_there_is_refused)
{
    const char *disk = mount_disk();
    exia_registry *registry = open_home("home");
    exia_rows *rows = NULL;
    check_ok(exia_registry_remote_add(registry, "ro", check_format("sqlite:%s/r.db", disk),
                                      check_format("file:%s/r", disk), &err));
    check_ok(exia_registry_register(registry, pack("x", "1.0"), "ro", NULL, &err));
    check_ok(exia_registry_register(registry, pack("y", "1.0"), NULL, NULL, &err));
    remount(disk, MS_RDONLY);
    check_ok(exia_registry_install(NULL, registry, "x", "ro", NULL, NULL, &err));
    check_ok(exia_registry_remote_check(&rows, registry, "ro", &err));
    exia_rows_free(rows);
    check_fails(EXIA_EDENIED, exia_registry_push(NULL, registry, "y", "ro", NULL, NULL, &err));
    check_text("remote ro: ");
    check_fails(EXIA_EDENIED, exia_registry_update(registry, "x", "{}", "ro", &err));
    check_fails(EXIA_EDENIED, exia_registry_unregister(registry, "x@1.0", "ro", &err));
    check_fails(EXIA_EDENIED, exia_registry_register(registry, pack("z", "1.0"), "ro", NULL, &err));
    assert_int_equal(rows_count(query(registry, NULL, "ro")), 1);
    remount(disk, 0);
    check_ok(exia_registry_push(NULL, registry, "y", "ro", NULL, NULL, &err));
    exia_registry_free(registry);
    umount2(disk, MNT_DETACH);
}

TEST(files_that_may_not_grow_stop_an_errand_which_is_done_when_they_may)
{
    static const rlim_t limits[] = {0, 1000, 20000, 100000, 400000};
    prepare();
    folder = check_path("world");
    long refused = 0;
    for (size_t i = 0; i < errand_count; i++) {
        what = &errands[i];
        errands_prepare(what, folder);
        const char *before = errands_state(folder, "home"), *begin = check_path("begin");
        check_ok(exia__tree_copy(folder, begin, &err));
        assert_int_equal(go(RLIM_INFINITY), EXIA_OK);
        const char *after = errands_state(folder, "home");
        for (size_t k = i % 2; k < sizeof limits / sizeof *limits; k += 2) {
            check_ok(exia__tree_remove(folder, &err));
            check_ok(exia__tree_copy(begin, folder, &err));
            exia_status rc = go(limits[k]);
            refused += rc < 0;
            if (rc < 0 && rc != EXIA_ENOSPACE)
                fail_msg("%s, up to %lu bytes: %s: %s", what->name, (unsigned long)limits[k],
                         exia_status_text(rc), err.text);
            const char *seen = errands_state(folder, "home");
            if (strcmp(seen, after) != 0 &&
                (rc == EXIA_OK || (!what->steps && strcmp(seen, before) != 0)))
                fail_msg("%s, up to %lu bytes: it is there in part: %s", what->name,
                         (unsigned long)limits[k], seen);
            rc = go(RLIM_INFINITY);
            assert_true(rc == EXIA_OK || rc == what->again);
            assert_string_equal(errands_state(folder, "home"), after);
        }
        check_ok(exia__tree_remove(begin, &err));
        check_ok(exia__tree_remove(folder, &err));
    }
    print_message("%ld errands were refused\n", refused);
    assert_true(refused > (long)errand_count / 2);
}
