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

/* The first of `size` bytes behind which the hash wants a cut; `size` when none does.  What lies
 * before the smallest frame is not even looked at. */
static size_t find(exia__cutter *cutter, const unsigned char *data, size_t size)
{
    size_t filled = cutter->filled, first = cutter->cuts.least - WINDOW;
    size_t i = filled < first ? first - filled : 0;
    unsigned bits = (unsigned)__builtin_ctzll(cutter->cuts.mean);
    uint64_t hash = cutter->hash, hard = ~(uint64_t)0 << (63 - bits);
    uint64_t easy = ~(uint64_t)0 << (66 - bits);
    for (; i < size; i++) {
        hash = (hash << 1) + cutter->table[data[i]];
        if ((hash & easy) == 0 && filled + i + 1 >= cutter->cuts.least &&
            (filled + i >= cutter->cuts.mean || (hash & hard) == 0))
            break;
    }
    cutter->hash = hash;
    return i;
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
