/* Every allocation of the calls that look, and of those that change a home in the ways that no other test
 * takes, fails in turn: each says that memory is out, nothing leaks, and the home is whole. */
#include <unistd.h>

#include "support/packages.h"

static const char *home, *lock, *bundle;

static exia_status drop(exia_rows **rows, exia_status rc)
{
    exia_rows_free(*rows);
    *rows = NULL;
    return rc;
}

/* "two" has the remote, app@1.0 of it installed with base@1.0, and nothing registered but y@1.0. */
static void open_shop(void)
{
    check_in_memory();
    exia_registry *one = open_home_with_remote("one"), *two = open_home_with_remote("two");
    add_package(one, "base", "1.0", NULL);
    add_package(one, "app", "1.0", "\"base >= 1\"");
    check_ok(exia_registry_push(NULL, one, "base", "prod", NULL, NULL, &err));
    check_ok(exia_registry_push(NULL, one, "app", "prod", NULL, NULL, &err));
    add_package(two, "y", "1.0", NULL);
    exia_registry_free(one);
    exia_registry_free(two);
    home = check_path("two");
    lock = check_path("veda.lock");
    bundle = check_path("bundle.tar");
}

static exia_status look(void *payload, exia_error *error)
{
    const exia_transfer_options dry = {sizeof dry, 1};
    const exia_install_options with_lock = {.struct_size = sizeof with_lock, .lock = lock};
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    char *text = NULL;
    exia_status rc = exia_registry_open(&registry, home, error);
    (void)payload;
    if (rc == EXIA_OK)
        rc = drop(&rows, exia_registry_remotes(&rows, registry, error));
    if (rc == EXIA_OK)
        rc = drop(&rows, exia_registry_remote_check(&rows, registry, "prod", error));
    if (rc == EXIA_OK)
        rc = drop(&rows,
                  exia_registry_plan(&rows, registry, "app", "prod", &with_lock, NULL, error));
    if (rc == EXIA_OK)
        rc = exia_registry_have(&text, registry, "prod", NULL, error);
    exia_text_free(text);
    if (rc == EXIA_OK)
        rc = exia_registry_pull(NULL, registry, "app", "prod", &dry, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_registry_push(NULL, registry, "y", "prod", &dry, NULL, error);
    if (rc == EXIA_OK)
        rc = drop(&rows, exia_registry_prune(&rows, registry, NULL, NULL, error));
    if (rc == EXIA_OK)
        rc = exia_registry_url(&text, registry, "app", "prod", 60, error);
    if (rc == EXIA_EUNSUPPORTED) { /* files have none, and that is told last */
        rc = EXIA_OK;
        *error = (exia_error){0};
    }
    exia_registry_free(registry);
    return rc;
}

TEST(who_looks_survives_a_lack_of_memory)
{
    open_shop();
    check_survives_no_memory(look, NULL);
}

/* What a run that failed left is taken away first. */
static exia_status clear(exia_registry *registry, exia_error *error)
{
    static const char *const packages[] = {"app@1.0", "base@1.0"};
    exia_status rc = EXIA_OK;
    unlink(lock);
    for (size_t i = 0; rc == EXIA_OK && i < 2; i++) {
        rc = exia_registry_uninstall(registry, packages[i], error);
        if (rc == EXIA_OK || rc == EXIA_ENOTFOUND)
            rc = exia_registry_unregister(registry, packages[i], NULL, error);
        if (rc == EXIA_ENOTFOUND) {
            rc = EXIA_OK;
            *error = (exia_error){0};
        }
    }
    return rc;
}

static exia_status change(void *payload, exia_error *error)
{
    const exia_install_options with_lock = {.struct_size = sizeof with_lock, .lock = lock};
    const exia_prune_options apply = {sizeof apply, 1};
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    exia_status rc = exia_registry_open(&registry, home, error);
    (void)payload;
    if (rc == EXIA_OK)
        rc = clear(registry, error);
    if (rc == EXIA_OK)
        rc = exia_registry_install(NULL, registry, "app", "prod", &with_lock, NULL, error);
    if (rc == EXIA_OK)
        rc = exia_registry_activate(registry, "app@1.0", "1.0#any", error);
    if (rc == EXIA_OK)
        rc = exia_registry_uninstall(registry, "app", error);
    if (rc == EXIA_OK)
        rc = drop(&rows, exia_registry_prune(&rows, registry, &apply, NULL, error));
    if (rc == EXIA_OK)
        rc = exia_registry_merge(registry, "y", "{\"a\": 1}", NULL, error);
    exia_registry_free(registry);
    return rc;
}

TEST(who_installs_from_a_remote_with_a_lock_file_and_prunes_survives_a_lack_of_memory)
{
    open_shop();
    check_survives_no_memory(change, NULL);
    exia_registry *registry = open_home("two");
    assert_string_equal(installed(registry, NULL), "");
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 3);
    assert_true(exists("veda.lock"));
    exia_registry_free(registry);
}

static exia_status carry(void *payload, exia_error *error)
{
    const char *package = "app";
    const exia_export_options from = {.struct_size = sizeof from, .remote = "prod"};
    exia_registry *registry = NULL;
    exia_rows *rows = NULL;
    exia_status rc = exia_registry_open(&registry, home, error);
    (void)payload;
    if (rc == EXIA_OK)
        rc = clear(registry, error);
    if (rc == EXIA_OK)
        rc = drop(&rows,
                  exia_registry_export(&rows, registry, &package, 1, bundle, &from, NULL, error));
    if (rc == EXIA_OK)
        rc = drop(&rows, exia_registry_import(&rows, registry, bundle, NULL, error));
    if (rc == EXIA_OK)
        rc = exia_registry_remote_add(registry, "new", "/new", "/new", error);
    if (rc == EXIA_OK)
        rc = exia_registry_remote_remove(registry, "new", error);
    exia_registry_free(registry);
    return rc;
}

TEST(who_exports_from_a_remote_and_names_another_survives_a_lack_of_memory)
{
    open_shop();
    check_survives_no_memory(carry, NULL);
    exia_registry *registry = open_home("two");
    assert_int_equal(rows_count(query(registry, NULL, NULL)), 3);
    exia_registry_free(registry);
}
