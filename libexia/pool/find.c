/* Finding a component by its name, without the lock.  A name's entry is written once and never
 * changed; a table that has become too small stays, behind the larger one, for who still reads it. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "pool/pool.h"

struct exia__table {
    exia__table *older;
    size_t mask, used;
    struct exia__entry {
        _Atomic(exia_component *) component; /* NULL: free, and the end of a search */
        uint32_t hash;                       /* written before */
    } entries[];
};

static void put(exia__table *table, exia_component *component)
{
    uint32_t hash = exia__names_hash(component->name, strlen(component->name));
    size_t at = hash & table->mask;
    while (atomic_load_explicit(&table->entries[at].component, memory_order_relaxed) != NULL)
        at = (at + 1) & table->mask;
    table->entries[at].hash = hash;
    atomic_store_explicit(&table->entries[at].component, component, memory_order_release);
    table->used++;
}

exia_status exia__table_reserve(exia_pool *pool, size_t more, exia_error *err)
{
    exia__table *old = atomic_load_explicit(&pool->table, memory_order_relaxed);
    size_t size = old ? old->mask + 1 : 16, used = old ? old->used : 0;
    while (size / 2 < used + more)
        size *= 2;
    if (old != NULL && size == old->mask + 1)
        return EXIA_OK;
    exia__table *table = exia__zeroed(1, sizeof *table + size * sizeof *table->entries);
    if (table == NULL)
        return exia__fail_memory(err);
    table->older = old;
    table->mask = size - 1;
    for (size_t i = 0; i < pool->row_count; i++)
        put(table, pool->rows[i]);
    atomic_store_explicit(&pool->table, table, memory_order_release);
    return EXIA_OK;
}

void exia__table_put(exia_pool *pool, exia_component *component)
{
    put(atomic_load_explicit(&pool->table, memory_order_relaxed), component);
}

void exia__table_free(exia__table *table)
{
    while (table != NULL) {
        exia__table *older = table->older;
        exia__release(table);
        table = older;
    }
}

exia_component *exia_pool_find(exia_pool *pool, const char *name)
{
    if (pool == NULL || name == NULL)
        return NULL;
    const exia__table *table = atomic_load_explicit(&pool->table, memory_order_acquire);
    if (table == NULL)
        return NULL;
    uint32_t hash = exia__names_hash(name, strlen(name));
    for (size_t at = hash & table->mask;; at = (at + 1) & table->mask) {
        const struct exia__entry *entry = &table->entries[at];
        exia_component *found = atomic_load_explicit(&entry->component, memory_order_acquire);
        if (found == NULL || (entry->hash == hash && strcmp(found->name, name) == 0))
            return found;
    }
}
