/* Plugins: all of their components or none. */
#include <dlfcn.h>
#include <libgen.h>
#include <unistd.h>

#include "support/recorder.h"

EXIA_API extern const char *plugin_mode;
EXIA_API extern int plugin_released;
const char *plugin_mode = "";
int plugin_released;

static const char *plugin(const char *name)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(size > 0);
    self[size] = '\0';
    return check_format("%s/plugin_%s.so", dirname(self), name);
}

TEST(a_plugin_adds_its_components)
{
    exia_pool *pool = open_pool();
    plugin_mode = "";
    plugin_released = 0;
    check_ok(exia_pool_load(pool, plugin("counter"), &err));
    exia_lease lease = borrow(exia_pool_find(pool, "plugin_two"));
    assert_int_equal(*(int *)lease.object, 42);
    give(lease);
    check_fails(EXIA_EEXISTS, exia_pool_load(pool, plugin("counter"), &err));
    check_text("plugin 'plugin_counter.so': pool test has a component plugin_one already");
    assert_int_equal(plugin_released, 2);
    give(borrow(exia_pool_find(pool, "plugin_two")));
    exia_pool_free(pool);
    assert_int_equal(plugin_released, 4);
}

TEST(a_plugin_that_fails_half_way_leaves_nothing_behind)
{
    static const struct {
        const char *mode;
        exia_status status;
        int released;
        const char *text;
    } cases[] = {
        {"half", EXIA_EUSER, 1, "half of it is enough"},
        {"silent", EXIA_EIO, 1, "plugin 'plugin_counter.so': the system failed"},
        {"ignores", EXIA_EINVAL, 2, "not a name"},
        {"twice", EXIA_EEXISTS, 2, "plugin_one"},
        {"cycle", EXIA_ECYCLE, 2, "'plugin_two'"},
        {"newer", EXIA_EUNSUPPORTED, 1, "does not know"},
    };
    exia_pool *pool = open_pool();
    recorder a = {.name = 'a'};
    add(pool, &a, 0, "", "");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plugin_mode = cases[i].mode;
        plugin_released = 0;
        check_fails(cases[i].status, exia_pool_load(pool, plugin("counter"), &err));
        check_text(cases[i].text);
        assert_int_equal(plugin_released, cases[i].released);
        assert_null(exia_pool_find(pool, "plugin_one"));
        assert_null(exia_pool_find(pool, "plugin_two"));
        exia_dag *plan;
        check_ok(exia_pool_plan(&plan, pool, &err));
        assert_int_equal(exia_dag_node_count(plan), 1);
        exia_dag_free(plan);
    }
    plugin_mode = "";
    check_ok(exia_pool_load(pool, plugin("counter"), &err)); /* and may come later */
    check_ok(exia_pool_close(pool, 0, &err));
    check_fails(EXIA_ECLOSED, exia_pool_load(pool, plugin("counter"), &err));
    exia_pool_free(pool);
}

TEST(what_is_no_plugin_is_refused)
{
    exia_pool *pool = open_pool();
    check_fails(EXIA_ENOTFOUND, exia_pool_load(pool, "/nowhere/plugin.so", &err));
    check_text("/nowhere/plugin.so");
    check_fails(EXIA_EINVAL, exia_pool_load(pool, plugin("empty"), &err));
    check_text("plugin_empty.so");
    check_text("exia_plugin_entry");
    check_write_file(check_path("text.so"), "hello", 5);
    check_fails(EXIA_EINVAL, exia_pool_load(pool, check_path("text.so"), &err));
    check_text("text.so");
    exia_pool_free(pool);
}

TEST(a_plugin_with_wider_structs_is_welcome_while_it_does_not_use_what_is_new)
{
    exia_pool *pool = open_pool();
    plugin_mode = "wider";
    check_ok(exia_pool_load(pool, plugin("counter"), &err));
    give(borrow(exia_pool_find(pool, "plugin_two")));
    exia_pool_free(pool);
}

static exia_status fail_as_told(exia_error *error, exia_status status, int32_t native,
                                const char *text)
{
    error->status = status;
    error->native = native;
    snprintf(error->text, sizeof error->text, "%s", text);
    return status;
}

TEST(a_plugin_sees_by_the_size_that_its_host_is_too_old)
{
    exia_pool *pool = open_pool();
    exia_plugin_core old = {sizeof old - sizeof(void *), NULL, fail_as_told};
    exia_plugin_entry_fn *entry;
    void *handle = dlopen(plugin("counter"), RTLD_NOW), *symbol;
    assert_non_null(handle);
    symbol = dlsym(handle, "exia_plugin_entry");
    assert_non_null(symbol);
    memcpy(&entry, &symbol, sizeof entry);
    check_fails(EXIA_EVERSION, entry(pool, &old, &err));
    check_text("needs a newer Exia");
    exia_pool_free(pool);
    dlclose(handle);
}

static exia_status load_plugin(void *payload, exia_error *error)
{
    exia_pool *pool = NULL;
    exia_status rc = exia_pool_open(&pool, "test", error);
    if (rc == EXIA_OK)
        rc = exia_pool_load(pool, payload, error);
    if (rc < 0 && pool != NULL)
        assert_null(exia_pool_find(pool, "plugin_one"));
    exia_pool_free(pool);
    return rc;
}

TEST(a_plugin_is_there_or_not_when_memory_is_out)
{
    plugin_mode = "";
    check_survives_no_memory(load_plugin, (char *)(intptr_t)plugin("counter"));
}
