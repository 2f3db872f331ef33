/* What an uninstall moves away is on the disk before the intent that would move it again is gone: else, where
 * a file system writes its changes in another order than they were made, files come back after a power cut
 * that no row knows. */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/packages.h"

static char told[4000];

static void tell(const char *what, const char *path)
{
    const char *name = strstr(path, "/home/");
    size_t size = strlen(told);
    if (name != NULL)
        snprintf(told + size, sizeof told - size, "%s %s\n", what, name + strlen("/home/"));
}

static int sync_file(long call, int fd)
{
    char self[40], path[600];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(self, path, sizeof path - 1);
    path[size > 0 ? size : 0] = '\0';
    tell("sync", path);
    return (int)syscall(call, fd);
}

/* These stand before the C library's, for SQLite too. */
#pragma GCC visibility push(default)
int fsync(int fd)
{
    return sync_file(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_file(SYS_fdatasync, fd);
}

int rename(const char *from, const char *to)
{
    tell("move", from);
    return (int)syscall(SYS_renameat2, -100, from, -100, to, 0);
}

int unlink(const char *path)
{
    tell("remove", path);
    return (int)syscall(SYS_unlinkat, -100, path, 0);
}
#pragma GCC visibility pop

static const char *last(const char *text)
{
    const char *found = NULL;
    for (const char *at = told; (at = strstr(at, text)) != NULL; at++)
        found = at;
    if (found == NULL)
        fail_msg("nothing did \"%s\":\n%s", text, told);
    return found;
}

static void install_one(exia_registry *registry, const char *package)
{
    check_ok(exia_registry_install(NULL, registry, package, NULL, NULL, NULL, &err));
}

static void uninstall(exia_registry *registry, const char *package)
{
    told[0] = '\0';
    check_ok(exia_registry_uninstall(registry, package, &err));
}

TEST(what_is_uninstalled_is_gone_from_the_disk_before_its_intent_goes)
{
    exia_registry *registry = open_home("home");
    add_package(registry, "x", "1.0", NULL);
    add_package(registry, "x", "2.0", NULL);
    install_one(registry, "x@1.0");
    install_one(registry, "x@2.0");
    uninstall(registry, "x@1.0");
    assert_true(last("move installed/x/1.0/any") < last("sync installed/x\n"));
    assert_true(last("sync installed/x\n") < last("sync journal.db-wal"));
    uninstall(registry, "x@2.0");
    assert_true(last("move installed/x/2.0/any") < last("sync installed/x\n"));
    assert_true(last("remove installed/x/current") < last("sync installed\n"));
    assert_true(last("sync installed\n") < last("sync journal.db-wal"));
    assert_false(exists("home/installed/x"));
    exia_registry_free(registry);
}
