/* A heap of nodes: always the one with the least key is on top, and the least index among equals.
 *
 * It has four children a node (D. B. Johnson, Priority queues with update, 1975): half as deep as
 * with two, and the four lie side by side.  Its memory is the caller's, who knows how many there can
 * be. */
#ifndef EXIA_DAG_HEAP_H
#define EXIA_DAG_HEAP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct exia__keyed {
    int64_t key;
    uint32_t node;
} exia__keyed;

typedef struct exia__heap {
    exia__keyed *items;
    size_t count;
} exia__heap;

/* A number as a key: the lesser comes first. */
static inline int64_t exia__heap_key(double number)
{
    int64_t bits;
    number += 0.0; /* of the two zeros one */
    memcpy(&bits, &number, sizeof bits);
    return bits < 0 ? bits ^ INT64_MAX
                    : bits; /* sign and magnitude: the negative ones turned round */
}

static inline int exia__heap_before(exia__keyed a, exia__keyed b)
{
    return a.key < b.key || (a.key == b.key && a.node < b.node);
}

static inline void exia__heap_push(exia__heap *heap, int64_t key, uint32_t node)
{
    exia__keyed item = {key, node};
    size_t at = heap->count++;
    for (; at > 0 && exia__heap_before(item, heap->items[(at - 1) / 4]); at = (at - 1) / 4)
        heap->items[at] = heap->items[(at - 1) / 4];
    heap->items[at] = item;
}

static inline uint32_t exia__heap_pop(exia__heap *heap)
{
    exia__keyed *items = heap->items, last = items[--heap->count];
    uint32_t least = items[0].node;
    size_t at = 0;
    for (size_t child; (child = 4 * at + 1) < heap->count;) {
        size_t end = child + 4 < heap->count ? child + 4 : heap->count, best = child;
        for (size_t i = child + 1; i < end; i++)
            best = exia__heap_before(items[i], items[best]) ? i : best;
        if (!exia__heap_before(items[best], last))
            break;
        items[at] = items[best];
        at = best;
    }
    items[at] = last;
    return least;
}

#endif
