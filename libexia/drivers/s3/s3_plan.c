/* How a blob is cut into the parts of an upload: bytes that are sent, and ranges of other objects that the
 * server copies.
 *
 * Every part but the last must have 5 MiB.  So a range that is smaller is sent with what lies around it, and
 * bytes that would be too few to be a part are sent with as many of a range beside them:
 *
 *     range 9       changed 1   range 20       ->   copied 5, sent 5, copied 20
 *     range 6       changed 1   range 20       ->   copied 6, sent 5, copied 16
 *     range 6  changed 1  range 6  changed 1   ->   copied 6, sent 8 */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "drivers/s3/s3_parts.h"

enum { MOST_PARTS = 10000 };

typedef struct planner {
    exia__s3_plan *plan;
    uint64_t total, least;
} planner;

/* Append [at, end), copied from `piece` or sent, in parts of equal size. */
static exia_status add(planner *p, uint64_t at, uint64_t end, const exia_piece *piece,
                       exia_error *err)
{
    exia__s3_plan *plan = p->plan;
    uint64_t size = end - at, most = piece ? 16 * p->least : 2 * p->least;
    size_t count = (size_t)((size + most - 1) / most);
    exia_status rc =
        exia__grow(&plan->parts, &plan->room, plan->count + count, sizeof *plan->parts, err);
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        uint64_t from = at + size / count * i, to = i + 1 < count ? from + size / count : end;
        exia__s3_part *part = &plan->parts[plan->count++];
        *part = (exia__s3_part){.at = from, .size = to - from};
        if (piece != NULL) {
            part->key = piece->key;
            part->offset = piece->offset + (from - piece->at);
        } else if (part->size > plan->largest) {
            plan->largest = (size_t)part->size;
        }
    }
    return rc;
}

/* The piece with those behind it that go on where it ends. */
static exia_piece merge(const exia_piece *pieces, size_t count, size_t *next)
{
    exia_piece whole = pieces[*next];
    for (++*next; *next < count; ++*next) {
        const exia_piece *more = &pieces[*next];
        if (more->at != whole.at + whole.size || more->offset != whole.offset + whole.size ||
            strcmp(more->key, whole.key) != 0)
            break;
        whole.size += more->size;
    }
    return whole;
}

static void cut_front(exia_piece *piece, uint64_t size)
{
    piece->at += size;
    piece->offset += size;
    piece->size -= size;
}

static exia_status plan_with(planner *p, const exia_piece *pieces, size_t count, exia_error *err)
{
    exia_piece last = {0}; /* to be copied, unless its end is taken by what follows */
    uint64_t done = 0;     /* what lies between this and the next range is sent */
    exia_status rc = EXIA_OK;
    p->plan->count = p->plan->largest = 0;
    for (size_t i = 0; rc == EXIA_OK && i < count;) {
        exia_piece now = merge(pieces, count, &i);
        uint64_t end = now.at + now.size, between = now.at - done;
        uint64_t lacks = between > 0 && between < p->least ? p->least - between : 0;
        uint64_t spare = last.size > p->least ? last.size - p->least : 0, of_last = lacks;
        if (spare < lacks)
            of_last = 0;
        else
            lacks = 0;
        if (now.size < p->least + lacks)
            continue;
        last.size -= of_last;
        cut_front(&now, lacks);
        if (last.size > 0)
            rc = add(p, last.at, last.at + last.size, &last, err);
        if (rc == EXIA_OK && now.at > last.at + last.size)
            rc = add(p, last.at + last.size, now.at, NULL, err);
        last = now;
        done = end;
    }
    if (rc == EXIA_OK && last.size > 0)
        rc = add(p, last.at, last.at + last.size, &last, err);
    if (rc == EXIA_OK && done < p->total)
        rc = add(p, done, p->total, NULL, err);
    return rc;
}

exia_status exia__s3_plan_make(exia__s3_plan *out, uint64_t total, const exia_piece *pieces,
                               size_t count, exia_error *err)
{
    planner p = {.plan = out, .total = total, .least = EXIA__S3_LEAST};
    while (total / (16 * p.least) >= MOST_PARTS)
        p.least *= 2;
    exia_status rc = plan_with(&p, pieces, count, err);
    for (; rc == EXIA_OK && out->count > MOST_PARTS; rc = plan_with(&p, pieces, count, err))
        p.least *= 2;
    return rc;
}
