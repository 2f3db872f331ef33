/* How an upload of S3 is cut into parts: all bytes are there once, no part but the last is too small, and little
 * is sent that could be copied. */
#include <stdlib.h>

#include "base/memory.h"
#include "drivers/s3/s3_parts.h"
#include "support/check.h"

#define MIB ((uint64_t)1 << 20)

typedef struct sums {
    uint64_t sent, copied;
    size_t count;
} sums;

/* What the server asks of a plan, and that each part copied lies in a piece. */
static sums check_plan(uint64_t total, const exia_piece *pieces, size_t count)
{
    exia__s3_plan plan = {0};
    sums got = {0};
    uint64_t at = 0;
    check_ok(exia__s3_plan_make(&plan, total, pieces, count, &err));
    for (size_t i = 0; i < plan.count; i++) {
        const exia__s3_part *part = &plan.parts[i];
        assert_true(part->at == at && part->size > 0);
        assert_true(part->size >= 5 * MIB || i + 1 == plan.count);
        at += part->size;
        if (part->key == NULL) {
            assert_true(part->size <= plan.largest);
            got.sent += part->size;
            continue;
        }
        uint64_t from = part->at, left = part->size;
        for (size_t k = 0; left > 0 && k < count; k++) { /* neighbours may have been put together */
            const exia_piece *piece = &pieces[k];
            if (from < piece->at || from >= piece->at + piece->size)
                continue;
            uint64_t here = piece->at + piece->size - from;
            assert_string_equal(part->key, piece->key);
            assert_int_equal(part->offset + (from - part->at), piece->offset + (from - piece->at));
            here = here < left ? here : left;
            from += here;
            left -= here;
        }
        assert_int_equal(left, 0);
        got.copied += part->size;
    }
    assert_int_equal(at, total);
    got.count = plan.count;
    exia__release(plan.parts);
    return got;
}

TEST(what_lies_nowhere_is_sent_in_parts_of_up_to_ten_mebibytes)
{
    assert_int_equal(check_plan(17 * MIB, NULL, 0).count, 2);
    assert_int_equal(check_plan(100 * MIB + 1, NULL, 0).count, 11);
    assert_int_equal(check_plan(0, NULL, 0).count, 0);
}

TEST(there_are_never_more_parts_than_a_server_takes)
{
    assert_in_range(check_plan(90000 * MIB, NULL, 0).count, 9000, 10000);
    assert_in_range(check_plan(100001 * MIB, NULL, 0).count, 5000, 10000);
    assert_in_range(check_plan(5 * 1024 * 1024 * MIB, NULL, 0).count, 4000, 10000);
    exia_piece all = {0, 5 * 1024 * 1024 * MIB, "base", 0};
    sums got = check_plan(all.size, &all, 1);
    assert_in_range(got.count, 2000, 10000);
    assert_int_equal(got.sent, 0);
}

TEST(a_change_costs_five_mebibytes_at_most_where_there_is_room_around_it)
{
    /* in the middle, at the beginning, at the end */
    const exia_piece middle[] = {{0, 20 * MIB, "base", 0}, {21 * MIB, 20 * MIB, "base", 22 * MIB}};
    sums got = check_plan(41 * MIB, middle, 2);
    assert_int_equal(got.sent, 5 * MIB);
    assert_int_equal(got.count, 3);
    const exia_piece after = {1, 20 * MIB, "base", 0}, before = {0, 20 * MIB, "base", 7};
    assert_int_equal(check_plan(20 * MIB + 1, &after, 1).sent, 5 * MIB);
    assert_int_equal(check_plan(20 * MIB + 1, &before, 1).sent, 1);
}

TEST(a_range_too_small_to_be_copied_is_sent)
{
    const exia_piece small[] = {{0, 6 * MIB, "base", 0},
                                {7 * MIB, 6 * MIB, "base", 7 * MIB},
                                {14 * MIB, 20 * MIB, "base", 14 * MIB}};
    sums got = check_plan(34 * MIB, small, 3);
    assert_int_equal(got.copied, 26 * MIB);
    const exia_piece near = {MIB, 6 * MIB, "base", 0}; /* less than a part is left of it */
    assert_int_equal(check_plan(34 * MIB, &near, 1).copied, 0);
    const exia_piece tiny = {0, 5 * MIB - 1, "base", 0}, least = {0, 5 * MIB, "base", 0};
    assert_int_equal(check_plan(30 * MIB, &tiny, 1).copied, 0);
    assert_int_equal(check_plan(30 * MIB, &least, 1).copied, 5 * MIB);
}

TEST(neighbours_that_go_on_where_the_other_ends_are_one)
{
    exia_piece pieces[40];
    for (uint64_t i = 0; i < 40; i++)
        pieces[i] = (exia_piece){i * MIB, MIB, "base", 3 + i * MIB};
    sums got = check_plan(40 * MIB, pieces, 40);
    assert_int_equal(got.copied, 40 * MIB);
    assert_int_equal(got.count, 1);
    for (size_t i = 20; i < 40; i++)
        pieces[i].key = "other";
    assert_int_equal(check_plan(40 * MIB, pieces, 40).count, 2);
    for (size_t i = 30; i < 40; i++)
        pieces[i].offset++;
    assert_int_equal(check_plan(40 * MIB, pieces, 40).count, 3);
}

TEST(whatever_the_pieces_the_plan_is_one_that_a_server_takes)
{
    exia_piece pieces[64];
    srand(5);
    for (int round = 0; round < 3000; round++) {
        size_t count = (size_t)rand() % 64;
        uint64_t at = 0, most = (1 + (uint64_t)rand() % 24) * MIB;
        for (size_t i = 0; i < count; i++) {
            at += rand() % 2 ? (uint64_t)rand() % most : 0;
            uint64_t size = 1 + (uint64_t)rand() % most;
            const exia_piece *last = i > 0 ? &pieces[i - 1] : NULL;
            uint64_t offset = last != NULL && last->at + last->size == at && rand() % 2
                                  ? last->offset + last->size
                                  : (uint64_t)rand();
            pieces[i] = (exia_piece){at, size, rand() % 4 ? "base" : "other", offset};
            at += size;
        }
        sums got = check_plan(at + (rand() % 2 ? (uint64_t)rand() % most : 0), pieces, count);
        assert_true(got.count <= 10000);
    }
}
