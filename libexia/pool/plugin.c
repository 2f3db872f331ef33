/* Plugins.  What a plugin adds while its entry runs is collected, and becomes part of the pool in one
 * step when the entry has succeeded; else all of it is released, and the library is unloaded. */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "pool/pool.h"

/* What one load collects.  One component that is refused spoils it all, even when the plugin does not
 * mind. */
struct exia__load {
    exia__recipe *recipes, **end;
    exia_status status;
    exia_error why;
};

/* The load of this thread; NULL: it does not load. */
static exia__load *current_load(exia_pool *pool)
{
    exia__load *load = NULL;
    pthread_mutex_lock(&pool->lock);
    for (exia__call *call = pool->calls; call != NULL && load == NULL; call = call->next) {
        if (pthread_equal(call->thread, pthread_self()))
            load = call->load;
    }
    pthread_mutex_unlock(&pool->lock);
    return load;
}

static exia_status core_add(exia_pool *pool, const char *name, const exia_factory *factory,
                            const exia_component_options *options, exia_error *err)
{
    exia_error why;
    exia__recipe *recipe = NULL;
    exia__load *load = pool ? current_load(pool) : NULL;
    if (load == NULL)
        return exia_pool_add(NULL, pool, name, factory, options, err);
    exia_status rc = exia__recipe_open(&recipe, name, factory, options, &why);
    if (rc == EXIA_OK) {
        *load->end = recipe;
        load->end = &recipe->next;
        return EXIA_OK;
    }
    if (load->status == EXIA_OK) {
        load->status = rc;
        load->why = why;
    }
    return exia__fail(err, rc, 0, "%s", why.text);
}

static exia_status core_fail(exia_error *err, exia_status status, int32_t native, const char *text)
{
    return exia__fail(err, status, native, "%s", text ? text : "");
}

static const exia_plugin_core core = {sizeof core, core_add, core_fail};

static exia_status open_plugin(void **handle, exia_plugin_entry_fn **entry, const char *path,
                               exia_error *err)
{
    *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*handle == NULL && strchr(path, '/') != NULL && access(path, R_OK) != 0)
        return exia__fail_errno(err, errno, "open", path);
    if (*handle == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "%s", dlerror());
    void *symbol = dlsym(*handle, "exia_plugin_entry");
    if (symbol == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "it has no symbol exia_plugin_entry");
    memcpy(entry, &symbol, sizeof symbol); /* ISO C has no cast from data to function */
    return EXIA_OK;
}

static void release_all(exia__recipe *recipes)
{
    while (recipes != NULL) {
        exia__recipe *next = recipes->next;
        exia__recipe_release(recipes);
        recipes = next;
    }
}

/* Run the entry, then add what it offered. */
static exia_status enter_plugin(exia_pool *pool, exia_plugin_entry_fn *entry, exia_error *err)
{
    exia__load load = {0};
    exia_error why = {0};
    exia__call call = exia__call_here();
    load.end = &load.recipes;
    call.load = &load;
    pthread_mutex_lock(&pool->lock);
    exia__enter(pool, &call);
    pthread_mutex_unlock(&pool->lock);
    exia_status rc = entry(pool, &core, &why);
    if (rc < 0) {
        exia__filled(&why, rc);
    } else if (load.status < 0) {
        rc = load.status;
        why = load.why;
    }
    pthread_mutex_lock(&pool->lock);
    call.load = NULL;
    if (rc >= 0)
        rc = exia__recipes_commit(pool, load.recipes, &why);
    if (rc < 0) {
        pthread_mutex_unlock(&pool->lock);
        release_all(load.recipes);
        exia__fail(err, rc, why.native, "%s", why.text);
        pthread_mutex_lock(&pool->lock);
    }
    exia__leave(pool, &call);
    return rc;
}

exia_status exia_pool_load(exia_pool *pool, const char *shared_object, exia_error *err)
{
    char shown[EXIA__SHOWN_SIZE];
    void *handle = NULL;
    exia_plugin_entry_fn *entry = NULL;
    if (pool == NULL || shared_object == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_pool_load: an argument is NULL");
    exia_status rc = open_plugin(&handle, &entry, shared_object, err);
    if (rc == EXIA_OK)
        rc = enter_plugin(pool, entry, err);
    if (rc == EXIA_OK)
        return EXIA_OK; /* it stays loaded: its functions are in use */
    if (handle != NULL)
        dlclose(handle);
    return exia__prefix(err, rc, "plugin %s", exia__shown(shown, exia__path_base(shared_object)));
}
