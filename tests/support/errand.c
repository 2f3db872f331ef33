#include "support/errand.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/models.h"
#include "support/packages.h"

errand errands[MOST_ERRANDS];
size_t errand_count;

static const stock_item *item(const char *package)
{
    for (int i = 0; i < STOCK_ITEMS; i++) {
        if (strcmp(stock[i].package, package) == 0)
            return &stock[i];
    }
    fail_msg("there is no %s", package);
    return NULL;
}

static const char *file_of(const char *package)
{
    return item(package)->file[STOCK_ONE];
}

static const char *beside(exia_registry *home, const char *name)
{
    const char *path = exia_registry_home(home);
    return check_format("%.*s/%s", (int)(strrchr(path, '/') - path), path, name);
}

/* ---- what is done ---------------------------------------------------------------------------- */

static exia_status do_open(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved, (void)home, (void)error; /* opened it is, and closed it will be */
    return EXIA_OK;
}

static exia_status do_register(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_register(home, file_of("d@1.0"), NULL, NULL, error);
}

static exia_status do_register_there(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_register(home, file_of("d@1.0"), "there", NULL, error);
}

static exia_status do_update(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_update(home, "d@1.0", "{\"good\": true}", NULL, error);
}

static exia_status do_update_there(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_update(home, "d@1.0", "{\"good\": true}", "there", error);
}

static exia_status do_unregister(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_unregister(home, "d@1.0", NULL, error);
}

static exia_status do_unregister_there(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_unregister(home, "d@1.0", "there", error);
}

static exia_status do_push(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    return exia_registry_push(moved, home, "e@1.0", "there", NULL, NULL, error);
}

static exia_status do_pull(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    return exia_registry_pull(moved, home, "e@1.0", "there", NULL, NULL, error);
}

static exia_status do_install(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_install(NULL, home, "c@1.0", NULL, NULL, NULL, error);
}

static exia_status do_install_there(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_install(NULL, home, "c@1.0", "there", NULL, NULL, error);
}

static exia_status do_install_locked(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    const exia_install_options options = {.struct_size = sizeof options,
                                          .lock = beside(home, "veda.lock")};
    (void)moved;
    return exia_registry_install(NULL, home, "c@1.0", NULL, &options, NULL, error);
}

static exia_status do_uninstall(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_uninstall(home, "c@1.0", error);
}

static exia_status export_c(exia_registry *registry, const char *name, exia_error *error)
{
    const char *package = "c@1.0";
    return exia_registry_export(NULL, registry, &package, 1, beside(registry, name), NULL, NULL,
                                error);
}

static exia_status do_export(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return export_c(home, "bundle.tar", error);
}

static exia_status do_import(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_import(NULL, home, beside(home, "arrived.tar"), NULL, error);
}

static exia_status do_add_remote(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_remote_add(home, "new", "/new", "/new", error);
}

static exia_status do_remove_remote(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_remote_remove(home, "old", error);
}

static exia_status do_install_another(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_install(NULL, home, "d@2.0", NULL, NULL, NULL, error);
}

static exia_status do_uninstall_current(exia_transfer *moved, exia_registry *home,
                                        exia_error *error)
{
    (void)moved;
    return exia_registry_uninstall(home, "d@2.0", error);
}

static exia_status do_activate(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    (void)moved;
    return exia_registry_activate(home, "d@1.0", NULL, error);
}

static exia_status do_repair(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    const exia_check_options options = {.struct_size = sizeof options, .repair = 1};
    const char *line = NULL;
    exia_rows *rows = NULL;
    (void)moved;
    exia_status rc = exia_registry_check(&rows, home, NULL, &options, NULL, error);
    while (rc == EXIA_OK && (rc = exia_rows_next(&line, rows, error)) == EXIA_OK) {
        json_t *row = json_loads(line, 0, NULL);
        if (!json_is_true(json_object_get(row, "repaired"))) {
            /* it says why in the row */
            rc = error->status = strstr(line, "No space left") ? EXIA_ENOSPACE : EXIA_EIO;
            snprintf(error->text, sizeof error->text, "%.200s", line);
        }
        json_decref(row);
    }
    exia_rows_free(rows);
    return rc == EXIA_DONE ? EXIA_OK : rc;
}

static exia_status do_prune(exia_transfer *moved, exia_registry *home, exia_error *error)
{
    const exia_prune_options options = {.struct_size = sizeof options, .apply = 1};
    exia_rows *rows = NULL;
    (void)moved;
    exia_status rc = exia_registry_prune(&rows, home, &options, NULL, error);
    exia_rows_free(rows);
    return rc;
}

/* ---- what was before ------------------------------------------------------------------------- */

static void add(exia_registry *registry, const char *package, const char *remote)
{
    check_ok(exia_registry_register(registry, file_of(package), remote, NULL, &err));
}

static void with_d(exia_registry *home, exia_registry *other)
{
    (void)other;
    add(home, "d@1.0", NULL);
}

static void with_d_there(exia_registry *home, exia_registry *other)
{
    (void)home;
    add(other, "d@1.0", "there");
}

static void with_e(exia_registry *home, exia_registry *other)
{
    (void)other;
    add(home, "e@1.0", NULL);
}

static void with_e_there(exia_registry *home, exia_registry *other)
{
    (void)home;
    add(other, "e@1.0", "there");
}

/* A later version is on both sides, so that only what differs needs to move. */
static void with_e_after_another(exia_registry *home, exia_registry *other)
{
    add(other, "e@2.0", "there");
    add(home, "e@2.0", NULL);
    add(home, "e@1.0", NULL);
}

static void with_e_there_after_another(exia_registry *home, exia_registry *other)
{
    add(other, "e@2.0", "there");
    add(home, "e@2.0", NULL);
    add(other, "e@1.0", "there");
}

static void with_c(exia_registry *home, exia_registry *other)
{
    (void)other;
    add(home, "d@2.0", NULL);
    add(home, "f@1.0", NULL);
    add(home, "c@1.0", NULL);
}

static void with_c_there(exia_registry *home, exia_registry *other)
{
    (void)home;
    add(other, "d@2.0", "there");
    add(other, "f@1.0", "there");
    add(other, "c@1.0", "there");
}

static void with_c_installed(exia_registry *home, exia_registry *other)
{
    with_c(home, other);
    check_ok(exia_registry_install(NULL, home, "c@1.0", NULL, NULL, NULL, &err));
}

static void with_c_arrived(exia_registry *home, exia_registry *other)
{
    with_c(other, home);
    check_ok(export_c(other, "arrived.tar", &err));
}

static void with_d_installed(exia_registry *home, exia_registry *other)
{
    with_d(home, other);
    add(home, "d@2.0", NULL);
    check_ok(exia_registry_install(NULL, home, "d@1.0", NULL, NULL, NULL, &err));
}

static void with_both_installed(exia_registry *home, exia_registry *other)
{
    with_d_installed(home, other);
    check_ok(exia_registry_install(NULL, home, "d@2.0", NULL, NULL, NULL, &err));
}

static void with_c_damaged(exia_registry *home, exia_registry *other)
{
    with_c_installed(home, other);
    const char *at = check_format("%s/installed", exia_registry_home(home));
    check_write_file(check_format("%s/c/1.0/any/code/main.py", at), "other", 5);
    assert_int_equal(unlink(check_format("%s/c/current", at)), 0);
    assert_int_equal(exia__tree_remove(check_format("%s/d/2.0/any", at), NULL), EXIA_OK);
}

static void with_needs_of_c(exia_registry *home, exia_registry *other)
{
    with_c_installed(home, other);
    check_ok(exia_registry_uninstall(home, "c@1.0", &err));
}

static void with_remote(exia_registry *home, exia_registry *other)
{
    (void)other;
    check_ok(exia_registry_remote_add(home, "old", "/old", "/old", &err));
}

void errands_list(void)
{
    const char *e = item("e@1.0")->hex[STOCK_ONE], *d = item("d@1.0")->hex[STOCK_ONE];
    const errand all[] = {
        {.name = "opening a home", do_open},
        {.name = "registering", do_register},
        {.name = "registering on a remote", do_register_there, .unpushed = d},
        {.name = "updating", do_update, with_d},
        {.name = "updating on a remote", do_update_there, with_d_there},
        {.name = "unregistering", do_unregister, with_d, .again = EXIA_ENOTFOUND},
        {.name = "unregistering on a remote",
         do_unregister_there,
         with_d_there,
         .again = EXIA_ENOTFOUND},
        {.name = "a push", do_push, with_e, .unpushed = e},
        {.name = "a push beside another version", do_push, with_e_after_another, .unpushed = e},
        {.name = "a pull", do_pull, with_e_there, .unpulled = e},
        {.name = "a pull beside another version",
         do_pull,
         with_e_there_after_another,
         .unpulled = e},
        {.name = "installing", do_install, with_c},
        {.name = "installing with a lock file", do_install_locked, with_c, .steps = 1},
        {.name = "installing from a remote", do_install_there, with_c_there, .steps = 1},
        {.name = "uninstalling", do_uninstall, with_c_installed, .again = EXIA_ENOTFOUND},
        {.name = "exporting a bundle", do_export, with_c},
        {.name = "importing a bundle", do_import, with_c_arrived, .steps = 1},
        {.name = "installing another version", do_install_another, with_d_installed},
        {.name = "uninstalling the current version",
         do_uninstall_current,
         with_both_installed,
         .again = EXIA_ENOTFOUND},
        {.name = "activating", do_activate, with_both_installed},
        {.name = "repairing", do_repair, with_c_damaged, .steps = 1},
        {.name = "pruning", do_prune, with_needs_of_c, .steps = 1},
        {.name = "adding a remote", do_add_remote},
        {.name = "removing a remote", do_remove_remote, with_remote, .again = EXIA_ENOTFOUND},
    };
    const char *only = getenv("EXIA_ERRAND");
    errand_count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (only == NULL || strcmp(all[i].name, only) == 0)
            errands[errand_count++] = all[i];
    }
}

/* ---- the world ------------------------------------------------------------------------------- */

static exia_registry *open_host(const char *folder, const char *host)
{
    exia_registry *registry = NULL;
    check_ok(exia_registry_open(&registry, check_format("%s/%s", folder, host), &err));
    return registry;
}

void errands_prepare(const errand *one, const char *folder)
{
    exia_registry *hosts[2];
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(mkdir(check_format("%s/there", folder), 0700), 0);
    for (int i = 0; i < 2; i++) {
        hosts[i] = open_host(folder, i ? "other" : "home");
        check_ok(exia_registry_remote_add(hosts[i], "there",
                                          check_format("sqlite:%s/there/records.db", folder),
                                          check_format("file:%s/there/packages", folder), &err));
    }
    if (one->prepare != NULL)
        one->prepare(hosts[0], hosts[1]);
    exia_registry_free(hosts[0]);
    exia_registry_free(hosts[1]);
}

/* Rows without what differs from run to run, and what lies behind them. */
static const char *tell(const char *title, exia_rows *rows, const char *format, const char *folder)
{
    const char *line = NULL, *text = "";
    while (exia_rows_next(&line, rows, &err) == EXIA_OK) {
        json_t *row = json_loads(line, 0, NULL);
        const char *name = json_string_value(json_object_get(row, "name")),
                   *version = json_string_value(json_object_get(row, "version"));
        int it = stock_find(name, version);
        json_object_del(row, "time");
        char *rest = json_dumps(row, JSON_SORT_KEYS | JSON_COMPACT);
        const char *path =
            check_format("%s/%s%s%s", folder, format,
                         strstr(format, "installed") ? stock[it].target : stock[it].hex[STOCK_ONE],
                         strstr(format, "installed") ? "" : ".veda");
        text = check_format("%s%s %s: %llx\n", text, title, rest,
                            (unsigned long long)stock_tree(path));
        free(rest);
        json_decref(row);
    }
    exia_rows_free(rows);
    return text;
}

/* What another site gets from the bundle that is there. */
static const char *tell_bundle(const char *folder)
{
    const char *bundle = check_format("%s/bundle.tar", folder);
    exia_rows *rows = NULL;
    if (access(bundle, F_OK) != 0)
        return "";
    exia_registry *site = open_host(folder, "site");
    check_ok(exia_registry_import(NULL, site, bundle, NULL, &err));
    check_ok(exia_registry_query(&rows, site, NULL, NULL, &err));
    const char *text =
        tell("bundle", rows, "packages/blobs/packages/", check_format("%s/site", folder));
    exia_registry_free(site);
    check_ok(exia__tree_remove(check_format("%s/site", folder), &err));
    return text;
}

static const char *tell_lock(const char *folder)
{
    const char *path = check_format("%s/veda.lock", folder);
    if (access(path, F_OK) != 0)
        return "";
    char *text = check_read_file(path, NULL);
    const char *kept = check_format("veda.lock: %s\n", text);
    free(text);
    return kept;
}

static const char *tell_remotes(exia_registry *registry)
{
    exia_rows *rows = NULL;
    check_ok(exia_registry_remotes(&rows, registry, &err));
    return rows_text(rows);
}

/* Where the links to the current versions lead. */
static const char *tell_links(const char *home)
{
    const char *text = "";
    for (char name = 'a'; name <= 'f'; name++) {
        char target[100];
        const char *link = check_format("%s/installed/%c/current", home, name);
        ssize_t size = readlink(link, target, sizeof target);
        if (size >= 0)
            text = check_format("%s%c: %.*s\n", text, name, (int)size, target);
    }
    return text;
}

const char *errands_state(const char *folder, const char *host)
{
    exia_registry *registry = open_host(folder, host);
    exia_rows *here = NULL, *there = NULL, *installed_here = NULL;
    check_ok(exia_registry_query(&here, registry, NULL, NULL, &err));
    check_ok(exia_registry_query(&there, registry, NULL, "there", &err));
    check_ok(exia_registry_installed(&installed_here, registry, NULL, &err));
    const char *home = check_format("%s/%s", folder, host);
    const char *text =
        check_format("%s%s%s%s%s%s%s", tell("here", here, "packages/blobs/packages/", home),
                     tell("there", there, "there/packages/packages/", folder),
                     tell("installed", installed_here, "installed/", home), tell_links(home),
                     tell_bundle(folder), tell_lock(folder), tell_remotes(registry));
    exia_registry_free(registry);
    return text;
}

static exia_status begin_anew(exia_registry *home, exia_error *error)
{
    static const char *const packages[] = {"c@1.0", "f@1.0", "d@1.0", "d@2.0", "e@1.0"};
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < sizeof packages / sizeof *packages; i++) {
        rc = exia_registry_uninstall(home, packages[i], error);
        if (rc == EXIA_OK || rc == EXIA_ENOTFOUND)
            rc = exia_registry_unregister(home, packages[i], NULL, error);
        rc = rc == EXIA_ENOTFOUND ? EXIA_OK : rc;
    }
    if (rc == EXIA_OK)
        rc = exia_registry_register(home, item("d@1.0")->file[STOCK_OTHER], NULL, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_registry_install(NULL, home, "d@1.0", NULL, NULL, NULL, error);
    return rc == EXIA_OK ? exia_registry_uninstall(home, "d@1.0", error) : rc;
}

exia_status errands_go_on(const char *folder, exia_error *error)
{
    exia_registry *home = open_host(folder, "home");
    exia_status rc = begin_anew(home, error);
    exia_registry_free(home);
    return rc;
}
