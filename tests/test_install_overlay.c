/* A home that came with the lower layer of an overlay, as in the image of a container: what is installed there
 * can be neither exchanged nor moved, and is repaired and uninstalled all the same. */
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/packages.h"

/* The home "lower/home" as "merged/home", which nobody else sees and which ends with this process. */
static void mount_overlay(void)
{
    static const char *const folders[] = {"upper", "work", "merged"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_int_equal(mkdir(check_path(folders[i]), 0755), 0);
    const char *how = check_format("lowerdir=%s,upperdir=%s,workdir=%s", check_path("lower"),
                                   check_path("upper"), check_path("work"));
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") != 0 ||
        mount("overlay", check_path("merged"), "overlay", 0, how) != 0)
        skip();
}

TEST(what_is_installed_in_a_lower_layer_is_repaired_and_uninstalled)
{
    const exia_check_options options = {.struct_size = sizeof options, .repair = 1};
    exia_rows *rows = NULL;
    check_in_memory();
    assert_int_equal(mkdir(check_path("lower"), 0755), 0);
    exia_registry *registry = open_home("lower/home");
    add_package(registry, "x", "1.0", NULL);
    check_ok(exia_registry_install(NULL, registry, "x", NULL, NULL, NULL, &err));
    exia_registry_free(registry);
    mount_overlay();
    registry = open_home("merged/home");
    const char *code = check_path("merged/home/installed/x/current/code/main.py");
    assert_int_equal(unlink(code), 0);
    check_ok(exia_registry_check(&rows, registry, NULL, &options, NULL, &err));
    const char *told = rows_text(rows);
    assert_int_equal(rows_count(told), 1);
    assert_true(has(told, "\"repaired\":true"));
    assert_int_equal(access(code, F_OK), 0);
    check_ok(exia_registry_check(&rows, registry, NULL, NULL, NULL, &err));
    assert_string_equal(rows_text(rows), "");
    check_ok(exia_registry_uninstall(registry, "x", &err));
    assert_false(exists("merged/home/installed/x"));
    exia_registry_free(registry);
    assert_int_equal(umount2(check_path("merged"), MNT_DETACH), 0);
}
