/* Content-defined cuts by the gear hash (Xia et al., Ddelta, 2014): a byte shifts the hash and adds
 * its number, so 64 bytes decide, and the same content is cut at the same place wherever it lies.
 * Eight times harder before the mean size than after it (Xia et al., FastCDC, 2016), so few frames
 * reach the largest size, where content does not decide.  The table is splitmix64 (Steele, Lea,
 * Flood 2014) of 1 to 256. */
#include <string.h>

#include "package/frames.h"

enum { WINDOW = 64 };

const exia__cuts exia__cuts_data = {512 << 10, 2 << 20, 4 << 20, 128 << 10};
const exia__cuts exia__cuts_record = {16 << 10, 64 << 10, 256 << 10, 0};

void exia__cutter_open(exia__cutter *cutter)
{
    memset(cutter, 0, sizeof *cutter);
    for (uint64_t i = 0; i < 256; i++) {
        uint64_t z = (i + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        cutter->table[i] = z ^ z >> 31;
    }
}

void exia__cutter_begin(exia__cutter *cutter, const exia__cuts *cuts)
{
    cutter->cuts = *cuts;
    cutter->hash = 0;
    cutter->filled = 0;
    cutter->end = cuts->most;
    cutter->found = 0;
}

/* Go on from `i` to `end`, or to the first byte behind which the hash is below `limit`: its highest bits,
 * those of the widest window, are zero. */
static size_t roll(uint64_t *hash, const uint64_t *table, const unsigned char *data, size_t i,
                   size_t end, uint64_t limit)
{
    uint64_t now = *hash;
#pragma GCC unroll 8
    for (; i < end; i++) {
        now = (now << 1) + table[data[i]];
        if (now < limit)
            break;
    }
    *hash = now;
    return i;
}

/* How many of `size` bytes lie before `place` in the frame. */
static size_t before(const exia__cutter *cutter, size_t place, size_t size)
{
    size_t left = place > cutter->filled ? place - cutter->filled : 0;
    return left < size ? left : size;
}

/* The first of `size` bytes behind which the hash wants a cut; `size` when none does.  What lies
 * before the smallest frame is not even looked at, but for the window of its last byte. */
static size_t find(exia__cutter *cutter, const unsigned char *data, size_t size)
{
    const exia__cuts *cuts = &cutter->cuts;
    unsigned bits = (unsigned)__builtin_ctzll(cuts->mean);
    size_t warm = before(cutter, cuts->least - 1, size), hard = before(cutter, cuts->mean, size);
    size_t i = before(cutter, cuts->least - WINDOW, size);
    i = roll(&cutter->hash, cutter->table, data, i, warm, 0);
    i = roll(&cutter->hash, cutter->table, data, i, hard, (uint64_t)1 << (63 - bits));
    if (i < hard)
        return i;
    return roll(&cutter->hash, cutter->table, data, i, size, (uint64_t)1 << (66 - bits));
}

size_t exia__cutter_take(exia__cutter *cutter, const unsigned char *data, size_t size,
                         uint64_t left)
{
    if (size > cutter->end - cutter->filled)
        size = cutter->end - cutter->filled;
    size_t at = cutter->found ? size : find(cutter, data, size);
    if (at < size) {
        size_t cut = cutter->filled + at + 1;
        uint64_t rest = left - at - 1; /* to the end of the member */
        cutter->found = 1;
        cutter->end =
            rest <= cutter->cuts.snap && rest <= cutter->cuts.most - cut ? cut + (size_t)rest : cut;
        if (size > cutter->end - cutter->filled)
            size = cutter->end - cutter->filled;
    }
    cutter->filled += size;
    return size;
}
