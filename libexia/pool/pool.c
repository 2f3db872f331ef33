/* The pool as a whole: opened, listed, closed, freed.  Memory belongs to whoever uses it last: the
 * owner, a loan, a place in a queue, or a call that is under way. */
#include "pool/pool.h"

#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"
#include "base/rows.h"

exia_status exia_pool_open(exia_pool **out, const char *name, exia_error *err)
{
    exia_pool *pool = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || name == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_pool_open: an argument is NULL");
    exia_status rc = exia__name_check(name, "pool name", err);
    if (rc < 0)
        return rc;
    pool = exia__zeroed(1, sizeof *pool);
    if (pool == NULL)
        return exia__fail_memory(err);
    rc = exia__text_copy(&pool->name, name, err);
    if (rc == EXIA_OK)
        rc = exia__cond_open(&pool->quiet, err);
    if (rc < 0) {
        exia__release(pool->name);
        exia__release(pool);
        return rc;
    }
    pthread_mutex_init(&pool->lock, NULL);
    exia__fork_join(pool);
    *out = pool;
    return EXIA_OK;
}

exia_status exia_pool_on_wait(exia_pool *pool, exia_wait_fn *ask, void *payload, exia_error *err)
{
    if (pool == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_pool_on_wait: pool is NULL");
    pthread_mutex_lock(&pool->lock);
    pool->ask = ask;
    pool->ask_payload = payload;
    pthread_mutex_unlock(&pool->lock);
    return EXIA_OK;
}

/* Nobody uses it any more.  Factories go in reverse order, as objects do; a release that asks the
 * pool finds it closed, without what was released. */
static void destroy(exia_pool *pool)
{
    exia__fork_leave(pool);
    pool->orphaned = false; /* its call would be a last use, too */
    while (pool->row_count > 0) {
        exia_component *component = pool->rows[--pool->row_count];
        exia__recipe *recipe = component->recipe;
        component->recipe = NULL;
        exia__recipe_release(recipe);
    }
    for (size_t i = 0; i < pool->names.count; i++) {
        for (size_t k = 0; k < EXIA__CHUNKS; k++)
            exia__release(pool->components[i]->chunks[k]);
        exia__release(pool->components[i]);
    }
    exia__release(pool->components);
    exia__release(pool->rows);
    exia__names_free(&pool->names);
    exia__table_free(pool->table);
    exia__release(pool->name);
    pthread_cond_destroy(&pool->quiet);
    pthread_mutex_destroy(&pool->lock);
    exia__release(pool);
}

exia__call exia__call_here(void)
{
    return (exia__call){.thread = pthread_self()};
}

void exia__enter(exia_pool *pool, exia__call *call)
{
    call->next = pool->calls;
    if (call->next != NULL)
        call->next->previous = call;
    pool->calls = call;
    pool->working += !call->closes;
}

void exia__leave(exia_pool *pool, exia__call *call)
{
    if (pool->closing && pool->closers == 0)
        exia__sweep(pool, call, NULL, 0);
    exia__recipes_bury(pool);
    if (call->next != NULL)
        call->next->previous = call->previous;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        pool->calls = call->next;
    pool->working -= !call->closes;
    if (pool->closing)
        pthread_cond_broadcast(&pool->quiet);
    bool last = pool->orphaned && pool->loans == 0 && pool->calls == NULL && pool->places == NULL;
    pthread_mutex_unlock(&pool->lock);
    if (last)
        destroy(pool);
}

const char *exia_component_name(const exia_component *component)
{
    return component ? component->name : NULL;
}

static exia_status add_row(exia_rows *rows, const exia_component *c, exia_error *err)
{
    const exia_pool *pool = c->pool;
    const exia__recipe *recipe = c->recipe;
    json_t *needs = json_array();
    int failed = needs == NULL;
    for (uint32_t i = 0; i < recipe->need_count; i++)
        failed |= json_array_append_new(needs, json_string(recipe->needs[i]->name)) != 0;
    uint64_t hits = exia__component_hits(c), last_hit = hits != c->seen ? pool->ticks : c->last_hit;
    json_t *when = hits > 0 ? json_integer((json_int_t)last_hit) : json_null();
    json_t *row = json_pack(
        "{s:s, s:O?, s:O?, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o?, s:I}",
        "name", c->name, "about", recipe->about, "needs", needs, "max", (json_int_t)recipe->max,
        "shared", recipe->max == 0, "built", (json_int_t)(c->created - c->destroyed), "idle",
        (json_int_t)exia__component_idle(c), "lent", (json_int_t)(c->lent + exia__homes_lent(c)),
        "waiting", (json_int_t)c->waiting, "hits", (json_int_t)hits, "created",
        (json_int_t)c->created, "destroyed", (json_int_t)c->destroyed, "failed",
        (json_int_t)c->failed, "expired", (json_int_t)c->expired, "last_hit", when, "ticks",
        (json_int_t)pool->ticks);
    exia_status rc =
        failed || row == NULL ? exia__fail_memory(err) : exia__rows_add(rows, row, err);
    json_decref(needs);
    json_decref(row);
    return rc;
}

exia_status exia_pool_list(exia_rows **out, exia_pool *pool, exia_error *err)
{
    exia_rows *rows = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || pool == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_pool_list: an argument is NULL");
    exia_status rc = exia__rows_open(&rows, err);
    pthread_mutex_lock(&pool->lock);
    for (size_t i = 0; i < pool->row_count && rc == EXIA_OK; i++)
        rc = add_row(rows, pool->rows[i], err);
    pthread_mutex_unlock(&pool->lock);
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    return rc;
}

static exia_status fill_plan(exia_dag *dag, const exia_pool *pool, exia_error *err)
{
    exia_status rc = EXIA_OK;
    for (size_t i = 0; i < pool->row_count && rc == EXIA_OK; i++)
        rc = exia_dag_add_nodes(NULL, dag, &pool->rows[i]->name, 1, err);
    for (uint32_t i = 0; i < pool->row_count && rc == EXIA_OK; i++) {
        const exia__recipe *recipe = pool->rows[i]->recipe;
        for (uint32_t k = 0; k < recipe->need_count && rc == EXIA_OK; k++) {
            uint32_t need;
            if (recipe->needs[k]->recipe == NULL) /* not there yet, so it has no row */
                continue;
            rc = exia_dag_find(&need, dag, recipe->needs[k]->name, err);
            if (rc == EXIA_OK)
                rc = exia_dag_add_edges(dag, &need, &i, 1, err);
        }
    }
    return rc;
}

exia_status exia_pool_plan(exia_dag **out, exia_pool *pool, exia_error *err)
{
    exia_dag *dag = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || pool == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_pool_plan: an argument is NULL");
    exia_status rc = exia_dag_open(&dag, err);
    pthread_mutex_lock(&pool->lock);
    if (rc == EXIA_OK)
        rc = fill_plan(dag, pool, err);
    pthread_mutex_unlock(&pool->lock);
    if (rc == EXIA_OK) {
        *out = dag;
        dag = NULL;
    }
    exia_dag_free(dag);
    return rc;
}

exia_status exia_pool_clear(exia_pool *pool, exia_error *err)
{
    if (pool == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_pool_clear: pool is NULL");
    exia__call call = exia__call_here();
    pthread_mutex_lock(&pool->lock);
    exia__enter(pool, &call);
    exia__sweep(pool, &call, NULL, 0);
    exia__leave(pool, &call);
    return EXIA_OK;
}
