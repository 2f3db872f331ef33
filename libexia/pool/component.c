/* Components and their needs.  A need may be named before it is added: it has its place from then
 * on.  Adding is done in one step for one component or for all of a plugin, so nobody ever sees a
 * part of them, and a cycle is refused before it is there. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/name.h"
#include "pool/pool.h"

void exia__recipe_free(exia__recipe *recipe)
{
    if (recipe == NULL)
        return;
    for (uint32_t i = 0; recipe->need_names != NULL && i < recipe->need_count; i++)
        exia__release(recipe->need_names[i]);
    exia__release(recipe->need_names);
    exia__release(recipe->needs);
    exia__release(recipe->name);
    json_decref(recipe->about);
    exia__release(recipe);
}

void exia__recipe_release(exia__recipe *recipe)
{
    if (recipe->factory.release != NULL)
        recipe->factory.release(recipe->factory.payload);
    exia__recipe_free(recipe);
}

void exia__recipe_keep(exia__recipe *recipe)
{
    recipe->users++;
}

void exia__recipe_drop(exia_pool *pool, exia__recipe *recipe)
{
    if (--recipe->users > 0)
        return;
    recipe->next = pool->dead;
    pool->dead = recipe;
}

void exia__recipes_bury(exia_pool *pool)
{
    while (pool->dead != NULL) {
        exia__recipe *recipe = pool->dead;
        pool->dead = recipe->next;
        pthread_mutex_unlock(&pool->lock);
        exia__recipe_release(recipe);
        pthread_mutex_lock(&pool->lock);
    }
}

static exia_status copy_needs(exia__recipe *recipe, const exia_component_options *options,
                              exia_error *err)
{
    exia_status rc = EXIA_OK;
    if (options->need_count == 0)
        return EXIA_OK;
    if (options->needs == NULL || options->need_count > UINT32_MAX / sizeof(exia_lease))
        return exia__fail(err, EXIA_EINVAL, 0, "component %s: need_count is %zu, needs is %s",
                          recipe->name, options->need_count, options->needs ? "a list" : "NULL");
    recipe->need_names = exia__zeroed(options->need_count, sizeof *recipe->need_names);
    recipe->needs = exia__zeroed(options->need_count, sizeof(exia_component *));
    if (recipe->need_names == NULL || recipe->needs == NULL)
        return exia__fail_memory(err);
    recipe->need_count = (uint32_t)options->need_count;
    for (uint32_t i = 0; i < recipe->need_count && rc == EXIA_OK; i++) {
        rc = exia__name_check(options->needs[i], "name of a need", err);
        if (rc == EXIA_OK)
            rc = exia__text_copy(&recipe->need_names[i], options->needs[i], err);
    }
    return rc;
}

static exia_status copy_limits(exia__recipe *recipe, const char *name,
                               const exia_component_options *options, exia_error *err)
{
    uint32_t max = recipe->max = options->max;
    uint32_t min_idle = recipe->min_idle = options->min_idle;
    recipe->idle_ms = options->idle_ms;
    recipe->life_ms = options->life_ms;
    recipe->overdue_ms = options->overdue_ms;
    if (max == 0 && min_idle > 1)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "component %s: min_idle is %u, but it has one object, which is shared",
                          name, (unsigned)min_idle);
    if (max > 0 && min_idle > max)
        return exia__fail(err, EXIA_EINVAL, 0, "component %s: min_idle is %u, more than max, %u",
                          name, (unsigned)min_idle, (unsigned)max);
    if (options->idle_ms < 0 || options->life_ms < 0)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "component %s: idle_ms is %lld, life_ms %lld: 0 means no limit", name,
                          (long long)options->idle_ms, (long long)options->life_ms);
    return EXIA_OK;
}

exia_status exia__recipe_open(exia__recipe **out, const char *name, const exia_factory *factory,
                              const exia_component_options *options, exia_error *err)
{
    exia_component_options given;
    exia__recipe *recipe = NULL;
    *out = NULL;
    exia_status rc = exia__name_check(name, "component name", err);
    if (rc == EXIA_OK)
        rc = exia__options(&given, sizeof given, options, err);
    if (rc < 0)
        return rc;
    recipe = exia__zeroed(1, sizeof *recipe);
    if (recipe == NULL)
        return exia__fail_memory(err);
    recipe->users = 1;
    rc = copy_limits(recipe, name, &given, err);
    if (rc == EXIA_OK)
        rc = exia__options(&recipe->factory, sizeof recipe->factory, factory, err);
    if (rc == EXIA_OK && recipe->factory.create == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, "component %s: its factory has no create", name);
    if (rc == EXIA_OK)
        rc = exia__text_copy(&recipe->name, name, err);
    if (rc == EXIA_OK)
        rc = copy_needs(recipe, &given, err);
    if (rc == EXIA_OK && given.about != NULL)
        rc = exia__json_object(&recipe->about, given.about, strlen(given.about), "about",
                               EXIA_EINVAL, err);
    if (rc == EXIA_OK) {
        *out = recipe;
        recipe = NULL;
    }
    exia__recipe_free(recipe);
    return rc;
}

/* The place of a name; a new one has no recipe. */
static exia_status intern(exia_component **out, exia_pool *pool, const char *name, exia_error *err)
{
    uint32_t index = exia__names_find(&pool->names, name);
    if (index != EXIA__NO_NAME) {
        *out = pool->components[index];
        return EXIA_OK;
    }
    size_t count = pool->names.count;
    exia_status rc = exia__grow(&pool->components, &pool->component_capacity, count + 1,
                                sizeof *pool->components, err);
    if (rc < 0)
        return rc;
    exia_component *component = exia__zeroed(1, sizeof *component);
    if (component == NULL)
        return exia__fail_memory(err);
    rc = exia__names_add(&pool->names, &name, 1, err);
    if (rc < 0) {
        exia__release(component);
        return rc;
    }
    component->pool = pool;
    exia__homes_open(component);
    component->name = exia__names_text(&pool->names, (uint32_t)count);
    pool->components[count] = *out = component;
    return EXIA_OK;
}

static exia_status check_cycles(const exia_pool *pool, exia_error *err)
{
    exia_dag *dag = NULL;
    const uint32_t *order;
    size_t count;
    exia_status rc = exia_dag_open(&dag, err);
    if (rc == EXIA_OK)
        rc = exia_dag_add_nodes(NULL, dag, pool->names.texts, pool->names.count, err);
    for (uint32_t i = 0; i < pool->names.count && rc == EXIA_OK; i++) {
        const exia__recipe *recipe = pool->components[i]->recipe;
        for (uint32_t k = 0; recipe != NULL && k < recipe->need_count && rc == EXIA_OK; k++) {
            uint32_t need = exia__names_find(&pool->names, recipe->need_names[k]);
            rc = exia_dag_add_edges(dag, &i, &need, 1, err);
        }
    }
    if (rc == EXIA_OK)
        rc = exia_dag_order(&order, &count, dag, err);
    exia_dag_free(dag);
    return rc;
}

static exia_status link_needs(exia_pool *pool, exia__recipe *recipe, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (uint32_t i = 0; i < recipe->need_count && rc == EXIA_OK; i++) {
        rc = intern(&recipe->needs[i], pool, recipe->need_names[i], err);
        if (rc == EXIA_OK)
            recipe->needs[i]->wanted = true;
    }
    return rc;
}

exia_status exia__recipe_link(exia_component *component, exia__recipe *recipe, exia_error *err)
{
    exia__recipe *was = component->recipe;
    exia_status rc = link_needs(component->pool, recipe, err);
    if (rc < 0)
        return rc;
    component->recipe = recipe;
    rc = check_cycles(component->pool, err);
    component->recipe = was;
    if (rc == EXIA_ECYCLE)
        return exia__prefix(err, rc, "cannot replace %s, its needs go round", component->name);
    return rc;
}

/* Give each recipe its component and resolve its needs.  `*linked` says how far it came. */
static exia_status link_all(size_t *linked, exia_pool *pool, exia__recipe *recipes, exia_error *err)
{
    exia_status rc = EXIA_OK;
    bool check = false;
    *linked = 0;
    for (exia__recipe *recipe = recipes; recipe != NULL && rc == EXIA_OK; recipe = recipe->next) {
        exia_component *component = NULL;
        rc = intern(&component, pool, recipe->name, err);
        if (rc == EXIA_OK)
            rc = link_needs(pool, recipe, err);
        if (rc == EXIA_OK && component->recipe != NULL)
            rc = exia__fail(err, EXIA_EEXISTS, 0, "pool %s has a component %s already", pool->name,
                            recipe->name);
        if (rc == EXIA_OK) {
            component->recipe = recipe;
            pool->rows[pool->row_count + (*linked)++] = component;
            check |= component->wanted; /* only what was named before can close a cycle */
        }
    }
    if (rc == EXIA_OK && check) {
        rc = check_cycles(pool, err);
        if (rc == EXIA_ECYCLE)
            rc = exia__prefix(err, rc, "cannot add %s, its needs go round", recipes->name);
    }
    return rc;
}

exia_status exia__recipes_commit(exia_pool *pool, exia__recipe *recipes, exia_error *err)
{
    size_t count = 0, linked = 0;
    for (exia__recipe *recipe = recipes; recipe != NULL; recipe = recipe->next)
        count++;
    if (pool->closing)
        return exia__fail(err, EXIA_ECLOSED, 0, "pool %s is closed", pool->name);
    exia_status rc = exia__grow(&pool->rows, &pool->row_capacity, pool->row_count + count,
                                sizeof *pool->rows, err);
    if (rc == EXIA_OK)
        rc = exia__table_reserve(pool, count, err);
    if (rc == EXIA_OK)
        rc = link_all(&linked, pool, recipes, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        exia__table_put(pool, pool->rows[pool->row_count++]);
    for (size_t i = 0; rc < 0 && i < linked; i++)
        pool->rows[pool->row_count + i]->recipe = NULL;
    return rc;
}

exia_status exia_pool_add(exia_component **out, exia_pool *pool, const char *name,
                          const exia_factory *factory, const exia_component_options *options,
                          exia_error *err)
{
    exia__recipe *recipe = NULL;
    if (out != NULL)
        *out = NULL;
    if (pool == NULL || name == NULL || factory == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_pool_add: an argument is NULL");
    exia_status rc = exia__recipe_open(&recipe, name, factory, options, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&pool->lock);
    rc = exia__recipes_commit(pool, recipe, err);
    if (rc == EXIA_OK && out != NULL)
        *out = pool->rows[pool->row_count - 1];
    pthread_mutex_unlock(&pool->lock);
    if (rc < 0)
        exia__recipe_free(recipe);
    return rc;
}
