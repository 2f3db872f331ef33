/* Who has what: loans named in errors, told to the log, listed.  The log hears of a place in the
 * code once and how many loans were taken there, since a leak is a line that runs often. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/rows.h"
#include "pool/pool.h"

static bool is_out(const exia__slot *slot)
{
    return slot->state == EXIA__LENT && slot->dependent == NULL;
}

void exia__loans_name(char *out, size_t size, const exia_pool *pool)
{
    char shown[EXIA__SHOWN_SIZE];
    size_t used = (size_t)snprintf(out, size, "%zu loan%s out", pool->loans,
                                   pool->loans == 1 ? " is" : "s are");
    const char *before = ": ";
    for (size_t i = 0; i < pool->row_count; i++) {
        const exia_component *c = pool->rows[i];
        for (uint32_t k = 0; k < c->slot_count && used < size; k++) {
            const exia__slot *slot = exia__slot_at(c, k);
            if (!is_out(slot))
                continue;
            const char *where = slot->where;
            used += (size_t)snprintf(out + used, size - used, "%s%s%s%s", before,
                                     exia__shown(shown, c->name), where ? " taken at " : "",
                                     where ? where : "");
            before = ", ";
        }
    }
}

/* ---- to the log ------------------------------------------------------------------------------ */

void exia__loan_watch(const exia_component *component, exia__slot *slot, int64_t now_ms)
{
    if (slot->seen == slot->generation)
        return;
    slot->seen = slot->generation;
    slot->told = 0;
    slot->since_tick = component->pool->ticks;
    slot->since_ms = now_ms;
}

enum { FIVE_MINUTES = 300000 };

/* Is this loan to be told?  Holding a shared object takes it from nobody: that is never too long,
 * unless a limit is set. */
static bool is_due(const exia_component *c, exia__slot *slot, unsigned reason, int64_t now_ms)
{
    if (!is_out(slot))
        return false;
    exia__loan_watch(c, slot, now_ms);
    if ((slot->told & reason) != 0)
        return false;
    int64_t overdue_ms = c->recipe->overdue_ms;
    if (overdue_ms == 0)
        overdue_ms = slot->object->recipe->max > 0 ? FIVE_MINUTES : -1;
    return reason != EXIA__OVERDUE || (overdue_ms > 0 && now_ms - slot->since_ms >= overdue_ms);
}

static bool same_place(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The loan of slot `first` and all that were taken at the same place are told now. */
static void say(char *out, size_t size, exia_component *c, uint32_t first, unsigned reason,
                int64_t now_ms)
{
    static const char *const was[] = {[EXIA__OVERDUE] = "has",
                                      [EXIA__CLOSED] = "is closed with",
                                      [EXIA__FREED] = "is freed with"};
    char shown[EXIA__SHOWN_SIZE], age[80] = "";
    const exia_pool *pool = c->pool;
    const exia__slot *oldest = exia__slot_at(c, first);
    const char *where = oldest->where;
    size_t count = 0;
    for (uint32_t k = first; k < c->slot_count; k++) {
        exia__slot *slot = exia__slot_at(c, k);
        if (!is_due(c, slot, reason, now_ms) || !same_place(slot->where, where))
            continue;
        slot->told |= reason;
        count++;
        if (slot->since_tick < oldest->since_tick)
            oldest = slot;
    }
    uint64_t ticks = pool->ticks - oldest->since_tick;
    if (ticks > 0)
        snprintf(age, sizeof age, " for %llu tick%s, %lld ms at least", (unsigned long long)ticks,
                 ticks == 1 ? "" : "s", (long long)(now_ms - oldest->since_ms));
    snprintf(out, size, "pool %s %s %zu loan%s of %s%s%s out%s", pool->name, was[reason], count,
             count == 1 ? "" : "s", exia__shown(shown, c->name), where ? " taken at " : "",
             where ? where : "", age);
}

void exia__loans_tell(exia_pool *pool, unsigned reason, int64_t now_ms)
{
    char text[sizeof((exia_error *)NULL)->text];
    for (size_t i = 0; i < pool->row_count; i++) {
        exia_component *c = pool->rows[i];
        for (uint32_t k = 0; k < c->slot_count; k++) {
            if (!is_due(c, exia__slot_at(c, k), reason, now_ms))
                continue;
            say(text, sizeof text, c, k, reason, now_ms);
            pthread_mutex_unlock(&pool->lock);
            exia__log(EXIA_LOG_WARNING, "pool", "%s", text);
            pthread_mutex_lock(&pool->lock);
        }
    }
}

/* ---- as rows --------------------------------------------------------------------------------- */

static exia_status add_loan(exia_rows *rows, const exia_component *c, const exia__slot *slot,
                            exia_error *err)
{
    bool seen = slot->seen == slot->generation && c->pool->ticks > 0;
    json_t *row = json_pack("{s:s?, s:s?, s:I, s:b}", "where", (const char *)slot->where, "by",
                            slot->dependent ? slot->dependent->component->name : NULL, "ticks",
                            seen ? (json_int_t)(c->pool->ticks - slot->since_tick) : 0, "old",
                            (int)slot->object->stale);
    exia_status rc = row == NULL ? exia__fail_memory(err) : exia__rows_add(rows, row, err);
    json_decref(row);
    return rc;
}

exia_status exia_component_loans(exia_rows **out, exia_component *component, exia_error *err)
{
    exia_rows *rows = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || component == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_component_loans: an argument is NULL");
    exia_status rc = exia__rows_open(&rows, err);
    pthread_mutex_lock(&component->pool->lock);
    exia__homes_end(component);
    for (uint32_t i = 0; i < component->slot_count && rc == EXIA_OK; i++) {
        const exia__slot *slot = exia__slot_at(component, i);
        if (slot->state == EXIA__LENT)
            rc = add_loan(rows, component, slot, err);
    }
    pthread_mutex_unlock(&component->pool->lock);
    if (rc == EXIA_OK) {
        *out = rows;
        rows = NULL;
    }
    exia_rows_free(rows);
    return rc;
}
